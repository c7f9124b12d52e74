"""Answers of `explain` are as recorded: ``answers.jsonl`` has a line for each question.

A difference that is meant is written into the file by ``python -m tests.core.explain.record``, and
shown by its ``--compare``, which compares the words too.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.core.explain.asking import same
from tests.core.explain.matrix import PAIRS, SINGLES
from tests.core.explain.networks import DEEP, MERGES, Asked, long, name_of
from tests.core.explain.questions import (
    REMARKED,
    group_of,
    is_spoiled,
    question,
    questions,
    truth_of,
)
from tests.core.explain.record import Line, asked, differences, recorded
from tests.processes import python

WORDS = False  # whether notes are compared too: they change more often, with tests of their own
RECORD = recorded()
GROUPS = sorted(set(map(group_of, RECORD)))
SAMPLE = [
    name
    for name in sorted(RECORD)
    if name.startswith(("matrix/", "golden/", "refusal/", "class/", "half precision/"))
    and not name.startswith(("matrix/128", "class/shape"))
][::61]
LONG = [f"network/long {name}" for name, _ in long()]
LARGE = [
    "network/long stack/a row, forget_bias=0.0, 30x64, 6 digits",
    "network/long directions/all of h, gates=ifgo + forget_bias=0.0, 40x64, float64",
    "network/long both/all of h, bias=none, 30x64, 6 digits",
]
QUICK = [
    *LARGE,
    *(f"matrix/8 digits 0/{row.name}" for row in PAIRS if row.threads or "gate clip" in row.name),
    *(f"network/merged, float32/{one}, {name_of(truth)}" for one, truth in MERGES[::4]),
    *(f"network/stacked/{name_of(truth)}, float32" for truth in DEEP[1:5:3]),
    *(f"refusal/{kind}/2 units, 1 steps, float32, 0" for kind in ("near miss", "other net")),
    *(f"class/chaotic/{truth}" for truth in ("as loaded", "forget_bias=0.0", "gates=ifgo")),
    *(f"golden/{case}, {wrong}" for wrong in ("as loaded", "forget bias") for case in (
        "keras, all/plain", "tensorflow1, all/lstm_cell", "torch, all/two_layers_bidirectional",
        "onnxruntime, all/lengths", "haiku, all/deep", "tflite, all/layer_norm",
        "chainer, all/nstep", "flax, all/linen", "onnxruntime, all/bidirectional",
        "keras, all/bidirectional_mask",
    )),
]  # fmt: skip
SINGLE = {
    (*row.truth,): f"matrix/float32 0/{row.name}" for row in SINGLES
}  # by its setting
RUN_OTHERWISE = [name for name in sorted(RECORD) if name.startswith("class/execution/")]
MISSED = {
    "network/long directions/last h, "
    "layer0.transposed=recurrent + layer0_reverse.bias=none, 60x96, float64"
}
"""Questions that are not answered rightly; a name is taken away when it is.

