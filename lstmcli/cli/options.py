"""Options and arguments that several commands share, and their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
from lstmcli.core.model.shell import as_options
from lstmcli.core.model.vocabulary import read_gate_order
from lstmcli.errors import UserError

MOST_CHOICES = 15  # characters of values in the column of options
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class FormatChoice(click.Choice[str]):
    """Names of formats, of which ``txt`` and ``text`` are one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name of the format."""
        return super().convert("text" if value == "txt" else value, param, ctx)


def paths_argument(name: str, metavar: str) -> Decorator:
    """An argument of one path or more: files, FILE:MEMBER, NAME=FILE, or ``-``."""
    return click.argument(name, nargs=-1, required=True, metavar=metavar)


def format_option(*further: str) -> Decorator:
    """The option ``-f`` of commands that show a table, a JSON document or ``further`` formats."""
    kinds = click.Choice(["table", "json", *further])
    return click.option("-f", "--format", type=kinds, default="table", help="Output format.")


def only_option(text: str, default: str) -> Decorator:
    """The option ``--only``: which arrays."""
    return click.option("--only", metavar="NAME,...", show_default=default, help=text)


def selection_options(verb: str, steps: str = "all") -> Decorator:
    """Add ``--steps``, ``--batch`` and ``--units``, and what is done with those chosen."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, noun, default in (
            ("--units", "Units", "all"),
            ("--batch", "Batch items", "all"),
            ("--steps", "Steps", steps),
        ):
            text = f"{noun} to {verb}."
            function = click.option(name, metavar="A:B", show_default=default, help=text)(function)
        return function

    return add


def cell_option(start: str, default: str | None = None) -> Decorator:
    """The option ``--cell``: one of several; ``start`` begins its help."""
    text = f"{start} layer, in one direction: layer0, layer1_reverse, ..."
    return click.option("--cell", metavar="NAME", show_default=default, help=text)


def digits_option(default: str, where: str = "") -> Decorator:
    """The option ``--digits``; ``where`` names the outputs."""
    digits, text = click.IntRange(0, 17), f"Digits after the point{where}."
    return click.option("--digits", type=digits, metavar="N", show_default=default, help=text)


def tolerance_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the tolerances of a comparison."""
    for option, kind, text in (
        ("--ulp", click.IntRange(min=0),
         "Tolerance in ULPs; a value within --rtol and --atol is equal too."),
        ("--atol", click.FloatRange(min=0), "Absolute tolerance."),
        ("--rtol", click.FloatRange(min=0), "Tolerance relative to the second value."),
    ):  # fmt: skip
        default = None if option == "--ulp" else "by dtype"
        function = click.option(option, type=kind, metavar="X", help=text, show_default=default)(
            function
        )
    return function


def limit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the limits on what is read from files."""

    def allow(context: click.Context, parameter: click.Parameter, size: int | None) -> None:
        if size is not None:
            allow_bytes(size)

    return click.option(
        "--max-bytes", metavar="N", type=click.IntRange(min=1), callback=allow, expose_value=False,
        show_default="1 GiB", help="Largest tensor in bytes.",
    )(function)  # fmt: skip


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each setting, and ``--set``; `settings_from` collects them."""
    function = limit_options(function)
    function = click.option(
        "--set", "set_", multiple=True, metavar="NAME=VALUE",
        help="Any setting; of one cell: layer1.forget_bias=0.",
    )(function)  # fmt: skip
    function = click.option(
        "--layer", metavar="NAME|N", help="Which LSTM, of several in a file; A,B,... run in turn."
    )(function)
    for name in reversed((*WITH_OPTION, *FLAGS)):
        setting = SETTINGS[name]
        how: dict[str, Any] = {"is_flag": True, "default": None}
        if name not in FLAGS:
            words = CONVENTIONS if name == "convention" else setting.choices
            how = {"metavar": _metavar(name), "shell_complete": one_of(words)}
        is_own = setting.default in (CONVENTIONS_OWN, "that of activation")
        how |= {"help": setting.help, "show_default": False if is_own else setting.default}
        function = click.option(_option_of(name), **how)(function)
    return function


def settings_from(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among a command's options, parsed and checked."""
    settings = {
        name: read_setting(name, options[name], _option_of(name))
        for name in (*WITH_OPTION, *FLAGS)
        if options[name] is not None
    }
    settings |= named_settings(options["set_"], "--set", settings)
    if options["layer"] is not None:
        settings["layer"] = options["layer"]
    return settings


def _metavar(name: str) -> str:
    """The placeholder of a setting's value in help: its choices where these can be listed."""
    setting = SETTINGS[name]
    if len(choices := "|".join(setting.choices)) in range(1, MOST_CHOICES):
        return f"[{choices}]"
    if setting.read is read_gate_order:
        return "ORDER"
    return "X" if "number" in setting.values else "NAME"


def _option_of(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def named_settings(
    pairs: Sequence[str], option: str, by_options: Collection[str] = ()
) -> dict[str, Any]:
    """Settings given as NAME=VALUE, parsed and checked; none that options set too."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{option} {pair}: takes NAME=VALUE, such as {option} gates=ifgo.")
        name = name.strip().replace("-", "_")
        if name in settings:
            raise UserError(f"{option} {pair}: {name} is given twice; give it once.")
        if name in by_options:
            raise UserError(f"{option} {pair}: {_option_of(name)} sets {name} too; give it once.")
        settings[name] = read_setting(name, value.strip(), f"{option} {pair}")
    return settings


def input_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for files that come with the inputs; `keywords` collects them."""
    for option, metavar, text, default in (
        ("--initial-state", "FILE", "h and c to start from.", "zero"),
        (
            "--mask",
            "FILE|none",
            "Valid steps as booleans.",
            "the file's",
        ),
        ("--lengths", "FILE|N,N,...", "Valid steps of each sequence.", "all"),
    ):
        function = click.option(option, metavar=metavar, help=text, show_default=default)(function)
    return function


def edit_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--edit``, of commands that run a model; `keywords` collects it."""
    return click.option(
        "--edit", "edit", multiple=True, metavar="NAME=VALUE",
        help="Run with a mistake, such as inputs.late=1.",
    )(function)  # fmt: skip


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of weights and of inputs; `keywords` collects them."""
    return setting_options(input_options(function))


def page_option(text: str) -> Decorator:
    """The option ``--page``: a file for an interactive page; ``text`` is its help."""

    def checked(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
        if path is not None and not path.lower().endswith(".html"):
            raise UserError(f"--page {path}: takes a name that ends in .html.")
        return path

    return click.option("--page", metavar="FILE", callback=checked, help=text)


def typed_options(options: Mapping[str, Any]) -> list[str]:
    """The options of `run_options` and `edit_option` that were given, as words of a command."""
    given = {name: options[name] for name in ("initial_state", "lengths", "mask", "edit")}
    given["edits"] = given.pop("edit")
    return as_options({k: v for k, v in given.items() if v} | settings_from(options))


def keywords(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings and the files that come with the inputs, as functions take them."""
    files = {name: options[name] for name in ("initial_state", "lengths", "mask")}
    settings = settings_from(options)
    if options.get("edit"):
        settings["edits"] = list(options["edit"])
    return files | {f"model.{k}" if k in files else k: v for k, v in settings.items()}


def listed_names(text: str | None, option: str) -> list[str] | None:
    """The names that an option lists between commas; None where it was not given."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f'{option} "{text}": takes one name, or several with commas between.')
    return names
