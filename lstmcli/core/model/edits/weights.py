"""Edits of the weights: of a gate, at a place, of whole arrays, of layers, and rounded ones.

Most change the arrays (4, H, K) of a cell; those that round change tensors as they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import ANY, FROM_FIRST, Shown, fit
from lstmcli.core.model.edits.family import (
    LATER,
    NEARLY,
    NUMBER,
    Family,
    RunSizes,
    names_of,
    others_put,
)
from lstmcli.core.model.edits.inputs import SHARES
from lstmcli.core.model.model import Cell
from lstmcli.core.model.settings import COUNT, OneOf, Parser, setting_text
from lstmcli.core.model.vocabulary import GATES

Layers = Sequence[Sequence[Cell]]
Values = Callable[[RunSizes], Iterable[Any]]
Words = Callable[[Shown], str]

WEIGHTS = Family("weights", "Every tensor has the shape that it should have")
MOST_EXCHANGED = 40  # columns of which every two are exchanged: 780

_KERNEL, _RECURRENT, _BIAS = "kernel", "recurrent_kernel", "bias"
_ALL = (_KERNEL, _RECURRENT, _BIAS, "peephole", "projection", "projection_bias")
_PARTS = {
    "block": [_KERNEL, _RECURRENT, _BIAS],
    "kernel": [_KERNEL],
    "recurrent": [_RECURRENT],
    "bias": [_BIAS],
}


def _with_changed(
    cell: Cell, names: Iterable[str], change: Callable[[Array], None]
) -> Cell:
    """The cell with copies of arrays that it has, each changed in place."""
    arrays: dict[str, Any] = {}
    for name in names:
        array = getattr(cell, name)
        if array is not None:
            arrays[name] = array.copy()
            change(arrays[name])
    return replace(cell, **arrays)


# ---- the share of a gate

_TIMES = {
    0.0: "left out (0)",
    -1.0: "with the other sign",
    2.0: "twice",
    0.5: "times 0.5",
}
_FACTORS = {
    "block": (2.0, 0.5),
    "bias": (0.0, -1.0, 2.0),
}  # of others the first two of `_TIMES`


def _add_of_gate(part: str, gate: str) -> None:
    others = GATES.replace(gate, "")
    named: dict[Any, str] = {}
    for factor in _FACTORS.get(part, (0.0, -1.0)):
        named[factor] = _TIMES[factor]
    for other in others:
        named[other] = f"taken from gate {other}"
    name = "weights" if part == "block" else _PARTS[part][0]
    share, title = f"{name}[{gate}]", name.replace("_", " ")

    def words(v: Shown) -> str:
        is_factor = v.value != ANY and v.value not in named
        how = f"times {setting_text(v.value)}" if is_factor else v.text
        return f"{title} of gate {gate}: {how}"

    def code(v: Shown) -> str:
        if v.value in [*others]:
            return f"{share} = {name}[{v.value}]"
        sign = "*=" if v.value else "="
        return f"{share} {sign} {setting_text(v.value)}"

    @WEIGHTS.edit(
        f"{part}.{gate}", "cells", words, code, "code that repeats a line per gate",
        f"keep {share}",
        read=Parser("n", f"a factor, or another gate: {', '.join(others)}", named),
        shows=f"Gate {gate} is off at every step",
    )  # fmt: skip
    def of_gate(cell: Cell, value: float | str) -> Cell:
        def change(array: Array) -> None:
            if isinstance(value, str):
                array[GATES.index(gate)] = array[GATES.index(value)]
            else:
                array[GATES.index(gate)] *= array.dtype.type(value)

        return _with_changed(cell, _PARTS[part], change)


for _part, _gate in product(_PARTS, GATES):
    _add_of_gate(_part, _gate)


# ---- damage at a place

_UNITS = "Some units are off at the first step, all others from the second step on"


def _add_of_place(
    part: str, kind: str, how: str, code: Callable[[Any, str], str],
    change: Callable[..., None], read: Parser, *, shows: str, values: Any = (),
) -> None:  # fmt: skip
    """The row on a number, a row or columns of a part; ``change`` takes its array and the value."""
    (name,) = _PARTS[part]
    words = f"{kind} of the {name.replace('_', ' ')} {how}"
    if part == "recurrent" and shows == FROM_FIRST:
        shows = LATER

    @WEIGHTS.edit(
        f"{part}.{kind}", "cells", lambda v: f"{words}: {v}", lambda v: code(v.parts, name),
        "an index that is off by one, a file cut or edited by hand",
        f"compare {name} with the original",
        read=read, shows=shows, values=values(name) if callable(values) else values,
    )  # fmt: skip
    def damaged(cell: Cell, value: Any) -> Cell:
        return _with_changed(cell, [name], lambda array: change(array, *value))


def _put_number(array: Array, gate: str, *place_and_number: Any) -> None:
    *place, number = place_and_number
    array[GATES.index(gate), *place] = number


def _scale_row(array: Array, gate: str, unit: int, factor: float) -> None:
    array[GATES.index(gate), unit] *= array.dtype.type(factor)


def _scale_column(array: Array, column: int, factor: float) -> None:
    array[..., column] *= array.dtype.type(factor)


def _exchange_columns(array: Array, first: int, second: int) -> None:
    array[..., [first, second]] = array[..., [second, first]]


def _each_row(name: str) -> Values:
    return lambda sizes: product(GATES, range(sizes.cell.units), (0.0,))


def _each_column(name: str) -> Values:
    return lambda sizes: product(range(getattr(sizes.cell, name).shape[2]), (0.0,))


def _each_two_columns(name: str) -> Values:
    def values(sizes: RunSizes) -> Iterator[tuple[int, int]]:
        columns = getattr(sizes.cell, name).shape[2]
        if columns <= MOST_EXCHANGED:
            yield from combinations(range(columns), 2)

    return values


for _part in ("kernel", "recurrent"):
    _add_of_place(
        _part, "number", "damaged", lambda v, K: f"{K}[{v[0]}, {v[1]}, {v[2]}] = {v[3]}",
        _put_number, Parser("guun", "a gate, unit, column and value, such as f,3,5,0.25"),
        shows=_UNITS,
    )  # fmt: skip
    _add_of_place(
        _part, "row", "damaged", lambda v, K: f"{K}[{v[0]}, {v[1]}] *= {v[2]}", _scale_row,
        Parser("gun", "a gate, unit and factor, such as f,3,0"), shows=_UNITS, values=_each_row,
    )  # fmt: skip
    _add_of_place(
        _part, "column", "damaged", lambda v, K: f"{K}[..., {v[0]}] *= {v[1]}", _scale_column,
        Parser("un", "a column and a factor, such as 5,0"),
        shows=FROM_FIRST, values=_each_column,
    )  # fmt: skip
    _add_of_place(
        _part, "columns", "exchanged",
        lambda v, K: f"{K}[..., [{v[0]}, {v[1]}]] = {K}[..., [{v[1]}, {v[0]}]]",
        _exchange_columns, Parser("uu", "two columns, such as 2,7"),
        shows=FROM_FIRST, values=_each_two_columns,
    )  # fmt: skip
_add_of_place(
    "bias", "number", "damaged", lambda v, K: f"{K}[{v[0]}, {v[1]}] = {v[2]}", _put_number,
    Parser("gun", "a gate, unit and value, such as f,3,0.25"), shows=_UNITS,
)  # fmt: skip


# ---- whole arrays


def _add_factor(part: str, names: Sequence[str], name: str, **more: Any) -> None:
    title = name.replace("_", " ")
    usual = (0.5, 2.0, 0.1, *more.pop("values", ()))

    @WEIGHTS.edit(
        f"{part}factor", "cells", lambda v: f"{title} times {v}", lambda v: f"{name} *= {v}",
        "weights scaled for a fixed-point format, or by dropout", "divide by the factor",
        read=NUMBER, values=usual, solved=1.0, **more,
    )  # fmt: skip
    def scaled(cell: Cell, factor: float) -> Cell:
        def change(array: Array) -> None:
            array *= array.dtype.type(factor)

        return _with_changed(cell, names, change)


_add_factor("", _ALL, "weights")
_add_factor("kernel.", [_KERNEL], _KERNEL)
_add_factor(
    "recurrent.", [_RECURRENT], _RECURRENT, shows=LATER, values=[1 - p for p in SHARES]
)
_add_factor("bias.", [_BIAS], _BIAS, same={2.0: ("bias", "twice")})


def _add_to_gate(gate: str) -> None:
    @WEIGHTS.edit(
        f"added.{gate}", "cells", lambda v: f"{v} added to gate {gate} before its activation",
        lambda v: f"z[{gate}] += {v}", "a forget bias in the wrong gate order",
        f"z[{gate}] as it is",
        read=NUMBER, shows=f"Gate {gate} is off at every step", values=(1.0, -1.0, 0.5, 2.0),
        solved=0.0,
    )  # fmt: skip
    def added(cell: Cell, number: float) -> Cell:
        def change(bias: Array) -> None:
            bias[GATES.index(gate)] += bias.dtype.type(number)

        return _with_changed(cell, [_BIAS], change)


for _gate in "igo":
    _add_to_gate(_gate)


@WEIGHTS.edit(
    "exchanged", "cells", "kernel and recurrent kernel exchanged", "K, R = R, K",
    "code that reads the tensors by their order", "K, R = kernel, recurrent_kernel",
)  # fmt: skip
def _exchanged(cell: Cell, _: Any) -> Any:
    turned = replace(cell, kernel=cell.recurrent_kernel, recurrent_kernel=cell.kernel)
    return fit(cell.inputs == cell.outputs, turned)


_RESHAPED = {
    "recurrent": ("recurrent kernel", [_RECURRENT]),
    "kernel": ("kernel", [_KERNEL]),
    "both": ("matrix of each kernel", [_KERNEL, _RECURRENT]),
}


def _where_transposed(sizes: RunSizes) -> Iterable[str]:
    is_plain = sizes.cell.convention.storage.transposed == "none"
    return () if is_plain else _RESHAPED


@WEIGHTS.edit(
    "reshaped", "cells", lambda v: f"the plain {v} reshaped, not transposed",
    "w = w.reshape(w.shape[::-1])", "code that calls reshape on an unpacked matrix", "w = w.T",
    read=names_of(_RESHAPED), values=_where_transposed,
)  # fmt: skip
def _reshaped(cell: Cell, which: str) -> Cell:
    """The cell whose matrices, without what their file does to blocks, are read by rows."""
    order, arrays = cell.convention.storage.gates, dict[str, Any]()
    for name in _RESHAPED[which][1]:
        blocks = getattr(cell, name)
        rows = np.concatenate([blocks[GATES.index(gate)] for gate in order])
        read = rows.T.reshape(rows.shape)
        if cell.convention.storage.orientation == "rows":
            read = rows.reshape(rows.shape[::-1]).T
        parts = np.split(read, len(order))
        arrays[name] = np.stack([parts[order.index(gate)] for gate in GATES])
    return replace(cell, **arrays)


# ---- layers and directions


def _layer_orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = range(len(sizes.model.layers))
    for a, b in combinations(plain, 2):
        for others in ({a: b, b: a}, {b: a}, {a: b}):
            yield others_put(plain, others)


@WEIGHTS.edit(
    "layers", "network", lambda v: f"layers use the weights of layers {v}",
    lambda v: f"weights = [weights[n] for n in ({v})]",
    "names sorted as text, an index that is not counted up", "layer n uses n",
    read=Parser("u+", "layers, such as 1,0"), shows="The first layer may agree",
    values=_layer_orders,
)  # fmt: skip
def _of_layers(layers: Layers, order: Sequence[int]) -> Layers:
    return _with_weights(layers, [layers[n] for n in order])


@WEIGHTS.edit(
    "directions", "network", lambda v: f"both directions use the weights of the {v} one",
    lambda v: f"backward = forward = {v}", "a suffix that is left out",
    "each direction uses the weights of that direction",
    read=OneOf("forward", "backward"), shows="One direction agrees, the other does not",
)  # fmt: skip
def _of_direction(layers: Layers, used: str) -> Layers:
    direction = 1 if used == "backward" else 0
    return _with_weights(layers, [[layer[direction]] * 2 for layer in layers])


def _with_weights(layers: Layers, others: Layers) -> Layers:
    """The layers with the weights of as many others."""
    changed = []
    for layer, other_layer in zip(layers, others, strict=True):
        cells = []
        for cell, other in zip(layer, other_layer, strict=True):
            fit(cell.kernel.shape == other.kernel.shape)
            fit(cell.recurrent_kernel.shape == other.recurrent_kernel.shape)
            cells.append(replace(other, convention=cell.convention, edits=cell.edits))
        changed.append(tuple(cells))
    return tuple(changed)


@WEIGHTS.edit(
    "projection", "cells", lambda v: f"projection {v}", lambda v: f"P: {v}",
    "code that multiplies by P, not its transpose", "h = P h",
    read=OneOf("transposed", "none"),
    lacks="the cell has no projection from its units to as many values",
)  # fmt: skip
def _other_projection(cell: Cell, how: str) -> Any:
    if cell.projection is None or cell.units != cell.outputs:
        raise ValueError
    if how == "none":
        return replace(cell, projection=None)
    return replace(cell, projection=cell.projection.T)


# ---- stored tensors that were rounded: an array, the axis of its gates, how many it has

_WITH_BIAS = ("tensor_with_bias", "gate_with_bias")


def _add_rounded(
    name: str, rounded: Callable[..., Array], words: Words, code: Words, used_by: str,
    mend: str = "run the weights as stored", *, read: Parser = COUNT,
    read_summed: Parser = COUNT, values: Sequence[Any] | None = None,
) -> None:  # fmt: skip
    """The rows on rounded tensors: each bias as it is stored, and the sum of both."""
    WEIGHTS.edit(
        name,
        "tensors",
        words,
        code,
        used_by,
        mend,
        read=read,
        shows=NEARLY,
        values=values,
    )(rounded)
    WEIGHTS.edit(
        f"{name}.summed", "tensors", lambda v: f"{words(v)}, both biases added first",
        lambda v: f"b = b_ih + b_hh; {code(v)}", used_by, mend,
        read=read_summed, shows=NEARLY, values=values, of_summed=True,
        lacks="the cell has one stored bias; leave .summed out",
    )(rounded)  # fmt: skip


def _int8(array: Array, axis: int, gates: int, how: str) -> Array:
    per, _, with_bias = how.partition("_")
    if array.ndim < 2 and not with_bias:
        return array
    moved = np.moveaxis(array, axis, 0)
    scales = {"tensor": 1, "gate": gates, "row": len(moved)}[per]
    if len(moved) % scales:
        scales = 1
    parts = moved.reshape(scales, -1)
    largest = np.abs(parts).max(axis=1, keepdims=True, initial=0)
    scale = np.where(largest > 0, largest, 1) / 127
    return np.moveaxis((np.round(parts / scale) * scale).reshape(moved.shape), 0, axis)


def _fixed(array: Array, axis: int, gates: int, bits: int) -> Any:
    return np.round(array * 2**bits) / 2**bits


def _decimals(array: Array, axis: int, gates: int, digits: int) -> Any:
    return np.round(array, digits)


_add_rounded(
    "int8", _int8, lambda v: f"stored tensors rounded to 8 bits, a scale per {v}",
    lambda v: f"w = np.round(w / scale) * scale, scale = abs(w).max() / 127 per {v}",
    "quantised models",
    read=OneOf("tensor", "gate", "row", *_WITH_BIAS), read_summed=OneOf(*_WITH_BIAS),
)  # fmt: skip
_add_rounded(
    "fixed", _fixed, lambda v: f"stored tensors in fixed point, with {v} bits after the point",
    lambda v: f"w = np.round(w * 2**{v}) / 2**{v}", "microcontrollers, FPGAs",
    values=(12, 8, 10, 15, 14, 13, 11, 7, 6, 9),
)  # fmt: skip
_add_rounded(
    "decimals", _decimals, lambda v: f"stored tensors rounded to {v} decimals",
    lambda v: f"w = np.round(w, {v})", "pasted weights", "save every digit: %.9g",
    values=(4, 3, 5, 2, 1, 6),
)  # fmt: skip
