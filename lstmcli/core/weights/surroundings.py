"""The front and the head of the LSTMs that are run: as their file tells, or of tensors left over.

Without a graph, names and shapes decide. A layer that fits is taken and is an
assumption; of several, or with something else in between, none is taken, and a
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
from lstmcli.core.model.model import (
    ELEMENTWISE,
    Cell,
    Model,
    join_with_and,
    layer_width,
)
from lstmcli.core.model.settings import Assumption
from lstmcli.core.model.surroundings import (
    EACH,
    MOST_LAYERS,
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
from lstmcli.core.weights.claims import is_of_optimizer
from lstmcli.core.weights.metadata import is_in_group
from lstmcli.core.weights.templates import Settings, Shape, normalise
from lstmcli.errors import SettingsToTry, UserError, did_you_mean, listed

MOST_HEADS = 16  # that fit; of more, none is the only one
MOST_LISTED = 4  # in a message
RESULTS = ("h", "c", "y", "final_h", "final_c", "final_y")  # of a run
SIDES = {"front": "before", "head": "behind"}

_LEAF = re.compile(r"([/.:_](weights?|kernel|w)|[/.]embeddings)(:0)?$", re.I)
_WORD = re.compile(  # of a kernel or a bias: fc.weight, W_out and b_out, Why and by
    r"(^|[/.:_])(weights?|kernel|wh?|(?P<bias>bias(es)?|b))(?=$|[/.:_0-9]|y$)", re.I
)
_TABLE = re.compile(
    r"emb(ed|s?($|[/.:_\d]))|(^|[/.:_])(encoder|wte|lookup|word_vectors)$",
    re.I,
)
_TIED_BIAS = re.compile(r"((?:.*[/.:_])?decoder)[/.:_]bias")
_RECURRENT = re.compile(r"(^|[/.:_])[ih]h($|[/.:_])|recurrent", re.I)
_MODULE = re.compile(r"[/.][^/.]*$")
_NUMBER = re.compile(r"[/.:_]?\d+")


@dataclass(frozen=True, eq=False)
class Chain:
    """The LSTMs that are run one after the other, and the rest of their file."""

    source: str
    tensors: Mapping[str, Array]  # all of the file, in its order
    of_lstms: Collection[str]  # the names of those of any LSTM
    first: Sequence[str]  # the tensors of the first LSTM that is run
    last: Sequence[str]  # and of the last one
    inputs: int  # I
    layer: Sequence[Cell]  # the last one
    is_whole: bool  # the file has no other LSTM
    names_unused: bool  # other tensors than those of a front and a head
    has_graph: bool
    heads: Sequence[HeadOfFile]
    fronts: Sequence[FrontOfFile]
    of_front: Sequence[str] = ()  # the tensors of the front that is run

    def outputs(self, steps: str = EACH) -> int:
        """P, the size of the h that a head takes."""
        layer = [replace(cell, edits=()) for cell in self.layer]
        if steps == STATES and layer[0].behaviour.merge not in ELEMENTWISE:
            return sum(cell.outputs for cell in layer)
        return layer_width(layer)

    def shape(self, name: str) -> Shape:
        """The shape of a tensor."""
        return tuple(self.tensors[name].shape)

    @cached_property
    def left(self) -> list[str]:
        """The tensors of no LSTM and no training, in the order of the file."""
        left = []
        for name in self.tensors:
            if name in self.of_lstms or name in RESULTS:
                continue
            plain = normalise(name)
            is_copy = TRAINING.search(plain) or is_of_optimizer(name)
            if self.shape(name) and not is_copy:
                left.append(name)
        return left

    @cached_property
    def matrices(self) -> list[str]:
        """The matrices left over that are no recurrent layer's."""
        recurrent = {_MODULE.sub("", k) for k in self.left if _RECURRENT.search(k)}
        return [
            name
            for name in self.left
            if len(self.shape(name)) == 2 and _MODULE.sub("", name) not in recurrent
        ]

    @cached_property
    def tables(self) -> list[str]:
        """The matrices that are called a table and have the size of inputs."""
        named = [name for name in self.matrices if _TABLE.search(layer_of(name))]
        return [name for name in named if self.shape(name)[1] == self.inputs]

    @cached_property
    def layers(self) -> list[HeadLayer]:
        """The dense layers that the tensors left over may be."""
        layers = []
        for name in self.matrices:
            _, is_bias = _split(name)
            if not is_bias and name not in self.tables:
                turned = name.lower().endswith("weight")
                bias = self._bias_of(name)
                layers.append(
                    HeadLayer(layer_of(name), name, bias, is_transposed=turned)
                )
        used = {layer.bias for layer in layers}
        for bias in self.left:
            tied = _TIED_BIAS.fullmatch(bias)
            rows = [k for k in self.tables if self.shape(k)[:1] == self.shape(bias)]
            if tied and len(rows) == 1 and bias not in used:
                layers.append(HeadLayer(tied[1], rows[0], bias, is_transposed=True))
        return layers

    @cached_property
    def _biases(self) -> dict[str, str]:
        """The biases left over, by their names without the word for one."""
        biases = {}
        for name in self.left:
            rest, is_bias = _split(name)
            if is_bias:
                biases[rest] = name
        return biases

    @cached_property
    def _next_ones(self) -> dict[str, str]:
        """The tensor behind each one left over."""
        return dict(zip(self.left, self.left[1:], strict=False))

    def _bias_of(self, kernel: str) -> str:
        """The bias of a kernel by its name, or behind it: arr_3 and arr_4, vars/0 and vars/1."""
        rest, _ = _split(kernel)
        next_one = self._next_ones.get(kernel, "")
        if rest == kernel and _NUMBER.sub("", kernel) == _NUMBER.sub("", next_one):
            return next_one
        return self._biases.get(rest, "")

    def fitting(self, layer: HeadLayer, width: int) -> list[HeadLayer]:
        """The layer as it takes this many inputs: both ways, if it is square by no known name."""
        ways = [layer]
        kernel = layer.kernel.removesuffix(":0").lower()
        if not layer.is_transposed and not kernel.endswith("kernel"):
            ways.append(layer._replace(is_transposed=True))
        fitting = []
        for way in ways:
            inputs, outputs = self.sizes(way)
            if way.bias and prod(self.shape(way.bias)) != outputs:
                way = way._replace(bias="")
            if inputs == width:
                fitting.append(way)
        return fitting

    def sizes(self, layer: HeadLayer) -> Shape:
        """K_in and K_out of a layer."""
        shape = self.shape(layer.kernel)
        return shape[::-1] if layer.is_transposed else shape


