"""Files of real Keras, every weight bit for bit; and files that no Keras would write."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.convert import convert
from lstmcli.api.load import load
from lstmcli.errors import UserError
from lstmcli.formats import Document
from lstmcli.formats.files import limits
from lstmcli.formats.keras import layers as keras_layers
from lstmcli.formats.keras.layers import lstm_chain, masks_before
from lstmcli.formats.wire import hdf5
from tests.formats.helpers import filed, members_of, zipped
from tests.recorded import GOLDEN, cases, recorded
from tests.standard_input import from_stdin

h5py = pytest.importorskip("h5py", reason="needs lstmcli[h5]")

FILES = GOLDEN / "keras_files"
RECORDED = [case.removeprefix("keras_files/") for case in cases("keras_files/*/*")]
NO_CONFIG = "(its config is not in the file)"
NAMELESS = [
    name
    for name in RECORDED
    if name.endswith("plain.weights.h5") and "3.15" not in name
]


def read(path: Path) -> Document:
    return formats.read(str(path))


# ---- what Keras wrote


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.sampled(3)
def test_every_weight_is_the_one_that_keras_loads(name: str) -> None:
    one = recorded(f"keras_files/{name}")
    arrays = read(FILES / name).arrays
    layers = one.numbered("weights")
    theirs = {layer: [*tensors.values()] for layer, tensors in layers.items()}
    if (
        name in NAMELESS
    ):  # neither the file nor its path tells what the layers are called
        theirs = dict(zip(("lstm", "lstm_1"), theirs.values(), strict=True))
    assert sum(map(len, theirs.values())) == len(arrays)
    for layer, wanted in theirs.items():
        found = [array for key, array in arrays.items() if key.startswith(f"{layer}/")]
        assert len(found) == len(wanted), layer
        for ours, their in zip(found, wanted, strict=True):
            assert ours.shape == their.shape
            assert ours.dtype == np.float32
            assert ours.tobytes() == their.tobytes(), layer


IN_TURN = [
    name for name in RECORDED
    if any(case in name for case in ("stacked.", "stacked_v3.", "gpu.", "cells.", "between."))
]  # fmt: skip


@pytest.mark.parametrize("name", IN_TURN)
def test_lstms_that_follow_each_other_in_the_config_run_in_turn(name: str) -> None:
    _, record, expected = recorded(f"keras_files/{name}")
    model = load(str(FILES / name))
    assert len(model.layers) == 2
    np.testing.assert_allclose(
        run(model, expected["inputs"]).h, expected["h"], 1e-6, 1e-6
    )
    first, second = record["layer"].split(",")
    (remark,) = (text for text in model.remarks if "picks one" in text)
    assert f"{first} into {second}" in remark
    single = load(str(FILES / name), layer=second)
    assert (len(single.layers), single.cell.inputs) == (1, model.layers[1][0].inputs)
    assert not any("picks one" in text for text in single.remarks)


LSTM_LAYER = {"units": 3, "return_sequences": True}


def sequential(*layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [{"class_name": kind, "config": settings} for kind, settings in layers]
    return {"class_name": "Sequential", "config": {"name": "m", "layers": listed}}


def as_graph(model: dict[str, Any], sources: dict[str, Any]) -> dict[str, Any]:
    """The layers of a model with where each has its inputs from."""
    named = {one["config"]["name"]: one for one in model["config"]["layers"]}
    layers = [
        one | {"name": name, "inbound_nodes": sources.get(name, [])}
        for name, one in named.items()
    ]
    return {"class_name": "Functional", "config": {"name": "m", "layers": layers}}


A, B = ({"name": name, **LSTM_LAYER} for name in "ab")
NOTHING: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("layers", "row"),
    [
        ([("LSTM", A), ("LSTM", B)], ("a", "b")),
        ([("Masking", {"name": "m"}), ("LSTM", A), ("Dropout", {"name": "d"}), ("LSTM", B)],
         ("a", "b")),
        ([("LSTM", A), ("Dense", {"name": "d"}), ("LSTM", B)], NOTHING),
        ([("LSTM", A), ("GRU", {"name": "d"}), ("LSTM", B)], NOTHING),
        ([("LSTM", A), ("Masking", {"name": "d"}), ("LSTM", B)], NOTHING),
        ([("LSTM", A | {"return_sequences": False}), ("LSTM", B)], NOTHING),
        ([("LSTM", A), ("TimeDistributed", {"name": "t"}), ("LSTM", B)], NOTHING),
        ([("LSTM", A), ("LSTM", A)], NOTHING),
        ([("Bidirectional", {"name": "a", "merge_mode": None,
           "layer": {"class_name": "LSTM", "config": A}}), ("LSTM", B)], ("b",)),
    ],
)  # fmt: skip
def test_layers_that_may_stand_between_two_lstms(
    layers: list[tuple[str, dict[str, Any]]], row: tuple[str, ...]
) -> None:
    assert lstm_chain(sequential(*layers)) == row


MASK = ("Masking", {"name": "m"})
LAST = ("LSTM", A | {"return_sequences": False})


@pytest.mark.parametrize(
    ("layers", "masked"),
    [
        ([MASK, ("LSTM", A), ("Dropout", {"name": "d"}), ("LSTM", B)], {"a": True, "b": False}),
        ([MASK, ("GaussianNoise", {"name": "d"}), ("LSTM", A)], {"a": True}),
        ([MASK, ("Dense", {"name": "d"}), ("LSTM", A)], {"a": False}),
        ([MASK, LAST, ("RepeatVector", {"name": "d"}), ("LSTM", B)], {"a": True}),
        ([("LSTM", A), MASK, ("LSTM", B)], {"b": True}),
        ([("Embedding", {"name": "m", "mask_zero": True}), ("LSTM", A)], {"a": True}),
        ([("Embedding", {"name": "m"}), ("LSTM", A)], {}),
        ([MASK, ("Sequential", {"name": "n", "layers": [
            {"class_name": "LSTM", "config": A}]})], {"n": True, "n/a": False}),
        ([MASK, ("RNN", {"name": "n", "cell": {"config": {"cells": [
            {"class_name": "LSTMCell", "config": A}]}}})], {"n": True}),
    ],
)  # fmt: skip
def test_masks_pass_as_keras_passes_them(
    layers: list[tuple[str, dict[str, Any]]], masked: dict[str, bool]
) -> None:
    """False: what the LSTM gets is not what is masked. GaussianNoise changes nothing in a run."""
    found = masks_before(sequential(*layers))
    assert {
        name: mask["unchanged"] for name, mask in found.items() if name != "d"
    } == masked
    assert all(mask["name"] == "m" for mask in found.values())


def keras_3(layer: str, tensor: int = 0, **kwargs: Any) -> list[Any]:
    history = {
        "class_name": "__keras_tensor__",
        "config": {"keras_history": [layer, 0, tensor]},
    }
    return [{"args": [history], "kwargs": kwargs}]


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ([[["a", 0, 0]]], ("a", "b")),  # Keras 1
        ([[["a", 0, 0, {}]]], ("a", "b")),
        ([["a", 0, 0, {}]], ("a", "b")),  # tf_keras, of some layers
        (keras_3("a", training=False, mask=None), ("a", "b")),
        (keras_3("a", initial_state=None), ("a", "b")),
        ([[["a", 0, 1, {}]]], NOTHING),  # its state, not its steps
        (keras_3("a", 1), NOTHING),
        ([[["a", 0, 0, {"initial_state": [["a", 0, 1]]}]]], NOTHING),
        (keras_3("a", initial_state=[{}]), NOTHING),
        ([[["a", 0, 0, {}], ["a", 0, 1, {}]]], NOTHING),
        ([[["a", 0, 0, {}]], [["x", 0, 0, {}]]], NOTHING),  # called twice
        ([[["x", 0, 0, {}]]], NOTHING),
        ([], NOTHING), (None, NOTHING), ([[[[]]]], NOTHING), ([{"args": 1}], NOTHING),
    ],
)  # fmt: skip
def test_lstms_of_a_graph_are_chained_by_their_inputs(
    source: Any, row: tuple[str, ...]
) -> None:
    model = as_graph(sequential(("InputLayer", {"name": "x"}), ("LSTM", A), ("LSTM", B)),
                     {"a": [[["x", 0, 0, {}]]], "b": source})  # fmt: skip
    assert lstm_chain(model) == row


def test_an_lstm_that_feeds_two_is_not_a_chain() -> None:
    third = ("LSTM", {"name": "c", **LSTM_LAYER})
    model = as_graph(sequential(("LSTM", A), ("LSTM", B), third),
                     {"b": [[["a", 0, 0, {}]]], "c": [[["a", 0, 0, {}]]]})  # fmt: skip
    assert lstm_chain(model) == NOTHING


@pytest.mark.separate_process
def test_a_file_and_its_bytes_are_read_by_a_separate_process() -> None:
    """As a command does it: the file itself is handed on, or its bytes where it has none."""
    path = FILES / "keras-3.15.1" / "stacked.h5"
    piped = from_stdin(formats.read, path.read_bytes())
    for name, array in read(path).arrays.items():
        np.testing.assert_array_equal(piped.arrays[name], array)
    assert len(piped.arrays) == 6


# ---- settings


@pytest.mark.parametrize("first", ["weights", "config"])
def test_a_config_overrides_what_a_file_of_weights_assumes(
    tmp_path: Path, first: str
) -> None:
    """`model.to_json()` of Keras 2 with `model.save_weights()`, in either order."""
    weights = str(FILES / "keras-2.2.5" / "plain_weights.h5")
    assert "hard_sigmoid_0.2" in load(weights, layer="zeta").assumed[-1]
    config = {"name": "zeta", "units": 3, "activation": "tanh", "recurrent_activation": "sigmoid",
              "go_backwards": False}  # fmt: skip
    model = {
        "name": "sequential_1",
        "layers": [{"class_name": "LSTM", "config": config}],
    }
    architecture = {
        "class_name": "Sequential",
        "config": model,
        "keras_version": "2.2.5",
    }
    path = tmp_path / "model.json"
    path.write_text(json.dumps(architecture))
    both = [weights, str(path)] if first == "weights" else [str(path), weights]
    loaded = load(*both, layer="zeta")
    assert loaded.convention.behaviour.recurrent_activation == "sigmoid"
    assert loaded.assumed == ()
    with pytest.raises(
        UserError, match=r"model\.json has only a config: give the file of weights"
    ):
        load(str(path))


def test_remarks_on_a_config_besides_its_settings() -> None:
    model = load(str(FILES / "keras-3.15.1" / "options.keras"))
    assert model.convention.behaviour.go_backwards
    assert not model.assumed  # that there is no bias is in the config
    assert model.masking == ("hide", "Masking", 9.0, "float32")
    (stateful,) = model.remarks
    assert "zeta is stateful" in stateful


# ---- files made by hand


def made(path: Path, weights: dict[str, np.ndarray], **attributes: Any) -> Path:
    """A file of the old layout with one layer, zeta."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["zeta"]
        file.attrs.update(attributes)
        group = file.create_group("zeta")
        group.attrs["weight_names"] = list(weights)
        for name, array in weights.items():
            group[name] = array
    return path


