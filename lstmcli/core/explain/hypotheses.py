"""Changes of settings, in codes for one cell, and which of several hypotheses is likelier.

A hypothesis is a set of changes. In `Space` each setting of a cell is a column of integers: a code
is the position of a value in the column's list, 0 being the assumed value. Sets of changes with
the same codes are one hypothesis. The likeliest mistakes come first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lstmcli.core.explain.causes import CAUSES, COLUMNS, KNOWN_ORDERS, SPREADS, prior_of
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
KEPT = -1  # the code of a column that a change does not set


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
        self.values = {
            name: [assumed[name], *(v for v in values if v != assumed[name])]
            for name, values in COLUMNS.items()
        }
        every = self._singles(assumed, without)
        self.singles = {single: self._row(single) for single in every if single not in barred}

    def _singles(self, assumed: Mapping[str, Any], without: Sequence[str]) -> Iterator[Change]:
        """General settings come before special ones, which override them."""
        for setting in (*SPREADS, *(n for n in COLUMNS if n not in SPREADS)):
            columns = SPREADS.get(setting, (setting,))
            if setting in without or columns[0] in without:
                continue
            # the assumed output activation is a change beside a changed activation
            is_change = setting == "output_activation" and "activation" not in without
            known = [v for v in KNOWN_ORDERS if v in COLUMNS[columns[0]]]
            for value in dict.fromkeys([*known, *CAUSES[setting].values]):
                if is_change or any(assumed[name] != value for name in columns):
                    yield Change(setting, value)

    def _row(self, change: Change) -> list[int]:
        """The codes (F,) that a change sets; -1 keeps a column."""
        columns = SPREADS.get(change.setting, (change.setting,))
        return [
            values.index(change.value) if name in columns else KEPT
            for name, values in self.values.items()
        ]

    def column(self, name: str) -> int:
        """The position of a column."""
        return [*COLUMNS].index(name)


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


def conventions_with(
    changes: Changes, assumed: Convention, of_run: Collection[str] = ()
) -> list[str]:
    """The conventions that differ from the assumed one in exactly these changes.

    They have the same value of settings ``of_run`` too.
    """
    if any(not has_setting(change.setting) for change in changes):
        return []
    changed = assumed.changed(settings_of(changes))
    return [
        name
        for name, row in CONVENTIONS.items()
        if all(row.storage.order_of(one) == changed.storage.order_of(one) for one in _TENSORS)
        and all(row.setting(one) == changed.setting(one) for one in (*_COMPARED, *of_run))
    ]


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
    changed = {one.setting for one in changes if not one.setting.endswith("gates")}
    of_run = changed.union(_OF_A_RUN) - {"layout"}
    names = conventions_with(changes, assumed, of_run)
    return [one for name in names if (one := convention_in_layout(name, layout))]


_TENSORS = ("kernel", "recurrent", "bias")
_COMPARED = (
    "interleaved", "transposed", "forget_bias", "activation", "recurrent_activation",
    "output_activation", "coupled", "cell_clip", "gate_clip", "bias",
)  # fmt: skip
_OF_A_RUN = ("state", "reverse", "flip_output", "go_backwards", "initial_state", "lengths")


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
