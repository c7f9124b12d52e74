"""The equations of one step of an LSTM cell.

::

    z = K x + R h + b           the pre-activations z_i, z_f, z_g, z_o
    i = s(z_i + p_i c)
    f = s(z_f + p_f c)
    g = t(z_g)
    c' = f c + i g
    o = s(z_o + p_o c')
    h' = o t(c')                or P (o t(c')) + b_P with a projection

Hochreiter & Schmidhuber 1997 for i, g, o, c and h; Gers, Schmidhuber & Cummins
2000 for f; Gers, Schraudolph & Schmidhuber 2002 for the peepholes p; Sak,
Senior & Beaufays 2014 for the projection P. What frameworks add to these
(clips, coupled gates, layer norm, other places of the output peephole) are the
`Parts` of a cell. The products in z come from `core.forward.matmul`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in, refuse_edits
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import split_activation

Activation = Callable[[Array, Array], Any]
"""Takes the pre-activation and where the result goes; the two may be the same array."""


def sigmoid(x: Array, out: Array) -> None:
    """1 / (1 + exp(-x)).

    This form is precise in the lower tail, where ``0.5 * (1 + tanh(x/2))`` is
    0: sigmoid(-40) is 4e-18. Where exp overflows, the quotient is 0, as it
    should be.
    """
    one = x.dtype.type(1)
    # NumPy 2.4's `negative` takes a stride of 4 for contiguous
    np.multiply(x, -one, out)
    np.exp(out, out)
    np.add(out, one, out)
    np.divide(one, out, out)


def _affine(x: Array, out: Array, a: float, b: float) -> Array:
    result: Array = np.add(np.multiply(x, a, out), b, out)
    return result


_FAMILIES: dict[str, Callable[..., Any]] = {  # parameters come after ``out``
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda x, out: np.maximum(x, 0, out=out),
    "identity": lambda x, out: np.copyto(out, x),
    "hard_sigmoid": lambda x, out, a, b: np.clip(_affine(x, out, a, b), 0, 1, out),
    "affine": _affine,
    "leaky_relu": lambda x, out, a: np.copyto(out, np.where(x < 0, x * a, x)),
    "thresholded_relu": lambda x, out, a: np.copyto(out, np.where(x > a, x, 0)),
    "scaled_tanh": lambda x, out, a, b: np.multiply(
        np.tanh(np.multiply(x, b, out), out), a, out
    ),
    "elu": lambda x, out, a: np.copyto(
        out, np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x)
    ),
    "softsign": lambda x, out: np.divide(x, 1 + np.abs(x), out),
    "softplus": lambda x, out: np.logaddexp(
        x, 0, out
    ),  # log(1 + exp(x)), without overflow
}


def activation(name: str) -> Activation:
    """The function behind a name in the spelling of `read_activation_name`."""
    family, parameters = split_activation(name)
    function = _FAMILIES[family]
    if not parameters:
        return function
    return lambda x, out: function(x, out, *parameters)


Gates = Sequence[Array] | Array
"""An array for each of i, f, g and o."""

States = Callable[..., tuple[Array, Array]]
"""Gives h and c."""

Change = Callable[..., None]
"""A function that changes the arrays it takes."""

I, F, G, O = range(4)  # the gates in the order of `vocabulary.GATES`


def step(
    z: Gates, c: Array, parts: Parts, gates: Gates | None = None
) -> tuple[Array, Array]:
    """The next h and c, from the pre-activations z of i, f, g, o and from c.

    The arrays have any axes, (H, R) in the loop and (N, B, H) for N hypotheses
    in `explain`; only parts that combine units know where these are. The gates
    are written to ``gates``, or over z; otherwise z ends as what the
    activations took.
    """
    z_i, z_f, z_g, z_o = z
    i, f, g, o = z if gates is None else gates
    parts.peepholes.add_c(z_i, z_f, c)
    parts.normalize(z_i, I)
    parts.normalize(z_f, F)
    parts.normalize(z_g, G)
    parts.clip(z_i, z_f, z_g)
    parts.s_i(z_i, i)
    parts.s_f(z_f, f)
    parts.t(z_g, g)
    parts.couple(i, f)
    c_new = parts.update(f, c, i, g)
    parts.clip_c(c_new)
    parts.normalize_c(c_new, 0)
    parts.peepholes.add_c_new(z_o, c, c_new)
    parts.normalize(z_o, O)
    parts.clip(z_o)
    parts.s_o(z_o, o)
    h = parts.output(o, parts.peepholes.output_argument(o, c_new), c, parts.t_c)
    h = parts.project(h)
    parts.clip_h(h)
    return h, c_new


def next_state(
    z: Gates, h: Array, c: Array, parts: Parts, R: Array, gates: Gates | None = None
) -> tuple[Array, Array]:
    """The h and c that a step returns, from those before it; ``R`` is the recurrent kernel.

    In place, h of a unit is overwritten while the later units still read it.
    """
    if not parts.in_place:
        new_h, new_c = step(z, c, parts, gates)
        if parts.kept is None:
            return new_h, new_c
        return parts.kept(new_h, new_c, h, c)
    new_h, new_c = h.copy(), c.copy()
    for unit in range(len(h)):
        one = slice(unit, unit + 1)
        change = new_h - h
        for of_gate, row in zip(z, R[:, unit], strict=True):
            of_gate[one] += row @ change
        of_unit = None if gates is None else [gate[one] for gate in gates]
        z_of_unit = [of_gate[one] for of_gate in z]
        h_of_unit, c_of_unit = step(z_of_unit, c[one], parts, of_unit)
        new_h[one] = h_of_unit
        new_c[one] = c_of_unit
    return new_h, new_c


def updated(f: Array, c: Array, i: Array, g: Array) -> Array:
    """f c + i g."""
    c_new: Array = f * c + i * g
    return c_new


def gated_output(o: Array, c_new: Array, c: Array, t: Activation) -> Array:
    """o t(c'), in the array of c'; ``c`` is the old one."""
    t(c_new, c_new)
    c_new *= o
    return c_new


def no_change(*arrays: Any) -> None:
    """Do nothing, as a part that the cell does not have."""


def no_projection(h: Array) -> Array:
    """h itself."""
    return h


@dataclass(frozen=True)
class Peepholes:
    """Peepholes of a convention's ``output_peephole``, or none.

    ``times(k, c)`` is the product of the peephole of i, f or o (k = 0, 1, 2)
    and c. ``old`` is true where the output peephole takes the old c instead,
    and broadcasts with c.
    """

    times: Callable[[int, Array], Array] | None = None
    output: str = "new_c"
    old: Array | None = None

    def add_c(self, z_i: Array, z_f: Array, c: Array) -> None:
        """Add p_i c to z_i and p_f c to z_f."""
        if self.times is not None:
            z_i += self.times(0, c)
            z_f += self.times(1, c)

    def add_c_new(self, z_o: Array, c: Array, c_new: Array) -> None:
        """Add p_o c' or p_o c to z_o, unless the output peephole acts after the gate."""
        if self.times is None:
            return
        if self.output == "old_c":
            z_o += self.times(2, c)
        elif self.output == "new_c":
            if self.old is not None:
                c_new = np.where(self.old, c, c_new)
            z_o += self.times(2, c_new)
        elif self.old is not None:
            z_o += np.where(self.old, self.times(2, c), 0)

    def output_argument(self, o: Array, c_new: Array) -> Array:
        """A copy of c', or c' + p_o c' (Sonnet 1); Lasagne 0.1 adds p_o c' to o."""
        if self.times is None or self.output not in ("after_sigmoid", "in_tanh"):
            return c_new.copy()
        product = self.times(2, c_new)
        if self.old is not None:
            product = np.where(self.old, 0, product)
        if self.output == "in_tanh":
            return c_new + product
        o += product
        return c_new.copy()


NO_PEEPHOLES = Peepholes()


@dataclass(frozen=True)
class Parts:
    """The functions of a cell's step; a part that the cell does not have does nothing.

    Activations take an array and the array for the result. ``update``,
    ``output`` and ``project`` give arrays; the others change theirs in place.
    ``normalize`` takes the number of the gate too. ``kept`` and ``passed`` are
    of the loop: the h and c that a step returns, and those that the next step
    takes.
    """

    s_i: Activation
    s_f: Activation
    s_o: Activation
    t: Activation  # of g
    t_c: Activation  # of c'
    clip: Change = no_change  # of pre-activations
    clip_c: Change = no_change
    clip_h: Change = no_change
    couple: Callable[[Array, Array], Any] = no_change  # one of i and f from the other
    normalize: Callable[[Array, int], None] = no_change  # layer norm
    normalize_c: Callable[[Array, int], None] = no_change
    peepholes: Peepholes = NO_PEEPHOLES
    project: Callable[[Array], Array] = no_projection
    update: Callable[[Array, Array, Array, Array], Array] = updated
    output: Callable[[Array, Array, Array, Activation], Array] = gated_output
    kept: States | None = None  # of h', c', h, c
    passed: States | None = None  # of h', c', h_0, c_0 and a number of steps
    in_place: bool = False  # a unit reads the new h of those before it


def parts_of(cell: Cell) -> Parts:
    """The parts of a cell with its edits of equations, for arrays (H, R)."""
    behaviour = cell.behaviour
    s = activation(behaviour.recurrent_activation)
    parts = Parts(
        s_i=s,
        s_f=s,
        s_o=s,
        t=activation(behaviour.activation),
        t_c=activation(behaviour.output_activation),
        clip=_clip(behaviour.gate_clip, cell),
        clip_c=_clip(behaviour.cell_clip, cell),
        clip_h=_clip(behaviour.projection_clip, cell),
        couple=_coupling(cell),
        normalize=_layer_norm_of_gates(cell),
        normalize_c=_layer_norm_of_c(cell),
        peepholes=_peepholes(cell),
        project=no_projection if cell.projection is None else _projection(cell),
    )
    for edit in edits_in("equations", cell.edits):
        parts = replace(parts, **edit.apply(parts))
    others = cell.peephole, cell.projection, cell.norm_scale, cell.state_scale
    if parts.in_place and any(one is not None for one in others):
        text = (
            "the cell has parts beyond i, f, g and o, which are not run unit by unit."
        )
        refuse_edits(edits_in("equations", cell.edits), text)
    return parts


def _clip(limit: float | None, cell: Cell) -> Change:
    """The clip to a limit in the dtype of the cell."""
    return no_change if limit is None else clip_to(cell.dtype.type(limit))


def _peepholes(cell: Cell) -> Peepholes:
    p = cell.peephole
    if p is None:
        return NO_PEEPHOLES
    place = cell.behaviour.output_peephole
    if p.ndim == 3:  # matrices (3, H, H), as in DyNet
        return Peepholes(lambda k, c: np.dot(p[k], c), place)
    columns = p[:, :, None]
    return Peepholes(lambda k, c: np.multiply(columns[k], c), place)


def _layer_norm_of_gates(cell: Cell) -> Callable[[Array, int], None]:
    if cell.norm_scale is None or cell.norm_shift is None:
        return no_change
    number, shift = cell.dtype.type, cell.norm_shift.copy()
    shift[F] += number(cell.behaviour.forget_bias)
    epsilon = number(cell.behaviour.norm_epsilon)
    return layer_norm(cell.norm_scale[:, :, None], shift[:, :, None], epsilon, axis=0)


def _layer_norm_of_c(cell: Cell) -> Callable[[Array, int], None]:
    if cell.state_scale is None or cell.state_shift is None:
        return no_change
    scale, shift = cell.state_scale[None, :, None], cell.state_shift[None, :, None]
    epsilon = cell.dtype.type(cell.behaviour.norm_epsilon)
    return layer_norm(scale, shift, epsilon, axis=0)


def _projection(cell: Cell) -> Callable[[Array], Array]:
    P, b = cell.projection, cell.projection_bias
    assert P is not None
    if cell.behaviour.arithmetic.startswith("hybrid"):
        bias = 0 if b is None else b[:, None]
        return lambda h: P.dot(rounded(cell, h, 0)) + bias
    if b is None:
        return P.dot
    return lambda h: P.dot(h) + b[:, None]


def clip_to(limit: Any) -> Change:
    """The function that bounds arrays to -limit .. limit, which broadcasts."""
    if limit is None:
        return no_change

    def clip(*arrays: Array) -> None:
        for array in arrays:
            np.clip(array, -limit, limit, array)

    return clip


def layer_norm(
    scale: Gates, shift: Gates, epsilon: Any, axis: int
) -> Callable[[Array, int], None]:
    """The function (z - mean) / deviation * scale + shift over the units, on this axis.

    ``scale`` and ``shift`` have an item for each gate.
    """

    def normalize(z: Array, gate: int) -> None:
        z -= z.mean(axis=axis, keepdims=True)
        z /= np.sqrt((z * z).mean(axis=axis, keepdims=True) + epsilon)
        z *= scale[gate]
        z += shift[gate]

    return normalize


COUPLED = {
    "f=1-i": ("f", "i"),  # onnxruntime, Core ML and DyNet
    "i=1-f": ("i", "f"),  # TFLite, TF1's CoupledInputForgetGateLSTMCell
}
"""The gate that is 1 minus another, and that one."""


def _coupling(cell: Cell) -> Callable[[Array, Array], Any]:
    """The function of i and f that makes one of the other."""
    if cell.behaviour.coupled not in COUPLED:
        return no_change
    made, _ = COUPLED[cell.behaviour.coupled]
    if made == "f":
        return lambda i, f: np.subtract(1, i, f)
    return lambda i, f: np.subtract(1, f, i)


# ---- 8-bit arithmetic

# `8bit` is onnxruntime's DynamicQuantizeLSTM (1.32, qmath.h, GetQuantizationParameter): unsigned,
# with one scale and one zero point for all numbers, over a range that contains 0. `hybrid` and
# `hybrid_asymmetric` are TensorFlow Lite's, for weights of 8 bits and inputs in float (2.21,
# kernels/internal/reference/portable_tensor_utils.cc, SymmetricQuantizeFloats and
# AsymmetricQuantizeFloats): signed, with a scale for each sequence at each step, and what the
# projection takes is rounded too. Here the products are of floats, and differ by their rounding.


LEVELS = 255  # steps of the range
LOWEST, HIGHEST = -128, 127  # of signed numbers


def is_eight_bit(cell: Cell) -> bool:
    """Return whether inputs and h of a cell are rounded to 8 bits."""
    return cell.behaviour.arithmetic != "float"


def rounded(cell: Cell, numbers: Array, axis: int) -> Array:
    """The numbers that 8 bits stand for, by sequence and step along ``axis``."""
    arithmetic = cell.behaviour.arithmetic
    if arithmetic == "8bit":
        return round_to_8_bits(numbers)
    if arithmetic == "hybrid":
        return _symmetric(numbers, axis)
    return _asymmetric(numbers, axis)


def round_to_8_bits(numbers: Array) -> Array:
    """The numbers that 8 bits stand for, with one scale for the array."""
    kind = numbers.dtype.type
    low = min(numbers.min(), kind(0))
    high = max(numbers.max(), kind(0))
    scale = kind(1) if high == low else (high - low) / kind(LEVELS)
    zero = np.rint(np.clip(-low / scale, 0, LEVELS))
    levels = np.clip(np.rint(numbers / scale) + zero, 0, LEVELS)
    result: Array = (levels - zero) * scale
    return result


def _symmetric(numbers: Array, axis: int) -> Array:
    kind = numbers.dtype.type
    largest = np.abs(numbers).max(axis, keepdims=True)
    largest[largest == 0] = 1
    levels = _nearest(numbers * (kind(HIGHEST) / largest))
    result: Array = np.clip(levels, -HIGHEST, HIGHEST) * (largest / kind(HIGHEST))
    return result


def _asymmetric(numbers: Array, axis: int) -> Array:
    """-128 to 127 over a range with 0, which is computed in float64."""
    kind = numbers.dtype.type
    low = np.minimum(numbers.min(axis, keepdims=True), 0).astype(np.float64)
    high = np.maximum(numbers.max(axis, keepdims=True), 0).astype(np.float64)
    scale = np.where(high == low, 1, (high - low) / LEVELS)
    low, high = low / scale, high / scale
    error_of_low = np.abs(LOWEST) + np.abs(low)
    error_of_high = HIGHEST + np.abs(high)
    is_low = error_of_low < error_of_high
    zero = _nearest(np.where(is_low, LOWEST - low, HIGHEST - high))
    zero = np.clip(zero, LOWEST, HIGHEST).astype(kind)
    scale = scale.astype(kind)
    levels = np.clip(_nearest(zero + numbers * (kind(1) / scale)), LOWEST, HIGHEST)
    result: Array = (levels - zero) * scale
    return result


def _nearest(numbers: Array) -> Array:
    """The nearest integers; halves away from 0, as in C's round."""
    integers = np.trunc(numbers)
    result: Array = integers + np.trunc(2 * (numbers - integers))
    return result
