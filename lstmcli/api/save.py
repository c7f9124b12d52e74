"""From a trace to files and streams, in every format that can hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from lstmcli import formats
from lstmcli.api.job import Job, array_of
from lstmcli.api.load import not_finite
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.plan import KEPT, NAMES, check_axes, prepare, run_settings
from lstmcli.core.forward.sequence import has_direction_axis
from lstmcli.core.forward.streaming import PIECE, Stack, sweep
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Trace
from lstmcli.core.model.model import steps_and_batch as extent_of
from lstmcli.core.model.selection import (
    EVERYTHING,
    SelectedIndices,
    Selection,
    contiguous_ranges,
    cut_final_state,
    indices_of,
    positions_between,
    round_to_digits,
    take,
)
from lstmcli.core.model.states import State
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import StepStream

FINAL = ("final_h", "final_c")
LONE = ("npy", "text")  # formats that hold h alone
BY_STEP = ("jsonl", "csv", "tsv")  # formats written a step at a time
BINARY = ("npy", "npz")
PLACED = (*BINARY, "json", "text")  # formats whose large results are written piece by piece
BLOCK = 256  # steps computed before they are written: enough to be quick, little to hold


def members_for(format: str, only: Sequence[str] | None) -> tuple[str, ...]:
    """The members that a file of this format will hold; of several cells, those of each.

    ``layer0.f`` asks for one cell's.

    Raises
    ------
    UserError
        if ``only`` asks for what a trace, or the format, does not have.
    """
    known = (*NAMES, *FINAL)
    for name in only or ():
        cell, _, base = name.rpartition(".")
        if base not in known or (cell and base in FINAL):
            near = did_you_mean(name, known)
            raise UserError(f"--only {name}: a trace has {', '.join(known)}.{near}")
    if format in LONE:
        if only not in (None, ["h"]):
            raise UserError(
                f"--only {','.join(only or ())}: {format} holds h alone; try .npz or .json"
            )
        return ("h",)
    if format in BY_STEP:
        if wrong := [name for name in only or () if name in FINAL]:
            raise UserError(
                f"--only {wrong[0]}: {format} holds steps; .npz and .json hold {wrong[0]}"
            )
        return tuple(only or KEPT)
    return tuple(only or (*KEPT, *FINAL))


def kept_for(names: Sequence[str]) -> list[str]:
    """What a run must keep for these members: h for ``final_h`` too, f for ``layer0.f``."""
    bases = dict.fromkeys(name.rpartition(".")[2] for name in names)
    return [name for name in bases if name in NAMES]


def save(trace: Trace, path: str, only: Sequence[str] | None = None) -> None:
    """Write a trace to a file, the format by its suffix; the file appears whole or not at all.

    Without ``only`` it holds all that the trace kept and the format can hold.

    Raises
    ------
    UserError
        for an unknown suffix, a member that the format cannot store, a folder that is not there.
    """
    format = formats.format_of(path)
    names = members_for(format, None if only is None else list(only))
    if only is None and format not in LONE:
        bases = {name.rpartition(".")[2] for name in trace.members()}
        names = tuple(name for name in (*NAMES, *names) if name in bases)
    with formats.atomically(path) as stream:
        write_trace(trace, stream, format, tuple(dict.fromkeys(names)))


def write_trace(
    trace: Trace,
    stream: BinaryIO,
    format: str,
    names: Sequence[str],
    selected: SelectedIndices | None = None,
    digits: int | None = None,
) -> None:
    """Write the named members of a trace to an open stream.

    ``selected`` are the numbers, in the whole run, of the steps, batch items and units that the
    trace holds; without it, all. Text has ``digits`` places.
    """
    members = _chosen(trace, names)
    digits = None if format in BINARY else digits
    if format in BY_STEP:
        steps = {name: _by_step(trace, name) for name in members}
        batch, units = (selected.batch, selected.columns) if selected else (None, None)
        batched = trace.layout != "steps"
        writer = formats.open_steps(stream, format, list(steps), batched, batch=batch, units=units)
        at = 0
        for part in contiguous_ranges(selected.steps if selected else range(trace.steps)):
            for first in range(part.start, part.stop, BLOCK):
                size = min(BLOCK, part.stop - first)
                writer.write(
                    first, {k: round_to_digits(a[at : at + size], digits) for k, a in steps.items()}
                )
                at += size
        return
    exact = (
        members if digits is None else {k: round_to_digits(a, digits) for k, a in members.items()}
    )
    if format in LONE:
        formats.write(stream, format, {"h": exact["h"]}, {})
    else:
        formats.write(stream, format, exact, {"meta": _meta(trace.settings, digits)})


def _meta(settings: Mapping[str, Any], digits: int | None) -> dict[str, Any]:
    return dict(settings) | ({} if digits is None else {"digits": digits})


def _chosen(trace: Trace, names: Sequence[str]) -> dict[str, Array]:
    """The members of these names; ``f`` is ``layer0.f``, ... of a trace of several cells."""
    members = trace.members()
    chosen: dict[str, Array] = {}
    for name in names:
        found = [name] if name in members else []
        if name not in FINAL and "." not in name:
            found += [member for member in members if member.endswith(f".{name}")]
        if not found:
            known = ", ".join(members)
            raise UserError(f"the trace has no {name!r}; it has {known}.")
        chosen |= {member: members[member] for member in found}
    return chosen


def _by_step(trace: Trace, name: str) -> Array:
    """(T, K) for one sequence, else (T, B, K)."""
    array = trace.arrays[name]
    if array.ndim > 3 or (trace.layout == "steps" and array.ndim > 2):
        raise UserError(
            f"{name} is {array.shape}, with an axis of directions; a table of steps has none. "
            "Try .npz or .json, or --merge concat"
        )
    return array if trace.layout == "steps" else trace.time_major(name)


def check_state_path(path: str) -> str:
    """The format of a state's file, by its suffix.

    Raises
    ------
    UserError
        if it cannot store a state.
    """
    format = formats.format_of(path)
    if format not in ("npz", "json"):
        raise UserError(f"--save-state {path}: a state is a .npz or a .json file.")
    return format


def save_state(path: str, h: Array, c: Array, steps: int) -> None:
    """Write ``h`` and ``c`` for ``--initial-state``, with the number of steps behind them."""
    format = check_state_path(path)
    with formats.atomically(path) as stream:
        formats.write(stream, format, {"h": h, "c": c}, {"steps": steps})


class Stop:
    """Asks a stream to end between two steps, so that what is written fits the state."""

    def __init__(self) -> None:
        self.status = 0  # what the process is to end with; 0: go on
        self.waiting = False  # for inputs: nothing is lost if the wait is broken off

    class Asked(Exception):
        """Breaks off the wait for inputs."""


def stream_steps(
    job: Job,
    stream: BinaryIO,
    format: str,
    names: Sequence[str],
    meter: Meter | None = None,
    stop: Stop | None = None,
    remark: Callable[[str], None] | None = None,
    selection: Selection = EVERYTHING,
) -> Stack:
    """Run and write as the inputs come, or block by block; gives the cells with their last state.

    Memory is that of a block of steps, whatever the length. ``remark`` gets a text if a step of a
    stream holds NaN or infinity: once, at the first.

    Raises
    ------
    UserError
        for inputs of another shape, naming the line; for steps of a stream that never came.
    """
    stack: Stack | None = None
    in_file = None if isinstance(job.inputs, StepStream) else extent(job)[0]
    source = _lines(job, remark) if isinstance(job.inputs, StepStream) else _blocks(job)
    for x, batched in source if stop is None else _until(stop, source):
        if stack is None:
            stack = Stack.of_stream(job.model, x.shape[1], job.initial_state, meter)
        first = stack.steps
        arrays = stack.advance(x, tuple(kept_for(names)))
        if first == 0:
            widths = {k: a.shape[-1] for k, a in arrays.items()}
            part = selection.of_step(x.shape[1], widths)
            members = [m for name in names for m in part.columns if _is(m, name)]
            writer = formats.open_steps(
                stream, format, members, batched, batch=part.batch, units=part.columns
            )
        for steps in contiguous_ranges(selection.steps_of(first, stack.steps, in_file)):
            own = slice(steps.start - first, steps.stop - first)
            picked = {k: _picked(arrays[k][own], part, k, selection.digits) for k in members}
            writer.write(steps.start, {k: a if batched else a[:, 0] for k, a in picked.items()})
        if not (isinstance(job.inputs, StepStream) and job.inputs.waiting()):
            stream.flush()
    if stack is None:
        if stop is not None and stop.status:
            return Stack.of_stream(job.model, 1, job.initial_state)
        raise UserError(f"{job.name}: no steps.")
    if stop is None or not stop.status:
        indices_of(selection.steps, stack.steps)  # a stream may have ended before them
    return stack


def _picked(array: Array, part: SelectedIndices, name: str, digits: int | None) -> Array:
    """The batch items and units of (s, B, K) that are selected, rounded."""
    columns = part.columns[name]
    return round_to_digits(take(take(array, part.batch, 1), columns, 2), digits)


Blocks = Iterator[tuple[Array, bool]]


def _until(stop: Stop, source: Blocks) -> Blocks:
    """The source's blocks, until somebody wants it to stop."""
    while not stop.status:
        stop.waiting = True
        try:
            steps = next(source, None)
        except Stop.Asked:
            return
        finally:
            stop.waiting = False
        if steps is None:
            return
        yield steps


