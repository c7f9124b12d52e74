"""The equations of one step for one unit, every line with the numbers that went in.

The numbers of a trace (z, gates, c, h) are those of the loop, bit for bit.
Each line also has its formula's value, computed in the widest type and rounded
once: if the two differ, the loop has rounded more than once. These formulas
are a second form of `core.forward.equations`: text with a number for each
name, of one unit, which can show a mistake in the loop's step. Sums of
products are exact: nothing is rounded until it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from math import inf, isfinite, isnan
from typing import Any

import numpy as np

from lstmcli.core.forward.equations import activation
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

Scalar = np.floating[Any]
Exact = Fraction | float
"""An exact number; a float only where NaN or an infinity has come in."""


@dataclass(frozen=True)
class Term:
    """A product, such as ``x[2]`` times its weight in the kernel, or a number, a bias."""

    name: str  # "x[2]", "h_prev[0]", "c_prev[1]", "bias", "forget bias"
    weight: Scalar
    factor: Scalar | None = None  # what is weighted; None: the weight is added
    matrix: str = ""  # of the weight: "kernel", "recurrent", "peephole", "projection"

    @cached_property
    def product(self) -> Exact:
        """The term itself."""
        weight = exactly(self.weight)
        return weight if self.factor is None else exactly(self.factor) * weight


@dataclass(frozen=True)
class Sum:
    """The terms of a sum, the largest first."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, terms: list[Term]) -> Sum:
        """The sum of these terms, sorted by size."""
        return cls(
            tuple(sorted(terms, key=lambda term: _size(term.product), reverse=True))
        )

    @cached_property
    def running(self) -> list[Exact]:
        """The sum so far, after each term."""
        return list(accumulate(term.product for term in self.terms))

    @property
    def total(self) -> Exact:
        """The sum of all terms."""
        return self.running[-1]

    def rest(self, count: int) -> Exact:
        """The sum of all terms but the first ``count``."""
        return sum((term.product for term in self.terms[count:]), Fraction(0))

    def part(self, matrix: str, name: str | None = None) -> Exact | None:
        """The sum of the terms of a matrix, or of the number of a name; None without."""
        chosen = [
            t for t in self.terms if t.matrix == matrix and name in (None, t.name)
        ]
        return sum((term.product for term in chosen), Fraction(0)) if chosen else None


def exactly(number: Scalar) -> Exact:
    """A number of any float type as a fraction."""
    if not np.isfinite(number):
        return float(number)
    return Fraction(*number.as_integer_ratio())


def as_float(number: Exact | Scalar) -> float:
    """The nearest float64; infinite beyond its range."""
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def rounded(exact: Exact, dtype: np.dtype[Any]) -> Scalar:
    """The nearest number of a type."""
    kind: type[Scalar] = dtype.type
    if isinstance(exact, float):
        return kind(exact)
    with np.errstate(all="ignore"):
        near = kind(as_float(exact))
        if not np.isfinite(near):
            return near
        near = near + kind(float(exact - exactly(near)))  # of a type wider than float64
        neighbours = [
            np.nextafter(near, kind(towards)) for towards in (-np.inf, np.inf)
        ]
    finite = [number for number in (near, *neighbours) if np.isfinite(number)]
    distances = [abs(Fraction(*number.as_integer_ratio()) - exact) for number in finite]
    nearest: Scalar = finite[distances.index(min(distances))]
    return nearest


def ulps_between(a: Scalar, b: Scalar) -> int | None:
    """The distance in units of the last place, 0 only if equal; None of NaN or infinity."""
    if a == b or (np.isnan(a) and np.isnan(b)):
        return 0
    with np.errstate(all="ignore"):
        spacing = np.spacing(min(abs(a), abs(b)))
        distance = float(abs(a.astype(np.longdouble) - b) / spacing)
    return max(1, round(distance)) if isfinite(distance) else None


def _size(exact: Exact) -> float:
    """For sorting: NaN comes first, as it decides the sum."""
    size = abs(as_float(exact))
    return inf if isnan(size) else size


Numbers = dict[str, Scalar]


