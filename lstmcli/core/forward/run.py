"""Run a model over inputs: from (B, T, I) to a trace in the same axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from lstmcli.core.forward.batch import (
    PAYS_FROM,
    Meter,
    Runner,
    blocks_within,
    row_blocks,
    row_chunks,
    worth_threads,
)
from lstmcli.core.forward.blas import one_thread
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.matmul import comes_out_whole, saves_packing
from lstmcli.core.forward.threads import shares_memory
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import (
    MAX_LENGTHS_SHOWN,
    Cell,
    Model,
    SliceableArray,
    Trace,
    as_time_major,
    format_lengths,
    from_time_major,
)
from lstmcli.core.model.states import State, join_states, split_state
from lstmcli.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

Array = npt.NDArray[Any]
X = TypeVar("X", bound=SliceableArray)
Advance = Callable[[Array, State, "tuple[str, ...]"], "tuple[dict[str, Array], State]"]

NAMES = ("h", "c", "i", "f", "g", "o", "z")
"""What a trace may hold."""

KEPT = NAMES[:-1]
"""What it holds unless told otherwise: z, the pre-activations, only when asked for."""


def run(
    model: Model,
    x: npt.ArrayLike,
    keep: str | Iterable[str] = KEPT,
    *,
    layout: str | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    name: str = "the inputs",
) -> Trace:
    """Run a model over a sequence, or a batch of them.

    Parameters
    ----------
    model
        from `lstmcli.load`.
    x
        (T, I), or a batch: (B, T, I) or (T, B, I) by ``layout`` ("batch" or "time"; default: what
        the model's file gives, else its convention's, and then (1, T, I) is one sequence).
    keep
        those of h, c, i, f, g, o, z to keep; the final state always is.
    initial_state
        ``h`` (P,) or (B, P) and ``c`` (H,) or (B, H); zero without. Of a model of several cells
        each has the cells on a first axis, layer by layer, forward before backward.
    lengths
        (B,) valid steps of each row; without them and a mask, those that the file holds. Past them
        every member is 0 and the state is frozen.
    mask
        (B, T) or (T, B), as the inputs lie: false steps are skipped, wherever they are.
    executor
        any `concurrent.futures.Executor`: of threads, processes or a cluster. Blocks of rows are
        handed to it. They follow from the shapes alone, so results do not depend on it, bit for
        bit. Threads are left alone where blocks are so small that they would only be slower.
    meter
        is told how many rows x steps of a cell were done: every few steps, by the threads that do
        them, or as each block of rows comes back from the processes of an executor.
    name
        what messages call the inputs.

    Raises
    ------
    UserError
        if shapes do not fit.
    """
    keep = kept_names(keep)
    said = layout or model.given.get("layout")
    array, layout = check_inputs(model, np.asarray(x), layout, name, initial_state, lengths)
    assumed = layout_words(array.shape, layout) if array.ndim == 3 and said is None else ""
    major = as_time_major(array, layout)  # (T, B, I)
    rows = major.shape[1]
    valid = counted_steps(model, lengths, mask, major.shape, layout)
    states = split_state(initial_state or {}, model, rows)
    here = executor is None or shares_memory(executor)
    work = Work(model, rows, keep, mask is not None, meter=meter if here else None)
    if executor is None or (here and not worth_threads(rows, model)):
        return trace_of(model, work(slice(0, rows), major, states, valid), layout, assumed)
    chunks, whole = row_chunks(rows, model), Whole(rows)
    shares = zip(*((c, major[:, c], *share(c, states, valid)) for c in chunks), strict=True)
    if here:
        list(executor.map(lambda chunk, *own: whole.put(chunk, work(chunk, *own)), *shares))
    else:
        parts = heard(executor.map(work, *shares), chunks, len(major), model, meter)
        for chunk, part in zip(chunks, parts, strict=True):
            whole.put(chunk, part)
    return trace_of(model, whole.part, layout, assumed)


class Part(NamedTuple):
    """What a run of some rows gives."""

    outputs: list[Array]  # h of the last layer, (T, R, P) of each direction
    arrays: dict[str, Array]  # what was kept of each cell, (T, R, K)
    finals: list[State]  # of each cell


@dataclass(frozen=True, eq=False)
class Work:
    """What is done to a batch, some of its rows at a time, here or in another process."""

    model: Model
    rows: int  # of the whole batch: the blocks follow from them
    keep: tuple[str, ...]
    masked: bool
    meter: Meter | None = None
    packed: tuple[Packed, ...] = ()  # of each cell

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", tuple(Packed(cell) for _, cell in self.model.cells))

    def __reduce__(self) -> tuple[Any, ...]:
        return Work, (self.model, self.rows, self.keep, self.masked)

    def __call__(
        self, chunk: slice, x: Array, states: Sequence[State], valid: Array | None
    ) -> Part:
        """Run the rows of a chunk: x (T, R, I), a state of each cell, (T, R) valid steps."""
        arrays: dict[str, Array] = {}
        finals: list[State] = []
        with one_thread():
            for n, layer in enumerate(self.model.layers):
                outputs = []
                for d, cell in enumerate(layer):
                    packed = self.packed[len(finals)]
                    blocks = self._blocks(packed, chunk, len(x))
                    advance = (
                        _advance_reset if cell.convention.behaviour.state == "reset" else _advance
                    )
                    one, final = _run_cell(
                        partial(advance, packed, blocks, self.meter),
                        cell, x, states[len(finals)], valid, self.keep,
                        backward=d == 1, hidden=hidden_rule(cell, self.masked, len(layer) == 2),
                    )  # fmt: skip
                    finals.append(final)
                    outputs.append(one["h"])
                    arrays |= cell_names(self.model, n, d, {k: one[k] for k in self.keep})
                if n + 1 < len(self.model.layers):
                    x = merged(outputs, layer[0].convention, None)
        return Part(outputs if len(finals) > 1 else [], arrays, finals)

    def _blocks(self, packed: Packed, chunk: slice, steps: int) -> list[slice]:
        """The blocks of a chunk; all rows as one where that is quicker and the same.

        Blocks write what is kept beside h to columns of wide arrays, which takes longer.
        """
        blocks = blocks_within(chunk, self.rows, packed.cell)
        if chunk.stop - chunk.start < self.rows or len(blocks) == 1 or steps < PAYS_FROM:
            return blocks
        quicker = set(self.keep) > {"h"} or saves_packing(packed.K, self.rows, blocks)
        return [chunk] if quicker and comes_out_whole(packed.K, self.rows, blocks) else blocks


def share(
    chunk: slice, states: Sequence[State], valid: Array | None
) -> tuple[list[State], Array | None]:
    """A chunk's share of the states and the valid steps."""
    own = [(h[chunk], c[chunk]) for h, c in states]
    return own, None if valid is None else valid[:, chunk]


