"""What names or contains weights and inputs: paths as typed, and what Python callers pass."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import numpy as np

from lstmcli import formats
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError, listed
from lstmcli.escaping import file_argument
from lstmcli.formats import Document
from lstmcli.formats.files.member import is_standard_input, split_member

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
    documents: Sequence[Document], model: Model | None, used: Collection[str] = ()
) -> None:
    """Refuse files of which nothing went into the model, or is ``used`` otherwise (by source)."""
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
    return listed(words, MAX_LISTED) or "no array"


# ---- what Python callers pass: paths, arrays and dicts of them


Path = str | os.PathLike[str]
Weights = Path | Mapping[str, Any]
"""A path, NAME=FILE, or arrays by the names of their tensors, settings among them."""

SETTING = (str, bool, int, float, type(None))


def is_path(value: Any) -> TypeGuard[Path]:
    """Whether a value names a file."""
    return isinstance(value, str | os.PathLike)


def document_of(weights: Weights, where: str) -> Document:
    """A file of weights, or arrays as if a file had them; ``where`` begins messages.

    Raises
    ------
    UserError
        for what is neither, or a file that cannot be read.
    """
    if is_path(weights):
        return read_named(Named.parse(os.fspath(weights)), None)
    if isinstance(weights, Mapping):
        return document_of_arrays(weights, where)
    hint = f" Call {where} with the files it came from." if isinstance(weights, Model) else ""
    raise UserError(
        f"{where} takes weights as a path or a dict of arrays, such as "
        f'{{"kernel": K, "bias": b}}; it got {type_of(weights)}.{hint}'
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
            settings[name] = value
        elif isinstance(value, Mapping):
            nested = {f"{name}.{k}": v for k, v in value.items()}
            inner = document_of_arrays(nested, where)
            arrays |= inner.arrays
            settings |= inner.attributes
        else:
            arrays[name] = numbers_of(value, f"{where}: {name}")
    return Document("the dict of arrays", "", arrays, settings)


def numbers_of(value: object, what: str) -> Array:
    """An array of numbers: NumPy's, a list, or a tensor of a framework.

    Raises
    ------
    UserError
        if ``what`` is anything else.
    """
    detach = getattr(value, "detach", None)  # a tensor that requires a gradient refuses NumPy
    try:
        array = np.asarray(detach().cpu() if callable(detach) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{what} is {type_of(value)}, and no array: {reason}") from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        found = type_of(value) if array.dtype == object else f"an array of {array.dtype}"
        raise UserError(f"{what} is {found}; it has to be an array of numbers.")
    return array


def type_of(value: object) -> str:
    """``an int``, ``a list``: the type of a value in a message."""
    name = "None" if value is None else type(value).__name__
    if value is None:
        return name
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
