"""A derivation: a position in a run, and the sums and lines that lead to its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lstmcli.core.derive.formulas import FormulaLine, Scalar, Sum, as_float, rounded
from lstmcli.core.forward.plan import Plan
from lstmcli.errors import UserError
from lstmcli.outputs import jsonable


@dataclass(frozen=True)
class StepPosition:
    """The position of a number in a run, and what its step starts from."""

    layer: int
    direction: int
    prefix: str  # of names in the trace: "layer1_reverse."; "" of a single cell
    step: int  # in the trace
    batch: int
    unit: int
    reads: int  # the step of the inputs that the cell takes
    before: int | None  # the step of the trace that left h and c; None: no step did
    carried: bool = True  # False: h and c are zero at every step
    is_last: bool = False  # the sequence's last computed one: final_h is its h

    @property
    def words(self) -> str:
        """``step 1, batch 0, unit 0``."""
        return f"step {self.step}, batch {self.batch}, unit {self.unit}"


@dataclass(frozen=True, eq=False, repr=False)
class Derivation:
    """The arithmetic of a unit at a step."""

    place: StepPosition
    gate: str | None  # None: all gates
    sums: Mapping[str, Sum]  # by gate; "h" of a projection
    lines: tuple[FormulaLine, ...]  # in the order of computation
    outputs: int | None = None  # of a projection: how many numbers h has
    against: str | None = None  # the name of the other side
    taken: tuple[str, ...] = ()  # what of the run the other side is, if not all
    differs_before: tuple[str, ...] = ()  # which of h and c before the step differ
    plan: Plan | None = None  # of the run

    def __repr__(self) -> str:
        """``<Derivation of f: step 1, batch 0, unit 0; f 0.75, c -0.32, h -0.05>``."""
        at = self.place
        what = f"{at.prefix}{self.gate or 'h'}"
        shown = [line for line in self.lines if line.name in (self.gate, "c", "h")]
        values = ", ".join(f"{line.name} {float(line.value):.6g}" for line in shown)
        return f"<Derivation of {what}: {at.words}; {values}>"

    def line(self, name: str) -> FormulaLine:
        """The line of a name: ``z_f``, ``f``, ``c``, ``h``.

        Raises
        ------
        UserError
            naming the lines that there are.
        """
        if isinstance(name, str):
            for line in self.lines:
                if line.name == name:
                    return line
        names = ", ".join(line.name for line in self.lines)
        raise UserError(f"there is no line {name!r}; the lines are {names}.")

    @property
    def first_difference(self) -> FormulaLine | None:
        """The first line of which the other side has another number."""
        return next((line for line in self.lines if line.agrees is False), None)

    def to_json(self) -> dict[str, Any]:
        """All terms and lines as JSON values."""
        at, first = self.place, self.first_difference
        return {
            "cell": at.prefix[:-1] or None,
            "step": at.step,
            "batch": at.batch,
            "unit": at.unit,
            "gate": self.gate,
            "input_step": at.reads,
            "previous_step": at.before,
            "sums": {name: _sum_json(one) for name, one in self.sums.items()},
            "lines": [_line_json(line) for line in self.lines],
            "against": self.against,
            "first_difference": first.name if first else None,
            "differs_before": list(self.differs_before),
            "assumed": [] if self.plan is None else self.plan.assumed,
        }


def _sum_json(one: Sum) -> dict[str, Any]:
    dtype = one.terms[0].weight.dtype
    terms = []
    for term, running in zip(one.terms, one.running, strict=True):
        json = {
            "name": term.name,
            "matrix": term.matrix or None,
            "value": _plain(term.factor),
            "weight": _plain(term.weight),
            "term": jsonable(as_float(term.product)),
            "running_sum": jsonable(as_float(running)),
        }
        terms.append(json)
    return {"sum": _plain(rounded(one.total, dtype)), "terms": terms}


def _line_json(line: FormulaLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "formula": line.formula,
        "numbers": {name: _plain(number) for name, number in line.numbers.items()},
        "value": _plain(line.value),
        "rounded_once": _plain(line.rounded_once),
        "ulps": line.ulps,
        "in_trace": line.in_trace,
        "theirs": _plain(line.theirs),
        "agrees": line.agrees,
    }


def _plain(number: Scalar | None) -> Any:
    if number is None:
        return None
    return jsonable(float(str(number)))
