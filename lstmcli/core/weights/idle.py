"""Settings that change nothing, as the weights or the run lack what they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lstmcli.core.model.model import Cell, named_cells
from lstmcli.core.model.settings import setting_text, split_cell
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.stored import BIASES
from lstmcli.core.weights.templates import RecognisedLstm, Settings


class _Loaded(NamedTuple):
    """The weights that settings were given for."""

    given: Settings
    slots: set[Slot]  # of all their tensors
    layers: Sequence[Sequence[Cell]]
    is_packed: bool  # they are one vector

    @property
    def roles(self) -> set[str]:
        """The roles of their tensors."""
        return {slot.role for slot in self.slots}

    @property
    def cells(self) -> list[Cell]:
        """The cells of all layers."""
        return [cell for _, cell in named_cells(self.layers)]

    @property
    def has_bias(self) -> bool:
        """Return whether a tensor has it, or the kernel."""
        in_kernel = self.cells[0].convention.storage.extra_columns > 0
        return in_kernel or not self.roles.isdisjoint(BIASES)

    @property
    def has_peepholes(self) -> bool:
        """Return whether they have, or may have, peepholes."""
        in_kernel = self.cells[0].convention.storage.peephole_columns
        return in_kernel or "peephole" in self.roles or self.have("peephole")

    def have(self, part: str) -> bool:
        """Return whether any cell has a part."""
        return any(getattr(cell, part) is not None for cell in self.cells)


class _Reason(NamedTuple):
    """Why settings change nothing, and where that is so."""

    text: str
    holds: Callable[[_Loaded], bool]
    settings: tuple[str, ...]


_REASONS = (
    _Reason(
        "there is no fused kernel",
        lambda one: "fused" not in one.roles,
        ("rows", "bias_row"),
    ),
    _Reason(
        "each gate has tensors",
        lambda one: all(slot.gate for slot in one.slots),
        ("interleaved",),
    ),
    _Reason(
        "there is one direction",
        lambda one: all(len(layer) == 1 for layer in one.layers),
        ("merge", "directions"),
    ),
    _Reason(
        "there are no peepholes",
        lambda one: not one.has_peepholes,
        ("peepholes", "peephole_gates"),
    ),
    _Reason("there is no bias", lambda one: not one.has_bias, ("bias_gates",)),
    _Reason(
        "there is no bias",
        lambda one: not one.has_bias and one.given.get("bias") != "none",
        ("bias",),
    ),
    _Reason(
        "there is no projection",
        lambda one: not one.have("projection"),
        ("projection_clip",),
    ),
    _Reason(
        "f is 1 - i",
        lambda one: all(cell.behaviour.coupled == "f=1-i" for cell in one.cells),
        ("forget_bias",),
    ),
    _Reason(
        "the weights are not one vector of a convention that packs them",
        lambda one: not one.is_packed,
        ("flat_units", "flat_layers", "flat_directions"),
    ),
)


def idle_settings(
    given: Settings,
    chosen: Sequence[RecognisedLstm],
    layers: Sequence[Sequence[Cell]],
    source: str,
    *,
    packed: bool,
    backward: Mapping[str, bool],
) -> list[str]:
    """One row per setting that changes nothing, as these weights lack what it is about.

    ``packed``: they are one vector. ``backward``: whether a cell runs backward without a setting.
    """
    slots: set[Slot] = set()
    for lstm in chosen:
        slots.update(*lstm.cells.values())
    loaded = _Loaded(given, slots, layers, packed)
    why: dict[str, str] = {}
    for reason in _REASONS:
        if reason.holds(loaded):
            why.update(dict.fromkeys(reason.settings, reason.text))
    by_itself = _backward_by_themselves(layers, backward)
    for name, value in given.items():
        cell, setting = split_cell(name)
        cells = {cell} if cell else {*backward}
        if value is True and setting == "reverse" and cells <= by_itself:
            why[name] = "the layer runs backward by itself"
    return _idle(given, why, source)


def _backward_by_themselves(
    layers: Sequence[Sequence[Cell]], backward: Mapping[str, bool]
) -> set[str]:
    """The cells that run backward without ``reverse``."""
    cells = {name for name, runs_back in backward.items() if runs_back}
    for name, cell in named_cells(layers):
        if cell.behaviour.go_backwards:
            cells.add(name)
    return cells


def idle_settings_of_run(
    given: Settings, source: str, *, masked: bool, started: bool
) -> list[str]:
    """One row per setting that changes nothing, as a run lacks what it is about.

    ``masked``: it has lengths or a mask. ``started``: it has an initial state.
    """
    why: dict[str, str] = {}
    if not masked:
        no_padding = "there are no lengths and no mask"
        why.update(masked_output=no_padding, lengths=no_padding)
    if not started:
        why["initial_state"] = "there is no initial state"
    return _idle(given, why, source)


def idle_without_lstm(given: Settings, source: str) -> list[str]:
    """One row per setting of a file without an LSTM."""
    why = {split_cell(name)[1]: "there is no LSTM" for name in given}
    return _idle(given, why, source)


def idle_of_separate_lstms(given: Settings, source: str) -> list[str]:
    """A row for the head and the front of a file whose LSTMs do not run in turn."""
    reason = "its LSTMs do not run one after the other; --layer chooses one"
    return _idle(given, {"front": reason, "head": reason}, source)


def _idle(given: Settings, why: Mapping[str, str], source: str) -> list[str]:
    rows = []
    for name, value in given.items():
        reason = why.get(name) or why.get(split_cell(name)[1])
        if reason:
            rows.append(
                f"{source}: {name}={setting_text(value)} changes nothing: {reason}."
            )
    return rows
