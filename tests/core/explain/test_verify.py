"""Runs compared with EXPECTED; asking a sample first changes no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import load
from lstmcli.core.explain import verify
from lstmcli.core.explain.hypotheses import Change
from lstmcli.core.explain.observation import Expected, Known
from lstmcli.core.explain.verify import Case
from tests.core.explain import networks
from tests.core.explain.asking import ask, write
from tests.core.explain.matrix import PAIRS, SINGLES, Row
from tests.core.explain.reference import random_net

ROWS = [row for n, row in enumerate((*SINGLES, *PAIRS)) if n % 14 == 0]


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small a run is."""
    monkeypatch.setattr(verify, "QUICK", 0)
    monkeypatch.setattr(verify, "SAMPLED_NUMBERS", 6)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_one_cell(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickly = ask(row, tmp_path)
    monkeypatch.setattr(verify, "QUICK", np.inf)
    wholly = ask(row, tmp_path)
    assert quickly.verdict == wholly.verdict == row.verdict
    assert quickly.changes == wholly.changes
    assert quickly.equivalent == wholly.equivalent
    assert quickly.measured == wholly.measured


@pytest.mark.wide
@pytest.mark.parametrize("truth", networks.DEEP, ids=str)
def test_the_top_of_two_layers(truth: dict[str, Any], tmp_path: Path) -> None:
    networks.Asked(tmp_path, 0, networks.name_of(truth), deep=True).check(truth)


@pytest.mark.parametrize("layout", ["batch", "time"])
def test_what_is_cut_belongs_together(layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, values = rng.normal(size=(9, 5, 4)), rng.normal(size=(9, 5, 3))  # (T, B, ...)
    values[:, 1] = np.nan
    mask = rng.random((9, 5)) < 0.5
    expected = Expected({"h": Known(values, np.zeros_like(values))}, {})
    axes = (1, 0, 2) if layout == "batch" else (0, 1, 2)
    model = load(write(random_net(rng, 4, 3), tmp_path / "w.npz", 4))
    case = Case(lambda _: model, x.transpose(axes), layout, {layout: expected},
                mask=mask.transpose(axes[:2]), lengths=None)  # fmt: skip
    part = verify.sample_of(case, model)
    assert part is not None
    assert part.mask is not None
    chosen = [0, 2]  # of row 1 nothing is known
    np.testing.assert_array_equal(part.x.transpose(axes), x[:4, chosen])
    np.testing.assert_array_equal(part.mask.transpose(axes[:2]), mask[:4, chosen])
    np.testing.assert_array_equal(part.expected[layout].sequences["h"].values, values[:4, chosen])


def test_what_concerns_all_rows_or_steps_is_run_whole() -> None:
    assert verify.tells((Change("gates", "ifgo"), Change("layer1.forget_bias", 1.0)))
    assert not verify.tells((Change("gates", "ifgo"), Change("layout", "time")))
    assert not verify.tells((Change("layer0_reverse.flip_output", True),))
