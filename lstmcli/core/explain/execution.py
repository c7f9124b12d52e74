"""Why no reading gives EXPECTED although the weights are right: how the other side ran them.

Looked at where the search found nothing. A run in chunks whose state is not carried on, one that
starts from where another ended, and rows that end early are runs of the weights as read, so each
is run and compared with EXPECTED before it is said. Rows that end in padding are named unproved
too: the numbers show them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from lstmcli.core.diff.alignment import ArrayName
from lstmcli.core.explain.hypotheses import Change, Changes
from lstmcli.core.explain.observation import Allowance, Expected, Known
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.verify import (
    Case,
    Comparison,
    Remark,
    arrays_of,
    compared,
    remark,
    verify,
)
from lstmcli.core.model.arrays import Array
from lstmcli.errors import UserError

State = Mapping[str, Array]

FEWEST = 8  # numbers past a break or an end, so that chance does not make them
CARRIED: tuple[tuple[str, ...], ...] = ((), ("h",), ("c",))
"""What of the state may be carried from chunk to chunk, where not all of it is."""


def how_run(prepared: Prepared) -> Iterator[Remark]:
    """What is to be said of the first way of running that EXPECTED shows; nothing without one."""
    question, allowance = prepared.question, prepared.allowances[-1]
    if question.lengths is not None or question.mask is not None:
        return
    cases = list(_cases(prepared))
    for case in cases:
        found = padded(case, allowance)
        if not found and not prepared.model.backward:
            found = in_chunks(case, allowance) or resumed(case, allowance)
        if found:
            layout = case.layout if case.layout != prepared.layout else ""
            yield replace(found, facts={**found.facts, "layout": layout})
            return
    for case in cases[:1]:
        if found := padded(case, allowance, proved=False):
            yield found
    for case in () if cases or prepared.model.backward else prepared.cases()[:1]:
        if found := ended_early(case, allowance):
            yield found


def _cases(prepared: Prepared) -> Iterator[Case]:
    """EXPECTED with all h of a run, in each layout it can have, the assumed one first."""
    for case in prepared.cases()[:1]:
        for layout, expected in case.expected.items():
            one = replace(case, layout=layout, expected={layout: expected})
            outputs = _outputs(one).values()
            if outputs and all(np.isfinite(known.values).all() for known in outputs):
                yield one


def _outputs(case: Case) -> dict[str, Known]:
    """The h (T, B, P) that EXPECTED holds of each cell."""
    sequences = case.expected[case.layout].sequences
    return {name: known for name, known in sequences.items() if ArrayName.of(name).base == "h"}


# ---- chunks


def in_chunks(case: Case, allowance: Allowance) -> Remark | None:
    """Runs of some steps each, from a state that is not carried on."""
    for carried in CARRIED:
        if starts := _starts(case, allowance, carried):
            return remark("chunks", starts=starts, carried=carried, numbers=_outputs_known(case))
    return None


def _starts(case: Case, allowance: Allowance, carried: tuple[str, ...]) -> list[int]:
    """The steps at which the state is lost, if EXPECTED is a run that loses it there."""
    steps = len(next(iter(_outputs(case).values())).values)
    starts: list[int] = []
    at, state, window = 0, case.initial_state, steps
    while True:
        end = min(at + window, steps)
        given, _ = _run(case, slice(at, end), state)
        wrong = _compared(case, given, slice(at, end), allowance).first
        if wrong is None and end < steps:
            window *= 2
            continue
        if wrong is None:
            return starts if starts and _tells(case, starts[0], allowance) else []
        length = wrong.step or 0
        if length < 2 or len(starts) >= steps // 2:
            return []
        _, last = _run(case, slice(at, at + length), state)
        state = {k: v if k in carried else np.zeros_like(v) for k, v in last.items()}
        at, window = at + length, 2 * length  # chunks are mostly of one length
        starts.append(at)


def resumed(case: Case, allowance: Allowance) -> Remark | None:
    """A run from the state that a run over the same inputs ended in."""
    _, last = _run(case, slice(None), case.initial_state)
    given, _ = _run(case, slice(None), last)
    if not _compared(case, given, slice(None), allowance).fits or not _tells(case, 0, allowance):
        return None
    return remark("resumed", numbers=_outputs_known(case))


def _run(case: Case, steps: slice, state: State) -> tuple[Mapping[str, Array], State]:
    """The arrays (T, B, K) of some steps from a state, and the state after them."""
    x = case.x[:, steps] if case.layout == "batch" else case.x[steps]
    part = replace(case, x=x, initial_state=state)
    trace, model = part.trace({"dtype": "float64"})
    members = trace.members()
    last = {k: np.asarray(members[f"final_{k}"]) for k in "hc"}
    return arrays_of(trace, model, "h"), last


def _compared(
    case: Case, given: Mapping[str, Array], at: slice, allowance: Allowance
) -> Comparison:
    """h of some steps, compared with EXPECTED's."""
    return compared(given, _part(case, at), allowance)


