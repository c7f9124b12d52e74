"""The search through readings of a cell: what its first step sees, joined with what it does not.

From a zero state the first step shows neither the recurrent kernel nor the forget gate. So a set of
changes falls into a part that this step sees and a part that it does not: parts that are seen are
tried once, on a few units, and only those that survive are joined with the others and stepped on.
Nothing here accepts a reading; it only drops those that leave EXPECTED by many tolerances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lstmcli.core.explain.bench import Bench, Start, View
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.solving import fits_clipped, solve
from lstmcli.core.explain.space import CONSTANTS, SOLVE, unique_rows
from lstmcli.core.explain.stepping import single_unit_steps_alone
from lstmcli.core.explain.walk import CHUNK, LOOSE, Found, walk
from lstmcli.core.explain.weights import turned
from lstmcli.core.model.arrays import Array

MANY = 16_000  # readings of a single unit stepped at once
COMMON = 5.0  # what stands no lower down the list of suspects: such triples are stepped on anyhow
SCOUTED = 2  # changes by which a place of EXPECTED is tried out
MOST_BLIND = 2e9  # products of readings before a step is known, half a second or so,
MOST_LATE = 8e9  # and where no first step is known at all: there are no other triples then
ODD = ("tanh", "identity", "relu")
"""Output activations through which a bound on c brings h nearer to 0."""

Unknown = dict[str, Array]


class Sieve:
    """The readings of a bench, level by level: 1, 2, 3 changes."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.space = bench, bench.space
        self.tried = 0
        self.passed_over = False  # whether readings were left out that would have taken too long
        self.tick: Callable[[float], None] = lambda share: None  # takes the share of a level done
        self._known = bench.keys(np.zeros((1, len(self.space.columns)), np.int8))
        self._survivors: dict[int, Array] = {}  # size of the visible part -> sets
        self._tried_visible: dict[int, int] = {}
        self._dark = self._in_the_dark()
        seen = np.array([not self._dark or not self._hidden(n) for n in range(self._count)], bool)
        self._visible, self._unseen = np.flatnonzero(seen), np.flatnonzero(~seen)

    @property
    def _count(self) -> int:
        return len(self.space.singles)

    def _in_the_dark(self) -> bool:
        """Whether the first step starts from zero and is known: only then it hides something."""
        if self.bench.state is not None or self.bench.weights.cell.initial_h is not None:
            return False
        names = set(self.bench.names) - {"f"}
        zero = np.zeros((1, len(self.space.columns)), np.int8)
        view, _ = next(iter(self.bench.views(zero)))
        return bool(names) and view.course.first_step(tuple(names)) == 0

    def _hidden(self, n: int) -> bool:
        """Whether a first step from a zero state cannot see this change, for any h, c, i, g, o."""
        setting, value = self.space.singles[n]
        assumed = self.space.values
        if setting == "coupled":
            return "i=1-f" not in (value, assumed["coupled"][0])
        if setting == "transposed":
            return turned("kernel", value) == turned("kernel", assumed["transposed"][0])
        if setting == "forget_bias":
            coupled: str = assumed["coupled"][0]
            return coupled != "i=1-f"
        return setting in ("recurrent_gates", "state")

    # ---- a level

    def left_out(self, size: int) -> str | None:
        """Which readings of so many changes are not tried, and why; None if all are."""
        if size < 3 or not self.bench.late:
            return None
        rare = "" if self.tells(size) else ", even the common ones"
        return (
            f"three changes at once{rare or ' but the common ones'}: EXPECTED does not hold the "
            f"first step, which distinguishes most"
        )

    def tells(self, size: int) -> bool:
        """Whether EXPECTED holds enough numbers for so many changes to be worth a try."""
        if size < 3 or not self.bench.late:
            return True
        expected = next(iter(self.bench.layouts.values())).expected
        return expected.distinct(self.bench.allowance.of) > size

    def level(self, size: int) -> Found:
        """The readings of so many changes that are left when the steps have been seen."""
        parts = []
        for seen in range(size + 1):
            visible = self._visible_sets(seen)
            hidden = self.space.sets(size - seen, self._unseen)
            self.tried += len(hidden) * self._tried_visible.get(seen, 0)
            parts.append(self.space.joined(visible, hidden))
        sets = np.concatenate(parts)
        codes = self.space.codes(sets)
        if self.bench.needs:
            needed = codes[:, [self.space.column(name) for name in self.bench.needs]].any(axis=1)
            sets, codes = sets[needed], codes[needed]
        if size > 2 and len(codes):
            timely = self._timely(codes)
            sets, codes = sets[timely], codes[timely]
        if not len(codes):
            return Found.none(size, len(self.space.columns))
        keys = self.bench.keys(codes)
        new = unique_rows(keys, self._known)
        self._known = np.concatenate([self._known, keys[new]])
        return walk(self.bench, sets[new], codes[new], self.tick)

    def _timely(self, codes: Array) -> Array:
        """The readings (places) but those that run long before a step that EXPECTED holds.

        It may lack the steps that a reversed cell takes first, and with them all that tells three
        changes separately before they are run.
        """
        cell = self.bench.weights.cell
        keep = np.ones(len(codes), bool)
        for view, of_view in self.bench.views(codes):
            blind = len(of_view) * view.first * 4.0 * cell.units * cell.outputs
            keep[of_view] = blind <= (MOST_LATE if self.bench.late else MOST_BLIND)
        self.passed_over |= not keep.all()
        return np.flatnonzero(keep)

    def _visible_sets(self, size: int) -> Array:
        """Sets of changes that the first step can see, and that survive it."""
        if size not in self._survivors:
            sets = self.space.sets(size, self._worth(size))
            codes = self.space.codes(sets)
            sets, codes = self._sensible(sets, codes)
            if size > 2:  # of three changes that a first step sees, none is an open constant
                settled = ~np.isnan(np.array(Constants.of(self.space, codes))).any(axis=0)
                sets, codes = sets[settled], codes[settled]
            first = unique_rows(self.bench.keys(codes)) if len(codes) else np.zeros(0, int)
            self._tried_visible[size] = len(first)
            sets, codes = sets[first], codes[first]
            if len(codes):
                sets = sets[self._pass_first_step(codes)]
            self._survivors[size] = sets
        return self._survivors[size]

    def _worth(self, size: int) -> Array:
        """The singles that sets of so many changes are made of."""
        if size < 3 or not self.bench.late:
            return self._visible_with_constant(size)
        common = [s.value != SOLVE and prior(s) <= COMMON for s in self.space.singles]
        likely: Array = self._visible[np.array(common)[self._visible]]
        return likely

    def _visible_with_constant(self, size: int) -> Array:
        """The visible singles; with two of them or more, a forget bias that i = 1 - f shows."""
        if size < 2 or not self._dark:
            return self._visible
        extra = [
            n
            for n, single in enumerate(self.space.singles)
            if single.setting == "forget_bias" and n not in self._visible
        ]
        return np.concatenate([self._visible, np.array(extra, int)])

    def _sensible(self, sets: Array, codes: Array) -> tuple[Array, Array]:
        """Without a hidden forget bias where the first step does not show it."""
        if not self._dark or not len(codes):
            return sets, codes
        biased = codes[:, self.space.column("forget_bias")] > 0
        coupled = self.space.values["coupled"].index("i=1-f")
        kept = ~biased | (codes[:, self.space.column("coupled")] == coupled)
        return sets[kept], codes[kept]

    # ---- the first step, on a few units

    def scouted(self) -> float:
        """By how many tolerances the nearest of one or two changes misses the first step.

        Only those without an open constant are looked at. It is infinite where the first step is
        not known, or does not start from zero.
        """
        least = np.inf
        for size in (1, SCOUTED) if self._dark else ():
            sets = self.space.sets(size, self._visible)
            _, codes = self._sensible(sets, self.space.codes(sets))
            closed = ~np.isnan(np.array(Constants.of(self.space, codes))).any(axis=0)
            codes = codes[closed]
            codes = codes[unique_rows(self.bench.keys(codes))]
            for view, start, which in self.bench.runs(codes):
                for at in range(0, len(which) if view.first == 0 else 0, CHUNK):
                    part = codes[which[at : at + CHUNK]]
                    constants = Constants.of(self.space, part)
                    seen = self._first_step(part, constants, view, start, self.bench.sampled())
                    least = min(least, float(_worst(seen, len(part)).min()))
        return least

    def _first_step(
        self, codes: Array, constants: Constants, view: View, start: Start, units: Array | None
    ) -> list[tuple[str, Array, Array, Array]]:
        """The arrays that readings give at the first step, as `Bench.off` has them."""
        batch = self.bench.batch(codes, constants, start, units)
        arrays = batch.advance(view.course.x[0])
        return list(self.bench.off(batch, arrays, view, 0, ("f",)))

    def _pass_first_step(self, codes: Array) -> Array:
        """Which readings (places) agree with the first step as far as it sees."""
        keep = np.ones(len(codes), bool)
        units = self.bench.sampled()
        for view, start, which in self.bench.runs(codes):
            if view.first > 0:
                continue  # nothing known of the first step
            left = self._seen_by_one(codes, which, view, start)
            keep[which] = False
            for at in range(0, len(left), 4 * CHUNK):
                part = left[at : at + 4 * CHUNK]
                keep[part] = self._passes(codes[part], view, start, units)
        return np.flatnonzero(keep)

    def _seen_by_one(self, codes: Array, which: Array, view: View, start: Start) -> Array:
        """Which of many readings (places) one unit does not rule out, and those it cannot judge."""
        if len(which) < CHUNK or not single_unit_steps_alone(self.bench.weights.cell):
            return which
        is_open = np.isnan(np.array(Constants.of(self.space, codes[which]))).any(axis=0)
        closed = which[~is_open]
        one = np.array([self.bench.telling_unit(view)])
        left = [which[is_open]]
        for at in range(0, len(closed), MANY):
            part = closed[at : at + MANY]
            left.append(part[self._passes(codes[part], view, start, one)])
        return np.concatenate(left)

    def _passes(self, codes: Array, view: View, start: Start, units: Array | None) -> Array:
        constants = Constants.of(self.space, codes)
        unknown = {
            name: np.isnan(values) for name, values in zip(CONSTANTS, constants, strict=True)
        }
        seen = self._first_step(codes, constants.settled(), view, start, units)
        clipped = np.ones(len(codes), bool)
        for name, given, expected, allowed in seen:
            clipped &= fits_clipped(name, given, expected, LOOSE * allowed)
        passes = _worst(seen, len(codes)) <= LOOSE
        passes |= self._may_be_clipped(codes, unknown, clipped)
        for places in self._to_be_solved(unknown):
            solved = solve(
                self.bench, codes[places], constants.chosen(places), view, start, units, True
            )
            passes[places[solved.kept]] = True
        array = codes[:, self.space.column("array")]
        passes |= array == self.space.values["array"].index("f")
        return passes

    def _may_be_clipped(self, codes: Array, unknown: Unknown, clipped: Array) -> Array:
        """Readings with an open bound on c that it could bring to EXPECTED, or that hide it."""
        alone = unknown["cell_clip"] & ~unknown["gate_clip"] & ~unknown["forget_bias"]
        output = codes[:, self.space.column("output_activation")]
        odd = np.isin(output, [n for n, v in enumerate(self._outputs) if v in ODD])
        if self.bench.weights.cell.peephole is not None:
            odd[:] = False
        together = unknown["cell_clip"] & ~alone
        may: Array = (alone & (clipped | ~odd)) | together
        return may

    @property
    def _outputs(self) -> list[str]:
        return self.space.values["output_activation"]

    @staticmethod
    def _to_be_solved(unknown: Unknown) -> list[Array]:
        """Readings (places) whose open constants the first step may show."""
        shown = (unknown["gate_clip"] | unknown["forget_bias"]) & ~unknown["cell_clip"]
        return [np.flatnonzero(shown)] if shown.any() else []


def _worst(seen: Sequence[tuple[str, Array, Array, Array]], n: int) -> Array:
    """(n,) how far off each reading is at most, in tolerances."""
    worst = np.zeros(n)
    for _, given, expected, allowed in seen:
        with np.errstate(all="ignore"):
            worst = np.fmax(worst, (np.abs(given - expected) / allowed).max(axis=1))
    return worst
