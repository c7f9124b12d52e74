"""Every command at every width, in every encoding, with every environment: never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lstmcli.cli import COMMANDS
from tests.cli.conftest import SAMPLE, Lstm
from tests.cli.test_messages import Terminal
from tests.paths import TOP

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
THEIRS, OURS = (TOP / "samples" / "question" / f"{name}.txt" for name in ("tensorflow", "numpy"))
CELL = ("--steps", 2, "--units", 1)
LINES = [
    ("run", WEIGHTS, INPUTS),
    ("run", "net.npz"),
    ("run", "net.npz", "--only", "z", "--digits", 17),
    ("diff", THEIRS, OURS),
    ("diff", "net.npz", "other.npz"),
    ("plot", WEIGHTS, INPUTS),
    ("plot", WEIGHTS, INPUTS, "--units", 0),
    ("plot", THEIRS, OURS),
    ("plot", "net.npz", "--batch", 1),
    ("derive", WEIGHTS, INPUTS, *CELL),
    ("derive", WEIGHTS, INPUTS, *CELL, "--gate", "f"),
    ("inspect", WEIGHTS),
    ("inspect", "net.npz"),
    ("explain", WEIGHTS, INPUTS, THEIRS),
    ("explain", WEIGHTS, INPUTS, OURS),
    ("check", WEIGHTS, INPUTS, "--engine", "torch"),
    ("convert", WEIGHTS, "out.npz", "--to", "keras"),
    ("init", "--inputs", 2, "--units", 3, "-o", "made.npz"),
    ("conventions",),
    ("conventions", "tf1"),
    ("completion", "bash"),
    ("help",),
    *((name, "--help") for name in COMMANDS),
    ("--help",),
    ("run", "no-such-file-of-a-long-name.npz", "and-other.npy"),
    ("run", WEIGHTS, INPUTS, "--no-such-option"),
]


@pytest.fixture
def files(net: Path) -> Path:
    """A net, and another whose numbers differ."""
    with np.load(net) as arrays:
        np.savez(net.parent / "other.npz", **{name: arrays[name] + 1 for name in arrays})
    return net.parent


def test_every_command_is_swept() -> None:
    assert {words[0] for words in LINES} >= set(COMMANDS)


ODD = ["0", "-5", "²", "٣", "wide", "1e3", "9" * 5000, "1000000000"]


@pytest.mark.parametrize(
    ("columns", "colors"),
    [*product(("1", "10", "20", "40"), ("", "1")), *((odd, "1") for odd in ODD)],
)
@pytest.mark.usefixtures("files")
@pytest.mark.slow
def test_every_command_at_every_width(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, columns: str, colors: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    monkeypatch.setenv("FORCE_COLOR", colors)
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    for words in LINES if columns not in ODD else LINES[::3]:
        done = lstm(*words)  # an exception would come out here
        assert done.status in (0, 1, 2), words
        assert done.out or done.err, words
        assert done.out == "" or done.status != 2, words


def test_no_word_is_lost_where_nothing_has_room(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = lstm("diff", THEIRS, OURS).out
    monkeypatch.setenv("COLUMNS", "1")
    narrow = lstm("diff", THEIRS, OURS).out
    assert not Counter(wide.split()) - Counter(narrow.split())  # the array is named in each table


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_tables_in_a_pipe_fit_columns_and_no_column_is_left_out(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: int
) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        arrays = {k: rng.normal(size=(7, 2, 3)).astype(np.float32) for k in ("h", "layer0.c")}
        np.savez(tmp_path / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    words = ("diff", tmp_path / "a.npz", tmp_path / "b.npz", "--layout", "time", "--per-step")
    full = lstm(*words).out
    monkeypatch.setenv("COLUMNS", str(columns))
    out = lstm(*words).out
    lines = [line for line in out.splitlines() if not line.startswith(("a  ", "b  ", "next "))]
    assert max(map(len, lines)) <= columns
    assert "hidden" not in out
    for heading in ("differ", "required atol", "cosine", "SNR dB", "max rel", "max ulp"):
        assert heading in out
        assert heading in full
    assert not re.search(r"^array +at\b", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("environment", "color"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "never"),
        ({"PYTHONIOENCODING": "ascii"}, "always"),
        ({"PYTHONIOENCODING": "latin-1"}, "never"),
        ({"PYTHONIOENCODING": "utf-16"}, "always"),
    ],
)
@pytest.mark.slow
def test_every_command_in_every_encoding(
    files: Path, environment: dict[str, str], color: str
) -> None:
    """In one process of that encoding, where all of them write to its stdout."""
    name = "größe-日本-🙂.npz"
    (files / name).write_bytes(WEIGHTS.read_bytes())
    shown = [
        (*words, "--color", color) if words[0] in ("run", "diff", "plot", "derive") else words
        for words in (
            *LINES,
            ("inspect", name),
            ("run", name),
            ("run", name, INPUTS),
            ("run", "日"),
        )
    ]
    code = (
        "from lstmcli.cli import invoke\n"
        f"for words in {[[str(word) for word in words] for words in shown]!r}:\n"
        "    assert invoke(words) in (0, 1, 2), words\n"
    )
    (files / "sweep.py").write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "sweep.py"], cwd=files, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(TOP), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_a_figure_needs_no_backend(tmp_path: Path) -> None:
    """MPLBACKEND names what matplotlib shows windows with; a file has no use for it."""
    pytest.importorskip("matplotlib")
    target = tmp_path / "figure.png"
    done = subprocess.run(
        [sys.executable, "-m", "lstmcli", "plot", WEIGHTS, INPUTS, "-o", target],
        cwd=TOP, env={**os.environ, "MPLBACKEND": "foo"}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert target.stat().st_size > 1000
