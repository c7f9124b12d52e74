"""The front and the head of the LSTMs that are run: as their file tells, or of tensors left over.

Without a graph, names and shapes decide. What fits is taken, and said to be
assumed; of several, or with something else in between, nothing is taken, and a
remark has the option for each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Model, layer_width
from lstmcli.core.model.settings import Assumption
from lstmcli.core.model.surroundings import (
    EACH,
    STATES,
    Dense,
    Embedding,
    FrontOfFile,
    Head,
    HeadLayer,
    HeadOfFile,
)
from lstmcli.core.model.vocabulary import read_head_activation, split_head
from lstmcli.core.weights.choose_lstm import TRAINING
from lstmcli.core.weights.metadata import is_in_group
from lstmcli.core.weights.recognise import SLOT
from lstmcli.core.weights.templates import Settings, Shape, normalise
from lstmcli.errors import Try, UserError, did_you_mean, listed

MOST_LAYERS = 8  # of a head
MOST_HEADS = 16  # that fit; of more, none is the only one
MOST_LISTED = 4  # in a remark
OPTIONS = ("--front", "--head")  # of assumptions

_LEAF = re.compile(r"([/.:_](weights?|kernel|w)|[/.]embeddings)(:0)?$", re.IGNORECASE)
_WORD = re.compile(  # of a kernel or a bias: fc.weight, W_out and b_out, Why and by
    r"(^|[/.:_])(weights?|kernel|wh?|(?P<bias>bias(es)?|b))(?=$|[/.:_0-9]|y$)",
    re.IGNORECASE,
)
_TABLE = re.compile(
    r"emb(ed|s?($|[/.:_\d]))|(^|[/.:_])(encoder|wte|lookup|word_vectors)($|[/.:_])",
    re.IGNORECASE,
)
_TIED_BIAS = re.compile(r"(.*[/.:_])?decoder[/.:_]bias")
_RECURRENT = re.compile(r"(^|[/.:_])[ih]h($|[/.:_])|recurrent", re.IGNORECASE)
_NUMBER = re.compile(r"[/.:_]?\d+")


@dataclass(frozen=True, eq=False)
class Chain:
    """The LSTMs that are run one after the other, and what their file has besides."""

    source: str
    tensors: Mapping[str, Array]  # all of the file, in its order
    of_lstms: Collection[str]  # the names of those of any LSTM
    first: Sequence[str]  # the tensors of the first LSTM that is run
    last: Sequence[str]  # and of the last one
    inputs: int  # I
    layer: Sequence[Cell]  # the last one
    is_whole: bool  # the file has no other LSTM
    has_graph: bool = False
    heads: Sequence[HeadOfFile] = ()
    fronts: Sequence[FrontOfFile] = ()

    def outputs(self, steps: str = EACH) -> int:
        """P, the size of the h that a head takes."""
        if steps == STATES:
            return sum(cell.outputs for cell in self.layer)
        return layer_width([replace(cell, edits=()) for cell in self.layer])

    def shape(self, name: str) -> Shape:
        """The shape of a tensor."""
        return tuple(self.tensors[name].shape)

    @cached_property
    def left(self) -> list[str]:
        """The tensors of no LSTM and no training, in the order of the file."""
        left = []
        for name, array in self.tensors.items():
            plain = normalise(name)
            is_copy = TRAINING.search(plain) or SLOT.search(plain)
            if array.ndim and name not in self.of_lstms and not is_copy:
                left.append(name)
        return left

    @cached_property
    def tables(self) -> list[str]:
        """The tensors left over that are called a table and have the size of inputs."""
        named = filter(_TABLE.search, self.left)
        return [name for name in named if self.shape(name)[1:] == (self.inputs,)]

    @cached_property
    def layers(self) -> list[HeadLayer]:
        """The dense layers that the tensors left over may be, not yet oriented."""
        parts = {name: _split_name(name) for name in self.left}
        biases = {part.rest: name for name, part in parts.items() if part.is_bias}
        recurrent = {_group(name) for name in self.left if _RECURRENT.search(name)}
        layers = []
        for name, next_one in zip(self.left, [*self.left[1:], ""], strict=False):
            is_other = name in self.tables or parts[name].is_bias
            if is_other or _group(name) in recurrent or len(self.shape(name)) != 2:
                continue
            bias = biases.get(parts[name].rest, "")
            if next_one and name.startswith("arr_"):  # in the order of a list
                bias = next_one
            layers.append(HeadLayer(layer_of(name), name, bias))
        used = {layer.bias for layer in layers}
        for bias in self.left:
            rows = [k for k in self.tables if self.shape(k)[:1] == self.shape(bias)]
            if len(rows) == 1 and _TIED_BIAS.fullmatch(bias) and bias not in used:
                name = bias.removesuffix("bias")[:-1]
                layers.append(HeadLayer(name, rows[0], bias, is_transposed=True))
        return layers

    def fitting(self, layer: HeadLayer, width: int) -> HeadLayer | None:
        """The layer as it takes this many inputs; None if it does not, or both ways."""
        rows, columns = self.shape(layer.kernel)
        by_name = _is_transposed(layer)
        if by_name is None and rows == columns:
            return None
        if rows == width and not by_name:
            return self.oriented(layer, False)
        if columns == width and by_name is not False:
            return self.oriented(layer, True)
        return None

    def oriented(self, layer: HeadLayer, is_transposed: bool) -> HeadLayer:
        """The layer with its orientation, and without a bias of another size."""
        layer = layer._replace(is_transposed=is_transposed)
        if layer.bias and prod(self.shape(layer.bias)) != self.width(layer):
            return layer._replace(bias="")
        return layer

    def oriented_by_name(self, layer: HeadLayer) -> HeadLayer:
        """The layer by its name; of other names, as the LSTM's tensors are stored."""
        is_transposed = _is_transposed(layer)
        if is_transposed is None:
            is_transposed = self.layer[0].convention.storage.orientation == "rows"
        return self.oriented(layer, is_transposed)

    def width(self, layer: HeadLayer) -> int:
        """K, the number of outputs of an oriented layer."""
        return self.shape(layer.kernel)[0 if layer.is_transposed else 1]


