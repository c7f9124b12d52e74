"""A difference as a sheet: how far apart, where first, what may be behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.diff.alignment import GATES, WEIGHTS, ArrayName
from lstmcli.core.diff.compare import Difference
from lstmcli.core.diff.metrics import ArrayDifference, Position
from lstmcli.core.diff.operand import LONE, Side
from lstmcli.core.model.hint import Hint
from lstmcli.views.numbers import format_number, percent
from lstmcli.views.prose import STDIN, apart, explain_command, labelled, room_of, to_copy
from lstmcli.views.sheet import AGREES, ASSUMED, DIFFERS, Column, Sheet, table
from lstmcli.views.sizes import rounded_up, short, whole
from lstmcli.views.step_errors import LABEL, fitted, step_table, strips

Array = npt.NDArray[Any]

DIGITS = 8  # NumPy's, so that values can be found in a print by eye
TABLE_DIGITS = 6  # leaves room for the other columns
NAMED = 6  # of the arrays that are on one side only; -f json has all
MOST_DIGITS = 17  # two different float64 differ within these

_INDENT = 11  # of hints and remarks

_NO_CONVENTION = {"nan_in_both", "suspect_nan", "suspect_single"}
"""Hints that no other reading of the weights could be behind."""


def difference_sheet(
    d: Difference,
    a: Side,
    b: Side,
    *,
    width: int | None,
    per_step: bool = False,
    digits: int | None = None,
) -> Sheet:
    """One line if all is equal; else both sides, a row per array, and where they part.

    The settings that differ come first, where both sides say how they were made.

    ``width`` is the terminal's; None leaves out nothing. ``per_step`` adds the error of each step,
    by head and tail if a terminal would have to scroll. ``digits`` sets the places of values;
    without, there are as many as it takes to see that two are different.
    """
    sheet = Sheet()
    if d.settings:
        sheet.extend(_settings(d.settings))
        sheet.add()
    if d.equal:
        sheet.add((_equal_line(d), AGREES))
    else:
        sheet.extend(_sides(d, (a, b), width))
        sheet.add()
        sheet.extend(_arrays(d, width, digits))
    sheet.extend(_asides(d, width))
    if per_step:
        sheet.add()
        stepped = [array for array in d.arrays.values() if array.step_errors is not None]
        sheet.extend(step_table(stepped, width))
    if not d.equal:
        sheet.extend(_where(d, width, digits, with_strips=not per_step))
        sheet.extend(_hints(d.hints, width))
        sheet.extend(_next(d, a, b, width))
    return sheet


def _settings(differing: Mapping[str, tuple[Any, Any]]) -> Sheet:
    """A row per setting; what is off on one side is a dash."""
    sides = [
        ["-" if both[n] is None else str(both[n]) for both in differing.values()] for n in (0, 1)
    ]
    return table([
        Column("settings", list(differing), "bold", left=True),
        Column("a", sides[0], ASSUMED, left=True),
        Column("b", sides[1], ASSUMED, left=True),
    ])  # fmt: skip


# ---- equal


def _equal_line(d: Difference) -> str:
    arrays = d.arrays.values()
    total = sum(array.total or 0 for array in arrays)
    among = f" of {_and(d.arrays)}" if len(d.arrays) > 1 else ""
    farthest = max((array.max_abs or 0.0 for array in arrays), default=0.0)
    left_out = sum(array.left_out for array in arrays)
    of_all = f" of {total + left_out}, the others not printed," * (left_out > 0)
    return (
        f"equal: {total} values{of_all}{among} within {_tolerance(d)}; "
        f"greatest difference {short(farthest)}"
    )


def _tolerance(d: Difference) -> str:
    """The test in words."""
    arrays = list(d.arrays.values())
    ulp = arrays[0].tolerance.ulp
    parts = [] if ulp is None else [f"{ulp} ULP"]
    if d.rtol is not None and d.atol is not None:
        parts += [f"rtol {d.rtol:g}, atol {d.atol:g}"]
    elif ulp is None:
        parts += ["the tolerances of their dtypes"]
    printed = any(array.max_ulp is None and array.total is not None for array in arrays)
    return " or ".join(parts) + (" and half a printed digit" if printed else "")


# ---- the two sides


def _sides(d: Difference, sides: tuple[Side, Side], width: int | None) -> Sheet:
    """What each side is: its name, its arrays with shapes, what its numbers are worth."""
    names = [side.name for side in sides]
    held = ["   ".join(_held(side, d, n)) for n, side in enumerate(sides)]
    worth = [_worth(side, d, n) for n, side in enumerate(sides)]
    name_width, held_width = max(map(len, names)), max(map(len, held))
    sheet = Sheet()
    for n, side in enumerate(sides):
        label = ("ab"[n] + "  ", "dim")
        line = f"{names[n]:{name_width}}   {held[n]:{held_width}}   {worth[n]}"
        if len(line) + 3 <= room_of(width):
            sheet.add(label, line)
        else:
            sheet.add(label, f"{names[n]}   {worth[n]}")
            pieces = [
                piece for text in _held(side, d, n) for piece in _pieces(text, room_of(width) - 3)
            ]
            sheet.extend(labelled("", apart(pieces), width, indent=3))
    return sheet


def _held(side: Side, d: Difference, n: int) -> list[str]:
    """``h c i f g o (7, 3)`` and ``final_h final_c (3,)``: arrays of one shape together."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, array in side.arrays.items():
        compared = d.arrays.get(_name(name, d))
        shape = compared.shapes[n] if name in side.gaps and compared else array.shape
        by_shape.setdefault(shape, []).append(_name(name, d))
    return [f"{_cells_together(names)} {shape}" for shape, names in by_shape.items()]


