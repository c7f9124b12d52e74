"""A derivation as a sheet: the terms of a sum, then equations with their numbers put in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

from lstmcli.core.derive.derivation import Derivation, StepPosition
from lstmcli.core.derive.exact_sum import Exact, Scalar, Sum, as_float
from lstmcli.core.derive.formulas import Line
from lstmcli.core.model.vocabulary import GATES
from lstmcli.views.numbers import format_number
from lstmcli.views.prose import STDIN, explain_command, labelled, room_of, to_copy
from lstmcli.views.sheet import AGREES, DIFFERS, Column, Sheet, Span, fit, table
from lstmcli.views.sizes import short

DIGITS = 8  # NumPy's, so that numbers can be found in a print by eye
MOST = 20  # terms of a sum; a longer one shows its largest
_NAMES = re.compile(r"[A-Za-z_]\w*")
_PARTS = {"kernel": "x * kernel", "recurrent": "h * recurrent", "peephole": "c * peephole"}
_INDENT = 11
_FIRST = ("first", "first of this step")  # of all, or where the state before differs already


class Detail(NamedTuple):
    """How much is shown, and the command line it belongs to."""

    asked: int | None = None  # digits of every number; None: 8, and all of a line's last number
    most: int | None = MOST  # terms of a sum; None: all
    paths: Sequence[str] = ()  # weights and inputs as typed
    options: Sequence[str] = ()  # settings, and what comes with the inputs, as typed

    @property
    def digits(self) -> int:
        """Digits of the numbers that go into a line."""
        return DIGITS if self.asked is None else self.asked

    def last(self, value: Scalar) -> str:
        """The number that a line comes to."""
        return str(value) if self.asked is None else format_number(float(value), self.asked)


def derivation_sheet(d: Derivation, detail: Detail, width: int | None) -> Sheet:
    """The terms of a gate, or all gates side by side; then every equation up to h.

    The last number of an equation is shown with all its digits. ``width`` is the terminal's; None
    leaves out nothing.
    """
    sheet = Sheet()
    sheet.extend(_heading(d, width))
    sheet.add()
    if d.gate is None:
        sheet.extend(_gates(d, detail))
        sheet.add()
    lines = [line for line in d.lines if d.gate is not None or not _in_table(line)]
    for n, line in enumerate(lines):
        if n:
            sheet.add()
        if f"sum_{line.name[-1]}" in line.formula and (d.gate is not None or line.name == "h"):
            sheet.extend(_terms(line.name[-1], d.sums[line.name[-1]], detail, width))
        sheet.extend(_equation(line, d, detail, width))
    closing = _closing(d, detail, width)
    if closing.lines:
        sheet.add()
        sheet.extend(closing)
    return sheet


def _heading(d: Derivation, width: int | None) -> Sheet:
    at = d.place
    what = "h" if d.gate is None else d.gate
    cell = f" of {at.prefix[:-1]}" if at.prefix else ""
    sheet = Sheet()
    sheet.add((f"{what}{cell}, step {at.step}, batch {at.batch}, unit {at.unit}", "bold"))
    sheet.extend(labelled("x", f"of step {at.reads} of the {_source(at)}", width, indent=_INDENT))
    sheet.extend(labelled("h, c_prev", _state(at), width, indent=_INDENT))
    if d.against is not None:
        taken = f", taken as {' and '.join(d.taken)}" if d.taken else ""
        sheet.extend(labelled("theirs", f"{d.against}{taken}", width, indent=_INDENT))
    return sheet


def _source(at: StepPosition) -> str:
    return "inputs" if at.layer == 0 else f"output of layer{at.layer - 1}"


def _state(at: StepPosition) -> str:
    if at.before is not None:
        return f"as step {at.before} left them"
    return "the initial state" if at.carried else "zero at every step (state=reset)"


# ---- the terms of a sum


def _terms(name: str, one: Sum, detail: Detail, width: int | None) -> Sheet:
    """A row for each term, the largest first, with the sum so far; the rest in one row."""
    count = len(one.terms)
    most = count if detail.most is None or count <= detail.most + 1 else detail.most
    shown, digits = one.terms[:most], detail.digits
    rest = count - most
    names = [term.name for term in shown] + [f"{rest} smaller"] * (rest > 0)
    products = [term.product for term in shown]
    running = one.running[:most]
    if rest:
        products.append(one.rest(most))
        running.append(one.total)
    blank = [""] * (rest > 0)
    columns = [
        Column(f"sum_{name}", names, "bold", left=True),
        Column("value", [_scalar(t.factor, digits) for t in shown] + blank),
        Column("weight", [_scalar(t.weight if t.matrix else None, digits) for t in shown] + blank),
        Column("of", [t.matrix for t in shown] + blank, "dim", left=True, rank=1),
        Column("term", [_exact(product, digits) for product in products]),
        Column("sum so far", [_exact(value, digits) for value in running]),
    ]
    sheet = table(fit(columns, width), rule=width is not None)
    if rest:
        sheet.add((f"the {most} largest of {count} terms: --terms all shows all", "dim"))
    sheet.add()
    return sheet


def _scalar(value: Scalar | None, digits: int) -> str:
    return "" if value is None else format_number(float(value), digits)


def _exact(value: Exact, digits: int) -> str:
    return format_number(as_float(value), digits)


# ---- all gates, side by side


def _in_table(line: Line) -> bool:
    """Whether the table of gates says all of a line."""
    plain = line.formula.startswith(("sum_", "1 - ")) or line.formula.endswith(f"(z_{line.name})")
    return plain and line.name not in ("c", "h")


def _gates(d: Derivation, detail: Detail) -> Sheet:
    """A column a gate: what its sum is made of, the pre-activation, and the gate."""
    lines = {line.name: line for line in d.lines}
    rows: list[tuple[str, dict[str, str], str]] = []
    for matrix, label in _PARTS.items():
        rows.append((label, _parts(d.sums, matrix, None, detail.digits), ""))
    for name in ("bias", "forget bias"):
        rows.append((name, _parts(d.sums, "", name, detail.digits), ""))
    for label, prefix in (("z", "z_"), ("gate", "")):
        of_gate = {gate: lines[f"{prefix}{gate}"] for gate in GATES if f"{prefix}{gate}" in lines}
        if label == "gate":
            rows.append(("", {gate: _function(line) for gate, line in of_gate.items()}, "dim"))
        values = {gate: format_number(float(x.value), detail.digits) for gate, x in of_gate.items()}
        rows.append((label, values, "bold"))
        if detail.asked is None:
            off = {gate: str(line.ulps) for gate, line in of_gate.items() if line.ulps}
            rows.append((" ULPs off", off, "dim"))
        theirs = {g: x for g, x in of_gate.items() if x.theirs is not None}
        style = DIFFERS if any(x.agrees is False for x in theirs.values()) else AGREES
        shown = {g: _scalar(x.theirs, detail.digits) for g, x in theirs.items()}
        rows.append((" theirs", shown, style))
    rows = [row for row in rows if row[1]]
    widths = {g: max(len(cells.get(g, "")) for _, cells, _ in rows) for g in GATES}
    sheet = Sheet()
    sheet.add((" " * 13 + "".join(f"  {gate:>{widths[gate]}}" for gate in GATES), "dim"))
    for label, cells, style in rows:
        text = "".join(f"  {cells.get(gate, ''):>{widths[gate]}}" for gate in GATES)
        sheet.add((f"{label:13}", "dim"), (text, style))
    return sheet


def _parts(sums: Mapping[str, Sum], matrix: str, name: str | None, digits: int) -> dict[str, str]:
    """What a part of each sum comes to, where the sum has it."""
    return {
        gate: _exact(sums[gate].part(matrix, name), digits)
        for gate in GATES
        if gate in sums
        and any(t.matrix == matrix and name in (None, t.name) for t in sums[gate].terms)
    }


def _function(line: Line) -> str:
    return line.formula.partition(f"(z_{line.name})")[0]


# ---- equations


def _equation(line: Line, d: Derivation, detail: Detail, width: int | None) -> Sheet:
    """``f = sigmoid(z_f)``, the same in numbers, and what it comes to."""
    sheet = Sheet()
    room = room_of(width)
    rows = [line.formula]
    if _NAMES.fullmatch(line.formula) is None:
        rows.append(_put_in(line.formula, line.numbers, detail.digits))
    for n, text in enumerate(rows):
        for k, piece in enumerate(wrap(text, max(room - 8, 30), break_long_words=False)):
            start = f"{line.name if n == 0 and k == 0 else '':5} {' ' if k else '='} "
            sheet.add((start, "bold" if n == 0 else ""), piece)
    spans: list[Span] = [("      = ", ""), (detail.last(line.value), "bold")]
    if _rounding_shows(line, detail):
        plural = "s" if line.ulps != 1 else ""
        once = f"{detail.last(line.rounded_once)}, {line.ulps} ULP{plural} away"
        spans.append((f"   rounded once: {once}", "dim"))
    elif _sum_is_longer(line, d, detail):
        spans.append(("   the sum, rounded once", "dim"))
    elif line.ulps is None:
        spans.append((f"   worked out here: {detail.last(line.rounded_once)}", "dim"))
    sheet.add(*spans)
    if line.theirs is not None:
        first = _FIRST[bool(d.differs_before)] if line is d.first_difference else ""
        sheet.add(*_theirs(line, first, detail))
    return sheet


def _rounding_shows(line: Line, detail: Detail) -> bool:
    """Whether a single rounding gives other digits, of those that are shown."""
    return bool(line.ulps) and detail.last(line.value) != detail.last(line.rounded_once)


def _sum_is_longer(line: Line, d: Derivation, detail: Detail) -> bool:
    """Whether the exact sum, as it is shown, has digits that the number type does not hold."""
    if detail.asked is None or line.ulps is None or line.formula != f"sum_{line.name[-1]}":
        return False
    return detail.last(line.value) != _exact(d.sums[line.name[-1]].total, detail.asked)


def _put_in(formula: str, numbers: Mapping[str, Scalar], digits: int) -> str:
    """The formula with numbers in the place of names."""

    def value(match: re.Match[str]) -> str:
        word = match[0]
        return format_number(float(numbers[word]), digits) if word in numbers else word

    return _NAMES.sub(value, formula)


def _theirs(line: Line, first: str, detail: Detail) -> list[Span]:
    assert line.theirs is not None
    label: Span = ("theirs  ", "dim")
    if line.agrees:
        return [label, (f"{detail.last(line.theirs)}   agrees", AGREES)]
    apart = f"differs by {short(abs(float(line.value) - float(line.theirs)))}"
    apart += f", the {first} to differ" * bool(first)
    return [label, (f"{detail.last(line.theirs)}   {apart}", DIFFERS)]


# ---- what there is to say at the end


def _closing(d: Derivation, detail: Detail, width: int | None) -> Sheet:
    sheet = Sheet()
    first = d.first_difference
    if d.outputs is not None and d.place.unit >= d.outputs:
        text = f"the projection gives {d.outputs} numbers: unit {d.place.unit} has no h of its own"
        sheet.extend(labelled("h", text, width, indent=_INDENT))
    if first is not None and first.theirs is not None:
        text = f"{first.name}: {detail.last(first.value)} / {detail.last(first.theirs)}"
        text = f"first{' of this step' * bool(d.differs_before)} in {text}"
        sheet.extend(labelled("differs", text, width, DIFFERS, _INDENT))
        if d.differs_before:
            verb = "differs" if len(d.differs_before) == 1 else "differ"
            text = f"{' and '.join(d.differs_before)} of step {d.place.before} {verb} already"
            sheet.extend(labelled("before", text, width, DIFFERS, _INDENT))
    elif d.against is not None:
        names = [line.name for line in d.lines if line.theirs is not None]
        sheet.extend(
            labelled("agrees", f"{', '.join(names)}: all they have", width, AGREES, _INDENT)
        )
    hidden = d.gate is None and detail.asked is not None  # the table of gates then tells no ULPs
    if any(_rounding_shows(x, detail) and not (hidden and _in_table(x)) for x in d.lines):
        text = (
            "what the numbers of a line give with a single rounding. The run rounds after each "
            "operation; the last number of a line is the run's, bit for bit."
        )
        sheet.extend(labelled("rounded once", text, width, "dim", _INDENT + 3))
    if first is not None:
        name = "EXPECTED" if d.against in (None, STDIN) else str(d.against)
        command = explain_command(detail.paths, name, detail.options)
        sheet.extend(to_copy("next", command, _INDENT))
    elif d.gate is None:
        sheet.extend(labelled("next", "--gate f shows every term of a gate", width, indent=_INDENT))
    return sheet
