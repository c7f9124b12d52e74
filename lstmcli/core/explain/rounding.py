"""Half precision as a cause: two hypotheses, each a run of this network.

1. A part of the run was rounded to float16 or bfloat16: the weights, the inputs, or h and c from
   step to step; or all of it, as `lstm run` does. That run meets EXPECTED at EXPECTED's own
   tolerance.
2. Every operation was rounded in another order, on which the digits depend: no run gives the same.
   But EXPECTED lies on the format's grid, its error goes along with that of a run with rounded
   weights and inputs, and the rest is of the size that rounding leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lstmcli.core.explain.causes import ALL, BOTH, EVERY, INPUTS, STATES, WEIGHTS
from lstmcli.core.explain.hypotheses import Change, Changes, settings_of
from lstmcli.core.explain.observation import EPS, Allowance, Expected
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.search import Levels, Outcome, Search
from lstmcli.core.explain.verify import (
    Answer,
    Arrays,
    Basis,
    Case,
    Comparison,
    Remark,
    arrays_of,
    compared,
    remark,
)
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import Work, run_plan, task_of_chunk, trace_of
from lstmcli.core.forward.sequence import Advance
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import ROUNDED, round_to_format
from lstmcli.core.model.model import Trace
from lstmcli.core.model.states import State
from lstmcli.errors import UserError

FEWEST_OFF, SHARE_OFF = 6, 0.3  # numbers, and their share of all, that only the rounded run meets
# In 60 runs with every operation rounded, what rounded weights and inputs leave had up to
# 3.9 times the rms, and 5.2 times the maximum, of what rounded states leave; and correlated by 0.21
# to 0.9. In 720 runs with noise of that size on weights, inputs or outputs, put on the grid, no
# rest within the bounds of PROVEN correlated by more than 0.33 where numbers are many.
NAMED, PROVEN = (4.0, 8.0, 1.0, 0.0), (2.8, 5.0, 4.0, 0.4)
"""Of an error on the grid: the greatest rms and maximum of the rest, the least digits of chance
against the correlation, and the least correlation."""
WIDER = 4.0  # times the greatest error of a run rounded throughout: the tolerance of the search
FEW_AGREE = 0.2  # of all values: a rounded run meets some by chance
RMS_RATIO = 3.0  # from which one hypothesis in half precision is better than another
# A state that float32 computes may lie on the other side of the middle of two numbers.
RERUNS = (
    (WEIGHTS, "float64"), (INPUTS, "float64"), (BOTH, "float64"), (STATES, "float64"),
    (STATES, "float32"), (ALL, "float64"), (ALL, "float32"), (EVERY, ""),
)  # fmt: skip
"""The parts that are rounded, and the number type of the run: the format itself rounds all."""


def hypotheses(search: Search) -> Outcome | None:
    """The hypotheses of a search that come from a coarser number type; exact ones win over them."""
    for half in () if search.looser else search.coarse:
        allowance = tolerance(search.case, half)
        if answers := _rounded(search, allowance):
            return search.outcome(answers, allowance)
    return None


def _rounded(search: Search, allowance: Allowance) -> list[Answer]:
    """The hypotheses that come from a coarser number type: as loaded, or with one change.

    A change has to make the error clearly smaller, and only those that come about as near as
    the nearest are left; the nearest of all has to be backed, if it is not a re-run that backs
    another.
    """
    dtype = Change("dtype", allowance.name)
    loaded = Answer((), search.verify((dtype,), allowance))
    coarse = search.simulator.with_allowance(allowance)
    found = list(search.confirmed(Levels(coarse).level(1), allowance))
    least = min((a.comparison.rms for a in found), default=np.inf)
    near = [a for a in found if a.comparison.rms <= RMS_RATIO * least]
    if loaded.comparison.rms <= RMS_RATIO * least:  # a change has little to explain
        near = [loaded] if loaded.comparison.fits else []
    near.sort(key=lambda a: a.comparison.rms)
    on_grid, tight = allowance.name in search.grids, search.allowances[-1]
    bases = [basis(search.case, a.changes, allowance, tight, on_grid) for a in near]
    return [
        Answer((*a.changes, dtype), a.comparison, a.solved, found)
        for a, found in zip(near, bases, strict=True)
        if found and (found.rounded or bases[0])
    ]


def basis(
    case: Case, changes: Changes, half: Allowance, tight: Allowance, on_grid: bool
) -> Basis | None:
    """What speaks for a format where a run with these changes fits at its tolerance; or None.

    ``tight`` is the tolerance of EXPECTED itself; ``on_grid``: all of it are numbers of the format.
    """
    plain, expected, name = _arrays(case, changes), _expected(case, changes), half.name
    if plain is None:
        return None
    off = compared(plain, expected, tight)
    if off.total - off.agreeing >= max(FEWEST_OFF, SHARE_OFF * off.total):
        for part, dtype in RERUNS:
            arrays = _arrays(case, changes, name, part, dtype or name)
            if arrays is not None and (found := compared(arrays, expected, tight)).fits:
                rerun = remark("half_precision_run", part=part, dtype=name)
                return Basis(part, found, rerun)
    return _on_grid(case, changes, half, plain) if on_grid else None


def remark_of_size(prepared: Prepared, case: Case, loaded: Comparison) -> Iterator[Remark]:
    """Whether a run as loaded that does not fit is off by as much as rounding leaves."""
    if loaded.agreeing > FEW_AGREE * loaded.total:
        return
    for half in prepared.coarse:
        if loaded.max_abs <= tolerance(case, half).absolute:
            eps = loaded.max_abs / EPS[half.name]
            yield remark("size_of_half_precision", dtype=half.name, eps=eps)
            return


def tolerance(case: Case, half: Allowance) -> Allowance:
    """The tolerance of a format for this network, at most the one that is given."""
    expected = _expected(case, ())
    plain, rounded = _arrays(case, ()), _arrays(case, (), half.name, ALL)
    if plain is None or rounded is None:
        return half
    error = _at(expected, rounded) - _at(expected, plain)
    greatest = WIDER * float(np.abs(error).max(initial=0))
    return half._replace(absolute=min(half.absolute, greatest), relative=0.0)


def _on_grid(case: Case, changes: Changes, half: Allowance, plain: Arrays) -> Basis | None:
    """The second hypothesis, for EXPECTED on the format's grid."""
    name, expected = half.name, _expected(case, changes)
    inputs, all_ = _arrays(case, changes, name, BOTH), _arrays(case, changes, name, ALL)
    if inputs is None or all_ is None:
        return None
    none, rounded = _at(expected, plain), _at(expected, inputs)
    error, shared = expected.at_known(lambda _, known: known.values) - none, rounded - none
    rest, predicted = error - shared, round_to_format(_at(expected, all_), name) - rounded
    rms = np.sqrt(np.mean(rest**2) / np.mean(predicted**2))
    greatest = np.abs(rest).max() / np.abs(predicted).max()
    rho = float(error @ shared / max(np.sqrt((error @ error) * (shared @ shared)), 1e-300))
    # Two directions of N dimensions drawn at random are as near as that with a chance of about
    # (1 - rho^2)^((N - 1) / 2): decimal digits against errors that have nothing in common.
    chance = (error.size - 1) / 2 * np.log10(max(1 - rho * rho, 1e-12))
    digits = -chance if rho > 0 else -np.inf

    def within(bounds: tuple[float, float, float, float]) -> bool:
        most_rms, most, least_digits, least_rho = bounds
        small = rms <= most_rms and greatest <= most
        return bool(small and rho >= least_rho and digits >= least_digits)

    if not within(NAMED):
        return None
    comparison, eps = compared(plain, expected, half), EPS[name]
    facts = {"dtype": name, "eps": eps, "units": comparison.max_abs / eps, "correlation": rho}
    shown = remark("half_precision_grid", **facts)
    return Basis("", comparison, shown, np.inf if within(PROVEN) else 0.0)


