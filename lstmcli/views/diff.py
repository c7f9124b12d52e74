"""A difference: the verdict, the two sides, the errors of each array, the first, the causes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from lstmcli.core.diff.difference import ARRAYS_NAMED, Difference
from lstmcli.core.diff.figures import ArrayDifference, Position, words_of_place
from lstmcli.core.diff.operand import FINAL, WEIGHTS, ArrayName, Side
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Hint
from lstmcli.core.model.selection import format_number, format_size
from lstmcli.core.model.settings import setting_text
from lstmcli.errors import STDIN, listed
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    DIFFERS,
    Column,
    Sheet,
    Width,
    fitting_table,
    table,
    total_width,
    verdict,
)
from lstmcli.views.step_errors import step_table, strips
from lstmcli.views.text import (
    NumberFormat,
    count,
    error_sizes,
    percent,
    phrases,
    rounded_up,
    ulp_count,
    unbroken,
)

DIGITS = 8  # as NumPy prints, to find values by eye
TABLE_DIGITS = 6  # leaves columns for the other figures
MOST_DIGITS = 17  # two different float64 differ within these
SELECT_COMMON = "select what both sides have by --layout, --steps, --batch or --units"
NO_CONVENTION = {"nan_in_both", "rounded", "suspect_nan", "suspect_single"}
"""Hints of what no other configuration of the weights explains."""


def difference_sheet(
    d: Difference,
    *,
    width: Width,
    per_step: bool = False,
    next: str | None = None,
) -> Sheet:
    """The verdict; of what differs also both sides, the errors of each array, and the causes.

    ``per_step`` adds the error of each step. ``next`` is the command to go on
    with, by default `next_command`.
    """
    if d.equal:
        sheet = verdict(d.summary, AGREES, width)
        sizes = (array.max_abs or 0.0 for array in d.arrays.values())
        largest = format_size(max(sizes, default=0.0))
        text = f"within {tolerance_words(d)}; max difference {largest}"
        sheet.label("", text, indent=2)
    else:
        sheet = verdict(d.summary, DIFFERS, width)
    if d.settings:
        sheet.section(settings_table(d.settings))
    if not d.equal:
        sheet.section(sides_of(d, width))
        sheet.section(_arrays(d, width))
    sheet.extend(_not_compared(d, width))
    if per_step:
        sheet.section(step_table(list(d.arrays.values()), width))
    if not d.equal:
        sheet.section(first_difference(d, width, with_strips=not per_step))
        sheet.extend(hints_of(d.hints, width))
        sheet.extend(_next(d, next, width))
    return sheet


def settings_table(differing: Mapping[str, tuple[Any, Any]]) -> Sheet:
    """The settings that differ, a row each."""
    columns = [Column("settings", list(differing), "bold", left=True)]
    for n, side in enumerate("ab"):
        values = [_setting(both[n]) for both in differing.values()]
        columns.append(Column(side, values, ASSUMED, left=True))
    return table(columns)


def _setting(value: Any) -> str:
    if value is None:
        return "-"
    return setting_text(value)


# ---- equal


def tolerance_words(d: Difference) -> str:
    """``rtol 1.3e-6, atol 1e-5``."""
    arrays = list(d.arrays.values())
    ulp = arrays[0].pair.tolerance.ulp
    ways = []
    if ulp is not None:
        ways.append(f"{ulp} ULP")
    if d.rtol is not None and d.atol is not None:
        ways.append(f"rtol {format_size(d.rtol)}, atol {format_size(d.atol)}")
    elif ulp is None:
        ways.append("the tolerances of their dtypes")
    text = " or ".join(ways)
    sides = [side for array in arrays for side in (array.pair.a, array.pair.b)]
    if any(side.unit is not None for side in sides):
        return f"{text} and half a printed digit"
    return text


# ---- the two sides


def sides_of(d: Difference, width: Width) -> Sheet:
    """Each side: its name, its arrays with shapes, its precision."""
    names = [side.name for side in d.sides]
    arrays = [_shapes(side, d, n) for n, side in enumerate(d.sides)]
    precisions = [_precision(side, d, n) for n, side in enumerate(d.sides)]
    columns = [Column("", ["a", "b"], "dim")]
    for cells in (names, list(map(" · ".join, arrays)), precisions):
        columns.append(Column("", cells, left=True))
    if total_width(columns) <= width.prose:
        return table(columns, headings=False)
    sheet = Sheet(width)
    for n, side in enumerate("ab"):
        texts = [names[n], *arrays[n], precisions[n]]
        sheet.label(side, phrases(texts), indent=3)
    return sheet


def _shapes(side: Side, d: Difference, n: int) -> list[str]:
    """``h c i f g o (7, 3)``: arrays of one shape together."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, array in side.arrays.items():
        compared, shape = d.arrays.get(name), array.shape
        if name in side.gaps and compared:
            shape = compared.shapes[n]
        by_shape.setdefault(shape, []).append(name or "(unnamed)")
    return [f"{_by_cell(names)} {shape}" for shape, names in by_shape.items()]


