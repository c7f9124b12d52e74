"""Results that are called as frameworks call them."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.naming import with_trace_names
from lstmcli.core.diff.operand import Side


def _side(*names: str) -> Side:
    return Side("b.npz", {name: np.full((2, 3), n, np.float32) for n, name in enumerate(names)})


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
def test_results_by_a_frameworks_names_are_called_as_in_a_trace(names: tuple[str, ...]) -> None:
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


@pytest.mark.parametrize("names", [("h", "final_h"), ("output", "hn")])
def test_the_object_that_contains_all_results_is_left_out(names: tuple[str, ...]) -> None:
    side = with_trace_names(_side(*(f"result.outputs.{name}" for name in names)))
    assert side.original_names == {
        "h": f"result.outputs.{names[0]}",
        "final_h": f"result.outputs.{names[1]}",
    }
    of_cell = with_trace_names(_side("layer1_reverse.h"))
    assert list(of_cell.arrays) == ["layer1_reverse.h"]


def test_an_array_that_is_taken_as_another_is_reported() -> None:
    ours = Side("a.npz", {"h": np.zeros((2, 3), np.float32), "final_h": np.zeros(3, np.float32)})
    found = compare(ours, with_trace_names(_side("output", "cn")))
    assert found.remarks == ("output and cn of b.npz are taken as h and final_c",)
    assert list(found.arrays) == ["h"]


@pytest.mark.parametrize(
    ("file", "final"),
    [
        ("hn.npy", "final_h"), ("runs/torch_h_n.npy", "final_h"), ("cn2.npy", "final_c"),
        ("final_c.npy", "final_c"), ("last-h.txt", "final_h"), ("hnew.npy", None), ("h.npy", None),
        ("h_final.npy", None), ("chn.npy", None), ("final_h_v1.npy", None), ("h_n_seq.npy", None),
        ("hn", "final_h"),
    ],
)  # fmt: skip
def test_the_name_of_a_file_tells_last_states(file: str, final: str | None) -> None:
    """Last states of several cells have no steps; (L, B, H) looks like steps of a batch."""
    states = np.arange(24.0).reshape(2, 4, 3)
    silent = Side(file, {"": states})
    both = compare(silent, Side(f"a/{file}", {"": states + 1}))
    first = both.first_divergence
    assert (first is None) == (final is not None)
    trace = Side("a.npz", {"h": np.zeros((5, 4, 3)), "final_h": states, "final_c": states}, "time")
    beside = compare(trace, silent)
    assert list(beside.arrays) == [final or "h"]
    if final is not None:
        assert beside.equal
        assert f"{file} is taken as {final}" in beside.remarks
    steps = compare(trace, Side(file, {"": np.zeros((5, 4, 3))}))
    assert steps.equal
    assert list(steps.arrays) == ["h"]
