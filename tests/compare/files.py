"""Files of weights: recognised or refused, and converted to another convention and back."""

from __future__ import annotations

from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np

from lstmcli.core.model.conventions import CONVENTIONS
from tests.compare.question import Question, Rng, one_of, tensors
from tests.recorded import CASES, recorded

SUFFIXES = ("npz", "npz", "json", "safetensors")
COMMON = ["keras", "pytorch", "tf1", "onnx", "flax", "mxnet", "tflite", "per-gate"] * 6
PREFIXES = ("", "", "model.", "encoder/lstm/", "lstm_1/", "a b:", "module.rnn.")


def question(rng: Rng, folder: Path) -> Question:
    """A file that is looked at and sent round; one in four is of a framework."""
    if rng.random() < 0.25:
        path = Path(recorded(one_of(rng, CASES)).paths(folder)[0])
        copy(path, folder)
    else:
        path, prefix = folder / "net.npz", one_of(rng, PREFIXES)
        found = tensors(rng, *rng.integers(1, 6, 2).tolist())
        named = {f"{prefix}{name}": array for name, array in found.items()}
        np.savez(path, **_damaged(rng, named))
    there, back = (one_of(rng, [*CONVENTIONS, *COMMON]) for _ in range(2))
    middle = f"there.{one_of(rng, SUFFIXES)}"
    if rng.random() < 0.1:
        middle, there = "there.onnx", "onnx"
    lines = [
        ["inspect", path.name, "-f", one_of(rng, ["json", "table"])],
        ["convert", path.name, middle, "--to", there],
        ["inspect", middle, "-f", "json"],
        ["convert", middle, "back.npz", "--to", back, "-f", "json"],
    ]
    return Question("commands", {"lines": lines})


def _damaged(rng: Rng, named: dict[str, Any]) -> dict[str, Any]:
    """The tensors, of which half the time one is gone or another one."""
    name = one_of(rng, [*named])
    array = named[name]
    changes: list[dict[str, Any]] = [
        {}, {name: array.T}, {name: array[1:]}, {name: np.float64(1)}, {"0": array},
        {name: array.astype("i4")}, {name: array * np.nan}, {f"{name}_x": array},
        {name: array.reshape(-1)}, {name: array, f"copy/{name}": array},
        {name: array, "dense/kernel": np.ones((3, 2))},
    ]  # fmt: skip
    if rng.random() < 0.5:
        return named
    others = {other: one for other, one in named.items() if other != name}
    return {**others, **one_of(rng, changes)}
