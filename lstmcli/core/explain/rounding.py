"""Half precision as a cause: runs of which the weights, the inputs, both, or all is rounded.

Such a run has to meet EXPECTED at the tolerance of EXPECTED. Where none does, but the run as loaded
is off by no more than rounding leaves, the size of the error is reported.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstmcli.core.explain.causes import BOTH, EVERY, INPUTS, WEIGHTS, Changes, settings_of
from lstmcli.core.explain.observation import EPS, Allowance, Exactness
from lstmcli.core.explain.verify import (
    NEVER,
    Agreement,
    Arrays,
    Case,
    Remark,
    arrays_if_run,
    compared,
    remark,
)
from lstmcli.core.model.arrays import ROUNDED, round_to_format

FEWEST_OFF, SHARE_OFF = 6, 0.3  # numbers, and their share of all, that only the rounded run meets
WIDER = 4.0  # times the error of a run that is rounded throughout: the tolerance of the search
FEW_AGREE = 0.2  # of all values: a rounded run meets some by chance
RERUNS = ((WEIGHTS, "float64"), (INPUTS, "float64"), (BOTH, "float64"), (EVERY, ""))
"""The parts that are rounded, and the dtype of the run: the format itself rounds all."""


def rounded_runs(
    case: Case, changes: Changes, name: str, tight: Allowance
) -> Iterator[tuple[str, Agreement]]:
    """The parts of which a run with these changes, rounded to a format, gives EXPECTED.

    ``tight`` is the tolerance of EXPECTED itself, which a run without rounding has to miss.
    """
    plain = _arrays(case, changes)
    off = NEVER if plain is None else compared(plain, case.expected, tight)
    if off.total - off.agreeing >= max(FEWEST_OFF, SHARE_OFF * off.total):
        for part, dtype in RERUNS:
            arrays = _arrays(case, changes, name, part, dtype or name)
            if arrays is not None and (found := compared(arrays, case.expected, tight)).fits:
                yield part, found


def remark_of_size(case: Case, loaded: Agreement, exactness: Exactness) -> Iterator[Remark]:
    """Whether a run as loaded that does not fit is off by as much as rounding leaves.

    In formats of which not all of EXPECTED are numbers hardly any may agree.
    """
    for half in exactness.coarse:
        few_agree = loaded.agreeing <= FEW_AGREE * loaded.total
        is_close = loaded.max_abs <= tolerance(case, (), half).absolute
        if is_close and (few_agree or half.name in exactness.grids):
            facts = {"dtype": half.name, "eps": loaded.max_abs / EPS[half.name]}
            yield remark("size_of_half_precision", on_grid=half.name in exactness.grids, **facts)
            return


def tolerance(case: Case, changes: Changes, half: Allowance) -> Allowance:
    """The tolerance of a format for this network with changes, at most the one that is given."""
    plain, rounded = _arrays(case, changes), _arrays(case, changes, half.name, EVERY, half.name)
    if plain is None or rounded is None:
        return half
    error = case.expected.at_known(lambda name, _: rounded[name] - plain[name])
    largest = WIDER * float(np.abs(error).max(initial=0))
    return half._replace(absolute=min(half.absolute, largest), relative=0.0)


def _arrays(
    case: Case, changes: Changes, name: str = "", part: str = "", dtype: str = "float64"
) -> Arrays | None:
    """The arrays of a run, a part of it rounded to a format; None if it cannot be run."""
    settings = {**settings_of(changes), "dtype": dtype}
    if part in (WEIGHTS, BOTH):
        settings[ROUNDED] = name
    if part in (INPUTS, BOTH):
        case = case.under(x=round_to_format(np.asarray(case.x, np.float64), name))
    arrays = arrays_if_run(case, settings)
    return arrays if arrays and case.expected.is_in(arrays) else None
