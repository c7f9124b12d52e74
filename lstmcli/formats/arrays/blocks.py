"""Large arrays in their files: read, or filled, block by block from any thread.

Nothing is mapped into memory: where a mapped file becomes shorter, or the disk is full, SIGBUS ends
the process. A read or a write ends in a message.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from math import prod
from threading import Lock
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy_format

from lstmcli.formats.document import native
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.source import became_shorter
from lstmcli.outputs import errors_named

BFLOAT16 = np.dtype("V2")  # of the .npy files that JAX and ml_dtypes save
COPIED = 1 << 20  # bytes at a time
NUMBERS = 1 << 14  # of an array that are turned into text at a time


class FileArray:
    """An array (N, K) or (N, M, K) in a file, in C order, which outlives the stream it came from.

    A slice of its first two axes is an array in memory.
    """

    def __init__(
        self,
        stream: BinaryIO,
        source: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        start: int,
    ) -> None:
        self.source, self.shape, self.ndim = source, shape, len(shape)
        self.dtype = np.dtype(np.float32) if dtype == BFLOAT16 else dtype.newbyteorder("=")
        self._stored, self._start, self._lock = dtype, start, Lock()
        self._descriptor = os.dup(stream.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | tuple[slice, ...]) -> np.ndarray:
        """The numbers between the bounds of one or two slices without a step."""
        slices = index if isinstance(index, tuple) else (index,)
        bounds = [one.indices(n)[:2] for one, n in zip(slices, self.shape, strict=False)]
        first, last = bounds[0]
        inner_first, inner_last = bounds[1] if len(bounds) > 1 else (0, self.shape[1])
        counts = max(0, last - first), max(0, inner_last - inner_first)
        array = np.empty((*counts, *self.shape[2:]), self._stored)
        inner = prod(self.shape[2:]) * self._stored.itemsize  # bytes
        outer = self.shape[1] * inner
        at = self._start + first * outer + inner_first * inner
        if counts[1] == self.shape[1]:
            self._fill(array, at)
        else:
            for n, part in enumerate(array):
                self._fill(part, at + n * outer)
        is_bfloat16 = self._stored == BFLOAT16
        return native(array.view("<u2") if is_bfloat16 else array, is_bfloat16)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The array in memory."""
        check_size(self.shape, self.dtype.itemsize, self.source)
        return self[:].astype(dtype or self.dtype, copy=False)

    def _fill(self, array: np.ndarray, at: int) -> None:
        """Read an array from a position in the file; UserError if the file ends before."""
        view = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
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


class BlockWriter:
    """An array (n, m, ...) or (n, K) on disk, of which blocks along the first axes are written."""

    def __init__(
        self, file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any], output: str
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._output = output  # what messages call the file
        self._file, self._lock = file, Lock()
        self._strides = np.cumprod([dtype.itemsize, *shape[:0:-1]])[::-1].tolist()
        with errors_named(output):
            write_header(file, shape, dtype)
            file.flush()
            self._start = file.tell()
            file.truncate(self._start + shape[0] * self._strides[0])

    def write(self, index: tuple[slice, ...], array: np.ndarray) -> None:
        """Write an array to the slices of the first axes."""
        array = np.ascontiguousarray(array, self.dtype)
        along = index[-1]
        if len(index) == 1 or along.stop - along.start == self.shape[1]:
            self._put(index[0].start * self._strides[0], array)
            return
        first, inner = index[0].start, along.start * self._strides[1]
        for n, row in enumerate(array):
            self._put((first + n) * self._strides[0] + inner, row)

    def copy_to(self, stream: BinaryIO) -> None:
        """Write the file with its header to a stream."""
        import shutil

        self._file.seek(0)
        shutil.copyfileobj(self._file, stream, COPIED)

    def _put(self, at: int, array: np.ndarray) -> None:
        data = array.reshape(-1).view(np.uint8).data
        if not hasattr(os, "pwrite"):  # Windows
            with self._lock:
                self._file.seek(self._start + at)
                self._file.write(data)
            return
        with errors_named(self._output):
            while data:
                written = os.pwrite(self._file.fileno(), data, self._start + at)
                data, at = data[written:], at + written


def write_header(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Write the header of an array in C order."""
    header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(cast(Any, stream), header)


def rows_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """The rows along the last axis of an array of any number of axes, in C order: blocks (n, K)."""
    if array.ndim > 2 and prod(array.shape[1:]) > NUMBERS:
        for part in array:
            yield from rows_of(part)
    else:
        array = np.atleast_2d(array)
        size = max(1, NUMBERS // max(1, prod(array.shape[1:])))
        for first in range(0, len(array), size):
            block = array[first : first + size]
            yield block.reshape(prod(block.shape[:-1]), block.shape[-1])
