"""The message of a failed assertion: the difference in a few lines, and its cause."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.diff.difference import Difference
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.model.selection import format_size
from lstmcli.views.diff import first_difference, hint_label, next_command, sides_of
from lstmcli.views.explain import title
from lstmcli.views.sheet import INDENT, Sheet, Width

LINES, COLUMNS = 15, 100
MOST_ARRAYS = 4
WIDTH = Width.of(COLUMNS)


def failure_text(
    d: Difference,
    lacking: Sequence[str],
    found: Explanation | str = "",
    expected: str = "",
) -> str:
    """The difference in at most 15 lines of 100 columns, the cause, and the command, unwrapped.

    ``lacking`` is what a side lacks; ``found`` the explanation of the side
    ``expected``, or why there is none.
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
    if isinstance(found, str):
        cause = Sheet(WIDTH).labels("", found.splitlines(), indent=0)
        command = "" if found else next_command(d, d.sides[0])
    else:
        cause = Sheet(WIDTH).label("explain", title(found, expected), indent=INDENT)
        is_file = not any(side.in_memory for side in d.sides if side.name == expected)
        command = found.command or found.next * is_file
    return "\n".join([*rows, *cause.rows(), *filter(None, [command])])
