"""Every command at every width, in every encoding, with every environment: never a traceback."""

from __future__ import annotations

import re
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.cli import COMMANDS
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm
from tests.cli.test_messages import Terminal
from tests.paths import TOP
from tests.processes import python

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
THEIRS, OURS = (
    TOP / "samples" / "question" / f"{name}.txt" for name in ("tensorflow", "numpy")
)
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
        np.savez(
            net.parent / "other.npz", **{name: arrays[name] + 1 for name in arrays}
        )
    return net.parent


def test_every_command_is_swept() -> None:
    assert {words[0] for words in LINES} >= set(COMMANDS)


ODD = ["0", "-5", "²", "٣", "wide", "1e3", "9" * 5000, "1000000000"]
MORE_WIDTHS = [*product(("10", "40"), ("", "1")), *((odd, "1") for odd in ODD)]


@pytest.mark.parametrize(
    ("columns", "colors"),
    [
        *product(("1", "20"), ("", "1")),
        *(pytest.param(*case, marks=pytest.mark.wide) for case in MORE_WIDTHS),
    ],
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
    assert not Counter(wide.split()) - Counter(
        narrow.split()
    )  # the array is named in each table


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
        (*words, "--color", color)
        if words[0] in ("run", "diff", "plot", "derive")
        else words
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
    done = python("sweep.py", cwd=files, **environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr


# ---- screens from 60 to 200 columns: every line fits, no number is broken, sentences end at 100


WIDTHS = (60, 72, 80, 100, 120, 160, 200)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
COMMAND = re.compile(
    r"^(next|reproduce)?\s*lstm |^next +--"
)  # there to be copied: never wrapped
SCREENS = [
    ("run", "w.npz", "x.npy"), ("run", "net.npz"), ("run", "large.npz"), ("run", "stack.npz"),
    ("run", "stack.npz", "--units", "0:2", "--batch", 0), ("run", "tiny.npz", "--steps", ":"),
    ("diff", "n.txt", "t.txt"), ("diff", "a.npz", "b.npz"), ("diff", "a.npz", "last.npy"),
    ("diff", "a.npz", "b.npz", "--per-step"), ("diff", "a.npz", "noise.npz"),
    ("derive", "w.npz", "x.npy", "--steps", 1, "--units", 0),
    ("derive", "w.npz", "x.npy", "--steps", 1, "--units", 0, "--against", "n.txt"),
    ("derive", "w.npz", "x.npy", "--steps", 1, "--units", 0, "--gate", "f", "--against", "n.txt"),
    ("inspect", "w.npz"), ("inspect", "stack.npz"), ("inspect", "a.npz"),
    ("explain", "w.npz", "x.npy", "n.txt"), ("explain", "w.npz", "x.npy", "t.txt"),
    ("plot", "w.npz", "x.npy"), ("plot", "w.npz", "x.npy", "--units", 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample by short names, and nets of several sizes with their inputs and traces."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    short = {"w.npz": "weights.npz", "x.npy": "inputs.npy"}
    for name, of_sample in {
        **short,
        "n.txt": "numpy.txt",
        "t.txt": "tensorflow.txt",
    }.items():
        (folder / name).write_bytes((SAMPLE / of_sample).read_bytes())
    stack = networks.pytorch(3, 3, layers=2, directions=2, bias=False, scale=0.5)
    np.savez(folder / "stack.npz", **stack, inputs=rng.normal(size=(4, 2, 3)))
    for name, scale, units in (("large", 0.1, 60), ("tiny", 1e-4, 3)):
        np.savez(
            folder / f"{name}.npz",
            kernel=scale * rng.normal(size=(4 + units, 4 * units)),
            bias=np.zeros(4 * units),
            inputs=rng.normal(size=(2, 50, 4)),
        )
    net: dict[str, Any] = {
        "kernel": rng.normal(size=(7, 12)),
        "bias": rng.normal(size=12),
    }
    np.savez(folder / "net.npz", **net, inputs=(x := rng.normal(size=(5, 7, 4))))
    trace = lstmcli.run(net, x)
    lstmcli.save(trace, folder / "a.npz")
    lstmcli.save(lstmcli.run(net, x, forget_bias=0), folder / "b.npz")
    noisy: dict[str, Any] = {
        k: a + rng.normal(0, 1e-3, a.shape) for k, a in trace.arrays.items()
    }
    np.savez(folder / "noise.npz", **noisy)
    np.save(folder / "last.npy", trace.h[:, -1])
    return folder


@pytest.fixture
def pairs(lstm: Lstm, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder with the pairs, which commands only read."""
    monkeypatch.chdir(written)


def lines_of(lstm: Lstm, words: tuple[object, ...]) -> list[str]:
    out = ESCAPE.sub("", lstm(*words, "--color", "always").out)
    return [line.rstrip() for line in out.splitlines()]


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("words", SCREENS, ids=lambda words: " ".join(map(str, words)))
@pytest.mark.slow
def test_a_screen_fits_from_60_to_200_columns(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    widest = {n for line in lines_of(lstm, words) for n in NUMBER.findall(line)}
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        lines = lines_of(lstm, words)
        assert lines
        for line in lines:
            named = (
                words[0] == "inspect" and line.rpartition("  ")[0]
            )  # by a tensor, in full
            assert len(named or line) <= width or COMMAND.match(line), (width, line)
            assert not re.search(r"\d…|…\d", line)
            is_prose = any(
                len(re.findall("[a-z]{2,}", p)) > 7 for p in re.split(" {2,}", line)
            )
            assert len(line) <= 100 or not is_prose or COMMAND.match(line), (
                width,
                line,
            )
        if words[0] != "plot":  # whose axes have other numbers
            found = {n for line in lines for n in NUMBER.findall(line)}
            assert found <= widest | extremes(lines), (width, found - widest)


def extremes(lines: list[str]) -> set[str]:
    """Numbers of the lines for prose and strips of errors, whose bars follow the width."""
    return {
        n
        for line in lines
        if re.search(r"[▁▂▃▄▅▆▇█]", line)
        for n in NUMBER.findall(line)
    }


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("width", WIDTHS)
def test_the_columns_that_are_left_out_are_named(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = "\n".join(lines_of(lstm, ("diff", "a.npz", "b.npz")))
    heading = next(line for line in text.splitlines() if line.startswith("array"))
    hidden = re.search(r"columns? hidden: ([^(]+)", text)
    named = " ".join(hidden[1].split()).split(", ") if hidden else []
    for name in (
        "differ",
        "a",
        "b",
        "max abs",
        "equal only with",
        "cosine",
        "SNR",
        "max rel",
    ):
        assert (name in re.split(" {2,}", heading)) != (name in named), name


DIM = re.compile(r"\x1b\[2m(.*?)\x1b\[0m")


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("words", SCREENS, ids=lambda words: " ".join(map(str, words)))
@pytest.mark.sampled(3)
def test_only_labels_and_scales_are_dim(lstm: Lstm, words: tuple[object, ...]) -> None:
    """Dim text is hard to read on some terminals: no sentence, value or name is only dim."""
    out = lstm(*words, "--color", "always").out
    for text in DIM.findall(out):
        assert len(re.findall("[a-z]{2,}", text)) <= 3 or re.search(
            " {2,}", text.strip()
        ), text
        assert not NUMBER.search(text) or words[0] == "plot", text
