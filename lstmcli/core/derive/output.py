"""The derivation of y: the sum over h of one output, then the activation of the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.derive.derivation import Derivation, StepPosition
from lstmcli.core.derive.derive import numbers_in
from lstmcli.core.derive.formulas import FormulaLine, Scalar, Sum, Term, rounded
from lstmcli.core.diff.compare import placed_on
from lstmcli.core.diff.operand import Side
from lstmcli.core.forward.head import activated, head_output
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_before_head
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs, Model, from_time_major
from lstmcli.core.model.surroundings import EACH, FINAL_Y, STEPS, Dense, Head, Y
from lstmcli.errors import UserError

OF_LAYERS = "the head has no dense layer: its activation is all there is to show."


def derive_output(
    model: Model,
    inputs: Inputs,
    step: int,
    output: int,
    *,
    batch: int = 0,
    against: Side | None = None,
) -> Derivation:
    """The arithmetic of one output of the head, at a step or for a sequence.

    Where the head has several dense layers, the terms are those of the last.
    """
    if model.head is None:
        text = "the model has no head that makes y."
        raise UserError(text, about={"array": Y}, try_={"head": ...})
    plan = prepare(model, inputs, ("h", Y))
    head = plan.model.head
    assert head is not None
    before = run_before_head(plan)  # (T, B, P), or (B, P)
    place = _place(plan, head, before, (step, batch, output))
    of_step = before[place.step] if before.ndim == 3 else before
    h = of_step[place.batch]
    total, lines = _derived(head, h, place.unit)
    found = Derivation(place, Y, {Y: total}, lines, plan=plan)
    if against is None:
        return found
    y = head_output(head, before)
    return _with_reference(found, plan, y, against)


def _place(
    plan: Plan, head: Head, before: Array, where: tuple[int, int, int]
) -> StepPosition:
    step, batch, unit = numbers_in(plan, head.width(before.shape[-1]), where)
    if head.output == FINAL_Y and step != plan.steps - 1:
        text = f"y is one output of each sequence, {STEPS[head.steps]}: the last step shows it."
        raise UserError(text, about={"steps": where[0]}, try_={"steps": -1})
    is_last = head.steps != EACH or step == plan.steps - 1
    last_layer = len(plan.model.layers) - 1
    return StepPosition(
        last_layer, 0, "", step, batch, unit, step, None, is_last=is_last
    )


def _derived(head: Head, h: Array, output: int) -> tuple[Sum, tuple[FormulaLine, ...]]:
    """The sum of an output of the last dense layer, and the lines up to y."""
    of_kernels = [n for n, one in enumerate(head.layers) if one.kernel is not None]
    if not of_kernels:
        raise UserError(OF_LAYERS, about={"array": Y})
    at = of_kernels[-1]
    taken = head_output(replace(head, layers=head.layers[:at]), h)
    layer = head.layers[at]
    plain = replace(head, layers=(replace(layer, activation="identity"),))
    z = head_output(plain, taken)
    name = "h" if at == 0 else "x"
    total = Sum.of(_terms(layer, taken, output, name))
    once = rounded(total.total, z.dtype)
    of_sum = FormulaLine("z_y", "sum_y", {"sum_y": once}, z[output], once, False)
    activations = [one.activation for one in head.layers[at:]]
    return total, (of_sum, _activation_line(activations, z, output))


def _activation_line(activations: Sequence[str], z: Array, output: int) -> FormulaLine:
    """The line of y: the activations of the sums z (K,), of which some take all."""
    formula, value, wide = "z_y", z, z.astype(np.longdouble)
    for name in activations:
        if name == "identity":
            continue
        formula = f"{name}({formula})"
        value, wide = activated(name, value), activated(name, wide)
    once: Scalar = z.dtype.type(wide[output])
    return FormulaLine(Y, formula, {"z_y": z[output]}, value[output], once)


def _terms(layer: Dense, taken: Array, output: int, name: str) -> list[Term]:
    terms = []
    if layer.kernel is not None:
        weights = layer.kernel[:, output].astype(taken.dtype, copy=False)
        for n, weight in enumerate(weights):
            terms.append(Term(f"{name}[{n}]", weight, taken[n], "kernel"))
    if layer.bias is not None:
        terms.append(Term("bias", taken.dtype.type(layer.bias[output])))
    return terms


def _with_reference(found: Derivation, plan: Plan, y: Array, other: Side) -> Derivation:
    """The derivation with the reference's number at the line of y."""
    place = found.place
    name, step = FINAL_Y, 0
    if y.ndim == 3:
        name, step = Y, place.step
        y = from_time_major(y, plan.layout)
    elif plan.layout == "steps":
        y = y[0]
    run = Side("this run", {name: y}, plan.layout, in_memory=True)
    pairs, _ = placed_on(run, other, place.step, place.batch)
    pair = pairs.get(name)
    if pair is None or pair.agrees is None or not pair.placed:
        names = ", ".join(other.arrays) or "no array"
        raise UserError(f"{other.name} has {names}; a number for {name} is needed.")
    where = (step, place.batch, place.unit)
    theirs, agrees = pair.b.values[where], bool(pair.agrees[where])
    of_sum, of_y = found.lines
    of_y = replace(of_y, theirs=theirs, agrees=agrees)
    return replace(found, lines=(of_sum, of_y), against=other.name)
