"""Reading the variants of a format, one after the other, in one process."""

from __future__ import annotations

import gc
import io
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import IO

import numpy as np
import threadpoolctl

import lstmcli
from lstmcli import cli, formats
from lstmcli.errors import UserError
from lstmcli.formats.wire import hdf5
from tests.fuzz import corpus, guard
from tests.fuzz.guard import (
    PROCESS,
    Audit,
    Overdue,
    bounded,
    ran_out_of_memory,
    unprintable,
)
from tests.fuzz.kept import FORBIDDEN, Kept

CALLED = 8  # variants of which two are read by the functions too, not by commands alone
COLLECTED = (
    100  # variants after which garbage is collected: commands put it out of reach
)
DIFFERENT = 1  # the status of a command that compares


class Session:
    """A process that reads variants; with ``keep`` one more reads the HDF5 files of a format."""

    def __init__(self, audit: Audit, format: str, keep: bool = True) -> None:
        self.audit, self.row = audit, corpus.TABLE[format]
        starts = self.row.hdf5 or not keep
        self.allowed = (PROCESS, "os.posix_spawn", "os.kill") if starts else ()
        self.top = Path(os.path.realpath(tempfile.mkdtemp(prefix="lstm-fuzz-")))
        self.folder = self.top / "files"
        (self.top / "own").mkdir()
        self.outside = self.top / "outside.npz"  # which names in files may lead to
        shutil.copy(corpus.WEIGHTS, self.outside)
        self.weights = str(shutil.copy(corpus.WEIGHTS, self.top / "own/weights.npz"))
        self.inputs: dict[str, str] = {}  # by the name of a sample
        self.kept = Kept()
        if keep and self.row.hdf5:
            hdf5._child = self.kept.answer
        threadpoolctl.threadpool_info()  # looks for libc once in a process, where that is no event
        os.environ |= {"COLUMNS": "100"}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, *_: type[BaseException] | BaseException | TracebackType | None
    ) -> None:
        os.chdir("/")
        self.kept.close()
        shutil.rmtree(self.top)

    def _prepare(self, sample: corpus.Sample) -> None:
        """Read a sample as it is, and write inputs for it: this imports what reading needs."""
        if sample.name in self.inputs:
            return
        path = self._written(sample.files, sample.given)
        if self.row.inputs:
            formats.read(path, abbreviated=True)
            self.inputs[sample.name] = shutil.copy(
                path, str(self.top / "own" / sample.given)
            )
            return
        try:
            features = lstmcli.load(path, layer=0).layers[0][0].inputs
        except UserError:  # nothing in it is run, or several are
            features = 4
        inputs = self.top / f"own/inputs{features}.npy"
        np.save(inputs, np.linspace(-1, 1, 3 * features).reshape(3, features))
        self.inputs[sample.name] = str(inputs)

    def _written(self, files: dict[str, bytes], given: str) -> str:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        os.chdir(self.folder)
        return str(self.folder / given)

    def failures(self, variant: corpus.Variant, number: int) -> Iterator[str]:
        """The faults in how a variant is read; the number selects the reader."""
        self._prepare(variant.sample)
        path = self._written(variant.files, variant.sample.given)
        names = {self.folder / name for name in (*variant.files, variant.sample.given)}
        own = {self.weights, self.inputs[variant.sample.name]}
        self.audit.files = frozenset(map(str, names | own))
        self.audit.folder = str(self.folder)
        if not self.row.stdin and number % CALLED < 2:
            yield from self._bounded("read", lambda: self._read(path, number))
        command = self._command(path, variant.sample, number)
        stdin = io.BytesIO(variant.files[variant.sample.given])
        yield from self._bounded(command[0], lambda: self._screen(command, stdin))
        yield from (f"opened or done: {event}" for event in self.audit.found)
        self.audit.found.clear()
        if FORBIDDEN in self.kept.ends:
            yield "something in the process that reads HDF5"
        self.kept.ends.clear()
        found = {one for one in self.folder.rglob("*") if not one.is_dir()}
        if found != {self.folder / name for name in variant.files}:
            yield f"the folder holds {sorted(map(str, found))}"
        if number % COLLECTED == 0:
            gc.unfreeze()
            gc.collect()

    def _command(self, path: str, sample: corpus.Sample, number: int) -> list[str]:
        """A command that reads the variant: as weights or inputs, as a result, from a pipe."""
        other = self.inputs[sample.name]
        if self.row.stdin:
            return ["run", self.weights, "-"]
        if number % CALLED == 2:
            return ["inspect", "-"]
        if self.row.inputs and number % CALLED in (4, 5):
            return ["diff", path, other]
        if number % 2:
            weights = [path, other, "--layer", "0"]
            return ["run", self.weights, path] if self.row.inputs else ["run", *weights]
        return ["inspect", path]

    def _bounded(self, what: str, act: Callable[[], str]) -> Iterator[str]:
        start = guard.computed()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with bounded(), self.audit.armed(), self.audit.allowing(*self.allowed):
                    found = act()
        except (Exception, Overdue, SystemExit):
            found = traceback.format_exc(limit=-5)
        if found:
            yield f"{what}: {found}"
        elif (seconds := guard.computed() - start) > guard.SECONDS:
            yield f"{what}: computed for {seconds:.1f} s"

    def _read(self, path: str, number: int) -> str:
        try:
            if self.row.inputs or number % 2:
                formats.read(path)
            else:
                lstmcli.load(path, layer=0)
        except UserError as error:
            if not str(error).strip():
                return "an empty message"
            if ran_out_of_memory(error):
                return f"more memory than a file may take: {error}"
        return ""

    def _screen(self, command: list[str], stdin: IO[bytes]) -> str:
        with _streams(stdin) as (out, err, terminal):
            status = cli.invoke(command)
        shown = out.getvalue() + err.getvalue()
        if letter := unprintable(shown.decode("utf-8", "surrogateescape")):
            return f"a control character on the screen: {letter}"
        if (
            status not in (0, DIFFERENT * (command[0] == "diff"), 2)
            or b"Traceback" in shown
        ):
            return f"status {status}: {shown[-2000:].decode(errors='replace')}"
        if status == 2 and not err.getvalue().strip():
            return "status 2 without a message"
        if terminal.starved:
            return f"more memory than a file may take: {shown[-500:].decode(errors='replace')}"
        return ""


class _Terminal(io.TextIOWrapper):
    """A text stream that notes whether what is written to it is of a MemoryError."""

    starved = False

    def write(self, text: str, /) -> int:
        """Write; the error that is reported is still being handled then."""
        self.starved |= ran_out_of_memory(sys.exc_info()[1])
        return super().write(text)


@contextmanager
def _streams(stdin: IO[bytes]) -> Iterator[tuple[io.BytesIO, io.BytesIO, _Terminal]]:
    """Standard input as given, standard output and error in memory."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.BytesIO()
    texts = [_Terminal(one, "utf-8", write_through=True) for one in (out, err)]
    sys.stdin = SimpleNamespace(buffer=stdin, isatty=lambda: False)
    sys.stdout, sys.stderr = texts
    try:
        yield out, err, texts[1]
    finally:
        for one in texts:
            one.flush()
            one.detach()  # else it closes what it wrote to
        sys.stdin, sys.stdout, sys.stderr = before
