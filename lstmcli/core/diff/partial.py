"""Some steps of a run, at their positions in the full run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lstmcli.core.diff.array_name import SEQUENCE, ArrayName
from lstmcli.core.diff.axes import sequence
from lstmcli.core.diff.operand import Side, put_at
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.axis_numbers import UNNUMBERED
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.errors import UserError


def with_all_steps(side: Side, shapes: Mapping[str, tuple[int, ...]], layout: str) -> Side:
    """A side with some steps of a run, by their indices in its file, as one with all of them.

    The steps that it lacks count as left out, as those of abbreviated output do. ``shapes`` are
    those of the run's arrays, (T, K), (B, T, K) or (T, B, K) by ``layout``.
    """
    axes = side.layout if side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    for name in side.arrays:
        of_run = shapes.get(name or "h")
        if of_run is None or name in side.gaps or ArrayName.of(name or "h").kind != SEQUENCE:
            continue
        shape = as_time_major(np.broadcast_to(0.0, of_run), layout).shape  # (T, B, K)
        part = sequence(side.numbers(name), axes)
        steps = None if part is None else side.indices(name, 0, len(part.values))
        if part is None or steps is None or steps[-1] >= shape[0] or part.shape[1:] != shape[1:]:
            raise UserError(
                f"{side.name}: {name or 'the array'} contains {side.numbering.description}; "
                f"this run is {shape} as (steps, batch, units)."
            )
        full = put_at(part, (np.asarray(steps),), shape)
        found[name] = full.moved(lambda array: from_time_major(array, axes))
    dtypes = {name: side.arrays[name].dtype for name in found if name not in side.units}
    placed = replace(side.with_numbers(found), gaps=side.gaps, layout=axes, numbering=UNNUMBERED)
    return replace(placed, dtypes={**dtypes, **side.dtypes})
