"""Storages, tensors and arrays as pickles of PyTorch, NumPy and JAX describe them.

A tensor is a view of a storage: offset, sizes and strides in elements. The
reader of the file sets a function that gets a storage's bytes, after the
pickle or in another member. An array of NumPy is a call, then a state of
shape, dtype, order and bytes. Source: torch/_utils.py, torch/serialization.py
and torch/storage.py (2.13), and files of 1.0, 1.4 and 1.6;
numpy/_core/src/multiarray/methods.c, `array_reduce` and `array_setstate`, and
numpy/_core/numeric.py, `_frombuffer` (2.4); jax/_src/array.py,
`_reconstruct_array` (0.10).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lstmcli.formats.document import BFLOAT16, Shape, dequantized, native, size_as_read
from lstmcli.formats.files.limits import MOST_AXES
from lstmcli.formats.wire.pickle import (
    CONTAINERS,
    Global,
    Leaf,
    Maker,
    Record,
    Unread,
    first,
)

KINDS = {  # word before "Storage" -> dtype, and torch.NAME
    "Float": ("f4", "float32"),
    "Double": ("f8", "float64"),
    "Half": ("f2", "float16"),
    "BFloat16": ("u2", "bfloat16"),
    "Byte": ("u1", "uint8"),
    "Char": ("i1", "int8"),
    "Short": ("i2", "int16"),
    "Int": ("i4", "int32"),
    "Long": ("i8", "int64"),
    "Bool": ("?", "bool"),
    "ComplexFloat": ("c8", "complex64"),
    "ComplexDouble": ("c16", "complex128"),
    "QInt8": ("i1", "qint8"),
    "QUInt8": ("u1", "quint8"),
    "QInt32": ("i4", "qint32"),
    "UInt16": ("u2", "uint16"),
    "UInt32": ("u4", "uint32"),
    "UInt64": ("u8", "uint64"),
    "Untyped": ("u1", "bytes"),
}
CODES = {name: code for code, name in KINDS.values()}


class TensorStorage:
    """A vector of ``count`` numbers, whose bytes are read when first needed."""

    def __init__(self, name: str, kind: str, count: Any) -> None:
        if type(count) is not int or count < 0:
            raise ValueError("a storage without a size")
        self.name, self.kind, self.count = name, kind, count
        self.order: Literal["<", ">"] = "<"  # of the bytes
        self.get: Callable[[], bytes] | None = None
        self._bytes: bytes | None = None

    @property
    def nbytes(self) -> int:
        """The bytes that the count stands for."""
        return self.count * itemsize(self.kind)

    def elements(self, kind: str) -> np.ndarray:
        """All numbers, of the given kind; an untyped storage takes any."""
        if self._bytes is None:
            if self.count and self.get is None:
                raise ValueError(f"its storage {self.name} is missing")
            self._bytes = self.get() if self.get and self.count else b""
        if len(self._bytes) != self.nbytes:
            raise ValueError(
                f"{len(self._bytes):,} bytes are stored, {self.nbytes:,} are needed"
            )
        return np.frombuffer(
            self._bytes, np.dtype(CODES[kind]).newbyteorder(self.order)
        )


class Tensor(Leaf):
    """A tensor as pickled."""

    __slots__ = ("conjugate", "kind", "negative", "offset", "size", "storage", "stride")

    def __init__(
        self, storage: Any, offset: Any, size: Any, stride: Any, kind: str = ""
    ) -> None:
        if len(size) > MOST_AXES or len(stride) > MOST_AXES:
            raise ValueError(f"a tensor of more than {MOST_AXES} axes")
        numbers = (offset, *size, *stride)
        if not isinstance(storage, TensorStorage) or any(
            type(n) is not int for n in numbers
        ):
            raise TypeError("a tensor that is none")
        self.storage, self.offset, self.size, self.stride = (
            storage,
            offset,
            size,
            stride,
        )
        self.kind = kind or storage.kind
        self.conjugate = self.negative = False

    def extent(self) -> tuple[Shape, int]:
        """The shape, and the bytes of an element."""
        return tuple(self.size), itemsize(self.kind) * (
            2 if self.kind == "bfloat16" else 1
        )

    def array(self) -> np.ndarray:
        """The numbers, native and in C order."""
        array = self.stored()
        if self.kind == "bfloat16":
            array = array.astype("<u2").view(BFLOAT16)
        array = np.array(native(array), order="C")
        array = array.conj() if self.conjugate else array
        return -array if self.negative else array

    def stored(self) -> np.ndarray:
        """The view of the storage, without a copy."""
        numbers = (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or min(numbers) < 0:
            raise ValueError(f"the sizes {self.size} and strides {self.stride}")
        elements = self.storage.elements(self.kind)
        last = self.offset + sum(
            (n - 1) * s for n, s in zip(self.size, self.stride, strict=True)
        )
        if 0 in self.size:
            return np.empty(self.size, elements.dtype)
        if last >= len(elements):
            raise ValueError(
                f"it reaches element {last}, its storage has {len(elements)}"
            )
        steps = [s * elements.itemsize for s in self.stride]
        return as_strided(elements[self.offset :], self.size, steps, writeable=False)


class Quantised(Leaf):
    """A quantised tensor: (q - zero point) scale, in float32.

    One scale for all is a float32 to torch, those of an axis are float64.
    """

    __slots__ = ("axis", "scale", "tensor", "zero")

    def __init__(self, tensor: Tensor, scale: Any, zero: Any, axis: int | None) -> None:
        self.tensor, self.scale, self.zero, self.axis = tensor, scale, zero, axis

    def extent(self) -> tuple[Shape, int]:
        """The shape, and the bytes of an element."""
        return tuple(self.tensor.size), 8

    def array(self) -> np.ndarray:
        """The numbers, native and in C order."""
        numbers = (self._numbers(self.scale), self._numbers(self.zero))
        return dequantized(self.tensor.stored(), *numbers, self.axis)

    def _numbers(self, value: Any) -> np.ndarray:
        """One number, or those of the axis."""
        if self.axis is None:
            return np.asarray(value, np.float32)
        if not isinstance(value, Leaf) or value.extent()[0] != (
            self.tensor.size[self.axis],
        ):
            raise ValueError(
                "scales or zero points that are not one for each on an axis"
            )
        return value.array()


def itemsize(kind: str) -> int:
    """The bytes of an element."""
    return np.dtype(CODES[kind]).itemsize


def kind_of_storage(what: Any) -> str:
    """``float32`` for ``torch.FloatStorage``; only the last part of a name counts."""
    name = what.name if isinstance(what, Global) else ""
    word = name.rpartition(".")[2].removesuffix("Storage")
    if word not in KINDS:
        raise ValueError(f"a storage of the unknown kind {word!r}")
    return KINDS[word][1]


# ---- arrays of NumPy and JAX


OBJECTS = (
    ("O",),
    ("O4",),
    ("O8",),
)  # of Python objects, perhaps with a pointer's bytes


class _Dtype(Record):
    """A dtype: its code, and the order of its bytes, a state."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else None

    def read(self) -> np.dtype[Any] | None:
        """The dtype; None for what contains no numbers."""
        code = self.args[0] if self.args else None
        if isinstance(code, Global):
            return BFLOAT16 if code.name.endswith(".bfloat16") else None
        if not isinstance(code, str) or not re.fullmatch(
            r"[<>|=]?[fiubc]\d{1,2}", code
        ):
            return None
        order = self.state[1] if self.state and len(self.state) > 1 else "="
        return np.dtype(code).newbyteorder(">" if order == ">" else "<")


