"""A conversion: both sides, the recipe, and how it was verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    INDENT,
    Sheet,
    Width,
    labelled,
    labelled_command,
    labelled_lines,
)
from lstmcli.views.text import phrases

RECIPE_INDENT = 14  # columns of what a step of the recipe is about


def conversion_sheet(conversion: Mapping[str, Any], width: Width, *, quiet: bool = False) -> Sheet:
    """The lines of a conversion, given as JSON; unless ``quiet``, what was assumed and written."""
    source, target = conversion["source"], conversion["target"]
    sheet = labelled("from", _side(source, conversion["from"]), width)
    for text in () if quiet else conversion["assumed"]:
        sheet.extend(labelled("  assumed", text, width, ASSUMED))
    sheet.extend(labelled("to", _side(target, conversion["to"], conversion["dtype"]), width))
    tensors = [f"{name} {tuple(shape)}" for name, shape in conversion["tensors"].items()]
    sheet.extend(labelled("  tensors", phrases(tensors), width))
    rounding = conversion["rounding"]
    if rounding:
        text = "the weights, from {dtype} to {to}: by {max_abs:.1e} at most".format(**rounding)
        sheet.extend(labelled("  rounded", text, width, ASSUMED))
    if conversion["settings"] and not quiet:
        settings = [f"{name}={value}" for name, value in conversion["settings"].items()]
        text = f"metadata written: {phrases(settings)}"
        sheet.extend(labelled("", text, width))
    sheet.add()
    sheet.extend(_recipe(conversion["recipe"], width))
    sheet.add()
    sheet.extend(labelled("verified", _proof(conversion["proof"], bool(rounding)), width, AGREES))
    sheet.extend(labelled_lines("use", conversion["use"], width))
    command = typed_command("lstm", "run", file_argument(target), "inputs.npy")
    options = conversion["options"]
    sheet.extend(labelled_command("next", f"{command} {options}" if options else command))
    return sheet


def _recipe(steps: list[Mapping[str, str]], width: Width) -> Sheet:
    """The steps from the tensors of the source to those of the target."""
    sheet = Sheet()
    for step in steps:
        remaining = Width(width.prose - INDENT)
        for line in labelled(step["what"], step["text"], remaining, indent=RECIPE_INDENT).lines:
            label = ("" if sheet.lines else "recipe").ljust(INDENT)
            sheet.add((label, "dim"), *line)
    return sheet


def _side(path: str, settings: Mapping[str, Any], dtype: str = "") -> str:
    """The file, its convention, its gate order, the dtype, and the forget bias."""
    name, bias = settings["convention"], settings["forget_bias"]
    per_gate = CONVENTIONS[name].names.has_tensor_per_gate
    order = "" if per_gate else f"gates {spaced_order(settings['gates'])}"
    texts = [path, name, order, dtype, f"forget bias {bias:+g}" if bias else ""]
    return phrases([text for text in texts if text])


def _proof(proof: Mapping[str, Any], rounded: bool) -> str:
    run = (
        f"read back and run next to the source{' with the rounded weights' * rounded}, "
        f"{proof['rows']} sequences of {proof['steps']} steps from a random state: "
    )
    if proof["difference"] == 0:
        return f"{run}h and c are equal, bit for bit"
    return f"{run}h and c are within {proof['difference']:.1e} ({proof['allowed']:.1e} is rounding)"
