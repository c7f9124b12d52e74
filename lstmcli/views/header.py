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
from lstmcli.errors import listed
from lstmcli.views.conventions import unusual_settings
from lstmcli.views.sheet import ASSUMED, Sheet, Width
from lstmcli.views.text import count, phrases, unbroken


def header_sheet(plan: Plan, width: Width, engine: str = "") -> Sheet:
    """The weights, the inputs and the configuration, and what was assumed."""
    shape = plan.inputs.x.shape
    sizes = f"batch {plan.batch} x {count(plan.steps, 'step')} x {count(shape[-1], 'input')}"
    inputs = [file_name(plan.inputs.name)]
    if plan.inputs.indices is None:
        inputs.append(str(shape))
    else:
        inputs.append(f"{plan.inputs.indices.shape} indices")
    if len(shape) == 3 and not plan.assumed_layout:
        inputs.append(f"layout {plan.layout}")
    inputs.append(sizes)
    mask = ""  # of a layer of the model
    if plan.inputs.mask_from:
        mask = plan.padding_words
    else:
        inputs.append(plan.padding_words)
    sheet = _weights(plan.model, width)
    sheet.label("inputs", phrases(list(filter(None, inputs))))
    is_own = plan.inputs.indices is None
    sheet.extend(surroundings_sheet(plan.model, width, has_own_inputs=is_own))
    sheet.extend(_config(plan.model, engine, width, mask))
    if not width.quiet:
        assumed = map(shorten_assumption, not_in_rows(plan.assumed))
        sheet.label("assumed", "; ".join(map(unbroken, assumed)), ASSUMED)
    sheet.add()
    return sheet


def model_sheet(model: Model, width: Width) -> Sheet:
    """The weights and the configuration of a model, and what was assumed."""
    sheet = _weights(model, width)
    mask = ""
    if model.masking:
        mask = f"mask from {model.masking}"
    sheet.extend(surroundings_sheet(model, width))
    sheet.extend(_config(model, "", width, mask))
    sheet.labels("assumed", not_in_rows(model.assumed), ASSUMED)
    return sheet


def _weights(model: Model, width: Width) -> Sheet:
    texts = []
    if model.sources:
        texts.append(listed(list(map(file_name, model.sources)), 1))
    texts.extend(_tensors(model))
    texts.append(model.sizes)
    return Sheet(width).label("weights", phrases(texts))


def file_name(path: str) -> str:
    """The last part of a path, the name of a file on a screen."""
    return path.rstrip("/").rpartition("/")[2]


def _config(model: Model, engine: str, width: Width, mask: str) -> Sheet:
    convention = model.convention
    same = all(layer[0].convention == convention for layer in model.layers)
    gates = f"gates {spaced_order(convention.storage.gates)}"
    texts = [convention.name, gates, model.cell.dtype.name]
    if same:
        texts.extend(_settings(convention, model))
    if engine:
        texts.append(f"run by {engine}")
    texts.extend(f"edit {edit.text}" for edit in model.edits)
    if mask:
        texts.append(mask)
    sheet = Sheet(width).label("config", phrases(texts))
    if same and not model.labels:
        return sheet
    labels = model.labels or [""] * len(model.layers)
    for n, (label, layer) in enumerate(zip(labels, model.layers, strict=False)):
        texts = []
        if label:
            texts.append(label)
        if not same:
            settings = _settings(layer[0].convention, model)
            texts.extend(text for text in settings if text != "forget bias 0")
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
        words = [layer.name]
        if layer.kernel is not None:
            words.append(str(layer.kernel.shape))
        if layer.activation != "identity":
            words.append(layer.activation)
        texts.append(" ".join(words))
    if any(map(_is_in_row, model.assumed)):
        what = "activation"
        if len(texts) > 1:
            what = "activations"
        way = f"--head {head.suggested}"
        texts.append(f"{what} assumed identity ({way})")
    texts.append(STEPS[head.steps])
    return sheet.label("head", ", ".join(texts))


def not_in_rows(assumed: Sequence[str]) -> list[str]:
    """The assumptions that the row of the head has not."""
    return [text for text in assumed if not _is_in_row(text)]


def _is_in_row(text: str) -> bool:
    return isinstance(text, Assumption) and text.option == "--head"


def _tensors(model: Model) -> list[str]:
    texts = [f"{name} {shape}" for name, shape in model.tensors.items()]
    if len(texts) <= 2:
        return [", ".join(texts)]
    if len(texts) <= 4:
        return texts
    return [texts[0], f"{len(texts) - 1} more tensors"]


def _settings(convention: Convention, model: Model) -> list[str]:
    excluded = {"gates", "layout"}
    if "masked_output" not in model.given:
        excluded.add("masked_output")
    settings = unusual_settings(convention, excluded)
    if not convention.behaviour.forget_bias:
        settings.insert(0, "forget bias 0")
    return settings
