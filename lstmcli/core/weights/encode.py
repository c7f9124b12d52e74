"""A `Cell` as the named tensors of any convention: the inverse of `decode` and `recognise`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.decode import Tensor, Tensors, each_array, from_blocks

EncodedTensors = dict[str, Tensor]

GATED = ("norm_scale", "norm_shift")  # a vector a gate
UNGATED = ("projection_bias", "state_scale", "state_shift")  # vectors without gates
INITIAL = ("initial_h", "initial_c")


def encode(cell: Cell) -> Tensors:
    """The tensors of a cell under its convention, by role, or by role and gate.

    The cell must fit the row (`compatibility.fit_or_refuse`,
    `fold_forget_bias`). It has one bias: the first of a row's two takes it,
    the other is zero. What the row has no role for is left out.
    """
    storage = cell.convention.storage
    tensors: EncodedTensors = {**_kernels(cell), **_biases(cell), **_peepholes(cell)}
    if (projection := cell.projection) is not None:
        tensors["projection"] = projection if storage.projection_rows else projection.T
    for role in (*GATED, *UNGATED, *INITIAL):
        if (array := getattr(cell, role)) is not None:
            states = (
                np.atleast_2d(array) if role in INITIAL else array
            )  # (1, H) or (B, H)
            tensors[role] = _by_gate(cell, role, array) if role in GATED else states
    kept = cell.convention.roles - ({"bias"} if storage.extra_columns else set())
    return {
        role: _as_stored(tensor, storage.is_reshaped(role))
        for role, tensor in tensors.items()
        if role in kept
    }


def fold_forget_bias(cell: Cell, convention: Convention) -> Cell:
    """The cell under another convention; the difference in forget bias is added to its bias.

    The sum is rounded to the cell's dtype. A forget gate that is 1 - i has
    neither. With ``initial_state`` "zero", a learned initial state is dropped.
    """
    source = cell.convention
    if source.behaviour.initial_state == "zero":
        cell = replace(cell, initial_h=None, initial_c=None)
    more = cell.dtype.type(
        source.behaviour.forget_bias - convention.behaviour.forget_bias
    )
    if more == 0 or convention.behaviour.coupled == "f=1-i":
        return replace(cell, convention=convention)
    bias, shift = cell.bias, cell.norm_shift
    if shift is None or "norm_shift" not in convention.roles:
        bias = bias.copy()  # (4, H)
        bias[GATES.index("f")] += more
    if shift is not None:
        shift = shift.copy()  # (4, H)
        shift[GATES.index("f")] += more
    return replace(cell, convention=convention, bias=bias, norm_shift=shift)


def present_gates(convention: Convention) -> str:
    """The gates that have tensors: all but one that is computed from another."""
    storage, coupled = convention.storage, convention.behaviour.coupled
    return "".join(
        gate for gate in storage.letters if storage.absent.get(gate) != coupled
    )


def stack_directions(cells: list[Tensors]) -> Tensors:
    """The tensors of a layer's directions, on a first axis."""
    roles = cells[0]
    return {role: np.stack([np.asarray(one[role]) for one in cells]) for role in roles}


def _as_stored(tensor: Tensor, is_reshaped: bool) -> Tensor:
    if is_reshaped and not isinstance(tensor, Mapping):
        tensor = tensor.T.reshape(tensor.shape)
    return each_array(tensor, np.ascontiguousarray)


# ---- kernels


def _kernels(cell: Cell) -> EncodedTensors:
    names, storage = cell.convention.names, cell.convention.storage
    kernel = _transpose_blocks(cell, "kernel", cell.kernel)  # (4, H, I)
    recurrent = _transpose_blocks(cell, "recurrent", cell.recurrent_kernel)  # (4, H, P)
    is_fused = "fused" in names.tensors
    if names.has_tensor_per_gate:
        blocks = {"kernel": kernel, "recurrent_kernel": recurrent}
        blocks = {"fused": _joined(cell, kernel, recurrent)} if is_fused else blocks
        return {role: _per_gate(cell, of_gates) for role, of_gates in blocks.items()}
    kernel = _in_order(cell, kernel, "kernel")  # (4H, I)
    recurrent = _in_order(cell, recurrent, "recurrent")  # (4H, P)
    if is_fused:
        parts = [_joined(cell, kernel, recurrent)]
        if storage.extra_columns:
            bias = _in_order(cell, cell.bias[:, :, None], "bias")  # (4H, 1)
            parts.insert(0 if storage.bias_row == "first" else 1, bias)
        return {"fused": _oriented(cell, np.concatenate(parts, axis=1))}
    recurrent = _oriented(cell, recurrent)
    if storage.peephole_columns and cell.peephole is not None:
        recurrent = np.concatenate([recurrent, _peephole_rows(cell).T], axis=1)
    return {"kernel": _oriented(cell, kernel), "recurrent_kernel": recurrent}


def _joined(cell: Cell, kernel: Array, recurrent: Array) -> Array:
    """The columns of inputs and h, (..., I + P), in the convention's order."""
    is_x_first = cell.convention.storage.rows == "xh"
    pair = (kernel, recurrent) if is_x_first else (recurrent, kernel)
    return np.concatenate(pair, axis=-1)


def _in_order(cell: Cell, blocks: Array, tensor: str) -> Array:
    """(4, H, K) as (4H, K), in the convention's order of gates."""
    storage = cell.convention.storage
    return from_blocks(blocks, storage.order_of(tensor), storage.interleaved)


def _transpose_blocks(cell: Cell, name: str, blocks: Array) -> Array:
    """Blocks (4, H, K), each transposed if the convention stores them so."""
    if cell.convention.storage.transposed not in (name, "both"):
        return blocks
    _, units, width = blocks.shape
    return blocks.reshape(4, width, units).swapaxes(1, 2)


