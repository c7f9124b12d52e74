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
from lstmcli.core.model.edit import edits_in, refuse_edits
from lstmcli.core.model.model import (
    Cell,
    Inputs,
    Model,
    Trace,
    cell_name,
    join_with_and,
    refuse_unknown_cell,
)
from lstmcli.core.model.part import NumberedPart, describe_parts
from lstmcli.core.model.selection import Choice
from lstmcli.core.model.steps import StepOrder, processed_steps
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import SettingsToTry, UserError, refuse_unprintable


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
    _refuse_other_places(gate, {"step": step, "unit": unit, "batch": batch})
    _refuse_other_arithmetic(model)
    layer, direction = _chosen_cell(model, cell)
    plan = prepare(model, inputs, NAMES)
    model = plan.model
    place = _place(plan, layer, direction, (step, batch, unit))
    run = plan
    if against is None and plan.valid is None and runs_forward(model):
        run = plan.until(place.step + 1)  # later steps change nothing
    trace = run_plan(run)
    one = model.layers[layer][direction]
    entering = _entering(plan, trace, place)
    moment = UnitAtStep(one, place.unit, *entering, _computed(trace, place))
    with np.errstate(all="ignore"):
        moment.derive(gate)
    outputs = None
    if one.projection is not None:
        outputs = one.outputs
    lines = tuple(moment.lines)
    found = Derivation(place, gate, moment.sums, lines, outputs, plan=plan)
    if against is None:
        return found
    return with_reference(found, trace, model, against)


def _computed(trace: Trace, place: StepPosition) -> dict[str, Array]:
    """The numbers (K,) of a cell at a step of one sequence."""
    computed = {}
    for name in NAMES:
        array = trace.time_major(f"{place.prefix}{name}")
        computed[name] = array[place.step, place.batch]
    return computed


def _refuse_other_places(gate: str | None, numbers: Mapping[str, object]) -> None:
    """Refuse an unknown gate, and steps, units and batch items that are no integers."""
    if gate is not None and gate not in list(GATES):
        raise UserError(f"there is no gate {gate!r}; the gates are {', '.join(GATES)}.")
    for noun, at in numbers.items():
        refuse_unprintable(at, f"derive: {noun}")
        if not isinstance(at, int | np.integer):
            raise UserError(f"derive: {noun} is {at!r}; it takes an integer.")


def _refuse_other_arithmetic(model: Model) -> None:
    """Refuse a model whose numbers the equations in floats do not give."""
    if model.behaviour.arithmetic != "float":
        raise UserError(
            "derive shows products of the numbers as they are; this model rounds inputs and h to "
            "8 bits.",
            try_={"arithmetic": "float"},
        )
    edits = edits_in("equations", model.edits) + edits_in("outputs", model.edits)
    refuse_edits(
        [edit for edit in edits if not edit.kind.in_derive],
        "derive shows the equations of an LSTM as they are, and this edit changes them; run and "
        "plot show its numbers.",
    )


def _chosen_cell(model: Model, name: str | None) -> tuple[int, int]:
    places: list[tuple[int, int]] = []
    for n, layer in enumerate(model.layers):
        places.extend((n, direction) for direction in range(len(layer)))
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
    step, batch, unit = numbers_in(plan, cell.units, where)
    valid = counted(cell, plan.valid, model)
    reads, shown = _steps_of_loop(plan, cell, direction, batch)  # (T,)
    at = int(np.flatnonzero(shown == step)[0])  # in the order of the loop
    rule = padding_rule(cell, plan.masked, len(model.layers[layer]) == 2)
    if valid is not None and not valid[reads[at], batch] and rule != "run":
        by = "the mask" if plan.masked else "its length"
        raise UserError(
            f"step {step} of batch {batch} is left out by {by}: nothing is computed there."
        )
    is_carried = at == 0 or cell.behaviour.state != "reset"
    later = reads[at + 1 :]
    if valid is not None:
        later = later[valid[later, batch]]  # those that are computed
    return StepPosition(
        layer,
        direction,
        f"{cell_name(layer, direction)}." if len(model.cells) > 1 else "",
        step,
        batch,
        unit,
        reads=int(reads[at]),
        before=int(shown[at - 1]) if at and is_carried else None,
        carried=is_carried,
        is_last=not len(later),
    )


def numbers_in(
    plan: Plan, units: int, where: tuple[int, int, int]
) -> tuple[int, int, int]:
    """The step, the batch item and the unit that are meant, counted from 0."""
    sizes = {"step": plan.steps, "batch item": plan.batch, "unit": units}
    numbers = []
    for at, (noun, size) in zip(where, sizes.items(), strict=True):
        choice = Choice.single(noun.partition(" ")[0], noun, at)
        numbers.append(choice.among(size)[0])
    step, batch, unit = numbers
    return step, batch, unit


def _steps_of_loop(
    plan: Plan, cell: Cell, direction: int, batch: int
) -> tuple[Array, Array]:
    """For each step of the loop over a sequence, the steps (T,) of the inputs and outputs."""
    order = StepOrder.of_cell(cell.behaviour, direction == 1)
    valid = counted(cell, plan.valid, plan.model)
    reads, shown = processed_steps(order, plan.steps, valid)  # (T, B), or (T, 1)
    column = batch if reads.shape[1] > 1 else 0
    return reads[:, column], shown[:, column]