def extent_layout(job: Job) -> str:
    """The layout that inputs in a file are read in: "steps", "batch" or "time"."""
    return check_axes(job.model, job.as_inputs())


def extent(job: Job) -> tuple[int, int]:
    """T and B of inputs in a file; UserError if they are no inputs of the model."""
    return extent_of(array_of(job).shape, extent_layout(job))


READ = 8 << 20  # bytes of inputs in a file that are read at a time for steps that go out one by one
PIECES_FROM = 64 << 20  # bytes of results from which they are written as they are computed


def select(job: Job, names: Sequence[str], selection: Selection) -> SelectedIndices:
    """The numbers of the steps, batch items and units that are selected of a run over a file.

    Raises
    ------
    UserError
        naming the option that selects nothing of it, or for shapes that do not fit.
    """
    keep = kept_for(names) or ["h"]  # of a final state alone the units of h are those to choose of
    plan = prepare(job.model, job.as_inputs(), keep)
    widths = {name: shape[-1] for name, shape in plan.shapes.items()}
    if has_direction_axis(job.model):
        widths["h"] = job.model.layers[-1][0].outputs  # directions are on an axis of their own
    return selection.within(*extent(job), widths)


def in_pieces(job: Job, format: str, names: Sequence[str], selected: SelectedIndices) -> bool:
    """Whether the results are so large that `write_pieces` is to write them."""
    if format not in PLACED or isinstance(job.inputs, StepStream) or has_direction_axis(job.model):
        return False
    wanted = [n for n in names if n not in FINAL]
    if not wanted or any("." in name for name in wanted):
        return False
    shapes = _shapes(job, wanted, selected)
    numbers = sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
    return numbers * job.model.cell.dtype.itemsize > PIECES_FROM


