"""The sheet of a check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lstmcli.core.diff.metrics import Position
from lstmcli.core.explain.explanation import Changed, Explanation
from lstmcli.views.check import check_sheet
from lstmcli.views.sheet import Width

ERRORS = {"max_abs": 1.19e-7, "max_rel": 2e-6, "max_ulp": 17}


def row(name: str, errors: dict[str, Any] = ERRORS, **changes: Any) -> SimpleNamespace:
    """One engine's run as a check has it."""
    difference = SimpleNamespace(rtol=1.3e-6, atol=1e-5)
    fields: dict[str, Any] = {
        "engine": SimpleNamespace(name=name), "version": "1.2.3", "equal": True,
        "of_run": SimpleNamespace(worst=errors.get, difference=difference), "float64_abs": 2e-16,
        "differs_in": None, "within_rounding": False, "truth_abs": 1.1e-7, "seconds": 0.0123,
        "first": None, "notes": (), "ulp": None,
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


TORCH = row("torch", notes=("where it parts from its documentation",))
KERAS = row(
    "keras", ERRORS | {"max_abs": float("nan"), "max_ulp": float("nan")},
    version="1.2.3 on torch 2.0", equal=False, float64_abs=None, differs_in="float32",
    first=Position("h", float("nan"), 0.25, 3, 1, 0),
)  # fmt: skip


def check(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "rows": (TORCH, KERAS), "drawn": None, "truth_abs": 7e-8, "seconds": 0.002,
        "nearest": ["ours"], "refused": {"jax": "jax (a cell) cannot run a projection."},
        "findings": {},
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


CHANGED = Changed("forget_bias", 1.0, 0.0, text="forget bias is 0, not +1")
FOUND = Explanation("found", {}, (CHANGED,))


def test_every_line() -> None:
    assert (
        check_sheet(check(findings={"keras": FOUND}), Width()).plain()
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
    rounded = row("torch", within_rounding=True)
    text = " ".join(check_sheet(check(rows=(rounded, KERAS)), Width()).plain().split())
    assert "1 of 2 agree within rtol 1.3e-06, atol 1e-05, or rounding" in text
    assert "rounding torch: more than the tolerance, but at most 4 times the distance" in text


def test_drawn_inputs_and_ulps_are_reported() -> None:
    in_ulps = row("torch", ulp=4)
    in_ulps.of_run.difference = SimpleNamespace(rtol=None, atol=None)
    text = check_sheet(check(rows=(in_ulps, KERAS), drawn=5), Width()).plain()
    first = text.splitlines()[0]
    assert first.startswith("drawn           inputs and the initial state, from seed 5")
    assert "within 4 ULP" in text
