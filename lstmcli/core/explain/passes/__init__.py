"""What is tried where the run as loaded does not give EXPECTED, in one list.

First the settings of a cell, one, two and three changes at once; exact pairs win over a coarser
number type. Then what is no setting of a cell: how the other side ran the sequences.
"""

from __future__ import annotations

from functools import partial

from lstmcli.core.explain.passes import execution, half_precision
from lstmcli.core.explain.search import LEVELS, Pass, Search

PASSES = (
    Pass("one change", 1, partial(Search.level, size=1)),
    Pass("two changes", 2, partial(Search.level, size=2)),
    Pass("half precision", 2, half_precision.hypotheses),
    Pass("three changes", 3, partial(Search.level, size=3)),
    Pass("execution", LEVELS, remark=execution.how_run),
)
