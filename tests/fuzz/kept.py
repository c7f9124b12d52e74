"""One process that reads many HDF5 files, where the command starts one for each.

It runs the same code under the same limit of memory; for hundreds of damaged files it spares
starting Python as often. When the library crashes, or loops, another one takes its place.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from lstmcli.formats.files.source import Opened

SECONDS = 1  # of processor time for a file: most need 0.01
MOST, SIZE = (
    1 << 28,
    1 << 20,
)  # bytes of a tensor and of a file, by which memory is limited
FORBIDDEN = 70  # status of a process that opened or did what no reader may

_CODE = f"""
import io, json, os, signal, sys
sys.path[:] = json.loads(sys.argv[1])
import h5py
from lstmcli.formats.wire import hdf5
from tests.fuzz.guard import Audit
hdf5.limit_resources(1 << 30, {MOST}, {SIZE})
audit = Audit()
while request := sys.stdin.buffer.readline():
    request = json.loads(request)
    stream = io.BytesIO(sys.stdin.buffer.read(request["size"]))
    signal.setitimer(signal.ITIMER_PROF, {SECONDS})
    answer = io.BytesIO()
    with audit.armed():
        hdf5.write_answer(answer, stream, **request)
    if audit.found:
        os._exit({FORBIDDEN})
    signal.setitimer(signal.ITIMER_PROF, 0)
    answer = answer.getvalue()
    sys.stdout.buffer.write(len(answer).to_bytes(8, "little") + answer)
    sys.stdout.buffer.flush()
"""


class Kept:
    """Stands for `hdf5._child`; ``ends`` has the status of each process that did not survive."""

    def __init__(self) -> None:
        self.ends: list[int] = []
        self._child: subprocess.Popen[bytes] | None = None

    def answer(self, source: Opened, request: dict[str, Any]) -> tuple[bytes, int]:
        """A child's output about a file, and its status."""
        data = source.stream.read()
        del request["seconds"]
        request |= {"most": MOST, "size": len(data)}
        child = self._started()
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps(request).encode() + b"\n" + data)
        child.stdin.flush()
        length = child.stdout.read(8)
        if len(length) < 8:
            self.ends.append(child.wait())
            self.close()
            return b"", self.ends[-1]
        return child.stdout.read(int.from_bytes(length, "little")), 0

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(sys.path)],
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
            self._child.communicate(
                timeout=SECONDS
            )  # an end of its input is its own end
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._child = None
