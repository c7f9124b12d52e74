"""How the tensors of one convention become those of another: a line of text a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lstmcli.core.model.conventions import Convention, describe_role
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.encode import present_gates


class Step(NamedTuple):
    """A part of the weights, and what is done with it."""

    what: str
    text: str


def recipe(layers: Sequence[Sequence[Cell]], target: Convention) -> list[Step]:
    """From the convention of these cells, as loaded, to another that can store them."""
    cell = layers[0][0]
    source = cell.convention
    steps = [
        *_gates(source, target),
        *_kernels(source, target, cell),
        *_biases(source, target, cell),
    ]
    steps += _forget_bias(source, target)
    if cell.peephole is not None or target.names.peephole_matrices:
        steps += _peepholes(source, target, cell)
    if cell.projection is not None:
        axes = ["(P, H)" if row.storage.projection_rows else "(H, P)" for row in (source, target)]
        steps.append(Step("projection", _describe_change(*axes)))
    if target.storage.direction_axis != source.storage.direction_axis:
        put = "put on a first axis" if target.storage.direction_axis else "split"
        steps.append(Step("directions", put))
    return steps


def _gates(source: Convention, target: Convention) -> Iterator[Step]:
    """The gate order; of each of the three tensors where they differ."""
    kinds = ("kernel", "recurrent", "bias")
    orders = [tuple(_order(row, kind) for row in (source, target)) for kind in kinds]
    if len(set(orders)) == 1:
        yield Step("gates", _describe_order_change(*orders[0]))
    else:
        for kind, pair in zip(kinds, orders, strict=True):
            yield Step(f"gates of {kind}", _describe_order_change(*pair))
    left_out = set(source.storage.letters) - set(present_gates(target))
    for gate in sorted(left_out & set(present_gates(source))):
        coupled = target.behaviour.coupled
        yield Step(
            "gates", f"{gate} is computed from another ({coupled}): its weights are left out"
        )


def _order(row: Convention, kind: str) -> str:
    if row.names.has_tensor_per_gate:
        return "a tensor per gate"
    order = spaced_order(row.storage.order_of(kind))
    return f"{order}, alternating unit by unit" if row.storage.interleaved else order


def _describe_order_change(before: str, after: str) -> str:
    if before == after:
        return f"{before}: as they are"
    if "tensor" in before + after:
        return f"{before} -> {after}"
    return f"{before} -> {after}: permuted"


def _kernels(source: Convention, target: Convention, cell: Cell) -> Iterator[Step]:
    """What is cut, joined and transposed."""
    outputs = "H" if cell.projection is None else "P"
    before, after = (
        [f"{_name(row, role)} {shape}" for role, shape in row.kernel_shapes(outputs).items()]
        for row in (source, target)
    )
    a, b = source.storage, target.storage
    transposed = " and transposed" if a.orientation != b.orientation else ""
    if not transposed and a.rows == b.rows and len(before) == len(after):
        verb = ""
    elif len(before) < len(after):
        verb = f": cut{transposed}"
    elif len(before) > len(after):
        verb = f": joined{transposed}"
    else:
        verb = transposed.replace(" and", ":") or ": the two parts change places"
    yield Step("kernels", f"{' and '.join(before)} -> {' and '.join(after)}{verb}")
    if a.transposed != b.transposed:
        reshaped = "reshaped" in a.transposed + b.transposed
        done = "reshaped" if reshaped else "stored transposed"
        what = "a matrix" if done == "reshaped" else "each gate's block of a matrix"
        yield Step("blocks", f"{what} is {done} on one side")


def _name(row: Convention, role: str) -> str:
    """The tensor of a role by its name in the row; of a tensor per gate, the first."""
    if role not in row.names.tensors:
        return describe_role(role)
    names = row.tensor_names(role)
    return f"{names[0]}, ..." if "{gate}" in row.names.tensors[role] else names[0]


def _biases(source: Convention, target: Convention, cell: Cell) -> Iterator[Step]:
    before, after = (_bias_names(row) for row in (source, target))
    if source.storage.bias != "once":
        text = f"{source.storage.bias.replace('_', ' ')} of {' + '.join(before)}"
    else:
        text = " + ".join(before)
    text += f" -> {after[0]}"
    if len(after) == 2:
        text += f"; {after[1]} is zero"
    if cell.norm_scale is not None and "norm_shift" in target.roles:
        text = "none: what is added after the normalisation stands for it"
    yield Step("bias", text)


def _bias_names(row: Convention) -> list[str]:
    if row.storage.bias_halves == 2:
        name = _name(row, "bias")
        return [f"{name}[:4H]", f"{name}[4H:]"]
    return [_name(row, role) for role in ("bias", "recurrent_bias") if role in row.roles]


def _forget_bias(source: Convention, target: Convention) -> Iterator[Step]:
    constant, remaining = source.behaviour.forget_bias, target.behaviour.forget_bias
    if target.behaviour.coupled == "f=1-i" or not (constant or remaining):
        return
    more = constant - remaining
    if more == 0:
        yield Step("forget bias", f"{remaining:+g} at run time in both: not in the bias")
        return
    goes = f"{more:+g} into the bias of f" if more > 0 else f"{-more:g} out of the bias of f"
    adds = [
        f"{row.name} adds {row.behaviour.forget_bias:+g} at run time"
        for row in (source, target)
        if row.behaviour.forget_bias
    ]
    yield Step("forget bias", "; ".join([goes, *adds]))


def _peepholes(source: Convention, target: Convention, cell: Cell) -> Iterator[Step]:
    if cell.peephole is None:
        yield Step("peepholes", f"zero, as {target.name} always has them")
        return
    forms = ["peephole " + _peephole_form(row) for row in (source, target)]
    yield Step("peepholes", _describe_change(*forms))


def _peephole_form(row: Convention) -> str:
    if row.storage.peephole_columns:
        return f"columns of the recurrent kernel, {spaced_order(row.storage.peephole_gates)}"
    template = row.names.tensors.get("peephole", "")
    if "{gate}" in template or row.names.peephole_matrices:
        return "a tensor per gate"
    return f"tensor {template} (3H,), {spaced_order(row.storage.peephole_gates)}"


def _describe_change(before: str, after: str) -> str:
    return f"{before}: as it is" if before == after else f"{before} -> {after}"
