"""One unit of a cell at one step: `equations.step` with formulas in the place of numbers.

The order of the step and of its parts is that of the loop. Here a part writes a line in place of
an array: with its formula, and the numbers of the loop. Sums of products are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from lstmcli.core.derive.formulas import FormulaLine, Sum, Term, Value, rounded
from lstmcli.core.forward.equations import (
    COUPLED,
    NO_PEEPHOLES,
    Parts,
    Peepholes,
    no_change,
    step,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES


@dataclass(eq=False)
class Operand:
    """An argument of `equations.step` in place of an array, which it changes."""

    value: Value | None = None  # None: a sum, so far
    terms: list[Term] = field(default_factory=list)  # of the sum
    of_units: Any = 0.0  # (H,) the sum in every unit, in the widest type

    def __iadd__(self, other: Operand) -> Operand:
        self.terms.extend(other.terms)
        self.of_units = self.of_units + other.of_units
        if self.value is not None and other.value is not None:
            self.value = self.value + other.value
        return self

    def __add__(self, other: Operand) -> Operand:
        result = self.copy()
        result += other
        return result

    def copy(self) -> Operand:
        """The same, apart."""
        return Operand(self.value, list(self.terms), self.of_units)


@dataclass(eq=False)
class Lines:
    """A cell at one step of one sequence: what enters, the loop's numbers, and the lines so far."""

    cell: Cell
    unit: int
    x: Array  # (I,)
    h_prev: Array  # (P,)
    c_prev: Array  # (H,)
    # i, f, g, o, c (H,), h (P,), z (4H,): the loop's, by name
    computed: Mapping[str, Array]
    sums: dict[str, Sum] = field(default_factory=dict)  # by gate; "h" of a projection
    # in the order of computation
    lines: list[FormulaLine] = field(default_factory=list)

    def _named(self, name: str, values: Any) -> Value:
        return Value(name, _up(values), {name: self._of_unit(values)})

    def _computed(self, name: str) -> Value:
        return self._named(name, self.computed[name])

    def _add(self, name: str, made: Value, computed: Array | None = None) -> None:
        """Add the line of a number, with that of the loop if a trace has it."""
        once = self.cell.dtype.type(self._of_unit(made.wide))
        line = FormulaLine(name, made.formula, made.numbers, once, once, False)
        if computed is not None:
            line = replace(line, value=computed[self.unit], in_trace=True)
        self.lines.append(line)

    def _of_unit(self, values: Any) -> Any:
        """The number of this unit, or the one that all have."""
        return values[self.unit] if np.ndim(values) else values

    def _normalised(self, value: Value, scale: Array, shift: Array) -> Value:
        wide = value.wide
        kind = self.cell.dtype.type
        mean = wide.mean()
        epsilon = self.cell.behaviour.norm_epsilon
        deviation = np.sqrt(((wide - mean) ** 2).mean() + epsilon)
        numbers = {"mean": kind(mean), "deviation": kind(deviation)}
        numbers |= {"scale": scale[self.unit], "shift": shift[self.unit]}
        formula = f"({value.formula} - mean) / deviation * scale + shift"
        wide = (wide - mean) / deviation * scale + shift
        return Value(formula, wide, {**value.numbers, **numbers})


