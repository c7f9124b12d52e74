"""The contents of a file of weights: its tensors, its LSTMs, statistics of their gates.

The result of `inspect` is data for a sheet or JSON.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array, iterate_blocks
from lstmcli.core.model.conventions import CONVENTIONS, describe_role
from lstmcli.core.model.model import Cell, Hint, Model, cell_name
from lstmcli.core.model.shell import ShellSyntax
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.missing import describe_missing
from lstmcli.core.weights.recognise import describe_gru, recognise
from lstmcli.core.weights.several_ways import refuse_ways
from lstmcli.core.weights.templates import (
    RecognisedLstm,
    Settings,
    Shapes,
    normalise,
)
from lstmcli.errors import UserError

NEAR_ONE = 0.25  # largest distance from 1 of the mean of a bias block
NEARER_ZERO = 0.5  # largest mean of all other blocks
CLOSE = 0.35  # spread in the block: scattered numbers may have a mean near 1


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a file, and what it is to an LSTM, if anything."""

    shape: tuple[int, ...]
    dtype: str
    not_finite: int = 0  # numbers that are NaN or infinite
    layer: str | None = None  # the LSTM it belongs to
    role: str = ""  # "kernel", "layer1_reverse bias f"

    @property
    def size(self) -> int:
        """The number of its elements."""
        return prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Its shape and dtype, and the count of numbers that are not finite."""
        members: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype}
        if self.not_finite:
            members["not_finite"] = self.not_finite
        return members


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
    rivals: tuple[str, ...]  # conventions that read the names otherwise: ask
    also: tuple[str, ...]  # others of these names, selected only by --convention
    found: Settings  # settings in the file
    hints: tuple[Hint, ...]

    @property
    def parameters(self) -> int:
        """The number of elements of its tensors."""
        return sum(map(prod, self.model.tensors.values()))

    @property
    def directions(self) -> int:
        """2 if any layer runs both ways."""
        return max(len(layer) for layer in self.model.layers)

    def gates(self) -> dict[str, dict[str, GateNumbers]]:
        """The numbers of each gate: ``gates()["layer0"]["f"].bias_mean``."""
        return {name: gate_numbers(cell) for name, cell in self.model.cells}

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        cell = self.model.cell
        return {
            "layer": self.layer,
            "convention": self.model.convention.name,
            **_surroundings(self.model),
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


def _surroundings(model: Model) -> dict[str, Any]:
    """The members of JSON on the front and the head, where there are any."""
    members: dict[str, Any] = {}
    if model.front is not None:
        shape = list(model.front.table.shape)
        mask = model.front.masks_zero
        members["front"] = {"name": model.front.name, "shape": shape, "mask_zero": mask}
    if model.head is not None:
        layers = []
        for layer in model.head.layers:
            shape = [] if layer.kernel is None else list(layer.kernel.shape)
            one = {"name": layer.name, "shape": shape, "activation": layer.activation}
            layers.append(one)
        members["head"] = {"layers": layers, "steps": model.head.steps}
    return members


@dataclass(frozen=True)
class UnreadableLstm:
    """An LSTM by its names that cannot be loaded, or is incomplete."""

    layer: str
    convention: str
    error: UserError
    also: tuple[str, ...] = ()  # conventions with names for more of the tensors

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "layer": self.layer,
            "convention": self.convention,
            "problem": self.error.shown(ShellSyntax()),
            "same_names": list(self.also),
        }


@dataclass(frozen=True, eq=False)
class Inspection:
    """The contents of a file."""

    file: str
    tensors: Mapping[str, TensorInfo]
    lstms: tuple[InspectedLstm, ...]
    unread: tuple[UnreadableLstm, ...] = ()
    ways: UserError | None = None  # without an LSTM: how the shapes may be one
    missing: tuple[str, ...] = ()  # or what the names lack to be one
    remarks: tuple[str, ...] = ()  # for stderr: from the readers of the files
    layer: str | None = None  # the --layer that the file itself asks for

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        missing = [*self.missing]
        if self.ways is not None:
            missing = self.ways.shown(ShellSyntax()).splitlines()
        tensors = {name: tensor.to_json() for name, tensor in self.tensors.items()}
        return {
            "file": self.file,
            "tensors": tensors,
            "lstms": [lstm.to_json() for lstm in self.lstms],
            "unread": [unread.to_json() for unread in self.unread],
            "missing": missing,
            "remarks": list(self.remarks),
        }


def inspect(
    file: str,
    tensors: Mapping[str, Array],
    results: Sequence[tuple[RecognisedLstm, str, Model | UserError]],
    settings: Settings,
    remarks: Sequence[str],
    around: Mapping[str, str],
) -> Inspection:
    """Describe all tensors of a file by name, and the LSTMs read from them.

    ``results``: the label of each LSTM, and its model or why it cannot be
    loaded; ``settings``: those in the file, ``remarks``: its reader's;
    ``around``: the roles of the tensors of a front and a head.
    """
    shapes = {name: array.shape for name, array in tensors.items()}
    lstms, unread = list[InspectedLstm](), list[UnreadableLstm]()
    roles = {name: ("", role) for name, role in around.items()}  # and the LSTM's label
    for found, layer, model in results:
        if isinstance(model, UserError):
            unread.append(_unread(found, layer, model, shapes))
        else:
            lstms.append(_lstm(found, layer, model, settings))
            roles.update(_roles(found, layer))
    ways, missing = None, list[str]()
    if not results:
        ways = _ways(shapes, file)
        missing = [] if ways else missing_parts(tensors)
    return Inspection(
        file,
        {
            name: _tensor(array, *roles.get(name, (None, "")))
            for name, array in tensors.items()
        },
        tuple(lstms),
        tuple(unread),
        ways,
        tuple(missing),
        tuple(remarks),
    )


def _unread(
    found: RecognisedLstm, layer: str, error: UserError, shapes: Shapes
) -> UnreadableLstm:
    also = []
    for name, claimed in other_claims(found, shapes):
        if claimed > set(found.tensors):
            also.append(name)
    return UnreadableLstm(layer, found.convention.name, error, tuple(also))


def _roles(found: RecognisedLstm, layer: str) -> dict[str, tuple[str, str]]:
    """By tensor the LSTM's label, and its role there."""
    roles = {}
    for cell, names in found.cells.items():
        of_cell = cell_name(*cell) if len(found.cells) > 1 else ""
        for slot, name in names.items():
            words = filter(None, (of_cell, describe_role(slot.role), slot.gate))
            roles[name] = (layer, " ".join(words))
    return roles


