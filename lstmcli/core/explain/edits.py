"""Which edit gives EXPECTED, where no setting does: the pass after those of the settings.

Steps at which the state begins anew first, then the table, numbers that are solved for, what
EXPECTED itself proposes, and one edit next to one change of a setting last. The first stage with
an answer ends the search.

Where every h of a cell is known, h before a step is known too. So the inputs of each step, the
start state, and what one unit's pre-activation must have been can be solved for; a dense layer or a
dropout of h follows from h as loaded. Each is only a proposal, which a full run has to confirm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, combinations, product
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget, WorkDone
from lstmcli.core.explain.causes import KNOWN_ORDERS, Change, Changes, settings_of
from lstmcli.core.explain.edited_runs import EditedRuns, Variant
from lstmcli.core.explain.verify import Agreement
from lstmcli.core.forward.equations import F, parts_of, step
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import EDITS, Edit
from lstmcli.core.model.model import Cell, Inputs
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError

ITERATIONS = 25  # of Gauss-Newton
SOLVING = 40.0  # the work of a start state, per sequence and cube of its numbers
HALFWAY = 10, 0.2  # iterations after which so much of the misfit may be left
WITHIN = 2.0  # tolerances, or the next number, by which what is solved for may miss EXPECTED
LEAST = 1e-5
SHORT = 8  # steps that show a start state, or an order of features
MOST_EXCHANGED = 16_000  # units of all exchanges of two features that are tried at once
MOST_STATE = 48  # numbers of a state that are solved for
SMALL = 1e-4  # a number that counts as 0, or as another, in a relation
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
    layout = None if case.layout == "steps" else case.layout
    given = Inputs(case.x, layout, case.initial_state, case.lengths, case.mask)
    plan = prepare(runs.model, given, ("h",))
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


Step = Callable[[Array, Array, Array], tuple[Array, Array]]
"""Takes x (R, I), h (R, P) and c (R, H), and gives the next h and c."""


def stepper(cell: Cell) -> Step:
    """The step of a cell."""
    parts = parts_of(cell)
    bias = np.zeros_like(cell.bias) if cell.norm_scale is not None else cell.bias.copy()
    if cell.norm_scale is None:
        bias[F] += cell.dtype.type(cell.convention.behaviour.forget_bias)

    def advance(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        z = cell.kernel @ x.T + cell.recurrent_kernel @ h.T + bias[:, :, None]
        new_h, new_c = step(z, c.T, parts)
        return new_h.T, new_c.T

    return advance


def gauss_newton(
    residual: Callable[[Array], Array], start: Array, iterations: int = ITERATIONS
) -> tuple[Array, Array]:
    """Parameters (B, N) of independent problems, and what is left (B, M); damped.

    ``residual`` takes (B n, N), n sets for each problem in a row, and gives (B n, M).
    """
    p, (B, N) = start.copy(), start.shape
    damping, r = np.full(B, 1e-6), residual(p)
    first = float((r**2).sum())
    for n in range(iterations):
        d = 1e-7 * np.maximum(1, np.abs(p))
        moved = (p[:, None] + np.eye(N) * d[:, None]).reshape(B * N, N)
        J = (residual(moved).reshape(B, N, -1) - r[:, None]) / d[..., None]  # (B, N, M)
        if not np.isfinite(J).all():
            break
        U, S, V = np.linalg.svd(J, full_matrices=False)  # normal equations would square it
        mean = (S**2).mean(axis=1, keepdims=True)
        along = np.einsum("bkm,bm->bk", V, r) * S / (S**2 + damping[:, None] * mean + 1e-300)
        stride = np.einsum("bnk,bk->bn", U, along)
        new = residual(p - stride)
        better = (new**2).sum(axis=1) < (r**2).sum(axis=1)
        p[better] -= stride[better]
        r[better] = new[better]
        damping = np.clip(np.where(better, damping * 0.1, damping * 20), 1e-14, 1e6)
        if n == HALFWAY[0] and (r**2).sum() > HALFWAY[1] * first:
            break
        is_done = better & (np.abs(stride).max(axis=1) < 1e-12)
        if np.abs(r).max() < 1e-13 or (is_done | (damping > 1e4)).all():
            break
    return p, r


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
    off = np.abs(wanted[:, :, None] - given[:, None, :]).max(axis=0)
    order = tuple(off.argmin(axis=1).tolist())
    if sorted(order) == [*range(count)] != [*order]:
        yield Variant((Edit("inputs.features", order),))
    near = np.abs(solved[:, None] - known.x[None]).max(axis=(2, 3)).argmin(axis=1)
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
    """A factor and an offset for each feature."""
    ones = np.ones(len(given))
    each = [
        np.linalg.lstsq(np.stack([given[:, n], ones], axis=1), wanted[:, n], rcond=None)[0]
        for n in range(given.shape[1])
    ]
    factors, offsets = np.array(each).T
    factors = np.where(np.abs(factors - 1) < SMALL, 1, factors)
    offsets = np.where(np.abs(offsets) < SMALL, 0, offsets)
    solved = int((factors != 1).sum() + (offsets != 0).sum())
    for digits in (3, 6, 9):
        both = {"inputs.factors": factors, "inputs.offsets": offsets}
        edits = [
            Edit(name, tuple(float(f"{v:.{digits}g}") for v in numbers.tolist()))
            for (name, numbers), nothing in zip(both.items(), (1, 0), strict=True)
            if (numbers != nothing).any()
        ]
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
            if not runs.case.work.may_edit:
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
        low, high = np.full_like(c, -FAR), np.full_like(c, FAR)
        for _ in range(HALVINGS):  # h grows with c
            middle = (low + high) / 2
            is_low = advance(known.x[0], h, middle)[0] < known.h[0]
            low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
        yield np.concatenate([h, np.clip((low + high) / 2, -5, 5)], axis=1)
    yield np.concatenate([h, c], axis=1)


# ---- damaged weights


def damage(runs: EditedRuns) -> Iterator[Variant]:
    """One number, or a row, of the units that are off at the first step that is."""
    for known in known_cells(runs):
        cell = known.cell
        if cell.projection is not None or cell.norm_scale is not None or cell.peephole is not None:
            return
        advance, (h, c) = stepper(cell), known.start
        allowed = _tolerance(runs)
        for x, wanted in zip(known.x, known.h, strict=True):
            new, new_c = advance(x, h, c)
            units = np.flatnonzero((np.abs(new - wanted) > allowed).any(axis=0))
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
    cell, (x, h, _) = known.cell, before
    for k, gate in enumerate(GATES):
        z = _needed(cell, k, unit, before, wanted)
        if z is None:
            continue
        parts: Sequence[tuple[str, Array, Array]] = (
            ("kernel", cell.kernel[k, unit], x), ("recurrent", cell.recurrent_kernel[k, unit], h),
        )  # fmt: skip
        for part, weights, values in parts:
            share = values @ weights  # (B,)
            if (a := _alike(1 + z / _nonzero(share))) is not None:
                yield _edit(f"weights.{part}.row", (gate, unit), a, known.name)
            for n in range(len(weights)):
                if (a := _alike(weights[n] + z / _nonzero(values[:, n]))) is not None:
                    yield _edit(f"weights.{part}.number", (gate, unit, n), a, known.name)
        if (a := _alike(cell.bias[k, unit] + z)) is not None:
            yield _edit("weights.bias.number", (gate, unit), a, known.name)


def _edit(name: str, place: tuple[object, ...], number: float, cell: str) -> Edit:
    return Edit(name, (*place, number), cell)


def _nonzero(values: Array) -> Array:
    return np.where(np.abs(values) < 1e-9, np.nan, values)


def _alike(values: Array) -> float | None:
    """The number that all sequences agree on, as far as each tells."""
    finite = values[np.isfinite(values)]
    if not finite.size or np.ptp(finite) > 1e-2 * max(1.0, float(np.abs(finite).max())):
        return None
    return float(np.median(finite))


def _needed(
    cell: Cell, k: int, unit: int, before: tuple[Array, Array, Array], wanted: Array
) -> Array | None:
    """What has to be added to a unit's pre-activation of a gate (B,); None where nothing does."""
    x, h, c = before
    parts, bias = parts_of(cell), cell.bias.copy()
    bias[F] += cell.dtype.type(cell.convention.behaviour.forget_bias)
    z = x @ cell.kernel[:, unit].T + h @ cell.recurrent_kernel[:, unit].T + bias[:, unit]  # (B, 4)

    def h_with(added: Array) -> Array:
        of_unit = z.T[:, None].copy()  # (4, 1, B)
        of_unit[k] += added
        of_step: Array = step(of_unit, c[None, :, unit], parts)[0][0]
        return of_step

    ends = [np.full(len(x), end) for end in (-FAR, FAR)]
    rising = h_with(ends[1]) >= h_with(ends[0])
    low, high = ends
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        up = (h_with(middle) < wanted) == rising
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    found = (low + high) / 2
    return found if np.abs(h_with(found) - wanted).max() < LEAST else None


