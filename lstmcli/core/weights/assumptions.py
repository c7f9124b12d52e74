"""Assumptions on an LSTM, because neither a file nor an option specifies it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell, Masking, Model, cell_name, format_lengths
from lstmcli.core.model.settings import Assumption, split_cell
from lstmcli.core.model.vocabulary import ACTIVATION_NAMES
from lstmcli.core.weights.claims import lacking_slots
from lstmcli.core.weights.orientation import units_along_rows
from lstmcli.core.weights.stored import BIASES
from lstmcli.core.weights.templates import (
    CellIndex,
    RecognisedLstm,
    Settings,
    normalise,
)
from lstmcli.errors import SettingsToTry, Undecided, UserError, listed
from lstmcli.escaping import typed_command

MOST_UNUSED = 4  # tensors that are named
_TENSORFLOW_SCOPE = re.compile(r"(^|_)bidirectional_rnn_bw_")


def has_ambiguous_names(found: RecognisedLstm) -> bool:
    """Return whether other programs have such names too, and no prefix decides."""
    telling = found.convention.names.telling
    return bool(telling) and not re.search(telling, found.prefix)


def assumptions(found: RecognisedLstm, cell: Cell, given: Settings) -> list[str]:
    """Return what neither a tensor nor a setting gives, each on a line."""
    row, assumed = found.convention, list[str]()
    if "convention" not in given:
        assumed += _convention_assumption(found)
    assumed += _orientation_assumption(found, cell)
    hidden = [name for name in row.hidden if name not in given]
    if "forget_bias" in hidden:
        what = f"forget bias {cell.behaviour.forget_bias:+.10g}"
        assumed.append(Assumption(what, "not stored in the weights", "--forget-bias"))
    assumed += _config_assumptions(found, cell.convention, given)
    for name, value in given.items():
        if value in ("affine", "scaled_tanh"):  # without defaults in ONNX
            what = f"{value}{ACTIVATION_NAMES[value]}"
            assumed.append(
                Assumption(what, "no numbers given", *_with_numbers(name, value))
            )
    for name in ("cell_clip", "gate_clip", "projection_clip"):
        if name in hidden:
            what = f"{name.replace('_', ' ')} {cell.convention.setting(name) or 'none'}"
            option = f"--{name.replace('_', '-')}"
            assumed.append(Assumption(what, "not stored in the weights", option))
    is_in_kernel = cell.convention.storage.extra_columns > 0
    if given.get("bias") != "none" and not is_in_kernel:
        assumed += _bias_assumptions(found)
    return assumed


def _convention_assumption(found: RecognisedLstm) -> list[str]:
    what = f"convention {found.convention.name}"
    if found.by_shape:
        is_layer_of_two = any(direction for _, direction in found.cells)
        what = f"{what}, two directions" if is_layer_of_two else what
        return [Assumption(what, "assumed from shapes", "--convention")]
    if has_ambiguous_names(found):
        return [Assumption(what, "names are ambiguous", "--convention")]
    return []


def _orientation_assumption(found: RecognisedLstm, cell: Cell) -> list[str]:
    row, orientation = found.convention, cell.convention.storage.orientation
    if (
        found.by_shape
        or row.required_settings
        or orientation == row.storage.orientation
    ):
        return []
    axes = ("first", "last") if orientation == "rows" else ("last", "first")
    why = f"units along the {axes[0]} axis; {row.name}: the {axes[1]}"
    return [Assumption("transposed weights", why)]


def _with_numbers(name: str, activation: str) -> tuple[str, str]:
    """The option that gives an activation its numbers, and what follows."""
    from lstmcli.core.model.shell import as_options  # rarely needed

    option, *more = as_options({name: f"{activation}(A,B)"})
    return option, typed_command(*more)


_WAYS = {  # of required settings: values, and their meaning
    "rows": {"hx": "[h; x]: h comes first", "xh": "[x; h]"},
    "transposed": {
        "none": "(inputs, units), for x W",
        "both": "(units, inputs), for W x",
    },
}


def refuse_open(
    found: RecognisedLstm,
    shapes: Mapping[str, tuple[int, ...]],
    given: Settings,
    source: str,
) -> None:
    """Refuse weights that can be read in two ways, with the settings that choose."""
    row, names = found.convention, next(iter(found.cells.values()))
    of_gate: dict[str, str] = {}  # a tensor of each role
    for slot, name in names.items():
        if slot.gate:
            of_gate.setdefault(slot.role, name)
    for setting in row.required_settings:
        settled = setting in given
        if setting == "transposed":  # its value none is the row's orientation
            of_roles = {role: shapes[name] for role, name in of_gate.items()}
            settled = settled or units_along_rows(of_roles) is not None
        if settled:
            continue
        name = of_gate.get("fused") or of_gate["kernel"]
        raise Undecided(
            f"{source}: neither names nor shapes tell how {name} {shapes[name]} is to be read:",
            try_=[
                SettingsToTry({setting: value}, meaning)
                for value, meaning in _WAYS[setting].items()
            ],
        )


def unused_assumptions(
    chosen: Sequence[RecognisedLstm],
    found: Sequence[RecognisedLstm],
    names: Collection[str],
    around: Collection[str],
) -> list[str]:
    """The assumption that tensors next to an LSTM that only shapes show are not part of it.

    ``names``: of all tensors but initial states; those of the LSTMs ``found``
    and of what is ``around`` them do not count.
    """
    if not any(one.by_shape for one in chosen):
        return []
    used = set(around).union(*(one.tensors for one in found))
    unused = [name for name in names if name not in used]
    if not unused:
        return []
    what = f"not used: {listed(unused, MOST_UNUSED)}"
    return [Assumption(what, "no part of a cell by their names")]


def direction_assumptions(
    found: RecognisedLstm, known: Collection[CellIndex], given: Settings
) -> list[str]:
    """The assumption that a cell runs backward, if only its name suggests it.

    Other code may give a scope of TensorFlow or the number of a DyNet builder.
    ``known``: the cells whose direction a file gives.
    """
    row = found.convention.names
    backward = sorted(cell for cell in found.cells if cell[1])
    settled = any(split_cell(setting)[1] == "reverse" for setting in given)
    if settled or not (row.scopes or row.pairs) or {*backward} <= {*known}:
        return []
    only_backward = len(backward) == len(found.cells)
    names: list[str] = []
    for cell in backward:
        names.extend(map(normalise, found.names(cell)))
    certain = _TENSORFLOW_SCOPE
    if row.pairs:
        certain = re.compile(rf"(^|_){row.pairs}(_|$)")
    if not only_backward and all(map(certain.search, names)):
        return []
    builders = ", ".join(dict.fromkeys(name.rpartition("_")[0] for name in names))
    name = "reverse" if only_backward else "layer0_reverse.reverse"
    what = builders if row.pairs else "bw"
    return [
        Assumption(f"{what} backward", "from the tensor names", f"--set {name}=false")
    ]


def _config_assumptions(
    found: RecognisedLstm, convention: Convention, given: Settings
) -> list[str]:
    both, runs = any(direction for _, direction in found.cells), convention.behaviour
    texts = {
        "recurrent_activation": f"{runs.recurrent_activation} gates",
        "activation": runs.activation,
        "merge": f"merge {runs.merge}",
        "go_backwards": "forward",
    }
    settled = set(given)
    if runs.reverse:
        settled.add("go_backwards")
    missing = [name for name in found.convention.config(both) if name not in settled]
    if not missing:
        return []
    what, why = (
        ", ".join(texts[name] for name in missing),
        "its config is not in the file",
    )
    if "recurrent_activation" in missing and runs.recurrent_activation != "sigmoid":
        typed = ("--recurrent-activation", "sigmoid for sigmoid")
        return [Assumption(what, why, *typed)]
    return [Assumption(what, why)]


def _bias_assumptions(found: RecognisedLstm) -> list[str]:
    row = found.convention
    roles = [role for role in BIASES if role in row.stored_roles]
    if not found.roles.intersection(roles):
        return [Assumption("no bias", "none in the file")]
    assumed = []
    for cell, names in found.cells.items():
        where = f" in {cell_name(*cell)}" if len(found.cells) > 1 else ""
        for role in roles:
            for slot in lacking_slots(row, role, names):
                assumed.append(f"no {slot.words}{where}")
    return assumed


def lengths_assumed(lengths: Sequence[int]) -> str:
    """The line of ``assumed`` for lengths in a file."""
    what = f"lengths {format_lengths(lengths)}"
    return Assumption(what, "sequence_lens of the file", "--lengths")


SEQUENCE_LENGTHS = (
    "sequence_lens",
    "sequence_length",
)  # of an ONNX node, of TensorFlow's rnn


def masking_assumed(masking: Masking) -> str:
    """The line of ``assumed`` for a mask or lengths that the inputs do not give."""
    layer, kind = masking.layer, masking.kind
    what = f"mask of {layer} not applied"
    if kind in SEQUENCE_LENGTHS:
        why = f"its lengths come from {layer}"
        return Assumption(f"{kind} not applied", why, "--lengths")
    if kind == "Embedding":
        return Assumption(what, f"{kind} masks token 0", "--mask", "or --lengths")
    return Assumption(what, f"{kind} with other layers between", "--mask")


def without_padding(model: Model) -> Model:
    """The model for a run whose lengths, or mask, are given."""
    lines = {lengths_assumed(model.lengths), *map(masking_assumed, model.masks)}
    assumed = tuple(text for text in model.assumed if text not in lines)
    return replace(model, lengths=(), masks=(), assumed=assumed)


def common_lengths(lengths: Sequence[tuple[int, ...]], source: str) -> tuple[int, ...]:
    """The lengths in the file for its LSTMs; refused if they differ."""
    if len({*lengths}) > 1:
        each = "; ".join(format_lengths(one) or "none" for one in lengths)
        raise UserError(
            f"{source}: LSTMs that run in turn have different lengths (sequence_lens): {each}.",
            try_=[
                SettingsToTry({"layer": ...}, "runs one of them"),
                SettingsToTry({"lengths": "ignored"}, "runs all steps of each"),
            ],
        )
    return lengths[0]


def shorten_assumption(text: str) -> str:
    """An assumption without its reason: ``forget bias +1 (--forget-bias)``."""
    if not isinstance(text, Assumption) or not text.option:
        return text
    return Assumption(text.what, option=text.option)
