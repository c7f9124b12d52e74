"""CSV and TSV."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats import open_steps
from lstmcli.formats.text.table import Table
from tests.formats.helpers import arrays, filed, piped, same


def written(
    kind: str, batched: bool, first_step: int, members: dict[str, np.ndarray]
) -> str:
    buffer = io.BytesIO()
    writer = open_steps(buffer, kind, list(members), batched)
    steps = range(first_step, first_step + len(next(iter(members.values()))))
    for part in (slice(1), slice(1, None)):
        writer.write(
            steps[part], {name: array[part] for name, array in members.items()}
        )
    return buffer.getvalue().decode()


@settings(max_examples=60)
@given(st.sampled_from(["csv", "tsv"]), arrays(least=2, most=3), st.randoms())
def test_round_trip_in_any_order_of_rows(
    kind: str, array: np.ndarray, random: object
) -> None:
    batched = array.ndim == 3
    header, *rows = written(kind, batched, 0, {"h": array, "c": -array}).splitlines()
    random.shuffle(rows)  # type: ignore[attr-defined]
    document = piped("\n".join([header, *rows]))
    assert document.format == kind
    assert document.layout == ("time" if batched else "steps")
    same(document.arrays["h"].astype(array.dtype), array)
    same(document.arrays["c"].astype(array.dtype), -array)
    if array.dtype == np.float32:
        assert document.dtypes["h"] == np.float32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('1,2\n"1"2,3\n', "line 2: ',' expected after"),
        ('1,2\n"",3\n', "line 2, column 1 is empty"),
        ('1,2\n"1,5",3\n', 'line 2, column 1 is "1,5"'),
        ('1,2\n3,"4\n', "line 2: unexpected end of data"),
    ],
)
def test_quotes_that_are_not_around_a_number_are_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        piped(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1,2,3\n4,5,6\n", "csv"),
        ("1\t2\t3\r\n4\t5\t6\r\n", "tsv"),
        ("x[0],x[1],x[2]\n1,2,3\n4,5,6", "csv"),
        ("\r\na\tb\tc\r\n1\t2\t3\r\n4\t5\t6\r\n", "tsv"),
        ("a, b b, c\n1, 2, 3\n\n4, 5, 6\n", "csv"),
        ('"a","b","c"\n"1","2","3"\n4,5,6\n', "csv"),
        ("\ufeffa,b,c\n1,2,3\n4,5,6\n", "csv"),
        ("step,a,b,c\n1,4,5,6\n0,1,2,3\n", "csv"),
        ("a,b,c\n1,2,3\n,,\n \n4,5,6\n\t\n", "csv"),
        ('1,2,3\n\n"4",5,6\n,,\n', "csv"),
    ],
)
def test_inputs(text: str, kind: str) -> None:
    document = piped(text)
    assert (document.format, document.layout) == (kind, "steps")
    (array,) = document.arrays.values()
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert list(document.arrays) == (["x"] if "x[0]" in text else [""])


def test_a_single_column_is_csv_by_its_suffix(tmp_path: Path) -> None:
    assert filed(tmp_path, "a.csv", "a\n1\n2\n").arrays[""].tolist() == [[1], [2]]


def test_blanks_between_numbers_are_rows_of_text_under_any_suffix(
    tmp_path: Path,
) -> None:
    assert filed(tmp_path, "a.csv", "1 2\n3 4\n").arrays[""].tolist() == [
        [1, 2],
        [3, 4],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,x\n", 'line 2, column 2 is "x"'),
        ("1,2\n3,\n", "line 2, column 2 is empty"),
        ("1,2\n3\n", "line 2 has 1 columns; expected 2"),
        ('a,b,c\n1,2,3\n"1,5",2\n', "line 3 has 2 columns; expected 3"),
        ('a,b\n1,2\n\n"1,5",2\n', 'line 4, column 1 is "1,5"'),
        ("a,b\n1,2\n \n3,4\n5,0x1\n", 'line 5, column 2 is "0x1"'),
        ("a,b\n1,2,3\n", "line 2 has 3 columns; expected 2"),
        ("a,a\n1,2\n", 'two columns of the name "a"'),
        ("h[0],h[00]\n1,2\n", r"two columns of the name .h\[0\]"),
        ("step,h[0],h\n0,1,2\n", r'columns h\[n\] and a column "h"'),
        ("a,b\n1,1_0\n", 'column 2 is "1_0"; a number was expected'),
        ("step,h[0]\n0,1\n0,2\n", "step 0 occurs a second time"),
        ("step,batch,h[0]\n0,0,1\n0,1,2\n1,0,3\n", "step 1, batch 1 is missing"),
        ("step,batch,h[0]\n0,0,1\n1,0,2\n1,1,3\n", "step 0, batch 1 is missing"),
        ("step,batch,h[0]\n0,0,1\n0,0,2\n", "step 0, batch 0 occurs a second time"),
        ("step,h[0]\n0.5,1\n", "step is 0.5; an integer"),
        ("step,h[0]\nnan,1\n", "step is nan"),
        ("step,h[0]\n-1,1\n", "step is -1"),
        ("step,h[0]\n1e300,1\n", "step is 1e"),
        ("batch,h[0]\n0,1\n", 'a column "batch" but none called "step"'),
        ("step,batch\n0,0\n", "no columns but step and batch"),
        ('1,2\n3,"4\n', "line 2"),
        ("step,batch,h[0]\n0,900000000000000,1\n1,0,1\n", "step 0, batch 0 is missing"),
    ],
)
def test_broken_tables(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        piped(text)


@pytest.mark.parametrize("keys", ["step", "step,batch", "step,unit"])
def test_an_index_of_pandas_next_to_keys_alone(tmp_path: Path, keys: str) -> None:
    text = f",{keys}\n{','.join('0' * (keys.count(',') + 2))}\n"
    only = keys.replace(",", " and ")
    with pytest.raises(UserError, match=f"no columns but {only} and an index"):
        filed(tmp_path, "a.csv", text)


def test_only_a_header(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no row of numbers"):
        filed(tmp_path, "a.csv", "step,h[0]\n")


@pytest.mark.parametrize(
    "text",
    ["1;2\n3;4\n", "h[0];h[1]\n1;2\n", "1;2\n", "0,5;1,5\n2,5;3,5\n", "1; 2\n"],
)
def test_semicolons_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="the separator is ; and must be , or a tab"):
        filed(tmp_path, "a.csv", text)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize(
    "text", ["0,17 -0,04\n0,18 1,5e-02\n", "0,17\t0,04\n-0,18\t0,09\n"]
)
def test_decimal_commas_are_named(tmp_path: Path, name: str, text: str) -> None:
    for written in (text, f"h = [[{text}]]"):
        with pytest.raises(
            UserError, match="its decimals have commas; write them with points"
        ):
            filed(tmp_path, name, written if name == "a.txt" else text)


@pytest.mark.parametrize(
    "text", ["1,2\n3,4\n", "1, 2\n3, 4\n", "[[1,2], [3,4]]", "1,2 3\n4,5 6"]
)
def test_commas_between_numbers_are_not_decimals(tmp_path: Path, text: str) -> None:
    assert filed(tmp_path, "a.txt", text).arrays[""].shape[0] == 2


@pytest.mark.parametrize("header", [",0,1", ",a,b", ",h[0],h[1]", '"",a,b'])
def test_the_index_of_pandas_has_the_steps(tmp_path: Path, header: str) -> None:
    document = filed(tmp_path, "a.csv", f"{header}\n2,0.5,1\n3,1.5,2\n")
    assert [array.tolist() for array in document.arrays.values()] == [
        [[0.5, 1], [1.5, 2]]
    ]
    assert list(document.part.steps or ()) == [2, 3]


def test_an_index_of_pandas_next_to_units_is_not_an_array(tmp_path: Path) -> None:
    document = filed(tmp_path, "a.csv", ",step,unit,h\n0,0,0,0.5\n1,0,1,0.7\n")
    assert {name: array.tolist() for name, array in document.arrays.items()} == {
        "h": [[0.5, 0.7]]
    }


def test_semicolons_are_named_in_a_pipe() -> None:
    with pytest.raises(UserError, match="the separator is ; and must be , or a tab"):
        piped("0.5;1.5\n2.5;3.5\n")


def test_a_semicolon_may_be_in_a_name(tmp_path: Path) -> None:
    assert filed(tmp_path, "a.csv", "step,h;x\n0,1\n").arrays[""].tolist() == [[1]]


def test_numbers_of_steps_items_and_columns_are_those_of_the_full_run() -> None:
    table = piped(
        "step,batch,h[1],h[4],c[0]\n9,3,1,2,3\n2,3,4,5,6\n2,0,7,8,9\n9,0,1,2,3\n"
    )
    assert table.layout == "time"
    # c[0] may be all of c
    assert table.part == Part([2, 9], [0, 3], {"h": [1, 4]})
    assert table.arrays["h"].tolist() == [[[7, 8], [4, 5]], [[1, 2], [1, 2]]]


def test_keys_whose_product_is_beyond_integers_are_refused() -> None:
    count = (1 << 21) + 1  # of each key: more than 2^63 rows would be needed
    table = Table(["step", "batch", "unit", "h"], 4, "t.csv", 1 << 30)
    table.add(np.repeat(np.arange(count, dtype=np.float64)[:, None], 4, axis=1))
    with pytest.raises(UserError, match="step 0, batch 0, unit 1 is missing"):
        table.document("csv")
