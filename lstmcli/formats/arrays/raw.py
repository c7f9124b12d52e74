"""Raw little-endian numbers in C order: ``h.bin:f32:7x3``, of a file of no known kind."""

from __future__ import annotations

import re
from math import prod

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.source import Opened
from lstmcli.formats.wire.bfloat16 import widened

_FORM = re.compile(r"(f16|bf16|f32|f64):(\d{1,12}(?:x\d{1,12})*)", re.I)
_DTYPES = {"f16": "<f2", "bf16": "<u2", "f32": "<f4", "f64": "<f8"}


def is_raw_form(member: str | None) -> bool:
    """Whether what follows a file's name is a type and a shape: ``f32:7x3``."""
    return member is not None and _FORM.fullmatch(member) is not None


def read(file: Opened, form: str) -> Document:
    """The array of this type and shape that a file consists of."""
    match = _FORM.fullmatch(form)
    assert match is not None, "the caller has asked is_raw_form"
    kind, shape = match[1].lower(), tuple(int(n) for n in match[2].split("x"))
    dtype = np.dtype(_DTYPES[kind])
    expected = prod(shape) * dtype.itemsize
    check_size(shape, dtype.itemsize, f"{file.source}:{form}")
    if file.size != expected:
        raise UserError(
            f"{file.source} has {file.size:,} bytes; {form} takes {expected:,}, "
            f"{prod(shape):,} numbers of {dtype.itemsize} bytes."
        )
    array = np.frombuffer(file.stream.read(), dtype).reshape(shape)
    return Document(file.source, "raw", {"": widened(array) if kind == "bf16" else array})