@dataclass(frozen=True)
class Value:
    """A number of one unit or every unit (H,), its formula, and the numbers in that."""

    formula: str
    wide: Any  # in the widest type
    numbers: Numbers  # by the names in the formula

    def __add__(self, other: Value) -> Value:
        return self._joined("+", other, self.wide + other.wide)

    def __mul__(self, other: Value) -> Value:
        return self._joined("*", other, self.wide * other.wide)

    def _joined(self, sign: str, other: Value, wide: Any) -> Value:
        formula = f"{self.formula} {sign} {other.formula}"
        return Value(formula, wide, {**self.numbers, **other.numbers})

    def applied(self, name: str) -> Value:
        """An activation of it."""
        wide = np.atleast_1d(self.wide)
        out = np.empty_like(wide)
        activation(name)(wide, out)
        is_same = name == "identity" and " " not in self.formula
        formula = self.formula if is_same else f"{name}({self.formula})"
        return Value(formula, out.reshape(np.shape(self.wide)), self.numbers)

    def clipped(self, limit: float | None, dtype: np.dtype[Any]) -> Value:
        """It within -limit and limit; as it is without a limit."""
        if limit is None:
            return self
        bound = dtype.type(limit)
        formula = f"clip({self.formula}, -{limit:g}, {limit:g})"
        return Value(formula, np.clip(self.wide, -bound, bound), self.numbers)


@dataclass(frozen=True)
class FormulaLine:
    """One number, its formula, and the numbers of the formula's names."""

    name: str  # "z_f", "f", "c", "h"; "m" where h is projected from it
    formula: str  # "f * c_prev + i * g"
    numbers: Mapping[str, Scalar]
    value: Scalar  # of the loop
    rounded_once: Scalar  # the formula of these numbers, rounded once
    in_trace: bool = True  # whether a trace has it; else computed here
    theirs: Scalar | None = None  # of the other implementation
    agrees: bool | None = None

    @property
    def ulps(self) -> int | None:
        """ULPs between the loop's number and that rounded once; None if not finite."""
        return ulps_between(self.value, self.rounded_once)


