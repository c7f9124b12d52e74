"""The matrix product of a step: K (4H, N) times an operand [x; h; 1] (N, R) into z (4H, R).

It is most of the time of a batch. OpenBLAS copies both matrices into a packed
form at each call, half of the work of a small batch, and NumPy cannot keep K
packed. Its AVX-512 builds also have kernels that pack nothing, for products of
up to a million multiplications, so K is cut into pieces of rows that are small
enough. A batch of 2 to 12 sequences fills their vectors only with units, so
its operands are (R, N).

The pieces follow from the shapes and the kernels of the BLAS in use: on one
machine, equal runs stay equal bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from threading import Lock
from typing import Any

import numpy as np

from lstmcli import threads
from lstmcli.core.model.arrays import Array, DTypeLike

Product = Callable[[Any, Any], object]

UNPACKED = 1_000_000  # multiplications of a product that those kernels take
SMALL_BATCH = 12  # sequences of a batch for which a piece of any size pays
LARGE = 1 << 16  # bytes of z from which `dot` is slower, as it fills it with zeros
COLUMNS = 64  # units of a small batch at a time: a quarter quicker than 16
GRAIN = 16  # rows of K that the kernels take at a time
LINE = 64  # bytes of a cache line


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An array as `numpy.empty`, but from the start of a cache line.

    NumPy's start at any multiple of 16 bytes. A vector of 64 bytes is then on
    two lines, and each load costs two: on an Intel Xeon with AVX-512 an
    addition took twice the time, a division a seventh more, a product that
    packs nothing up to half as much again.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + LINE, np.uint8)
    first = -raw.__array_interface__["data"][0] % LINE
    return raw[first : first + size].view(dtype).reshape(shape)


def piece(shape: tuple[int, ...], batch: int) -> int:
    """The rows of K (4H, N) that are multiplied at a time; in many cases all.

    On an Intel Xeon and AMD Zen 5 with AVX-512, OpenBLAS 0.3.31, a product cut
    so takes a quarter to two thirds of the time for batches of 2 to 13, and
    0.65 to 0.95 for more.
    """
    length, width = shape
    if length * width * batch <= UNPACKED or not threads.has_unpacked_kernels():
        return length
    size = UNPACKED // (batch * width)
    if batch > SMALL_BATCH:
        size -= size % GRAIN
    return size or length


def product(K: Array, z: Array) -> tuple[Product, Any]:
    """The function of an operand (N, R) and a target, and the target of z (4, H, R)."""
    z = z.reshape(len(K), -1)
    length, batch = z.shape
    if K.dtype.char not in "fd":  # BLAS has no others
        return K.dot, z
    size = piece(K.shape, batch)
    if size == length:
        return (partial(np.matmul, K) if z.nbytes > LARGE else K.dot), z
    count, left = divmod(length, size)
    cut = count * size
    stack = K[:cut].reshape(count, size, -1)
    stacked = z[:cut].reshape(count, size, batch)
    multiply, rest = np.matmul, K[cut:].dot

    def in_pieces(operand: Array, parts: tuple[Array, Array]) -> None:
        multiply(stack, operand, parts[0])  # in one call, which holds no lock
        if left:
            rest(operand, parts[1])

    return in_pieces, (stacked, z[cut:])


def product_of_one(transposed: Array, z: Array) -> tuple[Product, Any]:
    """As `product`, of vectors (N,) and (4H,); quicker with K.T, (N, 4H) in memory."""
    return transposed.T.dot, z.reshape(-1)


def product_of_batch(K: Array, z: Array) -> tuple[Product, Any]:
    """As `product`, of operands (R, N) and z (4, R, H) in memory, in pieces."""
    _, units, batch = z.shape
    size = columns(K.shape, batch)
    K = K.reshape(4, units, -1)
    count, left = divmod(units, size)
    cut = units - left
    rows = z.swapaxes(1, 2)
    stack = aligned_empty((4, count, K.shape[2], size), K.dtype)
    stack[:] = K[:, :cut].reshape(4, count, size, -1).swapaxes(2, 3)
    rest = K[:, cut:].swapaxes(1, 2).copy()
    stacked = rows[:, :, :cut].reshape(4, batch, count, size).swapaxes(1, 2)
    multiply = np.matmul

    def in_pieces(operand: Array, parts: tuple[Array, Array]) -> None:
        multiply(operand, stack, parts[0])
        if left:
            multiply(operand, rest, parts[1])

    return in_pieces, (stacked, rows[:, :, cut:])


def columns(K: tuple[int, int], batch: int) -> int:
    """The rows of K (4H, N) that `product_of_batch` multiplies at a time."""
    return min(COLUMNS, UNPACKED // (batch * K[1]) // GRAIN * GRAIN, K[0] // 4)


def sequences_first(K: tuple[int, int], batch: int, dtype: np.dtype[Any]) -> bool:
    """Tell whether a small batch is quicker with arrays (R, K) in memory than with (K, R).

    The vectors of the kernels then contain units. On AMD Zen 5 runs took 0.68
    to 0.92 of the time; of smaller cells, whose product is not cut, 1.2 to
    1.6.
    """
    small = 1 < batch <= SMALL_BATCH and dtype.char in "fd"
    return small and columns(K, batch) > 0 and piece(K, batch) < K[0]


# What is multiplied ahead. On AMD Zen 5 with AVX-512, OpenBLAS 0.3.31, a single sequence took 0.5
# to 0.95 of the time from AHEAD_OF_ONE on, and 1.02 below it; small batches 0.75 to 0.95 from
# AHEAD on, and up to 1.09 below it.
ROWS = 64  # inputs that are multiplied at once: of 16 twice the time
PRIME = 8191
MULTIPLES = (2, 4, 8, 16)  # of rows; one row goes to another kernel
AHEAD_OF_ONE = 1 << 17  # bytes of K_x
AHEAD = 1 << 20  # bytes of K_x for each sequence of a small batch
PIECE = 256  # bytes of a row of K_x: 64 rows are as quick as uncut, 2 take half


def tile(K_x: tuple[int, int], dtype: np.dtype[Any]) -> tuple[int, int]:
    """The rows and the columns of one product of `InputProducts`, for K_x (I, 4H).

    Few enough for the kernels that pack nothing, so that a single step copies
    no K_x either.
    """
    columns, most = PIECE // dtype.itemsize, UNPACKED // (GRAIN * K_x[0])
    if most < GRAIN or not threads.has_unpacked_kernels():
        return ROWS, columns
    while columns > most:
        columns //= 2
    return GRAIN, columns


def unit_pieces(K_x: tuple[int, int], dtype: np.dtype[Any]) -> list[tuple[slice, int]]:
    """The units of the pieces of full size, and of the last one."""
    units = K_x[1] // 4
    _, size = tile(K_x, dtype)
    cut = units // size * size
    pieces = []
    if cut:
        pieces.append((slice(0, cut), size))
    if cut < units:
        pieces.append((slice(cut, units), units - cut))
    return pieces


class InputProducts:
    """The products of the columns of x with the inputs of some steps, before the first of them.

    ``pieces`` (4, n, 1, I, columns) have K_x by gate in n pieces, as
    `unit_pieces` cuts them; ``rows`` of one product are those of `tile`,
    ``multiple`` is that of `rows_ahead`. ``by_step`` (s, 4, H, R) is what each
    step adds to its z.
    """

    def __init__(
        self, pieces: Sequence[Array], batch: int, rows: int, multiple: int
    ) -> None:
        self._pieces, self._batch = pieces, batch
        self._rows, self._multiple = rows, multiple
        inputs, dtype = pieces[0].shape[3], pieces[0].dtype
        units = sum(stack.shape[1] * stack.shape[4] for stack in pieces)
        self._x = aligned_empty((ROWS, inputs), dtype)
        self._x[:] = 0
        self._z = aligned_empty((ROWS, 4, units), dtype)
        steps = ROWS // batch
        self._inputs = self._x[: steps * batch].reshape(steps, batch, -1)  # (s, R, I)
        self.by_step = (
            self._z[: steps * batch].reshape(steps, batch, 4, -1).transpose(0, 2, 3, 1)
        )

    def multiply(self, x: Array) -> None:
        """Take the inputs (s, R, I) of the next steps."""
        self._inputs[: len(x)] = x
        used = len(x) * self._batch
        unit = self._multiple if used < self._rows else self._rows
        used = -(-used // unit) * unit
        rows = min(used, self._rows)
        first = 0
        x = self._x[:used].reshape(-1, rows, self._x.shape[1])
        for stack in self._pieces:
            _, count, _, _, columns = stack.shape
            z = self._z[:used, :, first : first + count * columns]
            z = z.reshape(-1, rows, 4, count, columns).transpose(2, 3, 0, 1, 4)
            np.matmul(x, stack, z)
            first += count * columns


def plus(product: Product, z: Array) -> Product:
    """A product of the first of two operands into z, plus the second."""
    add = np.add

    def multiply(operands: tuple[Array, Array], out: Any) -> None:
        product(operands[0], out)
        add(z, operands[1], z)

    return multiply


def rows_ahead(K_x: tuple[int, int], dtype: np.dtype[Any], batch: int) -> int:
    """Of what the rows of `InputProducts` are a multiple, for K_x (I, 4H); 0: it is not used.

    It is where it is quicker and changes no bit, whatever the number of steps:
    a chunk of one step has the bits of the full run.
    """
    least = AHEAD_OF_ONE if batch == 1 else AHEAD * batch
    small = dtype.char in "fd" and batch <= SMALL_BATCH
    if not small or math.prod(K_x) * dtype.itemsize < least:
        return 0
    rows, _ = tile(K_x, dtype)
    widths = tuple(width for _, width in unit_pieces(K_x, dtype))
    with _probing:
        return rows_alike(rows, K_x[0], widths, dtype)


_probing = Lock()  # threads that start together probe once


@cache
def rows_alike(
    rows: int, inputs: int, widths: tuple[int, ...], dtype: np.dtype[Any]
) -> int:
    """A multiple of rows for which each has the same bits at any position among any number; or 0.

    Of products of at most this many ``rows`` with pieces (inputs, width): a
    run may be cut at any step. It is a property of the kernels, shown by
    products of several sizes: in OpenBLAS's for AVX-512 every shape has one,
    in float32 none in those for AVX2.
    """
    x = _distinct_numbers((rows, inputs), dtype)
    values = _distinct_numbers((PRIME,), dtype)  # no row of a piece repeats
    pieces = [np.resize(values, (inputs, width)) for width in widths]
    with threads.one_thread():
        full = [np.matmul(x, K) for K in pieces]
        turned = np.roll(x, 1, axis=0)
        for K, z in zip(pieces, full, strict=True):
            if not np.array_equal(np.matmul(turned, K), np.roll(z, 1, axis=0)):
                return 0
        for multiple in MULTIPLES:
            if multiple > rows:
                continue
            # of the last rows alone, one shape in fifty was alike by chance
            sizes = {multiple, rows // 2 - multiple, rows - multiple}
            parts = []
            for k, size in enumerate(sorted(size for size in sizes if size > 0)):
                start = k * (rows - size) // 2
                parts.append(slice(start, start + size))
            if all(
                _are_alike(x, parts, K, z) for K, z in zip(pieces, full, strict=True)
            ):
                return multiple
    return 0


def _are_alike(x: Array, parts: Sequence[slice], K: Array, z: Array) -> bool:
    """Return whether products of some rows of x have the bits of z, the product of all."""
    return all(np.array_equal(np.matmul(x[part], K), z[part]) for part in parts)


def _distinct_numbers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Distinct numbers of all digits; numpy.random takes 15 to 35 ms to import."""
    numbers: Array = np.sin(np.arange(1.0, math.prod(shape) + 1) ** 2)
    return numbers.reshape(shape).astype(dtype)


