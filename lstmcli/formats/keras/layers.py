"""Layers of a Keras model: their paths by its config, names of weights, chains of LSTMs.

A path is the names of the models around a layer, and its name:
``encoder/zeta``; of a cell of a stack, the path of the layer comes first:
``stack/lstm_cell_1``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from lstmcli.errors import UserError

CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "cell/cells")
"""Groups of the new layout with the layers of a model (the second in TensorFlow 2.12 and 2.13), and
with the cells of a stack."""

Config = Mapping[str, Any]
Attributes = Mapping[str, Mapping[str, Any]]  # of groups, by path


@dataclass(frozen=True)
class LayerConfig:
    """The config of a layer, an inner model, or a cell of a stack."""

    path: str
    serialized: Config  # class_name and config, as Keras writes them
    children: list[LayerConfig] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The last name of the path; it may have a / in it."""
        return str(self.serialized["config"]["name"])

    @property
    def group_name(self) -> str:
        """The class as the new layout spells it: ``cu_dnnlstm`` for CuDNNLSTM."""
        name = re.sub(r"\W+", "", class_name(self.serialized))
        spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
        return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


class Weight(NamedTuple):
    """A weight: its path in the file, its layer's path, its name below the layer."""

    path: str
    layer: str
    rest: str

    @property
    def name(self) -> str:
        """The name of the array in the document."""
        return f"{self.layer}/{self.rest}" if self.layer else self.rest


def parse_layers(model: Any, where: str) -> list[LayerConfig]:
    """The layers in a model's config, in order; UserError if nested too deeply."""
    try:
        return _layers(model, "")
    except RecursionError:
        raise UserError(f"{where}: its config is nested too deeply.") from None


def _layers(model: Any, above: str) -> list[LayerConfig]:
    layers = []
    for entry in serialized_layers(model):
        if (
            isinstance(entry, dict)
            and isinstance(name := layer_name(entry), str)
            and name
        ):
            path = f"{above}/{name}" if above else name
            serialized = {**entry, "config": {**config_of(entry), "name": name}}
            layers.append(LayerConfig(path, serialized, _layers(entry, path)))
    return layers


def serialized_layers(model: Any) -> Sequence[Any]:
    """The serialized layers of a model, or the cells of a stack."""
    config = model.get("config") if isinstance(model, dict) else None
    if isinstance(config, list):  # a Sequential of Keras 1 and of 2 before 2.2.3
        return config
    stack = config_of(config_of(model).get("cell")).get("cells")
    children = config_of(model).get("layers", stack)
    return children if isinstance(children, list) else []


def config_of(layer: Any) -> Config:
    """The config of a serialized layer, or an empty one."""
    config = layer.get("config") if isinstance(layer, dict) else None
    return config if isinstance(config, dict) else {}


def layer_name(layer: Config) -> Any:
    """The name of a serialized layer, in its config or, in early versions, next to it."""
    return config_of(layer).get("name", layer.get("name"))


def all_layers(layers: Sequence[LayerConfig]) -> Iterator[LayerConfig]:
    """Every layer, before its children."""
    for layer in layers:
        yield layer
        yield from all_layers(layer.children)


# ---- the old layout: a group a layer, with the names of its weights


def weights_by_name(
    weights: Mapping[str, Mapping[str, str]], layers: Sequence[LayerConfig]
) -> list[Weight]:
    """The weights of the old layout with their layers, which their names contain.

    ``weights``: by layer of the model, the names with their paths in the file.
    """
    top_layers = {layer.name: layer for layer in layers}
    found = []
    for top, names in weights.items():
        layer = top_layers.get(top)
        of_layer = [_innermost(name, path, top, layer) for name, path in names.items()]
        found += _split_cells(_without_number(of_layer), layer)
    return found


