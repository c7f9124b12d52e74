"""The table of conventions, and one row of it in words. No numpy here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lstmcli.core.model.conventions import Convention, Storage
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.templates import (
    describe_role,
    direction_marks,
    has_tensor_per_gate,
    tensor_names,
)
from lstmcli.views.prose import labelled, to_copy
from lstmcli.views.sheet import AGREES, ASSUMED, Column, Sheet, table

# ---- the table

Cells = Mapping[str, Callable[[Convention], str]]


def _is_fused(row: Convention) -> bool:
    return "fused" in row.names.tensors


def _order(row: Convention) -> str:
    return "apart" if has_tensor_per_gate(row) else row.storage.gates


def _kernel(row: Convention) -> str:
    return f"{row.storage.orientation} x;h" if _is_fused(row) else row.storage.orientation


def _biases(row: Convention) -> str:
    if row.storage.bias_halves == 2:
        return "8H"
    return "2" if {"bias", "recurrent_bias"} <= set(row.names.tensors) else "1"


def _forget_bias(row: Convention) -> str:
    return f"{row.behaviour.forget_bias:+g}" if row.behaviour.forget_bias else "0"


def _run(row: Convention) -> str:
    if row.verified.startswith("run"):
        return "yes"
    return "part" if row.verified else "no"


def what(row: Convention) -> str:
    """What the row is, without the names of its tensors."""
    return row.title.split(": ")[0] + (", gates alternate" if row.storage.interleaved else "")


_COLUMNS: Cells = {
    "name": lambda row: row.name,
    "gates": _order,
    "kernel": _kernel,
    "bias": _biases,
    "f +": _forget_bias,
    "run": _run,
}

_LEGEND = (
    "gates: their order in a matrix; apart: each gate has tensors of its own. kernel: gates along "
    "cols (I, 4H) or rows (4H, I); x;h: one kernel (I + H, 4H) holds both. bias: how many; 8H: "
    "two in one. f +: added to the forget gate at run time and in no tensor. run: whether the "
    "framework itself has run and agreed; part: its equations were, or its weights; no: read in "
    "its source only."
)


def conventions_sheet(rows: Sequence[Convention], width: int | None) -> Sheet:
    """A line a row; in a terminal, what a row is goes on where it lacks room, or below the row."""
    facts = [
        Column(name, [cell(row) for row in rows], left=True) for name, cell in _COLUMNS.items()
    ]
    room = None if width is None else width - sum(column.width + 2 for column in facts)
    longest = max(len(word) for row in rows for word in what(row).split())
    if room is not None and room < longest:
        sheet = _two_lines_a_row(facts, [what(row) for row in rows], width)
    else:
        lines = [_wrapped(what(row), room) for row in rows]
        columns = [Column(c.heading, _spread(c.cells, lines), left=True) for c in facts]
        columns.append(Column("what", [piece for pieces in lines for piece in pieces], left=True))
        sheet = table(columns)
    sheet.add()
    sheet.extend(labelled("", _LEGEND, width, "dim", indent=0))
    sheet.add()
    sheet.extend(labelled("next", f"lstm conventions {rows[0].name}   (all of one row)", width))
    return sheet


def _two_lines_a_row(facts: Sequence[Column], texts: Sequence[str], width: int | None) -> Sheet:
    heading, *rows = table(facts).lines
    sheet = Sheet([heading])
    for row, text in zip(rows, texts, strict=True):
        sheet.lines.append(row)
        sheet.extend(labelled("", text, width, "dim", indent=2))
    return sheet


def _wrapped(text: str, room: int | None) -> list[str]:
    from textwrap import wrap

    if room is None:
        return [text]
    return wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _spread(cells: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells with blanks below them where the last column has more lines than one."""
    return [
        cell if n == 0 else "" for cell, pieces in zip(cells, lines, strict=True)
        for n in range(len(pieces))
    ]  # fmt: skip


# ---- one row


class Line(NamedTuple):
    """What a row's fields come to in words; no words, no line."""

    label: str
    fields: tuple[str, ...]
    words: Callable[[Convention], str]


