"""How a row stores the tensors of a cell: steps between those of a file and those of a `Cell`.

`decode` takes the steps of `STEPS` one after another, `encode` takes each back, the last one first,
and the recipe of a conversion has the words of a step for two rows. A step that a row does not
have leaves the tensors as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import (
    CONVENTIONS,
    Convention,
    Storage,
    describe_role,
)
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES, spaced_order
from lstmcli.core.weights.orientation import check_matrices, gates_are_rows
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.stored import (
    BIASES,
    INITIAL,
    KERNELS,
    MATRICES,
    PEEPHOLES,
    UNGATED,
    VECTORS,
    Changed,
    Stored,
    role_name,
)

# ---- matrices that were reshaped, where they should have been transposed


def _reshaped_roles(stored: Stored) -> list[str]:
    reshaped = [role for role in MATRICES if stored.storage.is_reshaped(role)]
    return [role for role in reshaped if not stored.by_gate(role)]


def _undo_reshape(stored: Stored) -> Stored:
    roles = _reshaped_roles(stored)
    return stored.each(roles, lambda matrix: matrix.reshape(matrix.shape[::-1]).T)


def _reshape(stored: Stored) -> Stored:
    roles = _reshaped_roles(stored)
    return stored.each(roles, lambda matrix: matrix.T.reshape(matrix.shape))


# ---- peepholes that are columns of the recurrent kernel (H, 4H + 3)


def _take_peephole_columns(stored: Stored) -> Stored:
    recurrent = stored.of("recurrent_kernel")
    if not stored.storage.peephole_columns or recurrent is None or recurrent.ndim != 2:
        return stored
    units, width = recurrent.shape
    if width != 4 * units + 3:
        return stored
    peephole = np.ascontiguousarray(recurrent[:, -3:].T)
    return stored.with_tensors(
        {Slot("recurrent_kernel"): recurrent[:, :-3], Slot("peephole"): peephole}
    )


def _put_peephole_columns(stored: Stored) -> Stored:
    peephole = stored.of("peephole")
    if not stored.storage.peephole_columns or peephole is None:
        return stored
    columns = peephole.reshape(3, -1).T
    recurrent = np.concatenate(
        [stored.tensors[Slot("recurrent_kernel")], columns], axis=1
    )
    return stored.with_tensors(
        {Slot("recurrent_kernel"): recurrent}, without=["peephole"]
    )


# ---- orientation: gates along the rows (4H, K), or one gate's units (H, K)


def _turn_to_rows(stored: Stored) -> Stored:
    check_matrices(stored)
    along_rows = gates_are_rows(stored)
    orientation = "rows" if along_rows else "cols"
    if orientation != stored.storage.orientation:
        shown = replace(stored.storage, orientation=orientation)
        stored = replace(stored, convention=replace(stored.convention, storage=shown))
    return stored if along_rows else stored.each(MATRICES, np.transpose)


def _turn_to_stored(stored: Stored) -> Stored:
    if stored.storage.orientation == "rows":
        return stored
    return stored.each(MATRICES, np.transpose)


# ---- one kernel for inputs and h, perhaps with the bias


def _split_fused(stored: Stored) -> Stored:
    """Of the columns (4H, I + P) those of the inputs and those of h; a bias before or behind."""
    storage, changed = stored.storage, Changed()
    for slot, matrix in stored.tensors.items():
        if slot.role != "fused":
            continue
        gate, columns = slot.gate, matrix
        units = len(matrix) if gate else len(matrix) // len(storage.gates)
        if storage.bias_row == "first" and not gate:
            changed[Slot("bias")], columns = matrix[:, 0], matrix[:, 1:]
        elif storage.bias_row == "last" and not gate:
            changed[Slot("bias")], columns = matrix[:, -1], matrix[:, :-1]
        outputs = _outputs(stored, units, matrix.shape, columns.shape[1])
        inputs = columns.shape[1] - outputs
        if storage.rows == "xh":
            x, h = columns[:, :inputs], columns[:, inputs:]
        else:
            x, h = columns[:, outputs:], columns[:, :outputs]
        changed[Slot("kernel", gate)] = x
        changed[Slot("recurrent_kernel", gate)] = h
    return stored.with_tensors(changed, without=["fused"])


def _outputs(stored: Stored, units: int, shape: tuple[int, ...], columns: int) -> int:
    """P of a fused kernel, of which the projection tells."""
    projection = stored.of("projection")
    if projection is None:
        return units
    outputs = min(projection.shape, default=0)
    if not 0 < outputs < columns:
        fused = shape if stored.storage.orientation == "rows" else shape[::-1]
        raise stored.error(
            f"the kernel is {fused} and the projection {projection.shape}; with {units} units "
            f"and P outputs these are (I + P, {shape[0]}) and (P, {units})"
        )
    return outputs


def _fuse(stored: Stored) -> Stored:
    if "fused" not in stored.convention.names.tensors:
        return stored
    storage, changed, gone = stored.storage, Changed(), [*KERNELS]
    for slot, kernel in stored.tensors.items():
        if slot.role != "kernel":
            continue
        parts = [kernel, stored.tensors[Slot("recurrent_kernel", slot.gate)]]
        if storage.rows == "hx":
            parts.reverse()
        if storage.extra_columns and not slot.gate:
            bias = stored.tensors[Slot("bias")][:, np.newaxis]
            parts.insert(0 if storage.bias_row == "first" else 2, bias)
            gone.append("bias")
        changed[Slot("fused", slot.gate)] = np.concatenate(parts, axis=1)
    return stored.with_tensors(changed, without=gone)


def _kernel_words(row: Convention, cell: Cell) -> str:
    outputs = "H" if cell.projection is None else "P"
    words = []
    for role, shape in row.kernel_shapes(outputs).items():
        words.append(f"{_tensor_words(row, role)} {shape}")
    text, transposed = " and ".join(words), row.storage.transposed
    if transposed.startswith("reshaped"):
        return f"{text}, reshaped"
    if transposed != "none":
        return f"{text}, each gate's block transposed"
    return text


def _tensor_words(row: Convention, role: str) -> str:
    """The tensor of a role by its name in the row; of one per gate, the first."""
    if role not in row.names.tensors:
        return describe_role(role)
    first = row.tensor_names(role)[0]
    return f"{first}, ..." if row.names.is_per_gate(role) else first


# ---- a bias with two halves, of the inputs and of h


def _cut_halves(stored: Stored) -> Stored:
    bias, recurrent = stored.of("bias"), stored.of("recurrent_kernel")
    if stored.storage.bias_halves != 2 or bias is None or recurrent is None:
        return stored
    if bias.size != 2 * len(recurrent):
        return stored
    first, second = np.split(bias.reshape(-1), 2)
    return stored.with_tensors({Slot("bias"): first, Slot("recurrent_bias"): second})


def _join_halves(stored: Stored) -> Stored:
    if stored.storage.bias_halves != 2:
        return stored
    both = np.concatenate([stored.tensors[Slot(role)] for role in BIASES])
    return stored.with_tensors({Slot("bias"): both}, without=["recurrent_bias"])


# ---- gates: one after another in some order, unit by unit, or a tensor each


def to_blocks(matrix: Array, order: str, interleaved: bool = False) -> Array:
    """(4H, K), gates in some order -> (4, H, K), gates i f g o.

    An order of three gates, of a coupled cell, leaves zeros for the fourth.
    """
    gates, width = len(order), matrix.shape[1]
    if interleaved:  # row 4u + k is gate k of unit u
        blocks = matrix.reshape(-1, gates, width).swapaxes(0, 1)
    else:
        blocks = matrix.reshape(gates, -1, width)
    # one copy, in C order: an index would keep the order of memory
    stacked = np.zeros((4, *blocks.shape[1:]), matrix.dtype)
    for block, gate in zip(blocks, order, strict=True):
        stacked[GATES.index(gate)] = block
    return stacked


def from_blocks(blocks: Array, order: str, interleaved: bool = False) -> Array:
    """The inverse of `to_blocks`: (4, H, K) -> (4H, K)."""
    blocks = blocks[[GATES.index(gate) for gate in order]]
    if interleaved:
        blocks = blocks.swapaxes(0, 1)
    return blocks.reshape(-1, blocks.shape[2])


def present_gates(convention: Convention) -> str:
    """The gates that have tensors: all but one that is computed from another."""
    absent, coupled = convention.storage.absent, convention.behaviour.coupled
    letters = convention.storage.letters
    return "".join(gate for gate in letters if absent.get(gate) != coupled)


def _order(storage: Storage, role: str) -> str:
    """The order of gates in the tensors of a role."""
    names = {"kernel": "kernel", "recurrent_kernel": "recurrent"}
    return storage.order_of(names.get(role, "bias"))


def _is_per_gate(row: Convention, role: str) -> bool:
    if role in KERNELS:
        return row.names.has_tensor_per_gate
    return row.names.is_per_gate(role)


def _read_gates(stored: Stored) -> Stored:
    changed = Changed()
    for role in (*KERNELS, *VECTORS):
        array, by_gate = stored.of(role), stored.by_gate(role)
        if by_gate:
            changed[Slot(role)] = _stacked(stored, role, by_gate)
        elif array is not None:
            changed[Slot(role)] = _blocks(stored, role, array)
    return _with_shown_coupling(stored).with_tensors(changed)


def _blocks(stored: Stored, role: str, array: Array) -> Array:
    order = _order(stored.storage, role)
    matrix = array if role in KERNELS else array.reshape(-1, 1)
    if len(matrix) % len(order):
        raise stored.error(
            f"the {role_name(role)} has {len(matrix)} numbers, no multiple of {len(order)} gates"
        )
    blocks = to_blocks(matrix, order, stored.storage.interleaved)
    return blocks if role in KERNELS else blocks[:, :, 0]


def _stacked(stored: Stored, role: str, by_gate: Mapping[str, Array]) -> Array:
    """(4, ...) from an array per gate; a changed order permutes the gates' names."""
    if role in VECTORS:
        by_gate = {gate: np.ravel(array) for gate, array in by_gate.items()}
        if len({array.size for array in by_gate.values()}) > 1:
            raise stored.error(f"the {role_name(role)}s of its gates differ in length")
    some = next(iter(by_gate.values()))
    stacked = np.zeros((4, *some.shape), some.dtype)
    usual = CONVENTIONS[stored.convention.name].storage.gates
    order, places = _order(stored.storage, role), {}
    if len(order) == len(usual):
        places = dict(zip(usual, order, strict=True))
    for gate, array in by_gate.items():
        stacked[GATES.index(places.get(gate, gate))] = array
    return stacked


