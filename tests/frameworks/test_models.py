"""Whole models through `check`: the engines run the LSTM of a file with a front and a head."""

from __future__ import annotations

import os
import re

import pytest

from lstmcli import UserError
from lstmcli.api.check import Check, check
from tests.golden_models import MODELS, recorded

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("default"),  # of the frameworks' own making
]

OF_NONE = re.compile("cannot run (a mask|a cell clip|layers of different)|has 2 LSTMs")
"""What an engine's LSTM has not, and files of which one LSTM has to be chosen."""


@pytest.mark.parametrize("engine", ["onnxruntime", "torch", "keras"])
def test_engines_run_the_lstm_of_whole_models(engine: str) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    agreeing = []
    for case in MODELS:
        weights, arrays, settings = recorded(case)
        given = {"layout": "batch", **settings}
        try:
            found = check(weights, arrays["inputs"], [engine], **given)
        except UserError as error:
            if OF_NONE.search(str(error)):
                continue
            raise
        assert isinstance(found, Check)
        assert found.equal, case
        (left_out,) = [one for one in found.job.model.remarks if "left out" in one]
        assert left_out.endswith("check runs the LSTM alone.")
        agreeing.append(case)
    assert len(agreeing) > 25
