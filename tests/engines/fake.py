"""An engine that needs no framework: our own loop, with a fault of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.core.model.model import Model
from lstmcli.engines.engine import Engine, Network, Prepared, Result, nothing

Fault = Callable[[Network], Network]


def prepared(network: Network) -> Prepared:
    """Our run of the network, from its states."""
    model = Model(network.layers, {})
    h, c = map(np.stack, zip(*network.states, strict=True))
    state = {"h": h, "c": c} if len(network.states) > 1 else {"h": h[0], "c": c[0]}

    def go() -> Result:
        trace = run(
            model,
            network.x,
            ("h",),
            layout="time",
            initial_state=state,
            lengths=network.lengths,
        )
        cells = len(network.states)
        finals = zip(*(a.reshape(cells, *a.shape[-2:]) for a in (trace.final_h, trace.final_c)),
                     strict=True)  # fmt: skip
        return Result(trace.h, list(finals))

    return go


def forgetful(network: Network) -> Network:
    """The fault of the question that this project began with: no forget bias."""

    def one(cell: Any) -> Any:
        bias = cell.bias.copy()
        bias[1] -= cell.dtype.type(1)
        return replace(cell, bias=bias)

    return replace(
        network, layers=tuple(tuple(map(one, layer)) for layer in network.layers)
    )


def broken(network: Network) -> Network:
    raise RuntimeError("the first line\nand a second")


def fake(
    name: str = "torch",
    fault: Fault = lambda network: network,
    unsupported: Callable[[Network], Iterator[str]] = nothing,
    packages: tuple[str, ...] = ("numpy",),
    **fields: Any,
) -> Engine:
    return Engine(
        name, "a loop", "pytorch", packages, lambda network: prepared(fault(network)),
        unsupported=unsupported, **fields,
    )  # fmt: skip


def install(monkeypatch: pytest.MonkeyPatch, *engines: Engine) -> None:
    """Put engines in the place of the real ones; the others are not installed."""
    from lstmcli.engines import NAMES

    by_name = {engine.name: engine for engine in engines}
    for name in NAMES:
        engine = by_name.get(name, fake(name, packages=("no_such_package",)))
        monkeypatch.setattr(f"lstmcli.engines.{name}.ENGINE", engine)
