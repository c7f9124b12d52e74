"""A conversion as a sheet: both sides, the recipe, the proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.templates import has_tensor_per_gate
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.prose import INDENT, apart, labelled, room_of, to_copy
from lstmcli.views.sheet import AGREES, ASSUMED, Sheet

RECIPE = 14  # the room for what a step is about


def conversion_sheet(conversion: Mapping[str, Any], width: int | None) -> Sheet:
    """The lines of a conversion, as `Conversion.to_json` tells it."""
    source, path = conversion["source"], conversion["target"]
    sheet = labelled("from", _side(source, conversion["from"]), width)
    for text in conversion["assumed"]:
        sheet.extend(labelled("  assumed", text, width, ASSUMED))
    sheet.extend(labelled("to", _side(path, conversion["to"], conversion["dtype"]), width))
    tensors = [f"{name} {_shape(shape)}" for name, shape in conversion["tensors"].items()]
    sheet.extend(labelled("  tensors", apart(tensors), width))
    if conversion["settings"]:
        told = [f"{name}={value}" for name, value in conversion["settings"].items()]
        sheet.extend(labelled("  told", apart(told), width))
    sheet.add()
    label = "recipe"
    for step in conversion["recipe"]:
        room = room_of(width) - INDENT
        lines = labelled(step["what"], step["text"], room, indent=RECIPE)
        for line in lines.lines:
            sheet.add((label.ljust(INDENT), "dim"), *line)
            label = ""
    sheet.add()
    sheet.extend(labelled("proof", _proof(conversion["proof"]), width, AGREES))
    for n, text in enumerate(conversion["use"]):
        sheet.extend(labelled("" if n else "use", text, width))
    command = typed_command("lstm", "run", file_argument(path), "inputs.npy")
    options = conversion["options"]
    sheet.extend(to_copy("next", f"{command} {options}" if options else command))
    return sheet


def _side(path: str, settings: Mapping[str, Any], dtype: str = "") -> str:
    """The file, its convention, its order of gates, and what is added to the forget gate."""
    name = settings["convention"]
    order = (
        "" if has_tensor_per_gate(CONVENTIONS[name]) else f"gates {spaced_order(settings['gates'])}"
    )
    added = settings["forget_bias"]
    words = [path, name, order, dtype, f"forget bias {added:+g}" if added else ""]
    return apart([word for word in words if word])


def _shape(sizes: list[int]) -> str:
    return str(tuple(sizes))


def _proof(proof: Mapping[str, Any]) -> str:
    ran = (
        f"read back and run beside the source, {proof['rows']} rows of {proof['steps']} steps from "
        "a random state: "
    )
    if proof["difference"] == 0:
        return f"{ran}h and c are equal, bit for bit"
    return f"{ran}h and c are within {proof['difference']:.1e} ({proof['allowed']:.1e} is rounding)"
