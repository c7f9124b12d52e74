"""JSON documents and JSON lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli.errors import UserError
from lstmcli.formats import open_steps, write
from lstmcli.formats.text.line_stream import LineReader, StepStream
from tests.formats.helpers import NAMES, arrays, filed, piped, same


def written(
    members: dict[str, np.ndarray], attributes: dict[str, Any] | None = None
) -> str:
    buffer = io.BytesIO()
    write(buffer, "json", members, attributes or {})
    return buffer.getvalue().decode()


def strict(text: str) -> Any:
    """Parse as JSON proper, without Python's NaN and Infinity."""

    def refuse(literal: str) -> Any:
        raise AssertionError(literal)

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=80)
@given(st.dictionaries(NAMES, arrays(), min_size=1, max_size=3))
def test_round_trip(members: dict[str, np.ndarray]) -> None:
    text = written(members)
    assert list(strict(text)) == list(members)
    document = piped(text)
    for name, array in members.items():
        assert document.arrays[name].dtype == np.float64
        same(document.arrays[name].astype(array.dtype), array)
        if array.dtype == np.float32:
            assert document.dtypes[name] == np.float32


@pytest.mark.parametrize(
    ("texts", "single"),
    [
        (
            [
                str(v)
                for v in np.random.default_rng(0).normal(size=40).astype(np.float32)
            ],
            True,
        ),
        (
            [
                f"{v:.9g}"
                for v in np.random.default_rng(0).normal(size=40).astype(np.float32)
            ],
            True,
        ),
        (["1e-10", "0.15749316", "-3.4028235e+38"], True),
        (["0.1", "0.25", "-1.5", "0.3333333"], False),
        ([f"{v:.7f}" for v in np.random.default_rng(0).normal(size=40)], False),
        ([f"{v:.8f}" for v in np.random.default_rng(0).normal(size=40)], False),
        (["0.15749316", "0.12345678901"], False),
    ],
    ids=["shortest", "nine", "few", "by hand", "7 decimals", "8 decimals", "longer"],
)
def test_the_names_of_float32s_count_as_float32(texts: list[str], single: bool) -> None:
    """Whoever writes the shortest name that is unique (NumPy, Rust, JavaScript) has float32s."""
    document = piped(f'{{"h": [{", ".join(texts)}]}}'.encode())
    assert document.dtypes == ({"h": np.dtype(np.float32)} if single else {})


@pytest.mark.parametrize(("others", "single"), [(7, True), (8, False)])
def test_one_short_name_in_eight_has_to_be_of_a_float32_only(
    others: int, single: bool
) -> None:
    """Of decimals made by hand one may have so many digits by chance."""
    texts = [f"0.{n}" for n in (1, 2, 3, 4, 6, 7, 8, 9)][
        :others
    ]  # 0.5 is itself in every dtype
    document = piped(f'{{"h": [{", ".join([*texts, "0.15749316"])}]}}'.encode())
    assert bool(document.dtypes) == single


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.bool_, np.longdouble])
def test_other_dtypes_are_written_as_numbers(dtype: Any) -> None:
    array = np.array([[0, 1], [1, 1]]).astype(dtype)
    np.testing.assert_array_equal(piped(written({"a": array})).arrays["a"], array)


def test_longdouble_keeps_its_digits_in_the_text() -> None:
    third = np.array([1, np.inf], dtype=np.longdouble) / 3
    text = strict_digits = written({"a": third})
    assert np.longdouble(text.split("[")[1].split(",")[0]) == third[0]
    assert '"Infinity"' in strict_digits


def test_attributes_round_trip() -> None:
    attributes = {
        "a": 1.5,
        "b": "x",
        "c": None,
        "d": True,
        "e": ["p", "q"],
        "meta": {"k": [1, {}]},
    }
    document = piped(written({"h": np.ones(2)}, attributes))
    assert document.attributes == attributes


def test_non_finite_attributes_are_strings() -> None:
    text = written(
        {}, {"a": float("nan"), "meta": {"b": [float("-inf"), np.float64(2)]}}
    )
    assert strict(text) == {"a": "NaN", "meta": {"b": ["-Infinity", 2]}}


def test_the_layout_is_a_row_a_line() -> None:
    text = written({"h": np.arange(4.0).reshape(2, 2), "b": np.zeros(2)}, {"n": 1})
    assert text == (
        '{\n  "h": [\n    [0.0, 1.0],\n    [2.0, 3.0]\n  ],\n  "b": [0.0, 0.0],\n  "n": 1\n}\n'
    )


