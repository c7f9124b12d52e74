"""The table of edits: what programs do otherwise with inputs, weights, state, equations, outputs.

An edit is a named change to what goes into a run, beyond the settings of `conventions`: the inputs
a step late, a gate's bias left out, a tanh that is a table. A row is an `EditKind`: its stage, a
function of what that stage has, the values that `explain` tries (the usual ones first) or the
number that it solves for, and its texts. `core.weights` applies those of stored
tensors before it decodes them, `core.forward` all others; neither knows a name.

Names have their family first, and no character that a shell reads. Arrays of inputs are (T, B, I),
states are h (B, P) and c (B, H), and in equations arrays are (H, R) for R sequences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.settings import (
    CELL,
    MOST_SHOWN,
    OneOf,
    read_number,
    setting_text,
)
from lstmcli.core.model.steps import shown_lengths, valid_until
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, did_you_mean, listed, refuse_unprintable

if TYPE_CHECKING:
    from lstmcli.core.model.model import Cell, Model

TENSORS, CELLS, NETWORK = "stored tensors", "cells", "network"
INPUTS, PADDING, STATE, RUN_BEFORE = "inputs", "padding", "state", "run before"
EQUATIONS, OUTPUTS = "equations", "outputs"
OF_MODEL = (NETWORK, INPUTS, PADDING, RUN_BEFORE)
"""Stages whose edits are of the model, and not of one cell."""

MOST_NAMED = 12  # values in a message
FEW_NAMES = 4  # in a table
FILE = "@"
"""Begins a value that is a file of arrays."""
FLAG = "true"
"""The value of an edit that takes none."""
MASKED = "masked"


_FIRST = "The first step is off already"


class About(NamedTuple):
    """Texts on an edit, whatever its value."""

    used_by: str  # who does it
    mend: str  # what the line should be
    shows: str = _FIRST


class RunSizes(NamedTuple):
    """A run, whose sizes decide which values of an edit are worth trying."""

    model: Model
    cell: Cell  # that an edit is of, or the first one
    steps: int


Values = tuple[Any, ...] | Callable[[RunSizes], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class EditKind:
    """A row of the table."""

    name: str
    stage: str
    function: Callable[..., Any]  # takes what the stage has, and the value
    words: str  # what it is; {} is the value
    code: str | Callable[[Any], str]  # the line of a program that does it
    about: About
    read: Listed | OneOf | Arrays = field(default_factory=lambda: NO_VALUE)
    values: Values = (FLAG,)  # that are tried, the usual ones first
    solved: float | None = None  # where it does nothing: the number is solved for from there
    bound: bool = False  # the number is one that |h| or |c| does not exceed
    say: Callable[[Any], str | None] = lambda value: None  # a value in words, where it is none
    of_sequence: bool = False  # a step needs others of the sequence: not for streams
    takes: str = "h"  # the array of a cell that an edit of outputs takes
    width: Callable[[int, Any], int] | None = None  # of h then, from the units and the value
    same: Mapping[Any, tuple[str, Any]] = field(default_factory=dict)
    """The setting that is the same run, by value; its value may follow from the one assumed."""
    example: str = "0"  # a value, where the line is made from one

    @property
    def family(self) -> str:
        """``inputs``, ``weights``, ``state``, ``equations`` or ``outputs``."""
        return self.name.partition(".")[0]

    @property
    def meaning(self) -> str:
        """Return what it is, whatever its value."""
        return self.words.replace("{}", "VALUE")

    @property
    def summary(self) -> str:
        """Return what it is, and the values that it takes; of many names the first."""
        takes, names = self.takes_words, [*self.named_values]
        if len(names) > FEW_NAMES:
            takes = f"{', '.join(names[:FEW_NAMES])}, ..."
        return f"{self.meaning} ({takes})" if "{}" in self.words else self.meaning

    @property
    def named_values(self) -> dict[str, str]:
        """The names that it takes, in words."""
        names = self.read.values if isinstance(self.read, OneOf) else ()
        return {name: self.say(name) or "" for name in names}

    @property
    def line(self) -> str:
        """The line of a program that does it, whatever its value."""
        return self.code if isinstance(self.code, str) else self.code(self.read(self.example))

    @property
    def takes_words(self) -> str:
        """The values that it takes, in words."""
        return ", ".join(self.read.values) if isinstance(self.read, OneOf) else self.read.words

    def values_for(self, sizes: RunSizes) -> Iterator[Any]:
        """The values that are tried in a run."""
        yield from self.values(sizes) if callable(self.values) else self.values


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit as it is given: a row of the table, its value, and perhaps one cell."""

    name: str
    value: Any = FLAG
    cell: str = ""
    file: str = ""  # from which the value was read

    @property
    def kind(self) -> EditKind:
        """The row."""
        return EDITS[self.name]

    @property
    def text(self) -> str:
        """Return what ``--edit`` takes: ``layer1.weights.bias.o=0``."""
        name = f"{self.cell}.{self.name}" if self.cell else self.name
        value = f"{FILE}{self.file}" if self.file else setting_text(self.value)
        return name if value == FLAG else f"{name}={value}"

    @property
    def words(self) -> str:
        """Return what it is."""
        of = f" ({self.cell})" if self.cell else ""
        return self._filled(self.kind.words) + of

    @property
    def code(self) -> str:
        """The line of a program that does it."""
        code = self.kind.code
        return self._filled(code) if isinstance(code, str) else code(self.value)

    def apply(self, given: Any, *others: Any) -> Any:
        """Return what the stage has, changed; UserError where the edit does not fit it."""
        try:
            return self.kind.function(given, *others, self.value)
        except UserError as error:
            lines: Sequence[str] = error.lines
        except (IndexError, ValueError):
            lines = [f"it does not fit {_size_of(given, self.kind.family)}."]
        raise UserError(*lines, about={"edit": self.text})

    def is_for(self, cell: str) -> bool:
        """Return whether it changes a cell of that name."""
        return self.cell in ("", cell)

    def _filled(self, text: str) -> str:
        value = self.file or self.kind.say(self.value) or setting_text(self.value)
        return text.replace("{} steps", f"{value} step{'s' * (value != '1')}").replace("{}", value)


def _size_of(given: Any, family: str) -> str:
    """The sizes of what a stage has, in words."""
    if isinstance(given, np.ndarray):
        axes = ", ".join(("steps", "batch", "values")[-given.ndim :])
        return f"{family} of shape {given.shape}: {axes}"
    if isinstance(given, tuple):
        return f"a model of {len(given)} layer{'s' * (len(given) > 1)}"
    return f"a cell that takes {given.inputs} inputs and has {given.units} units"


def edits_in(stage: str, edits: Iterable[Edit]) -> list[Edit]:
    """The edits of a stage."""
    return [edit for edit in edits if edit.kind.stage == stage]


