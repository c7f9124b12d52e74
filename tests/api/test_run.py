"""A run of a command: what of it is kept."""

from __future__ import annotations

from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import pytest

from lstmcli.api.run import start
from lstmcli.api.save import Outputs
from lstmcli.core.model.selection import EVERYTHING
from tests.paths import TOP

SAMPLE = TOP / "samples" / "forget-bias"


@pytest.mark.parametrize("screen", ["table", None])
def test_a_run_keeps_only_what_is_shown_or_written(
    screen: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = Outputs("h.npy", "npy", screen, ["h"], tidy=False)
    paths = [str(SAMPLE / f"{name}") for name in ("weights.npz", "inputs.npy")]
    run = start(paths[:1], paths[1], outputs, EVERYTHING, ("h", "c"))
    end = run.write(BytesIO, print, lambda stop: nullcontext())
    assert end.trace is not None
    assert [*end.trace.arrays] == (["h", "c"] if screen else ["h"])
