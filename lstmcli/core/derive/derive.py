"""The derivation of one number of a run: its position, its operands and its equations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.derive.derivation import Derivation, StepPosition
from lstmcli.core.derive.formulas import FormulaLine
from lstmcli.core.derive.unit import UnitAtStep
from lstmcli.core.diff.compare import placed_on
from lstmcli.core.diff.names import renamed
from lstmcli.core.diff.operand import FINAL, UNNAMED, ArrayName, Side
from lstmcli.core.diff.pair import Pair
from lstmcli.core.forward.plan import NAMES, Plan
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_plan, runs_forward
from lstmcli.core.forward.sequence import counted, merge_directions, padding_rule
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import edits_in, refuse_edits
from lstmcli.core.model.model import (
    Inputs,
    Model,
    Trace,
    cell_name,
    join_with_and,
    refuse_unknown_cell,
)
from lstmcli.core.model.part import describe_parts
from lstmcli.core.model.selection import Choice
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import Try, UserError, refuse_unprintable


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
    """The arithmetic of a unit at a step of a run; `lstmcli.derive` has the arguments."""
    if gate is not None and gate not in (*GATES,):
        raise UserError(f"there is no gate {gate!r}; the gates are {', '.join(GATES)}.")
    for noun, at in (("step", step), ("unit", unit), ("batch", batch)):
        refuse_unprintable(at, f"derive: {noun}")
        if not isinstance(at, int | np.integer):
            raise UserError(f"derive: {noun} is {at!r}; it takes an integer.")
    if model.convention.behaviour.arithmetic != "float":
        raise UserError(
            "derive shows products of the numbers as they are; this model rounds inputs and h to "
            "8 bits.",
            try_={"arithmetic": "float"},
        )
    refuse_edits(
        [*edits_in("equations", model.edits), *edits_in("outputs", model.edits)],
        "derive shows the equations of an LSTM as they are, and this edit changes them; run and "
        "plot show its numbers.",
    )
    layer, direction = _chosen_cell(model, cell)
    plan = prepare(model, inputs, NAMES)
    model = plan.model
    place = _place(plan, layer, direction, (step, batch, unit))
    needs_all = against is not None or plan.valid is not None or not runs_forward(model)
    trace = run_plan(plan if needs_all else plan.until(place.step + 1))
    computed = {
        k: trace.time_major(f"{place.prefix}{k}")[place.step, place.batch]
        for k in NAMES
    }
    one = model.layers[layer][direction]
    moment = UnitAtStep(one, place.unit, *_entering(plan, trace, place), computed)
    with np.errstate(all="ignore"):
        moment.derive(gate)
    outputs = None if one.projection is None else one.outputs
    found = Derivation(
        place, gate, moment.sums, tuple(moment.lines), outputs, plan=plan
    )
    return found if against is None else with_reference(found, trace, model, against)


def _chosen_cell(model: Model, name: str | None) -> tuple[int, int]:
    places = [(n, d) for n, layer in enumerate(model.layers) for d in range(len(layer))]
    names = [known for known, _ in model.cells]
    if name is None and len(names) > 1:
        raise UserError(
            f"the model has {len(names)} cells: {', '.join(names)}; choose one.",
            try_={"cell": names[-1]},
        )
    if name is None:
        return places[0]
    refuse_unknown_cell(name, names)
    return places[names.index(name)]


def _place(
    plan: Plan, layer: int, direction: int, where: tuple[int, int, int]
) -> StepPosition:
    model = plan.model
    cell = model.layers[layer][direction]
    sizes = {"step": plan.steps, "batch item": plan.batch, "unit": cell.units}
    step, batch, unit = (
        Choice.single(noun.partition(" ")[0], noun, at).among(size)[0]
        for at, (noun, size) in zip(where, sizes.items(), strict=True)
    )
    valid = counted(cell, plan.valid, model)
    order = StepOrder.of_cell(cell.convention.behaviour, direction == 1)
    reads, shown = (
        steps[:, batch if steps.shape[1] > 1 else 0]  # (T,)
        for steps in processed_steps(order, plan.steps, valid)
    )
    at = int(np.flatnonzero(shown == step)[0])  # in the order of the loop
    rule = padding_rule(cell, plan.masked, len(model.layers[layer]) == 2)
    if valid is not None and not valid[reads[at], batch] and rule != "run":
        by = "the mask" if plan.masked else "its length"
        raise UserError(
            f"step {step} of batch {batch} is left out by {by}: nothing is computed there."
        )
    prefix = f"{cell_name(layer, direction)}." if len(model.cells) > 1 else ""
    carried = at == 0 or cell.convention.behaviour.state != "reset"
    before = int(shown[at - 1]) if at and carried else None
    later = reads[at + 1 :]
    is_last = not (len(later) if valid is None else valid[later, batch].any())
    return StepPosition(
        layer,
        direction,
        prefix,
        step,
        batch,
        unit,
        reads=int(reads[at]),
        before=before,
        carried=carried,
        is_last=is_last,
    )


def _entering(
    plan: Plan, trace: Trace, place: StepPosition
) -> tuple[Array, Array, Array]:
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
    if layer == 0:
        return plan.block()
    below = plan.model.layers[layer - 1]
    names = (f"{cell_name(layer - 1, d)}.h" for d in range(len(below)))
    return merge_directions([trace.time_major(n) for n in names], below[0].convention)


# ---- the numbers of another implementation


ASSUMED = (
    " (assumed: the numbers do not tell; a column step, as run writes to .csv, does)"
)


def with_reference(
    found: Derivation, trace: Trace, model: Model, other: Side
) -> Derivation:
    """The derivation with the reference's number at each line for which it has one.

    A line agrees as for `compare`: within the tolerance of the coarser dtype,
    and half a unit of the last printed place. The reference may have some
    steps of a run, by their indices in its file, or one step or sequence: that
    where its numbers agree, else that of the derivation. Its final_h and
    final_c are h and c of the last step that is computed.
    """
    place = found.place
    arrays, first_unit = _comparable(place, trace, model)
    other = _with_states_as_step(other, place)
    run = Side(
        "this run", arrays, trace.layout, settings=trace.settings, in_memory=True
    )
    pairs, assumed = placed_on(run, other, place.step, place.batch)
    taken = tuple(f"{words}{ASSUMED * assumed}" for words in _taken(pairs))
    units = model.layers[place.layer][place.direction].units
    lines = [
        _with_number(line, place, pairs, units, first_unit, other)
        for line in found.lines
    ]
    if all(line.theirs is None for line in lines):
        raise _no_number(
            place, [line for line in lines if line.in_trace], pairs, other, taken
        )
    return replace(
        found,
        lines=tuple(lines),
        against=other.name,
        taken=taken,
        differs_before=tuple(_differing_state(place, pairs)),
    )


def _with_states_as_step(side: Side, place: StepPosition) -> Side:
    """A side of only last states, with these as h and c of the last step, (1, B, H)."""
    states = [name for name in side.arrays if ArrayName.of(name).kind == FINAL]
    if not states or len(states) < len(side.arrays):
        return side
    if not place.is_last:
        raise UserError(
            f"{side.name} has {', '.join(states)}: the state after the last step, and no other.",
            try_=[
                Try({"step": -1}, "the last step"),
                Try({"step": 0}, "that of a backward direction"),
            ],
        )

    def of_step(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {
            k: a.reshape(1, -1, a.shape[-1]) if a.ndim else a for k, a in arrays.items()
        }

    part = side.part._replace(steps=[place.step])
    side = replace(
        side,
        arrays=of_step(side.arrays),
        units=of_step(side.units),
        layout="time",
        part=part,
    )
    return renamed(side, {name: name.replace("final_", "") for name in states})


def _taken(pairs: Mapping[str, Pair]) -> list[str]:
    parts = [part for pair in pairs.values() for n, part in pair.parts if n]
    said = [
        ", ".join(
            one.words for one in pair.placement.taken if one.side == pair.names[1]
        )
        for pair in pairs.values()
    ]
    return [*filter(None, dict.fromkeys((describe_parts(parts), *said)))]


def _index(pair: Pair, *place: int) -> tuple[int, ...] | None:
    index = []
    for n, numbers in zip(place, pair.numbers, strict=False):
        if numbers is not None and n not in numbers:
            return None
        index.append(n if numbers is None else numbers.index(n))
    return tuple(index)


def _no_number(
    place: StepPosition,
    lines: Sequence[FormulaLine],
    pairs: Mapping[str, Pair],
    other: Side,
    taken: Sequence[str],
) -> UserError:
    names = ", ".join(name or "an array without a name" for name in other.arrays)
    wanted = ", ".join(f"{place.prefix}{line.name}" for line in lines)
    tries: list[Try] = []
    for pair in pairs.values():
        unknown = pair.b.left_out
        if unknown.any() or any(pair.numbers):
            why = f"interpreted as {join_with_and(taken)}" if taken else "abbreviated"
            names += f", {why}, and not the numbers of this place"
            for at in np.argwhere(~unknown)[:1]:
                numbers = pair.numbers_of(at.tolist())
                settings = dict(zip(("step", "batch", "unit"), numbers, strict=True))
                tries = [Try(settings, "it has the numbers of this place")]
            break
    text = f"{other.name} has {names}; a number for one of {wanted} is needed."
    return UserError(text, try_=tries)


_FIRST_HALF = {"concat": 0, "concat_swapped": 1}
"""The direction whose units come first, where both are concatenated."""


def _comparable(
    place: StepPosition, trace: Trace, model: Model
) -> tuple[dict[str, Array], int]:
    """The arrays of the cell, and the first unit of its h in the model's h, if there."""
    cell = place.prefix[:-1]
    arrays = {k: a for k, a in trace.arrays.items() if k.rpartition(".")[0] == cell}
    last = place.layer == len(model.layers) - 1
    layer = model.layers[place.layer]
    first = (
        _FIRST_HALF.get(model.convention.behaviour.merge, -1) if len(layer) == 2 else 0
    )
    if place.prefix and last and first >= 0:
        arrays["h"] = trace.arrays["h"]
        return arrays, 0 if place.direction == first else layer[first].outputs
    if place.prefix:
        arrays.pop("h", None)
    return arrays, 0


