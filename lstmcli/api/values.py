"""What Python callers pass: paths, arrays and dicts of them; anything else is a `UserError`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from lstmcli.api.paths import Named, read_named
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError
from lstmcli.formats import Document

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
