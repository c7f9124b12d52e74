"""The recipe of a conversion: what is done with each part of the weights, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lstmcli.core.model.conventions import Convention, describe_role
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.storage import present_gates


class Step(NamedTuple):
    """A part of the weights, and what is done with it."""

    what: str
    text: str


def recipe(layers: Sequence[Sequence[Cell]], target: Convention) -> list[Step]:
    """The steps from the convention of these cells to one that can store them."""
    cell = layers[0][0]
    source = cell.convention
    steps = []
    for what, form in _FORMS.items():
        before, after = form(source, cell), form(target, cell)
        if what == "bias" and len(names := _bias_names(target)) == 2:
            after = f"{names[0]}; {names[1]} is zero"
        if before or after:
            changed = " -> ".join(filter(None, (before, after)))
            steps.append(
                Step(what, f"{before}: unchanged" if before == after else changed)
            )
    coupled = target.behaviour.coupled
    for gate in sorted({*present_gates(source)} - {*present_gates(target)}):
        text = f"{gate} is computed from another ({coupled}): it is left out"
        steps.append(Step("gates", text))
    if target.storage.direction_axis != source.storage.direction_axis:
        put = "put on a first axis" if target.storage.direction_axis else "split"
        steps.append(Step("directions", put))
    return [*steps, *_forget_bias(source, target)]


def _gates(row: Convention, cell: Cell) -> str:
    """The gate order; of each of the three tensors where they differ."""
    if row.names.has_tensor_per_gate:
        return "a tensor per gate"
    kinds = ("kernel", "recurrent", "bias")
    orders = {kind: spaced_order(row.storage.order_of(kind)) for kind in kinds}
    each = ", ".join(f"{order} in the {kind}" for kind, order in orders.items())
    order = each if len({*orders.values()}) > 1 else orders["kernel"]
    return f"{order}, alternating unit by unit" if row.storage.interleaved else order


def _kernels(row: Convention, cell: Cell) -> str:
    shapes = row.kernel_shapes("H" if cell.projection is None else "P")
    text = " and ".join(f"{_name(row, role)} {shape}" for role, shape in shapes.items())
    stored = row.storage.transposed
    if stored == "none":
        return text
    return text + (
        ", reshaped" if "reshaped" in stored else ", each gate's block transposed"
    )


def _biases(row: Convention, cell: Cell) -> str:
    if cell.norm_scale is not None and "norm_shift" in row.roles:
        return "what is added after the normalisation"
    text = " + ".join(_bias_names(row))
    times = row.storage.bias
    return text if times == "once" else f"{times.replace('_', ' ')} of {text}"


def _peepholes(row: Convention, cell: Cell) -> str:
    matrices = row.names.peephole_matrices
    if cell.peephole is None:
        return "zeros, which it always has" if matrices else ""
    order = spaced_order(row.storage.peephole_gates)
    if row.storage.peephole_columns:
        return f"columns of the recurrent kernel, {order}"
    template = row.names.tensors.get("peephole", "")
    if "{gate}" in template or matrices:
        return "a tensor per gate"
    return f"tensor {template} (3H,), {order}"


def _projection(row: Convention, cell: Cell) -> str:
    if cell.projection is None:
        return ""
    return "(P, H)" if row.storage.projection_rows else "(H, P)"


_FORMS = {  # part -> how a row stores that of a cell; "" without
    "gates": _gates,
    "kernels": _kernels,
    "bias": _biases,
    "peepholes": _peepholes,
    "projection": _projection,
}


def _name(row: Convention, role: str) -> str:
    """The tensor of a role by its name in the row; of one per gate, the first."""
    if role not in row.names.tensors:
        return describe_role(role)
    names = row.tensor_names(role)
    return f"{names[0]}, ..." if "{gate}" in row.names.tensors[role] else names[0]


def _bias_names(row: Convention) -> list[str]:
    if row.storage.bias_halves == 2:
        name = _name(row, "bias")
        return [f"{name}[:4H]", f"{name}[4H:]"]
    return [
        _name(row, role) for role in ("bias", "recurrent_bias") if role in row.roles
    ]


def _forget_bias(source: Convention, target: Convention) -> Iterator[Step]:
    constant, remaining = source.behaviour.forget_bias, target.behaviour.forget_bias
    if target.behaviour.coupled == "f=1-i" or not (constant or remaining):
        return
    more = constant - remaining
    if more == 0:
        yield Step(
            "forget bias", f"{remaining:+g} at run time in both: not in the bias"
        )
        return
    goes = (
        f"{more:+g} into the bias of f"
        if more > 0
        else f"{-more:g} out of the bias of f"
    )
    adds = [
        f"{row.name} adds {row.behaviour.forget_bias:+g} at run time"
        for row in (source, target)
        if row.behaviour.forget_bias
    ]
    yield Step("forget bias", "; ".join([goes, *adds]))
