"""The tensors of an ONNX file: inside it, or as a slice of a file beside it.

A TensorProto keeps its numbers as raw little-endian bytes, in a field a kind of number, or in
another file (github.com/onnx/onnx/blob/v1.23.2/onnx/onnx.proto). Kinds that NumPy lacks are
widened to float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import Opened, opened
from lstmcli.formats.wire.bfloat16 import widened
from lstmcli.formats.wire.protobuf import Message, signed

# fields of a TensorProto
DIMS, TYPE, FLOATS, INT32S, INT64S, NAME, RAW = 1, 2, 4, 5, 7, 8, 9
DOUBLES, UINT64S, EXTERNAL, LOCATION = 10, 11, 13, 14
ELSEWHERE = 1  # the location that says: in another file


class Kind(NamedTuple):
    """How numbers of one kind are stored, and in which field if not as raw bytes."""

    stored: str  # dtype of the bytes
    field: int = INT32S
    wide: str = ""  # the dtype they become, if another
    bits: int = 0  # of each, where several share a byte


KINDS = {
    1: Kind("<f4", FLOATS), 2: Kind("u1"), 3: Kind("i1"), 4: Kind("<u2"), 5: Kind("<i2"),
    6: Kind("<i4"), 7: Kind("<i8", INT64S), 9: Kind("?"), 10: Kind("<f2"),
    11: Kind("<f8", DOUBLES), 12: Kind("<u4", UINT64S), 13: Kind("<u8", UINT64S),
    16: Kind("<u2", wide="<f4"), 17: Kind("u1", wide="<f4"), 18: Kind("u1", wide="<f4"),
    19: Kind("u1", wide="<f4"), 20: Kind("u1", wide="<f4"),
    21: Kind("u1", bits=4), 22: Kind("i1", bits=4),
}  # fmt: skip
BFLOAT16 = 16
FLOAT8 = {  # bits of the mantissa, bias of the exponent, and which codes are no numbers
    17: (3, 7, "last"), 18: (3, 8, "minus zero"), 19: (2, 15, "IEEE"), 20: (2, 16, "minus zero"),
}  # fmt: skip
OTHERS = {
    8: "strings", 14: "complex64", 15: "complex128", 23: "float4e2m1", 24: "float8e8m0",
    25: "uint2", 26: "int2",
}  # fmt: skip


def shape_of(tensor: Message) -> tuple[int, ...]:
    """The lengths of its axes, as the file says."""
    return tuple(signed(n) for n in tensor.numbers(DIMS))


def decode(tensor: Message, source: Opened, name: str) -> np.ndarray:
    """The array of a TensorProto, in a memory of its own.

    Raises
    ------
    UserError
        Numbers of a kind that is not read, too many of them, or a file beside it that is missing.
    Damaged
        Bytes that are not as many as the shape asks for.
    """
    where = f"{source.source}: the tensor {name!a}"
    number = tensor.number(TYPE)
    if number not in KINDS:
        raise UserError(f"{where} holds {OTHERS.get(number, f'numbers of kind {number}')}.")
    kind, shape = KINDS[number], shape_of(tensor)
    itemsize = np.dtype(kind.wide or kind.stored).itemsize
    count = check_size(shape, itemsize, where)
    if tensor.number(LOCATION) == ELSEWHERE:
        flat = _from_bytes(_external(tensor, source, _bytes(kind, count), where), kind, count)
    elif RAW in tensor:
        data = tensor.bytes(RAW)
        if len(data) != _bytes(kind, count):
            raise Damaged(f"the tensor {name!a} {shape} has {len(data):,} bytes")
        flat = _from_bytes(data, kind, count)
    else:
        flat = _from_field(tensor, kind, count)
    if flat.size != count:
        raise Damaged(f"the tensor {name!a} {shape} has {flat.size:,} numbers")
    return _widened(flat, number).reshape(shape)


def _bytes(kind: Kind, count: int) -> int:
    return -(-count * kind.bits // 8) if kind.bits else count * np.dtype(kind.stored).itemsize


def _from_bytes(data: bytes | memoryview, kind: Kind, count: int) -> np.ndarray:
    if not kind.bits:
        return np.frombuffer(data, kind.stored).copy()
    packed = np.frombuffer(data, "u1")
    halves = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count]
    return _four_bits(halves, kind)


def _four_bits(codes: np.ndarray, kind: Kind) -> np.ndarray:
    """Numbers 0 to 15; of a signed kind those from 8 on stand for -8 to -1."""
    signed_codes = codes.astype(np.int8)
    if kind.stored == "i1":
        signed_codes[codes > 7] -= 16
    return signed_codes.astype(kind.stored)


def _from_field(tensor: Message, kind: Kind, count: int) -> np.ndarray:
    if kind.field in (FLOATS, DOUBLES):
        return np.frombuffer(tensor.fixed(kind.field, int(kind.stored[-1])), kind.stored).copy()
    if kind.bits:  # two numbers in each
        bytes_ = tensor.varints(kind.field, -(-count // 2)).astype("u1").tobytes()
        return _from_bytes(bytes_, kind, count)
    numbers = tensor.varints(kind.field, count)
    if kind.stored == "<f2":
        return numbers.astype("<u2").view("<f2")
    return numbers.view(np.int64).astype(kind.stored)


def _widened(flat: np.ndarray, number: int) -> np.ndarray:
    """The numbers in a dtype of this machine that NumPy has."""
    if number == BFLOAT16:
        flat = widened(flat)
    elif number in FLOAT8:
        flat = _float8(*FLOAT8[number])[flat]
    return np.asarray(flat.astype(flat.dtype.newbyteorder("="), copy=False))


def _float8(mantissa: int, bias: int, special: str) -> np.ndarray:
    """What each of the 256 codes means (arxiv.org/abs/2209.05433 and 2206.02915), (256,) float32.

    ``special``: "last" is NaN alone where all bits are set; "minus zero" NaN in the place of -0;
    "IEEE" infinity and NaN where the exponent is largest.
    """
    code = np.arange(256)
    exponent, fraction = (code & 127) >> mantissa, code & (1 << mantissa) - 1
    whole = np.where(exponent > 0, fraction + (1 << mantissa), fraction)
    value: np.ndarray = np.ldexp(
        whole.astype(np.float32), np.maximum(exponent, 1) - bias - mantissa
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


def _external(tensor: Message, source: Opened, size: int, where: str) -> bytes:
    """The bytes of a tensor in another file of the same folder."""
    told = {entry.text(1): entry.text(2) for entry in tensor.messages(EXTERNAL)}
    name = told.get("location", "").removeprefix("./")
    if source.path is None:
        raise UserError(f"{where} lies in {name!a} beside the model: give the path of the model.")
    path = sidecar_path(source.path, name)
    if path is None:
        raise UserError(f"{where} lies in {name!a}, which is not beside the model.")
    offset, length = (_digits(told.get(key), key) for key in ("offset", "length"))
    if length not in (None, size):
        raise Damaged(f"{where} needs {size:,} bytes and says {length:,}")
    with opened(path) as part:
        if (offset or 0) + size > part.size:
            raise UserError(f"{where} reaches past the end of {part.source}.")
        part.stream.seek(offset or 0)
        data = part.stream.read(size)
    if len(data) != size:
        raise UserError(f"{where} reaches past the end of {part.source}.")
    return data


def _digits(text: str | None, key: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Damaged(f"an {key} in it is {text[:20]!a}")
    return int(text)
