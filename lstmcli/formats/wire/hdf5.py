"""HDF5 files, read with h5py in a child process.

A damaged file can end the library in a segmentation fault or an endless loop,
which no check prevents. The child has limits of time and memory, and opens
only its standard input. It writes a line of JSON for each group and dataset,
after one with ``shape`` and ``dtype`` the bytes of the array, and in the end
``end`` or ``error``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from math import prod
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np

from lstmcli.errors import MissingExtra, SettingsToTry, UserError, import_extra
from lstmcli.escaping import one_line
from lstmcli.formats.document import BFLOAT16, Arrays, native, size_as_read
from lstmcli.formats.files import limits
from lstmcli.formats.files.limits import damaged
from lstmcli.formats.files.source import Opened

MOST_OBJECTS = 1 << 16
MOST_GROUPS = 32  # within each other
LARGE = 64 << 20  # bytes that any dataset may contain
SPARE_MEMORY = 1 << 30  # bytes of address space beyond the file and its largest tensor

_PACKAGES = os.path.abspath(
    os.path.join(__file__, *[os.pardir] * 4)
)  # the folder of lstmcli
_CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from lstmcli.formats.wire import hdf5
hdf5.main(**json.loads(sys.argv[2]))
"""


class Contents(NamedTuple):
    """Attributes and datasets by path, in alphabetical order; "" is the root."""

    attributes: dict[str, dict[str, Any]]
    arrays: Arrays


def contents(
    source: Opened, attributes: Collection[str], leave_out: Collection[str]
) -> Contents:
    """All datasets of numbers, bfloat16 widened to float32, and the attributes of these names.

    A number may follow the name of an attribute; ``leave_out`` names groups at
    the root.
    """
    need_library(source.source, "an HDF5 file")
    seconds = limits.SECONDS + source.size // limits.SLOWEST
    request = {
        "attributes": list(attributes),
        "leave_out": list(leave_out),
        "source": one_line(source.source),
        "size": source.size,
        "most": limits.most(),
        "seconds": seconds,
    }
    output, status = _child(source, request)
    try:
        return understood(BytesIO(output))
    except EOFError:
        end = f"it was stopped after {seconds} s, or crashed: status {status}"
        raise damaged(
            source.source, f"the HDF5 library cannot read it: {end}"
        ) from None


def need_library(where: str, kind: str) -> None:
    """Raise UserError if h5py is not installed."""
    if find_spec("h5py") is None:
        raise MissingExtra(f"{where} is {kind}; reading it", "h5py", "h5")


def understood(output: IO[bytes]) -> Contents:
    """The contents in the child's output; UserError for its error, EOFError if cut."""
    found = Contents({}, {})
    while True:
        line = output.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        entry = json.loads(line)
        if "end" in entry:
            return found
        if "error" in entry:
            raise UserError(*entry["error"], try_=map(SettingsToTry, entry["settings"]))
        found.attributes[entry["path"]] = entry["attributes"]
        if "shape" in entry:
            found.arrays[entry["path"]] = _array(
                output, entry["shape"], np.dtype(entry["dtype"])
            )


def _array(output: IO[bytes], shape: list[int], dtype: np.dtype[Any]) -> np.ndarray:
    data = output.read(prod(shape) * dtype.itemsize)
    if len(data) < prod(shape) * dtype.itemsize:
        raise EOFError
    return native(np.frombuffer(data, dtype)).reshape(shape)


def _child(source: Opened, request: dict[str, Any]) -> tuple[bytes, int]:
    """Output and status of a process isolated from the user's modules (-I)."""
    file: Any = (
        {"stdin": source.stream} if source.path else {"input": source.stream.read()}
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CODE, _PACKAGES, json.dumps(request)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"},
            timeout=request["seconds"] + limits.PATIENCE,
            check=False,
            **file,
        )
    except subprocess.TimeoutExpired:
        return b"", -9  # SIGKILL
    except OSError as error:
        raise UserError(
            f"{source.source}: no process to read it starts: {error}."
        ) from None
    return done.stdout, done.returncode


# ---- in the child


def main(seconds: int, **request: Any) -> None:
    """Answer on standard output what standard input contains; end this process."""
    given = sys.stdin.buffer
    stream = given if given.seekable() else BytesIO(given.read())
    limit_resources(seconds, request["most"], request["size"])
    write_answer(sys.stdout.buffer, stream, **request)
    sys.stdout.flush()
    os._exit(0)  # freeing numpy and h5py piece by piece takes time


