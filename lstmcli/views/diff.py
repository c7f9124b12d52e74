"""A difference: the two sides, the errors of each array, the first difference, possible causes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import prod
from textwrap import wrap
from typing import Any

import numpy as np

from lstmcli.core.diff.array_name import WEIGHTS, ArrayName
from lstmcli.core.diff.compare import Difference
from lstmcli.core.diff.metrics import ArrayDifference, Position
from lstmcli.core.diff.operand import Side
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Hint
from lstmcli.core.model.selection import format_number
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import STDIN, listed
from lstmcli.escaping import file_argument, one_line, typed_command
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    DIFFERS,
    Column,
    Sheet,
    Width,
    add_in_width,
    fitting_table,
    labelled,
    labelled_command,
    labelled_lines,
    table,
)
from lstmcli.views.step_errors import STRIP_INDENT, step_table, strips
from lstmcli.views.text import (
    NumberFormat,
    count,
    error_size,
    percent,
    phrases,
    rounded_up,
    ulp_counts,
)

DIGITS = 8  # NumPy's, so that values can be found in a print by eye
TABLE_DIGITS = 6  # leaves columns for the other figures
MOST_DIGITS = 17  # two different float64 differ within these
ARRAYS_NAMED = 6  # of those on one side only; -f json names all
HINT_INDENT = 11
NO_CONVENTION = {"nan_in_both", "rounded", "suspect_nan", "suspect_single"}
"""Hints that no other configuration of the weights can explain."""


def difference_sheet(
    d: Difference,
    *,
    width: Width,
    per_step: bool = False,
    next: str | None = None,
) -> Sheet:
    """One line if all is equal; else both sides, the errors of each array, and what may cause them.

    The settings that differ come first, if both sides have some. ``per_step`` adds the error of
    each step; a terminal shows the first and last of many. ``next`` is the command to go on with,
    by default that of `next_command`.
    """
    sheet = Sheet()
    if d.settings:
        sheet.extend(_settings(d.settings))
        sheet.add()
    if d.equal:
        text = _equal_line(d)
        if width.table is None or len(text) <= width.prose:
            sheet.add((text, AGREES))
        else:
            sheet.extend(labelled("", text, width, AGREES, indent=0))
    else:
        sheet.extend(sides_of(d, width))
        sheet.add()
        sheet.extend(_arrays(d, width))
    sheet.extend(_not_compared(d, width))
    if per_step:
        sheet.add()
        sheet.extend(step_table([x for x in d.arrays.values() if x.step_errors is not None], width))
    if not d.equal:
        sheet.extend(first_difference(d, width, with_strips=not per_step))
        sheet.extend(hints_of(d.hints, width))
        sheet.extend(_next(d, next_command(d) if next is None else next))
    return sheet


def _settings(differing: Mapping[str, tuple[Any, Any]]) -> Sheet:
    """A line for each setting; a dash is a setting that is off."""
    a, b = (
        ["-" if both[n] is None else str(both[n]) for both in differing.values()] for n in (0, 1)
    )
    return table(
        [
            Column("settings", list(differing), "bold", left=True),
            Column("a", a, ASSUMED, left=True),
            Column("b", b, ASSUMED, left=True),
        ]
    )


# ---- equal


def _equal_line(d: Difference) -> str:
    arrays = d.arrays.values()
    total = sum(array.total or 0 for array in arrays)
    *most, last = d.arrays
    names = f" of {', '.join(most)} and {last}" if most else ""
    greatest = max((array.max_abs or 0.0 for array in arrays), default=0.0)
    left_out = sum(array.left_out for array in arrays)
    of_all = f" of {total + left_out}, the others not printed," if left_out else ""
    return (
        f"equal: {total} values{of_all}{names} within {_tolerance(d)}; "
        f"greatest difference {error_size(greatest)}"
    )


def _tolerance(d: Difference) -> str:
    """The tolerances of the comparison in words."""
    arrays = list(d.arrays.values())
    ulp = arrays[0].tolerance.ulp
    texts = [] if ulp is None else [f"{ulp} ULP"]
    if d.rtol is not None and d.atol is not None:
        texts += [f"rtol {d.rtol:g}, atol {d.atol:g}"]
    elif ulp is None:
        texts += ["the tolerances of their dtypes"]
    printed = any(array.max_ulp is None and array.total is not None for array in arrays)
    return " or ".join(texts) + (" and half a printed digit" if printed else "")


# ---- the two sides


def sides_of(d: Difference, width: Width) -> Sheet:
    """Each side on a line: its name, its arrays with shapes, its precision.

    Where that is longer than the width, the arrays follow on the next lines.
    """
    names = [side.name for side in d.sides]
    arrays = [_shapes(side, d, n) for n, side in enumerate(d.sides)]
    of_names = max(map(len, names))
    of_arrays = max(len("   ".join(texts)) for texts in arrays)
    sheet = Sheet()
    for n, side in enumerate(d.sides):
        label = ("ab"[n] + "  ", "dim")
        precision = _precision(side, d, n)
        line = f"{names[n]:{of_names}}   {'   '.join(arrays[n]):{of_arrays}}   {precision}"
        if len(line) + 3 <= width.prose:
            sheet.add(label, line)
            continue
        add_in_width(sheet, [label, (names[n], "")], (precision, ""), width)
        pieces = [piece for text in arrays[n] for piece in _wrap(text, width.prose - 3)]
        sheet.extend(labelled("", phrases(pieces), width, indent=3))
    return sheet


def _wrap(text: str, columns: int) -> list[str]:
    return wrap(text, columns, break_long_words=False, break_on_hyphens=False)


def _shapes(side: Side, d: Difference, n: int) -> list[str]:
    """``h c i f g o (7, 3)`` and ``final_h final_c (3,)``: arrays of one shape together."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, array in side.arrays.items():
        compared = d.arrays.get(name)
        shape = compared.shapes[n] if name in side.gaps and compared else array.shape
        by_shape.setdefault(shape, []).append(name or "(unnamed)")
    return [f"{_by_cell(names)} {shape}" for shape, names in by_shape.items()]


