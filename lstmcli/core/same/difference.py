"""How two networks differ: their relation, and which of their arrays, by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.linalg import norm

from lstmcli.core.diff.difference import Difference, named
from lstmcli.core.diff.figures import ArrayDifference, Position, place_of
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Numbers, Precision, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Hint, Model
from lstmcli.core.model.settings import split_cell
from lstmcli.core.same.network import AROUND, Network
from lstmcli.core.same.readings import CellPair, Reading, cell_pairs
from lstmcli.core.same.relations import (
    ANOTHER_STEP,
    DIFFERS,
    ROUNDED,
    UNRELATED,
    Relation,
    relation_of,
)
from lstmcli.outputs import jsonable

SAME, REORDERED = "same", "reordered"
EQUAL = (SAME, REORDERED)


@dataclass(frozen=True, eq=False)
class TensorDifference(ArrayDifference):
    """How an array of weights differs; ULPs are not counted."""

    @property
    def equal(self) -> bool:
        """Return whether all its numbers agree."""
        return self.mismatched == 0


@dataclass(frozen=True, eq=False, repr=False)
class NetworkDifference(Difference):
    """Two networks, compared by their weights."""

    relation: str = SAME
    relation_words: str = ""
    map: tuple[CellPair, ...] = ()
    is_same_bits: bool = False
    reading: Reading | None = None  # of B, by which the figures are
    models: tuple[Model, ...] = ()
    # tensors of B with exchanged layers, as arguments of a command
    moved: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Return whether both are the same network."""
        return self.relation in EQUAL

    @property
    def summary(self) -> str:
        """``the same network: all 93 values are equal, bit for bit``."""
        arrays = self.arrays.values()
        total = sum(array.total or 0 for array in arrays)
        if self.relation == REORDERED and self.reading is not None:
            return f"the same network: in b, {self.reading.words}"
        if self.equal:
            how = "equal, bit for bit" if self.is_same_bits else "equal"
            return f"the same network: all {total:,} values are {how}"
        names = [array.name for array in arrays if not array.equal]
        if not names and not self.only_in_cells:
            settings = named(list(self.settings or {}))
            return f"the same weights, run with other settings: {settings}"
        start = "not the same network"
        if self.relation == UNRELATED:
            return f"{start}: the weights are unrelated"
        if self.relation == ROUNDED:
            return f"{start}: {self.relation_words}"
        wrong = sum(array.mismatched or 0 for array in arrays)
        if not wrong:
            unlike = named([*names, *self.only_in_cells])
            return f"{start}: {unlike} in one of them only, or of other shapes"
        verb = "differs" if len(names) == 1 else "differ"
        which = named(names)
        if len(names) > 2:
            which = f"{len(names)} of {len(self.arrays)} tensors"
        if self.relation == ANOTHER_STEP:
            return (
                f"{start}: {which} {verb} a little everywhere, as after a training step"
            )
        return f"{start}: {which} {verb}, {wrong:,} of {total:,} values"

    @cached_property
    def settings(self) -> dict[str, tuple[Any, Any]] | None:
        """The settings that differ; one in which all cells differ alike stands once."""
        a, b = (side.settings or {} for side in self.sides)
        each = {k: (a[k], b[k]) for k in a if k in b and a[k] != b[k]}
        by_name: dict[str, dict[tuple[Any, Any], list[str]]] = {}
        for name, both in each.items():
            by_name.setdefault(split_cell(name)[1], {}).setdefault(both, []).append(
                name
            )
        found = {}
        for plain, cells in by_name.items():
            for both, names in cells.items():
                is_of_all = len(names) == len(self.map)
                found.update(dict.fromkeys([plain] if is_of_all else names, both))
        return found

    @property
    def only_in_cells(self) -> list[str]:
        """The arrays of cells that one network lacks."""
        names = [*self.only_in_a, *self.only_in_b]
        return [name for name in names if not name.startswith(AROUND)]

    @property
    def differs_in_biases(self) -> bool:
        """Return whether all that differs are biases."""
        names = [array.name for array in self.arrays.values() if not array.equal]
        are_biases = all(name.endswith(".bias") for name in names)
        return bool(names) and are_biases and not self.only_in_cells

    @property
    def equal_kernels(self) -> list[str]:
        """The kernels that are equal in both."""
        kernels = [name for name in self.arrays if name.endswith("kernel")]
        return [name for name in kernels if self.arrays[name].equal]

    @property
    def differ(self) -> list[dict[str, Any]]:
        """The arrays that differ, each with its cell, its tensor and its figures."""
        found = []
        for name, array in self.arrays.items():
            if not array.equal:
                cell, _, tensor = name.rpartition(".")
                figures = {"mismatched": array.mismatched, "total": array.total}
                figures["max_abs"] = jsonable(array.max_abs)
                found.append({"cell": cell, "tensor": tensor, **figures})
        return found

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON, with the relation, the map of cells, and what differs."""
        json = super().to_json()
        json["relation"] = self.relation
        json["map"] = [
            {"a": pair.a, "b": pair.b, "changes": [*pair.changes]} for pair in self.map
        ]
        json["differ"] = self.differ
        return json


def compare_networks(
    a: Network,
    b: Network,
    tolerance_of: Callable[[Precision], Tolerance],
    assumed: Sequence[Hint] = (),
) -> NetworkDifference:
    """Compare the arrays of both under their own conventions."""
    one = Side(a.name, a.arrays, settings=a.settings)
    other = Side(b.name, b.arrays, settings=b.settings)
    arrays: dict[str, ArrayDifference] = {}
    for name in a.arrays:
        if name in b.arrays:
            precisions = one.precision(name), other.precision(name)
            test = tolerance_of(max(precisions, key=lambda precision: precision.rtol))
            arrays[name] = _measured(name, one.numbers(name), other.numbers(name), test)
    tests = {(x.pair.tolerance.rtol, x.pair.tolerance.atol) for x in arrays.values()}
    rtol, atol = tests.pop() if len(tests) == 1 else (None, None)
    relation = _relation(a, b, arrays)
    return NetworkDifference(
        (one, other),
        arrays,
        lambda of_a, of_b: arrays[of_b].pair,
        _first(arrays),
        only_in_a=[name for name in a.arrays if name not in b.arrays],
        only_in_b=[name for name in b.arrays if name not in a.arrays],
        rtol=rtol,
        atol=atol,
        assumed=tuple(assumed),
        hints=tuple(_zero_tensors(arrays)),
        relation=relation.name,
        relation_words=relation.words,
        map=_cells_of_one_name(a, b),
        is_same_bits=all(_has_same_bits(x.pair) for x in arrays.values()),
        models=(a.model, b.model),
    )


def _cells_of_one_name(a: Network, b: Network) -> tuple[CellPair, ...]:
    cells = {name for name, _ in b.model.cells}
    return tuple(CellPair(n, n) for n, _ in a.model.cells if n in cells)


def _measured(name: str, a: Numbers, b: Numbers, test: Tolerance) -> TensorDifference:
    """The figures of an array; those of equal bits are zero, at no cost."""
    pair, shapes = Pair(name, a, b, test), (a.shape, b.shape)
    if a.shape != b.shape:
        return TensorDifference(pair, shapes)
    total = a.values.size
    if np.array_equal(a.values, b.values):
        return TensorDifference(pair, shapes, 0, total, 0.0, 0.0, 0)
    with np.errstate(all="ignore"):
        x, y = widened(a.values, b.values)
        errors, sizes = np.abs(x - y), np.abs(y)
        if test.ulp is None and np.isfinite(errors).all():
            differs = errors > test.atol + test.rtol * sizes
        else:
            differs = pair.differs
        relative = np.divide(
            errors, sizes, out=np.zeros_like(errors), where=errors != 0
        )
    cosine, snr = _likeness(x.ravel(), y.ravel(), errors.ravel())
    first = place_of(pair, differs.argmax()) if differs.any() else None
    return TensorDifference(
        pair,
        shapes,
        mismatched=int(np.count_nonzero(differs)),
        total=total,
        max_abs=float(errors.max()),
        max_rel=float(relative.max()),
        abs_at=place_of(pair, errors.argmax()),
        first=first,
        cosine=cosine,
        snr=snr,
    )


def _likeness(a: Array, b: Array, errors: Array) -> tuple[float | None, float | None]:
    """The cosine of the angle between both, and the ratio of b to their difference in dB."""
    with np.errstate(all="ignore"):
        of_a, of_b = float(norm(a)), float(norm(b))
        if not (of_a and of_b):
            return None, None
        cosine = float(np.clip(a @ b / (of_a * of_b), -1.0, 1.0))
        return cosine, 20 * float(np.log10(of_b / norm(errors)))


def _has_same_bits(pair: Pair) -> bool:
    return np.array_equal(pair.a.values, pair.b.values)


def _first(arrays: Mapping[str, ArrayDifference]) -> Position | None:
    """The first number that differs, in the order of computation."""
    for array in arrays.values():
        if array.first is not None:
            return array.first
    return None


def _relation(
    a: Network, b: Network, arrays: Mapping[str, ArrayDifference]
) -> Relation:
    missing = a.arrays.keys() ^ b.arrays.keys()
    is_whole = all(name.startswith(AROUND) for name in missing)
    if is_whole and all(array.equal for array in arrays.values()):
        return Relation(SAME if a.settings == b.settings else DIFFERS)
    are_comparable = all(array.total is not None for array in arrays.values())
    if is_whole and are_comparable:
        return relation_of(list(arrays.values()))
    return Relation(DIFFERS)


def _zero_tensors(arrays: Mapping[str, ArrayDifference]) -> Iterator[Hint]:
    """The hints on arrays that one network has as zeros."""
    for name, array in arrays.items():
        for side, numbers in (("a", array.pair.a), ("b", array.pair.b)):
            if not (array.equal or np.any(numbers.values)):
                yield Hint("zero_tensor", f"{name} is zero in {side}.")


def reordered(
    found: NetworkDifference, reading: Reading, b: Model
) -> NetworkDifference:
    """The comparison of networks of which B was read otherwise than as it is."""
    left_open = [Hint("left_open", text) for text in reading.left_open]
    return replace(
        found,
        relation=REORDERED if found.relation == SAME else found.relation,
        map=cell_pairs(reading, b),
        reading=reading,
        hints=(*found.hints, *left_open),
        models=(found.models[0], b),
    )
