"""The cells of a recognised LSTM from its tensors, and whether the layers of a model fit.

A vector that packs all weights has no sizes: it is cut by its convention, with
the number of units and, of several, of layers and directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from math import prod
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import ROUNDED, Array, round_to_format
from lstmcli.core.model.conventions import Convention, find_convention
from lstmcli.core.model.edits import Edit, edited, edits_in, refuse_edits
from lstmcli.core.model.model import Cell, cell_name, layer_width
from lstmcli.core.model.settings import SIZES, split_cell
from lstmcli.core.weights.decode import (
    Tensor,
    Tensors,
    decode,
    each_array,
    pair_directions,
    split_directions,
)
from lstmcli.core.weights.templates import CellIndex, RecognisedLstm, Settings
from lstmcli.errors import Try, UserError, did_you_mean

BFLOAT16 = "bfloat16"
_FORWARD = "forward"  # internal: a backward cell that, by its file, runs forward


def build_layers(
    found: RecognisedLstm,
    tensors: Mapping[str, Array],
    settings: Mapping[CellIndex, Settings],
    source: str,
    first: int,
    edits: Sequence[Edit],
) -> list[tuple[Cell, ...]]:
    """The cells of one LSTM, layer by layer, forward before backward, each by its settings.

    ``first`` is the number of its first layer in the model; ``edits`` are
    those of the model.
    """
    given = next(iter(settings.values()))
    dtype = _dtype([tensors[name] for name in found.tensors], given.get("dtype"))
    to = given.get(ROUNDED) or (given.get("dtype") == BFLOAT16 and BFLOAT16)
    rounded = (
        {k: round_to_format(tensors[k], to) for k in found.tensors} if to else tensors
    )
    layers: dict[int, list[Cell]] = {}
    origin: dict[int, Tensors] = {}
    for (layer, direction), names in sorted(found.cells.items()):
        convention = found.convention.changed(settings[layer, direction])
        if settings[layer, direction].get(_FORWARD):
            convention = convention.with_behaviour(forward=True)
        by_role: dict[str, Any] = {
            role: rounded[n]
            if isinstance(n, str)
            else {g: rounded[k] for g, k in n.items()}
            for role, n in names.items()
        }
        of_layer = layers.setdefault(layer, [])
        name = cell_name(first + len(layers) - 1, len(of_layer))
        if of_cell := [
            one for one in edits_in("tensors", edits) if one.cell in ("", name)
        ]:
            if any(one.kind.of_summed for one in of_cell):
                by_role = _with_summed_biases(by_role, of_cell, convention)
            by_role = _edited(
                by_role, of_cell, convention, len(convention.storage.gates)
            )
        with np.errstate(all="ignore"):
            by_role = {
                k: each_array(one, lambda a: a.astype(dtype))
                for k, one in by_role.items()
            }
        for one in split_directions(by_role, convention, source):
            cell = decode(one, convention, source)
            of_layer.append(cell)
            origin[id(cell)] = one
    cells = [tuple(layer) for layer in layers.values()]
    cells = (
        pair_directions(cells) if found.convention.storage.directions_count else cells
    )
    by_cell, turn = (
        _cell_settings(given),
        -1 if given.get("directions") == "exchanged" else 1,
    )
    return [
        tuple(
            decode(
                origin[id(taken)], _changed(cell.convention, changes, d == 1), source
            )
            if (changes := by_cell.get(cell_name(n, d), {})) or taken is not cell
            else cell
            for d, (cell, taken) in enumerate(zip(layer, layer[::turn], strict=True))
        )
        for n, layer in enumerate(cells, first)
    ]


def _with_summed_biases(
    tensors: Tensors, edits: Sequence[Edit], convention: Convention
) -> dict[str, Any]:
    """The tensors of a cell with the sum of its two biases as the first, the second 0."""
    first, second = tensors.get("bias"), tensors.get("recurrent_bias")
    add = partial(np.add, dtype=np.float64)
    if isinstance(first, np.ndarray) and convention.storage.bias_halves == 2:
        halves = np.split(first, 2, axis=-1)
        summed = np.concatenate([add(*halves), 0 * halves[1]], axis=-1)
        return {**tensors, "bias": summed}
    if first is None or second is None:
        lacking = [edit for edit in edits if edit.kind.of_summed]
        refuse_edits(lacking, f"{lacking[0].kind.lacks}.")
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        by_gate = {gate: add(one, second[gate]) for gate, one in first.items()}
        none = dict.fromkeys(second, 0 * next(iter(second.values())))
        return {**tensors, "bias": by_gate, "recurrent_bias": none}
    zeros = np.zeros_like(np.asarray(second))
    return {**tensors, "bias": add(first, second), "recurrent_bias": zeros}


def _edited(
    tensors: Tensors, edits: Sequence[Edit], convention: Convention, gates: int
) -> dict[str, Any]:
    """The tensors of a cell, each of ``gates`` gates, as its edits of stored tensors leave them.

    In float64, whatever is stored and run: a number half way between two
    rounded ones has to become the same one in runs of every dtype.
    """

    def one(tensor: Tensor) -> Tensor:
        if isinstance(tensor, Mapping):
            return _edited(tensor, edits, convention, gates=1)
        axis = _gates_axis(tensor, tensors.get("bias"), convention)
        return np.asarray(
            edited("tensors", edits, tensor.astype(np.float64), axis, gates)
        )

    return {role: one(tensor) for role, tensor in tensors.items()}


def _gates_axis(tensor: Array, bias: Tensor | None, convention: Convention) -> int:
    """The axis of a tensor's gates: that of the bias' size, or the convention's."""
    if tensor.ndim > 1 and isinstance(bias, np.ndarray):
        size = bias.shape[-1] // convention.storage.bias_halves
        fitting = [n for n in (-1, -2) if tensor.shape[n] == size]
        if len(fitting) == 1:
            return fitting[0]
    return -2 if tensor.ndim > 1 and convention.storage.orientation == "rows" else -1


