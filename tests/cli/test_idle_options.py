"""Every option of every command has an effect, is refused, or a remark says that it has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from lstmcli.core.model.settings import FLAGS, SETTINGS, WITH_OPTION
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm
from tests.engines.fake import fake, install

FILES = "net.npz x.npy"
BASES = {  # a command, and the outputs of it in which each option is tried
    "run": (
        FILES,
        ("", "-f json", "-f csv", "-o out.npy", "-o out.npz", "--save-state out.npz"),
    ),
    "diff": ("numpy.txt tensorflow.txt", ("", "-f json", "-q")),
    "explain": ("w.npz inputs.npy numpy.txt", ("", "-f json", "-f markdown", "-q")),
    "plot": (FILES, ("", "-o out.svg", "--page out.html", "--units 0")),
    "derive": (
        f"{FILES} --steps 1 --units 0 --cell layer0",
        ("", "-f json", "--gate f"),
    ),
    "inspect": ("net.npz", ("", "-f json")),
    "check": ("net.npz --engine torch", ("", "-f json", "-q")),
    "convert": ("net.npz out.npz --to keras", ("", "-f json")),
    "conventions": ("", ("", "-f json")),
    "help": ("run", ("",)),
    "completion": ("bash", ("",)),
    "init": (
        "--inputs 2 --units 3 -o out.npz",
        ("", "--steps 3", "--initializer zeros"),
    ),
}
VALUES = {  # of options; a flag has none
    "set_": "state=reset", "set_b": "state=reset", "edits": "weights.bias.o=0", "layer": "1",
    "to_set": "activation=relu",
    "max_bytes": "1",
    "initial_state": "state.npz", "mask": "mask.npy", "lengths": "1,2,3",
    "only": "c", "cell": "layer0", "steps": "2", "step": "2", "units": "1", "unit": "1",
    "batch": "2", "gate": "o", "terms": "1", "digits": "2", "pool": "extreme",
    "screen": "tsv", "format": "json", "output": "other.npz", "save_state": "other.npz",
    "threads": "64", "scheduler": "nowhere:1", "engine": "keras", "seed": "1",
    "rtol": "1e-9", "atol": "1e-9", "ulp": "1", "layout": "batch", "against": "other_h.npy",
    "program": "true", "timeout": "3", "save": "kept", "front": "none", "head": "none",
    "array": "y",
    "color": "always", "svg": "s.svg", "html": "s.html",
    "page": "p.html", "to": "pytorch-cell",
    "example": "demo", "inputs": "3", "initializer": "normal", "dtype": "float32",
}  # fmt: skip
UNSEEN = {  # options that are obeyed without a trace, in some or all outputs
    "quiet": "asks that remarks are not there",
    "equal_nan": "no side has NaN",
    "padding": "no run has lengths",
    "thorough": "the search ends within its budget",
    "pool": "all cells are shown as they are",
    "all_": "all tensors are shown",
}
STATUS = ("rtol", "atol", "ulp", "layout", "only", "steps", "batch", "units", "initial_state",
          "lengths", "mask", "seed")  # fmt: skip
"""Options of the comparison: with -q only the status may show them, which need not change."""


def value_of(name: str) -> str:
    if name in VALUES:
        return VALUES[name]
    if choices := SETTINGS[name].choices:
        return choices[0] if choices[0] == "true" else choices[-1]
    kinds = {"gates": "iofg", "activation": "relu", "flat": "1", "convention": "tf1"}
    return next((value for kind, value in kinds.items() if kind in name), "0.1")


def words_for(command: click.Command) -> list[tuple[str, list[str]]]:
    """Each option of a command and each setting that it takes, with a value."""
    found = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            value = [] if parameter.is_flag else [value_of(str(parameter.name))]
            found.append((str(parameter.name), [max(parameter.opts, key=len), *value]))
    if any(name == "set_" for name, _ in found):
        by_name = SETTINGS.keys() - {*WITH_OPTION, *FLAGS}
        found += [
            (name, ["--set", f"{name}={value_of(name)}"]) for name in sorted(by_name)
        ]
    return found


@pytest.fixture
def files(tmp_path: Path) -> None:
    """Two layers of one direction with their inputs, one layer, and what options name."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "net.npz", **networks.pytorch(4, 3, layers=2, bias=False))
    np.savez(tmp_path / "w.npz", **np.load(SAMPLE / "weights.npz"))
    np.save(tmp_path / "x.npy", rng.normal(size=(7, 3, 4)))
    np.save(tmp_path / "mask.npy", np.arange(7)[:, None] < np.array([1, 2, 3]))
    np.save(tmp_path / "other_h.npy", rng.normal(size=(7, 3, 3)))
    states = {name: rng.normal(size=(2, 3, 3)) for name in "hc"}
    np.savez(tmp_path / "state.npz", **states)  # type: ignore[arg-type]
    for name in ("inputs.npy", "numpy.txt", "tensorflow.txt"):
        (tmp_path / name).write_bytes((SAMPLE / name).read_bytes())


@pytest.mark.sampled(11)
@pytest.mark.parametrize(
    ("name", "output"),
    [(name, output) for name in COMMANDS for output in BASES[name][1]],
)
def test_no_option_is_ignored(
    lstm: Lstm,
    tmp_path: Path,
    files: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    output: str,
) -> None:
    install(monkeypatch, fake())
    monkeypatch.setattr("lstmcli.api.dask_cluster.GREETING", 0.1)
    before = {path.name for path in tmp_path.iterdir()}

    def outcome(*words: str) -> tuple[Any, ...]:
        done = lstm(name, *words)
        new = {
            path
            for path in tmp_path.iterdir()
            if path.name not in before and path.is_file()
        }
        written = {path.name: path.read_bytes() for path in new}
        for path in new:
            path.unlink()
        return (*done, written)

    words = [*BASES[name][0].split(), *output.split()]
    plain = outcome(*words)
    assert plain[0] < 2
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    left_out = {*UNSEEN, *(STATUS if "-q" in words else ())}
    if output != BASES[name][1][0]:  # the run is the same
        left_out |= {*SETTINGS, "set_", "edits"}
    ignored = [
        given
        for option, given in words_for(command)
        if option not in left_out
        and given[0] not in words
        and outcome(*words, *given) == plain
    ]
    assert ignored == []
