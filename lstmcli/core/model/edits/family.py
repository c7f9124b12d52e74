"""The rows of a family of edits, each made where its function is, and what families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from lstmcli.core.model.edit import FROM_FIRST, EditKind, Stage, Text
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.model.settings import OneOf, Parser

Function = TypeVar("Function", bound=Callable[..., Any])

LATER = "The first step agrees, later ones do not"
NEARLY = "Nearly all numbers differ slightly"
LARGE = "Numbers of h that are large"
TRAINING = "a layer of training that stays on"

NUMBER = Parser("n", "a number")
POSITIVE = Parser("p", "a number above 0")
SHARE = Parser("s", "a number between 0 and 1")

STATES = {"": "hc", ".h": "h", ".c": "c"}  # both, or one of them, by the end of a name


class RunSizes(NamedTuple):
    """A run, whose sizes decide which values are worth trying."""

    model: Model
    cell: Cell  # that an edit is of, or the first one
    steps: int
    input_steps: Sequence[int] = ()  # of which one may be another, if one alone is


class Family:
    """The rows of a family, in the order in which they are tried."""

    def __init__(self, name: str, hides: str) -> None:
        self.name = name
        self.hides = hides  # why an edit of it does not show at once
        self.rows: list[EditKind] = []

    def edit(
        self,
        name: str,
        stage: Stage,
        words: Text,
        code: Text,
        used_by: str,
        mend: str,
        **more: Any,
    ) -> Callable[[Function], Function]:
        """A decorator that makes a function that of a row."""

        def add(function: Function) -> Function:
            full = f"{self.name}.{name}"
            row = EditKind(full, stage, function, words, code, used_by, mend, **more)
            self.rows.append(row)
            return function

        return add


class Arrays(Parser):
    """A parser of the arrays of a file, with these members."""

    def __init__(self, *names: str) -> None:
        super().__init__("", f"a file with {' and '.join(names)}: @FILE.npz")
        self._names = {*names}

    def __call__(self, value: Any) -> Any:
        """The arrays."""
        is_file = isinstance(value, Mapping) and value.keys() >= self._names
        return value if is_file else super().__call__(value)


def names_of(variants: Mapping[str, tuple[Any, ...]]) -> OneOf:
    """A parser of names with their words, which come first."""
    return OneOf(**{name: variant[0] for name, variant in variants.items()})


def code_of(codes: Mapping[Any, str]) -> Text:
    """The line of a program by the value of an edit."""
    return lambda v: codes[v.value]


def shown_of_gate(gate: str) -> str:
    """From which step on something of a gate or a state shows: f acts on c, which starts at 0."""
    return LATER if gate in ("f", "c") else FROM_FIRST


def others_put(plain: Sequence[int], others: Mapping[int, int]) -> tuple[int, ...]:
    """Numbers with others in the place of some."""
    return tuple(others.get(n, n) for n in plain)
