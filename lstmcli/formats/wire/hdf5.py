"""HDF5 files, read with h5py in a child process (`formats.wire.hdf5_process`).

On damaged files, h5py can crash or loop for ever, which no check beforehand prevents. A child
process costs a fifth of a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from signal import Signals
from threading import Timer
from typing import IO, Any, NamedTuple

import numpy as np

from lstmcli.errors import MissingExtra, UserError
from lstmcli.formats.files.errors import damaged
from lstmcli.formats.files.limits import PATIENCE, SECONDS, SLOWEST, check_size, most
from lstmcli.formats.files.source import Opened
from lstmcli.formats.wire.bfloat16 import widened

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hdf5_process.py")
# the folder that contains the package
_PACKAGES = os.path.abspath(os.path.join(os.path.dirname(_CHILD), *[os.pardir] * 3))

_CODE = """
import json, os, sys
from importlib.util import module_from_spec, spec_from_file_location
options = json.loads(sys.argv[1])
sys.path.append(options.pop("packages"))
spec = spec_from_file_location("hdf5_process", options.pop("child"))
module = module_from_spec(spec)
spec.loader.exec_module(module)
module.main(**options)
sys.stdout.flush()
os._exit(0)  # freeing numpy and h5py piece by piece takes time
"""


class Contents(NamedTuple):
    """Attributes and datasets of a file by path, in alphabetical order."""

    attributes: dict[str, dict[str, Any]]  # of every group and dataset; "" is the root
    arrays: dict[str, np.ndarray]


def contents(source: Opened, attributes: Collection[str], leave_out: Collection[str]) -> Contents:
    """All datasets of numbers, and the attributes of these names, which a number may follow.

    ``leave_out`` names groups at the root. bfloat16, which NumPy does not have, is widened to
    float32.

    Raises
    ------
    UserError
        A damaged file, one that leads out of itself or unpacks to far more than it is, a tensor
        larger than allowed, or no library to read it with.
    """
    need_library(source.source, "an HDF5 file")
    request = {"attributes": list(attributes), "leave_out": list(leave_out)}
    with _answer(source, request) as answer:
        return understood(answer, source.source)


def need_library(where: str, kind: str) -> None:
    """Raise UserError if h5py is not installed."""
    if find_spec("h5py") is None:
        raise _without_library(where, kind)


def _without_library(where: str, kind: str, reason: str = "") -> MissingExtra:
    return MissingExtra(f"{where} is {kind}; reading it", f"h5py{reason}", "h5")


def understood(answer: IO[bytes], where: str) -> Contents:
    """The contents in the child's answer.

    Raises
    ------
    UserError
        The answer is an error.
    EOFError
        The answer is incomplete.
    """
    found = Contents({}, {})
    while not (entry := _line(answer)).get("end"):
        if "missing" in entry:
            raise _without_library(where, "an HDF5 file", f" ({entry['missing']})")
        if "damaged" in entry:
            raise damaged(where, f"the HDF5 library: {entry['damaged']}")
        if "refused" in entry:
            raise UserError(f"{where} is refused: {entry['refused']}.")
        path = entry["path"]
        found.attributes[path] = entry["attributes"]
        if "shape" in entry:
            found.arrays[path] = _array(answer, entry, f"{where}: {path}")
    return found


def _line(answer: IO[bytes]) -> dict[str, Any]:
    text = answer.readline()
    if not text.endswith(b"\n"):
        raise EOFError
    line: dict[str, Any] = json.loads(text)
    return line


def _array(answer: IO[bytes], entry: dict[str, Any], where: str) -> np.ndarray:
    kind = np.dtype(entry["dtype"])
    count = check_size(entry["shape"], kind.itemsize, where) * kind.itemsize
    data = answer.read(count)
    if len(data) != count:
        raise EOFError
    if kind == np.dtype("V2"):
        return widened(np.frombuffer(data, "<u2")).reshape(entry["shape"])
    return np.frombuffer(data, kind).reshape(entry["shape"]).astype(kind.newbyteorder("="))


@contextmanager
def _answer(source: Opened, request: dict[str, Any]) -> Iterator[IO[bytes]]:
    """The child's answer about a file; UserError if the child ends early."""
    seconds = SECONDS + source.size // SLOWEST
    request |= {"child": _CHILD, "packages": _PACKAGES}
    request |= {"most": most(), "seconds": seconds, "size": source.size}
    with _started(source, json.dumps(request)) as child:
        alarm = Timer(seconds + PATIENCE, child.kill)
        alarm.start()
        try:
            if child.stdin is not None:
                _hand_over(source, child.stdin)
            assert child.stdout is not None
            yield child.stdout
            child.wait()  # its answer was read to the end
        except EOFError:
            reason = f"the HDF5 library cannot read it: {_end(child.wait(), seconds)}"
            raise damaged(source.source, reason) from None
        finally:
            alarm.cancel()
            child.kill()


def _started(source: Opened, request: str) -> subprocess.Popen[bytes]:
    """The child, with the file as its standard input, or a pipe where it is in memory.

    It runs isolated (-I): modules in the current folder, PYTHONPATH and the user's site-packages
    cannot replace those that it imports. The folder of this package is last in its path, since
    h5py may be installed only there (pip install --user, --target).
    """
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE, request],
            stdin=subprocess.PIPE if source.path is None else source.stream,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"},
        )
    except OSError as error:
        raise UserError(
            f"{source.source}: no process could be started to read it: {error}."
        ) from None


def _hand_over(source: Opened, pipe: IO[bytes]) -> None:
    """Write the file to the child, which reads all of it before it answers."""
    try:
        with pipe:
            while piece := source.stream.read(1 << 20):
                pipe.write(piece)
    except BrokenPipeError:  # the child has ended; its answer says why
        pass


def _end(status: int, seconds: int) -> str:
    if status >= 0:
        return f"the process that reads it ended with status {status}"
    name = Signals(-status).name
    if name in ("SIGXCPU", "SIGKILL"):
        return f"stopped after {seconds} s"
    return f"the library crashed, {name}"
