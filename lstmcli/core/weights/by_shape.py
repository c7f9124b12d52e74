"""Find LSTMs by tensor shapes when the names match no framework, and only if they are unambiguous.

Names still help a little: ``arr_0``, ``arr_1``, ... are the arrays of
`numpy.savez` in order, as ``layer.get_weights()`` and ``lstm.parameters()``
give them; ``onnx::LSTM_784`` is an initializer that PyTorch's exporter
numbered; ``W`` and ``U`` are the two kernels. If two ways remain, nothing is
chosen: `several_ways` has the command for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from math import prod
from typing import NamedTuple

from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.templates import (
    ONNX_NUMBERED,
    CellIndex,
    RecognisedLstm,
    Shape,
    Shapes,
    normalise,
)

Roles = dict[str, str]  # role -> tensor name

MOST_IN_GROUP = 12  # tensors of an LSTM and other layers, tried in pairs
MOST_GROUPS = 64

_POSITIONAL = re.compile(r"arr_(\d{1,6})")
# prefix, a typed name, number of a layer
_LEAF = re.compile(r"(?:(.*)[/.:])?([^/.:]{0,40}?)_?(\d{0,9})")
# a graph's operation that spells out a layer, with a number
_OPERATION = re.compile(
    r"(.*)[/.:](?:MatMul|Gemm|BiasAdd)(?:_\d{1,9})?(?:/ReadVariableOp(?:_\d{1,9})?)?(?::\d)?"
)
_OF_LSTM = re.compile("^(lstm|rnn|cell)_?|_?(lstm|rnn|cell)$", re.I)
_LSTM = re.compile("lstm|rnn|cell", re.I)
_ANOTHER_LAYER = re.compile(
    r"dense|(^|[^a-z])fc|linear|conv|embed|att(n|ention)|norm|mlp|head", re.I
)
KERNEL = re.compile(
    r"w|k|kernel|(w|weights?)_?(x|i|xh|ih|in|input)|input_(kernel|weights?)", re.I
)
BIAS = re.compile(r"b|bias(es)?", re.I)
_OUTPUT_LAYER = re.compile(
    r"(w|u|v|b|weights?|bias)_?([ah]?_?y[ah]?|out|dense|fc|head|logits?|softmax)"
    r"|(out|dense|fc|head)_?(w|b|weights?|bias|kernel)",
    re.I,
)
RECURRENT = re.compile(
    r"u|r|rw|(w|weights?)_?(h|hh|r|rec|recurrent|hidden)|(hidden|recurrent)_?(kernel|weights?)"
    r"|recurrent",
    re.I,
)


def find_by_shape(
    shapes: Shapes, row: Convention | None = None
) -> list[RecognisedLstm]:
    """Every LSTM that the shapes leave one way to read, in any convention or in the row.

    One kernel is TensorFlow 1's, two are Keras', or PyTorch's with two biases;
    an axis of directions is ONNX's.
    """
    numbered, others = split_numbered(shapes)
    found = [
        lstm
        for prefix, names in numbered.items()
        for lstm in _numbered_lstms(prefix, names, shapes, row)
    ]
    if found:
        return found
    if others and all(_POSITIONAL.fullmatch(name) for name in others):
        in_order = sorted(others, key=lambda name: int(name[4:]))
        return list(_in_order(in_order, shapes, row))
    return [
        _lstm(convention, prefix, {(0, 0): roles})
        for prefix, names in group_names(others).items()
        for convention, roles in [PossibleCell(names, shapes, row, prefix).only_way()]
        if convention and (row or not _is_dense(prefix, roles, shapes))
    ]


def _is_dense(prefix: str, roles: Roles, shapes: Shapes) -> bool:
    """Return whether a numbered matrix W1, with b1, feeds another, W2."""
    if "fused" not in roles or not prefix.isdigit():
        return False
    sides, width = shapes[roles["fused"]], vector_size(shapes[roles["bias"]])
    of_inputs = 1 - sides.index(width)  # the axis
    others = (shape for name, shape in shapes.items() if name not in roles.values())
    return any(len(shape) == 2 and shape[of_inputs] == width for shape in others)


# ---- groups of names


def split_numbered(names: Shapes) -> tuple[dict[str, list[str]], list[str]]:
    """The initializers that an exporter numbered, by prefix; and all other names."""
    numbered: dict[str, list[str]] = {}
    others = []
    for name in names:
        if match := ONNX_NUMBERED.fullmatch(name):
            numbered.setdefault(match[1], []).append(name)
        else:
            others.append(name)
    return numbered, others


def group_names(names: Sequence[str]) -> dict[str, list[str]]:
    """Names by prefix and number of a layer, if they may be an LSTM's."""
    groups: dict[str, list[str]] = {}
    for name in names:
        operation = _OPERATION.fullmatch(name)
        if operation and _LSTM.search(operation[1]):
            prefix, number = operation[1], ""
        elif match := _LEAF.fullmatch(name):
            prefix, _, number = match.groups("")
        else:
            continue
        is_gru = "gru" in prefix.lower()
        if not is_gru and (not _ANOTHER_LAYER.search(prefix) or _LSTM.search(prefix)):
            groups.setdefault(f"{prefix}{number}", []).append(name)
    if len(groups) > MOST_GROUPS:
        return {}
    return {
        prefix: names for prefix, names in groups.items() if len(names) <= MOST_IN_GROUP
    }


