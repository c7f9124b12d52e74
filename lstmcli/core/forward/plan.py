"""The plan of a run: its inputs checked against the model, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lstmcli.core.forward.sequence import valid_steps
from lstmcli.core.model.arrays import Array, ArrayLike, SliceableArray
from lstmcli.core.model.directions import has_direction_axis
from lstmcli.core.model.model import (
    Inputs,
    Model,
    as_time_major,
    cell_name,
    format_lengths,
    from_time_major,
    in_layout,
    layer_width,
    steps_and_batch,
)
from lstmcli.core.model.part import Part
from lstmcli.core.model.selection import EVERYTHING, Selection, is_named, read_names
from lstmcli.core.model.settings import Assumption
from lstmcli.core.model.states import State, split_state
from lstmcli.core.model.surroundings import FINAL_Y, Head, Y
from lstmcli.errors import SettingsToTry, UserError

T = TypeVar("T")

NAMES = ("h", "c", "i", "f", "g", "o", "z")
"""The arrays that a trace may have, of each cell."""

DEFAULT_KEEP = NAMES[:-1]
"""The arrays that it has by default: z, the pre-activations, only on request.

Of a model with a head y is there, too.
"""


class Chunk(NamedTuple):
    """Some sequences of a run, without their inputs."""

    model: Model
    batch: int  # B of the run: the blocks follow from it
    masked: bool
    items: slice
    states: list[State]  # of each cell, before the first step


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that can be computed, in memory, in pieces or step by step, with the same bits."""

    model: Model
    inputs: Inputs
    keep: tuple[str, ...]  # of `NAMES`, and `Y`
    layout: str  # "steps", "batch" or "time"
    assumed_layout: str  # the words for a layout that was assumed, or ""
    steps: int  # T, or the first ones of the inputs
    batch: int  # B
    valid: Array | None  # (T, B) truth of steps that count; None: all
    states: list[State]  # of each cell, h (B, P) and c (B, H)

    @property
    def assumed(self) -> list[str]:
        """Assumptions that affect the results."""
        assumed = list(self.model.assumed)
        if self.assumed_layout:
            assumed.append(self.assumed_layout)
        return assumed

    @property
    def masked(self) -> bool:
        """Return whether a mask, or inverted lengths, tells which steps count."""
        is_inverted = self.model.padding_use == "inverted"
        return self.inputs.mask is not None or is_inverted

    @property
    def padding_words(self) -> str:
        """The lengths, or a mask, its layer, and how many steps count; "" where none are given."""
        layer, lengths = self.inputs.mask_from, self.padding().get("lengths")
        if not layer and self.valid is None:
            return ""
        if lengths and layer is None:
            return f"lengths {format_lengths(lengths)}"
        steps = self.steps * self.batch
        count = steps if self.valid is None else np.count_nonzero(self.valid)
        mask = f"mask from {layer}" if layer else "mask"
        return f"{mask}: {count:,} of {steps:,} steps count"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the results."""
        return self.model.cell.dtype

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of the trace, in the axes of the inputs.

        Where directions are stacked, h has one more axis, which is not given
        here.
        """
        axes = in_layout(self.steps, self.batch, self.layout)
        return {name: (*axes, width) for name, width in self.widths().items()}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        counts = (np.prod(s, dtype=np.int64) for s in self.shapes.values())
        return int(sum(counts)) * self.dtype.itemsize

    def select(
        self, selection: Selection = EVERYTHING, names: Sequence[str] = (*NAMES, Y)
    ) -> Part:
        """The indices selected of arrays of these names; ``f`` is of every cell."""
        return selection.within(self.steps, self.batch, self.widths(names))

    def block(self, steps: slice = slice(None), batch: slice = slice(None)) -> Array:
        """The inputs (s, R, I) of some steps and sequences."""
        index = in_layout(slice(*steps.indices(self.steps)), batch, self.layout)
        return as_time_major(self.inputs.x[index], self.layout)

    def until(self, stop: int) -> Plan:
        """The run of the steps before ``stop``; the same where a model runs forward."""
        valid = None if self.valid is None else self.valid[:stop]
        return replace(self, steps=stop, valid=valid)

    def chunk(self, items: slice | None = None) -> Chunk:
        """Some sequences, or all, before their first step."""
        items = items or slice(0, self.batch)
        states = [(h[items], c[items]) for h, c in self.states]
        return Chunk(self.model, self.batch, self.masked, items, states)

    def settings(self) -> dict[str, Any]:
        """The ``meta`` of the run: its settings, and what was assumed."""
        settings = self.model.settings()
        settings |= {"layout": self.layout, "dtype": self.dtype.name}
        if self.assumed:
            settings["assumed"] = self.assumed
        if self.inputs.mask_from and self.padding_words:
            settings["masking"] = self.padding_words
        return settings | self.padding()

    def padding(self) -> dict[str, Any]:
        """The lengths, or in the axes of the inputs a mask with holes."""
        if self.valid is None:
            return {}
        lengths = self.valid.sum(axis=0)
        by_lengths = np.arange(self.steps)[:, None] < lengths
        if (self.valid == by_lengths).all():
            return {"lengths": lengths.tolist()}
        mask = from_time_major(self.valid[..., None], self.layout)[..., 0]
        return {"mask": mask.tolist()}

    @property
    def head(self) -> Head | None:
        """The head, if what it makes is kept."""
        return self.model.head if Y in self.keep else None

    def widths(self, names: Sequence[str] = (*NAMES, Y)) -> dict[str, int]:
        """The size of the last axis of each array of these names."""
        model, widths = self.model, dict[str, int]()
        last = model.layers[-1]
        if len(model.cells) > 1 and self.keep != (Y,):
            is_stacked = has_direction_axis(model)
            widths["h"] = last[0].shown if is_stacked else layer_width(last)
        for n, layer in enumerate(model.layers):
            for d, cell in enumerate(layer):
                of_cell = dict.fromkeys(NAMES, cell.units)
                of_cell |= {"h": cell.shown, "z": 4 * cell.units}
                kept = {name: of_cell[name] for name in self.keep if name != Y}
                widths |= cell_names(model, n, d, kept)
        if self.head is not None and self.head.output == Y:
            widths[Y] = self.head.width(layer_width(last))
        return {
            array: width
            for array, width in widths.items()
            if any(is_named(array, name) for name in names)
        }


