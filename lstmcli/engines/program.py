"""Somebody's program as an engine: inputs in a file or on its standard input, outputs read back.

The command is split into words as a shell would; no shell runs it.
``{inputs}`` and ``{outputs}`` are files in a folder that is gone afterwards; a
suffix in the braces is theirs: ``{inputs.csv}``, ``{outputs.f32}``.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import perf_counter
from typing import IO, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.core.model.arrays import Array
from lstmcli.engines.descendants import descendants_ended
from lstmcli.errors import UserError
from lstmcli.escaping import one_line
from lstmcli.formats.document import Document
from lstmcli.outputs import reason

TIMEOUT = 60.0  # seconds
MOST_OUTPUT = 256 << 20  # bytes of a program's file, and of its output
SHOWN = 400  # characters of the end of its standard error
PAUSE = 0.02  # seconds between two looks at a program that runs
PLACE = re.compile(r"\{(inputs|outputs)(\.\w+)?\}")
RAW = ".f32"  # float32 of one sequence, (T, H), without a header
RAW_PRINTED = (
    "  If it writes raw float32, let it write a file: {outputs.f32} in the command."
)
INPUTS = (".npy", ".csv", RAW)
PLAIN_FOLDERS = ("/tmp", "/var/tmp")  # where the path of the usual one needs quotes
Process = subprocess.Popen[bytes]


class Ran(NamedTuple):
    """The outputs of a program, and how long it ran."""

    outputs: Document
    data: bytes  # of the outputs, as they came
    suffix: str  # of a file of these bytes
    seconds: float


@dataclass(frozen=True)
class Program:
    """A command with places for files: words, and suffixes of the files; None: no place."""

    command: str
    words: Sequence[str]
    read: str | None
    write: str | None
    timeout: float = TIMEOUT

    @classmethod
    def parse(cls, command: str, timeout: float = TIMEOUT) -> Program:
        """A command as it is typed; UserError for one that cannot be run."""
        if not 0 < timeout < inf:
            raise UserError(
                "takes a finite number above 0.", about={"timeout": timeout}
            )
        try:
            words, suffixes = shlex.split(command), _suffixes(command)
            if not words:
                raise ValueError("there is no command")
        except ValueError as error:
            raise UserError(f"{error}.", about={"program": command}) from None
        return cls(
            command, words, suffixes.get("inputs"), suffixes.get("outputs"), timeout
        )

    @property
    def name(self) -> str:
        """Return what messages and screens call it."""
        return one_line(os.path.basename(self.words[0]))

    def run(self, x: Array, form: str) -> Ran:
        """Return what it computes from inputs.

        ``x`` is (T, I), or a batch if it is written as .npy; ``form`` is the
        shape of raw outputs, ``7x3``. UserError if it cannot be started,
        fails, takes too long, or gives no finite outputs.
        """
        if x.ndim > 2 and self.read != ".npy":
            how = self.read or "CSV on standard input"
            raise self._error(
                f"{how} takes one sequence, and the inputs are {x.shape}: write {{inputs.npy}} in "
                "the command, or give inputs of one sequence."
            )
        parent = self._parent_folder()
        try:
            with _temporary_folder(parent) as folder:
                inputs = Path(folder, f"inputs{self.read or '.csv'}")
                _write(inputs, x)
                outputs = Path(folder, f"outputs{self.write or '.txt'}")
                data, seconds = self._run(inputs, outputs)
        except OSError as error:
            text = f"the temporary folder {parent} cannot be used: {reason(error)}."
            raise self._error(f"{text} TMPDIR names another.") from None
        return Ran(self._outputs_in(data, form), data, self.write or ".txt", seconds)

    def _outputs_in(self, data: bytes, form: str) -> Document:
        """The arrays that it wrote or printed; UserError if there are none, or none are finite."""
        what, raw = f"{self.name}: its standard output", None
        if self.write:
            what = f"{self.name}: its outputs{self.write}"
        if self.write == RAW:
            raw = f"f32:{form}"
        try:
            document = formats.read_bytes(what, data, self.write or "", raw)
        except UserError as error:  # further lines are about files that are given
            lines = [error.lines[0]]
            if not self.write and not data.isascii():
                lines.append(RAW_PRINTED)
            raise UserError(*lines) from None
        for name, array in document.arrays.items():
            wrong = np.count_nonzero(~np.isfinite(array))
            if wrong:
                text = f"{what} is not finite in {wrong:,} of {array.size:,} numbers"
                if name:
                    text = f"{text} of {name}"
                raise UserError(f"{text}.")
        return document

    def _parent_folder(self) -> str:
        """The folder for the temporary one, whose path needs no quotes in a shell's text."""
        try:
            usual = tempfile.gettempdir()
        except OSError as error:
            raise self._error(f"{reason(error)}. TMPDIR names another.") from None
        if not any(_is_text(word) for word in self.words):
            return usual
        for folder in (usual, *PLAIN_FOLDERS):
            if shlex.quote(folder) == folder and os.access(folder, os.W_OK):
                return folder
        raise self._error(
            f"the temporary folder {one_line(usual)} would need quotes in the text of a "
            "shell. TMPDIR names another; or write the places as words of their own."
        )

    def _run(self, inputs: Path, outputs: Path) -> tuple[bytes, float]:
        """Run it, and what it starts, to its end; return its outputs and the seconds."""
        places = {"inputs": str(inputs), "outputs": str(outputs)}
        words = [PLACE.sub(lambda match: places[match[1]], word) for word in self.words]
        given: str | Path = inputs
        if self.read:
            given = os.devnull
        with (
            open(given, "rb") as stdin,
            open(outputs.with_name("printed"), "w+b") as stdout,
            open(outputs.with_name("said"), "w+b") as stderr,
        ):
            begun = perf_counter()
            with descendants_ended():
                process = _started(words, stdin, stdout, stderr)
                try:
                    failure = self._failure(process, begun, outputs, (stdout, stderr))
                    seconds = perf_counter() - begun
                finally:
                    _end(process)
            if failure:
                raise self._error(f"{self.name} {failure}{_end_of(stderr)}")
            if self.write:
                return self._written(outputs), seconds
            stdout.seek(0)
            return stdout.read(), seconds

    def _failure(
        self,
        process: Process,
        begun: float,
        outputs: Path,
        printed: Sequence[IO[bytes]],
    ) -> str:
        """How the program failed, once it has ended or has to be stopped; "" if it did not."""
        status = None
        while status is None:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(PAUSE)
            sizes = [os.fstat(stream.fileno()).st_size for stream in printed]
            with suppress(OSError):  # it is not there, or no longer
                sizes.append(outputs.stat().st_size)
            if max(sizes) > MOST_OUTPUT:
                return f"was stopped: it wrote more than {MOST_OUTPUT:,} bytes"
            if status is None and perf_counter() - begun > self.timeout:
                return f"was stopped after {self.timeout:g} s (--timeout)"
        if status < 0:
            return f"was ended by signal {-status} ({signal.strsignal(-status)})"
        if status > 0:
            return f"ended with status {status}"
        return ""

    def _written(self, outputs: Path) -> bytes:
        """The bytes of the file that it wrote, or a link to a file."""
        what = f"{{outputs{self.write}}}"
        if not os.path.lexists(outputs):
            raise self._error(f"{self.name} ended well, and wrote no {what}.")
        if not os.path.isfile(outputs):
            raise self._error(f"{self.name} wrote {what}, which is not a regular file.")
        try:
            return outputs.read_bytes()
        except OSError as error:
            text = f"{self.name} wrote {what}, which cannot be read: {reason(error)}."
            raise self._error(text) from None

    def _error(self, text: str) -> UserError:
        return UserError(text, about={"program": self.command})


