"""Printed arrays: their numbers, the units of their last places, and what a printer left out.

- C, C++, Java, Rust and JavaScript: `to_brackets` turns ``float h[] = {0.1f, 0.2f};``,
  ``vec![0.1]`` and ``Float32Array(2) [0.1, 0.2]`` into brackets as NumPy prints them.
- MATLAB, Octave, Julia and tables of Markdown: `refuse_matrices`.
- Lines such as ``t=0 h: 0.1 0.2``, ``step 3: 0.1 0.2`` and ``h[0][1] = 0.1``: `find_log_lines`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any, Literal

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Document, Gaps, Shape
from lstmcli.formats.files.limits import MOST_PRINTED, check_size
from lstmcli.formats.text.number_text import IS_NUMBER, NUMBER, float32_arrays

Rounded = Literal["places", "significant"]
"""All numbers to the same places, or to the same digits (C's %g)."""

_NOT_SIGNIFICANT = re.compile(r"^[-+]?[0.]*|\D")


@dataclass(frozen=True)
class Print:
    """One printed array."""

    name: str  # "" if it has none
    tokens: list[str]  # the numbers as printed, in C order
    shape: Shape  # of these numbers
    where: str  # source and line, to start a message with
    rounded: Rounded
    factor: float = 1.0
    dtype: np.dtype[Any] | None = None
    label: str = ""  # other text before it that ends in a colon, without digits
    gaps: Gaps | None = None  # what abbreviated output leaves out
    steps: list[int] | None = None  # the indices of its first axis, if written

    def scaled(self, numbers: Iterable[float]) -> np.ndarray:
        """A number for each token, times the factor, in the shape."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return (np.array([*numbers], dtype=np.float64) * self.factor).reshape(
                self.shape
            )


Ahead = dict[int, set[int | None]]
"""By depth, the numbers of items before ``...`` in the lists of that depth; None: no ``...``."""


def gaps_of(
    shape: Shape, ahead: Ahead, printed: Shape | None, where: str
) -> Gaps | None:
    """Return what abbreviated output leaves out; None if it has all numbers."""
    before: list[int | None] = []
    for axis in range(len(shape)):
        places = ahead[axis]
        if len(places) > 1:
            raise UserError(
                f'{where}: "..." does not stand at one place in all lists of a depth.'
            )
        before += places
    if before == [None] * len(shape):
        return None
    given = zip(shape, before, printed or shape, strict=False)
    fits = all(n == m if b is None else n < m for n, b, m in given)
    if printed and not (fits and len(printed) == len(shape)):
        text = f"{where}: the printed shape is {printed}, which these brackets do not have."
        raise UserError(text)
    check_size(printed or shape, np.dtype(np.float64).itemsize, where)
    return Gaps(tuple(before), printed, where)


def document_of(prints: list[Print], part: Part, source: str) -> Document:
    """The document of prints, those of one name stacked, with their units."""
    groups: dict[str, list[Print]] = {}
    for each in prints:
        groups.setdefault(each.name, []).append(each)
    fractions = {_split(token) for each in prints for token in each.tokens}
    fixed = max(
        (digits for digits, exponent in fractions if exponent is None), default=0
    )
    powers = (digits for digits, exponent in fractions if exponent is not None)
    scientific = max(powers, default=0)
    arrays, units, dtypes, gaps = {}, {}, {}, {}
    for name, group in groups.items():
        _refuse_unlike(group)
        first, several = group[0], len(group) > 1
        values = [each.scaled(map(float, each.tokens)) for each in group]
        of_values = [_units(each, fixed, scientific) for each in group]
        arrays[name] = np.stack(values) if several else values[0]
        units[name] = np.stack(of_values) if several else of_values[0]
        if first.dtype is not None:
            dtypes[name] = first.dtype
        if first.gaps is not None:
            gaps[name] = first.gaps
        if (
            first.gaps is not None and several
        ):  # with the axis along which they are stacked
            shape = (
                None if first.gaps.shape is None else (len(group), *first.gaps.shape)
            )
            gaps[name] = replace(
                first.gaps, before=(None, *first.gaps.before), shape=shape
            )
    silent = {name: array for name, array in arrays.items() if name not in dtypes}
    dtypes |= float32_arrays(silent)
    return Document(
        source,
        "text",
        arrays,
        {},
        _layout(arrays),
        units,
        dtypes,
        gaps=gaps,
        part=part,
    )


def _refuse_unlike(group: list[Print]) -> None:
    label = next((each.label for each in group if each.label), "")

    def compared(each: Print) -> dict[str, object]:
        return {
            "shape": each.shape,
            "gaps": "(none)"
            if each.gaps is None
            else (each.gaps.before, each.gaps.shape),
            "dtype": each.dtype or "(none)",
            "label": each.label or label,
        }

    expected = compared(group[0])
    for each in group:
        for what, found in compared(each).items():
            if found != expected[what]:
                raise UserError(
                    f"{each.where}: this array has the {what} {found}, an earlier one has "
                    f"{expected[what]}. Steps of one array must be alike; give different arrays "
                    "names: h = [[...]]."
                )


def _layout(arrays: dict[str, np.ndarray]) -> str | None:
    """2-D arrays are (steps, units), 3-D ones (steps, 1, units), others unknown."""
    deeper = [array.shape for array in arrays.values() if array.ndim > 2]
    if deeper:
        return (
            "time"
            if all(len(shape) == 3 and shape[1] == 1 for shape in deeper)
            else None
        )
    return "steps" if any(array.ndim == 2 for array in arrays.values()) else None


# ---- the unit of a printed number


def _split(token: str) -> tuple[int, int | None]:
    """Digits after the point, and the exponent (None if there is none)."""
    mantissa, _, exponent = token.lower().partition("e")
    return len(mantissa.partition(".")[2]), int(exponent) if exponent else None


def _units(each: Print, fixed: int, scientific: int) -> np.ndarray:
    """The unit of the last printed place, by the longest fraction in the text.

    NumPy strips zeros at the end, so a single number does not show its
    precision. 0, exact, if no number has a fraction (``[0. 1. 1.]``).
    """
    splits = [_split(token) for token in each.tokens]
    if each.rounded == "significant" and len({*splits}) > 1:
        return _significant_units(each)
    unit_of = {}
    for exponent in {exponent for _, exponent in splits}:
        digits = fixed if exponent is None else scientific
        unit_of[exponent] = float(f"1e{(exponent or 0) - digits}") if digits else 0.0
    positive = replace(each, factor=abs(each.factor))
    return positive.scaled(unit_of[exponent] for _, exponent in splits)


def _significant_units(each: Print) -> np.ndarray:
    """The unit of each last digit, if all have as many digits as the longest."""
    mantissas = (token.lower().partition("e")[0] for token in each.tokens)
    digits = max(len(_NOT_SIGNIFICANT.sub("", mantissa)) for mantissa in mantissas)
    magnitudes = np.abs(replace(each, factor=1.0).scaled(map(float, each.tokens)))
    smallest = magnitudes[magnitudes > 0].min(initial=1.0)
    with np.errstate(all="ignore"):
        exponents = np.floor(np.log10(np.where(magnitudes > 0, magnitudes, smallest)))
        units = 10.0 ** (exponents - digits + 1) * abs(each.factor)
    return np.where(np.isfinite(magnitudes), units, 0.0)


# ---- notation of other languages, and lines of a log


GGML = re.compile(  # above a tensor of llama.cpp's eval-callback: name, op, sizes
    r"(?:^|\n)[^\n=]{0,80}?\s([\w.-]{1,80})(?: \([^\n=]{0,80}\))? = \((\w{1,9})\)[^\n]{0,300}= "
    r"\{(\d{1,12}(?:, \d{1,12})*)\}\s*$",
    re.M,
)

# ---- C, Rust, JavaScript

_SOURCE_TEXT = re.compile(
    r"\{\s*[-+{.\d]"  # a list in braces
    r"|\bvec!\s?\[|\b(?:let|const|var|static)\b[^=\n]{0,99}="
    r"|\bFloat(?:32|64)Array\b"
    r"|\b(?:float|double|half) \w{1,80} ?(?:\[\w{0,20}\]){1,9} ?="
    r"|\d(?:_?f(?:32|64))\b"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)  # of C
_WORDS = re.compile(
    r"\b(?:vec|array)!\s*(?=\[)|&(?=\s*(?:vec!)?\s*\[)|\bnew\s+(?=Float)"
    r"|\bFloat(?:32|64)Array(?:\.(?:of|from))?(?:\(\d+\))?\s*(?=[\[(])"
    r"|\((?:float|double)\)"
)
_TYPE = re.compile(
    r"(\b(?:let|static|const)\b[^:=\n]{0,40}?\b\w{1,80}) ?:[^=]{0,99}(?==)"
)
_SUFFIX = re.compile(r"(?<=[\d.])(?:_?f(?:32|64)|[fFlLdD])(?![\w.+-])")
_CALL = re.compile(r"\(\s*(?=\[)|\]\s*\)")  # of a constructor whose name is gone
_MORE_ITEMS = re.compile(r"\.{3}\s*\d+ more items?")
_COMMA_BEFORE_END = re.compile(r",(\s*)\]")


def to_brackets(text: str) -> str:
    """A text with the lists of C, Rust and JavaScript in brackets; its lines stay."""
    if GGML.search(text) or not _SOURCE_TEXT.search(text):
        return text
    text = _COMMENT.sub(_line_ends, text)
    text = _TYPE.sub(r"\1 ", text)
    text = _MORE_ITEMS.sub("...", _WORDS.sub(" ", text))
    text = _CALL.sub(lambda match: match[0].replace("(", " ").replace(")", " "), text)
    text = _SUFFIX.sub("", text.replace("{", " [").replace("}", "]"))
    return _COMMA_BEFORE_END.sub(r"\1]", text)


def _line_ends(comment: re.Match[str]) -> str:
    """The line ends in a comment; all of one that is never closed."""
    is_closed = comment[0].startswith("//") or comment[0].endswith("*/")
    return "\n" * comment[0].count("\n") if is_closed else comment[0]


# ---- MATLAB, Octave, Julia, Markdown

MATRICES = (
    "matrices of MATLAB, Octave and Julia and tables of Markdown are not read. Save the numbers as "
    "CSV: writematrix(h, 'h.csv') in MATLAB, csvwrite('h.csv', h) in Octave, "
    "writedlm(\"h.csv\", h, ',') in Julia."
)
_SIZED = r"(?:\w+[ \t]*=[ \t]*)?\d+(?:×\d+|-element )[^\n]{0,200}:[ \t]*$"  # 2×3 Matrix{Float32}:
_NAMED = (  # h =, and below it numbers, or the first columns
    r"(?:>>[ \t]*)?[A-Za-z]\w*[ \t]*(?:\(:,:[\d,]+\)[ \t]*)?=[ \t]*(?:\d+(?:×\d+)+)?[ \t]*\n\s*"
    rf"(?:Columns? \d|\d+×\d|{NUMBER}(?:[ \t]+(?:{NUMBER}|[*…⋯])){{0,200}}[ \t]*$)"
)
_MATRIX = re.compile(
    rf"^[ \t]*(?:{_SIZED}|{_NAMED})"
    r"|\bFloat(?:16|32|64)\["  # of Julia, with its type
    r"|\A\s*\|",  # a table of Markdown
    re.MULTILINE,
)


def refuse_matrices(text: str, source: str) -> None:
    """Refuse what MATLAB, Octave or Julia printed, and a table of Markdown."""
    if match := _MATRIX.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise UserError(f"{source}, line {line}: {MATRICES}")


# ---- lines of a log

_STEP_NAMES = {"t", "step", "time", "timestep", "frame", "iter", "iteration"}
_NO_ARRAYS = {"shape", "size", "strides", "dims", "ndim", "axis"}
_STEP = re.compile(
    rf"\b({'|'.join(_STEP_NAMES)})\s*[=:#]?\s*(\d{{1,9}})\s*[:,;|)\]]*", re.I
)
_LIST = rf"[\[(]?\s*{NUMBER}(?:[,;\s]+{NUMBER})*\s*[\])]?"
_INDICES = r"\d{1,9}(?:, ?\d{1,9})*"
_VALUES = re.compile(
    rf"(?:^|[\s,;|>(])([A-Za-z_][\w.]*)((?:\s*[\[(]{_INDICES}[\])])*)\s*(?:=|:)\s*({_LIST})(?![\w.])"
)
_BARE = re.compile(rf"^\s*[|:,]*\s*({_LIST})\s*$")
_TIME = re.compile(
    r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?\w*|^\s*\[\s*\d+\.\d+\]"
)  # of a log
_LONG_WORD = re.compile(r"[^\s,;]{300}")  # longer than any name or number of a log
_INDEX = re.compile(r"\d+")
_DECIMAL = re.compile(r"\d\.\d|\d[eE]-?\d")


def find_log_lines(text: str, source: str) -> list[Print]:
    """The arrays of a log, whose lines have a name and numbers, or a step and numbers.

    UserError for numbers without a name or step, rows of different lengths, or
    missing elements.
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
    index: Shape
    step: int | None
    tokens: list[str]
    line: int


def _values_of(line: str, number: int) -> tuple[list[tuple[str, _Row]], str]:
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
            found.append(
                (match[1], _Row(index, step, IS_NUMBER.findall(match[3]), number))
            )
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
    shape = tuple(
        1 + max(along) for along in zip(*(row.index for row in rows), strict=True)
    )
    count, where = prod(shape), f"{source}, line {rows[0].line}"
    if count > MOST_PRINTED:
        raise UserError(f"{where}: an index of {name} is out of range.")
    width = len(rows[0].tokens)
    by_place: dict[Shape, _Row] = {}
    for row in rows:
        if by_place.setdefault(row.index, row) is not row:
            raise UserError(
                f"{source}, line {row.line}: {_element(name, row.index)} comes twice."
            )
    tokens: list[str] = []
    for place in np.ndindex(shape):
        if place not in by_place:
            raise UserError(f"{source}: {_element(name, place)} is missing.")
        tokens += by_place[place].tokens
    return Print(
        name, tokens, shape if width == 1 else (*shape, width), where, "significant"
    )


def _element(name: str, index: Sequence[int]) -> str:
    return name + "".join(f"[{n}]" for n in index)
