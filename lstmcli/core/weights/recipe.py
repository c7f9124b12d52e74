"""How the tensors of one convention become those of another, in words: a step a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.encode import present_gates
from lstmcli.core.weights.templates import describe_role, has_tensor_per_gate, tensor_names


class Step(NamedTuple):
    """What is changed, or kept as it is, and how."""

    what: str
    text: str


def recipe(layers: Sequence[Sequence[Cell]], how: Convention) -> list[Step]:
    """From the convention of these cells, as read, to another that can hold them."""
    cell = layers[0][0]
    own = cell.convention
    steps = [*_gates(own, how), *_kernels(own, how, cell), *_biases(own, how, cell)]
    steps += _forget_bias(own, how)
    if cell.peephole is not None or how.names.peephole_matrices:
        steps += _peepholes(own, how, cell)
    if cell.projection is not None:
        lies = ["(P, H)" if row.storage.projection_rows else "(H, P)" for row in (own, how)]
        steps.append(Step("projection", _describe_change(*lies)))
    if how.storage.direction_axis != own.storage.direction_axis:
        put = "put on a first axis" if how.storage.direction_axis else "taken apart"
        steps.append(Step("directions", put))
    return steps


def _gates(own: Convention, how: Convention) -> Iterator[Step]:
    """The order of the gates, of the three tensors apart where they differ in it."""
    kinds = ("kernel", "recurrent", "bias")
    orders = [tuple(_order(row, kind) for row in (own, how)) for kind in kinds]
    if len(set(orders)) == 1:
        yield Step("gates", _describe_order_change(*orders[0]))
    else:
        for kind, pair in zip(kinds, orders, strict=True):
            yield Step(f"gates of {kind}", _describe_order_change(*pair))
    left_out = set(own.storage.letters) - set(present_gates(how))
    for gate in sorted(left_out & set(present_gates(own))):
        yield Step(
            "gates",
            f"{gate} is made of another ({how.behaviour.coupled}): its weights are left out",
        )


def _order(row: Convention, kind: str) -> str:
    if has_tensor_per_gate(row):
        return "a tensor a gate"
    return spaced_order(row.storage.order_of(kind)) + (
        ", alternating unit by unit" if row.storage.interleaved else ""
    )


def _describe_order_change(before: str, after: str) -> str:
    if before == after:
        return f"{before}: as they are"
    if "tensor" in before + after:
        return f"{before} -> {after}"
    return f"{before} -> {after}: permuted"


def _kernels(own: Convention, how: Convention, cell: Cell) -> Iterator[Step]:
    """What is cut, joined and transposed."""
    outputs = "H" if cell.projection is None else "P"
    before, after = (_matrices(row, outputs) for row in (own, how))
    if (
        own.storage.orientation == how.storage.orientation
        and own.storage.rows == how.storage.rows
        and len(before) == len(after)
    ):
        verb = ""
    elif len(before) < len(after):
        verb = ": cut" + _describe_transposition(own, how)
    elif len(before) > len(after):
        verb = ": joined" + _describe_transposition(own, how)
    else:
        verb = (
            _describe_transposition(own, how).replace(" and", ":")
            or ": the two parts change places"
        )
    yield Step("kernels", f"{' and '.join(before)} -> {' and '.join(after)}{verb}")
    if own.storage.transposed != how.storage.transposed:
        done = (
            "stored transposed"
            if "reshaped" not in own.storage.transposed + how.storage.transposed
            else "reshaped"
        )
        what = "a matrix" if done == "reshaped" else "each gate's block of a matrix"
        yield Step("blocks", f"{what} is {done} on one side")


def _describe_transposition(own: Convention, how: Convention) -> str:
    return " and transposed" if own.storage.orientation != how.storage.orientation else ""


def _matrices(row: Convention, outputs: str) -> list[str]:
    """``kernel (I + H, 4H)``, or the two matrices."""
    gates = "H" if has_tensor_per_gate(row) else f"{len(row.storage.gates)}H"
    if "fused" in row.names.tensors:
        inside = f"I + {outputs}" if row.storage.rows == "xh" else f"{outputs} + I"
        return [f"{_name(row, 'fused')} {_shape(row, inside, gates)}"]
    return [
        f"{_name(row, 'kernel')} {_shape(row, 'I', gates)}",
        f"{_name(row, 'recurrent_kernel')} {_shape(row, outputs, gates)}",
    ]


def _shape(row: Convention, inputs: str, gates: str) -> str:
    return f"({gates}, {inputs})" if row.storage.orientation == "rows" else f"({inputs}, {gates})"


def _name(row: Convention, role: str) -> str:
    """The tensor of a role in the row's own words; the first of a tensor a gate."""
    if role not in row.names.tensors:
        return describe_role(role)
    names = tensor_names(row, role)
    return f"{names[0]}, ..." if "{gate}" in row.names.tensors[role] else names[0]


def _biases(own: Convention, how: Convention, cell: Cell) -> Iterator[Step]:
    before, after = (_bias_names(row) for row in (own, how))
    if own.storage.bias != "once":
        text = f"{own.storage.bias.replace('_', ' ')} of {' + '.join(before)}"
    else:
        text = " + ".join(before)
    text += f" -> {after[0]}"
    if len(after) == 2:
        text += f"; {after[1]} is zero"
    if cell.norm_scale is not None and "norm_shift" in how.roles:
        text = "none: what is added after the normalisation stands for it"
    yield Step("bias", text)


def _bias_names(row: Convention) -> list[str]:
    if row.storage.bias_halves == 2:
        name = _name(row, "bias")
        return [f"{name}[:4H]", f"{name}[4H:]"]
    return [_name(row, role) for role in ("bias", "recurrent_bias") if role in row.roles]


def _forget_bias(own: Convention, how: Convention) -> Iterator[Step]:
    constant, kept = own.behaviour.forget_bias, how.behaviour.forget_bias
    if how.behaviour.coupled == "f=1-i" or not (constant or kept):
        return
    more = constant - kept
    if more == 0:
        yield Step("forget bias", f"{kept:+g} at run time in both: not in the bias")
        return
    goes = f"{more:+g} into the bias of f" if more > 0 else f"{-more:g} out of the bias of f"
    adds = [f"{row.name} adds {row.behaviour.forget_bias:+g} at run time" for row in (own, how)
            if row.behaviour.forget_bias]  # fmt: skip
    yield Step("forget bias", "; ".join([goes, *adds]))


def _peepholes(own: Convention, how: Convention, cell: Cell) -> Iterator[Step]:
    if cell.peephole is None:
        yield Step("peepholes", f"zero, as {how.name} always has them")
        return
    forms = ["peephole " + _peephole_form(row) for row in (own, how)]
    yield Step("peepholes", _describe_change(*forms))


def _peephole_form(row: Convention) -> str:
    if row.storage.peephole_columns:
        return f"columns of the recurrent kernel, {spaced_order(row.storage.peephole_gates)}"
    template = row.names.tensors.get("peephole", "")
    if "{gate}" in template or row.names.peephole_matrices:
        return "tensors, one a gate"
    return f"tensor {template} (3H,), {spaced_order(row.storage.peephole_gates)}"


def _describe_change(before: str, after: str) -> str:
    return f"{before}: as it is" if before == after else f"{before} -> {after}"
