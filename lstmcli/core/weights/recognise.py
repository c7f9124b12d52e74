"""Which tensors of a file are an LSTM, and in whose convention.

Names come first: every row of the table claims the tensors whose names end in its templates, and
the row that claims most of a group has it. Shapes decide between rows of the same names, and drop
what is an LSTM only by name. If no name tells, only shapes do (`by_shape`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from lstmcli.core.model.conventions import CONVENTIONS, Convention, find_convention
from lstmcli.core.weights.claims import (
    claims,
    fits,
    requested_claims,
    without_optimizer,
)
from lstmcli.core.weights.directions import pair_builders, split_directions
from lstmcli.core.weights.missing import describe_missing
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.templates import (
    RecognisedLstm,
    Shape,
    Shapes,
    is_letter,
    is_numbered,
    names_by_row,
    normalise,
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
    names = without_optimizer(shapes) or list(shapes)
    row = find_convention(convention) if convention else None
    claimed = requested_claims(row, names) if row else _claims_of_all_rows(names)
    parts: list[RecognisedLstm] = []
    for one in claimed:
        parts += split_directions(one, shapes)
    fitting = [one for one in parts if fits(one, shapes)]
    found = _most_of_each(pair_builders(fitting, shapes))
    found = _without_other_layers(found, shapes)
    if row is None:  # `w` and `b` are BlockLSTM's names, and any script's
        found = [
            one
            for one in found
            if not (one.rivals and all(map(is_letter, one.tensors)))
        ]
    found = _with_found_by_shape(found, {name: shapes[name] for name in names}, row)
    place = {name: n for n, name in enumerate(shapes)}
    return sorted(found, key=lambda one: min(place[name] for name in one.tensors))


def _claims_of_all_rows(names: list[str]) -> list[RecognisedLstm]:
    ending = names_by_row(names)
    found: list[RecognisedLstm] = []
    for row in CONVENTIONS.values():
        if row.names.by_name:
            found += claims(row, ending.get(row.name, []))
    return found


# ---- between rows that claim the same tensors


def _most_of_each(claimed: list[RecognisedLstm]) -> list[RecognisedLstm]:
    """The claims of most tensors, each tensor once; rows that fit as well are their rivals."""
    owner: dict[str, RecognisedLstm] = {}
    for one in sorted(
        claimed, key=_weight, reverse=True
    ):  # equals keep the order of the table
        other = next((owner[name] for name in one.tensors if name in owner), None)
        if other is None:
            owner |= dict.fromkeys(one.tensors, one)
        elif _weight(one) == _weight(other) and _differ_in_settings(one, other):
            other.rivals.append(one.convention.name)
    chosen = list(dict.fromkeys(owner.values()))
    aliases = {(one.convention.names.shadows, one.prefix) for one in chosen}
    return [one for one in chosen if (one.convention.name, one.prefix) not in aliases]


def _weight(found: RecognisedLstm) -> tuple[int, bool]:
    return len(found.tensors), bool(found.convention.names.within)


def _differ_in_settings(one: RecognisedLstm, other: RecognisedLstm) -> bool:
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


# ---- what has the names of an LSTM and is none


def _without_other_layers(
    found: list[RecognisedLstm], shapes: Shapes
) -> list[RecognisedLstm]:
    """The LSTMs without dense layers, other cells and GRUs; all of them, if only such are there."""
    called_so = [
        one
        for one in found
        if re.search(one.convention.names.telling, one.prefix, re.I)
    ]
    found = called_so or found
    of_four_gates = [one for one in found if not _is_another_cell(one, shapes)]
    found = of_four_gates or found
    of_grus = set().union(*gru_kernels(shapes))
    return [one for one in found if of_grus.isdisjoint(one.tensors)]


def _is_another_cell(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether it is an RNN of one gate, a GRU of three, or a convolution."""
    for names in found.cells.values():
        recurrent = shapes.get(names.get(Slot("recurrent_kernel"), ""))
        if recurrent is not None:
            *others, a, b = recurrent
            units = min(a, b)
            if len(others) > 1 or max(a, b) in (units, 3 * units):
                return True
    return False


def gru_kernels(names: Iterable[str]) -> list[tuple[str, str]]:
    """The two kernels of each GRU of TensorFlow 1, of both gates and of the candidate.

    Each looks like an LSTM's one kernel.
    """
    found = []
    original = {normalise(name): name for name in names}
    for plain, name in original.items():
        gates = re.fullmatch(r"((?:.*_)?)gates_(kernel|weights)", plain)
        candidate = gates and original.get(f"{gates[1]}candidate_{gates[2]}")
        if candidate:
            found.append((name, candidate))
    return found


def describe_gru(names: Iterable[str]) -> str:
    """A description of the first GRU of TensorFlow 1 among these names, or ""."""
    for gates, candidate in gru_kernels(names):
        return f"{gates} and {candidate} are a GRU of TensorFlow 1 and not an LSTM"
    return ""


# ---- names that tell nothing


def _with_found_by_shape(
    named: list[RecognisedLstm], shapes: Shapes, row: Convention | None
) -> list[RecognisedLstm]:
    """The LSTMs that names show, or, if none or without a bias, those of shapes."""
    is_named = bool(named) and not any(_leaves_out_bias(one, shapes) for one in named)
    if is_named:
        shapes = {name: shape for name, shape in shapes.items() if is_numbered(name)}
        if not shapes:
            return named
    elif row is None and not named and describe_missing(shapes):
        return []  # a convention's names, of which one is missing
    from lstmcli.core.weights.by_shape import find_by_shape  # most files have names

    found = find_by_shape(shapes, row)
    if is_named:
        return named + found
    return found or named


def _leaves_out_bias(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether its row's names leave out a vector that may be its bias."""
    others = set(shapes) - set(found.tensors)
    if len(others) != 1 or any(role.endswith("bias") for role in found.roles):
        return False
    vector = shapes[others.pop()]
    return len(vector) == 1 and vector[0] in {
        max(shapes[name]) for name in found.tensors
    }
