"""A run whose every step starts from EXPECTED's own h, for nets where a free run drifts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.explain.bench import Bench
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.data import Expected, course
from lstmcli.core.explain.evidence import codes_of, constants_of
from lstmcli.core.explain.readings import Readings
from lstmcli.core.explain.space import Changes
from lstmcli.core.explain.stepping import Batch, products_of

Array = npt.NDArray[Any]


def forced_run(bench: Bench, changes: Changes, expected: Expected) -> Mapping[str, Array] | None:
    """The arrays of EXPECTED, (T, B, K), each step from EXPECTED's h and the run's own c.

    None unless EXPECTED holds h at every step of every row.
    """
    settings = {change.setting: change.value for change in changes}
    held = expected.sequences.get("h")
    if held is None or not np.isfinite(held.values).all() or expected.finals:
        return None
    if {"array", "layout"} & set(settings):
        return None
    layout = next(iter(bench.layouts.values()))
    how = bench.how.changed(settings)
    turned = bench.backward or how.reverse or how.go_backwards
    flipped = (turned and not how.go_backwards) != how.flip_output
    if layout.valid is not None:
        return None
    way = course(layout.x, expected, turned, flipped, None)
    rows = layout.x.shape[1]
    codes = codes_of(bench, settings)[None]
    constants = Constants(*constants_of(bench, settings)[:, None])
    h = way.known["h"].values
    batch = Batch(Readings(bench.weights, codes), constants, None, rows)
    if bench.state is not None and how.initial_state != "zero":
        first = bench.state[::-1] if how.initial_state == "swapped" else bench.state
        batch.restart(first[0][None], first[1][None])
    kept: dict[str, list[Array]] = {name: [] for name in expected.sequences}
    for step in range(len(way.x)):
        if step:
            batch.restart(h[step - 1][None], batch.c)
        products = {
            place: products_of(bench.weights.kernels[place], way.x[step], None, batch.dtype)
            for place in batch.kernels
        }
        arrays = batch.advance(products)
        for name, steps in kept.items():
            steps.append(arrays[name][0].copy())
    stacked = {name: np.array(steps) for name, steps in kept.items()}
    return {name: a[::-1] if flipped else a for name, a in stacked.items()}
