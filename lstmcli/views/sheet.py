"""Lines of styled text, labelled paragraphs and tables, formatted to a width.

Every view returns a `Sheet`: a rich renderable for a terminal, plain text for
a pipe, without the import of rich (a third of the start-up time). Rich cuts
text to a width, and a number that was cut is a wrong number: here a column
that does not fit is left out and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from lstmcli.escaping import one_line
from lstmcli.outputs import PLAIN_WIDTH, WIDEST_TEXT

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

INDENT = 11  # columns of a label, except on screens with longer ones
NO_BREAK = "\N{NO-BREAK SPACE}"
OPTION_AT_END = re.compile(
    r"(--[a-z-]+) ([\w.=]+\))$"
)  # with its value, in brackets: one word

Span = tuple[str, str]
"""A piece of text and its style: "", "bold", "dim", or a finding's colour."""

# The terminal's named colours, which its theme adapts to its background.
ASSUMED = "yellow"
DIFFERS = "red"
AGREES = "green"
MARKS = {
    AGREES: "✔",
    DIFFERS: "✘",
    ASSUMED: "?",
}  # of a verdict, which does not rely on colour


class Width(NamedTuple):
    """The columns that a view may fill; cli measures them."""

    text: int = PLAIN_WIDTH  # of pictures, and of sentences up to `prose`
    # that tables have to fit; None in a pipe, which shows all columns
    table: int | None = None
    grows: bool = False  # a table may be wider, as in a file
    quiet: bool = False  # without what was assumed

    @classmethod
    def of(cls, columns: int | None) -> Width:
        """A terminal of this many columns; for None a pipe."""
        if columns is None:
            return cls()
        return cls(columns, columns)

    @property
    def prose(self) -> int:
        """Where sentences are wrapped."""
        return min(self.text, WIDEST_TEXT)


PIPE = Width()


