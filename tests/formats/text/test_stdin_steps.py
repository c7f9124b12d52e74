"""Lines of standard input: a mistake in any of them is reported as in the first."""

from __future__ import annotations

import io

import numpy as np
import pytest

from lstmcli.errors import UserError
from lstmcli.formats import StepStream
from lstmcli.formats.text.jsonl import LineReader


def steps(*lines: str) -> list[list[float]]:
    stream = io.BytesIO("\n".join(lines).encode())
    return [step.tolist() for step in StepStream(LineReader(stream))]


def test_lines_of_all_kinds_follow_each_other() -> None:
    assert steps("[1, 2.5]", '{"x": [3, 4]}', "", "[1e3, -0.0]", '[5, "Infinity"]') == [
        [1, 2.5], [3, 4], [1000, 0], [5, np.inf],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1, true]", r"line 3: element \[1\] is a truth value"),
        ("[1, null]", r"line 3: element \[1\] is null"),
        ("[1, [2]]", r"line 3: element \[1\] is a list"),
        ("[1, 2, 3]", r"line 3: the shape is \(3,\); before it was \(2,\)"),
        ("[1, 2", "broken JSON at line 3"),
        ('{"y": [1, 2]}', 'line 3 has no member "inputs" or "x"'),
        ("[1, 1" + "0" * 400 + "]", "line 3 contains an integer too large"),
        ("[" * 100_000, "line 3"),
        ("7", "line 3: a list of numbers"),
    ],
)
def test_a_later_line_that_is_wrong_is_reported(line: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        steps("[1, 2]", "[3, 4]", line)


@pytest.mark.parametrize("line", ['{"a": 1, "x": [1, 2]}', '{"x": [1, 2], "inputs": [3, 4]}'])
def test_members_that_a_run_would_not_use_are_refused(line: str) -> None:
    with pytest.raises(UserError, match=r"line 1 has .*; the inputs of a step are one list"):
        steps(line, line)
    reader = LineReader(io.BytesIO(f"{line}\n{line}\n".encode()))
    assert reader.are_inputs()
