"""Edits of when the state advances: steps run several times, held, skipped, and zeros between.

The function of a row changes the arrays (T, B) of a `Schedule`. Steps past the end of a run that
is shorter than the inputs do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import ANY, Shown, fit
from lstmcli.core.model.edits.family import Family
from lstmcli.core.model.edits.state import STATE
from lstmcli.core.model.schedule import Schedule, StepCount
from lstmcli.core.model.settings import COUNT, Parser
from lstmcli.core.model.vocabulary import numbered

SCHEDULE = Family(STATE.name, STATE.hides)

_STEP = Parser("u", "a step")
TWICE = 2
_TRANSDUCER = "transducers that take the state over where no token is emitted"
_BEFORE = "The steps before the first of them agree"


class _StepCounts(Parser):
    """A parser of steps with counts, or of a file with a schedule of each sequence."""

    def __init__(self, words: str, *members: str) -> None:
        super().__init__("", f"{words}, such as 2:2,5:3")
        self._members = members

    def __call__(self, value: Any) -> Any:
        """The `StepCount` values, or the arrays (B, T) of the file."""
        if isinstance(value, Mapping):
            is_schedule = set(self._members) <= value.keys()
            return value if is_schedule else super().__call__(value)
        found = []
        for part in str(value).split(","):
            step, _, count = part.partition(":")
            try:
                found.append(StepCount(_STEP(step), COUNT(count)))
            except ValueError:
                raise ValueError(self.words) from None
        return tuple(found)


def _put(array: Array, steps: Sequence[StepCount]) -> Array:
    changed = array.copy()
    for one in steps:
        if one.step < len(changed):
            changed[one.step] = one.count
    return changed


def _named(v: Shown) -> str:
    return numbered("step", [int(part) for part in v.parts])


def _times(v: Shown) -> str:
    """``steps 2, 5 run twice``, or that a file has it."""
    if v.value == ANY:
        return "steps run several times"
    if isinstance(v.value, Mapping):
        return f"steps are run as often as {v} specifies"
    texts = []
    for count, steps in _by_count(v).items():
        times = "twice" if count == TWICE else f"{count} times"
        texts.append(f"{numbered('step', steps)} run {times}")
    return ", ".join(texts)


def _by_count(v: Shown) -> dict[int, list[int]]:
    """The steps by how often something is done there."""
    steps: dict[int, list[int]] = {}
    for part in v.parts:
        step, _, count = part.partition(":")
        steps.setdefault(int(count), []).append(int(step))
    return steps


def _inserted_words(v: Shown) -> str:
    """``1 step of zeros run before step 7``."""
    if v.value == ANY:
        return "steps of zeros run before a step"
    texts = []
    for count, steps in _by_count(v).items():
        noun = "step" if count == 1 else "steps"
        texts.append(f"{count} {noun} of zeros run before {numbered('step', steps)}")
    return ", ".join(texts)


def _of_file(schedule: Schedule, arrays: Mapping[str, Array]) -> Schedule:
    """The schedule with the arrays (B, T) of a file in its place."""
    changed = schedule._asdict()
    steps = len(schedule.runs)
    for name in schedule._fields:
        if name in arrays:
            array = np.asarray(arrays[name]).T[:steps]
            fit(array.shape == schedule.runs.shape and not (array < 0).any())
            changed[name] = array.astype(changed[name].dtype)
    return Schedule(**changed)


@SCHEDULE.edit(
    "repeated", "schedule", _times,
    lambda v: f"for _ in range(runs[t]): h, c = cell(x[t], h, c)  # {v}", _TRANSDUCER,
    "h, c = cell(x[t], h, c), once a step",
    read=_StepCounts("steps and how often each is run", "runs"), values=(), shows=_BEFORE,
    of_sequence=True,
)  # fmt: skip
def _repeated(schedule: Schedule, value: Any) -> Schedule:
    if isinstance(value, Mapping):
        return _of_file(schedule, value)
    return schedule._replace(runs=_put(schedule.runs, value))


@SCHEDULE.edit(
    "held", "schedule", lambda v: f"the state is not handed on after {_named(v)}",
    lambda v: f"if t not in ({v}): h, c = h_new, c_new", "voice detection that pauses, decoders",
    "h, c = h_new, c_new at every step",
    read=Parser("u+", "steps, such as 3,4,8"), values=(), shows=_BEFORE, of_sequence=True,
)  # fmt: skip
def _held(schedule: Schedule, steps: Sequence[int]) -> Schedule:
    counts = [StepCount(step, 1) for step in steps]
    return schedule._replace(held=_put(schedule.held, counts))


@SCHEDULE.edit(
    "inserted", "schedule",
    _inserted_words,
    lambda v: f"before step t: h, c = cell(zeros, h, c)  # {v}",
    "padding between chunks, a blank that is run before the state is handed over",
    "run nothing between two steps",
    read=_StepCounts("steps and how many steps of zeros before each"), values=(), shows=_BEFORE,
    of_sequence=True,
)  # fmt: skip
def _inserted(schedule: Schedule, value: Sequence[StepCount]) -> Schedule:
    return schedule._replace(zeros=_put(schedule.zeros, value))


@SCHEDULE.edit(
    "skipped", "schedule",
    lambda v: f"{_named(v)} not run: the output of the step before again",
    lambda v: f"if t in ({v}): out[t] = out[t - 1]", "code that runs every second frame",
    "h, c = cell(x[t], h, c) at every step",
    read=Parser("u+", "steps, such as 3,4"), values=(), shows=_BEFORE, of_sequence=True,
)  # fmt: skip
def _skipped(schedule: Schedule, steps: Sequence[int]) -> Schedule:
    counts = [StepCount(step, 0) for step in steps]
    return schedule._replace(runs=_put(schedule.runs, counts))