def test_names_are_joined_and_special_numbers_read() -> None:
    document = piped('{"state": {"h": [1, "NaN", -Infinity], "deep": {"s": "x"}}}')
    assert document.arrays["state.h"].tolist()[::2] == [1, float("-inf")]
    assert np.isnan(document.arrays["state.h"][1])
    assert document.attributes == {"state.deep.s": "x"}
    for shape in ([2, 0], [0, 0, 3], [0]):
        assert piped(f'{{"h": {{"shape": {shape}, "data": []}}}}').arrays["h"].size == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [[1, 2], [3]]}', r"a: element \[1\] is a list of 1; a list of 2"),
        ('{"a": [[1, 2], 3]}', r"a: element \[1\] is a number; a list of 2"),
        ('{"a": [1, [2]]}', r"a: element \[1\] is a list"),
        ('{"a": [[1, 2], [3, null]]}', r"a: element \[1\]\[1\] is null"),
        ('{"a": [1, "0.5"]}', r'a: element \[1\] is a string "0.5"'),
        ('{"a": [1, true]}', r"a: element \[1\] is a truth value"),
        (
            '{"a": [{"b": 1}, 2]}',
            r"a: element \[1\] is other than element \[0\], an object with b",
        ),
        ('{"a": 1, "a": 2}', 'two members of the name "a"'),
        ('{"a": {"b": 1}, "a.b": 2}', 'two members of the name "a.b"'),
        ('{"a": [1, 2}', "broken JSON at line 1, column 12"),
        ('{"a":\n [1, 2],\n b}', "broken JSON at line 3, column 2"),
        ('{"a": 1} 2', "broken JSON at line 1, column 10"),
        ('{"a": [' + "9" * 5000 + "]}", "thousands of digits"),
        ('{"a": [' + "9" * 400 + "]}", "too large for float64"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested too deeply"),
        ('{"a":' * 600 + "1" + "}" * 600, "nested too deeply"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "more than 32 lists deep"),
        (r'{"\ud800": 1}', "not a valid text"),
        (r'{"a": "\ud800"}', "not a valid text"),
        (b'{"a": "\xff"}', "line 1, column 8 is not utf-8"),
    ],
)
def test_broken_documents(text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        piped(text)
    str(caught.value).encode()
    assert str(caught.value).startswith("standard input")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path: Path, coding: str) -> None:
    document = filed(tmp_path, "a.json", '{"h": [1]}'.encode(coding))
    assert document.arrays["h"].tolist() == [1]


def lines(batched: bool, *blocks: tuple[int, dict[str, np.ndarray]]) -> str:
    buffer = io.BytesIO()
    writer = open_steps(buffer, "jsonl", list(blocks[0][1]), batched)
    for first_step, members in blocks:
        steps = len(next(iter(members.values())))
        writer.write(range(first_step, first_step + steps), members)
    return buffer.getvalue().decode()


@settings(max_examples=60)
@given(arrays(least=2, most=3))
def test_lines_round_trip(array: np.ndarray) -> None:
    batched = array.ndim == 3
    text = lines(
        batched,
        (0, {"h": array[:1], "c": -array[:1]}),
        (1, {"h": array[1:], "c": -array[1:]}),
    )
    assert [strict(line)["step"] for line in text.splitlines()] == list(
        range(len(array))
    )
    document = piped(text)
    assert document.format == "jsonl"
    assert document.layout == ("time" if batched else "steps")
    same(document.arrays["h"].astype(array.dtype), array)
    same(document.arrays["c"].astype(array.dtype), -array)


@pytest.mark.parametrize(
    ("text", "shape", "layout"),
    [
        ("[1, 2]\n\n[3, 4]\r\n", (2, 2), "steps"),
        ('{"x": [1, 2]}\n', (1, 2), "steps"),
        ('{"step": 0, "x": [[1, 2], [3, 4], [5, 6]]}', (1, 3, 2), "time"),
        ('{"x": [[1, 2]]}\n{"x": [[3, 4]]}', (2, 1, 2), "time"),
    ],
)
def test_lines_of_inputs(text: str, shape: tuple[int, ...], layout: str) -> None:
    document = piped(text)
    assert (document.format, document.layout) == ("jsonl", layout)
    assert document.arrays["x" if "x" in text else ""].shape == shape


KINDS_OF_LINES = {
    "lists": ["[1, 2]", "[3, 4]"],
    "blanks": ["  [1, 2] \r", "", "\t[3, 4]"],
    "batch": ["[[1, 2], [3, 4]]", "[[5, 6], [7, 8]]"],
    "special": ['["NaN", 1]', '[2, "-Infinity"]'],
    "objects": ['{"h": [1], "c": [2]}', '{"h": [3], "c": [4]}'],
    "another order": ['{"h": [1], "c": [2]}', '{"c": [3], "h": [4]}'],
    "steps": ['{"step": 0, "h": [1]}', '{"step": 1, "h": [2]}'],
    "steps left out": ['{"step": 0, "h": [1]}', '{"step": 7, "h": [2]}'],
    "a step on some lines": ['{"h": [1]}', '{"step": 7, "h": [2]}', '{"h": [3]}'],
    "colons": ['{"h:0": [1], "::": [2]}', '{"h:0": [3], "::": [4]}'],
    "escapes": ['{"h\\u003a": [1]}', '{"h:": [2]}'],
}


