"""Telling binary formats, and files of other programs, by their first bytes."""

from __future__ import annotations

import re

from lstmcli.errors import UserError
from lstmcli.formats.files import BYTE_ORDER_MARKS

BINARY = {  # first bytes -> format
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",  # an archive without members
}

SAFETENSORS = b"\0\0\0{"  # the upper bytes of the header's length, and its first character

UNREAD = {  # first bytes -> what they belong to; each is refused by its name
    rb"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras writes them)",
    rb"\x80[\x02-\x05]": "a pickle; pickles can run code and are never loaded",
    rb"\x1f\x8b": "a gzip archive",
    rb"\x08[\x02-\x0d][\x12\x1a\x22\x3a]": "an ONNX model",
    rb".{4}TFL3": "a TensorFlow Lite model",
    rb"GGUF.{2}\0\0": "a GGUF model",
    rb"MATLAB 5\.0": "a MATLAB file",
}


def binary_kind(head: bytes, source: str) -> str | None:
    """The binary format by the first bytes: "npy", "npz", "safetensors"; None for text.

    Raises
    ------
    UserError
        A file of another program, or bytes that are no text.
    """
    for magic, kind in BINARY.items():
        if head.startswith(magic):
            return kind
    if head[5:9] == SAFETENSORS:
        return "safetensors"
    if head.startswith(tuple(BYTE_ORDER_MARKS)):
        return None
    for pattern, what in UNREAD.items():
        if re.match(pattern, head, re.DOTALL):
            raise UserError(
                f"{source} is {what}; this version does not read it. "
                "Save its arrays with numpy.savez."
            )
    if b"\0" in head:
        raise UserError(
            f"{source} is neither text nor of a known kind. Give .npy, .npz, .json, or text."
        )
    return None
