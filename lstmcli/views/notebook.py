"""Results in a notebook: the sheet that the command shows, as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.diff.difference import Difference
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.forward.excerpt import Excerpt
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.selection import EVERYTHING
from lstmcli.escaping import with_article
from lstmcli.views.derive import Detail, derivation_sheet
from lstmcli.views.diff import difference_sheet
from lstmcli.views.explain import explanation_sheet
from lstmcli.views.export import html_fragment
from lstmcli.views.header import model_sheet
from lstmcli.views.run import DEFAULT_COLUMNS, excerpt_sheets
from lstmcli.views.sheet import ASSUMED, Sheet, Width

WIDTH = Width.of(100)  # columns: what the cell of a notebook has room for


def html_of(result: Any) -> str:
    """The screen of a model, trace, difference, explanation or derivation."""
    shown = Sheet()
    for sheet in _sheets(result):
        shown.extend(sheet)
    return html_fragment(shown)


def _sheets(result: Any) -> Iterator[Sheet]:
    match result:
        case Model():
            yield model_sheet(result, WIDTH)
        case Trace():
            yield _settings(result)
            names = {name.rpartition(".")[2] for name in result.arrays}
            show = tuple(name for name in (*DEFAULT_COLUMNS, "z") if name in names)
            if show:  # a run may keep only its final state
                excerpt = Excerpt.of_trace(result)
                yield from excerpt_sheets(excerpt, show, EVERYTHING, WIDTH)
        case Difference():
            yield difference_sheet(result, width=WIDTH._replace(table=None))
        case Explanation():
            yield explanation_sheet(result, "EXPECTED", width=WIDTH)
        case Derivation():
            yield derivation_sheet(result, Detail(), WIDTH)
        case _:
            raise TypeError(f"no command shows {with_article(type(result).__name__)}")


def _settings(trace: Trace) -> Sheet:
    sheet = Sheet(WIDTH).label(
        "trace", repr(trace)[len("<Trace ") : -1].partition("; ")[0]
    )
    assumed = map(str, trace.settings.get("assumed", ()))
    sheet.labels("assumed", assumed, ASSUMED)
    sheet.add()
    return sheet
