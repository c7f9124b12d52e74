"""The single changes that a cell can show, each as a row of codes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.core.explain.causes import (
    CAUSES,
    COLUMNS,
    KEPT,
    KNOWN_ORDERS,
    ORDERS_OF_TENSORS,
    SPREADS,
    Change,
)
from lstmcli.core.model.vocabulary import GATES, ONE_OF_TWO

if TYPE_CHECKING:
    from lstmcli.core.explain.simulator import Simulator


def shown_changes(simulator: Simulator) -> dict[Change, list[int]]:
    """The changes of a cell that can be run and make a difference."""
    idle = {*_idle_tensors(simulator), *_idle_settings(simulator)}
    return single_changes(simulator.values, idle, list(_barred(simulator)))


def _idle_settings(simulator: Simulator) -> Iterator[str]:
    """The settings that the equations of a cell do not use."""
    cell, how = simulator.cell, simulator.how.behaviour
    if cell.peephole is None:
        yield "peepholes"
    if cell.projection is None:
        yield "projection_clip"
    if how.go_backwards:
        yield "reverse"
    if how.reverse or how.flip_output:  # then it is the same as one of the two
        yield "go_backwards"
    ways = set()
    for way in COLUMNS["coupled"]:  # three blocks leave no choice
        settings = {"coupled": way}
        ways.add(simulator.decode(settings).convention.behaviour.coupled)
    if ways == {how.coupled}:
        yield "coupled"


def _idle_tensors(simulator: Simulator) -> Iterator[str]:
    """The settings that leave the tensors of a cell as they are."""
    storage, is_same = simulator.how.storage, simulator.tensors.is_same
    if is_same("kernel", rows="hx" if storage.rows == "xh" else "xh"):
        yield "rows"
    is_one_unit = simulator.cell.units == 1
    if not is_one_unit and is_same("kernel", interleaved=not storage.interleaved):
        yield "interleaved"
    orders = simulator.peepholes
    if orders is None or (orders == simulator.cell.peephole).all():
        yield "peephole_gates"
    if len(storage.gates) < len(GATES):
        yield from ORDERS_OF_TENSORS


def _barred(simulator: Simulator) -> Iterator[Change]:
    """The changes that do the same as others."""
    tensors = simulator.tensors
    once, input_only = tensors.bias(bias="once"), tensors.bias(bias="input_only")
    if np.array_equal(input_only, once):  # there is one bias
        for value in ONE_OF_TWO:
            yield Change("bias", value)
    if tensors.is_same("kernel", transposed="reshaped_kernel"):  # fused
        for part in ("kernel", "recurrent"):
            yield Change("transposed", f"reshaped_{part}")


def single_changes(
    values: Mapping[str, Sequence[Any]],
    without: Collection[str] = (),
    barred: Collection[Change] = (),
) -> dict[Change, list[int]]:
    """All single changes that one cell can show, each as a row of codes (F,).

    ``values`` are those of each column, the assumed one first: a code is a position among them.
    ``without`` names columns that make no difference, such as peepholes where there are none;
    ``barred`` changes cannot be run. Special settings come last: they override general ones.
    """
    rows = {}
    for setting in dict.fromkeys((*SPREADS, *COLUMNS)):
        columns = SPREADS.get(setting, (setting,))
        if setting in without or columns[0] in without:
            continue
        # as assumed is a change next to another activation
        is_change = setting == "output_activation" and "activation" not in without
        usual_first = [v for v in KNOWN_ORDERS if v in COLUMNS[columns[0]]]
        usual_first.extend(CAUSES[setting].values)
        for value in dict.fromkeys(usual_first):
            change = Change(setting, value)
            differs = is_change or any(values[name][0] != value for name in columns)
            if differs and change not in barred:
                rows[change] = _codes_of(value, columns, values)
    return rows


def _codes_of(
    value: Any, columns: Collection[str], values: Mapping[str, Sequence[Any]]
) -> list[int]:
    """The codes (F,) of a change that sets some columns to a value."""
    codes = []
    for name in COLUMNS:
        codes.append(values[name].index(value) if name in columns else KEPT)
    return codes


def values_from(assumed: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of each column, the assumed one first."""
    values = {}
    for name, every in COLUMNS.items():
        others = [value for value in every if value != assumed[name]]
        values[name] = [assumed[name], *others]
    return values
