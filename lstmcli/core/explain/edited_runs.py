"""Runs of a placement with edits, compared with EXPECTED.

Only a full run accepts a variant. A causal one first goes up to the step
at which the run as loaded is off first, where nearly all variants fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import FINAL, ArrayName
from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.causes import Change, Changes, settings_of
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.observation import Allowance, Arrays, Expected, KnownValues
from lstmcli.core.explain.verify import (
    COARSE,
    FINE,
    OTHERS,
    ROUNDING,
    SOME,
    Agreement,
    Case,
    arrays_if_run,
    compared,
    drift_of,
    on_axes,
    verify,
    widened,
)
from lstmcli.core.forward.equations import F, is_eight_bit, parts_of, step
from lstmcli.core.forward.head import head_output
from lstmcli.core.forward.plan import Plan, plan_of
from lstmcli.core.forward.prepare import edited_model, with_edits
from lstmcli.core.forward.run import run_in_memory, runs_forward
from lstmcli.core.forward.sequence import edited_outputs
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.edits import Edit
from lstmcli.core.model.model import Cell
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError

LEAST_BITS = 24.0  # of evidence, beyond what was chosen and solved for
MORE_NUMBERS = 3  # that an edit explains than were solved for
SLACK = 4.0  # tolerances by which a first step may be off
MOST_BITS = 40.0  # of one number: log2 of how far off it was
# work of a cell before its steps, and of a weight
PREPARING, PACKING = 5e3, 0.13
STEP, SEQUENCE = 150, 20  # of a step, and of one sequence in it
# of a first step by itself, and of a weight
FIRST_STEP, PACKING_FIRST = 700, 0.02
LATE = 8  # steps after a wrong input, at which the run is off at last
SOLVING_STEPS = 8  # from the first that is off, to solve for a number
SOLVED_STEPS = 3  # from there on, which solved numbers have to give
SOLVED_WITHIN = 4.0  # tolerances: several solved numbers take rounding on
NEARLY = 1e3  # tolerances by which a number of one step may be off at the next
LESS = 0.1  # of the misfit, that the nearest number may leave
STARTED = 2  # of the nearest numbers, where Gauss-Newton begins
ITERATIONS = 25  # of Gauss-Newton, 12 where each is a run
HALFWAY = 0.4, 0.2  # of them, and the misfit that may be left then
DECIMALS = 8  # of a solved number, at most; then it has nine digits
# of a derivative, by which the bounds of a solved number are extrapolated
STRIDES = 1e5


class Variant(NamedTuple):
    """Edits that may give EXPECTED."""

    edits: tuple[Edit, ...]
    solved: int = 0  # numbers that were taken from EXPECTED


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


class NamedEdits(NamedTuple):
    """Edits that give EXPECTED, and the changes of settings next to them."""

    runs: EditedRuns
    variant: Variant
    agreement: Agreement
    bits: float


@dataclass(eq=False)
class EditedRuns:
    """The runs of a placement with edits, next to EXPECTED."""

    case: Case
    allowance: Allowance
    location: Location
    of_run: Changes  # those of the placement
    changes: Changes = ()  # those next to edits

    def __post_init__(self) -> None:
        self.expected, self.work = self.case.expected, self.case.work.edits
        self.steps = self.case.size[0]
        self._settings = settings_of((*self.of_run, *self.changes))
        self.model = self.case.model({**self._settings, **FINE})
        self._numbers = sum(
            c.kernel.size + c.recurrent_kernel.size for _, c in self.model.cells
        )

    def run(self, edits: Sequence[Edit], until: int | None = None) -> Arrays:
        """The arrays of a run or its first steps; none if the edits do not fit."""
        keep = (self.case_for(edits) or self.case).names(self._settings)
        try:
            plan = replace(self._prepared(edits), keep=keep)
            plan = plan if until is None else plan.until(min(until, plan.steps))
            given = run_in_memory(plan)
        except UserError:
            return {}
        work = PREPARING + plan.steps * (STEP + SEQUENCE * plan.batch)
        self.work.add(len(plan.model.cells) * work + PACKING * self._numbers)
        steps = self.steps if until is None else until
        return on_axes(given, self._settings.get("array", "h"), steps)

    @cached_property
    def _plan(self) -> Plan:
        case = self.case
        return plan_of(
            self.model, case.inputs(self._settings), case.names(self._settings)
        )

    def _prepared(self, edits: Sequence[Edit]) -> Plan:
        every = (*self.model.edits, *edits)
        model = replace(self.model, edits=every)
        if edits_in("tensors", edits):
            model = self.case.model({**self._settings, **FINE, "edits": every})
        return with_edits(replace(self._plan, model=model))

    def elsewhere(self) -> EditedRuns:
        """The same over other inputs, of twice as many steps."""
        x, indices = np.asarray(self.case.data.x), self.case.data.indices
        axis = 1 if self.case.layout == "batch" else 0
        if indices is not None and self.model.front is not None:
            others = np.concatenate([np.flip(indices, axis), indices], axis)
            under = {"x": self.model.front.of(others), "indices": others}
            return replace(self, case=self.case.under(**under))
        others = 1.5 * np.concatenate([np.flip(x, axis), -x], axis) + 0.3
        return replace(self, case=self.case.under(x=others))

    def case_for(self, edits: Sequence[Edit]) -> Case | None:
        """How EXPECTED is compared; an edited output is no last state."""
        if edits_in("head", edits):
            return self._case_of_head(edits)
        if not edits_in("outputs", edits):
            return self.case
        known, location = self.expected.arrays, self.location
        if location.are_gates and edits[0].kind.takes == "z":
            gates = [
                (known[gate].values, known[gate].half)
                for gate in location.arrays[0].arrays
            ]
            values, half = np.concatenate(gates, axis=-1)
        elif self.is_of_head or not any(
            ArrayName.of(name).kind == FINAL for name in known
        ):
            return self.case
        elif location.state != "the last h" or self.case.data.is_padded:
            return None
        else:
            (last,), before = known.values(), ((self.steps - 1, 0), (0, 0), (0, 0))
            values = np.pad(last.values[None], before, constant_values=np.nan)
            half = np.pad(last.half[None], before)
        return replace(self.case, expected=Expected({"h": KnownValues(values, half)}))

    def _case_of_head(self, edits: Sequence[Edit]) -> Case | None:
        """How EXPECTED is compared with y, or with one y a sequence if it has one step."""
        try:
            head = edited_model(replace(self.model, edits=tuple(edits))).head
        except UserError:
            return None
        assert head is not None
        known = self.expected.arrays.get(Y)
        if known is None or head.output == Y:
            return self.case
        shown = np.isfinite(known.values).any(axis=(1, 2))
        if shown.sum() != 1:
            return None
        expected = Expected({head.output: known[int(shown.argmax())]})
        return replace(self.case, expected=expected)

    def off_with(self, edits: Sequence[Edit], until: int | None = None) -> Array:
        """How far off a run with edits is, or its first steps."""
        return self.off(self.run(edits, until), edits, until)

    def off(
        self,
        given: Arrays,
        edits: Sequence[Edit] = (),
        until: int | None = None,
    ) -> Array:
        """A run less EXPECTED, in tolerances; infinite where it has no number."""
        case = self.case_for(edits) or self.case
        in_order = self._causal if case is self.case else ("h",)  # of an edited output
        known = case.expected.arrays.items()
        parts = {n: one[:until] for n, one in known if until is None or n in in_order}

        def off(name: str, part: KnownValues) -> Any:
            of_run = given.get(name, np.zeros(0))
            is_there = of_run.shape == part.values.shape
            differences = (of_run if is_there else np.inf) - part.values
            return differences / self._allowed(self._rounding, name, part)

        at_known = Expected(parts).at_known(off)
        return np.nan_to_num(at_known, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    @cached_property
    def known_cells(self) -> list[KnownCell]:
        """The cells of the last layer whose steps EXPECTED has."""
        plan, (*lower, last) = self._prepared(()), self.model.layers
        found = list[KnownCell]()
        cells = plan.model.cells
        can_step = "array" not in self._settings and (
            not lower or runs_forward(self.model)
        )
        if plan.valid is not None or not can_step or any(map(is_eight_bit, last)):
            return found
        x, states = plan.block(), plan.states[-len(last) :]
        for d, (name, cell) in enumerate(cells[-len(last) :]):
            known = self.expected.arrays.get(f"{name}.h" if cells[1:] else "h")
            if known is None:
                return []
            order = StepOrder.of_cell(cell.behaviour, d == 1)
            reads, shown = (steps[:, 0] for steps in processed_steps(order, plan.steps))
            found.append(
                KnownCell(
                    name if cells[1:] else "",
                    cell,
                    stepper(cell),
                    h=known.values[shown],
                    allowed=self.allowance.of(known[shown[0]]),
                    x=x[reads],
                    start=states[d],
                    runs_back=order.runs_back,
                )
            )
        return found

    def off_at_first(self, edits: Sequence[Edit]) -> Array:
        """How far off the first step of each direction is, in tolerances."""
        of_tensors = PREPARING * bool(edits_in("tensors", edits))
        work = FIRST_STEP * (1 + len(self.model.cells)) + PACKING_FIRST * self._numbers
        self.work.add(work + of_tensors)
        off = [np.full(np.isfinite(one.h[0]).sum(), np.inf) for one in self.known_cells]
        first = self._first_output
        if first is not None:
            off.append(np.full(np.isfinite(first.values).sum(), np.inf))
        with suppress(UserError, ValueError, KeyError):  # another width, or z as h
            plan = self._prepared(edits)
            for d, known in enumerate(self.known_cells):
                h = _first_h(plan, d, known.runs_back)
                off[d] = ((h - known.h[0]) / known.allowed)[np.isfinite(known.h[0])]
            if first is not None and plan.head is not None:
                y = head_output(plan.head, _first_h(plan))
                share = (y - first.values) / self.allowance.of(first)
                off[-1] = share[np.isfinite(first.values)]
        every: Array = np.concatenate([np.zeros(0), *off])
        return np.nan_to_num(every, nan=np.inf, posinf=np.inf)

    @property
    def is_of_head(self) -> bool:
        """Tell whether EXPECTED is what the head makes."""
        return self.expected.is_of_head

    @cached_property
    def _first_output(self) -> KnownValues | None:
        """y of the first step, where EXPECTED has it and no cell needs later steps."""
        known = self.expected.arrays.get(Y)
        if known is None or self._plan.valid is not None:
            return None
        return known[0] if runs_forward(self.model) else None

    @cached_property
    def is_off_at_first(self) -> bool:
        """Tell whether the run without further edits is off there."""
        return largest(np.abs(self.off_at_first(()))) > SLACK

    @cached_property
    def base(self) -> Arrays:
        """The run without further edits."""
        return self.run(())

    def _in_float32(self, case: Case, edits: Sequence[Edit]) -> Arrays:
        every = (*self.model.edits, *edits)
        return arrays_if_run(case, {**self._settings, **COARSE, "edits": every})

    @cached_property
    def _rounding(self) -> Arrays:
        """The rounding of the run without further edits."""
        return self._rounding_of((), self.base)

    def _rounding_of(self, edits: Sequence[Edit], given: Arrays) -> Arrays:
        """By array, how far a run is from one in float32; none where EXPECTED is more exact."""
        coarse = self._in_float32(self.case, edits)
        is_in_both = self.expected.is_in(given) and self.expected.is_in(coarse)
        if not is_in_both or self.allowance.absolute < ROUNDING / 2:
            return {}
        return drift_of(given, coarse, self.expected, self.model.backward)

    def _allowed(self, rounding: Arrays, name: str, known: KnownValues) -> Array:
        """The tolerances of an array's first steps; infinite where rounding may be all."""
        allowed = self.allowance.of(known)
        grown = rounding.get(name, np.zeros((1, 1)))[: len(known.values)]
        if largest(grown) <= ROUNDING / OTHERS:
            return allowed
        wider, is_blind = widened(grown, known.values)
        return np.where(is_blind, np.inf, allowed + wider)

    @cached_property
    def _causal(self) -> tuple[str, ...]:
        """EXPECTED's arrays whose steps need only those before."""
        names = [n for n, one in self.expected.arrays.items() if one.values.ndim == 3]
        if runs_forward(self.model):
            return tuple(names)
        behaviours = [cell.behaviour for _, cell in self.model.cells]
        if len(self.model.layers) > 1 or any(
            b.reverse or b.go_backwards for b in behaviours
        ):
            return ()
        return tuple(n for n in names if ArrayName.of(n).prefix == "layer0")

    @cached_property
    def first_off(self) -> int | None:
        """The first step at which the run without further edits is off."""
        return self.first_wrong(())

    @cached_property
    def input_steps(self) -> Sequence[int]:
        """The steps of the inputs of which one may be wrong, if one alone is."""
        if self.is_off_at_first:
            firsts = {-one.runs_back % self.steps for one in self.known_cells}
            return sorted(firsts) or [0]
        if self.first_off is None:
            return range(self.steps)
        return range(max(0, self.first_off - LATE), self.first_off + 1)

    def first_wrong(self, edits: Sequence[Edit]) -> int | None:
        """The first step at which a run is off, unless steps need later ones."""
        given, rounding = self.base, self._rounding
        if edits:
            given = self.run(edits)
            rounding = self._rounding_of(edits, given)
        first: list[int] = []
        for name in self._causal:
            known, array = self.expected.arrays[name], given.get(name, np.zeros(0))
            if array.shape == known.values.shape:
                allowed = self._allowed(rounding, name, known)
                if largest(rounding.get(name, np.zeros(0))) > ROUNDING:
                    allowed = SLACK * allowed  # that of another program grows otherwise
                is_off = np.abs(array - known.values) > allowed
                first += np.flatnonzero(is_off.any(axis=(1, 2)))[:1].tolist()
        return min(first, default=None)

    def fits(self, variant: Variant) -> Agreement | None:
        """How a variant compares with EXPECTED, if it meets every known number."""
        case = self.case_for(variant.edits)
        if case is None:
            return None
        self.case.work.variants += 1
        edits, allowance = variant.edits, self.allowance
        of_outputs = edits_in("outputs", edits)
        # first steps alone have other statistics
        by_first = not any(edit.kind.of_sequence for edit in of_outputs)
        if edits_in("head", edits):  # which need other steps, or are no steps
            by_first = False
        if by_first and self._is_off_early(variant):
            return None
        was_off = np.abs(self.off(self.base, edits)) > SLACK
        is_right = np.abs(self.off_with(edits))[was_off] <= SLACK
        if is_right.sum() < SOME * was_off.sum():  # no rounding, however it grows
            return None
        if variant.solved > 1:
            allowance = allowance.times(SOLVED_WITHIN)
        every = Change("edits", (*self.model.edits, *edits))
        agreement = verify(case, (*self.of_run, *self.changes, every), allowance)
        if not agreement.fits and allowance.absolute >= ROUNDING / 2:
            # tables jump with rounding, and so at the same numbers in the same rounding
            agreement = compared(
                self._in_float32(case, edits), case.expected, allowance
            )
        return agreement if agreement.fits else None

    def _is_off_early(self, variant: Variant) -> bool:
        """Tell whether a variant is off at the first steps, or the first that are off."""
        edits = variant.edits
        if self.is_off_at_first and largest(np.abs(self.off_at_first(edits))) > SLACK:
            return True
        if self.first_off is None:
            return False
        # solved numbers fit there by construction
        until = self._steps_after_first(SOLVED_STEPS if variant.solved else 1)
        return largest(np.abs(self.off_with(edits, until))) > SLACK

    def proved(self, variant: Variant) -> NamedEdits | None:
        """A variant that fits, if its bits are enough."""
        agreement = self.fits(variant)
        if agreement is None:
            return None
        offs = [self.off(self.base, variant.edits)] if variant.edits else []
        if self.changes:
            offs.append(replace(self, changes=()).off_with(variant.edits))
        seen = agreement.total / (agreement.total + agreement.blind)
        bits = [self.bits(off, variant.solved, seen) for off in offs]
        return NamedEdits(self, variant, agreement, min(bits)) if all(bits) else None

    def bits(self, off: Array, solved: int, seen: float = 1.0) -> float:
        """The bits of evidence; 0 if these, or their numbers, are too few.

        ``seen`` is the share of numbers that could be compared.

        Each of EXPECTED's numbers counts by how far off the run as loaded is. Solved numbers
        account for as many, those furthest off; the choice of a variant costs its bits.
        """
        size = np.minimum(np.log2(np.maximum(np.abs(off), 1)), MOST_BITS)
        share = min(seen, self.expected.distinct(self.allowance) / max(1, off.size))
        counted = np.sort(size)[: max(0, len(size) - solved)]
        bits = float(counted.sum()) * share - math.log2(max(2, self.case.work.variants))
        is_shown = int((size > 0).sum() * share) >= solved + MORE_NUMBERS
        return bits if bits >= LEAST_BITS and is_shown else 0.0

    def solved_number(
        self, edit: Callable[[float], Edit], starts: Sequence[float]
    ) -> Any:
        """The nearest number of an edit, with the fewest decimals."""
        until = self._steps_after_first(SOLVING_STEPS)
        base = largest(np.abs(self.off(self.base, (edit(starts[0]),), until)))
        nearly = max(SLACK, min(NEARLY, LESS * base))
        ways = [self.off_at_first] * self.is_off_at_first
        for way in (*ways, partial(self.off_with, until=until)):

            def off(numbers: Array, way: Any = way) -> Array:
                return np.array(
                    [way((edit(number),)) for number in numbers[:, 0].tolist()]
                )

            every = np.unique(starts)[:, None]
            costs = np.nan_to_num((off(every) ** 2).sum(axis=1), nan=np.inf)
            solved = (
                gauss_newton(off, every[[n]], 12) for n in np.argsort(costs)[:STARTED]
            )
            p, rest = min(solved, key=lambda one: np.abs(one[1]).max())
            if np.abs(rest).max() > nearly:
                return None
            number = p.item()
            starts = (number,)
        return self._shortest(edit, number)

    def _shortest(self, edit: Callable[[float], Edit], number: float) -> float:
        """The number of fewest decimals, near one, with which all of EXPECTED is met.

        Each of its numbers bounds it: the nearest by least squares need not be within.
        """

        def off(number: float) -> Array:
            return self.off_with((edit(number),))

        stride = 1e-6 * max(1.0, abs(number))
        at = off(number)
        slopes = (off(number + stride) - at) / stride
        shown = np.abs(slopes) > 0
        ends = number + (np.array([[-1.0], [1.0]]) - at[shown]) / slopes[shown]
        low = float(ends.min(axis=0).max(initial=-np.inf))
        high = float(ends.max(axis=0).min(initial=np.inf))
        middle = (low + high) / 2
        if not abs(middle - number) <= STRIDES * stride:  # or it is infinite
            middle = number
        for short in (round(middle, decimals) for decimals in range(DECIMALS)):
            if low <= short <= high and largest(np.abs(off(short))) <= 1:
                return short + 0.0  # no -0
        return float(f"{middle:.9g}")

    def refined(self, edit: Edit) -> Edit | None:
        """An edit with the nearest number in the last place, if any is near."""
        *place, number = edit.value
        if largest(np.abs(self.off_with((edit,), self._steps_after_first(2)))) > NEARLY:
            return None
        solved = self.solved_number(
            lambda a: replace(edit, value=(*place, a)), [number]
        )
        return edit if solved is None else replace(edit, value=(*place, solved))

    def _steps_after_first(self, count: int) -> int | None:
        return (
            None if self.first_off is None else min(self.first_off + count, self.steps)
        )


