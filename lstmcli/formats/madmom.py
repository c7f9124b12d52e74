"""Pickled networks of madmom: which of their layers are LSTMs, and which follow each other.

A network is an object with a list of layers that it runs in turn. Source: madmom/ml/nn/__init__.py
and madmom/ml/nn/layers.py (0.16.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lstmcli.formats.document import Document

NETWORK = "madmom.ml.nn.NeuralNetwork"
LAYER = re.compile(r"(?:.*\.)?layers\.\d+")
CLASSES = "madmom.ml.nn.layers."
LSTM, BIDIRECTIONAL = f"{CLASSES}LSTMLayer", f"{CLASSES}BidirectionalLayer"
OTHER_LAYERS = {"GRULayer": "GRUs", "RecurrentLayer": "plain recurrent layers"}
GATES = ("input_gate", "forget_gate", "cell", "output_gate")
FUNCTION = "activation_fn"


def describe_network(document: Document) -> Document:
    """A pickled network with the activations of each LSTM in its group, and the chain of LSTMs.

    Any other document is returned as it is.
    """
    groups = document.groups
    if groups.get("", {}).get("class") != NETWORK:
        return document
    functions = {
        path: {FUNCTION: attributes.get(FUNCTION)}
        | {gate: groups.get(f"{path}.{gate}", {}).get(FUNCTION) for gate in GATES}
        for path, attributes in groups.items()
        if attributes.get("class") == LSTM
    }
    if not functions:
        kinds = {str(group.get("class")).removeprefix(CLASSES) for group in groups.values()}
        others = " and ".join(name for kind, name in OTHER_LAYERS.items() if kind in kinds)
        why = f"it is a network of madmom with {others or 'no recurrent layer'}, and no LSTM."
        return replace(document, not_run=why)
    groups = groups | {path: groups[path] | of_lstm for path, of_lstm in functions.items()}
    layers = [path for path in groups if LAYER.fullmatch(path)]
    layers.sort(key=lambda path: int(path.rpartition(".")[2]))
    lstms = [
        n for n, path in enumerate(layers) if path in functions or _is_bidirectional(path, groups)
    ]
    is_chain = len(lstms) > 1 and lstms[-1] - lstms[0] == len(lstms) - 1
    if not is_chain:
        return replace(document, groups=groups)
    names = [layers[n] for n in lstms]
    text = f"{document.source} runs {' into '.join(names)}; --layer N picks one."
    return replace(
        document,
        groups=groups,
        attributes={**document.attributes, "layer": ",".join(names)},
        remarks=(*document.remarks, text),
    )


def _is_bidirectional(path: str, groups: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a layer runs an LSTM in both directions."""
    parts = [groups.get(f"{path}.{direction}_layer", {}) for direction in ("fwd", "bwd")]
    return groups[path].get("class") == BIDIRECTIONAL and all(
        part.get("class") == LSTM for part in parts
    )
