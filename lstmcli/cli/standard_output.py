"""Standard output as this process has it: its errors name it, and a closed pipe ends the command.

Libraries have ideas of their own about a closed pipe (click and rich end with status 1, which
means "different" here), so they never get to see one.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from lstmcli.cli import CLOSED_PIPE, Ended
from lstmcli.outputs import OutputFile

NAME = "standard output"


class StandardOutput(OutputFile):
    """The raw file behind stdout.

    Where the shell sends it into a file it is written from start to end all the same: what was
    appended to that file before must not be written over.
    """

    def __init__(self, stdout: TextIO) -> None:
        super().__init__(stdout.fileno(), "wb", NAME, positioned=False, closefd=False)
        self._stdout = stdout  # which would close the descriptor when it is freed

    def write(self, data: Any, /) -> int:
        """Write some bytes; gives how many."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise Ended(CLOSED_PIPE) from None


def name_standard_output() -> None:
    """Put `StandardOutput` behind ``sys.stdout``; a console of Windows stays what it is."""
    if os.name != "posix":
        return
    stdout: Any = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(StandardOutput(stdout)),
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
    )
