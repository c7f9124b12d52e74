"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from lstmcli.cli import complete
from lstmcli.core.model.settings import FLAGS, SETTINGS, WITH_OPTION, read_setting
from lstmcli.errors import UserError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what concerns the reading of files, whatever is done with them."""

    def allow(context: click.Context, parameter: click.Parameter, most: int | None) -> None:
        if most is not None:
            from lstmcli.formats.files import limits  # formats bring numpy, which help does without

            limits.allow(most)

    return click.option(
        "--max-bytes", metavar="N", type=click.IntRange(min=1), callback=allow, expose_value=False,
        help="The most that one tensor of a file may take; a GiB without.",
    )(function)  # fmt: skip


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each setting, and ``--set``; `settings_from` collects them."""
    function = reading_options(function)
    function = click.option(
        "--set", "set_", multiple=True, metavar="NAME=VALUE", shell_complete=complete.settings,
        help=f"Any setting by name: {', '.join(n for n in SETTINGS if n not in WITH_OPTION)}.",
    )(function)  # fmt: skip
    function = click.option(
        "--layer", metavar="NAME|N", help="Which LSTM of several.", shell_complete=complete.layers
    )(function)
    for name in reversed((*WITH_OPTION, *FLAGS)):
        setting, option = SETTINGS[name], f"--{name.replace('_', '-')}"
        if name in FLAGS:
            function = click.option(option, is_flag=True, default=None, help=setting.help)(function)
        else:
            function = click.option(
                option, metavar="X", help=setting.help, shell_complete=complete.values_of(name)
            )(function)
    return function


def beside_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for files that come with the inputs."""
    for option, metavar, told in (
        ("--initial-state", "FILE", "h and c to start from."),
        ("--mask", "FILE", "Which steps count, in the axes of the inputs."),
        ("--lengths", "FILE|N,N,...", "Valid steps of each row."),
    ):
        function = click.option(option, metavar=metavar, help=told)(function)
    return function


def settings_from(options: dict[str, Any]) -> dict[str, Any]:
    """Take the settings out of a command's options, read and checked.

    Raises
    ------
    UserError
        naming the option, for a value that it does not take.
    """
    settings = {}
    for name in (*WITH_OPTION, *FLAGS):
        if (value := options.pop(name)) is not None:
            settings[name] = read_setting(name, value, f"--{name.replace('_', '-')}")
    settings |= named_settings(options.pop("set_"), "--set")
    if (layer := options.pop("layer")) is not None:
        settings["layer"] = layer
    return settings


def named_settings(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Settings given as NAME=VALUE, read and checked.

    Raises
    ------
    UserError
        for a name that is no setting, or a value that it does not take.
    """
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{option} {pair}: takes NAME=VALUE, such as {option} gates=ifgo")
        name = name.strip().replace("-", "_")
        settings[name] = read_setting(name, value.strip(), f"{option} {pair}")
    return settings


def paths_argument(name: str, minimum: int = 1) -> Decorator:
    """Paths as words: files, NAME=FILE, or ``-``; they are opened further in."""
    return click.argument(name, nargs=-1, required=minimum > 0, metavar=f"{name.upper()}...")


def listed_names(text: str | None, option: str) -> list[str] | None:
    """The names that an option lists between commas; None where it was not given.

    Raises
    ------
    UserError
        for a list that names nothing.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f'{option} "{text}": takes one name, or several with commas between.')
    return names
