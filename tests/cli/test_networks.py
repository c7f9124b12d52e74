"""Frameworks' files through the command: several cells, their members, states and formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import networks
from tests.cli.conftest import Lstm
from tests.core.explain.reference import Net, outputs
from tests.recorded import GOLDEN, read

TORCH = GOLDEN / "torch" / "two_layers_bidirectional"


def words(*more: str) -> tuple[str, ...]:
    return (
        "run", f"{TORCH}.weights.npz", "x.npz", "--layout", "batch",
        "--initial-state", "state.npz", *more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "option"),
    [
        ("keras/relu", ("--activation", "relu")),
        ("keras/hard_sigmoid", ("--recurrent-activation", "hard_sigmoid_1_6")),
        ("keras/go_backwards", ("--go-backwards",)),
        ("onnxruntime/clip", ("--gate-clip", "0.5")),
        ("tensorflow1/forget_bias_2_5", ("--forget-bias", "2.5")),
        (
            "tflite/peepholes_clips_projection",
            ("--cell-clip", "0.5", "--projection-clip", "0.3"),
        ),
    ],
)
def test_options_reach_the_cell(lstm: Lstm, case: str, option: tuple[str, ...]) -> None:
    about, golden = read(case)
    given: dict[str, Any] = {k: a for k, a in golden.items() if k.startswith("in")}
    np.savez("x.npz", **given)
    np.savez("theirs.npz", h=golden["h"])
    layout = about["layout"]
    weights = GOLDEN / f"{case}.weights.npz"
    done = lstm("run", weights, "x.npz", *option, "--layout", layout, "-o", "out.npz")
    assert done.status == 0, done.err
    assert lstm("diff", "out.npz", "theirs.npz").status == 0
    lstm("run", weights, "x.npz", "--layout", layout, "-o", "plain.npz")
    assert lstm("diff", "-q", "plain.npz", "theirs.npz").status == 1


@pytest.mark.parametrize("case", ["torch/two_layers", "tensorflow1/lstm_cell"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.sampled(3)
def test_a_file_written_in_blocks_is_the_full_run(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, case: str, suffix: str
) -> None:
    """More steps than a block, rows in several blocks: still the same numbers, bit for bit."""
    for module in ("stream", "save"):
        monkeypatch.setattr(f"lstmcli.api.{module}.BLOCK", 16)
    x = np.random.default_rng(0).normal(size=(3, 50, 5)).astype(np.float32)
    np.save("x.npy", x)
    weights = GOLDEN / f"{case}.weights.npz"
    assert (
        lstm("run", weights, "x.npy", "--layout", "batch", "-o", f"o.{suffix}").status
        == 0
    )
    lstm(
        "run",
        weights,
        "x.npy",
        "--layout",
        "batch",
        "-o",
        "whole.npz",
        "--save-state",
        "s.npz",
    )
    same = lstm("diff", "whole.npz", f"o.{suffix}", "--atol", 0, "--rtol", 0)
    assert same.status == 0, same.out
    done = lstm(
        "run",
        weights,
        "x.npy",
        "--layout",
        "batch",
        "-f",
        suffix,
        "--save-state",
        "t.npz",
    )
    assert done.out == Path(f"o.{suffix}").read_text()
    np.testing.assert_array_equal(np.load("s.npz")["c"], np.load("t.npz")["c"])


def plain_lstm(x: Any, fused: Any, bias: Any, projection: Any) -> Any:
    """The h (T, P) of TensorFlow's LSTMCell with a projection."""
    return outputs(Net(fused, bias, projection=projection), x[None], {})["h"][0]


@pytest.fixture
def elmo(tmp_path: Path) -> dict[str, Any]:
    """The arrays of ``bilm.npz``, under the names of ELMo's HDF5; and ``x.npy`` (T, P)."""
    rng = np.random.default_rng(8)
    width, units = 4, 10
    shapes = {"W_0": (2 * width, 4 * units), "B": (4 * units,), "W_P_0": (units, width)}
    arrays = {
        f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/{name}": rng.normal(size=shape)
        for direction in (0, 1) for layer in (0, 1) for name, shape in shapes.items()
    }  # fmt: skip
    np.savez(tmp_path / "bilm.npz", **arrays)  # type: ignore[arg-type]
    np.save(tmp_path / "x.npy", rng.normal(size=(5, width)))
    return arrays


