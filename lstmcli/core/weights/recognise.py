"""Which tensors of a file are an LSTM, and in whose convention.

Names come first: every row of the table claims the tensors whose names end in
its templates, and the row that claims most of a group has it. Shapes decide
between rows of the same names, and drop what is an LSTM only by name. If no
name tells, only shapes do (`by_shape`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, groupby
from typing import Any

from lstmcli.core.model.conventions import CONVENTIONS, Convention, find_convention
from lstmcli.core.weights.templates import (
    CellIndex,
    NameEnd,
    RecognisedLstm,
    Shape,
    Shapes,
    TensorNames,
    each_tensor,
    gates_of,
    is_letter,
    is_numbered,
    name_ends,
    names_by_row,
    normalise,
)

Cells = dict[CellIndex, TensorNames]

_MATRICES = {"kernel", "recurrent_kernel", "fused"}
_BUILDER = re.compile(r"(?P<collection>.*builder)(?:_(?P<number>\d{1,9}))?")
FORWARD = ("", "forward", "fw", "fwd", "l", "0")
SLOT = re.compile(
    r"(^|_)(n?adam\w*|rmsprop|adagrad|adadelta|adafactor|ftrl|sgd|momentum|optimizer\w*)(_|$)"
    r"|^lion_m_",
    re.I,
)


def recognise(shapes: Shapes, convention: str | None = None) -> list[RecognisedLstm]:
    """Every LSTM among tensors of these names and shapes, in any convention or in one.

    No tensor belongs to two: the row that claims most goes first.
    """
    return list(_recognised(tuple(shapes.items()), convention))


@lru_cache(maxsize=8)  # a search loads one file again and again
def _recognised(
    named_shapes: tuple[tuple[str, Shape], ...], convention: str | None
) -> list[RecognisedLstm]:
    shapes = dict(named_shapes)
    rows = [find_convention(convention)] if convention else list(CONVENTIONS.values())
    names = [n for n in shapes if not SLOT.search(normalise(n))] or list(shapes)
    ending = names_by_row(names)
    by_row = (
        _requested_claims(row, names)
        if convention
        else _claims(row, ending.get(row.name, []))
        for row in rows
        if row.names.by_name or convention
    )
    each = (one for found in chain(*by_row) for one in _split_directions(found, shapes))
    claims = _pair_builders([found for found in each if _fits(found, shapes)], shapes)
    claims.sort(key=_weight, reverse=True)  # stable: equals keep the order of the table
    taken: dict[str, RecognisedLstm] = {}
    for found in claims:
        owners = [taken[name] for name in found.tensors if name in taken]
        if not owners:
            taken |= dict.fromkeys(found.tensors, found)
        elif _weight(found) == _weight(owners[0]) and _differs_in_settings(
            found, owners[0]
        ):
            owners[0].rivals.append(found.convention.name)
    chosen = list(dict.fromkeys(taken.values()))
    shadowed = {(f.convention.names.shadows, f.prefix) for f in chosen}
    chosen = [f for f in chosen if (f.convention.name, f.prefix) not in shadowed]
    named_as_lstm = [
        f for f in chosen if re.search(f.convention.names.telling, f.prefix, re.I)
    ]
    chosen = named_as_lstm or chosen  # without a dense layer's kernel and bias
    chosen = [f for f in chosen if not _is_another_cell(f, shapes)] or chosen
    grus = {name for kernels in gru_kernels(shapes) for name in kernels}
    chosen = [f for f in chosen if not grus & set(f.tensors)]
    if convention is None:  # `w` and `b` are BlockLSTM's names, and any script's
        chosen = [
            f for f in chosen if not (f.rivals and all(map(is_letter, f.tensors)))
        ]
    of_names = {name: shapes[name] for name in names}
    chosen = _with_found_by_shape(chosen, of_names, rows[0] if convention else None)
    order = {name: n for n, name in enumerate(shapes)}
    return sorted(chosen, key=lambda f: min(order[name] for name in f.tensors))


def _with_found_by_shape(
    named: list[RecognisedLstm], shapes: Shapes, row: Convention | None
) -> list[RecognisedLstm]:
    """The LSTMs that names show, or, if none or without a bias, those of shapes."""
    is_named = bool(named) and not any(_leaves_bias(found, shapes) for found in named)
    if is_named:
        shapes = {name: shape for name, shape in shapes.items() if is_numbered(name)}
        if not shapes:
            return named
    elif row is None and not named and describe_missing(shapes):
        return []  # a convention's names, of which one is missing
    from lstmcli.core.weights.by_shape import find_by_shape  # most files have names

    found = find_by_shape(shapes, row)
    return [*named, *found] if is_named else found or named


def _leaves_bias(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether its row's names leave out a vector that may be its bias."""
    roles = [role for names in found.cells.values() for role in names]
    others = set(shapes) - set(found.tensors)
    if len(others) != 1 or any(role.endswith("bias") for role in roles):
        return False
    vector = shapes[others.pop()]
    return len(vector) == 1 and vector[0] in {
        max(shapes[name]) for name in found.tensors
    }


