"""``lstm derive``: the command's screen, JSON, exit status and messages."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.conftest import Lstm
from tests.paths import TOP

GOLDEN = TOP / "tests" / "golden"


def test_a_unit_of_both_directions_side_by_side_is_one_of_its_cell(lstm: Lstm) -> None:
    case = GOLDEN / "keras" / "get_weights_both_ways"  # 3 units each way
    with np.load(f"{case}.npz") as arrays:
        np.save("x.npy", arrays["inputs"])
        h = arrays["h"]
    weights = f"{case}.weights.npz"
    cells = {}
    for unit in (*range(6), -1):
        done = lstm("derive", weights, "x.npy", "--steps", 2, "--batch", 1, "--units", unit,
                    "-f", "json")  # fmt: skip
        told = json.loads(done.out)
        cells[unit] = told["cell"], told["unit"]
        (line,) = (line for line in told["lines"] if line["name"] == "h")
        assert line["value"] == pytest.approx(h[1, 2, unit], abs=1e-6)
    assert cells[2] == ("layer0", 2)
    assert cells[5] == cells[-1] == ("layer0_reverse", 2)
