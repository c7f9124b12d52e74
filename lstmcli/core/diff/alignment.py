"""Two arrays of one name, brought to the same axes and cut to what is to be compared."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from lstmcli.core.diff.array_name import FINAL, SEQUENCE, WEIGHTS, ArrayName
from lstmcli.core.diff.axes import (
    among,
    arrange,
    joined,
    layout_by_shape,
    sequence,
    without_ones,
)
from lstmcli.core.diff.padding import ends, padded_steps, zeroed
from lstmcli.core.diff.pair import Known, Pair
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.axis_numbers import AXES, AxisNumbers, counts_from_0
from lstmcli.core.model.selection import Indices, format_indices, numbers_on_axis, take
from lstmcli.errors import Try, UserError


def align(pair: Pair, known: Known) -> Pair:
    """Bring the sides of a pair into the same axes, as far as layouts and numbers allow.

    Axes of length 1 are added and dropped, except the last, which is the units'. Both sides
    are cut to the steps that both contain, and to what is selected; the shorter one may be
    all of that.
    """
    sides = a, b = pair.a.moved(np.atleast_1d), pair.b.moved(np.atleast_1d)
    pair = replace(pair, a=a, b=b)
    if pair.kind == WEIGHTS:
        return pair
    if pair.kind == SEQUENCE and (at_ends := _at_ends(pair, known)):
        return _selected(_numbered(at_ends, known), known)
    pair, known = _with_layout_of_run(pair, known)
    pair = _as_they_lie(pair, known)
    cut, left = _as_selected(pair, known)
    stacked = a.ndim == (3 if pair.kind == FINAL else 4)
    if cut.agrees is not None and (cut.numbers_agree or not stacked):
        pair, known = cut, left
    if pair.agrees is None or (stacked and not pair.numbers_agree):
        if pair.is_part:
            sides, known = (pair.a, pair.b), known._replace(layouts=("time", "time"))
        best, why = arrange(pair, sides, known)
        if best is not None:  # the steps and sequences that are selected are those it names
            for axis in (0, 1):
                known = known if best.numbers[axis] == pair.numbers[axis] else known.chosen(axis)
            pair = best
        elif cut.agrees is not None:
            pair, known = cut, left
        else:
            pair = replace(pair, unaligned=why)
    return _selected(_numbered(pair, known), known)


def _at_ends(pair: Pair, known: Known) -> Pair | None:
    """One step of each sequence (B, K) next to a run that is padded: the end that it agrees with.

    If none does, the nearest, unless it may be one sequence of the run as well.
    """
    sides = pair.a, pair.b
    for n, wide in enumerate(sides if known.choices[0] is None else ()):
        layout, meta, narrow = known.layouts[n], known.metas[n], sides[1 - n]
        run = sequence(wide, layout) if layout and meta is not None else None
        T, B, K = run.shape if run is not None else (0, 0, 0)
        if narrow.shape == (2, B, K / 2):  # h_n of two directions
            narrow = narrow.moved(lambda array: np.concatenate([*array], axis=-1))
        if run is None or T < 2 or narrow.shape[-1] != K or narrow.values.size != B * K:
            continue
        of_run = known.numbering[n]
        padded = padded_steps([meta], of_run.steps or range(T), of_run.batch or range(B))
        if padded.shape != (T, B) or not padded.any():
            continue
        values, unit = narrow.values.reshape(1, B, K), narrow.unit
        one = Numbers(values, None if unit is None else unit.reshape(1, B, K))
        fixed = replace(pair, placed=True, at_ends=True, axes_known=True)
        found = []
        for words, end in ends(run, ~padded).items():
            a, b = (end, one) if n == 0 else (one, end)
            text = f"{{{'ba'[n]}}} is interpreted as {words} {{{'ab'[n]}}}"
            found.append(replace(fixed, a=a, b=b, taken_as=text))
        best = min(found, key=lambda one: np.count_nonzero(one.differs))
        if best.numbers_agree or T != B:
            return best
    return None


def without_padding(pair: Pair, known: Known) -> Pair:
    """A pair whose padded steps are zero on both sides, and marked as not compared."""
    if not pair.stepwise or pair.agrees is None:
        return pair
    padded = padded_steps(known.metas, *(pair.numbers[n] or range(pair.a.shape[n]) for n in (0, 1)))
    if not padded.any():
        return pair
    a, b = (zeroed(side, padded) for side in (pair.a, pair.b))
    return replace(pair, a=a, b=b, padded=padded)


def _as_they_lie(pair: Pair, known: Known) -> Pair:
    """Both sides as (T, B, H) by their layouts; last states of several cells by their axes."""
    a, b = pair.a, pair.b
    if pair.kind == FINAL:
        if max(len(without_ones(a)), len(without_ones(b))) > 1 or known.several_cells((a, b)):
            return pair
        a, b = (x.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1])) for x in (a, b))
        return replace(pair, a=a, b=b, placed=True)
    axes = (2, 1) if "batch" in known.layouts else (1, 2)
    axis = next((n for n in axes if a.shape[n:-1][:1] == b.shape[n:-1][:1] == (2,)), None)
    if a.ndim == b.ndim == 4 and not a.shape[0] == b.shape[0] == 1 and axis is not None:
        a, b = joined(a, axis), joined(b, axis)
    said = known.layouts[0] or known.layouts[1] or layout_by_shape(a, b)
    one, other = (sequence(x, of or said) for x, of in zip((a, b), known.layouts, strict=True))
    if one is None or other is None:
        return replace(pair, a=a, b=b)
    return _cut_to_common(replace(pair, a=one, b=other, placed=True), known.numbering)


def _with_layout_of_run(pair: Pair, known: Known) -> tuple[Pair, Known]:
    """The layout of a side that names none and has all steps of the run the other is a part of."""
    for n, silent in enumerate((pair.a, pair.b)):
        steps, said = known.numbering[1 - n].of_steps, known.layouts[1 - n]
        if known.layouts[n] is None and said in ("batch", "time") and silent.ndim == 3:
            as_said, other = silent.shape[1::-1] if said == "batch" else silent.shape[:2]
            if as_said != steps == other:
                layout, axes = ("batch", "batch, steps"), ("time", "steps, batch")
                of_side, lead = axes if said == "batch" else layout
                text = f"{{{'ab'[n]}}} is interpreted as ({lead}, units), with the {steps} steps"
                layouts = (of_side, said) if n == 0 else (said, of_side)
                taken = replace(pair, taken_as=f"{text} as the run has", axes_known=True)
                return taken, known._replace(layouts=layouts)
    return pair, known


# ---- what of a run is compared


def _cut_to_common(pair: Pair, numbering: tuple[AxisNumbers, AxisNumbers]) -> Pair:
    """A pair cut to the steps that both contain, where a side contains only some.

    A side without indices counts from 0, if it is then long enough to contain all of the other's;
    if it has just as many, it has the other's.
    """
    sizes = len(pair.a.values), len(pair.b.values)
    known = [
        side.steps if side.steps is not None and 0 < len(side.steps) == size else None
        for side, size in zip(numbering, sizes, strict=True)
    ]
    steps: list[Indices] = []
    for ours, theirs, size in zip(known, known[::-1], sizes, strict=True):
        if ours is None and theirs is not None:
            ours = range(size) if theirs[-1] < size else theirs if size == len(theirs) else None
        if ours is None:
            return pair
        steps.append(ours)
    common = np.intersect1d(steps[0], steps[1]).tolist()
    if not common:
        one, other = map(format_indices, steps)
        text = f"one side contains steps {one}, the other {other}; they have none in common."
        raise UserError(f"{pair.name}: {text}")
    parts = [
        None if ours is None or (counts_from_0(ours) and ours[-1] >= theirs[-1]) else ours
        for ours, theirs in zip(known, steps[::-1], strict=True)
    ]
    if parts == [None, None]:
        return pair
    a, b = (
        _taken(side, np.searchsorted(indices, common).tolist(), 0)
        for side, indices in zip((pair.a, pair.b), steps, strict=True)
    )
    numbers = (None if counts_from_0(common) and not pair.backward else common, None, None)
    return replace(pair, a=a, b=b, numbers=numbers, parts=(parts[0], parts[1]))


def _as_selected(pair: Pair, known: Known) -> tuple[Pair, Known]:
    """A pair whose longer side is cut to what is selected, and what else is known.

    That is so on an axis of which the shorter side has as many as are selected.
    """
    sides, numbers = [pair.a, pair.b], [*pair.numbers]
    options: dict[int, list[str]] = {0: [], 1: []}  # by the shorter side
    for axis, choice in enumerate(known.choices if pair.placed else ()):
        sizes = pair.a.shape[axis], pair.b.shape[axis]
        if choice is None or numbers[axis] is not None or sizes[0] == sizes[1]:
            continue
        picked, short = among(choice, max(sizes)) or (), sizes.index(min(sizes))
        said = known.numbers(pair, short, axis) if axis else None
        fits = [*said] == [*picked] if said is not None else not known.counted[short]
        if len(picked) == min(sizes) and fits:
            sides[1 - short] = _taken(sides[1 - short], picked, axis)
            numbers[axis], known = picked, known.chosen(axis)
            options[short].append(f"{choice.option} {choice.text}")
    texts = [
        f"{{{'ab'[n]}}} is interpreted as {' '.join(typed)} of {{{'ba'[n]}}}"
        for n, typed in options.items()
        if typed
    ]
    taken_as = "; ".join(filter(None, [pair.taken_as, *texts]))
    cut = replace(pair, a=sides[0], b=sides[1], numbers=tuple(numbers), taken_as=taken_as)
    return cut, known


def _numbered(pair: Pair, known: Known) -> Pair:
    """A pair with the numbers of its batch items and units, or what to select where they differ."""
    numbers, texts, options = [*pair.numbers], [], []
    for axis, option in ((1, "--batch"), (2, "--units")) if pair.placed else ():
        said = [known.numbers(pair, n, axis) for n in (0, 1)]
        sizes = [side.shape[axis] for side in (pair.a, pair.b)]
        shorter = sizes.index(min(sizes))
        shown = [format_indices(n) for n in said if n is not None]
        part = said[shorter] if said[shorter] is not None else said[1 - shorter]
        if part is None or numbers[axis] is not None:
            continue
        if sizes[0] != sizes[1]:
            quarter = axis == 2 and ArrayName.of(pair.name).base == "z"  # of z: those of a gate
            options += [option, format_indices(part[: len(part) // 4] if quarter else part)]
            texts.append(f"{{{'ab'[shorter]}}} contains {AXES[axis]} of a run")
        elif len({*shown}) > 1:
            text = f"one side contains {AXES[axis]} {shown[0]}, the other {shown[1]}"
            raise UserError(f"{pair.name}: {text}; write both with the same selection.")
        elif len(part) == sizes[0] and not counts_from_0(part):
            numbers[axis] = part
    if texts:
        text = f"{' and '.join(texts)}: type {' '.join(options)}, or write both with it"
        pair = replace(pair, unaligned=text)
    return replace(pair, numbers=tuple(numbers))


def _selected(pair: Pair, known: Known) -> Pair:
    """A placed pair cut to what is selected of each axis, by the numbers of the run."""
    if not pair.placed and pair.kind == FINAL and any(known.choices):
        text = "in full, as no file tells which axes are those of cells and batch items"
        return replace(pair, unaligned=text)
    sides, numbers = [pair.a, pair.b], [*pair.numbers]
    for axis, choice in enumerate(known.choices if pair.placed else ()):
        for n, side in enumerate(sides if choice is not None and not choice.is_all else ()):
            size, of_part = side.shape[axis], pair.numbers_of_part(axis)
            try:
                numbers[axis], places = numbers_on_axis(choice, size, of_part, pair.name)
            except UserError as error:
                several = [min(side.shape[:2]) > 1 for side in (pair.a, pair.b)]
                is_assumed = axis < 2 and known.silent and not pair.axes_known and any(several)
                if not is_assumed:
                    raise
                axes = f"  The first axis of {pair.name} is assumed to be time."
                raise error.adding(axes, try_=[Try({"layout": "batch"})]) from None
            sides[n] = _taken(side, places, axis)
    return replace(pair, a=sides[0], b=sides[1], numbers=tuple(numbers))


def _taken(side: Numbers, indices: Indices, axis: int) -> Numbers:
    return side.moved(lambda array: take(array, indices, axis))
