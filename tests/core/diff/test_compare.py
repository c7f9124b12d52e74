"""Comparing: what is counted, what is measured, and which divergence is the first."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.names import with_trace_names
from lstmcli.core.diff.operand import Gaps, Side
from lstmcli.core.diff.printed import printed_shapes
from lstmcli.errors import UserError
from tests.networks import normal
from tests.recorded import read

Array = npt.NDArray[Any]


def of(layout: str | None = None, name: str = "x", **named: Array) -> Side:
    return Side(
        name, {key.replace("__", "."): value for key, value in named.items()}, layout
    )


def test_a_difference_is_neither_true_nor_false() -> None:
    for other in (normal(2, 3), normal(2, 3) + 1):
        with pytest.raises(ValueError, match=r"ambiguous: use \.equal$"):
            bool(compare(of(h=normal(2, 3)), of(h=other)))


# ---- names


def test_no_shared_name_is_an_error_that_lists_both_sides() -> None:
    with pytest.raises(UserError, match=r"(?s)kernel, bias.*unnamed") as error:
        compare(
            of(name="w.npz", kernel=normal(2), bias=normal(2)),
            Side("b.npy", {"": normal(2)}),
        )
    assert "w.npz" in str(error.value)
    assert "b.npy" in str(error.value)


@pytest.mark.parametrize(
    "other", [np.array([[1j]]), np.array([["word"]]), np.array([[None]])]
)
def test_arrays_that_are_not_numbers_are_refused(other: Array) -> None:
    with pytest.raises(UserError, match=r"b\.npy: h is .*, not numbers"):
        compare(of(h=np.ones((1, 1))), Side("b.npy", {"": other}))


# ---- how arrays are aligned


def test_two_silent_sides_are_compared_axis_by_axis_and_that_is_reported() -> None:
    h = normal(5, 2, 3)
    other = h.copy()
    other[4, 1, 2] += 1
    d = compare(of(h=h), of(h=other))
    assert d.first_divergence is not None
    assert (d.first_divergence.step, d.first_divergence.batch) == (4, 1)
    assert "time" in d.remarks[0]
    assert not compare(of(h=h[0]), of(h=other[0])).remarks


def test_two_layouts_that_are_both_known_are_brought_together() -> None:
    h = normal(5, 2, 3)
    assert compare(of("batch", h=h), of("time", h=h.swapaxes(0, 1))).equal
    assert not compare(of("batch", h=h), of("time", h=h)).equal
    assert not compare(
        of("batch", h=h[:, :1]), of("time", h=h[:, :1])
    ).equal  # 5 rows, 5 steps


@pytest.mark.parametrize("rows", [slice(0, 1), slice(None)])
def test_stacked_directions_are_not_the_batch(rows: slice) -> None:
    """onnxruntime's Y, (T, 2, B, H), against itself and against directions side by side."""
    y = read("onnxruntime/bidirectional")[1]["h"][:, :, rows]
    wrong = y.copy()
    wrong[2, 1, 0, 1] += 1  # of the backward direction
    joined = wrong.transpose(0, 2, 1, 3).reshape(len(y), -1, 2 * y.shape[3])
    for a, b in ((wrong, y), (joined, y), (y, joined)):
        first = compare(Side("a", {"h": a}), Side("b", {"h": b})).first_divergence
        assert first is not None
        assert (first.step, first.batch, first.unit) == (2, 0, y.shape[3] + 1)
    assert compare(Side("a", {"h": joined}), Side("b", {"h": wrong})).equal


def test_a_final_state_has_no_step() -> None:
    a, b = normal(4, 3), normal(4, 3, seed=1)
    b[:2] = a[:2]
    d = compare(of(final_h=a), of(final_h=b[None]))
    assert d.first_divergence is not None
    assert d.first_divergence.to_json()["step"] is None
    assert (d.first_divergence.batch, d.first_divergence.unit) == (2, 0)


def test_weights_have_an_index() -> None:
    kernel = normal(7, 12)
    other = kernel.copy()
    other[3, 5] = 0
    d = compare(of(kernel=kernel), of(kernel=other))
    first = d.arrays["kernel"].to_json()["first"]
    assert first == {"index": [3, 5], "a": kernel[3, 5], "b": 0.0}
    assert d.first_divergence is None
    assert not compare(of(bias=normal(3, 1)), of(bias=normal(3))).equal


# ---- the order of computation


def parted(*places: tuple[str, tuple[int, ...]], steps: int = 5) -> Difference:
    """Traces that differ in these places only."""
    a = {name: normal(steps, 2, 3, seed=n) for n, (name, _) in enumerate(places)}
    b = {name: values.copy() for name, values in a.items()}
    for name, place in places:
        b[name][place] += 1
    return compare(Side("a", a, "time"), Side("b", b, "time"))


