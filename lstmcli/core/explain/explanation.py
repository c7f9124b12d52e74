"""The answer as data: an `Explanation` and its parts. `wording` puts the English in at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lstmcli.core.diff.tolerance import jsonable
from lstmcli.core.explain.causes import CANDIDATE
from lstmcli.core.explain.hypotheses import Change, Changes, prior, settings_of
from lstmcli.core.explain.observation import Allowance, Placement
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.verify import Case, Place, Verdict, rerun


@dataclass(frozen=True)
class Remark:
    """Something to be said, as a code and the facts in it."""

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""  # put in by `wording`

    def __hash__(self) -> int:
        return hash(self.code)


def remark(code: str, **facts: Any) -> Remark:
    """A remark without its words."""
    return Remark(code, facts)


@dataclass(frozen=True)
class Changed:
    """One change: ``setting`` was ``assumed``, and EXPECTED is what ``found`` gives."""

    setting: str
    assumed: Any
    found: Any
    sense: str = ""  # more than the setting says: one of `causes.SENSES`
    implied: Mapping[str, Any] = field(default_factory=dict)  # settings that go with it
    text: str = ""  # put in by `wording`

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be set to have the change."""
        return {**self.implied, self.setting: self.found}

    def to_json(self) -> dict[str, Any]:
        """As DESIGN has it."""
        return {
            "setting": self.setting,
            "assumed": self.assumed,
            "found": self.found,
            "text": self.text,
        }


def changed(changes: Changes, assumed: Callable[[Change], Any]) -> tuple[Changed, ...]:
    """Changes with what was assumed, the likelier ones first.

    The search knows another activation of the candidate alone as two settings, and Keras'
    go_backwards as two others; here each is one change.
    """
    left = {c.setting: c for c in sorted(changes, key=prior)}
    found = []
    turned, flipped = left.get("reverse"), left.get("flip_output")
    if turned and flipped and turned.value and flipped.value:
        del left["reverse"], left["flip_output"]
        found.append(Changed("go_backwards", assumed=False, found=True))
    candidate, output = left.get("activation"), left.get("output_activation")
    if candidate and output:
        del left["activation"]
        implied = {}
        if output.value == assumed(output):
            del left["output_activation"]
            implied = {"output_activation": output.value}
        found.append(Changed("activation", assumed(candidate), candidate.value, CANDIDATE, implied))
    return (*found, *(Changed(c.setting, assumed(c), c.value) for c in left.values()))


@dataclass(frozen=True)
class Answer:
    """A hypothesis that fits: its changes with constants put in, and how it compares."""

    changes: Changes
    verdict: Verdict
    solved: int = 0  # constants that were solved for


@dataclass(frozen=True)
class Near:
    """A configuration that comes near, and how near."""

    changes: tuple[Changed, ...]
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """The changes and the figures."""
        first = self.verdict.first
        return {
            "changes": [change.to_json() for change in self.changes],
            "max_abs": jsonable(self.verdict.max_abs),
            "rms": jsonable(self.verdict.rms),
            "agreeing": self.verdict.agreeing,
            "total": self.verdict.total,
            "first": None if first is None else _place(first),
        }


def _place(place: Place) -> dict[str, Any]:
    return {
        "array": place.array,
        "step": place.step,
        "batch": place.row,
        "unit": place.unit,
        "given": jsonable(place.given),
        "expected": jsonable(place.expected),
    }


