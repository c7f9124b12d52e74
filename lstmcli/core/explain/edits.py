"""Which edit gives EXPECTED, where no setting does: the pass after those of the settings.

Steps at which the state begins anew first, then the table, numbers that are solved for, what
EXPECTED itself proposes, and one edit next to one change of a setting last. The first stage with
an answer ends the search.

Where every h of a cell is known, h before a step is known too. So the inputs of each step, the
start state, and what one unit's pre-activation must have been can be solved for; a dense layer or a
dropout of h follows from h as loaded. Each is only a proposal, which a full run has to confirm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, combinations, product
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget, WorkDone
from lstmcli.core.explain.causes import KNOWN_ORDERS, Change, Changes, settings_of
from lstmcli.core.explain.edited_runs import (
    ITERATIONS,
    EditedRuns,
    Step,
    Variant,
    gauss_newton,
    stepper,
)
from lstmcli.core.explain.explanation import Changed, edits_changed, plain_of
from lstmcli.core.explain.verify import Agreement
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import EDITS, Edit
from lstmcli.core.model.model import Cell
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError

SOLVING = 40.0  # the work of a start state, per sequence and cube of its numbers
WITHIN = 2.0  # tolerances, or the next number, by which what is solved for may miss EXPECTED
LEAST = 1e-5
SHORT = 8  # steps that show a start state, or an order of features
MOST_EXCHANGED = 16_000  # units of all exchanges of two features that are tried at once
MOST_STATE = 48  # numbers of a state that are solved for
SMALL = 1e-4  # a number that counts as 0, or as another, in a relation
ALIKE = 1e-2  # of a number, by which those that EXPECTED implies for it may differ
DAMAGED_UNITS = 3  # at most, where a damaged row is looked for
FAR = 40.0  # a pre-activation beyond which a gate does not change
HALVINGS = 60
MASK_BITS = 30  # numbers of a mask that count as one that is solved for


class KnownCell(NamedTuple):
    """A cell of a single layer of which EXPECTED has every h, in the order of its steps."""

    name: str  # "" of a single cell
    cell: Cell
    h: Array  # (T, B, P)
    x: Array  # (T, B, I)
    reads: Array  # (T,): the step of the inputs
    start: tuple[Array, Array]


def known_cells(runs: EditedRuns) -> Iterator[KnownCell]:
    """The cells of which every h is known."""
    case = runs.case
    plan = prepare(runs.model, case.inputs(settings_of(runs.of_run)), ("h",))
    several = len(plan.model.cells) > 1
    if len(plan.model.layers) > 1 or plan.valid is not None or "array" in settings_of(runs.of_run):
        return
    x = plan.block().astype(np.float64)
    for d, (name, cell) in enumerate(plan.model.cells):
        known = case.expected.arrays.get(f"{name}.h" if several else "h")
        if known is None or not np.isfinite(known.values).all() or known.values.ndim < 3:
            continue
        if cell.convention.behaviour.state == "reset":
            continue
        order = StepOrder.of_cell(cell.convention.behaviour, d == 1)
        reads, shown = (steps[:, 0] for steps in processed_steps(order, plan.steps))
        h = known.values[shown]
        yield KnownCell(name * several, cell, h, x[reads], reads, plan.states[d])


def _tolerance(runs: EditedRuns) -> float:
    """By how much what is solved for may miss EXPECTED."""
    allowed = (np.nanmax(runs.allowance.of(k)) for k in runs.case.expected.arrays.values())
    return max(LEAST, WITHIN * max(map(float, allowed)))


# ---- inputs


def inputs(runs: EditedRuns) -> Iterator[Variant]:
    """Other inputs: as they relate to those that are given, or as they are."""
    for known in known_cells(runs):
        if known.name:
            return
        order = _order_of_features(known, runs.case.work)
        yield Variant((Edit("inputs.features", order),))
        if known.cell.outputs < known.cell.inputs:
            return
        solved = _solved_inputs(known, _tolerance(runs))
        if solved is not None:
            yield from _related(known, solved)


def _order_of_features(known: KnownCell, work: WorkDone) -> tuple[int, ...]:
    """The order of the features whose first steps come nearest, by one exchange after another."""
    advance, batch = stepper(known.cell), known.x.shape[1]

    def cost(orders: Array) -> Array:
        h, c = (np.tile(one, (len(orders), 1)) for one in known.start)
        total = np.zeros(len(orders))
        for x, wanted in zip(known.x[:SHORT], known.h[:SHORT], strict=True):
            rows = x[:, orders].swapaxes(0, 1).reshape(-1, x.shape[1])
            h, c = advance(rows, h, c)
            work.add_edited(len(rows) * known.cell.units)
            off = h - np.tile(wanted, (len(orders), 1))
            total += np.square(off).reshape(len(orders), -1).sum(axis=1)
            h = h - off
        return total

    order = np.arange(known.cell.inputs)
    pairs = np.array([*combinations(order, 2)], int).reshape(-1, 2)
    least = float(cost(order[None])[0])
    while 0 < len(pairs) * batch * known.cell.units <= MOST_EXCHANGED:
        orders = np.tile(order, (len(pairs), 1))
        np.put_along_axis(orders, pairs, order[pairs[:, ::-1]], axis=1)
        costs = cost(orders)
        if costs.min() >= least:
            break
        order, least = orders[costs.argmin()], float(costs.min())
    return tuple(order.tolist())


def _solved_inputs(known: KnownCell, tolerance: float) -> Array | None:
    """The inputs (T, B, I) that each step must have had; None where there are none."""
    advance, (h, c), found = stepper(known.cell), known.start, []
    for x, wanted in zip(known.x, known.h, strict=True):

        def residual(p: Array, h: Array = h, c: Array = c, wanted: Array = wanted) -> Array:
            n = len(p) // len(h)
            off, _ = advance(p, np.repeat(h, n, axis=0), np.repeat(c, n, axis=0))
            off -= np.repeat(wanted, n, axis=0)
            return off

        for start in (x, np.zeros_like(x)):
            p, rest = gauss_newton(residual, start)
            if np.abs(rest).max() <= tolerance:
                break
        else:
            return None
        found.append(p)
        _, c = advance(p, h, c)
        h = wanted
    return np.array(found)


def _related(known: KnownCell, solved: Array) -> Iterator[Variant]:
    """The edits that give inputs (T, B, I) in the order of the steps from those given."""
    T, B, count = solved.shape
    given, wanted = known.x.reshape(T * B, count), solved.reshape(T * B, count)
    near: Array = np.abs(solved[:, None] - known.x[None]).max(axis=(2, 3)).argmin(axis=1)
    moved = np.flatnonzero(near != np.arange(T))
    if len(moved) == 1:
        steps = int(known.reads[moved[0]]), int(known.reads[near[moved[0]]])
        yield Variant((Edit("inputs.step", steps),))
    if len(given) > 3:
        yield from _affine(given, wanted)
    back = np.argsort(known.reads)
    changed = int((np.abs(solved - known.x) > SMALL).sum())
    yield Variant((Edit("inputs.array", {"x": solved[back]}, file="inputs.npz"),), changed)


def _affine(given: Array, wanted: Array) -> Iterator[Variant]:
    """A factor and an offset for each feature, or the same one for all."""
    off = given - given.mean(axis=0)
    factors = (off * wanted).sum(axis=0) / (off * off).sum(axis=0)
    each = factors, wanted.mean(axis=0) - factors * given.mean(axis=0)
    for digits in (3, 6, 9):
        edits = []
        for name, numbers in zip(("inputs.factor", "inputs.offset"), each, strict=True):
            nothing = float(EDITS[name].solved or 0)
            near = np.where(np.abs(numbers - nothing) < SMALL, nothing, numbers).tolist()
            value = tuple(float(f"{v:.{digits}g}") for v in near)
            if {*value} != {nothing}:
                edits.append(Edit(name, value if len({*value}) > 1 else value[:1]))
        solved = sum(v != edit.kind.solved for edit in edits for v in edit.value)
        yield Variant(tuple(edits), solved)


# ---- the start state


def state(runs: EditedRuns) -> Iterator[Variant]:
    """Another initial state of a single cell, which its first steps imply."""
    for known in known_cells(runs):
        size = known.cell.outputs + known.cell.units
        if known.name or len(known.h) < 3 or size > MOST_STATE:
            return
        batch, advance = known.h.shape[1], stepper(known.cell)
        for start in _first_states(known, advance):
            if not runs.case.work.may_edit():
                return
            runs.case.work.add_edited(SOLVING * batch * size**3)  # decompositions take most of it
            p, rest = gauss_newton(partial(_off_from, known, advance), start, 2 * ITERATIONS)
            if np.abs(rest).max() <= _tolerance(runs):
                h, c = np.split(p, [known.cell.outputs], axis=1)
                found = Edit("state.array", {"h": h, "c": c}, file="state.npz")
                yield Variant((found,), batch * size)
                return


def _off_from(known: KnownCell, advance: Step, states: Array) -> Array:
    """How far the h of the first steps from states (B n, P + H) are from those known."""
    n, rows = len(states) // known.h.shape[1], []
    h, c = np.split(states, [known.cell.outputs], axis=1)
    for x, wanted in zip(known.x[:SHORT], known.h[:SHORT], strict=True):
        h, c = advance(np.repeat(x, n, axis=0), h, c)
        rows.append(h - np.repeat(wanted, n, axis=0))
    return np.concatenate(rows, axis=1)


def _first_states(known: KnownCell, advance: Step) -> Iterator[Array]:
    """States (B, P + H) to begin from: with the c that the first h implies, and those given.

    From zero, Gauss-Newton stalls where the c that is looked for is large.
    """
    h, c = known.start
    if known.cell.projection is None:
        at_first = _bisected(lambda c: advance(known.x[0], h, c)[0], known.h[0])
        yield np.concatenate([h, np.clip(at_first, -5, 5)], axis=1)
    yield np.concatenate([h, c], axis=1)


def _bisected(function: Callable[[Array], Array], wanted: Array) -> Array:
    """The numbers from which a function, which rises or falls with each, gives others."""
    low, high = np.full_like(wanted, -FAR), np.full_like(wanted, FAR)
    rising = function(high) >= function(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        up = (function(middle) < wanted) == rising
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return (low + high) / 2


# ---- damaged weights


def damage(runs: EditedRuns) -> Iterator[Variant]:
    """One number, or a row, of the units that are off at the first step that is."""
    for known in known_cells(runs):
        cell = known.cell
        if cell.projection is not None or cell.norm_scale is not None or cell.peephole is not None:
            return
        advance, (h, c) = stepper(cell), known.start
        for x, wanted in zip(known.x, known.h, strict=True):
            new_h, new_c = advance(x, h, c)
            off = np.abs(new_h - wanted) > _tolerance(runs)
            units = np.flatnonzero(off.any(axis=0))
            if len(units) > DAMAGED_UNITS:
                break
            if len(units):
                of_units = (_of_unit(known, u, (x, h, c), wanted[:, u]) for u in units.tolist())
                refined = map(runs.refined, chain.from_iterable(of_units))
                yield from (Variant((edit,), 1) for edit in refined if edit is not None)
                break
            h, c = wanted, new_c


def _of_unit(
    known: KnownCell, unit: int, before: tuple[Array, Array, Array], wanted: Array
) -> Iterator[Edit]:
    """Numbers of a unit's weights with which it gives the h (B,) that is wanted."""
    cell, (x, h, _), advance = known.cell, before, stepper(known.cell)
    for k, gate in enumerate(GATES):

        def h_with(z: Array, k: int = k) -> Array:
            added = np.zeros((4, cell.units, len(z)))
            added[k, unit] = z
            return advance(*before, added)[0][:, unit]

        z = _bisected(h_with, wanted)
        if np.abs(h_with(z) - wanted).max() >= LEAST:
            continue
        places: list[tuple[str, tuple[int, ...], Any]] = [
            ("bias.number", (), cell.bias[k, unit] + z)
        ]
        for part, weights, values in (
            ("kernel", cell.kernel[k, unit], x), ("recurrent", cell.recurrent_kernel[k, unit], h),
        ):  # fmt: skip
            places.append((f"{part}.row", (), 1 + z / (values @ weights)))
            places += [
                (f"{part}.number", (n,), w + z / values[:, n]) for n, w in enumerate(weights)
            ]
        for name, at, numbers in places:
            finite = numbers[np.isfinite(numbers)]  # each sequence has its number
            if finite.size and np.ptp(finite) <= ALIKE * max(1.0, np.abs(finite).max()):
                value = gate, unit, *at, float(np.median(finite))
                yield Edit(f"weights.{name}", value, known.name)


