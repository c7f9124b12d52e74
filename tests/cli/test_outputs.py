"""Outputs that cannot be written: closed pipes, full disks, names that no file can have."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from threading import Thread
from typing import Any

import numpy as np
import pytest

from lstmcli.api import save
from lstmcli.api.save import BY_STEP
from lstmcli.formats.files import atomic
from tests.cli.conftest import SAMPLE, Done, Lstm, start
from tests.paths import TOP
from tests.processes import HANGING

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
FORMATS = ("table", "json", "jsonl", "csv", "tsv", "text", "npz", "npy")
SUFFIXES = ("json", "jsonl", "csv", "tsv", "txt", "npz", "npy")
COMMANDS = [
    ["--help"], ["--version"], ["run", "--help"], ["help", "run"], ["completion", "bash"],
    ["conventions"], ["inspect", WEIGHTS], ["inspect", WEIGHTS, "--color", "always"],
]  # fmt: skip

needs_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="no /dev/full here"
)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs whose results are larger than the buffer of a pipe."""
    path = tmp_path_factory.mktemp("long") / "long.npy"
    np.save(path, np.random.default_rng(0).normal(size=(4_000, 4)))
    return path


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """The exit status, and what stderr was given."""
    err = process.communicate(timeout=HANGING)[1]
    return process.returncode, err