The last step of a backward cell is its first, where no recurrent kernel shows.
"""


def is_right(line: Line) -> bool | None:
    """Return whether an answer has the changes that made its question, and no others.

    It is None where the data hide that. Where no setting gives EXPECTED, nothing is to be found.
    """
    name, truth = line["question"], truth_of(line["question"])
    if is_spoiled(name):
        return line["verdict"] in ("none", "unproven")
    if truth is None:
        return None
    verdict, changes = truth
    form = "4 digits" if "4 digits" in name else ""
    answered = line["verdict"] == verdict and same(
        line.get("changes", {}), changes, form
    )
    return answered and "equals" not in line


@pytest.mark.parametrize("code", REMARKED)
@pytest.mark.sampled(2)
def test_a_remark_that_hardly_any_answer_has(code: str, tmp_path: Path) -> None:
    asking = question(f"class/remark/{code}")(tmp_path)
    assert code in [remark.code for remark in asking.explain().remarks]


@pytest.mark.slow
def test_every_question_has_its_line() -> None:
    assert list(RECORD) == sorted(questions())


@pytest.mark.slow
def test_recorded_answers_are_right() -> None:
    right = {name: is_right(line) for name, line in RECORD.items()}
    assert {name for name, held in right.items() if held is False} == MISSED
    for name in (
        MISSED
    ):  # no false cause is given; a change of all cells may be one of some as well
        assert RECORD[name]["verdict"] == "none" or RECORD[name]["equals"]
    assert sum(held is not None for held in right.values()) > 0.8 * len(RECORD)


def test_networks_as_large_as_people_have_are_asked() -> None:
    assert len(LONG) >= 60
    assert {name for name in RECORD if name.startswith("network/long")} == set(LONG)
    assert {*LARGE} <= {*LONG} - MISSED
    for _, given in long():
        steps, _rows, _inputs, units = given["size"]
        assert 30 <= steps <= 60
        assert 64 <= units <= 128


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.sampled(2)
def test_an_answer_is_right_and_as_recorded(name: str) -> None:
    line, _ = asked(name)
    assert is_right(line), line
    assert not differences(RECORD[name], line, WORDS)


@pytest.mark.parametrize("name", [*SAMPLE, *SINGLE.values(), *RUN_OTHERWISE])
@pytest.mark.slow
def test_an_answer_is_as_recorded(name: str) -> None:
    assert not differences(RECORD[name], asked(name)[0], WORDS)


@pytest.mark.wide
@pytest.mark.parametrize("group", GROUPS)
def test_all_answers_are_as_recorded(group: str) -> None:
    names = [name for name in RECORD if group_of(name) == group]
    found = [
        line
        for name in names
        for line in differences(RECORD[name], asked(name)[0], WORDS)
    ]
    assert not found, "\n".join(found)


def test_a_difference_is_reported() -> None:
    was = RECORD["matrix/float32 0/forget-2.5"]
    assert not differences(was, was)
    near, far = ({**was, "changes": {"forget_bias": 2.5 + off}} for off in (5e-5, 1e-3))
    assert not differences(was, near)
    assert len(differences(was, far)) == 1
    assert len(differences(was, {**was, "verdict": "none", "evidence": 1.0})) == 2
    assert differences(was, {**was, "words": {"notes": ["1 of 21"]}})
    assert not differences(was, {**was, "words": {"notes": ["1 of 21"]}}, words=False)


# ---- the same question has the same answer, byte for byte, with any number of threads


VARIABLE = "OPENBLAS_NUM_THREADS"


def lstm(*words: object, cwd: Path, **environment: str) -> str:
    """The output of a command in a new process: BLAS counts its threads at the start."""
    without = "" if environment else VARIABLE
    done = python("-m", "lstmcli", *words, cwd=cwd, without=without, **environment)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "found"), (1e-3, "none")])
def test_an_answer_is_the_same_with_any_number_of_threads(
    noise: float, verdict: str, tmp_path: Path
) -> None:
    asked = Asked(tmp_path, 0, "threads", deep=True, size=(10, 3, 16, 64))
    np.save(tmp_path / "x.npy", asked.x)
    files = ("w.npz", "x.npy", "--layout", "batch")
    of_run = ("run", *files, "--forget-bias", 0.3, "--only", "h", "-q", "-o", "h.npz")
    answers = []
    environments: list[dict[str, str]] = [{}, {VARIABLE: "1"}, {VARIABLE: "2"}]
    for threads, environment in zip("122", environments, strict=True):
        lstm(*of_run, "--threads", threads, cwd=tmp_path, **environment)
        with np.load(tmp_path / "h.npz") as members:
            h = members["h"]
        np.save(
            tmp_path / "e.npy",
            h + noise * np.random.default_rng(0).normal(size=h.shape),
        )
        question = (
            "explain",
            "w.npz",
            "x.npy",
            "e.npy",
            "--layout",
            "batch",
            "-f",
            "json",
        )
        answers.append(lstm(*question, cwd=tmp_path, **environment))
    assert len({*answers}) == 1
    assert json.loads(answers[0])["verdict"] == verdict
