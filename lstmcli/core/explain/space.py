"""The readings as integers: every single change, and sets of them as rows of codes.

A reading is what was assumed with some settings changed. Each setting that a cell of its own can
show is a column; a code is a place in the column's list of values, 0 being the assumed one. Sets of
changes that come to the same row are one reading, worded in two ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.causes import COLUMNS as COLUMNS
from lstmcli.core.explain.causes import CONSTANTS as CONSTANTS
from lstmcli.core.explain.causes import KNOWN_ORDERS as KNOWN_ORDERS
from lstmcli.core.explain.causes import ORDERS as ORDERS
from lstmcli.core.explain.causes import SOLVE as SOLVE
from lstmcli.core.explain.causes import SPREADS as SPREADS
from lstmcli.core.model.arrays import Array

_CHOOSE_TENSORS = ("interleaved", "rows", "transposed", "bias", "bias_gates")


def spelled_out(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings such that none of those given before is stronger than a changed one.

    ``activation`` means the output's too, unless somebody has set that by itself.
    """
    stale = {
        special: settings[general]
        for general, specials in SPREADS.items()
        if general in settings
        for special in specials
        if special != general and special in given and special not in settings
    }
    return {**settings, **stale}


class Change(NamedTuple):
    """A setting and the value that it takes instead of the assumed one."""

    setting: str
    value: Any


Changes = tuple[Change, ...]


def settings_of(changes: Changes) -> dict[str, Any]:
    """Changes as settings by name."""
    return {change.setting: change.value for change in changes}


class Space:
    """All single changes that could matter to one cell, and sets of them.

    ``assumed`` gives each column's value; ``without`` names columns that cannot matter here: a
    peephole where there is none, a layout where the inputs are one sequence; ``barred`` are single
    changes that cannot be run.
    """

    def __init__(
        self,
        assumed: Mapping[str, Any],
        without: Sequence[str] = (),
        barred: Sequence[Change] = (),
    ) -> None:
        self.columns = tuple(COLUMNS)
        self.values = {
            name: [assumed[name], *(v for v in values if v != assumed[name])]
            for name, values in COLUMNS.items()
        }
        singles = self._singles(assumed, set(without))
        self.singles = tuple(single for single in singles if single not in barred)
        self.table = np.array([self._row(single) for single in self.singles], np.int8)  # (S, F)
        self._settings = np.array([hash(single.setting) for single in self.singles])
        sizes = [1 if n in _CHOOSE_TENSORS else len(self.values[n]) for n in self.columns]
        radix = np.concatenate([[1], np.cumprod(sizes, dtype=np.int64)])
        self._base = int(radix[-1])
        self._radix = np.where(np.array(sizes) > 1, radix[:-1], 0)

    def _singles(self, assumed: Mapping[str, Any], without: set[str]) -> list[Change]:
        """General settings come before special ones, which are stronger."""
        found = []
        for setting in (*SPREADS, *(n for n in COLUMNS if n not in SPREADS)):
            column = SPREADS.get(setting, (setting,))[0]
            if setting in without or column in without:
                continue
            columns = SPREADS.get(setting, (setting,))
            known = [v for v in KNOWN_ORDERS if v in COLUMNS[column]]
            values = dict.fromkeys([*known, *COLUMNS[column]])
            for value in values:
                # the assumed output activation is a change beside a changed activation
                is_change = setting == "output_activation" and "activation" not in without
                if is_change or any(assumed[name] != value for name in columns):
                    found.append(Change(setting, value))
        return found

    def _row(self, change: Change) -> list[int]:
        """The codes that a change sets; -1 leaves a column alone."""
        columns = SPREADS.get(change.setting, (change.setting,))
        return [
            self.values[name].index(change.value) if name in columns else -1
            for name in self.columns
        ]

    def column(self, name: str) -> int:
        """The place of a column."""
        return self.columns.index(name)

    def sets(self, size: int, among: Array | None = None) -> Array:
        """Sets of changes (n, size), as places among the singles, no two of one setting."""
        among = np.arange(len(self.singles)) if among is None else np.sort(among)
        sets = np.zeros((1, 0), np.int16)
        for _ in range(size):
            sets = self._longer(sets, among)
        return sets

    def _longer(self, sets: Array, among: Array) -> Array:
        """Each set with one more single that comes after its last."""
        grown: Array = np.concatenate(
            [np.repeat(sets, len(among), axis=0), np.tile(among, len(sets))[:, None]], axis=1
        ).astype(np.int16)
        if not sets.shape[1]:
            return grown
        grown = grown[grown[:, -1] > grown[:, -2]]
        kinds = self._settings[grown]
        alike = (kinds[:, :-1] == kinds[:, -1:]).any(axis=1)
        distinct: Array = grown[~alike]
        return distinct

    def joined(self, visible: Array, hidden: Array) -> Array:
        """Every set of one kind with every set of the other, no two changes of one setting."""
        n, m = len(visible), len(hidden)
        sets = np.concatenate(
            [np.repeat(visible, m, axis=0), np.tile(hidden, (n, 1))], axis=1
        )  # (n m, size)
        kinds = np.sort(self._settings[sets], axis=1)
        alike = (kinds[:, 1:] == kinds[:, :-1]).any(axis=1)
        joined: Array = np.sort(sets[~alike], axis=1)
        return joined

    def codes(self, sets: Array) -> Array:
        """The rows (n, F) that sets of changes come to."""
        rows = np.zeros((len(sets), len(self.columns)), np.int8)
        for k in range(sets.shape[1]):
            change = self.table[sets[:, k]]
            np.copyto(rows, change, where=change >= 0)
        return rows

    def keys(self, codes: Array, places: Mapping[str, Array]) -> Array:
        """One number for each row, the same where all columns are.

        ``places`` says which tensors the columns that choose them come to: those count instead.
        """
        keys: Array = codes.astype(np.int64) @ self._radix
        for n, place in enumerate(places.values()):
            keys = keys + place * (self._base * 64**n)
        return keys

    def changes(self, one: Array) -> Changes:
        """A set of changes in words."""
        return tuple(self.singles[n] for n in one)

    def take(self, codes: Array, name: str) -> list[Any]:
        """The values of a column."""
        values = self.values[name]
        return [values[code] for code in codes[:, self.column(name)]]


def distinct(codes: Array) -> Array:
    """The distinct ones of small numbers that are not negative, in order; quick."""
    return np.flatnonzero(np.bincount(codes))


def unique_rows(keys: Array, known: Array | None = None) -> Array:
    """Places of the first of each key, in order; without the keys already known, each told once."""
    _, first = np.unique(keys, return_index=True)  # without indices it loads numpy.ma, 10 ms
    first = np.sort(first)
    return first if known is None else first[~np.isin(keys[first], known, assume_unique=True)]
