"""What a file of weights holds: its tensors, its LSTMs, their gates in numbers.

`inspect` takes the tensors and what was made of each LSTM among them; the result is data, which
a sheet or JSON shows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.hint import Hint
from lstmcli.core.model.model import Cell, Model, iterate_blocks
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.decode import from_blocks
from lstmcli.core.weights.recognise import (
    CellIndex,
    RecognisedLstm,
    Shapes,
    describe_gru,
    normalise,
    recognise,
)
from lstmcli.core.weights.templates import describe_role, has_tensor_per_gate, tensor_names

NEAR_ONE = 0.25  # how near 1 the mean of a bias block has to be to be told
NEARER_ZERO = 0.5  # and how small all the others
CLOSE = 0.35  # the spread within the block: a few scattered numbers have a mean near 1 by chance
SHORTEST = 3  # letters of a name that tells something: W alone may be anything


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a file, and what it is to an LSTM, if anything."""

    shape: tuple[int, ...]
    dtype: str
    not_finite: int = 0  # numbers that are NaN or infinite
    layer: str | None = None  # the LSTM it belongs to
    role: str = ""  # what it is there: "kernel", "layer1_reverse bias f"

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class GateNumbers:
    """Mean and spread (standard deviation) of one gate's weights."""

    kernel_mean: float
    kernel_std: float
    recurrent_mean: float
    recurrent_std: float
    bias_mean: float


@dataclass(frozen=True, eq=False)
class InspectedLstm:
    """One LSTM of a file, read."""

    layer: str  # what --layer calls it
    model: Model
    why: str
    rivals: tuple[str, ...]  # conventions of the same names that read them otherwise: ask
    also: tuple[str, ...]  # conventions that have these names too, and must be asked for
    found: Mapping[str, Any]  # settings that the file holds
    hints: tuple[Hint, ...]
    number: int = 0  # among the LSTMs of the files

    @property
    def parameters(self) -> int:
        """How many numbers its tensors hold."""
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in self.model.tensors.values())

    @property
    def directions(self) -> int:
        """2 if any layer runs both ways."""
        return max(len(layer) for layer in self.model.layers)

    def gates(self) -> dict[str, dict[str, GateNumbers]]:
        """The numbers of each gate of each cell: ``gates()["layer0"]["f"].bias_mean``."""
        return {name: gate_numbers(cell) for name, cell in self.model.cells}

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        cell = self.model.cell
        return {
            "layer": self.layer,
            "convention": self.model.convention.name,
            "why": self.why,
            "rivals": list(self.rivals),
            "same_names": list(self.also),
            "inputs": cell.inputs,
            "units": cell.units,
            "outputs": cell.outputs,
            "layers": len(self.model.layers),
            "directions": self.directions,
            "parameters": self.parameters,
            "found": dict(self.found),
            "assumed": list(self.model.assumed),
            "settings": self.model.settings(),
            "cells": {
                name: {gate: vars(numbers) for gate, numbers in gates.items()}
                for name, gates in self.gates().items()
            },
            "hints": [vars(hint) for hint in self.hints],
        }


@dataclass(frozen=True)
class UnreadableLstm:
    """What has the names of an LSTM and is none, or not a whole one."""

    layer: str
    convention: str
    problem: str
    also: tuple[str, ...] = ()  # conventions that have names for more of the tensors

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            "layer": self.layer,
            "convention": self.convention,
            "problem": self.problem,
            "same_names": list(self.also),
        }


@dataclass(frozen=True, eq=False)
class Inspection:
    """All that a file holds."""

    file: str
    tensors: Mapping[str, TensorInfo]
    lstms: tuple[InspectedLstm, ...]
    unread: tuple[UnreadableLstm, ...] = ()
    missing: tuple[str, ...] = ()  # without an LSTM: what the names lack to be one
    remarks: tuple[str, ...] = ()  # for stderr: what the files' formats say of them
    layer: str | None = None  # the --layer that the file itself asks for

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            "file": self.file,
            "tensors": {name: _tensor_json(tensor) for name, tensor in self.tensors.items()},
            "lstms": [lstm.to_json() for lstm in self.lstms],
            "unread": [unread.to_json() for unread in self.unread],
            "missing": list(self.missing),
            "remarks": list(self.remarks),
        }


