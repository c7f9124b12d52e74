"""The sheet of a difference: every figure whole, in any width."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.operand import Side
from lstmcli.core.model.selection import Selection
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.text.console_print import read_text
from lstmcli.views.diff import difference_sheet
from lstmcli.views.sheet import Sheet, Width
from lstmcli.views.text import error_size, rounded_up, ulp_counts

Array = npt.NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def of(layout: str | None = "time", name: str = "x.npz", **named: Array) -> Side:
    return Side(name, named, layout)


def sheet(a: Side, b: Side, width: int | None = 80, asked: Any = None, **shown: Any) -> Sheet:
    return difference_sheet(compare(a, b, **(asked or {})), width=Width.of(width), **shown)


def rows(a: Side, b: Side, width: int | None = 80, asked: Any = None, **shown: Any) -> list[str]:
    return list(sheet(a, b, width, asked, **shown).rows())


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200, None])
def test_no_number_is_cut_in_any_width(width: int | None) -> None:
    """What a narrow table shows, the widest shows in the same words."""
    a = of(h=normal(50, 4, 6), c=normal(50, 4, 6), kernel=normal(3, 4))
    b = of(h=normal(50, 4, 6, seed=1), c=normal(50, 4, 6), kernel=normal(3, 4, seed=2))
    whole_text = set(re.findall(r"[\d.e-]+\d", sheet(a, b, None).plain()))
    text = sheet(a, b, width).plain()
    assert set(re.findall(r"[\d.e-]+\d", text)) <= whole_text
    assert "…" not in text
    if width is not None and width >= 80:
        assert max(map(len, text.splitlines())) <= width


def test_sides_show_arrays_of_one_shape_together() -> None:
    h = normal(7, 1, 3)
    a = of(name="a.npz", h=h, c=h, final_h=h[0])
    shown = rows(a, Side("long name.npy", {"": (h + 1).astype("f4")}, "time"))
    assert shown[0] == "a  a.npz           h c (7, 1, 3)   final_h (1, 3)   float64"
    assert shown[1] == "b  long name.npy   h (7, 1, 3)                      float32"


def test_numbers_that_count_in_another_dtype_say_so() -> None:
    a = Side("a.json", {"h": normal(7, 3)}, dtypes={"h": np.dtype("float32")})
    assert rows(a, of(h=normal(7, 3, seed=1)))[0].endswith("float64, counts as float32")


def test_of_different_shapes_it_is_said_what_compares_them() -> None:
    h = normal(7, 4, 3)
    shown = rows(of(h=h), of(h=h[:5, :, :2] + 1))
    assert "           lstm diff --steps 0:5 --units 0:2 compares what comes first in both" in shown
    text = " ".join(" ".join(rows(of(h=h), of(h=h[2:5] + 1))).split())
    first = "--steps 0:3 compares what comes first in both"
    assert f"{first}; --steps 4:7 takes b as the last steps" in text
    found = rows(of(h=h), of(h=h[2:5]))
    assert any("is taken as steps 2 to 4 of 7" in row for row in found)
    assert not any("compares what comes first" in row for row in found)
    selected = Selection.parse("0:5", None, "0:2")
    assert compare(of(h=h), of(h=h[:5, :, :2]), selection=selected).equal
    states = normal(2, 4, 3)
    shown = rows(of(h=h, final_h=states, name="t.npz"), of(h=states))
    assert "           b has the shape of t.npz:final_h" in shown


def test_long_sequences_are_pooled_into_the_width() -> None:
    a, b = normal(1000, 1, 2), normal(1000, 1, 2)
    b[777] += 1
    line = next(r for r in rows(of(h=a), of(h=b)) if r.startswith("error per step"))
    assert len(line) <= 80
    bars = re.findall("[▁█]+", line)[0]
    assert bars.count("█") == 1
    assert bars.index("█") == pytest.approx(0.777 * len(bars), abs=1)


# ---- the table of steps


def steps_of(shown: list[str]) -> list[str]:
    start = next(n for n, row in enumerate(shown) if row.startswith("step "))
    return [
        row.split()[0] for row in shown[start + 1 :] if row.strip()[:1].isdigit() or "..." in row
    ]


def test_many_steps_are_shown_by_head_and_tail_on_a_terminal_only() -> None:
    a, b = of(h=normal(60, 1, 2)), of(h=normal(60, 1, 2, seed=1))
    shown = rows(a, b, per_step=True)
    assert steps_of(shown)[:42] == [*map(str, range(20)), "...", *map(str, range(40, 60)), "20"]
    assert any(row.startswith("20 steps left out") for row in shown)
    assert steps_of(rows(a, b, None, per_step=True)) == [*map(str, range(60))]


def test_steps_of_many_arrays_leave_out_full_columns() -> None:
    a = Side("a", {name: normal(5, 1, 2) for name in "hcifgoz"})
    b = Side("b", {name: normal(5, 1, 2, seed=1) for name in "hcifgoz"})
    shown = rows(a, b, 50, per_step=True)
    assert "hidden columns: max abs f, max abs g, max abs o, max abs z" in " ".join(shown)


# ---- sizes


@given(st.floats(1e-300, 1e300))
@settings(deadline=None)
def test_a_passing_tolerance_is_never_rounded_down(value: float) -> None:
    shown = float(rounded_up(value))
    assert value <= shown <= 1.011 * value


def test_sizes_are_short() -> None:
    assert [error_size(x) for x in (None, 0.0, 0.1333, 2.5e-12)] == ["", "0", "1.33e-1", "2.50e-12"]
    assert ulp_counts([None, 7, 999_999]) == ["", "7", "999999"]
    assert ulp_counts([None, 7, 10**7]) == ["", "7.00e0", "1.00e7"]


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("[[0. 0. 0.]\n [0. 0. 0.]]", "printed"),
        ("[[0 0 0]\n [1 1 1]]", "printed"),
        ("tensor([[0., 0., 0.],\n        [0., 0., 0.]])", "printed"),
        ("[[nan nan nan]\n [nan nan nan]]", "printed"),
        ("[[nan 1. 2.]\n [3. 4. 5.]]", "printed"),
        ("[[1.e-5 0.1 nan]\n [nan nan nan]]", "printed, 1 digit"),
        ("[[1.25e-05 0.00e+00 nan]\n [3.50e+02 nan inf]]", "printed, 3 digits"),
        ("[[0.25 nan inf]\n [nan nan nan]]", "printed, 2 digits"),
    ],
)
def test_a_print_of_any_numbers_has_a_table(text: str, worth: str) -> None:
    document = read_text(text, in_memory("a.txt", text.encode()))
    a = Side("a.txt", document.arrays, "steps", document.units)
    for b in (a, of("steps", "b.npy", **{"": np.full((2, 3), 7.0)})):
        shown = rows(a, b, width=None)
        assert shown[0].split("   ")[-1].strip() == worth or shown[0].startswith("equal")
        assert shown[0].startswith("equal") == compare(a, b).equal


def test_steps_that_a_print_left_out_are_drawn_as_such() -> None:
    h = normal(8, 1, 3)
    unit = np.full(h.shape, 1e-4)
    unit[3:5] = np.inf
    shown = rows(Side("a.npy", {"h": h + 1}), Side("a.txt", {"h": h}, units={"h": unit}))
    strip = next(line for line in shown if line.startswith("error per step"))
    assert strip.split()[4] == "███··███"
    assert strip.endswith("0 .. 1, · not compared")
    lines = rows(
        Side("a.npy", {"h": h + 1}), Side("a.txt", {"h": h}, units={"h": unit}), per_step=True
    )
    assert ["3", "0", "-"] in [line.split() for line in lines]


# ---- settings, and the next thing to type


def test_no_search_where_no_configuration_could_explain_it() -> None:
    h = normal(20, 1, 30)
    one, unlike = h.copy(), h.copy()
    one[7, 0, 3], unlike[7, 0, 3] = 9.0, np.nan
    for other in (one, unlike):
        assert not any("explain" in row for row in rows(of(h=h), of(h=other)))
    kernel = normal(3, 8)
    assert not any("explain" in row for row in rows(of(kernel=kernel), of(kernel=kernel + 1)))
    assert not any("explain" in row for row in rows(of(h=h), of(h=h[:9, :, :4])))


def test_the_numbers_of_a_column_have_one_format() -> None:
    """h is large, c tiny, f differs by its ninth digit only."""
    h, c, f = normal(7, 3), 1e-9 * normal(7, 3), normal(7, 3)
    a = of(h=h, c=c, f=f)
    b = of(h=h + 0.1, c=1.5 * c, f=f + 1e-9)
    lines = rows(a, b, 400, asked={"atol": 0.0, "rtol": 0.0})
    start = next(n for n, line in enumerate(lines) if line.startswith("array"))
    columns = list(
        zip(*(re.split(" {2,}", line) for line in lines[start : start + 4]), strict=True)
    )
    shapes = {column[0]: {re.sub(r"-?\d+", "#", x) for x in column[1:]} for column in columns}
    for name in ("a", "b", "required atol", "cosine", "SNR dB", "max rel", "max ulp"):
        assert len(shapes[name]) == 1, (name, shapes[name])
    values = [column[1:] for column in columns if column[0] in ("a", "b")]
    assert all(x != y for x, y in zip(*values, strict=True))


def test_no_cosine_and_no_ratio_is_minus_zero() -> None:
    table = rows(of(h=np.array([[1.0, 2.0, 3.0]])), of(h=np.array([[-3.001, 0.0, 1.0]])), 200)
    at = table[3].index("cosine")
    assert table[4][at : at + 6].strip() == "0.000"
    table = rows(of(h=np.array([[1.0, 1.001]])), of(h=np.array([[1.0, 0.0]])), 200)
    at = table[3].index("SNR dB")
    assert table[4][at : at + 6].strip() == "0.0"


def test_a_position_that_does_not_fit_is_named_if_its_value_is_shown() -> None:
    name = "a_long_name_of_an_array.final_h"
    a, b = (Side("x.npz", {name: normal(4, 3, seed=n)}, "time") for n in (0, 1))
    text = " ".join(sheet(a, b, 60).plain().split())
    assert "position of max abs" in text
    assert "position of max rel" not in text
