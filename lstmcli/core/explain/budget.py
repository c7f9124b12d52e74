"""How much is tried, in work and never in seconds; and the work done so far."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

Progress = Callable[[float, str], object]
"""Takes the share of the search that is done, and its pass."""


def quiet(share: float, what: str) -> None:
    """Show no progress."""


class Budget:
    """How much is tried at most; a first placement is searched whatever work is left.

    Work is counted in steps of one unit of one hypothesis, some 1e7 a second and core. So a
    question has the same answer on every machine.
    """

    # work of all shapes and placements; with 8e7 one took 10.5 s
    QUESTION = 7e7
    EDITS = 0.4  # times QUESTION: the further work of runs with edits
    NEAR = 1.2  # times QUESTION, of near placements; one took 14 s
    THOROUGH = 10  # times all of it, on request
    # placements while work is left; a sixth for each further change
    LIKELY = 40
    NUMBERS = 10_000_000
    """Of runs at all locations of an array of EXPECTED: others are left out."""
    PAIRED = 80
    """The nearest changes that others are added to, where no first step is known.

    One of a pair was among the 25 nearest in 68 of 69, of last states and stacked nets.
    """
    # sets whose constant is solved for
    SOLVED = 32
    # the likeliest hypotheses of a placement and count of changes
    VERIFIED = 60
    # shapes of abbreviated output, nearest hypotheses; half as many placements of edits; three
    # times as many settings verified before they are called unseen, and equal edits
    FEW = 4


class WorkDone:
    """The work that a question has taken so far, of some times the budget."""

    def __init__(self, times: float = 1) -> None:
        self.times, self.done = times, 0.0
        self.variants = 0  # of edits, that were tried
        # whether next to a change, and the edits that the budget left out
        self.left_out: list[tuple[bool, list[str]]] = []
        self.what = "weights as loaded"  # that is tried
        self.progress: Progress = quiet

    @cached_property
    def edits(self) -> WorkDone:
        """The work of runs with edits, counted by itself."""
        return WorkDone(Budget.EDITS * self.times)

    def add(self, work: float) -> None:
        """Count work, and show how much of all is done."""
        self.done += work
        self.progress(min(1.0, self.done / (self.times * Budget.QUESTION)), self.what)

    def most(self, count: int) -> int:
        """How many are tried where the budget has a count."""
        return int(max(self.times, 1) * count)

    def left(self, part: float = 1.0) -> float:
        """The work that is left of a part of a question's, or 0."""
        return max(0.0, part * self.times * Budget.QUESTION - self.done)
