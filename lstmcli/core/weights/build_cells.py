"""The cells of a recognised LSTM from its tensors, and whether the layers of a model fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import ROUNDED, Array, round_to_format
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.edit import Edit, edited, edits_in, refuse_edits
from lstmcli.core.model.model import Cell, cell_name, layer_width, named_cells
from lstmcli.core.model.settings import split_cell
from lstmcli.core.weights.decode import are_pairs, decode, split_directions
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.stored import BIASES, Tensors
from lstmcli.core.weights.templates import CellIndex, RecognisedLstm, Settings
from lstmcli.errors import UserError, did_you_mean

BFLOAT16 = "bfloat16"
_FORWARD = "forward"  # internal: a backward cell that, by its file, runs forward


class _Plan(NamedTuple):
    """The tensors of a cell and the convention to decode them."""

    tensors: Tensors
    convention: Convention


def build_layers(
    found: RecognisedLstm,
    tensors: Mapping[str, Array],
    settings: Mapping[CellIndex, Settings],
    source: str,
    first: int,
    edits: Sequence[Edit],
) -> list[tuple[Cell, ...]]:
    """The cells of one LSTM, layer by layer, forward before backward, each by its settings.

    ``first`` is the number of its first layer in the model; ``edits`` are those of the model.
    """
    given = next(iter(settings.values()))
    dtype = _dtype([tensors[name] for name in found.tensors], given.get("dtype"))
    arrays = _rounded(found, tensors, given)
    by_layer: dict[int, list[_Plan]] = {}
    for index in sorted(found.cells):
        plans = by_layer.setdefault(index[0], [])
        convention = _convention(found, settings[index])
        stored = {slot: arrays[name] for slot, name in found.cells[index].items()}
        cell = cell_name(first + len(by_layer) - 1, len(plans))
        stored = _cast(_edited(stored, edits, cell, convention), dtype)
        for one in split_directions(stored, convention, source):
            plans.append(_Plan(one, convention))
    layers = list(by_layer.values())
    if found.convention.storage.directions_count:
        layers = _paired(layers, source)
    return [_decoded(plans, n, given, source) for n, plans in enumerate(layers, first)]


def _rounded(
    found: RecognisedLstm, tensors: Mapping[str, Array], given: Settings
) -> Mapping[str, Array]:
    """The tensors, those of the LSTM rounded to a 16-bit format if a setting asks for it."""
    to = given.get(ROUNDED)
    if not to and given.get("dtype") == BFLOAT16:
        to = BFLOAT16
    if not to:
        return tensors
    return {name: round_to_format(tensors[name], to) for name in found.tensors}


def _cast(tensors: Tensors, dtype: np.dtype[Any]) -> dict[Slot, Array]:
    with np.errstate(all="ignore"):
        return {slot: array.astype(dtype) for slot, array in tensors.items()}


def _convention(found: RecognisedLstm, settings: Settings) -> Convention:
    convention = found.convention.changed(settings)
    if settings.get(_FORWARD):
        convention = convention.with_behaviour(forward=True)
    return convention


def _paired(layers: list[list[_Plan]], source: str) -> list[list[_Plan]]:
    """Layers of two directions, where directions have a running number of their own."""
    plans = [plan for (plan,) in layers]
    cells = [decode(plan.tensors, plan.convention, source) for plan in plans]
    if not are_pairs(cells):
        return layers
    return [plans[n : n + 2] for n in range(0, len(plans), 2)]


def _decoded(
    plans: Sequence[_Plan], layer: int, given: Settings, source: str
) -> tuple[Cell, ...]:
    """The cells of a layer, by their own settings too."""
    tensors = [plan.tensors for plan in plans]
    if given.get("directions") == "exchanged":
        tensors.reverse()
    cells = []
    for direction, plan in enumerate(plans):
        convention = plan.convention
        changes = _cell_settings(given).get(cell_name(layer, direction))
        if changes:
            is_forward = direction == 1 and changes.get("reverse") is False
            convention = convention.changed(changes).with_behaviour(forward=is_forward)
        cells.append(decode(tensors[direction], convention, source))
    return tuple(cells)


def _edited(
    tensors: Tensors, edits: Sequence[Edit], cell: str, convention: Convention
) -> Tensors:
    """The tensors of a cell as its edits of stored tensors leave them.

    In float64, whatever is stored and run: a number half way between two rounded ones has to become
    the same one in runs of every dtype.
    """
    edits = [edit for edit in edits_in("tensors", edits) if edit.cell in ("", cell)]
    if not edits:
        return tensors
    summed = [edit for edit in edits if edit.kind.of_summed]
    if summed:
        tensors = _with_summed_biases(tensors, summed, convention)
    changed = {}
    for slot, array in tensors.items():
        gates = 1 if slot.gate else len(convention.storage.gates)
        axis = _gates_axis(array, tensors.get(Slot("bias")), convention)
        doubles = array.astype(np.float64)
        changed[slot] = np.asarray(edited("tensors", edits, doubles, axis, gates))
    return changed


def _with_summed_biases(
    tensors: Tensors, edits: Sequence[Edit], convention: Convention
) -> Tensors:
    """The tensors of a cell with the sum of its two biases as the first, the second 0."""
    add = partial(np.add, dtype=np.float64)
    bias = tensors.get(Slot("bias"))
    if bias is not None and convention.storage.bias_halves == 2:
        halves = np.split(bias, 2, axis=-1)
        summed = np.concatenate([add(*halves), 0 * halves[1]], axis=-1)
        return {**tensors, Slot("bias"): summed}
    if not {*BIASES} <= {slot.role for slot in tensors}:
        refuse_edits(edits, f"{edits[0].kind.lacks}.")
    changed = {**tensors}
    for slot, second in tensors.items():
        if slot.role == "recurrent_bias":
            first = slot._replace(role="bias")
            changed[first] = add(tensors.get(first, 0), second)
            changed[slot] = np.zeros_like(second)
    return changed


def _gates_axis(tensor: Array, bias: Array | None, convention: Convention) -> int:
    """The axis of a tensor's gates: that of the bias' size, or the convention's."""
    if tensor.ndim > 1 and bias is not None and bias.ndim:
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
    of_cell = dict(settings)
    reverse = of_cell.pop("reverse", None)
    if reverse is True and direction == 0:
        of_cell["reverse"] = True
    elif reverse is False and direction == 1:
        of_cell[_FORWARD] = True
    return of_cell


def runs_backward(found: RecognisedLstm, cell: CellIndex, settings: Settings) -> bool:
    """Return whether a cell runs backward by its index and `direction_settings`."""
    layer, direction = cell
    by_index = (
        direction == 1 and (layer, 0) in found.cells and not settings.get(_FORWARD)
    )
    return bool(settings.get("reverse", by_index))


def check_cell_settings(layers: Sequence[tuple[Cell, ...]], given: Settings) -> None:
    """Refuse a setting of a cell that is not there."""
    cells = [name for name, _ in named_cells(layers)]
    for name in given:
        cell, _ = split_cell(name)
        if cell and cell not in cells:
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