def read_edit(text: Any, where: str, arrays_of: Callable[[str], Mapping[str, Array]]) -> Edit:
    """``layer1.NAME=VALUE`` parsed and checked; ``arrays_of`` reads ``@FILE``.

    ``where`` begins messages.
    """
    if isinstance(text, Edit):
        return text
    refuse_unprintable(text, where)
    if not isinstance(text, str):
        raise UserError(f"{where}: {text!r}: an edit is a text NAME=VALUE, such as inputs.late=1.")
    full, _, value = text.strip().partition("=")
    match = re.match(rf"({CELL.pattern})\.", full)
    cell, name = (match[1], full[match.end() :]) if match else ("", full)
    name = name.replace("-", "_")
    shown = text[:MOST_SHOWN]
    if name not in EDITS:
        raise UserError(
            f"unknown edit {name!r}.{did_you_mean(name, EDITS)}",
            "  lstm help edits lists them.",
            about={"edit": shown},
        )
    kind = EDITS[name]
    if cell and kind.stage in OF_MODEL:
        text = f"{name} is an edit of the model, not of {cell}."
        raise UserError(text, about={"edit": shown})
    from_file = value.startswith(FILE)
    given = arrays_of(value.removeprefix(FILE)) if from_file else value or FLAG
    try:
        read = kind.read(given)
    except ValueError as error:
        text = str(error.args[0])
        text += "." * (text[-1] not in ".?")
        if isinstance(kind.read, OneOf) and len(kind.read.values) > MOST_NAMED:
            near = did_you_mean(value, kind.read.values)
            text = f"{listed(kind.read.values, MOST_NAMED)}.{near}"
        raise UserError(f"takes {text}", about={"edit": shown}) from None
    return Edit(name, read, cell, value.removeprefix(FILE) if from_file else "")


# ---- values


