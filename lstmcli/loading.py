"""From what a command line names to a model, its inputs and its state.

The joint between formats, which know files and no LSTM, and core, which knows an LSTM and no
files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.core.conventions import Convention
from lstmcli.core.decode import Tensors, decode, directions, fold_weight_norm, paired
from lstmcli.core.dialects import DIALECTS, Told, called, told
from lstmcli.core.model import Cell, Model
from lstmcli.core.recognise import Found, Place, choose, find_convention, recognise
from lstmcli.core.rounding import to_bfloat16
from lstmcli.core.settings import SETTINGS, of_cell, read_setting
from lstmcli.core.spelling import spelled
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import Document, StepStream

Array = npt.NDArray[Any]
Settings = dict[str, Any]

INPUT_NAMES = ("inputs", "x")
BFLOAT16 = "bfloat16"
STATE = "initial_state."
_OPTIONAL = ("peephole", "projection", "norm_scale", "norm_shift")
_NOT_WEIGHTS = (*INPUT_NAMES, "lengths", "mask")


Reader = Callable[[Mapping[str, Any]], Model]


class Job(NamedTuple):
    """All that a run needs, as read."""

    model: Model
    inputs: Array | StepStream
    name: str  # what messages call the inputs; "" where there are none
    initial_state: Mapping[str, Array]
    lengths: Array | None = None
    mask: Array | None = None
    reread: Reader | None = None  # the model under further settings


class Named(NamedTuple):
    """A path as it was typed: ``kernel=k.npy``, or a path alone."""

    path: str
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Named:
        """Split NAME=FILE; a word before ``=`` is always a name, so ``./a=b.npy`` is a file."""
        name, equals, path = text.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][\w.:/]*", name) and not name.startswith("./"):
            return cls(path, name)
        return cls(text)


def load_job(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    *,
    stdin: BinaryIO | None = None,
    initial_state: str | None = None,
    lengths: str | None = None,
    mask: str | None = None,
    inputs_needed: bool = True,
) -> Job:
    """Read a model and its inputs: like ``cp``, the last path is the inputs.

    Where they are not needed and nobody gives them, they are an empty array without a name.

    Raises
    ------
    UserError
        for whatever is wrong with paths, files, names or shapes.
    """
    weights, inputs = split_paths(paths)
    only_one_stdin([*weights, *inputs], initial_state, lengths, mask)
    documents = [read_named(named, stdin) for named in weights]
    if inputs_needed or inputs or _hold_inputs(documents):
        x, name, holder = _read_inputs(inputs, documents, stdin)
    else:
        x, name, holder = np.empty(0), "", None
    if holder is not None and holder not in documents:
        settings = {**settings_in(holder), **settings}

    reread = reader(documents, settings)
    return Job(
        reread({}),
        x,
        name,
        _initial_state(initial_state, [*documents, *([holder] if holder else [])], stdin),
        _lengths(lengths, holder, stdin),
        _beside("mask", mask, holder, stdin),
        reread,
    )


def load(*paths: str, **settings: Any) -> Model:
    """The model in some files, with settings by option name: ``load("w.npz", forget_bias=1.0)``.

    Raises
    ------
    UserError
        for whatever is wrong with files, names, shapes or settings.
    """
    documents = [read_named(Named.parse(path), None) for path in paths]
    return load_model(documents, checked(settings, "load"))


def reader(documents: Sequence[Document], settings: Mapping[str, Any]) -> Reader:
    """From further settings to the model in some documents: files are read once."""

    def reread(further: Mapping[str, Any]) -> Model:
        return load_model(documents, {**settings, **further})

    return reread


def checked(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings as keywords of a function, read and checked."""
    return {k: v if k == "layer" else read_setting(k, v, where) for k, v in settings.items()}


def split_paths(paths: Sequence[str]) -> tuple[list[Named], list[Named]]:
    """The weights, and the inputs if a path of their own names them."""
    named = [Named.parse(path) for path in paths]
    inputs = [n for n in named if n.name in INPUT_NAMES]
    if len(inputs) > 1:
        raise UserError(f"inputs are named twice: {inputs[0].path} and {inputs[1].path}.")
    if not inputs and len(named) > 1 and named[-1].name is None:
        inputs = [named[-1]]
    return [n for n in named if all(n is not i for i in inputs)], inputs


