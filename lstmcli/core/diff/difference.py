"""How two sides differ: the arrays that they share, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from lstmcli.core.diff.figures import ArrayDifference, Position, words_of_place
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.padding import shown_padding
from lstmcli.core.diff.pair import Pair
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.errors import listed
from lstmcli.outputs import jsonable

# keys of ``meta`` that are not settings of a run
NO_SETTINGS = ("layout", "assumed", "selected", "digits", "masking")

ARRAYS_NAMED = 6  # in a list; JSON names all
NOT_IN_FILES = " (not in the files; --layout batch)"


@dataclass(frozen=True, eq=False, repr=False)
class Difference:
    """The arrays that two sides share, compared."""

    sides: tuple[Side, Side]
    arrays: dict[str, ArrayDifference]
    cross: Callable[[str, str], Pair]  # arrays of two names, aligned
    first_divergence: Position | None
    only_in_a: list[str]
    only_in_b: list[str]
    rtol: float | None  # None: of several precisions, or --ulp
    atol: float | None
    hints: Sequence[Hint] = ()
    assumed: tuple[Hint, ...] = ()  # what no file specifies
    cuts: tuple[str, ...] = ()  # of ranges beyond the runs

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``assert diff(a, b)`` would never fail."""
        raise ValueError("the truth value of a Difference is ambiguous: use .equal")

    def __repr__(self) -> str:
        """``<Difference h differs: 18 of 21 values, first at step 1, unit 0>``."""
        texts = [self.summary]
        texts.extend(one.text for one in self.assumed if one.code == "layout")
        return f"<Difference {'; '.join(texts)}>".replace(NOT_IN_FILES, "")

    @property
    def summary(self) -> str:
        """``h differs: 18 of 21 values, first at step 1, unit 0``."""
        if self.equal:
            return self._equal_words()
        unlike, off = [], []
        for array in self.arrays.values():
            if array.mismatched is None:
                unlike.append(array.name)
            elif not array.equal:
                off.append(array)
        if not off:
            return f"not comparable: {listed(unlike, ARRAYS_NAMED)} in different shapes"
        verb = "differs" if len(off) == 1 else "differ"
        text = f"{named([one.name for one in off])} {verb}"
        wrong = sum(array.mismatched or 0 for array in off)
        total = sum(array.total or 0 for array in off)
        if not wrong:
            return f"{text} in the axes only: {total:,} values agree"
        text = f"{text}: {wrong:,} of {total:,} values"
        if self.first_divergence is not None:
            where = self.position(self.first_divergence, named=len(off) > 1)
            text = f"{text}, first at {where}"
        if unlike:
            text = f"{text}; other shapes not compared"
        return text

    def _equal_words(self) -> str:
        """``equal: 21 values of h``."""
        arrays = self.arrays.values()
        total = sum(array.total or 0 for array in arrays)
        left_out = sum(array.left_out for array in arrays)
        names = listed(list(self.arrays), ARRAYS_NAMED)
        if not left_out:
            return f"equal: {total:,} values of {names}"
        count = f"{total:,} of {total + left_out:,}"
        return f"equal: {count} values of {names} (the others are not printed)"

    def position(self, place: Position, *, named: bool) -> str:
        """``step 1, gate f, batch 0, unit 2``; ``named``: with the array."""
        return words_of_place(place, self.arrays[place.array].pair, named=named)

    @property
    def equal(self) -> bool:
        """Return whether every shared array agrees."""
        return all(array.equal for array in self.arrays.values())

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what was assumed, in words."""
        return tuple(one.text for one in self.assumed)

    @cached_property
    def settings(self) -> dict[str, tuple[Any, Any]] | None:
        """The settings that differ; None where a file has none."""
        a, b = (side.settings for side in self.sides)
        if a is None or b is None:
            return None
        names = sorted({**a, **b}, key=lambda name: name not in ("lengths", "mask"))
        return {
            name: (shown_padding(a.get(name)), shown_padding(b.get(name)))
            for name in names
            if name not in NO_SETTINGS and a.get(name) != b.get(name)
        }

    @property
    def other_layout(self) -> str:
        """The layout that the inputs of a run did not have; "" of no run or several layouts."""
        given = {(side.settings or {}).get("layout") for side in self.sides}
        others = [name for name in ("batch", "time") if name not in given]
        return others[0] if len(others) == 1 else ""

    @property
    def pairs(self) -> dict[str, Pair]:
        """The arrays of both sides on the same axes."""
        return {name: array.pair for name, array in self.arrays.items()}

    @property
    def differing(self) -> list[Pair]:
        """The pairs of which some number differs."""
        return [pair for pair in self.pairs.values() if not pair.numbers_agree]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON; ``settings`` only where both sides have them."""
        first = self.first_divergence
        place = {"array": first.array} | first.to_json() if first else None
        json: dict[str, Any] = {
            "equal": self.equal,
            "rtol": jsonable(self.rtol),
            "atol": jsonable(self.atol),
            "arrays": {name: array.to_json() for name, array in self.arrays.items()},
            "first_divergence": place,
            "only_in_a": self.only_in_a,
            "only_in_b": self.only_in_b,
            "hints": [{"code": hint.code, "text": hint.text} for hint in self.hints],
            "remarks": [{"code": one.code, "text": one.text} for one in self.assumed],
        }
        if self.settings is not None:
            json["settings"] = dict(self.settings)
        return json


def named(names: Sequence[str]) -> str:
    """``h, c and f``, or how many arrays."""
    if len(names) > ARRAYS_NAMED:
        return f"{len(names)} arrays"
    return join_with_and(names)
