"""The recorded whole models of ``tests/golden/models``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from lstmcli import formats
from lstmcli.core.model.arrays import Array
from tests.recorded import GOLDEN

FOLDER = GOLDEN / "models"
MODELS = sorted(
    path.stem for path in FOLDER.glob("*.npz") if not path.stem.endswith(".model")
)


def recorded(case: str) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """The file of weights, inputs and outputs by name, and the settings of a case."""
    path = FOLDER / f"{case}.npz"
    with np.load(path) as members:
        record = json.loads(str(members["case"]))
    arrays = formats.read(str(path)).arrays
    return str(FOLDER / record["file"]), arrays, record["settings"]
