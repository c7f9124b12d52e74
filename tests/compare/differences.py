"""Where two answers differ, and whether in more than words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class Difference(NamedTuple):
    """A place in an answer, and what stands there in the old and in the new one."""

    place: str
    old: Any
    new: Any

    @property
    def is_of_words(self) -> bool:
        """Whether both are texts with the same numbers in them."""
        if not isinstance(self.old, str) or not isinstance(self.new, str):
            return False
        if " " not in self.old or " " not in self.new:
            return False
        return NUMBER.findall(self.old) == NUMBER.findall(self.new)


def differences(old: Any, new: Any, place: str = "") -> Iterator[Difference]:
    """All differences of two values of JSON; NaN is NaN."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key in old and key in new:
                yield from differences(old[key], new[key], f"{place}.{key}".lstrip("."))
            else:
                yield Difference(f"{place}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif repr(old) != repr(new):
        yield Difference(place, old, new)
