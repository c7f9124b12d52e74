"""Settings, and what a message proposes to type, in the syntax of a shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.model.settings import (
    FLAGS,
    SETTINGS,
    WITH_OPTION,
    setting_text,
    split_cell,
)
from lstmcli.errors import CallToTry, Settings, Syntax
from lstmcli.escaping import typed_command

OTHER_NAMES = {"step": "steps", "unit": "units"}
"""The options of arguments that have another name in Python."""

PLACEHOLDERS = {
    "atol": "X", "cell": "NAME", "flat_layers": "N", "flat_units": "N", "head": "NAME",
    "layer": "NAME", "lengths": "N,N,N", "mask": "FILE", "rtol": "X",
}  # fmt: skip
"""Words for any value of a setting, which are in the help of its option."""


def as_options(settings: Mapping[str, Any]) -> list[str]:
    """Settings as arguments: ``--forget-bias 0 --set bias_gates=ifgo``."""
    arguments: list[str] = []
    for name, value in settings.items():
        if name == "edits":
            texts = (getattr(edit, "text", edit) for edit in value)
            arguments += [word for text in texts for word in ("--edit", text)]
            continue
        if value is ...:
            value = PLACEHOLDERS.get(name, "VALUE")
        text = setting_text(value)
        option = f"--{name.replace('_', '-')}"
        if value is True and (name in FLAGS or split_cell(name)[1] not in SETTINGS):
            arguments.append(option)
        elif _has_option(name, text):
            arguments += (
                [f"{option}={text}"] if text.startswith("-") else [option, text]
            )
        else:
            arguments += ["--set", f"{name}={text}"]
    return arguments


def _has_option(name: str, text: str) -> bool:
    plain = split_cell(name)[1]
    if name in (
        "initial_state",
        "lengths",
    ):  # options of a file, or of what becomes of it
        return text not in SETTINGS[name].choices
    return name in WITH_OPTION or plain not in SETTINGS


class ShellSyntax(Syntax):
    """Settings as options: ``--rows hx``."""

    def about(self, settings: Settings) -> str:
        """The options as typed; a text that ends in a colon is quoted."""
        words = []
        for option, value in _named(settings).items():
            words.append(f"--{option.replace('_', '-')}")
            if value is not ... and value is not True:
                text = str(value)
                words.append(f'"{text}"' if not text or text.endswith(":") else text)
        return " ".join(words)

    def settings(self, settings: Settings) -> str:
        """``--rows hx --layout batch``; ``without --cell``."""
        named = _named(settings)
        given = {name: value for name, value in named.items() if value is not None}
        left_out = (
            name.replace("_", "-") for name, value in named.items() if value is None
        )
        typed = typed_command(*as_options(given))
        return " ".join(
            filter(None, (typed, *(f"without --{name}" for name in left_out)))
        )

    def call(self, wanted: CallToTry) -> str:
        """``lstm run w.npz INPUTS --forget-bias 0``."""
        weights = wanted.weights
        if isinstance(weights, Mapping):
            weights = [
                f"{role}={file}:{member}" for role, (file, member) in weights.items()
            ]
        words = ("lstm", wanted.call, *weights, *wanted.others)
        return typed_command(*words, *as_options(_named(wanted.settings)))


def _named(settings: Settings) -> dict[str, object]:
    return {OTHER_NAMES.get(name, name): value for name, value in settings.items()}
