"""The files that are damaged: a few small real ones of every format, and how each is changed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstmcli import formats
from tests.formats.helpers import members_of
from tests.formats.test_json_models import guitarml, rtneural
from tests.fuzz import containers, mutations
from tests.fuzz.mutations import Mutator, one_of
from tests.paths import TESTS

GOLDEN, SAMPLES = TESTS / "golden", TESTS.parent / "samples"
WEIGHTS, INPUTS = (
    SAMPLES / "forget-bias/weights.npz",
    SAMPLES / "forget-bias/inputs.npy",
)


class Sample(NamedTuple):
    """Files that belong together, the one that is given to a command, and those to damage."""

    name: str
    files: dict[str, bytes]
    given: str
    damaged: tuple[str, ...]


class Row(NamedTuple):
    """A format of the table: its samples, and the mutator of a file by its name."""

    samples: Callable[[], list[Sample]]
    mutator: Callable[[str], Mutator]
    inputs: bool = False  # the files are inputs of `lstm run`, not weights
    stdin: bool = False  # and come through standard input
    hdf5: bool = False  # read in a process of their own


class Variant(NamedTuple):
    """The damaged files of a sample."""

    sample: Sample
    files: dict[str, bytes]


@cache
def samples_of(format: str) -> list[Sample]:
    """The samples of a format, read once."""
    return TABLE[format].samples()


def _single(name: str, data: bytes) -> Sample:
    return Sample(name, {name: data}, name, (name,))


def _golden(*patterns: str) -> Callable[[], list[Sample]]:
    """Files that stand alone, by patterns of their paths."""

    def read() -> list[Sample]:
        paths = [path for pattern in patterns for path in sorted(GOLDEN.glob(pattern))]
        if len(paths) < len(patterns):
            raise FileNotFoundError(f"of {patterns}")
        return [_single(path.name, path.read_bytes()) for path in paths]

    return read


def _together(
    given: str, damaged: Iterable[str], *patterns: str
) -> Callable[[], list[Sample]]:
    """Folders and archives of files that belong together; ``damaged`` are patterns of names."""

    def read() -> list[Sample]:
        samples = []
        for pattern in patterns:
            for path in sorted(GOLDEN.glob(pattern)):
                files = _unpacked(path)
                named = next(name for name in files if Path(name).match(given))
                chosen = tuple(
                    n for n in files if any(Path(n).match(one) for one in damaged)
                )
                samples.append(Sample(path.name, files, named, chosen))
        return samples

    return read


def _unpacked(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {
            one.name: one.read_bytes() for one in path.iterdir() if one.suffix != ".npz"
        }
    return members_of(path)


# ---- formats that this program writes


def _arrays() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as weights:
        return dict(weights)


def _inputs() -> np.ndarray:
    """Inputs of 7 steps, (7, 4), for the weights of the sample."""
    inputs: np.ndarray = np.load(INPUTS)[0]
    return inputs


def _npy() -> list[Sample]:
    x = _inputs()
    arrays = {
        "inputs": x,
        "half": x.astype(np.float16),
        "big-endian": x.astype(">f8"),
        "fortran": np.asfortranarray(x),
        "integers": np.arange(12).reshape(3, 4),
        "texts": np.array([["1.5", "2"], ["x", "\u202e"]]),
        "batch": x[None],
    }
    samples = []
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        samples.append(_single(f"{name}.npy", buffer.getvalue()))
    recorded = GOLDEN / "bfloat16/fortran.npy"
    return [*samples, _single(recorded.name, recorded.read_bytes())]


def _npz() -> list[Sample]:
    buffer = io.BytesIO()
    settings = {"forget_bias": np.array(1.0), "layer": np.array("0")}
    np.savez_compressed(buffer, **(_arrays() | settings))  # type: ignore[arg-type]
    names = (
        "keras/stacked.weights.npz",
        "torch/batch_first.weights.npz",
        "bfloat16/jax.npz",
    )
    recorded = [GOLDEN / name for name in names]
    return [
        *(_single(path.name, path.read_bytes()) for path in [WEIGHTS, *recorded]),
        _single("compressed.npz", buffer.getvalue()),
    ]


def _json() -> list[Sample]:
    settings = {"convention": "tf1", "forget_bias": 1.0, "layer": "0"}
    samples = [_single("weights.json", _written("json", _arrays(), settings))]
    trace = {"h": _inputs()[:3], "inputs": _inputs()}
    return [*samples, _single("trace.json", _written("json", trace, {"unit": "x"}))]


def _written(
    format: str, arrays: dict[str, np.ndarray], attributes: dict[str, object]
) -> bytes:
    buffer = io.BytesIO()
    formats.write(buffer, format, arrays, attributes)
    return buffer.getvalue()


def _steps(format: str) -> Callable[[], list[Sample]]:
    def write() -> list[Sample]:
        x = _inputs()
        samples = []
        for name, arrays in {
            "inputs": {"inputs": x},
            "batch": {"inputs": np.stack([x, x + 1], 1)},
            "trace": {"inputs": x, "h": x[:, :2]},
        }.items():
            buffer = io.BytesIO()
            batched = arrays["inputs"].ndim == 3
            writer = formats.open_steps(buffer, format, list(arrays), batched)
            writer.write(range(len(x)), arrays)
            samples.append(_single(f"{name}.{format}", buffer.getvalue()))
        tidy = {"inputs": x, "h": x}
        buffer = io.BytesIO()
        writer = formats.open_steps(buffer, format, list(tidy), False, tidy=True)
        writer.write(range(len(x)), tidy)
        samples.append(_single(f"tidy.{format}", buffer.getvalue()))
        if format == "csv":
            plain = "\n".join(",".join(map(str, row)) for row in x.tolist())
            quoted = '"x[0]","x[1]"\r\n"1.5","2.5"\r\n'
            samples += [
                _single("plain.csv", plain.encode()),
                _single("quoted.csv", quoted.encode()),
            ]
        return samples

    return write


def _stream() -> list[Sample]:
    x = _inputs().tolist()
    objects = "".join(json.dumps({"x": row}) + "\n" for row in x)
    lists = "".join(json.dumps(row) + "\n" for row in x)
    return [_single("objects", objects.encode()), _single("lists", lists.encode())]


def _prints() -> list[Sample]:
    paths = [
        *sorted((GOLDEN / "prints").glob("*.txt")),
        *sorted(SAMPLES.glob("*/*.txt")),
    ]
    return [
        _single(f"{n}-{path.name}", path.read_bytes()) for n, path in enumerate(paths)
    ]


def _safetensors() -> list[Sample]:
    recorded = GOLDEN / "bfloat16/jax.safetensors"
    return [
        _single(recorded.name, recorded.read_bytes()),
        _single(
            "written.safetensors",
            _written("safetensors", _arrays(), {"forget_bias": 1.0}),
        ),
    ]


def _model(made: Callable[[], object]) -> Callable[[], list[Sample]]:
    return lambda: [_single("model.json", json.dumps(made()).encode())]


def _onnx_external() -> list[Sample]:
    samples = []
    for name, parts in (
        ("external", ["external.onnx.data"]),
        ("external_each", ["external_each.W", "external_each.R", "external_each.B"]),
    ):
        names = (
            f"{name}.onnx",
            f"{name}.onnx",
            *parts,
        )  # the model twice: it is corrupt more often
        files = {one: (GOLDEN / "onnx_files" / one).read_bytes() for one in names}
        samples.append(Sample(name, files, names[0], names))
    return samples


# ---- mutators by the names of files


def _always(mutator: Mutator) -> Callable[[str], Mutator]:
    return lambda _: mutator


def _member(name: str) -> Mutator:
    """Of a member of an archive, by what such members hold."""
    suffix = Path(name).suffix
    if (
        suffix in (".pkl", "", ".debug_pkl")
        and "data/" not in name.rpartition("pkl")[0]
    ):
        return mutations.pickled
    return {
        ".json": mutations.json_text,
        ".npy": mutations.npy,
        ".h5": containers.hdf5_file,
        ".py": mutations.text,
    }.get(suffix, mutations.flips)


def _of_tensorflow(name: str) -> Mutator:
    base = Path(name).name
    if base.endswith((".meta", ".pb")):
        return mutations.message
    if ".data-" in base:
        return mutations.flips
    return mutations.text if base == "checkpoint" else containers.tensorflow_table


def _of_tfjs(name: str) -> Mutator:
    return mutations.json_text if name.endswith(".json") else mutations.binary


def _of_onnx(name: str) -> Mutator:
    return mutations.message if name.endswith(".onnx") else mutations.binary


_zip = containers.zip_archive(_member)
archived = one_of(_zip, _zip, _zip, mutations.binary)
json_text = _always(mutations.json_text)
text = _always(mutations.text)
lines = _always(one_of(mutations.text, mutations.json_lines))

TENSORFLOW = "tensorflow_files"
WEIGHTS_ALONE = "keras_files/*/*weights.h5"
WHOLE_MODELS = ("keras_files/*/*[!s].h5", "keras_files/*/cells.h5")
SCRIPTS = ("scripted*.pt", "traced-*.pt", "frozen*.pt", "*.ptl", "*.pt2")

TABLE = {
    "npy": Row(
        _npy,
        _always(one_of(mutations.npy, mutations.npy, mutations.binary)),
        inputs=True,
    ),
    "npz": Row(_npz, _always(archived)),
    "json": Row(_json, json_text),
    "jsonl": Row(_steps("jsonl"), lines, inputs=True),
    "stream": Row(_stream, lines, inputs=True, stdin=True),
    "csv": Row(_steps("csv"), text, inputs=True),
    "tsv": Row(_steps("tsv"), text, inputs=True),
    "text": Row(_prints, text, inputs=True),
    "notation": Row(_golden("languages/*.txt"), text, inputs=True),
    "gguf": Row(_golden("gguf/*.gguf"), _always(mutations.binary)),
    "safetensors": Row(
        _safetensors, _always(one_of(mutations.safetensors, mutations.binary))
    ),
    "torch-zip": Row(
        _golden("torch_files/*zip-*", "torch_files/*-2.13.0.pt"), _always(archived)
    ),
    "torch-legacy": Row(
        _golden("torch_files/*-1.[04].0*.pt", "torch_files/legacy_*"),
        _always(mutations.pickled),
    ),
    "torchscript": Row(
        _golden(*(f"torch_files/{one}" for one in SCRIPTS)), _always(archived)
    ),
    "pickle": Row(
        _golden("pickle_files/*.pkl", "pickle_files/*.pdparams"),
        _always(mutations.pickled),
    ),
    "onnx": Row(_golden("onnx_files/[!e]*.onnx", "onnx_files/e[!x]*.onnx"), _of_onnx),
    "onnx-external": Row(_onnx_external, _of_onnx),
    "tensorflow-v2": Row(
        _together(
            "*.index",
            ("*.index", "*.data-0*"),
            f"{TENSORFLOW}/*_v2.zip",
            f"{TENSORFLOW}/tf2.*_checkpoint*.zip",
            f"{TENSORFLOW}/tf2.21_two_of_a_name.zip",
        ),
        _of_tensorflow,
    ),
    "tensorflow-folder": Row(
        _together("checkpoint", ("checkpoint",), f"{TENSORFLOW}/tf2.*_checkpoint.zip"),
        _of_tensorflow,
    ),
    "saved-model": Row(
        _together(
            "*.index",
            ("saved_model.pb", "keras_metadata.pb", "*.index"),
            f"{TENSORFLOW}/*saved_model*.zip",
        ),
        _of_tensorflow,
    ),
    "frozen-graph": Row(
        _together("*.pb", ("*.pb",), f"{TENSORFLOW}/*frozen.zip"), _of_tensorflow
    ),
    "graph-beside": Row(
        _together(
            "*.index",
            ("*.meta",),
            f"{TENSORFLOW}/tf1.15_relu.zip",
            f"{TENSORFLOW}/tf1.15_projection_clip_alone.zip",
            f"{TENSORFLOW}/tf2.21_functional_loop.zip",
        ),
        _of_tensorflow,
    ),
    "tflite": Row(_golden("tflite_files/*.tflite"), _always(mutations.binary)),
    "tfjs": Row(
        _together("model.json", ("*.json", "*.bin"), "tfjs_files/*[!z]"), _of_tfjs
    ),
    "rtneural": Row(_model(rtneural), json_text),
    "guitarml": Row(_model(guitarml), json_text),
    "nam": Row(_golden("nam/*.nam"), json_text),
    "keras-h5": Row(_golden(*WHOLE_MODELS), _always(containers.hdf5_file), hdf5=True),
    "keras-weights": Row(
        _golden(WEIGHTS_ALONE), _always(containers.hdf5_file), hdf5=True
    ),
    "keras-zip": Row(_golden("keras_files/*/*.keras"), _always(archived), hdf5=True),
}
