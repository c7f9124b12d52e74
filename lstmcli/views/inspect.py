"""The contents of a file: its tensors, and each LSTM with the numbers of its gates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lstmcli.core.diff.operand import WEIGHT, WEIGHTS, ArrayName
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.shell import ShellSyntax, as_options
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.inspection import (
    GateNumbers,
    InspectedLstm,
    Inspection,
    TensorInfo,
    unlikeness,
)
from lstmcli.errors import INPUTS, CallToTry, UserError, listed
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.conventions import unusual_settings
from lstmcli.views.header import not_in_rows, surroundings_sheet
from lstmcli.views.sheet import (
    ASSUMED,
    DIFFERS,
    Column,
    Sheet,
    Width,
    fitting_table,
)
from lstmcli.views.text import NumberFormat, count, phrases

TENSORS_LISTED = 24  # more are counted, unless all are asked for
LAYERS_NAMED = 4
MEMBERS_NAMED = 8  # arrays of a trace
DIGITS = 4

Tensors = Sequence[tuple[str, TensorInfo]]


def inspection_sheet(
    inspection: Inspection,
    paths: Sequence[str],
    settings: Mapping[str, Any],
    *,
    width: Width,
    show_all: bool = False,
) -> Sheet:
    """The tensors, the LSTMs, and the next command, with ``paths`` and ``settings`` as typed.

    ``show_all`` lists all tensors.
    """
    sheet = _head(inspection, width)
    sheet.section(_tensors(inspection, width, show_all))
    for lstm in inspection.lstms:
        sheet.section(_lstm(lstm, width))
    sheet.extend(_problems(inspection, width))
    sheet.add()
    sheet.command("next", _next(inspection, paths, settings))
    return sheet


def _head(inspection: Inspection, width: Width) -> Sheet:
    tensors = inspection.tensors.values()
    numbers = sum(tensor.size for tensor in tensors)
    sizes = [count(len(tensors), "tensor"), count(numbers, "number")]
    if len(inspection.lstms) > 1:
        sizes.append(f"{len(inspection.lstms)} LSTMs")
    return Sheet(width).label("file", phrases([inspection.file, *sizes]))


# ---- tensors


def _tensors(inspection: Inspection, width: Width, show_all: bool) -> Sheet:
    """A row for each tensor, those of LSTMs first; of many the others are counted."""
    tensors = sorted(inspection.tensors.items(), key=_place_in_list)
    of_lstms = sum(tensor.layer is not None for _, tensor in tensors)
    shown = tensors
    if not show_all and len(tensors) > TENSORS_LISTED:
        shown = tensors[: min(of_lstms or len(tensors), TENSORS_LISTED)]
    columns = [
        Column("shape", [str(t.shape) for _, t in shown], left=True),
        Column("dtype", [t.dtype for _, t in shown], left=True, rank=1),
        Column("role", [t.role for _, t in shown], left=True),
    ]
    if len(inspection.lstms) > 1:
        columns.append(Column("of", [t.layer or "" for _, t in shown], left=True))
    # last, as it may be long
    columns.append(Column("tensor", [name for name, _ in shown], left=True))
    sheet = fitting_table(columns, width)
    more = tensors[len(shown) :]
    if more:
        sheet.add(_more_tensors(more))
    for name, tensor in inspection.tensors.items():
        if tensor.not_finite:
            text = f"{name}: {tensor.not_finite:,} of {count(tensor.size, 'number')}"
            sheet.label("NaN, inf", text, DIFFERS)
    return sheet


def _place_in_list(item: tuple[str, TensorInfo]) -> float:
    """Tensors of LSTMs first, others by the likeness of their names to an LSTM's."""
    name, tensor = item
    if tensor.layer is not None:
        return -1
    return unlikeness(name)


