"""Reproducible weights with inputs for them, and the files of the examples."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.resources import files
from typing import Any

from lstmcli import formats
from lstmcli.core.weights.initializers import INITIALIZERS, draw_weights
from lstmcli.errors import UserError
from lstmcli.outputs import reason

__all__ = ["INITIALIZERS", "init", "write_example"]


def init(
    output: str, *, dtype: str = "float64", **drawn: Any
) -> dict[str, tuple[int, ...]]:
    """Write the weights, and inputs, that `draw_weights` draws; gives their shapes."""
    format = formats.format_of(output, formats.SEVERAL_ARRAYS)
    members = {
        name: array.astype(dtype) for name, array in draw_weights(**drawn).items()
    }
    with formats.atomically(output) as stream:
        formats.write(stream, format, members, {"convention": "tf1"})
    return {name: array.shape for name, array in members.items()}


FILES = ("weights.npz", "inputs.npy", "tensorflow.txt", "numpy.txt")
"""A TF1 cell, its inputs, and the outputs of TensorFlow and of NumPy without the forget bias: those
of samples/forget-bias, whose ORIGIN.md tells how they were made."""


def write_example(folder: str) -> list[str]:
    """Write the files into a folder, made if needed; gives their paths."""
    contents = {
        os.path.join(folder, name): (files("lstmcli") / "example" / name).read_bytes()
        for name in FILES
    }
    for path, data in contents.items():
        if os.path.lexists(path) and not _is_file_with(path, data):
            raise UserError(f"{path} is there already; give another folder.")
    new_files = [path for path in contents if not os.path.lexists(path)]
    new_folders = _missing_folders(folder)
    try:
        _make_folder(folder)
        for path, data in contents.items():
            with formats.atomically(path) as stream:
                stream.write(data)
    except BaseException:  # a full disk, Ctrl-C
        for path in new_files:
            with suppress(OSError):
                os.unlink(path)
        for path in new_folders:
            with suppress(OSError):
                os.rmdir(path)
        raise
    return list(contents)


def _missing_folders(folder: str) -> list[str]:
    """A folder and those that it is in, as far as they are not there, the innermost first."""
    missing = []
    path = os.path.abspath(folder)
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise UserError(f"{reason(error)}.", about={"example": folder}) from None


def _is_file_with(path: str, data: bytes) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as stream:
        return stream.read(len(data) + 1) == data
