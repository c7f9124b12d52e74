"""The numbers of another implementation for the lines of a derivation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.derive.derivation import Derivation, StepPosition
from lstmcli.core.derive.formulas import FormulaLine
from lstmcli.core.diff.alignment import FINAL, ArrayName, Pair
from lstmcli.core.diff.compare import matched
from lstmcli.core.diff.operand import UNNAMED, Side, renamed
from lstmcli.core.diff.partial import at_its_place
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.hint import join_with_and
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import Try, UserError

ASSUMED = " (assumed: the numbers do not tell; a column step, as run writes to .csv, does)"


def with_reference(found: Derivation, trace: Trace, model: Model, other: Side) -> Derivation:
    """The derivation with the reference's number at each line for which it has one.

    A line agrees as it would for `compare`: within the tolerance of the coarser dtype, and half a
    unit of the last place of a print. The reference may have only some steps of a run, or one
    sequence: those where its numbers agree, else the first steps, and the sequence and the step of
    the derivation. Its final_h and final_c are h and c of the last step that is computed.

    Raises
    ------
    UserError
        if there is no number for any line, or an array has another shape than the run's.
    """
    place = found.place
    arrays, first_unit = _comparable(place, trace, model)
    other = _with_states_as_step(other, place)
    other, taken, assumed = at_its_place(other, arrays, trace.layout, place.step, place.batch)
    taken = tuple(f"{words}{ASSUMED}" for words in taken) if assumed else taken
    run = Side("this run", arrays, trace.layout, settings=trace.settings, in_memory=True)
    pairs = matched(run, other)
    units = model.layers[place.layer][place.direction].units
    lines = [_with_number(line, place, pairs, units, first_unit, other) for line in found.lines]
    if all(line.theirs is None for line in lines):
        raise _no_number(place, [line for line in lines if line.in_trace], pairs, other, taken)
    return replace(
        found,
        lines=tuple(lines),
        against=other.name,
        taken=taken,
        differs_before=tuple(_differing_state(place, pairs)),
    )


def _with_states_as_step(side: Side, place: StepPosition) -> Side:
    """A side that has only last states with these as h and c of the last step, (1, B, H)."""
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
        return {k: a.reshape(1, -1, a.shape[-1]) if a.ndim else a for k, a in arrays.items()}

    numbering = side.numbering._replace(steps=[place.step])
    side = replace(
        side, arrays=of_step(side.arrays), units=of_step(side.units), layout="time",
        numbering=numbering,
    )  # fmt: skip
    return renamed(side, {name: name.replace("final_", "") for name in states})


def _no_number(
    place: StepPosition,
    lines: Sequence[FormulaLine],
    pairs: Mapping[str, Pair],
    other: Side,
    taken: Sequence[str],
) -> UserError:
    """The mistake where the reference has no number for any line, and a place where it has one."""
    names = ", ".join(name or "an array without a name" for name in other.arrays)
    wanted = ", ".join(f"{place.prefix}{line.name}" for line in lines)
    tries: list[Try] = []
    for pair in pairs.values():
        if pair.b.left_out is not None:
            why = f"taken as {join_with_and(taken)}" if taken else "abbreviated"
            names += f", {why}, and not the numbers of this place"
            for step, item, unit in np.argwhere(~pair.b.left_out)[:1]:
                at = {"step": int(step), "batch": int(item), "unit": int(unit)}
                tries = [Try(at, "it has the numbers of this place")]
            break
    text = f"{other.name} has {names}; a number for one of {wanted} is needed."
    return UserError(text, try_=tries)


_FIRST_HALF = {"concat": 0, "concat_swapped": 1}
"""The direction whose units come first, where both are concatenated."""


def _comparable(place: StepPosition, trace: Trace, model: Model) -> tuple[dict[str, Array], int]:
    """The arrays of the cell, and the first unit of its h in the model's h, if it is there."""
    arrays = {k: a for k, a in trace.arrays.items() if k.rpartition(".")[0] == place.prefix[:-1]}
    last = place.layer == len(model.layers) - 1
    layer = model.layers[place.layer]
    first = _FIRST_HALF.get(model.convention.behaviour.merge, -1) if len(layer) == 2 else 0
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
    if pair.agrees is None or not pair.placed:
        given = other.arrays.get(name, other.arrays.get(UNNAMED, pair.b.values)).shape
        raise UserError(
            f"{other.name}: {name} is {given}, read as {pair.b.shape} in (steps, batch, units); "
            f"this run's is {pair.a.shape}, and one step of it ({pair.a.shape[-1]},)."
        )
    where = place.step, place.batch, unit
    if pair.b.left_out is not None and pair.b.left_out[where]:
        return line
    return replace(line, theirs=pair.b.values[where], agrees=bool(pair.agrees[where]))


def _differing_state(place: StepPosition, pairs: Mapping[str, Pair]) -> Iterator[str]:
    """Those of h and c that differ at the step before already."""
    for base in "hc":
        pair = pairs.get(f"{place.prefix}{base}")
        if pair is None or pair.agrees is None or place.before is None:
            continue
        if not pair.agrees[place.before, place.batch].all():
            yield base
