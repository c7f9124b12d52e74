"""From a trace to files and streams, in every format that can hold it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.core.model import Trace, as_time_major
from lstmcli.core.run import KEPT, NAMES, Stack, check_inputs
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import StepStream
from lstmcli.loading import Job

Array = npt.NDArray[Any]

FINAL = ("final_h", "final_c")
LONE = ("npy", "text")  # formats that hold h alone
BY_STEP = ("jsonl", "csv", "tsv")  # formats written a step at a time
BINARY = ("npy", "npz")
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


def stream_steps(job: Job, stream: BinaryIO, format: str, names: Sequence[str]) -> Stack:
    """Run and write as the inputs come, or block by block; gives the cells with their last state.

    Memory is that of a block of steps, whatever the length.

    Raises
    ------
    UserError
        for inputs of another shape, naming the line.
    """
    stack: Stack | None = None
    streamed = isinstance(job.inputs, StepStream)
    for x, batched in _lines(job) if streamed else _blocks(job):
        if stack is None:
            stack = Stack(job.model, x.shape[1], job.initial_state, slots=1 if streamed else None)
        first = stack.steps
        arrays = stack.advance(x, tuple(kept_for(names)))
        if first == 0:
            members = [m for name in names for m in arrays if name in (m, m.rpartition(".")[2])]
            writer = formats.open_steps(stream, format, members, batched)
        writer.write(first, {k: arrays[k] if batched else arrays[k][:, 0] for k in members})
        if not (isinstance(job.inputs, StepStream) and job.inputs.waiting()):
            stream.flush()
    if stack is None:
        raise UserError(f"{job.name}: no steps.")
    return stack


def _blocks(job: Job) -> Iterator[tuple[Array, bool]]:
    """x (s, B, I) of some steps of a file's inputs at a time, and whether they have rows."""
    asked = job.model.given.get("layout")
    x, layout = check_inputs(job.model, np.asarray(job.inputs), asked, job.name)
    major = as_time_major(x, layout)
    for first in range(0, len(major), BLOCK):
        yield major[first : first + BLOCK], layout != "steps"


def _lines(job: Job) -> Iterator[tuple[Array, bool]]:
    """x (1, B, I) of each line as it arrives, and whether the line had rows."""
    rows: int | None = None
    for n, step in enumerate(job.inputs):
        where = f"{job.name}, line {n + 1}"
        batched = step.ndim == 2
        takes = job.model.cell.inputs
        if step.shape[-1] != takes:
            raise UserError(f"{where} holds {step.shape[-1]} numbers; the model takes {takes}.")
        x = step[None] if batched else step[None, None]
        if rows not in (None, x.shape[1]):
            raise UserError(f"{where}: {x.shape[1]} rows, but {rows} before.")
        rows = x.shape[1]
        yield x, batched


def drained(job: Job) -> Array:
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