# ---- outputs


def outputs(runs: EditedRuns) -> Iterator[Variant]:
    """A dense layer after h by least squares, and a dropout of it by the factors."""
    known, given = runs.case.expected.arrays.get("h"), runs.base.get("h")
    if known is None or given is None or len(runs.case.expected.arrays) > 1:
        return
    if known.values.shape != given.shape or not np.isfinite(known.values).all():
        return
    with np.errstate(all="ignore"):
        factors = np.where(known.values == 0, 0, known.values / given)
    kept = np.abs(factors) > SMALL
    scale = float(np.median(factors[kept])) if kept.any() else 0.0
    if not kept.any(axis=2).all():  # no dropout leaves out all units of a step
        scale = 0.0
    if not kept.all() and scale and np.abs(factors[kept] / scale - 1).max() < 1e-2:
        mask = np.where(kept, float(f"{scale:.6g}"), 0.0)
        arrays = {"mask": mask}
        solved = 1 + mask.size // MASK_BITS
        yield Variant((Edit("outputs.mask", arrays, file="mask.npz"),), solved)
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
    def has_file(self) -> bool:
        """Whether an edit has many numbers that were solved for."""
        return any(edit.file for edit in self.variant.edits)

    @property
    def rank(self) -> tuple[int, int, int]:
        """The fewest numbers solved and edits first, then by the order of the table."""
        names = [*EDITS]
        place = min((names.index(edit.name) for edit in self.variant.edits), default=0)
        return self.variant.solved, len(self.variant.edits), place


