"""Runs whose states are meddled with from step to step.

From EXPECTED's own h, for nets where a free run drifts; or rounded, as half precision keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lstmcli.core.explain.bench import Bench
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.data import Course, Expected, course
from lstmcli.core.explain.evidence import codes_of, constants_of
from lstmcli.core.explain.readings import Readings
from lstmcli.core.explain.space import Changes, settings_of
from lstmcli.core.explain.stepping import Batch
from lstmcli.core.model.arrays import Array


def forced_run(bench: Bench, changes: Changes, expected: Expected) -> Mapping[str, Array] | None:
    """The arrays of EXPECTED, (T, B, K), each step from EXPECTED's h and the run's own c.

    None unless EXPECTED holds h at every step of every row.
    """
    h = expected.sequences.get("h")
    if h is None or not np.isfinite(h.values).all() or expected.finals:
        return None

    def from_expected(batch: Batch, way: Course, step: int) -> None:
        batch.restart(way.known["h"].values[step - 1][None], batch.c)

    return _run(bench, changes, expected, from_expected)


def _run(
    bench: Bench,
    changes: Changes,
    expected: Expected,
    between: Callable[[Batch, Course, int], None],
    dtype: Any = np.float64,
) -> Mapping[str, Array] | None:
    settings = settings_of(changes)
    if {"array", "layout"} & set(settings):
        return None
    matching = [layout for layout in bench.layouts.values() if layout.expected is expected]
    layout = matching[0] if matching else next(iter(bench.layouts.values()))
    how = bench.how.changed(settings)
    turned = bench.backward or how.behaviour.reverse or how.behaviour.go_backwards
    flipped = (turned and not how.behaviour.go_backwards) != how.behaviour.flip_output
    if layout.valid is not None:
        return None
    way = course(layout.x, expected, turned, flipped, None)
    rows = layout.x.shape[1]
    codes = codes_of(bench, settings)[None]
    constants = Constants(*constants_of(bench, settings)[:, None])
    start = bench.start(how.behaviour.initial_state, slice(None))
    batch = Batch(Readings(bench.weights, codes, dtype=dtype), constants, start, rows)
    kept: dict[str, list[Array]] = {name: [] for name in expected.sequences}
    for step in range(len(way.x)):
        if step:
            between(batch, way, step)
        arrays = batch.advance(way.x[step])
        for name, steps in kept.items():
            steps.append(arrays[name][0].copy())
    stacked = {name: np.array(steps) for name, steps in kept.items()}
    return {name: a[::-1] if flipped else a for name, a in stacked.items()}
