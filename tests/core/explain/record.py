"""``python -m tests.core.explain.record``: what `explain` answers, a line of JSON a question.

It writes the whole record to stdout. With the start of names (``matrix/`` or a whole name) it asks
those, and with ``--compare`` it prints what differs from ``answers.jsonl`` instead. Milliseconds
of processor time go to stderr by group, and by question into the file of ``--times``; they are not
compared.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np

from lstmcli.api.explain import Explanation
from lstmcli.errors import UserError
from tests.core.explain.asking import found, settings_give
from tests.core.explain.questions import group_of, question, questions

FILE = Path(__file__).parent / "answers.jsonl"
MEASURED = re.compile(r"\d+(\.\d+)?e[+-]\d+|\d+\.\d+")
Line = dict[str, Any]


def line_of(name: str, explanation: Explanation | UserError) -> Line:
    """The recorded line: the answer, its evidence, and its words, which change more often."""
    if isinstance(explanation, UserError):
        return {
            "question": name,
            "verdict": "refused",
            "words": {"error": str(explanation)},
        }
    document = explanation.to_json()
    evidence = None if explanation.evidence is None else float(explanation.evidence)
    equals = [
        _settings(one) for one in document["equivalent"]
    ]  # edits: those of test_edits
    line: Line = {
        "question": name,
        "verdict": document["verdict"],
        "changes": _settings(document["changes"]),
        "equals": sorted((one for one in equals if "edit" not in one), key=json.dumps),
        "unseen": sorted(document["not_seen"]),
        "evidence": None
        if evidence is None or not np.isfinite(evidence)
        else round(evidence, 1),
        "words": {
            "taken": document["taken"],
            "notes": document["notes"],
            "decide": document["decide"],
            "nearest": [_settings(near["changes"]) for near in document["nearest"][:1]]
            if document["verdict"] == "none"
            else [],
        },
    }
    line["words"] = {key: value for key, value in line["words"].items() if value}
    return {key: value for key, value in line.items() if value not in ({}, [], None)}


def _settings(changes: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        change["setting"]: float(f"{found:.6g}") if isinstance(found, float) else found
        for change in changes
        for found in [change["found"]]
    }


def asked(name: str) -> tuple[Line, float]:
    """The line of a question as it is answered now, and the seconds of processor time it took.

    The settings of an answer are in it where a run with them does not give EXPECTED.
    """
    with TemporaryDirectory() as folder:
        asking = question(name)(Path(folder))
        begun = process_time()
        try:
            answer = asking.explain()
        except UserError as error:
            refused = UserError(str(error).replace(folder, "FOLDER"))
            return line_of(name, refused), process_time() - begun
        line, seconds = line_of(name, answer), process_time() - begun
        if (
            answer.found
            and "dtype" not in found(answer)
            and not settings_give(asking, answer)
        ):
            line["settings"] = dict(answer.settings)
        return line, seconds


def recorded() -> dict[str, Line]:
    """The lines of the file by question."""
    lines = [json.loads(line) for line in FILE.read_text().splitlines()]
    return {line["question"]: line for line in lines}


def differences(was: Line, now: Line, words: bool = True) -> list[str]:
    """The differences of two lines of a question; constants may differ within EXPECTED's digits."""
    near = 2e-2 if "4 digits" in was["question"] else 1e-4
    keys = sorted({*was, *now} - (set() if words else {"words"}))
    return [
        f"{was['question']}: {key} was {was.get(key)}, is {now.get(key)}"
        for key in keys
        if not _alike(was.get(key), now.get(key), 0.15 if key == "evidence" else near)
    ]


def _alike(a: Any, b: Any, near: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key], near) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(
            _alike(x, y, near) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, float) and isinstance(b, (float, int)) and not isinstance(b, bool):
        return abs(a - b) <= near
    if isinstance(a, str) and isinstance(
        b, str
    ):  # rounding may be another on another machine
        return MEASURED.sub("#", a) == MEASURED.sub("#", b)
    return bool(a == b)


def _table(times: Mapping[str, float]) -> Iterator[str]:
    """Milliseconds of each group."""
    by_group: dict[str, list[float]] = {}
    for name, seconds in times.items():
        by_group.setdefault(group_of(name), []).append(seconds * 1e3)
    yield f"{'group':42}{'questions':>10}{'median ms':>11}{'greatest':>10}{'sum s':>9}"
    for group, ms in by_group.items():
        yield f"{group:42}{len(ms):>10}{median(ms):>11.0f}{max(ms):>10.0f}{sum(ms) / 1e3:>9.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.core.explain.record")
    parser.add_argument("names", nargs="*", help="questions, or how their names start")
    parser.add_argument(
        "--compare", action="store_true", help="print what differs from the file"
    )
    parser.add_argument("--no-words", action="store_true", help="compare all but notes")
    parser.add_argument("--times", metavar="FILE", help="milliseconds of each question")
    given = parser.parse_args()
    starts = tuple(given.names) or ("",)
    names = sorted(name for name in questions() if name.startswith(starts))
    if not names:
        parser.error("no question has such a name")
    before = recorded() if given.compare else {}
    times: dict[str, float] = {}
    new: list[str] = []
    for name in names:
        line, times[name] = asked(name)
        if not given.compare:
            print(
                json.dumps(line, sort_keys=True, ensure_ascii=False, allow_nan=False),
                flush=True,
            )
        else:
            was = before.get(name, {"question": name})
            further = differences(was, line, not given.no_words)
            print(*further, sep="\n", end="\n" * bool(further), flush=True)
            new += further
    print(*_table(times), sep="\n", file=sys.stderr)
    if given.times:
        rows = [f"{seconds * 1e3:.1f}\t{name}\n" for name, seconds in times.items()]
        Path(given.times).write_text("".join(rows))
    return int(bool(new))


if __name__ == "__main__":
    sys.exit(main())
