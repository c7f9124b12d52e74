"""Which of the LSTMs in a file is run, and the advice where that is to be asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lstmcli.core.model.conventions import CONVENTIONS, Convention, find_convention
from lstmcli.core.model.model import cell_name
from lstmcli.core.weights.missing import describe_missing
from lstmcli.core.weights.recognise import describe_gru, recognise
from lstmcli.core.weights.templates import RecognisedLstm, Shapes, normalise
from lstmcli.errors import (
    ARRAY_LIST,
    ARRAYS,
    CallToTry,
    SettingsToTry,
    UserError,
    did_you_mean,
    listed,
)

TRAINING = re.compile(  # where training stores copies of a model
    r"(^|_)(callbacks?|\w*optimi[sz]ers?|averag(ed?|es|ing)|swa|ema|shadow)(_|$)", re.I
)
MOST_NAMED = 12  # tensors: three for each gate
_OPTIONAL = ("peephole", "projection", "norm_scale", "norm_shift")


def training_copies(found: Sequence[RecognisedLstm], shapes: Shapes) -> dict[int, int]:
    """The LSTMs that are copies of another in the file, each with the number of the original.

    A copy is under callbacks, an optimizer or averages, and has the convention
    and the shapes of an LSTM elsewhere.
    """
    originals: dict[str, int] = {}
    copies: dict[int, str] = {}
    for n, one in enumerate(found):
        extents = f"{one.convention.name} {[shapes[name] for name in one.tensors]}"
        if TRAINING.search(one.prefix):
            copies[n] = extents
        else:
            originals.setdefault(extents, n)
    return {
        n: originals[extents] for n, extents in copies.items() if extents in originals
    }


def choose_lstms(
    found: list[RecognisedLstm],
    layer: str | None,
    tensors: Collection[str],
    source: str,
    left_out: Mapping[int, str] = MappingProxyType({}),
    in_turn: Sequence[int] = (),
    convention: str | None = None,
) -> list[RecognisedLstm]:
    """The LSTM to run, or several to run one after the other (``layer="0,1"``).

    ``left_out``: the numbers of those that only ``layer`` can choose, and why;
    ``in_turn``: of those that can run one after the other, for advice;
    ``convention``: the requested one.
    """
    if not found:
        _refuse_open_shapes(tensors, source, convention)
        raise _nothing_found(tensors, source, convention)
    counted = [n for n in range(len(found)) if n not in left_out]
    if layer is None and len(counted) > 1:
        choices = _choices(found, counted)
        choices += [
            SettingsToTry({"layer": n}, reason) for n, reason in left_out.items()
        ]
        if len(in_turn) > 1:
            numbers = ",".join(map(str, in_turn))
            choices.append(
                SettingsToTry({"layer": numbers}, "runs them one after the other")
            )
        raise UserError(f"{source} has {len(counted)} LSTMs; choose one:", try_=choices)
    if layer is None:
        chosen = [found[n] for n in counted]
    else:
        words = layer.split(",")
        chosen = [_select_one(found, word, source, left_out) for word in words]
    for one in chosen:
        _check_complete(one, source)
        _check_alone(one, source)
    return chosen


def _refuse_open_shapes(
    tensors: Collection[str], source: str, convention: str | None
) -> None:
    """Refuse arrays that may be an LSTM in several ways, or only by name."""
    if not isinstance(tensors, Mapping) or convention is not None:
        return
    if not describe_missing(tensors):
        from lstmcli.core.weights.several_ways import refuse_ways  # rarely needed

        refuse_ways({name: array.shape for name, array in tensors.items()}, source)


def _check_alone(found: RecognisedLstm, source: str) -> None:
    """Refuse an LSTM of which several rows have the names."""
    if found.rivals:
        names = [found.convention.name]
        names.extend(found.rivals)
        raise UserError(
            f"{source}: {' and '.join(names)} store the same names; which is it?",
            try_=[
                SettingsToTry({"convention": n}, CONVENTIONS[n].title) for n in names
            ],
        )


def choose_layer(
    layers: Sequence[RecognisedLstm], layer: Any, source: str
) -> RecognisedLstm:
    """The layer of this number in all its directions; the only one if none is given.

    UserError for several: layers with skip connections between them cannot be
    run together.
    """
    word = "0" if layer is None and len(layers) == 1 else str(layer)
    if re.fullmatch(r"\d{1,9}", word) and int(word) < len(layers):
        _check_complete(layers[int(word)], source)
        return layers[int(word)]
    both = ", in both directions" if len(layers[0].cells) > 1 else ""
    raise UserError(
        f"{source}: a skip connection adds the inputs of each layer but the first to its outputs, "
        f"which no run does; one layer is run{both}.",
        try_=[SettingsToTry({"layer": n}) for n in range(len(layers))],
    )


def _check_complete(found: RecognisedLstm, source: str) -> None:
    for (layer, direction), slot in found.lacking.items():
        where = f"layer {layer}, backward" if direction else f"layer {layer}"
        raise UserError(
            f"{source}: {where} lacks its {slot.words}; its other tensors are there."
        )
    ways: dict[int, list[int]] = {}  # the directions of each layer
    for layer, direction in found.cells:
        ways.setdefault(layer, []).append(direction)
    for n, layer in enumerate(sorted(ways)):
        if n != layer:
            raise UserError(f"{source}: there is a layer {layer} but no layer {n}.")
        if ways[layer] != ways[0]:
            raise UserError(
                f"{source}: layer {layer} has other directions than layer 0."
            )


def _select_one(
    found: list[RecognisedLstm], word: str, source: str, left_out: Collection[int]
) -> RecognisedLstm:
    """The LSTM of this number, of this name, or with this among the parts of its name.

    A name's last parts go first: the framework may add others, as in
    ``encoder/lstm_cell``. A part and its number are one: ``lstm`` is not part
    of ``lstm_4``.
    """
    if re.fullmatch(r"\d{1,9}", word) and int(word) < len(found):
        return found[int(word)]
    matches = _matches(found, word)
    if not matches:
        raise _no_such_lstm(found, word, source)
    if len(matches) > 1:
        matches = [n for n in matches if n not in left_out] or matches
    if len(matches) > 1:
        text = (
            f"it is part of the names of {len(matches)} LSTMs of {source}; choose one:"
        )
        raise UserError(text, about={"layer": word}, try_=_choices(found, matches))
    return found[matches[0]]


def _matches(found: Sequence[RecognisedLstm], word: str) -> list[int]:
    """The numbers of the LSTMs that a word names best."""
    plain = normalise(word)
    if not plain:
        return []
    labels = [normalise(one.label) for one in found]
    last_parts = f"(?:.*_)?{re.escape(plain)}"
    for form in (re.escape(plain), last_parts, rf"{last_parts}_(?!\d).*"):
        matches = [n for n, label in enumerate(labels) if re.fullmatch(form, label)]
        if matches:
            return matches
    return []


def _no_such_lstm(found: Sequence[RecognisedLstm], word: str, source: str) -> UserError:
    _refuse_cell(found, word, source)
    labels, plain = [one.label for one in found], normalise(word)
    parts = [label for label in labels if plain and plain in normalise(label)]
    near = did_you_mean(word, labels)
    if len(parts) == 1:
        near = f" Did you mean '{parts[0]}'?"
    return UserError(
        f"{source} has no such LSTM.{near}",
        about={"layer": word},
        try_=_choices(found, range(len(found))),
    )


def _refuse_cell(found: Sequence[RecognisedLstm], word: str, source: str) -> None:
    """Refuse a layer of the only LSTM, which ``layer`` does not split."""
    if len(found) > 1:
        return
    names = [cell_name(*cell) for cell in found[0].cells]
    if len(names) == 1 or not {word, f"layer{word}"} & {*names}:
        return
    count = len({layer for layer, _ in found[0].cells})
    layers = "1 layer" if count == 1 else f"{count} layers"
    raise UserError(
        f"{source} has one LSTM, of {layers}; its cells are {', '.join(names)}, of which run, "
        "plot and derive show one.",
        about={"layer": word},
        try_={"cell": word if word in names else f"layer{word}"},
    )


def layer_options(found: Sequence[RecognisedLstm]) -> list[str]:
    """Return what ``layer`` takes for each LSTM: its label if that is unique, else its number.

    A label of digits would be a number, one with a comma several.
    """
    labels = [one.label for one in found]
    counts = Counter(normalise(label) for label in labels)
    options = []
    for n, label in enumerate(labels):
        plain = normalise(label)
        is_unique = plain != "" and counts[plain] == 1
        is_plain = not label.isdigit() and "," not in label
        options.append(label if is_unique and is_plain else str(n))
    return options


def _choices(
    found: Sequence[RecognisedLstm], numbers: Iterable[int]
) -> list[SettingsToTry]:
    return [SettingsToTry({"layer": n}, found[n].label) for n in numbers]


def _nothing_found(
    tensors: Collection[str], source: str, convention: str | None
) -> UserError:
    if not tensors:
        order = "  The weights come first, then the inputs."
        return UserError(f"{source} has no tensors of an LSTM.", order)
    gru = describe_gru(tensors)
    if gru:
        return UserError(f"{source}: {gru}.")
    rows = [find_convention(convention)] if convention else None
    missing = describe_missing(tensors, rows)
    if missing:
        needed = (
            "  A cell needs all its tensors: save them all, or give the other file too."
        )
        return UserError(f"{source}: {missing}.", needed)
    shown = listed([*tensors], 8)
    tables = {
        "Keras": "kernel, recurrent_kernel, bias",
        "TensorFlow 1": "kernel, bias",
        "PyTorch": "weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0",
        "gate by gate": "Wi, Ui, bi, Wf, Uf, bf, Wg, Ug, bg, Wo, Uo, bo",
    }
    if rows:
        tables = {rows[0].name: _names_of(rows[0])}
    ways = {
        "To name the tensor of a .npy file": ["kernel=k.npy", "bias=b.npy"],
        "To name a tensor of another file": ["kernel=w.npz:W", "bias=w.npz:b"],
    }
    return UserError(
        f"{source} has {shown}; no LSTM is recognised in these names.",
        *(f"  {name:<12}  {names}" for name, names in tables.items()),
        try_=[
            CallToTry("run", files, ["x.npy"], text=text)
            for text, files in ways.items()
            if source not in (ARRAYS, ARRAY_LIST)
        ],
    )


def fitting_in_turn(sizes: Mapping[int, tuple[int, int]]) -> list[int]:
    """The first LSTMs that fit each other in turn, by inputs and outputs."""
    row: list[int] = []
    for n, (inputs, _) in sizes.items():
        if row and inputs != sizes[row[-1]][1]:
            if len(row) > 1:
                return row
            row = []
        row.append(n)
    return row if len(row) > 1 else []


def refuse_partial(
    chosen: Sequence[RecognisedLstm], shapes: Shapes, convention: str, source: str
) -> None:
    """Refuse a convention that takes the kernel of another for all of the weights.

    With many inputs, TensorFlow 1's fused kernel would be read from Keras'
    kernel.
    """
    split = [other for other in recognise(shapes) if "recurrent_kernel" in other.roles]
    for one in chosen:
        fuller = [other for other in split if set(other.tensors) > set(one.tensors)]
        if fuller and "recurrent_kernel" not in one.roles:
            raise other_names(convention, fuller, source)


def other_names(convention: str, found: list[RecognisedLstm], source: str) -> UserError:
    """The error for tensors with the names of another convention."""
    asked, fits = find_convention(convention), found[0].convention
    names = listed(found[0].tensors, MOST_NAMED)
    text = (
        f"{source} has the tensors of the convention {fits.name} ({names}); {asked.name} has "
        f"{_names_of(asked)}."
    )
    settings = {name: asked.setting(name) for name in ("gates", "forget_bias")}
    settings["convention"] = None
    return UserError(
        text,
        try_=[
            SettingsToTry(settings, f"{fits.name} with the settings of {asked.name}")
        ],
    )


def _names_of(row: Convention) -> str:
    """The names of the tensors that nearly every LSTM has, as in a file."""
    names: list[str] = []
    for role in row.names.tensors:
        of_role = row.tensor_names(role, "0")
        if not row.names.is_per_gate(role):
            del of_role[1:]  # other forms
        if role not in _OPTIONAL:
            names.extend(of_role)
    return listed(names, MOST_NAMED)
