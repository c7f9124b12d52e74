"""Weights and inputs as they are given: paths, what Python callers pass, and what is in them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from types import UnionType
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import parse_indices
from lstmcli.core.model.model import Model
from lstmcli.core.model.selection import split_names
from lstmcli.core.model.settings import SETTINGS, read_setting
from lstmcli.core.weights.decode import fold_weight_norm
from lstmcli.core.weights.metadata import METADATA_FORMATS
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import (
    ARRAY_LIST,
    ARRAYS,
    Try,
    UserError,
    did_you_mean,
    listed,
    refuse_unprintable,
)
from lstmcli.escaping import file_argument
from lstmcli.formats import Document
from lstmcli.formats.files.sidecars import is_source, is_standard_input, split_member

MAX_LISTED = 3  # arrays of a file that a message lists


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
        """Split NAME=FILE at the first ``=``, unless FILE or FILE:MEMBER is all of it."""
        name, equals, path = text.partition("=")
        if not (name and equals) or is_source(split_member(text)[0]):
            return cls(text)
        return cls(path, name)

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Let an error about a file that does not exist name the whole argument."""
        try:
            yield
        except UserError as error:
            if self.name is None or is_source(self.file):
                raise
            hint = f"  What stands before the first = is a name: {self.name}."
            raise error.within(self.typed).adding(hint) from None

    @property
    def typed(self) -> str:
        """The argument again, which no command takes for an option."""
        return file_argument(self.path) if self.name is None else f"{self.name}={self.path}"


def only_one_stdin(named: Sequence[Named], *others: str | None) -> None:
    """Refuse a second ``-`` among paths and options."""
    if sum(map(is_standard_input, (*(n.path for n in named), *others))) > 1:
        raise UserError("- (standard input) can be read only once; give the others as files.")


def read_named(named: Named, stdin: BinaryIO | None, *, in_blocks: bool = False) -> Document:
    """One file; a single array is named by NAME=FILE, else by the file's stem."""
    with named.in_errors():
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
    """Refuse inputs and weights of which a table or JSON lines leave some out."""
    steps, batch, columns = document.numbering
    for what, numbers in (("step", steps), ("batch", batch), *columns.items()):
        first = numbers[0] if numbers and what == "step" else 0
        for n, number in enumerate(numbers or ()):
            if number != first + n:
                lacking = f"{what} {first + n}" if what in ("step", "batch") else f"{what}[{n}]"
                raise UserError(f"{document.source}: {lacking} is missing.")


def _renamed(document: Document, old: str, new: str) -> Document:
    return replace(document, arrays={new if k == old else k: a for k, a in document.arrays.items()})


