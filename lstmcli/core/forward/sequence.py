"""A cell over the steps in its order, with lengths and masks; and how directions are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.model import (
    Cell,
    Inputs,
    Model,
    format_lengths,
    in_layout,
    steps_and_batch,
)
from lstmcli.core.model.states import State
from lstmcli.core.model.steps import StepOrder, valid_first
from lstmcli.errors import SettingsToTry, UserError

Advance = Callable[[Array, State, "tuple[str, ...]"], "tuple[dict[str, Array], State]"]
"""Steps a cell over x (T, R, I) from a state: arrays (T, R, K) by name, and the last state."""


def run_in_order(
    advance: Advance,
    cell: Cell,
    x: Array,
    state: State,
    valid: Array | None,
    keep: tuple[str, ...],
    *,
    backward: bool,
    padding: str,
) -> tuple[dict[str, Array], State]:
    """The arrays (T, R, K) of one cell over x (T, R, I), in the order of time, and its last state.

    The loop knows neither lengths nor masks: the valid steps of each sequence
    are moved to the front, the loop runs over all, and the results are moved
    back. Where no step is valid, they are replaced as ``padding`` (see
    `padding_rule`) specifies.
    """
    order = StepOrder.of_cell(cell.behaviour, backward)
    names = [*keep, "h"]
    names.extend(edit.kind.takes for edit in cell.edits)
    if order.runs_back:
        x = x[::-1]
        valid = None if valid is None else valid[::-1]
    if valid is None:
        arrays, final = advance(x, state, tuple(dict.fromkeys(names)))
        arrays = edited_outputs(cell, x, arrays)
    else:
        names.append("c")
        keep = tuple(dict.fromkeys(names))
        arrays, final = _run_valid(
            lambda x, state: advance(x, state, keep), cell, x, state, valid
        )
        _pad(arrays, valid, padding)
    if order.outputs_reversed:
        arrays = {k: a[::-1] for k, a in arrays.items()}
    return arrays, final


def _run_valid(
    advance: Callable[[Array, State], tuple[dict[str, Array], State]],
    cell: Cell,
    x: Array,
    state: State,
    valid: Array,
) -> tuple[dict[str, Array], State]:
    """As `run_in_order`, of a loop that takes the valid steps (T, R) of each sequence first."""
    first = valid_first(valid)[:, :, None]  # (T, R, 1)
    x = np.take_along_axis(x, first, axis=0)
    arrays, _ = advance(x, state)
    lengths = valid.sum(axis=0)
    final = _state_at(lengths, arrays, state, cell.behaviour.empty_rows)
    arrays = edited_outputs(cell, x, arrays)
    back = np.argsort(first, axis=0)
    arrays = {k: np.take_along_axis(a, back, axis=0) for k, a in arrays.items()}
    return arrays, final


def edited_outputs(
    cell: Cell, x: Array, arrays: Mapping[str, Array]
) -> dict[str, Array]:
    """The arrays (s, R, K) of some steps with h as edits of the outputs leave it."""
    edited = dict(arrays)
    for edit in edits_in("outputs", cell.edits):
        edited["h"] = edit.apply(edited[edit.kind.takes], x)
    return edited


def counted(cell: Cell, valid: Array | None, model: Model) -> Array | None:
    """The steps that count in a cell of a model: all (None) if no mask reaches it.

    ``valid`` are those of the cells that use lengths or a mask as the model does.
    """
    use = cell.behaviour.lengths
    if valid is None or use == "ignored":
        return None
    return valid if use == model.padding_use else ~valid


def padding_rule(cell: Cell, masked: bool, both_directions: bool) -> str:
    """Return what the outputs are where no step is valid.

    ``zero``; ``repeat``: the last valid one again; ``run``: computed as if the
    step were valid.
    """
    behaviour = cell.behaviour
    if not masked:
        return behaviour.past_length
    return (
        behaviour.masked_output_merged if both_directions else behaviour.masked_output
    )


def _state_at(
    lengths: Array,
    arrays: Mapping[str, Array],
    first: tuple[Array, Array],
    empty_rows: str,
) -> tuple[Array, Array]:
    """h and c after the last step of each sequence; of one without steps, those it has."""
    last, item = np.maximum(lengths - 1, 0), np.arange(len(lengths))
    is_empty = (lengths == 0)[:, None]
    h, c = first
    if empty_rows == "zero":
        h, c = np.zeros_like(h), np.zeros_like(c)
    h_last, c_last = arrays["h"][last, item], arrays["c"][last, item]
    return np.where(is_empty, h, h_last), np.where(is_empty, c, c_last)


def _pad(arrays: dict[str, Array], valid: Array, output: str) -> None:
    if output == "run":  # flax: the outputs run on over the padding
        return
    for array in arrays.values():
        array[~valid] = 0
    if output == "repeat":
        step = np.where(valid, np.arange(len(valid))[:, None], 0)
        last = np.maximum.accumulate(step, axis=0)  # (T, B): the last valid step so far
        arrays["h"][:] = np.take_along_axis(arrays["h"], last[:, :, None], axis=0)


def merge_directions(directions: list[Array], convention: Convention) -> Array:
    """Forward and backward h (T, B, H) as one output; what is stacked at last is concatenated.

    ``concat_swapped`` has the backward half first, between layers too.
    """
    merge = convention.behaviour.merge
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    with np.errstate(all="ignore"):
        if merge == "sum":
            return forward + backward
        if merge == "mul":
            return forward * backward
        if merge == "ave":
            mean: Array = (forward + backward) / forward.dtype.type(2)
            return mean
    if merge == "concat_swapped":
        directions = [backward, forward]
    return np.concatenate(directions, axis=2)


def valid_steps(inputs: Inputs, layout: str, becomes: object = "given") -> Array | None:
    """(T, B) truth of the steps that count, from lengths (B,) or a mask in the axes of the inputs.

    ``becomes`` is the setting of lengths: "ignored", "inverted", or as they
    are. UserError for both at once, other shapes, a mask of other values than 0
    and 1, or lengths that are not integers of 0 to T.
    """
    if becomes == "ignored" or not inputs.is_padded:
        return None
    if inputs.lengths is not None and inputs.mask is not None:
        raise UserError("lengths and a mask are both given; give one of them.")
    if inputs.lengths is None:
        valid = _valid_by_mask(inputs, layout)
    else:
        valid = _valid_by_lengths(inputs, layout)
    return ~valid if becomes == "inverted" else valid


VALUES_SHOWN = 4  # of a mask or of lengths, in a message


def _valid_by_mask(inputs: Inputs, layout: str) -> Array:
    steps, batch = steps_and_batch(np.shape(inputs.x), layout)
    array = np.asarray(inputs.mask)
    expected = in_layout(steps, batch, layout)
    what = f"{_begun(inputs)}the mask"
    if array.shape != expected:
        where = inputs.name or "the input array"
        raise UserError(f"{what} is {array.shape}; {where} needs {expected}.")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        found = f"{wrong.size:,} of {array.size:,} values are neither: {_few(wrong)}"
        raise UserError(f"{what} has 1 at valid steps and 0 at padded ones; {found}.")
    valid = array.astype(bool)
    return valid.T if layout == "batch" else valid.reshape(steps, batch)


def _valid_by_lengths(inputs: Inputs, layout: str) -> Array:
    steps, batch = steps_and_batch(np.shape(inputs.x), layout)
    array = np.atleast_1d(np.asarray(inputs.lengths))
    begun = _begun(inputs)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf":
        found = f"an array {array.shape} of {array.dtype}"
        raise UserError(
            f"{begun}lengths are a list of integers from 0 on, not {found}."
        )
    wrong = array[~((array >= 0) & (array < np.inf) & (array == np.floor(array)))]
    if wrong.size:
        found = f"{wrong.size:,} of {array.size:,} are not: {_few(wrong)}"
        raise UserError(f"{begun}lengths are a list of integers from 0 on; {found}.")
    if len(array) != batch or array.max() > steps:
        numbers = list(map(int, array))
        noun = "sequence" if len(numbers) == 1 else "sequences"
        sequences = f"{len(numbers)} {noun}"
        raise UserError(
            f"{begun}the lengths {format_lengths(numbers)} are of {sequences} and at "
            f"most {max(numbers)} steps; the inputs have batch {batch} x {steps} steps.",
            try_=[
                SettingsToTry({"lengths": ...}, "one for each sequence"),
                SettingsToTry({"lengths": "ignored"}, "runs all steps"),
            ],
        )
    valid: Array = np.arange(steps)[:, None] < array
    return valid


def _begun(inputs: Inputs) -> str:
    return f"{inputs.padding_from}: " if inputs.padding_from else ""


def _few(values: Array) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:VALUES_SHOWN])
    more = len(values) - VALUES_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
