"""A `Cell` as the named tensors of any convention: the inverse of `decode` and `recognise`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.decode import Tensors, from_blocks

EncodedTensors = dict[str, "Array | Mapping[str, Array]"]

UNGATED = ("projection_bias", "state_scale", "state_shift")  # vectors without gates
INITIAL = ("initial_h", "initial_c")


def encode(cell: Cell, convention: Convention) -> Tensors:
    """The tensors of a cell under a convention, by role, or by role and gate.

    The cell must fit the row (`compatibility.fit_or_refuse`) and have its forget bias folded into
    its bias (`fold_forget_bias`). A `Cell` has one bias: of a row's two, the first takes it and the
    other is zero. What the row has no role for is left out.
    """
    return _Encoder(cell, convention).tensors()


def fold_forget_bias(cell: Cell, convention: Convention) -> Cell:
    """The cell under another convention; the difference in forget bias is added to its bias.

    The sum is rounded to the cell's dtype. A forget gate that is 1 - i has neither. A learned
    initial state is dropped where ``initial_state`` is "zero".
    """
    source = cell.convention
    if source.behaviour.initial_state == "zero":
        cell = replace(cell, initial_h=None, initial_c=None)
    more = cell.dtype.type(source.behaviour.forget_bias - convention.behaviour.forget_bias)
    if more == 0 or convention.behaviour.coupled == "f=1-i":
        return replace(cell, convention=convention)
    bias, shift = cell.bias, cell.norm_shift
    if shift is None or "norm_shift" not in convention.roles:
        bias = bias.copy()  # (4, H)
        bias[GATES.index("f")] += more
    if shift is not None:
        shift = shift.copy()  # (4, H)
        shift[GATES.index("f")] += more
    return replace(cell, convention=convention, bias=bias, norm_shift=shift)


def present_gates(convention: Convention) -> str:
    """The gates that have tensors: all but one that is computed from another."""
    missing = {
        gate
        for gate, coupled in convention.storage.absent.items()
        if coupled == convention.behaviour.coupled
    }
    return "".join(gate for gate in convention.storage.letters if gate not in missing)


def stack_directions(cells: list[Tensors]) -> Tensors:
    """The tensors of a layer's directions, on a first axis."""
    roles = cells[0]
    return {role: np.stack([np.asarray(one[role]) for one in cells]) for role in roles}


