"""Load a model from files: `formats` reads the files, `core` knows what an LSTM is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.core.model.arrays import Array, describe_not_finite
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.half_precision import ROUNDED, round_to_format
from lstmcli.core.model.model import Cell, Model, format_lengths
from lstmcli.core.model.settings import SETTINGS, read_setting, split_cell
from lstmcli.core.weights.assumptions import assumptions, direction_assumptions
from lstmcli.core.weights.decode import (
    Tensors,
    decode,
    fold_weight_norm,
    pair_directions,
    split_directions,
)
from lstmcli.core.weights.metadata import (
    METADATA_FORMATS,
    MetadataSettings,
    is_dense,
    is_in_group,
    layer_name,
    read_metadata,
)
from lstmcli.core.weights.recognise import (
    CellIndex,
    RecognisedLstm,
    choose_lstms,
    find_convention,
    recognise,
    training_copies,
)
from lstmcli.core.weights.templates import tensor_names
from lstmcli.errors import UserError, did_you_mean
from lstmcli.escaping import file_argument
from lstmcli.formats import Document
from lstmcli.formats.files.limits import raised_to
from lstmcli.formats.files.member import is_standard_input, split_member

Settings = dict[str, Any]

INPUT_NAMES = ("inputs", "x")
MOST_TENSORS = 1 << 15  # of all files together; to recognise and show each takes up to .2 ms
MOST_NAME = 1000  # characters: patterns of names are tried at every one
BFLOAT16 = "bfloat16"
STATE = "initial_state."
_FORWARD = "forward"  # of a backward cell that a file says runs forward; no setting of all cells
FIRST = 3  # arrays that a message lists of a file
_OPTIONAL = ("peephole", "projection", "norm_scale", "norm_shift")
_NOT_WEIGHTS = (*INPUT_NAMES, "lengths", "mask")


Reader = Callable[[Mapping[str, Any]], Model]


class Named(NamedTuple):
    """A path as it was typed: ``kernel=k.npy``, ``kernel=W.npz:W``, or one without a name."""

    path: str  # FILE, or FILE:MEMBER
    name: str | None = None

    @property
    def file(self) -> str:
        """The file without a member of it."""
        return split_member(self.path)[0]

    @classmethod
    def parse(cls, text: str) -> Named:
        """Split NAME=FILE, unless a file has all of it for its name; ``./a=b.npy`` is a file."""
        name, equals, path = text.partition("=")
        if not equals or os.path.lexists(split_member(text)[0]):
            return cls(text)
        if re.fullmatch(r"[A-Za-z_][\w.:/]*", name) and not name.startswith("./"):
            return cls(path, name)
        return cls(text)

    @property
    def typed(self) -> str:
        """The argument again, which no command takes for an option."""
        return file_argument(self.path) if self.name is None else f"{self.name}={self.path}"


def load(*paths: str, max_bytes: Any = None, **settings: Any) -> Model:
    """The model in some files, with settings by option name: ``load("w.npz", forget_bias=1.0)``.

    ``max_bytes`` (int) is the most that one tensor may take in memory, a GiB without. It is typed
    as the settings are, which come as ``**{"layer1.forget_bias": 1.0}``.

    Raises
    ------
    UserError
        for whatever is wrong with files, names, shapes or settings.
    """
    with raised_to(max_bytes):
        documents = [read_named(Named.parse(path), None) for path in paths]
    model = load_model(documents, checked(settings, "load"))
    refuse_unused(documents, model)
    return model


def reader(documents: Sequence[Document], settings: Mapping[str, Any]) -> Reader:
    """From further settings to the model in some documents: files are read once."""

    def reread(further: Mapping[str, Any]) -> Model:
        return load_model(documents, {**settings, **further})

    return reread


def refuse_unused(
    documents: Sequence[Document], model: Model | None, used: Collection[str] = ()
) -> None:
    """Refuse files of which nothing went into the model, or is ``used`` otherwise (by source).

    Raises
    ------
    UserError
        naming them all, with what they contain.
    """
    from_files = {*(model.sources if model else ()), *used}
    unused = [document for document in documents if document.source not in from_files]
    if not unused:
        return
    contents = "; ".join(f"{one.source} contains {_contents(one)}" for one in unused)
    names = ", ".join(one.source for one in unused)
    it = "it" if len(unused) == 1 else "them"
    arrays = [next(iter(one.arrays.values())) for one in unused if len(one.arrays) == 1]
    hint = f"Leave {it} out"
    if len(arrays) == len(unused):  # a single array each: it may be inputs, or lack its name
        takes = None if model is None else model.cell.inputs
        are_inputs = all(a.ndim > 1 and a.shape[-1] == takes for a in arrays)
        hint += "; a run takes one file of inputs" if are_inputs else ", or name it: bias=FILE"
    raise UserError(f"{names}: nothing in {it} is used; {contents}.", f"  {hint}.")


def _contents(document: Document) -> str:
    """The arrays of a document with their shapes; of many, the first and how many more."""
    words = [f"{name} {array.shape}" for name, array in document.arrays.items()]
    more = f" and {len(words) - FIRST} more" if len(words) > FIRST else ""
    return (", ".join(words[:FIRST]) or "no array") + more


def checked(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings as keywords of a function, read and checked."""
    return {k: v if k == "layer" else read_setting(k, v, where) for k, v in settings.items()}