def heard(
    parts: Iterable[Part], chunks: Iterable[slice], steps: int, model: Model, meter: Meter | None
) -> Iterator[Part]:
    """Parts that come from where no meter is; it is told of each that has come."""
    for chunk, part in zip(chunks, parts, strict=True):
        if meter:
            meter((chunk.stop - chunk.start) * steps * len(model.cells))
        yield part


class Whole:
    """The parts of a batch, put side by side by whoever has them."""

    def __init__(self, rows: int) -> None:
        self.rows, self.part = rows, Part([], {}, [])
        self._lock, self._empty = Lock(), True

    def put(self, chunk: slice, part: Part) -> None:
        """Take over the part of some rows."""
        with self._lock:
            if self._empty:
                self._empty = False
                self.part = part if chunk == slice(0, self.rows) else self._room_for(part)
        if self.part is part:
            return
        for target, source in zip(self.part.outputs, part.outputs, strict=True):
            target[:, chunk] = source
        for name, array in part.arrays.items():
            self.part.arrays[name][:, chunk] = array
        for (h, c), (own_h, own_c) in zip(self.part.finals, part.finals, strict=True):
            h[chunk], c[chunk] = own_h, own_c

    def _room_for(self, part: Part) -> Part:
        """Arrays like those of a part, for all rows."""
        return Part(
            [_wider(a, self.rows) for a in part.outputs],
            {k: _wider(a, self.rows) for k, a in part.arrays.items()},
            [tuple(_wider(a[None], self.rows)[0] for a in state) for state in part.finals],
        )