def _weight(found: RecognisedLstm) -> tuple[int, bool]:
    return len(found.tensors), bool(found.convention.names.within)


def _differs_in_settings(one: RecognisedLstm, other: RecognisedLstm) -> bool:
    compared = (
        "gates",
        "forget_bias",
        "cell_clip",
        "interleaved",
        "recurrent_activation",
    )
    return any(
        one.convention.setting(k) != other.convention.setting(k) for k in compared
    )


# ---- names


def _requested_claims(row: Convention, names: list[str]) -> list[RecognisedLstm]:
    """The groups of a requested row; of names that fit another row better only if it must.

    TensorFlow 1's kernel would else be found a second time, in Keras'
    ``recurrent_kernel``.
    """
    ends = {name: name_ends(name).get(row.name, ()) for name in names}
    longest = [name for name in names if any(end.is_longest for end in ends[name])]
    return list(_claims(row, longest, True)) or list(_claims(row, names, True))


def _claims(
    row: Convention, names: list[str], asked: bool = False
) -> Iterator[RecognisedLstm]:
    """The groups of tensors with all that the row needs; ``asked``: at any prefix."""
    for prefix, cells in _groups(row, names, asked).items():
        order = sorted(cells)
        lacking = {
            cell: role for cell in order if (role := _missing_role(row, cells[cell]))
        }
        complete = {cell: cells[cell] for cell in order if cell not in lacking}
        if complete:
            yield RecognisedLstm(row, prefix, complete, lacking)


def _groups(
    row: Convention, names: Iterable[str], asked: bool = False
) -> dict[str, Cells]:
    """The tensors whose names end in the row's templates, by prefix, cell and role."""
    groups: dict[str, Cells] = {}
    for name in names:
        for end in name_ends(name).get(row.name, ()):
            if not asked and not (
                end.is_longest and re.search(row.names.within, end.prefix)
            ):
                continue
            prefix, cell, role = _locate(row, end)
            tensors = groups.setdefault(prefix, {}).setdefault(cell, {})
            role, _, gate = role.partition(".")
            if gate:
                gates = tensors.setdefault(role, {})
                if isinstance(gates, dict):
                    gates[gate] = name
            else:
                tensors[role] = name
    return groups


def _locate(row: Convention, end: NameEnd) -> tuple[str, CellIndex, str]:
    """The group of a tensor, its layer and direction, its role or ``role.gate``."""
    role, prefix, parts = end.template.role, end.prefix, dict[str, str]()
    if row.names.path:  # whose matches have the layer and the direction
        for match in re.finditer(row.names.path, prefix):
            parts |= {k: v for k, v in match.groupdict().items() if v is not None}
        prefix = normalise(re.sub(row.names.path, "", prefix))
    parts |= end.parts
    layer, direction = int(parts.get("layer") or 0), parts.get("direction") or ""
    if "number" in parts:
        layer, n = divmod(int(parts["number"]), len(row.names.numbered))
        role = row.names.numbered[n]
    if word := parts.get("gate"):
        role += "." + next(
            gate
            for gate in gates_of(row, role)
            if word in map(normalise, row.names.words_of(gate, role))
        )
    return prefix, (layer, 0 if direction in FORWARD else 1), role


def _missing_role(row: Convention, names: TensorNames) -> str:
    """A role, perhaps with its gate, that a cell needs and lacks; or nothing."""
    roles = {role.partition(".")[0] for role in row.names.numbered} | set(
        row.names.tensors
    )
    for role in sorted(roles & _MATRICES | set(row.names.required)):
        tensor = names.get(role)
        if tensor is None:
            return role
        required = set(row.storage.letters) - set(row.storage.absent)
        if isinstance(tensor, dict) and (gates := required - set(tensor)):
            return f"{role} of {min(gates)}"
    return ""


# ---- shapes


