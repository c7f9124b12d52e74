"""What Python callers pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import ParamSpec, TypeVar

from lstmcli.errors import UserError, did_you_mean

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

OTHER_NAMES = {"steps": "step", "units": "unit", "only": "keep"}
"""Arguments of some functions that others, and the commands, call otherwise."""


def refuse_other_arguments(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """A function of the Python API, for which an argument that it lacks is an error of the user."""
    parameters = signature(function).parameters
    takes_settings = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        for name in kwargs:
            other = OTHER_NAMES.get(name)
            if name not in parameters and (other in parameters or not takes_settings):
                near = f" It is {other} here." if other else did_you_mean(name, parameters)
                raise UserError(
                    f"{function.__name__}: there is no argument {name!r}.{near}",
                    f"  Arguments: {', '.join(parameters)}.",
                )
        return function(*args, **kwargs)

    return call
