"""Keras' configs as settings."""

from __future__ import annotations

from typing import Any

import pytest

from lstmcli.core.weights.metadata import keras
from lstmcli.errors import UserError


def layer(kind: str = "LSTM", **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": config}


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ([layer(activation="relu")], {"activation": "relu"}),
        ([layer(activation="linear")], {"activation": "identity"}),
        ([layer(activation=None)], {"activation": "identity"}),
        (
            [layer(recurrent_activation="hard_sigmoid")],
            {"recurrent_activation": "hard_sigmoid_0.2"},
        ),
        (
            [{"keras_version": "3.5.0"}, layer(recurrent_activation="hard_sigmoid")],
            {"recurrent_activation": "hard_sigmoid_1_6"},
        ),
        ([layer(go_backwards=True, time_major=True)], {"go_backwards": True, "layout": "time"}),
        ([layer(zero_output_for_mask=True)], {"masked_output": "zero"}),
        ([layer("Bidirectional", merge_mode="ave"), layer(go_backwards=True)], {"merge": "ave"}),
        ([layer("Bidirectional", merge_mode=None)], {"merge": "stack"}),
        ([layer("Sequential", activation="relu"), {"config": 5}], {}),
    ],
)  # fmt: skip
def test_configs(words: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    assert keras.read(words).settings == settings


LSTM = layer(
    name="lstm", activation="relu", recurrent_activation="sigmoid", go_backwards=True
)
BOTH = layer(
    "Bidirectional", layer=layer(recurrent_activation="relu"), merge_mode="sum"
)
GRU = layer("GRU", activation="elu", recurrent_activation="relu")


@pytest.mark.parametrize(
    ("wrapper", "settings"),
    [
        (layer("TimeDistributed", layer=LSTM),
         {"activation": "relu", "recurrent_activation": "sigmoid", "go_backwards": True}),
        (layer("TimeDistributed", layer=BOTH), {"recurrent_activation": "relu", "merge": "sum"}),
        (layer("TimeDistributed", layer=layer("Sequential", layers=[GRU, LSTM])),
         {"activation": "relu", "recurrent_activation": "sigmoid", "go_backwards": True}),
        (layer("Attended", activation="elu", parts={"rnn": LSTM}),
         {"activation": "relu", "recurrent_activation": "sigmoid", "go_backwards": True}),
        (layer("Attended", first=LSTM, second=BOTH), {}),
        (layer("Attended", activation="elu", layer=GRU), {}),
        (layer("Attended", layer=layer("Bidirectional", layer=GRU)), {}),
    ],
)  # fmt: skip
def test_the_one_lstm_that_a_wrapper_contains_is_used(
    wrapper: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert (
        keras.read([layer("Sequential", layers=[wrapper]), wrapper]).settings
        == settings
    )


def test_an_lstm_along_another_axis_is_reported() -> None:
    told = keras.read([layer("TimeDistributed", name="each", layer=LSTM)])
    assert any(
        "each (TimeDistributed) runs its LSTM along" in remark
        for remark in told.remarks
    )


def test_a_config_in_a_config_ends() -> None:
    config: Any = LSTM
    for _ in range(5000):
        config = [config]
    assert keras.read([layer("Attended", deep=config)]).settings == {}


@pytest.mark.parametrize(
    "name", ["swish", {"class_name": "Custom"}, ["tanh"], "scaled"]
)
def test_an_activation_that_cannot_be_run_is_named(name: Any) -> None:
    told = keras.read([layer(activation=name, name="zeta")])
    assert told.unknown["activation"].startswith("zeta has the activation")


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("Bidirectional", {"layer": layer(go_backwards=True)}, "runs backwards itself"),
        ("Bidirectional", {"layer": layer("RNN", cell=layer("StackedRNNCells", cells=[]))},
         "a stack of cells"),
        ("Bidirectional", {"layer": layer(use_bias=True), "backward_layer": layer(use_bias=False)},
         "use_bias"),
        ("Bidirectional", {"merge_mode": "max"}, "merges by 'max'"),
        ("TimeDistributed", {"layer": layer("GRULSTM", units=3)}, "is of class GRULSTM"),
    ],
)  # fmt: skip
def test_wrapped_layers_that_a_run_has_not(
    kind: str, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^both .*{message}"):
        keras.read([layer(kind, name="both", **config)])


@pytest.mark.parametrize("count", [1, 2])
def test_cells_that_run_backwards_at_once_are_refused(count: int) -> None:
    """Keras steps a stack of cells together; ours runs layer by layer, each of which would turn."""
    cells = layer("StackedRNNCells", cells=[layer("LSTMCell", units=3)] * count)
    stack = layer("RNN", name="stack", go_backwards=True, cell=cells)
    if count == 1:
        assert keras.read([stack]).settings == {"go_backwards": True}
    else:
        with pytest.raises(UserError, match=r"^stack runs 2 cells backwards at once"):
            keras.read([stack])


OWN = ("LSTM", "CuDNNLSTM", "LSTMCell", "PeepholeLSTMCell")


def configs(kind: str) -> list[list[dict[str, Any]]]:
    """Groups around a cell: a class by itself, and within each wrapper that Keras has."""
    inner = layer(kind, activation="tanh", recurrent_activation="sigmoid")
    cells = layer(
        "StackedRNNCells", cells=[layer("LSTMCell", activation="tanh"), inner]
    )
    return [
        [inner],
        [layer("RNN", cell=inner)],
        [layer("RNN", cell=cells), inner],
        [layer("TimeDistributed", name="each", layer=layer("RNN", cell=inner))],
        [layer("Bidirectional", layer=layer("RNN", cell=inner))],
        [layer("Bidirectional", layer=inner, backward_layer=inner), inner],
        [layer("Sequential", layers=[inner]), inner],
        [layer("my.models>MyLSTMModel", layers=[inner]), inner],
    ]


@pytest.mark.parametrize(
    "prefix", ["", "Addons>", "keras.layers.", "my.package>", "Custom>a.b."]
)
@pytest.mark.parametrize("kind", OWN)
def test_classes_of_keras_itself_are_not_an_assumption(prefix: str, kind: str) -> None:
    assert [keras.read(groups).classes for groups in configs(prefix + kind)] == [()] * 8


@pytest.mark.parametrize("prefix", ["", "Addons>", "my.package."])
@pytest.mark.parametrize(
    "kind", ["ReversedLSTM", "LayerNormLSTMCell", "LSTM2", "Renamed"]
)
def test_a_class_of_the_model_s_author_is_named(prefix: str, kind: str) -> None:
    for groups in configs(prefix + kind):
        (text,) = keras.read(groups).classes
        assert text.startswith(f"class {kind} is not part of Keras; ")


def test_a_layer_that_tensorflow_js_runs_is_named_too() -> None:
    (text,) = keras.read_tensorflow_js([layer("ReversedLSTM", units=3)]).classes
    assert "class ReversedLSTM" in text
