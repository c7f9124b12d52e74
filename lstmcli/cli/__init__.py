"""The command line: one module a command, and what they share.

`group` has the table of commands, `process` runs a command line and decides its exit status,
`terminal` is where results and messages go.
"""

from __future__ import annotations

from lstmcli.cli.group import COMMANDS, lstm
from lstmcli.cli.process import invoke

__all__ = ["COMMANDS", "invoke", "lstm"]
