"""What a file holds, as a sheet: tensors, then each LSTM with its gates in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.settings import as_options
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.core.weights.inspection import InspectedLstm, Inspection, TensorInfo, UnreadableLstm
from lstmcli.core.weights.templates import has_tensor_per_gate
from lstmcli.escaping import file_argument, one_line, typed_command
from lstmcli.views.numbers import format_number
from lstmcli.views.prose import apart, labelled, room_of, to_copy
from lstmcli.views.sheet import ASSUMED, DIFFERS, Column, Sheet, fit, table
from lstmcli.views.weights import weights_sheet

LINES = 24  # of the tensors' list; more are summed up
DIGITS = 4
NAMES = ("tensor", "of")  # columns that may be cut, in this turn
SHORTEST = 12  # characters that are left of a name
GAP = 2  # between the columns of a table
PICTURES = 4  # cells of one LSTM whose weights are drawn

Named = list[tuple[str, TensorInfo]]


def inspection_sheet(
    inspection: Inspection,
    paths: Sequence[str],
    settings: Mapping[str, Any],
    *,
    width: int | None,
    show_all: bool = False,
    pictures: str | None = None,
) -> Sheet:
    """The tensors, the LSTMs, and the next thing to type.

    ``paths`` and ``settings`` are as typed, for the command that comes next; ``show_all`` lists
    tensors however many there are; ``pictures`` draws the gates' weights in so many colours.
    """
    sheet = _head(inspection, width)
    sheet.add()
    sheet.extend(_tensors(inspection, width, show_all))
    for lstm in inspection.lstms:
        sheet.add()
        sheet.extend(_lstm(lstm, width))
        if pictures is not None:
            sheet.extend(_pictures(lstm, width, pictures))
    sheet.extend(_problems(inspection, width))
    sheet.add()
    sheet.extend(to_copy("next", _next(inspection, paths, settings)))
    return sheet


def _head(inspection: Inspection, width: int | None) -> Sheet:
    tensors = inspection.tensors.values()
    sizes = [count(len(tensors), "tensor"), count(sum(t.size for t in tensors), "number")]
    if len(inspection.lstms) > 1:
        sizes.append(f"{len(inspection.lstms)} LSTMs")
    return labelled("file", apart([inspection.file, *sizes]), width)


def count(n: int, noun: str) -> str:
    """``1 tensor``, ``1,234 numbers``."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


# ---- tensors


def _tensors(inspection: Inspection, width: int | None, show_all: bool) -> Sheet:
    """A line a tensor, those of LSTMs first; many others in one line."""
    several = len(inspection.lstms) > 1
    everything = list(inspection.tensors.items())
    ranked = sorted(everything, key=lambda item: item[1].layer is None)
    shown = ranked if show_all or len(ranked) <= LINES else _some(ranked)
    columns = [
        Column("shape", [str(t.shape) for _, t in shown], left=True),
        Column("dtype", [t.dtype for _, t in shown], left=True, rank=1),
        Column("tensor", [name for name, _ in shown], left=True),
    ]
    if any(t.role for _, t in shown):
        columns.append(Column("role", [t.role for _, t in shown], "dim", left=True))
    if several:
        columns.append(Column("of", [t.layer or "" for _, t in shown], "dim", left=True))
    sheet = _in_room(columns, width)
    if rest := ranked[len(shown) :]:
        sheet.add((_rest(rest), "dim"))
    for name, tensor in everything:
        if tensor.not_finite:
            text = f"{name}: {tensor.not_finite:,} of {count(tensor.size, 'number')}"
            sheet.extend(labelled("NaN, inf", text, width, DIFFERS))
    return sheet