def limit_resources(seconds: int, most: int, size: int) -> None:
    """Set the limits of this process, where the system has them."""
    if find_spec("resource") is None:
        return
    resource = import_module("resource")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file behind
    memory = SPARE_MEMORY + 2 * min(most, max(LARGE, limits.MOST_TIMES * size)) + size
    for kind, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory)):
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or hard > value:
            resource.setrlimit(kind, (value, hard))


def write_answer(
    out: IO[bytes], stream: BinaryIO, source: str, most: int, **request: Any
) -> None:
    """Write the contents of a file, line by line; an error is the last line."""
    limits.allow(most)
    try:
        library = import_extra("h5py", f"{source} is an HDF5 file; reading it", "h5")
        with library.File(stream, "r") as file:
            traversal = _Traversal(library, source, **request)
            # all is looked at, and perhaps refused, before anything is unpacked
            entries = list(traversal.entries(file, "", 0))
            for entry, dataset in entries:
                out.write(_line(**entry))
                if dataset is not None:
                    out.write(dataset[()].tobytes())
        out.write(_line(end=True))
        return
    except UserError as error:
        failed = error
    except Exception as error:  # of h5py, on damaged files: of any class
        text = " ".join(str(error).split()) or type(error).__name__
        failed = damaged(source, f"the HDF5 library: {text}")
    out.write(
        _line(error=failed.lines, settings=[dict(one.settings) for one in failed.try_])
    )


def _line(**members: Any) -> bytes:
    """A line of the answer; what is not text in a name becomes "?"."""
    return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


@dataclass
class _Traversal:
    """Every group and dataset of a file, each once, from the root down."""

    library: Any
    source: str  # what messages call the file
    attributes: Collection[str]  # their names; a number may follow
    leave_out: Collection[str]  # groups at the root
    size: int  # of the file in bytes
    seen: set[int] = field(default_factory=set)  # addresses
    total: int = 0  # bytes of all numbers

    def entries(
        self, item: Any, path: str, level: int
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """A group and all below it, or a dataset of numbers, which stands second."""
        address = self.library.h5o.get_info(item.id).addr
        if address in self.seen:
            raise self._refused(f"{path} is another name of what has a name already")
        if level > MOST_GROUPS or len(self.seen) >= MOST_OBJECTS:
            raise self._refused("it has too many groups, or too many in each other")
        self.seen.add(address)
        entry = {"path": path, "attributes": self._attributes(item)}
        if isinstance(item, self.library.Group):
            yield entry, None
            for name in item:
                if path or name not in self.leave_out:
                    below = f"{path}/{name}" if path else name
                    link = item.get(name, getlink=True)
                    if not isinstance(link, self.library.HardLink):
                        file = getattr(link, "filename", "another place in it")
                        text = f"{below} is a link to {file}; links are not followed"
                        raise self._refused(text)
                    yield from self.entries(item[name], below, level + 1)
        elif isinstance(item, self.library.Dataset) and self._is_read(item, path):
            yield {**entry, "shape": item.shape, "dtype": item.dtype.str}, item

    def _refused(self, reason: str) -> UserError:
        return UserError(f"{self.source} is refused: {reason}.")

    def _attributes(self, item: Any) -> dict[str, Any]:
        names = [
            one for one in item.attrs if one.rstrip("0123456789") in self.attributes
        ]
        return {name: _texts(item.attrs[name]) for name in names}

    def _is_read(self, dataset: Any, path: str) -> bool:
        dtype, shape = dataset.dtype, dataset.shape
        if shape is None or (dtype.kind not in "fiub" and dtype != BFLOAT16):
            return False
        if dataset.external or dataset.is_virtual:
            raise self._refused(
                f"{path} keeps its numbers in another file, which is not opened"
            )
        itemsize = size_as_read(dtype)
        size = prod(shape) * itemsize
        if size > max(LARGE, limits.MOST_TIMES * dataset.id.get_storage_size()):
            raise self._refused(f"{path} would unpack to {size:,} bytes")
        self.total += size
        limits.check_total(self.total, self.size, self.source)
        limits.check_size(shape, itemsize, f"{self.source}: {path}")
        return True


def _texts(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_texts(one) for one in value.ravel().tolist()]
    return str(value)
