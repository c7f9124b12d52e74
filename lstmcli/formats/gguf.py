"""`.gguf`: the tensors of llama.cpp and other programs on ggml, plain or packed.

The library ``gguf`` believes the counts and lengths of a header, and reads on
past the end of a file; `_reader` does not. It maps the file into memory, so
that standard input is not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.errors import UserError, import_extra, listed
from lstmcli.formats.document import Document, native
from lstmcli.formats.files.limits import Damaged, check_size, damage_reported
from lstmcli.formats.files.source import Opened

MOST_VALUES = (
    1 << 18
)  # of a header, 10 us and 300 bytes each; a vocabulary has 2 a token


def read(file: Opened) -> Document:
    """All tensors, in the order of the file, packed ones as float32.

    Types that the library does not unpack are left out, with a remark.
    """
    gguf = import_extra("gguf", f"{file.source} is a GGUF model; reading it", "gguf")
    if file.path is None:
        how = "which is mapped into memory: save it, and give its path"
        raise UserError(f"{file.source} is a GGUF model, {how}.")
    where = f"{file.source}, a GGUF model,"
    with (
        damage_reported(where),
        np.errstate(all="ignore"),
    ):  # infinite numbers of damaged files
        tensors = _reader(gguf, file.path).tensors
        arrays = {tensor.name: _array(gguf, tensor, file.source) for tensor in tensors}
    left_out = [name for name, array in arrays.items() if array is None]
    shown = f"of types that the library gguf does not unpack: {listed(left_out, 8)}"
    remarks = (f"{file.source}: left out, {shown}.",) if left_out else ()
    found = {name: array for name, array in arrays.items() if array is not None}
    return Document(file.source, "gguf", found, remarks=remarks)


def _reader(gguf: Any, path: str) -> Any:
    """The library's reader of a file, which ends where the file does."""

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        values = 0

        def _get(
            self, offset: int, dtype: Any, count: int = 1, *order: Any, **orders: Any
        ) -> Any:
            if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise Damaged("it ends too early")
            self.values += 1
            if self.values > MOST_VALUES:
                raise Damaged(f"its header has more than {MOST_VALUES:,} values")
            return super()._get(offset, dtype, count, *order, **orders)

    return Reader(path)


def _array(gguf: Any, tensor: Any, source: str) -> np.ndarray | None:
    """The numbers of a tensor; None if the library does not unpack its type."""
    shape = tensor.shape.tolist()[::-1]
    check_size(shape, 4, f"{source}: {tensor.name}")
    data = np.array(tensor.data)  # no longer mapped
    if data.dtype != np.uint8:
        return native(data)
    try:
        return np.asarray(
            gguf.dequantize(data, tensor.tensor_type), np.float32
        ).reshape(shape)
    except NotImplementedError:
        return None
