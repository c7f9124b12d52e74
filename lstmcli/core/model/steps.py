"""The order in which a cell processes its inputs, and that of its outputs.

A cell may start from the last step (`reverse`, or the backward direction). Most frameworks then
turn its outputs round, to the order of the inputs; `go_backwards` of Keras does not, and
`flip_output` does it once more. Steps that lengths and masks leave out are processed last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Behaviour


class StepOrder(NamedTuple):
    """Two booleans of a cell, or an array of each for several cells at once."""

    runs_back: Any  # it starts from the last step of the inputs
    outputs_reversed: Any  # against the order in which it ran

    @classmethod
    def of(cls, reverse: Any, go_backwards: Any, flip_output: Any) -> StepOrder:
        """The order by three settings of a cell, or by an array of each."""
        runs_back = reverse | go_backwards
        return cls(runs_back, runs_back ^ go_backwards ^ flip_output)

    @classmethod
    def of_cell(cls, behaviour: Behaviour, backward: bool) -> StepOrder:
        """The order of a cell, ``backward`` of the second of two directions."""
        reverse = (backward and not behaviour.forward) or behaviour.reverse
        return cls.of(reverse, behaviour.go_backwards, behaviour.flip_output)


def valid_first(valid: Array) -> Array:
    """The steps (T, B) of each sequence: valid ones, then the others, in order."""
    return np.argsort(~valid, axis=0, kind="stable")


def valid_until(padded: Array) -> Array:
    """(B,): the steps of each sequence before the padding (T, B) at its end."""
    length = len(padded) - (~padded)[::-1].argmax(axis=0)
    return np.where(padded.all(axis=0), 0, length)


def shown_lengths(x: Array) -> Array:
    """(B,): the steps of inputs (T, B, I) before those at the end that are padding.

    Padding is one number, such as 0, at least twice.
    """
    lengths = valid_until((x == x[-1:, :, :1]).all(axis=2))
    return np.where((len(x) - lengths) * x.shape[2] < 2, len(x), lengths)


def processed_steps(
    order: StepOrder, steps: int, valid: Array | None = None
) -> tuple[Array, Array]:
    """For each step of the loop, the step of the inputs, and that of the outputs.

    ``valid`` (T, B) marks the steps that count, by lengths or a mask; the others come last. Both
    results are (T, B), or (T, 1) where they are the same for all sequences (``valid`` is None).
    """
    processed: Array = np.arange(steps)[:, None]
    if valid is not None:
        processed = valid_first(valid[::-1] if order.runs_back else valid)
    other = steps - 1 - processed
    return (
        other if order.runs_back else processed,
        other if order.outputs_reversed else processed,
    )