@pytest.mark.parametrize("layer", [0, 1])
def test_one_layer_of_elmo_runs_in_its_directions(
    lstm: Lstm, elmo: dict[str, Any], layer: int
) -> None:
    done = lstm(
        "run", "bilm.npz", "x.npy", "--layer", layer, "--only", "h", "-f", "json"
    )
    x = np.load("x.npy")
    forward, backward = (
        [
            elmo[f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/{k}"]
            for k in ("W_0", "B", "W_P_0")
        ]
        for d in (0, 1)
    )
    both = [plain_lstm(x, *forward), plain_lstm(x[::-1], *backward)[::-1]]
    h = np.array(json.loads(done.out)["h"])
    np.testing.assert_allclose(h, np.concatenate(both, axis=1), rtol=1e-10)
    for direction in (0, 1):
        np.savez(
            "one.npz",
            **{k: a for k, a in elmo.items() if k.startswith(f"RNN_{direction}")},
        )
        words = (
            "run",
            "one.npz",
            "x.npy",
            "--layer",
            layer,
            "--only",
            "h",
            "-f",
            "json",
        )
        h = np.array(json.loads(lstm(*words).out)["h"])
        np.testing.assert_allclose(h, both[direction], rtol=1e-10)

    names = zip(("kernel", "bias", "projection"), ("W_0", "B", "W_P_0"), strict=True)
    before = f"bilm.npz:RNN_0/RNN/MultiRNNCell/Cell{layer}/LSTMCell/"
    by_hand = [f"{name}={before}{stored}" for name, stored in names]
    done = lstm("run", *by_hand, "x.npy", "--only", "h", "-f", "json")
    np.testing.assert_allclose(json.loads(done.out)["h"], both[0], rtol=1e-10)


def test_the_stacks_of_elmo_end_in_a_message(lstm: Lstm, elmo: dict[str, Any]) -> None:
    for options in ((), ("--layer", "0,1"), ("--layer", "RNN_0"), ("--layer", "2")):
        done = lstm("run", "bilm.npz", "x.npy", *options)
        assert (done.status, done.out) == (2, "")
        assert "skip connection" in done.err
        assert done.err.splitlines()[1:] == ["  --layer 0", "  --layer 1"]
        for direction in ("RNN_0", "RNN_1"):
            one = {
                name: array
                for name, array in elmo.items()
                if name.startswith(direction)
            }
            np.savez("one.npz", **one)
            alone = lstm("run", "one.npz", "x.npy", *options)
            lines = done.err.replace("bilm.npz", "one.npz").replace(
                ", in both directions", ""
            )
            assert alone == (2, "", lines)
    assert lstm("inspect", "one.npz").out.endswith(
        "lstm run one.npz INPUTS --layer 0\n"
    )
    assert "1 layer · 1 direction" in " ".join(
        lstm("inspect", "one.npz", "--layer", "1").out.split()
    )
    listed = json.loads(lstm("inspect", "bilm.npz", "-f", "json").out)
    assert [one["layer"] for one in listed["lstms"]] == ["RNN_0", "RNN_1"]
    screen = lstm("inspect", "bilm.npz").out
    assert " ".join(screen.split()).count("2 layers · 1 direction") == 2
    next_line = screen.splitlines()[-1].split()[1:]
    assert next_line == ["lstm", "run", "bilm.npz", "INPUTS", "--layer", "0"]
    single = json.loads(lstm("inspect", "bilm.npz", "--layer", "1", "-f", "json").out)
    assert len(single["lstms"]) == 1


def test_a_fused_kernel_needs_more_rows_only_without_a_projection(lstm: Lstm) -> None:
    np.savez("w.npz", kernel=np.ones((5, 24)), bias=np.ones(24))
    np.save("x.npy", np.ones((3, 2)))
    assert "6 units and no projection" in lstm("run", "w.npz", "x.npy").err
    np.savez(
        "w.npz", kernel=np.ones((5, 24)), bias=np.ones(24), projection=np.ones((6, 3))
    )
    assert lstm("run", "w.npz", "x.npy").status == 0


@pytest.mark.parametrize(
    ("kind", "first"),
    [({"layers": 2}, "layer1  the last layer"), ({"directions": 2}, "output\n")],
)
def test_a_layer_that_looks_like_the_output_at_the_steps_shown_is_not_it(
    lstm: Lstm, kind: dict[str, Any], first: str
) -> None:
    """Every h is 0 past the lengths."""
    np.savez("w.npz", **networks.pytorch(3, 2, **kind))
    np.save("x.npy", np.ones((2, 9, 3)))
    how = "--layout", "batch", "--lengths", "2,3", "--set", "merge=ave"
    done = lstm("run", "w.npz", "x.npy", *how, "--steps", "5:")
    assert done.status == 0, done.err
    assert done.out.partition("\n\n")[2].startswith(first)
