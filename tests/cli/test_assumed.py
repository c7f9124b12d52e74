"""What was assumed is said, and (1, T, I) is one sequence wherever its layout is assumed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.views.text import shorten_assumption
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
T, I, H = 7, 4, 3


@pytest.fixture
def pytorch(tmp_path: Path) -> Path:
    """Weights that say no layout, under PyTorch's names, whose default is time first."""
    rng = np.random.default_rng(5)
    path = tmp_path / "pytorch.npz"
    tensors = {
        "weight_ih_l0": rng.normal(size=(4 * H, I)),
        "weight_hh_l0": rng.normal(size=(4 * H, H)),
        "bias_ih_l0": rng.normal(size=4 * H),
        "bias_hh_l0": np.zeros(4 * H),
    }
    np.savez(path, **tensors)  # type: ignore[arg-type]
    return path


def h_of(done: Any) -> np.ndarray[Any, Any]:
    assert done.status == 0, done.err
    return np.array(json.loads(done.out)["h"])


# ---- meta


def test_meta_says_what_was_assumed(lstm: Lstm, tmp_path: Path) -> None:
    meta = json.loads(lstm("run", WEIGHTS, INPUTS, "-f", "json").out)["meta"]
    convention, forget_bias, layout = meta["assumed"]
    assert convention.startswith("convention tf1")
    assert forget_bias.startswith("forget bias +1.0")
    assert layout == "layout batch ((1, 7, 4) is one sequence; --layout time)"
    lstm("run", WEIGHTS, INPUTS, "--units", "0", "-o", "part.npz")
    part = json.loads(str(np.load("part.npz")["meta"]))
    assert part["assumed"] == meta["assumed"]
    trace = lstmcli.run(lstmcli.load(str(WEIGHTS)), np.load(INPUTS))
    assert trace.settings["assumed"] == meta["assumed"]
    single = lstmcli.run(
        lstmcli.load(str(WEIGHTS), convention="tf1", forget_bias=1.0), np.load(INPUTS)[0]
    )
    assert "assumed" not in single.settings


@pytest.mark.parametrize("batch", [1, 3])
def test_the_header_lists_what_meta_says(lstm: Lstm, pytorch: Path, batch: int) -> None:
    np.save("x.npy", np.repeat(np.load(INPUTS), batch, axis=0))
    for weights in (WEIGHTS, pytorch):  # batch first and time first, as the conventions are
        meta = json.loads(lstm("run", weights, "x.npy", "-f", "json").out)["meta"]
        header = lstm("run", weights, "x.npy").out.partition("\n\n")[0]
        _, _, listed = header.partition("\nassumed")
        told = [line.strip() for line in listed.splitlines()]
        assert sorted(told) == sorted([*meta["assumed"], "zero initial state"])


# ---- (1, T, I)


def test_one_sequence_under_an_assumed_layout(lstm: Lstm, pytorch: Path) -> None:
    x = np.load(INPUTS)
    model = lstmcli.load(str(pytorch))
    wanted = lstmcli.run(model, x[0]).h
    np.testing.assert_array_equal(h_of(lstm("run", pytorch, INPUTS, "-f", "json"))[0], wanted)
    np.testing.assert_array_equal(lstmcli.run(model, x).h[0], wanted)
    table = lstm("run", pytorch, INPUTS).out
    assert "batch 1 x 7 steps x 4 inputs" in table
    assert "layout batch ((1, 7, 4) is one sequence; --layout time)" in table
    time = h_of(lstm("run", pytorch, INPUTS, "--layout", "time", "-f", "json"))
    assert np.abs(time[0, 1:] - wanted[1:]).max() > 0.01
    np.save("many.npy", np.concatenate([x, x]))  # (2, T, I) stays time first
    assert "batch 7 x 2 steps" in lstm("run", pytorch, "many.npy").out
    np.save("step.npy", x[:, :1])
    assert "layout time" in lstm("run", pytorch, "step.npy").out


