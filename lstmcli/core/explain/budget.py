"""How much is tried: one table, in work and never in seconds, and the work of a question so far."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

Progress = Callable[[float, str], object]
"""A function of the share of the search that is done, and of what is tried."""


def quiet(share: float, what: str) -> None:
    """Show no progress."""


class Budget:
    """How much is tried at most; a first placement is searched whatever work is left.

    Work is counted in steps of one unit of one hypothesis, of which a second of one core does some
    1e7. So the same question has the same answer on every machine.
    """

    QUESTION = 7e7  # work, over all shapes and placements; with 8e7 one question took 10.5 s
    EDITS = 0.4  # times QUESTION: the work of runs with edits, which is added to it
    THOROUGH = 10  # times as much of all that is searched, on request
    LIKELY = 40  # placements that are searched while work is left; a sixth for each further change
    NUMBERS = 10_000_000
    """Of the runs of all locations of an array of EXPECTED: further locations are left out."""
    PAIRED = 80
    """The nearest single changes that each other one is added to, where no first step is known.

    One of a pair was among the 25 nearest in 68 of 69 pairs of last states and of stacked nets.
    """
    SOLVED = 32  # sets whose constant is solved for over the telling steps; a fifth of them further
    VERIFIED = 60  # hypotheses of one placement and number of changes, the likeliest
    LISTED = 12  # settings verified before they are called unseen, equal edits
    FEW = 4  # shapes of abbreviated output, hypotheses where none fits; edits at half as many


class WorkDone:
    """The work that a question has taken so far, of a number of times the budget, or a share."""

    def __init__(self, times: float = 1) -> None:
        self.times, self.done = times, 0.0
        self.variants = 0  # of edits, that were tried
        self.what = "weights as loaded"  # that is tried
        self.progress: Progress = quiet

    @cached_property
    def edits(self) -> WorkDone:
        """The work of runs with edits, which is counted by itself."""
        return WorkDone(Budget.EDITS * self.times)

    def add(self, work: float) -> None:
        """Count work that was done, and show how much of all that is."""
        self.done += work
        self.progress(min(1.0, self.done / (self.times * Budget.QUESTION)), self.what)

    def most(self, count: int) -> int:
        """How many are tried where the budget has a number."""
        return int(max(self.times, 1) * count)

    def left(self, part: float = 1.0) -> float:
        """Return what may still be done of a part of a question's work; 0 if it was more."""
        return max(0.0, part * self.times * Budget.QUESTION - self.done)
