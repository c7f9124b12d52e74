"""From tensors by role to the names that a convention gives them: the inverse of `recognise`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.weights.decode import Tensors
from lstmcli.core.weights.encode import along_directions, encode
from lstmcli.core.weights.templates import direction_marks


def named_tensors(layers: Sequence[Sequence[Cell]], how: Convention) -> dict[str, Array]:
    """The tensors of a network under a convention's names: layers, in each its directions."""
    both = len(layers[0]) == 2
    before = prefix_form(how, len(layers), both)
    assert before is not None, "fitting refuses directions that no name tells"
    named: dict[str, Array] = {}
    for n, layer in enumerate(layers):
        cells = [encode(cell, how) for cell in layer]
        if how.direction_axis:
            cells = [along_directions(cells)]
        for d, tensors in enumerate(cells):
            number = n * len(layer) + d if how.directions_count else n
            for role, gate, array in _each(tensors):
                form = before + _template(how, role, gate, n)
                named[_filled(form, how, role, gate, number, d)] = array
    return named


def prefix_form(how: Convention, layers: int, both: bool) -> str | None:
    """What is written before the templates; None if the row's names cannot tell the directions.

    The first form of ``under`` will do that tells of layers and directions what the templates
    leave open.
    """
    told = "".join(how.tensors.values())
    needs = set()
    if layers > 1 and "{layer}" not in told and "{number}" not in told:
        needs.add("layer")
    if both and not ("{direction}" in told or how.direction_axis or how.directions_count):
        needs.add("direction")
    for form in how.under.split(" | "):
        tells = {"layer"} if "{layer}" in form or "{nth}" in form else set()
        tells |= {"direction"} if "{direction}" in form else set()
        if needs <= tells:
            return form
    return None


def _each(tensors: Tensors) -> Iterator[tuple[str, str, Array]]:
    """Role, gate (or nothing) and array of every tensor."""
    for role, held in tensors.items():
        if isinstance(held, Mapping):
            for gate, array in held.items():
                yield role, gate, array
        else:
            yield role, "", held


def _template(how: Convention, role: str, gate: str, layer: int) -> str:
    if role in how.tensors:
        return how.tensors[role].split(" | ")[0]
    place = how.numbered.index(f"{role}.{gate}" if gate else role)
    number = layer * len(how.numbered) + place
    return how.tensors["numbered"].replace("{number}", str(number))


def _filled(form: str, how: Convention, role: str, gate: str, layer: int, direction: int) -> str:
    return form.format(
        gate=how.word(gate, role) if gate else "",
        layer=layer,
        nth=f"_{layer}" if layer else "",
        direction=direction_marks(how)[direction],
    )
