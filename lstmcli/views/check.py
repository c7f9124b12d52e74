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
from lstmcli.views.text import error_sizes, ulp_count

if TYPE_CHECKING:
    from lstmcli.api.check import Check, ProgramCheck

OURS = "lstm"
WITHIN_ROUNDING = (
    "beyond the tolerance, but at most 4 times the error of this run against long double, so it "
    "counts as rounding"
)


def check_sheet(check: Check, width: Width) -> Sheet:
    """The lines of a check."""
    sheet = verdict(*_agreement(check), width)
    sheet.section(header_sheet(check.job.plan(), width))

    def add(label: str, text: str, style: str = "") -> None:
        sheet.label(label, text, style)

    if check.drawn is not None:
        add(
            "drawn",
            f"inputs and the initial state, from seed {check.drawn}: none were given",
        )
        sheet.add()
    sheet.extend(_engines(check, width))
    sheet.add()
    if rounded := _rounded(check):
        add("rounding", f"{', '.join(rounded)}: {WITHIN_ROUNDING}")
    some_in_float64 = any(row.float64_abs is not None for row in check.rows)
    for row in check.rows:
        name = row.engine.name
        if row.first is not None:
            in_dtype = f"{name} in {row.differs_in}" if some_in_float64 else name
            at = row.first
            add(
                "first",
                f"{in_dtype}: {at.array}, {at.words()}: {at.a}, {OURS} {at.b}",
                DIFFERS,
            )
            if name in check.findings:
                add("finding", _finding(check.findings[name], name))
    if check.nearest:
        names = ", ".join(check.nearest).replace("ours", OURS)
        add("nearest", f"{names}: most accurate, by the same run in long double")
    for row in check.rows:
        for note in row.notes:
            add("known", f"{row.engine.name}: {note}")
    for text in check.refused.values():
        add("left out", text)
    return sheet


def program_sheet(check: ProgramCheck, width: Width) -> Sheet:
    """The lines of a check of a program."""
    words, color = ("agrees with", AGREES) if check.equal else ("differs from", DIFFERS)
    sheet = verdict(f"{check.program.name} {words} lstm run", color, width)
    sheet.section(header_sheet(check.job.plan(), width))
    if check.drawn is not None:
        text = f"inputs of one sequence, from seed {check.drawn}: none were given"
        sheet.label("drawn", text)
        sheet.add()
    sheet.extend(difference_sheet(check.difference, width=width, next=check.next))
    if not check.equal and not check.saved:
        text = "OUTPUTS is a file of what the program gives"
        text += ", INPUTS of what it gets" * (check.drawn is not None)
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
    rows = check.rows
    names = [OURS, *(row.engine.name for row in rows)]
    versions = [__version__, *(_version(row.version) for row in rows)]
    truths = [check.truth_abs, *(row.truth_abs for row in rows)]
    times = [check.seconds, *(row.seconds for row in rows)]
    ulps = [ulp_count(row.of_run.worst("max_ulp")) for row in rows]
    agreement = ["agrees" if row.equal else "differs" for row in rows]

    def largest(name: str) -> list[str]:
        return error_sizes([None, *(row.of_run.worst(name) for row in rows)])

    columns = [
        Column("engine", names, "bold", left=True),
        Column("version", versions, left=True, rank=1),
        Column("result", ["", *agreement], left=True),
        Column("max abs", largest("max_abs")),
        Column("max rel", largest("max_rel"), rank=3),
        Column("max ulp", ["", *ulps], rank=2),
        Column(
            "float64", error_sizes([None, *(row.float64_abs for row in rows)]), rank=1
        ),
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
    tolerance = f"rtol {rtol}, atol {atol}" + ", or rounding" * bool(_rounded(check))
    if check.ulp is not None and difference.rtol is None:
        tolerance = f"{check.ulp} ULP"
    if differing:
        verb = "differs" if len(differing) == 1 else "differ"
        agreeing = (
            f"{count - len(differing)} of {count} engines agree within {tolerance}"
        )
        return f"{', '.join(differing)} {verb}; {agreeing}", DIFFERS
    names = ", ".join(row.engine.name for row in check.rows)
    return f"{names} agree{'s' * (count == 1)} with {OURS} within {tolerance}", AGREES
