"""How much is tried: one table, in work and never in seconds, and the work of a question so far."""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """How much is tried at most; a first placement is searched whatever work is left.

    Work is counted in steps of one unit of one hypothesis, of which a second of one core does some
    1e7. So the same question has the same answer on every machine.
    """

    QUESTION = 6e7  # work, over all shapes and placements of EXPECTED
    EDITS = 3e7  # work of runs with edits, over all of them
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
    FEW = 4  # shapes of abbreviated output, hypotheses where none fits; half as many with edits


class WorkDone:
    """The work that a question has taken so far, of a number of times the budget, or a share."""

    def __init__(self, times: float = 1) -> None:
        self.times, self.done = times, 0.0
        self.edited, self.variants = 0.0, 0  # work of runs with edits, and how many were tried
        self.tell: Callable[[float], None] = lambda share: None  # how much of all is done

    def add(self, work: float) -> None:
        """Count work that was done."""
        self.done += work
        self.tell(min(1.0, self.done / (self.times * Budget.QUESTION)))

    def add_edited(self, work: float) -> None:
        """Count work of runs with edits."""
        self.edited += work
        self.tell(min(1.0, self.edited / (self.times * Budget.EDITS)))

    def may_edit(self, part: float = 1.0) -> bool:
        """Return whether work is left for runs with edits, of a part of it."""
        return self.edited < part * self.times * Budget.EDITS

    def most(self, count: int) -> int:
        """How many are tried where the budget has a number."""
        return int(max(self.times, 1) * count)

    def left(self, part: float = 1.0) -> float:
        """Return what may still be done of a part of a question's work; 0 if it was more."""
        return max(0.0, part * self.times * Budget.QUESTION - self.done)
