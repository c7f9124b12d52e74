"""Conventions that can store a network: with which settings, and by which recipe.

A row's tensors have the parts it stores, its ``takes`` the settings. The
message names what fits neither: a conversion that dropped it would give
another network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell, join_with_and, named_cells
from lstmcli.core.model.settings import SETTINGS
from lstmcli.core.weights.encode import prefix_forms
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.templates import Settings
from lstmcli.errors import SettingsToTry, UserError, did_you_mean

FORM = (
    "forget_bias",
    "gates",
    "kernel_gates",
    "recurrent_gates",
    "bias_gates",
    "interleaved",
    "rows",
    "bias_row",
    "transposed",
)
"""The settings of a target that change how a network is stored, and not what it computes."""

RUNNING = (
    "activation",
    "recurrent_activation",
    "output_activation",
    "cell_clip",
    "gate_clip",
    "projection_clip",
    "reverse",
    "go_backwards",
    "flip_output",
    "state",
)
_PARTS = {
    "peephole": "peepholes",
    "projection": "a projection",
    "projection_bias": "a projection bias",
    "norm_scale": "layer normalisation",
    "state_scale": "layer normalisation of c",
    "initial_h": "a learned initial state",
}
MIXED = "layers of one direction next to layers of two"
STATE_OF_ITEMS = "an initial state that differs between batch items"


def fit_or_refuse(
    layers: Sequence[Sequence[Cell]],
    row: Convention,
    asked: Settings,
    source: str = "",
    labels: Sequence[str] = (),
) -> Convention:
    """The row, with the settings under which it runs as these layers do.

    ``asked`` are settings of the target's form (`FORM`); ``source`` has these
    layers, which ``layer`` calls by their ``labels``.
    """
    convention, lacks = fit(layers, _with_requested_form(row, asked))
    if lacks:
        where = f"{source}: " if source else ""
        tries = [
            SettingsToTry({"layer": one}, "one of them")
            for one in labels
            if MIXED in lacks
        ]
        if {STATE_OF_ITEMS, _PARTS["initial_h"]} & {*lacks}:
            tries.append(
                SettingsToTry({"initial_state": "zero"}, "leaves the state out")
            )
        raise UserError(
            f"{where}{row.name} cannot store {join_with_and(lacks)}.",
            f"  lstm conventions {row.name} lists what it stores; nothing was written.",
            try_=tries,
        )
    return convention


def fit(
    layers: Sequence[Sequence[Cell]], convention: Convention
) -> tuple[Convention, list[str]]:
    """The convention with the settings that these layers need; what it cannot store."""
    cells = [cell for _, cell in named_cells(layers)]
    both = max(layers, key=len)
    changes, lacks = _settings(both[0].convention, convention, both=len(both) == 2)
    parts = "layers" if len(layers) > 1 else "directions"
    for name in (*RUNNING, "coupled"):
        if len({cell.convention.setting(name) for cell in cells}) > 1:
            lacks.append(f"{parts} that differ in {_words(name)}")
    bidirectional = [layer for layer in layers if len(layer) == 2]
    if len({merged_alike(layer[0].behaviour.merge) for layer in bidirectional}) > 1:
        lacks.append("layers that differ in merge")
    if convention.names.stacks and len(layers) > 1:
        lacks.append("layers without skip connections between them")
    if any(cell.behaviour.forward for cell in cells):
        lacks.append("a backward cell that runs forward")
    for cell in cells:
        lacks += list(_lacking_parts(cell, convention))
    if prefix_forms(convention, layers) is None:
        has_names = prefix_forms(convention, bidirectional) is not None
        lacks.append(MIXED if has_names else "two directions")
    return convention.with_behaviour(**changes), list(dict.fromkeys(lacks))


def _with_requested_form(row: Convention, asked: Settings) -> Convention:
    for name, value in asked.items():
        if name not in FORM:
            near = did_you_mean(name, FORM)
            raise UserError(
                "a target's settings are those that store the same network in another form: "
                f"{', '.join(FORM)}.{near}",
                about={"to_set": name},
            )
        constant = row.behaviour.forget_bias
        if (
            name == "forget_bias"
            and value != constant
            and not row.can_be_set_to(name, value)
        ):
            text = f"{row.name} always adds {constant:g} to the forget gate; the rest is bias."
            raise UserError(text, about={"to_set": f"forget_bias={value:g}"})
        if name.endswith("gates") and row.names.has_tensor_per_gate:
            text = f"{row.name} has a tensor per gate, in no order."
            raise UserError(text, about={"to_set": name})
    return row.changed(asked)


def needed_settings(convention: Convention, row: Convention) -> dict[str, Any]:
    """The settings that a reader of the tensors needs: those in no tensor, and those that differ.

    A setting that is off where the row has it on is the word "none".
    """
    names = dict.fromkeys(row.hidden) | dict.fromkeys(SETTINGS)
    needed: dict[str, Any] = {}
    for name in names:
        value, usual = convention.setting(name), row.setting(name)
        if name == "coupled" and value in row.storage.absent.values():
            continue  # absent tensors show it
        if name == "layout" and value == usual:
            continue  # a matter of the inputs, not of the weights
        if name == "output_activation" and "activation" in needed:
            usual = needed["activation"]  # which sets both
        if value != usual or (name in row.hidden and value is not None):
            needed[name] = "none" if value is None else value
    return needed


def merged_alike(merge: str) -> str:
    """A merge mode as it computes: those that differ only in the axis are one."""
    return "concat" if merge == "stack" else merge


def _settings(
    source: Convention, convention: Convention, *, both: bool
) -> tuple[dict[str, Any], list[str]]:
    """The settings that a convention needs to run as the source; what it cannot be set to."""
    changes: dict[str, Any] = {}
    lacks = []
    runs, target = source.behaviour, convention.behaviour
    settings = {name: source.setting(name) for name in RUNNING}
    if both and merged_alike(runs.merge) != merged_alike(target.merge):
        settings["merge"] = merged_alike(runs.merge)
    for name, value in settings.items():
        usual = convention.setting(name)
        follows = name == "output_activation"
        if follows and name not in convention.takes and "activation" in changes:
            usual = changes[name] = changes["activation"]
        if value == usual:
            continue
        if convention.can_be_set_to(name, value):
            changes[name] = value
        elif not follows or value != runs.activation:  # else named already
            lacks.append(_describe(name, value, usual))
    if _can_be_coupled(convention, runs.coupled):
        changes["coupled"] = runs.coupled
    else:
        lacks.append(_coupling(runs.coupled))
    if runs.initial_state == "swapped":
        lacks.append("a state that is interpreted as (c, h)")
    return changes, lacks


def _can_be_coupled(convention: Convention, coupled: str) -> bool:
    absent = convention.storage.absent
    if coupled != convention.behaviour.coupled:
        return coupled in absent.values() or convention.can_be_set_to(
            "coupled", coupled
        )
    if coupled != "none" or not absent:
        return True
    gates = {Slot.parse(text).gate for text in convention.names.numbered} - {""}
    return not gates or {*absent} <= gates  # of DyNet one gate never has tensors


def _coupling(coupled: str) -> str:
    if coupled == "none":
        return "input and forget gates that are independent"
    return f"a gate computed from another ({coupled})"


def _lacking_parts(cell: Cell, convention: Convention) -> Iterator[str]:
    """The parts of a cell that the row has no tensors for, or that act otherwise."""
    source, roles = cell.convention, convention.roles
    runs, target = source.behaviour, convention.behaviour
    for role, noun in _PARTS.items():
        array = getattr(cell, role)
        is_left_out = role == "initial_h" and runs.initial_state == "zero"
        if array is None or role in roles or is_left_out:
            continue
        if np.any(array):
            yield noun
    yield from _lacking_state(cell, convention)
    if cell.peephole is not None and "peephole" in roles:
        yield from _lacking_peepholes(cell.peephole, source, convention)
    if runs.peepholes == "old_c":
        yield "an output peephole with the old c as input"
    if cell.norm_scale is None and "norm_scale" in convention.names.required:
        yield "a cell without layer normalisation"
    is_normalised = cell.norm_scale is not None and "norm_scale" in roles
    if is_normalised and runs.norm_epsilon != target.norm_epsilon:
        yield f"an epsilon of {runs.norm_epsilon:g} in the layer normalisation"


def _lacking_state(cell: Cell, convention: Convention) -> Iterator[str]:
    state = cell.initial_h
    if state is None or cell.behaviour.initial_state == "zero":
        return
    is_of_each_item = convention.storage.direction_axis  # ONNX
    if state.ndim > 1 and "initial_h" in convention.roles and not is_of_each_item:
        yield STATE_OF_ITEMS


def _lacking_peepholes(
    peephole: Array, source: Convention, convention: Convention
) -> Iterator[str]:
    are_matrices = peephole.ndim == 3
    if are_matrices and not convention.names.peephole_matrices:
        yield "peepholes that are full matrices"
    elif convention.names.peephole_matrices and not are_matrices:
        yield "peepholes of one number a unit"
    elif source.behaviour.output_peephole == convention.behaviour.output_peephole:
        return
    elif np.any(peephole[2]):
        kind = _words(source.behaviour.output_peephole)
        yield f"an output peephole that acts as in {source.name} ({kind})"


def _describe(name: str, value: Any, usual: Any) -> str:
    """``a cell clip of 3``, ``activation relu (it has tanh)``."""
    noun = _words(name)
    if isinstance(value, bool):
        return f"{noun} {str(value).lower()}"
    if name.endswith("clip"):
        return f"a cell without {noun}" if value is None else f"a {noun} of {value:g}"
    return f"{noun} {value} (it has {usual})"


def _words(name: str) -> str:
    return name.replace("_", " ")
