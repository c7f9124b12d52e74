"""From files to what a plot shows: a trace, a run, or the difference of two results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.api.diff import side_of, with_layouts
from lstmcli.api.documents import STATE, Named, only_one_stdin, with_array_name
from lstmcli.api.job import InputOptions, Job, read_job, split_paths
from lstmcli.api.load import checked
from lstmcli.core.diff.by_layout import sequence
from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.figures import Position
from lstmcli.core.diff.names import named_by_file, single_as_h
from lstmcli.core.diff.operand import (
    FINALS,
    SEQUENCE,
    STEP_ORDER,
    UNNAMED,
    WEIGHT,
    ArrayName,
    Side,
)
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import needed_steps, run_plan
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import axes_of_two, side_by_side
from lstmcli.core.model.model import names_in_cell, refuse_unknown_cell
from lstmcli.core.model.part import WHOLE, Indices, Part, Sizes, counts_from_0
from lstmcli.core.model.selection import EVERYTHING, Choice, split_z
from lstmcli.core.model.selection import Selection as Selection
from lstmcli.core.model.surroundings import FINAL_Y, Y
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import CallToTry, NoInputs, UserError, did_you_mean, listed
from lstmcli.escaping import typed_command
from lstmcli.formats import Document
from lstmcli.formats.files.sidecars import split_member

SINGLE_CELL = "layer0"  # what the cell of a model of one is called
DRAWN = ("h", "c", "i", "f", "g", "o")


class Drawable(NamedTuple):
    """Arrays to draw, of a run only the chosen steps and sequences, and their sources."""

    arrays: Mapping[str, Array]  # (T, B, H) each
    sources: tuple[str, ...]  # one file, or the two whose difference it is
    plan: Plan | None = None  # of a run
    first: Position | None = None  # where two results first differ
    parts: Mapping[str, Part] = {}  # of the arrays of a part of a run
    remarks: tuple[str, ...] = ()  # how arrays were interpreted
    sides: Sequence[
        Mapping[str, Array]
    ] = ()  # of a difference: the arrays of a and of b
    drawn: Mapping[str, Array] = {}  # the chosen ones of the arrays
    item: int = 0  # of the batch, by its index in the run
    items: Indices = ()  # for a page, by their indices in the full run
    hidden: Sequence[str] = ()  # cells that are not drawn
    cuts: Sequence[str] = ()  # one line per range that goes beyond the arrays
    differs: bool = False  # the numbers are differences
    selection: Selection = EVERYTHING  # of the arrays; of a run, steps were selected
    without_steps: Sequence[str] = ()  # other arrays of the file

    @property
    def batch(self) -> int:
        """B, of the array that has most."""
        if self.plan is not None:
            return self.plan.batch
        return max(int(array.shape[1]) for array in self.arrays.values())

    @property
    def units(self) -> int:
        """H, of the array that has most; the model's output has none."""
        of_cells = [array for name, array in self.arrays.items() if name != Y]
        return max(int(array.shape[2]) for array in of_cells or self.arrays.values())

    def part_of(self, name: str) -> Part:
        """The part of the run that an array is; ``z_f`` has that of z."""
        return self.parts.get(name) or self.parts.get(name.rpartition("_")[0], WHOLE)

    @property
    def known_items(self) -> Indices | None:
        """The numbers of the batch items of a part of a run."""
        known = (part.batch for part in self.parts.values() if part.batch is not None)
        return next(known, None)

    @property
    def sizes(self) -> Sizes:
        """The steps, batch items and units of the run that the arrays are of."""
        if self.plan is not None:
            return Sizes(self.plan.steps, self.batch, self.units)
        steps = max(
            numbers[-1] + 1 if (numbers := self.part_of(name).steps) else len(array)
            for name, array in self.arrays.items()
        )
        return Sizes(steps, self.batch, self.units)

    def chosen(
        self, names: Sequence[str] | None, cell: str | None = None
    ) -> dict[str, Array]:
        """The arrays of these names: ``f`` is that of every cell, ``layer0`` all of one.

        Without names, h and the gates of a single cell; of several the output
        h, or all of the ``cell``.
        """
        prefix = ""
        if cell is not None:
            cells = self.cells or [SINGLE_CELL]
            refuse_unknown_cell(cell, cells)
            prefix = f"{cell}." if self.cells else ""
            if names is not None:
                names = [prefix + name for name in names_in_cell(names, cell)]
            elif prefix:
                names = [cell]
        if names is None:
            plain = {k: self.arrays[k] for k in DRAWN if k in self.arrays}
            return plain or dict(self.arrays)
        chosen: dict[str, Array] = {}
        for name in names:
            found = {k: a for k, a in self.arrays.items() if _is_named(k, name)}
            if not found:
                name = name.removeprefix(prefix)
                self._refuse_without_steps(name)
                known = [
                    k.removeprefix(prefix) for k in self.arrays if k.startswith(prefix)
                ]
                near = did_you_mean(name, known)
                raise UserError(
                    f"unknown array; choose from {', '.join(known)}.{near}",
                    about={"only": name},
                )
            chosen |= found
        return chosen

    def _refuse_without_steps(self, name: str) -> None:
        """Refuse an array of the end of a run, which y is where the head makes it so."""
        head = self.plan.model.head if self.plan is not None else None
        asked = name
        if name == Y and (head is not None or FINAL_Y in self.without_steps):
            name = FINAL_Y
        if name in FINALS:
            where = f"--only {name}" if name == FINAL_Y else "-o FILE.npz"
            text = f"{name} has no steps to draw; it is in lstm run {where}."
            raise UserError(text, about={"only": asked})

    @property
    def cells(self) -> list[str]:
        """The cells that have separate arrays: ``layer0``, ..."""
        return list(
            dict.fromkeys(p for k in self.arrays if (p := k.rpartition(".")[0]))
        )


