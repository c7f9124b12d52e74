"""Arrays that several cells share, taken apart cell by cell: last states, and a merged h."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lstmcli.core.model import Model


def by_cell(arrays: Mapping[str, Any], model: Model, layout: str) -> dict[str, Any]:
    """Arrays with those that several cells share taken apart: the last states, and a merged h.

    ``arrays`` are anything that is indexed as an array is.
    """
    if len(model.cells) < 2:
        return dict(arrays)
    apart: dict[str, Any] = {}
    for name, array in arrays.items():
        if name in ("final_h", "final_c"):
            apart |= {f"{cell}.{name}": a for cell, a in _states(array, model)}
        elif name == "h" and (parts := _parts(array, model, layout)) is not None:
            last = f"layer{len(model.layers) - 1}"
            apart |= dict(zip((f"{last}.h", f"{last}_reverse.h"), parts, strict=False))
        else:
            apart[name] = array
    return apart


def states_of(array: Any, model: Model) -> dict[str, Any]:
    """An array without a name as the last states of cells; {} if it cannot be that.

    Those of all cells lie as the convention has them, (cells, B, H) or (B, cells, H); those of the
    last layer's two directions may as well be joined, (B, 2 H).
    """
    names = [name for name, _ in model.cells]
    if len(names) < 2:
        return {}
    last = model.layers[-1]
    if array.ndim == 3 and array.shape[model.convention.states != "cells"] == len(names):
        return {f"{cell}.final_h": a for cell, a in _states(array, model)}
    if array.ndim < 3 and len(last) == 2 and array.shape[-1] == sum(c.outputs for c in last):
        width = last[0].outputs
        halves = array[..., :width], array[..., width:]
        return {f"{n}.final_h": a for n, a in zip(names[-2:], halves, strict=True)}
    return {}


def _states(array: Any, model: Model) -> Iterator[tuple[str, Any]]:
    """The last state of each cell, from the axes that the convention gives them."""
    names = [name for name, _ in model.cells]
    how, count = model.convention.states, len(names)
    for n, name in enumerate(names):
        if how == "features":
            width = array.shape[-1] // count
            yield name, array[..., n * width : (n + 1) * width]
        elif how == "cells" or array.ndim < 3:
            yield name, array[n]
        else:
            yield name, array[:, n]


def _parts(array: Any, model: Model, layout: str) -> list[Any] | None:
    """The output of each cell of the last layer; None if they were added or multiplied."""
    last = model.layers[-1]
    if len(last) == 1:
        return [array]
    how = last[0].convention
    if how.merge == "stack" and array.ndim >= 3:
        axis = 2 if layout == "batch" and how.states != "batch" else 1
        return [array[(slice(None),) * axis + (d,)] for d in range(2)]
    if array.shape[-1] != sum(c.outputs for c in last):
        return None
    if how.merge == "concat":
        return [array[..., : last[0].outputs], array[..., last[0].outputs :]]
    if how.merge == "concat_swapped":
        return [array[..., last[1].outputs :], array[..., : last[1].outputs]]
    return None
