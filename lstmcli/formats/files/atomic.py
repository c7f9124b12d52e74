"""Writing a file completely or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from lstmcli.errors import UserError
from lstmcli.formats.files.overwriting import refuse_place
from lstmcli.outputs import DeviceWriter, OutputFile, errors_named, unwritable

DESCRIPTORS = ("/dev/std", "/dev/fd/", "/proc/")  # paths of files that the shell has opened
PIPE_TIMEOUT = 5.0  # s for which a reader of a named pipe is waited for
PAUSE = 0.05  # s between tries


@contextmanager
def atomically(path: str) -> Iterator[BinaryIO]:
    """Write a file completely or not at all.

    The bytes go to a temporary file in the target's folder, which is renamed in the end; on any
    exception, Ctrl-C included, it is removed and an earlier file is unchanged. Links are followed.
    Devices and pipes are written directly; a named pipe needs a reader.

    Raises
    ------
    UserError
        Whatever the system refuses: no such folder, no permission, a folder, a full disk, ...;
        a named pipe that nothing reads.
    """
    with errors_named(path):
        refuse_place(path)
        target = os.path.realpath(path)
        special = _is_special(path, target)
    with _directly(path) if special else _replacing(path, target) as stream:
        yield stream


def _is_special(path: str, target: str) -> bool:
    """Whether the target is a device or a pipe.

    /dev/stdout, which the shell may redirect to a regular file, is written as a device too.
    """
    if os.path.abspath(path).startswith(DESCRIPTORS):
        return True
    return os.path.exists(target) and not os.path.isfile(target)


@contextmanager
def _directly(path: str) -> Iterator[BinaryIO]:
    file = _open_pipe(path) if _is_pipe(path) else path
    with DeviceWriter(OutputFile(file, "wb", path)) as stream:
        yield stream


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:  # opening it says what is wrong
        return False


def _open_pipe(path: str) -> int:
    """The descriptor of a named pipe, once something reads it.

    Raises
    ------
    UserError
        Nothing reads it within `PIPE_TIMEOUT`.
    BrokenPipeError
        Nothing reads it any more: the pipe of a shell's >(command).
    """
    end = time.monotonic() + PIPE_TIMEOUT
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise unwritable(path, error) from None
            if path.startswith(DESCRIPTORS):
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
            if time.monotonic() >= end:
                raise UserError(
                    f"{path} cannot be written: it is a named pipe that nothing reads. "
                    "Start what reads it first, or name a file."
                ) from None
            time.sleep(PAUSE)
        else:
            os.set_blocking(descriptor, True)
            return descriptor


@contextmanager
def _replacing(path: str, target: str) -> Iterator[BinaryIO]:
    folder, name = os.path.split(target)
    with errors_named(path):
        mode = _mode(target)
    if mode is not None and not os.access(target, os.W_OK):
        raise UserError(f"{path} cannot be written: permission denied.")
    # file systems take names of 255 bytes, and a character may have four
    temporary = os.path.join(folder, f".{name[:50]}.{os.urandom(6).hex()}.part")
    try:
        with io.BufferedWriter(OutputFile(temporary, "xb", path)) as stream:
            yield stream
        with errors_named(path):
            if mode is not None:
                os.chmod(temporary, mode)
            os.replace(temporary, target)
    except BaseException:
        _remove(temporary)
        raise


def _mode(target: str) -> int | None:
    """The mode of the file that is to be replaced, which the new one gets; None of a new name."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # it was never created, or its folder is gone
        pass
