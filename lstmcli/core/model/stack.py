"""A layer as it is entered, which edits of how layers are run together change."""

from __future__ import annotations

from typing import NamedTuple

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.states import State


class Entering(NamedTuple):
    """The inputs (T, B, I) of a layer, and the state of each of its cells."""

    layer: int
    layers: int  # how many there are
    x: Array
    starts: list[State]
    before: list[State]  # the last states of the layer before
