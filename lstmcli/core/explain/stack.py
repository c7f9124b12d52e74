"""Layers one above the other of which only the top is known: pairs of changes, many at once.

All readings of a layer are run on all outputs of the readings below it: what a layer gives are the
rows that the next one takes. The first few steps distinguish nearly all of them. Nothing here
accepts a reading: a run of the whole network does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from lstmcli.core.diff.alignment import ArrayName
from lstmcli.core.explain.bench import Bench
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.data import Known
from lstmcli.core.explain.network import Network, scoped
from lstmcli.core.explain.readings import Readings
from lstmcli.core.explain.space import SOLVE, Change, Changes
from lstmcli.core.explain.stepping import Batch
from lstmcli.core.explain.walk import LOOSE
from lstmcli.core.model.arrays import Array

STEPS = 3  # of EXPECTED that are looked at: the second is the first to see a state
LATE = 10_000  # units² times steps before the first that is known
WORK = 2_000_000  # units of all readings that are stepped at once
OF_STEPS = frozenset({"layout", "reverse", "flip_output", "lengths", "array", "initial_state"})
"""Settings that say which steps belong together, or what is shown: not what a step does."""


def stack_of(network: Network) -> Stack | None:
    """Layers of one cell each, from a zero state; None where there is more or less."""
    case, expected = network.case, network.expected
    if any(len(layer) > 1 for layer in network.model.layers) or case.initial_state:
        return None
    if case.lengths is not None or case.mask is not None or expected.finals:
        return None
    cells = [cell for _, cell in network.model.cells]
    hows = [cell.convention for cell in cells]
    if any(
        how.behaviour.reverse or how.behaviour.go_backwards or how.behaviour.flip_output
        for how in hows
    ):
        return None  # the first steps of EXPECTED are not the first that are run
    if any(cell.initial_h is not None for cell in cells):
        return None
    if len(expected.sequences) != 1 or ArrayName.of(next(iter(expected.sequences))).base != "h":
        return None
    stack = Stack(network, next(iter(expected.sequences.values())))
    return stack if stack.tells else None


class Stack:
    """Each layer's cell on its bench, and the first steps of one row of EXPECTED."""

    def __init__(self, network: Network, known: Known) -> None:
        self.names = [layer[0] for layer in network.names]
        inputs = network.inputs_of(0, (), set())
        assert inputs is not None  # of the lowest layer they are given
        is_known = np.asarray(np.isfinite(known.values).any(axis=2))  # (T, B)
        first = int(np.argmax(is_known.any(axis=1)))
        row = int(np.argmax(is_known[first : first + STEPS].sum(axis=0)))
        last = first + STEPS
        self.tells = bool(is_known.any()) and first * network.model.cell.units**2 <= LATE
        self.x = inputs[:last, row : row + 1]  # (t, 1, I)
        self.values = known.values[:last, row]  # (t, H)
        self.allowed = network.allowance.of(known)[:last, row]
        self.benches = [_bench(network, n) for n in range(len(self.names))]
        self.singles = [_singles(bench) for bench in self.benches]  # places by change

    def pairs(self) -> Iterator[Changes]:
        """Two changes that come near: of all layers, of two, of one, or of all and one."""
        yield from self._of_all()
        yield from self._of_two_layers()
        yield from self._of_one_layer()
        yield from self._of_all_and_one()

    def _of_all(self) -> Iterator[Changes]:
        pairs = [
            (one, other) for one, other in combinations(self._shared, 2)
            if one.setting != other.setting
        ]  # fmt: skip
        size = self._at_once(0, 1)
        for at in range(0, len(pairs), size):
            part = pairs[at : at + size]
            codes = [self._codes(n, part) for n in range(len(self.names))]
            for place in np.flatnonzero(self._worst(codes, alike=True) <= LOOSE):
                yield part[place]

    def _of_two_layers(self) -> Iterator[Changes]:
        codes = [self._codes(n, [(one,) for one in own]) for n, own in enumerate(self.singles)]
        changes = [list(own) for own in self.singles]
        for a, b in combinations(range(len(self.names)), 2):
            size = self._at_once(b, len(codes[a]))
            for at in range(0, len(codes[b]), size):
                chosen = self._read
                chosen[a], chosen[b] = codes[a], codes[b][at : at + size]
                for places in self._near(chosen):
                    one, other = changes[a][places[a]], changes[b][at + places[b]]
                    if one != other or len(self.names) > 2:  # else it is a change of all
                        yield (*scoped((one,), self.names[a]), *scoped((other,), self.names[b]))

    def _of_one_layer(self) -> Iterator[Changes]:
        for n, own in enumerate(self.singles):
            space = self.benches[n].space
            sets = space.sets(2, np.array(list(own.values()), int))
            size = self._at_once(n, 1)
            for at in range(0, len(sets), size):
                chosen = self._read
                chosen[n] = space.codes(sets[at : at + size])
                for places in self._near(chosen):
                    yield scoped(space.changes(sets[at + places[n]]), self.names[n])

    def _of_all_and_one(self) -> Iterator[Changes]:
        for one in self._shared:
            of_all = [self._codes(n, [(one,)]) for n in range(len(self.names))]
            for n, own in enumerate(self.singles):
                others = [other for other in own if other.setting != one.setting]
                chosen = [*of_all]
                chosen[n] = self._codes(n, [(one, other) for other in others])
                for places in self._near(chosen):
                    yield (one, *scoped((others[places[n]],), self.names[n]))

    # ---- readings side by side

    @property
    def _shared(self) -> list[Change]:
        """Single changes that every layer can have."""
        shared = set.intersection(*map(set, self.singles))
        return [change for change in self.singles[0] if change in shared]

    @property
    def _read(self) -> list[Array]:
        """Every layer as read, (1, F) each."""
        return [np.zeros((1, len(bench.space.columns)), np.int8) for bench in self.benches]

    def _codes(self, n: int, sets: Sequence[Changes]) -> Array:
        """Sets of changes of a layer's cell, (n, F)."""
        places = np.array([sorted(self.singles[n][one] for one in each) for each in sets], int)
        return self.benches[n].space.codes(places)

    def _at_once(self, n: int, others: int) -> int:
        """How many readings of a layer are run at once, on so many outputs."""
        return max(1, WORK // (self.benches[n].weights.cell.units * others))

    def _near(self, codes: Sequence[Array]) -> Iterator[tuple[int, ...]]:
        """The places, layer by layer, of readings that come near together."""
        near = np.flatnonzero(self._worst(codes) <= LOOSE)
        sizes = [len(own) for own in reversed(codes)]  # the top layer's readings are outermost
        for places in zip(*np.unravel_index(near, sizes), strict=True):
            yield tuple(int(place) for place in reversed(places))

    def _worst(self, codes: Sequence[Array], alike: bool = False) -> Array:
        """How far readings are off, in tolerances: of each layer with each of the one below it.

        Where they are ``alike``, the n-th of a layer is run with the n-th of the others only.
        """
        batches, rows = [], 1
        for bench, own in zip(self.benches, codes, strict=True):
            readings = Readings(bench.weights, own, None, np.float32)
            batches.append(Batch(readings, Constants.of(bench.space, own), None, rows))
            rows *= 1 if alike else len(own)
        worst = np.zeros(len(codes[0]) if alike else rows)
        for x, values, allowed in zip(self.x, self.values, self.allowed, strict=True):
            h = x  # (rows, K): one of the lowest layer, of the next as many as readings below it
            for batch in batches:
                h = batch.advance(h)["h"]  # (n, rows, K)
                h = h if alike else h.reshape(-1, h.shape[-1])
            h = h.reshape(len(worst), -1)
            is_known = np.isfinite(values)
            off = np.abs(h[:, is_known] - values[is_known]) / allowed[is_known]
            worst = np.fmax(worst, np.nan_to_num(off, nan=np.inf).max(axis=1, initial=0))
        return worst


def _bench(network: Network, n: int) -> Bench:
    """The cell of a layer; its inputs are those of a run as read, and not looked at here."""
    inputs = network.inputs_of(n, (), {name for layer in network.names for name in layer})
    assert inputs is not None
    return network.solver_of((n, 0), inputs, network.expected, ()).bench


def _singles(bench: Bench) -> dict[Change, int]:
    """The single changes of what a step does, with no constant to be solved for."""
    singles = enumerate(bench.space.singles)
    return {c: n for n, c in singles if c.value != SOLVE and c.setting not in OF_STEPS}