@pytest.mark.parametrize(
    ("places", "first"),
    [
        ([("h", (2, 0, 0)), ("c", (2, 1, 2)), ("f", (3, 0, 0))], "c"),
        ([("h", (2, 0, 0)), ("c", (2, 0, 0)), ("o", (2, 1, 1))], "o"),
        ([("o", (2, 0, 0)), ("g", (2, 0, 0)), ("f", (2, 0, 0)), ("i", (2, 1, 2))], "i"),
        ([("h", (1, 1, 2)), ("i", (2, 0, 0))], "h"),
        ([("i", (2, 0, 0)), ("z", (2, 1, 2))], "z"),
        ([("layer10.h", (0, 0, 0)), ("layer2.h", (4, 1, 2))], "layer2.h"),
        (
            [("layer1.i", (0, 0, 0)), ("layer0_reverse.h", (2, 0, 0))],
            "layer0_reverse.h",
        ),
    ],
)
def test_the_first_divergence_is_first_computed(
    places: list[tuple[str, tuple[int, ...]]], first: str
) -> None:
    d = parted(*places)
    assert d.first_divergence is not None
    place = dict(places)[first]
    found = d.first_divergence
    assert (found.array, found.step, found.batch, found.unit) == (first, *place)


@pytest.mark.parametrize(("flip", "step"), [(False, 3), (True, 1)])
def test_a_reversed_run_starts_at_the_last_step(flip: bool, step: int) -> None:
    a = normal(5, 3)
    b = a.copy()
    b[[1, 3]] += 1
    meta = {"reverse": True, "flip_output": flip}
    d = compare(Side("a", {"h": a}, settings=meta), Side("b", {"h": b}))
    assert d.first_divergence is not None
    assert d.first_divergence.step == step


# ---- what is measured


def test_text_that_says_its_dtype_is_compared_in_it() -> None:
    h = normal(7, 3)
    units = {"h": np.full(h.shape, 1e-12)}
    off = h + 1e-6
    assert compare(Side("a", {"h": off}, units=units), of(h=h)).equal
    told = Side("a", {"h": off}, units=units, dtypes={"h": np.dtype("float64")})
    assert not compare(told, of(h=h)).equal


def test_arrays_of_several_precisions_have_no_one_tolerance() -> None:
    h = normal(7, 3)
    d = compare(of(h=h, c=h.astype(np.float32)), of(h=h, c=h))
    assert d.rtol is None
    assert d.atol is None
    assert compare(of(h=h, c=h.astype(np.float32)), of(h=h, c=h), atol=1e-3).rtol == 0


def test_integers_and_bools_are_compared_as_numbers() -> None:
    whole = np.array([[1, 2, 3]])
    assert compare(of(h=whole), of(h=whole.astype(float))).equal
    assert compare(of(h=whole > 2), of(h=np.array([[0.0, 0.0, 1.0]]))).equal
    assert not compare(of(h=whole), of(h=whole + 1)).equal
    unsigned = compare(of(h=np.array([[1]], np.uint8)), of(h=np.array([[2]], np.uint8)))
    assert unsigned.arrays["h"].max_abs == 1


@pytest.mark.parametrize("ulp", [0, 3])
def test_ulps_are_counted_and_can_decide(ulp: int) -> None:
    a = normal(7, 3).astype(np.float32)
    b = (a.view(np.int32) + np.int32(3)).view(np.float32)
    d = compare(of(h=a), of(h=b), ulp=ulp)
    assert d.equal == (ulp == 3)
    assert d.arrays["h"].max_ulp == 3
    assert d.rtol is None


def test_ulp_only_cannot_be_used_for_a_print() -> None:
    h = normal(7, 3)
    with pytest.raises(UserError, match=r"numpy\.txt is printed"):
        compare(
            of(h=h),
            Side("numpy.txt", {"": h}, units={"": np.full(h.shape, 1e-8)}),
            ulp=3,
        )


def test_nan_is_a_mismatch_that_shows_in_every_figure() -> None:
    a, b = normal(4, 3), normal(4, 3)
    b[2, 1] = np.nan
    h = compare(of(h=a), of(h=b)).arrays["h"]
    assert h.mismatched == 1
    figures = h.to_json()
    assert figures["max_abs"] == figures["max_rel"] == figures["max_ulp"] == "NaN"
    assert h.smallest_atol is None
    assert compare(of(h=a), of(h=a)).arrays["h"].smallest_atol == 0
    assert h.abs_at is not None
    assert h.ulp_at is not None
    assert h.abs_at.step == h.ulp_at.step == 2
    assert figures["first"]["b"] == "NaN"


