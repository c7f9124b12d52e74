"""A calculator for LSTM forward passes: every gate of every step, and where two results part.

::

    model = lstmcli.load("weights.npz", forget_bias=1.0)
    trace = lstmcli.run(model, x)                       # trace.h, .c, .i, .f, .g, .o, .final_h
    difference = lstmcli.diff(trace, "expected.txt")    # .equal, .first_divergence, .arrays
    derivation = lstmcli.derive(model, x, 1, 0, "f")    # .sums, .lines, .line("h").value
    reading = lstmcli.explain("weights.npz", x, expected)   # .found, .settings, .changes
    lstmcli.save(trace, "out.npz")

The rings; imports point inwards only::

    cli        one file per command; may use everything, nothing uses it
    loading, saving, comparing, ...   join files and the core
    engines    real frameworks: a model in, what the framework computes out
    formats    files <-> named arrays; knows no LSTM          views   results -> sheets
    core       the cell, the loop, the conventions, the comparison; numpy only
    errors     UserError
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lstmcli._version import __version__

if TYPE_CHECKING:
    from lstmcli.api.derive import derive
    from lstmcli.api.diff import diff
    from lstmcli.api.explain import explain
    from lstmcli.api.load import load
    from lstmcli.api.save import save
    from lstmcli.core.forward.run import run
    from lstmcli.core.model.model import Model, Trace
    from lstmcli.errors import UserError


__all__ = [
    "Model", "Trace", "UserError", "__version__", "derive", "diff", "explain", "load", "run",
    "save",
]  # fmt: skip

_HOMES = {
    "Model": "core.model.model",
    "Trace": "core.model.model",
    "UserError": "errors",
    "derive": "api.derive",
    "diff": "api.diff",
    "explain": "api.explain",
    "load": "api.load",
    "run": "core.forward.run",
    "save": "api.save",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for, so that ``import lstmcli`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lstmcli' has no attribute {name!r}")
    return getattr(import_module(f"lstmcli.{_HOMES[name]}"), name)