class Arrays:
    """A reader of the arrays of a file, with these members."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.words = f"a file with {' and '.join(names)}: @FILE.npz"

    def __call__(self, value: Any) -> Mapping[str, Array]:
        """The arrays."""
        if not isinstance(value, Mapping) or not value.keys() >= {*self._names}:
            raise ValueError(self.words)
        return {name: value[name] for name in self._names}


class Listed:
    """A reader of values between commas, of a kind for each; or of some words."""

    def __init__(self, form: str, words: str, *others: str) -> None:
        self._form, self.words, self._others = form, words, others
        self.example = words.rpartition(" ")[2]

    def __call__(self, value: Any) -> Any:
        """``f,3,0.5`` for "gun": a gate, a unit and a number; "u+" takes any count."""
        if str(value) in self._others:
            return str(value)
        parts = [*value] if isinstance(value, list | tuple) else str(value).split(",")
        form = self._form.replace("+", self._form[:1] * (len(parts) - 1))
        try:
            kinds = [(*_KINDS[kind], part) for kind, part in zip(form, parts, strict=True)]
            values = tuple(read(part) for read, _, part in kinds)
            _require(all(fits(one) for one, (_, fits, _) in zip(values, kinds, strict=True)))
        except ValueError:
            raise ValueError(self.words) from None
        return values if len(self._form) > 1 else values[0]


def _whole(part: Any) -> int:
    _require(bool(re.fullmatch(r"-?\d{1,6}", text := str(part).strip())))
    return int(text)


_KINDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], bool]]] = {
    "g": (lambda part: str(part).strip(), (*GATES,).__contains__),
    "c": (_whole, lambda n: n >= 1),
    "u": (_whole, lambda n: n >= 0),  # a unit, feature or step
    "d": (_whole, lambda n: n != 0),  # steps in either direction
    "n": (read_number, lambda number: True),
    "p": (read_number, lambda number: number > 0),
    "s": (read_number, lambda number: 0 < number < 1),
}
"""Of a value, what reads it and which fit."""

NO_VALUE: Listed = Listed("", "no value", FLAG)
_COUNT = Listed("c", "an integer from 1 on")
_NUMBER = Listed("n", "a number")
_POSITIVE = Listed("p", "a number above 0")
_SHARE = Listed("s", "a number between 0 and 1")
_OF_FEATURES = Listed("n+", "a number, or one for each feature, such as 0.5,2")


def _require(fits: bool, text: str = "") -> None:
    """UserError or, without a text, ValueError where a value does not fit."""
    if not fits:
        raise UserError(text) if text else ValueError


# ---- inputs (T, B, I)


def _moved(x: Array, steps: int) -> Array:
    """Late, or early if negative; zeros in the place of what is not known."""
    _require(abs(steps) < len(x))
    moved = np.roll(x, steps, axis=0)
    moved[slice(steps) if steps > 0 else slice(steps, None)] = 0
    return moved


def _skipped(x: Array, steps: int) -> Array:
    _require(steps < len(x))
    return x[steps:]


def _padding_first(x: Array, valid: Array | None, how: str) -> tuple[Array, Array | None]:
    lengths = shown_lengths(x) if valid is None else valid_until(~valid)
    steps = np.arange(len(x))[:, None]
    at = (steps + lengths) % len(x)  # the step that stands at each
    counts = steps < lengths if valid is None else valid
    moved = np.take_along_axis(x, at[:, :, None], axis=0)
    return moved, np.take_along_axis(counts, at, axis=0) if how == MASKED else None


def _step_of(x: Array, steps: tuple[int, int]) -> Array:
    x = x.copy()
    x[steps[0]] = x[steps[1]]
    return x


def _as_wide(changed: Any, x: Array) -> Any:
    """Inputs with the batch and the features of others; ValueError where they have not."""
    return np.broadcast_to(changed, (len(changed), *x.shape[1:]))


def _reordered(x: Array, order: tuple[int, ...]) -> Array:
    if sorted(order) != [*range(x.shape[-1])]:
        raise ValueError("each feature once")
    return x[..., [*order]]


AXES: dict[str, tuple[tuple[int, ...], str]] = {
    "all": ((0, 1, 2), "all values together"),
    "feature": ((0, 1), "each feature"),
    "sequence": ((0, 2), "each sequence"),
    "sequence_feature": ((0,), "each feature of each sequence"),
    "step": ((2,), "each step"),
}
"""The axes over which is normalised, and their words."""
SCALES: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "standard": (np.mean, np.std, "to mean 0 and deviation 1"),
    "sample": (
        np.mean,
        lambda x, **over: _sample_deviation(x, **over),
        "to mean 0 and deviation 1 (n - 1)",
    ),
    "centred": (np.mean, lambda x, **over: 1, "to mean 0"),
    "largest": (
        lambda x, **over: 0,
        lambda x, **over: np.abs(x).max(**over),
        "divided by the largest absolute value",
    ),
    "minmax": (np.min, np.ptp, "to the range 0 to 1"),
    "signed": (
        lambda x, **over: (x.min(**over) + x.max(**over)) / 2,
        lambda x, **over: np.ptp(x, **over) / 2,
        "to the range -1 to 1",
    ),
    "length": (
        lambda x, **over: 0,
        lambda x, **over: np.sqrt((x * x).sum(**over)),
        "to Euclidean length 1",
    ),
}
"""The number that is subtracted, the one by which the rest is divided, and the words."""
NORMALISED = tuple(f"{scale}_{axes}" for axes in AXES for scale in SCALES)


def _sample_deviation(x: Array, **over: Any) -> Any:
    off = x - x.mean(**over)
    return np.sqrt((off * off).sum(**over) / (x.size / x.mean(**over).size - 1))


def _normalised(x: Array, how: str) -> Any:
    scale, _, axes = how.partition("_")
    with np.errstate(all="ignore"):
        offset, size = (f(x, axis=AXES[axes][0], keepdims=True) for f in SCALES[scale][:2])
        return np.nan_to_num((x - offset) / size, posinf=0, neginf=0)


def _normalised_how(name: str) -> str:
    scale, _, axes = name.partition("_")
    return f"{AXES[axes][1]} {SCALES[scale][2]}"


MOST_PERMUTED = 5  # features of which every order is tried: 120
MOST_SWAPPED = 16  # features of which every exchange of two is tried: 120


def _orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = tuple(range(sizes.cell.inputs))
    yield from (plain[::-1], plain[-1:] + plain[:-1], plain[1:] + plain[:1])
    if len(plain) <= MOST_PERMUTED:
        yield from permutations(plain)
    elif len(plain) <= MOST_SWAPPED:
        yield from (_put(plain, {a: b, b: a}) for a, b in combinations(plain, 2))


def _put(plain: Sequence[int], others: Mapping[int, int]) -> tuple[int, ...]:
    """Numbers with others in the place of some."""
    return tuple(others.get(n, n) for n in plain)


# ---- states h (B, P), c (B, H)

ONES = "ones"
STATES = ("", "h", "c")  # both, or one of them
States = tuple[Array, Array]


def _chosen(which: str, new: States, old: States) -> States:
    """The new h, c or both, and the old ones of the others."""
    return old[0] if which == "c" else new[0], old[1] if which == "h" else new[1]


def _start(which: str, h: Array, c: Array, value: Any) -> States:
    number = 1.0 if value == ONES else value
    return _chosen(which, (np.full_like(h, number), np.full_like(c, number)), (h, c))


def _given_state(h: Array, c: Array, arrays: Mapping[str, Array]) -> States:
    given = (np.broadcast_to(arrays[name], old.shape) for name, old in (("h", h), ("c", c)))
    new_h, new_c = (array.astype(h.dtype) for array in given)
    return new_h, new_c


Run = Callable[[Array, Any, Any], Any]
"""Takes inputs, valid steps and states; gives the last states."""


def _after_previous(run: Run, x: Array, valid: Any, states: Any, _: Any) -> Any:
    states = [(h.copy(), c.copy()) for h, c in states]
    for b in range(x.shape[1] - 1):
        one = slice(b, b + 1)
        start = [(h[one], c[one]) for h, c in states]
        ends = run(x[:, one], None if valid is None else valid[:, one], start)
        for (h, c), (last_h, last_c) in zip(states, ends, strict=True):
            h[b + 1], c[b + 1] = last_h[0], last_c[0]
    return states


# ---- cells

PARTS: dict[str, tuple[str, ...]] = {
    "block": ("kernel", "recurrent_kernel", "bias"),
    "kernel": ("kernel",),
    "recurrent": ("recurrent_kernel",),
    "bias": ("bias",),
}
ALL = ("kernel", "recurrent_kernel", "bias", "peephole", "projection", "projection_bias")


def _share_of(parts: Sequence[str], gate: str, cell: Cell, value: Any) -> Cell:
    """A gate's part, or all gates', times a number; or that of another gate in its place."""
    k = GATES.index(gate) if gate else ...
    arrays = {name: a.copy() for name in parts if (a := getattr(cell, name)) is not None}
    for a in arrays.values():
        a[k] = a[GATES.index(value)] if isinstance(value, str) else a[k] * a.dtype.type(value)
    return replace(cell, **arrays)


def _added(gate: str, cell: Cell, number: float) -> Cell:
    bias = cell.bias.copy()
    bias[GATES.index(gate)] += number
    return replace(cell, bias=bias)


def _damaged(part: str, form: str, cell: Cell, value: tuple[Any, ...]) -> Cell:
    """A number, row or column of a part that is another one, or is multiplied by a factor."""
    array = getattr(cell, part).copy()
    *place, last = (GATES.index(v) if isinstance(v, str) else v for v in value)
    at = (..., *place) if form == "column" else tuple(place)
    if form == "columns":
        array[..., [*place, last]] = array[..., [last, *place]]
    else:
        array[at] = last if form == "number" else array[at] * last
    return replace(cell, **{part: array})


MOST_EXCHANGED = 40  # columns of which every two are exchanged: 780


def _places(part: str, form: str, sizes: RunSizes) -> Iterable[tuple[Any, ...]]:
    """The rows and columns of a part that may be zero or exchanged; numbers are solved for."""
    units, columns = getattr(sizes.cell, part).shape[1:]
    if form == "row":
        return product(GATES, range(units), (0.0,))
    if form == "column":
        return product(range(columns), (0.0,))
    return combinations(range(columns if columns <= MOST_EXCHANGED else 0), 2)


def _exchanged(cell: Cell, _: Any) -> Cell:
    _require(cell.inputs == cell.outputs)
    return replace(cell, kernel=cell.recurrent_kernel, recurrent_kernel=cell.kernel)


def _projection(cell: Cell, value: str) -> Cell:
    if cell.projection is None or cell.units != cell.outputs:
        raise UserError("the cell has no projection from its units to as many values.")
    other = cell.projection.T.copy() if value == "transposed" else None
    return replace(cell, projection=other)


def _epsilon(cell: Cell, epsilon: float) -> Cell:
    is_normed = cell.norm_scale is not None or cell.state_scale is not None
    _require(is_normed, "the cell has no layer normalisation; equations.layer_norm adds one.")
    return replace(cell, convention=cell.convention.with_behaviour(norm_epsilon=epsilon))


Layers = tuple[tuple["Cell", ...], ...]


def _layers(layers: Layers, order: Sequence[int]) -> Layers:
    return tuple(
        tuple(_weights_of(other, cell) for cell, other in zip(layer, layers[n], strict=True))
        for layer, n in zip(layers, order, strict=True)
    )


def _directions(layers: Layers, used: str) -> Layers:
    in_both = all(len(layer) == 2 for layer in layers)
    _require(in_both, "the model does not run in both directions.")
    n = int(used == "backward")
    return tuple(tuple(_weights_of(layer[n], cell) for cell in layer) for layer in layers)


def _weights_of(other: Cell, cell: Cell) -> Cell:
    shapes = {(one.kernel.shape, one.recurrent_kernel.shape) for one in (other, cell)}
    _require(len(shapes) == 1)
    return replace(other, convention=cell.convention, edits=cell.edits)


def _layer_orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = range(len(sizes.model.layers))
    for a, b in combinations(plain, 2):
        yield from (_put(plain, others) for others in ({a: b, b: a}, {b: a}, {a: b}))


# ---- stored tensors: an array, the axis of its gates and units, and how many gates it has


def _int8(array: Array, axis: int, gates: int, how: str) -> Array:
    per, _, with_bias = how.partition("_")
    if array.ndim < 2 and not with_bias:
        return array
    if per == "gate" and gates > 1 and array.shape[axis] % gates == 0:
        parts = np.split(array, gates, axis=axis)
        return np.concatenate([_rounded_to_int8(part, None) for part in parts], axis=axis)
    others = tuple(n for n in range(array.ndim) if n != axis % array.ndim)
    return _rounded_to_int8(array, others if per == "row" and array.ndim > 1 else None)


def _rounded_to_int8(array: Array, axes: tuple[int, ...] | None) -> Array:
    largest = np.abs(array).max(axis=axes, keepdims=True, initial=0)
    scale = np.where(largest > 0, largest, 1) / array.dtype.type(127)
    rounded: Array = np.round(array / scale) * scale
    return rounded


# ---- equations: functions in place of tanh and the sigmoid

Function = Callable[[Array], Array]


class Near(NamedTuple):
    """A function in place of tanh, and one in place of the sigmoid."""

    words: str
    tanh: Function | None = None
    sigmoid: Function | None = None


def _sigmoid(x: Array) -> Array:
    s: Array = 1 / (1 + np.exp(-x))
    return s


def _by_tanh(words: str, t: Function) -> Near:
    return Near(words, t, lambda x: 0.5 * t(0.5 * x) + 0.5)


def _by_exp(words: str, exp: Function) -> Near:
    return Near(words, lambda x: 2 / (1 + exp(-2 * x)) - 1, lambda x: 1 / (1 + exp(-x)))


def _ratio(above: Sequence[float], below: Sequence[float], x: Array, limit: float = np.inf) -> Any:
    """x P(x^2) / Q(x^2), lowest power first, of x that is bounded."""
    x = np.clip(x, -limit, limit)
    y = x * x
    return np.clip(x * np.polyval(above[::-1], y) / np.polyval(below[::-1], y), -1, 1)


def _schraudolph(x: Array) -> Array:
    """Exp by the bits of a float32, as by Schraudolph (1999)."""
    a, b = np.float32(12102203.161561485), np.float32(1064866805.0)
    bits = np.clip(x, -80, 80).astype(np.float32) * a + b
    return bits.astype(np.int64).astype(np.int32).view(np.float32).astype(x.dtype)


def _table(function: Function, grid: Array, linear: bool, x: Array) -> Array:
    at = np.interp(x, grid, np.arange(len(grid)))
    found = np.interp(at if linear else np.round(at), np.arange(len(grid)), function(grid))
    return found.astype(x.dtype)


def _cut(n: int, limit: float, x: Array) -> Array:
    """Tanh from a table whose index is cut and not rounded, and -1 or 1 outside."""
    width = 2 * limit / n
    looked_up = np.tanh(np.floor((x + limit) / width) * width - limit)
    return np.where(np.abs(x) < limit, looked_up, np.sign(x)).astype(x.dtype)


def _tables() -> Iterator[tuple[str, Near]]:
    """Functions by their values at points from -limit to limit, the nearest or a line between."""
    for n, limit, linear in product((256, 512, 1024, 128), (8, 6, 5, 4), (False, True)):
        words = f"a table of {n} values from -{limit} to {limit}{', interpolated' * linear}"
        grid = np.linspace(-limit, limit, n)
        both = (partial(_table, function, grid, linear) for function in (np.tanh, _sigmoid))
        yield f"table_{n}_{limit}{'_linear' * linear}", Near(words, *both)
        if not linear:
            name, words = f"table_{n}_{limit}_cut", f"{words}, whose index is cut"
            yield name, _by_tanh(words, partial(_cut, n, limit))


_EIGEN = partial(_ratio,  # Eigen 3.3, MathFunctionsImpl.h
    (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
     -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16),
    (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06),
    limit=7.90531110763549805,
)  # fmt: skip
APPROXIMATED: dict[str, Near] = {
    "softsign": Near(
        "x / (1 + |x|)",
        lambda x: x / (1 + np.abs(x)),
        lambda x: 0.5 * x / (1 + np.abs(x)) + 0.5,
    ),
    "lambert": _by_tanh(
        "Lambert's fraction x (27 + x^2) / (27 + 9 x^2)", partial(_ratio, (27, 1), (27, 9))
    ),
    "pade_3_2": _by_tanh("Pade's fraction 3/2", partial(_ratio, (15, 1), (15, 6))),
    "pade_5_4": _by_tanh("Pade's fraction 5/4", partial(_ratio, (945, 105, 1), (945, 420, 15))),
    "pade_7_6": _by_tanh(
        "Pade's fraction 7/6",
        partial(_ratio, (135135, 17325, 378, 1), (135135, 62370, 3150, 28)),
    ),
    "eigen": _by_tanh("Eigen's rational approximation", _EIGEN),
    "fast_exp": _by_exp("Schraudolph's fast exp", _schraudolph),
    **dict(_tables()),
}
"""By name, what is near tanh and near the sigmoid."""

ACTIVATIONS: dict[str, Near] = {
    "one": Near("1, as if there were no gate", None, np.ones_like),
    "identity": Near("z, without a sigmoid", None, lambda x: x),
    "hard": Near("the hard tanh clip(x, -1, 1)", lambda x: np.clip(x, -1, 1)),
    "twice": Near(
        "the function applied twice", lambda x: np.tanh(np.tanh(x)), lambda x: _sigmoid(_sigmoid(x))
    ),
    "sigmoid": Near("sigmoid", _sigmoid),
    "arctan": Near("an arctangent", lambda x: (2 / np.pi) * np.arctan(np.pi / 2 * x)),
    "lecun": Near("1.7159 tanh(2/3 x)", lambda x: 1.7159 * np.tanh(2 / 3 * x)),
    "taylor": Near("x - x^3/3", lambda x: x - x * x * x / 3),
    "sine": Near("sine", np.sin),
    "negated": Near("sigmoid(-z)", None, lambda x: _sigmoid(-x)),
    "tanh": Near("tanh", None, np.tanh),
    "hard_quarter": Near("clip(0.25 x + 0.5, 0, 1)", None, lambda x: np.clip(0.25 * x + 0.5, 0, 1)),
    "exp": Near("exp", None, np.exp),
    **APPROXIMATED,
}
TANHS = tuple(name for name, one in ACTIVATIONS.items() if one.tanh)
SIGMOIDS = tuple(name for name, one in ACTIVATIONS.items() if one.sigmoid)


def _activation(fields: Sequence[str], parts: Any, name: str) -> Any:
    """Other functions in these parts of the step, which write to arrays that may be their input."""

    def written(function: Any) -> Callable[[Array, Array], None]:
        return lambda x, out: np.copyto(out, function(x))

    one = ACTIVATIONS[name]
    functions = {field: one.tanh if field.startswith("t") else one.sigmoid for field in fields}
    return replace(parts, **{field: written(one) for field, one in functions.items()})


def _around(fields: Sequence[str], before: Any, after: Any, parts: Any, number: float) -> Any:
    """Return what changes an activation's argument, or its result, by a number."""

    def changed(activation: Any) -> Callable[[Array, Array], None]:
        def function(x: Array, out: Array) -> None:
            activation(before(x, x.dtype.type(number)) if before else x, out)
            np.copyto(out, after(out, x.dtype.type(number)) if after else out)

        return function

    return replace(parts, **{name: changed(getattr(parts, name)) for name in fields})


