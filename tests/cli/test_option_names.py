"""One name a thing in every command; older names still work, and nothing is ignored silently."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from lstmcli.cli.command import GROUPS
from lstmcli.core.model.conventions import Behaviour
from lstmcli.core.model.settings import CONVENTIONS_OWN, SETTINGS
from lstmcli.engines import NAMES
from tests.cli.conftest import SAMPLE, Done, Lstm
from tests.engines.fake import fake, install

FILES = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")
PRINTS = (SAMPLE / "tensorflow.txt", SAMPLE / "numpy.txt")
DERIVED = ("--steps", "1", "--units", "0")


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
        "-f": ("run", "diff", "explain", "derive", "inspect", "check", "convert", "conventions"),
        "-q": tuple(COMMANDS),
    }
    for option, commands in wanted.items():
        for name in commands:
            assert option in options_of(name), f"{name} {option}"
    older = {"--show", "--with", "--array", "--unit", "--step", "--markdown"}
    assert not any(older & options_of(name).keys() for name in COMMANDS)


PLACE = ("--steps", "1", "--units", "0")


@pytest.mark.parametrize(
    ("today", "before"),
    [
        (("run", *FILES, "--only", "h,f"), ("run", *FILES, "--show", "h,f")),
        (("derive", *FILES, *PLACE), ("derive", *FILES, "--step", "1", "--unit", "0")),
        (("derive", *FILES, *PLACE), ("derive", *FILES, "--step=1", "--unit=0")),
        (("plot", *FILES, "--only", "f"), ("plot", *FILES, "--array", "f")),
        (("plot", *FILES, "--units", "1"), ("plot", *FILES, "--unit", "1")),
        (
            ("explain", *FILES, PRINTS[1], "-f", "markdown"),
            ("explain", *FILES, PRINTS[1], "--markdown"),
        ),
        (("run", *FILES, "-f", "text"), ("run", *FILES, "-f", "txt")),
    ],
)
def test_older_names_do_the_same(
    lstm: Lstm, today: tuple[str, ...], before: tuple[str, ...]
) -> None:
    done = lstm(*today)
    assert done.status in (0, 1), done.err
    assert done.out
    assert lstm(*before) == done


def test_the_older_name_of_engine_does_the_same(lstm: Lstm) -> None:
    today, before = (lstm("check", FILES[0], option, "torhc") for option in ("--engine", "--with"))
    assert today == before
    assert "there is no engine 'torhc'" in today.err


def test_one_unit_of_a_plot_is_lines_and_a_range_is_a_map(lstm: Lstm) -> None:
    lines, heat = (lstm("plot", *FILES, "--units", units).out for units in ("2", "2:3"))
    assert "h[2]" in lines
    assert "h[2]" not in heat


def test_only_names_the_columns_of_a_table(lstm: Lstm) -> None:
    header = re.search(r"^step .*$", lstm("run", *FILES, "--only", "f,h").out, re.M)
    assert header is not None
    assert header[0].split() == ["step", "unit", "f", "h"]
    done = lstm("run", *FILES, "--only", "final_h")
    assert done.status == 2
    assert "the table shows h, c, i, f, g, o, z" in done.err


def test_only_is_for_the_table_and_for_a_file_together(lstm: Lstm, tmp_path: Path) -> None:
    done = lstm("run", *FILES, "--only", "c,final_h", "-f", "table", "-o", "out.npz")
    assert re.search(r"^step +unit +c$", done.out, re.M)
    assert set(np.load(tmp_path / "out.npz")) == {"c", "final_h", "meta"}


# ---- one cell of several


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Two layers of two directions, 3 units each."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for layer, inputs in enumerate((4, 6)):
        for direction in ("", "_reverse"):
            arrays[f"weight_ih_l{layer}{direction}"] = rng.normal(size=(12, inputs))
            arrays[f"weight_hh_l{layer}{direction}"] = rng.normal(size=(12, 3))
    np.savez(tmp_path / "stack.npz", **arrays)
    return tmp_path / "stack.npz"


def test_cell_writes_the_arrays_of_one_cell(lstm: Lstm, stack: Path) -> None:
    assert lstm("run", stack, FILES[1], "-o", "full.npz", "-q").status == 0
    full = np.load("full.npz")
    assert lstm("run", stack, FILES[1], "--cell", "layer1_reverse", "-o", "o.npz", "-q").status == 0
    written = np.load("o.npz")
    assert set(written) == {f"layer1_reverse.{name}" for name in "hcifgo"} | {"meta"}
    for name in set(written) - {"meta"}:
        np.testing.assert_array_equal(written[name], full[name])
    assert lstm("run", stack, FILES[1], "--cell", "layer0", "-o", "h.npy", "-q").status == 0
    np.testing.assert_array_equal(np.load("h.npy"), full["layer0.h"])
    done = lstm("run", stack, FILES[1], "--cell", "layer0", "--only", "c", "-f", "csv", "-q")
    assert done.out.startswith("step,batch,layer0.c[0],layer0.c[1],layer0.c[2]\n")


@pytest.mark.parametrize("words", [("--cell", "layer0", "--only", "f"), ("--only", "layer0.f")])
def test_cell_shows_the_table_of_one_cell(lstm: Lstm, stack: Path, words: tuple[str, ...]) -> None:
    done = lstm("run", stack, FILES[1], "--steps", "2", "--digits", "17", *words)
    assert done.status == 0, done.err
    assert lstm("run", stack, FILES[1], "-o", "full.npz", "-q").status == 0
    table = done.out.partition("\nlayer0\n")[2].split()
    assert table[:3] == ["step", "unit", "f"]
    numbers = [float(table[n]) for n in (5, 7, 9)]
    np.testing.assert_allclose(numbers, np.load("full.npz")["layer0.f"][:, 2].ravel(), rtol=1e-15)
    assert "layer1" not in done.out.partition("\nlayer0\n")[2]


def test_a_single_cell_goes_by_its_name_too(lstm: Lstm) -> None:
    plain = lstm("run", *FILES, "-f", "csv", "-q").out
    assert lstm("run", *FILES, "--cell", "layer0", "-f", "csv", "-q").out == plain
    table = lstm("run", *FILES, "--only", "h")
    assert lstm("run", *FILES, "--only", "layer0.h") == table
    assert lstm("run", *FILES, "--cell", "layer0", "--only", "h") == table


def test_a_message_on_a_cell_that_is_not_there_names_those_that_are(
    lstm: Lstm, stack: Path
) -> None:
    there = "there is layer0, layer0_reverse, layer1, layer1_reverse"
    for command in ("run", "plot"):
        done = lstm(command, stack, FILES[1], "--cell", "layer2")
        assert (done.status, done.out) == (2, "")
        assert f"--cell layer2: {there}" in done.err
    assert "--cell layer1: there is layer0." in lstm("run", *FILES, "--cell", "layer1").err
    done = lstm("run", stack, FILES[1], "--cell", "layer0", "--only", "final_h", "-o", "x.npz")
    assert done.status == 2
    assert "--only final_h is not of one cell" in done.err


def test_an_array_of_the_cell_may_be_typed_with_its_cell(lstm: Lstm, stack: Path) -> None:
    lstm("run", stack, FILES[1], "-o", "full.npz")
    for words in (("run", stack, FILES[1]), ("plot", stack, FILES[1]), ("plot", "full.npz")):
        words = (*words, "--cell", "layer1", "--only")
        assert lstm(*words, "layer1.h") == lstm(*words, "h")
        done = lstm(*words, "layer0.h")
        assert (done.status, done.out) == (2, "")
        assert "--only layer0.h is an array of layer0, and --cell names layer1" in done.err
    done = lstm("plot", "full.npz", "--cell", "layer1", "--only", "q")
    assert "--only q: there is h, c, i, f, g, o." in done.err


def test_a_layer_of_a_stack_is_a_cell_and_no_lstm(lstm: Lstm, stack: Path) -> None:
    for command, word in (("run", "1"), ("run", "layer1"), ("inspect", "layer1")):
        files = [stack, FILES[1]][: 1 + (command == "run")]
        done = lstm(command, *files, "--layer", word)
        assert (done.status, done.out) == (2, "")
        assert f"--layer {word}: {stack} has one LSTM, of 2 layers; its cells are " in done.err
        assert "\n  --cell layer1  shows one, with run, plot, derive\n" in done.err
    for command in ("run", "plot", "derive"):
        step = ("--steps", 0, "--units", 0) if command == "derive" else ()
        done = lstm(command, stack, FILES[1], "--cell", "1", *step)
        assert done.err.rstrip().endswith('Did you mean "layer1"?')
    assert "has no LSTM of that name" in lstm("run", stack, FILES[1], "--layer", 2).err


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


def test_cell_draws_one_cell(lstm: Lstm, stack: Path) -> None:
    one = lstm("plot", stack, FILES[1], "--cell", "layer1", "--only", "f").out
    assert "layer1.f" in one
    assert "layer0" not in one
    assert lstm("plot", stack, FILES[1], "--only", "layer1.f").out == one


# ---- formats


def test_the_format_of_a_file_without_a_known_suffix_is_given(lstm: Lstm, tmp_path: Path) -> None:
    expected = lstm("run", *FILES, "-f", "csv", "-q").out
    assert lstm("run", *FILES, "-o", "out.dat", "-f", "csv", "-q") == Done(0, "", "")
    assert (tmp_path / "out.dat").read_text() == expected
    assert lstm("run", *FILES, "-o", "trace", "-f", "npz", "-q") == Done(0, "", "")
    assert "final_c" in np.load(tmp_path / "trace")
    both = lstm("run", *FILES, "-o", "out.csv", "-f", "json", "-q")
    assert json.loads(both.out)["h"]
    assert (tmp_path / "out.csv").read_text() == expected


def test_a_message_on_an_unknown_suffix_has_both_ways_out(lstm: Lstm, tmp_path: Path) -> None:
    for words in ((), ("-f", "table")):
        done = lstm("run", *FILES, "-o", "out.dat", *words)
        assert (done.status, done.out) == (2, "")
        assert 'unsupported extension ".dat"; use .npy' in done.err
        assert "-f csv" in done.err
    assert list(tmp_path.iterdir()) == []


# ---- what is given twice


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "forget_bias=0", "--set", "forget_bias=1"), "forget_bias is given twice"),
        (("--set", "bias=none", "--set", "bias=once"), "bias is given twice"),
        (("--forget-bias", "0", "--set", "forget-bias=1"), "--set forget-bias=1: --forget-bias"),
        (("--reverse", "--reverse"), "--reverse is given twice"),
        (("--reverse", "--set", "reverse=no"), "--set reverse=no: --reverse sets reverse too"),
        (("--heat", "-f", "csv", "--heat"), "--heat is given twice"),
        (("-q", "-q"), "--quiet is given twice"),
        (("--forget-bias", "0", "--forget-bias", "1"), "--forget-bias is given twice"),
        (("--layer", "0", "--layer", "1"), "--layer is given twice"),
        (("--steps", "0", "--steps=1"), "--steps is given twice"),
        (("-f", "json", "--format", "csv"), "--format is given twice"),
        (("--only", "h", "--show", "c"), "give --only alone"),
    ],
)
def test_what_is_given_twice_is_refused(lstm: Lstm, words: tuple[str, ...], said: str) -> None:
    done = lstm("run", *FILES, *words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("run", *FILES, "--heat", "-f", "json"), "--heat"),
        (("run", *FILES, "--heat", "-o", "out.csv"), "--heat"),
        (("run", *FILES, "--no-pager", "-f", "csv"), "--no-pager"),
        (("run", *FILES, "--color", "always", "-o", "out.npz"), "--color"),
        (("inspect", FILES[0], "-f", "json", "--heat"), "--heat"),
        (("inspect", FILES[0], "-f", "json", "--no-heat"), "--no-heat"),
        (("inspect", FILES[0], "-f", "json", "--all"), "--all"),
        (("derive", *FILES, *DERIVED, "--gate", "f", "-f", "json", "--terms", "1"), "--terms"),
        (("derive", *FILES, *DERIVED, "-f", "json", "--digits", "3"), "--digits"),
        (("derive", *FILES, *DERIVED, "--terms", "1"), "--terms"),
        (("diff", *PRINTS, "-f", "json", "--per-step"), "--per-step"),
        (("diff", *PRINTS, "-q", "--per-step"), "--per-step"),
        (("diff", *PRINTS, "-q", "-f", "json"), "--format"),
        (("diff", *PRINTS, "-q", "--svg", "out.svg"), "--svg"),
        (("explain", *FILES, PRINTS[1], "-q", "-f", "markdown"), "--format"),
        (("check", *FILES, "-q", "-f", "json"), "--format"),
        (("check", *FILES, "--seed", "1"), "--seed"),
        (("plot", *FILES, "--units", "0", "--pool", "mean"), "--pool"),
        (("plot", *FILES, "-o", "out.svg", "--color", "always"), "--color"),
        (("convert", FILES[0], "out.npz", "-f", "json", "--color", "always"), "--color"),
        (("conventions", "-f", "json", "--color", "always"), "--color"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    lstm: Lstm, tmp_path: Path, words: tuple[str, ...], option: str
) -> None:
    done = lstm(*words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"lstm {words[0]}: {option}")
    assert list(tmp_path.iterdir()) == []


def test_a_flag_and_its_opposite_are_one_option(lstm: Lstm) -> None:
    said = "--heat or --no-heat is given twice; give it once."
    assert said in lstm("inspect", FILES[0], "--heat", "--no-heat").err


def test_a_setting_may_be_given_for_a_cell_too(lstm: Lstm) -> None:
    words = ("--set", "layer0.forget_bias=0", "--set", "forget_bias=1", "-f", "csv")
    assert lstm("run", *FILES, *words).status == 0


# ---- quiet


def test_quiet_leaves_only_the_status_of_a_comparison(lstm: Lstm) -> None:
    assert lstm("explain", *FILES, PRINTS[1], "-q") == Done(0, "", "")
    assert lstm("explain", *FILES, PRINTS[0], "--forget-bias", "0", "-q").status == 0
    np.save("other.npy", np.random.default_rng(0).normal(size=(7, 3)))
    assert lstm("explain", *FILES, "other.npy", "-q") == Done(1, "", "")
    assert lstm("diff", *PRINTS, "-q") == Done(1, "", "")


def test_quiet_leaves_out_what_was_assumed_and_written(lstm: Lstm) -> None:
    assert "assumed" in lstm("run", *FILES, "-f", "json").err
    assert lstm("run", *FILES, "-f", "json", "-q").err == ""
    for words in (("inspect", FILES[0]), ("convert", FILES[0], "a.npz", "--to", "keras")):
        full, quiet = lstm(*words).out, lstm(*words, "-q").out
        assert "assumed" in full
        assert not re.search("assumed|not stored|metadata written", quiet)
        assert quiet.splitlines() == [line for line in full.splitlines() if line in quiet]
    assert lstm("run", FILES[0], "nowhere.npy", "-q").err != ""
    assert lstm("init", "--example", "demo").err.startswith("wrote ")
    assert lstm("init", "--example", "demo", "-q") == Done(0, "", "")


# ---- help


def headings(text: str) -> list[str]:
    return re.findall(r"^(\S.*):$", text, re.M)


@pytest.mark.parametrize("name", ["run", "explain", "derive", "plot", "check"])
def test_help_has_options_in_groups(lstm: Lstm, name: str) -> None:
    found = headings(lstm(name, "--help").out)
    assert found[0] == "Weights and conventions"
    assert len(found) >= 5
    assert found == [heading for heading in GROUPS if heading in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_heading(name: str) -> None:
    if name in ("init", "help", "completion", "conventions"):
        return
    known = {parameter for names in GROUPS.values() for parameter in names}
    assert {parameter.name for parameter in options_of(name).values()} <= known


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("run", "lstm run [OPTIONS] WEIGHTS... INPUTS"),
        ("derive", "lstm derive [OPTIONS] WEIGHTS... INPUTS"),
        ("explain", "lstm explain [OPTIONS] WEIGHTS... INPUTS EXPECTED"),
        ("check", "lstm check [OPTIONS] WEIGHTS... [INPUTS]"),
    ],
)
def test_the_usage_line_names_every_file(lstm: Lstm, name: str, usage: str) -> None:
    assert lstm(name, "--help").out.splitlines()[0] == f"Usage: {usage}"


def test_help_shows_choices_and_defaults(lstm: Lstm) -> None:
    text = " ".join(lstm("run", "--help").out.split())
    assert "--rows [xh|hx]" in text
    assert "--dtype [float16|bfloat16|float32|float64|longdouble]" in text
    assert "[table|json|jsonl|csv|tsv|text|npy|npz]" in text
    assert "[default: table]" in text
    assert "Maximum size of a tensor in bytes. [default: 1 GiB" in text
    assert all(name in text.replace("- ", "-") for name in NAMES)


@pytest.mark.parametrize(("columns", "most"), [("60", 60), ("80", 80), ("100", 100), ("200", 100)])
def test_help_is_as_wide_as_the_terminal_up_to_100(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, columns: str, most: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    widths = [len(line) for line in lstm("run", "--help").out.splitlines() if "lstm " not in line]
    assert most - 12 < max(widths) <= most


@pytest.mark.parametrize("columns", ["1", "20", "x", "²"])
def test_help_is_printed_whatever_columns_says(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = lstm("run", "--help")
    assert done.status == 0
    assert "--forget-bias" in done.out


def test_help_of_settings_has_each_with_its_values_and_default(lstm: Lstm) -> None:
    done = lstm("help", "settings")
    assert done.status == 0
    rows = dict(re.findall(r"^  (\w+)((?: .*\n(?:    .*\n?)*))", done.out, re.M))
    assert rows.keys() == SETTINGS.keys()
    for name, setting in SETTINGS.items():
        text = " ".join(rows[name].split())
        values = ", ".join(setting.choices) or setting.values
        assert values, name
        assert f"Values: {values}. [default: {setting.default}]" in text
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


# ---- the files of the examples


def test_the_example_is_the_sample(lstm: Lstm, tmp_path: Path) -> None:
    done = lstm("init", "--example", "demo")
    assert done.status == 0
    assert done.err.endswith("  lstm run demo/weights.npz demo/inputs.npy\n")
    written = {path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir()}
    assert written.keys() == {"weights.npz", "inputs.npy", "tensorflow.txt", "numpy.txt"}
    for name, data in written.items():
        assert data == (SAMPLE / name).read_bytes()
    assert lstm("init", "--example", "demo").status == 0, "the same files may be written again"


def test_the_example_replaces_no_other_file(lstm: Lstm, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"mine")
    done = lstm("init", "--example", ".")
    assert done.status == 2
    assert "weights.npz is there already" in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"weights.npz"}
    assert lstm("init", "--example", "weights.npz").status == 2
    assert (tmp_path / "weights.npz").read_bytes() == b"mine"


def test_a_batch_of_inputs_that_nothing_asks_for_is_refused(lstm: Lstm, tmp_path: Path) -> None:
    done = lstm("init", "--inputs", 4, "--units", 3, "--batch", 2, "-o", "net.npz")
    assert (done.status, done.out) == (2, "")
    assert "--steps T" in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_example_goes_with_no_other_option(lstm: Lstm, tmp_path: Path) -> None:
    done = lstm("init", "--example", "demo", "--units", "3", "--seed", "1")
    assert done.status == 2
    assert "leave out --units, --seed" in done.err
    assert "or --example demo alone" in lstm("init", "--units", "3").err
    assert list(tmp_path.iterdir()) == []
