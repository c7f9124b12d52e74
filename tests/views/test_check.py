"""The sheet of a check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lstmcli.api.job import InputOptions, read_job
from lstmcli.core.diff.figures import Position
from lstmcli.core.explain.explanation import Changed, Explanation
from lstmcli.views.check import check_sheet
from lstmcli.views.sheet import Width
from tests.cli.conftest import SAMPLE

ERRORS = {"max_abs": 1.19e-7, "max_rel": 2e-6, "max_ulp": 17}


def row(name: str, errors: dict[str, Any] = ERRORS, **changes: Any) -> SimpleNamespace:
    """One engine's run as a check has it."""
    difference = SimpleNamespace(rtol=1.3e-6, atol=1e-5)
    fields: dict[str, Any] = {
        "engine": SimpleNamespace(name=name), "version": "1.2.3", "equal": True,
        "of_run": SimpleNamespace(worst=errors.get, difference=difference), "float64_abs": 2e-16,
        "differs_in": None, "within_rounding": False, "truth_abs": 1.1e-7, "seconds": 0.0123,
        "first": None, "notes": (),
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


TORCH = row("torch", notes=("where it differs from its documentation",))
KERAS = row(
    "keras", ERRORS | {"max_abs": float("nan"), "max_ulp": float("nan")},
    version="1.2.3 on torch 2.0", equal=False, float64_abs=None, differs_in="float32",
    first=Position("h", float("nan"), 0.25, 3, 1, 0),
)  # fmt: skip


JOB = read_job(
    [SAMPLE / "weights.npz"], SAMPLE / "inputs.npy", {}, InputOptions(), where="check"
)


def check(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "rows": (TORCH, KERAS), "drawn": None, "ulp": None, "truth_abs": 7e-8, "seconds": 0.002,
        "nearest": ["ours"], "refused": {"jax": "jax (a cell) cannot run a projection."},
        "findings": {}, "job": JOB,
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


CHANGED = Changed("forget_bias", 1.0, 0.0, text="forget bias is 0, not +1")
FOUND = Explanation("found", {}, (CHANGED,))


def test_every_line() -> None:
    assert (
        check_sheet(check(findings={"keras": FOUND}), Width()).plain()
        == """\
✘ keras differs; 1 of 2 engines agree within rtol 1.3e-6, atol 1e-5

weights    weights.npz · kernel (7, 12), bias (12,) · 4 inputs -> 3 units
inputs     inputs.npy · (1, 7, 4) · batch 1 x 7 steps x 4 inputs
config     tf1 · gates i g f o · float64 · forget bias +1
assumed    convention tf1 (--convention); forget bias +1 (--forget-bias);
           layout batch (--layout)

engine  version      result   max abs  max rel  max ulp  float64  long double    ms
lstm    0.1.0                                                          7e-8       2
torch   1.2.3        agrees   1.19e-7     2e-6       17    2e-16       1.1e-7  12.3
keras   1.2.3 torch  differs   nan        2e-6                         1.1e-7  12.3

first      keras in float32: h, step 3, batch 1, unit 0: nan, lstm 0.25
finding    One change explains the difference: forget bias is 0, not +1
nearest    lstm: most accurate, by the same run in long double
known      torch: where it differs from its documentation
left out   jax (a cell) cannot run a projection.
"""
    )


def test_a_difference_that_counts_as_rounding_is_explained() -> None:
    rounded = row("torch", within_rounding=True)
    text = " ".join(check_sheet(check(rows=(rounded, KERAS)), Width()).plain().split())
    assert "1 of 2 engines agree within rtol 1.3e-6, atol 1e-5, or rounding" in text
    assert "rounding torch: beyond the tolerance, but at most 4 times the error" in text


def test_drawn_inputs_and_ulps_are_reported() -> None:
    in_ulps = row("torch")
    in_ulps.of_run.difference = SimpleNamespace(rtol=None, atol=None)
    text = check_sheet(check(rows=(in_ulps, KERAS), drawn=5, ulp=4), Width()).plain()
    assert "\ndrawn      inputs and the initial state, from seed 5" in text
    assert "within 4 ULP" in text.splitlines()[0]
