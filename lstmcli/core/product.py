"""The matrix product of a step: K (4H, N) times an operand [x; h; 1] (N, R) into z (4H, R).

It is most of the time of a batch, and BLAS decides how quick it is. OpenBLAS copies both matrices
into a packed form at each call, which for a few rows of a batch is half of the work: NumPy offers
no way to keep K packed. Its AVX-512 builds also have kernels that pack nothing, for products of up
to a million multiplications. So K is cut into pieces of rows that are small enough for them.

The pieces follow from the shapes and the kernels of the BLAS in use, so on one machine equal runs
stay equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core import blas

Array = npt.NDArray[Any]
Product = Callable[[Array, Any], object]

UNPACKED = 1_000_000  # multiplications of a product that those kernels take
FEW = 12  # rows of a batch for which a piece of any size pays
MOST = 64  # rows of a batch from which packing is little beside the product
LEAST = 48  # rows of K that a piece has at least, where there are more than a few of the batch
GRAIN = 16  # rows of K that the kernels take at a time


def pieces(shape: tuple[int, ...], rows: int) -> list[slice]:
    """The rows of K, of shape (4H, N), that are multiplied at a time; all of them in most cases.

    Measured on AMD Zen 5 with OpenBLAS 0.3.31, the time of a product cut so: a quarter to two
    thirds for 2 to 13 rows of a batch, 0.65 to 0.95 for up to 64; in float64 0.25 to 0.95.
    """
    length, width = shape
    whole = [slice(0, length)]
    if rows > MOST or length * width * rows <= UNPACKED or not blas.has_unpacked_kernels():
        return whole
    size = UNPACKED // (rows * width)
    if rows > FEW:
        size -= size % GRAIN
    if size < (1 if rows <= FEW else LEAST):
        return whole
    return [slice(n, min(n + size, length)) for n in range(0, length, size)]


def product(K: Array, z: Array) -> tuple[Product, Any]:
    """The function of an operand (N, R) and a target; and that target: z (4H, R) or its pieces."""
    cuts = pieces(K.shape, z.shape[1])
    if len(cuts) == 1:
        return K.dot, z
    dots = [K[cut].dot for cut in cuts]

    def in_pieces(operand: Array, parts: Sequence[Array]) -> None:
        for dot, part in zip(dots, parts, strict=True):
            dot(operand, part)

    return in_pieces, [z[cut] for cut in cuts]


def product_of_one(K: Array) -> Product:
    """The function for a lone row: of (N,) and (4H,); quicker through the transposed matrix."""
    return np.ascontiguousarray(K.T).T.dot


def saves_packing(K: Array, rows: int, blocks: Sequence[slice]) -> bool:
    """Whether one block is quicker than several: unless only they are cut so as to pack nothing."""
    size = blocks[0].stop - blocks[0].start
    return len(pieces(K.shape, rows)) > 1 or len(pieces(K.shape, size)) == 1


def comes_out_whole(K: Array, rows: int, blocks: Sequence[slice]) -> bool:
    """Whether blocks of a batch may run as one: whether all get the same bits so.

    That is a property of the kernels that BLAS chooses for these shapes, not of the numbers, so
    one product of random ones shows it, once.
    """
    shapes = K.shape, K.dtype, rows, tuple(block.start for block in blocks)
    if shapes not in _tried:
        operand = np.random.RandomState(0).standard_normal((K.shape[1], rows)).astype(K.dtype)
        whole = _multiplied(K, operand)
        _tried[shapes] = all(
            np.array_equal(_multiplied(K, operand[:, b].copy()), whole[:, b]) for b in blocks
        )
    return _tried[shapes]


_tried: dict[tuple[Any, ...], bool] = {}


def _multiplied(K: Array, operand: Array) -> Array:
    z = np.empty((len(K), operand.shape[1]), K.dtype)
    function, out = product(K, z)
    function(operand, out)
    return z
