"""Field numbers of TensorFlow's protocol buffers, a row for each message, under their names.

Sources, of TensorFlow 2.21: tensorflow/core/framework/{graph, node_def, function, op_def,
attr_value, tensor, tensor_shape}.proto; tensorflow/core/protobuf/{meta_graph, saved_model,
tensor_bundle, trackable_object_graph}.proto. SavedMetadata is that of
keras/protobuf/saved_metadata.proto (2.15). Only fields that are read are listed.
"""

from __future__ import annotations

from types import SimpleNamespace as Fields

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
