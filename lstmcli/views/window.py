"""What part of a trace a table shows; the tables themselves are imported only to be shown."""

from __future__ import annotations

from typing import NamedTuple

SHOWN = ("h", "c", "i", "f", "g", "o")


class Window(NamedTuple):
    """The part of a trace to show, as typed."""

    show: tuple[str, ...] = SHOWN
    steps: str | None = None
    rows: str | None = None
    units: str | None = None
    digits: int | None = None
    heat: str = ""  # how many colours there are to shade cells with; "": they are not shaded