STAGES: tuple[Callable[[EditedRuns], Iterator[Variant]], ...] = (
    EditedRuns.restarts, EditedRuns.table, EditedRuns.solutions, outputs, inputs, damage,
    state, EditedRuns.table_of_cells, EditedRuns.solutions_of_cells, EditedRuns.damage,
)  # fmt: skip
"""What is tried, in this order; the first with an answer ends the search."""


def named_edits(
    runs: Sequence[EditedRuns], nearest: Callable[[], Sequence[Changes]]
) -> list[NamedEdits]:
    """The edits that give EXPECTED: those of the first stage in which any does.

    ``runs`` are those of placements, the likeliest first, next to each of the changes ``nearest``
    last.
    """
    for stage, one in product(STAGES, runs):
        if found := _found(one, stage(one)):
            return found
    for one, changes in product(runs[:1], nearest()):
        with suppress(UserError):
            both = one.adding(changes)
            given = (Variant(()),) if both.model.edits else ()  # the settings' search ran without
            if found := _found(both, chain(given, both.usual())):
                return found
    return []


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


def usual_after(nearest: Sequence[Changes], known: Collection[Changes]) -> list[Changes]:
    """The nearest changes, and then the usual ones as far as they are known of a network."""
    usual = [(Change(name, value),) for name, values in BESIDE.items() for value in values]
    return [*dict.fromkeys((*nearest, *(one for one in usual if one in known)))][
        : 2 * Budget.LISTED
    ]


def _found(runs: EditedRuns, variants: Iterable[Variant]) -> list[NamedEdits]:
    """Those of some variants that give EXPECTED, the likeliest first, as far as work is left."""
    found = []
    for variant in variants:
        if not runs.case.work.may_edit:
            break
        if (proved := runs.proved(variant)) is not None:
            found.append(NamedEdits(runs, variant, *proved))
    return sorted(found, key=lambda one: one.rank)
