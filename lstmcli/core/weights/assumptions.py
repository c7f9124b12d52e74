"""Assumptions on an LSTM, because neither a file nor an option specifies it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell, Masking, Model, cell_name, format_lengths
from lstmcli.core.model.settings import Assumption, setting_text, split_cell
from lstmcli.core.model.vocabulary import ACTIVATION_NAMES
from lstmcli.core.weights.decode import units_along_rows
from lstmcli.core.weights.templates import (
    CellIndex,
    RecognisedLstm,
    Settings,
    normalise,
)
from lstmcli.errors import Try, Undecided, UserError, listed
from lstmcli.escaping import typed_command

MOST_UNUSED = 4  # tensors that are named
_TENSORFLOW_SCOPE = re.compile(r"(^|_)bidirectional_rnn_bw_")


def has_ambiguous_names(found: RecognisedLstm) -> bool:
    """Return whether other programs have such names too, and no prefix decides."""
    telling = found.convention.names.telling
    return bool(telling) and not re.search(telling, found.prefix)


def assumptions(found: RecognisedLstm, cell: Cell, given: Settings) -> list[str]:
    """Return what neither a tensor nor a setting gives, each on a line."""
    assumed: list[str] = []
    row = found.convention
    if "convention" not in given and (found.by_shape or has_ambiguous_names(found)):
        both = found.by_shape and any(direction for _, direction in found.cells)
        why = "assumed from shapes" if found.by_shape else "names are ambiguous"
        what = f"convention {row.name}{', two directions' * both}"
        assumed.append(Assumption(what, why, "--convention"))
    assumed += _orientation_assumption(found, cell)
    hidden = [name for name in row.hidden if name not in given]
    if "forget_bias" in hidden:
        what = f"forget bias {cell.convention.behaviour.forget_bias:+.10g}"
        assumed.append(Assumption(what, "not stored in the weights", "--forget-bias"))
    assumed += _config_assumptions(found, cell.convention, given)
    assumed += [  # numbers of activations without defaults in ONNX
        Assumption(f"{value}{ACTIVATION_NAMES[value]}", "no numbers given", *typed)
        for name, value in given.items()
        if value in ("affine", "scaled_tanh")
        for typed in [_with_numbers(name, value)]
    ]
    for name in ("cell_clip", "gate_clip", "projection_clip"):
        if name in hidden:
            bound = cell.convention.setting(name) or "none"
            what, option = (
                f"{name.replace('_', ' ')} {bound}",
                f"--{name.replace('_', '-')}",
            )
            assumed.append(Assumption(what, "not stored in the weights", option))
    inside = given.get("bias") == "none" or cell.convention.storage.extra_columns
    return assumed + ([] if inside else _bias_assumptions(found))


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
    of_gate = {
        role: next(iter(n.values())) for role, n in names.items() if isinstance(n, dict)
    }
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
                Try({setting: value}, meaning)
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
    used = {name for one in found for name in one.tensors}.union(around)
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
    backward = {cell for cell in found.cells if cell[1]}
    settled = any(split_cell(setting)[1] == "reverse" for setting in given)
    if settled or not (row.scopes or row.pairs) or not backward - set(known):
        return []
    only_backward = len(backward) == len(found.cells)
    names = [normalise(name) for cell in sorted(backward) for name in found.names(cell)]
    certain = re.compile(rf"(^|_){row.pairs}(_|$)") if row.pairs else _TENSORFLOW_SCOPE
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
    settled = {*given, "go_backwards"} if runs.reverse else given
    missing = [name for name in found.convention.config(both) if name not in settled]
    if not missing:
        return []
    unusual = (
        "recurrent_activation" in missing and runs.recurrent_activation != "sigmoid"
    )
    typed = ("--recurrent-activation", "sigmoid for sigmoid") if unusual else ()
    what = ", ".join(texts[k] for k in missing)
    return [Assumption(what, "its config is not in the file", *typed)]


def _bias_assumptions(found: RecognisedLstm) -> list[str]:
    row = found.convention
    roles = {
        role.partition(".")[0] for role in (*row.names.tensors, *row.names.numbered)
    }
    roles &= {"bias", "recurrent_bias"}
    if not any(role in names for names in found.cells.values() for role in roles):
        return [Assumption("no bias", "none in the file")]
    assumed = []
    for cell, names in found.cells.items():
        where = f" in {cell_name(*cell)}" if len(found.cells) > 1 else ""
        for role in sorted(roles):
            tensor, lacking = names.get(role), f"no {role.replace('_', ' ')}"
            if tensor is None:
                assumed.append(f"{lacking}{where}")
            elif not isinstance(tensor, str):
                gates = set(row.storage.letters) - set(tensor) - set(row.storage.absent)
                assumed += [f"{lacking} of {gate}{where}" for gate in sorted(gates)]
    return assumed


def idle_settings(
    given: Settings,
    chosen: Sequence[RecognisedLstm],
    layers: Sequence[Sequence[Cell]],
    source: str,
    *,
    packed: bool,
    backward: Mapping[str, bool],
) -> list[str]:
    """One row per setting that changes nothing, as these weights lack what it is about.

    ``packed``: they are one vector. ``backward``: whether a cell runs backward
    without a setting.
    """
    each = [names for one in chosen for names in one.cells.values()]
    tensors = [item for names in each for item in names.items()]
    roles, cells = (
        {role for role, _ in tensors},
        [cell for layer in layers for cell in layer],
    )
    storage = cells[0].convention.storage
    peepholes = storage.peephole_columns or any(
        cell.peephole is not None for cell in cells
    )
    biases = {"bias", "recurrent_bias"} & roles or storage.extra_columns
    lacking = {  # reason: whether it holds, the settings that it makes idle
        "there is no fused kernel": ("fused" not in roles, "rows bias_row"),
        "each gate has tensors": (
            all(isinstance(names, Mapping) for _, names in tensors),
            "interleaved",
        ),
        "there is one direction": (
            all(len(one) == 1 for one in layers),
            "merge directions",
        ),
        "there are no peepholes": (
            not peepholes and "peephole" not in roles,
            "peepholes peephole_gates",
        ),
        "there is no bias": (
            not biases,
            f"bias_gates{' bias' * (given.get('bias') != 'none')}",
        ),
        "there is no projection": (
            all(cell.projection is None for cell in cells),
            "projection_clip",
        ),
        "f is 1 - i": (
            all(cell.convention.behaviour.coupled == "f=1-i" for cell in cells),
            "forget_bias",
        ),
        "the weights are not one vector of a convention that packs them": (
            not packed,
            "flat_units flat_layers flat_directions",
        ),
    }
    why = {
        name: why
        for why, (lacks, names) in lacking.items()
        if lacks
        for name in names.split()
    }
    goes_backwards = {
        cell_name(n, d): cell.convention.behaviour.go_backwards
        for n, layer in enumerate(layers)
        for d, cell in enumerate(layer)
    }
    for name in (name for name, value in given.items() if value is True):
        cell, setting = split_cell(name)
        names = [cell] if cell else [*backward]
        if setting == "reverse" and all(
            goes_backwards[name] or backward[name] for name in names
        ):
            why[name] = "the layer runs backward by itself"
    return _idle(given, why, source)


def idle_settings_of_run(
    given: Settings, source: str, *, masked: bool, started: bool
) -> list[str]:
    """One row per setting that changes nothing, as a run lacks what it is about.

    ``masked``: it has lengths or a mask. ``started``: it has an initial state.
    """
    no_padding = dict.fromkeys(
        ("masked_output", "lengths"), "there are no lengths and no mask"
    )
    why = {} if masked else no_padding
    why |= {} if started else {"initial_state": "there is no initial state"}
    return _idle(given, why, source)


def idle_without_lstm(given: Settings, source: str) -> list[str]:
    """One row per setting of a file without an LSTM."""
    return _idle(
        given, {split_cell(name)[1]: "there is no LSTM" for name in given}, source
    )


def idle_of_separate_lstms(given: Settings, source: str) -> list[str]:
    """A row for the head and the front of a file whose LSTMs do not run in turn."""
    reason = "its LSTMs do not run one after the other; --layer chooses one"
    return _idle(given, dict.fromkeys(("front", "head"), reason), source)


def _idle(given: Settings, why: Mapping[str, str], source: str) -> list[str]:
    return [
        f"{source}: {name}={setting_text(value)} changes nothing: {reason}."
        for name, value in given.items()
        if (reason := why.get(name) or why.get(split_cell(name)[1]))
    ]


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
    if kind in SEQUENCE_LENGTHS:
        return Assumption(
            f"{kind} not applied", f"its lengths come from {layer}", "--lengths"
        )
    tokens = kind == "Embedding"
    why = f"{kind} {'masks token 0' if tokens else 'with other layers between'}"
    return Assumption(
        f"mask of {layer} not applied", why, "--mask", "or --lengths" * tokens
    )


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
                Try({"layer": ...}, "runs one of them"),
                Try({"lengths": "ignored"}, "runs all steps of each"),
            ],
        )
    return lengths[0]


def shorten_assumption(text: str) -> str:
    """An assumption without its reason: ``forget bias +1 (--forget-bias)``."""
    if not isinstance(text, Assumption) or not text.option:
        return text
    return Assumption(text.what, option=text.option)
