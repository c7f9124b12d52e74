"""Numbers that are solved for, and what else may be true. EXPECTED is that of a small loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.model.arrays import Array
from lstmcli.views.explain import details
from tests.core.explain.asking import printed
from tests.core.explain.test_edits import asked, texts
from tests.core.forward.test_edits import W, X, lstm, random_weights, s, tensors

STATISTICS: dict[str, Any] = {
    "inputs.normalised=std_all": lambda: lstm(X / X.std()).h,
    "inputs.normalised=range_feature": lambda: lstm(X / np.ptp(X, axis=(0, 1))).h,
    "inputs.normalised=first_abs_sequence": lambda: lstm(X / np.abs(X[:1, :, :1])).h,
    "inputs.normalised=minus_median_all": lambda: lstm(X - np.median(X)).h,
    "outputs.normalised=largest_all": lambda: lstm().h / np.abs(lstm().h).max(),
    "outputs.normalised=std_feature": lambda: lstm().h / lstm().h.std(axis=(0, 1)),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("text", STATISTICS)
def test_a_statistic_of_the_data_is_named_and_no_constant(text: str) -> None:
    found = asked(STATISTICS[text]().astype(np.float32))
    assert found.verdict == "found"
    assert ".normalised=" in found.edits[0]
    assert text in texts(found)


@pytest.mark.slow
@pytest.mark.parametrize("digits", [3, 5])
@pytest.mark.parametrize("kind", ["factor", "offset"])
def test_one_number_of_a_print_goes_before_one_of_each_feature(
    kind: str, digits: int, tmp_path: Path
) -> None:
    w = random_weights(3, 6)
    h = lstm(X * 1.8931582 if kind == "factor" else X - 0.2389621, w).h
    found = of_print(h, digits, w, tmp_path)
    ((edit, number),) = [text.split("=") for text in found.edits]
    assert edit == f"inputs.{kind}"
    wanted = 1.8931582 if kind == "factor" else -0.2389621
    assert abs(float(number) - wanted) < 2 * 10**-digits
    assert any("second sequence" in note for note in found.notes)


def of_print(h: Array, digits: int, w: Any, folder: Path, x: Array = X) -> Explanation:
    """The explanation of a print of h."""
    file = printed(h, digits, folder / "expected.txt")
    return lstmcli.explain(tensors(w), x, file, layout="time")


@pytest.mark.slow
def test_a_constant_of_few_numbers_is_unproven_beside_an_edit(tmp_path: Path) -> None:
    rng = np.random.default_rng([1, 3])
    w = {
        name: rng.normal(size=shape) * 0.7
        for name, shape in (("K", (4, 2, 3)), ("R", (4, 3, 3)), ("b", (4, 3)))
    }
    x = rng.normal(size=(4, 1, 2))
    h = lstm(x, w, gate={"f": lambda z: s(z) + 0.1}).h
    found = of_print(h, 2, w, tmp_path, x)
    assert [change.setting for change in found.changes] == ["forget_bias"]
    assert found.verdict == "unproven"
    assert any(text.startswith("equations.after.f") for text in texts(found))


def test_a_setting_is_listed_with_the_edit_of_its_place_that_fits() -> None:
    x = X * 0.2  # no |c| exceeds 1
    h = lstm(x, tanh_c=lambda c: c).h.astype(np.float32)
    found = lstmcli.explain(tensors(W), x, h, layout="time")
    assert [change.setting for change in found.changes] == ["output_activation"]
    assert "equations.tanh.c=hard" in texts(found)


def test_a_constant_that_takes_on_rounding_is_no_answer() -> None:
    h = lstm(tanh_c=lambda c: c).h
    off = np.where(np.abs(h) == np.abs(h).max(), 4e-6, 0)
    found = asked(h + off)
    assert "forget_bias" not in [change.setting for change in found.changes]


def test_the_precision_is_what_was_asked_of_the_values(tmp_path: Path) -> None:
    h = lstm(gate={"f": lambda z: s(z + 1)}).h
    for off, words in ((0, "to their 8 printed"), (5e-7, "to float32 precision; 8")):
        found = of_print(h + off, 8, W, tmp_path)
        (line, *_) = details(found, "EXPECTED")
        assert words in line