def _dtype(tensors: Sequence[Array], asked: str | None) -> np.dtype[Any]:
    if asked is not None:
        return np.dtype("float32" if asked == BFLOAT16 else asked)
    floats = [a.dtype for a in tensors if a.dtype.kind == "f"]
    return floats[0] if len(floats) == len(tensors) else np.dtype(np.float64)


def _cell_settings(given: Settings) -> dict[str, dict[str, Any]]:
    by_cell: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        cell, setting = split_cell(name)
        if cell:
            by_cell.setdefault(cell, {})[setting] = value
    return by_cell


def _changed(convention: Convention, changes: Settings, backward: bool) -> Convention:
    forward = backward and changes.get("reverse") is False
    return convention.changed(changes).with_behaviour(forward=forward)


def direction_settings(
    found: RecognisedLstm, cell: CellIndex, settings: Settings
) -> dict[str, Any]:
    """The settings of a cell in files, with ``reverse`` where its index does not imply it.

    A backward cell runs backward by its index if there is a forward one;
    without, by ``reverse``.
    """
    layer, direction = cell
    if (layer, 1 - direction) not in found.cells:
        return {"reverse": True, **settings} if direction else dict(settings)
    reverse = settings.get("reverse")
    others = {name: value for name, value in settings.items() if name != "reverse"}
    if reverse is None or reverse is bool(direction):
        return others
    return others | ({_FORWARD: True} if direction else {"reverse": True})


def runs_backward(found: RecognisedLstm, cell: CellIndex, settings: Settings) -> bool:
    """Return whether a cell runs backward by its index and `direction_settings`."""
    layer, direction = cell
    by_index = (
        direction == 1 and (layer, 0) in found.cells and not settings.get(_FORWARD)
    )
    return bool(settings.get("reverse", by_index))


def check_cell_settings(layers: Sequence[tuple[Cell, ...]], given: Settings) -> None:
    """Refuse a setting of a cell that is not there."""
    cells = [cell_name(n, d) for n, la in enumerate(layers) for d in range(len(la))]
    for name in given:
        if (cell := split_cell(name)[0]) and cell not in cells:
            there = f"there is {', '.join(cells)}.{did_you_mean(cell, cells)}"
            raise UserError(f"{name}: there is no cell {cell}; {there}")


