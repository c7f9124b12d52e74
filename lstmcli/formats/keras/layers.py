"""Layers of a Keras model: from its config to their paths, and from these to names of weights.

A path is the names of the models that a layer lies in, and its own: ``encoder/zeta``. The cells
of a stack lie in their layer: ``stack/lstm_cell_1``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lstmcli.errors import UserError

HOLDERS = ("layers", "_layer_checkpoint_dependencies", "cell/cells")
"""Where the new layout has the layers of a model (the second in TensorFlow 2.12 and 2.13), and
the cells of a stack."""

Words = Mapping[str, Any]
Attributes = Mapping[str, Mapping[str, Any]]  # of groups, by path


@dataclass(frozen=True)
class Layer:
    """A layer, a model in the model, or a cell of a stack."""

    path: str
    words: Words  # class_name and config, as Keras has them
    within: list[Layer] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its own name, which may have a / in it."""
        return str(self.words["config"]["name"])

    @property
    def kind(self) -> str:
        """The class as the new layout spells it: ``cu_dnnlstm`` for CuDNNLSTM."""
        spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", self.class_name))
        return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return str(self.words.get("class_name"))


class Weight(NamedTuple):
    """Where a weight is in the file, the path of its layer, and what it is called below that."""

    path: str
    layer: str
    rest: str

    @property
    def name(self) -> str:
        """What the document calls it."""
        return f"{self.layer}/{self.rest}" if self.layer else self.rest


def layers_in(words: Any, where: str) -> list[Layer]:
    """The layers of a model by its config, in its order; none for a config without layers.

    Raises
    ------
    UserError
        for one that is nested too deeply.
    """
    try:
        return _within(words, "")
    except RecursionError:
        raise UserError(f"{where}: its config is nested too deeply.") from None


def _within(words: Any, above: str) -> list[Layer]:
    layers = []
    for one in _parts(words):
        if isinstance(one, dict) and isinstance(name := _name(one), str) and name:
            path = f"{above}/{name}" if above else name
            own = {**one, "config": {**_mapping(one.get("config")), "name": name}}
            layers.append(Layer(path, own, _within(one, path)))
    return layers


def _parts(words: Any) -> Sequence[Any]:
    """The layers of a model, or the cells of a stack."""
    config = _mapping(words).get("config")
    if isinstance(config, list):  # a Sequential of Keras 1 and of 2 before 2.2.3
        return config
    stack = _mapping(_mapping(_mapping(config).get("cell")).get("config")).get("cells")
    parts = _mapping(config).get("layers", stack)
    return parts if isinstance(parts, list) else []


def _name(words: Words) -> Any:
    return _mapping(words.get("config")).get("name", words.get("name"))


def _mapping(value: Any) -> Words:
    return value if isinstance(value, dict) else {}


