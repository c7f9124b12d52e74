"""No output is written over an input or over another output, whatever names them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Lstm

INPUTS = ("weights", "inputs", "--mask", "--lengths", "--initial-state")
OUTPUTS = {"-o": ".npz", "--save-state": ".npz", "--svg": ".svg", "--html": ".html"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file for each of the inputs of a run, all of which belong together."""
    rng = np.random.default_rng(0)
    held: dict[str, dict[str, Any]] = {
        "weights": {"kernel": rng.normal(size=(7, 12)), "bias": np.zeros(12)},
        "inputs": {"inputs": rng.normal(size=(2, 5, 4))},
        "--mask": {"mask": np.ones((2, 5), bool)},
        "--lengths": {"lengths": np.array([5, 3])},
        "--initial-state": {"h": np.zeros((2, 3)), "c": np.zeros((2, 3))},
        "expected": {"h": np.zeros((2, 5, 3))},
    }
    for name, arrays in held.items():
        np.savez(tmp_path / f"{name.strip('-')}.npz", **arrays)
    return {name: tmp_path / f"{name.strip('-')}.npz" for name in held}


def given(files: dict[str, Path], name: str) -> list[Any]:
    """The words of a run with one of the inputs, beside weights and inputs."""
    words: list[Any] = [files["weights"], files["inputs"]]
    return words if name in ("weights", "inputs") else [*words, name, files[name]]


def refused(lstm: Lstm, words: list[Any]) -> str:
    """What is said of a command line that is refused, and that changes no file."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    done = lstm(*words)
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert (done.status, done.out) == (2, "")
    assert "would be written over" in done.err
    assert after == before
    return done.err


@pytest.mark.parametrize("option", OUTPUTS)
def test_where_one_output_has_no_folder_none_is_written(
    lstm: Lstm, files: dict[str, Path], option: str
) -> None:
    words = ["run", files["weights"], files["inputs"], "-f", "table"]
    for name, suffix in OUTPUTS.items():
        words += [name, f"nowhere/new{suffix}" if name == option else f"new-{name}{suffix}"]
    before = sorted(Path().iterdir())
    done = lstm(*words)
    assert (done.status, done.out) == (2, "")
    assert "there is no folder nowhere" in done.err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("option", "alike"),
    [
        *((option, "same") for option in OUTPUTS),
        ("-o", "./"),
        ("-o", "symlink"),
        ("-o", "hard link"),
    ],
)
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.sampled(3)
def test_run_writes_over_no_input(
    lstm: Lstm, files: dict[str, Path], name: str, option: str, alike: str
) -> None:
    named = files[name].with_suffix(OUTPUTS[option])  # formats go by content, not by suffix
    files[name] = files[name].rename(named)
    output = Path(f"./{named.name}") if alike == "./" else named
    if alike in ("symlink", "hard link"):
        output = named.with_name(f"other{named.suffix}")
        (output.symlink_to if alike == "symlink" else output.hardlink_to)(named)
    assert named.name in refused(lstm, ["run", *given(files, name), option, output])


@pytest.mark.parametrize("name", INPUTS)
def test_without_the_refusal_the_run_would_work(
    lstm: Lstm, files: dict[str, Path], name: str
) -> None:
    assert lstm("run", *given(files, name), "-o", "new.npz").status == 0


COMMANDS: dict[str, list[str]] = {
    "plot": ["weights", "inputs"],
    "explain": ["weights", "inputs", "expected"],
    "derive": ["weights", "inputs"],
    "check": ["weights", "inputs"],
    "inspect": ["weights"],
    "diff": ["inputs", "expected"],
}
FURTHER = {"derive": ["--steps", "0", "--units", "0"], "check": ["--engine", "torch"]}
BESIDE = ("--mask", "--lengths", "--initial-state")


@pytest.mark.parametrize("option", ["--svg", "--html"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_screen_is_written_over_an_input(
    lstm: Lstm, files: dict[str, Path], command: str, option: str
) -> None:
    beside = BESIDE if command in ("plot", "explain", "derive", "check") else ()
    reference = {"--against": files["expected"]} if command == "derive" else {}
    options = {**{name: files[name] for name in beside}, **reference}
    for name in [*COMMANDS[command], *options]:
        changed = Path(f"{name.strip('-')}{OUTPUTS[option]}")
        old = options.get(name) or files[name]
        changed.write_bytes(old.read_bytes())
        words = [changed if one == name else files[one] for one in COMMANDS[command]]
        further = [w for o, p in options.items() for w in (o, changed if o == name else p)]
        refused(lstm, [command, *words, *FURTHER.get(command, []), *further, option, changed])


def test_a_figure_is_written_over_no_input(lstm: Lstm, files: dict[str, Path]) -> None:
    for name in INPUTS:
        named = files[name].rename(files[name].with_suffix(".png"))
        refused(lstm, ["plot", *given({**files, name: named}, name), "-o", named])
        named.rename(files[name])


def test_convert_writes_over_no_source(lstm: Lstm, files: dict[str, Path]) -> None:
    np.save("k.npy", np.zeros((7, 12)))
    np.save("b.npy", np.zeros(12))
    os.link("k.npy", "link.npz")
    refused(lstm, ["convert", files["weights"], files["weights"], "--to", "keras"])
    refused(lstm, ["convert", "kernel=k.npy", "bias=b.npy", "link.npz", "--to", "keras"])
    refused(lstm, ["convert", files["weights"], "a.svg", "--to", "keras", "--svg", "a.svg"])


def test_no_output_is_written_over_a_file_that_an_input_names(lstm: Lstm) -> None:
    entry = {"dtype": "float32"}
    weights = [
        {"name": "lstm/kernel", "shape": [4, 12], **entry},
        {"name": "lstm/recurrent_kernel", "shape": [3, 12], **entry},
        {"name": "lstm/bias", "shape": [12], **entry},
    ]
    manifest = [{"paths": ["shard.svg"], "weights": weights}]
    described = {"modelTopology": None, "weightsManifest": manifest, "format": "layers-model"}
    Path("model.json").write_text(json.dumps(described))
    Path("shard.svg").write_bytes(np.zeros(96, "f4").tobytes())
    assert lstm("inspect", "model.json").status == 0
    refused(lstm, ["inspect", "model.json", "--svg", "shard.svg"])
    assert lstm("inspect", "model.json", "--svg", "other.svg").status == 0
