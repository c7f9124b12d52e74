"""Golden cases of OpenVINO 2026.4.1: the operations LSTMSequence and LSTMCell.

Environment: pip install openvino==2026.4.1 numpy
Run, from the top of the checkout: python tests/golden/record/openvino_cases.py
(Not named openvino.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from common import LENGTHS, LENGTHS_WITH_ZERO, B, H, I, T, numbers, save, uneven
from openvino import opset14 as ops

EMPTY = (
    "row 1 has no valid step: openvino answers final states of 0, not the initial ones"
)
VERSION = f"openvino {openvino.__version__.split('-')[0]}"


def answers(operation: Any, parameters: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run the operation on the CPU in float32 (its default may be bfloat16)."""
    nodes = [
        node
        for node in operation.get_ordered_ops()
        if node.get_type_name() == "Parameter"
    ]
    compiled = openvino.Core().compile_model(
        operation,
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"},
    )
    result = compiled(
        {node.friendly_name: parameters[node.friendly_name] for node in nodes}
    )
    return [np.array(result[output]) for output in compiled.outputs]


def parameter(name: str, value: np.ndarray) -> Any:
    """An input of the model, of the value's shape."""
    return ops.parameter(value.shape, np.float32, name=name)


def drawn(rng: np.random.Generator, *directions: int) -> dict[str, np.ndarray]:
    """The operation's weights W, R and B."""
    shapes = {"W": (4 * H, I), "R": (4 * H, H), "B": (4 * H,)}
    return {name: uneven(rng, *directions, *shape) for name, shape in shapes.items()}


def keep(
    case: str,
    seed: int,
    *,
    direction: str = "forward",
    lengths: np.ndarray | None = None,
    prefix: str = "",
    settings: dict[str, Any] | None = None,
    note: str = "",
    **attributes: Any,
) -> None:
    """Record one LSTMSequence."""
    rng = numbers(seed)
    directions = 2 if direction == "bidirectional" else 1
    weights = drawn(rng, directions)
    x = uneven(rng, B, T, I)
    initial = {name: uneven(rng, B, directions, H) for name in "hc"}
    inputs = {"x": x, **initial}
    nodes = {name: parameter(name, value) for name, value in inputs.items()}
    steps = (
        np.full(B, T) if lengths is None else lengths
    )  # the operation always wants them
    sequence = ops.lstm_sequence(
        *nodes.values(),
        ops.constant(steps.astype(np.int32)),
        *(ops.constant(value) for value in weights.values()),
        H,
        direction,
        **attributes,
    )
    y, h, c = answers(openvino.Model(sequence.outputs(), list(nodes.values())), inputs)
    own = {"reverse": True} if direction == "reverse" else {}
    save(
        "openvino",
        case,
        {prefix + name: value for name, value in weights.items()},
        x,
        {"h": y, "final_h": h, "final_c": c},
        convention="openvino",
        version=VERSION,
        script="openvino_cases.py",
        layout="batch",
        settings=own | (settings or {}),
        initial=initial,
        lengths=lengths,
        note=note,
    )


def keep_cell(case: str, seed: int) -> None:
    """Record one LSTMCell stepped by hand."""
    rng = numbers(seed)
    weights = drawn(rng)
    x, h, c = uneven(rng, T, B, I), uneven(rng, B, H), uneven(rng, B, H)
    initial = {"h": h, "c": c}
    nodes = [parameter(*item) for item in {"x": x[0], **initial}.items()]
    cell = ops.lstm_cell(
        *nodes, *(ops.constant(value) for value in weights.values()), H
    )
    model = openvino.Model(cell.outputs(), nodes)
    hs, cs = [], []
    for step in x:
        h, c = answers(model, {"x": step, "h": h, "c": c})
        hs.append(h)
        cs.append(c)
    save(
        "openvino",
        case,
        weights,
        x,
        {"h": np.stack(hs), "c": np.stack(cs), "final_h": h, "final_c": c},
        convention="openvino",
        version=VERSION,
        script="openvino_cases.py",
        layout="time",
        initial=initial,
    )


def main() -> None:
    """Record every case."""
    both = {"direction": "bidirectional"}
    keep("forward", 1)
    keep("reverse", 2, direction="reverse")
    keep("bidirectional", 3, **both)
    keep("prefixed", 4, prefix="encoder/lstm/", **both)
    keep("lengths", 5, lengths=LENGTHS)
    keep("lengths_reverse", 6, lengths=LENGTHS, direction="reverse")
    keep("lengths_bidirectional", 7, lengths=LENGTHS, **both)
    keep("lengths_zero", 8, lengths=LENGTHS_WITH_ZERO, note=EMPTY)
    clip = {"clip": 0.5, "settings": {"gate_clip": 0.5}}
    clip["note"] = "clip bounds what goes into every activation of a gate, not the cell"
    keep("clip", 9, **clip)
    keep("clip_bidirectional_lengths", 10, lengths=LENGTHS, **clip, **both)
    keep(
        "activations",
        11,
        activations=["sigmoid", "relu", "tanh"],
        settings={"activation": "relu", "output_activation": "tanh"},
    )
    keep_cell("cell", 12)


if __name__ == "__main__":
    main()