def _is_named(key: str, name: str) -> bool:
    cell, dot, base = key.rpartition(".")
    full = base.rpartition("_")[0] or base  # z of z_i
    return name in (key, cell, base, full, f"{cell}{dot}{full}")


def plot(
    paths: Sequence[str],
    *,
    only: Sequence[str] | None = None,
    cell: str | None = None,
    selection: Selection = EVERYTHING,
    batch: int | None = None,
    numbers: int | None = None,
    **settings: Any,
) -> Drawable:
    """The arrays to draw of some paths: TRACE, two results A B, or WEIGHTS... INPUTS as for `run`.

    The first file decides: h, c, gates or an array without a name are results,
    anything else is weights. A run keeps z if ``only`` names it, one batch
    item, and the chosen steps. With ``numbers``, and without ``batch``, it
    keeps as the ``items`` the first batch items, of this many numbers
    together.
    """
    options, settings = InputOptions.split(settings)
    kept = None if numbers and batch is None else batch or 0
    of_run = kept, selection.steps, numbers or 0
    found = _read(paths, checked(settings, "plot"), only, of_run, options)
    drawn = found.chosen(only, cell)
    cuts = selection.cuts(found._replace(arrays=drawn).sizes)
    item = _first_item(found, batch if found.plan is None else None)
    shown: Indices = [item]
    if numbers is not None and batch is None:
        shown = _items_shown(found, numbers, item)
    hidden: list[str] = []
    if only is None and cell is None and "h" in found.arrays:
        hidden = found.cells
    if found.plan is not None:
        selection = selection._replace(steps=None)
    return found._replace(
        drawn=drawn,
        item=item,
        items=shown,
        hidden=hidden,
        cuts=cuts,
        selection=selection,
    )


def _first_item(found: Drawable, given: int | None) -> int:
    """The batch item that is given, or where results first differ, or the first one."""
    if given is not None:
        return given
    if found.first and found.first.batch:
        return found.first.batch
    items = found.known_items
    return 0 if items is None else items[0]


def _items_shown(found: Drawable, numbers: int, item: int) -> Indices:
    """The first batch items, of this many numbers together, and ``item``."""
    each = sum(len(array) * array.shape[2] for array in found.arrays.values())
    items = found.known_items
    if items is None:
        items = range(max(array.shape[1] for array in found.arrays.values()))
    return sorted({*items[: _at_most(numbers, each)], item})