def refuse_unused(
    documents: Sequence[Document],
    model: Model | None,
    used: Collection[str] = (),
    inputs: str = "",
) -> None:
    """Refuse files of which nothing went into the model, or is ``used`` otherwise (by source).

    ``inputs`` is the file that is taken as the inputs: it may be outputs, and an unused one inputs.
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
        if are_inputs and inputs:
            weights = [one.source for one in documents if one.source in from_files]
            verb = "is" if len(unused) == 1 else "are"
            raise UserError(
                f"{inputs} is taken as the inputs; {names} {verb} not used.",
                f"  Give one file of inputs. If {inputs} has outputs to compare a run with:",
                try_=[Try(call="explain", weights=weights, others=[unused[0].source, inputs])],
            )
        hint += "; a run takes one file of inputs" if are_inputs else ", or name it: bias=FILE"
    raise UserError(f"{names}: nothing in {it} is used; {contents}.", f"  {hint}.")


def _contents(document: Document) -> str:
    """The arrays of a document with their shapes; of many, the first and how many more."""
    words = [f"{name} {array.shape}" for name, array in document.arrays.items()]
    return listed(words, MAX_LISTED) or "no array"


# ---- what Python callers pass: paths, arrays and dicts of them


Path = str | os.PathLike[str]
Weights = Path | Mapping[str, Any] | Sequence[npt.ArrayLike]
"""A path, NAME=FILE, arrays by the names of their tensors, settings among them, or in order."""

SETTING = (str, bool, int, float, type(None))


def is_path(value: Any) -> TypeGuard[Path]:
    """Whether a value names a file."""
    return isinstance(value, str | os.PathLike)


def each_of(weights: Any) -> list[Any]:
    """The weights one by one: the items of a list, unless it is a list of arrays, or empty."""
    if not isinstance(weights, list | tuple) or not weights or any(map(_is_array, weights)):
        return [weights]
    return [*weights]


def _is_array(value: Any) -> bool:
    """Whether a value is an array, or a tensor of a framework."""
    return hasattr(value, "shape")


def document_of(weights: Weights, where: str) -> Document:
    """A file of weights, or arrays as if a file had them; ``where`` begins messages.

    Raises
    ------
    UserError
        for what is neither, or a file that cannot be read.
    """
    if is_path(weights):
        return read_named(Named.parse(os.fspath(weights)), None)
    if isinstance(weights, list | tuple):
        _refuse_no_arrays(weights, where)
        in_order = {f"arr_{n}": array for n, array in enumerate(weights)}  # as numpy.savez has them
        return replace(document_of_arrays(in_order, where), source=ARRAY_LIST)
    if isinstance(weights, Mapping):
        return document_of_arrays(weights, where)
    hint = ""
    if isinstance(weights, Model):
        hint = " A model that is loaded is not loaded again."
    elif hasattr(weights, "state_dict"):  # a module of PyTorch
        hint = " Pass its .state_dict()."
    raise UserError(
        f"{where} takes weights as a path or a dict of arrays, such as "
        f'{{"kernel": K, "bias": b}}; it got {type_of(weights)}.{hint}'
    )


def _refuse_no_arrays(weights: Sequence[Any], where: str) -> None:
    """Refuse a list of weights that is empty, or has an item that is not an array."""
    if not weights:
        raise UserError(
            f"{where}: the list of weights is empty; it takes arrays in the order of a framework, "
            "such as layer.get_weights()."
        )
    for n, item in enumerate(weights):
        if _is_array(item):
            continue
        hint = ""
        if item is None:
            hint = " Leave it out: without a bias, the list has two arrays."
        elif isinstance(item, list | tuple) and any(map(_is_array, item)):
            hint = " A list of arrays is one argument: pass it without another list around it."
        elif is_path(item):
            hint = " Paths are separate arguments of load(), without a list."
        raise UserError(
            f"{where}: item {n} of the list of weights is {type_of(item)}; it has to be an array."
            + hint
        )


def document_of_arrays(values: Mapping[str, Any], where: str) -> Document:
    """Arrays by name as if a file had them; numbers and texts are settings.

    Raises
    ------
    UserError
        naming a value that is no array of numbers.
    """
    arrays: dict[str, Array] = {}
    settings: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise UserError(f"{where}: a dict of arrays has names for keys; it has {name!r}.")
        if isinstance(value, SETTING):
            refuse_unprintable(value, f"{where}: {name}")
            settings[name] = value
        elif isinstance(value, Mapping):
            nested = {f"{name}.{k}": v for k, v in value.items()}
            inner = document_of_arrays(nested, where)
            arrays |= inner.arrays
            settings |= inner.attributes
        else:
            arrays[name] = numbers_of(value, f"{where}: {name}")
    return Document(ARRAYS, "", arrays, settings)


def numbers_of(value: Any, what: str) -> Array:
    """An array of numbers: NumPy's, a list, or a tensor of a framework.

    Raises
    ------
    UserError
        if ``what`` is anything else.
    """
    several = isinstance(value, list | tuple)
    try:
        tensors = several and hasattr(next(iter(value), None), "detach")
        each = [np.asarray(_detached(one)) for one in value] if tensors else _detached(value)
        array = np.asarray(each)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        if several and "inhomogeneous" in reason:
            reason = "its items differ in shape; pass one of them, or a dict of arrays by name."
        raise UserError(f"{what} is {type_of(value)}, and no array: {reason}") from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        is_array = array.dtype != object or isinstance(value, np.ndarray)
        found = f"an array of {array.dtype}" if is_array else type_of(value)
        raise UserError(f"{what} is {found}; it has to be an array of numbers.")
    return array


def _detached(value: Any) -> Any:
    """A tensor that requires a gradient, which refuses NumPy, without it; the rest as it is."""
    return value.detach().cpu() if callable(getattr(value, "detach", None)) else value


def state_of(state: Mapping[str, Any] | Path, where: str) -> dict[str, Array]:
    """h and c to start from: a dict of arrays, or a file of them; ``where`` begins messages.

    Raises
    ------
    UserError
        for what is neither, a file that cannot be read, or values that are no numbers.
    """
    if is_path(state):
        return read_state(formats.read(os.fspath(state)))
    if not isinstance(state, Mapping):
        order = " (a tuple is (h, c) in PyTorch, and (c, h) in TensorFlow 1 and flax)"
        raise UserError(
            f'{where}: initial_state is {type_of(state)}; pass {{"h": h, "c": c}} or a path'
            f"{order * isinstance(state, tuple)}."
        )
    return {k: numbers_of(a, f"{where}: initial_state {k}") for k, a in state.items()}


def names_of(only: str | Iterable[str] | None, where: str) -> list[str] | None:
    """The names that ``only`` gives: several, one, or a text with commas.

    ``where`` begins messages.

    Raises
    ------
    UserError
        for an empty collection, what is none, or a name that is no text.
    """
    if only is None:
        return None
    try:
        names = split_names(only) if isinstance(only, str) else [*only]
    except TypeError:
        names = []
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f'{where}: only takes names of arrays, such as ("h", "c").')
    return names


def refuse_settings(model: Model, settings: Mapping[str, Any], where: str) -> None:
    """Refuse settings of a model that has its own; ``where`` begins messages."""
    if settings:
        names, typed = ", ".join(settings), ", ".join(f"{name}=" for name in settings)
        raise UserError(
            f"{where}: {names}: a loaded model has its settings; give {typed} to load()."
        )


def refuse_other_types(types: type | UnionType, takes: str, where: str, **values: object) -> None:
    """Refuse arguments that are not of these types; messages say what each ``takes``."""
    for name, value in values.items():
        if not isinstance(value, types):
            raise UserError(f"{where}: {name} is {type_of(value)}; it takes {takes}.")


def type_of(value: object) -> str:
    """``an int``, ``a list``: the type of a value in a message."""
    name = "None" if value is None else type(value).__name__
    if value is None:
        return name
    return f"{'an' if name[:1].lower() in 'aeiou' or name == 'ndarray' else 'a'} {name}"


# ---- tensors, settings, inputs and states that files contain


INPUT_NAMES = ("inputs", "x")
STATE = "initial_state."
INITIAL_STATES = ((f"{STATE}h", f"{STATE}c"), ("h0", "c0"), ("h_0", "c_0"))
"""The names of h and c in a file with weights or inputs."""
MAX_TENSORS = 1 << 15  # of all files together; to recognise and show each takes up to .2 ms
MAX_NAME = 1000  # characters: patterns of names are tried at every one
MAX_COMPARED = 1000  # attributes; of each, 0.2 ms go into looking whether it is nearly a setting
_WITH_INPUTS = ("lengths", "mask")
_LIKE_INPUTS = re.compile(
    r"(x|inputs?|features?)(_?(train(ing)?|val(id(ation)?)?|test|dev|eval|data|batch|seq|np))?",
    re.I,
)


def is_weight(name: str) -> bool:
    """Whether an array of this name is a weight, not an input or a state."""
    return not (_goes_with_inputs(name) or _LIKE_INPUTS.fullmatch(name))


def _goes_with_inputs(name: str) -> bool:
    """Whether an array of this name is lengths, a mask or a state."""
    return name in _WITH_INPUTS or name.startswith(STATE) or name in chain(*INITIAL_STATES)


def input_names(document: Document) -> list[str]:
    """The arrays of a document that go by a name of inputs: one of `INPUT_NAMES`, or ``x_val``."""
    return [name for name in INPUT_NAMES if name in document.arrays] or [
        name for name in document.arrays if _LIKE_INPUTS.fullmatch(name)
    ]


def inputs_of(document: Document) -> Array:
    """The inputs that a file contains: by their name, or the single array.

    Raises
    ------
    UserError
        if there are none, or several arrays that may be the inputs.
    """
    names = input_names(document) or [
        name for name in document.arrays if not _goes_with_inputs(name)
    ]
    if len(names) == 1:
        return document.arrays[names[0]]
    if not names:
        raise UserError(f"{document.source} has no array of numbers; inputs are (steps, inputs).")
    shown = ", ".join(name or "an array without a name" for name in names)
    named = next(filter(None, names), "")  # of several, one at most has no name
    if recognise({name: array.shape for name, array in document.arrays.items()}):
        raise UserError(
            f"{document.source} contains weights ({shown}), which come before the inputs.",
            "  Inputs in a file of weights are named inputs or x, or typed FILE:MEMBER.",
        )
    lines = [
        f"{document.source} has {shown}; which are the inputs? They are named inputs or "
        f"x, or typed FILE:MEMBER, as {document.source}:{named}."
    ]
    if {"h", "final_h"} & {*names}:
        lines.append("  It contains results of a run, which explain and diff compare.")
    raise UserError(*lines)


def tensors_in(documents: Sequence[Document]) -> dict[str, Array]:
    """The tensors of all documents by name, without those that are inputs or state."""
    tensors: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for document in documents:
        for name, array in document.arrays.items():
            if not is_weight(name):
                continue
            if name in tensors:
                raise UserError(f"{name} is in both {origin[name]} and {document.source}.")
            if len(name) > MAX_NAME or len(tensors) == MAX_TENSORS:
                raise UserError(_too_large(name, document.source))
            tensors[name], origin[name] = array, document.source
    return fold_weight_norm(tensors)


def _too_large(name: str, source: str) -> str:
    if len(name) > MAX_NAME:
        length = f"{len(name):,} characters; names have {MAX_NAME:,} at most"
        return f"{source}: the name of a tensor, {name[:20]!a}..., has {length}."
    return f"{source} has more than {MAX_TENSORS:,} tensors. Save only those of the LSTM."


def settings_in(*documents: Document) -> dict[str, Any]:
    """The settings among the attributes of documents, checked; later ones win.

    A name that is nearly a setting's is a mistake; any other attribute is ignored.
    """
    settings: dict[str, Any] = {}
    for document in documents:
        settings |= _settings_in(document)
    return settings


def _settings_in(document: Document) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if (dialect := METADATA_FORMATS.get(document.format)) and dialect.convention:
        settings["convention"] = dialect.convention
    compared = len(document.attributes) <= MAX_COMPARED
    for name, value in document.attributes.items():
        if name in SETTINGS or name == "layer":
            where = document.source
            settings[name] = value if name == "layer" else read_setting(name, value, where)
        elif name in ("kernel", "recurrent_kernel", "bias"):
            raise UserError(f"{document.source}: {name} is {value!r}, not an array of numbers.")
        elif compared and (near := did_you_mean(name, SETTINGS)):
            raise UserError(f"{document.source}: {name!r} is no setting.{near}")
    return settings


def read_state(document: Document) -> dict[str, Array]:
    """The state that a file contains: h and c, final_h and final_c, or a trace's last step.

    Raises
    ------
    UserError
        if either is missing.
    """
    for names in (*INITIAL_STATES, ("final_h", "final_c"), ("h", "c")):
        if state := state_members(document, names):
            if names == ("h", "c"):
                _refuse_selected(document)
            if document.layout is not None:  # a table or JSON lines: the last step of a trace
                state = {k: a[-1] for k, a in state.items()}
            return state
    found = ", ".join(name or "one array without a name" for name in document.arrays)
    raise UserError(
        f"{document.source} has {found or 'no arrays'}; "
        "a state has h and c, or final_h and final_c."
    )


def _refuse_selected(document: Document) -> None:
    """Refuse a trace that contains no last step of its run, or only some units."""
    meta = document.attributes.get("meta")
    selected = meta.get("selected", {}) if isinstance(meta, dict) else {}
    steps = parse_indices(selected.get("steps")) if isinstance(selected, dict) else None
    lacks_end = bool(steps) and list(steps or ())[-1] + 1 != selected.get("of_steps")
    columns = document.numbering.columns.values()
    some_units = "units" in selected or any(list(c) != list(range(len(c))) for c in columns)
    if lacks_end or some_units:
        what = "units" if some_units else "steps"
        raise UserError(
            f"{document.source} contains selected {what} of a run; a state is that after the last "
            "step, of all units.",
            "  A state that is saved by itself, or final_h and final_c of a full run, is one.",
        )


def state_members(document: Document, names: tuple[str, str]) -> dict[str, Array]:
    """h and c by the names that they have in a document; empty if it has neither."""
    found = [name for name in names if name in document.arrays]
    if len(found) == 1:
        lacking = next(name for name in names if name not in found)
        raise UserError(f"{document.source} has {found[0]} and lacks {lacking}; a state has both.")
    return {k: document.arrays[name] for k, name in zip("hc", found, strict=False)}