def _innermost(name: str, path: str, top: str, layer: LayerConfig | None) -> Weight:
    """A weight with the innermost layer in its name, and the name below that."""
    rest, layer_path = _after(f"/{name}", top), top
    children = layer.children if layer else []
    while inner := next(
        (child for child in children if f"/{child.name}/" in rest), None
    ):
        rest, layer_path, children = (
            _after(rest, inner.name),
            inner.path,
            inner.children,
        )
    return Weight(path, layer_path, rest.strip("/"))


def _after(text: str, name: str) -> str:
    _, found, rest = text.partition(f"/{name}/")
    return f"/{rest}" if found else text


def _without_number(weights: list[Weight]) -> list[Weight]:
    """The weights without the number of a layer that TensorFlow 1 built again: zeta_W_i_2:0."""
    matches = [re.fullmatch(r"(.*)_(\d+)((?::0)?)", weight.rest) for weight in weights]
    if len({match and match[2] for match in matches}) != 1 or not matches[0]:
        return weights
    return [
        w._replace(rest=m[1] + m[3]) for w, m in zip(weights, matches, strict=True) if m
    ]


def _split_cells(weights: list[Weight], layer: LayerConfig | None) -> list[Weight]:
    """Keras 2 before 2.4 numbers the weights of a stack's cells: kernel:0, kernel_1:0."""
    names = {weight.name for weight in weights}
    matches = [
        re.fullmatch(r"(.*?)(?:_(\d{1,9}))?((?::0)?)", weight.name)
        for weight in weights
    ]
    firsts = {
        f"{m[1]}{m[3]}" for m in matches if m and m[2] and f"{m[1]}{m[3]}" in names
    }
    split = []
    for weight, match in zip(weights, matches, strict=True):
        if match and f"{match[1]}{match[3]}" in firsts:
            number, leaf = int(match[2] or 0), match[1].rpartition("/")[2] + match[3]
            cells = layer.children if layer else []
            cell = (
                cells[number].path
                if number < len(cells)
                else f"{weight.layer}/{number}"
            )
            weight = Weight(weight.path, cell, leaf)
        split.append(weight)
    return split


# ---- the new layout: groups by class


def weights_by_class(
    arrays: Collection[str], attributes: Attributes, layers: Sequence[LayerConfig]
) -> list[Weight]:
    """The weights of the new layout with their layers, in the order of the config.

    Without one, they are in the order of the numbers of a class, and named by
    an attribute (Keras 3.8 and later), else by class and number. ``arrays``
    are paths in the file, ``attributes`` those of every group, by path.
    """
    below: dict[str, list[str]] = {}
    for path in attributes:
        above, _, name = path.rpartition("/")
        below.setdefault(above, []).append(name)
    groups = _layer_groups("", layers, below)
    order = {group: n for n, group in enumerate(groups)}
    weights = []
    for path in arrays:
        parents = accumulate(path.split("/")[:-1], "{}/{}".format)
        if found := [parent for parent in parents if parent in groups]:
            group = found[-1]
            weight = Weight(path, groups[group], path[len(group) + 1 :])
            weights.append((order[group], weight))
        else:
            weights.append((len(order), Weight(path, *_by_attribute(path, attributes))))
    weights.sort(key=lambda pair: (pair[0], _natural(pair[1].path)))
    return [weight for _, weight in weights]


