"""Several cells of which only the top is known: readings are run whole, one after the other.

The same change in all cells comes first, then in a layer, a direction, a cell; then pairs of
changes of all cells, the likeliest first, and what comes nearest with any other change, as long
as there is patience.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from time import monotonic
from typing import Any

from lstmcli.core.explain.cells import top_alone
from lstmcli.core.explain.judge import Verdict
from lstmcli.core.explain.network import Network
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import LEVELS, MOST_RUN, NEAREST, Progress
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
from lstmcli.core.explain.stack import Stack, stack_of
from lstmcli.core.model.model import Cell
from lstmcli.core.model.settings import MERGES

BESIDE = 3  # single changes, the nearest ones, with which a constant is solved for
OF_THE_MODEL = frozenset({"merge", "masked_output", "layout", "initial_state", "array"})
NEAR = 12  # single changes, the nearest ones, that are tried with every other one
PATIENCE = 8.0  # seconds that pairs of a whole network may take


def _of_every_cell(changes: Changes) -> bool:
    return len(changes) == 1 and "." not in changes[0].setting


def _name(changes: Changes) -> str:
    """What is changed, of whichever cells."""
    return changes[0].setting.rpartition(".")[2]


class Whole:
    """A network of which only the top is known."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.results: list[tuple[Changes, Verdict]] = []  # of single changes
        self.groups: list[list[str]] = [[], *self._groups()]  # cells that a change may be of

    def search(self, progress: Progress, levels: int) -> Explanation:
        """Single changes of all cells, of each layer, of each direction; then pairs.

        Pairs that have to be run whole are dear, and tried only if three ``levels`` are asked for.
        """
        if not self.results:
            self._run_singles(progress)
        results, runs = self.results, WholeRuns(self.network)
        fitting = [r for r in results if r[1].fits]
        untried: list[str] = []  # of as few changes
        solved = 0
        if not fitting and levels == 1:
            fitting = self._with_constant(runs, [()], self.groups)
            solved = len(fitting)
        deep = levels == LEVELS or (levels > 1 and self.stack is not None)
        if not fitting and deep:
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
                equivalent=tuple(self.network.worded(c) for c, _ in others),
                untried=tuple(untried),
            )
        if not deep:
            more = "two changes with another layout or merge"
            untried = [more if self.network.base else "two changes at once"]
        near = sorted(results, key=lambda r: r[1].rms)[:NEAREST]
        return self.network.none([(c, self.network.measured(c)) for c, _ in near], untried)

    @cached_property
    def stack(self) -> Stack | None:
        """The layers, if pairs of their changes can be searched side by side."""
        return stack_of(self.network)

    def _run_singles(self, progress: Progress) -> None:
        for k, cells in enumerate(self.groups):
            progress(0.5 * k / len(self.groups), "one change at once")
            self.results += [(c, self.network.judge(c)) for c in self._singles(cells)]
            if fitting := [c for c, verdict in self.results if verdict.fits]:
                self._run_elsewhere(fitting, self.groups[k + 1 :])
                return

    def _run_elsewhere(self, fitting: Sequence[Changes], groups: Sequence[Sequence[str]]) -> None:
        """The same changes of other cells, which may do as well."""
        for changes in fitting:
            change = Change(_name(changes), changes[0].value)
            for cells in groups:
                if change.setting not in OF_THE_MODEL:
                    other = tuple(Change(f"{c}.{change.setting}", change.value) for c in cells)
                    self.results.append((other, self.network.judge(other)))

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
        """Pairs of changes of all cells, then of some, as long as there is patience."""
        if (stack := self.stack) is not None:
            progress(0.6, "two changes at once")
            near = sorted(stack.pairs(), key=lambda pair: sum(map(prior, pair)))[:MOST_RUN]
            judged = [(changes, self.network.judge(changes)) for changes in near]
            return [one for one in judged if one[1].fits], ["three changes at once"]
        of_all, of_some = self._of_all(results), self._of_some(results)
        begun = monotonic()
        for n, changes in enumerate([*of_all, *of_some]):
            spent = (monotonic() - begun) / PATIENCE
            if spent > 1:
                total = len(of_all) if n < len(of_all) else len(of_all) + len(of_some)
                return [], [f"pairs of changes beyond the first {n:,} of {total:,}"]
            progress(0.5 + 0.5 * spent, "two changes at once")
            verdict = self.network.judge(changes)
            if verdict.fits:
                return [(changes, verdict)], []
        rest = "pairs of changes of single cells, but for those with the nearest ones"
        return [], [rest, "three changes at once"]

    def _of_all(self, results: Sequence[tuple[Changes, Verdict]]) -> list[Changes]:
        """Pairs of changes of all cells, the likeliest first."""
        rms = {c: v.rms for c, v in results}
        plain = sorted(filter(_of_every_cell, rms), key=lambda c: rms[c] + 0.02 * prior(c[0]))
        pairs = ((plain[i], plain[j]) for j in range(1, len(plain)) for i in range(j))
        return [(*a, *b) for a, b in pairs if a[0].setting != b[0].setting]

    def _of_some(self, results: Sequence[tuple[Changes, Verdict]]) -> list[Changes]:
        """The changes that come nearest by themselves, each beside all others.

        At least one of both is of some cells alone.
        """
        near = [c for c, _ in sorted(results, key=lambda r: r[1].rms)[:NEAR]]
        found: dict[frozenset[Change], Changes] = {}
        for one in near:
            for other, _ in results:
                unlike = _name(one) != _name(other)
                if unlike and not (_of_every_cell(one) and _of_every_cell(other)):
                    found.setdefault(frozenset((*one, *other)), (*one, *other))
        return list(found.values())

    def _singles(self, cells: Sequence[str]) -> Iterator[Changes]:
        """Single changes of some cells, or of all if none are named; the likeliest first."""
        of = dict(self.network.model.cells)
        for change in sorted(self._plain_singles(of[cells[0]] if cells else None), key=prior):
            if not cells:
                yield (change,)
            elif change.setting not in OF_THE_MODEL:
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
            own = (
                how.storage.order_of(column[:-6])
                if column.endswith("_gates")
                else how.setting(column)
            )
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
            return len(self.network.model.convention.storage.gates) < 4
        return False
