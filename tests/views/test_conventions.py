"""The table of conventions as people see it: every field in words, and 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.views.conventions import LINES, convention_sheet, conventions_sheet
from lstmcli.views.sheet import Width

ROWS = list(CONVENTIONS.values())


IN_NAMES = ["words", "recurrent_words"]  # of gates, in the names of tensors
UNUSED = [  # fields in which no row differs: a page need not tell them
    "kernel_gates",
    "recurrent_gates",
    "bias_gates",
    "bias",
    "gate_clip",
    "projection_clip",
    "peepholes",
    "reverse",
    "forward",
    "directions",
    "flip_output",
    "go_backwards",
    "state",
    "initial_state",
    "lengths",
    "arithmetic",
]


def page(name: str, width: int | None = 80) -> str:
    return convention_sheet(CONVENTIONS[name], Width.of(width)).plain()


def test_every_field_of_a_convention_has_its_words() -> None:
    told = {line.field for lines in LINES.values() for line in lines}
    assert sorted([*told, *IN_NAMES, *UNUSED, "name", "title"]) == sorted(ROWS[0].to_json())
    for name in UNUSED:
        assert len({row.to_json()[name] for row in ROWS}) == 1


def test_every_value_of_a_row_has_its_words_unless_it_is_the_usual_one() -> None:
    usual = Convention.row("plain", "", {}).to_json()
    for line in (line for lines in LINES.values() for line in lines):
        if isinstance(line.words, Mapping):
            values = {row.to_json()[line.field] for row in ROWS} - {usual[line.field]}
            assert values <= set(line.words), line.field


def test_the_table_fits_80_columns_and_is_a_line_a_row_in_a_pipe() -> None:
    assert all(len(row) <= 80 for row in conventions_sheet(ROWS, Width.of(80)).rows())
    piped = list(conventions_sheet(ROWS, Width.of(None)).rows())
    assert [row.split()[0] for row in piped[1 : len(ROWS) + 1]] == list(CONVENTIONS)


@pytest.mark.parametrize("width", [50, 60, 79])
def test_a_narrow_table_has_the_description_below_each_row(width: int) -> None:
    rows = list(conventions_sheet(ROWS, Width.of(width)).rows())
    assert all(len(row) <= width for row in rows)
    at = next(n for n, row in enumerate(rows) if row.startswith("tf1-coupled "))
    assert rows[at + 1] == "  TensorFlow 1 CoupledInputForgetGateLSTMCell"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chainer", "g i f o alternating unit by unit"),
        ("haiku", "+1 is added to f at every step"),
        ("tf-block", "|c| at 3"),
        ("cudnnlstm", "each gate's block of both is stored transposed"),
        ("pytorch", "_reverse the backward"),
        ("pytorch", "two, both added"),
        ("keras1", "W_i, W_f, W_c, W_o"),
        ("paddle", "fw or bw before"),
        ("tflite", "without i, i=1-f"),
        ("sonnet1", "acts inside the output's tanh"),
        ("lasagne", "added after the sigmoid"),
        ("dl4j", "three more columns of the recurrent kernel in the order f o i"),
        ("onnx", "in the order i o f"),
        ("tf1-layernorm", "epsilon 1e-12"),
        ("tf1", "so assumed unless set: --forget-bias"),
        ("rtneural", "N counts kernel, recurrent_kernel, bias; then the next"),
        ("tinygrad", "only by --convention"),
    ],
)
def test_the_page_of_a_convention_contains(name: str, words: str) -> None:
    assert words in " ".join(page(name).split())