def _more_tensors(tensors: Tensors) -> str:
    numbers = count(sum(tensor.size for _, tensor in tensors), "number")
    used = sum(tensor.layer is not None for _, tensor in tensors)
    if used:
        numbers = f"{numbers}, {used} of them an LSTM's"
    return f"...  {count(len(tensors), 'more tensor')}, {numbers}: --all lists them"


# ---- one LSTM


def _lstm(lstm: InspectedLstm, width: Width) -> Sheet:
    convention = lstm.model.convention
    names = [convention.name]
    if lstm.layer != "0":
        names.insert(0, lstm.layer)
    sheet = Sheet(width).label("lstm", f"{phrases(names)}   {convention.title}", "bold")
    sheet.label("why", lstm.why)
    if lstm.rivals:
        rows = [convention.name, *lstm.rivals]
        ways = (f"--convention {row}  {CONVENTIONS[row].title}" for row in rows)
        sheet.labels("which?", ways, ASSUMED)
    sheet.label("", _same_names(lstm.also))
    sheet.label("sizes", phrases(list(_sizes(lstm))))
    sheet.label("config", phrases(list(_config(lstm))))
    if lstm.found:
        found = [f"{name} {value}" for name, value in lstm.found.items()]
        sheet.label("found", f"{phrases(found)}   in the file")
    sheet.extend(surroundings_sheet(lstm.model, width))
    if not width.quiet:
        sheet.labels("assumed", not_in_rows(lstm.model.assumed), ASSUMED)
    sheet.section(_gates(lstm, width))
    for hint in lstm.hints:
        sheet.label("hint", hint.text, ASSUMED)
    return sheet


def _same_names(conventions: Sequence[str]) -> str:
    if not conventions:
        return ""
    if len(conventions) == 1:
        return f"{conventions[0]} has such names too (--convention)"
    return f"{', '.join(conventions)} have such names too (--convention)"


def _config(lstm: InspectedLstm) -> Iterator[str]:
    convention = lstm.model.convention
    if convention.names.has_tensor_per_gate:
        yield "a tensor a gate"
    else:
        yield f"gates {spaced_order(convention.storage.gates)}"
    yield from unusual_settings(convention, {"gates"})
    yield lstm.model.cell.dtype.name
    if lstm.model.masking:
        yield f"mask from {lstm.model.masking}"


def _sizes(lstm: InspectedLstm) -> Iterator[str]:
    first = lstm.model.cell
    units = list(dict.fromkeys(cell.units for _, cell in lstm.model.cells))
    noun = "units"
    if units == [1]:
        noun = "unit"
    yield f"{count(first.inputs, 'input')} -> {', then '.join(map(str, units))} {noun}"
    if first.projection is not None:
        yield f"h of {first.outputs} by a projection"
    yield count(len(lstm.model.layers), "layer")
    yield count(lstm.directions, "direction")
    yield count(lstm.parameters, "parameter")


def _gates(lstm: InspectedLstm, width: Width) -> Sheet:
    cells, gates, rows = list[str](), list[str](), list[GateNumbers]()
    for cell, of_cell in lstm.gates().items():
        cells.append(cell)
        cells.extend([""] * (len(of_cell) - 1))
        gates.extend(of_cell)
        rows.extend(of_cell.values())

    def column(heading: str, field: str, rank: int = 0) -> Column:
        values = [float(getattr(row, field)) for row in rows]
        texts = list(map(NumberFormat.of(values, DIGITS).text, values))
        return Column(heading, texts, rank=rank)

    columns = [
        Column("gate", gates, left=True),
        column("kernel mean", "kernel_mean"),
        column("std", "kernel_std", rank=1),
        column("recurrent mean", "recurrent_mean"),
        column("std", "recurrent_std", rank=1),
        column("bias mean", "bias_mean"),
    ]
    if len(lstm.model.cells) > 1:
        columns.insert(0, Column("cell", cells, "dim", left=True))
    return fitting_table(columns, width)


# ---- problems, and the next command


