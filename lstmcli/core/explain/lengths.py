"""The placements of EXPECTED on runs with lengths, given or found.

Lengths are shown by outputs that are zero or do not change past an end, or by inputs that are
constant there. Of last states they are solved for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from lstmcli.core.diff.operand import OF_HEAD
from lstmcli.core.explain.causes import SOLVE, Change, Changes, Settings, settings_of
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.network_simulator import LOOSE, NetworkSimulator
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.placement import FEWEST_NUMBERS, FIRST, LAST, Placement
from lstmcli.core.explain.question import Setup
from lstmcli.core.explain.verify import FINE, NEVER, Agreement, Answer, Remarks, remark
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
    of_run: list[Changes] = [()]
    if not (setup.of_directions or setup.part) and location.is_from_the_start:
        of_run += [(change,) for change in setup.changes_of_run(location)]
        of_run += _forgotten_by_layers(setup)
    first = Placement(setup, location)
    is_padded = first.valid is not None and not first.valid.all()
    at_ends = location.at_ends if is_padded else ()
    for one, changes in product((*at_ends, location), of_run):
        is_of_outputs = [*settings_of(changes)] == ["masked_output"]
        if one is location or not is_of_outputs:  # ends are not masked
            yield Placement(setup, one, changes)
    is_all = all(one.at.is_all for one in location.arrays) and first.expected.has_steps
    for changes in (
        ((), (Change("lengths", "ignored"),)) if is_all and is_padded else ()
    ):
        yield Placement(setup, location, changes, unpadded=True)
    if not setup.part and location.is_from_the_start:
        yield from _with_other_lengths(first)


def _forgotten_by_layers(setup: Setup) -> Iterator[Changes]:
    """Lengths or a mask that a layer forgets, or all from one on; with either padded output."""
    layers = setup.model.layers
    if len(layers) == 1 or not setup.question.inputs.is_padded:
        return
    numbers = range(len(layers))
    each = [(n,) for n in numbers]
    from_one_on = [tuple(numbers[n:]) for n in numbers[1:]]
    for some in dict.fromkeys((*each, *from_one_on)):
        cells = [cell_name(n, d) for n in some for d in range(len(layers[n]))]
        ignored = tuple(Change(f"{cell}.lengths", "ignored") for cell in cells)
        yield ignored
        for output in ("zero", "repeat"):  # of the layers below
            further = Change("masked_output", output)
            if output != setup.assumed(further):
                yield (*ignored, further)


def _with_other_lengths(one: Placement) -> Iterator[Placement]:
    setup, location, (steps, count) = one.setup, one.location, one.setup.size
    assumed = setup.assumed(Change("masked_output", ""))
    padded, output = one.expected.padded
    ends = valid_until(padded)
    if not padded[-1:].any() and one.valid is None:
        ends = shown_lengths(as_time_major(one.question.x, setup.layout))
        output = "run" if one.expected.steps > 1 else assumed
    lengths = tuple(ends.tolist())
    if output and any(lengths) and not _are_known(lengths, one):
        further = (Change("masked_output", output),) * (output != assumed)
        of_run = (Change("lengths", lengths), *further)
        each = [*location.at_ends] or [location]
        yield from (Placement(setup, at, of_run) for at in each)
    enough = one.expected.distinct(one.allowance) >= FEWEST_NUMBERS + count
    if not (count > 1 < steps and location.first.sequences.is_all and enough):
        return
    backward = one.model.backward
    each = [location] if location.state else [*location.at_ends][:backward]
    known = [(item, steps) for item in range(count)]
    known += [(0, length) for length in range(steps - 1, 0, -1)]
    for at, (item, length) in product(each, known if backward else known[:1]):
        yield OpenLengths(one, at, item, length)


def _are_known(lengths: tuple[int, ...], one: Placement) -> bool:
    steps = one.setup.size[0]
    valid = np.arange(steps)[:, None] < np.array(lengths)
    return min(lengths) == steps or (
        one.valid is not None and np.array_equal(valid, one.valid)
    )


class OpenLengths(Placement):
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
        self.turn = (
            FIRST if plain.valid is None and length == self.setup.size[0] else LAST
        )

    @property
    def valid(self) -> Array:
        """(T, B): the steps assumed to count."""
        steps, count = self.setup.size
        return np.repeat(np.arange(steps)[:, None] < self._length, count, axis=1)

    def _simulator_on(self, item: int | None) -> NetworkSimulator:
        item = self._item if item is None else item
        backward = self.model.backward
        lengths = (self._length,) * self.setup.size[1] if backward else "ignored"
        return NetworkSimulator(
            self._cells, self.singles, self.case, self.allowance, (Change("lengths", lengths),),
            item, at_any_step=not backward,
        )  # fmt: skip

    def fits(self) -> bool:
        """Tell whether the network as loaded gives EXPECTED for some lengths."""
        return self.verify(()).fits

    def verify(self, changes: Changes, allowance: Allowance | None = None) -> Agreement:
        """Run the network with changes and the nearest lengths, and compare."""
        at = self._at(changes)
        return NEVER if at is None else at.verify(changes, allowance)

    def placed(
        self, answers: Sequence[Answer]
    ) -> Iterator[tuple[Placement, list[Answer]]]:
        """Answers by placement on runs of their lengths."""
        by_lengths: dict[Placement, list[Answer]] = {}
        for one in answers:
            if (at := self._at(one.changes)) is not None:
                by_lengths.setdefault(at, []).append(one)
        yield from by_lengths.items()

    def _at(self, changes: Changes) -> Placement | None:
        """EXPECTED on runs of the lengths that fit a hypothesis, if any."""
        lengths = self._solve(settings_of(changes))
        fixed = Placement(self.setup, self.location, (Change("lengths", lengths),))
        return self._fixed.setdefault(lengths, fixed) if lengths else None

    def _solve(self, settings: Settings) -> tuple[int, ...]:
        """The lengths with which a run comes near; none if not, or if as given."""
        steps = self.setup.size[0]
        try:
            backward = self.case.model({**settings, **FINE}).backward
            if backward and self._off(settings, self._length)[-1, self._item] > LOOSE:
                return ()
            ends = range(1, steps + 1) if backward else (steps,)
            off = np.concatenate([self._off(settings, end) for end in ends])  # (T, B)
        except UserError:
            return ()
        lengths = tuple((1 + off.argmin(axis=0)).tolist())
        far = off.min(axis=0).max() > LOOSE
        return () if far or _are_known(lengths, self._plain) else lengths

    def _off(self, settings: Settings, end: int) -> Array:
        """(1, B): how far off, in tolerances, the end of a run up to a step is.

        Or (T, B) at each step, where all cells run forward.
        """

        def run() -> Array:
            cut = (
                (slice(None), slice(end))
                if self.setup.layout == "batch"
                else slice(end)
            )
            case = self.case.under(x=self.question.x[cut], lengths=None, mask=None)
            plan = case.plan({**FINE, **settings})
            given, worst = run_in_memory(plan), np.zeros((1, 1))
            for _, name, at, known in self.location.known(
                self.setup.numbers, self.valid
            ):
                array = _at_each_end(plan, given, name)
                off = np.abs(
                    array[:, at[-2], at[-1]] - known.values
                ) / self.allowance.of(known)
                off = np.nan_to_num(off, nan=0.0, posinf=np.inf)
                worst = np.maximum(worst, off.max(axis=2))
            return worst

        key = (
            "ends",
            self.setup.changes,
            self.location,
            self.allowance,
            *settings.items(),
            end,
        )
        return self.question.runs.get(key, run)


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
        shows = one.lengths and one.location.is_plain and one.expected.has_steps
        settings = settings_of(one.of_run)
        runs_on = settings.get("masked_output") == "run"
        if (
            shows
            and not (one.setup.changes or runs_on)
            and one.question.inputs.mask is None
        ):
            yield remark("shown_lengths", given=settings)
            return
