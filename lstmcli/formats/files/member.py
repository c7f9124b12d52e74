"""FILE:MEMBER: one array of a file that contains several."""

from __future__ import annotations

import os

from lstmcli.formats.files.sidecars import main_file


def split_member(source: str) -> tuple[str, str | None]:
    """FILE and MEMBER of ``FILE:MEMBER``; None for the member where the text is a file's name.

    FILE is the longest text before a colon that is a file, the prefix of a checkpoint, or ``-``;
    the member may contain colons too: ``m.h5:lstm/kernel:0``.
    """
    if ":" not in source or os.path.lexists(source):
        return source, None
    file = source
    while ":" in file:
        file = file.rpartition(":")[0]
        if file == "-" or os.path.lexists(file) or (file and main_file(file) != file):
            return file, source[len(file) + 1 :]
    return source, None


def is_standard_input(source: str | None) -> bool:
    """Whether a source is ``-``, or a member of it."""
    return source is not None and (source == "-" or split_member(source)[0] == "-")