def _by_cell(names: Sequence[str]) -> str:
    """``h`` and ``layer0 layer0_reverse: h c i f g o``: cells with the same arrays together."""
    of_cell: dict[str, list[str]] = {}  # "": the output of the network
    for part in map(ArrayName.of, names):
        of_cell.setdefault(part.prefix, []).append(part.base)
    cells: dict[tuple[bool, str], list[str]] = {}
    for cell, bases in of_cell.items():
        cells.setdefault((cell != "", " ".join(bases)), []).append(cell)
    return " ".join(
        f"{' '.join(prefixes)}: {bases}" if prefixed else bases
        for (prefixed, bases), prefixes in cells.items()
    )


def _precision(side: Side, d: Difference, n: int) -> str:
    """``printed, 8 digits, 144 of 1,280 numbers``, or the dtypes of the compared arrays."""
    names = [name for name in side.arrays if name in d.arrays]
    if printed := [name for name in names if name in side.units]:
        digits = max(_printed_digits(side.arrays[k], side.units[k]) for k in printed)
        text = f"printed, {count(digits, 'digit')}" if digits else "printed"
        given = sum(int(np.isfinite(side.units[k]).sum()) for k in printed)
        total = sum(prod(d.arrays[k].shapes[n]) for k in printed)
        return text + (f", {given:,} of {total:,} numbers" if given < total else "")
    dtypes = dict.fromkeys(side.arrays[name].dtype.name for name in names)
    counted = dict.fromkeys(side.dtypes[name].name for name in names if name in side.dtypes)
    text = ", ".join(dtypes)
    return text if not counted or counted == dtypes else f"{text}, counts as {', '.join(counted)}"


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
    nonzero = np.isfinite(values) & (values != 0)
    first = np.floor(np.log10(np.abs(values[nonzero])))
    return int((first + places[nonzero]).max(initial=0)) + 1