def check_layers(
    layers: Sequence[tuple[Cell, ...]], labels: Sequence[str], source: str
) -> None:
    """Refuse a layer that does not take what the one below gives."""
    names = [f"layer {n}" for n in range(len(layers))]
    if len(set(labels)) == len(layers) and all(labels):
        names = list(labels)
    for name, layer in zip(names, layers, strict=True):
        _check_directions(layer, f"{source}: {name}")
    for n, (below, layer) in enumerate(pairwise(layers)):
        width = layer_width(below)
        if layer[0].inputs != width:
            text = f"{names[n + 1]} takes {layer[0].inputs} inputs, but {names[n]} gives {width}."
            raise UserError(f"{source}: {text}")


def _check_directions(layer: tuple[Cell, ...], where: str) -> None:
    if len({cell.inputs for cell in layer}) > 1:
        forward, backward = (cell.inputs for cell in layer)
        both = f"{forward} inputs forward and {backward} backward"
        raise UserError(f"{where} takes {both}; both directions read the same.")
    merge = layer[0].convention.behaviour.merge
    if (
        merge in ("sum", "mul", "ave", "stack")
        and len({cell.shown for cell in layer}) > 1
    ):
        forward, backward = (cell.shown for cell in layer)
        raise UserError(
            f"{where} gives {forward} outputs forward and {backward} backward; merge {merge} needs "
            "as many of both.",
            try_={"merge": "concat"},
        )


# ---- one vector that packs all weights, cut into its tensors


def cut_flat(
    tensors: Mapping[str, Array], given: Settings, source: str
) -> dict[str, Array]:
    """The tensors that one vector packs, by name, by the given convention; else all."""
    row = find_convention(given["convention"]) if "convention" in given else None
    if row is None or not row.names.packed or len(tensors) != 1:
        return dict(tensors)
    ((name, array),) = tensors.items()
    vector = array.reshape(-1)
    if vector.size != max(array.shape, default=1):
        return dict(tensors)
    units, layers, directions = (given.get(size) or 1 for size in SIZES)
    where = f"{source}: {name} has {vector.size:,} numbers"
    if "flat_units" not in given:
        raise UserError(
            f"{where}, all weights of {row.name} in a row; how many units are there?",
            try_=[
                Try({"flat_units": ...}),
                Try(
                    {"flat_units": ..., "flat_layers": ..., "flat_directions": 2},
                    "of several",
                ),
            ],
        )
    if layers * directions > 1 and not any(row.names.marks):
        raise UserError(
            f"{source}: {row.name} packs one layer in one direction; leave out flat_layers and "
            "flat_directions."
        )
    per_input = 4 * units * directions
    rest = sum(prod(shape) for _, shape in _packed(row, 0, units, layers, directions))
    inputs, over = divmod(vector.size - rest, per_input)
    if inputs < 1 or over:
        raise UserError(
            f"{where}; {units} units, {layers} layers and {directions} directions take "
            f"{rest + per_input:,} for one input and {per_input:,} for each further one."
        )
    named: dict[str, Array] = {}
    start = 0
    for name, shape in _packed(row, inputs, units, layers, directions):
        named[name] = vector[start : start + prod(shape)].reshape(shape)
        start += prod(shape)
    return named


def _packed(
    row: Convention, inputs: int, units: int, layers: int, directions: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor in turn; `packed` has ``|`` between passes."""
    for roles in row.names.packed.split(" | "):
        for layer, direction, role in product(
            range(layers), range(directions), roles.split()
        ):
            form, mark = row.names.tensors[role], row.names.marks[direction]
            widths = {"kernel": (units * directions if layer else inputs,)}
            widths["recurrent_kernel"] = (units,)
            yield (
                form.format(layer=layer, direction=mark),
                (4 * units, *widths.get(role, ())),
            )
