"""Runs larger than memory, runs that are interrupted, threads, clusters, and the bar."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api import load, save
from lstmcli.core.forward import run as forward_run
from lstmcli.core.forward.batch import batch_chunks
from lstmcli.formats import npy
from lstmcli.formats.npy import FileArray
from tests import networks
from tests.cli.conftest import Lstm, on_pty, start, wait_until
from tests.paths import TOP
from tests.processes import HANGING, python


def network(path: Path, inputs: int, units: int, **kind: Any) -> None:
    """A PyTorch network's weights."""
    np.savez(
        path, **networks.pytorch(inputs, units, scale=0.5, dtype=np.float32, **kind)
    )


def written(folder: Path, steps: int, options: str, kind: dict[str, Any]) -> list[str]:
    """Files for a run of 131 rows; gives the words of the command."""
    rng = np.random.default_rng(5)
    network(folder / "w.npz", 9, 66, **kind)
    x = rng.normal(size=(131, steps, 9)).astype(np.float32)
    np.save(folder / "x.npy", x.swapaxes(0, 1) if "time" in options else x)
    np.save(folder / "lengths.npy", rng.integers(0, steps + 1, 131))
    np.savez(
        folder / "state.npz", h=rng.normal(size=(131, 66)), c=rng.normal(size=(131, 66))
    )
    return ["run", "w.npz", "x.npy", *options.split()]


def cut(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Pieces of so many bytes, of results and of steps."""
    monkeypatch.setattr(forward_run, "PIECE", size)


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs in .npy files are never loaded in full, whatever their size."""
    monkeypatch.setattr(npy, "IN_BLOCKS_FROM", 0)
    cut(monkeypatch, 10_000)
    monkeypatch.setattr(forward_run, "READ", 5_000)


OUTPUTS = [
    "-f table",
    "-f csv",
    "-f jsonl",
    "-f json",
    "-f text",
    "-o o.npz",
    "-o o.npy",
]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("--layout batch", {}),
    ("--layout time", {"layers": 2}),
    ("--layout batch --lengths lengths.npy", {"directions": 2}),
    ("--layout time --reverse", {}),
    ("--layout batch --merge stack --only h", {"directions": 2}),
]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(("options", "kind"), KINDS, ids=[o for o, _ in KINDS])
@pytest.mark.slow
def test_inputs_read_in_blocks_give_the_same_bytes(
    lstm: Lstm,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    output: str,
    options: str,
    kind: dict[str, Any],
) -> None:
    words = [
        w
        for w in written(tmp_path, 5, options, kind)
        if "-f" not in output or w != "--only"
    ]
    words = [*[w for w in words if w not in ("h", "--only")], *output.split()]
    expected = lstm(*words)
    file = tmp_path / output.split()[1]
    data = file.read_bytes() if file.exists() else b""
    request.getfixturevalue("in_blocks")
    assert lstm(*words) == expected
    assert (file.read_bytes() if file.exists() else b"") == data


@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("output", ["o.npy", "o.npz", "o.csv"])
@pytest.mark.parametrize("layout", ["batch", "time"])
def test_inputs_that_become_shorter_in_a_run_are_a_message(
    lstm: Lstm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    layout: str,
) -> None:
    """Mapped, they would end the process with SIGBUS, and leave a part of the output."""
    words = written(tmp_path, 50, f"--layout {layout}", {})
    before = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(save, "PIECES_FROM", 0)
    read, calls = FileArray._fill, 0

    def cut_short(array: FileArray, values: np.ndarray, at: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.truncate(tmp_path / "x.npy", 100_000)
        read(array, values, at)

    monkeypatch.setattr(FileArray, "_fill", cut_short)
    monkeypatch.setattr(
        "lstmcli.api.run.describe_not_finite", lambda array, name: ""
    )  # reads it all
    done = lstm(*words, "-o", output)
    assert calls >= 3
    assert done.status == 2
    assert (
        "lstm run: error: x.npy is cut short: it became shorter while it was read"
        in done.err
    )
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("format", ["npy", "npz"])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("--layout batch", {}),
        ("--layout time --threads 2", {"layers": 2}),
        ("--layout batch --threads 2 --lengths lengths.npy", {}),
        ("--layout batch --lengths lengths.npy --set lengths=ignored", {}),
        ("--layout time", {"directions": 2, "layers": 2}),
        ("--layout batch --reverse", {}),
        ("--layout batch --set state=reset", {}),
        ("--layout batch --initial-state state.npz --cell-clip 0.5", {}),
    ],
)
@pytest.mark.slow
def test_pieces_make_what_a_full_run_makes(
    lstm: Lstm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    options: str,
    kind: dict[str, Any],
) -> None:
    """Bit for bit, whatever the cuts; enough rows for several chunks."""
    words = written(tmp_path, 37, options, kind)
    assert len(batch_chunks(131, load.load("w.npz"))) > 1
    assert lstm(*words, "-o", f"whole.{format}").status == 0
    monkeypatch.setattr(save, "PIECES_FROM", 0)
    cut(monkeypatch, 100_000)
    monkeypatch.setattr("lstmcli.api.run.WORTH_THREADS", 0)
    done = lstm(*words, "-o", f"pieces.{format}", "--save-state", "end.npz")
    remarked = (
        "reverse" in options or "directions" in kind
    )  # on how the state was saved
    written_files = f"wrote end.npz, pieces.{format}\n"
    assert (done.status, remarked or done.err) == (0, remarked or written_files)
    pieces, whole = (formats.read(f"{name}.{format}") for name in ("pieces", "whole"))
    assert list(pieces.arrays) == list(whole.arrays)
    assert pieces.attributes == whole.attributes
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(pieces.arrays[name], array)
        assert pieces.arrays[name].dtype == np.float32
    end = np.load(tmp_path / "end.npz")
    assert int(end["steps"]) == 37
    if format == "npz":
        np.testing.assert_array_equal(end["h"], whole.arrays["final_h"])