@dataclass(frozen=True)
class Row:
    """A line of the table of an answer, in words."""

    setting: str
    assumed: str
    fits: str
    who: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """What gives EXPECTED, or what comes near.

    ``verdict`` is ``agrees`` (nothing has to be changed), ``found``, ``unproven`` (configurations
    fit, but EXPECTED contains too few numbers to prove one), or ``none``.
    """

    verdict: str
    settings: Mapping[str, Any]
    changes: tuple[Changed, ...] = ()
    measured: Verdict | None = None
    command: str = ""
    next: str = ""  # the command to go on with, if no configuration is found
    equivalent: tuple[tuple[Changed, ...], ...] = ()
    tried: int = 0
    depth: int = 3  # changes at once that were tried
    nearest: tuple[Near, ...] = ()
    like: tuple[str, ...] = ()  # conventions that run weights just so
    others: int = 0  # settings that are as assumed
    first_step: int | None = None  # at which the changes show
    backward: bool = False  # whether the last step is run first
    unseen: tuple[str, ...] = ()  # settings that these data do not show
    wanted: tuple[Remark, ...] = ()  # data that would decide between those that fit
    placement: Placement | None = None  # of EXPECTED on the run
    remarks: tuple[Remark, ...] = ()
    untried: tuple[Remark, ...] = ()
    evidence: float | None = None
    numbers: int = 0  # known numbers of EXPECTED
    precision: str = ""  # of EXPECTED: a number type, or "printed"
    digits: int | None = None  # of a print
    # ---- put in by `wording`
    rows: tuple[Row, ...] = ()
    hidden: str = ""  # why the changes do not show at once
    decide: str = ""
    taken: str = ""  # where EXPECTED is taken to lie

    @property
    def found(self) -> bool:
        """Whether a configuration gives EXPECTED, and EXPECTED proves it."""
        return self.verdict in ("agrees", "found")

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks in words."""
        return tuple(one.text for one in self.remarks)

    @property
    def not_tried(self) -> tuple[str, ...]:
        """What was not tried, in words."""
        return tuple(one.text for one in self.untried)

    def to_json(self) -> dict[str, Any]:
        """The document of ``-f json``."""
        return {
            "found": self.found,
            "settings": dict(self.settings),
            "changes": [change.to_json() for change in self.changes],
            "max_abs": None if self.measured is None else jsonable(self.measured.max_abs),
            "command": self.command,
            "equivalent": [[c.to_json() for c in changes] for changes in self.equivalent],
            "tried": self.tried,
            "nearest": [near.to_json() for near in self.nearest],
            "verdict": self.verdict,
            "taken": self.taken,
            "notes": list(self.notes),
            "remarks": [{"code": one.code, "text": one.text} for one in self.remarks],
            "not_seen": list(self.unseen),
            "decide": self.decide,
            "not_tried": list(self.not_tried),
            "next": self.next,
        }


# ---- remarks on a run that fits

ALL_ZERO = remark("all_zero")


def remarks_on(
    prepared: Prepared, case: Case, changes: Changes, allowance: Allowance, verdict: Verdict
) -> Iterator[Remark]:
    """What has to be known of a run that fits: the precision at which it does."""
    again = rerun(case, changes, allowance)
    dtype = settings_of(changes).get("dtype")
    if again.fits and dtype and again.max_abs > 2 * prepared.allowances[-1].absolute:
        yield remark("dtype_rounds_otherwise", dtype=dtype, error=again.max_abs)
    if not again.fits:
        yield remark("needs_float64", dtype=prepared.dtype, error=again.max_abs)
    if allowance.stored:
        yield remark("stored_as", dtype=allowance.stored)
    elif allowance in prepared.allowances[1:]:
        yield remark("agrees_as_float32")
    if verdict.blind:
        yield remark("chaotic", growth=verdict.growth, numbers=verdict.blind)
    elif verdict.growth > 10:
        yield remark("rounding_grows", growth=verdict.growth)


# ---- remarks where nothing fits

NOT_SEARCHED = (remark("dropout"), remark("layer_norm"), remark("other_weights"))

NEARER = 0.9  # times the difference of the run as loaded: what is no nearer is not listed
MANY_ZEROS = 0.05  # of all numbers
CLOSE = 3e-3  # a difference that an approximated function makes, and few wrong settings
DISTANT = 30.0  # times further off all other configurations are then


def clearly_nearer(loaded: Verdict, answers: Sequence[Answer]) -> list[Answer]:
    """Those that come clearly nearer than the run as loaded, and that run; each figure once."""
    found: dict[tuple[str, int], Answer] = {}
    for answer in answers:
        if answer.changes and answer.verdict.rms < NEARER * loaded.rms:
            found.setdefault((f"{answer.verdict.rms:.3g}", answer.verdict.agreeing), answer)
    return [*found.values(), Answer((), loaded)]


AGREEMENT = {"some_arrays_agree", "some_steps_agree", "some_sequences_agree"}
"""Codes of remarks on where the outputs agree."""


def agreement(verdict: Verdict) -> Iterator[Remark]:
    """Where a run that does not fit agrees: in some arrays, or else at some steps."""
    if verdict.nearly:
        return
    whole = [name for name, agreeing, total in verdict.arrays if agreeing == total > 0]
    rest = [name for name, agreeing, total in verdict.arrays if agreeing < total]
    steps = [n for n, agrees in enumerate(verdict.steps) if agrees]
    others = [n for n, agrees in enumerate(verdict.steps) if agrees is False]
    if whole and rest:
        yield remark("some_arrays_agree", agreeing=whole, differing=rest)
    elif steps and others:
        yield remark("some_steps_agree", agreeing=steps, differing=others)


def clues(verdict: Verdict, changes: Sequence[Changed] = ()) -> Iterator[Remark]:
    """What the numbers of a configuration that does not fit hint at."""
    of = {"changes": tuple(changes)}
    if verdict.zeros > max(2, MANY_ZEROS * verdict.total):
        yield Remark("exact_zeros", {**of, "share": verdict.zeros / verdict.total})
    agreeing = [n for n, agrees in enumerate(verdict.rows) if agrees]
    differing = [n for n, agrees in enumerate(verdict.rows) if agrees is False]
    if agreeing and differing and not verdict.nearly:
        first, known = verdict.first, [s for s, a in enumerate(verdict.steps) if a is not None]
        begun = bool(first and known and first.step is not None and first.step > known[0])
        facts = {"agreeing": agreeing, "differing": differing, "begun": begun}
        yield Remark("some_sequences_agree", {**of, **facts, "step": first and first.step})


def near_miss(loaded: Verdict, nearest: Sequence[Near]) -> Iterator[Remark]:
    """Whether one configuration comes near and all others are far: it is no setting then."""
    runs = [((), loaded), *((near.changes, near.verdict) for near in nearest if near.changes)]
    (changes, best), *others = sorted(runs, key=lambda each: each[1].rms)
    # what is as near is the same in other words
    others = [each for each in others if each[1].rms > 1.01 * best.rms]
    if best.max_abs <= CLOSE and others and others[0][1].rms >= DISTANT * best.rms:
        yield remark("near_miss", changes=changes, error=best.max_abs)


# ---- what further data would decide


class Data(NamedTuple):
    """What EXPECTED is made of."""

    steps: int  # known of a sequence
    sequences: int
    units: int
    zero_bias: bool
    final: bool  # only the last state is known


_BIAS = {"bias", "bias_gates"}
_SECOND_STEP = {"recurrent_gates", "forget_bias", "coupled", "state", "transposed", "reverse"}


def wanted(
    data: Data,
    unseen: Sequence[str],
    equivalent: Sequence[Sequence[Changed]],
    proven: bool,
    elsewhere: bool = False,
) -> tuple[Remark, ...]:
    """Further data that would decide between what fits; nothing if nothing is left open.

    ``elsewhere``: one of those equivalent takes EXPECTED as another part of the run.
    """
    settings = {*unseen, *(c.setting for changes in equivalent for c in changes)}
    if not settings and proven:
        return ()
    second_step = bool(settings & _SECOND_STEP) and data.steps == 1 and proven
    asked = {
        "more_numbers": not proven,
        "biases": bool(settings & _BIAS) and data.zero_bias,
        "second_step": second_step,
        "second_sequence": bool({"layout", "state"} & settings)
        and data.sequences == 1
        and bool(equivalent),
        "whole_run": elsewhere and not second_step,
        "two_units": data.units == 1 and bool(settings & {"interleaved", "transposed"}) and proven,
        "all_steps": data.final,
        "larger_inputs": bool(settings & {"cell_clip", "gate_clip"}),
    }
    return tuple(remark(code) for code, is_wanted in asked.items() if is_wanted)
