"""Frameworks' files through the command: several cells, their members, states and formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.load import load
from tests.cli.conftest import Lstm
from tests.paths import TOP

GOLDEN = TOP / "tests" / "golden"
TORCH = GOLDEN / "torch" / "two_layers_bidirectional"


@pytest.fixture
def torch_case(tmp_path: Path) -> dict[str, Any]:
    """A recorded case of PyTorch: two layers, both directions, with states."""
    with np.load(f"{TORCH}.npz") as members:
        case = dict(members)
    np.savez(tmp_path / "x.npz", inputs=case["inputs"])
    np.savez(tmp_path / "state.npz", h=case["initial_state.h"], c=case["initial_state.c"])
    return case


def words(*more: str) -> tuple[str, ...]:
    return (
        "run", f"{TORCH}.weights.npz", "x.npz", "--layout", "batch",
        "--initial-state", "state.npz", *more,
    )  # fmt: skip


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_the_file_contains_the_output_each_cell_and_the_states(
    lstm: Lstm, torch_case: dict[str, Any], suffix: str
) -> None:
    np.savez("theirs.npz", **{k: torch_case[k] for k in ("h", "final_h", "final_c")})
    done = lstm(*words("-o", f"out.{suffix}"))
    assert (done.status, done.out, done.err) == (0, "", "")
    assert lstm("diff", f"out.{suffix}", "theirs.npz").status == 0
    lstm(*words("-o", "out.npz"))
    cells = [f"layer{n}{r}" for n in (0, 1) for r in ("", "_reverse")]
    with np.load("out.npz") as out:
        assert set(out) == {
            *(f"{cell}.{k}" for cell in cells for k in "hcifgo"), "h", "final_h", "final_c", "meta",
        }  # fmt: skip
        both = np.concatenate([out["layer1.h"], out["layer1_reverse.h"]], axis=2)
        np.testing.assert_array_equal(out["h"], both)


def test_a_backward_cell_can_be_set_to_run_forward(lstm: Lstm, torch_case: dict[str, Any]) -> None:
    """It then is a lone cell over the inputs as they lie, and its outputs stay where they are."""
    with np.load(f"{TORCH}.weights.npz") as held:
        first = {k: held[k] for k in held if "l0_reverse" in k}
    np.savez("alone.npz", **{k.replace("_reverse", ""): a for k, a in first.items()})
    np.savez("own.npz", **{k: torch_case[f"initial_state.{k}"][1] for k in "hc"})
    told = ("--set", "layer0_reverse.reverse=false")
    assert lstm(*words(*told, "-o", "both.npz")).status == 0
    given = ("--layout", "batch", "--initial-state", "own.npz", "-o", "one.npz")
    assert lstm("run", "alone.npz", "x.npz", *given).status == 0
    with np.load("both.npz") as both, np.load("one.npz") as one:
        for name in "hcifgo":
            np.testing.assert_array_equal(both[f"layer0_reverse.{name}"], one[name])
        np.testing.assert_array_equal(both["final_h"][1], one["final_h"])
        assert json.loads(str(both["meta"]))["layer0_reverse.reverse"] is False


def test_members_of_one_cell_can_be_asked_for(lstm: Lstm, torch_case: dict[str, Any]) -> None:
    lstm(*words("-o", "few.npz", "--only", "layer0_reverse.f,final_c"))
    with np.load("few.npz") as out:
        assert set(out) == {"layer0_reverse.f", "final_c", "meta"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_tables_of_steps_contain_each_cell(
    lstm: Lstm, torch_case: dict[str, Any], suffix: str
) -> None:
    lstm(*words("-o", "out.npz"))
    assert lstm(*words("-o", f"out.{suffix}")).status == 0
    assert lstm("diff", "out.npz", f"out.{suffix}", "--atol", 0, "--rtol", 0).status == 0


def test_onnx_keeps_its_axis_of_directions(lstm: Lstm) -> None:
    with np.load(GOLDEN / "onnxruntime" / "bidirectional.npz") as case:
        np.savez("x.npz", **{k: case[k] for k in case if k == "inputs" or k.startswith("initial")})
        expected = case["h"]
    weights = GOLDEN / "onnxruntime" / "bidirectional.weights.npz"
    done = lstm("run", weights, "x.npz", "-o", "out.npz")
    assert done.status == 0, done.err
    ours = np.load("out.npz")["h"]
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_stacked_layers_stream_line_by_line(lstm: Lstm) -> None:
    weights = GOLDEN / "torch" / "two_layers.weights.npz"
    x = np.load(GOLDEN / "torch" / "two_layers.npz")["inputs"][0]
    lines = "".join(json.dumps(row) + "\n" for row in x.tolist()).encode()
    done = lstm("run", weights, "-", "-f", "jsonl", "--save-state", "s.npz", stdin=lines)
    steps = [json.loads(line) for line in done.out.splitlines()]
    whole = run(load(str(weights)), x)
    for name in ("h", "layer0.f", "layer1.c"):
        streamed = np.array([step[name] for step in steps], np.float32)
        np.testing.assert_array_equal(streamed, whole.arrays[name])
    np.testing.assert_array_equal(np.load("s.npz")["c"].reshape(2, 3), whole.final_c)


def test_safetensors_of_pytorch_run(lstm: Lstm, torch_case: dict[str, Any]) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="needs lstmcli[formats]")
    with np.load(f"{TORCH}.weights.npz") as tensors:
        library.save_file({k: tensors[k] for k in tensors}, "w.safetensors")
    wanted = lstm(*words("-f", "json")).out
    assert lstm("run", "w.safetensors", *words("-f", "json")[2:]).out == wanted


@pytest.mark.parametrize(
    ("case", "option"),
    [
        ("keras/relu", ("--activation", "relu")),
        ("keras/hard_sigmoid", ("--recurrent-activation", "hard_sigmoid_1_6")),
        ("keras/go_backwards", ("--go-backwards",)),
        ("onnxruntime/clip", ("--gate-clip", "0.5")),
        ("tensorflow1/forget_bias_2_5", ("--forget-bias", "2.5")),
        ("tflite/peepholes_clips_projection", ("--cell-clip", "0.5", "--projection-clip", "0.3")),
    ],
)
def test_options_reach_the_cell(lstm: Lstm, case: str, option: tuple[str, ...]) -> None:
    with np.load(GOLDEN / f"{case}.npz") as golden:
        keep = [k for k in golden if k == "inputs" or k.startswith("initial")]
        np.savez("x.npz", **{k: golden[k] for k in keep})
        np.savez("theirs.npz", h=golden["h"])
        layout = json.loads(str(golden["case"]))["layout"]
    weights = GOLDEN / f"{case}.weights.npz"
    done = lstm("run", weights, "x.npz", *option, "--layout", layout, "-o", "out.npz")
    assert done.status == 0, done.err
    assert lstm("diff", "out.npz", "theirs.npz").status == 0
    lstm("run", weights, "x.npz", "--layout", layout, "-o", "plain.npz")
    assert lstm("diff", "-q", "plain.npz", "theirs.npz").status == 1


@pytest.mark.parametrize("case", ["torch/two_layers", "tensorflow1/lstm_cell"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_file_written_in_blocks_is_the_full_run(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, case: str, suffix: str
) -> None:
    """More steps than a block, rows in several blocks: still the same numbers, bit for bit."""
    for module in ("run", "save"):
        monkeypatch.setattr(f"lstmcli.api.{module}.BLOCK", 16)
    x = np.random.default_rng(0).normal(size=(3, 50, 5)).astype(np.float32)
    np.save("x.npy", x)
    weights = GOLDEN / f"{case}.weights.npz"
    assert lstm("run", weights, "x.npy", "--layout", "batch", "-o", f"o.{suffix}").status == 0
    lstm("run", weights, "x.npy", "--layout", "batch", "-o", "whole.npz", "--save-state", "s.npz")
    same = lstm("diff", "whole.npz", f"o.{suffix}", "--atol", 0, "--rtol", 0)
    assert same.status == 0, same.out
    done = lstm("run", weights, "x.npy", "--layout", "batch", "-f", suffix, "--save-state", "t.npz")
    assert done.out == Path(f"o.{suffix}").read_text()
    np.testing.assert_array_equal(np.load("s.npz")["c"], np.load("t.npz")["c"])


# ---- a model of Keras: layers by their names, each with its settings

KERAS = GOLDEN / "keras_files" / "keras-3.15.1"


def test_a_stack_of_keras_runs_as_its_config_says(lstm: Lstm) -> None:
    pytest.importorskip("h5py", reason="needs lstmcli[h5]")
    with np.load(KERAS / "stacked.keras.npz") as members:
        np.savez("x.npz", inputs=members["inputs"])
        np.savez("theirs.npz", h=members["h"])
    for layers in ((), ("--layer", "0,1")):
        words = ("run", KERAS / "stacked.keras", "x.npz", *layers)
        assert lstm(*words, "-o", "ours.npz", "--only", "h,final_h").status == 0
        assert lstm("diff", "ours.npz", "theirs.npz").status == 0


def test_only_the_final_state_can_be_asked_for(lstm: Lstm, torch_case: dict[str, Any]) -> None:
    done = lstm(*words("-f", "json", "--only", "final_c"))
    assert (done.status, done.err) == (0, "")
    np.testing.assert_allclose(json.loads(done.out)["final_c"], torch_case["final_c"], rtol=1e-5)


def test_h_of_one_cell_is_a_separate_member(lstm: Lstm) -> None:
    """A stack of two: h alone is the model's output, layer0.h that of the first cell."""
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}_l{layer}": rng.normal(0, 0.4, (12, 3))
        for layer in (0, 1)
        for name in ("weight_ih", "weight_hh")
    }
    np.savez("net.npz", **arrays)  # type: ignore[arg-type]
    np.savez("first.npz", **{k: a for k, a in arrays.items() if k.endswith("0")})  # type: ignore[arg-type]
    np.save("x.npy", rng.normal(size=(5, 3)))
    lstm("run", "first.npz", "x.npy", "-o", "wanted.npz")
    with np.load("wanted.npz") as file:
        wanted = file["h"]
    assert lstm("run", "net.npz", "x.npy", "--only", "layer0.h", "-o", "out.npz").status == 0
    with np.load("out.npz") as file:
        assert {*file} == {"layer0.h", "meta"}
        np.testing.assert_array_equal(file["layer0.h"], wanted)
    header, *lines = lstm("run", "net.npz", "x.npy", "--only", "layer0.h", "-f", "csv").out.split()
    assert header == "step,layer0.h[0],layer0.h[1],layer0.h[2]"
    got = [[float(number) for number in line.split(",")[1:]] for line in lines]
    np.testing.assert_array_equal(got, wanted)
