"""Two thousand random pairs: nothing that differs is called equal, nothing equal differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.operand import Side

Array = npt.NDArray[Any]
Rng = np.random.Generator

PAIRS = 2000


class Form(NamedTuple):
    """A form of h (T, B, 2, H), and how it is brought back for a comparison in plain NumPy."""

    array: Array
    layout: str | None


def form(h: Array, rng: np.random.Generator) -> Form:
    """All of a run, with its axes in an order that a framework has."""
    T, B, _, H = h.shape
    side = h.reshape(T, B, 2 * H)
    forms = [
        Form(side, "time"),
        Form(side.swapaxes(0, 1), "batch"),
        Form(h.transpose(0, 2, 1, 3), "time"),  # ONNX
        Form(h.transpose(1, 0, 2, 3), "batch"),
        Form(h.transpose(2, 0, 1, 3), "time"),
    ]
    return forms[rng.integers(len(forms))]


def is_same(a: Array, b: Array, rtol: float, atol: float) -> bool:
    """Return whether numbers agree as documented: a NaN equals nothing, an infinity itself."""
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= atol + rtol * np.abs(b)
    return bool(((a == b) | (near & np.isfinite(a) & np.isfinite(b))).all())


def at_one_place(value: Callable[[float, Rng], float]) -> Callable[[Array, Rng], Array]:
    def change(h: Array, rng: Rng) -> Array:
        b, place = h.copy(), tuple(int(rng.integers(n)) for n in h.shape)
        b[place] = value(b[place], rng)
        return b

    return change


def permuted(h: Array, rng: Rng) -> Array:
    axis = int(rng.integers(4))
    return np.take(h, rng.permutation(h.shape[axis]), axis=axis)


CHANGES: dict[str, Callable[[Array, Rng], Array]] = {
    **dict.fromkeys(("none", "cut", "half"), lambda h, rng: h),
    "scaled": lambda h, rng: h * float(rng.choice([1.0005, -1, 2, 1 + 1e-12])),
    "permuted": permuted,
    "rounded": lambda h, rng: np.round(h, int(rng.integers(2, 12))),
    "nan": at_one_place(lambda value, rng: float(rng.choice([np.nan, np.inf]))),
    "one": at_one_place(lambda value, rng: value + 10.0 ** rng.integers(-5, 1)),
    "tiny": lambda h, rng: h * (1 + 1e-9),
    "other": lambda h, rng: rng.normal(size=h.shape),
    "turned": lambda h, rng: h[::-1],
}
"""The run with a change, on the same axes; a part of one is cut later."""


@pytest.mark.wide
def test_equality_is_exactly_as_defined(record_property: Any) -> None:
    counts: Counter[str] = Counter()
    for seed in range(PAIRS):
        rng = np.random.default_rng(seed)
        # all lengths differ, so that axes in another order are no other run
        T, B, H = (int(n) for n in rng.permutation([3, 4, 5, 6, 7])[:3])
        h = rng.normal(size=(T, B, 2, H))
        how = str(rng.choice([*CHANGES]))
        other = CHANGES[how](h, rng).copy()
        a, b = form(h, rng), form(other, rng)
        equal = is_same(h, other, 1e-7, 1e-7)
        if how == "cut":  # one sequence, or the last step, against all of it
            item = int(rng.integers(B))
            whole = h.reshape(T, B, 2 * H)
            part = whole[:, item] if rng.random() < 0.5 else whole[-1]
            b = Form(part + float(rng.choice([0, 1e-3])), None)
            equal = np.array_equal(b.array, part)
            a = Form(whole, "time")
        if how == "half":  # one direction of both, whatever agrees
            a, b = form(h, rng), Form(h[:, :, int(rng.integers(2))], "time")
            equal = False
        sides = [
            Side("a", {"h": a.array}, a.layout),
            Side("b", {"h": b.array}, b.layout),
        ]
        if rng.random() < 0.5:
            sides.reverse()
        d = compare(*sides)
        assert d.equal == equal, (seed, how, a.array.shape, b.array.shape)
        assert not (d.equal and d.hints), seed
        counts[f"{how}: {'equal' if equal else 'differs'}"] += 1
    record_property("pairs", dict(counts))
    print(sorted(counts.items()))
    assert sum(counts.values()) == PAIRS
    assert min(counts.values()) > 10


def in_every_order(side: Array) -> Iterator[Array]:
    """An array with all axes but the last in every order, its units in two halves or not."""
    forms = [side]
    if side.ndim == 3:
        forms.append(np.stack(np.split(side, 2, axis=-1), axis=-2))
    for one in forms:
        for order in permutations(range(one.ndim - 1)):
            yield one.transpose(*order, one.ndim - 1)


@pytest.mark.wide
def test_axes_of_equal_lengths_and_unknown_layouts_make_nothing_equal() -> None:
    """Equal: some order of the axes brings all numbers together. Identical arrays are equal."""
    counts: Counter[bool] = Counter()
    for seed in range(PAIRS):
        rng = np.random.default_rng(seed)
        T, B, H = (int(n) for n in rng.integers(1, 5, 3))
        h = rng.normal(size=(T, B, 2, H))
        axis = int(rng.integers(4))
        changes = (
            h,
            np.flip(h, axis),
            np.roll(h, 1, axis),
            rng.normal(size=h.shape),
            h + 1e-3,
        )
        a, b = form(h, rng), form(changes[rng.integers(len(changes))], rng)
        layouts = (None, None) if rng.random() < 0.5 else (a.layout, None)
        d = compare(
            Side("a", {"h": a.array}, layouts[0]), Side("b", {"h": b.array}, layouts[1])
        )
        possible = any(
            np.array_equal(x, y)
            for x in in_every_order(a.array)
            for y in in_every_order(b.array)
        )
        assert possible or not d.equal, (seed, a.array.shape, b.array.shape, layouts)
        assert d.equal or not np.array_equal(a.array, b.array), seed
        counts[d.equal] += 1
    assert min(counts[True], counts[False]) > PAIRS // 10
