"""Writing a file completely or not at all."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from lstmcli.errors import UserError
from lstmcli.outputs import OutputFile, errors_named, unwritable


@contextmanager
def atomically(path: str) -> Iterator[BinaryIO]:
    """Write a file completely or not at all.

    The bytes go to a temporary file in the target's folder, which takes its name in the end;
    on any exception, Ctrl-C included, it is removed and an earlier file stays untouched. Links are
    followed. Devices and pipes have no name to take and are written directly.

    Raises
    ------
    UserError
        Whatever the system refuses: no such folder, no permission, a folder, a full disk, ...
    """
    if "\0" in path:
        raise unwritable(path, ValueError("zero byte in the name"))
    with errors_named(path):
        target = os.path.realpath(path)
        if not path or os.path.isdir(target):
            raise UserError(f'"{path}" is a folder; name a file to write.')
        special = _is_special(path, target)
    with _directly(path) if special else _replacing(path, target) as stream:
        yield stream


def _is_special(path: str, target: str) -> bool:
    """Whether the target is a device or a pipe.

    /dev/stdout leads to a regular file when the shell redirects it: that file is the shell's.
    """
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return True
    return os.path.exists(target) and not os.path.isfile(target)


@contextmanager
def _directly(path: str) -> Iterator[BinaryIO]:
    with io.BufferedWriter(OutputFile(path, "wb", path, positioned=False)) as stream:
        yield stream


@contextmanager
def _replacing(path: str, target: str) -> Iterator[BinaryIO]:
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise UserError(f"{path} cannot be written: there is no folder {os.path.dirname(path)}.")
    with errors_named(path):
        mode = _mode(target)
    if mode is not None and not os.access(target, os.W_OK):
        raise UserError(f"{path} cannot be written: permission denied.")
    # The name is cut so that it stays one: file systems take 255 bytes, a character may have four.
    temporary = os.path.join(folder, f".{name[:50]}.{os.urandom(6).hex()}.part")
    try:
        with io.BufferedWriter(OutputFile(temporary, "xb", path, positioned=True)) as stream:
            yield stream
        with errors_named(path):
            if mode is not None:
                os.chmod(temporary, mode)
            os.replace(temporary, target)
    except BaseException:
        _remove(temporary)
        raise


def _mode(target: str) -> int | None:
    """The mode of the file that is to be replaced, which the new one gets; None of a new name.

    Raises
    ------
    OSError
        for a name that no file can have: one too long, a link that leads to itself.
    """
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # it was never made, or its folder has vanished
        pass