def _leaf(name: str) -> str:
    match = _LEAF.fullmatch(name)
    return match[2] if match else name


def is_called(pattern: re.Pattern[str], name: str) -> bool:
    """Return whether a name's last part, without ``lstm`` around it, fits a pattern."""
    return pattern.fullmatch(_OF_LSTM.sub("", _leaf(name))) is not None


# ---- the ways to read a group


class Way(NamedTuple):
    """One way to read tensors as a cell."""

    convention: str
    roles: Roles


class PossibleCell(NamedTuple):
    """Tensors that may be those of a cell, of any convention or of the row."""

    names: Sequence[str]
    shapes: Shapes  # of all tensors
    row: Convention | None = None
    prefix: str = ""

    def only_way(self) -> tuple[Convention | None, Roles]:
        """The convention and the roles, if there is one way to read them."""
        ways = fitting_names(self.ways())
        if len(ways) != 1:
            return None, {}
        return self.row or CONVENTIONS[ways[0].convention], ways[0].roles

    def ways(self) -> list[Way]:
        """Every way to read them as a cell."""
        row, prefix = self.row, self.prefix
        ways: list[Way] = []
        fused = row is None or "fused" in row.names.tensors
        if fused and (not prefix or row or _LSTM.search(prefix) or prefix.isdigit()):
            ways += _fused_ways(self)
        group = self._replace(names=without_output_layer(self.names))
        if row is None or "kernel" in row.names.tensors:
            axes = row is None or row.storage.direction_axis
            for kernel, recurrent in permutations(group.names, 2):
                ways += _split_ways(kernel, recurrent, group)
                ways += _directed_ways(kernel, recurrent, group) if axes else []
        return ways


def without_output_layer(names: Sequence[str]) -> list[str]:
    """The names that are not those of an output layer, such as ``Why``."""
    return [name for name in names if not _OUTPUT_LAYER.fullmatch(_leaf(name))]


def fitting_names(ways: list[Way]) -> list[Way]:
    """Of several ways, those that fit the names of both kernels, if any."""
    if len(ways) < 2:
        return ways
    named = [
        way
        for way in ways
        if is_called(KERNEL, way.roles.get("kernel", ""))
        and is_called(RECURRENT, way.roles.get("recurrent_kernel", ""))
    ]
    return named or ways


def vector_size(shape: Shape) -> int:
    """The length of a vector, perhaps along one of two axes; 0 of others."""
    if len(shape) == 1:
        return shape[0]
    return max(shape) if len(shape) == 2 and 1 in shape else 0


