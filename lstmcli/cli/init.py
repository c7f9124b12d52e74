"""``lstm init``: reproducible weights."""

from __future__ import annotations

import click

from lstmcli import formats
from lstmcli.cli.command import Command
from lstmcli.cli.terminal import tell
from lstmcli.core.weights.initializers import INITIALIZERS, draw_weights
from lstmcli.errors import UserError
from lstmcli.escaping import one_line


@click.command(cls=Command, screen=False)
@click.option("--inputs", type=int, required=True, help="Input size.")
@click.option("--units", type=int, required=True, help="Hidden size (units).")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Seed of the generator.")  # fmt: skip
@click.option("--steps", type=int, help="Also generate inputs with this many steps.")
@click.option("--batch", type=int, default=1, show_default=True, help="Batch size of those inputs.")
@click.option("--initializer", default="glorot_uniform", show_default=True,
              help=f"How the kernel is drawn: {', '.join(INITIALIZERS)}.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64",
              show_default=True, help="Number type of the tensors.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", required=True, help="A .npz or .json file.")
def command(
    inputs: int, units: int, seed: int, steps: int | None, batch: int,
    initializer: str, dtype: str, output: str,
) -> None:  # fmt: skip
    """Make reproducible weights, and inputs to go with them.

    \b
    lstm init --inputs 4 --units 3 --seed 0 --steps 7 -o net.npz
    lstm init --inputs 40 --units 64 --seed 1 -o weights.json

    Drawn from NumPy's legacy RandomState(seed): first standard-normal inputs (B, T, I), where
    asked for, then a fused TF1 kernel (I + H, 4H). The bias is zero.
    """
    format = formats.format_of(output)
    if format not in ("npz", "json"):
        raise UserError(f"-o {output}: several arrays need a .npz or a .json file.")
    members = draw_weights(inputs, units, seed, steps=steps, batch=batch, initializer=initializer)
    members = {name: array.astype(dtype) for name, array in members.items()}
    with formats.atomically(output) as stream:
        formats.write(stream, format, members, {"convention": "tf1"})
    shapes = "  ".join(f"{name} {array.shape}" for name, array in members.items())
    tell(f"wrote {one_line(output)}: {shapes}")
