"""The names of arrays on two sides, so that each is compared with its counterpart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import (
    OF_HEAD,
    SEQUENCE,
    UNNAMED,
    WEIGHT,
    WEIGHTS,
    ArrayName,
    Side,
)
from lstmcli.core.diff.printed import in_full
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.surroundings import FINAL_Y, Y
from lstmcli.errors import UserError

# results of PyTorch, ONNX and a saved (output, (h_n, c_n))
FRAMEWORK_NAMES = {
    "output": "h", "out": "h", "hn": "final_h", "h_n": "final_h", "cn": "final_c", "c_n": "final_c",
    "Y": "h", "Y_h": "final_h", "Y_c": "final_c", "0": "h", "1.0": "final_h", "1.1": "final_c",
}  # fmt: skip

# as programs call y
OUTPUT_NAMES = {
    "logits", "probs", "probabilities", "predictions", "y_pred", "output_0",
}  # fmt: skip


def named_alike(a: Side, b: Side) -> tuple[Side, Side, list[str]]:
    """Both sides, an array without a name called h, and the names that they share.

    A single array on each side is called alike, whatever its name.
    """
    b = with_output_name(b, a)
    a = with_output_name(a, b)
    if len(a.arrays) == len(b.arrays) == 1:
        by_file = [*named_by_file(a).arrays, *named_by_file(b).arrays]
        name = _name_of_both(*a.arrays, *b.arrays)
        if by_file == [Y, Y]:
            name = Y
        one = renamed(a, dict.fromkeys(a.arrays, name))
        other = renamed(b, dict.fromkeys(b.arrays, name))
    else:
        one, other = _unnamed_as_h(a), _unnamed_as_h(b)
    common = [name for name in one.arrays if name in other.arrays]
    if not common:
        raise _nothing_common(a, b)
    return in_full(one, other, common), in_full(other, one, common), common


def named_by_file(side: Side) -> Side:
    """A side whose only array has no name, as y where the file has one of y: ``logits.npy``."""
    if [*side.arrays] != [UNNAMED] or side.in_memory:
        return side
    file = PurePath(side.name).stem
    words = (Y, *OUTPUT_NAMES)
    if any(re.match(rf"{word}(?![a-zA-Z0-9])", file) for word in words):
        return replace(renamed(side, {UNNAMED: Y}), original_names={})
    return side


def _unnamed_as_h(side: Side) -> Side:
    return side if "h" in side.arrays else renamed(side, {UNNAMED: "h"})


def _nothing_common(a: Side, b: Side) -> UserError:
    texts = []
    for side in (a, b):
        names = ", ".join(name or "h (unnamed)" for name in side.arrays)
        texts.append(f"{side.name} has {names or 'no arrays'}")
    how = "" if a.in_memory or b.in_memory else ", as FILE:NAME"
    text = f"no common array: {'; '.join(texts)}. Select one on each side{how}."
    return UserError(text)


def _name_of_both(one: str, other: str) -> str:
    """The name of two arrays: that of a trace, else h; of weights the second."""
    known = []
    for name in map(ArrayName.of, (other, one)):
        is_plain_y = name.base == Y and one != other  # of a program, it may be h
        if name.kind != WEIGHTS and not is_plain_y:
            known.append(name)
    if known:
        best = max(known, key=_rank_of_trace_name)
        return f"{best.prefix}.{best.base}".removeprefix(".")
    are_weights = WEIGHT.search(one) and WEIGHT.search(other)
    if are_weights or one == other != UNNAMED:
        return other
    return "h"


def _rank_of_trace_name(name: ArrayName) -> tuple[bool, bool, bool]:
    return name.kind == SEQUENCE, name.base == "h", bool(name.prefix)


def names_of(a: Side, b: Side) -> tuple[str, str]:
    """Return what messages call two sides."""
    return (a.name, b.name) if a.name != b.name else ("a", "b")


def with_output_name(side: Side, other: Side) -> Side:
    """A side whose output of a model has the name that the other side's head gives it.

    ``logits``, ``y`` of a single output for each sequence, or a single array are
    y if their last axis is that of the other's y, and not of its h; so is the
    only array of an unknown name next to h that has the shape of y.
    """
    names = [name for name in OF_HEAD if name in other.arrays]
    if len(names) != 1:
        return side
    y = other.arrays[names[0]]
    if names[0] in side.arrays:
        return _with_axis_of_outputs(side, names[0], y)
    found = _outputs_among(side, other, names[0])
    if len(found) != 1:
        return side
    side = renamed(side, {found[0]: names[0]})
    side = _with_axis_of_outputs(side, names[0], y)
    if found == [UNNAMED]:  # which would be h
        side = replace(side, original_names={names[0]: "the array"})
    return side


def _outputs_among(side: Side, other: Side, output: str) -> list[str]:
    """The arrays of a side that may be what the other side's head makes."""
    y = other.arrays[output]
    width = y.shape[-1:]
    exchanged = y.shape[-2::-1]  # (T, B) of (B, T, 1), or the other way
    possible = OUTPUT_NAMES.union(OF_HEAD)
    h = other.arrays.get("h")
    is_not_h = h is not None and h.shape[-1:] != width
    is_of_run = h is None and other.settings is not None
    if is_not_h or is_of_run or output == FINAL_Y:
        possible.add(UNNAMED)
        if len(side.arrays) == 1:
            possible.update(side.arrays)
    if is_not_h and "h" in side.original_names:  # a framework's name for outputs
        possible.add("h")
    found = []
    for name, array in side.arrays.items():
        # as wide as h, it is likelier h of a sequence than y with its axes exchanged
        is_as_h = h is not None and array.shape[-1:] == h.shape[-1:]
        is_likelier_h = name == UNNAMED and is_as_h and array.shape == exchanged
        if name in possible and _has_width_of(array, y) and not is_likelier_h:
            found.append(name)
    if not found and "h" in side.arrays and width != side.arrays["h"].shape[-1:]:
        found = [
            name
            for name, array in side.arrays.items()
            if ArrayName.of(name).kind == WEIGHTS and array.shape == y.shape
        ]
    return found


