"""Writing a file completely or not at all, and never over an input or another output."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import BinaryIO

from lstmcli.errors import STDIN, UserError
from lstmcli.outputs import DeviceWriter, OutputFile, errors_named, unwritable

DESCRIPTORS = (
    "/dev/std",
    "/dev/fd/",
    "/proc/",
)  # paths of files that the shell has opened
PIPE_TIMEOUT = 5.0  # s to wait for a named pipe's reader
PAUSE = 0.05  # s between tries


@contextmanager
def atomically(path: str) -> Iterator[BinaryIO]:
    """Write a file completely or not at all.

    The bytes go to a part file in the target's folder, which is renamed once
    they are on the disk; any exception, Ctrl-C included, removes it and leaves
    an earlier file unchanged. Links are followed; devices and pipes are
    written directly. UserError for whatever the system refuses (no such
    folder, no permission, a full disk, ...), and for a named pipe that nothing
    reads.
    """
    with errors_named(path):
        refuse_place(path)
        target = os.path.realpath(path)
        # /dev/stdout is written as a device even if it is a regular file
        special = os.path.abspath(path).startswith(DESCRIPTORS) or (
            os.path.exists(target) and not os.path.isfile(target)
        )
        is_pipe = os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)
    if not special:
        with _replacing(path, target) as stream:
            yield stream
        return
    with DeviceWriter(
        OutputFile(_open_pipe(path) if is_pipe else path, "wb", path)
    ) as device:
        yield device


def _open_pipe(path: str) -> int:
    """The descriptor of a named pipe, once something reads it.

    BrokenPipeError if nothing reads a shell's >(command) any more.
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
    mode = None  # of a file that is replaced: the new one gets it
    with errors_named(path), suppress(FileNotFoundError):
        mode = stat.S_IMODE(os.stat(target).st_mode)
    if mode is not None and not os.access(target, os.W_OK):
        raise UserError(f"{path} cannot be written: permission denied.")
    # file systems take names of 255 bytes, of four a character
    part = os.path.join(folder, f".{name[:50]}.{os.urandom(6).hex()}.part")
    try:
        with io.BufferedWriter(OutputFile(part, "xb", path)) as stream:
            yield stream
            with errors_named(path):
                stream.flush()
                os.fsync(stream.fileno())
        with errors_named(path):
            if mode is not None:
                os.chmod(part, mode)
            os.replace(part, target)
    except BaseException:
        with suppress(OSError):  # it was never created, or its folder is gone
            os.unlink(part)
        raise


# ---- outputs that would overwrite an input or each other, or are no files


_outputs: ContextVar[tuple[str, ...]] = ContextVar("outputs", default=())


def refuse_overwriting(outputs: Sequence[str], inputs: Sequence[str]) -> None:
    """Refuse an output that cannot be a file, is one of the inputs, or is another output.

    Files are the same by real path or on the disk (a hard link); ``-`` is the
    file behind standard input, if any. Devices and pipes have no contents to
    lose.
    """
    taken = {key: path for path in inputs for key in _keys(path)}
    if "-" in inputs:
        with suppress(OSError):  # closed
            status = os.fstat(0)
            if stat.S_ISREG(status.st_mode):  # the file that it is redirected from
                taken[status.st_dev, status.st_ino] = STDIN
    for path in outputs:
        refuse_place(path)
        keys = _keys(path)
        if found := [taken[key] for key in keys if key in taken]:
            raise UserError(
                f"{path} would be written over {found[0]}; choose another name."
            )
        taken |= dict.fromkeys(keys, f"the other output, {path}")


def refuse_place(path: str) -> None:
    """Refuse an output that is a folder (as "" is) or in a missing one; links are followed."""
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

    The other files of a model, such as shards, are known only once it is read.
    """
    refuse_overwriting(outputs, inputs)
    token = _outputs.set(tuple(outputs))
    try:
        yield
    finally:
        _outputs.reset(token)


def refuse_to_read_an_output(path: str) -> None:
    """Refuse to read a file that the running command will write."""
    if outputs := _outputs.get():
        refuse_overwriting(outputs, [path])


def _keys(path: str) -> tuple[object, ...]:
    """Keys that identify a file; none for a device or a pipe."""
    if path in ("", "-") or "\0" in path:
        return ()
    try:
        status = os.stat(path)
    except OSError:  # not there yet
        return (os.path.realpath(path),)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return ()
    return os.path.realpath(path), (status.st_dev, status.st_ino)
