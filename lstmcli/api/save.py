"""From a trace or a run to a file, in every format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.api.values import Path, is_path, names_of, refuse_other_arguments, type_of
from lstmcli.core.forward.plan import DEFAULT_KEEP, NAMES, Plan
from lstmcli.core.forward.run import Piece, Sink, run_to, trace_of
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import has_direction_axis
from lstmcli.core.model.model import (
    Model,
    Trace,
    from_time_major,
    in_layout,
    names_in_cell,
)
from lstmcli.core.model.part import WHOLE, Indices, Part
from lstmcli.core.model.selection import (
    cut_trace,
    is_named,
    members_named,
    round_to_digits,
)
from lstmcli.core.model.states import State
from lstmcli.core.model.surroundings import FINAL_Y, Y
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import (
    FORMATS,
    SEVERAL_ARRAYS,
    format_of,
    has_known_suffix,
    suffix_of,
)
from lstmcli.outputs import unwritable

if TYPE_CHECKING:
    from lstmcli.formats.npy import BlockWriter
    from lstmcli.formats.text.step_writers import StepWriter

__all__ = [
    "FORMATS",
    "SEVERAL_ARRAYS",
    "format_of",
    "has_known_suffix",
    "save",
    "suffix_of",
]

OF_STATE = ("final_h", "final_c")
FINAL = (*OF_STATE, FINAL_Y)
ONLY_H = ("npy", "text")  # formats of a single array
BY_STEP = ("jsonl", "csv", "tsv")  # formats written a step at a time
BINARY = ("npy", "npz")  # formats whose large results are written piece by piece
BLOCK = 256  # steps computed or formatted at a time: quick, in little memory
PIECES_FROM = 64 << 20  # bytes of results that are written as they are computed


class Outputs(NamedTuple):
    """The destinations of results: a file, stdout in a format, or both."""

    file: str | None
    file_format: str | None
    screen: str | None  # the format of stdout: "table", or one that is written
    only: list[str] | None
    tidy: bool  # whether tables and JSON lines have a row for each unit
    cell: str | None = None  # of several: the one whose arrays are meant
    save_state: str | None = None  # the file of the state behind the last step
    output: str = ""  # the name of the array that the model's head makes, if it has one

    @property
    def written(self) -> list[str]:
        """The formats that are written, without the table."""
        return [f for f in (self.file_format, self.screen) if f not in (None, "table")]

    @property
    def members(self) -> list[str]:
        """The members that the file and stdout get, together."""
        return [*dict.fromkeys(m for f in self.written for m in self.names_for(f))]

    @property
    def needs_final_state(self) -> bool:
        """Return whether the final state is written."""
        return bool(self.save_state) or not {*FINAL}.isdisjoint(self.members)

    @property
    def single_format(self) -> str:
        """The format of a single output; "" of two."""
        formats = [format for format in (self.file_format, self.screen) if format]
        return formats[0] if len(formats) == 1 else ""

    def names_for(self, format: str) -> tuple[str, ...]:
        """The members that a file of a format gets."""
        names = members_for(format, self.only)
        if self.only is None and self._stores_output(format):
            names = (*names, self.output)
        if self.cell is None:
            return names
        return tuple(f"{self.cell}.{name}" for name in names if name not in FINAL)

    def _stores_output(self, format: str) -> bool:
        """Return whether a format stores what the head makes, next to arrays of cells."""
        if format in ONLY_H or self.cell is not None or not self.output:
            return False
        if format not in (*BY_STEP, "table"):
            return True
        if self.tidy:  # rows are of units, of which y has others
            return False
        return self.output == Y or format == "jsonl"


# ---- the members of a file


def members_for(format: str, only: Sequence[str] | None) -> tuple[str, ...]:
    """The members of a file of this format; of several cells, those of each.

    ``layer0.f`` asks for one cell's.
    """
    known = (*NAMES, Y, *FINAL)
    for name in only or ():
        cell, _, base = name.rpartition(".")
        if base not in known or (cell and base in (Y, *FINAL)):
            near = did_you_mean(name, known)
            raise UserError(
                f"a trace has {', '.join(known)}.{near}", about={"only": name}
            )
    if format in ONLY_H:
        bases = [name.rpartition(".")[2] for name in only or ("h",)]
        if len(bases) > 1 or bases[0] not in ("h", Y, FINAL_Y):
            text = f"{format} stores h or y only; .npz and .json store every array."
            raise UserError(text, about={"only": ",".join(only or ())})
        return tuple(only or ("h",))
    if format in (*BY_STEP, "table"):
        _refuse_final(format, only or ())
        return tuple(only or DEFAULT_KEEP)
    return tuple(only or (*DEFAULT_KEEP, *OF_STATE))


def _refuse_final(format: str, only: Sequence[str]) -> None:
    """Refuse members of the end of a run for a format of steps.

    Lines of JSON may end with one of final_y, behind those of other arrays.
    """
    wrong = [name for name in only if name in FINAL]
    if format == "table" or (format == "jsonl" and len(only) > 1):
        wrong = [name for name in wrong if name != FINAL_Y]
    if not wrong:
        return
    name, files = wrong[0], ".npz and .json"
    if name == FINAL_Y:
        files = "-o y.npy, .npz and .json"
    text = f"{format} stores steps; {files} store {name}."
    if name == FINAL_Y and format == "jsonl":
        text = f"jsonl stores {name} behind the steps of another array: --only h,y."
    raise UserError(text, about={"only": name})


def with_output(outputs: Outputs, model: Model) -> Outputs:
    """The outputs of a run of a model: y is what its head makes; refused without one."""
    head, only = model.head, outputs.only
    asked = [name for name in only or () if name in (Y, FINAL_Y)]
    if head is None:
        if asked:
            text = "the model has no head that makes it."
            raise UserError(text, about={"only": asked[0]}, try_={"head": ...})
        return outputs
    if asked and only is not None:
        if asked[0] == Y:
            only = [head.output if name == Y else name for name in only]
        elif asked[0] != head.output:
            text = "the head makes an output of each step: y."
            raise UserError(text, about={"only": asked[0]}, try_={"only": Y})
    outputs = outputs._replace(only=only, output=head.output)
    for format in outputs.written:
        outputs.names_for(format)
    return outputs


def names_of_cell(only: Sequence[str], cell: str) -> list[str]:
    """Names of arrays as in the cell."""
    names = names_in_cell(only, cell)
    for name in names:
        if name in FINAL:
            raise UserError(
                "it is not of one cell.", about={"only": name}, try_={"cell": None}
            )
    return names


def kept_for(names: Sequence[str]) -> list[str]:
    """The arrays that a run keeps for these members: f for ``layer0.f``."""
    bases = dict.fromkeys(name.rpartition(".")[2] for name in names)
    if any("." in name for name in names):
        bases["c"] = None  # with another array, h of each cell is kept
    if FINAL_Y in bases:
        bases[Y] = None
    return [name for name in bases if name in (*NAMES, Y)]


def refuse_absent_cells(names: Sequence[str], arrays: Iterable[str]) -> None:
    """Refuse members of cells that a run of these ``arrays`` does not have."""
    known = list(arrays)
    for name in names:
        if "." in name and name not in known:
            cells = dict.fromkeys(k.rpartition(".")[0] for k in known if "." in k)
            found = (
                f"the cells are {', '.join(cells)}"
                if cells
                else "the model has a single cell"
            )
            raise UserError(
                f"{found}.{did_you_mean(name, known)}", about={"only": name}
            )


# ---- traces


@refuse_other_arguments
def save(trace: Trace, path: Path, only: str | Sequence[str] | None = None) -> None:
    """Write a trace to a file, which appears complete or not at all.

    Parameters
    ----------
    trace
        from `lstmcli.run`; arrays keep their axes and dtypes in .npz and .npy.
    path
        its suffix is the format (docs/formats.md): .npz, .npy, .json, .jsonl,
        .csv, .tsv or .txt.
    only
        names of members, such as ``("h", "final_h")``; without it all members
        of the trace that the format can store.

    Raises
    ------
    UserError
        for an unknown suffix, a member that the format cannot store, a folder
        that is not there, or what is not a trace.

    Examples
    --------
    >>> lstmcli.save(lstmcli.run("demo/weights.npz", np.ones((5, 4))), "out.npy")
    >>> np.load("out.npy").shape
    (5, 3)
    """
    if not isinstance(trace, Trace):
        raise UserError(
            f"save takes a trace, which lstmcli.run gives; it got {type_of(trace)}."
        )
    if not is_path(path):
        raise UserError(
            f'save takes a path, such as "out.npz"; it got {type_of(path)}.'
        )
    path, only = os.fspath(path), names_of(only, "save")
    if only is not None and trace.final_y is not None:
        only = [FINAL_Y if name == Y else name for name in only]
    format = formats.format_of(path)
    if only is None and format in ONLY_H:
        there = [name for name in ("h", Y, FINAL_Y) if name in trace.members()]
        only = there[:1] or None
    if format in BY_STEP and not trace.arrays:
        raise UserError(
            f"{path}: a table of steps; this trace has only its final state."
        )
    names = members_for(format, only)
    if only is None and format not in ONLY_H:
        bases = {name.rpartition(".")[2] for name in trace.members()}
        known = dict.fromkeys((*NAMES, Y, *names))
        if format not in ("csv", "tsv"):
            known[FINAL_Y] = None
        names = tuple(name for name in known if name in bases)
    with formats.atomically(path) as stream:
        write_trace(trace, stream, format, tuple(dict.fromkeys(names)))


def write_trace(
    trace: Trace,
    stream: BinaryIO,
    format: str,
    names: Sequence[str],
    part: Part = WHOLE,
    digits: int | None = None,
    tidy: bool = False,
) -> None:
    """Write the named members of a trace to an open stream.

    ``part`` is what the trace contains of the full run. Text has ``digits``
    places; with ``tidy``, formats by step have a row for each unit.
    """
    members = _chosen(trace, names)
    digits = None if format in BINARY else digits
    if format in BY_STEP:
        final_y = members.pop(FINAL_Y, None)
        steps = {name: _by_step(trace, name) for name in members}
        batched = trace.layout != "steps"
        writer = formats.open_steps(
            stream, format, list(steps), batched, part, tidy=tidy
        )
        numbers = range(trace.steps) if part.steps is None else part.steps
        write_steps(writer, numbers, steps, digits)
        if final_y is not None:
            writer.write_end(FINAL_Y, round_to_digits(final_y, digits))
        return
    if format in ONLY_H:
        formats.write(stream, format, {"h": members[names[0]]}, {"digits": digits})
    else:
        rounded = {
            name: round_to_digits(array, digits) for name, array in members.items()
        }
        formats.write(stream, format, rounded, {"meta": _meta(trace.settings, digits)})


def write_steps(
    writer: StepWriter, steps: Indices, arrays: Mapping[str, Array], digits: int | None
) -> None:
    """Write arrays (s, ...) of these steps, block by block."""
    for first in range(0, len(steps), BLOCK):
        block = slice(first, first + BLOCK)
        rounded = {k: round_to_digits(a[block], digits) for k, a in arrays.items()}
        writer.write(steps[block], rounded)


def _meta(settings: Mapping[str, Any], digits: int | None) -> dict[str, Any]:
    return dict(settings) | ({} if digits is None else {"digits": digits})


def _chosen(trace: Trace, names: Sequence[str]) -> dict[str, Array]:
    members = trace.members()
    chosen: dict[str, Array] = {}
    for name in names:
        found = {
            member: array for member, array in members.items() if is_named(member, name)
        }
        if not found:
            raise UserError(f"the trace has no {name!r}; it has {', '.join(members)}.")
        chosen |= found
    return chosen


def _by_step(trace: Trace, name: str) -> Array:
    """(T, K) for one sequence, else (T, B, K)."""
    array = trace.arrays[name]
    if array.ndim > 3 or (trace.layout == "steps" and array.ndim > 2):
        raise UserError(
            f"{name} is {array.shape}, with an axis of directions, which .npz and .json store; a "
            "table of steps has none.",
            try_={"merge": "concat"},
        )
    return array if trace.layout == "steps" else trace.time_major(name)


# ---- runs, piece by piece


def are_large(plan: Plan, format: str, names: Sequence[str], selected: Part) -> bool:
    """Return whether `write_pieces` is to write the results, for their size."""
    if format not in BINARY or has_direction_axis(plan.model):
        return False
    if any("." in name for name in names):
        return False
    shapes = _shapes(plan, selected)
    numbers = sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
    return numbers * plan.dtype.itemsize > PIECES_FROM


def _shapes(plan: Plan, part: Part) -> dict[str, tuple[int, ...]]:
    """The shape of what is selected of each array, in the layout of the inputs."""
    axes = in_layout(part.sizes.steps, part.sizes.batch, plan.layout)
    return {name: (*axes, len(columns)) for name, columns in part.columns.items()}


class FileBlocks(Sink):
    """Writes a part of the arrays of a run into the places that they have in a file."""

    def __init__(
        self, part: Part, layout: str, writers: Mapping[str, BlockWriter]
    ) -> None:
        super().__init__(part)
        self._layout, self._writers = layout, writers

    def take(self, piece: Piece) -> None:
        """Write what is there of the part."""
        steps, items, arrays = self.part.cut_piece(*piece)
        index = in_layout(steps, items, self._layout)
        for name, array in arrays.items():
            self._writers[name].write(index, from_time_major(array, self._layout))


def write_pieces(
    plan: Plan,
    target: str | BinaryIO,
    format: str,
    names: Sequence[str],
    part: Part,
    **execution: Any,
) -> State:
    """Run and write one of `BINARY` piece by piece; gives the final state.

    ``execution`` has the ``executor`` and the ``meter``. The arrays are those
    of a run in memory, bit for bit.
    """
    shapes = _shapes(plan, part)
    with formats.open_blocks(target, format, shapes, plan.dtype) as file:
        sink = FileBlocks(part, plan.layout, file.writers)
        trace = trace_of(plan, {}, run_to(plan, sink, **execution))
        written = cut_trace(trace, part, plan.model.convention.behaviour.states)
        file.arrays |= {k: a for k, a in written.members().items() if k in names}
        file.order = members_named((*shapes, *FINAL), names)
        file.attributes["meta"] = dict(written.settings)
    return trace.final_h, trace.final_c


# ---- states


def save_state(path: str, h: Array, c: Array, steps: int) -> None:
    """Write ``h`` and ``c`` after ``steps`` for ``--initial-state``."""
    format = formats.format_of(path, formats.SEVERAL_ARRAYS)
    with formats.atomically(path) as stream:
        formats.write(stream, format, {"h": h, "c": c}, {"steps": steps})


def write_file(path: str, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    with formats.atomically(path) as stream:
        stream.write(data)


def write_arrays(
    stem: str, arrays: Mapping[str, Array], attributes: Mapping[str, Any] | None = None
) -> str:
    """Write one array without a name as ``STEM.npy``, others as ``STEM.npz``; gives the path.

    The folder is made if it is not there.
    """
    make_folder(os.path.dirname(stem))
    format = "npy" if [*arrays] == [""] else "npz"
    path = f"{stem}.{format}"
    formats.write(path, format, arrays, attributes if format == "npz" else None)
    return path


def make_folder(folder: str) -> None:
    """Make a folder, and those that it is in."""
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise unwritable(folder, error) from None
