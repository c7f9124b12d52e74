"""From files to what a plot shows: a trace, a run, or the difference of two results."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.api.arguments import STATE, Named, only_one_stdin
from lstmcli.api.diff import side_of, with_layout
from lstmcli.api.job import NO_FILES, InputFiles, Job, load_job
from lstmcli.core.diff.alignment import FINALS, SEQUENCE, STEP_ORDER, ArrayName, sequence
from lstmcli.core.diff.compare import compare, matched
from lstmcli.core.diff.metrics import Position
from lstmcli.core.diff.operand import UNNAMED, Side, single_as_h
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import run_selected
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import split_z
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats.files.sidecars import is_standard_input, split_member

SINGLE_CELL = "layer0"  # what the cell of a model of one is called
DRAWN = ("h", "c", "i", "f", "g", "o")


class Drawable(NamedTuple):
    """What there is to draw.

    Of a run only the requested sequence is stored: its arrays are views that repeat it in every
    row.
    """

    arrays: Mapping[str, Array]  # (T, B, H) each
    sources: tuple[str, ...]  # one file, or the two whose difference it is
    plan: Plan | None = None  # of a run
    first: Position | None = None  # where two results first differ

    @property
    def differs(self) -> bool:
        """Whether the numbers are differences."""
        return len(self.sources) == 2

    @property
    def batch(self) -> int:
        """B, of the array that has most."""
        return max(int(array.shape[1]) for array in self.arrays.values())

    @property
    def units(self) -> int:
        """H, of the array that has most."""
        return max(int(array.shape[2]) for array in self.arrays.values())

    def chosen(self, names: Sequence[str] | None, cell: str | None = None) -> dict[str, Array]:
        """The arrays of these names: ``f`` is that of every cell, ``layer0`` all of one.

        Without names, h and the gates of a single cell; of several cells only the output h, or
        all of the ``cell``.
        """
        if cell is not None and (cell != SINGLE_CELL or self.cells):
            if cell not in self.cells:
                there = ", ".join(self.cells or [SINGLE_CELL])
                raise UserError(f"--cell {cell}: there is {there}.{did_you_mean(cell, self.cells)}")
            names = [cell] if names is None else [f"{cell}.{name}" for name in names]
        if names is None:
            plain = {k: self.arrays[k] for k in DRAWN if k in self.arrays}
            return plain or dict(self.arrays)
        chosen: dict[str, Array] = {}
        for name in names:
            found = {
                k: a
                for k, a in self.arrays.items()
                if name in (k, *k.rpartition(".")[::2], k.rpartition("_")[0] or k)
            }
            if not found:
                near = did_you_mean(name, self.arrays)
                names = ", ".join(self.arrays)
                raise UserError(f"--only {name}: there is {names}.{near}")
            chosen |= found
        return chosen

    @property
    def cells(self) -> list[str]:
        """The cells that have separate arrays: ``layer0``, ..."""
        return list(dict.fromkeys(p for k in self.arrays if (p := k.rpartition(".")[0])))


def read_drawable(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    stdin: BinaryIO | None,
    names: Sequence[str] | None = None,
    item: int = 0,
    files: InputFiles = NO_FILES,
) -> Drawable:
    """What some paths name: TRACE, two results A B, or WEIGHTS... INPUTS as `run` takes them.

    The first file decides: h, c, gates or an array without a name are results, anything else is
    weights. ``names`` are the arrays that will be drawn: a run keeps z only for them, and of its
    batch only ``item``.
    """
    if any(map(is_standard_input, paths)) and stdin is not None:
        stdin = io.BytesIO(stdin.read())  # it may have to be read again, as weights
    first = None if Named.parse(paths[0]).name else _side_of(paths[0], stdin)
    if first is not None and _is_result(first):
        if len(paths) > 2:
            raise UserError(f"{paths[0]} contains results; plot takes one such file, or two.")
        if set(settings) - {"layout"} or any(files):
            raise UserError(f"{paths[0]} contains results: there is nothing left to run or set.")
        layout = settings.get("layout")  # of results that do not tell
        if len(paths) == 1:
            return _of_side(with_layout(first, layout))
        only_one_stdin([], *paths)
        second = _side_of(paths[1], stdin)
        return _of_two(with_layout(first, layout), with_layout(second, layout))
    if isinstance(stdin, io.BytesIO):
        stdin.seek(0)
    job = load_job(paths, settings, stdin=stdin, files=files)
    return _of_run(job, (*DRAWN, *["z"] * any("z" in name for name in names or ())), item)


def _side_of(path: str, stdin: BinaryIO | None) -> Side:
    """The arrays of a file; a member that is no tensor of an LSTM is h, whatever its name."""
    side = side_of(formats.read(path, stdin), path)
    shapes = {name: array.shape for name, array in side.arrays.items()}
    is_member = split_member(path)[1] is not None
    return single_as_h(side) if is_member and not recognise(shapes) else side


def _is_result(side: Side) -> bool:
    """Whether a file contains results of a run; an initial state is none."""
    names = [name for name in side.arrays if not name.startswith(STATE)]
    bases = {name.rpartition(".")[2] for name in names}
    return UNNAMED in bases or bool(bases & {*STEP_ORDER, *FINALS})


def _of_run(job: Job, keep: Sequence[str], item: int) -> Drawable:
    job = job.drained()
    plan = job.plan(keep)
    return Drawable(split_z(_of_item(plan, item)), (job.inputs.name,), plan)


def _of_item(plan: Plan, item: int) -> dict[str, Array]:
    """The arrays of a run with one sequence repeated for all; the first where there is none.

    An h with an axis of directions is left out: that of each cell is there.
    """
    item = item % plan.batch if -plan.batch <= item < plan.batch else 0
    trace, _ = run_selected(plan, replace(plan.select(), batch=[item]))
    arrays = {name: trace.time_major(name) for name in trace.arrays}  # (T, 1, K)
    arrays = {name: array for name, array in arrays.items() if array.ndim == 3}
    return {k: np.broadcast_to(a, (len(a), plan.batch, a.shape[2])) for k, a in arrays.items()}


def _of_side(side: Side) -> Drawable:
    side.numbering.refuse_parts(side.name, "plot")
    arrays: dict[str, Array] = {}
    for name in side.arrays:
        if ArrayName.of(name or "h").kind == SEQUENCE:
            placed = sequence(side.numbers(name), side.layout)
            if placed is not None and placed.values.size:
                arrays[name or "h"] = placed.values
    if not arrays:
        raise UserError(f"{side.name}: no h, c or gates of steps to draw.")
    return Drawable(split_z(arrays), (side.name,))


def _of_two(a: Side, b: Side) -> Drawable:
    for side in (a, b):
        side.numbering.refuse_parts(side.name, "plot")
    pairs = matched(a, b)
    arrays = {
        name: pair.a.values.astype(np.float64) - pair.b.values
        for name, pair in pairs.items()
        if pair.stepwise and pair.a.shape == pair.b.shape and pair.a.values.size
    }
    if not arrays:
        raise UserError(f"{a.name} and {b.name} have no steps of the same shape in common.")
    return Drawable(split_z(arrays), (a.name, b.name), first=compare(a, b).first_divergence)