def lstm(names: str = "zeta/{}:0", units: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(units)
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (5, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": (4 * units,)
    }  # fmt: skip
    return {
        names.format(k): rng.normal(size=s).astype(np.float32)
        for k, s in shapes.items()
    }


def config(**settings: Any) -> str:
    layer = {
        "name": "zeta",
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        **settings,
    }
    off = {"return_sequences": False, "go_backwards": False}
    layers = [{"class_name": "LSTM", "config": {**off, **layer}}]
    return json.dumps(
        {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    )


def test_lists_of_names_that_are_cut_into_pieces(tmp_path: Path) -> None:
    """Keras cuts what is longer than an attribute of HDF5 may be."""
    path = made(tmp_path / "w.h5", lstm())
    with h5py.File(path, "r+") as file:
        names = list(lstm())
        del file["zeta"].attrs["weight_names"], file.attrs["layer_names"]
        file.attrs["layer_names0"] = ["zeta"]
        file["zeta"].attrs["weight_names0"] = names[:2]
        file["zeta"].attrs["weight_names1"] = names[2:]
    assert list(read(path).arrays) == list(lstm())


def test_a_hard_sigmoid_without_a_version_is_reported_as_assumed(
    tmp_path: Path,
) -> None:
    path = made(
        tmp_path / "w.h5",
        lstm(),
        model_config=config(recurrent_activation="hard_sigmoid"),
    )
    (text,) = load(str(path)).assumed
    assert "hard_sigmoid_0.2, that of Keras 1 and 2" in text
    assert "--recurrent-activation hard_sigmoid_1_6" in text


@pytest.mark.parametrize(
    ("version", "form", "assumed"),
    [
        ("2.2.4", "hard_sigmoid_0.2", "default of Keras 2.2.4"),
        ("2.1.6-tf", "hard_sigmoid_0.2", "default of Keras 2.1.6-tf"),
        ("2.2.4-tf", "sigmoid", "hard_sigmoid_0.2 of 1.13 to 1.15"),
        ("2.3.1", "sigmoid", "sigmoid gates"),
        ("3.15.1", "sigmoid", "sigmoid gates"),
    ],
)
def test_weights_without_a_config_have_the_default_of_their_version(
    tmp_path: Path, version: str, form: str, assumed: str
) -> None:
    path = str(made(tmp_path / "w.h5", lstm(), keras_version=version))
    model = load(path)
    assert model.convention.behaviour.recurrent_activation == form
    assert any(assumed in text for text in model.assumed)
    assert load(path, recurrent_activation="relu").assumed == (
        f"tanh, forward {NO_CONFIG}",
    )
    settled = {
        "recurrent_activation": "relu",
        "activation": "tanh",
        "go_backwards": False,
    }
    assert not load(path, **settled).assumed


def test_gates_of_cudnn_weights_are_not_an_assumption(tmp_path: Path) -> None:
    path = FILES / "keras-2.2.5" / "cudnn_weights.h5"
    assert load(str(path)).assumed == (f"forward {NO_CONFIG}",)
    target = str(tmp_path / "model.safetensors")
    convert([str(path)], target, "pytorch", {})
    expected = recorded("keras_files/keras-2.2.5/cudnn_weights.h5").arrays
    trace = run(load(target), expected["inputs"], layout="batch")
    np.testing.assert_allclose(trace.h, expected["h"], rtol=1e-6, atol=1e-6)


def test_weights_of_both_directions_leave_the_merge_open(tmp_path: Path) -> None:
    weights = lstm("zeta/forward_lstm/{}:0") | lstm("zeta/backward_lstm/{}:0")
    path = made(tmp_path / "w.h5", weights, keras_version="3.15.1")
    (text,) = load(str(path)).assumed
    assert text == f"sigmoid gates, tanh, merge concat {NO_CONFIG}"
    (text,) = load(str(path), merge="sum").assumed
    assert text == f"sigmoid gates, tanh {NO_CONFIG}"


def test_a_custom_layer_without_the_config_of_its_lstm_has_its_settings_assumed(
    tmp_path: Path,
) -> None:
    custom = {"class_name": "Mine", "config": {"name": "zeta", "activation": "relu"}}
    model_config = {
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [custom]},
    }
    path = made(tmp_path / "w.h5", lstm(), model_config=json.dumps(model_config))
    model = load(str(path))
    assert model.convention.behaviour.activation == "tanh"
    assert model.assumed == (f"sigmoid gates, tanh, forward {NO_CONFIG}",)


def test_a_layer_whose_name_starts_at_the_root(tmp_path: Path) -> None:
    path = made(tmp_path / "w.h5", {}, keras_version="2.3.1")
    with h5py.File(path, "r+") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = ["/a/b"]
        for name, array in lstm("/a/b/{}:0").items():
            weights[name] = array
        file["a/b"].attrs["weight_names"] = list(lstm("/a/b/{}:0"))
    assert load(str(path), layer="a/b").cell.units == 3


def test_an_activation_that_a_run_has_not_is_named_and_can_be_replaced(
    tmp_path: Path,
) -> None:
    path = made(tmp_path / "w.h5", lstm(), model_config=config(activation="selu"))
    with pytest.raises(UserError, match="zeta has the activation 'selu'") as error:
        load(str(path))
    assert "activation sets another" in str(error.value)
    assert load(str(path), activation="relu").convention.behaviour.activation == "relu"


def test_a_layer_between_that_gives_its_last_step_is_reported(tmp_path: Path) -> None:
    path = made(tmp_path / "w.h5", lstm(), model_config=config())
    with h5py.File(path, "r+") as file:
        file.attrs["layer_names"] = ["zeta", "next"]
        file["next/next/kernel:0"] = np.ones((3, 8), "f4")
        file["next/next/recurrent_kernel:0"] = np.ones((2, 8), "f4")
        file["next"].attrs["weight_names"] = [
            "next/kernel:0",
            "next/recurrent_kernel:0",
        ]
    assert load(str(path), layer="zeta,next").remarks == (
        "zeta gives only its last step in its model; here, every step.",
    )
    assert not load(str(path), layer="zeta").remarks


def test_hdf5_of_another_program_gives_its_arrays_by_their_paths(
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["lstm/kernel"] = np.ones((5, 12), ">f8")
        file["lstm/recurrent_kernel"] = np.ones((3, 12))
        file["text"] = "text"
    document = read(tmp_path / "w.h5")
    assert document.format == "hdf5"
    assert list(document.arrays) == ["lstm/kernel", "lstm/recurrent_kernel"]
    assert document.arrays["lstm/kernel"].dtype == np.float64


def test_a_gru_in_a_model_with_an_lstm_is_not_a_choice(tmp_path: Path) -> None:
    path = made(tmp_path / "w.h5", lstm())
    with h5py.File(path, "r+") as file:
        file.attrs["layer_names"] = ["gru", "zeta"]
        file["gru/gru/kernel:0"] = np.ones((5, 24), "f4")
        file["gru/gru/recurrent_kernel:0"] = np.ones((8, 24), "f4")
        file["gru"].attrs["weight_names"] = ["gru/kernel:0", "gru/recurrent_kernel:0"]
    assert load(str(path)).cell.units == 3


def test_weights_in_several_files_are_named_with_the_way_out(tmp_path: Path) -> None:
    data = zipped({"config.json": b"{}", "model.weights.json": b"{}"})
    with pytest.raises(UserError, match=r"several files.*\n.*model\.save_weights"):
        filed(tmp_path, "m.keras", data)


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        ("model.weights.h5", b"no", "is not an HDF5 file"),
        ("config.json", b"{", "config: broken JSON"),
        ("config.json", b"[" * 100_000, "config is nested too deeply"),
        ("metadata.json", b'"3', "broken JSON"),
    ],
)
def test_archives_that_are_refused(
    tmp_path: Path, member: str, data: bytes, message: str
) -> None:
    members = members_of(FILES / "keras-3.15.1" / "stacked.keras")
    with pytest.raises(UserError, match=message):
        filed(tmp_path, "m.keras", zipped({**members, member: data}))


