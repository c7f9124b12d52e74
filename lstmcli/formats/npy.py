"""`.npy` and raw numbers: one array, at once or in blocks; sizes are checked before allocation.

No file is mapped into memory: if it becomes shorter, or the disk is full,
SIGBUS ends the process, where a read or a write ends in a message.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import weakref
from collections.abc import Mapping
from math import prod
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numpy.lib import format as npy_format

from lstmcli.errors import UserError
from lstmcli.formats.document import (
    BFLOAT16,
    Document,
    Shape,
    native,
    rows_of,
    size_as_read,
)
from lstmcli.formats.files.limits import IN_BLOCKS_FROM, MOST_AXES, check_size
from lstmcli.formats.files.source import HEAD, Opened, became_shorter
from lstmcli.outputs import errors_named

T = TypeVar("T")

Stored: TypeAlias = "np.ndarray | BlockWriter"  # an array to be written

_HEADER_READERS = {  # by version: the bytes of a header's length, its reader
    (1, 0): (2, npy_format.read_array_header_1_0),
    (2, 0): (4, npy_format.read_array_header_2_0),
}

MOST_ADDRESSED = 1 << 62  # bytes that a header may claim: NumPy counts them in 63 bits


class Header(NamedTuple):
    """The header of a .npy file."""

    shape: Shape
    dtype: np.dtype[Any]
    fortran: bool
    offset: int  # of the first element, in bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * self.dtype.itemsize


def read(file: Opened, in_blocks: bool = False) -> Document:
    """The array of a .npy file; a 0-d one becomes an attribute.

    Of Python objects, as ``numpy.save`` of a dict writes them, the arrays are
    read by name; no object is loaded. ``in_blocks``: a large array of two or
    three axes in C order is a `FileArray`.
    """
    header = read_header(file.head(), file.source)
    if header.dtype.hasobject:  # which NumPy pickles behind the header
        from lstmcli.formats.torch import read_pickle  # most files need none

        return read_pickle(file, header.offset, "npy")
    check(header, file.size, file.source)
    stays = in_blocks and file.path is not None and header.nbytes >= IN_BLOCKS_FROM
    numbers = header.dtype.kind in "fiub" or header.dtype == BFLOAT16
    if stays and numbers and len(header.shape) in (2, 3) and not header.fortran:
        return Document(
            file.source, "npy", {"": cast(np.ndarray, FileArray(file, header))}
        )
    file.stream.seek(header.offset)
    value = {"": read_elements(file.stream, header, file.source)}
    if isinstance(value[""], np.ndarray):
        return Document(file.source, "npy", value)
    return Document(file.source, "npy", {}, value)


def read_header(head: bytes, where: str) -> Header:
    """Parse the head of a .npy file (64 KiB are enough); ``where`` starts a message."""
    stream = io.BytesIO(head)
    try:
        shape, fortran, dtype = _parsed(stream)
    except Exception as error:  # broken, a header's Python text raises nearly anything
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(
            f"{where}: the .npy header is broken ({reason[:120]})."
        ) from None
    return Header(shape, dtype, fortran, stream.tell())


def _parsed(stream: BinaryIO) -> tuple[Shape, bool, np.dtype[Any]]:
    version = npy_format.read_magic(stream)
    if (
        version not in _HEADER_READERS
    ):  # version 3 exists for field names beyond Latin-1
        raise ValueError(
            f"version {version[0]}.{version[1]}; 1.0 and 2.0 contain plain arrays"
        )
    width, reader = _HEADER_READERS[version]
    start = stream.tell()
    text = stream.read(int.from_bytes(stream.read(width), "little"))
    if b"\\" in text:  # many of them take NumPy's second parser seconds
        raise ValueError("a backslash, which headers of plain arrays do not have")
    stream.seek(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers written by Python 2 are fine
        return reader(stream)


def check(header: Header, size: int, where: str) -> None:
    """Refuse a dtype that is not read, an impossible shape, or one of another size."""
    dtype = header.dtype
    if dtype != BFLOAT16 and dtype.kind not in "biufUS":
        raise UserError(
            f"{where} has values of the dtype {dtype}; real numbers are needed."
        )
    if dtype.itemsize == 0:  # any number would fit into no bytes
        raise UserError(f"{where} contains strings of length 0.")
    if not all(type(n) is int and n >= 0 for n in header.shape):
        raise UserError(
            f"{where}: the header claims the impossible shape {header.shape}."
        )
    reach = (
        prod(max(n, 1) for n in header.shape) * dtype.itemsize
    )  # NumPy limits it too
    if len(header.shape) > MOST_AXES or reach > MOST_ADDRESSED:
        raise UserError(
            f"{where}: the header claims the shape {header.shape}, too large to be."
        )
    found = size - header.offset
    if found != header.nbytes:
        problem = (
            "is cut short" if found < header.nbytes else "contains more than one array"
        )
        claim = (
            f"the header claims {header.shape} {dtype.name}, {header.nbytes:,} bytes"
        )
        raise UserError(f"{where} {problem}: {claim}, but {found:,} are there.")


def read_elements(stream: BinaryIO, header: Header, where: str) -> Any:
    """The array after a checked header, native, in C order; 0-d ones and strings are Python values.

    UserError for more bytes than a tensor may take, or fewer than the header
    claims.
    """
    check_size(header.shape, size_as_read(header.dtype), where)
    data = bytearray(header.nbytes)
    view = memoryview(data)
    filled = 0
    while filled < len(data):
        count = cast(io.BufferedIOBase, stream).readinto(
            view[filled : filled + (HEAD << 4)]
        )
        if not count:
            raise UserError(
                f"{where} is cut short: {len(data) - filled:,} bytes are missing."
            )
        filled += count
    order = "F" if header.fortran else "C"
    array = np.frombuffer(data, header.dtype).reshape(header.shape, order=order)  # type: ignore[call-overload]
    return _plain(array, where)


def _plain(array: np.ndarray, where: str) -> Any:
    if array.dtype.kind in "US":
        return _strings(array, where)
    array = native(array)
    return array.item() if array.ndim == 0 else np.ascontiguousarray(array)


def _strings(array: np.ndarray, where: str) -> Any:
    try:
        if array.dtype.kind == "U" and array.size:
            points = (
                np.ascontiguousarray(array)
                .reshape(-1)
                .view(f"{array.dtype.byteorder}u4")
            )
            if np.any((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))):
                raise ValueError("no code point, or a surrogate")
        text = array if array.dtype.kind == "U" else np.char.decode(array, "utf-8")
        return text.item() if array.ndim == 0 else text.tolist()
    except ValueError:
        raise UserError(
            f"{where} contains strings that are not Unicode text."
        ) from None


def write(
    stream: BinaryIO, arrays: Mapping[str, Stored], attributes: dict[str, Any]
) -> None:
    """Write the one array; .npy has no names or attributes."""
    write_elements(stream, sole(arrays, ".npy"))


def write_elements(stream: BinaryIO, array: Stored) -> None:
    """Header and elements in C order, in pieces."""
    if isinstance(array, BlockWriter):
        array.copy_to(stream)
        return
    write_header(stream, array.shape, array.dtype)
    if array.ndim == 0:
        stream.write(array.tobytes())
        return
    for rows in rows_of(array):
        stream.write(_bytes_of(np.ascontiguousarray(rows)))


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def sole(arrays: Mapping[str, T], kind: str) -> T:
    """The only array; UserError for several, which ``kind`` cannot store."""
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise UserError(f"{kind} stores one array; there are {len(arrays)}: {names}.")
    (array,) = arrays.values()
    return array


# ---- raw numbers


_FORM = re.compile(r"(f16|bf16|f32|f64):(\d{1,12}(?:x\d{1,12})*)", re.I)
_DTYPES = {"f16": "<f2", "bf16": "V2", "f32": "<f4", "f64": "<f8"}


def is_raw_form(member: str | None) -> bool:
    """Return whether a member is a type and a shape: ``f32:7x3``."""
    return member is not None and _FORM.fullmatch(member) is not None


def read_raw(file: Opened, form: str) -> Document:
    """The array of this type and shape that a file consists of."""
    match = _FORM.fullmatch(form)
    assert match is not None, "the caller has asked is_raw_form"
    dtype, shape = (
        np.dtype(_DTYPES[match[1].lower()]),
        tuple(map(int, match[2].split("x"))),
    )
    count = check_size(shape, dtype.itemsize, f"{file.source}:{form}")
    if file.size != count * dtype.itemsize:
        needed = (
            f"{count * dtype.itemsize:,}, {count:,} numbers of {dtype.itemsize} bytes"
        )
        raise UserError(
            f"{file.source} has {file.size:,} bytes; {form} takes {needed}."
        )
    array = np.frombuffer(file.stream.read(), dtype).reshape(shape)
    return Document(file.source, "raw", {"": native(array)})


# ---- large arrays in files: read, or filled, block by block from any thread


COPIED = 1 << 20  # bytes at a time


class FileArray:
    """An array (N, K) or (N, M, K) in a file, C order; a slice of its first axes is in memory."""

    def __init__(self, file: Opened, header: Header) -> None:
        self.source, self.shape, self.ndim = (
            file.source,
            header.shape,
            len(header.shape),
        )
        self._stored, self._start, self._lock = header.dtype, header.offset, Lock()
        self.dtype = native(np.empty(0, self._stored)).dtype
        self._file = io.FileIO(os.dup(file.stream.fileno()))
        weakref.finalize(self, self._file.close)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | tuple[slice, ...]) -> np.ndarray:
        """The numbers between the bounds of one or two slices without a step."""
        slices = index if isinstance(index, tuple) else (index,)
        bounds = [
            one.indices(n)[:2] for one, n in zip(slices, self.shape, strict=False)
        ]
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
        return native(array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        check_size(self.shape, self.dtype.itemsize, self.source)
        return self[:].astype(dtype or self.dtype, copy=False)

    def _fill(self, array: np.ndarray, at: int) -> None:
        view = _bytes_of(array) if array.size else memoryview(b"")
        with self._lock:
            self._file.seek(at)
            while view:
                if not (count := self._file.readinto(view)):
                    raise became_shorter(self.source, len(view), self._file.tell())
                view = view[count:]


class BlockWriter:
    """An array (n, m, ...) or (n, K) on disk; blocks along the first axes are written."""

    def __init__(
        self, file: BinaryIO, shape: Shape, dtype: np.dtype[Any], output: str
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

        with errors_named(self._output):
            self._file.seek(0)
        shutil.copyfileobj(self._file, stream, COPIED)

    def _put(self, at: int, array: np.ndarray) -> None:
        with errors_named(self._output), self._lock:
            self._file.seek(self._start + at)
            self._file.write(_bytes_of(array))


def write_header(stream: BinaryIO, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Write the header of an array in C order."""
    header = {
        "descr": npy_format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    npy_format.write_array_header_1_0(cast(Any, stream), header)
