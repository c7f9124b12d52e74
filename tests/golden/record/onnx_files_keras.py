"""Golden ONNX files of Keras 3.15.1, exported through tf2onnx 1.17.0 and TensorFlow 2.21.0.

Environment: pip install keras==3.15.1 tensorflow-cpu==2.21.0 tf2onnx==1.17.0 onnx==1.23.2
onnxruntime==1.32.0 numpy
Run, from the top of the checkout: python tests/golden/record/onnx_files_keras.py
"""

from __future__ import annotations

import os
import warnings
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.filterwarnings("ignore")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tf2onnx  # noqa: E402
from onnx_files_common import FOLDER, keep, strip  # noqa: E402

VERSION = f"keras {keras.__version__}, tf2onnx {tf2onnx.__version__}"
SCRIPT = "onnx_files_keras.py"
T, B, I, H = 7, 4, 5, 3  # steps, batch rows, inputs, units
LSTM = keras.layers.LSTM


def export(case: str, seed: int, layers: list[Any]) -> dict[str, np.ndarray]:
    """Write the file; give the inputs to run it with."""
    rng = np.random.default_rng(seed)
    model = keras.Sequential([keras.Input((T, I), name="x"), *layers])
    x = rng.normal(0.1, 0.8, (B, T, I)).astype(np.float32)
    model(x)
    model.set_weights([rng.normal(0.07, 0.6, w.shape) for w in model.get_weights()])
    model.export(FOLDER / f"{case}.onnx", format="onnx", verbose=False)
    strip(FOLDER / f"{case}.onnx")
    return {"x": x}


def case(
    name: str, seed: int, *layers: Any, alone: bool = False, **record: Any
) -> None:
    """Export and record a model of these layers."""
    import onnx

    feed = export(name, seed, list(layers))
    outputs = onnx.load(FOLDER / f"{name}.onnx").graph.output
    run = None if alone else {"h": outputs[0].name}
    keep(name, VERSION, SCRIPT, [feed], run, **record)


def main() -> None:
    """Record every case."""
    whole = {"return_sequences": True}
    case("keras", 1, LSTM(H, **whole))
    case("keras_relu", 2, LSTM(H, activation="relu", **whole))
    case("keras_bidirectional", 3, keras.layers.Bidirectional(LSTM(H, **whole)))
    case("keras_stacked", 4, LSTM(H, **whole), LSTM(H + 1, **whole), remarks=["feeds"])
    case("keras_backwards", 5, LSTM(H, go_backwards=True, **whole), remarks=["ReverseSequence"],
         layout="batch", settings={"go_backwards": True})  # fmt: skip
    case("keras_after_dense", 6, keras.layers.Dense(2), LSTM(H, **whole), alone=True,
         note="constants alone: the inputs are the dense layer's")  # fmt: skip
    export("refused_keras_mask", 7, [keras.layers.Masking(), LSTM(H, **whole)])
    export(
        "refused_keras_hard_sigmoid",
        8,
        [LSTM(H, recurrent_activation="hard_sigmoid", **whole)],
    )
    export("refused_keras_unrolled", 9, [LSTM(H, unroll=True, **whole)])


if __name__ == "__main__":
    main()
