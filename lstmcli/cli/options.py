"""Options and arguments that several commands share, and their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import Any

import click

from lstmcli.api.documents import allow_bytes
from lstmcli.cli.command import one_of
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.settings import (
    CONVENTIONS_OWN,
    FLAGS,
    SETTINGS,
    WITH_OPTION,
    read_setting,
)
from lstmcli.core.model.vocabulary import read_gate_order
from lstmcli.errors import UserError

SEED = click.IntRange(0, 2**32 - 1)
MOST_CHOICES = 15  # characters of values in the column of options
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(
    names: str, metavar: str, text: str, shown: str | None = None, **how: Any
) -> Decorator:
    """An option with a value; ``shown`` is its default in words."""
    return click.option(
        *names.split(), metavar=metavar, help=text, show_default=shown, **how
    )


def flag(names: str, text: str) -> Decorator:
    """An option without a value."""
    return click.option(*names.split(), is_flag=True, help=text)


def all_of(*options: Decorator) -> Decorator:
    """Several options."""
    return lambda function: reduce(lambda made, one: one(made), options, function)


class FormatChoice(click.Choice[str]):
    """Names of formats, of which ``txt`` and ``text`` are one."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The name of the format."""
        return super().convert("text" if value == "txt" else value, param, ctx)


def paths_argument(name: str, metavar: str) -> Decorator:
    """An argument of paths: files, FILE:MEMBER, NAME=FILE, or ``-``."""
    return click.argument(name, nargs=-1, required=True, metavar=metavar)


def format_option(*further: str) -> Decorator:
    """The option ``-f``: a table, a JSON document or ``further`` formats."""
    kinds = click.Choice(["table", "json", *further])
    return click.option(
        "-f", "--format", type=kinds, default="table", help="Output format."
    )


def only_option(text: str, default: str) -> Decorator:
    """The option ``--only``: which arrays."""
    return option("--only", "NAME,...", text, default)


def selection_options(verb: str, steps: str = "all") -> Decorator:
    """``--steps``, ``--batch`` and ``--units``; ``verb`` is done with those."""
    return all_of(
        option("--steps", "A:B", f"Steps to {verb}.", steps),
        option("--batch", "A:B", f"Batch items to {verb}.", "all"),
        option("--units", "A:B", f"Units to {verb}.", "all"),
    )


def cell_option(start: str, default: str | None = None) -> Decorator:
    """The option ``--cell``; ``start`` begins its help."""
    text = f"{start} layer, in one direction: layer0, layer1_reverse, ..."
    return option("--cell", "NAME", text, default)


def digits_option(default: str, where: str = "") -> Decorator:
    """The option ``--digits``; ``where`` names the outputs."""
    text = f"Digits after the point{where}."
    return option("--digits", "N", text, default, type=click.IntRange(0, 17))


_SIZE, _COUNT = click.FloatRange(min=0), click.IntRange(min=0)
_ULPS = "Tolerance in ULPs; a value within --rtol and --atol is equal too."

tolerance_options = all_of(
    option(
        "--rtol", "X", "Tolerance relative to the second value.", "by dtype", type=_SIZE
    ),
    option("--atol", "X", "Absolute tolerance.", "by dtype", type=_SIZE),
    option("--ulp", "X", _ULPS, type=_COUNT),
)
"""The tolerances of a comparison."""


def _allow(
    context: click.Context, parameter: click.Parameter, size: int | None
) -> None:
    if size is not None:
        allow_bytes(size)


_LIMIT: dict[str, Any] = {
    "type": click.IntRange(min=1),
    "callback": _allow,
    "expose_value": False,
}

limit_options = option(
    "--max-bytes", "N", "Largest tensor in bytes.", "1 GiB", **_LIMIT
)
"""The limit on what is read from files."""


def _setting_option(name: str) -> Decorator:
    setting = SETTINGS[name]
    is_own = setting.default in (CONVENTIONS_OWN, "that of activation")
    how: dict[str, Any] = {
        "help": setting.help,
        "show_default": not is_own and setting.default,
    }
    if name in FLAGS:
        return click.option(_option_of(name), is_flag=True, default=None, **how)
    words = CONVENTIONS if name == "convention" else setting.choices
    how |= {"metavar": _metavar(name), "shell_complete": one_of(words)}
    return click.option(_option_of(name), **how)


