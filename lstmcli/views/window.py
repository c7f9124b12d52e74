"""What part of a trace a table shows; the tables themselves are imported only to be shown."""

from __future__ import annotations

from typing import NamedTuple

from lstmcli.core.model.selection import Choice

SHOWN = ("h", "c", "i", "f", "g", "o")


class Window(NamedTuple):
    """The part of a trace to show."""

    show: tuple[str, ...] = SHOWN
    steps: Choice | None = None
    rows: Choice | None = None
    units: Choice | None = None
    digits: int | None = None
    heat: str = ""  # how many colours there are to shade cells with; "": they are not shaded
