"""Two arrays of one name, brought to the same axes and cut to what is to be compared.

Arrays are compared as they lie by their layouts. If their shapes then differ, a run is looked for
on which both lie, one as all of it, as `lstmcli.core.model.layouts` lists. So (B, T, 2 H) of Keras
is "btw", and (T, 2, B, H) of ONNX lies on the same run as "tdbk": both are then (T, B, 2 H). Of
several ways the numbers decide first, then the cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product
from math import inf, prod

import numpy as np

from lstmcli.core.diff.operand import (
    FINAL,
    WEIGHTS,
    Side,
    joined,
    layout_by_shape,
    padded_steps,
    sequence,
)
from lstmcli.core.diff.pair import Pair, Taken, similarity
from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model import layouts
from lstmcli.core.model.layouts import Arrangement, RunShape
from lstmcli.core.model.part import AXES, Indices, counts_from_0, format_indices, take
from lstmcli.core.model.selection import Choice, numbers_on_axis
from lstmcli.errors import Try, UserError

_CLEARLY_NEARER = 6.0  # dB of signal over noise before every other candidate
_MOST_ARRANGEMENTS = 2**14  # arrangements of a side on one run
_ALIKE = 1.0  # costs as near are alike
_BY_NUMBERS = (
    100.0  # more, for what is taken only if its numbers agree or are the nearest
)

_STEPS_OF_BATCH = (
    10.0  # more, for steps on the axis that --layout batch calls sequences
)

LAST_VALID = "the last valid step of each sequence"
_COLUMNS = "column vectors"
_ENDS = (
    "the last step of each direction (the last valid one forward, the first backward)"
)

Choices = tuple[Choice | None, ...]  # of steps, batch items and units; None: all


def align(pair: Pair, sides: Sequence[Side], choices: Choices) -> Pair:
    """Bring both sides to the same axes, as far as layouts and numbers allow.

    Axes of length 1 are added and dropped. Then both sides are cut to what they share, and to
    the selection, unless the shorter one is the selection.
    """
    if pair.kind == WEIGHTS:
        return pair
    common = _common(_placed_by_layout(pair, sides), sides, choices)
    stacked = max(len(x.shape) for x in (pair.a, pair.b)) == (
        3 if pair.kind == FINAL else 4
    )
    if common.agrees is None or (stacked and not common.numbers_agree):
        common = _arranged(common, _Unlike(pair, sides, choices))
    return _selected(common, choices, sides)


def without_padding(pair: Pair, sides: Sequence[Side]) -> Pair:
    """A pair whose padded steps are zero, and marked as not compared."""
    if pair.stepwise and pair.agrees is not None:
        in_run = (pair.numbers[axis] or range(pair.a.shape[axis]) for axis in (0, 1))
        if (padded := padded_steps(sides, *in_run)).any():
            zeroed = pair.moved(
                lambda v: np.where(padded[..., None], v.dtype.type(0), v)
            )
            return replace(zeroed, padded=padded)
    return pair


def _placed_by_layout(pair: Pair, sides: Sequence[Side]) -> Pair:
    """Both sides as (T, B, H) by their layouts; last states as (1, B, H)."""
    a, b = pair.a, pair.b
    if pair.kind == FINAL:
        several = any(sum(n != 1 for n in x.shape[:-1]) > 1 for x in (a, b))
        if several or _several_cells((a, b), sides):
            return pair
        flat = pair.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1]))
        return replace(flat, placed=True)
    named = [side.layout for side in sides]
    both = [x.shape for x in (a, b)]
    of_two = [
        n for n in (1, 2) if all(len(x) == 4 and x[n] == 2 and x[0] > 1 for x in both)
    ]
    if of_two:
        a, b = (joined(x, of_two[-1 if "batch" in named else 0]) for x in (a, b))
    said = named[0] or named[1] or layout_by_shape(a, b)
    if said == "batch" and all(len(x.shape) == 2 for x in (a, b)):
        # of sequences (B, H) without steps: an end of each
        last = pair.moved(lambda v: v[None])
        return replace(last, placed=True, at_ends=True)
    one, other = (sequence(x, of or said) for x, of in zip((a, b), named, strict=True))
    if one is None or other is None:
        return replace(pair, a=a, b=b)
    return replace(pair, a=one, b=other, placed=True)


def _several_cells(arrays: Sequence[Numbers], sides: Sequence[Side]) -> bool:
    both = zip(arrays, sides, strict=True)
    return any(
        len(array.shape) > 2 and len(side.cells - {""}) > 1 for array, side in both
    )


def _common(pair: Pair, sides: Sequence[Side], choices: Choices) -> Pair:
    """A placed pair cut to what both sides contain of each axis.

    An axis stays where its lengths differ and neither files nor a choice tell why.
    """
    for axis, choice in enumerate(choices if pair.placed else ()):
        sizes = [array.shape[axis] for array in (pair.a, pair.b)]
        known = [
            side.indices(pair.name, axis, size)
            if pair.kind != FINAL or axis == 1
            else None
            for side, size in zip(sides, sizes, strict=True)
        ]
        short, chosen = sizes.index(min(sizes)), _among(choice, max(sizes)) or ()
        is_chosen = known == [None, None] and sides[short].settings is None
        if choice and is_chosen and len(chosen) == min(sizes) < max(sizes):
            known[short] = chosen
            part, full = pair.names[::-1] if short else pair.names
            of_full = Taken(part, f"{choice.option} {choice.text} of {full}")
            pair = replace(pair, taken=(*pair.taken, of_full))
        both = [*map(_indices, known, known[::-1], sizes)]
        parts = [
            (n, (AXES[axis], ours, pair.name))
            for n, (ours, theirs) in enumerate(zip(both, both[::-1], strict=True))
            if known[n] is not None and len(theirs)
            if not (counts_from_0(ours) and ours[-1] >= theirs[-1])
        ]
        if not parts:
            continue
        common = np.intersect1d(both[0], both[1]).tolist()
        if not common:
            one, other = map(format_indices, both)
            text = f"one side contains {AXES[axis]} {one}, the other {other}; they have none in"
            raise UserError(f"{pair.name}: {text} common.")
        places = [np.searchsorted(indices, common).tolist() for indices in both]
        pair = replace(
            _cut(pair, axis, common, *places),
            parts=(*pair.parts, *parts * (not is_chosen)),
        )
    return pair


def _cut(pair: Pair, axis: int, numbers: Indices, of_a: Indices, of_b: Indices) -> Pair:
    """A pair cut to indices of an axis; ``numbers`` are theirs in the run."""
    a = pair.a.moved(partial(take, numbers=of_a, axis=axis))
    b = pair.b.moved(partial(take, numbers=of_b, axis=axis))
    of_axes = (*pair.numbers[:axis], numbers, *pair.numbers[axis + 1 :])
    return replace(pair, a=a, b=b, numbers=of_axes)


def _indices(ours: Indices | None, theirs: Indices | None, size: int) -> Indices:
    """Tell what a side contains of an axis: a silent one from 0, if it can have the other's."""
    if ours is not None or not theirs:
        return ours or ()
    return range(size) if theirs[-1] < size else theirs if size == len(theirs) else ()