def _by_cell(names: Sequence[str]) -> str:
    """``h layer0 layer0_reverse: h c``: cells with the same arrays together."""
    of_cell: dict[str, list[str]] = {}  # "": the output of the network
    for part in map(ArrayName.of, names):
        of_cell.setdefault(part.prefix, []).append(part.base)
    output = of_cell.pop("", None)
    cells: dict[str, list[str]] = {}
    for cell, bases in of_cell.items():
        cells.setdefault(" ".join(bases), []).append(cell)
    texts = [f"{' '.join(names)}: {bases}" for bases, names in cells.items()]
    if output is not None:
        texts.insert(0, " ".join(output))
    return " ".join(texts)


def _precision(side: Side, d: Difference, n: int) -> str:
    """``printed, 8 digits, 144 of 1,280 numbers``, or the dtypes of the compared arrays."""
    names = [name for name in side.arrays if name in d.arrays]
    printed = [name for name in names if name in side.units]
    if printed:
        return _precision_of_prints(side, d, n, printed)
    dtypes = dict.fromkeys(side.arrays[name].dtype.name for name in names)
    counted = dict.fromkeys(
        side.dtypes[name].name for name in names if name in side.dtypes
    )
    text = ", ".join(dtypes)
    if counted and counted != dtypes:
        return f"{text}, counts as {', '.join(counted)}"
    return text


def _precision_of_prints(
    side: Side, d: Difference, n: int, names: Sequence[str]
) -> str:
    digits = given = total = 0
    for name in names:
        units = side.units[name]
        digits = max(digits, _printed_digits(side.arrays[name], units))
        given += int(np.isfinite(units).sum())
        total += prod(d.arrays[name].shapes[n])
    texts = ["printed"]
    if digits:
        texts.append(count(digits, "digit"))
    if given < total:
        texts.append(f"{given:,} of {total:,} numbers")
    return ", ".join(texts)


