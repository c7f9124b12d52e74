"""Find LSTMs by tensor shapes when the names match no framework, and only if they are unambiguous.

Names still help a little: ``arr_0``, ``arr_1``, ... are the arrays of
`numpy.savez` in order, as ``layer.get_weights()`` and ``lstm.parameters()``
give them; ``onnx::LSTM_784`` is an initializer that PyTorch's exporter
numbered; ``W`` and ``U`` are the two kernels. If two ways remain, nothing is
chosen: `several_ways` has the command for each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations
from math import prod
from typing import NamedTuple

from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.stored import BIASES
from lstmcli.core.weights.templates import (
    ONNX_NUMBERED,
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

    One kernel is TensorFlow 1's, two are Keras', or PyTorch's with two biases; an axis of
    directions is ONNX's.
    """
    numbered, others = split_numbered(shapes)
    found: list[RecognisedLstm] = []
    for prefix, names in numbered.items():
        found += _numbered_lstms(prefix, PossibleCell(names, shapes, row))
    if found:
        return found
    if others and all(_POSITIONAL.fullmatch(name) for name in others):
        in_order = sorted(others, key=lambda name: int(name.removeprefix("arr_")))
        return _in_order(PossibleCell(in_order, shapes, row))
    for prefix, names in group_names(others).items():
        way = PossibleCell(names, shapes, row, prefix).only_way()
        if way is not None and (row or not _is_dense(prefix, way.roles, shapes)):
            found.append(_lstm(way.convention, prefix, [[way]]))
    return found


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
        match = ONNX_NUMBERED.fullmatch(name)
        if match:
            numbered.setdefault(match[1], []).append(name)
        else:
            others.append(name)
    return numbered, others


def group_names(names: Sequence[str]) -> dict[str, list[str]]:
    """Names by prefix and number of a layer, if they may be an LSTM's."""
    groups: dict[str, list[str]] = {}
    for name in names:
        operation, leaf = _OPERATION.fullmatch(name), _LEAF.fullmatch(name)
        if operation and _LSTM.search(operation[1]):
            prefix, number = operation[1], ""
        elif leaf:
            prefix, _, number = leaf.groups("")
        else:
            continue
        is_another = _ANOTHER_LAYER.search(prefix) and not _LSTM.search(prefix)
        if not is_another and "gru" not in prefix.lower():
            groups.setdefault(f"{prefix}{number}", []).append(name)
    if len(groups) > MOST_GROUPS:
        return {}
    few = (names for names in groups.items() if len(names[1]) <= MOST_IN_GROUP)
    return dict(few)


def _leaf(name: str) -> str:
    match = _LEAF.fullmatch(name)
    return match[2] if match else name


def is_called(pattern: re.Pattern[str], name: str) -> bool:
    """Return whether a name's last part, without ``lstm`` around it, fits a pattern."""
    return pattern.fullmatch(_OF_LSTM.sub("", _leaf(name))) is not None


# ---- the ways to read a group


class Form(NamedTuple):
    """The axes of two kernels: D directions, G = 4 H gates, I inputs, H units."""

    convention: str
    kernel: str
    recurrent: str


_FORMS = (
    Form("keras", "IG", "HG"),
    Form("keras", "GI", "GH"),
    Form("onnx", "DGI", "DGH"),
)
_OF_TWO_BIASES = "pytorch-cell"
_FUSED = "tf1"


class Way(NamedTuple):
    """One way to read tensors as a cell."""

    convention: Convention
    roles: Roles