def _pieces(text: str, room: int) -> list[str]:
    """A group of arrays, cut where it is longer than a line."""
    from textwrap import wrap

    return wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _cells_together(names: Sequence[str]) -> str:
    """``h`` and ``layer0 layer0_reverse: h c i f g o``: cells that hold the same together."""
    held: dict[str, list[str]] = {}  # by cell; "" is the whole network
    for part in map(ArrayName.of, names):
        held.setdefault(part.prefix, []).append(part.base)
    cells: dict[tuple[bool, str], list[str]] = {}
    for cell, bases in held.items():
        cells.setdefault((cell != "", " ".join(bases)), []).append(cell)
    return " ".join(
        f"{' '.join(own)}: {bases}" if named else bases for (named, bases), own in cells.items()
    )


def _name(name: str, d: Difference) -> str:
    return ("h" if "h" in d.arrays else "(unnamed)") if name == LONE else name


def _worth(side: Side, d: Difference, n: int) -> str:
    """``printed, 8 digits, 144 of 1,280 numbers`` or the dtypes of what is compared."""
    names = [name for name in side.arrays if _name(name, d) in d.arrays]
    if any(name in side.units for name in names):
        digits = max(
            _printed_digits(side.arrays[n], side.units[n]) for n in names if n in side.units
        )
        shown = f"printed, {digits} digit{'s' * (digits != 1)}" if digits else "printed"
        given = sum(int(np.isfinite(side.units[k]).sum()) for k in names if k in side.units)
        whole = sum(prod(d.arrays[_name(k, d)].shapes[n]) for k in names if k in side.units)
        return shown + f", {given:,} of {whole:,} numbers" * (given < whole)
    own = dict.fromkeys(side.arrays[name].dtype.name for name in names)
    counts = dict.fromkeys(side.dtypes[name].name for name in names if name in side.dtypes)
    words = ", ".join(own)
    return words if not counts or counts == own else f"{words}, counts as {', '.join(counts)}"


