"""UserError: a mistake that the user can correct."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from math import log10
from typing import Any

from lstmcli.escaping import one_line, shortened, typed_command

STDIN = "standard input"  # what messages call it
ARRAYS = "the dict of arrays"  # and weights that a caller of Python passes as arrays
ARRAY_LIST = "the list of arrays"  # named arr_0, arr_1, ...


class UserError(Exception):
    """A mistake that the user can correct.

    The message says what was expected, what was found, and what to type.

    Each argument is one line, in which a newline from a name is escaped like other control
    characters; of a message that is too long, the middle is left out. The command line prints them
    without a traceback and exits with status 2; in Python it is an ordinary exception.
    """

    def __init__(self, first: str, *further: str) -> None:
        lines = "\n".join(map(one_line, (first, *further)))
        super().__init__(*shortened(lines).split("\n"))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message."""
        return self.args

    def __str__(self) -> str:
        """The message, its lines joined."""
        return "\n".join(self.lines)

    def within(self, where: str) -> UserError:
        """The same mistake, its first line begun with where it was found: ``weights.json``."""
        return UserError(f"{where}: {self.lines[0]}", *self.lines[1:])


class NoInputs(UserError):
    """No path is left for the inputs, and no file contains them."""


class Undecided(UserError):
    """Weights that fit in several ways until ``setting`` is given, to which ``value`` is one."""

    def __init__(self, first: str, *further: str, setting: str = "", value: str = "") -> None:
        super().__init__(first, *further)
        self.setting, self.value = setting, value


class MissingExtra(UserError):
    """What was asked for needs a package that an extra of this one installs."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}:", f"  {install_command(extra)}")
        self._arguments = purpose, package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        """For pickle, which would call the class with the lines of the message."""
        return MissingExtra, self._arguments


def import_extra(name: str, purpose: str, extra: str, package: str = "") -> Any:
    """A library that an extra of this package installs; ``package`` where its name is another.

    Raises
    ------
    MissingExtra
        if it is not there, with what it is needed for.
    """
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
"""What the extras of pyproject.toml install, by name; a test compares."""


def install_command(extra: str) -> str:
    """The pip command for the packages of an extra; it does not install lstmcli again."""
    return typed_command("pip", "install", *PACKAGES[extra])


def listed(names: Sequence[str], most: int) -> str:
    """``a, b, c and 5 more``: the first ``most`` names, and the count of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


MOST_BITS = 1024  # of a whole number: more are above every float64; from 14,282 Python prints none


def refuse_unprintable(value: object, what: str) -> None:
    """Refuse a whole number that is too large, before a message has to show it."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        digits = int(value.bit_length() * log10(2)) + 1
        raise UserError(f"{what} is too large a whole number, of about {digits:,} digits.")


NEAR = 0.75  # share of letters in common: "kears" and "keras" 0.8, "inputs" and "units" 0.55
SHORT = 3  # letters of a word for which the next share is enough
LONG = 6  # letters of a name that may have more behind it
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
"""Names that frameworks have for a setting, and the value if the name is that of a switch."""


def did_you_mean(word: object, known: Iterable[str], prefix: str = "") -> str:
    """`` Did you mean "tf1"?`` when a known word is near, else an empty string.

    The name that a framework has for a setting counts as near: `` Did you mean layout="batch"?``.
    Meant for the end of a message, so it starts with a space. ``prefix`` is what was typed
    correctly before the word.
    """
    from difflib import get_close_matches  # 3 ms that only a mistake needs

    plain = {_plain(name): name for name in known}
    name, value = OTHER_NAMES.get(_plain(word), ("", ""))
    if value and value in plain.values():
        return f' Did you mean "{value}"?'
    if value and name in plain:
        text = f" {value}" if plain[name].startswith("-") else f'="{value}"'
        return f" Did you mean {plain[name]}{text}?"
    if name and name in plain:
        return f' Did you mean "{prefix}{plain[name]}"?'
    cutoff = NEAR if len(_plain(word)) > SHORT else NEAR_SHORT
    near = get_close_matches(_plain(word), list(plain), n=1, cutoff=cutoff)
    for name in (
        ()
        if near
        else sorted(
            plain, key=lambda name: (_plain(word).startswith(name), len(name)), reverse=True
        )
    ):
        if len(name) >= LONG and get_close_matches(_plain(word)[: len(name)], [name], 1, NEAR):
            near = [name]  # and more behind it: "forget_bias_value"
            break
    return f' Did you mean "{prefix}{plain[near[0]]}"?' if near else ""


def _plain(word: object) -> str:
    """A word without what is often typed otherwise: case, ``-`` for ``_``, leading dashes."""
    return str(word).lower().lstrip("-").replace("-", "_")
