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
        one = setting and setting.replace("-", "_")
        if name == SETTINGS_TOPIC:
            _write_settings(formatter, one)
        else:
            _write_edits(formatter, one)
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
    if name is not None:
        _write_setting(formatter, name)
        return
    formatter.write_text(SETTINGS_TEXT)
    with_option, by_set = [], []
    for one, setting in SETTINGS.items():
        row = one, _description(setting)
        if one in WITH_OPTION or one in FLAGS:
            with_option.append(row)
        else:
            by_set.append(row)
    with formatter.section("With an option"):
        formatter.write_dl(with_option)
    with formatter.section("By --set NAME=VALUE"):
        formatter.write_dl(by_set)


def _write_setting(formatter: click.HelpFormatter, name: str) -> None:
    _refuse_unknown(name, SETTINGS, "setting")
    setting = SETTINGS[name]
    formatter.write_dl([(name, _description(setting, setting.rule))])
    formatter.write_paragraph()
    option = f"--{name.replace('_', '-')}"
    given = ""
    if name in WITH_OPTION:
        given = f"{option} VALUE, or "
    elif name in FLAGS:
        given = f"{option}, or "
    formatter.write_text(f"Given by {given}--set {name}=VALUE.")


def _write_edits(formatter: click.HelpFormatter, name: str | None) -> None:
    from lstmcli.core.model.edits import EDITS, HIDES  # with numpy

    if name is None:
        formatter.write_text(EDITS_TEXT)
        for family in HIDES:
            _write_family(formatter, family)
    elif name in HIDES:
        _write_family(formatter, name)
    else:
        _refuse_unknown(name, [*EDITS, *HIDES], "edit")
        _write_edit(formatter, name)


def _write_family(formatter: click.HelpFormatter, family: str) -> None:
    from lstmcli.core.model.edits import EDITS

    names = [name for name in EDITS if name.startswith(f"{family}.")]
    with formatter.section(family.capitalize()):
        formatter.write_dl([(name, _words_of_edit(name)) for name in names])


def _write_edit(formatter: click.HelpFormatter, name: str) -> None:
    from lstmcli.core.model.edits import ANY, EDITS, HIDES, Edit

    kind, edit = EDITS[name], Edit(name, ANY)
    named = {
        setting_text(value): words for value, words in kind.read.named.items() if words
    }
    if named and isinstance(kind.read, OneOf):  # the values follow
        formatter.write_dl([(name, edit.words)])
    else:
        formatter.write_dl([(name, _words_of_edit(name))])
    if named:
        with formatter.section("Values"):
            formatter.write_dl(list(named.items()))
    formatter.write_paragraph()
    about = {
        "mistake": edit.code,
        "unseen": f"{HIDES[kind.family]}.",
        "effect": f"{kind.shows}.",
        "done by": f"{kind.used_by}.",
        "correct": kind.mend,
    }
    formatter.write_dl(list(about.items()))


def _words_of_edit(name: str) -> str:
    """The mistake that an edit of any value simulates, and its values."""
    from lstmcli.core.model.edits import ANY, EDITS, Edit

    words = Edit(name, ANY).words
    if ANY not in words:
        return words
    return f"{words} ({EDITS[name].read.words})"


def _refuse_unknown(name: str, known: Collection[str], kind: str) -> None:
    if name not in known:
        raise UserError(
            f"unknown {kind} {name!r}.{did_you_mean(name, known)}",
            f"  lstm help {kind}s",
        )


def _description(setting: Setting, rule: str = "") -> str:
    parts = [setting.help]
    if rule:
        parts.append(rule)
    parts.append(f"Values: {', '.join(setting.choices) or setting.values}.")
    if setting.default != CONVENTIONS_OWN:
        parts.append(f"[default: {setting.default}]")
    return " ".join(parts)
