"""The runs of a placement with edits, and the variants of the table that they are tried with.

A variant is accepted only by a full run. Where a run is causal, it is first run up to the first
step at which the run as loaded is off, which nearly all variants fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import FINAL, ArrayName
from lstmcli.core.explain.causes import Change, Changes, settings_of
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.observation import Allowance, Expected, KnownValues
from lstmcli.core.explain.verify import (
    FINE,
    Agreement,
    Case,
    in_steps,
    verify,
    with_array,
)
from lstmcli.core.forward.equations import F, is_eight_bit, parts_of, step
from lstmcli.core.forward.plan import Plan, plan_of
from lstmcli.core.forward.prepare import with_edits
from lstmcli.core.forward.run import run_in_memory, runs_forward
from lstmcli.core.forward.sequence import edited_outputs
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import (
    EDITS,
    NETWORK,
    OF_MODEL,
    OUTPUTS,
    TENSORS,
    Edit,
    EditKind,
    RunSizes,
    edits_in,
)
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.errors import UserError

LEAST_BITS = 24.0  # of what EXPECTED shows beyond what was chosen and solved for
USUAL = 5, 10  # values of each kind next to a change, where each is a full run and a first step
MORE_NUMBERS = 3  # that an edit explains, than numbers were solved for
SLACK = 4.0  # tolerances by which a first step may be off, as rounding grows
ROUNDED = 3e-4  # a difference that rounding may make
MOST_BITS = 40.0  # of one number: log2 of how far off it was
PREPARING, PACKING = 5e3, 0.13  # the work of a cell before its first step, and a number of K
STEP, SEQUENCE = 150, 20  # of a step, and of one sequence in it
FIRST_STEP, PACKING_FIRST = 700, 0.02  # of a first step computed by itself, and of its cells
SOLVING_STEPS = 8  # from the first one that is off, over which a number is solved for
SOLVED_STEPS = 3  # from the first one that is off, that solved numbers have to give
SOLVED_WITHIN = 4.0  # tolerances: several numbers solved from rounded ones take rounding on
NEARLY = 1e3  # tolerances by which a number that a single step implies may be off at the next
LESS = 0.1  # of the misfit without an edit, that may be left with the number that is nearest
STARTS, STARTED = 4, 2  # usual numbers to begin from, and the nearest, where Gauss-Newton does
ITERATIONS = 25  # of Gauss-Newton, 12 where each is a run
HALFWAY = 0.4, 0.2  # of them, after which so much of the misfit may be left
DECIMALS = 8  # of a solved number, at most; then it has nine digits
PARTS = ("", ".h", ".c")  # of the state, that begins anew
LAST_STEPS = 64  # at which it is tried, where only a last state is known


class Variant(NamedTuple):
    """Edits that may give EXPECTED."""

    edits: tuple[Edit, ...]
    solved: int = 0  # numbers that were taken from EXPECTED


class KnownCell(NamedTuple):
    """A cell of the last layer of which EXPECTED has h, in the order of its steps."""

    name: str  # "" of a single cell
    cell: Cell
    h: Array  # (T, B, P)
    allowed: Array  # (B, P): the tolerances of the first step
    x: Array  # (T, B, I): of the model
    start: tuple[Array, Array]
    runs_back: bool  # it takes the last step first


class EditedRuns:
    """The runs of a placement with edits, next to EXPECTED.

    ``of_run`` are what the placement changes, ``changes`` those of settings next to the edits.
    """

    def __init__(
        self,
        case: Case,
        allowance: Allowance,
        location: Location,
        of_run: Changes = (),
        changes: Changes = (),
    ) -> None:
        self.case, self.allowance, self.location = case, allowance, location
        self.of_run, self.changes = of_run, changes
        self._settings = settings_of((*of_run, *changes))
        self.model = self.case.model({**self._settings, **FINE})
        kernels = ((c.kernel, c.recurrent_kernel) for _, c in self.model.cells)
        self._numbers = sum(kernel.size for both in kernels for kernel in both)

    def adding(self, changes: Changes) -> EditedRuns:
        """The same under changes of settings."""
        return EditedRuns(self.case, self.allowance, self.location, self.of_run, changes)

    @property
    def sizes(self) -> RunSizes:
        """The sizes of the run, and its first cell."""
        return RunSizes(self.model, self.model.cell, self.case.size[0])

    # ---- runs

    def run(
        self, edits: Sequence[Edit], until: int | None = None, case: Case | None = None
    ) -> Mapping[str, Array] | None:
        """The arrays of a run, or of its first steps; None where the edits do not fit it."""
        case = case or self.case
        try:
            plan = replace(self._prepared(edits), keep=case.names(self._settings))
            plan = plan if until is None else plan.until(min(until, plan.steps))
            given: Mapping[str, Array] = run_in_memory(plan)
            cells = plan.model.cells
        except UserError:
            return None
        steps = plan.steps * (STEP + SEQUENCE * plan.batch)
        case.work.add_edited(len(cells) * (PREPARING + steps) + PACKING * self._numbers)
        given = with_array(given, self._settings.get("array", "h"))
        steps = case.size[0] if until is None else until
        return {name: in_steps(array, steps) for name, array in given.items()}

    @cached_property
    def _plan(self) -> Plan:
        case = self.case
        return plan_of(self.model, case.inputs(self._settings), case.names(self._settings))

    def _prepared(self, edits: Sequence[Edit]) -> Plan:
        return with_edits(replace(self._plan, model=self.edited(edits)))

    def edited(self, edits: Sequence[Edit]) -> Model:
        """The model with edits next to those that are given."""
        if edits_in(TENSORS, edits):
            every = (*self.model.edits, *edits)
            return self.case.model({**self._settings, **FINE, "edits": every})
        return replace(self.model, edits=(*self.model.edits, *edits))

    def case_for(self, edits: Sequence[Edit]) -> Case | None:
        """How EXPECTED is compared with edits: an output that is edited is not the last state.

        None if these edits cannot be compared.
        """
        if not edits_in(OUTPUTS, edits):
            return self.case
        expected, location = self.case.expected, self.location
        if location.are_gates and edits[0].kind.takes == "z":
            parts = [expected.arrays[gate] for gate in location.arrays[0].arrays]
            joined = [
                np.concatenate([getattr(p, k) for p in parts], -1) for k in ("values", "half")
            ]
            return replace(self.case, expected=Expected({"h": KnownValues(*joined)}))
        if not any(ArrayName.of(name).kind == FINAL for name in expected.arrays):
            return self.case
        is_padded = self.case.lengths is not None or self.case.mask is not None
        if location.state != "the last h" or is_padded:
            return None
        (known,) = expected.arrays.values()
        shape = self.case.size[0], *known.values.shape
        last = KnownValues(np.full(shape, np.nan), np.zeros(shape))
        last.values[-1], last.half[-1] = known.values, known.half
        return replace(self.case, expected=Expected({"h": last}))

    # ---- how far runs are from EXPECTED

    def off(
        self, given: Mapping[str, Array] | None, case: Case | None = None, until: int | None = None
    ) -> Array:
        """A run less EXPECTED, number by number, in tolerances; of the steps before ``until``.

        Infinite where the run has no such number.
        """
        parts = [np.zeros(0)]
        for name, known in (case or self.case).expected.arrays.items():
            if until is None or name in self._in_order(case):
                part = known[:until]
                of_run = None if given is None else given.get(name)
                if of_run is None or of_run.shape != part.values.shape:
                    of_run = np.full(part.values.shape, np.inf)
                off = (of_run - part.values) / self.allowance.of(part)
                parts.append(off[np.isfinite(part.values)])
        return np.nan_to_num(np.concatenate(parts), nan=np.inf, posinf=np.inf, neginf=-np.inf)

    @cached_property
    def known_cells(self) -> list[KnownCell]:
        """The cells of the last layer of which EXPECTED has steps; those below run forward."""
        plan, (*lower, last) = self._prepared(()), self.model.layers
        found, several = list[KnownCell](), len(plan.model.cells) > 1
        if plan.valid is not None or "array" in self._settings or any(map(is_eight_bit, last)):
            return found
        x, first = plan.block(), len(plan.model.cells) - len(last)
        for d, (name, cell) in enumerate(plan.model.cells[first:]):
            known = self.case.expected.arrays.get(f"{name}.h" if several else "h")
            if known is None or known.values.ndim < 3 or (lower and not runs_forward(self.model)):
                return []
            order = StepOrder.of_cell(cell.convention.behaviour, d == 1)
            reads, shown = (steps[:, 0] for steps in processed_steps(order, plan.steps))
            one, allowed = known.values[shown], self.allowance.of(known[shown[0]])
            start, name = plan.states[first + d], name * several
            found.append(KnownCell(name, cell, one, allowed, x[reads], start, order.runs_back))
        return found

    def off_at_first(self, edits: Sequence[Edit]) -> Array:
        """How far off the first step of each direction is, in tolerances, computed by itself."""
        off = []
        of_tensors = PREPARING * bool(edits_in(TENSORS, edits))
        work = FIRST_STEP * (1 + len(self.model.cells)) + PACKING_FIRST * self._numbers
        self.case.work.add_edited(work + of_tensors)
        with suppress(UserError, ValueError, KeyError):  # another width, or z in the place of h
            plan = self._prepared(edits)
            for d, known in enumerate(self.known_cells):
                h = plan.block()[-known.runs_back]
                for n, layer in enumerate(plan.model.layers):
                    below, (cell, state) = h[None], (layer[d], plan.states[n * len(layer) + d])
                    h, _ = stepper(cell)(h, *state)
                    h = edited_outputs(cell, below, {"h": h[None]})["h"][0]
                off.append(((h - known.h[0]) / known.allowed)[np.isfinite(known.h[0])])
            found: Array = np.nan_to_num(np.concatenate([*off, np.zeros(0)]), nan=np.inf)
            return found
        return np.full(sum(int(np.isfinite(one.h[0]).sum()) for one in self.known_cells), np.inf)

    @cached_property
    def _is_off_at_first(self) -> bool:
        """Tell whether the run without further edits is off at such a step already."""
        return bool(np.abs(self.off_at_first(())).max(initial=0) > SLACK)

    @cached_property
    def base(self) -> Mapping[str, Array]:
        """The run without further edits."""
        return self.run(()) or {}

    @cached_property
    def _growth(self) -> float:
        """How many times the usual rounding the run without further edits makes.

        An edit makes no more: a table or a rounding to decimals jumps between float32 and float64.
        """
        return verify(self.case, (*self.of_run, *self.changes), self.allowance).growth

    @cached_property
    def _causal(self) -> tuple[str, ...]:
        """EXPECTED's arrays of steps of which each needs only those before it."""
        names = [n for n, one in self.case.expected.arrays.items() if one.values.ndim == 3]
        if runs_forward(self.model):
            return tuple(names)
        behaviours = [cell.convention.behaviour for _, cell in self.model.cells]
        if len(self.model.layers) > 1 or any(b.reverse or b.go_backwards for b in behaviours):
            return ()
        return tuple(n for n in names if ArrayName.of(n).prefix == "layer0")

    @cached_property
    def _right(self) -> frozenset[str]:
        """The cells of which EXPECTED has numbers, and the run without further edits gives them."""
        wrong = {""}
        for name, known in self.case.expected.arrays.items():
            off = self.off(self.base, replace(self.case, expected=Expected({name: known})))
            if not off.size or np.abs(off).max() > 1:
                wrong.add(ArrayName.of(name).prefix)
        return frozenset(ArrayName.of(name).prefix for name in self.case.expected.arrays) - wrong

    def _in_order(self, case: Case | None) -> Sequence[str]:
        """The arrays of which first steps are compared; an edited output is one of them."""
        return self._causal if case in (None, self.case) else ("h",)

    @cached_property
    def first_off(self) -> int | None:
        """The first step at which the run as loaded is off; None where steps need later ones."""
        return self.first_wrong(self.base)

    def first_wrong(self, given: Mapping[str, Array]) -> int | None:
        """The first step at which a run is off; None if none is, or steps need later ones."""
        first: list[int] = []
        for name in self._causal:
            known, array = self.case.expected.arrays[name], given.get(name)
            if array is not None and array.shape == known.values.shape:
                off = np.abs(array - known.values) > self.allowance.of(known)
                first += np.flatnonzero(off.any(axis=(1, 2)))[:1].tolist()
        return min(first, default=None)

    def fits(self, variant: Variant) -> Agreement | None:
        """How a variant compares with EXPECTED, if it meets every number that is known."""
        case = self.case_for(variant.edits)
        if case is None:
            return None
        self.case.work.variants += 1
        by_first = case is self.case and self._is_off_at_first
        if by_first and np.abs(self.off_at_first(variant.edits)).max() > SLACK:
            return None
        if self.first_off is not None:  # what is solved for fits there by construction
            until = self._steps_after_first(SOLVED_STEPS if variant.solved else 1)
            first = self.off(self.run(variant.edits, until, case), case, until)
            if np.abs(first).max(initial=0) > SLACK:
                return None
        off = self.off(self.run(variant.edits, case=case), case)
        worst, allowance = float(np.abs(off).max(initial=0)), self.allowance
        is_rounding = worst <= 1 or worst * allowance.absolute <= ROUNDED
        if worst > SLACK * self._growth or not is_rounding:
            return None
        if variant.solved > 1:
            looser = SOLVED_WITHIN * allowance.absolute, SOLVED_WITHIN * allowance.relative
            allowance = allowance._replace(absolute=looser[0], relative=looser[1])
        every = Change("edits", (*self.model.edits, *variant.edits))
        agreement = verify(case, (*self.of_run, *self.changes, every), allowance)
        return agreement if agreement.fits else None

    def proved(self, variant: Variant) -> tuple[Agreement, float] | None:
        """How a variant compares, and its bits, where it gives EXPECTED and that shows enough."""
        case, agreement = self.case_for(variant.edits), self.fits(variant)
        if case is None or agreement is None:
            return None
        bits = [self._bits(self.off(self.base, case), variant.solved)] if variant.edits else []
        if self.changes:
            alone = self.adding(())
            off = alone.off(alone.run(variant.edits, case=case), case)
            bits.append(self._bits(off, variant.solved))
        return (agreement, min(bits)) if all(bits) else None

    @cached_property
    def is_telling(self) -> bool:
        """Return whether EXPECTED has numbers enough that are off to show any edit."""
        return self._bits(self.off(self.base), 0) > 0

    def _bits(self, off: Array, solved: int) -> float:
        """The bits of evidence; 0 where these, or the numbers that show them, are too few.

        Each of EXPECTED's numbers counts by how far off the run as loaded is. What was solved for
        may account for as many numbers, those that were furthest off; and the choice among all
        that were tried costs its bits.
        """
        size = np.minimum(np.log2(np.maximum(np.abs(off), 1)), MOST_BITS)
        distinct = self.case.expected.distinct(self.allowance)
        share = min(1.0, distinct / max(1, off.size))
        counted = np.sort(size)[: max(0, len(size) - solved)]
        bits = float(counted.sum()) * share - math.log2(max(2, self.case.work.variants))
        is_shown = int((size > 0).sum() * share) >= solved + MORE_NUMBERS
        return bits if bits >= LEAST_BITS and is_shown else 0.0

    # ---- variants

    def table(self, *, each: bool = False) -> Iterator[Variant]:
        """The values of the table, the usual ones first, of all cells at once or of each.

        Next to changes the usual ones alone, of which fewer where each needs a full run.
        """
        by_first = self._is_off_at_first or self.first_off is not None
        most = USUAL[by_first] if self.changes else None
        if self.changes and self.model.edits:  # the settings' search ran without those given
            yield Variant(())
        for kind, cell, sizes in self._kinds(each):
            if kind.name not in LATER:
                yield from islice(_variants(kind, cell, sizes), most)
        if len(self.model.layers) > 1 and not each:
            names = [name for name, cell in self.model.cells if cell.inputs == cell.outputs]
            yield Variant(tuple(Edit("outputs.residual", cell=name) for name in names))

    def solutions(self, *, each: bool = False) -> Iterator[Variant]:
        """The edits with a number, at the number that comes nearest; those of a bound first.

        A bound is the largest number of EXPECTED, or none.
        """
        for kind, cell, _ in sorted(self._kinds(each), key=lambda one: not one[0].bound):
            if kind.solved is not None:
                yield from self._solved(kind, cell)

    def damage(self) -> Iterator[Variant]:
        """Rows and columns that are zero or exchanged, in the only cell or in each."""
        for kind, cell, sizes in self._kinds(each=len(self.model.cells) > 1):
            if kind.name in LATER:
                yield from _variants(kind, cell, sizes)

    def _kinds(self, each: bool) -> Iterator[tuple[EditKind, str, RunSizes]]:
        """The kinds of edits, of all cells at once or of each of several, if it may be wrong."""
        cells = self.model.cells if len(self.model.cells) > 1 else ()
        wrong = [(n, self.sizes._replace(cell=cell)) for n, cell in cells if n not in self._right]
        for kind in EDITS.values():
            if not each and (kind.stage == NETWORK or not self._right):
                yield kind, "", self.sizes
            elif each and kind.stage not in OF_MODEL:
                yield from ((kind, cell, sizes) for cell, sizes in wrong)

    def restarts(self) -> Iterator[Variant]:
        """The initial state, h or c again: in chunks of one length, or at each step that is off.

        Of a last state, only the last of these steps shows.
        """
        steps = self.sizes.steps if not self.changes else 0
        if self.first_off is None:
            lengths = [n for n in range(2, steps) if steps % n == 0]
            edits = [Edit(f"state.chunks{part}", n) for n in lengths for part in PARTS]
            if self.case.expected.steps <= 1:
                edits = [Edit("state.anew", (n,)) for n in range(steps)[:0:-1][:LAST_STEPS]]
            yield from (Variant((edit,), 1) for edit in edits)
            return
        for part in PARTS if 1 < self.first_off < steps else ():
            yield Variant((Edit(f"state.chunks{part}", self.first_off),), 1)
            found, off = [0], self.first_wrong(self.base)
            while off is not None and off > found[-1] + 1 and len(found) <= steps // 2:
                found.append(off)
                edit = Edit(f"state.anew{part}", tuple(found[1:]))
                off = self.first_wrong(self.run((edit,)) or {})
            if off is None and found != [*range(0, steps, found[1])]:
                yield Variant((edit,), len(found) - 1)

    def _solved(self, kind: EditKind, cell: str) -> Iterator[Variant]:
        case = self.case_for((Edit(kind.name, kind.solved, cell),))
        if case is None or not self.case.work.may_edit():
            return
        known = (k.values[np.isfinite(k.values)] for k in case.expected.arrays.values())
        size = max((float(np.abs(numbers).max(initial=0)) for numbers in known), default=1.0)
        numbers = [v for v in kind.values_for(self.sizes) if isinstance(v, float)]
        nothing = float(kind.solved or 0)
        starts = [size, *numbers[:2]] if kind.bound else [nothing, *numbers[:STARTS]]
        number = self.solved_number(lambda a: Edit(kind.name, a, cell), starts, case)
        if number not in (None, kind.solved):
            with suppress(ValueError):  # the kind does not take every number
                yield Variant((Edit(kind.name, kind.read(number), cell),), 1)

    def solved_number(
        self, edit: Callable[[float], Edit], starts: Sequence[float], case: Case
    ) -> Any:
        """The number of an edit that comes nearest, with the fewest decimals that are as near."""
        until, is_first = self._steps_after_first(SOLVING_STEPS), case is self.case
        base = float(np.abs(self.off(self.base, case, until)).max(initial=0))
        nearly = max(SLACK, min(NEARLY, LESS * base))
        ways: list[Callable[[Edit], Array]] = [lambda edit: self.off_at_first((edit,))]
        ways = ways[: is_first and self._is_off_at_first]
        for way in (*ways, lambda edit: self.off(self.run((edit,), until, case), case, until)):

            def off(numbers: Array, way: Callable[[Edit], Array] = way) -> Array:
                return np.array([way(edit(number)) for number in numbers[:, 0].tolist()])

            number, rest = _nearest_number(off, starts)
            if rest > nearly:
                return None
            starts = (number,)
        for decimals in range(DECIMALS):
            if np.abs(off(np.array([[round(number, decimals)]]))).max(initial=0) <= 1:
                return round(number, decimals) + 0.0  # no -0
        return float(f"{number:.9g}")

    def refined(self, edit: Edit) -> Edit | None:
        """An edit that lists a number last, with that which comes nearest; None if none is near."""
        *place, number = edit.value
        until = self._steps_after_first(2)
        if np.abs(self.off(self.run((edit,), until), until=until)).max(initial=0) > NEARLY:
            return None
        solved = self.solved_number(
            lambda a: replace(edit, value=(*place, a)), (number,), self.case
        )
        return edit if solved is None else replace(edit, value=(*place, solved))

    def _steps_after_first(self, count: int) -> int | None:
        """Where this many steps from the first one that is off end; None where all are needed."""
        return None if self.first_off is None else min(self.first_off + count, self.case.size[0])


