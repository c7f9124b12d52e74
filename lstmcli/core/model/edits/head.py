"""Edits of the head, which makes y of h: they take it and the model that it is of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.model.edit import ANY, fit
from lstmcli.core.model.edits.family import Family, code_of
from lstmcli.core.model.model import Model
from lstmcli.core.model.settings import OneOf
from lstmcli.core.model.surroundings import (
    BATCH,
    EACH,
    LAST,
    PAST_END,
    STATES,
    Dense,
    Head,
)
from lstmcli.core.model.vocabulary import OVER_OUTPUTS

HEAD = Family("head", "h is right, and every number of y is plausible")
OF_HEAD = "h agrees, y does not"


_STEPS = OneOf(
    last="of the last step",
    states="of both last states",
    first="of the first step",
    each="of each step",
    past_end="past the end of padded sequences",
)
_STEP_CODES = {
    "last": "y = head(out[:, -1])",
    "states": "y = head(concat(h_n[-2], h_n[-1]))",
    "first": "y = head(out[:, 0])",
    "each": "y = head(out)",
    "past_end": "y = head(out[:, -1]), where sequences are shorter",
    ANY: "y = head(out[:, n])",
}


@HEAD.edit(
    "step", "head", lambda v: f"the head takes h {v}", code_of(_STEP_CODES),
    "out[:, -1] and h_n, which differ for two directions and for padded sequences",
    "y = head(h), of the steps that the model takes",
    read=_STEPS, shows=OF_HEAD,
)  # fmt: skip
def head_of_steps(head: Head, model: Model, steps: str) -> Head:
    """The head as it takes other steps."""
    fit(steps != head.steps)
    fit(steps != PAST_END or head.steps in (LAST, STATES))
    return replace(head, steps=steps)


_SOFTMAXES = OneOf(
    twice="applied twice", time="over the steps", batch="over the sequences"
)
_SOFTMAX_CODES = {
    "twice": "y = softmax(softmax(z))",
    "time": "y = softmax(z, axis=time)",
    "batch": "y = softmax(z, axis=batch)",
    ANY: "y = softmax(z, axis=n)",
}


@HEAD.edit(
    "softmax", "head", lambda v: f"softmax {v}", code_of(_SOFTMAX_CODES),
    "softmax before a loss that has one, softmax with the wrong axis",
    "y = softmax(z, axis=-1), once",
    read=_SOFTMAXES, shows=OF_HEAD, of_sequence=True,
)  # fmt: skip
def _other_softmax(head: Head, model: Model, how: str) -> Head:
    """The head with a softmax after its own, or over another axis."""
    *lower, last = head.layers
    is_softmax = last.activation in OVER_OUTPUTS
    if how == "twice":
        fit(is_softmax)
        return replace(
            head, layers=(*head.layers, Dense(last.name, activation="softmax"))
        )
    if not is_softmax:
        fit(last.activation == "identity")
        last = replace(last, activation="softmax")
    fit(how == BATCH or head.steps == EACH)
    return replace(head, layers=(*lower, replace(last, over=how)))


@HEAD.edit(
    "bias", "head", "the head without its bias", "y = h @ kernel",
    "code that reads one tensor of two", "y = h @ kernel + bias",
    read=OneOf("none"), shows=OF_HEAD,
)  # fmt: skip
def _without_bias(head: Head, model: Model, _: Any) -> Head:
    fit(any(layer.bias is not None for layer in head.layers))
    return replace(
        head, layers=tuple(replace(layer, bias=None) for layer in head.layers)
    )


@HEAD.edit(
    "kernel", "head", "the kernel of the head read by its other axis",
    "y = h @ kernel.reshape(n, m).T + bias",
    "PyTorch stores it (outputs, inputs), Keras (inputs, outputs)", "y = h @ kernel + bias",
    read=OneOf("transposed"), shows=OF_HEAD,
)  # fmt: skip
def _kernel_read_otherwise(head: Head, model: Model, _: Any) -> Head:
    """The head whose stored kernels are read by their other axis: of a square one, transposed."""
    layers, has_other = [], False
    for layer in head.layers:
        kernel = layer.kernel
        if kernel is not None and min(kernel.shape) > 1:
            has_other = True
            if layer.is_transposed:
                kernel = np.ascontiguousarray(kernel.T).reshape(kernel.shape)
            else:
                kernel = np.ascontiguousarray(kernel).reshape(kernel.shape[::-1]).T
        layers.append(replace(layer, kernel=kernel))
    fit(has_other)
    return replace(head, layers=tuple(layers))


_INPUTS = OneOf(
    c="c, not h",
    forward="h of the forward direction alone",
    backward="h of the backward direction alone",
    exchanged="both directions exchanged",
)
_INPUT_CODES = {
    "c": "y = head(c)",
    "forward": "y = head(concat(forward, zeros))",
    "backward": "y = head(concat(zeros, backward))",
    "exchanged": "y = head(concat(backward, forward))",
    ANY: "y = head(another h)",
}


@HEAD.edit(
    "on", "head", lambda v: f"the head takes {v}", code_of(_INPUT_CODES),
    "code that takes h_n and c_n, or their parts, by position", "y = head(h)",
    read=_INPUTS, shows=OF_HEAD, values=("c", "exchanged", "forward", "backward"),
)  # fmt: skip
def _head_on(head: Head, model: Model, on: str) -> Head:
    last = model.layers[-1]
    if on == "c":
        fit(all(cell.units == cell.shown for cell in last))
    else:
        fit(len(last) == 2)
    return replace(head, on=on)
