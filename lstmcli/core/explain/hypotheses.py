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
    given = {}
    for name, value in model.settings().items():
        if name != "edits" and all(_restates(name, value, one) for one in conventions):
            given[name] = value
    for name, value in model.given.items():
        if name != "dtype":
            given[name] = value
    return given | spelled_out(settings, given)


def _restates(name: str, value: Any, convention: Convention) -> bool:
    if name == "gates" and len(value) < len(GATES):  # three blocks have one order
        return False
    # without it, that of the activation
    output = {"output_activation": convention.behaviour.output_activation}
    return convention.changed({**output, name: value}) == convention


Spaces = Mapping[str, Mapping[Change, Sequence[int]]]
"""By cell, the codes of each change."""

NO_CONSTANT = -1  # is open; otherwise a position among `CONSTANTS`
FORGET_BIAS = 0  # the other constants are clips
LEAST = np.array([-np.inf, 1e-6, 1e-6, 1e-6])
"""Of each constant, that is tried."""


class SingleChanges:
    """The single changes of a network: of all cells, a layer, a direction or a cell.

    ``layers`` are names of cells, ``spaces`` their changes in that order, ``without``
    settings that EXPECTED does not show.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[str]],
        spaces: Spaces,
        without: Collection[str] = (),
    ) -> None:
        self.layers = layers
        every = _changes_of_cells(layers, spaces, without)
        settings = sorted({change.setting for change, _ in every})
        count = len(every)
        self.changes: list[Changes] = []
        self.constant = np.full(count + 1, NO_CONSTANT)  # (S + 1,) which is open
        self.together = np.zeros(count, int)  # (S,) of how many at most
        # (S + 1, C): the number of the setting that each changes in a cell, or 0
        self._settings = np.zeros((count + 1, len(spaces)), int)
        kept = np.full((count + 1, len(COLUMNS)), KEPT, np.int8)
        self._codes = {name: kept.copy() for name in spaces}  # (S + 1, F)
        for n, (change, cells) in enumerate(every):
            self.changes.append(_by_cell(change, cells, len(spaces)))
            self.together[n] = _most_together(change, len(spaces) > 1)
            if change.value == SOLVE:
                self.constant[n] = CONSTANTS.index(change.setting)
            for column, (name, space) in enumerate(spaces.items()):
                if name in cells:
                    self._settings[n, column] = 1 + settings.index(change.setting)
                    self._codes[name][n] = space[change]

    def __len__(self) -> int:
        return len(self.changes)

    def codes(self, name: str, sets: Array) -> Array:
        """The codes (n, F) of a cell under sets of changes; special settings come last."""
        codes = np.zeros((len(sets), len(COLUMNS)), np.int8)
        for k in range(sets.shape[1]):
            rows = self._codes[name][sets[:, k]]
            np.copyto(codes, rows, where=rows != KEPT)
        return codes

    # ---- sets of them

    def sets(self, size: int) -> Array:
        """Sets (n, size), no two of one setting of a cell, nor two open constants."""
        among = np.flatnonzero(self.together >= size)
        sets = among[:, None]
        for _ in range(size - 1):
            longer = []
            for last in among:
                with_last = np.column_stack([sets, np.full(len(sets), last)])
                longer.append(self._allowed(with_last))
            sets = np.concatenate(longer)
        return sets

    def _allowed(self, sets: Array) -> Array:
        """The sets whose last change may be added to those before it."""
        before, last = sets[:, :-1], sets[:, -1]
        alike = self._are_alike(before, last[:, None]).any(axis=1)
        both_open = self.are_open(before) & self.are_open(last[:, None])
        return sets[(before[:, -1] < last) & ~alike & ~both_open]

    def _are_alike(self, one: Any, other: Any) -> Array:
        """Tell which change the same setting of a cell."""
        settings = self._settings[other]
        is_same = self._settings[one] == settings
        return np.asarray((is_same & (settings != 0)).any(axis=-1))

    @cached_property
    def _pairs(self) -> Array:
        return self.sets(2)

    @cached_property
    def closed_pairs(self) -> Array:
        """Without an open constant."""
        return self._pairs[~self.are_open(self._pairs)]

    def pairs(self, order: Array, most: int) -> Array:
        """Pairs (n, 2) of the first changes in an order with any other."""
        first = order[self.together[order] >= 2][:most]
        has_first = np.isin(self._pairs, first).any(axis=1)
        return np.asarray(self._pairs[has_first])

    def of(self, single_set: Array, value: float = np.nan) -> Changes:
        """The changes of a set, with the value of its open constant."""
        changes = []
        for n in single_set:
            if n < len(self):
                for change in self.changes[n]:
                    is_open = change.value == SOLVE
                    given = float(value) if is_open else change.value
                    changes.append(Change(change.setting, given))
        return tuple(changes)

    def neighbours(self, answer: Changes) -> tuple[Array, float]:
        """An answer, each set one change from it, and none; and their open constant.

        A neighbour has one more change, its last, or another value of a changed setting.
        """
        places: dict[Change, int] = {}
        for n, changes in enumerate(self.changes):
            places.update(dict.fromkeys(changes, n))
        solved = [change for change in answer if change not in places]
        opened = [Change(change.setting, SOLVE) for change in solved]
        base = sorted({places[one] for one in chain(answer, opened) if one in places})
        rows = [base]
        for n in np.flatnonzero(self.constant[:-1] == NO_CONSTANT).tolist():
            if n not in base:
                kept = [one for one in base if not self._are_alike(one, n)]
                rows.append([*kept, n])
        sets = np.full((len(rows) + 1, len(answer) + 1), len(self))
        for n, row in enumerate(rows):
            sets[n, : len(row)] = row
        return sets, solved[0].value if solved else np.nan

    # ---- constants

    def open_constant(self, sets: Array) -> Array:
        """(n,): which constant of a set is open, or `NO_CONSTANT`."""
        return np.asarray(self.constant[sets].max(axis=1))

    def are_open(self, sets: Array) -> Array:
        """(n,): whether a set has an open constant."""
        return np.not_equal(self.open_constant(sets), NO_CONSTANT)

    def constants(self, sets: Array, values: Array) -> Array:
        """(n, K) constants, with values (n,) of the open ones; NaN: as assumed."""
        constant = self.open_constant(sets)
        constants = np.full((len(sets), len(CONSTANTS)), np.nan)
        rows = np.flatnonzero(constant != NO_CONSTANT)
        which = constant[rows]
        constants[rows, which] = np.maximum(values[rows], LEAST[which])
        return constants


def _changes_of_cells(
    layers: Sequence[Sequence[str]],
    spaces: Spaces,
    without: Collection[str],
) -> list[tuple[Change, tuple[str, ...]]]:
    """Each change, and the cells of which it is one."""
    every: dict[tuple[Change, tuple[str, ...]], None] = {}
    for group in groups(layers):
        for change in dict.fromkeys(chain.from_iterable(spaces[n] for n in group)):
            columns = SPREADS.get(change.setting, (change.setting,))
            if change.setting in without or columns[0] in without:
                continue
            cells = tuple(name for name in group if change in spaces[name])
            every[change, cells] = None
    return list(every)


def _by_cell(change: Change, cells: Collection[str], count: int) -> Changes:
    """A change as it is given: with the names of its cells, unless these are all."""
    if len(cells) == count:
        return (change,)
    return tuple(Change(f"{name}.{change.setting}", change.value) for name in cells)


def _most_together(change: Change, has_several: bool) -> int:
    """How many changes at once are tried with one at most.

    Fewer with a clip, or an order of gates that no framework uses: networks have many.
    """
    setting, value = change
    if value in ORDERS and value not in KNOWN_ORDERS:
        return 1 if has_several and setting.endswith("_gates") else 2
    return 2 if value == SOLVE and setting != "forget_bias" else 3


def groups(layers: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """The cells of a change: all, those of a layer, of a direction, each."""
    names = [*chain(*layers)]
    forward = [name for name in names if not name.endswith("_reverse")]
    backward = [name for name in names if name.endswith("_reverse")]
    every = [names, *layers, forward, backward]
    every.extend([name] for name in names)
    yield from dict.fromkeys(map(tuple, filter(None, every)))


# ---- which is likelier, and what conventions do


def prior(change: Change) -> float:
    """How far down a list of suspects a change stands; lower is likelier."""
    cell = change.setting.rpartition(".")[0]
    cause = cause_of(change.setting)
    place = cause.prior
    if cause.usual is not None and change.value not in cause.usual:
        place += cause.unusual
    if cell and not cell.endswith("_reverse"):
        place += cause.forward
    return place


def rank(changes: Changes, assumed: Convention) -> tuple[float, ...]:
    """Sorts what conventions do first, likelier changes, all cells."""
    of_some_cells = sum("." in change.setting for change in changes)
    is_of_none = not conventions_with(changes, assumed)
    return is_of_none, sum(map(prior, changes)), of_some_cells


_OF_A_RUN = (
    "state",
    "reverse",
    "flip_output",
    "go_backwards",
    "initial_state",
    "lengths",
)
_COMPARED = {*COLUMNS} - {"rows", "peepholes", "peephole_gates", *_OF_A_RUN}


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
    wanted = {name: value_in(changed, name) for name in _COMPARED.union(of_run)}
    return _conventions(wanted)


def _conventions(wanted: Mapping[str, Any]) -> list[str]:
    """The conventions that have these values of settings."""
    names = []
    for name, row in CONVENTIONS.items():
        if all(value_in(row, setting) == value for setting, value in wanted.items()):
            names.append(name)
    return names


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


def conventions_having(setting: str, value: Any) -> list[str]:
    """The conventions that have a value of a setting."""
    is_of_tensor = setting.endswith("_gates")
    if setting not in SETTINGS or not has_setting(setting) or is_of_tensor:
        return []
    columns = ("kernel_gates", "recurrent_gates") if setting == "gates" else (setting,)
    return _conventions(dict.fromkeys(columns, value))
