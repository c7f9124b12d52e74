"""Changes of a search as one tells them to somebody.

The search knows a candidate through another activation as two settings, and Keras' go_backwards as
two others; worded, each is one change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lstmcli.core.explain import words
from lstmcli.core.explain.passes.half_precision import GRID, RERUN, Basis
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
    return words.changed(Change(change.setting, change.found), change.assumed, basis.rounded)


def rests_on(basis: Basis | None, name: str) -> list[str]:
    """What half precision rests on, as a remark; nothing without a basis."""
    if basis is None:
        return []
    if basis.kind == RERUN:
        return [f"A run with {basis.rounded} rounded to {name} gives these values."]
    off = f"at most {basis.verdict.max_abs / EPS[name]:.2g} eps of {name} ({EPS[name]:.2g})"
    return [
        f"All values of EXPECTED are {name} numbers. No run gives exactly these, as they depend on "
        f"the order of operations; this run is {off} off, which is what rounding every operation "
        f"leaves, and its error goes along with that of rounded weights and inputs (correlation "
        f"{basis.correlation:.2f})."
    ]
