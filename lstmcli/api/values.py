"""Arguments of Python callers: paths, arrays and dicts of them, and their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from types import UnionType
from typing import Any, ParamSpec, TypeAlias, TypeGuard, TypeVar

import numpy as np

from lstmcli.core.model.arrays import Array, ArrayLike
from lstmcli.core.model.selection import read_names
from lstmcli.errors import ARRAYS, UserError, did_you_mean, refuse_unprintable
from lstmcli.formats import Document

Path = str | os.PathLike[str]
Weights: TypeAlias = "Path | Mapping[str, Any] | Sequence[ArrayLike]"
"""A path, NAME=FILE, or arrays: by name, with settings among them, or in order."""

StateLike: TypeAlias = "Mapping[str, ArrayLike] | Path"
"""h and c, as arrays or in a file."""

SETTING = (str, bool, int, float, type(None))


def is_path(value: Any) -> TypeGuard[Path]:
    """Return whether a value names a file."""
    return isinstance(value, str | os.PathLike)


def each_of(weights: Any) -> list[Any]:
    """The items of a list of weights, unless it is one of arrays, or empty."""
    if (
        not isinstance(weights, list | tuple)
        or not weights
        or any(map(_is_array, weights))
    ):
        return [weights]
    return [*weights]


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")


def refuse_no_arrays(weights: Sequence[Any], where: str) -> None:
    """Refuse a list of weights that is empty, or has other items than arrays."""
    if not weights:
        raise UserError(
            f"{where}: the list of weights is empty; it takes arrays in the order of a framework, "
            "such as layer.get_weights()."
        )
    for n, item in enumerate(weights):
        if not _is_array(item):
            raise UserError(
                f"{where}: item {n} of the list of weights is {type_of(item)}; it has to be an "
                "array. Leave None out; paths, and several lists, are separate arguments."
            )


def document_of_arrays(values: Mapping[str, Any], where: str) -> Document:
    """Arrays by name as if in a file; numbers and texts are settings."""
    arrays: dict[str, Array] = {}
    settings: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise UserError(
                f"{where}: a dict of arrays has names for keys; it has {name!r}."
            )
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
    """An array of numbers: NumPy's, a list, or a tensor of a framework."""
    several = isinstance(value, list | tuple)
    try:
        tensors = several and hasattr(next(iter(value), None), "detach")
        each = (
            [np.asarray(_detached(one)) for one in value]
            if tensors
            else _detached(value)
        )
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
    """A tensor without its gradient, with which it refuses NumPy; bfloat16 in float32."""
    if not callable(getattr(value, "detach", None)):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if is_torch_bfloat16(value) else tensor


def is_torch_bfloat16(value: Any) -> bool:
    """Return whether a value is a tensor of PyTorch in bfloat16, which NumPy lacks."""
    return str(getattr(value, "dtype", "")) == "torch.bfloat16"


def is_packed(value: Any) -> bool:
    """Return whether a value is a PackedSequence of PyTorch."""
    return hasattr(value, "batch_sizes") and hasattr(value, "unsorted_indices")


def unpacked(packed: Any, what: str) -> tuple[Array, list[int]]:
    """The outputs (T, B, H) of a PackedSequence, zero where they are padded, and the lengths."""
    data, sizes = numbers_of(packed.data, what), numbers_of(packed.batch_sizes, what)
    valid = np.arange(sizes[0]) < sizes[:, None]  # (T, B), as the data lie
    array = np.zeros((*valid.shape, *data.shape[1:]), data.dtype)
    array[valid] = data
    lengths = valid.sum(axis=0)
    if packed.unsorted_indices is not None:
        order = numbers_of(packed.unsorted_indices, what)
        array, lengths = array[:, order], lengths[order]
    return array, lengths.tolist()


def names_of(only: str | Iterable[str] | None, where: str) -> list[str] | None:
    """The names in ``only``; ``where`` begins messages."""
    if only is None:
        return None
    return read_names(only, f"{where}: only") or read_names([None], f"{where}: only")


def refuse_settings(settings: Mapping[str, Any], where: str) -> None:
    """Refuse settings of a model that is loaded; ``where`` begins messages."""
    if settings:
        names, typed = ", ".join(settings), ", ".join(f"{name}=" for name in settings)
        raise UserError(
            f"{where}: {names}: a loaded model has its settings; give {typed} to load()."
        )


def refuse_other_types(
    types: type | UnionType, takes: str, where: str, **values: object
) -> None:
    """Refuse arguments of other types; messages name what each ``takes``."""
    for name, value in values.items():
        if not isinstance(value, types):
            raise UserError(f"{where}: {name} is {type_of(value)}; it takes {takes}.")


def type_of(value: object) -> str:
    """The type of a value in a message: ``an int``."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' or name == 'ndarray' else 'a'} {name}"


# ---- names of arguments


Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

OTHER_NAMES = {"steps": "step", "units": "unit", "only": "keep"}
"""Option name -> argument name, where they differ."""


def refuse_other_arguments(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """A function of the Python API, with a UserError for an argument that it lacks."""
    parameters = signature(function).parameters
    takes_settings = any(
        one.kind is Parameter.VAR_KEYWORD for one in parameters.values()
    )

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        for name in kwargs:
            other = OTHER_NAMES.get(name)
            if name not in parameters and (other in parameters or not takes_settings):
                near = (
                    f" It is {other} here." if other else did_you_mean(name, parameters)
                )
                raise UserError(
                    f"{function.__name__}: there is no argument {name!r}.{near}",
                    f"  Arguments: {', '.join(parameters)}.",
                )
        known = {k: v for k, v in kwargs.items() if k in parameters}
        flags = {
            k: v for k, v in known.items() if isinstance(parameters[k].default, bool)
        }
        refuse_other_types(bool | np.bool_, "True or False", function.__name__, **flags)
        return function(*args, **kwargs)

    return call
