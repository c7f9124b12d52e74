"""Run saved LSTM weights, show every gate, find out why two outputs differ.

The files of the examples, here and in each function, are those of
``lstm init --example demo``.

>>> model = lstmcli.load("demo/weights.npz", layout="batch")
>>> trace = lstmcli.run(model, "demo/inputs.npy")  # trace.h, .c, .i, .f, .g, .o
>>> difference = lstmcli.diff(trace, "demo/numpy.txt")
>>> difference.equal, difference.first_divergence.step
(False, 1)
>>> found = lstmcli.explain(model, "demo/inputs.npy", "demo/numpy.txt")
>>> found.changes[0].text
'forget bias is 0, not +1'
>>> derivation = lstmcli.derive(model, "demo/inputs.npy", step=1, unit=0, gate="f")
>>> lstmcli.save(trace, "out.npz")
"""

from __future__ import annotations

import sys

TYPE_CHECKING = (
    False  # typing takes 5 ms, before the command line can take an interrupt
)
if TYPE_CHECKING:
    from typing import Any

    from lstmcli._version import __version__
    from lstmcli.api.derive import derive
    from lstmcli.api.diff import diff
    from lstmcli.api.explain import explain
    from lstmcli.api.load import load
    from lstmcli.api.run import run
    from lstmcli.api.save import save
    from lstmcli.core.model.model import Model, Trace
    from lstmcli.errors import UserError


__all__ = [
    "Model",
    "Trace",
    "UserError",
    "__version__",
    "derive",
    "diff",
    "explain",
    "load",
    "run",
    "save",
]

_MODULES = {
    "__version__": "_version",
    "Model": "core.model.model",
    "Trace": "core.model.model",
    "UserError": "errors",
    "derive": "api.derive",
    "diff": "api.diff",
    "explain": "api.explain",
    "load": "api.load",
    "run": "api.run",
    "save": "api.save",
}


_SHOWN = {
    "Derivation": "core.derive.derivation",
    "Difference": "core.diff.difference",
    "Explanation": "core.explain.explanation",
    "Model": "core.model.model",
    "Trace": "core.model.model",
}
"""Results that a notebook shows as their commands do, and their modules."""


def __getattr__(name: str) -> Any:
    """A public name, imported on its first use: ``import lstmcli`` is quick."""
    if name not in _MODULES:
        raise AttributeError(f"module 'lstmcli' has no attribute {name!r}")
    from importlib import import_module  # as typing above

    found = getattr(import_module(f"lstmcli.{_MODULES[name]}"), name)
    for result, module in _SHOWN.items():
        loaded = sys.modules.get(f"lstmcli.{module}")
        if loaded is not None:
            getattr(loaded, result)._repr_html_ = _repr_html_
    return found


def _repr_html_(result: Any) -> str:
    from importlib import import_module

    return str(import_module("lstmcli.views.notebook").html_of(result))


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
