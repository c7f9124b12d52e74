"""Hooks of mkdocs: pages of the checkout and of `--page`, and screens in the colours of the tool.

A ``console`` block is run again with colours. Where that is not the same text, as of a program that
has none, the block stays as it is.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkdocs.structure.files import File, Files
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs loads this file by its path

from tests.docs.documents import BLOCK, PAGES, page
from tests.paths import TOP
from tests.transcripts.shell import Shell

ABOVE = {
    "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md", "licence.md": "LICENSE",
}  # fmt: skip
NAMES = ("red", "green", "yellow", "blue", "magenta", "cyan")
NAMED = {n + bright: name for bright in (1, 9) for n, name in enumerate(NAMES)}
"""The colours that a terminal has names for, by number; bright ones are the same on the site."""
SHORT = re.compile(
    r"(?<!</span>)<code>([^<]{1,24})</code>"
)  # fits on a line of the narrowest window
PROGRAM = re.compile(r"(^|[|;&] *)lstm ")


def on_files(files: Files, config: Any) -> Files:
    """The files of the site, with those from the top of the checkout, and the pages of samples."""
    for name, source in ABOVE.items():
        text = (TOP / source).read_text()
        text = (
            text.replace("](docs/", "](")
            if source.endswith(".md")
            else f"# Licence\n\n{text}"
        )
        files.append(File.generated(config, name, content=text))
    for name in PAGES:
        with TemporaryDirectory() as folder:
            text = page(name, Path(folder))
        files.append(File.generated(config, f"pages/{name}.html", content=text))
    return files


def on_page_markdown(markdown: str, **about: Any) -> str:
    """A page with its screens in colour."""
    if not BLOCK.search(markdown):
        return markdown
    with TemporaryDirectory() as folder:
        shell = Shell(Path(folder))
        return BLOCK.sub(
            lambda b: _screen(b["command"], b["output"], shell) or b[0], markdown
        )


def on_page_content(html: str, **about: Any) -> str:
    """A page whose short commands are not cut at a hyphen, and whose tables a key can scroll."""
    html = SHORT.sub(r'<code class="short">\1</code>', html)
    return html.replace("<table>", '<table tabindex="0">')


def on_post_page(output: str, **about: Any) -> str:
    """A page with a name for the dialog of the search, for which the theme has none."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


on_post_template = on_post_page  # of the page that is not there


def _screen(command: str, output: str, shell: Shell) -> str | None:
    """A command and its output in colour; None where that is another text."""
    done = shell.run(PROGRAM.sub(r"\1FORCE_COLOR=1 lstm ", command), one_stream=True)
    text = Text.from_ansi(done.out.strip("\n"))
    if _words(text.plain) != _words(output):
        return None
    spans = "".join(map(_span, text.render(Console())))
    code = f'<code tabindex="0"><b>$ {escape(command)}</b>\n{spans}</code>'
    return f'<pre class="screen">{code}</pre>'


def _words(text: str) -> list[str]:
    """The words of a screen; a terminal has rules between its parts, too."""
    return text.replace("─", "").split()


def _span(segment: Segment) -> str:
    """A piece of text in its style: a class for what a terminal names, the others by value."""
    style, text = segment.style, escape(segment.text)
    if not style:
        return text
    classes = [
        name for name in ("bold", "dim", "italic", "underline") if getattr(style, name)
    ]
    values = []
    for name, color in (("color", style.color), ("background", style.bgcolor)):
        if color and color.number in NAMED and name == "color":
            classes.append(f"color-{NAMED[color.number]}")
        elif color and not color.is_default:
            values.append(f"{name}: {color.get_truecolor().hex}")
    return (
        f'<span class="{" ".join(classes)}" style="{"; ".join(values)}">{text}</span>'
    )