@pytest.mark.parametrize("rows", KINDS_OF_LINES.values(), ids=[*KINDS_OF_LINES])
def test_lines_have_the_numbers_that_each_has(rows: list[str], tmp_path: Path) -> None:
    document = filed(tmp_path, "a.jsonl", "\n".join(rows))
    values = [json.loads(row) for row in rows if row.strip()]
    lines = [value if isinstance(value, dict) else {"": value} for value in values]
    steps = [line.pop("step", None) for line in lines]
    numbers = document.part.steps
    assert (numbers and [*numbers]) == (None if None in steps else steps)
    for name in lines[0]:
        expected = np.array([line[name] for line in lines], np.float64)
        np.testing.assert_array_equal(document.arrays[name], expected)


@pytest.mark.parametrize(
    "values", [[1, 2], [2, 1], [0.5, 1], [-1, 0], [[1, 2]], [0, 1, 2]]
)
def test_other_members_of_these_names_are_arrays(
    values: list[Any], tmp_path: Path
) -> None:
    """Without a step, not ascending, or not as many as the batch has items."""
    step = {} if values == [1, 2] else {"step": 0}
    line = json.dumps({**step, "batch": values, "h": [[1], [2]]})
    document = filed(tmp_path, "a.jsonl", line)
    np.testing.assert_array_equal(document.arrays["batch"], [values])
    assert document.part.batch is None


@pytest.mark.parametrize(
    "rows",
    [
        ["[1, 2], [3, 4]", "[5, 6]"],
        ["[1, 2", "3], [4, 5]"],
        ["[1], [2", "3, 4], [5]"],
        ['{"h": [1]}, {"h": [2]}', '{"h": [3]}'],
        ['{"h": [1', '2]}, {"h": [3, 4]}'],
        ['{"h": [1], "h": [2]}', '{"h": [3], "h": [4]}'],
        ["[1]\u2003", "[2]"],
    ],
)
def test_lines_that_are_wrong_one_by_one_are_refused(
    rows: list[str], tmp_path: Path
) -> None:
    """Joined, they would be JSON."""
    with pytest.raises(UserError, match=r", (?:at )?line [12]|at line [12]"):
        filed(tmp_path, "a.jsonl", "\n".join(rows))


def test_a_single_line_goes_by_its_suffix(tmp_path: Path) -> None:
    text = '{"x": [[1, 2], [3, 4]]}\n'
    assert filed(tmp_path, "a.json", text).arrays["x"].shape == (2, 2)
    assert filed(tmp_path, "a.jsonl", text).arrays["x"].shape == (1, 2, 2)
    assert piped(text).format == "json"
    assert piped('{"kernel": [[1]], "x": [[1]]}').format == "json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]\n[3]\n", r"line 2 has the shape \(1,\); before it was \(2,\)"),
        ("[1, 2]\n\n[3, null]\n", r"line 3: element \[1\] is null"),
        ("[1, 2]\n[3, 4\n", "broken JSON at line 2"),
        (
            '[1, 2]\n{"x": [1, 2]}\n',
            "line 2 is an object of x; the lines before it are a bare list",
        ),
        ("[1, 2]\n7\n", "line 2: a list of numbers or an object"),
        ("[1]\n[2\n3]\n[4],[5]\n", "broken JSON at line 2"),
        (
            '{"step": 0, "h": [1]}\n{"step": 1, "c": [1]}',
            "line 2 is an object of c; the lines before it are an object of h",
        ),
        (
            '{"step": 2, "h": [1]}\n{"step": 2, "h": [1]}',
            "line 2: step 2 follows step 2",
        ),
        (
            '{"step": 2, "h": [1]}\n{"step": 0, "h": [1]}',
            "line 2: step 0 follows step 2",
        ),
        ('{"step": -1, "h": [1]}\n', "line 1: step is '-1'"),
        ('{"step": "a", "h": [1]}\n', "line 1: step is 'a'"),
        ('{"step": 0, "h": 3}\n', "line 1: h is a number; a list"),
        ('{"step": 0, "h": [[[3]]]}\n', "line 1: h is 3 lists deep"),
        ('{"step": 0}\n', "line 1: a list of numbers or an object"),
        ('{"step": 0, "h": [1], "h": [2]}\n', 'line 1 has two members of the name "h"'),
    ],
)
def test_broken_lines(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        piped(text)


# ---- lines of standard input: a mistake in any of them is reported as in the first


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


@pytest.mark.parametrize(
    "line", ['{"a": 1, "x": [1, 2]}', '{"x": [1, 2], "inputs": [3, 4]}']
)
def test_members_that_a_run_would_not_use_are_refused(line: str) -> None:
    with pytest.raises(
        UserError, match=r"line 1 has .*; the inputs of a step are one list"
    ):
        steps(line, line)
    reader = LineReader(io.BytesIO(f"{line}\n{line}\n".encode()))
    assert reader.are_inputs()