def test_every_command_takes_it_for_one_sequence(lstm: Lstm, pytorch: Path) -> None:
    lstm("run", pytorch, INPUTS, "--only", "h", "-o", "h.npz")
    h = np.load("h.npz")["h"]
    np.save("h.npy", h)
    derived = json.loads(
        lstm("derive", pytorch, INPUTS, "--steps", 5, "--units", 1, "-f", "json").out
    )
    assert derived["lines"][-1]["value"] == h[0, 5, 1]
    explained = lstm("explain", pytorch, INPUTS, "h.npy", "-f", "json")
    assert explained.status == 0
    assert json.loads(explained.out)["changes"] == []
    drawn = lstm("plot", pytorch, INPUTS, "--only", "h").out
    assert drawn.splitlines()[-3:] == lstm("plot", "h.npz", "--only", "h").out.splitlines()[-3:]
    found = lstmcli.derive(lstmcli.load(str(pytorch)), np.load(INPUTS), 5, 1)
    assert found.line("h").value == h[0, 5, 1]
    reading = lstmcli.explain(str(pytorch), np.load(INPUTS), h)
    assert reading.found
    assert reading.changes == ()


def test_a_layout_that_a_file_gives_is_used(lstm: Lstm, pytorch: Path) -> None:
    x = np.load(INPUTS)
    member: dict[str, Any] = {**np.load(pytorch), "layout": "time"}
    np.savez("member.npz", **member)
    wanted = lstmcli.run(lstmcli.load(str(pytorch)), x, layout="time").h
    np.testing.assert_array_equal(h_of(lstm("run", "member.npz", INPUTS, "-f", "json")), wanted)
    np.testing.assert_array_equal(lstmcli.run(lstmcli.load("member.npz"), x).h, wanted)
    two = np.concatenate([x, x])
    lines = "".join(json.dumps({"x": step.tolist()}) + "\n" for step in two)
    Path("x.jsonl").write_text(lines)  # a line a step
    wanted = lstmcli.run(lstmcli.load(str(pytorch)), two, layout="time").h
    np.testing.assert_array_equal(h_of(lstm("run", pytorch, "x.jsonl", "-f", "json")), wanted)
    for weights in (pytorch, WEIGHTS):
        file = lstm("run", weights, "x.jsonl", "-f", "json").out
        assert lstm("run", weights, "-", "-f", "json", stdin=lines.encode()).out == file


@pytest.mark.parametrize("given", ["state", "lengths"])
@pytest.mark.parametrize("source", ["pytorch", "tf1"])
def test_what_has_as_many_items_as_the_second_axis_says_time_first(
    lstm: Lstm, pytorch: Path, given: str, source: str
) -> None:
    weights = pytorch if source == "pytorch" else WEIGHTS
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=(T, H)) for name in "hc"}
    np.savez("state.npz", **state)  # type: ignore[arg-type]
    x = np.load(INPUTS)
    model = lstmcli.load(str(weights))
    told: dict[str, Any] = (
        {"initial_state": state} if given == "state" else {"lengths": [1, 0] + [1] * (T - 2)}
    )
    words = ["--initial-state", "state.npz"] if given == "state" else ["--lengths", "1,0,1,1,1,1,1"]
    wanted = lstmcli.run(model, x, layout="time", **told).h
    np.testing.assert_array_equal(lstmcli.run(model, x, **told).h, wanted)
    done = lstm("run", weights, INPUTS, *words, "-f", "json")
    np.testing.assert_array_equal(h_of(done), wanted)
    assert "layout time (--layout)" in done.err
    assert lstm("run", weights, INPUTS, *words).status == 0
    single = lstm("run", weights, INPUTS, "--lengths", "3", "-f", "json")
    assert "layout batch (--layout)" in single.err


# ---- what convert prints next


TARGETS = [
    ("out.npz", "pytorch"), ("out.npz", "keras"), ("out.json", "pytorch"),
    ("out.safetensors", "keras"), ("out.onnx", "onnx"),
]  # fmt: skip