def _tensor_json(tensor: TensorInfo) -> dict[str, Any]:
    members: dict[str, Any] = {"shape": list(tensor.shape), "dtype": tensor.dtype}
    return members | ({"not_finite": tensor.not_finite} if tensor.not_finite else {})


@dataclass(frozen=True, eq=False)
class LoadResult:
    """An LSTM that names tell of, and the model it gives, or why it gives none."""

    found: RecognisedLstm
    layer: str
    model: Model | None
    problem: str = ""
    number: int = 0  # among the LSTMs of the files


def inspect(
    file: str,
    tensors: Mapping[str, Array],
    readings: Sequence[LoadResult],
    settings: Mapping[str, Any],
    remarks: Sequence[str] = (),
) -> Inspection:
    """Describe the tensors of a file and the LSTMs read from them.

    Parameters
    ----------
    file
        what messages call it.
    tensors
        every array of the file, by name.
    readings
        what was made of each LSTM among them.
    settings
        the settings that the file itself holds.
    remarks
        what its format says of it.
    """
    read = [r for r in readings if r.model is not None]
    roles = {name: told for r in read for name, told in _roles(r).items()}
    lstms = tuple(_lstm(r, r.model, settings) for r in readings if r.model is not None)
    shapes = {name: array.shape for name, array in tensors.items()}
    unread = tuple(_unreadable(r, shapes) for r in readings if r.model is None)
    return Inspection(
        file,
        {name: _tensor(array, *roles.get(name, (None, ""))) for name, array in tensors.items()},
        lstms,
        unread,
        () if readings else tuple(missing_parts(tensors)),
        tuple(remarks),
    )


def _tensor(array: Any, layer: str | None, role: str) -> TensorInfo:
    bad = 0
    if array.dtype.kind == "f":
        blocks = iterate_blocks(array if array.ndim else np.atleast_1d(array))
        bad = sum(int((~np.isfinite(block)).sum()) for _, block in blocks)
    return TensorInfo(array.shape, array.dtype.name, bad, layer, role)


def _roles(reading: LoadResult) -> dict[str, tuple[str, str]]:
    """Each tensor of an LSTM with the LSTM's label and what it is there."""
    cells = reading.found.cells
    return {
        name: (reading.layer, f"{_cell_word(place, cells)}{words}")
        for place, names in cells.items()
        for role, held in names.items()
        for name, words in _role_descriptions(role, held)
    }


def _role_descriptions(role: str, held: str | Mapping[str, str]) -> list[tuple[str, str]]:
    words = describe_role(role)
    if isinstance(held, str):
        return [(held, words)]
    return [(name, f"{words} {gate}") for gate, name in held.items()]


def _cell_word(place: CellIndex, cells: Mapping[CellIndex, Any]) -> str:
    """``layer1_reverse `` where there are several cells."""
    return f"layer{place[0]}{'_reverse' * place[1]} " if len(cells) > 1 else ""


def _unreadable(reading: LoadResult, shapes: Shapes) -> UnreadableLstm:
    found = reading.found
    more = [n for n, claimed in other_claims(found, shapes) if claimed > set(found.tensors)]
    return UnreadableLstm(reading.layer, found.convention.name, reading.problem, tuple(more))


# ---- one LSTM


def _lstm(reading: LoadResult, model: Model, settings: Mapping[str, Any]) -> InspectedLstm:
    found = reading.found
    also = [name for name, _ in other_claims(found, model.tensors)]
    return InspectedLstm(
        reading.layer,
        model,
        _why(found, model, settings),
        tuple(found.rivals),
        tuple(name for name in also if name not in found.rivals),
        settings,
        tuple(hints(model)),
        reading.number,
    )


def other_claims(found: RecognisedLstm, shapes: Shapes) -> Iterator[tuple[str, set[str]]]:
    """Other conventions with names for all of an LSTM's tensors, and the tensors they claim."""
    tensors = set(found.tensors)
    for name in CONVENTIONS:
        if name != found.convention.name:
            for other in recognise(shapes, name):
                if set(other.tensors) >= tensors:
                    yield name, set(other.tensors)