def layer_of(tensor: str) -> str:
    """The name of a layer by that of its kernel or table: ``fc`` of ``fc.weight``."""
    return _LEAF.sub("", tensor) or tensor


def _split(tensor: str) -> tuple[str, bool]:
    """A name without the word for a kernel or a bias, and whether it is a bias."""
    words = [*_WORD.finditer(tensor)]
    if not words:
        return tensor, False
    start, end = words[-1].span()
    return tensor[:start] + tensor[end:], words[-1]["bias"] is not None


class FrontOrHead(NamedTuple):
    """A front or a head; or none, and why."""

    value: Any = None
    roles: Mapping[str, str] = {}  # of its tensors
    assumed: str = ""
    why: str = ""  # there is none
    options: Mapping[str, str] = {}  # that choose one, each with its sizes
    mentioned: Collection[str] = ()  # the tensors of these
    is_idle: bool = False  # there was none to leave out

    def reason(self, name: str) -> str:
        """Why there is none, and the options that choose one."""
        options = [f"--{name} {one} {size}" for one, size in self.options.items()]
        return "; ".join(filter(None, (self.why, listed(options, MOST_LISTED))))


class Surroundings(NamedTuple):
    """The front and the head of a chain, the roles of their tensors, the words on both."""

    front: Embedding | None = None
    head: Head | None = None
    roles: Mapping[str, str] = {}
    assumed: Sequence[str] = ()
    remarks: Sequence[str] = ()
    idle: Sequence[str] = ()  # rows on settings that change nothing


