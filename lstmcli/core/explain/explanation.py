"""The answer as data: an `Explanation` and its parts. `wording` has the English."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NoReturn

from lstmcli.core.diff.patterns import NOISE_SNR
from lstmcli.core.diff.tolerance import FLOAT32
from lstmcli.core.explain.causes import CANDIDATE, Change, Changes
from lstmcli.core.explain.hypotheses import prior
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.observation import Expected
from lstmcli.core.explain.verify import (
    LEAST_COMPARED,
    Agreement,
    Case,
    Remark,
    Remarks,
    remark,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import Edit
from lstmcli.core.model.settings import setting_text
from lstmcli.outputs import jsonable


@dataclass(frozen=True)
class Changed:
    """``setting`` was ``assumed``, and EXPECTED is what ``found`` gives."""

    setting: str
    assumed: Any
    found: Any
    sense: str = ""  # one of `causes.SENSES`, that the setting leaves open
    implied: Mapping[str, Any] = field(default_factory=dict)  # settings that go with it
    edit: Edit | None = None  # that it is, and no setting
    text: str = ""  # put in by `wording`

    @property
    def cell(self) -> str:
        """The cell, or empty for all."""
        return self.edit.cell if self.edit else self.setting.rpartition(".")[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that have to be set."""
        return {} if self.edit else {**self.implied, self.setting: self.found}

    def to_json(self) -> dict[str, Any]:
        """The members of a change in the document of ``-f json``."""
        names = ("setting", "assumed", "found", "text")
        values = {name: getattr(self, name) for name in names}
        return {
            k: setting_text(v) if isinstance(v, tuple) else v for k, v in values.items()
        }


def plain_of(changed: Sequence[Changed]) -> Changes:
    """Changes without words, each of one setting."""
    return tuple(Change(*item) for one in changed for item in one.settings.items())


def with_assumed(
    changes: Changes, assumed: Callable[[Change], Any]
) -> tuple[Changed, ...]:
    """Changes with what was assumed, the likelier ones first.

    Another activation of the candidate alone, two settings of the search, is one here.
    """
    found = {
        c.setting: Changed(c.setting, assumed(c), c.value)
        for c in sorted(changes, key=prior)
    }
    output = found.get("output_activation")
    if not output or "activation" not in found:
        return tuple(found.values())
    implied = {}
    if output.found == output.assumed:
        implied = found.pop(output.setting).settings
    candidate = replace(found.pop("activation"), sense=CANDIDATE, implied=implied)
    return candidate, *found.values()


def edits_changed(edits: Sequence[Edit]) -> tuple[Changed, ...]:
    """Edits as changes."""
    return tuple(Changed("edit", None, edit.text, edit=edit) for edit in edits)


@dataclass(frozen=True)
class NearRun:
    """A configuration that comes near, and how near."""

    changes: tuple[Changed, ...]
    comparison: Agreement

    def to_json(self) -> dict[str, Any]:
        """The changes and the figures."""
        names = "max_abs", "rms", "agreeing", "total"
        first = self.comparison.first
        return {
            "changes": [change.to_json() for change in self.changes],
            **{name: jsonable(getattr(self.comparison, name)) for name in names},
            "first": first and first.to_json(),
        }


