"""``lstm run``, from files to screens and files."""

from __future__ import annotations

import csv
import gc
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

import lstmcli
from lstmcli import formats, run
from lstmcli.api.load import load
from lstmcli.core.forward.prepare import prepare
from tests.cli.conftest import ENDINGS, SAMPLE, Lstm, ignore_signals, start, wait_until
from tests.cli.test_outputs import in_shell
from tests.paths import TOP
from tests.processes import HANGING
from tests.recorded import GOLDEN, held

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


def h_of(text: str) -> np.ndarray[Any, Any]:
    return np.array(json.loads(text)["h"])


# ---- the question


def test_init_makes_the_thread_s_numbers(lstm: Lstm) -> None:
    done = lstm(
        "init", "--inputs", 4, "--units", 3, "--seed", 0, "--steps", 7, "-o", "net.npz"
    )
    assert (done.status, done.out) == (0, "")
    made, weights = np.load("net.npz"), np.load(WEIGHTS)
    np.testing.assert_array_equal(made["kernel"], weights["kernel"])
    np.testing.assert_array_equal(made["inputs"], np.load(INPUTS))
    assert not made["bias"].any()
    assert (
        lstm("run", "net.npz", "-f", "text").out
        == lstm("run", WEIGHTS, INPUTS, "-f", "text").out
    )


def test_objects_of_the_calling_program_stay_with_its_collector(lstm: Lstm) -> None:
    """Frozen ones would never be freed, and `gc.get_referrers` would pass over them."""
    before = gc.get_freeze_count()
    assert lstm("run", WEIGHTS, INPUTS, "-f", "text").status == 0
    assert gc.get_freeze_count() == before


def test_a_long_run_names_saturated_gates_too(lstm: Lstm, net: Path) -> None:
    rng = np.random.default_rng(2)
    bias = np.zeros(16)
    bias[9] = 12  # f of unit 1
    np.savez(
        net,
        kernel=rng.normal(size=(7, 16)),
        bias=bias,
        inputs=rng.normal(size=(600, 3)),
    )
    out = lstm("run", net).out
    assert "steps not shown" in out
    assert "f near 1 in unit 1 (100%)" in out
    assert lstm("run", net, "--only", "z").status == 0
    assert "f near 1" in lstm("plot", net, "--only", "h").out