def _shapes(
    job: Job, wanted: Sequence[str], selected: SelectedIndices
) -> dict[str, tuple[int, ...]]:
    """The shape of what is selected of each array, in the axes of the inputs."""
    layout = extent_layout(job)
    steps, batch = len(selected.steps), len(selected.batch)
    axes = {"steps": (steps,), "time": (steps, batch), "batch": (batch, steps)}[layout]
    return {
        k: (*axes, len(own))
        for name in wanted
        for k, own in selected.columns.items()
        if _is(k, name)
    }


def write_pieces(
    job: Job,
    target: str | BinaryIO,
    format: str,
    names: Sequence[str],
    selected: SelectedIndices,
    digits: int | None = None,
    **how: Any,
) -> State:
    """Run and write one of `PLACED` piece by piece, whatever its size; gives the final state.

    ``how`` takes the ``executor`` and the ``meter`` of a run. The arrays are those of a run in
    memory, bit for bit.

    Raises
    ------
    UserError
        for inputs of another shape, a full disk.
    """
    from lstmcli.formats.arrays.block_writer import open_block_writers

    model, digits = job.model, None if format in BINARY else digits
    shapes = _shapes(job, [n for n in names if n not in FINAL], selected)
    dtype = model.cell.dtype if digits is None else np.dtype(np.float64)
    with open_block_writers(target, format, shapes, dtype) as pieces:

        def put(name: str, index: tuple[slice, ...], array: Array) -> None:
            pieces.placed[name].write(index, round_to_digits(array, digits))

        final = _swept(job, list(shapes), selected, put, how)
        states, layout = model.convention.behaviour.states, extent_layout(job)
        for name, array in zip(FINAL, final, strict=True):
            if name in names:
                own = cut_final_state(array, selected, layout, states)
                pieces.arrays[name] = round_to_digits(own, digits)
        members = (*shapes, *FINAL)
        pieces.order = [m for name in dict.fromkeys(names) for m in members if _is(m, name)]
        pieces.attributes["meta"] = _meta(_settings(job, selected), digits)
    return final


def run_selected(
    job: Job, names: Sequence[str], selected: SelectedIndices, **how: Any
) -> tuple[Trace, State]:
    """A trace of what is selected, of which alone memory is taken, and the whole final state.

    Raises
    ------
    UserError
        for inputs of another shape, and directions on an axis of their own (see `sweep`).
    """
    layout, states = extent_layout(job), job.model.convention.behaviour.states
    shapes = _shapes(job, [n for n in names if n not in FINAL], selected)
    arrays = {name: np.empty(shape, job.model.cell.dtype) for name, shape in shapes.items()}

    def put(name: str, index: tuple[slice, ...], array: Array) -> None:
        arrays[name][index] = array

    final = _swept(job, list(shapes), selected, put, how)
    h, c = (cut_final_state(array, selected, layout, states) for array in final)
    return Trace(arrays, h, c, layout, _settings(job, selected)), final


