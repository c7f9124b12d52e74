"""`.safetensors`: named tensors behind a JSON header, by the library of that name.

bfloat16 is widened to float32. ``__metadata__`` is not used.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import numpy as np

from lstmcli.errors import UserError, import_extra
from lstmcli.formats.document import Arrays, Document, native, size_as_read
from lstmcli.formats.files.limits import check_size, damaged
from lstmcli.formats.files.source import Opened

DTYPES = {  # the format's names -> little-endian NumPy dtypes
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "V2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def read(file: Opened) -> Document:
    """All tensors, in the order of the file, but those of a kind that NumPy lacks."""
    purpose = f"{file.source} is a safetensors file; reading it"
    safetensors = import_extra("safetensors", purpose, "safetensors")
    data = file.contents()
    try:
        tensors: dict[str, dict[str, Any]] = dict(safetensors.deserialize(data))
    except safetensors.SafetensorError as error:
        reason = f"the safetensors library: {error}"
        raise damaged(f"{file.source}, a safetensors file,", reason) from None
    arrays: Arrays = {}
    left_out: list[str] = []
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for name in (
        name for name in header if name in tensors
    ):  # the library's order is random
        kind, shape = tensors[name]["dtype"], tensors[name]["shape"]
        if kind in DTYPES:
            stored = np.frombuffer(tensors[name]["data"], DTYPES[kind])
            check_size(shape, size_as_read(stored.dtype), f"{file.source}: {name}")
            arrays[name] = native(stored.reshape(shape))
        else:
            left_out.append(f"{name} ({kind})")
    remark = f"{file.source}: left out, of kinds that NumPy does not have: {', '.join(left_out)}."
    return Document(
        file.source, "safetensors", arrays, remarks=(remark,) if left_out else ()
    )


def write(stream: BinaryIO, arrays: Arrays, attributes: dict[str, Any]) -> None:
    """Write the tensors; attributes become strings of the header's metadata."""
    writer = import_extra(
        "safetensors.numpy", "writing .safetensors", "safetensors", "safetensors"
    )
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    for name, array in arrays.items():
        if array.dtype not in names:
            text = f"{name} is {array.dtype}, which .safetensors cannot store."
            raise UserError(text, try_={"dtype": "float64"})
    metadata = {name: str(value) for name, value in attributes.items()}
    # of a transposed array, the library writes the memory as it is
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    stream.write(writer.save(contiguous, metadata or None))
