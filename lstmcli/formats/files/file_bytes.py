"""Bytes that stay in their file until they are needed.

Nothing is mapped into memory: if a mapped file becomes shorter, SIGBUS ends the process. A read
ends in a message.
"""

from __future__ import annotations

import os
import weakref
from threading import Lock
from typing import BinaryIO, overload

import numpy as np

from lstmcli.formats.files.limits import IN_BLOCKS_FROM
from lstmcli.formats.files.source import Opened, became_shorter

WINDOW = 1 << 16  # bytes that are read at once for a single byte or a short slice


class PositionedFile:
    """A file that is read at any position, from any thread, after its stream is closed too."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self.source = source
        self._lock = Lock()
        self._descriptor = os.dup(stream.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def fill(self, view: memoryview, at: int) -> None:
        """Read bytes from a position on until the view is full; UserError if the file ends."""
        while view:
            count = self._read_once(view, at)
            if not count:
                raise became_shorter(self.source, len(view), at)
            view, at = view[count:], at + count

    def _read_once(self, view: memoryview, at: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [view], at)
        with self._lock:  # Windows and old systems: the position belongs to the descriptor
            os.lseek(self._descriptor, at, os.SEEK_SET)
            data = os.read(self._descriptor, len(view))
        view[: len(data)] = data
        return len(data)


class FileBytes:
    """A part of a file as a sequence of bytes, of which long slices stay in the file."""

    def __init__(self, file: PositionedFile, start: int, size: int) -> None:
        self._file, self._start, self._size = file, start, size
        self._window, self._window_at = memoryview(b""), 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> memoryview | FileBytes: ...

    def __getitem__(self, index: int | slice) -> int | memoryview | FileBytes:
        """A byte, or those of a slice without a step: in memory if they are at most `WINDOW`."""
        if isinstance(index, int):
            return self._in_window(index, index + 1)[0]
        start, stop, _ = index.indices(self._size)
        if stop - start > WINDOW:
            return FileBytes(self._file, self._start + start, stop - start)
        return memoryview(bytes(self._in_window(start, stop)))  # keeps no window in memory

    def _in_window(self, start: int, stop: int) -> memoryview:
        if not self._window_at <= start <= stop <= self._window_at + len(self._window):
            window = memoryview(bytearray(min(WINDOW, self._size - start)))
            self._file.fill(window, self._start + start)
            self._window, self._window_at = window, start
        return self._window[start - self._window_at : stop - self._window_at]

    def read(self) -> memoryview:
        """All of them, in memory."""
        data = np.empty(self._size, np.uint8).data
        self._file.fill(data, self._start)
        return data


Bytes = memoryview | FileBytes


def to_memoryview(data: Bytes) -> memoryview:
    """Bytes in memory, for NumPy and other libraries."""
    return data.read() if isinstance(data, FileBytes) else data


def file_bytes(file: Opened) -> Bytes:
    """All bytes of a file; in the file if they are `IN_BLOCKS_FROM` or more."""
    if file.path is not None and file.size >= IN_BLOCKS_FROM:
        return FileBytes(PositionedFile(file.stream, file.source), 0, file.size)
    return memoryview(file.contents())


def read_at(file: Opened, start: int, size: int) -> np.ndarray:
    """The bytes of a file from a position on, (size,) uint8."""
    data = np.empty(size, np.uint8)
    if size:
        PositionedFile(file.stream, file.source).fill(data.data, start)
    return data