def _bounded(x: Array, bound: Any) -> Array:
    return np.clip(x, -bound, bound)


Variants = Mapping[str, tuple[str, Callable[..., Any]]]
"""By name, the words of a part of the step and its function."""


H_OF: Variants = {
    "old_c": ("o * tanh(c_old)", lambda o, new, c, t: o * t(c)),
    "tanh_of_oc": ("tanh(o * c)", lambda o, new, c, t: t(o * new)),
    "tanh_twice": ("tanh(o * tanh(c))", lambda o, new, c, t: t(o * t(new))),
    "sum": ("o + tanh(c)", lambda o, new, c, t: o + t(new)),
    "o": ("o", lambda o, new, c, t: o.copy()),
    "c": ("c", lambda o, new, c, t: new),
}
C_OF: Variants = {
    "i_of_all": ("i * (f * c + g)", lambda f, c, i, g: i * (f * c + g)),
    "negated": ("f * c - i * g", lambda f, c, i, g: f * c - i * g),
    "tanh": ("tanh(f * c + i * g)", lambda f, c, i, g: np.tanh(f * c + i * g)),
    "gates_exchanged": ("i * c + f * g", lambda f, c, i, g: i * c + f * g),
    "f_of_all": ("f * (c + i * g)", lambda f, c, i, g: f * (c + i * g)),
}


