"""No output is written over an input or over another output, whatever names them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


@pytest.mark.parametrize("alike", ["same", "./", "symlink", "hard link"])
@pytest.mark.parametrize("option", OUTPUTS)
@pytest.mark.parametrize("name", INPUTS)
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


@pytest.mark.parametrize("words", [
    ["-o", "a.npz", "--save-state", "./a.npz"],
    ["-f", "table", "-o", "a.json", "--svg", "a.svg", "--html", "a.html", "--save-state", "a.json"],
])  # fmt: skip
def test_two_outputs_are_two_files(lstm: Lstm, files: dict[str, Path], words: list[str]) -> None:
    assert "the other output" in refused(lstm, ["run", *given(files, "inputs"), *words])


def test_two_outputs_are_two_files_on_the_disk(lstm: Lstm, files: dict[str, Path]) -> None:
    Path("a.npz").write_bytes(b"before")
    os.link("a.npz", "b.npz")
    refused(lstm, ["run", *given(files, "inputs"), "-o", "a.npz", "--save-state", "b.npz"])
    refused(lstm, ["plot", *given(files, "inputs"), "-o", "a.svg", "--svg", "a.svg"])


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


def test_devices_lose_nothing(lstm: Lstm, files: dict[str, Path]) -> None:
    Path("null.json").symlink_to(os.devnull)
    words = ["-o", "null.json", "--save-state", "null.json"]
    assert lstm("run", "-q", *given(files, "inputs"), *words) == (0, "", "")


@pytest.mark.parametrize("words", [
    ["run", "-o", "out.npz"], ["run", "-f", "json", "-o", "out.npz"], ["run", "-f", "csv"],
    ["plot", "-o", "out.png"],
])  # fmt: skip
def test_a_screen_that_will_not_be_shown_is_refused_before_anything_is_written(
    lstm: Lstm, files: dict[str, Path], words: list[str]
) -> None:
    done = lstm(*words[:1], files["weights"], files["inputs"], *words[1:], "--svg", "s.svg")
    assert (done.status, done.out) == (2, "")
    assert "--svg s.svg: no screen is shown" in done.err
    assert not [*Path().glob("out.*"), *Path().glob("s.svg")]
    shown = [*words, "-f", "table"] if words == ["run", "-o", "out.npz"] else words[:1]
    done = lstm(*shown[:1], files["weights"], files["inputs"], *shown[1:], "--svg", "s.svg")
    assert (done.status, Path("s.svg").exists()) == (0, True)


@pytest.mark.parametrize("option", ["-o", "--svg"])
def test_run_writes_over_no_file_that_is_standard_input(
    files: dict[str, Path], option: str
) -> None:
    output = files["inputs"].with_suffix(OUTPUTS[option])
    if option == "--svg":
        output.hardlink_to(files["inputs"])
    before = files["inputs"].read_bytes()
    with files["inputs"].open() as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "lstmcli", "run", str(files["weights"]), "-", option, output],
            stdin=stdin, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"{output} would be written over standard input" in done.stderr
    assert files["inputs"].read_bytes() == before
