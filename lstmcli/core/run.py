"""Run a model over inputs: from (B, T, I) to a trace in the same axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.conventions import Convention
from lstmcli.core.loop import Loop, Packed
from lstmcli.core.model import Cell, Model, Trace, as_time_major, from_time_major
from lstmcli.core.names import HOME
from lstmcli.core.steps import FIOG
from lstmcli.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

Array = npt.NDArray[Any]

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
    name: str = "the inputs",
) -> Trace:
    """Run a model over a sequence, or a batch of them.

    Parameters
    ----------
    model
        from `lstmcli.load`.
    x
        (T, I), or a batch: (B, T, I) or (T, B, I) by ``layout`` ("batch" or "time"; default: the
        model's).
    keep
        those of h, c, i, f, g, o, z to keep; the final state always is.
    initial_state
        ``h`` (P,) or (B, P) and ``c`` (H,) or (B, H); zero without. Of a model of several cells
        each has the cells on a first axis, layer by layer, forward before backward.
    lengths
        (B,) valid steps of each row. Past them every member is 0 and the state is frozen.
    mask
        (B, T) or (T, B), as the inputs lie: false steps are skipped, wherever they are.
    executor
        any `concurrent.futures.Executor` with threads; blocks of rows are handed to it. The
        blocks follow from the shapes alone, so results do not depend on it, bit for bit.
    name
        what messages call the inputs.

    Raises
    ------
    UserError
        if shapes do not fit.
    """
    keep = _names(keep)
    x, layout = check_inputs(model, np.asarray(x), layout, name)
    major = as_time_major(x, layout)  # (T, B, I)
    valid = valid_steps(lengths, mask, major.shape, layout)
    states = split_state(initial_state or {}, model, major.shape[1])
    arrays: dict[str, Array] = {}
    finals: list[tuple[Array, Array]] = []
    output = major
    for n, layer in enumerate(model.layers):
        directions = []
        for d, cell in enumerate(layer):
            one, final = _run_cell(
                cell, output, states[len(finals)], valid, keep, executor,
                backward=d == 1, hidden=_rule(cell, mask is not None, len(layer) == 2),
            )  # fmt: skip
            finals.append(final)
            directions.append(one["h"])
            arrays |= _named(model, n, d, {k: one[k] for k in keep})
        last = n == len(model.layers) - 1
        output = merged(directions, layer[0].convention, layout if last else None)
    if len(model.layers) > 1 or model.bidirectional:
        arrays = {"h": output} | arrays
    stacked = merged_axes(model)
    return Trace(
        {k: a if k == "h" and stacked else from_time_major(a, layout) for k, a in arrays.items()},
        *_final(finals, model.convention.states, layout),
        layout,
        model.settings() | {"layout": layout, "dtype": model.cell.dtype.name},
    )


def _run_cell(
    cell: Cell,
    x: Array,
    state: tuple[Array, Array],
    valid: Array | None,
    keep: tuple[str, ...],
    executor: Executor | None,
    *,
    backward: bool,
    hidden: str,
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    """One cell over x (T, B, I): its arrays (T, B, K) in the order of time, and its last state.

    The loop itself knows neither lengths nor masks: the valid steps of each row are moved to the
    front, the row runs on over the rest as long as nobody sees it, and all are moved back.
    ``hidden`` says what is seen there instead.
    """
    how = cell.convention
    turned = backward or how.reverse or how.go_backwards
    if turned:
        x, valid = x[::-1], None if valid is None else valid[::-1]
    order = None if valid is None else np.argsort(~valid, axis=0, kind="stable")  # (T, B)
    if order is not None:
        x = np.take_along_axis(x, order[:, :, None], axis=0)
    names = tuple(dict.fromkeys((*keep, "h") if valid is None else (*keep, "h", "c")))
    advance = _advance_reset if how.state == "reset" else _advance
    arrays, final = advance(cell, x, state, names, executor)
    if valid is not None and order is not None:
        final = _state_at(valid.sum(axis=0), arrays, state, how.empty_rows)
        back = np.argsort(order, axis=0)[:, :, None]
        arrays = {k: np.take_along_axis(a, back, axis=0) for k, a in arrays.items()}
        _mask(arrays, valid, hidden)
    if (turned and not how.go_backwards) != how.flip_output:
        arrays = {k: a[::-1] for k, a in arrays.items()}
    return arrays, final


def _rule(cell: Cell, masked: bool, both_directions: bool) -> str:
    """What stands where no step is valid: zero, the last output again, or what runs on."""
    how = cell.convention
    if not masked:
        return how.past_length
    return how.masked_output_merged if both_directions else how.masked_output


def _advance(
    cell: Cell,
    x: Array,
    state: tuple[Array, Array],
    names: tuple[str, ...],
    executor: Executor | None,
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    """Step over x (T, B, I), the state carried on."""
    runner = Runner(cell, x.shape[1], state, executor)
    return runner.advance(x, names), runner.state


def _advance_reset(
    cell: Cell,
    x: Array,
    state: tuple[Array, Array],
    names: tuple[str, ...],
    executor: Executor | None,
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    """Step over x with a state that is never carried: all steps are rows of one step."""
    steps, rows = x.shape[:2]
    h, c = (np.concatenate([a, np.zeros(((steps - 1) * rows, a.shape[1]), a.dtype)]) for a in state)
    flat = x.reshape(1, steps * rows, -1)
    arrays, (h, c) = _advance(cell, flat, (h, c), names, executor)
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


def _named(model: Model, layer: int, direction: int, arrays: dict[str, Array]) -> dict[str, Array]:
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
    """
    how = convention.merge
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    if how == "stack" and layout is not None:
        both: Array = np.stack(directions, axis=1)  # (T, D, B, H)
        both = both[:, :, 0] if layout == "steps" else both
        axes = (2, 1, 0, 3) if convention.states == "batch" else (2, 0, 1, 3)
        return np.transpose(both, axes) if layout == "batch" else both
    if how == "sum":
        return forward + backward
    if how == "mul":
        return forward * backward
    if how == "ave":
        half: Array = (forward + backward) / forward.dtype.type(2)
        return half
    return np.concatenate(directions, axis=2)


def merged_axes(model: Model) -> bool:
    """Whether h has an axis of directions, and is in its own axes already."""
    return len(model.layers[-1]) == 2 and model.convention.merge == "stack"


def _final(finals: list[tuple[Array, Array]], states: str, layout: str) -> tuple[Array, Array]:
    """The last h and c: (B, H) of one cell, of several in the convention's own axes."""

    def joined(arrays: tuple[Array, ...]) -> Array:
        if len(arrays) == 1:
            return arrays[0][0] if layout == "steps" else arrays[0]
        if states == "features":
            both = np.concatenate(arrays, axis=1)  # (B, D H)
        else:
            both = np.stack(arrays, axis=1 if states == "batch" else 0)
        return both.reshape(-1) if states == "features" and layout == "steps" else both

    h, c = (joined(arrays) for arrays in zip(*finals, strict=True))
    if layout == "steps" and len(finals) > 1 and states != "features":
        axis = 0 if states == "batch" else 1
        h, c = h.squeeze(axis), c.squeeze(axis)
    return h, c


class Runner:
    """A cell, the rows of a batch in blocks, and the state that each block carries on."""

    def __init__(
        self,
        cell: Cell,
        rows: int,
        state: tuple[Array, Array],
        executor: Executor | None = None,
        slots: int | None = None,
    ) -> None:
        self.cell = cell
        self.rows = rows
        self._map: Callable[..., Iterable[Any]] = map if executor is None else executor.map
        packed = Packed(cell)
        self._blocks = row_blocks(rows, cell)
        self._loops = [Loop(packed, b.stop - b.start, slots) for b in self._blocks]
        h, c = state
        for block, loop in zip(self._blocks, self._loops, strict=True):
            loop.start(h[block], c[block])

    @property
    def state(self) -> tuple[Array, Array]:
        """h (B, P) and c (B, H) after the steps so far."""
        states = [loop.state for loop in self._loops]
        return np.concatenate([h for h, _ in states]), np.concatenate([c for _, c in states])

    def advance(self, x: Array, keep: tuple[str, ...] = ("h",)) -> dict[str, Array]:
        """Run the steps of x (s, B, I); gives the kept arrays, each an (s, B, K) view."""
        cell, steps, rows = self.cell, len(x), self.rows

        def target(wanted: bool, width: int) -> Array | None:
            return np.empty((steps, width, rows), cell.dtype) if wanted else None

        h = np.empty((steps, cell.outputs, rows), cell.dtype)
        gates = target(any(name in HOME for name in keep), 4 * cell.units)
        c = target("c" in keep, cell.units)
        z = target("z" in keep, 4 * cell.units)

        def one(block: slice, loop: Loop) -> None:
            parts = (None if a is None else a[:, :, block] for a in (gates, c, z))
            with np.errstate(all="ignore"):  # per thread; exp may overflow, and is meant to
                loop.advance(x[:, block], h[:, :, block], *parts)

        for _ in self._map(one, self._blocks, self._loops):
            pass
        arrays = {"h": h, "c": c, "z": z} | _by_gate(gates, cell.units)
        if z is not None:
            arrays["z"] = np.concatenate(list(_by_gate(z, cell.units).values()), axis=1)
        return {k: a.transpose(0, 2, 1) for k in keep if (a := arrays[k]) is not None}


class Stack:
    """The cells of a model that runs forward only, stepped together: for inputs that arrive."""

    def __init__(
        self,
        model: Model,
        rows: int,
        initial: Mapping[str, npt.ArrayLike],
        slots: int | None = None,
    ) -> None:
        how = model.convention
        if model.backward or how.flip_output:
            raise UserError("a backward run starts from the last step; give the inputs as a file.")
        if how.state == "reset":
            raise UserError("state=reset is for inputs in a file.")
        self.model, self.steps = model, 0
        states = split_state(initial, model, rows)
        self._runners = [
            Runner(cell, rows, state, slots=slots)
            for (_, cell), state in zip(model.cells, states, strict=True)
        ]

    def advance(self, x: Array, keep: tuple[str, ...]) -> dict[str, Array]:
        """Run the steps of x (s, B, I); gives the arrays of a trace, each (s, B, K)."""
        arrays: dict[str, Array] = {}
        for n, runner in enumerate(self._runners):
            one = runner.advance(x, tuple(dict.fromkeys((*keep, "h"))))
            x = one["h"]
            arrays |= _named(self.model, n, 0, {k: one[k] for k in keep})
        self.steps += len(x)
        return arrays if len(self._runners) == 1 else {"h": x} | arrays

    def state(self, layout: str) -> tuple[Array, Array]:
        """The state as a trace has it: ``final_h``, ``final_c``."""
        states = self.model.convention.states
        return _final([runner.state for runner in self._runners], states, layout)


def _by_gate(stacked: Array | None, units: int) -> dict[str, Array | None]:
    """The gates i, f, g, o of an (s, 4H, R) array in the loop's order, as (s, H, R) views."""
    if stacked is None:
        return dict.fromkeys(HOME)
    places = {gate: FIOG.index(gate) * units for gate in HOME}
    return {gate: stacked[:, at : at + units] for gate, at in places.items()}


def row_blocks(rows: int, cell: Cell) -> list[slice]:
    """The blocks of rows that run by themselves: a function of shapes, never of the machine.

    Sizes are from a study of NumPy loops on two cores: enough work a block and step that calls
    do not queue for the interpreter's lock, buffers that stay in the cache.
    """
    work = cell.units * (8 * (cell.inputs + cell.outputs + 1) + 280)  # of a row and step
    if rows < 32 or rows * work < 3e6:
        return [slice(0, rows)]
    size = 64
    while size * work < 1.5e6:
        size *= 2
    if size >= rows:
        size = -(-rows // 32) * 16  # half the rows, rounded up to 16
    starts = list(range(0, rows, size))
    if rows - starts[-1] == 1:  # a lone row would be summed in another order than its neighbours
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], rows], strict=True)]


