"""The sheet of a check, from its document."""

from __future__ import annotations

from typing import Any

from lstmcli.core.explain.explanation import Changed, Explanation
from lstmcli.views.check import check_sheet
from lstmcli.views.sheet import Width

ROW = {
    "version": "1.2.3", "equal": True, "max_abs": 1.19e-7, "max_rel": 2e-6, "max_ulp": 17,
    "float64_abs": 2e-16, "differs_in": None, "within_rounding": False, "truth_abs": 1.1e-7,
    "seconds": 0.0123,
}  # fmt: skip
CHECK: dict[str, Any] = {
    "equal": False,
    "engines": [
        {"name": "torch", **ROW},
        {"name": "keras", **ROW, "version": "1.2.3 on torch 2.0"}
        | {"equal": False, "max_abs": "NaN", "max_ulp": "NaN", "float64_abs": None}
        | {"differs_in": "float32"},
    ],
    "ours": {"version": "0.1.0", "truth_abs": 7e-8, "seconds": 0.002},
    "nearest": ["ours"],
    "rtol": 1.3e-6, "atol": 1e-5, "ulp": None, "seed": None,
    "refused": {"jax": "jax (a cell) cannot run a projection."},
    "first_divergence": {
        "keras": {"array": "h", "step": 3, "batch": 1, "unit": 0, "a": "NaN", "b": 0.25}
    },
    "findings": {},
    "notes": {"torch": ["where it parts from its documentation"]},
}  # fmt: skip


FOUND = Explanation(
    "found", {}, (Changed("forget_bias", 1.0, 0.0),)
)  # fmt: skip


def test_every_line() -> None:
    assert (
        check_sheet(CHECK, {"keras": FOUND}, Width()).plain()
        == """\
engine  version               max abs  max rel  max ulp   float64  long double    ms
ours    0.1.0                                                          7.00e-8     2
torch   1.2.3        agrees   1.19e-7  2.00e-6       17  2.00e-16      1.10e-7  12.3
keras   1.2.3 torch  differs      NaN  2.00e-6      NaN                1.10e-7  12.3

differs         keras; 1 of 2 agree within rtol 1.3e-06, atol 1e-05
first mismatch  keras in float32: h, step 3, batch 1, unit 0: NaN, ours 0.25
finding         One change explains the difference: forget bias is 0, not +1
most accurate   ours (vs. the same run in long double)
known           torch: where it parts from its documentation
left out        jax (a cell) cannot run a projection.
"""
    )


def test_a_difference_that_is_rounding_is_said_to_be_one() -> None:
    one, other = CHECK["engines"]
    rows = [{**one, "within_rounding": True}, other]
    text = " ".join(check_sheet(CHECK | {"engines": rows}, {}, Width()).plain().split())
    assert "1 of 2 agree within rtol 1.3e-06, atol 1e-05, or rounding" in text
    assert "rounding torch: more than the tolerance, but at most 4 times the distance" in text


def test_a_narrow_terminal_hides_columns_and_names_them() -> None:
    heading, *_, gone = list(check_sheet(CHECK, {}, Width.of(50)).rows())[:5]
    assert heading.split() == ["engine", "version", "max", "abs", "long", "double"]
    assert gone == "hidden columns: max rel, max ulp, float64, ms"


def test_drawn_inputs_and_ulps_are_reported() -> None:
    text = check_sheet(
        CHECK | {"seed": 5, "ulp": 4, "rtol": None, "atol": None}, {}, Width()
    ).plain()
    first = text.splitlines()[0]
    assert first.startswith("drawn           inputs and the initial state, from seed 5")
    assert "within 4 ULP" in text


def test_without_a_long_double_run_no_engine_is_most_accurate() -> None:
    rows = [{**row, "truth_abs": None} for row in CHECK["engines"]]
    ours = CHECK["ours"] | {"truth_abs": None}
    text = check_sheet(CHECK | {"engines": rows, "ours": ours, "nearest": []}, {}, Width()).plain()
    assert "long double" not in text
