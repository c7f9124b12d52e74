"""One cell under many hypotheses: from codes to tensors, and a step of all at once.

A hypothesis is a row of codes of tensors, functions and constants (`Cells`). Each distinct tensor
is decoded and multiplied once. The equations are `forward.equations.step`, on arrays (N, H) of
hypotheses and units.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.core.explain.causes import (
    CAUSES,
    COLUMNS,
    CONSTANTS,
    KEPT,
    KNOWN_ORDERS,
    ORDERS_OF_TENSORS,
    SOLVE,
    SPREADS,
    Change,
    value_in,
)
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
from lstmcli.core.model.vocabulary import GATES, ONE_OF_TWO, PEEPHOLE_ORDERS

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


def single_changes(
    values: Mapping[str, Sequence[Any]],
    without: Collection[str] = (),
    barred: Collection[Change] = (),
) -> dict[Change, list[int]]:
    """All single changes that one cell can show, each as a row of codes (F,).

    ``values`` are those of each column, the assumed one first: a code is a position among them.
    ``without`` names columns that make no difference, such as peepholes where there are none;
    ``barred`` changes cannot be run. Special settings come last: they override general ones.
    """
    rows = {}
    for setting in dict.fromkeys((*SPREADS, *COLUMNS)):
        columns = SPREADS.get(setting, (setting,))
        if setting in without or columns[0] in without:
            continue
        # as assumed is a change next to another activation
        is_change = setting == "output_activation" and "activation" not in without
        usual_first = [v for v in KNOWN_ORDERS if v in COLUMNS[columns[0]]]
        usual_first.extend(CAUSES[setting].values)
        for value in dict.fromkeys(usual_first):
            change = Change(setting, value)
            differs = is_change or any(values[name][0] != value for name in columns)
            if differs and change not in barred:
                rows[change] = _codes_of(value, columns, values)
    return rows


def _codes_of(
    value: Any, columns: Collection[str], values: Mapping[str, Sequence[Any]]
) -> list[int]:
    """The codes (F,) of a change that sets some columns to a value."""
    codes = []
    for name in COLUMNS:
        codes.append(values[name].index(value) if name in columns else KEPT)
    return codes


def values_from(assumed: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of each column, the assumed one first."""
    values = {}
    for name, every in COLUMNS.items():
        others = [value for value in every if value != assumed[name]]
        values[name] = [assumed[name], *others]
    return values


class Simulator:
    """One cell under all hypotheses; ``how`` is its assumed convention.

    ``decode`` gives the cell in float64, from changed settings.
    """

    def __init__(self, decode: Decode, how: Convention) -> None:
        self.how = how
        self._decode = decode
        self.cell = decode({"peepholes": "used"})  # they may be assumed ignored
        self.is_large = weight_bytes(self.cell) >= LARGE
        self._tensors = Tensors(decode, self.cell)
        self._parts_of_cell = parts_of(self.cell)  # of arrays (H, N)
        self._peepholes = self._in_each_order()
        assumed = {name: value_in(how, name) for name in COLUMNS}
        if len(how.storage.gates) < len(GATES):  # three blocks have no other order
            assumed.update(dict.fromkeys(ORDERS_OF_TENSORS, "ifgo"))
        self.values = values_from(assumed)

    @cached_property
    def singles(self) -> dict[Change, list[int]]:
        """All single changes that the cell can show, each as a row of codes (F,)."""
        return single_changes(self.values, list(self._idle()), list(self._barred()))

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

    def _idle(self) -> Iterator[str]:
        """The settings that make no difference to this cell."""
        how, storage = self.how.behaviour, self.how.storage
        other_rows = "hx" if storage.rows == "xh" else "xh"
        is_same = self._tensors.is_same
        ways = {self._coupled(way) for way in COLUMNS["coupled"]}
        idle = {
            "peepholes": self.cell.peephole is None,
            "peephole_gates": self._has_one_peephole,
            "reverse": how.go_backwards,
            # then one of the two is the same
            "go_backwards": how.reverse or how.flip_output,
            "coupled": ways == {how.coupled},
            "rows": is_same("kernel", rows=other_rows),
            "projection_clip": self.cell.projection is None,
            "interleaved": self.cell.units > 1
            and is_same("kernel", interleaved=not storage.interleaved),
        }
        for name, is_idle in idle.items():
            if is_idle:
                yield name
        if len(storage.gates) < len(GATES):
            yield from ORDERS_OF_TENSORS

    def _coupled(self, way: str) -> str:
        """How gates are coupled under a setting: three blocks leave no choice."""
        return self._decode({"coupled": way}).convention.behaviour.coupled

    @property
    def _has_one_peephole(self) -> bool:
        """Tell whether peepholes are the same in each order, or none."""
        orders = self._peepholes
        return orders is None or bool((orders == self.cell.peephole).all())

    def _barred(self) -> Iterator[Change]:
        """The changes that do the same as others."""
        tensors = self._tensors
        once, input_only = tensors.bias(bias="once"), tensors.bias(bias="input_only")
        if np.array_equal(input_only, once):  # there is one bias
            for value in ONE_OF_TWO:
                yield Change("bias", value)
        if tensors.is_same("kernel", transposed="reshaped_kernel"):  # fused
            for part in ("kernel", "recurrent"):
                yield Change("transposed", f"reshaped_{part}")

    def _in_each_order(self) -> Array | None:
        """The peepholes (6, 3, H) by code of their order; None for none, or matrices."""
        peephole = self.cell.peephole
        if peephole is None or peephole.ndim != 2:
            return None
        orders = dict.fromkeys((self.how.setting("peephole_gates"), *PEEPHOLE_ORDERS))
        each = []
        for order in orders:
            settings = {"peepholes": "used", "peephole_gates": order}
            each.append(self._decode(settings).peephole)
        return np.array(each)

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
            tensors[part] = self._tensors.chosen(part, self.values, by_name)
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
            z += self._tensors.biases(cells.tensors["bias"], x.dtype)[..., 0]
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
            tensor = self._tensors.at(part, place, z.dtype)
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
        both = self._tensors.biases(cells.tensors["bias"], cells.constants.dtype)
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
        vectors, matrices = self._peepholes, self.cell.peephole
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
