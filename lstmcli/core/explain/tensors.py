"""The tensors of a cell under many settings: each distinct one is decoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from hashlib import sha256
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.causes import Settings
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

CHOSEN_BY: Mapping[str, tuple[str, ...]] = {
    "kernel": ("kernel_gates", "interleaved", "rows", "transposed"),
    "recurrent_kernel": ("recurrent_gates", "interleaved", "rows", "transposed"),
    "bias": ("bias_gates", "interleaved", "bias"),
}
"""The settings that choose each tensor, the order of its gates first."""
# bytes of decoded weights that are kept. At 2,000 units one copy has 128 MB, and
# 24 decoded cells were kept: explain took 7.9 GB.
ROOM = 1 << 28

Decode = Callable[[Settings], Cell]
"""From changed settings to a cell in float64."""


class Chosen(NamedTuple):
    """The tensor of each of N hypotheses."""

    distinct: Array  # (N,): equal for equal tensors
    place: Array  # (N,): of its blocks among the decoded ones
    blocks: Array  # (N, 4): which of them is that of each gate i, f, g, o

    def subset(self, which: Any) -> Chosen:
        """The tensors of some of the hypotheses."""
        return Chosen(*(column[which] for column in self))


class Tensors:
    """The tensors of a cell, chosen by settings.

    ``decode`` gives the cell from changed settings; ``cell`` is that of none.
    """

    def __init__(self, decode: Decode, cell: Cell) -> None:
        self._decode = decode
        self._cell = cell
        self._settings_at: dict[str, list[Settings]] = {part: [] for part in CHOSEN_BY}
        self._biases: list[Array] = []  # by place
        self._places: dict[Any, int] = {}  # by part and settings
        self._distinct: dict[str, dict[Any, int]] = {part: {} for part in CHOSEN_BY}
        self._tables: dict[str, Chosen] = {}
        self._digests = cache(self._digests_of)
        self._tensor_at: dict[str, Callable[[int, Any], Array]] = {}
        for part in CHOSEN_BY:
            kept = lru_cache(most_kept(blocks(part, cell).nbytes, 1))
            self._tensor_at[part] = kept(partial(self._decoded_at, part))

    def is_same(self, part: str, **settings: Any) -> bool:
        """Tell whether settings leave a tensor as it is."""
        return self._digests(**settings)[0][part] == self._digests()[0][part]

    def bias(self, **settings: Any) -> Array:
        """The bias under settings, with the scale of layer norm."""
        return self._digests(**settings)[1]

    def at(self, part: str, place: int, dtype: Any) -> Array:
        """The tensor (4, H, K) at a place."""
        return self._tensor_at[part](place, dtype)

    def biases(self, chosen: Chosen, dtype: Any) -> Array:
        """The bias (N, 4, H, 1); of layer norm the shift and the scale (N, 4, H, 2)."""
        biases = np.array(self._biases, dtype)
        return biases[chosen.place[:, None], chosen.blocks]

    def chosen(
        self, part: str, values: Mapping[str, Sequence[Any]], codes: Mapping[str, Array]
    ) -> Chosen:
        """A tensor of each hypothesis; codes (N,) are positions among the values of a setting."""
        names = CHOSEN_BY[part]
        sizes = [len(values[name]) for name in names]
        count = prod(sizes)
        if part not in self._tables:
            unknown = np.full(count, -1)
            of_gates = np.zeros((count, len(GATES)), int)
            self._tables[part] = Chosen(unknown, unknown.copy(), of_gates)
        table = self._tables[part]
        rows = np.ravel_multi_index([codes[name] for name in names], sizes)
        is_unknown = table.distinct[rows] < 0
        for row in np.unique(rows[is_unknown]).tolist():
            by_name = zip(names, np.unravel_index(row, sizes), strict=True)
            settings = {name: values[name][code] for name, code in by_name}
            assumed = {name: values[name][0] for name in names}
            self._fill(table, row, part, assumed, settings)
        return table.subset(rows)

    def _fill(
        self,
        table: Chosen,
        row: int,
        part: str,
        assumed: Settings,
        settings: Settings,
    ) -> None:
        """Fill a row of the table of a part: how its tensor is stored under settings."""
        order, *others = CHOSEN_BY[part]
        changed = {}
        for name in others:
            if settings[name] != assumed[name]:
                changed[name] = settings[name]
        digests, bias = self._digests(**changed)
        source = (part, *changed.items())
        if source not in self._places:
            self._places[source] = len(self._settings_at[part])
            self._settings_at[part].append(changed)
            if part == "bias":
                self._biases.append(bias)
        block_of_gate = permutation(assumed[order], settings[order])
        digest = tuple(digests[part][block] for block in block_of_gate)
        distinct = self._distinct[part]
        if digest in distinct:  # the first that was stored so has its place
            first = distinct[digest]
            for column in table:
                column[row] = column[first]
            return
        distinct[digest] = row
        table.distinct[row] = len(distinct) - 1
        table.place[row] = self._places[source]
        table.blocks[row] = block_of_gate

    def _digests_of(self, **settings: Any) -> tuple[dict[str, list[bytes]], Array]:
        """The digests of a decoded cell's blocks by part, and its bias: what is kept of it."""
        cell = self._decoded(settings)
        digests = {}
        for part in CHOSEN_BY:
            every = blocks(part, cell)
            digests[part] = [sha256(block.tobytes()).digest() for block in every]
        return digests, blocks("bias", cell)

    def _decoded(self, settings: Settings) -> Cell:
        return self._decode(settings) if settings else self._cell

    def _decoded_at(self, part: str, place: int, dtype: Any) -> Array:
        cell = self._decoded(self._settings_at[part][place])
        return blocks(part, cell).astype(dtype, copy=False)


def weight_bytes(cell: Cell) -> int:
    """The bytes of a cell's kernels."""
    return int(cell.kernel.nbytes + cell.recurrent_kernel.nbytes)


def most_kept(size: int, least: int) -> int:
    """How many tensors or cells of a size in bytes are kept: at least ``least``."""
    return max(least, ROOM // size)


def permutation(assumed: str, order: str) -> tuple[int, ...]:
    """Which block of the assumed order each of the gates i f g o is in another.

    The k-th block of the file is gate ``assumed[k]`` of one, and gate ``order[k]`` of the other:
    ``permutation("ifgo", "igfo")`` is (0, 2, 1, 3), since f is then in the block of g.
    """
    block = {gate: GATES.index(was) for was, gate in zip(assumed, order, strict=True)}
    return tuple(block[gate] for gate in GATES)


def blocks(part: str, cell: Cell) -> Array:
    """A tensor of a cell by gate, (4, H, K); of layer norm its shift and scale, (4, H, 2)."""
    if part != "bias":
        return np.asarray(getattr(cell, part))
    shift = cell.bias if cell.norm_shift is None else cell.norm_shift
    if cell.norm_scale is None:
        return np.asarray(shift[..., None])
    return np.stack([shift, cell.norm_scale], axis=-1)
