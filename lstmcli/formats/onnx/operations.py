"""The operations of ONNX that exporters rearrange weights by, on arrays.

Each is a function of a `Call`; github.com/onnx/onnx/blob/v1.23.2/docs/Operators.md defines them.
In early versions axes and bounds were attributes; later they are inputs. Whatever makes a larger
array out of small ones asks for room before it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.onnx.tensors import KINDS
from lstmcli.formats.wire.protobuf import Message

MOST_NUMBERS = 1000  # of axes, bounds, lengths


class Call(NamedTuple):
    """An operation with what it is given."""

    attributes: Mapping[str, Any]
    inputs: Sequence[np.ndarray | None]
    outputs: int  # how many names it gives
    opset: int
    read: Callable[[Message], np.ndarray]  # the array of a tensor in an attribute
    room: Callable[[Sequence[int], int], object]  # refuses a shape with items too large

    @property
    def x(self) -> np.ndarray:
        """The first input."""
        return self.needed(0)

    def needed(self, place: int) -> np.ndarray:
        """An input that may not be left out; IndexError or ValueError if it is."""
        array = self.inputs[place]
        if array is None:
            raise ValueError("an input is left out")
        return array

    def optional(self, place: int) -> np.ndarray | None:
        """An input that may be left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def numbers(self, name: str, place: int | None = None) -> list[int] | None:
        """Whole numbers: an attribute, or an input of this place."""
        if name in self.attributes:
            return list(self.attributes[name])
        array = None if place is None else self.optional(place)
        return None if array is None else numbers_of(array)

    def number(self, name: str, otherwise: int) -> int:
        """A whole number in an attribute."""
        return int(self.attributes.get(name, otherwise))


def numbers_of(array: np.ndarray) -> list[int]:
    """The whole numbers of a small array; ValueError if it is not small."""
    if array.size > MOST_NUMBERS:
        raise ValueError("too many numbers")
    return [int(n) for n in array.ravel()]


Operation = Callable[[Call], "np.ndarray | list[np.ndarray] | None"]
"""None: this form of the operation is not known."""


def fill(call: Call) -> np.ndarray:
    """The one number that ConstantOfShape repeats, (1,)."""
    told = call.attributes.get("value")
    return np.zeros(1, "f4") if told is None else call.read(told)


def _constant(call: Call) -> np.ndarray | None:
    told = call.attributes
    if "value" in told:
        return call.read(told["value"])
    for name, dtype in (("value_float", "f4"), ("value_int", "i8")):
        for key in (name, f"{name}s"):
            if key in told:
                return np.array(told[key], dtype)
    return None  # strings, a sparse tensor


def _cast(call: Call) -> np.ndarray | None:
    kind = KINDS.get(call.number("to", 0))
    if kind is None or kind.wide or kind.bits:
        return None
    dtype = np.dtype(kind.stored).newbyteorder("=")
    call.room(call.x.shape, dtype.itemsize)
    return call.x.astype(dtype)


def _transpose(call: Call) -> np.ndarray:
    return np.transpose(call.x, call.numbers("perm"))


def _unsqueeze(call: Call) -> np.ndarray:
    axes = call.numbers("axes", 1)
    if axes is None:
        raise ValueError("no axes")
    return np.expand_dims(call.x, tuple(axes))


def _squeeze(call: Call) -> np.ndarray:
    axes = call.numbers("axes", 1)
    return np.squeeze(call.x, None if axes is None else tuple(axes))


def _concat(call: Call) -> np.ndarray:
    arrays = [call.needed(n) for n in range(len(call.inputs))]
    call.room((sum(a.size for a in arrays),), max(a.itemsize for a in arrays))
    return np.concatenate(arrays, call.number("axis", 1 if call.opset < 4 else 0))


