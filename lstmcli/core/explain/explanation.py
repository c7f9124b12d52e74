"""The answer as data: an `Explanation` and its parts. `wording` has the English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from lstmcli.core.explain.causes import Change, Changes
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.observation import Expected
from lstmcli.core.explain.verify import Agreement, Remark
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import Edit
from lstmcli.core.model.schedule import Schedule
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
    text: str = ""  # of `wording`

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
        for name, value in values.items():
            if isinstance(value, tuple):
                values[name] = setting_text(value)
        return values


def plain_of(changed: Sequence[Changed]) -> Changes:
    """Changes without words, each of one setting."""
    return tuple(Change(*item) for one in changed for item in one.settings.items())


def edits_changed(edits: Sequence[Edit]) -> tuple[Changed, ...]:
    """Edits as changes."""
    return tuple(
        Changed("edit", None, edit.text, edit=edit, text=edit.words) for edit in edits
    )


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
class Alternatives:
    """The other configurations: how many were tried, what fits too, and what comes near."""

    tried: int = 0
    depth: int = 0  # changes at once that were tried
    equivalent: Sequence[tuple[Changed, ...]] = ()
    nearest: Sequence[NearRun] = ()
    like: Sequence[str] = ()  # conventions that run weights just so
    unseen: Sequence[str] = ()  # settings that EXPECTED does not show
    untried: Sequence[Remark] = ()


@dataclass(frozen=True)
class Compared:
    """EXPECTED as it was compared with the run of an answer, or as loaded."""

    precision: str = ""  # of EXPECTED: a dtype, or "printed"
    digits: int | None = None  # of printed output
    not_finite: Agreement | None = None  # where EXPECTED is so; None: nowhere
    # None: it is no part of the run
    agreement: Agreement | None = None
    location: Location | None = None
    expected: Expected | None = None
    steps_run: Schedule | None = None  # of the run; None: each step once


class Onset(NamedTuple):
    """The step at which changes show first."""

    step: int | None = None  # None: none before it agrees
    is_backward: bool = False  # the last step is run first


@dataclass(frozen=True)
class Row:
    """A line of the table of an answer, in words."""

    setting: str
    assumed: str
    fits: str
    used_by: str
    mend: str = ""  # the line of code that does it as assumed


@dataclass(frozen=True)
class Words:
    """The sentences on an answer as a whole."""

    rows: Sequence[Row] = ()
    hidden_label: str = ""
    hidden: str = ""  # why the changes do not show at once
    decide: str = ""  # data that would decide between those that fit
    taken: str = ""  # where EXPECTED is taken to lie


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
    compared: Compared = Compared()
    alternatives: Alternatives = Alternatives()
    remarks: tuple[Remark, ...] = ()
    words: Words = Words()
    evidence: float | None = None
    # ---- of the files and options that were given
    command: str = ""
    next: str = ""  # the command to go on with, if no configuration is found
    assumed: tuple[str, ...] = ()  # that neither files nor options give
    run_remarks: tuple[str, ...] = ()  # on weights and options, as of `run`

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``assert explain(...)`` would never fail."""
        raise ValueError("the truth value of an Explanation is ambiguous: use .found")

    @property
    def found(self) -> bool:
        """Tell whether a configuration gives EXPECTED, which proves it."""
        return self.verdict in ("agrees", "found")

    @property
    def measured(self) -> Agreement | None:
        """How EXPECTED agrees; None if it is no part of the run."""
        return self.compared.agreement

    @property
    def edits(self) -> tuple[str, ...]:
        """The edits among the changes, as ``--edit`` takes them."""
        return tuple(one.edit.text for one in self.changes if one.edit)

    @property
    def schedule(self) -> Array | None:
        """How often each step is run: (T,) or, where sequences differ, (B, T); None: once."""
        steps_run = self.compared.steps_run
        if steps_run is None:
            return None
        runs = steps_run.runs.T
        return runs[0] if (runs == runs[:1]).all() else runs

    @property
    def arrays(self) -> dict[str, Mapping[str, Array]]:
        """The arrays of edits of many numbers, by the file of each."""
        edits = [one.edit for one in self.changes if one.edit]
        return {edit.file: edit.value for edit in edits if edit.file}

    @property
    def nearest(self) -> Sequence[NearRun]:
        """The configurations that come near."""
        return self.alternatives.nearest

    @property
    def equivalent(self) -> Sequence[tuple[Changed, ...]]:
        """The changes of other configurations that fit."""
        return self.alternatives.equivalent

    @property
    def tried(self) -> int:
        """How many configurations were tried."""
        return self.alternatives.tried

    @property
    def unseen(self) -> Sequence[str]:
        """The settings that EXPECTED does not show."""
        return self.alternatives.unseen

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks in words."""
        return tuple(one.text for one in self.remarks)

    @property
    def not_tried(self) -> tuple[str, ...]:
        """The things that were not tried, in words."""
        return tuple(one.text for one in self.alternatives.untried)

    def to_json(self) -> dict[str, Any]:
        """The document of ``-f json``."""
        equivalent = []
        for changes in self.equivalent:
            equivalent.append([change.to_json() for change in changes])
        measured, schedule = self.measured, self.schedule
        return {
            "found": self.found,
            "settings": dict(self.settings),
            "edits": list(self.edits),
            "schedule": None if schedule is None else schedule.tolist(),
            "changes": [change.to_json() for change in self.changes],
            "max_abs": measured and jsonable(measured.max_abs),
            "command": self.command,
            "equivalent": equivalent,
            "tried": self.tried,
            "nearest": [near.to_json() for near in self.nearest],
            "verdict": self.verdict,
            "taken": self.words.taken,
            "notes": list(self.notes),
            "remarks": [{"code": one.code, "text": one.text} for one in self.remarks],
            "not_seen": list(self.unseen),
            "decide": self.words.decide,
            "not_tried": list(self.not_tried),
            "next": self.next,
            "assumed": list(self.assumed),
        }
