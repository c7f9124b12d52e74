"""`.onnx`: the tensors and attributes of every LSTM node, in any graph of the file.

The library onnx parses the file and decodes its tensors. `graph` finds nodes,
`folding` computes constants that exporters left to the runtime, `lstm` reads a
node and what feeds it. Without such nodes the initializers are read by name: a
cell of basic operators may still have its framework's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from lstmcli.core.model.surroundings import FrontOfFile
from lstmcli.errors import UserError, import_extra
from lstmcli.escaping import with_article
from lstmcli.formats.document import Arrays, Document
from lstmcli.formats.files.limits import MOST_PROTOBUF, check_size, damage_reported
from lstmcli.formats.files.source import Opened
from lstmcli.formats.onnx.connections import Connections
from lstmcli.formats.onnx.folding import ConstantFolder
from lstmcli.formats.onnx.graph import (
    Node,
    OnnxModel,
    Scope,
    decode,
    is_numeric,
    widened,
)
from lstmcli.formats.onnx.lstm import (
    LstmNode,
    NodeReader,
    UnreadableNode,
    is_lstm,
)
from lstmcli.formats.surroundings import longest_chain, tensors_of

CELL_SIGMOIDS, CELL_TANHS = 3, 2  # in a cell of basic operators
PRODUCTS = ("MatMul", "Gemm")
USE_ORIGINAL = (
    "Its tensors are taken by their names; if these tell nothing, give the file that it was "
    "exported from."
)
OTHER_CELLS = ("GRU", "RNN")


def read(file: Opened) -> Document:
    """The tensors of LSTM nodes: NODE/W, NODE/R, NODE/B, NODE/P and constant initial states.

    The tensors of heads and fronts have their own names. A group NODE has the
    attributes, ``directions`` and ``units``, ``cell_width`` (of a known
    initial_c), ``sequence_lens`` (constant ones) and ``transposed`` (X, or the
    indices of its rows, is an input of the model with batch and time
    exchanged). Equal nodes are given once. Without LSTM nodes the format is
    "onnx initializers"; a model with only GRUs or plain RNNs can be listed,
    not run.
    """
    if file.size > MOST_PROTOBUF:
        raise UserError(
            f"{file.source}: {file.size:,} bytes are more than an ONNX model has."
        )
    import_extra("onnx", f"{file.source} is an ONNX model; reading it", "onnx")
    with damage_reported(f"{file.source}, interpreted as an ONNX model,"):
        model = OnnxModel(file.contents())
        if not model.has_graph:
            raise UserError(
                f"{file.source} is not an ONNX model: it has no graph. If it is a Core ML model, "
                "give the model that it was converted from."
            )
        with np.errstate(all="ignore"):  # weights may have infinities and NaN
            return _Reader(file, model).document()


class _Reader:
    def __init__(self, file: Opened, model: OnnxModel) -> None:
        self.file, self.model = file, model
        self.constants = ConstantFolder(file)
        self.connections = Connections(self.constants)
        self.scopes: dict[
            Scope, Counter[str]
        ] = {}  # every graph: its operators, counted
        self.lstms: dict[tuple[object, ...], LstmNode] = {}  # by their content
        self.read: list[tuple[LstmNode, Node, Scope]] = []
        self.fronts: dict[LstmNode, FrontOfFile] = {}
        self.fed_by: dict[str, str] = {}  # LSTM -> the one whose outputs it takes
        self.left_out: list[str] = []
        self.identities: list[tuple[Node, Scope]] = []
        self.names: dict[str, str] = {}  # by `_normalised` name

    def document(self) -> Document:
        for node, scope in self.model.nodes():
            self.scopes.setdefault(scope, Counter())[node.op] += 1
            if node.op == "Identity" and not node.domain:
                self.identities.append((node, scope))
            if is_lstm(node):
                self._read(node, scope)
        for lstm, node, scope in self.read:  # what is around them may be too large
            self._add(lstm, node, scope)
        if not self.names:
            return self._initializers()
        lstms = list(self.lstms.values())
        if not lstms:
            reasons = (f"  {reason}" for reason in self.left_out)
            raise UserError(
                f"{self.file.source}: none of its LSTMs can be read.", *reasons
            )
        arrays: Arrays = {}
        for lstm in lstms:
            arrays |= {f"{lstm.name}/{key}": a for key, a in lstm.arrays.items()}
        heads = self.connections.heads(next(iter(self.scopes)))
        fronts = tuple(self.fronts.values())
        for name in tensors_of(heads, fronts):
            arrays.setdefault(name, self.connections.arrays[name])
        return Document(
            self.file.source,
            "onnx",
            arrays,
            groups={lstm.name: lstm.attributes for lstm in lstms},
            in_turn=longest_chain([lstm.name for lstm in lstms], self.fed_by),
            has_graph=True,
            heads=heads,
            fronts=fronts,
            remarks=tuple(self._remarks(lstms)),
        )

    def _read(self, node: Node, scope: Scope) -> None:
        name = self._name(node)
        try:
            lstm = NodeReader(node, scope, self.constants, name).read()
        except UnreadableNode as reason:
            self.left_out.append(f"{name} is left out: {reason}.")
        else:
            self.read.append((lstm, node, scope))

    def _add(self, lstm: LstmNode, node: Node, scope: Scope) -> None:
        feeding = self.connections.feeding(node, scope)
        if feeding.transposed:
            lstm.attributes["transposed"] = True
        known = self.lstms.setdefault(lstm.key(), lstm)
        if known is not lstm:  # remarks on an equal node's state count too
            known.remarks += lstm.remarks
        self.connections.names[node] = known.name
        if feeding.lstm:
            self.fed_by[known.name] = feeding.lstm
        elif feeding.table:
            table = feeding.table
            self.fronts.setdefault(known, FrontOfFile(known.name, table, table))
        elif feeding.operator:
            known.remarks.append(
                f"{lstm.name}: its inputs are outputs of {feeding.operator}, and not the inputs of "
                f"the model; to save them, add the tensor {node.inputs[0]!a} to the outputs of the "
                "graph."
            )

    def _name(self, node: Node) -> str:
        """The node's name, or a number; unique whatever separates its words."""
        base = node.name if _normalised(node.name) else f"lstm_{len(self.names)}"
        name, n = base, 1
        while _normalised(name) in self.names:
            n += 1
            name = f"{base}_{n}"
        self.names[_normalised(name)] = name
        return name

    def _remarks(self, lstms: list[LstmNode]) -> Iterator[str]:
        source = self.file.source
        yield from self.left_out
        if len(self.read) > len(lstms):
            yield f"{source} has {len(self.read)} LSTM nodes, {len(lstms)} of them distinct."
        for lstm in lstms:
            yield from lstm.remarks
        if form := self._basic_operators():
            yield f"{source}: another LSTM is spelled out as {form}; it is not read."

    def _initializers(self) -> Document:
        """The tensors by name of a model without LSTM nodes; a remark names what it has."""
        source = self.file.source
        counts = {
            op: sum(made[op] for made in self.scopes.values()) for op in OTHER_CELLS
        }
        other_cells = " and ".join(
            f"{count} {op}" for op, count in counts.items() if count
        )
        text = "has no LSTM node"
        if form := self._basic_operators():
            text += f"; an LSTM is spelled out as {form}"
        elif other_cells:
            text += f"; it has {other_cells}"
        tensors = {
            name: tensor
            for scope in self.scopes
            for name, tensor in scope.tensors.items()
            if is_numeric(tensor)
        }
        tensors |= {name: tensors[of] for name, of in self._shared() if of in tensors}
        size = sum(
            check_size(tuple(tensor.dims), 4, f"{source}: {name}")
            for name, tensor in tensors.items()
        )
        check_size((size,), 4, f"{source} {text}; its tensors")
        only_others = other_cells and not form
        return Document(
            source,
            "onnx initializers",
            {
                name: widened(decode(tensor, self.file, name))
                for name, tensor in tensors.items()
            },
            remarks=(
                f"{source} {text}." + ("" if only_others else f" {USE_ORIGINAL}"),
            ),
            not_run=f"it {text}." if only_others else "",
        )

    def _shared(self) -> Iterator[tuple[str, str]]:
        """Names that an Identity gives to an initializer, each with the initializer's name.

        PyTorch's exporter writes equal parameters once: the others are copies
        in the graph.
        """
        for node, scope in self.identities:
            source = scope.definition(node.inputs[0])
            for _ in self.identities:
                if source.node is None or source.node.op != "Identity":
                    break
                source = source.scope.definition(source.node.inputs[0])
            if source.tensor is not None:
                yield from ((name, source.name) for name in node.outputs)

    def _basic_operators(self) -> str:
        within = {scope.within for scope, made in self.scopes.items() if _is_cell(made)}
        if loops := sorted(within - {""}):
            return " and ".join(
                f"{with_article(loop)} of basic operations" for loop in loops
            )
        return "basic operations" if within else ""


def _is_cell(operators: Counter[str]) -> bool:
    gates = operators["Sigmoid"] >= CELL_SIGMOIDS or operators["Split"]
    return bool(
        gates
        and operators["Tanh"] >= CELL_TANHS
        and any(operators[p] for p in PRODUCTS)
    )


def _normalised(name: str) -> str:
    """A name with one kind of separator, as in `core.weights`."""
    return re.sub(r"[/.:_]+", "_", name).strip("_")
