"""Somebody's program as an engine: inputs in a file or on its standard input, outputs read back.

The command is split into words as a shell would, and no shell runs it. ``{inputs}`` and
``{outputs}`` in a word stand for files in a folder that is gone afterwards; a suffix in the braces
is theirs: ``{inputs.csv}``, ``{outputs.f32}``.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

import numpy as np

from lstmcli import formats
from lstmcli.core.model.arrays import Array
from lstmcli.errors import UserError
from lstmcli.escaping import one_line
from lstmcli.formats.document import Document

TIMEOUT = 60.0  # seconds
MOST_OUTPUT = 256 << 20  # bytes of a program's file, and of what it prints
SHOWN = 400  # characters of the end of its standard error
PAUSE = 0.02  # seconds between two looks at a program that runs
PLACE = re.compile(r"\{(inputs|outputs)(\.\w+)?\}")
RAW = ".f32"  # float32 of one sequence, (T, H), without a header
INPUTS = (".npy", ".csv", RAW)


@dataclass(frozen=True)
class Program:
    """A command with places for files, as it is typed."""

    command: str
    timeout: float = TIMEOUT

    @property
    def name(self) -> str:
        """What messages and screens call it."""
        return one_line(os.path.basename(self.words[0]))

    @property
    def words(self) -> list[str]:
        """The command in words; UserError where quotes are not closed, or there are none."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise UserError(str(error).lower() + ".", about={"program": self.command}) from None
        if not words:
            raise UserError("there is no command.", about={"program": self.command})
        return words

    def suffix(self, place: str) -> str | None:
        """The suffix of ``inputs`` or ``outputs``; None where the command has no such place."""
        found = [m[2] or ".npy" for m in PLACE.finditer(self.command) if m[1] == place]
        if len({*found}) > 1:
            text = f"{{{place}}} has two suffixes, {found[0]} and {found[1]}."
            raise UserError(text, about={"program": self.command})
        if place == "inputs" and found and found[0] not in INPUTS:
            text = f"inputs are written as {', '.join(INPUTS)}, not as {found[0]}."
            raise UserError(text, about={"program": self.command})
        return found[0] if found else None

    def run(self, x: Array, form: str) -> tuple[Document, float]:
        """What it computes from inputs, and the seconds that it took.

        ``x`` is (T, I), or a batch where it is written as .npy; ``form`` is the shape of raw
        outputs, ``7x3``.

        Raises
        ------
        UserError
            if it cannot be started, fails, takes too long, or gives no finite outputs.
        """
        read, write = self.suffix("inputs"), self.suffix("outputs")
        if x.ndim > 2 and read != ".npy":
            how = read or "CSV on standard input"
            raise UserError(
                f"{how} takes one sequence, and the inputs are {x.shape}: write {{inputs.npy}} in "
                "the command, or give inputs of one sequence.",
                about={"program": self.command},
            )
        with tempfile.TemporaryDirectory(prefix="lstm-") as folder:
            files = {"inputs": Path(folder, f"inputs{read or '.csv'}")}
            files["outputs"] = Path(folder, f"outputs{write or '.txt'}")
            _write(files["inputs"], x)
            words = [PLACE.sub(lambda m: str(files[m[1]]), word) for word in self.words]
            printed = files["outputs"] if write is None else Path(folder, "printed")
            seconds = self._run(words, files["inputs"] if read is None else None, printed)
            data = self._contents(files["outputs"], write)
        what = f"{self.name}: its {'standard output' if write is None else 'outputs' + write}"
        raw = f"f32:{form}" if write == RAW else None
        document = formats.read_bytes(what, data, "" if write is None else write, raw)
        for name, array in document.arrays.items():
            if wrong := int((~np.isfinite(array)).sum()):
                are = "are" if wrong > 1 else "is"
                of = f" of {name}" * bool(name)
                raise UserError(
                    f"{what}: {wrong:,} of {array.size:,} numbers{of} {are} not finite."
                )
        return document, seconds

    def _run(self, words: list[str], stdin: Path | None, printed: Path) -> float:
        """Run it to its end; UserError where it does not end well."""
        said, begun = printed.with_name("said"), perf_counter()
        with (
            open(stdin or os.devnull, "rb") as into,
            open(printed, "wb") as out,
            open(said, "wb") as err,
            _started(words, into, out, err) as process,
        ):
            reason = self._wait(process, begun, printed.parent)
            seconds = perf_counter() - begun
        if reason:
            raise UserError(f"{self.name} {reason}{_end_of(said)}", about={"program": self.command})
        return seconds

    def _wait(self, process: subprocess.Popen[bytes], begun: float, folder: Path) -> str:
        """Why a program did not end well; empty if it did. It writes to files of a folder."""
        while process.poll() is None:
            try:
                process.wait(PAUSE)
            except subprocess.TimeoutExpired:
                if perf_counter() - begun > self.timeout:
                    return f"was stopped after {self.timeout:g} s (--timeout)"
                if any(size > MOST_OUTPUT for size in _sizes(folder)):
                    return f"was stopped: it wrote more than {MOST_OUTPUT:,} bytes"
        status = process.returncode
        if status < 0:
            return f"was ended by signal {-status} ({signal.Signals(-status).name})"
        return f"ended with status {status}" if status else ""

    def _contents(self, outputs: Path, suffix: str | None) -> bytes:
        if not outputs.is_file():
            text = f"{self.name} ended well, and wrote no {{outputs{suffix}}}."
            raise UserError(text, about={"program": self.command})
        if (size := outputs.stat().st_size) > MOST_OUTPUT:
            raise UserError(f"{self.name} wrote {size:,} bytes; at most {MOST_OUTPUT:,} are read.")
        if not size:
            raise UserError(f"{self.name} ended well, and its outputs are empty.")
        return outputs.read_bytes()


@contextmanager
def _started(
    words: list[str], stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a command; it, and what it has started, is gone afterwards."""
    try:
        process = subprocess.Popen(
            words, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )  # fmt: skip
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{one_line(words[0])} cannot be started: {reason}.") from None
    try:
        yield process
    finally:
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the session that it began
        process.kill()
        process.wait()


def _sizes(folder: Path) -> Iterator[int]:
    """The bytes of the files of a folder but for the inputs, while a program may remove them."""
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            if not name.startswith("inputs"):
                yield (folder / name).stat().st_size


def _write(path: Path, x: Array) -> None:
    """Inputs in the format of a file's suffix."""
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == RAW:
        path.write_bytes(x.astype("<f4").tobytes())
    else:
        digits = np.finfo(x.dtype).precision + 3 if x.dtype.kind == "f" else 17
        np.savetxt(path, x, delimiter=",", fmt=f"%.{digits}g")


def _end_of(said: Path) -> str:
    """The end of a program's standard error, in one line."""
    with open(said, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * SHOWN))
        text = " ".join(file.read().decode(errors="replace").split())
    return f": {one_line(text[-SHOWN:])}" if text else "."