def _names(keep: str | Iterable[str]) -> tuple[str, ...]:
    names = (keep,) if isinstance(keep, str) else tuple(keep)
    for name in names:
        if name not in NAMES:
            raise UserError(f"a trace has no {name!r}; it has {', '.join(NAMES)}.")
    return names


def check_inputs(model: Model, x: Array, layout: str | None, name: str) -> tuple[Array, str]:
    """The inputs and the layout they are read in: "steps", "batch" or "time".

    Raises
    ------
    UserError
        if they have another number of axes, of inputs, or no steps.
    """
    if x.ndim not in (2, 3):
        raise UserError(
            f"{name} is {x.shape}; inputs are (steps, inputs) or (batch, steps, inputs)."
            + (f"\n  One step of {len(x)} inputs is (1, {len(x)})." if x.ndim == 1 else "")
        )
    if x.dtype.kind not in "fiub":
        raise UserError(f"{name} holds {x.dtype}, not numbers.")
    if x.shape[-1] != model.cell.inputs:
        raise UserError(_wrong_inputs(model, x, name))
    layout = "steps" if x.ndim == 2 else layout or model.convention.layout
    if 0 in x.shape:
        raise UserError(f"{name} is {x.shape}: there is nothing to run.")
    return x, layout


def _wrong_inputs(model: Model, x: Array, name: str) -> str:
    cell = model.cell
    tensor, shape = next(iter(model.tensors.items()))
    lines = [
        f"{name} is {x.shape}, but the {tensor} {shape} with {cell.units} units "
        f"takes {cell.inputs} inputs."
    ]
    if cell.inputs in x.shape:
        lines.append("  The inputs of a step come last: the axes of the file look exchanged.")
    if len(model.tensors) and x.shape[-1] == cell.units:
        lines.append("  If the fused kernel holds h first, try --rows hx.")
    if x.ndim == 2:
        lines.append("  If it is (batch, steps), it lacks the input axis.")
    return "\n".join(lines)


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


