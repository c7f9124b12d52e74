"""The tensors of an ONNX file: inside it, or as a slice of another file of its folder.

A TensorProto has its numbers as raw little-endian bytes, in a field by their data type, or in
another file. Data types that NumPy lacks are widened to float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.file_bytes import read_at, to_memoryview
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import Opened, opened
from lstmcli.formats.onnx.schema import StringStringEntryProto, TensorProto
from lstmcli.formats.wire.bfloat16 import widened
from lstmcli.formats.wire.protobuf import Message, signed

EXTERNAL = 1  # a data_location: in another file


class ElementType(NamedTuple):
    """How the elements of a data type are stored."""

    stored: str  # dtype of raw bytes
    field: int = TensorProto.int32_data  # where they are listed, if not as raw bytes
    wide: str = ""  # the dtype they become, if another
    bits: int = 0  # of each, where several share a byte


ELEMENT_TYPES = {  # by TensorProto.DataType
    1: ElementType("<f4", TensorProto.float_data),
    2: ElementType("u1"),
    3: ElementType("i1"),
    4: ElementType("<u2"),
    5: ElementType("<i2"),
    6: ElementType("<i4"),
    7: ElementType("<i8", TensorProto.int64_data),
    9: ElementType("?"),
    10: ElementType("<f2"),
    11: ElementType("<f8", TensorProto.double_data),
    12: ElementType("<u4", TensorProto.uint64_data),
    13: ElementType("<u8", TensorProto.uint64_data),
    16: ElementType("<u2", wide="<f4"),
    **{n: ElementType("u1", wide="<f4") for n in (17, 18, 19, 20)},  # float8
    21: ElementType("u1", bits=4),
    22: ElementType("i1", bits=4),
}
BFLOAT16 = 16
FLOAT8 = {  # data type -> bits of the mantissa, bias of the exponent, which codes are no numbers
    17: (3, 7, "last"), 18: (3, 8, "minus zero"), 19: (2, 15, "IEEE"), 20: (2, 16, "minus zero"),
}  # fmt: skip
UNSUPPORTED = {
    8: "strings", 14: "complex64", 15: "complex128", 23: "float4e2m1", 24: "float8e8m0",
    25: "uint2", 26: "int2",
}  # fmt: skip


def shape_of(tensor: Message) -> tuple[int, ...]:
    """The shape that a TensorProto declares."""
    return tuple(signed(n) for n in tensor.numbers(TensorProto.dims))


def is_numeric(tensor: Message) -> bool:
    """Whether `decode` reads the data type of a TensorProto."""
    return tensor.number(TensorProto.data_type) in ELEMENT_TYPES


def decode(tensor: Message, source: Opened, name: str) -> np.ndarray:
    """The array of a TensorProto, as a copy.

    Raises
    ------
    UserError
        A data type that is not read, too many numbers, or another file that is missing.
    Damaged
        More or fewer bytes than the shape needs.
    """
    where = f"{source.source}: the tensor {name!a}"
    data_type = tensor.number(TensorProto.data_type)
    if data_type not in ELEMENT_TYPES:
        raise UserError(
            f"{where} contains {UNSUPPORTED.get(data_type, f'numbers of kind {data_type}')}."
        )
    element, shape = ELEMENT_TYPES[data_type], shape_of(tensor)
    itemsize = np.dtype(element.wide or element.stored).itemsize
    count = check_size(shape, itemsize, where)
    if tensor.number(TensorProto.data_location) == EXTERNAL:
        external = _external(tensor, source, _stored_bytes(element, count), where)
        flat = _from_bytes(external, element, count)
    elif TensorProto.raw_data in tensor:
        data = tensor.bytes(TensorProto.raw_data)
        if len(data) != _stored_bytes(element, count):
            raise Damaged(f"the tensor {name!a} {shape} has {len(data):,} bytes")
        flat = _from_bytes(to_memoryview(data), element, count)
    else:
        flat = _from_field(tensor, element, count)
    if flat.size != count:
        raise Damaged(f"the tensor {name!a} {shape} has {flat.size:,} numbers")
    return _widened(flat, data_type).reshape(shape)


def _stored_bytes(element: ElementType, count: int) -> int:
    if element.bits:
        return -(-count * element.bits // 8)
    return count * np.dtype(element.stored).itemsize


def _from_bytes(
    data: bytes | memoryview | np.ndarray, element: ElementType, count: int
) -> np.ndarray:
    if not element.bits:
        numbers = np.frombuffer(data, element.stored)
        return numbers if numbers.flags.writeable else numbers.copy()  # from a part of the model
    packed = np.frombuffer(data, "u1")
    codes = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count]
    signed_codes = codes.astype(np.int8)
    if element.stored == "i1":  # codes from 8 on stand for -8 to -1
        signed_codes[codes > 7] -= 16
    return signed_codes.astype(element.stored)


def _from_field(tensor: Message, element: ElementType, count: int) -> np.ndarray:
    if element.field in (TensorProto.float_data, TensorProto.double_data):
        itemsize = np.dtype(element.stored).itemsize
        return np.frombuffer(tensor.fixed(element.field, itemsize), element.stored).copy()
    if element.bits:  # two numbers in each
        packed = tensor.varints(element.field, -(-count // 2)).astype("u1").tobytes()
        return _from_bytes(packed, element, count)
    numbers = tensor.varints(element.field, count)
    if element.stored == "<f2":
        return numbers.astype("<u2").view("<f2")
    return numbers.view(np.int64).astype(element.stored)


def _widened(flat: np.ndarray, data_type: int) -> np.ndarray:
    """The numbers in a dtype of this machine that NumPy has."""
    if data_type == BFLOAT16:
        flat = widened(flat)
    elif data_type in FLOAT8:
        flat = _float8(*FLOAT8[data_type])[flat]
    return np.asarray(flat.astype(flat.dtype.newbyteorder("="), copy=False))


def _float8(mantissa: int, bias: int, special: str) -> np.ndarray:
    """The value of each of the 256 codes (arxiv.org/abs/2209.05433 and 2206.02915), (256,) float32.

    ``special``: "last" has NaN where all bits are set; "minus zero" has NaN instead of -0; "IEEE"
    has infinity and NaN where the exponent is largest.
    """
    code = np.arange(256)
    exponent, fraction = (code & 127) >> mantissa, code & (1 << mantissa) - 1
    significand = np.where(exponent > 0, fraction + (1 << mantissa), fraction)
    value: np.ndarray = np.ldexp(
        significand.astype(np.float32), np.maximum(exponent, 1) - bias - mantissa
    )
    if special == "last":
        value[127::128] = np.nan
    elif special == "IEEE":
        top = exponent == exponent.max()
        value[top] = np.where(fraction[top] > 0, np.nan, np.inf)
    value[128:] *= -1
    if special == "minus zero":
        value[128] = np.nan
    return value


def _external(tensor: Message, source: Opened, size: int, where: str) -> np.ndarray:
    """The bytes of a tensor in another file of the same folder, (size,) uint8."""
    entries = {
        entry.text(StringStringEntryProto.key): entry.text(StringStringEntryProto.value)
        for entry in tensor.messages(TensorProto.external_data)
    }
    name = entries.get("location", "").removeprefix("./")
    if source.path is None:
        raise UserError(f"{where} is in another file, {name!a}: give the path of the model.")
    path = sidecar_path(source.path, name)
    if path is None:
        raise UserError(f"{where} is in {name!a}, which is not in the folder of the model.")
    offset, length = (_digits(entries.get(key), key) for key in ("offset", "length"))
    if length not in (None, size):
        raise Damaged(f"{where} needs {size:,} bytes and declares {length:,}")
    with opened(path) as part:
        if (offset or 0) + size > part.size:
            raise UserError(f"{where} reaches past the end of {part.source}.")
        return read_at(part, offset or 0, size)


def _digits(text: str | None, key: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Damaged(f"an {key} in it is {text[:20]!a}")
    return int(text)