# ---- a line for each array


def _arrays(d: Difference, width: Width) -> Sheet:
    arrays = list(d.arrays.values())
    differing = [
        "shape" if a.mismatched is None else f"{a.mismatched} of {a.total}" for a in arrays
    ]
    columns = [
        Column("array", [array.name for array in arrays], "bold", left=True),
        Column("differ", differing, DIFFERS),
        Column("%", [_share(array) for array in arrays], DIFFERS, rank=4),
        Column("max abs", [error_size(array.max_abs) for array in arrays]),
        _position_column(arrays, [array.abs_at for array in arrays], rank=1),
        _value_column(arrays),
        _required_column(arrays),
        Column("cosine", _cosines([array.cosine for array in arrays]), rank=3),
        Column("SNR dB", [_decibels(array) for array in arrays], rank=2),
        Column(
            "max rel",  # there is none where b is 0
            [
                "b is 0"
                if a.max_rel == math.inf != a.max_abs and a.rel_at and a.rel_at.b == 0
                else error_size(a.max_rel)
                for a in arrays
            ],
            rank=6,
        ),
        _position_column(arrays, [array.rel_at for array in arrays], rank=7),
        Column("max ulp", _ulps(arrays), rank=8),
        _position_column(arrays, [array.ulp_at for array in arrays], rank=9),
    ]
    sheet = fitting_table([column for column in columns if any(column.cells)], width)
    unlike = [array for array in arrays if array.mismatched is None]
    indent = max([HINT_INDENT, *(len(one_line(array.name)) + 2 for array in unlike)])
    for array in unlike:
        a, b = (_size(shape, array.placed) for shape in array.aligned)
        sheet.extend(labelled(array.name, f"a has {a}; b has {b}", width, indent=indent))
        if text := _to_be_typed(d, array):
            sheet.extend(labelled("", text, width, indent=indent))
    return sheet


def _ulps(arrays: Sequence[ArrayDifference]) -> list[str]:
    """The greatest distances in ULPs; of two signs it only counts the numbers down to 0."""
    pairs = [(at.a, at.b) if (at := array.ulp_at) else (0, 0) for array in arrays]
    turned = [a < 0 < b or b < 0 < a for a, b in pairs]
    counts = ulp_counts([
        None if signs else array.max_ulp for array, signs in zip(arrays, turned, strict=True)
    ])  # fmt: skip
    return ["signs differ" if signs else n for n, signs in zip(counts, turned, strict=True)]


def _to_be_typed(d: Difference, array: ArrayDifference) -> str:
    """What compares two arrays of different shapes: last states, or what both have first."""
    for n, side in enumerate(d.sides):
        final = f"final_{array.name}"
        if final in side.arrays and side.arrays[final].shape == array.shapes[1 - n]:
            return f"{'ba'[n]} has the shape of {side.name}:{final}"
    a, b = array.aligned
    found = any(not hint.code.startswith(("suspect_", "settings_")) for hint in d.hints)
    if found or array.unaligned or not array.placed or len(a) != len(b):
        return ""
    if a[0] != a[1] and a == (b[1], b[0], b[2]):
        return "steps and batch look exchanged: save x.swapaxes(0,1) of one of them"
    options = [
        f"--{name} 0:{min(sizes)}"
        for name, *sizes in zip(("steps", "batch", "units"), a, b, strict=True)
        if len({*sizes}) > 1 and min(sizes)
    ]
    if len(options) not in (1, 2):  # where all axes differ, what comes first need not be the same
        return ""
    text = f"lstm diff {' '.join(options)} compares what comes first in both"
    if len(options) == 1 and a[0] != b[0]:
        few, many = sorted((a[0], b[0]))
        text += f"; --steps {many - few}:{many} takes {'ab'[a[0] > b[0]]} as the last steps"
    return text


