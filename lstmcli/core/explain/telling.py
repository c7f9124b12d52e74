"""Changes of a search as one tells them to somebody.

The search knows a candidate through another activation as two settings, and Keras' go_backwards as
two others; worded, each is one change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lstmcli.core.explain import words
from lstmcli.core.explain.halves import GRID, RERUN, SIZE, Basis
from lstmcli.core.explain.precision import EPS
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.result import Changed
from lstmcli.core.explain.space import Change, Changes


def worded(changes: Changes, assumed: Callable[[Change], Any]) -> tuple[Changed, ...]:
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
        implied = {}
        if output.value == assumed(output):
            del left["output_activation"]
            implied = {"output_activation": output.value}
        found.append(words.changed(candidate, assumed(candidate), words.CANDIDATE, implied))
    return (*found, *(words.changed(change, assumed(change)) for change in left.values()))


def of_basis(change: Changed, basis: Basis) -> Changed:
    """A change of dtype, worded by what it rests on."""
    if basis.kind == GRID:
        return change
    sense = basis.what if basis.kind == RERUN else SIZE
    return words.changed(Change(change.setting, change.found), change.assumed, sense)


def rests_on(basis: Basis | None, name: str) -> list[str]:
    """What half precision rests on, as a remark; nothing without a basis."""
    if basis is None:
        return []
    off = f"at most {basis.verdict.max_abs / EPS[name]:.2g} eps of {name} ({EPS[name]:.2g})"
    if basis.kind == RERUN:
        return [f"It rests on a re-run: with {basis.what} rounded to {name} the numbers come out."]
    if basis.kind == GRID:
        return [
            f"It rests on the grid and on size: all of EXPECTED are numbers of {name}; the run is "
            f"{off} off, no more than rounding each operation leaves, and goes along with it "
            f"(correlation {basis.correlation:.2f})."
        ]
    return [
        f"It rests on size and pattern, no run gives the numbers themselves: the run is {off} off, "
        f"from the first step on, and goes along with {basis.what} rounded to {name} (correlation "
        f"{basis.correlation:.2f}; the same rounded up or down by chance reaches "
        f"{basis.by_chance:.2f})."
    ]
