"""Other ways to read a network, under which its weights are those of another one.

The blocks of gates of both are matched, as they lie and as they lie under another arrangement of
the tensors; what is found are settings of `lstmcli.load`, which the caller has to prove.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations, product
from operator import getitem
from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import norm

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Model, join_with_and
from lstmcli.core.model.settings import split_cell
from lstmcli.core.model.vocabulary import GATES, spaced_order
from lstmcli.core.same.network import Network, arrays_of
from lstmcli.core.weights.decode import decode
from lstmcli.core.weights.encode import encode
from lstmcli.core.weights.stored import KERNELS, PEEPHOLES, Tensors
from lstmcli.errors import UserError

Order = tuple[int, ...]  # of each gate of A, the block of B
Settings = dict[str, Any]

EQUAL = 1e-5
"""The same of blocks that are equal but for the rounding of a constant in float32."""
NEAR = 0.35
"""How far two blocks may be apart, by their norms: 4 bits are up to 0.25, other blocks 1.4."""
PROBED = 256
"""Numbers of a block that are compared first; unrelated ones differ there."""
FEWEST = 16
"""Numbers of a gate's blocks by which an order is known from one that is near by chance."""
COMMON = {0.0, 1.0}
"""The forget biases of frameworks."""


class Reading(NamedTuple):
    """How B has to be read to be A: which cell is which, and settings of each."""

    cells: Mapping[str, str]  # of A, that of B
    settings: Settings  # as `lstmcli.load` takes them
    left_open: Sequence[str] = ()  # by the numbers, in sentences

    is_sure: bool = False  # by enough numbers, where B is not equal but near

    @property
    def is_plain(self) -> bool:
        """Return whether nothing has to be changed in B."""
        return not self.settings and all(a == b for a, b in self.cells.items())

    @property
    def moves_kernels(self) -> bool:
        """Return whether other tensors than biases are read otherwise."""
        names = [split_cell(name)[1] for name in self.settings]
        return not all("bias" in name for name in names)

    @property
    def words(self) -> str:
        """``the gates are in the order i o f g, the forget bias is +1``."""
        texts = []
        for name, value in self.settings.items():
            cell, plain = split_cell(name)
            text = _WORDS[plain]
            if plain.endswith("gates"):
                value = spaced_order(value)
            elif plain == "forget_bias":
                value = f"{value:+g}"
            text = text.format(value)
            texts.append(f"{text} in {cell}" if cell else text)
        if "directions" not in self.settings:
            moved = [f"{a} is {b}" for a, b in self.cells.items() if a != b]
            texts.extend(moved)
        return ", ".join(texts)


_WORDS = {
    "gates": "the gates are in the order {}",
    "kernel_gates": "the gates of the kernel are in the order {}",
    "recurrent_gates": "the gates of the recurrent kernel are in the order {}",
    "bias_gates": "the gates of the bias are in the order {}",
    "peephole_gates": "the peepholes are in the order {}",
    "interleaved": "gates alternate unit by unit: {}",
    "rows": "the rows of the kernel are in the order {}",
    "transposed": "transposed: {}",
    "forget_bias": "the forget bias is {}",
    "bias": "the setting bias is {}",
    "directions": "both directions are {}",
}
"""By setting, what B has; the value stands in the place of the brackets."""


class CellPair(NamedTuple):
    """A cell of A, the cell of B with its weights, and how B has to be read."""

    a: str
    b: str
    changes: Sequence[Mapping[str, Any]] = ()


class _OfCell(NamedTuple):
    settings: Settings
    left_open: Sequence[str]


