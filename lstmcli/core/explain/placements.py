"""The placements in which EXPECTED can lie on the run, asked one by one.

EXPECTED may be a sequence of the batch, a first step, or a last state, and its shape need not say
which. A hypothesis fits it in one placement or another; the fewest changes win over all of them,
and hypotheses of as few changes that fit elsewhere are equals, since the numbers cannot distinguish
them. One change is looked for in every placement, two and three in the best four, and of small nets
in more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import factorial
from typing import NamedTuple

from lstmcli.core.explain.explanation import Changed, Explanation, Remark, remark, wanted
from lstmcli.core.explain.hypotheses import Change, prior
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.search import LEVELS, NEAREST, Progress
from lstmcli.core.explain.solver import Solver

MOST = 4  # placements that are searched for two changes and for three,
MOST_WORK = 4e9  # and of small nets as many more as this allows
WINDOWS_WORK = 1e10  # operations, as `Simulator.work` counts them: some 1 s of one core
NEARER = 3.0  # times: then a last state is likelier than one that is met more often


class Fitting(NamedTuple):
    """A placement in which a hypothesis gives EXPECTED."""

    solver: Solver
    explanation: Explanation


def explain_cell(prepared: Prepared, progress: Progress) -> Explanation:
    """The explanation of a model of one cell.

    Raises
    ------
    UserError
        if EXPECTED is no result of such a run.
    """
    cases = prepared.cases()
    if not cases:
        raise prepared.no_place()
    solvers = [Solver(prepared, case, prepared.common_changes(case)) for case in cases]
    for solver in solvers:
        if not solver.common_changes and (agreed := solver.agreeing()):
            return agreed
    if prepared.all_zero:
        return solvers[0].nothing_to_tell()
    found = _searched(solvers, progress)
    if found.verdict != "none":
        return found
    # nobody said how the inputs lie, so that another layout is no mistake like the others
    turned = [Solver(prepared, case, prepared.common_changes(case)) for case in prepared.turned()]
    if not (likely := [solver for solver in turned if solver.likely]):
        return found
    alternative = _searched(likely, progress)
    if alternative.verdict != "none":
        return alternative
    nearest = sorted((*found.nearest, *alternative.nearest), key=lambda near: near.comparison.rms)
    return replace(found, nearest=tuple(nearest[:NEAREST]), tried=found.tried + alternative.tried)


def _searched(solvers: Sequence[Solver], progress: Progress) -> Explanation:
    """The fewest changes in any placement; else what comes near in the likeliest.

    ``solvers`` stand for the placements, the likeliest first; none of them fits without a change.
    """
    if len(solvers) == 1:
        return solvers[0].solve(progress) or solvers[0].none()
    from_start = [s for s in solvers if s.expected.placement.is_from_the_start]
    begun = sorted((s for s in from_start if s.has_first_step), key=lambda s: s.first_step_distance)
    likely = [solver for solver in begun if solver.likely]
    last, later = _last(solvers), _later(solvers)
    left = len(solvers) - len(begun) - len(last) - len(later)
    found = [Fitting(s, agreed) for s in solvers if s.common_changes and (agreed := s.agreeing())]
    found = _by_levels(likely, found, progress)
    others = [*last, *begun[len(likely) :], *later]
    found = _by_levels(others, found, progress)
    if found:
        return _explained(found, tried=sum(solver.tried for solver in solvers))
    return _none(solvers, left, max(0, len(others) - _most(solvers, 2)))


def _last(solvers: Sequence[Solver]) -> list[Solver]:
    """The last states, the likeliest first, and then the last step of a reversed run."""
    without = [
        s for s in solvers if not s.has_first_step and s.expected.placement.is_from_the_start
    ]
    if len(without) < 2:
        return without
    first, *others = sorted(without, key=lambda s: bool(s.expected.needs))
    others = sorted(others, key=lambda s: (bool(s.expected.needs), s.closest))
    nearer = others[0].closest * NEARER < first.closest
    return [others[0], first, *others[1:]] if nearer else [first, *others]


def _most(solvers: Sequence[Solver], levels: int) -> int:
    """How many placements are searched for so many changes."""
    if not solvers:
        return 0
    simulator = solvers[0].simulator
    sets = len(simulator.space.singles) ** levels / factorial(levels)
    return max(MOST, int(MOST_WORK / (simulator.work * sets)))


def _later(solvers: Sequence[Solver]) -> list[Solver]:
    """Windows and every n-th step, as many as a budget of whole runs allows."""
    later = [s for s in solvers if not s.expected.placement.is_from_the_start]
    if not later:
        return []
    simulator = later[0].simulator
    a_level = simulator.work * len(simulator.space.singles)
    return later[: max(1, int(WINDOWS_WORK / a_level))]


def _by_levels(
    solvers: Sequence[Solver], found: list[Fitting], progress: Progress
) -> list[Fitting]:
    """What was found, and what these placements give with no more changes: one, two, three."""
    for levels in range(1, LEVELS + 1):
        if found and _fewest(found) < levels:
            break
        asked = solvers[: _most(solvers, levels)] if levels > 1 else solvers
        found = _asked(asked, levels, found, progress)
    return found


def _asked(
    solvers: Sequence[Solver], levels: int, found: list[Fitting], progress: Progress
) -> list[Fitting]:
    """What was found, and what up to so many changes give in these placements, no more than that.

    Where a first step has been found, last states are asked for fewer changes only: they take long.
    """
    for solver in solvers:
        most = levels
        if found:
            slow = not solver.has_first_step and not solver.expected.needs
            fewer = slow and any(one.solver.has_first_step for one in found)
            most = min(levels, _fewest(found) - len(solver.common_changes) - fewer)
        if most < 1 or any(_is_another_item(one, solver) for one in found):
            continue
        if (explanation := solver.solve(progress, most)) is not None:
            found = [*found, Fitting(solver, explanation)]
    return found


def _is_another_item(found: Fitting, solver: Solver) -> bool:
    """Whether EXPECTED is proved to be another sequence of the batch than this placement has it."""
    own, other = found.solver.expected.row, solver.expected.row
    alike = (
        found.solver.common_changes == solver.common_changes
        and found.solver.has_first_step == solver.has_first_step
    )
    return alike and None not in (own, other) and own != other and found.explanation.found


def _none(solvers: Sequence[Solver], unsearched: int, left: int) -> Explanation:
    """What comes near in the likeliest placement.

    ``unsearched`` placements were only compared with the run as loaded, and ``left`` were left
    after one change.
    """
    # the last h of all sequences is a last state by its shape, not some steps of one
    last_states = [one for one in solvers[:1] if not one.expected.sequences and one.tried]
    near = last_states or [one for one in solvers if one.tried] or solvers[:1]
    nearest = min(near, key=_distance)
    none = nearest.none()
    more = [remark("pairs_placed", left=left, placements=len(solvers))] * (left > 0)
    if unsearched:
        more.append(remark("singles_placed", left=unsearched, placements=len(solvers)))
    return replace(
        none,
        tried=sum(solver.tried for solver in solvers),
        depth=max((solver.depth for solver in solvers if solver.tried), default=none.depth),
        untried=(*more, *none.untried),
    )


def _distance(solver: Solver) -> tuple[bool, float]:
    """How far a placement is off; windows, of which there are many, come near by chance."""
    plain = solver.expected.placement.is_from_the_start
    return bool(solver.common_changes), solver.closest * (1.0 if plain else NEARER)


def _explained(found: Sequence[Fitting], tried: int) -> Explanation:
    """The likeliest of those of the fewest changes; the others are its equals."""
    which, whole, elsewhere = joined([one.explanation for one in found])
    left_open = wanted(
        found[which].solver.data,
        whole.unseen,
        whole.equivalent,
        whole.verdict == "found",
        elsewhere,
    )
    return replace(whole, wanted=left_open, tried=max(tried, whole.tried))


def _fewest(found: Sequence[Fitting]) -> int:
    return min(size(one.explanation) for one in found)


# ---- explanations that fit in several placements


class Joined(NamedTuple):
    """The likeliest of several, which of them it was, and whether an equal lies elsewhere."""

    which: int
    explanation: Explanation
    elsewhere: bool


def joined(found: Sequence[Explanation]) -> Joined:
    """The likeliest of those of the fewest changes; the others are its equals.

    What is equal but takes EXPECTED as another part of the run is said in a remark.
    """
    fewest = min(map(size, found))
    equals = [n for n, one in enumerate(found) if size(one) == fewest]
    which, *others = sorted(equals, key=lambda n: _rank(found[n]))
    first = found[which]
    listed = {_key(changes): changes for changes in first.equivalent}
    elsewhere: list[Remark] = []  # on the placements of the others
    for other in (found[n] for n in others):
        for changes in (other.changes, *other.equivalent):
            listed.setdefault(_key(changes), changes)
        if other.placement != first.placement and _key(other.changes) != _key(first.changes):
            place = other.placement
            elsewhere.append(remark("placed_elsewhere", changes=other.changes, placement=place))
    listed.pop(_key(first.changes), None)
    whole = replace(first, equivalent=tuple(listed.values()), remarks=(*first.remarks, *elsewhere))
    return Joined(which, whole, bool(elsewhere))


def size(explanation: Explanation) -> int:
    """Changes as the search counts them: two of them may be told as one."""
    changes = explanation.changes
    return sum(
        2 if change.setting == "go_backwards" else len(change.settings) for change in changes
    )


def _rank(one: Explanation) -> tuple[bool, bool, float]:
    """What is proved comes first, then exact numbers, then what people get wrong most."""
    plain = [Change(name, value) for c in one.changes for name, value in c.settings.items()]
    coarse = any(change.setting == "dtype" for change in one.changes)
    return one.verdict != "found", coarse, sum(map(prior, plain))


def _key(changes: Sequence[Changed]) -> frozenset[tuple[str, object]]:
    return frozenset((name, value) for c in changes for name, value in c.settings.items())
