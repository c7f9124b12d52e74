"""What a shell is offered for the word under the cursor.

The shell starts ``lstm`` for it, so nothing is imported, and no file read, that the word does not
need. A file that cannot be read offers nothing. A shell puts what it is offered into the command
line as it is: only names in which no shell finds anything to carry out are offered.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lstmcli.errors import UserError
from lstmcli.escaping import one_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Items = list["CompletionItem"]
Completer = Callable[[click.Context, click.Parameter, str], Items]

RESULTS = ("h", "c", "i", "f", "g", "o", "z")
PATHS = ("weights", "file", "path", "paths")  # what commands call their files
ASKED = "_LSTM_COMPLETE"  # the variable by which a shell asks
MOST_BYTES = 32 << 20  # of a file that is read for names: 1.3 s of JSON, 0.1 s of .npz
SAFE = re.compile(r"[\w./+-][\w./:@=,+-]*")  # letters of any script; nothing that a shell expands


class File(click.types.StringParamType):
    """A text that is the name of a file: the shell completes it as one."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        """Files by the shell's own means."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(one_line(incomplete), type="file")]


FILE = File()


def values_of(name: str) -> Completer:
    """The values of a setting: conventions, gate orders, activations, or its own few words."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
        return _starting(_values(name), incomplete)

    return complete


def _values(name: str) -> Iterable[str]:
    from lstmcli.core.model.settings import SETTINGS, OneOf
    from lstmcli.core.model.vocabulary import (
        ACTIVATION_NAMES,
        read_activation_name,
        read_gate_order,
    )

    read = SETTINGS[name].read
    if isinstance(read, OneOf):
        return read.values
    if name == "convention" or read is read_gate_order:
        from lstmcli.core.model.conventions import CONVENTIONS

        orders = dict.fromkeys(
            row.storage.gates for row in CONVENTIONS.values() if len(row.storage.gates) == 4
        )
        return CONVENTIONS if name == "convention" else orders
    if read is read_activation_name:
        return (activation for activation in ACTIVATION_NAMES if activation != "hard_sigmoid")
    return ()


def settings(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """``NAME=``, and after it the values."""
    from lstmcli.core.model.settings import SETTINGS

    name, equals, _ = incomplete.partition("=")
    if equals and name in SETTINGS:
        return _starting((f"{name}={value}" for value in _values(name)), incomplete)
    return _starting((f"{name}=" for name in SETTINGS), incomplete)


def layers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The LSTMs of the files before the cursor, as ``--layer`` calls them.

    One whose name is not safe is offered by its number.
    """
    words = (one.layer if _is_safe(one.layer) else str(one.number) for one in _lstms(ctx))
    return _starting(words, incomplete)


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
            from lstmcli.api.plot import read_drawable

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

    return [
        CompletionItem(name) for name in names if name.startswith(incomplete) and _is_safe(name)
    ]


def _is_safe(name: str) -> bool:
    return SAFE.fullmatch(name) is not None


def _paths(ctx: click.Context) -> list[str]:
    """The files before the cursor; click leaves them in ``args`` if an option lacks its value."""
    from lstmcli.api.load import Named

    given = next((ctx.params[name] for name in PATHS if ctx.params.get(name)), ctx.args)
    return [path for path in given if _is_quick(Named.parse(path).path)]


def _is_quick(path: str) -> bool:
    """Whether a path is a regular file that is small enough to be read while somebody types."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return False
    return path != "-" and stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES


def _lstms(ctx: click.Context) -> Sequence[Any]:
    """The LSTMs in all files before the cursor together, or in the first that has any."""
    from lstmcli.api.inspect import inspect_files

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


def answer(group: click.Group, instruction: str) -> int:
    """Print what a shell asks for by its variable, as ``bash_complete``; gives the exit status.

    Raises
    ------
    UserError
        if nobody can answer: another shell, or the words to complete are not there.
    """
    from click.shell_completion import shell_complete

    shell, _, asked = instruction.partition("_")
    if asked == "complete" and not _are_words_given(shell):
        raise UserError(
            f"{ASKED}={instruction}: the words to complete are in COMP_WORDS and COMP_CWORD, which "
            "a shell sets.",
            "  lstm completion bash",
        )
    try:
        status = shell_complete(group, {}, "lstm", ASKED, instruction)
    except UserError:  # of an option before the cursor: told when the command is run
        return 0
    if status:
        raise UserError(f"{ASKED}={instruction}: takes bash_complete, zsh_complete, fish_complete.")
    return 0


def _are_words_given(shell: str) -> bool:
    """Whether the variables that hold the words are there; Fish's second one is a word itself."""
    number = os.environ.get("COMP_CWORD")
    if "COMP_WORDS" not in os.environ or number is None:
        return False
    return shell == "fish" or bool(re.fullmatch("[0-9]{1,6}", number))
