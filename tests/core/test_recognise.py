"""Names first, then shapes, then a question: which tensors are an LSTM, and whose."""

from __future__ import annotations

import re

import pytest

from lstmcli.core.conventions import CONVENTIONS
from lstmcli.core.recognise import choose, normalised, recognise
from lstmcli.errors import UserError

TF1 = {"kernel": (7, 12), "bias": (12,)}
KERAS = {"kernel": (4, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
TORCH = {"weight_ih": (12, 4), "weight_hh": (12, 3), "bias_ih": (12,), "bias_hh": (12,)}


def named(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in shapes.items()}


def rows(shapes: dict[str, tuple[int, ...]]) -> list[tuple[str, str]]:
    return [(f.convention.name, f.prefix) for f in recognise(shapes)]


@pytest.mark.parametrize("prefix", ["", "lstm/", "model.encoder.", "a_", "x/y.z_"])
def test_any_prefix_may_stand_before(prefix: str) -> None:
    assert rows(named(prefix, KERAS)) == [("keras", normalised(prefix))]
    assert rows(named(prefix, TF1)) == [("tf1", normalised(prefix))]


def test_slashes_dots_zeros_and_underscores_count_alike() -> None:
    for name in ("rnn/lstm_cell/kernel:0", "rnn.lstm_cell.kernel", "rnn_lstm_cell_kernel"):
        assert rows({name: (7, 12)}) == [("tf1", "rnn_lstm_cell")]


def test_optimizer_slots_and_other_layers_are_no_lstm() -> None:
    tensors = named("lstm/lstm_cell/", KERAS)
    tensors |= named("Adam/lstm/lstm_cell/", KERAS) | named(
        "dense/", {"kernel": (3, 8), "bias": (8,)}
    )
    tensors |= {"global_step": (), "lstm/lstm_cell/kernel/Adam": (4, 12)}
    assert rows(tensors) == [("keras", "lstm_lstm_cell")]


def test_the_length_of_the_bias_tells_rows_of_the_same_names_apart() -> None:
    assert rows(KERAS | {"bias": (24,)})[0][0] == "cudnnlstm"
    onnx = {"W": (1, 12, 4), "R": (1, 12, 3)}
    assert rows(onnx | {"B": (1, 24)})[0][0] == "onnx"
    assert rows(onnx | {"B": (1, 12)})[0][0] == "openvino"


def test_names_that_two_rows_share_are_asked_about() -> None:
    found = recognise({"w": (7, 12), "b": (12,)})
    with pytest.raises(UserError, match="--convention tf-block-v2"):
        choose(found, None, ["w", "b"], "f.npz")
    assert [f.convention.name for f in recognise({"w": (7, 12), "b": (12,)}, "tf-block-v2")] == [
        "tf-block-v2"
    ]


def test_layers_and_directions_are_one_lstm() -> None:
    tensors: dict[str, tuple[int, ...]] = {}
    for layer in (0, 1):
        for mark in ("", "_reverse"):
            tensors |= {f"rnn.{k}_l{layer}{mark}": shape for k, shape in TORCH.items()}
    (found,) = recognise(tensors)
    assert list(found.cells) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert sorted(found.tensors) == sorted(tensors)


def test_several_need_a_choice_by_number_name_or_as_a_stack() -> None:
    tensors = named("encoder.", TORCH) | named("decoder.", TORCH)
    found = recognise(tensors)
    with pytest.raises(UserError, match=r"--layer 1  or  --layer decoder"):
        choose(found, None, tensors, "f.npz")
    assert choose(found, "decoder", tensors, "f.npz") == [found[1]]
    assert choose(found, "dec", tensors, "f.npz") == [found[1]]
    assert choose(found, "1,0", tensors, "f.npz") == [found[1], found[0]]
    with pytest.raises(UserError, match="2 LSTMs of that name"):
        choose(found, "coder", tensors, "f.npz")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_templates_end_no_name_in_tensorflow_s_0(name: str) -> None:
    for forms in CONVENTIONS[name].tensors.values():
        for form in forms.split(" | "):
            assert not re.search(r":|__|^[/.]|[/.]$", form)


def test_the_packing_of_cudnn_is_named() -> None:
    with pytest.raises(UserError, match="cudnn_lstm/opaque_kernel is all weights of a CudnnLSTM"):
        choose([], None, ["cudnn_lstm/opaque_kernel"], "model.ckpt")
