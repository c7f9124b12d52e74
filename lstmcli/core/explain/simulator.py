"""One cell under many hypotheses: from codes to tensors, and a step of all at once.

A hypothesis is a row of codes of tensors, functions and constants (`Cells`). Each distinct tensor
is decoded and multiplied once. The equations are `forward.equations.step`, on arrays (N, H) of
hypotheses and units.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from hashlib import sha256
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from lstmcli.core.explain.causes import (
    CAUSES,
    COLUMNS,
    CONSTANTS,
    KEPT,
    KNOWN_ORDERS,
    SOLVE,
    SPREADS,
    Change,
    Settings,
    value_in,
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

_ACTIVATIONS_OF = ("recurrent_activation", "activation", "output_activation")

_CHOOSE: Mapping[str, tuple[str, ...]] = {
    "kernel": ("kernel_gates", "interleaved", "rows", "transposed"),
    "recurrent_kernel": ("recurrent_gates", "interleaved", "rows", "transposed"),
    "bias": ("bias_gates", "interleaved", "bias"),
}
"""The columns that choose each tensor, the order of its gates first."""
_SETTINGS = tuple(name for name in COLUMNS if name not in {*chain(*_CHOOSE.values())})
"""The other columns."""
MOST_TENSORS = 1024  # distinct ones of a part
# bytes of decoded weights that are kept. At 2,000 units one copy has 128 MB, and
# 24 decoded cells were kept: explain took 7.9 GB.
ROOM = 1 << 28
# bytes of a cell from which hypotheses with other weights are stepped one after
# another, so that each tensor is decoded once a run
LARGE = 1 << 24


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of N hypotheses: codes of settings, tensors and constants.

    A tensor is six integers: its own, the place of its blocks among those of the simulator, and the
    block of each of the gates i, f, g, o.
    """

    codes: Mapping[str, Array]  # (N,)
    tensors: Mapping[str, Array]  # (N, 6)
    constants: Array  # (N, K), in the dtype of the run

    def __len__(self) -> int:
        return len(self.codes["state"])

    def subset(self, which: Any) -> Cells:
        """Some of the hypotheses."""
        codes = {name: one[which] for name, one in self.codes.items()}
        tensors = {part: one[which] for part, one in self.tensors.items()}
        return Cells(codes, tensors, self.constants[which])

    @cached_property
    def groups(self) -> dict[str, list[tuple[int, Any]]]:
        """By tensor or activation: each in use, with its hypotheses."""
        places = {name: self.codes[name] for name in _ACTIVATIONS_OF}
        places |= {part: tensors[:, 1] for part, tensors in self.tensors.items()}
        found: dict[str, list[tuple[int, Any]]] = {}
        for name, values in places.items():
            kinds = np.flatnonzero(np.bincount(values)).tolist()
            which: list[Any] = [np.flatnonzero(values == kind) for kind in kinds]
            found[name] = [
                *zip(kinds, which if kinds[1:] else [slice(None)], strict=True)
            ]
        return found


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
    found = {}
    for setting in dict.fromkeys((*SPREADS, *COLUMNS)):
        columns = SPREADS.get(setting, (setting,))
        if setting in without or columns[0] in without:
            continue
        # as assumed is a change next to another activation
        is_change = setting == "output_activation" and "activation" not in without
        known = [v for v in KNOWN_ORDERS if v in COLUMNS[columns[0]]]
        for value in dict.fromkeys([*known, *CAUSES[setting].values]):
            change = Change(setting, value)
            differs = is_change or any(values[name][0] != value for name in columns)
            if differs and change not in barred:
                found[change] = [
                    values[name].index(value) if name in columns else KEPT
                    for name in COLUMNS
                ]
    return found


