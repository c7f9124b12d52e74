"""Tensors in some convention as a `Cell`, and the permutations of gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError

Tensor = Array | Mapping[str, Array]  # one, or that of each gate
Tensors = Mapping[str, Tensor]  # by role


def each_array(tensor: Tensor, change: Callable[[Array], Array]) -> Tensor:
    """A tensor, or that of each gate, changed."""
    if isinstance(tensor, Mapping):
        return {gate: change(array) for gate, array in tensor.items()}
    return change(tensor)


def to_blocks(matrix: Array, order: str, interleaved: bool = False) -> Array:
    """(4H, K), gates in some order -> (4, H, K), gates i f g o.

    An order of three gates, of a coupled cell, leaves zeros for the fourth.
    """
    gates, width = len(order), matrix.shape[1]
    if interleaved:  # row 4u + k is gate k of unit u
        blocks = matrix.reshape(-1, gates, width).swapaxes(0, 1)
    else:
        blocks = matrix.reshape(gates, -1, width)
    # one copy, in C order: an index would keep the order of memory
    stacked = np.zeros((4, *blocks.shape[1:]), matrix.dtype)
    for block, gate in zip(blocks, order, strict=True):
        stacked[GATES.index(gate)] = block
    return stacked


def from_blocks(blocks: Array, order: str, interleaved: bool = False) -> Array:
    """The inverse of `to_blocks`: (4, H, K) -> (4H, K)."""
    blocks = blocks[[GATES.index(gate) for gate in order]]
    if interleaved:
        blocks = blocks.swapaxes(0, 1)
    return blocks.reshape(-1, blocks.shape[2])


def decode(tensors: Tensors, convention: Convention, source: str) -> Cell:
    """The cell that these tensors are under a convention, its settings already changed.

    By role: ``kernel`` and ``recurrent_kernel``, or ``fused`` with both;
    optionally ``bias``, ``recurrent_bias``, ``peephole``, ``projection`` and
    the other fields of `Cell`. UserError, with the shapes that would fit, for
    others.
    """
    with np.errstate(
        all="ignore"
    ):  # of NaN or infinite weights; the run shows the effect
        return _Decoder(tensors, convention, source).cell()


def split_directions(
    tensors: Tensors, convention: Convention, source: str
) -> list[Tensors]:
    """The tensors of each direction, where directions are the first axis.

    UserError if that axis is not 1 or 2 in all of them.
    """
    arrays = {role: t for role, t in tensors.items() if not isinstance(t, Mapping)}
    if not convention.storage.direction_axis or all(
        a.ndim < 3 for a in arrays.values()
    ):
        return [tensors]
    directions = {a.shape[:1] for a in arrays.values()}
    if directions not in ({(1,)}, {(2,)}):
        found = ", ".join(f"{_role_name(role)} {a.shape}" for role, a in arrays.items())
        raise UserError(
            f"{source}: {found}; the first axis of each is the directions, 1 or 2."
        )
    return [
        {role: a[d] for role, a in arrays.items()} for d in range(*directions.pop())
    ]


def pair_directions(cells: list[tuple[Cell, ...]]) -> list[tuple[Cell, ...]]:
    """Layers of one or two cells, from cells with one running number, as of Chainer's NStepBiLSTM.

    Two directions of a layer take the same inputs, a second layer the outputs
    of the first.
    """
    single = [cell for (cell,) in cells]
    if len(single) < 2 or len(single) % 2 or single[0].inputs != single[1].inputs:
        return cells
    if single[1].inputs == single[0].outputs and len(single) == 2:
        return cells  # a stack or two directions: interpreted as a stack
    return [(single[n], single[n + 1]) for n in range(0, len(single), 2)]


def fold_weight_norm(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors with PyTorch's weight norm multiplied out: W = g v / |v|, row by row.

    The old form is ``weight_hh_l0_g`` and ``_v``, the new one
    ``parametrizations.weight_hh_l0.original0`` and ``original1``.
    """
    folded = dict(tensors)
    for name in tensors:
        if name.endswith("_g"):
            product, direction = name[:-2], name[:-2] + "_v"
        elif name.endswith(".original0"):
            product = name.removesuffix(".original0").replace(
                "parametrizations.", "", 1
            )
            direction = name[:-1] + "1"
        else:
            continue
        g, v = tensors[name], tensors.get(direction)
        by_row = v is not None and v.ndim == 2 and g.shape == (len(v), 1)
        if v is not None and by_row and product not in tensors:
            del folded[name], folded[direction]
            with np.errstate(all="ignore"):  # a row of zeros becomes NaN, as in PyTorch
                folded[product] = g * v / np.sqrt((v * v).sum(axis=1, keepdims=True))
    return folded


