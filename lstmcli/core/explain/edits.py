"""Which edit gives EXPECTED, where no setting does.

In the order of `STAGES`, of which the first with answers ends it, of the runs of `WHERES`:
alone, next to a change of a setting, at other placements.

Where every h of a cell is known, inputs, the start state, and one unit's
pre-activation can be solved for. A dense layer or a dropout of h follows
from h as loaded. A full run confirms each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, combinations, groupby, islice, product
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import ArrayName
from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.attempt import Attempt
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.causes import SOLVE, Changes
from lstmcli.core.explain.edited_runs import (
    ITERATIONS,
    SLACK,
    EditedRuns,
    KnownCell,
    NamedEdits,
    Variant,
    gauss_newton,
)
from lstmcli.core.explain.explanation import Changed, edits_changed, plain_of
from lstmcli.core.explain.hypotheses import prior
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.verify import compared
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.edits import (
    EDITS,
    HIDES,
    NORMALISED,
    OF_MODEL,
    STATES,
    USUAL_SCALES,
    Edit,
    EditKind,
    RunSizes,
    normalised,
)
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError

SOLVING = 40.0  # work of a start state, per sequence and cube of its numbers
WITHIN = 2.0  # tolerances by which solved numbers may be off
LEAST = 1e-5  # if these are less
NORMALISING = 0.1  # work of a number that is normalised: 10 ns
STEPS_OF_ONE = 2  # of one sequence, by which statistics of the data are chosen
SHORT = 8  # steps that show a start state or the order of features
# units of all exchanges of two features, tried at once
MOST_EXCHANGED = 16_000
MOST_STATE = 48  # numbers of a solved state
SMALL = 1e-4  # a relation that counts as 0
ALIKE = 1e-2  # of a number, by which EXPECTED may imply different ones
DAMAGED_UNITS = 3  # at most, in which a damaged row is searched
FAR = 40.0  # a pre-activation beyond which a gate does not change
HALVINGS = 60
MASK_BITS = 30  # numbers of a mask that count as one solved number
USUAL = 5, 10  # values of a kind next to a change: full runs, or first steps
STARTS = 4  # usual numbers to start from
LAST_STEPS = 64  # at which it does, if only a last state is known
Variants = Iterator[Variant]
LATER = tuple(name for name in EDITS if name.endswith((".row", ".column", ".columns")))
"""Edits of many values."""


def known_cells(runs: EditedRuns) -> list[KnownCell]:
    """The cells of a single layer whose every h is known and carried on."""
    cells = runs.known_cells if len(runs.model.layers) == 1 else []
    if any(one.cell.behaviour.state == "reset" for one in cells):
        return []
    shown = [one for one in cells if not edits_in("outputs", one.cell.edits)]
    return [one for one in shown if np.isfinite(one.h).all()]


def _tolerance(runs: EditedRuns) -> float:
    allowed = runs.expected.at_known(lambda _, one: runs.allowance.of(one))
    return max(LEAST, WITHIN * largest(allowed))


def statistics(runs: EditedRuns) -> Variants:
    """Inputs or outputs that a statistic of the data divides, or is subtracted from."""
    if runs.changes:
        return
    names = [name for name in NORMALISED if name not in USUAL_SCALES]
    known = next((one for one in known_cells(runs) if not one.name), None)
    if known is not None:
        names = _near_first_steps(runs, known, names)
    for name in names:
        yield Variant((Edit("inputs.normalised", name),))
    for name in NORMALISED:
        if runs.work.left() and _is_output_normalised(runs, name):
            yield Variant((Edit("outputs.normalised", name),))


def _near_first_steps(
    runs: EditedRuns, known: KnownCell, names: Sequence[str]
) -> list[str]:
    """The names under which the first steps of a sequence are near EXPECTED."""
    order = slice(None, None, -1 if known.runs_back else 1)
    in_time = known.x[order]
    runs.work.add(NORMALISING * in_time.size * len(names))
    each = (normalised(in_time, name)[order] for name in names)
    x = np.stack([one[:STEPS_OF_ONE, :1] for one in each], axis=1)
    h, c = known.start
    of_one = known._replace(h=known.h[:, :1], start=(h[:1], c[:1]))
    off = np.abs(_off_with(of_one, runs.work, x)).max(axis=1)
    near = np.flatnonzero(off <= _tolerance(runs))
    return [names[n] for n in near.tolist()]


def _is_output_normalised(runs: EditedRuns, name: str) -> bool:
    """Tell whether h as loaded and normalised is EXPECTED, which is of all steps."""
    (array, _), *others = runs.expected.arrays.items()
    if others or array != "h" or array not in runs.base:
        return False
    given = runs.base[array]
    runs.work.add(NORMALISING * given.size)
    off = runs.off({array: normalised(given, name)})
    return bool(np.abs(off).max(initial=0) <= SLACK)


def inputs(runs: EditedRuns) -> Variants:
    """Features in another order, or with other factors and offsets.

    One factor and one offset of all come first, then one of each feature.
    """
    for known in (one for one in known_cells(runs) if not one.name):
        off = partial(_off_with, known, runs.work)
        count = known.cell.inputs
        yield Variant((Edit("inputs.features", _order_of_features(known, off)),))
        each, none = np.eye(count), np.zeros((count, count))
        of_all = np.repeat(np.eye(2), count, axis=1)
        factors, offsets = np.hstack([each, none]), np.hstack([none, each])
        for basis in (of_all, factors, offsets, np.vstack([factors, offsets])):
            scales = _solved_scales(runs, known, basis)
            if scales is not None:
                yield from _scales(*scales)
                break


def _solved_scales(
    runs: EditedRuns, known: KnownCell, basis: Array
) -> tuple[Array, Array] | None:
    """The factors and offsets (I,) that give the first steps, as sums of rows of a basis."""
    x = known.x[:SHORT, None]

    def off_scaled(sizes: Array, plain: Array) -> Array:
        scales = plain + sizes @ basis
        factors, offsets = np.split(scales[:, None], 2, axis=2)
        return _off_with(known, runs.work, x * factors + offsets)

    for factor in (1.0, 0.0):
        plain = np.repeat([factor, 0.0], known.cell.inputs)
        start = np.zeros((1, len(basis)))
        p, rest = gauss_newton(partial(off_scaled, plain=plain), start)
        if np.abs(rest).max() <= _tolerance(runs):
            factors, offsets = np.split(plain + p[0] @ basis, 2)
            return factors, offsets
    return None


def _off_with(known: KnownCell, work: WorkDone, x: Array) -> Array:
    """(n, E): how far off h is with n other inputs (t, n, B, I) of the first steps."""
    steps, n, _, count = x.shape
    h, c = (np.tile(one, (n, 1)) for one in known.start)
    off = np.zeros((steps, *h.shape))
    work.add(off.size)
    for t, wanted in enumerate(known.h[:steps]):
        h, c = known.advance(x[t].reshape(-1, count), h, c)
        off[t] = h - np.tile(wanted, (n, 1))
        h = h - off[t]
    return off.reshape(steps, n, -1).swapaxes(0, 1).reshape(n, -1)


def _order_of_features(
    known: KnownCell,
    off: Callable[[Array], Array],
) -> tuple[int, ...]:
    """The nearest order, by one exchange after another."""

    def cost(orders: Array) -> Any:
        return np.square(off(known.x[:SHORT][..., orders].swapaxes(1, 2))).sum(axis=1)

    order = np.arange(known.cell.inputs)
    pairs = np.array([*combinations(order, 2)], int).reshape(-1, 2)
    least = float(cost(order[None])[0])
    while 0 < len(pairs) * known.x.shape[1] * known.cell.units <= MOST_EXCHANGED:
        orders = np.tile(order, (len(pairs), 1))
        np.put_along_axis(orders, pairs, order[pairs[:, ::-1]], axis=1)
        costs = cost(orders)
        is_nearer = costs.min() < least  # not of NaN: no order is nearer then
        if not is_nearer:
            break
        order, least = orders[costs.argmin()], float(costs.min())
    return tuple(order.tolist())


def _scales(factors: Array, offsets: Array) -> Variants:
    for digits in (3, 6, 9):
        edits = []
        for name, plain, exact in (
            ("inputs.factor", 1.0, factors),
            ("inputs.offset", 0.0, offsets),
        ):
            near = np.where(np.abs(exact - plain) < SMALL, plain, exact)
            is_unused = np.abs(near) < SMALL * np.abs(near).max()
            near = np.where(is_unused, 0.0, near)
            value = tuple(float(f"{v:.{digits}g}") for v in near.tolist())
            if {*value} != {plain}:
                edits.append(Edit(name, value if len({*value}) > 1 else value[:1]))
        solved = sum(v != edit.kind.solved for edit in edits for v in edit.value)
        yield Variant(tuple(edits), solved)


def state(runs: EditedRuns) -> Variants:
    """Another initial state of a single cell whose first step is off, by its steps."""
    for known in (one for one in known_cells(runs) if not one.name):
        batch, size = known.h.shape[1], known.cell.outputs + known.cell.units
        if not runs.is_off_at_first or len(known.h) < 3 or size > MOST_STATE:
            return
        for start in _first_states(known):
            if not runs.work.left():
                return
            runs.work.add(SOLVING * batch * size**3)
            p, rest = gauss_newton(partial(_off_from, known), start, 2 * ITERATIONS)
            if np.abs(rest).max() <= _tolerance(runs):
                h, c = np.split(p, [known.cell.outputs], axis=1)
                found = Edit("state.array", {"h": h, "c": c}, file="state.npz")
                yield Variant((found,), batch * size)
                return


def _off_from(known: KnownCell, states: Array) -> Array:
    """How far off the first steps are from states (B n, P + H)."""
    n, rows = len(states) // known.h.shape[1], []
    h, c = np.split(states, [known.cell.outputs], axis=1)
    for x, wanted in zip(known.x[:SHORT], known.h[:SHORT], strict=True):
        h, c = known.advance(np.repeat(x, n, axis=0), h, c)
        rows.append(h - np.repeat(wanted, n, axis=0))
    return np.hstack(rows)


def _first_states(known: KnownCell) -> Iterator[Array]:
    """States (B, P + H) to begin from: with the c that the first h implies, or as given.

    From zero, Gauss-Newton stalls where the right c is large.
    """
    h, c = known.start
    if known.cell.projection is None:
        at_first = _bisected(lambda c: known.advance(known.x[0], h, c)[0], known.h[0])
        yield np.hstack([h, np.clip(at_first, -5, 5)])
    yield np.hstack([h, c])


def _bisected(function: Callable[[Array], Array], wanted: Array) -> Array:
    low, high = np.full_like(wanted, -FAR), np.full_like(wanted, FAR)
    rising = function(high) >= function(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        up = (function(middle) < wanted) == rising
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return (low + high) / 2


def damage(runs: EditedRuns) -> Variants:
    """One number, or a row, of the units that are off first."""
    for known in known_cells(runs):
        cell, (h, c) = known.cell, known.start
        if any(
            one is not None for one in (cell.projection, cell.norm_scale, cell.peephole)
        ):
            return
        for x, wanted in zip(known.x, known.h, strict=True):
            new_h, new_c = known.advance(x, h, c)
            off = np.abs(new_h - wanted) > _tolerance(runs)
            if units := np.flatnonzero(off.any(axis=0)).tolist():
                searched = units if len(units) <= DAMAGED_UNITS else []
                of_units = (
                    _of_unit(known, u, (x, h, c), wanted[:, u]) for u in searched
                )
                refined = map(runs.refined, chain.from_iterable(of_units))
                yield from (Variant((edit,), 1) for edit in refined if edit is not None)
                break
            h, c = wanted, new_c


def _of_unit(
    known: KnownCell,
    unit: int,
    before: tuple[Array, Array, Array],
    wanted: Array,
) -> Iterator[Edit]:
    cell, (x, h, _) = known.cell, before
    products = ("kernel", cell.kernel, x), ("recurrent", cell.recurrent_kernel, h)
    for k, gate in enumerate(GATES):

        def h_with(z: Array, k: int = k) -> Array:
            added = np.zeros((4, cell.units, len(z)))
            added[k, unit] = z
            return known.advance(*before, added)[0][:, unit]

        z = _bisected(h_with, wanted)
        if np.abs(h_with(z) - wanted).max() >= LEAST:
            continue
        places: dict[tuple[Any, ...], Array] = {
            ("bias.number",): cell.bias[k, unit] + z
        }
        for part, weights, values in products:
            row = weights[k, unit]
            places[f"{part}.row",] = 1 + z / (values @ row)
            places |= {
                (f"{part}.number", n): w + z / values[:, n] for n, w in enumerate(row)
            }
        for (name, *at), numbers in places.items():
            finite = numbers[np.isfinite(numbers)]  # each sequence has its number
            if finite.size and np.ptp(finite) <= ALIKE * max(1.0, np.abs(finite).max()):
                value = gate, unit, *at, float(np.median(finite))
                yield Edit(f"weights.{name}", value, known.name)


def outputs(runs: EditedRuns) -> Variants:
    """A dense layer after h by least squares, and a dropout by factors."""
    (name, known), *others = runs.expected.arrays.items()
    given, wanted = runs.base.get(name, np.zeros(0)), known.values
    is_h = ArrayName.of(name).base == "h" and not others
    if not is_h or wanted.shape != given.shape:
        return
    if not (np.isfinite(wanted).all() and np.isfinite(given).all()):
        return
    factors = np.where(wanted == 0, 0, wanted / given)
    kept = np.abs(factors) > SMALL
    if kept.any(axis=2).all() and not kept.all():  # dropout keeps some units of a step
        scale = float(np.median(factors[kept]))
        if np.abs(factors[kept] / scale - 1).max() < ALIKE:
            mask = np.where(kept, float(f"{scale:.6g}"), 0.0)
            found = Edit("outputs.mask", {"mask": mask}, file="mask.npz")
            yield Variant((found,), 1 + mask.size // MASK_BITS)
    each = (array.astype(np.float64) for array in (given, wanted))
    h, y = (array.reshape(-1, array.shape[-1]) for array in each)
    if len(h) > h.shape[1] + 3:
        ones = np.hstack([h, np.ones((len(h), 1))])
        matrix = np.linalg.lstsq(ones, y, rcond=None)[0]
        arrays = {"weights": matrix[:-1], "bias": matrix[-1]}
        yield Variant((Edit("outputs.dense", arrays, file="dense.npz"),), matrix.size)


def _kinds(
    runs: EditedRuns,
    each: bool,
) -> Iterator[tuple[EditKind, Callable[[Any], Edit], Iterator[Any]]]:
    """Kinds, edits by values, and values: of all cells, or each that may be wrong."""
    cells = runs.model.cells if len(runs.model.cells) > 1 else ()
    right, others = set[str](), {""}
    for name, agreeing, total in compared(
        runs.base, runs.expected, runs.allowance
    ).arrays:
        (right if 0 < total == agreeing else others).add(ArrayName.of(name).prefix)
    right -= others
    wrong = [one for one in cells if one[0] not in right]
    for kind, (name, cell) in product(
        EDITS.values(), wrong if each else [("", runs.model.cell)]
    ):
        if kind.stage == "head" and not runs.is_of_head:
            continue
        if kind.stage not in OF_MODEL if each else not right or kind.stage == "network":
            sizes = RunSizes(runs.model, cell, runs.steps, runs.input_steps)
            yield kind, partial(Edit, kind.name, cell=name), kind.values_for(sizes)


def table(runs: EditedRuns, *, each: bool = False, stage: str = "") -> Variants:
    """The values of the table, the usual first, of all cells at once or of each.

    Next to changes the usual alone, and fewer if each needs a full run.
    """
    by_first = runs.is_off_at_first or runs.first_off is not None
    most = USUAL[by_first] if runs.changes else None
    if runs.changes and runs.model.edits:  # that the search of settings ran without
        yield Variant(())
    # by families: kinds that differ by a gate or a state alone are one
    families: dict[str, dict[str, list[Variants]]] = {}
    for kind, edit, values in _kinds(runs, each):
        if kind.name not in LATER and stage in ("", kind.stage):
            stem, _, last = kind.name.rpartition(".")
            alike = stem if len(last) == 1 else kind.name
            variants = map(partial(_with_value, edit), islice(values, most))
            of_family = families.setdefault(kind.family, {})
            of_family.setdefault(alike, []).append(variants)
    if len(runs.model.layers) > 1 and not (each or stage):
        cells = [name for name, cell in runs.model.cells if cell.inputs == cell.outputs]
        residual = Variant(tuple(Edit("outputs.residual", cell=name) for name in cells))
        families.setdefault("outputs", {})["layers"] = [iter([residual])]
    yield from _by_turns(
        _by_turns(map(_by_turns, kinds.values())) for kinds in families.values()
    )


def _with_value(edit: Callable[[Any], Edit], value: Any) -> Variant:
    return Variant((edit(value),))


def _by_turns(each: Iterable[Variants]) -> Variants:
    """The first of each, then the second of each: a budget ends no family before it began."""
    waiting = deque(each)
    while waiting:
        variants = waiting.popleft()
        for variant in islice(variants, 1):
            yield variant
            waiting.append(variants)


def rows_and_columns(runs: EditedRuns) -> Variants:
    """Rows and columns that are zero or exchanged, in each cell."""
    for kind, edit, values in _kinds(runs, each=len(runs.model.cells) > 1):
        if kind.name in LATER:
            yield from (Variant((edit(value),)) for value in values)


def solutions(runs: EditedRuns, *, each: bool = False) -> Variants:
    """The edits with a number, at the nearest one; those of a bound first.

    A bound is the largest number of EXPECTED, or none.
    """
    kinds = (one for one in _kinds(runs, each) if one[0].solved is not None)
    for kind, edit, values in sorted(kinds, key=lambda one: not one[0].bound):
        case = runs.case_for((edit(kind.solved),))
        if case is None or not runs.work.left():
            continue
        known = case.expected.at_known(lambda _, one: one.values)
        first = largest(np.abs(known)) if kind.bound else kind.solved or 0.0
        numbers = [value for value in values if isinstance(value, float)]
        number = runs.solved_number(
            edit, [first, *numbers[: 2 if kind.bound else STARTS]]
        )
        if number not in (None, kind.solved):
            with suppress(ValueError):  # the kind does not take every number
                yield Variant((edit(kind.read(number)),), 1)


def numbers(runs: EditedRuns) -> Variants:
    """Statistics of the data, and numbers that are solved for."""
    yield from statistics(runs)
    yield from solutions(runs)
    yield from inputs(runs)


def restarts(runs: EditedRuns) -> Variants:
    """The initial state, h or c again: in chunks, or at each step that is off.

    A last state shows only the last of these.
    """
    steps = 0 if runs.changes else runs.steps
    if runs.first_off is None:
        lengths = [n for n in range(2, steps) if steps % n == 0]
        edits = [Edit(f"state.chunks{part}", n) for n in lengths for part in STATES]
        if runs.expected.steps <= 1:
            edits = [Edit("state.anew", (n,)) for n in range(steps)[:0:-1][:LAST_STEPS]]
        yield from (Variant((edit,), 1) for edit in edits)
        return
    for part in STATES if 1 < runs.first_off < steps else ():
        yield Variant((Edit(f"state.chunks{part}", runs.first_off),), 1)
        found = [0]
        off: int | None = runs.first_off
        while off is not None and off > found[-1] + 1 and len(found) <= steps // 2:
            found.append(off)
            edit = Edit(f"state.anew{part}", tuple(found[1:]))
            off = runs.first_wrong((edit,))
        if off is None and found != [*range(0, steps, found[1])]:
            yield Variant((edit,), len(found) - 1)


class Stage(NamedTuple):
    """One thing to try: its variants, and what is named where the budget left it out."""

    variants: Callable[[EditedRuns], Variants]
    words: str
    is_listed: bool = (
        False  # they are of the table, and cost nothing before they are run
    )
    of_each: bool = False  # they are of one cell of several


STAGES = (
    Stage(restarts, "initial states again"),
    Stage(table, "all cells", is_listed=True),
    Stage(numbers, "statistics of the data, and numbers that are solved for"),
    Stage(outputs, "layers after h"),
    Stage(damage, "damaged numbers"),
    Stage(partial(table, each=True), "single cells", is_listed=True, of_each=True),
    Stage(partial(solutions, each=True), "numbers of single cells", of_each=True),
    Stage(state, "another initial state"),
    Stage(rows_and_columns, "rows and columns"),
)
"""The stages of the search, in order; the first with an answer ends it."""

OF_HEAD = Stage(partial(table, stage="head"), "the head", is_listed=True)

ALONE, BESIDE, ELSEWHERE = "as loaded", "next to a change", "at other placements"
WHERES = ALONE, BESIDE, ELSEWHERE
"""The runs that have edits, in order: each has all stages before the next."""

SAME_WITHIN = 3e-4  # a difference of two runs that rounding may make
FEW_NUMBERS = 40  # of EXPECTED, up to which any other fit leaves an answer open
OF_A_PLACE = 16  # values of an edit in the place of a change: later ones are tables
# values of a setting, and changes, next to edits
OF_A_KIND, MOST_BESIDE = 2, 18
# of the work: edits by themselves, where most need a full run, as of two directions; all of it
# left none for those next to a change, of which 0 of 13 were found
ALONE_OF_HEAD = 0.2
FOR_FIRST = 0.85  # of the work: the rest is for less likely placements


class EditSearch:
    """The runs of which edits are tried, each of all stages: those of the likeliest come first.

    Placements of the same numbers are one.
    """

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._likeliest = attempts[0]
        distinct: dict[bytes, EditedRuns] = {}
        for attempt in reversed(attempts):
            runs = _runs_of(attempt.placement)
            off = runs.off(runs.base)
            if runs.bits(off, 0):  # enough are off
                distinct[off.tobytes()] = runs
        self._runs = list(distinct.values())[::-1]  # the likeliest first
        self._ended: set[str] = set()  # where the budget ended

    def found_by(self, stage: Stage, where: str) -> list[NamedEdits]:
        """The edits of a stage that give EXPECTED, in one of `WHERES`."""
        runs, part = self._runs_and_part(where)
        if where in self._ended or not runs:
            return []
        found, is_ended = _found_by_stage(stage, runs, part)
        if is_ended:
            self._ended.add(where)
        return found

    def _runs_and_part(self, where: str) -> tuple[list[EditedRuns], float]:
        """The runs, and the part of the work that they may take."""
        if where == ALONE:
            is_of_head = bool(self._runs) and self._runs[0].is_of_head
            return self._runs[:1], ALONE_OF_HEAD if is_of_head else 1.0
        if where == BESIDE:
            return self._next_to_changes, FOR_FIRST
        return self._runs[1:], 1.0

    @cached_property
    def _next_to_changes(self) -> list[EditedRuns]:
        """The likeliest runs next to each of the usual changes."""
        changed: list[EditedRuns] = []
        for first in self._runs[:1]:
            if not first.work.left(FOR_FIRST):  # each takes the memory of a model
                break
            for changes in _usual_changes(self._likeliest):
                with suppress(UserError):
                    changed.append(replace(first, changes=changes))
        return changed


def edits_of_head(attempts: Sequence[Attempt]) -> list[NamedEdits]:
    """The edits of the head that give EXPECTED, with the h as loaded.

    They come before two changes: steps of the head are often equal to these.
    """
    placements = [one.placement for one in attempts]
    of_head = [one for one in placements if one.expected.is_of_head]
    runs = [_runs_of(one) for one in of_head]  # each reads the model
    found, _ = _found_by_stage(OF_HEAD, runs, 1.0)
    return found


def _found_by_stage(
    stage: Stage, runs: Sequence[EditedRuns], part: float
) -> tuple[list[NamedEdits], bool]:
    """The edits that give EXPECTED in the first runs in which any does; whether work ended.

    Of the output of a head, the runs have turns until one is found: their
    steps show less, so each variant takes longer.
    """
    waiting = deque((one, stage.variants(one)) for one in runs)
    found = list[NamedEdits]()
    while waiting:
        one, variants = waiting.popleft()
        variant = next(variants, None) if one.work.left(part) else None
        if variant is not None:
            named = one.proved(variant)
            if named is not None:
                found.append(named)
            if one.is_of_head and not found:
                waiting.append((one, variants))
            else:
                waiting.appendleft((one, variants))
        elif found:
            return _without_more_numbers(sorted(found, key=_rank)), False
        elif not one.work.left(part):
            left = _left_out(one, stage, variants)
            one.work.left_out.append((bool(one.changes), left))
            return [], True
    return [], False


def _left_out(runs: EditedRuns, stage: Stage, variants: Variants) -> list[str]:
    """The names of what the budget left out: families of its last stage, and later stages."""
    left = [stage.words]
    if stage.is_listed:  # by turns: the next ones have each family that is left
        some = islice(variants, len(HIDES))
        families = dict.fromkeys(one.edits[0].kind.family for one in some if one.edits)
        left = [f"further {family}" for family in families]
    several = len(runs.model.cells) > 1
    later = STAGES[STAGES.index(stage) + 1 :] if stage in STAGES else STAGES
    left.extend(one.words for one in later if several or not one.of_each)
    return left


def _without_more_numbers(found: Sequence[NamedEdits]) -> list[NamedEdits]:
    """The edits with no more solved numbers than are needed, or one; the shortest of each kind."""
    most = max(1, found[0].variant.solved)
    by_kind = dict[Any, NamedEdits]()
    for named in found:
        edits, solved = named.variant
        kinds = tuple((edit.cell, edit.name) for edit in edits)
        texts = tuple(edit.text for edit in edits)
        is_scaled = bool(solved) and all(e.kind.solved is not None for e in edits)
        if solved <= most:
            by_kind.setdefault(kinds if is_scaled else texts, named)
    return [*by_kind.values()]


def _rank(named: NamedEdits) -> tuple[int, int, int]:
    """Fewest solved numbers and edits first, then as in the table."""
    (edits, solved), names = named.variant, [*EDITS]
    place = min((names.index(edit.name) for edit in edits), default=0)
    return solved, len(edits), place


def _runs_of(one: Placement, changes: Changes = ()) -> EditedRuns:
    return EditedRuns(one.case, one.allowance, one.location, one.run_changes, changes)


def equal_edits(
    placement: Placement,
    changed: Sequence[Changed],
) -> Iterator[tuple[Changed, ...]]:
    """Edits of the place of a change that fit too, with the other changes.

    A kind is of the place of a setting if a value of it is the same run as one.
    """
    for one, kind in product(changed, EDITS.values()):
        cell, _, name = one.setting.rpartition(".")
        if name not in [setting for setting, _ in kind.same.values()]:
            continue
        others = [other for other in changed if other is not one]
        runs = _runs_of(placement, plain_of(others))
        sizes = RunSizes(runs.model, runs.model.cell, runs.steps)
        for value in islice(kind.values_for(sizes), OF_A_PLACE):
            edits = (Edit(kind.name, value, cell),)
            if runs.fits(Variant(edits)):
                yield *edits_changed(edits), *others


def rivals(
    loaded: Placement,
    placement: Placement,
    changes: Changes,
    is_solved: bool,
) -> Iterator[tuple[Changed, ...]]:
    """Edits as loaded that fit as well as changes at a placement do, and are another run.

    Numbers are solved for only if one of the changes was.
    """
    runs, answer = _runs_of(loaded), _runs_of(placement, changes)
    stages = [restarts, table]
    if is_solved:
        stages.append(numbers)
    for stage in stages:
        for variant in stage(runs):
            if not runs.work.left():
                return
            is_other = runs.fits(variant) and differs(answer, (), runs, variant.edits)
            if variant.edits and is_other:
                yield edits_changed(variant.edits)


def differs(
    one: EditedRuns, edits: Sequence[Edit], other: EditedRuns, others: Sequence[Edit]
) -> bool:
    """Tell whether two runs differ on other inputs, of twice as many steps."""
    given = one.elsewhere().run(edits)
    wanted = other.elsewhere().run(others)
    shared = given.keys() & wanted.keys()
    if not shared or any(given[name].shape != wanted[name].shape for name in shared):
        return True
    return not all(
        np.allclose(given[name], wanted[name], atol=SAME_WITHIN, rtol=0)
        for name in shared
    )


def has_rival(first: NamedEdits, others: Sequence[NamedEdits]) -> bool:
    """Tell whether edits are not proved: others with no more solved numbers fit too.

    So does a number of two digits next to a statistic of the data.
    """
    edits, solved = first.variant
    if not solved and first.runs.expected.numbers > FEW_NUMBERS:
        is_open = any(edit.name.endswith(".normalised") for edit in edits)
        others = [one for one in others if is_open and one.variant.solved]
    for one in others:
        is_short = all(
            isinstance(edit.value, float) and float(f"{edit.value:.2g}") == edit.value
            for edit in one.variant.edits
        )
        if one.variant.solved > solved and not is_short:
            continue
        if differs(first.runs, edits, one.runs, one.variant.edits):
            return True
    return False


def _usual_changes(attempt: Attempt) -> list[Changes]:
    """The nearest changes, and then the likeliest of a network."""
    nearest = [answer.changes for answer in attempt.nearest() if answer.changes]
    known = attempt.singles.changes
    of_all = (
        one for one in known if "." not in one[0].setting and one[0].value != SOLVE
    )
    likely = groupby(
        sorted(of_all, key=lambda one: prior(*one)), lambda one: one[0].setting
    )
    usual = chain.from_iterable(islice(values, OF_A_KIND) for _, values in likely)
    return [*islice(dict.fromkeys((*nearest, *usual)), MOST_BESIDE)]
