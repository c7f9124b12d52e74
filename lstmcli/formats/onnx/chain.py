"""Which LSTM node plainly takes its inputs from another's outputs.

Between two layers of a network exporters put operations that move axes about and nothing else.
They are followed axis by axis, so that outputs that arrive transposed are not taken for inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstmcli.formats.onnx.folding import Constants
from lstmcli.formats.onnx.graph import Node, Place, Scope
from lstmcli.formats.onnx.lstm import is_lstm

MOST_HOPS = 16  # operations between two layers
T, D, B, H = "TDBH"  # time, directions, batch, hidden
OUTPUTS = {0: (T, D, B, H), 1: (B, T, D, H)}  # axes of Y, by the node's layout
INPUTS = {0: (T, B), 1: (B, T)}  # axes of X but the last
SAME = ("Identity", "Dropout", "Cast")


def feeder(node: Node, scope: Scope, constants: Constants) -> Node | None:
    """The LSTM node whose Y, all steps and directions of it, is this one's X."""
    place = scope.place(node.inputs[0])
    path: list[Place] = []  # from this node backwards
    while place.node is not None and not is_lstm(place.node):
        if place.name != place.node.outputs[0] or not place.node.inputs or len(path) == MOST_HOPS:
            return None
        path.append(place)
        place = place.scope.place(place.node.inputs[0])
    other = place.node
    if other is None or place.name != other.outputs[0]:
        return None
    both = other.attributes.get("direction") == b"bidirectional"
    axes: tuple[str, ...] | None = OUTPUTS[_layout(other)]
    for step in reversed(path):
        axes = axes and _moved(axes, step, constants, both)
    wanted = INPUTS[_layout(node)]
    return other if axes in ((*wanted, D + H), *([] if both else [(*wanted, H)])) else None


class Inputs(NamedTuple):
    """Where a node's X comes from."""

    operation: str  # that computes it; "" for an input of the model
    transposed: bool  # that input with batch and time exchanged


def inputs_of(node: Node, scope: Scope) -> Inputs:
    """Whether X is an input of the model, and how it lies there."""
    place, transposed = scope.place(node.inputs[0]), False
    for _ in range(MOST_HOPS):
        step = place.node
        if step is None or step.domain or not step.inputs:
            break
        exchanged = step.op == "Transpose" and step.attributes.get("perm") == [1, 0, 2]
        if not exchanged and step.op not in SAME:
            break
        transposed ^= exchanged
        place = place.scope.place(step.inputs[0])
    return Inputs("" if place.node is None else place.node.op, transposed and place.input)


def _layout(node: Node) -> int:
    return 1 if node.attributes.get("layout") == 1 else 0


def _moved(
    axes: tuple[str, ...], place: Place, constants: Constants, both: bool
) -> tuple[str, ...] | None:
    """The axes after an operation; None for one that does more than move them."""
    node = place.node
    assert node is not None
    if node.domain:
        return None
    if node.op in SAME:
        return axes
    if node.op == "Reshape":  # the directions' outputs side by side
        joined = axes[-2:] == (D, H) and _rank(node, place.scope, constants) == len(axes) - 1
        return (*axes[:-2], D + H) if joined else None
    told = {"Transpose": "perm", "Squeeze": "axes"}.get(node.op)
    numbers = _numbers(node, place.scope, told, constants) if told else None
    if numbers is None or any(not -len(axes) <= n < len(axes) for n in numbers):
        return None
    if node.op == "Transpose":
        in_order = sorted(numbers) == list(range(len(axes)))
        return tuple(axes[n] for n in numbers) if in_order else None
    alone = len(numbers) == 1 and axes[numbers[0]] == D
    return tuple(a for a in axes if a != D) if alone and not both else None


def _rank(node: Node, scope: Scope, constants: Constants) -> int | None:
    """How many axes a Reshape gives: the numbers of its shape, or the pieces it is made of."""
    numbers = _numbers(node, scope, "shape", constants)
    if numbers is not None or len(node.inputs) < 2:
        return None if numbers is None else len(numbers)
    made_by = scope.place(node.inputs[1]).node
    return len(made_by.inputs) if made_by and made_by.op == "Concat" else None


def _numbers(node: Node, scope: Scope, told: str, constants: Constants) -> list[int] | None:
    """Whole numbers of an attribute, or of the second input if that is a constant."""
    value = node.attributes.get(told)
    if value is None and len(node.inputs) > 1:
        value = constants.value(scope, node.inputs[1])
    if isinstance(value, np.ndarray) and value.size <= len("TDBH"):
        value = [int(n) for n in value.ravel()]
    return value if isinstance(value, list) else None
