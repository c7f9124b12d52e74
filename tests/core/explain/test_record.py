"""What `explain` answers is what it answered: ``answers.jsonl`` has a line a question.

A difference that is meant is written into the file by ``python -m tests.core.explain.record``, and
shown by its ``--compare``, which compares the words too.
"""

from __future__ import annotations

import pytest

from tests.core.explain.asking import same
from tests.core.explain.questions import group_of, is_spoiled, questions, truth_of
from tests.core.explain.record import asked, differences, recorded

WORDS = False  # whether notes are compared too: they change more often, with tests of their own
RECORD = recorded()
GROUPS = sorted(set(map(group_of, RECORD)))
SAMPLE = [
    name
    for name in sorted(RECORD)
    if name.startswith(("matrix/", "golden/", "refusal/", "class/", "half precision/"))
    and not name.startswith(("matrix/128", "class/shape"))
][::61]


@pytest.mark.slow
def test_every_question_has_its_line() -> None:
    assert list(RECORD) == sorted(questions())


@pytest.mark.slow
def test_what_is_recorded_is_right() -> None:
    """What a question was made with is answered, and nothing where no setting gives EXPECTED."""
    held = 0
    for name, line in RECORD.items():
        truth = truth_of(name)
        if is_spoiled(name):
            assert line["verdict"] in ("none", "unproven"), line
        elif truth is not None:
            verdict, changes = truth
            assert line["verdict"] == verdict, line
            assert same(line.get("changes", {}), changes, "4 digits" if "4 digits" in name else "")
            assert "equals" not in line, "these data single it out"
        held += is_spoiled(name) or truth is not None
    assert held > 0.8 * len(RECORD)


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.slow
def test_an_answer_is_as_recorded(name: str) -> None:
    assert not differences(RECORD[name], asked(name)[0], WORDS)


@pytest.mark.wide
@pytest.mark.parametrize("group", GROUPS)
def test_all_answers_are_as_recorded(group: str) -> None:
    names = [name for name in RECORD if group_of(name) == group]
    found = [line for name in names for line in differences(RECORD[name], asked(name)[0], WORDS)]
    assert not found, "\n".join(found)


def test_a_difference_is_told() -> None:
    was = RECORD["matrix/float32 0/forget-2.5"]
    assert not differences(was, was)
    near, far = ({**was, "changes": {"forget_bias": 2.5 + off}} for off in (5e-5, 1e-3))
    assert not differences(was, near)
    assert len(differences(was, far)) == 1
    assert len(differences(was, {**was, "verdict": "none", "evidence": 1.0})) == 2
    assert differences(was, {**was, "words": {"notes": ["1 of 21"]}})
    assert not differences(was, {**was, "words": {"notes": ["1 of 21"]}}, words=False)
