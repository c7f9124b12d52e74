"""From the home form to the tensors of any convention: the inverse of `decode`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES
from lstmcli.core.weights.decode import Tensors, from_blocks
from lstmcli.core.weights.templates import direction_marks, has_tensor_per_gate, is_reshaped

EncodedTensors = dict[str, "Array | Mapping[str, Array]"]

UNGATED = ("projection_bias", "state_scale", "state_shift")  # vectors without gates
INITIAL = ("initial_h", "initial_c")


def encode(cell: Cell, how: Convention) -> Tensors:
    """The tensors of a cell under a convention, by role, or by role and gate.

    The cell must fit the row (`compatibility.fit_or_refuse`) and have its forget bias folded into
    its bias (`fold_forget_bias`). A `Cell` has one bias: of a row's two, the first takes it and the
    other is zero. What the row has no role for is left out.
    """
    return _Encoder(cell, how).tensors()


def fold_forget_bias(cell: Cell, how: Convention) -> Cell:
    """The cell under another convention; the difference in forget bias is added to its bias.

    The sum is rounded to the cell's dtype. A forget gate that is 1 - i has neither. A learned
    initial state is dropped where ``initial_state`` is "zero".
    """
    own = cell.convention
    if own.behaviour.initial_state == "zero":
        cell = replace(cell, initial_h=None, initial_c=None)
    more = cell.dtype.type(own.behaviour.forget_bias - how.behaviour.forget_bias)
    if more == 0 or how.behaviour.coupled == "f=1-i":
        return replace(cell, convention=how)
    bias, shift = cell.bias, cell.norm_shift
    if shift is None or "norm_shift" not in how.roles:
        bias = bias.copy()  # (4, H)
        bias[GATES.index("f")] += more
    if shift is not None:
        shift = shift.copy()  # (4, H)
        shift[GATES.index("f")] += more
    return replace(cell, convention=how, bias=bias, norm_shift=shift)


def present_gates(how: Convention) -> str:
    """The gates that have tensors: not one that the coupling makes of another."""
    missing = {
        gate for gate, coupled in how.storage.absent.items() if coupled == how.behaviour.coupled
    }
    return "".join(gate for gate in how.storage.letters if gate not in missing)


def stack_directions(cells: list[Tensors]) -> Tensors:
    """The tensors of a layer's directions, on a first axis."""
    roles = cells[0]
    return {role: np.stack([np.asarray(one[role]) for one in cells]) for role in roles}


class _Encoder:
    def __init__(self, cell: Cell, how: Convention) -> None:
        self.cell, self.how = cell, how
        self.gates = present_gates(how)

    def tensors(self) -> Tensors:
        held: EncodedTensors = dict(self._kernels())
        held |= self._biases()
        held |= self._peepholes()
        if (projection := self.cell.projection) is not None:
            held["projection"] = projection if self.how.storage.projection_rows else projection.T
        for role in ("norm_scale", "norm_shift"):
            if (array := getattr(self.cell, role)) is not None:
                held[role] = self._by_gate(role, array)
        held |= {role: a for role in UNGATED if (a := getattr(self.cell, role)) is not None}
        states = {role: a for role in INITIAL if (a := getattr(self.cell, role)) is not None}
        held |= {role: np.atleast_2d(a) for role, a in states.items()}  # (1, H) or (B, H)
        for role, a in held.items():
            if isinstance(a, np.ndarray) and is_reshaped(self.how, role):
                held[role] = a.T.reshape(a.shape)
        return {role: _contiguous(a) for role, a in held.items() if role in self.how.roles}

    # ---- kernels

    def _kernels(self) -> Iterator[tuple[str, Array | Mapping[str, Array]]]:
        how = self.how
        kernel = self._flipped("kernel", self.cell.kernel)  # (4, H, I)
        recurrent = self._flipped("recurrent", self.cell.recurrent_kernel)  # (4, H, P)
        if has_tensor_per_gate(how):
            yield "kernel", self._apart(kernel)
            yield "recurrent_kernel", self._apart(recurrent)
            return
        kernel, recurrent = (
            from_blocks(
                blocks, how.storage.order_of(name), how.storage.interleaved
            )  # (4H, I), (4H, P)
            for name, blocks in (("kernel", kernel), ("recurrent", recurrent))
        )
        if "fused" in how.names.tensors:
            pair = (kernel, recurrent) if how.storage.rows == "xh" else (recurrent, kernel)
            yield "fused", self._oriented(np.concatenate(pair, axis=1))
            return
        yield "kernel", self._oriented(kernel)
        recurrent = self._oriented(recurrent)
        if how.storage.peephole_columns and self.cell.peephole is not None:
            recurrent = np.concatenate([recurrent, self._peephole_rows().T], axis=1)
        yield "recurrent_kernel", recurrent

    def _flipped(self, name: str, blocks: Array) -> Array:
        """Blocks (4, H, K) as they lie where each is stored transposed."""
        if self.how.storage.transposed not in (name, "both"):
            return blocks
        _, units, width = blocks.shape
        return blocks.reshape(4, width, units).swapaxes(1, 2)

    def _apart(self, blocks: Array) -> Mapping[str, Array]:
        return {gate: self._oriented(blocks[GATES.index(gate)]) for gate in self.gates}

    def _oriented(self, matrix: Array) -> Array:
        """A matrix with the gates along its rows, as the row of the table has it."""
        return matrix if self.how.storage.orientation == "rows" else matrix.T

    # ---- vectors

    def _by_gate(self, role: str, array: Array) -> Array | Mapping[str, Array]:
        """(4, H) in the order of the bias, or a vector a gate."""
        how = self.how
        template = how.names.tensors.get(role, "")
        if "{gate}" in template or any(r.startswith(f"{role}.") for r in how.names.numbered):
            return {gate: array[GATES.index(gate)] for gate in self.gates}
        flat: Array = from_blocks(
            array[:, :, None], how.storage.order_of("bias"), how.storage.interleaved
        )[:, 0]
        return flat

    def _biases(self) -> EncodedTensors:
        """The bias where the row keeps it, and zero where it keeps a second one."""
        how, bias = self.how, self.cell.bias
        if self.cell.norm_scale is not None:
            if "norm_shift" in how.roles:  # it has taken the bias' place
                return {}
            bias = bias if self.cell.norm_shift is None else self.cell.norm_shift
        places = [role for role in ("bias", "recurrent_bias") if role in how.roles]
        held: EncodedTensors = {role: self._by_gate(role, np.zeros_like(bias)) for role in places}
        held[places[0]] = self._by_gate(places[0], bias)
        if how.storage.bias_halves == 2:
            flat = held["bias"]
            assert isinstance(flat, np.ndarray)
            held["bias"] = np.concatenate([flat, np.zeros_like(flat)])
        return held

    def _peepholes(self) -> EncodedTensors:
        peephole, how = self.cell.peephole, self.how
        if peephole is None and how.names.peephole_matrices:  # its cells always have them
            peephole = np.zeros((3, self.cell.units, self.cell.units), self.cell.dtype)
        if peephole is None or how.storage.peephole_columns:
            return {}
        if "{gate}" in how.names.tensors.get("peephole", "") or how.names.peephole_matrices:
            return {"peephole": {g: peephole["ifo".index(g)] for g in self.gates if g != "g"}}
        return {"peephole": self._peephole_rows().reshape(-1)}

    def _peephole_rows(self) -> Array:
        """(3, H) in the row's order."""
        assert self.cell.peephole is not None
        return self.cell.peephole[["ifo".index(gate) for gate in self.how.storage.peephole_gates]]


