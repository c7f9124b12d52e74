"""Screens from 60 to 200 columns: every line fits, no number is broken, sentences end at 100."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm

WIDTHS = (60, 72, 80, 100, 120, 160, 200)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
COMMAND = re.compile(r"^(next|reproduce)?\s*lstm |^next +--")  # there to be copied: never wrapped
LINES = [
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
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    short = {"w.npz": "weights.npz", "x.npy": "inputs.npy"}
    for name, of_sample in {**short, "n.txt": "numpy.txt", "t.txt": "tensorflow.txt"}.items():
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
    net: dict[str, Any] = {"kernel": rng.normal(size=(7, 12)), "bias": rng.normal(size=12)}
    np.savez(folder / "net.npz", **net, inputs=(x := rng.normal(size=(5, 7, 4))))
    trace = lstmcli.run(net, x)
    lstmcli.save(trace, folder / "a.npz")
    lstmcli.save(lstmcli.run(net, x, forget_bias=0), folder / "b.npz")
    noisy: dict[str, Any] = {k: a + rng.normal(0, 1e-3, a.shape) for k, a in trace.arrays.items()}
    np.savez(folder / "noise.npz", **noisy)
    np.save(folder / "last.npy", trace.h[:, -1])
    return folder


@pytest.fixture
def files(lstm: Lstm, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder with the files, which commands only read."""
    monkeypatch.chdir(written)


def lines_of(lstm: Lstm, words: tuple[object, ...]) -> list[str]:
    out = ESCAPE.sub("", lstm(*words, "--color", "always").out)
    return [line.rstrip() for line in out.splitlines()]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("words", LINES, ids=lambda words: " ".join(map(str, words)))
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
            assert len(line) <= width or COMMAND.match(line), (width, line)
            assert not re.search(r"\d…|…\d", line)
            is_prose = any(len(re.findall("[a-z]{2,}", p)) > 7 for p in re.split(" {2,}", line))
            assert len(line) <= 100 or not is_prose or COMMAND.match(line), (width, line)
        if words[0] != "plot":  # whose axes have other numbers
            found = {n for line in lines for n in NUMBER.findall(line)}
            assert found <= widest | extremes(lines), (width, found - widest)


def extremes(lines: list[str]) -> set[str]:
    """Numbers of the lines for prose and strips of errors, whose bars follow the width."""
    return {n for line in lines if re.search(r"[▁▂▃▄▅▆▇█]", line) for n in NUMBER.findall(line)}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("width", WIDTHS)
def test_the_columns_that_are_left_out_are_named(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = "\n".join(lines_of(lstm, ("diff", "a.npz", "b.npz")))
    heading = next(line for line in text.splitlines() if line.startswith("array"))
    hidden = re.search(r"hidden columns: ([^(]+)", text)
    named = " ".join(hidden[1].split()).split(", ") if hidden else []
    for name in ("differ", "%", "max abs", "required atol", "cosine", "SNR dB", "max rel"):
        assert (name in heading) != (name in named), name


DIM = re.compile(r"\x1b\[2m(.*?)\x1b\[0m")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("words", LINES, ids=lambda words: " ".join(map(str, words)))
@pytest.mark.sampled(3)
def test_only_labels_and_scales_are_dim(lstm: Lstm, words: tuple[object, ...]) -> None:
    """Dim text is hard to read on some terminals: no sentence, value or name is dim alone."""
    out = lstm(*words, "--color", "always").out
    for text in DIM.findall(out):
        assert len(re.findall("[a-z]{2,}", text)) <= 3 or re.search(" {2,}", text.strip()), text
        assert not NUMBER.search(text) or words[0] == "plot", text


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("words", [("diff", "a.npz", "b.npz"), ("inspect", "net.npz")])
def test_a_file_of_a_screen_has_all_columns(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    piped = lstm(*words).out
    monkeypatch.setenv("COLUMNS", "40")
    lstm(*words, "--html", "screen.html")
    text = re.sub("<[^>]*>", "", Path("screen.html").read_text())
    assert "terminal" not in text
    heading = next(line for line in piped.splitlines() if re.match("array |shape ", line))
    assert " ".join(heading.split()) in " ".join(text.split())
