"""Which LSTM of a file is run, and what is said of those that are not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.api.inspect import inspect_files
from lstmcli.api.load import load, load_model
from lstmcli.errors import UserError
from lstmcli.formats import Document
from tests.fuzz.guard import withstand
from tests.paths import TOP
from tests.recorded import GOLDEN

KERAS = {"kernel": (4, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
FUSED = {"kernel": (7, 12), "bias": (12,)}


def saved(path: Path, **shapes: dict[str, tuple[int, ...]]) -> str:
    """A file with the tensors of layers by their names: uneven numbers of these shapes."""
    rng = np.random.default_rng(16)
    arrays = {
        f"{layer}/{name}": rng.normal(0.07, 0.6, shape).astype(np.float32)
        for layer, tensors in shapes.items()
        for name, shape in tensors.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def test_a_layer_that_is_not_read_is_not_a_choice(tmp_path: Path) -> None:
    dense = {"kernel": (3, 5), "bias": (5,)}
    path = saved(tmp_path / "w.npz", encoder=FUSED, head=dense)
    model = load(path)
    assert list(model.tensors) == ["encoder/kernel", "encoder/bias"]
    assert [
        text
        for text in model.remarks
        if "head is not read: the kernel is (3, 5)" in text
    ]
    with pytest.raises(UserError, match=r"the kernel is \(3, 5\)"):
        load(path, layer="head")


def test_if_nothing_can_be_read_all_are_listed(tmp_path: Path) -> None:
    dense = {"kernel": (3, 5), "bias": (5,)}
    with pytest.raises(UserError, match="layer=1  head"):
        load(saved(tmp_path / "w.npz", encoder=dense, head=dense))


def test_the_average_that_training_kept_is_not_a_choice() -> None:
    path = str((GOLDEN / "torch_files") / "lightning_swa-2.13.0.pt")
    model = load(path)
    assert all(name.startswith("state_dict.rnn.") for name in model.tensors)
    (text,) = (text for text in model.remarks if "is a copy of" in text)
    advised = re.search(r"\(--layer (\S+)\)", text)
    assert advised
    average = load(path, layer=advised[1])
    assert all(name.startswith("callbacks.") for name in average.tensors)
    assert load(path, layer="rnn").tensors == model.tensors


@pytest.mark.parametrize(
    ("inputs", "advice"), [((4, 3, 3), "0,1,2"), ((4, 4, 3), "1,2"), ((4, 3, 5), "0,1")]
)
def test_layers_are_advised_in_an_order_that_runs(
    tmp_path: Path, inputs: tuple[int, ...], advice: str
) -> None:
    layers = {f"part{n}": KERAS | {"kernel": (i, 12)} for n, i in enumerate(inputs)}
    path = saved(tmp_path / "w.npz", **layers)
    with pytest.raises(
        UserError, match=f"layer='{advice}'  runs them one after the other"
    ) as error:
        load(path)
    for word in re.findall(r"layer=(\S+)", str(error.value).partition("\n")[2]):
        load(path, layer=word.strip("'"))


def test_layers_that_do_not_fit_are_not_advised_in_turn(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.npz", one=KERAS, two=KERAS)
    with pytest.raises(UserError, match="has 2 LSTMs") as error:
        load(path)
    assert "one after the other" not in str(error.value)


def test_directions_of_other_sizes_are_refused(tmp_path: Path) -> None:
    def cell(inputs: int, units: int, suffix: str) -> dict[str, np.ndarray[Any, Any]]:
        shapes = {
            "weight_ih_l0": (4 * units, inputs),
            "weight_hh_l0": (4 * units, units),
        }
        return {name + suffix: np.ones(shape) for name, shape in shapes.items()}

    path = str(tmp_path / "w.npz")
    np.savez(path, **cell(5, 3, ""), **cell(3, 3, "_reverse"))  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match="layer 0 takes 5 inputs forward and 3 backward"
    ):
        load(path)
    np.savez(path, **cell(5, 3, ""), **cell(5, 2, "_reverse"))  # type: ignore[arg-type]
    assert load(path).layers[0][1].units == 2
    with pytest.raises(
        UserError, match=r"3 outputs forward and 2 backward; merge sum(?s:.*)concat"
    ):
        load(path, merge="sum")


@pytest.mark.slow
def test_names_beyond_measure_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"a_" * 500_000: [1.0]}))
    with pytest.raises(UserError, match="or a name of over 1,000 characters"):
        load(str(path))
    path.write_text(json.dumps({f"a{n}": [1.0] for n in range(40_000)}))
    with pytest.raises(UserError, match=r"has more than 32,768 tensors"):
        load(str(path))


@pytest.mark.slow
def test_thirty_thousand_tensors_are_looked_through_within_seconds(
    tmp_path: Path,
) -> None:
    names = [
        f"rnn{n}.{role}"
        for n in range(7_500)
        for role in ("weight_ih_l0", "weight_hh_l0")
    ]
    path = tmp_path / "w.json"
    path.write_text(
        json.dumps({name: [1.0] for name in [*names, *(f"x{n}" for n in names)]})
    )
    for act in (load, lambda path: inspect_files([path], {})):
        withstand(path, path.read_bytes(), act)


# ---- A path from which nothing is used is an error that names it


SAMPLE = TOP / "samples" / "forget-bias"
WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


def test_load_refuses_what_it_does_not_use() -> None:
    with pytest.raises(lstmcli.UserError, match=r"inputs\.npy: nothing in it is used"):
        lstmcli.load(str(WEIGHTS), str(INPUTS))


def test_an_array_without_a_name_that_fits_is_to_be_named(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.npy"
    np.save(kernel, np.load(WEIGHTS)["kernel"])
    bias = np.load(WEIGHTS)["bias"]
    np.save(tmp_path / "b.npy", bias)
    assert (
        "b" in lstmcli.load(str(kernel), str(tmp_path / "b.npy")).tensors
    )  # by its shape
    np.save(tmp_path / "b.npy", [bias, bias])
    with pytest.raises(lstmcli.UserError, match="Leave it out, or name it: bias=FILE"):
        lstmcli.load(str(kernel), str(tmp_path / "b.npy"))


def test_weight_norm_is_used_under_its_third_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    v = rng.normal(size=(12, 3))
    np.savez(
        tmp_path / "hh.npz",
        weight_hh_l0_v=v,
        weight_hh_l0_g=np.linalg.norm(v, axis=1)[:, None],
    )
    np.savez(tmp_path / "rest.npz", weight_ih_l0=rng.normal(size=(12, 4)),
             bias_ih_l0=np.zeros(12), bias_hh_l0=np.zeros(12))  # fmt: skip
    model = lstmcli.load(str(tmp_path / "hh.npz"), str(tmp_path / "rest.npz"))
    assert len(model.sources) == 2


def test_a_config_without_tensors_is_used_where_it_is_of_the_layer() -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "weight_ih_l0": rng.normal(size=(12, 4)),
        "weight_hh_l0": rng.normal(size=(12, 3)),
    }
    config = {"batch_first": True, "num_layers": 1}
    weights = Document("w.pt", "torch", tensors)
    of_it = Document("config.pt", "torch", {}, groups={"": config})
    of_another = Document("other.pt", "torch", {}, groups={"decoder": config})
    assert load_model([weights, of_it], {}).sources == ("w.pt", "config.pt")
    assert load_model([weights, of_another], {}).sources == ("w.pt",)
