"""Words of a file become settings; groups apply to the tensors that lie in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import find_lstms, load_model
from lstmcli.core.weights import metadata
from lstmcli.core.weights.metadata import (
    Groups,
    MetadataFormat,
    MetadataSettings,
    read_metadata,
    torch,
)
from lstmcli.errors import UserError
from lstmcli.formats import Document


@pytest.fixture
def groups_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(around: Groups) -> MetadataSettings:
        return MetadataSettings(
            {str(n): word for n, group in enumerate(around) for word in group}
        )

    monkeypatch.setattr(torch, "read", read)
    monkeypatch.setattr(metadata, "METADATA_FORMATS", {"any": MetadataFormat("torch")})


@pytest.mark.usefixtures("groups_seen")
def test_groups_apply_from_the_outermost_to_the_innermost() -> None:
    groups = {
        "a/b": {"inner": 1},
        "a": {"outer": 1},
        "": {"file": 1},
        "a/bc": {"another": 1},
    }
    said = read_metadata("any", groups, ["a/b/kernel", "a/b/bias"]).settings
    assert list(said.values()) == ["file", "outer", "inner"]


@pytest.mark.usefixtures("groups_seen")
def test_a_group_of_some_of_the_tensors_does_not_apply() -> None:
    assert (
        read_metadata("any", {"a": {"half": 1}}, ["a/kernel", "b/kernel"]).settings
        == {}
    )


@pytest.mark.parametrize(("first", "layout"), [(True, "batch"), (False, "time")])
def test_pytorch_has_the_layout(first: bool, layout: str) -> None:
    groups = {
        "": {"class": "Net", "batch_first": not first},  # an attribute of its own
        "rnn": {
            "class": "torch.nn.modules.rnn.LSTM",
            "num_layers": 1,
            "batch_first": first,
        },
    }
    assert read_metadata("torch", groups, ["rnn.weight_ih_l0"]).settings == {
        "layout": layout
    }
    assert read_metadata("torch", groups, ["cell.weight_ih"]).settings == {}


def test_a_format_without_metadata_gives_no_setting() -> None:
    assert read_metadata("npy", {"": {"file": 1}}, ["kernel"]) == MetadataSettings()


def test_a_dense_layer_of_the_shape_of_a_fused_kernel_is_not_an_lstm() -> None:
    """As in a SavedModel of Keras whose metadata name the classes: (I + H, 4H) and (4H,)."""
    tensors = {"dense_24/kernel": np.ones((20, 48)), "dense_24/bias": np.ones(48)}
    groups: dict[str, dict[str, Any]] = {
        "": {},
        "dense_24": {"class_name": "Dense", "config": {}},
    }
    document = Document("model", "tensorflow", tensors, groups=groups)
    with pytest.raises(UserError, match="no LSTM is recognised"):
        load_model([document], {})
    assert find_lstms(
        tensors, "tf1", "model", [document]
    )  # asked for by its convention
    assert find_lstms(tensors, None, "model", [replace(document, groups={})])


# ---- rows of ops that a kernel goes through, as settings; only where they are a cell's


SPLIT = "MatMul/BiasAdd/Split"
FORGET = {f"{SPLIT}:2/Add": 0.6}


def settings(fate: dict[str, Any], variable: str = "kernel") -> dict[str, Any]:
    group = {"graph": "m.meta", "folder": "rnn/lstm_cell", variable: fate}
    return dict(
        read_metadata(
            "tensorflow", {"rnn/lstm_cell": group}, ["rnn/lstm_cell/kernel"]
        ).settings
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
def test_settings_of_a_kernel_in_a_graph(
    fate: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert settings(fate) == expected


def test_settings_of_a_projection_in_a_graph() -> None:
    assert settings({"MatMul/Minimum": 0.2}, "projection/kernel") == {
        "projection_clip": 0.2
    }
    assert settings({"MatMul": None}, "projection/kernel") == {}


def test_the_file_and_the_cell_are_reported() -> None:
    group = {"graph": "m.meta", "folder": "rnn/lstm_cell", "kernel": FORGET}
    assert read_metadata(
        "tensorflow", {"rnn/lstm_cell": group}, ["rnn/lstm_cell/kernel"]
    ) == MetadataSettings(
        {"forget_bias": 0.6}, ("settings of rnn/lstm_cell in m.meta: forget bias 0.6.",)
    )
