"""The activations, as functions that write into ``out``: ``relu(x, out)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.vocabulary import split_activation

Activation = Callable[[Array, Array], Any]
"""Takes the pre-activation and where the result goes; the two may be the same array."""


def sigmoid(x: Array, out: Array) -> None:
    """1 / (1 + exp(-x)).

    This form keeps relative precision in the lower tail, where ``0.5 * (1 + tanh(x/2))`` is 0:
    sigmoid(-40) is 4e-18. Where exp overflows, the quotient is 0, as it should be.
    """
    one = x.dtype.type(1)
    np.multiply(x, -one, out)  # `negative` of NumPy 2.4 takes a stride of 4 float32 for contiguous
    np.exp(out, out)
    np.add(out, one, out)
    np.divide(one, out, out)


def identity(x: Array, out: Array) -> None:
    """x itself."""
    np.copyto(out, x)


def relu(x: Array, out: Array) -> None:
    """max(x, 0)."""
    np.maximum(x, x.dtype.type(0), out=out)


def hard_sigmoid(x: Array, out: Array, slope: float, offset: float) -> None:
    """clip(slope x + offset, 0, 1)."""
    affine(x, out, slope, offset)
    np.clip(out, x.dtype.type(0), x.dtype.type(1), out)


def affine(x: Array, out: Array, alpha: float, beta: float) -> None:
    """alpha x + beta."""
    np.multiply(x, x.dtype.type(alpha), out)
    np.add(out, x.dtype.type(beta), out)


def leaky_relu(x: Array, out: Array, alpha: float) -> None:
    """x, or alpha x below 0."""
    np.copyto(out, np.where(x < 0, x * x.dtype.type(alpha), x))


def thresholded_relu(x: Array, out: Array, alpha: float) -> None:
    """x where it is above alpha, else 0."""
    np.copyto(out, np.where(x > alpha, x, x.dtype.type(0)))


def scaled_tanh(x: Array, out: Array, alpha: float, beta: float) -> None:
    """alpha tanh(beta x)."""
    np.multiply(x, x.dtype.type(beta), out)
    np.tanh(out, out)
    np.multiply(out, x.dtype.type(alpha), out)


def elu(x: Array, out: Array, alpha: float) -> None:
    """x, or alpha (exp(x) - 1) below 0."""
    below = x.dtype.type(alpha) * np.expm1(np.minimum(x, x.dtype.type(0)))
    np.copyto(out, np.where(x < 0, below, x))


def softsign(x: Array, out: Array) -> None:
    """x / (1 + |x|)."""
    np.divide(x, x.dtype.type(1) + np.abs(x), out)


def softplus(x: Array, out: Array) -> None:
    """log(1 + exp(x)), without overflow."""
    np.logaddexp(x, x.dtype.type(0), out)


_FAMILIES: dict[str, Callable[..., Any]] = {  # parameters come after ``out``
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": relu,
    "identity": identity,
    "hard_sigmoid": hard_sigmoid,
    "affine": affine,
    "leaky_relu": leaky_relu,
    "thresholded_relu": thresholded_relu,
    "scaled_tanh": scaled_tanh,
    "elu": elu,
    "softsign": softsign,
    "softplus": softplus,
}


def activation(name: str) -> Activation:
    """The function behind a name in the spelling of `read_activation_name`."""
    family, parameters = split_activation(name)
    function = _FAMILIES[family]
    return (lambda x, out: function(x, out, *parameters)) if parameters else function
