"""JSON model files of RTNeural, GuitarML and Neural Amp Modeler.

No writer of RTNeural's and GuitarML's files installs here: the files are built as their sources
write them, from weights that Keras and PyTorch ran, and must give what these frameworks gave.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.load import load
from lstmcli.core.model.surroundings import FrontOfFile, HeadOfFile
from lstmcli.errors import UserError
from tests.formats.helpers import filed
from tests.recorded import GOLDEN, held, read

NAM = json.loads((GOLDEN / "nam/one_layer.nam").read_text())

Json = dict[str, Any]


def recorded(
    case: str,
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
    """The weights and the rest of a recorded case."""
    return held(f"{case}.weights"), read(case)[1]


def rtneural() -> Json:
    """One LSTM of Keras and a dense layer, as RTNeural's python/model_utils.py writes them."""
    weights, _ = recorded("keras/plain")
    units = weights["lstm/lstm_cell/recurrent_kernel"].shape[0]
    dense = [[[0.5]] * units, [0.25]]
    return {
        "in_shape": [None, None, 5],
        "layers": [
            {
                "type": "lstm",
                "activation": "tanh",
                "shape": [None, None, units],
                "weights": [array.tolist() for array in weights.values()],
            },
            {
                "type": "dense",
                "activation": "",
                "shape": [None, None, 1],
                "weights": dense,
            },
        ],
    }


def guitarml() -> Json:
    """A network as CoreAudioML's networks.py writes it."""
    weights, _ = recorded("torch/batch_first")
    state = {f"rec.{name}": array.tolist() for name, array in weights.items()}
    state |= {"lin.weight": [[0.5, 0.25, 0.125]], "lin.bias": [0.0]}
    model_data = {"model": "SimpleRNN", "input_size": 5, "skip": 1, "unit_type": "LSTM"}
    return {
        "model_data": model_data | {"num_layers": 1, "hidden_size": 3},
        "state_dict": state,
    }


def written(folder: Path, value: object) -> str:
    path = folder / "model.json"
    path.write_text(json.dumps(value, indent=4))
    return str(path)


def test_rtneural_gives_what_keras_gave(tmp_path: Path) -> None:
    model = load(written(tmp_path, rtneural()))
    weights, expected = recorded("keras/plain")
    assert model.convention.name == "rtneural"
    assert model.tensors == {
        f"layers.0.weights.{n}": array.shape for n, array in enumerate(weights.values())
    }
    state = {k: expected[f"initial_state.{k}"] for k in "hc"}
    trace = run(model, expected["inputs"], initial_state=state)
    np.testing.assert_allclose(trace.h, expected["h"], rtol=0, atol=1e-6)
    assert model.head is not None
    (layer,) = model.head.layers
    np.testing.assert_array_equal(layer.kernel, [[0.5]] * model.cell.units)
    np.testing.assert_array_equal(layer.bias, [0.25])
    assert model.remarks == ()


def test_guitarml_gives_what_torch_gave(tmp_path: Path) -> None:
    model = load(written(tmp_path, guitarml()))
    weights, expected = recorded("torch/batch_first")
    assert model.convention.name == "pytorch"
    assert set(model.tensors) == {f"rec.{name}" for name in weights}
    state = {
        k: expected[f"initial_state.{k}"]
        for k in "hc"
        if f"initial_state.{k}" in expected
    }
    trace = run(model, expected["inputs"], layout="batch", initial_state=state)
    np.testing.assert_allclose(trace.h, expected["h"], rtol=0, atol=1e-6)
    (remark,) = model.remarks
    assert "no head is run: the input that is added to the output" in remark
    plain = guitarml()
    plain["model_data"].pop("skip")
    assert load(written(tmp_path, plain)).settings()["head"] == "lin"


