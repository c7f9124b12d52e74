"""Arrays as a console prints them, with the precision they were printed in.

Printed output is brackets with numbers, in any text, which is searched for a
name (``h = [[...]]``, ``h: tensor(...)``), a dtype (``dtype=float32``) and a
factor (``1.00000e-02 *``). Prose, prompts and indices (``h[0]``) are skipped,
doubtful brackets refused. Several arrays of one name, or without a name, are
steps of one array.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lstmcli.core.model.part import WHOLE, Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Document, Shape, compact
from lstmcli.formats.files.limits import MOST_AXES, MOST_ITEMS, MOST_PRINTED
from lstmcli.formats.files.source import Opened, pieces_of
from lstmcli.formats.npy import sole
from lstmcli.formats.text.logs import find_log_lines
from lstmcli.formats.text.nested import to_array
from lstmcli.formats.text.numbers import (
    ABBREVIATED,
    IS_NUMBER,
    NUMBER,
    SEMICOLONS,
    refuse_decimal_commas,
    refuse_long_numbers,
)
from lstmcli.formats.text.prints import Ahead, Print, Rounded, document_of, gaps_of
from lstmcli.formats.text.source_code import (
    GGML,
    MATRICES,
    refuse_matrices,
    to_brackets,
)

SEMICOLON_BETWEEN = re.compile(rf"[^;]+(?:;[^;]+)+|{NUMBER};")
PROMPT = re.compile(r"\bIn \[\d*\]:")
INSIDE = re.compile(  # what may surround numbers in brackets
    r"\b(?:np\.)?(?:array|tensor|Tensor|Array|float\d+)\(|\)"
    r"|,\s*(?:dtype|device|grad_fn|requires_grad)=[^,()\[\]]*"
)
SHAPE = re.compile(
    r"\b(?:Size\(\s*|(?:shape|strides)\s*[=:]\s*(?:\w+\()?)$"
)  # before brackets of a shape
NAME_REACH = 300  # characters before a bracket that may have its name
WRAPPER = re.compile(r"(?:<tf\.\w+[^\[\]]*\bnumpy=\s*)?(?:[\w.]{0,40}\(\s*)*$")
FACTOR = re.compile(rf"({NUMBER})\s*\*\s*$")
WORD = r"['\"]?([A-Za-z_][\w.]*)['\"]?(?:\[[^\[\]]*\])*\s*"
TYPE_LINE = re.compile(
    r"\s*\[(?:torch\.| \w{1,40}Type\{)"
)  # of old PyTorch, and of its C++
NEGATIVE_ZERO = re.compile(r"-(?=0\.0*(?:e[+-]00)?[\s\]])")
COUNT = re.compile(r"\[?\s*\d+\s*\]?")
RUN_TABLE = re.compile(r"^step  +[a-z]", re.MULTILINE)  # the names of its columns
FRACTION = re.compile(r"\d\.\d")
ASSIGNED = re.compile(rf"(?:^|[\s({{,;>]){WORD}=(\s*)$")
TITLED = re.compile(rf"(?:^|\n|>>>|[({{,:;])[ \t]*{WORD}:(\s*)$")
HEADINGS = {
    "output",
    "outputs",
    "result",
    "results",
    "numpy",
    "tensorflow",
    "torch",
    "keras",
}
DTYPE = re.compile(
    r"\bdtype\s*[=:]\s*(?:<dtype: ')?(?:torch\.|tf\.|np\.|numpy\.|jnp\.)?(\w+)"
)
DTYPES = {
    "float16": "f2",
    "half": "f2",
    "f16": "f2",
    "float32": "f4",
    "float": "f4",
    "f32": "f4",
    "float64": "f8",
    "double": "f8",
    "f64": "f8",
    "float128": "g",
    "longdouble": "g",
}
"""Of NumPy, of torch (half, float, double), of candle and ggml (f16, ...)."""

GAP = "..."
ABBREVIATIONS = {GAP, "…", "⋮", "⋱"}

PRINTED_SHAPE = re.compile(  # of NumPy and TensorFlow, Rust's ndarray, candle
    r"(?:\bshape\s*=\s*[(\[]|Tensor\[\[)\s*(\d{1,18}(?:\s*,\s*\d{1,18})*)\s*,?\s*[)\]]"
)
CANDLE_DTYPE = re.compile(r"\s*Tensor\[\[[\d, ]*\], (f16|f32|f64)")


def read_text(text: str, file: Opened) -> Document:
    """Arrays in float64, with the unit of each element's last printed place.

    Several arrays of one name are stacked along a new first axis. The layout
    is "steps" for 2-D arrays, "time" for (n, 1, units), which are n printed
    rows; otherwise unknown. Abbreviated output has the numbers that it shows,
    with `Gaps`. UserError for what `find_prints` and `find_rows` refuse, and
    for arrays whose shapes or labels do not stack.
    """
    source = file.source
    refuse_long_numbers(text, source)
    count = text.count("[") + sum(
        len(piece.replace(",", " ").split()) for piece in pieces_of(text)
    )
    if count > MOST_PRINTED:
        raise UserError(
            f"{source}: {count:,} numbers and brackets; as a console prints them, at most "
            f"{MOST_PRINTED:,} are read. Save the numbers as .npy, .npz or .csv."
        )
    refuse_decimal_commas(text, source)
    prints, part = _all_prints(text, source)
    return document_of(_of_tuple(prints, text), part, source)


TUPLES = {  # of unnamed prints, by count: how it is written, its items' names
    2: (re.compile(r"\(\w+\([^()]*\),\s*\w+\([^()]*\)\)"), ("h_n", "c_n")),
    3: (re.compile(r"\(\w+\(.*\),\s*\(\w+\(.*\)\)\)", re.DOTALL), ("0", "1.0", "1.1")),
}


def _of_tuple(prints: list[Print], text: str) -> list[Print]:
    """The prints; those of a tuple, (h_n, c_n) or (output, (h_n, c_n)), with their names."""
    if len(prints) not in TUPLES or any(each.name for each in prints):
        return prints
    written, names = TUPLES[len(prints)]
    h, c = prints[-2:]
    if h.shape != c.shape or not written.fullmatch(text.strip()):
        return prints
    pairs = zip(prints, names, strict=True)
    return [replace(each, name=name) for each, name in pairs]


def _all_prints(text: str, source: str) -> tuple[list[Print], Part]:
    """The arrays of a text in any notation, and the indices of their steps."""
    refuse_matrices(text, source)
    brackets = to_brackets(text)
    rounded: Rounded = "places" if brackets is text else "significant"
    prints = find_prints(brackets, source, rounded)
    if prints:
        return prints, WHOLE
    logged = find_log_lines(text, source)
    if not logged:
        return [find_rows(text, source)], WHOLE
    steps = logged[0].steps
    if steps is None or any(each.steps != steps for each in logged):
        return logged, WHOLE
    return logged, Part(compact(steps))


def write(
    stream: BinaryIO, arrays: Mapping[str, np.ndarray], attributes: dict[str, Any]
) -> None:
    """Write NumPy's print of the one array, unabbreviated, with as many digits as are exact.

    With ``digits`` among the attributes, of this precision, which NumPy keeps
    where it adds an exponent. What is rounded to zero has no sign.
    """
    array = sole(arrays, "text")
    count = array.size
    if count > MOST_PRINTED:
        raise UserError(
            f"{count:,} numbers are too many to print as text; at most {MOST_PRINTED:,} are. "
            "Write them as .npy, .npz or .csv."
        )
    digits = attributes.get("digits")
    mode: Any = "unique" if digits is None else "maxprec"
    text = np.array2string(
        array, threshold=sys.maxsize, precision=digits, floatmode=mode
    )
    if digits is not None:
        text = NEGATIVE_ZERO.sub(" ", text)
    stream.write(f"{text}\n".encode())


# ---- prints in a text


@dataclass(frozen=True)
class Brackets:
    """Outermost brackets of an array; ``content`` is without calls and dtypes."""

    start: int
    stop: int
    content: str


class Console:
    """A text and the positions of its line ends."""

    def __init__(self, text: str, source: str) -> None:
        self.text = PROMPT.sub(lambda match: " " * len(match[0]), text)
        self._source = source
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def at(self, position: int) -> str:
        """The source and the line of a position, which start a message."""
        return f"{self._source}, line {bisect_left(self._newlines, position) + 1}"


def find_prints(text: str, source: str, rounded: Rounded) -> list[Print]:
    """The printed arrays in order; none if no brackets contain numbers."""
    console = Console(text, source)
    arrays = list(_array_brackets(console))
    if _only_count(console, arrays):
        return []
    _refuse_loose_rows(console, arrays)
    prints: list[Print] = []
    heading = ""
    outside = [console.text[slice(*span)] for span in _outside(console, arrays)]
    for brackets, before, after in zip(arrays, outside, outside[1:], strict=False):
        where = console.at(brackets.start)
        tokens, shape, ahead = _parsed(brackets.content, where)
        words = _described(before[-NAME_REACH:], after, heading, len(shape))
        heading = words.heading
        prints.append(
            Print(
                words.name,
                tokens,
                shape,
                where,
                rounded,
                words.factor,
                words.dtype,
                words.label,
                gaps_of(shape, ahead, words.shape, where),
            )
        )
    return prints


def _only_count(console: Console, arrays: list[Brackets]) -> bool:
    """Return whether brackets number the lines of a log: ``[0] h: 0.1 0.2``."""
    for brackets in arrays:
        before = console.text[: brackets.start].rpartition("\n")[2]
        if before.strip() or not COUNT.fullmatch(brackets.content):
            return False
    return any(
        FRACTION.search(console.text, *span) for span in _outside(console, arrays)
    )


def _outside(console: Console, arrays: list[Brackets]) -> Iterator[tuple[int, int]]:
    """The bounds of the text before, between and behind the arrays."""
    start = 0
    for brackets in arrays:
        yield start, brackets.start
        start = brackets.stop
    yield start, len(console.text)


class Description(NamedTuple):
    """The words that are printed with an array."""

    name: str
    heading: str  # the name of arrays behind it that have none
    label: str = ""
    factor: float = 1.0
    dtype: np.dtype[Any] | None = None
    shape: Shape | None = None


def _described(before: str, after: str, heading: str, axes: int) -> Description:
    """The description of an array by the text in front of it and behind it."""
    ggml = GGML.search(before.rstrip())
    if ggml:
        name, kind, sizes = ggml.groups()
        dtype = np.dtype(DTYPES[kind]) if kind in DTYPES else None
        lengths = tuple(map(int, sizes.split(", ")))  # the last axis first, then ones
        return Description(name, heading, dtype=dtype, shape=lengths[:axes][::-1])
    dtype, shape = _dtype(before, after), printed_shape(before, after)
    scale = 1.0
    factor = FACTOR.search(before)
    if factor:
        scale = float(factor[1])
        before = before[: factor.start()]
    before = WRAPPER.sub("", before)
    name, separate_line = _name(before)
    label = "" if name else _label(before)
    if separate_line or label:
        heading = name
    return Description(name or heading, heading, label, scale, dtype, shape)


def _array_brackets(console: Console) -> Iterator[Brackets]:
    index_end = -1
    text = console.text
    for number, (start, stop) in enumerate(_brackets(console)):
        if number == MOST_ITEMS:
            raise UserError(
                f"{console.at(start)}: more than {MOST_ITEMS:,} brackets stand one after the "
                "other. Print one array, or save the numbers as .npy or .npz."
            )
        follows_name = start > 0 and (
            text[start - 1].isalnum() or text[start - 1] == "_"
        )
        if SHAPE.search(text, max(0, start - NAME_REACH), start):
            continue
        if follows_name or start == index_end:
            index_end = stop
            continue
        content = INSIDE.sub(" ", text[start:stop])
        if _is_array(content, console.at(start)):
            yield Brackets(start, stop, content)


def _brackets(console: Console) -> Iterator[tuple[int, int]]:
    """The bounds of outermost brackets."""
    opened: list[int] = []
    for match in re.finditer(r"[\[\]]", console.text):
        if match[0] == "[":
            opened.append(match.start())
            continue
        if not opened:
            raise UserError(
                f"{console.at(match.start())}: a closing bracket that nothing opened."
            )
        start = opened.pop()
        if not opened:
            yield start, match.end()
    if opened:
        raise UserError(f"{console.at(opened[0])}: this bracket is never closed.")


def _is_array(content: str, where: str) -> bool:
    """Return whether brackets contain an array; UserError for numbers among words."""
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
    if strange[0].endswith(";"):  # of MATLAB and Julia: [0.1 0.2; 0.3 0.4]
        raise UserError(f"{where}: {MATRICES}")
    raise UserError(f'{where}: "{strange[0][:40]}" in the brackets is not a number.')


def _parsed(content: str, where: str) -> tuple[list[str], Shape, Ahead]:
    """The numbers in brackets as text, the shape the brackets give, and their gaps."""
    levels: list[list[Any]] = [[]]
    tokens: list[str] = []
    ahead: Ahead = {}
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
                raise UserError(
                    f'{where}: two "{GAP}" in one list; printed output has one along an axis.'
                )
            found[-1] = len(levels[-1])
        else:
            levels[-1].append(0.0)
            tokens.append(token)
    return tokens, to_array(levels[0][0], f"{where}: the printed array").shape, ahead


def _name(before: str) -> tuple[str, bool]:
    """The name at the end of a text, and whether it is on a separate line.

    A capitalised word with a colon ("TensorFlow:") is a heading, not the name
    of a variable.
    """
    match = ASSIGNED.search(before)
    if match and match[1] not in HEADINGS:
        return match[1], "\n" in match[2]
    match = TITLED.search(before)
    if not match or match[1] in HEADINGS:
        return "", False
    if match[1].islower() or len(match[1]) == 1:
        return match[1], "\n" in match[2]
    return "", False


def _label(before: str) -> str:
    """The last line before an array if it ends in a colon; no digits, but in Out[3]:."""
    line = before.rstrip().rpartition("\n")[2].strip()
    if not line.endswith(":"):
        return ""
    return line if line.startswith("Out[") else re.sub(r"\d+", "", line)


def _dtype(before: str, after: str) -> np.dtype[Any] | None:
    match = CANDLE_DTYPE.match(after) or DTYPE.search(after.split("<tf.")[0])
    if match is None and "<tf." in before:
        match = DTYPE.search(before, before.rindex("<tf."))
    if match is None or match[1] not in DTYPES:
        return None
    return np.dtype(DTYPES[match[1]])


def _refuse_loose_rows(console: Console, arrays: list[Brackets]) -> None:
    """Refuse rows of numbers next to arrays in brackets, which may be part of them."""
    if not arrays:
        return
    for start, stop in _outside(console, arrays):
        for match in re.finditer(r"[^\n]+", console.text[start:stop]):
            words = match[0].replace(",", " ").split()
            if len(words) > 1 and all(map(IS_NUMBER.fullmatch, words)):
                raise UserError(
                    f"{console.at(start + match.start())}: numbers outside of brackets, next to "
                    "arrays in brackets. Keep one of the two."
                )


def find_rows(text: str, source: str) -> Print:
    """Rows of numbers without brackets, as of `numpy.savetxt`: one array (T, K)."""
    if RUN_TABLE.search(text):
        raise UserError(
            f"{source} is the table of a run, which is printed for people and not read back.",
            "  Save the numbers as .npz, .json or .csv, and give that file instead.",
        )
    rows: list[list[str]] = []
    factor = 1.0
    for line, row in enumerate(text.split("\n"), start=1):
        words = row.partition("#")[0].replace(",", " ").split()
        if not words or TYPE_LINE.match(row):  # a comment, or PyTorch's type
            continue
        if len(words) == 2 and words[1] == "*" and IS_NUMBER.fullmatch(words[0]):
            factor = float(words[0])
            continue
        _check_row(words, rows, f"{source}, line {line}")
        rows.append(words)
    if not rows:
        raise UserError(f"{source} has no array of numbers.")
    tokens = [token for row in rows for token in row]
    return Print("", tokens, (len(rows), len(rows[0])), source, "places", factor)


def _check_row(words: list[str], rows: list[list[str]], where: str) -> None:
    if not ABBREVIATIONS.isdisjoint(words):
        raise UserError(f"{where}: {ABBREVIATED}")
    for word in words:
        if IS_NUMBER.fullmatch(word):
            continue
        if SEMICOLON_BETWEEN.fullmatch(word):
            raise UserError(f"{where}: {SEMICOLONS}")
        shown = ascii(word[:40])[1:-1]
        raise UserError(
            f'{where}: "{shown}" is not a number. Expected a printed array, or rows of numbers.'
        )
    if rows and len(words) != len(rows[0]):
        raise UserError(
            f"{where} has {len(words)} numbers; rows before it have {len(rows[0])}."
        )


def printed_shape(before: str, after: str) -> Shape | None:
    """The shape printed with an array: after it, or before in ``<tf.Tensor: ...>``."""
    match = None
    if "<tf." in before:
        match = PRINTED_SHAPE.search(before, before.rindex("<tf."))
    if match is None:
        match = PRINTED_SHAPE.match(after.lstrip(" ,\n"))
    return tuple(map(int, match[1].split(","))) if match else None
