"""Two arrays of different axes: the ways in which both lie on one run, and which one is taken.

(B, T, 2 H) of Keras lies on a run as "btw", (T, 2, B, H) of ONNX as "tdbk": both are (T, B, 2 H).
One of the two arrays is all of the run; the other one may be a step, a sequence or a direction.
`lstmcli.core.model.layouts` lists how an array may lie on a run, with a cost of what is unusual.
The numbers choose between candidates, and the cost where they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

import numpy as np

from lstmcli.core.diff.figures import similarity
from lstmcli.core.diff.operand import FINAL, Side
from lstmcli.core.diff.padding import padded_steps
from lstmcli.core.diff.pair import Pair, Placement, Taken
from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model import layouts
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import axes_of_two, without_axis
from lstmcli.core.model.layouts import Arrangement, AxisRange, RunShape
from lstmcli.core.model.part import Indices, counts_from_0
from lstmcli.core.model.selection import Choice
from lstmcli.errors import UserError

_CLEARLY_NEARER = 6.0  # dB of signal over noise before every other candidate
_MOST_ARRANGEMENTS = 2**14  # arrangements of a side on one run
_ALIKE = 1.0  # costs as near are alike
# more, for steps on the axis that --layout batch calls sequences
_STEPS_OF_BATCH = 10.0
_MOST_NAMED = 2  # candidates, of several that are alike

LAST_VALID = "the last valid step of each sequence"
_COLUMNS = "column vectors"
_ENDS = (
    "the last step of each direction (the last valid one forward, the first backward)"
)
_OF_CELLS = "the last states of several cells, on an axis of one side"

Choices = tuple[Choice | None, ...]  # of steps, batch items and units; None: all
Both = tuple[Arrangement, Arrangement]  # of side 0 and side 1 on one run


@dataclass(frozen=True)
class Candidate:
    """A way in which both sides lie on one run."""

    pair: Pair
    cost: float = 0.0
    is_doubtful: bool = False  # taken only if its numbers agree, or are the nearest


def has_axis_of_cells(array: Numbers, side: Side) -> bool:
    """Return whether last states of several cells may be along an axis."""
    return len(array.shape) > 2 and len(side.cells - {""}) > 1


def indices_chosen(choice: Choice, size: int) -> Indices:
    """The indices that are chosen of an axis; () if it has none of them."""
    try:
        return choice.among(size)
    except UserError:
        return ()


class Search:
    """The search for a run on which both sides of a pair lie."""

    def __init__(self, pair: Pair, sides: Sequence[Side], choices: Choices) -> None:
        self.pair, self.sides = pair, sides
        self.arrays = (pair.a, pair.b)
        self.steps_chosen, self.items_chosen, self.units_chosen = choices
        self.is_state = pair.kind == FINAL
        # no layout tells the axes of last states
        self.layouts = [None if self.is_state else side.layout for side in sides]
        has_cells = any(map(has_axis_of_cells, self.arrays, sides))
        self.has_cells = self.is_state and has_cells

    # ---- which candidate is taken

    def best(self, common: Pair) -> Pair:
        """The pair of the best candidate; ``common``, as it lies, if there is none."""
        candidates = list(self.candidates())
        if common.agrees is not None and (common.placed or self.is_state):
            candidates.insert(0, Candidate(common))
        shown = _shown_by_numbers(candidates)
        if shown is not None:
            return shown.pair
        likeliest = _likeliest(candidates)
        texts = list(dict.fromkeys(one.pair.placement.possible for one in likeliest))
        if len(texts) == 1:
            return likeliest[0].pair
        if common.agrees is not None:
            return common
        why_not = _OF_CELLS if self.has_cells else ""
        if texts:
            shown_texts = texts[:_MOST_NAMED]
            if len(texts) > _MOST_NAMED:
                shown_texts.append("others")
            why_not = (
                f"{', or '.join(shown_texts)}; the numbers do not show which. Select it by "
                "--layout, --batch or --steps, or save one side with the axes of the other"
            )
        return replace(common, placement=common.placement._replace(why_not=why_not))

    # ---- all candidates

    def candidates(self) -> Iterator[Candidate]:
        """Every way in which both sides lie on a run, one of them as all of it."""
        runs = dict.fromkeys(self._runs(0))
        runs |= dict.fromkeys(self._runs(1))
        for run in runs:
            of_a, of_b = self._arrangements(0, run), self._arrangements(1, run)
            for both in product(of_a, of_b):
                if self._fit(both):
                    yield from self._candidates_of(both)

    def _runs(self, n: int) -> Iterator[RunShape]:
        """The runs that a side may be all of; by itself a single axis is the steps."""
        is_named = self.layouts[n] is not None and len(self.arrays[n].shape) == 3
        for lead, units, directions in self._directions(n):
            if len(lead) > 2:
                continue
            first, second = [*lead, 1, 1][:2]
            if self.is_state and second == 1:
                yield RunShape(1, first, units, directions)
                continue
            yield RunShape(first, second, units, directions)
            if not self.is_state and (second > 1 or is_named):
                yield RunShape(second, first, units, directions)

    def _directions(self, n: int) -> Iterator[tuple[list[int], int, int]]:
        """The other axes, the units of a direction and the directions that a side may have.

        Two are side by side if the other side has half as many units. They are on an axis if
        the other side has twice as many, or by the number of axes.
        """
        *others, width = self.arrays[n].shape
        other_width = self.arrays[1 - n].shape[-1]
        lead = [size for size in others if size != 1]
        yield lead, width, 1
        if width == 2 * other_width:
            yield lead, other_width, 2
        axes_if_stacked = 3 if self.is_state else 4
        if other_width == 2 * width or len(others) + 1 == axes_if_stacked:
            for axis in axes_of_two(lead):
                yield without_axis(lead, axis), width, 2

    def _arrangements(self, n: int, run: RunShape) -> list[Arrangement]:
        """How a side may lie on a run by its layout: as all of it, a step, or a sequence."""
        steps, items = (None, None) if self.is_state else self.sides[n].part[:2]
        only_steps: Indices | None = None
        only_items: Indices | None = None
        if steps is None:
            only_steps = [run.steps - 1]
            if self.steps_chosen is not None:
                only_steps = indices_chosen(self.steps_chosen, run.steps)
        if self.items_chosen is not None:
            only_items = indices_chosen(self.items_chosen, run.sequences)
        usual = self.layouts[n] or self.layouts[1 - n]
        run = run._replace(layout="batch" if usual == "batch" else "time")
        shape, layout = self.arrays[n].shape, self.layouts[n]
        listed = layouts.arrangements(shape, run, only_steps, only_items)
        return [
            one
            for one in islice(listed, _MOST_ARRANGEMENTS)
            if _is_usual(one, shape)
            and _has_indices(one.steps, steps)
            and _has_indices(one.sequences, items)
            and _fits_layout(one, shape, layout, is_numbered=steps is not None)
        ]

    def _fit(self, both: Both) -> bool:
        """Return whether one side is all of the run, and the other all or a usual part of it."""
        if not any(one.is_all and not one.in_a_row for one in both):
            return False
        has_row = any(one.in_a_row for one in both)
        has_half = any(not one.directions.is_all for one in both)
        # a direction is compared at every step of every sequence; cells have no halves
        if has_half and (_is_part(both) or self.has_cells):
            return False
        exchanged = [n for n in (0, 1) if both[n].exchanged]
        # last states have no steps, of which there could be a part or another order
        if self.is_state:
            return not (_is_part(both) or has_row or exchanged)
        if not exchanged:
            return True
        # numbers in a row have no axes, and two sides exchanged alike lie as they are
        if has_row or len(exchanged) == 2:
            return False
        return self._may_be_exchanged(exchanged[0], both)

    def _may_be_exchanged(self, n: int, both: Both) -> bool:
        """Return whether a side may have its axes of steps and sequences exchanged.

        Not where its file has a layout, which is not that of stacked directions,
        such as (T, 2, B, H). Of two full sides of one direction without a layout,
        neither is: nothing tells which of them.
        """
        silent = [n for n in (0, 1) if self.layouts[n] is None or "d" in both[n].axes]
        if n not in silent:
            return False
        return len(silent) == 1 or _is_part(both) or both[0].run.directions > 1

    def _candidates_of(self, both: Both) -> Iterator[Candidate]:
        """The candidates of two sides that lie so on a run: one, or two for its last step."""
        whole = 0 if both[0].is_all else 1
        smaller = both[1 - whole]
        steps, items = self._indices_in_run(smaller, self.sides[whole])
        valid = ~padded_steps([self.sides[whole]], steps, items)
        read = [array.moved(x.read) for array, x in zip(self.arrays, both, strict=True)]
        is_half = not smaller.directions.is_all
        for of_run, ends in self._compared_of_run(read[whole], smaller, valid):
            read[whole] = of_run
            a, b = (side.moved(_flattened) for side in read)
            indices = (
                None if ends else _indices_of(smaller.steps, steps),
                _indices_of(smaller.sequences, items),
                _units_of(smaller) if is_half else None,
            )
            placement = self._placement(both, smaller, ends)
            pair = replace(self.pair, a=a, b=b, indices=indices, placement=placement)
            is_doubtful = is_half or ends == _ENDS or self._contradicts_layout(both)
            yield Candidate(pair, self._cost(both), is_doubtful)

    def _indices_in_run(
        self, smaller: Arrangement, whole: Side
    ) -> tuple[Indices, Indices]:
        """The steps and the batch items of the side that is all of the run, in the full run."""
        of_steps, of_items = smaller.steps.of, smaller.sequences.of
        steps = whole.indices(self.pair.name, 0, of_steps)
        items = whole.indices(self.pair.name, 1, of_items)
        return steps or range(of_steps), items or range(of_items)

    def _compared_of_run(
        self, run: Numbers, smaller: Arrangement, valid: Mask
    ) -> Iterator[tuple[Numbers, str]]:
        """All that the smaller side may be of a run (T, B, D, K), and what its ends are called.

        A last step is the last valid one (T, B) of each sequence, or that of each direction.
        """
        is_last = smaller.steps.is_last_step and smaller.sequences.is_all
        if not is_last or self.is_state or self.steps_chosen is not None:
            yield run[smaller.place], ""
            return
        steps, batch, directions, units = run.shape
        items = np.arange(batch)
        first = valid.argmax(axis=0)  # (B,)
        last = steps - 1 - valid[::-1].argmax(axis=0)
        yield run[last, items][None], "" if valid.all() else LAST_VALID
        width = directions * units
        if width % 2 == 0:
            number = np.arange(width).reshape(directions, units)
            is_backward = number >= width // 2

            def at_ends(v: Array) -> Array:
                ends: Array = np.where(is_backward, v[first, items], v[last, items])
                return ends[None]

            yield run.moved(at_ends), _ENDS

    def _placement(self, both: Both, smaller: Arrangement, ends: str) -> Placement:
        taken = []
        for n, one in enumerate(both):
            words = layouts.words(one, ends)
            if not words and self._is_column(n, one):
                words = _COLUMNS
            if words:
                taken.append(Taken(self.pair.names[n], words, self.arrays[n].shape))
        return Placement(
            on_run=not self.is_state or smaller.run.steps == 1,
            taken=tuple(taken),
            names_axes=_is_part(both) or any(one.exchanged for one in both),
            is_half=not smaller.directions.is_all and self.units_chosen is None,
            at_ends=ends != "",
        )

    def _is_column(self, n: int, one: Arrangement) -> bool:
        """Return whether the units of a side are column vectors: (T, H, 1)."""
        has_units_last = one.axes[-1:] in ("k", "w") and one.shape[-1] > 1
        return self.arrays[n].shape[-1:] == (1,) and has_units_last

    # ---- what speaks against a candidate

    def _cost(self, both: Both) -> float:
        cost = 0.0
        for n, one in enumerate(both):
            is_free = self._is_free_to_exchange(n, both)
            cost += one.cost_in_order if is_free else one.cost
        if any(self._is_column(n, both[n]) for n in (0, 1)):
            cost += layouts.IN_A_ROW
        for one, layout in zip(both, self.layouts, strict=True):
            if layout == "batch" and one.is_of_steps:
                cost += _STEPS_OF_BATCH
        return cost

    def _is_free_to_exchange(self, n: int, both: Both) -> bool:
        """Return whether either order of steps and sequences is as usual: no layout tells it.

        Of two full sides without one, it is that without stacked directions.
        """
        if self.layouts[n] is not None:
            return False
        are_silent_and_full = self.layouts == [None, None] and not _is_part(both)
        return not (are_silent_and_full and "d" in both[n].axes)

    def _contradicts_layout(self, both: Both) -> bool:
        """Return whether a side lies otherwise than the layout of its file."""
        return any(both[n].exchanged and self.layouts[n] is not None for n in (0, 1))


# ---- choosing


def _shown_by_numbers(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate that agrees; else the only one to start alike; else the nearest."""
    shown = [one for one in candidates if one.pair.numbers_agree]
    if not shown:
        starting = [
            one for one in candidates if not one.is_doubtful and _starts_alike(one.pair)
        ]
        if len(starting) == 1:
            return starting[0]
        shown = _nearest(candidates)

    def full_batch_first(one: Candidate) -> tuple[bool, bool, float]:
        return one.is_doubtful, bool(one.pair.indices[1]), one.cost

    return min(shown, key=full_batch_first, default=None)


