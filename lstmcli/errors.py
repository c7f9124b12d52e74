"""UserError: a mistake the user can mend."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend; its text says what was expected, what was found, what to type.

    The text is one line, or a few. The command line prints it without a traceback and exits
    with status 2; in Python it is an ordinary exception.
    """


class NoInputs(UserError):
    """No path is left for the inputs, and no file holds them."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "tf1"?`` when a known word is near, else an empty string.

    Meant for the end of a message, so it starts with a space.
    """
    from difflib import get_close_matches  # 8 ms that only a mistake has to pay

    near = get_close_matches(word, list(known), n=1)
    return f' Did you mean "{near[0]}"?' if near else ""
