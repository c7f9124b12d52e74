"""The relation of two networks of one shape: rounded, another training step, or unrelated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.linalg import norm

from lstmcli.core.diff.figures import ArrayDifference
from lstmcli.core.model.arrays import Array, round_to_format

ROUNDED, ANOTHER_STEP, DIFFERS, UNRELATED = (
    "rounded", "another_step", "differs", "unrelated",
)  # fmt: skip
UNLIKE = 0.3
"""The cosine below which two arrays are unrelated; 16 independent numbers have 0.25 on average."""
SMALL = 0.2
"""How large changes of a step may be, of the root mean square of all weights."""
FEWEST = 8
"""Numbers of a matrix that tell a rounding; fewer may be round by chance."""
PROBED = 256
"""Numbers that are rounded first, to leave out a rounding that is not it."""
ON_GRID = 1e-3
"""How far a number in steps of a scale may be from an integer, of scales in float32."""


class Relation(NamedTuple):
    """The relation of two networks that are not equal, and its words."""

    name: str
    words: str = ""


def relation_of(arrays: Sequence[ArrayDifference]) -> Relation:
    """The relation that these arrays have, of which some differ; all have one shape."""
    matrices = [
        one for one in arrays if one.name.startswith("layer") and "kernel" in one.name
    ]
    differing = [one for one in matrices if one.max_abs]  # beyond the tolerance or not
    scale = max(_size(one.pair.b.values) for one in matrices)
    if differing and all(_size(_errors(one)) <= SMALL * scale for one in arrays):
        words = _rounding_of_all(arrays, differing)
        if words:
            return Relation(ROUNDED, words)
        if all(one.equal or _is_everywhere(one) for one in arrays):
            return Relation(ANOTHER_STEP)
    likeness = [abs(one.cosine or 0) for one in differing]
    if len(differing) == len(matrices) and max(likeness) < UNLIKE:
        return Relation(UNRELATED)
    return Relation(DIFFERS)


def _is_everywhere(one: ArrayDifference) -> bool:
    """Return whether most numbers of an array differ."""
    errors = _errors(one)
    return int(np.count_nonzero(errors)) > errors.size / 2


def _errors(one: ArrayDifference) -> Array:
    return one.pair.a.values - one.pair.b.values


def _size(array: Array) -> float:
    """The root mean square of an array."""
    return float(norm(array.ravel()) / np.sqrt(array.size))


# ---- rounding


def _rounding_of_all(
    arrays: Sequence[ArrayDifference], matrices: Sequence[ArrayDifference]
) -> str:
    """The rounding by which one network is the other, in words; "" if there is none.

    Matrices tell it: a bias may be the sum of two that were rounded, so it has
    only to be nearly as close.
    """
    largest = 4 * max(one.max_abs or 0.0 for one in matrices)
    if any((one.max_abs or 0.0) > largest for one in arrays):
        return ""
    pairs = [(one.pair.a.values, one.pair.b.values) for one in matrices]
    if any(a.size < FEWEST for a, _ in pairs):
        return ""
    for words, rounded in _ROUNDED.items():
        if all(_is_rounded(a, b, rounded) for a, b in pairs):
            return f"b is a rounded to {words}"
        if all(_is_rounded(b, a, rounded) for a, b in pairs):
            return f"a is b rounded to {words}"
    words = _grid_of_all(pairs)
    if words:
        return f"b is a rounded to {words}"
    words = _grid_of_all([(b, a) for a, b in pairs])
    if words:
        return f"a is b rounded to {words}"
    return ""


def _grid_of_all(pairs: Sequence[tuple[Array, Array]]) -> str:
    """The words of the first grid that all second arrays have; "" if there is none."""
    common = _grids(*pairs[0])
    for a, b in pairs[1:]:
        if not common:
            break
        of_pair = _grids(a, b)
        common = [words for words in common if words in of_pair]
    return common[0] if common else ""


def _is_rounded(a: Array, b: Array, rounded: Callable[[Array], Array]) -> bool:
    """Return whether b is a, each number rounded by a function."""
    a, b = a.ravel(), b.ravel()
    for part in (slice(PROBED), slice(None)):
        with np.errstate(all="ignore"):
            again = rounded(a[part]).astype(b.dtype)
        if not (np.abs(again - b[part]) <= 1e-6 * np.abs(again)).all():
            return False
    return True


def _to_decimals(digits: int) -> Callable[[Array], Array]:
    return lambda a: np.round(a.astype(np.float64), digits)


def _to_fixed(bits: int) -> Callable[[Array], Array]:
    return lambda a: np.round(a.astype(np.float64) * 2**bits) / 2**bits


_ROUNDED: dict[str, Callable[[Array], Array]] = {
    "float16": lambda a: a.astype(np.float16),
    "bfloat16": lambda a: round_to_format(a, "bfloat16"),
    **{f"{n} decimals": _to_decimals(n) for n in range(1, 7)},
    **{f"fixed point, {n} bits after the point": _to_fixed(n) for n in range(3, 17)},
}
"""The roundings of each number alone, by their words."""

_SCALES = {"tensor": (0, 1, 2), "gate": (1, 2), "row": (2,), "column": (0, 1)}
"""The parts with a scale of their own, by the axes of (4, H, K) over which it is one."""
BITS = (8, 4, 16, 7, 6, 5, 3, 2)
OF_BLOCK, BITS_OF_BLOCK = 32, (8, 4, 5)
"""The numbers of a row that GGUF rounds together, and to what."""
NEAREST = 0.51
"""How many steps a number may be from the other, where it is the nearest one."""
NEAREST_OF_BLOCK = 1.1
"""The same of a block: the largest of the other sign is cut off, and a scale is in float16."""


def _grids(a: Array, b: Array) -> list[str]:
    """The words of integers times a scale that b has, the nearest to a."""
    found = []
    for per, axes in _SCALES.items():
        for bits in _bits_of(a, b, axes, BITS, NEAREST):
            found.append(f"{bits} bits, a scale per {per}")
    if a.shape[-1] % OF_BLOCK == 0:
        a, b = (x.reshape(*x.shape[:-1], -1, OF_BLOCK) for x in (a, b))
        for bits in _bits_of(a, b, (-1,), BITS_OF_BLOCK, NEAREST_OF_BLOCK):
            found.append(f"{bits} bits, a scale per block of {OF_BLOCK}")
    return found


def _bits_of(
    a: Array, b: Array, axes: tuple[int, ...], counts: Sequence[int], nearest: float
) -> Iterator[int]:
    """How many bits integers have which b is, times a scale, with or without a zero point."""
    largest = np.abs(b).max(axis=axes, keepdims=True)
    least = b.min(axis=axes, keepdims=True)
    span = b.max(axis=axes, keepdims=True) - least
    none = np.zeros_like(least)
    for bits in counts:
        levels = 2 ** (bits - 1)
        grids = [
            (largest / (levels - 1), none),
            (largest / levels, none),
            (span / (2 * levels - 1), least),
        ]
        if any(_is_on_grid(a, b, scale, zero, nearest) for scale, zero in grids):
            yield bits


def _is_on_grid(a: Array, b: Array, scale: Array, zero: Array, nearest: float) -> bool:
    """Return whether b has integers times a scale, added to a zero point, near to a."""
    scale = np.where(scale > 0, scale, 1)
    for part in (slice(1), slice(None)):  # of the units
        of_part = slice(None)
        if scale.shape[1] > 1:
            of_part = part
        steps = (b[:, part] - zero[:, of_part]) / scale[:, of_part]
        allowed = ON_GRID * np.maximum(1, np.abs(steps) / 64)
        if not (np.abs(steps - np.rint(steps)) <= allowed).all():
            return False
    return bool((np.abs(a - b) <= nearest * scale).all())
