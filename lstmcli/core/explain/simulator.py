"""Many hypotheses of one cell, stepped side by side.

A hypothesis is a row of codes (`space.Space`). It comes to tensors, functions and constants
(`Cells`), of which equal ones are one: each distinct tensor is decoded and multiplied once for all
hypotheses that share it. The equations are `forward.equations.step`, on arrays (N, H) for N
hypotheses and H units. This is for the search only: what it finds is run again by the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget, QuestionWork
from lstmcli.core.explain.causes import ACTIVATIONS, COLUMNS, CONSTANTS, SOLVE
from lstmcli.core.explain.hypotheses import Change, Space
from lstmcli.core.explain.observation import Allowance, Expected, Processed, processed
from lstmcli.core.forward.equations import (
    NO_PEEPHOLES,
    Parts,
    Peepholes,
    clip_to,
    layer_norm,
    no_change,
    no_projection,
    step,
)
from lstmcli.core.model.activations import Activation, activation
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES, ONE_OF_TWO, PEEPHOLE_ORDERS

Decoder = Callable[[Mapping[str, Any]], Cell]
"""From settings that change what was assumed to the cell, in float64."""

FAR = 1e6  # tolerances: how much further off a number is than this does not matter
LOOSE = 20.0  # tolerances by which a hypothesis may be off while it is still searched
OFF = np.array([0.0, np.inf, np.inf])
"""Each constant where it does nothing."""
CHUNK = 1000  # hypotheses stepped at once: more leave the cache
PRODUCTS = 2000  # of four gates, that take as long as the rest of a step of a unit
SAMPLE = 12  # units of a first step that are compared: enough to distinguish any two hypotheses

_ACTIVATIONS_OF = ("recurrent_activation", "activation", "output_activation")
_COUPLED = ("none", "f=1-i", "i=1-f")
_PEEPHOLES = ("used", "ignored", "old_c")
INITIAL_STATES = ("given", "zero", "swapped")
_ARRAYS = ("h", "c", "i", "f", "g", "o")
_VIEW = ("layout", "reverse", "flip_output", "lengths")

_CHOOSE: Mapping[str, tuple[str, ...]] = {
    "kernel": ("kernel_gates", "interleaved", "rows", "transposed"),
    "recurrent_kernel": ("recurrent_gates", "interleaved", "rows", "transposed"),
    "bias": ("bias_gates", "interleaved", "bias"),
}
"""The columns that choose each tensor, the order of its gates first."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What N hypotheses come to; each field (N,) but for the constants."""

    kernel: Array  # places among the simulator's kernels, each an order of the gates of a matrix
    recurrent_kernel: Array
    bias: Array  # places among its biases
    gate: Array  # places among the simulator's activations
    candidate: Array
    output: Array
    coupled: Array  # 0 none, 1 f = 1 - i, 2 i = 1 - f
    peepholes: Array  # 0 used, 1 ignored, 2 the output gate's takes the old c
    peephole_order: Array  # places in PEEPHOLE_ORDERS
    reset: Array  # 1: every step starts from zero
    start: Array  # 0 as given, 1 zero, 2 h and c swapped
    view: Array  # places among the simulator's views
    array: Array  # which of h, c, i, f, g, o EXPECTED's h is
    choice: Array  # of the constants' listed values, as one number
    constants: Array  # (N, 3); NaN: to be solved for

    def __len__(self) -> int:
        return len(self.kernel)

    def subset(self, which: Any) -> Cells:
        """Those of a subset of the hypotheses."""
        return Cells(*(getattr(self, one.name)[which] for one in fields(self)))

    @cached_property
    def activations(self) -> list[Groups]:
        """Of gate, candidate and output: each activation with the hypotheses that have it."""
        return [groups_of(places) for places in (self.gate, self.candidate, self.output)]

    @cached_property
    def products(self) -> dict[str, list[tuple[int, Any, Array | None]]]:
        """By part: a matrix, the hypotheses that multiply by it, and the orders of their gates."""
        return {}

    @property
    def is_open(self) -> Array:
        """(N, 3): which constants are to be solved for."""
        return np.isnan(self.constants)

    def keys(self, first_step: bool = False) -> Array:
        """(N,): one number a hypothesis, the same where two come to the same cell.

        With ``first_step`` also where two give the same first step from a zero state: h and c are
        zero there, so that neither the recurrent kernel nor the forget gate shows, but for a
        forget gate that the input gate is made of.
        """
        coupled, choice = self.coupled, self.choice
        parts = [
            (self.kernel, 1024), (self.bias, 512), (self.gate, 9), (self.candidate, 9),
            (self.output, 9), (self.peepholes, 3), (self.start, 3), (self.view, 16),
            (self.array, 6), (self.peephole_order, 6),
        ]  # fmt: skip
        if first_step:
            shown = coupled == 2
            coupled = np.where(shown, coupled, 0)
            choice = np.where(shown, choice, choice // 4 * 4)
        else:
            parts += [(self.recurrent_kernel, 1024), (self.reset, 2)]
        key = np.zeros(len(self.kernel), np.int64)
        for field, size in (*parts, (coupled, 3), (choice, 36)):
            key = key * size + field
        return key


Groups = list[tuple[int, Any]]
"""Values, each with the places that have it; a slice where all have one."""


def groups_of(values: Array) -> Groups:
    """Each distinct value of small integers (N,), with its places."""
    kinds = np.flatnonzero(np.bincount(values)).tolist()
    if len(kinds) == 1:
        return [(kinds[0], slice(None))]
    return [(kind, np.flatnonzero(values == kind)) for kind in kinds]


def _how_known(one: Processed) -> tuple[int, int, int]:
    """Sorts what is known from an earlier step on last, and of those what is known better."""
    known = sum(np.isfinite(array.values).sum(axis=1) for array in one.known.values())
    steps = np.atleast_1d(known)
    return int((np.cumsum(steps) > 0).sum()), int(steps.sum()), one.item


class View:
    """EXPECTED and the inputs in the order of processing, for one sequence of the batch.

    ``of`` gives those of a sequence. Of ``items`` it is the one that is known from the earliest
    step on, and of several such the one known best.
    """

    def __init__(
        self, of: Callable[[int], Processed], allowance: Allowance, items: Sequence[int]
    ) -> None:
        self.of, self.allowance = of, allowance
        self.item, self.x, known = max(map(of, items), key=_how_known)
        self.known = {name: (one.values, allowance.of(one)) for name, one in known.items()}
        of_steps = [np.isfinite(values).any(axis=1) for values, _ in self.known.values()]
        seen = np.flatnonzero(np.any(of_steps, axis=0))
        self.first = int(seen[0]) if seen.size else len(self.x)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.x)

    def residuals(
        self,
        arrays: Mapping[str, Array],
        t: int,
        array: Array,
        units: Any = slice(None),
        without: Sequence[str] = (),
    ) -> Array:
        """(N, E): how far off each hypothesis is at a step, in tolerances."""
        found = [np.zeros((len(array), 0))]
        for name, (values, allowed) in self.known.items():
            if name in without or name not in arrays:
                continue
            if name == "z" and not isinstance(units, slice):
                continue  # of all units
            expected, tolerance = values[t][units], allowed[t][units]
            is_known = np.isfinite(expected)
            if not is_known.any():
                continue
            given = arrays[name]
            if array.any():
                given = given.copy()
                for code in np.flatnonzero(np.bincount(array)):
                    if code:
                        given[array == code] = arrays[_ARRAYS[code]][array == code]
            found.append((given[:, is_known] - expected[is_known]) / tolerance[is_known])
        return np.clip(np.nan_to_num(np.concatenate(found, axis=1), nan=FAR), -FAR, FAR)


