"""One name a thing in every command, and nothing is ignored silently."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from lstmcli.cli.command import GROUPS
from lstmcli.core.model.conventions import Behaviour
from lstmcli.core.model.settings import CONVENTIONS_OWN, SETTINGS
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm
from tests.engines.fake import fake, install

FILES = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")
INIT = ("--inputs", "2", "--units", "3", "-o", "w.npz")


def options_of(name: str) -> dict[str, click.Option]:
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    return {
        option: parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
    }


# ---- names


def test_a_thing_has_one_name_in_all_commands() -> None:
    wanted = {
        "--only": ("run", "plot", "diff"),
        "--cell": ("run", "plot", "derive"),
        "--engine": ("check", "run"),
        "--steps": ("run", "plot", "derive", "diff"),
        "--batch": ("run", "plot", "derive", "diff"),
        "--units": ("run", "plot", "derive", "diff"),
        "-f": (
            "run",
            "diff",
            "explain",
            "derive",
            "inspect",
            "check",
            "convert",
            "conventions",
        ),
        "-q": tuple(COMMANDS),
    }
    for option, commands in wanted.items():
        for name in commands:
            assert option in options_of(name), f"{name} {option}"


# ---- one cell of several


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Two layers of two directions, 3 units each."""
    np.savez(
        tmp_path / "stack.npz",
        **networks.pytorch(4, 3, layers=2, directions=2, bias=False),
    )
    return tmp_path / "stack.npz"


def test_cell_writes_the_arrays_of_one_cell(lstm: Lstm, stack: Path) -> None:
    assert lstm("run", stack, FILES[1], "-o", "full.npz", "-q").status == 0
    full = np.load("full.npz")
    assert (
        lstm(
            "run", stack, FILES[1], "--cell", "layer1_reverse", "-o", "o.npz", "-q"
        ).status
        == 0
    )
    written = np.load("o.npz")
    assert set(written) == {f"layer1_reverse.{name}" for name in "hcifgo"} | {"meta"}
    for name in set(written) - {"meta"}:
        np.testing.assert_array_equal(written[name], full[name])
    assert (
        lstm("run", stack, FILES[1], "--cell", "layer0", "-o", "h.npy", "-q").status
        == 0
    )
    np.testing.assert_array_equal(np.load("h.npy"), full["layer0.h"])
    done = lstm(
        "run", stack, FILES[1], "--cell", "layer0", "--only", "c", "-f", "csv", "-q"
    )
    assert done.out.startswith("step,batch,layer0.c[0],layer0.c[1],layer0.c[2]\n")


def test_an_engine_gives_no_single_cell(
    lstm: Lstm, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, fake())
    done = lstm("run", stack, FILES[1], "--engine", "torch", "--cell", "layer0")
    assert (done.status, done.out) == (2, "")
    assert "--cell layer0: torch gives h of the full model" in done.err
    one = lstm("run", *FILES, "--engine", "torch", "--cell", "layer0", "--only", "h")
    assert one.status == 0
    assert one == lstm("run", *FILES, "--engine", "torch", "--only", "h")


# ---- help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_heading(name: str) -> None:
    if name in ("init", "help", "completion", "conventions"):
        return
    known = {parameter for names in GROUPS.values() for parameter in names}
    assert {parameter.name for parameter in options_of(name).values()} <= known