def _wider(array: Array, rows: int) -> Array:
    """Room for all rows of what is (T, R, K), lying as the loop writes it: (T, K, B) in memory."""
    steps, _, width = array.shape
    return np.empty((steps, width, rows), array.dtype).transpose(0, 2, 1)


def trace_of(model: Model, part: Part, layout: str, assumed: str = "") -> Trace:
    """What a run gave, in the axes of its inputs and of the model's convention.

    ``assumed`` are the words for a layout that was.
    """
    arrays, stacked = part.arrays, merged_axes(model)
    if part.outputs:
        arrays = {"h": merged(part.outputs, model.layers[-1][0].convention, layout)} | arrays
    return Trace(
        {k: a if k == "h" and stacked else from_time_major(a, layout) for k, a in arrays.items()},
        *join_states(part.finals, model.convention.behaviour.states, layout),
        layout,
        run_settings(model, layout, assumed),
    )


def _run_cell(
    advance: Advance,
    cell: Cell,
    x: Array,
    state: State,
    valid: Array | None,
    keep: tuple[str, ...],
    *,
    backward: bool,
    hidden: str,
) -> tuple[dict[str, Array], State]:
    """One cell over x (T, R, I): its arrays (T, R, K) in the order of time, and its last state.

    The loop itself knows neither lengths nor masks: the valid steps of each row are moved to the
    front, the row runs on over the rest as long as nobody sees it, and all are moved back.
    ``hidden`` says what is seen there instead.
    """
    how = cell.convention
    if _turned(cell, backward):
        x, valid = x[::-1], None if valid is None else valid[::-1]
    order = None if valid is None else np.argsort(~valid, axis=0, kind="stable")  # (T, R)
    if order is not None:
        x = np.take_along_axis(x, order[:, :, None], axis=0)
    names = tuple(dict.fromkeys((*keep, "h") if valid is None else (*keep, "h", "c")))
    arrays, final = advance(x, state, names)
    if valid is not None and order is not None:
        final = _state_at(valid.sum(axis=0), arrays, state, how.behaviour.empty_rows)
        back = np.argsort(order, axis=0)[:, :, None]
        arrays = {k: np.take_along_axis(a, back, axis=0) for k, a in arrays.items()}
        _mask(arrays, valid, hidden)
    if _flipped(cell, backward):
        arrays = {k: a[::-1] for k, a in arrays.items()}
    return arrays, final


def _turned(cell: Cell, backward: bool) -> bool:
    """Whether the cell runs from the last step to the first."""
    how = cell.convention
    return (
        (backward and not how.behaviour.forward)
        or how.behaviour.reverse
        or how.behaviour.go_backwards
    )


def _flipped(cell: Cell, backward: bool) -> bool:
    """Whether its arrays lie in the other order than it ran."""
    how = cell.convention
    return (_turned(cell, backward) and not how.behaviour.go_backwards) != how.behaviour.flip_output


def order_of_steps(
    cell: Cell, steps: int, valid: Array | None, backward: bool
) -> tuple[Array, Array]:
    """For each step of the loop, the step of the inputs it takes, and its place in the trace.

    Both are (T, B), or (T, 1) where all rows go alike (``valid`` is None).
    """
    order: Array = np.arange(steps)[:, None]  # (T, B) from here on
    if valid is not None:
        skipped = ~(valid[::-1] if _turned(cell, backward) else valid)
        order = np.argsort(skipped, axis=0, kind="stable")
    other = steps - 1 - order
    return (
        other if _turned(cell, backward) else order,
        other if _flipped(cell, backward) else order,
    )