def units_along_rows(shapes: Mapping[str, tuple[int, ...]]) -> bool | None:
    """Tell whether the tensors of one gate, by role, have the units first; None if it is open.

    As many inputs as units leave it open, unless the bias is (H, 1) or (1, H).
    """
    if fused := shapes.get("fused"):
        return fused[0] < fused[-1]  # (H, I + H)
    kernel, recurrent, bias = (
        shapes.get(k, ()) for k in ("kernel", "recurrent_kernel", "bias")
    )
    first, last = kernel[:1] == recurrent[:1], kernel[1:] == recurrent[1:]
    if first != last:
        return first
    if len(bias) == 2 and bias[0] != bias[1]:  # added to a column, or to a row
        return bias[1] == 1
    return None


_BIASES: dict[
    str, Callable[[Array, Array], Array]
] = {  # of the input's and the recurrent one
    "once": lambda first, second: first + second,
    "twice": lambda first, second: 2 * (first + second),
    "none": lambda first, second: np.zeros_like(first),
    "input_only": lambda first, second: first,
    "recurrent_only": lambda first, second: second,
    "input_twice": lambda first, second: 2 * first,
    "recurrent_twice": lambda first, second: 2 * second,
}


class _Decoder:
    def __init__(self, tensors: Tensors, convention: Convention, source: str) -> None:
        self.tensors, self.convention, self.storage = (
            tensors,
            convention,
            convention.storage,
        )
        self.source = source
        self.along_rows = (
            convention.storage.orientation == "rows"
        )  # until the shapes show it

    def cell(self) -> Cell:
        kernel, recurrent, peephole = self._kernels()
        convention = self._coupled()
        orientation = "rows" if self.along_rows else "cols"
        if orientation != convention.storage.orientation:
            storage = replace(convention.storage, orientation=orientation)
            convention = replace(convention, storage=storage)
        if peephole is None:
            peephole = self._peephole()
        units = recurrent.shape[1]
        projection = self._projection(units, recurrent.shape[2])
        norm = self._gates_of("norm_scale")
        bias = self._bias(units, kernel.dtype)
        cell = Cell(
            kernel=self._undo_transposed("kernel", kernel),
            recurrent_kernel=self._undo_transposed("recurrent", recurrent),
            bias=bias,
            convention=convention,
            peephole=None if convention.behaviour.peepholes == "ignored" else peephole,
            projection=projection,
            projection_bias=self._ungated("projection_bias"),
            norm_scale=norm,
            # added after the norm: beta, or in TFLite the gate's bias
            norm_shift=None
            if norm is None
            else self._gates_of("norm_shift", otherwise=bias),
            state_scale=self._ungated("state_scale"),
            state_shift=self._ungated("state_shift"),
            initial_h=self._initial_state("initial_h"),
            initial_c=self._initial_state("initial_c"),
        )
        self._check(cell)
        return cell

    def _coupled(self) -> Convention:
        kernel = self.tensors.get("kernel")
        if isinstance(kernel, Mapping):
            for gate, coupled in self.storage.absent.items():
                if gate not in kernel:
                    return self.convention.with_behaviour(coupled=coupled)
        return self.convention

    # ---- kernels

    def _kernels(self) -> tuple[Array, Array, Array | None]:
        """Kernel (4, H, I), recurrent kernel (4, H, P), and peepholes in its columns."""
        if isinstance(fused := self.tensors.get("fused"), Mapping):
            matrix = self._per_gate("fused")  # (4, H, I + H)
            return *self._halves(matrix, matrix.shape[1]), None
        if fused is not None:
            matrices: tuple[Array, ...] = self._split(self._matrix("fused"))
        elif isinstance(self.tensors["kernel"], Mapping):
            return self._per_gate("kernel"), self._per_gate("recurrent_kernel"), None
        else:
            matrices = self._gates_first(
                *map(self._matrix, ("kernel", "recurrent_kernel"))
            )
        kernel, recurrent = (
            to_blocks(m, self.storage.order_of(name), self.storage.interleaved)
            for name, m in zip(("kernel", "recurrent"), matrices, strict=False)
        )
        peephole = matrices[2] if len(matrices) == 3 else None
        return kernel, recurrent, peephole

    def _matrix(self, role: str) -> Array:
        matrix = self.tensors[role]
        if isinstance(matrix, Mapping) or matrix.ndim != 2 or 0 in matrix.shape:
            shape = "in pieces" if isinstance(matrix, Mapping) else matrix.shape
            raise self._error(
                f"the {_role_name(role)} is {shape}; an LSTM's has two axes, none empty"
            )
        if self.storage.is_reshaped(role):
            return matrix.reshape(matrix.shape[::-1]).T
        return matrix

    def _per_gate(self, role: str) -> Array:
        """(4, H, K) from one tensor per gate."""
        tensor = self.tensors[role]
        assert isinstance(tensor, Mapping)
        shapes = {a.shape for a in tensor.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise self._error(
                f"the {_role_name(role)}s of its gates are {sorted(shapes)}; all alike"
            )
        per_gate = {
            k: [*t.values()] for k, t in self.tensors.items() if isinstance(t, Mapping)
        }
        shown = units_along_rows({k: arrays[0].shape for k, arrays in per_gate.items()})
        self.along_rows = self.storage.orientation == "rows" if shown is None else shown
        return self._stacked(
            {g: a if self.along_rows else a.T for g, a in tensor.items()}, role
        )

    def _stacked(self, arrays: Mapping[str, Array], role: str) -> Array:
        """(4, ...) from an array per gate; a changed order permutes the gates' names."""
        some = next(iter(arrays.values()))
        stacked = np.zeros((4, *some.shape), some.dtype)
        usual = CONVENTIONS[self.convention.name].storage.gates
        word = role.split("_")[0] if role.endswith("kernel") else "bias"
        order = self.storage.order_of(word)
        changed = (
            dict(zip(usual, order, strict=True)) if len(order) == len(usual) else {}
        )
        for gate, array in arrays.items():
            stacked[GATES.index(changed.get(gate, gate))] = array
        return stacked

    def _gates_first(self, kernel: Array, recurrent: Array) -> tuple[Array, ...]:
        """Kernel (4H, I), recurrent kernel (4H, P) and perhaps peepholes (3, H).

        The shape of the recurrent kernel decides the orientation of both: P is
        at most H.
        """
        gates = len(self.storage.gates)
        a, b = recurrent.shape
        if self.storage.peephole_columns and b == 4 * a + 3:
            kernel, bare = self._gates_first(kernel, recurrent[:, :-3])
            order = [self.storage.peephole_gates.index(gate) for gate in "ifo"]
            return kernel, bare, recurrent[:, -3:].T[order]
        if a % gates == 0 and b <= a // gates:
            rows = True
        elif b % gates == 0 and a <= b // gates:
            rows = False
        elif 3 * a == b or 3 * b == a:
            raise self._error(
                f"the recurrent kernel is {(a, b)}: three gates, a GRU, not an LSTM"
            )
        else:
            raise self._error(
                f"the recurrent kernel is {(a, b)}; an LSTM with H units has (H, 4H) or (4H, H)"
            )
        if kernel.shape[0 if rows else 1] != (a if rows else b):
            expected = f"({a}, I)" if rows else f"(I, {b})"
            raise self._error(
                f"the kernel is {kernel.shape}, but the recurrent kernel {(a, b)} has "
                f"{max(a, b) // gates} units, so it should be {expected}"
            )
        self.along_rows = rows
        return (kernel, recurrent) if rows else (kernel.T, recurrent.T)

    def _split(self, fused: Array) -> tuple[Array, Array]:
        """Kernel (4H, I) and recurrent kernel (4H, P) of a fused one."""
        by_rows = self._gates_along_rows(fused)
        if by_rows is None:
            raise self._error(*self._no_fused(fused))
        self.along_rows = by_rows
        matrix = fused if by_rows else fused.T  # (4H, I + P)
        units = len(matrix) // len(self.storage.gates)
        projection = self._ungated("projection", axes=2)
        outputs = units
        if projection is not None:
            outputs = min(projection.shape, default=0)
        if self.storage.extra_columns:
            first = self.storage.bias_row == "first"
            self.tensors = {**self.tensors, "bias": matrix[:, 0 if first else -1]}
            matrix = matrix[:, 1:] if first else matrix[:, :-1]
        if projection is not None and not 0 < outputs < matrix.shape[1]:
            raise self._error(
                f"the kernel is {fused.shape} and the projection {projection.shape}; with "
                f"{units} units and P outputs these are (I + P, {len(matrix)}) and (P, {units})"
            )
        kernel, recurrent = self._halves(matrix, outputs)
        return kernel, recurrent

    def _halves(self, matrix: Array, outputs: int) -> tuple[Array, Array]:
        """The columns of the inputs and those of h of (..., I + P)."""
        inputs = matrix.shape[-1] - outputs
        if self.storage.rows == "xh":
            return matrix[..., :inputs], matrix[..., inputs:]
        return matrix[..., outputs:], matrix[..., :outputs]

    def _gates_along_rows(self, fused: Array) -> bool | None:
        """Return whether a fused kernel is (4H, I + H), not (I + H, 4H); None if neither."""
        gates, bias = len(self.storage.gates), self.tensors.get("bias")
        smallest = 1 if "projection" in self.tensors else 0
        fits = []
        for along_rows, (length, width) in (
            (False, fused.shape[::-1]),
            (True, fused.shape),
        ):
            right_bias = not isinstance(bias, np.ndarray) or bias.size == length
            enough = width - self.storage.extra_columns > (smallest or length // gates)
            if length % gates == 0 and enough and right_bias:
                fits.append(along_rows)
        if len(fits) == 2:  # either axis may be the gates': the row decides
            return self.storage.orientation == "rows"
        return fits[0] if fits else None

    def _no_fused(self, fused: Array) -> tuple[str, ...]:
        (a, b), bias = fused.shape, self.tensors.get("bias")
        text = f"the kernel is {fused.shape}"
        if b % 4 == 0 and a <= b // 4 and "projection" not in self.tensors:
            return (
                f"{text}; with {b // 4} units and no projection, a fused kernel [x; h] has more "
                f"than {b // 4} rows.",
                "  If it is the input kernel only, name the other: recurrent_kernel=FILE",
            )
        if isinstance(bias, np.ndarray) and bias.size not in (a, b):
            return (
                f"{text} and the bias {bias.shape}; an LSTM has (I + H, 4H) and (4H,)",
            )
        return (
            f"{text}; an LSTM has (I + H, 4H); a GRU or coupled gates, (I + H, 3H)",
        )

    def _undo_transposed(self, name: str, blocks: Array) -> Array:
        """Blocks (4, H, K) stored transposed, as by Keras' CuDNNLSTM."""
        if self.storage.transposed in (name, "both"):
            blocks = blocks.swapaxes(1, 2).reshape(blocks.shape)
        return np.ascontiguousarray(blocks)

    # ---- the rest

    def _bias(self, units: int, dtype: np.dtype[Any]) -> Array:
        """(4, H): of one bias or two, as many times as ``storage.bias`` says."""
        first, second = self._gates_of("bias"), self._gates_of("recurrent_bias")
        bias, halves = self.tensors.get("bias"), self.storage.bias_halves == 2
        if halves and isinstance(bias, np.ndarray) and bias.size == 8 * units:
            first, second = (
                self._in_order(half) for half in np.split(bias.reshape(-1), 2)
            )
        zero = np.zeros((4, units), dtype)
        first, second = (zero if b is None else b for b in (first, second))
        if first.shape != zero.shape or second.shape != zero.shape:
            found = first.size if first.shape != zero.shape else second.size
            raise self._error(
                f"the bias has {found} numbers; {units} units need {4 * units} (4 gates)"
            )
        with np.errstate(all="ignore"):  # of numbers that are not finite
            return _BIASES[self.storage.bias](first, second)

    def _in_order(self, flat: Array) -> Array:
        """(4H,) in the bias' order -> (4, H)."""
        order = self.storage.order_of("bias")
        if flat.size % len(order):
            text = (
                f"the bias has {flat.size} numbers, no multiple of {len(order)} gates"
            )
            raise self._error(text)
        return to_blocks(flat[:, None], order, self.storage.interleaved)[:, :, 0]

    def _gates_of(self, role: str, otherwise: Array | None = None) -> Array | None:
        """(4, H) of a role that has a vector per gate, in one tensor or several."""
        tensor = self.tensors.get(role)
        if tensor is None:
            return otherwise
        if not isinstance(tensor, Mapping):
            return self._in_order(tensor.reshape(-1))
        vectors = {gate: np.ravel(a) for gate, a in tensor.items()}
        if len({vector.size for vector in vectors.values()}) > 1:
            raise self._error(f"the {_role_name(role)}s of its gates differ in length")
        return self._stacked(vectors, role)

    def _peephole(self) -> Array | None:
        """(3, H) in the order i, f, o; (3, H, H) of full matrices."""
        tensor = self.tensors.get("peephole")
        if tensor is None:
            return None
        if isinstance(tensor, Mapping):
            if not self.convention.names.peephole_matrices:
                tensor = {gate: np.ravel(a) for gate, a in tensor.items()}
            zero = np.zeros_like(next(iter(tensor.values())))
            if any(one.shape != zero.shape for one in tensor.values()):
                raise self._error("the peepholes of its gates differ in shape")
            return np.array([tensor.get(gate, zero) for gate in "ifo"])
        if tensor.size % 3:
            raise self._error(
                f"the peepholes are {tensor.shape}; three gates' are (3H,)"
            )
        blocks = tensor.reshape(3, -1)
        return blocks[[self.storage.peephole_gates.index(gate) for gate in "ifo"]]

    def _projection(self, units: int, outputs: int) -> Array | None:
        """(P, H). The shape decides the orientation unless P = H."""
        tensor = self._ungated("projection", axes=2)
        if tensor is None:
            return None
        is_square = outputs == units
        if tensor.shape == (outputs, units) and (
            self.storage.projection_rows or not is_square
        ):
            return tensor
        if tensor.shape == (units, outputs):
            return np.ascontiguousarray(tensor.T)
        raise self._error(
            f"the projection is {tensor.shape}, but the recurrent kernel takes {outputs} numbers "
            f"and there are {units} units: ({outputs}, {units})"
        )

    def _ungated(self, role: str, axes: int = 1) -> Array | None:
        tensor = self.tensors.get(role)
        if tensor is None or isinstance(tensor, Mapping):
            return None
        return np.ravel(tensor) if axes == 1 else tensor

    def _initial_state(self, role: str) -> Array | None:
        """(K,), or (B, K) of a state that differs between batch items."""
        tensor = self._ungated(role, axes=2)
        if tensor is None or tensor.ndim < 2 or len(tensor) == 1:
            return self._ungated(role)
        return tensor

    def _check(self, cell: Cell) -> None:
        H = cell.units
        if cell.projection is None and cell.outputs != H:
            raise self._error(
                f"the recurrent kernel takes {cell.outputs} numbers of {H} units: a projection "
                f"({cell.outputs}, {H}) is missing"
            )
        if (others := cell.recurrent_kernel.shape[1]) != H:
            raise self._error(
                f"the kernel has {H} units and the recurrent kernel {others}"
            )
        axes = (3, H, H) if self.convention.names.peephole_matrices else (3, H)
        expected = {"peephole": axes, "norm_scale": (4, H), "norm_shift": (4, H)}
        for name in (*expected, "state_scale", "state_shift"):
            array = getattr(cell, name)
            if array is not None and array.shape != expected.get(name, (H,)):
                raise self._error(
                    f"the {_role_name(name)} is {array.shape}, but there are {H} units"
                )
        bias, gives = (
            cell.projection_bias,
            f"the projection gives {cell.outputs} numbers",
        )
        if cell.projection is None:
            gives = "there is no projection"
        if bias is not None and (
            cell.projection is None or bias.shape != (cell.outputs,)
        ):
            raise self._error(f"the projection bias is {bias.shape}, but {gives}")

    def _error(self, text: str, *further: str) -> UserError:
        return UserError(f"{self.source}: {text}{'' if further else '.'}", *further)


def _role_name(role: str) -> str:
    return "kernel" if role == "fused" else role.replace("_", " ")