@dataclass(frozen=True)
class Row:
    """A line of the table of an answer, in words."""

    setting: str
    assumed: str
    fits: str
    used_by: str
    mend: str = ""  # the line of code that does it as assumed


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer: the changes that give EXPECTED, or that come near.

    ``verdict`` is ``agrees`` (nothing has to be changed), ``found``, ``not_finite`` (either, for
    all but NaN and infinite values of EXPECTED), ``unproven`` (configurations fit, but EXPECTED
    contains too few numbers to prove one), or ``none``.
    """

    verdict: str
    settings: Mapping[str, Any]
    changes: tuple[Changed, ...] = ()
    measured: Agreement | None = None
    command: str = ""
    next: str = ""  # the command to go on with, if no configuration is found
    equivalent: tuple[tuple[Changed, ...], ...] = ()
    tried: int = 0
    depth: int = 3  # changes at once that were tried
    nearest: tuple[NearRun, ...] = ()
    like: tuple[str, ...] = ()  # conventions that run weights just so
    first_step: int | None = None  # at which the changes show, after others that agree
    backward: bool = False  # whether the last step is run first
    unseen: tuple[str, ...] = ()  # settings that EXPECTED does not show
    wanted: tuple[Remark, ...] = ()  # data that would decide between those that fit
    location: Location | None = None  # of EXPECTED on the run
    expected: Expected | None = None  # on the axes of the run
    not_finite: Agreement | None = None  # where EXPECTED is so; None: nowhere
    remarks: tuple[Remark, ...] = ()
    untried: tuple[Remark, ...] = ()
    edits: tuple[str, ...] = ()  # as --edit takes them
    arrays: Mapping[str, Mapping[str, Array]] = field(
        default_factory=dict
    )  # of their files
    evidence: float | None = None
    precision: str = ""  # of EXPECTED: a dtype, or "printed"
    digits: int | None = None  # of printed output
    assumed: tuple[str, ...] = ()  # that neither files nor options give
    run_remarks: tuple[str, ...] = ()  # on weights and options, as of `run`
    # ---- put in by `wording`
    rows: tuple[Row, ...] = ()
    hidden: str = ""  # why the changes do not show at once
    decide: str = ""
    taken: str = ""  # where EXPECTED is taken to lie

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``assert explain(...)`` would never fail."""
        raise ValueError("the truth value of an Explanation is ambiguous: use .found")

    @property
    def found(self) -> bool:
        """Tell whether a configuration gives EXPECTED, which proves it."""
        return self.verdict in ("agrees", "found")

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks in words."""
        return tuple(one.text for one in self.remarks)

    @property
    def not_tried(self) -> tuple[str, ...]:
        """The things that were not tried, in words."""
        return tuple(one.text for one in self.untried)

    def to_json(self) -> dict[str, Any]:
        """The document of ``-f json``."""
        return {
            "found": self.found,
            "settings": dict(self.settings),
            "edits": list(self.edits),
            "changes": [change.to_json() for change in self.changes],
            "max_abs": None
            if self.measured is None
            else jsonable(self.measured.max_abs),
            "command": self.command,
            "equivalent": [
                [c.to_json() for c in changes] for changes in self.equivalent
            ],
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
            "assumed": list(self.assumed),
        }


def first_shown(loaded: Agreement, backward: bool) -> int | None:
    """The first wrong step as loaded, if others before it are right."""
    steps = [*enumerate(loaded.steps)][:: -1 if backward else 1]
    if not steps or not steps[0][1]:
        return None
    return next((n for n, agrees in steps if agrees is False), None)


NOT_SEARCHED = (
    remark("other_weights"), remark("dropout"), remark("layer_norm"), remark("rare_settings"),
    remark("two_constants"),
)  # fmt: skip

# of the rms as loaded, below which a run is listed
LISTED_RATIO = 0.5
MANY_ZEROS = 0.05  # of all numbers
# a difference of an approximated function, hardly of a setting
APPROXIMATED = 3e-3
DISTANT = 30.0  # times further off all other configurations are then


def clearly_nearer(as_loaded: NearRun, nears: Sequence[NearRun]) -> tuple[NearRun, ...]:
    """Configurations clearly nearer than the run as loaded, and that; each figure once.

    Of fewer than `LEAST_COMPARED` numbers one is near by chance.
    """
    found: dict[tuple[str, int], NearRun] = {}
    for near in nears if as_loaded.comparison.total >= LEAST_COMPARED else ():
        if near.comparison.rms < LISTED_RATIO * as_loaded.comparison.rms:
            found.setdefault(
                (f"{near.comparison.rms:.3g}", near.comparison.agreeing), near
            )
    return (*found.values(), as_loaded)


BY_BUDGET = {
    "triples_placed",
    "pairs_placed",
    "singles_placed",
    "unsolved",
    "no_first_step",
}
"""Codes of what a budget left out."""
PADDED_DIFFER = "padded_steps_differ"
AGREEMENT = {
    "some_arrays_agree",
    "some_steps_agree",
    "some_sequences_agree",
    PADDED_DIFFER,
}
"""Codes of remarks on where the outputs agree."""
RUN_OTHERWISE = {"masked", "rearranged", "other_units"}
"""Codes of remarks on other ways to run the weights, or to arrange outputs."""


WITH_AN_ANSWER = {
    "state.chunks": "chunks",
    "state.anew": "chunks",
    "state.kept": "resumed",
    "inputs.padding_first": "padded_before",
    "lengths": "padded",
    "lengths of last states": "ended_early",
}
"""Codes of remarks by what an answer changes: a setting or an edit, of h, c or both."""


def remarks_of(
    location: Location | None,
    changed: Sequence[Changed],
    equivalent: Sequence[Sequence[Changed]],
    names: Sequence[str],
) -> Remarks:
    """Remarks on what an answer changes; ``names`` are those of several cells."""
    codes: dict[str, None] = {}
    for one in changed:
        name = ""
        if one.edit:
            name = ".".join(one.edit.name.split(".")[:2])
        elif isinstance(one.found, tuple):
            name = one.setting
            if location and location.state:
                name += " of last states"
        if name in WITH_AN_ANSWER:
            codes[WITH_AN_ANSWER[name]] = None
    yield from map(remark, codes)
    if not changed or not names:
        return
    cells = {one.cell for one in changed} - {""}
    of_equals = {one.cell for one in chain(*equivalent)} - {""}
    if cells:
        yield remark("first_cell", cell=min(cells, key=names.index))
    elif of_equals:
        yield remark("one_cell_shows", cell=min(of_equals, key=names.index))
    else:
        yield remark("all_cells", cells=len(names))


def agreement(comparison: Agreement) -> Remarks:
    """Where a run that does not fit agrees: in some arrays, or at some steps."""
    if comparison.nearly:
        return
    complete = [name for name, right, total in comparison.arrays if right == total > 0]
    rest = [name for name, right, total in comparison.arrays if right < total]
    steps, others = _indices(comparison.steps)
    if complete and rest:
        yield remark("some_arrays_agree", agreeing=complete, differing=rest)
    elif steps and others:
        yield remark("some_steps_agree", agreeing=steps, differing=others)


def _indices(agrees: Sequence[bool | None]) -> tuple[list[int], list[int]]:
    each = [*enumerate(agrees)]
    return [n for n, one in each if one], [n for n, one in each if one is False]


def clues(
    comparison: Agreement,
    changes: tuple[Changed, ...] = (),
    padded: Sequence[int] = (),
) -> Remarks:
    """The hints of the numbers of a configuration that does not fit.

    ``padded`` are the sequences that lengths or a mask shorten.
    """
    zeros = comparison.zeros
    if zeros is not None and zeros.number > max(2, MANY_ZEROS * comparison.total):
        yield remark(
            "exact_zeros",
            changes=changes,
            share=zeros.number / comparison.total,
            units=zeros.units,
            below=zeros.below,
            steps=zeros.steps,
        )
    agreeing, differing = _indices(comparison.items)
    complete = [name for name, known, total in comparison.arrays if known == total > 0]
    if changes and 0 < len(complete) < len(comparison.arrays):
        yield remark("cell_fits", changes=changes, arrays=complete)
    if agreeing and differing and not comparison.nearly:
        step = comparison.first.step if comparison.first else None
        begun = any(one is not None for one in comparison.steps[: step or 0])
        facts = {"begun": begun, "step": step, "first": agreeing[0] == 0}
        facts["padded"] = differing == [*padded]
        yield remark(
            "some_sequences_agree",
            changes=changes,
            agreeing=agreeing,
            differing=differing,
            **facts,
        )


def near_miss(as_loaded: NearRun, nears: Sequence[NearRun]) -> Remarks:
    """The remark on a nearest run within `diff`'s tolerance, an approximation, or noise."""
    best = min(clearly_nearer(as_loaded, nears), key=lambda near: near.comparison.rms)
    error, rms = best.comparison.max_abs, best.comparison.rms
    # what is as near is the same in other words
    others = [near.comparison.rms for near in (as_loaded, *nears)]
    others = [other for other in others if other > 1.01 * rms]
    if best is as_loaded and error <= FLOAT32.atol:
        yield remark("within_tolerance", error=error, atol=FLOAT32.atol)
    elif error <= APPROXIMATED and others and min(others) >= DISTANT * rms:
        yield remark("near_miss", changes=best.changes, error=error)
    elif best is as_loaded and best.comparison.differs_everywhere:
        decibels = 20 * math.log10(best.comparison.snr or 1e-9)
        if decibels >= NOISE_SNR:
            yield remark("noise", decibels=decibels, least=NOISE_SNR)