def each(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Every layer, before those within it."""
    for layer in layers:
        yield layer
        yield from each(layer.within)


# ---- the old layout: a group a layer, which lists the names of its weights


def by_name(weights: Mapping[str, Mapping[str, str]], layers: Sequence[Layer]) -> list[Weight]:
    """Place weights by their names.

    Parameters
    ----------
    weights
        layer of the model -> name of a weight -> its path in the file.
    layers
        the config, or nothing.
    """
    tops = {layer.name: layer for layer in layers}
    placed = []
    for top, names in weights.items():
        found = [_descended(name, path, top, tops.get(top)) for name, path in names.items()]
        placed += _cells_apart(_without_number(found), tops.get(top))
    return placed


def _descended(name: str, path: str, top: str, layer: Layer | None) -> Weight:
    """Cut from a name the layers that it goes through, from the outermost to the last."""
    rest, below = _after(f"/{name}", top), top
    within = layer.within if layer else []
    while inner := next((one for one in within if f"/{one.name}/" in rest), None):
        rest, below, within = _after(rest, inner.name), inner.path, inner.within
    return Weight(path, below, rest.strip("/"))


def _after(text: str, name: str) -> str:
    _, found, rest = text.partition(f"/{name}/")
    return f"/{rest}" if found else text


def _without_number(weights: list[Weight]) -> list[Weight]:
    """Cut the number that TensorFlow 1 gives every name of a layer made twice: zeta_W_i_2:0."""
    matches = [re.fullmatch(r"(.*)_(\d+)((?::0)?)", weight.rest) for weight in weights]
    if len({match and match[2] for match in matches}) != 1 or not matches[0]:
        return weights
    return [w._replace(rest=m[1] + m[3]) for w, m in zip(weights, matches, strict=True) if m]


def _cells_apart(weights: list[Weight], layer: Layer | None) -> list[Weight]:
    """Keras 2 before 2.4 numbers the weights of the cells of a stack: kernel:0, kernel_1:0."""
    names = {weight.name for weight in weights}
    split = [re.fullmatch(r"(.*?)(?:_(\d{1,9}))?((?::0)?)", weight.name) for weight in weights]
    firsts = {f"{m[1]}{m[3]}" for m in split if m and m[2] and f"{m[1]}{m[3]}" in names}
    apart = []
    for weight, match in zip(weights, split, strict=True):
        if match and f"{match[1]}{match[3]}" in firsts:
            number, leaf = int(match[2] or 0), match[1].rpartition("/")[2] + match[3]
            cells = layer.within if layer else []
            cell = cells[number].path if number < len(cells) else f"{weight.layer}/{number}"
            weight = Weight(weight.path, cell, leaf)
        apart.append(weight)
    return apart


# ---- the new layout: groups by class


def by_class(
    arrays: Collection[str], attributes: Attributes, layers: Sequence[Layer]
) -> list[Weight]:
    """Place weights by the classes of their layers, in the order of the config.

    Without a config, the order is that of the numbers within a class; names are told by an
    attribute (Keras 3.8 and later), else they are the class with its number.

    Parameters
    ----------
    arrays
        paths in the file.
    attributes
        of every group, by path.
    layers
        the config, or nothing.
    """
    below: dict[str, list[str]] = {}
    for path in attributes:
        above, _, name = path.rpartition("/")
        below.setdefault(above, []).append(name)
    groups = _matched("", layers, below)
    order = {group: n for n, group in enumerate(groups)}
    weights = []
    for path in arrays:
        holder = next((g for g in _prefixes(path) if g in groups), None)
        if holder is None:
            weights.append((len(order), Weight(path, *_by_attribute(path, attributes))))
        else:
            rest = path[len(holder) + 1 :]
            weights.append((order[holder], Weight(path, groups[holder], rest)))
    weights.sort(key=lambda pair: (pair[0], _natural(pair[1].path)))
    return [weight for _, weight in weights]


def _matched(
    group: str, layers: Sequence[Layer], below: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The groups of these layers, in their order, with the layers' paths.

    The k-th group of a class, by its number, is the k-th layer of that class. Where some layers
    have none, the number itself counts them.
    """
    holder = next((h for h in (f"{group}/{h}".strip("/") for h in HOLDERS) if h in below), None)
    if holder is None:
        return {}
    counts = Counter(layer.kind for layer in layers)
    seen: Counter[str] = Counter()
    groups: dict[str, str] = {}
    for layer in layers:
        kind, k = layer.kind, seen[layer.kind]
        seen[kind] += 1
        held = sorted(n for name in below[holder] if (n := _number(name, kind)) is not None)
        number = held[k] if len(held) == counts[kind] else k
        if number in held:
            own = f"{holder}/{kind}_{number}" if number else f"{holder}/{kind}"
            groups[own] = layer.path
            groups |= _matched(own, layer.within, below)
    return groups


def _number(name: str, kind: str) -> int | None:
    """N of ``kind_N``, 0 of ``kind``; None for another name."""
    rest = name.removeprefix(kind)
    if rest == name or not re.fullmatch(r"(_[1-9]\d{0,8})?", rest):
        return None
    return int(rest[1:] or 0)


def _by_attribute(path: str, attributes: Attributes) -> tuple[str, str]:
    """The layer and the rest of a path, by what the file itself tells of the groups in it."""
    parts, layer, rest = path.split("/"), list[str](), list[str]()
    for n, part in enumerate(parts):
        here = "/".join(parts[: n + 1])
        if here.endswith(HOLDERS[:2]):
            rest.clear()
        elif here.rpartition("/")[0].endswith(HOLDERS):
            rest.clear()
            layer.append(str(attributes.get(f"{here}/vars", {}).get("name", part)))
        else:
            rest.append(part)
    return "/".join(layer), "/".join(rest)


def _prefixes(path: str) -> Iterator[str]:
    """The groups that a path lies in, from the innermost."""
    while path := path.rpartition("/")[0]:
        yield path


def _natural(path: str) -> list[tuple[int, str]]:
    """Sorts lstm_2 before lstm_10, lstm before both, and forward_layer before backward_layer."""
    path = path.replace("backward_layer", "forward_layer_")
    return [(len(p) if p.isdecimal() else 0, p) for p in re.split(r"(\d+)", path) if p]
