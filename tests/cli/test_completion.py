"""What shells are offered, and that they can read the script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from lstmcli.core.conventions import CONVENTIONS
from tests.cli.conftest import SAMPLE, TOP, Lstm

GOLDEN = TOP / "tests" / "golden"
TWO = GOLDEN / "torch" / "two_layers.weights.npz"


def offered(*words: object) -> list[str]:
    """What Bash is told for the last of the words."""
    *before, last = map(str, words)
    found = BashComplete(group, {}, "lstm", "_LSTM_COMPLETE").get_completions(before, last)
    return [item.value if item.type == "plain" else f"({item.type})" for item in found]


def test_commands_come_from_the_table() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("in") == ["inspect", "init"]
    assert offered("help", "di") == ["diff"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("run", "w.npz", "--activation", "hard"), ["hard_sigmoid_0.2", "hard_sigmoid_1_6"]),
        (("run", "w.npz", "--rows", ""), ["xh", "hx"]),
        (("run", "w.npz", "--set", "trans"), ["transposed="]),
        (("run", "w.npz", "--set", "transposed=k"), ["transposed=kernel"]),
        (("run", "w.npz", "--show", "h,c,i"), ["h,c,i"]),
        (("run", "w.npz", "--show", "h,h"), []),
        (("run", "w.npz", "--cell-clip", ""), []),
        (("diff", "a.npz", ""), ["(file)"]),
        (("run", "wei"), ["(file)"]),
        (("run", "w.npz", "--initial-state", "s"), ["(file)"]),
        (("completion", "z"), ["zsh"]),
    ],
)
def test_words_and_files(words: tuple[str, ...], values: list[str]) -> None:
    assert offered(*words) == values


def test_conventions_are_those_of_the_table() -> None:
    wanted = [name for name in CONVENTIONS if name.startswith("ke")]
    assert "keras" in wanted
    assert offered("run", "w.npz", "--convention", "ke") == wanted
    assert offered("convert", "w.npz", "out.npz", "--to", "ke") == wanted
    assert offered("conventions", "ke") == wanted


def test_orders_of_gates_are_those_that_some_convention_has() -> None:
    found = offered("run", "w.npz", "--gates", "")
    assert set(found) == {row.gates for row in CONVENTIONS.values() if len(row.gates) == 4}
    assert "ifgo" in found


def test_names_of_layers_cells_and_members_come_from_the_file_before_the_cursor() -> None:
    assert offered("run", GOLDEN / "haiku" / "deep.weights.npz", "--layer", "") == [
        "lstm",
        "lstm_1",
    ]
    assert offered("derive", TWO, "--cell", "") == ["layer0", "layer1"]
    assert "layer1.f" in offered("run", TWO, "x.npy", "--only", "")
    assert offered("plot", TWO, "--array", "h,layer0") == ["h,layer0"]
    assert offered("plot", TWO, "--array", "h,layer") == ["h,layer0", "h,layer1"]


def test_members_of_a_trace(lstm: Lstm) -> None:
    lstm("run", SAMPLE / "weights.npz", SAMPLE / "inputs.npy", "-o", "t.npz", "--only", "h,f")
    assert offered("plot", "t.npz", "--array", "") == ["h", "f"]


def test_a_file_that_cannot_be_read_offers_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    for path in (tmp_path / "bad.npz", tmp_path / "nowhere.npz", "-"):
        assert offered("run", path, "--layer", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_read_by_its_shell(lstm: Lstm, shell: str) -> None:
    done = lstm("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_LSTM_COMPLETE" in done.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.out, text=True, check=True)


def test_bash_completes_with_it(tmp_path: Path, lstm: Lstm) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no Bash here")
    script = lstm("completion", "bash").out.replace("compopt", ": ")
    command = tmp_path / "lstm"
    command.write_text(
        "#!/bin/sh\nprintf 'plain,%s\\n' one two\n"
    )  # what lstm would say: asked above without a process
    command.chmod(0o755)
    lines = f"{script}\nCOMP_WORDS=(lstm r) COMP_CWORD=1\n_lstm_completion {command}\n"
    done = subprocess.run(
        [bash, "--norc", "-c", f'{lines}echo "${{COMPREPLY[@]}}"'],
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    assert done.stdout == "one two\n"


def test_every_option_that_names_a_file_is_completed_as_one() -> None:
    for name in COMMANDS:
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option) and "FILE" in (parameter.metavar or ""):
                items = parameter.shell_complete(click.Context(command), "")
                assert [item.type for item in items] == ["file"], (name, parameter.name)
