"""Connections between LSTM nodes: which one takes its inputs directly from another's outputs.

Between two layers of a network, exporters insert operators that only move axes. Each axis is
followed through them, so that transposed outputs are not taken for inputs.
"""

from __future__ import annotations

import numpy as np

from lstmcli.formats.onnx.folding import ConstantFolder
from lstmcli.formats.onnx.graph import Definition, Node, Scope
from lstmcli.formats.onnx.lstm import is_lstm

MOST_HOPS = 16  # operators between two layers
T, D, B, H = "TDBH"  # time, directions, batch, hidden
OUTPUTS = {0: (T, D, B, H), 1: (B, T, D, H)}  # axes of Y, by the node's layout
INPUTS = {0: (T, B), 1: (B, T)}  # axes of X but the last
SAME = ("Identity", "Dropout", "Cast")


def feeding_lstm(node: Node, scope: Scope, constants: ConstantFolder) -> Node | None:
    """The LSTM node whose complete Y, all steps and directions, is the X of this node."""
    source = scope.definition(node.inputs[0])
    path: list[Definition] = []  # from this node backwards
    while source.node is not None and not is_lstm(source.node):
        first, inputs = source.node.outputs[0], source.node.inputs
        if source.name != first or not inputs or len(path) == MOST_HOPS:
            return None
        path.append(source)
        source = source.scope.definition(inputs[0])
    lstm = source.node
    if lstm is None or source.name != lstm.outputs[0]:
        return None
    bidirectional = lstm.attributes.get("direction") == b"bidirectional"
    axes: tuple[str, ...] | None = OUTPUTS[_layout(lstm)]
    for step in reversed(path):
        axes = axes and _moved(axes, step, constants, bidirectional)
    time_and_batch = INPUTS[_layout(node)]
    expected = [(*time_and_batch, D + H)]
    if not bidirectional:
        expected.append((*time_and_batch, H))
    return lstm if axes in expected else None


def input_source(node: Node, scope: Scope) -> tuple[str, bool]:
    """The operator that computes X ("" for an input of the model), and whether X is transposed.

    Transposed is an input of the model with batch and time exchanged.
    """
    source, transposed = scope.definition(node.inputs[0]), False
    for _ in range(MOST_HOPS):
        step = source.node
        if step is None or step.domain or not step.inputs:
            break
        exchanged = step.op == "Transpose" and step.attributes.get("perm") == [1, 0, 2]
        if not exchanged and step.op not in SAME:
            break
        transposed ^= exchanged
        source = source.scope.definition(step.inputs[0])
    operator = "" if source.node is None else source.node.op
    return operator, transposed and source.input


def _layout(node: Node) -> int:
    return 1 if node.attributes.get("layout") == 1 else 0


def _moved(
    axes: tuple[str, ...], step: Definition, constants: ConstantFolder, bidirectional: bool
) -> tuple[str, ...] | None:
    """The axes after an operator; None if it does more than move them."""
    node = step.node
    assert node is not None
    if node.domain:
        return None
    if node.op in SAME:
        return axes
    if node.op == "Reshape":  # concatenates the directions' outputs
        joined = axes[-2:] == (D, H) and _rank(node, step.scope, constants) == len(axes) - 1
        return (*axes[:-2], D + H) if joined else None
    attribute = {"Transpose": "perm", "Squeeze": "axes"}.get(node.op)
    numbers = _numbers(node, step.scope, attribute, constants) if attribute else None
    if numbers is None or any(not -len(axes) <= n < len(axes) for n in numbers):
        return None
    if node.op == "Transpose":
        is_permutation = sorted(numbers) == list(range(len(axes)))
        return tuple(axes[n] for n in numbers) if is_permutation else None
    only_directions = len(numbers) == 1 and axes[numbers[0]] == D
    return tuple(a for a in axes if a != D) if only_directions and not bidirectional else None


def _rank(node: Node, scope: Scope, constants: ConstantFolder) -> int | None:
    """The number of axes that a Reshape returns: the length of its shape, if that is known."""
    numbers = _numbers(node, scope, "shape", constants)
    if numbers is not None or len(node.inputs) < 2:
        return None if numbers is None else len(numbers)
    producer = scope.definition(node.inputs[1]).node
    return len(producer.inputs) if producer and producer.op == "Concat" else None


def _numbers(
    node: Node, scope: Scope, attribute: str, constants: ConstantFolder
) -> list[int] | None:
    """The integers of an attribute, or of the second input if that is a constant."""
    value = node.attributes.get(attribute)
    if value is None and len(node.inputs) > 1:
        value = constants.value(scope, node.inputs[1])
    if isinstance(value, np.ndarray) and value.size <= len("TDBH"):
        value = [int(n) for n in value.ravel()]
    return value if isinstance(value, list) else None
