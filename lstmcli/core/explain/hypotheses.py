"""Hypotheses: what was assumed of a cell, with changed settings.

Each setting that a step of a cell can show is a column of integers; a code is a place in the
column's list of values, 0 being the assumed one. Sets of changes that come to the same row are one
hypothesis, said in two ways. What people get wrong most comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.causes import CAUSES, COLUMNS, KNOWN_ORDERS, SPREADS, prior_of
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention, has_setting
from lstmcli.core.model.settings import SETTINGS


def spelled_out(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings such that none of those given before is stronger than a changed one.

    ``activation`` means the output's too, unless somebody has set that by itself.
    ``go_backwards`` is no shorter name of two settings: it is stronger than they are.
    """
    stale = {
        special: settings[general]
        for general, specials in SPREADS.items()
        if general in settings and general != "go_backwards"
        for special in specials
        if special != general and special in given and special not in settings
    }
    return {**settings, **stale}


class Change(NamedTuple):
    """A setting and the value that it takes instead of the assumed one."""

    setting: str
    value: Any


Changes = tuple[Change, ...]
NONE = -1  # the place of no change


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
        rows = [*map(self._row, self.singles), [-1] * len(self.columns)]
        self.table = np.array(rows, np.int8)  # (S + 1, F); the last changes nothing
        settings = [single.setting for single in self.singles]
        self._settings = np.unique(settings, return_inverse=True)[1]  # a number for each

    def _singles(self, assumed: Mapping[str, Any], without: set[str]) -> list[Change]:
        """General settings come before special ones, which are stronger."""
        found = []
        for setting in (*SPREADS, *(n for n in COLUMNS if n not in SPREADS)):
            column = SPREADS.get(setting, (setting,))[0]
            if setting in without or column in without:
                continue
            columns = SPREADS.get(setting, (setting,))
            known = [v for v in KNOWN_ORDERS if v in COLUMNS[column]]
            values = dict.fromkeys([*known, *CAUSES[setting].values])
            for value in values:
                # the assumed output activation is a change beside a changed activation
                is_change = setting == "output_activation" and "activation" not in without
                if is_change or any(assumed[name] != value for name in columns):
                    found.append(Change(setting, value))
        return found

    def _row(self, change: Change) -> list[int]:
        """The codes that a change sets; -1 keeps a column."""
        columns = SPREADS.get(change.setting, (change.setting,))
        return [
            self.values[name].index(change.value) if name in columns else -1
            for name in self.columns
        ]

    @property
    def settings(self) -> frozenset[str]:
        """The settings that changes are of."""
        return frozenset({*self.columns, *(single.setting for single in self.singles)})

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

    def codes(self, sets: Array) -> Array:
        """The rows (n, F) that sets of changes, or of ``NONE``, come to."""
        rows = np.zeros((len(sets), len(self.columns)), np.int8)
        for k in range(sets.shape[1]):
            change = self.table[sets[:, k]]
            np.copyto(rows, change, where=change >= 0)
        return rows

    def changes(self, one: Array) -> Changes:
        """A set of changes in words."""
        return tuple(self.singles[n] for n in one)


# ---- which of several comes first: what people get wrong most


def prior(change: Change) -> float:
    """How far down a list of suspects a change stands; lower is likelier."""
    return prior_of(change.setting, change.value)


def rank(changes: Changes, assumed: Convention) -> tuple[float, ...]:
    """Sorts the likelier hypothesis first: what a known row does, then the likelier changes."""
    return (0.0 if conventions_with(changes, assumed) else 1.0, sum(map(prior, changes)))


def conventions_with(changes: Changes, assumed: Convention) -> list[str]:
    """The rows of the table that do what was assumed, but for exactly these changes."""
    changed = changed_convention(assumed, changes)
    if changed is None:
        return []
    return [name for name, row in CONVENTIONS.items() if _runs_as(row, changed)]


LAYOUT_OPTIONS = {
    ("pytorch", "batch"): "pytorch with batch_first=True",
    ("mxnet", "batch"): 'mxnet with layout="NTC"',
}
"""Conventions that have another layout by default, and the option that sets it."""


def convention_in_layout(name: str, layout: str) -> str:
    """A convention with the option that gives it a layout; empty if it has none."""
    if layout in ("steps", CONVENTIONS[name].behaviour.layout):
        return name
    return LAYOUT_OPTIONS.get((name, layout), "")


def conventions_that_run(changes: Changes, assumed: Convention, layout: str) -> list[str]:
    """The conventions that do all of a hypothesis by default, but for a layout that is an option.

    ``layout`` is that of the inputs as loaded.
    """
    changed = changed_convention(assumed, changes)
    if changed is None:
        return []
    compared = {*_OF_A_RUN, *(c.setting for c in changes if not c.setting.endswith("gates"))}
    names = [
        convention_in_layout(name, layout)
        for name in conventions_with(changes, assumed)
        if all(
            CONVENTIONS[name].setting(setting) == changed.setting(setting)
            for setting in compared - {"layout"}
        )
    ]
    return [name for name in names if name]


def changed_convention(assumed: Convention, changes: Changes) -> Convention | None:
    """The convention with the changes, if all of them are settings of one."""
    if any(not has_setting(change.setting) for change in changes):
        return None
    return assumed.changed({change.setting: change.value for change in changes})


_COMPARED = (
    "interleaved", "transposed", "forget_bias", "activation", "recurrent_activation",
    "output_activation", "coupled", "cell_clip", "gate_clip", "bias",
)  # fmt: skip

_OF_A_RUN = ("state", "reverse", "flip_output", "go_backwards", "initial_state", "lengths")


def _runs_as(row: Convention, how: Convention) -> bool:
    orders = all(
        row.storage.order_of(t) == how.storage.order_of(t) for t in ("kernel", "recurrent", "bias")
    )
    return orders and all(row.setting(n) == how.setting(n) for n in _COMPARED)


def conventions_having(setting: str, value: Any) -> list[str]:
    """The conventions that have a value of a setting."""
    if setting == "gates":
        return [
            name
            for name, row in CONVENTIONS.items()
            if row.storage.order_of("kernel") == row.storage.order_of("recurrent") == value
        ]
    if setting not in SETTINGS or not has_setting(setting) or setting.endswith("_gates"):
        return []
    return [name for name, row in CONVENTIONS.items() if row.setting(setting) == value]
