"""A page in one file: the answer, and heat maps with the number under the pointer.

The file has a template, a style sheet, a script, and the numbers in base64.
Scales, pooling and labels are those of `lstmcli.views.plot`. What comes from
files is text: escaped HTML, and JSON without ``<``, which the script puts into
text nodes; the page's policy allows no request and no other script.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import islice
from pkgutil import get_data
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.errors import listed
from lstmcli.escaping import one_line, shell_word
from lstmcli.views.colors import GATE, LEVELS, NOT_A_NUMBER, Scale, interpolated
from lstmcli.views.explain import explanation_sheet
from lstmcli.views.export import DARK, LIGHT, html_lines
from lstmcli.views.heatmap import Pooling, Quantity, pooled
from lstmcli.views.plot import (
    DIFFERENCE,
    heat_sheet,
    pooled_words,
    quantities,
    reading_sheets,
    saturation_sheets,
    scales,
)
from lstmcli.views.sheet import Sheet, Width
from lstmcli.views.text import count

if TYPE_CHECKING:
    from lstmcli.api.explain_runs import ExpectedOnRuns
    from lstmcli.api.plot import Drawable
    from lstmcli.core.explain.explanation import Explanation

MOST_CELLS = 3_500_000  # of heat maps: 18.7 MB in base64, a page of 20 MB
MOST_NUMBERS = 2**24  # before they are pooled: 128 MiB in float64
EXACT_CELLS = 100_000  # in float64, 1.1 MB; more are in float32
MOST_MAPS = 24  # of all views, for readers without JavaScript: 33 kB each at most
WIDE, NARROW = 80, 44  # columns of the answer; a phone has room for 44
AS_LOADED, FOUND, EXPECTED = "as loaded", "with the changes", "EXPECTED"
OUTPUT = "output"  # what the output of several cells is called
PARTS = "lstm plot --page draws a part with --steps, --units, --batch"


class View(NamedTuple):
    """A side, or the difference of two."""

    label: str
    arrays: Mapping[str, Array]  # (T, B, H) each
    command: str  # that shows it in a terminal
    differs: bool = False
    selects: bool = True  # the command takes --batch, --cell and --only


class Page(NamedTuple):
    """The contents of a page."""

    title: str
    answer: Callable[[Width], Sequence[Sheet]]
    views: Sequence[View]
    found: Drawable  # with the batch item that is shown first
    pool: str = "mean"
    array: str = ""  # that is shown first; "": all
    only: str = ""  # the arrays that the page is made of, as typed

    def html(self) -> str:
        """The page as a file."""
        planes, pooling = self._planes()
        script = _file("page.js")
        wide, narrow = (
            "".join(map(html_lines, self.answer(Width.of(columns))))
            for columns in (WIDE, NARROW)
        )
        dark = f"@media (prefers-color-scheme: dark) {{ {_colors(DARK)} }}\n"
        return Template(_file("page.html")).substitute(
            title=escape(one_line(self.title)),
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
            style=_colors(LIGHT) + dark + _file("page.css"),
            wide=wide,
            narrow=narrow,
            notes="".join(
                f"<p>{escape(text)}</p>" for text in self._notes(planes, pooling)
            ),
            maps="".join(map(html_lines, self._maps())),
            data=json.dumps(self._data(planes, pooling)).replace("<", r"\u003c"),
            script=script,
        )

    def _quantities(self, view: View, item: int) -> list[Quantity]:
        found = self.found._replace(drawn=view.arrays, differs=view.differs)
        return quantities(found._replace(item=item))

    def _maps(self) -> Iterator[Sheet]:
        """Heat maps in text, for readers without JavaScript."""
        most = MOST_MAPS // len(self.views)
        for view in self.views:
            drawn = dict(islice(view.arrays.items(), most))
            found = self.found._replace(drawn=drawn, differs=view.differs)
            yield Sheet(lines=[[(view.label, "bold")]])
            yield heat_sheet(found, self.pool, Width.of(NARROW), "truecolor")
            others = list(view.arrays)[most:]
            if others:
                text = f"With JavaScript: {listed(others, most)}"
                yield Sheet(lines=[[(text, "dim")]])

    def _planes(self) -> tuple[list[Plane], Pooling]:
        first = [self._quantities(view, self.found.items[0]) for view in self.views]
        shapes = [quantity.values.shape for of_view in first for quantity in of_view]
        pooling = _pooling(shapes, len(self.found.items))
        found: list[Plane] = []
        for n, view in enumerate(self.views):
            of_items = [self._quantities(view, item) for item in self.found.items]
            for same in zip(*of_items, strict=True):  # of one array, in each item
                cells = [
                    pooled(quantity.values, pooling, self.pool) for quantity in same
                ]
                quantity = same[0]._replace(kind=max(one.kind for one in same))
                found.append(Plane(n, quantity, np.stack(cells)))
        names = list(dict.fromkeys(plane.quantity.name for plane in found))
        found.sort(key=lambda plane: names.index(plane.quantity.name))
        of_kind = scales(
            [plane.quantity for plane in found], [plane.cells for plane in found]
        )
        return [
            plane._replace(scale=of_kind[plane.quantity.kind]) for plane in found
        ], pooling

    def _notes(self, planes: Sequence[Plane], pooling: Pooling) -> Iterator[str]:
        if pooling.is_needed:
            yield f"Pooled: {pooled_words(pooling, self.pool)}. {PARTS}."
        shown = len(self.found.items)
        if 1 < shown < self.found.batch:
            yield f"The first {shown:,} of {self.found.batch:,} batch items. {PARTS}."
        most = np.finfo(np.float32).max
        beyond = 0
        for plane in planes:
            is_beyond = np.isfinite(plane.cells) & (abs(plane.cells) > most)
            beyond += int(is_beyond.sum())
        if beyond and not _are_exact(planes):
            yield f"Beyond float32, and shown as infinite: {count(beyond, 'number')}."

    def _data(self, planes: Sequence[Plane], pooling: Pooling) -> dict[str, Any]:
        prefixes = list(dict.fromkeys(plane.prefix for plane in planes))
        is_exact = _are_exact(planes)
        return {
            "views": [
                view._asdict() | {"arrays": list(view.arrays)} for view in self.views
            ],
            "cells": [
                {"label": one_line(name or OUTPUT), "typed": name and shell_word(name)}
                for name in prefixes
            ],
            "items": list(self.found.items),
            "item": self.found.item,
            "array": self.array,
            "only": self.only and shell_word(self.only),
            "first": self._place(planes, prefixes),
            "pool": self.pool,
            "pooling": [pooling.steps, pooling.units],
            "scales": {plane.quantity.kind: _scale(plane.scale) for plane in planes},
            "exact": is_exact,
            "planes": [plane.to_json(prefixes, is_exact) for plane in planes],
        }

    def _place(
        self, planes: Sequence[Plane], prefixes: Sequence[str]
    ) -> dict[str, Any] | None:
        first = self.found.first
        if first is None:
            return None
        place = {"item": first.batch or 0, "step": first.step, "unit": first.unit}
        all_quantities = (plane.quantity for plane in planes)
        for quantity in (one for one in all_quantities if one.name == first.array):
            axes = (self.found.items, quantity.steps, quantity.units)
            if all(
                n in numbers for n, numbers in zip(place.values(), axes, strict=True)
            ):
                prefix, _, base = quantity.name.rpartition(".")
                return {
                    "cell": prefixes.index(prefix),
                    "focus": one_line(base),
                    **place,
                }
        return None


class Plane(NamedTuple):
    """The heat maps of an array of a view, one for each batch item."""

    view: int
    quantity: Quantity  # of the first item
    cells: Array  # (items, steps, units)
    scale: Scale = GATE

    @property
    def prefix(self) -> str:
        """The cell; "" for the only one, or for the output of several."""
        return self.quantity.name.rpartition(".")[0]

    def to_json(self, prefixes: Sequence[str], is_exact: bool) -> dict[str, Any]:
        """The axes, and the cells as float64 if ``is_exact``, else as float32."""
        quantity = self.quantity
        with np.errstate(over="ignore", invalid="ignore"):
            if is_exact:
                data = self.cells.astype("<f8").tobytes()
            else:
                data = self.cells.astype("<f4").tobytes()
        return {
            "view": self.view,
            "cell": prefixes.index(self.prefix),
            "name": one_line(quantity.base),
            "typed": shell_word(quantity.base),
            "words": quantity.words,
            "steps": _axis(quantity.steps),
            "units": _axis(quantity.units),
            "scale": quantity.kind,
            "data": b64encode(data).decode(),
        }


def plot_page(
    found: Drawable, pool: str, title: str, commands: Sequence[str], only: str
) -> str:
    """The page of a plot: of one side, or of two and their difference, drawn for ``only``.

    Each has its command for a terminal.
    """
    sides = [{name: side[name] for name in found.drawn} for side in found.sides]
    labels = [""]
    if sides:
        labels = ["a", "b", DIFFERENCE]
    sides.append(dict(found.drawn))
    views = [
        View(label, arrays, command, label == DIFFERENCE)
        for label, arrays, command in zip(labels, sides, commands, strict=True)
    ]

    def answer(width: Width) -> list[Sheet]:
        sheets = list(reading_sheets(found, width))
        sheets.extend(saturation_sheets(found, width))
        return sheets

    return Page(title, answer, views, found, pool, only=only).html()


def explain_page(
    e: Explanation, runs: ExpectedOnRuns, title: str, expected: str
) -> str:
    """An explanation: EXPECTED next to the run as loaded, and the one with the changes."""
    first = runs.loaded.first
    array, item = next(iter(runs.expected), ""), 0
    if first is not None:
        array, item = first.array, first.batch or 0
    if item not in runs.loaded.items:
        item = 0
    found = runs.loaded._replace(item=item)
    nan = ""
    if any(np.isnan(numbers).any() for numbers in runs.expected.values()):
        nan = f"where {EXPECTED} has no number"

    def answer(width: Width) -> list[Sheet]:
        return [
            explanation_sheet(e, expected, width=width),
            Sheet(width).label("nan", nan),
        ]

    views = [view for view in _views_of(e, runs) if view.arrays]
    return Page(title, answer, views, found, array=array.rpartition(".")[2]).html()


def _views_of(e: Explanation, runs: ExpectedOnRuns) -> Iterator[View]:
    """EXPECTED, the two runs, and how each differs from EXPECTED."""
    of_run, of_expected = runs.commands
    loaded = View(AS_LOADED, runs.loaded.arrays, of_run)
    changed = View(FOUND, runs.found, e.command, selects=False)
    yield View(EXPECTED, runs.expected, of_expected, selects=False)
    yield loaded
    yield changed
    for side in (loaded, changed):
        differences = {
            name: side.arrays[name] - array
            for name, array in runs.expected.items()
            if name in side.arrays and side.arrays[name].shape == array.shape
        }
        label = f"{side.label} - {EXPECTED}"
        yield View(label, differences, of_expected, differs=True, selects=False)


def _are_exact(planes: Sequence[Plane]) -> bool:
    return sum(plane.cells.size for plane in planes) <= EXACT_CELLS


def _pooling(shapes: Sequence[tuple[int, ...]], items: int) -> Pooling:
    pooling = Pooling(1, 1, 1, False)
    while True:
        cells = -(-np.array(shapes) // (pooling.steps, pooling.units))
        across, down = cells.max(axis=0).tolist()
        if items * cells.prod(axis=1).sum() <= MOST_CELLS or across == down == 1:
            return pooling
        if across >= down:
            pooling = pooling._replace(steps=pooling.steps + 1)
        else:
            pooling = pooling._replace(units=pooling.units + 1)


def _axis(numbers: Sequence[int]) -> dict[str, Any]:
    strides = set(np.diff(np.asarray(numbers)).tolist()) or {1}
    if len(strides) > 1:
        return {"numbers": list(numbers), "count": len(numbers)}
    return {"first": int(numbers[0]), "stride": strides.pop(), "count": len(numbers)}


def _scale(scale: Scale) -> dict[str, Any]:
    shades = [interpolated(n / (LEVELS - 1), scale.stops) for n in range(LEVELS)]
    pixels = bytes(part for shade in (*shades, NOT_A_NUMBER) for part in (*shade, 255))
    gradient = ", ".join(f"rgb{shade}" for shade in shades[::15])
    ends = {"low": scale.low, "high": scale.high}
    return {**ends, "gradient": gradient, "pixels": b64encode(pixels).decode()}


def _colors(colors: Mapping[str, str]) -> str:
    variables = (f"--{name}: {color};" for name, color in colors.items())
    return f":root {{ {' '.join(variables)} }}\n"


def _file(name: str) -> str:
    return (get_data(__name__, name) or b"").decode()
