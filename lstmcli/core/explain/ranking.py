"""Which of several readings that fit comes first: what people get wrong most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.explain.space import CONSTANTS, KNOWN_ORDERS, SPREADS, Change, Changes
from lstmcli.core.model.conventions import CONVENTIONS, Convention, has_setting
from lstmcli.core.model.settings import SETTINGS

PLAIN = (0.0, 1.0)
"""Forget biases that frameworks add."""

# lower is likelier; from counts of public questions
_PRIOR: Mapping[str, float] = {
    "gates": 1, "state": 2, "initial_state": 2.2, "bias": 2.4, "reverse": 2.6, "flip_output": 2.7,
    "recurrent_activation": 3, "interleaved": 3.2, "transposed": 3.3, "rows": 3.4,
    "forget_bias": 3.5, "layout": 4, "lengths": 4.2, "masked_output": 4.4, "array": 4.6,
    "merge": 4.7, "coupled": 5, "peepholes": 5.2, "activation": 5.4, "output_activation": 5.6,
    "recurrent_gates": 6, "kernel_gates": 6.2, "bias_gates": 6.4, "cell_clip": 7, "gate_clip": 7.5,
    "dtype": 8,
}  # fmt: skip
_EXOTIC = 5.0  # added for values that no framework has there
_SOLVED = 3.0  # added for a constant that is neither 0 nor 1


def prior(change: Change) -> float:
    """How far down a list of suspects a change stands."""
    setting = change.setting.rpartition(".")[2]
    value = change.value
    weight = _PRIOR.get(setting, 9.0)
    if setting.endswith("gates") and value not in KNOWN_ORDERS:
        weight += _EXOTIC
    if setting in CONSTANTS and value not in PLAIN:
        weight += _SOLVED
    if setting == "recurrent_activation" and not str(value).startswith(("sigmoid", "hard")):
        weight += _EXOTIC
    if setting == "activation" and str(value).startswith(("sigmoid", "hard")):
        weight += _EXOTIC
    if setting == "output_activation" and value not in ("identity", "tanh"):
        weight += _EXOTIC
    return weight


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
    """The rows of the table that have a value of a setting: who does it that way."""
    if setting in SPREADS and setting == "gates":
        return [
            name
            for name, row in CONVENTIONS.items()
            if row.storage.order_of("kernel") == row.storage.order_of("recurrent") == value
        ]
    if setting not in SETTINGS or not has_setting(setting):
        return []
    if setting.endswith("_gates"):
        return []
    return [name for name, row in CONVENTIONS.items() if row.setting(setting) == value]