def only_one_stdin(named: Sequence[Named], *others: str | None) -> None:
    """Refuse a second ``-`` among paths and options."""
    if [*(n.path for n in named), *others].count("-") > 1:
        raise UserError("- (standard input) can be read only once; give the others as files.")


def read_named(named: Named, stdin: BinaryIO | None) -> Document:
    """One file; a lone array gets its name from NAME=FILE, else from the file's stem."""
    document = formats.read(named.path, stdin)
    if named.name is None and "" not in document.arrays:
        return document
    if "" not in document.arrays:
        if len(document.arrays) != 1:
            held = ", ".join(document.arrays) or "no arrays"
            raise UserError(
                f"{named.name}={named.path}: a name goes with one array; this file holds {held}."
            )
        return _renamed(document, next(iter(document.arrays)), str(named.name))
    stem = re.split(r"[/\\]", named.path)[-1].rsplit(".", 1)[0]
    return _renamed(document, "", named.name or stem)


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
    try:
        chosen = choose(found, None if layer is None else str(layer), tensors, source)
    except UserError as error:  # what was left out may be why
        raise UserError("\n  ".join([str(error), *([] if found else remarks)])) from None
    layers: list[tuple[Cell, ...]] = []
    assumed: list[str] = []
    labels: list[str] = []
    laid: dict[str, Any] = {}  # the axes of the first, if a file tells them; it feeds the others
    for one in chosen:
        words = {place: [_told(d, one.names(place)) for d in documents] for place in one.cells}
        every = [each for own in words.values() for each in own]
        _refuse_unknown(every, given, source)
        settings_of = {place: _settings(own) | laid | given for place, own in words.items()}
        cells = _layers(one, tensors, settings_of, source, len(layers))
        layers += cells
        labels += [one.label] * len(cells)
        said = next(iter(settings_of.values()))
        if one is chosen[0]:
            laid = {name: value for name, value in said.items() if name == "layout"}
        assumed += _assumed(one, cells[0][0], said)
        assumed += [t for each in every for n, t in each.assumed.items() if n not in given]
        remarks += [remark for each in every for remark in each.remarks]
        if one is not chosen[-1] and any(each.last_step for each in every):
            remarks.append(f"{one.label} gives only its last step in its model; here, every step.")
    _check_chain(layers, labels if len(chosen) > 1 else [], source)
    _check_cells(layers, given)
    used = {name: tensors[name] for one in chosen for name in one.tensors}
    remarks += [r for name, a in used.items() if (r := not_finite(a, f"{source}: {name}"))]
    return Model(
        tuple(layers),
        {name: array.shape for name, array in used.items()},
        assumed=tuple(dict.fromkeys(assumed)),
        given=laid | given,
        remarks=tuple(dict.fromkeys(remarks)),
        labels=tuple(labels) if len(chosen) > 1 else (),
    )


def _refuse_unknown(words: Sequence[Told], given: Mapping[str, Any], source: str) -> None:
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
) -> list[Found]:
    """Every LSTM among the tensors, by the names of its documents; of one convention if given.

    Raises
    ------
    UserError
        for an unknown convention, or one whose names these are not.
    """
    shapes = {name: array.shape for name, array in tensors.items()}
    found = recognise(shapes, convention)
    if not found and convention is not None and (others := recognise(shapes)):
        raise UserError(_other_names(convention, others, source))
    for document in documents:
        layers = [called(document.format, document.groups, one.tensors) for one in found]
        found = [replace(f, name=f.name or layer) for f, layer in zip(found, layers, strict=True)]
    return found