def _first_h(plan: Plan, direction: int = 0, runs_back: bool = False) -> Array:
    """The h (B, P) of the last layer at the first step of a direction."""
    h = plan.block()[-runs_back]
    for n, layer in enumerate(plan.model.layers):
        cell, state = layer[direction], plan.states[n * len(layer) + direction]
        new = {"h": stepper(cell)(h, *state)[0][None]}
        h = edited_outputs(cell, h[None], new)["h"][0]
    return np.asarray(h)


Step = Callable[..., tuple[Array, Array]]
"""From x (R, I), h (R, P) and c (R, H) to the next h and c."""


def stepper(cell: Cell) -> Step:
    """The step of a cell; something may be added to its pre-activations (4, H, R)."""
    parts, bias = parts_of(cell), cell.bias.copy()
    bias[F] += cell.dtype.type(cell.behaviour.forget_bias)
    if cell.norm_scale is not None:
        bias[:] = 0

    def advance(x: Array, h: Array, c: Array, added: Any = 0.0) -> tuple[Array, Array]:
        z = cell.kernel @ x.T + cell.recurrent_kernel @ h.T + bias[:, :, None] + added
        new = step(z, c.T, parts)
        new_h, new_c = parts.kept(*new, h.T, c.T) if parts.kept else new
        return new_h.T, new_c.T

    return advance


