"""Along which axis of its matrices a cell has its gates, as their shapes tell."""

from __future__ import annotations

from collections.abc import Mapping

from lstmcli.core.model.arrays import Array
from lstmcli.core.weights.stored import MATRICES, Stored, role_name
from lstmcli.errors import UserError

Shape = tuple[int, ...]


def check_matrices(stored: Stored) -> None:
    """Refuse a kernel that is no matrix, or gates whose matrices differ in shape."""
    for role in MATRICES:
        matrix = stored.of(role)
        if matrix is not None and (matrix.ndim != 2 or 0 in matrix.shape):
            raise stored.error(
                f"the {role_name(role)} is {matrix.shape}; an LSTM's has two axes, none empty"
            )
        shapes = {array.shape for array in stored.by_gate(role).values()}
        if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
            raise stored.error(
                f"the {role_name(role)}s of its gates are {sorted(shapes)}; all alike"
            )


def gates_are_rows(stored: Stored) -> bool:
    """Return whether matrices are (4H, K), or (H, K) of one gate; UserError if neither fits."""
    fused, kernel, recurrent = map(stored.of, ("fused", "kernel", "recurrent_kernel"))
    if fused is not None:
        return _of_fused(stored, fused)
    if kernel is not None and recurrent is not None:
        return _of_two(stored, kernel.shape, recurrent.shape)
    of_gate = {
        slot.role: array.shape for slot, array in stored.tensors.items() if slot.gate
    }
    shown = units_along_rows(of_gate)
    if shown is None:
        return stored.storage.orientation == "rows"
    return shown


def units_along_rows(shapes: Mapping[str, Shape]) -> bool | None:
    """Tell whether the tensors of one gate, by role, have the units first; None if it is open.

    As many inputs as units leave it open, unless the bias is (H, 1) or (1, H).
    """
    fused = shapes.get("fused")
    if fused:
        return fused[0] < fused[-1]  # (H, I + H)
    kernel, recurrent = shapes.get("kernel", ()), shapes.get("recurrent_kernel", ())
    first, last = kernel[:1] == recurrent[:1], kernel[1:] == recurrent[1:]
    if first != last:
        return first
    bias = shapes.get("bias", ())
    if len(bias) == 2 and bias[0] != bias[1]:  # added to a column, or to a row
        return bias[1] == 1
    return None


def _of_two(stored: Stored, kernel: Shape, recurrent: Shape) -> bool:
    """The shape of the recurrent kernel decides for both: P is at most H."""
    gates = len(stored.storage.gates)
    a, b = recurrent
    if a % gates == 0 and b <= a // gates:
        are_rows = True
    elif b % gates == 0 and a <= b // gates:
        are_rows = False
    elif 3 * a == b or 3 * b == a:
        raise stored.error(
            f"the recurrent kernel is {recurrent}: three gates, a GRU, not an LSTM"
        )
    else:
        raise stored.error(
            f"the recurrent kernel is {recurrent}; an LSTM with H units has (H, 4H) or (4H, H)"
        )
    fits = kernel[0] == a if are_rows else kernel[1] == b
    if not fits:
        expected = f"({a}, I)" if are_rows else f"(I, {b})"
        raise stored.error(
            f"the kernel is {kernel}, but the recurrent kernel {recurrent} has "
            f"{max(a, b) // gates} units, so it should be {expected}"
        )
    return are_rows


def _of_fused(stored: Stored, fused: Array) -> bool:
    """(4H, I + H), not (I + H, 4H); if either axis may be that of the gates, the row decides."""
    a, b = fused.shape
    fits_rows, fits_columns = _may_be_gates(stored, a, b), _may_be_gates(stored, b, a)
    if fits_rows and fits_columns:
        return stored.storage.orientation == "rows"
    if not fits_rows and not fits_columns:
        raise _no_fused(stored, (a, b))
    return fits_rows


def _may_be_gates(stored: Stored, gated: int, other: int) -> bool:
    """Return whether one axis of a fused kernel may be 4H, and the other one I + P."""
    gates, bias = len(stored.storage.gates), stored.of("bias")
    smallest = gated // gates  # without inputs
    if "projection" in stored.roles:
        smallest = 1
    is_enough = other - stored.storage.extra_columns > smallest
    fits_bias = bias is None or bias.size == gated
    return gated % gates == 0 and is_enough and fits_bias


def _no_fused(stored: Stored, shape: Shape) -> UserError:
    (a, b), bias = shape, stored.of("bias")
    text = f"the kernel is {shape}"
    if b % 4 == 0 and a <= b // 4 and "projection" not in stored.roles:
        return stored.error(
            f"{text}; with {b // 4} units and no projection, a fused kernel [x; h] has more "
            f"than {b // 4} rows.",
            "  If it is the input kernel only, name the other: recurrent_kernel=FILE",
        )
    if bias is not None and bias.size not in shape:
        return stored.error(
            f"{text} and the bias {bias.shape}; an LSTM has (I + H, 4H) and (4H,)"
        )
    return stored.error(
        f"{text}; an LSTM has (I + H, 4H); a GRU or coupled gates, (I + H, 3H)"
    )
