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
    masked: bool  # the steps that count are given by a mask, not by lengths
    gates: bool = True  # more than h and the last state is wanted


@dataclass(frozen=True, eq=False)
class Network:
    """Cells in the convention of an engine, inputs, and a state of every cell."""

    layers: Layers
    x: Array  # (T, B, I)
    states: Sequence[State]  # h (B, P) and c (B, H) of each cell, forward before backward
    lengths: Array | None = None  # (B,) valid steps, where a sequence has fewer than T
    mask: Array | None = None  # (T, B), where each step that counts is given
    past: str = "zero"  # the output at padded or masked steps: zero, repeat or run
    spelled: bool = False  # in single operations, its cells in the convention that they have

    @property
    def cell(self) -> Cell:
        """The first cell."""
        return self.layers[0][0]

    @property
    def cells(self) -> list[Cell]:
        """Every cell, layer by layer, forward before backward."""
        return [cell for layer in self.layers for cell in layer]

    @property
    def how(self) -> Convention:
        """The engine's convention, with the settings that the model needs."""
        return self.cell.convention

    @property
    def ways(self) -> int:
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
    """No refusals, or no notes."""
    return iter(())


@dataclass(frozen=True)
class Engine:
    """An engine: the layer that it builds, from which tensors, and how it is installed.

    ``prepare`` builds the layer, and what it returns runs it. ``lacks`` names what the engine
    cannot do of a network that its convention can hold; ``notes`` says where the framework and
    its documentation, or it and other frameworks, are known to differ. ``gates`` runs a single
    cell once more for what the layer itself does not give; such an engine spells out in the same
    operations what the layer cannot run (``network.spelled``).
    """

    name: str
    layer: str  # the class that is built, as the framework names it
    convention: str
    packages: tuple[str, ...]  # the first one's version is the engine's
    prepare: Callable[[Network], Prepared]
    beneath: Callable[[], str] = str  # the package that does the arithmetic, if it is another
    stands: Callable[[], bool] = lambda: True  # whether there is something beneath it
    extra: str = ""  # of pyproject.toml; "" is the name
    dtypes: tuple[str, ...] = ("float32", "float64")
    gives: tuple[str, ...] = ("h",)
    past: tuple[str, ...] = ("zero",)  # outputs at padded steps that it has; () takes no lengths
    masks: bool = False
    gates: Callable[[Network], Mapping[str, Array]] | None = None
    lacks: Callable[[Network], Iterator[str]] = nothing
    notes: Callable[[Network], Iterator[str]] = nothing

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_command(self.extra or self.name)

    @property
    def installed(self) -> bool:
        """Whether its packages are there; none is imported."""
        return all(find_spec(package) is not None for package in self.packages) and self.stands()

    @property
    def version(self) -> str:
        """The version of the first package, and what it runs on: ``3.15.1 on torch 2.13.0``."""
        beneath = self.beneath()
        return _version(self.packages[0]) + (
            f" on {beneath} {_version(beneath)}" if beneath else ""
        )

    def network(self, task: Task) -> tuple[Network, list[str]]:
        """A run as the engine takes it, and by name what the engine cannot do of it."""
        layers = tuple(tuple(map(_stateless, layer)) for layer in task.model.layers)
        how, lacks = fit(layers, CONVENTIONS[self.convention])
        valid = None if task.valid is None or task.valid.all() else task.valid
        network = Network(
            tuple(tuple(fold_forget_bias(cell, how) for cell in layer) for layer in layers),
            task.x,
            task.states,
            None if valid is None or task.masked else valid.sum(axis=0),
            valid if task.masked else None,
            padding_rule(task.model.cell, task.masked, task.model.bidirectional),
        )
        lacks = lacks + list(self._lacks_of_run(task, network)) or list(self.lacks(network))
        if lacks and self.gates is not None:
            network = replace(network, layers=layers, spelled=True)
            lacks = list(self._lacks_of_run(task, network)) or list(self.lacks(network))
        return network, lacks

    def _lacks_of_run(self, task: Task, network: Network) -> Iterator[str]:
        if network.cell.dtype.name not in self.dtypes:
            choice = " or ".join(f"--dtype {one}" for one in self.dtypes)
            yield (f"{network.cell.dtype.name} (it takes {choice}, which rounds the weights to it)")
        if task.model.convention.behaviour.arithmetic != "float":
            yield "8-bit arithmetic (--arithmetic float)"
        if network.lengths is None and network.mask is None:
            return
        past = ("zero", "repeat") if network.spelled else self.past
        if network.mask is not None and not (self.masks or network.spelled):
            yield "a mask"
        elif not past:
            yield "sequences of several lengths"
        elif network.past not in past:
            yield (
                f"outputs that are {_PAST[network.past]} past a sequence's length "
                f"(--masked-output {past[0]} reads them as it has them)"
            )


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]  # without the build: 2.13.0+cpu
    except PackageNotFoundError:  # importable, but not installed as a package
        return "?"


_PAST = {"zero": "zero", "repeat": "the last one again", "run": "run on"}


def _stateless(cell: Cell) -> Cell:
    """The cell without its initial state: an engine is given every state."""
    how = cell.convention.with_behaviour(initial_state="given")
    return replace(cell, convention=how, initial_h=None, initial_c=None)


def same_sizes(network: Network) -> Iterator[str]:
    """What a framework lacks whose layers are all of one size."""
    if len({(cell.units, cell.outputs) for cell in network.cells}) > 1:
        yield "layers of different sizes"
