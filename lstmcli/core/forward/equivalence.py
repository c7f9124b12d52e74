"""Equivalence of two networks: the same weights, the same outputs of random inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from lstmcli.core.forward.packing import is_plain
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_in_memory
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Inputs, Model
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.initializers import draw_run
from lstmcli.core.weights.storage import present_gates

Layers = Sequence[Sequence[Cell]]

ROWS, STEPS, SEED = 3, 6, 0
ROUNDING = 64
"""Units of rounding by which h and c may differ at the last step, where a forget constant went into
the bias or the loop takes another path: those of the largest number, or of 1 if it is less."""


class Proof(NamedTuple):
    """How far the runs of two networks from equal states are apart."""

    rows: int
    steps: int
    difference: float  # the largest of h and c, every cell and step
    allowed: float  # 0: they had to be equal bit for bit

    @property
    def holds(self) -> bool:
        """Return whether the networks agree."""
        return self.difference <= self.allowed


def same_weights(ours: Layers, theirs: Layers) -> bool:
    """Tell whether all weights that are used are equal bit for bit.

    A gate that is computed from another, and a bias before a normalisation,
    are not used. Peepholes of zero count as none.
    """
    if [len(layer) for layer in ours] != [len(layer) for layer in theirs]:
        return False
    pairs = zip(chain(*ours), chain(*theirs), strict=True)
    for one, other in ((_used(a, b), _used(b, b)) for a, b in pairs):
        if set(one) != set(other):
            return False
        if not all(
            np.array_equal(a, other[name], equal_nan=True) for name, a in one.items()
        ):
            return False
    return True


def _used(cell: Cell, stored: Cell) -> dict[str, Array]:
    """The weights of a cell that are used where it is stored as ``stored`` is."""
    present = present_gates(stored.convention)
    gates = [GATES.index(gate) for gate in present]
    peephole_gates = ["ifo".index(gate) for gate in present if gate != "g"]
    used: dict[str, Array] = {}
    for name in (field.name for field in fields(Cell) if field.name != "convention"):
        array = getattr(cell, name)
        if array is None or (name == "bias" and cell.norm_scale is not None):
            continue
        if name in ("kernel", "recurrent_kernel", "bias", "norm_scale", "norm_shift"):
            array = array[gates]
        elif name == "peephole":
            array = array[peephole_gates]
        if name in ("kernel", "recurrent_kernel") or np.any(array):
            used[name] = array
    return used


def compared_runs(ours: Model, theirs: Model) -> Proof:
    """Run two networks over the same random inputs, from the same random states.

    Of the same arithmetic they must agree bit for bit: a forget constant that
    goes into the bias changes nothing, as both are rounded once. One that is
    taken out of it is rounded twice.
    """
    plan, of_theirs = _drawn_run(ours), _drawn_run(theirs)  # alike
    one = run_in_memory(plan)
    other = run_in_memory(replace(of_theirs, states=plan.states))
    allowed = 0.0
    if not _is_exact(ours, theirs):
        finite = (np.abs(array[np.isfinite(array)]) for array in one.values())
        scale = max(float(sizes.max(initial=1.0)) for sizes in finite)
        allowed = ROUNDING * float(np.finfo(plan.dtype).eps) * scale
    differences = []
    for name, array in one.items():
        # an h may have directions apart
        array = array.reshape(other[name].shape)
        differences.append(largest_difference(array, other[name]))
    return Proof(ROWS, STEPS, float(np.max(differences)), allowed)


def _drawn_run(model: Model) -> Plan:
    x, state = draw_run(model, ROWS, STEPS, SEED)
    return prepare(model, Inputs(x, "batch", state), ("h", "c"))


def _is_exact(ours: Model, theirs: Model) -> bool:
    """Return whether every cell of theirs does the same arithmetic as ours."""
    for a, b in zip(chain(*ours.layers), chain(*theirs.layers), strict=True):
        forget_bias = b.behaviour.forget_bias
        if forget_bias != 0 and forget_bias != a.behaviour.forget_bias:
            return False
        if is_plain(a) != is_plain(b):
            return False
    return True


def largest_difference(a: Array, b: Array) -> float:
    """The largest difference; 0 between equal infinities, or two NaN."""
    with np.errstate(all="ignore"):
        difference = np.abs(a.astype(np.longdouble) - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.where(same, 0, difference).max())
