"""Errors: what a message says and that it survives being handed to another process."""

from __future__ import annotations

import pickle
import tomllib

import pytest

from lstmcli.errors import PACKAGES, MissingExtra, UserError, did_you_mean
from tests.paths import TOP


def test_a_missing_extra_names_what_needs_it_and_the_command_that_installs_it() -> None:
    error = MissingExtra("writing .onnx", "onnx", "onnx")
    assert error.lines == ("writing .onnx needs onnx:", "  pip install 'onnx>=1.19'")


def test_a_missing_extra_survives_pickle() -> None:
    error = MissingExtra("a figure", "matplotlib", "plot")
    assert pickle.loads(pickle.dumps(error)).lines == error.lines


def test_what_is_to_be_installed_is_what_the_extras_name() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {name: list(packages) for name, packages in PACKAGES.items()} == {
        name: extras[name]
        for name in extras
        if name not in ("formats", "docs", "fuzz", "test", "dev")
    }


@pytest.mark.parametrize("line", ["x" * 100_000, "\x1b" * 1000, "a\nb" * 1000])
def test_a_message_is_bounded_and_ends_with_what_to_type(line: str) -> None:
    for error in (UserError(line, "  lstm run"), UserError(*[line[:9]] * 9000, "  lstm run")):
        for one in (error, error.within("a file"), pickle.loads(pickle.dumps(error))):
            assert 1400 < len(str(one)) <= 1500
            assert one.lines[-1].endswith("lstm run")
            assert str(one).count(" ... ") == 1


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("kears", ["keras", "onnx"], "keras"),
        ("rnu", ["run", "diff"], "run"),
        ("--forgetbias", ["--forget-bias", "--format"], "--forget-bias"),
        ("forget_gate_bias", ["forget_bias", "bias"], "forget_bias"),
        ("forgett_bias_of_the_cell", ["bias", "forget_bias"], "forget_bias"),
        (
            "recurrent_activation_name",
            ["recurrent_gates", "recurrent_activation"],
            "recurrent_activation",
        ),
        ("gate_of_the_cell", ["gates", "gate_clip"], None),
        ("--inputs", ["--units", "--lengths", "--set"], None),
        ("--batch-size", ["--digits", "--html"], None),
        ("x", ["h", "c", "i"], None),
        ("torch", ["onnxruntime", "jax"], None),
        ("pytorch_lstm_layer", ["pytorch", "pytorch-cell"], "pytorch"),
    ],
)
def test_only_what_is_near_is_suggested(word: str, known: list[str], near: str | None) -> None:
    assert did_you_mean(word, known) == (f' Did you mean "{near}"?' if near else "")


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("--batch_first", ["--batch", "--layout"], "--layout batch"),
        ("time_major", ["layout", "lengths"], 'layout="time"'),
        ("batch_first", ["batch", "time"], '"batch"'),
        ("batch_first", ["h", "c"], None),
        ("sequence_length", ["layout", "lengths"], '"lengths"'),
        ("inner_activation", ["activation", "recurrent_activation"], '"recurrent_activation"'),
        ("zero_output_for_mask", ["--mask", "--masked-output"], "--masked-output zero"),
    ],
)
def test_a_framework_s_name_suggests_ours(word: str, known: list[str], meant: str | None) -> None:
    assert did_you_mean(word, known) == (f" Did you mean {meant}?" if meant else "")


def test_a_known_name_that_is_empty_is_no_suggestion() -> None:
    """The label of an LSTM without a prefix is empty."""
    assert did_you_mean("7", [""]) == ""
