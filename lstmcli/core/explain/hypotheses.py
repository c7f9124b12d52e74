"""Changes of settings: all single ones, sets of them, and which is likelier.

`SingleChanges` are those of a network. A set of them is a row of positions, of which the last
changes nothing. Sets with the same codes are one hypothesis.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.core.explain.causes import (
    COLUMNS,
    CONSTANTS,
    KEPT,
    KNOWN_ORDERS,
    ORDERS,
    SOLVE,
    SPREADS,
    Change,
    Changes,
    cause_of,
    settings_of,
    spelled_out,
    value_in,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention, has_setting
from lstmcli.core.model.model import Model
from lstmcli.core.model.settings import SETTINGS
from lstmcli.core.model.vocabulary import GATES


def settings_to_load(model: Model, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with which `load` reads a model as it is, but for some of them.

    Those of its convention are among them, if all cells share them and `load` takes them.
    """
    conventions = [cell.convention for _, cell in model.cells]
    shared = {
        name: value
        for name, value in model.settings().items()
        if name != "edits" and all(_restates(name, value, one) for one in conventions)
    }
    given = {**shared, **{k: v for k, v in model.given.items() if k != "dtype"}}
    return {**given, **spelled_out(settings, given)}


def _restates(name: str, value: Any, convention: Convention) -> bool:
    if name == "gates" and len(value) < len(GATES):  # three blocks have one order
        return False
    output = {
        "output_activation": convention.behaviour.output_activation
    }  # else the activation's
    return convention.changed({**output, name: value}) == convention


NO_CONSTANT = -1  # open in a change: a position among `CONSTANTS` otherwise


