"""Framework libraries: imported quietly, and their activations under our names."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from typing import Any

from lstmcli.core.model.vocabulary import split_activation
from lstmcli.errors import UserError


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the messages of libraries off stderr, those of C++ too; exceptions still pass."""
    sys.stderr.flush()
    with (
        warnings.catch_warnings(),
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def library(name: str) -> Any:
    """The module of an installed library; UserError if its import fails."""
    try:
        return import_module(name)
    except Exception as error:  # a broken one raises whatever it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name} is installed and cannot be imported: {reason}") from None


def activation(name: str, functions: Mapping[str, Callable[..., Any]]) -> Callable[[Any], Any]:
    """The activation function of one of our names, made of a framework's functions.

    ``functions`` has the framework's function of a family, which takes the family's parameters
    after x; for families that it lacks, ``clip`` (x, low, high), ``tanh``, ``where`` and
    ``zeros_like``.
    """
    family, numbers = split_activation(name)
    made: dict[str, Callable[..., Any]] = {
        "identity": lambda x: x,
        "affine": lambda x, alpha, beta: alpha * x + beta,
        "hard_sigmoid": lambda x, slope, offset: functions["clip"](slope * x + offset, 0, 1),
        "scaled_tanh": lambda x, alpha, beta: alpha * functions["tanh"](beta * x),
        "thresholded_relu": lambda x, alpha: functions["where"](
            x > alpha, x, functions["zeros_like"](x)
        ),
    }
    if name != family and name in functions:  # the hard sigmoid of a framework has one slope
        return functions[name]
    function = functions[family] if family in functions else made[family]
    return lambda x: function(x, *numbers)
