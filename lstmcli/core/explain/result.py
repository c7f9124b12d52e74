"""What a search gives: an `Explanation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lstmcli.core.diff.tolerance import jsonable
from lstmcli.core.explain.judge import Place, Verdict
from lstmcli.core.explain.space import Changes


@dataclass(frozen=True)
class Changed:
    """One change, in words: ``setting`` was ``assumed``, and EXPECTED is what ``found`` gives."""

    setting: str
    assumed: Any
    found: Any
    text: str
    sense: str = ""  # more than the setting says: whose activation, or what a constant comes to
    implied: Mapping[str, Any] = field(default_factory=dict)  # settings that go with it

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


@dataclass(frozen=True)
class Near:
    """A reading that comes near, and how near."""

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
    """A line of the table of an answer: a setting, what was assumed, what fits, who does it so."""

    setting: str
    assumed: str
    fits: str
    who: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """What gives EXPECTED, or what comes near.

    ``verdict`` is ``agrees`` (nothing has to be changed), ``found``, ``unproven`` (readings fit,
    but EXPECTED holds too few numbers to prove one), or ``none``.
    """

    verdict: str
    settings: Mapping[str, Any]
    changes: tuple[Changed, ...] = ()
    measured: Verdict | None = None
    command: str = ""
    next: str = ""  # the command to go on with, if no reading is found
    equivalent: tuple[tuple[Changed, ...], ...] = ()
    tried: int = 0
    depth: int = 3  # changes at once that were tried
    nearest: tuple[Near, ...] = ()
    rows: tuple[Row, ...] = ()
    like: tuple[str, ...] = ()  # rows of the table that run weights just so
    others: int = 0  # settings that are as assumed
    hidden: str = ""  # why the change did not show at once
    unseen: tuple[str, ...] = ()  # settings that these data do not show
    decide: str = ""  # what further data would decide between those that fit
    placement: str = ""  # where EXPECTED lies on the run
    remarks: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()
    evidence: float | None = None
    numbers: int = 0  # known numbers of EXPECTED
    precision: str = ""  # in words: "printed to 8 digits", "float32"

    @property
    def found(self) -> bool:
        """Whether a reading gives EXPECTED, and EXPECTED proves it."""
        return self.verdict in ("agrees", "found")

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
            "taken": self.placement,
            "notes": list(self.remarks),
            "not_seen": list(self.unseen),
            "decide": self.decide,
            "not_tried": list(self.untried),
            "next": self.next,
        }


@dataclass(frozen=True)
class Answer:
    """A reading that fits: its changes with constants put in, and how it was judged."""

    changes: Changes
    verdict: Verdict
    solved: int = 0  # constants that were solved for
