"""Text for a terminal and for a shell."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import tomllib
import unicodedata
from importlib.metadata import PackageNotFoundError

import pytest

from lstmcli.errors import (
    MissingExtra,
    UserError,
    did_you_mean,
    install_command,
    packages_of,
)
from lstmcli.escaping import (
    file_argument,
    one_line,
    shell_word,
    typed_command,
    with_article,
)
from lstmcli.views.sheet import Column, Sheet, table
from tests.paths import TOP

ESCAPED = {
    "\x00": r"\x00", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\x1b": r"\x1b", "\x1f": r"\x1f",
    "\x7f": r"\x7f", "\x80": r"\x80", "\x85": r"\x85", "\x9b": r"\x9b", "\x9f": r"\x9f",
    "\u061c": r"\u061c", "\u200e": r"\u200e", "\u200f": r"\u200f", "\u2028": r"\u2028",
    "\u2029": r"\u2029", "\u202a": r"\u202a", "\u202e": r"\u202e", "\u2066": r"\u2066",
    "\u2069": r"\u2069", "\ud800": r"\ud800", chr(0xDCFF): r"\udcff", "\ufffe": r"\ufffe",
    "\uffff": r"\uffff", "\u00ad": r"\xad", "\u200b": r"\u200b", "\u2060": r"\u2060",
    "\ufeff": r"\ufeff", "\ufe0f": r"\ufe0f", "\u3164": r"\u3164",
    "\U000e0041": r"\U000e0041",
}  # fmt: skip
ALL = "".join(ESCAPED)


@pytest.mark.parametrize(("character", "escaped"), ESCAPED.items())
def test_characters_that_a_terminal_interprets_are_escaped(
    character: str, escaped: str
) -> None:
    assert one_line(f"a{character}b") == f"a{escaped}b"
    assert one_line(one_line(f"a{character}b")) == f"a{escaped}b"


def test_no_control_or_format_character_is_shown_raw() -> None:
    """By the categories of Unicode."""
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert one_line(chr(code)).isascii(), hex(code)


def test_other_text_stays_as_it_is() -> None:
    text = "größe 层 日本 λ \N{NO-BREAK SPACE}▀⣿ \\x1b e\u0301 \N{GRINNING FACE} שלום"
    assert one_line(text) == text


def test_an_error_has_a_line_an_argument() -> None:
    error = UserError("a\nb\x1b", "  c\nd")
    assert str(error) == "a\\nb\\x1b\n  c\\nd"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert error.within("w.json").lines == ("w.json: a\\nb\\x1b", "  c\\nd")


@pytest.mark.parametrize("made", [
    lambda: Sheet().label(ALL, ALL),
    lambda: Sheet().command("next", ALL),
    lambda: table([Column(ALL, [ALL, "1"]), Column("b", ["2", "3"])]),
    lambda: Sheet(lines=[[(ALL, "bold")]]),
])  # fmt: skip
def test_no_sheet_gives_control_characters(made: object) -> None:
    sheet = made()  # type: ignore[operator]
    assert r"\x1b" in sheet.plain()
    for line in [
        *sheet.rows(),
        *("".join(t for t, _ in spans) for spans in sheet.spans()),
    ]:
        assert not set(line) & set(ALL)


def test_columns_of_escaped_texts_line_up() -> None:
    lines = table(
        [Column("a", ["\x1b", "1"], left=True), Column("b", ["2", "3"])]
    ).plain()
    assert lines == "a     b\n\\x1b  2\n1     3\n"


WORDS = ["a b", "$(touch x)", "`touch x`", "it's", '"', "a\\b", "*", "~", "a;b", "-x", "", "#a",
         "a\nb", "\x1b[31m'", "\udcff", "\u202e$(touch x)", "{a,b}", "!!", "größe"]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_the_word_that_was_escaped(word: str, tmp_path: object) -> None:
    typed = shell_word(word)
    assert one_line(typed) == typed
    done = subprocess.run(
        ["bash", "-c", f"printf %s {typed}" if word != "-x" else f"printf %s -- {typed}"],
        cwd=str(tmp_path), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.removeprefix(b"--") == os.fsencode(word)
    assert not os.listdir(str(tmp_path))


def test_a_path_is_never_an_option() -> None:
    assert file_argument("-x.npz") == "./-x.npz"
    assert file_argument("-") == "-"
    assert file_argument("a/-x.npz") == "a/-x.npz"
    assert typed_command("lstm", "run", file_argument("-a b")) == "lstm run './-a b'"


# ---- errors: what a message says and that it survives being handed to another process


def test_a_missing_extra_survives_pickle() -> None:
    error = MissingExtra("a figure", "matplotlib", "plot")
    assert pickle.loads(pickle.dumps(error)).lines == error.lines


def test_install_commands_have_the_packages_of_the_extras() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name in extras.keys() - {"formats", "docs", "fuzz", "test", "dev"}:
        assert packages_of(name) == extras[name]
        for package in extras[name]:
            assert package in install_command(name)


def test_without_an_installation_the_extra_itself_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert packages_of("h5") == ["lstmcli[h5]"]


@pytest.mark.parametrize("line", ["x" * 100_000, "\x1b" * 1000, "a\nb" * 1000])
def test_a_message_is_bounded_and_ends_with_what_to_type(line: str) -> None:
    for error in (
        UserError(line, "  lstm run"),
        UserError(*[line[:9]] * 9000, "  lstm run"),
    ):
        for one in (error, error.within("a file"), pickle.loads(pickle.dumps(error))):
            assert 1400 < len(str(one)) <= 1500
            assert one.lines[-1].endswith("lstm run")
            assert str(one).count(" ... ") == 1


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("kears", ["keras", "onnx"], "keras"),
        ("rnu", ["run", "diff"], "run"),
        ("--forgetbias", ["--forget-bias", "--format"], "--forget-bias"),
        ("forget_gate_bias", ["forget_bias", "bias"], "forget_bias"),
        (
            "recurrent_activation_name",
            ["recurrent_gates", "recurrent_activation"],
            "recurrent_activation",
        ),
        ("gate_of_the_cell", ["gates", "gate_clip"], None),
        ("--inputs", ["--units", "--lengths", "--set"], None),
        ("--batch-size", ["--digits", "--html"], None),
        ("x", ["h", "c", "i"], None),
        ("torch", ["onnxruntime", "jax"], None),
    ],
)
def test_only_what_is_near_is_suggested(
    word: str, known: list[str], near: str | None
) -> None:
    assert did_you_mean(word, known) == (f" Did you mean '{near}'?" if near else "")


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("--batch_first", ["--batch", "--layout"], "--layout batch"),
        ("time_major", ["layout", "lengths"], "layout='time'"),
        ("batch_first", ["batch", "time"], "'batch'"),
        ("batch_first", ["h", "c"], None),
        ("sequence_length", ["layout", "lengths"], "'lengths'"),
        (
            "inner_activation",
            ["activation", "recurrent_activation"],
            "'recurrent_activation'",
        ),
        ("zero_output_for_mask", ["--mask", "--masked-output"], "--masked-output zero"),
    ],
)
def test_a_framework_s_name_suggests_ours(
    word: str, known: list[str], meant: str | None
) -> None:
    assert did_you_mean(word, known) == (f" Did you mean {meant}?" if meant else "")


def test_a_known_name_that_is_empty_is_not_a_suggestion() -> None:
    """The label of an LSTM without a prefix is empty."""
    assert did_you_mean("7", [""]) == ""


@pytest.mark.parametrize(
    "words", ["an LSTM", "an If", "a Loop", "an ONNX", "a GRU", "an int", "a list"]
)
def test_the_article_is_that_of_the_sound(words: str) -> None:
    assert with_article(words.split()[1]) == words