def _settings(job: Job, selected: SelectedIndices) -> dict[str, Any]:
    settings = run_settings(job.model, extent_layout(job), job.layout_assumed)
    return settings | selected.settings()


FEW = 64  # gaps between steps that are worth the quick path, which stops at each of them


def _swept(
    job: Job,
    members: Sequence[str],
    selected: SelectedIndices,
    put: Callable[[str, tuple[slice, ...], Array], None],
    how: Mapping[str, Any],
) -> State:
    """Run, and ``put`` what is selected of each member where it stands in the axes of the inputs.

    Gives the whole final state.
    """
    layout = extent_layout(job)
    ranges = contiguous_ranges(selected.steps)
    if len(ranges) > FEW:
        ranges = [range(ranges[0].start, ranges[-1].stop)]

    def sink(rows: slice, steps: slice, arrays: Mapping[str, Array]) -> None:
        at = positions_between(selected.steps, steps.start, steps.stop)
        items = positions_between(selected.batch, rows.start, rows.stop)
        if at.start == at.stop or items.start == items.stop:
            return
        own_steps = [n - steps.start for n in selected.steps[at]]
        own_items = [n - rows.start for n in selected.batch[items]]
        for name in members:
            array = take(take(arrays[name], own_steps, 0), own_items, 1)  # (s, R, K)
            array = take(array, selected.columns[name], 2)
            if layout == "steps":
                put(name, (at,), array[:, 0])
            elif layout == "time":
                put(name, (at, items), array)
            else:
                put(name, (items, at), array.swapaxes(0, 1))

    plan = prepare(job.model, job.as_inputs(), kept_for(members) or ["h"])
    return sweep(plan, sink, shown=ranges, **how)


def present_names(trace: Trace, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some names that a trace has members of."""
    return tuple(name for name in names if any(_is(m, name) for m in trace.members()))


def _is(member: str, name: str) -> bool:
    """Whether a member of a trace is what a name asks for: ``layer0.f`` is an ``f``."""
    return name in (member, member.rpartition(".")[2])


def _blocks(job: Job) -> Blocks:
    """x (s, B, I) of some steps of a file's inputs at a time, and whether they have rows."""
    plan = prepare(job.model, job.as_inputs())
    x = plan.inputs.x
    step = sum(cell.units for _, cell in job.model.cells) * 8 * plan.batch  # bytes
    size = max(1, min(BLOCK, PIECE // 4 // step))  # as text it takes several times that
    ahead = max(1, READ // (plan.batch * x.shape[-1] * x.dtype.itemsize) // size) * size
    for start in range(0, plan.steps, ahead):
        major = plan.block(slice(start, start + ahead))
        for first in range(0, len(major), size):
            yield major[first : first + size], plan.layout != "steps"


TOGETHER = 64  # lines that are there already are run together, which changes no bit


def _lines(job: Job, remark: Callable[[str], None] | None = None) -> Blocks:
    """x (s, B, I) of the lines that have arrived, and whether a line has rows.

    An error in a line is raised once those before it are written.
    """
    assert isinstance(job.inputs, StepStream)
    lines, batch = iter(job.inputs), list[Array]()
    wrong: UserError | None = None
    step, takes = None, job.model.cell.inputs
    numbers = list[int]()  # of the lines
    while wrong is None:
        try:
            step = next(lines, None)
            if step is not None:
                if step.shape[-1] != takes:
                    raise UserError(
                        f"{job.name}, line {job.inputs.line} holds {step.shape[-1]} numbers; "
                        f"the model takes {takes}."
                    )
                batch.append(step)
                numbers.append(job.inputs.line)
        except UserError as error:
            step, wrong = None, error
        if batch and (step is None or len(batch) == TOGETHER or not job.inputs.waiting()):
            x = np.stack(batch)  # (s, I) or (s, B, I)
            if remark is not None and not np.isfinite(x).all():
                n = next(n for n, one in enumerate(batch) if not np.isfinite(one).all())
                remark(not_finite(batch[n], f"{job.name}, line {numbers[n]}"))
                remark = None
            batch.clear()
            numbers.clear()
            yield (x, True) if x.ndim == 3 else (x[:, None], False)
        if step is None:
            break
    if wrong:
        raise wrong
