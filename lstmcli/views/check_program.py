"""A program's outputs next to ours: whether they agree, and what `diff` shows if they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstmcli.views.diff import difference_sheet
from lstmcli.views.header import header_sheet
from lstmcli.views.sheet import AGREES, DIFFERS, Sheet, Width, labelled, verdict

if TYPE_CHECKING:
    from lstmcli.api.check_program import ProgramCheck


def program_sheet(check: ProgramCheck, width: Width) -> Sheet:
    """The lines of a check of a program."""
    verb, color = ("agrees with", AGREES) if check.equal else ("differs from", DIFFERS)
    text = f"{check.program.name} {verb} ours"
    sheet = verdict(f"{text}; it ran for {check.seconds:.3g} s", color, width)
    sheet.add()
    sheet.extend(header_sheet(check.job.plan(), width))
    if check.drawn is not None:
        text = f"inputs of one sequence, from seed {check.drawn}: none were given"
        sheet.extend(labelled("drawn", text, width))
        sheet.add()
    sheet.extend(difference_sheet(check.difference, width=width, next=check.next))
    if check.next:
        text = "OUTPUTS is a file of what the program gives"
        sheet.extend(labelled("", text, width))
    return sheet