def _printed_digits(values: Array, units: Array) -> int:
    """Places after the point of fixed numbers, significant digits of those with exponents.

    0 if no number has a fraction, for which the unit is 0.
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


# ---- one row per array


def _arrays(d: Difference, width: Width) -> Sheet:
    arrays = list(d.arrays.values())
    columns = [
        Column("array", [array.name for array in arrays], "bold", left=True),
        Column("differ", [_mismatched(array) for array in arrays], DIFFERS),
        Column("", [_share(array) for array in arrays], DIFFERS, rank=3),
        Column("max abs", error_sizes([array.max_abs for array in arrays]), rank=1),
        Column("at", [_place(array) for array in arrays], left=True, rank=2),
    ]
    columns.extend(_value_columns(arrays))
    figures = [column for column in _figures(arrays) if any(column.cells)]
    if len(arrays) > 1:
        sheet = fitting_table(columns + figures, width)
    else:  # the figures stand below the line, so that it is narrow
        sheet = fitting_table(columns, width)
        text = ", ".join(unbroken(f"{c.heading} {c.cells[0].strip()}") for c in figures)
        sheet.label("", text, indent=columns[0].width + 2)
    return sheet.labels("shapes", _differing_shapes(d))


def _differing_shapes(d: Difference) -> Iterator[str]:
    """The arrays without a common shape, and what each side has; of one array without its name."""
    by_shapes: dict[str, list[str]] = {}
    for array in d.arrays.values():
        if array.mismatched is not None:
            continue
        if _has_known_axes(d, array):
            a, b = _in_words(array.pair.a.shape), _in_words(array.pair.b.shape)
        else:
            a, b = map(str, array.shapes)
        text = f"{unbroken(f'a has {a};')} {unbroken(f'b has {b}')}"
        by_shapes.setdefault(text, []).append(array.name)
    for text, names in by_shapes.items():
        if len(d.arrays) > 1:
            yield f"{listed(names, ARRAYS_NAMED)}: {text}"
        else:
            yield text


def _mismatched(array: ArrayDifference) -> str:
    if array.mismatched is None:
        return "shape"
    return f"{array.mismatched} of {array.total}"


def _place(array: ArrayDifference) -> str:
    if array.abs_at is None:
        return ""
    return words_of_place(array.abs_at, array.pair)


def _has_known_axes(d: Difference, array: ArrayDifference) -> bool:
    is_state = ArrayName.of(array.name).kind == FINAL
    several = any(ArrayName.of(name).prefix for side in d.sides for name in side.arrays)
    return array.pair.placed and not (is_state and several)


def _figures(arrays: Sequence[ArrayDifference]) -> list[Column]:
    cosines, ratios, ulps = list[str](), list[float | None](), list[str]()
    noise, options = list[str](), list[str]()
    for array in arrays:
        if not array.mismatched:  # nothing differs, or nothing was compared
            ratios.append(None)
            for cells in (cosines, noise, ulps, options):
                cells.append("")
            continue
        cosines.append(_cosine(array.cosine))
        noise.append(_decibels(array.snr))
        ratios.append(_finite(array.max_rel))
        ulps.append(_ulps(array))
        options.append(_accepting(array))
    return [
        Column("cosine", cosines, rank=6),
        Column("SNR", noise, rank=5),
        Column("max rel", error_sizes(ratios), rank=8),
        Column("max ULP", ulps, rank=7),
        Column("equal only with", options, left=True, rank=4),
    ]


def _finite(value: float | None) -> float | None:
    if value is not None and math.isfinite(value):
        return value
    return None


def _decibels(snr: float | None) -> str:
    if snr is None or not math.isfinite(snr):
        return ""
    return f"{snr:z.1f} dB"


def _ulps(array: ArrayDifference) -> str:
    """The largest distance in ULPs; none between numbers of other signs."""
    at = array.ulp_at
    if at is None or at.a < 0 < at.b or at.b < 0 < at.a:
        return ""
    return ulp_count(array.max_ulp)


def _accepting(array: ArrayDifference) -> str:
    if array.smallest_atol is None:
        return ""
    test = array.pair.tolerance
    in_ulps = test.ulp is not None and not (test.atol or test.rtol)
    if in_ulps and isinstance(array.max_ulp, int):
        return f"--ulp {array.max_ulp}"
    return f"--atol {rounded_up(array.smallest_atol)}"


def _to_be_typed(d: Difference, array: ArrayDifference) -> str:
    """How to compare arrays of different shapes: last states, or what both have first."""
    for n, side in enumerate(d.sides):
        final = f"final_{array.name}"
        if final in side.arrays and side.arrays[final].shape == array.shapes[1 - n]:
            return f"compare {side.name}:{final}, which has the shape of {'ba'[n]}"
    a, b = array.pair.a.shape, array.pair.b.shape
    found = any(not hint.code.startswith(("suspect_", "settings_")) for hint in d.hints)
    if found or not _has_known_axes(d, array):
        return ""
    if array.pair.placement.why_not or len(a) != len(b):
        return SELECT_COMMON
    if a[0] != a[1] and a == (b[1], b[0], b[2]):
        return "steps and batch look exchanged: save x.swapaxes(0,1) of one of them"
    firsts = {
        name: min(sizes)
        for name, *sizes in zip(("steps", "batch", "units"), a, b, strict=True)
        if len({*sizes}) > 1 and min(sizes)
    }
    if len(firsts) not in (
        1,
        2,
    ):  # if all axes differ, the beginnings need not be the same
        return SELECT_COMMON
    options = " ".join(f"--{name} 0:{n}" for name, n in firsts.items())
    return f"{options} compares the beginning of both, if they are of one run"


def _share(array: ArrayDifference) -> str:
    if not array.mismatched or not array.total:
        return ""
    return percent(array.mismatched / array.total)


def _cosine(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    if value >= 1 - 1e-6:
        return f"{value:z.3f}"
    places = 3
    while places < 6 and round(value, places) == 1:  # it is not shown as 1
        places += 1
    return f"{value:z.{places}f}"


def _in_words(shape: tuple[int, ...]) -> str:
    steps, batch, units = shape
    return f"batch {batch} x {count(steps, 'step')} x {count(units, 'unit')}"


def _value_columns(arrays: Sequence[ArrayDifference]) -> Iterator[Column]:
    """Both values of the largest difference, with digits in which they differ."""
    places = [array.abs_at for array in arrays]
    a: list[float | None] = []
    b: list[float | None] = []
    digits = 0
    for at in places:
        if at is None:
            a.append(None)
            b.append(None)
            continue
        a.append(at.a)
        b.append(at.b)
        digits = max(digits, _digits_to_differ(at, TABLE_DIGITS))
    format = NumberFormat.of(a + b, digits)
    yield Column("a", list(map(format.text, a)))
    yield Column("b", list(map(format.text, b)))


def _digits_to_differ(place: Position, fewest: int) -> int:
    if place.a == place.b:
        return fewest
    for n in range(fewest, MOST_DIGITS):
        if format_number(place.a, n) != format_number(place.b, n):
            return n
    return MOST_DIGITS


# ---- what was not compared


def _not_compared(d: Difference, width: Width) -> Sheet:
    sheet = Sheet(width)
    for side, names in (("a", d.only_in_a), ("b", d.only_in_b)):
        if names:
            text = listed([name or "(unnamed)" for name in names], ARRAYS_NAMED)
            sheet.label(f"only in {side}", f"{text} (not compared)")
    sheet.labels("assumed", d.remarks, ASSUMED)
    return sheet


# ---- the first difference


def first_difference(d: Difference, width: Width, with_strips: bool) -> Sheet:
    """The strips of errors and the first difference."""
    arrays = d.arrays.values()
    several = [
        x
        for x in arrays
        if x.mismatched and x.step_errors is not None and len(x.step_errors) > 1
    ]
    sheet = Sheet(width)
    if several and with_strips:
        sheet.extend(strips(several, len(d.arrays) > 1, width))
    first = d.first_divergence
    if first is not None:
        enough = _digits_to_differ(first, DIGITS)
        a, b = (format_number(value, enough) for value in (first.a, first.b))
        where = d.position(first, named=len(d.arrays) > 1)
        texts = (where, f"a {a}", f"b {b}")
        sheet.label("first", phrases(texts))
    return sheet


# ---- hints


def hints_of(hints: Sequence[Hint], width: Width) -> Sheet:
    """The findings and suspicions, with a bullet for each possible cause."""
    sheet = Sheet(width)
    for hint in hints:
        if hint.code == "settings_differ":  # at the top of the sheet
            continue
        text = hint.seen
        if hint.causes:
            text = f"{text} Possible causes:"
        sheet.add()
        sheet.label(hint_label(hint), text)
        sheet.labels("", hint.causes, bullet="- ")
        sheet.label("", hint.excluded)
    return sheet


def hint_label(hint: Hint) -> str:
    """The label of a hint: it is proved, or only suspected."""
    if hint.code.startswith("suspect_"):
        return "suspects"
    return "found"


def _next(d: Difference, given: str | None, width: Width) -> Sheet:
    """How to compare arrays of other shapes by `diff`, and the command that searches the cause.

    If a command is ``given``, it stands alone.
    """
    sheet, command = Sheet(width), given
    if command is None:
        mismatched = (array for array in d.arrays.values() if array.mismatched is None)
        texts = dict.fromkeys(_to_be_typed(d, array) for array in mismatched)
        if len(texts) > 1:
            texts.pop(SELECT_COMMON, None)
        sheet.labels("next", texts)
        command = next_command(d)
    if command and sheet.lines:
        sheet.command("", command)
    elif command:
        sheet.command("next", command)
    if command and all(hint.code == "settings_differ" for hint in d.hints):
        sheet.lines.insert(0, [])
    return sheet


def next_command(d: Difference, expected: Side | None = None) -> str:
    """The command that searches for the cause; "" where no configuration of weights can be one.

    EXPECTED is by default the side without settings of a run, else b.
    """
    wrong = (array.name for array in d.arrays.values() if array.mismatched)
    computed = any(ArrayName.of(name).kind != WEIGHTS for name in wrong)
    if not computed or any(hint.code in NO_CONVENTION for hint in d.hints):
        return ""
    a, b = d.sides
    side = expected
    if side is None:
        side = b
        if a.settings is None and b.settings is not None:
            side = a
    layout = ""
    if any(hint.code == "suspect_layout" for hint in d.hints):
        layout = d.other_layout
    if side.in_memory:
        arguments = ["weights", "x", side.name]
        if layout:
            arguments.append(f"layout={layout!r}")
        return f"lstmcli.explain({', '.join(arguments)})"
    name = "EXPECTED"
    if side.name != STDIN:
        name = file_argument(side.name)
    weights = "WEIGHTS-OF-A"  # of the other side
    if side is a:
        weights = "WEIGHTS-OF-B"
    words = ["lstm", "explain", weights, "INPUTS", name]
    if layout:
        words.extend(("--layout", layout))
    return typed_command(*words)