def _part(case: Case, at: slice) -> Expected:
    outputs = _outputs(case).items()
    return Expected({name: Known(k.values[at], k.half[at]) for name, k in outputs}, {})


def _tells(case: Case, at: int, allowance: Allowance) -> bool:
    return _part(case, slice(at, None)).distinct(allowance.of) >= FEWEST


def _outputs_known(case: Case) -> int:
    """How many values of h are known: all of them agree."""
    return _part(case, slice(None)).numbers


# ---- rows that end early


def padded(case: Case, allowance: Allowance, proved: bool = True) -> Remark | None:
    """Rows whose outputs end in zeros, or in the last one over and over; or begin with zeros."""
    values = np.concatenate([k.values for k in _outputs(case).values()], axis=-1)  # (T, B, P)
    zero = np.any(values, axis=-1)  # (T, B): the steps that count, if zeros stand at the others
    repeat = np.array(zero)
    repeat[1:] &= np.any(values[1:] != values[:-1], axis=-1)
    for valid, ending in ((zero, "zero"), (repeat, "repeat")):
        few = (~valid).sum() * values.shape[-1] < FEWEST
        if few or not valid.any(axis=0).all():
            continue
        ends = bool((valid[:-1] >= valid[1:]).all())
        if proved:
            found = (_ended if ends else _masked)(case, allowance, valid, ending)
        else:
            found = _padded(valid, ending) if ends else None
        if found:
            return found
    return None


def ended_early(case: Case, allowance: Allowance) -> Remark | None:
    """The last h of rows, met by that of an earlier step: the lengths are read off the run."""
    expected = case.expected[case.layout]
    final = expected.finals.get("final_h")
    if final is None or expected.sequences or not np.isfinite(final.values).all():
        return None
    if final.values.shape[-1] < 2 or expected.distinct(allowance.of) < FEWEST:
        return None  # one number a row may be met by chance
    h = _run(case, slice(None), case.initial_state)[0]["h"]  # (T, B, P)
    met = np.all(np.abs(h - final.values) <= allowance.of(final), axis=-1)  # (T, B)
    lengths = len(h) - np.argmax(met[::-1], axis=0)  # (B,)
    if (
        not met.any(axis=0).all()
        or _further_option(replace(case, lengths=lengths), allowance, "") is None
    ):
        return None
    return remark("ended_early", lengths=lengths.tolist(), numbers=_numbers(case))


def _ended(case: Case, allowance: Allowance, valid: Array, ending: str) -> Remark | None:
    further = _further_option(replace(case, lengths=valid.sum(axis=0)), allowance, ending)
    return None if further is None else _padded(valid, ending, further, _numbers(case))


def _padded(valid: Array, ending: str, option: str = "", numbers: int = 0) -> Remark:
    """What the sequences end in; ``numbers`` agree with an option besides, none if 0."""
    lengths = valid.sum(axis=0).tolist()
    return remark("padded", lengths=lengths, ending=ending, option=option, numbers=numbers)


def _masked(case: Case, allowance: Allowance, valid: Array, ending: str) -> Remark | None:
    mask = valid.T if case.layout == "batch" else valid
    further = _further_option(replace(case, mask=mask), allowance, ending)
    if further is None:
        return None
    steps = int((~valid).sum())
    return remark("masked", steps=steps, ending=ending, option=further, numbers=_numbers(case))


def _further_option(case: Case, allowance: Allowance, ending: str) -> str | None:
    """What has to be said besides the lengths or the mask of a run that fits; None: none does."""
    ways: dict[str, Changes] = {"": ()}
    if ending:
        ways[f" --masked-output {ending}"] = (Change("masked_output", ending),)
    try:
        return next((way for way, one in ways.items() if verify(case, one, allowance).fits), None)
    except UserError:  # no lengths for this model
        return None


def _numbers(case: Case) -> int:
    return case.expected[case.layout].numbers
