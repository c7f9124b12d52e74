"""Numbers with their formulas: sums of products, exact, and values in the widest type.

`unit` puts them through `core.forward.equations.step`, which so writes the
formula of each line and its value, rounded once: where the loop's number
differs, the loop has rounded more than once. The equations and their order
are those of the loop, so these formulas show no mistake in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from math import inf, isfinite, isnan
from typing import Any

import numpy as np

from lstmcli.core.forward.equations import activation

Scalar = np.floating[Any]
Exact = Fraction | float
"""An exact number; a float only where NaN or an infinity has come in."""


@dataclass(frozen=True)
class Term:
    """A product, such as ``x[2]`` times its weight in the kernel, or a number, a bias."""

    name: str  # "x[2]", "h[0]", "c_prev[1]", "bias", "forget bias"
    weight: Scalar
    factor: Scalar | None = None  # what is weighted; None: the weight is added
    matrix: str = ""  # of the weight: "kernel", "recurrent", "peephole", "projection"

    @cached_property
    def product(self) -> Exact:
        """The term itself."""
        weight = exactly(self.weight)
        if self.factor is None:
            return weight
        return exactly(self.factor) * weight


@dataclass(frozen=True)
class Sum:
    """The terms of a sum, the largest first."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, terms: list[Term]) -> Sum:
        """The sum of these terms, sorted by size."""
        ordered = sorted(terms, key=lambda term: _size(term.product), reverse=True)
        return cls(tuple(ordered))

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
        products = []
        for term in self.terms:
            if term.matrix == matrix and name in (None, term.name):
                products.append(term.product)
        return sum(products, Fraction(0)) if products else None


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
    if not isfinite(distance):
        return None
    return max(1, round(distance))


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

    def __sub__(self, other: Value) -> Value:
        return self._joined("-", other.as_factor, self.wide - other.wide)

    def __mul__(self, other: Value) -> Value:
        return self.as_factor._joined("*", other.as_factor, self.wide * other.wide)

    def _joined(self, sign: str, other: Value, wide: Any) -> Value:
        formula = f"{self.formula} {sign} {other.formula}"
        return Value(formula, wide, {**self.numbers, **other.numbers})

    @property
    def as_factor(self) -> Value:
        """It with a sum in parentheses."""
        depth = 0
        for part in self.formula.split():
            if depth == 0 and part in ("+", "-"):
                return replace(self, formula=f"({self.formula})")
            depth += part.count("(") - part.count(")")
        return self

    def tanh(self) -> Value:
        """Its tanh, for `numpy.tanh` of it."""
        return self.applied("tanh")

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
