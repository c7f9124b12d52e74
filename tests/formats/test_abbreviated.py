"""Prints that leave numbers out: what is there comes back packed, with the places of the rest."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lstmcli.errors import UserError
from lstmcli.formats import Document
from lstmcli.formats.document import Gaps
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.text.console_print import read_text
from tests.formats.helpers import filed, piped


def pasted(text: str) -> Document:
    return read_text(text, in_memory("paste", b" "))


def gaps_of(text: str) -> Gaps:
    (gaps,) = pasted(text).gaps.values()
    return gaps


@pytest.mark.parametrize(
    ("text", "packed", "before", "shape"),
    [
        ("[0.1 0.2 ... 0.4]", [0.1, 0.2, 0.4], (2,), None),
        ("tensor([0.1, 0.2,  ..., 0.3, 0.4])", [0.1, 0.2, 0.3, 0.4], (2,), None),
        ("[[0.1 ... 0.2]\n ...\n [0.3 ... 0.4]]", [[0.1, 0.2], [0.3, 0.4]], (1, 1), None),
        ("[[0.1 0.2]\n ...\n [0.3 0.4]]", [[0.1, 0.2], [0.3, 0.4]], (1, None), None),
        ("array([0.1, ..., 0.2], shape=(9,), dtype=float32)", [0.1, 0.2], (1,), (9,)),
        ("array([0.1, ..., 0.2],\n      shape=(9,))", [0.1, 0.2], (1,), (9,)),
        ("tf.Tensor([[0.1 ... 0.2]], shape=(1, 7))", [[0.1, 0.2]], (None, 1), (1, 7)),
        (
            "<tf.Tensor: shape=(1, 7), dtype=float32, numpy=array([[0.1, ..., 0.2]])>",
            [[0.1, 0.2]], (None, 1), (1, 7),
        ),
        ("[0.1 ... 0.2]\n[0.3 ... 0.4]", [[0.1, 0.2], [0.3, 0.4]], (None, 1), None),
        (
            "tf.Tensor([0.1 ... 0.2], shape=(5,))\ntf.Tensor([0.3 ... 0.4], shape=(5,))",
            [[0.1, 0.2], [0.3, 0.4]], (None, 1), (2, 5),
        ),
    ],
)  # fmt: skip
def test_what_is_there_and_what_is_not(
    text: str, packed: list[float], before: tuple[int | None, ...], shape: tuple[int, ...] | None
) -> None:
    document = pasted(text)
    assert document.arrays[""].tolist() == packed
    assert (gaps_of(text).before, gaps_of(text).shape) == (before, shape)
    assert document.units[""].shape == document.arrays[""].shape


@pytest.mark.parametrize("threshold", [0, 5])
@pytest.mark.parametrize("edge", [1, 2, 3])
@pytest.mark.parametrize("shape", [(9,), (2, 9), (9, 2), (7, 9), (2, 8, 9), (9, 1, 7), (8, 7, 9)])
@pytest.mark.parametrize("printer", [str, repr])
def test_prints_of_numpy(shape: tuple[int, ...], edge: int, threshold: int, printer: type) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with np.printoptions(threshold=threshold, edgeitems=edge, precision=9):
        document = pasted(printer(array))
    (gaps,) = document.gaps.values()
    assert gaps.before == tuple(edge if n > 2 * edge else None for n in shape)
    assert gaps.shape in (None, shape)  # from 2.2 on, NumPy's repr tells it
    ends = [np.r_[:edge, n - edge : n] if n > 2 * edge else np.arange(n) for n in shape]
    np.testing.assert_allclose(document.arrays[""], array[np.ix_(*ends)], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[0.1 ... 0.2 ... 0.3]", 'line 1: two "..." in one list'),
        ("\n[[0.1 ... 0.2]\n [0.3 0.4 ...]]", 'line 2: "..." does not stand at one place'),
        ("[[0.1 ... 0.2]\n [0.3 0.4]]", "does not stand at one place in all lists of a depth"),
        ("array([0.1, ..., 0.2], shape=(2,))", "the printed shape is (2,), which these brackets"),
        (
            "tf.Tensor([[0.1 ... 0.2]], shape=(2, 7))",
            "printed shape is (2, 7), which these brackets",
        ),
        ("tf.Tensor([[0.1 ... 0.2]], shape=(7,))", "printed shape is (7,), which these brackets"),
        ("array([0.1, ..., 0.2], shape=(999999999999999999,))", "bytes|GB|large"),
        ("[0.1 ... 0.2]\n[0.3 0.4 ... 0.5]", "this array has the shape (3,), an earlier one"),
        ("[0.1 0.2 ... 0.2]\n[0.3 ... 0.4 0.5]", "this array has the gaps"),
        ("[0.1 … 0.2]", "the print is abbreviated"),
        ("[...]", "the print is abbreviated"),
        ("0.1 0.2 ... 0.3\n", "the print is abbreviated"),
        ("[0.1 0.2 ... x]", '"..." in the brackets is no number|the print is abbreviated'),
    ],
)
def test_what_is_no_print(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        pasted(text)
    assert re.search(said if "|" in said else re.escape(said), str(error.value))


@pytest.mark.parametrize("text", ["[0.1 ... 0.2]", "tf.Tensor([0.1 ... 0.2], shape=(5,))"])
def test_abbreviated_prints_are_read_only_on_request(text: str, tmp_path: Path) -> None:
    refused = r"line 1: the print is abbreviated.*Print all of it.*threshold=sys\.maxsize"
    with pytest.raises(UserError, match=refused):
        piped(text)
    with pytest.raises(UserError, match=refused):
        filed(tmp_path, "h.txt", text)
