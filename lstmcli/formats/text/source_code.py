"""Arrays in the notation of other languages: turned into brackets as NumPy prints them, or refused.

- C, C++, Java, Rust and JavaScript: `to_brackets` turns ``float h[] = {0.1f, 0.2f};``,
  ``vec![0.1]`` and ``Float32Array(2) [0.1, 0.2]`` into brackets.
- MATLAB, Octave, Julia and tables of Markdown: `refuse_matrices`.
"""

from __future__ import annotations

import re

from lstmcli.errors import UserError
from lstmcli.formats.text.numbers import NUMBER

GGML = re.compile(  # above a tensor of llama.cpp's eval-callback: name, op, sizes
    r"(?:^|\n)[^\n=]{0,80}?\s([\w.-]{1,80})(?: \([^\n=]{0,80}\))? = \((\w{1,9})\)[^\n]{0,300}= "
    r"\{(\d{1,12}(?:, \d{1,12})*)\}\s*$",
    re.M,
)

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
