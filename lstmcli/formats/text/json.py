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
from typing import Any, BinaryIO

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Shape, compact
from lstmcli.formats.files.limits import MOST_LEVELS
from lstmcli.formats.text.json_objects import as_columns
from lstmcli.formats.text.nested import to_array
from lstmcli.formats.text.numbers import JSON_NAMES, SPECIAL, row_texts
from lstmcli.outputs import json_text

STEPS = ("step", "t", "time", "timestep", "frame")  # names of the indices of steps


def document_of(value: Any, source: str) -> Document:
    """All lists of numbers as float64 arrays, everything else as attributes.

    UserError for a list that is ragged or of other values than numbers or
    strings, and for a name that occurs twice.
    """
    document = Document(source, "json", {})
    columns = as_columns(value, source)
    if isinstance(columns, list):
        document.arrays[""] = to_array(columns, f"{source}: the list")
    elif isinstance(columns, dict):
        _collect(columns, "", document)
    else:
        raise UserError(
            f"{source} is a single value; an object or a list was expected."
        )
    return document if columns is value else _with_steps(document)


def _with_steps(document: Document) -> Document:
    """Arrays of objects in lists, their shared prefix cut, their steps numbered."""
    arrays = _without_shared_prefix(document.arrays)
    vectors = [name for name, array in arrays.items() if array.ndim == 1]
    step = next((name for name in STEPS if name in vectors), None)
    if step is None or len(arrays) == 1:
        return replace(document, arrays=arrays)
    numbers = arrays[step]
    others = {name: array for name, array in arrays.items() if name != step}
    if not _number_steps(numbers, others):
        return replace(document, arrays={step: numbers, **others})
    arrays = _without_shared_prefix(others)
    axes = {array.ndim for array in arrays.values()}
    layout = None
    if len(axes) == 1:
        layout = {2: "steps", 3: "time"}.get(axes.pop())
    part = Part(compact(numbers))
    return replace(document, arrays=arrays, layout=layout, part=part)


def _number_steps(numbers: np.ndarray, arrays: Arrays) -> bool:
    """Return whether numbers are ascending integers, one for each entry of the arrays."""
    if {array.shape[:1] for array in arrays.values()} != {numbers.shape}:
        return False
    with np.errstate(invalid="ignore"):
        are_integers = (numbers.astype(np.int64) == numbers).all()
    return bool(are_integers and (np.diff(numbers) > 0).all())


def _without_shared_prefix(arrays: Arrays) -> Arrays:
    names = [name.split(".") for name in arrays]
    shared = 0
    for level in zip(*(name[:-1] for name in names), strict=False):
        if len({*level}) > 1:
            break
        shared += 1
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
        if isinstance(value, list) and not _is_list_of_words(value):
            document.arrays[full] = to_array(value, f"{document.source}: {full}")
        else:
            document.attributes[full] = value


def _is_list_of_words(value: list[Any]) -> bool:
    """Return whether a list has only strings, and not only those that stand for numbers."""
    return {*map(type, value)} == {str} and not {*value} <= {*SPECIAL}


def write(
    stream: BinaryIO, arrays: Mapping[str, np.ndarray], attributes: dict[str, Any]
) -> None:
    """One object, a member per name, an innermost row of numbers per line.

    A single array without a name is a bare list. Non-finite numbers are the
    strings "NaN", "Infinity" and "-Infinity".
    """
    if set(arrays) == {""} and not attributes:
        pieces = _nested(arrays[""], "")
    else:
        pieces = _object(arrays, attributes)
    for piece in pieces:
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
        if not shape:
            yield next(rows)
        elif len(shape) == 1:
            yield f"[{next(rows)}]"
        elif shape[0] == 0:
            yield "[]"
        else:
            opening = "["
            for _ in range(shape[0]):
                yield f"{opening}\n{indent}  "
                yield from nest(shape[1:], f"{indent}  ")
                opening = ","
            yield f"\n{indent}]"

    return nest(array.shape, indent)
