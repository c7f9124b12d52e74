"""The message of a failed assertion: the difference in a few lines, and its cause."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.operand import Side
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.explain.wording import configuration
from lstmcli.core.model.selection import format_size
from lstmcli.views.diff import first_difference, hint_label, next_command, sides_of
from lstmcli.views.explain import notes, title
from lstmcli.views.sheet import INDENT, Sheet, Width

LINES, COLUMNS = 15, 100
CAUSE_LINES = 12  # at most, with what else fits and the notes
MOST_ARRAYS = 4
WIDTH = Width.of(COLUMNS)
KEEP = "to go on: pytest --lstm-save DIR (or LSTM_SAVE=DIR) writes the files for lstm explain"


def failure_text(
    d: Difference,
    lacking: Sequence[str],
    found: Explanation | str = "",
    expected: str = "",
    sides: Sequence[Side] = (),
) -> str:
    """The difference in at most 15 lines of 100 columns, the cause in 12, and the command.

    ``lacking`` is what a side lacks; ``found`` the explanation of the side
    ``expected``, or why there is none; ``sides`` are those of the difference,
    in files if they were written.
    """
    differing = [array for array in d.arrays.values() if not array.equal]
    shown, more = differing[:MOST_ARRAYS], len(differing) - MOST_ARRAYS
    verdict = f"differ in {len(differing)} of {len(d.arrays)} arrays"
    verdict = verdict if differing else "do not have the same numbers"
    names = " and ".join(side.name for side in d.sides)
    names = names if len(f"{names} {verdict}") <= COLUMNS else "a and b"
    sheet = Sheet(WIDTH).label("", f"{names} {verdict}", indent=0)
    sheet.extend(sides_of(d, WIDTH))
    sheet.labels("", lacking[:MOST_ARRAYS], indent=0)
    indent = max([INDENT, *(len(array.name) + 2 for array in shown)])
    for array in shown:
        text = f"a has {array.pair.a.shape}; b has {array.pair.b.shape}"
        if array.mismatched is not None:
            where = f" at {array.abs_at.words()}" if array.abs_at else ""
            size = format_size(array.max_abs or 0.0)
            text = f"{array.mismatched} of {array.total} differ, max abs {size}{where}"
        sheet.label(array.name or "array", text, indent=indent)
    sheet.add(f"and {more} arrays more" * (more > 0))
    sheet.extend(first_difference(d, WIDTH, with_strips=False))
    for hint in d.hints:
        sheet.label(hint_label(hint), hint.text)
    rows = [row for row in sheet.rows() if row.strip()]
    if len(rows) > LINES:
        rows[LINES - 1 :] = ["... (lstmcli.diff shows the rest)"]
    sides = sides or d.sides
    if isinstance(found, str):
        cause = Sheet(WIDTH).labels("", found.splitlines(), indent=0)
        command = "" if found else next_command(d, sides[0])
    else:
        cause = _cause(found, expected)
        command = found.command or found.next
        in_memory = [side.name for side in sides if side.in_memory]
        if not found.command and expected in in_memory:
            command = KEEP
    return "\n".join(
        [*rows, *list(cause.rows())[:CAUSE_LINES], *filter(None, [command])]
    )


def _cause(found: Explanation, expected: str) -> Sheet:
    """The explanation of the difference, other fits, and the notes of a search that failed."""
    cause = Sheet(WIDTH).label("explain", title(found, expected), indent=INDENT)
    if found.verdict == "unproven":
        cause.label("fits", configuration(found.changes), indent=INDENT)
    is_open = found.verdict in ("none", "unproven")
    for name, text in notes(found):
        if name == "other fits" and found.equivalent:
            cause.label(name, text, indent=INDENT)
        if name in ("note", "to decide") and is_open:
            cause.label(name, text, indent=INDENT)
    return cause
