"""`.onnx`: the tensors and attributes of every LSTM node, whatever graph it lies in.

Read without the onnx package: `protobuf` opens messages, `graph` finds nodes, `folding`
computes what exporters left for the runtime to compute, `lstm` reads a node. A model without
such nodes gives its initializers by name: a cell that an exporter spelled out in basic operations
may still have the names of its framework.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.errors import damage_reported
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.sidecars import file_bytes
from lstmcli.formats.files.source import Opened
from lstmcli.formats.onnx.chain import feeder, inputs_of
from lstmcli.formats.onnx.folding import Constants
from lstmcli.formats.onnx.graph import MODEL_GRAPH, Model, Node, Scope
from lstmcli.formats.onnx.lstm import Lstm, NotRead, is_lstm, read_node
from lstmcli.formats.onnx.tensors import KINDS, TYPE, decode, shape_of

MOST_BYTES = 1 << 31  # that a protocol buffer may have
CORE_ML = (303, 403, 500, 502)  # fields of a Core ML model, which begins alike
SIGMOIDS, TANHS = 3, 2  # of each cell that is spelled out in basic operations
PRODUCTS = ("MatMul", "Gemm")
WAY_OUT = (
    "Its tensors are taken by their names; if these tell nothing, give the file that it was "
    "exported from."
)
OTHER_CELLS = ("GRU", "RNN")


def read(source: Opened) -> Document:
    """The tensors of LSTM nodes: NODE/W, NODE/R, NODE/B, NODE/P and constant initial states.

    A group NODE has the attributes, its ``directions`` and ``units``, ``cell_width`` (of a known
    initial_c), ``sequence_lens`` (constant ones) and ``transposed`` (X is an input of the model
    with batch and time exchanged). Equal nodes are given once. Where the graph feeds every LSTM
    into the next, the attribute ``layer`` has them all. Without LSTM nodes the document is of the
    format "onnx initializers"; that of a GRU or a plain RNN can only be listed.

    Raises
    ------
    UserError
        A damaged file, another kind of file, no LSTM that can be read, tensors that are too large.
    """
    if source.size > MOST_BYTES:
        raise UserError(f"{source.source}: {source.size:,} bytes are more than an ONNX model has.")
    with damage_reported(f"{source.source}, taken for an ONNX model,"):
        model = Model(file_bytes(source))
        if MODEL_GRAPH not in model.message:
            raise UserError(_other(source, model))
        with np.errstate(all="ignore"):  # numbers that are not finite are the user's affair
            return _Reader(source, model).document()


def _other(source: Opened, model: Model) -> str:
    if any(number in model.message for number in CORE_ML):
        return (
            f"{source.source} is a Core ML model; this version does not read it. "
            "Give the model that it was converted from."
        )
    return f"{source.source} is no ONNX model: it has no graph."


class _Reader:
    def __init__(self, source: Opened, model: Model) -> None:
        self.source, self.model = source, model
        self.constants = Constants(source)
        self.scopes: dict[Scope, Counter[str]] = {}  # every graph, and how often it does what
        self.lstms: dict[tuple[object, ...], Lstm] = {}  # by their content
        self.read_as: dict[Node, Lstm] = {}
        self.fed: dict[Lstm, Lstm] = {}  # the one whose outputs are the inputs of the other
        self.left_out: list[str] = []
        self.identities: list[tuple[Node, Scope]] = []
        self.names: dict[str, str] = {}  # in a form that tells what the recogniser tells

    def document(self) -> Document:
        for node, scope in self.model.nodes():
            self.scopes.setdefault(scope, Counter())[node.op] += 1
            if node.op == "Identity" and not node.domain:
                self.identities.append((node, scope))
            if is_lstm(node):
                self._add(node, scope)
        if not self.names:
            return self._initializers()
        lstms = list(self.lstms.values())
        if not lstms:
            reasons = (f"  {reason}" for reason in self.left_out)
            raise UserError(f"{self.source.source}: none of its LSTMs can be read.", *reasons)
        chain = self._chain(lstms)
        return Document(
            self.source.source,
            "onnx",
            {f"{one.name}/{key}": a for one in lstms for key, a in one.arrays.items()},
            {"layer": ",".join(map(str, chain))} if len(chain) == len(lstms) > 1 else {},
            groups={one.name: one.words for one in lstms},
            remarks=tuple(self._remarks(lstms, chain)),
        )

    def _add(self, node: Node, scope: Scope) -> None:
        name = self._name(node)
        try:
            one = read_node(node, scope, self.constants, name)
            inputs = inputs_of(node, scope)
            if inputs.transposed:
                one.words["transposed"] = True
        except NotRead as why:
            self.left_out.append(f"{name} is left out: {why}.")
            return
        known = self.lstms.setdefault(one.key(), one)
        if known is not one:  # of an equal node's, what it says of its own state counts as well
            known.remarks += one.remarks
        self.read_as[node] = known
        if (below := feeder(node, scope, self.constants)) in self.read_as:
            self.fed[known] = self.read_as[below]
        elif inputs.operation:
            known.remarks.append(
                f"{name}: its inputs are what the model's {inputs.operation} gives, "
                "not the model's own."
            )

    def _name(self, node: Node) -> str:
        """The node's name, or a number; no two alike, whatever signs part their words."""
        base = node.name if _plain(node.name) else f"lstm_{len(self.names)}"
        name, n = base, 1
        while _plain(name) in self.names:
            n += 1
            name = f"{base}_{n}"
        self.names[_plain(name)] = name
        return name

    def _chain(self, lstms: list[Lstm]) -> list[int]:
        """The places of LSTMs that feed each other in turn; the longest such row."""
        places = {one: n for n, one in enumerate(lstms)}
        next_to = {below: one for one, below in self.fed.items()}
        longest: list[int] = []
        for one in lstms:
            row: list[int] = []
            following: Lstm | None = None if one in self.fed else one
            while following is not None:
                row.append(places[following])
                following = next_to.get(following)
            longest = max(longest, row, key=len)
        return longest

    def _remarks(self, lstms: list[Lstm], chain: list[int]) -> Iterator[str]:
        source = self.source.source
        yield from self.left_out
        if len(self.read_as) > len(lstms):
            yield f"{source} has {len(self.read_as)} LSTM nodes, {len(lstms)} of them distinct."
        if len(chain) > 1:
            names = " into ".join(lstms[n].name for n in chain)
            layer = ",".join(map(str, chain))
            yield f"{source} feeds {names}: --layer {layer}" + (
                " is meant where no other is given." if len(chain) == len(lstms) else " runs them."
            )
        for one in lstms:
            yield from one.remarks
        if loops := self._spelled_out():
            yield f"{source}: another LSTM is spelled out as {loops}; it is not read."

    def _initializers(self) -> Document:
        """A model without LSTM nodes: its tensors by name, and what it has instead."""
        source = self.source.source
        cells = [
            f"{n} {op}" for op in OTHER_CELLS if (n := sum(o[op] for o in self.scopes.values()))
        ]
        text = "has no LSTM node"
        if spelled := self._spelled_out():
            text += f"; an LSTM is spelled out as {spelled}"
        elif cells:
            text += f"; it has {' and '.join(cells)}"
        held = {
            name: tensor
            for scope in self.scopes
            for name, tensor in scope.tensors.items()
            if tensor.number(TYPE) in KINDS
        }
        held |= {name: held[of] for name, of in self._shared() if of in held}
        size = sum(
            check_size(shape_of(tensor), 4, f"{source}: {name}") for name, tensor in held.items()
        )
        check_size((size,), 4, f"{source} {text}; its tensors")
        other = cells and not spelled
        way_out = "" if other else f" {WAY_OUT}"
        arrays = {name: decode(tensor, self.source, name) for name, tensor in held.items()}
        return Document(
            source,
            "onnx initializers",
            arrays,
            remarks=(f"{source} {text}.{way_out}",),
            not_run=f"it {text}." if other else "",
        )

    def _shared(self) -> Iterator[tuple[str, str]]:
        """Names that an Identity gives to an initializer, each with the initializer's name.

        PyTorch's exporter keeps equal parameters once: the others are copies in the graph.
        """
        for node, scope in self.identities:
            place = scope.place(node.inputs[0])
            for _ in self.identities:
                if place.node is None or place.node.op != "Identity":
                    break
                place = place.scope.place(place.node.inputs[0])
            if place.tensor is not None:
                yield from ((name, place.name) for name in node.outputs)

    def _spelled_out(self) -> str:
        """In which words LSTMs are said in basic operations, if any are."""
        within = {scope.within for scope, made in self.scopes.items() if _is_cell(made)}
        if loops := sorted(within - {""}):
            return " and ".join(f"a {loop} of basic operations" for loop in loops)
        return "basic operations" if within else ""


def _is_cell(operations: Counter[str]) -> bool:
    """Whether a graph has what a cell in basic operations has, with sigmoids of either kind."""
    gates = operations["Sigmoid"] >= SIGMOIDS or operations["Split"]
    return bool(gates and operations["Tanh"] >= TANHS and any(operations[p] for p in PRODUCTS))


def _plain(name: str) -> str:
    """A name as the recogniser of LSTMs sees it: signs between words alike."""
    return re.sub(r"[/.:_]+", "_", name).strip("_")