def layer_of(tensor: str) -> str:
    """The name of a layer by that of its kernel or table: ``fc`` of ``fc.weight``."""
    return _LEAF.sub("", tensor) or tensor


class _NameParts(NamedTuple):
    """The name of a tensor without the word for its role."""

    rest: str
    is_bias: bool = False


def _split_name(tensor: str) -> _NameParts:
    words = [*_WORD.finditer(tensor)]
    if not words:
        return _NameParts(tensor)
    rest = tensor[: words[-1].start()] + tensor[words[-1].end() :]
    return _NameParts(rest, words[-1]["bias"] is not None)


def _group(tensor: str) -> str:
    """The module or the scope of a tensor, or its own name."""
    return re.sub(r"[/.][^/.]*$", "", tensor)


def _is_transposed(layer: HeadLayer) -> bool | None:
    """Tell whether a kernel is (K_out, K_in) by its name; None: its shape decides."""
    name = layer.kernel.removesuffix(":0").lower()
    if layer.is_transposed or name.endswith("weight"):
        return True
    return False if name.endswith("kernel") else None


class Part(NamedTuple):
    """A front or a head, or none; and what is said of it."""

    value: Any = None
    roles: Mapping[str, str] = {}  # of its tensors
    assumed: Sequence[str] = ()
    remark: str = ""
    mentioned: Collection[str] = ()  # the tensors in the remark


class Surroundings(NamedTuple):
    """The front and the head of a chain, the roles of their tensors, and what is said."""

    front: Embedding | None = None
    head: Head | None = None
    roles: Mapping[str, str] = {}
    assumed: Sequence[str] = ()
    remarks: Sequence[str] = ()
    unused: Sequence[str] = ()  # tensors beside a front or a head that are neither
    idle: Sequence[str] = ()  # rows on settings that change nothing


def find_surroundings(chain: Chain, given: Settings) -> Surroundings:
    """The front and the head of a chain, by its file unless settings name them."""
    if chain.has_graph:
        parts = {"front": _front_of_graph(chain), "head": _head_of_graph(chain)}
    else:
        parts = {"front": _front_left(chain), "head": _head_left(chain)}
    ask = {"front": _asked_front, "head": _asked_head}
    idle = []
    for name, part in parts.items():
        asked = given.get(name)
        if asked == "none" and part.value is None and not part.remark:
            why = f"there is no {name}"
            idle.append(f"{chain.source}: {name}=none changes nothing: {why}.")
        if asked is not None:
            parts[name] = Part() if asked == "none" else ask[name](chain, asked)
    front, head = parts["front"], parts["head"]
    roles = {**head.roles, **front.roles}
    mentioned = {*roles, *front.mentioned, *head.mentioned}
    unused: list[str] = []
    if mentioned and not chain.has_graph:
        unused.extend(name for name in chain.left if name not in mentioned)
    remarks = [part.remark for part in parts.values() if part.remark]
    assumed = (*front.assumed, *head.assumed)
    return Surroundings(front.value, head.value, roles, assumed, remarks, unused, idle)