@dataclass(eq=False)
class UnitAtStep(Lines):
    """The lines of one unit, and the parts of the step that write them."""

    wanted: set[str] = field(default_factory=set)  # gates that get lines

    def derive(self, gate: str | None) -> None:
        """Add the lines of a gate, or of all, then those of c and h."""
        self.wanted = set(GATES) if gate is None else {gate}
        made, other = self._coupled
        if made in self.wanted:
            self.wanted.add(other)
        z: Any = [self._sum_of(gate) for gate in GATES]
        gates: Any = [Operand(self._computed(gate)) for gate in GATES]
        c: Any = Operand(self._named("c_prev", self.c_prev))
        step(z, c, self._parts(), gates)
        if self.cell.peephole is None:  # o takes no c, and stands with the other gates
            of_o = [line for line in self.lines if line.name in ("z_o", "o")]
            others = [line for line in self.lines if line not in of_o]
            at = next(n for n, line in enumerate(others) if line.name in ("c_new", "c"))
            self.lines = others[:at] + of_o + others[at:]

    @property
    def _coupled(self) -> tuple[str, str]:
        """The gate that is made of another, and that one; "" without."""
        return COUPLED.get(self.cell.behaviour.coupled, ("", ""))

    def _parts(self) -> Parts:
        """The parts of the step, which write lines."""
        own: Any = self  # takes an `Operand` for each array
        activate = {gate: partial(own._activate, gate) for gate in GATES}
        peepholes = NO_PEEPHOLES
        if self.cell.peephole is not None:
            where = self.cell.behaviour.output_peephole
            peepholes = Peepholes(own._peephole, where)
        parts = Parts(
            s_i=activate["i"],
            s_f=activate["f"],
            s_o=activate["o"],
            t=activate["g"],
            t_c=no_change,
            clip=own._clip,
            clip_c=own._clip_c,
            clip_h=own._clip_h,
            couple=own._couple,
            normalize=own._finish_sum,
            normalize_c=own._normalize_c,
            peepholes=peepholes,
            project=own._project,
            output=own._output,
        )
        for edit in edits_in("equations", self.cell.edits):
            parts = replace(parts, **edit.apply(parts))
        return replace(parts, update=partial(own._update, parts.update))

    # ---- gates

    def _is_summed(self, gate: str) -> bool:
        """Return whether the gate gets lines, and is made of a sum."""
        return gate in self.wanted and gate != self._coupled[0]

    def _sum_of(self, gate: str) -> Operand:
        """The sum of a gate's pre-activation, before peepholes are added."""
        if not self._is_summed(gate):
            return Operand()
        cell, unit = self.cell, self.unit
        k = GATES.index(gate)
        terms = []
        for n, weight in enumerate(cell.kernel[k, unit]):
            terms.append(Term(f"x[{n}]", weight, self.x[n], "kernel"))
        for n, weight in enumerate(cell.recurrent_kernel[k, unit]):
            terms.append(Term(f"h[{n}]", weight, self.h_prev[n], "recurrent"))
        if cell.norm_scale is None:
            return Operand(None, terms)
        of_units = _up(cell.kernel[k]) @ _up(self.x)
        of_units = of_units + _up(cell.recurrent_kernel[k]) @ _up(self.h_prev)
        return Operand(None, terms, of_units)

    def _peephole(self, number: int, c: Operand) -> Operand:
        """The product of the peephole of i, f or o and c."""
        assert self.cell.peephole is not None
        assert c.value is not None
        name = c.value.formula
        weights = self.cell.peephole[number]
        numbers = self.c_prev if name == "c_prev" else self.computed["c"]
        if weights.ndim == 2:
            row = enumerate(weights[self.unit])
            terms = [Term(f"{name}[{n}]", w, numbers[n], "peephole") for n, w in row]
            return Operand(None, terms, _up(weights) @ _up(numbers))
        n = self.unit
        weight = weights[n]
        term = Term(f"{name}[{n}]", weight, numbers[n], "peephole")
        value = self._named(f"p_{'ifo'[number]}", weights) * c.value
        return Operand(value, [term], _up(weights) * _up(numbers))

    def _finish_sum(self, z: Operand, number: int) -> None:
        """Add the biases and sum up; or sum up, and normalise to a scale and a shift."""
        cell, gate = self.cell, GATES[number]
        if not self._is_summed(gate):
            return
        constant = cell.behaviour.forget_bias if gate == "f" else 0
        if cell.norm_scale is None:
            z.terms.append(Term("bias", cell.bias[number, self.unit]))
            if constant:
                z.terms.append(Term("forget bias", cell.dtype.type(constant)))
        self.sums[gate] = Sum.of(z.terms)
        total = self._named(f"sum_{gate}", rounded(self.sums[gate].total, cell.dtype))
        if cell.norm_scale is not None and cell.norm_shift is not None:
            of_units = replace(total, wide=z.of_units)
            scale, shift = cell.norm_scale[number], cell.norm_shift[number]
            total = self._normalised(of_units, scale, shift)
            if constant:
                total += self._named("forget_bias", cell.dtype.type(constant))
        z.value = total

    def _clip(self, *of_gates: Operand) -> None:
        limit = self.cell.behaviour.gate_clip
        for z in of_gates:
            if z.value is not None:
                z.value = z.value.clipped(limit, self.cell.dtype)

    def _activate(self, gate: str, z: Operand, result: Operand) -> None:
        """Add the line of z, and that of the gate, if no peephole is added to it."""
        if z.value is None:
            return
        behaviour = self.cell.behaviour
        numbers = self.computed["z"].reshape(4, -1)[GATES.index(gate)]
        self._add(f"z_{gate}", z.value, numbers)
        name = behaviour.activation if gate == "g" else behaviour.recurrent_activation
        result.value = self._named(f"z_{gate}", numbers).applied(name)
        if gate != "o":
            self._add_gate(gate, result)

    def _add_gate(self, gate: str, made: Operand) -> None:
        assert made.value is not None
        self._add(gate, made.value, self.computed[gate])
        made.value = self._computed(gate)

    def _couple(self, i: Operand, f: Operand) -> None:
        made, other = self._coupled
        if made in self.wanted:
            taken = self._computed(other)
            rest = Value(f"1 - {other}", 1 - taken.wide, taken.numbers)
            self._add_gate(made, Operand(rest))

    # ---- c and h

    def _update(
        self,
        update: Callable[..., Value],
        f: Operand,
        c: Operand,
        i: Operand,
        g: Operand,
    ) -> Operand:
        return Operand(update(f.value, c.value, i.value, g.value))

    def _clip_c(self, c: Operand) -> None:
        assert c.value is not None
        limit = self.cell.behaviour.cell_clip
        c.value = c.value.clipped(limit, self.cell.dtype)

    def _normalize_c(self, c: Operand, number: int) -> None:
        """Add the line of c, and before a normalisation that of what it takes."""
        cell, value = self.cell, c.value
        assert value is not None
        if cell.state_scale is not None and cell.state_shift is not None:
            self._add("c_new", value)
            value = Value("c_new", value.wide, {"c_new": self.lines[-1].value})
            value = self._normalised(value, cell.state_scale, cell.state_shift)
        self._add("c", value, self.computed["c"])
        c.value = self._computed("c")

    def _output(self, o: Operand, c_new: Operand, c: Operand, t: object) -> Operand:
        """Add the line of o; the h of it and of c, or what the activation takes of c."""
        assert c_new.value is not None
        if "o" in self.wanted:
            self._add_gate("o", o)
        name = self.cell.behaviour.output_activation
        return Operand(self._computed("o") * c_new.value.applied(name))

    def _project(self, h: Operand) -> Operand:
        """The projected h, after the line of what it is projected from; none of it beyond P."""
        cell = self.cell
        if cell.projection is None:
            return h
        assert h.value is not None
        self._add("m", h.value)
        if self.unit >= cell.outputs:
            return Operand()
        m = h.value.wide.astype(cell.dtype)
        row = enumerate(cell.projection[self.unit])
        terms = [Term(f"m[{n}]", weight, m[n], "projection") for n, weight in row]
        if cell.projection_bias is not None:
            terms.append(Term("projection bias", cell.projection_bias[self.unit]))
        self.sums["h"] = Sum.of(terms)
        return Operand(self._named("sum_h", rounded(self.sums["h"].total, cell.dtype)))

    def _clip_h(self, h: Operand) -> None:
        if h.value is not None:
            limit = self.cell.behaviour.projection_clip
            clipped = h.value.clipped(limit, self.cell.dtype)
            self._add("h", clipped, self.computed["h"])


def _up(array: Any) -> Any:
    return np.asarray(array, np.longdouble)