def _with_shown_coupling(stored: Stored) -> Stored:
    """With the coupling that a gate without tensors shows."""
    present = stored.by_gate("kernel")
    for gate, coupled in stored.storage.absent.items():
        if present and gate not in present:
            convention = stored.convention.with_behaviour(coupled=coupled)
            return replace(stored, convention=convention)
    return stored


def _write_gates(stored: Stored) -> Stored:
    storage, changed = stored.storage, Changed()
    for role in (*KERNELS, *VECTORS):
        blocks = stored.of(role)
        if blocks is None:
            continue
        if _is_per_gate(stored.convention, role):
            for gate in present_gates(stored.convention):
                changed[Slot(role, gate)] = blocks[GATES.index(gate)]
            continue
        order, is_interleaved = _order(storage, role), storage.interleaved
        if role in KERNELS:
            changed[Slot(role)] = from_blocks(blocks, order, is_interleaved)
        else:
            column = from_blocks(blocks[:, :, np.newaxis], order, is_interleaved)
            changed[Slot(role)] = column[:, 0]
    return stored.with_tensors(changed)


def _gate_words(row: Convention, cell: Cell) -> str:
    """The gate order; of each of the three tensors where they differ."""
    if row.names.has_tensor_per_gate:
        return "a tensor per gate"
    orders = {}
    for tensor in ("kernel", "recurrent", "bias"):
        orders[tensor] = spaced_order(row.storage.order_of(tensor))
    text = orders["kernel"]
    if len({*orders.values()}) > 1:
        text = ", ".join(f"{order} in the {tensor}" for tensor, order in orders.items())
    return f"{text}, alternating unit by unit" if row.storage.interleaved else text