def find_surroundings(chain: Chain, given: Settings) -> Surroundings:
    """The front and the head of a chain, by its file unless settings name them."""
    front = _part(chain, "front", given.get("front"))
    chain = replace(chain, of_front=[*front.roles])
    parts = {"front": front, "head": _part(chain, "head", given.get("head"))}
    remarks, idle = [], []
    mentioned = set[str]()
    for name, part in parts.items():
        mentioned.update(part.roles, part.mentioned)
        if part.is_idle:
            why = f"there is no {name}"
            idle.append(f"{chain.source}: {name}=none changes nothing: {why}.")
        if part.why:
            remarks.append(f"{chain.source}: no {name} is run: {part.reason(name)}.")
    unused = [name for name in chain.left if name not in mentioned]
    if mentioned and unused and chain.names_unused:
        remarks.append(f"{chain.source}: not used: {listed(unused, MOST_LISTED)}.")
    head = parts["head"]
    roles = {**head.roles, **front.roles}
    assumed = [*filter(None, (front.assumed, head.assumed))]
    return Surroundings(front.value, head.value, roles, assumed, remarks, idle)


def _part(chain: Chain, what: str, asked: str | None) -> FrontOrHead:
    is_front = what == "front"
    try:
        if chain.has_graph:
            part = _of_graph(chain, what)
        else:
            part = _front_left(chain) if is_front else _head_left(chain)
    except UserError as error:
        part = FrontOrHead(why=error.lines[0].rstrip("."))
    if asked is None:
        return part
    if asked == "none":
        return FrontOrHead(is_idle=part.value is None and not part.why)
    try:
        if is_front:
            return _embedding(chain, _asked_table(chain, asked))
        return _dense_layers(chain, _asked_layers(chain, asked))
    except UserError as error:
        ways = [SettingsToTry({what: option}) for option in part.options]
        ways.append(SettingsToTry({what: "none"}, f"runs no {what}"))
        text = f"{chain.source}: {error.lines[0]}"
        raise UserError(text, about={what: asked}, try_=ways) from None


def _of_graph(chain: Chain, what: str) -> FrontOrHead:
    ends = _ends(chain, what)
    if not ends:
        others = map(_name, getattr(chain, f"{what}s"))
        names = listed([*filter(None, others)], MOST_LISTED)
        return FrontOrHead(why=f"{names} {SIDES[what]} another LSTM" if names else "")
    if len(ends) > 1:
        return FrontOrHead(why="several fit", options={_name(one): "" for one in ends})
    end = ends[0]
    if end.obstacle:
        return FrontOrHead(why=f"{end.obstacle} {SIDES[what]} the LSTM")
    return _embedding(chain, end) if what == "front" else _dense_layers(chain, end)


def _ends(chain: Chain, what: str) -> list[Any]:
    """The fronts of a graph before the first LSTM, or its heads behind the last one."""
    tensors = chain.first if what == "front" else chain.last
    ends = []
    for one in getattr(chain, f"{what}s"):
        group = one.before if what == "front" else one.behind
        if any(is_in_group(name, group) for name in tensors):
            ends.append(one)
    return ends


def _name(one: FrontOfFile | HeadOfFile) -> str:
    return one.name if isinstance(one, FrontOfFile) else _text(one.layers)


def _text(layers: Sequence[HeadLayer]) -> str:
    return ",".join(layer.name for layer in layers)


# ---- the front


def _front_left(chain: Chain) -> FrontOrHead:
    options = {layer_of(name): str(chain.shape(name)) for name in chain.tables}
    if not options:
        return FrontOrHead()
    why = ""
    if len(options) > 1:
        why = "several fit"
    if not chain.is_whole:
        why = "the file has other LSTMs"
    if why:
        return FrontOrHead(why=why, options=options, mentioned=chain.tables)
    name = layer_of(chain.tables[0])
    part = _embedding(chain, FrontOfFile("", name, chain.tables[0]))
    rows = len(part.value.table)
    what, why = f"front {name}: {rows} x {chain.inputs}", "by its name and shape"
    assumed = Assumption(what, why, "--front", "none")
    return part._replace(assumed=assumed, options=options)


