"""Arrays in the notation of languages other than Python, and in lines of a log, as prints.

- C, Rust, JavaScript and Julia: `to_brackets` turns ``float h[] = {0.1f, 0.2f};``, ``vec![0.1]``,
  ``Float32Array(2) [0.1, 0.2]`` and ``Float32[0.1 0.2; 0.3 0.4]`` into brackets that the print of
  NumPy would have.
- MATLAB, Octave and Julia print matrices without brackets, wide ones in blocks of columns, and
  arrays of three axes page by page: `find_matrices`. Julia and MATLAB's documents leave out what
  the window does not show: a line of ``⋮``, and ``…`` or ``⋯`` in some rows.
- Lines such as ``t=0 h: 0.1 0.2``, ``step 3: 0.1 0.2`` and ``h[0][1] = 0.1``: `find_log_lines`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any, Literal

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Gaps
from lstmcli.formats.files.limits import MOST_PRINTED, check_size
from lstmcli.formats.text.number_text import IS_NUMBER, NUMBER

Rounded = Literal["places", "significant", "each"]
"""All numbers to the same places, to the same digits (C's %g), or each to its last digit."""

ELIDED = {"...", "…", "⋯", "⋮", "⋱"}


@dataclass(frozen=True)
class Print:
    """One printed array."""

    name: str  # "" if it has none
    tokens: list[str]  # the numbers as printed, in C order
    shape: tuple[int, ...]  # of these numbers
    where: str  # source and line, to start a message with
    rounded: Rounded
    factor: float = 1.0
    dtype: np.dtype[Any] | None = None
    label: str = ""  # other text before it that ends in a colon, without digits
    gaps: Gaps | None = None  # what an abbreviated print leaves out
    steps: list[int] | None = None  # the numbers of its first axis, where they are written


def gaps_of(
    shape: tuple[int, ...],
    ahead: dict[int, set[int | None]],
    printed: tuple[int, ...] | None,
    where: str,
) -> Gaps | None:
    """What an abbreviated print leaves out; None if it has all numbers.

    ``ahead`` has, by depth, the numbers of items before ``...`` in the lists of that depth.
    """
    before: list[int | None] = []
    for axis in range(len(shape)):
        places = ahead[axis]
        if len(places) > 1:
            raise UserError(f'{where}: "..." does not stand at one place in all lists of a depth.')
        before += places
    if before == [None] * len(shape):
        return None
    given = zip(shape, before, printed or shape, strict=False)
    if printed and not (
        len(printed) == len(shape) and all(n == m if b is None else n < m for n, b, m in given)
    ):
        raise UserError(
            f"{where}: the printed shape is {printed}, which these brackets do not have."
        )
    check_size(printed or shape, np.dtype(np.float64).itemsize, where)
    return Gaps(tuple(before), printed, where)


GGML = re.compile(  # the line above a tensor of llama.cpp's eval-callback: name, op, sizes
    r"(?:^|\n)[^\n=]{0,80}?\s([\w.-]{1,80})(?: \([^\n=]{0,80}\))? = \((\w{1,9})\)[^\n]{0,300}= "
    r"\{(\d{1,12}(?:, \d{1,12})*)\}\s*$",
    re.M,
)

# ---- C, Rust, JavaScript

_SOURCE_TEXT = re.compile(
    r"\{\s*[-+{.\d]"  # a list in braces
    r"|\bvec!\s?\[|\b(?:let|const|var|static)\b[^=\n]{0,99}="
    r"|\bFloat(?:16|32|64)(?:Array)?\b"
    r"|\b(?:float|double|half) \w{1,80} ?(?:\[\w{0,20}\]){1,9} ?="
    r"|\d(?:_?f(?:32|64))\b|\[[^\[\];]*\d\s*;"  # and Julia's rows
)
_COMMENT_MARK = re.compile(r"//|/\*")
_WORDS = re.compile(
    r"\b(?:vec|array)!\s*(?=\[)|&(?=\s*(?:vec!)?\s*\[)|\bnew\s+(?=Float)"
    r"|\bFloat(?:32|64)Array(?:\.(?:of|from))?(?:\(\d+\))?\s*(?=[\[(])"
    r"|\bFloat(?:16|32|64)(?=\[)"
    r"|\((?:float|double)\)"
)
_TYPE = re.compile(r"(\b(?:let|static|const)\b[^:=\n]{0,40}?\b\w{1,80}) ?:[^=]{0,99}(?==)")
_SUFFIX = re.compile(r"(?<=[\d.])(?:_?f(?:32|64)|[fFlLdD])(?![\w.+-])")
_CALL = re.compile(r"\(\s*(?=\[)|\]\s*\)")  # of a constructor whose name is gone
_MORE_ITEMS = re.compile(r"\.{3}\s*\d+ more items?")
_COMMA_BEFORE_END = re.compile(r",(\s*)\]")
_ROWS = re.compile(r"\[([^\[\]]*;[^\[\]]*)\]")  # Julia's [0.1 0.2; 0.3 0.4]


def to_brackets(text: str) -> str:
    """A text with the lists of C, Rust, JavaScript and Julia in plain brackets; its lines stay."""
    if GGML.search(text) or not _SOURCE_TEXT.search(text):
        return text
    text = _without_comments(text)
    text = _TYPE.sub(r"\1 ", text)
    text = _MORE_ITEMS.sub("...", _WORDS.sub(" ", text))
    text = _CALL.sub(lambda match: match[0].replace("(", " ").replace(")", " "), text)
    text = _SUFFIX.sub("", text.replace("{", " [").replace("}", "]"))
    text = _ROWS.sub(_in_rows, _JULIA_EXPONENT.sub("e", text))
    return _COMMA_BEFORE_END.sub(r"\1]", text)


def _in_rows(match: re.Match[str]) -> str:
    """Rows of numbers between semicolons, each in brackets."""
    rows = match[1].split(";")
    numbers = all(IS_NUMBER.fullmatch(word) for row in rows for word in row.split())
    return f"[[{'], ['.join(rows)}]]" if numbers else match[0]


def _without_comments(text: str) -> str:
    """The text without the comments of C; its lines stay."""
    kept: list[str] = []
    start = 0
    while match := _COMMENT_MARK.search(text, start):
        end = text.find("\n" if match[0] == "//" else "*/", match.end())
        if end < 0:
            if match[0] == "//":
                kept.append(text[start : match.start()])
                return "".join(kept)
            break
        kept.append(text[start : match.start()])
        kept.append("\n" * text.count("\n", match.start(), end))
        start = end if match[0] == "//" else end + 2
    return "".join([*kept, text[start:]])


# ---- MATLAB, Octave, Julia

MOST_LINE = 10_000  # characters of the first row that are checked
MOST_HEADING = 200  # characters of a line above a matrix

_JULIA = re.compile(
    r"^\s*(?:(\w+)\s*=\s*)?(\d+(?:×\d+)*)(?:-element)?\s+[\w.{}, ()×\[\]]*"
    r"\b(?:Matrix|Vector|Array|CuArray|Adjoint|Transpose)\b.*:\s*$"
)
_MATLAB = re.compile(r"^\s*(?:>>\s*)?([A-Za-z]\w*)\s*(\(:,:(?:,\d+)+\))?\s*=\s*(\d+(?:×\d+)+)?\s*$")
_PROMPT = re.compile(r"^\s*(?:>>|octave:\d+>|julia>)\s*\w*[;]?\s*$")
_JULIA_EXPONENT = re.compile(r"(?<=\d)f(?=[-+]?\d)")  # of a Float32: 1.0f-5
_PAGE = re.compile(r"^\s*\[:, :((?:, \d+)+)\] =\s*$")
_COLUMNS = re.compile(r"^\s*Columns? \d+(?: (?:through|to|and) \d+)?:?\s*$")
_FACTOR = re.compile(rf"^\s*({NUMBER})\s*\*\s*$")
_SIZES = re.compile(r"^\s*(\d+(?:×\d+)+) [\w ]*(?:matrix|vector|array)\s*$")  # of MATLAB, below


@dataclass
class _Block:
    """A matrix that is being read: the rows of each of its pages."""

    name: str
    line: int
    shape: tuple[int, ...] | None = None  # as Julia prints it
    pages: list[list[list[str]]] = field(default_factory=lambda: [[]])
    factor: float = 1.0
    next_row: int = 0  # to which a block of columns adds
    rows_ahead: int | None = None  # the number of rows before those that are left out
    columns_ahead: int | None = None


def find_matrices(text: str, source: str) -> list[Print]:
    """The matrices that MATLAB, Octave or Julia printed; none if the text is not theirs.

    Raises
    ------
    UserError
        Rows of different lengths, or anything other than numbers between them.
    """
    lines = text.split("\n")
    if not _is_matrix_print(lines):
        return []
    blocks: list[_Block] = []
    for number, line in enumerate(lines, start=1):
        where = f"{source}, line {number}"
        if not line.strip() or (len(line) <= MOST_HEADING and _PROMPT.match(line)):
            continue
        heading = line if len(line) <= MOST_HEADING else ""
        if match := _JULIA.match(heading):
            shape = tuple(int(n) for n in match[2].split("×"))
            blocks.append(_Block(match[1] or "", number, shape))
        elif match := _MATLAB.match(heading):
            page_of = blocks and (blocks[-1].name == match[1] or match[1] == "ans")
            if match[2] and page_of:  # Octave calls the pages of h ans(:,:,1)
                _new_page(blocks[-1])
            else:
                sizes = tuple(int(n) for n in match[3].split("×")) if match[3] else None
                name = "" if match[1] == "ans" else match[1]  # MATLAB's, for a value without one
                blocks.append(_Block(name, number, sizes))
        elif not blocks:
            raise UserError(f"{where}: {line.strip()[:40]!a} stands before the name of a matrix.")
        elif _PAGE.match(heading):
            _new_page(blocks[-1])
        elif _COLUMNS.match(heading):
            blocks[-1].next_row = 0
        elif match := _FACTOR.match(heading):
            blocks[-1].factor = float(match[1])
        elif match := _SIZES.match(heading):
            blocks[-1].shape = tuple(int(n) for n in match[1].split("×"))
        else:
            _add_row(blocks[-1], line.split(), where)
    return [_matrix(block, source) for block in blocks if block.pages != [[]]]


def _is_matrix_print(lines: Sequence[str]) -> bool:
    """Whether a name or a size stands above rows of numbers without brackets."""
    for n, line in enumerate(lines):
        if len(line) > MOST_HEADING:
            continue
        if _JULIA.match(line):
            return True
        if _MATLAB.match(line):
            below = next((lines[k] for k in range(n + 1, len(lines)) if lines[k].strip()), "")
            words = [word for word in below[:MOST_LINE].split() if word not in ELIDED]
            rows = bool(words) and all(map(IS_NUMBER.fullmatch, words))
            if rows or any(
                p.match(below[:MOST_HEADING]) for p in (_COLUMNS, _FACTOR, _MATLAB, _SIZES)
            ):
                return True
    return False


def _new_page(block: _Block) -> None:
    if block.pages != [[]]:
        block.pages.append([])
    block.next_row = 0


def _add_row(block: _Block, words: list[str], where: str) -> None:
    page = block.pages[-1]
    if not ELIDED.isdisjoint(words):
        _take_gap(block, words, where)
        if ELIDED.issuperset(words):
            return
        words = [word for word in words if word not in ELIDED]
    words = [_JULIA_EXPONENT.sub("e", word) for word in words]
    for word in words:
        if not IS_NUMBER.fullmatch(word):
            raise UserError(f'{where}: "{ascii(word[:40])[1:-1]}" is no number of a matrix.')
    if block.next_row < len(page):  # a further block of columns
        page[block.next_row] += words
    else:
        page.append(list(words))
    block.next_row += 1


def _take_gap(block: _Block, words: list[str], where: str) -> None:
    """Store the position of the rows or columns that a line shows as left out."""
    of_rows = ELIDED.issuperset(words)
    ahead = len(block.pages[-1]) if of_rows else next(n for n, w in enumerate(words) if w in ELIDED)
    known = block.rows_ahead if of_rows else block.columns_ahead
    twice = not of_rows and sum(word in ELIDED for word in words) > 1
    if len(block.pages) > 1 or twice or (known is not None and (of_rows or known != ahead)):
        raise UserError(
            f"{where}: the print leaves out numbers in several places. Print all of it: in Julia "
            "show(stdout, h), in MATLAB disp or writematrix."
        )
    if of_rows:
        block.rows_ahead = ahead
    else:
        block.columns_ahead = ahead


def _matrix(block: _Block, source: str) -> Print:
    where = f"{source}, line {block.line}"
    sizes = {(len(page), *{len(row) for row in page}) for page in block.pages}
    if len(sizes) != 1 or len(next(iter(sizes))) != 2:
        raise UserError(f"{where}: the rows of {block.name or 'this matrix'} differ in length.")
    rows, columns = next(iter(sizes))
    pages = len(block.pages)
    shape: tuple[int, ...] = (rows, columns) if pages == 1 else (rows, columns, pages)
    order = np.arange(pages)
    if block.shape is not None and prod(block.shape[2:]) == pages:
        order = order.reshape(block.shape[2:], order="F").ravel()  # the first index counts pages
    flat = [
        block.pages[page][row][column]
        for row in range(rows)
        for column in range(columns)
        for page in order
    ]
    before: tuple[int | None, ...] = (block.rows_ahead, block.columns_ahead)
    if before != (None, None):
        if block.shape is not None and len(block.shape) == 1:
            shape, before = (rows,), before[:1]
        ahead = {axis: {number} for axis, number in enumerate(before)}
        gaps = gaps_of(shape, ahead, block.shape, where)
        return Print(block.name, flat, shape, where, "each", block.factor, gaps=gaps)
    if block.shape is not None:
        page_shape = (*block.shape, 1)[:2]  # a vector is one column
        if (rows, columns) != page_shape or pages != prod(block.shape[2:]):
            raise UserError(f"{where}: the shape is {block.shape}; the numbers below are {shape}.")
        shape = block.shape if len(block.shape) < 3 or pages > 1 else shape
    return Print(block.name, flat, shape, where, "each", block.factor)


# ---- lines of a log

_STEP_NAMES = {"t", "step", "time", "timestep", "frame", "iter", "iteration"}
_NO_ARRAYS = {"shape", "size", "strides", "dims", "ndim", "axis"}
_STEP = re.compile(rf"\b({'|'.join(_STEP_NAMES)})\s*[=:#]?\s*(\d{{1,9}})\s*[:,;|)\]]*", re.I)
_LIST = rf"[\[(]?\s*{NUMBER}(?:[,;\s]+{NUMBER})*\s*[\])]?"
_INDICES = r"\d{1,9}(?:, ?\d{1,9})*"
_VALUES = re.compile(
    rf"(?:^|[\s,;|>(])([A-Za-z_][\w.]*)((?:\s*[\[(]{_INDICES}[\])])*)\s*(?:=|:)\s*({_LIST})(?![\w.])"
)
_BARE = re.compile(rf"^\s*[|:,]*\s*({_LIST})\s*$")
_TIME = re.compile(r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?\w*|^\s*\[\s*\d+\.\d+\]")  # of a log
_LONG_WORD = re.compile(r"[^\s,;]{300}")  # longer than any name or number of a log
_INDEX = re.compile(r"\d+")
_DECIMAL = re.compile(r"\d\.\d|\d[eE]-?\d")


def find_log_lines(text: str, source: str) -> list[Print]:
    """The arrays of a log, whose lines have a name and numbers, or a step and numbers.

    Raises
    ------
    UserError
        A line whose numbers have no name or step; rows of different lengths; missing elements.
    """
    rows: dict[str, list[_Row]] = {}
    if _LONG_WORD.search(text):
        return []
    for number, line in enumerate(text.split("\n"), start=1):
        found, rest = _values_of(line, number)
        if _DECIMAL.search(rest):
            if not rows and not found:
                return []  # no log
            raise UserError(
                f"{source}, line {number}: {rest.strip()[:40]!a} has numbers without a name or a "
                "step; lines are as t=0 h: 0.1 0.2, or h[0][1] = 0.1."
            )
        for name, row in found:
            rows.setdefault(name, []).append(row)
    return [_logged(name, found, source) for name, found in rows.items()]


@dataclass
class _Row:
    """The numbers of a line behind one name."""

    index: tuple[int, ...]
    step: int | None
    tokens: list[str]
    line: int


def _values_of(line: str, number: int) -> tuple[list[tuple[str, _Row]], str]:
    """The names of a line with their numbers, and the rest of the line."""
    step, line = None, _TIME.sub(" ", " ".join(line.split()))
    if match := _STEP.search(line):
        step = int(match[2])
        line = f"{line[: match.start()]} {line[match.end() :]}"
        if bare := _BARE.match(line):
            return [("", _Row((), step, IS_NUMBER.findall(bare[1]), number))], ""
    found = []
    for match in _VALUES.finditer(line):
        if match[1].rpartition(".")[2].lower() not in _NO_ARRAYS:
            index = tuple(int(n) for n in _INDEX.findall(match[2]))
            found.append((match[1], _Row(index, step, IS_NUMBER.findall(match[3]), number)))
    return found, _VALUES.sub(" ", line)


def _logged(name: str, rows: list[_Row], source: str) -> Print:
    first = rows[0]
    for row in rows:
        if len(row.tokens) != len(first.tokens) or len(row.index) != len(first.index):
            raise UserError(
                f"{source}, line {row.line}: {name or 'this step'} has {len(row.tokens)} numbers; "
                f"line {first.line} has {len(first.tokens)}."
            )
    if first.index:
        return _by_index(name, rows, source)
    steps = [row.step for row in rows if row.step is not None]
    for before, row in pairwise(rows):
        if row.step is not None and before.step is not None and row.step <= before.step:
            raise UserError(
                f"{source}, line {row.line}: step {row.step} of {name or 'the log'} follows step "
                f"{before.step}; steps ascend."
            )
    tokens = [token for row in rows for token in row.tokens]
    shape = (len(rows), len(first.tokens)) if len(first.tokens) > 1 else (len(rows),)
    numbered = steps if len(steps) == len(rows) else None
    where = f"{source}, line {first.line}"
    return Print(name, tokens, shape, where, "significant", steps=numbered)


def _by_index(name: str, rows: list[_Row], source: str) -> Print:
    """``h[0][1] = 0.1``: every element once, or every row."""
    axes = len(rows[0].index)
    shape = tuple(1 + max(row.index[axis] for row in rows) for axis in range(axes))
    count, where = prod(shape), f"{source}, line {rows[0].line}"
    if count > MOST_PRINTED:
        raise UserError(f"{where}: an index of {name} is out of range.")
    width = len(rows[0].tokens)
    by_place = {row.index: row for row in rows}
    if len(by_place) < len(rows):
        twice = next(row for row in rows if by_place[row.index] is not row)
        shown = "".join(f"[{n}]" for n in twice.index)
        raise UserError(f"{source}, line {by_place[twice.index].line}: {name}{shown} comes twice.")
    tokens: list[str] = []
    for place in np.ndindex(shape):
        if place not in by_place:
            shown = "".join(f"[{n}]" for n in place)
            raise UserError(f"{source}: {name}{shown} is missing.")
        tokens += by_place[place].tokens
    return Print(name, tokens, shape if width == 1 else (*shape, width), where, "significant")
