"""Field numbers of ONNX's protocol buffers, a class for each message, under their names.

Source: github.com/onnx/onnx/blob/v1.23.2/onnx/onnx.proto. Only fields that are read are listed.
"""

from __future__ import annotations


class ModelProto:
    graph, opset_import, functions = 7, 8, 25


class OperatorSetIdProto:
    domain, version = 1, 2


class GraphProto:
    node, initializer, input, sparse_initializer = 1, 5, 11, 15


class ValueInfoProto:
    name = 1


class SparseTensorProto:
    values = 1


class NodeProto:
    input, output, name, op_type, attribute, domain = 1, 2, 3, 4, 5, 7


class FunctionProto:
    name, input, node, opset_import, domain, attribute_proto = 1, 4, 7, 9, 10, 11


class AttributeProto:
    name, type, ref_attr_name = 1, 20, 21
    f, i, s, t, g, floats, ints, strings, graphs = 2, 3, 4, 5, 6, 7, 8, 9, 11


class OnnxTensorProto:  # TensorProto
    dims, data_type, float_data, int32_data, int64_data, name, raw_data = 1, 2, 4, 5, 7, 8, 9
    double_data, uint64_data, external_data, data_location = 10, 11, 13, 14


class StringStringEntryProto:
    key, value = 1, 2
