"""The recipe of a conversion: what is done with each part of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.weights.storage import STEPS, bias_names, present_gates

_PARTS = (
    "gates",
    "kernels",
    "bias",
    "peepholes",
    "projection",
)  # in the order of a recipe


class Change(NamedTuple):
    """A part of the weights, and what is done with it."""

    what: str
    text: str


def recipe(layers: Sequence[Sequence[Cell]], target: Convention) -> list[Change]:
    """The changes from the convention of these cells to one that can store them."""
    cell = layers[0][0]
    source = cell.convention
    changes = []
    words = {step.part: step.words for step in STEPS if step.words is not None}
    for part in _PARTS:
        before, after = words[part](source, cell), words[part](target, cell)
        names = bias_names(target)
        if part == "bias" and len(names) == 2:
            after = f"{names[0]}; {names[1]} is zero"
        if before and before == after:
            changes.append(Change(part, f"{before}: unchanged"))
        elif before or after:
            changes.append(Change(part, " -> ".join(filter(None, (before, after)))))
    coupled = target.behaviour.coupled
    for gate in sorted({*present_gates(source)} - {*present_gates(target)}):
        text = f"{gate} is computed from another ({coupled}): it is left out"
        changes.append(Change("gates", text))
    if target.storage.direction_axis != source.storage.direction_axis:
        put = "put on a first axis" if target.storage.direction_axis else "split"
        changes.append(Change("directions", put))
    changes.extend(_forget_bias(source, target))
    return changes


def _forget_bias(source: Convention, target: Convention) -> Iterator[Change]:
    constant, remaining = source.behaviour.forget_bias, target.behaviour.forget_bias
    if target.behaviour.coupled == "f=1-i" or not (constant or remaining):
        return
    more = constant - remaining
    if more == 0:
        text = f"{remaining:+g} at run time in both: not in the bias"
        yield Change("forget bias", text)
        return
    parts = [f"{-more:g} out of the bias of f"]
    if more > 0:
        parts = [f"{more:+g} into the bias of f"]
    for row in (source, target):
        if row.behaviour.forget_bias:
            parts.append(f"{row.name} adds {row.behaviour.forget_bias:+g} at run time")
    yield Change("forget bias", "; ".join(parts))
