"""``lstm derive``: the command's screen, JSON, exit status and messages."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.conftest import Lstm
from tests.paths import TOP

GOLDEN = TOP / "tests" / "golden"


SUMMED = ("x[", "h_prev[", "h[", "bias", "forget bias")


def test_digits_that_differ_by_rounding_are_explained(lstm: Lstm) -> None:
    """Of a float32 run, the sum is shown beyond what z holds, and z may be ULPs off."""
    rng = np.random.default_rng(5)
    np.savez("w.npz", kernel=rng.normal(size=(15, 20)), bias=rng.normal(size=20))
    np.save("x.npy", rng.normal(size=(6, 10)))
    words = ("derive", "w.npz", "x.npy", "--dtype", "float32", "--units", 0, "--gate", "f")
    told = set()
    for step in range(6):
        for digits in (4, 7, 8, 12):
            out = lstm(*words, "--steps", step, "--digits", digits).out
            total = [line.split()[-1] for line in out.splitlines() if line.startswith(SUMMED)][-1]
            line = next(line for line in out.splitlines() if line.startswith("      = "))
            z, *why = line.removeprefix("      = ").split("   ")
            if z != total:
                assert why
                told.add(why[0].partition(":")[0])
            assert ("ULPs   " in out) == ("rounded once:" in out)
    assert told == {"rounded once", "the sum, rounded once"}


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