@pytest.mark.parametrize(
    "words", [(), ("-f", "json"), ("-o", "o.npz", "-f", "table"), ("-o", "o.csv")]
)
def test_a_run_is_prepared_once(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    prepared = []

    def counted(*given: Any) -> Any:
        prepared.append(given)
        return prepare(*given)

    monkeypatch.setattr("lstmcli.api.job.prepare", counted)
    assert lstm("run", WEIGHTS, INPUTS, "--steps", "1:", *words).status == 0
    assert len(prepared) == 1


# ---- how files are named and read


def test_settings_may_be_in_the_file(lstm: Lstm) -> None:
    weights = np.load(WEIGHTS)
    document = {k: v.tolist() for k, v in weights.items()}
    document |= {
        "inputs": np.load(INPUTS)[0].tolist(),
        "forget_bias": 0,
        "gates": "ijfo",
    }
    document["initial_state"] = {"h": [0.1, 0.2, 0.3], "c": [0.4, 0.5, 0.6]}
    Path("net.json").write_text(json.dumps(document))
    h = h_of(lstm("run", "net.json", "-f", "json").out)
    state = {"h": [0.1, 0.2, 0.3], "c": [0.4, 0.5, 0.6]}
    expected = run(
        load(str(WEIGHTS), forget_bias=0), np.load(INPUTS)[0], initial_state=state
    )
    np.testing.assert_allclose(h, expected.h, atol=1e-16)


@pytest.mark.parametrize("suffix", ["npy", "json", "csv", "tsv", "txt", "jsonl"])
def test_inputs_in_every_format_and_from_stdin(lstm: Lstm, suffix: str) -> None:
    x = np.load(INPUTS)[0]
    rows = x.tolist()
    data = io.BytesIO()
    np.save(data, x)
    contents = {
        "npy": data.getvalue(),
        "json": json.dumps({"x": rows}).encode(),
        "csv": "\n".join(",".join(map(repr, row)) for row in rows).encode(),
        "tsv": (
            "a\tb\tc\td\n" + "\n".join("\t".join(map(repr, r)) for r in rows)
        ).encode(),
        "txt": repr(x).encode(),
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
    }
    Path(f"x.{suffix}").write_bytes(contents[suffix])
    wanted = h_of(lstm("run", WEIGHTS, INPUTS, "-f", "json").out)[0]
    tolerance = 1e-7 if suffix == "txt" else 0
    for done in (
        lstm("run", WEIGHTS, f"x.{suffix}", "-f", "json"),
        lstm("run", WEIGHTS, "-", "-f", "json", stdin=contents[suffix]),
    ):
        assert done.status == 0, done.err
        np.testing.assert_allclose(h_of(done.out), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["inputs", "x"])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_json_lines_of_inputs_are_recognised_by_content(
    lstm: Lstm, name: str, batch: int
) -> None:
    x = np.random.default_rng(0).normal(size=(5, max(batch, 1), 4))
    wanted = run(load(str(WEIGHTS)), x, "h", layout="time").h
    steps = x if batch else x[:, 0]
    lines = "".join(
        json.dumps({"step": n, name: a.tolist()}) + "\n" for n, a in enumerate(steps)
    )
    plain = "".join(json.dumps({name: a.tolist()}) + "\n" for a in steps)
    for text in (lines, plain):
        Path("x.dat").write_text(text)
        streamed = lstm("run", WEIGHTS, "-", "-f", "jsonl", stdin=text.encode())
        assert streamed.status == 0, streamed.err
        from_file = lstm("run", WEIGHTS, "x.dat", "--layout", "time", "-f", "jsonl")
        assert from_file.out == streamed.out
        h = np.array([json.loads(line)["h"] for line in streamed.out.splitlines()])
        np.testing.assert_array_equal(h, wanted if batch else wanted[:, 0])


def test_the_other_members_of_an_archive_are_not_unpacked(
    lstm: Lstm, tmp_path: Path
) -> None:
    x, path = np.load(INPUTS), tmp_path / "x.npz"
    train = np.random.default_rng(0).normal(size=(5000, 7, 4))
    np.savez(path, x_train=train, x_val=x)
    data = path.read_bytes()
    at = data.index(train[-1].tobytes())
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    full = lstm("inspect", "x.npz")
    assert full.status == 2
    assert "corrupt" in full.err
    done = lstm("run", WEIGHTS, "x.npz:x_val", "-o", "out.npy", "-q")
    assert done == (0, "", "")
    np.testing.assert_array_equal(np.load("out.npy"), lstmcli.run(str(WEIGHTS), x).h)
    assert "corrupt" in lstm("run", WEIGHTS, "x.npz:x_train").err


# ---- what is written


@pytest.mark.parametrize("suffix", ["npz", "npy", "json", "jsonl", "csv", "tsv", "txt"])
def test_diff_reads_every_format_that_run_writes(
    lstm: Lstm, net: Path, suffix: str
) -> None:
    assert lstm("run", net, "-o", "whole.npz").out == ""
    done = lstm("run", net, "-q", "-o", f"out.{suffix}")
    assert (done.status, done.out, done.err) == (0, "", "")
    for words in (("whole.npz", f"out.{suffix}"), (f"out.{suffix}", "whole.npz")):
        same = lstm("diff", *words, "--atol", 0, "--rtol", 0)
        assert same.status == 0, same.out + same.err
    piped = lstm(
        "diff",
        "whole.npz",
        "-",
        "--atol",
        0,
        "--rtol",
        0,
        stdin=Path(f"out.{suffix}").read_bytes(),
    )
    assert piped.status == 0, piped.out + piped.err


@pytest.mark.parametrize("suffix", ["npz", "json", "jsonl", "csv"])
def test_a_trace_is_an_initial_state(lstm: Lstm, net: Path, suffix: str) -> None:
    x = np.load(net)["inputs"]
    np.save("a.npy", x[:, :3])
    np.save("b.npy", x[:, 3:])
    lstm("run", net, "-o", "whole.npz")
    lstm("run", net, "inputs=a.npy", "-o", f"a.{suffix}")
    done = lstm(
        "run", net, "inputs=b.npy", "--initial-state", f"a.{suffix}", "-o", "b.npz"
    )
    assert done.status == 0, done.err
    np.testing.assert_array_equal(
        np.load("b.npz")["h"], np.load("whole.npz")["h"][:, 3:]
    )


# ---- streams


def test_lines_go_out_as_they_come_in() -> None:
    process = start(
        "run",
        WEIGHTS,
        "-",
        "-q",
        "-f",
        "jsonl",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    x = np.load(INPUTS)[0]
    expected = run(load(str(WEIGHTS)), x)
    for n, row in enumerate(x.tolist()):
        process.stdin.write(json.dumps(row).encode() + b"\n")
        process.stdin.flush()
        step = json.loads(
            process.stdout.readline()
        )  # would block if it waited for more
        assert step["step"] == n
        np.testing.assert_array_equal(step["h"], expected.h[n])
        np.testing.assert_array_equal(step["f"], expected.f[n])
    assert process.communicate() == (b"", b"")
    assert process.returncode == 0


def streaming(folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A run into a file that waits for its second line."""
    words = ["run", "-q", WEIGHTS, "-", "-o", folder / "out.jsonl"]
    process = start(*words, stdin=subprocess.PIPE, **options)
    assert process.stdin
    process.stdin.write(b"[0.1, 0.2, 0.3, 0.4]\n")
    process.stdin.flush()
    return process


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("SIGTERM", "SIGHUP")]


@pytest.mark.parametrize("name", ["SIGINT", *SLOW])
def test_a_run_that_is_ended_is_silent_and_leaves_no_file(
    name: str, tmp_path: Path
) -> None:
    process = streaming(tmp_path)
    # the file is being written, under another name
    wait_until(lambda: any(tmp_path.iterdir()), process)
    process.send_signal(getattr(signal, name))
    assert process.communicate()[1] == b""
    assert process.returncode == 128 + getattr(signal, name)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_numpy_is_imported_is_silent(tmp_path: Path) -> None:
    process = streaming(tmp_path)
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        process.kill()
        process.communicate()
        pytest.skip("no /proc here to see what a process has loaded")
    wait_until(lambda: "_multiarray_umath" in maps.read_text(), process)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b""
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.slow
def test_a_closed_stream_that_is_not_needed_changes_nothing(
    closed: str, tmp_path: Path
) -> None:
    assert in_shell("run", "-q", WEIGHTS, INPUTS, "-o", tmp_path / "o.npz", closed) == (
        0,
        "",
        "",
    )
    assert np.load(tmp_path / "o.npz")["h"].shape == (1, 7, 3)
    done = in_shell("run", "nowhere.npz", closed)
    assert (done.status, done.out) == (2, "")


def test_signals_that_are_ignored_stay_ignored(tmp_path: Path) -> None:
    """nohup has SIGHUP ignored, and a shell SIGINT for a job behind its script."""
    process = streaming(tmp_path, preexec_fn=ignore_signals)
    wait_until(lambda: any(tmp_path.iterdir()), process)
    for number in ENDINGS:
        process.send_signal(number)
    assert process.communicate()[1] == b""  # which ends its stdin
    assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.slow
def test_a_second_interrupt_ends_a_run_whose_reader_does_not_read(
    tmp_path: Path,
) -> None:
    """The first one waits for the step that is being written; there is no reader."""
    fcntl, termios = (pytest.importorskip(name) for name in ("fcntl", "termios"))
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here to see which signals a process has taken")
    np.save(tmp_path / "x.npy", np.zeros((100_000, 4)))
    words = ["run", WEIGHTS, tmp_path / "x.npy", "-f", "csv"]
    process = start(*words, stdout=subprocess.PIPE)
    assert process.stdout
    pipe = process.stdout.fileno()

    def unread() -> int:
        answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0")
        return int.from_bytes(answer, sys.byteorder)

    capacity = (
        fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
        if hasattr(fcntl, "F_GETPIPE_SZ")
        else 1 << 16
    )
    status = Path(f"/proc/{process.pid}/status")

    def writes_again() -> bool:
        """Whether the process has taken every signal and sleeps, as in a write to a full pipe."""
        told = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        pending = int(told["SigPnd"], 16) | int(told["ShdPnd"], 16)
        return not pending and told["State"].startswith("S")

    # the pipe is full to its last page
    wait_until(lambda: unread() > capacity - 4096, process)
    wait_until(writes_again, process)
    process.send_signal(signal.SIGINT)
    wait_until(writes_again, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(HANGING) == 130
    assert process.stderr
    with process.stderr as errors, process.stdout:
        assert errors.read() == b""


# ---- lengths, masks, remarks


def test_lengths_from_words_files_and_the_inputs_themselves(
    lstm: Lstm, net: Path
) -> None:
    np.save("n.npy", [7, 0, 5, 1, 3])
    x = np.load(net)["inputs"]
    np.savez("x.npz", inputs=x, lengths=[7, 0, 5, 1, 3])
    np.save("m.npy", np.arange(7) < np.array([[7], [0], [5], [1], [3]]))
    how = ("--layout", "batch", "-f", "json")
    wanted = lstm("run", net, "--lengths", "7,0,5,1,3", *how).out
    assert np.array(json.loads(wanted)["f"])[2, 5:].tolist() == [[0, 0, 0], [0, 0, 0]]
    for words in (("--lengths", "n.npy"), ("inputs=x.npz",), ("--mask", "m.npy")):
        assert lstm("run", net, *words, *how).out == wanted
    assert json.loads(wanted)["meta"]["lengths"] == [7, 0, 5, 1, 3]
    every = lstm("run", net, *how).out
    assert lstm("run", net, "inputs=x.npz", "--mask", "none", *how).out == every
    refused = lstm("run", net, "--lengths", "7,0,5,1,3", "--mask", "none")
    assert (refused.status, "all steps, and lengths are given" in refused.err) == (
        2,
        True,
    )
    idle = lstm("run", net, "--mask", "none")
    assert (idle.status, "there are no lengths and no mask" in idle.err) == (2, True)
    np.savez("x.npz", inputs=x, mask=np.ones((5, 7)))
    assert (
        lstm("run", net, "inputs=x.npz", "--lengths", "7,0,5,1,3", *how).out == wanted
    )
    lstm("run", net, *how[:2], "-o", "h.npz")
    idle = lstm("diff", "h.npz", "h.npz", "--padding")
    assert (idle.status, "neither side has lengths or a mask" in idle.err) == (2, True)


def test_as_many_lengths_as_one_axis_has_tell_the_layout(lstm: Lstm) -> None:
    np.savez(
        "w.npz",
        kernel=np.ones((4, 4)),
        recurrent_kernel=np.ones((1, 4)),
        bias=np.ones(4),
    )
    np.save("x.npy", np.ones((2, 3, 4)))
    for lengths, layout in (("1,2", "batch"), ("1,2,2", "time")):
        meta = json.loads(
            lstm("run", "w.npz", "x.npy", "--lengths", lengths, "-f", "json").out
        )
        assert meta["meta"]["layout"] == layout


@pytest.mark.parametrize("option", ["--mask", "--lengths"])
@pytest.mark.parametrize("wrong", [np.nan, 0.5, -1.0, np.inf])
def test_padding_of_other_numbers_is_refused_with_its_file(
    lstm: Lstm, net: Path, option: str, wrong: float
) -> None:
    shape = (5, 7) if option == "--mask" else (900,)
    np.save("p.npy", np.full(shape, wrong))
    done = lstm("run", net, "--layout", "batch", option, "p.npy")
    count = np.prod(shape)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("lstm run: error: p.npy: ")
    assert f"{count} of {count} " in done.err
    assert done.err.count(f"{wrong:g}") == 4
    np.savez("x.npz", inputs=np.load(net)["inputs"], mask=np.full((5, 7), wrong))
    inside = lstm("run", net, "inputs=x.npz", "--layout", "batch")
    assert "x.npz: the mask has 1 at valid steps" in inside.err


def test_a_mask_of_another_shape_is_named_with_both_files(
    lstm: Lstm, net: Path
) -> None:
    np.save("x.npy", np.load(net)["inputs"])
    for name, values in {"m": np.ones((3, 2)), "two": np.full((5, 7), 2)}.items():
        np.save(f"{name}.npy", values)
    how = ("run", net, "inputs=x.npy", "--layout", "batch", "--mask")
    text = "lstm run: error: m.npy: the mask is (3, 2); x.npy needs (5, 7).\n"
    assert lstm(*how, "m.npy").err == text
    assert lstm(*how, "two.npy").status == 2


def test_a_mask_that_a_layer_ends_does_not_reach_the_next_lstm(lstm: Lstm) -> None:
    """RepeatVector, between encoder and decoder, has no mask."""
    with (
        ZipFile(GOLDEN / "keras_masking" / "stack.keras") as stack,
        ZipFile("m.keras", "w") as made,
    ):
        for name in stack.namelist():
            content = stack.read(name)
            if name == "config.json":
                model = json.loads(content)
                model["config"]["layers"].insert(
                    5, {"class_name": "RepeatVector", "config": {}}
                )
                content = json.dumps(model).encode()
            made.writestr(name, content)
    x = held("keras_masking/stack")["inputs"]
    encoded = lstmcli.run("m.keras", x, layer="both").h
    decoded = lstmcli.run("m.keras", encoded, layer="top").h
    both = lstmcli.run("m.keras", x, layer="0,1")
    np.testing.assert_array_equal(both.h, decoded)
    assert any("top runs all steps" in text for text in both.settings["assumed"])


@pytest.mark.parametrize(
    "names", [("h0", "c0"), ("h_0", "c_0"), ("h0", "c0", "inputs")]
)
def test_a_state_in_the_file_of_weights_is_the_initial_one(
    lstm: Lstm, names: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(3)
    weights: dict[str, Any] = {"W": rng.normal(size=(8, 12)), "b": rng.normal(size=12)}
    state: dict[str, Any] = {name: rng.normal(size=3) for name in names[:2]}
    x = rng.normal(size=(7, 5))
    np.save("x.npy", x)
    np.savez("plain.npz", **weights)
    h, c = state.values()
    np.savez("state.npz", h=h, c=c)
    inside: dict[str, Any] = {"inputs": x} if "inputs" in names else {}
    np.savez("w.npz", **weights, **state, **inside)
    lstm("run", "w.npz", *([] if inside else ["x.npy"]), "-o", "ours.npz")
    lstm(
        "run", "plain.npz", "x.npy", "--initial-state", "state.npz", "-o", "theirs.npz"
    )
    np.testing.assert_array_equal(np.load("ours.npz")["h"], np.load("theirs.npz")["h"])
    lstm("run", "plain.npz", "x.npy", "-o", "zero.npz")
    lstm("run", "w.npz", "x.npy", "--set", "initial_state=zero", "-o", "ours.npz")
    np.testing.assert_array_equal(np.load("ours.npz")["h"], np.load("zero.npz")["h"])
    none_given = lstmcli.run("w.npz", x, initial_state={}).h
    np.testing.assert_array_equal(none_given, np.load("zero.npz")["h"])
    assert (none_given != lstmcli.run("w.npz", x).h).any()
    lstm("run", "plain.npz", "x.npy", "--initial-state", "w.npz", "-o", "ours.npz")
    np.testing.assert_array_equal(np.load("ours.npz")["h"], np.load("theirs.npz")["h"])


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_steps_of_8_bit_arithmetic_are_written_from_a_file(
    lstm: Lstm, format: str
) -> None:
    source, case = (
        GOLDEN / "tflite_files" / f"hybrid.{end}" for end in ("tflite", "npz")
    )
    assert lstm("run", source, case, "--only", "h", "-o", f"h.{format}").status == 0
    h = (
        formats.read(f"h.{format}").arrays["h"].swapaxes(0, 1)
    )  # from (steps, batch, units)
    assert (
        np.abs(h - held("tflite_files/hybrid")["h"]).max() < 1e-6
    )  # of TensorFlow Lite


# ---- mistakes


@pytest.mark.parametrize(
    "words",
    [
        ["run", "net.npz", "--lengths"],
        ["run", "net.npz", "--layer"],
        ["run", "net.npz", "--steps"],
        ["run", "net.npz", "--units"],
        ["run", "net.npz", "--threads"],
        ["derive", "net.npz", "--units", "0", "--steps", "0", "--terms"],
        ["run", "net.npz", "--set"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("number", ["9" * 5000, "²"])
def test_a_number_that_python_does_not_take_is_a_mistake(
    lstm: Lstm, net: Path, words: list[str], number: str
) -> None:
    """Python makes no integer of more than 4,300 digits, nor of a digit that is an exponent."""
    last = f"layer{number}.forget_bias=1" if words[-1] == "--set" else number
    done = lstm(*words, last)
    assert done.status == 2
    assert done.err.startswith(f"lstm {words[0]}: error: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "before", ["vanilla-lstm-builder/", "/a b/", "./ä+~", "0:1:", "-"]
)
def test_a_name_before_the_first_equals_sign_may_have_any_characters(
    lstm: Lstm, before: str
) -> None:
    """Every template matches the end of a name."""
    weights = np.load(WEIGHTS)
    np.savez("w=1.npz", a=weights["kernel"], b=weights["bias"])
    words = [f"{before}/kernel=w=1.npz:a", f"{before}/bias=w=1.npz:b"]
    wanted = lstm("run", WEIGHTS, INPUTS, "-f", "text").out
    assert lstm("run", "-f", "text", "--", *words, INPUTS).out == wanted


@pytest.mark.parametrize(
    "command", ["run", "inspect", "convert", "explain", "plot", "derive"]
)
@pytest.mark.parametrize(
    "typed", ["a-b/_0=none.npz:k", "runs/lr=0.1/w.npz", "b:=none.npy"]
)
def test_a_file_that_does_not_exist_is_missed_by_the_full_argument(
    lstm: Lstm, command: str, typed: str
) -> None:
    options = {"convert": ("--to", "keras"), "derive": ("--steps", "0", "--units", "0")}
    others = {"convert": ("out.npz",), "explain": (INPUTS, INPUTS)}.get(
        command, (INPUTS,)
    )
    done = lstm(command, WEIGHTS, typed, *others, *options.get(command, ()))
    assert (done.status, done.out) == (2, "")
    assert f"{typed}: " in done.err.splitlines()[0]
    assert "before the first = is a name" in done.err


def test_the_prefix_of_a_checkpoint_may_have_an_equals_sign(lstm: Lstm) -> None:
    with ZipFile(
        TOP / "tests" / "golden" / "tensorflow_files" / "tf1.15_bidirectional.zip"
    ) as z:
        z.extractall("lr=0.1")
    done = lstm("inspect", "lr=0.1/model.ckpt")
    assert (done.status, done.err) == (0, "")


# ---- --tidy: a row for each step, batch item and unit, the same columns whatever the rank


COLUMNS = ["step", "batch", "unit", "h", "c", "i", "f", "g", "o"]
FORMATS = ("csv", "tsv", "jsonl")


def rows_of(text: str, format: str) -> list[dict[str, float]]:
    """The rows of tidy data, as a program without lstm reads them."""
    if format == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    reader = csv.DictReader(
        text.splitlines(), delimiter="," if format == "csv" else "\t"
    )
    return [{name: float(cell) for name, cell in row.items()} for row in reader]


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Inputs of 2 sequences of 5 steps, of which 4 numbers each."""
    np.save(tmp_path / "batch.npy", np.random.default_rng(3).normal(size=(2, 5, 4)))
    return tmp_path / "batch.npy"


@pytest.mark.parametrize("format", FORMATS)
def test_every_number_has_its_step_its_sequence_and_its_unit(
    lstm: Lstm, batch: Path, format: str
) -> None:
    done = lstm("run", WEIGHTS, batch, "-f", format, "--tidy", "-q")
    rows = rows_of(done.out, format)
    assert lstm("run", WEIGHTS, batch, "-o", "out.npz", "-q").status == 0
    trace = np.load("out.npz")
    assert len(rows) == 2 * 5 * 3
    places = [(row["step"], row["batch"], row["unit"]) for row in rows]
    assert places == [(t, b, u) for t in range(5) for b in range(2) for u in range(3)]
    for row in rows:
        assert list(row) == COLUMNS
        for name in COLUMNS[3:]:
            at = int(row["batch"]), int(row["step"]), int(row["unit"])
            assert row[name] == trace[name][at]


def test_a_state_is_the_last_step_of_a_tidy_trace(lstm: Lstm, batch: Path) -> None:
    for name, words in (("t.csv", ("--tidy",)), ("s.npz", ())):
        assert lstm("run", WEIGHTS, batch, "-o", name, "-q", *words).status == 0
    given = [
        lstm("run", WEIGHTS, batch, "--initial-state", name, "-f", "csv", "-q").out
        for name in ("t.csv", "s.npz")
    ]
    assert given[0] == given[1]
    assert given[0] != lstm("run", WEIGHTS, batch, "-f", "csv", "-q").out


def test_a_stream_is_written_a_step_at_a_time(lstm: Lstm) -> None:
    x = np.load(INPUTS)[0]
    lines = "".join(f"{json.dumps(step.tolist())}\n" for step in x).encode()
    done = lstm("run", WEIGHTS, "-", "-f", "jsonl", "--tidy", "-q", stdin=lines)
    assert done.status == 0, done.err
    expected = rows_of(
        lstm("run", WEIGHTS, INPUTS, "-f", "jsonl", "--tidy", "-q").out, "jsonl"
    )
    assert rows_of(done.out, "jsonl") == expected
