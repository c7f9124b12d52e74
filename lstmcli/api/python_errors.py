"""Errors in the words of the Python API: arguments for options, calls for command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import ParamSpec, TypeVar

from lstmcli.core.model.settings import SETTINGS
from lstmcli.errors import ARRAY_LIST, ARRAYS, UserError, did_you_mean

OTHER_NAMES = {"steps": "step", "units": "unit", "only": "keep"}
"""What some functions call the argument that stands for an option."""
_OF_ANOTHER = {
    "max_bytes": "load with max_bytes=",
    "save_state": "save of final_h and final_c to ",
}
"""What the options stand for that are arguments of another function, or another function."""
_VALUE = "|".join(dict.fromkeys(word for one in SETTINGS.values() for word in one.choices))
_OPTION = re.compile(
    r"--(?:set +(?=[\w.]+=)|(?P<named>layer|cell|convention|gates)(?: (?=\S))?"
    rf"|(?P<name>[a-z][a-z-]*)(?P<space> (?=-?[\d:]|[A-Z]+\b|\S+: |(?:{_VALUE})\b))?)"
)
_COMMAND = re.compile(r"(?:(?<=^  )|(?<=: ))lstm (?P<name>run|explain) (?P<words>.+?)(?=;?$)")
_MEMBER = re.compile(
    rf"(?P<name>\w+)=(?:{re.escape(ARRAYS)}:(?P<member>.+)|{re.escape(ARRAY_LIST)}:arr_(?P<n>\d+))",
    re.S,
)
_LAYERS = re.compile(r"--layer (\d+(?:,\d+)+)")
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def errors_name_arguments(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """A function of the Python API; its errors say ``steps=9`` where a command's say ``--steps 9``.

    Command lines become calls. An argument that the function does not have is such an error too.
    """
    parameters = signature(function).parameters
    takes_settings = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    known = {*parameters, *SETTINGS, "layer"}

    def argument(match: re.Match[str]) -> str:
        option = (match["named"] or match["name"] or "").replace("-", "_")
        name = option if option in known else OTHER_NAMES.get(option, "")
        if option and name not in known:
            return _OF_ANOTHER.get(option, match[0])
        return f"{name}=" if option and match[0].endswith(" ") else name

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
        try:
            return function(*args, **kwargs)
        except UserError as error:
            lines = (_LAYERS.sub(r'layer="\1"', _COMMAND.sub(_call, one)) for one in error.lines)
            error.args = tuple(_OPTION.sub(argument, line) for line in lines)
            raise

    return call


def _call(command: re.Match[str]) -> str:
    """The call that does what a command line does: ``run(['w.npz'], inputs, forget_bias=0)``."""
    words = shlex.split(command["words"])
    first_option = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
    files, options = words[:first_option], words[first_option:]
    last = 2 if command["name"] == "explain" else 1  # after the weights
    weights, others = files[:-last], files[-last:]
    members = [_MEMBER.fullmatch(word) for word in weights]
    if all(members):
        pairs = (f'"{m["name"]}": arrays[{m["n"] or repr(m["member"])}]' for m in members if m)
        first = f"{{{', '.join(pairs)}}}"
    else:
        first = ", ".join(map(_argument, weights))
        first = f"[{first}]" if len(weights) > 1 else first
    settings = []
    for option, value in zip(options[::2], options[1::2], strict=False):
        name, _, text = value.partition("=") if option == "--set" else (option[2:], "", value)
        settings.append(f"{name.replace('-', '_')}={_argument(text)}")
    return f"{command['name']}({', '.join([first, *map(_argument, others), *settings])})"


def _argument(word: str) -> str:
    """A word of a command line as an argument: ``INPUTS`` as a name, a number as one, else text."""
    if re.fullmatch(r"[A-Z]+(\.\.\.)?", word):
        return word.lower().removesuffix("...")
    return word if re.fullmatch(r"-?\d+(\.\d+)?|\.\.\.", word) else repr(word)
