"""Field numbers of TensorFlow's protocol buffers, a class for each message, under their names.

Sources, of TensorFlow 2.21: tensorflow/core/framework/{graph, node_def, function, op_def,
attr_value, tensor, tensor_shape, tensor_slice}.proto; tensorflow/core/protobuf/{meta_graph,
saved_model, tensor_bundle, trackable_object_graph}.proto; tensorflow/core/util/
saved_tensor_slice.proto. SavedMetadata is that of keras/protobuf/saved_metadata.proto (2.15).
Only fields that are read are listed.
"""

from __future__ import annotations

# ---- graphs


class SavedModel:
    schema_version, meta_graphs = 1, 2


class MetaGraphDef:
    meta_info_def, graph_def = 1, 2


class GraphDef:
    node, library = 1, 2


class FunctionDefLibrary:
    function = 1


class FunctionDef:
    signature, node_def = 1, 3


class OpDef:
    name, input_arg = 1, 2


class ArgDef:
    name = 1


class NodeDef:
    name, op, input, attr = 1, 2, 3, 5


class AttrEntry:  # of the map NodeDef.attr
    key, value = 1, 2


class AttrValue:
    f, tensor, func = 4, 8, 10


class NameAttrList:
    name = 1


# ---- tensors


class TensorProto:
    dtype, tensor_shape, tensor_content = 1, 2, 4
    float_val, double_val, int_val, scomplex_val, int64_val, bool_val = 5, 6, 7, 9, 10, 11
    dcomplex_val, half_val, uint32_val, uint64_val = 12, 13, 16, 17


class TensorShapeProto:
    dim, unknown_rank = 2, 3


class Dim:
    size = 1


class TensorSliceProto:
    extent = 1


class Extent:
    start, length = 1, 2


# ---- checkpoints


class BundleHeaderProto:
    num_shards, endianness = 1, 2


class BundleEntryProto:
    dtype, shape, shard_id, offset, size, crc32c, slices = 1, 2, 3, 4, 5, 6, 7


class SavedTensorSlices:
    meta, data = 1, 2


class SavedTensorSliceMeta:
    tensor = 1


class SavedSliceMeta:
    name, shape, type = 1, 2, 3


class SavedSlice:
    name, slice, data = 1, 2, 3


class TrackableObjectGraph:
    nodes = 1


class TrackableObject:
    children, attributes = 1, 2


class ObjectReference:
    node_id = 1


class SerializedTensor:
    full_name, checkpoint_key = 2, 3


class SavedMetadata:
    nodes = 1


class SavedObject:
    node_id, node_path, metadata = 2, 3, 5
