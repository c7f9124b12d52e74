"""A program's outputs beside ours: whether they agree, and what `diff` shows if they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstmcli.views.diff import difference_sheet
from lstmcli.views.sheet import AGREES, DIFFERS, Sheet, Width, labelled

if TYPE_CHECKING:
    from lstmcli.api.check_program import ProgramCheck

INDENT = 11  # columns of the labels, as those of a difference


def program_sheet(check: ProgramCheck, width: Width) -> Sheet:
    """The lines of a check of a program."""
    sheet = Sheet()
    if check.drawn is not None:
        text = f"inputs of one sequence, from seed {check.drawn}: none were given"
        sheet.extend(labelled("drawn", text, width, indent=INDENT))
    verb, style = ("agrees", AGREES) if check.equal else ("differs", DIFFERS)
    text = f"{check.program.name} {verb}; it ran for {check.seconds:.3g} s"
    sheet.extend(labelled("program", text, width, style, INDENT))
    sheet.add()
    sheet.extend(difference_sheet(check.difference, width=width, next=check.next))
    if check.next:
        text = "OUTPUTS is a file of what the program gives"
        sheet.extend(labelled("", text, width, indent=INDENT))
    return sheet