def _at_most(numbers: int, each: int) -> int:
    return max(1, numbers // max(each, 1))


def _read(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    names: Sequence[str] | None,
    of_run: tuple[int | None, Choice | None, int],
    options: InputOptions,
) -> Drawable:
    only_one_stdin(*paths, *options)
    is_run = bool(set(settings) - {"layout"}) or any(options)
    may_be_result = len(paths) < 3 and not is_run
    of_weights, x = split_paths(paths)
    weights: list[str | Document] = [*of_weights]
    if (named := Named.parse(paths[0])).name is None:
        document = formats.read(paths[0])
        first = _side_of(document, may_be_result)
        if _is_result(first):
            return _of_results(first, paths, settings, is_run)
        if len(paths) == 1:
            _refuse_unknown(first, paths[0])
        weights[0] = with_array_name(
            named, document
        )  # standard input is read only once
    try:
        job = read_job(weights, x, settings, options, where="plot")
    except NoInputs as error:
        plots = [
            one._replace(call="plot") if isinstance(one, CallToTry) else one
            for one in error.try_
        ]
        raise NoInputs(*error.lines, try_=plots) from None
    return _of_run(
        job, (*DRAWN, *["z"] * any("z" in name for name in names or ())), *of_run
    )


def _of_results(
    first: Side, paths: Sequence[str], settings: Mapping[str, Any], is_run: bool
) -> Drawable:
    if len(paths) > 2:
        raise UserError(
            f"{paths[0]} contains results; plot takes one such file, or two."
        )
    if is_run:
        raise UserError(
            f"{paths[0]} contains results: there is nothing left to run or set."
        )
    layout = settings.get("layout")  # of results that do not tell
    if len(paths) == 1:
        return _of_side(*with_layouts([named_by_file(first)], layout))
    second = _side_of(formats.read(paths[1]), True)
    return _of_two(*with_layouts([first, second], layout))


def _side_of(document: Document, may_be_result: bool) -> Side:
    """The arrays of a file; a single one is called h, unless it seems to be a weight."""
    side = side_of(document, document.source)
    is_flat = any(
        array.ndim < 2 for array in side.arrays.values()
    )  # as flat weights are
    may_be_result = (
        may_be_result and not is_flat and not any(map(WEIGHT.search, side.arrays))
    )
    is_h = may_be_result or split_member(document.source)[1] is not None
    return single_as_h(side) if is_h and not recognise(_shapes(side)) else side


def _shapes(side: Side) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in side.arrays.items()}


def _contents(side: Side) -> str:
    return ", ".join(f"{name or 'h'} {shape}" for name, shape in _shapes(side).items())


def _refuse_unknown(side: Side, path: str) -> None:
    names = [*side.arrays]
    if (
        len(names) > 1
        and not any(map(WEIGHT.search, names))
        and not recognise(_shapes(side))
    ):
        raise UserError(
            f"{path} contains {listed(names, 6)}: none is called as results of a run are (h, c, i, "
            "f, g, o), nor as weights.",
            f"  {typed_command('lstm', 'plot', f'{path}:{names[0]}')} draws one.",
        )


def _is_result(side: Side) -> bool:
    names = [name for name in side.arrays if not name.startswith(STATE)]
    bases = {name.rpartition(".")[2] for name in names}
    return UNNAMED in bases or bool(bases & {*STEP_ORDER, *FINALS})


def _of_run(
    job: Job, keep: Sequence[str], item: int | None, steps: Choice | None, numbers: int
) -> Drawable:
    job = job.drained()
    plan = job.plan(keep)
    selected = plan.select(Selection(steps))
    if item is None:
        columns = sum(map(len, selected.columns.values()))
        each = selected.sizes.steps * columns
        items: Indices = range(min(_at_most(numbers, each), plan.batch))
    else:
        items = Choice.single("batch", "batch item", item).among(plan.batch)
    trace = run_plan(needed_steps(plan, steps), selected._replace(batch=items))
    arrays = {name: trace.time_major(name) for name in trace.arrays}
    # an h with an axis of directions is left out for that of each cell
    arrays = split_z({name: array for name, array in arrays.items() if array.ndim == 3})
    kept = None if steps is None else selected.steps
    part = Part(kept, None if len(items) == plan.batch else items)
    parts = dict.fromkeys(arrays, part)
    return Drawable(arrays, (job.inputs.name,), plan, parts=parts)


