"""How the other side ran the weights: in half precision, with a mask, with other units."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.causes import (
    BOTH,
    EVERY,
    INPUTS,
    WEIGHTS,
    Change,
    Changes,
    settings_of,
)
from lstmcli.core.explain.exactness import EPS, Exactness
from lstmcli.core.explain.observation import Allowance, Arrays
from lstmcli.core.explain.question import Question
from lstmcli.core.explain.verify import (
    FINE,
    Agreement,
    Case,
    Remark,
    Remarks,
    arrays_if_run,
    compared,
    remark,
    verify,
)
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.arrays import ROUNDED, round_to_format
from lstmcli.core.model.model import from_time_major
from lstmcli.errors import UserError

LEAST_SHOWN = 8  # numbers past an end: more than chance makes
NO_ARRANGEMENTS = (
    "suspect_",
    "one_half",
    "settings_",
    "forget_bias",
    "nan_in_both",
    "rounded",
)
"""How the codes of diff's other hints begin."""
# numbers, and their share, that only the rounded run meets
FEWEST_OFF, SHARE_OFF = 6, 0.3
WIDER = 4.0  # times the error of a rounded run: the tolerance of the search
PARTS = WEIGHTS, INPUTS, BOTH, EVERY
"""Parts of a run that may be rounded, in the order in which they are tried."""
FEW_AGREE = 0.2  # of all values, met by chance


def how_run(question: Question, case: Case) -> Remarks:
    """The first way of running the network that EXPECTED shows, if any."""
    if question.inputs.is_padded:
        return
    allowance = question.exactness.allowances[-1]
    shown = masked(case, allowance)
    if shown is None and not question.model.backward:
        shown = other_units(case, allowance)
    if shown is not None:
        yield shown


def rearranged(question: Question, case: Case) -> Remarks:
    """The hints of `diff` on outputs that are arranged otherwise."""
    side, trace = question.side, run_plan(case.plan(FINE))
    arrays = trace.members()
    if len(side.arrays) == 1 and arrays.keys().isdisjoint(side.arrays):
        arrays = {"h": trace.h}
    with suppress(UserError):  # no array has the same name
        difference = compare(Side("the run as loaded", arrays, case.layout), side)
        differing = sum(not array.equal for array in difference.arrays.values())
        for hint in difference.hints:
            if not hint.code.startswith(NO_ARRANGEMENTS):
                yield remark("rearranged", hint=hint.text, complete=differing == 1)


def other_units(case: Case, allowance: Allowance) -> Remark | None:
    """The units of the run as loaded that EXPECTED has, if fewer."""
    expected = case.expected
    if len(expected.outputs) != 1 or expected.distinct(allowance) < LEAST_SHOWN:
        return None
    ((name, known),) = expected.outputs.items()
    count = int(np.isfinite(known.values).any(axis=(0, 1)).sum())
    if count == known.values.shape[-1]:
        return None
    h = case.arrays(FINE)[name]  # (T, B, K)
    units: list[int] = []
    for k in range(count):
        wanted = known[..., [k]]
        is_wrong = np.abs(h - wanted.values) > allowance.of(wanted)  # not where unknown
        agreeing = np.flatnonzero(~is_wrong.any(axis=(0, 1))).tolist()
        if len(agreeing) != 1:
            return None
        units.extend(agreeing)
    return remark("other_units", units=units, numbers=expected.numbers)


def masked(case: Case, allowance: Allowance) -> Remark | None:
    """Outputs that are zeros, or repeated, at steps that others follow."""
    padded, ending = case.expected.padded
    steps, numbers = int(padded.sum()), case.expected.numbers
    if steps * numbers < LEAST_SHOWN * padded.size or padded.all(axis=0).any():
        return None
    mask = from_time_major(~padded[..., None], case.layout)[..., 0]
    options: dict[Changes, str] = {
        (): "",
        (Change("masked_output", ending),): f" --masked-output {ending}",
    }
    for changes, option in options.items():
        if verify(case.under(mask=mask), changes, allowance).fits:
            facts = {"steps": steps, "ending": ending, "option": option}
            return remark("masked", numbers=numbers, **facts)
    return None


class Rounding(NamedTuple):
    """Half precision of a part of a run."""

    dtype: str
    part: str  # one of `PARTS`


def shows_rounding(case: Case, changes: Changes, tight: Allowance) -> bool:
    """Tell whether a run misses enough numbers of EXPECTED that rounding may be the cause."""
    exact = compared(_arrays(case, changes), case.expected, tight)
    least = max(FEWEST_OFF, SHARE_OFF * exact.total)
    return exact.total - exact.agreeing >= least


def rounded_agreement(
    case: Case, changes: Changes, rounding: Rounding, allowance: Allowance
) -> Agreement:
    """How a run of which a part is rounded compares with EXPECTED."""
    arrays = _arrays(case, changes, rounding)
    return compared(arrays, case.expected, allowance)


def remark_of_size(case: Case, loaded: Agreement, exactness: Exactness) -> Remarks:
    """The remark on a run as loaded that is off by as much as rounding leaves.

    In formats of which not all of EXPECTED are numbers hardly any may agree.
    """
    few_agree = loaded.agreeing <= FEW_AGREE * loaded.total
    for half in exactness.coarse:
        on_grid = half.name == exactness.grid
        is_close = loaded.max_abs <= tolerance(case, (), half).absolute
        if is_close and (few_agree or on_grid):
            eps = loaded.max_abs / EPS[half.name]
            facts = {"on_grid": on_grid, "dtype": half.name, "eps": eps}
            yield remark("size_of_half_precision", **facts)
            return


def tolerance(case: Case, changes: Changes, half: Allowance) -> Allowance:
    """The tolerance of a format for a network with changes, at most the given one."""
    plain = _arrays(case, changes)
    rounded = _arrays(case, changes, Rounding(half.name, EVERY))
    if not plain or not rounded:
        return half
    error = case.expected.at_known(lambda name, _: rounded[name] - plain[name])
    absolute = min(half.absolute, WIDER * largest(np.abs(error)))
    return half._replace(absolute=absolute, relative=0.0)


def _arrays(case: Case, changes: Changes, rounding: Rounding | None = None) -> Arrays:
    """The arrays of a run of which a part may be rounded; none if it fails."""
    settings = {**settings_of(changes), **FINE}
    if rounding is not None:
        if rounding.part == EVERY:
            settings["dtype"] = rounding.dtype
        if rounding.part in (WEIGHTS, BOTH):
            settings[ROUNDED] = rounding.dtype
        if rounding.part in (INPUTS, BOTH):
            x = np.asarray(case.data.x, np.float64)
            case = case.under(x=round_to_format(x, rounding.dtype))
    arrays = arrays_if_run(case, settings)
    return arrays if case.expected.is_in(arrays) else {}
