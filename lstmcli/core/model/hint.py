"""Hints of a comparison or an inspection, and lists of words in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """A code that scripts may rely on, and a text of a sentence or two."""

    code: str
    text: str


def join_with_and(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
