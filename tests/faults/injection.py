"""The calls of the system that a command makes about its files, counted; one of them can fail.

Opening, renaming, removing and listing are seen by an audit hook of Python, which cannot be taken
back: it belongs in a process of its own. Reading, writing and flushing have no such event, so they
are replaced in ``os``, below what opens sources, and below `OutputFile`.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lstmcli.formats.files import source
from lstmcli.outputs import OutputFile


class Event(NamedTuple):
    """Calls of one kind: the errors that they fail with in turn, and how they are seen."""

    errors: tuple[int, ...]
    audited: tuple[str, ...] = ()  # as Python's audit hooks name them
    functions: tuple[str, ...] = ()  # of ``os``


EVENTS = {
    "open": Event((errno.EACCES, errno.EMFILE, errno.ENOENT), audited=("open",)),
    "read": Event((), functions=("preadv",)),  # never fails: the file changes
    "write": Event((errno.ENOSPC, errno.EIO), functions=("write", "pwrite")),
    "close": Event((errno.EDQUOT,)),  # as file systems of a network do
    "flush": Event((errno.EIO,), functions=("fsync", "fdatasync")),
    "rename": Event((errno.EACCES, errno.EIO), audited=("os.rename",)),
    "unlink": Event((errno.EACCES,), audited=("os.remove",)),
    "chmod": Event((errno.EPERM,), audited=("os.chmod",)),
    "mkdir": Event((errno.ENOSPC,), audited=("os.mkdir",)),
    "list": Event((errno.EACCES,), audited=("os.listdir", "os.scandir")),
    "truncate": Event(
        (errno.ENOSPC,), audited=("os.truncate",), functions=("ftruncate",)
    ),
    "link": Event((errno.EPERM,), audited=("os.link",)),
}
AUDITED = {name: event for event, row in EVENTS.items() for name in row.audited}


REPLACING = ".new"  # at the end of the name of a file that takes the place of another


def _cut(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def _emptied(path: str) -> None:
    os.truncate(path, 0)


def _lengthened(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"\x07" * 5000)


def _replaced(path: str) -> None:
    with open(path + REPLACING, "wb") as file:
        file.write(b"another file")
    os.replace(path + REPLACING, path)


CHANGES = (_cut, _emptied, _lengthened, _replaced)
"""Changes of a file before it is read."""


class Fault(NamedTuple):
    """Which call fails, and with which error; or before which read the file changes, and how."""

    event: str
    number: int  # of the call, from 1
    error: int = 0
    lasting: bool = (
        False  # the calls of this event after it fail too, as on a full disk
    )
    stuck: bool = False  # and nothing can be removed
    change: Callable[[str], None] | None = None


class Calls:
    """The calls that are counted, within `failing`, about files in a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.fired: list[str] = []  # what failed: paths, or "" where the call has none
        self._fault = Fault("", 0)
        self._counted = 0
        self._armed = False
        sys.addaudithook(self._hook)
        self._replace()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Let a call fail within a ``with``."""
        self._fault, self._counted, self.fired = fault, 0, []
        self._armed = True
        try:
            yield
        finally:
            self._armed = False

    def reach(self, event: str, path: str = "") -> None:
        """Count a call, and raise what it fails with."""
        fault = self._fault
        if not self._armed:
            return
        if fault.stuck and event == "unlink":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        if event != fault.event:
            return
        self._counted += 1
        if self._counted == fault.number or (
            fault.lasting and self._counted > fault.number
        ):
            self.fired.append(path)
            if fault.change is not None:
                self._armed = False
                fault.change(path)
            else:
                raise OSError(
                    fault.error, os.strerror(fault.error), *([path] if path else [])
                )

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._armed and event in AUDITED:
            path = arguments[0]
            if isinstance(path, (str, bytes)) and self._is_inside(os.fsdecode(path)):
                self.reach(AUDITED[event], os.fsdecode(path))

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self.folder or real.startswith(f"{self.folder}{os.sep}")

    def _replace(self) -> None:
        reach = self.reach

        class Failing(io.FileIO):
            """The raw file below `OutputFile`."""

            __slots__ = ()

            def write(self, data: Any, /) -> int:
                reach("write")
                return super().write(data)

            def close(self) -> None:
                """Close it; the descriptor is gone even where that fails."""
                was_open = not self.closed
                super().close()
                if was_open:
                    reach("close")

        class Watched(io.FileIO):
            """The raw file of a source."""

            def readinto(self, buffer: Any, /) -> int | None:
                reach("read", str(self.name))
                return super().readinto(buffer)

            def readall(self) -> bytes:
                reach("read", str(self.name))
                return super().readall()

        def opened(path: str, mode: str) -> io.BufferedReader:
            return io.BufferedReader(Watched(os.path.abspath(path), mode))

        def counted(event: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def function(*arguments: Any) -> Any:
                reads = event == "read"
                reach(
                    event, os.readlink(f"/proc/self/fd/{arguments[0]}") if reads else ""
                )
                return call(*arguments)

            return function

        OutputFile.__bases__ = (Failing,)
        source.open = opened  # type: ignore[attr-defined]
        for event, row in EVENTS.items():
            for name in row.functions:
                setattr(os, name, counted(event, getattr(os, name)))