# ---- the front


def _front_of_graph(chain: Chain) -> Part:
    of_first = []
    for front in chain.fronts:
        if any(is_in_group(name, front.before) for name in chain.first):
            of_first.append(front)
    if not of_first:
        names = [front.name for front in chain.fronts if not front.obstacle]
        return _of_another(chain, "front", names)
    if of_first[0].obstacle:
        return _obstacle(chain, "front", of_first[0].obstacle)
    try:
        return _embedding(chain, of_first[0])
    except UserError as error:
        return Part(remark=f"{chain.source}: no front is run: {error.lines[0]}")


def _front_left(chain: Chain) -> Part:
    fronts = [FrontOfFile("", layer_of(name), name) for name in chain.tables]
    if not fronts:
        return Part()
    if len(fronts) > 1 or not chain.is_whole:
        why = "several fit" if chain.is_whole else "the file has other LSTMs"
        options = [f"--front {one.name} {chain.shape(one.table)}" for one in fronts]
        remark = _not_run(chain, "front", why, options)
        return Part(remark=remark, mentioned=chain.tables)
    rows, width = chain.shape(fronts[0].table)
    what = f"front {fronts[0].name}: {rows} x {width}"
    why = "by its name and shape"
    assumed = Assumption(what, why, "--front", "none")
    return _embedding(chain, fronts[0])._replace(assumed=[assumed])


def _asked_front(chain: Chain, asked: str) -> Part:
    tables = [name for name in chain.left if len(chain.shape(name)) == 2]
    known = {layer_of(name): FrontOfFile("", layer_of(name), name) for name in tables}
    known |= {name: FrontOfFile("", layer_of(name), name) for name in tables}
    known |= {front.name: front for front in chain.fronts if front.table}
    fits = [one.name for one in known.values() if one.table in chain.tables]
    ways = [Try({"front": name}) for name in dict.fromkeys(fits)]
    ways.append(Try({"front": "none"}, "inputs are the LSTM's"))
    try:
        if asked not in known:
            raise UserError(_unknown(asked, [layer_of(name) for name in tables]))
        return _embedding(chain, known[asked])
    except UserError as error:
        text = f"{chain.source}: {error.lines[0]}"
        raise UserError(text, about={"front": asked}, try_=ways) from None


def _embedding(chain: Chain, front: FrontOfFile) -> Part:
    """The front of a file as it is run; UserError if it does not fit."""
    if front.table not in chain.tensors:
        raise UserError(f"its table {front.table} is not in the file.")
    shape, width = chain.shape(front.table), chain.inputs
    if len(shape) != 2 or shape[1] != width:
        raise UserError(
            f"{front.table} is {shape}; the LSTM takes {width} inputs, so that its "
            f"table is (V, {width})."
        )
    table = np.asarray(chain.tensors[front.table])
    value = Embedding(front.name, table, front.masks_zero)
    return Part(value, {front.table: "front"})


# ---- the head


def _head_of_graph(chain: Chain) -> Part:
    of_last = _heads_behind(chain)
    if not of_last:
        heads = [head.layers for head in chain.heads if head.layers]
        return _of_another(chain, "head", [_names(layers) for layers in heads])
    if len(of_last) > 1:
        options = [f"--head {_names(head.layers)}" for head in of_last if head.layers]
        return Part(remark=_not_run(chain, "head", "the file has several", options))
    if of_last[0].obstacle:
        return _obstacle(chain, "head", of_last[0].obstacle)
    if not of_last[0].layers:
        return Part()
    try:
        return _dense_layers(chain, of_last[0])
    except UserError as error:
        return Part(remark=f"{chain.source}: no head is run: {error.lines[0]}")


def _heads_behind(chain: Chain) -> list[HeadOfFile]:
    behind = []
    for head in chain.heads:
        if any(is_in_group(name, head.behind) for name in chain.last):
            behind.append(head)
    return behind


