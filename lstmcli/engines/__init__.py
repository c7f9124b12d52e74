"""Real frameworks as engines: a model of the house in, what the framework computes out.

One file an engine, named as `NAMES` has it. An engine builds its framework's own layer from the
tensors that the table of conventions gives it, so no gate order is known here; the framework is
imported when it is asked for, and not before.
"""

from __future__ import annotations

from importlib import import_module

from lstmcli.engines.engine import Engine
from lstmcli.errors import UserError, did_you_mean

NAMES = ("torch", "onnxruntime", "keras", "tensorflow", "tensorflow-block", "jax")


def find_engine(name: str) -> Engine:
    """The engine of that name.

    Raises
    ------
    UserError
        if there is none.
    """
    if name not in NAMES:
        raise UserError(
            f"there is no engine {name!r}; there are {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
        )
    engine: Engine = import_module(f"lstmcli.engines.{name.replace('-', '_')}").ENGINE
    return engine
