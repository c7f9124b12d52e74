"""Which LSTMs of a Keras model follow each other, as the model's config says.

A Sequential lists its layers in their order. A functional model says of each layer where its
inputs come from: as lists ``[layer, node, tensor, kwargs]`` before Keras 3, as arguments that
hold ``keras_history`` since (Keras 2.2.5, tf_keras 2.21, keras/src/models/functional.py 3.15).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PASSING = {  # layers that hand on what they take when a model is run, not trained
    "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "Identity",
}  # fmt: skip
LSTMS = ("LSTM", "CuDNNLSTM")
CELLS = ("LSTMCell", "PeepholeLSTMCell")
MOST_HOPS = 64  # layers between two LSTMs

Config = Mapping[str, Any]


def lstm_chain(model: Any) -> tuple[str, ...]:
    """The names of all layers of a model that run an LSTM, if each feeds the next; else nothing.

    One layer is a row too: it may run a stack of cells.

    Only layers that hand on what they take may stand between two of them. A model in the model,
    an LSTM that gives its last step alone or starts from another's state is no part of a row.
    """
    if not isinstance(model, dict):
        return ()
    layers = [one for one in _layers(model) if isinstance(one, dict)]
    names = [_name(one) for one in layers]
    if len({*names}) < len(names):
        return ()
    by_name = dict(zip(names, layers, strict=True))
    lstms = [name for name in names if _runs_an_lstm(by_name[name])]
    sources = _sources(model, layers)
    fed_by = {name: _lstm_before(name, by_name, sources) for name in lstms}
    firsts = [name for name in lstms if fed_by[name] not in lstms]
    if len(firsts) != 1:
        return ()
    row = firsts
    while following := [name for name in lstms if fed_by[name] == row[-1]]:
        if len(following) > 1 or following[0] in row:
            return ()
        row += following
    return tuple(row) if len(row) == len(lstms) else ()


def _config(part: Any) -> Config:
    config = part.get("config") if isinstance(part, dict) else None
    return config if isinstance(config, dict) else {}


def _layers(model: Config) -> Sequence[Any]:
    config = model.get("config")
    if isinstance(config, dict):
        config = config.get("layers")
    return config if isinstance(config, list) else []


def _kind(layer: Config) -> str:
    return str(layer.get("class_name"))


def _name(layer: Config) -> str:
    return str(_config(layer).get("name", layer.get("name")))


def _runs_an_lstm(layer: Config) -> bool:
    """Whether it gives what an LSTM gives at each step, both directions in one array."""
    kind, config = _kind(layer), _config(layer)
    if kind == "Bidirectional":
        inner = config.get("layer")
        merged = config.get("merge_mode", "concat") is not None
        return merged and isinstance(inner, dict) and _runs_an_lstm(inner)
    if kind == "RNN":
        cell = config.get("cell")
        cells = _config(cell).get("cells", [cell])
        return isinstance(cells, list) and all(
            isinstance(one, dict) and _kind(one) in CELLS for one in cells
        )
    return kind in LSTMS


def _gives_every_step(layer: Config) -> bool:
    inner = _config(layer).get("layer")
    config = _config(inner) if isinstance(inner, dict) else _config(layer)
    return config.get("return_sequences") is True


def _lstm_before(
    name: str, layers: Mapping[str, Config], sources: Mapping[str, str | None]
) -> str | None:
    """The LSTM whose steps are the inputs of this layer; None if another layer gives them."""
    for _ in range(MOST_HOPS):
        before = sources.get(name)
        if before is None or before not in layers:
            return None
        layer = layers[before]
        if _runs_an_lstm(layer):
            return before if _gives_every_step(layer) else None
        if _kind(layer) not in PASSING:
            return None
        name = before
    return None


# ---- where the inputs of a layer come from


def _sources(model: Config, layers: Sequence[Config]) -> dict[str, str | None]:
    names = [_name(one) for one in layers]
    if _kind(model) == "Sequential":
        return dict(zip(names[1:], names, strict=False))
    return {name: _source(one) for name, one in zip(names, layers, strict=True)}


def _source(layer: Config) -> str | None:
    """The one layer whose first output a layer takes, called once and with nothing else."""
    nodes = layer.get("inbound_nodes")
    if not isinstance(nodes, list) or len(nodes) != 1:
        return None
    node = nodes[0]
    if isinstance(node, dict):
        history, words = _history(node.get("args")), node.get("kwargs")
    else:
        history, words = _listed(node)
    if not isinstance(words, dict) or words.get("initial_state") is not None:
        return None
    if not isinstance(history, list) or len(history) < 3 or history[2] != 0:
        return None
    return str(history[0])


def _history(args: Any) -> Any:
    """``[layer, node, tensor]`` of the one tensor in the arguments of Keras 3."""
    if not isinstance(args, list) or len(args) != 1:
        return None
    return _config(args[0]).get("keras_history")


def _listed(node: Any) -> tuple[Any, Any]:
    """The same of Keras 1 and 2, and the other arguments: Keras 1 has none in its lists."""
    while isinstance(node, list) and len(node) == 1 and isinstance(node[0], list):
        node = node[0]
    if not isinstance(node, list) or not node or not isinstance(node[0], str):
        return None, None
    return node, node[3] if len(node) > 3 else {}