_BIAS = {"bias", "bias_gates"}
_SECOND_STEP = {
    "recurrent_gates",
    "forget_bias",
    "coupled",
    "state",
    "transposed",
    "reverse",
}


def wanted(
    case: Case,
    unseen: Sequence[str],
    equivalent: Sequence[Sequence[Changed]],
    proven: bool,
    elsewhere: bool = False,
) -> tuple[Remark, ...]:
    """Further data that would decide between what fits.

    ``elsewhere``: an equivalent one takes EXPECTED as another part of the run.
    """
    cells = [cell for _, cell in case.model({}).cells]
    settings = {*unseen, *(c.setting for changes in equivalent for c in changes)}
    if not settings and proven:
        return ()
    # of one sequence, or of its steps as sequences
    alone = 1 in case.size and bool(equivalent) and bool({"layout", "state"} & settings)
    second_step = bool(settings & _SECOND_STEP) and case.expected.steps == 1 and proven
    second_step &= not alone
    asked = {
        "more_numbers": not proven,
        "biases": bool(settings & _BIAS) and not any(cell.bias.any() for cell in cells),
        "second_step": second_step,
        "second_sequence": alone,
        "whole_run": elsewhere and not second_step,
        "two_units": all(cell.units == 1 for cell in cells)
        and bool(settings & {"interleaved", "transposed"})
        and proven,
        "all_steps": not case.expected.has_steps,
        "larger_inputs": any(name.endswith("_clip") for name in settings),
    }
    return tuple(remark(code) for code, is_wanted in asked.items() if is_wanted)
