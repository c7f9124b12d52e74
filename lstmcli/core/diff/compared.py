"""A comparison as the search for hints needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.core.diff.alignment import Pair

NO_SETTINGS = ("layout", "assumed", "selected", "digits")
"""What ``meta`` contains besides the settings of a run; axes are aligned whatever the layout."""


@dataclass(frozen=True, eq=False)
class ComparedSides:
    """The pairs of two sides, with what is known of how both were made."""

    pairs: Mapping[str, Pair]  # of the names both sides have
    cross: Callable[[str, str], Pair]  # an array of a aligned with one of b of another name
    arrays: tuple[Sequence[str], Sequence[str]]  # all names of a, of b
    names: tuple[str, str] = ("a", "b")  # what messages call the sides
    settings: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None)
    first_array: str | None = None  # of the first divergence
    first_step: int | None = None
    axes_assumed: bool = False  # the first axis is taken as time, and may be the batch
    rows_assumed: bool = False  # the same of two axes: (T, H) may be (B, H)
    both_ways: bool = False  # its step 0 depends on later steps, through a backward direction

    def say(self, text: str) -> str:
        """A text with {a} and {b} put in."""
        return text.replace("{a}", self.names[0]).replace("{b}", self.names[1])

    @property
    def differing_settings(self) -> dict[str, tuple[Any, Any]] | None:
        """The settings in which the sides differ, where both say how they were made.

        None stands for a setting that is off. The layout is no part of it: axes are aligned.
        """
        a, b = self.settings
        if a is None or b is None:
            return None
        names = [name for name in dict.fromkeys([*a, *b]) if name not in NO_SETTINGS]
        return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}

    @property
    def forget_bias_differs(self) -> bool:
        """Whether the sides themselves have different ones, in any cell."""
        return any(n.rpartition(".")[2] == "forget_bias" for n in self.differing_settings or {})

    @property
    def layout_assumed(self) -> list[str]:
        """The sides whose run assumed its layout."""
        return [
            name
            for name, settings in zip(self.names, self.settings, strict=True)
            if any(str(one).startswith("layout") for one in _listed(settings))
        ]

    @property
    def differing(self) -> list[Pair]:
        """The pairs that are not equal."""
        return [pair for pair in self.pairs.values() if not pair.equal]


def _listed(settings: Mapping[str, Any] | None) -> Sequence[Any]:
    assumed = (settings or {}).get("assumed")
    return assumed if isinstance(assumed, list | tuple) else ()