def only_one_stdin(named: Sequence[Named], *others: str | None) -> None:
    """Refuse a second ``-`` among paths and options."""
    if sum(map(is_standard_input, (*(n.path for n in named), *others))) > 1:
        raise UserError("- (standard input) can be read only once; give the others as files.")


def read_named(named: Named, stdin: BinaryIO | None, *, in_blocks: bool = False) -> Document:
    """One file; a single array is named by NAME=FILE, else by the file's stem."""
    document = formats.read(named.path, stdin, in_blocks=in_blocks)
    refuse_gaps(document)
    if named.name is None and "" not in document.arrays:
        return document
    if "" not in document.arrays:
        if len(document.arrays) != 1:
            names = ", ".join(document.arrays) or "no arrays"
            raise UserError(
                f"{named.name}={named.path}: NAME=FILE needs a file with one array; "
                f"{named.path} has {names}."
            )
        return _renamed(document, next(iter(document.arrays)), str(named.name))
    stem = re.split(r"[/\\]", named.path)[-1].rsplit(".", 1)[0]
    return _renamed(document, "", named.name or stem)


def refuse_gaps(document: Document) -> None:
    """Refuse inputs and weights of which a table or JSON lines leave some out.

    Raises
    ------
    UserError
        naming what is missing.
    """
    steps, batch, columns = document.numbering
    for what, numbers in (("step", steps), ("batch", batch), *columns.items()):
        first = numbers[0] if numbers and what == "step" else 0
        for n, number in enumerate(numbers or ()):
            if number != first + n:
                lacking = f"{what} {first + n}" if what in ("step", "batch") else f"{what}[{n}]"
                raise UserError(f"{document.source}: {lacking} is missing.")


def _renamed(document: Document, old: str, new: str) -> Document:
    return replace(document, arrays={new if k == old else k: a for k, a in document.arrays.items()})


# ---- the model