def _why(found: RecognisedLstm, model: Model, settings: Mapping[str, Any]) -> str:
    row = found.convention
    roles = {role for names in found.cells.values() for role in names}
    told = (
        ["numbered"]
        if row.names.numbered
        else [role for role in row.names.tensors if role in roles]
    )
    text = f"names {', '.join(end for role in told for end in _fitting(row, role, found))}"
    if row.storage.bias_halves == 2 and "bias" in roles:
        text += "; the bias is 8H, two in one"
    if "convention" in settings:
        return f"the file says {row.name}; {text}"
    return f"asked for; {text}" if "convention" in model.given and not found.rivals else text


def _fitting(row: Convention, role: str, found: RecognisedLstm) -> list[str]:
    """The row's names of a role, as far as these tensors have them."""
    names = {_numbered(normalise(name)) for name in found.tensors}
    ends = ((end, _numbered(normalise(end))) for end in tensor_names(row, role))
    return [end for end, plain in ends if any(_ends_in(name, plain) for name in names)]


# ---- gates


def gate_numbers(cell: Cell) -> dict[str, GateNumbers]:
    """Mean and spread of each gate that has weights; a coupled gate is made of another."""
    made = cell.convention.behaviour.coupled[0]  # the i of "i=1-f"
    return {gate: _numbers(cell, n) for n, gate in enumerate(GATES) if gate != made}


def _numbers(cell: Cell, n: int) -> GateNumbers:
    with np.errstate(all="ignore"):  # of weights that are not finite; the tensors' list says so
        kernel, recurrent, bias = (
            array[n].astype(np.float64) for array in (cell.kernel, cell.recurrent_kernel, cell.bias)
        )
        means = (kernel.mean(), kernel.std(), recurrent.mean(), recurrent.std(), bias.mean())
        return GateNumbers(*map(float, means))


# ---- hints: weak ones, good for a word and never for a decision


def hints(model: Model) -> list[Hint]:
    """What the biases suggest, each hint once with the cells that show it."""
    shown: dict[Hint, list[str]] = {}
    for name, cell in model.cells:
        for hint in _bias_hints(cell):
            shown.setdefault(hint, []).append(name)
    several = len(model.cells) > 1
    return [
        replace(hint, text=f"{', '.join(cells)}: {hint.text}") if several else hint
        for hint, cells in shown.items()
    ]


def _bias_hints(cell: Cell) -> Iterator[Hint]:
    how = cell.convention
    made, constant = how.behaviour.coupled[0], how.behaviour.forget_bias
    gate = gate_near_one({gate: cell.bias[n] for n, gate in enumerate(GATES) if gate != made})
    if gate == "f":
        yield Hint(
            "forget_bias_near_1",
            "the bias of f is near 1, as Keras, Sonnet 2 and Chainer start it: a weak sign that "
            "f is where this reading has it.",
        )
        if constant:
            yield Hint(
                "forget_bias_twice",
                f"{constant:+g} is added to f at run time as well; if the stored bias "
                f"already holds it, it counts twice. --forget-bias 0 leaves it out.",
            )
    elif gate is not None:
        yield Hint("other_bias_near_1", _other_block(gate, how))
    elif _alternates(cell):
        interleaved = how.storage.interleaved
        yield Hint(
            "alternating_bias_near_1",
            f"read the other way, {'block by block' if interleaved else 'unit by unit'}, one "
            f"gate's bias is near 1, as if it were f's. A weak sign; "
            f"--set interleaved={str(not interleaved).lower()} reads the gates so.",
        )


def gate_near_one(biases: Mapping[str, Array]) -> str | None:
    """The one gate whose bias (H,) lies near 1 while those of all others are nearer 0."""
    with np.errstate(all="ignore"):
        blocks = {gate: bias.astype(np.float64) for gate, bias in biases.items()}
        means = {gate: float(bias.mean()) for gate, bias in blocks.items()}
        near = [gate for gate, mean in means.items() if abs(mean - 1) <= NEAR_ONE]
        if len(near) != 1 or not blocks[near[0]].std() <= CLOSE:
            return None
    rest = (abs(mean) for gate, mean in means.items() if gate != near[0])
    return near[0] if all(mean < NEARER_ZERO for mean in rest) else None


