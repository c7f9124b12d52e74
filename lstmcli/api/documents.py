"""Files of weights and inputs: their names, and the tensors, settings and states in them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from lstmcli import formats
from lstmcli.api.values import (
    StateLike,
    Weights,
    document_of_arrays,
    is_path,
    numbers_of,
    refuse_no_arrays,
    type_of,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.core.model.settings import CELL, SETTINGS, read_setting, split_cell
from lstmcli.core.weights.decode import fold_weight_norm
from lstmcli.core.weights.metadata import METADATA_FORMATS
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import (
    ARRAY_LIST,
    INPUTS,
    CallToTry,
    UserError,
    did_you_mean,
    listed,
)
from lstmcli.escaping import file_argument
from lstmcli.formats import Document
from lstmcli.formats.files.atomic import outputs_protected
from lstmcli.formats.files.limits import allow
from lstmcli.formats.files.sidecars import is_source, is_standard_input, split_member

allow_bytes = allow  # for the command line
MAX_LISTED = 3  # arrays of a file that a message lists


class Named(NamedTuple):
    """A path as typed: ``kernel=k.npy``, ``kernel=W.npz:W``, or one without a name."""

    path: str  # FILE, or FILE:MEMBER
    name: str | None = None

    @property
    def file(self) -> str:
        """The file without a member of it."""
        return split_member(self.path)[0]

    @classmethod
    def parse(cls, text: str) -> Named:
        """Split NAME=FILE at the first ``=``, unless all of it is FILE or FILE:MEMBER."""
        name, equals, path = text.partition("=")
        if not (name and equals) or is_source(split_member(text)[0]):
            return cls(text)
        return cls(path, name)

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Have errors name the full argument if its file does not exist."""
        try:
            yield
        except UserError as error:
            if self.name is None or is_source(self.file):
                raise
            hint = f"  What stands before the first = is a name: {self.name}."
            raise error.within(self.typed).adding(hint) from None

    @property
    def typed(self) -> str:
        """The argument as typed, with ./ before a leading dash."""
        return (
            file_argument(self.path)
            if self.name is None
            else f"{self.name}={self.path}"
        )


def only_one_stdin(*values: Any) -> None:
    """Refuse a second ``-`` among values."""
    paths = [Named.parse(os.fspath(one)).path for one in values if is_path(one)]
    if sum(map(is_standard_input, paths)) > 1:
        raise UserError(
            "- (standard input) can be read only once; give the others as files."
        )


def files_protected(
    outputs: Sequence[str], inputs: Sequence[str]
) -> AbstractContextManager[None]:
    """Refuse outputs that are inputs, or are read within."""
    return outputs_protected(outputs, [Named.parse(path).file for path in inputs])


def read_named(named: Named, *, in_blocks: bool = False) -> Document:
    """The document of a path, see `with_array_name`."""
    with named.in_errors():
        document = formats.read(named.path, in_blocks=in_blocks)
    return with_array_name(named, document)


def with_array_name(named: Named, document: Document) -> Document:
    """The document of a path; NAME=FILE names a single array, else the file's stem."""
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
    """Refuse inputs and weights of which a table or JSON lines leave out some."""
    steps, batch, columns, _ = document.part
    for what, numbers in (("step", steps), ("batch", batch), *columns.items()):
        first = numbers[0] if numbers and what == "step" else 0
        for n, number in enumerate(numbers or ()):
            if number != first + n:
                lacking = (
                    f"{what} {first + n}"
                    if what in ("step", "batch")
                    else f"{what}[{n}]"
                )
                raise UserError(f"{document.source}: {lacking} is missing.")


def _renamed(document: Document, old: str, new: str) -> Document:
    arrays = {new if k == old else k: array for k, array in document.arrays.items()}
    return replace(document, arrays=arrays)