def convention_sheet(row: Convention, width: int | None) -> Sheet:
    """Every field of a row in words: names, layout, how it runs, how it is known."""
    sheet = Sheet()
    sheet.extend(labelled(row.name, row.title, width, "bold", indent=max(len(row.name) + 3, 12)))
    for heading, lines in SECTIONS.items():
        sheet.add()
        sheet.add((heading, "dim"))
        if lines is NAMES:
            sheet.extend(_tensors(row, width))
        for line in lines:
            if text := line.words(row):
                sheet.extend(labelled(f"  {line.label}", text, width, _style(line, row), INDENT))
    sheet.add()
    command = f"lstm run weights.npz inputs.npy --convention {row.name}"
    sheet.extend(to_copy("next", command, INDENT))
    return sheet


INDENT = 20


def _style(line: Line, row: Convention) -> str:
    if line.label == "assumed":
        return ASSUMED
    return AGREES if line.label == "verified" and _run(row) == "yes" else ""


def _tensors(row: Convention, width: int | None) -> Sheet:
    sheet = Sheet()
    for role in row.names.tensors:
        if role != "numbered":
            names = (" or " if " | " in row.names.tensors[role] else ", ").join(
                tensor_names(row, role)
            )
            sheet.extend(labelled(f"  {describe_role(role)}", names, width, "", INDENT))
    return sheet


# ---- names


def _numbered(row: Convention) -> str:
    if not row.names.numbered:
        return ""
    roles = ", ".join(
        f"{n} {describe_role(r).replace('.', ' ')}" for n, r in enumerate(row.names.numbered)
    )
    return f"{tensor_names(row, 'numbered')[0]}, N: {roles}; then the next layer's"


def _layer_and_direction(row: Convention) -> str:
    told = []
    if "{layer}" in "".join(row.names.tensors.values()):
        told.append("N is the layer's number")
    elif "?P<layer>" in row.names.path:
        told.append("a number before the name tells the layer")
    if any(row.names.marks):
        forward, backward = row.names.marks
        told.append(f"{forward or 'nothing'} marks the forward direction, {backward} the backward")
    elif any(marks := direction_marks(row)):
        told.append(f"{' or '.join(marks)} before the name tells the direction")
    if row.names.scopes:
        told.append("a graph beside the file goes before such a name")
    if row.storage.directions_count:
        told.append("directions are numbered like layers")
    return "; ".join(told)


def _recognised(row: Convention) -> str:
    told = (
        []
        if row.names.by_name
        else ["only if asked for (--convention): other rows have these names"]
    )
    if row.names.within:
        told.append(f"where {row.names.within.replace(chr(92) + 'd+', 'N')} is in the name")
    if row.names.telling:
        told.append(
            f"beside other LSTMs only under a name with {' or '.join(row.names.telling.split('|'))}"
        )
    told += [f"with its {describe_role(role)}" for role in row.names.required]
    if row.names.shadows:
        told.append(f"beside it, names of {row.names.shadows} are aliases and not read")
    return "; ".join(told) or "by these names"


def _written(row: Convention) -> str:
    """What convert writes before the names of a lone cell."""
    forward = direction_marks(row)[0]
    plain = row.names.under.split(" | ")[0].format(layer="N", nth="", direction=forward)
    return f"lstm convert writes {plain} before them" if plain else ""


# ---- layout


def _gates(row: Convention) -> str:
    if has_tensor_per_gate(row):
        text = f"a tensor each, above in the order {spaced_order(row.storage.letters)}"
        return text + "".join(
            f"; without {gate}, {how}" for gate, how in row.storage.absent.items()
        )
    text = f"{spaced_order(row.storage.gates)}, " + (
        "alternating unit by unit" if row.storage.interleaved else "one block after the other"
    )
    own = {name: row.storage.order_of(name) for name in ("kernel", "recurrent", "bias")}
    return text + "".join(
        f"; in the {n} {spaced_order(o)}" for n, o in own.items() if o != row.storage.gates
    )


