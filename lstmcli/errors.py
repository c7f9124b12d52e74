"""UserError: a mistake that the user can correct."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from math import log10
from typing import Any, NamedTuple

from lstmcli.escaping import one_line, shortened, typed_command

STDIN = "standard input"  # what messages call it
ARRAYS = "the dict of arrays"  # and weights that Python passes as arrays
ARRAY_LIST = "the list of arrays"  # named arr_0, arr_1, ...
INPUTS = "INPUTS"  # in a command: what the user puts there
Settings = Mapping[str, object]
TensorsByRole = Mapping[str, tuple[str, str]]  # the FILE and the MEMBER of each
NO_SETTINGS: Settings = {}


class SettingsToTry(NamedTuple):
    """Settings to add to what was typed, and what they do."""

    settings: Settings  # None: to leave out; ...: any value of it
    text: str = ""


class CallToTry(NamedTuple):
    """A command to type (in Python a function to call), and what it does."""

    call: str  # the command: "run"
    weights: Sequence[str] | TensorsByRole  # paths, or tensors
    others: Sequence[str]  # after the weights: paths, or INPUTS
    settings: Settings = NO_SETTINGS
    text: str = ""


ToTry = SettingsToTry | CallToTry


class UserError(Exception):
    """A mistake that the user can correct.

    The message has what was expected, what was found, and what to type. Its
    lines have no options: ``about`` are the settings that begin it, and
    ``try_`` what may be typed; the command line and Python show both in their
    syntax.

    Control characters in a line, such as a newline in a name, are escaped; a
    message that is too long lacks its middle. The command line prints it
    without a traceback and exits with status 2; in Python it is an ordinary
    exception.

    >>> lstmcli.load("demo/weights")
    Traceback (most recent call last):
    lstmcli.errors.UserError: demo/weights: no such file. Did you mean 'demo/weights.npz'?
    """

    def __init__(
        self,
        first: str,
        *further: str,
        about: Settings = NO_SETTINGS,
        try_: Settings | Iterable[ToTry] = (),
    ) -> None:
        super().__init__(*_message([first, *further]).split("\n"))
        self.about = dict(about)
        if isinstance(try_, Mapping):
            try_ = [SettingsToTry(try_)]
        self.try_: tuple[ToTry, ...] = tuple(try_)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message, without settings."""
        return self.args

    def __str__(self) -> str:
        """The message as Python shows it."""
        return self.shown(Syntax())

    def shown(self, syntax: Syntax) -> str:
        """The message, with its settings in a syntax."""
        lines = list(self.lines)
        if self.about:
            lines[0] = f"{syntax.about(self.about)}: {lines[0]}"
        lines.extend(self._settings_to_try(syntax))
        for one in self.try_:
            if isinstance(one, CallToTry):
                if one.text:
                    lines.append(f"  {one.text}:")
                lines.append(f"  {syntax.call(one)}")
        return _message(lines)

    def _settings_to_try(self, syntax: Syntax) -> Iterator[str]:
        """The lines of settings to try, where several have a column of texts."""
        rows = []
        for one in self.try_:
            if isinstance(one, SettingsToTry):
                rows.append((syntax.settings(one.settings), one.text))
        if len(self.try_) == 1:
            for words, text in rows:
                yield ": ".join(filter(None, (f"  Try {words}", text)))
            return
        width = max((len(words) for words, _ in rows), default=0)
        for words, text in rows:
            yield f"  {words:<{width}}  {text}".rstrip()

    def within(self, where: str) -> UserError:
        """The same mistake, begun with where it was found: ``weights.json``."""
        return self._with(f"{where}: {self.lines[0]}", *self.lines[1:])

    def without(self, where: str) -> UserError:
        """The mistake as it was before `within`."""
        return self._with(self.lines[0].removeprefix(f"{where}: "), *self.lines[1:])

    def adding(self, *further: str, try_: Iterable[ToTry] = ()) -> UserError:
        """The same mistake with further lines, and more to try."""
        return self._with(*self.lines, *further, try_=try_)

    def _with(self, *lines: str, try_: Iterable[ToTry] = ()) -> UserError:
        return UserError(*lines, about=self.about, try_=[*self.try_, *try_])


def _message(lines: Iterable[str]) -> str:
    return shortened("\n".join(map(one_line, lines)))


