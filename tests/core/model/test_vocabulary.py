"""Names of activations, with numbers in brackets or without."""

from __future__ import annotations

import pytest

from lstmcli.core.model.vocabulary import read_activation_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ELU", "elu"),
        ("elu(0.8)", "elu(0.8)"),
        ("affine(1.5)", "affine(1.5,0)"),
        ("HardSigmoid(0.2, 0.5)", "hard_sigmoid(0.2,0.5)"),
    ],
)
def test_numbers_that_are_left_out_are_the_usual_ones(text: str, name: str) -> None:
    assert read_activation_name(text) == name


@pytest.mark.parametrize("text", ["tanh(1)", "elu(1,2)", "hard_sigmoid(0.2,0.5,1)"])
def test_an_activation_takes_no_more_numbers_than_it_has(text: str) -> None:
    with pytest.raises(ValueError, match=f"^at most {text.count(',')} numbers for "):
        read_activation_name(text)
