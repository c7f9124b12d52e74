"""Which edit gives EXPECTED, where no setting does: the pass after those of the settings.

The table first, then numbers that are solved for, then what EXPECTED itself proposes, and one edit
beside one change of a setting last. The first stage with an answer ends the search; what gives the
same run on these data is listed as equivalent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, product
from typing import NamedTuple

from lstmcli.core.explain import inverses
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.edited_runs import EditedRuns, Variant
from lstmcli.core.explain.explanation import Changed, Explanation, first_shown
from lstmcli.core.explain.hypotheses import Changes
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.verify import Agreement, remark
from lstmcli.core.model.edits import EDITS, Edit
from lstmcli.errors import UserError


class Named(NamedTuple):
    """Edits that give EXPECTED, and the changes of settings beside them."""

    runs: EditedRuns
    variant: Variant
    agreement: Agreement
    bits: float

    @property
    def rank(self) -> tuple[int, int, int]:
        """The fewest numbers solved and edits first, then by the order of the table."""
        names = [*EDITS]
        place = min((names.index(edit.name) for edit in self.variant.edits), default=0)
        return self.variant.solved, len(self.variant.edits), place


STAGES: tuple[Callable[[EditedRuns], Iterator[Variant]], ...] = (
    EditedRuns.table, EditedRuns.solutions, inverses.outputs, inverses.inputs, inverses.damage,
    EditedRuns.damage, inverses.state,
)  # fmt: skip
"""What is tried, in this order; the first with an answer ends the search."""


def explained(
    placements: Sequence[Placement], nearest: Callable[[], Sequence[Changes]]
) -> Explanation | None:
    """The explanation by an edit; None if none gives EXPECTED.

    ``nearest`` are changes of settings beside which an edit is tried last.
    """
    found = named_edits(placements) or named_beside(placements[:1], nearest)
    return _explanation(found) if found else None


def named_edits(placements: Sequence[Placement]) -> list[Named]:
    """The edits that give EXPECTED: those of the first stage in which any does."""
    runs = [EditedRuns(one) for one in placements[: Budget.EDITED]]
    for stage, one in product(STAGES, runs):
        if found := _found(one, stage(one)):
            return found
    return []


def named_beside(
    placements: Sequence[Placement], nearest: Callable[[], Sequence[Changes]]
) -> list[Named]:
    """The edits that give EXPECTED beside one change of a setting."""
    for one, changes in product(placements, nearest()):
        with suppress(UserError):
            both = EditedRuns(one, changes)
            given = (Variant(()),) if both.model.edits else ()  # the settings' search ran without
            if found := _found(both, chain(given, both.table())):
                return found
    return []


def _found(runs: EditedRuns, variants: Iterable[Variant]) -> list[Named]:
    """Those of some variants that give EXPECTED, the likeliest first, as far as work is left."""
    found = []
    for variant in variants:
        if not runs.case.work.may_edit:
            break
        if (proved := runs.proved(variant)) is not None:
            found.append(Named(runs, variant, *proved))
    return sorted(found, key=lambda one: one.rank)


def _explanation(found: Sequence[Named]) -> Explanation:
    """The explanation of the likeliest of edits; the others are its equals."""
    first, *others = found
    runs, edits = first.runs, first.variant.edits
    placement, model = runs.placement, runs.model
    settings = runs.changes[len(placement.of_run) :]
    explanation = placement.explanation("found", first.agreement, settings)
    backward = model.backward
    codes = "; ".join(edit.code for edit in edits)
    return replace(
        explanation,
        changes=(*_changed(edits), *explanation.changes),
        edits=tuple(edit.text for edit in edits),
        arrays={edit.file: edit.value for edit in edits if edit.file},
        equivalent=tuple(_changed(one.variant.edits) for one in others[: Budget.EQUAL_EDITS]),
        tried=runs.tried,
        first_step=None if backward else first_shown(placement.verify(()), backward),
        backward=backward,
        evidence=first.bits,
        remarks=(remark("edit_code", line=codes, mend="; ".join(e.kind.mend for e in edits)),),
    )


def _changed(edits: Sequence[Edit]) -> tuple[Changed, ...]:
    return tuple(Changed("edit", None, edit.text, edit=edit) for edit in edits)
