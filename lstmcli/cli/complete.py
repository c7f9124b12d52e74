"""What a shell is offered for the word under the cursor.

The shell starts ``lstm`` for it, so nothing is imported, and no file read, that the word does not
need. A file that cannot be read offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lstmcli.errors import UserError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Items = list["CompletionItem"]
Completer = Callable[[click.Context, click.Parameter, str], Items]

RESULTS = ("h", "c", "i", "f", "g", "o", "z")
PATHS = ("weights", "file", "path", "paths")  # what commands call their files


class File(click.types.StringParamType):
    """A text that is the name of a file: the shell completes it as one."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        """Files by the shell's own means."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


FILE = File()


def values_of(name: str) -> Completer:
    """The values of a setting: conventions, gate orders, activations, or its own few words."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
        return _starting(_values(name), incomplete)

    return complete


def _values(name: str) -> Iterable[str]:
    from lstmcli.core.names import ACTIVATION_NAMES, read_activation_name, read_gate_order
    from lstmcli.core.settings import SETTINGS, OneOf

    read = SETTINGS[name].read
    if isinstance(read, OneOf):
        return read.values
    if name == "convention" or read is read_gate_order:
        from lstmcli.core.conventions import CONVENTIONS

        orders = dict.fromkeys(row.gates for row in CONVENTIONS.values() if len(row.gates) == 4)
        return CONVENTIONS if name == "convention" else orders
    if read is read_activation_name:
        return (activation for activation in ACTIVATION_NAMES if activation != "hard_sigmoid")
    return ()


def settings(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """``NAME=``, and after it the values."""
    from lstmcli.core.settings import SETTINGS

    name, equals, _ = incomplete.partition("=")
    if equals and name in SETTINGS:
        return _starting((f"{name}={value}" for value in _values(name)), incomplete)
    return _starting((f"{name}=" for name in SETTINGS), incomplete)


def layers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The LSTMs of the files before the cursor, as ``--layer`` calls them."""
    return _starting((lstm.layer for lstm in _lstms(ctx)), incomplete)


def cells(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The cells of those files' first LSTM: ``layer0``, ``layer0_reverse``, ..."""
    return _starting(_cells(ctx), incomplete)


def members(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """What a run can write, of each cell where there are several; after a comma, the next."""
    names = _cells(ctx)
    own = [f"{cell}.{name}" for cell in names for name in RESULTS] if len(names) > 1 else []
    return _next([*RESULTS, "final_h", "final_c", *own], incomplete)


def columns(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """What a table can show."""
    return _next(RESULTS, incomplete)


def arrays(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """What a trace before the cursor holds, or what a run of the weights there would give."""
    held: list[str] = []
    for path in _paths(ctx)[:1]:
        try:
            from lstmcli.plotting import read_drawable

            drawable = read_drawable([path], {}, None)
            held = [*drawable.arrays, *drawable.cells]
        except UserError:  # weights, whose inputs are still to be typed
            held = []
    return _next(held or [*RESULTS, *_cells(ctx)], incomplete)


def _next(names: Iterable[str], incomplete: str) -> Items:
    """The name after the last comma, behind those that are there."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return _starting(
        (f"{before}{comma}{n}" for n in names if n not in taken), f"{before}{comma}{last}"
    )


def _starting(names: Iterable[str], incomplete: str) -> Items:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _paths(ctx: click.Context) -> list[str]:
    """The files before the cursor; click leaves them in ``args`` if an option lacks its value."""
    given = next((ctx.params[name] for name in PATHS if ctx.params.get(name)), ctx.args)
    return [path for path in given if path != "-"]


def _lstms(ctx: click.Context) -> Sequence[Any]:
    """The LSTMs in all files before the cursor together, or in the first that has any."""
    from lstmcli.inspecting import inspect_files

    paths = _paths(ctx)
    for some in ([paths] if paths else []) + [[path] for path in paths]:
        try:
            if found := inspect_files(some, {}).lstms:
                return found
        except UserError:
            continue
    return ()


def _cells(ctx: click.Context) -> list[str]:
    found = _lstms(ctx)
    return [name for name, _ in found[0].model.cells] if found else []