def _layer_groups(
    group: str, layers: Sequence[LayerConfig], below: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The groups of these layers, in their order, with the layers' paths.

    The k-th group of a class, by number, is its k-th layer; if some have no
    group, numbers count layers.
    """
    containers = (f"{group}/{container}".strip("/") for container in CONTAINERS)
    container = next((path for path in containers if path in below), None)
    if container is None:
        return {}
    counts = Counter(layer.group_name for layer in layers)
    seen: Counter[str] = Counter()
    groups: dict[str, str] = {}
    for layer in layers:
        base, k = layer.group_name, seen[layer.group_name]
        seen[base] += 1
        numbers = sorted(
            n for name in below[container] if (n := _number(name, base)) is not None
        )
        number = numbers[k] if len(numbers) == counts[base] else k
        if number in numbers:
            path = f"{container}/{base}_{number}" if number else f"{container}/{base}"
            groups[path] = layer.path
            groups |= _layer_groups(path, layer.children, below)
    return groups


def _number(name: str, base: str) -> int | None:
    rest = name.removeprefix(base)
    if rest == name or not re.fullmatch(r"(_[1-9]\d{0,8})?", rest):
        return None
    return int(rest[1:] or 0)


def _by_attribute(path: str, attributes: Attributes) -> tuple[str, str]:
    """Layer and rest of a path, by the attribute ``name`` of the groups in it."""
    parts, layer, rest = path.split("/"), list[str](), list[str]()
    for n, part in enumerate(parts):
        group = "/".join(parts[: n + 1])
        if group.endswith(CONTAINERS[:2]):
            rest.clear()
        elif group.rpartition("/")[0].endswith(CONTAINERS):
            rest.clear()
            layer.append(str(attributes.get(f"{group}/vars", {}).get("name", part)))
        else:
            rest.append(part)
    return "/".join(layer), "/".join(rest)


def _natural(path: str) -> list[tuple[int, str]]:
    """A sort key: lstm, lstm_2, lstm_10; forward_layer before backward_layer."""
    path = path.replace("backward_layer", "forward_layer_")
    return [(len(p) if p.isdecimal() else 0, p) for p in re.split(r"(\d+)", path) if p]


# ---- LSTMs that feed each other


PASSING = {  # layers that return their inputs unless a model is trained
    "Dropout",
    "SpatialDropout1D",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
}
MOST_HOPS = 64  # layers between two LSTMs


def lstm_chain(model: Any) -> tuple[str, ...]:
    """The names of all layers of a model that run an LSTM, if each feeds the next; else ().

    A single layer is a chain: it may run a stack of cells. Only layers of
    `PASSING` may stand between two LSTMs. A model in the model, and an LSTM
    that returns only its last step or starts from another's state, are part of
    no chain.
    """
    if not isinstance(model, dict):
        return ()
    network = Network(model)
    lstms = [name for name, layer in network.layers.items() if runs_an_lstm(layer)]
    fed_by = {name: network.lstm_before(name) for name in lstms}
    chain = [name for name in lstms if fed_by[name] not in lstms]
    if len(chain) != 1 or network.has_twins:
        return ()
    while following := [name for name in lstms if fed_by[name] == chain[-1]]:
        if len(following) > 1 or following[0] in chain:
            return ()
        chain += following
    return tuple(chain) if len(chain) == len(lstms) else ()


def class_name(layer: Config) -> str:
    """The class without the module that it is registered under."""
    return re.split("[>.]", str(layer.get("class_name")))[-1]


def runs_an_lstm(layer: Config) -> bool:
    """Return whether a layer computes an LSTM's h, also in both directions."""
    kind, config = class_name(layer), config_of(layer)
    if kind == "Bidirectional":
        inner = config.get("layer")
        merged = config.get("merge_mode", "concat") is not None
        return merged and isinstance(inner, dict) and runs_an_lstm(inner)
    if kind == "RNN":
        cell = config.get("cell")
        cells = config_of(cell).get("cells", [cell])
        named = isinstance(cells, list) and all(
            isinstance(cell, dict) for cell in cells
        )
        return named and all("LSTM" in class_name(cell) for cell in cells)
    return "LSTM" in kind and "Conv" not in kind


class Network:
    """The layers of a model by name, and the layer that feeds each."""

    def __init__(self, model: Config) -> None:
        layers = [
            layer for layer in serialized_layers(model) if isinstance(layer, dict)
        ]
        names = [str(layer_name(layer)) for layer in layers]
        self.layers: dict[str, Config] = dict(zip(names, layers, strict=True))
        self.has_twins = len(self.layers) < len(layers)
        self.sources = {name: _source(layer) for name, layer in self.layers.items()}
        self.outputs = self._named(config_of(model).get("output_layers"))
        if class_name(model) == "Sequential":
            self.sources = dict(zip(names[1:], names, strict=False))
            self.outputs = names[-1:]

    def inputs_of(self, name: str) -> list[str]:
        """The layers that a layer is called with, in any way."""
        if source := self.sources.get(name):
            return [source]
        return self._named(self.layers[name].get("inbound_nodes"))

    def _named(self, value: Any) -> list[str]:
        """The layers named anywhere in a value, once each."""
        pending, names = [value], list[str]()
        while pending:
            part = pending.pop()
            if isinstance(part, dict):
                pending += reversed(part.values())
            elif isinstance(part, list):
                pending += reversed(part)
            elif part in self.layers and part not in names:
                names.append(part)
        return names

    def before(self, name: str) -> Iterator[tuple[str, Config, Any]]:
        """The layers whose outputs reach a layer, nearest first; whether each gives steps."""
        for _ in range(MOST_HOPS):
            before = self.sources.get(name)
            if before is None or before not in self.layers:
                return
            layer = self.layers[before]
            inner = config_of(layer).get("layer")
            config = config_of(inner if isinstance(inner, dict) else layer)
            yield before, layer, config.get("return_sequences")
            name = before

    def lstm_before(self, name: str) -> str | None:
        """The LSTM whose steps are the inputs of this layer."""
        for before, layer, gives_steps in self.before(name):
            if runs_an_lstm(layer):
                return before if gives_steps is True else None
            if class_name(layer) not in PASSING:
                break
        return None


# ---- layers that mask steps


def masks_before(
    model: Any, above: str = "", around: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """The serialized layer that masks the steps of each layer, by path, as Keras passes masks on.

    Its ``unchanged``: whether its inputs (of an Embedding its outputs) are
    those of the layer. Behind unknown layers, it is the last one listed
    before, or ``around``, which masks the model. The cells of a stack have
    that of the stack.
    """
    if not isinstance(model, dict) or "cell" in config_of(model):
        return {}
    network = Network(model)
    found: dict[str, dict[str, Any]] = {}
    last = {**around, "unchanged": False} if around else {}
    for name, layer in network.layers.items():
        path = f"{above}/{name}" if above else name
        if mask := _mask_before(name, network, last):
            found[path] = mask
        found |= masks_before(layer, path, mask)
        if _masks_steps(layer):
            last = {**layer, "name": path, "unchanged": False}
    return found


def _masks_steps(layer: Config) -> bool:
    return class_name(layer) == "Masking" or config_of(layer).get("mask_zero") is True


def _mask_before(
    name: str, network: Network, last: Mapping[str, Any]
) -> dict[str, Any]:
    """The layer that masks this one's inputs; ``last`` if the way is unknown."""
    unchanged = True
    for before, layer, gives_steps in network.before(name):
        if _masks_steps(layer):
            return {**layer, "name": before, "unchanged": unchanged}
        if class_name(layer) == "RepeatVector" or gives_steps is False:
            return {}  # which ends a mask
        unchanged &= class_name(layer) in PASSING
    return dict(last)


def _source(layer: Config) -> str | None:
    """The layer whose first output is the only input of one that is called once; or None."""
    nodes = layer.get("inbound_nodes")
    if not isinstance(nodes, list) or len(nodes) != 1:
        return None
    node = nodes[0]
    if isinstance(node, dict):
        args, arguments = node.get("args"), node.get("kwargs")
        single = args[0] if isinstance(args, list) and len(args) == 1 else None
        history = config_of(single).get("keras_history")
    else:
        history, arguments = _listed(node)
    if not isinstance(arguments, dict) or arguments.get("initial_state") is not None:
        return None
    if not isinstance(history, list) or len(history) < 3 or history[2] != 0:
        return None
    return str(history[0])


def _listed(node: Any) -> tuple[Any, Any]:
    """History and other arguments for Keras 1 and 2: Keras 1 has no others."""
    while isinstance(node, list) and len(node) == 1 and isinstance(node[0], list):
        node = node[0]
    if not isinstance(node, list) or not node or not isinstance(node[0], str):
        return None, None
    return node, node[3] if len(node) > 3 else {}