def _per_gate(cell: Cell, blocks: Array) -> Mapping[str, Array]:
    gates = present_gates(cell.convention)
    return {gate: _oriented(cell, blocks[GATES.index(gate)]) for gate in gates}


def _oriented(cell: Cell, matrix: Array) -> Array:
    return matrix if cell.convention.storage.orientation == "rows" else matrix.T


# ---- vectors


def _by_gate(cell: Cell, role: str, array: Array) -> Tensor:
    """(4, H) in the order of the bias, or a vector per gate."""
    names = cell.convention.names
    numbered = any(one.startswith(f"{role}.") for one in names.numbered)
    if "{gate}" in names.tensors.get(role, "") or numbered:
        return {
            gate: array[GATES.index(gate)] for gate in present_gates(cell.convention)
        }
    return _in_order(cell, array[:, :, None], "bias")[:, 0]


def _biases(cell: Cell) -> EncodedTensors:
    bias, roles = cell.bias, cell.convention.roles
    if cell.norm_scale is not None:
        if "norm_shift" in roles:  # it replaces the bias
            return {}
        bias = bias if cell.norm_shift is None else cell.norm_shift
    first, *others = (role for role in ("bias", "recurrent_bias") if role in roles)
    tensors: EncodedTensors = {first: _by_gate(cell, first, bias)}
    tensors |= {role: _by_gate(cell, role, np.zeros_like(bias)) for role in others}
    if cell.convention.storage.bias_halves == 2:
        flat = np.asarray(tensors["bias"])
        tensors["bias"] = np.concatenate([flat, np.zeros_like(flat)])
    return tensors


def _peepholes(cell: Cell) -> EncodedTensors:
    peephole, names = cell.peephole, cell.convention.names
    if peephole is None and names.peephole_matrices:  # its cells always have them
        peephole = np.zeros((3, cell.units, cell.units), cell.dtype)
    if peephole is None or cell.convention.storage.peephole_columns:
        return {}
    if names.peephole_matrices or "{gate}" in names.tensors.get("peephole", ""):
        gates = present_gates(cell.convention).replace("g", "")
        return {"peephole": {gate: peephole["ifo".index(gate)] for gate in gates}}
    return {"peephole": _peephole_rows(cell).reshape(-1)}


def _peephole_rows(cell: Cell) -> Array:
    """(3, H) in the row's order."""
    assert cell.peephole is not None
    order = cell.convention.storage.peephole_gates
    return cell.peephole[["ifo".index(gate) for gate in order]]


# ---- names


def named_tensors(layers: Sequence[Sequence[Cell]]) -> dict[str, Array]:
    """The tensors of a network under its convention's names, layer by layer."""
    convention = layers[0][0].convention
    names, storage = convention.names, convention.storage
    forms = prefix_forms(convention, layers)
    assert forms is not None, "fit_or_refuse refuses directions without names"
    named: dict[str, Array] = {}
    for n, layer in enumerate(layers):
        cells = [encode(cell) for cell in layer]
        if storage.direction_axis:
            cells = [stack_directions(cells)]
        pair = f"{names.pairs}/" if names.pairs and len(layer) == 2 else ""
        nth = forms[:n].count(forms[n])  # Keras numbers each class of layers
        for d, tensors in enumerate(cells):
            builder = 2 * n + d if pair else 0
            each = (
                (role, gate, array)
                for role, tensor in tensors.items()
                for gate, array in (
                    tensor if isinstance(tensor, Mapping) else {"": tensor}
                ).items()
            )
            for role, gate, array in each:
                form = (
                    pair
                    + forms[n]
                    + _template(convention, role, gate, 0 if pair else n)
                )
                name = form.format(
                    gate=names.word(gate, role) if gate else "",
                    layer=n * len(layer) + d if storage.directions_count else n,
                    nth=f"_{nth}" if nth else "",
                    builder=f"_{builder}" if builder else "",
                    direction=names.direction_marks[d],
                )
                named[name] = array
    return named


def prefix_forms(
    convention: Convention, layers: Sequence[Sequence[Cell]]
) -> list[str] | None:
    """The forms before the templates of each layer; None if the row has no such names.

    Layers of one direction and of two need an axis of directions, or prefixes
    that differ.
    """
    forms = [_prefix_form(convention, len(layers), len(layer) == 2) for layer in layers]
    mixed = len(set(map(len, layers))) > 1 and not convention.storage.direction_axis
    names = [
        form for form in forms if form is not None and ("{nth}" in form or not mixed)
    ]
    return names if len(names) == len(layers) else None


def _prefix_form(convention: Convention, layers: int, both: bool) -> str | None:
    """The first form of ``under`` that has what the templates lack."""
    templates, storage = "".join(convention.names.tensors.values()), convention.storage
    needs = set()
    if layers > 1 and "{layer}" not in templates and "{number}" not in templates:
        needs.add("layer")
    has_axis = storage.direction_axis or storage.directions_count
    if both and not (
        has_axis or "{direction}" in templates or "{builder}" in templates
    ):
        needs.add("direction")
    for form in convention.names.under.split(" | "):
        given = {
            word for word in needs if f"{{{word}}}" in form.replace("{nth}", "{layer}")
        }
        if needs == given:
            return form
    return None


def _template(convention: Convention, role: str, gate: str, layer: int) -> str:
    tensors, numbered = convention.names.tensors, convention.names.numbered
    if role in tensors:
        return tensors[role].split(" | ")[0]
    number = layer * len(numbered) + numbered.index(f"{role}.{gate}" if gate else role)
    return tensors["numbered"].replace("{number}", str(number))
