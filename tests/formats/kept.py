"""One process that reads many HDF5 files, where the command starts one for each.

It runs the same code under the same limit of memory; for hundreds of damaged files it spares
starting Python as often. When the library crashes, or loops, another one takes its place.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from lstmcli.errors import UserError
from lstmcli.formats.files.source import Opened

SECONDS = 4  # of processor time for a file

_CODE = f"""
import io, json, signal, sys
told = json.loads(sys.argv[1])
sys.path[:] = told.pop("path")
import h5py
from lstmcli.formats.wire import hdf5_process
wanted = hdf5_process.Request(**told)
hdf5_process._limit_memory(wanted._replace(seconds=1 << 30))
while size := int.from_bytes(sys.stdin.buffer.read(8), "little"):
    stream = io.BytesIO(sys.stdin.buffer.read(size))
    signal.setitimer(signal.ITIMER_PROF, {SECONDS})
    answer = b"".join(hdf5_process.pieces(h5py, stream, wanted._replace(size=size)))
    signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stdout.buffer.write(len(answer).to_bytes(8, "little") + answer)
    sys.stdout.buffer.flush()
"""


class Kept:
    """Stands for `hdf5._answer`; ``ends`` has the status of each process that did not survive."""

    def __init__(self) -> None:
        self.ends: list[int] = []
        self._child: subprocess.Popen[bytes] | None = None

    @contextmanager
    def answer(self, source: Opened, told: dict[str, Any]) -> Iterator[IO[bytes]]:
        """What a child says of a file."""
        data = source.stream.read()
        child = self._started({**told, "most": 1 << 28, "seconds": 0, "size": 1 << 20})
        assert child.stdin
        assert child.stdout
        child.stdin.write(len(data).to_bytes(8, "little") + data)
        child.stdin.flush()
        length = child.stdout.read(8)
        if len(length) < 8:
            self.ends.append(child.wait())
            self.close()
            raise UserError(f"{source.source}: HDF5 cannot read it.")
        yield io.BytesIO(child.stdout.read(int.from_bytes(length, "little")))

    def _started(self, told: dict[str, Any]) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps({**told, "path": sys.path})],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._child

    def close(self) -> None:
        """End the process."""
        if self._child is None:
            return
        try:
            self._child.communicate(timeout=SECONDS)  # an end of its input is its own end
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._child = None
