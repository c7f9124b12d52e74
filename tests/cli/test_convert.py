"""``lstm convert`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.convert import COMMON
from lstmcli.core.model.conventions import CONVENTIONS
from tests.cli.conftest import SAMPLE, Lstm
from tests.paths import TOP

WEIGHTS = SAMPLE / "weights.npz"
JSON = ("-f", "json")
GOLDEN = TOP / "tests" / "golden"


def test_the_recipe_of_a_conversion(lstm: Lstm) -> None:
    status, out, err = lstm("convert", WEIGHTS, "net.npz", "--to", "keras")
    assert (status, err) == (0, "")
    lines = " ".join(out.split())
    assert "to net.npz keras gates i f g o float64" in lines
    assert "tensors kernel (4, 12) recurrent_kernel (3, 12) bias (12,)" in lines
    assert "i g f o -> i f g o: permuted" in lines
    assert "kernel (I + H, 4H) -> kernel (I, 4H) and recurrent_kernel (H, 4H): cut" in lines
    assert "+1 into the bias of f; tf1 adds +1 at run time" in lines
    assert "h and c are equal, bit for bit" in lines
    assert out.splitlines()[-1] == "next      lstm run net.npz inputs.npy"


def test_weights_that_dtype_rounds_are_said_to_be_rounded(lstm: Lstm) -> None:
    exact = np.full((4, 12), 0.5, np.float32)
    np.savez("w.npz", kernel=exact, recurrent_kernel=exact[:3], bias=exact[0] + np.float32(2**-13))
    for dtype, rounded in (("float16", 2**-13), ("bfloat16", 2**-13), ("float64", None)):
        done = lstm("convert", "w.npz", "net.npz", "--to", "pytorch", "--dtype", dtype, *JSON)
        found = json.loads(done.out)["rounding"]
        assert found == (rounded and {"dtype": "float32", "to": dtype, "max_abs": rounded})
    out = lstm("convert", "w.npz", "net.npz", "--to", "pytorch", "--dtype", "float16").out
    assert "rounded the weights, from float32 to float16: by 1.2e-04 at most" in " ".join(
        out.split()
    )


def test_the_recipe_says_how_the_kernels_of_the_source_are_stored(lstm: Lstm) -> None:
    """By their shapes: books store a kernel a gate as (I + H, H) or as (H, I + H)."""
    for shape, there, verb in (((8, 3), "(H + I, H)", "cut"), ((3, 8), "(H, H + I)", "transposed")):
        gates: dict[str, Any] = {f"W{gate}": np.full(shape, 0.1) for gate in "ifco"}
        np.savez("w.npz", **gates)
        done = lstm("convert", "w.npz", "net.npz", "--to", "keras", "--rows", "hx")
        line = " ".join(done.out.split())
        assert f"Wi, ... {there} -> kernel (I, 4H) and recurrent_kernel (H, 4H): cut" in line
        assert ("transposed" in line) == (verb == "transposed")
    np.savez("w.npz", W=np.full((12, 8), 0.1), b=np.zeros(12))  # of another way round than TF1's
    out = " ".join(lstm("convert", "w.npz", "net.npz", "--to", "tf1").out.split())
    assert "kernel (4H, I + H) -> kernel (I + H, 4H): transposed" in out


def test_a_state_in_the_file_of_weights_is_said_not_to_be_written(lstm: Lstm) -> None:
    weights: dict[str, Any] = {"W": np.full((8, 12), 0.1), "b": np.full(12, 0.2)}
    np.savez("w.npz", **weights, h0=np.full(3, 0.3), c0=np.full(3, 0.4))
    np.save("x.npy", np.ones((2, 5)))
    done = lstm("convert", "w.npz", "net.npz", "--to", "tf1")
    assert "the initial state h0 and c0 of w.npz is not written to net.npz" in done.err
    assert "--initial-state w.npz" in done.err
    lstm("run", "net.npz", "x.npy", "--initial-state", "w.npz", "-o", "ours.npz")
    lstm("run", "w.npz", "x.npy", "-o", "theirs.npz")
    np.testing.assert_array_equal(np.load("ours.npz")["h"], np.load("theirs.npz")["h"])


def test_the_next_command_gives_the_source_s_outputs(lstm: Lstm) -> None:
    lstm("convert", WEIGHTS, "net.npz", "--to", "chainer")
    inputs = SAMPLE / "inputs.npy"
    ours = lstm("run", "net.npz", inputs, "--layout", "batch", "-f", "json").out
    theirs = lstm("run", WEIGHTS, inputs, "-f", "json").out
    for name in ("h", "c", "f"):
        assert json.loads(ours)[name] == json.loads(theirs)[name]


def test_json_for_programs(lstm: Lstm) -> None:
    _, out, _ = lstm("convert", WEIGHTS, "net.json", "--to", "tf1", "--to-set", "forget_bias=0",
                     "-f", "json")  # fmt: skip
    told = json.loads(out)
    assert told["to"]["convention"] == "tf1"
    assert told["to"]["forget_bias"] == 0
    assert told["settings"] == {"forget_bias": 0.0}
    assert told["tensors"]["rnn/lstm_cell/kernel"] == [7, 12]
    assert {step["what"] for step in told["recipe"]} >= {"gates", "kernels", "bias"}
    assert told["proof"]["difference"] == 0


def test_standard_input_and_single_tensors(lstm: Lstm, tmp_path: Path) -> None:
    status, _, err = lstm("convert", "-", "a.npz", "--to", "mlx", stdin=WEIGHTS.read_bytes())
    assert (status, err) == (0, "")
    with np.load(WEIGHTS) as members:
        for name in ("kernel", "bias"):
            np.save(tmp_path / f"{name}.npy", members[name])
    lstm("convert", "kernel.npy", "bias.npy", "b.npz", "--to", "mlx")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["net.npz", "--to", "kears"], 'Did you mean "keras"?'),
        (["net.pt", "--to", "pytorch"], ".npz, .json, .safetensors, .onnx"),
        (["net.npz", "--to", "keras", "--to-set", "forget_bias"], "takes NAME=VALUE"),
        (["net.npz", "--to", "keras", "--to-set", "forget_bais=1"], 'Did you mean "forget_bias"?'),
        (["net.npz", "--to", "pytorch", "--cell-clip", "3"], "cannot store a cell clip of 3"),
        (["net.npz", "--to", "tf1", "--layer", "decoder"], "--layer decoder"),
        (["net.json", "--to", "rtneural", "--to-set", "gates=igfo"], "leave out --to-set"),
        (["--to", "keras"], "the file to write is missing"),
        (["nowhere/net.npz", "--to", "keras"], "there is no folder nowhere"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_and_nothing_is_written(
    lstm: Lstm, words: list[str], message: str, tmp_path: Path
) -> None:
    status, out, err = lstm("convert", WEIGHTS, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_without_to_the_choices_are_named(lstm: Lstm) -> None:
    status, _, err = lstm("convert", WEIGHTS, "net.npz")
    assert status == 2
    assert "--to names the convention it is to be in: keras, pytorch, " in err
    assert "lstm conventions" in err
    assert set(COMMON) <= set(CONVENTIONS)


def test_an_onnx_file_is_in_the_convention_onnx(lstm: Lstm) -> None:
    pytest.importorskip("onnx")
    status, out, _ = lstm("convert", WEIGHTS, "net.onnx", "--forget-bias", "1")
    assert status == 0
    assert "net.onnx   onnx   gates i o f g" in out
    said = " ".join(out.split())
    assert (
        "X is (T, B, 4), time first: transpose inputs (B, T, I), as the source takes them" in said
    )
    assert "initial_h and initial_c may be left out" in said
    assert out.splitlines()[-1] == "next      lstm run net.onnx inputs.npy --layout batch"
    assert lstm("run", "net.onnx", SAMPLE / "inputs.npy").status == 0


def test_a_source_with_time_first_has_nothing_to_transpose(lstm: Lstm) -> None:
    pytest.importorskip("onnx")
    source = GOLDEN / "torch" / "two_layers_bidirectional.weights.npz"
    _, out, _ = lstm("convert", source, "net.onnx", "--layout", "time")
    assert "time first" in out
    assert "transpose inputs" not in out


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("keras/plain", "then layer.set_weights([kernel, recurrent_kernel, bias])"),
        ("torch/two_layers_bidirectional",
         "build each layer, then layer.set_weights([kernel, recurrent_kernel, bias]); "
         "Bidirectional takes the forward three, then the backward three"),
    ],
)  # fmt: skip
def test_how_weights_go_into_keras(lstm: Lstm, case: str, said: str) -> None:
    status, out, _ = lstm("convert", GOLDEN / f"{case}.weights.npz", "net.npz", "--to", "keras")
    assert status == 0
    assert said in " ".join(out.split())


def test_several_layers_of_rtneural_are_run_as_the_next_command_says(
    lstm: Lstm, tmp_path: Path
) -> None:
    source = GOLDEN / "keras" / "stacked.weights.npz"
    status, out, err = lstm("convert", source, "net.json", "--to", "rtneural", "--layer", "0,1")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "next      lstm run net.json inputs.npy --layer 0,1"
    np.save(tmp_path / "x.npy", np.ones((3, 5)))
    assert lstm("run", "net.json", "x.npy", "--layer", "0,1").status == 0


def test_layers_that_do_not_fit_go_by_their_names(lstm: Lstm, tmp_path: Path) -> None:
    tensors = {
        f"{name}/{role}": np.ones(shape)
        for name, inputs, units in (("enc", 8, 3), ("dec", 3, 5))
        for role, shape in (
            ("kernel", (inputs, 4 * units)), ("recurrent_kernel", (units, 4 * units)),
        )
    }  # fmt: skip
    np.savez(tmp_path / "w.npz", **tensors)  # type: ignore[arg-type]
    status, _, err = lstm("convert", "w.npz", "net.npz", "--to", "keras", "--layer", "dec,enc")
    assert status == 2
    assert "enc takes 8 inputs, but dec gives 5." in err


def test_a_missing_library_is_named(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package, target, name in (
        ("safetensors.numpy", "net.safetensors", "pytorch-cell"), ("onnx", "net.onnx", "onnx"),
    ):  # fmt: skip
        monkeypatch.setitem(__import__("sys").modules, package, None)
        status, _, err = lstm("convert", WEIGHTS, target, "--to", name)
        assert status == 2
        assert f"pip install '{package.partition('.')[0]}>=" in err
    assert list(tmp_path.iterdir()) == []


def test_what_a_file_of_tensors_does_not_contain_is_reported(lstm: Lstm) -> None:
    pytest.importorskip("safetensors")
    status, out, err = lstm("convert", WEIGHTS, "net.safetensors", "--to", "tinygrad")
    assert status == 0
    assert "--convention tinygrad" in err
    command = out.splitlines()[-1].removeprefix("next").split()
    inputs = str(SAMPLE / "inputs.npy")
    assert lstm(*[inputs if word == "inputs.npy" else word for word in command[1:]]).status == 0


def test_weights_of_8_bits_are_written_as_the_numbers_they_stand_for(
    lstm: Lstm, tmp_path: Path
) -> None:
    source = GOLDEN / "onnx_files" / "quantized.onnx"
    done = lstm("convert", source, "plain.npz", "--to", "onnx")
    assert done.status == 0
    assert "stores numbers in float" in done.err
    np.save(tmp_path / "x.npy", np.ones((4, 5), np.float32))
    plain = lstm("run", source, "x.npy", "--arithmetic", "float", "-f", "csv", "-q").out
    assert lstm("run", "plain.npz", "x.npy", "-f", "csv", "-q").out == plain