# ---- runs of which a part is rounded


def _arrays(
    case: Case, changes: Changes, name: str = "", part: str = "", dtype: str = "float64"
) -> Arrays | None:
    """The arrays of a run, a part of it rounded to a format; None if it cannot be run."""
    settings = {**settings_of(changes), "dtype": dtype}
    if part in (WEIGHTS, BOTH, ALL):
        settings[ROUNDED] = name
    x = np.asarray(case.x, np.float64)
    one = replace(case, x=round_to_format(x, name) if part in (INPUTS, BOTH, ALL) else x)
    try:
        run = partial(_rounding_states, name) if part in (STATES, ALL) else run_plan
        trace, model = one.trace(settings, run)
    except UserError:
        return None
    arrays = arrays_of(trace, model, settings.get("array", "h"))
    return arrays if _expected(case, changes).is_in(arrays) else None


@dataclass(frozen=True, eq=False)
class RoundedStates(Work):
    """A run whose h and c are rounded to a format for the next step; it gives them as computed."""

    name: str = ""

    def advance(self, packed: Packed, blocks: Sequence[slice]) -> Advance:
        """One step after another, with the state rounded between them."""
        one_step = super().advance(packed, blocks)

        def advance(
            x: Array, state: State, names: tuple[str, ...]
        ) -> tuple[dict[str, Array], State]:
            steps = []
            for t in range(len(x)):
                h, c = (round_to_format(a, self.name).astype(a.dtype) if t else a for a in state)
                arrays, state = one_step(x[t : t + 1], (h, c), names)
                steps.append(arrays)
            return {k: np.concatenate([step[k] for step in steps]) for k in names}, state

        return advance


def _rounding_states(name: str, plan: Plan) -> Trace:
    work = RoundedStates(plan.model, plan.batch, plan.keep, plan.masked, name=name)
    return trace_of(plan, work(*task_of_chunk(plan, slice(0, plan.batch))))


def _expected(case: Case, changes: Changes) -> Expected:
    return case.expected[dict(changes).get("layout", case.layout)]


def _at(expected: Expected, arrays: Arrays) -> Array:
    """The numbers of a run that EXPECTED knows, one after another."""
    return expected.at_known(lambda name, _: arrays[name]).astype(np.float64)
