"""Several cells of which only the top is known: readings are run whole, one after the other.

The same change in all cells comes first, then in a layer, a direction, a cell; then pairs of
changes of all cells, the likeliest first, as long as there is patience.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

from lstmcli.core.explain.data import Expected
from lstmcli.core.explain.judge import Case, Verdict
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Changed, Explanation, Near
from lstmcli.core.explain.search import NEAREST, Progress
from lstmcli.core.explain.space import COLUMNS, KNOWN_ORDERS, SOLVE, SPREADS, Change, Changes
from lstmcli.core.model import Cell, Model
from lstmcli.core.settings import MERGES

PATIENCE = 8.0  # seconds that pairs of a whole network may take


class Judged(Protocol):
    """What is asked of a network."""

    model: Model
    case: Case
    expected: Expected

    def judge(self, changes: Changes) -> Verdict:
        """A whole run of a reading."""

    def explanation(self, verdict: str, changes: Changes, measured: Verdict) -> Explanation:
        """An explanation with the figures of the whole network."""

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes with what was assumed, and in words."""


def search_whole(network: Judged, progress: Progress) -> Explanation:
    """The explanation of a network of which only the top is known."""
    return _Search(network).search(progress)


class _Search:
    def __init__(self, network: Judged) -> None:
        self.network = network

    def search(self, progress: Progress) -> Explanation:
        """Single changes of all cells, of each layer, of each direction; then pairs."""
        results: list[tuple[Changes, Verdict]] = []
        groups: list[list[str]] = [[], *self._groups()]
        for k, cells in enumerate(groups):
            progress(0.5 * k / len(groups), "one change at once")
            results += [(changes, self.network.judge(changes)) for changes in self._singles(cells)]
            if any(verdict.fits for _, verdict in results):
                break
        fitting = [r for r in results if r[1].fits]
        untried = ["constants other than 0 and 1: only the top of several cells is known"]
        if not fitting:
            fitting, note = self._pairs(results, progress)
            untried += note
        if fitting:
            (changes, verdict), *others = fitting
            explanation = self.network.explanation("found", changes, verdict)
            return replace(
                explanation,
                equivalent=tuple(self.network.changed(c) for c, _ in others),
                untried=tuple(untried),
                verdict="found" if self._proves(results) else "unproven",
            )
        near = sorted(results, key=lambda r: r[1].rms)[:NEAREST]
        return replace(
            self.network.explanation("none", (), self.network.judge(())),
            nearest=tuple(Near(self.network.changed(c), v) for c, v in near),
            untried=tuple(untried),
        )

    def _proves(self, results: Sequence[tuple[Changes, Verdict]]) -> bool:
        """Whether EXPECTED holds enough numbers: more than a few, and readings differ in them."""
        return self.network.expected.numbers >= 6 and sum(not v.fits for _, v in results) > 3

    def _pairs(
        self, results: Sequence[tuple[Changes, Verdict]], progress: Progress
    ) -> tuple[list[tuple[Changes, Verdict]], list[str]]:
        """Pairs of changes of all cells, the likeliest first, as long as there is patience."""
        plain = [c for c, v in results if len(c) == 1 and "." not in c[0].setting]
        rms = {c: v.rms for c, v in results}
        plain.sort(key=lambda c: rms[c] + 0.02 * prior(c[0]))
        begun, count = monotonic(), 0
        total = len(plain) * (len(plain) - 1) // 2
        for j in range(1, len(plain)):
            for i in range(j):
                one, other = plain[i], plain[j]
                if one[0].setting == other[0].setting:
                    continue
                count += 1
                if monotonic() - begun > PATIENCE:
                    return [], [f"pairs of changes beyond the first {count:,} of {total:,}"]
                progress(0.5 + 0.5 * (monotonic() - begun) / PATIENCE, "two changes at once")
                verdict = self.network.judge((*one, *other))
                if verdict.fits:
                    return [((*one, *other), verdict)], []
        return [], ["three changes at once"]

    def _singles(self, cells: Sequence[str]) -> Iterator[Changes]:
        """Single changes of some cells, or of all if none are named; the likeliest first."""
        of = dict(self.network.model.cells)
        for change in sorted(self._plain_singles(of[cells[0]] if cells else None), key=prior):
            if not cells:
                yield (change,)
            elif change.setting not in ("merge", "masked_output", "layout", "initial_state"):
                yield tuple(Change(f"{cell}.{change.setting}", change.value) for cell in cells)

    def _groups(self) -> list[list[str]]:
        names = [name for name, _ in self.network.model.cells]
        layers = [
            [name for name in names if name.split("_")[0] == f"layer{n}"]
            for n in range(len(self.network.model.layers))
        ]
        ways = [[n for n in names if n.endswith("_reverse") == back] for back in (False, True)]
        groups = [g for g in (*layers, *ways, *([n] for n in names)) if 0 < len(g) < len(names)]
        return [list(g) for g in dict.fromkeys(map(tuple, groups))]

    def _plain_singles(self, cell: Cell | None) -> Iterator[Change]:
        """Single changes over what is assumed of a cell, or of the whole model."""
        how = self.network.model.convention if cell is None else cell.convention
        table: dict[str, tuple[Any, ...]] = {"gates": KNOWN_ORDERS, **COLUMNS}
        table |= {
            "merge": MERGES,
            "masked_output": ("zero", "repeat", "run"),
        }
        for setting, values in table.items():
            if setting == "array" or self._idle(setting):
                continue
            column = SPREADS.get(setting, (setting,))[0]
            own = how.order_of(column[:-6]) if column.endswith("_gates") else getattr(how, column)
            orders = setting.endswith("gates")
            for value in KNOWN_ORDERS if orders else values:
                if value not in (own, SOLVE):
                    yield Change(setting, value)

    def _idle(self, setting: str) -> bool:
        case = self.network.case
        if setting == "layout":
            return len(case.expected) == 1
        if setting == "initial_state":
            return not case.initial_state
        if setting in ("lengths", "masked_output"):
            return case.lengths is None and case.mask is None
        if setting == "merge":
            return not self.network.model.bidirectional
        if setting == "peepholes":
            return all(cell.peephole is None for _, cell in self.network.model.cells)
        if setting.endswith("gates"):
            return len(self.network.model.convention.gates) < 4
        return False