def _selected(pair: Pair, choices: Choices, sides: Sequence[Side]) -> Pair:
    """A pair cut to what is selected, unless its smaller side is that."""
    if not pair.placed and pair.kind == FINAL and any(choices):
        axes = "which axes are those of cells and batch items"
        return replace(pair, unaligned=f"in full, as no file tells {axes}")
    for axis, choice in enumerate(choices if pair.placed else ()):
        known = pair.numbers[axis]
        is_cut = axis < 2 and known is not None and not any(x.part[axis] for x in sides)
        if choice and not (choice.is_all or is_cut):
            try:
                (_, of_a), (numbers, of_b) = (
                    numbers_on_axis(choice, side.shape[axis], known, pair.name)
                    for side in (pair.a, pair.b)
                )
            except UserError as error:
                several = any(min(side.shape[:2]) > 1 for side in (pair.a, pair.b))
                is_known = (
                    pair.axes_named or not several or any(side.layout for side in sides)
                )
                if axis == 2 or is_known:
                    raise
                raise error.adding(
                    f"  The first axis of {pair.name} is assumed to be time.",
                    try_=[Try({"layout": "batch"})],
                ) from None
            pair = _cut(pair, axis, numbers, of_a, of_b)
    return pair


def _among(choice: Choice | None, size: int) -> Indices | None:
    """Return what is chosen of an axis: () if that is not there, None if nothing."""
    try:
        return None if choice is None else choice.among(size)
    except UserError:
        return ()