def _problems(inspection: Inspection, width: Width) -> Sheet:
    sheet = Sheet(width)
    layers_of: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for unread in inspection.unread:
        problem = unread.error.shown(ShellSyntax())
        layers_of.setdefault((unread.convention, problem, unread.also), []).append(
            unread.layer
        )
    label = "no lstm"
    if inspection.lstms:
        label = "not read"
    for (convention, text, also), layers in layers_of.items():
        sheet.add()
        text = f"the names are {convention}'s, but {text}"
        if layers != ["0"]:
            text = f"{listed(layers, LAYERS_NAMED)}: {text}"
        sheet.extend(_message(label, text, width, ASSUMED))
        sheet.label("", _same_names(also))
    if _is_trace(inspection):
        sheet.add()
        names = listed(list(inspection.tensors), MEMBERS_NAMED)
        sheet.label("trace", f"results of a run, and no weights: {names}")
    elif _may_be_h(inspection):
        sheet.add()
        text = "a single array: inputs (lstm run WEIGHTS FILE) or h of a run (lstm diff, lstm plot)"
        sheet.label(label, text, ASSUMED)
    elif not (inspection.lstms or inspection.unread):
        sheet.add()
        nothing = UserError("no LSTM recognised in these names")
        text = (inspection.ways or nothing).shown(ShellSyntax())
        sheet.extend(_message(label, text, width))
        for text in inspection.missing:
            sheet.label("because", text)
    return sheet


def _message(label: str, text: str, width: Width, style: str = "") -> Sheet:
    problem, *ways = text.splitlines()
    sheet = Sheet(width).label(label, problem, ASSUMED)
    for way in ways:
        sheet.label("", phrases(re.split("  +", way.strip())), style)
    return sheet


def _is_trace(inspection: Inspection) -> bool:
    names = inspection.tensors
    no_lstm = not (inspection.lstms or inspection.unread)
    return (
        no_lstm and bool(names) and all(ArrayName.of(n).kind != WEIGHTS for n in names)
    )


def _may_be_h(inspection: Inspection) -> bool:
    if (
        inspection.lstms
        or inspection.unread
        or inspection.ways
        or len(inspection.tensors) != 1
    ):
        return False
    ((name, tensor),) = inspection.tensors.items()
    return 2 <= len(tensor.shape) <= 4 and not WEIGHT.search(name)


def _next(
    inspection: Inspection, paths: Sequence[str], settings: Mapping[str, Any]
) -> str:
    if (_is_trace(inspection) or _may_be_h(inspection)) and len(paths) == 1:
        return f"{typed_command('lstm', 'diff', *map(file_argument, paths))} OTHER"
    words = ["lstm", "run", *map(file_argument, paths)]
    if not {"inputs", "x"} & set(inspection.tensors):
        words.append(INPUTS)
    if not inspection.lstms:
        return _next_without_lstm(inspection, words, settings)
    given = dict(settings)
    first = inspection.lstms[0]
    several = len(inspection.lstms) + len(inspection.unread) > 1
    in_stack = bool(first.model.convention.names.stacks)  # of which a layer runs
    if inspection.layer is None and (
        several or (in_stack and len(first.model.layers) > 1)
    ):
        layer = first.layer
        if in_stack:
            layer = "0"
        given.setdefault("layer", layer)
    if first.rivals:
        given.setdefault("convention", first.model.convention.name)
    return typed_command(*words, *as_options(given))


def _next_without_lstm(
    inspection: Inspection, words: Sequence[str], settings: Mapping[str, Any]
) -> str:
    """The first thing that the reason suggests: to type, or a setting of the run."""
    errors = [unread.error for unread in inspection.unread[:1]]
    if inspection.ways:
        errors.append(inspection.ways)
    for error in errors:
        for way in error.try_:
            if isinstance(way, CallToTry):
                return ShellSyntax().call(way)
            return typed_command(*words, *as_options({**settings, **way.settings}))
    if inspection.unread:
        return typed_command("lstm", "conventions", inspection.unread[0].convention)
    return "lstm conventions   (the names that are known)"
