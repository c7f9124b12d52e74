"""What stands for a character that the terminal's encoding does not have."""

from __future__ import annotations

import codecs

NAME = "lstmcli.letters"
LIKE = str.maketrans("░▒▓█·≡▁▂▃▄▅▆▇▀▼▲▶┤╵─✔×−…", "+*#@.%_.-=+*#\"v^>|'-+x-~")
EMPTY, BRAILLE = 0x2800, range(0x2800, 0x2900)


def _like(letter: str) -> str:
    if ord(letter) in BRAILLE:
        return " " if ord(letter) == EMPTY else "*"
    like = letter.translate(LIKE)
    return like if like.isascii() else "?"


def substitute(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: ASCII that looks alike, of the same width."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_like, error.object[error.start : error.end])), error.end


codecs.register_error(NAME, substitute)