def _head_left(chain: Chain) -> Part:
    width = chain.outputs()
    heads = list(islice(_heads_left(chain, width), MOST_HEADS))
    squares = []
    for layer in chain.layers:
        is_square = chain.shape(layer.kernel) == (width, width)
        if is_square and chain.fitting(layer, width) is None:
            squares.append((layer,))
    if not heads and not squares:
        return Part()
    head = _only(heads)
    names: list[str] = []
    if not heads:
        why, heads = "a square kernel may be transposed", squares
    elif not chain.is_whole:
        why = "the file has other LSTMs"
    elif head is None:
        why = "several fit"
    elif names := _between(chain, head):
        why = f"{listed(names, MOST_LISTED)} may stand before it"
    else:
        part = _dense_layers(chain, HeadOfFile("", head))
        return part._replace(assumed=[_assumed_head(part.value, width)])
    options = []
    for layers in heads:
        options.append(
            f"--head {_names(layers)} ({width} -> {chain.width(layers[-1])})"
        )
        names.extend(_tensors(layers))
    return Part(remark=_not_run(chain, "head", why, options), mentioned=names)


def _heads_left(
    chain: Chain, width: int, start: int = 0, most: int = MOST_LAYERS
) -> Iterator[tuple[HeadLayer, ...]]:
    """Every row of layers that fit in turn, in the order of the file, as long as it gets."""
    for n, layer in enumerate(chain.layers[start:], start + 1):
        first = chain.fitting(layer, width)
        if first is None or not most:
            continue
        rest = _heads_left(chain, chain.width(first), n, most - 1)
        for further in list(islice(rest, MOST_HEADS)) or [()]:
            yield (first, *further)


def _only(heads: Sequence[Sequence[HeadLayer]]) -> tuple[HeadLayer, ...] | None:
    """The only head; or that of all layers, if only their numbers tell them apart."""
    if not heads:
        return None
    longest = tuple(heads[0])
    kernels = {layer.kernel for head in heads for layer in head}
    names = {_NUMBER.sub("", layer.name) for layer in longest}
    is_row = len(names) == 1 and len(kernels) == len(longest)
    if len(heads) == 1 or (is_row and len(heads) < MOST_HEADS):
        return longest
    return None


def _between(chain: Chain, head: Sequence[HeadLayer]) -> list[str]:
    """The tensors that may stand between the LSTM and the end of its head.

    Those in between by the order of the file; all others where it is that of
    the alphabet, or the head comes first.
    """
    names = [*chain.tensors]
    place = {name: n for n, name in enumerate(names)}
    end = max(place[name] for name in chain.last)
    places = [place[layer.bias or layer.kernel] for layer in head]
    is_in_order = names != sorted(names) and min(places) > end
    between = []
    for name in chain.left:
        if name in chain.tables or name in _tensors(head):
            continue
        if not is_in_order or end < place[name] < max(places):
            between.append(name)
    return between


def _assumed_head(head: Head, width: int) -> Assumption:
    sizes = [width]
    for layer in head.layers:
        sizes.append(Head((layer,)).width(sizes[-1]))
    names = ", ".join(layer.name for layer in head.layers)
    what = f"head {names}: {' -> '.join(map(str, sizes))}"
    plural = "s" if len(head.layers) > 1 else ""
    text = f"{what}, activation{plural} not in the file"
    return Assumption(text, "", "--head", suggested_head(head))


def suggested_head(head: Head) -> str:
    """The layers of a head with usual activations: ``fc1:relu,fc2:softmax``."""
    *hidden, last = head.layers
    texts = [f"{layer.name}:relu" for layer in hidden]
    texts.append(f"{last.name}:{'softmax' if head.width(0) > 1 else 'sigmoid'}")
    return ",".join(texts)


def _asked_head(chain: Chain, asked: str) -> Part:
    steps = [head.steps for head in _heads_behind(chain)]
    described = HeadOfFile("", (), steps[0] if steps else EACH)
    width = chain.outputs(described.steps)
    heads = islice(_heads_left(chain, width), MOST_LISTED)
    ways = [Try({"head": _names(layers)}) for layers in heads]
    ways.append(Try({"head": "none"}, "h is the output"))
    try:
        layers = _asked_layers(chain, asked, width)
        return _dense_layers(chain, described._replace(layers=tuple(layers)))
    except UserError as error:
        text = f"{chain.source}: {error.lines[0]}"
        raise UserError(text, about={"head": asked}, try_=ways) from None


