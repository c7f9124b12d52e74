"""Colours, widths, and screens that go to files."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lstmcli.cli.terminal import SUBSTITUTES
from lstmcli.views.colors import ABOVE, BELOW, SHADES
from tests.cli.conftest import SAMPLE, Lstm
from tests.paths import TOP
from tests.processes import python

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
QUESTION = TOP / "samples" / "question"
RUN = ("run", WEIGHTS, INPUTS)
PLOT = ("plot", WEIGHTS, INPUTS)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


# ---- colours


COLOR = re.compile(r"\x1b\[[0-9;]*(3[0-8]|9[0-7]|4[0-8])[0-9;]*m")


def test_no_color_goes_before_force_color_and_the_option_before_both(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    done = lstm(*PLOT, "--only", "h").out
    assert not COLOR.search(done)
    assert "····" in done  # characters in place of colours
    for words in (PLOT, RUN, ("inspect", WEIGHTS)):
        assert "\x1b" not in lstm(*words).out  # neither bold nor dim
    assert COLOR.search(lstm(*PLOT, "--only", "h", "--color", "always").out)
    monkeypatch.setenv("NO_COLOR", "")  # empty: as if it were not there
    assert COLOR.search(lstm(*PLOT, "--only", "h").out)


@pytest.mark.parametrize(
    ("term", "colorterm", "mark"),
    [
        ("xterm-256color", "truecolor", r"\x1b\[48;2;\d+;\d+;\d+m"),
        ("xterm-256color", "", r"\x1b\[48;5;\d+m"),
        ("xterm", "", "  [·=░-]+"),
    ],
)
def test_as_many_colours_as_the_terminal_has(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, term: str, colorterm: str, mark: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLORTERM", colorterm)
    out = lstm(*PLOT, "--only", "h", "--color", "always").out
    assert re.search(mark, out)
    others = {"48;2;": "truecolor" in colorterm, "48;5;": "48;5" in mark}
    for code, expected in others.items():
        assert (f"\x1b[{code}" in out) == expected


@pytest.mark.slow
def test_an_encoding_without_blocks_shows_letters_that_look_alike(lstm: Lstm) -> None:
    for words in (PLOT, (*PLOT, "--units", "0"), RUN):
        done = python("-m", "lstmcli", *words, PYTHONIOENCODING="ascii")
        assert done.stdout.isascii()
        assert "?" not in done.stdout
        utf8 = lstm(*words).out.splitlines()
        assert [len(line) for line in done.stdout.splitlines()] == [
            len(line) for line in utf8
        ]


def test_letters_distinguish_signs_and_sizes() -> None:
    for characters in (f" {BELOW[::-1]}{ABOVE}", SHADES):
        alike = [one.encode("ascii", SUBSTITUTES) for one in characters]
        assert len(set(alike)) == len(characters)


# ---- files


def test_an_option_that_is_gone_names_what_to_use(lstm: Lstm) -> None:
    done = lstm(*RUN, "--html", "screen.html")
    assert done.status == 2
    first, help_of = done.err.splitlines()
    assert first == (
        "lstm run: error: --html is gone: --svg FILE saves what is shown; plot and "
        "explain have --page FILE, an interactive page."
    )
    assert help_of.strip() == "lstm run --help"
    assert not Path("screen.html").exists()


def test_a_picture_contains_the_words_of_the_terminal_at_their_positions(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "COLUMNS", "140"
    )  # a narrower terminal leaves out columns, a picture none
    screen = lstm(
        "diff", QUESTION / "tensorflow.txt", QUESTION / "numpy.txt", "--color", "always"
    )
    done = lstm(
        "diff", QUESTION / "tensorflow.txt", QUESTION / "numpy.txt", "--svg", "s.svg"
    )
    assert (done.status, done.out) == (1, "")
    picture = ElementTree.parse("s.svg").getroot()
    rows: dict[float, str] = {}
    for text in picture.iter("{http://www.w3.org/2000/svg}text"):
        column = round((float(text.attrib["x"]) - 14) / 8.43)
        y = float(text.attrib["y"])
        rows[y] = rows.get(y, "").ljust(column) + unescape(text.text or "")
    shown = [
        line.rstrip()
        for line in ESCAPE.sub("", screen.out).splitlines()
        if line.strip()
    ]
    assert [row for _, row in sorted(rows.items())][1:] == shown


def test_pictures_fetch_nothing_and_follow_light_and_dark(lstm: Lstm) -> None:
    lstm(*PLOT, "--svg", "s.svg")
    picture = Path("s.svg").read_text()
    assert "prefers-color-scheme: dark" in picture
    links = set(re.findall(r"https?://[^\"]*", picture))
    assert links == {"http://www.w3.org/2000/svg"}
    assert "url(" not in picture
    before = Path("s.svg").read_bytes()
    lstm(*PLOT, "--svg", "s.svg")
    assert Path("s.svg").read_bytes() == before
