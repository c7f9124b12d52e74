"""The explanation where nothing gives EXPECTED: what comes near, and what was not tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.explain import execution, lengths
from lstmcli.core.explain.approximation import approximated
from lstmcli.core.explain.attempt import Attempt
from lstmcli.core.explain.causes import settings_of
from lstmcli.core.explain.explanation import (
    BY_BUDGET,
    NOT_SEARCHED,
    Explanation,
    NearRun,
    agreement,
    clearly_nearer,
    clues,
    near_miss,
)
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.report import explanation_of, near_run, of_found
from lstmcli.core.explain.search import Search
from lstmcli.core.explain.tries import Answer, Try
from lstmcli.core.explain.verify import Remark, Remarks, remark


def nothing_fits(search: Search, said: Sequence[Remark]) -> Explanation:
    """The explanation of the nearest runs at the likeliest placement.

    ``said`` are remarks on how the other side ran the weights.
    """
    attempt = min(search.likely, key=_how_partial)
    placement = attempt.placement
    loaded = placement.verify(())
    nearest = attempt.nearest()
    fitting = []
    for one in nearest:
        if one.hypothesis.changes and one.agreement.fits:
            fitting.append(one)
    if fitting:  # a run in 8 bits gives what the search in float missed
        return of_found(search, fitting)
    unchanged = Answer(Try(placement), loaded, placement.allowance)
    as_loaded = near_run(unchanged)
    nears = list(map(near_run, nearest))
    # EXPECTED is not the first units then, nor anything else of one placement
    is_placed = not any(one.code == "other_units" for one in said)
    untried = [*NOT_SEARCHED, *_left_out(search, attempt)]
    remarks: list[Remark] = []
    if not said:
        remarks.extend(agreement(loaded))
    remarks.extend(_not_merged_so(search, placement))
    remarks.extend(_hints(search, attempt, as_loaded, nears, said))
    if not is_placed:
        untried = [one for one in untried if one.code != "units"]
    return explanation_of(
        placement,
        "none",
        loaded,
        remarks=remarks,
        is_placed=is_placed,
        tried=search.tried,
        depth=search.depth,
        nearest=clearly_nearer(as_loaded, nears) if is_placed else (),
        untried=tuple(untried),
    )


def _how_partial(attempt: Attempt) -> tuple[int, bool]:
    """Sorts those of the whole network as loaded first."""
    return attempt.placement.count, bool(attempt.placement.setup.part)


def _hints(
    search: Search,
    attempt: Attempt,
    as_loaded: NearRun,
    nears: Sequence[NearRun],
    said: Sequence[Remark],
) -> list[Remark]:
    """The remarks that the numbers of the nearest run suggest, first of all another layout."""
    best = clearly_nearer(as_loaded, nears)[0]
    if search.on_other_layout is not None:
        other = search.on_other_layout.placement.setup.layout
        shown = [remark("layout_shown", layout=other)]
        return shown + list(_on_budget(search, attempt, best))
    sizes = list(_on_size(search, attempt.placement, as_loaded, nears, said))
    hints = list(said) or list(
        lengths.shown([one.placement for one in search.attempts])
    )
    if not sizes and not hints:
        padded = _padded_sequences(attempt.placement)
        hints.extend(clues(as_loaded.comparison, padded=padded))
    if not sizes and not hints:
        hints.extend(clues(best.comparison, best.changes))
    layout = search.question.assumed_layout
    if layout != "steps" and search.question.inputs.layout is None and not sizes:
        hints.append(remark("layout_assumed", layout=layout))
    if not hints:
        hints.extend(_on_budget(search, attempt, best))
    return sizes + hints


def _on_size(
    search: Search,
    placement: Placement,
    as_loaded: NearRun,
    nears: Sequence[NearRun],
    said: Sequence[Remark],
) -> Remarks:
    """The remarks on how small the differences are, and where they are as loaded."""
    exactness, loaded = search.question.exactness, as_loaded.comparison
    sizes = list(execution.remark_of_size(placement.case, loaded, exactness))
    if not sizes and not said:
        sizes.extend(near_miss(as_loaded, nears))
    yield from sizes
    if any(not one.facts.get("changes") for one in sizes):  # as loaded
        yield from approximated(placement.case)


def _padded_sequences(placement: Placement) -> list[int]:
    """The sequences of which not all steps count."""
    if placement.valid is None:
        return []
    padded: list[int] = np.flatnonzero(~placement.valid.all(axis=0)).tolist()
    return padded


def _on_budget(search: Search, attempt: Attempt, best: NearRun) -> Remarks:
    """The remarks where a budget ended the search."""
    if not any(one.code in BY_BUDGET for one in _left_out(search, attempt)):
        return
    thorough = search.work.times > 1
    yield remark("budget_ended", changes=best.changes, thorough=thorough)
    if search.question.inputs.is_padded:
        return
    if any(lengths.UNKNOWN in one.placement.run_changes for one in search.attempts):
        yield remark("lengths_unknown")


def _not_merged_so(search: Search, placement: Placement) -> Remarks:
    """The remark on a width that another merge of the directions has."""
    assumed = search.question.model.behaviour.merge
    merge = settings_of(placement.setup.of_directions).get("merge", assumed)
    if merge != assumed and not search.as_loaded:
        yield remark("not_merged_so", assumed=assumed, merge=merge)


def _left_out(search: Search, attempt: Attempt) -> Remarks:
    """The remarks on all that a budget left out."""
    depths = [one.sets.depth for one in search.likely]
    sizes = (3, "triples_placed"), (2, "pairs_placed"), (1, "singles_placed")
    for size, code in sizes:
        left = sum(depth < size for depth in depths)
        if left and size <= max(depths):
            yield remark(code, left=left, placements=len(depths))
    yield from attempt.sets.untried
    for is_beside, names in search.work.edits.left_out:
        code = "edits_left_beside" if is_beside else "edits_left"
        yield remark(code, tried=search.work.variants, left=names)
    if search.left_out:
        yield remark("windows", left=search.left_out)
    units = attempt.placement.location.first.units
    if not units.is_all:
        yield remark("units", first=units.size)
