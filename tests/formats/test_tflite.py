""".tflite: what TensorFlow Lite's converter and schema wrote is in tests/golden/tflite_files."""

from __future__ import annotations

from struct import pack, pack_into
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.load import load
from lstmcli.core.weights.metadata import read_metadata
from lstmcli.errors import UserError
from lstmcli.formats.files import limits
from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.wire.flatbuffer import root
from tests.formats.helpers import piped
from tests.paths import TESTS

GOLDEN = TESTS / "golden" / "tflite_files"


def path(case: str) -> str:
    return str(GOLDEN / f"{case}.tflite")


def test_the_clip_of_the_converter_is_named() -> None:
    model = load(path("keras"))
    assert model.convention.behaviour.cell_clip == 10
    assert any("clips |c| at 10" in remark for remark in model.remarks)


def test_a_backward_half_is_named_and_runs_with_reverse() -> None:
    """Keras' bidirectional layer is two operators around REVERSE_V2."""
    both = path("keras_bidirectional")
    (remark,) = formats.read(both).remarks
    assert "lstm_0 takes its input reversed" in remark
    assert load(both, layer="lstm_0", reverse=True).backward


@pytest.mark.parametrize("case", ["hard_sigmoid", "keras3", "unrolled"])
def test_an_lstm_that_is_spelled_out_is_refused(case: str) -> None:
    with pytest.raises(
        UserError, match="without an LSTM operator; one may be spelled out"
    ):
        formats.read(path(case))


def test_the_limit_of_bytes_holds() -> None:
    with limits.raised_to(20), pytest.raises(UserError, match="max_bytes="):
        formats.read(path("plain"))


def flatbuffer(model: dict[int, Any]) -> bytes:
    """A table as bytes: {field: value} is a table, a list one of tables, (kind, n) a number."""
    data = bytearray(b"\0\0\0\0TFL3")

    def refer(place: int, value: Any) -> None:
        pack_into("<I", data, place, put(value) - place)

    def put(value: Any) -> int:
        if isinstance(value, np.ndarray):
            data.extend(pack("<I", len(value)) + value.tobytes())
            return len(data) - 4 - value.nbytes
        if isinstance(value, list):
            start = len(data)
            data.extend(pack("<I", len(value)) + bytes(4 * len(value)))
            for n, one in enumerate(value):
                refer(start + 4 + 4 * n, one)
            return start
        offsets = [0] * (
            max(value, default=-1) + 1
        )  # in the table, 8 bytes for each field
        for n, field in enumerate(value):
            offsets[field] = 4 + 8 * n
        vtable = pack(
            f"<{2 + len(offsets)}H", 4 + 2 * len(offsets), 4 + 8 * len(value), *offsets
        )
        start = len(data) + len(vtable)
        data.extend(vtable + pack("<i", len(vtable)) + bytes(8 * len(value)))
        for field, one in value.items():
            if isinstance(one, tuple):
                pack_into(f"<{one[0]}", data, start + offsets[field], one[1])
            else:
                refer(start + offsets[field], one)
        return start

    refer(0, model)
    return bytes(data)


def forged(
    weights: np.ndarray,
    *,
    buffer: int = 1,
    activation: int = 4,
    operators: int = 1,
    **scales: Any,
) -> bytes:
    """A model whose operators all have one tensor for all of their weights."""
    kind, inputs = ("b", 9 if weights.dtype == np.int8 else 0), np.zeros(24, "<i4")
    quantized = {
        {"scale": 2, "zero": 3}[name]: values for name, values in scales.items()
    }
    shape = np.array(weights.shape, "<i4")
    tensor = {0: shape, 1: kind, 2: ("I", buffer), 4: quantized}
    operator = {0: ("I", 0), 1: inputs, 4: {0: ("b", activation)}}
    graph = {0: [tensor], 3: [operator] * operators}
    buffers: list[dict[int, Any]] = [{}, {0: weights.reshape(-1).view(np.uint8)}]
    return flatbuffer({1: [{0: ("b", 44)}], 2: [graph], 4: buffers})


