"""Help: its examples run, it is where people look for it, and it knows near words."""

from __future__ import annotations

import shlex

import click
import pytest

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


def examples(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("lstm ")]


def of(name: str) -> str:
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    return command.help or ""


ALL = [(name, n) for name in COMMANDS for n in (0, 1)]


@pytest.mark.parametrize(("name", "n"), ALL)
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


def test_the_examples_of_the_full_run_too(lstm: Lstm) -> None:
    found = examples(group.help or "")
    assert len(found) == 3
    for example in found:
        assert lstm(*shlex.split(example)[1:]).status in (0, 1)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_its_help(lstm: Lstm, name: str) -> None:
    done = lstm("help", name)
    assert done == lstm(name, "--help")
    assert done.status == 0
    assert COMMANDS[name] in " ".join(done.out.split())


def test_help_without_a_command_lists_the_commands(lstm: Lstm) -> None:
    done = lstm("help")
    assert done == lstm("--help")
    assert all(name in done.out for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("rnu", WEIGHTS, INPUTS), "run"),
        (("help", "inspcet"), "inspect"),
        (("run", WEIGHTS, INPUTS, "--forgetbias", "0"), "--forget-bias"),
        (("run", WEIGHTS, INPUTS, "--convention", "kears"), "keras"),
        (("conventions", "pytorh"), "pytorch"),
        (("convert", WEIGHTS, "out.npz", "--to", "kears"), "keras"),
        (("run", WEIGHTS, INPUTS, "--activation", "rellu"), "relu"),
        (("run", WEIGHTS, INPUTS, "--set", "forget_bais=0"), "forget_bias"),
        (("run", WEIGHTS, INPUTS, "--only", "final_hh", "-o", "o.npz"), "final_h"),
        (("run", WEIGHTS, INPUTS, "--show", "h,cc"), "c"),
        (("plot", WEIGHTS, INPUTS, "--only", "ff"), "f"),
    ],
)
def test_a_word_that_is_nearly_right_is_named(
    lstm: Lstm, words: tuple[str, ...], near: str
) -> None:
    done = lstm(*words)
    assert done.status == 2
    assert done.out == ""
    assert "Did you mean" in done.err
    assert near in done.err.partition("Did you mean")[2]


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


def test_one_setting_is_shown_by_its_name(lstm: Lstm) -> None:
    full = " ".join(lstm("help", "settings").out.split())
    for name in ("gates", "forget_bias", "forget-bias"):
        one = " ".join(lstm("help", "settings", name).out.split())
        assert one.startswith(name.replace("-", "_"))
        assert one.partition(" Given by ")[0] in full
        assert len(one) < len(full) / 10
    for name, given in (
        ("forget_bias", "--forget-bias VALUE, or --set forget_bias=VALUE"),
        ("reverse", "--reverse, or --set reverse=VALUE"),
        ("recurrent_gates", "--set recurrent_gates=VALUE"),
    ):
        assert lstm("help", "settings", name).out.endswith(f"\n\nGiven by {given}.\n")
    for words, told in (
        (("settings", "gate"), "'gate' is no setting. Did you mean \"gates\"?"),
        (("settings", "nope"), "'nope' is no setting.\n  lstm help settings\n"),
        (("foo",), "there is no command 'foo'.\n  lstm help\n"),
        (("run", "gates"), "run gates: one command only; of settings, one name."),
        (("runn", "gates"), "there is no command 'runn'."),
    ):
        done = lstm("help", *words)
        assert (done.status, done.out) == (2, "")
        assert told in done.err