def find_reading(a: Network, b: Model) -> Reading | None:
    """The reading of B by which the gates of all its cells are those of A, if there is one."""
    cells_of_b = dict(b.cells)
    pairs: dict[str, str] = {}
    found: dict[str, _OfCell] = {}
    for name, cell in a.model.cells:
        for other in _candidates(name, cells_of_b):
            if other in pairs.values():
                continue
            of_cell = _reading_of(arrays_of(cell), cells_of_b[other])
            if of_cell is not None:
                pairs[name], found[name] = other, of_cell
                break
    if len(pairs) < len(cells_of_b) or len(pairs) < len(a.model.cells):
        return None
    settings = _of_model({pairs[name]: one.settings for name, one in found.items()})
    if _are_exchanged(pairs, b):
        settings = _of_model({name: one.settings for name, one in found.items()})
        settings["directions"] = "exchanged"
    left_open: list[str] = []
    for one in found.values():
        left_open.extend(one.left_open)
    sizes = [cell.units * (cell.inputs + cell.outputs) for _, cell in a.model.cells]
    is_sure = min(sizes) >= FEWEST and not left_open
    return Reading(pairs, settings, list(dict.fromkeys(left_open)), is_sure)


def _candidates(name: str, cells: Mapping[str, Cell]) -> list[str]:
    """The cells of B that may be one of A: that of its name first, then the other direction."""
    layer = name.removesuffix("_reverse")
    first = [name, layer, f"{layer}_reverse"]
    return [other for other in dict.fromkeys((*first, *cells)) if other in cells]


def _are_exchanged(pairs: Mapping[str, str], b: Model) -> bool:
    """Return whether both directions of each layer are exchanged."""
    if not b.bidirectional:
        return False
    return all(
        a.removesuffix("_reverse") == b.removesuffix("_reverse") and a != b
        for a, b in pairs.items()
    )


def _of_model(by_cell: Mapping[str, Settings]) -> Settings:
    """The settings of all cells; those that differ from cell to cell with its name."""
    each = list(by_cell.values())
    if all(one == each[0] for one in each):
        return dict(each[0])
    settings: Settings = {}
    for cell, of_cell in by_cell.items():
        for name, value in of_cell.items():
            settings[f"{cell}.{name}"] = value
    return settings


# ---- one cell


def _reading_of(a: Mapping[str, Array], b: Cell) -> _OfCell | None:
    """The settings by which a cell is that of these arrays; none where it is as it lies."""
    shapes = [getattr(b, role).shape for role in KERNELS]
    if [a[role].shape for role in KERNELS] != shapes or b.norm_scale is not None:
        return None
    orders = {role: _orders(a[role], getattr(b, role)) for role in KERNELS}
    if all(orders.values()):
        return _with_orders(a, b, {}, orders)
    return _rearranged(a, b) or _with_one_kernel(a, b, orders)


def _with_one_kernel(
    a: Mapping[str, Array], b: Cell, orders: Mapping[str, list[Order]]
) -> _OfCell | None:
    """The settings by which one kernel is that of A, where the other is another."""
    for found in orders.values():
        if found:
            return _with_orders(a, b, {}, dict.fromkeys(orders, found))
    return None


def _rearranged(a: Mapping[str, Array], b: Cell) -> _OfCell | None:
    """The settings of another arrangement of the tensors by which a cell is that of A."""
    has_bias_inside = b.convention.storage.extra_columns > 0
    if not (has_bias_inside or _may_be_rearranged(a, b)):
        return None
    tensors = encode(b)
    for arrangement in _arrangements(b):
        found = _under(a, b, tensors, arrangement)
        if found is not None:
            return found
    return None


def _may_be_rearranged(a: Mapping[str, Array], b: Cell) -> bool:
    """Return whether the same numbers may lie in the kernels in another order: by their sums."""
    kernels = [a[role] for role in KERNELS], [getattr(b, role) for role in KERNELS]
    sums, sizes = [], []
    for both in kernels:
        sums.append(sum(float(array.sum()) for array in both))
        sizes.append(float(norm([norm(array.ravel()) for array in both])))
    return abs(sums[0] - sums[1]) <= NEAR * max(sizes)


def _arrangements(cell: Cell) -> Iterator[Settings]:
    """The rows of a fused kernel and the alternation of gates, as they are and otherwise."""
    storage, names = cell.convention.storage, cell.convention.names
    rows, interleaved = [storage.rows], [storage.interleaved]
    if "fused" in names.tensors:
        rows.append("hx" if storage.rows == "xh" else "xh")
    if not names.has_tensor_per_gate:
        interleaved.append(not storage.interleaved)
    for of_rows, alternates in product(rows, interleaved):
        yield {"rows": of_rows, "interleaved": alternates}