def _asked_table(chain: Chain, asked: str) -> FrontOfFile:
    left = [FrontOfFile("", layer_of(name), name) for name in chain.matrices]
    known = {front.name: front for front in left}
    known |= {front.table: front for front in left}
    known |= {front.name: front for front in chain.fronts if front.table}
    return known[_known(asked, known)]


def _embedding(chain: Chain, front: FrontOfFile) -> FrontOrHead:
    """The front of a file as it is run; UserError if it does not fit."""
    table: Any = _tensor(chain, front.table)
    if table.ndim != 2 or table.shape[1] != chain.inputs:
        raise UserError(
            f"{front.table} is {table.shape}; the LSTM takes {chain.inputs} inputs, "
            f"so that its table is (V, {chain.inputs})."
        )
    value = Embedding(front.name, table, front.masks_zero)
    options = {front.name: ""}
    return FrontOrHead(value, {front.table: "front"}, options=options)


def _tensor(chain: Chain, name: str) -> Array:
    if name not in chain.tensors:
        raise UserError(f"{name} is not in the file.")
    return np.asarray(chain.tensors[name])


# ---- the head


def _head_left(chain: Chain) -> FrontOrHead:
    width = chain.outputs()
    heads = list(islice(_heads_left(chain, width), MOST_HEADS))
    head = _only(heads)
    between = _between(chain, head)
    squares: list[tuple[HeadLayer, ...]] = []
    for layer in chain.layers:
        if len(chain.fitting(layer, width)) == 2:
            squares.append((layer,))
    if not heads and not squares:
        return FrontOrHead()
    if not heads:
        why, heads = "a square kernel may be transposed", squares
    elif not chain.is_whole:
        why = "the file has other LSTMs"
    elif not head:
        why = "several fit"
    elif between:
        why = f"{listed(between, MOST_LISTED)} may stand before it"
    else:
        part = _dense_layers(chain, HeadOfFile("", head))
        return part._replace(assumed=_assumed_head(part.value, width))
    options = {}
    mentioned = list(between)
    for layers in heads:
        options[_text(layers)] = f"({width} -> {chain.sizes(layers[-1])[1]})"
        for layer in layers:
            mentioned += [layer.kernel, layer.bias]
    return FrontOrHead(why=why, options=options, mentioned=mentioned)


def _heads_left(
    chain: Chain, width: int, start: int = 0, most: int = MOST_LAYERS
) -> Iterator[tuple[HeadLayer, ...]]:
    """Every row of layers that fit in turn, in the order of the file, as long as it gets."""
    for n, layer in enumerate(chain.layers[start:], start + 1):
        fitting = chain.fitting(layer, width)
        if len(fitting) == 1 and most:
            outputs = chain.sizes(fitting[0])[1]
            rest = islice(_heads_left(chain, outputs, n, most - 1), MOST_HEADS)
            for further in list(rest) or [()]:
                yield (fitting[0], *further)


def _only(heads: Sequence[tuple[HeadLayer, ...]]) -> tuple[HeadLayer, ...]:
    """The only head; or that of all layers, if only their numbers tell them apart; or none."""
    longest = max(heads, key=len, default=())
    kernels = {layer.kernel for head in heads for layer in head}
    names = {_NUMBER.sub("", layer.name) for layer in longest}
    is_row = len(names) == 1 and len(kernels) == len(longest)
    if len(heads) == 1 or (is_row and len(heads) < MOST_HEADS):
        return longest
    return ()


def _between(chain: Chain, head: Sequence[HeadLayer]) -> list[str]:
    """The tensors that may stand between the LSTM and the end of its head.

    By the order of the file; all others where that is the alphabet's, or the
    head comes first.
    """
    if not head:
        return []
    names = [*chain.tensors]
    end = max(map(names.index, chain.last))
    places = [names.index(layer.bias or layer.kernel) for layer in head]
    own = {*chain.tables, *chain.of_front}.union(
        *((layer.kernel, layer.bias) for layer in head)
    )
    others = [name for name in chain.left if name not in own]
    if names == sorted(names) or min(places) < end:
        return others
    return [name for name in others if end < names.index(name) < max(places)]


