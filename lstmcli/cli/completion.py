"""``lstm completion``, and what a shell is offered for the word under the cursor.

The shell starts ``lstm`` for each word, so nothing is imported, and no file read, that the word
does not need. A file that cannot be read offers nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

from lstmcli.cli.command import Command
from lstmcli.cli.file_completion import Items, is_quick, is_safe, starting
from lstmcli.cli.group import COMPLETION_VARIABLE, lstm
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.settings import SETTINGS, OneOf
from lstmcli.core.model.vocabulary import ACTIVATION_NAMES, read_activation_name, read_gate_order
from lstmcli.errors import UserError

Completer = Callable[[click.Context, click.Parameter, str], Items]

RESULTS = ("h", "c", "i", "f", "g", "o", "z")
PATHS = ("weights", "file", "path", "paths")  # the names of the arguments that are files
BREAKS = re.compile("[:=]+")  # of COMP_WORDBREAKS, those that names and paths contain


# ---- completers


def values_of(name: str) -> Completer:
    """A completer for the values of a setting: conventions, gate orders, activations, choices."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
        return starting(_values(name), incomplete)

    return complete


def _values(name: str) -> Iterable[str]:
    read = SETTINGS[name].read
    if isinstance(read, OneOf):
        return read.values
    if name == "convention" or read is read_gate_order:
        orders = dict.fromkeys(
            row.storage.gates for row in CONVENTIONS.values() if len(row.storage.gates) == 4
        )
        return CONVENTIONS if name == "convention" else orders
    if read is read_activation_name:
        return (activation for activation in ACTIVATION_NAMES if activation != "hard_sigmoid")
    return ()


def settings(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """``NAME=``, and after it the values."""
    name, equals, _ = incomplete.partition("=")
    if equals and name in SETTINGS:
        return starting((f"{name}={value}" for value in _values(name)), incomplete)
    return starting((f"{name}=" for name in SETTINGS), incomplete)


def layers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The LSTMs of the files before the cursor, as ``--layer`` calls them.

    One whose name is not safe is offered by its number.
    """
    words = (one.layer if is_safe(one.layer) else str(one.number) for one in _lstms(ctx))
    return starting(words, incomplete)


def cells(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The cells of those files' first LSTM: ``layer0``, ``layer0_reverse``, ..."""
    return starting(_cells(ctx), incomplete)


def members(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The members that a run can write, of each cell where there are several."""
    names = _cells(ctx)
    of_cells = [f"{cell}.{name}" for cell in names for name in RESULTS] if len(names) > 1 else []
    return _next([*RESULTS, "final_h", "final_c", *of_cells], incomplete)


def engines(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The frameworks that can run a model."""
    from lstmcli.engines import NAMES  # 20 ms that the other words do without

    return _next(NAMES, incomplete)


def arrays(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The arrays of a trace before the cursor, or those that a run of the weights there gives."""
    names: list[str] = []
    for path in _paths(ctx)[:1]:
        try:
            from lstmcli.api.plot import read_drawable

            drawable = read_drawable([path], {}, None)
            names = [*drawable.arrays, *drawable.cells]
        except UserError:  # weights, whose inputs are still to be typed
            names = []
    return _next(names or [*RESULTS, *_cells(ctx)], incomplete)


def _next(names: Iterable[str], incomplete: str) -> Items:
    """Completions of the name after the last comma; those before it are not offered again."""
    before, comma, last = incomplete.rpartition(",")
    listed = before.split(",")
    return starting(
        (f"{before}{comma}{n}" for n in names if n not in listed), f"{before}{comma}{last}"
    )


def _paths(ctx: click.Context) -> list[str]:
    """The files before the cursor; click leaves them in ``args`` if an option lacks its value."""
    from lstmcli.api.arguments import Named

    given = next((ctx.params[name] for name in PATHS if ctx.params.get(name)), ctx.args)
    return [path for path in given if is_quick(Named.parse(path).file)]


def _lstms(ctx: click.Context) -> Sequence[Any]:
    """The LSTMs in all files before the cursor together, or in the first that has any."""
    from lstmcli.api.inspect import inspect_files

    paths = _paths(ctx)
    for subset in ([paths] if paths else []) + [[path] for path in paths]:
        try:
            if found := inspect_files(subset, {}).lstms:
                return found
        except UserError:
            continue
    return ()


def _cells(ctx: click.Context) -> list[str]:
    found = _lstms(ctx)
    return [name for name, _ in found[0].model.cells] if found else []


class WholeWords(BashComplete):
    """Bash's completion, of words that Bash has split at ``:`` and ``=``, as it does by default.

    What is offered replaces only the last part of such a word.
    """

    _before = ""  # the parts of the incomplete word that stay

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the incomplete one, and that one, their parts joined again."""
        words, number = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        joined: list[str] = []
        for n, word in enumerate(words[: number + 1]):
            if n and (BREAKS.fullmatch(word) or BREAKS.fullmatch(words[n - 1])):
                joined[-1] += word
            else:
                joined.append(word)
        if number >= len(words):
            return joined[1:], ""
        last = "" if BREAKS.fullmatch(words[number]) else words[number]
        self._before = joined[-1].removesuffix(last)
        return joined[1:-1], joined[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A line with the kind of an item and what is to be put into the command line."""
        return f"{item.type},{item.value.removeprefix(self._before)}"


add_completion_class(WholeWords, "bash")


def print_completions(group: click.Group, instruction: str) -> int:
    """Print the completions that a shell asks for, as by ``bash_complete``; return the status.

    Raises
    ------
    UserError
        for an unknown shell, or if the words to complete are not there.
    """
    shell, _, request = instruction.partition("_")
    if request == "complete" and not _are_words_given(shell):
        raise UserError(
            f"{COMPLETION_VARIABLE}={instruction}: the words to complete are in COMP_WORDS and "
            "COMP_CWORD, which a shell sets.",
            "  lstm completion bash",
        )
    try:
        status = shell_complete(group, {}, "lstm", COMPLETION_VARIABLE, instruction)
    except UserError:  # of an option before the cursor: reported when the command is run
        return 0
    if status:
        raise UserError(
            f"{COMPLETION_VARIABLE}={instruction}: takes bash_complete, zsh_complete or "
            "fish_complete."
        )
    return 0


def _are_words_given(shell: str) -> bool:
    """Whether the variables with the words are there; Fish's second one is a word itself."""
    number = os.environ.get("COMP_CWORD")
    if "COMP_WORDS" not in os.environ or number is None:
        return False
    return shell == "fish" or bool(re.fullmatch("[0-9]{1,6}", number))


# ---- the command

WITH_COMMAS = ('string split "," $completion', 'string split --max 1 "," $completion')
"""A command in click's script for Fish that loses what follows a comma in a value, and its
replacement."""


@click.command(cls=Command, screen=False, in_groups=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Complete commands, options, files and names in your shell.

    \b
    lstm completion bash
    lstm completion zsh

    Prints a script that the shell reads when it starts:

    \b
    ~/.bashrc                   eval "$(lstm completion bash)"   (Bash 4.4 or newer)
    ~/.zshrc, after compinit    eval "$(lstm completion zsh)"
    ~/.config/fish/config.fish  lstm completion fish | source

    Conventions, gate orders and activations are completed, and the names of layers, cells and
    members from the file that stands before the cursor; after FILE:, the arrays of FILE.
    """
    made = get_completion_class(shell)
    assert made is not None  # click has all three
    script = made(lstm, {}, "lstm", COMPLETION_VARIABLE)
    template = script.source_template.replace(*WITH_COMMAS)
    click.echo(template % script.source_vars())
