"""Files of several arrays that are filled piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np

from lstmcli import formats
from lstmcli.formats.arrays.block_writer import BlockWriter
from lstmcli.formats.files.atomic import atomically
from lstmcli.outputs import errors_named


@dataclass
class Pieces:
    """What is written: arrays in blocks, and arrays and attributes that are set at the end."""

    writers: dict[str, BlockWriter]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    order: Sequence[str] = ()  # of all arrays in the file; (): ``writers``, then ``arrays``


def _temporary(target_path: str | None, stack: ExitStack) -> tuple[BinaryIO, str]:
    """A nameless file in the folder of a path, or in the temporary folder; its name in messages."""
    from tempfile import TemporaryFile, gettempdir

    if target_path is not None:
        folder, output = os.path.dirname(os.path.realpath(target_path)), target_path
    else:
        with errors_named("a temporary file"):
            folder = gettempdir()
        output = f"a temporary file in {folder}"
    with errors_named(output):
        file = stack.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115 (``stack`` closes it)
    return cast(BinaryIO, file), output


@contextmanager
def open_block_writers(
    target: str | BinaryIO, format: str, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]
) -> Iterator[Pieces]:
    """Write "npy", "npz", "json" or "text" in pieces; a file appears complete or not at all.

    Where the file itself takes no pieces (an archive, a text, a pipe), they go to nameless
    temporary files first: in the folder of the target, on the same disk.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(atomically(target)) if isinstance(target, str) else target
        # the folder of a device or a pipe may not take files
        target_path = target if isinstance(target, str) and stream.seekable() else None
        direct = format == "npy" and target_path is not None
        pieces = Pieces({})
        for name, shape in shapes.items():
            file, output = (stream, str(target)) if direct else _temporary(target_path, stack)
            pieces.writers[name] = BlockWriter(file, shape, dtype, output)
        yield pieces
        if not direct:
            arrays: dict[str, np.ndarray | BlockWriter] = {**pieces.writers, **pieces.arrays}
            ordered = {name: arrays[name] for name in pieces.order or arrays}
            formats.write(stream, format, ordered, pieces.attributes)
