"""The prologue of every run: its plan, with the model's edits of cells, inputs and states in it.

Edits of equations and outputs go along with the cells: `equations.parts_of` and
`sequence.edited_outputs` apply them. Those of stored tensors are in the weights already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan, plan_of
from lstmcli.core.forward.run import ChunkRun
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import (
    CELLS,
    EQUATIONS,
    INPUTS,
    NETWORK,
    OUTPUTS,
    PADDING,
    RUN_BEFORE,
    STATE,
    Edit,
    edits_in,
)
from lstmcli.core.model.model import Cell, Inputs, Model, State, cell_name, from_time_major
from lstmcli.errors import UserError


def prepare(model: Model, inputs: Inputs, keep: str | Iterable[str] = DEFAULT_KEEP) -> Plan:
    """The plan of a run over these inputs that keeps these arrays."""
    return with_edits(plan_of(model, inputs, keep))


def with_edits(plan: Plan) -> Plan:
    """The plan with what its model's edits change before a run."""
    if not (edits := plan.model.edits):
        return plan
    model = replace(plan.model, layers=edited_layers(plan.model.layers, edits))
    plan = replace(plan, model=model, states=_edited_states(plan.states, model))
    if edits_in(INPUTS, edits):
        plan = _with_inputs(plan, edited_inputs(plan.block(), edits))
    for edit in edits_in(PADDING, edits):
        x, valid = edit.apply(plan.block(), plan.valid)
        plan = replace(_with_inputs(plan, x), valid=valid)
    for edit in edits_in(RUN_BEFORE, edits):
        states = edit.apply(_last_states(model), plan.block(), plan.valid, plan.states)
        plan = replace(plan, states=states)
    return plan


def edited_inputs(x: Array, edits: Iterable[Edit]) -> Array:
    """Inputs (T, B, I) as edits leave them."""
    for edit in edits_in(INPUTS, edits):
        x = edit.apply(x)
    return x


def _with_inputs(plan: Plan, x: Array) -> Plan:
    """The plan with other inputs (T, B, I), which may have another number of steps."""
    if len(x) != plan.steps and plan.valid is not None:
        names = " and ".join(edit.name for edit in edits_in(INPUTS, plan.model.edits))
        raise UserError(
            f"{names}: {plan.steps} steps become {len(x)}, which lengths and a mask do not fit; "
            "leave these out."
        )
    inputs = replace(plan.inputs, x=from_time_major(x, plan.layout))
    return replace(plan, inputs=inputs, steps=len(x))


def edited_layers(
    layers: Sequence[tuple[Cell, ...]], edits: Sequence[Edit]
) -> tuple[tuple[Cell, ...], ...]:
    """Cells as edits leave them, with the edits of their equations and outputs.

    Edits of outputs that name no cell are of the last layer.
    """
    names = [cell_name(n, d) for n, layer in enumerate(layers) for d in range(len(layer))]
    for edit in edits:
        if edit.cell not in ("", *names):
            there = f"there is {', '.join(names)}."
            raise UserError(f"there is no cell {edit.cell}; {there}", about={"edit": edit.text})
    edited = tuple(
        tuple(
            _edited_cell(cell, cell_name(n, d), edits, is_last=n == len(layers) - 1)
            for d, cell in enumerate(layer)
        )
        for n, layer in enumerate(layers)
    )
    for edit in edits_in(NETWORK, edits):
        edited = edit.apply(edited)
    merge = edited[-1][0].convention.behaviour.merge
    if len({cell.shown for cell in edited[-1]}) > 1 and not merge.startswith("concat"):
        raise UserError(f"merge {merge} takes outputs of one width, and as edited two differ.")
    for n, layer in enumerate(edited[:-1]):
        if any(cell.shown != cell.outputs for cell in layer):
            raise UserError(f"layer {n + 1} does not take the outputs of layer {n} as edited.")
    return edited


def _edited_cell(cell: Cell, name: str, edits: Sequence[Edit], *, is_last: bool) -> Cell:
    of_cell = [edit for edit in edits if edit.is_for(name)]
    for edit in edits_in(CELLS, of_cell):
        cell = edit.apply(cell)
    outputs = [edit for edit in edits_in(OUTPUTS, of_cell) if edit.cell or is_last]
    return replace(cell, edits=(*edits_in(EQUATIONS, of_cell), *outputs))


def _edited_states(states: Sequence[State], model: Model) -> list[State]:
    """The states of the cells as edits leave them."""
    edited = list(states)
    for n, (name, _) in enumerate(model.cells):
        for edit in edits_in(STATE, model.edits):
            edited[n] = edit.apply(*edited[n]) if edit.is_for(name) else edited[n]
    return edited


def _last_states(model: Model) -> Any:
    """The function that runs a model over inputs (T, B, I), valid steps and states."""

    def run(x: Array, valid: Array | None, states: Sequence[State]) -> list[State]:
        batch = x.shape[1]
        work = ChunkRun(model, batch, ("h",), masked=False)
        return work(slice(0, batch), np.ascontiguousarray(x), states, valid).finals

    return run
