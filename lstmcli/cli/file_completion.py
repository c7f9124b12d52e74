"""What a shell is offered after ``FILE:``, and which names and files are safe to offer and to read.

A shell puts an offered name into the command line as it is: only names in which no shell finds
anything to expand are offered.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

from click.shell_completion import CompletionItem

from lstmcli.errors import UserError
from lstmcli.escaping import one_line

Items = list[CompletionItem]

MAX_BYTES = 32 << 20  # of a file that is read for names: 1.3 s of JSON, 0.1 s of .npz
SAFE = re.compile(r"[\w./+-][\w./:@=,+-]*")  # letters of any script; nothing that a shell expands


def starting(names: Iterable[str], incomplete: str) -> Items:
    """The safe names that begin with an incomplete word."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and is_safe(name)]


def is_safe(name: str) -> bool:
    """Whether no shell finds anything to expand in a name."""
    return SAFE.fullmatch(name) is not None and one_line(name) == name  # nor invisible letters


def is_quick(path: str) -> bool:
    """Whether a path is a regular file that is small enough to be read while the user types."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return False
    return path != "-" and stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES


def members_of_file(incomplete: str) -> Items:
    """``FILE:MEMBER`` for each array of the file in an incomplete word; nothing without a colon."""
    from lstmcli import formats  # and numpy, which most words do without
    from lstmcli.api.arguments import Named
    from lstmcli.formats.files.limits import raised_to
    from lstmcli.formats.files.sidecars import split_member

    file, member = split_member(Named.parse(incomplete).path) if ":" in incomplete else ("", None)
    if member is None or not is_quick(file):
        return []
    try:
        with raised_to(MAX_BYTES):
            names = formats.read(file, abbreviated=True).arrays
    except UserError:
        return []
    before = incomplete.removesuffix(member)
    return starting((f"{before}{name}" for name in names if name), incomplete)
