"""The options of a TensorFlow Lite LSTM operator as settings."""

from __future__ import annotations

from typing import Any

from lstmcli.core.weights.metadata.metadata_settings import Groups, MetadataSettings
from lstmcli.errors import UserError

ACTIVATIONS = {"NONE": "identity", "RELU": "relu", "TANH": "tanh"}
CONVERTERS_CLIP = 10.0  # tensorflow/compiler/mlir/lite/utils/lstm_utils.cc


def read(groups: Groups) -> MetadataSettings:
    """Activation, clips, layout and merge; the operator's options are the last group."""
    options = dict(groups[-1]) if groups else {}
    if "operator" not in options:
        return MetadataSettings()
    _refuse(options)
    name = options["fused_activation_function"]
    clip = float(options["cell_clip"])
    settings: dict[str, Any] = {
        "layout": "time" if options.get("time_major", True) else "batch",
        "activation": ACTIVATIONS[name],
        "cell_clip": clip if clip > 0 else None,
    }
    if arithmetic := options.get("arithmetic"):
        settings["arithmetic"] = arithmetic
    if options["projected"] and options["proj_clip"] > 0:
        settings["projection_clip"] = float(options["proj_clip"])
    if options.get("merge_outputs") is False:
        settings["merge"] = "stack"
    if clip == CONVERTERS_CLIP:
        return MetadataSettings(
            settings, ("TensorFlow Lite clips |c| at 10 here; Keras, if converted, did not.",)
        )
    return MetadataSettings(settings)


def _refuse(options: dict[str, Any]) -> None:
    operator, name = options["operator"], options["fused_activation_function"]
    if name not in ACTIVATIONS:
        raise UserError(f"{operator} has the activation {name}, which this version does not run.")
    if options.get("diagonal_recurrent_tensors"):
        raise UserError(f"{operator} has diagonal recurrent weights, which are not run.")
    if options["auxiliary"]:
        raise UserError(f"{operator} has an auxiliary input, which is not run.")
    for clip in ("cell_clip", "proj_clip"):
        if not abs(options[clip]) < float("inf"):
            raise UserError(
                f"{operator} has the {clip} {options[clip]}; a finite number is needed."
            )