def _assumed_head(head: Head, width: int) -> Assumption:
    sizes = [width]
    for layer in head.layers:
        sizes.append(Head((layer,)).width(sizes[-1]))
    names = ", ".join(layer.name for layer in head.layers)
    plural = "s" if len(head.layers) > 1 else ""
    what = f"head {names}: {' -> '.join(map(str, sizes))}"
    text = f"{what}, activation{plural} not in the file"
    return Assumption(text, "", "--head", head.suggested)


def _asked_layers(chain: Chain, asked: str) -> HeadOfFile:
    steps = [one.steps for one in _ends(chain, "head")]
    head = HeadOfFile("", steps=steps[0] if steps else EACH)
    width = chain.outputs(head.steps)
    of_file: dict[str, HeadLayer] = {}
    for one in chain.heads:
        of_file.update((layer.name, layer) for layer in one.layers)
    known = {layer.name: layer for layer in chain.layers}
    known |= {layer.kernel: layer for layer in chain.layers} | of_file
    layers = []
    for name, activation in split_head(asked):
        layer = known[_known(name, known)]
        if name not in of_file:
            fitting = chain.fitting(layer, width) or [layer]
            stored = chain.layer[0].convention.storage.orientation
            layer = fitting[-1] if stored == "rows" else fitting[0]
        if layer.kernel in chain.tensors:
            width = chain.sizes(layer)[-1]
        layers.append(layer._replace(activation=activation))
    return head._replace(layers=tuple(layers))


def _known(name: str, known: Collection[str]) -> str:
    if name not in known:
        there = listed([*known], MOST_LISTED) or "none"
        near = did_you_mean(name, known)
        text = f"no layer is called {name!r}; the file has {there}.{near}"
        raise UserError(text)
    return name


def _dense_layers(chain: Chain, head: HeadOfFile) -> FrontOrHead:
    """The head of a file as it is run; UserError if it does not fit."""
    width, giver = chain.outputs(head.steps), "the LSTM"
    layers, roles = [], {}
    for layer in head.layers:
        kernel = bias = None
        if layer.kernel:
            stored = _tensor(chain, layer.kernel)
            kernel = stored.T if layer.is_transposed else stored
            if kernel.ndim != 2 or len(kernel) != width:
                inputs = kernel.shape[0]
                text = f"{layer.kernel} {stored.shape} takes {inputs} inputs"
                raise UserError(f"{text}; {giver} gives {width}.")
            width, giver = kernel.shape[1], layer.name
            roles[layer.kernel] = "head kernel"
        if layer.bias:
            bias = _tensor(chain, layer.bias).reshape(-1)
            if len(bias) != width:
                raise UserError(f"{layer.bias} has {len(bias)} numbers, not {width}.")
            roles[layer.bias] = "head bias"
        try:
            activation = read_head_activation(layer.activation)
        except ValueError:
            text = f"{layer.name} has the activation {layer.activation}."
            raise UserError(text) from None
        dense = Dense(layer.name, kernel, bias, activation)
        layers.append(replace(dense, is_transposed=layer.is_transposed))
    if not layers:
        return FrontOrHead()
    value = Head(tuple(layers), head.steps)
    return FrontOrHead(value, roles, options={value.text: ""})


# ---- the LSTM alone


def lstm_alone(model: Model, why: str) -> Model:
    """The model without its front and head, with a remark why; as it is if it has none."""
    names = []
    if model.front:
        names.append(f"the front {model.front.name}")
    if model.head:
        names.append(f"the head {model.head.text}")
    if not names:
        return model
    options = [f"--{name}" for name in SIDES]
    assumed = [k for k in model.assumed if getattr(k, "option", "") not in options]
    verb = "is" if len(names) == 1 else "are"
    text = f"{join_with_and(names)} {verb} left out: {why}."
    remarks = (*model.remarks, text)
    return replace(
        model, front=None, head=None, assumed=tuple(assumed), remarks=remarks
    )