def values_from(assumed: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of each column, the assumed one first."""
    return {
        name: [assumed[name], *(v for v in values if v != assumed[name])]
        for name, values in COLUMNS.items()
    }


class Simulator:
    """One cell under all hypotheses; ``how`` is its assumed convention.

    ``decode`` gives the cell in float64, from changed settings.
    """

    def __init__(self, decode: Callable[[Settings], Cell], how: Convention) -> None:
        self.how = how
        self._decode = decode
        self.cell = self.decode(peepholes="used")  # they may be assumed ignored
        self.is_large = weight_bytes(self.cell) >= LARGE
        # by part, the settings of each place
        self._settings_of: dict[str, list[Settings]] = {part: [] for part in _CHOOSE}
        self._biases_at: list[Array] = []  # by place
        self._places: dict[Any, int] = {}  # by part and settings
        self._known = cache(self._known_of)
        self._distinct: dict[str, dict[Any, list[int]]] = {part: {} for part in _CHOOSE}
        self._tables: dict[str, Array] = {}
        self._tensor_at = {
            part: lru_cache(most_kept(_blocks(part, self.cell).nbytes, 1))(
                partial(self._decoded_at, part)
            )
            for part in _CHOOSE
        }
        self._parts_of_cell = parts_of(self.cell)  # of arrays (H, N)
        self.peepholes = self._in_each_order()
        assumed = {name: value_in(how, name) for name in COLUMNS}
        if len(how.storage.gates) < len(GATES):  # three blocks have no other order
            assumed |= dict.fromkeys(SPREADS["gates"], "ifgo")
        self.values = values_from(assumed)
        self.singles = single_changes(self.values, [*self._idle()], [*self._barred()])
        numbers = {None: np.inf, SOLVE: np.nan}  # no clip, and an open constant
        self._constants = {
            name: np.array([numbers.get(v, v) for v in self.values[name]], float)
            for name in CONSTANTS
        }
        self._functions = {
            name: [*map(activation, self.values[name])] for name in _ACTIVATIONS_OF
        }

    def _idle(self) -> Iterator[str]:
        how, storage = self.how.behaviour, self.how.storage
        orders = self.peepholes
        coupled = [self.decode(coupled=way).convention for way in COLUMNS["coupled"]]
        idle = {
            "peepholes": self.cell.peephole is None,
            "peephole_gates": orders is None
            or bool((orders == self.cell.peephole).all()),
            "reverse": how.go_backwards,
            "go_backwards": how.reverse
            or how.flip_output,  # then one of the two is the same
            "coupled": {one.behaviour.coupled for one in coupled} == {how.coupled},
            "rows": self._is_same(
                "kernel", rows="hx" if storage.rows == "xh" else "xh"
            ),
            "projection_clip": self.cell.projection is None,
            "interleaved": self.cell.units > 1
            and self._is_same("kernel", interleaved=not storage.interleaved),
        }
        yield from (name for name, is_idle in idle.items() if is_idle)
        if len(storage.gates) < len(GATES):
            yield from SPREADS["gates"]

    def _barred(self) -> Iterator[Change]:
        once, input_only = (
            self._known(bias=value)[1] for value in ("once", "input_only")
        )
        if np.array_equal(input_only, once):  # there is one bias
            yield from (Change("bias", one) for one in ONE_OF_TWO)
        if self._is_same("kernel", transposed="reshaped_kernel"):  # fused
            yield from (
                Change("transposed", f"reshaped_{one}")
                for one in ("kernel", "recurrent")
            )

    def _in_each_order(self) -> Array | None:
        """The peepholes (6, 3, H) by code of their order; None for none, or matrices."""
        peephole = self.cell.peephole
        if peephole is None or peephole.ndim != 2:
            return None
        orders = dict.fromkeys((self.how.setting("peephole_gates"), *PEEPHOLE_ORDERS))
        cells = (
            self.decode(peepholes="used", peephole_gates=order) for order in orders
        )
        return np.array([cell.peephole for cell in cells])

    def _is_same(self, part: str, **settings: Any) -> bool:
        return self._known(**settings)[0][part] == self._known()[0][part]

    def _known_of(self, **settings: Any) -> tuple[dict[str, list[bytes]], Array]:
        """The part of a decoded cell that is kept: the digests of blocks by part, and the bias."""
        cell = self._decoded(settings)
        digests = {
            part: [sha256(block.tobytes()).digest() for block in _blocks(part, cell)]
            for part in _CHOOSE
        }
        return digests, _blocks("bias", cell)

    def decode(self, **settings: Any) -> Cell:
        """The cell in float64, with settings changed."""
        return self._decode(settings)

    def _decoded(self, settings: Settings) -> Cell:
        return self.decode(**settings) if settings else self.cell

    def _decoded_at(self, part: str, place: int, dtype: Any) -> Array:
        """The tensor (4, H, K) at a place."""
        cell = self._decoded(self._settings_of[part][place])
        return _blocks(part, cell).astype(dtype, copy=False)

    def cells(
        self,
        codes: Array,
        values: Array | None = None,
        dtype: Any = np.float64,
    ) -> Cells:
        """The cells of rows of codes (N, F); ``values`` (N, K) are of open constants."""
        by_name = dict(zip(COLUMNS, codes.T, strict=True))
        tensors = {part: self._tensors_of(part, by_name) for part in _CHOOSE}
        constants = np.stack(
            [self._constants[name][by_name[name]] for name in CONSTANTS], axis=1
        )
        for known in (OFF,) if values is None else (values, OFF):
            constants = np.where(np.isnan(constants), known, constants)
        settings = {name: by_name[name] for name in _SETTINGS}
        return Cells(settings, tensors, constants.astype(dtype))

    def has(self, cells: Cells, name: str, value: Any) -> Array:
        """(N,): which cells have a value of a setting."""
        return np.equal(cells.codes[name], self.values[name].index(value))

    def orders(self, cells: Cells) -> Array:
        """(N,): of steps; 2 where a cell starts from the last, 1 where it gives that first."""
        reverse, flip = (
            self.has(cells, name, True) for name in ("reverse", "flip_output")
        )
        order = StepOrder.of(reverse, self.how.behaviour.go_backwards, flip)
        return np.asarray(2 * order.runs_back + order.outputs_reversed)

    def keys(
        self, cells: Cells, first_step: bool = False, shows_f: bool = False
    ) -> Array:
        """(N,): one number for each hypothesis, the same for equal cells.

        With ``first_step``, also for the same first step from a zero state. Neither the recurrent
        kernel nor the forget gate shows there, but for a forget gate that is compared
        (``shows_f``), or that the input gate is made of.
        """
        used = ~self.has(cells, "peepholes", "ignored")
        codes = {**cells.codes, "peephole_gates": cells.codes["peephole_gates"] * used}
        tensors = {part: tensor[:, 0] for part, tensor in cells.tensors.items()}
        if first_step:
            shown = self.has(cells, "coupled", "i=1-f") | shows_f
            codes |= {name: codes[name] * shown for name in ("coupled", "forget_bias")}
            codes["state"] = 0 * codes["state"]
            tensors["recurrent_kernel"] = 0 * tensors["recurrent_kernel"]
        sizes = (len(self.values[name]) for name in _SETTINGS)
        most = (MOST_TENSORS,) * len(tensors)
        places = (*tensors.values(), *codes.values())
        return np.ravel_multi_index(places, (*most, *sizes))

    def _tensors_of(self, part: str, codes: Mapping[str, Array]) -> Array:
        """A tensor (N, 6), from a table by the codes that choose it."""
        values = [self.values[name] for name in _CHOOSE[part]]
        sizes = [*map(len, values)]
        table = self._tables.setdefault(part, np.full((prod(sizes), 6), -1))
        rows = np.ravel_multi_index([codes[name] for name in _CHOOSE[part]], sizes)
        for row in {*rows[table[rows, 0] < 0].tolist()}:
            chosen = np.unravel_index(row, sizes)
            settings = [of[k] for of, k in zip(values, chosen, strict=True)]
            table[row] = self._tensor(part, [of[0] for of in values], settings)
        return table[rows]

    def _tensor(
        self, part: str, assumed: Sequence[Any], values: Sequence[Any]
    ) -> list[int]:
        each = zip(_CHOOSE[part][1:], assumed[1:], values[1:], strict=True)
        changed = {name: value for name, was, value in each if value != was}
        source = part, *changed.items()
        digests, bias = self._known(**changed)
        if source not in self._places:
            self._places[source] = len(self._settings_of[part])
            self._settings_of[part].append(changed)
            if part == "bias":
                self._biases_at.append(bias)
        place = self._places[source]
        order = permutation(assumed[0], values[0])
        distinct = self._distinct[part]
        alike = tuple(digests[part][gate] for gate in order)
        return distinct.setdefault(alike, [len(distinct), place, *order])

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
        z, (h, c) = np.zeros((len(cells), len(GATES), self.cell.units), x.dtype), state
        self._add_products(z, "kernel", cells, x)
        if t and (reset := self.has(cells, "state", "reset")).any():
            h[reset], c[reset] = 0, 0
        if t or h.any():
            self._add_products(z, "recurrent_kernel", cells, h)
        if self.cell.norm_scale is None:
            z += self._biases(cells, x.dtype)[..., 0]
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
            tensor = self._tensor_at[part](place, z.dtype)
            each = x if len(x) == 1 else x[which]
            product = (each @ tensor.reshape(-1, tensor.shape[2]).T).reshape(
                -1, *z.shape[1:]
            )
            orders = cells.tensors[part][which, 2:]
            z[which] += product[np.arange(len(each))[:, None], orders]

    def _biases(self, cells: Cells, dtype: Any) -> Array:
        """The bias (N, 4, H, 1); of layer norm the shift and the scale (N, 4, H, 2)."""
        tensors = cells.tensors["bias"]
        biases = np.array(self._biases_at, dtype)
        return biases[tensors[:, 1, None], tensors[:, 2:]]

    def _parts(self, cells: Cells) -> Parts:
        cell, constants = self.cell, cells.constants
        normalize, peepholes, of_cell = no_change, NO_PEEPHOLES, self._parts_of_cell
        if cell.peephole is not None:
            old = self.has(cells, "peepholes", "old_c")[:, None]
            acts = cell.behaviour.output_peephole  # unless its input is the old c
            peepholes = Peepholes(
                self._peephole_product(cells), acts, old if old.any() else None
            )
        if cell.norm_scale is not None:
            shift, scale = self._biases(cells, constants.dtype).transpose(
                3, 1, 0, 2
            )  # (4, N, H)
            shift[1] += constants[:, :1]
            normalize = layer_norm(
                scale, shift, self.how.behaviour.norm_epsilon, axis=-1
            )
        clips = (
            one if np.isfinite(one).any() else None for one in constants.T[1:, :, None]
        )
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
            normalize=normalize,
            normalize_c=lambda c, k: of_cell.normalize_c(c.T, k),
            peepholes=peepholes,
            project=lambda h: of_cell.project(h.T).T,
        )

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
        f_from_i, i_from_f = (
            self.has(cells, "coupled", way) for way in ("f=1-i", "i=1-f")
        )

        def couple(i: Array, f: Array) -> None:
            f[f_from_i] = 1 - i[f_from_i]
            i[i_from_f] = 1 - f[i_from_f]

        return couple if f_from_i.any() or i_from_f.any() else no_change


def work_of_step(cell: Cell) -> float:
    """The work of a step of one hypothesis, its products included."""
    return HYPOTHESIS + cell.units * (1 + (cell.inputs + cell.outputs) / PRODUCTS)


def weight_bytes(cell: Cell) -> int:
    """The bytes of a cell's kernels."""
    return int(cell.kernel.nbytes + cell.recurrent_kernel.nbytes)


def most_kept(size: int, least: int) -> int:
    """How many tensors or cells of a size in bytes are kept: at least ``least``."""
    return max(least, ROOM // size)


def permutation(assumed: str, order: str) -> tuple[int, ...]:
    """Which block of the assumed order each of the gates i f g o is in another.

    The k-th block of the file is gate ``assumed[k]`` of one, and gate ``order[k]`` of the other.
    """
    place = {gate: GATES.index(was) for was, gate in zip(assumed, order, strict=True)}
    return tuple(map(place.__getitem__, GATES))


def _blocks(part: str, cell: Cell) -> Array:
    """A tensor of a cell by gate, (4, H, K); of layer norm its shift and scale, (4, H, 2)."""
    if part != "bias":
        return np.asarray(getattr(cell, part))
    shift = cell.bias if cell.norm_shift is None else cell.norm_shift
    return np.stack(
        [shift] if cell.norm_scale is None else [shift, cell.norm_scale], axis=-1
    )