def _fused_ways(group: PossibleCell) -> Iterator[Way]:
    """A kernel for inputs and h together, with its bias; without one if a convention is given.

    Next to other tensors only if the two are called so, as a dense layer's
    have such shapes too, and none of these is called a recurrent kernel, or
    may be a GRU's.
    """
    names, shapes, row, _ = group
    if row and len(names) == 1 and len(shapes[names[0]]) == 2:
        yield Way(row.name, {"fused": names[0]})
    for kernel, bias in permutations(names, 2):
        called_so = is_called(KERNEL, kernel) and is_called(BIAS, bias)
        size, sides = vector_size(shapes[bias]), shapes[kernel]
        others = {*names} - {kernel, bias}
        if others and not called_so:
            continue
        others &= {*without_output_layer(names)}
        recurrent = [
            name for name in others if _may_be_recurrent(shapes[name], sides, size, 4)
        ]
        if not recurrent and any(vector_size(shapes[name]) == size for name in others):
            continue  # a second bias
        of_gru = any(_may_be_recurrent(shapes[name], sides, size, 3) for name in others)
        if (of_gru and not row) or any(
            is_called(RECURRENT, name) for name in recurrent
        ):
            continue
        if size % 4 or not size or len(sides) != 2 or _leaf(kernel) == "weight":
            continue  # weight and bias are a dense layer's
        for gates, depth in (sides[::-1], sides):  # (I + H, 4H) and (4H, I + H)
            if gates == size and depth > size // 4:
                oriented = "tf1" if gates == sides[1] else "tflite-basic"
                convention = oriented if sides[0] == sides[1] else "tf1"
                yield Way(convention, {"fused": kernel, "bias": bias})
            if row and gates == depth:
                break  # its orientation decides


def _may_be_recurrent(shape: Shape, kernel: Shape, width: int, gates: int) -> bool:
    """Return whether a matrix near a kernel (I, width) may be (H, width), or transposed."""
    axes = [n for n, side in enumerate(kernel) if side == width]
    return len(shape) == len(kernel) == 2 and any(
        shape[n] == width == gates * shape[1 - n] for n in axes
    )


def _split_ways(kernel: str, recurrent: str, group: PossibleCell) -> Iterator[Way]:
    """Kernel (I, 4H) and recurrent kernel (H, 4H), or transposed, with one or two biases."""
    names, shapes, row, _ = group
    if len(shapes[kernel]) != 2 or len(shapes[recurrent]) != 2:
        return
    halves = row.storage.bias_halves if row else 1
    for axis in (1, 0):  # of the gates
        gates, units = shapes[recurrent][axis], shapes[recurrent][1 - axis]
        if gates != 4 * units or not units or shapes[kernel][axis] != gates:
            continue
        rest = [name for name in names if name not in (kernel, recurrent)]
        biases = [name for name in rest if vector_size(shapes[name]) == halves * gates]
        matrices = [
            name for name in rest if len(shapes[name]) == 2 and gates in shapes[name]
        ]
        if len(biases) == 2 and {*matrices} - {
            *biases
        }:  # one may be the bias of another layer
            biases = [name for name in biases if is_called(BIAS, name)]
            if len(biases) != 1:
                continue
        alike = (
            len({shapes[name] for name in biases}) < 2
        )  # the next kernel of one unit is (1, 4)
        if len(biases) <= 2 // halves and alike and (biases or not rest):
            yield Way(
                "pytorch-cell" if len(biases) == 2 else "keras",
                {"kernel": kernel, "recurrent_kernel": recurrent, **_bias(biases)},
            )


def _directed_ways(kernel: str, recurrent: str, group: PossibleCell) -> Iterator[Way]:
    """ONNX's W (D, 4H, I), R (D, 4H, H) and B (D, 8H), or OpenVINO's B (D, 4H)."""
    names, shapes, row, _ = group
    if len(shapes[kernel]) != 3 or len(shapes[recurrent]) != 3:
        return
    directions, gates, units = shapes[recurrent]
    if directions not in (1, 2) or gates != 4 * units or not units:
        return
    if shapes[kernel][:2] != (directions, gates):
        return
    width = gates * (row.storage.bias_halves if row else 2)
    rest = [name for name in names if name not in (kernel, recurrent)]
    biases = [name for name in rest if shapes[name] == (directions, width)]
    if len(biases) == 1 or not rest:
        yield Way(
            "onnx", {"kernel": kernel, "recurrent_kernel": recurrent, **_bias(biases)}
        )


def _bias(names: Sequence[str]) -> Roles:
    return dict(zip(("bias", "recurrent_bias"), names, strict=False))


# ---- names in order