_TRANSPOSED = {
    ("none", "none"): "none",
    ("both", "both"): "both",
    ("both", "none"): "kernel",
    ("none", "both"): "recurrent",
    ("reshaped_both", "reshaped_both"): "reshaped_both",
    ("reshaped_both", "none"): "reshaped_kernel",
    ("none", "reshaped_both"): "reshaped_recurrent",
}
"""The setting by what is done to the kernel and to the recurrent kernel."""


def _under(
    a: Mapping[str, Array], b: Cell, tensors: Tensors, arrangement: Settings
) -> _OfCell | None:
    """The settings under an arrangement, each kernel as it lies, transposed or reshaped."""
    cells: dict[str, Cell] = {}
    orders: dict[tuple[str, str], list[Order]] = {}
    for way in ("none", "both", "reshaped_both"):
        convention = b.convention.changed({**arrangement, "transposed": way})
        try:
            cells[way] = decode(tensors, convention, "")
        except UserError:
            continue
        for role in KERNELS:
            orders[role, way] = _orders(a[role], getattr(cells[way], role))
    for ways, transposed in _TRANSPOSED.items():
        of_kernels: dict[str, list[Order]] = {}
        for role, way in zip(KERNELS, ways, strict=True):
            of_kernels[role] = orders.get((role, way), [])
        if all(of_kernels.values()):
            settings = {**arrangement, "transposed": transposed}
            for name in list(settings):
                if settings[name] == getattr(b.convention.storage, name):
                    del settings[name]
            return _with_orders(a, cells[ways[0]], settings, of_kernels)
    return None


def _with_orders(
    a: Mapping[str, Array],
    cell: Cell,
    settings: Settings,
    orders: dict[str, list[Order]],
) -> _OfCell:
    """The settings with the gate orders of each tensor, and the forget bias."""
    bias, forget = a["bias"], GATES.index("f")
    constant = cell.dtype.type(cell.behaviour.forget_bias)
    bare = bias.copy()
    bare[forget] -= constant
    common = [one for one in orders["kernel"] if one in orders["recurrent_kernel"]]
    kernel = (common or orders["kernel"])[0]
    recurrent = (common or orders["recurrent_kernel"])[0]
    of_bias = _orders(bare, cell.bias)
    chosen = kernel
    together = [one for one in common if one in of_bias]
    if together:
        kernel = recurrent = chosen = together[0]
    elif of_bias and not _is_constant(bare - cell.bias[list(kernel)], forget):
        exact = [
            one for one in of_bias if np.allclose(bare, cell.bias[list(one)], 1e-5)
        ]
        chosen = (exact or [kernel])[0]
    found = _order_settings(
        cell, {"kernel": kernel, "recurrent": recurrent, "bias": chosen}
    )
    rest = bare - cell.bias[list(chosen)]
    added = float(constant + np.median(rest[forget]))
    if _is_constant(rest, forget) and (
        round(added, 4) in COMMON or len(rest[forget]) > 1
    ):
        found["forget_bias"] = round(added, 5)
    found |= _peephole_settings(a.get("peephole"), cell)
    left_open: list[str] = []
    if found:
        left_open.extend(_left_open(cell, chosen, together))
    return _OfCell({**settings, **found}, left_open)


def _left_open(cell: Cell, chosen: Order, orders: Sequence[Order]) -> Iterator[str]:
    """The sentences on what gates with exactly the same numbers leave open."""
    arrays = [cell.kernel, cell.recurrent_kernel, cell.bias]
    fitting = [one for one in orders if _are_alike(arrays, one, chosen)]
    of_bias = [
        one for one in permutations(chosen) if _are_alike([cell.bias], one, chosen)
    ]
    if len(fitting) > 1:
        stored = cell.convention.storage.gates
        texts = [spaced_order(_new_order(stored, one)) for one in fitting]
        yield f"Gates with the same numbers leave the order open: {join_with_and(texts)} fit."
    if len(of_bias) > max(1, len(fitting)):
        yield "Gates with the same biases leave the order of the bias open."