class Sheet:
    """Lines of spans, top to bottom, whose texts are wrapped to a width.

    No control character leaves a sheet: `rows`, `spans` and a console escape
    texts, and what pads or wraps texts escapes them before.
    """

    def __init__(
        self,
        width: Width = PIPE,
        lines: Iterable[list[Span]] = (),
    ) -> None:
        self.width = width
        self.lines = list(lines)

    def add(self, *spans: Span | str) -> None:
        """Append one line; a bare string is unstyled."""
        line: list[Span] = []
        for span in spans:
            if isinstance(span, str):
                span = span, ""
            line.append(span)
        self.lines.append(line)

    def label(
        self, label: str, text: str, style: str = "", indent: int = INDENT
    ) -> Sheet:
        """Append a label and its text, wrapped to the right of it; no long word is cut."""
        columns = max(self.width.prose - indent, 20)
        text = OPTION_AT_END.sub(rf"\1{NO_BREAK}\2", one_line(text))
        lines = wrap(text, columns, break_long_words=False, break_on_hyphens=False)
        start = one_line(label)
        for line in lines:
            text = line.replace(NO_BREAK, " ")
            self.add((start.ljust(indent), "dim"), (text, style))
            start = ""
        return self

    def labels(
        self,
        label: str,
        texts: Iterable[str],
        style: str = "",
        indent: int = INDENT,
        bullet: str = "",
    ) -> Sheet:
        """Append texts one below the other, the first labelled, each with a ``bullet``."""
        for text in texts:
            start = f"{label:{indent}}{bullet}"
            self.label(start, text, style, indent + len(bullet))
            label = ""
        return self

    def command(self, label: str, command: str, indent: int = INDENT) -> Sheet:
        """Append a label and a command to copy, on one line."""
        self.add((label.ljust(indent), "dim"), command)
        return self

    def extend(self, other: Sheet) -> None:
        """Append another sheet."""
        self.lines.extend(other.lines)

    def section(self, other: Sheet) -> None:
        """Append another sheet below a blank line, unless it is empty."""
        if other.lines:
            self.add()
            self.extend(other)

    def rows(self) -> Iterator[str]:
        """The lines as plain text, without trailing blanks."""
        for line in self.lines:
            yield one_line("".join(text for text, _ in line)).rstrip()

    def spans(self) -> Iterator[list[Span]]:
        """The lines as they may be shown, control characters escaped."""
        for line in self.lines:
            yield [(one_line(text), style) for text, style in line]

    def plain(self) -> str:
        """The sheet as plain text, each line ended by a newline."""
        return "".join(f"{row}\n" for row in self.rows())

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Render line by line, wrapping and cutting nothing."""
        from rich.segment import Segment

        for line in self.spans():
            for text, style in line:
                if style:
                    yield Segment(text, console.get_style(style))
                else:
                    yield Segment(text)
            yield Segment.line()


def verdict(text: str, color: str, width: Width) -> Sheet:
    """The answer, as the first line of a screen: bold, in the colour of its mark."""
    style = f"bold {color}"
    sheet = Sheet(width).label(MARKS[color], text, style, indent=2)
    sheet.lines[0][0] = (f"{MARKS[color]} ", style)
    return sheet


class Column(NamedTuple):
    """A column of a table: heading, cells, style, and when it is left out."""

    heading: str
    cells: Sequence[str]
    style: str = ""
    left: bool = False  # text lines up on the left, numbers on the right
    least: int = 0  # width that other pieces of the table need
    rank: int = 0  # the highest is left out first where the width is too small; 0 never

    @property
    def width(self) -> int:
        """Characters of the widest cell, heading included."""
        widths = [self.least, len(one_line(self.heading))]
        widths.extend(len(one_line(text)) for text in self.cells)
        return max(widths)

    def spans(self, gap: str) -> Iterator[Span]:
        """The heading and the cells, padded, with a gap before each."""
        width, pad = self.width, str.rjust
        if self.left:
            pad = str.ljust
        yield gap + pad(one_line(self.heading), width), "dim"
        for text in self.cells:
            yield gap + pad(one_line(text), width), self.style


def total_width(columns: Iterable[Column], gap: int = 2) -> int:
    """Characters of a line of a table, with ``gap`` spaces between the columns."""
    return sum(column.width + gap for column in columns) - gap


def fitting_columns(
    columns: Sequence[Column], width: Width, gap: int = 2
) -> tuple[list[Column], list[Column]]:
    """The columns that fit the width, and the others, of the highest ranks."""
    if width.table is None or width.grows:
        return list(columns), []
    shown, hidden = list(range(len(columns))), list[int]()
    while total_width([columns[n] for n in shown], gap) > width.table:
        last = max(shown, key=lambda n: (columns[n].rank, n))
        if columns[last].rank == 0:  # shown even if the terminal has to wrap it
            break
        shown.remove(last)
        hidden.append(last)
    return [columns[n] for n in shown], [columns[n] for n in sorted(hidden)]


def fitting_table(
    columns: Sequence[Column], width: Width, *, rule: bool = False
) -> Sheet:
    """A table of the columns that are not empty and fit the width; a line names the others."""
    columns = [column for column in columns if any(column.cells)]
    shown, hidden = fitting_columns(columns, width)
    sheet = Sheet(width, table(shown, rule=rule).lines)
    headings = [column.heading for column in hidden]
    sheet.extend(hidden_columns(headings, total_width(columns), width))
    return sheet


def hidden_columns(
    headings: Iterable[str], needed: int, width: Width, remedy: str = ""
) -> Sheet:
    """A line that names the columns that do not fit, if any, and the width of all."""
    names: list[str] = []
    for text in filter(None, headings):
        for name in re.split(" {2,}", text):
            if name not in names:
                names.append(name)
    if not names:
        return Sheet()
    hidden = "1 column hidden"
    if len(names) > 1:
        hidden = f"{len(names)} columns hidden"
    listed = ", ".join(name.replace(" ", NO_BREAK) for name in names)
    text = f"{hidden}: {listed} (needs {needed} columns, the terminal has {width.table}{remedy})"
    return Sheet(width).label("", text, indent=0)


def table(
    columns: Sequence[Column],
    *,
    gap: int = 2,
    rule: bool = False,
    headings: bool = True,
) -> Sheet:
    """A table of columns with ``gap`` spaces between them; ``rule``: a line under the headings."""
    spans, before = [], ""
    for column in columns:
        spans.append(column.spans(before))
        before = " " * gap
    lines = [list(line) for line in zip(*spans, strict=True)]
    if not headings:
        lines = lines[1:]
    elif rule:
        lines.insert(1, [("─" * total_width(columns, gap), "dim")])
    return Sheet(lines=lines)