@pytest.mark.parametrize(
    ("columns", "most"), [("60", 60), ("80", 80), ("100", 100), ("200", 100)]
)
def test_help_is_as_wide_as_the_terminal_up_to_100(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, columns: str, most: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    widths = [
        len(line)
        for line in lstm("run", "--help").out.splitlines()
        if "lstm " not in line
    ]
    assert most - 12 < max(widths) <= most


def test_help_of_settings_has_each_with_its_values_and_default(lstm: Lstm) -> None:
    done = lstm("help", "settings")
    assert done.status == 0
    rows = dict(re.findall(r"^  (\w+)((?: .*\n(?:    .*\n?)*))", done.out, re.M))
    assert rows.keys() == SETTINGS.keys()
    for name, setting in SETTINGS.items():
        text = " ".join(rows[name].split())
        values = ", ".join(setting.choices) or setting.values
        assert values, name
        default = (
            ""
            if setting.default == CONVENTIONS_OWN
            else f" [default: {setting.default}]"
        )
        assert text.endswith(f"Values: {values}.{default}")
    assert "sigmoid, tanh, relu" in done.out


def test_defaults_of_settings_are_those_of_a_run() -> None:
    behaviour = Behaviour()
    for name, setting in SETTINGS.items():
        own = setting.default.startswith(CONVENTIONS_OWN)
        if not own and hasattr(behaviour, name):
            expected = str(getattr(behaviour, name)).lower()
            assert setting.default in (expected, "that of activation"), name


def test_the_version_names_numpy_and_its_blas(lstm: Lstm) -> None:
    done = lstm("--version")
    assert done.status == 0
    first, second = done.out.splitlines()
    assert re.fullmatch(r"lstm \d+\.\d+\.\d+", first)
    assert second.startswith(f"numpy {np.__version__}, ")
    assert re.search(r"openblas|mkl|blis|no BLAS", second)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("run", *FILES, "--no-pager", "-f", "csv"), "--no-pager"),
        (("run", *FILES, "--no-pager"), "--no-pager"),
        (
            ("run", *FILES, "--no-pager", "--steps", ":", "--svg", "out.svg"),
            "--no-pager",
        ),
        (("run", *FILES, "--threads", "2", "--scheduler", "nowhere:1"), "--threads"),
        (("plot", SAMPLE / "numpy.txt", "--layout", "batch"), "--layout"),
        (("init", *INIT, "--initializer", "zeros", "--seed", "1"), "--seed"),
        (("derive", *FILES, "--steps", "1", "--units", "0", "--terms", "1"), "--terms"),
        (("check", *FILES, "--seed", "1"), "--seed"),
    ],
)
def test_options_without_an_effect_are_refused(
    lstm: Lstm, tmp_path: Path, words: tuple[str, ...], option: str
) -> None:
    done = lstm(*words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"lstm {words[0]}: error: {option}")
    assert list(tmp_path.iterdir()) == []


def test_a_layout_that_no_side_lacks_is_refused(lstm: Lstm) -> None:
    weights, inputs = FILES
    lstm("run", weights, inputs, "-o", "out.npz", "-q")
    for path, why in (
        (weights, "weights have neither"),
        ("out.npz", "both files specify"),
    ):
        done = lstm("diff", path, path, "--layout", "batch")
        assert (done.status, done.out) == (2, "")
        assert f"--layout batch: it changes nothing: {why}" in done.err


# ---- help: its examples run, it is where users look for it, and it suggests near words


def examples(text: str) -> list[str]:
    return [
        line.strip() for line in text.splitlines() if line.strip().startswith("lstm ")
    ]


def of(name: str) -> str:
    command = group.get_command(None, name) if name else group  # type: ignore[arg-type]
    assert command is not None
    return command.help or ""


ALL = [("", n) for n in range(3)] + [(name, n) for name in COMMANDS for n in (0, 1)]


@pytest.mark.parametrize(("name", "n"), ALL)
@pytest.mark.sampled(2)
def test_examples_run_on_the_files_that_init_writes(
    lstm: Lstm, name: str, n: int
) -> None:
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
def test_every_command_has_help_that_opens_with_its_line_and_examples(
    name: str,
) -> None:
    command = group.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    text = command.help or ""
    assert text.splitlines()[0] == COMMANDS[name]
    lines = [line.strip() for line in text.splitlines()]
    examples = [line for line in lines if line.startswith("lstm ")]
    assert len(examples) == 2, "two examples"
    assert all(
        example.startswith(f"lstm {name} ") or example == f"lstm {name}"
        for example in examples
    )
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.name} has no help"
