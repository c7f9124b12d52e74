"""A command again and again, with ever more memory.

A process that has imported everything forks one for each limit, from nothing beyond what is in use
to what the command needs, in `STEPS` steps.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import shutil
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.faults import running
from tests.faults.cases import Case
from tests.faults.running import OLD, Ended
from tests.fuzz.guard import in_use

STEPS = 30
LIKELY = ("run-npz", "run-json", "run-npz-pieces", "convert-safetensors", "plot-png",
          "diff-svg", "derive-svg", "inspect-svg")  # fmt: skip
"""The command of a test; the small question of explain needs less than the first guess."""

SEQUENCES, TIME, INPUTS, UNITS = 32, 50, 128, 64  # inputs of 1.6 MB, a trace of 5 MB
FIRST, MOST = (
    1 << 14,
    1 << 31,
)  # bytes of the first guess at what is needed, and of the last


def findings(case: Case, folder: Path) -> Iterator[str]:
    """The faults found at each limit; empty if there are none."""
    assert running.run(case.words, folder).status in (0, 1)  # all is imported
    _make_large(folder)
    for output in case.outputs:
        (folder / output).write_bytes(OLD)
    before = running.contents(folder)
    good = _forked(case, folder, None)
    assert good.status in (0, 1), good.err
    need = FIRST
    while need < MOST:
        running.restore(folder, before)
        if _forked(case, folder, need) == good:
            break
        need *= 2
    short = 0
    for step in range(STEPS):
        running.restore(folder, before)
        ended = _forked(case, folder, need * step // STEPS)
        short += ended.status not in (0, 1)
        wrong = _wrong(case, before, good, ended)
        yield f"with {need * step // STEPS:,} bytes: {wrong}" if wrong else ""
    assert short, f"none of {STEPS} limits up to {need:,} bytes is too small"


def _make_large(folder: Path) -> None:
    """Weights and inputs that take some memory."""
    rng = np.random.default_rng(0)
    np.save(folder / "inputs.npy", rng.normal(size=(SEQUENCES, TIME, INPUTS)))
    kernel = rng.normal(size=(INPUTS + UNITS, 4 * UNITS))
    shutil.copy(folder / "inputs.npy", folder / "other.npy")
    np.save(folder / "expected.npy", rng.normal(size=(SEQUENCES, TIME, UNITS)))
    np.savez(folder / "weights.npz", kernel=kernel, bias=np.zeros(4 * UNITS))


def _forked(case: Case, folder: Path, limit: int | None) -> Ended:
    """How a command ends in a process of its own; its status is negative after a signal."""
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            ended = running.run(case.words, folder, _limited(limit))
            with os.fdopen(write, "wb") as stream:
                pickle.dump(ended, stream)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        name = signal.Signals(-status).name if status < 0 else ""
        return Ended(status, b"", name, running.contents(folder))
    found: Ended = pickle.loads(answer)
    return found


@contextmanager
def _limited(limit: int | None) -> Iterator[None]:
    """Let this process take so much memory beyond what is in use, within a ``with``."""
    ctypes.CDLL(None).malloc_trim(
        0
    )  # what is free in this process would be more memory
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (soft if limit is None else in_use() + limit, hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _wrong(case: Case, before: dict[str, bytes], good: Ended, ended: Ended) -> str:
    """The broken promises of a command that had too little memory."""
    if ended.status in (0, 1):
        return "" if ended == good else f"another result: {ended.err}"
    if ended.status != 2:
        return f"status {ended.status}: {ended.err}"
    changed = {name for name, data in ended.files.items() if before.get(name) != data}
    if changed or before.keys() - ended.files.keys():
        return f"changed {sorted(changed)}: {ended.err}"
    if (
        not ended.err.startswith("lstm ")
        or "memory" not in ended.err
        or "Traceback" in ended.err
    ):
        return f"no message: {ended.err}"
    return ""