def _fits(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether shapes can be this row's, as far as rows of equal names differ."""
    row = found.convention
    if pattern := row.names.not_beside:
        others = (
            name for name in map(normalise, shapes) if name.startswith(found.prefix)
        )
        if any(re.search(pattern, name) for name in others):
            return False
    for names in found.cells.values():
        recurrent, bias, fused = map(names.get, ("recurrent_kernel", "bias", "fused"))
        if not isinstance(recurrent, str):
            if isinstance(fused, str) and len(shapes[fused]) != 2:
                return False
            continue
        sides = shapes[recurrent][-2:]
        if len(sides) < 2:
            return False
        if isinstance(bias, str):
            halves = [n for n in (1, 2) if shapes[bias][-1:] == (n * max(sides),)]
            if halves and halves != [row.storage.bias_halves]:
                return False
    return True


def _split_directions(found: RecognisedLstm, shapes: Shapes) -> list[RecognisedLstm]:
    """Its directions as an LSTM each, if no layer takes what both directions below it give.

    TensorFlow 1's bidirectional_dynamic_rnn joins only what the last layers of
    two MultiRNNCells give; stack_bidirectional_dynamic_rnn joins after each
    layer.
    """
    names = found.convention.names
    both = len({direction for _, direction in found.cells}) > 1
    if not both or not (names.scopes or names.stacks):
        return [found]
    if names.stacks:
        return _stacks(
            found, [names.stacks.format(direction=d) for d in names.direction_marks]
        )
    sizes = {cell: _fused_sizes(names, shapes) for cell, names in found.cells.items()}
    separate = False
    for (layer, direction), (inputs, _) in sizes.items():
        other = sizes.get((layer, 1 - direction), (inputs, 0))
        below = sizes.get((layer - 1, direction), (0, 0))
        separate |= inputs != other[0] or (layer > 0 and inputs == below[1])
    return _stacks(found, ("fw", "bw")) if separate else [found]


def _stacks(found: RecognisedLstm, words: Sequence[str]) -> list[RecognisedLstm]:
    def of(direction: int, by_cell: Mapping[CellIndex, Any]) -> dict[CellIndex, Any]:
        return {cell: value for cell, value in by_cell.items() if cell[1] == direction}

    return [
        replace(
            found,
            prefix=f"{found.prefix}_{word}".strip("_"),
            cells=of(direction, found.cells),
            lacking=of(direction, found.lacking),
        )
        for direction, word in enumerate(words)
    ]


def layers_of_stacks(found: Sequence[RecognisedLstm]) -> list[RecognisedLstm]:
    """Each layer in all its directions, if these are stacks of the same file; otherwise none.

    With skip connections between layers, only one layer can be run. A stack of
    one layer has none.
    """
    numbers = sorted({layer for one in found for layer, _ in one.cells})
    is_layer = len(found) == 1 and numbers == [0]
    if is_layer or not all(one.convention.names.stacks for one in found):
        return []

    def of_layer(number: int, field: str) -> dict[CellIndex, Any]:
        each = [item for one in found for item in getattr(one, field).items()]
        return {
            (0, direction): value
            for (layer, direction), value in each
            if layer == number
        }

    return [
        replace(
            found[0],
            prefix=f"layer {n}",
            cells=of_layer(n, "cells"),
            lacking=of_layer(n, "lacking"),
        )
        for n in numbers
    ]


def _pair_builders(
    claims: Sequence[RecognisedLstm], shapes: Shapes
) -> list[RecognisedLstm]:
    """The LSTMs, with builders of one layer joined as DyNet's BiRNNBuilder numbers them.

    Forward and backward of the first layer, then of the next, which take what
    both give. An odd number of builders of one size in a row is left as it is.
    """

    def sizes(found: RecognisedLstm) -> tuple[Shape, Shape]:
        names = (found.cells[0, 0][role] for role in ("kernel", "recurrent_kernel"))
        kernel, recurrent = (
            n if isinstance(n, str) else next(iter(n.values())) for n in names
        )
        return shapes[kernel][-1:], shapes[recurrent][-1:]  # inputs and outputs

    lstms: list[RecognisedLstm] = []
    collections: dict[tuple[str, str], dict[int, RecognisedLstm]] = {}
    for found in claims:
        match = (
            _BUILDER.fullmatch(found.prefix) if found.convention.names.pairs else None
        )
        if match and [*found.cells] == [(0, 0)] and not found.lacking:
            collection = found.convention.name, match["collection"]
            collections.setdefault(collection, {})[int(match["number"] or 0)] = found
        else:
            lstms.append(found)
    for builders in collections.values():
        stacks: list[
            list[RecognisedLstm]
        ] = []  # forward, backward, forward, ..., or a single one
        below: Shape = ()  # what both directions below give
        numbered = [(k, n, sizes(builders[n])) for k, n in enumerate(sorted(builders))]
        rows = groupby(
            numbered, lambda one: (one[1] - one[0], one[2])
        )  # a gap ends a row too
        for (_, (inputs, outputs)), row in rows:
            of_size = [builders[number] for _, number, _ in row]
            size = 1 if len(of_size) % 2 else 2
            for start in range(0, len(of_size), size):
                if size == 1 or not stacks or inputs != below:
                    stacks.append([])
                stacks[-1] += of_size[start : start + size]
                below = tuple(2 * n for n in outputs) if size == 2 else ()
        for stack in stacks:
            cells = {
                (n // 2, n % 2): builder.cells[0, 0] for n, builder in enumerate(stack)
            }
            lstms.append(replace(stack[0], cells=cells))
    return lstms


def _fused_sizes(names: TensorNames, shapes: Shapes) -> tuple[int, int]:
    """Inputs and outputs of a cell whose kernel (I + P, 4H) has both matrices."""
    fused, projection = names.get("fused"), names.get("projection")
    if not isinstance(fused, str) or len(shapes[fused]) != 2:
        return 0, 0
    rows, width = shapes[fused]
    outputs = width // 4
    if isinstance(projection, str):
        outputs = min(shapes[projection], default=0)
    return rows - outputs, outputs


def gru_kernels(names: Iterable[str]) -> list[tuple[str, str]]:
    """The two kernels of each GRU of TensorFlow 1, of both gates and of the candidate.

    Each looks like an LSTM's one kernel.
    """
    plain = {normalise(name): name for name in names}
    found = {
        form: re.fullmatch(r"((?:.*_)?)gates_(kernel|weights)", form) for form in plain
    }
    pairs = {
        form: f"{gates[1]}candidate_{gates[2]}"
        for form, gates in found.items()
        if gates
    }
    return [
        (plain[one], plain[other]) for one, other in pairs.items() if other in plain
    ]


def describe_gru(names: Iterable[str]) -> str:
    """A description of the first GRU of TensorFlow 1 among these names, or ""."""
    for gates, candidate in gru_kernels(names):
        return f"{gates} and {candidate} are a GRU of TensorFlow 1 and not an LSTM"
    return ""


def _is_another_cell(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether it is an RNN of one gate, a GRU of three, or a convolution."""
    for names in found.cells.values():
        if isinstance(recurrent := names.get("recurrent_kernel"), str):
            *other_axes, a, b = shapes[recurrent]
            if len(other_axes) > 1 or max(a, b) in (min(a, b), 3 * min(a, b)):
                return True
    return False


# ---- choosing


def describe_missing(
    tensors: Collection[str], asked: Sequence[Convention] | None = None
) -> str:
    """The one tensor missing from an otherwise complete set; "" if there is none.

    ``pytorch: weight_hh_l0 is missing; weight_ih_l0 is there``, of the most
    complete cell. A dense layer's kernel and bias, whose names are all of a
    row's, lack nothing.
    """
    names = [name for name in tensors if not SLOT.search(normalise(name))]
    rows = asked or [row for row in CONVENTIONS.values() if row.names.by_name]
    every, ending = dict.fromkeys(names, ()), names_by_row(names)
    complete = {
        name
        for row in rows
        for found in _claims(row, ending.get(row.name, []))
        if not row.names.not_beside or _fits(found, every)
        for name in found.tensors
    }
    parts = [
        (len(there), -n, row, cell, members)
        for n, row in enumerate(rows)
        for cells in _groups(row, ending.get(row.name, [])).values()
        for cell, members in cells.items()
        for there in [{name for *_, name in each_tensor(members)}]
        if set(members) & _MATRICES
        and (
            len(members) > 1 or _is_telling(row, members)
        )  # any matrix may be a kernel
        and (asked or not all(map(is_letter, there)))
        and not complete & there
        and _missing_role(row, members)
    ]
    if not parts:
        return ""
    _, _, row, cell, members = max(parts, key=lambda part: part[:2])
    role, _, gate = _missing_role(row, members).partition(" of ")
    there = members.get(role) or next(members[r] for r in members if r in _MATRICES)
    name_there = there if isinstance(there, str) else next(iter(there.values()))
    missing = _expected_name(row, role, gate, cell, name_there)
    return f"{row.name}: {missing} is missing; {name_there} is there"


def _is_telling(row: Convention, members: TensorNames) -> bool:
    names = [name for name in members.values() if isinstance(name, str)]
    return any(
        "{layer}" in end.template.form for n in names for end in name_ends(n)[row.name]
    )


def _expected_name(
    row: Convention, role: str, gate: str, cell: CellIndex, there: str
) -> str:
    """The name of a tensor without its prefix; the role, if the form has a number.

    ``there``: the name of one that is there; of the same role, it shows which
    form is used.
    """
    ends = [end.template for end in name_ends(there).get(row.name, ())]
    forms = [template.form for template in ends if template.role == role]
    form = (forms or row.names.tensors.get(role, "").split(" | "))[0]
    if not form or "{number}" in form:
        return f"the {role.replace('_', ' ')}{f' of {gate}' * bool(gate)}"
    gate = gate or next(iter(row.storage.letters))
    layer, direction = cell
    word, mark = row.names.word(gate, role), row.names.marks[direction]
    return form.format(gate=word, layer=layer, direction=mark)