# ---- blocks (4, H, K) of which each was transposed, as by Keras' CuDNNLSTM


def _transposed_roles(stored: Stored) -> list[str]:
    roles = {
        "kernel": ["kernel"],
        "recurrent": ["recurrent_kernel"],
        "both": [*KERNELS],
    }
    return roles.get(stored.storage.transposed, [])


def _undo_transposed(stored: Stored) -> Stored:
    def turned(blocks: Array) -> Array:
        return blocks.swapaxes(1, 2).reshape(blocks.shape)

    return stored.each(_transposed_roles(stored), turned)


def _transpose(stored: Stored) -> Stored:
    def turned(blocks: Array) -> Array:
        gates, units, width = blocks.shape
        return blocks.reshape(gates, width, units).swapaxes(1, 2)

    return stored.each(_transposed_roles(stored), turned)


# ---- peepholes (3, H) of i, f, o; full matrices (3, H, H)


def _read_peepholes(stored: Stored) -> Stored:
    array, by_gate = stored.of("peephole"), stored.by_gate("peephole")
    if by_gate:
        if not stored.convention.names.peephole_matrices:
            by_gate = {gate: np.ravel(one) for gate, one in by_gate.items()}
        zero = np.zeros_like(next(iter(by_gate.values())))
        if any(one.shape != zero.shape for one in by_gate.values()):
            raise stored.error("the peepholes of its gates differ in shape")
        array = np.array([by_gate.get(gate, zero) for gate in PEEPHOLES])
    elif array is None:
        return stored
    elif array.size % 3:
        raise stored.error(f"the peepholes are {array.shape}; three gates' are (3H,)")
    else:
        order = stored.storage.peephole_gates
        array = array.reshape(3, -1)[[order.index(gate) for gate in PEEPHOLES]]
    return stored.with_tensors({Slot("peephole"): array})


