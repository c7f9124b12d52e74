"""A check: a line for each engine, the most accurate ones, and where one first differs from us.

Of a program, whether it agrees, and what `diff` shows if it does not.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from lstmcli import __version__
from lstmcli.core.diff.metrics import Position
from lstmcli.core.explain.explanation import Explanation
from lstmcli.views.diff import HINT_INDENT, difference_sheet
from lstmcli.views.explain import title
from lstmcli.views.sheet import AGREES, DIFFERS, Column, Sheet, Width, fitting_table, labelled
from lstmcli.views.text import error_size, ulp_counts

if TYPE_CHECKING:
    from lstmcli.api.check import Check, ProgramCheck

OURS = "ours"
INDENT = 16  # columns of the labels
WITHIN_ROUNDING = (
    "more than the tolerance, but at most 4 times the distance of ours from the same run in long "
    "double: rounding, and no difference"
)


def check_sheet(check: Check, width: Width) -> Sheet:
    """The lines of a check."""
    sheet = Sheet()

    def add(label: str, text: str, style: str = "") -> None:
        sheet.extend(labelled(label, text, width, style, INDENT))

    if check.drawn is not None:
        add("drawn", f"inputs and the initial state, from seed {check.drawn}: none were given")
        sheet.add()
    sheet.extend(_engines(check, width))
    sheet.add()
    add(*_agreement(check))
    if rounded := _rounded(check):
        add("rounding", f"{', '.join(rounded)}: {WITHIN_ROUNDING}")
    some_in_float64 = any(row.float64_abs is not None for row in check.rows)
    for row in check.rows:
        name = row.engine.name
        if row.first is not None:
            in_dtype = f"{name} in {row.differs_in}" if some_in_float64 else name
            add("first mismatch", f"{in_dtype}: {_position(row.first)}", DIFFERS)
            if name in check.findings:
                add("finding", _finding(check.findings[name], name))
    if check.nearest:
        add("most accurate", f"{', '.join(check.nearest)} (vs. the same run in long double)")
    for row in check.rows:
        for note in row.notes:
            add("known", f"{row.engine.name}: {note}")
    for text in check.refused.values():
        add("left out", text)
    return sheet


def program_sheet(check: ProgramCheck, width: Width) -> Sheet:
    """The lines of a check of a program."""
    sheet = Sheet()
    if check.drawn is not None:
        text = f"inputs of one sequence, from seed {check.drawn}: none were given"
        sheet.extend(labelled("drawn", text, width, indent=HINT_INDENT))
    verb, style = ("agrees", AGREES) if check.equal else ("differs", DIFFERS)
    text = f"{check.program.name} {verb}; it ran for {check.seconds:.3g} s"
    sheet.extend(labelled("program", text, width, style, HINT_INDENT))
    sheet.add()
    sheet.extend(difference_sheet(check.difference, width=width, next=check.next))
    if not check.equal:
        text = "OUTPUTS is a file of what the program gives"
        text += ", INPUTS of what it gets" * (check.drawn is not None)
        sheet.extend(labelled("", text, width, indent=HINT_INDENT))
    return sheet


def _finding(e: Explanation, name: str) -> str:
    """The title of the explanation; explain may allow more for rounding than the tolerance here."""
    text = title(e, name)
    if e.verdict != "agrees" or e.measured is None:
        return text
    size = error_size(e.measured.max_abs)
    return f"{text[:-1]}, within what explain allows for rounding (greatest difference {size})."


def _engines(check: Check, width: Width) -> Sheet:
    """The errors of each engine against ours, and of all against the run in long double."""
    rows = check.rows
    names = [OURS, *(row.engine.name for row in rows)]
    versions = [__version__, *(_version(row.version) for row in rows)]
    truths = [check.truth_abs, *(row.truth_abs for row in rows)]
    times = [check.seconds, *(row.seconds for row in rows)]
    ulps = [row.of_run.worst("max_ulp") for row in rows]
    counts = ulp_counts([one if one is None or isfinite(one) else None for one in ulps])
    known = [_error(one) if one is not None and not isfinite(one) else "" for one in ulps]
    agreement = ["agrees" if row.equal else "differs" for row in rows]
    columns = [
        Column("engine", names, "bold", left=True),
        Column("version", versions, left=True, rank=1),
        Column("", ["", *agreement], left=True),
        Column("max abs", ["", *(_error(row.of_run.worst("max_abs")) for row in rows)]),
        Column("max rel", ["", *(_error(row.of_run.worst("max_rel")) for row in rows)], rank=3),
        Column("max ulp", ["", *map("".join, zip(counts, known, strict=True))], rank=2),
        Column("float64", ["", *(_error(row.float64_abs) for row in rows)], rank=1),
        Column("long double", [_error(truth) for truth in truths]),
        Column("ms", [f"{1000 * time:.3g}" for time in times], rank=4),
    ]
    return fitting_table([column for column in columns if any(column.cells)], width)


def _version(version: str) -> str:
    """``3.15.1 torch`` for ``3.15.1 on torch 2.13.0``, for the sake of the other columns."""
    engine, _, backend = version.partition(" on ")
    return f"{engine} {backend.partition(' ')[0]}".rstrip()


def _error(value: float | None) -> str:
    """An error; NaN and infinity as JSON has them."""
    if value is None or isfinite(value):
        return error_size(value)
    return "NaN" if value != value else "Infinity"


def _rounded(check: Check) -> list[str]:
    """The engines that agree although a difference is beyond the tolerance."""
    return [row.engine.name for row in check.rows if row.equal and row.within_rounding]


def _agreement(check: Check) -> tuple[str, str, str]:
    """Label, text and style of the line about all engines."""
    count = len(check.rows)
    differing = [row.engine.name for row in check.rows if not row.equal]
    ulp, difference = check.rows[0].ulp, check.rows[0].of_run.difference
    if ulp is not None and difference.rtol is None:
        tolerance = f"{ulp} ULP"
    else:
        tolerance = f"rtol {difference.rtol:g}, atol {difference.atol:g}"
        tolerance += ", or rounding" * bool(_rounded(check))
    if differing:
        agreeing = f"{count - len(differing)} of {count} agree within {tolerance}"
        return "differs", f"{', '.join(differing)}; {agreeing}", DIFFERS
    return "agree", f"{count} engine{'s' * (count > 1)} within {tolerance}", AGREES


def _position(at: Position) -> str:
    """``h, step 3, batch 1, unit 0: 0.5, ours 0.4``."""
    place = at.to_json()
    axes = [
        f"{axis} {place[axis]}" for axis in ("step", "batch", "unit") if place[axis] is not None
    ]
    return f"{at.array}, {', '.join(axes)}: {place['a']}, ours {place['b']}"