def _arranged(common: Pair, unlike: _Unlike) -> Pair:
    """The candidate whose numbers agree, or the only likely one; else ``common``.

    If none agrees, it is the only one whose first step does, else the clearly nearest, else the
    only one of about the least cost. The sides as they lie may be one, too.
    """
    is_candidate = common.agrees is not None and (common.placed or unlike.is_state)
    found = [common] * is_candidate + [*unlike.candidates()]
    agreeing = [one for one in found if one.numbers_agree]
    likely = [one for one in found if one.cost < _BY_NUMBERS]
    starting = [
        one for one in likely if len(one.a.values) > 1 and not one.differs[0].any()
    ]
    if not agreeing and len(starting) == 1:
        return starting[0]
    likeliest = [
        one for one in likely if one.cost <= min(x.cost for x in likely) + _ALIKE
    ]
    likeliest = [one for one in likeliest if not one.taken] or likeliest
    texts = [
        *dict.fromkeys(
            "; ".join(x.text("may be") for x in one.taken) for one in likeliest
        )
    ]
    why = "the last states of several cells, on an axis of one side" * unlike.cells
    if near := agreeing or _nearest(found):
        return min(
            near,
            key=lambda one: (one.cost >= _BY_NUMBERS, bool(one.numbers[1]), one.cost),
        )
    if len(texts) == 1:
        return likeliest[0]
    if texts:
        may_be = ", or ".join([*texts[:2], *["others"] * (len(texts) > 2)])
        why = (
            f"{may_be}; the numbers do not show which. Select it by --layout, --batch or --steps, "
            "or save one side with the axes of the other"
        )
    return common if common.agrees is not None else replace(common, unaligned=why)


def _nearest(found: Sequence[Pair]) -> list[Pair]:
    """The candidates whose numbers are clearly the nearest, all alike."""
    ratios = [
        round(similarity(one, np.isfinite(one.errors))[1] or -inf, 3) for one in found
    ]
    best, second = sorted({0.0, -inf, *ratios})[:-3:-1]
    near = [one for one, ratio in zip(found, ratios, strict=True) if ratio == best]
    return near if best > second + _CLEARLY_NEARER else []


