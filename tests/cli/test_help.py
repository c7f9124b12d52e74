"""Help: its examples run, it is where people look for it, and it knows near words."""

from __future__ import annotations

import shlex

import click
import pytest

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from tests.cli.conftest import Lstm


def examples(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("lstm ")]


def of(name: str) -> str:
    command = group.get_command(None, name) if name else group  # type: ignore[arg-type]
    assert command is not None
    return command.help or ""


ALL = [("", n) for n in range(3)] + [(name, n) for name in COMMANDS for n in (0, 1)]


@pytest.mark.parametrize(("name", "n"), ALL)
@pytest.mark.sampled(2)
def test_examples_run_on_the_files_that_init_writes(lstm: Lstm, name: str, n: int) -> None:
    assert name == "init" or lstm("init", "--example", "demo").status == 0
    example = examples(of(name))[n]
    before, pipe, after = example.partition(" | ")
    out = ""
    for part in [before, after] if pipe else [before]:
        done = lstm(*shlex.split(part)[1:], stdin=out.encode())
        if "pip install" in done.err:
            pytest.skip(f"{example}: a library is not there")
        out = done.out
    assert done.status in (0, 1), done.err
    assert done.out or done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_its_help(lstm: Lstm, name: str) -> None:
    done = lstm("help", name)
    assert done == lstm(name, "--help")
    assert done.status == 0
    assert COMMANDS[name] in " ".join(done.out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_opens_with_its_line_and_examples(name: str) -> None:
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    text = command.help or ""
    assert text.splitlines()[0] == COMMANDS[name]
    lines = [line.strip() for line in text.splitlines()]
    examples = [line for line in lines if line.startswith("lstm ")]
    assert len(examples) == 2, "two examples"
    assert all(
        example.startswith(f"lstm {name} ") or example == f"lstm {name}" for example in examples
    )
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.name} has no help"
