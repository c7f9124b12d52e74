"""The same question has the same answer, byte for byte, with any number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.core.explain.networks import Asked
from tests.paths import TOP

VARIABLE = "OPENBLAS_NUM_THREADS"


def lstm(*words: object, cwd: Path, **environment: str) -> bytes:
    """What a command prints in a process of its own: BLAS counts its threads at the start."""
    others = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "lstmcli", *map(str, words)], cwd=cwd, capture_output=True,
        env={**others, "PYTHONPATH": str(TOP), **environment}, check=False,
    )  # fmt: skip
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
        np.save(tmp_path / "e.npy", h + noise * np.random.default_rng(0).normal(size=h.shape))
        question = ("explain", "w.npz", "x.npy", "e.npy", "--layout", "batch", "-f", "json")
        answers.append(lstm(*question, cwd=tmp_path, **environment))
    assert len({*answers}) == 1
    assert json.loads(answers[0])["verdict"] == verdict
