"""The placements of EXPECTED on runs with lengths, given or found.

Lengths are shown by outputs that are zero or do not change past an end, or by inputs that are
constant there. Of last states they are solved for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import OF_HEAD
from lstmcli.core.explain.causes import SOLVE, Change, Changes, Settings, settings_of
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.network_simulator import LOOSE, NetworkSimulator
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.placement import (
    FEWEST_NUMBERS,
    LENGTHS_FOUND,
    UNLIKELY,
    Placement,
)
from lstmcli.core.explain.setups import Setup
from lstmcli.core.explain.verify import FINE, NEVER, Agreement, Remarks, remark
from lstmcli.core.forward.head import head_output, taken_at_each_end
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import run_in_memory
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import as_time_major, cell_name
from lstmcli.core.model.steps import shown_lengths, valid_until
from lstmcli.errors import UserError

UNKNOWN = Change("lengths", SOLVE)


def placements(setup: Setup, location: Location) -> Iterator[Placement]:
    """EXPECTED at a location on the runs of a setup, and of other lengths."""
    plain = Placement(setup, location)
    is_from_the_start = location.is_from_the_start
    is_padded = plain.valid is not None and not plain.valid.all()
    other_runs: list[Changes] = []
    if not (setup.of_directions or setup.part) and is_from_the_start:
        other_runs.extend((change,) for change in setup.changes_of_run(location))
        other_runs.extend(_forgotten_by_layers(setup))
    if is_padded:
        yield from _at_ends(setup, location, other_runs)
    yield plain
    for changes in other_runs:
        yield Placement(setup, location, changes)
    is_all = all(one.at.is_all for one in location.arrays) and plain.expected.has_steps
    if is_all and is_padded:
        ignored = Change("lengths", "ignored")
        yield Placement(setup, location, leaves_out_padding=True)
        yield Placement(setup, location, (ignored,), leaves_out_padding=True)
    if not setup.part and is_from_the_start:
        yield from _with_shown_lengths(plain)
        yield from _with_implied_lengths(plain)


def _at_ends(
    setup: Setup, location: Location, other_runs: Sequence[Changes]
) -> Iterator[Placement]:
    """EXPECTED as the ends of sequences, which no padded output changes."""
    for at_ends in location.at_ends:
        yield Placement(setup, at_ends)
        for changes in other_runs:
            if list(settings_of(changes)) != ["masked_output"]:
                yield Placement(setup, at_ends, changes)


def _forgotten_by_layers(setup: Setup) -> Iterator[Changes]:
    """Lengths or a mask that a layer forgets, or all from one on; with either padded output."""
    layers = setup.model.layers
    if len(layers) == 1 or not setup.question.inputs.is_padded:
        return
    numbers = range(len(layers))
    forgetful = [numbers[n : n + 1] for n in numbers]
    forgetful.extend(numbers[n:] for n in numbers[1:-1])
    for some in forgetful:
        ignored: Changes = ()
        for layer in some:
            for direction in range(len(layers[layer])):
                setting = f"{cell_name(layer, direction)}.lengths"
                ignored = (*ignored, Change(setting, "ignored"))
        yield ignored
        for output in ("zero", "repeat"):  # of the layers below
            further = Change("masked_output", output)
            if output != setup.assumed(further):
                yield (*ignored, further)


def _with_shown_lengths(plain: Placement) -> Iterator[Placement]:
    """EXPECTED on runs of the lengths that outputs or inputs show, if they show other ones."""
    setup, location = plain.setup, plain.location
    assumed = setup.assumed(Change("masked_output", ""))
    padded, output = plain.expected.padded
    ends = valid_until(padded)
    if not padded[-1:].any() and plain.valid is None:
        ends = shown_lengths(as_time_major(plain.question.x, setup.layout))
        output = "run" if plain.expected.steps > 1 else assumed
    lengths = tuple(ends.tolist())
    if not output or not any(lengths) or _are_known(lengths, plain):
        return
    changes: Changes = (Change("lengths", lengths),)
    if output != assumed:
        changes += (Change("masked_output", output),)
    for one in list(location.at_ends) or [location]:
        yield Placement(setup, one, changes)


def _with_implied_lengths(plain: Placement) -> Iterator[Placement]:
    """EXPECTED as last states of sequences whose lengths are solved for."""
    location, (steps, count) = plain.location, plain.setup.size
    numbers = plain.expected.distinct(plain.allowance)
    is_of_several = count > 1 and steps > 1 and location.first.sequences.is_all
    if not is_of_several or numbers < FEWEST_NUMBERS + count:
        return
    at_ends = location
    if not location.state:
        ends = list(location.at_ends)
        if not plain.model.backward or not ends:
            return
        at_ends = ends[0]
    for item, length in _assumed_ends(plain):
        yield ImpliedLengths(plain, at_ends, item, length)


def _assumed_ends(plain: Placement) -> list[tuple[int, int]]:
    """The sequences and lengths that are assumed in turn: of one all steps, then fewer."""
    steps, count = plain.setup.size
    if not plain.model.backward:
        return [(0, steps)]
    full = [(item, steps) for item in range(count)]
    shorter = [(0, length) for length in range(steps - 1, 0, -1)]
    return full + shorter


def _are_known(lengths: tuple[int, ...], one: Placement) -> bool:
    steps = one.setup.size[0]
    valid = np.arange(steps)[:, None] < np.array(lengths)
    return min(lengths) == steps or (
        one.valid is not None and np.array_equal(valid, one.valid)
    )


class ImpliedLengths(Placement):
    """EXPECTED at the ends of sequences whose lengths each hypothesis implies.

    Where a cell runs backward, hypotheses assume that ``item`` has a ``length``.
    """

    def __init__(
        self,
        plain: Placement,
        location: Location,
        item: int,
        length: int,
    ) -> None:
        super().__init__(plain.setup, location, (UNKNOWN,))
        self._plain, self._item, self._length = plain, item, length
        self._fixed: dict[tuple[int, ...], Placement] = {}

    @property
    def group(self) -> int:
        """When it is searched: at once if no sequence is known to be padded."""
        is_full = self._length == self.setup.size[0]
        if self._plain.valid is None and is_full:
            return LENGTHS_FOUND
        return UNLIKELY

    @property
    def valid(self) -> Array:
        """(T, B): the steps assumed to count."""
        steps, count = self.setup.size
        return np.repeat(np.arange(steps)[:, None] < self._length, count, axis=1)

    def simulator_on(self, item: int | None = None) -> NetworkSimulator:
        """The network over a sequence, as long as assumed; without backward cells of any length."""
        backward = self.model.backward
        lengths: Any = "ignored"
        if backward:
            lengths = (self._length,) * self.setup.size[1]
        return NetworkSimulator(
            self.cells,
            self.singles,
            self.case,
            self.allowance,
            (Change("lengths", lengths),),
            self._item if item is None else item,
            at_any_step=not backward,
        )

    def may_fit(self) -> bool:
        """Tell that lengths are solved for before anything is compared."""
        return True

    def verify(self, changes: Changes, allowance: Allowance | None = None) -> Agreement:
        """Run the network with changes and the nearest lengths, and compare."""
        fixed = self.for_changes(changes)
        return NEVER if fixed is None else fixed.verify(changes, allowance)

    def for_changes(self, changes: Changes) -> Placement | None:
        """EXPECTED on a run of the lengths that fit the changes, if any do."""
        lengths = self._solve(settings_of(changes))
        if not lengths:
            return None
        if lengths not in self._fixed:
            of_lengths = (Change("lengths", lengths),)
            self._fixed[lengths] = Placement(self.setup, self.location, of_lengths)
        return self._fixed[lengths]

    def _solve(self, settings: Settings) -> tuple[int, ...]:
        """The lengths with which a run comes near; none if not, or if as given."""
        steps = self.setup.size[0]
        try:
            ends: Iterable[int] = (steps,)
            if self.case.model({**settings, **FINE}).backward:
                if self._off(settings, self._length)[-1, self._item] > LOOSE:
                    return ()
                ends = range(1, steps + 1)
            off = np.concatenate([self._off(settings, end) for end in ends])  # (T, B)
        except UserError:
            return ()
        lengths = tuple((1 + off.argmin(axis=0)).tolist())
        is_far = off.min(axis=0).max() > LOOSE
        return () if is_far or _are_known(lengths, self._plain) else lengths

    def _off(self, settings: Settings, end: int) -> Array:
        """(1, B): how far off, in tolerances, the end of a run up to a step is.

        Or (T, B) at each step, where all cells run forward.
        """
        of_run = (self.setup.changes, self.location, self.allowance)
        key = ("ends", of_run, *settings.items(), end)
        return self.question.runs.get(key, partial(self._run_to, settings, end))

    def _run_to(self, settings: Settings, end: int) -> Array:
        x = self.question.x
        first_steps = x[:, :end] if self.setup.layout == "batch" else x[:end]
        case = self.case.under(x=first_steps, lengths=None, mask=None)
        plan = case.plan({**FINE, **settings})
        arrays, worst = run_in_memory(plan), np.zeros((1, 1))
        numbers = self.setup.numbers
        for _, name, at, known in self.location.known(numbers, self.valid):
            *_, items, units = at
            at_ends = _at_each_end(plan, arrays, name)[:, items, units]
            off = np.abs(at_ends - known.values) / self.allowance.of(known)
            off = np.nan_to_num(off, nan=0.0, posinf=np.inf)
            worst = np.maximum(worst, off.max(axis=2))
        return worst


def _at_each_end(plan: Plan, given: Mapping[str, Array], name: str) -> Array:
    """The array (T, B, K) of sequences that end at each step; backward at the last alone."""
    head = plan.head
    if plan.model.backward:
        return given[name][None] if "final_" in name else given[name][-1:]
    if name in OF_HEAD and head is not None:
        return head_output(head, taken_at_each_end(head.steps, given["h"]))
    return given[name.replace("final_", "")]


def shown(placements: Sequence[Placement]) -> Remarks:
    """The lengths that EXPECTED shows, if nothing is found next to them."""
    for one in placements:
        is_plain = one.location.is_plain and not one.setup.changes
        is_shown = bool(one.lengths) and is_plain and one.expected.has_steps
        settings = settings_of(one.run_changes)
        runs_on = settings.get("masked_output") == "run"
        if is_shown and not runs_on and one.question.inputs.mask is None:
            yield remark("shown_lengths", given=settings)
            return
