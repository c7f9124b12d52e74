"""TensorFlow's operations on a cell's kernel, Keras' metadata, TFLite's options, as settings.

A graph group has rows of ops that a variable's values go through, with the
number that an op takes: TensorFlow 1's cells split the product into gates, add
the forget bias to one, and clip the new c between two bounds. The ops are
those of tensorflow/python/ops/rnn_cell_impl.py and
contrib/rnn/python/ops/lstm_ops.py (1.0 to 1.15).
"""

from __future__ import annotations

import os
import re
from typing import Any

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Masking
from lstmcli.core.weights.metadata import Attributes, Groups, MetadataSettings, keras
from lstmcli.errors import UserError

_PLACES = {
    gate: str(place) for place, gate in enumerate(CONVENTIONS["tf1"].storage.gates)
}
_PRODUCT = "MatMul/(?:BiasAdd|Add(?:V2)?)"
_FORGET_BIAS = re.compile(f"{_PRODUCT}/Split:{_PLACES['f']}/Add(?:V2)?")
_ACTIVATION = re.compile(rf"{_PRODUCT}/Split:{_PLACES['g']}/(\w+)")
_CELL_CLIP = re.compile(
    rf"{_PRODUCT}/Split:[{_PLACES['i']}{_PLACES['g']}]/(?:(?!MatMul|Add)\w+/)*Add(?:V2)?/Minimum"
)
_PROJECTION_CLIP = re.compile("MatMul/Minimum")
_PASSED_ON = re.compile(  # past a sequence's end, dynamic_rnn selects the h before
    rf"{_PRODUCT}/Split:{_PLACES['o']}/\w+/Mul(?:/(?:MatMul|Minimum|Maximum))*/Select(?:V2)?"
)
_DIRECTION = re.compile(
    r"(^|/)(fw|bw)(/|$)"
)  # scopes of TensorFlow 1's bidirectional networks

ACTIVATIONS = {
    "Tanh": "tanh",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Elu": "elu",
    "Softsign": "softsign",
    "Softplus": "softplus",
    "Mul": "identity",
}
BLOCKS = ("LSTMBlockCell", "BlockLSTM")  # ops that are a full cell
BLOCK_DEFAULTS = {
    "forget_bias": 1.0,
    "cell_clip": 3.0,
}  # of tensorflow/core/ops/rnn_ops.cc


def read(groups: Groups) -> MetadataSettings:
    """The settings of a cell in a graph or in Keras' metadata; a remark has the source."""
    graphs = [group for group in groups if "graph" in group]
    return _from_graph(graphs[-1]) if graphs else keras.read(groups)


def _from_graph(group: Attributes) -> MetadataSettings:
    settings: dict[str, Any] = {}
    for variable, fate in group.items():
        if not isinstance(fate, dict):
            continue
        if "projection" not in variable:
            settings |= _cell(fate)
            continue
        clip = _number(fate, _PROJECTION_CLIP)
        if clip is not None:
            settings["projection_clip"] = clip
    found = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items()]
    turned = group.get("reversed")
    if turned is not None and _DIRECTION.search(group["folder"]):
        settings["reverse"] = turned
        found.append("backward" if turned else "forward")
    elif turned:
        found.append("its inputs come in reverse, which --reverse does here")
    if not found:
        return MetadataSettings()
    remarks = (
        f"settings of {group['folder']} in {group['graph']}: {', '.join(found)}.",
    )
    masking = None
    for fate in group.values():
        if isinstance(fate, dict) and any(map(_PASSED_ON.fullmatch, fate)):
            source = f"the graph in {os.path.basename(group['graph'])}"
            masking = Masking(source, "sequence_length")
    return MetadataSettings(settings, remarks, masking=masking)


def _cell(fate: Attributes) -> dict[str, Any]:
    for block in BLOCKS:
        if block in fate:
            numbers = BLOCK_DEFAULTS | (fate[block] or {})
            if numbers["cell_clip"] <= 0:  # -1 turns it off
                del numbers["cell_clip"]
            return {name: numbers[name] for name in BLOCK_DEFAULTS if name in numbers}
    forget_bias = _number(fate, _FORGET_BIAS)
    if forget_bias is None:  # none of the cells that are known
        return {}
    settings: dict[str, Any] = {"forget_bias": forget_bias}
    clip = _number(fate, _CELL_CLIP)
    if clip is not None:
        settings["cell_clip"] = clip
    matches = filter(None, map(_ACTIVATION.fullmatch, fate))
    names = {ACTIVATIONS.get(match[1], "") for match in matches}
    if len(names) == 1 and names.isdisjoint({"", "tanh"}):
        settings["activation"] = names.pop()
    return settings


def _number(fate: Attributes, row: re.Pattern[str]) -> float | None:
    for ops, value in fate.items():
        if isinstance(value, float) and row.fullmatch(ops):
            return value
    return None


# ---- TensorFlow Lite


TFLITE_ACTIVATIONS = {"NONE": "identity", "RELU": "relu", "TANH": "tanh"}
CONVERTERS_CLIP = 10.0  # tensorflow/compiler/mlir/lite/utils/lstm_utils.cc


def read_tflite(groups: Groups) -> MetadataSettings:
    """Activation, clips, layout and merge, of the last group's options."""
    if not groups or "operator" not in groups[-1]:
        return MetadataSettings()
    options = dict(groups[-1])
    _refuse(options)
    name = options["fused_activation_function"]
    clip = float(options["cell_clip"])
    settings: dict[str, Any] = {
        "layout": "time" if options.get("time_major", True) else "batch",
        "activation": TFLITE_ACTIVATIONS[name],
        "cell_clip": None,
    }
    if clip > 0:
        settings["cell_clip"] = clip
    if options.get("arithmetic"):
        settings["arithmetic"] = options["arithmetic"]
    if options["projected"] and options["proj_clip"] > 0:
        settings["projection_clip"] = float(options["proj_clip"])
    if options.get("merge_outputs") is False:
        settings["merge"] = "stack"
    if clip == CONVERTERS_CLIP:
        return MetadataSettings(
            settings,
            ("TensorFlow Lite clips |c| at 10 here; Keras, if converted, did not.",),
        )
    return MetadataSettings(settings)


def _refuse(options: dict[str, Any]) -> None:
    operator, name = options["operator"], options["fused_activation_function"]
    if name not in TFLITE_ACTIVATIONS:
        raise UserError(
            f"{operator} has the activation {name}, which this version does not run."
        )
    if options.get("diagonal_recurrent_tensors"):
        raise UserError(
            f"{operator} has diagonal recurrent weights, which are not run."
        )
    if options["auxiliary"]:
        raise UserError(f"{operator} has an auxiliary input, which is not run.")
    for clip in ("cell_clip", "proj_clip"):
        if not abs(options[clip]) < float("inf"):
            raise UserError(
                f"{operator} has the {clip} {options[clip]}; a finite number is needed."
            )
