"""Errors and remarks on stderr: wrapped for a terminal, untouched in a pipe."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.cli.terminal import remark, wrapped
from tests.cli.conftest import SAMPLE, Lstm
from tests.paths import PACKAGE

PATH = "/a/folder-with-a-long-name/and-another-one/weights-of-a-model.safetensors"
TEXT = f"""\
lstm run: {PATH} holds tensors of two LSTMs; choose one with --layer, or give more than one of them.
  --convention onnx  ONNX LSTM: W, R, B (8H), P; directions on a first axis
  lstm run {PATH} inputs.npy --layer 0 --forget-bias 1 --steps 3
  {sys.executable} -m pip install 'safetensors>=0.4' and this goes on beyond the width"""


def test_lines_keep_their_indentation_and_words_are_not_split() -> None:
    assert wrapped(TEXT, 60).split("\n") == [
        "lstm run:",
        f"  {PATH}",
        "  holds tensors of two LSTMs; choose one with --layer, or",
        "  give more than one of them.",
        "  --convention onnx  ONNX LSTM: W, R, B (8H), P; directions",
        "  on a first axis",
        *TEXT.split("\n")[2:],  # commands, to be copied
    ]


@pytest.mark.parametrize("width", [1, 20, 60, 80, 200])
def test_no_word_is_lost(width: int) -> None:
    assert wrapped(TEXT, width).split() == TEXT.split()


def test_a_text_that_fits_stays_as_it_is() -> None:
    assert wrapped(TEXT, 2000) == TEXT


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def test_errors_and_remarks_are_wrapped_only_on_a_terminal(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "no-such-folder/" * 4 + "w.npz"
    piped = lstm("run", name, "--layer", "one").err
    assert piped.count("\n") == 1
    assert len(piped) > 60
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    monkeypatch.setenv("COLUMNS", "60")
    done = lstm("run", name, "--layer", "one")
    assert done.status == 2
    assert done.err.split() == piped.split()
    assert all(
        len(line) <= 60 or len(line.split()) == 1 for line in done.err.splitlines()
    )
    assert done.err.count("\n") > 1
    lstm(
        "run",
        name,
        "--no-such-option-at-all",
        "and more words",
        "that are too many for a line",
    )
    remark(
        "a backward cell starts from the last step: runs in chunks differ from the whole."
    )
    assert capfd.readouterr().err == (
        "lstm: note: a backward cell starts from the last step: runs\n"
        "  in chunks differ from the whole.\n"
    )


def test_messages_name_the_packages_to_install() -> None:
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    assert len(sources) > 100
    assert not [text for text in sources if re.search(r"pip install .?lstmcli", text)]


@pytest.mark.parametrize("words", ["--lengths lengths.txt", "--only {}", "--x{}"])
def test_no_message_is_longer_than_a_screen(lstm: Lstm, words: str) -> None:
    """However many names and numbers files have, it ends with what to type."""
    Path("lengths.txt").write_text(",".join(["1.5"] * 9000))
    files = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")
    done = lstm("run", *files, *words.format("a" * 9000).split())
    assert done.status == 2
    assert len(done.err) <= 1501
    np.savez("many.npz", **{f"a{n}": np.zeros(2) for n in range(1000)})  # type: ignore[arg-type]
    done = lstm("run", SAMPLE / "weights.npz", "many.npz")
    assert done.status == 2
    assert len(done.err) <= 1501


def test_a_remark_is_bounded_too(capfd: pytest.CaptureFixture[str]) -> None:
    remark("x" * 100_000)
    assert len(capfd.readouterr().err) == 1501


WEIGHTS = SAMPLE / "weights.npz"


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("matplotlib", ("plot", WEIGHTS, SAMPLE / "inputs.npy", "-o", "plot.png")),
        (
            "safetensors.numpy",
            ("convert", WEIGHTS, "net.safetensors", "--to", "pytorch-cell"),
        ),
        ("onnx", ("convert", WEIGHTS, "net.onnx", "--to", "onnx")),
    ],
)
def test_without_a_library_a_line_says_what_to_install(
    lstm: Lstm,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    package: str,
    words: Any,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = lstm(*words)
    assert done.status == 2
    assert (
        f"  {sys.executable} -m pip install '{package.partition('.')[0]}>=" in done.err
    )
    assert list(tmp_path.iterdir()) == []
