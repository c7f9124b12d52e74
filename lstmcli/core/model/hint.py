"""Hints, which a comparison and an inspection give, and how a sentence lists things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """A code that scripts may rely on, and a sentence or two for a person."""

    code: str
    text: str
    cleared: str = ""  # what a pattern lets off; said only where the steps are known as steps


def join_with_and(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
