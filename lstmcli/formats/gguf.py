"""`.gguf`: the tensors of llama.cpp and other programs on ggml, plain or packed.

The library ``gguf`` unpacks numbers. The header is parsed here, with checks of counts, lengths and
offsets that the library's reader does not make; it also needs a path, which standard input does not
have, and creates an object for every field.
"""

from __future__ import annotations

import struct
from math import prod
from typing import NamedTuple

import numpy as np

from lstmcli.errors import UserError, import_extra
from lstmcli.formats.document import Document
from lstmcli.formats.files.errors import damage_reported
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.source import Opened

VERSIONS = (2, 3)
MOST_TENSORS = 1 << 16  # a model of a hundred layers has a thousand
MOST_FIELDS = 1 << 16
MOST_DEPTH = 4  # of arrays in arrays
LONGEST_NAME = 1 << 24  # bytes of one string
ALIGNMENT = 32  # bytes, unless the field general.alignment has others
MOST_DIMENSIONS = 4  # of ggml

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of scalars
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_PLAIN = {0: "<f4", 1: "<f2", 24: "i1", 25: "<i2", 26: "<i4", 27: "<i8", 28: "<f8"}


class _Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]  # as NumPy has it: the reverse of the file's
    kind: int
    offset: int


def read(file: Opened) -> Document:
    """All tensors, in the order of the file, packed ones as float32.

    Tensors of types that the library does not unpack are left out, with a remark.

    Raises
    ------
    UserError
        A broken file, one of another version or byte order, or no library to unpack it with.
    """
    with damage_reported(f"{file.source}, a GGUF model,"):
        tensors, start = _Header(file).tensors()
        arrays: dict[str, np.ndarray] = {}
        left_out: list[str] = []
        for tensor in tensors:
            array = _array(file, tensor, start)
            if array is None:
                left_out.append(tensor.name)
            else:
                arrays[tensor.name] = array
    shown = ", ".join(left_out[:8]) + ", ..." * (len(left_out) > 8)
    remark = f"{file.source}: left out, of types that the library gguf does not unpack: {shown}."
    return Document(file.source, "gguf", arrays, remarks=(remark,) if left_out else ())


class _Header:
    """A parser of the fields, which are skipped but for the alignment, and the tensors."""

    def __init__(self, file: Opened) -> None:
        self._stream, self._size, self._source = file.stream, file.size, file.source
        self._alignment = ALIGNMENT

    def tensors(self) -> tuple[list[_Tensor], int]:
        """The tensors, and the position of their numbers in the file."""
        self._bytes(4)  # the magic
        version = self._number("<I")
        if version not in VERSIONS:
            swapped = struct.unpack(">I", struct.pack("<I", version))[0] in VERSIONS
            what = "big-endian" if swapped else f"version {version}"
            raise UserError(f"{self._source} is a {what} GGUF file; versions 2 and 3 are read.")
        count, fields = self._number("<Q"), self._number("<Q")
        if count > MOST_TENSORS or fields > MOST_FIELDS:
            raise ValueError(f"it claims {count:,} tensors and {fields:,} fields")
        for _ in range(fields):
            self._field()
        tensors = [self._tensor() for _ in range(count)]
        if len({tensor.name for tensor in tensors}) < count:
            raise ValueError("two tensors have one name")
        end = self._stream.tell()
        return tensors, end + -end % self._alignment

    def _bytes(self, count: int) -> bytes:
        self._refuse_beyond_end(count)
        return self._stream.read(count)

    def _skip(self, count: int) -> None:
        self._refuse_beyond_end(count)
        self._stream.seek(count, 1)

    def _refuse_beyond_end(self, count: int) -> None:
        if count > self._size - self._stream.tell():
            raise ValueError("it ends too early")

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(form, self._bytes(struct.calcsize(form)))
        return int(number)

    def _text(self) -> str:
        length = self._number("<Q")
        if length > LONGEST_NAME:
            raise ValueError(f"a text of {length:,} bytes")
        return self._bytes(length).decode()

    def _field(self) -> None:
        name, kind = self._text(), self._number("<I")
        if name == "general.alignment" and kind == _UINT32:
            self._alignment = self._number("<I")
            if self._alignment == 0 or self._alignment & (self._alignment - 1):
                raise ValueError(f"an alignment of {self._alignment}")
            return
        self._skip_value(kind, 0)

    def _skip_value(self, kind: int, depth: int) -> None:
        if kind in _SIZES:
            self._skip(_SIZES[kind])
        elif kind == _STRING:
            self._skip(self._number("<Q"))
        elif kind == _ARRAY and depth < MOST_DEPTH:
            inner, count = self._number("<I"), self._number("<Q")
            if inner in _SIZES:
                self._skip(count * _SIZES[inner])
                return
            self._refuse_beyond_end(8 * count)  # a string or an array has a length of 8 bytes
            for _ in range(count):
                self._skip_value(inner, depth + 1)
        else:
            raise ValueError(f"a field of type {kind}")

    def _tensor(self) -> _Tensor:
        name, dimensions = self._text(), self._number("<I")
        if dimensions > MOST_DIMENSIONS:
            raise ValueError(f"{name} has {dimensions} dimensions")
        sizes = [self._number("<Q") for _ in range(dimensions)]
        return _Tensor(name, tuple(reversed(sizes)), self._number("<I"), self._number("<Q"))


def _array(file: Opened, tensor: _Tensor, start: int) -> np.ndarray | None:
    """The numbers of a tensor; None of a type that the library does not unpack."""
    where = f"{file.source}: {tensor.name}"
    check_size(tensor.shape, 4, where)
    if plain := _PLAIN.get(tensor.kind):
        dtype = np.dtype(plain)
        data = _data(file, tensor, start, prod(tensor.shape) * dtype.itemsize)
        array = np.frombuffer(data, dtype).reshape(tensor.shape)
        return array.astype(dtype.newbyteorder("="))
    purpose = f"{file.source} is a GGUF model with packed numbers; reading it"
    gguf = import_extra("gguf", purpose, "gguf")
    try:
        kind = gguf.GGMLQuantizationType(tensor.kind)
        block, size = gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        return None
    *outer, width = tensor.shape
    if width % block:
        raise ValueError(f"{tensor.name} has rows of {width}, no multiple of {block}")
    rows = np.frombuffer(
        _data(file, tensor, start, prod(outer) * (width // block * size)), np.uint8
    ).reshape(*outer, width // block * size)
    try:
        with np.errstate(all="ignore"):  # scales of a damaged file may be infinite
            return np.asarray(gguf.dequantize(rows, kind), np.float32).reshape(tensor.shape)
    except NotImplementedError:
        return None


def _data(file: Opened, tensor: _Tensor, start: int, count: int) -> bytes:
    begin = start + tensor.offset
    if begin + count > file.size:
        raise ValueError(f"the numbers of {tensor.name} end behind its end")
    file.stream.seek(begin)
    return file.stream.read(count)
