"""Command lines: every command of the group under its own options, wrong ones among them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import copytree

import click

from tests.cli.test_idle_options import VALUES
from tests.compare.question import Question, Rng, one_of
from tests.compare.runs import SETTINGS
from tests.paths import TOP

EXAMPLE = TOP / "lstmcli" / "example"
ARGUMENTS = {
    "run": "weights.npz inputs.npy", "diff": "numpy.txt tensorflow.txt",
    "explain": "weights.npz inputs.npy numpy.txt", "plot": "weights.npz inputs.npy",
    "derive": "weights.npz inputs.npy --steps 1 --units 0", "inspect": "weights.npz",
    "convert": "weights.npz there.npz --to keras", "conventions": "keras", "help": "settings",
    "completion": "bash", "init": "--inputs 2 --units 3 -o out.npz",
}  # fmt: skip
"""Of the commands that are asked: all but `check`, which runs frameworks."""

OTHERS = (
    "0",
    "1",
    "-1",
    "0.5",
    "x",
    "h",
    "0:2",
    "pytorch",
    "none",
    "gates=x",
    "o.json",
)
LEFT_OUT = {
    "profile", "thorough", "pool", "screen", "scheduler", "engine"
}  # fmt: skip
"""Options whose answers have times in them or take long, or that start other programs."""


@cache
def _options(command: str) -> list[click.Option]:
    parameters = import_module(f"lstmcli.cli.{command}").command.params
    options = [one for one in parameters if isinstance(one, click.Option)]
    return [one for one in options if one.name not in LEFT_OUT]


def question(rng: Rng, folder: Path) -> Question:
    """A line of one command with up to four options."""
    command = one_of(rng, [*ARGUMENTS])
    words = [command, *ARGUMENTS[command].split()]
    options = _options(command)
    for at in rng.permutation(len(options))[: int(rng.integers(5))]:
        words.extend(_option(rng, options[at]))
    if rng.random() < 0.1:
        words[int(rng.integers(len(words)))] += "x"
    copytree(EXAMPLE, folder, dirs_exist_ok=True)
    return Question("commands", {"lines": [words]})


def _option(rng: Rng, option: click.Option) -> list[str]:
    """An option with a value that it takes; one in ten has another."""
    name = one_of(rng, option.opts)
    if option.is_flag:
        return [name]
    values = [*SETTINGS.get(str(option.name), ())]
    if isinstance(option.type, click.Choice):
        values.extend(option.type.choices)
    if str(option.name) in VALUES:
        values.append(VALUES[str(option.name)])
    if not values or rng.random() < 0.1:
        values = [*OTHERS]
    return [name, str(one_of(rng, values))]
