"""The operators of ONNX by which exporters rearrange weights, computed on arrays.

The reference implementation of the library onnx computes them, and allocates whatever it is asked
for: so the size of a result is checked before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files.errors import LONGEST_REASON, Damaged

Shape = Sequence[int]


class OperatorCall(NamedTuple):
    """A node with the arrays that it is applied to."""

    op: str
    attributes: Mapping[str, Any]
    inputs: Sequence[np.ndarray | None]  # None: an optional one left out
    outputs: int  # how many it has
    opset: int

    @property
    def arrays(self) -> list[np.ndarray]:
        """The inputs that are there."""
        return [array for array in self.inputs if array is not None]

    def integers(self, name: str, n: int) -> list[int] | None:
        """The integers of the attribute ``name``, or of input n."""
        if name in self.attributes:
            return list(self.attributes[name])
        array = self.inputs[n] if n < len(self.inputs) else None
        return None if array is None else [int(number) for number in array.ravel()]


def _as_first(call: OperatorCall) -> Shape:
    return call.arrays[0].shape


def _broadcast(call: OperatorCall) -> Shape:
    return np.broadcast_shapes(*(array.shape for array in call.arrays))


def _joined(call: OperatorCall) -> Shape:
    return (sum(array.size for array in call.arrays),)


def _gathered(call: OperatorCall) -> Shape:
    x, indices = call.arrays
    axis = range(x.ndim)[call.attributes.get("axis", 0)]
    return (indices.size, *x.shape[:axis], *x.shape[axis + 1 :])


class KnownOperator(NamedTuple):
    """What of a node is handed on to the library, and how large the result may be."""

    attributes: Sequence[str] = ()  # whose values are integers
    shape: Callable[[OperatorCall], Shape] = _as_first  # with at least as many elements
    itemsize: int = 0  # bytes of an element, if not those of the inputs
    since: int = 1  # the first version of the operator that the library computes


OPERATORS = {
    "Add": KnownOperator(shape=_broadcast),
    "Cast": KnownOperator(("to",), itemsize=8),
    "Concat": KnownOperator(("axis",), _joined),
    "DequantizeLinear": KnownOperator(("axis", "block_size"), itemsize=8, since=19),
    "Div": KnownOperator(shape=_broadcast),
    "Equal": KnownOperator(shape=_broadcast),
    "Gather": KnownOperator(("axis",), _gathered),
    "Mul": KnownOperator(shape=_broadcast),
    "Reshape": KnownOperator(("allowzero",)),
    "Shape": KnownOperator(("start", "end")),
    "Slice": KnownOperator(("axes", "starts", "ends")),
    "Split": KnownOperator(("axis", "split")),
    "Squeeze": KnownOperator(("axes",)),
    "Sub": KnownOperator(shape=_broadcast),
    "Transpose": KnownOperator(("perm",)),
    "Unsqueeze": KnownOperator(("axes",)),
    "Where": KnownOperator(shape=_broadcast),
}

MOVING = {  # operators whose result consists of elements of the first input
    "Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip


def computed(call: OperatorCall, check_size: Callable[[Shape, int], object]) -> list[np.ndarray]:
    """The outputs of an operator of `OPERATORS`; ``check_size`` refuses a large result.

    Damaged if the operator cannot be applied to these inputs.
    """
    operator = OPERATORS[call.op]
    attributes = {name: call.attributes[name] for name in operator.attributes
                  if name in call.attributes}  # fmt: skip
    for value in attributes.values():  # a graph would be run, and may open any file
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(number, int) for number in numbers):
            raise Damaged(f"an attribute of a {call.op} in its graph is not an integer")
    itemsize = operator.itemsize or max(array.itemsize for array in call.arrays)
    check_size(operator.shape(call), itemsize)
    version = max(call.opset, operator.since)
    try:
        implementation = import_module("onnx.reference.ops").load_op("", call.op, version)
        result = implementation.eval(*call.inputs, n_outputs=call.outputs, **attributes)
    except MemoryError:
        raise
    except Exception as error:  # of nearly every class, from inputs that do not fit
        reason = str(error).split("\n")[0][:LONGEST_REASON]
        raise Damaged(f"the {call.op} in its graph fails: {reason}") from None
    return [np.asarray(one) for one in (result if isinstance(result, tuple) else [result])]
