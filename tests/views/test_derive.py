"""The sheet of a derivation: what each kind of cell shows."""

from __future__ import annotations

from typing import Any

import pytest

from lstmcli.api.derive import derive
from lstmcli.views.derive import Detail, derivation_sheet
from lstmcli.views.sheet import Width
from tests.core.derive.test_derive import case_of


def shown(case: str, width: int | None = None, **where: Any) -> str:
    model, given, _ = case_of(case)
    found = derive(model, **{"step": 2, "unit": 1, "batch": 1, **where}, **given)
    return derivation_sheet(found, Detail(), Width.of(width)).plain()


def test_a_coupled_gate_is_made_of_the_other() -> None:
    text = shown("dynet/coupled", gate="f")
    assert (
        text.index("\nsum_i")
        < text.index("\nz_i ")
        < text.index("\ni     = sigmoid(z_i)")
    )
    assert "\nf     = 1 - i\n" in text
    assert "sum_f" not in text
    assert "1 - i" in shown("dynet/coupled")


def test_a_unit_that_the_projection_leaves_without_h_says_so() -> None:
    assert "\nh     = sum_h\n" in shown("torch/projection", unit=1)
    text = shown("torch/projection", unit=2)
    assert "\nm     = o * tanh(c)\n" in text
    assert "the projection gives 2 numbers: unit 2 has no h" in text
    assert "sum_h" not in text


@pytest.mark.parametrize(
    ("case", "formula"),
    [
        ("lasagne/peepholes", "o     = sigmoid(z_o) + p_o * c"),
        ("onnxruntime/clip", "z_i   = clip(sum_i, -0.5, 0.5)"),
        ("keras/hard_sigmoid", "f     = hard_sigmoid_1_6(z_f)"),
        ("onnxruntime/affine", "g     = affine(1.5,0.2)(z_g)"),
    ],
)
def test_odd_cells_have_separate_formulas(case: str, formula: str) -> None:
    letter = formula[0] if formula[1] == " " else formula[2]
    assert f"\n{formula}\n" in shown(case, gate=letter)


def test_the_state_of_the_first_step_is_named() -> None:
    assert "h_prev and c_prev: the initial state" in shown("torch/projection", step=0)
    text = shown("flax/linen_reverse_keep_order", step=3)
    assert "h_prev and c_prev: after step 4" in text
    turned = shown("keras/go_backwards", step=2)
    assert "x          step 4 of the inputs" in turned
    assert "h_prev and c_prev: after step 1" in turned
