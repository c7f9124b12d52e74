"""Escapes for text that is printed: for a terminal or a page, and for a shell."""

from __future__ import annotations

import os
import re
from shlex import quote

# C0, DEL, C1; marks and overrides of direction; separators of lines and paragraphs;
# unpaired surrogates (bytes of a file name that are no text); two code points that XML forbids.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def one_line(text: str) -> str:
    r"""Text that a terminal only shows: control, bidi and line-separating characters as ``\x1b``.

    Names come from files, and a terminal would carry out what is in them. What is escaped already
    stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def shell_word(word: str) -> str:
    r"""A word as it is typed in a shell; one with unprintable characters as ``$'a\x1b'``."""
    if not _UNPRINTABLE.search(word):
        return quote(word)
    text = word.replace("\\", r"\\").replace("'", r"\'")
    return f"$'{_UNPRINTABLE.sub(_as_bytes, text)}'"


def _as_bytes(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0]))


def file_argument(path: str) -> str:
    """A path as an argument that no command takes for an option: ``-x.npz`` as ``./-x.npz``."""
    is_option = path.startswith("-") and path != "-" and not path.startswith("-:")
    return f"./{path}" if is_option else path


def typed_command(*words: str) -> str:
    """A command line to copy: its words as they are typed in a shell."""
    return " ".join(map(shell_word, words))
