"""Which steps, batch items and units of a run an array contains, as a file says it."""

from __future__ import annotations

import pytest

from lstmcli.core.model.axis_numbers import parse_indices


@pytest.mark.parametrize(
    ("text", "numbers"), [("2:5", [2, 3, 4]), ("0:5:2", [0, 2, 4]), ("7", [7])]
)
def test_a_selection_in_a_file_is_its_numbers(text: str, numbers: list[int]) -> None:
    found = parse_indices(text)
    assert found is not None
    assert list(found) == numbers


@pytest.mark.parametrize("text", ["-3:2", "-1", "3:1", ":5", "2:", "a", "", 5, None])
def test_what_no_run_writes_as_a_selection_tells_nothing(text: object) -> None:
    assert parse_indices(text) is None
