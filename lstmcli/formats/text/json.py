"""JSON: numbers in nested lists, by name. Names of objects in objects are joined with a dot.

``[{"step": 0, "h": [...]}, ...]`` is the array h along a first axis of steps;
``{"data": [...], "dims": [7, 1, 3]}`` an array of that shape; ``{"0": 0.1,
"1": 0.2}`` a list, as of JavaScript's typed arrays.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from math import prod
from typing import Any, BinaryIO, cast

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Shape, compact
from lstmcli.formats.files.limits import MOST_LEVELS
from lstmcli.formats.text.number_text import (
    JSON_NAMES,
    SPECIAL,
    float32_arrays,
    row_texts,
    to_array,
)
from lstmcli.outputs import json_text


def document_of(value: Any, source: str) -> Document:
    """All lists of numbers as float64 arrays, everything else as attributes.

    UserError for a list that is ragged or of other values than numbers or
    strings, and for a name that occurs twice.
    """
    document = Document(source, "json", {})
    columns = as_columns(value, source)
    records, value = columns is not value, columns
    if isinstance(value, list):
        document.arrays[""] = to_array(value, f"{source}: the list")
    elif isinstance(value, dict):
        _collect(value, "", document)
    else:
        raise UserError(
            f"{source} is a single value; an object or a list was expected."
        )
    if records:
        document = _with_steps(document)
    document.dtypes.update(float32_arrays(document.arrays))
    return document


def _with_steps(document: Document) -> Document:
    """Arrays of objects in lists, their shared prefix cut, their steps numbered."""
    arrays = _without_shared_prefix(document.arrays)
    step = next(
        (name for name in STEPS if name in arrays and arrays[name].ndim == 1), None
    )
    if step is None or len(arrays) == 1:
        return replace(document, arrays=arrays)
    numbers = arrays.pop(step)
    with np.errstate(invalid="ignore"):
        integers = numbers.astype(np.int64)
    lengths = {array.shape[:1] for array in arrays.values()}
    ascend = (integers == numbers).all() and (np.diff(integers) > 0).all()
    if lengths != {numbers.shape} or not ascend:
        return replace(document, arrays={step: numbers, **arrays})
    arrays = _without_shared_prefix(arrays)
    axes = {array.ndim for array in arrays.values()}
    layout = {frozenset({2}): "steps", frozenset({3}): "time"}.get(frozenset(axes))
    part = Part(compact(integers))
    return replace(document, arrays=arrays, layout=layout, part=part)


def _without_shared_prefix(arrays: Arrays) -> Arrays:
    names = [name.split(".") for name in arrays]
    levels = zip(*(name[:-1] for name in names), strict=False)
    shared = len([*takewhile(lambda level: len({*level}) == 1, levels)])
    return {".".join(n[shared:]): arrays[".".join(n)] for n in names}


SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(text: str, source: str, line: int | None = None) -> Any:
    """`json.loads` with its errors as a UserError, and no name allowed twice.

    ``line`` is the number of the line that ``text`` is, of many.
    """
    where = source if line is None else f"{source}, line {line}"
    try:
        value = _DECODER.decode(text)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        at = f"line {line or error.lineno}, column {error.colno}"
        raise UserError(f"{source}: broken JSON at {at}: {what}.") from None
    except RecursionError:
        raise UserError(f"{where} is nested too deeply.") from None
    except _TwiceError as error:
        raise UserError(f'{where} has two members of the name "{error}".') from None
    except (
        UnicodeEncodeError
    ) as error:  # half of a character, which no terminal can show
        raise UserError(
            f"{where}: {error.object[error.start]!a} is not a valid text."
        ) from None
    except ValueError:  # Python's limit on the digits of an integer
        raise UserError(
            f"{where} contains an integer of thousands of digits."
        ) from None


class _TwiceError(Exception):
    """A name occurs twice in one object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _TwiceError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _collect(members: dict[str, Any], prefix: str, document: Document) -> None:
    if prefix.count(".") > MOST_LEVELS:
        raise UserError(f"{document.source} is nested too deeply.")
    for name, value in members.items():
        full = prefix + name
        if isinstance(value, dict) and full != "meta":
            _collect(value, f"{full}.", document)
            continue
        if full in document.arrays or full in document.attributes:
            raise UserError(f'{document.source} has two members of the name "{full}".')
        is_list = isinstance(value, list)
        # numbers such as "NaN" are strings too
        if is_list and not (
            {*map(type, value)} == {str} and not {*value} <= {*SPECIAL}
        ):
            document.arrays[full] = to_array(value, f"{document.source}: {full}")
        else:
            document.attributes[full] = value