def gauss_newton(
    residual: Callable[[Array], Array],
    start: Array,
    iterations: int = ITERATIONS,
) -> tuple[Array, Array]:
    """Parameters (B, N) of independent problems, and what is left (B, M); damped.

    ``residual`` takes (B n, N), n sets in a row for each problem, and gives (B n, M).
    """
    p, (B, N) = start.copy(), start.shape
    damping, r, better = np.full(B, 1e-6), residual(p), np.ones(B, bool)
    first = float((r**2).sum())
    shorter = 0.5 * (N == 1)  # a stride along one number
    for n in range(iterations):
        if better.any():
            d = 1e-7 * np.maximum(1, np.abs(p))
            moved = (p[:, None] + np.eye(N) * d[:, None]).reshape(B * N, N)
            J = (residual(moved).reshape(B, N, -1) - r[:, None]) / d[
                ..., None
            ]  # (B, N, M)
            if not np.isfinite(J).all():
                break
            # normal equations would square it; LAPACK has no long double
            U, S, V = np.linalg.svd(J.astype(np.float64), full_matrices=False)
            mean = (S**2).mean(axis=1, keepdims=True)
        along = (
            np.einsum("bkm,bm->bk", V, r)
            * S
            / (S**2 + damping[:, None] * mean + 1e-300)
        )
        stride = np.einsum("bnk,bk->bn", U, along)
        new = residual(p - stride)
        better = (new**2).sum(axis=1) < (r**2).sum(axis=1)
        p[better] -= stride[better]
        r[better] = new[better]
        damping = np.where(
            better, damping * 0.1, np.maximum(damping * 20, shorter)
        ).clip(1e-14)
        if n >= HALFWAY[0] * iterations and (r**2).sum() > HALFWAY[1] * first:
            break
        is_done = (np.abs(stride) < 1e-10 * np.maximum(1, np.abs(p))).all(axis=1)
        if np.abs(r).max() < 1e-13 or (is_done | (damping > 1e4)).all():
            break
    return p, r
