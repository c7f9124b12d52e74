"""``python -m tests.core.explain.padded FILE...``: ask what ``padded_questions.py`` recorded.

A line of JSON a question: whether the answer is right, and what it was. An answer is false if it is
given as found and neither it nor one that it calls equal is what the question was made with.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from lstmcli.api.explain import explain
from tests.core.explain.asking import found, same


def asked(path: Path) -> dict[str, Any]:
    """The answer to a question, and whether it is ``right``, ``equal``, ``missed`` or ``false``."""
    arrays = dict(np.load(path))
    about = json.loads(str(arrays["about"]))
    weights = {
        k.removeprefix("weights/"): v for k, v in arrays.items() if k[:8] == "weights/"
    }
    x, lengths, truth = arrays["inputs"], arrays["lengths"], dict(about["true"])
    steps = x.shape[1]
    if not about["given"] and (lengths < steps).any():
        truth["lengths"] = tuple(lengths.tolist())
    is_padded = about["part"] == "full" and (lengths < steps).any()
    truth |= {"masked_output": "repeat"} if about["repeats"] and is_padded else {}
    given = {"lengths": lengths} if about["given"] else {}
    given |= {"layer": about["layer"]} if about["layer"] else {}
    begun = process_time()
    answer = explain(
        weights, x, arrays["expected"], layout="batch", **given, **about["wrong"]
    )
    seconds = process_time() - begun
    equals = [{c.setting: c.found for c in one} for one in answer.equivalent]
    outcome = "missed"
    if answer.found and same(found(answer), truth, ""):
        outcome = "right"
    elif answer.found:
        outcome = "equal" if any(same(one, truth, "") for one in equals) else "false"
    return {
        "question": path.stem, "outcome": outcome, "seconds": round(seconds, 2), "truth": truth,
        "verdict": answer.verdict, "changes": found(answer), "taken": answer.words.taken,
        **{k: about[k] for k in ("part", "given", "sizes")}, "notes": answer.notes,
    }  # fmt: skip


if __name__ == "__main__":
    counts: Counter[str] = Counter()
    for name in sys.argv[1:]:
        line = asked(Path(name))
        counts[line["outcome"]] += 1
        print(json.dumps(line), flush=True)
    print(dict(counts), file=sys.stderr)
