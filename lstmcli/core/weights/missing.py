"""The tensor that names lack to be an LSTM, for messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.weights.claims import (
    claims,
    fits,
    groups,
    missing_slot,
    without_optimizer,
)
from lstmcli.core.weights.slots import Slot, TensorNames
from lstmcli.core.weights.stored import MATRICES
from lstmcli.core.weights.templates import (
    CellIndex,
    is_letter,
    name_ends,
    names_by_row,
)


class _Part(NamedTuple):
    """A cell of which a tensor is missing."""

    row: Convention
    cell: CellIndex
    tensors: TensorNames
    missing: Slot

    @property
    def names(self) -> set[str]:
        """The tensors that are there."""
        return {*self.tensors.values()}

    @property
    def roles(self) -> set[str]:
        """The roles that are there."""
        return {slot.role for slot in self.tensors}


def describe_missing(
    tensors: Collection[str], asked: Sequence[Convention] | None = None
) -> str:
    """The one tensor missing from an otherwise complete set; "" if there is none.

    ``pytorch: weight_hh_l0 is missing; weight_ih_l0 is there``, of the cell with most tensors.
    A dense layer's kernel and bias, whose names are all of a row's, lack nothing.
    """
    names = without_optimizer(tensors)
    rows = asked or [row for row in CONVENTIONS.values() if row.names.by_name]
    complete: set[str] = set()
    parts: list[_Part] = []
    ending = names_by_row(names)
    without_shapes = dict.fromkeys(names, ())
    for row in rows:
        of_row = ending.get(row.name, [])
        for found in claims(row, of_row):
            if fits(found, without_shapes) or not row.names.not_beside:
                complete.update(found.tensors)
        parts += _incomplete(row, of_row)
    telling = []
    for part in parts:
        if _tells(part, is_asked=asked is not None) and not part.names & complete:
            telling.append(part)
    if not telling:
        return ""
    most = max(telling, key=lambda part: len(part.names))  # of equals the first row
    there = _like_missing(most)
    return (
        f"{most.row.name}: {_expected_name(most, there)} is missing; {there} is there"
    )


def _incomplete(row: Convention, names: Sequence[str]) -> list[_Part]:
    parts = []
    for cells in groups(row, names).values():
        for cell, tensors in cells.items():
            missing = missing_slot(row, tensors)
            if missing is not None:
                parts.append(_Part(row, cell, tensors, missing))
    return parts


def _tells(part: _Part, *, is_asked: bool) -> bool:
    """Return whether what is there is an LSTM's: any matrix may be called a kernel, or W."""
    if part.roles.isdisjoint(MATRICES):
        return False
    if not is_asked and all(is_letter(name) for name in part.names):
        return False
    return len(part.roles) > 1 or _has_number_of_layer(part)


def _has_number_of_layer(part: _Part) -> bool:
    for slot, name in part.tensors.items():
        for end in name_ends(name)[part.row.name]:
            if not slot.gate and "{layer}" in end.template.form:
                return True
    return False


def _like_missing(part: _Part) -> str:
    """The name of a tensor that is there: of the same role, or a matrix."""
    matrices = []
    for slot, name in part.tensors.items():
        if slot.role == part.missing.role:
            return name
        if slot.role in MATRICES:
            matrices.append(name)
    return matrices[0]


def _expected_name(part: _Part, there: str) -> str:
    """The name of the missing tensor without its prefix; its role, if the form has a number.

    ``there``: the name of one that is there; of the same role, it shows which form is used.
    """
    row, (role, gate) = part.row, part.missing
    forms = row.names.tensors.get(role, "").split(" | ")
    used = [end.template for end in name_ends(there).get(row.name, ())]
    form = next((template.form for template in used if template.role == role), forms[0])
    if not form or "{number}" in form:
        return f"the {part.missing.words}"
    layer, direction = part.cell
    return form.format(
        gate=row.names.word(gate or row.storage.letters[0], role),
        layer=layer,
        direction=row.names.marks[direction],
    )