def test_rtneural_keeps_the_layers_in_order_and_numbers_out_of_other_layers(
    tmp_path: Path,
) -> None:
    value = rtneural()
    value["layers"] = [
        value["layers"][1],
        value["layers"][0],
        {"type": "tanh", "shape": [3]},
    ]
    value["in_skip"] = 1
    document = formats.read(written(tmp_path, value))
    assert list(document.arrays) == [
        "layers.0.dense.0", "layers.0.dense.1",
        "layers.1.weights.0", "layers.1.weights.1", "layers.1.weights.2",
    ]  # fmt: skip
    assert document.fronts == (FrontOfFile("layers.1", obstacle="dense"),)
    (head,) = document.heads
    assert head == HeadOfFile(
        "layers.1", obstacle="the input that is added to the output"
    )
    assert document.dtypes["layers.1.weights.0"] == np.float32


def test_two_layers_of_rtneural_are_chosen_by_number(tmp_path: Path) -> None:
    value = rtneural()
    value["layers"].insert(1, json.loads(json.dumps(value["layers"][0])))
    value["layers"][1]["weights"][0] = value["layers"][0]["weights"][1]  # H inputs
    path = written(tmp_path, value)
    with pytest.raises(UserError, match=r"has 2 LSTMs(?s:.*)layer=1  +layers_1"):
        load(path)
    assert len(load(path, layer="0,1").layers) == 2


def gru(value: Json) -> Json:
    value["layers"][0] = {
        "type": "gru",
        "shape": [3],
        "weights": [[[1]], [[1]], [[1], [1]]],
    }
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (gru(rtneural()), "a GRU and no LSTM"),
        (rtneural() | {"layers": {}}, "layers is not a list"),
        (rtneural() | {"layers": [3]}, r"layers\[0\] is not a layer"),
        (rtneural() | {"layers": [{"weights": [1]}]}, r"weights\[0\] is a number; a list"),
        (rtneural() | {"layers": [{"weights": [[[1], [1, 2]]]}]}, r"weights\[0\]: element \[1\]"),
        (guitarml() | {"model_data": {"unit_type": "GRU"}}, "of 'GRU' cells, not an LSTM"),
        (guitarml() | {"model_data": []}, "are not both objects"),
        (guitarml() | {"state_dict": {"rec.weight_ih_l0": 1}}, "is a number; a list of numbers"),
        (NAM | {"architecture": "WaveNet"}, "architecture 'WaveNet', not an LSTM"),
        (NAM | {"config": 1}, "config.input_size is None"),
        (NAM | {"config": NAM["config"] | {"hidden_size": 0}}, "config.hidden_size is 0"),
        (NAM | {"config": NAM["config"] | {"num_layers": 10**30}}, "weights has 70 numbers"),
        (NAM | {"weights": NAM["weights"][:-1]}, "weights has 69 numbers; config needs 70"),
        (NAM | {"weights": "x"}, "weights is a string"),
        (NAM | {"weights": [None, *NAM["weights"][1:]]}, "is null"),
    ],
)  # fmt: skip
def test_a_wrong_model_is_refused(value: Json, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        formats.read(written(tmp_path, value))


def test_nam_cuts_the_list_as_its_sizes_say(tmp_path: Path) -> None:
    """A second output of the head, and more inputs than its exporter writes."""
    I, H = 4, 3
    count = 4 * H * (I + H) + 6 * H + 2 * (H + 1)
    config = {"input_size": I, "hidden_size": H, "num_layers": 1}
    value = {"architecture": "LSTM", "config": config, "weights": list(range(count))}
    arrays = filed(tmp_path, "a.nam", json.dumps(value)).arrays
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "nam.0.weight": (12, 7), "nam.0.bias": (12,), "nam.0.hidden": (3,), "nam.0.cell": (3,),
        "head.weight": (2, 3), "head.bias": (2,),
    }  # fmt: skip
    assert np.concatenate(
        [array.ravel() for array in arrays.values()]
    ).tolist() == list(range(count))
