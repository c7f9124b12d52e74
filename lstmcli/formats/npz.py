"""`.npz`: a zip archive of .npy members.

A member that unpacks to more than its header needs, or to far more than the
size of the archive, is refused unread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.limits import check_total, damage_reported
from lstmcli.formats.files.source import HEAD, Opened
from lstmcli.formats.files.zip import Archive, unzip
from lstmcli.formats.npy import (
    Stored,
    check,
    read_elements,
    read_header,
    write_elements,
)

SUFFIX = ".npy"
DATE = (1980, 1, 1, 0, 0, 0)  # the same arrays are the same bytes every day

OBJECTS = "contains Python objects, which are never loaded."
SAVED_AS_NUMBERS = (
    "  Save numbers: np.save(FILE, array, allow_pickle=False) refuses an array "
    "of anything else."
)


def read(file: Opened, only: str | None = None) -> Document:
    """All members; 0-d arrays and strings become attributes, ``meta`` is decoded.

    If there is a member ``only``, the other arrays are not unpacked.
    """
    document = Document(file.source, "npz", {})
    left_out, others = [], []
    with damage_reported(file.source):
        archive = Archive(file)
    members = _members(archive, file)
    for name, member in members.items():
        where = f'{file.source}, member "{name}"'
        with damage_reported(where), archive.open(member) as stream:
            header = read_header(stream.read(HEAD), where)
        if only in members and name != only and header.shape:
            others.append(name)
            continue
        if header.dtype.hasobject:
            left_out.append(name)
            continue
        check(header, member.file_size, where)
        with damage_reported(where), archive.open(member) as stream:
            stream.read(header.offset)
            value = read_elements(cast(BinaryIO, stream), header, where)
        if isinstance(value, np.ndarray):
            document.arrays[name] = value
        else:
            document.attributes[name] = _decoded(value) if name == "meta" else value
    if only in left_out:
        raise UserError(f"{file.source}:{only} {OBJECTS}", SAVED_AS_NUMBERS)
    if only in members and only not in document.arrays:
        return read(file)  # the caller's message names the arrays
    objects = f"{file.source}: {', '.join(left_out)}"
    if not document.arrays and not document.attributes:
        raise UserError(f"{objects} {OBJECTS}", SAVED_AS_NUMBERS)
    remarks = (
        (f"{objects} left out: Python objects are never loaded.",) if left_out else ()
    )
    return replace(document, other_members=tuple(others), remarks=remarks)


def _members(archive: Archive, file: Opened) -> dict[str, ZipInfo]:
    """The .npy members by name; refuses what the archive's directory declares wrongly."""
    members: dict[str, ZipInfo] = {}
    for member in archive.members:
        if not member.filename.endswith(SUFFIX):
            continue
        name = member.filename[: -len(SUFFIX)]
        if name in members:
            raise UserError(f'{file.source} has two members of the name "{name}".')
        members[name] = member
    if not members:
        way_out = unzip(member.filename for member in archive.members)
        raise UserError(
            f"{file.source} is a zip archive without .npy members. "
            f"{way_out or 'Save the tensors with numpy.savez.'}"
        )
    check_total(
        sum(member.file_size for member in members.values()), file.size, file.source
    )
    return members


def _decoded(value: Any) -> Any:
    """``meta`` as a dict if it is JSON, else as it is."""
    try:
        decoded = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict) else value


def write(
    stream: BinaryIO, arrays: Mapping[str, Stored], attributes: dict[str, Any]
) -> None:
    """Arrays as members, attributes as 0-d ones, ``meta`` as JSON; None is left out.

    Nothing is compressed (a gigabyte would take half a minute), and nothing
    depends on the day.
    """
    extras = {
        name: np.asarray(json.dumps(value) if isinstance(value, dict) else value)
        for name, value in attributes.items()
        if value is not None
    }
    with ZipFile(stream, "w", ZIP_STORED) as archive:
        for name, array in {**arrays, **extras}.items():
            info = ZipInfo(name + SUFFIX, DATE)
            with archive.open(info, "w", force_zip64=True) as member:
                write_elements(cast(BinaryIO, member), array)
