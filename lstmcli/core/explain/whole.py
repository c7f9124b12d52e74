"""Several cells of which only the top is known: readings are run whole, one after the other.

The same change in all cells comes first, then in a layer, a direction, a cell; then pairs of
changes of all cells, the likeliest first, as long as there is patience.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from lstmcli.core.explain.cells import top_alone
from lstmcli.core.explain.judge import Verdict
from lstmcli.core.explain.network import Network
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import LEVELS, NEAREST, Progress
from lstmcli.core.explain.shared import WholeRuns, with_constants
from lstmcli.core.explain.space import (
    COLUMNS,
    KNOWN_ORDERS,
    ORDERS,
    SOLVE,
    SPREADS,
    Change,
    Changes,
)
from lstmcli.core.model import Cell
from lstmcli.core.settings import MERGES

BESIDE = 3  # single changes, the nearest ones, beside which a constant is solved for
PATIENCE = 8.0  # seconds that pairs of a whole network may take


class Whole:
    """A network of which only the top is known."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.results: list[tuple[Changes, Verdict]] = []  # of single changes
        self.groups: list[list[str]] = [[], *self._groups()]  # cells that a change may be of

    def search(self, progress: Progress, levels: int) -> Explanation:
        """Single changes of all cells, of each layer, of each direction; then pairs.

        Pairs are dear, and tried only if three ``levels`` are asked for.
        """
        if not self.results:
            self._run_singles(progress)
        results, runs = self.results, WholeRuns(self.network)
        fitting = [r for r in results if r[1].fits]
        untried = ["two changes at once"]
        solved = 0
        if not fitting and levels == 1:
            fitting = self._with_constant(runs, [()], self.groups)
            solved = len(fitting)
        if not fitting and levels == LEVELS:
            top = top_alone(self.network, progress)
            if top is not None:
                return top
            besides = [c for c, _ in sorted(results, key=lambda r: r[1].rms) if len(c) == 1]
            fitting = self._with_constant(runs, besides[:BESIDE], [()])
            solved = len(fitting)
            if not fitting:
                fitting, untried = self._pairs(results, progress)
        if fitting:
            (changes, verdict), *others = fitting
            return replace(
                self.network.proved(changes, verdict, self._proves(results, solved)),
                equivalent=tuple(self.network.told(c) for c, _ in others),
                untried=tuple(untried),
            )
        if self.network.base and levels < LEVELS:
            untried = ["two changes beside another layout or merge"]
        near = sorted(results, key=lambda r: r[1].rms)[:NEAREST]
        return self.network.none([(c, self.network.measured(c)) for c, _ in near], untried)

    def _run_singles(self, progress: Progress) -> None:
        for k, cells in enumerate(self.groups):
            progress(0.5 * k / len(self.groups), "one change at once")
            self.results += [(c, self.network.judge(c)) for c in self._singles(cells)]
            if any(verdict.fits for _, verdict in self.results):
                return

    def _with_constant(
        self, runs: WholeRuns, besides: Sequence[Changes], scopes: Sequence[Sequence[str]]
    ) -> list[tuple[Changes, Verdict]]:
        found = with_constants(self.network, runs, besides, scopes)
        return [(found, self.network.judge(found))] if found else []

    def _proves(self, results: Sequence[tuple[Changes, Verdict]], solved: int) -> bool:
        """Whether EXPECTED holds enough numbers: more than a few, and readings differ in them."""
        enough = self.network.expected.numbers >= 6 + 2 * solved
        return enough and sum(not v.fits for _, v in results) > 3

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
            elif change.setting not in (
                "merge",
                "masked_output",
                "layout",
                "initial_state",
                "array",
            ):
                yield tuple(Change(f"{cell}.{change.setting}", change.value) for cell in cells)

    def _groups(self) -> list[list[str]]:
        layers = self.network.names
        names = [name for layer in layers for name in layer]
        ways = [[n for n in names if n.endswith("_reverse") == back] for back in (False, True)]
        groups = [g for g in (*layers, *ways, *([n] for n in names)) if 0 < len(g) < len(names)]
        return [list(g) for g in dict.fromkeys(map(tuple, groups))]

    def _plain_singles(self, cell: Cell | None) -> Iterator[Change]:
        """Single changes over what is assumed of a cell, or of the whole model."""
        how = self.network.model.convention if cell is None else cell.convention
        table: dict[str, tuple[Any, ...]] = {"gates": ORDERS, **COLUMNS}
        table |= {"merge": MERGES, "masked_output": ("zero", "repeat", "run")}
        for setting, values in table.items():
            if self._idle(setting):
                continue
            if setting == "array":
                yield Change("array", "c")  # of every cell; a gate is nobody's output
                continue
            column = SPREADS.get(setting, (setting,))[0]
            own = how.order_of(column[:-6]) if column.endswith("_gates") else getattr(how, column)
            if setting.endswith("_gates"):
                values = KNOWN_ORDERS
            for value in values:
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
            return not self.network.model.bidirectional or bool(self.network.base)
        if setting == "peepholes":
            return all(cell.peephole is None for _, cell in self.network.model.cells)
        if setting.endswith("gates"):
            return len(self.network.model.convention.gates) < 4
        return False
