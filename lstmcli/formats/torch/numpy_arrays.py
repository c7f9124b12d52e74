"""Arrays as NumPy and JAX pickle them: a call, then a state of shape, dtype, order and bytes.

Source: numpy/_core/src/multiarray/methods.c, `array_reduce` and `array_setstate`, and
numpy/_core/numeric.py, `_frombuffer` (2.4); jax/_src/array.py, `_reconstruct_array` (0.10).
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np

from lstmcli.formats.files.limits import MOST_AXES
from lstmcli.formats.wire.bfloat16 import widened
from lstmcli.formats.wire.pickle import Global, Leaf, Maker, Record, Unread

BFLOAT16 = "bfloat16"
OBJECTS = ("O", "O4", "O8")  # the code of Python objects; some versions add a pointer's bytes


class _Dtype(Record):
    """A dtype: its code, and the order of its bytes, which comes as a state."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else None

    @property
    def is_object(self) -> bool:
        """Whether it is NumPy's dtype of Python objects."""
        return bool(self.args) and self.args[0] in OBJECTS

    def read(self) -> tuple[np.dtype[Any], bool] | None:
        """The dtype, and whether its bits are bfloat16; None for what contains no numbers."""
        code = self.args[0] if self.args else None
        if isinstance(code, Global):
            is_bfloat16 = code.name.endswith(f".{BFLOAT16}")
            return (np.dtype("<u2"), True) if is_bfloat16 else None
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[fiubc]\d{1,2}", code):
            return None
        order = self.state[1] if self.state and len(self.state) > 1 else "="
        dtype = np.dtype(code)
        return dtype.newbyteorder(">" if order == ">" else "<"), False


class NumpyArray(Leaf):
    """An array as pickled: shape, dtype, order and bytes."""

    __slots__ = ("data", "dtype", "fortran", "shape", "wide")

    def __init__(self, shape: Any, dtype: Any, fortran: Any, data: Any) -> None:
        valid = isinstance(shape, tuple) and len(shape) <= MOST_AXES
        if not valid or any(type(n) is not int for n in shape):
            raise TypeError("a shape that is none")
        if isinstance(data, str):  # Python 2's bytes
            data = data.encode("latin-1")
        if not isinstance(data, (bytes, bytearray)):
            raise TypeError("an array without bytes")
        self.shape, self.fortran, self.data = shape, bool(fortran), data
        self.dtype, self.wide = dtype

    def extent(self) -> tuple[tuple[int, ...], int]:
        """The shape, and the bytes of an element."""
        return self.shape, self.dtype.itemsize * (2 if self.wide else 1)

    def array(self) -> np.ndarray:
        """The numbers, native and in C order."""
        needed = prod(self.shape) * self.dtype.itemsize
        if len(self.data) != needed:
            raise ValueError(f"{len(self.data):,} bytes, {needed:,} are needed")
        array = np.frombuffer(self.data, self.dtype)
        array = array.reshape(self.shape, order="F" if self.fortran else "C")
        return widened(array) if self.wide else array.astype(array.dtype.newbyteorder("="))


class _Pending(Leaf):
    """An array of which only the call has come; the state turns it into the array."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: Any = Unread("an array without contents")

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(shape, dtype, fortran, data)

    def settled(self) -> Any:
        return Unread("an array that contains itself") if self.value is self else self.value


def _array(shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:
    """The leaf of an array of numbers, or the contents of an array of objects."""
    if isinstance(data, list) and isinstance(dtype, _Dtype) and dtype.is_object:
        return data if shape or len(data) != 1 else data[0]
    kind = dtype.read() if isinstance(dtype, _Dtype) else None
    if kind is None:
        return Unread("an array of objects or records")
    return NumpyArray(shape, kind, fortran, data)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return _array(shape, dtype, order == "F", data)


def _jax(_: Any, args: Any, state: Any, *others: Any) -> Any:
    made = _Pending()
    made.build(state)
    return made.value


MAKERS: dict[str, Maker] = {
    "numpy.dtype": lambda *args: _Dtype("numpy.dtype", args),
    "jax._src.array._reconstruct_array": _jax,
    **{f"numpy.{core}.multiarray._reconstruct": _Pending for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
