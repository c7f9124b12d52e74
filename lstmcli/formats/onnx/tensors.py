"""The tensors of an ONNX file: inside it, or as a slice of another file of its folder.

The library onnx decodes them. Files with external data are opened here, since only those of the
model's folder may be.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import Opened, opened

EXTERNAL = 1  # a data_location: in another file
WIDENED = {  # the library's dtypes that NumPy lacks
    "bfloat16": "f4", "float8_e4m3fn": "f4", "float8_e4m3fnuz": "f4", "float8_e5m2": "f4",
    "float8_e5m2fnuz": "f4", "int4": "i1", "uint4": "u1",
}  # fmt: skip
TWO_A_BYTE = ("int4", "uint4")


def is_numeric(tensor: Any) -> bool:
    """Whether `decode` reads the data type of a TensorProto."""
    return _dtype(tensor) is not None


def decode(tensor: Any, source: Opened, name: str) -> np.ndarray:
    """The array of a TensorProto, in the dtype of the library, which NumPy may lack.

    Damaged for more or fewer bytes than the shape needs.
    """
    where = f"{source.source}: the tensor {name!a}"
    dtype = _dtype(tensor)
    if dtype is None:
        types = import_module("onnx").TensorProto.DataType
        kind = tensor.data_type
        named = types.Name(kind) if kind in types.values() else kind
        raise UserError(f"{where} has the data type {named}, which is not read.")
    shape = tuple(tensor.dims)
    count = check_size(shape, numpy_dtype(dtype).itemsize, where)
    if tensor.data_location == EXTERNAL:
        size = -(-count // 2) if dtype.name in TWO_A_BYTE else count * dtype.itemsize
        data = _external(tensor, source, size, where)
        tensor = type(tensor)(dims=shape, data_type=tensor.data_type, raw_data=data)
    try:
        array: np.ndarray = import_module("onnx").numpy_helper.to_array(tensor)
    except ValueError as error:
        raise Damaged(f"the tensor {name!a} {shape}: {error}") from None
    return array


def numpy_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype itself, or the one of NumPy that has all its values."""
    return np.dtype(WIDENED.get(dtype.name, dtype))


def widened(array: np.ndarray) -> np.ndarray:
    """A copy in a dtype that NumPy has."""
    return array.astype(numpy_dtype(array.dtype), order="C")


def text(name: str | bytes) -> str:
    """A string of the file; Damaged if it is not text, which protobuf gives as bytes."""
    if isinstance(name, bytes):
        raise Damaged("a name in it is no text")
    return name


def _dtype(tensor: Any) -> np.dtype[Any] | None:
    """The library's dtype of a tensor; None if it is not one of numbers that are read."""
    try:
        dtype = np.dtype(import_module("onnx").helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except KeyError:  # of a later version, or none
        return None
    return dtype if dtype.kind in "fiub" or dtype.name in WIDENED else None


def _external(tensor: Any, source: Opened, size: int, where: str) -> bytes:
    """The bytes of a tensor in another file of the same folder."""
    entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
    name = entries.get("location", "").removeprefix("./")
    if source.path is None:
        raise UserError(f"{where} is in another file, {name!a}: give the path of the model.")
    path = sidecar_path(source.path, name)
    if path is None:
        raise UserError(f"{where} is in {name!a}, which is not in the folder of the model.")
    offset, length = (_digits(entries.get(key), key) for key in ("offset", "length"))
    if length not in (None, size):
        raise Damaged(f"{where} needs {size:,} bytes and declares {length:,}")
    with opened(path) as part:
        if (offset or 0) + size > part.size:
            raise UserError(f"{where} reaches past the end of {part.source}.")
        return part.part(offset or 0, size)


def _digits(value: str | None, key: str) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise Damaged(f"an {key} in it is {value[:20]!a}")
    return int(value)
