"""Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.paths import TOP

HANGING = 600  # seconds after which a test is ended; none depends on how many they are


def python(
    *words: object,
    cwd: Path = TOP,
    without: str = "",
    given: str | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """How Python ended with these words, standard input and variables of the environment.

    It finds lstmcli wherever it runs; ``without`` is a variable that it does not have.
    """
    environment = {**os.environ, "PYTHONPATH": str(TOP), **variables}
    environment.pop(without, None)
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env=environment, input=given,
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
