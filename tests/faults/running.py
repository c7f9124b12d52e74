"""A command in this process, and what it leaves: its status, its words, the files of the folder."""

from __future__ import annotations

import io
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from lstmcli import engines
from lstmcli.api import save
from lstmcli.cli import invoke, process
from tests.engines.fake import fake
from tests.faults.cases import PIECES

LARGE = save.PIECES_FROM
OLD = b"what was there before"


class Ended(NamedTuple):
    """How a command ended; the status is None after an exception."""

    status: int | None
    out: bytes
    err: str
    files: Mapping[str, bytes]  # of the folder, by name


def run(
    words: str, folder: Path, within: AbstractContextManager[None] | None = None
) -> Ended:
    """Run a command line in a folder, within a context."""
    with _streams(folder) as (out, err):
        status = None
        try:
            with within or nullcontext():
                status = invoke(shlex.split(words))
        except Exception:
            traceback.print_exc(limit=-4)
    return Ended(status, out.read_bytes(), err.getvalue(), contents(folder))


@contextmanager
def _streams(folder: Path) -> Iterator[tuple[Path, io.StringIO]]:
    """Standard output as the command has it, into a file next to the folder, and standard error."""
    path, err = folder.parent / "stdout", io.StringIO()
    before = sys.stdout, sys.stderr
    raw = open(path, "w", encoding="utf-8")  # noqa: SIM115 (closed below)
    sys.stdout, sys.stderr = raw, err
    process.name_standard_output()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield path, err
    finally:
        sys.stdout.detach()  # what could not be written to it is dropped
        sys.stdout, sys.stderr = before
        raw.close()


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder and of those in it, by name; a folder has an entry too."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def restore(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder hold these files and no others; those that are the same are left alone."""
    now = contents(folder)
    folders = {str(parent) for name in files for parent in Path(name).parents}
    for name in sorted(now.keys() - files.keys() - folders, reverse=True):
        path = folder / name
        path.rmdir() if path.is_dir() else path.unlink()
    for name, data in files.items():
        if now.get(name) != data:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def set_pieces(name: str) -> None:
    """Have large results begin at one byte, for a case that is of these."""
    save.PIECES_FROM = 0 if name.endswith(PIECES) else LARGE


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder, which is the current one, for commands that need no framework."""
    np.seterr(all="ignore")
    install_engines()
    os.environ |= {"COLUMNS": "100"}
    with TemporaryDirectory() as top:
        folder = Path(os.path.realpath(top), "files")
        folder.mkdir()
        with chdir(folder):
            yield folder


def install_engines() -> None:
    """Our own loop in the place of every framework, so that `lstm check` needs none."""
    for name in engines.NAMES:
        module: Any = import_module(f"lstmcli.engines.{name.replace('-', '_')}")
        module.ENGINE = fake(name)


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
