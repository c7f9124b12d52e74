"""Small pictures of the weights of each gate: inputs across, units down."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.views.colors import Scale, around_zero
from lstmcli.views.heatmap import Grain, beside, legend, painted_cells, pooled
from lstmcli.views.prose import labelled, unbroken
from lstmcli.views.sheet import Sheet, Span

Array = npt.NDArray[Any]

LABEL, GAP = 10, 2
LINES = 5  # of one picture


def weights_sheet(name: str, cell: Cell, width: int, depth: str) -> Sheet:
    """The kernel and the recurrent kernel of each gate of a cell, on one scale."""
    gates = [n for n, gate in enumerate(GATES) if gate != cell.convention.behaviour.coupled[0]]
    room = (width - LABEL) // len(gates) - GAP
    kinds = {"kernel": cell.kernel, "recurrent": cell.recurrent_kernel}  # (4, H, I), (4, H, P)
    grains = {k: Grain.of(a.shape[:0:-1], room, LINES, depth) for k, a in kinds.items()}
    cells = {k: [pooled(a[n].T, grains[k], "extreme") for n in gates] for k, a in kinds.items()}
    scale = around_zero(part for own in cells.values() for part in own)
    sheet = Sheet()
    if name:
        sheet.add((name, "dim"))
    for kind, own in cells.items():
        titles = [GATES[n] for n in gates] if kind == "kernel" else [""] * len(gates)
        tall = -(-own[0].shape[1] // (2 if grains[kind].halves else 1))
        label: list[list[Span]] = [[(" " * LABEL, "")]]
        label += [[(f"{kind if n == 0 else '':{LABEL}}", "dim")] for n in range(tall)]
        pictures = [
            _picture(title, part, scale, grains[kind], room, depth)
            for title, part in zip(titles, own, strict=True)
        ]
        sheet.lines += [[*left, *line] for left, line in zip(
            label, beside(pictures, width, GAP), strict=True)]  # fmt: skip
    sheet.lines.append(legend(f"{'weights':8}", scale, depth))
    if words := _pooled(grains):
        sheet.extend(labelled("pooled", words, width))
    return sheet


def _picture(
    title: str, cells: Array, scale: Scale, grain: Grain, room: int, depth: str
) -> list[list[Span]]:
    wide = max(cells.shape[0] * grain.wide, 1)
    levels = scale.levels(cells).T  # (units, inputs)
    tall = 2 if grain.halves else 1
    lines: list[list[Span]] = [[(f"{title:{room}}", "bold")]]
    for first in range(0, len(levels), tall):
        painted = painted_cells(levels[first : first + tall], scale, grain, depth)
        lines.append([*painted, (" " * (room - wide), "")])
    return lines


def _pooled(grains: dict[str, Grain]) -> str:
    """``a cell is the farthest from 0 of 2 x 4 weights (kernel)``."""
    told = [unbroken(f"{g.steps} x {g.units} weights ({k})") for k, g in grains.items() if g.pooled]
    return f"a cell is the farthest from 0 of {', '.join(told)}" if told else ""