class PossibleCell(NamedTuple):
    """Tensors that may be those of a cell, of any convention or of the row."""

    names: Sequence[str]
    shapes: Shapes  # of all tensors
    row: Convention | None = None
    prefix: str = ""

    def only_way(self) -> Way | None:
        """The way to read them, if there is one."""
        ways = fitting_names(self.ways())
        return ways[0] if len(ways) == 1 else None

    def ways(self) -> list[Way]:
        """Every way to read them as a cell."""
        row, prefix = self.row, self.prefix
        ways: list[Way] = []
        may_be_fused = row is None or "fused" in row.names.tensors
        is_layer = not prefix or _LSTM.search(prefix) or prefix.isdigit()
        if may_be_fused and (row or is_layer):
            ways += self._fused_ways()
        if row is None or "kernel" in row.names.tensors:
            names = without_output_layer(self.names)
            for kernel, recurrent in permutations(names, 2):
                ways += self._replace(names=names).ways_of_two(kernel, recurrent)
        return ways

    def way(self, convention: str, roles: Roles) -> Way:
        """A way in a convention, if none is given."""
        return Way(self.row or CONVENTIONS[convention], roles)

    def ways_of_two(self, kernel: str, recurrent: str) -> list[Way]:
        """The ways to read two of the tensors as the kernels."""
        ways = []
        for form in _FORMS:
            has_axis = self.row is None or self.row.storage.direction_axis
            if "D" in form.kernel and not has_axis:
                continue
            sizes = _sizes(form, self.shapes[kernel], self.shapes[recurrent])
            if not sizes:
                continue
            biases = self._biases(sizes, {kernel, recurrent})
            if biases is None:
                continue
            convention = _OF_TWO_BIASES if len(biases) == 2 else form.convention
            roles = {"kernel": kernel, "recurrent_kernel": recurrent}
            roles.update(zip(BIASES, biases, strict=False))
            ways.append(self.way(convention, roles))
        return ways

    def _biases(
        self, sizes: Mapping[str, int], kernels: Collection[str]
    ) -> list[str] | None:
        """The biases next to two kernels of some sizes; None if something else is there."""
        rest = [name for name in self.names if name not in kernels]
        halves = 2 if "D" in sizes else 1  # of ONNX; OpenVINO's row has one
        if self.row is not None:
            halves = self.row.storage.bias_halves
        width = halves * sizes["G"]
        if "D" in sizes:
            shape = (sizes["D"], width)
            biases = [name for name in rest if self.shapes[name] == shape]
            return biases if len(biases) == 1 or not rest else None
        biases = [name for name in rest if vector_size(self.shapes[name]) == width]
        if len(biases) == 2 and self._has_next_layer(rest, biases, sizes["G"]):
            biases = [name for name in biases if is_called(BIAS, name)]
            if len(biases) != 1:
                return None
        are_alike = len({self.shapes[name] for name in biases}) < 2
        is_lacking = not biases and len(rest) > 0
        if is_lacking or not are_alike or len(biases) * halves > 2:
            return None
        return biases

    def _has_next_layer(
        self, rest: Sequence[str], biases: Sequence[str], gates: int
    ) -> bool:
        """Return whether a further matrix may be another layer's, whose bias one of two may be."""
        for name in rest:
            shape = self.shapes[name]
            if len(shape) == 2 and gates in shape and name not in biases:
                return True
        return False

    def _fused_ways(self) -> Iterator[Way]:
        """A kernel for inputs and h together, with its bias; without one if a row is given."""
        if self.row and len(self.names) == 1 and len(self.shapes[self.names[0]]) == 2:
            yield self.way(_FUSED, {"fused": self.names[0]})
        for kernel, bias in permutations(self.names, 2):
            sides, size = self.shapes[kernel], vector_size(self.shapes[bias])
            if (
                not size
                or size % 4
                or len(sides) != 2
                or not self._may_be_fused(kernel, bias)
            ):
                continue
            axes = [n for n in (1, 0) if sides[n] == size and sides[1 - n] > size // 4]
            if self.row:  # its orientation decides
                axes = axes[:1]
            for _ in axes:
                yield self.way(_FUSED, {"fused": kernel, "bias": bias})

    def _may_be_fused(self, kernel: str, bias: str) -> bool:
        """Return whether other tensors leave it open that a kernel takes inputs and h.

        Next to others only if the two are called so, as a dense layer's have such shapes too, and
        none of these is called a recurrent kernel, or may be a GRU's.
        """
        others = {*self.names} - {kernel, bias}
        called_so = is_called(KERNEL, kernel) and is_called(BIAS, bias)
        if _leaf(kernel) == "weight" or (others and not called_so):
            return False  # weight and bias are a dense layer's
        sides, size = self.shapes[kernel], vector_size(self.shapes[bias])
        shapes = {
            name: self.shapes[name]
            for name in others & {*without_output_layer(self.names)}
        }
        recurrent = [
            k for k, shape in shapes.items() if _may_be_recurrent(shape, sides, size, 4)
        ]
        if not recurrent and size in map(vector_size, shapes.values()):
            return False  # a second bias
        if any(is_called(RECURRENT, name) for name in recurrent):
            return False
        of_gru = any(
            _may_be_recurrent(shape, sides, size, 3) for shape in shapes.values()
        )
        return self.row is not None or not of_gru


def _sizes(form: Form, kernel: Shape, recurrent: Shape) -> dict[str, int]:
    """The length of each axis of a form; none if the kernels do not fit it."""
    sizes: dict[str, int] = {}
    for axes, shape in ((form.kernel, kernel), (form.recurrent, recurrent)):
        if len(axes) != len(shape):
            return {}
        for axis, length in zip(axes, shape, strict=True):
            if sizes.setdefault(axis, length) != length:
                return {}
    is_cell = sizes["H"] > 0 and sizes["G"] == 4 * sizes["H"]
    if not is_cell or sizes.get("D", 1) not in (1, 2):
        return {}
    return sizes


def without_output_layer(names: Sequence[str]) -> list[str]:
    """The names that are not those of an output layer, such as ``Why``."""
    return [name for name in names if not _OUTPUT_LAYER.fullmatch(_leaf(name))]


def fitting_names(ways: list[Way]) -> list[Way]:
    """Of several ways, those that fit the names of both kernels, if any."""
    if len(ways) < 2:
        return ways
    named = []
    for way in ways:
        kernel, recurrent = (
            way.roles.get("kernel", ""),
            way.roles.get("recurrent_kernel", ""),
        )
        if is_called(KERNEL, kernel) and is_called(RECURRENT, recurrent):
            named.append(way)
    return named or ways


def vector_size(shape: Shape) -> int:
    """The length of a vector, perhaps along one of two axes; 0 of others."""
    if len(shape) == 1:
        return shape[0]
    return max(shape) if len(shape) == 2 and 1 in shape else 0


def _may_be_recurrent(shape: Shape, kernel: Shape, width: int, gates: int) -> bool:
    """Return whether a matrix near a kernel (I, width) may be (H, width), or transposed."""
    if len(shape) != 2:
        return False
    axes = [n for n, side in enumerate(kernel) if side == width]
    return any(shape[n] == width == gates * shape[1 - n] for n in axes)


# ---- names in order


def _in_order(cell: PossibleCell) -> list[RecognisedLstm]:
    """The LSTMs of arrays in order: each a kernel, a recurrent kernel, their biases."""
    counts = (4, 3) if len(cell.names) > 2 else (2, 1)
    ways: list[Way] = []
    start = 0
    while start < len(cell.names):
        taken = 1
        for count in counts:
            way = _way_in_order(cell._replace(names=cell.names[start : start + count]))
            if way is not None and len(way.roles) == count:
                ways.append(way)
                taken = count
                break
        start += taken
    if not ways:
        only = cell.only_way()
        return [] if only is None else [_lstm(only.convention, "", [[only]])]
    return _layers_in_order(ways, cell)


def _way_in_order(cell: PossibleCell) -> Way | None:
    """The way to read tensors in their order, if there is one."""
    names = list(cell.names)
    ways = [way for way in cell.ways() if list(way.roles.values()) == names]
    return ways[0] if len(ways) == 1 else None


def _layers_in_order(ways: Sequence[Way], cell: PossibleCell) -> list[RecognisedLstm]:
    """An LSTM of each cell, or of two that are the directions of a layer."""
    found = []
    start = 0
    while start < len(ways):
        directions = list(ways[start : start + 2])
        if not _are_one_layer(directions, cell):
            del directions[1:]
        convention = directions[0].convention
        if len(directions) == 2 and convention.name == _OF_TWO_BIASES and not cell.row:
            convention = CONVENTIONS["pytorch"]  # the layer of two such cells
        found.append(_lstm(convention, "", [directions]))
        start += len(directions)
    return found


def _are_one_layer(ways: Sequence[Way], cell: PossibleCell) -> bool:
    """Return whether two cells in order are the directions of a layer, as in Keras' Bidirectional.

    They are if the next array takes the outputs of both; or, if none follows, if the second cell
    cannot take the outputs of the first.
    """
    if len(ways) < 2 or "fused" in ways[0].roles:
        return False
    of_first, of_second = (list(way.roles.values()) for way in ways)
    start = cell.names.index(of_first[0])
    end = start + len(of_first) + len(of_second)
    shapes = [cell.shapes[name] for name in of_first]
    are_alike = shapes == [cell.shapes[name] for name in of_second]
    if not are_alike or list(cell.names[start:end]) != of_first + of_second:
        return False
    kernel, recurrent = shapes[:2]
    units = min(recurrent)
    of_inputs = recurrent.index(units)  # the axis
    if end == len(cell.names):
        return kernel[of_inputs] != units
    following = cell.shapes[cell.names[end]]
    takes_both = following[of_inputs:][:1] == (2 * units,)
    return takes_both or vector_size(following) == 2 * units


# ---- numbered names


def _numbered_lstms(prefix: str, numbered: PossibleCell) -> list[RecognisedLstm]:
    """The LSTMs of initializers that an exporter numbered: W, R and B of a node in one run.

    PyTorch's gives W and R successive numbers, B the one before or after. Nodes of one size, each
    with the outputs of the one before as inputs, are the layers of one LSTM, whose directions the
    exported graph joins.
    """
    stacks: list[list[list[Way]]] = []
    for run in _runs(numbered.names):
        way = _node(numbered._replace(names=run))
        if way is None:
            return []
        if stacks and _takes_outputs(
            way.roles, stacks[-1][-1][0].roles, numbered.shapes
        ):
            stacks[-1].append([way])
        else:
            stacks.append([[way]])
    found = []
    for layers in stacks:
        convention = layers[0][0].convention.with_behaviour(merge="concat")
        found.append(_lstm(convention, prefix, layers))
    return found


def _takes_outputs(node: Roles, below: Roles, shapes: Shapes) -> bool:
    """Return whether a node is of the size of another, and takes what it gives."""
    recurrent = shapes[below["recurrent_kernel"]]
    *directions, _, units = recurrent
    is_alike = shapes[node["recurrent_kernel"]] == recurrent
    return is_alike and shapes[node["kernel"]][-1] == prod(directions) * units


def _runs(names: Sequence[str]) -> list[list[str]]:
    """The names in runs of successive numbers, of three or, without biases, two."""
    number = {name: int(name.rpartition("_")[2]) for name in names}
    runs: list[list[str]] = []
    for name in sorted(names, key=number.__getitem__):
        if not runs or number[name] != number[runs[-1][-1]] + 1:
            runs.append([])
        runs[-1].append(name)
    count = 3 if any(len(run) % 2 for run in runs) else 2
    cut = []
    for run in runs:
        cut += [run[n : n + count] for n in range(0, len(run), count)]
    return cut


def _node(run: PossibleCell) -> Way | None:
    """The roles of W, R and B in a run, W first if both have one shape.

    A converter may have dropped the axis of one direction.
    """
    shapes = {name: run.shapes[name] for name in run.names}
    if max(map(len, shapes.values())) == 2:
        run = run._replace(shapes={name: (1, *shape) for name, shape in shapes.items()})
    for kernel, recurrent in permutations(run.names, 2):
        if len(run.shapes[kernel]) == 3:
            for way in run.ways_of_two(kernel, recurrent):
                if len(way.roles) == len(run.names):
                    return way
    return None


def _lstm(
    convention: Convention, prefix: str, layers: Sequence[Sequence[Way]]
) -> RecognisedLstm:
    cells = {}
    for layer, directions in enumerate(layers):
        for direction, way in enumerate(directions):
            named = {Slot(role): name for role, name in way.roles.items()}
            cells[layer, direction] = named
    return RecognisedLstm(convention, normalise(prefix), cells, by_shape=True)
