"""A path from which nothing is used is an error that names it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lstmcli
from lstmcli.api.load import load_model
from lstmcli.formats import Document
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"

COMMANDS = {
    "run": ("run", WEIGHTS, "FURTHER", INPUTS),
    "run into a file": ("run", WEIGHTS, "FURTHER", INPUTS, "-o", "out.npz"),
    "explain": ("explain", WEIGHTS, "FURTHER", INPUTS, SAMPLE / "numpy.txt"),
    "plot": ("plot", WEIGHTS, "FURTHER", INPUTS),
    "derive": ("derive", WEIGHTS, "FURTHER", INPUTS, "--steps", 1, "--units", 0),
    "check": ("check", WEIGHTS, "FURTHER", INPUTS),
    "convert": ("convert", WEIGHTS, "FURTHER", "out.npz", "--to", "keras"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_further_inputs_are_refused_by_name_and_the_advice_runs(
    lstm: Lstm, tmp_path: Path, words: tuple[str, ...]
) -> None:
    shutil.copy(INPUTS, tmp_path / "first.npy")
    done = lstm(*("first.npy" if word == "FURTHER" else word for word in words))
    assert (done.status, done.out) == (2, "")
    assert "one file of inputs." in done.err
    if words[0] == "convert":
        assert "first.npy: nothing in it is used; first.npy contains first (1, 7, 4)." in done.err
    else:
        assert f"{INPUTS} is taken as the inputs; first.npy is not used." in done.err
    assert not (tmp_path / "out.npz").exists()
    if words[0] != "check":  # which needs a framework
        assert lstm(*(word for word in words if word != "FURTHER")).status in (0, 1)


def test_all_unused_files_are_named_at_once(lstm: Lstm, tmp_path: Path) -> None:
    for n in range(3):
        shutil.copy(INPUTS, tmp_path / f"inputs_{n}.npy")
    done = lstm("run", WEIGHTS, *sorted(tmp_path.glob("inputs_*.npy")))
    assert done.status == 2
    assert "inputs_0.npy, " in done.err
    assert "inputs_2.npy is taken as the inputs; " in done.err
    assert "inputs_1.npy are not used" in done.err


def test_outputs_in_the_place_of_the_inputs_are_blamed_and_the_advice_runs(
    lstm: Lstm, tmp_path: Path
) -> None:
    shutil.copy(SAMPLE / "numpy.txt", "outputs.txt")
    lstm("run", WEIGHTS, INPUTS, "-o", "trace.npz", "-q")
    for command in ("run", "plot"):
        done = lstm(command, WEIGHTS, INPUTS, "outputs.txt")
        assert (done.status, done.out) == (2, "")
        assert f"outputs.txt is taken as the inputs; {INPUTS} is not used." in done.err
        words = done.err.splitlines()[-1].split()
        assert words == ["lstm", "explain", str(WEIGHTS), str(INPUTS), "outputs.txt"]
        assert lstm(*words[1:]).status == 0
    done = lstm("run", WEIGHTS, INPUTS, "trace.npz")
    assert "  It contains results of a run, which lstm explain and lstm diff compare." in done.err


def test_inspect_refuses_a_file_without_arrays_next_to_others(lstm: Lstm, tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"author": "somebody"}')
    done = lstm("inspect", WEIGHTS, "notes.json")
    assert done.status == 2
    assert "notes.json: nothing in it is used" in done.err
    assert lstm("inspect", WEIGHTS, INPUTS).status == 0  # all that is listed is used


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


def test_a_file_of_settings_and_one_of_a_state_are_used(lstm: Lstm, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"forget_bias": 0.0}')
    (tmp_path / "state.json").write_text(
        json.dumps({"initial_state": {"h": [0.1, 0.2, 0.3], "c": [0.1, 0.2, 0.3]}})
    )
    done = lstm("run", WEIGHTS, "settings.json", "state.json", INPUTS, "-f", "json")
    assert done.status == 0, done.err
    (tmp_path / "other.json").write_text(json.dumps({"h": [0.0] * 3, "c": [0.0] * 3}))
    done = lstm(
        "run", WEIGHTS, "settings.json", "state.json", INPUTS, "--initial-state", "other.json"
    )
    assert done.status == 2
    assert "state.json: nothing in it is used" in done.err


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
