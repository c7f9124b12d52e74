"""What `explain` answers is what it answered: ``answers.jsonl`` has a line a question.

A difference that is meant is written into the file by ``python -m tests.core.explain.record``, and
shown by its ``--compare``, which compares the words too.
"""

from __future__ import annotations

import pytest

from tests.core.explain.questions import group_of, questions
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


def test_every_line_has_its_question() -> None:
    """Cases of frameworks that are newer than the record are asked in test_goldens alone."""
    assert list(RECORD) == sorted(RECORD)
    assert not RECORD.keys() - questions().keys()
    assert all(name.startswith("golden/") for name in questions().keys() - RECORD.keys())


@pytest.mark.parametrize("name", SAMPLE)
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
