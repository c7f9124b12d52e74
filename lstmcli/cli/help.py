"""The command ``lstm help``."""

from __future__ import annotations

from collections.abc import Collection

import click

from lstmcli.cli.command import Command, one_of
from lstmcli.cli.group import COMMANDS
from lstmcli.core.model.settings import (
    CONVENTIONS_OWN,
    FLAGS,
    SETTINGS,
    WITH_OPTION,
    OneOf,
    Setting,
    setting_text,
)
from lstmcli.errors import UserError, did_you_mean

SETTINGS_TOPIC, EDITS_TOPIC = "settings", "edits"
TOPICS = (*COMMANDS, SETTINGS_TOPIC, EDITS_TOPIC)

SETTINGS_TEXT = """A setting is how an LSTM runs, where its tensors do not show it. --set NAME=VALUE
sets it, --set layer1.NAME=VALUE for one layer or direction; many have an option of the same name.
In Python it is an argument of lstmcli.load; a JSON or npz file of weights may store it as a member.
A default that is not listed is what the file specifies, otherwise what its framework does: see
`lstm conventions NAME`. `lstm help settings NAME` shows one setting."""

EDITS_TEXT = """An edit simulates a mistake that no setting describes: inputs a step late, a gate's
bias left out, a tanh from a table. `lstm help edits NAME` shows its values and the code. run,
derive, plot and explain take --edit NAME=VALUE, several times, and --edit layer1.NAME=VALUE for one
layer or direction; in Python load, run, derive and explain take edits=["NAME=VALUE"]. @FILE.npz
contains the arrays of an edit of many values."""


@click.command(cls=Command, screen=False)
@click.argument(
    "name",
    metavar="[COMMAND|settings|edits]",
    required=False,
    shell_complete=one_of(TOPICS),
)
@click.argument("setting", metavar="[NAME]", required=False)
@click.pass_context
def command(ctx: click.Context, name: str | None, setting: str | None) -> None:
    """Show the help of a command, or the table of settings or edits.

    \b
    lstm help run
    lstm help edits equations.h

    Without a command, the list of commands; of settings or edits, or of the one that is named,
    what each means and its values: lstm help settings.
    """
    group = ctx.find_root()
    if name is None:
        click.echo(group.get_help())
        return
    if name in (SETTINGS_TOPIC, EDITS_TOPIC):
        formatter = ctx.make_formatter()
        write = _write_settings if name == SETTINGS_TOPIC else _write_edits
        write(formatter, setting and setting.replace("-", "_"))
        click.echo(formatter.getvalue().rstrip("\n"))
        return
    if name not in COMMANDS:
        near = did_you_mean(name, TOPICS)
        raise UserError(f"there is no command {name!r}.{near}", "  lstm help")
    if setting is not None:
        raise UserError(
            f"{name} {setting}: too many names; give one command, or settings or edits and a NAME."
        )
    assert isinstance(group.command, click.Group)
    found = group.command.get_command(group, name)
    assert found is not None
    context = found.context_class(
        found, info_name=name, parent=group, **found.context_settings
    )
    click.echo(found.get_help(context))


def _write_settings(formatter: click.HelpFormatter, name: str | None) -> None:
    with_option = [name for name in SETTINGS if name in (*WITH_OPTION, *FLAGS)]
    if name is not None:
        _refuse_unknown(name, SETTINGS, "setting")
        formatter.write_dl([(name, _description(SETTINGS[name], SETTINGS[name].rule))])
        option = f"--{name.replace('_', '-')}" + " VALUE" * (name in WITH_OPTION)
        formatter.write_paragraph()
        given = f"{option}, or " if name in with_option else ""
        formatter.write_text(f"Given by {given}--set {name}=VALUE.")
        return
    formatter.write_text(SETTINGS_TEXT)
    for heading, names in (
        ("With an option", with_option),
        ("By --set NAME=VALUE", [name for name in SETTINGS if name not in with_option]),
    ):
        with formatter.section(heading):
            formatter.write_dl([(name, _description(SETTINGS[name])) for name in names])


def _write_edits(formatter: click.HelpFormatter, name: str | None) -> None:
    from lstmcli.core.model.edits import ANY, EDITS, HIDES, Edit  # with numpy

    def row(name: str) -> tuple[str, str]:
        words = Edit(name, ANY).words
        return name, words + f" ({EDITS[name].read.words})" * (ANY in words)

    if name is None:
        formatter.write_text(EDITS_TEXT)
    if name is None or name in HIDES:
        for family in HIDES if name is None else [name]:
            with formatter.section(family.capitalize()):
                formatter.write_dl(
                    [row(one) for one in EDITS if one.startswith(f"{family}.")]
                )
        return
    _refuse_unknown(name, (*EDITS, *HIDES), "edit")
    kind, edit = EDITS[name], Edit(name, ANY)
    named = {
        setting_text(value): words for value, words in kind.read.named.items() if words
    }
    is_listed = named and isinstance(kind.read, OneOf)
    formatter.write_dl([(name, edit.words) if is_listed else row(name)])
    if named:
        with formatter.section("Values"):
            formatter.write_dl([*named.items()])
    formatter.write_paragraph()
    about = {
        "unseen": HIDES[kind.family],
        "effect": kind.shows,
        "done by": kind.used_by,
    }
    sentences = [(label, f"{text}.") for label, text in about.items()]
    formatter.write_dl([("mistake", edit.code), *sentences, ("correct", kind.mend)])


def _refuse_unknown(name: str, known: Collection[str], kind: str) -> None:
    if name not in known:
        raise UserError(
            f"unknown {kind} {name!r}.{did_you_mean(name, known)}",
            f"  lstm help {kind}s",
        )


def _description(setting: Setting, rule: str = "") -> str:
    values = f"Values: {', '.join(setting.choices) or setting.values}."
    default = f"[default: {setting.default}]" * (setting.default != CONVENTIONS_OWN)
    return " ".join(filter(None, (setting.help, rule, values, default)))
