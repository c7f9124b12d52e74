"""Files of one framework written in another's form: read back from disk they run as the source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api import load
from lstmcli.api.convert import COMMON, convert, target_of
from lstmcli.core.forward.equivalence import compared_runs, same_weights
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.errors import UserError
from tests import networks
from tests.recorded import CASES, GOLDEN, TOLERANCE, held, recorded

SETTINGS_OF_AXES = ("layout", "past_length", "masked_output", "masked_output_merged", "merge",
                    "empty_rows", "states")  # fmt: skip


def converted(case: str, target: Path, to: str, **more: Any) -> Any:
    one = recorded(case)
    return convert(one.paths(target.parent), str(target), to, one.options() | more)


ROWS = ["keras", "tf1", "pytorch", "onnx", "chainer", "lasagne", "dl4j"]


@pytest.mark.parametrize(("number", "case"), [*enumerate(CASES)])
@pytest.mark.sampled(4)
def test_a_recorded_case_in_one_other_form(
    number: int, case: str, tmp_path: Path
) -> None:
    keeps_its_outputs_or_is_refused(case, ROWS[number % len(ROWS)], tmp_path)


@pytest.mark.wide
@pytest.mark.parametrize("to", CONVENTIONS)
def test_every_recorded_case_in_every_form(to: str, tmp_path: Path) -> None:
    refused = sum(keeps_its_outputs_or_is_refused(case, to, tmp_path) for case in CASES)
    assert refused < len(CASES)


def keeps_its_outputs_or_is_refused(case: str, to: str, folder: Path) -> bool:
    """Return whether it was refused; otherwise compare its outputs with the recorded ones.

    They come through a file on the disk.
    """
    one = recorded(case)
    target = folder / (
        "net.json" if len(case) % 3 == 0 and to != "rtneural" else "net.npz"
    )
    target.unlink(missing_ok=True)
    try:
        conversion = converted(case, target, to)
    except UserError as error:
        reason = str(error)
    else:
        reason = ""
    if reason:
        assert f"{to} cannot store" in reason
        assert to != one.about["convention"]
        assert not target.exists()
        return True
    model = load.load(str(target))
    assert model.convention.name == to
    left = [
        t for t in model.assumed if " none " not in t and not t.startswith("no bias")
    ]
    assert (
        left == []
    )  # of what is on, and of what a config would say, nothing has to be assumed
    trace = one.run(with_axes_of(model, one.load()))
    theirs = one.arrays["h"]
    tolerance = TOLERANCE.get(case, 2e-6)
    np.testing.assert_allclose(
        trace.h.reshape(theirs.shape), theirs, rtol=tolerance, atol=tolerance
    )
    assert conversion.proof.holds
    return False


def with_axes_of(model: Any, source: Any) -> Any:
    """The model with the source's axes and its rule for what lies past a row's end."""
    how = source.convention
    axes = {name: how.setting(name) for name in SETTINGS_OF_AXES}
    return replace(
        model,
        layers=tuple(
            tuple(
                replace(cell, convention=cell.convention.with_behaviour(**axes))
                for cell in layer
            )
            for layer in model.layers
        ),
    )


KERAS = ("kernel", "recurrent_kernel", "bias")
SOURCE = str(GOLDEN / "tensorflow1" / "peepholes.weights.npz")


def test_a_constant_into_the_bias_is_exact_and_out_of_it_is_rounding(
    tmp_path: Path,
) -> None:
    into = convert([SOURCE], str(tmp_path / "a.npz"), "keras", {})
    assert (into.proof.difference, into.proof.allowed) == (0, 0)
    out = convert([str(tmp_path / "a.npz")], str(tmp_path / "b.npz"), "tf1", {})
    assert 0 <= out.proof.difference <= out.proof.allowed < 1e-4
    with np.load(SOURCE) as a, np.load(tmp_path / "b.npz") as b:
        np.testing.assert_allclose(
            b["rnn/lstm_cell/bias"], a["rnn/lstm_cell/bias"], rtol=0, atol=2e-7
        )
        np.testing.assert_array_equal(
            b["rnn/lstm_cell/kernel"], a["rnn/lstm_cell/kernel"]
        )


def test_a_file_contains_what_no_tensor_has(tmp_path: Path) -> None:
    case, target = "keras/hard_sigmoid", tmp_path / "net.json"
    converted(case, target, "tfjs")
    told = json.loads(target.read_text())
    assert told["recurrent_activation"] == "hard_sigmoid_1_6"
    assert told["convention"] == "tfjs"
    assert told["dtype"] == "float32"
    assert list(told)[:3] == ["kernel", "recurrent_kernel", "bias"]


def test_the_constant_of_a_target(tmp_path: Path) -> None:
    target = str(tmp_path / "net.npz")
    convert([SOURCE], target, "tf1", {}, {"forget_bias": 0.25})
    model = load.load(target)
    assert model.convention.behaviour.forget_bias == 0.25
    source = load.load(SOURCE)
    np.testing.assert_allclose(
        model.cell.bias[1] + 0.25, source.cell.bias[1] + 1, atol=2e-7
    )


def test_numbers_that_are_none_go_through(tmp_path: Path) -> None:
    source = tmp_path / "w.npz"
    np.savez(source, kernel=np.full((4, 12), np.nan), recurrent_kernel=np.ones((3, 12)))
    convert([str(source)], str(tmp_path / "v.npz"), "pytorch", {})
    with np.load(tmp_path / "v.npz") as members:
        assert np.isnan(members["weight_ih_l0"]).all()


def test_networks_that_names_cannot_distinguish_are_not_written(tmp_path: Path) -> None:
    """Chainer numbers directions like layers: with I = H, two directions look like two layers."""
    np.savez(tmp_path / "w.npz", **networks.pytorch(3, 3, directions=2, bias=False))
    with pytest.raises(UserError, match="another network; nothing was written"):
        convert([str(tmp_path / "w.npz")], str(tmp_path / "v.npz"), "nstep", {})
    assert not (tmp_path / "v.npz").exists()


def test_the_verification_notices_a_wrong_number() -> None:
    model = load.load(SOURCE)
    kernel = model.cell.recurrent_kernel.copy()
    kernel[1, 2, 0] = np.nextafter(kernel[1, 2, 0], np.float32(9))
    other = replace(model, layers=((replace(model.cell, recurrent_kernel=kernel),),))
    assert same_weights(model.layers, model.layers)
    assert not same_weights(model.layers, other.layers)
    assert compared_runs(model, model).difference == 0
    kernel[1, 2, 0] += 0.01
    assert not compared_runs(model, other).holds


def test_the_verification_notices_another_constant() -> None:
    how = CONVENTIONS["tf1"].changed({"forget_bias": 1.001})
    model = load.load(SOURCE)
    other = replace(model, layers=((replace(model.cell, convention=how),),))
    proof = compared_runs(model, other)
    assert proof.allowed > 0
    assert not proof.holds


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (
            "net.pt",
            "pytorch",
            r'unsupported extension "\.pt"; use \.npz',
        ),
        ("net", "pytorch", "no extension"),
        ("net.csv", "keras", "unsupported extension"),
        ("net.onnx", "pytorch", r"a \.onnx file is in the convention onnx"),
    ],
)
def test_files_that_are_not_written(path: str, to: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        target_of(path, CONVENTIONS[to])


@pytest.mark.parametrize("name", ["net.json", "net.safetensors", "net.onnx"])
def test_numbers_too_long_for_a_file_are_refused(name: str, tmp_path: Path) -> None:
    to = "onnx" if name.endswith("onnx") else "keras"
    with pytest.raises(UserError, match=r"longdouble needs an \.npz file"):
        convert(
            [SOURCE],
            str(tmp_path / name),
            to,
            {"dtype": "longdouble", "peepholes": "ignored"},
        )
    assert list(tmp_path.iterdir()) == []


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    source = tmp_path / "w.npz"
    source.write_bytes(Path(SOURCE).read_bytes())
    with pytest.raises(UserError, match="would be written over"):
        convert([str(source)], str(tmp_path / "." / "w.npz"), "keras", {})
    assert source.read_bytes() == Path(SOURCE).read_bytes()


def test_safetensors_report_what_they_do_not_contain(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    target = tmp_path / "net.safetensors"
    conversion = converted("keras/relu", target, "keras")
    assert conversion.options == "--recurrent-activation sigmoid --activation relu"
    assert conversion.options in conversion.remarks[0]
    again = load.load(str(target), activation="relu")
    assert same_weights(conversion.layers, again.layers)
    assert converted("torch/cell", target, "pytorch").remarks == ()


def test_a_document_of_rtneural(tmp_path: Path) -> None:
    """As its model_utils.py writes what Keras' get_weights gives; read from its model_loader.h."""
    target = tmp_path / "net.json"
    converted("keras/stacked", target, "rtneural")
    document = json.loads(target.read_text())
    assert document["in_shape"] == [None, None, 5]
    own = held("keras/stacked.weights")
    layers = [
        [own[f"encoder/{name}/lstm_cell/{role}"] for role in KERAS]
        for name in ("lstm", "lstm_1")
    ]
    for layer, weights in zip(document["layers"], layers, strict=True):
        assert layer["type"] == "lstm"
        assert layer["shape"] == [None, None, 3]
        for ours, theirs in zip(layer["weights"], weights, strict=True):
            np.testing.assert_array_equal(np.array(ours, np.float32), theirs)


def test_the_choices_named_without_to_are_conventions() -> None:
    assert set(COMMON) <= set(CONVENTIONS)
