"""Rows of ops that a kernel goes through, as settings; only where they are a cell's."""

from __future__ import annotations

from typing import Any

import pytest

from lstmcli.core.weights.metadata import MetadataSettings, read_metadata

SPLIT = "MatMul/BiasAdd/Split"
FORGET = {f"{SPLIT}:2/Add": 0.6}


def settings(fate: dict[str, Any], variable: str = "kernel") -> dict[str, Any]:
    group = {"graph": "m.meta", "folder": "rnn/lstm_cell", variable: fate}
    return dict(
        read_metadata("tensorflow", {"rnn/lstm_cell": group}, ["rnn/lstm_cell/kernel"]).settings
    )


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (FORGET, {"forget_bias": 0.6}),
        ({f"{SPLIT}:2/AddV2": 0.0}, {"forget_bias": 0.0}),
        (
            FORGET | {f"{SPLIT}:0/Sigmoid/Mul/Add/Minimum": 3.0},
            {"forget_bias": 0.6, "cell_clip": 3.0},
        ),
        (FORGET | {f"{SPLIT}:1/Tanh": None}, {"forget_bias": 0.6}),
        (FORGET | {f"{SPLIT}:1/Relu": None}, {"forget_bias": 0.6, "activation": "relu"}),
        (FORGET | {f"{SPLIT}:3/Sigmoid/Mul/MatMul/Minimum": 6.0}, {"forget_bias": 0.6}),
        ({f"{SPLIT}:1/Add": 1.0, f"{SPLIT}:1/Sigmoid": None}, {}),  # three gates
        ({f"{SPLIT}:0/Mul": 0.2}, {}),  # a hard sigmoid
        ({}, {}),
        ({"LSTMBlockCell": {"forget_bias": 0.7, "cell_clip": -1.0}}, {"forget_bias": 0.7}),
        ({"BlockLSTM": None}, {"forget_bias": 1.0, "cell_clip": 3.0}),  # its defaults
    ],
)  # fmt: skip
def test_settings_of_a_kernel_in_a_graph(fate: dict[str, Any], expected: dict[str, Any]) -> None:
    assert settings(fate) == expected


def test_settings_of_a_projection_in_a_graph() -> None:
    assert settings({"MatMul/Minimum": 0.2}, "projection/kernel") == {"projection_clip": 0.2}
    assert settings({"MatMul": None}, "projection/kernel") == {}


def test_the_file_and_the_cell_are_reported() -> None:
    group = {"graph": "m.meta", "folder": "rnn/lstm_cell", "kernel": FORGET}
    assert read_metadata(
        "tensorflow", {"rnn/lstm_cell": group}, ["rnn/lstm_cell/kernel"]
    ) == MetadataSettings(
        {"forget_bias": 0.6}, ("settings of rnn/lstm_cell in m.meta: forget bias 0.6.",)
    )
