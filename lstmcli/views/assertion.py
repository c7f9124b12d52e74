"""The message of a failed assertion: the difference in a few lines, and its cause."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.figures import ArrayDifference
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
    rows = [row for row in _differences(d, lacking).rows() if row.strip()]
    if len(rows) > LINES:
        rows[LINES - 1 :] = ["... (lstmcli.diff shows the rest)"]
    sides = sides or d.sides
    if isinstance(found, str):
        cause = Sheet(WIDTH).labels("", found.splitlines(), indent=0)
        command = ""
        if not found:
            command = next_command(d, sides[0])
    else:
        cause = _cause(found, expected)
        command = found.command or found.next
        in_memory = [side.name for side in sides if side.in_memory]
        if not found.command and expected in in_memory:
            command = KEEP
    rows.extend(list(cause.rows())[:CAUSE_LINES])
    if command:
        rows.append(command)
    return "\n".join(rows)


def _differences(d: Difference, lacking: Sequence[str]) -> Sheet:
    """The verdict, the arrays that differ, the first difference, and what was found in it."""
    differing = [array for array in d.arrays.values() if not array.equal]
    sheet = Sheet(WIDTH).label("", _verdict(d, len(differing)), indent=0)
    sheet.extend(sides_of(d, WIDTH))
    sheet.labels("", lacking[:MOST_ARRAYS], indent=0)
    shown = differing[:MOST_ARRAYS]
    indent = max((len(array.name) + 2 for array in shown), default=INDENT)
    for array in shown:
        sheet.label(array.name or "array", _size(array), indent=max(indent, INDENT))
    if len(differing) > MOST_ARRAYS:
        sheet.add(f"and {len(differing) - MOST_ARRAYS} arrays more")
    sheet.extend(first_difference(d, WIDTH, with_strips=False))
    for hint in d.hints:
        sheet.label(hint_label(hint), hint.text)
    return sheet


def _verdict(d: Difference, differing: int) -> str:
    text = "do not have the same numbers"
    if differing:
        text = f"differ in {differing} of {len(d.arrays)} arrays"
    named = f"{' and '.join(side.name for side in d.sides)} {text}"
    if len(named) <= COLUMNS:
        return named
    return f"a and b {text}"


def _size(array: ArrayDifference) -> str:
    """How many numbers of an array differ, by how much and where; or its two shapes."""
    if array.mismatched is None:
        return f"a has {array.pair.a.shape}; b has {array.pair.b.shape}"
    size = format_size(array.max_abs or 0.0)
    text = f"{array.mismatched} of {array.total} differ, max abs {size}"
    if array.abs_at:
        return f"{text} at {array.abs_at.words()}"
    return text


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
