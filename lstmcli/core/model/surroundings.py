"""The front and the head: layers before and behind the LSTM in its model.

The front makes the LSTM's inputs x of the model's inputs; the head makes the
model's output y of the LSTM's output h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array

Y = "y"
"""The model's output, which its head makes: ``y`` of each step, or ``final_y``."""
FINAL_Y = "final_y"

EACH = "each"
LAST = "last"
STATES = "states"
MEAN = "mean"
MAX = "max"
OUTPUTS, TIME, BATCH = "outputs", "time", "batch"  # axes of a softmax
FIRST = "first"  # by an edit alone, as is the next
PAST_END = "past_end"
MOST_LAYERS = 8  # of a head
STEPS = {
    EACH: "of each step",
    LAST: "of the last step",
    STATES: "of both last states",
    MEAN: "of the mean over the steps",
    MAX: "of the maximum over the steps",
}
"""The h that a head takes: one of each step, or one a sequence; with words."""


# ---- as a file describes them


class HeadLayer(NamedTuple):
    """A dense layer, or an activation alone, by names that a file gives."""

    name: str  # what `head` calls it: a layer's path, or its kernel's tensor
    kernel: str = ""  # its tensor; "" of an activation alone
    bias: str = ""  # its tensor; "" where there is none
    activation: str = "identity"
    is_transposed: bool = False  # the kernel is (K_out, K_in)


class HeadOfFile(NamedTuple):
    """The layers behind an LSTM, by the graph of a file."""

    behind: str  # the start of the names of the LSTM's tensors
    layers: tuple[HeadLayer, ...] = ()
    steps: str = EACH  # of `STEPS`
    obstacle: str = ""  # in words, what stands there and is not run; then no layers


class FrontOfFile(NamedTuple):
    """The layer before an LSTM, by the graph of a file."""

    before: str  # the start of the names of the LSTM's tensors
    name: str = ""  # what `front` calls it
    table: str = ""  # its tensor, (V, I)
    masks_zero: bool = False  # index 0 is padding
    obstacle: str = ""  # in words, what stands there and is not run; then no table


USUAL_ACTIVATIONS = (
    "softmax", "identity", "sigmoid", "relu", "tanh", "log_softmax",
)  # fmt: skip
"""Of layers behind an LSTM, the usual first."""

# ---- as they are run


class Rows(NamedTuple):
    """The rows of an embedding's table that are a model's inputs."""

    table: Array
    indices: Array

    @property
    def words(self) -> str:
        """Return what they are, with their shape."""
        return f"indices of shape {self.indices.shape} (steps, batch)"


@dataclass(frozen=True, eq=False)
class Dense:
    """``activation(x @ kernel + bias)``, or an activation alone."""

    name: str
    kernel: Array | None = None  # (K_in, K_out)
    bias: Array | None = None  # (K_out,)
    activation: str = "identity"
    over: str = OUTPUTS  # or "time" or "batch", by an edit: the axis of a softmax
    is_transposed: bool = False  # as stored, which is (K_out, K_in)

    @property
    def text(self) -> str:
        """The layer as ``--head`` takes it: ``fc``, ``fc:softmax``."""
        if self.activation == "identity":
            return self.name
        return f"{self.name}:{self.activation}"


@dataclass(frozen=True, eq=False)
class Head:
    """Dense layers in turn: y (..., K) of h (..., P)."""

    layers: tuple[Dense, ...]
    steps: str = EACH  # of `STEPS`, or by an edit `FIRST` or `PAST_END`
    on: str = "h"  # by an edit: "c", one direction, or both exchanged
    loaded: str = ""  # the layers before any edit, as text

    @property
    def output(self) -> str:
        """The name of the array that the head makes."""
        return Y if self.steps == EACH else FINAL_Y

    @property
    def text(self) -> str:
        """The layers as ``--head`` takes them."""
        return self.loaded or ",".join(layer.text for layer in self.layers)

    @property
    def words(self) -> str:
        """Return what it is, in a message."""
        return f"the head {self.text}"

    @property
    def suggested(self) -> str:
        """The layers with usual activations: ``fc1:relu,fc2:softmax``."""
        names = [layer.name for layer in self.layers]
        last = "softmax" if self.width(0) > 1 else "sigmoid"
        return ",".join(
            [f"{name}:relu" for name in names[:-1]] + [f"{names[-1]}:{last}"]
        )

    def with_other_activations(self) -> list[str]:
        """The same layers as text, one of them with another of the usual activations."""
        heads = []
        for n, layer in reversed([*enumerate(self.layers)]):
            for name in USUAL_ACTIVATIONS:
                layers = list(self.layers)
                layers[n] = replace(layer, activation=name)
                if name != layer.activation:
                    heads.append(Head(tuple(layers)).text)
        return heads

    @property
    def is_over_sequences(self) -> bool:
        """Return whether an output of one sequence needs the others."""
        return any(layer.over == BATCH for layer in self.layers)

    @property
    def inputs(self) -> int | None:
        """P, the size of the h that the first kernel takes; None without a kernel."""
        for layer in self.layers:
            if layer.kernel is not None:
                return int(layer.kernel.shape[0])
        return None

    def width(self, inputs: int) -> int:
        """K, the size of y, for h of this size."""
        for layer in self.layers:
            if layer.kernel is not None:
                inputs = int(layer.kernel.shape[1])
        return inputs


@dataclass(frozen=True, eq=False)
class Embedding:
    """A table (V, I) that has a row of inputs for each index."""

    name: str
    table: Array
    masks_zero: bool = False  # a step of index 0 does not count

    @property
    def rows(self) -> int:
        """V, the number of indices that it knows."""
        return int(self.table.shape[0])

    def of(self, indices: Array) -> Array:
        """The inputs (..., I) of indices (...), each of 0 to V - 1."""
        inputs: Array = self.table[indices.astype(np.intp)]
        return inputs
