"""Edits that may give EXPECTED: those of the table, and those whose numbers can be solved for.

Where every h of a cell is known, inputs, the start state, and one unit's
pre-activation can be solved for. A dense layer or a dropout of h follows
from h as loaded. A full run confirms each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import combinations, islice
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import ArrayName
from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.edited_runs import SLACK, EditedRuns
from lstmcli.core.explain.first_steps import KnownCell
from lstmcli.core.explain.gauss_newton import ITERATIONS, gauss_newton
from lstmcli.core.explain.solving import (
    refined,
    solved_number,
)
from lstmcli.core.explain.tries import Try
from lstmcli.core.explain.verify import compared
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.edits import (
    EDITS,
    NORMALISED,
    OF_MODEL,
    STATES,
    USUAL_SCALES,
    Edit,
    EditKind,
    RunSizes,
    normalised,
)
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

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
# values of a kind next to a change, where each is a full run or first steps show it
USUAL, USUAL_BY_FIRST = 5, 10
MORE_ROWS = 3  # of numbers than of weights, to solve for a dense layer
# usual numbers to start from
STARTS, BOUND_STARTS = 4, 2
LAST_STEPS = 64  # at which it does, if only a last state is known
LATE = 8  # steps after a wrong input, at which the run is off at last
OF_NETWORK = ("network", "stack", "shared")
Tries = Iterator[Try]
LATER = tuple(name for name in EDITS if name.endswith((".row", ".column", ".columns")))
"""Edits of many values."""


def known_cells(runs: EditedRuns) -> list[KnownCell]:
    """The cells of a single layer whose every h is known and carried on."""
    cells = runs.known_cells if len(runs.model.layers) == 1 else []
    if any(one.cell.behaviour.state == "reset" for one in cells):
        return []
    shown = [one for one in cells if not edits_in("outputs", one.cell.edits)]
    return [one for one in shown if np.isfinite(one.h).all()]


def tolerance_of(runs: EditedRuns) -> float:
    """How far off a number may be that follows from EXPECTED."""
    allowance = runs.placement.allowance
    allowed = runs.expected.at_known(lambda _, one: allowance.of(one))
    return max(LEAST, WITHIN * largest(allowed))


def statistics(runs: EditedRuns) -> Tries:
    """Inputs or outputs that a statistic of the data divides, or is subtracted from."""
    if runs.changes:
        return
    names = [name for name in NORMALISED if name not in USUAL_SCALES]
    known = next((one for one in known_cells(runs) if not one.name), None)
    if known is not None:
        names = _near_first_steps(runs, known, names)
    for name in names:
        yield runs.hypothesis(Edit("inputs.normalised", name))
    for name in NORMALISED:
        if runs.work.left() and _is_output_normalised(runs, name):
            yield runs.hypothesis(Edit("outputs.normalised", name))


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
    near = np.flatnonzero(off <= tolerance_of(runs))
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


def inputs(runs: EditedRuns) -> Tries:
    """Features in another order, or with other factors and offsets.

    One factor and one offset of all come first, then one of each feature.
    """
    for known in (one for one in known_cells(runs) if not one.name):
        off = partial(_off_with, known, runs.work)
        count = known.cell.inputs
        yield runs.hypothesis(Edit("inputs.features", _order_of_features(known, off)))
        each, none = np.eye(count), np.zeros((count, count))
        of_all = np.repeat(np.eye(2), count, axis=1)
        factors, offsets = np.hstack([each, none]), np.hstack([none, each])
        for basis in (of_all, factors, offsets, np.vstack([factors, offsets])):
            scales = _solved_scales(runs, known, basis)
            if scales is not None:
                yield from _scales(runs, *scales)
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
        if np.abs(rest).max() <= tolerance_of(runs):
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


def _scales(runs: EditedRuns, factors: Array, offsets: Array) -> Tries:
    """The edits of factors and offsets, to ever more digits."""
    for digits in (3, 6, 9):
        each = (
            _scale("inputs.factor", 1.0, factors, digits),
            _scale("inputs.offset", 0.0, offsets, digits),
        )
        edits = [edit for edit in each if edit is not None]
        solved = 0
        for edit in edits:
            solved += sum(value != edit.kind.solved for value in edit.value)
        yield runs.hypothesis(*edits, solved=solved)


def _scale(name: str, plain: float, exact: Array, digits: int) -> Edit | None:
    """The edit of numbers of each feature, or of one of all; None where they do nothing."""
    near = np.where(np.abs(exact - plain) < SMALL, plain, exact)
    is_unused = np.abs(near) < SMALL * np.abs(near).max()
    near = np.where(is_unused, 0.0, near)
    value = tuple(float(f"{number:.{digits}g}") for number in near.tolist())
    distinct = {*value}
    if distinct == {plain}:
        return None
    return Edit(name, value if len(distinct) > 1 else value[:1])


def state(runs: EditedRuns) -> Tries:
    """Another initial state of a single cell whose first step is off, by its steps."""
    for known in known_cells(runs):
        size = known.cell.outputs + known.cell.units
        is_short = len(known.h) < 3 or size > MOST_STATE
        if known.name or not runs.is_off_at_first or is_short:
            return
        batch = known.h.shape[1]
        for start in _first_states(known):
            if not runs.work.left():
                return
            runs.work.add(SOLVING * batch * size**3)
            p, rest = gauss_newton(partial(_off_from, known), start, 2 * ITERATIONS)
            if np.abs(rest).max() <= tolerance_of(runs):
                h, c = np.split(p, [known.cell.outputs], axis=1)
                solved = Edit("state.array", {"h": h, "c": c}, file="state.npz")
                yield runs.hypothesis(solved, solved=batch * size)
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


def damage(runs: EditedRuns) -> Tries:
    """One number, or a row, of the units that are off first."""
    for known in known_cells(runs):
        cell = known.cell
        others = cell.projection, cell.norm_scale, cell.peephole
        if any(one is not None for one in others):
            return
        for edit in _damaged_at_first(known, tolerance_of(runs)):
            nearest = refined(runs, edit)
            if nearest is not None:
                yield runs.hypothesis(nearest, solved=1)


def _damaged_at_first(known: KnownCell, tolerance: float) -> Iterator[Edit]:
    """The edits of the units that are off at the first step at which any is."""
    h, c = known.start
    for x, wanted in zip(known.x, known.h, strict=True):
        new_h, new_c = known.advance(x, h, c)
        is_off = np.abs(new_h - wanted) > tolerance
        units = np.flatnonzero(is_off.any(axis=0)).tolist()
        if units:
            for unit in units if len(units) <= DAMAGED_UNITS else ():
                yield from _of_unit(known, unit, (x, h, c), wanted[:, unit])
            return
        h, c = wanted, new_c


def _of_unit(
    known: KnownCell,
    unit: int,
    before: tuple[Array, Array, Array],
    wanted: Array,
) -> Iterator[Edit]:
    """The edits of one number or row of a unit that give its h after a step."""
    cell, (x, h, _) = known.cell, before
    for k, gate in enumerate(GATES):
        z = _added_to_gate(known, (k, unit), before, wanted)
        if z is None:
            continue
        yield from _if_alike(
            "weights.bias.number", (gate, unit), cell.bias[k, unit] + z, known
        )
        for part, weights, values in (
            ("kernel", cell.kernel, x),
            ("recurrent", cell.recurrent_kernel, h),
        ):
            row = weights[k, unit]
            name = f"weights.{part}"
            factors = 1 + z / (values @ row)
            yield from _if_alike(f"{name}.row", (gate, unit), factors, known)
            for n, weight in enumerate(row):
                place = gate, unit, n
                numbers = weight + z / values[:, n]
                yield from _if_alike(f"{name}.number", place, numbers, known)


def _added_to_gate(
    known: KnownCell,
    place: tuple[int, int],
    before: tuple[Array, Array, Array],
    wanted: Array,
) -> Array | None:
    """The numbers added to the pre-activation of a gate that give its h; None: none do."""
    gate, unit = place

    def h_with(z: Array) -> Array:
        added = np.zeros((len(GATES), known.cell.units, len(z)))
        added[gate, unit] = z
        return known.advance(*before, added)[0][:, unit]

    z = _bisected(h_with, wanted)
    return z if np.abs(h_with(z) - wanted).max() < LEAST else None


def _if_alike(
    name: str, place: tuple[Any, ...], numbers: Array, known: KnownCell
) -> Iterator[Edit]:
    """The edit of a number that is the same for each sequence."""
    finite = numbers[np.isfinite(numbers)]
    if finite.size and np.ptp(finite) <= ALIKE * max(1.0, np.abs(finite).max()):
        yield Edit(name, (*place, float(np.median(finite))), known.name)


def outputs(runs: EditedRuns) -> Tries:
    """A dense layer after h by least squares, and a dropout by factors."""
    (name, known), *others = runs.expected.arrays.items()
    given, wanted = runs.base.get(name, np.zeros(0)), known.values
    is_h = ArrayName.of(name).base == "h" and not others
    if not is_h or wanted.shape != given.shape:
        return
    if not (np.isfinite(wanted).all() and np.isfinite(given).all()):
        return
    mask = _dropout(given, wanted)
    if mask is not None:
        edit = Edit("outputs.mask", {"mask": mask}, file="mask.npz")
        yield runs.hypothesis(edit, solved=1 + mask.size // MASK_BITS)
    h = given.astype(np.float64).reshape(-1, given.shape[-1])
    y = wanted.astype(np.float64).reshape(-1, wanted.shape[-1])
    if len(h) > h.shape[1] + MORE_ROWS:
        ones = np.hstack([h, np.ones((len(h), 1))])
        matrix = np.linalg.lstsq(ones, y, rcond=None)[0]
        arrays = {"weights": matrix[:-1], "bias": matrix[-1]}
        edit = Edit("outputs.dense", arrays, file="dense.npz")
        yield runs.hypothesis(edit, solved=matrix.size)


def _dropout(given: Array, wanted: Array) -> Array | None:
    """The mask that makes EXPECTED of h: it keeps some units of each step; None: there is none."""
    factors = np.where(wanted == 0, 0, wanted / given)
    is_kept = np.abs(factors) > SMALL
    if is_kept.all() or not is_kept.any(axis=2).all():
        return None
    scale = float(np.median(factors[is_kept]))
    if np.abs(factors[is_kept] / scale - 1).max() >= ALIKE:
        return None
    return np.where(is_kept, float(f"{scale:.6g}"), 0.0)


class KindOfCell(NamedTuple):
    """A kind of edits of one cell or of all, and its values for their sizes."""

    kind: EditKind
    cell: str
    values: Iterator[Any]

    def edit(self, value: Any) -> Edit:
        """The edit with a value."""
        return Edit(self.kind.name, value, cell=self.cell)


def _kinds_of_all(runs: EditedRuns) -> Iterator[KindOfCell]:
    """The kinds of edits of all cells at once, or of the run."""
    has_agreeing = bool(_agreeing_cells(runs))
    sizes = _sizes(runs, runs.model.cell)
    for kind in EDITS.values():
        # where a cell agrees, not all are wrong
        may_be = not has_agreeing or kind.stage in OF_NETWORK
        if may_be and (kind.stage != "head" or runs.is_of_head):
            yield KindOfCell(kind, "", kind.values_for(sizes))


def _kinds_of_each(runs: EditedRuns) -> Iterator[KindOfCell]:
    """The kinds of edits of one of several cells, of those that may be wrong."""
    if len(runs.model.cells) == 1:
        return
    agreeing = _agreeing_cells(runs)
    wrong = [one for one in runs.model.cells if one[0] not in agreeing]
    for kind in EDITS.values():
        if kind.stage in OF_MODEL:
            continue
        for name, cell in wrong:
            yield KindOfCell(kind, name, kind.values_for(_sizes(runs, cell)))


def _agreeing_cells(runs: EditedRuns) -> set[str]:
    """The cells of which all of EXPECTED agrees as loaded."""
    agreeing, differing = set[str](), {""}
    allowance = runs.placement.allowance
    for name, right, total in compared(runs.base, runs.expected, allowance).arrays:
        cell = ArrayName.of(name).prefix
        if 0 < total == right:
            agreeing.add(cell)
        else:
            differing.add(cell)
    return agreeing - differing


def _sizes(runs: EditedRuns, cell: Cell) -> RunSizes:
    return RunSizes(runs.model, cell, runs.steps, _input_steps(runs))


def _input_steps(runs: EditedRuns) -> Sequence[int]:
    """The steps of the inputs of which one may be wrong, if one alone is."""
    if runs.is_off_at_first:
        firsts = set[int]()
        for known in runs.known_cells:
            firsts.add(runs.steps - 1 if known.runs_back else 0)
        return sorted(firsts) or [0]
    if runs.first_off is None:
        return range(runs.steps)
    return range(max(0, runs.first_off - LATE), runs.first_off + 1)


def table(runs: EditedRuns) -> Tries:
    """The values of the table of all cells at once, the usual first, by turns of families."""
    if runs.changes and runs.model.edits:  # that the search of settings ran without
        yield runs.hypothesis()
    families = _families(runs, _kinds_of_all(runs))
    if len(runs.model.layers) > 1:
        cells = [name for name, cell in runs.model.cells if cell.inputs == cell.outputs]
        edits = [Edit("outputs.residual", cell=name) for name in cells]
        residual = iter([runs.hypothesis(*edits)])
        families.setdefault("outputs", {})["layers"] = [residual]
    yield from _families_by_turns(families)


def table_of_each(runs: EditedRuns) -> Tries:
    """The same of one of several cells."""
    if runs.changes and runs.model.edits:
        yield runs.hypothesis()
    yield from _families_by_turns(_families(runs, _kinds_of_each(runs)))


def table_of_head(runs: EditedRuns) -> Tries:
    """The same of the layers after the LSTM."""
    if runs.changes and runs.model.edits:
        yield runs.hypothesis()
    of_head = (one for one in _kinds_of_all(runs) if one.kind.stage == "head")
    yield from _families_by_turns(_families(runs, of_head))


Families = dict[str, dict[str, list[Tries]]]
"""By family, kinds that differ by a gate or a state alone as one."""


def _families(runs: EditedRuns, kinds: Iterable[KindOfCell]) -> Families:
    """The tries of kinds by family; next to changes of usual values only."""
    most = None
    if runs.changes:
        by_first = runs.is_off_at_first or runs.first_off is not None
        most = USUAL_BY_FIRST if by_first else USUAL
    families: Families = {}
    for one in kinds:
        if one.kind.name in LATER:
            continue
        stem, _, last = one.kind.name.rpartition(".")
        alike = stem if len(last) == 1 else one.kind.name
        of_family = families.setdefault(one.kind.family, {})
        some = islice(one.values, most)
        of_family.setdefault(alike, []).append(map(_with_value(runs, one), some))
    return families


def _with_value(runs: EditedRuns, one: KindOfCell) -> Callable[[Any], Try]:
    return lambda value: runs.hypothesis(one.edit(value))


def _families_by_turns(families: Families) -> Tries:
    each = []
    for kinds in families.values():
        each.append(_by_turns(map(_by_turns, kinds.values())))
    return _by_turns(each)


def _by_turns(each: Iterable[Tries]) -> Tries:
    """The first of each, then the second of each: a budget ends no family before it began."""
    waiting = deque(each)
    while waiting:
        tries = waiting.popleft()
        for one in islice(tries, 1):
            yield one
            waiting.append(tries)


def table_of_layers(runs: EditedRuns) -> Tries:
    """The same of how layers and directions are run together, where there are several."""
    if len(runs.model.cells) > 1:
        for one in _kinds_of_all(runs):
            if one.kind.stage in OF_NETWORK:
                yield from map(_with_value(runs, one), one.values)


def rows_and_columns(runs: EditedRuns) -> Tries:
    """Rows and columns that are zero or exchanged, in each cell."""
    is_single = len(runs.model.cells) == 1
    for one in _kinds_of_all(runs) if is_single else _kinds_of_each(runs):
        if one.kind.name in LATER:
            for value in one.values:
                yield runs.hypothesis(one.edit(value))


def solutions(runs: EditedRuns) -> Tries:
    """The edits of all cells with a number, at the nearest one."""
    return _solved(runs, _kinds_of_all(runs))


def solutions_of_each(runs: EditedRuns) -> Tries:
    """The same of one of several cells."""
    return _solved(runs, _kinds_of_each(runs))


def _solved(runs: EditedRuns, kinds: Iterable[KindOfCell]) -> Tries:
    """The edits with a number, at the nearest one; those of a bound first.

    A bound is the largest number of EXPECTED, or none.
    """
    with_number = [one for one in kinds if one.kind.solved is not None]
    with_number.sort(key=lambda one: not one.kind.bound)
    for one in with_number:
        kind = one.kind
        case = runs.case_for((one.edit(kind.solved),))
        if case is None or not runs.work.left():
            continue
        starts = [value for value in one.values if isinstance(value, float)]
        if kind.bound:
            known = case.expected.at_known(lambda _, known: known.values)
            starts = [largest(np.abs(known)), *starts[:BOUND_STARTS]]
        else:
            starts = [kind.solved or 0.0, *starts[:STARTS]]
        number = solved_number(runs, one.edit, starts)
        if number is not None and number != kind.solved:
            with suppress(ValueError):  # the kind does not take every number
                yield runs.hypothesis(one.edit(kind.read(number)), solved=1)


def numbers(runs: EditedRuns) -> Tries:
    """Statistics of the data, and numbers that are solved for."""
    yield from statistics(runs)
    yield from solutions(runs)
    yield from inputs(runs)


def restarts(runs: EditedRuns) -> Tries:
    """The initial state, h or c again: in chunks, or at each step that is off.

    A last state shows only the last of these.
    """
    steps = 0 if runs.changes else runs.steps
    if runs.first_off is None:
        for edit in _any_restarts(runs, steps):
            yield runs.hypothesis(edit, solved=1)
    elif 1 < runs.first_off < steps:
        for part in STATES:
            chunks = Edit(f"state.chunks{part}", runs.first_off)
            yield runs.hypothesis(chunks, solved=1)
            yield from _restarts_at_steps(runs, part)


def _any_restarts(runs: EditedRuns, steps: int) -> Iterator[Edit]:
    """The restarts that EXPECTED may have where its steps do not show them."""
    if runs.expected.steps <= 1:
        for step in range(steps - 1, max(0, steps - 1 - LAST_STEPS), -1):
            yield Edit("state.anew", (step,))
        return
    for length in range(2, steps):
        if steps % length == 0:
            for part in STATES:
                yield Edit(f"state.chunks{part}", length)


def _restarts_at_steps(runs: EditedRuns, part: str) -> Tries:
    """The start again at each step that is off, with those before it."""
    steps = runs.steps
    starts: list[int] = []
    off = runs.first_off
    before = 0
    while off is not None and off > before + 1 and len(starts) < steps // 2:
        starts.append(off)
        before = off
        edit = Edit(f"state.anew{part}", tuple(starts))
        off = runs.first_wrong((edit,))
    are_chunks = [0, *starts] == list(range(0, steps, starts[0]))
    if off is None and not are_chunks:
        yield runs.hypothesis(edit, solved=len(starts))