@pytest.mark.wide
@pytest.mark.parametrize("output", ["out.npy", "out.npz", "out.csv"])
def test_inputs_larger_than_memory(lstm: Lstm, tmp_path: Path, output: str) -> None:
    """A 512 MB file, sparse on disk: what Python and NumPy allocate stays below 60 MB."""
    network(tmp_path / "w.npz", 64, 32)
    rows = {"out.csv": 270}.get(output, 2048)
    x = np.lib.format.open_memmap(
        tmp_path / "x.npy", "w+", np.float32, (rows, 1000, 64)
    )
    x[-1, -1] = 1
    del x
    lstm(
        "run", "w.npz", "x.npy", "--layout", "batch", "--steps", "0", "--batch", "0"
    )  # imports
    tracemalloc.start()
    try:
        words = ("--layout", "batch", "-o", output, "--only", "h")
        assert lstm("run", "w.npz", "x.npy", *words).status == 0
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
    if output == "out.npy":
        out = np.load(tmp_path / output, mmap_mode="r")
        assert out.shape == (rows, 1000, 32)
        assert (
            np.abs(out[-1, -1] - out[0, -1]).max() > 1e-3
        )  # where the one in the corner is seen


# ---- interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_an_interrupted_stream_can_be_continued(tmp_path: Path, number: int) -> None:
    network(tmp_path / "w.npz", 4, 3)
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    lines = [json.dumps(row.tolist()).encode() + b"\n" for row in x]
    words = ("run", "w.npz", "-", "-f", "jsonl", "--only", "h")
    process = start(
        *words, "--save-state", "s.npz",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"".join(lines[:5]))
    process.stdin.flush()
    first = [json.loads(process.stdout.readline()) for _ in range(5)]
    process.send_signal(number)
    process.wait(HANGING)  # with its standard input still open
    assert process.communicate() == (b"", b"")
    assert process.returncode == 128 + number
    assert int(np.load(tmp_path / "s.npz")["steps"]) == 5
    lstm = ("-m", "lstmcli")
    rest_of_them = b"".join(lines[5:]).decode()
    done = python(
        *lstm, *words, "--initial-state", "s.npz", cwd=tmp_path, given=rest_of_them
    )
    rest = [json.loads(line) for line in done.stdout.splitlines()]
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines))
    whole = python(*lstm, "run", "w.npz", "x.jsonl", *words[3:], cwd=tmp_path)
    expected = [json.loads(line)["h"] for line in whole.stdout.splitlines()]
    assert [step["h"] for step in first + rest] == expected


def test_an_interrupted_run_into_a_file_leaves_none(tmp_path: Path) -> None:
    network(tmp_path / "w.npz", 64, 64)
    x = np.lib.format.open_memmap(
        tmp_path / "x.npy", "w+", np.float32, (40, 40_000, 64)
    )
    del x
    words = (
        "run",
        "w.npz",
        "x.npy",
        "--layout",
        "batch",
        "-o",
        "o.npy",
        "--save-state",
        "s.npz",
    )
    process = start(*words, cwd=tmp_path)
    # a file is being written
    wait_until(lambda: len(os.listdir(tmp_path)) > 2, process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=HANGING)[1] == b""
    assert process.returncode == 130
    assert sorted(os.listdir(tmp_path)) == ["w.npz", "x.npy"]