class _Encoder:
    def __init__(self, cell: Cell, convention: Convention) -> None:
        self.cell, self.convention, self.storage = cell, convention, convention.storage
        self.gates = present_gates(convention)

    def tensors(self) -> Tensors:
        tensors: EncodedTensors = dict(self._kernels())
        tensors |= self._biases()
        tensors |= self._peepholes()
        if (projection := self.cell.projection) is not None:
            tensors["projection"] = projection if self.storage.projection_rows else projection.T
        for role in ("norm_scale", "norm_shift"):
            if (array := getattr(self.cell, role)) is not None:
                tensors[role] = self._by_gate(role, array)
        tensors |= {role: a for role in UNGATED if (a := getattr(self.cell, role)) is not None}
        states = {role: a for role in INITIAL if (a := getattr(self.cell, role)) is not None}
        tensors |= {role: np.atleast_2d(a) for role, a in states.items()}  # (1, H) or (B, H)
        for role, a in tensors.items():
            if isinstance(a, np.ndarray) and self.storage.is_reshaped(role):
                tensors[role] = a.T.reshape(a.shape)
        if self.storage.extra_columns:  # the bias is in the fused kernel
            del tensors["bias"]
        for role, a in tensors.items():
            if isinstance(a, Mapping):
                tensors[role] = {gate: np.ascontiguousarray(one) for gate, one in a.items()}
            else:
                tensors[role] = np.ascontiguousarray(a)
        return {role: a for role, a in tensors.items() if role in self.convention.roles}

    # ---- kernels

    def _kernels(self) -> Iterator[tuple[str, Array | Mapping[str, Array]]]:
        convention = self.convention
        kernel = self._transpose_blocks("kernel", self.cell.kernel)  # (4, H, I)
        recurrent = self._transpose_blocks("recurrent", self.cell.recurrent_kernel)  # (4, H, P)
        if convention.names.has_tensor_per_gate and "fused" in convention.names.tensors:
            yield "fused", self._per_gate(self._joined(kernel, recurrent))
            return
        if convention.names.has_tensor_per_gate:
            yield "kernel", self._per_gate(kernel)
            yield "recurrent_kernel", self._per_gate(recurrent)
            return
        kernel, recurrent = (
            self._in_order(blocks, name)  # (4H, I), (4H, P)
            for name, blocks in (("kernel", kernel), ("recurrent", recurrent))
        )
        if "fused" in convention.names.tensors:
            parts = [self._joined(kernel, recurrent)]
            if self.storage.extra_columns:
                bias = self._in_order(self.cell.bias[:, :, None], "bias")  # (4H, 1)
                parts.insert(0 if self.storage.bias_row == "first" else 1, bias)
            yield "fused", self._oriented(np.concatenate(parts, axis=1))
            return
        yield "kernel", self._oriented(kernel)
        recurrent = self._oriented(recurrent)
        if self.storage.peephole_columns and self.cell.peephole is not None:
            recurrent = np.concatenate([recurrent, self._peephole_rows().T], axis=1)
        yield "recurrent_kernel", recurrent

    def _joined(self, kernel: Array, recurrent: Array) -> Array:
        """The columns of inputs and h, (..., I + P), in the order of the convention's rows."""
        pair = (kernel, recurrent) if self.storage.rows == "xh" else (recurrent, kernel)
        return np.concatenate(pair, axis=-1)

    def _in_order(self, blocks: Array, tensor: str) -> Array:
        """(4, H, K) as (4H, K), in the convention's gate order of a tensor."""
        return from_blocks(blocks, self.storage.order_of(tensor), self.storage.interleaved)

    def _transpose_blocks(self, name: str, blocks: Array) -> Array:
        """Blocks (4, H, K), each transposed if the convention stores them so."""
        if self.storage.transposed not in (name, "both"):
            return blocks
        _, units, width = blocks.shape
        return blocks.reshape(4, width, units).swapaxes(1, 2)

    def _per_gate(self, blocks: Array) -> Mapping[str, Array]:
        return {gate: self._oriented(blocks[GATES.index(gate)]) for gate in self.gates}

    def _oriented(self, matrix: Array) -> Array:
        return matrix if self.storage.orientation == "rows" else matrix.T

    # ---- vectors

    def _by_gate(self, role: str, array: Array) -> Array | Mapping[str, Array]:
        """(4, H) in the order of the bias, or a vector per gate."""
        convention = self.convention
        template = convention.names.tensors.get(role, "")
        if "{gate}" in template or any(r.startswith(f"{role}.") for r in convention.names.numbered):
            return {gate: array[GATES.index(gate)] for gate in self.gates}
        return self._in_order(array[:, :, None], "bias")[:, 0]

    def _biases(self) -> EncodedTensors:
        convention, bias = self.convention, self.cell.bias
        if self.cell.norm_scale is not None:
            if "norm_shift" in convention.roles:  # it replaces the bias
                return {}
            bias = bias if self.cell.norm_shift is None else self.cell.norm_shift
        roles = [role for role in ("bias", "recurrent_bias") if role in convention.roles]
        tensors: EncodedTensors = {role: self._by_gate(role, np.zeros_like(bias)) for role in roles}
        tensors[roles[0]] = self._by_gate(roles[0], bias)
        if self.storage.bias_halves == 2:
            flat = tensors["bias"]
            assert isinstance(flat, np.ndarray)
            tensors["bias"] = np.concatenate([flat, np.zeros_like(flat)])
        return tensors

    def _peepholes(self) -> EncodedTensors:
        peephole, convention = self.cell.peephole, self.convention
        if peephole is None and convention.names.peephole_matrices:  # its cells always have them
            peephole = np.zeros((3, self.cell.units, self.cell.units), self.cell.dtype)
        if peephole is None or self.storage.peephole_columns:
            return {}
        if (
            "{gate}" in convention.names.tensors.get("peephole", "")
            or convention.names.peephole_matrices
        ):
            return {"peephole": {g: peephole["ifo".index(g)] for g in self.gates if g != "g"}}
        return {"peephole": self._peephole_rows().reshape(-1)}

    def _peephole_rows(self) -> Array:
        """(3, H) in the row's order."""
        assert self.cell.peephole is not None
        return self.cell.peephole[["ifo".index(gate) for gate in self.storage.peephole_gates]]


