"""Networks of madmom, pickled: which of their layers are LSTMs, and which follow each other.

A network is an object with a list of layers that it runs in turn. Source: madmom/ml/nn/__init__.py
and madmom/ml/nn/layers.py (0.16.1).
"""

from __future__ import annotations

import re
from dataclasses import replace

from lstmcli.formats.document import Document

NETWORK = "madmom.ml.nn.NeuralNetwork"
LAYER = re.compile(r"(?:.*\.)?layers\.\d+")
CLASSES = "madmom.ml.nn.layers."
LSTM, BOTH_WAYS = f"{CLASSES}LSTMLayer", f"{CLASSES}BidirectionalLayer"
OTHERS = {"GRULayer": "GRUs", "RecurrentLayer": "plain recurrent layers"}
GATES = ("input_gate", "forget_gate", "cell", "output_gate")
FUNCTION = "activation_fn"


def described(document: Document) -> Document:
    """A pickled network with the functions of each LSTM in its group, and what runs in turn.

    Any other document is returned as it is.
    """
    groups = document.groups
    if groups.get("", {}).get("class") != NETWORK:
        return document
    functions = {
        path: {FUNCTION: words.get(FUNCTION)}
        | {gate: groups.get(f"{path}.{gate}", {}).get(FUNCTION) for gate in GATES}
        for path, words in groups.items()
        if words.get("class") == LSTM
    }
    if not functions:
        kinds = {str(words.get("class")).removeprefix(CLASSES) for words in groups.values()}
        others = " and ".join(name for kind, name in OTHERS.items() if kind in kinds)
        why = f"it is a network of madmom with {others or 'no recurrent layer'}, and no LSTM."
        return replace(document, not_run=why)
    groups = groups | {path: groups[path] | words for path, words in functions.items()}
    layers = [path for path in groups if LAYER.fullmatch(path)]
    layers.sort(key=lambda path: int(path.rpartition(".")[2]))
    lstms = [n for n, path in enumerate(layers) if path in functions or _both_ways(path, document)]
    in_turn = len(lstms) > 1 and lstms[-1] - lstms[0] == len(lstms) - 1
    if not in_turn:
        return replace(document, groups=groups)
    names = [layers[n] for n in lstms]
    text = f"{document.source} runs {' into '.join(names)}; --layer N picks one."
    return replace(
        document,
        groups=groups,
        attributes={**document.attributes, "layer": ",".join(names)},
        remarks=(*document.remarks, text),
    )


def _both_ways(path: str, document: Document) -> bool:
    """Whether a layer runs an LSTM in both directions."""
    groups = document.groups
    return groups[path].get("class") == BOTH_WAYS and all(
        groups.get(f"{path}.{way}_layer", {}).get("class") == LSTM for way in ("fwd", "bwd")
    )
