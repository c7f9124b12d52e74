"""Commands for tensors whose shapes leave several ways to read them as an LSTM, or none."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.weights.by_shape import (
    BIAS,
    KERNEL,
    RECURRENT,
    PossibleCell,
    Roles,
    fitting_names,
    group_names,
    is_called,
    split_numbered,
    without_output_layer,
)
from lstmcli.core.weights.templates import Shape, Shapes
from lstmcli.errors import INPUTS, CallToTry, SettingsToTry, UserError, listed

_AXES = (
    SettingsToTry({"convention": "tf1"}, "gates along the last axis: (I + H, 4H)"),
    SettingsToTry({"convention": "tflite-basic"}, "gates along the first: (4H, I + H)"),
)


def refuse_ways(shapes: Shapes, source: str) -> None:
    """Refuse tensors that may be an LSTM in two ways or three, or only by name."""
    if len(shapes) == 1:
        _refuse_single(*next(iter(shapes.items())), source)
    unfit = []
    for prefix, names in group_names(split_numbered(shapes)[1]).items():
        ways = fitting_names(PossibleCell(names, shapes, prefix=prefix).ways())
        if len(ways) > 1 and all("fused" in way.roles for way in ways):
            kernel = ways[0].roles["fused"]
            text = f"{source}: {kernel} is {shapes[kernel]}; along which axis are the gates?"
            raise UserError(text, try_=_AXES)
        if 1 < len(ways) < 4:
            found = listed([f"{name} {shapes[name]}" for name in names], 4)
            raise UserError(
                f"{source}: {found} may be an LSTM's in {len(ways)} ways. Name the tensors:",
                try_=[_named(way.roles, source) for way in ways],
            )
        if not ways:
            unfit.append(names)
    for names in unfit:
        _refuse_unfit(names, shapes, source)


def _refuse_single(name: str, shape: Shape, source: str) -> None:
    if len(shape) == 1 and shape[0] >= 12 and shape[0] % 4 == 0:  # I = H = 1 has 12
        raise UserError(
            f"{source}: no LSTM recognised in the name {name}. If this vector {shape} is "
            "all weights of one:",
            try_=(
                SettingsToTry(
                    {"convention": "cudnn-flat", "flat_units": ...},
                    "cuDNN's, JAX's, MXNet's",
                ),
                SettingsToTry(
                    {"convention": "torch7-flat", "flat_units": ...}, "Torch7's"
                ),
            ),
        )
    if _may_be_kernel(shape) or _may_be_kernel(shape[::-1]):
        raise UserError(
            f"{source}: no LSTM recognised in the name {name}. If this matrix {shape} is a "
            "kernel for inputs and h:",
            try_=(
                SettingsToTry({"convention": "tf1"}, "no bias is in it"),
                SettingsToTry(
                    {"convention": "tf1", "bias_row": "last"},
                    "the bias is its last row",
                ),
                SettingsToTry(
                    {"convention": "tf1", "bias_row": "first"},
                    "the bias is its first row",
                ),
            ),
        )


def _may_be_kernel(shape: Shape) -> bool:
    """Return whether a shape may be (I + H, 4H)."""
    if len(shape) != 2:
        return False
    depth, gates = shape
    return gates > 0 and gates % 4 == 0 and depth > gates // 4


def _refuse_unfit(names: Sequence[str], shapes: Shapes, source: str) -> None:
    """Refuse tensors that may be a dense layer's, or have other shapes than their names."""
    ways = PossibleCell(without_output_layer(names), shapes).ways()
    if ways:
        listed = " and ".join(
            f"{name} {shapes[name]}" for name in ways[0].roles.values()
        )
        raise UserError(
            f"{source}: {listed} may be an LSTM's or a dense layer's. If an LSTM's:",
            try_=_AXES if len(ways) > 1 else [_named(ways[0].roles, source)],
        )
    called_so: list[str] = []
    for pattern in (KERNEL, RECURRENT, BIAS):
        called_so += [name for name in names if is_called(pattern, name)]
    if len(called_so) > 1:
        listed = ", ".join(f"{name} {shapes[name]}" for name in called_so)
        raise UserError(
            f"{source}: {listed} are not those of an LSTM by their shapes.",
            "  With H units and I inputs those are (I + H, 4H) and (4H,), or (I, 4H), (H, 4H) "
            "and (4H,).",
            "  With a matrix for each gate, name them: Wi=FILE:NAME Ui=FILE:NAME bi=FILE:NAME, "
            "then those of f, g and o.",
        )


def _named(roles: Roles, source: str) -> CallToTry:
    """A run of tensors by their roles: ``lstm run kernel=w.npz:W bias=w.npz:b INPUTS``."""
    names = {"fused": "kernel"}  # a kernel with only a bias is for inputs and h
    tensors = {names.get(role, role): (source, name) for role, name in roles.items()}
    return CallToTry("run", weights=tensors, others=[INPUTS])