def refuse_unused(
    documents: Sequence[Document],
    model: Model | None,
    used: Collection[str] = (),
    inputs: str = "",
) -> None:
    """Refuse files of which nothing went into the model, and that are not ``used`` (by source).

    ``inputs`` is the file of the inputs; if an unused one looks like inputs,
    explain is suggested.
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
    if len(arrays) == len(unused):  # each may be inputs, or lack its name
        takes = None if model is None else model.cell.inputs
        are_inputs = all(a.ndim > 1 and a.shape[-1] == takes for a in arrays)
        if are_inputs and inputs:
            weights = [one.source for one in documents if one.source in from_files]
            verb = "is" if len(unused) == 1 else "are"
            raise UserError(
                f"{inputs} is interpreted as the inputs; {names} {verb} not used.",
                f"  Give one file of inputs. If {inputs} has outputs to compare a run with:",
                try_=[
                    CallToTry(
                        "explain",
                        weights=weights,
                        others=[unused[0].source, inputs],
                    )
                ],
            )
        hint += "; these may be inputs" if are_inputs else ", or name it: bias=FILE"
    raise UserError(f"{names}: nothing in {it} is used; {contents}.", f"  {hint}.")


def _contents(document: Document) -> str:
    words = [f"{name} {array.shape}" for name, array in document.arrays.items()]
    return listed(words, MAX_LISTED) or "no array"


def document_of(weights: Weights | Document, where: str) -> Document:
    """A file of weights, or arrays like one; ``where`` begins messages."""
    if isinstance(weights, Document):
        return weights
    if is_path(weights):
        return read_named(Named.parse(os.fspath(weights)))
    if isinstance(weights, list | tuple):
        refuse_no_arrays(weights, where)
        in_order = {
            f"arr_{n}": array for n, array in enumerate(weights)
        }  # as in numpy.savez
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


# ---- the contents of files


INPUT_NAMES = ("inputs", "x")
STATE = "initial_state."
INITIAL_STATES = ((f"{STATE}h", f"{STATE}c"), ("h0", "c0"), ("h_0", "c_0"))
"""The names of h and c in a file with weights or inputs."""
MAX_TENSORS = 1 << 15  # of all files; to recognise and show each takes up to .2 ms
MAX_NAME = 1000  # characters; patterns are tried at every one
MAX_COMPARED = 1000  # attributes; comparing each with the settings takes 0.2 ms
_WITH_INPUTS = ("lengths", "mask")
_LIKE_INPUTS = re.compile(
    r"(x|inputs?|features?)(_?(train(ing)?|val(id(ation)?)?|test|dev|eval|data|batch|seq|np))?",
    re.I,
)


def is_weight(name: str) -> bool:
    """Return whether an array of this name is a weight, not an input or a state."""
    return not (_goes_with_inputs(name) or _LIKE_INPUTS.fullmatch(name))


def _goes_with_inputs(name: str) -> bool:
    return (
        name in _WITH_INPUTS or name.startswith(STATE) or name in chain(*INITIAL_STATES)
    )


def input_names(document: Document) -> list[str]:
    """The arrays of a document with a name of inputs: of `INPUT_NAMES`, or like ``x_val``."""
    return [name for name in INPUT_NAMES if name in document.arrays] or [
        name for name in document.arrays if _LIKE_INPUTS.fullmatch(name)
    ]


def inputs_of(document: Document, others: Sequence[Document] = ()) -> Array:
    """The inputs in a file: by their name, or the single array.

    UserError if they are weights; a single one of the ``others`` may be the
    inputs.
    """
    names = input_names(document) or [
        name for name in document.arrays if not _goes_with_inputs(name)
    ]
    if len(names) == 1:
        return document.arrays[names[0]]
    if not names:
        raise UserError(
            f"{document.source} has no array of numbers; inputs are (steps, inputs)."
        )
    shown = ", ".join(name or "an array without a name" for name in names)
    named = next(filter(None, names), "")  # of several, one at most has no name
    if _is_recognised(document):
        other = (
            INPUTS
            if len(others) != 1 or _is_recognised(others[0])
            else others[0].source
        )
        raise UserError(
            f"{document.source} contains weights ({listed(names, 4)}); these come before inputs:",
            try_=[CallToTry("run", weights=[document.source], others=[other])],
        )
    is_trace = bool({"h", "final_h"} & {*names})
    raise UserError(
        f"{document.source} contains {shown}; select the inputs with {document.source}:{named}, "
        "or name them inputs.",
        *["  It contains results of a run, which explain and diff compare."] * is_trace,
    )


def _is_recognised(document: Document) -> bool:
    return bool(
        recognise({name: array.shape for name, array in document.arrays.items()})
    )


def tensors_in(documents: Sequence[Document]) -> dict[str, Array]:
    """The tensors of all documents by name, without inputs and states."""
    tensors: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for document in documents:
        for name, array in document.arrays.items():
            if not is_weight(name):
                continue
            if name in tensors:
                raise UserError(
                    f"{name} is in both {origin[name]} and {document.source}."
                )
            if len(name) > MAX_NAME or len(tensors) == MAX_TENSORS:
                raise UserError(
                    f"{document.source} has more than {MAX_TENSORS:,} tensors, or a name of over "
                    f"{MAX_NAME:,} characters. Save only those of the LSTM."
                )
            tensors[name], origin[name] = array, document.source
    return fold_weight_norm(tensors)


OF_OTHERS = ("front", "head")
"""Settings whose names other programs use for numbers, too, or for nothing."""
ALIKE = ("heads", "header", "ahead")  # names of others that are nearly a setting's


def settings_in(*documents: Document) -> dict[str, Any]:
    """The settings among the attributes of documents, checked; later ones win.

    A name that is nearly a setting's is refused; any other is ignored.
    """
    settings: dict[str, Any] = {}
    for document in documents:
        where, compared = document.source, len(document.attributes) <= MAX_COMPARED
        if (dialect := METADATA_FORMATS.get(document.format)) and dialect.convention:
            settings["convention"] = dialect.convention
        for name, value in document.attributes.items():
            cell, plain = split_cell(name)
            is_other = name in OF_OTHERS and not isinstance(value, str)
            if name == "layer":
                settings[name] = value
            elif is_other or name in ALIKE:
                continue
            elif plain in SETTINGS and (not cell or CELL.fullmatch(cell)):
                settings[name] = read_setting(name, value, where)
            elif name in ("kernel", "recurrent_kernel", "bias"):
                raise UserError(
                    f"{where}: {name} is {value!r}, not an array of numbers."
                )
            elif compared and (near := did_you_mean(name, SETTINGS)):
                raise UserError(f"{where}: unknown setting {name!r}.{near}")
    return settings


def read_state(document: Document) -> dict[str, Array]:
    """The state in a file: h and c, final_h and final_c, or a trace's last step."""
    for names in (*INITIAL_STATES, ("final_h", "final_c"), ("h", "c")):
        if state := state_members(document, names):
            if names == ("h", "c"):
                _refuse_selected(document)
            if (
                document.layout is not None
            ):  # a table or JSON lines: the last step of a trace
                state = {k: a[-1] for k, a in state.items()}
            return state
    found = ", ".join(name or "one array without a name" for name in document.arrays)
    raise UserError(
        f"{document.source} has {found or 'no arrays'}; "
        "a state has h and c, or final_h and final_c."
    )