def _with_number(
    line: FormulaLine,
    place: StepPosition,
    pairs: Mapping[str, Pair],
    units: int,
    first_unit: int,
    other: Side,
) -> FormulaLine:
    base, unit = line.name, place.unit
    if base.startswith("z_"):  # the gates i, f, g, o in a row
        base, unit = "z", GATES.index(base[-1]) * units + unit
    name = f"{place.prefix}{base}"
    if base == "h" and name not in pairs:
        name, unit = "h", unit + first_unit
    if name not in pairs or not line.in_trace:
        return line
    pair = pairs[name]
    if pair.agrees is None or pair.placement.why_not or not pair.placed:
        given = other.arrays.get(name, other.arrays.get(UNNAMED, pair.b.values)).shape
        part = f" of {said}" if (said := other.part.description) else ""
        raise UserError(
            f"{other.name}: {name} is {given}{part}, as (steps, batch, units) {pair.b.shape}; "
            f"this run's is {pair.a.shape}, and one step of it ({pair.a.shape[-1]},)."
        )
    where = _index(pair, place.step, place.batch, unit)
    if where is None or pair.b.left_out[where]:
        return line
    return replace(line, theirs=pair.b.values[where], agrees=bool(pair.agrees[where]))


def _differing_state(place: StepPosition, pairs: Mapping[str, Pair]) -> Iterator[str]:
    for base in "hc":
        pair = pairs.get(f"{place.prefix}{base}")
        if pair is None or pair.agrees is None or place.before is None:
            continue
        where = _index(pair, place.before, place.batch)
        if where is not None and not pair.agrees[where].all():
            yield base
