"""``lstm check`` and ``lstm run --engine`` as they are typed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lstmcli.engines.engine import Network
from tests.cli.conftest import SAMPLE, Lstm
from tests.engines.fake import fake, forgetful, install
from tests.paths import TOP

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


def test_the_page_shows_today_s_header_and_columns(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its output but for the rows, which need the frameworks."""
    page = (TOP / "docs" / "commands" / "check.md").read_text()
    command, _, screen = page.partition("$ lstm ")[2].partition("\n")
    install(monkeypatch, fake(), fake("onnxruntime", dtypes=("float32",)))
    weights, *options = command.split()[1:]
    out = lstm("check", TOP / weights, *options).out

    def until_rows(text: str) -> list[str]:
        head, _, rest = text.partition("\nengine ")
        return [*head.splitlines(), *rest.partition("\n")[0].split()]

    assert until_rows(screen) == until_rows(out)


def test_a_difference_that_explain_accepts_as_rounding_is_reported(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def a_little_off(network: Network) -> Network:
        return replace(network, x=network.x * (1 + 1e-14))

    install(monkeypatch, fake(fault=a_little_off))
    status, out, _ = lstm("check", WEIGHTS, INPUTS, "--rtol", 0, "--atol", 0)
    assert status == 1
    finding = " ".join(out.partition("finding ")[2].split())
    assert finding.startswith(
        "Nothing has to be changed: as loaded, these weights give torch, within what explain "
        "allows for rounding (max difference "
    )


def test_json_for_programs(lstm: Lstm, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake(fault=forgetful), fake("jax"))
    status, out, _ = lstm("check", WEIGHTS, INPUTS, "-f", "json", "--ulp", "4")
    assert status == 1
    told = json.loads(out)
    assert told["equal"] is False
    assert [row["name"] for row in told["engines"]] == ["torch", "jax"]
    assert told["ulp"] == 4
    assert told["findings"]["torch"]["found"] is True
    assert told["findings"]["torch"]["changes"][0]["setting"] == "forget_bias"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "all,keras"], "keras is not installed"),
        (["--engine", "keras"], "pip install 'keras>=3.3' 'torch>=2.2'"),
        (
            ["--engine", "torch", "--cell-clip", "3"],
            "torch (a loop) cannot run a cell clip of 3.",
        ),
        (["--engine", "torch", "--mask", str(INPUTS)], f"{INPUTS}: the mask is"),
        (["--engine", "torch", "--lengths", "3"], "the inputs have batch 3"),
    ],
)
def test_mistakes(
    lstm: Lstm, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, fake())
    status, out, err = lstm("check", WEIGHTS, *words)
    assert (status, out) == (2, "")
    assert message in err


# ---- lstm run --engine


def test_a_file_of_an_engine_contains_what_it_gives(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, fake())
    for name, *words in (("a.npz", "--engine", "torch"), ("b.npz",)):
        files = ("-o", name, "--save-state", f"s{name}")
        assert lstm("run", WEIGHTS, INPUTS, *files, *words).status == 0
    with np.load(tmp_path / "a.npz") as members:
        assert sorted(members) == ["final_c", "final_h", "h", "meta"]
        assert json.loads(str(members["meta"]))["engine"].startswith("torch ")
    assert lstm("diff", "a.npz", "b.npz").status == 0
    assert lstm("diff", "sa.npz", "sb.npz").status == 0
    lines = lstm(
        "run", WEIGHTS, INPUTS, "--engine", "torch", "-f", "jsonl"
    ).out.splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["h", "step"]] * 7
    text = lstm("run", WEIGHTS, INPUTS, "--engine", "torch", "-f", "text").out
    assert text == lstm("run", WEIGHTS, INPUTS, "-f", "text").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "h,f"], "--only f: torch (a loop) gives h, final_h, final_c."),
        (
            ["-o", "out.npz", "--only", "h,c"],
            "--only c: torch (a loop) gives h, final_h, final_c",
        ),
        (["--threads", "2"], "--threads is for lstm itself"),
        (["--recurrent-activation", "relu"], "cannot run recurrent activation relu"),
    ],
)
def test_arrays_that_an_engine_does_not_give_are_refused(
    lstm: Lstm,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    install(monkeypatch, fake())
    status, out, err = lstm("run", WEIGHTS, INPUTS, "--engine", "torch", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino", "jax"])
def test_8_bit_arithmetic_is_refused_by_engines(
    lstm: Lstm, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, fake(engine))
    words = ("--engine", engine, "--arithmetic", "8bit")
    status, out, err = lstm("run", WEIGHTS, INPUTS, *words)
    assert (status, out) == (2, "")
    assert "8-bit arithmetic (it takes arithmetic float)" in err
