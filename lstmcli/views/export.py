"""A screen as a picture (SVG), or as a part of a page (HTML), with its colours.

Both follow the reader's light or dark mode, and fetch neither fonts nor
styles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from lstmcli.escaping import one_line
from lstmcli.views.sheet import AGREES, ASSUMED, DIFFERS, Sheet, Span

if TYPE_CHECKING:
    from rich.style import Style

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SIZE, ACROSS, DOWN = 14, 8.43, 18  # pixels: of the font; of one character
MARGIN = 14
UPPER_HALF = "▀"
# Each colour has a contrast of 4.5 : 1 or more with its ground (WCAG 2, AA).
LIGHT = {
    "ground": "#fbfbfa",
    "ink": "#24292f",
    "dim": "#656d76",
    "assumed": "#8f4700",
    "differs": "#bb1222",
    "agrees": "#0a6b22",
    "line": "#0b62b0",
}
DARK = {
    "ground": "#161b22",
    "ink": "#e6edf3",
    "dim": "#9aa4af",
    "assumed": "#e8a24c",
    "differs": "#ff8280",
    "agrees": "#5dcb74",
    "line": "#62aef0",
}
CLASSES = {ASSUMED: "assumed", DIFFERS: "differs", AGREES: "agrees"}
"""The names of the colours of text, each with a shade for light and for dark."""

WITHIN = 'class="lstmcli"'
SVG_TEXT = (
    f".lstmcli text {{ font-family: {FONT}; font-size: {SIZE}px; white-space: pre; }}\n"
)
HTML_TEXT = f"""\
.lstmcli pre {{ font: {SIZE}px/{DOWN}px {FONT}; }}
.lstmcli pre {{ background: inherit; color: inherit; }}
.lstmcli pre div {{ height: {DOWN}px; }}
.lstmcli span {{ display: inline-block; height: {DOWN}px; vertical-align: top; white-space: pre; }}
.lstmcli .bold {{ font-weight: bold; }}
"""

PROMPT = "$ "


def with_prompt(command: str, sheet: Sheet) -> Sheet:
    """A screen below the command that printed it."""
    prompted = Sheet(lines=[[(PROMPT, "dim"), (command, "bold")]])
    prompted.extend(sheet)
    return prompted


# ---- SVG


def svg(sheet: Sheet, title: str, width: int) -> str:
    """A picture as wide as a terminal of ``width`` columns, or wider if a line is."""
    lines = list(sheet.spans())
    width = max(width, *(sum(map(cells, (t for t, _ in line))) for line in lines))
    size = round(width * ACROSS + 2 * MARGIN), len(lines) * DOWN + 2 * MARGIN
    parts = [part for n, line in enumerate(lines) for part in _svg_line(line, n)]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}" role="img">\n'
        f"<title>{escape(one_line(title))}</title>\n{_style(SVG_TEXT)}\n<g {WITHIN}>\n"
        f'<rect class="ground" width="{size[0]}" height="{size[1]}" rx="6"/>\n{body}\n</g></svg>\n'
    )


def _svg_line(line: Sequence[Span], n: int) -> Iterator[str]:
    column, top = 0, MARGIN + n * DOWN
    for text, name in line:
        front, back, style = _colors(name)
        wide = cells(text)
        if back:
            yield _rect(column, top, wide, DOWN, f'fill="{back}"')
        fill = f'class="{_class(style) or "ink"}"'
        if front:
            fill = f'fill="{front}"'
        if text.strip(UPPER_HALF) == "" and text:
            yield _rect(column, top, wide, DOWN / 2, fill)
        else:
            yield from _words(text, column, top, fill, bool(style.bold))
        column += wide


def _rect(column: float, top: float, wide: int, tall: float, fill: str) -> str:
    x = MARGIN + column * ACROSS
    return (
        f'<rect x="{x:g}" y="{top:g}" width="{wide * ACROSS:.6g}" height="{tall:g}" {fill} '
        'shape-rendering="crispEdges"/>'
    )


def _words(text: str, column: int, top: float, fill: str, bold: bool) -> Iterator[str]:
    if bold:
        fill = f'{fill} font-weight="bold"'
    for run in re.finditer(r"\S+(?: \S+)*", text):
        x = MARGIN + (column + cells(text[: run.start()])) * ACROSS
        length = cells(run[0]) * ACROSS
        yield (
            f'<text x="{x:g}" y="{top + SIZE:g}" textLength="{length:.6g}" {fill}>'
            f"{escape(run[0])}</text>"
        )


# ---- HTML


def html_fragment(sheet: Sheet) -> str:
    """A screen whose text can be searched and copied, for the cell of a notebook."""
    return f"<div {WITHIN}>{_style(HTML_TEXT)}\n<pre>{html_lines(sheet)}</pre></div>\n"


def html_lines(sheet: Sheet) -> str:
    """The lines as the content of ``<pre>``, without newlines, which would be lines too."""
    lines = ("".join(map(_html_span, line)) or " " for line in sheet.spans())
    return "".join(f"<div>{line}</div>" for line in lines)


def _html_span(span: Span) -> str:
    text, name = span
    if not name:
        return escape(text)
    front, back, style = _colors(name)
    classes = []
    if style.bold:
        classes.append("bold")
    if _class(style):
        classes.append(_class(style))
    if front and text.strip(UPPER_HALF) == "":  # two half blocks without a seam
        css = f"background: linear-gradient({front} 50%, {back or 'transparent'} 50%); "
        css += "color: transparent"
    else:
        colors = {"color": front, "background": back}
        css = "; ".join(f"{what}: {color}" for what, color in colors.items() if color)
    attributes = ""
    if classes:
        attributes = f' class="{" ".join(classes)}"'
    if css:
        attributes = f'{attributes} style="{css}"'
    return f"<span{attributes}>{escape(text)}</span>"


# ---- both


def _style(of_text: str) -> str:
    def rules(colors: dict[str, str]) -> str:
        ground = (
            f".lstmcli {{ background: {colors['ground']}; color: {colors['ink']}; }}\n"
        )
        named = (
            f".lstmcli .{k} {{ fill: {c}; color: {c}; }}\n" for k, c in colors.items()
        )
        return f"{ground}{''.join(named)}"

    dark = f"@media (prefers-color-scheme: dark) {{\n{rules(DARK)}}}\n"
    return f"<style>\n{of_text}{rules(LIGHT)}{dark}</style>"


def _colors(name: str) -> tuple[str, str, Style]:
    """The colours of a style as ``#rrggbb``, "" for the default and `CLASSES`; the style."""
    from rich.style import Style
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME as THEME

    style = Style.parse(name)
    colors = []
    for color in (style.color, style.bgcolor):
        if color is None or color.is_default or color.name in CLASSES:
            colors.append("")
        else:
            colors.append(color.get_truecolor(THEME).hex)
    front, back = colors
    return front, back, style


def _class(style: Style) -> str:
    if style.color and style.color.name in CLASSES:
        return CLASSES[style.color.name]
    if style.dim:
        return "dim"
    return ""


def cells(text: str) -> int:
    """The columns that a text takes."""
    from rich.cells import cell_len

    return cell_len(text)