def _has_width_of(array: Array, y: Array) -> bool:
    """Return whether an array has the last axis of y, or all of its numbers in a row.

    Where y has one output, its axis may be left out.
    """
    if array.shape[-1:] == y.shape[-1:] or array.shape == (y.size,):
        return True
    shapes = (y.shape[:1], y.shape[1:-1], y.shape[:-1], y.shape[-2::-1])
    return y.shape[-1:] == (1,) and array.shape in shapes


def _with_axis_of_outputs(side: Side, name: str, y: Array) -> Side:
    """A side whose array has an axis for a single output, where y has one."""
    array = side.arrays[name]
    if y.shape[-1] != 1 or array.shape not in (y.shape[:-1], y.shape[-2::-1]):
        return side
    arrays = {**side.arrays, name: array[..., np.newaxis]}
    units = dict(side.units)
    if name in units:
        unit = np.broadcast_to(units[name], array.shape)
        units[name] = unit[..., np.newaxis]
    return replace(side, arrays=arrays, units=units)


def single_as_h(side: Side) -> Side:
    """A side whose only array has an unknown name, as h: ``y_val``."""
    name = next(iter(side.arrays), "")
    if len(side.arrays) > 1 or not name:
        return side
    if ArrayName.of(name).kind != WEIGHTS and name not in OF_HEAD:
        return side
    return renamed(side, {name: "h"})


def with_trace_names(side: Side) -> Side:
    """A side by the names of a trace, if all are a framework's for results."""
    names = {name: FRAMEWORK_NAMES.get(name, name) for name in side.arrays}
    are_known = all(ArrayName.of(name).kind != WEIGHTS for name in names.values())
    are_distinct = len(set(names.values())) == len(names)
    return renamed(side, names) if are_known and are_distinct else side


def renamed(side: Side, names: Mapping[str, str]) -> Side:
    """A side whose arrays have other names; what is not in ``names`` stays."""

    def named(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): value for name, value in mapping.items()}

    originals = {
        new: side.original_names.get(old, old)
        for old, new in names.items()
        if old in side.arrays and old not in ("", new)
    }
    return replace(
        side,
        arrays=named(side.arrays),
        units=named(side.units),
        dtypes=named(side.dtypes),
        gaps=named(side.gaps),
        original_names=named(side.original_names) | originals,
        part=side.part._replace(columns=named(side.part.columns)),
    )
