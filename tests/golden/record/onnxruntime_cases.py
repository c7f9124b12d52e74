"""Golden cases of onnxruntime 1.32.0: the ONNX operator LSTM.

Environment: pip install onnxruntime==1.32.0 onnx==1.23.2 numpy
Run, from the top of the checkout: python tests/golden/record/onnxruntime_cases.py
(Not named onnxruntime.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from common import LENGTHS, LENGTHS_WITH_ZERO, B, H, I, T, numbers, save, uneven
from onnx import TensorProto, helper, numpy_helper

OPSET = 14
OUTPUTS = ("Y", "Y_h", "Y_c")
EMPTY = "row 1 has no valid step: onnxruntime answers final states of 0, not the initial ones"


def run(tensors: dict[str, np.ndarray], **attributes: Any) -> list[np.ndarray]:
    """Run a model of one LSTM node; the node's absent inputs are named by empty strings."""
    order = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    node = helper.make_node(
        "LSTM",
        [name if name in tensors else "" for name in order],
        list(OUTPUTS),
        hidden_size=H,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [T, B, I])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in OUTPUTS
        ],
        [
            numpy_helper.from_array(value, name)
            for name, value in tensors.items()
            if name != "X"
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(list(OUTPUTS), {"X": tensors["X"]})


def keep(
    case: str,
    seed: int,
    *,
    direction: str = "forward",
    bias: bool = True,
    peepholes: bool = False,
    initial: bool = True,
    lengths: np.ndarray | None = None,
    prefix: str = "",
    settings: dict[str, Any] | None = None,
    note: str = "",
    **attributes: Any,
) -> None:
    """Record one node; ``settings`` say in lstmcli's names what ``attributes`` say in ONNX's."""
    rng = numbers(seed)
    settings = dict(settings or {})
    if direction == "reverse":
        settings["reverse"] = True
    directions = 2 if direction == "bidirectional" else 1
    weights = {
        "W": uneven(rng, directions, 4 * H, I),
        "R": uneven(rng, directions, 4 * H, H),
    }
    if bias:
        weights["B"] = uneven(rng, directions, 8 * H)
    if peepholes:
        weights["P"] = uneven(rng, directions, 3 * H)
    tensors = {"X": uneven(rng, T, B, I), **weights}
    states = {name: uneven(rng, directions, B, H) for name in "hc"}
    if initial:
        tensors |= {f"initial_{name}": value for name, value in states.items()}
    if lengths is not None:
        tensors["sequence_lens"] = lengths.astype(np.int32)
    y, h, c = run(tensors, direction=direction, **attributes)
    save(
        "onnxruntime",
        case,
        {prefix + name: value for name, value in weights.items()},
        tensors["X"],
        {"h": y, "final_h": h, "final_c": c},
        convention="onnx",
        version=f"onnxruntime {onnxruntime.__version__}",
        script="onnxruntime_cases.py",
        layout="time",
        settings=settings,
        initial=states if initial else None,
        lengths=lengths,
        note=note,
    )


def onnx_activation(setting: str) -> tuple[str, list[float], list[float]]:
    """ONNX's name, alpha and beta of a setting such as "elu(0.8)" or "affine(1.5,0.2)"."""
    if setting == "hard_sigmoid_0.2":
        return "HardSigmoid", [], []  # ONNX's default alpha and beta
    name, _, listed = setting.rstrip(")").partition("(")
    values = [float(number) for number in listed.split(",") if number]
    return (
        "".join(part.capitalize() for part in name.split("_")),
        values[:1],
        values[1:],
    )


def keep_activations(
    case: str,
    seed: int,
    gates: str,
    candidate: str,
    output: str,
    *,
    direction: str = "forward",
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Record a node with these activations, ONNX's f, g and h, the same in both directions."""
    chosen = (gates, candidate, output) * (2 if direction == "bidirectional" else 1)
    names, alphas, betas = zip(*map(onnx_activation, chosen), strict=True)
    # Only the activations that take an alpha (or a beta) consume one, in their order.
    attributes = {
        "activation_alpha": [number for one in alphas for number in one],
        "activation_beta": [number for one in betas for number in one],
    }
    own = {
        "recurrent_activation": gates,
        "activation": candidate,
        "output_activation": output,
    }
    keep(
        case,
        seed,
        direction=direction,
        settings=own | (settings or {}),
        activations=names,
        **{name: value for name, value in attributes.items() if value},
        **options,
    )


def main() -> None:
    """Record every case."""
    both = {"direction": "bidirectional"}
    keep("forward", 1)
    keep("reverse", 2, direction="reverse")
    keep("bidirectional", 3, **both)
    keep("no_bias", 4, bias=False)
    keep("no_initial_state", 5, initial=False)
    keep("prefixed", 6, prefix="encoder/lstm/", peepholes=True, **both)
    keep("peepholes", 7, peepholes=True)
    keep("peepholes_no_bias", 8, peepholes=True, bias=False)
    keep("lengths", 9, lengths=LENGTHS)
    keep("lengths_reverse", 10, lengths=LENGTHS, direction="reverse")
    keep("lengths_bidirectional", 11, lengths=LENGTHS, **both)
    empty = {"lengths": LENGTHS_WITH_ZERO, "note": EMPTY}
    keep("lengths_zero", 12, **empty)
    keep("lengths_zero_bidirectional", 13, **empty, **both)

    clip = {"clip": 0.5, "settings": {"gate_clip": 0.5}}
    clip["note"] = "clip bounds what goes into every activation of a gate, not the cell"
    keep("clip", 14, **clip)
    keep("clip_peepholes", 15, peepholes=True, **clip)
    keep("clip_bidirectional_lengths", 16, lengths=LENGTHS, **clip, **both)
    coupled = {"input_forget": 1, "settings": {"coupled": "f=1-i"}}
    keep("input_forget", 17, **coupled)
    keep("input_forget_peepholes", 18, peepholes=True, **coupled)

    keep_activations("hard_sigmoid", 19, "hard_sigmoid_0.2", "tanh", "tanh")
    keep_activations(
        "hard_sigmoid_alpha_beta", 20, "hard_sigmoid(0.3,0.4)", "tanh", "tanh"
    )
    keep_activations("relu", 21, "sigmoid", "relu", "tanh")
    keep_activations("relu_output", 22, "sigmoid", "tanh", "relu")
    keep_activations("affine", 23, "sigmoid", "affine(1.5,0.2)", "tanh")
    keep_activations("leaky_relu", 24, "sigmoid", "leaky_relu(0.01)", "tanh")
    keep_activations("thresholded_relu", 25, "sigmoid", "thresholded_relu(0.3)", "tanh")
    keep_activations("scaled_tanh", 26, "sigmoid", "scaled_tanh(1.71,0.67)", "tanh")
    keep_activations("elu", 27, "sigmoid", "elu(0.8)", "tanh")
    keep_activations("softsign", 28, "sigmoid", "softsign", "tanh")
    keep_activations("softplus", 29, "sigmoid", "softplus", "tanh")
    three = ("hard_sigmoid(0.3,0.4)", "scaled_tanh(1.71,0.67)", "softsign")
    keep_activations("three_different", 30, *three, peepholes=True)
    three = ("hard_sigmoid(0.3,0.4)", "leaky_relu(0.1)", "elu(0.8)")
    keep_activations(
        "three_different_bidirectional", 31, *three, lengths=LENGTHS, **both
    )
    keep_activations(
        "everything",
        32,
        *("hard_sigmoid_0.2", "softsign", "tanh"),
        peepholes=True,
        lengths=LENGTHS,
        clip=0.6,
        input_forget=1,
        settings={"gate_clip": 0.6, "coupled": "f=1-i"},
        **both,
    )


if __name__ == "__main__":
    main()
