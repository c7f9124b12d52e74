"""The chain of LSTMs in a Keras model's config, each of which takes the outputs of the one before.

A Sequential lists its layers in their order. A functional model has the sources of each layer's
inputs: as lists ``[layer, node, tensor, kwargs]`` before Keras 3, as arguments with a
``keras_history`` since (Keras 2.2.5, tf_keras 2.21, keras/src/models/functional.py 3.15).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.formats.keras.layers import Config, config_of, layer_name, serialized_layers

PASSING = {  # layers that return their inputs unchanged when a model is run, not trained
    "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "Identity",
}  # fmt: skip
MOST_HOPS = 64  # layers between two LSTMs


def lstm_chain(model: Any) -> tuple[str, ...]:
    """The names of all layers of a model that run an LSTM, if each feeds the next; else ().

    A single layer is a chain: it may run a stack of cells. Between two LSTMs there may only be
    layers of `PASSING`. A model within the model, or an LSTM that returns only its last step or
    starts from another's state, cannot be part of a chain.
    """
    if not isinstance(model, dict):
        return ()
    layers = [layer for layer in serialized_layers(model) if isinstance(layer, dict)]
    names = [str(layer_name(layer)) for layer in layers]
    if len({*names}) < len(names):
        return ()
    by_name = dict(zip(names, layers, strict=True))
    lstms = [name for name in names if _runs_an_lstm(by_name[name])]
    sources = _sources(model, layers)
    fed_by = {name: _lstm_before(name, by_name, sources) for name in lstms}
    chain = [name for name in lstms if fed_by[name] not in lstms]
    if len(chain) != 1:
        return ()
    while following := [name for name in lstms if fed_by[name] == chain[-1]]:
        if len(following) > 1 or following[0] in chain:
            return ()
        chain += following
    return tuple(chain) if len(chain) == len(lstms) else ()


def _class_name(layer: Config) -> str:
    """The class without the package or module that it is registered under."""
    return re.split("[>.]", str(layer.get("class_name")))[-1]


def _runs_an_lstm(layer: Config) -> bool:
    """Whether a layer returns the outputs of an LSTM, both directions in one array."""
    class_name, config = _class_name(layer), config_of(layer)
    if class_name == "Bidirectional":
        inner = config.get("layer")
        merged = config.get("merge_mode", "concat") is not None
        return merged and isinstance(inner, dict) and _runs_an_lstm(inner)
    if class_name == "RNN":
        cell = config.get("cell")
        cells = config_of(cell).get("cells", [cell])
        return isinstance(cells, list) and all(
            isinstance(cell, dict) and "LSTM" in _class_name(cell) for cell in cells
        )
    return "LSTM" in class_name and "Conv" not in class_name


def _returns_sequences(layer: Config) -> bool:
    inner = config_of(layer).get("layer")
    config = config_of(inner) if isinstance(inner, dict) else config_of(layer)
    return config.get("return_sequences") is True


def _lstm_before(
    name: str, layers: Mapping[str, Config], sources: Mapping[str, str | None]
) -> str | None:
    """The LSTM whose steps are the inputs of this layer; None if they come from another layer."""
    for _ in range(MOST_HOPS):
        before = sources.get(name)
        if before is None or before not in layers:
            return None
        layer = layers[before]
        if _runs_an_lstm(layer):
            return before if _returns_sequences(layer) else None
        if _class_name(layer) not in PASSING:
            return None
        name = before
    return None


# ---- the source of a layer's inputs


def _sources(model: Config, layers: Sequence[Config]) -> dict[str, str | None]:
    names = [str(layer_name(layer)) for layer in layers]
    if _class_name(model) == "Sequential":
        return dict(zip(names[1:], names, strict=False))
    return {name: _source(layer) for name, layer in zip(names, layers, strict=True)}


def _source(layer: Config) -> str | None:
    """The layer whose first output is the only input of a layer that is called once; or None."""
    nodes = layer.get("inbound_nodes")
    if not isinstance(nodes, list) or len(nodes) != 1:
        return None
    node = nodes[0]
    if isinstance(node, dict):
        history, arguments = _history(node.get("args")), node.get("kwargs")
    else:
        history, arguments = _listed(node)
    if not isinstance(arguments, dict) or arguments.get("initial_state") is not None:
        return None
    if not isinstance(history, list) or len(history) < 3 or history[2] != 0:
        return None
    return str(history[0])


def _history(args: Any) -> Any:
    """``[layer, node, tensor]`` of the one tensor in the arguments of Keras 3."""
    if not isinstance(args, list) or len(args) != 1:
        return None
    return config_of(args[0]).get("keras_history")


def _listed(node: Any) -> tuple[Any, Any]:
    """The same for Keras 1 and 2, and the other arguments: Keras 1 has none in its lists."""
    while isinstance(node, list) and len(node) == 1 and isinstance(node[0], list):
        node = node[0]
    if not isinstance(node, list) or not node or not isinstance(node[0], str):
        return None, None
    return node, node[3] if len(node) > 3 else {}
