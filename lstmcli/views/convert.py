"""A conversion: both sides, the recipe, and how it was verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lstmcli.core.forward.equivalence import Proof
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.selection import format_size
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.recipe import Change
from lstmcli.errors import INPUTS
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    INDENT,
    Sheet,
    Width,
    verdict,
)
from lstmcli.views.text import phrases

if TYPE_CHECKING:
    from lstmcli.api.convert import Conversion

RECIPE_INDENT = 14  # columns of what a step of the recipe is about


def conversion_sheet(conversion: Conversion, width: Width) -> Sheet:
    """The lines of a conversion, with what was assumed and written."""
    source = conversion.model
    proof = _proof(conversion.proof, bool(conversion.rounding))
    sheet = verdict(f"{conversion.target}: {proof}", AGREES, width)
    sequences = f"{conversion.proof.rows} sequences of {conversion.proof.steps} steps"
    text = f"Verified by reading the file back and running both: {sequences} from a random state."
    sheet.label("", text, indent=2)
    sheet.add()
    sheet.label("from", _side(conversion.source, source.settings()))
    if not width.quiet:
        sheet.labels("assumed", source.assumed, ASSUMED)
    dtype = source.cell.dtype.name
    sheet.label("to", _side(conversion.target, conversion.settings_of_target, dtype))
    tensors = [f"{name} {array.shape}" for name, array in conversion.arrays.items()]
    sheet.label("tensors", phrases(tensors))
    rounding = conversion.rounding
    if rounding:
        text = f"from {rounding.dtype} to {rounding.to}: by {format_size(rounding.max_abs)} at most"
        sheet.label("rounded", f"the weights, {text}", ASSUMED)
    if conversion.settings and not width.quiet:
        written = [f"{name}={value}" for name, value in conversion.settings.items()]
        sheet.label("", f"metadata written: {phrases(written)}")
    sheet.section(_recipe(conversion.steps, width))
    sheet.add()
    sheet.labels("use", conversion.use)
    command = typed_command("lstm", "run", file_argument(conversion.target), INPUTS)
    sheet.command("next", f"{command} {conversion.all_options}".rstrip())
    return sheet


def _recipe(steps: Sequence[Change], width: Width) -> Sheet:
    recipe = Sheet(Width(width.prose - INDENT))
    for step in steps:
        recipe.label(step.what, step.text, indent=RECIPE_INDENT)
    sheet, label = Sheet(), "recipe"
    for line in recipe.lines:
        sheet.add((label.ljust(INDENT), "dim"), *line)
        label = ""
    return sheet


def _side(path: str, settings: Mapping[str, Any], dtype: str = "") -> str:
    name, bias = settings["convention"], settings["forget_bias"]
    texts = [path, name]
    if not CONVENTIONS[name].names.has_tensor_per_gate:
        texts.append(f"gates {spaced_order(settings['gates'])}")
    if dtype:
        texts.append(dtype)
    if bias:
        texts.append(f"forget bias {bias:+g}")
    return phrases(texts)


def _proof(proof: Proof, rounded: bool) -> str:
    source = "the source"
    if rounded:
        source = "the source with the rounded weights"
    if proof.difference == 0:
        return f"the same h and c as {source}, bit for bit"
    difference, allowed = format_size(proof.difference), format_size(proof.allowed)
    return f"h and c are within {difference} of {source} ({allowed} is rounding)"