def _share(array: ArrayDifference) -> str:
    if not array.mismatched or not array.total:
        return ""
    return percent(array.mismatched / array.total).removesuffix(" %")


def _cosines(values: Sequence[float | None]) -> list[str]:
    """Cosines with as many places as none needs that is shown as 1 and is less, six at most."""
    known = [value for value in values if value is not None]
    places = next(
        (n for n in range(3, 6) if not any(v < 1 - 1e-6 and round(v, n) == 1 for v in known)), 6
    )
    return ["" if value is None else f"{value:z.{places}f}" for value in values]


def _decibels(array: ArrayDifference) -> str:
    """The signal-to-noise ratio; nothing where nothing is off."""
    return "" if array.snr is None or array.snr == math.inf else f"{array.snr:z.1f}"


def _size(shape: tuple[int, ...], named: bool) -> str:
    """A shape in words if its axes are steps, batch and units."""
    if not named:
        return str(shape)
    steps, batch, units = shape
    return f"batch {batch} x {count(steps, 'step')} x {count(units, 'unit')}"


def _position_column(
    arrays: Sequence[ArrayDifference], places: Sequence[Position | None], rank: int = 0
) -> Column:
    cells = [_position(array, place) for array, place in zip(arrays, places, strict=True)]
    return Column("at", cells, left=True, rank=rank)


def _value_column(arrays: Sequence[ArrayDifference]) -> Column:
    """Both values of the greatest difference: the two go together or not at all.

    All have the format that each pair needs to look different.
    """
    places = [array.abs_at for array in arrays if array.abs_at is not None]
    most = max((_digits_to_differ(place, TABLE_DIGITS) for place in places), default=0)
    format = NumberFormat.of([value for place in places for value in (place.a, place.b)], most)
    pairs = [
        ("", "") if place is None else (format.text(place.a), format.text(place.b))
        for place in (array.abs_at for array in arrays)
    ]
    a, b = (max(len(pair[n]) for pair in pairs) for n in (0, 1))
    cells = [f"{x:>{a}}  {y:>{b}}" if x else "" for x, y in pairs]
    return Column(f"{'a':>{a}}  {'b':>{b}}", cells, rank=5)


def _required_column(arrays: Sequence[ArrayDifference]) -> Column:
    """The smallest tolerance with which each array agrees, as it can be typed."""
    found = [_required(array) for array in arrays]
    atols = [text for kind, text in found if kind == "atol"]
    if any("e" in text for text in atols):
        found = [(k, error_size(float(text)) if k == "atol" else text) for k, text in found]
    elif len(atols) > 1:  # as many places, so that the numbers line up on the point
        places = max(len(text.partition(".")[2]) for text in atols)
        digits = max(len(f"{float(text):.{places}f}") for text in atols)
        found = [
            (k, f"{float(text):{digits}.{places}f}" if k == "atol" else text) for k, text in found
        ]
    kinds = {kind for kind, _ in found if kind}
    if len(kinds) == 1:
        return Column(f"required {kinds.pop()}", [text for _, text in found], left=True, rank=1)
    return Column("required", [f"{kind} {text}".strip() for kind, text in found], left=True, rank=1)


def _required(array: ArrayDifference) -> tuple[str, str]:
    """``atol`` or ``ulp`` and the smallest that suffices; no kind where there is no number."""
    if array.mismatched is None:
        return "", ""
    if not array.mismatched:
        return "", "agrees"
    if array.smallest_atol is None:
        return "", "no tolerance"
    test = array.tolerance
    if test.ulp is not None and not test.atol and not test.rtol and isinstance(array.max_ulp, int):
        return "ulp", str(array.max_ulp)
    return "atol", rounded_up(array.smallest_atol)


def _position(array: ArrayDifference, place: Position | None) -> str:
    """``step 3, batch 1, unit 0``; the batch item only if there are several."""
    if place is None:
        return ""
    return place.words(batch=place.index is not None or array.aligned[0][1] > 1)