def _suffixes(command: str) -> dict[str, str]:
    """The suffixes of ``inputs`` and ``outputs`` in a command; ValueError for others."""
    suffixes: dict[str, str] = {}
    for place, suffix in PLACE.findall(command):
        suffix = suffix or ".npy"
        first = suffixes.setdefault(place, suffix)
        if first != suffix:
            raise ValueError(f"{{{place}}} has two suffixes, {first} and {suffix}")
        if place == "inputs" and suffix not in INPUTS:
            raise ValueError(
                f"inputs are written as {', '.join(INPUTS)}, not as {suffix}"
            )
    return suffixes


def _write(path: Path, x: Array) -> None:
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == RAW:
        path.write_bytes(x.astype("<f4").tobytes())
    else:
        digits = 17
        if x.dtype.kind == "f":
            digits = np.finfo(x.dtype).precision + 3
        np.savetxt(path, x, delimiter=",", fmt=f"%.{digits}g")


def _started(
    words: Sequence[str], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]
) -> Process:
    try:
        return subprocess.Popen(
            words, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        text = f"{one_line(words[0])} cannot be started: {reason(error)}."
        raise UserError(text) from None


def _end(process: Process) -> None:
    """Kill a process and the session that it began, and wait for it."""
    with suppress(PermissionError):  # it runs as another user
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


@contextmanager
def _temporary_folder(parent: str) -> Iterator[str]:
    """A folder that is removed, however deep the folders are that a program made in it."""
    with tempfile.TemporaryDirectory(prefix="lstm-", dir=parent) as folder:
        try:
            yield folder
        finally:
            with suppress(OSError):
                _flatten(folder)


def _flatten(folder: str) -> None:
    """Move all folders within a folder into it: to remove deep ones, Python recurses."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            inner = [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        for path in inner:
            os.chmod(path, stat.S_IRWXU)
            moved = tempfile.mkdtemp(dir=folder)
            os.rename(path, moved)
            waiting.append(moved)


def _is_text(word: str) -> bool:
    """Return whether a word is text for a shell or another language, with a place in it."""
    around = PLACE.sub("", word)
    return around != word and shlex.quote(around) not in (around, "''")


def _end_of(stderr: IO[bytes]) -> str:
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 4 * SHOWN))
    text = " ".join(stderr.read().decode(errors="replace").split())
    if not text:
        return "."
    return f": {one_line(text[-SHOWN:])}"
