"""The equations of one step for one unit, every line with the numbers that went in.

The numbers of a trace (z, gates, c, h) are those of the loop, bit for bit. Each line also has
its formula's value, computed from the line's numbers in the widest type and rounded once: where
the two differ, the loop has rounded more than once. These formulas are a second form of
`core.forward.equations`, since they are text with a number for each name, of one unit, and since a
derivation that called the loop's step could not show a mistake in it. Sums of products are exact:
nothing is rounded until it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """One product, such as ``x[2]`` times its weight in the kernel, or a single number, a bias."""

    name: str  # "x[2]", "h_prev[0]", "c_prev[1]", "bias", "forget bias"
    weight: Scalar
    factor: Scalar | None = None  # what is weighted; None: the weight is added as it is
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
        return cls(tuple(sorted(terms, key=lambda term: _size(term.product), reverse=True)))

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
        """The sum of the terms of one matrix, or of the single number of a name; None without."""
        chosen = [t for t in self.terms if t.matrix == matrix and name in (None, t.name)]
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
        neighbours = [np.nextafter(near, kind(towards)) for towards in (-np.inf, np.inf)]
    finite = [number for number in (near, *neighbours) if np.isfinite(number)]
    distances = [abs(Fraction(*number.as_integer_ratio()) - exact) for number in finite]
    nearest: Scalar = finite[distances.index(min(distances))]
    return nearest


def ulps_between(a: Scalar, b: Scalar) -> int | None:
    """The distance in units of the last place; None where one is NaN or infinite.

    0 only if they are the same.
    """
    if a == b or (np.isnan(a) and np.isnan(b)):
        return 0
    with np.errstate(all="ignore"):
        spacing = np.spacing(min(abs(a), abs(b)))
        distance = float(abs(a.astype(np.longdouble) - b) / spacing)
    return max(1, round(distance)) if isfinite(distance) else None


def _size(exact: Exact) -> float:
    """For sorting: what is not a number comes first, as it decides the sum."""
    size = abs(as_float(exact))
    return inf if isnan(size) else size


Numbers = dict[str, Scalar]


@dataclass(frozen=True)
class FormulaLine:
    """One number, its formula, and the numbers that the formula's names stand for."""

    name: str  # "z_f", "f", "c", "h"; "m" where h is projected from it
    formula: str  # "f * c_prev + i * g"
    numbers: Mapping[str, Scalar]
    value: Scalar  # of the loop
    rounded_once: Scalar  # the formula of these numbers, rounded once
    in_trace: bool = True  # whether a trace has it; else the value was computed here
    theirs: Scalar | None = None  # of the other implementation
    agrees: bool | None = None

    @property
    def ulps(self) -> int | None:
        """ULPs between the loop's number and the one rounded once; None if one is not finite."""
        return ulps_between(self.value, self.rounded_once)