# ---- names


def named_tensors(layers: Sequence[Sequence[Cell]], convention: Convention) -> dict[str, Array]:
    """The tensors of a network under a convention's names: layers, in each its directions."""
    forms = prefix_forms(convention, layers)
    assert forms is not None, "fit_or_refuse refuses directions without names"
    named: dict[str, Array] = {}
    for n, layer in enumerate(layers):
        cells = [encode(cell, convention) for cell in layer]
        if convention.storage.direction_axis:
            cells = [stack_directions(cells)]
        for d, tensors in enumerate(cells):
            number = n * len(layer) + d if convention.storage.directions_count else n
            pair = convention.names.pairs if len(layer) == 2 else ""
            each = (
                (role, gate, array)
                for role, tensor in tensors.items()
                for gate, array in (tensor if isinstance(tensor, Mapping) else {"": tensor}).items()
            )
            for role, gate, array in each:
                form = forms[n] + _template(convention, role, gate, 0 if pair else n)
                if pair and (builder := 2 * n + d):
                    form = form.replace("{builder}", f"_{builder}")
                form = f"{pair}/{form}" if pair else form
                nth = forms[:n].count(forms[n])  # Keras numbers each class of layers
                name = form.format(
                    gate=convention.names.word(gate, role) if gate else "",
                    layer=number,
                    nth=f"_{nth}" if nth else "",
                    builder="",
                    direction=convention.names.direction_marks[d],
                )
                named[name] = array
    return named


def prefix_forms(convention: Convention, layers: Sequence[Sequence[Cell]]) -> list[str] | None:
    """Return what is written before the templates of each layer; None if the row has no such names.

    Layers of one direction and of two are stored together only if their prefixes
    differ, or if there is an axis of directions.
    """
    forms = [_prefix_form(convention, len(layers), len(layer) == 2) for layer in layers]
    mixed = len(set(map(len, layers))) > 1 and not convention.storage.direction_axis
    names = [form for form in forms if form is not None and ("{nth}" in form or not mixed)]
    return names if len(names) == len(layers) else None


def _prefix_form(convention: Convention, layers: int, both: bool) -> str | None:
    """The first form of ``under`` that has the layer and direction where the templates do not."""
    templates = "".join(convention.names.tensors.values())
    needs = set()
    if layers > 1 and "{layer}" not in templates and "{number}" not in templates:
        needs.add("layer")
    if both and not (
        "{direction}" in templates
        or "{builder}" in templates
        or convention.storage.direction_axis
        or convention.storage.directions_count
    ):
        needs.add("direction")
    for form in convention.names.under.split(" | "):
        given = {"layer"} if "{layer}" in form or "{nth}" in form else set()
        given |= {"direction"} if "{direction}" in form else set()
        if needs <= given:
            return form
    return None


def _template(convention: Convention, role: str, gate: str, layer: int) -> str:
    if role in convention.names.tensors:
        return convention.names.tensors[role].split(" | ")[0]
    place = convention.names.numbered.index(f"{role}.{gate}" if gate else role)
    number = layer * len(convention.names.numbered) + place
    return convention.names.tensors["numbered"].replace("{number}", str(number))
