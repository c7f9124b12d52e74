"""Plain pickles of PaddlePaddle, Haiku and PyTorch against their own loaders and outputs.

``tests/golden/record/pickle_files.py`` recorded them.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.load import load
from lstmcli.core.weights.metadata import read_metadata
from lstmcli.errors import UserError
from lstmcli.formats.detect import binary_kind
from lstmcli.formats.files.source import opened
from tests.recorded import GOLDEN, held, read

FOLDER = GOLDEN / "pickle_files"


def madmom(case: str) -> tuple[str, dict[str, np.ndarray[Any, Any]]]:
    """The path of a pickled network, and what madmom itself holds and gives."""
    return str(FOLDER / f"{case}.pkl"), read(f"pickle_files/{case}")[1]


def test_one_layer_of_a_network_of_madmom_is_picked() -> None:
    path, expected = madmom("madmom_protocol2")
    first, second = load(path, layer=0), load(path, layer="layers.1")
    assert all(name.startswith("layers.0.") for name in first.tensors)
    assert all(name.startswith("layers.1.") for name in second.tensors)
    h = run(second, run(first, expected["inputs"]).h).h
    np.testing.assert_allclose(h, expected["h"], rtol=1e-6, atol=1e-6)
    assert any("layers.0 into layers.1" in remark for remark in load(path).remarks)


def test_lstms_of_madmom_with_a_layer_between_are_asked_about() -> None:
    path, _ = madmom("madmom_apart")
    with pytest.raises(UserError, match="has 2 LSTMs; choose one:"):
        load(path)
    assert load(path, layer="layers.2").cell.inputs == load(path, layer=0).cell.units


def test_a_network_of_grus_is_called_one() -> None:
    path, _ = madmom("madmom_gru")
    with pytest.raises(UserError, match="a network of madmom with GRUs, and no LSTM"):
        load(path)


def test_activations_of_madmom_that_a_run_has_not_are_named() -> None:
    words = {"class": "madmom.ml.nn.layers.LSTMLayer", "input_gate": "a.sigmoid"}
    said = read_metadata(
        "pickle", {"layers.0": words | {"forget_gate": "a.relu"}}, ["layers.0.x"]
    )
    assert (
        "the gates have the functions sigmoid and relu"
        in said.unknown["recurrent_activation"]
    )
    said = read_metadata(
        "pickle", {"layers.0": words | {"cell": "a.softmax"}}, ["layers.0.x"]
    )
    assert "the cell has the function 'a.softmax'" in said.unknown["activation"]
    assert said.settings == {"recurrent_activation": "sigmoid"}


# ---- protocols


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_pickles_of_python_2(protocol: int) -> None:
    document = formats.read(str(FOLDER / f"python2_protocol{protocol}.pkl"))
    assert document.format == "pickle"
    for name, expected in held("pickle_files/python2").items():
        assert document.arrays[name].tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("size", [3, 200])
def test_pickles_of_every_protocol_are_detected_by_their_content(
    protocol: int, size: int, tmp_path: Path
) -> None:
    """Large ones too, whose first array is cut where the first bytes end."""
    rng = np.random.default_rng(size)
    kernel = rng.normal(size=(size, 4 * size))
    values: list[Any] = [{"w": kernel, "b": kernel[0]}, [kernel], (kernel, 1), kernel]
    for value in values:
        path = tmp_path / "weights.txt"
        path.write_bytes(pickle.dumps(value, protocol))
        document = formats.read(str(path))
        assert document.format == "pickle"
        assert any(
            array.tobytes() == kernel.tobytes() for array in document.arrays.values()
        )


@pytest.mark.parametrize(
    "text",
    ["c,h\n1,2\n", "cell\nstate\n1.\n", "(0.1, 0.2)", "c0\n0.5\n1.\n", "(1.\n", "cat\nnan\nnan\n.",
     "}", "]", "(d", "c0\nnan\n."],
)  # fmt: skip
def test_texts_that_begin_like_a_pickle(text: str, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(text)
    with opened(str(path)) as file:
        assert binary_kind(file) is None


def test_a_dict_in_an_npy_file_is_read_without_loading_objects(tmp_path: Path) -> None:
    """`numpy.save` of a dict of arrays, as ports to NumPy keep the weights of a model."""
    tensors = formats.read(str(FOLDER / "torch.pkl")).arrays
    expected = held("pickle_files/torch")
    for wrapped in (tensors, {"state_dict": tensors}, [tensors]):
        np.save(
            tmp_path / "weights.npy", np.array(wrapped, dtype=object), allow_pickle=True
        )
        document = formats.read(str(tmp_path / "weights.npy"))
        model = load(str(tmp_path / "weights.npy"))
        assert [a.tobytes() for a in document.arrays.values()] == [
            a.tobytes() for a in tensors.values()
        ]
        trace = run(model, expected["inputs"], layout="batch")
        np.testing.assert_allclose(trace.h, expected["h"], rtol=1e-6, atol=1e-6)


def test_an_array_of_objects_that_contains_itself_is_refused_in_a_line(
    tmp_path: Path,
) -> None:
    itself = np.empty((), dtype=object)
    itself[()] = itself
    first, second = np.empty((), dtype=object), np.empty((), dtype=object)
    first[()], second[()] = second, first
    for array in (itself, first):
        np.save(tmp_path / "weights.npy", array, allow_pickle=True)
        with pytest.raises(UserError, match=r"weights\.npy"):
            formats.read(str(tmp_path / "weights.npy"))