def _shapes(row: Convention) -> str:
    by_rows, width = (
        row.storage.orientation == "rows",
        "H" if has_tensor_per_gate(row) else f"{len(row.storage.gates)}H",
    )
    if _is_fused(row):
        depth = "I + H" if row.storage.rows == "xh" else "H + I"
        shapes = f"({width}, {depth})" if by_rows else f"({depth}, {width})"
    elif by_rows:
        shapes = f"({width}, I), recurrent ({width}, H)"
    else:
        shapes = f"(I, {width}), recurrent (H, {width})"
    return f"{shapes}{', after an axis of directions' if row.storage.direction_axis else ''}"


def _bias(row: Convention) -> str:
    if row.storage.bias_halves == 2:
        return "(8H,): the input's 4H, then the recurrent one's; both are added"
    both = {"bias", "recurrent_bias"} <= set(row.names.tensors)
    times = {"once": "", "twice": ", added twice", "none": ", not added"}
    return ("two, both added" if both else "one") + times.get(
        row.storage.bias, f", {row.storage.bias}"
    )


def _transposed(row: Convention) -> str:
    which = {"kernel": "the kernel", "recurrent": "the recurrent kernel", "both": "both kernels"}
    if row.storage.transposed not in which:
        return ""
    return f"each gate's block of {which[row.storage.transposed]} is stored transposed"


def _projection(row: Convention) -> str:
    if "projection" not in row.names.tensors:
        return ""
    return "(P, H)" if row.storage.projection_rows else "(H, P)"


def _peepholes(row: Convention) -> str:
    if not any("peephole" in role for role in (*row.names.tensors, *row.names.numbered)):
        if row.storage.peephole_gates == Storage().peephole_gates:
            return ""
        order = spaced_order(row.storage.peephole_gates)
        return f"three more columns of the recurrent kernel, {order}"
    order = (
        ""
        if has_tensor_per_gate(row) or "{gate}" in row.names.tensors["peephole"]
        else row.storage.peephole_gates
    )
    sees = {
        "new_c": "that of o sees the new c",
        "after_sigmoid": "that of o is added after the sigmoid",
        "in_tanh": "that of o acts inside the output's tanh",
    }
    in_order = f"in the order {spaced_order(order)}; " if order else ""
    return in_order + sees[row.behaviour.output_peephole]


# ---- run


def _activations(row: Convention) -> str:
    return (
        f"{row.behaviour.recurrent_activation} for i f o, {row.behaviour.activation} for g, "
        f"{row.behaviour.output_activation} for c on its way out"
    )


def _forget(row: Convention) -> str:
    if not row.behaviour.forget_bias:
        return "nothing is added to f at run time"
    return f"{row.behaviour.forget_bias:+g} is added to f at every step; it is in no tensor"


def _coupled(row: Convention) -> str:
    return (
        ""
        if row.behaviour.coupled == "none"
        else f"{row.behaviour.coupled}: that gate has no weights of its own"
    )


def _clips(row: Convention) -> str:
    bounds = {
        "|c|": row.behaviour.cell_clip, "every pre-activation": row.behaviour.gate_clip,
        "|h| after the projection": row.behaviour.projection_clip,
    }  # fmt: skip
    told = [f"{what} at {bound:g}" for what, bound in bounds.items() if bound is not None]
    return ", ".join(told) or "none unless asked for"


def _norm(row: Convention) -> str:
    if not row.behaviour.norm_epsilon:
        return ""
    state = ", and c, which is carried normalised" if "state_scale" in row.names.tensors else ""
    return (
        f"each gate's pre-activation over its units{state}; epsilon {row.behaviour.norm_epsilon:g}"
    )


def _inputs(row: Convention) -> str:
    return "(B, T, I)" if row.behaviour.layout == "batch" else "(T, B, I)"


def _order_of_time(row: Convention) -> str:
    told = {
        "from the last step to the first": row.behaviour.reverse or row.behaviour.go_backwards,
        "outputs in the order of processing": row.behaviour.go_backwards,
        "outputs in the other order of time": row.behaviour.flip_output,
    }
    return ", ".join(text for text, holds in told.items() if holds)


def _merged(row: Convention) -> str:
    words = {
        "concat": "side by side", "sum": "added", "mul": "multiplied", "ave": "averaged",
        "stack": "on an axis of their own",
    }  # fmt: skip
    return f"two directions' outputs {words[row.behaviour.merge]}"


