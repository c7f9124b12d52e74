"""The derivation of one number of a run: its position, its operands and its equations."""

from __future__ import annotations

import numpy as np

from lstmcli.core.derive.against import with_reference
from lstmcli.core.derive.derivation import Derivation, StepPosition
from lstmcli.core.derive.formulas import UnitAtStep
from lstmcli.core.diff.operand import Side
from lstmcli.core.forward.plan import NAMES, Plan, prepare
from lstmcli.core.forward.run import run_plan
from lstmcli.core.forward.sequence import merge_directions, padding_rule
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs, Model, Trace, cell_name, similar_cell
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, refuse_unprintable


def derive(
    model: Model,
    inputs: Inputs,
    step: int,
    unit: int,
    gate: str | None = None,
    *,
    batch: int = 0,
    cell: str | None = None,
    against: Side | None = None,
) -> Derivation:
    """The arithmetic of one unit at one step of a run.

    Parameters
    ----------
    model, inputs
        of the run; all of the batch is run, since the bits of a sequence may depend on it.
    step, batch, unit
        indices in the trace, from 0; a negative one counts from the end. Where ``cell`` is not
        given, a unit of both directions side by side is one of its cell too.
    gate
        ``i``, ``f``, ``g`` or ``o``: this gate, then c and h; without it all gates.
    cell
        of several cells, the name of one: ``layer0``, ``layer1_reverse``.
    against
        another implementation's results; each line for which they have a number gets it.

    Raises
    ------
    UserError
        for an index out of range, or a step that lengths or a mask leave out; and as `run`.
    """
    if gate is not None and gate not in (*GATES,):
        raise UserError(f"there is no gate {gate!r}; the gates are {', '.join(GATES)}.")
    for noun, at in (("step", step), ("unit", unit), ("batch", batch)):
        refuse_unprintable(at, f"derive: {noun}")
        if not isinstance(at, int | np.integer):
            raise UserError(f"derive: {noun} is {at!r}; it takes a whole number.")
    if model.convention.behaviour.arithmetic != "float":
        raise UserError(
            "derive shows products of the numbers as they are; this model rounds inputs and h to "
            "8 bits.",
            try_={"arithmetic": "float"},
        )
    (layer, direction), unit = _chosen_cell(model, cell, unit)
    plan = prepare(model, inputs, NAMES)
    place = _place(plan, layer, direction, (step, batch, unit))
    trace = run_plan(plan)
    computed = {k: trace.time_major(f"{place.prefix}{k}")[place.step, place.batch] for k in NAMES}
    one = model.layers[layer][direction]
    moment = UnitAtStep(one, place.unit, *_entering(plan, trace, place), computed)
    with np.errstate(all="ignore"):
        moment.derive(gate)
    outputs = None if one.projection is None else one.outputs
    found = Derivation(place, gate, moment.sums, tuple(moment.lines), outputs)
    return found if against is None else with_reference(found, trace, model, against)


def _chosen_cell(model: Model, name: str | None, unit: int) -> tuple[tuple[int, int], int]:
    """Layer and direction of the cell of a name, or of the only one; and the unit there."""
    places = [(n, d) for n, layer in enumerate(model.layers) for d in range(len(layer))]
    names = [known for known, _ in model.cells]
    if name is None and len(names) == 1:
        return places[0], unit
    if name in names:
        return places[names.index(name)], unit
    if name is None and (found := _cell_of_output(model, unit)):
        return found
    listed = ", ".join(names)
    if name is None:
        raise UserError(
            f"the model has {len(names)} cells: {listed}; say which.", try_={"cell": names[-1]}
        )
    raise UserError(f"there is no cell {name!r}; there is {listed}.{similar_cell(name, names)}")


def _cell_of_output(model: Model, unit: int) -> tuple[tuple[int, int], int] | None:
    """The cell and its unit of one of the model's outputs, where only one cell can be meant.

    That is so if the outputs are those of both directions side by side, and either there is no
    other layer or no cell has so many units.
    """
    last, cells = model.layers[-1], [cell for _, cell in model.cells]
    if len(last) == 1 or last[0].convention.behaviour.merge != "concat":
        return None
    if any(cell.projection is not None for cell in last):
        return None
    if len(model.layers) > 1 and unit < max(cell.units for cell in cells):
        return None
    units, layer = last[0].units, len(model.layers) - 1
    at = _number(unit, sum(cell.units for cell in last), "unit")
    return ((layer, 0), at) if at < units else ((layer, 1), at - units)


def _place(plan: Plan, layer: int, direction: int, where: tuple[int, int, int]) -> StepPosition:
    """The position of a number, checked, with the step before it and the step of its inputs."""
    model = plan.model
    cell = model.layers[layer][direction]
    sizes, nouns = (plan.steps, plan.batch, cell.units), ("step", "batch", "unit")
    step, batch, unit = map(_number, where, sizes, nouns)
    order = StepOrder.of_cell(cell.convention.behaviour, direction == 1)
    reads, shown = (
        steps[:, batch if steps.shape[1] > 1 else 0]  # (T,)
        for steps in processed_steps(order, plan.steps, plan.valid)
    )
    at = int(np.flatnonzero(shown == step)[0])  # in the order of the loop
    rule = padding_rule(cell, plan.masked, len(model.layers[layer]) == 2)
    if plan.valid is not None and not plan.valid[reads[at], batch] and rule != "run":
        by = "the mask" if plan.masked else "its length"
        raise UserError(
            f"step {step} of batch {batch} is left out by {by}: nothing is computed there."
        )
    several = len(model.cells) > 1
    prefix = f"{cell_name(layer, direction)}." if several else ""
    carried = at == 0 or cell.convention.behaviour.state != "reset"
    before = int(shown[at - 1]) if at and carried else None
    later = reads[at + 1 :]
    is_last = not (len(later) if plan.valid is None else plan.valid[later, batch].any())
    return StepPosition(
        layer, direction, prefix, step, batch, unit, int(reads[at]), before, carried, is_last
    )


def _entering(plan: Plan, trace: Trace, place: StepPosition) -> tuple[Array, Array, Array]:
    """x (I,), h (P,) and c (H,) that the step takes."""
    cell = plan.model.layers[place.layer][place.direction]
    x = _inputs(plan, trace, place.layer)[place.reads, place.batch]
    with np.errstate(all="ignore"):
        x = x.astype(cell.dtype)
    if place.before is not None:
        names = (f"{place.prefix}{k}" for k in "hc")
        h, c = (trace.time_major(n)[place.before, place.batch] for n in names)
    else:
        number = sum(map(len, plan.model.layers[: place.layer])) + place.direction
        h, c = (a[place.batch] for a in plan.states[number])
        if not place.carried:
            h, c = np.zeros_like(h), np.zeros_like(c)
    return x, h, c


def _inputs(plan: Plan, trace: Trace, layer: int) -> Array:
    """(T, B, I) of a layer: the model's, or what the layer below gives."""
    if layer == 0:
        return plan.block()
    below = plan.model.layers[layer - 1]
    names = (f"{cell_name(layer - 1, d)}.h" for d in range(len(below)))
    return merge_directions([trace.time_major(n) for n in names], below[0].convention, None)


def _number(at: int, size: int, noun: str) -> int:
    """A number from 0 to size - 1; a negative one counts from the end."""
    if -size <= at < size:
        return at % size
    plural = "batches" if noun == "batch" else f"{noun}s"
    what = f"there is one {noun}, {noun} 0" if size == 1 else f"{plural} are 0 to {size - 1}"
    raise UserError(f"there is no {noun} {at}; {what}.")
