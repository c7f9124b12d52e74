"""Escapes for text that is printed: for a terminal or a page, and for a shell."""

from __future__ import annotations

import os
import re
from shlex import quote

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks and overrides of direction
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ud800-\udfff"  # unpaired surrogates: bytes of a file name that are not text
    "\ufffe\uffff"  # which XML forbids
    # other format characters (Cf), and letters and marks that may be invisible
    "\u00ad\u034f\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    "]"
)
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def one_line(text: str) -> str:
    r"""Text that a terminal only shows: control, bidi and invisible characters as ``\x1b``.

    A terminal would carry out what a name in a file contains, and names that
    differ must not look alike. Escapes stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    if match[0] in _SHORT:
        return _SHORT[match[0]]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}"


LONGEST_MESSAGE = 1500  # characters, a screen; names in files may have any length
LONGEST_START = 1000  # characters before the cut; the last lines are what to type
CUT = " ... "


def shortened(message: str) -> str:
    """A message of at most `LONGEST_MESSAGE` characters: its start and its end."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    end = LONGEST_MESSAGE - LONGEST_START - len(CUT)
    return message[:LONGEST_START] + CUT + message[-end:]


def shell_word(word: str) -> str:
    r"""A word as it is typed in a shell; one with unprintable characters as ``$'a\x1b'``."""
    if not _UNPRINTABLE.search(word):
        return quote(word)
    text = word.replace("\\", r"\\").replace("'", r"\'")
    text = _UNPRINTABLE.sub(
        lambda found: "".join(f"\\x{byte:02x}" for byte in os.fsencode(found[0])), text
    )
    return f"$'{text}'"


def file_argument(path: str) -> str:
    """A path as an argument that is no option: ``./-x.npz`` for ``-x.npz``."""
    is_standard_input = path == "-" or path.startswith("-:")
    if path.startswith("-") and not is_standard_input:
        return f"./{path}"
    return path


def with_article(noun: str) -> str:
    """``an LSTM``, ``an If``, ``a Loop``: by the sound of its first letter."""
    vowels = "AEIOUaeiou"
    if noun.isupper():  # its letters are said: an LSTM
        vowels = "AEFHILMNORSX"
    if noun.startswith(tuple(vowels)):
        return f"an {noun}"
    return f"a {noun}"


LONGEST_NAME = 200  # bytes; file systems take 255, an ending included


def file_name(text: str) -> str:
    """A text as the name of a file: quoted as in an address, and a long one cut to be unique."""
    from hashlib import sha256  # 3 ms that only tests need
    from urllib.parse import quote as quoted

    name = quoted(text, safe="[]=,+")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:12]}"


def typed_command(*words: str) -> str:
    """A command line to copy into a shell."""
    return " ".join(map(shell_word, words))
