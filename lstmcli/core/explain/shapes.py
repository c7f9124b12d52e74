"""The shapes of the arrays of a run, by cell, which EXPECTED may have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from lstmcli.core.diff.array_name import FINAL, SEQUENCE, ArrayName
from lstmcli.core.forward.sequence import direction_axis
from lstmcli.core.model.layouts import RunShape
from lstmcli.core.model.model import Cell, Model, cell_name
from lstmcli.core.model.vocabulary import GATES

SIDE_BY_SIDE = ("concat", "concat_swapped", "stack")  # merges that keep the output of each cell


def run_shapes(
    name: str, model: Model, layout: str, size: tuple[int, int], layer: int = -1
) -> Iterator[tuple[RunShape, tuple[str, ...]]]:
    """The shapes of a run on which an array lies, each with the arrays of the run by direction.

    ``layer`` is the one whose output h is.
    """
    part, (T, B), several = ArrayName.of(name), size, len(model.cells) > 1
    widths = {one: _width(part.base, cell) for one, cell in model.cells}
    if not several:  # its arrays have names without a layer
        name = part.base if part.prefix in widths else name
        part, widths = ArrayName.of(name), {"": _width(part.base, model.cell)}
    last, how, layout = model.layers[layer], model.convention, layout.replace("steps", "time")
    cells: tuple[str, ...]
    if part.kind == FINAL and several and not part.prefix:
        axis = {"features": None, "batch": 1}.get(how.behaviour.states, 0)
        of_states = "batch" if axis == 1 else "time"
        for cells in dict.fromkeys((tuple(widths), tuple(widths)[-len(last) :])):
            if len({widths[one] for one in cells}) == 1:
                run = RunShape(1, B, widths[cells[0]], len(cells), of_states, axis)
                yield run, tuple(f"{one}.{part.base}" for one in cells)
    elif part.kind == FINAL and part.prefix in widths:
        yield RunShape(1, B, widths[part.prefix]), (name,)
    elif part.kind == SEQUENCE and part.prefix in widths:
        yield RunShape(T, B, widths[part.prefix], layout=layout), (name,)
        if name == "h" and not several and len(how.storage.gates) == len(GATES):
            gates = RunShape(T, B, model.cell.units, len(GATES), layout)  # side by side
            for order in dict.fromkeys((how.storage.order_of("kernel"), GATES)):
                yield gates, tuple(order)
    elif part.kind == SEQUENCE and part.base == "h" and not part.prefix:
        n, merge = range(len(model.layers))[layer], how.behaviour.merge
        cells = tuple(cell_name(n, d) for d in range(len(last)))
        cells = cells[::-1] if merge == "concat_swapped" else cells
        if len(cells) > 1 and merge not in SIDE_BY_SIDE:
            yield RunShape(T, B, last[0].outputs, layout=layout), (name,)
        else:
            stacked = direction_axis(how, layout) if merge == "stack" else None
            run = RunShape(T, B, last[0].outputs, len(cells), layout, stacked)
            yield run, tuple(f"{one}.h" for one in cells)


def _width(base: str, cell: Cell) -> int:
    if base in ("h", "final_h"):
        return cell.shown if base == "h" else cell.outputs
    return 4 * cell.units if base == "z" else cell.units


def states_in(name: str, width: int, model: Model) -> Iterator[tuple[str, slice]]:
    """The last states in an array of a width, where cells of several widths have them in one."""
    widths = [_width(name, cell) for _, cell in model.cells]
    if name in ("final_h", "final_c") and len({*widths}) > 1 and width == sum(widths):
        ends = zip(model.cells, widths, accumulate(widths), strict=True)
        yield from ((f"{cell}.{name}", slice(end - w, end)) for (cell, _), w, end in ends)


def states_shape(name: str, model: Model) -> str:
    """The shape of the last states of several cells: ``(2, batch, 3)``."""
    widths = [_width(name, cell) for _, cell in model.cells]
    how, count = model.convention.behaviour.states, len(widths)
    if how == "features" or len({*widths}) > 1:
        return f"(batch, {sum(widths)})"
    axes = ("batch", str(count)) if how == "batch" else (str(count), "batch")
    return f"({', '.join(axes)}, {widths[0]})"
