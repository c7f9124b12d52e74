"""The explanation where nothing gives EXPECTED: what comes near, and what was not tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
PLACED = (3, "triples_placed"), (2, "pairs_placed"), (1, "singles_placed")
"""By how many changes at once: the code where these were not tried at all placements."""
BY_BUDGET = {"unsolved", "no_first_step", *(code for _, code in PLACED)}
"""Codes of what a budget left out."""


class Failure(NamedTuple):
    """A search in which nothing gave EXPECTED, and what came near at the likeliest placement."""

    search: Search
    attempt: Attempt
    ran_otherwise: Sequence[Remark]  # of how the other side ran the weights
    unchanged: NearRun
    nears: Sequence[NearRun]

    @property
    def placement(self) -> Placement:
        """The likeliest placement."""
        return self.attempt.placement

    @property
    def listed(self) -> tuple[NearRun, ...]:
        """The runs that are clearly nearer than the unchanged one, and that."""
        return clearly_nearer(self.unchanged, self.nears)


def nothing_fits(search: Search, ran_otherwise: Sequence[Remark]) -> Explanation:
    """The explanation of the nearest runs at the likeliest placement.

    ``ran_otherwise`` are remarks on how the other side ran the weights.
    """
    attempt = min(search.likely, key=_how_partial)
    nearest = attempt.nearest()
    fitting = [one for one in nearest if one.hypothesis.changes and one.agreement.fits]
    if fitting:  # a run in 8 bits gives what the search in float missed
        return of_found(search, fitting)
    loaded = as_loaded(attempt.placement)
    nears = list(map(near_run, nearest))
    failure = Failure(search, attempt, ran_otherwise, near_run(loaded), nears)
    # EXPECTED is not the first units then, nor anything else of one placement
    is_placed = not any(one.code == "other_units" for one in ran_otherwise)
    untried = {}
    for one in _untried(failure):
        if is_placed or one.code != "units":
            untried[one.code, one.facts.get("changes")] = one
    alternatives = Alternatives(
        search.tried,
        search.depth,
        nearest=failure.listed if is_placed else (),
        untried=with_text(untried.values(), text_of),
    )
    remarks = list(_remarks(failure))
    return explanation_of(loaded, "none", alternatives, remarks, is_placed=is_placed)


def _how_partial(attempt: Attempt) -> tuple[int, bool]:
    """Sorts those of the whole network as loaded first."""
    return attempt.placement.count, bool(attempt.placement.setup.part)


def _remarks(failure: Failure) -> Remarks:
    """The remarks on where the run as loaded agrees, and on what the nearest run suggests."""
    search = failure.search
    if not failure.ran_otherwise:
        yield from agreeing_steps(failure.unchanged.comparison)
    yield from _not_merged_so(failure)
    if search.on_other_layout is not None:
        other = search.on_other_layout.placement.setup.layout
        yield remark("layout_shown", layout=other)
        yield from _on_budget(failure)
        return
    sizes = list(_on_size(failure))
    hints = list(failure.ran_otherwise)
    if not hints:
        hints.extend(lengths.shown([one.placement for one in search.attempts]))
    if not sizes and not hints:
        padded = _padded_sequences(failure.placement)
        hints.extend(clues(failure.unchanged.comparison, padded=padded))
    if not sizes and not hints:
        best = failure.listed[0]
        hints.extend(clues(best.comparison, best.changes))
    hints.extend(_on_head(failure))
    layout = search.question.assumed_layout
    if layout != "steps" and search.question.inputs.layout is None and not sizes:
        hints.append(remark("layout_assumed", layout=layout))
    if all(one.code == "head_assumed" for one in hints):
        hints.extend(_on_budget(failure))
    yield from sizes
    yield from hints


def _on_head(failure: Failure) -> Remarks:
    """The remark on activations that no file has, where EXPECTED is of the head."""
    model = failure.search.question.model
    options = [getattr(one, "option", "") for one in model.assumed]
    if model.head and failure.placement.expected.is_of_head and "--head" in options:
        yield remark("head_assumed", head=model.head.suggested)


def _on_size(failure: Failure) -> Remarks:
    """The remarks on how small the differences are, and where they are as loaded."""
    case, loaded = failure.placement.case, failure.unchanged.comparison
    exactness = failure.search.question.exactness
    sizes = list(execution.remark_of_size(case, loaded, exactness))
    if not sizes and not failure.ran_otherwise:
        sizes.extend(near_miss(failure.unchanged, failure.nears))
    yield from sizes
    if any(not one.facts.get("changes") for one in sizes):  # as loaded
        yield from approximated(case)


def _padded_sequences(placement: Placement) -> list[int]:
    """The sequences of which not all steps count."""
    if placement.valid is None:
        return []
    padded: list[int] = np.flatnonzero(~placement.valid.all(axis=0)).tolist()
    return padded


def _on_budget(failure: Failure) -> Remarks:
    """The remark where a budget ended the search."""
    if any(one.code in BY_BUDGET for one in _untried(failure)):
        thorough = failure.search.work.times > 1
        changes = failure.listed[0].changes
        yield remark("budget_ended", changes=changes, thorough=thorough)


def _not_merged_so(failure: Failure) -> Remarks:
    """The remark on a width that another merge of the directions has."""
    assumed = failure.search.question.model.behaviour.merge
    changes = settings_of(failure.placement.setup.of_directions)
    merge = changes.get("merge", assumed)
    if merge != assumed and not failure.search.as_loaded:
        yield remark("not_merged_so", assumed=assumed, merge=merge)


def _untried(failure: Failure) -> Remarks:
    """The remarks on all that is not searched, or that a budget left out."""
    yield from NOT_SEARCHED
    search = failure.search
    depths = [one.sets.depth for one in search.likely]
    for size, code in PLACED:
        left = sum(depth < size for depth in depths)
        if left and size <= max(depths):
            yield remark(code, left=left, placements=len(depths))
    yield from failure.attempt.sets.untried
    for is_beside, names in search.work.edits.left_out:
        code = "edits_left_beside" if is_beside else "edits_left"
        yield remark(code, tried=search.work.variants, left=names)
    if search.left_out:
        yield remark("windows", left=search.left_out)
    units = failure.placement.location.first.units
    if not units.is_all:
        yield remark("units", first=units.size)
