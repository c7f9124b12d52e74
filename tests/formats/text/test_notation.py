"""Numbers as C, Rust, JavaScript, ggml, ndarray and candle print them, and logs.

The files of ``tests/golden/languages`` were written by the programs themselves; where a language
or a library could not be run, its notation is typed here after its documentation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.diff import diff
from lstmcli.errors import UserError
from lstmcli.formats import Document
from lstmcli.formats.text.json_objects import as_columns
from tests.recorded import GOLDEN
from tests.standard_input import from_stdin

LANGUAGES = GOLDEN / "languages"
with np.load(LANGUAGES / "arrays.npz") as members:
    H = members["h"]


def read(text: str) -> Document:
    document: Document = from_stdin(formats.read, text.encode(), abbreviated=True)
    return document


SHOWN = {
    "node-flat": {"": H.ravel()}, "node-log": {"": H},
    "rust-pretty": {"": H}, "c-steps": {"": H}, "node-typed": {"h": H.ravel()},
}  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted(LANGUAGES.glob("*.txt")), ids=lambda path: path.stem
)
def test_logs_of_programs_are_read_as_arrays(path: object) -> None:
    document = formats.read(str(path))
    expected = SHOWN.get(getattr(path, "stem", ""), {"h": H})
    assert {name: a.shape for name, a in document.arrays.items()} == {
        name: a.shape for name, a in expected.items()
    }
    for name, array in expected.items():
        unit = document.units.get(name, np.zeros(array.shape))
        assert (unit < 1e-3).all()
        exact = array.astype(np.float64)
        assert (
            np.abs(document.arrays[name] - exact) <= unit / 2 + 6e-8 * np.abs(exact)
        ).all()


ROWS = [[0.1, -0.2], [0.3, 0.4]]
TYPED = {
    "C, one name a line": "float h[2][2] = { {0.1f, -0.2f}, {.3f, 4e-1f}, };",
    "C, without a name": "{{0.1, -0.2}, {0.3, 0.4}}",
    "C++": "std::vector<std::vector<float>> h{{0.1f, -0.2f}, {0.3f, 0.4f}};",
    "Java": "double[][] h = {{0.1d, -0.2}, {0.3, 0.4D}};",
    "PyTorch's C++": " 0.1000 -0.2000\n 0.3000  0.4000\n[ CPUFloatType{2,2} ]\n",
    "Rust, typed": "const H: [[f32; 2]; 2] = [[0.1_f32, -0.2], [0.3, 0.4f32]];",
    "Rust's ndarray, as source": "let h = array![[0.1, -0.2],\n             [0.3, 0.4]];",
    "Rust's ndarray": "[[0.1, -0.2],\n [0.3, 0.4]], shape=[2, 2], strides=[2, 1], layout=Cc (0x5), "
    "const ndim=2",
    "candle": "[[ 0.1000, -0.2000],\n [ 0.3000,  0.4000]]\nTensor[[2, 2], f32]",
    "JavaScript": "const h = [[0.1, -0.2], [0.3, 0.4]];",
    "log": "loading\nt=0 h: 0.1 -0.2\nt=1 h: 0.3 0.4\ndone",
    "log, with times": "[2026-01-02 03:04:05.678] t=0 h=[0.1, -0.2]\n"
    "[2026-01-02 03:04:06.789] t=1 h=[0.3, 0.4]\n",
    "log, steps alone": "step 0: 0.1, -0.2\nstep 1: 0.3, 0.4",
    "log, an element a line": "h[0][0] = 0.1\nh[0][1] = -0.2\nh[1][0] = 0.3\nh[1][1] = 0.4",
    "log, C++": "h(1,0): 0.3\nh(1,1): 0.4".replace(",", ")(") + "\nh(0)(0): 0.1\nh(0)(1): -0.2",
    "log, indices": "h[0, 0] = 0.1\nh[0, 1] = -0.2\nh[1, 0] = 0.3\nh[1, 1] = 0.4",
    "log, a row a line": "h[0]: 0.1 -0.2\nh[1]: 0.3 0.4",
    "JSON records": json.dumps([{"t": 0, "h": [0.1, -0.2]}, {"t": 1, "h": [0.3, 0.4]}]),
    "JSON, deep": json.dumps({"a": {"b": [{"c": {"h": [0.1, -0.2]}}, {"c": {"h": [0.3, 0.4]}}]}}),
    "JSON of a server": json.dumps(
        {"outputs": [{"name": "h", "shape": [2, 2], "data": [0.1, -0.2, 0.3, 0.4]}]}
    ),
    "ggml": "ggml_debug:     h-0 = (f32)   ADD(a{2, 2, 1, 1}, b{2, 1, 1, 1}}) = {2, 2, 1, 1}\n"
    "   [\n    [\n     [      0.1000,      -0.2000],\n     [      0.3000,       0.4000],\n    ],\n"
    "   ]\n   sum = 0.600000\n",
}  # fmt: skip


@pytest.mark.parametrize("notation", TYPED)
def test_notations(notation: str) -> None:
    (array,) = read(TYPED[notation]).arrays.values()
    np.testing.assert_allclose(array.reshape(2, 2), ROWS)


REJECTED = {
    "Julia": "2×2 Matrix{Float32}:\n 0.1  -0.2\n 0.3   0.4",
    "Julia, as typed": "julia> h\n2×2 Matrix{Float64}:\n 0.1  -0.2\n 0.3   0.4",
    "Julia, in brackets": "Float32[0.1 -0.2; 0.3 4.0f-1]",
    "Julia, of float64": "h = [0.1 -0.2; 0.3 0.4]",
    "Julia, vectors": "[Float32[0.1, -0.2], Float32[0.3, 0.4]]",
    "MATLAB, with sizes": "ans =\n\n  2×2 single matrix\n\n   0.1   -0.2\n   0.3    0.4\n",
    "MATLAB": ">> h\n\nh =\n\n    0.1000   -0.2000\n    0.3000    0.4000\n",
    "MATLAB, in columns": "h =\n\n  Column 1\n\n   0.1\n   0.3\n\n  Column 2\n\n  -0.2\n   0.4\n",
    "MATLAB, with a factor": "h =\n\n   1.0e-01 *\n\n    1.0000   -2.0000\n    3.0000    4.0000\n",
    "Markdown": "| step | h[0] | h[1] |\n|---|:--|--:|\n| 0 | 0.1 | -0.2 |\n| 1 | 0.3 | 0.4 |",
    "MATLAB, of three axes": "ans(:,:,1) =\n\n    0.1000   -0.2000\n    0.3000    0.4000\n",
    "MATLAB's documents": "h = 40×30\n\n    0.1000   -0.2000 ⋯\n      ⋮\n",
    "Octave, in columns": "h =\n\n Columns 1 through 2:\n\n    0.1   -0.2\n    0.3    0.4\n",
    "Julia, a vector": "2-element Vector{Float32}:\n 5.25f-14\n 0.5\n",
    "MATLAB, as typed": "h = [0.1 -0.2; 0.3 0.4]",
    "octave.txt": (GOLDEN / "unread_files/octave.txt").read_text(),
    "markdown.txt": (GOLDEN / "unread_files/markdown.txt").read_text(),
}  # fmt: skip


@pytest.mark.parametrize("text", REJECTED.values(), ids=[*REJECTED])
def test_matrices_of_other_languages_and_tables_of_markdown_are_to_be_saved_as_csv(
    text: str,
) -> None:
    with pytest.raises(
        UserError, match=r"^standard input, line [1-3]: .* as CSV: writematrix"
    ):
        read(text)


def test_integers_in_brackets_are_not_the_array_of_a_log() -> None:
    text = "".join(f"[{t}] h0=0.{t}1 h1=-0.{t}2\n" for t in range(3))
    arrays = read(text).arrays
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "h0": [0.01, 0.11, 0.21],
        "h1": [-0.02, -0.12, -0.22],
    }


@pytest.mark.parametrize(
    "text",
    [
        "x = [[1, 0, 1], [0, 1, 0]]\nmean: 0.5 0.5 0.5\n",
        "lr = 0.01\nx = [[1, 0, 1], [0, 1, 0]]\n",
        "array([[1, 0, 1], [0, 1, 0]])\nnumpy 1.26.4\n",
        "const float x[2][3] = {{1, 0, 1}, {0, 1, 0}};\nfloat s = 0.5;",
    ],
)
def test_integers_next_to_other_numbers_are_an_array(text: str) -> None:
    (array,) = (a for name, a in read(text).arrays.items() if name in ("", "x"))
    assert array.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_objects_in_a_text_file_are_json(tmp_path: Path) -> None:
    path = tmp_path / "h.txt"
    path.write_text(json.dumps([{"t": t, "h": row} for t, row in enumerate(ROWS)]))
    assert formats.read(str(path)).arrays["h"].tolist() == ROWS


def test_several_names_on_a_line_of_a_log() -> None:
    document = read("t=3 h: 0.1 0.2 c: 0.5 0.6\nt=4 h: 0.3 0.4 c: 0.7 0.8\n")
    assert document.arrays["h"].tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert document.arrays["c"].tolist() == [[0.5, 0.6], [0.7, 0.8]]
    assert document.part.steps == range(3, 5)


GGML_GAPS = (
    "cb_eval:  h = (f32) ADD(a{12, 2, 1, 1}) = {12, 2, 1, 1}\n [\n  [\n"
    "   [ 0.0000, 1.0000, 2.0000, ..., 9.0000, 10.0000, 11.0000],\n"
    "   [ 1.0000, 2.0000, 3.0000, ..., 10.0000, 11.0000, 12.0000],\n  ],\n ]\n sum = 144.000000\n"
)
NDARRAY_GAPS = (
    "[[0.5, 1.5, ..., 8.5, 9.5],\n [1.5, 2.5, ..., 9.5, 10.5]], shape=[2, 10], strides=[10, 1], "
    "layout=Cc (0x5), const ndim=2\n"
)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        (GGML_GAPS, np.add.outer(np.arange(2.0), np.arange(12.0))[None]),
        (NDARRAY_GAPS, np.add.outer(np.arange(2.0), np.arange(10.0)) + 0.5),
        (NDARRAY_GAPS.split(", shape")[0] + "\nTensor[[2, 10], f32]\n",
         np.add.outer(np.arange(2.0), np.arange(10.0)) + 0.5),
    ],
)  # fmt: skip
def test_abbreviated_prints_are_compared_where_they_have_numbers(
    text: str, full: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    document = read(text)
    (gaps,) = document.gaps.values()
    assert gaps.shape == full.shape
    assert diff(document, full).equal
    full[..., 1] += 1
    assert not diff(document, full).equal


def test_c_plus_plus_streams_round_to_six_digits() -> None:
    """``std::cout << x``: six significant digits, and no zeros at the end."""
    numbers = np.array(
        [[-1.1990644, 0.48630986], [0.0627638623, 123.456789]], np.float32
    )
    text = "\n".join(f"t={t} h: {a:g} {b:g}" for t, (a, b) in enumerate(numbers))
    assert diff(read(text), numbers).equal
    assert not diff(read(text), numbers * np.float32(1.00002)).equal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t=0 h: 0.1 0.2\nt=1 h: 0.3\n", "line 2: h has 1 numbers; line 1 has 2."),
        ("t=0 h: 0.1 0.2\n0.5 0.7\n", "line 2: '0.5 0.7' has numbers without a name or a step"),
        ("t=0 h: 0.1 0.2abc\n", "line 1: '0.2abc' has numbers without a name"),
        ("t=1 h: 0.1\nt=0 h: 0.3\n", "line 2: step 0 of h follows step 1"),
        ("h[0][0] = 0.1\nh[1][1] = 0.4\n", "h[0][1] is missing"),
        ("h[0] = 0.1\nh[0] = 0.4\n", "line 2: h[0] comes twice"),
        ("Float32Array(150) [\n 0.1, 0.2,\n ... 50 more items\n]", "abbreviated"),
        ('[{"h": [0.1]}, {"c": [0.2]}]', "element [1] is other than element [0], an object with h"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_line(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        from_stdin(formats.read, text.encode())
    assert said in str(error.value)


def test_objects_in_lists_within_each_other_take_no_time_of_powers() -> None:
    """A list whose members were converted twice at each level would take 2^60 steps."""
    value: Any = 1.0
    for _ in range(60):
        value = [{"a": value}]
    found = as_columns(value, "x")
    for _ in range(60):
        found = found["a"]
    for _ in range(60):  # an axis for each list
        (found,) = found
    assert found == 1