def _in_order(
    names: Sequence[str], shapes: Shapes, row: Convention | None
) -> Iterator[RecognisedLstm]:
    """The LSTMs of arrays in order: each a kernel, a recurrent kernel, their biases."""
    ways: list[Way] = []
    start = 0
    while start < len(names):
        for count in (4, 3) if len(names) > 2 else (2, 1):
            cell = names[start : start + count]
            of_cell = (
                [] if len(cell) < count else PossibleCell(cell, shapes, row).ways()
            )
            of_cell = [way for way in of_cell if list(way.roles.values()) == list(cell)]
            if len(of_cell) == 1:
                ways += of_cell
                start += count
                break
        else:
            start += 1
    if not ways:
        only, roles = PossibleCell(names, shapes, row).only_way()
        if only:
            yield _lstm(only, "", {(0, 0): roles})
    while ways:
        both = _are_one_layer(ways[:2], names, shapes)
        cells = {
            (0, direction): way.roles for direction, way in enumerate(ways[: 1 + both])
        }
        name = ways[0].convention
        if both and name == "pytorch-cell":
            name = "pytorch"  # the layer of two such cells
        yield _lstm(row or CONVENTIONS[name], "", cells)
        ways = ways[1 + both :]


def _are_one_layer(ways: Sequence[Way], names: Sequence[str], shapes: Shapes) -> bool:
    """Return whether two cells in order are the directions of a layer, as in Keras' Bidirectional.

    They are if the next array takes the outputs of both; or, if none follows,
    if the second cell cannot take the outputs of the first.
    """
    if len(ways) < 2 or "fused" in ways[0].roles:
        return False
    both = [name for way in ways for name in way.roles.values()]
    of_first, of_second = ([shapes[n] for n in way.roles.values()] for way in ways)
    start = names.index(both[0])
    if of_first != of_second or both != list(names[start : start + len(both)]):
        return False
    kernel, recurrent, *_ = of_first
    units = min(recurrent)
    of_inputs = recurrent.index(units)  # the axis
    for name in names[start + len(both) :]:
        return vector_size(shapes[name]) == 2 * units or shapes[name][of_inputs:][
            :1
        ] == (2 * units,)
    return kernel[of_inputs] != units


def _numbered_lstms(
    prefix: str, names: Sequence[str], shapes: Shapes, row: Convention | None
) -> Iterator[RecognisedLstm]:
    """The LSTMs of initializers that an exporter numbered: W, R and B of a node in one run.

    PyTorch's gives W and R successive numbers, B the one before or after.
    Nodes of one size, each with the outputs of the one before as inputs, are
    the layers of one LSTM, whose directions the exported graph joins.
    """
    cells = [_node(run, shapes, row) for run in _runs(names)]
    if (row and not row.storage.direction_axis) or None in cells:
        return
    stacks: list[list[Roles]] = []
    for roles in filter(None, cells):
        if stacks:
            *directions, gates, units = shapes[stacks[-1][-1]["recurrent_kernel"]]
            alike = shapes[roles["recurrent_kernel"]] == (*directions, gates, units)
            if alike and shapes[roles["kernel"]][-1] == prod(directions) * units:
                stacks[-1].append(roles)
                continue
        stacks.append([roles])
    convention = (row or CONVENTIONS["onnx"]).with_behaviour(merge="concat")
    for layers in stacks:
        yield _lstm(
            convention, prefix, {(n, 0): roles for n, roles in enumerate(layers)}
        )


def _lstm(
    convention: Convention, prefix: str, cells: Mapping[CellIndex, Roles]
) -> RecognisedLstm:
    names = {
        index: {Slot(role): name for role, name in roles.items()}
        for index, roles in cells.items()
    }
    return RecognisedLstm(convention, normalise(prefix), names, by_shape=True)


def _runs(names: Sequence[str]) -> list[list[str]]:
    """The names in runs of successive numbers, of three or, without biases, two."""
    number = {name: int(name.rpartition("_")[2]) for name in names}
    runs: list[list[str]] = []
    for name in sorted(names, key=number.__getitem__):
        if not runs or number[name] != number[runs[-1][-1]] + 1:
            runs.append([])
        runs[-1].append(name)
    count = 3 if any(len(run) % 2 for run in runs) else 2
    return [run[n : n + count] for run in runs for n in range(0, len(run), count)]


def _node(run: Sequence[str], shapes: Shapes, row: Convention | None) -> Roles | None:
    """The roles of W, R and B in a run, W first if both have one shape.

    A converter may have dropped the axis of one direction.
    """
    axes = max(len(shapes[name]) for name in run)
    if axes == 2:
        shapes = {name: (1, *shapes[name]) for name in run}
    ways = [
        way
        for kernel, recurrent in permutations(run, 2)
        for way in _directed_ways(kernel, recurrent, PossibleCell(run, shapes, row))
        if len(way.roles) == len(run)
    ]
    return ways[0].roles if ways else None
