"""Changes of settings, in codes for one cell, and which of several hypotheses is likelier.

A hypothesis is a set of changes. In `Space` each setting of a cell is a column of integers: a code
is the position of a value in the column's list, 0 being the assumed value. Sets of changes with
the same codes are one hypothesis. The likeliest mistakes come first.
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
    """Add the special settings that would otherwise override a changed general one.

    ``activation`` changes the output's too, unless that is given. ``go_backwards`` is not an
    abbreviation of two settings: it overrides them.
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
NONE = -1  # the position of no change


def settings_of(changes: Changes) -> dict[str, Any]:
    """Changes as settings by name."""
    return {change.setting: change.value for change in changes}


class Space:
    """All single changes that can make a difference in one cell, as rows of codes.

    ``assumed`` gives each column's value; ``without`` names columns that make no difference, such
    as peepholes where there are none; ``barred`` are single changes that cannot be run.
    """

    def __init__(
        self,
        assumed: Mapping[str, Any],
        without: Sequence[str] = (),
        barred: Sequence[Change] = (),
    ) -> None:
        self.columns = tuple(COLUMNS)
        self._column = {name: n for n, name in enumerate(COLUMNS)}
        self.values = {
            name: [assumed[name], *(v for v in values if v != assumed[name])]
            for name, values in COLUMNS.items()
        }
        singles = self._singles(assumed, set(without))
        self.singles = tuple(single for single in singles if single not in barred)
        rows = [*map(self._row, self.singles), [-1] * len(self.columns)]
        self.table = np.array(rows, np.int8)  # (S + 1, F); the last changes nothing

    def _singles(self, assumed: Mapping[str, Any], without: set[str]) -> list[Change]:
        """General settings come before special ones, which override them."""
        found = []
        for setting in (*SPREADS, *(n for n in COLUMNS if n not in SPREADS)):
            columns = SPREADS.get(setting, (setting,))
            if setting in without or columns[0] in without:
                continue
            known = [v for v in KNOWN_ORDERS if v in COLUMNS[columns[0]]]
            for value in dict.fromkeys([*known, *CAUSES[setting].values]):
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

    def column(self, name: str) -> int:
        """The position of a column."""
        return self._column[name]

    def codes(self, sets: Array) -> Array:
        """The codes (n, F) of sets (n, k) of positions among the singles, or of ``NONE``."""
        rows = np.zeros((len(sets), len(self.columns)), np.int8)
        for k in range(sets.shape[1]):
            change = self.table[sets[:, k]]
            np.copyto(rows, change, where=change >= 0)
        return rows


# ---- which of several hypotheses is likelier


def prior(change: Change) -> float:
    """How far down a list of suspects a change stands; lower is likelier."""
    return prior_of(change.setting, change.value)


def rank(changes: Changes, assumed: Convention) -> tuple[float, ...]:
    """Key of the likelier hypothesis first: what a known convention does, then likelier changes.

    Changes of all cells come before the same changes of some.
    """
    of_some_cells = sum("." in change.setting for change in changes)
    known = 0.0 if conventions_with(changes, assumed) else 1.0
    return (known, sum(map(prior, changes)), of_some_cells)


def conventions_with(changes: Changes, assumed: Convention) -> list[str]:
    """The conventions that differ from the assumed one in exactly these changes."""
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
    """The conventions that run a hypothesis by default, or with an option for the layout.

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
