"""FILE:MEMBER names one array of a file, wherever a file is taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lstmcli
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with the sample's arrays under other names, several in a file."""
    weights, x = np.load(WEIGHTS), np.load(INPUTS)
    np.savez(tmp_path / "W.npz", W=weights["kernel"], b=weights["bias"], epoch=np.zeros(3))
    np.savez(tmp_path / "x.npz", x_train=2 * x, x_val=x)
    (tmp_path / "x.json").write_text(json.dumps({"a": (2 * x).tolist(), "b": x.tolist()}))
    h = lstmcli.run(lstmcli.load(str(WEIGHTS)), x).h
    np.savez(tmp_path / "y.npz", y_train=2 * h, y_val=h)
    np.save(tmp_path / "h.npy", h)
    return tmp_path


def test_the_other_members_of_an_archive_are_not_unpacked(lstm: Lstm, there: Path) -> None:
    train = np.random.default_rng(0).normal(size=(5000, 7, 4))
    np.savez(there / "x.npz", x_train=train, x_val=np.load(INPUTS))
    data = (there / "x.npz").read_bytes()
    at = data.index(train[-1].tobytes())
    (there / "x.npz").write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    full = lstm("inspect", "x.npz")
    assert full.status == 2
    assert "damaged" in full.err
    done = lstm("run", WEIGHTS, "x.npz:x_val", "-o", "out.npy", "-q")
    assert done == (0, "", "")
    np.testing.assert_array_equal(np.load(there / "out.npy"), np.load(there / "h.npy"))
    assert "damaged" in lstm("run", WEIGHTS, "x.npz:x_train").err
