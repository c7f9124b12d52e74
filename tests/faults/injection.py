"""The calls of the system that a command makes about its files, counted; one of them can fail.

Opening, renaming, removing and listing are seen by an audit hook of Python, which cannot be taken
back: it belongs in a process of its own. Writing and flushing have no such event, so they are
replaced below `OutputFile` and in ``os``.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lstmcli.outputs import OutputFile

AUDITED = {
    "open": "open",
    "os.rename": "rename",
    "os.remove": "unlink",
    "os.chmod": "chmod",
    "os.mkdir": "mkdir",
    "os.listdir": "list",
    "os.scandir": "list",
    "os.truncate": "truncate",
    "os.link": "link",
}
EVENTS = {
    "open": (errno.EACCES, errno.EMFILE, errno.ENOENT),
    "write": (errno.ENOSPC, errno.EIO),
    "close": (errno.EDQUOT,),  # as file systems of a network do
    "flush": (errno.EIO,),
    "rename": (errno.EACCES, errno.EIO),
    "unlink": (errno.EACCES,),
    "chmod": (errno.EPERM,),
    "mkdir": (errno.ENOSPC,),
    "list": (errno.EACCES,),
    "truncate": (errno.ENOSPC,),
    "link": (errno.EPERM,),
}
"""What can fail, with the numbers of the errors that it fails with, each in its turn."""


class Fault(NamedTuple):
    """Which call fails, and with which error."""

    event: str
    number: int  # of the call, from 1
    error: int
    lasting: bool  # the calls of this event after it fail too, as on a full disk
    stuck: bool = False  # and nothing can be removed


class Calls:
    """The calls that are counted, within `failing`, about files in a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.fired: list[str] = []  # what failed: paths, or "" where the call has none
        self._fault = Fault("", 0, 0, False)
        self._counted = 0
        self._armed = False
        sys.addaudithook(self._hook)
        self._replace_writing()

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
        if self._counted == fault.number or (fault.lasting and self._counted > fault.number):
            self.fired.append(path)
            raise OSError(fault.error, os.strerror(fault.error), *([path] if path else []))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._armed and event in AUDITED:
            path = arguments[0]
            if isinstance(path, (str, bytes)) and self._is_inside(os.fsdecode(path)):
                self.reach(AUDITED[event], os.fsdecode(path))

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self.folder or real.startswith(f"{self.folder}{os.sep}")

    def _replace_writing(self) -> None:
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

        OutputFile.__bases__ = (Failing,)

        def counted(event: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def function(*arguments: Any) -> Any:
                reach(event)
                return call(*arguments)

            return function

        for name, event in (
            ("pwrite", "write"), ("write", "write"), ("fsync", "flush"), ("fdatasync", "flush"),
            ("ftruncate", "truncate"),
        ):  # fmt: skip
            setattr(os, name, counted(event, getattr(os, name)))