def _slice(call: Call) -> np.ndarray:
    starts, ends = call.numbers("starts", 1), call.numbers("ends", 2)
    if starts is None or ends is None:
        raise ValueError("no bounds")
    axes = call.numbers("axes", 3) or list(range(len(starts)))
    steps = call.numbers("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * call.x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return call.x[tuple(cut)]


def _split(call: Call) -> list[np.ndarray]:
    axis = call.number("axis", 0)
    lengths = call.numbers("split", 1)
    if lengths is None:
        each = -(-call.x.shape[axis] // call.outputs)
        lengths = [each] * (call.outputs - 1)
        lengths.append(call.x.shape[axis] - sum(lengths))
    if sum(lengths) != call.x.shape[axis] or min(lengths) < 0 or len(lengths) > MOST_NUMBERS:
        raise ValueError("the pieces are not the whole")
    return np.split(call.x, np.cumsum(lengths)[:-1], axis)


def _reshape(call: Call) -> np.ndarray:
    shape = call.numbers("shape", 1)
    if shape is None:
        raise ValueError("no shape")
    if not call.number("allowzero", 0):
        shape = [n or call.x.shape[axis] for axis, n in enumerate(shape)]
    call.room(call.x.shape, call.x.itemsize)
    return call.x.reshape(shape)


def _gather(call: Call) -> np.ndarray:
    axis, indices = call.number("axis", 0), call.needed(1)
    rest = [n for k, n in enumerate(call.x.shape) if k != axis % call.x.ndim]
    call.room((indices.size, *rest), call.x.itemsize)
    return np.take(call.x, indices, axis)


def _shape(call: Call) -> np.ndarray:
    start, end = call.number("start", 0), call.attributes.get("end")
    return np.array(call.x.shape[start:end], np.int64)


def _expand(call: Call) -> np.ndarray:
    shape = np.broadcast_shapes(call.x.shape, tuple(call.numbers("shape", 1) or ()))
    call.room(shape, call.x.itemsize)
    return np.broadcast_to(call.x, shape)


def _constant_of_shape(call: Call) -> np.ndarray:
    shape, value = call.numbers("input", 0) or [], fill(call)
    call.room(shape, value.itemsize)
    return np.broadcast_to(value.reshape(()), shape)


def _arithmetic(function: Callable[..., Any]) -> Operation:
    def operation(call: Call) -> np.ndarray:
        a, b = call.needed(0), call.needed(1)
        if a.dtype != b.dtype:
            raise TypeError("two kinds of numbers")
        call.room(np.broadcast_shapes(a.shape, b.shape), a.itemsize)
        return np.asarray(function(a, b))

    return operation


def _where(call: Call) -> np.ndarray:
    condition, a, b = (call.needed(n) for n in range(3))
    call.room(np.broadcast_shapes(condition.shape, a.shape, b.shape), a.itemsize)
    return np.where(condition, a, b)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whole numbers stay whole: the quotient towards zero, as in C."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not b.all():
        raise ZeroDivisionError
    return np.asarray((a - np.fmod(a, b)) // b)


def _dequantize(call: Call) -> np.ndarray:
    """(x - zero point) * scale; of a tensor, of each slice along an axis, or of blocks."""
    x, scale, zero = call.x, call.needed(1), call.optional(2)
    axis = call.number("axis", 1)
    call.room(x.shape, max(8, scale.itemsize))
    if block := call.number("block_size", 0):
        scale = _blocks(scale, block, axis, x.shape)
        zero = None if zero is None else _blocks(zero, block, axis, x.shape)
    elif scale.size > 1:
        shape = [-1 if n == axis % x.ndim else 1 for n in range(x.ndim)]
        scale = scale.reshape(shape)
        zero = None if zero is None else zero.reshape(shape)
    whole = x.dtype.kind in "iu"
    number = x.astype(np.int64) if whole else x
    if zero is not None:
        number = number - (zero.astype(np.int64) if whole else zero)
    return np.asarray(number.astype(scale.dtype) * scale)


def _blocks(array: np.ndarray, block: int, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """One number a block of a length along an axis, repeated for each of its elements."""
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
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}

MOVING = {  # operations whose result has the numbers of the first input and no others
    "Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip
