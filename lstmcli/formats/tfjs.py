"""TensorFlow.js: model.json, which describes the tensors, and the shards with their bytes.

A group's tensors follow each other in its shards, perhaps quantized:
tfjs-core/src/io/types.ts and io_utils.ts (4.22).
"""

from __future__ import annotations

import os
from itertools import compress
from typing import Any

import numpy as np

from lstmcli.errors import UserError, listed
from lstmcli.formats.document import Arrays, Document, Groups, native
from lstmcli.formats.files.limits import check_size, damage_reported
from lstmcli.formats.files.sidecars import open_sidecar
from lstmcli.formats.files.source import Opened
from lstmcli.formats.keras.layers import (
    all_layers,
    lstm_chain,
    masks_before,
    parse_layers,
)
from lstmcli.formats.keras.surroundings import surroundings_of

DTYPES = {
    "float32": "<f4",
    "float16": "<f2",
    "int32": "<i4",
    "uint16": "<u2",
    "uint8": "u1",
    "bool": "?",
}
LEFT_OUT = {"complex64": 8}  # bytes of an element
MOST_LISTED = 4  # paths in a message


def read_value(value: dict[str, Any], file: Opened) -> Document:
    """The tensors of all groups by name; of a layers model, its layers' configs."""
    with damage_reported(
        f"{file.source}, interpreted as a model.json of TensorFlow.js,"
    ):
        arrays: Arrays = {}
        left_out: list[str] = []
        seen: set[str] = set()
        for group in value["weightsManifest"]:
            _refuse_repeated(group["paths"], seen)
            _read_group(group, file, arrays, left_out)
        is_graph = value.get("format") == "graph-model"
        topology = _object(
            {} if is_graph else value.get("modelTopology") or {}, "modelTopology"
        )
        model = topology.get("model_config") or topology
        groups = _groups(model, file.source)
        heads, fronts = surroundings_of(model, arrays, groups)
    order = {
        name: n for n, name in enumerate(groups)
    }  # the converter in Python sorts by name
    in_order = sorted(
        arrays, key=lambda name: order.get(name.split("/")[0], len(order))
    )
    remarks = (
        f"{file.source}: {', '.join(left_out)} left out: not real numbers.",
        f"{file.source} is a graph; activations and the merging of directions are not read from "
        "it, but interpreted as usual.",
    )
    return Document(
        file.source,
        "tfjs-graph" if is_graph else "tfjs",
        {name: arrays[name] for name in in_order},
        groups=groups,
        in_turn=lstm_chain(model),
        has_graph=len(groups) > 0,
        heads=heads,
        fronts=fronts,
        remarks=tuple(compress(remarks, (left_out, is_graph))),
    )


# ---- tensors


def _read_group(
    group: dict[str, Any], file: Opened, arrays: Arrays, left_out: list[str]
) -> None:
    specs = [_object(spec, "a member of weights") for spec in group["weights"]]
    sizes = [_stored_bytes(spec, file.source) for spec in specs]
    data = _shards(file, group["paths"], sum(sizes))
    start = 0
    for spec, size in zip(specs, sizes, strict=True):
        name, stored = spec["name"], data[start : start + size]
        start += size
        if type(name) is not str:
            raise TypeError("the name of a tensor is not text")
        if name in arrays or name in left_out:
            raise ValueError(f"two tensors have the name {name!a}")
        if spec["dtype"] in LEFT_OUT:
            left_out.append(name)
        else:
            arrays[name] = _array(spec, stored)


def _refuse_repeated(paths: list[str], seen: set[str]) -> None:
    """Add the shards of a group to those seen; ValueError for a repeated one.

    One shard named a million times would be a million reads.
    """
    for path in paths:
        base = os.path.basename(
            str(path).replace("\\", "/")
        )  # as `open_sidecar` looks for it
        if base in seen:
            raise ValueError(f"the part {base!a:.100} is named twice")
        seen.add(base)


def _stored_bytes(spec: dict[str, Any], source: str) -> int:
    stored = _stored_dtype(spec)
    itemsize = LEFT_OUT.get(stored) or np.dtype(DTYPES[_known_dtype(stored)]).itemsize
    if not all(type(n) is int for n in spec["shape"]):
        raise ValueError(f"a shape is {spec['shape']!a}")
    where = f"{source}: the tensor {spec['name']!a}"
    return (
        check_size(spec["shape"], max(itemsize, 4), where) * itemsize
    )  # 4: once dequantized


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} is not an object")
    return value


def _stored_dtype(spec: dict[str, Any]) -> str:
    return str((spec.get("quantization") or spec)["dtype"])


def _known_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError(f"a tensor contains {name!a}, not numbers")
    return name


def _shards(file: Opened, paths: list[str], size: int) -> memoryview:
    """The bytes of all shards of a group; UserError unless as many as needed."""
    pieces, left = [], size
    for path in paths:
        with open_sidecar(file, str(path)) as part:
            left -= part.size
            if left < 0:
                break
            pieces.append(part.stream.read())
    if left:
        parts = listed([*map(ascii, paths)], MOST_LISTED)
        raise UserError(
            f"{file.source} needs {size:,} bytes of {parts}; there are "
            f"{'more' if left < 0 else f'{size - left:,}'}. A part is corrupt or of another model."
        )
    return memoryview(b"".join(pieces))


def _array(spec: dict[str, Any], data: memoryview) -> np.ndarray:
    array = np.frombuffer(data, DTYPES[_stored_dtype(spec)]).reshape(spec["shape"])
    if quantization := spec.get("quantization"):
        array = _dequantized(array, quantization, _known_dtype(spec["dtype"]))
    return native(array)


def _dequantized(
    array: np.ndarray, quantization: dict[str, Any], dtype: str
) -> np.ndarray:
    """The values of a quantized tensor, in float64 as in JavaScript."""
    if quantization["dtype"] == "float16":
        return array.astype(DTYPES[dtype])
    scale, minimum = float(quantization["scale"]), float(quantization["min"])
    with np.errstate(all="ignore"):
        values = array * scale + minimum
        if dtype == "int32":
            values = np.floor(values + 0.5)  # Math.round
        return values.astype(DTYPES[dtype])


# ---- the configs of layers


def _groups(model: dict[str, Any], where: str) -> Groups:
    """The class and config of each layer and each cell of a stack, by tensors' names."""
    groups: Groups = {}
    masks, cells = masks_before(model), set[str]()
    for layer in all_layers(parse_layers(model, where)):
        if layer.path not in cells:
            groups[layer.name] = {
                **layer.serialized,
                "masked_by": masks.get(layer.path),
            }
        if "cell" in layer.serialized["config"]:
            cells |= {cell.path for cell in layer.children}
            for n, cell in enumerate(layer.children):
                for path in (
                    f"RNNCell_{n}",
                    cell.name,
                    f"stacked_rnn_cells/{cell.name}",
                ):
                    groups[f"{layer.name}/{path}"] = {**cell.serialized}
    return groups
