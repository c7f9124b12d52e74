"""A path from which nothing is used is an error that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lstmcli
from lstmcli.api.load import load_model
from lstmcli.formats import Document
from tests.paths import TOP

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
    assert "b" in lstmcli.load(str(kernel), str(tmp_path / "b.npy")).tensors  # by its shape
    np.save(tmp_path / "b.npy", [bias, bias])
    with pytest.raises(lstmcli.UserError, match="Leave it out, or name it: bias=FILE"):
        lstmcli.load(str(kernel), str(tmp_path / "b.npy"))


def test_weight_norm_is_used_under_its_third_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    v = rng.normal(size=(12, 3))
    np.savez(
        tmp_path / "hh.npz", weight_hh_l0_v=v, weight_hh_l0_g=np.linalg.norm(v, axis=1)[:, None]
    )
    np.savez(tmp_path / "rest.npz", weight_ih_l0=rng.normal(size=(12, 4)),
             bias_ih_l0=np.zeros(12), bias_hh_l0=np.zeros(12))  # fmt: skip
    model = lstmcli.load(str(tmp_path / "hh.npz"), str(tmp_path / "rest.npz"))
    assert len(model.sources) == 2


def test_a_config_without_tensors_is_used_where_it_is_of_the_layer() -> None:
    rng = np.random.default_rng(0)
    tensors = {"weight_ih_l0": rng.normal(size=(12, 4)), "weight_hh_l0": rng.normal(size=(12, 3))}
    config = {"batch_first": True, "num_layers": 1}
    weights = Document("w.pt", "torch", tensors)
    of_it = Document("config.pt", "torch", {}, groups={"": config})
    of_another = Document("other.pt", "torch", {}, groups={"decoder": config})
    assert load_model([weights, of_it], {}).sources == ("w.pt", "config.pt")
    assert load_model([weights, of_another], {}).sources == ("w.pt",)
