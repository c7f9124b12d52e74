"""How the other side ran the weights: in half precision, with a mask, another state.

Masks, units and rounding are confirmed by a run; another state is suggested.
"""

from __future__ import annotations

from contextlib import suppress

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
from lstmcli.core.explain.observation import EPS, Allowance, Arrays, Exactness
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
# steps at least, and the share to which an error falls
FADING_STEPS, FADED = 4, 0.1
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
FEW_AGREE = 0.2  # of all values, met by chance


def how_run(question: Question, case: Case) -> Remarks:
    """The first way of running the network that EXPECTED shows, if any."""
    if question.inputs.is_padded:
        return
    allowance = question.exactness.allowances[-1]
    found = masked(case, allowance)
    if not found and not question.model.backward:
        found = (other_state if case.expected.is_complete else other_units)(
            case, allowance
        )
    if found:
        yield found


def rearranged(question: Question, case: Case) -> Remarks:
    """The hints of `diff` on outputs that are arranged otherwise."""
    side, trace = question.side, run_plan(case.plan(FINE))
    members, (name, *others) = trace.members(), side.arrays
    arrays = members if others or name in members else {"h": trace.h}
    with suppress(UserError):  # no array has the same name
        found = compare(Side("the run as loaded", arrays, case.layout), side)
        differing = sum(not array.equal for array in found.arrays.values())
        for hint in found.hints:
            if not hint.code.startswith(NO_ARRANGEMENTS):
                yield remark("rearranged", hint=hint.text, complete=differing == 1)


def other_state(case: Case, allowance: Allowance) -> Remark | None:
    """An error that is largest at the first step and dies out from there on."""
    given, outputs = case.arrays(FINE), case.expected.outputs
    off = np.concatenate(
        [given[n] - known.values for n, known in outputs.items()], axis=-1
    )
    rms = np.sqrt((off**2).mean(axis=(1, 2)))  # (T,)
    if len(rms) < FADING_STEPS or rms.argmax() or rms[1] <= allowance.absolute:
        return None
    return (
        remark("other_state", share=rms[-1] / rms[0])
        if rms[-1] <= FADED * rms[0]
        else None
    )


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
    each = (known[..., [k]] for k in range(count))
    wrong = (
        np.abs(h - one.values) > allowance.of(one) for one in each
    )  # not where unknown
    units = [np.flatnonzero(~one.any(axis=(0, 1))) for one in wrong]
    if any(len(one) != 1 for one in units):
        return None
    return remark(
        "other_units", units=np.ravel(units).tolist(), numbers=expected.numbers
    )


def masked(case: Case, allowance: Allowance) -> Remark | None:
    """Outputs that are zeros, or repeated, at steps that others follow."""
    padded, ending = case.expected.padded
    steps, numbers = int(padded.sum()), case.expected.numbers
    if steps * numbers < LEAST_SHOWN * padded.size or padded.all(axis=0).any():
        return None
    masked = case.under(mask=from_time_major(~padded[..., None], case.layout)[..., 0])
    for changes in (), (Change("masked_output", ending),):
        if verify(masked, changes, allowance).fits:
            option = f" --masked-output {ending}" * bool(changes)
            return remark(
                "masked",
                steps=steps,
                ending=ending,
                option=option,
                numbers=numbers,
            )
    return None


def rounded_run(
    case: Case,
    changes: Changes,
    name: str,
    tight: Allowance,
) -> list[tuple[str, Agreement]]:
    """The first part of a run that, rounded to a format, gives EXPECTED.

    ``tight`` is the tolerance of EXPECTED, which a run without rounding has to miss.
    """
    off = compared(_arrays(case, changes), case.expected, tight)
    if off.total - off.agreeing < max(FEWEST_OFF, SHARE_OFF * off.total):
        return []
    for part in (WEIGHTS, INPUTS, BOTH, EVERY):
        agreement = compared(_arrays(case, changes, name, part), case.expected, tight)
        if agreement.fits:
            return [(part, agreement)]
    return []


def remark_of_size(case: Case, loaded: Agreement, exactness: Exactness) -> Remarks:
    """The remark on a run as loaded that is off by as much as rounding leaves.

    In formats of which not all of EXPECTED are numbers hardly any may agree.
    """
    few_agree = loaded.agreeing <= FEW_AGREE * loaded.total
    for half in exactness.coarse:
        name, on_grid = half.name, half.name == exactness.grid
        is_close = loaded.max_abs <= tolerance(case, (), half).absolute
        if is_close and (few_agree or on_grid):
            eps = loaded.max_abs / EPS[name]
            yield remark(
                "size_of_half_precision",
                on_grid=on_grid,
                dtype=name,
                eps=eps,
            )
            return


def tolerance(case: Case, changes: Changes, half: Allowance) -> Allowance:
    """The tolerance of a format for a network with changes, at most the given one."""
    plain = _arrays(case, changes)
    rounded = _arrays(case, changes, half.name, EVERY)
    if not plain or not rounded:
        return half
    error = case.expected.at_known(lambda name, _: rounded[name] - plain[name])
    absolute = min(half.absolute, WIDER * largest(np.abs(error)))
    return half._replace(absolute=absolute, relative=0.0)


def _arrays(case: Case, changes: Changes, name: str = "", part: str = "") -> Arrays:
    """The arrays of a run, a part of it rounded to a format; none if it fails."""
    settings = {**settings_of(changes), "dtype": name if part == EVERY else "float64"}
    if part in (WEIGHTS, BOTH):
        settings[ROUNDED] = name
    if part in (INPUTS, BOTH):
        x = np.asarray(case.data.x, np.float64)
        case = case.under(x=round_to_format(x, name))
    arrays = arrays_if_run(case, settings)
    return arrays if case.expected.is_in(arrays) else {}
