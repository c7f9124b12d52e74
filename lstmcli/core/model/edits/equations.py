"""Edits of the equations of a step: other activations, sums and states.

The function of a row takes the parts of a step of arrays (H, R), and gives those that it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import ANY, FROM_FIRST, Text, fit
from lstmcli.core.model.edits.family import (
    LARGE,
    LATER,
    NEARLY,
    NUMBER,
    POSITIVE,
    SHARE,
    STATES,
    TRAINING,
    Family,
    RunSizes,
    names_of,
    shown_of_gate,
)
from lstmcli.core.model.edits.functions import (
    ACTIVATIONS,
    APPROXIMATED,
    SIGMOIDS,
    TANHS,
    Function,
    Near,
)
from lstmcli.core.model.edits.state import State, Variants, chosen
from lstmcli.core.model.model import Cell
from lstmcli.core.model.settings import COUNT, OneOf
from lstmcli.errors import UserError

EQUATIONS = Family("equations", "No tensor tells how the numbers are put together")

_SLIP = "equations copied with a slip"
_FAST = "C and shader code, microcontrollers, audio plugins"
_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-12, 1e-8)
_TANH_PARTS, _SIGMOID_PARTS = ("t", "t_c"), ("s_i", "s_f", "s_o")


# ---- h and c

H_OF: Variants = {
    "old_c": ("o * tanh(c_old)", lambda o, new, c, t: o * t(c)),
    "tanh_of_oc": ("tanh(o * c)", lambda o, new, c, t: t(o * new)),
    "tanh_twice": ("tanh(o * tanh(c))", lambda o, new, c, t: t(o * t(new))),
    "sum": ("o + tanh(c)", lambda o, new, c, t: o + t(new)),
    "o": ("o", lambda o, new, c, t: o.copy()),
    "c": ("c", lambda o, new, c, t: new),
}
C_OF: Variants = {
    "i_of_all": ("i * (f * c + g)", lambda f, c, i, g: i * (f * c + g)),
    "negated": ("f * c - i * g", lambda f, c, i, g: f * c - i * g),
    "tanh": ("tanh(f * c + i * g)", lambda f, c, i, g: np.tanh(f * c + i * g)),
    "gates_exchanged": ("i * c + f * g", lambda f, c, i, g: i * c + f * g),
    "f_of_all": ("f * (c + i * g)", lambda f, c, i, g: f * (c + i * g)),
}


def _pure(activation: Callable[[Array, Array], Any]) -> Function:
    """An activation of `Parts` as a function that returns its result."""

    def function(x: Array) -> Array:
        out = np.empty_like(x)
        activation(x, out)
        return out

    return function


@EQUATIONS.edit(
    "h", "equations", lambda v: f"h is {v}, not o tanh(c)", lambda v: f"h = {v}", _SLIP,
    "h = o * tanh(c_new)", read=names_of(H_OF),
)  # fmt: skip
def _other_h(parts: Any, name: str) -> dict[str, Any]:
    function = H_OF[name][1]
    return {"output": lambda o, new, c, t: function(o, new, c, _pure(t))}


def _i_and_f_exchanged(order: str) -> str:
    return order.translate(str.maketrans("if", "fi"))


@EQUATIONS.edit(
    "c", "equations", lambda v: f"c is updated by {v}", lambda v: f"c = {v}", _SLIP,
    "c = f * c + i * g",
    read=names_of(C_OF), in_derive=True,
    same={"gates_exchanged": ("gates", _i_and_f_exchanged)},
)  # fmt: skip
def _other_c(parts: Any, name: str) -> dict[str, Any]:
    return {"update": C_OF[name][1]}


# ---- activations


def _activations(
    fields: Sequence[str], parts: Any, change: Callable[[str, Function], Function]
) -> dict[str, Any]:
    """Other functions in some parts; ``change`` takes t or s, and the function that is there."""

    def changed(field: str) -> Callable[[Array, Array], None]:
        function = change(field[0], _pure(getattr(parts, field)))
        return lambda x, out: np.copyto(out, function(x))

    return {field: changed(field) for field in fields}


def _add_after(gate: str) -> None:
    name, field = ("tanh", "t") if gate == "g" else ("sigmoid", f"s_{gate}")

    @EQUATIONS.edit(
        f"after.{gate}", "equations", lambda v: f"{v} added to gate {gate} after its {name}",
        lambda v: f"{gate} = {name}(z_{gate}) + {v}", "a forget bias that is added too late",
        f"{gate} = {name}(z_{gate})",
        read=NUMBER, shows=shown_of_gate(gate), values=(1.0, -1.0), solved=0.0,
    )  # fmt: skip
    def after(parts: Any, number: float) -> dict[str, Any]:
        return _activations([field], parts, lambda kind, old: lambda x: old(x) + number)


for _gate in "ifog":
    _add_after(_gate)


def _add_activation(
    name: str, fields: Sequence[str], words: Text, code: Text, used_by: str, mend: str,
    functions: Mapping[str, Near], *, shows: str = NEARLY, most: int | None = None,
    same: Mapping[str, tuple[str, str]] | None = None,
) -> None:  # fmt: skip
    @EQUATIONS.edit(
        name, "equations", words, code, used_by, mend,
        read=names_of(functions), shows=shows, values=[*functions][:most], same=same or {},
    )  # fmt: skip
    def other(parts: Any, function: str) -> dict[str, Any]:
        near = ACTIVATIONS[function]
        return _activations(fields, parts, lambda kind, old: getattr(near, kind))


def _add_sigmoid(gate: str) -> None:
    _add_activation(
        f"sigmoid.{gate}", [f"s_{gate}"], lambda v: f"activation of gate {gate}: {v}",
        lambda v: f"{gate} = {v}", _SLIP, f"{gate} = sigmoid(z_{gate})", SIGMOIDS,
        shows=shown_of_gate(gate), most=8,
    )  # fmt: skip


for _gate in "ifo":
    _add_sigmoid(_gate)
_add_activation(
    "approximated", [*_SIGMOID_PARTS, *_TANH_PARTS],
    lambda v: f"tanh and sigmoid approximated by {v}", lambda v: f"tanh, sigmoid = {v}", _FAST,
    "use tanh", APPROXIMATED,
)  # fmt: skip
_add_activation(
    "tanh", _TANH_PARTS, lambda v: f"tanh of g and of c: {v}", lambda v: f"tanh = {v}", _FAST,
    "use tanh", TANHS, same={"sigmoid": ("activation", "sigmoid")},
)  # fmt: skip
_add_activation(
    "sigmoid", _SIGMOID_PARTS, lambda v: f"sigmoid of all gates: {v}", lambda v: f"sigmoid = {v}",
    _FAST, "use 1 / (1 + exp(-x))", SIGMOIDS,
    same={k: ("recurrent_activation", k) for k in ("tanh", "identity")},
)  # fmt: skip
_add_activation(
    "tanh.g", ["t"], lambda v: f"tanh of the candidate: {v}", lambda v: f"g = {v}", _FAST,
    "g = tanh(z_g)", TANHS, shows=FROM_FIRST, most=16, same={"sigmoid": ("activation", "sigmoid")},
)  # fmt: skip
_add_activation(
    "tanh.c", ["t_c"], lambda v: f"tanh of the output: {v}", lambda v: f"h = o * {v}", _FAST,
    "h = o * tanh(c)", TANHS, shows="c agrees, h does not", most=16,
    same={"sigmoid": ("output_activation", "sigmoid")},
)  # fmt: skip


def _add_slope(
    name: str, where: str, fields: Sequence[str], values: Sequence[float], used_by: str
) -> None:
    @EQUATIONS.edit(
        f"{name}_slope", "equations", lambda v: f"{name}(a z) {where}, a = {v}",
        lambda v: f"{name}({v} * z)", used_by, f"{name}(z)",
        read=NUMBER, values=(0.5, 2.0, *values), solved=1.0,
    )  # fmt: skip
    def sloped(parts: Any, slope: float) -> dict[str, Any]:
        return _activations(fields, parts, lambda kind, old: lambda x: old(slope * x))


_add_slope(
    "sigmoid", "in all gates", _SIGMOID_PARTS, (1.702, 0.2, 1.5),
    "a sigmoid by tanh without its factor; 2^-x for e^-x, a = ln 2 = 0.69315",
)  # fmt: skip
_add_slope("tanh", "of g and c", _TANH_PARTS, (2 / 3,), "LeCun's tanh in part")


# ---- normalisation, zoneout, clips


def _normalize(epsilon: float, z: Array, gate: int) -> None:
    z -= z.mean(axis=0, keepdims=True)
    z /= np.sqrt((z * z).mean(axis=0, keepdims=True) + z.dtype.type(epsilon))


@EQUATIONS.edit(
    "layer_norm", "equations",
    lambda v: f"layer normalisation of each gate, epsilon {v}, none stored",
    lambda v: f"z = (z - z.mean()) / sqrt(z.var() + {v})", "a cell with layer normalisation",
    "use z", read=POSITIVE, values=_EPSILONS[:4],
)  # fmt: skip
def _layer_norm(parts: Any, epsilon: float) -> dict[str, Any]:
    return {"normalize": partial(_normalize, epsilon)}


@EQUATIONS.edit(
    "epsilon", "cells", lambda v: f"layer normalisation with epsilon {v}",
    lambda v: f"sqrt(variance + {v})",
    "frameworks differ: 1e-5 of PyTorch, 1e-3 of Keras, 1e-12 of TF1",
    "take the epsilon of training", read=POSITIVE, shows=NEARLY, values=_EPSILONS,
    lacks="the cell has no layer normalisation; equations.layer_norm adds one",
)  # fmt: skip
def _epsilon(cell: Cell, epsilon: float) -> Cell:
    fit(cell.norm_scale is not None or cell.state_scale is not None)
    return replace(
        cell, convention=cell.convention.with_behaviour(norm_epsilon=epsilon)
    )


def _add_zoneout(end: str, which: str) -> None:
    name = end.removeprefix(".") or "state"

    @EQUATIONS.edit(
        f"zoneout{end}", "equations",
        lambda v: f"a share {v} of the old {' and '.join(which)} kept, as by zoneout",
        lambda v: f"{name} = (1 - {v}) * {name}_new + {v} * {name}", TRAINING,
        f"{name} = {name}_new",
        read=SHARE, shows=shown_of_gate(name), values=(0.1, 0.05, 0.2, 0.5),
        solved=0.0,
    )  # fmt: skip
    def zoneout(parts: Any, share: float) -> dict[str, Any]:
        def kept(h: Array, c: Array, old_h: Array, old_c: Array) -> State:
            mixed = (1 - share) * h + share * old_h, (1 - share) * c + share * old_c
            return chosen(which, mixed, (h, c))

        return {"kept": kept}


for _end, _which in STATES.items():
    _add_zoneout(_end, _which)


@EQUATIONS.edit(
    "h_clip", "equations", lambda v: f"h bounded to +-{v} in the cell",
    lambda v: f"h = clip(h, -{v}, {v})", "fixed-point code", "use h",
    read=POSITIVE, shows=LARGE, values=(1.0, 0.5, 0.2, 0.1, 0.8), solved=1.0, bound=True,
)  # fmt: skip
def _h_clip(parts: Any, bound: float) -> dict[str, Any]:
    return {"clip_h": lambda h: np.clip(h, -bound, bound, h)}


def _wrap(bound: float, c: Array) -> None:
    np.copyto(c, (c + bound) % (2 * bound) - bound)


def _cap(bound: float, c: Array) -> None:
    np.minimum(c, bound, out=c)


def _floor(bound: float, c: Array) -> None:
    np.maximum(c, -bound, out=c)


_POWERS = (1.0, 0.25, 0.5, 2.0, 4.0, 8.0, 16.0)  # the ranges of fixed-point formats
_BOUNDS: dict[str, tuple[str, str, Callable[[float, Array], None], str]] = {
    "wrap": ("wraps round at +-{}", "{0} = ({0} + {1}) % (2 * {1}) - {1}", _wrap,
             "saturate where a format ends"),
    "top": ("is at most {}", "{0} = minimum({0}, {1})", _cap, "bound both sides, or none"),
    "bottom": ("is at least -{}", "{0} = maximum({0}, -{1})", _floor,
               "bound both sides, or none"),
}  # fmt: skip


def _add_bound(name: str, state: str) -> None:
    words, code, change, mend = _BOUNDS[name]

    @EQUATIONS.edit(
        f"{state}_{name}", "equations", lambda v: f"{state} {words.format(v)}",
        lambda v: code.format(state, v), "fixed-point code", mend,
        read=POSITIVE, shows=LARGE if state == "h" else "Steps agree until c reaches the bound",
        values=_POWERS, solved=None if name == "wrap" else 16.0,
    )  # fmt: skip
    def bounded(parts: Any, bound: float) -> dict[str, Any]:
        return {f"clip_{state}": partial(change, bound)}


for _name in _BOUNDS:
    for _state in "ch":
        _add_bound(_name, _state)


def _add_clip(gate: str) -> None:
    field = "t" if gate == "g" else f"s_{gate}"

    @EQUATIONS.edit(
        f"clip.{gate}", "equations", lambda v: f"pre-activation of gate {gate} bounded to +-{v}",
        lambda v: f"z_{gate} = clip(z_{gate}, -{v}, {v})", "fixed-point code",
        f"use z_{gate}",
        read=POSITIVE, shows=shown_of_gate(gate), values=(1.0, 2.0, 3.0, 4.0, 5.0, 8.0),
        solved=8.0,
    )  # fmt: skip
    def clipped(parts: Any, bound: float) -> dict[str, Any]:
        return _activations(
            [field], parts, lambda kind, old: lambda x: old(np.clip(x, -bound, bound))
        )


for _gate in "ifgo":
    _add_clip(_gate)


# ---- the order of a step


@EQUATIONS.edit(
    "order", "equations", "h of a unit is overwritten while later units of the step read it",
    "for u in range(H): h[u] = unit(u, x[t], h)", "C code with one array for h",
    "h_new[u] = unit(u, x[t], h) for all u, then h = h_new",
    read=OneOf("in_place"), shows=LATER,
)  # fmt: skip
def _order(parts: Any, _: str) -> dict[str, Any]:
    return {"in_place": True}


_PEEPHOLE_O: dict[Any, str] = {
    "after": "o = sigmoid(z_o) + p_o * c_new",
    "in_tanh": "h = o * tanh(c_new + p_o * c_new)",
    ANY: "o = sigmoid(z_o) + p_o * c_new",
}


@EQUATIONS.edit(
    "peephole_o", "cells", lambda v: f"peephole of o added {v}", lambda v: _PEEPHOLE_O[v.value],
    "code that activates all gates at once", "o = sigmoid(z_o + p_o * c_new)",
    read=OneOf(after="after its sigmoid", in_tanh="within the tanh of c"),
    lacks="the cell has no peepholes",
)  # fmt: skip
def _peephole_o(cell: Cell, how: str) -> Cell:
    fit(cell.peephole is not None)
    place = "after_sigmoid" if how == "after" else how
    return replace(
        cell, convention=cell.convention.with_behaviour(output_peephole=place)
    )


# ---- how many units there are

UNITS = Family("units", "What is not computed is 0, or what a buffer had")


def _each_count(sizes: RunSizes) -> Iterable[int]:
    return range(sizes.cell.units - 1, 0, -1)


@UNITS.edit(
    "computed", "equations", lambda v: f"only the first {v} units are computed",
    lambda v: f"for u in range({v}): ...", "a loop to H - 1, a block of a GPU kernel",
    "for u in range(H): ...", read=COUNT, values=_each_count,
)  # fmt: skip
def _computed(parts: Any, count: int) -> dict[str, Any]:
    def kept(h: Array, c: Array, old_h: Array, old_c: Array) -> State:
        if h.shape != c.shape:
            raise UserError("units.computed: h of a projection is of no single unit.")
        if count >= len(c):
            raise UserError(f"units.computed={count}: there are {len(c)} units.")
        return np.concatenate([h[:count], old_h[count:]]), np.concatenate(
            [c[:count], old_c[count:]]
        )

    return {"kept": kept}
