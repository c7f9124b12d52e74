"""All single changes of a network, and sets of them as integers: a cell is a network of one.

A single change is of all cells, of a layer, of a direction or of one cell. A set of changes is a
row of positions among them; the last position changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from lstmcli.core.explain.causes import (
    COLUMNS,
    CONSTANTS,
    KNOWN_ORDERS,
    ORDERS,
    SOLVE,
    SPREADS,
)
from lstmcli.core.explain.hypotheses import KEPT, Change, Changes, Space
from lstmcli.core.model.arrays import Array


class SingleChanges:
    """The single changes of the cells of a network.

    Parameters
    ----------
    layers
        names of the cells, layer by layer.
    spaces
        by name of the cell, in the order of the layers.
    without
        settings that make no difference to EXPECTED.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[str]],
        spaces: Mapping[str, Space],
        without: Collection[str] = (),
    ) -> None:
        self.layers = layers
        every = dict.fromkeys(
            (change, tuple(name for name in group if change in spaces[name].singles))
            for group in groups(layers)
            for change in dict.fromkeys(c for name in group for c in spaces[name].singles)
            if _is_searched(change, without, several=len(spaces) > 1)
        )
        names = sorted({change.setting for change, _ in every})
        kinds = [
            [(names.index(change.setting) + 1) * (name in cells) for name in spaces]
            for change, cells in every
        ]
        self.kinds = np.array([*kinds, [0] * len(spaces)])  # (S + 1, C) settings as numbers
        self.constant = np.array(  # (S + 1,) which constant is open, or -1
            [*(CONSTANTS.index(c.setting) if c.value == SOLVE else -1 for c, _ in every), -1]
        )
        self.common = np.array([_is_common(change) for change, _ in every], bool)  # (S,)
        self.changes: list[Changes] = [
            tuple(Change(scope + change.setting, change.value) for scope in scopes)
            for change, cells in every
            for scopes in [[f"{n}." for n in cells] if len(cells) < len(spaces) else [""]]
        ]
        kept = [KEPT] * len(COLUMNS)
        self._rows = {  # (S + 1, F) of each cell
            name: np.array(
                [*(s.singles[c] if name in cells else kept for c, cells in every), kept], np.int8
            )
            for name, s in spaces.items()
        }

    def codes(self, name: str, sets: Array) -> Array:
        """The codes (n, F) of a cell under sets of changes; special settings come last."""
        codes = np.zeros((len(sets), len(COLUMNS)), np.int8)
        for k in range(sets.shape[1]):
            rows = self._rows[name][sets[:, k]]
            np.copyto(codes, rows, where=rows != KEPT)
        return codes

    def __len__(self) -> int:
        return len(self.changes)

    def sets(self, size: int) -> Array:
        """Sets (n, size) of changes, no two of one setting of a cell, nor two open constants.

        Of three changes none has a value that no framework uses.
        """
        among = np.arange(len(self)) if size < 3 else np.flatnonzero(self.common)
        found = among[:, None]
        for _ in range(size - 1):
            found = np.concatenate([self.with_one(found, int(one)) for one in among])
        return found

    def pairs(self, ones: Array) -> Array:
        """Pairs (n, 2) of one of some changes with any other, each once."""
        every = np.arange(len(self))
        both = np.column_stack([np.repeat(ones, len(every)), np.tile(every, len(ones))])
        pairs = np.unique(np.sort(both, axis=1), axis=0)
        found: Array = pairs[self._can_be_added(pairs[:, :1], pairs[:, 1])]
        return found

    def with_one(self, sets: Array, one: int) -> Array:
        """The sets with one more change, where it can be added, each once."""
        keep = self._can_be_added(sets, np.full(len(sets), one))
        return np.concatenate([sets[keep], np.full((keep.sum(), 1), one)], axis=1)

    def _can_be_added(self, sets: Array, ones: Array) -> Array:
        """(n,): whether a change comes after those of a set and can be combined with them."""
        kinds = self.kinds[ones][:, None]
        alike = ((self.kinds[sets] == kinds) & (kinds != 0)).any(axis=(1, 2))
        both_open = self.are_open(sets) & (self.constant[ones] >= 0)
        return np.asarray((sets[:, -1] < ones) & ~alike & ~both_open)

    @property
    def settings(self) -> set[str]:
        """The settings that are changed, of whichever cells."""
        return {change.setting.rpartition(".")[2] for one in self.changes for change in one}

    def are_open(self, sets: Array) -> Array:
        """(n,): whether a constant of each set is to be found."""
        return np.asarray((self.constant[sets] >= 0).any(axis=1))

    def of(self, one: Array, value: float = np.nan) -> Changes:
        """The changes of a set, with the value of its open constant."""
        changes = (c for at in one if at < len(self) for c in self.changes[at])
        return tuple(Change(c.setting, float(value)) if c.value == SOLVE else c for c in changes)

    def neighbours(self, answer: Changes) -> tuple[Array, Array, list[Changes]]:
        """An answer, each set that is one change from it, and the set without changes.

        A neighbour has one more change, or another value of a changed setting. With the sets are
        the constants (3,) of all, and the changes of each neighbour.
        """
        by_change = {c: n for n, one in enumerate(self.changes) for c in one}
        both = ((c, Change(c.setting, SOLVE)) for c in answer)
        found = (by_change.get(c, by_change.get(open_)) for c, open_ in both)
        base, none = sorted({n for n in found if n is not None}), len(self)
        values = {c.setting.rpartition(".")[2]: c.value for c in answer}
        constants = np.array([values.get(name, np.nan) for name in CONSTANTS], float)
        rows, lists = [base], []
        for n in range(none):
            if self.constant[n] < 0 and n not in base:
                kept = [
                    b for b in base if not (self.kinds[b] * (self.kinds[b] == self.kinds[n])).any()
                ]
                rows.append(sorted([*kept, n]))
                settled = (self.of(np.array([b]), constants[self.constant[b]]) for b in kept)
                lists.append((*chain.from_iterable(settled), *self.changes[n]))
        size = len(answer) + 1
        sets = [row + [none] * (size - len(row)) for row in (*rows, [])]
        return np.array(sets, int), constants, lists

    def constants(self, sets: Array, values: Array) -> Array:
        """(n, 3) constants with the values (n,) of the open one of each set; NaN: as assumed."""
        found, open_ones = np.full((len(sets), 3), np.nan), self.constant[sets].max(axis=1)
        rows = np.flatnonzero(open_ones >= 0)
        bounded = np.where(open_ones > 0, np.maximum(values, LEAST_CLIP), values)
        found[rows, open_ones[rows]] = bounded[rows]
        return found


LEAST_CLIP = 1e-6


def _is_searched(change: Change, without: Collection[str], several: bool) -> bool:
    """Whether a change can make a difference; of several cells, no rare order of one tensor."""
    setting, value = change
    if setting in without or SPREADS.get(setting, (setting,))[0] in without:
        return False
    return not several or not setting.endswith("_gates") or value in KNOWN_ORDERS


def _is_common(change: Change) -> bool:
    """Whether three changes at once are tried with it: not a rare order of gates, nor a clip."""
    if change.value in ORDERS:
        return change.value in KNOWN_ORDERS
    return change.value != SOLVE or change.setting == "forget_bias"


def groups(layers: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """The cells that a change may be of: all, those of a layer, of a direction, each."""
    names = [name for layer in layers for name in layer]
    ways = [[n for n in names if n.endswith("_reverse") == back] for back in (False, True)]
    yield from dict.fromkeys(tuple(g) for g in (names, *layers, *ways, *([n] for n in names)) if g)