@pytest.mark.separate_process
def test_without_the_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hdf5, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'h5py>=3\.8'"):
        read(FILES / "keras-3.15.1" / "stacked.h5")
    with pytest.raises(
        UserError, match=r"stacked\.keras is a Keras file; reading it needs h5py:"
    ):
        read(FILES / "keras-3.15.1" / "stacked.keras")


# ---- files that link to other files, or contradict themselves


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def add_virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((5, 12), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (5, 12))
    file.create_virtual_dataset("more", layout)


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda f: f.update(more=h5py.ExternalLink("secret.h5", "/kernel")), "link to secret.h5"),
        (lambda f: f.update(more=h5py.SoftLink("/zeta")), "link to another place"),
        (lambda f: f["zeta"].update(again=f["zeta"]), "another name of what has a name"),
        (lambda f: f.create_dataset("more", (5, 12), "f4", external=[("secret", 0, 240)]),
         "keeps its numbers in another file"),
        (add_virtual, "keeps its numbers in another file"),
        (lambda f: f.create_dataset("more", (1 << 28,), "f4", compression="gzip"),
         "would unpack to 1,073,741,824 bytes"),
        (lambda f: f.create_dataset("more", (1 << 40,), "f4", chunks=(1 << 10,)), "would unpack"),
        (lambda f: f.create_group("/".join("g" * 40)), "too many groups"),
    ],
)  # fmt: skip
def test_links_and_huge_datasets_are_refused_unread(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    add: Callable[[Any], Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_bytes(bytes(240))
    with h5py.File("secret.h5", "w") as file:
        file["kernel"] = np.ones((5, 12), "f4")
    path = made(tmp_path / "w.h5", lstm())
    with h5py.File(path, "r+") as file:
        add(file)
    refused(path, message)


@pytest.mark.slow
def test_data_that_unpack_to_a_hundred_times_their_bytes_are_refused(
    tmp_path: Path,
) -> None:
    """Up to 64 MiB of a dataset and 256 MiB of a file nothing is suspected."""
    path = made(tmp_path / "dataset.h5", lstm())
    with h5py.File(path, "r+") as file:
        zeros = np.zeros(17 << 20, np.float32)
        file.create_dataset("more", data=zeros, compression="gzip", compression_opts=1)
    refused(path, "more would unpack to 71,303,168 bytes")
    path = made(tmp_path / "file.h5", lstm())
    with h5py.File(path, "r+") as file:
        zeros = np.zeros(13 << 20, np.float32)
        for n in range(5):
            file.create_dataset(
                f"more{n}", data=zeros, compression="gzip", compression_opts=1
            )
    refused(path, "bytes claim to unpack to")
    path = tmp_path / "archive.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("model.weights.h5", bytes(257 << 20))
    refused(path, "would unpack to 269,484,032 bytes")


def test_a_file_is_refused_before_any_of_it_is_unpacked(tmp_path: Path) -> None:
    """Unpacking what a refused file claims may take longer than the child may run."""
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["first"] = np.zeros(1000)
        file["second"] = h5py.SoftLink("/first")
    answer = io.BytesIO()
    with path.open("rb") as stream:
        hdf5.write_answer(
            answer,
            stream,
            source="weights.h5",
            most=limits.most(),  # stays allowed in this process
            attributes=[],
            leave_out=[],
            size=path.stat().st_size,
        )
    (line,) = answer.getvalue().splitlines()
    assert "second is a link" in json.loads(line)["error"][0]


@pytest.mark.separate_process
def test_a_tensor_larger_than_allowed_says_which_option_allows_it(
    tmp_path: Path,
) -> None:
    path = made(tmp_path / "w.h5", lstm())
    with limits.raised_to(100):
        refused(path, "max_bytes=240")


def test_a_weight_that_is_listed_and_not_there(tmp_path: Path) -> None:
    path = made(tmp_path / "w.h5", lstm())
    with h5py.File(path, "r+") as file:
        del file["zeta/zeta/bias:0"]
    refused(path, "lists zeta/zeta/bias:0 and lacks it")
    with h5py.File(path, "r+") as file:
        del file["zeta"]
    refused(path, "lists the layer zeta and lacks it")


# ---- damaged files


@pytest.mark.separate_process
@pytest.mark.slow
def test_the_command_survives_a_crash_and_a_loop_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imitate in the child how the library fails on some damaged files."""
    path = made(tmp_path / "w.h5", lstm())
    monkeypatch.setattr(
        hdf5, "_CODE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    refused(path, "or crashed: status -11")
    monkeypatch.setattr(limits, "SECONDS", 1)
    monkeypatch.setattr(hdf5, "_CODE", LOOPING)
    refused(path, "stopped after 1 s")


@pytest.mark.separate_process
def test_an_answer_that_breaks_off_within_an_array_is_not_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "w.h5", lstm())
    entry = json.dumps({"path": "a", "attributes": {}, "dtype": "<f8", "shape": [3]})
    begun = (
        f"import os, signal, sys; print({entry!r}); print(end='x' * 16, flush=True); "
    )
    monkeypatch.setattr(hdf5, "_CODE", begun + "os.kill(os.getpid(), signal.SIGSEGV)")
    refused(path, "or crashed: status -11")


LOOPING = """
import json, sys
sys.path.insert(0, sys.argv[1])
from lstmcli.formats.wire import hdf5
request = json.loads(sys.argv[2])
hdf5.limit_resources(request["seconds"], request["most"], request["size"])
while True: pass
"""


@pytest.mark.separate_process
@pytest.mark.parametrize("outside", ["current folder", "PYTHONPATH"])
def test_nothing_in_the_current_folder_or_on_pythonpath_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: str
) -> None:
    """The process that reads HDF5 takes json, h5py and numpy from where they are installed."""
    path = made(tmp_path / "w.h5", lstm())
    ran = tmp_path / "ran"
    for name in (
        "json",
        "h5py",
        "numpy",
        "importlib",
        "sitecustomize",
        "usercustomize",
        "lstmcli",
    ):
        (tmp_path / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write({name!r})")
    if outside == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    else:
        monkeypatch.chdir(tmp_path)
    assert load(str(path)).cell.units > 0
    assert not ran.exists()


@pytest.mark.separate_process
def test_an_h5py_that_the_process_does_not_find_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "w.h5", lstm())
    code = "sys.modules['h5py'] = None\nhdf5.main"
    monkeypatch.setattr(hdf5, "_CODE", hdf5._CODE.replace("hdf5.main", code))
    refused(path, "reading it needs h5py")


def test_classes_as_the_new_layout_spells_them() -> None:
    spelled = {"LSTM": "lstm", "CuDNNLSTM": "cu_dnnlstm", "StackedRNNCells": "stacked_rnn_cells",
               "Bidirectional": "bidirectional", "MyLSTM2": "my_lstm2"}  # fmt: skip
    for name, kind in spelled.items():
        assert keras_layers.LayerConfig("x", {"class_name": name}).group_name == kind


# ---- classes of the model's author


@pytest.mark.parametrize(
    ("kind", "shapes", "refusal"),
    [
        ("mine>SkyLSTM", [(1, 5, 12), (1, 3, 12), (12,)], "an LSTM's has two axes"),
        ("mine>GatedLSTM", [(5, 9), (3, 9), (9,)], "a GRU"),
        *((kind, [(5, 12), (3, 12), (12,)], "is of class " + re.split("[>.]", kind)[-1])
          for kind in ("GRU", "mine>GRU", "mine>MyConvLSTM1D", "package.module.AttentionGRU")),
    ],
)  # fmt: skip
def test_convolutions_and_grus_are_refused_whatever_their_class(
    kind: str, shapes: list[tuple[int, ...]], refusal: str, tmp_path: Path
) -> None:
    names = [f"zeta/cell/{name}:0" for name in ("kernel", "recurrent_kernel", "bias")]
    config = {"name": "zeta", "units": 3, "recurrent_activation": "sigmoid"}
    layer = {"class_name": kind, "config": config}
    model = {"class_name": "Sequential", "config": {"name": "net", "layers": [layer]}}
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"zeta"]
        group = weights.create_group("zeta")
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, shape in zip(names, shapes, strict=True):
            group[name] = np.ones(shape, np.float32)
    with pytest.raises(UserError, match=refusal):
        load(str(tmp_path / "net.h5"))
