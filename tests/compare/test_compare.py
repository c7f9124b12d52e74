"""The comparison of two versions of the package finds what differs, and nothing else."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from tests.compare.__main__ import KINDS, compare
from tests.compare.differences import differences
from tests.paths import PACKAGE

TOP = str(PACKAGE.parent)


def test_only_words_differ_where_numbers_are_the_same() -> None:
    old = {"a": [1, "step 3 differs", float("nan")], "b": "step 3 differs", "c": "h"}
    new = {"a": [1, "step 3 is another", float("nan")], "b": "step 4 differs", "c": "i"}
    found = [(one.place, one.is_of_words) for one in differences(old, new)]
    assert found == [("a[1]", True), ("b", False), ("c", False)]
    assert [one.place for one in differences([1], [1, 2])] == [""]
    assert [one.place for one in differences({"a": 1}, {"b": 1})] == [".a", ".b"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_package_answers_as_itself(kind: str) -> None:
    counted = compare([TOP, TOP], kind, range(8), seed=1)
    assert counted["asked"] == 8
    assert not counted["answers"]
    assert not counted["words"]
    assert not counted["faults"]


@pytest.mark.slow
def test_another_package_is_asked_where_its_path_is_given(tmp_path: Path) -> None:
    copy = tmp_path / "lstmcli"
    copytree(PACKAGE, copy, ignore=ignore_patterns("__pycache__"))
    errors = copy / "errors.py"
    broken = "\nUserError.__str__ = lambda self: 'another message'\n"
    errors.write_text(errors.read_text() + broken)
    counted = compare([TOP, str(tmp_path)], "runs", range(20), seed=1)
    assert counted["answers"] + counted["words"] == counted["refused"] > 0
