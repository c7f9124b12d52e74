"""The sheet of a difference: no figure is cut, in any width."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.operand import Side
from lstmcli.core.model.selection import Selection
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.text.console_print import read_text
from lstmcli.views.diff import difference_sheet
from lstmcli.views.sheet import Sheet, Width
from lstmcli.views.text import error_sizes, rounded_up, ulp_count
from tests.networks import normal

Array = npt.NDArray[Any]


def of(layout: str | None = "time", name: str = "x.npz", **named: Array) -> Side:
    return Side(name, named, layout)


def sheet(
    a: Side, b: Side, width: int | None = 80, asked: Any = None, **shown: Any
) -> Sheet:
    return difference_sheet(
        compare(a, b, **(asked or {})), width=Width.of(width), **shown
    )


def rows(
    a: Side, b: Side, width: int | None = 80, asked: Any = None, **shown: Any
) -> list[str]:
    return list(sheet(a, b, width, asked, **shown).rows())


def test_sides_show_arrays_of_one_shape_together() -> None:
    h = normal(7, 1, 3)
    a = of(name="a.npz", h=h, c=h, final_h=h[0])
    shown = rows(a, Side("long name.npy", {"": (h + 1).astype("f4")}, "time"))
    assert shown[2] == "a  a.npz          h c (7, 1, 3) · final_h (1, 3)  float64"
    assert shown[3] == "b  long name.npy  h (7, 1, 3)                     float32"


def test_a_side_whose_values_count_in_another_dtype_names_both() -> None:
    a = Side("a.json", {"h": normal(7, 3)}, dtypes={"h": np.dtype("float32")})
    assert rows(a, of(h=normal(7, 3, seed=1)))[2].endswith("float64, counts as float32")


def test_a_remark_names_the_options_that_compare_different_shapes() -> None:
    h = normal(7, 4, 3)
    text = " ".join(" ".join(rows(of(h=h), of(h=h[:5, :, :2] + 1))).split())
    assert "next --steps 0:5 --units 0:2 compares the beginning of both" in text
    found = rows(of(h=h), of(h=h[2:5]))
    assert any("is interpreted as steps 2 to 4 of 7" in row for row in found)
    assert not any("compares the beginning" in row for row in found)
    selected = Selection.parse("0:5", None, "0:2")
    assert compare(of(h=h), of(h=h[:5, :, :2]), selection=selected).equal
    states = normal(2, 4, 3)
    shown = rows(of(h=h, final_h=states, name="t.npz"), of(h=states))
    assert "next       compare t.npz:final_h, which has the shape of b" in shown


def test_long_sequences_are_pooled_into_the_width() -> None:
    a, b = normal(1000, 1, 2), normal(1000, 1, 2)
    b[777] += 1
    line = next(r for r in rows(of(h=a), of(h=b)) if r.startswith("errors"))
    assert len(line) <= 80
    bars = re.findall("[▁█]+", line)[0]
    assert bars.count("█") == 1
    assert bars.index("█") == pytest.approx(0.777 * len(bars), abs=1)


# ---- the table of steps


def test_steps_of_many_arrays_leave_out_full_columns() -> None:
    a = Side("a", {name: normal(5, 1, 2) for name in "hcifgoz"})
    b = Side("b", {name: normal(5, 1, 2, seed=1) for name in "hcifgoz"})
    shown = rows(a, b, 50, per_step=True)
    assert "columns hidden: max abs f, max abs g, max abs o, max abs z" in " ".join(
        shown
    )


# ---- sizes


@given(st.floats(1e-300, 1e300))
def test_a_passing_tolerance_is_never_rounded_down(value: float) -> None:
    shown = float(rounded_up(value))
    assert value <= shown <= 1.011 * value


def test_sizes_are_short() -> None:
    texts = ["", "0      ", "0.133  ", "2.5e-12", "12      "]
    assert error_sizes([None, 0.0, 0.1333, 2.5e-12, 12.0]) == texts
    assert [*map(ulp_count, (None, 7, 999_999, 10**7))] == ["", "7", "999999", ""]


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
        assert shown[0].startswith("✔ equal") == compare(a, b).equal
        assert shown[0].startswith("✔") or shown[2].split("  ")[-1].strip() == worth


def test_steps_that_a_print_left_out_are_drawn_as_such() -> None:
    h = normal(8, 1, 3)
    unit = np.full(h.shape, 1e-4)
    unit[3:5] = np.inf
    shown = rows(
        Side("a.npy", {"h": h + 1}), Side("a.txt", {"h": h}, units={"h": unit})
    )
    strip = next(line for line in shown if line.startswith("errors"))
    assert strip.split()[1] == "███··███"
    assert strip.endswith("steps 0 to 7, max 1, · not compared")
    lines = rows(
        Side("a.npy", {"h": h + 1}),
        Side("a.txt", {"h": h}, units={"h": unit}),
        per_step=True,
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
    assert not any(
        "explain" in row for row in rows(of(kernel=kernel), of(kernel=kernel + 1))
    )
    assert not any("explain" in row for row in rows(of(h=h), of(h=h[:9, :, :4])))


def test_the_points_of_a_column_line_up() -> None:
    """h is large, c tiny, f differs by its ninth digit only."""
    h, c, f = normal(7, 3), 1e-9 * normal(7, 3), normal(7, 3)
    a = of(h=h, c=c, f=f)
    b = of(h=h + 0.1, c=1.5 * c, f=f + 1e-9)
    lines = rows(a, b, 400, asked={"atol": 0.0, "rtol": 0.0})
    start = next(n for n, line in enumerate(lines) if line.startswith("array"))
    for name in ("a", "b", "max abs", "cosine", "max rel"):
        end = re.search(rf"(?<=  ){name}(?=  |$)", lines[start])
        assert end is not None
        cells = [
            line[: end.end()].rpartition("  ")[2]
            for line in lines[start + 1 : start + 4]
        ]
        assert (
            len({cell.index(".") - len(cell) for cell in cells if "." in cell}) == 1
        ), name


def test_no_cosine_and_no_ratio_is_minus_zero() -> None:
    text = sheet(
        of(h=np.array([[1.0, 2.0, 3.0]])), of(h=np.array([[-3.001, 0.0, 1.0]]))
    ).plain()
    assert "cosine 0.000," in text
    text = sheet(of(h=np.array([[1.0, 1.001]])), of(h=np.array([[1.0, 0.0]]))).plain()
    assert "SNR 0.0 dB," in text