def load_model(documents: Sequence[Document], settings: Mapping[str, Any]) -> Model:
    """The LSTM in some documents, under the settings that they and the caller give.

    Raises
    ------
    UserError
        if there is none, several without ``layer``, or shapes do not fit.
    """
    source = " + ".join(document.source for document in documents)
    tensors = tensors_in(documents)
    given: dict[str, Any] = {}
    for document in documents:
        if document.not_run:
            raise UserError(f"{document.source}: {document.not_run}")
        given |= settings_in(document)
    given |= settings
    layer = given.pop("layer", None)
    remarks = [remark for document in documents for remark in document.remarks]
    found = find_lstms(tensors, given.get("convention"), source, documents)
    if layer is None and (row := run_in_turn(found, documents)):
        layer = ",".join(map(str, row))
        names = " into ".join(found[n].label for n in row)
        remarks.append(f"{source} runs {names}, as its config says; --layer N picks one.")
    candidates = _candidates(found, tensors, documents, settings, asked=layer is not None)
    if layer is None:
        remarks += [f"{source}: {reason}" for reason in candidates.left_out.values()]
    try:
        word = None if layer is None else str(layer)
        chosen = choose_lstms(found, word, tensors, source, *candidates)
    except UserError as error:  # what was left out may be why
        configs = [
            f"{document.source} has only a config: give the file of weights with it."
            for document in documents
            if document.groups and not document.arrays
        ]
        why = () if found else (f"  {remark}" for remark in (*remarks, *configs))
        raise UserError(*error.lines, *why) from None
    if "convention" in given:
        _refuse_half(chosen, tensors, given["convention"], source)
    layers: list[tuple[Cell, ...]] = []
    assumed: list[str] = []
    labels: list[str] = []
    layout: dict[str, Any] = {}  # of the first LSTM, if a file has it; it feeds the others
    of_cells: dict[str, Any] = {}  # settings in files of one of two directions
    lengths: list[tuple[int, ...]] = []  # of each LSTM, where a file has them
    for one in chosen:
        metadata = {
            index: _known_first([_metadata(d, one, index) for d in documents])
            for index in one.cells
        }
        every = [each for per_file in metadata.values() for each in per_file]
        _refuse_unknown(every, given, source)
        lengths.append(next((each.lengths for each in every if each.lengths), ()))
        of_cells |= {
            f"layer{len(layers)}_reverse.{name}": value
            for each in every
            for name, value in each.backward.items()
            if name not in given
        }
        in_files = {index: _settings(per_file) for index, per_file in metadata.items()}
        settings_of = {
            index: _of_direction(one, index, settings) | layout | of_cells | given
            for index, settings in in_files.items()
        }
        cells = _layers(one, tensors, settings_of, source, len(layers))
        layers += cells
        labels += [one.label] * len(cells)
        of_first = next(iter(settings_of.values()))
        if one is chosen[0]:
            layout = {name: value for name, value in of_first.items() if name == "layout"}
        assumed += assumptions(one, cells[0][0], of_first)
        assumed += direction_assumptions(
            one, {index for index, settings in in_files.items() if "reverse" in settings}, given
        )
        assumed += [t for each in every for n, t in each.assumed.items() if n not in given]
        remarks += [remark for each in every for remark in each.remarks]
        if one is not chosen[-1] and any(each.last_step for each in every):
            remarks.append(f"{one.label} gives only its last step in its model; here, every step.")
    _check_chain(layers, labels if len(chosen) > 1 else [], source)
    _check_cells(layers, given)
    of_file = () if given.get("lengths") == "ignored" else _same_lengths(lengths, source)
    assumed += [lengths_assumed(of_file)] if of_file else []
    used = {name: tensors[name] for one in chosen for name in one.tensors}
    remarks += [r for name, a in used.items() if (r := describe_not_finite(a, f"{source}: {name}"))]
    return Model(
        tuple(layers),
        {name: array.shape for name, array in used.items()},
        assumed=tuple(dict.fromkeys(assumed)),
        given=layout | of_cells | given,
        lengths=of_file,
        remarks=tuple(dict.fromkeys(remarks)),
        labels=tuple(labels) if len(chosen) > 1 else (),
        sources=tuple(d.source for d in documents if _goes_into(d, chosen, tensors)),
    )


def lengths_assumed(lengths: Sequence[int]) -> str:
    """The line of ``assumed`` for lengths in a file."""
    return f"lengths {format_lengths(lengths)} (sequence_lens of the file; --lengths)"


def without_lengths(model: Model) -> Model:
    """The model for a run whose lengths, or mask, are given."""
    line = lengths_assumed(model.lengths)
    assumed = tuple(text for text in model.assumed if text != line)
    return replace(model, lengths=(), assumed=assumed)


