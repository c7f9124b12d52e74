"""A screen as a picture (SVG) or a page (HTML), with its colours.

Both follow the reader's light or dark mode, and fetch neither fonts nor styles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from lstmcli.escaping import one_line
from lstmcli.views.sheet import Span

if TYPE_CHECKING:
    from rich.style import Style

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SIZE, ACROSS, DOWN = 14, 8.43, 18  # pixels: of the font; of one character
MARGIN = 14
UPPER_HALF, FULL_BLOCK = "▀", "█"
LIGHT = {"ground": "#fbfbfa", "ink": "#24292f", "dim": "#6e7781"}
DARK = {"ground": "#161b22", "ink": "#e6edf3", "dim": "#8b949e"}
PROMPT = "$ "

Lines = Sequence[Sequence[Span]]


def with_prompt(command: str, lines: Lines) -> list[Sequence[Span]]:
    """The lines of a screen below the command that printed them."""
    return [[(PROMPT, "dim"), (one_line(command), "bold")], *lines]


# ---- SVG


def svg(lines: Lines, title: str, width: int) -> str:
    """A picture as wide as a terminal of ``width`` columns, or wider if a line is."""
    width = max(width, *(sum(map(cells, (t for t, _ in line))) for line in lines))
    size = round(width * ACROSS + 2 * MARGIN), len(lines) * DOWN + 2 * MARGIN
    body = "\n".join(part for n, line in enumerate(lines) for part in _svg_line(line, n))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}" role="img">\n'
        f"<title>{escape(one_line(title))}</title>\n<style>\n{_svg_style()}</style>\n"
        f'<rect class="ground" width="{size[0]}" height="{size[1]}" rx="6"/>\n{body}\n</svg>\n'
    )


def _svg_style() -> str:
    def rules(colors: dict[str, str]) -> str:
        return "".join(f".{name} {{ fill: {color}; }}\n" for name, color in colors.items())

    return (
        f"text {{ font-family: {FONT}; font-size: {SIZE}px; white-space: pre; }}\n"
        f"{rules(LIGHT)}@media (prefers-color-scheme: dark) {{\n{rules(DARK)}}}\n"
    )


def _svg_line(line: Sequence[Span], n: int) -> Iterator[str]:
    column, top = 0, MARGIN + n * DOWN
    for text, name in line:
        front, back, style = _colors(name)
        wide = cells(text)
        if back:
            yield _rect(column, top, wide, DOWN, f'fill="{back}"')
        fill = f'fill="{front}"' if front else f'class="{"dim" if style.dim else "ink"}"'
        if text.strip(UPPER_HALF) == "" and text:
            yield _rect(column, top, wide, DOWN / 2, fill)
        elif text.strip(FULL_BLOCK) == "" and text:
            yield _rect(column, top, wide, DOWN, fill)
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
    """Each run of words one space from each other, at its column whatever the font."""
    weight = ' font-weight="bold"' if bold else ""
    for run in re.finditer(r"\S+(?: \S+)*", text):
        x = MARGIN + (column + cells(text[: run.start()])) * ACROSS
        length = cells(run[0]) * ACROSS
        yield (
            f'<text x="{x:g}" y="{top + SIZE:g}" textLength="{length:.6g}" {fill}{weight}>'
            f"{escape(run[0])}</text>"
        )


# ---- HTML


def html(lines: Lines, title: str, width: int) -> str:
    """A page whose text can be searched and copied."""
    # a newline between two lines would be one more line of <pre>
    body = "".join(f"<div>{''.join(map(_html_span, line)) or ' '}</div>" for line in lines)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(one_line(title))}</title>\n<style>\n{_html_style()}</style>\n</head>\n"
        f"<body>\n<pre>{body}</pre>\n</body>\n</html>\n"
    )


def _html_style() -> str:
    def rules(colors: dict[str, str]) -> str:
        return (
            f"body {{ background: {colors['ground']}; color: {colors['ink']}; }}\n"
            f".dim {{ color: {colors['dim']}; }}\n"
        )

    return (
        f"pre {{ font: {SIZE}px/{DOWN}px {FONT}; }}\ndiv {{ height: {DOWN}px; }}\n"
        f"span {{ display: inline-block; height: {DOWN}px; vertical-align: top; "
        "white-space: pre; }\n.bold { font-weight: bold; }\n"
        f"{rules(LIGHT)}@media (prefers-color-scheme: dark) {{\n{rules(DARK)}}}\n"
    )


def _html_span(span: Span) -> str:
    text, name = span
    if not name:
        return escape(text)
    front, back, style = _colors(name)
    classes = [name for name, on in (("bold", style.bold), ("dim", style.dim)) if on]
    css = ""
    if front and text.strip(UPPER_HALF) == "":  # two half blocks without a seam
        css = f"background: linear-gradient({front} 50%, {back or 'transparent'} 50%); "
        css += "color: transparent"
    else:
        css = "; ".join(
            f"{what}: {color}" for what, color in (("color", front), ("background", back)) if color
        )
    attributes = f' class="{" ".join(classes)}"' * bool(classes) + f' style="{css}"' * bool(css)
    return f"<span{attributes}>{escape(text)}</span>"


# ---- both


def _colors(name: str) -> tuple[str, str, Style]:
    """The colours of a style as ``#rrggbb``, "" for the default one, and the style."""
    from rich.style import Style
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME as THEME

    style = Style.parse(name)
    front, back = (
        "" if color is None or color.is_default else color.get_truecolor(THEME).hex
        for color in (style.color, style.bgcolor)
    )
    return front, back, style


def cells(text: str) -> int:
    """The columns that a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


WRITTEN = {"svg": svg, "html": html}
"""The function that writes a screen, by the name of the option."""
