"""Where EXPECTED lies on the run: its places are asked one by one, and what fits in several joined.

EXPECTED may be a row, a first step, or a last state, and its shape need not say which. A reading
fits it in one place or another; the fewest changes win over all of them, and readings of as few
changes that fit elsewhere are equals, since the numbers cannot distinguish them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lstmcli.core.explain import decisions
from lstmcli.core.explain.joining import joined, size
from lstmcli.core.explain.remarks import facts
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import LEVELS, Progress
from lstmcli.core.explain.solver import Solver

NEARER = 3.0  # times: then a last state is likelier than one that is met more often
PLACES = (8, 64)  # in which EXPECTED is searched for, of all in which it can lie: of large nets
UNITS = 2048  # and of small ones, whose units these are, all together
TRIPLES = 4  # of these places are searched for three changes
LATE = 2_200_000  # units² times steps of all last states together that are searched for two changes
TURNED = 250_000  # and of those under another layout


class Fitting(NamedTuple):
    """A place in which a reading gives EXPECTED."""

    solver: Solver
    explanation: Explanation


def searched(solvers: Sequence[Solver], progress: Progress) -> Explanation:
    """The reading of the fewest changes in any place; else what comes near in the likeliest.

    ``solvers`` stand for the places, the likeliest first; none of them fits without a change.
    """
    if len(solvers) == 1:
        return solvers[0].solve(progress) or solvers[0].none()
    quick = sorted((s for s in solvers if s.quick), key=lambda solver: solver.scouted)
    likely = [solver for solver in quick if solver.likely]
    others = quick[len(likely) : _most(solvers)]
    found = _by_levels(likely, (), _layout_alone(solvers), progress)
    late, dear = _late(solvers, again=any(one.explanation.found for one in found))
    found = _by_levels([*others, *late], dear, found, progress)
    if found:
        return _joined(found, tried=sum(solver.tried for solver in solvers))
    return _none(solvers, len(dear) + len(quick[max(len(likely), _most(solvers)) :]))


def _none(solvers: Sequence[Solver], left: int) -> Explanation:
    """What comes near in the likeliest place; so many of them were ``left`` after one change."""
    # the last h of all rows is last_states from some steps of one by its shape
    last_states = [one for one in solvers[:1] if not one.expected.sequences and one.tried]
    # "as read" has no layout of its own
    nearest = min(last_states or solvers, key=lambda solver: (bool(solver.base), solver.closest))
    none = nearest.none()
    more = f"two changes at once in {left} of the {len(solvers)} places where EXPECTED can lie"
    return replace(
        none,
        tried=sum(solver.tried for solver in solvers),
        depth=max((solver.depth for solver in solvers if solver.tried), default=none.depth),
        untried=(*[more] * (left > 0), *none.untried),
    )


def _by_levels(
    solvers: Sequence[Solver], dear: Sequence[Solver], found: list[Fitting], progress: Progress
) -> list[Fitting]:
    """What was found, and what these places give with no more changes: one, two, three.

    What is ``dear`` is asked for one change only.
    """
    quick = [solver for solver in solvers if solver.quick]
    for levels in range(1, LEVELS + 1):
        if found and _fewest(found) < levels:
            break
        left = quick[TRIPLES:] if levels == LEVELS else []
        asked = [s for s in solvers if s not in left] if levels > 1 else [*solvers, *dear]
        found = _asked(asked, levels, found, progress)
    return found


def _layout_alone(solvers: Sequence[Solver]) -> list[Fitting]:
    """Where another layout is all that is needed."""
    return [Fitting(s, agreed) for s in solvers if s.base and (agreed := s.agreeing())]


def _asked(
    solvers: Sequence[Solver], levels: int, found: list[Fitting], progress: Progress
) -> list[Fitting]:
    """What was found, and what up to so many changes give in these places, no more than that.

    Last states take long: once a first step has been found they are asked for fewer changes only.
    """
    for solver in solvers:
        most = levels
        if found:
            slow = not solver.quick and not solver.expected.needs
            fewer = slow and any(one.solver.quick for one in found)
            most = min(levels, _fewest(found) - len(solver.base) - fewer)
        if most < 1 or any(_is_another_row(one, solver) for one in found):
            continue
        if (explanation := solver.solve(progress, most)) is not None:
            found = [*found, Fitting(solver, explanation)]
    return found


def _is_another_row(found: Fitting, solver: Solver) -> bool:
    """Whether EXPECTED is proved to be another row of the batch than this place has it."""
    own, other = found.solver.expected.row, solver.expected.row
    alike = found.solver.base == solver.base and found.solver.quick == solver.quick
    return alike and None not in (own, other) and own != other and found.explanation.found


def _most(solvers: Sequence[Solver]) -> int:
    """The places that are searched for two changes: of small nets, more."""
    few, many = PLACES
    return max(few, min(many, UNITS // solvers[0].bench.weights.cell.units))


def _late(solvers: Sequence[Solver], again: bool) -> tuple[list[Solver], list[Solver]]:
    """The last states that are searched, the likeliest first, and those for one change only.

    They take long, so in a large net few are searched for more: fewer still if another layout has
    to be taken for them, and none if they would be searched ``again`` after a first step was
    proved to be there.
    """
    late = [solver for solver in solvers if not solver.quick]
    if not late:
        return [], []
    also = [solver for solver in late if solver.expected.needs]
    first, *others = [solver for solver in late if not solver.expected.needs] or also[:1]
    others = sorted(others, key=lambda solver: solver.closest)
    nearer = others and others[0].closest * NEARER < first.closest
    own = [others[0], first, *others[1:]] if nearer else [first, *others]
    cost = first.bench.weights.cell.units**2 * first.bench.steps
    places = _most(solvers)
    deep: list[Solver] = []
    for some in (own, also):
        as_given, turned = ([s for s in some if bool(s.base) == base] for base in (False, True))
        deep += [*as_given[: min(places, LATE // cost)], *turned[: min(places, TURNED // cost)]]
    if not deep and not again and (not own[0].base or len(late) == len(solvers)):
        deep = own[:1]
    return deep, [s for s in (*own[:places], *also[:places]) if s not in deep]


def _fewest(found: Sequence[Fitting]) -> int:
    return min(size(one.explanation) for one in found)


def _joined(found: Sequence[Fitting], tried: int) -> Explanation:
    """The likeliest of those of the fewest changes; the others are its equals."""
    which, whole, elsewhere = joined([one.explanation for one in found])
    decide = decisions.decide(
        facts(found[which].solver),
        whole.unseen,
        whole.equivalent,
        whole.verdict == "found",
        elsewhere,
    )
    return replace(whole, decide=decide, tried=max(tried, whole.tried))
