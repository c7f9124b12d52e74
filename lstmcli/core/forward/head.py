"""The head over a run: the model's output y of the LSTM's output h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstmcli.core.forward.equations import activation
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.surroundings import LAST, MAX, MEAN, Head

DType = np.dtype[Any]


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True)
    result: Array = shifted - np.log(total)
    return result


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))  # without overflow
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


OVER_OUTPUTS = {"softmax": _softmax, "log_softmax": _log_softmax}
"""The activations that take all K outputs at once; the others are those of cells."""


def activated(name: str, x: Array) -> Array:
    """An activation of a head, applied to the outputs (..., K) of a layer."""
    if name in OVER_OUTPUTS:
        return OVER_OUTPUTS[name](x)
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
            y = activated(layer.activation, y)
    return y


def taken_at_each_end(steps: str, h: Array) -> Array:
    """The h (T, R, P) that a head takes of sequences which end at each step."""
    if steps == MEAN:
        counts = np.arange(1, len(h) + 1)[:, np.newaxis, np.newaxis]
        mean: Array = np.cumsum(h, axis=0) / counts
        return mean
    if steps == MAX:
        return np.maximum.accumulate(h, axis=0)
    return h


class Pooled:
    """The h (R, P) of each sequence that a head of one output takes, as steps come.

    ``steps`` is "last", "mean" or "max". Of a model that needs all steps at
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
        if valid is None:
            valid = np.ones(h.shape[:2], bool)
        counts = valid[..., np.newaxis]
        if self._steps == LAST:
            last = len(h) - 1 - np.argmax(valid[::-1], axis=0)
            of_last = h[last, np.arange(h.shape[1])]
            self._value = np.where(counts.any(axis=0), of_last, self._value)
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


def last_states(states: Sequence[Array], convention: Convention) -> Array:
    """The last h (R, P) of each direction of a layer, joined as its outputs are."""
    each_with_steps = [state[np.newaxis] for state in states]
    merged: Array = merge_directions(each_with_steps, convention)[0]
    return merged
