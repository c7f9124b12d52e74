"""FILE:MEMBER names one array of a file, wherever a file is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import lstmcli
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


def test_the_other_members_of_an_archive_are_not_unpacked(lstm: Lstm, tmp_path: Path) -> None:
    x, path = np.load(INPUTS), tmp_path / "x.npz"
    train = np.random.default_rng(0).normal(size=(5000, 7, 4))
    np.savez(path, x_train=train, x_val=x)
    data = path.read_bytes()
    at = data.index(train[-1].tobytes())
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    full = lstm("inspect", "x.npz")
    assert full.status == 2
    assert "corrupt" in full.err
    done = lstm("run", WEIGHTS, "x.npz:x_val", "-o", "out.npy", "-q")
    assert done == (0, "", "")
    np.testing.assert_array_equal(np.load("out.npy"), lstmcli.run(str(WEIGHTS), x).h)
    assert "corrupt" in lstm("run", WEIGHTS, "x.npz:x_train").err