def hidden_rule(cell: Cell, masked: bool, both_directions: bool) -> str:
    """What stands where no step is valid: zero, the last output again, or what runs on."""
    how = cell.convention
    if not masked:
        return how.behaviour.past_length
    return how.behaviour.masked_output_merged if both_directions else how.behaviour.masked_output


def _advance(
    packed: Packed, blocks: Sequence[slice], meter: Meter | None,
    x: Array, state: State, names: tuple[str, ...],
) -> tuple[dict[str, Array], State]:  # fmt: skip
    """Step over x (T, R, I), the state carried on."""
    runner = Runner(packed, blocks, state, meter=meter)
    return runner.advance(x, names), runner.state


def _advance_reset(
    packed: Packed, blocks: Sequence[slice], meter: Meter | None,
    x: Array, state: State, names: tuple[str, ...],
) -> tuple[dict[str, Array], State]:  # fmt: skip
    """Step over x with a state that is never carried: all steps are rows of one step."""
    steps, rows = x.shape[:2]
    h, c = (np.concatenate([a, np.zeros(((steps - 1) * rows, a.shape[1]), a.dtype)]) for a in state)
    flat = x.reshape(1, steps * rows, -1)
    arrays, (h, c) = _advance(
        packed, row_blocks(steps * rows, packed.cell), meter, flat, (h, c), names
    )
    return (
        {k: a.reshape(steps, rows, -1) for k, a in arrays.items()},
        (h[-rows:], c[-rows:]),
    )


def _state_at(
    lengths: Array, arrays: Mapping[str, Array], first: tuple[Array, Array], empty_rows: str
) -> tuple[Array, Array]:
    """The state (B, P), (B, H) after each row's last valid step."""
    last, row = np.maximum(lengths - 1, 0), np.arange(len(lengths))
    empty = (lengths == 0)[:, None]
    h, c = (np.zeros_like(a) for a in first) if empty_rows == "zero" else first
    return np.where(empty, h, arrays["h"][last, row]), np.where(empty, c, arrays["c"][last, row])


def _mask(arrays: dict[str, Array], valid: Array, output: str) -> None:
    """Zero what is not valid; ``repeat`` shows the last valid h there, as Keras does."""
    if output == "run":  # flax: the outputs run on over the padding
        return
    for array in arrays.values():
        array[~valid] = 0
    if output == "repeat":
        step = np.where(valid, np.arange(len(valid))[:, None], 0)
        seen = np.maximum.accumulate(step, axis=0)  # (T, B): the last valid step so far
        arrays["h"][:] = np.take_along_axis(arrays["h"], seen[:, :, None], axis=0)


def cell_names(
    model: Model, layer: int, direction: int, arrays: dict[str, Array]
) -> dict[str, Array]:
    """The arrays of one cell under the names that a trace gives them."""
    if len(model.layers) == 1 and not model.bidirectional:
        return arrays
    if set(arrays) <= {"h"}:  # the output of the model was all that was asked for
        return {}
    return {f"layer{layer}{'_reverse' * direction}.{k}": a for k, a in arrays.items()}


def merged(directions: list[Array], convention: Convention, layout: str | None) -> Array:
    """Forward and backward h (T, B, H) as one output.

    ``stack`` keeps the directions apart, on the axis where they have it: ONNX (T, D, B, H) or
    (B, T, D, H), OpenVINO (B, D, T, H); between layers (``layout`` None) it concatenates.
    ``concat_swapped`` has the backward half first, between layers too.
    """
    how = convention.behaviour.merge
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    if how == "stack" and layout is not None:
        axis = direction_axis(convention, layout)
        return np.stack([from_time_major(one, layout) for one in directions], axis=axis)
    if how == "sum":
        return forward + backward
    if how == "mul":
        return forward * backward
    if how == "ave":
        half: Array = (forward + backward) / forward.dtype.type(2)
        return half
    return np.concatenate(directions[::-1] if how == "concat_swapped" else directions, axis=2)


