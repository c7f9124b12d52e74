"""`Engine`, the `Task` and `Network` that it is given, and the `Result` that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np

from lstmcli.core.forward.sequence import padding_rule
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.model.states import State
from lstmcli.core.weights.compatibility import fit
from lstmcli.core.weights.encode import fold_forget_bias
from lstmcli.errors import install_command

Layers = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, eq=False)
class Task:
    """A run, before an engine is chosen."""

    model: Model
    x: Array  # (T, B, I), in the model's dtype
    layout: str  # of the inputs, and of the trace
    states: Sequence[State]  # h (B, P) and c (B, H) of each cell
    valid: Array | None  # (T, B), the steps that count
    masked: bool  # whether the steps that count are given by a mask, not by lengths
    gates: bool = True  # whether more than h and the last state is wanted


@dataclass(frozen=True, eq=False)
class Network:
    """Cells in the convention of an engine, inputs, and a state of every cell."""

    layers: Layers
    x: Array  # (T, B, I)
    states: Sequence[State]  # h (B, P) and c (B, H) of each cell, forward before backward
    lengths: Array | None = None  # (B,) valid steps, where a sequence has fewer than T
    mask: Array | None = None  # (T, B), where each step that counts is given
    padded_output: str = "zero"  # the output at padded or masked steps: zero, repeat or run
    basic_operations: bool = False  # not the engine's layer; cells keep the model's convention

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
        """The engine's convention, with the settings that the model needs."""
        return self.cell.convention

    @property
    def directions(self) -> int:
        """Directions: 1 or 2."""
        return len(self.layers[0])

    @cached_property
    def by_layer(self) -> list[tuple[tuple[Cell, ...], Sequence[State]]]:
        """Each layer with the states of its cells."""
        starts = np.cumsum([0, *map(len, self.layers)])
        return [
            (layer, self.states[start : start + len(layer)])
            for layer, start in zip(self.layers, starts, strict=False)
        ]

    @property
    def stacked(self) -> State:
        """The states with the cells on a first axis: (cells, B, P) and (cells, B, H)."""
        h, c = zip(*self.states, strict=True)
        return np.stack(h), np.stack(c)


@dataclass(frozen=True, eq=False)
class Result:
    """The arrays that a framework computed."""

    h: Array  # (T, B, K) of the last layer: two directions side by side, or merged
    finals: Sequence[State]  # of each cell, (B, P) and (B, H)
    gates: Mapping[str, Array]  # of a single cell, (T, B, H), without h


Prepared = Callable[[], Result]


def nothing(network: Network) -> Iterator[str]:
    """Nothing unsupported, or no notes."""
    return iter(())


@dataclass(frozen=True)
class Engine:
    """An engine: the layer that it builds, from which tensors, and how it is installed.

    ``prepare`` builds the layer, and what it returns runs it. ``unsupported`` names what the engine
    cannot run of a network that its convention can express; ``notes`` says where the framework is
    known to differ from its documentation or from other frameworks. ``gates`` runs a single cell
    again for the arrays that the layer does not return; an engine that has it runs what the layer
    cannot, by the same basic operations (``network.basic_operations``).
    """

    name: str
    layer: str  # the class that is built, as the framework names it
    convention: str
    packages: tuple[str, ...]  # the first one's version is the engine's
    prepare: Callable[[Network], Prepared]
    backend: Callable[[], str] = str  # the package that does the arithmetic, if it is another
    has_backend: Callable[[], bool] = lambda: True  # whether a backend that it needs is there
    extra: str = ""  # of pyproject.toml; "" is the name
    dtypes: tuple[str, ...] = ("float32", "float64")
    arrays: tuple[str, ...] = ("h",)  # that it returns of a single cell
    padded_outputs: tuple[str, ...] = ("zero",)  # as `Network.padded_output`; (): no lengths
    masks: bool = False
    gates: Callable[[Network], Mapping[str, Array]] | None = None
    unsupported: Callable[[Network], Iterator[str]] = nothing
    notes: Callable[[Network], Iterator[str]] = nothing

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_command(self.extra or self.name)

    @property
    def installed(self) -> bool:
        """Whether its packages are there; none is imported."""
        return self.has_backend() and all(find_spec(package) for package in self.packages)

    @property
    def version(self) -> str:
        """The version of the first package, and its backend: ``3.15.1 on torch 2.13.0``."""
        own, backend = _version(self.packages[0]), self.backend()
        return f"{own} on {backend} {_version(backend)}" if backend else own

    def network(self, task: Task) -> tuple[Network, list[str]]:
        """The network of a run, and the names of what the engine does not support in it."""
        layers = tuple(tuple(map(_stateless, layer)) for layer in task.model.layers)
        convention, unsupported = fit(layers, CONVENTIONS[self.convention])
        valid = None if task.valid is None or task.valid.all() else task.valid
        network = Network(
            tuple(tuple(fold_forget_bias(cell, convention) for cell in layer) for layer in layers),
            task.x,
            task.states,
            None if valid is None or task.masked else valid.sum(axis=0),
            valid if task.masked else None,
            padding_rule(task.model.cell, task.masked, task.model.bidirectional),
        )
        unsupported = [*unsupported, *self._unsupported_in_run(task, network)]
        unsupported = unsupported or list(self.unsupported(network))
        if unsupported and self.gates is not None:
            network = replace(network, layers=layers, basic_operations=True)
            unsupported = list(self._unsupported_in_run(task, network))
            unsupported = unsupported or list(self.unsupported(network))
        return network, unsupported

    def _unsupported_in_run(self, task: Task, network: Network) -> Iterator[str]:
        if network.cell.dtype.name not in self.dtypes:
            choice = " or ".join(f"--dtype {name}" for name in self.dtypes)
            yield f"{network.cell.dtype.name} (it takes {choice}, which rounds the weights to it)"
        if task.model.convention.behaviour.arithmetic != "float":
            yield "8-bit arithmetic (--arithmetic float)"
        if network.lengths is None and network.mask is None:
            return
        outputs = ("zero", "repeat") if network.basic_operations else self.padded_outputs
        if network.mask is not None and not (self.masks or network.basic_operations):
            yield "a mask"
        elif not outputs:
            yield "sequences of several lengths"
        elif network.padded_output not in outputs:
            yield (
                f"outputs that are {_PADDED_OUTPUT[network.padded_output]} past a sequence's "
                f"length (--masked-output {outputs[0]} reads them as it has them)"
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


def different_sizes(network: Network) -> Iterator[str]:
    """What a framework does not support whose layers are all of one size."""
    if len({(cell.units, cell.outputs) for cell in network.cells}) > 1:
        yield "layers of different sizes"
