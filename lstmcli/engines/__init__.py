"""Real frameworks as engines: each runs a `Model` over inputs and returns a `Trace`.

Each engine is a module, named as in `NAMES`. It builds its framework's layer
from tensors that `core.weights.encode` makes, so no gate order is known here,
and imports it only then.
"""

from __future__ import annotations

from importlib import import_module

from lstmcli.engines.engine import Engine
from lstmcli.errors import UserError, did_you_mean

NAMES = ("torch", "onnxruntime", "openvino", "keras", "tensorflow", "jax")


def find_engine(name: str) -> Engine:
    """The engine of that name; UserError, with those known, for another."""
    if name not in NAMES:
        raise UserError(
            f"there is no engine {name!r}; there are {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
        )
    engine: Engine = import_module(f"lstmcli.engines.{name}").ENGINE
    return engine