def in_shell(*words: object) -> Done:
    """A command line with redirections, in a shell."""
    command = " ".join([sys.executable, "-m", "lstmcli", *map(str, words)])
    done = subprocess.run(
        ["bash", "-c", command], cwd=TOP, capture_output=True, check=False
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


# ---- standard output


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.slow
def test_a_pipe_that_closes_within_the_results_ends_the_run_silently(
    long: Path, format: str
) -> None:
    words = ["run", WEIGHTS, long, "-f", format, "--steps", ":"]
    process = start(*words, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.read(1)
    process.stdout.close()
    assert process.stderr
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait() == 141


@pytest.mark.parametrize(
    "words", COMMANDS, ids=lambda words: " ".join(map(str, words[:2]))
)
@pytest.mark.slow
def test_a_closed_pipe_is_never_a_difference(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*words, stdout=writing)
    os.close(writing)
    assert ended(process) == (141, b"")


@needs_full
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.slow
def test_a_full_disk_behind_standard_output(format: str) -> None:
    with open("/dev/full", "wb") as full:
        process = start("run", WEIGHTS, INPUTS, "-f", format, stdout=full)
        text = b"lstm run: error: standard output cannot be written: no space left on device.\n"
        assert ended(process) == (2, text)


@needs_full
def test_help_on_a_full_disk() -> None:
    with open("/dev/full", "wb") as full:
        text = b"lstm: error: standard output cannot be written: no space left on device.\n"
        assert ended(start("--help", stdout=full)) == (2, text)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.slow
def test_standard_output_that_is_closed(format: str) -> None:
    done = in_shell("run", "-q", WEIGHTS, INPUTS, "-f", format, ">&-")
    assert done == (
        2,
        "",
        "lstm run: error: standard output cannot be written: it is closed.\n",
    )


@pytest.mark.slow
def test_an_archive_can_be_appended_to_a_file(tmp_path: Path) -> None:
    """zipfile would go back to fill in a size, and write it at the end."""
    target = tmp_path / "two.bin"
    target.write_bytes(b"before")
    assert in_shell("run", WEIGHTS, INPUTS, "-f", "npz", ">>", target).status == 0
    data = target.read_bytes()
    assert data.startswith(b"before")
    (tmp_path / "second.npz").write_bytes(data.removeprefix(b"before"))
    assert np.load(tmp_path / "second.npz")["h"].shape == (1, 7, 3)


# ---- standard error


@needs_full
@pytest.mark.parametrize(
    ("words", "shut"),
    [
        ("nope", "2>/dev/full"), ("run nowhere.npz", "2>/dev/full"), ("", "2>/dev/full"),
        ("inspect --nope", "2>&1 >/dev/null | true"), ("run nowhere.npz", "2>&-"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_an_error_that_stderr_cannot_take_is_not_a_difference(
    words: str, shut: str
) -> None:
    assert in_shell(words, shut, "; exit ${PIPESTATUS[0]}") == (2, "", "")


@needs_full
@pytest.mark.parametrize("shut", ["2>&-", "2>/dev/full"])
@pytest.mark.slow
def test_a_remark_that_stderr_cannot_take_ends_nothing(
    shut: str, tmp_path: Path
) -> None:
    words = ["run", WEIGHTS, INPUTS, "--reverse", "--save-state", tmp_path / "s.npz"]
    assert in_shell(*words, "-o", tmp_path / "o.npz", shut) == (0, "", "")
    assert (tmp_path / "o.npz").exists()


# ---- files


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may be larger than 8 KiB.

    Within a test only: the record of coverage is one of its files, written when a test starts and
    ends.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refusal(path: object, reason: str) -> Done:
    return Done(2, "", f"lstm run: error: {path} cannot be written: {reason}.\n")


@pytest.fixture(params=[1 << 40, 0], ids=["whole", "in pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that are written at the end, and those that are written as they are computed."""
    monkeypatch.setattr(save, "PIECES_FROM", request.param)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.usefixtures("pieces")
def test_a_limit_on_files(lstm: Lstm, tmp_path: Path, long: Path, suffix: str) -> None:
    with small_files():
        done = lstm("run", WEIGHTS, long, "-o", f"out.{suffix}")
    assert done == refusal(f"out.{suffix}", "file too large")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["npy", "npz"])
def test_a_limit_on_the_files_behind_standard_output(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, long: Path, format: str
) -> None:
    """A pipe takes no pieces: they are in a temporary file until all are there."""
    monkeypatch.setattr(save, "PIECES_FROM", 0)
    with small_files():
        done = lstm("run", WEIGHTS, long, "-f", format)
    assert done == refusal(f"a temporary file in {gettempdir()}", "file too large")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_that_no_file_can_have(lstm: Lstm, tmp_path: Path, suffix: str) -> None:
    os.symlink(f"loop.{suffix}", f"loop.{suffix}")
    name = f"loop.{suffix}"
    done = lstm("run", WEIGHTS, INPUTS, "-o", name)
    assert done == refusal(name, "too many levels of symbolic links")
    name = f"{'n' * 300}.{suffix}"
    assert lstm("run", WEIGHTS, INPUTS, "-o", name) == refusal(
        name, "file name too long"
    )
    name = (
        f"{'字' * 80}.{suffix}"  # 240 bytes, and more with what a temporary name adds
    )
    assert lstm("run", "-q", WEIGHTS, INPUTS, "-o", name) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} == {f"loop.{suffix}", name}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.usefixtures("pieces")
def test_a_named_pipe_that_closes_ends_the_run_silently(
    lstm: Lstm, tmp_path: Path, long: Path, suffix: str
) -> None:
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)

    def read_once() -> None:
        with pipe.open("rb", buffering=0) as stream:
            stream.read(1)

    reader = Thread(target=read_once)
    reader.start()
    done = lstm("run", WEIGHTS, long, "-o", pipe)
    reader.join()
    assert done == (141, "", "")


@pytest.mark.parametrize("suffix", [*SUFFIXES, "svg"])
def test_a_named_pipe_that_nothing_reads_is_refused(
    lstm: Lstm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Opening it would wait for ever."""
    monkeypatch.setattr(atomic, "PIPE_TIMEOUT", 0)
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    option = "--svg" if suffix == "svg" else "-o"
    done = lstm("run", "-q", WEIGHTS, INPUTS, option, f"pipe.{suffix}")
    assert done.status == 2
    assert done.err == (
        f"lstm run: error: pipe.{suffix} cannot be written: it is a named pipe that nothing reads. "
        "Start what reads it first, or name a file.\n"
    )


@pytest.mark.skipif(
    not Path("/dev/fd").exists(), reason="descriptors have no paths here"
)
@pytest.mark.slow
def test_the_pipe_of_a_command_that_has_ended_is_a_closed_pipe() -> None:
    """As >(true) of a shell gives it."""
    reading, writing = os.pipe()
    os.close(reading)
    words = ("run", WEIGHTS, INPUTS, "-q", "-f", "csv", "-o", f"/dev/fd/{writing}")
    process = start(*words, pass_fds=(writing,))
    assert ended(process) == (141, b"")
    os.close(writing)


@pytest.mark.parametrize("suffix", BY_STEP)
@pytest.mark.slow
def test_a_folder_that_vanishes_during_the_run(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    target = folder / f"out.{suffix}"
    process = start("run", WEIGHTS, "-", "-o", target, stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(b"[0.1, 0.2, 0.3, 0.4]\n")
    process.stdin.flush()
    while not any(folder.iterdir()):
        assert process.poll() is None
    rmtree(folder)
    status, err = ended(process)
    text = f"lstm run: error: {target} cannot be written: no such file or directory.\n"
    assert (status, err.decode()) == (2, text)


def test_a_current_folder_that_has_vanished(
    lstm: Lstm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    text = "lstm run: error: the current folder is no longer there; change to one that is.\n"
    assert lstm("run", WEIGHTS, INPUTS, "-o", "out.npz") == (2, "", text)


# ---- no output is written over an input or over another output, whatever names them


READ_FILES = ("weights", "inputs", "--mask", "--lengths", "--initial-state")
OUTPUTS = {"-o": ".npz", "--save-state": ".npz", "--svg": ".svg"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file for each of the inputs of a run, all of which belong together."""
    rng = np.random.default_rng(0)
    held: dict[str, dict[str, Any]] = {
        "weights": {"kernel": rng.normal(size=(7, 12)), "bias": np.zeros(12)},
        "inputs": {"inputs": rng.normal(size=(2, 5, 4))},
        "--mask": {"mask": np.ones((2, 5), bool)},
        "--lengths": {"lengths": np.array([5, 3])},
        "--initial-state": {"h": np.zeros((2, 3)), "c": np.zeros((2, 3))},
        "expected": {"h": np.zeros((2, 5, 3))},
    }
    for name, arrays in held.items():
        np.savez(tmp_path / f"{name.strip('-')}.npz", **arrays)
    return {name: tmp_path / f"{name.strip('-')}.npz" for name in held}


def given(files: dict[str, Path], name: str) -> list[Any]:
    """The words of a run with one more of its files, after weights and inputs."""
    words: list[Any] = [files["weights"], files["inputs"]]
    return words if name in ("weights", "inputs") else [*words, name, files[name]]


def refused(lstm: Lstm, words: list[Any]) -> str:
    """The message for a refused command line, which changes no file."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    done = lstm(*words)
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert (done.status, done.out) == (2, "")
    assert "would be written over" in done.err
    assert after == before
    return done.err


@pytest.mark.parametrize("option", OUTPUTS)
def test_no_output_is_written_if_one_has_no_folder(
    lstm: Lstm, files: dict[str, Path], option: str
) -> None:
    words = ["run", files["weights"], files["inputs"], "-f", "table"]
    for name, suffix in OUTPUTS.items():
        words += [
            name,
            f"nowhere/new{suffix}" if name == option else f"new-{name}{suffix}",
        ]
    before = sorted(Path().iterdir())
    done = lstm(*words)
    assert (done.status, done.out) == (2, "")
    assert "there is no folder nowhere" in done.err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("option", "alike"),
    [
        *((option, "same") for option in OUTPUTS),
        ("-o", "./"),
        ("-o", "symlink"),
        ("-o", "hard link"),
    ],
)
@pytest.mark.parametrize("name", READ_FILES)
@pytest.mark.sampled(3)
def test_run_writes_over_no_input(
    lstm: Lstm, files: dict[str, Path], name: str, option: str, alike: str
) -> None:
    named = files[name].with_suffix(
        OUTPUTS[option]
    )  # formats go by content, not by suffix
    files[name] = files[name].rename(named)
    output = Path(f"./{named.name}") if alike == "./" else named
    if alike in ("symlink", "hard link"):
        output = named.with_name(f"other{named.suffix}")
        (output.symlink_to if alike == "symlink" else output.hardlink_to)(named)
    assert named.name in refused(lstm, ["run", *given(files, name), option, output])


@pytest.mark.parametrize("name", READ_FILES)
def test_without_the_refusal_the_run_would_work(
    lstm: Lstm, files: dict[str, Path], name: str
) -> None:
    assert lstm("run", *given(files, name), "-o", "new.npz").status == 0


READERS: dict[str, list[str]] = {
    "plot": ["weights", "inputs"],
    "explain": ["weights", "inputs", "expected"],
    "derive": ["weights", "inputs"],
    "check": ["weights", "inputs"],
    "inspect": ["weights"],
    "diff": ["inputs", "expected"],
}
FURTHER = {"derive": ["--steps", "0", "--units", "0"], "check": ["--engine", "torch"]}
BESIDE = ("--mask", "--lengths", "--initial-state")


@pytest.mark.parametrize("command", READERS)
def test_no_screen_is_written_over_an_input(
    lstm: Lstm, files: dict[str, Path], command: str
) -> None:
    option = "--svg"
    beside = BESIDE if command in ("plot", "explain", "derive", "check") else ()
    reference = {"--against": files["expected"]} if command == "derive" else {}
    options = {**{name: files[name] for name in beside}, **reference}
    for name in [*READERS[command], *options]:
        changed = Path(f"{name.strip('-')}{OUTPUTS[option]}")
        old = options.get(name) or files[name]
        changed.write_bytes(old.read_bytes())
        words = [changed if one == name else files[one] for one in READERS[command]]
        further = [
            w for o, p in options.items() for w in (o, changed if o == name else p)
        ]
        refused(
            lstm,
            [command, *words, *FURTHER.get(command, []), *further, option, changed],
        )


def test_convert_writes_over_no_source(lstm: Lstm, files: dict[str, Path]) -> None:
    np.save("k.npy", np.zeros((7, 12)))
    np.save("b.npy", np.zeros(12))
    os.link("k.npy", "link.npz")
    refused(lstm, ["convert", files["weights"], files["weights"], "--to", "keras"])
    refused(
        lstm, ["convert", "kernel=k.npy", "bias=b.npy", "link.npz", "--to", "keras"]
    )
    refused(
        lstm, ["convert", files["weights"], "a.svg", "--to", "keras", "--svg", "a.svg"]
    )


def test_no_output_is_written_over_a_file_that_an_input_names(lstm: Lstm) -> None:
    entry = {"dtype": "float32"}
    weights = [
        {"name": "lstm/kernel", "shape": [4, 12], **entry},
        {"name": "lstm/recurrent_kernel", "shape": [3, 12], **entry},
        {"name": "lstm/bias", "shape": [12], **entry},
    ]
    manifest = [{"paths": ["shard.svg"], "weights": weights}]
    described = {
        "modelTopology": None,
        "weightsManifest": manifest,
        "format": "layers-model",
    }
    Path("model.json").write_text(json.dumps(described))
    Path("shard.svg").write_bytes(np.zeros(96, "f4").tobytes())
    assert lstm("inspect", "model.json").status == 0
    refused(lstm, ["inspect", "model.json", "--svg", "shard.svg"])
    assert lstm("inspect", "model.json", "--svg", "other.svg").status == 0


@pytest.mark.parametrize("nth", [1, 3])
def test_an_example_that_is_not_written_leaves_no_folder(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nth: int
) -> None:
    calls = []

    def full(_: int) -> None:
        calls.append(1)
        if len(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = lstm("init", "--example", "new/demo")
    assert done.status == 2
    assert "cannot be written: no space left on device" in done.err
    assert not [*tmp_path.iterdir()]
