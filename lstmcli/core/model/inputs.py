"""The inputs of a run, and what comes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy.typing as npt

from lstmcli.core.model.arrays import SliceableArray


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs as given, not checked: `lstmcli.run` describes each field."""

    x: SliceableArray  # (T, I), (B, T, I) or (T, B, I); in memory or in a file
    layout: str | None = None  # "batch" or "time", of inputs of three axes
    initial_state: Mapping[str, npt.ArrayLike] = field(default_factory=dict)  # h and c, or empty
    lengths: npt.ArrayLike | None = None
    mask: npt.ArrayLike | None = None
    name: str = "the inputs"  # in messages