class Layout(NamedTuple):
    """Inputs (T, B, I), EXPECTED and the steps that count, in one layout of the axes."""

    x: Array
    expected: Expected
    valid: Array | None = None  # (T, B)


class Simulator:
    """One cell under all hypotheses.

    Parameters
    ----------
    decode
        from settings to the cell, in float64.
    how
        the assumed convention of this cell.
    layouts
        by ``layout``: the assumed one first, the other if it is possible.
    state
        h (B, P) and c (B, H) that are given, or None.
    work
        of the question, to which that of each step is added.
    """

    def __init__(
        self,
        decode: Decoder,
        how: Convention,
        layouts: Mapping[str, Layout],
        allowance: Allowance,
        state: tuple[Array, Array] | None = None,
        work: QuestionWork | None = None,
    ) -> None:
        self.work = QuestionWork() if work is None else work
        self.how, self._decode = how, decode
        self._cells: dict[Any, Cell] = {}
        self.cell = self.decode({"peepholes": "used"})  # they may be assumed ignored
        self._spaces: dict[Any, Space] = {}
        self.matrices: dict[str, list[Array]] = {part: [] for part in _CHOOSE}
        self.ordered: dict[str, list[tuple[int, ...]]] = {part: [] for part in _CHOOSE}
        self.biases: list[Array] = []
        self.scales: list[Array] = []  # of layer norm, one for each bias
        self._places: dict[Any, int] = {}
        self._matrices: dict[Any, tuple[int, list[int]]] = {}  # places, by what is decoded
        self._cast: dict[tuple[str, int, str], Array] = {}  # matrices (K, 4 H) in a number type
        self._tables: dict[str, Array] = {}
        assumed = (how.setting(name) for name in _ACTIVATIONS_OF)
        self._activations = tuple(dict.fromkeys((*ACTIVATIONS, *assumed)))
        self._functions = [activation(name) for name in self._activations]
        self._lay(layouts, allowance, state)

    def decode(self, settings: Mapping[str, Any]) -> Cell:
        """The cell under settings that change what was assumed."""
        key = tuple(sorted(settings.items()))
        if key not in self._cells:
            self._cells[key] = self._decode(settings)
        return self._cells[key]

    def on(
        self,
        layouts: Mapping[str, Layout],
        allowance: Allowance,
        state: tuple[Array, Array] | None = None,
    ) -> Simulator:
        """The same at another placement of EXPECTED; what was decoded is shared."""
        other = copy(self)
        other._lay(layouts, allowance, state)
        return other

    def with_allowance(self, allowance: Allowance) -> Simulator:
        """The same with another tolerance."""
        if allowance == self.allowance:
            return self
        return self.on(self.layouts, allowance, self.state)

    def _lay(
        self,
        layouts: Mapping[str, Layout],
        allowance: Allowance,
        state: tuple[Array, Array] | None,
    ) -> None:
        self.layouts, self.allowance, self.state = layouts, allowance, state
        self._views: dict[tuple[int, ...], int] = {}
        self.views: list[View] = []
        self.__dict__.pop("as_loaded", None)
        name, first = next(iter(layouts.items()))
        self.needs = first.expected.needs
        names = (*first.expected.sequences, *first.expected.finals)
        self.names = tuple(dict.fromkeys(name.removeprefix("final_") for name in names))
        of_space = name, (*self._idle(first),), (*self._barred(),)
        if of_space not in self._spaces:
            self._spaces[of_space] = Space(_assumed(self.how, name), *of_space[1:])
        self.space = self._spaces[of_space]

    # ---- which hypotheses there are

    def _idle(self, first: Layout) -> Iterator[str]:
        """Columns that make no difference here."""
        cell, steps = self.cell, len(first.x)
        idle = {
            "peepholes": cell.peephole is None,
            "peephole_gates": self._peephole_orders is None,
            "initial_state": self.state is None,
            "lengths": first.valid is None,
            "layout": len(self.layouts) == 1,
            "array": self.names != ("h",) or cell.outputs != cell.units,
            "reverse": steps == 1 or self.how.behaviour.go_backwards,
            "flip_output": steps == 1 or not first.expected.sequences,
            "go_backwards": self.how.behaviour.reverse  # then one of the two says the same
            or self.how.behaviour.flip_output
            or first.expected.steps < 2,
            "state": steps == 1,
            "coupled": self._coupling() == {self.how.behaviour.coupled},
            "rows": self._is_same("kernel", rows="hx" if self.how.storage.rows == "xh" else "xh"),
            "interleaved": cell.units > 1
            and self._is_same("kernel", interleaved=not self.how.storage.interleaved),
        }
        yield from (name for name, is_idle in idle.items() if is_idle)
        if len(self.how.storage.gates) < len(GATES):
            yield from ("kernel_gates", "recurrent_gates", "bias_gates")

    def _barred(self) -> Iterator[Change]:
        """Single changes that cannot be run, or change nothing."""
        if self.cell.outputs != self.cell.units:
            yield Change("initial_state", "swapped")
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
        """What cells come to that are to be coupled in each way: a gate may have no tensors."""
        return {
            self.decode({"coupled": way}).convention.behaviour.coupled for way in COLUMNS["coupled"]
        }

    def _is_same(self, part: str, **settings: Any) -> bool:
        return np.array_equal(getattr(self.decode(settings), part), getattr(self.cell, part))

    @cached_property
    def as_loaded(self) -> Cells:
        """The cell as loaded, as one hypothesis."""
        return self.cells(np.zeros((1, len(self.space.columns)), np.int8))

    @property
    def view(self) -> View:
        """That of the cell as loaded."""
        return self.views[int(self.as_loaded.view[0])]

    @property
    def of_run(self) -> float:
        """The work of a run of one of many hypotheses, over one sequence."""
        return self.view.steps * (work_of_step(self.cell) + Budget.CALL / CHUNK)

    @property
    def has_first_step(self) -> bool:
        """Whether EXPECTED has the first step of the loop, which most hypotheses differ in."""
        return self.view.first == 0

    @property
    def from_zero(self) -> bool:
        """Whether the first step starts from zero and is known: it hides half of the cell then."""
        if self.state is not None or self.cell.initial_h is not None:
            return False
        known = self.view.known.items()
        return any(np.isfinite(v[0]).any() for name, (v, _) in known if name not in ("f", "z"))

    @property
    def units_are_apart(self) -> bool:
        """Whether a unit of the first step needs no other one."""
        cell = self.cell
        full = cell.peephole is not None and cell.peephole.ndim == 3
        return cell.norm_scale is None and cell.projection is None and not full

    # ---- from codes to cells

    def cells(self, codes: Array) -> Cells:
        """What rows of codes (N, F) come to."""
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
            place("initial_state", INITIAL_STATES),
            self._views_of(codes),
            place("array", _ARRAYS),
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

    def _views_of(self, codes: Array) -> Array:
        columns = codes[:, [self.space.column(name) for name in _VIEW]].astype(np.int64)
        keys = columns @ np.array([1, 2, 4, 8])
        places = np.zeros(16, np.int64)
        for key in np.flatnonzero(np.bincount(keys)).tolist():
            places[key] = self._view_of((key & 1, key >> 1 & 1, key >> 2 & 1, key >> 3 & 1))
        found: Array = places[keys]
        return found

    def _view_of(self, key: tuple[int, ...]) -> int:
        if key not in self._views:
            layout, reverse, flip, lengths = (
                self.space.values[name][code] for name, code in zip(_VIEW, key, strict=True)
            )
            given, backwards = self.layouts[layout], self.how.behaviour.go_backwards
            last_first = reverse or backwards
            flipped = (last_first and not backwards) != flip
            valid = given.valid if lengths == "given" else None
            self._views[key] = len(self.views)
            of = partial(processed, given.x, given.expected, last_first, flipped, valid)
            self.views.append(View(of, self.allowance, given.expected.items or [0]))
        return self._views[key]

    def by_view(self, cells: Cells) -> Iterator[tuple[View, Array]]:
        """The views, each with the hypotheses (places) that have it."""
        for place in np.flatnonzero(np.bincount(cells.view)):
            yield self.views[place], np.flatnonzero(cells.view == place)

    # ---- steps

    def start(self, cells: Cells, item: int, dtype: Any = np.float64) -> tuple[Array, Array]:
        """h (N, P) and c (N, H) before the first step of a sequence of the batch."""
        n, cell = len(cells), self.cell
        h, c = np.zeros((n, cell.outputs), dtype), np.zeros((n, cell.units), dtype)
        given = self.state
        if given is None and cell.initial_h is not None and cell.initial_c is not None:
            given = np.atleast_2d(cell.initial_h), np.atleast_2d(cell.initial_c)
        if given is not None:
            own_h, own_c = (one[0] if len(one) == 1 else one[item] for one in given)
            h[cells.start == 0], c[cells.start == 0] = own_h, own_c
            swapped = cells.start == 2
            if swapped.any():
                h[swapped], c[swapped] = own_c, own_h
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
        self, z: Array, c: Array, cells: Cells, constants: Array, units: Any = slice(None)
    ) -> dict[str, Array]:
        """The arrays (N, U) of a step, from z (N, 4, U), which is kept, and c (N, U)."""
        share = z.shape[2] / self.cell.units
        self.work.done += Budget.CALL + len(z) * work_of_step(self.cell) * share
        gates = z.swapaxes(0, 1).copy()  # (4, N, U)
        shift = None
        if self.cell.norm_scale is not None:
            shift = self._biases(z.dtype)[:, :, units][cells.bias].swapaxes(0, 1)  # (4, N, H)
            shift[1] += constants[:, :1]
        else:
            gates[1] += constants[:, :1]
        parts = self._parts(cells, constants, shift, units)
        if "z" not in self.names:
            h, c = step(gates, c, parts)
            return dict(zip("hcifgo", (h, c, *gates), strict=True))
        pre_activations, gates = gates, np.empty_like(gates)
        h, c = step(pre_activations, c, parts, gates)
        flat = pre_activations.swapaxes(0, 1).reshape(len(h), -1)  # i f g o
        return dict(zip("hcifgoz", (h, c, *gates, flat), strict=True))

    def run(
        self, cells: Cells, constants: Array, view: View, steps: int, dtype: Any = np.float64
    ) -> Array:
        """(N, E): how far off runs are over the first steps, in tolerances."""
        runs = enumerate(self.steps(cells, constants, view, steps, dtype))
        off = [view.residuals(arrays, t, cells.array) for t, arrays in runs if t >= view.first]
        return np.concatenate([np.zeros((len(cells), 0)), *off], axis=1)

    def steps(
        self, cells: Cells, constants: Array, view: View, steps: int, dtype: Any = np.float64
    ) -> Iterator[dict[str, Array]]:
        """The arrays (N, H) of the first steps, one after another."""
        constants, x = constants.astype(dtype), view.x.astype(dtype)
        h, c = self.start(cells, view.item, dtype)
        for t in range(steps):
            arrays = self.step(self.before(cells, x[t], h, c, t), c, cells, constants)
            h, c = arrays["h"], arrays["c"]
            yield arrays

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
    return Budget.HYPOTHESIS + cell.units * (1 + (cell.inputs + cell.outputs) / PRODUCTS)


def permutation(assumed: str, order: str) -> tuple[int, ...]:
    """Which block, decoded in the assumed order, each of the gates i f g o is in another order.

    Blocks lie in the file one after the other; the k-th is gate ``assumed[k]`` of one hypothesis
    and gate ``order[k]`` of the other.
    """
    place = {gate: GATES.index(was) for was, gate in zip(assumed, order, strict=True)}
    return tuple(place[gate] for gate in GATES)


def _assumed(how: Convention, layout: str) -> dict[str, Any]:
    """The value of each column in a convention."""
    assumed = {name: how.setting(name) for name in COLUMNS}
    for tensor in ("kernel", "recurrent", "bias"):
        assumed[f"{tensor}_gates"] = how.storage.order_of(tensor)
    if len(how.storage.gates) < len(GATES):  # three blocks of coupled gates have no other order
        assumed |= dict.fromkeys(("kernel_gates", "recurrent_gates", "bias_gates"), "ifgo")
    return assumed | {"layout": layout, "array": "h", "lengths": "given"}


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
