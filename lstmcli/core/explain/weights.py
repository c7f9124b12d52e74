"""The weights of a cell under every reading, decoded once and kept on demand.

Only `decode` knows how tensors lie. A gate order is a permutation of the blocks that it gives, so
24 orders cost one decoding; matrices that come out alike (a block of one unit transposed) count as
one, and so do biases (none and twice where all are zero).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.explain.space import Space
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

Decoder = Callable[[Mapping[str, Any]], Cell]
"""From settings that change what was assumed to the cell."""

IDENTITY = (0, 1, 2, 3)

_OF_A_MATRIX = ("interleaved", "rows", "transposed")
_OF_A_BIAS = ("interleaved", "bias_gates", "bias")


def turned(name: str, transposed: str) -> str:
    """What a value of ``transposed`` does to a matrix; empty if it leaves it alone."""
    way, _, which = transposed.rpartition("_")
    return (way or "transposed") if which in (name, "both") else ""


def permutation(assumed: str, order: str) -> tuple[int, ...]:
    """Which block, decoded in the assumed order, each home gate is in another order.

    Blocks lie in the file one after the other; the k-th is gate ``assumed[k]`` of one reading and
    gate ``order[k]`` of the other.
    """
    place = {gate: GATES.index(was) for was, gate in zip(assumed, order, strict=True)}
    return tuple(place[gate] for gate in GATES)


class Weights:
    """Kernels, recurrent kernels and biases by the columns of a `Space`, in float64."""

    def __init__(self, decoder: Decoder, space: Space) -> None:
        self._decode, self.space = decoder, space
        self.cell = decoder({})
        self._cells: dict[tuple[tuple[str, Any], ...], Cell] = {(): self.cell}
        self._kernels: list[Array] = []
        self._recurrents: list[Array] = []
        self._biases: dict[bytes, int] = {}
        self.biases: list[Array] = []  # each (4, H)
        self._found: dict[tuple[Any, ...], int] = {}
        self._tables: dict[Callable[..., int], Array] = {}

    def _changed(self, **settings: Any) -> Cell:
        first = {name: self.space.values[name][0] for name in settings}
        key = tuple((k, v) for k, v in settings.items() if v != first[k])
        if key not in self._cells:
            self._cells[key] = self._decode(dict(key))
        return self._cells[key]

    def kernel(self, interleaved: bool, rows: str, transposed: str) -> int:
        """The place of a kernel among `kernels`."""
        key = ("kernel", interleaved, rows, turned("kernel", transposed))
        if key not in self._found:
            way = self._way("kernel", transposed)
            cell = self._changed(interleaved=interleaved, rows=rows, transposed=way)
            self._found[key] = _place(cell.kernel, self._kernels)
        return self._found[key]

    def recurrent(self, interleaved: bool, rows: str, transposed: str) -> int:
        """The place of a recurrent kernel among `recurrents`."""
        key = ("recurrent", interleaved, rows, turned("recurrent", transposed))
        if key not in self._found:
            way = self._way("recurrent", transposed)
            cell = self._changed(interleaved=interleaved, rows=rows, transposed=way)
            self._found[key] = _place(cell.recurrent_kernel, self._recurrents)
        return self._found[key]

    def _way(self, name: str, transposed: str) -> str:
        """The assumed transposition if it does the same to this matrix: one cell then serves."""
        assumed: str = self.space.values["transposed"][0]
        return assumed if turned(name, assumed) == turned(name, transposed) else transposed

    def bias(self, interleaved: bool, order: str, times: str) -> int:
        """The place of a bias among `biases`."""
        key = ("bias", interleaved, order, times)
        if key not in self._found:
            cell = self._changed(interleaved=interleaved, bias=times)
            bias = cell.bias if cell.norm_shift is None else cell.norm_shift
            vector = bias[list(permutation(self.space.values["bias_gates"][0], order))]
            known = self._biases.setdefault(vector.tobytes(), len(self.biases))
            if known == len(self.biases):
                self.biases.append(vector)
            self._found[key] = known
        return self._found[key]

    @property
    def kernels(self) -> list[Array]:
        """Those asked for so far, each (4, H, I)."""
        return self._kernels

    @property
    def recurrents(self) -> list[Array]:
        """Those asked for so far, each (4, H, P)."""
        return self._recurrents

    @cached_property
    def orders(self) -> dict[str, Array]:
        """Per tensor: the permutation (24, 4) behind each code."""
        return {
            name: np.array(
                [
                    IDENTITY if order == values[0] else permutation(values[0], order)
                    for order in values
                ]
            )
            for name in ("kernel_gates", "recurrent_gates", "bias_gates")
            if (values := self.space.values[name])
        }

    def places(self, codes: Array) -> tuple[Array, Array, Array]:
        """For rows of codes: the places of kernel, recurrent kernel and bias, each (n,)."""
        return (
            self._looked_up(self.kernel, _OF_A_MATRIX, codes),
            self._looked_up(self.recurrent, _OF_A_MATRIX, codes),
            self._looked_up(self.bias, _OF_A_BIAS, codes),
        )

    def _looked_up(self, find: Callable[..., int], names: tuple[str, ...], codes: Array) -> Array:
        """The places of one tensor, from a table by the codes that choose it; filled on demand."""
        values = [self.space.values[name] for name in names]
        if find not in self._tables:
            self._tables[find] = np.full([len(v) for v in values], -1)
        table = self._tables[find]
        at = tuple(codes[:, self.space.column(name)] for name in names)
        places: Array = table[at]
        if (missing := np.flatnonzero(places < 0)).size:
            for key in {tuple(int(code[n]) for code in at) for n in missing}:
                table[key] = find(*(v[k] for v, k in zip(values, key, strict=True)))
            places = table[at]
        return places


def _place(matrix: Array, known: list[Array]) -> int:
    """The place of a matrix among others, appended if none is equal."""
    for place, other in enumerate(known):
        if other.shape == matrix.shape and np.array_equal(other, matrix):
            return place
    known.append(matrix)
    return len(known) - 1
