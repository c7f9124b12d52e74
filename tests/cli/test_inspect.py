"""``lstm inspect`` and ``lstm conventions`` as they are typed."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.cli import COMMANDS
from lstmcli.core.model.conventions import CONVENTIONS
from tests.cli.conftest import SAMPLE, Done, Lstm
from tests.paths import TOP

Typed = Callable[..., Done]


@pytest.fixture
def typed(lstm: Lstm, tmp_path: Path) -> Typed:
    """Run a line as it is typed beside the samples and the files of help's examples."""
    for name in ("samples", "tests"):
        (tmp_path / name).symlink_to(TOP / name)
    assert lstm("init", "--example", "demo").status == 0
    return lambda line, **options: lstm(*shlex.split(line), **options)


@pytest.mark.parametrize("name", ["inspect", "conventions"])
def test_help_agrees_with_the_table_and_its_examples_run(name: str, typed: Typed) -> None:
    text = importlib.import_module(f"lstmcli.cli.{name}").command.help
    assert text.splitlines()[0] == COMMANDS[name]
    examples = [row.strip() for row in text.splitlines() if row.strip().startswith("lstm ")]
    assert len(examples) == 2
    for example in examples:
        status, out, err = typed(example.removeprefix("lstm "))
        assert (status, err) == (0, "")
        assert out


def test_json_of_a_file(typed: Typed) -> None:
    status, out, _ = typed("inspect samples/forget-bias/weights.npz -f json")
    assert status == 0
    told = json.loads(out)
    assert told["file"] == "samples/forget-bias/weights.npz"
    assert told["tensors"]["kernel"] == {"shape": [7, 12], "dtype": "float64"}
    (one,) = told["lstms"]
    assert (one["layer"], one["convention"]) == ("0", "tf1")
    assert (one["inputs"], one["units"], one["outputs"]) == (4, 3, 3)
    assert (one["layers"], one["directions"], one["parameters"]) == (1, 1, 96)
    assert one["found"] == {}
    assert one["settings"]["gates"] == "igfo"
    with np.load(SAMPLE / "weights.npz") as weights:
        kernel = weights["kernel"]
    f = one["cells"]["layer0"]["f"]
    assert f["kernel_mean"] == pytest.approx(kernel[:4, 6:9].mean())
    assert f["recurrent_std"] == pytest.approx(kernel[4:, 6:9].std())
    assert f["bias_mean"] == 0


def test_json_of_what_is_not_finite(typed: Typed, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", kernel=np.full((5, 8), np.nan), bias=np.zeros(8))
    _, out, _ = typed(f"inspect {tmp_path}/w.npz -f json")
    (one,) = json.loads(out, parse_constant=pytest.fail)["lstms"]
    assert one["cells"]["layer0"]["i"]["kernel_mean"] == "NaN"


def test_tensors_in_separate_files(typed: Typed, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.ones((5, 8)))
    np.save(tmp_path / "bias.npy", np.zeros(8))
    status, out, _ = typed(f"inspect kernel={tmp_path}/k.npy {tmp_path}/bias.npy")
    assert status == 0
    assert "3 inputs -> 2 units" in out
    assert out.splitlines()[-1] == (
        f"next      lstm run kernel={tmp_path}/k.npy {tmp_path}/bias.npy inputs.npy"
    )


def test_standard_input(typed: Typed) -> None:
    data = (SAMPLE / "weights.npz").read_bytes()
    status, out, _ = typed("inspect -", stdin=data)
    assert status == 0
    assert "96 parameters" in out


def test_one_of_several(typed: Typed) -> None:
    path = "tests/golden/keras/stacked.weights.npz"
    _, out, _ = typed(f"inspect {path} --layer 1 -f json")
    assert [one["layer"] for one in json.loads(out)["lstms"]] == ["encoder_lstm_1_lstm_cell"]
    status, _, err = typed(f"inspect {path} --layer decoder")
    assert status == 2
    assert "--layer encoder_lstm_1_lstm_cell" in err


def test_the_next_command_runs(typed: Typed, tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", np.ones((2, 5)))
    for case in ("keras/stacked", "tensorflow1/block_lstm", "torch/two_layers_bidirectional"):
        _, out, _ = typed(f"inspect tests/golden/{case}.weights.npz")
        command = out.splitlines()[-1].removeprefix("next").strip().removeprefix("lstm ")
        status, _, err = typed(command.replace("inputs.npy", f"{tmp_path}/inputs.npy"))
        assert (status, err) == (0, "")


@pytest.mark.parametrize("arrays", [{"foo": np.ones((3, 4))}, {"weight_hh_l0": np.ones((12, 3))}])
def test_a_file_without_an_lstm_is_listed_and_no_mistake(
    typed: Typed, tmp_path: Path, arrays: dict[str, Any]
) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    status, out, err = typed(f"inspect {tmp_path}/w.npz")
    assert (status, err) == (0, "")
    assert next(iter(arrays)) in out
    assert "no LSTM recognised" in out


def test_mistakes(typed: Typed) -> None:
    assert typed("inspect nowhere.npz")[0] == 2
    status, _, err = typed("inspect samples/forget-bias/weights.npz --convention kears")
    assert status == 2
    assert 'Did you mean "keras"?' in err
    assert typed("inspect - -")[0] == 2


# ---- conventions


def test_the_table_as_json(typed: Typed) -> None:
    _, out, _ = typed("conventions -f json")
    table = {row["name"]: row for row in json.loads(out)["conventions"]}
    assert list(table) == list(CONVENTIONS)
    assert table["chainer"]["gates"] == "gifo"
    assert table["chainer"]["interleaved"] is True
    _, one, _ = typed("conventions chainer -f json")
    assert json.loads(one) == table["chainer"]


def test_an_unknown_convention(typed: Typed) -> None:
    status, out, err = typed("conventions pytroch")
    assert (status, out) == (2, "")
    assert 'Did you mean "pytorch"?' in err


def test_a_trace_is_called_one(lstm: Lstm, net: Path) -> None:
    lstm("run", net, "-o", "trace.npz")
    lstm("run", net, "--only", "h,f", "-o", "some.json")
    for file in ("trace.npz", "some.json"):
        out = lstm("inspect", file).out
        assert "trace     results of a run, and no weights: h, " in out
        assert "no LSTM" not in out
        assert out.endswith(f"next      lstm diff {file} OTHER\n")
    np.savez("other.npz", h=np.ones(3), embedding=np.ones((3, 4)))
    assert "no LSTM recognised" in lstm("inspect", "other.npz").out


def test_a_single_array_may_be_h_of_a_run(lstm: Lstm, net: Path) -> None:
    for file in ("trace.npy", "trace.txt"):
        lstm("run", net, "-o", file)
        out = lstm("inspect", file).out
        assert "no weights: it may be h of a run" in out
        assert out.endswith(f"next      lstm diff {file} OTHER\n")
    for name, shape in (("flat", (21,)), ("my_weights", (3, 4))):
        np.save(f"{name}.npy", np.ones(shape))
        assert "it may be h" not in lstm("inspect", f"{name}.npy").out


def test_that_it_is_no_lstm_is_said_once(lstm: Lstm) -> None:
    np.savez("one.npz", foo=np.ones((7, 12)))
    out = lstm("inspect", "one.npz").out
    assert out.count("no LSTM") == 1
    assert "no lstm   no LSTM recognised in the name foo." in out
    assert "because" not in out
