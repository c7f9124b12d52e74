"""The table of conventions as people see it: every field in words, and 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.views.conventions import LINES, convention_sheet, conventions_sheet
from lstmcli.views.sheet import Width

ROWS = list(CONVENTIONS.values())


def test_every_field_in_which_conventions_differ_has_its_words() -> None:
    """But words of gates in the names of tensors, which the names show."""
    told = {line.field for lines in LINES.values() for line in lines}
    documents = [row.to_json() for row in ROWS]
    differ = {
        field
        for field in documents[0]
        if len({str(one[field]) for one in documents}) > 1
    }
    assert (
        differ - {"name", "title", "words", "recurrent_words"}
        <= told
        <= documents[0].keys()
    )


def test_every_value_of_a_row_has_its_words_unless_it_is_the_usual_one() -> None:
    usual = Convention.row("plain", "", {}).to_json()
    for line in (line for lines in LINES.values() for line in lines):
        if isinstance(line.words, Mapping):
            values = {row.to_json()[line.field] for row in ROWS} - {usual[line.field]}
            assert values <= set(line.words), line.field


def test_the_table_fits_80_columns_and_is_a_line_a_row_in_a_pipe() -> None:
    assert all(len(row) <= 80 for row in conventions_sheet(ROWS, Width.of(80)).rows())
    piped = list(conventions_sheet(ROWS, Width.of(None)).rows())
    assert [row.split()[0] for row in piped[1 : len(ROWS) + 1]] == list(CONVENTIONS)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_page_fits_80_columns_and_has_no_field_without_words(name: str) -> None:
    rows = [*convention_sheet(CONVENTIONS[name], Width.of(80)).rows()]
    assert all(len(row) <= 80 for row in rows)
    assert len(rows) > 8
    assert not any(word in " ".join(rows) for word in ("None", "True", "False", "{"))


@pytest.mark.parametrize("width", [50, 60, 79])
def test_a_narrow_table_has_the_description_below_each_row(width: int) -> None:
    rows = list(conventions_sheet(ROWS, Width.of(width)).rows())
    assert all(len(row) <= width for row in rows)
    at = next(n for n, row in enumerate(rows) if row.startswith("tf1-coupled "))
    assert rows[at + 1] == "  TensorFlow 1 CoupledInputForgetGateLSTMCell"