def _starts_alike(pair: Pair) -> bool:
    return len(pair.a.values) > 1 and not pair.differs[0].any()


def _nearest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates whose numbers are clearly the nearest, all alike."""
    by_ratio: dict[float, list[Candidate]] = {}  # in dB
    for one in candidates:
        _, exact = similarity(one.pair, np.isfinite(one.pair.errors))
        ratio = round(exact or 0.0, 3)
        if ratio > 0:
            by_ratio.setdefault(ratio, []).append(one)
    if not by_ratio:
        return []
    second, best = sorted({0.0, *by_ratio})[-2:]  # 0 dB: as near as zeros would be
    if best - second <= _CLEARLY_NEARER:
        return []
    return by_ratio[best]


def _likeliest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of about the least cost; those that lie as they are, if there are any.

    (1, T, 1) and (T,) are T steps of one unit, and no column vector. Without it one of 2,500
    random pairs was not compared.
    """
    likely = [one for one in candidates if not one.is_doubtful]
    least = min((one.cost for one in likely), default=0.0)
    likeliest = [one for one in likely if one.cost <= least + _ALIKE]
    as_they_lie = [one for one in likeliest if not one.pair.placement.taken]
    return as_they_lie or likeliest


# ---- arrangements


def _is_usual(one: Arrangement, shape: tuple[int, ...]) -> bool:
    """Return whether no axis is cut or moved in a way that only `explain` looks for."""
    is_cut = not one.units.is_all or ("b" in one.axes and not one.sequences.is_all)
    is_moved = one.order != "C" or one.units_first
    if one.in_a_row and not (one.steps.is_all and one.run.directions == 1):
        return False
    has_units_last = one.axes[-1:] in ("k", "w") or len(shape) == 1 or shape[-1] == 1
    return has_units_last and not is_cut and not is_moved


