"""The process that reads an HDF5 file for `formats.wire.hdf5`, because the library can crash.

On a damaged file the HDF5 library can end in a segmentation fault or an endless loop. This process
has limits of time and memory. The file is its standard input; it opens no other, and follows no
links.

It imports nothing of this package: an isolated Python that has h5py is all it needs.

It writes lines of JSON to standard output. One with ``path`` and ``attributes`` is a group or a
dataset; the bytes of an array follow one with ``shape`` and ``dtype``. ``end`` is the last line of
a complete answer; ``refused``, ``damaged`` and ``missing`` (h5py) are the last of any other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from importlib import import_module
from io import BytesIO
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np

MOST_OBJECTS = 1 << 16
MOST_LEVELS = 32  # of groups within groups
MOST_ATTRIBUTE = 64 << 20  # bytes
MOST_TIMES = 100  # how much more than its bytes in the file a large dataset may contain
LARGE = 64 << 20  # bytes that any dataset may contain
LARGE_FILE = 256 << 20  # bytes that the datasets of any file may contain
SPARE_MEMORY = 1 << 30  # bytes of address space on top of the file and its largest tensor
KINDS = "fiub"  # of numbers


class Refused(Exception):
    """The file has something that is not followed or unpacked; the text says what."""


class Request(NamedTuple):
    """What the parent asks for."""

    attributes: Collection[str]  # their names; a number may follow
    leave_out: Collection[str]  # groups at the root
    most: int  # bytes of a tensor
    seconds: int  # of computing
    size: int  # of the file in bytes


def main(**request: Any) -> None:
    """Read standard input and write the answer to standard output."""
    out = sys.stdout.buffer
    try:
        library = import_module("h5py")
    except ImportError as error:
        out.write(line(missing=str(error)))
        return
    try:
        stream: BinaryIO = sys.stdin.buffer
        if not stream.seekable():
            stream = BytesIO(stream.read())
        _limit_memory(Request(**request))
        for piece in pieces(library, stream, Request(**request)):
            out.write(piece)
    except OSError as error:  # the parent has gone
        out.write(line(damaged=str(error)))
    out.flush()


def _limit_memory(request: Request) -> None:
    """Set the limits of this process, where the system has them."""
    try:
        resource = import_module("resource")
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file behind
    tensor = min(request.most, max(LARGE, MOST_TIMES * request.size))
    memory = SPARE_MEMORY + 2 * tensor + request.size
    for kind, value in ((resource.RLIMIT_CPU, request.seconds), (resource.RLIMIT_AS, memory)):
        _, most = resource.getrlimit(kind)
        if most == resource.RLIM_INFINITY or most > value:
            resource.setrlimit(kind, (value, most))


def pieces(library: Any, stream: BinaryIO, request: Request) -> Iterator[bytes]:
    """The answer about a file, line by line; an error is the last of them."""
    try:
        with library.File(stream, "r") as file:
            traversal = _Traversal(library, request)
            traversal.describe(file, "", 0)
            for entry, dataset in traversal.found:
                yield line(**entry)
                if dataset is not None:
                    yield dataset[()].tobytes()
        yield line(end=True)
    except Refused as error:
        yield line(refused=str(error))
    except Exception as error:  # of h5py, on damaged files: of nearly every class that there is
        text = " ".join(str(error).split())
        yield line(damaged=text or type(error).__name__)


def line(**members: Any) -> bytes:
    """A line of the answer; what is no text in a damaged name becomes "?"."""
    return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


class _Traversal:
    """Every group and dataset of a file, each once, from the root down."""

    def __init__(self, library: Any, request: Request) -> None:
        self.library, self.request = library, request
        self.found: list[tuple[dict[str, Any], Any]] = []
        self._seen: set[int] = set()
        self._bytes = 0

    def describe(self, item: Any, path: str, level: int) -> None:
        """Note down a group with all that is below it, or a dataset."""
        self._refuse_loops(item, path, level)
        entry = {"path": path, "attributes": self._attributes(item)}
        if isinstance(item, self.library.Dataset):
            self._note(item, entry)
        elif isinstance(item, self.library.Group):
            self.found.append((entry, None))
            for name in item:
                if path or name not in self.request.leave_out:
                    self._refuse_links(item, name, path)
                    self.describe(item[name], f"{path}/{name}" if path else name, level + 1)

    def _refuse_loops(self, item: Any, path: str, level: int) -> None:
        address = self.library.h5o.get_info(item.id).addr
        if address in self._seen:
            raise Refused(f"{path} is another name of what has a name already")
        if level > MOST_LEVELS or len(self._seen) >= MOST_OBJECTS:
            raise Refused("it has too many groups, or too many in each other")
        self._seen.add(address)

    def _refuse_links(self, group: Any, name: str, path: str) -> None:
        link = group.get(name, getlink=True)
        if not isinstance(link, self.library.HardLink):
            target = f" {link.filename}" if hasattr(link, "filename") else ""
            kind = "another file," if target else "another place in it"
            raise Refused(f"{path}/{name} is a link to {kind}{target}; links are not followed")

    def _attributes(self, item: Any) -> dict[str, Any]:
        values = {}
        for name in item.attrs:
            if name.rstrip("0123456789") not in self.request.attributes:
                continue
            entry = item.attrs.get_id(name)
            size = prod(entry.shape) * entry.dtype.itemsize
            if size > MOST_ATTRIBUTE:
                raise Refused(f"its attribute {name} takes {size:,} bytes")
            values[name] = _texts(item.attrs[name])
        return values

    def _note(self, dataset: Any, entry: dict[str, Any]) -> None:
        """Note down a dataset of numbers, whose bytes are in this file."""
        path, kind = entry["path"], dataset.dtype
        if dataset.shape is None or (kind.kind not in KINDS and kind != np.dtype("V2")):
            return
        if dataset.external or dataset.is_virtual:
            raise Refused(f"{path} keeps its numbers in another file, which is not opened")
        count = prod(dataset.shape) * kind.itemsize
        if count > max(LARGE, MOST_TIMES * dataset.id.get_storage_size()):
            raise Refused(f"{path} would unpack to {count:,} bytes")
        self._bytes += count
        if self._bytes > max(LARGE_FILE, MOST_TIMES * self.request.size):
            raise Refused(f"it would unpack to more than {self._bytes:,} bytes")
        entry |= {"shape": dataset.shape, "dtype": kind.str}
        self.found.append((entry, None if count > self.request.most else dataset))


def _texts(value: Any) -> Any:
    """An attribute as JSON has it: a text, or a list of texts."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_texts(one) for one in value.ravel().tolist()]
    return str(value)
