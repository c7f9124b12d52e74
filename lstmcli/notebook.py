"""What a notebook shows of a result: the screen of its command.

The views that draw it are above the packages of the results, so they are registered here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)

_drawers: list[Callable[[Any], str]] = []


def draw_with(html_of: Callable[[Any], str]) -> None:
    """Have this function draw every result that is `in_notebooks`."""
    _drawers[:] = [html_of]


def in_notebooks(cls: Class) -> Class:
    """Give a class ``_repr_html_``, which notebooks call; a decorator."""

    def _repr_html_(self: Any) -> str:
        """The screen of the command as HTML."""
        return _drawers[0](self)

    cls._repr_html_ = _repr_html_  # type: ignore[attr-defined]
    return cls
