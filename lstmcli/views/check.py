"""A check: the verdict, a row for each engine, and where one first differs from our run.

Of a program, the verdict, and what `diff` shows if it differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstmcli._version import __version__
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.model.selection import format_size
from lstmcli.views.diff import difference_sheet
from lstmcli.views.explain import title
from lstmcli.views.header import header_sheet
from lstmcli.views.sheet import (
    AGREES,
    DIFFERS,
    Column,
    Sheet,
    Width,
    fitting_table,
    verdict,
)
from lstmcli.views.text import error_sizes, ulp_count, verb

if TYPE_CHECKING:
    from lstmcli.api.check import Check, Checked, ProgramCheck

OURS = "lstm"
WITHIN_ROUNDING = (
    "beyond the tolerance, but at most 4 times the error of this run against long double, so it "
    "counts as rounding"
)


def check_sheet(check: Check, width: Width) -> Sheet:
    """The lines of a check."""
    sheet = verdict(*_agreement(check), width)
    sheet.section(header_sheet(check.job.plan(), width))
    if check.drawn is not None:
        text = f"inputs and the initial state, from seed {check.drawn}: none were given"
        sheet.label("drawn", text)
        sheet.add()
    sheet.extend(_engines(check, width))
    sheet.add()
    rounded = _rounded(check)
    if rounded:
        sheet.label("rounding", f"{', '.join(rounded)}: {WITHIN_ROUNDING}")
    for row in check.rows:
        _add_first_difference(sheet, check, row)
    if check.nearest:
        names = ", ".join(check.nearest).replace("ours", OURS)
        text = f"{names}: most accurate, by the same run in long double"
        sheet.label("nearest", text)
    for row in check.rows:
        for note in row.notes:
            sheet.label("known", f"{row.engine.name}: {note}")
    for text in check.refused.values():
        sheet.label("left out", text)
    return sheet


def _add_first_difference(sheet: Sheet, check: Check, row: Checked) -> None:
    """Add where an engine first differs, and what `explain` finds in its outputs."""
    at = row.first
    if at is None:
        return
    name = row.engine.name
    in_dtype = name
    if any(other.float64_abs is not None for other in check.rows):
        in_dtype = f"{name} in {row.differs_in}"
    text = f"{in_dtype}: {at.array}, {at.words()}: {at.a}, {OURS} {at.b}"
    sheet.label("first", text, DIFFERS)
    if name in check.findings:
        sheet.label("finding", _finding(check.findings[name], name))


def program_sheet(check: ProgramCheck, width: Width) -> Sheet:
    """The lines of a check of a program."""
    words, color = "differs from", DIFFERS
    if check.equal:
        words, color = "agrees with", AGREES
    sheet = verdict(f"{check.program.name} {words} lstm run", color, width)
    sheet.section(header_sheet(check.job.plan(), width))
    if check.drawn is not None:
        text = f"inputs of one sequence, from seed {check.drawn}: none were given"
        sheet.label("drawn", text)
        sheet.add()
    sheet.extend(difference_sheet(check.difference, width=width, next=check.next))
    if not check.equal and not check.saved:
        text = "OUTPUTS is a file of what the program gives"
        if check.drawn is not None:
            text = f"{text}, INPUTS of what it gets"
        sheet.label("", text)
    return sheet


def _finding(e: Explanation, name: str) -> str:
    text = title(e, name)
    if e.verdict != "agrees" or e.measured is None:
        return text
    size = format_size(e.measured.max_abs)
    return (
        f"{text[:-1]}, within what explain allows for rounding (max difference {size})."
    )


def _engines(check: Check, width: Width) -> Sheet:
    # the first row is our run, which has no difference
    names, versions, results = [OURS], [__version__], [""]
    largest: list[float | None] = [None]
    relative: list[float | None] = [None]
    float64: list[float | None] = [None]
    ulps = [""]
    truths, times = [check.truth_abs], [check.seconds]
    for row in check.rows:
        names.append(row.engine.name)
        versions.append(_version(row.version))
        if row.equal:
            results.append("agrees")
        else:
            results.append("differs")
        largest.append(row.of_run.worst("max_abs"))
        relative.append(row.of_run.worst("max_rel"))
        ulps.append(ulp_count(row.of_run.worst("max_ulp")))
        float64.append(row.float64_abs)
        truths.append(row.truth_abs)
        times.append(row.seconds)
    columns = [
        Column("engine", names, "bold", left=True),
        Column("version", versions, left=True, rank=1),
        Column("result", results, left=True),
        Column("max abs", error_sizes(largest)),
        Column("max rel", error_sizes(relative), rank=3),
        Column("max ulp", ulps, rank=2),
        Column("float64", error_sizes(float64), rank=1),
        Column("long double", error_sizes(truths)),
        Column("ms", [f"{1000 * time:.3g}" for time in times], rank=4),
    ]
    return fitting_table(columns, width)


def _version(version: str) -> str:
    """``3.15.1 torch`` for ``3.15.1 on torch 2.13.0``, which is wide."""
    engine, _, backend = version.partition(" on ")
    return f"{engine} {backend.partition(' ')[0]}".rstrip()


def _rounded(check: Check) -> list[str]:
    return [row.engine.name for row in check.rows if row.equal and row.within_rounding]


def _agreement(check: Check) -> tuple[str, str]:
    count = len(check.rows)
    differing = [row.engine.name for row in check.rows if not row.equal]
    difference = check.rows[0].of_run.difference
    rtol, atol = (format_size(one or 0) for one in (difference.rtol, difference.atol))
    tolerance = f"rtol {rtol}, atol {atol}"
    if check.ulp is not None and difference.rtol is None:
        tolerance = f"{check.ulp} ULP"
    elif _rounded(check):
        tolerance = f"{tolerance}, or rounding"
    if differing:
        agreeing = count - len(differing)
        return (
            f"{', '.join(differing)} {verb(len(differing), 'differ')}; "
            f"{agreeing} of {count} engines agree within {tolerance}"
        ), DIFFERS
    names = ", ".join(row.engine.name for row in check.rows)
    return f"{names} {verb(count, 'agree')} with {OURS} within {tolerance}", AGREES
