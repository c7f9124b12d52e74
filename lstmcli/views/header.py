"""How the files of a run were interpreted: the weights, the inputs and the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.forward.plan import Plan
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.edits import RUN_BEFORE, STATE
from lstmcli.core.model.model import Model
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.views.conventions import unusual_settings
from lstmcli.views.sheet import ASSUMED, Sheet, Width, labelled, labelled_lines
from lstmcli.views.text import count, phrases

HEADER_INDENT = 9  # columns of the labels


def header_sheet(plan: Plan, width: Width, engine: str = "", *, quiet: bool = False) -> Sheet:
    """The weights, the inputs and the configuration; unless ``quiet``, what of it was assumed."""
    model, shape = plan.model, plan.inputs.x.shape
    sheet = Sheet()
    _two_parts(sheet, "weights", _tensors(model), _sizes(model), width)
    read = f"{tuple(shape)}" + (f"  layout {plan.layout}" if len(shape) == 3 else "")
    sizes = f"batch {plan.batch} x {count(plan.steps, 'step')} x {count(shape[-1], 'input')}"
    _two_parts(sheet, "inputs", read, sizes, width)
    sheet.extend(_config(model, engine, width, plan.mask_words))
    assumed = [] if quiet else _assumed(plan)
    sheet.extend(labelled_lines("assumed", assumed, width, ASSUMED, HEADER_INDENT))
    sheet.add()
    return sheet


def model_sheet(model: Model, width: Width) -> Sheet:
    """The weights and the configuration of a model without inputs, and what was assumed."""
    sheet = Sheet()
    _two_parts(sheet, "weights", _tensors(model), _sizes(model), width)
    mask = f"mask from {model.masking}" if model.masking else ""
    sheet.extend(_config(model, "", width, mask))
    sheet.extend(labelled_lines("assumed", model.assumed, width, ASSUMED, HEADER_INDENT))
    return sheet


def _config(model: Model, engine: str, width: Width, mask: str) -> Sheet:
    """The configuration with its ``mask``, and that of each layer where they differ."""
    same = all(layer[0].convention == model.convention for layer in model.layers)
    sheet = Sheet()
    texts = [*_configuration(model, same, engine), *filter(None, [mask])]
    sheet.extend(_labelled("config", texts, width))
    labels = model.labels or ([] if same else [""] * len(model.layers))
    for n, (label, layer) in enumerate(zip(labels, model.layers, strict=False)):
        settings = [] if same else _settings(layer[0].convention, model)
        texts = [text for text in (label, *settings) if text not in ("", "forget bias 0")]
        sheet.extend(_labelled(f"layer{n}", texts or [" "], width))
    return sheet


def _tensors(model: Model) -> str:
    """The tensors with their shapes; of many, the first and how many more."""
    texts = [f"{name} {shape}" for name, shape in model.tensors.items()]
    if len(texts) <= 4:
        return "  ".join(texts)
    return f"{texts[0]}  and {len(texts) - 1} more tensors"


def _sizes(model: Model) -> str:
    """``4 inputs -> 3 units``, with layers, directions and a projection where there are any."""
    cell = model.cell
    text = f"{count(cell.inputs, 'input')} -> {count(cell.units, 'unit')}"
    if cell.projection is not None:
        text += f" -> {cell.outputs}"
    if len(model.layers) > 1:
        text += f", {len(model.layers)} layers"
    return text + (", both directions" if model.bidirectional else "")


def _configuration(model: Model, same: bool, engine: str) -> list[str]:
    """The convention with its gate order, the dtype, and the settings if all layers share them."""
    convention = model.convention
    texts = [
        convention.name,
        f"gates {spaced_order(convention.storage.gates)}",
        model.cell.dtype.name,
    ]
    texts += _settings(convention, model) if same else []
    texts += [f"run by {engine}"] if engine else []
    return texts + [f"edit {edit.text}" for edit in model.edits]


def _settings(convention: Convention, model: Model) -> list[str]:
    """The forget bias, and the settings that a plain cell does not have."""
    excluded = {"gates", "layout"} | ({"masked_output"} - set(model.given))
    bias = [] if convention.behaviour.forget_bias else ["forget bias 0"]
    return bias + unusual_settings(convention, excluded)


def _assumed(plan: Plan) -> list[str]:
    """What is neither in the files nor given."""
    assumed = [*plan.model.assumed]
    learned = all(cell.initial_h is not None for _, cell in plan.model.cells)
    edited = any(edit.kind.stage in (STATE, RUN_BEFORE) for edit in plan.model.edits)
    if not (plan.inputs.initial_state or learned or edited):
        assumed.append("zero initial state")
    if plan.assumed_layout:
        assumed.append(plan.assumed_layout)
    return assumed


def _two_parts(sheet: Sheet, label: str, left: str, right: str, width: Width) -> None:
    """Add a line with the sizes at its right end, or below where they do not fit."""
    gap = width.prose - HEADER_INDENT - len(right) - len(left)
    if gap > 1:
        sheet.add((label.ljust(HEADER_INDENT), "dim"), left, " " * gap, right)
    else:
        sheet.extend(_labelled(label, [*left.split("  "), right], width))


def _labelled(label: str, texts: Sequence[str], width: Width) -> Sheet:
    """Phrases with three spaces between them, on as many lines as they need."""
    return labelled(label, phrases(texts), width, indent=HEADER_INDENT)
