"""Names first, then shapes, then a question: which tensors are an LSTM, and whose."""

from __future__ import annotations

import re

import pytest

from lstmcli.core.model.conventions import (
    CONVENTIONS,
    FRAMEWORK_ALIASES,
    find_convention,
)
from lstmcli.core.weights.choose_lstm import choose_lstms, training_copies
from lstmcli.core.weights.missing import describe_missing
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import UserError

KERAS = {"kernel": (4, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
TORCH = {"weight_ih": (12, 4), "weight_hh": (12, 3), "bias_ih": (12,), "bias_hh": (12,)}


def named(
    prefix: str, shapes: dict[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in shapes.items()}


def rows(shapes: dict[str, tuple[int, ...]]) -> list[tuple[str, str]]:
    return [(f.convention.name, f.prefix) for f in recognise(shapes)]


def test_a_row_that_is_asked_for_finds_no_second_lstm_in_the_names_of_another() -> None:
    (found,) = recognise(named("lstm/", KERAS), "tf1")
    assert (found.prefix, found.tensors) == ("lstm", ["lstm/kernel", "lstm/bias"])
    (found,) = recognise(
        {"recurrent_kernel": (7, 12)}, "tf1"
    )  # it may be called recurrent
    assert found.prefix == "recurrent"


def test_optimizer_slots_and_other_layers_are_not_lstms() -> None:
    tensors = named("lstm/lstm_cell/", KERAS)
    tensors |= named("Adam/lstm/lstm_cell/", KERAS) | named(
        "dense/", {"kernel": (3, 8), "bias": (8,)}
    )
    tensors |= {"global_step": (), "lstm/lstm_cell/kernel/Adam": (4, 12)}
    assert rows(tensors) == [("keras", "lstm_lstm_cell")]


def test_the_length_of_the_bias_distinguishes_conventions_of_the_same_names() -> None:
    assert rows(KERAS | {"bias": (24,)})[0][0] == "cudnnlstm"
    onnx = {"W": (1, 12, 4), "R": (1, 12, 3)}
    assert rows(onnx | {"B": (1, 24)})[0][0] == "onnx"
    assert rows(onnx | {"B": (1, 12)})[0][0] == "openvino"


def test_names_that_two_rows_share_are_asked_about() -> None:
    found = recognise({"w": (7, 12), "b": (12,), "wci": (3,), "wcf": (3,), "wco": (3,)})
    with pytest.raises(UserError, match=r"convention=.tf-block-v2"):
        choose_lstms(found, None, ["w", "b", "wci", "wcf", "wco"], "f.npz")
    assert [
        f.convention.name for f in recognise({"w": (7, 12), "b": (12,)}, "tf-block-v2")
    ] == ["tf-block-v2"]


@pytest.mark.parametrize("prefix", ["", "lstm/", "lstm_"])
def test_letters_that_any_script_uses_tell_no_framework(prefix: str) -> None:
    """BlockLSTM's w and b are what most call a kernel and a bias."""
    for letters in ("Wb", "wb"):
        (found,) = recognise(
            {f"{prefix}{letters[0]}": (7, 12), f"{prefix}{letters[1]}": (12,)}
        )
        assert (found.convention.name, found.by_shape, found.rivals) == (
            "tf1",
            True,
            [],
        )
    (found,) = recognise({"w": (4, 12), "u": (3, 12), "b": (12,)})
    assert found.convention.name == "keras"
    dense = {"fc_w": (2, 3), "fc_b": (2,)}
    (found,) = recognise(
        {"w_ih": (12, 4), "w_hh": (12, 3), "b_ih": (12,), "b_hh": (12,), **dense}
    )
    assert found.convention.name == "pytorch-cell"
    assert not describe_missing(["W", "b", "Wy", "by"]), "nobody named CNTK"


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
    with pytest.raises(UserError, match=r"layer=1  decoder"):
        choose_lstms(found, None, tensors, "f.npz")
    assert choose_lstms(found, "decoder", tensors, "f.npz") == [found[1]]
    assert choose_lstms(found, "1,0", tensors, "f.npz") == [found[1], found[0]]


@pytest.mark.parametrize(
    "prefix",
    ["callbacks.SWA.average_model_state.lstm.", "ema.lstm.", "averaged_model.lstm."],
)
def test_copies_that_training_keeps_are_distinguished_from_the_model(
    prefix: str,
) -> None:
    tensors = named("model.lstm.", TORCH) | named(prefix, TORCH)
    found = recognise(tensors)
    assert training_copies(found, tensors) == {1: 0}
    assert not training_copies(
        recognise(named(prefix, TORCH)), tensors
    )  # alone it is the model
    wider = {name: (4 * 9, shape[-1]) if len(shape) > 1 else (4 * 9,) for name, shape in
             named(prefix, TORCH).items()}  # fmt: skip
    assert not training_copies(
        recognise(named("model.lstm.", TORCH) | wider), tensors | wider
    )


def test_an_lstm_that_is_left_out_is_chosen_only_by_its_index() -> None:
    tensors = named("ema.lstm.", TORCH) | named("lstm.", TORCH)
    found = recognise(tensors)
    left_out = {0: "ema_lstm is a copy"}
    assert choose_lstms(found, None, tensors, "f.pt", left_out) == [found[1]]
    assert choose_lstms(found, "0", tensors, "f.pt", left_out) == [found[0]]
    tensors |= named("net.lstm.", TORCH)
    found = recognise(tensors)
    with pytest.raises(UserError) as error:
        choose_lstms(found, None, tensors, "f.pt", left_out, [1, 2])
    assert str(error.value).splitlines() == [
        "f.pt has 2 LSTMs; choose one:",
        "  layer=1      lstm",
        "  layer=2      net_lstm",
        "  layer=0      ema_lstm is a copy",
        "  layer='1,2'  runs them one after the other",
    ]


def refusal(prefixes: str, layer: str) -> str:
    tensors: dict[str, tuple[int, ...]] = {}
    for prefix in prefixes.split():
        tensors |= named(prefix, TORCH)
    with pytest.raises(UserError) as error:
        choose_lstms(recognise(tensors), layer, tensors, "f.npz")
    return str(error.value)


def test_complete_parts_of_a_name_choose() -> None:
    tensors = named("net.enc.rnn.", TORCH) | named("net.decoder.", TORCH)
    found = recognise(tensors)
    for layer in ("rnn", "enc.rnn", "enc/rnn", "net.enc.rnn", "enc"):
        assert choose_lstms(found, layer, tensors, "f.npz") == [found[0]]
    for layer in ("dec", "coder", "nn", ".", "enc.rn"):
        assert "f.npz has no such LSTM" in refusal("net.enc.rnn. net.decoder.", layer)
    assert "Did you mean 'lstm_4'?" in refusal("lstm_4.", "lst")
    assert "Did you mean 'lstm_4'?" in refusal("lstm_4.", "lstm")
    assert "Did you mean 'net_decoder'?" in refusal("net.enc. net.decoder.", "dec")


def test_a_part_of_several_names_lists_those() -> None:
    said = refusal("a.rnn. b.rnn. c.cell.", "rnn")
    assert "it is part of the names of 2 LSTMs of f.npz" in said
    assert said.splitlines()[1:] == [
        "  layer=0  a_rnn",
        "  layer=1  b_rnn",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("torch", "'pytorch' or 'pytorch-cell'"), ("TensorFlow", "'tf1' or 'keras'"),
        ("tf", "'tf1' or 'keras'"), ("tf.keras", "'keras'"), ("ort", "'onnx'"),
        ("kears", "'keras'"),
    ],
)  # fmt: skip
def test_common_names_of_a_framework_suggest_a_convention(
    name: str, meant: str
) -> None:
    with pytest.raises(UserError, match=f"Did you mean {meant}"):
        find_convention(name)


def test_other_names_are_none_of_the_table_and_mean_rows_of_it() -> None:
    assert not set(FRAMEWORK_ALIASES) & set(CONVENTIONS)
    assert {row for rows in FRAMEWORK_ALIASES.values() for row in rows} <= set(
        CONVENTIONS
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            "weight_ih_l0 bias_ih_l0 bias_hh_l0",
            "pytorch: weight_hh_l0 is missing; weight_ih_l0 is there",
        ),
        (
            "m.weight_hh_l0 m.bias_hh_l0",
            "pytorch: weight_ih_l0 is missing; m.weight_hh_l0 is there",
        ),
        ("weight_hh_l0_reverse bias_hh_l0_reverse", "weight_ih_l0_reverse is missing"),
        (
            "lstm/recurrent_kernel lstm/bias",
            "keras: kernel is missing; lstm/recurrent_kernel is there",
        ),
        (
            "W_i U_i b_i W_f U_f b_f W_c U_c b_c W_o b_o",
            "keras1: U_o is missing; U_i is there",
        ),
        (
            "W_i U_i b_i W_f U_f b_f W_g U_g b_g W_o b_o",
            "per-gate: U_o is missing; U_i is there",
        ),
        ("Wi Ui bi Wf Uf bf Wc Uc bc Wo bo", "per-gate: Uo is missing; Ui is there"),
        ("0/w0 0/w1 0/w2 0/w4 0/w5 0/w6 0/w7", "nstep: 0/w3 is missing; 0/w0 is there"),
        ("W B", "onnx: R is missing; W is there"),
        ("fc.weight fc.bias", "no LSTM is recognised"),
        ("conv/kernel conv/bias", "no LSTM is recognised"),
        ("x.bias_ih_l0", "no LSTM is recognised"),
    ],
)
def test_the_tensor_that_is_missing_is_named(names: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        choose_lstms([], None, names.split(), "f.npz")
    assert said in str(error.value)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_templates_end_no_name_in_tensorflow_s_0(name: str) -> None:
    for forms in CONVENTIONS[name].names.tensors.values():
        for form in forms.split(" | "):
            assert not re.search(r":|__|^[/.]|[/.]$", form)


def builders(*sizes: tuple[int, int], first: int = 0) -> dict[str, tuple[int, ...]]:
    """The parameters of DyNet's builders of one layer each, by inputs and units."""
    shapes: dict[str, tuple[int, ...]] = {}
    for n, (inputs, units) in enumerate(sizes, first):
        name = f"enc/vanilla-lstm-builder{f'_{n}' * bool(n)}/_"
        arrays = ((4 * units, inputs), (4 * units, units), (4 * units,))
        shapes |= {f"{name}{k}": shape for k, shape in enumerate(arrays)}
    return shapes


@pytest.mark.parametrize(
    ("shapes", "cells"),
    [
        (builders((5, 3)), [1]),
        (builders((5, 3), (5, 3)), [2]),
        (builders((5, 3), (5, 3), first=4), [2]),
        (builders((5, 3), (5, 3), (6, 3), (6, 3)), [4]),
        (builders((6, 3), (6, 3), (6, 3), (6, 3)), [4]),
        (
            builders((5, 3), (5, 3), (5, 3), (5, 3)),
            [2, 2],
        ),  # two layers over the same inputs
        (builders((5, 3), (5, 3), (6, 4)), [2, 1]),
        (
            builders((5, 3), (5, 3), (5, 3)),
            [1, 1, 1],
        ),  # any of them may be the single one
        (
            builders((5, 3)) | builders((5, 3), first=2),
            [1, 1],
        ),  # one between them is gone
        (builders((5, 3), (6, 3)), [1, 1]),
    ],
)
def test_numbered_builders_of_one_size_are_the_directions_of_a_layer(
    shapes: dict[str, tuple[int, ...]], cells: list[int]
) -> None:
    found = recognise(shapes)
    assert [len(one.cells) for one in found] == cells
    for one in found:
        assert [*one.cells] == [(n // 2, n % 2) for n in range(len(one.cells))]
        numbers = [one.names(cell)[0].removesuffix("/_0") for cell in one.cells]
        assert numbers == sorted(numbers)


def test_builders_of_several_layers_are_separate_lstms() -> None:
    shapes = builders((5, 3), (5, 3))
    above = {
        name[:-1] + str(int(name[-1]) + 3): shape for name, shape in shapes.items()
    }
    above = {
        name: (12, 3) if len(shape) == 2 else shape for name, shape in above.items()
    }
    found = recognise(shapes | above)
    assert [(one.label, [*one.cells]) for one in found] == [
        ("enc_vanilla-lstm-builder", [(0, 0), (1, 0)]),
        ("enc_vanilla-lstm-builder_1", [(0, 0), (1, 0)]),
    ]
