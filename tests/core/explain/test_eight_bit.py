"""Networks that run in 8-bit arithmetic: the search is in float, and the answer says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstmcli
from tests.paths import TESTS

FILE = TESTS / "golden" / "tflite_files" / "keras_hybrid"


@pytest.fixture
def recorded() -> dict[str, Any]:
    """Inputs, and what TensorFlow Lite gave."""
    with np.load(f"{FILE}.npz") as members:
        return {name: members[name] for name in ("inputs", "h")}


def test_as_loaded_nothing_was_searched_in_float(recorded: dict[str, Any]) -> None:
    explanation = lstmcli.explain(f"{FILE}.tflite", recorded["inputs"], recorded["h"])
    assert explanation.verdict == "agrees"
    assert "searched_in_float" not in {one.code for one in explanation.remarks}


@pytest.mark.slow
def test_a_cause_that_a_run_in_8_bits_confirms_is_found_and_the_search_told(
    recorded: dict[str, Any],
) -> None:
    explanation = lstmcli.explain(
        f"{FILE}.tflite", recorded["inputs"], recorded["h"], forget_bias=1.0
    )
    assert explanation.found
    assert [(change.setting, change.found) for change in explanation.changes] == [
        ("forget_bias", 0.0)
    ]
    assert explanation.to_json()["max_abs"] < 1e-6
    (note,) = (one for one in explanation.remarks if one.code == "searched_in_float")
    assert "8-bit weights" in note.text
    assert note.text in explanation.notes


@pytest.mark.slow
def test_where_nothing_fits_the_search_is_told_too(recorded: dict[str, Any]) -> None:
    explanation = lstmcli.explain(
        f"{FILE}.tflite", recorded["inputs"], recorded["h"][..., ::-1] + 0.1
    )
    assert explanation.verdict == "none"
    assert "searched_in_float" in {one.code for one in explanation.remarks}
    plain = lstmcli.explain(
        f"{FILE}.tflite", recorded["inputs"], recorded["h"][..., ::-1] + 0.1, arithmetic="float"
    )
    assert "searched_in_float" not in {one.code for one in plain.remarks}
