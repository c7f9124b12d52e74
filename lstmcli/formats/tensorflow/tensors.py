"""TensorFlow's tensors: their data types and shapes, and the messages that contain their elements.

Data types are numbered as in tensorflow/core/framework/types.proto.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.tensorflow.schema import Dim, TensorProto, TensorShapeProto
from lstmcli.formats.wire.bfloat16 import widened
from lstmcli.formats.wire.protobuf import Message, signed

STRING, BFLOAT16, HALF = 7, 14, 19

DTYPES = {  # data type -> little-endian NumPy dtype
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 8: "<c8", 9: "<i8", 10: "?",
    11: "i1", 12: "u1", 13: "<i4", 14: "<u2", 15: "<i2", 16: "<u2", 17: "<u2", 18: "<c16",
    19: "<f2", 22: "<u4", 23: "<u8",
}  # fmt: skip

VALUE_FIELDS = {  # data type -> the list of its elements in a TensorProto; others: int_val
    1: TensorProto.float_val, 2: TensorProto.double_val, 8: TensorProto.scomplex_val,
    9: TensorProto.int64_val, 10: TensorProto.bool_val, 14: TensorProto.half_val,
    18: TensorProto.dcomplex_val, 19: TensorProto.half_val, 22: TensorProto.uint32_val,
    23: TensorProto.uint64_val,
}  # fmt: skip
FIXED_SIZES = {1: 4, 2: 8, 8: 4, 18: 8}  # data types listed as fixed-size numbers -> their bytes


class TensorSpec(NamedTuple):
    """The data type and shape that a message declares for a tensor."""

    data_type: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The NumPy dtype of the elements in a file; Damaged for a type that NumPy lacks."""
        if self.data_type not in DTYPES:
            raise Damaged(f"a tensor is of the unknown kind {self.data_type}")
        return np.dtype(DTYPES[self.data_type])


def declared_spec(tensor: Message) -> TensorSpec:
    """The data type and shape that a TensorProto declares."""
    shape = parse_shape(tensor.message(TensorProto.tensor_shape))
    return TensorSpec(tensor.number(TensorProto.dtype), shape)


def parse_shape(message: Message) -> tuple[int, ...]:
    """A TensorShapeProto as a tuple; Damaged for an unknown length."""
    dims = message.messages(TensorShapeProto.dim)
    shape = tuple(signed(dim.number(Dim.size)) for dim in dims)
    if message.number(TensorShapeProto.unknown_rank) or any(size < 0 for size in shape):
        raise Damaged(f"a tensor has the shape {shape}")
    return shape


def to_native(values: np.ndarray, data_type: int) -> np.ndarray:
    """Elements from a file in this machine's byte order; bfloat16 widened to float32."""
    if data_type == BFLOAT16:
        return np.asarray(widened(values))  # of a scalar NumPy makes no array
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def decode(message: Message, spec: TensorSpec, where: str) -> np.ndarray:
    """The elements of a TensorProto, which may declare no data type and shape itself.

    Its list may be shorter than the tensor: the last element then fills the rest.
    """
    count = check_size(spec.shape, spec.dtype.itemsize, where)
    content = message.bytes(TensorProto.tensor_content)
    if len(content):
        if len(content) != count * spec.dtype.itemsize:
            raise Damaged(f"{where} has {len(content):,} bytes for the shape {spec.shape}")
        values = np.frombuffer(content, spec.dtype)
        return to_native(values.reshape(spec.shape), spec.data_type)
    listed = _listed(message, spec)
    if len(listed) > count:
        raise Damaged(f"{where} has {len(listed):,} elements for the shape {spec.shape}")
    values = np.zeros(count, spec.dtype)
    values[: len(listed)] = listed
    if len(listed):
        values[len(listed) :] = listed[-1]
    return to_native(values.reshape(spec.shape), spec.data_type)


def _listed(message: Message, spec: TensorSpec) -> np.ndarray:
    field = VALUE_FIELDS.get(spec.data_type, TensorProto.int_val)
    if size := FIXED_SIZES.get(spec.data_type):
        packed = message.fixed(field, size)
        if len(packed) % spec.dtype.itemsize:
            raise Damaged("a list of numbers ends within one")
        return np.frombuffer(packed, spec.dtype)
    numbers = np.array(message.numbers(field), np.uint64)
    if spec.data_type == HALF:  # stored as the integer with the same bits
        return numbers.astype(np.uint16).view(np.float16)
    return numbers.astype(spec.dtype)  # a negative number keeps its low bits