def _other_block(gate: str, how: Convention) -> str:
    text = (
        f"the bias of {gate} is near 1, and that of f is not. Keras, Sonnet 2 and Chainer start "
        f"f's bias at 1, so that block is likely f's and the gate order another one: a weak sign"
    )
    if has_tensor_per_gate(how):
        return f"{text}, and the names may be mixed up."
    order = how.storage.order_of("bias").translate(str.maketrans(f"{gate}f", f"f{gate}"))
    return f"{text}. --gates {order} is the order with the two exchanged."


def _alternates(cell: Cell) -> bool:
    """Whether the bias, read in the other of the two ways, is a fresh one: f 1, all others 0.

    Every number has to fit here, because there is a second reading to be right by chance.
    """
    how = cell.convention
    order = how.storage.order_of("bias")
    if has_tensor_per_gate(how) or len(order) != len(GATES):
        return False
    stored = from_blocks(cell.bias[:, :, None], order, how.storage.interleaved)
    blocks = stored.reshape(4, -1) if how.storage.interleaved else stored.reshape(-1, 4).T
    near = (abs(blocks - 1) <= NEAR_ONE).all(axis=1)
    return bool(near.sum() == 1 and (abs(blocks[~near]) < NEARER_ZERO).all())


# ---- no LSTM at all


def missing_parts(names: Collection[str]) -> list[str]:
    """What tensors that are no LSTM lack to be one, as far as their names tell."""
    if text := describe_gru(names):
        return [f"{text} and is no LSTM"]
    if gru := [name for name in names if "gru" in name.lower()]:
        return [f"{gru[0]} names a GRU, which has three gates and is no LSTM"]
    first: dict[tuple[str, str], str] = {}  # by row and role, the first name that ends as it does
    for name in names:
        for place in _spelled_as(name):
            first.setdefault(place, name)
    lacking: dict[tuple[str, str], str] = {}
    for row in CONVENTIONS.values():
        for role, other in permutations(("kernel", "recurrent_kernel")):
            if (row.name, role) not in first or (row.name, other) in first:
                continue
            if not row.names.by_name or other not in row.names.tensors:
                continue
            if len(tensor_names(row, role)[0]) < SHORTEST:
                continue
            held, wanted = first[row.name, role], ", ".join(tensor_names(row, other))
            lacking.setdefault(
                (held, wanted),
                f"{held} may be the {describe_role(role)} of {row.name}; "
                f"its {describe_role(other)} is not there: {wanted}",
            )
    return list(lacking.values())


def _spelled_as(name: str) -> Iterator[tuple[str, str]]:
    """The rows, each with a role, whose names a name ends in."""
    plain, (by_text, lengths) = _numbered(normalise(name)), _spelled_ends()
    for length in lengths:
        end = plain[-length:]
        if _ends_in(plain, end):
            yield from by_text.get(end, ())


def _ends_in(plain: str, end: str) -> bool:
    """Whether a name ends in a text that stands apart in it."""
    return plain.endswith(end) and plain[: -len(end)][-1:] in ("", "_", "-")


@cache
def _spelled_ends() -> tuple[Mapping[str, list[tuple[str, str]]], tuple[int, ...]]:
    """Rows and roles by what names of their kernels end in, and the lengths of these ends."""
    by_text: dict[str, list[tuple[str, str]]] = {}
    for row in CONVENTIONS.values():
        for role in ("kernel", "recurrent_kernel"):
            for end in tensor_names(row, role) if role in row.names.tensors else ():
                by_text.setdefault(_numbered(normalise(end)), []).append((row.name, role))
    return by_text, tuple(sorted({len(text) for text in by_text}))


def _numbered(plain: str) -> str:
    """A name with N in place of each number."""
    return re.sub(r"\d+", "N", plain)