class _Unlike:
    """Two sides of other axes, and what tells how they lie on one run."""

    def __init__(self, pair: Pair, sides: Sequence[Side], choices: Choices) -> None:
        self.pair, self.sides, self.choices = pair, sides, choices
        self.arrays, self.is_state = (pair.a, pair.b), pair.kind == FINAL
        # no layout gives the axes of last states
        self.said = tuple(None if self.is_state else side.layout for side in sides)
        self.cells = self.is_state and _several_cells(self.arrays, sides)

    def candidates(self) -> Iterator[Pair]:
        """Return every way in which both lie on a run, one as all of it."""
        for run in dict.fromkeys(run for n in (0, 1) for run in self._runs(n)):
            for both in product(*(self._arrangements(n, run) for n in (0, 1))):
                if self._fit(both):
                    yield from self._candidates(both)

    def _runs(self, n: int) -> Iterator[RunShape]:
        """Return what run a side may be; by itself a single axis is the steps."""
        shape, width = self.arrays[n].shape, self.arrays[1 - n].shape[-1]
        K, lead = shape[-1], [size for size in shape[:-1] if size != 1]
        runs = [(lead, 1, K)] + [(lead, 2, width)] * (2 * width == K)
        if width == 2 * K or len(shape) == (3 if self.is_state else 4):
            of_two = [axis for axis, size in enumerate(lead) if size == 2]
            runs += [([*lead[:axis], *lead[axis + 1 :]], 2, K) for axis in of_two]
        named = self.said[n] is not None and len(shape) == 3
        for sizes, D, units in runs:
            x, y, *more = *sizes, 1, 1
            orders = [(x, y)] + [(y, x)] * (y > 1 or named)
            if self.is_state:
                orders = [(1, x) if y == 1 else (x, y)]
            for T, B in orders if len(more) < 3 else ():
                yield RunShape(T, B, units, D)

    def _arrangements(self, n: int, run: RunShape) -> Iterator[Arrangement]:
        """How a side may lie on a run by its layout: all, a step, or a sequence."""
        chosen, items = map(_among, self.choices[:2], run[:2])
        in_file = (None, None) if self.is_state else self.sides[n].part[:2]
        steps = (
            None
            if in_file[0] is not None
            else [run.steps - 1]
            if chosen is None
            else chosen
        )
        shape, said = self.arrays[n].shape, self.said[n]
        usual = "batch" if (said or self.said[1 - n]) == "batch" else "time"
        listed = layouts.arrangements(shape, run._replace(layout=usual), steps, items)
        for one in islice(listed, _MOST_ARRANGEMENTS):
            if (
                (one.order == "C" and not one.units_first and one.units.is_all)
                and (one.sequences.is_all or "b" not in one.axes)
                and (not one.in_a_row or (one.steps.is_all and run.directions == 1))
                and (one.axes[-1:] in ("k", "w") or len(shape) == 1 or shape[-1] == 1)
                and all(
                    known is None
                    or (part.is_all and len(known) == part.of)  # selected of a run
                    or [*range(part.of)[part.indices]] == [*known]
                    for part, known in zip(one.parts, in_file, strict=False)
                )
                and _fits_layout(one, shape, said or "", in_file[0] is not None)
            ):
                yield one

    def _fit(self, both: Sequence[Arrangement]) -> bool:
        """Return whether one is all of the run, and the other is all or a usual part of it."""
        part, row = _is_part(both), any(one.in_a_row for one in both)
        exchanged = [n for n in (0, 1) if both[n].exchanged]
        full = any(one.is_all and not one.in_a_row for one in both)
        if not all(one.directions.is_all for one in both):
            full &= not (part or self.cells)
        if self.is_state:  # complete, and in one order of axes
            return full and not (part or row or exchanged)
        # the layout of a file is not that of stacked directions
        silent = [n for n in (0, 1) if self.said[n] is None or "d" in both[n].axes]
        one_of = [
            [n]
            for n in silent
            if len(silent) == 1 or part or both[0].run.directions > 1
        ]
        return full and (not exchanged or (exchanged in one_of and not row))

    def _candidates(self, both: Sequence[Arrangement]) -> Iterator[Pair]:
        """The candidates of two sides that lie so on a run."""
        n = int(both[0].is_all)
        one, of_run = both[n], self.sides[1 - n]
        *lead, half, of_units = one.parts
        in_file = [
            of_run.indices(self.pair.name, axis, part.of) or range(part.of)
            for axis, part in enumerate(lead)
        ]
        steps, items = (
            None if part.is_all and counts_from_0(indices) else indices[part.indices]
            for part, indices in zip(lead, in_file, strict=True)
        )
        units = range(half.first * of_units.of, (half.first + 1) * of_units.of)
        contradicts_layout = any(
            x.exchanged and of for x, of in zip(both, self.said, strict=True)
        )
        # of two full sides, the one without stacked directions has the unknown layout
        plain_first = self.said == (None, None) and not _is_part(both)
        unknown = (
            x.exchanged and of is None and not (plain_first and "d" in x.axes)
            for x, of in zip(both, self.said, strict=True)
        )
        columns = [
            array.shape[-1:] == (1,) < x.shape[-1:] and x.axes[-1:] in {"k", "w"}
            for array, x in zip(self.arrays, both, strict=True)
        ]
        cost = (
            sum(x.cost for x in both)
            - layouts.EXCHANGED * any(unknown)
            + layouts.IN_A_ROW * any(columns)
        )
        for x, of in zip(both, self.said, strict=True):
            if of == "batch" and x.is_of_steps:
                cost += _STEPS_OF_BATCH
        if self.is_state:  # no axis is out of place
            cost = layouts.OTHER_DIRECTIONS * sum("d" in x.axes for x in both)
        read = [array.moved(x.read) for array, x in zip(self.arrays, both, strict=True)]
        valid = ~padded_steps([of_run], *in_file)
        for part, ends in self._parts_of_run(read[1 - n], one, valid):
            read[1 - n] = part
            taken = tuple(
                Taken(self.pair.names[n], text, self.arrays[n].shape)
                for n, x in enumerate(both)
                if (text := layouts.words(x, ends) or _COLUMNS * columns[n])
            )
            a, b = (side.moved(lambda v: v.reshape(*v.shape[:2], -1)) for side in read)
            yield replace(
                self.pair,
                a=a,
                b=b,
                cost=cost
                + _BY_NUMBERS
                * (not half.is_all or ends == _ENDS or contradicts_layout),
                placed=not self.is_state or lead[0].of == 1,
                numbers=(
                    None if ends else steps,
                    items,
                    None if half.is_all else units,
                ),
                taken=taken,
                axes_named=_is_part(both) or any(x.exchanged for x in both),
                is_half=not half.is_all and self.choices[2] is None,
                at_ends=bool(ends),
            )

    def _parts_of_run(
        self, run: Numbers, one: Arrangement, valid: Mask
    ) -> Iterator[tuple[Numbers, str]]:
        """All that the smaller side may be of a run (T, B, D, K), and the ends that it has.

        The last step is the last valid one (T, B) of each sequence, or of each direction.
        """
        T, B, D, K = run.shape
        is_last = one.steps.is_last_step and one.sequences.is_all and not self.is_state
        if not is_last or self.choices[0] is not None:
            yield run[one.place], ""
            return
        items, first = np.arange(B), valid.argmax(axis=0)
        last = T - 1 - valid[::-1].argmax(axis=0)
        yield run[last, items][None], "" if valid.all() else LAST_VALID
        if D * K % 2 == 0:
            second = (np.arange(D * K) >= D * K // 2).reshape(D, K)
            ends = run.moved(
                lambda v: np.where(second, v[first, items], v[last, items])[None]
            )
            yield ends, _ENDS


def _is_part(both: Sequence[Arrangement]) -> bool:
    return not all(one.steps.is_all and one.sequences.is_all for one in both)


def _fits_layout(
    one: Arrangement, shape: tuple[int, ...], layout: str, is_numbered: bool
) -> bool:
    """Return whether the axes are those that the layout of a side names.

    A step that has an axis is the last one only if the file numbers it so.
    """
    named = {"batch": "bt", "time": "tb", "steps": "t"}.get(layout, "")
    if not named or "d" in one.axes or len(shape) != len(named) + 1:
        return True
    places = zip(one.places or (), one.axes, strict=False)
    in_place = all(named[n : n + 1] == axis for n, axis in places if axis in "tb")
    has_steps = "t" in one.axes or one.steps.is_all or is_numbered
    return has_steps and (in_place or not one.sequences.is_all)
