"""Remarks on a comparison: what it assumed of names, axes, layouts and parts of a run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstmcli.core.diff.difference import NOT_IN_FILES, Difference, named
from lstmcli.core.diff.names import names_of
from lstmcli.core.diff.operand import SEQUENCE, Side
from lstmcli.core.model.model import Hint
from lstmcli.core.model.part import NumberedPart, describe_parts

_AXES = {"batch": "(batch, steps, units)", "time": "(steps, batch, units)"}


def remarks_of(compared: Difference) -> Iterator[Hint]:
    """The remarks on a comparison: assumptions, and what was left out."""
    for side in compared.sides:
        if side.renaming:
            yield Hint("renamed", side.renaming)
    yield from _axes(compared)
    yield from _layouts(compared)
    pairs = compared.pairs.values()
    padded = next((pair.padded for pair in pairs if pair.padded is not None), None)
    if padded is not None:
        count = f"{np.count_nonzero(padded):,} of {padded.size:,} steps"
        text = f"{count} are padding and not compared (lstm diff --padding)"
        yield Hint("padding", text)
    yield from _parts(compared)


def _axes(compared: Difference) -> Iterator[Hint]:
    """How arrays are interpreted, or why not: those of one interpretation together."""
    by_text: dict[tuple[str, str], list[str]] = {}
    for pair in compared.pairs.values():
        placement = pair.placement
        text, start = placement.words, ""
        if not text:
            text = placement.why_not
            start = "nothing for " if pair.kind == SEQUENCE else ""
        if text:
            by_text.setdefault((start, text), []).append(pair.name)
    for (start, text), names in by_text.items():
        yield Hint("axes", f"{start}{named(names)}: {text}")


def _parts(compared: Difference) -> Iterator[Hint]:
    """The parts of a run that each side contains, where the other one has more."""
    for number, name in enumerate(names_of(*compared.sides)):
        parts: list[NumberedPart] = []
        for pair in compared.pairs.values():
            parts.extend(part for side, part in pair.parts if side == number)
        if parts:
            text = f"{name} contains {describe_parts(parts)} of a run"
            yield Hint("part_of_run", f"{text}; what both contain is compared")


def _layouts(compared: Difference) -> Iterator[Hint]:
    """How axes are taken that a side, or both, do not explain."""
    a, b = compared.sides
    silent = []
    for name, pair in compared.pairs.items():
        placement = pair.placement
        is_told = placement.names_axes or placement.why_not
        if pair.kind == SEQUENCE and not is_told:
            silent.append(name)
    for side, other in ((a, b), (b, a)):
        names = [name for name in silent if _has_steps_and_batch(side, name)]
        if names and side.layout is None and other.layout in _AXES:
            verb = "is" if len(names) == 1 else "are"
            axes = f"{_AXES[other.layout]}, as in {other.name}"
            yield Hint("layout", f"{named(names)} of {side.name} {verb} {axes}")
    if a.layout or b.layout:
        return
    names = [name for name in silent if _is_time_assumed(compared, name)]
    if names:
        text = f"the first axis of {named(names)} is time{NOT_IN_FILES}"
        yield Hint("layout", text)


def _has_steps_and_batch(side: Side, name: str) -> bool:
    shape = side.arrays[name].shape
    return len(shape) == 3 and min(shape[:2]) > 1


def _is_time_assumed(compared: Difference, name: str) -> bool:
    """Return whether the layout would matter; two axes that agree do so by either."""
    shapes = (side.arrays[name].shape for side in compared.sides)
    counts = {len(shape) for shape in shapes if shape and shape[0] > 1}
    return 3 in counts or (2 in counts and not compared.pairs[name].numbers_agree)
