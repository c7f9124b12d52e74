"""Prints that leave numbers out: what is there comes back packed, with the places of the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.api.diff import diff
from lstmcli.api.explain import explain
from lstmcli.errors import UserError
from lstmcli.formats import Document
from lstmcli.formats.document import Gaps
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.text.console_print import read_text
from tests.formats.helpers import filed, piped
from tests.paths import TESTS


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
def test_abbreviated_output_has_its_numbers_and_gaps(
    text: str,
    packed: list[float],
    before: tuple[int | None, ...],
    shape: tuple[int, ...] | None,
) -> None:
    document = pasted(text)
    assert document.arrays[""].tolist() == packed
    assert (gaps_of(text).before, gaps_of(text).shape) == (before, shape)
    assert document.units[""].shape == document.arrays[""].shape


@pytest.mark.parametrize("threshold", [0, 5])
@pytest.mark.parametrize("edge", [1, 2, 3])
@pytest.mark.parametrize(
    "shape", [(9,), (2, 9), (9, 2), (7, 9), (2, 8, 9), (9, 1, 7), (8, 7, 9)]
)
@pytest.mark.parametrize("printer", [str, repr])
def test_prints_of_numpy(
    shape: tuple[int, ...], edge: int, threshold: int, printer: type
) -> None:
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
        (
            "\n[[0.1 ... 0.2]\n [0.3 0.4 ...]]",
            'line 2: "..." does not stand at one place',
        ),
        (
            "[[0.1 ... 0.2]\n [0.3 0.4]]",
            "does not stand at one place in all lists of a depth",
        ),
        (
            "array([0.1, ..., 0.2], shape=(2,))",
            "the printed shape is (2,), which these brackets",
        ),
        (
            "tf.Tensor([[0.1 ... 0.2]], shape=(2, 7))",
            "printed shape is (2, 7), which these brackets",
        ),
        (
            "tf.Tensor([[0.1 ... 0.2]], shape=(7,))",
            "printed shape is (7,), which these brackets",
        ),
        ("array([0.1, ..., 0.2], shape=(999999999999999999,))", "bytes|GB|large"),
        (
            "[0.1 ... 0.2]\n[0.3 0.4 ... 0.5]",
            "this array has the shape (3,), an earlier one",
        ),
        ("[0.1 0.2 ... 0.2]\n[0.3 ... 0.4 0.5]", "this array has the gaps"),
        ("[0.1 … 0.2]", "the printed output is abbreviated"),
        ("[...]", "the printed output is abbreviated"),
        ("0.1 0.2 ... 0.3\n", "the printed output is abbreviated"),
        (
            "[0.1 0.2 ... x]",
            '"..." in the brackets is not a number|the printed output is abbreviated',
        ),
    ],
)
def test_malformed_printed_output_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        pasted(text)
    assert re.search(said if "|" in said else re.escape(said), str(error.value))


@pytest.mark.parametrize(
    "text", ["[0.1 ... 0.2]", "tf.Tensor([0.1 ... 0.2], shape=(5,))"]
)
def test_abbreviated_prints_are_read_only_on_request(text: str, tmp_path: Path) -> None:
    refused = r"line 1: the printed output is abbreviated.*Print all of it.*threshold=sys\.maxsize"
    with pytest.raises(UserError, match=refused):
        piped(text)
    with pytest.raises(UserError, match=refused):
        filed(tmp_path, "h.txt", text)


# ---- what NumPy, PyTorch and TensorFlow abbreviate, next to what they computed


FOLDER = TESTS / "golden" / "prints"
WHOLE = {"numpy", "numpy-repr", "tensorflow", "tensorflow-repr", "torch", "torch-named"}
SMALL = {"numpy-small", "numpy-batches-small"}
# of 4 x 40 x 8, by the axes that are longer than both edges together
GIVEN = dict.fromkeys(WHOLE, 4 * 6 * 6) | dict.fromkeys(SMALL, 4 * 4 * 4)
PLACES: dict[
    str, tuple[int, int, str]
] = {  # numbers given, of how many, where they lie
    "torch-final-small": (16, 32, "as the last h"),
    "torch-row-small": (16, 320, "as sequence 2 of 4"),
    "numpy-row-small": (16, 320, "as sequence 1 of 4"),
    "numpy-last-small": (16, 32, "as the last h"),
    "tensorflow-row-small": (16, 320, "as sequence 3 of 4"),
}
TORCH = {
    "torch",
    "torch-named",
    "numpy",
    "numpy-repr",
    "torch-final-small",
    "torch-row-small",
}


def net(name: str) -> tuple[str, dict[str, Any]]:
    """The weights and inputs whose result was printed, and the settings that they need."""
    if name in TORCH:
        return str(FOLDER / "torch.npz"), {"layout": "batch"}
    return str(FOLDER / "keras.npz"), {}


def inputs(name: str) -> np.ndarray[Any, Any]:
    with np.load(net(name)[0]) as held:
        return np.asarray(held["inputs"])


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_abbreviated_output_equals_the_array_that_was_printed(name: str) -> None:
    text, h = FOLDER / f"{name}.txt", net(name)[0].replace(".npz", ".h.npy")
    for found in (diff(str(text), h), diff(h, str(text))):
        array = found.arrays["h"]
        assert found.equal
        assert (array.total, array.left_out) == (GIVEN[name], 1280 - GIVEN[name])
    moved = np.load(h)
    moved[1, -1, -1] += 0.5
    found = diff(str(text), moved)
    assert found.arrays["h"].mismatched == 1
    assert found.first_divergence is not None
    assert found.first_divergence.unit == 7
    moved = np.load(h)
    moved[:, 10:20] = 9  # none of these was printed
    assert diff(str(text), moved).equal


def test_a_factor_applies_to_what_is_there() -> None:
    h = np.load(FOLDER / "torch.h.npy") * np.float32(1e-6)
    found = diff(str(FOLDER / "torch-tiny-numbers.txt"), h, atol=1e-12)
    assert found.equal
    assert found.arrays["h"].total == 144


@pytest.mark.wide
@pytest.mark.parametrize("name", sorted(PLACES))
def test_a_part_is_put_at_its_position(name: str) -> None:
    weights, told = net(name)
    given, of_all, place = PLACES[name]
    text = str(FOLDER / f"{name}.txt")
    right = explain(weights, inputs(name), text, **told)
    assert right.verdict == "agrees"
    assert place in right.words.taken
    assert f"EXPECTED has {given} of {of_all} numbers" in right.notes[0]
    found = explain(weights, inputs(name), text, **told, gates="ifog")
    assert [(c.setting, c.found) for c in found.changes] == [("gates", "ifgo")]


@pytest.mark.slow
def test_abbreviated_shapes_that_no_run_gives_are_refused(tmp_path: Path) -> None:
    weights, told = net("torch")
    path = tmp_path / "expected.txt"
    path.write_text(
        "[[0.1 0.2 0.3 ... 0.4]\n [0.1 0.2 0.3 ... 0.4]\n [0.1 0.2 0.3 ... 0.4]]"
    )
    with pytest.raises(
        UserError, match=r"abbreviated, of a shape \(3, more than 4\); no result"
    ):
        explain(weights, inputs("torch"), str(path), **told)
    rng = np.random.default_rng(0)
    with np.printoptions(threshold=10, edgeitems=2):
        path.write_text(str(np.tanh(rng.normal(size=(4, 40, 8)))))
    assert explain(weights, inputs("torch"), str(path), **told).verdict == "none"


def test_a_trace_compared_with_it_keeps_its_layout(tmp_path: Path) -> None:
    """A side that says that time comes first is met by one that says nothing."""
    model = lstmcli.load(net("torch")[0])
    trace = lstmcli.run(model, inputs("torch"), layout="batch")
    assert diff(trace, str(FOLDER / "torch.txt")).equal
    assert diff(str(FOLDER / "torch.txt"), trace).equal