_MASKED = {"zero": "0", "repeat": "the last output again", "run": "computed on, over the padding"}


def _masked(row: Convention) -> str:
    text = _MASKED[row.behaviour.masked_output]
    if row.behaviour.masked_output_merged == row.behaviour.masked_output:
        return text
    return f"{text}; inside a bidirectional layer {_MASKED[row.behaviour.masked_output_merged]}"


def _states(row: Convention) -> str:
    axes = {
        "cells": "(cells, B, H), layer by layer, forward before backward",
        "batch": "(B, directions, H)",
        "features": "(B, directions H)",
    }
    runs = row.behaviour
    empty = "zero" if runs.empty_rows == "zero" else "the initial one"
    given = {
        "given": "",
        "zero": "; a given one is ignored",
        "swapped": "; a given h and c swapped",
    }
    reset = "; every step starts from the first state" if runs.state == "reset" else ""
    of_empty = f"; of a row of length 0, {empty}"
    return f"final ones {axes[runs.states]}{of_empty}{given[runs.initial_state]}{reset}"


def _takes(row: Convention) -> str:
    """The settings that the framework has options for, and their values where not any will do."""
    return ", ".join(
        name.replace("_", " ") + (f" ({' or '.join(values.split())})" if values else "")
        for name, values in row.takes.items()
    )


# ---- known


def _hidden(row: Convention) -> str:
    options = ", ".join(f"--{name.replace('_', '-')}" for name in row.hidden)
    return f"in no tensor, so assumed unless set: {options}" if options else ""


def _verified(row: Convention) -> str:
    return row.verified or "not run: read in the named source only"


NAMES = (
    Line("tensors", ("tensors", "words", "recurrent_words", "numbered"), _numbered),
    Line("layers", ("marks", "path", "scopes", "directions_count"), _layer_and_direction),
    Line("recognised", ("by_name", "telling", "within", "required", "shadows"), _recognised),
    Line("written", ("under",), _written),
    Line("", (), lambda row: "/ . : and _ count alike; any prefix may stand before"),
)
_LAYOUT = (
    Line(
        "gates",
        ("gates", "kernel_gates", "recurrent_gates", "bias_gates", "interleaved", "absent"),
        _gates,
    ),
    Line("kernel", ("orientation", "direction_axis", "rows"), _shapes),
    Line("transposed", ("transposed",), _transposed),
    Line("bias", ("bias", "bias_halves"), _bias),
    Line("projection", ("projection_rows",), _projection),
    Line(
        "peepholes",
        ("peepholes", "peephole_gates", "output_peephole"),
        _peepholes,
    ),
)
_RUNNING = (
    Line("activations", ("activation", "recurrent_activation", "output_activation"), _activations),
    Line("forget bias", ("forget_bias",), _forget),
    Line("coupled", ("coupled",), _coupled),
    Line("clips", ("cell_clip", "gate_clip", "projection_clip"), _clips),
    Line("layer norm", ("norm_epsilon",), _norm),
    Line("inputs", ("layout",), _inputs),
    Line("time", ("reverse", "forward", "flip_output", "go_backwards"), _order_of_time),
    Line("directions", ("merge",), _merged),
    Line("past a row's end", ("past_length",), lambda row: _MASKED[row.behaviour.past_length]),
    Line("masked steps", ("masked_output", "masked_output_merged"), _masked),
    Line("states", ("states", "empty_rows", "state", "initial_state"), _states),
    Line(
        "lengths",
        ("lengths",),
        lambda row: f"as {row.behaviour.lengths}" if row.behaviour.lengths != "given" else "",
    ),
    Line("options", ("takes",), _takes),
    Line("assumed", ("hidden",), _hidden),
)
_KNOWN = (
    Line("source", ("source",), lambda row: row.source),
    Line("verified", ("verified",), _verified),
)

SECTIONS: Mapping[str, Sequence[Line]] = {
    "names": NAMES, "layout": _LAYOUT, "run": _RUNNING, "known from": _KNOWN,
}  # fmt: skip
"""The lines of a row's page; a test sees to it that every field of a convention is in one."""
