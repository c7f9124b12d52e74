"""Completions of each shell, and its script, which the shell can read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from tests.cli.conftest import Lstm
from tests.paths import TOP


def offered(*words: object) -> list[str]:
    """The completions that Bash gets for the last of the words."""
    *before, last = map(str, words)
    found = BashComplete(group, {}, "lstm", "_LSTM_COMPLETE").get_completions(
        before, last
    )
    return [item.value if item.type == "plain" else f"({item.type})" for item in found]


def test_commands_come_from_the_table() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("in") == ["inspect", "init"]
    assert offered("help", "di") == ["diff"]
    assert offered("ruin", "in") == [
        "inspect",
        "init",
    ]  # no such command: the message comes later


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("run", "w.npz", "--rows", ""), ["xh", "hx"]),
        (("run", "w.npz", "--coupled", "f"), ["f=1-i"]),
        (("run", "w.npz", "-f", "js"), ["json", "jsonl"]),
        (("run", "w.npz", "--no-p"), ["--no-pager"]),
        (("run", "w.npz", "--cell-clip", ""), []),
        (("help", "se"), ["settings"]),
        (("diff", "a.npz", ""), ["(file)"]),
        (("run", "wei"), ["(file)"]),
        (("run", "w.npz", "--initial-state", "s"), ["(file)"]),
        (("completion", "z"), ["zsh"]),
    ],
)
def test_words_and_files(words: tuple[str, ...], values: list[str]) -> None:
    assert offered(*words) == values


def test_every_option_that_names_a_file_is_completed_as_one() -> None:
    for name in COMMANDS:
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option) and "FILE" in (
                parameter.metavar or ""
            ):
                items = parameter.shell_complete(click.Context(command), "")
                assert [item.type for item in items] == ["file"], (name, parameter.name)


# ---- the script


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["run", "w.npz", "--rows", ""], "xh hx"),
    ],
)
def test_bash_completes_with_it(
    tmp_path: Path, lstm: Lstm, words: list[str], completed: str
) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no Bash here")
    script = lstm("completion", "bash").out.replace("compopt", ": ")
    command = tmp_path / "lstm"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{TOP}" exec "{sys.executable}" -m lstmcli "$@"\n'
    )
    command.chmod(0o755)
    typed = " ".join(f"'{word}'" for word in words)
    lines = f"{script}\nCOMP_WORDS=(lstm {typed}) COMP_CWORD={len(words)}\n"
    done = subprocess.run(
        [bash, "--norc", "-c", f'{lines}_lstm_completion {command}\necho "${{COMPREPLY[@]}}"'],
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    assert done.stdout == f"{completed}\n"