def _swapped(h: Array, c: Array, first_h: Array, first_c: Array, done: int) -> States:
    _require(h.shape == c.shape, "state.passed=swapped: as many h as c are needed.")
    return c.copy(), h.copy()


PASSED: Variants = {
    "swapped": ("c, h", _swapped),
    "c_only": ("h0, c", lambda h, c, first_h, first_c, done: (first_h, c)),
    "h_only": ("h, c0", lambda h, c, first_h, first_c, done: (h, first_c.copy())),
    "tanh_of_h": ("tanh(h), c", lambda h, c, first_h, first_c, done: (np.tanh(h), c)),
    "tanh_of_c": ("h, tanh(c)", lambda h, c, first_h, first_c, done: (h, np.tanh(c))),
}


def _variant(field: str, named: Variants, parts: Any, name: str) -> Any:
    """A part of the step that is one of several."""
    return replace(parts, **{field: named[name][1]})


def _output(parts: Any, name: str) -> Any:
    def output(o: Array, new: Array, c: Array, activation: Any) -> Any:
        def t(x: Array) -> Array:
            out = np.empty_like(x)
            activation(x, out)
            return out

        return H_OF[name][1](o, new, c, t)

    return replace(parts, output=output)


def _anew(which: str, parts: Any, steps: int | tuple[int, ...]) -> Any:
    """The initial h, c or both again, at multiples of a step or at those that are listed."""

    def passed(h: Array, c: Array, first_h: Array, first_c: Array, done: int) -> States:
        if done % steps if isinstance(steps, int) else done not in steps:
            return h, c
        return _chosen(which, (first_h, first_c.copy()), (h, c))

    return replace(parts, passed=passed)


def _zoneout(which: str, parts: Any, share: float) -> Any:
    def kept(h: Array, c: Array, old_h: Array, old_c: Array) -> States:
        mixed = (1 - share) * h + share * old_h, (1 - share) * c + share * old_c
        return _chosen(which, mixed, (h, c))

    return replace(parts, kept=kept)


def _h_clip(parts: Any, bound: float) -> Any:
    return replace(parts, clip_h=lambda h: np.clip(h, -bound, bound, h))


def _layer_norm(parts: Any, epsilon: float) -> Any:
    def normalize(z: Array, gate: int) -> None:
        z -= z.mean(axis=0, keepdims=True)
        z /= np.sqrt((z * z).mean(axis=0, keepdims=True) + z.dtype.type(epsilon))

    return replace(parts, normalize=normalize)


# ---- outputs: h (s, R, P) of some steps, and the inputs (s, R, I) of the cell


def _residual(h: Array, x: Array, _: Any) -> Array:
    _require(h.shape == x.shape)
    added: Array = h + x.astype(h.dtype)
    return added


