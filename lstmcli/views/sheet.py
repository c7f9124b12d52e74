"""A sheet: lines of styled text whose columns are already laid out.

Every view returns a `Sheet`. It is a rich renderable, for a terminal, and it knows its plain
text, for a pipe, where rich is not even imported (that is a third of the start-up time). The
layout is done here, before either sees it, because rich fits text to a width by cutting it, and
a number that was cut is a wrong number: columns are measured first and left out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lstmcli.escaping import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

Span = tuple[str, str]
"""A piece of text and its style: "", "bold", "dim", or a finding's colour."""

# Of the 256 colours, those that are read as well on white as on black.
ASSUMED = "color(130)"
DIFFERS = "color(160)"
AGREES = "color(28)"
WITH_SIXTEEN = {ASSUMED: "magenta", DIFFERS: "red", AGREES: "green"}  # yellow is lost on white


class Sheet:
    """Lines of spans, top to bottom.

    No control character leaves a sheet: `rows`, `spans` and a console give texts escaped. What lays
    out texts by their length escapes them before.
    """

    def __init__(self, lines: Iterable[list[Span]] = ()) -> None:
        self.lines = list(lines)

    def add(self, *spans: Span | str) -> None:
        """Append one line; a bare string is unstyled."""
        self.lines.append([(span, "") if isinstance(span, str) else span for span in spans])

    def extend(self, other: Sheet) -> None:
        """Append all lines of another sheet."""
        self.lines.extend(other.lines)

    def rows(self) -> Iterator[str]:
        """The lines as plain text, without trailing blanks."""
        for line in self.spans():
            yield "".join(text for text, _ in line).rstrip()

    def spans(self) -> Iterator[list[Span]]:
        """The lines as they may be shown, control characters escaped."""
        for line in self.lines:
            yield [(one_line(text), style) for text, style in line]

    def plain(self) -> str:
        """The whole sheet as plain text, each line ended by a newline."""
        return "".join(f"{row}\n" for row in self.rows())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render line by line. Nothing is wrapped or cut here: the layout has been done."""
        from rich.segment import Segment

        told = WITH_SIXTEEN if console.color_system == "standard" else {}
        for line in self.spans():
            for text, style in line:
                style = told.get(style, style)
                yield Segment(text, console.get_style(style) if style else None)
            yield Segment.line()


class Column(NamedTuple):
    """A column of a table: its heading, its cells, how it looks, and whether it may be left out."""

    heading: str
    cells: Sequence[str]
    style: str = ""
    left: bool = False  # text lines up on the left, numbers on the right
    least: int = 0  # the width that other pieces of the same table need
    rank: int = 0  # the highest rank is the first to go when the width is too small; 0 never goes
    styles: Sequence[str] = ()  # of each cell, where they differ

    @property
    def width(self) -> int:
        """Characters of the widest cell, heading included."""
        texts = (self.heading, *self.cells)
        return max(self.least, *(len(one_line(text)) for text in texts))


def fit(columns: Sequence[Column], width: int | None, gap: int = 2) -> list[Column]:
    """The columns that have room in ``width`` characters (None: all); whole ones only."""
    return [columns[n] for n in places_that_fit(columns, width, gap)]


def places_that_fit(columns: Sequence[Column], width: int | None, gap: int = 2) -> list[int]:
    """The same, as places among the columns: for a table that is laid out in pieces."""
    kept = list(range(len(columns)))
    while width is not None and sum(columns[n].width + gap for n in kept) - gap > width:
        rank = max(columns[n].rank for n in kept)
        if rank == 0:  # what cannot go is shown even if the terminal has to wrap it
            break
        kept.remove(max(n for n in kept if columns[n].rank == rank))
    return kept


def table(
    columns: Sequence[Column], *, gap: int = 2, rule: bool = False, headings: bool = True
) -> Sheet:
    """Lay columns side by side, numbers on the right, ``gap`` apart.

    ``rule`` draws a line under the headings (a terminal's nicety; a pipe has none).
    """
    sheet = Sheet()
    space = " " * gap
    widths = [column.width for column in columns]

    def line(cells: list[tuple[str, str]]) -> None:
        spans: list[Span] = []
        for n, (column, (text, style)) in enumerate(zip(columns, cells, strict=True)):
            text = one_line(text)
            padded = text.ljust(widths[n]) if column.left else text.rjust(widths[n])
            if column.styles and n:  # what is between two cells has no colour
                spans += [(space, ""), (padded, style)]
            else:
                spans.append(((space if n else "") + padded, style))
        sheet.add(*spans)

    if headings:
        line([(column.heading, "dim") for column in columns])
    if rule:
        sheet.add(("─" * (sum(width + gap for width in widths) - gap), "dim"))
    for row in range(max((len(c.cells) for c in columns), default=0)):
        line([(c.cells[row], c.styles[row] if c.styles else c.style) for c in columns])
    return sheet
