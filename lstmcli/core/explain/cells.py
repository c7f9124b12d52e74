"""Several cells asked one by one, from the lowest up, each with what was found for those below it.

What is found for the first cell that needs a change is tried on all cells, then on its layer, then
on it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf

from lstmcli.core.explain import words
from lstmcli.core.explain.joining import joined
from lstmcli.core.explain.judge import Verdict
from lstmcli.core.explain.network import Network, plain, plain_of, scoped
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import Progress
from lstmcli.core.explain.solver import Solver
from lstmcli.core.explain.space import Change, Changes

TOP_LEVELS = 2  # changes at once in the last layer alone


def closest(network: Network) -> float:
    """How near single changes of the lowest cells come; infinite if those are not told."""
    inputs = network.inputs_of(0, (), set())
    own = [(d, network.expected.part(name)) for d, name in enumerate(network.names[0])]
    own = [(d, each) for d, each in own if each.numbers]
    if inputs is None or len(own) < (1 if network.prepared.one_way else len(network.names[0])):
        return inf
    return sum(network.solver_of((0, d), inputs, each, ()).closest for d, each in own)


def by_cells(network: Network, progress: Progress, levels: int = 3) -> Explanation | None:
    """What is found cell by cell; None if no cell can be asked by itself."""
    way = _Upwards(network)
    for n in range(len(network.names)):
        for name, solver in way.questions(n):
            progress(n / len(network.names), name)
            found = way.solved(name, solver, progress, levels)
            if found is None:
                return way.stuck(name, solver) if way.first or n == 0 else None
            scopes = _scopes(network, plain(found), name, n)
            answers = [way.answer((*way.done, *each)) for each in scopes]
            if fitting := [answer for answer in answers if answer is not None]:
                return joined(fitting).explanation  # of other cells they may do as well
            way.done = (*way.done, *scoped(plain(found), name))
    return way.stuck() if way.first else None


def top_alone(network: Network, progress: Progress) -> Explanation | None:
    """Changes of the last layer's cells, those below it as read; None if there are none."""
    *below, _ = network.names
    way = _Upwards(network, (name for layer in below for name in layer))
    for name, solver in way.questions(len(below)) if below else ():
        found = way.solved(name, solver, progress, TOP_LEVELS)
        if found is None:
            return None
        way.done = (*way.done, *scoped(plain(found), name))
        if (answer := way.answer(way.done)) is not None:
            return answer
    return None


class _Upwards:
    """The way up through the layers, with what was found so far."""

    def __init__(self, network: Network, settled: Iterable[str] = ()) -> None:
        self.network = network
        self.done: Changes = ()
        self.settled = set(settled)  # cells that give what the layer above takes
        self.first: tuple[str, Explanation] | None = None  # that needed a change

    def questions(self, n: int) -> Iterator[tuple[str, Solver]]:
        """The cells of a layer that can be asked and do not fit as read."""
        network = self.network
        for d, name in enumerate(network.names[n]):
            own = network.expected.part(name)
            inputs = network.inputs_of(n, self.done, self.settled) if own.numbers else None
            if inputs is None:
                continue
            self.settled.add(name)
            solver = network.solver_of((n, d), inputs, own, self.done)
            if not solver.judge((), network.allowance).fits:
                yield name, solver

    def solved(
        self, name: str, solver: Solver, progress: Progress, levels: int
    ) -> Explanation | None:
        """What is found for a cell."""
        found = solver.solve(progress, levels)
        self.network.tried += solver.tried
        if found is not None and self.first is None:
            self.first = name, found
        return found

    def answer(self, changes: Changes) -> Explanation | None:
        """The explanation by these changes, if they fit."""
        verdict = self.network.judge(changes)
        if self.first is None or not verdict.fits:
            return None
        return found_for(self.network, changes, verdict, *self.first)

    def stuck(self, name: str = "", solver: Solver | None = None) -> Explanation:
        """Some cells are explained, but not the whole."""
        network = self.network
        explanation = network.none()
        remarks = []
        if self.first:
            found = words.wording(plain(self.first[1]))
            remarks.append(
                f"{self.first[0]} fits with {found}; what lies above it does not fit yet."
            )
        if solver is not None:
            remarks.append(f"The figures below are of {name}, with its inputs as recorded.")
            of_cell, base = solver.none(), network.worded(())
            nearest = (replace(near, changes=(*base, *near.changes)) for near in of_cell.nearest)
            explanation = replace(explanation, nearest=tuple(nearest), untried=of_cell.untried)
        return replace(explanation, tried=network.tried, remarks=tuple(remarks))


def _scopes(network: Network, changes: Changes, name: str, n: int) -> Iterator[Changes]:
    """The changes of a cell, for all cells, itself, its layer, and its direction."""
    every = [cell for layer in network.names for cell in layer]
    yield changes
    yield scoped(changes, name)
    if 1 < len(network.names[n]) < len(every):
        yield tuple(c for cell in network.names[n] for c in scoped(changes, cell))
    way = [cell for cell in every if cell.endswith("_reverse") == name.endswith("_reverse")]
    if 1 < len(way) < len(every):
        yield tuple(c for cell in way for c in scoped(changes, cell))


def found_for(
    network: Network, changes: Changes, verdict: Verdict, name: str, of_cell: Explanation
) -> Explanation:
    """The explanation by changes that were found for a cell of this name, and fit."""
    if len(gathered := _gathered(network, changes)) < len(changes):
        alike = network.judge(gathered)
        changes, verdict = (gathered, alike) if alike.fits else (changes, verdict)
    several = any("." in c.setting for c in changes)
    remark = (
        f"{name} is the first that needs a change."
        if several
        else f"{name} is the first that shows it; all {len(network.model.cells)} cells have it."
    )
    equivalent = map(plain_of, of_cell.equivalent)
    return replace(
        network.explanation(of_cell.verdict, changes, verdict),
        equivalent=tuple(network.worded(scoped(e, name) if several else e) for e in equivalent),
        nearest=of_cell.nearest,
        hidden=of_cell.hidden,
        unseen=of_cell.unseen,
        decide=of_cell.decide,
        untried=of_cell.untried,
        evidence=of_cell.evidence,
        remarks=(remark, *of_cell.remarks),
    )


def _gathered(network: Network, changes: Changes) -> Changes:
    """Changes with what all cells have alike said once."""
    cells: dict[Change, set[str]] = {}
    for change in changes:
        cells.setdefault(_of_all(change), set()).add(change.setting.rpartition(".")[0])
    every = {name for name, _ in network.model.cells}
    shared = tuple(change for change, of in cells.items() if "" in of or of >= every)
    return (*shared, *(c for c in changes if _of_all(c) not in shared))


def _of_all(change: Change) -> Change:
    return Change(change.setting.rpartition(".")[2], change.value)
