"""Recorded results of the real frameworks: which cases there are, and how each is run.

``golden/README.md`` has the schema that new records follow; what older ones do otherwise is in the
tables of this module.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmcli import run
from lstmcli.api.load import load
from lstmcli.core.model.model import Model, Trace
from tests.paths import TESTS

GOLDEN = TESTS / "golden"
Array = np.ndarray[Any, Any]


def cases(*patterns: str, suffix: str = ".npz") -> list[str]:
    """The paths below `GOLDEN`, without the suffix, of what matches some patterns."""
    paths = [path for pattern in patterns for path in GOLDEN.glob(pattern + suffix)]
    return sorted(str(path.relative_to(GOLDEN)).removesuffix(suffix) for path in paths)


CASES = cases("*/*", suffix=".weights.npz")  # see record/common.py
FILES = cases("*/*", suffix=".tensors.npz")
OLDER = [  # whose tensors are members ``tensors/NAME`` of the record
    *cases("torch_files/*", "tensorflow_files/*"),
    *(case for case in cases("pickle_files/*") if not case.endswith("python2")),
]
NUMBERED = [
    *cases("keras_files/*/*"),
    *cases("onnx_files/*"),
]  # by layers, and by nodes

ASKED = {  # rows and cases that no name tells apart from another; the user says which
    "tinygrad", "tfjs", "coreml", "flax-nnx", "tf-block", "tf-block-v2",
    "cudnn-flat", "paddle/cell", "paddle/cell_no_bias", "paddle/cell_projection",
    "equinox/no_bias", "onnxruntime/no_bias",
}  # fmt: skip
SEVERAL = {  # files that hold more than one LSTM: the --layer that runs them in turn
    "haiku/deep": "0,1", "keras/stacked": "0,1",
}  # fmt: skip
TOLERANCE = {  # frameworks that round every step to float16, as their notes say
    "torch/float16_run": 2e-3, "keras/float16": 4e-3,
    "keras_files/keras-3.15.1/bfloat16.weights.h5": 1e-2,  # that layer computes in it throughout
}  # fmt: skip
ROWS = {
    "torch_files": "pytorch",
    "torch": "pytorch",
}  # by folder or by case, if none is recorded
BATCH_FIRST = (
    "torch_files",
    "tensorflow_files",
    "pickle_files/[!m]",
)  # if no layout is recorded
FOUND = (
    "tensorflow_files",
    "keras_files",
)  # whose settings are those that the file has


class Recorded(NamedTuple):
    """A case: where it is, what is recorded of it, and its arrays."""

    case: str
    about: dict[str, Any]
    arrays: dict[str, Array]

    @property
    def folder(self) -> str:
        """The folder of the case, by which older records differ."""
        return self.case.split("/")[0]

    @property
    def tensors(self) -> dict[str, Array]:
        """The tensors that the framework itself loads, by the names that lstmcli gives."""
        if self.case in FILES:
            return held(f"{self.case}.tensors")
        named = {k: a for k, a in self.arrays.items() if k.startswith("tensors/")}
        return {name.removeprefix("tensors/"): array for name, array in named.items()}

    def numbered(self, kind: str) -> dict[str, dict[str, Array]]:
        """The tensors of each LSTM of a file: of members ``nodes/N/ROLE``, ``weights/LAYER/N``."""
        found: dict[str, dict[str, Array]] = {}
        for name, array in self.arrays.items():
            if name.startswith(f"{kind}/"):
                of, _, role = name.removeprefix(f"{kind}/").rpartition("/")
                found.setdefault(of, {})[role] = array
        return found

    def paths(self, scratch: Path) -> list[str]:
        """The files to give; those in an archive are unpacked into a folder."""
        path, about = GOLDEN / self.case, self.about
        if "path" in about:
            with zipfile.ZipFile(f"{path}.zip") as archive:
                archive.extractall(scratch)
            return [str(scratch / about["path"])]
        if self.folder == "keras_files":
            config = [str(path.with_name(about["config"]))] if "config" in about else []
            return [str(path), *config]
        ending = ".onnx" if self.folder == "onnx_files" else ".weights.npz"
        return [str(path.parent / (about.get("file") or f"{path.name}{ending}"))]

    def options(self) -> dict[str, Any]:
        """The settings that a user gives for the file."""
        about, case = self.about, self.case
        options = {} if self.folder in FOUND else dict(about.get("settings", {}))
        if not about.get("file") and {about.get("convention"), case} & ASKED:
            options["convention"] = about["convention"]
        if layer := about.get("layer") or SEVERAL.get(case):
            options["layer"] = layer
        if case == "torch/float16_weights":  # kept in float16, run in float64
            options["dtype"] = "float64"
        return options

    def layout(self, model: Model) -> str | None:
        """The layout of the inputs; none where they are one sequence, or the convention's are."""
        recorded = self.about.get("layout") or model.given.get("layout")
        if recorded or self.about.get("told"):
            return None if recorded == "steps" else recorded
        older = any(Path(self.case).match(f"{name}*") for name in BATCH_FIRST)
        return "batch" if older or self.folder in BATCH_FIRST else None

    @property
    def started(self) -> dict[str, Any]:
        """The recorded initial state, lengths and mask, those that there are."""
        arrays = self.arrays
        state = {
            k: arrays[f"initial_state.{k}"]
            for k in "hc"
            if f"initial_state.{k}" in arrays
        }
        return {
            "initial_state": state,
            **{name: arrays.get(name) for name in ("lengths", "mask")},
        }

    def given(self, model: Model) -> dict[str, Any]:
        """The arguments of `run` after the model."""
        return {
            "x": self.arrays["inputs"],
            "layout": self.layout(model),
            **self.started,
        }

    def run(self, model: Model) -> Trace:
        """Our run of the recorded inputs."""
        return run(model, **self.given(model))

    def load(self, scratch: Path = Path(), **settings: Any) -> Model:
        """The model, as a user loads it, with further settings."""
        return load(*self.paths(scratch), **{**self.options(), **settings})


def members(case: str) -> list[str]:
    """The names of what is recorded of a case."""
    with np.load(GOLDEN / f"{case}.npz") as found:
        return list(found.files)


def held(file: str) -> dict[str, Array]:
    """The arrays of a file, by its path below `GOLDEN` without .npz."""
    with np.load(GOLDEN / f"{file}.npz") as found:
        return dict(found)


def recorded(case: str) -> Recorded:
    """A case by its path below `GOLDEN`."""
    arrays = held(case)
    return Recorded(case, json.loads(str(arrays.pop("case"))), arrays)


def read(case: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The record of a case, and its arrays."""
    return recorded(case)[1:]
