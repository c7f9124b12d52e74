"""When the state of a cell advances: how often each step is run, and what is run in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Edit, edited, edits_in

ZEROS = -1  # the source of a run that takes zeros
START = -1  # the run that a skipped step shows, where no step is before it


@dataclass(frozen=True)
class StepCount:
    """A step, and how often something is done there: ``5:2``."""

    step: int
    count: int

    def __str__(self) -> str:
        """The text that is typed."""
        return f"{self.step}:{self.count}"


def last_step(value: Any) -> int:
    """The last step that the value of an edit of a schedule names."""
    if isinstance(value, Mapping):
        steps = [np.shape(array)[-1] - 1 for array in value.values()]
    else:
        steps = [getattr(one, "step", one) for one in value]
    return int(max(steps))


class Runs(NamedTuple):
    """The runs of a cell one after another, for each sequence; all have the same count M."""

    source: Array  # (M, B): the step whose inputs a run takes, or ZEROS
    carried: Array  # (M, B): whether its state is handed on
    shown: Array  # (T, B): the run whose output a step has, or START


class Schedule(NamedTuple):
    """How each step is run, in arrays (T, B)."""

    runs: Array  # how often the step is run; 0: its output is that of the step before
    held: Array  # whether the state after it is dropped
    zeros: Array  # steps of zeros that are run before it

    @classmethod
    def plain(cls, steps: int, batch: int) -> Schedule:
        """Each step once, and nothing in between."""
        shape = steps, batch
        return cls(np.ones(shape, int), np.zeros(shape, bool), np.zeros(shape, int))

    @property
    def is_plain(self) -> bool:
        """Tell whether each step is run once, and nothing else is done."""
        return bool(
            (self.runs == 1).all() and not self.held.any() and not self.zeros.any()
        )

    def expanded(self) -> Runs:
        """All runs in order; those past the last of a sequence change nothing."""
        steps, batch = self.runs.shape
        count = int((self.runs + self.zeros).sum(axis=0).max(initial=0))
        source = np.full((count, batch), ZEROS)
        carried = np.zeros((count, batch), bool)
        shown = np.full((steps, batch), START)
        for b in range(batch):
            done = 0
            for t in range(steps):
                zeros, runs = int(self.zeros[t, b]), int(self.runs[t, b])
                carried[done : done + zeros, b] = True
                done += zeros
                source[done : done + runs, b] = t
                carried[done : done + runs, b] = not self.held[t, b]
                done += runs
                if runs:
                    shown[t, b] = done - 1
                elif t:
                    shown[t, b] = shown[t - 1, b]
        return Runs(source, carried, shown)


def schedule_of(edits: Iterable[Edit], steps: int, batch: int) -> Schedule | None:
    """The schedule of a cell's edits; None where each step is run once."""
    of_schedule = edits_in("schedule", edits)
    if not of_schedule:
        return None
    schedule: Schedule = edited("schedule", of_schedule, Schedule.plain(steps, batch))
    return schedule
