"""What is said beside an answer: precision, chaos, half precision that only looks like it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstmcli.core.explain.bench import Allowance
from lstmcli.core.explain.decisions import Facts
from lstmcli.core.explain.judge import Verdict, rerun
from lstmcli.core.explain.one_cell import OneCell
from lstmcli.core.explain.passes.half_precision import tolerance
from lstmcli.core.explain.precision import EPS
from lstmcli.core.explain.space import Changes, settings_of

FEW_AGREE = 0.2  # of all values: a rounded run meets some by chance

ALL_ZERO = (
    "EXPECTED is zero throughout: a bound of 0 or an output left out would give that with any "
    "weights, so it proves nothing."
)


def remarks(
    cell: OneCell, allowance: Allowance, verdict: Verdict, changes: Changes
) -> Iterator[str]:
    """What has to be known of a run that fits."""
    again = rerun(cell.case, changes, allowance, verdict)
    dtype = settings_of(changes).get("dtype")
    if again.fits and dtype and again.max_abs > 2 * cell.tight.absolute:
        yield f"--dtype {dtype} rounds otherwise: it comes within {again.max_abs:.2g} of it."
    if not again.fits and not verdict.forced:
        yield (
            f"In {cell.prepared.dtype}, the number type of the weights, the run is up to "
            f"{again.max_abs:.2g} off; --dtype float64 gives EXPECTED."
        )
    if allowance.stored:
        yield (
            f"All of EXPECTED are numbers of {allowance.stored}, each within half a unit of the "
            "run's: the output alone was stored so, nothing was computed in it."
        )
    elif allowance in cell.prepared.allowances[1:]:
        yield "EXPECTED agrees as float32 does; at the precision of float64 it does not."
    if verdict.forced:
        yield (
            f"This net is chaotic: rounding grows {verdict.growth:.0e} times. Each step was "
            "judged from EXPECTED's own h."
        )
    elif verdict.growth > 10:
        yield f"Rounding grows {verdict.growth:.0f} times in this net; allowed for."


def of_half_size(cell: OneCell) -> Iterator[str]:
    """What is said where nothing fits and the error has the size of half precision."""
    if cell.judge((), cell.tight).agreeing > FEW_AGREE * cell.expected.numbers:
        return
    for half in cell.prepared.coarse:
        verdict = cell.judge((), tolerance(cell.case, half))
        if verdict.fits:
            off = verdict.max_abs / EPS[half.name]
            yield (
                f"As loaded, nearly all values are off, but by at most {off:.2g} eps of "
                f"{half.name}. Errors of this size come from half precision, and from 8-bit "
                "weights or an approximated tanh too; no run with rounded weights, inputs or "
                "states gives these values."
            )
            return


def facts(cell: OneCell) -> Facts:
    """What EXPECTED is made of."""
    read = cell.bench.weights.cell
    sequences = cell.expected.sequences
    steps = (int(np.isfinite(k.values).any(axis=(1, 2)).sum()) for k in sequences.values())
    return Facts(
        steps=max(steps, default=0),
        rows=cell.bench.layouts[cell.case.layout].x.shape[1],
        units=read.units,
        zero_bias=not read.bias.any(),
        final=not sequences,
        numbers=cell.expected.numbers,
    )
