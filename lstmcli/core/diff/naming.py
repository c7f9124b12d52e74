"""The names of the arrays of two sides: called alike, and abbreviated outputs in their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lstmcli.core.diff.array_name import FINAL, WEIGHTS, ArrayName
from lstmcli.core.diff.axes import sequence
from lstmcli.core.diff.operand import UNNAMED, Side, fits, shape_text, spread
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.layouts import RunShape, printed_shapes
from lstmcli.core.model.settings import CELL
from lstmcli.errors import STDIN, Try, UserError
from lstmcli.escaping import file_argument

FRAMEWORK_NAMES = {
    "output": "h", "out": "h", "hn": "final_h", "h_n": "final_h", "cn": "final_c", "c_n": "final_c",
    "Y": "h", "Y_h": "final_h", "Y_c": "final_c",
}  # fmt: skip
"""What the documentation of PyTorch and the operator of ONNX call the results of a run."""

TUPLE_NAMES = {"0": "h", "1.0": "final_h", "1.1": "final_c"}
"""The members of (output, (h_n, c_n)), saved as a tuple."""


WEIGHT = re.compile(r"kernel|weight|bias|matrix|(^|[._/])[wurbkp](_|\.|$)", re.IGNORECASE)
"""What the name of an array of weights has in it."""


def named_alike(a: Side, b: Side) -> tuple[Side, Side, list[str]]:
    """Both sides, an array without a name called h, and the names that they share.

    One array and one array are called alike, whatever their names.
    """
    sides = [
        renamed(side, {UNNAMED: "h"})
        if "h" not in side.arrays and {UNNAMED, "h"} & {*other.arrays}
        else side
        for side, other in ((a, b), (b, a))
    ]
    if len(a.arrays) == len(b.arrays) == 1:
        name = _name_of_both(*sides[0].arrays, *sides[1].arrays)
        sides = [single_as(name, side) for side in sides]
    a, b = sides
    common = [name for name in a.arrays if name in b.arrays]
    if not common:
        raise _nothing_shared(a, b)
    return _filled(a, b, common), _filled(b, a, common), common


def _filled(side: Side, other: Side, names: Iterable[str]) -> Side:
    """A side whose abbreviated outputs have the shapes of the other side's arrays."""
    found: dict[str, Numbers] = {}
    for name in names:
        if (before := side.gaps.get(name)) is None:
            continue
        numbers, full = side.numbers(name), other.arrays[name]
        shapes = [full.shape] if fits(numbers.shape, before, full.shape) else []
        run = sequence(Numbers(full), other.layout)
        if run is not None:
            T, B, K = run.shape
            layout = side.layout or other.layout or "time"
            printed = printed_shapes(numbers.shape, before, RunShape(T, B, K, layout=layout))
            exchanged = {side.layout, other.layout} == {"batch", "time"}
            shapes = printed + shapes if exchanged else shapes + printed
        if name in other.gaps or not shapes:
            shape = shape_text(before, numbers.shape)
            text = f"{side.name}: {name or 'the array'} is abbreviated; its shape is {shape}"
            if name in other.gaps:
                raise UserError(f"{text}. {other.name} is abbreviated too; print one in full.")
            raise UserError(f"{text}, but {other.name} has {full.shape}.")
        found[name] = spread(numbers, before, shapes[0])
    return side.with_numbers(found)


def single_as_h(side: Side) -> Side:
    """A side whose only array has a name that no run gives, as h: ``y_val`` of EXPECTED."""
    name = next(iter(side.arrays), "")
    unknown = len(side.arrays) == 1 and name and ArrayName.of(name).kind == WEIGHTS
    return single_as("h", side) if unknown else side


def single_as(name: str, side: Side) -> Side:
    """A side with its only array under a name."""
    (given,) = side.arrays
    in_file = {name: side.original_names.get(given, given)} if given else {}
    return side if given == name else renamed(side, {given: name}, in_file)


def with_trace_names(side: Side) -> Side:
    """The results of a run by a framework's names, called as a trace calls them.

    The object that contains all of them is left out: ``h`` of ``result.h``. Only if every array is
    such a result: of weights none is.
    """
    before = {name.rpartition(".")[0] for name in side.arrays}
    shared = before.pop() if len(before) == 1 else ""
    for container in ("", "" if CELL.fullmatch(shared) else f"{shared}."):
        for table in (FRAMEWORK_NAMES, TUPLE_NAMES):
            names = {name: name.removeprefix(container) for name in side.arrays}
            names = {name: table.get(inner, inner) for name, inner in names.items()}
            known = all(ArrayName.of(name).kind != WEIGHTS for name in names.values())
            if known and len({*names.values()}) == len(names) and {*names} != {*names.values()}:
                renaming = {here: theirs for theirs, here in names.items() if here != theirs}
                return renamed(side, names, renaming)
    return side


def _name_of_both(one: str, other: str) -> str:
    """The name of two arrays: that of a trace, if either has one, else h; of weights the second."""
    known = [n for n in (one, other) if n != UNNAMED and ArrayName.of(n).kind != WEIGHTS]
    if one == other or not known:
        return other if one == other or (WEIGHT.search(one) and WEIGHT.search(other)) else "h"
    prefixes = {ArrayName.of(name).prefix for name in known} - {""}
    if len(prefixes) == 1 and len({ArrayName.of(name).base for name in known}) == 1:
        return next(name for name in known if ArrayName.of(name).prefix)
    finals = [name for name in known if ArrayName.of(name).kind == FINAL]
    return known[0] if len(known) == 1 else finals[-1] if len(finals) == 2 else "h"


def renamed(
    side: Side, names: Mapping[str, str], original_names: Mapping[str, str] | None = None
) -> Side:
    """A side whose arrays have other names; those that are not in ``names`` keep theirs."""

    def named(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): value for name, value in mapping.items()}

    mappings: dict[str, Any] = {
        name: named(getattr(side, name)) for name in ("arrays", "units", "dtypes", "gaps")
    }
    numbering = side.numbering._replace(columns=named(side.numbering.columns))
    before = side.original_names if original_names is None else original_names
    return replace(side, numbering=numbering, original_names=before, **mappings)


def _nothing_shared(a: Side, b: Side) -> UserError:
    def names_in(side: Side) -> str:
        names = ", ".join(name or "h (unnamed)" for name in side.arrays)
        return f"{side.name} has {names or 'no arrays'}"

    one, other = _single_array(a, b), _single_array(b, a)
    text = f"no common array: {names_in(a)}; {names_in(b)}. Select one on each side:"
    if a.in_memory or b.in_memory:
        return UserError(text, f"  {one} and {other}")
    return UserError(text, try_=[Try(call="diff", weights=[one], others=[other])])


def _single_array(side: Side, other: Side) -> str:
    """``a.npz:out``: the first array that has the shape of one of the other side, or the first."""
    shapes = [array.shape for array in other.arrays.values()]
    names = sorted(side.arrays, key=lambda name: side.arrays[name].shape not in shapes)
    name = side.original_names.get(names[0], names[0]) if names else UNNAMED
    if side.in_memory:
        return f"{name} of {side.name}" if name else side.name
    file = "-" if side.name == STDIN else file_argument(side.name)
    return f"{file}:{name}" if name and len(names) > 1 else file
