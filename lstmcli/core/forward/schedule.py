"""A cell whose steps are run as a `Schedule` has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.forward.batch import Runner
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Edit
from lstmcli.core.model.schedule import schedule_of
from lstmcli.core.model.states import State


def run_scheduled(
    runner: Runner, edits: Sequence[Edit], x: Array, names: Sequence[str]
) -> tuple[dict[str, Array], State]:
    """The arrays (T, B, K) of the steps of x, and the state after all runs.

    ``edits`` of the cell have a schedule.
    """
    schedule = schedule_of(edits, *x.shape[:2])
    assert schedule is not None
    runs = schedule.expanded()
    start = dict(zip("hc", runner.state, strict=True))
    zeros = np.zeros((1, *x.shape[1:]), x.dtype)
    taken = np.concatenate([x, zeros])  # of which ZEROS is the last
    inputs = np.take_along_axis(taken, runs.source[:, :, None], axis=0)
    pieces = _pieces(runner, inputs, runs.carried, tuple(names))
    arrays = {}
    for name in names:
        of_runs = [piece[name] for piece in pieces]
        nothing = np.zeros_like(of_runs[0][0])
        before = start.get(name, nothing)
        of_runs.append(before[None])  # which START is
        each = np.concatenate(of_runs)
        shown = runs.shown[:, :, None]
        arrays[name] = np.take_along_axis(each, shown, axis=0)
    return arrays, runner.state


def _pieces(
    runner: Runner, inputs: Array, carried: Array, names: tuple[str, ...]
) -> list[dict[str, Array]]:
    """The arrays of all runs, in pieces; after some the state before them is put back."""
    pieces = []
    first = 0
    for held in np.flatnonzero(~carried.all(axis=1)).tolist():
        if held > first:
            pieces.append(runner.advance(inputs[first:held], names))
        old_h, old_c = runner.state
        step = inputs[held : held + 1]
        pieces.append(runner.advance(step, names))
        h, c = runner.state
        is_carried = carried[held][:, None]
        h = np.where(is_carried, h, old_h)
        c = np.where(is_carried, c, old_c)
        runner.put((h, c))
        first = held + 1
    if first < len(inputs):
        pieces.append(runner.advance(inputs[first:], names))
    return pieces