def _printed_digits(values: Array, units: Array) -> int:
    """Places after the point of a fixed print, significant digits of one with exponents.

    0 if nothing was printed with a fraction: such numbers have the unit 0.
    """
    known = np.isfinite(units) & (units > 0)
    places = np.round(-np.log10(units[known]))
    if not places.size:
        return 0
    if (places == places[0]).all():
        return max(0, int(places[0]))
    values = values[known]
    telling = np.isfinite(values) & (values != 0)
    first = np.floor(np.log10(np.abs(values[telling])))
    return int((first + places[telling]).max(initial=0)) + 1


# ---- a row per array


def _arrays(d: Difference, width: int | None, digits: int | None) -> Sheet:
    arrays = list(d.arrays.values())
    columns = [
        Column("array", [array.name for array in arrays], "bold", left=True),
        Column("differ", [_count(array) for array in arrays], DIFFERS),
        Column("%", [_share(array) for array in arrays], DIFFERS, rank=3),
        Column("max abs", [short(array.max_abs) for array in arrays]),
        _place_column(arrays, [array.abs_at for array in arrays]),
        _value_column(arrays, digits),
        Column("passes at", [_passes(array) for array in arrays], left=True, rank=1),
        Column("max rel", [short(array.max_rel) for array in arrays], rank=4),
        _place_column(arrays, [array.rel_at for array in arrays], rank=5),
        Column("max ulp", [whole(array.max_ulp) for array in arrays], rank=6),
        _place_column(arrays, [array.ulp_at for array in arrays], rank=7),
    ]
    sheet = fitted([column for column in columns if any(column.cells)], width)
    for array in arrays:
        if array.mismatched is None:
            sheet.extend(labelled(array.name, _sizes(array), width, indent=_INDENT))
    return sheet


def _count(array: ArrayDifference) -> str:
    if array.mismatched is None:
        return "shape"
    return f"{array.mismatched} of {array.total}"


def _share(array: ArrayDifference) -> str:
    if not array.mismatched or not array.total:
        return ""
    return percent(array.mismatched / array.total).removesuffix(" %")


def _sizes(array: ArrayDifference) -> str:
    """Both shapes in words, where the axes have names."""
    one, other = (_size(shape, array.placed) for shape in array.aligned)
    return f"a has {one}; b has {other}"


def _size(shape: tuple[int, ...], placed: bool) -> str:
    if not placed:
        return str(shape)
    nouns = ("step", "row", "unit")
    return " x ".join(f"{n} {noun}{'s' * (n != 1)}" for n, noun in zip(shape, nouns, strict=True))


def _place_column(
    arrays: Sequence[ArrayDifference], places: Sequence[Position | None], rank: int = 0
) -> Column:
    cells = [_at(array, place) for array, place in zip(arrays, places, strict=True)]
    return Column("at", cells, "dim", left=True, rank=rank)


def _value_column(arrays: Sequence[ArrayDifference], digits: int | None) -> Column:
    """Both values of the greatest difference: the two go together or not at all."""
    pairs = [_values(array.abs_at, digits, TABLE_DIGITS) for array in arrays]
    one, other = (max(len(pair[n]) for pair in pairs) for n in (0, 1))
    cells = [f"{x:>{one}}  {y:>{other}}" if x else "" for x, y in pairs]
    return Column(f"{'a':>{one}}  {'b':>{other}}", cells, rank=2)


def _at(array: ArrayDifference, place: Position | None) -> str:
    """``step 3, batch 1, unit 0``; the batch only if there is more than one row."""
    if place is None:
        return ""
    if place.index is not None:
        return f"[{', '.join(map(str, place.index))}]"
    several = array.aligned[0][1] > 1
    parts = [("step", place.step), ("batch", place.batch if several else None)]
    named = [f"{word} {n}" for word, n in [*parts, ("unit", place.unit)] if n is not None]
    return ", ".join(named)


def _values(place: Position | None, digits: int | None, fewest: int = DIGITS) -> tuple[str, str]:
    """Both values, at as many digits as it takes to tell them apart."""
    if place is None:
        return "", ""
    enough = range(fewest, MOST_DIGITS + 1) if digits is None else range(digits, digits + 1)
    texts = [(format_number(place.a, n), format_number(place.b, n)) for n in enough]
    return texts[0] if place.a == place.b else next((t for t in texts if t[0] != t[1]), texts[-1])


