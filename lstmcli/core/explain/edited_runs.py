"""Runs of a placement with edits, compared with EXPECTED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import FINAL, ArrayName
from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.causes import Changes, settings_of
from lstmcli.core.explain.first_steps import FirstSteps, KnownCell
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.observation import Arrays, Expected, KnownValues
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.tries import Try
from lstmcli.core.explain.verify import (
    COARSE,
    FINE,
    OTHERS,
    ROUNDING,
    Case,
    arrays_if_run,
    drift_of,
    on_axes,
    widened,
)
from lstmcli.core.forward.plan import Plan, plan_of
from lstmcli.core.forward.prepare import edited_model, with_edits
from lstmcli.core.forward.run import run_in_memory, runs_forward
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Edit, edits_in
from lstmcli.core.model.model import Model
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError

SLACK = 4.0  # tolerances by which a first step may be off
# work of a cell before its steps, and of a weight
PREPARING, PACKING = 5e3, 0.13
STEP, SEQUENCE = 150, 20  # of a step, and of one sequence in it


class EditedRuns:
    """The runs of a placement with edits, next to changes of settings.

    ``case`` is how they are run, if not as the placement is.
    """

    def __init__(
        self, placement: Placement, changes: Changes = (), case: Case | None = None
    ) -> None:
        self.placement = placement
        self.changes = changes
        self.case = placement.case if case is None else case
        self.expected = self.case.expected
        self.work = self.case.work.edits
        self.steps = self.case.size[0]
        self.settings = settings_of(placement.run_changes + changes)
        self.model = self.case.model({**self.settings, **FINE})

    def hypothesis(self, *edits: Edit, solved: int = 0) -> Try:
        """The try of edits; ``solved`` of their numbers were taken from EXPECTED."""
        return Try(self.placement, self.changes, edits, solved=solved)

    @property
    def is_of_head(self) -> bool:
        """Tell whether EXPECTED is what the head makes."""
        return self.expected.is_of_head

    # ---- runs

    @cached_property
    def weights(self) -> int:
        """The number of weights of all cells."""
        cells = [cell for _, cell in self.model.cells]
        return sum(cell.kernel.size + cell.recurrent_kernel.size for cell in cells)

    @cached_property
    def plan(self) -> Plan:
        """The run without further edits, not prepared."""
        names = self.case.names(self.settings)
        return plan_of(self.model, self.case.inputs(self.settings), names)

    def prepared(self, edits: Sequence[Edit]) -> Plan:
        """The run with edits."""
        every = (*self.model.edits, *edits)
        model = replace(self.model, edits=every)
        if edits_in("tensors", edits):
            model = self.case.model({**self.settings, **FINE, "edits": every})
        return with_edits(replace(self.plan, model=model))

    def run(self, edits: Sequence[Edit], until: int | None = None) -> Arrays:
        """The arrays of a run or its first steps; none if the edits do not fit."""
        case = self.case_for(edits) or self.case
        try:
            plan = replace(self.prepared(edits), keep=case.names(self.settings))
            if until is not None:
                plan = plan.until(min(until, plan.steps))
            given = run_in_memory(plan)
        except UserError:
            return {}
        work = PREPARING + plan.steps * (STEP + SEQUENCE * plan.batch)
        self.work.add(len(plan.model.cells) * work + PACKING * self.weights)
        steps = self.steps if until is None else until
        return on_axes(given, self.settings.get("array", "h"), steps)

    @cached_property
    def base(self) -> Arrays:
        """The run without further edits."""
        return self.run(())

    def case_for(self, edits: Sequence[Edit]) -> Case | None:
        """How EXPECTED is compared under edits; None: it cannot be."""
        if edits_in("head", edits):
            return _case_of_head(self.case, self.model, edits)
        if edits_in("outputs", edits):
            return _case_of_outputs(self.case, self.placement.location, edits)
        return self.case

    # ---- how far off they are

    def off_with(self, edits: Sequence[Edit], until: int | None = None) -> Array:
        """How far off a run with edits is, or its first steps."""
        return self.off(self.run(edits, until), edits, until)

    def off(
        self, given: Arrays, edits: Sequence[Edit] = (), until: int | None = None
    ) -> Array:
        """A run less EXPECTED, in tolerances; infinite where it has no number."""
        case = self.case_for(edits) or self.case
        # an edited output has steps where EXPECTED is a last state
        causal = self.causal if case is self.case else ("h",)
        arrays = case.expected.arrays
        if until is not None:
            arrays = {name: arrays[name][:until] for name in arrays if name in causal}

        def off(name: str, part: KnownValues) -> Any:
            of_run = given.get(name, np.zeros(0))
            if of_run.shape != part.values.shape:
                of_run = np.full(part.values.shape, np.inf)
            return (of_run - part.values) / self._allowed(self.rounding, name, part)

        at_known = Expected(arrays).at_known(off)
        return np.nan_to_num(at_known, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    @cached_property
    def rounding(self) -> Arrays:
        """The rounding of the run without further edits."""
        return self._rounding_of((), self.base)

    def _rounding_of(self, edits: Sequence[Edit], given: Arrays) -> Arrays:
        """By array, how far a run is from one in float32; none where EXPECTED is more exact."""
        every = (*self.model.edits, *edits)
        coarse = arrays_if_run(self.case, {**self.settings, **COARSE, "edits": every})
        is_in_both = self.expected.is_in(given) and self.expected.is_in(coarse)
        if not is_in_both or self.placement.allowance.absolute < ROUNDING / 2:
            return {}
        return drift_of(given, coarse, self.expected, self.model.backward)

    def _allowed(self, rounding: Arrays, name: str, known: KnownValues) -> Array:
        """The tolerances of an array's first steps; infinite where rounding may be all."""
        allowed = self.placement.allowance.of(known)
        grown = rounding.get(name, np.zeros((1, 1)))[: len(known.values)]
        if largest(grown) <= ROUNDING / OTHERS:
            return allowed
        wider, is_blind = widened(grown, known.values)
        return np.where(is_blind, np.inf, allowed + wider)

    # ---- the steps that are off first

    @cached_property
    def first(self) -> FirstSteps:
        """The first step of each direction by itself."""
        return FirstSteps(self)

    @property
    def known_cells(self) -> list[KnownCell]:
        """The cells of the last layer whose steps EXPECTED has."""
        return self.first.known_cells

    @cached_property
    def is_off_at_first(self) -> bool:
        """Tell whether the run without further edits is off there."""
        return largest(np.abs(self.first.off_with(()))) > SLACK

    @cached_property
    def causal(self) -> tuple[str, ...]:
        """EXPECTED's arrays whose steps need only those before."""
        of_steps = []
        for name, one in self.expected.arrays.items():
            if one.values.ndim == 3:
                of_steps.append(name)
        if runs_forward(self.model):
            return tuple(of_steps)
        behaviours = [cell.behaviour for _, cell in self.model.cells]
        starts_last = any(one.reverse or one.go_backwards for one in behaviours)
        if len(self.model.layers) > 1 or starts_last:
            return ()
        return tuple(n for n in of_steps if ArrayName.of(n).prefix == "layer0")

    @cached_property
    def first_off(self) -> int | None:
        """The first step at which the run without further edits is off."""
        return self.first_wrong(())

    def first_wrong(self, edits: Sequence[Edit]) -> int | None:
        """The first step at which a run is off, unless steps need later ones."""
        given, rounding = self.base, self.rounding
        if edits:
            given = self.run(edits)
            rounding = self._rounding_of(edits, given)
        first: list[int] = []
        for name in self.causal:
            known, array = self.expected.arrays[name], given.get(name, np.zeros(0))
            if array.shape != known.values.shape:
                continue
            allowed = self._allowed(rounding, name, known)
            if largest(rounding.get(name, np.zeros(0))) > ROUNDING:
                allowed = SLACK * allowed  # that of another program grows otherwise
            is_off = np.abs(array - known.values) > allowed
            first.extend(np.flatnonzero(is_off.any(axis=(1, 2)))[:1].tolist())
        return min(first, default=None)

    def steps_after_first(self, count: int) -> int | None:
        """The end of some steps from the first that is off; None: of all steps."""
        if self.first_off is None:
            return None
        return min(self.first_off + count, self.steps)


