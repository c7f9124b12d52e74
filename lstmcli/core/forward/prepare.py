"""The prologue of every run: its plan, with the model's edits of cells, inputs and states in it.

Edits of equations and outputs go along with the cells: `equations.parts_of`
and `sequence.edited_outputs` apply them. Those of stored tensors are in the
weights already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from lstmcli.core.forward.plan import DEFAULT_KEEP, Chunk, Plan, plan_of
from lstmcli.core.forward.run import ChunkRun
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Edit, edited, edits_in, refuse_edits
from lstmcli.core.model.model import (
    Cell,
    Inputs,
    Model,
    as_time_major,
    from_time_major,
    layer_width,
)
from lstmcli.core.model.states import State
from lstmcli.core.model.surroundings import Rows
from lstmcli.core.weights.build_cells import check_layers
from lstmcli.errors import UserError


def prepare(
    model: Model, inputs: Inputs, keep: str | Iterable[str] = DEFAULT_KEEP
) -> Plan:
    """The plan of a run over these inputs that keeps these arrays."""
    return with_edits(plan_of(model, inputs, keep))


def with_edits(plan: Plan) -> Plan:
    """The plan with what its model's edits change before a run."""
    edits = plan.model.edits
    if not edits:
        return plan
    _refuse_schedule(plan)
    states = _edited_states(plan)
    plan = replace(plan, model=edited_model(plan.model), states=states)
    changes_inputs = any(edits_in(kind, edits) for kind in ("run", "front", "inputs"))
    return _with_edited_inputs(plan) if changes_inputs else plan


_NO_PADDING = "it does not go with lengths or a mask; leave these out."


def _refuse_schedule(plan: Plan) -> None:
    """Refuse edits of when the state advances where they would do nothing, or not fit."""
    edits = edits_in("schedule", plan.model.edits)
    if plan.valid is not None:
        refuse_edits(edits_in("stack", plan.model.edits), _NO_PADDING)
        refuse_edits(edits_in("shared", plan.model.edits), _NO_PADDING)
        refuse_edits(edits, _NO_PADDING)
    if plan.model.behaviour.state == "reset":
        refuse_edits(edits, "no state is handed on.", try_={"state": "carried"})
    for edit in edits:
        from lstmcli.core.model.schedule import last_step  # few runs have one

        last = last_step(edit.value)
        if last >= plan.steps:
            refuse_edits(
                [edit], f"there is no step {last}; the last is {plan.steps - 1}."
            )


def _edited_states(plan: Plan) -> list[State]:
    """The states before the run as edits leave those of each cell."""
    states = plan.states
    names = [name for name, _ in plan.model.cells]
    for edit in edits_in("state", plan.model.edits):
        states = [
            edit.apply(*state) if edit.cell in ("", name) else state
            for name, state in zip(names, states, strict=True)
        ]
    return states


def _with_edited_inputs(plan: Plan) -> Plan:
    """The plan with the inputs, the steps that count and the states as edits leave them."""
    model, edits, valid, states = plan.model, plan.model.edits, plan.valid, plan.states
    of_front = edits_in("front", edits)
    x = _behind_front(plan, of_front) if of_front else plan.block()
    x = edited("inputs", edits, x)
    if len(x) != plan.steps and valid is not None:
        names = ", ".join(edit.name for edit in edits_in("inputs", edits))
        text = f"{names}: {plan.steps} steps become {len(x)}, which lengths and a mask do not fit"
        raise UserError(f"{text}; leave these out.")

    def run(x: Array, valid: Array | None, states: Sequence[State]) -> list[State]:
        batch = x.shape[1]
        run = ChunkRun(Chunk(model, batch, False, slice(0, batch), list(states)))
        run.advance(np.ascontiguousarray(x), ("h",), valid)
        return run.states

    # padding is moved before a state is run for
    of_run = edits_in("run", edits)
    for edit in sorted(of_run, key=lambda edit: edit.kind.family != "inputs"):
        x, valid, states = edit.apply(run, x, valid, states)
    inputs = replace(plan.inputs, x=from_time_major(x, plan.layout))
    return replace(plan, inputs=inputs, steps=len(x), valid=valid, states=states)


def _behind_front(plan: Plan, edits: Sequence[Edit]) -> Array:
    """The inputs (T, B, I) that the front makes of indices, as its edits leave them."""
    front, indices = plan.model.front, plan.inputs.indices
    if front is None or indices is None:
        refuse_edits(edits, "the inputs are not indices of a front.")
    assert front is not None
    assert indices is not None
    of_steps = as_time_major(indices[..., np.newaxis], plan.layout)[..., 0]
    rows = Rows(front.table, of_steps)
    for edit in edits:
        rows = edit.apply(rows)
    return np.asarray(rows.table[rows.indices])


def edited_model(model: Model) -> Model:
    """The model with its cells and its head as its edits leave them.

    UserError for a head that does not take the outputs then.
    """
    layers, head = edited_layers(model), model.head
    edits = model.edits
    if head is None:
        refuse_edits(edits_in("head", edits), "the model has no head.")
    else:
        of_loaded = head.text
        head = edited("head", edits, head, replace(model, layers=layers))
        if edits_in("head", edits):
            head = replace(head, loaded=of_loaded)
        width = layer_width(layers[-1])
        if head.inputs not in (None, width):
            text = f"the head {head.text} takes {head.inputs} values, not {width}"
            refuse_edits(edits_in("outputs", edits), f"{text}.")
    return replace(model, layers=layers, head=head)


def edited_layers(model: Model) -> tuple[tuple[Cell, ...], ...]:
    """The model's cells as its edits leave them, with those of their equations and outputs.

    Edits of outputs that name no cell are of the last layer.
    """
    edits, names = model.edits, [name for name, _ in model.cells]
    unknown = [edit for edit in edits if edit.cell != "" and edit.cell not in names]
    refuse_edits(unknown, f"there is no such cell; there is {', '.join(names)}.")
    of_last_layer = names[-len(model.layers[-1]) :]
    cells: list[Cell] = []
    for name, cell in model.cells:
        of_cell = [edit for edit in edits if edit.cell in ("", name)]
        of_steps = list(edits_in("equations", of_cell))
        of_steps.extend(edits_in("schedule", of_cell))
        for edit in edits_in("outputs", of_cell):
            if edit.cell or name in of_last_layer:
                of_steps.append(edit)
        cell = edited("cells", of_cell, cell)
        cells.append(replace(cell, edits=tuple(of_steps)))
    each = iter(cells)
    of_layers = tuple(tuple(islice(each, len(layer))) for layer in model.layers)
    layers: tuple[tuple[Cell, ...], ...] = edited("network", edits, of_layers)
    check_layers(layers, (), "as edited")
    return layers
