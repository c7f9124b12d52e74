"""The table of conventions, and one convention in words. Nothing here imports numpy."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from textwrap import wrap

from lstmcli.core.model.conventions import CONVENTIONS, Convention, Storage, describe_role
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    Column,
    Sheet,
    Width,
    labelled,
    labelled_command,
    table,
)

# ---- the table


def _kernel(row: Convention) -> str:
    storage = row.storage
    return f"{storage.orientation} x;h" if "fused" in row.names.tensors else storage.orientation


def _biases(row: Convention) -> str:
    if row.storage.bias_halves == 2:
        return "8H"
    return "2" if {"bias", "recurrent_bias"} <= set(row.names.tensors) else "1"


def _added_bias(row: Convention) -> str:
    bias = row.behaviour.forget_bias
    return f"{bias:+g}" if bias else "0"


def _was_run(row: Convention) -> str:
    if row.verified.startswith("run"):
        return "yes"
    return "part" if row.verified else "no"


def description(row: Convention) -> str:
    """What the convention is of, without the names of its tensors."""
    alternate = ", gates alternate" if row.storage.interleaved else ""
    return row.title.split(": ")[0] + alternate


COLUMNS: Mapping[str, Callable[[Convention], str]] = {
    "name": lambda row: row.name,
    "gates": lambda row: "apart" if row.names.has_tensor_per_gate else row.storage.gates,
    "kernel": _kernel,
    "bias": _biases,
    "f +": _added_bias,
    "run": _was_run,
}

LEGEND = (
    "gates: their order in a matrix; apart: each gate has separate tensors. kernel: gates along "
    "cols (I, 4H) or rows (4H, I); x;h: one kernel (I + H, 4H) contains both. bias: how many; 8H: "
    "two in one. f +: added to the forget gate at run time and in no tensor. run: whether the "
    "framework itself has run and agreed; part: its equations were, or its weights; no: read in "
    "its source only."
)


def conventions_sheet(rows: Sequence[Convention], width: Width) -> Sheet:
    """A line for each convention; descriptions wrap in their column, or below the line."""
    columns = [
        Column(name, [cell(row) for row in rows], left=True) for name, cell in COLUMNS.items()
    ]
    texts = [description(row) for row in rows]
    left = None if width.table is None else width.table - sum(c.width + 2 for c in columns)
    if left is None:
        sheet = table([*columns, Column("what", texts, left=True)])
    elif left < max(len(word) for text in texts for word in text.split()):
        sheet = _with_texts_below(columns, texts, width)
    else:
        sheet = _with_text_column(columns, texts, left)
    sheet.add()
    sheet.extend(labelled("", LEGEND, width, indent=0))
    sheet.add()
    text = f"lstm conventions {rows[0].name}   (all of one convention)"
    sheet.extend(labelled("next", text, width))
    return sheet


def _with_texts_below(columns: Sequence[Column], texts: Sequence[str], width: Width) -> Sheet:
    """The table with each text below its line."""
    heading, *lines = table(columns).lines
    sheet = Sheet([heading])
    for line, text in zip(lines, texts, strict=True):
        sheet.lines.append(line)
        sheet.extend(labelled("", text, width, indent=2))
    return sheet


def _with_text_column(columns: Sequence[Column], texts: Sequence[str], width: int) -> Sheet:
    """The table with texts wrapped in a last column of a width."""
    heading, *lines = table(columns).lines
    sheet = Sheet([[*heading, ("  what", "dim")]])
    blank = " " * sum(column.width + 2 for column in columns)
    for line, text in zip(lines, texts, strict=True):
        first, *below = wrap(text, width, break_long_words=False, break_on_hyphens=False)
        sheet.add(*line, f"  {first}")
        for piece in below:
            sheet.add(blank + piece)
    return sheet


# ---- one convention

INDENT = 20  # columns of the labels


def convention_sheet(row: Convention, width: Width) -> Sheet:
    """All fields of a convention in words: names, layout, run, source."""
    sheet = labelled(row.name, row.title, width, "bold", indent=max(len(row.name) + 3, 12))
    for heading, lines in SECTIONS.items():
        sheet.add()
        sheet.add((heading, "dim"))
        if heading == "names":
            sheet.extend(_tensors(row, width))
        for label, describe in lines.items():
            if text := describe(row):
                sheet.extend(labelled(f"  {label}", text, width, _style(label, row), INDENT))
    sheet.add()
    command = f"lstm run weights.npz inputs.npy --convention {row.name}"
    sheet.extend(labelled_command("next", command, INDENT))
    return sheet


def _style(label: str, row: Convention) -> str:
    if label == "assumed":
        return ASSUMED
    return AGREES if label == "verified" and _was_run(row) == "yes" else ""


def _tensors(row: Convention, width: Width) -> Sheet:
    """The names of each role."""
    sheet = Sheet()
    for role in row.names.tensors:
        if role != "numbered":
            names = " or ".join(map(", ".join, row.tensor_forms(role)))
            sheet.extend(labelled(f"  {describe_role(role)}", names, width, "", INDENT))
    return sheet


def unusual_settings(convention: Convention, excluded: Container[str]) -> list[str]:
    """The settings that a plain cell does not have, in words, the forget bias first."""
    plain = {"activation": "tanh", "output_activation": "tanh", "recurrent_activation": "sigmoid"}
    bias = convention.behaviour.forget_bias
    texts = [f"forget bias {bias:+}"] if bias else []
    for name, value in convention.settings().items():
        if name == "arithmetic":
            texts.append("8-bit arithmetic" + f" ({value})" * (value != "8bit"))
        elif name != "forget_bias" and name not in excluded and plain.get(name) != value:
            words = name.replace("_", " ")
            texts.append(words if value is True else f"{words} {value}")
    return texts


# ---- names


def _numbered(row: Convention) -> str:
    names = row.names
    if not names.numbered:
        return ""
    roles = ", ".join(
        f"{n} {describe_role(r).replace('.', ' ')}" for n, r in enumerate(names.numbered)
    )
    return f"{row.tensor_names('numbered')[0]}, N: {roles}; then the next layer's"


def _packed(row: Convention) -> str:
    if not row.names.packed:
        return ""
    passes = [
        " and ".join(map(describe_role, roles.split())) for roles in row.names.packed.split(" | ")
    ]
    each = " of every layer and direction"
    return "one vector: " + ", then ".join(f"{text}{each * (len(passes) > 1)}" for text in passes)


def _layer_and_direction(row: Convention) -> str:
    names = row.names
    texts = []
    if "{layer}" in "".join(names.tensors.values()):
        texts.append("N is the layer's number")
    elif "?P<layer>" in names.path:
        texts.append("a number before the name is that of the layer")
    if any(names.marks):
        forward, backward = names.marks
        texts.append(f"{forward or 'nothing'} marks the forward direction, {backward} the backward")
    elif any(marks := row.names.direction_marks):
        texts.append(f"{' or '.join(marks)} before the name gives the direction")
    if names.scopes:
        texts.append("a graph in another file goes before such a name")
    if row.storage.directions_count:
        texts.append("directions are numbered like layers")
    if names.stacks:
        texts.append("each direction is a stack, with skip connections between its layers")
    if names.pairs:
        texts.append("builders of one layer and one size are forward and backward in turn")
    return "; ".join(texts)


def _recognised(row: Convention) -> str:
    names = row.names
    texts = []
    if not names.by_name:
        texts.append("only if asked for (--convention): other rows have these names")
    if names.within:
        texts.append(f"where {names.within.replace(chr(92) + 'd+', 'N')} is in the name")
    if names.telling:
        texts.append(
            f"next to other LSTMs only under a name with {' or '.join(names.telling.split('|'))}"
        )
    texts += [f"with its {describe_role(role)}" for role in names.required]
    if names.not_beside:
        texts.append(_not_beside(row))
    if names.shadows:
        texts.append(f"next to it, names of {names.shadows} are aliases and not read")
    return "; ".join(texts) or "by these names"


def _not_beside(row: Convention) -> str:
    """The recurrent kernels of other conventions, next to which the names are not this row's."""
    of_others = {
        name: other.name
        for other in CONVENTIONS.values()
        if other is not row and "recurrent_kernel" in other.names.tensors
        for name in other.tensor_names("recurrent_kernel")
        if re.search(row.names.not_beside, name)
    }
    rows = " or ".join(dict.fromkeys(of_others.values()))
    return f"not with {' or '.join(of_others)}: with those, names are read as {rows}"


