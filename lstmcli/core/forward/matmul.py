"""The matrix product of a step: K (4H, N) times an operand [x; h; 1] (N, R) into z (4H, R).

It is most of the time of a batch, and BLAS decides how quick it is. OpenBLAS copies both matrices
into a packed form at each call, which for a small batch is half of the work: NumPy offers
no way to keep K packed. Its AVX-512 builds also have kernels that pack nothing, for products of up
to a million multiplications. So K is cut into pieces of rows that are small enough for them.

The pieces follow from the shapes and the kernels of the BLAS in use, so on one machine equal runs
stay equal bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.forward import blas
from lstmcli.core.model.arrays import Array

Product = Callable[[Array, Any], object]

UNPACKED = 1_000_000  # multiplications of a product that those kernels take
SMALL_BATCH = 12  # sequences of a batch for which a piece of any size pays
LARGE = 1 << 16  # bytes of z from which `dot`, which fills it with zeros first, is the slower
GRAIN = 16  # rows of K that the kernels take at a time, and that a piece has at least otherwise


LINE = 64  # bytes of a cache line


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array as `numpy.empty`, but from the start of a cache line.

    Arrays of NumPy start at any multiple of 16 bytes. A vector of 64 bytes is then on two lines,
    and its every load and store costs two: on an Intel Xeon with AVX-512 an addition took twice
    the time, a division a seventh more, and a product that packs nothing up to half as much again.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + LINE, np.uint8)
    first = -raw.__array_interface__["data"][0] % LINE
    return raw[first : first + size].view(dtype).reshape(shape)


def piece(shape: tuple[int, ...], batch: int) -> int:
    """How many rows of K, of shape (4H, N), are multiplied at a time; in many cases all.

    Measured on an Intel Xeon and on AMD Zen 5, both with AVX-512, OpenBLAS 0.3.31: a product cut
    so takes a quarter to two thirds of the time for batches of 2 to 13, and 0.65 to 0.95 for
    more.
    """
    length, width = shape
    if length * width * batch <= UNPACKED or not blas.has_unpacked_kernels():
        return length
    size = UNPACKED // (batch * width)
    if batch > SMALL_BATCH:
        size -= size % GRAIN
    return size or length


def product(K: Array, z: Array) -> tuple[Product, Any]:
    """The function of an operand (N, R) and a target; and that target, made of z (4H, R)."""
    length, batch = z.shape
    if K.dtype.char not in "fd":  # BLAS has no others, and `dot` is what NumPy itself is quick at
        return K.dot, z
    size = piece(K.shape, batch)
    if size == length:
        return (partial(np.matmul, K) if z.nbytes > LARGE else K.dot), z
    count, left = divmod(length, size)
    cut = count * size
    stack, stacked = K[:cut].reshape(count, size, -1), z[:cut].reshape(count, size, batch)
    multiply, rest = np.matmul, K[cut:].dot

    def in_pieces(operand: Array, parts: tuple[Array, Array]) -> None:
        multiply(stack, operand, parts[0])  # all pieces in one call, which holds no lock
        if left:
            rest(operand, parts[1])

    return in_pieces, (stacked, z[cut:])


def product_of_one(K: Array) -> Product:
    """The function of a single sequence: of (N,) and (4H,); quicker with the transposed matrix."""
    transposed = aligned_empty(K.shape[::-1], K.dtype)
    transposed[:] = K.T
    return transposed.T.dot


def saves_packing(K: Array, batch: int, blocks: Sequence[slice]) -> bool:
    """Whether one block is quicker than several: unless only these are multiplied unpacked."""
    size = blocks[0].stop - blocks[0].start
    return piece(K.shape, batch) < len(K) or piece(K.shape, size) == len(K)


def is_same_in_one_block(K: Array, batch: int, blocks: Sequence[slice]) -> bool:
    """Whether one block of all sequences gives the same bits as these blocks.

    That is a property of the kernels that BLAS chooses for these shapes, not of the numbers, so
    one product of random ones shows it, once.
    """
    shapes = K.shape, K.dtype, batch, tuple(block.start for block in blocks)
    if shapes not in _tried:
        operand = np.random.RandomState(0).standard_normal((K.shape[1], batch)).astype(K.dtype)
        full = _multiply(K, operand)
        _tried[shapes] = all(
            np.array_equal(_multiply(K, operand[:, b].copy()), full[:, b]) for b in blocks
        )
    return _tried[shapes]


_tried: dict[tuple[Any, ...], bool] = {}


def _multiply(K: Array, operand: Array) -> Array:
    z = np.empty((len(K), operand.shape[1]), K.dtype)
    function, out = product(K, z)
    function(operand, out)
    return z
