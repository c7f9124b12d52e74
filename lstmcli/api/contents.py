"""The tensors, settings, inputs and states that files contain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import parse_indices
from lstmcli.core.model.settings import SETTINGS, read_setting
from lstmcli.core.weights.decode import fold_weight_norm
from lstmcli.core.weights.metadata import METADATA_FORMATS
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import Document

INPUT_NAMES = ("inputs", "x")
STATE = "initial_state."
INITIAL_STATES = ((f"{STATE}h", f"{STATE}c"), ("h0", "c0"), ("h_0", "c_0"))
"""The names of h and c in a file with weights or inputs."""
MAX_TENSORS = 1 << 15  # of all files together; to recognise and show each takes up to .2 ms
MAX_NAME = 1000  # characters: patterns of names are tried at every one
MAX_COMPARED = 1000  # attributes; of each, 0.2 ms go into looking whether it is nearly a setting
_WITH_INPUTS = ("lengths", "mask")
_LIKE_INPUTS = re.compile(
    r"(x|inputs?|features?)(_?(train(ing)?|val(id(ation)?)?|test|dev|eval|data|batch|seq|np))?",
    re.I,
)


def is_weight(name: str) -> bool:
    """Whether an array of this name is a weight, not an input or a state."""
    return not (_goes_with_inputs(name) or _LIKE_INPUTS.fullmatch(name))


def _goes_with_inputs(name: str) -> bool:
    """Whether an array of this name is lengths, a mask or a state."""
    return name in _WITH_INPUTS or name.startswith(STATE) or name in chain(*INITIAL_STATES)


def input_names(document: Document) -> list[str]:
    """The arrays of a document that go by a name of inputs: one of `INPUT_NAMES`, or ``x_val``."""
    return [name for name in INPUT_NAMES if name in document.arrays] or [
        name for name in document.arrays if _LIKE_INPUTS.fullmatch(name)
    ]


def inputs_of(document: Document) -> Array:
    """The inputs that a file contains: by their name, or the single array.

    Raises
    ------
    UserError
        if there are none, or several arrays that may be the inputs.
    """
    names = input_names(document) or [
        name for name in document.arrays if not _goes_with_inputs(name)
    ]
    if len(names) == 1:
        return document.arrays[names[0]]
    if not names:
        raise UserError(f"{document.source} holds no array of numbers; inputs are (steps, inputs).")
    lines = [
        f"{document.source} has {', '.join(names)}; which are the inputs? They are named inputs or "
        f"x, or typed FILE:MEMBER, as {document.source}:{names[0]}."
    ]
    if recognise({name: array.shape for name, array in document.arrays.items()}):
        lines.append("  It holds weights, which come first, then the inputs.")
    raise UserError(*lines)


def tensors_in(documents: Sequence[Document]) -> dict[str, Array]:
    """The tensors of all documents by name, without those that are inputs or state."""
    tensors: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for document in documents:
        for name, array in document.arrays.items():
            if not is_weight(name):
                continue
            if name in tensors:
                raise UserError(f"{name} is in both {origin[name]} and {document.source}.")
            if len(name) > MAX_NAME or len(tensors) == MAX_TENSORS:
                raise UserError(_too_large(name, document.source))
            tensors[name], origin[name] = array, document.source
    return fold_weight_norm(tensors)


def _too_large(name: str, source: str) -> str:
    if len(name) > MAX_NAME:
        length = f"{len(name):,} characters; names have {MAX_NAME:,} at most"
        return f"{source}: the name of a tensor, {name[:20]!a}..., has {length}."
    return f"{source} has more than {MAX_TENSORS:,} tensors. Save only those of the LSTM."


def settings_in(*documents: Document) -> dict[str, Any]:
    """The settings among the attributes of documents, checked; later ones win.

    A name that is nearly a setting's is a mistake; any other attribute is ignored.
    """
    settings: dict[str, Any] = {}
    for document in documents:
        settings |= _settings_in(document)
    return settings


def _settings_in(document: Document) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if (dialect := METADATA_FORMATS.get(document.format)) and dialect.convention:
        settings["convention"] = dialect.convention
    compared = len(document.attributes) <= MAX_COMPARED
    for name, value in document.attributes.items():
        if name in SETTINGS or name == "layer":
            where = document.source
            settings[name] = value if name == "layer" else read_setting(name, value, where)
        elif name in ("kernel", "recurrent_kernel", "bias"):
            raise UserError(f"{document.source}: {name} is {value!r}, not an array of numbers.")
        elif compared and (near := did_you_mean(name, SETTINGS)):
            raise UserError(f"{document.source}: {name!r} is no setting.{near}")
    return settings


def read_state(document: Document) -> dict[str, Array]:
    """The state that a file holds: h and c, final_h and final_c, or a trace's last step.

    Raises
    ------
    UserError
        if either is missing.
    """
    for names in (*INITIAL_STATES, ("final_h", "final_c"), ("h", "c")):
        if state := state_members(document, names):
            if names == ("h", "c"):
                _refuse_selected(document)
            if document.layout is not None:  # a table or JSON lines: the last step of a trace
                state = {k: a[-1] for k, a in state.items()}
            return state
    found = ", ".join(name or "one array without a name" for name in document.arrays)
    raise UserError(
        f"{document.source} has {found or 'no arrays'}; "
        "a state has h and c, or final_h and final_c."
    )


def _refuse_selected(document: Document) -> None:
    """Refuse a trace that holds no last step of its run, or only some units."""
    meta = document.attributes.get("meta")
    selected = meta.get("selected", {}) if isinstance(meta, dict) else {}
    steps = parse_indices(selected.get("steps")) if isinstance(selected, dict) else None
    lacks_end = bool(steps) and list(steps or ())[-1] + 1 != selected.get("of_steps")
    columns = document.numbering.columns.values()
    some_units = "units" in selected or any(list(c) != list(range(len(c))) for c in columns)
    if lacks_end or some_units:
        what = "units" if some_units else "steps"
        raise UserError(
            f"{document.source} holds selected {what} of a run; a state is that after the last "
            "step, of all units.",
            "  --save-state FILE writes it, whatever is selected.",
        )


def state_members(document: Document, names: tuple[str, str]) -> dict[str, Array]:
    """h and c by the names that they have in a document; empty if it has neither."""
    found = [name for name in names if name in document.arrays]
    if len(found) == 1:
        lacking = next(name for name in names if name not in found)
        raise UserError(f"{document.source} has {found[0]} and lacks {lacking}; a state has both.")
    return {k: document.arrays[name] for k, name in zip("hc", found, strict=False)}