def _passes(array: ArrayDifference) -> str:
    """The smallest tolerance that lets an array pass, as it can be typed."""
    if array.mismatched is None:
        return ""
    if array.equal:
        return "agrees"
    test = array.tolerance
    if test.ulp is not None and not test.atol and not test.rtol and isinstance(array.max_ulp, int):
        return f"ulp {array.max_ulp}" if array.smallest_atol is not None else "no tolerance"
    if array.smallest_atol is None:
        return "no tolerance"
    return f"atol {rounded_up(array.smallest_atol)}"


# ---- what was not compared


def _asides(d: Difference, width: int | None) -> Sheet:
    sheet = Sheet()
    for side, names in (("a", d.only_in_a), ("b", d.only_in_b)):
        if names:
            listed = ", ".join(name or "(unnamed)" for name in names[:NAMED])
            if len(names) > NAMED:
                listed += f" and {len(names) - NAMED:,} more"
            sheet.extend(
                labelled(f"only in {side}", f"{listed} (not compared)", width, indent=_INDENT + 1)
            )
    for remark in d.remarks:
        sheet.extend(labelled("assumed", remark, width, ASSUMED, indent=_INDENT))
    return sheet


# ---- where they part


def _where(d: Difference, width: int | None, digits: int | None, with_strips: bool) -> Sheet:
    """The strips of errors and the first divergence."""
    stepped = [
        array
        for array in d.arrays.values()
        if array.step_errors is not None and len(array.step_errors) > 1 and not array.equal
    ]
    sheet = Sheet()
    if stepped and with_strips:
        sheet.extend(strips(stepped, len(d.arrays) > 1, room_of(width)))
    if d.first_divergence is not None:
        where = f"{_first_place(d, d.first_divergence)}:   "
        values = " / ".join(_values(d.first_divergence, digits))
        sheet.add((f"{'first divergence':{LABEL}}", "dim"), where, values)
    if sheet.lines:
        sheet.lines.insert(0, [])
    return sheet


def _first_place(d: Difference, place: Position) -> str:
    """``step 1, gate f, batch 0, unit 2``; the array only if there are several."""
    where = _at(d.arrays[place.array], place)
    if len(d.arrays) == 1:
        return where
    array = f"gate {place.array}" if ArrayName.of(place.array).base in GATES else place.array
    if place.step is None:
        return f"{array}, {where}"
    step, _, rest = where.partition(", ")
    return f"{step}, {array}, {rest}"


# ---- hints


def _hints(hints: Sequence[Hint], width: int | None) -> Sheet:
    sheet = Sheet()
    for hint in hints:
        if hint.code == "settings_differ":  # said at the top
            continue
        sheet.add()
        style = ASSUMED if _suspected(hint) else ""
        sheet.extend(labelled(_hint_label(hint), hint.text, width, style, indent=_INDENT))
    return sheet


def _next(d: Difference, a: Side, b: Side, width: int | None) -> Sheet:
    """The search for the cause, where a reading of the weights may be one.

    What is to be explained is the side that does not say how it was made, else b.
    """
    sheet = Sheet()
    computed = any(
        not array.equal
        and array.mismatched is not None
        and ArrayName.of(array.name).kind != WEIGHTS
        for array in d.arrays.values()
    )
    if not computed or any(hint.code in _NO_CONVENTION for hint in d.hints):
        return sheet
    expected = a if a.settings is None and b.settings is not None else b
    name = "EXPECTED" if expected.name == STDIN else expected.name
    if all(hint.code == "settings_differ" for hint in d.hints):
        sheet.add()
    sheet.extend(to_copy("next", explain_command((), name), _INDENT))
    return sheet


def _suspected(hint: Hint) -> bool:
    return hint.code.startswith("suspect_")


def _hint_label(hint: Hint) -> str:
    return "suspicion" if _suspected(hint) else "found"


def _and(names: Mapping[str, Any]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
