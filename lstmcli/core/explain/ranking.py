"""Which of several readings that fit comes first: what people get wrong most."""

from __future__ import annotations

from typing import Any

from lstmcli.core.explain.causes import prior_of
from lstmcli.core.explain.space import Change, Changes
from lstmcli.core.model.conventions import CONVENTIONS, Convention, has_setting
from lstmcli.core.model.settings import SETTINGS


def prior(change: Change) -> float:
    """How far down a list of suspects a change stands; lower is likelier."""
    return prior_of(change.setting, change.value)


def rank(changes: Changes, assumed: Convention) -> tuple[float, ...]:
    """Sorts the likelier reading first: what a known row does, then the likelier changes."""
    return (0.0 if rows_with(changes, assumed) else 1.0, sum(map(prior, changes)))


def rows_with(changes: Changes, assumed: Convention) -> list[str]:
    """The rows of the table that do what was assumed, but for exactly these changes."""
    changed = changed_convention(assumed, changes)
    if changed is None:
        return []
    return [name for name, row in CONVENTIONS.items() if _runs_as(row, changed)]


_TOLD = {
    ("pytorch", "batch"): "pytorch with batch_first=True",
    ("mxnet", "batch"): 'mxnet with layout="NTC"',
}
"""Rows that lie otherwise by themselves, and what they have to be told."""


def lies_so(name: str, layout: str) -> str:
    """A row with what it has to be told to take inputs in a layout; empty if it cannot."""
    if layout in ("steps", CONVENTIONS[name].behaviour.layout):
        return name
    return _TOLD.get((name, layout), "")


def that_do_all(changes: Changes, assumed: Convention, layout: str) -> list[str]:
    """The rows that do all of a reading by themselves, but for a layout that they can be told.

    ``layout`` is that of the inputs as read.
    """
    changed = changed_convention(assumed, changes)
    if changed is None:
        return []
    compared = {*_OF_A_RUN, *(c.setting for c in changes if not c.setting.endswith("gates"))}
    names = [
        lies_so(name, layout)
        for name in rows_with(changes, assumed)
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


def rows_that(setting: str, value: Any) -> list[str]:
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
