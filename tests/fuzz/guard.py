"""Rules for every file: bounds of time and memory, nothing opened, nothing on a screen.

`withstand` reads a file within these bounds in the process of a test. `Audit` is an audit hook of
Python, which cannot be taken back: it belongs in a process of its own.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import category

from lstmcli import formats
from lstmcli.errors import UserError
from tests.paths import TOP

SECONDS, MEMORY = 10, 1 << 30  # of computing, and beyond what is in use, for one file
WAITING = 4  # times as many seconds on the clock: other processes compute too
TRACING = 4  # times the time of a loop of short lines while coverage counts them; 3.4 measured

READS_MODULES = tuple(
    f"{os.path.realpath(path)}{os.sep}"
    for path in {sys.prefix, sys.base_prefix, str(TOP), *sys.path}
    if path and os.path.isdir(path)
)
MODULES = (".py", ".pyc", ".so", ".pyd", ".dylib")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MAPS = "/proc/self/maps"  # in which threadpoolctl looks for libraries
PARSED = "<string>"  # by this name Python looks for the line of a SyntaxError
PROCESS = "subprocess.Popen"  # which is allowed to start this interpreter alone
FOLDERS = ("os.listdir", "os.scandir")
CODE = ("exec", "compile", "marshal.loads", "ctypes.dlopen", "code.__new__")
REFUSED = (
    "subprocess.", "socket.", "shutil.", "tempfile.", "urllib.", "http.", "ftplib.",
    "smtplib.", "webbrowser.", "pty.", "cpython.run_", "pickle.find_class", "os.system", "os.exec",
    "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
    "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime", "os.startfile",
    "os.kill", "setopencodehook", "builtins.input",
)  # fmt: skip

UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode


class Audit:
    """Files opened, programs run and state changed while a variant is read, though forbidden."""

    def __init__(self) -> None:
        self.files: frozenset[str] = frozenset()  # that may be opened
        self.folder = ""  # that may be listed
        self.allowed: Collection[str] = ()  # further events
        self.found: list[str] = []
        self._armed = False
        sys.addaudithook(self._hook)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Note what happens within a ``with``."""
        self._armed = True
        try:
            yield
        finally:
            self._armed = False

    @contextmanager
    def allowing(self, *events: str) -> Iterator[None]:
        """Let these events pass within a ``with``."""
        before, self.allowed = self.allowed, events
        try:
            yield
        finally:
            self.allowed = before

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        if event in self.allowed and (
            event != PROCESS or arguments[0] == sys.executable
        ):
            return
        self._armed = False  # what the judging itself does is no matter
        try:
            if self._is_wrong(event, arguments):
                text = f"{event} {', '.join(map(repr, arguments))[:300]}"
                self.found.append(text)
        finally:
            self._armed = True

    def _is_wrong(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            return not self._may_open(*arguments)
        if event in FOLDERS:
            path = os.path.realpath(arguments[0] or ".")
            return not (
                _within(path, self.folder)
                or path.startswith(READS_MODULES)
                or _imports()
            )
        if event == "ctypes.dlopen" and str(arguments[0]).startswith(READS_MODULES):
            return False  # numpy's own library, for its threads
        if event in CODE:
            return not _imports()
        return event.startswith(REFUSED)

    def _may_open(self, path: Any, mode: Any, flags: Any) -> bool:
        if isinstance(path, int) or path in (MAPS, os.devnull):
            return True
        if flags & WRITES or any(letter in "wax+" for letter in mode or ""):
            return False
        if path == PARSED:
            return True
        real = os.path.realpath(os.fsdecode(path))
        return real in self.files or (
            real.startswith(READS_MODULES) and real.endswith(MODULES)
        )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}{os.sep}")


def _imports() -> bool:
    """Return whether an import, or the parser of literals, is running."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            return True
        if code.co_name == "parse" and code.co_filename.endswith(
            "ast.py"
        ):  # compiles no code
            return True
    return False


TIMERS = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}


class Overdue(BaseException):
    """More time than a file may take; a reader that catches every Exception does not catch it."""


@contextmanager
def bounded() -> Iterator[None]:
    """Stop what takes more than `SECONDS`, or `MEMORY`: `Overdue`, or MemoryError."""
    seconds = SECONDS * (TRACING if sys.gettrace() else 1)

    def stop(*_: object) -> None:
        raise Overdue(
            f"more than {seconds} s of computing, or {WAITING * seconds} s of waiting"
        )

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handlers = {number: signal.signal(number, stop) for number in TIMERS.values()}
    resource.setrlimit(resource.RLIMIT_AS, (in_use() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    alarm = signal.setitimer(
        signal.ITIMER_REAL, WAITING * seconds
    )  # of the test, if it has one
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, *alarm)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in handlers.items():
            signal.signal(number, handler)


def in_use() -> int:
    """Bytes of address space; 1 TiB, which bounds nothing, where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 1 << 40
    return pages * resource.getpagesize()


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error was raised because of a MemoryError, whatever its text."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def withstand(
    path: Path, data: bytes, act: Callable[[str], object] = formats.read
) -> str:
    """Write a file and read it within bounds: "" for a result, the text of a `UserError`.

    Anything else fails, warnings too, which are errors in this suite.
    """
    path.write_bytes(data)
    refusal = None
    try:
        with bounded():
            act(str(path))
    except UserError as error:
        refusal = error
    except (Exception, Overdue) as error:
        raise AssertionError(f"kept in {path}: {error!r}") from error
    assert not ran_out_of_memory(refusal), f"MemoryError, told as {refusal}"
    assert refusal is None or str(refusal).strip(), "an empty message"
    return "" if refusal is None else str(refusal)


def computed() -> float:
    """Seconds that this process and those that it waited for have computed."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(
            resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
    )


def unprintable(text: str) -> str:
    """The first character that a terminal must not get, with its surroundings; else nothing."""
    for at, letter in enumerate(text):
        if letter != "\n" and category(letter) in UNPRINTABLE:
            return repr(text[max(0, at - 40) : at + 20])
    return ""
