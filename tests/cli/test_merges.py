"""Stacks whose layers merge their directions in different ways: all of h, in every output."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import lstmcli
from tests.cli.conftest import Lstm
from tests.core.explain.networks import BY_HAND
from tests.core.explain.reference import Net, outputs
from tests.networks import pytorch

Array = npt.NDArray[Any]
Layer = list[
    tuple[Array, Array, Array]
]  # kernel, recurrent kernel and bias of each direction

B, T, I, H = 2, 3, 4, 3
STORED = ("concat", "sum", "mul", "ave")  # what a Keras config may have
STACKS = [
    *product(STORED, repeat=2),
    ("ave", "sum", "concat"),
    ("concat", "mul", "concat"),
]


def one_direction(x: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """The h (B, T, H) of a plain LSTM in Keras' order of gates."""
    net = Net(np.concatenate([kernel, recurrent]).astype(float), bias.astype(float))
    return outputs(net, x, {"gates": "ifgo", "forget_bias": 0.0})["h"]


def stack_of(merges: tuple[str, ...]) -> tuple[list[Layer], Array]:
    """Weights, and inputs (B, T, I)."""
    rng = np.random.default_rng(len(merges))
    layers, inputs = [], I
    for merge in merges:
        shapes = (inputs, 4 * H), (H, 4 * H), (4 * H,)
        directions = [
            [rng.normal(size=s).astype("<f4") for s in shapes] for _ in ("f", "b")
        ]
        layers.append(
            [(kernel, recurrent, bias) for kernel, recurrent, bias in directions]
        )
        inputs = 2 * H if merge.startswith("concat") else H
    return layers, rng.normal(size=(B, T, I)).astype("<f4")


def expected_h(merges: tuple[str, ...]) -> Array:
    layers, x = stack_of(merges)
    for merge, (forward, backward) in zip(merges, layers, strict=True):
        other = one_direction(x[:, ::-1], *backward)[:, ::-1]
        x = BY_HAND[merge](one_direction(x, *forward), other)
    return x


def write(folder: Path, merges: tuple[str, ...]) -> str:
    """A model of TensorFlow.js with these merges, and ``x.npy``."""
    layers, x = stack_of(merges)
    np.save(folder / "x.npy", x)
    entries, configs, data = [], [], b""
    for n, (merge, layer) in enumerate(zip(merges, layers, strict=True)):
        lstm = {"name": "lstm", "units": H, "return_sequences": True, "activation": "tanh",
                "recurrent_activation": "sigmoid", "use_bias": True}  # fmt: skip
        config = {"name": f"both{n}", "merge_mode": merge,
                  "layer": {"class_name": "LSTM", "config": lstm}}  # fmt: skip
        configs.append({"class_name": "Bidirectional", "config": config})
        for direction, arrays in zip(("forward", "backward"), layer, strict=True):
            for name, array in zip(
                ("kernel", "recurrent_kernel", "bias"), arrays, strict=True
            ):
                path = f"both{n}/{direction}_lstm/lstm_cell/{name}"
                entries.append({"name": path, "shape": array.shape, "dtype": "float32"})
                data += array.tobytes()
    (folder / "weights.bin").write_bytes(data)
    topology = {
        "class_name": "Sequential",
        "config": {"name": "stack", "layers": configs},
    }
    model = {
        "format": "layers-model",
        "modelTopology": {"keras_version": "2.19.0", "model_config": topology},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(model))
    return "model.json"


def from_columns(text: str, separator: str) -> Array:
    """h (B, T, K) of a table with the columns step, batch and h[0], h[1], ..."""
    header, *lines = text.splitlines()
    assert header.split(separator)[:2] == ["step", "batch"]
    rows = np.array([line.split(separator) for line in lines], float)
    return rows[:, 2:].reshape(T, B, -1).swapaxes(0, 1)


@pytest.mark.parametrize("merges", STACKS, ids="-".join)
def test_every_output_has_all_of_h(
    lstm: Lstm, tmp_path: Path, merges: tuple[str, ...]
) -> None:
    words = ("run", write(tmp_path, merges), "x.npy", "--only", "h", "-q")
    h = expected_h(merges)

    def agrees(array: Any, part: Array = h) -> None:
        assert np.shape(array) == part.shape
        np.testing.assert_allclose(array, part, rtol=1e-5, atol=1e-6)

    agrees(lstmcli.run(lstmcli.load("model.json"), np.load("x.npy")).h)
    agrees(json.loads(lstm(*words, "-f", "json").out)["h"])
    lines = [
        json.loads(line)["h"] for line in lstm(*words, "-f", "jsonl").out.splitlines()
    ]
    agrees(np.swapaxes(lines, 0, 1))
    agrees(from_columns(lstm(*words, "-f", "csv").out, ","))
    agrees(from_columns(lstm(*words, "-f", "tsv").out, "\t"))
    for suffix in ("npy", "npz"):
        assert lstm(*words, "-o", f"out.{suffix}").status == 0
    agrees(np.load("out.npy"))
    agrees(np.load("out.npz")["h"])

    last = h.shape[-1] - 1
    parts = ("--batch", "1", "--steps", "1:3", "--units", f"0,{last}")
    agrees(
        json.loads(lstm(*words, *parts, "-f", "json").out)["h"],
        h[1:2, 1:3][..., [0, last]],
    )
    table = lstm(*words, "--units", ":", "--steps", ":", "--digits", "4")
    printed = {abs(float(word)) for word in re.findall(r"\d\.\d+(?:e-\d+)?", table.out)}
    for number in np.abs(h[0, -1]):
        assert any(np.isclose(number, other, atol=6e-5) for other in printed)
    assert table.status == 0
    assert lstm("plot", "model.json", "x.npy", "--only", "h", "-q").status == 0


def test_layers_of_several_merges_are_not_converted_to_one(
    lstm: Lstm, tmp_path: Path
) -> None:
    done = lstm(
        "convert", write(tmp_path, ("concat", "ave")), "out.npz", "--to", "pytorch"
    )
    assert (done.status, done.out) == (2, "")
    assert "layers that differ in merge" in done.err


@pytest.mark.parametrize("setting", ["reverse", "flip_output", "state"])
def test_no_layer_that_needs_all_steps_is_run_line_by_line(
    lstm: Lstm, tmp_path: Path, setting: str
) -> None:
    """A setting of the second layer alone changes the output as in a run of that layer."""
    weights = pytorch(H, H, layers=2, seed=2)
    np.savez(tmp_path / "w.npz", **weights)
    x = np.random.default_rng(2).normal(size=(1, T, H))
    np.save(tmp_path / "x.npy", x[0])

    def layer(n: int, x: Array) -> Array:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        kernel, recurrent, one, other = (weights[f"{name}_l{n}"] for name in names)
        return one_direction(x, kernel.T, recurrent.T, one + other)

    below = layer(0, x)
    expected = {
        "reverse": layer(1, below[:, ::-1])[:, ::-1],
        "flip_output": layer(1, below)[:, ::-1],
        "state": layer(1, below.swapaxes(0, 1)).swapaxes(0, 1),
    }[setting][0]
    value = "reset" if setting == "state" else "true"
    words = (
        "run",
        "w.npz",
        "--set",
        f"layer1.{setting}={value}",
        "--only",
        "h",
        "-f",
        "jsonl",
    )
    h = [json.loads(line)["h"] for line in lstm(*words, "x.npy").out.splitlines()]
    np.testing.assert_allclose(h, expected, rtol=1e-12)
    refused = lstm(*words, "-", stdin=b'{"x": [1, 2, 3]}\n')
    assert (refused.status, refused.out) == (2, "")
