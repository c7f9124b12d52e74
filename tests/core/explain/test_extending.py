"""A new cause is a row of a table, or a line in the list of passes."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import load
from lstmcli.core import explain as package
from lstmcli.core.explain import PASSES, Pass, wording
from lstmcli.core.explain.causes import (
    ANY,
    CANDIDATE,
    CAUSES,
    COLUMNS,
    SENSES,
    Cause,
    Change,
    text_for,
)
from lstmcli.core.explain.clues import data_wanted
from lstmcli.core.explain.explanation import Changed, Explanation, Onset
from lstmcli.core.explain.hypotheses import prior
from lstmcli.core.explain.observation import Expected, KnownValues
from lstmcli.core.explain.report import of_found
from lstmcli.core.explain.search import Search
from lstmcli.core.explain.tries import Try, accepted
from lstmcli.core.explain.verify import Case, Remark, remark
from lstmcli.core.explain.wording import (
    change_text,
    text_of,
    used_by,
    why_hidden,
)
from lstmcli.core.model.model import Inputs
from lstmcli.core.model.settings import SETTINGS
from tests.core.explain.asking import Cell, found, write
from tests.core.explain.reference import random_net
from tests.paths import PACKAGE, TOP


def test_a_row_of_the_table_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell(tmp_path, 0)
    softsign = {"output_activation": lambda c: c / (1 + np.abs(c))}
    h = cell.run(softsign)["h"]
    assert cell.explain(h).edits == (
        "equations.tanh.c=softsign",
    )  # until it is a setting's value
    name, row = "output_activation", CAUSES["output_activation"]
    values = (*row.values, "softsign")
    monkeypatch.setitem(
        CAUSES, name, replace(row, values=values, hides={ANY: "It is new"})
    )
    monkeypatch.setitem(COLUMNS, name, values)  # made of the rows
    explanation = cell.explain(h)
    assert found(explanation) == {"output_activation": "softsign"}
    assert explanation.words.hidden.startswith("It is new")
    assert "--output-activation softsign" in explanation.command


def test_each_class_is_of_one_of_the_eight_things() -> None:
    """The page on the search says of which."""
    files = Path(package.__file__).parent.glob("*.py")
    source = "\n".join(file.read_text() for file in files)
    classes = set(re.findall(r"^class (\w+)", source, re.MULTILINE))
    page = (TOP / "docs" / "explain-search.md").read_text()
    rows = " ".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    assert classes <= set(re.findall(r"`(\w+)`", rows))


def refused(cell: Cell) -> Any:
    """The explanation of outputs that nothing gives."""
    h = cell.run()["h"]
    return cell.explain(h + cell.rng.normal(0, 0.1, h.shape))


def test_a_pass_that_gives_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def find(search: Search) -> Explanation:
        seen.append("find")
        placement = search.as_loaded[0].placement
        loose = placement.allowance._replace(absolute=np.inf)
        answer = accepted(Try(placement, (Change("forget_bias", 0.5),)), loose)
        assert answer is not None
        return of_found(search, [answer])

    passes = [*PASSES]
    passes.insert(5, Pass("dummy", find))
    monkeypatch.setattr(package, "PASSES", passes)
    assert found(refused(Cell(tmp_path, 0))) == {"forget_bias": 0.5}
    assert seen == ["find"]


@pytest.mark.usefixtures("without_edits")
def test_a_pass_that_says_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(question: Any, case: Any) -> Iterator[Remark]:
        yield remark("dummy", arrays=len(question.arrays))

    monkeypatch.setitem(wording.TEXTS, "dummy", "{arrays} array was looked at.")
    monkeypatch.setattr(
        package, "PASSES", [*package.PASSES, Pass("dummy", remark=look)]
    )
    explanation = refused(Cell(tmp_path, 0))
    assert explanation.verdict == "none"
    assert "1 array was looked at." in explanation.notes


# ---- the table of causes, and the English of answers: every row and every remark has its words


EXPLAIN = PACKAGE / "core" / "explain"


def remarks_made() -> Iterator[tuple[str, set[str] | None, Path]]:
    """The code, the names of the facts if they are all there, and the file of each remark."""
    for path in sorted(EXPLAIN.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = (
                node.func.id
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                else ""
            )
            if name not in ("remark", "Remark") or not isinstance(node, ast.Call):
                continue
            codes = [
                c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant)
            ]
            facts = {k.arg or "**" for k in node.keywords} if name == "remark" else None
            yield from ((str(code), facts, path) for code in codes)


def facts_of(code: str) -> list[set[str]]:
    """The facts that each text of a code takes."""
    texts = wording.TEXTS[code]
    each = [texts] if isinstance(texts, str) else texts.values()
    return [{f for _, f, _, _ in string.Formatter().parse(text) if f} for text in each]


def test_every_remark_has_a_text_that_takes_its_facts() -> None:
    made = [
        each for each in remarks_made() if each[0] in wording.TEXTS or "_" in each[0]
    ]
    assert len(made) > 20
    for code, facts, path in made:
        assert code in wording.TEXTS, (code, path.name)
        if facts is None or "**" in facts:
            continue
        for takes in facts_of(code):
            assert takes <= facts, (code, path.name)


def test_every_text_is_used() -> None:
    source = "".join(
        path.read_text() for path in EXPLAIN.rglob("*.py") if path.stem != "wording"
    )
    assert [code for code in wording.TEXTS if f'"{code}"' not in source] == []


@pytest.mark.parametrize(
    ("remark", "text"),
    [
        (
            Remark(
                "exact_zeros",
                {
                    "changes": (Changed("bias", "once", "none"),),
                    "share": 0.25,
                    "steps": (),
                },
            ),
            "With bias none: 25% of EXPECTED are exact zeros where the run has none. Is there "
            "dropout, or a relu on the output?",
        ),
    ],
    ids=lambda value: value.code if isinstance(value, Remark) else "",
)
def test_a_remark_in_words(remark: Remark, text: str) -> None:
    assert text_of(remark) == text


def agreeing(first: int, step: int, known: int) -> str:
    facts: dict[str, Any] = {"agreeing": [first], "differing": [1 - first, 2]}
    facts |= {"changes": (), "begun": step > known, "step": step, "first": first == 0}
    return text_of(Remark("some_sequences_agree", facts))


def test_a_state_is_suspected_only_where_the_first_step_differs() -> None:
    assert "carried from sequence to sequence" in agreeing(0, 0, 0)
    assert "in another order" in agreeing(1, 0, 0)
    padded = agreeing(0, 3, 0)
    assert "carried" not in padded
    assert padded.endswith("from step 3 on: are they padded?")


# ---- causes


@pytest.mark.parametrize("setting", CAUSES)
def test_a_row_is_complete(setting: str) -> None:
    cause = CAUSES[setting]
    assert cause.hides
    assert (
        not cause.values
        or setting in SETTINGS
        or setting in ("array", "layout", "gates")
    )


def test_settings_of_frameworks_are_likelier() -> None:
    assert prior(Change("gates", "ifgo")) < prior(Change("gates", "ogfi"))
    assert prior(Change("layer1.forget_bias", 1.0)) < prior(Change("forget_bias", 0.74))
    assert prior(Change("forget_bias", 0.74)) < prior(Change("gate_clip", 1.92))
    assert (
        prior(Change("gates", "ifgo"))
        < prior(Change("dtype", "float16"))
        < Cause("other").prior
    )


# ---- changes


def test_a_constant_and_a_cell_in_words() -> None:
    half = Changed("layer1.forget_bias", 1.0, 0.5)
    assert change_text(half) == "forget bias of layer1 is +0.5, not +1"
    low, high = (Changed("forget_bias", 1.0, bias) for bias in (-40.0, 16.0))
    lower = Changed("array", "h", "layer0.h", "one way")
    assert change_text(lower) == "EXPECTED is layer0.h of the trace, not trace.h"
    assert (
        change_text(low)
        == "forget bias is -40, not +1: f is 0, and c is never carried on"
    )
    assert change_text(high).endswith(": f is 1, and all of c is carried on")


@pytest.mark.parametrize("sense", SENSES)
def test_a_sense_has_its_words(sense: str) -> None:
    cause = SENSES[sense]
    values = {"array": "layer0.h", "dtype": "float16"}
    found = values.get(cause.setting, "sigmoid")
    change = Changed(cause.setting, None, found, sense)
    assert "{" not in change_text(change)
    assert used_by(change) == text_for(cause.used_by, found)
    assert text_for(cause.used_by, found)
    assert why_hidden([change], Onset(2)).endswith(
        "The difference first appears at step 2."
    )


def test_why_the_first_step_hides_a_change_is_explained() -> None:
    bias, order = (
        Changed("forget_bias", 1.0, 0.0),
        Changed("recurrent_gates", "igfo", "ifgo"),
    )
    both = why_hidden([bias, order], Onset(1))
    assert both == (
        "At step 0 the cell state is zero, so the forget gate and the recurrent kernel have no "
        "effect. The difference first appears at step 1."
    )
    assert why_hidden([bias], Onset()) == "", "nothing is known of step 0"
    backward = why_hidden([bias], Onset(5, is_backward=True))
    assert backward.startswith(
        "At the last step, which is processed first, the cell state is zero"
    )
    assert "step 5" not in backward


def test_the_programs_with_a_setting_are_listed() -> None:
    assert used_by(Changed("layer0_reverse.reverse", False, True)) == "every framework"
    assert "pytorch" in used_by(Changed("gates", "igfo", "ifgo"))
    assert used_by(Changed("bias", "once", "none")) == "code that leaves it out"
    relu = used_by(Changed("activation", "tanh", "relu"))
    assert relu.startswith("keras, tf1, onnx, flax and ")
    assert relu.endswith(" more, if set to it")
    relu_candidate = Changed("activation", "tanh", "relu", CANDIDATE)
    assert used_by(relu_candidate).startswith("onnx, openvino, ")
    assert "gates' activation" in used_by(replace(relu_candidate, found="sigmoid"))
    assert (
        used_by(Changed("coupled", "none", "f=1-i")) == "onnx, coreml-nn, if set to it"
    )
    assert used_by(Changed("merge", "concat", "sum")).startswith("keras, ")
    assert used_by(Changed("gate_clip", None, 0.74)) == "onnx, openvino, if set to it"
    assert used_by(Changed("masked_output", "zero", "run")) == "no framework known here"


# ---- what would decide


def test_data_that_would_decide(tmp_path: Path) -> None:
    net = random_net(np.random.default_rng(0), 3, 1)
    net.bias[:] = 0
    model = load(write(net, tmp_path / "w.npz", 3))
    known = Expected({"h": KnownValues(np.ones((1, 1, 1)), np.zeros((1, 1, 1)))})
    one_step = Case(lambda settings: model, Inputs(np.zeros((1, 3))), "steps", known)
    codes = [
        one.code
        for one in data_wanted(one_step, ("forget_bias", "bias"), (), is_proven=True)
    ]
    assert codes == ["biases", "second_step"]
    assert data_wanted(one_step, (), (), is_proven=True) == ()
    assert [one.code for one in data_wanted(one_step, (), (), is_proven=False)] == [
        "more_numbers"
    ]
