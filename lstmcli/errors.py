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
NO_SETTINGS: Settings = {}


class Try(NamedTuple):
    """Something to type, and what it does: settings, or a command (in Python a function)."""

    settings: Settings = NO_SETTINGS  # None: to leave out; ...: any value of it
    text: str = ""
    call: str = ""  # "run": a command; else settings to add to what was typed
    weights: (
        Sequence[str] | Mapping[str, tuple[str, str]]
    ) = ()  # paths; by role, FILE and MEMBER
    others: Sequence[str] = ()  # after the weights: paths, or INPUTS


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
        try_: Settings | Iterable[Try] = (),
    ) -> None:
        lines = "\n".join(map(one_line, (first, *further)))
        super().__init__(*shortened(lines).split("\n"))
        self.about = dict(about)
        self.try_ = (Try(try_),) if isinstance(try_, Mapping) else tuple(try_)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message, without settings."""
        return self.args

    def __str__(self) -> str:
        """The message as Python shows it."""
        return self.shown(Syntax())

    def shown(self, syntax: Syntax) -> str:
        """The message, with its settings in a syntax."""
        first, *further = self.lines
        if self.about:
            first = f"{syntax.about(self.about)}: {first}"
        return shortened(
            "\n".join(map(one_line, (first, *further, *self._tries(syntax))))
        )

    def _tries(self, syntax: Syntax) -> Iterator[str]:
        added = (one for one in self.try_ if not one.call)
        settings = [(syntax.settings(one.settings), one.text) for one in added]
        width = max((len(words) for words, _ in settings), default=0)
        for words, text in settings:
            if len(self.try_) == 1:
                yield f"  Try {words}" + f": {text}" * bool(text)
            else:
                yield f"  {words:<{width}}  {text}".rstrip()
        for call in (one for one in self.try_ if one.call):
            if call.text:
                yield f"  {call.text}:"
            yield f"  {syntax.call(call)}"

    def within(self, where: str) -> UserError:
        """The same mistake, begun with where it was found: ``weights.json``."""
        return self._with(f"{where}: {self.lines[0]}", *self.lines[1:])

    def without(self, where: str) -> UserError:
        """The mistake as it was before `within`."""
        return self._with(self.lines[0].removeprefix(f"{where}: "), *self.lines[1:])

    def adding(self, *further: str, try_: Iterable[Try] = ()) -> UserError:
        """The same mistake with further lines, and more to try."""
        return self._with(*self.lines, *further, try_=try_)

    def _with(self, *lines: str, try_: Iterable[Try] = ()) -> UserError:
        return UserError(*lines, about=self.about, try_=(*self.try_, *try_))


class Syntax:
    """How a language has settings and calls; this is Python: ``rows='hx'``."""

    def about(self, settings: Settings) -> str:
        """The settings that a message is about."""
        return ", ".join(
            name if v is ... else f"{name}={v!r}" for name, v in settings.items()
        )

    def settings(self, settings: Settings) -> str:
        """``rows='hx', layout='batch'``; ``without cell``."""
        given = {name: value for name, value in settings.items() if value is not None}
        dotted = {name: value for name, value in given.items() if "." in name}
        typed = [
            f"{k}={'...' if v is ... else repr(v)}"
            for k, v in given.items()
            if "." not in k
        ]
        typed += [f"**{dotted}"] if dotted else []
        left_out = [
            f"without {name}" for name, value in settings.items() if value is None
        ]
        return " ".join(filter(None, (", ".join(typed), *left_out)))

    def call(self, wanted: Try) -> str:
        """``run(['w.npz'], inputs, forget_bias=0)``."""
        if isinstance(wanted.weights, Mapping):
            weights = self._tensors(wanted.weights)
        else:
            weights = repr(
                [*wanted.weights] if len(wanted.weights) != 1 else wanted.weights[0]
            )
        others = (
            word.lower() if word.isupper() else repr(word) for word in wanted.others
        )
        settings = [self.settings(wanted.settings)] if wanted.settings else []
        return f"{wanted.call}({', '.join((weights, *others, *settings))})"

    def _tensors(self, tensors: Mapping[str, tuple[str, str]]) -> str:
        if any(source not in (ARRAYS, ARRAY_LIST) for source, _ in tensors.values()):
            return repr(
                [f"{role}={file}:{member}" for role, (file, member) in tensors.items()]
            )
        items = (
            f'"{role}": arrays[{repr(name) if source == ARRAYS else name.removeprefix("arr_")}]'
            for role, (source, name) in tensors.items()
        )
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


PACKAGES = {
    "h5": ("h5py>=3.8",),
    "safetensors": ("safetensors>=0.4.1",),
    "gguf": ("gguf>=0.19",),
    "onnx": ("onnx>=1.19",),
    "crc32c": ("google-crc32c>=1.6",),
    "torch": ("torch>=2.2",),
    "onnxruntime": ("onnxruntime>=1.17", "onnx>=1.19"),
    "openvino": ("openvino>=2025.0", "onnx>=1.19"),
    "keras": ("keras>=3.3", "torch>=2.2"),
    "tensorflow": ("tensorflow>=2.16", "tf_keras>=2.16"),
    "jax": ("jax>=0.8", "flax>=0.10"),
    "dask": ("distributed>=2024.1",),
    "plot": ("matplotlib>=3.6",),
}
"""Packages that the extras of pyproject.toml install, by name; a test compares."""


PYTHON = sys.executable or "python"  # that runs, and needs the packages


def install_command(extra: str) -> str:
    """The pip command for the packages of an extra, without lstmcli itself."""
    return typed_command(PYTHON, "-m", "pip", "install", *PACKAGES[extra])


def listed(names: Sequence[str], most: int) -> str:
    """``a, b, c and 5 more``: the first ``most`` names, and the count of the others."""
    more = len(names) - most if len(names) > most + 1 else 0
    return ", ".join(names[: len(names) - more]) + (
        f" and {more:,} more" if more > 0 else ""
    )


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
        text = f" {value}" if plain[name].startswith("-") else f"={value!r}"
        return f" Did you mean {plain[name]}{text}?"
    least = NEAR if len(typed) > SHORT else NEAR_SHORT
    near = [one for one in (value, name) if one and one in plain]
    near += get_close_matches(typed, plain, n=1, cutoff=least)
    return f" Did you mean '{prefix}{plain[near[0]]}'?" if near else ""


def _plain(word: object) -> str:
    """A word without what is often typed otherwise: case, ``-`` for ``_``, leading dashes."""
    return str(word).lower().lstrip("-").replace("-", "_")
