"""Files of TensorFlow Lite: every operator of tflite_cases.py, and Keras layers converted.

Recorded with tensorflow 2.21.0, tf_keras 2.21.0 and Keras 3.15.1; the interpreter loads and runs
each file. Only tf_keras' LSTMs become operators; those of Keras 3 become WHILE loops.

    pip install tensorflow==2.21.0 tf_keras==2.21.0 keras==3.15.1 flatbuffers
    TF_USE_LEGACY_KERAS=1 python tests/golden/record/tflite_files.py
"""

from __future__ import annotations

from typing import Any

import keras as keras3
import numpy as np
import tensorflow as tf
import tf_keras as keras
import tflite_cases as cases
from common import GOLDEN, B, H, I, T, numbers, save, uneven

FOLDER = GOLDEN / "tflite_files"
VERSION = f"tensorflow {tf.__version__}"
PLACES = dict(enumerate(cases.WEIGHTS, 1))


class Kept(cases.OneOperator):
    """Remembers the model that was run last."""

    last: Kept

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        Kept.last = self


def keep_operator(
    case: str, weights: Any, *args: Any, settings: Any = None, convention: str = "tflite",
    initial: Any = None, **options: Any,
) -> None:  # fmt: skip
    """Keep a case of tflite_cases.py with its model; what the model tells is no setting."""
    (FOLDER / f"{case}.tflite").write_bytes(Kept.last.content)
    named = {name: Kept.last.get(name) for name in Kept.last.places}
    loaded = {}
    for name, place in ((name.removeprefix("encoder/lstm/"), name) for name in weights):
        way, _, rest = name.partition("_")
        own = f"{way}/{rest}" if way in ("fw", "bw") else name
        loaded[f"lstm_0/{own}"] = named[place if place in named else name]
    save(
        "tflite_files", case, loaded, *args, convention=convention, version=VERSION,
        script="tflite_files.py", initial=initial, file=f"{case}.tflite", **options,
    )  # fmt: skip


def converted(
    seed: int, layers: list[Any], library: Any = keras, inputs: int = I, **how: Any
) -> tuple[bytes, np.random.Generator]:
    """A Keras model of these layers through the converter; ``how`` sets its properties."""
    rng = numbers(seed)
    model = library.Sequential([library.Input((T, inputs), batch_size=B), *layers])
    model.set_weights([uneven(rng, *array.shape) for array in model.get_weights()])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    for name, value in how.items():
        setattr(converter, name, value)
    return converter.convert(), rng


def keep(
    case: str, seed: int, layers: list[Any], note: str = "", inputs: int = I, **how: Any
) -> None:
    """Keep a converted model with one LSTM, what the interpreter loads of it, and its outputs."""
    content, rng = converted(seed, layers, inputs=inputs, **how)
    (FOLDER / f"{case}.tflite").write_bytes(content)
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    x = uneven(rng, B, T, inputs)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    (op,) = (op for op in interpreter._get_ops_details() if "LSTM" in op["op_name"])
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    weights = {
        f"lstm_0/{name}": values(interpreter, details[op["inputs"][place]])
        for place, name in PLACES.items()
        if op["inputs"][place] >= 0
    }
    save(
        "tflite_files",
        case,
        weights,
        x,
        {"h": interpreter.get_tensor(op["outputs"][0])},
        convention="tflite",
        version=f"{VERSION}, tf_keras {keras.__version__}",
        script="tflite_files.py",
        layout="batch",
        file=f"{case}.tflite",
        note=note,
    )


def values(interpreter: Any, detail: dict[str, Any]) -> np.ndarray:
    """A tensor in float32; the numbers of a quantised one by its scale and zero point."""
    array = interpreter.get_tensor(detail["index"])
    if array.dtype == np.float32:
        return array
    (scale,), (zero,) = (
        detail["quantization_parameters"][k] for k in ("scales", "zero_points")
    )
    return (array.astype(np.int64) - zero).astype(np.float32) * scale


def spelled_out(case: str, layers: list[Any], library: Any = keras) -> None:
    """A model whose LSTM is no operator; only the file is kept."""
    content, _ = converted(1720, layers, library)
    (FOLDER / f"{case}.tflite").write_bytes(content)


def lstm(units: int = H, **how: Any) -> Any:
    return keras.layers.LSTM(units, return_sequences=True, **how)


ROUNDS = "Inputs and h are rounded to int8 at every step, with a zero point."


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    cases.OneOperator, cases.keep = Kept, keep_operator
    cases.main()
    for n, name in enumerate(("hybrid", "hybrid_asymmetric")):
        how = {"arithmetic": name}
        cases.record_unidirectional(name, 14 + n, settings=how)
        cases.record_unidirectional(
            f"{name}_peepholes_projection", 16 + n, settings=how, time_major=True, peepholes=True,
            projected=True,
        )  # fmt: skip
        cases.record_bidirectional(
            f"{name}_bidirectional", 20 + n, settings=how, projected=True
        )
        cases.record_unidirectional(
            f"{name}_layer_norm", 18 + n, settings=how, layer_norm=True, coupled=True,
            peepholes=True,
        )  # fmt: skip

    small = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    half = small | {"target_spec": tf.lite.TargetSpec(supported_types=[tf.float16])}
    keep("keras", 1701, [lstm(), keras.layers.Dense(2)])
    keep("keras_float16", 1702, [lstm()], **half)
    # The converter leaves tensors of fewer than 1024 numbers as they are, here those of the inputs;
    # only its older quantiser takes LSTMs.
    eighth = small | {"experimental_new_dynamic_range_quantizer": False}
    keep("keras_int8", 1703, [lstm(33)], **eighth)
    keep("keras_hybrid", 1705, [lstm(33)], ROUNDS, inputs=32, **eighth)
    content, _ = converted(1704, [keras.layers.Bidirectional(lstm())])
    (FOLDER / "keras_bidirectional.tflite").write_bytes(content)
    spelled_out("hard_sigmoid", [lstm(recurrent_activation="hard_sigmoid")])
    spelled_out("unrolled", [lstm(unroll=True)])
    spelled_out("keras3", [keras3.layers.LSTM(H, return_sequences=True)], keras3)


if __name__ == "__main__":
    main()
