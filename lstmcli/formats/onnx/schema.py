"""Field numbers of ONNX's protocol buffers, a row for each message, under their names.

Source: github.com/onnx/onnx/blob/v1.23.2/onnx/onnx.proto. Only fields that are read are listed.
"""

from __future__ import annotations

from types import SimpleNamespace as Fields

ModelProto = Fields(graph=7, opset_import=8, functions=25)
OperatorSetIdProto = Fields(domain=1, version=2)
GraphProto = Fields(node=1, initializer=5, input=11, sparse_initializer=15)
ValueInfoProto = Fields(name=1)
SparseTensorProto = Fields(values=1)
NodeProto = Fields(input=1, output=2, name=3, op_type=4, attribute=5, domain=7)
FunctionProto = Fields(name=1, input=4, node=7, opset_import=9, domain=10, attribute_proto=11)
AttributeProto = Fields(
    name=1, type=20, ref_attr_name=21, f=2, i=3, s=4, t=5, g=6, floats=7, ints=8, strings=9,
    graphs=11,
)  # fmt: skip
TensorProto = Fields(
    dims=1, data_type=2, float_data=4, int32_data=5, int64_data=7, name=8, raw_data=9,
    double_data=10, uint64_data=11, external_data=13, data_location=14,
)  # fmt: skip
StringStringEntryProto = Fields(key=1, value=2)
