"""``lstm diff``: exit status, JSON and screens of the command; the comparison has its own tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstmcli.testing import assert_lstm_close
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


@pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(np.float64).max,
    reason="a long double is a float64 here",
)
@pytest.mark.filterwarnings("error")
def test_a_long_double_beyond_float64_is_compared_and_drawn(lstm: Lstm) -> None:
    for name, largest in {"one": "1", "beyond": "1e4000"}.items():
        h = np.ones((7, 3), np.longdouble)
        h[2, 1] = np.longdouble(largest)
        np.savez(f"{name}.npz", h=h)
    differs = lstm("diff", "beyond.npz", "one.npz")
    assert (differs.status, differs.err) == (1, "")
    assert "step 2, unit 1" in differs.out
    for words in (["beyond.npz"], ["beyond.npz", "one.npz"]):
        drawn = lstm("plot", *words, "--page", "p.html")
        assert (drawn.status, drawn.err) == (0, "wrote p.html\n")
    with pytest.raises(AssertionError, match="1 of 21 differ"):
        assert_lstm_close("beyond.npz", "one.npz")


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_explain_runs_weights_of_long_double(lstm: Lstm) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(7, 12)).astype(np.longdouble)
    np.savez("w.npz", kernel=kernel, bias=np.zeros(12, np.longdouble))
    np.save("x.npy", rng.normal(size=(9, 4)).astype(np.longdouble))
    np.save("unrelated.npy", rng.normal(size=(9, 3)))
    assert lstm("explain", "w.npz", "x.npy", "unrelated.npy").status == 1
