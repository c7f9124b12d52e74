"""Telling kinds of text by their content; the suffix only decides between those it leaves."""

from __future__ import annotations

import re

from lstmcli.formats.text.console_print import IS_NUMBER, looks_printed
from lstmcli.formats.text.jsonl import is_document_too, opens

MOST_CELLS = 10_000  # of a line that are looked at: they tell what the others are
HEADER_CELL = re.compile(r"""["']?[A-Za-z_][\w. /-]*(?:\[\d+\])*["']?""")


def text_kind(text: str, hint: str | None) -> str:
    """The kind of text, by its content; ``hint``, the kind its suffix tells, breaks ties."""
    start = text.lstrip()
    first, _, rest = start.partition("\n")
    if start[:1] == "{" and not re.match(r"\{\s*'", start):
        return _json_kind(first, rest, hint)
    if start[:1] == "[":
        return _list_kind(start, first, rest, hint)
    if hint in ("json", "jsonl") and not IS_NUMBER.match(start):
        return hint
    return _column_kind(first, rest, hint)


def _json_kind(first: str, rest: str, hint: str | None) -> str:
    """A document or its lines, for a text that begins with an object."""
    if not opens(first):
        return "jsonl" if hint == "jsonl" else "json"
    if rest.strip() or hint == "jsonl":
        return "jsonl"
    return "json" if hint == "json" or is_document_too(first) else "jsonl"


def _list_kind(start: str, first: str, rest: str, hint: str | None) -> str:
    """JSON, its lines, or a print, for a text that begins with a list."""
    if hint in ("text", "jsonl"):
        return hint
    if opens(first) and (rest.strip() or hint != "json"):
        return "jsonl"
    if hint != "json" and looks_printed(start):
        return "text"
    return "json"


def _column_kind(first: str, rest: str, hint: str | None) -> str:
    """A table or a print, for a text that begins with anything else."""
    delimiter, kind = ("\t", "tsv") if "\t" in first else (",", "csv")
    cells = [cell.strip() for cell in first.split(delimiter, MOST_CELLS)[:MOST_CELLS]]
    if len(cells) == 1:  # a lone column, or words with blanks between them
        return hint if hint in ("csv", "tsv") and len(first.split()) == 1 else "text"
    if all(map(HEADER_CELL.fullmatch, cells)) and IS_NUMBER.match(rest.lstrip('"\r\n ')):
        return kind
    numbers = all(not cell or IS_NUMBER.fullmatch(cell) for cell in cells)
    table = hint in ("csv", "tsv") or (numbers and hint != "text")
    return kind if table else "text"
