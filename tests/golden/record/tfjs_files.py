"""Files of TensorFlow.js: saved by it, or converted from Keras; loaded and run by it.

Recorded with @tensorflow/tfjs 4.22.0 on Node.js 20, and with the Python converter tensorflowjs
4.22.0, tf_keras 2.19.0 and TensorFlow 2.19.0.

    npm install @tensorflow/tfjs@4.22.0
    pip install tensorflowjs==4.22.0
    NODE_PATH=node_modules python tests/golden/record/tfjs_files.py
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
import tf_keras as keras
from common import GOLDEN, B, H, I, T, numbers, save, uneven

PROGRAM = Path(__file__).with_suffix(".js")
FOLDER = GOLDEN / "tfjs_files"
VERSION = "@tensorflow/tfjs 4.22.0"
CONVERTER = f"tensorflowjs 4.22.0, tf_keras {keras.__version__}; run by {VERSION}"


def converters() -> Any:
    """The Python converter.

    It imports tensorflow_decision_forests for models that are none of ours; that does not load
    beside TensorFlow 2.19.
    """
    sys.modules.setdefault("tensorflow_decision_forests", types.ModuleType("none"))
    library = importlib.import_module("tensorflowjs")
    assert library.__version__ == "4.22.0"
    return library.converters


def node(job: dict[str, Any]) -> dict[str, Any]:
    answer = subprocess.run(
        ["node", PROGRAM],
        input=json.dumps(job, default=np.ndarray.tolist),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])  # a banner may stand before it


def keep(
    case: str,
    rng: np.random.Generator,
    *,
    last: int = 0,
    graph: bool = False,
    version: str = VERSION,
    convention: str = "tfjs",
    masked: float | None = None,
) -> None:
    """Let TensorFlow.js load and run what is in the case's folder, and keep its answers."""
    x = uneven(rng, B, T, I)
    if masked is not None:  # padding behind a sequence, a hole, and padding before one
        x[0, 4:] = x[1, 2] = x[2, :3] = masked
    answer = node({"folder": str(FOLDER / case), "x": x, "last": last, "graph": graph})
    manifest = json.loads((FOLDER / case / "model.json").read_text())["weightsManifest"]
    kinds = {w["name"]: w["dtype"] for group in manifest for w in group["weights"]}
    weights = {  # TensorFlow.js has no names of cells
        name: np.array(answer["weights"][name.replace("/lstm_cell/", "/")], kind)
        for name, kind in kinds.items()
    }
    assert len(weights) == len(answer["weights"])
    weights = {name: array for name, array in weights.items() if array.ndim}
    save(
        "tfjs_files",
        case,
        weights,
        x,
        {"h": np.array(answer["h"], np.float32)},
        convention=convention,
        version=version,
        script="tfjs_files.py",
        layout="batch",
        file=f"{case}/model.json",
    )


def saved(case: str, seed: int, *layers: Any, last: int = 0, **how: Any) -> None:
    """A model built and saved by TensorFlow.js itself."""
    rng = numbers(seed)
    layers[0][1]["inputShape"] = [None, I]
    job: dict[str, Any] = {"layers": layers, "folder": str(FOLDER / case)}
    job["weights"] = [uneven(rng, *shape) for shape in node(job)["shapes"]]
    node(job)
    keep(case, rng, last=last, **how)


def keras_model(seed: int, layers: list[Any]) -> tuple[Any, np.random.Generator]:
    rng = numbers(seed)
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((T, I)), *layers])
    model.set_weights([uneven(rng, *array.shape) for array in model.get_weights()])
    return model, rng


def converted(
    case: str, seed: int, layers: list[Any], *, last: int = 1, **how: Any
) -> None:
    """A Keras model saved by the Python converter; its layer 0 is the input."""
    model, rng = keras_model(seed, layers)
    converters().save_keras_model(model, str(FOLDER / case), **how)
    keep(case, rng, last=last, version=CONVERTER)


def converted_graph(case: str, seed: int, layers: list[Any]) -> None:
    """A SavedModel made a graph by the Python converter."""
    model, rng = keras_model(seed, layers)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder)
        converters().convert_tf_saved_model(folder, str(FOLDER / case))
    keep(case, rng, graph=True, version=CONVERTER, convention="keras")


def lstm(units: int = H, **how: Any) -> Any:
    return keras.layers.LSTM(units, return_sequences=True, **how)


def main() -> None:
    whole = {"units": H, "returnSequences": True}
    dense = ["dense", {"units": 2}]
    saved("plain", 1601, ["lstm", whole | {"recurrentActivation": "sigmoid"}], dense)
    saved("hard_sigmoid_backwards", 1602, ["lstm", whole | {"goBackwards": True}])
    two = {"layer": ["lstm", whole | {"activation": "relu"}], "mergeMode": "ave"}
    saved("bidirectional", 1603, ["bidirectional", two])
    cells = [
        ["lstmCell", {"units": H}],
        ["lstmCell", {"units": 2, "activation": "softsign"}],
    ]
    saved("cells", 1604, ["rnn", {"cell": cells, "returnSequences": True}])

    masking, both = ["masking", {"maskValue": 0.5}], {"layer": ["lstm", whole]}
    saved("masked", 1608, masking, ["lstm", whole], last=1, masked=0.5)
    saved(
        "masked_both_ways", 1609, masking, ["bidirectional", both], last=1, masked=0.5
    )

    both = keras.layers.Bidirectional(lstm(), merge_mode="mul")
    converted("shards", 1605, [lstm(4), both, keras.layers.Dense(1)], last=2,
              weight_shard_size_bytes=150)  # fmt: skip
    for kind in ("uint8", "uint16", "float16"):
        converted(kind, 1606, [lstm()], quantization_dtype_map={kind: "*"})
    converted_graph("graph", 1607, [lstm()])


if __name__ == "__main__":
    main()
