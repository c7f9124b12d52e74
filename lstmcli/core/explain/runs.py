"""Why no reading gives EXPECTED although the weights are right: how the other side ran them.

Looked at where the search found nothing. A run in chunks whose state is not carried on, one that
starts from where another ended, and rows that end early are runs of the weights as read, so each
is run and compared with EXPECTED before it is said. Rows that end in padding are named unproved
too: the numbers show them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lstmcli.core.diff.alignment import ArrayName
from lstmcli.core.explain.bench import Allowance
from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.judge import Case, Verdict, arrays_of, compared, judged
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.space import Change, Changes
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.hint import join_with_and
from lstmcli.errors import UserError

State = Mapping[str, Array]

FEWEST = 8  # numbers past a break or an end, so that chance does not make them
MOST_NAMED = 5  # chunks
_CARRIED = {
    (): "each from a zero state, {all}: the other side does not carry the state on",
    ("h",): "each from the last h of the one before and a zero c, {all}: the other side carries h "
    "on and not c",
    ("c",): "each from the last c of the one before and a zero h, {all}: the other side carries c "
    "on and not h",
}


def how_run(prepared: Prepared) -> Iterator[str]:
    """What is to be said of the first way of running that EXPECTED shows; nothing without one."""
    question, allowance = prepared.question, prepared.allowances[-1]
    if question.lengths is not None or question.mask is not None:
        return
    cases = list(_cases(prepared))
    for case in cases:
        said = padded(case, allowance)
        if not said and not prepared.model.backward:
            said = in_chunks(case, allowance) or resumed(case, allowance)
        if said:
            taken = f" (--layout {case.layout})" if case.layout != prepared.layout else ""
            yield said + taken + "."
            return
    for case in cases[:1]:
        if said := padded(case, allowance, proved=False):
            yield said + "."
    for case in () if cases or prepared.model.backward else prepared.cases()[:1]:
        if said := ended_early(case, allowance):
            yield said + "."


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


def in_chunks(case: Case, allowance: Allowance) -> str:
    """Runs of some steps each, from a state that is not carried on."""
    for carried, words in _CARRIED.items():
        starts = _starts(case, allowance, carried)
        if not starts:
            continue
        return f"Run in chunks {_named(starts)}, " + words.format(all=_all_agree(case))
    return ""


def _named(starts: list[int]) -> str:
    """``of 4 steps``, or where they start."""
    every = starts[0]
    if all(b - a == every for a, b in pairwise((0, *starts))):
        return f"of {every} steps"
    more = [f"{len(starts) - MOST_NAMED} more"] if len(starts) > MOST_NAMED else []
    return f"that start at steps {join_with_and(['0', *map(str, starts[:MOST_NAMED]), *more])}"


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


def resumed(case: Case, allowance: Allowance) -> str:
    """A run from the state that a run over the same inputs ended in."""
    _, last = _run(case, slice(None), case.initial_state)
    given, _ = _run(case, slice(None), last)
    if not _compared(case, given, slice(None), allowance).fits or not _tells(case, 0, allowance):
        return ""
    return (
        f"Run from the last state of a run over the same inputs, {_all_agree(case)}: the other "
        "side keeps its state from run to run (stateful). Reset it there, or give it here with "
        "--initial-state"
    )


def _run(case: Case, steps: slice, state: State) -> tuple[Mapping[str, Array], State]:
    """The arrays (T, B, K) of some steps from a state, and the state after them."""
    x = case.x[:, steps] if case.layout == "batch" else case.x[steps]
    part = replace(case, x=x, initial_state=state)
    trace, model = part.trace({"dtype": "float64"})
    members = trace.members()
    last = {k: np.asarray(members[f"final_{k}"]) for k in "hc"}
    return arrays_of(trace, model, "h"), last


def _compared(case: Case, given: Mapping[str, Array], at: slice, allowance: Allowance) -> Verdict:
    """h of some steps, compared with EXPECTED's."""
    return compared(given, _part(case, at), allowance)


def _part(case: Case, at: slice) -> Expected:
    outputs = _outputs(case).items()
    return Expected({name: Known(k.values[at], k.half[at]) for name, k in outputs}, {})


def _tells(case: Case, at: int, allowance: Allowance) -> bool:
    return _part(case, slice(at, None)).distinct(allowance.of) >= FEWEST


def _all_agree(case: Case) -> str:
    return f"all {_part(case, slice(None)).numbers} values of h agree"


# ---- rows that end early


def padded(case: Case, allowance: Allowance, proved: bool = True) -> str:
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
            said = (_ended if ends else _masked)(case, allowance, valid, ending)
        else:
            said = _as_padding(valid, ending) if ends else ""
        if said:
            return said
    return ""


def ended_early(case: Case, allowance: Allowance) -> str:
    """The last h of rows, met by that of an earlier step: the lengths are read off the run."""
    expected = case.expected[case.layout]
    final = expected.finals.get("final_h")
    if final is None or expected.sequences or not np.isfinite(final.values).all():
        return ""
    if final.values.shape[-1] < 2 or expected.distinct(allowance.of) < FEWEST:
        return ""  # one number a row may be met by chance
    h = _run(case, slice(None), case.initial_state)[0]["h"]  # (T, B, P)
    met = np.all(np.abs(h - final.values) <= allowance.of(final), axis=-1)  # (T, B)
    lengths = len(h) - np.argmax(met[::-1], axis=0)  # (B,)
    if (
        not met.any(axis=0).all()
        or _further_option(replace(case, lengths=lengths), allowance, "") is None
    ):
        return ""
    joined = ",".join(map(str, lengths.tolist()))
    return f"Rows of EXPECTED end early: with --lengths {joined} all {_numbers(case)} values agree"


def _ended(case: Case, allowance: Allowance, valid: Array, ending: str) -> str:
    further = _further_option(replace(case, lengths=valid.sum(axis=0)), allowance, ending)
    if further is None:
        return ""
    opening, option = _of_lengths(valid, ending)
    return f"{opening}: with {option}{further} all {_numbers(case)} values agree"


def _as_padding(valid: Array, ending: str) -> str:
    opening, option = _of_lengths(valid, ending)
    return f"{opening}, as padding does: {option} --masked-output {ending} leaves it out"


def _of_lengths(valid: Array, ending: str) -> tuple[str, str]:
    """What the rows end in, and the option that says where."""
    lengths = ",".join(map(str, valid.sum(axis=0).tolist()))
    ends = "one output over and over" if ending == "repeat" else "zeros"
    return f"Rows of EXPECTED end in {ends}", f"--lengths {lengths}"


def _masked(case: Case, allowance: Allowance, valid: Array, ending: str) -> str:
    mask = valid.T if case.layout == "batch" else valid
    further = _further_option(replace(case, mask=mask), allowance, ending)
    if further is None:
        return ""
    what = "are zeros" if ending == "zero" else "repeat the one before"
    return (
        f"{(~valid).sum()} steps of EXPECTED {what}: with a --mask that leaves them out{further} "
        f"all {_numbers(case)} values agree"
    )


def _further_option(case: Case, allowance: Allowance, ending: str) -> str | None:
    """What has to be said besides the lengths or the mask of a run that fits; None: none does."""
    ways: dict[str, Changes] = {"": ()}
    if ending:
        ways[f" --masked-output {ending}"] = (Change("masked_output", ending),)
    try:
        return next((way for way, one in ways.items() if judged(case, one, allowance).fits), None)
    except UserError:  # no lengths for this model
        return None


def _numbers(case: Case) -> int:
    return case.expected[case.layout].numbers
