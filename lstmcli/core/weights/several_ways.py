"""What to type for tensors whose shapes leave several ways to read them as an LSTM, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lstmcli.core.weights.by_shape import (
    BIAS,
    KERNEL,
    MOST_GROUPS,
    MOST_IN_GROUP,
    RECURRENT,
    PossibleCell,
    Roles,
    Way,
    fitting_names,
    group_names,
    is_called,
    may_be_recurrent,
    split_numbered,
    vector_size,
    without_output_layer,
)
from lstmcli.core.weights.templates import Shape
from lstmcli.errors import INPUTS, Try, UserError, listed

MOST_WORDS = 4  # of a name, the last, that may be the word of its gate
_GATE_WORDS = {
    "i": "i|in|input|ingate", "f": "f|forget|forgetgate", "g": "g|c|cell|candidate",
    "o": "o|out|output|outgate",
}  # fmt: skip
_GATE_WORD = re.compile(
    "(?<![a-z])(?:" + "|".join(f"(?P<{g}>{w})" for g, w in _GATE_WORDS.items()) + ")(?![a-z])", re.I
)
_OF_H = re.compile(r"(?<![a-z])(u|r|h|hh|rec|recurrent|hid|hidden)(?![a-z])", re.I)

_AXES = (
    Try({"convention": "tf1"}, "gates along the last axis: (I + H, 4H)"),
    Try({"convention": "tflite-basic"}, "gates along the first: (4H, I + H)"),
)


def refuse_ways(shapes: Mapping[str, Shape], source: str) -> None:
    """Refuse tensors that may be an LSTM in two ways or three, or are called so and are none."""
    if len(shapes) == 1:
        _refuse_single(*next(iter(shapes.items())), source)
    _refuse_per_gate(shapes, source)
    unfit = []
    for prefix, names in group_names(split_numbered(shapes)[1]).items():
        ways = fitting_names(PossibleCell(names, shapes, prefix=prefix).ways())
        _refuse_group(names, ways, shapes, source)
        unfit += [] if ways else [names]
    for names in unfit:
        _refuse_unfit(names, shapes, source)


def _refuse_single(name: str, shape: Shape, source: str) -> None:
    """Refuse one vector or matrix that may be all weights of an LSTM."""
    if len(shape) == 1 and shape[0] >= 12 and shape[0] % 4 == 0:  # I = H = 1 has 12
        raise UserError(
            f"{source}: no LSTM recognised in the name {name}. If this vector {shape} is "
            "all weights of one:",
            try_=(
                Try({"convention": "cudnn-flat", "flat_units": ...}, "cuDNN's, JAX's, MXNet's"),
                Try({"convention": "torch7-flat", "flat_units": ...}, "Torch7's"),
            ),
        )
    pairs = (shape, shape[::-1]) if len(shape) == 2 else ()
    if any(gates > 0 and gates % 4 == 0 and depth > gates // 4 for depth, gates in pairs):
        raise UserError(
            f"{source}: no LSTM recognised in the name {name}. If this matrix {shape} is a "
            "kernel for inputs and h:",
            try_=(
                Try({"convention": "tf1"}, "no bias is in it"),
                Try({"convention": "tf1", "bias_row": "last"}, "the bias is its last row"),
                Try({"convention": "tf1", "bias_row": "first"}, "the bias is its first row"),
            ),
        )


def _refuse_group(
    names: Sequence[str], ways: Sequence[Way], shapes: Mapping[str, Shape], source: str
) -> None:
    """Refuse the tensors of one cell that can be read in several ways."""
    if not ways:
        return
    typed = [_named(way.roles, source) for way in ways]
    kernel, other = [*ways[0].roles.values(), ""][:2]
    if any(way.doubtful for way in ways):
        width = vector_size(shapes[other])
        recurrent = next(
            n for n in names if n != kernel and may_be_recurrent(shapes[n], shapes[kernel], width)
        )
        raise UserError(
            f"{source}: is {kernel} {shapes[kernel]} a kernel for inputs and h, or is "
            f"{recurrent} {shapes[recurrent]} its recurrent kernel? Name the tensors:",
            try_=typed,
        )
    if len(ways) > 1 and "fused" in ways[0].roles:
        raise UserError(
            f"{source}: {kernel} is {shapes[kernel]}; along which axis are the gates?", try_=_AXES
        )
    if len(ways) == 2 and ways[0].convention == ways[1].convention:
        raise UserError(
            f"{source}: {kernel} and {other} are both {shapes[kernel]}; which one is the "
            "recurrent kernel? Name the tensors:",
            try_=typed,
        )


def _refuse_unfit(names: Sequence[str], shapes: Mapping[str, Shape], source: str) -> None:
    """Refuse tensors that may be a dense layer's too, or have an LSTM's names and other shapes."""
    ways = PossibleCell(without_output_layer(names), shapes).ways()
    if ways:
        listed = " and ".join(f"{name} {shapes[name]}" for name in ways[0].roles.values())
        raise UserError(
            f"{source}: {listed} may be an LSTM's or a dense layer's. If an LSTM's:",
            try_=_AXES if len(ways) > 1 else [_named(ways[0].roles, source)],
        )
    patterns = (KERNEL, RECURRENT, BIAS)
    called_so = [name for pattern in patterns for name in names if is_called(pattern, name)]
    if len(called_so) > 1:
        listed = ", ".join(f"{name} {shapes[name]}" for name in called_so)
        raise UserError(
            f"{source}: {listed} are not those of an LSTM by their shapes.",
            "  With H units and I inputs those are (I + H, 4H) and (4H,), or (I, 4H), (H, 4H) "
            "and (4H,).",
            "  With a matrix for each gate, name them: Wi=FILE:NAME Ui=FILE:NAME bi=FILE:NAME, "
            "then those of f, g and o.",
        )


def _refuse_per_gate(shapes: Mapping[str, Shape], source: str) -> None:
    """Refuse tensors whose names differ in the word of a gate: it is to be typed which they are."""
    if per_gate := _per_gate(shapes):
        names = [name for of_letter in per_gate.values() for name in of_letter.values()]
        tensors = {
            f"{letter}{gate}": (source, of_letter[gate])
            for gate in _GATE_WORDS
            for letter, of_letter in per_gate.items()
        }
        raise UserError(
            f"{source}: {listed(names, 4)} may be tensors of one gate each. Name them:",
            try_=[Try(call="run", weights=tensors, others=[INPUTS])],
        )


def _per_gate(shapes: Mapping[str, Shape]) -> dict[str, dict[str, str]]:
    """Tensors whose names differ in the word of a gate: by ``W``, ``U``, ``b`` and by gate.

    Without ``U``, W is for inputs and h. Empty if they are not those of one cell.
    """
    if len(shapes) > MOST_GROUPS * MOST_IN_GROUP:
        return {}
    forms: dict[str, dict[str, str]] = {}
    for name in shapes:
        for match in [*_GATE_WORD.finditer(name)][-MOST_WORDS:]:
            form = f"{name[: match.start()]}*{name[match.end() :]}"
            forms.setdefault(form, {})[str(match.lastgroup)] = name
    cell = {
        form: shapes[names["i"]]
        for form, names in forms.items()
        if len(names) == len(_GATE_WORDS) and len({shapes[n] for n in names.values()}) == 1
    }
    matrices = [form for form, shape in cell.items() if len(shape) == 2]
    vectors = [form for form, shape in cell.items() if len(shape) == 1]
    recurrent = [form for form in matrices if len({*cell[form]}) == 1]
    if len(recurrent) > 1:
        recurrent = [form for form in recurrent if _OF_H.search(form)]
    if not 1 <= len(matrices) <= 2 or len(vectors) > 1 or len(recurrent) != len(matrices) - 1:
        return {}
    kernels = [form for form in matrices if form not in recurrent]
    units = cell[(recurrent or vectors or kernels)[0]][0]
    if any(units not in cell[form] for form in (*kernels, *vectors)):
        return {}
    letters = zip("WUb", (kernels, recurrent, vectors), strict=True)
    return {letter: forms[found[0]] for letter, found in letters if found}


def _named(roles: Roles, source: str) -> Try:
    """A run of the tensors by their roles: ``lstm run kernel=w.npz:W bias=w.npz:b INPUTS``."""
    names = {"fused": "kernel"}  # a kernel with only a bias is for inputs and h
    tensors = {names.get(role, role): (source, name) for role, name in roles.items()}
    return Try(call="run", weights=tensors, others=[INPUTS])