class SingleChanges:
    """The single changes of a network: of all cells, a layer, a direction or a cell.

    ``layers`` are names of cells, ``spaces`` the codes of their changes in that order, ``without``
    settings that EXPECTED does not show.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[str]],
        spaces: Mapping[str, Mapping[Change, Sequence[int]]],
        without: Collection[str] = (),
    ) -> None:
        self.layers = layers
        every = dict.fromkeys(
            (change, tuple(name for name in group if change in spaces[name]))
            for group in groups(layers)
            for change in dict.fromkeys(c for name in group for c in spaces[name])
            if not {change.setting, SPREADS.get(change.setting, "?")[0]} & {*without}
        )
        names = sorted({change.setting for change, _ in every})
        kinds = [
            [(names.index(change.setting) + 1) * (name in cells) for name in spaces]
            for change, cells in every
        ]
        self.kinds = np.array([*kinds, [0] * len(spaces)])  # (S + 1, C) settings
        self.constant = np.array(  # (S + 1,) which constant is open, or -1
            [
                *(
                    CONSTANTS.index(c.setting) if c.value == SOLVE else -1
                    for c, _ in every
                ),
                -1,
            ]
        )
        together = [_most_together(change, len(spaces) > 1) for change, _ in every]
        self.together = np.array(together, int)  # (S,) of how many at most
        self.changes: list[Changes] = [
            tuple(Change(scope + change.setting, change.value) for scope in scopes)
            for change, cells in every
            for scopes in [
                [f"{n}." for n in cells] if len(cells) < len(spaces) else [""]
            ]
        ]
        kept = [KEPT] * len(COLUMNS)
        self._rows = {  # (S + 1, F) of each cell
            name: np.array(
                [*(s[c] if name in cells else kept for c, cells in every), kept],
                np.int8,
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
        """Sets (n, size), no two of one setting of a cell, nor two open constants."""
        among = np.flatnonzero(self.together >= size)
        found = among[:, None]
        for _ in range(size - 1):
            each = (np.column_stack([found, np.full(len(found), one)]) for one in among)
            found = np.concatenate([*map(self._allowed, each)])
        return found

    @cached_property
    def _pairs(self) -> Array:
        return self.sets(2)

    @cached_property
    def closed_pairs(self) -> Array:
        """Without an open constant."""
        is_open = self.are_open(self._pairs)
        return self._pairs[~is_open]

    def pairs(self, order: Array, most: int) -> Array:
        """Pairs (n, 2) of the first changes in an order with any other."""
        first = order[self.together[order] >= 2][:most]
        has_first = np.isin(self._pairs, first).any(axis=1)
        return np.asarray(self._pairs[has_first])

    def _allowed(self, sets: Array) -> Array:
        before, last = sets[:, :-1], sets[:, -1]
        alike = self._are_alike(before, last[:, None]).any(axis=1)
        both_open = self.are_open(before) & (self.constant[last] >= 0)
        return sets[(before[:, -1] < last) & ~alike & ~both_open]

    def are_open(self, sets: Array) -> Array:
        """(n,): whether a set has an open constant."""
        return np.asarray((self.constant[sets] >= 0).any(axis=1))

    def of(self, one: Array, value: float = np.nan) -> Changes:
        """The changes of a set, with the value of its open constant."""
        changes = (c for at in one if at < len(self) for c in self.changes[at])
        return tuple(
            Change(c.setting, float(value)) if c.value == SOLVE else c for c in changes
        )

    def neighbours(self, answer: Changes) -> tuple[Array, float]:
        """An answer, each set one change from it, and none; and their open constant.

        A neighbour has one more change, its last, or another value of a changed setting.
        """
        by_change = {c: n for n, one in enumerate(self.changes) for c in one}
        opened = [c for c in answer if c not in by_change]
        both = (*answer, *(Change(c.setting, SOLVE) for c in opened))
        base, none = sorted({by_change[c] for c in both if c in by_change}), len(self)
        further = (n for n in range(none) if self.constant[n] < 0 and n not in base)
        rows = [[*(b for b in base if not self._are_alike(b, n)), n] for n in further]
        size = len(answer) + 1
        sets = [row + [none] * (size - len(row)) for row in (base, *rows, [])]
        return np.array(sets, int), next((c.value for c in opened), np.nan)

    def _are_alike(self, one: Any, other: Any) -> Array:
        kinds = self.kinds[other]
        return np.asarray(((self.kinds[one] == kinds) & (kinds != 0)).any(axis=-1))

    def constants(self, sets: Array, values: Array) -> Array:
        """(n, K) constants, with values (n,) of the open ones; NaN: as assumed."""
        open_ones = self.constant[sets].max(axis=1)
        found = np.full((len(sets), len(CONSTANTS)), np.nan)
        rows = np.flatnonzero(open_ones >= 0)
        bounded = np.where(open_ones > 0, np.maximum(values, LEAST_CLIP), values)
        found[rows, open_ones[rows]] = bounded[rows]
        return found


LEAST_CLIP = 1e-6


def _most_together(change: Change, several: bool) -> int:
    """How many changes at once are tried with one at most.

    Fewer with a clip, or an order of gates that no framework uses: ``several`` cells have many.
    """
    setting, value = change
    if value in ORDERS and value not in KNOWN_ORDERS:
        return 1 if several and setting.endswith("_gates") else 2
    return 2 if value == SOLVE and setting != "forget_bias" else 3


def groups(layers: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """The cells of a change: all, those of a layer, of a direction, each."""
    names = [*chain(*layers)]
    ways = [
        [n for n in names if n.endswith("_reverse") == back] for back in (False, True)
    ]
    every = (names, *layers, *ways, *([name] for name in names))
    yield from dict.fromkeys(map(tuple, filter(None, every)))


def prior(change: Change) -> float:
    """How far down a list of suspects a change stands; lower is likelier."""
    cell = change.setting.rpartition(".")[0]
    cause = cause_of(change.setting)
    unusual = cause.usual is not None and change.value not in cause.usual
    forward = bool(cell) and not cell.endswith("_reverse")
    return cause.prior + cause.unusual * unusual + cause.forward * forward


def rank(changes: Changes, assumed: Convention) -> tuple[float, ...]:
    """Sorts what conventions do first, likelier changes, all cells."""
    of_some_cells = sum("." in change.setting for change in changes)
    return (
        not conventions_with(changes, assumed),
        sum(map(prior, changes)),
        of_some_cells,
    )


def conventions_with(
    changes: Changes,
    assumed: Convention,
    of_run: Collection[str] = (),
) -> list[str]:
    """The conventions that differ from the assumed one in these changes alone.

    They have the same settings ``of_run`` too.
    """
    if any(not has_setting(change.setting) for change in changes):
        return []
    changed = assumed.changed(settings_of(changes))
    return [
        name
        for name, row in CONVENTIONS.items()
        if all(
            value_in(row, one) == value_in(changed, one)
            for one in (*_COMPARED, *of_run)
        )
    ]


def conventions_that_run(
    changes: Changes, assumed: Convention, layout: str
) -> list[str]:
    """Conventions that run a hypothesis by default, with inputs in a ``layout``."""
    changed = {one.setting for one in changes if not one.setting.endswith("gates")}
    of_run = changed.union(_OF_A_RUN) - {"layout"}
    names = conventions_with(changes, assumed, of_run)
    return [
        one for one in names if layout in ("steps", CONVENTIONS[one].behaviour.layout)
    ]


_OF_A_RUN = (
    "state",
    "reverse",
    "flip_output",
    "go_backwards",
    "initial_state",
    "lengths",
)
_COMPARED = {*COLUMNS} - {"rows", "peepholes", "peephole_gates", *_OF_A_RUN}


def conventions_having(setting: str, value: Any) -> list[str]:
    """The conventions that have a value of a setting."""
    columns = ("kernel_gates", "recurrent_gates") if setting == "gates" else (setting,)
    if (
        setting not in SETTINGS
        or not has_setting(setting)
        or setting.endswith("_gates")
    ):
        return []
    rows = CONVENTIONS.items()
    return [
        name
        for name, row in rows
        if all(value_in(row, one) == value for one in columns)
    ]