def split_state(
    given: Mapping[str, npt.ArrayLike], model: Model, rows: int
) -> list[tuple[Array, Array]]:
    """h (B, P) and c (B, H) for each cell, in the cells' dtype.

    One cell takes (P,), (1, P), (B, P) or (1, B, P); several have the cells on a first axis.
    Without a state it is the one that the weights hold (Lasagne learns it), or zero.

    Raises
    ------
    UserError
        if one of the two is missing, or shapes do not fit.
    """
    missing = {"h", "c"} - set(given)
    if given and missing:
        raise UserError(f"the initial state lacks {missing.pop()}; it needs both h and c.")
    cells = [cell for _, cell in model.cells]
    how = model.convention.initial_state
    if not given or how == "zero":
        return [_own_state(cell, rows, how) for cell in cells]
    if how == "swapped":
        given = {"h": given["c"], "c": given["h"]}
    states = model.convention.states
    h, c = (_by_cell(np.asarray(given[name]), len(cells), states) for name in "hc")
    if not len(h) == len(c) == len(cells):
        shapes = " and c ".join(str(np.shape(given[name])) for name in "hc")
        raise UserError(
            f"the initial h is {shapes}; this model has {len(cells)} cells, "
            f"so each needs an axis of {len(cells)}."
        )
    return [
        (_state("h", a, cell.outputs, rows, cell), _state("c", b, cell.units, rows, cell))
        for a, b, cell in zip(h, c, cells, strict=True)
    ]


def _by_cell(array: Array, cells: int, states: str) -> Array:
    """A state with the cells on a first axis, from the axes that the convention gives it."""
    if cells == 1:
        return array.reshape(1, -1, array.shape[-1]) if array.ndim == 3 else array[None]
    if states == "features":
        array = array.reshape(*array.shape[:-1], cells, -1)
    return np.moveaxis(array, -2, 0) if states != "cells" and array.ndim > 1 else array


def _own_state(cell: Cell, rows: int, how: str) -> tuple[Array, Array]:
    zero = np.zeros(cell.outputs), np.zeros(cell.units)
    h, c = cell.initial_h, cell.initial_c
    if h is None or c is None or how == "zero":
        h, c = zero
    return _state("h", h, cell.outputs, rows, cell), _state("c", c, cell.units, rows, cell)


def _state(name: str, array: Array, width: int, rows: int, cell: Cell) -> Array:
    if array.shape not in ((width,), (1, width), (rows, width)):
        raise UserError(
            f"the initial {name} is {array.shape}; {rows} row{'s' * (rows > 1)} and {width} units "
            f"need ({width},) or ({rows}, {width})."
        )
    with np.errstate(all="ignore"):
        return np.array(np.broadcast_to(array, (rows, width)), cell.dtype)