def _contiguous(held: Array | Mapping[str, Array]) -> Array | Mapping[str, Array]:
    if isinstance(held, Mapping):
        return {gate: np.ascontiguousarray(a) for gate, a in held.items()}
    return np.ascontiguousarray(held)


# ---- names


def named_tensors(layers: Sequence[Sequence[Cell]], how: Convention) -> dict[str, Array]:
    """The tensors of a network under a convention's names: layers, in each its directions."""
    both = len(layers[0]) == 2
    before = prefix_form(how, len(layers), both)
    assert before is not None, "fitting refuses directions that no name tells"
    named: dict[str, Array] = {}
    for n, layer in enumerate(layers):
        cells = [encode(cell, how) for cell in layer]
        if how.storage.direction_axis:
            cells = [stack_directions(cells)]
        for d, tensors in enumerate(cells):
            number = n * len(layer) + d if how.storage.directions_count else n
            for role, gate, array in _each_tensor(tensors):
                form = before + _template(how, role, gate, n)
                named[_fill_template(form, how, role, gate, number, d)] = array
    return named


def prefix_form(how: Convention, layers: int, both: bool) -> str | None:
    """What is written before the templates; None if the row's names cannot tell the directions.

    The first form of ``under`` will do that tells of layers and directions what the templates
    leave open.
    """
    told = "".join(how.names.tensors.values())
    needs = set()
    if layers > 1 and "{layer}" not in told and "{number}" not in told:
        needs.add("layer")
    if both and not (
        "{direction}" in told or how.storage.direction_axis or how.storage.directions_count
    ):
        needs.add("direction")
    for form in how.names.under.split(" | "):
        tells = {"layer"} if "{layer}" in form or "{nth}" in form else set()
        tells |= {"direction"} if "{direction}" in form else set()
        if needs <= tells:
            return form
    return None


def _each_tensor(tensors: Tensors) -> Iterator[tuple[str, str, Array]]:
    """Role, gate (or nothing) and array of every tensor."""
    for role, held in tensors.items():
        if isinstance(held, Mapping):
            for gate, array in held.items():
                yield role, gate, array
        else:
            yield role, "", held


def _template(how: Convention, role: str, gate: str, layer: int) -> str:
    if role in how.names.tensors:
        return how.names.tensors[role].split(" | ")[0]
    place = how.names.numbered.index(f"{role}.{gate}" if gate else role)
    number = layer * len(how.names.numbered) + place
    return how.names.tensors["numbered"].replace("{number}", str(number))


def _fill_template(
    form: str, how: Convention, role: str, gate: str, layer: int, direction: int
) -> str:
    return form.format(
        gate=how.names.word(gate, role) if gate else "",
        layer=layer,
        nth=f"_{layer}" if layer else "",
        direction=direction_marks(how)[direction],
    )
