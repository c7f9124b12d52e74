"""The activations, as functions that write into ``out``: ``relu(x, out)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.vocabulary import ACTIVATION_NAMES

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


def hard_sigmoid(slope: float, offset: float) -> Activation:
    """clip(slope x + offset, 0, 1)."""

    def activate(x: Array, out: Array) -> None:
        number = x.dtype.type
        np.multiply(x, number(slope), out)
        np.add(out, number(offset), out)
        np.clip(out, number(0), number(1), out)

    return activate


def affine(alpha: float, beta: float) -> Activation:
    """alpha x + beta."""

    def activate(x: Array, out: Array) -> None:
        np.multiply(x, x.dtype.type(alpha), out)
        np.add(out, x.dtype.type(beta), out)

    return activate


def leaky_relu(alpha: float) -> Activation:
    """x, or alpha x below 0."""

    def activate(x: Array, out: Array) -> None:
        np.copyto(out, np.where(x < 0, x * x.dtype.type(alpha), x))

    return activate


def thresholded_relu(alpha: float) -> Activation:
    """x where it is above alpha, else 0."""

    def activate(x: Array, out: Array) -> None:
        np.copyto(out, np.where(x > alpha, x, x.dtype.type(0)))

    return activate


def scaled_tanh(alpha: float, beta: float) -> Activation:
    """alpha tanh(beta x)."""

    def activate(x: Array, out: Array) -> None:
        np.multiply(x, x.dtype.type(beta), out)
        np.tanh(out, out)
        np.multiply(out, x.dtype.type(alpha), out)

    return activate


def elu(alpha: float) -> Activation:
    """x, or alpha (exp(x) - 1) below 0."""

    def activate(x: Array, out: Array) -> None:
        below = x.dtype.type(alpha) * np.expm1(np.minimum(x, x.dtype.type(0)))
        np.copyto(out, np.where(x < 0, below, x))

    return activate


def softsign(x: Array, out: Array) -> None:
    """x / (1 + |x|)."""
    np.divide(x, x.dtype.type(1) + np.abs(x), out)


def softplus(x: Array, out: Array) -> None:
    """log(1 + exp(x)), without overflow."""
    np.logaddexp(x, x.dtype.type(0), out)


_FIXED: dict[str, Activation] = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": relu,
    "identity": identity,
    "hard_sigmoid_0.2": hard_sigmoid(0.2, 0.5),
    "hard_sigmoid_1_6": hard_sigmoid(1 / 6, 0.5),
    "softsign": softsign,
    "softplus": softplus,
}
_FAMILIES: dict[str, Callable[..., Activation]] = {
    "hard_sigmoid": hard_sigmoid,
    "affine": affine,
    "leaky_relu": leaky_relu,
    "thresholded_relu": thresholded_relu,
    "scaled_tanh": scaled_tanh,
    "elu": elu,
}


def activation(name: str) -> Activation:
    """The function behind a name in the spelling of `read_activation_name`."""
    if name in _FIXED:
        return _FIXED[name]
    family, _, numbers = name.partition("(")
    parameters = [float(p) for p in numbers.rstrip(")").split(",") if p]
    return _FAMILIES[family](*(parameters or ACTIVATION_NAMES[family]))