APPLIED: dict[str, Function] = {
    "relu": lambda h: np.maximum(h, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(axis=-1, keepdims=True),
    "length": lambda h: h / np.sqrt((h * h).sum(axis=-1, keepdims=True)),
}


def _masked(h: Array, x: Array, arrays: Mapping[str, Array]) -> Any:
    mask = arrays["mask"][: len(h)].astype(h.dtype)  # of the first steps
    return h * np.broadcast_to(mask, h.shape)


def _dense(h: Array, x: Array, arrays: Mapping[str, Array]) -> Array:
    weights, bias = (arrays[name].astype(h.dtype) for name in ("weights", "bias"))
    dense: Array = np.einsum("srh,hn->srn", h, weights) + bias
    return dense


# ---- the table

HIDES: dict[str, str] = {
    "inputs": "Other inputs have the same shape, and every number of the outputs is plausible",
    "state": "A start state shows at the first step, fades, and is in no file of weights",
    "weights": "Every tensor has the shape that it should have",
    "equations": "No tensor tells how the numbers are put together",
    "outputs": "What follows the cell keeps the shape, and the cell itself is right",
}
"""Why an edit of a family does not show at once."""

_TRAINING = "a layer of training that stays on"
_LATER = "The first step agrees, later ones do not"
_ALL = "All steps are off"
_NEARLY = "Nearly all numbers differ slightly"
_UNITS = "Some units are off at the first step, all others from the second step on"

_SHIFTED = About(
    "loops that start at 1, sequences cut by another rule than in training", "feed x[t] at step t"
)
_PREPARED = About(
    "preprocessing that the weights' program does inside, or did before training",
    "feed x as it is",
)
_PADDED = About("pad_sequences, which pads in front", 'pad_sequences(x, padding="post")')
_SLIP = "equations copied with a slip"
_APPROXIMATION = "C and shader code, microcontrollers, audio plugins"


def _weight_rows() -> Iterator[EditKind]:
    """Rows on parts of the weights: a gate's share, one number, a row, a column, a factor."""
    yield from (_of_gate(part, gate) for part in PARTS for gate in GATES)
    for part in ("kernel", "recurrent"):
        yield from (_of_place(part, *row) for row in _PLACES[:-1])
    yield _of_place("bias", *_PLACES[-1])
    for part, arrays in (("", ALL), *PARTS.items()):
        if part != "block":
            name = arrays[0] if part else "weights"
            words = name.replace("_", " ") if part else "all weights and biases"
            yield EditKind(
                f"weights.{f'{part}.' * bool(part)}factor", CELLS, partial(_share_of, arrays, ""),
                f"{words} times {{}}", f"{name} *= {{}}", _SCALED, _NUMBER,
                values=(0.5, 2.0, 0.1, *_KEPT) if part == "recurrent" else (0.5, 2.0, 0.1),
                solved=1.0,
                same={2.0: ("bias", "twice")} if part == "bias" else {},
            )  # fmt: skip


def _of_gate(part: str, gate: str) -> EditKind:
    name = "weights" if part == "block" else PARTS[part][0]
    others, usual = GATES.replace(gate, ""), {0.0: "left out (0)", -1.0: "with the other sign"}
    values = {"bias": (*usual, 2.0), "block": (2.0, 0.5)}.get(part, (*usual,))

    def words(value: Any) -> str:
        if isinstance(value, str):
            return f"taken from gate {value}"
        return (usual | {2.0: "twice"}).get(value, f"times {setting_text(value)}")

    def code(value: Any) -> str:
        if isinstance(value, str):
            return f"{name}[{gate}] = {name}[{value}]"
        return f"{name}[{gate}] {'*=' if value else '='} {value:g}"

    return EditKind(
        f"weights.{part}.{gate}", CELLS, partial(_share_of, PARTS[part], gate),
        f"{name.replace('_', ' ')} of gate {gate} {{}}", code,
        About("code that repeats a line per gate", f"keep {name}[{gate}]", _ONE_GATE[gate]),
        Listed("n", f"a factor, or another gate: {', '.join(others)}", *others),
        values=(*values, *others), say=words,
    )  # fmt: skip


def _of_place(part: str, form: str, words: str, read: Listed) -> EditKind:
    name, of_unit = PARTS[part][0], form in ("row", "number")

    def code(value: Any) -> str:
        *place, last = value
        if form == "columns":
            return f"exchange {name}[..., {place[0]}] and {name}[..., {last}]"
        at = ", ".join(map(str, place if of_unit else ("...", *place)))
        return f"{name}[{at}] {'=' if form == 'number' else '*='} {last:g}"

    shows = _UNITS if of_unit else _LATER if part == "recurrent" else _ALL
    return EditKind(
        f"weights.{part}.{form}", CELLS, partial(_damaged, name, form),
        f"{name.replace('_', ' ')} damaged, {words}", code,
        About("an index that is off by one, a file cut or edited by hand",
              f"compare {name} with the original", shows),
        read, values=() if form == "number" else partial(_places, name, form), example=read.example,
    )  # fmt: skip


_PLACES: tuple[tuple[str, str, Listed], ...] = (
    ("number", "gate, unit and column of a number, and what it is: {}",
     Listed("guun", "a gate, unit, column and value, such as f,3,5,0.25")),
    ("row", "gate and unit of a row, and its factor: {}",
     Listed("gun", "a gate, unit and factor, such as f,3,0")),
    ("column", "column and its factor: {}", Listed("un", "a column and a factor, such as 5,0")),
    ("columns", "columns exchanged: {}", Listed("uu", "two columns, such as 2,7")),
    ("number", "gate and unit of a number, and what it is: {}",
     Listed("gun", "a gate, unit and value, such as f,3,0.25")),
)  # fmt: skip
"""Form, words and values of what is damaged; the last one is of the bias."""

_ONE_GATE = {gate: f"Gate {gate} is off at every step" for gate in GATES}
_SCALED = About(
    "weights scaled for a fixed-point format, or by dropout", "divide by the factor", _ALL
)
_SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)  # of dropout, as in frameworks' examples
_KEPT = tuple(1 - share for share in _SHARES)
_STEPS = tuple(range(1, 9))  # by which inputs are late or early
_DECIMALS = (4, 3, 5, 2, 1, 6)
_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-12, 1e-8)
_SCALE_PER = ("tensor", "gate", "row", "tensor_with_bias", "gate_with_bias")
_ALL_DIGITS = "save every digit: %.9g"
_FROM = {gate: _LATER if gate in "fc" else _FIRST for gate in "ifgohc"}

_SAME = {
    "sigmoid": {name: ("recurrent_activation", name) for name in ("tanh", "identity")},
    "tanh": {"sigmoid": ("activation", "sigmoid")},
    "tanh.g": {"sigmoid": ("activation", "sigmoid")},
    "tanh.c": {"sigmoid": ("output_activation", "sigmoid")},
}
"""Activations that are settings too."""

_ROWS: tuple[EditKind, ...] = (
    # ---- inputs
    EditKind("inputs.late", INPUTS, _moved, "inputs {} steps late, zeros first",
        "x = concat(zeros({}), x[:-{}])", _SHIFTED, _COUNT, values=_STEPS, of_sequence=True),
    EditKind("inputs.early", INPUTS, lambda x, n: _moved(x, -n),
        "inputs {} steps early, zeros last", "x = concat(x[{}:], zeros({}))", _SHIFTED,
        _COUNT, values=_STEPS, of_sequence=True),
    EditKind("inputs.rolled", INPUTS, lambda x, n: np.roll(x, n, axis=0),
        "inputs rolled by {} steps", "x = np.roll(x, {}, axis=time)", _SHIFTED,
        Listed("d", "an integer number of steps, such as 1 or -1"), values=(1, -1, 2, -2, 3, -3),
        of_sequence=True),
    EditKind("inputs.skipped", INPUTS, _skipped, "first {} steps left out", "x = x[{}:]",
        About(_SHIFTED.used_by, "run all steps",
              "The outputs are those of later steps, as if these came first"),
        _COUNT, values=(1, 2, 3), of_sequence=True),
    EditKind("inputs.padded", INPUTS,
        lambda x, n: np.concatenate([np.zeros((n, *x.shape[1:]), x.dtype), x]),
        "{} steps of zeros in front", "x = concat(zeros({}), x)", _PADDED,
        _COUNT, values=(1, 2, 3, 4), of_sequence=True),
    EditKind("inputs.padding_first", PADDING, _padding_first,
        "padding at the end moved to the front, {}", 'pad_sequences(x, padding="pre")', _PADDED,
        OneOf(FLAG, MASKED), values=(FLAG, MASKED), say={FLAG: "run over"}.get, of_sequence=True),
    EditKind("inputs.features", INPUTS, _reordered, "features in the order {}",
        "x = x[..., [{}]]",
        About("columns of another table, RGB and BGR", "keep the order of training"),
        Listed("u+", "the features in their order, such as 1,0,2"), values=_orders),
    EditKind("inputs.dropout_scale", INPUTS, lambda x, share: x / (1 - share),
        "inputs over 1 - p, as by dropout, p = {}", "x = x / (1 - {})",
        About(_TRAINING, "leave the scale out"), _SHARE, values=_SHARES),
    EditKind("inputs.factor", INPUTS, lambda x, a: _as_wide(x * np.array(a), x), "inputs times {}",
        "x = x * [{}]", _PREPARED, _OF_FEATURES,
        values=(1 / 255, 255.0, 1 / 256, 1 / 127.5, 0.5, 2.0, 0.1, 10.0, 0.01, 100.0, 1e-3, 1000.0,
        -1.0,
         1 / 128, 1 / 32768, 32768.0), solved=1.0),
    EditKind("inputs.offset", INPUTS, lambda x, a: _as_wide(x + np.array(a), x),
        "{} added to the inputs", "x = x + [{}]", _PREPARED, _OF_FEATURES,
        values=(0.5, -0.5, 1.0, -1.0), solved=0.0),
    EditKind("inputs.normalised", INPUTS, _normalised, "inputs normalised: {}",
        'x = normalise(x, "{}")', _PREPARED, OneOf(*NORMALISED), values=NORMALISED,
        say=_normalised_how, of_sequence=True),
    EditKind("inputs.step", INPUTS, _step_of, "inputs of one step taken from another: {}",
        "x[n] = x[m]: {}",
        About("a token read twice", _SHIFTED.mend, "The steps before that one agree"),
        Listed("uu", "a step and the step whose inputs it takes, such as 5,4"),
        values=lambda sizes: ((t, t + d) for t in range(sizes.steps) for d in (-1, 1)
                       if 0 <= t + d < sizes.steps), of_sequence=True),
    # ---- state
    *(
        EditKind(f"state.start{which and '.'}{which}", STATE, partial(_start, which),
            f"initial {which or 'h and c'} of {{}}", f"{line} = {{}}",
            About("a buffer that is not cleared", f"{line} = 0"),
            Listed("n", f"a number, or {ONES}", ONES),
            values=(ONES, 0.1, 0.5, -1.0, 0.01), solved=0.0)
        for which, line in zip(STATES, ("h0[:] = c0[:]", "h0[:]", "c0[:]"), strict=True)
    ),
    EditKind("state.zero_steps", RUN_BEFORE,
        lambda run, x, valid, states, n: run(np.zeros((n, *x.shape[1:]), x.dtype), None, states),
        "{} steps of zeros run first", "for _ in range({}): h, c = cell(zeros, h, c)",
        About("audio code that warms up, padding in front",
              "reset h and c before the first step"),
        _COUNT, values=(1, 2, 3, 4, 5, 8, 10), of_sequence=True),
    EditKind("state.previous", RUN_BEFORE, _after_previous,
        "each sequence starts from the end of the one before", "h0[b], c0[b] = h, c of b - 1",
        About("loops that reset the state once", "reset h and c for each sequence",
              "The first sequence agrees, later ones do not"), of_sequence=True),
    EditKind("state.kept", RUN_BEFORE, lambda run, x, valid, states, _: run(x, valid, states),
        "the state that a run over the same inputs ended in, kept", "h0, c0 = h, c of the last run",
        About("stateful=True, a state object that is used twice",
              "reset h and c before each run"), of_sequence=True),
    EditKind("state.array", STATE, _given_state, "another initial state, of {}",
        'h0, c0 = load("{}")',
        About("a state of training that is carried on", "h0[:] = c0[:] = 0"),
        Arrays("h", "c"), values=()),
    EditKind("state.passed", EQUATIONS, partial(_variant, "passed", PASSED),
        "what is passed on to the next step: {}", "h, c = {}",
        About("code that unpacks (h, c) in the other order, or forgets one",
              "h, c = cell(x[t], h, c)", _LATER),
        OneOf(*PASSED), values=tuple(PASSED), say=lambda name: PASSED[name][0]),
    *(
        EditKind(f"state.{name}{which and '.'}{which}", EQUATIONS, partial(_anew, which),
            words.replace("state", which or "state"), f"if {when}: {line}",
            About("streams that pass no state from call to call",
                  "pass h and c on to the next call", shows), read, values=())
        for name, words, when, read, shows in (
            ("chunks", "run in chunks of {} steps, each from the initial state", "t % {} == 0",
             _COUNT, "The first chunk agrees, later ones do not"),
            ("anew", "the initial state again at step {}", "t in ({})",
             Listed("u+", "steps, such as 3,8"), "The steps before the first of them agree"),
        )
        for which, line in zip(STATES, ("h, c = h0, c0", "h = h0", "c = c0"), strict=True)
    ),
    # ---- weights
    *_weight_rows(),
    *(
        EditKind(f"weights.added.{gate}", CELLS, partial(_added, gate),
            f"{{}} added to gate {gate} before its activation", f"z[{gate}] += {{}}",
            About("a forget bias in the wrong gate order", f"z[{gate}] as it is", _ONE_GATE[gate]),
            _NUMBER, values=(1.0, -1.0, 0.5, 2.0), solved=0.0)
        for gate in "igo"
    ),
    EditKind("weights.exchanged", CELLS, _exchanged, "kernel and recurrent kernel exchanged",
        "K, R = R, K",
        About("code that reads the tensors by their order", "K, R = kernel, recurrent_kernel",
              _ALL)),
    EditKind("weights.layers", NETWORK, _layers, "layers use the weights of layers {}",
        "weights = [weights[n] for n in ({})]",
        About("names sorted as text, an index that is not counted up", "layer n uses n",
              "The first layer may agree"),
        Listed("u+", "a layer for each, such as 1,0"), values=_layer_orders),
    EditKind("weights.directions", NETWORK, _directions,
        "both directions use the weights of the {} one", "backward = forward = {}",
        About("a suffix that is left out", "each direction uses the weights of that direction",
              "One direction agrees, the other does not"),
        OneOf("forward", "backward"), values=("forward", "backward")),
    EditKind("weights.projection", CELLS, _projection, "projection {}", "P: {}",
        About("code that multiplies by P, not its transpose", "h = P h", _ALL),
        OneOf("transposed", "none"), values=("transposed", "none")),
    EditKind("weights.int8", TENSORS, _int8, "stored tensors rounded to 8 bits, a scale per {}",
        "w = np.round(w / scale) * scale, scale = abs(w).max() / 127 per {}",
        About("quantised models", "run the weights as stored", _NEARLY), OneOf(*_SCALE_PER),
        values=_SCALE_PER),
    EditKind("weights.fixed", TENSORS,
        lambda array, axis, gates, bits: np.round(array * 2**bits) / array.dtype.type(2**bits),
        "stored tensors in fixed point, with {} bits after the point",
        "w = np.round(w * 2**{}) / 2**{}",
        About("microcontrollers, FPGAs", "run the weights as stored", _NEARLY), _COUNT,
        values=(12, 8, 10, 15, 14, 13, 11, 7, 6, 9)),
    EditKind("weights.decimals", TENSORS, lambda array, axis, gates, n: np.round(array, n),
        "stored tensors rounded to {} decimals", "w = np.round(w, {})",
        About("weights pasted from printed output", _ALL_DIGITS, _NEARLY), _COUNT,
        values=_DECIMALS),
    # ---- equations
    EditKind("equations.h", EQUATIONS, _output, "h is {}, not o tanh(c)", "h = {}",
        About(_SLIP, "h = o * tanh(c_new)"),
        OneOf(*H_OF), values=tuple(H_OF), say=lambda name: H_OF[name][0]),
    EditKind("equations.c", EQUATIONS, partial(_variant, "update", C_OF),
        "c is updated by {}", "c = {}",
        About(_SLIP, "c = f * c + i * g"),
        OneOf(*C_OF), values=tuple(C_OF), say=lambda name: C_OF[name][0],
        same={"gates_exchanged": ("gates", lambda o: o.translate(str.maketrans("if", "fi")))}),
    *(
        EditKind(f"equations.after.{gate}", EQUATIONS, partial(_around, [field], None, np.add),
            f"{{}} added to gate {gate} after its {name}", f"{gate} = {name}(z_{gate}) + {{}}",
            About("a forget bias that is added too late", f"{gate} = {name}(z_{gate})",
                  _FROM[gate]),
            _NUMBER, values=(1.0, -1.0), solved=0.0)
        for gate, field, name in (
            ("i", "s_i", "sigmoid"), ("f", "s_f", "sigmoid"), ("o", "s_o", "sigmoid"),
            ("g", "t", "tanh"),
        )
    ),
    *(
        EditKind(f"equations.{name}", EQUATIONS, partial(_activation, fields.split()), words,
            code, about, OneOf(*names), values=names[:most],
            say=lambda name: ACTIVATIONS[name].words,
            same=_SAME.get(name, {}))
        for name, fields, words, code, names, most, about in (
            *((f"sigmoid.{gate}", f"s_{gate}", f"activation of gate {gate}: {{}}", f"{gate} = {{}}",
               SIGMOIDS, 8, About(_SLIP, f"{gate} = sigmoid(z_{gate})", _FROM[gate]))
              for gate in "ifo"),
            ("approximated", "s_i s_f s_o t t_c", "tanh and sigmoid approximated by {}",
             "tanh, sigmoid = {}", tuple(APPROXIMATED), None,
             About(_APPROXIMATION, "compare with the same approximation, or use tanh", _NEARLY)),
            ("tanh", "t t_c", "tanh of g and of c: {}", "tanh = {}", TANHS, None,
             About(_APPROXIMATION, "use tanh", _NEARLY)),
            ("sigmoid", "s_i s_f s_o", "sigmoid of all gates: {}", "sigmoid = {}", SIGMOIDS, None,
             About(_APPROXIMATION, "use 1 / (1 + exp(-x))", _NEARLY)),
            ("tanh.g", "t", "tanh of the candidate: {}", "g = {}", TANHS, 16,
             About(_APPROXIMATION, "g = tanh(z_g)")),
            ("tanh.c", "t_c", "tanh of c on its way out: {}", "h = o * {}", TANHS, 16,
             About(_APPROXIMATION, "h = o * tanh(c)", "c agrees, h does not")),
        )
    ),
    EditKind("equations.sigmoid_slope", EQUATIONS,
        partial(_around, ("s_i", "s_f", "s_o"), np.multiply, None),
        "sigmoid(a z) in all gates, a = {}", "sigmoid({} * z)",
        About("a sigmoid by tanh without its factor; 2^-x for e^-x, a = ln 2 = 0.69315",
              "sigmoid(z)"),
        _NUMBER, values=(0.5, 2.0, 1.702, 0.2, 1.5), solved=1.0),
    EditKind("equations.tanh_slope", EQUATIONS, partial(_around, ("t", "t_c"), np.multiply, None),
        "tanh(a z) of g and c, a = {}", "tanh({} * z)", About("LeCun's tanh in part", "tanh(z)"),
        _NUMBER, values=(0.5, 2.0, 2 / 3), solved=1.0),
    EditKind("equations.layer_norm", EQUATIONS, _layer_norm,
        "layer normalisation of each gate, epsilon {}, where none is stored",
        "z = (z - z.mean()) / sqrt(z.var() + {})",
        About("a cell with layer normalisation", "use z"), _POSITIVE, values=_EPSILONS[:4]),
    EditKind("equations.epsilon", CELLS, _epsilon, "layer normalisation with epsilon {}",
        "sqrt(variance + {})",
        About("frameworks differ: 1e-5 of PyTorch, 1e-3 of Keras, 1e-12 of TF1",
              "take the epsilon of training", _NEARLY), _POSITIVE, values=_EPSILONS),
    *(
        EditKind(f"equations.zoneout{which and '.'}{which}", EQUATIONS, partial(_zoneout, which),
            f"a share {{}} of the old {which or 'h and c'} kept, as by zoneout", code,
            About(_TRAINING, f"{which or 'h, c'} = {f'{which}_' * bool(which)}new",
                  _FROM.get(which, _FIRST)), _SHARE, values=(0.1, 0.05, 0.2, 0.5), solved=0.0)
        for which, code in zip(STATES, (
            "new = (1 - {}) * new + {} * old", "h = (1 - {}) * h_new + {} * h",
            "c = (1 - {}) * c_new + {} * c"), strict=True)
    ),
    EditKind("equations.h_clip", EQUATIONS, _h_clip, "h bounded to +-{} in the cell",
        "h = clip(h, -{}, {})",
        About("fixed-point code", "h = o * tanh(c)", "Numbers of h that are large"),
        _POSITIVE, values=(1.0, 0.5, 0.2, 0.1, 0.8), solved=1.0, bound=True),
    # ---- outputs
    EditKind("outputs.residual", OUTPUTS, _residual, "inputs of the layer added to h", "h = h + x",
        About("residual layers of a stack", "take h before x is added",
              "h is off by x at every step")),
    EditKind("outputs.z", OUTPUTS, lambda z, x, _: z, "pre-activations z in place of h", "return z",
        About("code that returns before the activations", "return h", _ALL),
        takes="z", width=lambda units, _: 4 * units),
    EditKind("outputs.applied", OUTPUTS, lambda h, x, name: APPLIED[name](h),
        "{} applied to h", "h = {}(h)",
        About("a layer after the LSTM", "take h before that layer", _ALL),
        OneOf(*APPLIED), values=tuple(APPLIED)),
    EditKind("outputs.factor", OUTPUTS, lambda h, x, a: h * h.dtype.type(a), "h times {}",
        "h = {} * h",
        About("a scale for display or audio", "divide by it", "h is a multiple at every step"),
        _NUMBER, values=(0.5, 2.0, -1.0, 255.0, 100.0), solved=1.0),
    EditKind("outputs.clip", OUTPUTS, lambda h, x, a: _bounded(h, a),
        "h bounded to +-{} after the cell", "out = clip(h, -{}, {})",
        About("audio code", "take h before the clip", "Numbers of h that are large"),
        _POSITIVE, values=(1.0, 0.5, 0.2, 0.1), solved=1.0, bound=True),
    EditKind("outputs.mask", OUTPUTS, _masked, "dropout of h, by the factors in {}",
        'h = h * load("{}")["mask"]',
        About(_TRAINING, "model.eval()", "Some numbers are 0, all others a multiple"),
        Arrays("mask"), values=(), of_sequence=True),
    EditKind("outputs.dense", OUTPUTS, _dense, "a dense layer after h, of {}",
        'out = h @ load("{}")["weights"] + bias',
        About("a dense layer that belongs to the model", "take h before the dense layer", _ALL),
        Arrays("weights", "bias"), values=(),
        width=lambda units, arrays: arrays["weights"].shape[-1]),
)  # fmt: skip

EDITS: dict[str, EditKind] = {kind.name: kind for kind in _ROWS}
"""By name, in the order in which they are tried: inputs before state, weights and equations."""