def _refuse_selected(document: Document) -> None:
    from lstmcli.core.model.part import parse_indices

    meta = document.attributes.get("meta")
    selected = meta.get("selected", {}) if isinstance(meta, dict) else {}
    steps = parse_indices(selected.get("steps")) if isinstance(selected, dict) else None
    lacks_end = bool(steps) and list(steps or ())[-1] + 1 != selected.get("of_steps")
    columns = document.part.columns.values()
    some_units = "units" in selected or any(
        list(c) != list(range(len(c))) for c in columns
    )
    if lacks_end or some_units:
        what = "units" if some_units else "steps"
        raise UserError(
            f"{document.source} contains selected {what} of a run; a state is that after the last "
            "step, of all units.",
            "  A state that is saved by itself, or final_h and final_c of a full run, is one.",
        )


def state_members(document: Document, names: tuple[str, str]) -> dict[str, Array]:
    """h and c, by their names in a document; empty if it has neither."""
    found = [name for name in names if name in document.arrays]
    if len(found) == 1:
        lacking = next(name for name in names if name not in found)
        raise UserError(
            f"{document.source} has {found[0]} and lacks {lacking}; a state has both."
        )
    return {k: document.arrays[name] for k, name in zip("hc", found, strict=False)}


def state_of(state: StateLike, where: str) -> dict[str, Array]:
    """h and c to start from, of a dict or a file; ``where`` begins messages."""
    if is_path(state):
        return read_state(formats.read(os.fspath(state)))
    if not isinstance(state, Mapping):
        order = " (a tuple is (h, c) in PyTorch, and (c, h) in TensorFlow 1 and flax)"
        raise UserError(
            f'{where}: initial_state is {type_of(state)}; pass {{"h": h, "c": c}} or a path'
            f"{order * isinstance(state, tuple)}."
        )
    return {k: numbers_of(a, f"{where}: initial_state {k}") for k, a in state.items()}
