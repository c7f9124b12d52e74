"""Models of several cells.

First the network is run as loaded, and compared wherever EXPECTED can lie on its results. Then a
cell whose inputs and arrays are known is searched by itself, from the lowest layer up, each with
what was found for those below it. Where no cell can be, full runs of the network are searched:
single changes in every placement of EXPECTED, pairs of the nearest with every other. How the
inputs lie, how two directions are merged, and which part of the network EXPECTED is, decide whose
numbers it contains: these are searched as changes of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from math import inf
from typing import Any

import numpy as np

from lstmcli.core.diff.alignment import ArrayName
from lstmcli.core.explain import rounding
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CONSTANTS
from lstmcli.core.explain.cell import LEAST_MOVED, CellSolver
from lstmcli.core.explain.explanation import (
    ALL_ZERO,
    ENOUGH,
    Explanation,
    clearly_nearer,
    digits,
    first_shown,
    plain_of,
    remarks_on,
    wanted,
)
from lstmcli.core.explain.hypotheses import Change, Changes, prior, settings_of
from lstmcli.core.explain.network_simulator import (
    TELLING,
    WORTH_MORE,
    Hypotheses,
    NetworkSimulator,
    mean,
)
from lstmcli.core.explain.observation import Expected, Known
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.search import LEVELS, NEARLY, Progress, fewest_decimals, vanishing
from lstmcli.core.explain.simulator import LOOSE, Simulator
from lstmcli.core.explain.solver import Fitting, Solver, joined, solve_each
from lstmcli.core.explain.verify import (
    Answer,
    Cached,
    Case,
    Comparison,
    Remark,
    may_fit,
    remark,
    verify,
)
from lstmcli.core.forward.sequence import merge_directions, valid_steps
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import ROUNDED
from lstmcli.core.model.model import Model, as_time_major, cell_name
from lstmcli.core.model.states import split_state

MOST_CHANGES = 2  # at once, in full runs
ENOUGH_NUMBERS = 3  # that are different prove a layout or a merge: few of them can be chosen from
SHOWN = 4  # hypotheses that come near
OF_SINGLE = 0.4  # of the work of a run: cells that a change leaves as they are, are run once
MOST_ROUNDING = 0.1  # rms up to which rounding in a chaotic net may be behind all of it
OTHERWISE, OF_A_PART = " under another layout or merge", " on a part of the network"
RUNS_KEPT = 2**26  # bytes of what single changes give in other placements
CONSTANT_RUNS = 150  # in float64, that it takes to solve for a constant: as 300 others


class NetworkSolver(Solver):
    """EXPECTED at one placement on the results of several cells.

    It is searched cell by cell, or over full runs of the network where no cell can be
    searched by itself. ``of_run`` are changes of the run that all hypotheses here have.
    """

    depth = 1

    def __init__(self, prepared: Prepared, case: Case, of_run: Changes = ()) -> None:
        common_changes = (*prepared.common_changes(case), *of_run)
        super().__init__(prepared, case, common_changes)
        self.of_run = of_run
        self.names = [
            [cell_name(n, d) for d in range(len(layer))]
            for n, layer in enumerate(self.model.layers)
        ]  # of the cells, layer by layer
        # what came near: once searched, and where only cells were
        self.none_fits: Callable[[], Explanation] | None = None
        self.stuck: Callable[[], Explanation] | None = None
        self.is_affordable = True  # to run single changes in full, and to solve for constants
        self.together: Sequence[NetworkSolver] = ()  # other placements, searched for one change too
        self.closest = inf  # the least rms of what was tried, also of what is not worth saying
        self._comparisons: dict[Changes, Comparison] = {}

    @property
    def distinct(self) -> int:
        """How many different numbers EXPECTED contains."""
        return self.expected.distinct(self.allowance.of)

    def verify(self, changes: Changes) -> Comparison:
        """Run the network with changes, as `lstm run` does, and compare."""
        if changes not in self._comparisons:
            self.tried += 1
            self._comparisons[changes] = verify(self.case, (*self.of_run, *changes), self.allowance)
        return self._comparisons[changes]

    @property
    def fits(self) -> bool:
        """Whether the network as loaded gives EXPECTED here."""
        return may_fit(self.case, self.of_run, self.allowance) and self.verify(()).fits

    @cached_property
    def inputs(self) -> Array:
        """(T, B, I)."""
        return as_time_major(np.asarray(self.case.x, np.float64), self.case.layout)

    def inputs_of(self, n: int, done: Changes, settled: set[str]) -> Array | None:
        """What layer n takes, (T, B, I): as recorded, or as the settled cells below it give it."""
        if n == 0:
            return self.inputs
        below, names = self.model.layers[n - 1][0].convention, self.names[n - 1]
        sequences = [self.expected.sequences.get(f"{name}.h") for name in names]
        if all(k is not None and np.isfinite(k.values).all() for k in sequences):
            return merge_directions([k.values for k in sequences if k is not None], below, None)
        if not settled.issuperset(names):
            return None
        trace, _ = self.case.trace({**settings_of(done), "dtype": "float64"})
        return merge_directions([trace.time_major(f"{name}.h") for name in names], below, None)

    def solver_of(
        self, n: int, d: int, inputs: Array, expected: Expected, done: Changes
    ) -> CellSolver:
        """The search for the cell of a layer and a direction by itself."""
        name = self.names[n][d]

        def read_cell(settings: Mapping[str, Any]) -> Model:
            numbers = ("dtype", ROUNDED)  # of all cells
            further = {f"{name}.{k}": v for k, v in settings.items() if k not in numbers}
            dtype = {k: settings[k] for k in numbers if k in settings}
            model = self.case.read({**settings_of(done), **further, **dtype})
            one = model.layers[n][d]
            row = one.convention.with_behaviour(merge="concat", states="cells", layout="time")
            if d == 1:
                row = row.with_behaviour(reverse=not row.behaviour.forward, forward=False)
            return replace(model, layers=((replace(one, convention=row),),))

        state: dict[str, Array] = {}
        if self.case.initial_state:
            states = split_state(self.case.initial_state, self.model, inputs.shape[1])
            state = dict(zip("hc", states[list(chain(*self.names)).index(name)], strict=True))
        mask = None if self.case.mask is None else np.asarray(self.case.mask)
        if mask is not None:  # (T, B)
            mask = mask.T if self.case.layout == "batch" else mask.reshape(len(mask), -1)
        case = Case(
            read_cell, inputs, "time", {"time": self._valid_only(expected)}, state,
            self.case.lengths, mask, self.case.given,
        )  # fmt: skip
        question = self.prepared.question
        question = replace(question, made=question.made.setdefault((name, done), {}))
        prepared = replace(
            self.prepared, question=question, model=read_cell({"dtype": "float64"}), layout="time",
            cached=Cached(),
        )  # fmt: skip
        return CellSolver(prepared, case)

    @cached_property
    def valid(self) -> Array | None:
        """(T, B) the steps that count; None if all do."""
        case = self.case
        return valid_steps(case.lengths, case.mask, self.inputs.shape, case.layout)

    def _valid_only(self, expected: Expected) -> Expected:
        """Without what stands where no step counts: rules for that are of the layer."""
        if self.valid is None:
            return expected
        sequences = {
            name: Known(np.where(self.valid[:, :, None], known.values, np.nan), known.half)
            for name, known in expected.sequences.items()
        }
        return replace(expected, sequences=sequences)

    def simulator(self) -> NetworkSimulator:
        """The cells of the network, to be run under many hypotheses.

        Placements that differ only in where EXPECTED lies have the same ones.
        """
        made = self.prepared.question.made
        key = self.prepared.merge, self.case.layout, self.of_run
        if key not in made:
            made[key] = self._cells()
        settings = settings_of(self.of_run)
        behaviour = self.model.convention.behaviour
        forward = not self.model.backward and not behaviour.flip_output and not self.expected.finals
        valid = None if "lengths" in settings else self.valid
        one: NetworkSimulator = made[key].on(
            self.inputs, self.expected, self.allowance, valid, settings.get("array", "h"),
            self._steps() if forward else None,
        )  # fmt: skip
        return one

    def _cells(self) -> NetworkSimulator:
        T, B, _ = self.inputs.shape
        simulators: dict[str, Simulator] = {}
        for n, layer in enumerate(self.model.layers):
            for d, cell in enumerate(layer):
                no_numbers = np.full((T, B, cell.outputs), np.nan)
                unknown = Expected({"h": Known(no_numbers, no_numbers)}, {})
                inputs = np.broadcast_to(0.0, (T, B, cell.inputs))
                simulators[self.names[n][d]] = self.solver_of(n, d, inputs, unknown, ()).simulator
        start = settings_of(self.of_run).get("initial_state")
        return NetworkSimulator(self.model, simulators, start)

    def _steps(self) -> int:
        """So many steps show what is wrong, where all cells run forward."""
        known = [np.isfinite(k.values).any(axis=(1, 2)) for k in self.expected.sequences.values()]
        first = min(int(np.argmax(steps)) for steps in known)
        place = self.verify(()).first
        return max(first, (place.step or 0) if place else 0) + TELLING

    # ---- the search

    @property
    def can_search_cells(self) -> bool:
        """Whether the lowest cells can be searched by themselves."""
        lowest = self.names[0]
        known = [name for name in lowest if self.expected.part(name).numbers]
        return len(known) >= (1 if self.prepared.one_way else len(lowest))

    @property
    def runs_in_full(self) -> bool:
        """Whether one change is searched in full runs, not only in the cells of the top layer."""
        return self.is_affordable or self.full_runs.are_run

    @cached_property
    def full_runs(self) -> FullRunSearch:
        """The search over full runs of the network."""
        return FullRunSearch(self)

    def solve(self, progress: Progress, levels: int = LEVELS) -> Explanation | None:
        """The explanation by so many changes at most, or None if nothing fits."""
        found = by_cells(self, progress, levels)
        if self.stuck is not None:
            self.closest, self.none_fits = self.verify(()).rms, self.stuck
        elif found is None and levels == 1 and not self.runs_in_full:
            return self.of_top(progress, levels)
        if found is None and self.stuck is None:
            found = self.full_runs.search(progress, levels)
            self.closest = min(self.closest, self.full_runs.closest)
            self.untried, self.none_fits = self.full_runs.untried, self.full_runs.none_fits
            self.depth = max(self.depth, self.full_runs.depth)
        return found

    def of_top(self, progress: Progress, levels: int) -> Explanation | None:
        """So many changes of each cell of the top layer, if those below are as loaded."""
        *below, _ = self.names
        if not below or not self.work.left:
            return None
        found = by_cells(self, progress, levels, chain(*below))
        self.stuck = None
        return found

    def none(self, near: Iterable[Changes] = (), untried: Iterable[Remark] = ()) -> Explanation:
        """Nothing fits: what comes nearer than the weights as loaded, and these."""
        loaded = self.verify(())
        answers = sorted((Answer(c, self.verify(c)) for c in near), key=lambda a: a.comparison.rms)
        self.closest = min(self.closest, loaded.rms, *(a.comparison.rms for a in answers[:1]))
        return replace(self.no_answer(loaded, answers, SHOWN), untried=tuple(untried))


def scoped(changes: Changes, cell: str) -> Changes:
    """Changes of one cell only."""
    return tuple(
        Change(c.setting if c.setting == "dtype" else f"{cell}.{c.setting}", c.value)
        for c in changes
    )


# ---- where EXPECTED lies


def explain_network(prepared: Prepared, progress: Progress) -> Explanation:
    """The explanation of a model of several cells.

    Raises
    ------
    UserError
        if EXPECTED is no result of such a run.
    """
    as_assumed = _fewest_first(NetworkSolver(prepared, case) for case in prepared.cases)
    for network in as_assumed:
        if not network.common_changes and network.fits:
            return network.explanation("agrees", network.verify(()))
    merged = [NetworkSolver(p, case) for p in prepared.merged_otherwise() for case in p.cases]
    others = _fewest_first([*_turned(as_assumed), *merged, *_turned(merged)])
    # a last state is saved more often than one step of all sequences
    parts = [NetworkSolver(part, case) for part in prepared.elsewhere() for case in part.cases]
    parts = sorted([*parts, *_turned(parts)], key=lambda network: not network.expected.finals)
    parts = _fewest_first(parts)
    networks = _fewest_first([*as_assumed, *others])
    if not networks and not parts:
        raise prepared.no_place()
    if prepared.all_zero:
        first = (networks or parts)[0]
        return replace(first.explanation("none", first.verify(())), remarks=(ALL_ZERO,))
    for some in (networks, parts):
        if fitting := _fitting(some):
            return _by_base(fitting, as_assumed, progress)
    part = 1 if len(as_assumed) == 1 else Budget.OF_PLACES
    with prepared.question.work.share(part):
        found = _searched(as_assumed, others, parts, progress)
    if found is None:
        raise prepared.no_place()
    if found.verdict == "none":
        rounded = _in_half_precision(found, prepared, as_assumed)
        untried = (*found.untried, remark("rounded_with_change"))
        found = (
            _as_loaded(replace(found, untried=untried), prepared, as_assumed or others)
            if rounded is None
            else rounded
        )
    return replace(found, tried=sum(n.tried for n in (*networks, *parts)))


def _fewest_first(networks: Iterable[NetworkSolver]) -> list[NetworkSolver]:
    return sorted(networks, key=lambda network: len(network.common_changes))


def _turned(networks: Sequence[NetworkSolver]) -> Iterator[NetworkSolver]:
    """The same under the other layouts of the inputs."""
    for network in networks:
        for layout, expected in network.case.expected.items():
            if layout != network.case.layout:
                case = replace(network.case, layout=layout, expected={layout: expected})
                yield NetworkSolver(network.prepared, case)


def _fitting(networks: Sequence[NetworkSolver]) -> list[NetworkSolver]:
    """Those of the fewest changes that give EXPECTED as they are."""
    found: list[NetworkSolver] = []
    for network in networks:
        if found and len(network.common_changes) > len(found[0].common_changes):
            break
        found += [network] * network.fits
    return found


def _by_base(
    fitting: Sequence[NetworkSolver], as_assumed: Sequence[NetworkSolver], progress: Progress
) -> Explanation:
    """Another layout, merge or array is all that EXPECTED needs."""
    fewest = len(fitting[0].common_changes)
    ways = {n.common_changes: n for n in reversed(fitting)}
    answers = [
        n.explanation("found" if n.distinct >= ENOUGH_NUMBERS else "unproven", n.verify(()))
        for n in reversed(ways.values())
    ]
    if 1 in fitting[0].case.x.shape[:-1]:  # sequences of one step are steps that start from zero
        assumed = next((n for n in as_assumed if not n.common_changes), None)
        reset = None if assumed is None else by_cells(assumed, progress, levels=1)
        if reset is not None and len(reset.changes) <= fewest:
            answers = [replace(reset, wanted=(remark("second_sequence"),)), *answers]
    first, *rest = answers
    equivalent = (*first.equivalent, *(one.changes for one in rest))
    return replace(first, equivalent=equivalent, tried=max(1, first.tried))


def _in_half_precision(
    none: Explanation, prepared: Prepared, networks: Sequence[NetworkSolver]
) -> Explanation | None:
    """The network as loaded with a part of its run rounded to float16 or bfloat16."""
    near = [
        (network, half)
        for network in networks
        for half in prepared.coarse
        if not network.common_changes and network.verify(()).max_abs <= half.absolute
    ]
    for network, half in near[: Budget.PLACED]:
        allowance = rounding.tolerance(network.case, half)
        on_grid, p = half.name in prepared.grids, prepared
        basis = rounding.basis(network.case, (), allowance, network.allowance, on_grid)
        if basis is None or basis.comparison.max_abs > allowance.absolute:
            continue
        dtype = (Change("dtype", half.name),)
        proven = basis.digits >= ENOUGH and network.distinct > LEAST_MOVED
        found = network.explanation("found" if proven else "unproven", basis.comparison, dtype)
        of_run = network.case, dtype, basis.comparison, allowance, p.allowances, p.dtype
        return replace(
            found,
            changes=tuple(replace(c, sense=basis.rounded) for c in found.changes),
            nearest=none.nearest[:1],
            remarks=(basis.remark, *remarks_on(*of_run, basis.rounded)),
            untried=none.untried,
        )
    return None


def _as_loaded(
    found: Explanation, prepared: Prepared, networks: Sequence[NetworkSolver]
) -> Explanation:
    """What nothing gives, with the figures of the weights as loaded; or of what fits in at all."""
    if not networks:
        return found
    first = networks[0]
    placement, remarks = first.expected.placement, found.remarks
    if first.prepared.merge:
        assumed, merge = first.prepared.merge
        remarks = (remark("not_merged_so", assumed=assumed, merge=merge), *remarks)
    return replace(
        found,
        settings=prepared.model.settings(),
        measured=first.verify(()),
        nearest=clearly_nearer(first.near(Answer((), first.verify(()))), found.nearest),
        placement=placement,
        remarks=remarks,
    )


def _searched(
    as_assumed: Sequence[NetworkSolver],
    others: Sequence[NetworkSolver],
    parts: Sequence[NetworkSolver],
    progress: Progress,
) -> Explanation | None:
    """As assumed first; then under another layout or merge; then as a part of the network.

    A part has to be proved: there are so many that one of them may fit by chance.
    """
    placed, changed = _placed(as_assumed), _first_of_each(others)
    # of what can be no steps of the output, parts are searched in full runs too
    is_part = not any(
        one.prepared.arrays.keys() & one.expected.sequences for one in (*as_assumed, *others)
    )
    lower = [one for one in _first_of_each(parts) if one.can_search_cells or is_part]
    unproven: list[Explanation] = []
    untried: dict[Remark, None] = {}
    for levels, some, most in (
        (1, placed, None), (1, changed, None), (1, lower, None),
        (2, placed, Budget.PAIRED_PLACEMENTS), (2, changed, Budget.TURNED),
        (2, lower, Budget.TURNED), (LEVELS, placed, 1),
    ):  # fmt: skip
        nearest = _worth_pairs(some)[:most] if most else some
        batches = [[one] for one in nearest] if most else [_affordable(some)]
        searched = 0
        for batch in batches:  # of one change all that fit; else the first that does
            work = (as_assumed or others or parts)[0].work
            if most and not work.left:
                break
            searched += 1
            with work.share(1 if len(batches) == 1 and most else Budget.SHARE):
                answers = solve_each(batch, levels, [], progress)
            proven = [one for one in answers if some is not lower or one.explanation.found]
            if proven:
                found = joined(proven).explanation
                further = found.wanted or (remark("whole_run"),)
                return replace(found, wanted=further) if found.is_placed_elsewhere else found
            unproven += [one.explanation for one in answers]
        if some is placed and most:
            untried |= dict.fromkeys(
                left for one in nearest[: max(searched, 1)] for left in one.untried
            )
        among = "" if some is placed else OTHERWISE if some is changed else OF_A_PART
        placements = len(as_assumed if some is placed else some)
        if levels == MOST_CHANGES and (left := placements - searched):
            untried[remark("pairs_placed", left=left, placements=placements, among=among)] = None
    if unproven:
        return min(unproven, key=lambda one: len(one.changes))
    without = [one for one in (*placed, *changed, *lower) if one.none_fits]
    if not without or not (as_assumed or others):
        return None
    first = [
        *_left_out(placed, len(as_assumed), ""), *_left_out(changed, len(changed), OTHERWISE),
        *_left_out(lower, len(lower), OF_A_PART),
    ]  # fmt: skip
    closest = min(without, key=lambda one: one.closest)
    assert closest.none_fits is not None
    depth = max(one.depth for one in without)
    return replace(
        closest.none_fits(), depth=depth, untried=(*first, *with_the_fewest_pairs([*untried]))
    )


def _worth_pairs(solvers: Sequence[NetworkSolver]) -> list[NetworkSolver]:
    """The likeliest placements and the nearest by turns.

    Where two changes are missing, the right placement need not be near; and few numbers are near
    by chance.
    """
    nearest = sorted(solvers, key=lambda one: one.closest)
    return [*dict.fromkeys(chain.from_iterable(zip(nearest, solvers, strict=True)))]


def _affordable(solvers: Sequence[NetworkSolver]) -> Iterator[NetworkSolver]:
    """All, for one change; full runs are made in as many as a share of the work allows."""
    room = Budget.FULL_RUNS * solvers[0].work.left if solvers else 0
    for one in solvers:
        one.together, one.is_affordable = solvers, room > 0
        done = one.work.done
        yield one
        if one.is_affordable and not one.can_search_cells:
            room -= one.work.done - done


def with_the_fewest_pairs(untried: Sequence[Remark]) -> Iterator[Remark]:
    """What was left out of several placements, with the fewest pairs tried in any of them."""
    pairs = [one.facts for one in untried if one.code == "pairs_of_cells"]
    if pairs:
        yield remark("pairs_of_cells", **{k: min(one[k] for one in pairs) for k in pairs[0]})
    yield from (one for one in untried if one.code != "pairs_of_cells")


def _left_out(solvers: Sequence[NetworkSolver], placements: int, among: str) -> Iterator[Remark]:
    """What the budget of one change has left out of so many placements."""
    searches = [one.full_runs for one in solvers if not one.can_search_cells]
    singles = sum(not one.are_run for one in searches) + placements - len(solvers)
    constants = sum(one.are_run and one.constants_left for one in searches)
    for code, left in (("singles_placed", singles), ("constants_placed", constants)):
        if left:
            yield remark(code, left=left, placements=placements, among=among)


def _placed(as_assumed: Sequence[NetworkSolver]) -> list[NetworkSolver]:
    """Those in which one change is looked for: of small networks, more."""
    few, many = Budget.SEARCHED
    units = max((cell.units for n in as_assumed for _, cell in n.model.cells), default=1)
    most = max(few, min(many, Budget.UNITS // units))
    as_given = sorted((n for n in as_assumed if not n.common_changes), key=_later)
    turned = [n for n in as_assumed if n.common_changes]
    return [*as_given[:most], *turned[: most if not as_given else Budget.TURNED * (most // few)]]


def _later(network: NetworkSolver) -> int:
    """Sorts the first sequence of a batch before the others, and these before windows."""
    placement = network.expected.placement
    return bool(placement.item) if placement.is_from_the_start else 2


def _first_of_each(networks: Sequence[NetworkSolver]) -> list[NetworkSolver]:
    """The likeliest placements of EXPECTED under each single change of layout or merge."""
    by_base: dict[Changes, list[NetworkSolver]] = {}
    for network in networks:
        if len(network.common_changes) == 1:
            by_base.setdefault(network.common_changes, []).append(network)
    return [network for of_base in by_base.values() for network in of_base[: Budget.TURNED]]


# ---- cell by cell


def by_cells(
    network: NetworkSolver, progress: Progress, levels: int, settled: Iterable[str] = ()
) -> Explanation | None:
    """What is found cell by cell; None if nothing is.

    Where a cell can be searched by itself and nothing fits, ``network.stuck`` says what comes near.

    Parameters
    ----------
    settled
        cells that are as loaded: those above them can be searched.
    """
    network.stuck = None
    done: Changes = ()
    first: tuple[str, Explanation] | None = None  # the first cell that needs a change
    given = set(settled)
    for n, names in enumerate(network.names):
        for d, name in enumerate(names):
            expected = network.expected.part(name)
            inputs = (
                network.inputs_of(n, done, given)
                if expected.numbers and name not in given
                else None
            )
            if inputs is None:
                continue
            given.add(name)
            solver = network.solver_of(n, d, inputs, expected, done)
            if solver.verify((), network.allowance).fits:
                continue
            progress(n / len(network.names), name)
            found = solver.solve(progress, levels)
            network.tried += solver.tried
            if found is None:
                if n and not first:
                    return None
                network.untried = solver.untried
                network.stuck = partial(_stuck, network, first, (solver, done, name, n))
                return None
            first = first or (name, found)
            changes = plain_of(found.changes)
            answers = [
                Fitting(network, _found_for(network, (*done, *each), comparison, *first))
                for each in _scopes(network, changes, name, n)
                if (comparison := network.verify((*done, *each))).fits
            ]
            if answers:
                return joined(answers).explanation  # of other cells they may do as well
            done = (*done, *scoped(changes, name))
    if first:
        network.stuck = partial(_stuck, network, first)
    return None


def _stuck(
    network: NetworkSolver,
    first: tuple[str, Explanation] | None,
    at: tuple[CellSolver, Changes, str, int] | None = None,
) -> Explanation:
    """Cells are explained, but not the network.

    ``at`` is the cell that nothing explains, what was found below it, its name and its layer.
    """
    near: list[Changes] = []
    if at is not None:
        solver, done, name, n = at
        changes = [one.changes for one in solver.nearest() if one.changes]
        near = [(*done, *each) for c in changes for each in _scopes(network, c, name, n)]
    explanation = network.none(near, network.untried)
    fits = [remark("cell_fits", cell=first[0], changes=first[1].changes)] if first else []
    remarks = (*fits, *explanation.remarks)
    return replace(explanation, tried=network.tried, remarks=remarks)


def _scopes(network: NetworkSolver, changes: Changes, name: str, n: int) -> Iterator[Changes]:
    """The changes of a cell, for all cells, itself, its layer, and its direction."""
    yield changes
    yield scoped(changes, name)
    every = list(chain(*network.names))
    for group in (network.names[n], [c for c in every if _is_backward(c) == _is_backward(name)]):
        if 1 < len(group) < len(every):
            yield tuple(c for cell in group for c in scoped(changes, cell))


def _is_backward(name: str) -> bool:
    return name.endswith("_reverse")


def _found_for(
    network: NetworkSolver,
    changes: Changes,
    comparison: Comparison,
    name: str,
    of_cell: Explanation,
) -> Explanation:
    """The explanation by changes that were found for a cell of this name, and fit."""
    if len(gathered := _gathered(network, changes)) < len(changes):
        alike = network.verify(gathered)
        changes, comparison = (gathered, alike) if alike.fits else (changes, comparison)
    several = any("." in c.setting for c in changes)
    if several:
        scope = remark("first_cell", cell=name)
    elif network.verify(scoped(changes, name)).fits:
        scope = remark("one_cell_shows", cell=name)
    else:
        scope = remark("all_cells", cell=name, cells=len(network.model.cells))
    equivalent = list(map(plain_of, of_cell.equivalent))
    if not several:  # an equal of one cell need not be one of all cells
        equivalent = [one for one in equivalent if network.verify(one).fits]
    equals = tuple(network.changed(scoped(e, name) if several else e) for e in equivalent)
    decides = of_cell.wanted
    if len(equals) < len(of_cell.equivalent):
        decides = wanted(network.data, of_cell.unseen, equals, of_cell.verdict == "found")
    shown = of_cell.first_step
    if shown is not None:
        shown = first_shown(network.verify(()), of_cell.backward)
    return replace(
        network.explanation(of_cell.verdict, comparison, changes),
        equivalent=equals,
        nearest=of_cell.nearest,
        first_step=shown,
        backward=of_cell.backward,
        unseen=of_cell.unseen,
        wanted=decides,
        untried=of_cell.untried,
        evidence=of_cell.evidence,
        remarks=(scope, *of_cell.remarks),
    )


def _gathered(network: NetworkSolver, changes: Changes) -> Changes:
    """Changes with what all cells have alike said once."""
    cells: dict[Change, set[str]] = {}
    for change in changes:
        cell, _, setting = change.setting.rpartition(".")
        cells.setdefault(Change(setting, change.value), set()).add(cell)
    every = {name for name, _ in network.model.cells}
    shared = [change for change, of in cells.items() if "" in of or of >= every]
    rest = (c for c in changes if Change(c.setting.rpartition(".")[2], c.value) not in shared)
    return (*shared, *rest)


# ---- full runs


class FullRunSearch:
    """The search over runs of a network of which no cell can be searched by itself."""

    def __init__(self, network: NetworkSolver) -> None:
        self.network = network
        self.left_out: list[Remark] = []
        self.work = network.work
        self._searched = 0  # changes at once,
        self.depth = 1  # and in so many any were tried
        self.constants_left = True  # of one change
        self._off: Array | None = None

    def search(self, progress: Progress, levels: int) -> Explanation | None:
        """One change, or two; what was searched before is not searched again."""
        while self._searched < min(levels, MOST_CHANGES):
            progress(self._searched / MOST_CHANGES, f"{self._searched + 1} changes at once")
            self._searched += 1
            found = self._one_change() if self._searched == 1 else self._two(progress)
            if found is not None:
                return found
        return None

    @property
    def untried(self) -> list[Remark]:
        """What was left out."""
        return [*self.left_out, remark("triples" if self._searched > 1 else "pairs")]

    def none_fits(self) -> Explanation:
        """Nothing was found: what comes near."""
        near = [self.simulator.changes(self.nearest, n) for n in range(SHOWN)]
        return self.network.none(near, self.untried)

    @property
    def closest(self) -> float:
        """The least rms of a single change."""
        return float(mean(self.off * self.allowed).min(initial=inf))

    @property
    def allowed(self) -> Array:
        """(E,) the tolerances that `off` is in."""
        return np.concatenate([np.zeros(0), *(one.allowed for one in self.simulator.targets)])

    @cached_property
    def simulator(self) -> NetworkSimulator:
        """Made when it is asked for."""
        return self.network.simulator()

    @cached_property
    def single_changes(self) -> Hypotheses:
        """The single changes that are run, those of all cells first."""
        every = self.simulator.single_changes
        most = int(self.work.runs(OF_SINGLE * self.simulator.of_run, part=1))
        if len(every) > most:
            left, total = len(np.unique(every.sets[most:, 0])), len(self.simulator.singles) - 1
            self.left_out.append(remark("some_singles", left=left, singles=total))
        return every[: max(most, SHOWN)]

    @property
    def are_run(self) -> bool:
        """Whether the single changes were run, here or for another placement."""
        return self._off is not None

    @property
    def off(self) -> Array:
        """(N, E) how far off the single changes are, in tolerances.

        Placements that are compared with the same runs have them from one run.
        """
        if self._off is None:
            singles = self.single_changes
            of_others = (one.full_runs for one in self.network.together)
            places = [one for one in of_others if one is not self and one.runs_like(self)]
            room = 4 * len(singles) * self.simulator.numbers  # bytes of one of them
            places = [self, *places[: RUNS_KEPT // max(room, 1)]]
            every = self.simulator.off_at(singles, [one.simulator for one in places])
            for one, off in zip(places, every, strict=True):
                one._off, one.single_changes = off, singles
                if one is not self:
                    one.left_out += self.left_out
        assert self._off is not None
        return self._off

    def runs_like(self, other: FullRunSearch) -> bool:
        """Whether both run the same single changes, and differ in the placement of EXPECTED."""
        one, two = self.network, other.network
        return (
            one.model is two.model
            and one.case.layout == two.case.layout
            and not one.can_search_cells
            and self.simulator.item == other.simulator.item
        )

    @cached_property
    def nearest(self) -> Hypotheses:
        """Each single change once, with the best value of a constant, the nearest first."""
        order = self.single_changes[np.argsort(mean(self.off), kind="stable")]
        _, first = np.unique(order.sets[:, 0], return_index=True)
        return order[np.sort(first)]

    def _one_change(self) -> Explanation | None:
        self.network.tried += len(self.single_changes)
        plain = ~self.simulator.are_open(self.single_changes)
        rms = mean(self.off[plain])
        order = np.argsort(rms, kind="stable")
        close = int(np.sum(rms <= WORTH_MORE))
        rounding_may = mean(self.off[plain][order[:SHOWN]] * self.allowed) <= MOST_ROUNDING
        order = order[: max(close, SHOWN * bool(rounding_may.any()))]
        run_changes = [(extra,) for extra in self.run_changes if self.network.verify((extra,)).fits]
        fitting = [*run_changes, *self._verified(self.single_changes[plain][order], rms[order])]
        answer = self._answer(fitting)
        if answer is not None or self.network.of_run or not self.network.is_affordable:
            return answer
        return self._one_constant()

    @cached_property
    def run_changes(self) -> list[Change]:
        """Changes of the run, which no cell has by itself."""
        network = self.network
        if network.of_run:
            return []
        settings = ["initial_state"] * bool(network.case.initial_state)
        settings += ["lengths"] * (network.valid is not None)
        found = network.run_changes(settings)
        arrays = {ArrayName.of(name).base for name, _ in network.expected.all()}
        of_outputs = arrays <= {"h", "final_h"} and not network.prepared.array
        return [Change("array", "c"), *found] if of_outputs else found

    def _one_constant(self) -> Explanation | None:
        """One change whose constant is to be found."""
        if not self.affordable_constants:
            return None
        self.constants_left = False
        sought = int(self.simulator.are_open(self.nearest).sum())
        if left := min(sought, Budget.CONSTANTS) - min(sought, self.affordable_constants):
            self.left_out.append(remark("unsolved", changes=1, count=left))
        return self._with_constant(self.nearest)

    @property
    def affordable_constants(self) -> int:
        """How many hypotheses may have their constants solved."""
        simulator = self.simulator
        most = self.work.runs(CONSTANT_RUNS * simulator.of_run, simulator.of_rounds)
        return max(0, min(Budget.CONSTANTS, int(most)))

    def _two(self, progress: Progress) -> Explanation | None:
        """Two changes of the top layer, or pairs of the nearest single ones with all."""
        if self.constants_left and (found := self._one_constant()) is not None:
            return found
        with self.work.share(Budget.SHARE):
            of_top = self.network.of_top(progress, MOST_CHANGES)
        if of_top is not None:
            return of_top
        every, near = (
            one[~self.simulator.are_open(one)] for one in (self.single_changes, self.nearest)
        )
        of_each = self.simulator.of_pair * max(len(every), 1)
        most = min(Budget.PAIRED_SINGLES, int(self.work.runs(of_each)))
        pairs = self.simulator.pairs(near[:most], every)
        self.depth = MOST_CHANGES if len(pairs) else self.depth
        self.network.tried += len(pairs)
        near = pairs[self.simulator.near(pairs)]
        found = self._answer(self._verified(near, mean(self.simulator.off(near))))
        if found is not None:
            return found
        run_changes = self.run_changes
        if len(run_changes) * len(self.single_changes) > self.work.runs(self.simulator.of_run):
            run_changes = []
            self.left_out.append(remark("pairs_of_the_run"))
        for extra in run_changes:
            other = NetworkSolver(self.network.prepared, self.network.case, (extra,))
            found = other.full_runs.search(progress, 1)
            self.network.tried += other.tried
            if found is not None:
                return found
        singles = self.simulator.single_changes
        opened = singles[self.simulator.are_open(singles)]
        room = int(self.work.runs(self.simulator.of_run))
        pairs, count = every[:0], 0
        while count < min(Budget.PAIRED_CONSTANTS, len(self.nearest)) and len(pairs) < room:
            one = self.nearest[count : count + 1]
            others = every if self.simulator.are_open(one).any() else opened
            pairs += self.simulator.pairs(one, others)[: room - len(pairs)]
            count += 1
        self.network.tried += len(pairs)
        self.left_out.append(remark("pairs_of_cells", singles=most, constants=count))
        order = np.argsort(mean(self.simulator.off(pairs)), kind="stable")
        return self._with_constant(pairs[order])

    def _verified(self, hypotheses: Hypotheses, rms: Array) -> list[Changes]:
        """Those that a run of the network confirms.

        ``rms`` (N,) is how far off they are, in tolerances: the likeliest of those that fit are run
        first, then the nearest; and a few at least, as rounding may have taken them away.
        """
        each = [self.simulator.changes(hypotheses, n) for n in range(len(hypotheses))]
        keys = [
            (0.0, *_likely(c)) if r <= 1 else (r, 0, 0.0) for c, r in zip(each, rms, strict=True)
        ]
        most = min(Budget.NETWORKS_VERIFIED, max(SHOWN, int(np.sum(rms <= LOOSE))))
        order = sorted(range(len(each)), key=keys.__getitem__)[:most]
        return [each[n] for n in order if self.network.verify(each[n]).fits]

    def _with_constant(self, ordered: Hypotheses) -> Explanation | None:
        """The nearest hypotheses that have a constant to be found, with that constant solved."""
        ordered = ordered[self.simulator.are_open(ordered)]
        _, first = np.unique(ordered.sets, axis=0, return_index=True)
        solved, rms = self.simulator.solve(ordered[np.sort(first)[: self.affordable_constants]])
        shortest = [self._shortest(solved, n) for n in np.flatnonzero(rms <= WORTH_MORE).tolist()]
        return self._answer([changes for changes in shortest if changes], solved=1)

    def _shortest(self, solved: Hypotheses, n: int) -> Changes | None:
        """The changes of a hypothesis with its constant at the fewest decimals that fit."""
        verify, is_open = self.network.verify, self.simulator.is_open
        places = [place for place in solved.sets[n] if not is_open[place]]
        without = verify(tuple(c for place in places for c in self.simulator.singles[place]))
        if without.total - without.agreeing < 2:  # one number it would always fit
            return None
        same = solved[[n]]
        value = solved.values[n, is_open[solved.sets[n]]]  # (1,)

        def with_value(tries: Array) -> Hypotheses:
            return self.simulator.with_constants(same[np.zeros(len(tries), int)], tries[:, 0])

        def off(tries: Array) -> Array:
            return self.simulator.off(with_value(tries), np.float64)

        exact = self.simulator.changes(same, 0)
        if verify(exact).worst > NEARLY:
            return None
        short = fewest_decimals(off, value, self.simulator.have_clip(same))
        for changes in (self.simulator.changes(with_value(short[None]), 0), exact):
            if verify(changes).fits:
                return None if vanishing(changes, verify) else changes
        return None

    def _answer(self, fitting: Sequence[Changes], solved: int = 0) -> Explanation | None:
        """The likeliest of hypotheses that fit, and its equals."""
        if not fitting:
            return None
        first, *others = sorted(fitting, key=_likely)
        network, comparison = self.network, self.network.verify(first)
        loaded = network.verify(())
        explained = min(network.distinct, loaded.total - loaded.agreeing)  # numbers
        proof = digits(self.off, solved, network.tried)
        proven = proof >= ENOUGH and explained > len(_kinds(first)) + solved
        if solved and any(_constants(one) != _constants(first) for one in others):
            proven = False  # another mechanism does as well
        return replace(
            network.explanation("found" if proven else "unproven", comparison, first),
            equivalent=tuple(network.changed(other) for other in others),
            evidence=proof,
            untried=tuple(self.left_out),
        )


def _likely(changes: Changes) -> tuple[int, float]:
    """Sorts what all cells have before what some have, then the likelier change."""
    return len(changes), sum(map(prior, changes))


def _kinds(changes: Changes) -> set[str]:
    """The settings that are changed, of whichever cells."""
    return {change.setting.rpartition(".")[2] for change in changes}


def _constants(changes: Changes) -> set[str]:
    return _kinds(changes).intersection(CONSTANTS)
