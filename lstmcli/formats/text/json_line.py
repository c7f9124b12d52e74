"""The first line of JSON lines: whether it is the inputs of a step, or a step of a trace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lstmcli.formats.text.numbers import is_number
from lstmcli.formats.text.step_writers import STEP

INPUT_NAMES = ("inputs", "x")
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
    if not OPENING.match(line):
        return ""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, list):
        return "inputs" if value and all(map(is_number, value)) else ""
    return _kind_of_object(value) if isinstance(value, dict) else ""


def _kind_of_object(members: Mapping[str, Any]) -> str:
    inputs = inputs_of(members)
    if STEP in members:
        return "trace" if inputs is None else "inputs"
    nested = {k: v for k, v in members.items() if isinstance(v, list | dict)}
    if not nested:
        return ""
    for name, value in nested.items():
        if name not in INPUT_NAMES or isinstance(value, dict):
            return ""
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], list):
        return "either"
    return "inputs"


def inputs_of(record: Mapping[str, Any]) -> Any:
    """The inputs of a step among a line's members; None without."""
    return next((record[name] for name in INPUT_NAMES if name in record), None)
