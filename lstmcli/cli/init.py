"""The command ``lstm init``."""

from __future__ import annotations

from typing import Any

import click

from lstmcli.api.init import INITIALIZERS, init, write_example
from lstmcli.cli.command import EXAMPLE, Command
from lstmcli.cli.options import SEED, option
from lstmcli.cli.terminal import is_typed, screen, tell, tell_written
from lstmcli.errors import UserError
from lstmcli.escaping import file_argument, typed_command

DRAWN = f"How the kernel is drawn: {', '.join(INITIALIZERS)}."
NEEDED = {"inputs": "--inputs", "units": "--units", "output": "-o"}


@click.command(cls=Command, screen=False)
@option("--example", "DIR", "Write only the files of the examples in help.")
@option("--inputs", "I", "Input size.", type=int)
@option("--units", "H", "Hidden size (units).", type=int)
@option("--seed", "N", "Seed of the generator.", type=SEED, default=0)
@option("--steps", "T", "Also generate inputs with this many steps.", type=int)
@option("--batch", "B", "Batch size of those inputs.", type=int, default=1)
@option("--initializer", "NAME", DRAWN, default="glorot_uniform")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float64",
    help="dtype of the tensors.",
)
@option("-o --output", "FILE", "A .npz or .json file.")
@click.pass_context
def command(ctx: click.Context, /, example: str | None, **options: Any) -> None:
    """Make reproducible weights, and inputs to go with them.

    \b
    lstm init --inputs 4 --units 3 --seed 0 --steps 7 -o net.npz
    lstm init --example demo

    NumPy's legacy RandomState(seed) draws standard-normal inputs (B, T, I), if --steps is given,
    then a fused TF1 kernel (I + H, 4H). The bias is zero.

    --example writes weights.npz, inputs.npy, tensorflow.txt and numpy.txt: the question that
    started this project, and the files of the examples in help.
    """
    if example is not None:
        _write_example(ctx, example)
        return
    missing = [name for name in NEEDED if options[name] is None]
    if missing:
        names = " and ".join(NEEDED[name] for name in missing)
        raise click.UsageError(
            f"missing {names}; or give only --example {EXAMPLE}.", ctx
        )
    if options["steps"] is None and is_typed(ctx, "batch"):
        raise UserError(
            "--batch is the batch size of the inputs; add --steps T, which draws them."
        )
    if (
        options["steps"] is None
        and options["initializer"] == "zeros"
        and is_typed(ctx, "seed")
    ):
        raise UserError(
            "--seed draws nothing: the kernel is zero, and --steps T asks for inputs."
        )
    init(**options)


def _write_example(ctx: click.Context, folder: str) -> None:
    given = [
        f"--{name}" for name in ctx.params if name != "example" and is_typed(ctx, name)
    ]
    if given:
        raise UserError(
            f"--example writes files that are fixed; leave out {', '.join(given)}."
        )
    paths = write_example(folder)
    tell_written(paths)
    if not screen().quiet:
        tell(f"  {typed_command('lstm', 'run', *map(file_argument, paths[:2]))}")
