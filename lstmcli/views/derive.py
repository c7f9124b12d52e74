"""A derivation: the terms of a sum, then the equations with their numbers put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
from lstmcli.views.text import NumberFormat, verb

DIGITS = 8  # as NumPy prints, to find numbers by eye
TERMS_SHOWN = 20  # of a sum; a longer one shows its largest
Number = Scalar | Exact | None
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
        if self.asked is None:
            return DIGITS
        return self.asked

    def scalar(self, value: Scalar | Exact | None) -> str:
        """A number in an equation or a table; nothing for None."""
        if value is None:
            return ""
        return format_number(as_float(value), self.digits)

    def column(self, values: Sequence[Scalar | Exact | None]) -> list[str]:
        """Numbers of a column of a table, in one format; nothing for None."""
        numbers = [value if value is None else as_float(value) for value in values]
        return list(map(NumberFormat.of(numbers, self.digits).text, numbers))

    def result(self, value: Scalar) -> str:
        """The result of an equation."""
        if self.asked is None:
            return str(value)
        return format_number(float(value), self.asked)


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
    name = d.gate or "h"
    if at.prefix:
        name = f"{name} of {at.prefix[:-1]}"
    sheet = Sheet(width)
    sheet.add((f"{name}, {at.words}", "bold"))
    inputs = "inputs"
    if at.layer > 0:
        inputs = f"output of layer{at.layer - 1}"
    sheet.label("x", f"step {at.reads} of the {inputs}")
    if at.before is not None:
        state = f"after step {at.before}"
    elif at.carried:
        state = "the initial state"
    else:
        state = "zero at every step (state=reset)"
    sheet.label("state", f"h_prev and c_prev: {state}")
    if d.against is not None:
        reference = d.against
        if d.taken:
            reference = f"{reference}, interpreted as {' and '.join(d.taken)}"
        sheet.label("reference", reference)
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
        before = d.differs_before
        if before:
            names = f"{' and '.join(before)} of step {d.place.before}"
            sheet.label("", f"{names} {verb(len(before), 'differ')} already", indent=2)
    sheet.add()
    return sheet


# ---- the terms of a sum


def _terms(gate: str, total: Sum, detail: Detail, width: Width) -> Sheet:
    count = most = len(total.terms)
    if detail.most is not None and count > detail.most + 1:
        most = detail.most
    names, matrices = list[str](), list[str]()
    factors, weights = list[Number](), list[Number]()
    products, running = list[Number](), list[Number](total.running[:most])
    for term in total.terms[:most]:
        names.append(term.name)
        factors.append(term.factor)
        if term.matrix:
            weights.append(term.weight)
        else:
            weights.append(None)
        matrices.append(term.matrix)
        products.append(term.product)
    if count > most:  # a last row sums the others up
        names.append(f"{count - most} smaller")
        factors.append(None)
        weights.append(None)
        matrices.append("")
        products.append(total.rest(most))
        running.append(total.total)
    columns = [
        Column(f"sum_{gate}", names, "bold", left=True),
        Column("value", detail.column(factors)),
        Column("weight", detail.column(weights)),
        Column("of", matrices, left=True, rank=2),
        Column("term", detail.column(products)),
        Column("sum so far", detail.column(running), rank=1),
    ]
    sheet = fitting_table(columns, width, rule=width.table is not None)
    if count > most:
        sheet.add(f"the {most} largest of {count} terms: --terms all shows all")
    sheet.add()
    return sheet


# ---- the table of gates


def _is_in_table(line: FormulaLine) -> bool:
    is_gate = line.formula.endswith(f"(z_{line.name})")
    plain = is_gate or line.formula.startswith(("sum_", "1 - "))
    return plain and line.name not in ("c", "h")


class GateRow(NamedTuple):
    """A row of the table of gates."""

    label: str
    texts: Mapping[str, str]  # by gate
    style: str = ""


def _gates(d: Derivation, detail: Detail, width: Width) -> Sheet:
    rows = []
    for label, matrix, name in PARTS:
        sums = d.sums.items()
        texts = {gate: detail.scalar(total.part(matrix, name)) for gate, total in sums}
        rows.append(GateRow(label, texts))
    rows.extend(_rows_of_lines(_lines_of_gates(d, "z_"), "z", detail))
    gates = _lines_of_gates(d, "")
    functions = {
        gate: line.formula.partition(f"(z_{line.name})")[0]
        for gate, line in gates.items()
    }
    rows.append(GateRow("", functions))
    rows.extend(_rows_of_lines(gates, "gate", detail))
    rows = [row for row in rows if any(row.texts.values())]
    columns = [Column("", [row.label for row in rows], "dim", left=True)]
    for gate in GATES:
        column = [row.texts.get(gate, "") for row in rows]
        columns.append(Column(gate, column, rank=1))
    sheet = fitting_table(columns, width)
    for line, row in zip(sheet.lines[1:], rows, strict=False):
        line[1:] = [(text, row.style) for text, _ in line[1:]]
    return sheet


def _lines_of_gates(d: Derivation, prefix: str) -> dict[str, FormulaLine]:
    """The equation of each gate, or with ``z_`` of its pre-activation."""
    lines = {line.name: line for line in d.lines}
    names = {gate: f"{prefix}{gate}" for gate in GATES}
    return {gate: lines[name] for gate, name in names.items() if name in lines}


def _rows_of_lines(
    lines: Mapping[str, FormulaLine], label: str, detail: Detail
) -> Iterator[GateRow]:
    """The values of equations, and those of the reference below."""
    values = {gate: detail.scalar(line.value) for gate, line in lines.items()}
    yield GateRow(label, values, "bold")
    given = {gate: line for gate, line in lines.items() if line.theirs is not None}
    style = AGREES
    if any(line.agrees is False for line in given.values()):
        style = DIFFERS
    references = {gate: detail.scalar(line.theirs) for gate, line in given.items()}
    yield GateRow(" reference", references, style)


# ---- equations


def _equation(line: FormulaLine, d: Derivation, detail: Detail, width: Width) -> Sheet:
    sheet = Sheet(width)
    sides = [line.formula]
    if NAME.fullmatch(line.formula) is None:
        numbers = {name: detail.scalar(number) for name, number in line.numbers.items()}
        sides.append(
            NAME.sub(lambda match: numbers.get(match[0]) or match[0], line.formula)
        )
    name, style = line.name, "bold"
    for text in sides:
        pieces = wrap(text, max(width.prose - 8, 30), break_long_words=False)
        sign = "="
        for piece in pieces:
            sheet.add((f"{name:5} {sign} ", style), piece)
            name, sign = "", " "
        style = ""
    result = detail.result(line.value)
    sheet.add(("      = ", ""), (result, "bold"))
    if line.theirs is not None:
        style = DIFFERS
        if line.agrees:
            style = AGREES
        sheet.label("reference", _reference(line, d, detail), style)
    return sheet


def _reference(line: FormulaLine, d: Derivation, detail: Detail) -> str:
    assert line.theirs is not None
    value = detail.result(line.theirs)
    if line.agrees:
        return f"{value}   agrees"
    difference = format_size(abs(float(line.value) - float(line.theirs)))
    text = f"{value}   differs by {difference}"
    if line is not d.first_difference:
        return text
    if d.differs_before:
        return f"{text}, the first of this step to differ"
    return f"{text}, the first to differ"


# ---- the end


def _closing(d: Derivation, width: Width) -> Sheet:
    sheet, first = Sheet(width), d.first_difference
    if d.outputs is not None and d.place.unit >= d.outputs:
        text = f"the projection gives {d.outputs} numbers: unit {d.place.unit} has no h"
        sheet.label("h", text)
    if d.gate is None:
        gate = "f"
        if first is not None and first.name in GATES:
            gate = first.name
        sheet.label("next", f"--gate {gate} shows every term of a gate")
    return sheet
