"""An edit: a named change to what goes into a run, beyond the settings of `conventions`.

The rows of the table are in `edits`, a module a family; a `Cell` and a `Model` have the edits that
they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from lstmcli.core.model.settings import Parser, setting_text
from lstmcli.errors import UserError

Stage = Literal[
    "tensors", "cells", "network", "stack", "shared", "equations", "schedule", "inputs",
    "state", "run", "outputs", "head", "front",
]  # fmt: skip
"""Where an edit acts."""

FILE = "@"  # begins a value that is a file of arrays
FLAG = "true"  # the value of an edit that takes none
ANY = "VALUE"  # stands for any value in texts
FROM_FIRST = "The first step is off already"


class Shown(NamedTuple):
    """A value in the words on an edit: ``{v}``, ``{v[0]}`` of several, ``{v.steps}``."""

    value: Any
    text: str
    parts: Sequence[str]  # of several values

    def __str__(self) -> str:
        """The text."""
        return self.text

    @property
    def steps(self) -> str:
        """``1 step``, ``3 steps``."""
        return f"{self.text} step" if self.text == "1" else f"{self.text} steps"


Text = str | Callable[[Shown], str]
"""Words on an edit, or those by its value."""

NO_VALUE = Parser("", "no value", [FLAG])


@dataclass(frozen=True, eq=False)
class EditKind:
    """A row of the table."""

    name: str
    stage: Stage
    function: Callable[..., Any]  # takes what the stage has, and the value
    words: Text  # what it is
    code: Text  # the line of a program that does it
    used_by: str  # who does it
    mend: str  # what the line should be
    read: Parser = NO_VALUE
    shows: str = FROM_FIRST
    values: Sequence[Any] | Callable[[Any], Iterable[Any]] | None = None
    """Values that `explain` tries, usual ones first, perhaps by a `RunSizes`; None: all names."""
    solved: float | None = (
        None  # where it does nothing: the number is solved for from there
    )
    bound: bool = False  # the number is one that |h| or |c| does not exceed
    of_sequence: bool = False  # a step needs others of the sequence: not for streams
    of_summed: bool = False  # of stored tensors, after both biases are added
    takes: str = "h"  # the array of a cell that an edit of outputs takes
    width: Callable[[int, Any], int] | None = (
        None  # of h then, from the units and the value
    )
    in_derive: bool = False  # its part takes formulas too, which `derive` shows
    lacks: str = ""  # where it does not fit: the reason
    same: Mapping[Any, tuple[str, Any]] = field(default_factory=dict)
    """By value, the setting that is the same run, and its value or a function of that assumed."""

    @property
    def family(self) -> str:
        """``inputs``, ``weights``, ``state``, ``equations``, ``outputs``, ``head`` or ``front``."""
        return self.name.partition(".")[0]

    def values_for(self, sizes: Any) -> Iterator[Any]:
        """The values that are tried in a run of these `RunSizes`; none without a head or front."""
        if self.stage in ("head", "front") and getattr(sizes.model, self.stage) is None:
            return
        if self.values is None:
            yield from self.read.named
        elif callable(self.values):
            yield from self.values(sizes)
        else:
            yield from self.values


EDITS: dict[str, EditKind] = {}
"""The rows by name, in the order in which they are tried; `edits` has them."""


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit as given: a row, its value, and perhaps one cell."""

    name: str
    value: Any = FLAG
    cell: str = ""
    file: str = ""  # from which the value was read

    @property
    def kind(self) -> EditKind:
        """The row."""
        return EDITS[self.name]

    @property
    def text(self) -> str:
        """The text that ``--edit`` takes: ``layer1.weights.bias.o=0``."""
        name = f"{self.cell}.{self.name}" if self.cell else self.name
        value = f"{FILE}{self.file}" if self.file else setting_text(self.value)
        return name if value == FLAG else f"{name}={value}"

    @property
    def words(self) -> str:
        """Return what it is."""
        words = self._filled(self.kind.words)
        return f"{words} ({self.cell})" if self.cell else words

    @property
    def code(self) -> str:
        """The line of a program that does it."""
        return self._filled(self.kind.code)

    def apply(self, given: Any, *others: Any) -> Any:
        """Return what the stage has, changed; UserError where the edit does not fit it."""
        try:
            with np.errstate(all="ignore"):  # the run shows what overflows
                return self.kind.function(given, *others, self.value)
        except (IndexError, ValueError):
            pass
        unfit = f"it does not fit {_words_on(given, self.kind.family)}: {self.words}"
        raise UserError(f"{self.kind.lacks or unfit}.", about={"edit": self.text})

    def _filled(self, text: Text) -> str:
        if isinstance(text, str):
            return text
        read = self.kind.read
        shown = self.file or read.named.get(self.value) or setting_text(self.value)
        several = read.example if shown == ANY else shown
        return text(Shown(self.value, shown, several.split(",")))


def _words_on(given: Any, family: str) -> str:
    """The thing that an edit was to change, with its sizes."""
    if isinstance(given, np.ndarray):
        axes = ", ".join(("steps", "batch", "values")[-given.ndim :])
        return f"{family} of shape {given.shape} ({axes})"
    if isinstance(given, Sequence) and not hasattr(given, "words"):
        plural = "" if len(given) == 1 else "s"
        return f"a model of {len(given)} layer{plural}"
    return str(given.words)


def edits_in(stage: Stage, edits: Iterable[Edit]) -> list[Edit]:
    """The edits of a stage."""
    return [edit for edit in edits if edit.kind.stage == stage]


def edited(stage: Stage, edits: Iterable[Edit], given: Any, *others: Any) -> Any:
    """Return what a stage has, changed by its edits one after another."""
    for edit in edits_in(stage, edits):
        given = edit.apply(given, *others)
    return given


def refuse_edits(edits: Iterable[Edit], text: str, **how: Any) -> None:
    """Refuse the first of these edits, if there is any."""
    for edit in edits:
        raise UserError(text, about={"edit": edit.text}, **how)


def fit(fits: bool, result: Any = None) -> Any:
    """The result; ValueError where the value of an edit does not fit."""
    if not fits:
        raise ValueError
    return result
