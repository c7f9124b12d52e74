"""`Engine`, the `Network` that it is given, its `Result`, and the trace of a run by it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import Ending, trace_of
from lstmcli.core.forward.sequence import padding_rule
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.directions import has_direction_axis
from lstmcli.core.model.edit import refuse_edits
from lstmcli.core.model.model import Cell, Masking, Trace, join_with_and
from lstmcli.core.model.states import State
from lstmcli.core.model.vocabulary import split_activation
from lstmcli.core.weights.compatibility import fit
from lstmcli.core.weights.encode import fold_forget_bias
from lstmcli.errors import UserError, install_command

T = TypeVar("T")

Layers = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, eq=False)
class Network:
    """An engine's input: cells in its convention, x, each cell's initial state."""

    layers: Layers
    x: Array  # (T, B, I)
    states: Sequence[
        State
    ]  # h (B, P) and c (B, H) of each cell, forward before backward
    valid: Array | None = None  # (T, B): the steps that count, where some do not
    masked: bool = False  # a mask tells them, and not lengths
    mask_from: Masking | None = None  # the layer of the model that gives it
    padded_output: str = "zero"  # at padded or masked steps: zero, repeat or run

    @property
    def lengths(self) -> Array | None:
        """(B,): the steps of each sequence that count, by lengths."""
        if self.valid is None or self.masked:
            return None
        lengths: Array = self.valid.sum(axis=0)
        return lengths

    @property
    def cell(self) -> Cell:
        """The first cell."""
        return self.layers[0][0]

    @property
    def cells(self) -> list[Cell]:
        """Every cell, layer by layer, forward before backward."""
        return [cell for layer in self.layers for cell in layer]

    @property
    def convention(self) -> Convention:
        """The engine's convention, with the settings of the model."""
        return self.cell.convention

    @cached_property
    def by_layer(self) -> list[tuple[tuple[Cell, ...], Sequence[State]]]:
        """Each layer with the states of its cells."""
        starts = np.cumsum([0, *map(len, self.layers)])
        return [
            (layer, self.states[start : start + len(layer)])
            for layer, start in zip(self.layers, starts, strict=False)
        ]


@dataclass(frozen=True, eq=False)
class Result:
    """The arrays that a framework computed."""

    h: Array  # (T, B, K) of the last layer, directions side by side or merged
    finals: Sequence[State]  # of each cell, (B, P) and (B, H)


Prepared = Callable[[], Result]


def nothing(network: Network) -> Iterator[str]:
    """Default for `unsupported` and `notes`: empty."""
    return iter(())


@dataclass(frozen=True)
class Engine:
    """An engine: the layer that it builds, from which tensors, and how it is installed.

    ``prepare`` builds the layer and returns what runs it. ``unsupported``
    names what the engine cannot run of a network that its convention can
    express; ``notes`` tells where the framework differs from its documentation
    or from other frameworks.
    """

    name: str
    layer: str  # the class that is built, as the framework names it
    convention: str
    packages: tuple[str, ...]  # the first one's version is the engine's
    prepare: Callable[[Network], Prepared]
    backend: Callable[[], str] = str  # the package that computes, if another
    has_backend: Callable[[], bool] = lambda: True  # whether its backend is there
    dtypes: tuple[str, ...] = ("float32", "float64")
    # whether float64 is float64 in every step
    all_in_float64: Callable[[], bool] = lambda: True
    padded_outputs: tuple[str, ...] = ("zero",)  # as `Network.padded_output`
    masks: bool = False
    unsupported: Callable[[Network], Iterator[str]] = nothing
    notes: Callable[[Network], Iterator[str]] = nothing

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_command(self.name)

    @property
    def installed(self) -> bool:
        """Return whether its packages are there; none is imported."""
        return self.has_backend() and all(
            find_spec(package) for package in self.packages
        )

    @property
    def has_float64(self) -> bool:
        """Return whether it computes in float64 throughout."""
        return "float64" in self.dtypes and self.all_in_float64()

    @property
    def version(self) -> str:
        """The version of the first package, and the backend: ``3.15.1 on torch 2.13.0``."""
        version, backend = _version(self.packages[0]), self.backend()
        if not backend:
            return version
        return f"{version} on {backend} {_version(backend)}"

    def network(self, plan: Plan) -> tuple[Network, list[str]]:
        """The network of a run, and what the engine does not support of it."""
        layers = tuple(tuple(map(_stateless, layer)) for layer in plan.model.layers)
        last = plan.model.layers[-1]
        convention, unsupported = fit(layers, CONVENTIONS[self.convention])
        valid = plan.valid
        if valid is not None and valid.all():
            valid = None
        with np.errstate(all="ignore"):
            x = plan.block().astype(plan.dtype)
        network = Network(
            tuple(
                tuple(fold_forget_bias(cell, convention) for cell in layer)
                for layer in layers
            ),
            x,
            plan.states,
            valid,
            plan.masked,
            plan.inputs.mask_from,
            # no layer reads padded outputs
            padding_rule(last[0], plan.masked, len(last) == 2),
        )
        unsupported = list(unsupported)
        unsupported.extend(self._unsupported_in_run(plan, network))
        if not unsupported:
            unsupported.extend(self.unsupported(network))
        return network, unsupported

    def _unsupported_in_run(self, plan: Plan, network: Network) -> Iterator[str]:
        dtype = network.cell.dtype.name
        if dtype not in self.dtypes:
            choice = " or ".join(self.dtypes)
            yield f"{dtype} (it takes dtype {choice}, which rounds the weights)"
        if plan.model.convention.behaviour.arithmetic != "float":
            yield "8-bit arithmetic (it takes arithmetic float)"
        if network.valid is None:
            return
        if len({cell.behaviour.lengths for _, cell in plan.model.cells}) > 1:
            yield "lengths or a mask that some layers do not use"
        if network.masked and not self.masks:
            yield "a mask"
        elif network.padded_output not in self.padded_outputs:
            yield (
                f"outputs that are {_PADDED_OUTPUT[network.padded_output]} past a sequence's "
                f"length (it has masked_output {self.padded_outputs[0]})"
            )


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]  # without the build: 2.13.0+cpu
    except PackageNotFoundError:  # importable, but not installed as a package
        return "?"


