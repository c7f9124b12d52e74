"""A run of a command: what of it is kept."""

from __future__ import annotations

import pytest

from lstmcli.api.run import start
from lstmcli.api.save import Outputs
from lstmcli.core.model.selection import EVERYTHING
from tests.paths import TOP

SAMPLE = TOP / "samples" / "forget-bias"


@pytest.mark.parametrize("screen", ["table", None])
def test_a_run_keeps_only_what_is_shown_or_written(screen: str | None) -> None:
    outputs = Outputs("h.npy", "npy", screen, ["h"], tidy=False)
    paths = [str(SAMPLE / f"{name}") for name in ("weights.npz", "inputs.npy")]
    run = start(paths[:1], paths[1], outputs, EVERYTHING, ("h", "c"))
    assert [*run.trace().arrays] == (["h", "c"] if screen else ["h"])
