"""JSON that describes its arrays: objects in lists, tensors with their shape, numbered members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, cast

from lstmcli.errors import UserError
from lstmcli.formats.text.numbers import is_number

_NUMBERS = ("data", "cpuData", "values", "float_data")
_SHAPES = ("dims", "shape", "size")


def as_columns(value: Any, where: str) -> Any:
    """The value with each list of objects as an object of lists, and tensors in their shape.

    The value itself without any.
    """
    if isinstance(value, dict):
        return _members_as_columns(value, where)
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(value, list) or not isinstance(first, dict) or not first:
        return value
    items = [as_columns(item, f"{where}[{n}]") for n, item in enumerate(value)]
    names = _names_of_tensors(value)
    return dict(zip(names, items, strict=True)) if names else _joined(items, where)


def _members_as_columns(value: dict[str, Any], where: str) -> Any:
    tensor = _tensor_of(value)
    if tensor is not None:
        return tensor
    made = {k: as_columns(member, f"{where}.{k}") for k, member in value.items()}
    return value if all(made[name] is value[name] for name in value) else made


def _names_of_tensors(items: list[Any]) -> list[str]:
    """The names of tensors, such as the outputs of a server; none unless all have one."""
    names = []
    for item in items:
        if not isinstance(item, dict) or _tensor_of(item) is None:
            return []
        if item.get("name") is None:
            return []
        names.append(str(item["name"]))
    return names if len({*names}) == len(names) else []


def _joined(items: list[Any], where: str) -> Any:
    """Converted elements of a list as one value: an object of columns, or the list.

    Nothing is converted again: of lists in lists, that would take twice as
    long a level.
    """
    if not isinstance(items[0], dict):
        return items
    for n, item in enumerate(items):
        if not isinstance(item, dict) or item.keys() != items[0].keys():
            raise UserError(
                f"{where}: element [{n}] is other than element [0], an object with "
                f"{', '.join(items[0])}; objects in a list have the same members."
            )
    columns = {name: [item[name] for item in items] for name in items[0]}
    return {
        name: _joined(column, f"{where}.{name}") for name, column in columns.items()
    }


def _tensor_of(members: Mapping[str, Any]) -> list[Any] | None:
    """The nested list of an object with numbers and a shape, or numbered members."""
    shape = _first_of(members, _SHAPES)
    data = _first_of(members, _NUMBERS)
    if isinstance(data, dict):
        data = _numbered(data)
    if not isinstance(shape, list) or data is None:
        return _numbered(members)
    are_numbers = isinstance(data, list) and all(map(is_number, data))
    are_lengths = all(type(n) is int and n >= 0 for n in shape)
    if not are_numbers or not are_lengths or prod(shape) != len(data):
        return None
    if data:
        for size in shape[:0:-1]:
            data = [data[n : n + size] for n in range(0, len(data), size)]
    return cast(list[Any], data)


def _first_of(members: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((members[name] for name in names if name in members), None)


def _numbered(members: Mapping[str, Any]) -> list[Any] | None:
    """The numbers of ``{"0": 0.1, "1": 0.2}`` in their order."""
    keys = [str(n) for n in range(len(members))]
    if not members or members.keys() != set(keys):
        return None
    numbers = [members[key] for key in keys]
    return numbers if all(map(is_number, numbers)) else None
