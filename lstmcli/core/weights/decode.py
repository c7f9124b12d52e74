"""From named tensors in some convention to the home form, and the permutations between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.templates import is_reshaped
from lstmcli.errors import UserError

Tensors = Mapping[str, "Array | Mapping[str, Array]"]
"""Role -> tensor, or gate -> tensor where the convention keeps one a gate."""


def to_blocks(matrix: Array, order: str, interleaved: bool = False) -> Array:
    """(4H, K), gates in some order -> (4, H, K), gates i f g o.

    An order of three gates, of a coupled cell, leaves zeros in the place of the fourth.
    """
    gates, width = len(order), matrix.shape[1]
    if interleaved:  # row 4u + k is gate k of unit u
        blocks = matrix.reshape(-1, gates, width).swapaxes(0, 1)
    else:
        blocks = matrix.reshape(gates, -1, width)
    home = np.zeros((4, *blocks.shape[1:]), matrix.dtype)
    for block, gate in zip(blocks, order, strict=True):
        home[GATES.index(gate)] = block
    return home


def from_blocks(blocks: Array, order: str, interleaved: bool = False) -> Array:
    """The inverse of `to_blocks`: (4, H, K) -> (4H, K)."""
    blocks = blocks[[GATES.index(gate) for gate in order]]
    if interleaved:
        blocks = blocks.swapaxes(0, 1)
    return blocks.reshape(-1, blocks.shape[2])


def decode(tensors: Tensors, how: Convention, source: str) -> Cell:
    """The cell that these tensors are under a convention.

    Parameters
    ----------
    tensors
        by role: ``kernel`` and ``recurrent_kernel``, or ``fused`` with both in one; optionally
        ``bias``, ``recurrent_bias``, ``peephole``, ``projection`` and the other fields of `Cell`.
    how
        the convention, settings already changed.
    source
        what messages call the file.

    Raises
    ------
    UserError
        if shapes do not fit each other or an LSTM.
    """
    with np.errstate(all="ignore"):  # of weights that are none; the run shows what comes of them
        return _Decoder(tensors, how, source).cell()


def split_directions(tensors: Tensors, how: Convention) -> list[Tensors]:
    """The tensors of each direction, where a first axis holds them."""
    if not how.storage.direction_axis or all(_rank(t) < 3 for t in tensors.values()):
        return [tensors]
    arrays = {role: t for role, t in tensors.items() if not isinstance(t, Mapping)}
    return [{role: a[d] for role, a in arrays.items()} for d in range(len(arrays["kernel"]))]


def pair_directions(cells: list[tuple[Cell, ...]]) -> list[tuple[Cell, ...]]:
    """Cells numbered in one row, as Chainer's NStepBiLSTM numbers layers and directions.

    Two directions of a layer take the same inputs; a second layer takes the first one's outputs.
    """
    lone = [cell for (cell,) in cells]
    if len(lone) < 2 or len(lone) % 2 or lone[0].inputs != lone[1].inputs:
        return cells
    if lone[1].inputs == lone[0].outputs and len(lone) == 2:  # both readings fit: a stack
        return cells
    return [(lone[n], lone[n + 1]) for n in range(0, len(lone), 2)]


def fold_weight_norm(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors with PyTorch's weight norm multiplied out: W = g v / |v|, row by row.

    The old form is ``weight_hh_l0_g`` and ``_v``, the new one
    ``parametrizations.weight_hh_l0.original0`` and ``original1``.
    """
    folded = dict(tensors)
    for name in tensors:
        if name.endswith("_g"):
            whole, direction = name[:-2], name[:-2] + "_v"
        elif name.endswith(".original0"):
            whole = name.removesuffix(".original0").replace("parametrizations.", "", 1)
            direction = name[:-1] + "1"
        else:
            continue
        g, v = tensors[name], tensors.get(direction)
        if v is not None and v.ndim == 2 and g.shape == (len(v), 1) and whole not in tensors:
            del folded[name], folded[direction]
            folded[whole] = g * v / np.sqrt((v * v).sum(axis=1, keepdims=True))
    return folded


def _rank(tensor: Array | Mapping[str, Array]) -> int:
    return 1 if isinstance(tensor, Mapping) else tensor.ndim


