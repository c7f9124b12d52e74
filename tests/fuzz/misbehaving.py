"""Readers that do what none should; status 1 if the session misses one, or finds one that is none.

A module to run, as an audit hook cannot be taken back.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats import npy
from lstmcli.formats.files.source import Opened
from tests.fuzz import corpus, guard
from tests.fuzz.session import Session


def allocates_and_says_something_else(_: Opened) -> None:
    try:
        np.ones(1 << 28)
    except MemoryError:
        raise UserError("it is corrupt.") from None


def never_ends(_: Opened) -> None:
    while True:
        try:
            time.sleep(1)
        except Exception:
            pass


def raises(_: Opened) -> None:
    raise ValueError("for nobody")


def writes_a_control_character(_: Opened) -> None:
    print("\x1b]0;a title\x07")
    raise UserError("it is corrupt.")


def is_well_behaved(file: Opened) -> None:
    raise UserError(f"{file.source}: it is corrupt.")


OPENED, MEMORY = "opened or done: ", "more memory than a file may take"
READERS = (
    (
        lambda file: Path(str(file.path), "../../outside.npz").resolve().read_bytes(),
        f"{OPENED}open '",
    ),
    (lambda file: Path(f"{file.path}.new").write_bytes(b""), f"{OPENED}open '"),
    (lambda _: os.listdir("/"), f"{OPENED}os.listdir '/'"),
    (lambda _: subprocess.run(["true"], check=True), f"{OPENED}subprocess.Popen"),
    (lambda _: exec("1"), f"{OPENED}exec"),
    (lambda _: socket.getaddrinfo("localhost", 80), f"{OPENED}socket.getaddrinfo"),
    (lambda _: np.ones(1 << 28), MEMORY),
    (allocates_and_says_something_else, MEMORY),
    (never_ends, "Overdue"),
    (raises, "ValueError: for nobody"),
    (
        lambda _: warnings.warn("high", RuntimeWarning, stacklevel=1),
        "RuntimeWarning: high",
    ),
    (writes_a_control_character, "a control character on the screen"),
    (is_well_behaved, ""),
)
"""A reader of .npy files, and what has to be found of it."""


def main() -> int:
    """Read one file by each."""
    guard.SECONDS = 1
    audit = guard.Audit()
    sample = corpus.samples_of("npy")[0]
    failed = 0
    for number, (reader, text) in enumerate(READERS):
        with Session(audit, "npy") as session:
            session.inputs[sample.name] = ""  # not read as it is
            npy.read = lambda file, *_, reader=reader, **__: reader(file)
            found = [*session.failures(corpus.Variant(sample, sample.files), 6)]
        if not (text in " ".join(found) if text else not found):
            failed += 1
            print(
                f"reader {number}: {text or 'nothing'} is expected, found",
                *map(ascii, found),
            )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
