"""EXPECTED laid on a run, and moved into the order of processing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.observation import Expected, as_printed, placements, processed
from lstmcli.core.explain.wording import placement_text

Array = np.ndarray[Any, Any]

T, B, H = 7, 3, 2
WHOLE = np.arange(T * B * H, dtype=float).reshape(T, B, H) + 1


def placed(array: Array, layout: str = "time", name: str = "h") -> list[Expected]:
    widths = {"h": H, "final_h": H}
    return placements({name: Numbers(array)}, widths, T, B, layout)


def test_all_steps_in_either_layout() -> None:
    for array, layout in ((WHOLE, "time"), (WHOLE.swapaxes(0, 1), "batch")):
        first, *_ = placed(array, layout)
        np.testing.assert_array_equal(first.sequences["h"].values, WHOLE)
        assert placement_text(first.placement) == ""


def test_a_line_for_each_row_is_the_last_state_rather_than_steps_of_one() -> None:
    first, *others = placed(WHOLE[-1])
    assert placement_text(first.placement) == "EXPECTED is taken as the last h"
    np.testing.assert_array_equal(first.finals["final_h"].values, WHOLE[-1])
    assert "the first 3 of 7 steps" in placement_text(others[0].placement)
    assert "steps" in placement_text(placed(WHOLE[: B - 1, 0])[0].placement)


def test_a_line_for_each_row_may_be_a_first_step() -> None:
    from_the_start = [one for one in placed(WHOLE[0]) if one.placement.is_from_the_start]
    last = from_the_start[-1]
    assert placement_text(last.placement) == "EXPECTED is taken as step 0 of 7"
    np.testing.assert_array_equal(last.sequences["h"].values[0], WHOLE[0])
    assert np.isnan(last.sequences["h"].values[1:]).all()


@pytest.mark.slow
def test_one_sequence_of_a_batch_takes_memory_by_the_sequences_not_their_square() -> None:
    def peak(array: Array, sequences: int) -> int:
        tracemalloc.start()
        try:
            every = placements({"h": Numbers(array)}, {"h": 8, "final_h": 8}, 20, sequences, "time")
            x = np.zeros((20, sequences, 1))
            views = [processed(x, one, False, False, None, one.items[0]) for one in every]
            assert len(views) >= sequences
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    h = np.arange(20 * 8.0).reshape(20, 8) + 1
    for array in (h, h[-1]):
        assert peak(array, 128) < 6 * peak(array, 32)  # 4 times as many; squared, 16 times


def test_axes_of_one_length_may_be_either() -> None:
    square = np.arange(4.0 * 4 * H).reshape(4, 4, H) + 1
    widths = {"h": H, "final_h": H}
    for layout, axes in (("batch", "time, batch"), ("time", "batch, time")):
        first, second = placements({"h": Numbers(square)}, widths, 4, 4, layout)
        np.testing.assert_array_equal(
            first.sequences["h"].values.swapaxes(0, 1), second.sequences["h"].values
        )
        assert (placement_text(first.placement), placement_text(second.placement)) == (
            "",
            f"EXPECTED is taken as ({axes}, units)",
        )


def test_a_row_may_be_any_row() -> None:
    found = placed(WHOLE[:, 1])
    assert [one.placement.item for one in found[:3]] == [0, 1, 2]
    known = found[1].sequences["h"].values
    np.testing.assert_array_equal(known[:, 1], WHOLE[:, 1])
    assert np.isnan(known[:, [0, 2]]).all()


def test_a_last_state_of_all_rows_may_be_meant() -> None:
    last = [one for one in placed(WHOLE[-1]) if one.finals]
    np.testing.assert_array_equal(last[0].finals["final_h"].values, WHOLE[-1])
    named = placed(WHOLE[-1], name="final_h")
    np.testing.assert_array_equal(named[0].finals["final_h"].values, WHOLE[-1])


def test_what_has_another_width_has_no_place() -> None:
    assert placed(np.ones((T, B, H + 1))) == []
    assert placed(np.ones((T + 1, B + 1, H))) == []


def test_a_backward_cell_is_processed_from_the_end() -> None:
    x = np.arange(T, dtype=float)[:, None, None] * np.ones((T, B, 1))
    expected = placed(WHOLE)[0]
    for item in range(B):
        turned = processed(x, expected, turned=True, flipped=True, valid=None, item=item)
        assert turned.x[:, 0].tolist() == list(range(T))[::-1]
        np.testing.assert_array_equal(turned.known["h"].values, WHOLE[::-1, item])
        as_processed = processed(x, expected, turned=True, flipped=False, valid=None, item=item)
        np.testing.assert_array_equal(as_processed.known["h"].values, WHOLE[:, item])


def test_steps_that_do_not_count_go_to_the_end_and_are_not_known() -> None:
    valid = np.ones((T, B), bool)
    valid[0, 1] = False
    valid[5:, 2] = False
    x = np.arange(T, dtype=float)[:, None, None] * np.ones((T, B, 1))
    _, late, short = (processed(x, placed(WHOLE)[0], False, False, valid, n) for n in range(B))
    assert late.x[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 0]
    np.testing.assert_array_equal(late.known["h"].values[:6], WHOLE[1:, 1])
    assert np.isnan(late.known["h"].values[-1]).all()
    assert np.isnan(short.known["h"].values[5:]).all()
    turned = processed(x, placed(WHOLE)[0], True, True, valid, 2)
    assert turned.x[:, 0].tolist() == [4, 3, 2, 1, 0, 6, 5]
    np.testing.assert_array_equal(turned.known["h"].values[:5], WHOLE[4::-1, 2])


def test_a_last_state_stands_at_the_last_step_that_counts() -> None:
    valid = np.arange(T)[:, None] < np.array([7, 4, 1])
    final = placed(WHOLE[-1], name="final_h")[0]
    for item, last in enumerate((6, 3, 0)):
        known = processed(np.zeros((T, B, 1)), final, False, False, valid, item).known["h"].values
        np.testing.assert_array_equal(known[last], WHOLE[-1, item])
        assert np.isfinite(known).sum() == H


def test_different_numbers_are_counted_as_the_tolerance_sees_them() -> None:
    one = placed(np.array([[1.0, 1.0 + 1e-9], [2.0, 0.5]]))[0]
    assert one.distinct(lambda known: np.full(known.values.shape, 1e-6)) == 3


def test_numbers_that_were_rounded_have_the_digits_as_their_units() -> None:
    rng = np.random.default_rng(3)
    exact = rng.normal(0, 0.4, (7, 3))
    for places in (1, 2, 4, 6):
        for dtype in (np.float32, np.float64):
            rounded = np.round(exact.astype(dtype), places)
            rounded[0, 0] = np.nan
            for unit in (None, np.where(np.isnan(rounded), np.inf, 0.0)):  # NaN, or left out
                printed, digits = as_printed({"h": Numbers(rounded, unit)})
                assert digits == places
                wanted = 10.0**-places + (0.0 if unit is None else unit)
                np.testing.assert_allclose(
                    np.asarray(printed["h"].unit), np.broadcast_to(wanted, (7, 3))
                )


def test_small_numbers_have_as_many_digits_before_an_exponent() -> None:
    """As `lstm run --digits` writes them; where all are multiples of one unit, that is it."""
    rng = np.random.default_rng(3)
    h = np.round(rng.normal(0, 0.4, (7, 3)), 3)
    h[0] = -2.299e-05, 0.0, 8.863e-06
    printed, digits = as_printed({"h": Numbers(h), "c": Numbers(h[1:])})
    assert digits == 3
    wanted = np.full((7, 3), 1e-3)
    wanted[0, [0, 2]] = 1e-8, 1e-9
    np.testing.assert_allclose(np.asarray(printed["h"].unit), wanted)
    np.testing.assert_allclose(np.asarray(printed["c"].unit), wanted[1:])
    five = np.round(rng.normal(0, 0.4, (7, 3)), 5)
    five[0, 0] = 2e-5
    np.testing.assert_allclose(
        np.asarray(as_printed({"h": Numbers(five)})[0]["h"].unit), np.full((7, 3), 1e-5)
    )


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(4).normal(0, 0.4, (7, 3)).astype(np.float32),
        np.round(np.random.default_rng(4).normal(0, 40, (7, 3))),  # whole numbers
        np.array([[0.5, 0.25], [0.125, -0.75]]),  # of any format
        np.array([[0.1234, 0.0]]),  # one number: by chance
        np.zeros((3, 2)),
    ],
)
def test_numbers_that_were_not_rounded_are_exact(values: Array) -> None:
    assert as_printed({"h": Numbers(values)})[0]["h"].unit is None
