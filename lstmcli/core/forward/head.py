"""The head over a run: the model's output y of the LSTM's output h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstmcli.core.forward.equations import activation
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import ELEMENTWISE
from lstmcli.core.model.surroundings import (
    BATCH,
    FIRST,
    LAST,
    MAX,
    MEAN,
    OUTPUTS,
    PAST_END,
    TIME,
    Head,
)

DType = np.dtype[Any]
DIRECTIONS = ("forward", "backward")


def _log_softmax(x: Array, axis: int) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    result: Array = shifted - np.log(total)
    return result


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))  # without overflow
    result: Array = powers / powers.sum(axis=axis, keepdims=True)
    return result


OVER_OUTPUTS = {"softmax": _softmax, "log_softmax": _log_softmax}
"""The activations that take all K outputs at once; the others are those of cells."""


AXES = {OUTPUTS: -1, BATCH: -2, TIME: -3}
"""The axis of y (..., R, K) over which a softmax is."""


def activated(name: str, x: Array, over: str = OUTPUTS) -> Array:
    """An activation of a head, applied to the outputs (..., K) of a layer."""
    if name in OVER_OUTPUTS:
        return OVER_OUTPUTS[name](x, AXES[over])
    result = np.empty_like(x)
    activation(name)(x, result)
    return result


def head_output(head: Head, h: Array) -> Array:
    """y (..., K) of h (..., P), in the dtype of h.

    Of several steps (s, R, P) each is a product of its own: the bits of y do
    not depend on how many steps are computed at a time.
    """
    y = h
    with np.errstate(all="ignore"):  # y shows what is not finite
        for layer in head.layers:
            if layer.kernel is not None:
                y = np.matmul(y, layer.kernel.astype(h.dtype, copy=False))
            if layer.bias is not None:
                y = y + layer.bias.astype(h.dtype, copy=False)
            y = activated(layer.activation, y, layer.over)
    return y


def merged_for_head(
    head: Head, directions: Sequence[Array], convention: Convention
) -> Array:
    """The h (s, R, P) of both directions of a layer that a head takes, or their c."""
    if head.on == "exchanged":
        return merge_directions([*directions[::-1]], convention)
    if head.on not in DIRECTIONS:
        return merge_directions([*directions], convention)
    taken = DIRECTIONS.index(head.on)
    if convention.behaviour.merge in ELEMENTWISE:
        return directions[taken]
    others = [np.zeros_like(one) for one in directions]
    others[taken] = directions[taken]
    return merge_directions(others, convention)


def taken_at_each_end(steps: str, h: Array) -> Array:
    """The h (T, R, P) that a head takes of sequences which end at each step."""
    if steps == MEAN:
        counts = np.arange(1, len(h) + 1)[:, np.newaxis, np.newaxis]
        mean: Array = np.cumsum(h, axis=0) / counts
        return mean
    if steps == MAX:
        return np.maximum.accumulate(h, axis=0)
    if steps == FIRST:
        return np.broadcast_to(h[:1], h.shape)
    return h


class Pooled:
    """The h (R, P) of each sequence that a head of one output takes, as steps come.

    ``steps`` is "last", "mean", "max", "first" or "past_end". Of a model that needs all steps at
    once, these come at once.
    """

    def __init__(self, steps: str, batch: int, width: int, dtype: DType) -> None:
        start = -np.inf if steps == MAX else 0
        precise = np.promote_types(dtype, np.float64) if steps == MEAN else dtype
        self._steps, self._dtype = steps, dtype
        self._value = np.full((batch, width), start, precise)
        self._count = np.zeros((batch, 1), int)  # steps so far that count

    def take(self, h: Array, valid: Array | None) -> None:
        """Take the h (s, R, P) of the next steps, of which those that are ``valid`` count."""
        if valid is None or self._steps == PAST_END:
            valid = np.ones(h.shape[:2], bool)
        counts = valid[..., np.newaxis]
        has_any, item = counts.any(axis=0), np.arange(h.shape[1])
        if self._steps == FIRST:
            of_first = h[np.argmax(valid, axis=0), item]
            is_new = has_any & (self._count == 0)
            self._value = np.where(is_new, of_first, self._value)
        elif self._steps in (LAST, PAST_END):
            last = len(h) - 1 - np.argmax(valid[::-1], axis=0)
            self._value = np.where(has_any, h[last, item], self._value)
        elif self._steps == MEAN:
            # one after another from the sum so far: the same bits in pieces
            terms = [self._value[np.newaxis], np.where(counts, h, 0)]
            self._value = np.add.reduce(np.concatenate(terms), axis=0)
        else:
            largest = np.where(counts, h, -np.inf).max(axis=0)
            self._value = np.maximum(self._value, largest)
        self._count += counts.sum(axis=0)

    def result(self) -> Array:
        """The h (R, P) that the head takes."""
        value = self._value
        if self._steps == MEAN:
            value = value / np.maximum(self._count, 1)
        result: Array = value.astype(self._dtype, copy=False)
        return result


def last_states(head: Head, states: Sequence[Array], convention: Convention) -> Array:
    """The last h (R, P) of each direction of a layer, joined as its outputs are."""
    each_with_steps = [state[np.newaxis] for state in states]
    merged: Array = merged_for_head(head, each_with_steps, convention)[0]
    return merged
