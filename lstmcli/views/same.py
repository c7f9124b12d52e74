"""Two networks compared: whether they are the same, which arrays differ, and what to type."""

from __future__ import annotations

from lstmcli.core.diff.figures import ArrayDifference, Position
from lstmcli.core.model.selection import format_size
from lstmcli.core.model.shell import as_options
from lstmcli.core.model.vocabulary import GATES, spaced_order
from lstmcli.core.same.difference import NetworkDifference
from lstmcli.core.same.network import GATED
from lstmcli.core.same.readings import Reading
from lstmcli.core.weights.stored import PEEPHOLES
from lstmcli.errors import listed
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.diff import settings_table, tolerance_words
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    DIFFERS,
    Column,
    Sheet,
    Width,
    fitting_table,
    verdict,
)
from lstmcli.views.text import NumberFormat, error_sizes, percent, phrases

NAMED = 6  # arrays in a list
DIGITS = 6


def networks_sheet(d: NetworkDifference, width: Width) -> Sheet:
    """The verdict, both networks, what differs, and what is in one of them alone."""
    sheet = verdict(d.summary, AGREES if d.equal else DIFFERS, width)
    if d.reading is not None and d.is_same_bits:
        sheet.label("", "with this, all values are equal, bit for bit", indent=2)
    elif d.equal and not d.is_same_bits:
        largest = max(array.max_abs or 0.0 for array in d.arrays.values())
        text = f"within {tolerance_words(d)}; max difference {format_size(largest)}"
        sheet.label("", text, indent=2)
    if d.settings:
        sheet.section(settings_table(d.settings))
    sheet.section(_networks(d, width))
    sheet.section(_arrays(d, width))
    sheet.extend(_around(d, width))
    for hint in d.hints:
        sheet.label("open" if hint.code == "left_open" else "found", hint.text)
    if d.reading is not None:
        sheet.extend(_map(d, d.reading, width))
    return sheet


def _map(d: NetworkDifference, reading: Reading, width: Width) -> Sheet:
    """The cells of both, what the numbers leave open, and how B is read or written anew."""
    sheet = Sheet(width)
    if any(pair.a != pair.b for pair in d.map):
        texts = [f"{pair.a} = {pair.b} of b" for pair in d.map]
        sheet.label("cells", phrases(texts))
    if not d.equal:
        sheet.label("map", f"in b, {reading.words}")
    if reading.settings or d.moved:
        options = as_options(reading.settings)
        sources = d.moved or (file_argument(d.sides[1].name),)
        name = d.models[1].convention.name
        words = ("lstm", "convert", *sources, "DST", "--to", name, *options)
        sheet.command("next", typed_command(*words))
    return sheet


def _networks(d: NetworkDifference, width: Width) -> Sheet:
    """A line on each network: its file, its convention and its sizes."""
    sheet = Sheet(width)
    for letter, side, model in zip("ab", d.sides, d.models, strict=True):
        convention = model.convention
        texts = [side.name, convention.name]
        if not convention.names.has_tensor_per_gate:
            texts.append(f"gates {spaced_order(convention.storage.gates)}")
        if convention.behaviour.forget_bias:
            texts.append(f"forget bias {convention.behaviour.forget_bias:+g}")
        texts.extend((model.cell.dtype.name, model.sizes))
        sheet.label(letter, phrases(texts))
    return sheet


def _arrays(d: NetworkDifference, width: Width) -> Sheet:
    """A row for each array, if any differs, and the first number that does."""
    arrays = list(d.arrays.values())
    sheet = Sheet(width)
    if all(array.equal for array in arrays):
        return sheet
    shares = [
        percent(x.mismatched / x.total) if x.mismatched and x.total else ""
        for x in arrays
    ]
    cosines = [
        "" if x.cosine is None or x.equal else f"{x.cosine:z.3f}" for x in arrays
    ]
    columns = [
        Column("tensor", [array.name for array in arrays], "bold", left=True),
        Column("differ", [_counted(array) for array in arrays], DIFFERS),
        Column("", shares, DIFFERS, rank=2),
        Column("max abs", error_sizes([x.max_abs or None for x in arrays]), rank=1),
        Column("cosine", cosines, rank=3),
    ]
    sheet.extend(fitting_table(columns, width))
    if d.first_divergence is not None:
        sheet.add()
        format = NumberFormat.of([d.first_divergence.a, d.first_divergence.b], DIGITS)
        a, b = format.text(d.first_divergence.a), format.text(d.first_divergence.b)
        sheet.label("first", phrases([_place(d.first_divergence), f"a {a}", f"b {b}"]))
    return sheet


def _counted(array: ArrayDifference) -> str:
    if array.mismatched is None:
        a, b = array.shapes
        return f"{a}, {b}"
    if array.equal:
        return "equal"
    return f"{array.mismatched:,} of {array.total:,}"


def _place(first: Position) -> str:
    """``layer0.kernel, gate f, unit 3, column 2``; of other arrays the index."""
    index = list(first.index or ())
    role = first.array.rpartition(".")[2]
    order = PEEPHOLES if role == "peephole" else GATES
    if not first.array.startswith("layer") or role not in (*GATED, "peephole"):
        return f"{first.array} {index}"
    gate, *others = index
    named = zip(("unit", "column"), others, strict=False)
    words = [f"{what} {number}" for what, number in named]
    return ", ".join([first.array, f"gate {order[gate]}", *words])


def _around(d: NetworkDifference, width: Width) -> Sheet:
    """The arrays of one network alone, and the assumptions."""
    sheet = Sheet(width)
    for letter, names in (("a", d.only_in_a), ("b", d.only_in_b)):
        if names:
            cells = [name for name in names if name in d.only_in_cells]
            not_compared = "" if cells else " (not compared)"
            text = f"{listed(names, NAMED)}{not_compared}"
            sheet.label(f"only in {letter}", text)
    if not d.equal or not width.quiet:
        sheet.labels("assumed", d.remarks, ASSUMED)
    return sheet
