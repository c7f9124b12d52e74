"""The operators of ONNX that exporters rearrange weights by, computed on arrays.

Each is a function of an `OperatorCall`; github.com/onnx/onnx/blob/v1.23.2/docs/Operators.md defines
them. In early versions axes and bounds were attributes; later they are inputs. Every function that
makes a larger array out of small ones calls ``check_size`` before it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.onnx.tensors import ELEMENT_TYPES
from lstmcli.formats.wire.protobuf import Message

MOST_NUMBERS = 1000  # of axes, bounds, lengths


class OperatorCall(NamedTuple):
    """The attributes and inputs that an operator is applied to."""

    attributes: Mapping[str, Any]
    inputs: Sequence[np.ndarray | None]
    outputs: int  # how many it has
    opset: int
    read: Callable[[Message], np.ndarray]  # the array of a tensor in an attribute
    check_size: Callable[[Sequence[int], int], object]  # refuses a shape that takes too many bytes

    @property
    def x(self) -> np.ndarray:
        """The first input."""
        return self.required(0)

    def required(self, n: int) -> np.ndarray:
        """Input n, which may not be left out; IndexError or ValueError if it is."""
        array = self.inputs[n]
        if array is None:
            raise ValueError("an input is left out")
        return array

    def optional(self, n: int) -> np.ndarray | None:
        """Input n, or None if it is left out."""
        return self.inputs[n] if n < len(self.inputs) else None

    def integers(self, name: str, n: int | None = None) -> list[int] | None:
        """The integers of the attribute ``name``, or of input n."""
        if name in self.attributes:
            return list(self.attributes[name])
        array = None if n is None else self.optional(n)
        return None if array is None else integers(array)

    def integer(self, name: str, default: int) -> int:
        """The integer in an attribute."""
        return int(self.attributes.get(name, default))


def integers(array: np.ndarray) -> list[int]:
    """The elements of a small array of integers; ValueError if it is not small."""
    if array.size > MOST_NUMBERS:
        raise ValueError("too many numbers")
    return [int(n) for n in array.ravel()]


Operation = Callable[[OperatorCall], "np.ndarray | list[np.ndarray] | None"]
"""Returns None for a form of the operator that is not supported."""


def fill(call: OperatorCall) -> np.ndarray:
    """The one number that ConstantOfShape repeats, (1,)."""
    value = call.attributes.get("value")
    return np.zeros(1, "f4") if value is None else call.read(_tensor(value))


def _tensor(value: Any) -> Message:
    if not isinstance(value, Message):
        raise Damaged("the value of a node in its graph is no tensor")
    return value


def _constant(call: OperatorCall) -> np.ndarray | None:
    attributes = call.attributes
    if "value" in attributes:
        return call.read(_tensor(attributes["value"]))
    for name, dtype in (("value_float", "f4"), ("value_int", "i8")):
        for key in (name, f"{name}s"):
            if key in attributes:
                return np.array(attributes[key], dtype)
    return None  # strings, a sparse tensor


def _cast(call: OperatorCall) -> np.ndarray | None:
    element = ELEMENT_TYPES.get(call.integer("to", 0))
    if element is None or element.wide or element.bits:
        return None
    dtype = np.dtype(element.stored).newbyteorder("=")
    call.check_size(call.x.shape, dtype.itemsize)
    return call.x.astype(dtype)


def _unsqueeze(call: OperatorCall) -> np.ndarray:
    axes = call.integers("axes", 1)
    if axes is None:
        raise ValueError("no axes")
    return np.expand_dims(call.x, tuple(axes))


def _squeeze(call: OperatorCall) -> np.ndarray:
    axes = call.integers("axes", 1)
    return np.squeeze(call.x, None if axes is None else tuple(axes))


def _concat(call: OperatorCall) -> np.ndarray:
    arrays = [call.required(n) for n in range(len(call.inputs))]
    call.check_size((sum(a.size for a in arrays),), max(a.itemsize for a in arrays))
    return np.concatenate(arrays, call.integer("axis", 1 if call.opset < 4 else 0))


def _slice(call: OperatorCall) -> np.ndarray:
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise ValueError("no bounds")
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * call.x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return call.x[tuple(cut)]


def _split(call: OperatorCall) -> list[np.ndarray]:
    axis = call.integer("axis", 0)
    lengths = call.integers("split", 1)
    if lengths is None:
        each = -(-call.x.shape[axis] // call.outputs)
        lengths = [each] * (call.outputs - 1)
        lengths.append(call.x.shape[axis] - sum(lengths))
    if sum(lengths) != call.x.shape[axis] or min(lengths) < 0 or len(lengths) > MOST_NUMBERS:
        raise ValueError("the pieces do not add up")
    return np.split(call.x, np.cumsum(lengths)[:-1], axis)


def _reshape(call: OperatorCall) -> np.ndarray:
    shape = call.integers("shape", 1)
    if shape is None:
        raise ValueError("no shape")
    if not call.integer("allowzero", 0):
        shape = [n or call.x.shape[axis] for axis, n in enumerate(shape)]
    call.check_size(call.x.shape, call.x.itemsize)
    return call.x.reshape(shape)


def _gather(call: OperatorCall) -> np.ndarray:
    axis, indices = call.integer("axis", 0), call.required(1)
    rest = [n for k, n in enumerate(call.x.shape) if k != axis % call.x.ndim]
    call.check_size((indices.size, *rest), call.x.itemsize)
    return np.take(call.x, indices, axis)


def _shape(call: OperatorCall) -> np.ndarray:
    start, end = call.integer("start", 0), call.attributes.get("end")
    return np.array(call.x.shape[start:end], np.int64)


def _expand(call: OperatorCall) -> np.ndarray:
    shape = np.broadcast_shapes(call.x.shape, tuple(call.integers("shape", 1) or ()))
    call.check_size(shape, call.x.itemsize)
    return np.broadcast_to(call.x, shape)


def _constant_of_shape(call: OperatorCall) -> np.ndarray:
    shape, value = call.integers("input", 0) or [], fill(call)
    call.check_size(shape, value.itemsize)
    return np.broadcast_to(value.reshape(()), shape)


def _arithmetic(function: Callable[..., Any]) -> Operation:
    def operation(call: OperatorCall) -> np.ndarray:
        a, b = call.required(0), call.required(1)
        if a.dtype != b.dtype:
            raise TypeError("two kinds of numbers")
        call.check_size(np.broadcast_shapes(a.shape, b.shape), a.itemsize)
        return np.asarray(function(a, b))

    return operation


def _where(call: OperatorCall) -> np.ndarray:
    condition, a, b = (call.required(n) for n in range(3))
    call.check_size(np.broadcast_shapes(condition.shape, a.shape, b.shape), a.itemsize)
    return np.where(condition, a, b)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quotient, of integers rounded towards zero, as in C."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not b.all():
        raise ZeroDivisionError
    return np.asarray((a - np.fmod(a, b)) // b)


def _dequantize(call: OperatorCall) -> np.ndarray:
    """(x - zero point) * scale, which are given per tensor, per index of an axis, or per block."""
    x, scale, zero = call.x, call.required(1), call.optional(2)
    axis = call.integer("axis", 1)
    call.check_size(x.shape, max(8, scale.itemsize))
    if block := call.integer("block_size", 0):
        scale = _blocks(scale, block, axis, x.shape)
        zero = None if zero is None else _blocks(zero, block, axis, x.shape)
    elif scale.size > 1:
        shape = [-1 if n == axis % x.ndim else 1 for n in range(x.ndim)]
        scale = scale.reshape(shape)
        zero = None if zero is None else zero.reshape(shape)
    is_integer = x.dtype.kind in "iu"
    number = x.astype(np.int64) if is_integer else x
    if zero is not None:
        number = number - (zero.astype(np.int64) if is_integer else zero)
    return np.asarray(number.astype(scale.dtype) * scale)


def _blocks(array: np.ndarray, block: int, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers per block of ``block`` elements along an axis, repeated for each element."""
    if block < 1 or -(-shape[axis] // block) != array.shape[axis]:
        raise ValueError("blocks of another length")
    return np.repeat(array, block, axis).take(range(shape[axis]), axis)


OPERATIONS: Mapping[str, Operation] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Div": _arithmetic(_divide),
    "Equal": _arithmetic(np.equal),
    "Expand": _expand,
    "Gather": _gather,
    "Identity": lambda call: call.x,
    "Mul": _arithmetic(np.multiply),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Transpose": lambda call: np.transpose(call.x, call.integers("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}

MOVING = {  # operators whose result consists of elements of the first input
    "Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip
