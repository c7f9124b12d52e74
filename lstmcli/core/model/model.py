"""`Cell`, `Model`, `Trace`, and hints about them, whatever the framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lstmcli.core.model.arrays import Array, ArrayLike, SliceableArray
from lstmcli.core.model.conventions import Behaviour, Convention
from lstmcli.core.model.directions import steps_of
from lstmcli.core.model.edit import Edit
from lstmcli.core.model.settings import split_cell
from lstmcli.core.model.surroundings import Embedding, Head
from lstmcli.errors import SettingsToTry, UserError, did_you_mean, listed

T = TypeVar("T")
MAX_LENGTHS_SHOWN = 32  # lengths of sequences in a message


@dataclass(frozen=True, eq=False, repr=False)
class Cell:
    """The weights of one layer in one direction; the first axis is the gate: i, f, g, o.

    ::

        i = s(W_i x + U_i h + b_i + p_i c)      f = s(W_f x + U_f h + b_f + p_f c)
        g = t(W_g x + U_g h + b_g)              c' = clip(f c + i g)
        o = s(W_o x + U_o h + b_o + p_o c')     h' = o t(c'), then h' = clip(P h' + b_p)

    Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 for f;
    Gers, Schraudolph & Schmidhuber 2002 for the peepholes p; Sak, Senior &
    Beaufays 2014 for the projection P. ``convention`` has what is in no
    tensor: activations, clips, the constant of the forget gate.
    """

    kernel: Array  # (4, H, I)
    recurrent_kernel: Array  # (4, H, P); P = H without a projection
    bias: Array  # (4, H)
    convention: Convention
    peephole: Array | None = None  # (3, H), or matrices (3, H, H): i, f, o
    projection: Array | None = None  # (P, H)
    projection_bias: Array | None = None  # (P,)
    norm_scale: Array | None = (
        None  # (4, H): layer normalisation of each pre-activation
    )
    norm_shift: Array | None = None  # (4, H)
    state_scale: Array | None = None  # (H,): layer normalisation of c
    state_shift: Array | None = None  # (H,)
    initial_h: Array | None = None  # (P,): a learned initial state; or (B, P)
    initial_c: Array | None = None  # (H,) or (B, H)
    edits: tuple[Edit, ...] = ()  # of the equations and the outputs

    @property
    def inputs(self) -> int:
        """I, the input size."""
        return int(self.kernel.shape[2])

    @property
    def units(self) -> int:
        """H, the hidden size."""
        return int(self.kernel.shape[1])

    @property
    def outputs(self) -> int:
        """P, the size of h: less than H with a projection."""
        return int(self.recurrent_kernel.shape[2])

    @property
    def shown(self) -> int:
        """The size of h as edits of the outputs leave it."""
        width = self.outputs
        for edit in self.edits:
            if edit.kind.width is not None:
                width = edit.kind.width(self.units, edit.value)
        return width

    @property
    def words(self) -> str:
        """Return what it is, with its sizes."""
        return f"a cell that takes {self.inputs} inputs and has {self.units} units"

    @property
    def behaviour(self) -> Behaviour:
        """How the cell runs."""
        return self.convention.behaviour

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the computation."""
        return self.kernel.dtype


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def cell_name(layer: int, direction: int) -> str:
    """``layer0``, ``layer0_reverse``, ``layer1``, ...: a cell in settings and traces."""
    return f"layer{layer}_reverse" if direction else f"layer{layer}"


def named_cells(layers: Sequence[Sequence[Cell]]) -> list[tuple[str, Cell]]:
    """Every cell with its name, layer by layer, forward before backward."""
    cells = []
    for n, layer in enumerate(layers):
        for d, cell in enumerate(layer):
            cells.append((cell_name(n, d), cell))
    return cells


ELEMENTWISE = ("sum", "mul", "ave")
"""Merges of two directions whose outputs are no wider than those of one."""


def layer_width(layer: Sequence[Cell]) -> int:
    """The size of a layer's output at one step, with its directions merged."""
    if layer[0].behaviour.merge in ELEMENTWISE:
        return layer[0].shown
    return sum(cell.shown for cell in layer)


def refuse_unknown_cell(cell: str, cells: Sequence[str]) -> None:
    """Refuse a name that no cell has; a number stands for the cell of that layer."""
    if cell in cells:
        return
    near = did_you_mean(cell, cells)
    if f"layer{cell}" in cells:
        near = f" Did you mean 'layer{cell}'?"
    text = f"unknown cell; choose from {', '.join(cells)}.{near}"
    raise UserError(text, about={"cell": cell})


def names_in_cell(names: Sequence[str], cell: str) -> list[str]:
    """Names of a cell's arrays without the cell: ``h`` for ``h`` and ``layer0.h``."""
    for name in names:
        other, _, base = name.rpartition(".")
        if other not in ("", cell):
            raise UserError(
                f"it is an array of {other}, and the cell is {cell}.",
                about={"only": name},
                try_=[SettingsToTry({"cell": None}), SettingsToTry({"only": base})],
            )
    return [name.rpartition(".")[2] for name in names]


class Masking(NamedTuple):
    """A layer before the LSTM, in the model of its file, that tells which steps count.

    Or an input of lengths, which is not applied: ``layer`` is where they come
    from.
    """

    layer: str  # its name
    kind: str  # its class, or the name of the input
    value: float | None = None  # of a step that does not count; None: not in inputs
    dtype: str = "float32"  # in which it compares

    def __str__(self) -> str:
        """``Masking(0.0)``, ``index 0 of emb``."""
        if self.kind == "Embedding":
            return f"index 0 of {self.layer}"
        return f"{self.kind}({self.value})"

    def mask(self, x: SliceableArray) -> Array:
        """True where a step of inputs (..., I) counts: a mask in their axes."""
        size = max(1, _MASKED_AT_ONCE // int(np.prod(x.shape[1:])))
        parts = (np.asarray(x[n : n + size]) for n in range(0, len(x), size))
        value = np.asarray(self.value, self.dtype)
        with np.errstate(over="ignore"):
            return np.concatenate(
                [(p.astype(self.dtype) != value).any(axis=-1) for p in parts]
            )


_MASKED_AT_ONCE = 1 << 20  # numbers of inputs read for a part of the mask


class LoadedFrom(NamedTuple):
    """Arguments of `lstmcli.load`, to load again under other settings."""

    weights: tuple[Any, ...]  # paths, or arrays
    settings: Mapping[str, Any]
    max_bytes: int | None


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """The cells of a network as loaded from files, with what was assumed.

    >>> model = lstmcli.load("demo/weights.npz")
    >>> model.cell.kernel.shape, model.cell.bias.shape  # gates i, f, g, o on the first axis
    ((4, 3, 4), (4, 3))
    """

    layers: tuple[
        tuple[Cell, ...], ...
    ]  # each layer's forward cell, then its backward one
    tensors: Mapping[
        str, tuple[int, ...]
    ]  # the tensors used, by their names in the file
    assumed: tuple[str, ...] = ()  # settings that neither a file nor an option gives
    given: Mapping[str, Any] = field(
        default_factory=dict
    )  # settings from files and options
    remarks: tuple[str, ...] = ()  # for stderr: what the user should know
    idle: tuple[str, ...] = ()  # those of them on settings that change nothing
    labels: tuple[str, ...] = ()  # of each layer of several LSTMs in turn
    lengths: tuple[int, ...] = ()  # valid steps of each sequence, from a file
    masks: tuple[Masking, ...] = ()  # the layers of its file that mask its steps
    sources: tuple[str, ...] = ()  # the files that a tensor or a setting comes from
    loaded_from: LoadedFrom | None = None  # None: not made by `lstmcli.load`
    edits: tuple[Edit, ...] = ()
    front: Embedding | None = None  # makes x of the model's inputs
    head: Head | None = None  # makes y of h

    def __repr__(self) -> str:
        """``<Model tf1, 4 inputs -> 3 units, forget bias +1, float64; assumed: ...>``."""
        parts, bias = [self.convention.name, self.sizes], self.behaviour.forget_bias
        if bias:
            parts.append(f"forget bias {bias:+g}")
        parts += [f"edit {edit.text}" for edit in self.edits]
        parts.append(self.cell.dtype.name)
        return f"<Model {', '.join(parts)}{_assumed(self.assumed)}>"

    @property
    def sizes(self) -> str:
        """``4 inputs -> 3 units, 2 layers, both directions``."""
        cell, layers = self.cell, len(self.layers)
        text = f"{_counted(cell.inputs, 'input')} -> {_counted(cell.units, 'unit')}"
        if cell.projection is not None:
            text += f" -> {cell.outputs}"
        if layers > 1:
            text += f", {layers} layers"
        if self.bidirectional:
            text += ", both directions"
        return text

    @property
    def masking(self) -> Masking | None:
        """The layer whose mask is made of the inputs."""
        return next((one for one in self.masks if one.value is not None), None)

    @property
    def cells(self) -> list[tuple[str, Cell]]:
        """Every cell with its name: ``layer0``, ``layer0_reverse``, ``layer1``, ..."""
        return named_cells(self.layers)

    @property
    def cell(self) -> Cell:
        """The first cell: the only one of most models."""
        return self.layers[0][0]

    @property
    def convention(self) -> Convention:
        """The convention as recognised, with the settings given."""
        return self.cell.convention

    @property
    def behaviour(self) -> Behaviour:
        """How the first cell runs."""
        return self.cell.behaviour

    @property
    def padding_use(self) -> str:
        """How lengths or a mask are used: as by the first cell that does not ignore them."""
        uses = [cell.behaviour.lengths for _, cell in self.cells]
        return next((use for use in uses if use != "ignored"), "ignored")

    @property
    def bidirectional(self) -> bool:
        """Return whether any layer runs in both directions."""
        return any(len(layer) > 1 for layer in self.layers)

    @property
    def backward(self) -> bool:
        """Return whether any cell runs from the last step to the first."""
        behaviours = [cell.behaviour for _, cell in self.cells]
        return self.bidirectional or any(
            one.reverse or one.go_backwards for one in behaviours
        )

    def settings(self) -> dict[str, Any]:
        """Every setting of the run, by option name: the ``meta`` of what `run` writes.

        ``merge`` is that of the last layer, whose output h is.
        """
        merge = self.layers[-1][0].behaviour.merge
        convention = self.convention.with_behaviour(merge=merge)
        settings: dict[str, Any] = {
            "convention": convention.name,
            "forget_bias": convention.behaviour.forget_bias,
        }
        settings |= convention.settings()
        if self.front is not None:
            settings["front"] = self.front.name
        if self.head is not None:
            settings["head"] = self.head.text
        for name, value in self.given.items():
            if split_cell(name)[0]:  # of one cell
                settings[name] = value
        if self.edits:
            settings["edits"] = [edit.text for edit in self.edits]
        return settings


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """Arrays that a run computed, in the axes of its inputs.

    ``arrays`` has those of h, c, i, f, g, o and z that were asked for: (T, H)
    for one sequence, else (B, T, H) or (T, B, H) by ``layout``; z has the
    pre-activations of i, f, g, o side by side: (..., 4 H). Each is an
    attribute too: ``trace.h``. ``final_h`` (P,) or (B, P) and ``final_c`` (H,)
    or (B, H) are the state after each sequence's last step. With several
    cells, h is the model's output, those of each cell are ``layer0.h``,
    ``layer0_reverse.f``, ..., and the final states have the cells on a first
    axis, layer by layer, forward before backward; cells that differ in width
    are side by side on the last axis. A model with a head has its output, too:
    ``y`` (T, K), (B, T, K) or (T, B, K) among the arrays, where the head runs
    at each step, else ``final_y`` (K,) or (B, K), which is None without one.

    >>> lstmcli.run("demo/weights.npz", np.ones((2, 5, 4)), keep="h", layout="batch")
    <Trace h (2, 5, 3), final_h, final_c (2, 3), layout batch, float64; assumed: ...>
    """

    arrays: Mapping[str, Array]
    final_h: Array
    final_c: Array
    layout: str  # "steps", "batch" or "time"
    settings: Mapping[str, Any] = field(default_factory=dict)
    final_y: Array | None = None

    def __getattr__(self, name: str) -> Array:
        """``trace.h`` for ``trace.arrays["h"]``."""
        if not name.startswith("_"):
            arrays: Mapping[str, Array] = self.__dict__["arrays"]
            if name in arrays:
                return arrays[name]
            of_cells = [key for key in arrays if key.rpartition(".")[2] == name]
            there = ""
            if arrays:
                there = f"; its arrays are {', '.join(of_cells or arrays)}"
            if name == "y" and self.__dict__["final_y"] is not None:
                there = "; of a head that makes one output of a sequence, it is final_y"
            raise AttributeError(f"this trace has no {name!r}{there}")
        raise AttributeError(name)

    def __repr__(self) -> str:
        """``<Trace h, c (7, 3), final_h, final_c (3,), layout steps, float32; assumed: ...>``."""
        shapes: dict[tuple[int, ...], list[str]] = {}
        for name, array in self.members().items():
            shapes.setdefault(array.shape, []).append(name)
        arrays = ", ".join(
            f"{listed(names, 8)} {shape}" for shape, names in shapes.items()
        )
        assumed = _assumed(self.settings.get("assumed", ()))
        return f"<Trace {arrays}, layout {self.layout}, {self.final_h.dtype.name}{assumed}>"

    def members(self) -> dict[str, Array]:
        """The arrays and the final state, by name."""
        members = {**self.arrays, "final_h": self.final_h, "final_c": self.final_c}
        if self.final_y is not None:
            members["final_y"] = self.final_y
        return members

    def time_major(self, name: str) -> Array:
        """One array as a (T, B, H) view, whatever the layout."""
        return as_time_major(self.arrays[name], self.layout)

    @property
    def steps(self) -> int:
        """T; no attribute of a trace with final states only."""
        for array in self.arrays.values():
            return steps_of(array.shape, self.layout)
        raise AttributeError


def _assumed(texts: Sequence[str]) -> str:
    short = [text.partition(" (")[0] for text in texts]
    return f"; assumed: {', '.join(short)}" if short else ""


def as_time_major(array: Array, layout: str) -> Array:
    """A (T, B, K) view of a (T, K), (B, T, K) or (T, B, K) array."""
    if layout == "steps":
        return array[:, np.newaxis]
    return _exchanged(array, layout)


def steps_and_batch(shape: Sequence[int], layout: str) -> tuple[int, int]:
    """T and B of inputs of this shape."""
    if layout == "steps":
        return shape[0], 1
    return (shape[1], shape[0]) if layout == "batch" else (shape[0], shape[1])


def in_layout(steps: T, batch: T, layout: str) -> tuple[T, ...]:
    """Something of the steps and of the batch, in the order of their axes."""
    return {"steps": (steps,), "time": (steps, batch), "batch": (batch, steps)}[layout]


def from_time_major(array: Array, layout: str) -> Array:
    """The inverse of `as_time_major`."""
    if layout == "steps":
        return array[:, 0]
    return _exchanged(array, layout)


def _exchanged(array: Array, layout: str) -> Array:
    return array.swapaxes(0, 1) if layout == "batch" else array


def format_lengths(lengths: Sequence[int]) -> str:
    """``7,3,5,1``, or the first ones and "..."."""
    texts = list(map(str, lengths[:MAX_LENGTHS_SHOWN]))
    if len(lengths) > MAX_LENGTHS_SHOWN:
        texts.append("...")
    return ",".join(texts)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs as given, not checked: `lstmcli.run` describes each field."""

    x: SliceableArray  # (T, I), (B, T, I) or (T, B, I); in memory or in a file
    layout: str | None = None  # "batch" or "time", of inputs of three axes
    initial_state: Mapping[str, ArrayLike] = field(
        default_factory=dict
    )  # h and c, or empty
    lengths: ArrayLike | None = None
    mask: ArrayLike | None = None
    mask_from: Masking | None = None  # the layer of the model's file that gave the mask
    indices: Array | None = None  # (T,), (B, T) or (T, B), of which the front made x
    name: str = "the input array"  # in messages
    padding_from: str = ""  # the file of lengths or mask, in messages

    @property
    def is_padded(self) -> bool:
        """Return whether lengths or a mask are given."""
        return self.lengths is not None or self.mask is not None


# ---- hints


@dataclass(frozen=True)
class Hint:
    """A stable code, what is seen, and what may cause it."""

    code: str
    seen: str
    causes: Sequence[str] = ()  # possible ones, the likeliest first
    excluded: str = ""  # a sentence on what is ruled out

    @property
    def text(self) -> str:
        """All of it in a few sentences."""
        sentences = [self.seen]
        if self.causes:
            label = "Possible cause" if len(self.causes) == 1 else "Possible causes"
            sentences.append(f"{label}: {'; '.join(self.causes)}.")
        sentences.append(self.excluded)
        return " ".join(filter(None, sentences))


def join_with_and(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
