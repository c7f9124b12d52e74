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
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from lstmcli import formats
from lstmcli.core.model.arrays import Array
from lstmcli.errors import UserError
from lstmcli.escaping import one_line
from lstmcli.formats.document import Document

TIMEOUT = 60.0  # seconds
MOST_OUTPUT = 256 << 20  # bytes of a program's file, and of its output
SHOWN = 400  # characters of the end of its standard error
PAUSE = 0.02  # seconds between two looks at a program that runs
PLACE = re.compile(r"\{(inputs|outputs)(\.\w+)?\}")
RAW = ".f32"  # float32 of one sequence, (T, H), without a header
INPUTS = (".npy", ".csv", RAW)


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

    def run(self, x: Array, form: str) -> tuple[Document, float]:
        """Return what it computes from inputs, and the seconds that it took.

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
        with tempfile.TemporaryDirectory(prefix="lstm-") as folder:
            inputs = Path(folder, f"inputs{self.read or '.csv'}")
            _write(inputs, x)
            outputs = Path(folder, f"outputs{self.write or '.txt'}")
            seconds = self._run(inputs, outputs)
            if not outputs.is_file():
                raise self._error(
                    f"{self.name} ended well, and wrote no {{outputs{self.write}}}."
                )
            data = outputs.read_bytes()
        output = f"outputs{self.write}" if self.write else "standard output"
        what = f"{self.name}: its {output}"
        raw = f"f32:{form}" if self.write == RAW else None
        try:
            document = formats.read_bytes(what, data, self.write or "", raw)
        except UserError as error:  # further lines are about files that are given
            raw = "  If it writes raw float32, let it write a file: {outputs.f32} in the command."
            is_raw = not self.write and not data.isascii()
            raise UserError(error.lines[0], *[raw] * is_raw) from None
        for name, array in document.arrays.items():
            if wrong := np.count_nonzero(~np.isfinite(array)):
                of = f" of {name}" * bool(name)
                raise UserError(
                    f"{what} is not finite in {wrong:,} of {array.size:,} numbers{of}."
                )
        return document, seconds

    def _run(self, inputs: Path, outputs: Path) -> float:
        """Run it, and what it starts, to its end; return the seconds, or raise UserError."""
        places = {"inputs": str(inputs), "outputs": str(outputs)}
        words = [PLACE.sub(lambda match: places[match[1]], word) for word in self.words]
        printed = outputs.with_name("printed") if self.write else outputs
        said, begun = outputs.with_name("said"), perf_counter()
        given = os.devnull if self.read else inputs
        with (
            open(given, "rb") as stdin,
            open(printed, "wb") as stdout,
            open(said, "wb") as stderr,
        ):
            try:
                process = subprocess.Popen(
                    words,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise UserError(
                    f"{one_line(words[0])} cannot be started: {reason}."
                ) from None
            try:
                reason = self._failure(process, begun, (outputs, printed, said))
                seconds = perf_counter() - begun
            finally:
                if os.name == "posix":
                    with suppress(ProcessLookupError):
                        os.killpg(
                            process.pid, signal.SIGKILL
                        )  # the session that it began
                process.kill()
                process.wait()
        if reason:
            raise self._error(f"{self.name} {reason}{_end_of(said)}")
        return seconds

    def _failure(
        self, process: subprocess.Popen[bytes], begun: float, written: Sequence[Path]
    ) -> str:
        status = None
        while status is None:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(PAUSE)
            with suppress(FileNotFoundError):  # a program may remove its file meanwhile
                there = filter(Path.exists, written)
                if any(path.stat().st_size > MOST_OUTPUT for path in there):
                    return f"was stopped: it wrote more than {MOST_OUTPUT:,} bytes"
            if status is None and perf_counter() - begun > self.timeout:
                return f"was stopped after {self.timeout:g} s (--timeout)"
        if status < 0:
            return f"was ended by signal {-status} ({signal.strsignal(-status)})"
        return f"ended with status {status}" if status else ""

    def _error(self, text: str) -> UserError:
        return UserError(text, about={"program": self.command})


def _suffixes(command: str) -> dict[str, str]:
    """The suffixes of ``inputs`` and ``outputs`` in a command; ValueError for others."""
    suffixes: dict[str, str] = {}
    for place, suffix in PLACE.findall(command):
        suffix = suffix or ".npy"
        if (first := suffixes.setdefault(place, suffix)) != suffix:
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
        digits = np.finfo(x.dtype).precision + 3 if x.dtype.kind == "f" else 17
        np.savetxt(path, x, delimiter=",", fmt=f"%.{digits}g")


def _end_of(said: Path) -> str:
    with open(said, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * SHOWN))
        text = " ".join(file.read().decode(errors="replace").split())
    return f": {one_line(text[-SHOWN:])}" if text else "."
