"""Standard input in a test: the bytes or the stream that a reader finds there."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, BinaryIO
from unittest.mock import patch


def from_stdin(
    read: Callable[..., Any], given: bytes | BinaryIO, **options: Any
) -> Any:
    """The document that a reader of files returns for "-"."""
    stream = io.BytesIO(given) if isinstance(given, bytes) else given
    with patch("sys.stdin", SimpleNamespace(buffer=stream)):
        return read("-", **options)
