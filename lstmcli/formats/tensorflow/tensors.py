"""TensorFlow's tensors, and the field numbers of the messages that contain them and graphs.

Sources, of TensorFlow 2.21: tensorflow/core/framework/{graph, node_def, function, op_def,
attr_value, tensor, tensor_shape, types}.proto; tensorflow/core/protobuf/{meta_graph, saved_model,
tensor_bundle, trackable_object_graph}.proto. SavedMetadata is that of
keras/protobuf/saved_metadata.proto (2.15). Only fields that are read are listed.
"""

from __future__ import annotations

from types import SimpleNamespace as Fields
from typing import NamedTuple

import numpy as np

from lstmcli.formats.arrays.blocks import native
from lstmcli.formats.files.limits import Damaged, check_size
from lstmcli.formats.wire.protobuf import Message, signed

# ---- graphs

SavedModel = Fields(schema_version=1, meta_graphs=2)
MetaGraphDef = Fields(meta_info_def=1, graph_def=2)
GraphDef = Fields(node=1, library=2)
FunctionDefLibrary = Fields(function=1)
FunctionDef = Fields(signature=1, node_def=3)
OpDef = Fields(name=1, input_arg=2)
ArgDef = Fields(name=1)
NodeDef = Fields(name=1, op=2, input=3, attr=5)
AttrEntry = Fields(key=1, value=2)
AttrValue = Fields(f=4, tensor=8, func=10)
NameAttrList = Fields(name=1)

# ---- tensors

TensorProto = Fields(
    dtype=1, tensor_shape=2, tensor_content=4, float_val=5, double_val=6, int_val=7,
    scomplex_val=9, int64_val=10, bool_val=11, dcomplex_val=12, half_val=13, uint32_val=16,
    uint64_val=17,
)  # fmt: skip
TensorShapeProto = Fields(dim=2, unknown_rank=3)
Dim = Fields(size=1)

# ---- checkpoints

BundleHeaderProto = Fields(num_shards=1, endianness=2)
BundleEntryProto = Fields(dtype=1, shape=2, shard_id=3, offset=4, size=5, crc32c=6, slices=7)
TrackableObjectGraph = Fields(nodes=1)
TrackableObject = Fields(children=1, attributes=2)
ObjectReference = Fields(node_id=1)
SerializedTensor = Fields(full_name=2, checkpoint_key=3)
SavedMetadata = Fields(nodes=1)
SavedObject = Fields(node_id=2, node_path=3, metadata=5)


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
        return native(values.reshape(spec.shape), spec.data_type == BFLOAT16)
    listed = _listed(message, spec)
    if len(listed) > count:
        raise Damaged(f"{where} has {len(listed):,} elements for the shape {spec.shape}")
    values = np.zeros(count, spec.dtype)
    values[: len(listed)] = listed
    if len(listed):
        values[len(listed) :] = listed[-1]
    return native(values.reshape(spec.shape), spec.data_type == BFLOAT16)


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
