"""Changes of a search as one tells them to somebody.

The search knows a candidate through another activation as two settings, and Keras' go_backwards as
two others; told, each is one change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lstmcli.core.explain import words
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Changed
from lstmcli.core.explain.space import Change, Changes


def told(changes: Changes, assumed: Callable[[Change], Any]) -> tuple[Changed, ...]:
    """Changes with what was assumed and in words, the likelier ones first."""
    left = {c.setting: c for c in sorted(changes, key=prior)}
    found = []
    turned, flipped = left.get("reverse"), left.get("flip_output")
    if turned and flipped and turned.value and flipped.value:
        del left["reverse"], left["flip_output"]
        found.append(words.changed(Change("go_backwards", True), False))
    candidate, output = left.get("activation"), left.get("output_activation")
    if candidate and output:
        del left["activation"]
        beside = {}
        if output.value == assumed(output):
            del left["output_activation"]
            beside = {"output_activation": output.value}
        found.append(words.changed(candidate, assumed(candidate), words.CANDIDATE, beside))
    return (*found, *(words.changed(change, assumed(change)) for change in left.values()))
