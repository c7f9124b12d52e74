"""A schedule of a cell as lines of steps, with what was run at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.schedule import Schedule
from lstmcli.views.sheet import DIFFERS, Sheet, Span, Width

TITLES = {"runs": "runs", "held": "state dropped after", "zeros": "zeros before"}
PLAIN = {"runs": 1, "held": 0, "zeros": 0}  # what is not marked
MOST_SEQUENCES = 8  # that are shown
GAP = 2  # columns between two steps


def timeline(schedule: Schedule, width: Width) -> Sheet:
    """The steps, and below them how often each is run, and what is done otherwise."""
    rows = list(_rows(schedule))
    steps = len(schedule.runs)
    numbers = [str(step) for step in range(steps)]
    title_width = max(len(title) for title, _, _ in rows)
    cell = max(map(len, numbers)) + GAP
    per_line = max(1, (width.text - title_width) // cell)
    sheet = Sheet(width)
    for first in range(0, steps, per_line):
        part = slice(first, first + per_line)
        sheet.add(
            ("step".ljust(title_width), "dim"), *_cells(numbers[part], cell, "dim")
        )
        for title, counts, plain in rows:
            line: list[Span] = [(title.ljust(title_width), "dim")]
            for count in counts[part]:
                style = "" if count == plain else DIFFERS
                line.extend(_cells([str(count)], cell, style))
            sheet.add(*line)
    return sheet


def _cells(texts: Sequence[str], cell: int, style: str) -> list[Span]:
    return [(text.rjust(cell), style) for text in texts]


def _rows(schedule: Schedule) -> Iterator[tuple[str, list[int], int]]:
    """The title, the count of each step and the plain count: of all sequences, or of each."""
    batch = schedule.runs.shape[1]
    for name, array in schedule._asdict().items():
        plain = PLAIN[name]
        if name != "runs" and (array == plain).all():
            continue
        if _is_same(array):
            yield TITLES[name], array[:, 0].astype(int).tolist(), plain
            continue
        for b in range(min(batch, MOST_SEQUENCES)):
            yield f"{TITLES[name]}, batch {b}", array[:, b].astype(int).tolist(), plain


def _is_same(array: Array) -> bool:
    return bool((array == array[:, :1]).all())
