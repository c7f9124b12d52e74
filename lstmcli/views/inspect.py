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
    tensors = sorted(  # others by the likeness of their names to an LSTM's
        inspection.tensors.items(),
        key=lambda item: -1 if item[1].layer is not None else unlikeness(item[0]),
    )
    of_lstms = sum(tensor.layer is not None for _, tensor in tensors)
    shown = tensors
    if not show_all and len(tensors) > TENSORS_LISTED:
        shown = tensors[: min(of_lstms or len(tensors), TENSORS_LISTED)]
    columns = [
        Column("shape", [str(t.shape) for _, t in shown], left=True),
        Column("dtype", [t.dtype for _, t in shown], left=True, rank=1),
        Column("role", [t.role for _, t in shown], left=True),
        Column("of", [t.layer or "" for _, t in shown], left=True),
        Column(
            "tensor", [name for name, _ in shown], left=True
        ),  # last, as it may be long
    ]
    if len(inspection.lstms) < 2:
        del columns[3]
    sheet = fitting_table(columns, width)
    if more := tensors[len(shown) :]:
        sheet.add(_more_tensors(more))
    for name, tensor in inspection.tensors.items():
        if tensor.not_finite:
            text = f"{name}: {tensor.not_finite:,} of {count(tensor.size, 'number')}"
            sheet.label("NaN, inf", text, DIFFERS)
    return sheet


def _more_tensors(tensors: Tensors) -> str:
    numbers = count(sum(tensor.size for _, tensor in tensors), "number")
    used = sum(tensor.layer is not None for _, tensor in tensors)
    of_lstms = f", {used} of them an LSTM's" if used else ""
    return f"...  {count(len(tensors), 'more tensor')}, {numbers}{of_lstms}: --all lists them"


# ---- one LSTM


def _lstm(lstm: InspectedLstm, width: Width) -> Sheet:
    convention = lstm.model.convention
    names = [convention.name] if lstm.layer == "0" else [lstm.layer, convention.name]
    sheet = Sheet(width).label("lstm", f"{phrases(names)}   {convention.title}", "bold")
    sheet.label("why", lstm.why)
    rows = (convention.name, *lstm.rivals) if lstm.rivals else ()
    ways = (f"--convention {row}  {CONVENTIONS[row].title}" for row in rows)
    sheet.labels("which?", ways, ASSUMED)
    sheet.label("", _same_names(lstm.also))
    sheet.label("sizes", phrases([*_sizes(lstm)]))
    is_split = convention.names.has_tensor_per_gate
    gates = (
        "a tensor a gate"
        if is_split
        else f"gates {spaced_order(convention.storage.gates)}"
    )
    texts = [
        gates,
        *unusual_settings(convention, {"gates"}),
        lstm.model.cell.dtype.name,
    ]
    texts += [f"mask from {lstm.model.masking}"] * bool(lstm.model.masking)
    sheet.label("config", phrases(texts))
    if lstm.found:
        found = [f"{name} {value}" for name, value in lstm.found.items()]
        sheet.label("found", f"{phrases(found)}   in the file")
    sheet.extend(surroundings_sheet(lstm.model, width))
    assumed = () if width.quiet else not_in_rows(lstm.model.assumed)
    sheet.labels("assumed", assumed, ASSUMED)
    sheet.section(_gates(lstm, width))
    for hint in lstm.hints:
        sheet.label("hint", hint.text, ASSUMED)
    return sheet


def _same_names(conventions: Sequence[str]) -> str:
    if not conventions:
        return ""
    verb = "has" if len(conventions) == 1 else "have"
    return f"{', '.join(conventions)} {verb} such names too (--convention)"


def _sizes(lstm: InspectedLstm) -> Iterator[str]:
    first = lstm.model.cell
    units = list(dict.fromkeys(cell.units for _, cell in lstm.model.cells))
    noun = "unit" if units == [1] else "units"
    yield f"{count(first.inputs, 'input')} -> {', then '.join(map(str, units))} {noun}"
    if first.projection is not None:
        yield f"h of {first.outputs} by a projection"
    yield count(len(lstm.model.layers), "layer")
    yield count(lstm.directions, "direction")
    yield count(lstm.parameters, "parameter")


def _gates(lstm: InspectedLstm, width: Width) -> Sheet:
    rows = [
        (cell if n == 0 else "", gate, statistics)
        for cell, gates in lstm.gates().items()
        for n, (gate, statistics) in enumerate(gates.items())
    ]

    def column(heading: str, field: str, rank: int = 0) -> Column:
        values = [float(getattr(statistics, field)) for *_, statistics in rows]
        cells = [*map(NumberFormat.of(values, DIGITS).text, values)]
        return Column(heading, cells, rank=rank)

    columns = [
        Column("gate", [gate for _, gate, _ in rows], left=True),
        column("kernel mean", "kernel_mean"),
        column("std", "kernel_std", rank=1),
        column("recurrent mean", "recurrent_mean"),
        column("std", "recurrent_std", rank=1),
        column("bias mean", "bias_mean"),
    ]
    if len(lstm.model.cells) > 1:
        columns.insert(0, Column("cell", [cell for cell, *_ in rows], "dim", left=True))
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
    label = "not read" if inspection.lstms else "no lstm"
    for (convention, text, also), layers in layers_of.items():
        sheet.add()
        which = "" if layers == ["0"] else f"{listed(layers, LAYERS_NAMED)}: "
        text = f"{which}the names are {convention}'s, but {text}"
        sheet.extend(_message(label, text, width, ASSUMED))
        sheet.label("", _same_names(also))
    if _is_trace(inspection):
        sheet.add()
        text = f"results of a run, and no weights: {listed([*inspection.tensors], MEMBERS_NAMED)}"
        sheet.label("trace", text)
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
        given.setdefault("layer", "0" if in_stack else first.layer)
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
