"""``lstm derive``: the command's screen, JSON, exit status and messages."""

from __future__ import annotations

import numpy as np

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
