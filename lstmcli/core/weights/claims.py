"""Groups of tensors that a row of the table claims by names, each with the slots of its cells."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lstmcli.core.model.conventions import Convention
from lstmcli.core.weights.slots import Slot, TensorNames
from lstmcli.core.weights.stored import MATRICES
from lstmcli.core.weights.templates import (
    CellIndex,
    NameEnd,
    RecognisedLstm,
    Shapes,
    gates_of,
    name_ends,
    normalise,
)

Cells = dict[CellIndex, TensorNames]

FORWARD = ("", "forward", "fw", "fwd", "l", "0")
_OPTIMIZER = re.compile(
    r"(^|_)(n?adam\w*|rmsprop|adagrad|adadelta|adafactor|ftrl|sgd|momentum|optimizer\w*)(_|$)"
    r"|^lion_m_",
    re.I,
)


def is_of_optimizer(name: str) -> bool:
    """Return whether a tensor is an optimizer's copy of another."""
    return _OPTIMIZER.search(normalise(name)) is not None


def without_optimizer(names: Iterable[str]) -> list[str]:
    """The names that are not those of an optimizer's copies."""
    return [name for name in names if not is_of_optimizer(name)]


def claims(row: Convention, names: Iterable[str]) -> list[RecognisedLstm]:
    """The LSTMs of a row among names that no other row fits better."""
    return _complete(row, groups(row, names))


def requested_claims(row: Convention, names: list[str]) -> list[RecognisedLstm]:
    """The LSTMs of a row that is asked for, at any prefix.

    Names that another row fits better count only if nothing else is found: TensorFlow 1's kernel
    would else be found a second time, in Keras' ``recurrent_kernel``.
    """
    own = [name for name in names if any(end.is_longest for end in _ends(row, name))]
    for some in (own, names):
        found = _complete(row, groups(row, some, at_any_prefix=True))
        if found:
            return found
    return []


def groups(
    row: Convention, names: Iterable[str], *, at_any_prefix: bool = False
) -> dict[str, Cells]:
    """The tensors whose names end in the row's templates, by prefix, cell and role."""
    found: dict[str, Cells] = {}
    for name in names:
        for end in _ends(row, name):
            is_own = end.is_longest and re.search(row.names.within, end.prefix)
            if not (is_own or at_any_prefix):
                continue
            prefix, cell, slot = _locate(row, end)
            found.setdefault(prefix, {}).setdefault(cell, {})[slot] = name
    return found


def missing_slot(row: Convention, tensors: TensorNames) -> Slot | None:
    """A tensor that a cell needs and lacks, if there is one."""
    roles = {Slot.parse(text).role for text in row.names.numbered} | set(
        row.names.tensors
    )
    for role in sorted(roles.intersection(MATRICES).union(row.names.required)):
        for slot in lacking_slots(row, role, tensors):
            return slot
    return None


def lacking_slots(row: Convention, role: str, tensors: TensorNames) -> list[Slot]:
    """The slots of a role that a cell has no tensors for: one, or those of some gates."""
    there = {slot.gate for slot in tensors if slot.role == role}
    if not there:
        return [Slot(role)]
    if "" in there:
        return []
    needed = set(row.storage.letters) - set(row.storage.absent)
    return [Slot(role, gate) for gate in sorted(needed - there)]


def fits(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether shapes can be this row's, as far as rows of equal names differ."""
    row = found.convention
    if row.names.not_beside:
        for name in map(normalise, shapes):
            is_near = name.startswith(found.prefix)
            if is_near and re.search(row.names.not_beside, name):
                return False
    return all(_fits_shapes(row, names, shapes) for names in found.cells.values())


def _fits_shapes(row: Convention, names: TensorNames, shapes: Shapes) -> bool:
    slots = (Slot("recurrent_kernel"), Slot("fused"), Slot("bias"))
    recurrent, fused, bias = (shapes.get(names.get(slot, "")) for slot in slots)
    if recurrent is None:
        return fused is None or len(fused) == 2
    sides = recurrent[-2:]
    if len(sides) < 2:
        return False
    other_halves = 3 - row.storage.bias_halves  # of 1 and 2
    return bias is None or bias[-1:] != (other_halves * max(sides),)


def _ends(row: Convention, name: str) -> Iterable[NameEnd]:
    return name_ends(name).get(row.name, ())


def _complete(row: Convention, by_prefix: dict[str, Cells]) -> list[RecognisedLstm]:
    """The groups with a complete cell; what the other cells of these lack."""
    found = []
    for prefix, cells in by_prefix.items():
        complete: Cells = {}
        lacking: dict[CellIndex, Slot] = {}
        for cell in sorted(cells):
            missing = missing_slot(row, cells[cell])
            if missing is None:
                complete[cell] = cells[cell]
            else:
                lacking[cell] = missing
        if complete:
            found.append(RecognisedLstm(row, prefix, complete, lacking))
    return found


def _locate(row: Convention, end: NameEnd) -> tuple[str, CellIndex, Slot]:
    """The prefix of a tensor's group, its layer and direction, and its slot."""
    prefix, parts = end.prefix, dict[str, str]()
    if row.names.path:  # whose matches have the layer and the direction
        for match in re.finditer(row.names.path, prefix):
            given = {
                key: text for key, text in match.groupdict().items() if text is not None
            }
            parts |= given
        prefix = normalise(re.sub(row.names.path, "", prefix))
    parts |= end.parts
    layer = int(parts.get("layer") or 0)
    direction = 0 if parts.get("direction", "") in FORWARD else 1
    slot = Slot(end.template.role)
    if "number" in parts:
        layer, place = divmod(int(parts["number"]), len(row.names.numbered))
        slot = Slot.parse(row.names.numbered[place])
    if parts.get("gate"):
        slot = Slot(slot.role, _gate_called(row, slot.role, parts["gate"]))
    return prefix, (layer, direction), slot


def _gate_called(row: Convention, role: str, word: str) -> str:
    for gate in gates_of(row, role):
        if word in map(normalise, row.names.words_of(gate, role)):
            return gate
    raise ValueError(word)  # a template matches the words of its gates only