def _ways(shapes: Shapes, file: str) -> UserError | None:
    """The ways in which the shapes may be an LSTM, if there are some."""
    try:
        refuse_ways(shapes, file)
    except UserError as error:
        return error.without(file)
    return None


def _tensor(array: Any, layer: str | None, role: str) -> TensorInfo:
    bad = 0
    if array.dtype.kind == "f":
        for _, block in iterate_blocks(np.atleast_1d(array)):
            bad += int(np.count_nonzero(~np.isfinite(block)))
    return TensorInfo(array.shape, array.dtype.name, bad, layer, role)


# ---- one LSTM


def _lstm(
    found: RecognisedLstm, layer: str, model: Model, settings: Settings
) -> InspectedLstm:
    also = [name for name, _ in other_claims(found, model.tensors)]
    return InspectedLstm(
        layer,
        model,
        _why(found, model, settings),
        tuple(found.rivals),
        tuple(name for name in also if name not in found.rivals),
        settings,
        tuple(hints(model)),
    )


def other_claims(
    found: RecognisedLstm, shapes: Shapes
) -> Iterator[tuple[str, set[str]]]:
    """Other conventions with names for all of an LSTM's tensors; those they claim."""
    tensors = set(found.tensors)
    for name in CONVENTIONS:
        if name != found.convention.name:
            for other in recognise(shapes, name):
                if not other.by_shape and set(other.tensors) >= tensors:
                    yield name, set(other.tensors)


def _why(found: RecognisedLstm, model: Model, settings: Settings) -> str:
    row, is_asked = found.convention, "convention" in model.given
    text = f"names {', '.join(_used_names(found))}"
    if found.by_shape:
        text = "only the shapes; the names are not a framework's"
    if found.by_shape and not is_asked:
        text += f". {row.name} is the default for them; other conventions may fit too"
    if row.storage.bias_halves == 2 and "bias" in found.roles:
        text += "; the bias is 8H, two in one"
    if "convention" in settings:
        return f"the file names {row.name}; {text}"
    return f"asked for; {text}" if is_asked and not found.rivals else text