def plan_of(
    model: Model, inputs: Inputs, keep: str | Iterable[str] = DEFAULT_KEEP
) -> Plan:
    """The plan of a run that keeps these arrays, without the model's edits."""
    names = kept_names(keep, model)
    layout, assumed = check_axes(model, inputs)
    steps, batch = steps_and_batch(inputs.x.shape, layout)
    valid = valid_steps(inputs, layout, model.padding_use)
    states = split_state(inputs.initial_state, model, batch)
    return Plan(
        model,
        inputs,
        names,
        layout,
        assumed,
        steps=steps,
        batch=batch,
        valid=valid,
        states=states,
    )


def kept_names(keep: str | Iterable[str], model: Model) -> tuple[str, ...]:
    """The arrays of each cell, and y, that a run is to keep; UserError for others."""
    names = tuple(read_names(keep, "keep"))
    known = list(NAMES)
    if model.head is not None:
        known.append(Y)
        if model.head.output == FINAL_Y:  # which y is of this model
            names = tuple(Y if name == FINAL_Y else name for name in names)
        if names == DEFAULT_KEEP:
            return (*names, Y)
    for name in names:
        if name not in known:
            raise UserError(f"a trace has no {name!r}; it has {', '.join(known)}.")
    return names


def cell_names(
    model: Model, layer: int, direction: int, arrays: dict[str, T]
) -> dict[str, T]:
    """The arrays of one cell under the names that a trace gives them."""
    if len(model.layers) == 1 and not model.bidirectional:
        return arrays
    if set(arrays) <= {"h"}:  # only the output of the model is wanted
        return {}
    return {f"{cell_name(layer, direction)}.{k}": a for k, a in arrays.items()}


# ---- the layout


def check_axes(model: Model, inputs: Inputs) -> tuple[str, str]:
    """The layout of the inputs, "steps", "batch" or "time", and words if it is assumed.

    UserError if they have another number of axes or of features, or no steps.
    """
    x, name = inputs.x, inputs.name
    if x.ndim not in (2, 3):
        text = f"{name} is {x.shape}; inputs are (T, I), (B, T, I) or (T, B, I)."
        hints = _hints_on_indices(model, x)
        if x.ndim == 1:
            hints.insert(0, f"  One step of {len(x)} inputs is (1, {len(x)}).")
        raise UserError(text, *hints)
    if x.dtype.kind not in "fiub":
        raise UserError(f"{name} is {x.dtype}, not numbers.")
    if x.ndim == 2:
        _refuse_tokens(model, x, name)
    if x.shape[-1] != model.cell.inputs:
        raise _wrong_features(model, x, name)
    if 0 in x.shape:
        raise UserError(f"{name} is {x.shape}: there is nothing to run.")
    if x.ndim == 2:
        return "steps", ""
    if inputs.layout is not None or "layout" in model.given:
        return inputs.layout or model.behaviour.layout, ""
    layout, why = _assumed_layout(model, inputs)
    other = "batch" if layout == "time" else "time"
    return layout, Assumption(f"layout {layout}", why, "--layout", other)