def _has_indices(some: AxisRange, indices: Indices | None) -> bool:
    """Return whether a part of an axis has the indices that the file gives; None: any.

    They may have been selected of a longer run, of which the other side has the same part.
    """
    if indices is None or (some.is_all and len(indices) == some.of):
        return True
    return list(range(some.of)[some.indices]) == list(indices)


def _fits_layout(
    one: Arrangement, shape: tuple[int, ...], layout: str | None, *, is_numbered: bool
) -> bool:
    """Return whether the axes are those that the layout of a side names.

    A step that has an axis is the last one only if the file numbers it so.
    """
    named = {"batch": "bt", "time": "tb", "steps": "t"}.get(layout or "")
    if named is None or "d" in one.axes or len(shape) != len(named) + 1:
        return True
    has_steps = "t" in one.axes or one.steps.is_all or is_numbered
    places = zip(one.places or (), one.axes, strict=False)
    in_place = all(named[n : n + 1] == axis for n, axis in places if axis in "tb")
    return has_steps and (in_place or not one.sequences.is_all)


def _is_part(both: Both) -> bool:
    """Return whether a side has a part of the steps or of the sequences."""
    return not all(one.steps.is_all and one.sequences.is_all for one in both)


def _indices_of(some: AxisRange, in_run: Indices) -> Indices | None:
    """The indices in the full run of a part of an axis; None: all from 0."""
    if some.is_all and counts_from_0(in_run):
        return None
    return in_run[some.indices]


def _units_of(one: Arrangement) -> Indices:
    """The units of one direction, where the directions are side by side."""
    first = one.directions.first * one.units.of
    return range(first, first + one.units.of)


def _flattened(run: Array) -> Array:
    """(T, B, D, K) with the directions side by side."""
    return run.reshape(*run.shape[:2], -1)
