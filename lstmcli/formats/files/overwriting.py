"""Outputs that would overwrite an input or each other, or that cannot be files, are rejected."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from lstmcli.errors import STDIN, UserError
from lstmcli.outputs import unwritable

_outputs: ContextVar[tuple[str, ...]] = ContextVar("outputs", default=())


def refuse_overwriting(outputs: Sequence[str], inputs: Sequence[str]) -> None:
    """Refuse an output that cannot be a file, is one of the inputs, or is another output.

    Files are the same by their real paths, or by what they are on the disk (a hard link). The
    input ``-`` is the file behind standard input, if there is one; devices and pipes lose nothing
    by being written.
    """
    taken = {key: path for path in inputs for key in _keys(path)}
    if "-" in inputs:
        taken |= dict.fromkeys(_stdin_keys(), STDIN)
    for path in outputs:
        refuse_place(path)
        keys = _keys(path)
        if found := [taken[key] for key in keys if key in taken]:
            raise UserError(f"{path} would be written over {found[0]}; choose another name.")
        taken |= dict.fromkeys(keys, f"the other output, {path}")


def refuse_place(path: str) -> None:
    """Refuse an output that is a folder, or in a folder that does not exist; links are followed.

    An empty path is the current folder.
    """
    if not path or os.path.isdir(path):
        raise UserError(f'"{path}" is a folder; name a file to write.')
    if "\0" in path:
        raise unwritable(path, ValueError("zero byte in the name"))
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        missing = folder if os.path.islink(path) else os.path.dirname(path)
        raise UserError(f"{path} cannot be written: there is no folder {missing}.")


@contextmanager
def outputs_protected(outputs: Sequence[str], inputs: Sequence[str]) -> Iterator[None]:
    """`refuse_overwriting`, now and for every file that is opened within.

    A file may name others that belong to it, such as shards, which are known only once it is read.
    """
    refuse_overwriting(outputs, inputs)
    token = _outputs.set(tuple(outputs))
    try:
        yield
    finally:
        _outputs.reset(token)


def refuse_to_read_an_output(path: str) -> None:
    """Refuse a file that is about to be read and that the running command will write."""
    if outputs := _outputs.get():
        refuse_overwriting(outputs, [path])


def _keys(path: str) -> tuple[object, ...]:
    """Keys that identify a file; none for a device or a pipe, which have no contents to lose."""
    if path in ("", "-") or "\0" in path:
        return ()
    try:
        status = os.stat(path)
    except OSError:  # not there yet
        return (os.path.realpath(path),)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return ()
    return os.path.realpath(path), (status.st_dev, status.st_ino)


def _stdin_keys() -> tuple[object, ...]:
    """The key of the file that standard input is redirected from; none if it is no file."""
    try:
        status = os.fstat(0)
    except OSError:  # closed
        return ()
    return ((status.st_dev, status.st_ino),) if stat.S_ISREG(status.st_mode) else ()
