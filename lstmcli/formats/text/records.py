"""JSON of objects in lists, of tensors with their shape, and of numbered members, as named arrays.

``[{"step": 0, "h": [...]}, ...]`` is the array h along a first axis of steps;
``{"data": [...], "dims": [7, 1, 3]}`` an array of that shape; ``{"0": 0.1, "1": 0.2}`` a list, as
JavaScript writes its typed arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from lstmcli.errors import UserError

STEPS = ("step", "t", "time", "timestep", "frame")
_NUMBERS = ("data", "cpuData", "values", "float_data")
_SHAPES = ("dims", "shape", "size")


def has_records(value: Any) -> bool:
    """Whether objects in a list, or tensors with a shape, are anywhere in a JSON value."""
    if isinstance(value, dict):
        return _tensor_of(value) is not None or any(map(has_records, value.values()))
    while isinstance(value, list) and value:
        value = value[0]
        if isinstance(value, dict):
            return bool(value)  # an empty object has nothing to be listed
    return False


def as_columns(value: Any, where: str) -> Any:
    """The value with each list of objects as one object of lists, and tensors in their shape.

    Raises
    ------
    UserError
        Objects of a list that have other members than its first.
    """
    if isinstance(value, dict):
        if (tensor := _tensor_of(value)) is not None:
            return tensor
        return {name: as_columns(member, f"{where}.{name}") for name, member in value.items()}
    if not isinstance(value, list) or not has_records(value):
        return value
    items = value
    if not _is_plain(value[0]):
        items = [as_columns(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if names := _names(value):
        return dict(zip(names, items, strict=True))
    return _joined(items, where)


def _is_plain(value: Any) -> bool:
    """Whether nothing of an object is converted: there may be millions of them."""
    nested = isinstance(value, dict) and any(isinstance(m, (list, dict)) for m in value.values())
    return isinstance(value, dict) and not nested and _tensor_of(value) is None


def _joined(items: list[Any], where: str) -> Any:
    """Converted elements of a list as one value: an object of columns, a stack, or the list.

    What is converted is not converted again: of lists in lists that would take twice as long a
    level.
    """
    if not isinstance(items[0], dict):
        return np.stack(items) if isinstance(items[0], np.ndarray) and _alike(items) else items
    for n, item in enumerate(items):
        if not isinstance(item, dict) or item.keys() != items[0].keys():
            raise UserError(
                f"{where}: element [{n}] is other than element [0], an object with "
                f"{', '.join(items[0])}; objects in a list have the same members."
            )
    columns = {name: [item[name] for item in items] for name in items[0]}
    return {name: _joined(column, f"{where}.{name}") for name, column in columns.items()}


def _alike(arrays: list[Any]) -> bool:
    return len({getattr(array, "shape", None) for array in arrays}) == 1


def _names(items: list[Any]) -> list[str]:
    """The names of named tensors, such as the outputs of a server; none of other objects."""
    if not all(isinstance(item, dict) and _tensor_of(item) is not None for item in items):
        return []
    names = [item.get("name") for item in items]
    unique = len({*map(str, names)}) == len(items)
    return [str(name) for name in names] if unique and None not in names else []


def _tensor_of(members: Mapping[str, Any]) -> np.ndarray | None:
    """The array of an object with numbers and their shape; of numbered members, a vector."""
    shape = next((members[name] for name in _SHAPES if name in members), None)
    data = next((members[name] for name in _NUMBERS if name in members), None)
    if isinstance(data, dict):
        data = _numbered(data)
    shape = shape.astype(np.int64).tolist() if isinstance(shape, np.ndarray) else shape
    if isinstance(data, np.ndarray):  # of a large file, whose lists are arrays already
        data = data.tolist() if data.ndim == 1 else None
    if shape is None or data is None or not isinstance(shape, list):
        vector = _numbered(members)
        return None if vector is None else np.array(vector, dtype=np.float64)
    plain = isinstance(data, list) and all(type(x) in (int, float) for x in data)
    sizes = [size for size in shape if type(size) is int]
    if not plain or len(sizes) < len(shape) or prod(sizes) != len(data):
        return None
    return np.array(data, dtype=np.float64).reshape(sizes)


def _numbered(members: Mapping[str, Any]) -> list[Any] | None:
    """The numbers of ``{"0": 0.1, "1": 0.2}`` in their order."""
    keys = [str(n) for n in range(len(members))]
    if not members or members.keys() != set(keys):
        return None
    numbers = [members[key] for key in keys]
    return numbers if all(type(x) in (int, float) for x in numbers) else None