def _in_room(columns: Sequence[Column], width: int | None) -> Sheet:
    """The list in a width: without dtypes if need be, then with the ends of names alone.

    What a tensor is there for, and in which LSTM, is what the list is read for: it stays.
    """
    kept = fit(columns, width)
    gone = ["dtypes"] * (len(kept) < len(columns))
    for heading in NAMES:
        n = next((n for n, column in enumerate(kept) if column.heading == heading), None)
        if n is not None and width is not None:
            others = sum(column.width + GAP for column in kept) - kept[n].width - GAP
            cells = _ends(kept[n].cells, max(width - others, SHORTEST))
            gone += ["whole names"] * (cells != kept[n].cells and "whole names" not in gone)
            kept[n] = kept[n]._replace(cells=cells)
    sheet = table(kept)
    if gone:
        sheet.extend(labelled("", f"no room for {', '.join(gone)}: a wider window, or piped", width,
                              "dim", indent=0))  # fmt: skip
    return sheet


def _ends(names: Sequence[str], room: int) -> list[str]:
    """Names cut on the left to so many characters: their ends tell more."""
    names = [one_line(name) for name in names]
    return [name if len(name) <= room else f"…{name[1 - room :]}" for name in names]


def _some(ranked: Named) -> Named:
    """Those of LSTMs, as many as a screen holds."""
    return [item for item in ranked if item[1].layer is not None][:LINES]


def _rest(rest: Named) -> str:
    numbers = count(sum(tensor.size for _, tensor in rest), "number")
    used = sum(tensor.layer is not None for _, tensor in rest)
    of_lstms = f", {used} of them an LSTM's" if used else ""
    return f"...  {count(len(rest), 'more tensor')}, {numbers}{of_lstms}: --all lists them"


# ---- one LSTM


def _lstm(lstm: InspectedLstm, width: int | None) -> Sheet:
    how = lstm.model.convention
    sheet = Sheet()
    names = [how.name] if lstm.layer == "0" else [lstm.layer, how.name]
    sheet.extend(labelled("lstm", f"{apart(names)}   {how.title}", width, "bold"))
    sheet.extend(labelled("why", lstm.why, width))
    for name in (how.name, *lstm.rivals) if lstm.rivals else ():
        text = f"--convention {name}  {CONVENTIONS[name].title}"
        sheet.extend(labelled("" if name != how.name else "which?", text, width, ASSUMED))
    sheet.extend(labelled("", _also(lstm.also), width))
    sheet.extend(labelled("sizes", apart([*_sizes(lstm)]), width))
    sheet.extend(labelled("reading", apart([*_settings(lstm)]), width))
    if lstm.found:
        found = [f"{name} {value}" for name, value in lstm.found.items()]
        sheet.extend(labelled("found", f"{apart(found)}   in the file", width))
    if lstm.model.assumed:
        sheet.extend(labelled("assumed", apart(lstm.model.assumed), width, ASSUMED))
    sheet.add()
    sheet.extend(_gates(lstm, width))
    for hint in lstm.hints:
        sheet.extend(labelled("hint", hint.text, width, ASSUMED))
    return sheet


def _also(names: Sequence[str]) -> str:
    verb = "has" if len(names) == 1 else "have"
    return f"{', '.join(names)} {verb} such names too (--convention)" if names else ""


def _sizes(lstm: InspectedLstm) -> Iterator[str]:
    first = lstm.model.cell
    units = list(dict.fromkeys(cell.units for _, cell in lstm.model.cells))
    text = f"{count(first.inputs, 'input')} -> {', then '.join(map(str, units))} unit"
    yield f"{text}{'s' * (units != [1])}"
    if first.projection is not None:
        yield f"h of {first.outputs} by a projection"
    yield count(len(lstm.model.layers), "layer")
    yield count(lstm.directions, "direction")
    yield count(lstm.parameters, "parameter")


def _settings(lstm: InspectedLstm) -> Iterator[str]:
    """The settings of the run, those of a plain cell left out but the order of its gates."""
    how = lstm.model.convention
    plain = {"activation": "tanh", "output_activation": "tanh", "recurrent_activation": "sigmoid"}
    yield (
        "a tensor a gate"
        if has_tensor_per_gate(how)
        else f"gates {spaced_order(how.storage.gates)}"
    )
    for name, value in how.settings().items():
        if name == "forget_bias":
            if value:
                yield f"forget bias {value:+}"
        elif name != "gates" and plain.get(name) != value:
            words = name.replace("_", " ")
            yield words if value is True else f"{words} {value}"
    yield lstm.model.cell.dtype.name