def _refuse_tokens(model: Model, x: SliceableArray, name: str) -> None:
    """Refuse inputs of two axes that are numbers of tokens, where there is an embedding."""
    embedding = next((one for one in model.masks if one.kind == "Embedding"), None)
    is_of_tokens = x.dtype.kind in "iu" or x.shape[-1] != model.cell.inputs
    if embedding is None or not is_of_tokens:
        return
    raise UserError(
        f"{name} is {x.shape}: token numbers, it seems. The LSTM takes the {model.cell.inputs} "
        f"numbers that {embedding.layer} (Embedding) gives for each, and its mask, "
        "without token 0:",
        f"  model = keras.models.load_model({model.sources[0]!r})",
        f"  E = model.get_layer({embedding.layer!r}).get_weights()[0]",
        '  np.savez("inputs.npz", inputs=E[tokens], mask=tokens != 0)',
    )


def _hints_on_indices(model: Model, x: SliceableArray) -> list[str]:
    """A line for integers that may be indices, where no table for them is known."""
    if model.front is not None or x.dtype.kind not in "iu" or x.ndim > 2:
        return []
    return [
        "  If these are indices, the model's embedding is needed, and none was found: --front NAME "
        f"is a table of the file, with {model.cell.inputs} numbers for each index."
    ]


def _assumed_layout(model: Model, inputs: Inputs) -> tuple[str, str]:
    """The layout of inputs of three axes that neither a file nor an option specifies, and why.

    It is the convention's, unless the number of lengths fits one axis only.
    (1, T, I) is one sequence, unless a state of T sequences means time first.
    """
    first, second = inputs.x.shape[:2]
    if inputs.lengths is not None:
        count = np.size(inputs.lengths)
        why = "there is one length" if count == 1 else f"there are {count} lengths"
        if first == count != second:
            return "batch", why
        if second == count != first:
            return "time", why
    layout = model.behaviour.layout
    if first == 1 < second:
        is_time = _fits_only(inputs.initial_state, model, second)
        layout = "time" if is_time else "batch"
    if layout == "batch" and first == 1:
        return layout, f"{tuple(inputs.x.shape)} is one sequence"
    return layout, "not stored in the weights"


def _fits_only(state: Mapping[str, ArrayLike], model: Model, batch: int) -> bool:
    def fits(batch: int) -> bool:
        try:
            split_state(state, model, batch)
        except UserError:
            return False
        return True

    return bool(state) and fits(batch) and not fits(1)


def _wrong_features(model: Model, x: SliceableArray, name: str) -> UserError:
    cell = model.cell
    tensor, shape = next(iter(model.tensors.items()))
    called = "the kernel" if tensor == "kernel" else tensor
    lines = [
        f"{name} is {x.shape}, but {called} {shape} with {cell.units} units "
        f"takes {cell.inputs} input{'s' * (cell.inputs != 1)}."
    ]
    fused = "fused" in cell.convention.names.tensors
    if fused and x.shape[-1] == cell.inputs + cell.outputs:
        lines.append(
            f"  It is interpreted as a kernel for inputs and h. If it is for the inputs only, the "
            f"recurrent kernel is missing: ({cell.units}, {4 * cell.units}), saved next to it."
        )
    elif cell.inputs in x.shape:
        lines.append(
            "  The inputs of a step come last: the axes of the file look exchanged."
        )
    lines += _hints_on_indices(model, x)
    if cell.inputs == 1 and x.ndim == 2:
        lines.append("  If it is (batch, steps), it lacks the input axis.")
    only_kernel = len(model.tensors) == 1 and fused
    has_bias_row = only_kernel and x.shape[-1] == cell.inputs - 1
    where = {"last": "if its last row is the bias", "first": "if its first row is"}
    ways = [SettingsToTry({"bias_row": row}, text) for row, text in where.items()]
    return UserError(*lines, try_=ways if has_bias_row else ())