def _variants(kind: EditKind, cell: str, sizes: RunSizes) -> Iterator[Variant]:
    return (Variant((Edit(kind.name, value, cell),)) for value in kind.values_for(sizes))


def _nearest_number(off: Callable[[Array], Array], starts: Sequence[float]) -> tuple[float, float]:
    """The number to which Gauss-Newton comes from the nearest starts, and how far off that is."""
    every = np.unique(starts)[:, None]
    costs = np.nan_to_num((off(every) ** 2).sum(axis=1), nan=np.inf)
    solved = (gauss_newton(off, every[[n]], 12) for n in np.argsort(costs)[:STARTED])
    return min(((p.item(), float(np.abs(r).max())) for p, r in solved), key=itemgetter(1))


LATER = tuple(name for name in EDITS if name.endswith((".row", ".column", ".columns")))
"""Edits of many values."""


Step = Callable[..., tuple[Array, Array]]
"""Takes x (R, I), h (R, P) and c (R, H), and gives the next h and c."""


def stepper(cell: Cell) -> Step:
    """The step of a cell, in which something may be added to its pre-activations (4, H, R)."""
    parts = parts_of(cell)
    bias = np.zeros_like(cell.bias) if cell.norm_scale is not None else cell.bias.copy()
    if cell.norm_scale is None:
        bias[F] += cell.dtype.type(cell.convention.behaviour.forget_bias)

    def advance(x: Array, h: Array, c: Array, added: Any = 0.0) -> tuple[Array, Array]:
        z = cell.kernel @ x.T + cell.recurrent_kernel @ h.T + bias[:, :, None] + added
        new = step(z, c.T, parts)
        new_h, new_c = parts.kept(*new, h.T, c.T) if parts.kept else new
        return new_h.T, new_c.T

    return advance


def gauss_newton(
    residual: Callable[[Array], Array], start: Array, iterations: int = ITERATIONS
) -> tuple[Array, Array]:
    """Parameters (B, N) of independent problems, and what is left (B, M); damped.

    ``residual`` takes (B n, N), n sets for each problem in a row, and gives (B n, M).
    """
    p, (B, N) = start.copy(), start.shape
    damping, r, better = np.full(B, 1e-6), residual(p), np.ones(B, bool)
    first, shorter = float((r**2).sum()), 0.5 * (N == 1)  # along one number a stride is shortened
    for n in range(iterations):
        if better.any():
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
        damping = np.where(better, damping * 0.1, np.maximum(damping * 20, shorter)).clip(1e-14)
        if n >= HALFWAY[0] * iterations and (r**2).sum() > HALFWAY[1] * first:
            break
        is_done = (np.abs(stride) < 1e-10 * np.maximum(1, np.abs(p))).all(axis=1)
        if np.abs(r).max() < 1e-13 or (is_done | (damping > 1e4)).all():
            break
    return p, r
