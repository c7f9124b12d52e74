"""UserError: a mistake that the user can correct."""

from __future__ import annotations

from collections.abc import Iterable

from lstmcli.escaping import one_line


class UserError(Exception):
    """A mistake that the user can correct.

    The message says what was expected, what was found, and what to type.

    Each argument is one line, in which a newline from a name is escaped like other control
    characters. The command line prints them without a traceback and exits with status 2; in Python
    it is an ordinary exception.
    """

    def __init__(self, first: str, *further: str) -> None:
        super().__init__(*map(one_line, (first, *further)))

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


class MissingExtra(UserError):
    """What was asked for needs a package that an extra of this one installs."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}:", f"  {install_command(extra)}")
        self._arguments = purpose, package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        """For pickle, which would call the class with the lines of the message."""
        return MissingExtra, self._arguments


def install_command(extra: str) -> str:
    """The command that installs an extra of this package."""
    return f"pip install 'lstmcli[{extra}]'"


class NoInputs(UserError):
    """No path is left for the inputs, and no file contains them."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "tf1"?`` when a known word is near, else an empty string.

    Meant for the end of a message, so it starts with a space.
    """
    from difflib import get_close_matches  # 3 ms that only a mistake needs

    near = get_close_matches(word, list(known), n=1)
    return f' Did you mean "{near[0]}"?' if near else ""