def _same_lengths(lengths: Sequence[tuple[int, ...]], source: str) -> tuple[int, ...]:
    """The lengths in the file for its LSTMs; refused where they differ from one another."""
    if len({*lengths}) > 1:
        each = "; ".join(format_lengths(one) or "none" for one in lengths)
        raise UserError(
            f"{source}: LSTMs that run in turn have different lengths (sequence_lens): {each}.",
            "  --layer N runs one of them, --set lengths=ignored all steps of each.",
        )
    return lengths[0]


def _goes_into(
    document: Document, chosen: Sequence[RecognisedLstm], tensors: Mapping[str, Array]
) -> bool:
    """Whether a tensor or a setting of a document goes into the model of the chosen LSTMs."""
    if document.in_turn and len(chosen) > 1:
        return True
    if any(name in SETTINGS or name == "layer" for name in document.attributes):
        return True
    used = {name for one in chosen for name in one.tensors}
    names = set(document.arrays)
    # weight norm leaves W = g v / |v| under a third name
    if used & names or (used - names and any(n not in tensors and _is_weight(n) for n in names)):
        return True
    without_metadata = replace(document, groups={})
    return bool(document.groups) and any(
        _metadata(document, one, index) != _metadata(without_metadata, one, index)
        for one in chosen
        for index in one.cells
    )


def _is_weight(name: str) -> bool:
    return name not in _NOT_WEIGHTS and not name.startswith(STATE)


def load_one(
    found: RecognisedLstm,
    tensors: Mapping[str, Array],
    documents: Sequence[Document],
    settings: Mapping[str, Any],
) -> Model:
    """The model of one LSTM of several, from no other tensors.

    Names that two conventions share are taken in the first of them.

    Raises
    ------
    UserError
        if it cannot be read; the message starts with what is wrong.
    """
    first, *others = (replace(document, arrays={}) for document in documents)
    first = replace(first, arrays={name: tensors[name] for name in found.tensors})
    settled = {"convention": found.convention.name} if found.rivals else {}
    try:
        return load_model([first, *others], {**settings, **settled, "layer": "0"})
    except UserError as error:
        source = " + ".join(document.source for document in documents)
        raise UserError(str(error).removeprefix(f"{source}: ")) from None


def run_in_turn(found: Sequence[RecognisedLstm], documents: Sequence[Document]) -> list[int]:
    """The numbers of all LSTMs in the order in which the model of one document runs them.

    Nothing if no document tells of one model that has all of them.
    """
    for document in documents:
        row = [
            n
            for group in document.in_turn
            for n, one in enumerate(found)
            if all(is_in_group(name, group) for name in one.tensors)
        ]
        if len(row) > 1 and sorted(row) == list(range(len(found))):
            return row
    return []


class _Candidates(NamedTuple):
    """Which of several LSTMs count when one is to be chosen."""

    left_out: dict[int, str]  # the numbers of those that do not, and why
    in_turn: list[int]  # the numbers of the first that can run one after the other


def _candidates(
    found: Sequence[RecognisedLstm],
    tensors: Mapping[str, Array],
    documents: Sequence[Document],
    settings: Mapping[str, Any],
    asked: bool,
) -> _Candidates:
    """Leave out copies that training saved and, without ``asked`` (--layer), what cannot be read.

    If none can be read, all of them count.
    """
    if len(found) < 2:
        return _Candidates({}, [])
    names = [one.label or f"LSTM {n}" for n, one in enumerate(found)]
    left_out = {
        n: f"{names[n]} is a copy of {names[original]} that training saved; --layer {n} runs it."
        for n, original in training_copies(found, {k: a.shape for k, a in tensors.items()}).items()
    }
    if asked:
        return _Candidates(left_out, [])
    unread: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}  # inputs and outputs
    for n, one in enumerate(found):
        if n in left_out:
            continue
        try:
            model = load_one(one, tensors, documents, settings)
            sizes[n] = model.cell.inputs, _width(model.layers[-1])
        except UserError as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            unread[n] = f"{names[n]} is not read: {reason}."
    return _Candidates(left_out | unread if sizes else left_out, _fitting_row(sizes))