class NumpyArray(Leaf):
    """An array as pickled: shape, dtype, order and bytes."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(
        self, shape: Any, dtype: np.dtype[Any], fortran: Any, data: Any
    ) -> None:
        valid = isinstance(shape, tuple) and len(shape) <= MOST_AXES
        if not valid or any(type(n) is not int for n in shape):
            raise TypeError("a shape that is none")
        if isinstance(data, str):  # Python 2's bytes
            data = data.encode("latin-1")
        if not isinstance(data, (bytes, bytearray)):
            raise TypeError("an array without bytes")
        self.shape, self.dtype, self.fortran, self.data = (
            shape,
            dtype,
            bool(fortran),
            data,
        )

    def extent(self) -> tuple[Shape, int]:
        """The shape, and the bytes of an element."""
        return self.shape, size_as_read(self.dtype)

    def array(self) -> np.ndarray:
        """The numbers, native and in C order."""
        needed = prod(self.shape) * self.dtype.itemsize
        if len(self.data) != needed:
            raise ValueError(f"{len(self.data):,} bytes, {needed:,} are needed")
        array = np.frombuffer(self.data, self.dtype)
        return native(array.reshape(self.shape, order="F" if self.fortran else "C"))


class _Pending(Leaf):
    """An array of which only the call has come; the state makes it one."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: Any = Unread("an array without contents")

    def build(self, state: Any) -> None:
        self.value = _array(*state[1:])

    def settled(self) -> Any:
        return (
            Unread("an array that contains itself")
            if self.value is self
            else self.value
        )


