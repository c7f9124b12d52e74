"""The table of places that are broken on purpose is one of today's code."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.mutation.places import Place, places, stale
from tests.paths import PACKAGE

PLACES = places()


def test_each_text_occurs_once() -> None:
    """Where it moved or changed, give its new text in places.json, or another place of its kind."""
    assert stale(PACKAGE.parent) == []


def test_there_are_200_places_of_three_kinds() -> None:
    kinds = Counter(place.kind for place in PLACES)
    assert len(set(PLACES)) == kinds.total() == 200
    assert min(kinds[kind] for kind in ("numerics", "guard", "limit")) >= 30


@pytest.mark.wide
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_what_is_broken_is_still_a_program(place: Place) -> None:
    text = (PACKAGE.parent / place.file).read_text()
    ast.parse(text.replace(place.source, place.replacement))
    assert place.source != place.replacement