@pytest.mark.parametrize("layout", [None, "batch", "time"])
@pytest.mark.parametrize(("target", "to"), TARGETS)
@pytest.mark.parametrize("source", ["pytorch", "tf1"])
@pytest.mark.sampled(5)
def test_the_command_that_convert_prints_gives_the_same_numbers(
    lstm: Lstm, pytorch: Path, source: str, target: str, to: str, layout: str | None
) -> None:
    pytest.importorskip("safetensors" if target.endswith("safetensors") else "numpy")
    weights = pytorch if source == "pytorch" else WEIGHTS
    words = ["--layout", layout] if layout else []
    done = lstm("convert", weights, target, "--to", to, *words)
    assert done.status == 0, done.err
    text = " ".join(done.out.split())
    assert "equal, bit for bit" in text
    *_, last = done.out.splitlines()
    assert last.startswith("next")
    for batch in (1, 2):
        np.save("inputs.npy", np.concatenate([np.load(INPUTS)] * batch))
        command = shlex.split(last.removeprefix("next"))
        if batch == 1 and "leave out --layout time" in text:
            command = command[: command.index("--layout")]
        if batch == 1 and "add --layout batch" in text:
            command += ["--layout", "batch"]
        wanted = h_of(lstm("run", weights, "inputs.npy", *words, "-f", "json"))
        h = h_of(lstm(*command[1:], "-f", "json"))
        np.testing.assert_array_equal(h.reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (
            "lengths 7,3,5,1 (sequence_lens of the file; or --lengths)",
            "lengths 7,3,5,1 (--lengths)",
        ),
        (
            "bw backward (from the tensor names; --set reverse=false)",
            "bw backward (--set reverse=false)",
        ),
        ("no bias (none in the file)", "no bias (none in the file)"),
    ],
)
def test_the_line_keeps_the_value_and_what_to_type(text: str, short: str) -> None:
    assert shorten_assumption(text) == short


