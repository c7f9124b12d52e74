"""A derivation: the terms of a sum, then the equations with their numbers put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.formulas import Exact, FormulaLine, Scalar, Sum, as_float
from lstmcli.core.model.selection import format_number, format_size
from lstmcli.core.model.surroundings import EACH, STEPS, Y
from lstmcli.core.model.vocabulary import GATES
from lstmcli.views.sheet import (
    AGREES,
    DIFFERS,
    Column,
    Sheet,
    Width,
    fitting_table,
    verdict,
)
from lstmcli.views.text import NumberFormat

DIGITS = 8  # as NumPy prints, to find numbers by eye
TERMS_SHOWN = 20  # of a sum; a longer one shows its largest
NAME = re.compile(r"[A-Za-z_]\w*")  # in a formula
PARTS = (
    ("x * kernel", "kernel", None),
    ("h_prev * recurrent", "recurrent", None),
    ("c * peephole", "peephole", None),
    ("bias", "", "bias"),
    ("forget bias", "", "forget bias"),
)
"""The parts of the sum of a gate: label, matrix of its terms, name of a single term."""


class Detail(NamedTuple):
    """How much is shown."""

    asked: int | None = None  # digits of numbers; None: 8, and all of a result
    most: int | None = TERMS_SHOWN  # terms of a sum; None: all

    @property
    def digits(self) -> int:
        """Digits of the numbers in an equation."""
        return DIGITS if self.asked is None else self.asked

    def scalar(self, value: Scalar | Exact | None) -> str:
        """A number in an equation or a table; nothing for None."""
        return "" if value is None else format_number(as_float(value), self.digits)

    def column(self, values: Sequence[Scalar | Exact | None]) -> list[str]:
        """Numbers of a column of a table, in one format; nothing for None."""
        numbers = [None if value is None else as_float(value) for value in values]
        return [*map(NumberFormat.of(numbers, self.digits).text, numbers)]

    def result(self, value: Scalar) -> str:
        """The result of an equation."""
        return (
            str(value)
            if self.asked is None
            else format_number(float(value), self.asked)
        )


def derivation_sheet(d: Derivation, detail: Detail, width: Width) -> Sheet:
    """The terms of a gate, or a table of all gates; then every equation up to h."""
    sheet = _heading(d, width)
    sheet.add()
    if d.gate is None:
        sheet.extend(_gates(d, detail, width))
        sheet.add()
    lines = [line for line in d.lines if d.gate is not None or not _is_in_table(line)]
    for n, line in enumerate(lines):
        if n:
            sheet.add()
        gate = line.name[-1]
        if f"sum_{gate}" in line.formula and (d.gate is not None or line.name == "h"):
            sheet.extend(_terms(gate, d.sums[gate], detail, width))
        sheet.extend(_equation(line, d, detail, width))
    sheet.section(_closing(d, width))
    return sheet


def _heading(d: Derivation, width: Width) -> Sheet:
    at = d.place
    if d.gate == Y:
        return _heading_of_output(d, width)
    name = "h" if d.gate is None else d.gate
    cell = f" of {at.prefix[:-1]}" if at.prefix else ""
    inputs = "inputs" if at.layer == 0 else f"output of layer{at.layer - 1}"
    sheet = Sheet(width)
    sheet.add((f"{name}{cell}, {at.words}", "bold"))
    sheet.label("x", f"step {at.reads} of the {inputs}")
    first = "the initial state" if at.carried else "zero at every step (state=reset)"
    state = first if at.before is None else f"after step {at.before}"
    sheet.label("state", f"h_prev and c_prev: {state}")
    if d.against is not None:
        form = f", interpreted as {' and '.join(d.taken)}" if d.taken else ""
        sheet.label("reference", f"{d.against}{form}")
    return sheet


def _heading_of_output(d: Derivation, width: Width) -> Sheet:
    at, head = d.place, None
    if d.plan is not None:
        head = d.plan.head
    sheet = Sheet(width)
    place = f"step {at.step}, batch {at.batch}"
    if head is not None and head.steps != EACH:
        place = f"batch {at.batch}"
    sheet.add((f"y, {place}, output {at.unit}", "bold"))
    if head is not None:
        sheet.label("head", f"{head.text}, {STEPS[head.steps]}")
    if d.against is not None:
        sheet.label("reference", d.against)
    return sheet


def reference_verdict(d: Derivation, detail: Detail, width: Width) -> Sheet:
    """The verdict on the reference; nothing without one."""
    first = d.first_difference
    if d.against is None:
        return Sheet(width)
    if first is None or first.theirs is None:
        names = ", ".join(line.name for line in d.lines if line.theirs is not None)
        sheet = verdict(f"{d.against} agrees in {names}", AGREES, width)
    else:
        value, reference = detail.result(first.value), detail.result(first.theirs)
        values = f"{reference}, not {value}"
        sheet = verdict(
            f"{d.against} differs, first in {first.name}: {values}", DIFFERS, width
        )
        if before := d.differs_before:
            verb, names = (
                "differs" if len(before) == 1 else "differ",
                " and ".join(before),
            )
            text = f"{names} of step {d.place.before} {verb} already"
            sheet.label("", text, indent=2)
    sheet.add()
    return sheet


# ---- the terms of a sum


def _terms(gate: str, total: Sum, detail: Detail, width: Width) -> Sheet:
    count = len(total.terms)
    most = count if detail.most is None or count <= detail.most + 1 else detail.most
    shown, running = total.terms[:most], total.running[:most]
    products = [term.product for term in shown]
    names = [term.name for term in shown]
    rest = [""] * (count > most)
    if rest:
        names.append(f"{count - most} smaller")
        products.append(total.rest(most))
        running.append(total.total)
    weights = detail.column([t.weight if t.matrix else None for t in shown])
    columns = [
        Column(f"sum_{gate}", names, "bold", left=True),
        Column("value", detail.column([term.factor for term in shown]) + rest),
        Column("weight", weights + rest),
        Column("of", [term.matrix for term in shown] + rest, left=True, rank=2),
        Column("term", detail.column(products)),
        Column("sum so far", detail.column(running), rank=1),
    ]
    sheet = fitting_table(columns, width, rule=width.table is not None)
    if rest:
        sheet.add(f"the {most} largest of {count} terms: --terms all shows all")
    sheet.add()
    return sheet


# ---- the table of gates


def _is_in_table(line: FormulaLine) -> bool:
    is_gate = line.formula.endswith(f"(z_{line.name})")
    plain = is_gate or line.formula.startswith(("sum_", "1 - "))
    return plain and line.name not in ("c", "h")


def _gates(d: Derivation, detail: Detail, width: Width) -> Sheet:
    rows = [
        (
            label,
            {gate: detail.scalar(of.part(matrix, name)) for gate, of in d.sums.items()},
            "",
        )
        for label, matrix, name in PARTS
    ]
    rows = [row for row in (*rows, *_gate_rows(d, detail)) if any(row[1].values())]
    columns = [Column("", [label for label, _, _ in rows], "dim", left=True)]
    columns += [
        Column(g, [of_row.get(g, "") for _, of_row, _ in rows], rank=1) for g in GATES
    ]
    sheet = fitting_table(columns, width)
    for line, (_, _, style) in zip(sheet.lines[1:], rows, strict=False):
        line[1:] = [(text, style) for text, _ in line[1:]]
    return sheet


def _gate_rows(d: Derivation, detail: Detail) -> list[tuple[str, dict[str, str], str]]:
    lines = {line.name: line for line in d.lines}
    rows: list[tuple[str, dict[str, str], str]] = []
    for label, prefix in (("z", "z_"), ("gate", "")):
        names = {gate: f"{prefix}{gate}" for gate in GATES}
        of_gate = {gate: lines[name] for gate, name in names.items() if name in lines}
        if label == "gate":
            functions = {
                g: x.formula.partition(f"(z_{x.name})")[0] for g, x in of_gate.items()
            }
            rows.append(("", functions, ""))
        rows.append(
            (label, {g: detail.scalar(x.value) for g, x in of_gate.items()}, "bold")
        )
        given = {
            gate: line for gate, line in of_gate.items() if line.theirs is not None
        }
        style = (
            DIFFERS if any(line.agrees is False for line in given.values()) else AGREES
        )
        rows.append(
            (
                " reference",
                {g: detail.scalar(x.theirs) for g, x in given.items()},
                style,
            )
        )
    return rows


# ---- equations


def _equation(line: FormulaLine, d: Derivation, detail: Detail, width: Width) -> Sheet:
    sheet = Sheet(width)
    sides = [line.formula]
    if NAME.fullmatch(line.formula) is None:
        numbers = {name: detail.scalar(number) for name, number in line.numbers.items()}
        sides.append(
            NAME.sub(lambda match: numbers.get(match[0]) or match[0], line.formula)
        )
    for n, text in enumerate(sides):
        pieces = wrap(text, max(width.prose - 8, 30), break_long_words=False)
        for k, piece in enumerate(pieces):
            start = f"{line.name if n == 0 and k == 0 else '':5} {' ' if k else '='} "
            sheet.add((start, "bold" if n == 0 else ""), piece)
    result = detail.result(line.value)
    sheet.add(("      = ", ""), (result, "bold"))
    if line.theirs is not None:
        style = AGREES if line.agrees else DIFFERS
        sheet.label("reference", _reference(line, d, detail), style)
    return sheet


def _reference(line: FormulaLine, d: Derivation, detail: Detail) -> str:
    assert line.theirs is not None
    value = detail.result(line.theirs)
    if line.agrees:
        return f"{value}   agrees"
    first = (
        ", the first of this step to differ"
        if d.differs_before
        else ", the first to differ"
    )
    difference = format_size(abs(float(line.value) - float(line.theirs)))
    return f"{value}   differs by {difference}" + first * (line is d.first_difference)


# ---- the end


def _closing(d: Derivation, width: Width) -> Sheet:
    sheet, first = Sheet(width), d.first_difference
    if d.outputs is not None and d.place.unit >= d.outputs:
        text = f"the projection gives {d.outputs} numbers: unit {d.place.unit} has no h"
        sheet.label("h", text)
    if d.gate is None:
        gate = first.name if first is not None and first.name in GATES else "f"
        sheet.label("next", f"--gate {gate} shows every term of a gate")
    return sheet
