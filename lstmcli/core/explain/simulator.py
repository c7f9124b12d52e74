"""One cell under many hypotheses: from codes to tensors, and a step of all at once.

A hypothesis is a row of codes of tensors, functions and constants (`Cells`). Each distinct tensor
is decoded and multiplied once. The equations are `forward.equations.step`, on arrays (N, H) of
hypotheses and units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.core.explain.causes import (
    COLUMNS,
    CONSTANTS,
    ORDERS_OF_TENSORS,
    SOLVE,
    Change,
    value_in,
)
from lstmcli.core.explain.cell_changes import shown_changes, values_from
from lstmcli.core.explain.tensors import (
    CHOSEN_BY,
    Chosen,
    Decode,
    Tensors,
    weight_bytes,
)
from lstmcli.core.forward.equations import (
    NO_PEEPHOLES,
    Activation,
    Parts,
    Peepholes,
    activation,
    clip_to,
    layer_norm,
    no_change,
    parts_of,
    step,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.states import State
from lstmcli.core.model.steps import StepOrder
from lstmcli.core.model.vocabulary import GATES, PEEPHOLE_ORDERS

OFF = np.array([0.0 if name == "forget_bias" else np.inf for name in CONSTANTS])
"""Each constant where it does nothing."""
HYPOTHESIS = 8  # units whose work equals the rest of a hypothesis in a step
# multiply-adds of four gates that cost as much as the rest of a unit
PRODUCTS = 2000
MOST_TENSORS = 1024  # distinct ones of a part
# bytes of a cell from which hypotheses with other weights are stepped one after
# another, so that each tensor is decoded once a run
LARGE = 1 << 24

_ACTIVATIONS_OF = ("recurrent_activation", "activation", "output_activation")
_OF_TENSORS = {*chain(*CHOSEN_BY.values())}
_SETTINGS = tuple(name for name in COLUMNS if name not in _OF_TENSORS)
"""The columns that choose no tensor."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of N hypotheses: codes of settings, tensors and constants."""

    codes: Mapping[str, Array]  # (N,)
    tensors: Mapping[str, Chosen]
    constants: Array  # (N, K), in the dtype of the run

    def __len__(self) -> int:
        return len(self.codes["state"])

    def subset(self, which: Any) -> Cells:
        """Some of the hypotheses."""
        codes = {name: one[which] for name, one in self.codes.items()}
        tensors = {part: one.subset(which) for part, one in self.tensors.items()}
        return Cells(codes, tensors, self.constants[which])

    @cached_property
    def groups(self) -> dict[str, list[tuple[int, Any]]]:
        """By tensor or activation: each in use, with its hypotheses."""
        groups = {}
        for name in _ACTIVATIONS_OF:
            groups[name] = _groups_of(self.codes[name])
        for part, tensors in self.tensors.items():
            groups[part] = _groups_of(tensors.place)
        return groups


def _groups_of(values: Array) -> list[tuple[int, Any]]:
    """Each value, and where it is: a slice of all where there is one."""
    kinds = np.flatnonzero(np.bincount(values)).tolist()
    if len(kinds) == 1:
        return [(kinds[0], slice(None))]
    return [(kind, np.flatnonzero(values == kind)) for kind in kinds]


def _peepholes_by_order(decode: Decode, cell: Cell, how: Convention) -> Array | None:
    """The peepholes (6, 3, H) by code of their order; None for none, or matrices."""
    if cell.peephole is None or cell.peephole.ndim != 2:
        return None
    orders = dict.fromkeys((how.setting("peephole_gates"), *PEEPHOLE_ORDERS))
    each = []
    for order in orders:
        settings = {"peepholes": "used", "peephole_gates": order}
        each.append(decode(settings).peephole)
    return np.array(each)


