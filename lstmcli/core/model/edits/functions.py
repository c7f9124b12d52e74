"""Functions in place of tanh and the sigmoid: fast ones, tables, and others by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
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


def _tables() -> Iterator[tuple[str, Near]]:
    """Functions by n values: the nearest, that of an index that is cut, or a line between two."""
    for n, limit in product((256, 512, 1024, 128), (8, 6, 5, 4)):
        name, words = (
            f"table_{n}_{limit}",
            f"a table of {n} values from -{limit} to {limit}",
        )
        grid, numbers = np.linspace(-limit, limit, n), np.arange(n)
        tables = np.tanh(grid), sigmoid(grid)

        def nearest(
            table: Array, x: Array, grid: Array = grid, numbers: Array = numbers
        ) -> Any:
            places = np.round(_interpolated(x, grid, numbers))
            return _interpolated(places, numbers, table)

        def cut(x: Array, limit: int = limit, width: float = 2 * limit / n) -> Any:
            looked_up = np.tanh(np.floor((x + limit) / width) * width - limit)
            return np.where(np.abs(x) < limit, looked_up, np.sign(x))

        yield name, Near(words, *(partial(nearest, table) for table in tables))
        yield f"{name}_cut", _by_tanh(f"{words}, whose index is cut", cut)
        lines: Any = (partial(_interpolated, at=grid, values=table) for table in tables)
        yield f"{name}_linear", Near(f"{words}, interpolated", *lines)


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
    **APPROXIMATED,
}
TANHS = {name: one for name, one in ACTIVATIONS.items() if one.t}
SIGMOIDS = {name: one for name, one in ACTIVATIONS.items() if one.s}