def _layers(
    found: Found,
    tensors: Mapping[str, Array],
    said: Mapping[Place, Mapping[str, Any]],
    source: str,
    first: int,
) -> list[tuple[Cell, ...]]:
    """The cells of one LSTM, layer by layer, forward before backward, each as is said of it.

    ``first`` is the number of its first layer in the model.
    """
    given = next(iter(said.values()))
    dtype = _dtype([tensors[name] for name in found.tensors], given.get("dtype"))
    brain = given.get("dtype") == BFLOAT16
    rounded = {k: to_bfloat16(tensors[k]) for k in found.tensors} if brain else tensors
    layers: dict[int, list[Cell]] = {}
    origin: dict[int, Tensors] = {}
    for (layer, direction), names in sorted(found.cells.items()):
        how = found.convention.changed(said[layer, direction])
        held = {role: _typed(name, rounded, dtype) for role, name in names.items()}
        for one in directions(held, how):
            cell = decode(one, how, source)
            layers.setdefault(layer, []).append(cell)
            origin[id(cell)] = one
    cells = [tuple(layer) for layer in layers.values()]
    cells = paired(cells) if found.convention.directions_count else cells
    apart = _apart(given)
    return [
        tuple(
            decode(origin[id(cell)], cell.convention.changed(own), source)
            if (own := apart.get(f"layer{n}{'_reverse' * d}"))
            else cell
            for d, cell in enumerate(layer)
        )
        for n, layer in enumerate(cells, first)
    ]


def _told(document: Document, names: Sequence[str]) -> Told:
    """What a file says of the cell with tensors of these names; its mistakes under its name."""
    try:
        return told(document.format, document.groups, names)
    except UserError as error:
        raise UserError(f"{document.source}: {error}") from None


def _settings(words: Sequence[Told]) -> Settings:
    """What the files say of one cell, together."""
    return {name: value for said in words for name, value in said.settings.items()}


