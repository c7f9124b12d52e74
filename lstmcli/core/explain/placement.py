"""EXPECTED as arrays at a location on one run of the network.

What a placement changes counts like any change. `Attempt` finds the changes of the cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.causes import Changes, settings_of
from lstmcli.core.explain.hypotheses import SingleChanges
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.network_simulator import NetworkSimulator
from lstmcli.core.explain.observation import Allowance, Expected, KnownValues
from lstmcli.core.explain.setups import Setup
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.explain.verify import Agreement, Case, arrays_if_run, verify
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.core.model.surroundings import LAST as LAST_STEP

LENGTHS_FOUND, ORDINARY, UNLIKELY = range(3)
GROUPS = LENGTHS_FOUND, ORDINARY, UNLIKELY
"""In the order of the search: lengths need fewer runs than two changes."""
FEWEST_NUMBERS = 3  # different ones that prove a layout or a merge
_NO_VALUES = KnownValues(np.zeros(0), np.zeros(0))


class Placement:
    """EXPECTED at a location on a run: facts, which no search changes.

    ``run_changes`` are changes of the run next to those of the setup. ``leaves_out_padding``: only
    steps that count are compared.
    """

    def __init__(
        self,
        setup: Setup,
        location: Location,
        run_changes: Changes = (),
        leaves_out_padding: bool = False,
        allowance: Allowance | None = None,
    ) -> None:
        self.setup = setup
        self.location = location
        self.run_changes = run_changes
        self.leaves_out_padding = leaves_out_padding
        self.question = setup.question
        self.allowance = allowance or self.question.exactness.allowances[-1]

    @property
    def model(self) -> Model:
        """The model as assumed."""
        return self.setup.model

    @property
    def changes(self) -> Changes:
        """All that this placement changes."""
        return self.setup.changes + self.run_changes

    @property
    def count(self) -> int:
        """How many changes it counts as: lengths with their padded outputs are one."""
        count = len(self.setup.changes)
        if self.run_changes:
            count += 1
        if self.leaves_out_padding:
            count += 1
        return count

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that were found, or none."""
        lengths = settings_of(self.run_changes).get("lengths")
        return lengths if isinstance(lengths, tuple) else ()

    @property
    def group(self) -> int:
        """When it is searched: one of `GROUPS`."""
        if self.leaves_out_padding:
            return UNLIKELY
        return LENGTHS_FOUND if self.lengths else ORDINARY

    # ---- the run, and EXPECTED on its axes

    @cached_property
    def valid(self) -> Array | None:
        """(T, B): the steps that count by lengths or a mask, given or found; None: all do."""
        settings = {"lengths": self.lengths} if self.lengths else {}
        return self._case(Expected({})).valid(settings)

    @cached_property
    def case(self) -> Case:
        """How the network is run, with EXPECTED on its axes."""
        return self._case(self.on_run(self.setup.numbers))

    @property
    def expected(self) -> Expected:
        """EXPECTED on the axes of the run."""
        return self.case.expected

    def on_run(self, numbers: Mapping[str, Numbers]) -> Expected:
        """Arrays like EXPECTED's on the axes of the run."""
        expected = self.location.expected(numbers, self.valid)
        if self.leaves_out_padding and self.valid is not None:
            return expected.at(self.valid)
        return expected

    def _case(self, expected: Expected) -> Case:
        return Case(
            self.setup.read,
            replace(self.question.inputs, x=self.question.x),
            self.setup.layout,
            expected,
            given=self.model.given,
            work=self.question.work,
            cached=self.setup.cached,
        )

    def verify(self, changes: Changes, allowance: Allowance | None = None) -> Agreement:
        """Run the network with changes, in float64, and compare."""
        every = (*self.run_changes, *changes)
        return verify(self.case, every, allowance or self.allowance)

    def may_fit(self) -> bool:
        """Tell whether the network as loaded is near EXPECTED, before a full comparison."""
        names_only = Expected(dict.fromkeys(self.location.names, _NO_VALUES))
        arrays = arrays_if_run(self._case(names_only), settings_of(self.run_changes))
        numbers = self.setup.numbers
        return self.location.may_fit(numbers, self.valid, arrays, self.allowance)

    def for_changes(self, changes: Changes) -> Placement | None:
        """The placement of a run with changes: this one; None if there is no such run."""
        return self

    # ---- the network under many changes at once

    @cached_property
    def cells(self) -> Mapping[str, Simulator]:
        """Each cell under all hypotheses: the same for all merges."""
        key = "cells", self.model.convention.storage.directions
        return self.question.runs.get(key, self.setup.simulators)

    @cached_property
    def singles(self) -> SingleChanges:
        """The single changes that EXPECTED can show."""
        hidden = self._hidden_settings()
        codes = {name: cell.singles for name, cell in self.cells.items()}
        names = iter(codes)
        layers = [[next(names) for _ in layer] for layer in self.model.layers]
        key = "singles", self.model.convention.storage.directions, hidden
        made = partial(SingleChanges, layers, codes, hidden)
        return self.question.runs.get(key, made)

    def _hidden_settings(self) -> tuple[str, ...]:
        """The settings of time that so few steps of EXPECTED do not show."""
        if self.setup.size[0] == 1:
            return ("reverse", "flip_output", "go_backwards", "state")
        if len(self.model.cells) > 1 or self._is_of_last_output:
            return ()
        is_of_one_step = self.expected.steps < 2
        has_states_only = not self.expected.has_steps
        hidden = []
        if is_of_one_step or has_states_only:
            hidden.append("go_backwards")
        if is_of_one_step and has_states_only:
            hidden.append("flip_output")
        return tuple(hidden)

    @property
    def _is_of_last_output(self) -> bool:
        """Tell whether EXPECTED is y of the output that is given last, in whatever order."""
        head = self.model.head
        return head is not None and head.steps == LAST_STEP and self.expected.is_of_head

    def simulator_on(self, item: int | None = None) -> NetworkSimulator:
        """The network over a sequence of the batch, by default the one that is known best."""
        return NetworkSimulator(
            self.cells, self.singles, self.case, self.allowance, self.run_changes, item
        )
