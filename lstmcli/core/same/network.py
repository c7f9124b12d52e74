"""The weights of a model as named arrays that no convention arranges: ``layer0.kernel``, ..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.compatibility import RUNNING, merged_alike
from lstmcli.core.weights.stored import PEEPHOLES

GATED = ("kernel", "recurrent_kernel", "bias", "norm_scale", "norm_shift")
STATES = ("initial_h", "initial_c")
UNGATED = (
    "peephole", "projection", "projection_bias", "state_scale", "state_shift", *STATES,
)  # fmt: skip
"""The arrays of a cell without an axis of four gates; those of zeros count as none."""
COMPUTED = {"f=1-i": "f", "i=1-f": "i"}
"""By coupling, the gate whose weights are not used."""
AROUND = ("head", "front")
"""The start of the names of what is compared only where both have it."""


class Network(NamedTuple):
    """A model as weights: its arrays by name, and the settings with which it runs."""

    name: str  # of its file, or of an argument
    model: Model
    arrays: Mapping[str, Array]
    settings: Mapping[str, Any]


def network_of(model: Model, name: str) -> Network:
    """The weights of a model, the forget bias added, in the order of computation."""
    arrays: dict[str, Array] = {}
    if model.front is not None:
        arrays["front.table"] = model.front.table
    for cell_name, cell in model.cells:
        for role, array in arrays_of(cell).items():
            arrays[f"{cell_name}.{role}"] = array
    if model.head is not None:
        for n, layer in enumerate(model.head.layers):
            if layer.kernel is not None:
                arrays[f"head.{n}.kernel"] = layer.kernel
            if layer.bias is not None and np.any(layer.bias):
                arrays[f"head.{n}.bias"] = layer.bias
    return Network(name, model, arrays, dict(_settings_of(model)))


def arrays_of(cell: Cell) -> dict[str, Array]:
    """The arrays of a cell that are used, by role; a gate that is not computed is zero."""
    arrays: dict[str, Array] = {}
    for role in (*GATED, *UNGATED):
        array = getattr(cell, role)
        if array is not None and (role in GATED or np.any(array)):
            arrays[role] = array
    if cell.behaviour.initial_state == "zero":
        for role in STATES:
            arrays.pop(role, None)
    added = "bias"
    if "norm_shift" in arrays:  # which is added in the place of the bias
        del arrays["bias"]
        added = "norm_shift"
    arrays[added] = arrays[added].copy()  # (4, H)
    constant = cell.dtype.type(cell.behaviour.forget_bias)
    arrays[added][GATES.index("f")] += constant
    return _without_gate(arrays, COMPUTED.get(cell.behaviour.coupled, ""))


def _without_gate(arrays: dict[str, Array], gate: str) -> dict[str, Array]:
    """The arrays with zeros for a gate that is computed from another; "" is none."""
    if not gate:
        return arrays
    changed = dict(arrays)
    for role, array in arrays.items():
        if role in GATED or role == "peephole":
            order = PEEPHOLES if role == "peephole" else GATES
            changed[role] = array.copy()
            changed[role][order.index(gate)] = 0
    return changed


def _settings_of(model: Model) -> Iterator[tuple[str, Any]]:
    """The settings of each cell that change what it computes, and how both directions merge."""
    for cell_name, cell in model.cells:
        names = [*RUNNING, "coupled", "arithmetic"]
        if cell.norm_scale is not None:
            names.append("norm_epsilon")
        if cell.peephole is not None:
            names.append("output_peephole")
        for name in names:
            yield f"{cell_name}.{name}", cell.convention.setting(name)
    if model.bidirectional:
        yield "merge", merged_alike(model.layers[-1][0].behaviour.merge)