def _asked_layers(chain: Chain, asked: str, width: int) -> list[HeadLayer]:
    of_file = [layer for head in chain.heads for layer in head.layers]
    known = {layer.kernel: layer for layer in chain.layers}
    known |= {layer.name: layer for layer in (*chain.layers, *of_file)}
    layers = []
    for name, activation in split_head(asked):
        if name not in known:
            raise UserError(_unknown(name, [layer.name for layer in known.values()]))
        layer = known[name]
        if layer not in of_file:
            layer = chain.fitting(layer, width) or chain.oriented_by_name(layer)
        if layer.kernel in chain.tensors:
            width = chain.width(layer)
        layers.append(layer._replace(activation=activation))
    return layers


def _dense_layers(chain: Chain, head: HeadOfFile) -> Part:
    """The head of a file as it is run; UserError if it does not fit."""
    width, giver = chain.outputs(head.steps), "the LSTM"
    layers = []
    roles = {}
    for layer in head.layers:
        kernel = bias = None
        if layer.kernel:
            kernel = _kernel(chain, layer, width, giver)
            width, giver = kernel.shape[1], layer.name
            roles[layer.kernel] = "head kernel"
        if layer.bias:
            bias = np.asarray(chain.tensors[layer.bias]).reshape(-1)
            roles[layer.bias] = "head bias"
            if len(bias) != width:
                shape = chain.shape(layer.bias)
                raise UserError(f"{layer.bias} is {shape}; it takes ({width},).")
        try:
            activation = read_head_activation(layer.activation)
        except ValueError:
            text = f"{layer.name} has the activation {layer.activation}."
            raise UserError(text) from None
        layers.append(Dense(layer.name, kernel, bias, activation))
    return Part(Head(tuple(layers), head.steps), roles)


def _kernel(chain: Chain, layer: HeadLayer, width: int, giver: str) -> Array:
    """The kernel (K_in, K_out) of a layer; UserError if it does not take this many inputs."""
    if layer.kernel not in chain.tensors:
        raise UserError(f"{layer.kernel} of {layer.name} is not in the file.")
    kernel: Array = np.asarray(chain.tensors[layer.kernel])
    if layer.is_transposed:
        kernel = kernel.T
    if kernel.ndim != 2 or len(kernel) != width:
        shape, takes = chain.shape(layer.kernel), kernel.shape[0]
        text = f"{layer.kernel} {shape} takes {takes} inputs; {giver} gives {width}."
        raise UserError(text)
    return kernel


# ---- the LSTM alone


def lstm_alone(model: Model, why: str) -> Model:
    """The model without its front and head, with a remark why; as it is if it has none."""
    names = [f"the front {model.front.name}"] if model.front else []
    if model.head:
        names.append(f"the head {model.head.text}")
    if not names:
        return model
    verb = "is" if len(names) == 1 else "are"
    remark = f"{' and '.join(names)} {verb} left out: {why}."
    assumed = []
    for text in model.assumed:
        if getattr(text, "option", "") not in OPTIONS:
            assumed.append(text)
    remarks = (*model.remarks, remark)
    return replace(
        model, front=None, head=None, assumed=tuple(assumed), remarks=remarks
    )


# ---- words


def _names(layers: Sequence[HeadLayer]) -> str:
    return ",".join(layer.name for layer in layers)


def _tensors(layers: Sequence[HeadLayer]) -> list[str]:
    """The tensors of layers; an activation alone has none, and a layer may lack its bias."""
    both = [name for layer in layers for name in (layer.kernel, layer.bias)]
    return [name for name in both if name]


def _not_run(chain: Chain, what: str, why: str, options: Sequence[str]) -> str:
    ways = listed(options, MOST_LISTED)
    return f"{chain.source}: no {what} is run, as {why}: {ways}."


def _obstacle(chain: Chain, what: str, obstacle: str) -> Part:
    side = "behind" if what == "head" else "before"
    text = f"no {what} is run, as {obstacle} stands {side} the LSTM"
    return Part(remark=f"{chain.source}: {text}.")


def _of_another(chain: Chain, what: str, names: Sequence[str]) -> Part:
    if not names:
        return Part()
    side = "behind" if what == "head" else "before"
    text = (
        f"no {what} is run, as {listed(names, MOST_LISTED)} stands {side} another LSTM"
    )
    return Part(remark=f"{chain.source}: {text}.")


def _unknown(name: str, known: Sequence[str]) -> str:
    names = [*dict.fromkeys(known)]
    there = listed(names, MOST_LISTED) or "none"
    near = did_you_mean(name, names)
    return f"no layer is called {name!r}; beside the LSTM there is {there}.{near}"
