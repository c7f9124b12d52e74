"""Two edits of one family at once: lines that were copied from gate to gate."""

from __future__ import annotations

from itertools import combinations, product

from lstmcli.core.explain.edited_runs import EditedRuns
from lstmcli.core.explain.edits import Tries
from lstmcli.core.model.edits import EDITS, Edit, RunSizes
from lstmcli.core.model.vocabulary import GATES

PARTS = ("bias", "recurrent", "kernel", "block")


def pairs(runs: EditedRuns) -> Tries:
    """The same part of two gates, each left out, taken from another gate, or multiplied."""
    if runs.changes or len(runs.model.cells) > 1:
        return
    sizes = RunSizes(runs.model, runs.model.cell, runs.steps)
    for part, gates in product(PARTS, combinations(GATES, 2)):
        edits = []
        for gate in gates:
            name = f"weights.{part}.{gate}"
            values = EDITS[name].values_for(sizes)
            edits.append([Edit(name, value) for value in values])
        for one, other in product(*edits):
            # of the first gate as edited it is that of another gate in both
            if other.value != gates[0]:
                yield runs.hypothesis(one, other)
