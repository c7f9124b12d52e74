"""Finding the printed arrays in a text from a console.

A print is brackets full of numbers in the middle of anything. What stands around them is looked at
for a name (``h = [[...]]``, ``h: tensor(...)``), a dtype (``dtype=float32``) and a factor
(``1.00000e-02 *``). Prose, prompts and indices (``h[0]``) are passed over; brackets that could be
either are refused.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Gaps
from lstmcli.formats.text.nested_lists import MOST_AXES, to_array
from lstmcli.formats.text.number_text import SEMICOLONS
from lstmcli.formats.text.omissions import ABBREVIATED, ABBREVIATIONS, GAP, gaps_of, told_shape

NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,5})?|(?i:nan|inf(?:inity)?)\b)"
IS_NUMBER = re.compile(NUMBER)
SEMICOLON_BETWEEN = re.compile(rf"[^;]+(?:;[^;]+)+|{NUMBER};")
PROMPT = re.compile(r"\bIn \[\d*\]:")
INSIDE = re.compile(  # what can stand around numbers inside of brackets
    r"\b(?:np\.)?(?:array|tensor|Tensor|Array|float\d+)\(|\)"
    r"|,\s*(?:dtype|device|grad_fn|requires_grad)=[^,()\[\]]*"
)
SHAPE = re.compile(r"\b(?:Size\(\s*|shape\s*[=:]\s*(?:\w+\()?)$")  # before brackets of a shape
MOST_PRINTS = 100_000  # in a text: for each, 20 us go into looking for its name
NEAR = 300  # characters before a bracket in which its name is looked for
WRAPPER = re.compile(r"(?:<tf\.\w+[^\[\]]*\bnumpy=\s*)?(?:[\w.]{0,40}\(\s*)*$")
FACTOR = re.compile(rf"({NUMBER})\s*\*\s*$")
WORD = r"['\"]?([A-Za-z_][\w.]*)['\"]?(?:\[[^\[\]]*\])*\s*"
ASSIGNED = re.compile(rf"(?:^|[\s({{,;>]){WORD}=(\s*)$")
TITLED = re.compile(rf"(?:^|\n|>>>|[({{,:;])[ \t]*{WORD}:(\s*)$")
HEADINGS = {"output", "outputs", "result", "results", "numpy", "tensorflow", "torch", "keras"}
DTYPE = re.compile(r"\bdtype\s*[=:]\s*(?:<dtype: ')?(?:torch\.|tf\.|np\.|numpy\.|jnp\.)?(\w+)")
DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype(np.float16),
    "half": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
    "float": np.dtype(np.float32),  # as torch means it; NumPy never prints it
    "float64": np.dtype(np.float64),
    "double": np.dtype(np.float64),
    "float128": np.dtype(np.longdouble),
    "longdouble": np.dtype(np.longdouble),
}


@dataclass(frozen=True)
class Print:
    """One printed array."""

    name: str  # "" if it has none
    label: str  # other words before it that end in a colon, without digits
    tokens: list[str]  # the numbers as printed, in C order
    shape: tuple[int, ...]  # of these numbers
    factor: float
    dtype: np.dtype[Any] | None
    where: str  # source and line, to start a message with
    gaps: Gaps | None = None  # what an abbreviated print leaves out


@dataclass(frozen=True)
class Group:
    """Outermost brackets that hold numbers, with what is no number removed from inside."""

    start: int
    stop: int
    content: str


class Console:
    """A text and where its lines begin."""

    def __init__(self, text: str, source: str) -> None:
        self.text = PROMPT.sub(lambda match: " " * len(match[0]), text)
        self._source = source
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def at(self, position: int) -> str:
        """How a message about this place starts."""
        return f"{self._source}, line {bisect_left(self._newlines, position) + 1}"


def looks_printed(text: str) -> bool:
    """Whether a text that starts with a bracket is a console's, not JSON.

    JSON has commas between numbers and between lists, digits after a point, and no nan.
    """
    start = text.lstrip("[ \t\r\n")[:200]
    number = IS_NUMBER.match(start)
    if number and re.match(r"\s+[-+.\dni]", start[number.end() :]):
        return True
    return bool(re.search(r"\d\.(?!\d)|\b(?:nan|inf)\b|\]\s+\[|\w\(|\.\.\.|…", text))


def find_prints(text: str, source: str) -> list[Print]:
    """The printed arrays in their order; none if no brackets hold numbers.

    Raises
    ------
    UserError
        An abbreviated print, unfinished or ragged brackets, numbers mixed with something else.
    """
    console = Console(text, source)
    groups = list(_groups(console))
    _refuse_loose_rows(console, groups)
    prints: list[Print] = []
    heading = ""
    for number, group in enumerate(groups):
        begin = groups[number - 1].stop if number else 0
        end = groups[number + 1].start if number + 1 < len(groups) else len(console.text)
        before = console.text[max(begin, group.start - NEAR) : group.start]
        found, heading = _described(group, before, console, end, heading)
        prints.append(found)
    return prints


def _described(
    group: Group, before: str, console: Console, end: int, heading: str
) -> tuple[Print, str]:
    """The print of a group, and the heading that holds for those after it."""
    where = console.at(group.start)
    tokens, shape, ahead = _taken_apart(group.content, where)
    after = console.text[group.stop : end]
    dtype = _dtype(before, after)
    gaps = gaps_of(shape, ahead, told_shape(before, after), where)
    before, factor = _cut_factor(before)
    before = WRAPPER.sub("", before)
    name, own_line = _name(before)
    label = "" if name else _label(before)
    if own_line or label:
        heading = name
    return Print(name or heading, label, tokens, shape, factor, dtype, where, gaps), heading


def _groups(console: Console) -> Iterator[Group]:
    """The brackets that hold arrays; prose, an index and a shape are passed over."""
    index_end = -1
    text = console.text
    for number, (start, stop) in enumerate(_brackets(console)):
        if number == MOST_PRINTS:
            raise UserError(
                f"{console.at(start)}: more than {MOST_PRINTS:,} brackets stand one after the "
                "other. Print one array, or save the numbers as .npy or .npz."
            )
        follows_name = start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_")
        if SHAPE.search(text, max(0, start - NEAR), start):
            continue
        if follows_name or start == index_end:
            index_end = stop
            continue
        content = INSIDE.sub(" ", text[start:stop])
        if _is_array(content, console.at(start)):
            yield Group(start, stop, content)


def _brackets(console: Console) -> Iterator[tuple[int, int]]:
    """The spans of outermost brackets."""
    depth = start = 0
    for match in re.finditer(r"[\[\]]", console.text):
        if match[0] == "[":
            start = match.start() if depth == 0 else start
            depth += 1
            continue
        if depth == 0:
            raise UserError(f"{console.at(match.start())}: a closing bracket that nothing opened.")
        depth -= 1
        if depth == 0:
            yield start, match.end()
    if depth:
        raise UserError(f"{console.at(start)}: this bracket is never closed.")


def _is_array(content: str, where: str) -> bool:
    """Whether brackets hold an array; numbers mixed with something else are an error."""
    words = re.findall(r"[^\s,\[\]]+", content)
    strange = [word for word in words if not IS_NUMBER.fullmatch(word)]
    if not strange:
        return True
    if words[0][0].isalpha() and words[0] == strange[0]:
        return False
    if set(strange) == {GAP} and len(strange) < len(words):
        return True
    if not ABBREVIATIONS.isdisjoint(strange):
        raise UserError(f"{where}: {ABBREVIATED}")
    if len(strange) == len(words):
        return False
    raise UserError(f'{where}: "{strange[0][:40]}" in the brackets is no number.')


def _taken_apart(
    content: str, where: str
) -> tuple[list[str], tuple[int, ...], dict[int, set[int | None]]]:
    """The numbers of nested brackets as text, the shape the brackets give, and their gaps.

    The gaps are told by depth: how many items stand ahead of ``...`` in the lists of that depth.
    """
    levels: list[list[Any]] = [[]]
    tokens: list[str] = []
    ahead: dict[int, set[int | None]] = {}
    found: list[int | None] = [None]
    for token in re.findall(r"[\[\]]|[^\s,\[\]]+", content):
        if token == "[":
            if len(levels) > MOST_AXES:
                raise UserError(f"{where}: nested more than {MOST_AXES} brackets deep.")
            levels.append([])
            found.append(None)
        elif token == "]":
            inner = levels.pop()
            ahead.setdefault(len(levels) - 1, set()).add(found.pop())
            levels[-1].append(inner)
        elif token == GAP:
            if found[-1] is not None:
                raise UserError(f'{where}: two "{GAP}" in one list; a print has one along an axis.')
            found[-1] = len(levels[-1])
        else:
            levels[-1].append(0.0)
            tokens.append(token)
    return tokens, to_array(levels[0][0], f"{where}: the printed array").shape, ahead


def _cut_factor(before: str) -> tuple[str, float]:
    """What stands before an array without the factor, and the factor."""
    match = FACTOR.search(before)
    return (before[: match.start()], float(match[1])) if match else (before, 1.0)


def _name(before: str) -> tuple[str, bool]:
    """The name that ends a text, and whether it has a line of its own.

    A capitalised word with a colon ("TensorFlow:") is a heading, not the name of a variable.
    """
    match = ASSIGNED.search(before)
    if match and match[1] not in HEADINGS:
        return match[1], "\n" in match[2]
    match = TITLED.search(before)
    if match and match[1] not in HEADINGS and (match[1].islower() or len(match[1]) == 1):
        return match[1], "\n" in match[2]
    return "", False


def _label(before: str) -> str:
    """The last line before an array if it ends in a colon; its digits count steps, and go."""
    line = before.rstrip().rpartition("\n")[2].strip()
    return re.sub(r"\d+", "", line) if line.endswith(":") and not line.startswith("Out[") else ""


def _dtype(before: str, after: str) -> np.dtype[Any] | None:
    """The dtype that is printed after an array, or before it in ``<tf.Tensor: ...>``."""
    match = DTYPE.search(after.split("<tf.")[0])
    if match is None and "<tf." in before:
        match = DTYPE.search(before, before.rindex("<tf."))
    return DTYPES.get(match[1]) if match else None


def _refuse_loose_rows(console: Console, groups: list[Group]) -> None:
    """Refuse rows of numbers beside arrays: nobody can say what they belong to."""
    if not groups:
        return
    edges = [0, *(edge for group in groups for edge in (group.start, group.stop))]
    edges.append(len(console.text))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        for match in re.finditer(r"[^\n]+", console.text[start:stop]):
            words = match[0].replace(",", " ").split()
            if len(words) > 1 and all(map(IS_NUMBER.fullmatch, words)):
                raise UserError(
                    f"{console.at(start + match.start())}: numbers outside of brackets, beside "
                    "arrays in brackets. Keep one of the two."
                )


def find_rows(text: str, source: str) -> Print:
    """Rows of numbers without brackets, as `numpy.savetxt` writes them: one array (T, K).

    Raises
    ------
    UserError
        Something that is no number, rows of different lengths, no rows.
    """
    rows: list[list[str]] = []
    factor = 1.0
    for line, words in _row_words(text):
        if len(words) == 2 and words[1] == "*" and IS_NUMBER.fullmatch(words[0]):
            factor = float(words[0])
            continue
        _check_row(words, rows, f"{source}, line {line}")
        rows.append(words)
    if not rows:
        raise UserError(f"{source} holds no array of numbers.")
    tokens = [token for row in rows for token in row]
    return Print("", "", tokens, (len(rows), len(rows[0])), factor, None, source)


def _row_words(text: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each line that is no comment and not PyTorch's ``[torch.FloatTensor ...]``."""
    for line, row in enumerate(text.split("\n"), start=1):
        words = row.partition("#")[0].replace(",", " ").split()
        if words and not words[0].startswith("[torch."):
            yield line, words


def _check_row(words: list[str], rows: list[list[str]], where: str) -> None:
    if not ABBREVIATIONS.isdisjoint(words):
        raise UserError(f"{where}: {ABBREVIATED}")
    for word in words:
        if not IS_NUMBER.fullmatch(word):
            if SEMICOLON_BETWEEN.fullmatch(word):
                raise UserError(f"{where}: {SEMICOLONS}")
            shown = ascii(word[:40])[1:-1]
            raise UserError(
                f'{where}: "{shown}" is no number. Expected a printed array, or rows of numbers.'
            )
    if rows and len(words) != len(rows[0]):
        raise UserError(f"{where} has {len(words)} numbers; rows before it have {len(rows[0])}.")
