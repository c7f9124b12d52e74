"""One cell under many hypotheses: from codes to tensors, and a step of all of them at once.

A hypothesis is a row of codes (`hypotheses.Space`), which stand for tensors, functions and
constants (`Cells`). Each distinct tensor is decoded once, and multiplied once for all hypotheses
that share it. The equations are `forward.equations.step`, on arrays (N, H) for N hypotheses and H
units. `NetworkSimulator` steps the cells; what it finds is run again by the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.explain.causes import ACTIVATIONS, COLUMNS, CONSTANTS, SOLVE
from lstmcli.core.explain.cells import Cells, Groups, groups_of
from lstmcli.core.explain.hypotheses import Change, Space
from lstmcli.core.forward.equations import (
    NO_PEEPHOLES,
    Activation,
    Parts,
    Peepholes,
    activation,
    clip_to,
    layer_norm,
    no_change,
    no_projection,
    step,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell, State
from lstmcli.core.model.steps import StepOrder
from lstmcli.core.model.vocabulary import GATES, ONE_OF_TWO, PEEPHOLE_ORDERS

Decoder = Callable[[Mapping[str, Any]], Cell]
"""From settings that change what was assumed to the cell, in float64."""

OFF = np.array([0.0, np.inf, np.inf])
"""Each constant where it does nothing."""
HYPOTHESIS = 8  # units whose work equals that of a hypothesis in a step beside its units
PRODUCTS = 2000  # multiply-adds of the four gates that cost as much as the rest of a unit's step

_ACTIVATIONS_OF = ("recurrent_activation", "activation", "output_activation")
_COUPLED = ("none", "f=1-i", "i=1-f")
_PEEPHOLES = ("used", "ignored", "old_c")

_CHOOSE: Mapping[str, tuple[str, ...]] = {
    "kernel": ("kernel_gates", "interleaved", "rows", "transposed"),
    "recurrent_kernel": ("recurrent_gates", "interleaved", "rows", "transposed"),
    "bias": ("bias_gates", "interleaved", "bias"),
}
"""The columns that choose each tensor, the order of its gates first."""


class Simulator:
    """One cell under all hypotheses.

    Parameters
    ----------
    decode
        from settings to the cell, in float64.
    how
        the assumed convention of this cell.
    """

    def __init__(self, decode: Decoder, how: Convention) -> None:
        self.how, self._decode = how, decode
        self._decoded: dict[Any, Cell] = {}
        self.cell = self.decode({"peepholes": "used"})  # they may be assumed ignored
        self.matrices: dict[str, list[Array]] = {part: [] for part in _CHOOSE}
        self.ordered: dict[str, list[tuple[int, ...]]] = {part: [] for part in _CHOOSE}
        self.biases: list[Array] = []
        self.scales: list[Array] = []  # of layer norm, one for each bias
        self._places: dict[Any, int] = {}
        self._matrices: dict[Any, tuple[int, list[int]]] = {}  # places, by what is decoded
        self._cast: dict[tuple[str, int, str], Array] = {}  # matrices (K, 4 H) in a dtype
        self._tables: dict[str, Array] = {}
        assumed = (how.setting(name) for name in _ACTIVATIONS_OF)
        self._activations = tuple(dict.fromkeys((*ACTIVATIONS, *assumed)))
        self._functions = [activation(name) for name in self._activations]
        self.space = Space(_assumed(how), [*self._idle()], [*self._barred()])

    def decode(self, settings: Mapping[str, Any]) -> Cell:
        """The cell under settings that change what was assumed."""
        key = tuple(sorted(settings.items()))
        if key not in self._decoded:
            self._decoded[key] = self._decode(settings)
        return self._decoded[key]

    # ---- which hypotheses there are

    def _idle(self) -> Iterator[str]:
        """Columns that make no difference in this cell."""
        cell, how = self.cell, self.how.behaviour
        idle = {
            "peepholes": cell.peephole is None,
            "peephole_gates": self._peephole_orders is None,
            "reverse": how.go_backwards,
            "go_backwards": how.reverse or how.flip_output,  # then one of the two is the same
            "coupled": self._coupling() == {how.coupled},
            "rows": self._is_same("kernel", rows="hx" if self.how.storage.rows == "xh" else "xh"),
            "interleaved": cell.units > 1
            and self._is_same("kernel", interleaved=not self.how.storage.interleaved),
        }
        yield from (name for name, is_idle in idle.items() if is_idle)
        if len(self.how.storage.gates) < len(GATES):
            yield from ("kernel_gates", "recurrent_gates", "bias_gates")

    def _barred(self) -> Iterator[Change]:
        """Single changes that cannot be run, or change nothing."""
        once = self.decode({"bias": "once"}).bias
        if np.array_equal(self.decode({"bias": "input_only"}).bias, once):  # there is one bias
            yield from (Change("bias", one) for one in ONE_OF_TWO)
        if self._is_same("kernel", transposed="reshaped_kernel"):  # fused
            yield from (Change("transposed", f"reshaped_{one}") for one in ("kernel", "recurrent"))

    @cached_property
    def _peephole_orders(self) -> Array | None:
        """The peepholes (6, 3, H) in each order; None where they are not one tensor."""
        if self.cell.peephole is None or self.cell.peephole.ndim != 2:
            return None
        used = {"peepholes": "used"}
        orders = (self.decode({**used, "peephole_gates": order}) for order in PEEPHOLE_ORDERS)
        table = np.array([cell.peephole for cell in orders])
        return None if (table == self.cell.peephole).all() else table

    def _coupling(self) -> set[str]:
        """How cells are coupled that are decoded as coupled in each way."""
        return {
            self.decode({"coupled": way}).convention.behaviour.coupled for way in COLUMNS["coupled"]
        }

    def _is_same(self, part: str, **settings: Any) -> bool:
        return np.array_equal(getattr(self.decode(settings), part), getattr(self.cell, part))

    @property
    def has_separate_units(self) -> bool:
        """Whether a unit of the first step can be computed without the others."""
        cell = self.cell
        full = cell.peephole is not None and cell.peephole.ndim == 3
        return cell.norm_scale is None and cell.projection is None and not full

    # ---- from codes to cells

    def cells(self, codes: Array) -> Cells:
        """The cells that rows of codes (N, F) stand for."""
        space = self.space

        def code(name: str) -> Array:
            return codes[:, space.column(name)]

        def place(name: str, values: Sequence[Any]) -> Array:
            return np.array([values.index(v) for v in space.values[name]])[code(name)]

        constants = [
            np.array([_number(value, off) for value in space.values[name]])[code(name)]
            for name, off in zip(CONSTANTS, OFF, strict=True)
        ]
        choice = code("forget_bias") + 4 * code("cell_clip") + 12 * code("gate_clip").astype(int)
        peepholes = place("peepholes", _PEEPHOLES)
        peephole_order = np.where(peepholes == 1, 0, place("peephole_gates", PEEPHOLE_ORDERS))
        kernel, recurrent_kernel, bias = (self._tensors_of(part, codes) for part in _CHOOSE)
        gate, candidate, output = (place(name, self._activations) for name in _ACTIVATIONS_OF)
        reverse, flip = (place(name, (False, True)) for name in ("reverse", "flip_output"))
        steps = StepOrder.of(reverse, int(self.how.behaviour.go_backwards), flip)
        return Cells(
            kernel,
            recurrent_kernel,
            bias,
            gate,
            candidate,
            output,
            place("coupled", _COUPLED),
            peepholes,
            peephole_order,
            place("state", ("carried", "reset")),
            2 * steps.runs_back + steps.outputs_reversed,
            choice,
            np.stack(constants, axis=1),
        )

    def _tensors_of(self, part: str, codes: Array) -> Array:
        """Places (N,) of a tensor, from a table by the codes that choose it, filled on demand."""
        space, names = self.space, _CHOOSE[part]
        table = self._tables.setdefault(part, np.full([len(space.values[n]) for n in names], -1))
        at = tuple(codes[:, space.column(name)] for name in names)
        missing = np.flatnonzero(table[at] < 0)
        for key in {tuple(int(code[n]) for code in at) for n in missing}:
            values = [space.values[name][k] for name, k in zip(names, key, strict=True)]
            table[key] = self._tensor(part, names, values)
        places: Array = table[at]
        return places

    def _tensor(self, part: str, names: Sequence[str], values: Sequence[Any]) -> int:
        """The place of a tensor; tensors that come out alike have one place."""
        assumed = [self.space.values[name][0] for name in names]
        changed = {n: v for n, v, a in zip(names, values, assumed, strict=True) if v != a}
        changed.pop(names[0], None)
        cell, order = self.decode(changed), permutation(assumed[0], values[0])
        if part != "bias":
            source = part, *changed.items()
            if source not in self._matrices:  # once for all orders: its bytes are many
                self._matrices[source] = self._placed_matrix(part, getattr(cell, part))
            base, blocks = self._matrices[source]
            alike = tuple(blocks[gate] for gate in order)
            return self._placed(self.ordered[part], alike, (base, *order))
        shift = (cell.bias if cell.norm_shift is None else cell.norm_shift)[list(order)]
        scale = None if cell.norm_scale is None else cell.norm_scale[list(order)]
        known = len(self.biases)
        place = self._placed(
            self.biases, (shift.tobytes(), None if scale is None else order), shift
        )
        if place == known and scale is not None:
            self.scales.append(scale)
        return place

    def _placed_matrix(self, part: str, matrix: Array) -> tuple[int, list[int]]:
        """The place of a matrix (4, H, K), and of each of its blocks among those of all."""
        keys = ((block.shape, block.tobytes()) for block in matrix)
        blocks = [self._places.setdefault(key, len(self._places)) for key in keys]
        return self._placed(self.matrices[part], tuple(blocks), matrix), blocks

    def _placed(self, known: list[Any], key: Any, one: Any) -> int:
        """The place in a list of what has a key; it is appended where it is new."""
        place = self._places.setdefault((id(known), key), len(known))
        if place == len(known):
            known.append(one)
        return place

    # ---- steps

    def start(self, count: int, state: State | None, dtype: Any) -> State:
        """h (N, P) and c (N, H) before the first step, from h (P,) and c (H,) or those stored."""
        cell = self.cell
        h, c = np.zeros((count, cell.outputs), dtype), np.zeros((count, cell.units), dtype)
        if state is not None:
            h[:], c[:] = state
        return h, c

    def inputs(self, cells: Cells, x: Array, units: Any = slice(None)) -> Array:
        """K x, and b where no layer norm follows, (N, 4, U), for one x (I,) or one each (N, I)."""
        width = self.cell.units if isinstance(units, slice) else len(units)
        z = np.zeros((len(cells), 4, width), x.dtype)
        self._add_products(z, "kernel", cells, x, units)
        if self.cell.norm_scale is None:
            z += self._biases(x.dtype)[:, :, units][cells.bias]
        return z

    def _biases(self, dtype: Any) -> Array:
        key = "bias", len(self.biases), dtype.char
        if key not in self._cast:
            self._cast[key] = np.array(self.biases, dtype)  # (biases, 4, H)
        return self._cast[key]

    def _add_products(
        self, z: Array, part: str, cells: Cells, x: Array, units: Any = slice(None)
    ) -> None:
        """Add each hypothesis' matrix (4, U, K) @ its x (N, K), or one x (K,), to z (N, 4, U).

        Matrices that differ in the order of their gates are multiplied by as one.
        """
        if part not in cells.products:
            cells.products[part] = self._products(part, getattr(cells, part))
        for place, which, orders in cells.products[part]:
            key = part, place, z.dtype.char
            if key not in self._cast:  # once, not at every step
                self._cast[key] = self.matrices[part][place].astype(z.dtype)
            matrix = self._cast[key][:, units]
            flat = matrix.reshape(-1, matrix.shape[2])
            if x.ndim == 1:
                product = (flat @ x).reshape(1, 4, -1)
                rows = np.zeros(1, int)
            else:
                product = (x[which] @ flat.T).reshape(-1, 4, matrix.shape[1])
                rows = np.arange(len(product))
            z[which] += product if orders is None else product[rows[:, None], orders]

    def _products(self, part: str, places: Array) -> list[tuple[int, Any, Array | None]]:
        ordered = np.array(self.ordered[part])[places]  # (N, 5)
        found = []
        for matrix, which in groups_of(ordered[:, 0]):
            orders = ordered[which, 1:]
            as_loaded = (orders == range(len(GATES))).all()
            found.append((matrix, which, None if as_loaded else orders))
        return found

    def step(
        self,
        z: Array,
        c: Array,
        cells: Cells,
        constants: Array,
        units: Any = slice(None),
        keep_z: bool = False,
    ) -> dict[str, Array]:
        """The arrays (N, U) of a step, from z (N, 4, U), which is kept, and c (N, U)."""
        gates = z.swapaxes(0, 1).copy()  # (4, N, U)
        shift = None
        if self.cell.norm_scale is not None:
            shift = self._biases(z.dtype)[:, :, units][cells.bias].swapaxes(0, 1)  # (4, N, H)
            shift[1] += constants[:, :1]
        else:
            gates[1] += constants[:, :1]
        parts = self._parts(cells, constants, shift, units)
        if not keep_z:
            h, c = step(gates, c, parts)
            return dict(zip("hcifgo", (h, c, *gates), strict=True))
        pre_activations, gates = gates, np.empty_like(gates)
        h, c = step(pre_activations, c, parts, gates)
        flat = pre_activations.swapaxes(0, 1).reshape(len(h), -1)  # i f g o
        return dict(zip("hcifgoz", (h, c, *gates, flat), strict=True))

    def before(self, cells: Cells, x: Array, h: Array, c: Array, t: int) -> Array:
        """z (N, 4, H) of step t; h and c are zeroed where no state is carried."""
        z = self.inputs(cells, x)
        if t and cells.reset.any():
            h[cells.reset == 1], c[cells.reset == 1] = 0, 0
        if t or h.any():
            self._add_products(z, "recurrent_kernel", cells, h)
        return z

    def _parts(self, cells: Cells, constants: Array, shift: Array | None, units: Any) -> Parts:
        """The parts of the equations, for arrays (N, U)."""
        cell, how = self.cell, self.how.behaviour
        normalize = normalize_c = no_change
        peepholes, project = NO_PEEPHOLES, no_projection
        if cell.peephole is not None:
            old = (cells.peepholes == 2)[:, None] if (cells.peepholes == 2).any() else None
            acts = cell.convention.behaviour.output_peephole  # unless its input is the old c
            peepholes = Peepholes(self._peephole_product(cells, units), acts, old)
        if shift is not None:
            scale = np.array(self.scales)[cells.bias].swapaxes(0, 1)
            normalize = layer_norm(scale, shift, how.norm_epsilon, axis=-1)
        if cell.state_scale is not None and cell.state_shift is not None:
            normalize_c = layer_norm(
                [cell.state_scale], [cell.state_shift], how.norm_epsilon, axis=-1
            )
        if cell.projection is not None:
            project = self._project
        _, cell_clip, gate_clip = (constants[:, k, None] for k in range(3))
        gate, candidate, output = map(self._activation, cells.activations)
        return Parts(
            gate, candidate, output, _clip(gate_clip), _clip(cell_clip),
            clip_to(how.projection_clip), _couple(cells.coupled), normalize, normalize_c,
            peepholes, project,
        )  # fmt: skip

    def _peephole_product(self, cells: Cells, units: Any) -> Callable[[int, Array], Array]:
        peephole, orders = self.cell.peephole, cells.peephole_order
        assert peephole is not None
        if self._peephole_orders is not None:
            peephole = self._peephole_orders[orders].swapaxes(0, 1)  # (3, N, H)
        full = peephole.ndim == 3 and self._peephole_orders is None  # matrices (3, H, H)
        ignored = (cells.peepholes == 1)[:, None] if (cells.peepholes == 1).any() else None

        def product(k: int, c: Array) -> Array:
            p = peephole[k].astype(c.dtype, copy=False)
            p_c: Array = c @ p.T if full else c * p[..., units]
            return p_c if ignored is None else np.where(ignored, 0, p_c)

        return product

    def _project(self, h: Array) -> Array:
        cell = self.cell
        assert cell.projection is not None
        h = h @ cell.projection.T.astype(h.dtype, copy=False)
        return h if cell.projection_bias is None else h + cell.projection_bias.astype(h.dtype)

    def _activation(self, groups: Groups) -> Activation:
        """The activation of each hypothesis, as one function that may write over its argument."""
        if len(groups) == 1:
            only: Activation = self._functions[groups[0][0]]
            return only

        def activate(z: Array, out: Array) -> None:
            for kind, which in groups:
                part = z[which]
                self._functions[kind](part, part)
                out[which] = part

        return activate


def work_of_step(cell: Cell) -> float:
    """The work of a step of one hypothesis, its products included."""
    return HYPOTHESIS + cell.units * (1 + (cell.inputs + cell.outputs) / PRODUCTS)


def permutation(assumed: str, order: str) -> tuple[int, ...]:
    """Which block, decoded in the assumed order, each of the gates i f g o is in another order.

    Blocks lie in the file one after the other; the k-th is gate ``assumed[k]`` of one hypothesis
    and gate ``order[k]`` of the other.
    """
    place = {gate: GATES.index(was) for was, gate in zip(assumed, order, strict=True)}
    return tuple(place[gate] for gate in GATES)


def _assumed(how: Convention) -> dict[str, Any]:
    """The value of each column in a convention."""
    assumed = {name: how.setting(name) for name in COLUMNS}
    for tensor in ("kernel", "recurrent", "bias"):
        assumed[f"{tensor}_gates"] = how.storage.order_of(tensor)
    if len(how.storage.gates) < len(GATES):  # three blocks of coupled gates have no other order
        assumed |= dict.fromkeys(("kernel_gates", "recurrent_gates", "bias_gates"), "ifgo")
    return assumed


def _number(value: Any, off: float) -> float:
    return np.nan if value == SOLVE else off if value is None else float(value)


def _clip(limits: Array) -> Any:
    return clip_to(limits if np.isfinite(limits).any() else None)


def _couple(coupled: Array) -> Callable[[Array, Array], None]:
    f_from_i, i_from_f = coupled == 1, coupled == 2

    def couple(i: Array, f: Array) -> None:
        f[f_from_i] = 1 - i[f_from_i]
        i[i_from_f] = 1 - f[i_from_f]

    return couple if coupled.any() else no_change