def _apart(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of one cell alone: ``layer1_reverse.forget_bias``."""
    apart: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        cell, setting = of_cell(name)
        if cell:
            apart.setdefault(cell, {})[setting] = value
    return apart


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
        if (cell := of_cell(name)[0]) and cell not in cells:
            raise UserError(f"{name}: there is no cell {cell}; there is {', '.join(cells)}.")


def _check_chain(layers: Sequence[tuple[Cell, ...]], labels: Sequence[str], source: str) -> None:
    """Refuse a layer that does not take what the one below gives; they go by their names."""
    names = [f"layer {n}" for n in range(len(layers))]
    if len(set(labels)) == len(layers) and all(labels):
        names = list(labels)
    for n, (below, layer) in enumerate(pairwise(layers)):
        width = sum(cell.outputs for cell in below)
        if below[0].convention.merge in ("sum", "mul", "ave"):
            width = below[0].outputs
        if layer[0].inputs != width:
            raise UserError(
                f"{source}: {names[n + 1]} takes {layer[0].inputs} inputs, "
                f"but {names[n]} gives {width}."
            )


def tensors_in(documents: Sequence[Document]) -> dict[str, Array]:
    """The tensors of all documents by name, without those that are inputs or state."""
    tensors: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for document in documents:
        for name, array in document.arrays.items():
            if name in _NOT_WEIGHTS or name.startswith(STATE):
                continue
            if name in tensors:
                raise UserError(f"{name} is in both {origin[name]} and {document.source}.")
            tensors[name], origin[name] = array, document.source
    return fold_weight_norm(tensors)


def settings_in(document: Document) -> dict[str, Any]:
    """The settings among a document's attributes, checked.

    A name that is nearly a setting's is a mistake; any other attribute is the file's own affair.
    """
    settings: dict[str, Any] = {}
    if (dialect := DIALECTS.get(document.format)) and dialect.convention:
        settings["convention"] = dialect.convention
    for name, value in document.attributes.items():
        if name in SETTINGS or name == "layer":
            where = document.source
            settings[name] = value if name == "layer" else read_setting(name, value, where)
        elif name in ("kernel", "recurrent_kernel", "bias"):
            raise UserError(f"{document.source}: {name} is {value!r}, not an array of numbers.")
        elif near := did_you_mean(name, SETTINGS):
            raise UserError(f"{document.source}: {name!r} is no setting.{near}")
    return settings


def _dtype(tensors: Sequence[Array], asked: str | None) -> np.dtype[Any]:
    """The number type of the computation: the weights', unless another is asked for."""
    if asked is not None:
        return np.dtype("float32" if asked == BFLOAT16 else asked)
    floats = [a.dtype for a in tensors if a.dtype.kind == "f"]
    return floats[0] if len(floats) == len(tensors) else np.dtype(np.float64)


def _assumed(found: Found, cell: Cell, given: Mapping[str, Any]) -> list[str]:
    """What neither a tensor nor a setting said."""
    said = []
    row = found.convention
    if "convention" not in given and row.telling and not re.search(row.telling, found.prefix):
        said.append(f"{row.name}, for want of a telling name (or --convention)")
    hidden = [name for name in row.hidden if name not in given]
    if "forget_bias" in hidden:
        amount = f"{cell.convention.forget_bias:+}"
        said.append(f"forget bias {amount} (in no tensor; --forget-bias sets it)")
    said += _in_no_config(found, cell.convention, given)
    for name in ("cell_clip", "gate_clip", "projection_clip"):
        if name in hidden:
            bound = getattr(cell.convention, name)
            words = name.replace("_", " ")
            option = name.replace("_", "-")
            said.append(f"{words} {'none' if bound is None else bound:} (or --{option})")
    return said + ([] if given.get("bias") == "none" else _no_bias(found))


def _in_no_config(found: Found, how: Convention, given: Mapping[str, Any]) -> list[str]:
    """What a layer's config would tell, of rows whose files may be without it: one line."""
    both = any(direction for _, direction in found.cells)
    words = {
        "recurrent_activation": f"{how.recurrent_activation} gates",
        "activation": how.activation,
        "merge": f"merge {how.merge}",
        "go_backwards": "forward",
    }
    open_ = [words[name] for name in found.convention.config(both) if name not in given]
    return [f"{', '.join(open_)} (its config is not in the file)"] if open_ else []


def _no_bias(found: Found) -> list[str]:
    """The biases that the row has names for and the file does not hold."""
    row = found.convention
    roles = {role.partition(".")[0] for role in (*row.tensors, *row.numbered)}
    roles &= {"bias", "recurrent_bias"}
    if not any(role in names for names in found.cells.values() for role in roles):
        return ["no bias (none in the file)"]
    said = []
    for (layer, direction), names in found.cells.items():
        where = f" in layer{layer}{'_reverse' * direction}" if len(found.cells) > 1 else ""
        for role in sorted(roles):
            held = names.get(role)
            if held is None:
                said.append(f"no {role.replace('_', ' ')}{where}")
            elif not isinstance(held, str):
                gates = set(row.letters) - set(held) - set(row.absent)
                said += [f"no {role.replace('_', ' ')} of {gate}{where}" for gate in sorted(gates)]
    return said


LOOKED_AT = 8 << 20  # numbers at a time, so that a mapped file stays on disk


def not_finite(array: Array, name: str) -> str:
    """A remark on the first number that is NaN or infinite, or an empty string."""
    if array.dtype.kind != "f" or not array.size:
        return ""
    array = np.atleast_1d(array)
    size = max(1, LOOKED_AT // array[0].size)
    where, count = None, 0
    for first in range(0, len(array), size):
        bad = ~np.isfinite(array[first : first + size])
        if bad.any():
            count += int(bad.sum())
            place = [int(n) for n in np.argwhere(bad)[0]]
            where = where or [first + place[0], *place[1:]]
        formats.release(array)
    if where is None:
        return ""
    others = f", and {count - 1} more" if count > 1 else ""
    return f"{name} holds {array[tuple(where)]} at {where}{others}; the run goes on with it."


def _other_names(convention: str, found: list[Found], source: str) -> str:
    asked, fits = find_convention(convention), found[0].convention
    return (
        f"{source} has the tensors of the convention {fits.name} ({_names_of(fits)}); "
        f"{asked.name} has {_names_of(asked)}.\n"
        f"  To read them as {fits.name} with other settings, leave out --convention: "
        f"--gates {asked.gates} --forget-bias {asked.forget_bias:g}"
    )


def _names_of(row: Convention) -> str:
    """A name of each role that nearly every LSTM has, as it stands in a file."""
    roles = [role for role in row.tensors if role not in _OPTIONAL]
    return ", ".join(spelled(row, role, "0")[0] for role in roles)


# ---- inputs, state, lengths


def _read_inputs(
    inputs: Sequence[Named], documents: Sequence[Document], stdin: BinaryIO | None
) -> tuple[Array | StepStream, str, Document | None]:
    """The inputs, what messages call them, and the document that holds them."""
    if not inputs:
        return _inputs_within(documents)
    path = inputs[0].path
    source = formats.read_or_stream(path, stdin)
    if isinstance(source, StepStream):
        return source, "standard input", None
    return _inputs_of(source), source.source, source


def _hold_inputs(documents: Sequence[Document]) -> bool:
    return any(name in document.arrays for document in documents for name in INPUT_NAMES)


def _inputs_of(document: Document) -> Array:
    for name in (*INPUT_NAMES, ""):
        if name in document.arrays:
            return document.arrays[name]
    if len(document.arrays) == 1:
        return next(iter(document.arrays.values()))
    held = ", ".join(document.arrays)
    if not held:
        raise UserError(f"{document.source} holds no array of numbers; inputs are (steps, inputs).")
    hint = ""
    if recognise({name: array.shape for name, array in document.arrays.items()}):
        hint = "\n  It holds weights: the last path is the inputs, those before it are the weights."
    raise UserError(
        f"{document.source} holds {held}; the inputs are a member named inputs, or x.{hint}"
    )


def _inputs_within(documents: Sequence[Document]) -> tuple[Array, str, Document]:
    for document in documents:
        for name in INPUT_NAMES:
            if name in document.arrays:
                return document.arrays[name], f"{document.source}: {name}", document
    source = " + ".join(document.source for document in documents)
    raise UserError(
        f"{source}: no inputs. They come last, or one file alone has a member inputs:\n"
        f"  lstm run {' '.join(d.source for d in documents)} inputs.npy"
    )


def _initial_state(
    path: str | None, documents: Sequence[Document], stdin: BinaryIO | None
) -> dict[str, Array]:
    """h and c from a file, or from the documents already read; empty if nobody gives them."""
    if path is not None:
        return read_state(formats.read(path, stdin))
    for document in reversed(documents):
        state = _members(document, (f"{STATE}h", f"{STATE}c"))
        if state:
            return state
    return {}


def read_state(document: Document) -> dict[str, Array]:
    """The state that a file holds: h and c, final_h and final_c, or a trace's last step.

    Raises
    ------
    UserError
        if either is missing.
    """
    for names in ((f"{STATE}h", f"{STATE}c"), ("final_h", "final_c"), ("h", "c")):
        if state := _members(document, names):
            if document.layout is not None:  # a table or JSON lines: the last step of a trace
                state = {k: a[-1] for k, a in state.items()}
            return state
    held = ", ".join(name or "one array without a name" for name in document.arrays) or "no arrays"
    raise UserError(f"{document.source} holds {held}; a state has h and c, or final_h and final_c.")


def _members(document: Document, names: tuple[str, str]) -> dict[str, Array]:
    held = [name for name in names if name in document.arrays]
    if len(held) == 1:
        lacking = next(name for name in names if name not in held)
        raise UserError(f"{document.source} holds {held[0]} and lacks {lacking}; a state has both.")
    return {k: document.arrays[name] for k, name in zip("hc", held, strict=False)}


def _lengths(given: str | None, holder: Document | None, stdin: BinaryIO | None) -> Array | None:
    """Lengths as ``N,N,...``, from a file, or from the member beside the inputs."""
    if given is not None and re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", given):
        return np.array([int(n) for n in given.split(",")])
    if given is not None and "," in given:
        raise UserError(f"--lengths {given}: takes whole numbers from 0 on, one for each row.")
    lengths = _beside("lengths", given, holder, stdin)
    return None if lengths is None else np.ravel(lengths)


def _beside(
    name: str, path: str | None, holder: Document | None, stdin: BinaryIO | None
) -> Array | None:
    """An array from a file of its own, or from the member of that name beside the inputs."""
    if path is None:
        return None if holder is None else holder.arrays.get(name)
    arrays = formats.read(path, stdin).arrays
    array = arrays.get(name, next(iter(arrays.values()), None))
    if array is None:
        raise UserError(f"--{name} {path}: the file holds no array.")
    return array
