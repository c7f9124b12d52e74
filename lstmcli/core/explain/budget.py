"""How much is tried: what decides it, and the work that a question has taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """How much is tried at most; a first placement is searched whatever work is left.

    Work is in steps of one unit of one hypothesis, of which a second of one core does some 1e7.
    """

    # of a question, over all shapes and placements of EXPECTED
    QUESTION = 7.2e7
    CALL = 1500  # what the calls of NumPy in a step of a cell take, of however few hypotheses,
    HYPOTHESIS = 8  # what each hypothesis takes beside its units,
    RUN = 100  # and what a step takes in a run of a hypothesis by itself
    SHARE = 0.5  # of what is left: the most that one stage of a search may take

    # of one cell, at one placement
    SOLVED = 64  # hypotheses at most of which all steps so far are run to solve for constants
    RANKED = 2000  # hypotheses of a level that are put in order with care,
    VERIFIED = 60  # and of these, the likeliest, are verified
    UNSEEN = 12  # settings that are verified before they are called unseen
    NEAREST = 4  # hypotheses that are named where none fits
    # Where EXPECTED lacks the first step, full runs are stepped. Of a large net, pairs are tried of
    # the nearest single changes with all: one of a pair was among the 25 nearest in 68 of 69 pairs
    # of last states and of stacked nets.
    LATE_RUNS = 250, 6000  # runs that it takes to solve for one constant, and for two,
    LATE_ROUNDS = 20  # and one after another

    # of one cell, over placements
    PLACED = 4  # are searched at least, however little work is left
    OF_LEVEL = 0.5, 0.59, 1  # of what is left: the most that one, two, three changes may take

    # of a network, at one placement
    PAIRED_SINGLES = 80  # the nearest single changes that each other one is added to,
    PAIRED_CONSTANTS = 16  # and that each constant is
    CONSTANTS = 12  # hypotheses of a level whose constants are solved
    NETWORKS_VERIFIED = 40  # hypotheses of a level

    # of a network, over placements
    OF_PLACES = 0.3  # of what is left, if they are several: pairs in one alone may need all of it
    FULL_RUNS = 0.5  # of the work of one change; the rest is for the cells of the top layer
    SEARCHED, UNITS = (8, 64), 2048  # are searched for one change: more of small nets
    PAIRED_PLACEMENTS = 6  # of these, likely or near, are searched for two changes at once,
    TURNED = 2  # and so many under another layout or merge, or as a part of the network


class QuestionWork:
    """The work that a question has taken so far, and up to where it may go on."""

    def __init__(self) -> None:
        self.done, self.most = 0.0, Budget.QUESTION

    @property
    def left(self) -> float:
        """What may still be done; 0 where it was more already."""
        return max(0.0, self.most - self.done)

    def runs(self, of_run: float, calls: float = 0.0, part: float = Budget.SHARE) -> float:
        """How many runs of such work a part of what is left allows, and calls beside them."""
        return (part * self.left - calls) / of_run

    @contextmanager
    def share(self, part: float) -> Iterator[None]:
        """Within it, a part of what is left at most."""
        most = self.most
        self.most = self.done + part * self.left
        try:
            yield
        finally:
            self.most = most