def saves_packing(K: Array, batch: int, blocks: Sequence[slice]) -> bool:
    """Tell whether one block is quicker: unless only several are multiplied unpacked."""
    size = blocks[0].stop - blocks[0].start
    return piece(K.shape, batch) < len(K) or piece(K.shape, size) == len(K)


def is_same_in_one_block(K: Array, batch: int, blocks: Sequence[slice]) -> bool:
    """Return whether one block of all sequences gives the same bits as these blocks.

    That depends on the kernels that BLAS chooses for the shapes, so one
    product shows it, once. A small block may be multiplied in another way.
    """
    if any(block.stop - block.start <= SMALL_BATCH for block in blocks):
        return False
    shapes = K.shape, K.dtype, batch, tuple(block.start for block in blocks)
    if shapes not in _tried:
        operand = _distinct_numbers((K.shape[1], batch), K.dtype)
        full = _multiply(K, operand)
        _tried[shapes] = all(
            np.array_equal(_multiply(K, operand[:, b].copy()), full[:, b])
            for b in blocks
        )
    return _tried[shapes]


_tried: dict[tuple[Any, ...], bool] = {}


def _multiply(K: Array, operand: Array) -> Array:
    z = np.empty((len(K), operand.shape[1]), K.dtype)
    function, out = product(K, z)
    function(operand, out)
    return z
