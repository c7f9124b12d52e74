"""The message of a failed assertion: the difference in at most 15 lines, and its cause."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.diff.compare import Difference
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.model.selection import format_size
from lstmcli.views.diff import first_difference, hint_label, next_command, sides_of
from lstmcli.views.explain import title
from lstmcli.views.sheet import Sheet, Width, labelled

LINES, COLUMNS = 15, 100
MOST_ARRAYS = 4
WIDTH = Width.of(COLUMNS)


def failure_text(
    d: Difference, lacking: Sequence[str], found: Explanation | str = "", expected: str = ""
) -> str:
    """The difference in at most 15 lines of 100 columns, the cause, and the command, unwrapped.

    ``lacking`` is what a side lacks. ``found`` is the explanation of the side of the name
    ``expected``, or why there is none.
    """
    differing = [array for array in d.arrays.values() if not array.equal]
    names = " and ".join(side.name for side in d.sides)
    sheet = Sheet()
    how = f"differ in {len(differing)} of {len(d.arrays)} arrays"
    sheet.add(f"{names} {how if differing else 'do not have the same numbers'}")
    sheet.extend(sides_of(d, WIDTH))
    for text in lacking[:MOST_ARRAYS]:
        sheet.extend(labelled("", text, WIDTH, indent=0))
    for array in differing[:MOST_ARRAYS]:
        text = f"a has {array.aligned[0]}; b has {array.aligned[1]}"
        if array.mismatched is not None:
            where = f" at {array.abs_at.words()}" if array.abs_at else ""
            size = format_size(array.max_abs or 0.0)
            text = f"{array.mismatched} of {array.total} differ, max abs {size}{where}"
        sheet.extend(labelled(array.name or "array", text, WIDTH))
    if more := len(differing) - MOST_ARRAYS:
        sheet.add(f"and {more} arrays more" * (more > 0))
    sheet.extend(first_difference(d, WIDTH, with_strips=False))
    for hint in d.hints:
        sheet.extend(labelled(hint_label(hint), hint.text, WIDTH))
    rows = [row for row in sheet.rows() if row.strip()]
    if len(rows) > LINES:
        rows[LINES - 1 :] = ["... (lstmcli.diff shows the rest)"]
    if isinstance(found, str):
        return "\n".join([*rows, *filter(None, [found or next_command(d, d.sides[0])])])
    cause = labelled("explain", title(found, expected), WIDTH).rows()
    is_file = not any(side.in_memory for side in d.sides if side.name == expected)
    command = found.command or found.next * is_file
    return "\n".join([*rows, *cause, *filter(None, [command])])
