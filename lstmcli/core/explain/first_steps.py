"""The first step of each direction by itself, under edits: nearly all wrong ones fail there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli.core.explain.observation import KnownValues
from lstmcli.core.forward.equations import F, is_eight_bit, next_state, parts_of
from lstmcli.core.forward.head import head_output
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import runs_forward
from lstmcli.core.forward.sequence import edited_outputs
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Edit, edits_in
from lstmcli.core.model.model import Cell
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError

if TYPE_CHECKING:
    from lstmcli.core.explain.edited_runs import EditedRuns

# work of a first step by itself, of a weight, and of reading edited tensors
FIRST_STEP, PACKING_FIRST, READING = 700, 0.02, 5e3

Step = Callable[..., tuple[Array, Array]]
"""From x (R, I), h (R, P) and c (R, H) to the next h and c."""


class KnownCell(NamedTuple):
    """A cell of the last layer whose h EXPECTED has, in its order of steps."""

    name: str  # "" of a single cell
    cell: Cell
    advance: Step
    h: Array  # (T, B, P)
    allowed: Array  # (B, P): the tolerances of the first step
    x: Array  # (T, B, I): of the model
    start: tuple[Array, Array]
    runs_back: bool  # it takes the last step first


class FirstSteps:
    """The first step of each known cell, and of the head, compared with EXPECTED."""

    def __init__(self, runs: EditedRuns) -> None:
        self._runs = runs

    @cached_property
    def known_cells(self) -> list[KnownCell]:
        """The cells of the last layer whose steps EXPECTED has; none if one is not known."""
        runs = self._runs
        last = runs.model.layers[-1]
        is_upper = len(runs.model.layers) > 1
        if "array" in runs.settings or any(map(is_eight_bit, last)):
            return []
        if is_upper and not runs_forward(runs.model):
            return []
        plan = runs.prepared(())
        if plan.valid is not None:
            return []
        found: list[KnownCell] = []
        for direction in range(len(last)):
            known = self._known_cell(plan, direction)
            if known is None:
                return []
            found.append(known)
        return found

    def _known_cell(self, plan: Plan, direction: int) -> KnownCell | None:
        """A direction of the last layer; None: EXPECTED does not have its steps."""
        runs = self._runs
        count = len(runs.model.layers[-1])
        name, cell = plan.model.cells[direction - count]
        is_single = len(plan.model.cells) == 1
        known = runs.expected.arrays.get("h" if is_single else f"{name}.h")
        if known is None:
            return None
        order = StepOrder.of_cell(cell.behaviour, direction == 1)
        reads, shown = (steps[:, 0] for steps in processed_steps(order, plan.steps))
        return KnownCell(
            "" if is_single else name,
            cell,
            stepper(cell),
            h=known.values[shown],
            allowed=runs.placement.allowance.of(known[shown[0]]),
            x=plan.block()[reads],
            start=plan.states[direction - count],
            runs_back=order.runs_back,
        )

    @cached_property
    def _known_output(self) -> KnownValues | None:
        """y of the first step, where EXPECTED has it and no cell needs later steps."""
        runs = self._runs
        known = runs.expected.arrays.get(Y)
        if known is None or runs.plan.valid is not None:
            return None
        return known[0] if runs_forward(runs.model) else None

    def off_with(self, edits: Sequence[Edit]) -> Array:
        """How far off the first step of each direction is, in tolerances."""
        runs = self._runs
        work = FIRST_STEP * (1 + len(runs.model.cells)) + PACKING_FIRST * runs.weights
        if edits_in("tensors", edits):
            work += READING
        runs.work.add(work)
        each = [np.zeros(0)]
        try:
            plan = runs.prepared(edits)
            for direction, known in enumerate(self.known_cells):
                h = _first_h(plan, direction, known.runs_back)
                each.append(_off(h, known.h[0], known.allowed))
            if self._known_output is not None:
                each.append(self._off_output(plan, self._known_output))
        except (UserError, ValueError, KeyError):  # another width, or z as h
            return np.full(self._count, np.inf)
        return np.nan_to_num(np.concatenate(each), nan=np.inf, posinf=np.inf)

    def _off_output(self, plan: Plan, first: KnownValues) -> Array:
        """How far off y of the first step is; infinite without a head."""
        if plan.head is None:
            return np.full(np.isfinite(first.values).sum(), np.inf)
        y = head_output(plan.head, _first_h(plan))
        return _off(y, first.values, self._runs.placement.allowance.of(first))

    @cached_property
    def _count(self) -> int:
        """How many numbers of first steps are known."""
        known = [one.h[0] for one in self.known_cells]
        if self._known_output is not None:
            known.append(self._known_output.values)
        return sum(int(np.isfinite(one).sum()) for one in known)


def _off(given: Array, wanted: Array, allowed: Array) -> Array:
    off: Array = ((given - wanted) / allowed)[np.isfinite(wanted)]
    return off


def _first_h(plan: Plan, direction: int = 0, runs_back: bool = False) -> Array:
    """The h (B, P) of the last layer at the first step of a direction."""
    h = plan.block()[-1 if runs_back else 0]
    for n, layer in enumerate(plan.model.layers):
        cell, state = layer[direction], plan.states[n * len(layer) + direction]
        new = {"h": stepper(cell)(h, *state)[0][None]}
        h = edited_outputs(cell, h[None], new)["h"][0]
    return np.asarray(h)


def stepper(cell: Cell) -> Step:
    """The step of a cell; something may be added to its pre-activations (4, H, R)."""
    parts, bias = parts_of(cell), cell.bias.copy()
    bias[F] += cell.dtype.type(cell.behaviour.forget_bias)
    if cell.norm_scale is not None:
        bias[:] = 0

    def advance(x: Array, h: Array, c: Array, added: Any = 0.0) -> tuple[Array, Array]:
        z = cell.kernel @ x.T + cell.recurrent_kernel @ h.T + bias[:, :, None] + added
        new_h, new_c = next_state(z, h.T, c.T, parts, cell.recurrent_kernel)
        return new_h.T, new_c.T

    return advance