def _fitting_row(sizes: Mapping[int, tuple[int, int]]) -> list[int]:
    """The first LSTMs of which each takes what the one before gives, by inputs and outputs."""
    row: list[int] = []
    for n, (inputs, _) in sizes.items():
        if row and inputs != sizes[row[-1]][1]:
            if len(row) > 1:
                return row
            row = []
        row.append(n)
    return row if len(row) > 1 else []


def _width(layer: Sequence[Cell]) -> int:
    """How many numbers a step of a layer gives, its directions merged."""
    if layer[0].convention.behaviour.merge in ("sum", "mul", "ave"):
        return layer[0].outputs
    return sum(cell.outputs for cell in layer)


def _of_direction(found: RecognisedLstm, cell: CellIndex, settings: Settings) -> Settings:
    """The settings of a cell in files, with ``reverse`` where its index does not imply it.

    A backward cell runs backward by its index if there is a forward one; without, by ``reverse``.
    """
    layer, direction = cell
    if (layer, 1 - direction) not in found.cells:
        return {"reverse": True, **settings} if direction else settings
    reverse = settings.get("reverse")
    others = {name: value for name, value in settings.items() if name != "reverse"}
    if reverse is None or reverse is bool(direction):
        return others
    return others | ({_FORWARD: True} if direction else {"reverse": True})


def _refuse_unknown(
    words: Sequence[MetadataSettings], given: Mapping[str, Any], source: str
) -> None:
    """Refuse what a run cannot do as a file says it, unless the caller has settled it."""
    for one in words:
        for setting, message in one.unknown.items():
            if setting not in given:
                raise UserError(f"{source}: {message}")


def find_lstms(
    tensors: Mapping[str, Array],
    convention: str | None,
    source: str,
    documents: Sequence[Document] = (),
) -> list[RecognisedLstm]:
    """Every LSTM among the tensors, by the names of its documents; of one convention if given.

    Raises
    ------
    UserError
        for an unknown convention, or one whose names these are not.
    """
    shapes = {name: array.shape for name, array in tensors.items()}
    found = recognise(shapes, convention)
    if convention is None:
        groups = [document.groups for document in documents]
        found = [f for f in found if not any(is_dense(words, f.tensors) for words in groups)]
    if not found and convention is not None and (others := recognise(shapes)):
        raise _other_names(convention, others, source)
    for document in documents:
        layers = [layer_name(document.format, document.groups, one.tensors) for one in found]
        found = [replace(f, name=f.name or layer) for f, layer in zip(found, layers, strict=True)]
    return found


def _layers(
    found: RecognisedLstm,
    tensors: Mapping[str, Array],
    settings: Mapping[CellIndex, Mapping[str, Any]],
    source: str,
    first: int,
) -> list[tuple[Cell, ...]]:
    """The cells of one LSTM, layer by layer, forward before backward, each by its settings.

    ``first`` is the number of its first layer in the model.
    """
    given = next(iter(settings.values()))
    dtype = _dtype([tensors[name] for name in found.tensors], given.get("dtype"))
    to = given.get(ROUNDED) or (given.get("dtype") == BFLOAT16 and BFLOAT16)
    rounded = {k: round_to_format(tensors[k], to) for k in found.tensors} if to else tensors
    layers: dict[int, list[Cell]] = {}
    origin: dict[int, Tensors] = {}
    for (layer, direction), names in sorted(found.cells.items()):
        how = found.convention.changed(settings[layer, direction])
        if settings[layer, direction].get(_FORWARD):
            how = how.with_behaviour(forward=True)
        by_role = {role: _typed(name, rounded, dtype) for role, name in names.items()}
        for one in split_directions(by_role, how):
            cell = decode(one, how, source)
            layers.setdefault(layer, []).append(cell)
            origin[id(cell)] = one
    cells = [tuple(layer) for layer in layers.values()]
    cells = pair_directions(cells) if found.convention.storage.directions_count else cells
    by_cell = _cell_settings(given)
    return [
        tuple(
            decode(origin[id(cell)], _changed(cell.convention, changes, d == 1), source)
            if (changes := by_cell.get(f"layer{n}{'_reverse' * d}"))
            else cell
            for d, cell in enumerate(layer)
        )
        for n, layer in enumerate(cells, first)
    ]


