"""Two directions of which only the sum, the product or the average is known.

All pairs of single changes are merged and compared with some numbers of EXPECTED. Constants and
pairs of one direction: what the other gives is taken out of EXPECTED, and what is left is a
question of one cell. Nothing here accepts a reading: a run of the whole network does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from time import monotonic

import numpy as np

from lstmcli.core.explain.cells import found_for
from lstmcli.core.explain.data import Expected
from lstmcli.core.explain.evidence import ENOUGH, digits
from lstmcli.core.explain.merging import Merged
from lstmcli.core.explain.network import Network, plain, scoped
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import MOST_RUN, NEAREST, Progress
from lstmcli.core.explain.shared import with_constants
from lstmcli.core.explain.space import Changes
from lstmcli.core.explain.walk import CHUNK, LOOSE
from lstmcli.core.model.arrays import Array

MOST_CHANGES = 2  # at once, besides the merge itself
BESIDE = 40  # runs that a constant is worth with a single change, of the nearest ones
PATIENCE = 2.0  # seconds that pairs of changes of both directions may take


def directions_of(network: Network) -> Directions | None:
    """Two directions that are merged, and nothing else; None where there is more or less."""
    model, case, expected = network.model, network.case, network.expected
    if len(model.layers) > 1 or not model.bidirectional:
        return None
    if case.lengths is not None or case.mask is not None:
        return None
    if set(expected.sequences) != {"h"} or expected.finals:
        return None
    return Directions(network)


class Directions:
    """The search through the readings of both."""

    def __init__(self, network: Network) -> None:
        self.network, self.both = network, Merged(network)
        self.names = self.both.names
        self.untried: tuple[str, ...] = ()
        self.searched = 0  # so many changes at once

    def search(self, progress: Progress, levels: int) -> Explanation:
        """The fewest changes that give EXPECTED, or what comes near."""
        for level in range(self.searched + 1, min(levels, MOST_CHANGES) + 1):
            self.searched = level
            progress((level - 1) / levels, f"{level} change{'s' * (level > 1)} at once")
            answer = (
                self._answer(self._near(level))
                or self._of_one_direction(level, progress)
                or self._of_constants(level)
            )
            if answer:
                return answer
        nearest = [(c, self.network.judge(c)) for c in list(self.both.rms)[:NEAREST]]
        nearest.sort(key=lambda each: each[1].rms)
        return self.network.none(nearest, self.untried)

    def _answer(self, near: Iterable[Changes], solved: int = 0) -> Explanation | None:
        """Those that a run of the network confirms, the likeliest first."""
        network = self.network
        ranked = sorted(near, key=lambda c: (len(c), sum(map(prior, c))))[:MOST_RUN]
        judged = [(changes, network.judge(changes)) for changes in ranked]
        fitting = [(changes, verdict) for changes, verdict in judged if verdict.fits]
        if not fitting:
            return None
        (changes, verdict), *others = fitting
        proof = digits(self.both.spread(), solved, network.tried)
        enough = network.distinct > len(changes) + solved
        return replace(
            network.proved(changes, verdict, enough and proof >= ENOUGH),
            equivalent=tuple(network.worded(c) for c, _ in others if len(c) == len(changes)),
            evidence=proof,
            untried=self.untried,
        )

    # ---- readings that come near

    def _near(self, level: int) -> Iterator[Changes]:
        """Readings of so many changes that come near EXPECTED on some of its numbers."""
        forward, backward = self.both.few_given
        worst = self.both.worst(forward[:, None], backward[None])  # (n, m)
        self.network.tried += worst.size if level > 1 else sum(worst.shape)
        for j, k in np.argwhere(worst <= LOOSE):
            one, other = self.both.readings[0][j], self.both.readings[1][k]
            if one == other and level == 1:
                yield one
            elif (bool(j) + bool(k) == level) and one != other:
                yield (*scoped(one, self.names[0]), *scoped(other, self.names[1]))
        if level > 1:
            yield from self._near_unlike()
            yield from self._near_pairs()

    def _near_pairs(self) -> Iterator[Changes]:
        """The same two changes in both directions, the likeliest first, while patience lasts."""
        ours, theirs = (bench.space for bench in self.both.benches)
        place = {theirs.singles[n]: n for n in self.both.plain[1]}
        among = np.array([n for n in self.both.plain[0] if ours.singles[n] in place], int)
        sets = ours.sets(2, among)
        weights = np.array([prior(single) for single in ours.singles])
        sets = sets[np.argsort(weights[sets].sum(axis=1), kind="stable")]
        to_other = np.array([place.get(single, 0) for single in ours.singles])
        begun, size = monotonic(), self.both.at_once(CHUNK)
        for at in range(0, len(sets), size):
            if monotonic() - begun > PATIENCE:
                self.untried = (f"pairs of changes beyond the first {at:,} of {len(sets):,}",)
                return
            part = sets[at : at + size]
            self.network.tried += len(part)
            forward = self.both.few_outputs(0, ours.codes(part))
            backward = self.both.few_outputs(1, theirs.codes(to_other[part]))
            for n in np.flatnonzero(self.both.worst(forward, backward) <= LOOSE):
                yield ours.changes(part[n])
            yield from self._one_more(0, part, forward)
            yield from self._one_more(1, to_other[part], backward)

    def _near_unlike(self) -> Iterator[Changes]:
        """A change of both directions with one that only a single direction can have."""
        for d, bench in enumerate(self.both.benches):
            singles, other = bench.space.singles, self.both.places[1 - d]
            own = [n for n in self.both.plain[d] if (singles[n],) not in other]
            both = [n for n in self.both.plain[d] if (singles[n],) in other]
            pairs = [(n, m) for n in own for m in both if singles[n].setting != singles[m].setting]
            if pairs:
                sets = np.sort(np.array(pairs, int), axis=1)
                outputs = self.both.few_outputs(d, bench.space.codes(sets))
                yield from self._one_more(d, sets, outputs)

    def _one_more(self, d: int, sets: Array, outputs: Array) -> Iterator[Changes]:
        """Pairs of one direction that come near if the other has one of the two changes."""
        singles, other = self.both.benches[d].space.singles, self.both.few_given[1 - d]
        for m in (0, 1):
            places = np.array([self.both.places[1 - d].get((singles[n],), -1) for n in sets[:, m]])
            known = np.flatnonzero(places >= 0)
            worst = self.both.worst(outputs[known], other[places[known]])
            for n in known[worst <= LOOSE]:
                alone = scoped((singles[sets[n, 1 - m]],), self.names[d])
                yield (singles[sets[n, m]], *alone)

    @property
    def closest(self) -> float:
        """How near any single change comes to EXPECTED."""
        return next(iter(self.both.rms.values()))

    # ---- one direction, and constants of both

    def _of_one_direction(self, level: int, progress: Progress) -> Explanation | None:
        """Changes of one direction, the other as read; constants and pairs are found so."""
        for d, name in enumerate(self.names):
            solver = self.both.solver(d, Expected({"h": self.both.left_by(1 - d)}, {}))
            found = solver.solve(progress, level)
            self.network.tried += solver.tried
            if found is None:
                continue
            changes = scoped(plain(found), name)
            if (verdict := self.network.judge(changes)).fits:
                return found_for(self.network, changes, verdict, name, found)
        return None

    def _of_constants(self, level: int) -> Explanation | None:
        """A constant that both directions share, alone or with a single change."""
        both = self.both
        whole = [c for c in both.rms if all(c in places for places in both.places)]
        besides = [()] if level == 1 else [c for c in whole if c][: both.at_once(CHUNK) // BESIDE]
        found = with_constants(self.network, both, besides)
        return self._answer([found], solved=1) if found else None