def _metavar(name: str) -> str:
    setting = SETTINGS[name]
    if len(choices := "|".join(setting.choices)) in range(1, MOST_CHOICES):
        return f"[{choices}]"
    if setting.read is read_gate_order:
        return "ORDER"
    return "X" if "number" in setting.values else "NAME"


def _option_of(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


_ONE_CELL = "Any setting; of one cell: layer1.forget_bias=0."

_FURTHER = (
    option(
        "--layer", "NAME|N", "Which LSTM, of several in a file; A,B,... run in turn."
    ),
    option("--set set_", "NAME=VALUE", _ONE_CELL, multiple=True),
    limit_options,
)

setting_options = all_of(*map(_setting_option, (*WITH_OPTION, *FLAGS)), *_FURTHER)
"""An option for each setting, and ``--set``, for `settings_from`."""

settings_of_weights = all_of(
    *(_setting_option(name) for name in (*WITH_OPTION, *FLAGS) if name != "layout"),
    *_FURTHER,
)
"""The same without the layout of inputs."""

run_options = all_of(
    setting_options,
    option("--initial-state", "FILE", "h and c to start from.", "zero"),
    option("--lengths", "FILE|N,N,...", "Valid steps of each sequence.", "all"),
    option("--mask", "FILE|none", "Valid steps as booleans.", "the file's"),
)
"""The options of weights and of inputs, for `keywords`."""

_MISTAKE = "Run with a mistake, such as inputs.late=1."

edit_option = option("--edit edits", "NAME=VALUE", _MISTAKE, multiple=True)
"""The mistakes with which a command runs a model, for `keywords`."""


def settings_from(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among options, parsed and checked."""
    settings = {
        name: read_setting(name, options[name], _option_of(name))
        for name in (*WITH_OPTION, *FLAGS)
        if options[name] is not None
    }
    settings |= named_settings(options["set_"], "--set", settings)
    if options["layer"] is not None:
        settings["layer"] = options["layer"]
    return settings


def named_settings(
    pairs: Sequence[str], option: str, by_options: Collection[str] = ()
) -> dict[str, Any]:
    """Settings given as NAME=VALUE, parsed and checked, that no option sets too."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(
                f"{option} {pair}: takes NAME=VALUE, such as {option} gates=ifgo."
            )
        name = name.strip().replace("-", "_")
        if name in settings:
            raise UserError(f"{option} {pair}: {name} is given twice; give it once.")
        if name in by_options:
            raise UserError(
                f"{option} {pair}: {_option_of(name)} sets {name} too; give it once."
            )
        settings[name] = read_setting(name, value.strip(), f"{option} {pair}")
    return settings


def page_option(text: str) -> Decorator:
    """The option ``--page``: the file of an interactive page."""

    def checked(
        context: click.Context, parameter: click.Parameter, path: str | None
    ) -> str | None:
        if path is not None and not path.lower().endswith(".html"):
            raise UserError(f"--page {path}: takes a name that ends in .html.")
        return path

    return option("--page", "FILE", text, callback=checked)


def typed_options(options: Mapping[str, Any]) -> list[str]:
    """The given options of `run_options` and `edit_option`, as words of a command."""
    from lstmcli.core.model.shell import as_options  # of what is asked next

    given = {
        name: options[name] for name in ("initial_state", "lengths", "mask", "edits")
    }
    return as_options({k: v for k, v in given.items() if v} | settings_from(options))


def keywords(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and the files that come with inputs, as arguments of functions."""
    files = {name: options[name] for name in ("initial_state", "lengths", "mask")}
    settings = settings_from(options)
    if options.get("edits"):
        settings["edits"] = list(options["edits"])
    return files | {f"model.{k}" if k in files else k: v for k, v in settings.items()}


def listed_names(text: str | None, option: str) -> list[str] | None:
    """The names that an option lists between commas; None if it is not given."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(
            f'{option} "{text}": takes one name, or several with commas between.'
        )
    return names
