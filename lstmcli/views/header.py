"""How the files of a run were interpreted: the weights, the inputs and the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.forward.plan import Plan
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Model
from lstmcli.core.model.settings import Assumption
from lstmcli.core.model.surroundings import STEPS
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.assumptions import shorten_assumption
from lstmcli.core.weights.surroundings import suggested_head
from lstmcli.errors import listed
from lstmcli.views.conventions import unusual_settings
from lstmcli.views.sheet import ASSUMED, Sheet, Width
from lstmcli.views.text import count, phrases, unbroken


def header_sheet(plan: Plan, width: Width, engine: str = "") -> Sheet:
    """The weights, the inputs and the configuration, and what was assumed."""
    shape = plan.inputs.x.shape
    sizes = f"batch {plan.batch} x {count(plan.steps, 'step')} x {count(shape[-1], 'input')}"
    layout = f"layout {plan.layout}" * (len(shape) == 3 and not plan.assumed_layout)
    given = str(shape)
    if plan.inputs.indices is not None:
        given = f"{plan.inputs.indices.shape} indices"
    padding = plan.padding_words, ""
    of_inputs, of_model = padding[::-1] if plan.inputs.mask_from else padding
    inputs = [file_name(plan.inputs.name), given, layout, sizes, of_inputs]
    sheet = _weights(plan.model, width)
    sheet.label("inputs", phrases([*filter(None, inputs)]))
    is_own = plan.inputs.indices is None
    sheet.extend(surroundings_sheet(plan.model, width, has_own_inputs=is_own))
    sheet.extend(_config(plan.model, engine, width, of_model))
    shown = () if width.quiet else not_in_rows(plan.assumed)
    assumed = map(shorten_assumption, shown)
    sheet.label("assumed", "; ".join(map(unbroken, assumed)), ASSUMED)
    sheet.add()
    return sheet


def model_sheet(model: Model, width: Width) -> Sheet:
    """The weights and the configuration of a model, and what was assumed."""
    sheet = _weights(model, width)
    mask = f"mask from {model.masking}" if model.masking else ""
    sheet.extend(surroundings_sheet(model, width))
    sheet.extend(_config(model, "", width, mask))
    sheet.labels("assumed", not_in_rows(model.assumed), ASSUMED)
    return sheet


def _weights(model: Model, width: Width) -> Sheet:
    files = listed([*map(file_name, model.sources)], 1)
    texts = [*filter(None, [files]), *_tensors(model), model.sizes]
    return Sheet(width).label("weights", phrases(texts))


def file_name(path: str) -> str:
    """The last part of a path, the name of a file on a screen."""
    return path.rstrip("/").rpartition("/")[2]


def _config(model: Model, engine: str, width: Width, mask: str) -> Sheet:
    convention = model.convention
    same = all(layer[0].convention == convention for layer in model.layers)
    gates = f"gates {spaced_order(convention.storage.gates)}"
    texts = [convention.name, gates, model.cell.dtype.name]
    texts += _settings(convention, model) if same else []
    texts += [f"run by {engine}"] * bool(engine)
    texts += [f"edit {edit.text}" for edit in model.edits] + [mask] * bool(mask)
    sheet = Sheet(width).label("config", phrases(texts))
    labels = model.labels or ([] if same else [""] * len(model.layers))
    for n, (label, layer) in enumerate(zip(labels, model.layers, strict=False)):
        settings = [] if same else _settings(layer[0].convention, model)
        texts = [
            text for text in (label, *settings) if text not in ("", "forget bias 0")
        ]
        sheet.label(f"layer{n}", phrases(texts) or " ")
    return sheet


def surroundings_sheet(
    model: Model, width: Width, *, has_own_inputs: bool = False
) -> Sheet:
    """A row for the front and one for the head, where there are any.

    ``has_own_inputs``: the front has nothing to do, as the inputs are the LSTM's.
    """
    sheet = Sheet(width)
    if model.front is not None:
        text = f"{model.front.name} {model.front.table.shape}"
        if has_own_inputs:
            text += ", not used: the inputs are the LSTM's own"
        elif model.front.masks_zero:
            text += ", index 0 masked"
        sheet.label("front", text)
    head = model.head
    if head is None:
        return sheet
    texts = []
    for layer in head.layers:
        shape = "" if layer.kernel is None else f" {layer.kernel.shape}"
        activation = "" if layer.activation == "identity" else f" {layer.activation}"
        texts.append(f"{layer.name}{shape}{activation}")
    if any(map(_is_in_row, model.assumed)):
        plural = "s" if len(texts) > 1 else ""
        way = f"--head {suggested_head(head)}"
        texts.append(f"activation{plural} assumed identity ({way})")
    texts.append(STEPS[head.steps])
    return sheet.label("head", ", ".join(texts))


def not_in_rows(assumed: Sequence[str]) -> list[str]:
    """The assumptions that the row of the head has not."""
    return [text for text in assumed if not _is_in_row(text)]


def _is_in_row(text: str) -> bool:
    return isinstance(text, Assumption) and text.option == "--head"


def _tensors(model: Model) -> list[str]:
    texts = [f"{name} {shape}" for name, shape in model.tensors.items()]
    if len(texts) <= 4:
        return [", ".join(texts)] if len(texts) <= 2 else texts
    return [texts[0], f"{len(texts) - 1} more tensors"]


def _settings(convention: Convention, model: Model) -> list[str]:
    excluded = {"gates", "layout"} | ({"masked_output"} - set(model.given))
    bias = [] if convention.behaviour.forget_bias else ["forget bias 0"]
    return bias + unusual_settings(convention, excluded)
