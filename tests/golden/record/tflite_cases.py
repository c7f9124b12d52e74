"""TensorFlow Lite's LSTM kernels, each in a model of that one operator.

Recorded with tensorflow 2.21.0, whose package holds the interpreter and the schema of the format.

    pip install tensorflow==2.21.0 flatbuffers
    python tests/golden/record/tflite_cases.py
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from typing import Any, NamedTuple

import flatbuffers
import numpy as np
import tensorflow as tf
from common import B, H, I, P, T, numbers, save, uneven
from tensorflow.lite.python import schema_py_generated as schema

GATES = ("input", "forget", "cell", "output")
# The operator knows its inputs by their place; these are their names in the kernel's own source.
WEIGHTS = (
    *(f"input_to_{gate}_weights" for gate in GATES),
    *(f"recurrent_to_{gate}_weights" for gate in GATES),
    *(f"cell_to_{gate}_weights" for gate in GATES if gate != "cell"),
    *(f"{gate}_gate_bias" for gate in GATES),
    "projection_weights",
    "projection_bias",
)
STATES = ("output_state", "cell_state")
LAYER_NORM = tuple(f"{gate}_layer_norm_coefficients" for gate in GATES)
ACTIVATIONS = schema.ActivationFunctionType

Arrays = dict[str, np.ndarray]


class Int8(NamedTuple):
    """A tensor of 8 bits, with one scale, as the converter quantises weights."""

    numbers: np.ndarray
    scale: float

    @classmethod
    def of(cls, values: np.ndarray) -> Int8:
        scale = np.abs(values).max() / np.float32(127)
        return cls(np.rint(values / scale).astype(np.int8), float(scale))

    @property
    def values(self) -> np.ndarray:
        return self.numbers.astype(np.float32) * np.float32(self.scale)


def draw(
    rng: np.random.Generator,
    *,
    peepholes: bool = False,
    projected: bool = False,
    coupled: bool = False,
    layer_norm: bool = False,
    inputs: int = I,
) -> Arrays:
    """The weights of one direction; what a variant lacks is not there."""
    output = P if projected else H
    shapes = {f"input_to_{gate}_weights": (H, inputs) for gate in GATES}
    shapes |= {f"recurrent_to_{gate}_weights": (H, output) for gate in GATES}
    if peepholes:
        shapes |= {name: (H,) for name in WEIGHTS if name.startswith("cell_to_")}
    shapes |= {f"{gate}_gate_bias": (H,) for gate in GATES}
    if projected:
        shapes |= {"projection_weights": (P, H), "projection_bias": (P,)}
    if layer_norm:
        shapes |= {name: (H,) for name in LAYER_NORM}
    if coupled:  # the whole input gate is absent
        shapes = {
            name: shape for name, shape in shapes.items() if not of_input_gate(name)
        }
    return {name: uneven(rng, *shape) for name, shape in shapes.items()}


def stored_as(
    weights: Arrays, settings: dict[str, Any] | None
) -> tuple[str, dict[str, Any], Arrays]:
    """The arithmetic, the tensors of a file for it, and the numbers that these stand for."""
    arithmetic = (settings or {}).get("arithmetic", "float")
    stored: dict[str, Any] = dict(weights)
    if arithmetic != "float":
        stored |= {
            name: Int8.of(a) for name, a in weights.items() if name.endswith("weights")
        }
    values = {n: a.values if isinstance(a, Int8) else a for n, a in stored.items()}
    return arithmetic, stored, values


def of_input_gate(name: str) -> bool:
    return "_to_input_" in name or name.startswith(("input_gate", "input_layer"))


def is_variable(name: str) -> bool:
    """Whether the kernel updates the tensor in place."""
    return name.endswith(STATES)


class OneOperator:
    """A .tflite model of one operator, built and loaded into the interpreter.

    ``slots`` lists the operator's inputs in order: a name of ``weights`` or of ``shapes``
    (which are filled from outside), or a name in neither for an absent optional input.
    """

    def __init__(
        self,
        operator: str,
        options: Any,
        slots: list[str],
        weights: dict[str, Any],
        shapes: dict[str, tuple[int, ...]],
        outputs: dict[str, tuple[int, ...]],
    ) -> None:
        self.places: dict[str, int] = {}
        self.weights = weights
        self.graph = schema.SubGraphT()
        self.graph.tensors = []
        self.buffers = [
            schema.BufferT()
        ]  # the first buffer is empty by the format's rule
        for name, value in weights.items():
            array = value.numbers if isinstance(value, Int8) else value
            self.buffers.append(schema.BufferT())
            self.buffers[-1].data = np.frombuffer(array.tobytes(), np.uint8)
            self.add(name, array.shape, len(self.buffers) - 1)
            if isinstance(value, Int8):
                tensor = self.graph.tensors[-1]
                tensor.type = schema.TensorType.INT8
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale, tensor.quantization.zeroPoint = (
                    [value.scale],
                    [0],
                )
        for name, shape in (shapes | outputs).items():
            self.add(name, shape)
        self.graph.inputs = [
            self.places[name] for name in shapes if not is_variable(name)
        ]
        self.graph.outputs = [self.places[name] for name in outputs]
        node = schema.OperatorT()
        node.inputs = [self.places.get(name, -1) for name in slots]
        node.outputs = self.graph.outputs
        node.builtinOptions = options
        node.builtinOptionsType = getattr(
            schema.BuiltinOptions, type(options).__name__.removesuffix("T")
        )
        self.graph.operators = [node]

        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, operator)
        code.deprecatedBuiltinCode = code.builtinCode
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes, model.subgraphs, model.buffers = (
            [code],
            [self.graph],
            self.buffers,
        )
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        self.content = bytes(builder.Output())
        self.interpreter = tf.lite.Interpreter(
            model_content=self.content,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        )
        self.interpreter.allocate_tensors()

    def add(self, name: str, shape: tuple[int, ...], buffer: int = 0) -> None:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
        tensor.type = schema.TensorType.FLOAT32
        tensor.isVariable = is_variable(name)
        self.places[name] = len(self.graph.tensors)
        self.graph.tensors.append(tensor)

    def set(self, name: str, value: np.ndarray) -> None:
        self.interpreter.set_tensor(self.places[name], value)

    def get(self, name: str) -> np.ndarray:
        if isinstance(value := self.weights.get(name), Int8):
            return value.values
        return self.interpreter.get_tensor(self.places[name])


def keep(case: str, *args: Any, convention: str = "tflite", **options: Any) -> None:
    save(
        "tflite",
        case,
        *args,
        convention=convention,
        version=f"tensorflow {tf.__version__}",
        script="tflite_cases.py",
        **options,
    )


def set_options(
    options: Any, settings: dict[str, Any], *, time_major: bool | None = None
) -> None:
    options.fusedActivationFunction = getattr(
        ACTIVATIONS, settings.get("activation", "tanh").upper()
    )
    options.cellClip = settings.get("cell_clip", 0.0)
    options.projClip = settings.get("projection_clip", 0.0)
    options.timeMajor = time_major


def record_unidirectional(
    case: str,
    seed: int,
    *,
    settings: dict[str, Any] | None = None,
    prefix: str = "",
    time_major: bool = False,
    **variant: bool,
) -> None:
    """``settings``: an ``arithmetic`` stores the weights in int8, with inputs in float."""
    rng = numbers(seed)
    steps = (T, B) if time_major else (B, T)
    x, weights = uneven(rng, *steps, I), draw(rng, **variant)
    arithmetic, stored, weights = stored_as(weights, settings)
    output = P if variant.get("projected") else H
    state = {"h": uneven(rng, B, output), "c": uneven(rng, B, H)}
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    set_options(options, settings or {}, time_major=time_major)
    options.asymmetricQuantizeInputs = arithmetic == "hybrid_asymmetric"
    model = OneOperator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        options,
        ["x", *WEIGHTS, *STATES, *LAYER_NORM],
        stored,
        {"x": x.shape, "output_state": (B, output), "cell_state": (B, H)},
        {"y": (*steps, output)},
    )
    for name, value in (
        ("x", x),
        ("output_state", state["h"]),
        ("cell_state", state["c"]),
    ):
        model.set(name, value)
    model.interpreter.invoke()
    expected = {
        "h": model.get("y"),
        "final_h": model.get("output_state"),
        "final_c": model.get("cell_state"),
    }
    keep(
        case,
        {prefix + name: value for name, value in weights.items()},
        x,
        expected,
        layout="time" if time_major else "batch",
        initial=state,
        settings=settings,
    )


def record_bidirectional(
    case: str, seed: int, *, settings: dict[str, Any] | None = None, **variant: bool
) -> None:
    """Both outputs in one tensor: time first, since with the batch first and more than one row
    this kernel steps through its states by the width of the merged output, past their ends."""
    rng = numbers(seed)
    x = uneven(rng, T, B, I)
    weights = {
        f"{way}_{name}": value
        for way in ("fw", "bw")
        for name, value in draw(rng, **variant).items()
    }
    arithmetic, stored, weights = stored_as(weights, settings)
    output = P if variant.get("projected") else H
    state = {"h": uneven(rng, 2, B, output), "c": uneven(rng, 2, B, H)}
    options = schema.BidirectionalSequenceLSTMOptionsT()
    set_options(options, settings or {}, time_major=True)
    options.mergeOutputs = True
    options.asymmetricQuantizeInputs = arithmetic == "hybrid_asymmetric"
    names = [f"{way}_{name}" for way in ("fw", "bw") for name in STATES]
    starts = [state[part][k] for k in range(2) for part in "hc"]
    model = OneOperator(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        options,
        [
            "x",
            *(f"{way}_{name}" for way in ("fw", "bw") for name in WEIGHTS),
            *names,
            *["absent auxiliary input or its weights"] * 9,
        ],
        stored,
        {"x": x.shape}
        | {name: value.shape for name, value in zip(names, starts, strict=True)},
        {"y": (T, B, 2 * output)},
    )
    model.set("x", x)
    for name, value in zip(names, starts, strict=True):
        model.set(name, value)
    model.interpreter.invoke()
    finals = [model.get(name) for name in names]
    expected = {
        "h": model.get("y"),
        "final_h": np.stack(finals[0::2]),
        "final_c": np.stack(finals[1::2]),
    }
    keep(
        case,
        weights,
        x,
        expected,
        layout="time",
        initial=state,
        settings=settings,
        note="mergeOutputs; the states are separate tensors fw, bw, stacked here on a first axis.",
    )


def record_basic(case: str, seed: int) -> None:
    """The kernel of five inputs does one step; it is called once for every step."""
    rng = numbers(seed)
    x = uneven(rng, T, B, I)
    weights = {"weights": uneven(rng, 4 * H, I + H), "bias": uneven(rng, 4 * H)}
    state = {"h": uneven(rng, B, H), "c": uneven(rng, B, H)}
    options = schema.LSTMOptionsT()
    options.kernelType = schema.LSTMKernelType.BASIC
    options.fusedActivationFunction = ACTIVATIONS.TANH
    model = OneOperator(
        "LSTM",
        options,
        ["x", "prev_activation", "weights", "bias", "prev_cell"],
        weights,
        {"x": (B, I), "prev_activation": (B, H), "prev_cell": (B, H)},
        {"y": (B, H), "state": (B, H), "concat": (B, I + H), "gates": (B, 4 * H)},
    )
    h, c = state["h"], state["c"]
    steps = []
    for row in x:
        for name, value in (("x", row), ("prev_activation", h), ("prev_cell", c)):
            model.set(name, value)
        model.interpreter.invoke()
        h, c = model.get("y"), model.get("state")
        steps.append(h)
    expected = {"h": np.stack(steps), "final_h": h, "final_c": c}
    keep(
        case,
        weights,
        x,
        expected,
        convention="tflite-basic",
        layout="time",
        initial=state,
    )


def main() -> None:
    record_unidirectional("plain", 1)
    record_unidirectional("time_major", 2, time_major=True, prefix="encoder/lstm/")
    record_unidirectional("peepholes", 3, peepholes=True)
    clips = {"cell_clip": 0.5, "projection_clip": 0.3}
    record_unidirectional(
        "peepholes_clips_projection", 4, peepholes=True, projected=True, settings=clips
    )
    record_unidirectional("coupled", 5, coupled=True)
    record_unidirectional("coupled_peepholes", 6, coupled=True, peepholes=True)
    record_unidirectional("layer_norm", 7, layer_norm=True)
    record_unidirectional(
        "layer_norm_peepholes_projection",
        8,
        layer_norm=True,
        peepholes=True,
        projected=True,
    )
    record_unidirectional(
        "layer_norm_coupled", 9, layer_norm=True, coupled=True, peepholes=True
    )
    record_unidirectional("relu", 10, settings={"activation": "relu"})
    record_bidirectional("bidirectional", 11)
    record_bidirectional(
        "bidirectional_peepholes_clips_projection",
        12,
        peepholes=True,
        projected=True,
        settings=clips,
    )
    record_basic("basic", 13)


if __name__ == "__main__":
    main()