def write(
    stream: BinaryIO, arrays: Mapping[str, np.ndarray], attributes: dict[str, Any]
) -> None:
    """One object, a member per name, an innermost row of numbers per line.

    A single array without a name is a bare list. Non-finite numbers are the
    strings "NaN", "Infinity" and "-Infinity".
    """
    is_list = set(arrays) == {""} and not attributes
    for piece in _nested(arrays[""], "") if is_list else _object(arrays, attributes):
        stream.write(piece.encode())
    stream.write(b"\n")


def _object(
    arrays: Mapping[str, np.ndarray], attributes: dict[str, Any]
) -> Iterator[str]:
    opening = "{\n  "
    for name, array in arrays.items():
        yield f"{opening}{json.dumps(name)}: "
        yield from _nested(array, "  ")
        opening = ",\n  "
    for name, value in attributes.items():
        yield f"{opening}{json.dumps(name)}: {json_text(value)}"
        opening = ",\n  "
    yield "\n}" if arrays or attributes else "{}"


def _nested(array: np.ndarray, indent: str) -> Iterator[str]:
    """The nested list of an array of any shape; a 0-d one is a bare number."""
    rows = row_texts(np.atleast_1d(array), JSON_NAMES)

    def nest(shape: Shape, indent: str) -> Iterator[str]:
        if len(shape) < 2:
            yield f"[{next(rows)}]" if shape else next(rows)
            return
        yield "["
        for number in range(shape[0]):
            yield f"{',' if number else ''}\n{indent}  "
            yield from nest(shape[1:], f"{indent}  ")
        yield f"\n{indent}]" if shape[0] else "]"

    return nest(array.shape, indent)


# ---- objects in lists, tensors with their shape, numbered members


STEPS = ("step", "t", "time", "timestep", "frame")
_NUMBERS = ("data", "cpuData", "values", "float_data")
_SHAPES = ("dims", "shape", "size")


def as_columns(value: Any, where: str) -> Any:
    """The value with each list of objects as an object of lists, and tensors in their shape.

    The value itself without any.
    """
    if isinstance(value, dict):
        if (tensor := _tensor_of(value)) is not None:
            return tensor
        made = {
            name: as_columns(member, f"{where}.{name}")
            for name, member in value.items()
        }
        return value if all(made[name] is value[name] for name in value) else made
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(value, list) or not isinstance(first, dict) or not first:
        return value
    items = [as_columns(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if all(isinstance(item, dict) and _tensor_of(item) is not None for item in value):
        names = [item.get("name") for item in value]  # such as the outputs of a server
        if None not in names and len({*map(str, names)}) == len(names):
            return dict(zip(map(str, names), items, strict=True))
    return _joined(items, where)


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
    shape = next((members[name] for name in _SHAPES if name in members), None)
    data = next((members[name] for name in _NUMBERS if name in members), None)
    data = _numbered(data) if isinstance(data, dict) else data
    if not isinstance(shape, list) or data is None:
        return _numbered(members)
    plain = isinstance(data, list) and all(type(x) in (int, float) for x in data)
    lengths = all(type(n) is int and n >= 0 for n in shape)
    if not plain or not lengths or prod(shape) != len(data):
        return None
    for size in shape[:0:-1] if data else ():
        data = [data[n : n + size] for n in range(0, len(data), size)]
    return cast(list[Any], data)


def _numbered(members: Mapping[str, Any]) -> list[Any] | None:
    """The numbers of ``{"0": 0.1, "1": 0.2}`` in their order."""
    keys = [str(n) for n in range(len(members))]
    if not members or members.keys() != set(keys):
        return None
    numbers = [members[key] for key in keys]
    return numbers if all(type(x) in (int, float) for x in numbers) else None
