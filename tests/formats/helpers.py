"""Shared by the tests of formats: strategies of arrays, and reading text as if from a console."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lstmcli.formats import Document, read
from tests.standard_input import from_stdin

NAMES = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(
    lambda n: n not in ("meta", "x")
)


def arrays(
    *, least: int = 1, most: int = 3, finite: bool = False
) -> st.SearchStrategy[np.ndarray]:
    """float32 and float64 arrays of a few small axes."""
    shapes = hnp.array_shapes(min_dims=least, max_dims=most, max_side=4)

    def of(dtype: np.dtype[Any]) -> st.SearchStrategy[np.ndarray]:
        elements = hnp.from_dtype(
            dtype, allow_nan=not finite, allow_infinity=not finite
        )
        return hnp.arrays(dtype, shapes, elements=elements)

    return of(np.dtype(np.float32)) | of(np.dtype(np.float64))


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_STORED, *, zip64: bool = False,
    comment: bytes = b"",
) -> bytes:  # fmt: skip
    """A zip archive of these members, dated 1980: its bytes stand in names of tests."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return buffer.getvalue()


def members_of(data: bytes | Path) -> dict[str, bytes]:
    """The members of a zip archive, given by its bytes or its path."""
    with zipfile.ZipFile(
        io.BytesIO(data) if isinstance(data, bytes) else data
    ) as archive:
        return {
            name: archive.read(name) for name in archive.namelist() if name[-1] != "/"
        }


def piped(data: str | bytes) -> Document:
    """Read these bytes as standard input."""
    document: Document = from_stdin(
        read, data.encode() if isinstance(data, str) else data
    )
    return document


def filed(folder: Path, name: str, data: str | bytes) -> Document:
    """Read these bytes as a file of this name."""
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read(str(path))


def same(read_back: np.ndarray, written: np.ndarray) -> None:
    """Assert equal numbers in equal shapes, NaN equal to NaN, the sign of zero included."""
    assert read_back.shape == written.shape
    np.testing.assert_array_equal(read_back, written)
    known = ~np.isnan(written)
    np.testing.assert_array_equal(
        np.signbit(read_back[known]), np.signbit(written[known])
    )