def _write_peepholes(stored: Stored) -> Stored:
    peephole, names = stored.of("peephole"), stored.convention.names
    if peephole is None and names.peephole_matrices:  # its cells always have them
        kernel = stored.tensors[Slot("kernel")]
        units = kernel.shape[1]
        peephole = np.zeros((3, units, units), kernel.dtype)
    if peephole is None:
        return stored
    if names.is_per_gate("peephole"):
        gates = present_gates(stored.convention).replace("g", "")
        each = {Slot("peephole", g): peephole[PEEPHOLES.index(g)] for g in gates}
        return stored.with_tensors(each)
    order = [PEEPHOLES.index(gate) for gate in stored.storage.peephole_gates]
    return stored.with_tensors({Slot("peephole"): peephole[order].reshape(-1)})


def _peephole_words(row: Convention, cell: Cell) -> str:
    if cell.peephole is None:
        return "zeros, which it always has" if row.names.peephole_matrices else ""
    order = spaced_order(row.storage.peephole_gates)
    if row.storage.peephole_columns:
        return f"columns of the recurrent kernel, {order}"
    if row.names.is_per_gate("peephole"):
        return "a tensor per gate"
    return f"tensor {row.names.tensors.get('peephole', '')} (3H,), {order}"


# ---- the biases, which a cell has as one; layer normalisation adds its own


_SUMS: dict[
    str, Callable[[Array, Array], Array]
] = {  # of the input's and the recurrent one
    "once": lambda first, second: first + second,
    "twice": lambda first, second: 2 * (first + second),
    "none": lambda first, second: np.zeros_like(first),
    "input_only": lambda first, second: first,
    "recurrent_only": lambda first, second: second,
    "input_twice": lambda first, second: 2 * first,
    "recurrent_twice": lambda first, second: 2 * second,
}


def _sum_biases(stored: Stored) -> Stored:
    kernel = stored.tensors[Slot("kernel")]
    units = stored.tensors[Slot("recurrent_kernel")].shape[1]
    biases = []
    for role in BIASES:
        bias = stored.of(role)
        if bias is None:
            bias = np.zeros((4, units), kernel.dtype)
        if bias.shape != (4, units):
            needed = f"{units} units need {4 * units} (4 gates)"
            raise stored.error(f"the bias has {bias.size} numbers; {needed}")
        biases.append(bias)
    with np.errstate(all="ignore"):  # of numbers that are not finite
        summed = _SUMS[stored.storage.bias](*biases)
    changed = {Slot("bias"): summed}
    if stored.of("norm_scale") is not None and stored.of("norm_shift") is None:
        changed[Slot("norm_shift")] = summed  # added after the norm, as in TFLite
    return stored.with_tensors(changed, without=["recurrent_bias"])


