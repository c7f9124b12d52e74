"""The explanation where nothing gives EXPECTED: what comes near, and what was not tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.explain import execution, lengths
from lstmcli.core.explain.approximation import approximated
from lstmcli.core.explain.attempt import Attempt
from lstmcli.core.explain.causes import settings_of
from lstmcli.core.explain.clues import (
    agreeing_steps,
    clearly_nearer,
    clues,
    near_miss,
)
from lstmcli.core.explain.explanation import Alternatives, Explanation, NearRun
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.report import as_loaded, explanation_of, near_run, of_found
from lstmcli.core.explain.search import Search
from lstmcli.core.explain.verify import Remark, Remarks, remark
from lstmcli.core.explain.wording import text_of, with_text

NOT_SEARCHED = (
    remark("other_weights"), remark("dropout"), remark("layer_norm"), remark("rare_settings"),
    remark("two_constants"),
)  # fmt: skip
BY_BUDGET = {
    "triples_placed",
    "pairs_placed",
    "singles_placed",
    "unsolved",
    "no_first_step",
}
"""Codes of what a budget left out."""


def nothing_fits(search: Search, said: Sequence[Remark]) -> Explanation:
    """The explanation of the nearest runs at the likeliest placement.

    ``said`` are remarks on how the other side ran the weights.
    """
    attempt = min(search.likely, key=_how_partial)
    nearest = attempt.nearest()
    fitting = [one for one in nearest if one.hypothesis.changes and one.agreement.fits]
    if fitting:  # a run in 8 bits gives what the search in float missed
        return of_found(search, fitting)
    loaded = as_loaded(attempt.placement)
    unchanged, nears = near_run(loaded), list(map(near_run, nearest))
    remarks: list[Remark] = []
    if not said:
        remarks.extend(agreeing_steps(loaded.agreement))
    remarks.extend(_not_merged_so(search, attempt.placement))
    remarks.extend(_hints(search, attempt, unchanged, nears, said))
    untried = {
        (one.code, one.facts.get("changes")): one for one in _untried(search, attempt)
    }
    listed: Sequence[NearRun] = clearly_nearer(unchanged, nears)
    # EXPECTED is not the first units then, nor anything else of one placement
    is_placed = not any(one.code == "other_units" for one in said)
    if not is_placed:
        listed = ()
        untried.pop(("units", None), None)
    left = with_text(untried.values(), text_of)
    return explanation_of(
        loaded,
        "none",
        Alternatives(search.tried, search.depth, nearest=listed, untried=left),
        remarks,
        is_placed=is_placed,
    )


def _how_partial(attempt: Attempt) -> tuple[int, bool]:
    """Sorts those of the whole network as loaded first."""
    return attempt.placement.count, bool(attempt.placement.setup.part)


def _hints(
    search: Search,
    attempt: Attempt,
    unchanged: NearRun,
    nears: Sequence[NearRun],
    said: Sequence[Remark],
) -> Remarks:
    """The remarks that the numbers of the nearest run suggest, first of all another layout."""
    best = clearly_nearer(unchanged, nears)[0]
    if search.on_other_layout is not None:
        other = search.on_other_layout.placement.setup.layout
        yield remark("layout_shown", layout=other)
        yield from _on_budget(search, attempt, best)
        return
    sizes = list(_on_size(search, attempt.placement, unchanged, nears, said))
    hints = list(said)
    if not hints:
        hints.extend(lengths.shown([one.placement for one in search.attempts]))
    if not sizes and not hints:
        padded = _padded_sequences(attempt.placement)
        hints.extend(clues(unchanged.comparison, padded=padded))
    if not sizes and not hints:
        hints.extend(clues(best.comparison, best.changes))
    layout = search.question.assumed_layout
    if layout != "steps" and search.question.inputs.layout is None and not sizes:
        hints.append(remark("layout_assumed", layout=layout))
    if not hints:
        hints.extend(_on_budget(search, attempt, best))
    yield from sizes
    yield from hints


def _on_size(
    search: Search,
    placement: Placement,
    unchanged: NearRun,
    nears: Sequence[NearRun],
    said: Sequence[Remark],
) -> Remarks:
    """The remarks on how small the differences are, and where they are as loaded."""
    exactness, loaded = search.question.exactness, unchanged.comparison
    sizes = list(execution.remark_of_size(placement.case, loaded, exactness))
    if not sizes and not said:
        sizes.extend(near_miss(unchanged, nears))
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
    if not any(one.code in BY_BUDGET for one in _untried(search, attempt)):
        return
    thorough = search.work.times > 1
    yield remark("budget_ended", changes=best.changes, thorough=thorough)


def _not_merged_so(search: Search, placement: Placement) -> Remarks:
    """The remark on a width that another merge of the directions has."""
    assumed = search.question.model.behaviour.merge
    merge = settings_of(placement.setup.of_directions).get("merge", assumed)
    if merge != assumed and not search.as_loaded:
        yield remark("not_merged_so", assumed=assumed, merge=merge)


def _untried(search: Search, attempt: Attempt) -> Remarks:
    """The remarks on all that is not searched, or that a budget left out."""
    yield from NOT_SEARCHED
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
