"""Gates that are stuck near 0 or 1, and units that say nothing: in what share of the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STUCK = 0.01  # a gate nearer than this to 0 or 1 hardly moves any more
DEAD = 1e-3  # a unit whose |h| stays below this says nothing
MOSTLY = 0.5  # of the steps: from here on a unit is named
GATES = ("i", "f", "o")


def is_stuck(gate: Array) -> Array:
    """Where a gate is within `STUCK` of 0 or 1."""
    return (gate < STUCK) | (gate > 1 - STUCK)


def _counts(where: Array) -> Array:
    """How often (s, B, K) is true, of each of the K: (K,).

    A product with ones takes a third of the time of a sum over the first axes, and is as exact:
    float32 holds every whole number up to 2^24.
    """
    length = where.shape[0] * where.shape[1]
    dtype = np.float32 if length <= 1 << 24 else np.float64
    counts: Array = np.ones(length, dtype) @ where.reshape(length, where.shape[2]).astype(dtype)
    return counts.astype(np.int64)


class Stuck(NamedTuple):
    """One gate of one unit at one end, in a share of steps x rows."""

    gate: str
    unit: int
    end: int  # 0 or 1
    share: float


class Saturation:
    """Counts of a cell's gates and outputs, taken as its steps are seen; from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._near: dict[str, Array] = {}  # gate: (2, H) steps x rows within STUCK of 0, of 1
        self._quiet: Array | None = None  # (P,) steps x rows with |h| below DEAD
        self._seen: dict[str, int] = {}  # steps x rows

    def see(self, arrays: Mapping[str, Array]) -> None:
        """Take some steps into account: i, f, o and h among arrays (s, B, K).

        Steps past a row's length, where every gate is exactly 0, do not count.
        """
        own = {name: arrays[name] for name in (*GATES, "h") if name in arrays}
        telling = [own[name] for name in GATES if name in own] or list(own.values())
        if not any(
            array.all() for array in telling
        ):  # most have no 0 at all, which is quick to say
            valid = np.any([(array != 0).any(axis=2) for array in telling], axis=0)  # (s, B)
            own = {name: array[valid][:, None] for name, array in own.items()}
        with self._lock:
            for name, array in own.items():
                self._see(name, array)

    def _see(self, name: str, array: Array) -> None:
        self._seen[name] = self._seen.get(name, 0) + array.shape[0] * array.shape[1]
        if name == "h":
            quiet = _counts(np.abs(array) < DEAD)
            self._quiet = quiet if self._quiet is None else self._quiet + quiet
            return
        near = np.stack([_counts(array < STUCK), _counts(array > 1 - STUCK)])
        self._near[name] = near + self._near[name] if name in self._near else near

    def shares(self) -> dict[str, tuple[float, float]]:
        """For each gate, the share of all its numbers near 0 and near 1."""
        return {
            gate: (float(zero) / size, float(one) / size)
            for gate, near in self._near.items()
            for size in [max(self._seen[gate], 1) * near.shape[1]]
            for zero, one in [near.sum(axis=1)]
        }

    def stuck(self) -> list[Stuck]:
        """Gates of single units that are at one end in most of the steps, the most stuck first."""
        return sorted(self._stuck(), key=lambda one: -one.share)

    def _stuck(self) -> Iterator[Stuck]:
        for gate, near in self._near.items():
            shares = near / max(self._seen[gate], 1)
            for end, unit in zip(*np.nonzero(shares >= MOSTLY), strict=True):
                yield Stuck(gate, int(unit), int(end), float(shares[end, unit]))

    def quiet(self) -> list[tuple[int, float]]:
        """Units whose |h| is below `DEAD` in most of the steps, with the share of the steps."""
        if self._quiet is None:
            return []
        shares = self._quiet / max(self._seen["h"], 1)
        units = np.flatnonzero(shares >= MOSTLY)
        return sorted(((int(u), float(shares[u])) for u in units), key=lambda pair: -pair[1])

    @property
    def anything(self) -> bool:
        """Whether a gate or a unit has to be named."""
        return bool(self.stuck() or self.quiet())
