"""Pairs for `diff`: forms of a run and of another one, in memory and in files, under options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import lstmcli
from tests.compare.question import Question, Rng, one_of, some_of, tensors
from tests.core.diff.test_random_pairs import CHANGES, form

OPTIONS: dict[str, list[Any]] = {
    "rtol": [1e-3, 0, 1e-6, -1.0], "atol": [1e-3, 0, 1e-6, "x"], "ulp": [0, 2, 1000],
    "equal_nan": [True], "layout": ["batch", "time", "rows"], "padding": [True],
    "only": ["h", "c", "h,c", "final_h", "layer0.h", "x"],
    "steps": ["0:2", "1", "-1", "9:", "0,2", "a", 0], "batch": ["0", "1:", "7", "-1"],
    "units": ["0", "1:", "0,2", "99"],
}  # fmt: skip
NAMES = ("h", "output", "out", "hs", "c", "final_h", "layer0.h", "rnn/outputs", "f")
KINDS = ("array", "dict", "npy", "npz", "txt", "json", "csv")
SAVED = ("npz", "json", "jsonl", "csv", "tsv", "txt", "npy")


def question(rng: Rng, folder: Path) -> Question:
    """Two sides; where both are files, one in three is asked on the command line."""
    sides = _traces(rng, folder) if rng.random() < 0.4 else _forms(rng, folder)
    if rng.random() < 0.5:
        sides.reverse()
    options = some_of(rng, OPTIONS)
    if not all(isinstance(side, str) for side in sides) or rng.random() < 0.7:
        return Question("diff", {"sides": sides, "options": options})
    words = ["diff", *sides, *one_of(rng, [[], ["-f", "json"], ["--per-step"]])]
    for name, value in options.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return Question("commands", {"lines": [words]})


def _forms(rng: Rng, folder: Path) -> list[Any]:
    """A run of two directions in two forms, of which one is changed; either may be cut."""
    h = rng.normal(size=rng.integers(1, 7, 4) * [1, 1, 0, 1] + [0, 0, 2, 0])
    change = one_of(rng, [*CHANGES.values()])
    sides = []
    for name, run in (("a", h), ("b", change(h, rng).copy())):
        array = form(run, rng).array.astype(one_of(rng, ["f8", "f8", "f4", "f2"]))
        whole = array[:]
        cuts = (array[..., :1], array[int(rng.integers(len(array)))], array[:2])
        sides.append(_held(rng, one_of(rng, [*cuts, *[whole] * 5]), folder / name))
    return sides


def _held(rng: Rng, array: Any, path: Path) -> Any:
    """An array by itself or beside others, in memory or as the name of a file of some kind."""
    named = {one_of(rng, NAMES): array}
    if rng.random() < 0.3:
        named[one_of(rng, NAMES)] = one_of(rng, [array[-1], array + 1])
    kind = one_of(rng, KINDS)
    path = path.with_suffix(f".{kind}")
    if kind == "array":
        return array
    if kind == "dict":
        return named
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, **named)
    elif kind == "json":
        values = {name: one.tolist() for name, one in named.items()}
        path.write_text(json.dumps(values))
    elif kind == "csv":
        rows = array.reshape(-1, array.shape[-1])
        header = ",".join(f"h[{unit}]" for unit in range(rows.shape[1]))
        np.savetxt(path, rows, delimiter=",", header=header, comments="")
    else:
        digits, most = int(rng.integers(2, 10)), one_of(rng, [20, 10**6])
        with np.printoptions(precision=digits, threshold=most):
            path.write_text(f"{array}\n")
    return path.name


def _traces(rng: Rng, folder: Path) -> list[Any]:
    """Saved runs of a network, the second perhaps under another setting."""
    T, B, I, H = (int(n) for n in rng.integers(1, 6, 4))
    weights, x = tensors(rng, I, H), rng.normal(size=(T, B, I))
    given: dict[str, Any] = {"layout": "time", "keep": ("h", "c", "f")}
    if rng.random() < 0.3:
        given["lengths"] = rng.integers(1, T + 1, B)
    changes: list[dict[str, Any]] = [
        {}, {}, {"forget_bias": 0.5}, {"gates": "iofg"}, {"dtype": "float32"}
    ]  # fmt: skip
    sides = []
    for name, settings in (("a", {}), ("b", one_of(rng, changes))):
        sides.append(f"{name}.{one_of(rng, SAVED)}")
        trace = lstmcli.run(weights, x, **{**given, **settings})
        lstmcli.save(trace, folder / sides[-1])
    return sides
