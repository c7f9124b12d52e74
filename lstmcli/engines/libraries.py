"""Framework libraries: imported quietly, and their activations under our names."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from typing import Any

from lstmcli.core.weights.metadata.onnx_activations import split_activation
from lstmcli.errors import UserError

Function = Callable[[Any], Any]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries say of themselves off stderr, from C++ too; exceptions still tell."""
    sys.stderr.flush()
    with (
        warnings.catch_warnings(),
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def library(name: str) -> Any:
    """An installed library.

    Raises
    ------
    UserError
        if it cannot be imported all the same.
    """
    try:
        return import_module(name)
    except Exception as error:  # a broken one raises whatever it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name} is installed and cannot be imported: {reason}") from None


def activation(name: str, own: Mapping[str, Callable[..., Any]]) -> Function:
    """The function behind one of our names, made of a framework's own.

    ``own`` has the framework's functions by family, those of a family with parameters taking them
    after x, and ``clip`` (x, low, high), of which the families without one are made.
    """
    family, numbers = split_activation(name)
    made: dict[str, Callable[..., Any]] = {
        "identity": lambda x, *_: x,
        "affine": lambda x, alpha, beta: alpha * x + beta,
        "hard_sigmoid": lambda x, slope, offset: own["clip"](slope * x + offset, 0, 1),
        "scaled_tanh": lambda x, alpha, beta: alpha * own["tanh"](beta * x),
        "thresholded_relu": lambda x, alpha: own["where"](x > alpha, x, own["zeros_like"](x)),
    }
    if name != family and name in own:  # a framework's own hard sigmoid has one slope
        return own[name]
    function = own[family] if family in own else made[family]
    return lambda x: function(x, *numbers)