@dataclass(eq=False)
class UnitAtStep:
    """A cell at one step of one sequence: its operands, and what the loop computed."""

    cell: Cell
    unit: int
    x: Array  # (I,)
    h_prev: Array  # (P,)
    c_prev: Array  # (H,)
    computed: Mapping[str, Array]  # i, f, g, o, c (H,), h (P,), z (4H,): the loop's, by name
    sums: dict[str, Sum] = field(default_factory=dict)  # by gate; "h" of a projection
    lines: list[FormulaLine] = field(default_factory=list)  # in the order of computation

    def derive(self, gate: str | None) -> None:
        """Add the lines of a gate, or of all, then those of c and h."""
        wanted = set(GATES if gate is None else gate)
        coupled = _COUPLED.get(self.cell.convention.behaviour.coupled, "")
        if coupled and coupled[0] in wanted:  # it is computed from the other
            wanted.add(coupled[1])
        for letter in sorted(wanted & set("ifg"), key=lambda g: (g in coupled[:1], GATES.index(g))):
            if letter in coupled[:1]:
                other = self.computed[coupled[1]][self.unit]
                value = self.computed[letter][self.unit]
                self._add(letter, f"1 - {coupled[1]}", {coupled[1]: other}, value, 1 - _up(other))
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
        """The terms of a gate's sum, its pre-activation, and the gate."""
        self.sums[gate] = Sum.of(self._terms(gate))
        self._pre_activation(gate)
        convention, z, z_name = self.cell.convention, self._z(gate), f"z_{gate}"
        name = (
            convention.behaviour.activation
            if gate == "g"
            else convention.behaviour.recurrent_activation
        )
        formula, numbers = _applied(name, z_name), {z_name: z}
        value = _wide(name, z)
        if gate == "o" and self._output_peephole_is("after_sigmoid"):
            added, symbols = self._peephole_formula()
            formula, numbers, value = (
                f"{formula} + {added}",
                numbers | symbols,
                value + self._peephole_products()[self.unit],
            )
        self._add(gate, formula, numbers, self.computed[gate][self.unit], value)

    def _terms(self, gate: str) -> list[Term]:
        cell, u, k = self.cell, self.unit, GATES.index(gate)
        kernel, recurrent = cell.kernel[k, u], cell.recurrent_kernel[k, u]
        terms = [Term(f"x[{n}]", w, self.x[n], "kernel") for n, w in enumerate(kernel)]
        terms += [Term(f"h[{n}]", w, self.h_prev[n], "recurrent") for n, w in enumerate(recurrent)]
        terms += self._peephole_terms(gate)
        if cell.norm_scale is None:  # otherwise they are added after the normalisation
            terms.append(Term("bias", cell.bias[k, u]))
            if gate == "f" and cell.convention.behaviour.forget_bias:
                terms.append(
                    Term("forget bias", self._constant(cell.convention.behaviour.forget_bias))
                )
        return terms

    def _peephole_terms(self, gate: str) -> list[Term]:
        """The terms of c before the step; of the new c where the output peephole takes that."""
        where = self.cell.convention.behaviour.output_peephole
        if self.cell.peephole is None or gate == "g":
            return []
        if gate == "o" and where not in ("new_c", "old_c"):
            return []
        new = gate == "o" and where == "new_c"
        name, c = ("c", self.computed["c"]) if new else ("c_prev", self.c_prev)
        weights = self.cell.peephole["ifo".index(gate), self.unit]
        if np.ndim(weights) == 0:
            return [Term(f"{name}[{self.unit}]", weights, c[self.unit], "peephole")]
        return [Term(f"{name}[{n}]", w, c[n], "peephole") for n, w in enumerate(weights)]

    def _pre_activation(self, gate: str) -> None:
        """z: the sum, normalised and bounded where the cell does that."""
        formula = name = f"sum_{gate}"
        numbers = {name: rounded(self.sums[gate].total, self.cell.dtype)}
        value: Any = numbers[name]
        if self.cell.norm_scale is not None:
            formula, more, value = self._normalised(gate, name)
            numbers |= more
        formula, value = self._clipped(formula, value, self.cell.convention.behaviour.gate_clip)
        self._add(f"z_{gate}", formula, numbers, self._z(gate), value)

    def _normalised(self, gate: str, name: str) -> tuple[str, Numbers, Any]:
        """Layer normalisation of a gate's sums over the units."""
        cell, k = self.cell, GATES.index(gate)
        assert cell.norm_scale is not None
        assert cell.norm_shift is not None
        formula, numbers, value = self._standard(
            self._all_sums(gate), name, cell.norm_scale[k], cell.norm_shift[k]
        )
        if gate == "f" and cell.convention.behaviour.forget_bias:
            constant = self._constant(cell.convention.behaviour.forget_bias)
            return f"{formula} + forget_bias", numbers | {"forget_bias": constant}, value + constant
        return formula, numbers, value

    def _standard(
        self, values: Array, name: str, scale: Array, shift: Array
    ) -> tuple[str, Numbers, Any]:
        """(value - mean) / deviation * scale + shift, over the units (H,)."""
        mean = values.mean()
        deviation = np.sqrt(
            ((values - mean) ** 2).mean() + self.cell.convention.behaviour.norm_epsilon
        )
        of_unit = scale[self.unit], shift[self.unit]
        value = (values[self.unit] - mean) / deviation * of_unit[0] + of_unit[1]
        kind = self.cell.dtype.type
        numbers = {"mean": kind(mean), "deviation": kind(deviation)}
        numbers |= {"scale": of_unit[0], "shift": of_unit[1]}
        return f"({name} - mean) / deviation * scale + shift", numbers, value

    def _all_sums(self, gate: str) -> Array:
        """(H,) the sum of a gate in every unit, at more digits than the run has."""
        cell, k = self.cell, GATES.index(gate)
        total: Array = _up(cell.kernel[k]) @ _up(self.x)
        total = total + _up(cell.recurrent_kernel[k]) @ _up(self.h_prev)
        if cell.peephole is not None and gate != "g":
            new = gate == "o" and self._output_peephole_is("new_c")
            if gate != "o" or new or self._output_peephole_is("old_c"):
                weights = _up(cell.peephole["ifo".index(gate)])
                total = total + _times(weights, _up(self.computed["c"] if new else self.c_prev))
        return total

    # ---- c and h

    def _c(self) -> None:
        cell, u = self.cell, self.unit
        names = {k: self.computed[k] for k in "ifg"} | {"c_prev": self.c_prev}
        f, c_prev, i, g = (_up(names[k]) for k in ("f", "c_prev", "i", "g"))
        value = f * c_prev + i * g  # (H,)
        numbers = {k: a[u] for k, a in names.items()}
        limit = cell.convention.behaviour.cell_clip
        formula, value = self._clipped("f * c_prev + i * g", value, limit)
        if cell.state_scale is None or cell.state_shift is None:
            self._add("c", formula, numbers, self.computed["c"][u], value[u])
            return
        self._add("c_new", formula, numbers, value[u].astype(cell.dtype), value[u], in_trace=False)
        formula, numbers, value = self._standard(value, "c_new", cell.state_scale, cell.state_shift)
        numbers = {"c_new": self.lines[-1].value} | numbers
        self._add("c", formula, numbers, self.computed["c"][u], value)

    def _h(self) -> None:
        cell, u, convention = self.cell, self.unit, self.cell.convention
        name, inner = convention.behaviour.output_activation, "c"
        numbers = {"o": self.computed["o"][u], "c": self.computed["c"][u]}
        argument = _up(self.computed["c"])
        if self._output_peephole_is("in_tanh"):
            added, symbols = self._peephole_formula()
            inner, numbers, argument = (
                f"c + {added}",
                numbers | symbols,
                argument + self._peephole_products(),
            )
        formula = f"o * {_applied(name, inner)}"
        value = _up(self.computed["o"]) * _wide(name, argument)  # (H,)
        if cell.projection is None:
            self._bounded_h(formula, numbers, value[u])
            return
        m = value.astype(cell.dtype)
        self._add("m", formula, numbers, m[u], value[u], in_trace=False)
        if u < cell.outputs:
            self._projected(m)

    def _projected(self, m: Array) -> None:
        """h of a projection, which has fewer units."""
        cell, u = self.cell, self.unit
        assert cell.projection is not None
        row = cell.projection[u]
        terms = [Term(f"m[{n}]", w, m[n], "projection") for n, w in enumerate(row)]
        if cell.projection_bias is not None:
            terms.append(Term("projection bias", cell.projection_bias[u]))
        self.sums["h"] = Sum.of(terms)
        total = rounded(self.sums["h"].total, cell.dtype)
        self._bounded_h("sum_h", {"sum_h": total}, total)

    def _bounded_h(self, formula: str, numbers: Numbers, value: Any) -> None:
        limit = self.cell.convention.behaviour.projection_clip
        formula, value = self._clipped(formula, value, limit)
        self._add("h", formula, numbers, self.computed["h"][self.unit], value)

    # ---- output peepholes after the gate

    def _output_peephole_is(self, where: str) -> bool:
        return (
            self.cell.peephole is not None
            and self.cell.convention.behaviour.output_peephole == where
        )

    def _peephole_formula(self) -> tuple[str, Numbers]:
        """What the output peephole adds after the gate, as a formula with its numbers."""
        assert self.cell.peephole is not None
        weight = self.cell.peephole[2, self.unit]
        return "p_o * c", {"p_o": weight, "c": self.computed["c"][self.unit]}

    def _peephole_products(self) -> Array:
        assert self.cell.peephole is not None
        return _times(_up(self.cell.peephole[2]), _up(self.computed["c"]))

    # ---- helpers

    def _z(self, gate: str) -> Scalar:
        number: Scalar = self.computed["z"].reshape(4, -1)[GATES.index(gate), self.unit]
        return number

    def _clipped(self, formula: str, value: Any, limit: float | None) -> tuple[str, Any]:
        if limit is None:
            return formula, value
        bound = self._constant(limit)
        return f"clip({formula}, -{limit:g}, {limit:g})", np.clip(value, -bound, bound)

    def _constant(self, number: float) -> Scalar:
        constant: Scalar = self.cell.dtype.type(number)
        return constant

    def _add(
        self,
        name: str,
        formula: str,
        numbers: Numbers,
        value: Scalar,
        wide: Any,
        in_trace: bool = True,
    ) -> None:
        self.lines.append(
            FormulaLine(name, formula, numbers, value, self.cell.dtype.type(wide), in_trace)
        )


_COUPLED = {"f=1-i": "fi", "i=1-f": "if"}


def _up(array: Any) -> Any:
    """The array in the widest type."""
    return np.asarray(array, np.longdouble)


def _times(weights: Array, c: Array) -> Array:
    """Peepholes, (H,) or (H, H), times c (H,)."""
    product: Array = weights @ c if weights.ndim == 2 else weights * c
    return product


def _wide(name: str, values: Any) -> Any:
    """An activation of some numbers, in the widest type."""
    wide = np.atleast_1d(_up(values))
    out = np.empty_like(wide)
    activation(name)(wide, out)
    return out if np.ndim(values) else out[0]


def _applied(name: str, inner: str) -> str:
    return inner if name == "identity" and " " not in inner else f"{name}({inner})"
