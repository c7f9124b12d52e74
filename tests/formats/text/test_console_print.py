"""Text as consoles print it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli.errors import UserError
from lstmcli.formats import Document, read_bytes, write
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.text import console_print
from lstmcli.formats.text.console_print import read_text
from tests.formats.helpers import arrays, filed, piped, same


def pasted(text: str) -> Document:
    return read_text(text, in_memory("paste", b" "))


def lone(text: str) -> list[Any]:
    (array,) = pasted(text).arrays.values()
    return array.tolist()  # type: ignore[no-any-return]


@settings(max_examples=80)
@given(arrays())
def test_writing_keeps_every_bit(array: np.ndarray) -> None:
    buffer = io.BytesIO()
    write(buffer, "text", {"h": array}, {})
    data = buffer.getvalue()
    document = (
        read_text(data.decode(), in_memory("a.txt", data))
        if array.ndim == 1
        else piped(data)
    )
    assert document.arrays[""].shape == array.shape
    same(document.arrays[""].astype(array.dtype), array)


def test_more_numbers_than_a_console_prints_are_refused_with_the_format_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console_print, "MOST_PRINTED", 5)
    write(io.BytesIO(), "text", {"h": np.arange(5.0)})
    with pytest.raises(
        UserError, match=r"6 numbers are too many to print as text.*\.npy"
    ):
        write(io.BytesIO(), "text", {"h": np.arange(6.0)})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([-0.2, 0.3, -0.6], "[ 0.  0. -1.]"),
        ([-0.0, 1e-6, -1e-6], "[ 0.e+00  1.e-06 -1.e-06]"),
        ([-10.0, -0.3], "[-10.   0.]"),
    ],
)
def test_numbers_that_round_to_zero_have_no_sign(
    values: list[float], text: str
) -> None:
    stream = io.BytesIO()
    console_print.write(stream, {"h": np.array(values)}, {"digits": 0})
    assert stream.getvalue().decode() == f"{text}\n"


def test_long_arrays_are_not_abbreviated() -> None:
    buffer = io.BytesIO()
    write(buffer, "text", {"h": np.arange(5000.0)}, {})
    assert piped(buffer.getvalue()).arrays[""].tolist() == list(range(5000))


OPTIONS = st.fixed_dictionaries(
    {
        "precision": st.integers(1, 17),
        "suppress": st.booleans(),
        "floatmode": st.sampled_from(["fixed", "unique", "maxprec", "maxprec_equal"]),
        "linewidth": st.integers(20, 200),
        "sign": st.sampled_from(["-", "+", " "]),
        "threshold": st.just(10**9),
    }
)


@settings(max_examples=150)
@given(arrays(finite=True), OPTIONS, st.sampled_from([str, repr]))
@pytest.mark.slow
def test_numpy_prints_come_back_within_half_a_unit(
    array: np.ndarray, options: dict[str, Any], printer: Any
) -> None:
    array = np.where(np.abs(array) < 1e30, array, array.dtype.type(1))
    with np.printoptions(**options):
        document = pasted(printer(array))
    found, units = document.arrays[""], document.units[""]
    assert found.shape == array.shape == units.shape
    if (
        units.any()
    ):  # else the print shows no fraction, and what it rounded cannot be known
        with np.errstate(over="ignore"):
            error = np.abs(found - array.astype(np.float64))
        spacing = np.spacing(np.abs(array)).astype(
            np.float64
        )  # shortest digits end within it
        exact = units == 0
        assert (error <= 0.5000001 * units + spacing)[~exact].all()


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_a_print_a_step(steps: int, units: int, seed: int) -> None:
    h = np.random.default_rng(seed).normal(size=(steps, 1, units))
    document = pasted("\n".join(str(step) for step in h))
    if steps > 1:
        assert document.layout == "time"
        np.testing.assert_allclose(document.arrays[""], h, rtol=0, atol=0.50001e-7)
    flat = pasted("".join(f"{step}\n" for step in h[:, 0]))
    assert flat.arrays[""].shape == ((steps, units) if steps > 1 else (units,))


@pytest.mark.parametrize(
    "text",
    [
        "[[1.5 2. ]\n [3.  4. ]]",
        "[1.5 2.]\n[3. 4.]",
        "[1.5 2.] [3. 4.]",
        "array([[1.5, 2. ],\n       [3. , 4. ]], dtype=float32)",
        "tf.Tensor(\n[[1.5 2. ]\n [3.  4. ]], shape=(2, 2), dtype=float32)",
        "<tf.Tensor: shape=(2, 2), dtype=float32, numpy=\n"
        "array([[1.5, 2. ],\n       [3. , 4. ]], dtype=float32)>",
        "<tf.Tensor: id=7, shape=(2, 2), dtype=float32, numpy=array([[1.5, 2.], [3., 4.]])>",
        "<tf.Variable 'w:0' shape=(2, 2) dtype=float32, numpy=\narray([[1.5, 2.], [3., 4.]])>",
        "tensor([[1.5000, 2.0000],\n        [3.0000, 4.0000]], grad_fn=<StackBackward0>)",
        "tensor([[1.5, 2.], [3., 4.]], device='cuda:0', dtype=torch.float64)",
        "Parameter containing:\ntensor([[1.5, 2.], [3., 4.]], requires_grad=True)",
        "tensor(1.00000e-01 *\n       [[ 15.0000,  20.0000],\n        [ 30.0000,  40.0000]])",
        "1.00000e-01 *\n  15.0000  20.0000\n  30.0000  40.0000\n[torch.FloatTensor of size 2x2]\n",
        "Array([[1.5, 2. ],\n       [3. , 4. ]], dtype=float32)",
        "[[1.5, 2.0], [3.0, 4.0]]",
        "[1.5, 2.0]\n[3.0, 4.0]",
        "[array([1.5, 2. ], dtype=float32), array([3., 4.], dtype=float32)]",
        "[[np.float32(1.5), np.float32(2.0)], [np.float32(3.0), np.float32(4.0)]]",
        "1.500000000000000000e+00 2.000000000000000000e+00\n3.0e+00 4.0e+00\n",
        "# saved by savetxt\n1.5 2 # first\n\n3 4\n",
        "Step 0: [1.5 2.]\nStep 1: [3. 4.]\n",
        "Step 0\n[1.5 2.]\nStep 1 [done]\n[3. 4.]\n",
        ">>> print(outputs[0])\n[1.5 2.]\n>>> print(outputs[1])\n[3. 4.]\n",
        "In [1]: h\nOut[1]: \narray([[1.5, 2. ],\n       [3. , 4. ]])\n",
        "TensorFlow:\n[1.5 2.]\n[3. 4.]\n",
        "0\n[1.5 2.]\n1\n[3. 4.]\n",
    ],
)
def test_all_of_these_are_one_array(text: str) -> None:
    document = pasted(text)
    assert document.arrays[""].tolist() == [[1.5, 2], [3, 4]]
    assert list(document.arrays) == [""]
    assert document.layout == "steps"


@pytest.mark.parametrize(
    "text",
    [
        "h = [[1. 2.]]\nc = [[3. 4.]]",
        "h: tensor([[1., 2.]])\nc: tensor([[3., 4.]])",
        "{'h': array([[1., 2.]]), 'c': array([[3., 4.]])}",
        "LSTMStateTuple(h=array([[1., 2.]]), c=array([[3., 4.]]))",
        ">>> h = [[1., 2.]]\n>>> c = [[3., 4.]]",
        "h:\n[[1. 2.]]\nc:\n[[3. 4.]]",
        "Step 0: h: [[1. 2.]]\nStep 0: c: [[3. 4.]]",
        "t=0 h=[[1. 2.]] c=[[3. 4.]]",
        "h = [[1., 2.]]; c = [[3., 4.]]",
    ],
)
def test_names(text: str) -> None:
    document = pasted(text)
    assert {name: array.tolist() for name, array in document.arrays.items()} == {
        "h": [[1, 2]],
        "c": [[3, 4]],
    }


def test_names_repeat_and_headings_last() -> None:
    for text in (
        "h = [1. 2.]\nc = [3. 4.]\nh = [5. 6.]\nc = [7. 8.]",
        "h[0] = [1. 2.]\nc[0] = [3. 4.]\nh[1] = [5. 6.]\nc[1] = [7. 8.]",
        "h:\n[1. 2.]\n[5. 6.]\nc:\n[3. 4.]\n[7. 8.]",
    ):
        document = pasted(text)
        assert document.arrays["h"].tolist() == [[1, 2], [5, 6]]
        assert document.arrays["c"].tolist() == [[3, 4], [7, 8]]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("array([0.1], dtype=float16)", np.float16),
        ("array([0.1],\n      dtype=float32)", np.float32),
        ("tf.Tensor([0.1], shape=(1,), dtype=float64)", np.float64),
        ("<tf.Tensor: shape=(1,), dtype=float64, numpy=array([0.1])>", np.float64),
        ("tensor([0.1], dtype=torch.float64)", np.float64),
        ("tensor([0.1], dtype=torch.half)", np.float16),
        ("[0.5]", np.float32),
        ("[0.100000001]", np.float32),
        ("[0.1]", None),
        ("array([0.5], dtype=float64)", np.float64),
    ],
)
def test_dtypes(text: str, dtype: Any) -> None:
    document = read_bytes("paste", text.encode(), ".txt")
    assert document.dtypes.get("") == (None if dtype is None else np.dtype(dtype))


def test_the_dtype_of_the_next_tensor_is_not_this_ones() -> None:
    text = "h = [0.1]\nc = <tf.Tensor: shape=(1,), dtype=float64, numpy=array([0.1])>"
    assert pasted(text).dtypes == {"c": np.dtype(np.float64)}


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("[0.12345678 0.5 ]", [1e-8, 1e-8]),
        ("[1.5e-03 1.25e+02]", [1e-5, 1]),
        ("[0.125 1.5e-03]", [1e-3, 1e-4]),
        ("[0. 1.]", [0, 0]),
        ("[1.e+05 1.e-05]", [0, 0]),
        ("tensor(1.00000e-02 *\n [ 5.1000,  2.3300])", [1e-6, 1e-6]),
        ("[0.25 nan inf]", [1e-2, 1e-2, 1e-2]),
        ("[1.5e-99999]", [0]),
    ],
)
def test_units(text: str, units: list[float]) -> None:
    np.testing.assert_allclose(pasted(text).units[""], units, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "layout", "shape"),
    [
        ("[[[1. 2.]]\n\n [[3. 4.]]]", "time", (2, 1, 2)),
        ("[[1. 2.]]\n[[3. 4.]]", "time", (2, 1, 2)),
        ("[[1. 2.]]", "steps", (1, 2)),
        ("[[[1. 2.]\n  [3. 4.]]]", None, (1, 2, 2)),
        ("[1. 2.]", None, (2,)),
    ],
)
def test_layouts(text: str, layout: str | None, shape: tuple[int, ...]) -> None:
    document = pasted(text)
    assert document.layout == layout
    assert document.arrays[""].shape == shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0.1, 0.2, …]", "abbreviated"),
        ("0.1 0.2\n... ...\n0.3 0.4\n", "line 2: the printed output is abbreviated"),
        ("[[1. 2.]\n [3. 4.]", "line 1: this bracket is never closed"),
        ("[1. 2.]\n3. 4.]]", "line 2: a closing bracket that nothing opened"),
        ("[[1. 2.]\n [3.]]", r"element \[1\] is a list of 1; a list of 2"),
        ("[1. 2.]\n[3.]", r"line 2: this array has the shape \(1,\)"),
        ("[1. 2.]\n3. 4.\n", "line 2: numbers outside of brackets"),
        ("[1. O.2]", '"O.2" in the brackets is not a number'),
        ("[1.2-3.4 0.5]", r'"1\.2-3\.4" in the brackets'),
        (
            "Hidden state: [1. 2.]\nCell state: [3. 4.]",
            "line 2: this array has the label Cell",
        ),
        (
            "TensorFlow:\n[1. 2.]\nNumPy:\n[3. 4.]",
            "line 4: this array has the label NumPy:",
        ),
        ("array([1.], dtype=float32)\narray([1.], dtype=float64)", "dtype float64"),
        ("[" * 50_000 + "]" * 50_000, "nested more than 32"),
        ("hello world", 'line 1: "hello" is not a number'),
        ("1 2\n3 4 5\n", "line 2 has 3 numbers; rows before it have 2"),
        ("1;2;3\n", "line 1: the separator is ; and must be"),
        ("array([1.+2.j])", "is not a number|no array"),
        ("# nothing\n", "no array of numbers"),
        ("\x1b[31m", "never closed"),
        ("[1e999999]", "is not a number"),
    ],
)
def test_prints_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        pasted(text)
    assert str(caught.value).startswith("paste")


def test_lists_of_python_in_a_text_file_are_prints(tmp_path: Path) -> None:
    assert filed(tmp_path, "a.txt", "[0.1, 0.2]\n[0.3, 0.4]\n").format == "text"
    assert filed(tmp_path, "a.jsonl", "[0.1, 0.2]\n[0.3, 0.4]\n").format == "jsonl"
    assert (
        filed(
            tmp_path, "b.txt", '{"step": 0, "h": [1]}\n{"step": 1, "h": [2]}\n'
        ).format
        == "jsonl"
    )


@settings(max_examples=150)
@given(st.text(alphabet="[]0123.e-+ \n,=:hc()natf…*#{}'\"\x00é", max_size=60))
def test_any_text_is_arrays_or_a_user_error(text: str) -> None:
    try:
        document = piped(text)
    except UserError:
        return
    for name, units in document.units.items():
        assert units.shape == document.arrays[name].shape


SHAPES = ["torch.Size([2, 2])", "shape=[2, 2]", "x.shape = [2, 2]", "shape: [2, 2]"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_not_an_array(shape: str) -> None:
    with pytest.raises(UserError):
        pasted(f"{shape}\n")
    for text in (
        f"{shape}\n[[1.5 2. ]\n [3.  4. ]]",
        f"[[1.5 2.]\n [3. 4.]]\n{shape}\n",
    ):
        assert lone(text) == [[1.5, 2], [3, 4]]


def test_the_shape_in_a_print_of_paddle_is_not_an_array() -> None:
    text = "Tensor(shape=[1, 2], dtype=float32, place=Place(cpu),\n       [[0.5, 1.5]])"
    assert lone(text) == [[0.5, 1.5]]


def test_two_outputs_of_a_notebook_are_not_two_steps() -> None:
    first = "In [3]: h\nOut[3]: \narray([[1.5, 2. ],\n       [3. , 4. ]])\n\n"
    with pytest.raises(
        UserError, match=r"label Out\[4\]:, an earlier one has Out\[3\]:.*names: h ="
    ):
        pasted(first + first.replace("[3]", "[4]"))
    assert pasted(first).arrays[""].shape == (2, 2)


@pytest.mark.parametrize(
    "text",
    [
        "(array([[[1.5], [2.5]]]), (array([[2.5]]), array([[3.5]])))",
        "(tensor([[[1.5000],\n         [2.5000]]], grad_fn=<TransposeBackward0>), "
        "(tensor([[2.5000]], grad_fn=<StackBackward0>), "
        "tensor([[3.5000]], grad_fn=<StackBackward0>)))\n",
    ],
    ids=["numpy", "torch"],
)
def test_a_tuple_of_output_and_states_is_named_by_its_places(text: str) -> None:
    """The output of ``print(lstm(x))`` in PyTorch."""
    found = read_text(text, in_memory("e.txt", b" ")).arrays
    assert {name: array.ravel().tolist() for name, array in found.items()} == {
        "0": [1.5, 2.5], "1.0": [2.5], "1.1": [3.5]
    }  # fmt: skip
    with pytest.raises(UserError, match="Steps of one array must be alike"):
        read_text(
            "array([[1.5, 2.5]]) array([1.5]) array([1.5])", in_memory("e.txt", b" ")
        )


def test_two_states_in_a_tuple_are_h_n_and_c_n() -> None:
    """The output of ``print(states)`` in PyTorch and of ``print((h, c))`` in NumPy."""
    for text in (
        "(array([[1.5, 2.5]], dtype=float32), array([[3.5, 4.5]],\n      dtype=float32))",
        "(tensor([[1.5000, 2.5000]], grad_fn=<StackBackward0>), tensor([[3.5000, 4.5000]]))\n",
    ):
        found = read_text(text, in_memory("e.txt", b" ")).arrays
        assert {name: array.tolist() for name, array in found.items()} == {
            "h_n": [[1.5, 2.5]], "c_n": [[3.5, 4.5]]
        }  # fmt: skip
    with pytest.raises(UserError, match="Steps of one array must be alike"):
        read_text("(array([[1.5, 2.5]]), array([3.5]))", in_memory("e.txt", b" "))
