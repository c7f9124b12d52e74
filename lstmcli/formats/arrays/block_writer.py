"""An array in a file that is filled block by block, in any order and from any thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from threading import Lock
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy_format

from lstmcli.outputs import errors_named

COPIED = 1 << 20  # bytes at a time
NUMBERS = 1 << 14  # of an array that are turned into text at a time


class BlockWriter:
    """An array (n, m, ...) or (n, K) on disk, of which blocks along the first axes are written.

    It is written with `pwrite` and not mapped: on a full disk, writing to a mapped file ends the
    process.
    """

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

    def rows(self) -> Iterator[np.ndarray]:
        """The rows of the array as `rows_of` returns them."""
        self._file.seek(self._start)
        width, left = self.shape[-1], prod(self.shape[:-1])
        most = max(1, NUMBERS // width)
        while left > 0:
            count = min(most, left)
            data = self._file.read(count * width * self.dtype.itemsize)
            yield np.frombuffer(data, self.dtype).reshape(count, width)
            left -= count

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


def rows_of(array: np.ndarray | BlockWriter) -> Iterator[np.ndarray]:
    """The rows along the last axis of an array of any number of axes, in C order: blocks (n, K)."""
    if isinstance(array, BlockWriter):
        yield from array.rows()
    elif array.ndim > 2 and prod(array.shape[1:]) > NUMBERS:
        for part in array:
            yield from rows_of(part)
    else:
        array = np.atleast_2d(array)
        size = max(1, NUMBERS // max(1, prod(array.shape[1:])))
        for first in range(0, len(array), size):
            block = array[first : first + size]
            yield block.reshape(prod(block.shape[:-1]), block.shape[-1])