def _spread_biases(stored: Stored) -> Stored:
    """The first of a row's biases is that of the cell, the other one zero."""
    roles, bias = stored.convention.roles, stored.tensors[Slot("bias")]
    if stored.of("norm_scale") is not None:
        if "norm_shift" in roles:  # it replaces the bias
            return stored.with_tensors({}, without=["bias"])
        bias = stored.tensors.get(Slot("norm_shift"), bias)
    zero = np.zeros_like(bias)
    if stored.storage.bias_halves == 2:
        both = {Slot("bias"): bias, Slot("recurrent_bias"): zero}
        return stored.with_tensors(both)
    first, *others = [role for role in BIASES if role in roles]
    changed = {Slot(first): bias}
    for role in others:
        changed[Slot(role)] = zero
    return stored.with_tensors(changed, without=["bias"])


def _bias_words(row: Convention, cell: Cell) -> str:
    if cell.norm_scale is not None and "norm_shift" in row.roles:
        return "what is added after the normalisation"
    text, times = " + ".join(bias_names(row)), row.storage.bias
    return text if times == "once" else f"{times.replace('_', ' ')} of {text}"


def bias_names(row: Convention) -> list[str]:
    """The names of the one or two biases of a row, or of the halves of one."""
    if row.storage.bias_halves == 2:
        name = _tensor_words(row, "bias")
        return [f"{name}[:4H]", f"{name}[4H:]"]
    return [_tensor_words(row, role) for role in BIASES if role in row.roles]


# ---- a projection (P, H), vectors and states


def _turn_projection(stored: Stored) -> Stored:
    """The shape decides the orientation unless P = H."""
    projection = stored.of("projection")
    if projection is None:
        return stored
    _, units, outputs = stored.tensors[Slot("recurrent_kernel")].shape
    is_square = outputs == units
    is_as_row = stored.storage.projection_rows or not is_square
    if projection.shape == (outputs, units) and is_as_row:
        return stored
    if projection.shape == (units, outputs):
        turned = np.ascontiguousarray(projection.T)
        return stored.with_tensors({Slot("projection"): turned})
    raise stored.error(
        f"the projection is {projection.shape}, but the recurrent kernel takes {outputs} "
        f"numbers and there are {units} units: ({outputs}, {units})"
    )


def _turn_projection_to_stored(stored: Stored) -> Stored:
    if stored.storage.projection_rows:
        return stored
    return stored.each(["projection"], np.transpose)


def _projection_words(row: Convention, cell: Cell) -> str:
    if cell.projection is None:
        return ""
    return "(P, H)" if row.storage.projection_rows else "(H, P)"


def _flatten_vectors(stored: Stored) -> Stored:
    """States are (K,), or (B, K) where batch items differ."""

    def flat_state(state: Array) -> Array:
        return np.ravel(state) if state.ndim < 2 or len(state) == 1 else state

    return stored.each(UNGATED, np.ravel).each(INITIAL, flat_state)


def _states_of_items(stored: Stored) -> Stored:
    return stored.each(INITIAL, np.atleast_2d)


# ---- all of it


class Step(NamedTuple):
    """A step from the tensors of a file to those of a cell, the step back, and its words."""

    read: Callable[[Stored], Stored]
    write: Callable[[Stored], Stored]
    part: str = ""  # of the weights, in a recipe
    words: Callable[[Convention, Cell], str] | None = None  # "" without that part


STEPS = (
    Step(_undo_reshape, _reshape),
    Step(_take_peephole_columns, _put_peephole_columns),
    Step(_turn_to_rows, _turn_to_stored),
    Step(_split_fused, _fuse, "kernels", _kernel_words),
    Step(_cut_halves, _join_halves),
    Step(_read_gates, _write_gates, "gates", _gate_words),
    Step(_undo_transposed, _transpose),
    Step(_read_peepholes, _write_peepholes, "peepholes", _peephole_words),
    Step(_turn_projection, _turn_projection_to_stored, "projection", _projection_words),
    Step(_sum_biases, _spread_biases, "bias", _bias_words),
    Step(_flatten_vectors, _states_of_items),
)
"""In the order in which a file is read."""
