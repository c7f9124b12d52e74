"""The table of conventions, and one convention in words. Nothing here imports numpy."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from lstmcli.core.model.conventions import Convention, describe_role
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    Column,
    Sheet,
    Width,
    table,
    total_width,
)

# ---- the table


def _biases(row: Convention) -> str:
    if row.storage.bias_halves == 2:
        return "8H"
    if {"bias", "recurrent_bias"} <= set(row.names.tensors):
        return "2"
    return "1"


def _was_run(row: Convention) -> str:
    if row.verified.startswith("run"):
        return "yes"
    if row.verified:
        return "part"
    return "no"


def _gates_in_short(row: Convention) -> str:
    if row.names.has_tensor_per_gate:
        return "split"
    return row.storage.gates


def _kernel(row: Convention) -> str:
    if "fused" in row.names.tensors:
        return f"{row.storage.orientation} x;h"
    return row.storage.orientation


def _added(row: Convention) -> str:
    if not row.behaviour.forget_bias:
        return "0"
    return f"{row.behaviour.forget_bias:+g}"


def description(row: Convention) -> str:
    """The title of a convention, without the names of its tensors."""
    title = row.title.split(": ")[0]
    if row.storage.interleaved:
        return f"{title}, gates alternate"
    return title


COLUMNS: Mapping[str, Callable[[Convention], str]] = {
    "name": lambda row: row.name,
    "gates": _gates_in_short,
    "kernel": _kernel,
    "bias": _biases,
    "f +": _added,
    "tested": _was_run,
}

LEGEND = {
    "gates": "their order in a matrix; split: separate tensors for each gate",
    "kernel": "gates along cols (I, 4H) or rows (4H, I); x;h: one kernel (I + H, 4H) for both",
    "bias": "how many; 8H: two in one tensor",
    "f +": "added to the forget gate at run time, not stored",
    "tested": "against the real framework; part: against its equations or weights only; "
    "no: known from its source code only. lstm runs all of them",
}


def conventions_sheet(rows: Sequence[Convention], width: Width) -> Sheet:
    """A row for each convention, with its description, or with that below it."""
    columns = [
        Column(name, [cell(row) for row in rows], left=True)
        for name, cell in COLUMNS.items()
    ]
    texts = Column("what", [description(row) for row in rows], left=True)
    on_one_line = [*columns, texts]
    if width.table is None or total_width(on_one_line) <= width.table:
        sheet = Sheet(width, table(on_one_line).lines)
    else:
        heading, *lines = table(columns).lines
        sheet = Sheet(width, [heading])
        for line, text in zip(lines, texts.cells, strict=True):
            sheet.lines.append(line)
            sheet.label("", text, indent=2)
    sheet.add()
    for what, text in LEGEND.items():
        sheet.label(what, text)
    sheet.add()
    text = f"lstm conventions {rows[0].name}   (all of one convention)"
    sheet.label("next", text)
    return sheet


# ---- one convention: one line per field

INDENT = 20  # columns of the labels
MOST_LISTED = 4  # names, and conventions
OTHER_NAMES = "unless the file also has the recurrent kernel of another convention"
NOT_RUN = "not run: read in the named source only"
BIASES = {
    "1": "one",
    "2": "two, both added",
    "8H": "(8H,): the input's 4H, then the recurrent one's; both are added",
}
PADDING = {
    "zero": "0",
    "repeat": "the last output again",
    "run": "computed on, over the padding",
}


class Line(NamedTuple):
    """A field of a convention in words, for its page."""

    field: str  # as in the JSON of a convention
    label: str
    words: str | Mapping[Any, str] | Callable[[Convention], str]
    """A text with {} for the value, shown unless it is off; a text for each value; or a function,
    where further fields matter."""
    role: str = ""  # of the tensors that the field is about

    def text(self, row: Convention, values: Mapping[str, Any]) -> str:
        """The line of a row with these values; empty if they have no words."""
        if self.role and self.role not in row.roles:
            return ""
        if callable(self.words):
            return self.words(row)
        value = values[self.field]
        if isinstance(self.words, Mapping):
            return self.words.get(value, "")
        if isinstance(value, tuple):
            value = ", ".join(value)
        if not value or value == "none":
            return ""
        return self.words.format(value)


def _layer(row: Convention) -> str:
    if "{layer}" in "".join(row.names.tensors.values()):
        return "N is the layer's number"
    if "?P<layer>" in row.names.path:
        return "a number before the name is that of the layer"
    return ""


def _direction(row: Convention) -> str:
    marks = row.names.direction_marks
    if any(row.names.marks):
        return f"{marks[0] or 'nothing'} marks the forward direction, {marks[1]} the backward"
    if any(marks):
        return f"{' or '.join(marks)} before the name gives the direction"
    return ""


def _written(row: Convention) -> str:
    forward = row.names.direction_marks[0]
    plain = row.names.under.split(" | ")[0].format(layer="N", nth="", direction=forward)
    if not plain:
        return ""
    return f"lstm convert writes {plain} before them"


def _gates(row: Convention) -> str:
    order = spaced_order(row.storage.gates)
    if not row.names.has_tensor_per_gate:
        return order
    several = {gate: row.names.words_of(gate, "kernel") for gate in row.storage.letters}
    also = [
        f"; {gate} is named {' or '.join(w)}" for gate, w in several.items() if w[1:]
    ]
    return f"a tensor each, {order}{''.join(also)}"


def _forget(row: Convention) -> str:
    if not row.behaviour.forget_bias:
        return "nothing is added to f at run time"
    return (
        f"{row.behaviour.forget_bias:+g} is added to f at every step; it is not stored"
    )


def _masked_merged(row: Convention) -> str:
    merged = row.behaviour.masked_output_merged
    if merged == row.behaviour.masked_output:
        return ""
    return f"inside a bidirectional layer: {PADDING[merged]}"


def _takes(row: Convention) -> str:
    texts = []
    for name, values in row.takes.items():
        text = name.replace("_", " ")
        if values:
            text = f"{text} ({' or '.join(values.split())})"
        texts.append(text)
    return ", ".join(texts)


def _assumed(row: Convention) -> str:
    unset = (name for name in row.hidden if name not in row.required_settings)
    options = [f"--{name.replace('_', '-')}" for name in unset]
    if not options:
        return ""
    return f"not stored, so assumed unless set: {', '.join(options)}"


LINES: Mapping[str, Sequence[Line]] = {
    "names": (
        Line("numbered", "numbered", "N counts {}; then the next layer's"),
        Line("packed", "packed", "one vector: {} (| starts again at the first layer)"),
        Line("path", "layers", _layer),
        Line("marks", "layers", _direction),
        Line("scopes", "layers", "if a graph is in another file, its names are used first"),
        Line("directions_count", "layers", "directions are numbered like layers"),
        Line("stacks", "layers", "each direction is a stack, with skip connections"),
        Line("pairs", "layers", "builders of one layer and size: forward, backward in turn"),
        Line("by_name", "recognised", {
            True: "by these names", False: "only by --convention: other rows have these names",
        }),
        Line("within", "recognised", "where what stands before the name matches {}"),
        Line("telling", "recognised", "if the file has other LSTMs, only under a name with {}"),
        Line("required", "recognised", "with its {}"),
        Line("not_beside", "recognised", lambda row: row.names.not_beside and OTHER_NAMES),
        Line("shadows", "recognised", "next to it, names of {} are aliases and not read"),
        Line("under", "written", _written),
        Line("tensors", "matched", "/ . : and _ count alike; any prefix may stand before"),
    ),
    "layout": (
        Line("gates", "gates", _gates),
        Line("interleaved", "gates", "alternating unit by unit"),
        Line("absent", "gates", lambda row: ", ".join(
            f"without {gate}, {how}" for gate, how in row.storage.absent.items()
        )),
        Line("orientation", "kernel",
            lambda row: ", recurrent ".join(row.kernel_shapes().values())),
        Line("direction_axis", "kernel", "after an axis of directions"),
        Line("rows", "kernel", {"hx": "h before the inputs"}),
        Line("transposed", "kernel", {"both": "each gate's block of both is stored transposed"}),
        Line("bias_halves", "bias", lambda row: BIASES[_biases(row)]),
        Line("bias_row", "bias", "the {} row of the kernel"),
        Line("projection_rows", "projection", {True: "(P, H)", False: "(H, P)"}, "projection"),
        Line("peephole_columns", "peepholes", "three more columns of the recurrent kernel"),
        Line("peephole_gates", "peepholes",
            lambda row: f"in the order {spaced_order(row.storage.peephole_gates)}", "peephole"),
        Line("output_peephole", "peepholes", {
            "new_c": "that of o takes the new c",
            "after_sigmoid": "that of o is added after the sigmoid",
            "in_tanh": "that of o acts inside the output's tanh",
        }, "peephole"),
    ),
    "run": (
        Line("recurrent_activation", "activations", "{} for i f o"),
        Line("activation", "activations", "{} for g"),
        Line("output_activation", "activations", "{} for c in h = o * act(c)"),
        Line("forget_bias", "forget bias", _forget),
        Line("coupled", "coupled", "{}: that gate has no weights"),
        Line("cell_clip", "clips", "|c| at {:g}"),
        Line("norm_epsilon", "layer norm", "of each gate over its units; epsilon {:g}"),
        Line("norm_epsilon", "layer norm", "and of c, which is carried normalised", "state_scale"),
        Line("layout", "inputs", {"batch": "(B, T, I)", "time": "(T, B, I)"}),
        Line("merge", "directions", {
            "concat": "their outputs concatenated", "stack": "their outputs on a new axis",
        }),
        Line("past_length", "past the end", PADDING),
        Line("masked_output", "masked steps", PADDING),
        Line("masked_output_merged", "masked steps", _masked_merged),
        Line("states", "final states", {
            "cells": "(cells, B, H), layer by layer, forward before backward",
            "batch": "(B, directions, H)",
            "features": "(B, directions H)",
        }),
        Line("empty_rows", "final states", {
            "zero": "a sequence of length 0 ends in zeros",
            "initial": "a sequence of length 0 keeps the initial state",
        }),
        Line("takes", "options", _takes),
        Line("hidden", "assumed", _assumed),
        Line("required_settings", "to be set", "--{}, which is not stored"),
    ),
    "known from": (
        Line("source", "source", "{}"),
        Line("verified", "verified", lambda row: row.verified or NOT_RUN),
    ),
}  # fmt: skip
"""The page of a convention: fields, labels and words by heading."""


def convention_sheet(row: Convention, width: Width) -> Sheet:
    """All fields of a convention in words: names, layout, run, source."""
    values = row.to_json()
    indent = max(len(row.name) + 3, 12)
    sheet = Sheet(width).label(row.name, row.title, "bold", indent=indent)
    for heading, lines in LINES.items():
        sheet.add()
        sheet.add((heading, "dim"))
        texts: list[tuple[str, str]] = []
        if heading == "names":
            texts.extend(_tensors(row))
        for line in lines:
            texts.append((line.label, line.text(row, values)))
        shown = [(label, text) for label, text in texts if text]
        for label, of_label in groupby(shown, key=lambda pair: pair[0]):
            words = [text for _, text in of_label]
            sheet.labels(f"  {label}", words, _style(label, row), INDENT)
    sheet.add()
    command = f"lstm run WEIGHTS INPUTS --convention {row.name}"
    sheet.command("next", command, INDENT)
    return sheet


def _tensors(row: Convention) -> Iterator[tuple[str, str]]:
    """Each tensor in words, and its names."""
    for role in row.names.tensors:
        yield describe_role(role), " or ".join(map(", ".join, row.tensor_forms(role)))


def _style(label: str, row: Convention) -> str:
    if label == "assumed":
        return ASSUMED
    if label == "verified" and _was_run(row) == "yes":
        return AGREES
    return ""


# ---- settings on one line


def unusual_settings(convention: Convention, excluded: Container[str]) -> list[str]:
    """The settings that a plain cell lacks, in words, the forget bias first."""
    plain = {
        "activation": "tanh",
        "output_activation": "tanh",
        "recurrent_activation": "sigmoid",
    }
    bias = convention.behaviour.forget_bias
    texts = []
    if bias:
        texts.append(f"forget bias {bias:+.10g}")
    for name, value in convention.settings().items():
        words = name.replace("_", " ")
        if name == "arithmetic" and value == "8bit":
            texts.append("8-bit arithmetic")
        elif name == "arithmetic":
            texts.append(f"8-bit arithmetic ({value})")
        elif name == "forget_bias" or name in excluded or value == plain.get(name):
            continue
        elif value is True:
            texts.append(words)
        else:
            texts.append(f"{words} {value}")
    return texts
