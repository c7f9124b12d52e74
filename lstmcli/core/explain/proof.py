"""How well EXPECTED distinguishes an answer from all that is one change from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain.attempt import Attempt
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import Changes, kinds
from lstmcli.core.explain.hypotheses import rank
from lstmcli.core.explain.network_simulator import NetworkSimulator
from lstmcli.core.explain.placement import FEWEST_NUMBERS, Placement
from lstmcli.core.explain.tries import Answer
from lstmcli.core.explain.verify import Agreement, moved
from lstmcli.core.forward.sequence import padding_rule
from lstmcli.core.model.arrays import Array

ENOUGH = 2.0  # digits of evidence, beyond those that number what was tried
SURE = 6.0  # with as many, numbers of a head are not asked for other fits
SHORT = 8  # steps from which evidence is computed first
WEALTH = 12.0  # digits of evidence that need no further steps
# half precision shows in more than (changes + this) different numbers
LEAST_MOVED = 4
MOVED_BY_SOLVED = 3  # numbers that each solved one has to move
MOST_SEQUENCES = 12  # that are run for evidence, where one has few outputs of a head
MOST_REFUTED = 3 * Budget.FEW  # full runs of settings that one sequence does not show
TELLING = {"gates", "activation", "recurrent_activation"}
"""The settings that show of any cell whose outputs EXPECTED depends on."""


class Proved(NamedTuple):
    """The likeliest answer at a placement, and how far EXPECTED proves it."""

    attempt: Attempt
    answer: Answer
    others: list[Answer]  # that fit too
    verdict: str
    digits: float | None = None  # of evidence, less those that number what was tried
    # with one change more, which EXPECTED may not show
    open_changes: Sequence[Changes] = ()

    @property
    def placement(self) -> Placement:
        """The place where EXPECTED lies."""
        return self.attempt.placement

    @property
    def changes(self) -> Changes:
        """The changes of the answer, next to those of the placement."""
        return self.answer.hypothesis.with_dtype

    def verify(self, changes: Changes) -> Agreement:
        """Run the network with changes, and compare at the tolerance of the answer."""
        return self.placement.verify(changes, self.answer.allowance)


def proved(attempt: Attempt, answers: Sequence[Answer], tried: int) -> Proved:
    """The likeliest of the answers at a placement; ``tried`` counts hypotheses."""
    placement = attempt.placement
    assumed = placement.model.convention

    def likelihood(one: Answer) -> tuple[float, ...]:
        changes = one.hypothesis.with_dtype
        return (*rank(changes, assumed), one.agreement.worst)

    distinct = {frozenset(one.hypothesis.with_dtype): one for one in reversed(answers)}
    answer, *others = sorted(distinct.values(), key=likelihood)
    is_as_loaded = not placement.changes and not any(distinct)
    if not is_as_loaded:
        digits, open_changes = _evidence(attempt, answer, others, tried)
        verdict = "found" if digits >= ENOUGH else "unproven"
        return Proved(attempt, answer, others, verdict, digits, open_changes)
    if placement.leaves_out_padding and padded_output(placement) != "zero":
        return Proved(attempt, answer, [], "none")
    _, open_changes = neighbours(attempt, ())
    return Proved(attempt, answer, [], "agrees", open_changes=open_changes)


def padded_output(placement: Placement) -> str:
    """The h that the convention has at padded steps: zero, which fills up, repeat or run."""
    last = placement.model.layers[-1]
    is_masked = placement.question.inputs.mask is not None
    return padding_rule(last[0], is_masked, len(last) == 2)


def _evidence(
    attempt: Attempt, answer: Answer, others: Sequence[Answer], tried: int
) -> tuple[float, list[Changes]]:
    """The digits of evidence for an answer, and what EXPECTED leaves open next to it."""
    placement, hypothesis = attempt.placement, answer.hypothesis
    spread, open_changes = neighbours(attempt, hypothesis.changes)
    ends = sum(length < placement.setup.size[0] for length in placement.lengths)
    solved = hypothesis.solved
    if ends:  # of one sequence, in which the spread is, an end is solved for
        solved += 1
    digits = digits_of(spread, solved, tried)
    if placement.expected.is_of_head and not ends:
        for further, left_open in _further_sequences(attempt, hypothesis.changes):
            if digits >= SURE:
                break
            spread = np.concatenate([spread, further], axis=1)
            open_changes = [one for one in open_changes if one in left_open]
            digits = digits_of(spread, solved, tried)
    if placement.changes and not hypothesis.with_dtype:
        is_of_head = placement.expected.is_of_head
        digits = max(digits, ENOUGH) if is_of_head else ENOUGH
    if not _moves_enough(answer, others, ends):
        digits = min(digits, 0.0)
    return digits, open_changes


def _moves_enough(answer: Answer, others: Sequence[Answer], ends: int) -> bool:
    """Tell whether more numbers show an answer than it may take on by chance."""
    hypothesis = answer.hypothesis
    placement, changes = hypothesis.placement, hypothesis.with_dtype
    expected = placement.expected
    if hypothesis.rounding is not None:
        numbers = expected.distinct(placement.allowance)
        return numbers > len(changes) + hypothesis.solved + LEAST_MOVED
    if placement.changes and not changes:
        return expected.distinct(answer.allowance) >= FEWEST_NUMBERS + ends
    settings = kinds(changes)
    if hypothesis.solved and any(_kinds(one) != settings for one in others):
        return False  # another mechanism fits too
    # at another placement all are other numbers
    of_cells = () if placement.changes else changes
    numbers = moved(placement.case, of_cells, answer.allowance)
    return numbers > len(settings) + MOVED_BY_SOLVED * hypothesis.solved + ends


def _kinds(answer: Answer) -> set[str]:
    return kinds(answer.hypothesis.with_dtype)


def _compared_neighbours(
    simulator: NetworkSimulator, answer: Changes, steps: int | None = None
) -> tuple[Array, list[Changes]]:
    """The results of an answer's neighbours, and those that EXPECTED leaves open.

    Results (N, E) are in tolerances, of numbers that the answer moves.
    """
    singles = simulator.singles
    sets, value = singles.neighbours(answer)
    in_order = np.sort(sets, axis=1)
    codes = np.hstack([singles.codes(name, in_order) for name in simulator.runs.cells])
    differs = (codes != codes[0]).any(axis=1)  # or it is the same answer
    differs[[0, -1]] = True
    sets, in_order = sets[differs], in_order[differs]
    constants = singles.constants(in_order, np.full(len(sets), value))
    off = simulator.off(in_order, steps, constants)
    moved_by_answer = np.ones(off.shape[1], bool)
    if answer:
        moved_by_answer = np.abs(off[-1] - off[0]) > 1
    fits = np.abs(off[1:-1]).max(axis=1, initial=0) <= 1
    open_changes = [singles.of(one, value) for one in sets[1:-1][fits]]
    return off[:, moved_by_answer], open_changes


def _telling_simulator(attempt: Attempt) -> NetworkSimulator:
    """The simulator over a sequence that shows an answer."""
    placement, simulator = attempt.placement, attempt.sets.simulator
    loaded = placement.verify(())
    if loaded.first is not None and loaded.items[simulator.sequence.item]:
        return placement.simulator_on(loaded.first.item)
    return simulator


def neighbours(attempt: Attempt, changes: Changes) -> tuple[Array, list[Changes]]:
    """The results of what is one change from an answer, and those that EXPECTED leaves open."""
    placement, simulator = attempt.placement, _telling_simulator(attempt)
    if simulator.is_stepwise and placement.setup.size[0] > SHORT:
        spread, open_changes = _compared_neighbours(simulator, changes, SHORT)
        if digits_of(spread, 0, 1) >= WEALTH:
            return spread, open_changes
    return _compared_neighbours(simulator, changes)


def _further_sequences(
    attempt: Attempt, changes: Changes
) -> Iterator[tuple[Array, list[Changes]]]:
    """The same as `neighbours` over other sequences, of which each has few numbers."""
    placement = attempt.placement
    first = _telling_simulator(attempt).sequence.item
    _, count = placement.setup.size
    items = [item for item in range(count) if item != first]
    for item in items[: MOST_SEQUENCES - 1]:
        yield _compared_neighbours(placement.simulator_on(item), changes)


def unseen_settings(one: Proved) -> tuple[str, ...]:
    """The settings that EXPECTED does not show, next to an answer: full runs confirm them.

    Where EXPECTED is of a head, the name of a cell stands for all of its settings.
    """
    placement, answer = one.placement, one.changes
    unseen: list[str] = []
    of_cells: dict[str, set[str]] = {}
    for setting in _open_settings(one):
        cell, _, plain = setting.rpartition(".")
        if not cell:
            unseen.append(setting)
        else:
            of_cells.setdefault(cell, set()).add(plain)
    if not TELLING.issubset(unseen):  # or no cell shows
        unseen.extend(cell for cell in of_cells if of_cells[cell] == TELLING)
    if placement.changes:
        return tuple(unseen)
    for change in placement.setup.changes_of_run(placement.location):
        setting = change.setting
        if setting in unseen or setting not in ("initial_state", "lengths"):
            continue
        if one.verify((*answer, change)).fits:
            unseen.append(setting)
    return tuple(unseen)


def _open_settings(one: Proved) -> list[str]:
    """The settings that full runs do not show; of one cell `TELLING` where there is a head."""
    known = {change.setting for change in one.changes}
    is_of_head = one.placement.expected.is_of_head
    settings: list[str] = []
    refuted = 0
    for changes in one.open_changes:
        setting = changes[-1].setting
        cell, _, plain = setting.rpartition(".")
        tells = not cell or (is_of_head and plain in TELLING)
        if setting in known or not tells:
            continue
        if refuted == MOST_REFUTED:
            break
        if one.verify(changes).fits:
            known.add(setting)
            settings.append(setting)
        else:
            refuted += 1
    return settings


def digits_of(spread: Array, solved: int, tried: int) -> float:
    """The evidence: digits by which EXPECTED distinguishes hypotheses, less their cost.

    ``spread`` (N, E) is what the neighbours of an answer give, in tolerances. Its singular values,
    centred, tell in how many directions they differ, and how well: repeated steps, saturated gates
    and zeros count for nothing. A ``solved`` constant takes a direction; ``tried`` counts
    hypotheses. Neighbours that spread by 1,000 tolerances, in one direction alone, are 3 digits;
    if 100 hypotheses were tried, 1 is left.
    """
    if not spread.size:
        return -np.inf
    centred = spread - spread.mean(axis=0)
    # the smaller product has the same singular values
    if len(centred) < centred.shape[1]:
        centred = centred.T
    squares = np.sort(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0))[::-1]
    sizes = np.sqrt(squares / len(spread))[solved:]
    gained = np.log10(np.maximum(1, sizes)).sum()
    return float(gained - np.log10(max(tried, 1)))