def _are_alike(arrays: Sequence[Array], one: Order, other: Order) -> bool:
    return all(np.array_equal(array[list(one)], array[list(other)]) for array in arrays)


def _is_constant(rest: Array, forget: int) -> bool:
    """Return whether a difference of biases is one number, not 0, in the forget gate alone."""
    others = np.delete(rest, forget, axis=0)
    constant = np.median(rest[forget])
    spread = np.abs(rest[forget] - constant).max()
    return bool(abs(constant) > 1e-3 > 100 * max(spread, np.abs(others).max()))


def _order_settings(cell: Cell, orders: Mapping[str, Order]) -> Settings:
    """The settings of gate orders that change: one where all tensors have the same."""
    storage = cell.convention.storage
    new = {
        tensor: _new_order(storage.order_of(tensor), one)
        for tensor, one in orders.items()
    }
    changed = {}
    for tensor, order in new.items():
        if order != storage.order_of(tensor):
            changed[f"{tensor}_gates"] = order
    are_plain = {storage.order_of(tensor) for tensor in orders} == {storage.gates}
    if len(changed) == len(orders) and len({*new.values()}) == 1 and are_plain:
        return {"gates": new["kernel"]}
    return changed


def _new_order(stored: str, order: Order) -> str:
    """The order of gates of a tensor whose blocks, called ``stored``, are those of A."""
    if len(stored) < len(GATES):
        return stored
    return "".join(GATES[order.index(GATES.index(gate))] for gate in stored)


def _peephole_settings(peephole: Array | None, cell: Cell) -> Settings:
    if (
        peephole is None
        or cell.peephole is None
        or peephole.shape != cell.peephole.shape
    ):
        return {}
    orders = _orders(peephole, cell.peephole)
    stored = cell.convention.storage.peephole_gates
    if not orders or orders[0] == tuple(range(3)):
        return {}
    order = orders[0]
    return {
        "peephole_gates": "".join(
            PEEPHOLES[order.index(PEEPHOLES.index(g))] for g in stored
        )
    }


# ---- blocks


def _orders(a: Array, b: Array) -> list[Order]:
    """The orders in which the blocks of b equal those of a, or else are near; as they lie first."""
    count = range(len(a))
    for most in (EQUAL, NEAR):
        fits = [[_is_near(a[n], b[k], most) for k in count] for n in count]
        orders = [one for one in permutations(count) if all(map(getitem, fits, one))]
        if orders:
            return orders
    return []


def _is_near(a: Array, b: Array, most: float) -> bool:
    a, b = a.ravel(), b.ravel()
    for part in (slice(PROBED), slice(None)):
        size = max(norm(a[part]), norm(b[part]))
        if not norm(a[part] - b[part]) <= most * size:  # so of NaN
            return False
    return True


# ---- what is done with a reading


def renamed(network: Network, reading: Reading) -> Network:
    """B with its cells called as those of A that they are; a setting exchanges directions."""
    if "directions" in reading.settings:
        return network
    names = {of_b: of_a for of_a, of_b in reading.cells.items()}
    arrays = {}
    for name, array in network.arrays.items():
        cell, _, role = name.rpartition(".")
        arrays[f"{names.get(cell, cell)}.{role}"] = array
    return network._replace(arrays=arrays)


def cell_pairs(reading: Reading, b: Model) -> tuple[CellPair, ...]:
    """Each cell of A with that of B, and the settings that change in it."""
    cells = dict(b.cells)
    pairs = []
    for of_a, of_b in reading.cells.items():
        own = of_a if "directions" in reading.settings else of_b
        changes = []
        for name, value in reading.settings.items():
            cell, plain = split_cell(name)
            if cell in ("", own):
                assumed = cells[of_b].convention.setting(plain)
                text = _WORDS[plain].format(value)
                changes.append(
                    {"setting": name, "assumed": assumed, "found": value, "text": text}
                )
        pairs.append(CellPair(of_a, of_b, changes))
    return tuple(pairs)
