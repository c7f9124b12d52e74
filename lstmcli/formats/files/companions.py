"""Files that belong to a file: read from its own folder only, by base name, and never by link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.source import Opened, opened

MAPPED = 64 << 20  # bytes from which on a file is mapped, not read


def beside(path: str, name: str) -> str | None:
    """The path of the file ``name`` in the folder of ``path``; None if it is not there.

    Raises
    ------
    UserError
        A name that leads elsewhere, a link out of the folder, something that is no file.
    """
    folder = os.path.dirname(path)
    full = os.path.join(folder, name)
    if os.path.basename(name) != name or name in ("", ".", ".."):
        raise UserError(f"{path} names {name!r}, which is not in its folder; it is not opened.")
    if not os.path.lexists(full):
        return None
    real = os.path.realpath(full)
    if os.path.dirname(real) != os.path.realpath(folder or "."):
        raise UserError(f"{full} is a link out of its folder; copy the file there to have it read.")
    if not os.path.exists(real) or not stat.S_ISREG(os.stat(real).st_mode):
        raise UserError(f"{full} is no regular file.")
    return full


@contextmanager
def companion(file: Opened, name: str) -> Iterator[Opened]:
    """Open the part that ``file`` calls ``name``; folders in the name are left out.

    Raises
    ------
    UserError
        ``file`` came from standard input; the part is missing, empty, or what `beside` refuses.
    """
    base = os.path.basename(name.replace("\\", "/"))
    if file.path is None:
        raise UserError(
            f"{file.source} names a part, {base!a}, that lies beside it: give the path of the file."
        )
    path = None if "\0" in base else beside(file.path, base)
    if path is None:
        raise UserError(f"{file.source} names a part, {base!a}, that is not beside it.")
    with opened(path) as part:
        yield part


def contents(file: Opened) -> memoryview:
    """All bytes of a file; a large one is mapped and takes no memory."""
    if file.path is not None and file.size >= MAPPED:
        return np.memmap(file.path, np.uint8, mode="r", shape=(file.size,)).data
    file.stream.seek(0)
    return memoryview(file.stream.read())
