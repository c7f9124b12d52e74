"""Names of tensors: the templates of the conventions, and what they find at the end of a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import zip_longest
from operator import itemgetter
from typing import Any, NamedTuple

from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.weights.slots import Slot, TensorNames

ONNX_NUMBERED = re.compile(r"(.*?)onnx::LSTM_(\d{1,9})")
_LETTER = re.compile(r"(.*[/.:_])?[wWuUb]")

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Settings = Mapping[str, Any]  # by name
CellIndex = tuple[int, int]  # layer, direction (0 forward, 1 backward)


@dataclass(frozen=True, eq=False, repr=False)
class RecognisedLstm:
    """One LSTM in a file: the row that fits, and the tensors of each cell."""

    convention: Convention
    prefix: str  # of its names before the row's templates, normalised
    cells: Mapping[CellIndex, TensorNames]
    # incomplete cells, and what they lack
    lacking: Mapping[CellIndex, Slot] = field(default_factory=dict)
    rivals: list[str] = field(default_factory=list)  # rows that fit these names as well
    name: str = ""  # of its layer, from the file
    by_shape: bool = False  # recognised by only the shapes

    @property
    def label(self) -> str:
        """Return what ``--layer`` calls it."""
        return self.name or self.prefix

    @cached_property
    def tensors(self) -> list[str]:
        """The names of its tensors in the file."""
        names = []
        for cell in self.cells:
            names.extend(self.names(cell))
        return names

    @property
    def roles(self) -> set[str]:
        """The roles that any of its cells has tensors for."""
        slots = set().union(*self.cells.values())
        return {slot.role for slot in slots}

    def names(self, cell: CellIndex) -> list[str]:
        """The names of one cell's tensors in the file."""
        return list(self.cells[cell].values())


@cache
def normalise(name: str) -> str:
    """The name with ``/``, ``.``, ``:`` and ``_`` alike, and without TensorFlow's ``:0``."""
    return re.sub(r"[/.:_]+", "_", name.removesuffix(":0")).strip("_")


def is_numbered(name: str) -> bool:
    """Return whether an exporter numbered an LSTM's initializer: ``onnx::LSTM_784``."""
    return ONNX_NUMBERED.fullmatch(name) is not None


def is_letter(name: str) -> bool:
    """Return whether a name ends in a letter that any script may use: ``W``, ``lstm_b``."""
    return _LETTER.fullmatch(name) is not None


class NameEnd(NamedTuple):
    """A match of a template with the end of a normalised name."""

    template: Template
    prefix: str
    length: int  # characters of the name in the template
    parts: Mapping[str, str]  # gate, layer, number and direction, if in the template
    is_longest: bool = True  # no template of any row has more of the name


class Template:
    """A template of a row: a text, or a text with fields in braces."""

    def __init__(self, row: Convention, role: str, form: str) -> None:
        self.row, self.role, self.form = row, role, form
        plain = re.sub(r"/_|[/.]", "_", form)  # as `normalise` has it
        self._pieces = re.split(r"\{(\w+)\}", plain) if "{" in plain else [plain]
        self.texts = tuple(self._pieces[::2])

    def end(self, plain: str) -> NameEnd | None:
        """Match a normalised name."""
        if len(self.texts) == 1:
            prefix, size = plain.removesuffix(self.texts[0]), len(self.texts[0])
            if len(prefix) == len(plain) or (prefix and prefix[-1] not in "_-"):
                return None
            return NameEnd(self, prefix[:-1], size, {})
        match = self._pattern.fullmatch(plain)
        if not match:
            return None
        parts = {k: v for k, v in match.groupdict().items() if v is not None}
        prefix = parts.pop("prefix", "")
        if parts.pop("builder", None) is not None:  # each builder is a group
            prefix = plain[: match.end("builder")]
        return NameEnd(self, prefix, len(parts.pop("end")), parts)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        forward, backward = map(re.escape, self.row.names.marks)
        marks = f"{forward}|{backward}" if forward else f"(?:{backward})?"
        patterns = {
            "gate": f"(?P<gate>{'|'.join(map(re.escape, self._gate_words()))})",
            "layer": r"(?P<layer>\d{1,9})",
            "number": r"(?P<number>\d{1,9})",
            "direction": f"(?P<direction>{marks})",
            "builder": r"(?P<builder>(?:_\d{1,9})?)",
        }
        end = ""
        for text, field_name in zip_longest(
            self.texts, self._pieces[1::2], fillvalue=""
        ):
            end += re.escape(text) + patterns.get(field_name, "")
        return re.compile(f"(?:(?P<prefix>.+)[_-])?(?P<end>{end})")

    def _gate_words(self) -> list[str]:
        words: list[str] = []
        for gate in gates_of(self.row, self.role):
            words.extend(map(normalise, self.row.names.words_of(gate, self.role)))
        return words


def gates_of(row: Convention, role: str) -> str:
    """The gates that have tensors, or parts of one, in a role."""
    return "ifo" if role == "peephole" else row.storage.letters


@cache
def _templates() -> dict[str, list[tuple[int, Template]]]:
    """The templates of all rows, numbered in their order, by their longest text.

    A name has to contain it: a file may have a hundred thousand names, the
    table has five hundred templates, and compiling all patterns would take
    most of the time of a small run.
    """
    by_text: dict[str, list[tuple[int, Template]]] = {}
    number = 0
    for row in CONVENTIONS.values():
        for role, forms in row.names.tensors.items():
            for form in forms.split(" | "):
                template = Template(row, role, form)
                longest = max(template.texts, key=len)
                by_text.setdefault(longest, []).append((number, template))
                number += 1
    return by_text


@cache
def name_ends(name: str) -> Mapping[str, list[NameEnd]]:
    """The matches of each row's templates with the end of a name, in the row's order."""
    plain = normalise(name)
    near: list[tuple[int, Template]] = []
    for text, templates in _templates().items():
        if text in plain:
            near.extend(templates)
    near.sort(key=itemgetter(0))
    ends = [template.end(plain) for _, template in near]
    found = [end for end in ends if end is not None]
    longest = 0
    for end in found:
        if re.search(end.template.row.names.within, end.prefix):
            longest = max(longest, end.length)
    by_row: dict[str, list[NameEnd]] = {}
    for end in found:  # so `recurrent_kernel` is no `kernel` of a scope
        is_longest = end.length >= longest
        row = end.template.row.name
        by_row.setdefault(row, []).append(end._replace(is_longest=is_longest))
    return by_row


def names_by_row(names: Iterable[str]) -> dict[str, list[str]]:
    """By row, the names that end in one of its templates."""
    by_row: dict[str, list[str]] = {}
    for name in names:
        for row in name_ends(name):
            by_row.setdefault(row, []).append(name)
    return by_row