def direction_axis(convention: Convention, layout: str) -> int:
    """The axis of directions where they are stacked: (T, D, B, H), (T, D, H), (B, T, D, H)...

    With the batch first, states that have it first too put the directions next to it: (B, D, T, H).
    """
    return 2 if layout == "batch" and convention.behaviour.states != "batch" else 1


def merged_axes(model: Model) -> bool:
    """Whether h has an axis of directions, and is in its own axes already."""
    return len(model.layers[-1]) == 2 and model.convention.behaviour.merge == "stack"


def kept_names(keep: str | Iterable[str]) -> tuple[str, ...]:
    """The names to keep; UserError for one that no trace has."""
    names = (keep,) if isinstance(keep, str) else tuple(keep)
    for name in names:
        if name not in NAMES:
            raise UserError(f"a trace has no {name!r}; it has {', '.join(NAMES)}.")
    return names


def assumed_layout(
    model: Model,
    shape: Sequence[int],
    initial_state: Mapping[str, npt.ArrayLike] | None = None,
    lengths: npt.ArrayLike | None = None,
) -> str:
    """The layout of inputs of three axes, where no file and no option says it.

    The convention's, but (1, T, I) is one sequence: time first, it would be T sequences of one
    step. Lengths, or a state, for as many sequences as the second axis has say time first.
    """
    if len(shape) != 3 or shape[0] != 1 or shape[1] == 1:
        return model.convention.behaviour.layout
    many = lengths is not None and np.size(lengths) == shape[1]
    return "time" if many or _fits_only(initial_state, model, shape[1]) else "batch"


def _fits_only(state: Mapping[str, npt.ArrayLike] | None, model: Model, rows: int) -> bool:
    """Whether a state is one of so many sequences, and none of a single one."""

    def fits(rows: int) -> bool:
        try:
            split_state(state or {}, model, rows)
        except (UserError, ValueError, IndexError):
            return False
        return True

    return bool(state) and fits(rows) and not fits(1)


def layout_words(shape: Sequence[int], layout: str) -> str:
    """A layout that was assumed, as it is said."""
    if layout == "batch" and shape[0] == 1:
        return f"layout batch ({tuple(shape)} is one sequence; --layout time)"
    other = "batch" if layout == "time" else "time"
    return f"layout {layout} (not stored in the weights; --layout {other})"


def run_settings(model: Model, layout: str, assumed: str = "") -> dict[str, Any]:
    """The ``meta`` of a run: its settings, and what was assumed, the layout by its words."""
    all_ = [*model.assumed, *([assumed] if assumed else [])]
    own = {"layout": layout, "dtype": model.cell.dtype.name}
    return model.settings() | own | ({"assumed": all_} if all_ else {})


def check_inputs(
    model: Model,
    x: X,
    layout: str | None,
    name: str,
    initial_state: Mapping[str, npt.ArrayLike] | None = None,
    lengths: npt.ArrayLike | None = None,
) -> tuple[X, str]:
    """The inputs and the layout they are read in: "steps", "batch" or "time".

    Without ``layout`` it is that which the model's file gives, else `assumed_layout`.

    Raises
    ------
    UserError
        if they have another number of axes, of inputs, or no steps.
    """
    if x.ndim not in (2, 3):
        hint = (f"  One step of {len(x)} inputs is (1, {len(x)}).",) if x.ndim == 1 else ()
        raise UserError(
            f"{name} is {x.shape}; inputs are (steps, inputs) or (batch, steps, inputs).", *hint
        )
    if x.dtype.kind not in "fiub":
        raise UserError(f"{name} holds {x.dtype}, not numbers.")
    if x.shape[-1] != model.cell.inputs:
        raise _wrong_inputs(model, x, name)
    if x.ndim == 2:
        layout = "steps"
    elif layout is None:
        layout = model.convention.behaviour.layout
        if "layout" not in model.given:
            layout = assumed_layout(model, x.shape, initial_state, lengths)
    if 0 in x.shape:
        raise UserError(f"{name} is {x.shape}: there is nothing to run.")
    return x, layout