@dataclass(eq=False)
class UnitAtStep:
    """A cell at one step of one sequence: its operands, and the loop's numbers."""

    cell: Cell
    unit: int
    x: Array  # (I,)
    h_prev: Array  # (P,)
    c_prev: Array  # (H,)
    computed: Mapping[
        str, Array
    ]  # i, f, g, o, c (H,), h (P,), z (4H,): the loop's, by name
    sums: dict[str, Sum] = field(default_factory=dict)  # by gate; "h" of a projection
    lines: list[FormulaLine] = field(
        default_factory=list
    )  # in the order of computation

    def derive(self, gate: str | None) -> None:
        """Add the lines of a gate, or of all, then those of c and h."""
        wanted = set(GATES if gate is None else gate)
        coupled = _COUPLED.get(self.cell.convention.behaviour.coupled, "")
        if coupled and coupled[0] in wanted:  # it is computed from the other
            wanted.add(coupled[1])
        early = [gate for gate in GATES if gate in wanted and gate != "o"]
        for letter in sorted(
            early, key=coupled[:1].__contains__
        ):  # one made of another is last
            if letter in coupled[:1]:
                other = self._computed(coupled[1])
                rest = Value(f"1 - {coupled[1]}", 1 - other.wide, other.numbers)
                self._add(letter, rest, self.computed[letter])
            else:
                self._gate(letter)
        late = self.cell.peephole is not None  # o may take the new c
        if "o" in wanted and not late:
            self._gate("o")
        self._c()
        if "o" in wanted and late:
            self._gate("o")
        self._h()

    # ---- gates

    def _gate(self, gate: str) -> None:
        cell, behaviour, k = (
            self.cell,
            self.cell.convention.behaviour,
            GATES.index(gate),
        )
        self.sums[gate] = Sum.of(self._terms(gate))
        total = self._named(f"sum_{gate}", rounded(self.sums[gate].total, cell.dtype))
        if cell.norm_scale is not None and cell.norm_shift is not None:
            of_units = replace(total, wide=self._all_sums(gate))
            total = self._normalised(of_units, cell.norm_scale[k], cell.norm_shift[k])
            if gate == "f" and behaviour.forget_bias:
                total += self._named(
                    "forget_bias", cell.dtype.type(behaviour.forget_bias)
                )
        z = self.computed["z"].reshape(4, -1)[k]
        self._add(f"z_{gate}", total.clipped(behaviour.gate_clip, cell.dtype), z)
        name = behaviour.activation if gate == "g" else behaviour.recurrent_activation
        made = self._named(f"z_{gate}", z).applied(name)
        where = behaviour.output_peephole
        if gate == "o" and cell.peephole is not None and where == "after_sigmoid":
            made += self._named("p_o", cell.peephole[2]) * self._computed("c")
        self._add(gate, made, self.computed[gate])

    def _terms(self, gate: str) -> list[Term]:
        cell, u, k = self.cell, self.unit, GATES.index(gate)
        kernel, recurrent = cell.kernel[k, u], cell.recurrent_kernel[k, u]
        terms = [Term(f"x[{n}]", w, self.x[n], "kernel") for n, w in enumerate(kernel)]
        terms += [
            Term(f"h[{n}]", w, self.h_prev[n], "recurrent")
            for n, w in enumerate(recurrent)
        ]
        for weights, name, c in self._peepholes(gate):
            at = [(u, weights[u])] if weights.ndim == 1 else enumerate(weights[u])
            terms += [Term(f"{name}[{n}]", w, c[n], "peephole") for n, w in at]
        if cell.norm_scale is None:  # otherwise they are added after the normalisation
            terms.append(Term("bias", cell.bias[k, u]))
            if gate == "f" and (constant := cell.convention.behaviour.forget_bias):
                terms.append(Term("forget bias", cell.dtype.type(constant)))
        return terms

    def _peepholes(self, gate: str) -> Iterator[tuple[Array, str, Array]]:
        """The peepholes in a gate's sum, (H,) or (H, H), and their c, by its name."""
        where = self.cell.convention.behaviour.output_peephole
        if self.cell.peephole is None or gate == "g":
            return
        weights = self.cell.peephole["ifo".index(gate)]
        if gate != "o" or where == "old_c":
            yield weights, "c_prev", self.c_prev
        elif where == "new_c":
            yield weights, "c", self.computed["c"]

    def _normalised(self, value: Value, scale: Array, shift: Array) -> Value:
        wide, kind = value.wide, self.cell.dtype.type
        mean, epsilon = wide.mean(), self.cell.convention.behaviour.norm_epsilon
        deviation = np.sqrt(((wide - mean) ** 2).mean() + epsilon)
        numbers = {"mean": kind(mean), "deviation": kind(deviation)}
        numbers |= {"scale": scale[self.unit], "shift": shift[self.unit]}
        formula = f"({value.formula} - mean) / deviation * scale + shift"
        wide = (wide - mean) / deviation * scale + shift
        return Value(formula, wide, {**value.numbers, **numbers})

    def _all_sums(self, gate: str) -> Array:
        """(H,) the sum of a gate in every unit, in more digits than the run's."""
        cell, k = self.cell, GATES.index(gate)
        total: Array = _up(cell.kernel[k]) @ _up(self.x)
        total = total + _up(cell.recurrent_kernel[k]) @ _up(self.h_prev)
        for weights, _, c in self._peepholes(gate):
            times = np.matmul if weights.ndim == 2 else np.multiply
            total = total + times(_up(weights), _up(c))
        return total

    # ---- c and h

    def _c(self) -> None:
        cell, c_prev = self.cell, self._named("c_prev", self.c_prev)
        f, i, g = map(self._computed, "fig")
        c = (f * c_prev + i * g).clipped(
            cell.convention.behaviour.cell_clip, cell.dtype
        )
        if cell.state_scale is not None and cell.state_shift is not None:
            self._add("c_new", c)
            c = Value("c_new", c.wide, {"c_new": self.lines[-1].value})
            c = self._normalised(c, cell.state_scale, cell.state_shift)
        self._add("c", c, self.computed["c"])

    def _h(self) -> None:
        cell, behaviour = self.cell, self.cell.convention.behaviour
        c = self._computed("c")
        if cell.peephole is not None and behaviour.output_peephole == "in_tanh":
            c += self._named("p_o", cell.peephole[2]) * c
        h = self._computed("o") * c.applied(behaviour.output_activation)
        if cell.projection is not None:
            self._add("m", h)
            if self.unit >= cell.outputs:
                return
            h = self._projected(cell.projection[self.unit], h.wide.astype(cell.dtype))
        self._add(
            "h", h.clipped(behaviour.projection_clip, cell.dtype), self.computed["h"]
        )

    def _projected(self, row: Array, m: Array) -> Value:
        terms = [Term(f"m[{n}]", w, m[n], "projection") for n, w in enumerate(row)]
        if self.cell.projection_bias is not None:
            terms.append(Term("projection bias", self.cell.projection_bias[self.unit]))
        self.sums["h"] = Sum.of(terms)
        return self._named("sum_h", rounded(self.sums["h"].total, self.cell.dtype))

    # ---- helpers

    def _named(self, name: str, values: Any) -> Value:
        return Value(
            name, _up(values), {name: values[self.unit] if np.ndim(values) else values}
        )

    def _computed(self, name: str) -> Value:
        return self._named(name, self.computed[name])

    def _add(self, name: str, made: Value, computed: Array | None = None) -> None:
        wide = made.wide[self.unit] if np.ndim(made.wide) else made.wide
        once = self.cell.dtype.type(wide)
        value, in_trace = (
            (once, False) if computed is None else (computed[self.unit], True)
        )
        line = FormulaLine(name, made.formula, made.numbers, value, once, in_trace)
        self.lines.append(line)


_COUPLED = {"f=1-i": "fi", "i=1-f": "if"}


def _up(array: Any) -> Any:
    return np.asarray(array, np.longdouble)
