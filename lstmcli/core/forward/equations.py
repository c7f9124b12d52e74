"""From pre-activations to gates, c and h: the equations of one step.

Both steps here work on a block of R rows, in the gate order f, i, o, g of the loop. They read z
(4H, R), the same buffer at every step, and c (H, R); they write gates (4H, R), c_new (H, R), which
may be c itself, h (P, R) and, where somebody keeps it, the pre-activations z_kept (4H, R). z is
scratch afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.model.activations import activation
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import HOME

Array = npt.NDArray[Any]
Step = Callable[[Array, Array, Array, Array, "Array | None"], None]

FIOG = "fiog"
"""The order of gates inside the loop: what shares an operation stands together."""


def usual_cell(cell: Cell, z: Array) -> Step:
    """The step of sigmoid gates, for a z of which f, i and o are negated.

    Its quotients are those of the loop's quick path, so that h does not depend on what is kept.
    """
    n = 3 * cell.units
    H = cell.units
    candidate = activation(cell.convention.activation)
    output = activation(cell.convention.output_activation)
    one = np.ones((), cell.dtype)
    q, q_f, q_i, q_o, z_g = z[:n], z[:H], z[H : 2 * H], z[2 * H : n], z[n:]
    exp, add, divide = np.exp, np.add, np.divide

    def step(c: Array, gates: Array, c_new: Array, h: Array, z_kept: Array | None) -> None:
        if z_kept is not None:
            np.negative(q, z_kept[:n])
            np.copyto(z_kept[n:], z_g)
        g = gates[n:]
        exp(q, q)
        add(q, one, q)  # 1 / gate
        divide(one, q, gates[:n])
        candidate(z_g, g)
        divide(c, q_f, q_f)  # f * c
        divide(g, q_i, q_i)  # i * g
        add(q_f, q_i, c_new)
        output(c_new, z_g)
        divide(z_g, q_o, h)  # o * t(c)

    return step


def whole_cell(cell: Cell, z: Array) -> Step:
    """The step of any cell: the equations with every part that a framework may add to them."""
    H, how = cell.units, cell.convention
    gate = activation(how.recurrent_activation)
    candidate, output = activation(how.activation), activation(how.output_activation)
    bound = _bound(how.gate_clip, cell.dtype)
    bound_cell, bound_h = (_bound(b, cell.dtype) for b in (how.cell_clip, how.projection_clip))
    couple = _COUPLED[how.coupled]
    normalise, normalise_cell = _layer_norm(cell), _cell_norm(cell)
    look_before, look_after, look_late = _peepholes(cell)
    project = _projection(cell)

    z_f, z_i, z_o, z_g = (z[k * H : (k + 1) * H] for k in range(4))

    def step(c: Array, gates: Array, c_new: Array, h: Array, z_kept: Array | None) -> None:
        f, i, o, g = (gates[k * H : (k + 1) * H] for k in range(4))
        look_before(z_f, z_i, c)
        normalise(z_f, 0), normalise(z_i, 1), normalise(z_g, 3)
        bound(z_f), bound(z_i), bound(z_g)
        gate(z_f, f)
        gate(z_i, i)
        candidate(z_g, g)
        couple(f, i)
        new = f * c + i * g  # (H, R)
        bound_cell(new)
        normalise_cell(new)
        look_after(z_o, c, new)
        normalise(z_o, 2)
        bound(z_o)
        gate(z_o, o)
        m = look_late(o, new)
        output(m, m)
        m *= o
        np.copyto(c_new, new)
        np.copyto(h, project(m))
        bound_h(h)
        if z_kept is not None:
            np.copyto(z_kept, z)

    return step


def _nothing(*arrays: Any) -> None:
    """What a part does that the cell does not have."""


def _bound(limit: float | None, dtype: np.dtype[Any]) -> Callable[[Array], Any]:
    if limit is None:
        return _nothing
    high = dtype.type(limit)
    return lambda array: np.clip(array, -high, high, array)


def _f_from_i(f: Array, i: Array) -> None:
    np.subtract(f.dtype.type(1), i, f)  # onnxruntime, Core ML, DyNet


def _i_from_f(f: Array, i: Array) -> None:
    np.subtract(f.dtype.type(1), f, i)  # TFLite, TF1's CoupledInputForgetGateLSTMCell


_COUPLED: dict[str, Callable[[Array, Array], None]] = {
    "none": _nothing,
    "f=1-i": _f_from_i,
    "i=1-f": _i_from_f,
}


def _peepholes(
    cell: Cell,
) -> tuple[
    Callable[[Array, Array, Array], None],
    Callable[[Array, Array, Array], None],
    Callable[[Array, Array], Array],
]:
    """What i and f see before the cell moves, what o sees after, and the odd places of o's look.

    The last gives a copy of what the output activation is to see.
    """
    if cell.peephole is None:
        return _nothing, _nothing, lambda o, new: new.copy()
    whole = cell.peephole.ndim == 3  # matrices (3, H, H), as DyNet has them
    p_i, p_f, p_o = cell.peephole if whole else cell.peephole[:, :, None]  # (H, H) or (H, 1)
    times: Callable[[Array, Array], Array] = np.dot if whole else np.multiply
    where = cell.convention.output_peephole

    def before(z_f: Array, z_i: Array, c: Array) -> None:
        z_f += times(p_f, c)
        z_i += times(p_i, c)

    def after(z_o: Array, c: Array, new: Array) -> None:
        if where in ("new_c", "old_c"):
            z_o += times(p_o, new if where == "new_c" else c)

    def late(o: Array, new: Array) -> Array:
        if where == "after_sigmoid":  # Lasagne 0.1
            o += times(p_o, new)
        if where == "in_tanh":  # Sonnet 1
            return new + times(p_o, new)
        return new.copy()

    return before, after, late


def _layer_norm(cell: Cell) -> Callable[[Array, int], None]:
    """One gate's pre-activations over its units: (z - mean) / deviation * scale + shift.

    The number says which gate, in the loop's order.
    """
    if cell.norm_scale is None or cell.norm_shift is None:
        return _nothing
    order = [HOME.index(letter) for letter in FIOG]
    shift = cell.norm_shift.copy()  # (4, H)
    shift[1] += cell.dtype.type(cell.convention.forget_bias)
    scale, shift = cell.norm_scale[order, :, None], shift[order, :, None]  # (4, H, 1)
    epsilon = cell.dtype.type(cell.convention.norm_epsilon)

    def normalise(z: Array, gate: int) -> None:
        _standardise(z, epsilon)
        z *= scale[gate]
        z += shift[gate]

    return normalise


def _standardise(z: Array, epsilon: Any) -> None:
    """Bring z (H, R) to mean 0 and deviation 1 over its units."""
    z -= z.mean(axis=0)
    z /= np.sqrt((z * z).mean(axis=0) + epsilon)


def _cell_norm(cell: Cell) -> Callable[[Array], None]:
    if cell.state_scale is None or cell.state_shift is None:
        return _nothing
    scale, shift = cell.state_scale[:, None], cell.state_shift[:, None]  # (H, 1)
    epsilon = cell.dtype.type(cell.convention.norm_epsilon)

    def normalise(c: Array) -> None:
        _standardise(c, epsilon)
        c *= scale
        c += shift

    return normalise


def _projection(cell: Cell) -> Callable[[Array], Array]:
    if cell.projection is None:
        return lambda m: m
    P, b = cell.projection, cell.projection_bias
    if b is None:
        return lambda m: P.dot(m)
    return lambda m: P.dot(m) + b[:, None]
