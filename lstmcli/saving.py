"""From a trace to files and streams, in every format that can hold it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.core.batch import Meter
from lstmcli.core.model import InBlocks, Trace, block
from lstmcli.core.model import extent as extent_of
from lstmcli.core.run import KEPT, NAMES, check_inputs, merged_axes
from lstmcli.core.states import State
from lstmcli.core.sweep import PIECE, Stack, plan, sweep
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import StepStream
from lstmcli.jobs import Job, array_of
from lstmcli.loading import not_finite

Array = npt.NDArray[Any]

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
        for an unknown suffix, a member that the format cannot hold, a folder that is not there.
    """
    format = formats.format_of(path)
    names = members_for(format, None if only is None else list(only))
    if only is None and format not in LONE:
        held = {name.rpartition(".")[2] for name in trace.members()}
        names = tuple(name for name in (*NAMES, *names) if name in held)
    with formats.atomically(path) as stream:
        write_trace(trace, stream, format, tuple(dict.fromkeys(names)))


def write_trace(trace: Trace, stream: BinaryIO, format: str, names: Sequence[str]) -> None:
    """Write the named members of a trace to an open stream."""
    members = _chosen(trace, names)
    if format in BY_STEP:
        steps = {name: _by_step(trace, name) for name in members}
        writer = formats.open_steps(stream, format, list(steps), trace.layout != "steps")
        for first in range(0, trace.steps, BLOCK):
            writer.write(first, {k: a[first : first + BLOCK] for k, a in steps.items()})
    elif format in LONE:
        formats.write(stream, format, {"h": members["h"]}, {})
    else:
        formats.write(stream, format, members, {"meta": dict(trace.settings)})


def _chosen(trace: Trace, names: Sequence[str]) -> dict[str, Array]:
    """The members of these names; ``f`` is ``layer0.f``, ... of a trace of several cells."""
    held = trace.members()
    chosen: dict[str, Array] = {}
    for name in names:
        found = [name] if name in held else []
        if name not in FINAL and "." not in name:
            found += [member for member in held if member.endswith(f".{name}")]
        if not found:
            told = ", ".join(held)
            raise UserError(f"the trace has no {name!r}; it has {told}.")
        chosen |= {member: held[member] for member in found}
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
        if it cannot hold a state.
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
) -> Stack:
    """Run and write as the inputs come, or block by block; gives the cells with their last state.

    Memory is that of a block of steps, whatever the length. ``remark`` gets a text if a step of a
    stream holds NaN or infinity: once, at the first.

    Raises
    ------
    UserError
        for inputs of another shape, naming the line.
    """
    stack: Stack | None = None
    source = _lines(job, remark) if isinstance(job.inputs, StepStream) else _blocks(job)
    for x, batched in source if stop is None else _until(stop, source):
        if stack is None:
            stack = Stack.of_stream(job.model, x.shape[1], job.initial_state, meter)
        first = stack.steps
        arrays = stack.advance(x, tuple(kept_for(names)))
        if first == 0:
            members = [m for name in names for m in arrays if _is(m, name)]
            writer = formats.open_steps(stream, format, members, batched)
        writer.write(first, {k: arrays[k] if batched else arrays[k][:, 0] for k in members})
        if not (isinstance(job.inputs, StepStream) and job.inputs.waiting()):
            stream.flush()
    if stack is None:
        if stop is not None and stop.status:
            return Stack.of_stream(job.model, 1, job.initial_state)
        raise UserError(f"{job.name}: no steps.")
    return stack


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


def extent(job: Job) -> tuple[int, int]:
    """T and B of inputs in a file; UserError if they are no inputs of the model."""
    asked = job.model.given.get("layout")
    x, layout = check_inputs(job.model, array_of(job), asked, job.name)
    return extent_of(x.shape, layout)


READ = 8 << 20  # bytes of inputs in a file that are read at a time for steps that go out one by one
PIECES_FROM = 64 << 20  # bytes of results from which they are written as they are computed


def in_pieces(job: Job, format: str, names: Sequence[str]) -> bool:
    """Whether the results are so large that `write_pieces` is to write them."""
    if format not in PLACED or isinstance(job.inputs, StepStream) or merged_axes(job.model):
        return False
    wanted = [n for n in names if n not in FINAL]
    if not wanted or any("." in name for name in wanted):
        return False
    layout = job.model.given.get("layout")
    return plan(job.model, array_of(job), wanted, layout, job.name).nbytes > PIECES_FROM