def _used_names(found: RecognisedLstm) -> list[str]:
    """The row's names that these tensors have, role by role, whatever their numbers."""
    row = found.convention
    names = [_without_numbers(name) for name in found.tensors]
    used = []
    for role in row.names.tensors:
        if role not in found.roles and not row.names.numbered:
            continue
        for end in row.tensor_names(role):
            form = re.compile(f"(^|[_-]){re.escape(_without_numbers(end))}$")
            if any(form.search(name) for name in names):
                used.append(end)
    return used


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "N", normalise(name))


# ---- gates


def gate_numbers(cell: Cell) -> dict[str, GateNumbers]:
    """Mean and spread of each gate that has weights, not of a coupled one."""
    made = cell.behaviour.coupled[0]  # the i of "i=1-f"
    found = {}
    with np.errstate(all="ignore"):  # of weights that are not finite
        for n, gate in enumerate(GATES):
            arrays = (cell.kernel[n], cell.recurrent_kernel[n], cell.bias[n])
            k, r, b = (array.astype(np.float64) for array in arrays)
            numbers = (k.mean(), k.std(), r.mean(), r.std(), b.mean())
            if gate != made:
                found[gate] = GateNumbers(*map(float, numbers))
    return found


# ---- hints: shown to the user, never used to decide


def hints(model: Model) -> list[Hint]:
    """Return what the biases suggest, each hint once with the cells that show it."""
    shown: dict[Hint, list[str]] = {}
    for name, cell in model.cells:
        for hint in _bias_hints(cell):
            shown.setdefault(hint, []).append(name)
    if len(model.cells) == 1:
        return [*shown]
    found = []
    for hint, cells in shown.items():
        found.append(replace(hint, seen=f"{', '.join(cells)}: {hint.seen}"))
    return found


def _bias_hints(cell: Cell) -> list[Hint]:
    coupled, constant = cell.behaviour.coupled, cell.behaviour.forget_bias
    made = coupled[0]  # the i of "i=1-f"
    biases = {gate: cell.bias[n] for n, gate in enumerate(GATES) if gate != made}
    if gate_near_one(biases) != "f":
        return []
    found = [
        Hint(
            "forget_bias_near_1",
            "the bias of f is near 1, as Keras, Sonnet 2 and Chainer start it: a weak sign that "
            "this is the position of f.",
        )
    ]
    if constant:
        text = (
            f"{constant:+g} is added to f at run time as well; if the stored bias "
            f"already has it, it counts twice. --forget-bias 0 leaves it out."
        )
        found.append(Hint("forget_bias_twice", text))
    return found


def gate_near_one(biases: Mapping[str, Array]) -> str | None:
    """The only gate whose bias (H,) is near 1; all others are nearer 0."""
    with np.errstate(all="ignore"):
        blocks = {gate: bias.astype(np.float64) for gate, bias in biases.items()}
        means = {gate: float(bias.mean()) for gate, bias in blocks.items()}
        near = [gate for gate, mean in means.items() if abs(mean - 1) <= NEAR_ONE]
        if len(near) != 1 or not blocks[near[0]].std() <= CLOSE:
            return None
    rest = [abs(mean) for gate, mean in means.items() if gate != near[0]]
    return near[0] if all(mean < NEARER_ZERO for mean in rest) else None


# ---- no LSTM at all


def missing_parts(names: Collection[str]) -> list[str]:
    """Return what tensors lack to be an LSTM, by their names."""
    text = describe_gru(names)
    if text:
        return [text]
    for name in names:
        if "gru" in name.lower():
            return [f"{name} names a GRU, which has three gates and is not an LSTM"]
    missing = describe_missing(names)
    return [missing] if missing else []


LIKE_LSTM = ("lstm", "rnn|recurrent|cell|gate", "kernel|weight|bias")
"""Parts of names, the likeliest to be an LSTM's first."""


def unlikeness(name: str) -> int:
    """The place in `LIKE_LSTM` of what is in a name, or after it."""
    for place, words in enumerate(LIKE_LSTM):
        if re.search(words, name, re.I):
            return place
    return len(LIKE_LSTM)
