"""``lstm inspect`` and ``lstm conventions`` as they are typed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lstmcli.core.model.conventions import CONVENTIONS
from tests.cli.conftest import Done, Lstm
from tests.paths import TOP

Typed = Callable[..., Done]


@pytest.fixture
def typed(lstm: Lstm, tmp_path: Path) -> Typed:
    """Run a line as it is typed beside the samples and the tests."""
    for name in ("samples", "tests"):
        (tmp_path / name).symlink_to(TOP / name)
    return lambda line, **options: lstm(*shlex.split(line), **options)


def test_json_of_what_is_not_finite(typed: Typed, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", kernel=np.full((5, 8), np.nan), bias=np.zeros(8))
    _, out, _ = typed(f"inspect {tmp_path}/w.npz -f json")
    (one,) = json.loads(out, parse_constant=pytest.fail)["lstms"]
    assert one["cells"]["layer0"]["i"]["kernel_mean"] == "NaN"


# ---- conventions


def test_the_table_as_json(typed: Typed) -> None:
    _, out, _ = typed("conventions -f json")
    table = {row["name"]: row for row in json.loads(out)["conventions"]}
    assert list(table) == list(CONVENTIONS)
    assert table["chainer"]["gates"] == "gifo"
    assert table["chainer"]["interleaved"] is True
    _, one, _ = typed("conventions chainer -f json")
    assert json.loads(one) == table["chainer"]