EIGHT_BIT = np.array([[1, -2, 3], [4, 5, 6]], np.int8)
SCALES = np.array([0.5, 0.25], "<f4")


def test_a_forged_model_is_read() -> None:
    floats = np.arange(6, dtype="<f4").reshape(2, 3)
    document = piped(forged(floats))
    assert len(document.arrays) == 21
    for array in document.arrays.values():
        np.testing.assert_array_equal(array, floats)
    assert document.groups["lstm_0"]["fused_activation_function"] == "TANH"
    for zero, expected in (
        ([], [[0.5, -1, 1.5], [1, 1.25, 1.5]]),
        ([1, 2], [[0, -1.5, 1], [0.5, 0.75, 1]]),
    ):
        data = forged(EIGHT_BIT, scale=SCALES, zero=np.array(zero, "<i8"))
        assert piped(data).arrays["lstm_0/projection_weights"].tolist() == expected


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"buffer": 2}, "index out of range"),
        ({"activation": 6}, "index out of range"),
        ({"activation": -1}, "index out of range"),
        ({"scale": SCALES, "zero": np.zeros(3, "<i8")}, "could not be broadcast"),
        ({"scale": SCALES[:1], "zero": np.zeros(2, "<i8")}, "could not be broadcast"),
        ({"scale": np.ones(3, "<f4")}, "cannot reshape array of size 3"),
    ],
)  # fmt: skip
def test_models_that_contradict_themselves_are_refused(
    parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        piped(forged(EIGHT_BIT, **{"scale": SCALES, **parts}))


def test_tensors_that_share_a_buffer_take_at_most_a_hundred_times_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "LARGE", 0)  # up to which nothing is suspected
    kernel = np.ones((32, 32), "<f4")
    assert piped(forged(kernel)).arrays
    with pytest.raises(UserError, match="claim to unpack to"):
        piped(forged(kernel, operators=30))


OPERATOR = {
    "operator": "UNIDIRECTIONAL_SEQUENCE_LSTM", "fused_activation_function": "TANH",
    "cell_clip": 0.0, "proj_clip": 0.5, "projected": False, "auxiliary": False,
}  # fmt: skip


def test_a_clip_of_no_projection_is_none() -> None:
    groups = {"lstm_0": OPERATOR | {"time_major": False}}
    settings = read_metadata("tflite", groups, ["lstm_0/x"]).settings
    assert settings == {"layout": "batch", "activation": "tanh", "cell_clip": None}
    assert read_metadata("tflite", {}, ["x"]).settings == {}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ({"fused_activation_function": "RELU6"}, "the activation RELU6"),
        ({"diagonal_recurrent_tensors": True}, "diagonal recurrent weights"),
        ({"auxiliary": True}, "an auxiliary input"),
        ({"cell_clip": float("nan")}, "cell_clip nan"),
    ],
)
def test_operators_that_cannot_be_run_are_named(
    word: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_metadata("tflite", {"lstm_0": OPERATOR | word}, ["lstm_0/x"])


def test_a_flatbuffer_s_offsets_are_not_believed() -> None:
    for data in (
        b"",
        b"\4\0\0",
        pack("<I", 100),
        pack("<Ii", 4, 100),
        pack("<Ii", 4, -100),
    ):
        with pytest.raises(Damaged):
            root(data).number(0, "i")
    # A table at 12 with its vtable at 4: one field, at 4 bytes into the table.
    table = root(pack("<IHHHHiI", 12, 6, 8, 4, 0, 8, 1 << 31))
    assert table.number(0, "I") == 1 << 31
    assert table.number(1, "i", -5) == -5
    assert table.table(1) is None
    for read in (table.tables, table.octets):
        with pytest.raises(Damaged):
            read(0)
