"""Output of ``-f json`` follows ``docs/schemas``; the fixture ``lstm`` validates it.

So every test of a command that prints JSON is one of its schema; here are further kinds of it.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from lstmcli.cli.group import COMMANDS
from lstmcli.core.model.settings import SETTINGS
from tests.cli.conftest import SAMPLE, Lstm
from tests.docs.schemas import SCHEMAS, problems
from tests.paths import TOP
from tests.recorded import CASES, GOLDEN, read

WEIGHTS, INPUTS = str(SAMPLE / "weights.npz"), str(SAMPLE / "inputs.npy")
NUMPY, TENSORFLOW = str(SAMPLE / "numpy.txt"), str(SAMPLE / "tensorflow.txt")
LINES = {
    "run": ("run", WEIGHTS, INPUTS),
    "diff": ("diff", TENSORFLOW, NUMPY),
    "explain": ("explain", WEIGHTS, INPUTS, NUMPY),
    "derive": (
        "derive",
        WEIGHTS,
        INPUTS,
        "--steps",
        1,
        "--units",
        0,
        "--against",
        NUMPY,
    ),
    "inspect": ("inspect", WEIGHTS),
    "convert": ("convert", WEIGHTS, "out.npz", "--to", "keras"),
    "conventions": ("conventions", "keras"),
}


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


@pytest.mark.parametrize(
    "path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem
)
def test_a_schema_is_valid_and_lists_all_keys(path: Path) -> None:
    Draft202012Validator.check_schema(schema(path.stem))
    for place in objects(schema(path.stem)):
        assert place["additionalProperties"] is False


def objects(value: Any) -> list[Any]:
    """Every schema of an object with named keys."""
    if isinstance(value, list):
        return [place for one in value for place in objects(one)]
    if not isinstance(value, dict):
        return []
    here = [value] if "properties" in value and value.get("type") == "object" else []
    return here + [place for one in value.values() for place in objects(one)]


def test_every_command_that_prints_json_has_a_schema() -> None:
    printing = set()
    for name in COMMANDS:
        command: click.Command = import_module(f"lstmcli.cli.{name}").command
        kinds = [p.type for p in command.params if "--format" in p.opts]
        if any(
            isinstance(kind, click.Choice) and "json" in kind.choices for kind in kinds
        ):
            printing.add(name)
    others = {"common", "step", "check_program"}
    assert {path.stem for path in SCHEMAS.glob("*.json")} == printing | others
    assert printing == {*LINES, "check"}


def test_the_settings_are_those_of_help() -> None:
    (pattern,) = schema("common")["$defs"]["settings"]["patternProperties"]
    assert pattern.endswith(f"({'|'.join(SETTINGS)})$")
    assert pattern in schema("run")["$defs"]["meta"]["patternProperties"]


@pytest.mark.parametrize("name", LINES)
def test_a_key_more_and_a_key_less_are_noticed(name: str, lstm: Lstm) -> None:
    document = json.loads(lstm(*LINES[name], "-f", "json").out)
    assert not problems(name, document)
    assert problems(name, document | {"another": 1})
    less = "meta" if name == "run" else list(document)[-1]
    assert problems(
        name, {key: value for key, value in document.items() if key != less}
    )


@pytest.mark.parametrize("case", CASES[::6])
@pytest.mark.slow
def test_recorded_weights(case: str, lstm: Lstm) -> None:
    path = str(GOLDEN / f"{case}.weights.npz")
    record, _ = read(case)
    given = [f"{name}={value}" for name, value in record["settings"].items()]
    words = [path, "--convention", record["convention"]]
    words += [word for setting in given for word in ("--set", setting)]
    assert lstm("inspect", *words, "-f", "json").status == 0
    for line in (
        ("run", *words, f"{GOLDEN / case}.npz:inputs", "-f", "json"),
        ("run", *words, f"{GOLDEN / case}.npz:inputs", "-f", "jsonl", "--only", "h"),
        (
            "derive",
            *words,
            f"{GOLDEN / case}.npz:inputs",
            "--steps",
            0,
            "--units",
            0,
            "-f",
            "json",
        ),
        ("convert", *words, "out.npz", "--to", "tf1", "-f", "json"),
    ):
        assert lstm(*line).status in (0, 2)


CLASSIFIER = [
    str(TOP / "samples/text-classifier" / n) for n in ("model.keras", "words.npy")
]
FORECASTER = [str(TOP / "samples/forecaster" / n) for n in ("model.pt", "series.npy")]


@pytest.mark.parametrize("words", [CLASSIFIER, FORECASTER], ids=["final_y", "y"])
def test_outputs_of_heads(words: list[str], lstm: Lstm) -> None:
    """The command validates each: a model's output stands in y or final_y."""
    expected = str(Path(words[0]).parent / "port.txt")
    if words is FORECASTER:
        expected = str(Path(words[0]).parent / "by_series.npy")
    run = json.loads(lstm("run", *words, "-f", "json", "-q").out)
    lines = lstm("run", *words, "-f", "jsonl", "-q").out.splitlines()
    if words is CLASSIFIER:
        assert json.loads(lines[-1])["final_y"] == run["final_y"]
    else:
        assert [json.loads(line)["y"] for line in lines] == run["y"]
    place = ("--steps", -1, "--batch", 0, "--units", 0, "--array", "y")
    assert lstm("derive", *words, *place, "-f", "json").status == 0
    assert lstm("inspect", words[0], "-f", "json").status == 0
    assert (
        lstm("explain", *words, expected, "--layout", "batch", "-f", "json").status == 0
    )