def _of_side(side: Side) -> Drawable:
    _refuse_part_of_units(side)
    arrays: dict[str, Array] = {}
    parts: dict[str, Part] = {}
    remarks = dict.fromkeys([side.renaming] if side.renaming else ())
    said = "selected" in (
        side.settings or {}
    )  # that it is a part; the numbers of a table do not
    for name in side.arrays:
        if ArrayName.of(name or "h").kind == SEQUENCE:
            placed, text = _placed(side, name)
            if placed is not None:
                arrays[name or "h"] = placed.values
                steps, batch, _ = placed.shape
                parts[name or "h"] = Part(
                    _numbers_of_part(side.part.steps, steps, said),
                    _numbers_of_part(side.part.batch, batch, said),
                )
                remarks |= dict.fromkeys([text] if text else ())
    if not arrays:
        raise UserError(
            f"{side.name} contains {_contents(side)}; plot draws h, c, gates and y of (T, H), "
            "(T, B, H) or (B, T, H), also with a further axis, the only one of 2, for directions."
        )
    return Drawable(
        split_z(arrays),
        (side.name,),
        parts=parts,
        remarks=tuple(remarks),
        without_steps=[name for name in side.arrays if name not in arrays],
    )


def _numbers_of_part(known: Indices | None, size: int, said: bool) -> Indices | None:
    if known is None or len(known) != size or (counts_from_0(known) and not said):
        return None
    return known


def _placed(side: Side, name: str) -> tuple[Numbers | None, str]:
    """An array as (T, B, H), and what was assumed; None if its axes are not known."""
    numbers, layout, texts = side.numbers(name), side.layout, []
    if len(numbers.shape) == 4 and 1 not in numbers.shape[:3]:
        axes = axes_of_two(numbers.shape[:3])
        if len(axes) != 1:
            return None, ""
        layout = "time" if numbers.shape[1] == 2 else layout  # ONNX's (T, 2, B, H)
        where = f"{side.name}, {numbers.shape}, is interpreted as directions on axis {axes[0]}"
        texts.append(f"{name or 'h'}: {where}")
        numbers = numbers.moved(partial(side_by_side, axis=axes[0]))
    if layout is None and len(numbers.shape) == 3 and min(numbers.shape[:2]) > 1:
        texts.append(
            f"the first axis of {name or 'h'} is time (not in the file; --layout batch)"
        )
    return sequence(numbers, layout), "; ".join(texts)


def _refuse_part_of_units(*sides: Side) -> None:
    for side in sides:
        side.part._replace(steps=None, batch=None).refuse_parts(side.name, "plot")


@np.errstate(all="ignore")
def _of_two(a: Side, b: Side) -> Drawable:
    _refuse_part_of_units(a, b)
    compared = compare(a, b)
    pairs = {name: array.pair for name, array in compared.arrays.items()}
    drawn = {
        name: pair
        for name, pair in pairs.items()
        if pair.stepwise and pair.a.shape == pair.b.shape and pair.a.values.size
    }
    arrays = {
        name: p.a.values.astype(np.float64) - p.b.values for name, p in drawn.items()
    }
    if not arrays and [*pairs] == [FINAL_Y]:
        way = CallToTry("diff", weights=[a.name], others=[b.name])
        raise UserError(f"{FINAL_Y} has no steps to draw.", try_=[way])
    if not arrays:
        raise UserError(
            f"plot draws the difference of h, c, gates and y of one shape; {a.name} contains "
            f"{_contents(a)}, {b.name} contains {_contents(b)}."
        )
    parts = {n: Part(p.indices[0], p.indices[1]) for n, p in drawn.items()}
    sides = [
        {n: p.a.values for n, p in drawn.items()},
        {n: p.b.values for n, p in drawn.items()},
    ]
    return Drawable(
        split_z(arrays),
        (a.name, b.name),
        None,
        compared.first_divergence,
        parts,
        compared.remarks,
        [*map(split_z, sides)],
        differs=True,
    )