def _written(row: Convention) -> str:
    """What convert writes before the names of a single cell."""
    forward = row.names.direction_marks[0]
    plain = row.names.under.split(" | ")[0].format(layer="N", nth="", direction=forward)
    return f"lstm convert writes {plain} before them" if plain else ""


# ---- layout


def _gates(row: Convention) -> str:
    storage = row.storage
    if row.names.has_tensor_per_gate:
        text = f"a tensor each, above in the order {spaced_order(storage.letters)}"
        several = {gate: row.names.words_of(gate, "kernel") for gate in storage.letters}
        text += "".join(f"; {g} is named {' or '.join(w)}" for g, w in several.items() if w[1:])
        return text + "".join(f"; without {gate}, {how}" for gate, how in storage.absent.items())
    blocks = "alternating unit by unit" if storage.interleaved else "one block after the other"
    return f"{spaced_order(storage.gates)}, {blocks}"


def _shapes(row: Convention) -> str:
    shapes = ", recurrent ".join(row.kernel_shapes().values())
    return shapes + ", after an axis of directions" * row.storage.direction_axis


def _bias(row: Convention) -> str:
    storage = row.storage
    if storage.bias_halves == 2:
        return "(8H,): the input's 4H, then the recurrent one's; both are added"
    if storage.extra_columns:
        return f"the {storage.bias_row} row of the kernel"
    both = {"bias", "recurrent_bias"} <= set(row.names.tensors)
    return "two, both added" if both else "one"


def _transposed(row: Convention) -> str:
    if row.storage.transposed == "none":
        return ""
    return "each gate's block of both kernels is stored transposed"


