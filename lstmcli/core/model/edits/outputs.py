"""Edits of the outputs h (s, R, P) of some steps, next to the inputs (s, R, I) of the cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import fit
from lstmcli.core.model.edits.family import (
    LARGE,
    NUMBER,
    POSITIVE,
    TRAINING,
    Arrays,
    Family,
    names_of,
)
from lstmcli.core.model.edits.functions import sigmoid
from lstmcli.core.model.edits.head import OF_HEAD, head_of_steps
from lstmcli.core.model.edits.normalised import NORMALISED, normalised
from lstmcli.core.model.settings import OneOf
from lstmcli.core.model.surroundings import MAX, MEAN

OUTPUTS = Family(
    "outputs", "What follows the cell keeps the shape, and the cell itself is right"
)
_BEFORE = "take h before that layer"


@OUTPUTS.edit(
    "residual", "outputs", "inputs of the layer added to h", "h = h + x",
    "residual layers of a stack", "take h before x is added",
    shows="h is off by x at every step",
)  # fmt: skip
def _residual(h: Array, x: Array, _: Any) -> Any:
    fit(h.shape == x.shape)
    return h + x.astype(h.dtype)


@OUTPUTS.edit(
    "z", "outputs", "pre-activations z in place of h", "return z",
    "code that returns too early", "return h", takes="z", width=lambda units, _: 4 * units,
)  # fmt: skip
def _z(z: Array, x: Array, _: Any) -> Array:
    return z


APPLIED: dict[str, Callable[[Array], Array]] = {
    "relu": lambda h: np.maximum(h, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(axis=-1, keepdims=True),
    "length": lambda h: h / np.sqrt((h * h).sum(axis=-1, keepdims=True)),
}


@OUTPUTS.edit(
    "applied", "outputs", lambda v: f"{v} applied to h", lambda v: f"h = {v}(h)",
    "a layer after the LSTM", _BEFORE, read=OneOf(*APPLIED),
)  # fmt: skip
def _applied(h: Array, x: Array, name: str) -> Array:
    return APPLIED[name](h)


@OUTPUTS.edit(
    "factor", "outputs", lambda v: f"h times {v}", lambda v: f"h = {v} * h",
    "a scale for display or audio", "divide by it",
    read=NUMBER, shows="h is a multiple at every step", values=(0.5, 2.0, -1.0, 255.0, 100.0),
    solved=1.0,
)  # fmt: skip
def _factor(h: Array, x: Array, factor: float) -> Any:
    return h * h.dtype.type(factor)


@OUTPUTS.edit(
    "normalised", "outputs", lambda v: f"h normalised: {v}", lambda v: f'h = normalise(h, "{v}")',
    "a normalisation after the LSTM", "take h before it",
    read=names_of(NORMALISED), of_sequence=True, values=(), shows="h is off at every step",
)  # fmt: skip
def _normalised(h: Array, x: Array, how: str) -> Any:
    return normalised(h, how)


@OUTPUTS.edit(
    "layer_norm", "outputs", lambda v: f"layer normalisation of h, epsilon {v}, none stored",
    lambda v: f"h = (h - h.mean()) / sqrt(h.var() + {v})", "a layer after the LSTM", _BEFORE,
    read=POSITIVE, values=(1e-5, 1e-3, 1e-6, 1e-12),
)  # fmt: skip
def _layer_norm(h: Array, x: Array, epsilon: float) -> Any:
    h = h - h.mean(axis=-1, keepdims=True)
    return h / np.sqrt((h * h).mean(axis=-1, keepdims=True) + h.dtype.type(epsilon))


@OUTPUTS.edit(
    "clip", "outputs", lambda v: f"h bounded to +-{v} after the cell",
    lambda v: f"out = clip(h, -{v}, {v})", "audio code", "take h before it",
    read=POSITIVE, shows=LARGE, values=(1.0, 0.5, 0.2, 0.1), solved=1.0, bound=True,
)  # fmt: skip
def _clip(h: Array, x: Array, bound: float) -> Array:
    return np.clip(h, -bound, bound)


@OUTPUTS.edit(
    "mask", "outputs", lambda v: f"dropout of h, by the factors in {v}",
    lambda v: f'h = h * load("{v}")["mask"]', TRAINING, "model.eval()",
    read=Arrays("mask"), shows="Some numbers are 0, all others a multiple", of_sequence=True,
)  # fmt: skip
def _mask(h: Array, x: Array, given: Mapping[str, Array]) -> Any:
    mask = given["mask"][: len(h)].astype(h.dtype)
    return h * np.broadcast_to(mask, h.shape)


@OUTPUTS.edit(
    "dense", "outputs", lambda v: f"a dense layer after h, of {v}",
    lambda v: f'out = h @ load("{v}")["weights"] + bias', "a dense layer of the model", _BEFORE,
    read=Arrays("weights", "bias"), width=lambda units, arrays: arrays["weights"].shape[-1],
)  # fmt: skip
def _dense(h: Array, x: Array, given: Mapping[str, Array]) -> Any:
    product = np.einsum("srh,hn->srn", h, given["weights"])
    return (product + given["bias"]).astype(h.dtype)


OUTPUTS.edit(
    "pooled", "head", lambda v: f"the head takes the {v} of h over the steps",
    lambda v: f"y = head(out.{v}(axis=time))", "GlobalAveragePooling1D, h.mean(1), h.max(1)",
    "y = head(h), of the steps that the model takes",
    read=OneOf(MEAN, MAX), shows=OF_HEAD,
)(head_of_steps)  # fmt: skip
