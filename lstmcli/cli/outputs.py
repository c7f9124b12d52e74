"""The files that a command line writes, and those that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from lstmcli.cli.complete import FILE
from lstmcli.cli.screen import refuse_without_screen, screen

OUTPUTS = ("output", "save_state")  # options for files that are written, beside the screen's


@contextmanager
def guarded(ctx: click.Context, last_is_output: bool) -> Iterator[None]:
    """Refuse what a command line would overwrite before its command runs, and while it reads.

    With ``last_is_output`` the last of the paths is written.

    Raises
    ------
    UserError
        naming the output and the input, or the other output, that are one file; or the file for a
        screen that will not be shown.
    """
    outputs, inputs = list(screen().files.values()), list[str]()
    for parameter in ctx.command.params:
        value = ctx.params.get(str(parameter.name))
        if parameter.type is FILE and value:
            words = [value] if isinstance(value, str) else list(value)
            (outputs if parameter.name in OUTPUTS else inputs).extend(words)
    if last_is_output and len(inputs) > 1:
        outputs.append(inputs.pop())
    if not outputs:
        yield
        return
    from lstmcli.api.load import Named
    from lstmcli.formats.files.overwriting import outputs_kept_apart  # numpy's cost

    inputs += [Named.parse(word).path for word in inputs]
    with outputs_kept_apart(outputs, inputs):
        refuse_without_screen(ctx)
        yield
