"""``lstm diff``: exit status, JSON and screens of the command; the comparison has its own tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Lstm


def test_text_with_digits_equals_printed_output_of_numpy_with_them(
    lstm: Lstm, net: Path
) -> None:
    """With an exponent too, where numbers that were rounded before have fewer digits than shown."""
    lstm("run", net, "-o", "full.npz")
    lstm("run", net, "--digits", 4, "-o", "few.txt")
    h = np.load("full.npz")["h"]
    assert "e-02" in Path("few.txt").read_text()
    assert (
        Path("few.txt").read_text()
        == np.array2string(h, precision=4, threshold=1000) + "\n"
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_a_part_with_as_many_steps_as_sequences_has_the_axes_of_its_run(
    lstm: Lstm, net: Path, turned: bool, order: int
) -> None:
    """Of an array that says no layout, the full run has 7 steps and 5 sequences."""
    lstm("run", net, "--layout", "batch", "-o", "full.npz")
    lstm("run", net, "--layout", "batch", "--steps", "1:6", "-o", "part.npz")
    h = np.load("full.npz")["h"]
    assert h.shape[:2] == (5, 7)
    np.save("other.npy", h.swapaxes(0, 1) if turned else h)
    assert lstm("diff", *["part.npz", "other.npy"][::order]).status == 0
    h[2, 4, 1] += 1
    np.save("other.npy", h.swapaxes(0, 1) if turned else h)
    done = lstm("diff", *["part.npz", "other.npy"][::order], "-f", "json")
    first = json.loads(done.out)["first_divergence"]
    assert (first["step"], first["batch"], first["unit"]) == (4, 2, 1)