def test_nothing_against_nothing_is_not_a_comparison() -> None:
    with pytest.raises(UserError, match=r"is empty: h is \(0, 3\)"):
        compare(of(h=np.zeros((0, 3))), of(h=np.zeros((0, 3))))


# ---- properties

FLOATS = st.floats(allow_nan=False, width=32)


@given(arrays(np.float32, array_shapes(max_dims=4, max_side=4), elements=FLOATS))
@settings(max_examples=30)
def test_an_array_equals_itself(h: Array) -> None:
    for asked in ({}, {"atol": 0.0}, {"ulp": 0}):
        d = compare(of(h=h, kernel=h), of(h=h.copy(), kernel=h.copy()), **asked)
        assert d.equal
        assert d.hints == []
        assert [a.mismatched for a in d.arrays.values()] == [0, 0]


@given(
    arrays(np.float64, (4, 2, 3), elements=st.floats(-1e6, 1e6)),
    arrays(np.float64, (4, 2, 3), elements=st.floats(-1e6, 1e6)),
    st.floats(0, 1e6),
)
@example(
    np.full((4, 2, 3), 350268.0), np.full((4, 2, 3), 1e-303), 0.0
)  # their sum is infinite
@settings(max_examples=30)
def test_an_absolute_tolerance_is_symmetric(a: Array, b: Array, atol: float) -> None:
    there, back = (
        compare(of(h=a), of(h=b), atol=atol),
        compare(of(h=b), of(h=a), atol=atol),
    )
    one, other = there.arrays["h"], back.arrays["h"]
    assert one.mismatched == other.mismatched == np.count_nonzero(np.abs(a - b) > atol)
    least = one.smallest_atol
    assert least is not None
    assert compare(of(h=a), of(h=b), atol=least).equal
    assert not least or not compare(of(h=a), of(h=b), atol=np.nextafter(least, 0)).equal


@given(
    st.lists(st.floats(), min_size=1, max_size=6),
    st.lists(st.floats(), min_size=6, max_size=6),
)
@settings(max_examples=40)
def test_any_numbers_give_json_and_no_warning(a: list[float], b: list[float]) -> None:
    d = compare(of(h=np.array([a])), of(h=np.array([b[: len(a)]])))
    json.dumps(d.to_json(), allow_nan=False)
    assert d.equal == (d.first_divergence is None)


# ---- results that are called as frameworks call them


def _side(*names: str) -> Side:
    return Side(
        "b.npz", {name: np.full((2, 3), n, np.float32) for n, name in enumerate(names)}
    )


@pytest.mark.parametrize(
    "names",
    [
        ("output", "hn", "cn"),
        ("out", "h_n", "c_n"),
        ("output", "final_h", "c_n"),
        ("Y", "Y_h", "Y_c"),
        ("0", "1.0", "1.1"),
    ],
)
def test_results_by_a_frameworks_names_are_called_as_in_a_trace(
    names: tuple[str, ...],
) -> None:
    side = with_trace_names(_side(*names))
    assert list(side.arrays) == ["h", "final_h", "final_c"]
    assert [int(array[0, 0]) for array in side.arrays.values()] == [0, 1, 2]
    assert side.original_names["h"] == names[0]


@pytest.mark.parametrize(
    "names",
    [
        ("output", "kernel"),  # one is no result: weights may be called so too
        ("h", "output"),  # two that would have one name
        ("0", "1"),
        ("weight_ih_l0", "weight_hh_l0"),
        ("h", "final_h"),
        ("",),
    ],
)
def test_other_arrays_keep_their_names(names: tuple[str, ...]) -> None:
    side = with_trace_names(_side(*names))
    assert list(side.arrays) == list(names)
    assert side.renaming == ""


def test_an_array_that_is_taken_as_another_is_reported() -> None:
    ours = Side(
        "a.npz", {"h": np.zeros((2, 3), np.float32), "final_h": np.zeros(3, np.float32)}
    )
    found = compare(ours, with_trace_names(_side("output", "cn")))
    assert found.remarks == ("output and cn of b.npz are interpreted as h and final_c",)
    assert list(found.arrays) == ["h"]


def test_shapes_that_a_print_with_dots_may_have() -> None:
    def shapes(before: Gaps, packed: tuple[int, ...]) -> list[tuple[int, ...]]:
        return printed_shapes(before, packed, (20, 4, 8))

    assert shapes((None, 3, None), (4, 6, 8)) == [(4, 20, 8)]
    assert shapes((3, None, 3), (6, 4, 6)) == [(20, 4, 8), (8, 4, 20)]
    assert shapes((3, None, None), (6, 1, 8)) == [(20, 1, 8)]
    assert shapes((3, None), (6, 8)) == [(20, 8)]
    assert shapes((None, 3, None), (5, 6, 8)) == []
