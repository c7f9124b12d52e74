"""What a notebook shows of a result: the screen of its command.

The views that draw it are above the packages of the results: they are imported when one is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def in_notebooks(cls: Class) -> Class:
    """Give a class ``_repr_html_``, which notebooks call; a decorator."""

    def _repr_html_(self: Any) -> str:
        """The screen of the command as HTML."""
        html: str = import_module("lstmcli.views.notebook").html_of(self)
        return html

    cls._repr_html_ = _repr_html_  # type: ignore[attr-defined]
    return cls
