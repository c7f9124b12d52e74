"""Edits of how layers are run together: their states, their inputs, what is between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.model.edit import Edit, fit
from lstmcli.core.model.edits.family import POSITIVE, Family, RunSizes
from lstmcli.core.model.model import Cell
from lstmcli.core.model.settings import COUNT, Parser
from lstmcli.core.model.stack import Entering

Layers = Sequence[Sequence[Cell]]

LAYERS = Family("layers", "Each layer by itself is right, and all shapes fit")

_FIRST = "The first layer agrees"
_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-12)


def _upper(sizes: RunSizes) -> Iterable[int]:
    return range(1, len(sizes.model.layers))


def _lower(sizes: RunSizes) -> Iterable[int]:
    return range(len(sizes.model.layers) - 1)


def _if_stacked(sizes: RunSizes) -> Iterable[str]:
    return ["true"] if len(sizes.model.layers) > 1 else []


def _lower_of_two(sizes: RunSizes) -> Iterable[int]:
    return _lower(sizes) if sizes.model.bidirectional else []


def _epsilons(sizes: RunSizes) -> Iterable[float]:
    return _EPSILONS if len(sizes.model.layers) > 1 else ()


@LAYERS.edit(
    "shared", "shared", "all layers have one state", "for cell in cells: x, c = cell(x, h, c)",
    "code with one h and c for all cells", "h[n], c[n] = cells[n](x, h[n], c[n])",
    values=_if_stacked, of_sequence=True,
)  # fmt: skip
def _shared(_: Any, __: Any) -> None:
    """Do nothing: the loop over the layers is another."""


@LAYERS.edit(
    "late", "stack", lambda v: f"layer {v} takes what the layer before had a step ago",
    lambda v: f"x[{v}][t] = h[{v} - 1][t - 1]", "pipelined hardware",
    "each layer takes the output of the same step",
    read=COUNT, shows=_FIRST, values=_upper, of_sequence=True,
)  # fmt: skip
def _late(entering: Entering, layer: int) -> Entering:
    fit(layer < entering.layers)
    if entering.layer != layer:
        return entering
    x = entering.x
    return entering._replace(x=np.concatenate([np.zeros_like(x[:1]), x[:-1]]))


@LAYERS.edit(
    "start", "stack", lambda v: f"the layer behind layer {v} starts from its last state",
    lambda v: f"for n in layers: out, (h, c) = cells[n](out, (h, c))  # behind {v}",
    "code with one variable for the state", "h, c = 0, 0 before each layer",
    read=Parser("u", "a layer"), shows=_FIRST, values=_lower, of_sequence=True,
)  # fmt: skip
def _start(entering: Entering, layer: int) -> Entering:
    fit(layer + 1 < entering.layers)
    if entering.layer != layer + 1:
        return entering
    for (h, c), (new_h, new_c) in zip(entering.starts, entering.before, strict=True):
        fit(h.shape == new_h.shape and c.shape == new_c.shape)
    return entering._replace(starts=entering.before)


@LAYERS.edit(
    "norm", "network", lambda v: f"layer normalisation between layers, epsilon {v}, none stored",
    lambda v: f"h = (h - h.mean()) / sqrt(h.var() + {v})", "ports of training code",
    "give h to the next layer", read=POSITIVE, shows=_FIRST, values=_epsilons,
)  # fmt: skip
def _norm(layers: Layers, epsilon: float) -> Layers:
    fit(len(layers) > 1)
    changed = []
    for layer in layers[:-1]:
        edit = Edit("outputs.layer_norm", epsilon)
        changed.append(
            tuple(replace(cell, edits=(*cell.edits, edit)) for cell in layer)
        )
    return (*changed, layers[-1])


@LAYERS.edit(
    "merge", "network", lambda v: f"directions of layer {v} joined as [backward, forward]",
    lambda v: f"x[{v} + 1] = concat(backward[{v}], forward[{v}])", "ports of stacked BiLSTMs",
    "concat(forward, backward) in each layer",
    read=Parser("u", "a layer"), shows=_FIRST, values=_lower_of_two,
)  # fmt: skip
def _merge(layers: Layers, number: int) -> Layers:
    fit(number < len(layers) and len(layers[number]) > 1)
    changed = []
    for cell in layers[number]:
        swapped = cell.convention.with_behaviour(merge="concat_swapped")
        changed.append(replace(cell, convention=swapped))
    return (*layers[:number], tuple(changed), *layers[number + 1 :])