# ---- outputs


def outputs(runs: EditedRuns) -> Iterator[Variant]:
    """A dense layer after h by least squares, and a dropout of it by the factors."""
    known, given = runs.case.expected.arrays.get("h"), runs.base.get("h")
    if known is None or given is None or len(runs.case.expected.arrays) > 1:
        return
    if known.values.shape != given.shape or not np.isfinite(known.values).all():
        return
    factors = np.where(known.values == 0, 0, known.values / given)
    kept = np.abs(factors) > SMALL
    if kept.any(axis=2).all() and not kept.all():  # no dropout leaves out all units of a step
        scale = float(np.median(factors[kept]))
        if np.abs(factors[kept] / scale - 1).max() < ALIKE:
            mask = np.where(kept, float(f"{scale:.6g}"), 0.0)
            found = Edit("outputs.mask", {"mask": mask}, file="mask.npz")
            yield Variant((found,), 1 + mask.size // MASK_BITS)
    h, y = (array.reshape(-1, array.shape[-1]) for array in (given, known.values))
    if len(h) > h.shape[1] + 3:
        ones = np.concatenate([h, np.ones((len(h), 1))], axis=1)
        matrix = np.linalg.lstsq(ones, y, rcond=None)[0]
        arrays = {"weights": matrix[:-1], "bias": matrix[-1]}
        yield Variant((Edit("outputs.dense", arrays, file="dense.npz"),), matrix.size)


# ---- the pass


class NamedEdits(NamedTuple):
    """Edits that give EXPECTED, and the changes of settings next to them."""

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


Stage = Callable[[EditedRuns], Iterator[Variant]]

STAGES: tuple[Stage, ...] = (
    EditedRuns.restarts, EditedRuns.table, EditedRuns.solutions, outputs, inputs, damage, state,
    partial(EditedRuns.table, each=True), partial(EditedRuns.solutions, each=True),
    EditedRuns.damage,
)  # fmt: skip
"""The stages of the search, in order; the first with an answer ends it."""


FOR_FIRST = 0.75  # of the work: the rest is for placements that are less likely
NEXT_TO: tuple[Stage, ...] = (
    EditedRuns.as_given, EditedRuns.table, outputs, damage, EditedRuns.solutions, inputs,
    partial(EditedRuns.table, each=True), partial(EditedRuns.solutions, each=True),
)  # fmt: skip
"""Those next to a change of a setting."""


def named_edits(
    runs: Sequence[EditedRuns], nearest: Callable[[], Sequence[Changes]]
) -> list[NamedEdits]:
    """The edits that give EXPECTED: those of the first stage in which any does.

    ``runs`` are those of placements, the likeliest first, which is tried next to each of the
    changes ``nearest`` before the others. Placements that compare the same numbers are one.
    """
    distinct = {one.off(one.base).tobytes(): one for one in reversed(runs) if one.is_telling}
    if not distinct:
        return []
    *others, first = distinct.values()
    if found := _first_found(STAGES, [first]):
        return found
    beside = list[EditedRuns]()
    for changes in nearest():
        with suppress(UserError):
            beside.append(first.adding(changes))
    return _first_found(NEXT_TO, beside, FOR_FIRST) or _first_found(STAGES, others[::-1])


def _first_found(
    stages: Sequence[Stage], runs: Sequence[EditedRuns], part: float = 1.0
) -> list[NamedEdits]:
    """The edits of the first stage in which any gives EXPECTED, within a part of the work."""
    every = (_found(one, stage(one), part) for stage, one in product(stages, runs))
    return next(filter(None, every), [])


BESIDE: Mapping[str, tuple[Any, ...]] = {
    "forget_bias": (0.0, 1.0),
    "gates": KNOWN_ORDERS[:4],
    "bias": ("none", "twice", "input_only"),
    "transposed": ("recurrent", "both"),
    "recurrent_activation": ("hard_sigmoid_0.2", "hard_sigmoid_1_6"),
    "reverse": (True,),
    "output_activation": ("identity",),
    "recurrent_gates": KNOWN_ORDERS[:4],
    "rows": ("hx",),
    "interleaved": (True,),
}
"""Settings next to which an edit is tried, where others do not come nearer."""


def equal_edits(runs: EditedRuns, changed: Sequence[Changed]) -> Iterator[tuple[Changed, ...]]:
    """The edits that are the same run as one of some changes of settings, next to the others."""
    for one, kind in product(changed, EDITS.values()):
        cell, _, name = one.setting.rpartition(".")
        for value, (setting, found) in kind.same.items():
            if setting != name or one.found != (found(one.assumed) if callable(found) else found):
                continue
            edits, others = (Edit(kind.name, value, cell),), [c for c in changed if c is not one]
            if runs.adding(plain_of(others)).fits(Variant(edits)):
                yield *edits_changed(edits), *others


def usual_after(nearest: Sequence[Changes], known: Collection[Changes]) -> list[Changes]:
    """The nearest changes, and then the usual ones as far as they are known of a network."""
    usual = [(Change(name, value),) for name, values in BESIDE.items() for value in values]
    return [*dict.fromkeys((*nearest, *(one for one in usual if one in known)))][
        : 2 * Budget.LISTED
    ]


def _found(runs: EditedRuns, variants: Iterator[Variant], part: float) -> list[NamedEdits]:
    """Yield the variants that give EXPECTED, the likeliest first, as far as work is left."""
    found = list[NamedEdits]()
    while runs.case.work.may_edit(part) and (variant := next(variants, None)):
        if (proved := runs.proved(variant)) is not None:
            found.append(NamedEdits(runs, variant, *proved))
    return sorted(found, key=lambda one: one.rank)