class _Decoder:
    def __init__(self, tensors: Tensors, how: Convention, source: str) -> None:
        self.tensors, self.how, self.source = tensors, how, source

    def cell(self) -> Cell:
        how = self._coupled()
        kernel, recurrent, peephole = self._kernels()
        if peephole is None:
            peephole = self._peephole()
        units = recurrent.shape[1]
        projection = self._projection(units, recurrent.shape[2])
        norm = self._gates_of("norm_scale")
        bias = self._bias(units)
        cell = Cell(
            kernel=self._flipped("kernel", kernel),
            recurrent_kernel=self._flipped("recurrent", recurrent),
            bias=bias,
            convention=how,
            peephole=None if how.behaviour.peepholes == "ignored" else peephole,
            projection=projection,
            projection_bias=self._lone("projection_bias"),
            norm_scale=norm,
            # what is added after the norm: beta, or in TFLite the gate's bias
            norm_shift=None if norm is None else self._gates_of("norm_shift", otherwise=bias),
            state_scale=self._lone("state_scale"),
            state_shift=self._lone("state_shift"),
            initial_h=self._rows("initial_h"),
            initial_c=self._rows("initial_c"),
        )
        self._check(cell)
        return cell

    def _coupled(self) -> Convention:
        """The convention, with its gates coupled if the tensors of one gate are absent."""
        kernel = self.tensors.get("kernel")
        if isinstance(kernel, Mapping):
            for gate, coupled in self.how.storage.absent.items():
                if gate not in kernel:
                    return self.how.with_behaviour(coupled=coupled)
        return self.how

    # ---- kernels

    def _kernels(self) -> tuple[Array, Array, Array | None]:
        """Kernel (4, H, I), recurrent kernel (4, H, P), and peepholes kept in its columns."""
        how = self.how
        if "fused" in self.tensors:
            matrices: tuple[Array, ...] = self._split(self._matrix("fused"))
        elif isinstance(self.tensors["kernel"], Mapping):
            return self._per_gate("kernel"), self._per_gate("recurrent_kernel"), None
        else:
            matrices = self._oriented(self._matrix("kernel"), self._matrix("recurrent_kernel"))
        kernel, recurrent = (
            to_blocks(m, how.storage.order_of(name), how.storage.interleaved)
            for name, m in zip(("kernel", "recurrent"), matrices, strict=False)
        )
        peephole = matrices[2] if len(matrices) == 3 else None
        return kernel, recurrent, peephole

    def _matrix(self, role: str) -> Array:
        matrix = self.tensors[role]
        if isinstance(matrix, Mapping) or matrix.ndim != 2 or 0 in matrix.shape:
            shape = "in pieces" if isinstance(matrix, Mapping) else matrix.shape
            raise self._error(f"the {_words(role)} is {shape}; an LSTM's has two axes, none empty")
        return matrix.reshape(matrix.shape[::-1]).T if is_reshaped(self.how, role) else matrix

    def _per_gate(self, role: str) -> Array:
        """(4, H, K) of one tensor a gate; they lie as the row says, or as a width P < H shows."""
        held = self.tensors[role]
        assert isinstance(held, Mapping)
        shapes = {a.shape for a in held.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise self._error(f"the {_words(role)}s of its gates are {sorted(shapes)}; all alike")
        by_rows = self.how.storage.orientation == "rows"
        blocks = {gate: a if by_rows else a.T for gate, a in held.items()}
        home = np.zeros((4, *next(iter(blocks.values())).shape), next(iter(held.values())).dtype)
        for gate, block in blocks.items():
            home[self._place(gate, role)] = block
        return home

    def _place(self, gate: str, role: str) -> int:
        """Where the tensor that is called a gate's belongs: a changed order exchanges names."""
        own = CONVENTIONS[self.how.name].storage.gates
        tensor = role.split("_")[0] if role.endswith("kernel") else "bias"
        order = self.how.storage.order_of(tensor)
        changed = len(order) == len(own) and gate in own
        return GATES.index(order[own.index(gate)] if changed else gate)

    def _oriented(self, kernel: Array, recurrent: Array) -> tuple[Array, ...]:
        """Kernel (4H, I), recurrent kernel (4H, P) and perhaps peepholes (3, H).

        The recurrent matrix alone tells how both lie: P is at most H.
        """
        gates = len(self.how.storage.gates)
        a, b = recurrent.shape
        if self.how.storage.peephole_columns and b == 4 * a + 3:
            kernel, bare = self._oriented(kernel, recurrent[:, :-3])
            order = [self.how.storage.peephole_gates.index(gate) for gate in "ifo"]
            return kernel, bare, recurrent[:, -3:].T[order]
        if a % gates == 0 and b <= a // gates:
            rows = True
        elif b % gates == 0 and a <= b // gates:
            rows = False
        elif 3 * a == b or 3 * b == a:
            raise self._error(f"the recurrent kernel is {(a, b)}: three gates, a GRU, not an LSTM")
        else:
            raise self._error(
                f"the recurrent kernel is {(a, b)}; an LSTM with H units has (H, 4H) or (4H, H)"
            )
        if kernel.shape[0 if rows else 1] != (a if rows else b):
            wanted = f"({a}, I)" if rows else f"(I, {b})"
            raise self._error(
                f"the kernel is {kernel.shape}, but the recurrent kernel {(a, b)} has "
                f"{max(a, b) // gates} units, so it should be {wanted}"
            )
        return (kernel, recurrent) if rows else (kernel.T, recurrent.T)

    def _split(self, fused: Array) -> tuple[Array, Array]:
        """Kernel (4H, I) and recurrent kernel (4H, P) of a fused one."""
        by_rows = self._gates_along_rows(fused)
        if by_rows is None:
            raise self._error(*self._no_fused(fused))
        matrix = fused if by_rows else fused.T  # (4H, I + P)
        units = len(matrix) // len(self.how.storage.gates)
        projection = self.tensors.get("projection")
        outputs = units
        if projection is not None and not isinstance(projection, Mapping):
            outputs = min(projection.shape)
        inputs = matrix.shape[1] - outputs
        if self.how.storage.rows == "xh":
            return matrix[:, :inputs], matrix[:, inputs:]
        return matrix[:, outputs:], matrix[:, :outputs]

    def _gates_along_rows(self, fused: Array) -> bool | None:
        """Whether a fused kernel is (4H, I + H), not (I + H, 4H); None if it can be neither."""
        gates, bias = len(self.how.storage.gates), self.tensors.get("bias")
        smallest = 1 if "projection" in self.tensors else 0
        fits = []
        for along_rows, (length, width) in ((False, fused.shape[::-1]), (True, fused.shape)):
            right_bias = not isinstance(bias, np.ndarray) or bias.size == length
            enough = width > (smallest or length // gates)
            if length % gates == 0 and enough and right_bias:
                fits.append(along_rows)
        if len(fits) == 2:  # both axes could hold the gates: the row of the table decides
            return self.how.storage.orientation == "rows"
        return fits[0] if fits else None

    def _no_fused(self, fused: Array) -> tuple[str, ...]:
        """The lines to say of a fused kernel that is none."""
        (a, b), bias = fused.shape, self.tensors.get("bias")
        text = f"the kernel is {fused.shape}"
        if b % 4 == 0 and a <= b // 4:
            return (
                f"{text}; with {b // 4} units a fused kernel [x; h] has more than {b // 4} rows.",
                "  If it holds the inputs' weights alone, name the others: recurrent_kernel=FILE",
            )
        if isinstance(bias, np.ndarray) and bias.size not in (a, b):
            return (f"{text} and the bias {bias.shape}; an LSTM's are (I + H, 4H) and (4H,)",)
        if b % 3 == 0 and a > b // 3:
            return (f"{text}; (I + H, 4H) is an LSTM's, (I + H, 3H) a GRU's or coupled gates'",)
        return (f"{text}; an LSTM's is (I + H, 4H)",)

    def _flipped(self, name: str, blocks: Array) -> Array:
        """Blocks (4, H, K) that were stored transposed, as Keras' CuDNNLSTM keeps them."""
        if self.how.storage.transposed in (name, "both"):
            blocks = blocks.swapaxes(1, 2).reshape(blocks.shape)
        return np.ascontiguousarray(blocks)

    # ---- the rest

    def _bias(self, units: int) -> Array:
        """(4, H): of one bias or two, as often as ``how.storage.bias`` says."""
        own, recurrent = self._gates_of("bias"), self._gates_of("recurrent_bias")
        if self.how.storage.bias_halves == 2 and isinstance(
            bias := self.tensors.get("bias"), np.ndarray
        ):
            flat = bias.reshape(-1)
            if flat.size == 8 * units:
                own, recurrent = (self._in_order(half) for half in np.split(flat, 2))
        zero = np.zeros((4, units), self._dtype())
        own, recurrent = (zero if b is None else b for b in (own, recurrent))
        if own.shape != zero.shape or recurrent.shape != zero.shape:
            found = own.size if own.shape != zero.shape else recurrent.size
            raise self._error(
                f"the bias has {found} numbers; {units} units need {4 * units} (4 gates)"
            )
        with np.errstate(all="ignore"):  # of numbers that are not finite; a remark names them
            return {
                "once": own + recurrent,
                "twice": 2 * (own + recurrent),
                "none": zero,
                "input_only": own,
                "recurrent_only": recurrent,
                "input_twice": 2 * own,
                "recurrent_twice": 2 * recurrent,
            }[self.how.storage.bias]

    def _dtype(self) -> np.dtype[Any]:
        first = next(iter(self.tensors.values()))
        return (next(iter(first.values())) if isinstance(first, Mapping) else first).dtype

    def _in_order(self, flat: Array) -> Array:
        """(4H,) in the bias' order -> (4, H)."""
        gates = len(self.how.storage.order_of("bias"))
        if flat.size % gates:
            raise self._error(f"the bias has {flat.size} numbers, no multiple of {gates} gates")
        return to_blocks(
            flat[:, None], self.how.storage.order_of("bias"), self.how.storage.interleaved
        )[:, :, 0]

    def _gates_of(self, role: str, otherwise: Array | None = None) -> Array | None:
        """(4, H) of a role that has a vector a gate, in one tensor or several."""
        held = self.tensors.get(role)
        if held is None:
            return otherwise
        if not isinstance(held, Mapping):
            return self._in_order(held.reshape(-1))
        vectors = {gate: np.ravel(a) for gate, a in held.items()}
        some = next(iter(vectors.values()))
        home = np.zeros((4, some.size), some.dtype)
        for gate, vector in vectors.items():
            if vector.size != some.size:
                raise self._error(f"the {_words(role)}s of its gates differ in length")
            home[self._place(gate, role)] = vector
        return home

    def _peephole(self) -> Array | None:
        """(3, H) in the order i, f, o; (3, H, H) where they are whole matrices."""
        held = self.tensors.get("peephole")
        if held is None:
            return None
        if isinstance(held, Mapping):
            zero = np.zeros_like(next(iter(held.values())))
            if any(one.shape != zero.shape for one in held.values()):
                raise self._error("the peepholes of its gates differ in shape")
            return np.array([held.get(gate, zero) for gate in "ifo"])
        if held.size % 3:
            raise self._error(f"the peepholes are {held.shape}; three gates' are (3H,)")
        blocks = held.reshape(3, -1)
        return blocks[[self.how.storage.peephole_gates.index(gate) for gate in "ifo"]]

    def _projection(self, units: int, outputs: int) -> Array | None:
        """(P, H). The shape tells how it lies unless P = H."""
        held = self._lone("projection", axes=2)
        if held is None:
            return None
        if held.shape == (outputs, units) and (
            outputs != units or self.how.storage.projection_rows
        ):
            return held
        if held.shape == (units, outputs):
            return np.ascontiguousarray(held.T)
        raise self._error(
            f"the projection is {held.shape}, but the recurrent kernel takes {outputs} numbers "
            f"and there are {units} units: ({outputs}, {units})"
        )

    def _lone(self, role: str, axes: int = 1) -> Array | None:
        held = self.tensors.get(role)
        if held is None or isinstance(held, Mapping):
            return None
        return np.ravel(held) if axes == 1 else held

    def _rows(self, role: str) -> Array | None:
        """(K,), or (B, K) of a state that differs from row to row."""
        held = self._lone(role, axes=2)
        if held is None or held.ndim < 2 or len(held) == 1:
            return self._lone(role)
        return held

    def _check(self, cell: Cell) -> None:
        H = cell.units
        if cell.projection is None and cell.outputs != H:
            raise self._error(
                f"the recurrent kernel takes {cell.outputs} numbers of {H} units: a projection "
                f"({cell.outputs}, {H}) is missing"
            )
        for name in ("peephole", "norm_scale", "norm_shift", "state_scale", "state_shift"):
            array = getattr(cell, name)
            if array is not None and array.shape[-1] != H:
                raise self._error(f"the {_words(name)} is {array.shape}, but there are {H} units")

    def _error(self, text: str, *further: str) -> UserError:
        return UserError(f"{self.source}: {text}{'' if further else '.'}", *further)


def _words(role: str) -> str:
    return "kernel" if role == "fused" else role.replace("_", " ")