def _projection(row: Convention) -> str:
    if "projection" not in row.names.tensors:
        return ""
    return "(P, H)" if row.storage.projection_rows else "(H, P)"


def _peepholes(row: Convention) -> str:
    storage = row.storage
    names = row.names
    if not any("peephole" in role for role in (*names.tensors, *names.numbered)):
        if storage.peephole_gates == Storage().peephole_gates:
            return ""
        return f"three more columns of the recurrent kernel, {spaced_order(storage.peephole_gates)}"
    per_gate = row.names.has_tensor_per_gate or "{gate}" in names.tensors["peephole"]
    in_order = "" if per_gate else f"in the order {spaced_order(storage.peephole_gates)}; "
    of_output = {
        "new_c": "that of o takes the new c",
        "after_sigmoid": "that of o is added after the sigmoid",
        "in_tanh": "that of o acts inside the output's tanh",
    }
    return in_order + of_output[row.behaviour.output_peephole]


# ---- run


def _activations(row: Convention) -> str:
    behaviour = row.behaviour
    return (
        f"{behaviour.recurrent_activation} for i f o, {behaviour.activation} for g, "
        f"{behaviour.output_activation} for c in h = o * act(c)"
    )


def _forget(row: Convention) -> str:
    behaviour = row.behaviour
    if not behaviour.forget_bias:
        return "nothing is added to f at run time"
    return f"{behaviour.forget_bias:+g} is added to f at every step; it is in no tensor"


def _coupled(row: Convention) -> str:
    coupled = row.behaviour.coupled
    return "" if coupled == "none" else f"{coupled}: that gate has no weights"


def _clips(row: Convention) -> str:
    bound = row.behaviour.cell_clip
    return "none unless asked for" if bound is None else f"|c| at {bound:g}"


def _norm(row: Convention) -> str:
    behaviour = row.behaviour
    if not behaviour.norm_epsilon:
        return ""
    state = ", and c, which is carried normalised" if "state_scale" in row.names.tensors else ""
    return f"each gate's pre-activation over its units{state}; epsilon {behaviour.norm_epsilon:g}"


def _inputs(row: Convention) -> str:
    return "(B, T, I)" if row.behaviour.layout == "batch" else "(T, B, I)"


def _merged(row: Convention) -> str:
    words = {"concat": "concatenated", "stack": "on a new axis"}
    return f"two directions' outputs {words[row.behaviour.merge]}"


_MASKED = {"zero": "0", "repeat": "the last output again", "run": "computed on, over the padding"}


def _masked(row: Convention) -> str:
    behaviour = row.behaviour
    text = _MASKED[behaviour.masked_output]
    if behaviour.masked_output_merged == behaviour.masked_output:
        return text
    return f"{text}; inside a bidirectional layer {_MASKED[behaviour.masked_output_merged]}"


def _states(row: Convention) -> str:
    behaviour = row.behaviour
    axes = {
        "cells": "(cells, B, H), layer by layer, forward before backward",
        "batch": "(B, directions, H)",
        "features": "(B, directions H)",
    }
    empty = "zero" if behaviour.empty_rows == "zero" else "the initial one"
    return f"final ones {axes[behaviour.states]}; of a sequence of length 0, {empty}"


def _takes(row: Convention) -> str:
    """The settings that the framework has options for, and the values that it takes."""
    return ", ".join(
        name.replace("_", " ") + (f" ({' or '.join(values.split())})" if values else "")
        for name, values in row.takes.items()
    )


# ---- known


def _hidden(row: Convention) -> str:
    assumed, required = (
        ", ".join(f"--{name.replace('_', '-')}" for name in names)
        for names in (
            [n for n in row.hidden if n not in row.required_settings],
            row.required_settings,
        )
    )
    text = f"in no tensor, so assumed unless set: {assumed}" if assumed else ""
    return text + (f"in no tensor, and must be set: {required}" if required else "")


def _verified(row: Convention) -> str:
    return row.verified or "not run: read in the named source only"


SECTIONS: Mapping[str, Mapping[str, Callable[[Convention], str]]] = {
    "names": {
        "tensors": _numbered,
        "packed": _packed,
        "layers": _layer_and_direction,
        "recognised": _recognised,
        "written": _written,
        "": lambda row: "/ . : and _ count alike; any prefix may stand before",
    },
    "layout": {
        "gates": _gates,
        "kernel": _shapes,
        "transposed": _transposed,
        "bias": _bias,
        "projection": _projection,
        "peepholes": _peepholes,
    },
    "run": {
        "activations": _activations,
        "forget bias": _forget,
        "coupled": _coupled,
        "clips": _clips,
        "layer norm": _norm,
        "inputs": _inputs,
        "directions": _merged,
        "past the end": lambda row: _MASKED[row.behaviour.past_length],
        "masked steps": _masked,
        "states": _states,
        "options": _takes,
        "assumed": _hidden,
    },
    "known from": {
        "source": lambda row: row.source,
        "verified": _verified,
    },
}
"""The lines of a convention's page by label; an empty text is no line."""