def _entering(
    plan: Plan, trace: Trace, place: StepPosition
) -> tuple[Array, Array, Array]:
    cell = plan.model.layers[place.layer][place.direction]
    x = _inputs(plan, trace, place.layer)[place.reads, place.batch]
    with np.errstate(all="ignore"):
        x = x.astype(cell.dtype)
    if place.before is not None:
        where = place.before, place.batch
        h = trace.time_major(f"{place.prefix}h")[where]
        c = trace.time_major(f"{place.prefix}c")[where]
    else:
        number = sum(map(len, plan.model.layers[: place.layer])) + place.direction
        h, c = (state[place.batch] for state in plan.states[number])
        if not place.carried:
            h, c = np.zeros_like(h), np.zeros_like(c)
    return x, h, c


def _inputs(plan: Plan, trace: Trace, layer: int) -> Array:
    if layer == 0:
        return plan.block()
    below = plan.model.layers[layer - 1]
    of_directions = []
    for direction in range(len(below)):
        name = f"{cell_name(layer - 1, direction)}.h"
        of_directions.append(trace.time_major(name))
    return merge_directions(of_directions, below[0].convention)


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
    pairs, is_assumed = placed_on(run, other, place.step, place.batch)
    taken = _taken(pairs)
    if is_assumed:
        taken = [f"{words}{ASSUMED}" for words in taken]
    units = model.layers[place.layer][place.direction].units
    lines = [
        _with_number(line, place, pairs, units, first_unit, other)
        for line in found.lines
    ]
    if all(line.theirs is None for line in lines):
        in_trace = [line for line in lines if line.in_trace]
        raise _no_number(place, in_trace, pairs, other, taken)
    return replace(
        found,
        lines=tuple(lines),
        against=other.name,
        taken=tuple(taken),
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
                SettingsToTry({"step": -1}, "the last step"),
                SettingsToTry({"step": 0}, "that of a backward direction"),
            ],
        )

    part = side.part._replace(steps=[place.step])
    side = replace(
        side,
        arrays=_of_one_step(side.arrays),
        units=_of_one_step(side.units),
        layout="time",
        part=part,
    )
    return renamed(side, {name: name.replace("final_", "") for name in states})


def _of_one_step(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays (B, H), or with further axes, as (1, B, H); single numbers as they are."""
    of_step = dict(arrays)
    for name, array in arrays.items():
        if array.ndim:
            of_step[name] = array.reshape(1, -1, array.shape[-1])
    return of_step


def _taken(pairs: Mapping[str, Pair]) -> list[str]:
    """The part of the run that the other side is, in words; empty if all of it."""
    parts: list[NumberedPart] = []
    texts = []
    for pair in pairs.values():
        parts.extend(part for side, part in pair.parts if side == 1)
        of_other = pair.names[1]
        words = [one.words for one in pair.placement.taken if one.side == of_other]
        texts.append(", ".join(words))
    each = dict.fromkeys([describe_parts(parts), *texts])
    return [text for text in each if text]


def _index(pair: Pair, *place: int) -> tuple[int, ...] | None:
    """The index in the pair of a step, batch item and unit; None if it has them not."""
    index = []
    for number, known in zip(place, pair.indices, strict=False):
        if known is None:
            index.append(number)
        elif number in known:
            index.append(known.index(number))
        else:
            return None
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
    tries: list[SettingsToTry] = []
    for pair in pairs.values():
        left_out = pair.b.left_out
        if not left_out.any() and not any(pair.indices):
            continue
        why = "abbreviated"
        if taken:
            why = f"interpreted as {join_with_and(taken)}"
        names += f", {why}, and not the numbers of this place"
        if not left_out.all():
            given = np.argwhere(~left_out)[0].tolist()
            step, batch, unit = pair.index_in_run(given)
            settings = {"step": step, "batch": batch, "unit": unit}
            tries.append(SettingsToTry(settings, "it has the numbers of this place"))
        break
    text = f"{other.name} has {names}; a number for one of {wanted} is needed."
    return UserError(text, try_=tries)


FIRST_HALF = {"concat": 0, "concat_swapped": 1}
"""The direction whose units come first, where both are concatenated."""


def _comparable(
    place: StepPosition, trace: Trace, model: Model
) -> tuple[dict[str, Array], int]:
    """The arrays of the cell, and the first unit of its h in the model's h, if there."""
    arrays = {}
    for name, array in trace.arrays.items():
        if name.startswith(place.prefix) and "." not in name[len(place.prefix) :]:
            arrays[name] = array
    if not place.prefix:
        return arrays, 0
    layer, merge = model.layers[place.layer], model.behaviour.merge
    is_single = len(layer) == 1
    is_last = place.layer == len(model.layers) - 1
    if not is_last or (merge not in FIRST_HALF and not is_single):
        return arrays, 0
    arrays["h"] = trace.arrays["h"]
    if is_single or place.direction == FIRST_HALF[merge]:
        return arrays, 0
    return arrays, layer[1 - place.direction].outputs


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
        unnamed = other.arrays.get(UNNAMED, pair.b.values)
        given = other.arrays.get(name, unnamed).shape
        description = other.part.description
        part = f" of {description}" if description else ""
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
