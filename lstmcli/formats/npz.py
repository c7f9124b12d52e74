"""`.npz`: a zip archive of .npy members.

The archive is checked by what it declares before any member is unpacked: a member that unpacks to
more than its header needs, or to a thousand times the archive, is refused unread.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files import HEAD, Opened
from lstmcli.formats.npy import check, read_elements, read_header, write_elements

SUFFIX = ".npy"
LARGE = 256 << 20  # bytes up to which no archive is suspected of being a bomb
MOST_TIMES = 100  # how much more than its size a larger archive may unpack to
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
ENCRYPTED = 1  # the flag bit
DATE = (1980, 1, 1, 0, 0, 0)  # the same arrays give the same bytes on every day

OTHERS = {
    "data.pkl": "a PyTorch checkpoint",
    "model.weights.h5": "a Keras 3 model",
    "coefficients.bin": "a DL4J model",
}

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    UnicodeError,
    ValueError,
    struct.error,
)


def read(source: Opened) -> Document:
    """All members; 0-d arrays and strings become attributes, ``meta`` is decoded.

    Raises
    ------
    UserError
        A broken, encrypted or exploding archive, one without arrays, a member that is not numeric.
    """
    document = Document(source.source, "npz", {})
    with _broken_is_told(source.source):
        archive = zipfile.ZipFile(source.stream)
    for name, info in _members(archive, source).items():
        where = f'{source.source}, member "{name}"'
        with _broken_is_told(where):
            value = _member(archive, info, where)
        _file_under(document, name, value)
    if not document.arrays and not document.attributes:
        raise UserError(
            f"{source.source} holds nothing but Python objects, which are never loaded."
        )
    return document


@contextmanager
def _broken_is_told(where: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise UserError(f"{where} is damaged or cut short ({error}).") from None


def _members(archive: zipfile.ZipFile, source: Opened) -> dict[str, zipfile.ZipInfo]:
    """The .npy members by name, once the archive's directory has been found harmless."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if not info.filename.endswith(SUFFIX):
            continue
        name = info.filename[: -len(SUFFIX)]
        _check_member(info, name, members, source.source)
        members[name] = info
    if not members:
        raise UserError(f"{source.source} is {_kind(archive)}. Save the tensors with numpy.savez.")
    declared = sum(info.file_size for info in members.values())
    if declared > max(LARGE, MOST_TIMES * source.size):
        raise UserError(
            f"{source.source}: {source.size:,} bytes claim to unpack to {declared:,}; refused. "
            "If that is meant, save it uncompressed with numpy.savez."
        )
    return members


def _check_member(
    info: zipfile.ZipInfo, name: str, earlier: dict[str, zipfile.ZipInfo], source: str
) -> None:
    if name in earlier:
        raise UserError(f'{source} has two members of the name "{name}".')
    if info.flag_bits & ENCRYPTED:
        raise UserError(f'{source}, member "{name}" is encrypted; unpack it first.')
    if info.compress_type not in METHODS:
        raise UserError(
            f'{source}, member "{name}" is compressed by method {info.compress_type}; '
            "save it with numpy.savez or numpy.savez_compressed."
        )


def _kind(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    for ending, kind in OTHERS.items():
        if any(name == ending or name.endswith(f"/{ending}") for name in names):
            return f"{kind}, which this version does not read yet"
    return "a zip archive without .npy members"


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Any:
    """The value of a member; None for Python objects, which are left out unread."""
    with archive.open(info) as stream:
        header = read_header(stream.read(HEAD), where)
    if header.holds_objects:
        return None
    check(header, info.file_size, where)
    with archive.open(info) as stream:
        stream.read(header.offset)
        value = read_elements(cast(BinaryIO, stream), header, where)
        stream.read(1)  # at the end the checksum is compared
    return value


def _file_under(document: Document, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, np.ndarray):
        document.arrays[name] = value
    else:
        document.attributes[name] = _decoded(value) if name == "meta" else value


def _decoded(value: Any) -> Any:
    """``meta`` as a dict if it is JSON, else as it is."""
    import json  # the weights of most have no meta

    try:
        decoded = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict) else value


def write(stream: BinaryIO, arrays: dict[str, np.ndarray], attributes: dict[str, Any]) -> None:
    """Arrays as members, attributes as 0-d ones, ``meta`` as JSON; None is left out.

    Nothing is compressed (a gigabyte would take half a minute), and nothing depends on the day.
    """
    extras = {name: _as_array(value) for name, value in attributes.items() if value is not None}
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {**arrays, **extras}.items():
            info = zipfile.ZipInfo(name + SUFFIX, DATE)
            with archive.open(info, "w", force_zip64=True) as member:
                write_elements(cast(BinaryIO, member), np.asarray(array))


def _as_array(value: Any) -> np.ndarray:
    import json

    return np.asarray(json.dumps(value) if isinstance(value, dict) else value)