def _wrong_inputs(model: Model, x: SliceableArray, name: str) -> UserError:
    cell = model.cell
    tensor, shape = next(iter(model.tensors.items()))
    lines = [
        f"{name} is {x.shape}, but the {tensor} {shape} with {cell.units} units "
        f"takes {cell.inputs} inputs."
    ]
    if cell.inputs in x.shape:
        lines.append("  The inputs of a step come last: the axes of the file look exchanged.")
    fused = any(cell.inputs + cell.outputs in dims for dims in model.tensors.values())
    if fused and x.shape[-1] == cell.units and cell.convention.storage.rows == "xh":
        lines.append("  If the fused kernel holds h first, try --rows hx.")
    if x.ndim == 2:
        lines.append("  If it is (batch, steps), it lacks the input axis.")
    return UserError(*lines)


def counted_steps(
    model: Model,
    lengths: npt.ArrayLike | None,
    mask: npt.ArrayLike | None,
    shape: tuple[int, ...],
    layout: str,
) -> Array | None:
    """(T, B) truth of the steps that count, as given or as the model's file has it; None: all.

    ``shape`` is that of the inputs with time first.

    Raises
    ------
    UserError
        as `valid_steps`, and where the lengths of the file do not fit the inputs.
    """
    if model.convention.behaviour.lengths == "ignored":
        return None
    if lengths is None and mask is None and model.lengths:
        steps, rows = shape[:2]
        check_lengths(model, rows, steps)
        lengths = np.array(model.lengths)
    return valid_steps(lengths, mask, shape, layout)


def check_lengths(model: Model, rows: int, steps: int) -> None:
    """Refuse inputs that the lengths in the model's file do not fit."""
    if len(model.lengths) != rows or max(model.lengths) > steps or min(model.lengths) < 0:
        given = ",".join(["N"] * rows) if rows <= MAX_LENGTHS_SHOWN else "N,N,..."
        raise UserError(
            f"the file holds the lengths {format_lengths(model.lengths)} (sequence_lens), for "
            f"{len(model.lengths)} sequence{'s' * (len(model.lengths) != 1)} of "
            f"{max(model.lengths)} steps or more; the inputs have {rows} of {steps}.",
            f"  --lengths {given} gives others, --set lengths=ignored runs all steps.",
        )


def valid_steps(
    lengths: npt.ArrayLike | None, mask: npt.ArrayLike | None, shape: tuple[int, ...], layout: str
) -> Array | None:
    """(T, B) truth of the steps that count, from lengths (B,) or a mask in the inputs' axes.

    Raises
    ------
    UserError
        for both at once, other shapes, or lengths that are not whole numbers of 0 to T.
    """
    steps, rows = shape[:2]
    if mask is not None:
        if lengths is not None:
            raise UserError("lengths and a mask say the same thing; give one of them.")
        array: Array = np.asarray(mask).astype(bool)
        wanted = {"steps": (steps,), "batch": (rows, steps), "time": (steps, rows)}[layout]
        if array.shape != wanted:
            raise UserError(f"the mask is {array.shape}; these inputs need {wanted}.")
        return array.T if layout == "batch" else array.reshape(steps, rows)
    if lengths is None:
        return None
    array = np.atleast_1d(np.asarray(lengths))
    if array.shape != (rows,) or array.dtype.kind not in "iuf" or (array % 1 != 0).any():
        raise UserError(
            f"lengths are {array.tolist()}; a whole number for each of {rows} rows is needed."
        )
    if array.min() < 0 or array.max() > steps:
        raise UserError(f"lengths are {array.tolist()}, but the inputs have {steps} steps.")
    valid: Array = np.arange(steps)[:, None] < array
    return valid