def _digits_to_differ(place: Position, fewest: int) -> int:
    """The places after the point with which both values look different, at least ``fewest``."""
    if place.a == place.b:
        return fewest
    for n in range(fewest, MOST_DIGITS):
        if format_number(place.a, n) != format_number(place.b, n):
            return n
    return MOST_DIGITS


# ---- what was not compared


def _not_compared(d: Difference, width: Width) -> Sheet:
    """The arrays that only one side has, and the remarks of the comparison."""
    sheet = Sheet()
    for side, names in (("a", d.only_in_a), ("b", d.only_in_b)):
        if names:
            text = listed([name or "(unnamed)" for name in names], ARRAYS_NAMED)
            text = f"{text} (not compared)"
            sheet.extend(labelled(f"only in {side}", text, width, indent=HINT_INDENT + 1))
    sheet.extend(labelled_lines("assumed", d.remarks, width, ASSUMED, HINT_INDENT))
    return sheet


# ---- the first difference


def first_difference(d: Difference, width: Width, with_strips: bool) -> Sheet:
    """The strips of errors and the first difference."""
    arrays = d.arrays.values()
    several = [
        x for x in arrays if x.mismatched and x.step_errors is not None and len(x.step_errors) > 1
    ]
    sheet = Sheet()
    if several and with_strips:
        sheet.extend(strips(several, len(d.arrays) > 1, width))
    if (first := d.first_divergence) is not None:
        where = f"{_first_position(d, first)}:"
        enough = _digits_to_differ(first, DIGITS)
        values = " / ".join(format_number(value, enough) for value in (first.a, first.b))
        start = [(f"{'first difference':{STRIP_INDENT}}", "dim"), (where, "")]
        add_in_width(sheet, start, (values, ""), width)
    if sheet.lines:
        sheet.lines.insert(0, [])
    return sheet


def _first_position(d: Difference, place: Position) -> str:
    """``step 1, gate f, batch 0, unit 2``; the array only if there are several."""
    gate = "gate " * (ArrayName.of(place.array).base in GATES)
    array = f"{gate}{place.array}" if len(d.arrays) > 1 else ""
    return place.words(batch=d.arrays[place.array].aligned[0][1] > 1, array=array)


# ---- hints


def hints_of(hints: Sequence[Hint], width: Width) -> Sheet:
    """What was found and what is suspected, each in a paragraph."""
    sheet = Sheet()
    for hint in hints:
        if hint.code == "settings_differ":  # at the top of the sheet
            continue
        suspected = hint.code.startswith("suspect_")
        label, style = ("suspects", ASSUMED) if suspected else ("found", "")
        sheet.add()
        sheet.extend(labelled(label, hint.text, width, style, indent=HINT_INDENT))
    return sheet


def _next(d: Difference, command: str) -> Sheet:
    """The command that searches for the cause, where a configuration of the weights may be one."""
    sheet = Sheet()
    if not command:
        return sheet
    if all(hint.code == "settings_differ" for hint in d.hints):
        sheet.add()
    sheet.extend(labelled_command("next", command, HINT_INDENT))
    return sheet


def next_command(d: Difference, expected: Side | None = None) -> str:
    """What asks `explain` for the cause; empty where no configuration of weights can be one.

    EXPECTED is the side without settings of a run, else b, if none is given.
    """
    computed = any(
        array.mismatched and ArrayName.of(array.name).kind != WEIGHTS
        for array in d.arrays.values()
    )  # fmt: skip
    if not computed or any(hint.code in NO_CONVENTION for hint in d.hints):
        return ""
    a, b = d.sides
    side = expected or (a if a.settings is None and b.settings is not None else b)
    if side.in_memory:
        return f"lstmcli.explain(weights, x, {side.name})"
    name = "EXPECTED" if side.name == STDIN else file_argument(side.name)
    return typed_command("lstm", "explain", "WEIGHTS", "INPUTS", name)
