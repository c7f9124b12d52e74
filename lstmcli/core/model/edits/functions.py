"""Functions in place of tanh and the sigmoid: fast ones, tables, and others by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from math import erf
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array

Function = Callable[[Array], Array]


class Near(NamedTuple):
    """A function in place of tanh, and one in place of the sigmoid."""

    words: str
    t: Function | None = None
    s: Function | None = None


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    s: Array = 1 / (1 + np.exp(-x))
    return s


def _by_tanh(words: str, t: Function, slope: float = 0.5) -> Near:
    return Near(words, t, lambda x: 0.5 * t(slope * x) + 0.5)


def _ratio(
    words: str, P: Sequence[float], Q: Sequence[float], limit: float = np.inf
) -> Near:
    """By x P(x^2) / Q(x^2), lowest power first, of x that is bounded."""

    def tanh(x: Array) -> Any:
        x = np.clip(x, -limit, limit)
        y = x * x
        return np.clip(x * np.polyval(P[::-1], y) / np.polyval(Q[::-1], y), -1, 1)

    return _by_tanh(words, tanh)


def _schraudolph(x: Array) -> Any:
    """Sigmoid, whose exp is by the bits of a float32, as by Schraudolph (1999)."""
    a, b = np.float32(12102203.161561485), np.float32(1064866805.0)
    bits = np.clip(-x, -80, 80).astype(np.float32) * a + b
    return 1 / (
        1 + bits.astype(np.int64).astype(np.int32).view(np.float32).astype(x.dtype)
    )


def _interpolated(x: Array, at: Array, values: Array) -> Any:
    """`numpy.interp`, which takes float64 alone, of a long double too."""
    with np.errstate(over="ignore"):
        return np.interp(x.astype(np.float64), at, values)


def _nam(x: Array) -> Any:
    """The fast tanh of Neural Amp Modeler (`NAM/activations.h`)."""
    a, y = np.abs(x), x * x
    above = x * (
        2.45550750702956 * (1 + a) + (0.893229853513558 + 0.821226666969744 * a) * y
    )
    below = 2.44506634652299 + (2.44506634652299 + y) * np.abs(
        x + 0.814642734961073 * x * a
    )
    return above / below


class _Table(NamedTuple):
    """A table of n values from -limit to limit."""

    n: int
    limit: float

    def nearest(self, function: Function) -> Function:
        """The value of the nearest argument in the table."""
        grid, numbers = self._grid, np.arange(self.n)
        values = function(grid)

        def looked_up(x: Array) -> Any:
            places = np.round(_interpolated(x, grid, numbers))
            return _interpolated(places, numbers, values)

        return looked_up

    def linear(self, function: Function) -> Function:
        """The value on a line between two."""
        grid = self._grid
        return partial(_interpolated, at=grid, values=function(grid))

    def cut(self, x: Array) -> Any:
        """Tanh of the argument whose index is cut."""
        width = 2 * self.limit / self.n
        looked_up = np.tanh(np.floor((x + self.limit) / width) * width - self.limit)
        return np.where(np.abs(x) < self.limit, looked_up, np.sign(x))

    @property
    def _grid(self) -> Array:
        return np.linspace(-self.limit, self.limit, self.n)


def _tables() -> Iterator[tuple[str, Near]]:
    """Functions by n values: the nearest, that of an index that is cut, or a line between two."""
    for n, limit in product((256, 512, 1024, 128), (8, 6, 5, 4)):
        table = _Table(n, limit)
        half = _Table(n, limit / 2)
        name = f"table_{n}_{limit}"
        words = f"a table of {n} values from -{limit} to {limit}"
        of_half = f"{words}, of tanh from -{limit / 2:g} to {limit / 2:g}"
        yield name, Near(words, table.nearest(np.tanh), table.nearest(sigmoid))
        yield f"{name}_cut", _by_tanh(f"{words}, whose index is cut", table.cut)
        lines = table.linear(np.tanh), table.linear(sigmoid)
        yield f"{name}_linear", Near(f"{words}, interpolated", *lines)
        nearest = half.nearest(np.tanh), table.nearest(sigmoid)
        yield f"{name}_half", Near(of_half, *nearest)
        lines = half.linear(np.tanh), table.linear(sigmoid)
        yield f"{name}_half_linear", Near(f"{of_half}, interpolated", *lines)


APPROXIMATED: dict[str, Near] = {
    "softsign": _by_tanh("x / (1 + |x|)", lambda x: x / (1 + np.abs(x)), 1),
    "lambert": _ratio("Lambert's fraction x (27 + x^2) / (27 + 9 x^2)", (27, 1), (27, 9)),
    "pade_3_2": _ratio("Pade's fraction 3/2", (15, 1), (15, 6)),
    "pade_5_4": _ratio("Pade's fraction 5/4", (945, 105, 1), (945, 420, 15)),
    "pade_7_6": _ratio("Pade's fraction 7/6", (135135, 17325, 378, 1), (135135, 62370, 3150, 28)),
    "eigen": _ratio("Eigen's rational approximation",  # 3.3, MathFunctionsImpl.h
        (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
         -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16),
        (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06),
        limit=7.90531110763549805),
    "nam": _by_tanh("the fast tanh of Neural Amp Modeler", _nam),
    "fast_exp": Near("Schraudolph's fast exp", lambda x: 2 * _schraudolph(2 * x) - 1, _schraudolph),
    **dict(_tables()),
}  # fmt: skip

ACTIVATIONS: dict[str, Near] = {
    "one": Near("1, as if there were no gate", None, np.ones_like),
    "identity": Near("z, without a sigmoid", None, lambda x: x),
    "hard": Near("the hard tanh clip(x, -1, 1)", lambda x: np.clip(x, -1, 1)),
    "twice": Near(
        "the function applied twice",
        lambda x: np.tanh(np.tanh(x)),
        lambda x: sigmoid(sigmoid(x)),
    ),
    "sigmoid": Near("sigmoid", sigmoid),
    "arctan": Near("an arctangent", lambda x: (2 / np.pi) * np.arctan(np.pi / 2 * x)),
    "lecun": Near("1.7159 tanh(2/3 x)", lambda x: 1.7159 * np.tanh(2 / 3 * x)),
    "taylor": Near("x - x^3/3", lambda x: x - x * x * x / 3),
    "sine": Near("sine", np.sin),
    "negated": Near("sigmoid(-z)", None, lambda x: sigmoid(-x)),
    "tanh": Near("tanh", None, np.tanh),
    "hard_quarter": Near(
        "clip(0.25 x + 0.5, 0, 1)", None, lambda x: np.clip(0.25 * x + 0.5, 0, 1)
    ),
    "exp": Near("exp", None, np.exp),
    "clamped_5": Near(
        "sigmoid(clip(x, -5, 5))", None, lambda x: sigmoid(np.clip(x, -5, 5))
    ),
    "swish": Near("x sigmoid(x)", lambda x: x * sigmoid(x), lambda x: x * sigmoid(x)),
    "leaky_relu": Near("max(0.01 x, x)", lambda x: np.maximum(0.01 * x, x)),
    "erf": Near(
        "the error function",
        np.vectorize(erf, otypes=[float]),
        lambda x: 0.5 + 0.5 * np.vectorize(erf, otypes=[float])(x * np.sqrt(0.5)),
    ),
    **APPROXIMATED,
}
TANHS = {name: one for name, one in ACTIVATIONS.items() if one.t}
SIGMOIDS = {name: one for name, one in ACTIVATIONS.items() if one.s}
