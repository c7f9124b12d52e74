"""JSON of GuitarML (Proteus, NeuralPi) and CoreAudioML: a PyTorch state dict in nested lists.

Alec-Wright/CoreAudioML networks.py writes ``model_data`` and ``state_dict``; GuitarML's plugins
and trainers use the same form.
"""

from __future__ import annotations

from typing import Any

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.source import Opened
from lstmcli.formats.text.nested_lists import to_array
from lstmcli.formats.text.number_text import float32_arrays


def read_value(value: dict[str, Any], file: Opened) -> Document:
    """The tensors of the state dict by name, with remarks on the rest of the network."""
    config, tensors = value["model_data"], value["state_dict"]
    if not isinstance(config, dict) or not isinstance(tensors, dict):
        raise UserError(f"{file.source}: model_data and state_dict are not both objects.")
    cells = config.get("unit_type", "LSTM")
    if cells != "LSTM":
        raise UserError(f"{file.source} is a GuitarML model of {cells!a} cells, not an LSTM.")
    arrays = {}
    for name, numbers in tensors.items():
        where = f"{file.source}: state_dict.{name}".encode(errors="backslashreplace").decode()
        if not isinstance(numbers, list):
            raise UserError(f"{where} is no list of numbers.")
        arrays[name] = to_array(numbers, where)
    return Document(
        file.source,
        "guitarml",
        arrays,
        dtypes=float32_arrays(arrays),
        remarks=tuple(_remarks(config, arrays, file.source)),
    )


def _remarks(config: dict[str, Any], arrays: dict[str, Any], source: str) -> list[str]:
    left_out = []
    if "lin.weight" in arrays:
        left_out.append("its linear layer lin is not run")
    if config.get("skip"):
        left_out.append("the input that it adds to its output (skip) is not added")
    return [f"{source}: {'; '.join(left_out)}."] if left_out else []