def _gates(lstm: InspectedLstm, width: int | None) -> Sheet:
    """A line a gate of each cell."""
    rows = [
        (cell if n == 0 else "", gate, numbers)
        for cell, gates in lstm.gates().items()
        for n, (gate, numbers) in enumerate(gates.items())
    ]
    columns = [
        Column("gate", [gate for _, gate, _ in rows], left=True),
        _column("kernel mean", [r.kernel_mean for *_, r in rows]),
        _column("spread", [r.kernel_std for *_, r in rows], rank=1),
        _column("recurrent mean", [r.recurrent_mean for *_, r in rows]),
        _column("spread", [r.recurrent_std for *_, r in rows], rank=1),
        _column("bias mean", [r.bias_mean for *_, r in rows]),
    ]
    if len(lstm.model.cells) > 1:
        columns.insert(0, Column("cell", [cell for cell, *_ in rows], "dim", left=True))
    kept = fit(columns, width)
    sheet = table(kept)
    if len(kept) < len(columns):
        sheet.add(("no room for the spread: a wider window", "dim"))
    return sheet


def _pictures(lstm: InspectedLstm, width: int | None, depth: str) -> Sheet:
    """The weights of the first cells, to be looked at."""
    sheet = Sheet()
    cells = lstm.model.cells
    for name, cell in cells[:PICTURES]:
        sheet.add()
        sheet.extend(weights_sheet(name * (len(cells) > 1), cell, room_of(width), depth))
    if len(cells) > PICTURES:
        sheet.add((f"{len(cells) - PICTURES} more cells are not drawn: --layer N picks", "dim"))
    return sheet


def _column(heading: str, values: Sequence[float], rank: int = 0) -> Column:
    return Column(heading, [format_number(value, DIGITS) for value in values], rank=rank)


# ---- the end


def _problems(inspection: Inspection, width: int | None) -> Sheet:
    """What has names of an LSTM and cannot be read, or what there is instead of one."""
    sheet = Sheet()
    alike: dict[UnreadableLstm, list[str]] = {}
    for unread in inspection.unread:
        alike.setdefault(replace(unread, layer=""), []).append(unread.layer)
    label = "not read" if inspection.lstms else "no lstm"
    for one, layers in alike.items():
        sheet.add()
        which = "" if layers == ["0"] else f"{_few(layers)}: "
        text = f"{which}the names are {one.convention}'s, but {' '.join(one.problem.split())}"
        sheet.extend(labelled(label, text, width, ASSUMED))
        sheet.extend(labelled("", _also(one.also), width))
    if not (inspection.lstms or inspection.unread):
        sheet.add()
        sheet.extend(labelled(label, "no LSTM recognised in these names", width, ASSUMED))
        for text in inspection.missing:
            sheet.extend(labelled("because", text, width))
    return sheet


def _few(layers: Sequence[str]) -> str:
    more = f" and {len(layers) - 4:,} more" if len(layers) > 4 else ""
    return ", ".join(layers[:4]) + more


def _next(inspection: Inspection, paths: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The command that runs what was found, or lists what could be."""
    if not inspection.lstms:
        return "lstm conventions   (the names that are known)"
    first = inspection.lstms[0]
    words = ["lstm", "run", *map(file_argument, paths)]
    if not {"inputs", "x"} & set(inspection.tensors):
        words.append("inputs.npy")
    given = dict(settings)
    if len(inspection.lstms) + len(inspection.unread) > 1 and inspection.layer is None:
        given.setdefault("layer", first.layer)
    if first.rivals:
        given.setdefault("convention", first.model.convention.name)
    return typed_command(*words, *as_options(given))
