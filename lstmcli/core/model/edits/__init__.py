"""The table of edits: what programs do otherwise with inputs, weights, state, equations, outputs.

A family is a module, in which each row stands with its function. `core.weights` applies the
edits of stored tensors before it decodes them, `core.forward` all others; neither knows a name.

Names have their family first, and no character that a shell reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import (
    ANY,
    EDITS,
    FILE,
    FLAG,
    NO_VALUE,
    Edit,
    EditKind,
)
from lstmcli.core.model.edits.equations import EQUATIONS, UNITS
from lstmcli.core.model.edits.family import STATES, RunSizes
from lstmcli.core.model.edits.front import FRONT
from lstmcli.core.model.edits.head import HEAD
from lstmcli.core.model.edits.inputs import INPUTS
from lstmcli.core.model.edits.layers import LAYERS
from lstmcli.core.model.edits.normalised import NORMALISED, USUAL_SCALES, normalised
from lstmcli.core.model.edits.outputs import OUTPUTS
from lstmcli.core.model.edits.schedule import SCHEDULE
from lstmcli.core.model.edits.state import STATE
from lstmcli.core.model.edits.weights import WEIGHTS
from lstmcli.core.model.settings import CELL, MOST_SHOWN
from lstmcli.errors import UserError, did_you_mean

__all__ = [
    "ANY",
    "EDITS",
    "FLAG",
    "HIDES",
    "NORMALISED",
    "NO_VALUE",
    "OF_MODEL",
    "STATES",
    "USUAL_SCALES",
    "Edit",
    "EditKind",
    "RunSizes",
    "normalised",
    "read_edit",
]  # fmt: skip

OF_MODEL = (
    "network",
    "stack",
    "shared",
    "inputs",
    "run",
    "head",
    "front",
)  # whose edits are not of one cell
HIDES: dict[str, str] = {}
"""Why an edit of a family does not show at once."""

for _family in (
    INPUTS,
    STATE,
    SCHEDULE,
    WEIGHTS,
    EQUATIONS,
    UNITS,
    LAYERS,
    OUTPUTS,
    HEAD,
    FRONT,
):
    HIDES[_family.name] = _family.hides
    EDITS.update((row.name, row) for row in _family.rows)


def read_edit(
    text: str | Edit, arrays_of: Callable[[str], Mapping[str, Array]]
) -> Edit:
    """``layer1.NAME=VALUE`` parsed and checked; ``arrays_of`` reads ``@FILE``."""
    if isinstance(text, Edit):
        return text
    full, _, value = text.strip().partition("=")
    first, _, rest = full.partition(".")
    cell, name = "", full
    if rest and CELL.fullmatch(first):
        cell, name = first, rest
    name, about = name.replace("-", "_"), {"edit": text[:MOST_SHOWN]}
    if name not in EDITS:
        unknown = f"unknown edit {name!r}.{did_you_mean(name, EDITS)}"
        raise UserError(unknown, "  lstm help edits lists them.", about=about)
    kind = EDITS[name]
    if cell and kind.stage in OF_MODEL:
        raise UserError(f"{name} is an edit of the model, not of {cell}.", about=about)
    file = value.removeprefix(FILE) if value.startswith(FILE) else ""
    given = arrays_of(file) if file else value or FLAG
    try:
        return Edit(name, kind.read(given), cell, file)
    except ValueError as error:
        raise UserError(f"takes {error}", about=about) from None
