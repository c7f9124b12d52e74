"""Explanations that fit in several places of EXPECTED, joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lstmcli.core.explain import words
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Changed, Explanation
from lstmcli.core.explain.space import Change


class Joined(NamedTuple):
    """The likeliest of several, which of them it was, and whether an equal lies elsewhere."""

    which: int
    explanation: Explanation
    elsewhere: bool


def joined(found: Sequence[Explanation]) -> Joined:
    """The likeliest of those of the fewest changes; the others are its equals.

    What is equal but takes EXPECTED as another part of the run is said in a remark.
    """
    fewest = min(map(size, found))
    equals = [n for n, one in enumerate(found) if size(one) == fewest]
    which, *others = sorted(equals, key=lambda n: _rank(found[n]))
    first = found[which]
    listed = {_key(changes): changes for changes in first.equivalent}
    elsewhere: dict[str, None] = {}  # what is to be said of the others' places
    for other in (found[n] for n in others):
        for changes in (other.changes, *other.equivalent):
            listed.setdefault(_key(changes), changes)
        if other.placement != first.placement and _key(other.changes) != _key(first.changes):
            where = other.placement or "EXPECTED is taken as the whole run"
            elsewhere[f"With {words.headline(other.changes)}: {where}."] = None
    listed.pop(_key(first.changes), None)
    whole = replace(first, equivalent=tuple(listed.values()), remarks=(*first.remarks, *elsewhere))
    return Joined(which, whole, bool(elsewhere))


def size(explanation: Explanation) -> int:
    """Changes as the search counts them: two of them may be told as one."""
    changes = explanation.changes
    return sum(
        2 if change.setting == "go_backwards" else len(change.settings) for change in changes
    )


def _rank(one: Explanation) -> tuple[bool, bool, float]:
    """What is proved comes first, then exact numbers, then what people get wrong most."""
    plain = [Change(name, value) for c in one.changes for name, value in c.settings.items()]
    coarse = any(change.setting == "dtype" for change in one.changes)
    return one.verdict != "found", coarse, sum(map(prior, plain))


def _key(changes: Sequence[Changed]) -> frozenset[tuple[str, object]]:
    return frozenset((name, value) for c in changes for name, value in c.settings.items())
