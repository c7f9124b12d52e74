"""A question: weights, inputs, and EXPECTED's arrays as loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from weakref import ref

import numpy as np

from lstmcli.core.diff.operand import OF_HEAD, WEIGHTS, ArrayName, Side
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.causes import Settings
from lstmcli.core.explain.exactness import Exactness, as_printed, exactness_of
from lstmcli.core.explain.locations import states_in
from lstmcli.core.explain.verify import FINE, Cached, Reader
from lstmcli.core.forward.plan import check_axes
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Inputs, Model
from lstmcli.errors import UserError

SHARED = 1 << 20  # bytes from which an array is shared: below, a read takes longer


class SharingReader:
    """A reader whose models share what is equal: a large tensor is in memory once.

    Each of the changes next to which edits are tried has a model.
    """

    def __init__(self, read: Reader, model: Model) -> None:
        self._read = read
        self._arrays: list[ref[Array]] = []
        self._shared(model)

    def __call__(self, settings: Settings) -> Model:
        """The model under settings."""
        return self._shared(self._read(settings))

    def _shared(self, model: Model) -> Model:
        layers = (tuple(map(self._shared_cell, layer)) for layer in model.layers)
        return replace(model, layers=tuple(layers))

    def _shared_cell(self, cell: Cell) -> Cell:
        kernel = self._shared_array(cell.kernel)
        recurrent = self._shared_array(cell.recurrent_kernel)
        return replace(cell, kernel=kernel, recurrent_kernel=recurrent)

    def _shared_array(self, array: Array) -> Array:
        if array.nbytes < SHARED:
            return array
        self._arrays = [known for known in self._arrays if known() is not None]
        for known in self._arrays:
            other = known()
            if other is not None and _is_same(other, array):
                return other
        self._arrays.append(ref(array))
        return array


def _is_same(one: Array, other: Array) -> bool:
    """Tell whether arrays have the same bits; their first rows are compared first."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    bits = f"u{one.itemsize}"
    is_near = np.array_equal(one[:, 0].view(bits), other[:, 0].view(bits))
    return is_near and np.array_equal(one.view(bits), other.view(bits))


@dataclass(frozen=True, eq=False)
class Question:
    """Weights behind a reader, inputs, and EXPECTED as loaded."""

    read: Reader
    inputs: Inputs
    side: Side
    undecided: Settings = field(default_factory=dict)  # settings that nothing gives
    work: WorkDone = field(default_factory=WorkDone)  # of all shapes and placements
    runs: Cached = field(default_factory=Cached)  # and simulators that they share

    @cached_property
    def model(self) -> Model:
        """The model as assumed, in float64."""
        return self.read(FINE)

    @cached_property
    def assumed_layout(self) -> str:
        """The layout of the inputs as given, or as assumed."""
        layout, _ = check_axes(self.model, self.inputs)
        return layout

    @cached_property
    def x(self) -> Array:
        """The inputs."""
        return np.asarray(self.inputs.x)

    @cached_property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.read({}).cell.dtype.name

    @cached_property
    def _printed(self) -> tuple[Mapping[str, Numbers], int | None]:
        """EXPECTED's arrays by name, last states by cell; and the digits they are printed with."""
        arrays: dict[str, Numbers] = {}
        has_head = self.model.head is not None
        printed, digits = as_printed(_arrays_of(self.side, has_head))
        for name, numbers in printed.items():
            width = prod(numbers.shape[-1:])
            of_cells = list(states_in(name, width, self.model))
            if not of_cells:
                arrays[name] = numbers
            for of_cell, units in of_cells:
                arrays[of_cell] = numbers[..., units]
        return arrays, digits

    @property
    def arrays(self) -> Mapping[str, Numbers]:
        """EXPECTED's arrays by name."""
        arrays, _ = self._printed
        return arrays

    @property
    def is_of_head(self) -> bool:
        """Tell whether an array of EXPECTED is what the head makes."""
        return not {*self.arrays}.isdisjoint(OF_HEAD)

    @cached_property
    def exactness(self) -> Exactness:
        """How exact EXPECTED is."""
        return exactness_of(self.side, *self._printed, self.dtype)

    @property
    def not_finite(self) -> dict[str, Numbers]:
        """1 where EXPECTED is NaN or infinite, and so not known; NaN elsewhere."""
        marked = {}
        for name, numbers in self.arrays.items():
            is_known = np.isfinite(numbers.values) | numbers.left_out
            marked[name] = Numbers(np.where(is_known, np.nan, 1.0))
        return marked


def _arrays_of(side: Side, has_head: bool) -> dict[str, Numbers]:
    names = []
    for name in side.arrays:
        is_of_run = ArrayName.of(name or "h").kind != WEIGHTS
        if is_of_run and (has_head or name not in OF_HEAD):
            names.append(name)
    arrays = {name or "h": side.numbers(name) for name in names}
    if not arrays and len(side.arrays) == 1:  # under a name that no run gives
        arrays = {"h": side.numbers(next(iter(side.arrays)))}
    if not arrays:
        raise UserError(
            f"{side.name} contains {', '.join(side.arrays) or 'no array'}; EXPECTED is h, c, a "
            "gate, or final_h of a run.",
            "  The outputs of the other program come last; FILE:MEMBER is one array of a file.",
        )
    if not any(np.isfinite(n.values).any() for n in arrays.values()):
        raise UserError(
            f"{side.name}: every number is NaN or infinite, so no run can be compared "
            "with it; look for the first of them in the other side's weights, inputs or states."
        )
    return arrays