def write_pieces(
    job: Job, target: str | BinaryIO, format: str, names: Sequence[str], **how: Any
) -> State:
    """Run and write one of `PLACED` piece by piece, whatever its size; gives the final state.

    ``how`` takes the ``executor`` and the ``meter`` of a run. The arrays are those of a run in
    memory, bit for bit.

    Raises
    ------
    UserError
        for inputs of another shape, a full disk.
    """
    from lstmcli.formats.placed import open_pieces

    model, given = job.model, job.model.given
    wanted = [n for n in names if n not in FINAL]
    x = array_of(job)
    shown = plan(model, x, wanted, given.get("layout"), job.name)
    shapes = {n: s for name in wanted for n, s in shown.shapes.items() if _is(n, name)}

    with open_pieces(target, format, shapes, shown.dtype) as pieces:

        def sink(rows: slice, steps: slice, arrays: Mapping[str, Array]) -> None:
            for name, placed in pieces.placed.items():
                array = arrays[name]  # (s, R, K)
                if shown.layout == "steps":
                    placed.write((steps,), array[:, 0])
                elif shown.layout == "time":
                    placed.write((steps, rows), array)
                else:
                    placed.write((rows, steps), array.swapaxes(0, 1))

        final = sweep(
            model, x, wanted, sink, layout=given.get("layout"),
            initial_state=job.initial_state, lengths=job.lengths, mask=job.mask,
            name=job.name, **how,
        )  # fmt: skip
        pieces.arrays |= {k: a for k, a in zip(FINAL, final, strict=True) if k in names}
        members = (*shapes, *FINAL)
        pieces.order = [m for name in dict.fromkeys(names) for m in members if _is(m, name)]
        settings = {"layout": shown.layout, "dtype": shown.dtype.name}
        pieces.attributes["meta"] = model.settings() | settings
    return final


def held_by(trace: Trace, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some names that a trace has members of."""
    return tuple(name for name in names if any(_is(m, name) for m in trace.members()))


def _is(member: str, name: str) -> bool:
    """Whether a member of a trace is what a name asks for: ``layer0.f`` is an ``f``."""
    return name in (member, member.rpartition(".")[2])


def _blocks(job: Job) -> Blocks:
    """x (s, B, I) of some steps of a file's inputs at a time, and whether they have rows."""
    asked = job.model.given.get("layout")
    x, layout = check_inputs(job.model, array_of(job), asked, job.name)
    steps, rows = extent_of(x.shape, layout)
    held = sum(cell.units for _, cell in job.model.cells) * 8 * rows  # bytes of a step
    size = max(1, min(BLOCK, PIECE // 4 // held))  # as text it takes several times that
    ahead = max(1, READ // (rows * x.shape[-1] * x.dtype.itemsize) // size) * size
    for start in range(0, steps, ahead):
        major = block(x, layout, slice(start, start + ahead))
        for first in range(0, len(major), size):
            yield major[first : first + size], layout != "steps"


TOGETHER = 64  # lines that are there already are run together, which changes no bit


def _lines(job: Job, remark: Callable[[str], None] | None = None) -> Blocks:
    """x (s, B, I) of the lines that have arrived, and whether a line has rows.

    A line that is wrong is told of once those before it are written.
    """
    assert isinstance(job.inputs, StepStream)
    lines, held = iter(job.inputs), list[Array]()
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
                held.append(step)
                numbers.append(job.inputs.line)
        except UserError as error:
            step, wrong = None, error
        if held and (step is None or len(held) == TOGETHER or not job.inputs.waiting()):
            x = np.stack(held)  # (s, I) or (s, B, I)
            if remark is not None and not np.isfinite(x).all():
                n = next(n for n, one in enumerate(held) if not np.isfinite(one).all())
                remark(not_finite(held[n], f"{job.name}, line {numbers[n]}"))
                remark = None
            held.clear()
            numbers.clear()
            yield (x, True) if x.ndim == 3 else (x[:, None], False)
        if step is None:
            break
    if wrong:
        raise wrong


def drained(job: Job) -> InBlocks:
    """The inputs as one array, a stream read to its end."""
    if not isinstance(job.inputs, StepStream):
        return job.inputs
    steps = list(job.inputs)
    if not steps:
        raise UserError(f"{job.name}: no steps.")
    if len({step.shape for step in steps}) > 1:
        odd = next(n for n, step in enumerate(steps) if step.shape != steps[0].shape)
        raise UserError(
            f"{job.name}, line {odd + 1}: {steps[odd].shape} numbers, {steps[0].shape} before."
        )
    return np.stack(steps)


def standard_output() -> BinaryIO:
    """The bytes of stdout; text already written to it goes first."""
    sys.stdout.flush()
    return sys.stdout.buffer
