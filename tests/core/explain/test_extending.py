"""A new cause is a row of a table, or a line in the list of passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import explain
from lstmcli.core import explain as package
from lstmcli.core.explain import PASSES, Found, Pass, Search, wording
from lstmcli.core.explain.causes import ANY, CAUSES, COLUMNS
from lstmcli.core.explain.hypotheses import Change
from lstmcli.core.explain.verify import Answer, Remark, remark
from tests.core.explain.asking import found, write
from tests.core.explain.reference import outputs, random_net
from tests.paths import TOP


def test_a_row_of_the_table_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Refused(tmp_path)
    softsign = {"output_activation": lambda c: c / (1 + np.abs(c))}
    asked.h = outputs(asked.net, asked.x.astype(np.float64), softsign)["h"]
    assert asked.ask().edits == ("equations.tanh.c=softsign",)  # until it is a setting's value
    name, row = "output_activation", CAUSES["output_activation"]
    values = (*row.values, "softsign")
    monkeypatch.setitem(CAUSES, name, replace(row, values=values, hides={ANY: "It is new"}))
    monkeypatch.setitem(COLUMNS, name, values)  # made of the rows
    explanation = asked.ask()
    assert found(explanation) == {"output_activation": "softsign"}
    assert explanation.hidden.startswith("It is new")
    assert "--output-activation softsign" in explanation.command


def test_each_class_is_of_one_of_the_eight_things() -> None:
    """The page on the search says of which."""
    files = Path(package.__file__).parent.glob("*.py")
    source = "\n".join(file.read_text() for file in files)
    classes = set(re.findall(r"^class (\w+)", source, re.MULTILINE))
    page = (TOP / "docs" / "explain-search.md").read_text()
    rows = " ".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    assert classes <= set(re.findall(r"`(\w+)`", rows))


class Refused:
    """A question that nothing answers."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        net = self.net = random_net(rng, 4, 3)
        self.x = rng.normal(size=(2, 5, 4)).astype(np.float32)
        self.h = outputs(net, self.x.astype(np.float64), {})["h"] + rng.normal(0, 0.1, (2, 5, 3))
        self.weights = write(net, folder / "w.npz", 4)

    def ask(self) -> Any:
        return explain(self.weights, self.x, self.h)


def test_a_pass_that_gives_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Refused(tmp_path)
    assert asked.ask().verdict == "none"
    seen: list[str] = []

    def search(search: Search) -> list[Found]:
        seen.append("search")
        changes, placement = (Change("forget_bias", 0.5),), search.as_loaded[0]
        return [Found(placement, [Answer(changes, placement.verify(changes))], placement.allowance)]

    monkeypatch.setattr(package, "PASSES", (*PASSES, Pass("dummy", search)))
    assert found(asked.ask()) == {"forget_bias": 0.5}
    assert seen == ["search"]


def test_a_pass_that_says_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(prepared: Any, cases: Any) -> Iterator[Remark]:
        yield remark("dummy", arrays=len(prepared.arrays))

    monkeypatch.setitem(wording.TEXTS, "dummy", "{arrays} array was looked at.")
    monkeypatch.setattr(package, "PASSES", (*PASSES, Pass("dummy", remark=look)))
    assert "1 array was looked at." in Refused(tmp_path).ask().notes