class Syntax:
    """How a language has settings and calls; this is Python: ``rows='hx'``."""

    def about(self, settings: Settings) -> str:
        """The settings that a message is about."""
        words = []
        for name, value in settings.items():
            if value is ...:
                words.append(name)
            else:
                words.append(f"{name}={value!r}")
        return ", ".join(words)

    def settings(self, settings: Settings) -> str:
        """``rows='hx', layout='batch'``; ``without cell``."""
        arguments: list[str] = []
        dotted: dict[str, object] = {}  # of one cell: no name of an argument
        left_out: list[str] = []
        for name, value in settings.items():
            if value is None:
                left_out.append(f"without {name}")
            elif "." in name:
                dotted[name] = value
            elif value is ...:
                arguments.append(f"{name}=...")
            else:
                arguments.append(f"{name}={value!r}")
        if dotted:
            arguments.append(f"**{dotted}")
        words = left_out
        if arguments:
            words = [", ".join(arguments), *left_out]
        return " ".join(words)

    def call(self, wanted: CallToTry) -> str:
        """``run(['w.npz'], inputs, forget_bias=0)``."""
        arguments = [self._weights(wanted.weights)]
        for word in wanted.others:
            if word.isupper():  # INPUTS
                arguments.append(word.lower())
            else:
                arguments.append(repr(word))
        if wanted.settings:
            arguments.append(self.settings(wanted.settings))
        return f"{wanted.call}({', '.join(arguments)})"

    def _weights(self, weights: Sequence[str] | TensorsByRole) -> str:
        """A path, a list of paths, or a dict of arrays by their roles."""
        if not isinstance(weights, Mapping):
            if len(weights) == 1:
                return repr(weights[0])
            return repr(list(weights))
        if any(source not in (ARRAYS, ARRAY_LIST) for source, _ in weights.values()):
            return repr(
                [f"{role}={file}:{member}" for role, (file, member) in weights.items()]
            )
        items = []
        for role, (source, name) in weights.items():
            key = repr(name)
            if source == ARRAY_LIST:
                key = name.removeprefix("arr_")
            items.append(f'"{role}": arrays[{key}]')
        return f"{{{', '.join(items)}}}"


class NoInputs(UserError):
    """No path is left for the inputs, and no file contains them."""


class Undecided(UserError):
    """Weights that fit in several ways until one of the settings to try is given."""


class MissingExtra(UserError):
    """A package is missing that an extra of this one installs."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}:", f"  {install_command(extra)}")
        self._arguments = purpose, package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        """For pickle, which would call the class with the lines of the message."""
        return MissingExtra, self._arguments


def import_extra(name: str, purpose: str, extra: str, package: str = "") -> Any:
    """A library of an extra; ``package`` is its name for pip, where that differs."""
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtra(purpose, package or name, extra) from None


PYTHON = sys.executable or "python"  # that runs, and needs the packages


def install_command(extra: str) -> str:
    """The pip command for the packages of an extra, without lstmcli itself."""
    return typed_command(PYTHON, "-m", "pip", "install", *packages_of(extra))


def packages_of(extra: str) -> list[str]:
    """The packages that an extra installs, each with its least version: ``h5py>=3.8``."""
    from importlib.metadata import PackageNotFoundError, requires  # after a mistake

    try:
        lines = requires("lstmcli") or []
    except PackageNotFoundError:  # imported from a folder that pip did not install
        lines = []
    packages = []
    for line in lines:  # h5py>=3.8; extra == "h5"
        package, _, condition = line.partition(";")
        if condition.replace('"', "'").strip() == f"extra == '{extra}'":
            packages.append(package.strip())
    return packages or [f"lstmcli[{extra}]"]


def listed(names: Sequence[str], most: int) -> str:
    """``a, b, c and 5 more``: the first ``most`` names, and the count of the others."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


MOST_BITS = 1024  # largest integer shown in a message (float64 overflows at 1024 bits)


def refuse_unprintable(value: object, what: str) -> None:
    """Refuse an integer that is too large, before a message has to show it."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        digits = int(value.bit_length() * log10(2)) + 1
        raise UserError(f"{what} is too large an integer, of about {digits:,} digits.")


NEAR = 0.75  # share of letters in common: "kears" and "keras" 0.8, "inputs" and "units" 0.55
SHORT = 3  # letters of a word for which the next share is enough
NEAR_SHORT = 0.6  # share of letters in common: "rnu" and "run" 0.67


OTHER_NAMES = {
    "batch_first": ("layout", "batch"),  # PyTorch
    "time_major": ("layout", "time"),  # TensorFlow, Keras 2, flax
    "sequence_length": ("lengths", ""),  # TensorFlow 1
    "sequence_lens": ("lengths", ""),  # ONNX
    "inner_activation": ("recurrent_activation", ""),  # Keras 1
    "gate_fn": ("recurrent_activation", ""),  # flax
    "merge_mode": ("merge", ""),  # Keras
    "zero_output_for_mask": ("masked_output", "zero"),  # Keras 3
}
"""Frameworks' names of a setting, and its value where the name is a switch."""


def did_you_mean(word: object, known: Iterable[str], prefix: str = "") -> str:
    """`` Did you mean 'tf1'?``, the end of a message, if a known word is near; else "".

    A framework's name of a setting is near: `` Did you mean layout='batch'?``.
    ``prefix`` is what was typed correctly before the word.
    """
    from difflib import get_close_matches  # 3 ms that only a mistake needs

    typed, plain = _plain(word), {_plain(name): name for name in known}
    name, value = OTHER_NAMES.get(typed, ("", ""))
    if value and name in plain:
        option = plain[name]
        if option.startswith("-"):
            return f" Did you mean {option} {value}?"
        return f" Did you mean {option}={value!r}?"
    least = NEAR
    if len(typed) <= SHORT:
        least = NEAR_SHORT
    near = [one for one in (value, name) if one and one in plain]
    near.extend(get_close_matches(typed, plain, n=1, cutoff=least))
    if not near:
        return ""
    return f" Did you mean '{prefix}{plain[near[0]]}'?"


def _plain(word: object) -> str:
    """A word without what is often typed otherwise: case, ``-`` for ``_``, leading dashes."""
    return str(word).lower().lstrip("-").replace("-", "_")
