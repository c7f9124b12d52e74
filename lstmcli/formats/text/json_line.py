"""The first line of JSON lines: whether it is the inputs of a step, or a step of a trace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lstmcli.formats.text.number_text import STEP, is_number

INPUTS = ("inputs", "x")
OPENING = re.compile(
    r'\s*(?:\[\s*[^\[\s]|\{.*"(?:step|inputs|x)")'
)  # other first lines may be a long document: not parsed


def kind_of_line(line: str) -> str:
    """Return what a first line of JSON lines has: "inputs" or "trace"; "" for something else.

    Inputs are a list of numbers, or an object with "inputs" or "x" and no
    other list (others make a document of weights and inputs); a trace is an
    object with "step". A line of "either" alone could be a document:
    {"inputs": [[...], ...]}.
    """
    value = tried(line) if OPENING.match(line) else None
    if isinstance(value, list):
        return "inputs" if value and all(map(is_number, value)) else ""
    if not isinstance(value, dict):
        return ""
    inputs = inputs_of(value)
    if STEP in value:
        return "trace" if inputs is None else "inputs"
    kinds = {name: type(member) for name, member in value.items()}
    nested = {name for name, kind in kinds.items() if kind in (list, dict)}
    if not nested <= {*INPUTS} or {kinds[name] for name in nested} != {list}:
        return ""
    is_batch = isinstance(inputs, list) and [*map(type, inputs[:1])] == [list]
    return "either" if is_batch else "inputs"


def inputs_of(record: Mapping[str, Any]) -> Any:
    """The inputs of a step among a line's members; None without."""
    return next((record[name] for name in INPUTS if name in record), None)


def tried(line: str) -> Any:
    """The value of a line; None if it is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
