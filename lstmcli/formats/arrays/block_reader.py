"""Large arrays that stay in their file, of which blocks are read when they are needed."""

from __future__ import annotations

from math import prod
from typing import Any, BinaryIO

import numpy as np

from lstmcli.formats.files.file_bytes import PositionedFile
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.wire.bfloat16 import widened

BFLOAT16 = np.dtype("V2")  # of the .npy files that JAX and ml_dtypes save


class FileArray(PositionedFile):
    """An array (N, K) or (N, M, K) in a file, in C order.

    A slice of its first two axes is an array in memory, which any thread may read from the file.
    """

    def __init__(
        self,
        stream: BinaryIO,
        source: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        start: int,
    ) -> None:
        super().__init__(stream, source)
        self.shape, self.ndim = shape, len(shape)
        self.dtype = np.dtype(np.float32) if dtype == BFLOAT16 else dtype.newbyteorder("=")
        self._stored, self._start = dtype, start

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
            self._read(array, at)
        else:
            for n, part in enumerate(array):
                self._read(part, at + n * outer)
        if self._stored == BFLOAT16:
            return widened(array.view("<u2"))
        return array.astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The array in memory."""
        check_size(self.shape, self.dtype.itemsize, self.source)
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, array: np.ndarray, at: int) -> None:
        """Fill an array from a position in the file."""
        self.fill(array.reshape(-1).view(np.uint8).data if array.size else memoryview(b""), at)
