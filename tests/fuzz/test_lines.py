"""The fuzz of command lines lets nothing pass that it should not, and repeats itself."""

from __future__ import annotations

import pytest

from tests.faults.running import Ended
from tests.fuzz.lines import LINES, line, wrong
from tests.fuzz.test_fuzz import output_of

BEFORE = {"weights.npz": b"weights", "folder": b""}
WORDS = ["run", "weights.npz", "x.npy", "-o", "new.npz"]


def ended(status: int | None, err: str = "", **files: bytes) -> Ended:
    """How a line ended that wrote files; a name's dot is written as ``_``."""
    written = {name.replace("_", "."): data for name, data in files.items()}
    return Ended(status, b"", err, BEFORE | written)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (ended(None, "ValueError: for nobody"), "ValueError: for nobody"),
        (ended(3), "status 3"),
        (ended(2, "Traceback (most recent call last)"), "a traceback"),
        (ended(2, "x" * 1501), "1501 characters"),
        (ended(0, "\x1b[31m"), "a control character"),
        (ended(2), "without a message"),
        (ended(2, "no", new_npz=b"half"), "['new.npz'] written"),
        (ended(2, "no")._replace(files={}), "['folder', 'weights.npz'] gone"),
        (ended(0, new_npz_part=b"half"), "left behind"),
        (ended(0, weights_npz=b"other")._replace(out=b"done"), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_line_may_do_is_found(how: Ended, text: str) -> None:
    assert text in wrong(WORDS, BEFORE, how)


def test_a_file_that_no_word_names_may_not_be_overwritten() -> None:
    assert "overwritten" in wrong(["init"], BEFORE, ended(0, weights_npz=b"other"))


@pytest.mark.parametrize("how", [ended(0, "a remark", new_npz=b"all"), ended(1), ended(2, "no")])
def test_a_result_or_a_message_is_right(how: Ended) -> None:
    assert not wrong(WORDS, BEFORE, how)


def test_lines_repeat_and_differ() -> None:
    lines = [line(1, number) for number in range(200)]
    assert lines == [line(1, number) for number in range(200)]
    assert len({tuple(words) for words in lines}) > 150
    assert {words[0] for words in lines if words} >= LINES.keys()


@pytest.mark.slow
def test_some_lines_end_in_a_result_or_a_message() -> None:
    shown = output_of("-m", "tests.fuzz.lines", "--seed", "4", "--count", "100")
    assert all(f" of status {status}" in shown for status in (0, 1, 2))
