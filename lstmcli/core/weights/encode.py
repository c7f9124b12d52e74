"""A `Cell` as the named tensors of any convention: the inverse of `decode` and `recognise`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.decode import stack_directions
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.storage import STEPS
from lstmcli.core.weights.stored import ROLES, Stored, Tensors


def encode(cell: Cell) -> Tensors:
    """The tensors of a cell under its convention, by role, or by role and gate.

    The cell must fit the row (`compatibility.fit_or_refuse`, `fold_forget_bias`). It has one bias:
    the first of a row's two takes it, the other is zero. What the row has no role for is left out.
    """
    held = {}
    for role in ROLES:
        array = getattr(cell, role, None)
        if array is not None:
            held[Slot(role)] = array
    stored = Stored(held, cell.convention)
    for step in reversed(STEPS):
        stored = step.write(stored)
    tensors = {}
    for slot in sorted(stored.tensors, key=lambda slot: ROLES.index(slot.role)):
        if slot.role in cell.convention.roles:
            tensors[slot] = np.ascontiguousarray(stored.tensors[slot])
    return tensors


def fold_forget_bias(cell: Cell, convention: Convention) -> Cell:
    """The cell under another convention; the difference in forget bias is added to its bias.

    The sum is rounded to the cell's dtype. A forget gate that is 1 - i has
    neither. With ``initial_state`` "zero", a learned initial state is dropped.
    """
    source = cell.convention
    if source.behaviour.initial_state == "zero":
        cell = replace(cell, initial_h=None, initial_c=None)
    more = cell.dtype.type(
        source.behaviour.forget_bias - convention.behaviour.forget_bias
    )
    if more == 0 or convention.behaviour.coupled == "f=1-i":
        return replace(cell, convention=convention)
    bias, shift = cell.bias, cell.norm_shift
    if shift is None or "norm_shift" not in convention.roles:
        bias = bias.copy()  # (4, H)
        bias[GATES.index("f")] += more
    if shift is not None:
        shift = shift.copy()  # (4, H)
        shift[GATES.index("f")] += more
    return replace(cell, convention=convention, bias=bias, norm_shift=shift)


# ---- names


def named_tensors(layers: Sequence[Sequence[Cell]]) -> dict[str, Array]:
    """The tensors of a network under its convention's names, layer by layer."""
    convention = layers[0][0].convention
    forms = prefix_forms(convention, layers)
    assert forms is not None, "fit_or_refuse refuses directions without names"
    named: dict[str, Array] = {}
    for n, layer in enumerate(layers):
        cells = [encode(cell) for cell in layer]
        if convention.storage.direction_axis:
            cells = [stack_directions(cells)]
        nth = forms[:n].count(forms[n])  # Keras numbers each class of layers
        for d, tensors in enumerate(cells):
            prefix, numbers = _numbers(convention, forms[n], (n, d), len(layer), nth)
            for slot, array in tensors.items():
                form = prefix + _template(convention, slot, numbers.of_builder)
                named[_filled(form, convention, slot, numbers, d)] = array
    return named


def _numbers(
    convention: Convention, form: str, cell: tuple[int, int], directions: int, nth: int
) -> tuple[str, _Numbers]:
    """The form before the templates of a cell, and the numbers in its names."""
    (layer, direction), pairs = cell, convention.names.pairs
    running = layer * directions + direction
    if pairs and directions == 2:  # each direction has a builder
        return f"{pairs}/{form}", _Numbers(0, layer, nth, running)
    if convention.storage.directions_count:
        return form, _Numbers(layer, running, nth, 0)
    return form, _Numbers(layer, layer, nth, 0)


class _Numbers(NamedTuple):
    """The numbers in the names of a cell's tensors."""

    of_builder: int  # the layer, among those that {number} counts on
    layer: int
    nth: int
    builder: int


def _filled(
    form: str, convention: Convention, slot: Slot, numbers: _Numbers, direction: int
) -> str:
    names = convention.names
    gate = ""
    if slot.gate:
        gate = names.word(slot.gate, slot.role)
    return form.format(
        gate=gate,
        layer=numbers.layer,
        nth=_behind(numbers.nth),
        builder=_behind(numbers.builder),
        direction=names.direction_marks[direction],
    )


def _behind(number: int) -> str:
    """A number as it is written behind a name; the first has none."""
    return f"_{number}" if number else ""


def prefix_forms(
    convention: Convention, layers: Sequence[Sequence[Cell]]
) -> list[str] | None:
    """The forms before the templates of each layer; None if the row has no such names.

    Layers of one direction and of two need an axis of directions, or prefixes
    that differ.
    """
    is_mixed = len({len(layer) for layer in layers}) > 1
    is_split = is_mixed and not convention.storage.direction_axis
    forms = []
    for layer in layers:
        form = _prefix_form(convention, len(layers), len(layer) == 2)
        if form is None or (is_split and "{nth}" not in form):
            return None
        forms.append(form)
    return forms


def _prefix_form(convention: Convention, layers: int, both: bool) -> str | None:
    """The first form of ``under`` that has what the templates lack."""
    templates, storage = "".join(convention.names.tensors.values()), convention.storage
    needs = set()
    if layers > 1 and "{layer}" not in templates and "{number}" not in templates:
        needs.add("layer")
    has_axis = storage.direction_axis or storage.directions_count
    if both and not (
        has_axis or "{direction}" in templates or "{builder}" in templates
    ):
        needs.add("direction")
    for form in convention.names.under.split(" | "):
        given = {
            word for word in needs if f"{{{word}}}" in form.replace("{nth}", "{layer}")
        }
        if needs == given:
            return form
    return None


def _template(convention: Convention, slot: Slot, layer: int) -> str:
    tensors, numbered = convention.names.tensors, convention.names.numbered
    if slot.role in tensors:
        return tensors[slot.role].split(" | ")[0]
    number = layer * len(numbered) + numbered.index(slot.text)
    return tensors["numbered"].replace("{number}", str(number))
