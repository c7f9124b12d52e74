"""The command line: one module a command, and what they share."""

from __future__ import annotations

from lstmcli.cli.group import COMMANDS, lstm
from lstmcli.cli.process import invoke

__all__ = ["COMMANDS", "invoke", "lstm"]