# ---- the bar


BAR = """
import sys, time
from lstmcli.cli import progress
progress.PATIENCE = float(sys.argv[1])
with progress.ProgressBar(3000, ("sequences", 100)) as bar, progress.metered(bar) as meter:
    for _ in range(60):
        meter(50)
        time.sleep(0.05)
"""


def on_a_terminal(code: str, *words: str) -> str:
    """The text that a process shows on a terminal."""
    status, shown = on_pty(TOP, os.environ | {"TERM": "xterm"}, "-c", code, *words)
    assert status == 0, shown
    return shown


@pytest.mark.slow
def test_a_bar_shows_what_lasts(tmp_path: Path) -> None:
    shown = on_a_terminal(BAR, "0.05")
    assert "sequences/s" in shown
    assert "0:00:0" in shown
    assert on_a_terminal(BAR, "60") == ""


RUN = """
import sys
from lstmcli.api import save
from lstmcli.cli import invoke, progress
progress.PATIENCE = 0
progress.PAUSE = 0.001
sys.exit(invoke(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_has_a_bar_unless_it_is_to_be_quiet(tmp_path: Path) -> None:
    network(tmp_path / "w.npz", 64, 64)
    np.save(tmp_path / "x.npy", np.zeros((60, 3000, 64), np.float32))
    words = ["run", f"{tmp_path}/w.npz", f"{tmp_path}/x.npy", "--layout", "batch"]
    words += ["-o", f"{tmp_path}/out.npy"]
    assert "steps/s" in on_a_terminal(RUN, *words)
    assert on_a_terminal(RUN, *words, "-q") == ""


LOADING = """
import sys, time
from threading import Thread
from lstmcli.cli import progress
from lstmcli import threads
progress.PATIENCE = 0
looking = Thread(target=threads.versions)
with threads.loader_lock:
    bar = progress.ProgressBar(1).__enter__()
    looking.start()
    time.sleep(0.5)
    assert looking.is_alive()
    assert "rich.progress" not in sys.modules
looking.join()
time.sleep(1)
bar.__exit__()
"""


@pytest.mark.slow
def test_a_bar_is_not_imported_while_the_blas_is_looked_for() -> None:
    """The loader's lock and Python's: threads that hold one and want the other wait for ever."""
    assert "-:--:--" in on_a_terminal(LOADING)


# ---- tables of long runs


@pytest.mark.parametrize(
    ("H", "shape", "options"),
    [
        (3, (900, 9), ""),  # opened: a line a unit
        (66, (500, 9), "--steps 7,100,101"),
        (66, (131, 60, 9), "--layout batch --threads 2"),
        (66, (131, 60, 9), "--layout batch --batch 3,100"),
        (66, (131, 60, 9), "--layout batch --units 3,60 --steps -2:"),
        (66, (60, 70, 9), "--layout time --only h,f,z --cell-clip 0.5"),
        (5, (900, 9), "--only c,g --steps :"),
        (66, (2500, 9), "--steps :"),
    ],
)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.slow
def test_a_table_that_keeps_only_what_it_shows_is_the_table(
    lstm: Lstm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    H: int, shape: tuple[int, ...], options: str, layers: int,
) -> None:  # fmt: skip
    network(tmp_path / "w.npz", 9, H, layers=layers)
    np.save(
        tmp_path / "x.npy",
        np.random.default_rng(1).normal(size=shape).astype(np.float32),
    )
    words = ["run", "w.npz", "x.npy", *options.split()]
    monkeypatch.setattr("lstmcli.api.run.WORTH_THREADS", 0)
    whole = lstm(*words)
    assert whole.status == 0
    cut(monkeypatch, 50_000)
    assert lstm(*words) == whole


def test_a_summary_is_of_the_items_that_are_selected(
    lstm: Lstm, tmp_path: Path
) -> None:
    """Both, one and none of them are in the same block of the batch."""
    network(tmp_path / "w.npz", 9, 66)
    x = np.random.default_rng(1).normal(size=(300, 5, 9)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    words = ["run", "w.npz", "x.npy", "--layout", "batch"]
    assert len(batch_chunks(300, load.load(str(tmp_path / "w.npz")))) == 2
    assert lstm(*words, "-o", "o.npz").status == 0
    whole = np.load(tmp_path / "o.npz")["h"]
    for items in ([3, 290], [3, 7], [290, 299]):
        h = whole[items]
        out = lstm(*words, "--batch", ",".join(map(str, items))).out
        assert f"h {h.min():.3f} .. {h.max():.3f} " in out