def _metadata(document: Document, found: RecognisedLstm, cell: CellIndex) -> MetadataSettings:
    """What a file says of a cell of an LSTM; its mistakes under its name."""
    try:
        settings = read_metadata(document.format, document.groups, found.names(cell))
        return settings.of_convention(found.convention.takes)
    except UserError as error:
        raise error.within(document.source) from None


def _known_first(metadata: Sequence[MetadataSettings]) -> list[MetadataSettings]:
    """The metadata of each file on a cell, without assumptions on settings that another has."""
    known = {name for one in metadata for name in one.settings.keys() - one.assumed.keys()}
    replaced = [known & one.assumed.keys() for one in metadata]
    return [
        one._replace(
            settings={k: v for k, v in one.settings.items() if k not in names},
            assumed={k: v for k, v in one.assumed.items() if k not in names},
        )
        for one, names in zip(metadata, replaced, strict=True)
    ]


def _settings(metadata: Sequence[MetadataSettings]) -> Settings:
    """The settings of all files for one cell."""
    return {name: value for one in metadata for name, value in one.settings.items()}


def _cell_settings(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of single cells by cell: ``layer1_reverse.forget_bias``."""
    by_cell: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        cell, setting = split_cell(name)
        if cell:
            by_cell.setdefault(cell, {})[setting] = value
    return by_cell


def _changed(how: Convention, changes: Mapping[str, Any], backward: bool) -> Convention:
    """The convention of a cell with changed settings; a backward cell may be set to run forward."""
    forward = backward and changes.get("reverse") is False
    return how.changed(changes).with_behaviour(forward=forward)


def _typed(
    name: str | Mapping[str, str], tensors: Mapping[str, Array], dtype: np.dtype[Any]
) -> Array | dict[str, Array]:
    """A tensor, or the tensors of the gates, in the number type of the computation."""
    if isinstance(name, str):
        with np.errstate(all="ignore"):
            return tensors[name].astype(dtype)
    return {gate: tensors[one].astype(dtype) for gate, one in name.items()}


def _check_cells(layers: Sequence[tuple[Cell, ...]], given: Mapping[str, Any]) -> None:
    """Refuse a setting of a cell that is not there."""
    cells = [f"layer{n}{'_reverse' * d}" for n, la in enumerate(layers) for d in range(len(la))]
    for name in given:
        if (cell := split_cell(name)[0]) and cell not in cells:
            raise UserError(f"{name}: there is no cell {cell}; there is {', '.join(cells)}.")


def _check_chain(layers: Sequence[tuple[Cell, ...]], labels: Sequence[str], source: str) -> None:
    """Refuse a layer that does not take what the one below gives; they go by their names."""
    names = [f"layer {n}" for n in range(len(layers))]
    if len(set(labels)) == len(layers) and all(labels):
        names = list(labels)
    for name, layer in zip(names, layers, strict=True):
        _check_directions(layer, f"{source}: {name}")
    for n, (below, layer) in enumerate(pairwise(layers)):
        width = _width(below)
        if layer[0].inputs != width:
            raise UserError(
                f"{source}: {names[n + 1]} takes {layer[0].inputs} inputs, "
                f"but {names[n]} gives {width}."
            )


def _check_directions(layer: tuple[Cell, ...], where: str) -> None:
    """Refuse two directions that take other inputs, or whose outputs cannot be merged."""
    if len({cell.inputs for cell in layer}) > 1:
        forward, backward = (cell.inputs for cell in layer)
        raise UserError(
            f"{where} takes {forward} inputs forward and {backward} backward; both directions "
            "read the same."
        )
    merge = layer[0].convention.behaviour.merge
    if merge in ("sum", "mul", "ave") and len({cell.outputs for cell in layer}) > 1:
        forward, backward = (cell.outputs for cell in layer)
        raise UserError(
            f"{where} gives {forward} outputs forward and {backward} backward; merge {merge} needs "
            "as many of both. --merge concat puts them side by side."
        )


def tensors_in(documents: Sequence[Document]) -> dict[str, Array]:
    """The tensors of all documents by name, without those that are inputs or state."""
    tensors: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for document in documents:
        for name, array in document.arrays.items():
            if not _is_weight(name):
                continue
            if name in tensors:
                raise UserError(f"{name} is in both {origin[name]} and {document.source}.")
            if len(name) > MOST_NAME or len(tensors) == MOST_TENSORS:
                raise UserError(_beyond_measure(name, document.source))
            tensors[name], origin[name] = array, document.source
    return fold_weight_norm(tensors)


MOST_COMPARED = 1000  # attributes; of each, 0.2 ms go into looking whether it is nearly a setting


def _beyond_measure(name: str, source: str) -> str:
    if len(name) > MOST_NAME:
        length = f"{len(name):,} characters; names have {MOST_NAME:,} at most"
        return f"{source}: the name of a tensor, {name[:20]!a}..., has {length}."
    return f"{source} has more than {MOST_TENSORS:,} tensors. Save only those of the LSTM."


def settings_in(document: Document) -> dict[str, Any]:
    """The settings among a document's attributes, checked.

    A name that is nearly a setting's is a mistake; any other attribute is ignored.
    """
    settings: dict[str, Any] = {}
    if (dialect := METADATA_FORMATS.get(document.format)) and dialect.convention:
        settings["convention"] = dialect.convention
    compared = len(document.attributes) <= MOST_COMPARED
    for name, value in document.attributes.items():
        if name in SETTINGS or name == "layer":
            where = document.source
            settings[name] = value if name == "layer" else read_setting(name, value, where)
        elif name in ("kernel", "recurrent_kernel", "bias"):
            raise UserError(f"{document.source}: {name} is {value!r}, not an array of numbers.")
        elif compared and (near := did_you_mean(name, SETTINGS)):
            raise UserError(f"{document.source}: {name!r} is no setting.{near}")
    return settings


def _dtype(tensors: Sequence[Array], asked: str | None) -> np.dtype[Any]:
    """The number type of the computation: the weights', unless another is asked for."""
    if asked is not None:
        return np.dtype("float32" if asked == BFLOAT16 else asked)
    floats = [a.dtype for a in tensors if a.dtype.kind == "f"]
    return floats[0] if len(floats) == len(tensors) else np.dtype(np.float64)


def _refuse_half(
    chosen: Sequence[RecognisedLstm], tensors: Mapping[str, Array], convention: str, source: str
) -> None:
    """Refuse a convention that takes the kernel of another for all of the weights.

    Where there are many inputs, TensorFlow 1's fused kernel would be read from Keras' kernel.
    """
    others = recognise({name: array.shape for name, array in tensors.items()})
    split = [other for other in others if "recurrent_kernel" in next(iter(other.cells.values()))]
    for one in chosen:
        fuller = [other for other in split if set(other.tensors) > set(one.tensors)]
        if fuller and not any("recurrent_kernel" in names for names in one.cells.values()):
            raise _other_names(convention, fuller, source)


def _other_names(convention: str, found: list[RecognisedLstm], source: str) -> UserError:
    asked, fits = find_convention(convention), found[0].convention
    return UserError(
        f"{source} has the tensors of the convention {fits.name} ({_names_of(fits)}); "
        f"{asked.name} has {_names_of(asked)}.",
        f"  To read them as {fits.name} with other settings, leave out --convention: "
        f"--gates {asked.storage.gates} --forget-bias {asked.behaviour.forget_bias:g}",
    )


def _names_of(row: Convention) -> str:
    """A name of each role that nearly every LSTM has, as it stands in a file."""
    roles = [role for role in row.names.tensors if role not in _OPTIONAL]
    return ", ".join(tensor_names(row, role, "0")[0] for role in roles)