def write_keras(path: Path, kind: str, **config: Any) -> None:
    """A model of TensorFlow.js, with the config of Keras, of one layer of a class, and inputs."""
    rng = np.random.default_rng(4)
    shapes = {"kernel": (I, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
    arrays = [rng.normal(size=shape).astype("<f4") for shape in shapes.values()]
    (path.parent / "weights.bin").write_bytes(b"".join(a.tobytes() for a in arrays))
    entries = [
        {"name": f"zeta/{name}", "shape": shape, "dtype": "float32"}
        for name, shape in shapes.items()
    ]
    config = {"name": "zeta", "units": H, "recurrent_activation": "sigmoid", **config}
    layers = [{"class_name": kind, "config": config}]
    model = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    description = {
        "format": "layers-model",
        "modelTopology": {"keras_version": "2.19.0", "model_config": model},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": entries}],
    }
    path.write_text(json.dumps(description))
    np.save(path.parent / "x.npy", rng.normal(size=(T, I)).astype("f4"))


@pytest.mark.parametrize("kind", ["GRU", "mine>MyConvLSTM1D", "package.module.AttentionGRU"])
def test_another_layer_is_refused_whatever_its_class_is_called(
    lstm: Lstm, tmp_path: Path, kind: str
) -> None:
    write_keras(tmp_path / "model.json", kind, go_backwards=False)
    done = lstm("run", "model.json", "x.npy")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert re.split("[>.]", kind)[-1] in done.err


@pytest.mark.slow
def test_a_class_of_the_author_is_named_in_every_output(lstm: Lstm, tmp_path: Path) -> None:
    for kind in ("LSTM", "mine>ReversedLSTM"):
        write_keras(tmp_path / "model.json", kind, go_backwards=True)
        run = ("run", "model.json", "x.npy")
        assert lstm(*run, "-o", f"{kind[:4]}.npz").status == 0
        documents = [
            run,
            ("inspect", "model.json"),
            ("derive", "model.json", "x.npy", "--steps", "1", "--units", "0"),
            ("explain", "model.json", "x.npy", f"{kind[:4]}.npz"),
            ("explain", "model.json", "x.npy", WEIGHTS),
            ("convert", "model.json", f"{kind[:4]}.json", "--to", "keras"),
        ]
        expected = kind != "LSTM"
        text = "class ReversedLSTM is not one of Keras' own"
        for words in documents:
            if words[-1] is WEIGHTS:
                np.save("other.npy", np.random.default_rng(7).normal(size=(T, H)))
                words = (*words[:-1], "other.npy")
            shown, given = lstm(*words), lstm(*words, "-f", "json")
            assert (text in " ".join(shown.out.split())) == expected, words
            assert text not in shown.err
            assert (text in given.err) == expected, words
            assert any(text in line for line in assumed_in(json.loads(given.out))) == expected
            assert "assumed" not in lstm(*words, "-f", "json", "-q").err
        for words in ((*run, "-o", "h.npz"), (*run, "-f", "jsonl"), (*run, "-f", "csv")):
            assert (text in lstm(*words).err) == expected
        with np.load("h.npz") as trace:
            assumed = json.loads(str(trace["meta"]))["assumed"]
        assert any(text in line for line in assumed) == expected
        drawn = lstm("plot", "model.json", "x.npy")
        assert (text in " ".join(drawn.out.split())) == expected
    with np.load("LSTM.npz") as own, np.load("mine.npz") as other:
        np.testing.assert_array_equal(own["h"], other["h"])


def assumed_in(document: dict[str, Any]) -> list[str]:
    """The assumptions in a document: its own, of its meta, or of the LSTMs that it lists."""
    of_lstms = [text for one in document.get("lstms", ()) for text in one["assumed"]]
    return [*document.get("assumed", document.get("meta", {}).get("assumed", ())), *of_lstms]


def test_a_check_names_the_class_of_the_author(lstm: Lstm, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs an engine")
    write_keras(tmp_path / "model.json", "ReversedLSTM")
    words = ("check", "model.json", "x.npy", "--engine", "onnxruntime")
    assert "class ReversedLSTM is not" in lstm(*words).out
    done = lstm(*words, "-f", "json")
    assert "class ReversedLSTM is not" in done.err
    assert any("ReversedLSTM" in text for text in json.loads(done.out)["assumed"])


def test_a_layer_that_runs_backward_says_that_reverse_changes_nothing(
    lstm: Lstm, tmp_path: Path
) -> None:
    write_keras(tmp_path / "model.json", "LSTM", go_backwards=True)
    plain = lstm("run", "model.json", "x.npy", "-f", "json")
    turned = lstm("run", "model.json", "x.npy", "-f", "json", "--reverse")
    np.testing.assert_array_equal(h_of(turned), h_of(plain))
    assert "reverse=true changes nothing" in turned.err
    assert "changes nothing" not in plain.err
    proposed = lstm("run", "model.json", "x.npy", "-f", "json", "--reverse",
                    "--set", "go_backwards=false")  # fmt: skip
    np.testing.assert_array_equal(h_of(proposed), h_of(plain)[::-1])
    assert "changes nothing" not in proposed.err
    write_keras(tmp_path / "model.json", "LSTM")
    assert "changes nothing" not in lstm("run", "model.json", "x.npy", "--reverse").err


@pytest.mark.parametrize(("prefix", "options"), [("", ("--reverse",)), ("backward_lstm/", ())])
def test_no_screen_calls_one_cell_both_reverse_and_forward(
    lstm: Lstm, tmp_path: Path, prefix: str, options: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(3)
    shapes = {"kernel": (I, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
    tensors = {prefix + name: rng.normal(size=shape) for name, shape in shapes.items()}
    np.savez(tmp_path / "w.npz", **tensors)  # type: ignore[arg-type]
    np.save(tmp_path / "x.npy", rng.normal(size=(T, I)))
    for words in (("run", "w.npz", "x.npy"), ("inspect", "w.npz"), ("plot", "w.npz", "x.npy")):
        screen = lstm(*words, *options).out
        assert "reverse" in screen
        assert "forward" not in screen.replace("layout", "")
    if prefix:
        assert "reverse=true changes nothing" in lstm("run", "w.npz", "x.npy", "--reverse").err