def _case_of_outputs(
    case: Case, location: Location, edits: Sequence[Edit]
) -> Case | None:
    """How EXPECTED is compared with edited outputs, which are no last state."""
    known = case.expected.arrays
    if location.are_gates and edits[0].kind.takes == "z":
        gates = [known[gate] for gate in location.arrays[0].arrays]
        values = np.concatenate([gate.values for gate in gates], axis=-1)
        half = np.concatenate([gate.half for gate in gates], axis=-1)
    elif case.expected.is_of_head or not _has_last_state(case.expected):
        return case
    elif location.state != "the last h" or case.data.is_padded:
        return None
    else:
        (last,) = known.values()
        before = ((case.size[0] - 1, 0), (0, 0), (0, 0))
        values = np.pad(last.values[None], before, constant_values=np.nan)
        half = np.pad(last.half[None], before)
    return replace(case, expected=Expected({"h": KnownValues(values, half)}))


def _has_last_state(expected: Expected) -> bool:
    return any(ArrayName.of(name).kind == FINAL for name in expected.arrays)


def _case_of_head(case: Case, model: Model, edits: Sequence[Edit]) -> Case | None:
    """How EXPECTED is compared with y, or with one y a sequence if it has one step."""
    try:
        head = edited_model(replace(model, edits=tuple(edits))).head
    except UserError:
        return None
    assert head is not None
    known = case.expected.arrays.get(Y)
    if known is None or head.output == Y:
        return case
    steps = np.flatnonzero(np.isfinite(known.values).any(axis=(1, 2)))
    if len(steps) != 1:
        return None
    return replace(case, expected=Expected({head.output: known[int(steps[0])]}))