class Simulator:
    """One cell under all hypotheses; ``how`` is its assumed convention.

    ``decode`` gives the cell in float64, from changed settings.
    """

    def __init__(self, decode: Decode, how: Convention) -> None:
        self.how = how
        self.decode = decode
        self.cell = decode({"peepholes": "used"})  # they may be assumed ignored
        self.is_large = weight_bytes(self.cell) >= LARGE
        self.tensors = Tensors(decode, self.cell)
        self._parts_of_cell = parts_of(self.cell)  # of arrays (H, N)
        self.peepholes = _peepholes_by_order(decode, self.cell, how)
        assumed = {name: value_in(how, name) for name in COLUMNS}
        if len(how.storage.gates) < len(GATES):  # three blocks have no other order
            assumed.update(dict.fromkeys(ORDERS_OF_TENSORS, "ifgo"))
        self.values = values_from(assumed)

    @cached_property
    def singles(self) -> dict[Change, list[int]]:
        """All single changes that the cell can show, each as a row of codes (F,)."""
        return shown_changes(self)

    @cached_property
    def _constants(self) -> dict[str, Array]:
        """The number of each code of a constant: infinite for no clip, NaN for an open one."""
        numbers = {None: np.inf, SOLVE: np.nan}
        constants = {}
        for name in CONSTANTS:
            values = [numbers.get(value, value) for value in self.values[name]]
            constants[name] = np.array(values, float)
        return constants

    @cached_property
    def _functions(self) -> dict[str, list[Activation]]:
        """The function of each code of an activation."""
        return {name: [*map(activation, self.values[name])] for name in _ACTIVATIONS_OF}

    def cells(
        self,
        codes: Array,
        values: Array | None = None,
        dtype: Any = np.float64,
    ) -> Cells:
        """The cells of rows of codes (N, F); ``values`` (N, K) are of open constants."""
        by_name = dict(zip(COLUMNS, codes.T, strict=True))
        tensors = {}
        for part in CHOSEN_BY:
            tensors[part] = self.tensors.chosen(part, self.values, by_name)
        of_codes = [self._constants[name][by_name[name]] for name in CONSTANTS]
        constants = np.stack(of_codes, axis=1)
        if values is not None:
            constants = np.where(np.isnan(constants), values, constants)
        constants = np.where(np.isnan(constants), OFF, constants)
        settings = {name: by_name[name] for name in _SETTINGS}
        return Cells(settings, tensors, constants.astype(dtype))

    def has(self, cells: Cells, name: str, value: Any) -> Array:
        """(N,): which cells have a value of a setting."""
        return np.equal(cells.codes[name], self.values[name].index(value))

    def orders(self, cells: Cells) -> StepOrder:
        """The order of steps of each cell, arrays (N,)."""
        reverse = self.has(cells, "reverse", True)
        flip = self.has(cells, "flip_output", True)
        return StepOrder.of(reverse, self.how.behaviour.go_backwards, flip)

    def keys(
        self, cells: Cells, first_step: bool = False, shows_f: bool = False
    ) -> Array:
        """(N,): one number for each hypothesis, the same for equal cells.

        With ``first_step``, also for the same first step from a zero state. Neither the recurrent
        kernel nor the forget gate shows there, but for a forget gate that is compared
        (``shows_f``), or that the input gate is made of.
        """
        codes = dict(cells.codes)
        is_ignored = self.has(cells, "peepholes", "ignored")
        codes["peephole_gates"] = np.where(is_ignored, 0, codes["peephole_gates"])
        tensors = {part: tensor.distinct for part, tensor in cells.tensors.items()}
        if first_step:
            is_shown = self.has(cells, "coupled", "i=1-f") | shows_f
            for name in ("coupled", "forget_bias"):
                codes[name] = np.where(is_shown, codes[name], 0)
            codes["state"] = np.zeros_like(codes["state"])
            tensors["recurrent_kernel"] = np.zeros_like(tensors["recurrent_kernel"])
        sizes = [MOST_TENSORS] * len(tensors)
        sizes.extend(len(self.values[name]) for name in _SETTINGS)
        digits = (*tensors.values(), *codes.values())
        return np.ravel_multi_index(digits, sizes)

    def start(self, count: int, state: State, dtype: Any) -> State:
        """h (N, P) and c (N, H) before the first step, from h (P,) and c (H,)."""
        h, c = (np.tile(one, (count, 1)).astype(dtype) for one in state)
        return h, c

    def step(
        self,
        t: int,
        x: Array,
        state: State,
        cells: Cells,
        keep_z: bool = False,
    ) -> dict[str, Array]:
        """The arrays (N, U) of step t, from x (N, I), or (1, I) for all, and h and c (N, K).

        The state is set to zero where none is carried.
        """
        h, c = state
        z = np.zeros((len(cells), len(GATES), self.cell.units), x.dtype)
        self._add_products(z, "kernel", cells, x)
        is_reset = self.has(cells, "state", "reset")
        if t and is_reset.any():
            h[is_reset], c[is_reset] = 0, 0
        if t or h.any():
            self._add_products(z, "recurrent_kernel", cells, h)
        if self.cell.norm_scale is None:
            z += self.tensors.biases(cells.tensors["bias"], x.dtype)[..., 0]
            z[:, 1] += cells.constants[:, :1]
        by_gate = z.swapaxes(0, 1).copy()
        gates = np.empty_like(by_gate) if keep_z else by_gate
        h, c = step(by_gate, c, self._parts(cells), gates)
        arrays = dict(zip("hcifgo", (h, c, *gates), strict=True))
        if keep_z:
            arrays["z"] = by_gate.swapaxes(0, 1).reshape(len(h), -1)
        return arrays

    def _add_products(self, z: Array, part: str, cells: Cells, x: Array) -> None:
        """Add the tensor (4, H, K) @ x of each hypothesis to z (N, 4, H).

        Tensors that differ in the order of their gates are multiplied by as one.
        """
        for place, which in cells.groups[part]:
            tensor = self.tensors.at(part, place, z.dtype)
            each = x if len(x) == 1 else x[which]
            product = each @ tensor.reshape(-1, tensor.shape[2]).T
            by_block = product.reshape(-1, *z.shape[1:])
            block_of_gate = cells.tensors[part].blocks[which]
            z[which] += by_block[np.arange(len(each))[:, None], block_of_gate]

    def _parts(self, cells: Cells) -> Parts:
        """The equations of all hypotheses, on arrays (N, H)."""
        of_cell = self._parts_of_cell
        clips: list[Array | None] = []
        for clip in cells.constants.T[1:, :, None]:
            clips.append(clip if np.isfinite(clip).any() else None)
        clip_c, clip_z, clip_h = map(clip_to, clips)
        gate, candidate, output = (
            self._activation(name, cells) for name in _ACTIVATIONS_OF
        )
        return Parts(
            gate,
            gate,
            gate,
            candidate,
            output,
            clip=clip_z,
            clip_c=clip_c,
            clip_h=clip_h,
            couple=self._couple(cells),
            normalize=self._normalize(cells),
            normalize_c=lambda c, k: of_cell.normalize_c(c.T, k),
            peepholes=self._peepholes_of(cells),
            project=lambda h: of_cell.project(h.T).T,
        )

    def _normalize(self, cells: Cells) -> Callable[..., Any]:
        """Layer norm of the pre-activations, where the cell has it."""
        if self.cell.norm_scale is None:
            return no_change
        both = self.tensors.biases(cells.tensors["bias"], cells.constants.dtype)
        shift, scale = both.transpose(3, 1, 0, 2)  # (4, N, H)
        shift[1] += cells.constants[:, :1]
        return layer_norm(scale, shift, self.how.behaviour.norm_epsilon, axis=-1)

    def _peepholes_of(self, cells: Cells) -> Peepholes:
        """The peepholes of all hypotheses."""
        if self.cell.peephole is None:
            return NO_PEEPHOLES
        is_old = self.has(cells, "peepholes", "old_c")[:, None]
        acts = self.cell.behaviour.output_peephole  # unless its input is the old c
        product = self._peephole_product(cells)
        return Peepholes(product, acts, is_old if is_old.any() else None)

    def _peephole_product(self, cells: Cells) -> Callable[[int, Array], Array]:
        """The product of a peephole (3, N, H), or a matrix of (3, H, H), and c (N, H)."""
        vectors, matrices = self.peepholes, self.cell.peephole
        used = ~self.has(cells, "peepholes", "ignored")[:, None]

        def product(k: int, c: Array) -> Array:
            if vectors is not None:
                each = vectors[cells.codes["peephole_gates"], k] * used
                return np.asarray(c * each.astype(c.dtype, copy=False))
            assert matrices is not None
            return np.asarray(c @ matrices[k].T.astype(c.dtype, copy=False) * used)

        return product

    def _activation(self, name: str, cells: Cells) -> Activation:
        functions: Sequence[Activation] = self._functions[name]
        groups = cells.groups[name]
        if len(groups) == 1:
            return functions[groups[0][0]]

        def activate(z: Array, out: Array) -> None:
            for kind, which in groups:
                part = z[which]
                functions[kind](part, part)
                out[which] = part

        return activate

    def _couple(self, cells: Cells) -> Callable[[Array, Array], None]:
        f_from_i = self.has(cells, "coupled", "f=1-i")
        i_from_f = self.has(cells, "coupled", "i=1-f")

        def couple(i: Array, f: Array) -> None:
            f[f_from_i] = 1 - i[f_from_i]
            i[i_from_f] = 1 - f[i_from_f]

        return couple if f_from_i.any() or i_from_f.any() else no_change


def work_of_step(cell: Cell) -> float:
    """The work of a step of one hypothesis, its products included."""
    return HYPOTHESIS + cell.units * (1 + (cell.inputs + cell.outputs) / PRODUCTS)
