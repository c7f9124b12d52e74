"""Files of Keras 1, 2 and 3: ``.h5``, ``.weights.h5`` and ``.keras``; and HDF5 of other programs.

Arrays are in the order of the model's layers, named by the layer's path in the
model and their name in the file below it: ``encoder/zeta/lstm_cell/kernel:0``
is of the layer zeta of the inner model encoder. `Document.groups` has each
layer's config by that path, and at "" the versions.

Two layouts (Keras 3.15, ``legacy_h5_format.py`` and ``saving_lib.py``): the
old one has a group a layer, and attributes that list layers and weights; the
new one has groups by class, ``layers/lstm_1/cell/vars/0``, which the config
puts in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.errors import UserError
from lstmcli.formats.document import Document, Groups
from lstmcli.formats.files.limits import LARGE, MOST_TIMES, damage_reported
from lstmcli.formats.files.source import Opened, in_memory
from lstmcli.formats.files.zip import Archive
from lstmcli.formats.keras.layers import (
    LayerConfig,
    all_layers,
    lstm_chain,
    masks_before,
    parse_layers,
    weights_by_class,
    weights_by_name,
)
from lstmcli.formats.keras.surroundings import surroundings_of
from lstmcli.formats.text.json import parse
from lstmcli.formats.wire.hdf5 import Contents, contents, need_library

ATTRIBUTES = (
    "layer_names",
    "weight_names",
    "model_config",
    "keras_version",
    "backend",
    "name",
)
LEAVE_OUT = ("optimizer", "optimizer_weights")
FULL_MODEL = "model_weights"  # the group of layers in a file with a config
VERSIONS = ("keras_version", "backend")
ZIP, HDF5 = b"PK", b"\x89HDF\r\n\x1a\n"
CONFIG, METADATA, WEIGHTS = (
    "config.json",
    "metadata.json",
    "model.weights.h5",
)  # in an archive


def read(file: Opened) -> Document:
    """The weights of a model, by layer."""
    if file.head().startswith(ZIP):
        need_library(file.source, "a Keras file")
        return _read_archive(file)
    found = contents(file, ATTRIBUTES, LEAVE_OUT)
    root = found.attributes.get("", {})
    return _document(
        file.source, found, _config(root.get("model_config"), file.source), {}
    )


def read_value(value: Mapping[str, Any], file: Opened) -> Document:
    """The config of each layer of ``model.to_json()``, or of one layer, without weights."""
    where = file.source
    layers = parse_layers(value, where) or parse_layers({"config": [value]}, where)
    versions = {k: value[k] for k in VERSIONS if isinstance(value.get(k), str)}
    groups = {"": versions} | _groups(value, layers)
    return Document(where, "keras", {}, groups=groups, in_turn=lstm_chain(value))


def _document(
    where: str, found: Contents, config: Any, versions: dict[str, Any]
) -> Document:
    top = FULL_MODEL if FULL_MODEL in found.attributes else ""
    names = _listed(found.attributes.get(top, {}), "layer_names")
    if names is None and not any("/vars/" in f"/{path}" for path in found.arrays):
        return Document(where, "hdf5", found.arrays)  # of another program
    layers = parse_layers(config, where)
    if names is None:
        weights = weights_by_class(found.arrays, found.attributes, layers)
    else:
        weights = weights_by_name(_weights(found, top, names, where), layers)
    attributes = found.attributes.get("", {}) | found.attributes.get(top, {})
    stored = {key: attributes[key] for key in VERSIONS if key in attributes}
    groups: Groups = {"": stored | versions}
    groups |= {weight.layer: {} for weight in weights} | _groups(config, layers)
    arrays = {weight.name: found.arrays[weight.path] for weight in weights}
    if len(arrays) < len(weights):  # no Keras writes two layers of one name
        raise UserError(f"{where} has two weights of one name.")
    heads, fronts = surroundings_of(config, arrays, groups)
    return Document(
        where,
        "keras",
        arrays,
        groups=groups,
        in_turn=lstm_chain(config),
        has_graph=bool(layers),
        heads=heads,
        fronts=fronts,
    )


def _groups(model: Any, layers: Sequence[LayerConfig]) -> Groups:
    """The config of each layer by its path; ``masked_by``: the layer that masks its steps."""
    masks, each = masks_before(model), all_layers(layers)
    return {
        one.path: {**one.serialized, "masked_by": masks.get(one.path)} for one in each
    }


def _weights(found: Contents, top: str, layers: Sequence[str], where: str) -> Groups:
    weights = Groups()
    for layer in layers:
        group = _joined(top, layer)
        if group not in found.attributes:
            raise UserError(
                f"{where} is corrupt: it lists the layer {layer} and lacks it."
            )
        names = _listed(found.attributes[group], "weight_names") or []
        weights[layer] = {name: _joined(group, name) for name in names}
        for path in weights[layer].values():
            if path not in found.arrays:
                raise UserError(f"{where} is corrupt: it lists {path} and lacks it.")
    return weights


def _joined(group: str, name: str) -> str:
    """A path in HDF5: several / are one, and a name may start at the root."""
    path = name if name.startswith("/") else f"{group}/{name}"
    return "/".join(part for part in path.split("/") if part)


def _listed(attributes: Mapping[str, Any], name: str) -> list[str] | None:
    """A list in one attribute, or ``name0``, ``name1``, ...; None without."""
    pieces = [attributes[name]] if name in attributes else []
    while f"{name}{len(pieces)}" in attributes:
        pieces.append(attributes[f"{name}{len(pieces)}"])
    if not pieces:
        return None
    lists = ([piece] if isinstance(piece, str) else piece for piece in pieces)
    return [text for piece in lists for text in piece]


def _config(text: Any, where: str) -> Any:
    return None if text is None else parse(str(text), f"{where}: its config")


# ---- .keras: an archive


def _read_archive(file: Opened) -> Document:
    where = file.source
    with damage_reported(where):
        archive = Archive(file)
        members = {member.filename: member for member in archive.members}
        if WEIGHTS not in members:
            raise UserError(
                f"{where} has its weights in several files; this version reads models in one.",
                "  Save its weights with Keras in one: model.save_weights('model.weights.h5')",
            )
        texts = {
            name: archive.read(members[name], LARGE).decode("utf-8", "replace")
            for name in (CONFIG, METADATA)
            if name in members
        }
        data = archive.read(members[WEIGHTS], max(LARGE, MOST_TIMES * file.size))
    metadata = _config(texts.get(METADATA), where)
    versions = {
        k: metadata[k] for k in VERSIONS if isinstance(metadata, dict) and k in metadata
    }
    if not data.startswith(HDF5):
        raise UserError(f"{where}: its member {WEIGHTS} is not an HDF5 file.")
    found = contents(in_memory(where, data), ATTRIBUTES, LEAVE_OUT)
    return _document(where, found, _config(texts.get(CONFIG), where), versions)
