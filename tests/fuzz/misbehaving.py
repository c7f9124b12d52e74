"""Readers that do what none should: one line of output tells what is found of each.

A module to run, as an audit hook cannot be taken back.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats import npy
from lstmcli.formats.files.source import Opened
from tests.fuzz import corpus, guard
from tests.fuzz.session import Session


def opens_another_file(file: Opened) -> None:
    with open(Path(str(file.path)).parent / "../outside.npz", "rb"):
        pass


def writes_a_file(file: Opened) -> None:
    with open(f"{file.path}.new", "wb"):
        pass


def lists_a_folder(_: Opened) -> None:
    os.listdir("/")


def starts_a_process(_: Opened) -> None:
    subprocess.run(["true"], check=True)


def runs_code(_: Opened) -> None:
    exec("1")


def asks_the_network(_: Opened) -> None:
    socket.getaddrinfo("localhost", 80)


def allocates(_: Opened) -> None:
    np.ones(1 << 28)


def allocates_and_says_something_else(_: Opened) -> None:
    try:
        np.ones(1 << 28)
    except MemoryError:
        raise UserError("it is damaged.") from None


def never_ends(_: Opened) -> None:
    while True:
        try:
            time.sleep(1)
        except Exception:
            pass


def raises(_: Opened) -> None:
    raise ValueError("for nobody")


def warns(_: Opened) -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def writes_a_control_character(_: Opened) -> None:
    print("\x1b]0;a title\x07")
    raise UserError("it is damaged.")


def is_well_behaved(file: Opened) -> None:
    raise UserError(f"{file.source}: it is damaged.")


READERS = (
    opens_another_file, writes_a_file, lists_a_folder, starts_a_process, runs_code,
    asks_the_network, allocates, allocates_and_says_something_else, never_ends, raises, warns,
    writes_a_control_character, is_well_behaved,
)  # fmt: skip


def main() -> None:
    guard.SECONDS = 1
    audit = guard.Audit()
    sample = corpus.samples_of("npy")[0]
    for reader in READERS:
        with Session(audit, "npy", 1) as session:
            session.inputs[sample.name] = ""  # not read as it is
            npy.read = lambda file, *_, reader=reader: reader(file)
            found = [*session.failures_of(corpus.Variant(sample, sample.files), 6)]
        print(reader.__name__, *map(ascii, found), flush=True)


if __name__ == "__main__":
    main()
