"""Names of activations, with numbers in brackets or without."""

from __future__ import annotations

import pytest

from lstmcli.core.model.part import parse_indices
from lstmcli.core.model.shell import as_options
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


# ---- which steps, batch items and units of a run an array contains, as a file says it


@pytest.mark.parametrize(
    ("text", "numbers"), [("2:5", [2, 3, 4]), ("0:5:2", [0, 2, 4]), ("7", [7])]
)
def test_a_selection_in_a_file_is_its_numbers(text: str, numbers: list[int]) -> None:
    found = parse_indices(text)
    assert found is not None
    assert list(found) == numbers


@pytest.mark.parametrize("text", ["-3:2", "-1", "3:1", ":5", "2:", "a", "", 5, None])
def test_texts_that_no_run_writes_are_not_selections(text: object) -> None:
    assert parse_indices(text) is None


# ---- settings as they are typed


def test_settings_of_one_cell_are_typed_with_set() -> None:
    """An option names all cells: there is no ``--layer1.interleaved``."""
    assert as_options({"layer1.interleaved": True}) == [
        "--set",
        "layer1.interleaved=true",
    ]
