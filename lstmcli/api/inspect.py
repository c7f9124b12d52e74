"""Inspect files: their tensors, and every LSTM among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli.api import load
from lstmcli.api.documents import (
    Named,
    only_one_stdin,
    read_named,
    refuse_unused,
    settings_in,
    tensors_in,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.core.model.settings import SIZES
from lstmcli.core.weights.assumptions import without_padding
from lstmcli.core.weights.choose_lstm import choose_layer, choose_lstms, layer_options
from lstmcli.core.weights.directions import layers_of_stacks
from lstmcli.core.weights.idle import idle_of_separate_lstms, idle_without_lstm
from lstmcli.core.weights.inspection import Inspection, inspect
from lstmcli.core.weights.packed import cut_flat
from lstmcli.core.weights.surroundings import Surroundings
from lstmcli.core.weights.templates import RecognisedLstm
from lstmcli.errors import UserError
from lstmcli.formats import Document

Found = tuple[RecognisedLstm, str, Model | UserError]
"""An LSTM, what chooses it, and its model or why it cannot be loaded."""


class _Lstms(NamedTuple):
    """The LSTMs in files, and the tensors that they are read from."""

    tensors: Mapping[str, Array]
    every: Sequence[RecognisedLstm]
    found: list[RecognisedLstm]  # without the layers that were not chosen
    models: list[Found]  # of those that are shown


def inspect_files(paths: Sequence[str], settings: Mapping[str, Any]) -> Inspection:
    """Describe the tensors of some files and every LSTM among them, or those of ``layer``.

    A file without an LSTM is not an error, nor are shapes that do not fit.
    """
    documents = _documents(paths)
    source = " + ".join(document.source for document in documents)
    in_files = settings_in(*documents)
    arrays: dict[str, Array] = {}
    for document in documents:
        arrays |= document.arrays
    layer_in_file = in_files.pop("layer", None)
    layer = settings.get("layer", layer_in_file)
    read = _models(documents, in_files, settings, layer)
    found, models = read.found, read.models
    remarks = _remarks(documents, [model for *_, model in models])
    if not found:
        remarks += idle_without_lstm(settings, source)
    order = [*load.run_in_turn(found, documents)]
    in_turn = order if len(order) == len(models) else [*range(len(models))]
    around = Surroundings()
    if order or len(models) == 1:
        find = partial(
            load.surroundings_of,
            documents,
            read.tensors,
            read.every,
            {**in_files, **settings},
            source,
        )
        models, around = _surrounded(models, in_turn, find)
    elif len(models) > 1:
        remarks += idle_of_separate_lstms(settings, source)
    remarks += [*around.remarks, *around.idle]
    inspection = inspect(source, arrays, models, in_files, remarks, around.roles)
    if layer_in_file is None and len(order) == len(found):
        layer_in_file = ",".join(map(str, order)) or None
    return replace(inspection, layer=layer_in_file)


def _documents(paths: Sequence[str]) -> list[Document]:
    """The files read; of several, each has to be of use."""
    only_one_stdin(*paths)
    named = [Named.parse(path) for path in paths]
    documents = [read_named(one, in_blocks=len(named) == 1) for one in named]
    if len(documents) > 1:  # a single file is listed whatever it contains
        shown = [d.source for d in documents if d.arrays or d.groups or settings_in(d)]
        refuse_unused(documents, None, shown)
    return documents


def _models(
    documents: Sequence[Document],
    in_files: Mapping[str, Any],
    settings: Mapping[str, Any],
    layer: str | None,
) -> _Lstms:
    """The LSTMs in the files, and the models of those that are chosen."""
    source = " + ".join(document.source for document in documents)
    stored, given = tensors_in(documents), {**in_files, **settings}
    tensors = cut_flat(stored, given, source)
    if tensors.keys() != stored.keys():  # its cuts do not apply to the pieces
        settings = {
            name: value for name, value in settings.items() if name not in SIZES
        }
    every = load.find_lstms(tensors, given.get("convention"), source, documents)
    found = every
    for one in found:
        tensors |= {name: np.asarray(tensors[name]) for name in one.tensors}
    layers = layers_of_stacks(found)
    if layers and layer is not None:
        found = [choose_layer(layers, layer, source)]
    if layers:
        layer = None
    names = layer_options(found)
    models: list[Found] = []
    for n in _chosen(found, layer, tensors, source):
        model = _model_of(found[n], documents, tensors, settings)
        models.append((found[n], names[n], model))
    return _Lstms(tensors, every, found, models)


def _remarks(
    documents: Sequence[Document], models: Iterable[Model | UserError]
) -> list[str]:
    """The remarks of the files, and lines on settings that change nothing, each once."""
    remarks: list[str] = []
    for document in documents:
        remarks.extend(document.remarks)
    idle: dict[str, None] = {}
    for model in models:
        if isinstance(model, Model):
            idle |= dict.fromkeys(model.idle)
    return [*remarks, *idle]


def _surrounded(
    models: list[Found], order: Sequence[int], find: Callable[..., Surroundings]
) -> tuple[list[Found], Surroundings]:
    """LSTMs that are run in turn: the first with their front, the last with their head."""
    lstms = [models[n][0] for n in order]
    if len(order) > 1:
        first = models[order[0]][2]
        models = [(one, name, _in_turn(m, first)) for one, name, m in models]
    read = [model for *_, model in models if isinstance(model, Model)]
    if len(read) < len(models):
        return models, Surroundings()
    start, end = order[0], order[-1]
    around = find(lstms, (read[start].layers[0], read[end].layers[-1]))
    read[start] = replace(read[start], front=around.front)
    assumed = (*read[end].assumed, *around.assumed)
    read[end] = replace(read[end], head=around.head, assumed=assumed)
    return [
        (one, name, m) for (one, name, _), m in zip(models, read, strict=True)
    ], around


def _in_turn(model: Model | UserError, first: Model | UserError) -> Model | UserError:
    """A model as it runs after the first one, whose mask reaches it if it has the same."""
    if isinstance(model, UserError) or isinstance(first, UserError):
        return model
    mask = first.masking
    if mask is None or mask.layer not in [one.layer for one in model.masks]:
        return model
    return replace(without_padding(model), masks=first.masks)


def _chosen(
    found: Sequence[RecognisedLstm],
    layer: str | None,
    tensors: Mapping[str, Array],
    source: str,
) -> list[int]:
    if layer is None:
        return list(range(len(found)))
    settled = [replace(one, rivals=[]) for one in found]
    return [
        settled.index(one) for one in choose_lstms(settled, str(layer), tensors, source)
    ]


def _model_of(
    found: RecognisedLstm,
    documents: Sequence[Document],
    tensors: Mapping[str, Array],
    settings: Mapping[str, Any],
) -> Model | UserError:
    try:
        return load.load_one(found, tensors, documents, settings)
    except UserError as error:
        return error