def _array(shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:
    if (
        isinstance(data, list)
        and isinstance(dtype, _Dtype)
        and dtype.args[:1] in OBJECTS
    ):
        return data if shape or len(data) != 1 else data[0]
    read = dtype.read() if isinstance(dtype, _Dtype) else None
    if read is None:
        return Unread("an array of objects or records")
    return NumpyArray(shape, read, fortran, data)


# ---- what the globals of a pickle make


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *others: Any) -> Leaf:
    if isinstance(storage, Leaf):  # one of a kind that is not read
        return storage
    tensor = Tensor(storage, offset, size, stride)
    metadata = others[2] if len(others) > 2 else None
    if isinstance(metadata, dict):
        tensor.conjugate, tensor.negative = (
            bool(metadata.get(k)) for k in ("conj", "neg")
        )
    return tensor


def _tensor_of_dtype(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    _: Any,
    __: Any,
    dtype: Any,
    *others: Any,
) -> Leaf:
    kind = _last_word(dtype)
    return (
        Tensor(storage, offset, size, stride, kind) if kind in CODES else Unread(kind)
    )


def _last_word(what: Any) -> str:
    """``float16`` of the global ``torch.float16``."""
    if not isinstance(what, Global):
        raise TypeError("an object where the name of a kind should be")
    return what.name.rpartition(".")[2]


def _quantised(
    storage: Any, offset: Any, size: Any, stride: Any, how: Any, *_: Any
) -> Leaf:
    tensor = Tensor(storage, offset, size, stride)
    scheme = _last_word(how[0])
    if scheme == "per_tensor_affine" and all(
        isinstance(n, (int, float)) for n in how[1:3]
    ):
        return Quantised(tensor, how[1], how[2], None)
    if scheme == "per_channel_affine" and 0 <= how[3] < len(size):
        return Quantised(tensor, how[1], how[2], how[3])
    return Unread(f"quantised {scheme}")


def _unread(kind: str) -> Maker:
    return lambda *_: Unread(kind)


def _subclass(function: Any, _: Any, args: Any, *others: Any) -> Any:
    """A tensor of a subclass: the function that rebuilds a plain one, its arguments."""
    maker = MAKERS.get(function.name) if isinstance(function, Global) else None
    return maker(*args) if maker and maker is not _subclass else Record("tensor", args)


MAKERS: dict[str, Maker] = {
    **CONTAINERS,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": first,
    "torch._utils._rebuild_parameter_with_state": first,
    "torch._utils._rebuild_device_tensor_from_numpy": first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": first,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_sparse_tensor": _unread("sparse"),
    "torch._utils._rebuild_sparse_csr_tensor": _unread("sparse"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unread(
        "on the device meta, without numbers"
    ),
    "torch._utils._rebuild_nested_tensor": _unread("nested"),
    "torch.ScriptObject": _unread(
        "packed, as dynamic quantisation keeps weights (save the model before quantize_dynamic)"
    ),
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.nn.parameter.Parameter": first,
    "torch.Size": first,
    **{
        f"torch.jit._pickle.{name}": first
        for name in (
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "build_tensorlist",
            "restore_type_tag",
        )
    },
    "numpy.dtype": lambda *args: _Dtype("numpy.dtype", args),
    "jax._src.array._reconstruct_array": lambda _, args, state, *others: _array(
        *state[1:]
    ),
    **{f"numpy.{core}.multiarray._reconstruct": _Pending for core in ("core", "_core")},
    **{
        f"numpy.{core}.numeric._frombuffer": lambda data, dtype, shape, order: _array(
            shape, dtype, order == "F", data
        )
        for core in ("core", "_core")
    },
}
