"""FlatBuffers: tables in a buffer, of which every offset is checked."""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files.limits import Damaged

_LAYOUTS = {
    kind: Struct(f"<{kind}") for kind in "bBhHiIqQf?"
}  # letters of the struct module


class Table(NamedTuple):
    """A table in a buffer; fields that are not there have their default."""

    data: memoryview
    at: int

    def number(self, field: int, kind: str, default: Any = 0) -> Any:
        """A scalar; ``kind`` is its letter in the struct module."""
        place = self._place(field)
        return default if place is None else _number(self.data, place, kind)

    def table(self, field: int) -> Table | None:
        """A table in the table."""
        place = self._place(field)
        return None if place is None else Table(self.data, _ahead(self.data, place))

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        places = self._elements(field, 4)
        return [Table(self.data, _ahead(self.data, place)) for place in places]

    def vector(self, field: int, dtype: str) -> np.ndarray:
        """A vector of scalars: a read-only view of the buffer."""
        return np.frombuffer(self.octets(field, np.dtype(dtype).itemsize), dtype)

    def octets(self, field: int, size: int = 1) -> memoryview:
        """The bytes of a vector of scalars that take ``size`` each."""
        places = self._elements(field, size)
        return self.data[places.start : places.stop]

    def _place(self, field: int) -> int | None:
        vtable, within = self.at - _number(self.data, self.at, "i"), 4 + 2 * field
        is_there = within + 2 <= _number(self.data, vtable, "H")
        offset = _number(self.data, vtable + within, "H") if is_there else 0
        return self.at + offset if offset else None

    def _elements(self, field: int, size: int) -> range:
        """The positions of a vector's elements, all of them within the buffer."""
        place = self._place(field)
        if place is None:
            return range(0)
        start = _ahead(self.data, place)
        first, count = start + 4, _number(self.data, start, "I")
        if count * size > len(self.data) - first:
            raise Damaged(f"a list of {count:,} elements reaches past its end")
        return range(first, first + count * size, size)


def root(data: bytes) -> Table:
    """The outermost table; Damaged, here and in it, for what lies past the end."""
    view = memoryview(data)
    return Table(view, _ahead(view, 0))


def _ahead(data: memoryview, at: int) -> int:
    return at + int(_number(data, at, "I"))


def _number(data: memoryview, at: int, kind: str) -> Any:
    layout = _LAYOUTS[kind]
    if at < 0 or at + layout.size > len(data):
        raise Damaged(f"it has no byte {at:,}")
    return layout.unpack_from(data, at)[0]