_PADDED_OUTPUT = {"zero": "zero", "repeat": "the last one again", "run": "run on"}


def _stateless(cell: Cell) -> Cell:
    """The cell without its initial state: an engine is given every state."""
    convention = cell.convention.with_behaviour(initial_state="given")
    return replace(cell, convention=convention, initial_h=None, initial_c=None)


# ---- a run by an engine

SHORT = 1.0  # seconds up to which a run is repeated


def refusal(engine: Engine, unsupported: list[str]) -> str:
    """One line that names what an engine does not support."""
    return f"{engine.name} ({engine.layer}) cannot run {join_with_and(unsupported)}."


def not_installed(engine: Engine) -> tuple[str, str]:
    """Two lines on how to install an engine."""
    more = ""
    if not engine.has_backend():
        more = ", or has no backend"
    return f"{engine.name} is not installed{more}:", f"  {engine.install}"


def run_with(engine: Engine, plan: Plan) -> Trace:
    """The trace of a run by an engine: h and the last state."""
    if not engine.installed:
        raise UserError(*not_installed(engine))
    text = f"{engine.name} runs LSTMs without edits."
    refuse_edits(plan.model.edits, text, try_={"engine": None})
    network, unsupported = engine.network(plan)
    if unsupported:
        raise UserError(refusal(engine, unsupported))
    return timed_trace(engine, network, plan)[0]


def timed_trace(engine: Engine, network: Network, plan: Plan) -> tuple[Trace, float]:
    """The trace, and the seconds of a run without building the layer."""
    try:
        with quiet():
            prepared = engine.prepare(network)
            result, seconds = timed_result(prepared)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # frameworks raise exceptions of every kind
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{engine.name} {engine.version} ended with an error: {message}"
        ) from error
    h = result.h
    if has_direction_axis(plan.model):
        h = np.stack(np.split(h, 2, axis=2), axis=2)
    trace = trace_of(plan, {"h": h}, Ending(list(result.finals)))
    settings = {**trace.settings, "engine": f"{engine.name} {engine.version}"}
    return replace(trace, settings=settings), seconds


def timed_result(run: Callable[[], T]) -> tuple[T, float]:
    """The result of a run, and the seconds that it took.

    A short run is repeated: the first run of a process includes what libraries
    prepare.
    """
    for _ in range(2):
        start = perf_counter()
        result = run()
        seconds = perf_counter() - start
        if seconds > SHORT:
            break
    return result, seconds


# ---- libraries


@contextmanager
def quiet() -> Iterator[None]:
    """Keep messages of libraries off stderr, those of C++ too; exceptions pass."""
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
        raise UserError(
            f"{name} is installed and cannot be imported: {reason}"
        ) from None


def activation(
    name: str, functions: Mapping[str, Callable[..., Any]]
) -> Callable[[Any], Any]:
    """The activation function of one of our names, made of a framework's functions.

    ``functions`` has those of a family, with its parameters after x; for
    families that it lacks, ``clip`` (x, low, high), ``tanh``, ``where`` and
    ``zeros_like``.
    """
    family, numbers = split_activation(name)
    made: dict[str, Callable[..., Any]] = {
        "identity": lambda x: x,
        "affine": lambda x, alpha, beta: alpha * x + beta,
        "hard_sigmoid": lambda x, slope, offset: functions["clip"](
            slope * x + offset, 0, 1
        ),
        "scaled_tanh": lambda x, alpha, beta: alpha * functions["tanh"](beta * x),
        "thresholded_relu": lambda x, alpha: functions["where"](
            x > alpha, x, functions["zeros_like"](x)
        ),
    }
    if name != family and name in functions:  # a framework's hard sigmoid has one slope
        return functions[name]
    function = (made | {**functions})[family]
    return lambda x: function(x, *numbers)
