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
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.settings import (
    CELL,
    MOST_SHOWN,
    OneOf,
    read_count,
    read_number,
    setting_text,
)
from lstmcli.core.model.steps import shown_lengths, valid_until
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, did_you_mean, refuse_unprintable

if TYPE_CHECKING:
    from lstmcli.core.model.model import Cell, Model

TENSORS, CELLS, NETWORK = "stored tensors", "cells", "network"
INPUTS, PADDING, STATE, RUN_BEFORE = "inputs", "padding", "state", "run before"
EQUATIONS, OUTPUTS = "equations", "outputs"
OF_MODEL = (NETWORK, INPUTS, PADDING, RUN_BEFORE)
"""Stages whose edits are of the model, and not of one cell."""

MOST_NAMED = 12  # names of a value in a message
FEW_NAMES = 4  # in a table
FILE = "@"
"""Begins a value that is a file of arrays."""
FLAG = "true"
"""The value of an edit that takes none."""
MASKED = "masked"


def no_value(value: Any) -> str:
    """A reader where there is nothing to choose."""
    if str(value) != FLAG:
        raise ValueError("no value")
    return FLAG


class RunSizes(NamedTuple):
    """A run, whose sizes decide which values of an edit are worth trying."""

    model: Model
    cell: Cell  # that an edit is of, or the first one
    steps: int
    batch: int


Values = tuple[Any, ...] | Callable[[RunSizes], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class EditKind:
    """A row of the table."""

    name: str
    stage: str
    function: Callable[..., Any]  # takes what the stage has, and the value
    words: str  # what it is; {} is the value
    code: str | Callable[[Any], str]  # the line of a program that does it
    read: Callable[[Any], Any] = no_value
    values: Values = (FLAG,)  # that are tried, the usual ones first
    solved: float | None = None  # where it does nothing: the number is solved for from there
    bound: bool = False  # the number is one that |h| or |c| does not exceed
    shows: str = ""  # what shows it
    used_by: str = ""  # who does it
    mend: str = ""  # what the line should be
    say: Callable[[Any], str | None] = lambda value: None  # a value in words, where it is none
    of_sequence: bool = False  # a step needs others of the sequence: not for streams
    takes: str = "h"  # the array of a cell that an edit of outputs takes
    width: Callable[[int, Any], int] | None = None  # of h then, from the units and the value
    example: str = "0"  # a value, where the line is made from one

    @property
    def family(self) -> str:
        """``inputs``, ``weights``, ``state``, ``equations`` or ``outputs``."""
        return self.name.partition(".")[0]

    @property
    def meaning(self) -> str:
        """What it is, whatever its value."""
        return self.words.replace("{}", "VALUE")

    @property
    def summary(self) -> str:
        """What it is, and the values that it takes; of many names the first."""
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
        if isinstance(self.read, OneOf):
            return ", ".join(self.read.values)
        try:
            self.read("")
        except ValueError as error:
            return str(error.args[0])
        raise AssertionError(f"{self.name} takes an empty text")

    def accepts(self, value: Any) -> bool:
        """Whether it takes a value."""
        try:
            self.read(value)
        except ValueError:
            return False
        return True

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
        """What ``--edit`` takes: ``layer1.weights.bias.o=0``."""
        name = f"{self.cell}.{self.name}" if self.cell else self.name
        value = f"{FILE}{self.file}" if self.file else setting_text(self.value)
        return name if value == FLAG else f"{name}={value}"

    @property
    def found(self) -> str:
        """Name and value without the cell's name."""
        return replace(self, cell="").text

    @property
    def words(self) -> str:
        """What it is."""
        of = f" ({self.cell})" if self.cell else ""
        return self._filled(self.kind.words) + of

    @property
    def code(self) -> str:
        """The line of a program that does it."""
        code = self.kind.code
        return self._filled(code) if isinstance(code, str) else code(self.value)

    @property
    def mend(self) -> str:
        """What the line should be."""
        return self.kind.mend

    def apply(self, *of_stage: Any) -> Any:
        """What the stage has, changed; UserError where the edit does not fit it."""
        try:
            return self.kind.function(*of_stage, self.value)
        except UserError as error:
            raise UserError(*error.lines, about={"edit": self.text}) from None

    def is_for(self, cell: str) -> bool:
        """Whether it changes a cell of that name."""
        return self.cell in ("", cell)

    def _filled(self, text: str) -> str:
        value = self.file or self.kind.say(self.value) or setting_text(self.value)
        return text.replace("{} steps", f"{value} step{'s' * (value != '1')}").replace("{}", value)


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
        text = f"takes {error.args[0]}"
        text += "" if text[-1] in ".?" else "."
        raise UserError(text, about={"edit": shown}) from None
    return Edit(name, read, cell, value.removeprefix(FILE) if from_file else "")


# ---- values


class Arrays:
    """A reader of the arrays of a file, with these members."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, value: Any) -> Mapping[str, Array]:
        """The arrays."""
        missing = [n for n in self.names if not isinstance(value, Mapping) or n not in value]
        if missing:
            members = " and ".join(self.names)
            raise ValueError(f"a file with {members}: @FILE.npz")
        return {name: value[name] for name in self.names}


class Listed:
    """A reader of values between commas: gates, integers and numbers, by a letter for each."""

    def __init__(self, form: str, words: str) -> None:
        self._form, self._words = form, words
        self.example = words.rpartition(" ")[2]

    def __call__(self, value: Any) -> tuple[Any, ...]:
        """``f,3,0.5`` for "gun": a gate, a unit and a number; "u+" takes any count."""
        parts = [*value] if isinstance(value, list | tuple) else str(value).split(",")
        is_long = self._form.endswith("+")
        form = self._form[0] * len(parts) if is_long else self._form
        try:
            return tuple(self._read(*one) for one in zip(form, parts, strict=True))
        except ValueError:
            raise ValueError(self._words) from None

    def _read(self, kind: str, part: Any) -> Any:
        text = str(part).strip()
        if kind == "g":
            if text not in (*GATES,):
                raise ValueError
            return text
        if kind == "u":
            if not text.isdecimal() or len(text) > 9:
                raise ValueError
            return int(text)
        return read_number(text)


class ManyWords(OneOf):
    """A reader of one of many names, of which a message has the first."""

    def __call__(self, value: Any) -> str:
        """The name."""
        if str(value) not in self.values:
            first = ", ".join(self.values[:MOST_NAMED])
            raise ValueError(f"{first}, ...{did_you_mean(str(value), self.values)}")
        return str(value)


class NumberOr:
    """A reader of a number, or of one of some words."""

    def __init__(self, *words: str, form: str = "a number, or {}") -> None:
        self.words, self._form = words, form

    def __call__(self, value: Any) -> Any:
        """The number or the word."""
        if str(value) in self.words:
            return str(value)
        try:
            return read_number(value)
        except ValueError:
            raise ValueError(self._form.format(", ".join(self.words))) from None


def _shift(value: Any) -> int:
    text = str(value)
    if not re.fullmatch(r"-?0*[1-9]\d{0,5}", text):
        raise ValueError("an integer number of steps, such as 1 or -1")
    return int(text)


def _above_zero(value: Any) -> float:
    if (number := read_number(value)) <= 0:
        raise ValueError("a number above 0")
    return number


def _share(value: Any) -> float:
    if not 0 < (number := read_number(value)) < 1:
        raise ValueError("a number between 0 and 1")
    return number


NUMBERS = Listed("n+", "a number for each feature, such as 0.5,2")
PERMUTATION = Listed("u+", "the features in their order, such as 1,0,2")
STEPS = Listed("uu", "a step and the step whose inputs it takes, such as 5,4")
TWO_COLUMNS = Listed("uu", "two columns, such as 2,7")


# ---- inputs (T, B, I)


def _within(count: int, x: Array) -> int:
    if abs(count) >= len(x):
        raise UserError(f"the inputs have {len(x)} steps; {count} are too many.")
    return count


def _padding_first(x: Array, valid: Array | None, how: str) -> tuple[Array, Array | None]:
    lengths = shown_lengths(x) if valid is None else valid_until(~valid)
    steps = np.arange(len(x))[:, None]
    at = (steps + lengths) % len(x)  # the step that stands at each
    counts = steps < lengths if valid is None else valid
    moved = np.take_along_axis(x, at[:, :, None], axis=0)
    return moved, np.take_along_axis(counts, at, axis=0) if how == MASKED else None


def _features(x: Array, order: Sequence[int]) -> Array:
    if sorted(order) != [*range(x.shape[2])]:
        raise UserError(f"the inputs have {x.shape[2]} features; all are needed, each once.")
    return x[..., [*order]]


def _zeroed(x: Array, columns: Sequence[int]) -> Array:
    if max(columns) >= x.shape[2]:
        raise UserError(f"the inputs have {x.shape[2]} features, from 0 on.")
    return x * ~np.isin(np.arange(x.shape[2]), columns)


def _step_of(x: Array, steps: tuple[int, int]) -> Array:
    if max(steps) >= len(x):
        raise UserError(f"the inputs have {len(x)} steps, from 0 on.")
    x = x.copy()
    x[steps[0]] = x[steps[1]]
    return x


def _of_each(change: Any) -> Callable[[Array, Sequence[float]], Array]:
    """A number for each feature."""

    def function(x: Array, numbers: Sequence[float]) -> Array:
        if len(numbers) != x.shape[2]:
            raise UserError(f"the inputs have {x.shape[2]} features, and not {len(numbers)}.")
        changed: Array = change(x, np.array(numbers))
        return changed

    return function


def _given_inputs(x: Array, arrays: Mapping[str, Array]) -> Array:
    if arrays["x"].shape != x.shape:
        raise UserError(f"x is {arrays['x'].shape}; in (steps, batch, inputs) it is {x.shape}.")
    return arrays["x"]


AXES: dict[str, tuple[int, ...]] = {
    "all": (0, 1, 2), "feature": (0, 1), "sequence": (0, 2), "sequence_feature": (0,), "step": (2,),
}  # fmt: skip
SCALES: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "standard": lambda x, axes: _centred(x, axes) / x.std(axis=axes, keepdims=True),
    "sample": lambda x, axes: _centred(x, axes) / _sample_deviation(x, axes),
    "centred": lambda x, axes: _centred(x, axes),
    "largest": lambda x, axes: x / np.abs(x).max(axis=axes, keepdims=True),
    "minmax": lambda x, axes: _minmax(x, axes),
    "signed": lambda x, axes: 2 * _minmax(x, axes) - 1,
    "length": lambda x, axes: x / np.sqrt((x * x).sum(axis=axes, keepdims=True)),
}
NORMALISED = tuple(f"{scale}_{axes}" for axes in AXES for scale in SCALES)


def _sample_deviation(x: Array, axes: tuple[int, ...]) -> Array:
    """The deviation of a sample, over n - 1."""
    count = int(np.prod([x.shape[axis] for axis in axes]))
    deviation: Array = x.std(axis=axes, keepdims=True) * np.sqrt(count / max(count - 1, 1))
    return deviation


def _centred(x: Array, axes: tuple[int, ...]) -> Array:
    centred: Array = x - x.mean(axis=axes, keepdims=True)
    return centred


def _minmax(x: Array, axes: tuple[int, ...]) -> Array:
    low, high = (f(axis=axes, keepdims=True) for f in (x.min, x.max))
    scaled: Array = (x - low) / (high - low)
    return scaled


def _normalised(x: Array, how: str) -> Array:
    scale, _, axes = how.partition("_")
    with np.errstate(all="ignore"):
        return np.nan_to_num(SCALES[scale](x, AXES[axes]), posinf=0, neginf=0)


MOST_PERMUTED = 5  # features of which every order is tried: 120
MOST_SWAPPED = 16  # features of which every exchange of two is tried: 120


def _orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = tuple(range(sizes.cell.inputs))
    yield from dict.fromkeys((plain[::-1], *(tuple(np.roll(plain, k).tolist()) for k in (1, -1))))
    if len(plain) <= MOST_PERMUTED:
        yield from permutations(plain)
    elif len(plain) <= MOST_SWAPPED:
        for a, b in combinations(plain, 2):
            yield tuple({a: b, b: a}.get(n, n) for n in plain)


# ---- states h (B, P), c (B, H)


def _start(h: bool, c: bool) -> Callable[..., tuple[Array, Array]]:
    def function(of_h: Array, of_c: Array, value: Any) -> tuple[Array, Array]:
        number = 1.0 if value == ONES else value
        return (
            np.full_like(of_h, number) if h else of_h,
            np.full_like(of_c, number) if c else of_c,
        )

    return function


ONES = "ones"


def _given_state(h: Array, c: Array, arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    if arrays["h"].shape != h.shape or arrays["c"].shape != c.shape:
        raise UserError(f"h and c are needed as {h.shape} and {c.shape}, of one cell.")
    return arrays["h"].astype(h.dtype), arrays["c"].astype(c.dtype)


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


def _of_gate(parts: Sequence[str], gate: str) -> Callable[[Cell, Any], Cell]:
    """A gate's part multiplied by a number, or that of another gate in its place."""
    k = GATES.index(gate)

    def function(cell: Cell, value: Any) -> Cell:
        arrays = {name: getattr(cell, name).copy() for name in parts}
        for array in arrays.values():
            array[k] = array[GATES.index(value)] if isinstance(value, str) else array[k] * value
        return replace(cell, **arrays)

    return function


def _scaled(parts: Sequence[str]) -> Callable[[Cell, float], Cell]:
    def function(cell: Cell, factor: float) -> Cell:
        given = {n: a for n in parts if (a := getattr(cell, n)) is not None}
        return replace(cell, **{n: a * a.dtype.type(factor) for n, a in given.items()})

    return function


def _added(gate: str) -> Callable[[Cell, float], Cell]:
    def function(cell: Cell, number: float) -> Cell:
        bias = cell.bias.copy()
        bias[GATES.index(gate)] += number
        return replace(cell, bias=bias)

    return function


def _exchanged(cell: Cell, _: Any) -> Cell:
    if cell.inputs != cell.outputs:
        raise UserError(f"the cell takes {cell.inputs} inputs and {cell.outputs} h: not as many.")
    return replace(cell, kernel=cell.recurrent_kernel, recurrent_kernel=cell.kernel)


def _projection(cell: Cell, value: str) -> Cell:
    if cell.projection is None or cell.units != cell.outputs:
        raise UserError("the cell has no projection from its units to as many values.")
    other = cell.projection.T.copy() if value == "transposed" else None
    return replace(cell, projection=other)


def _damaged(part: str, form: str) -> Callable[[Cell, tuple[Any, ...]], Cell]:
    """A number, row or column of a part that is another one, or is multiplied by a factor."""

    def function(cell: Cell, value: tuple[Any, ...]) -> Cell:
        array = getattr(cell, part).copy()
        try:
            if form == "number":
                gate, *at, number = value
                array[(GATES.index(gate), *at)] = number
            elif form == "row":
                gate, unit, factor = value
                array[GATES.index(gate), unit] *= factor
            elif form == "column":
                array[..., value[0]] *= value[1]
            else:
                array[..., [*value]] = array[..., [*value[::-1]]]
        except IndexError:
            raise UserError(f"the {part} is {array.shape}: no such place.") from None
        return replace(cell, **{part: array})

    return function


def _epsilon(cell: Cell, epsilon: float) -> Cell:
    if cell.norm_scale is None and cell.state_scale is None:
        raise UserError("the cell has no layer normalisation; equations.layer_norm adds one.")
    return replace(cell, convention=cell.convention.with_behaviour(norm_epsilon=epsilon))


Layers = tuple[tuple["Cell", ...], ...]


def _layers(layers: Layers, order: Sequence[int]) -> Layers:
    if len(order) != len(layers) or max(order) >= len(layers):
        raise UserError(f"the model has {len(layers)} layers; each needs the layer that it uses.")
    return tuple(
        tuple(_weights_of(other, cell) for cell, other in zip(layer, layers[n], strict=True))
        for layer, n in zip(layers, order, strict=True)
    )


def _directions(layers: Layers, used: str) -> Layers:
    if any(len(layer) < 2 for layer in layers):
        raise UserError("the model does not run in both directions.")
    n = int(used == "backward")
    return tuple(tuple(_weights_of(layer[n], cell) for cell in layer) for layer in layers)


def _weights_of(other: Cell, cell: Cell) -> Cell:
    shapes = [(one.kernel.shape, one.recurrent_kernel.shape) for one in (other, cell)]
    if shapes[0] != shapes[1]:
        raise UserError("the cells differ in their sizes.")
    return replace(other, convention=cell.convention, edits=cell.edits)


def _layer_orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = tuple(range(len(sizes.model.layers)))
    for a, b in combinations(plain, 2):
        yield tuple({a: b, b: a}.get(n, n) for n in plain)
        yield tuple({b: a}.get(n, n) for n in plain)
        yield tuple({a: b}.get(n, n) for n in plain)


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


def _sigmoid(x: Array) -> Array:
    s: Array = 1 / (1 + np.exp(-x))
    return s


def _of_tanh(t: Function) -> Function:
    """The sigmoid by a tanh."""
    return lambda x: 0.5 * t(0.5 * x) + 0.5


def _of_exp(exp: Function) -> tuple[Function, Function]:
    """Tanh and sigmoid by an exponential function."""
    return lambda x: 2 / (1 + exp(-2 * x)) - 1, lambda x: 1 / (1 + exp(-x))


def _ratio(above: Sequence[float], below: Sequence[float], limit: float) -> Function:
    """x P(x^2) / Q(x^2), lowest power first, of x that is bounded."""

    def function(x: Array) -> Array:
        x = np.clip(x, -limit, limit)
        y = x * x
        ratio: Array = x * np.polyval(above[::-1], y) / np.polyval(below[::-1], y)
        return np.clip(ratio, -1, 1)

    return function


def _schraudolph(x: Array) -> Array:
    """Exp by the bits of a float32, as by Schraudolph (1999)."""
    a, b = np.float32(12102203.161561485), np.float32(1064866805.0)
    bits = np.clip(x, -80, 80).astype(np.float32) * a + b
    return bits.astype(np.int64).astype(np.int32).view(np.float32).astype(x.dtype)


def _power(n: int) -> Function:
    """Exp as (1 + x/n)^n, in float32."""
    one = np.float32(1)
    return lambda x: ((one + x.astype(np.float32) / np.float32(n)) ** n).astype(x.dtype)


def _table(function: Function, size: int, limit: float, linear: bool) -> Function:
    """A function by its values at points from -limit to limit, the nearest or a line between."""
    grid = np.linspace(-limit, limit, size)
    values = function(grid)
    if linear:
        return lambda x: np.interp(x, grid, values).astype(x.dtype)
    scale = (size - 1) / (2 * limit)
    return lambda x: values[np.clip(np.round((x + limit) * scale), 0, size - 1).astype(int)].astype(
        x.dtype
    )


def _plan(x: Array) -> Array:
    """The sigmoid in four straight pieces: PLAN, of Amin, Curtis & Hayes-Gill (1997)."""
    a = np.abs(x)
    pieces = [np.ones_like(a), a / 32 + 0.84375, a / 8 + 0.625]
    y = np.select([a >= 5, a >= 2.375, a >= 1], pieces, a / 4 + 0.5)
    return np.where(x < 0, 1 - y, y)


_LAMBERT = _ratio((27, 1), (27, 9), np.inf)
_EIGEN = _ratio(  # Eigen 3.3, MathFunctionsImpl.h
    (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
     -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16),
    (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06),
    7.90531110763549805,
)  # fmt: skip
_PADES = {
    "pade_3_2": _ratio((15, 1), (15, 6), np.inf),
    "pade_5_4": _ratio((945, 105, 1), (945, 420, 15), np.inf),
    "pade_7_6": _ratio((135135, 17325, 378, 1), (135135, 62370, 3150, 28), np.inf),
}
_TABLES = [
    (n, limit, linear)
    for n in (256, 512, 1024, 128)
    for limit in (8, 6, 5, 4)
    for linear in (False, True)
]
APPROXIMATED: dict[str, tuple[Function, Function]] = {
    "lambert": (_LAMBERT, _of_tanh(_LAMBERT)),
    **{name: (t, _of_tanh(t)) for name, t in _PADES.items()},
    "eigen": (_EIGEN, _of_tanh(_EIGEN)),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: 0.5 * x / (1 + np.abs(x)) + 0.5),
    "fast_exp": _of_exp(_schraudolph),
    **{f"exp_{n}": _of_exp(_power(n)) for n in (256, 1024, 4096)},
    **{
        f"table_{n}_{limit}{'_linear' * linear}": (
            _table(np.tanh, n, limit, linear), _table(_sigmoid, n, limit, linear),
        )
        for n, limit, linear in _TABLES
    },
}  # fmt: skip
"""Of each name, a function near tanh and one near the sigmoid."""

TANHS: dict[str, Function] = {
    "hard": lambda x: np.clip(x, -1, 1),
    "twice": lambda x: np.tanh(np.tanh(x)),
    "sigmoid": _sigmoid,
    "arctan": lambda x: (2 / np.pi) * np.arctan(np.pi / 2 * x),
    "lecun": lambda x: 1.7159 * np.tanh(2 / 3 * x),
    "taylor": lambda x: x - x * x * x / 3,
    "sine": np.sin,
    **{name: t for name, (t, _) in APPROXIMATED.items()},
}
SIGMOIDS: dict[str, Function] = {
    "one": np.ones_like,
    "identity": lambda x: x,
    "twice": lambda x: _sigmoid(_sigmoid(x)),
    "negated": lambda x: _sigmoid(-x),
    "tanh": np.tanh,
    "hard_quarter": lambda x: np.clip(0.25 * x + 0.5, 0, 1),
    "plan": _plan,
    "exp": np.exp,
    **{name: s for name, (_, s) in APPROXIMATED.items()},
}
_WORDS: dict[str, str] = {
    "lambert": "Lambert's fraction x (27 + x^2) / (27 + 9 x^2)",
    "eigen": "Eigen's rational approximation",
    "softsign": "x / (1 + |x|)",
    "fast_exp": "Schraudolph's fast exp",
    **{name: f"Pade's fraction {name[5:].replace('_', '/')}" for name in _PADES},
    **{f"exp_{n}": f"exp as (1 + x/{n})^{n}" for n in (256, 1024, 4096)},
    **{
        f"table_{n}_{limit}{'_linear' * linear}":
        f"a table of {n} values from -{limit} to {limit}{', interpolated' * linear}"
        for n, limit, linear in _TABLES
    },
    "hard": "the hard tanh clip(x, -1, 1)",
    "hard_quarter": "clip(0.25 x + 0.5, 0, 1)",
    "lecun": "1.7159 tanh(2/3 x)",
    "arctan": "an arctangent",
    "taylor": "x - x^3/3",
    "one": "1, as if there were no gate",
    "identity": "z, without a sigmoid",
    "twice": "the function applied twice",
    "negated": "sigmoid(-z)",
    "plan": "the piecewise linear PLAN",
}  # fmt: skip


def _written(function: Function) -> Callable[[Array, Array], None]:
    """A function in the form of an activation, which writes to an array that may be its input."""
    return lambda x, out: np.copyto(out, function(x))


def _activation(*fields: str, named: Mapping[str, Function]) -> Callable[[Any, str], Any]:
    def function(parts: Any, name: str) -> Any:
        return replace(parts, **dict.fromkeys(fields, _written(named[name])))

    return function


def _approximated(parts: Any, name: str) -> Any:
    t, s = map(_written, APPROXIMATED[name])
    return replace(parts, s_i=s, s_f=s, s_o=s, t=t, t_c=t)


def _around(
    *fields: str, before: Any = lambda x, n: x, after: Any = lambda out, n: out
) -> Callable[[Any, float], Any]:
    """What changes an activation's argument, or its result, by a number."""

    def changed(activation: Any, number: float) -> Callable[[Array, Array], None]:
        def function(x: Array, out: Array) -> None:
            activation(before(x, x.dtype.type(number)), out)
            np.copyto(out, after(out, x.dtype.type(number)))

        return function

    return lambda parts, number: replace(
        parts, **{name: changed(getattr(parts, name), number) for name in fields}
    )


def _bounded(x: Array, bound: Any) -> Array:
    return np.clip(x, -bound, bound)


def _evaluated(t: Any, x: Array) -> Array:
    out = np.empty_like(x)
    t(x, out)
    return out


H_OF: dict[str, Callable[[Array, Array, Array, Any], Array]] = {
    "old_c": lambda o, new, c, t: o * _evaluated(t, c),
    "tanh_of_oc": lambda o, new, c, t: _evaluated(t, o * new),
    "tanh_twice": lambda o, new, c, t: _evaluated(t, o * _evaluated(t, new)),
    "sum": lambda o, new, c, t: o + _evaluated(t, new),
    "o": lambda o, new, c, t: o.copy(),
    "c": lambda o, new, c, t: new,
}
C_OF: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "i_of_all": lambda f, c, i, g: i * (f * c + g),
    "negated": lambda f, c, i, g: f * c - i * g,
    "tanh": lambda f, c, i, g: np.tanh(f * c + i * g),
    "gates_exchanged": lambda f, c, i, g: i * c + f * g,
    "f_of_all": lambda f, c, i, g: f * (c + i * g),
}


def _swapped(h: Array, c: Array, first_h: Array, first_c: Array, done: int) -> tuple[Array, Array]:
    if h.shape != c.shape:
        text = f"state.passed=swapped: the cell has {len(h)} h and {len(c)} c, not as many."
        raise UserError(text)
    return c.copy(), h.copy()


PASSED: dict[str, Callable[[Array, Array, Array, Array, int], tuple[Array, Array]]] = {
    "swapped": _swapped,
    "c_only": lambda h, c, first_h, first_c, done: (first_h, c),
    "h_only": lambda h, c, first_h, first_c, done: (h, first_c.copy()),
    "tanh_of_h": lambda h, c, first_h, first_c, done: (np.tanh(h), c),
    "tanh_of_c": lambda h, c, first_h, first_c, done: (h, np.tanh(c)),
}


H_WORDS = {
    "old_c": "o * tanh(c_old)", "tanh_of_oc": "tanh(o * c)", "tanh_twice": "tanh(o * tanh(c))",
    "sum": "o + tanh(c)", "o": "o", "c": "c",
}  # fmt: skip
C_WORDS = {
    "i_of_all": "i * (f * c + g)", "negated": "f * c - i * g", "tanh": "tanh(f * c + i * g)",
    "gates_exchanged": "i * c + f * g", "f_of_all": "f * (c + i * g)",
}  # fmt: skip


def _anew(h: bool, c: bool) -> Callable[[Any, Any], Any]:
    """The initial h, c or both again, at multiples of a step or at those that are listed."""

    def function(parts: Any, steps: int | tuple[int, ...]) -> Any:
        def passed(
            last_h: Array, last_c: Array, first_h: Array, first_c: Array, done: int
        ) -> tuple[Array, Array]:
            if done % steps if isinstance(steps, int) else done not in steps:
                return last_h, last_c
            return (first_h if h else last_h), (first_c.copy() if c else last_c)

        return replace(parts, passed=passed)

    return function


PASSED_WORDS = {
    "swapped": "c, h", "c_only": "h0, c", "h_only": "h, c0", "tanh_of_h": "tanh(h), c",
    "tanh_of_c": "h, tanh(c)",
}  # fmt: skip


def _part(field: str, named: Mapping[str, Any]) -> Callable[[Any, str], Any]:
    """A part of the step that is one of several."""
    return lambda parts, name: replace(parts, **{field: named[name]})


def _zoneout(h: bool, c: bool) -> Callable[[Any, float], Any]:
    def function(parts: Any, share: float) -> Any:
        def kept(new_h: Array, new_c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
            return (
                (1 - share) * new_h + share * old_h if h else new_h,
                (1 - share) * new_c + share * old_c if c else new_c,
            )

        return replace(parts, kept=kept)

    return function


def _h_clip(parts: Any, bound: float) -> Any:
    def clip(h: Array) -> None:
        np.clip(h, -bound, bound, h)

    return replace(parts, clip_h=clip)


def _layer_norm(parts: Any, epsilon: float) -> Any:
    def normalize(z: Array, gate: int) -> None:
        z -= z.mean(axis=0, keepdims=True)
        z /= np.sqrt((z * z).mean(axis=0, keepdims=True) + z.dtype.type(epsilon))

    return replace(parts, normalize=normalize)


# ---- outputs: h (s, R, P) of some steps, and the inputs (s, R, I) of the cell


def _residual(h: Array, x: Array, _: Any) -> Array:
    if h.shape != x.shape:
        raise UserError(f"the layer takes {x.shape[2]} inputs and gives {h.shape[2]} values.")
    added: Array = h + x.astype(h.dtype)
    return added


APPLIED: dict[str, Function] = {
    "relu": lambda h: np.maximum(h, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(axis=-1, keepdims=True),
    "length": lambda h: h / np.sqrt((h * h).sum(axis=-1, keepdims=True)),
}


def _masked(h: Array, x: Array, arrays: Mapping[str, Array]) -> Array:
    mask = arrays["mask"][: len(h)]  # of the first steps
    if mask.shape != h.shape:
        raise UserError(f"mask is {arrays['mask'].shape}; in (steps, batch, units) h is {h.shape}.")
    masked: Array = h * mask.astype(h.dtype)
    return masked


def _dense(h: Array, x: Array, arrays: Mapping[str, Array]) -> Array:
    weights, bias = (arrays[name].astype(h.dtype) for name in ("weights", "bias"))
    if weights.ndim != 2 or len(weights) != h.shape[2] or bias.shape != weights.shape[1:]:
        shapes = f"weights {weights.shape} and bias {bias.shape}"
        raise UserError(f"it has {shapes}; {h.shape[2]} units need ({h.shape[2]}, N) and (N,).")
    dense: Array = h @ weights + bias
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

_OFF_BY_ONE = "loops that start at 1, sequences cut by another rule than in training"
_PREPARED = "preprocessing that the weights' program does inside, or did before training"
_APPROXIMATION = "C and shader code, microcontrollers, audio plugins"
_DAMAGE = "an index that is off by one, a file cut or edited by hand"
_TRAINING = "a layer of training that stays on"
_FIRST = "The first step is off already"
_LATER = "The first step agrees, later ones do not"
_ALL = "All steps are off"
_NEARLY = "Nearly all numbers differ slightly"
_UNITS = "Some units are off at the first step, all others from the second step on"


def _factor_words(value: Any) -> str:
    """A gate's share that is multiplied, or that of another gate."""
    if isinstance(value, str):
        return f"taken from gate {value}"
    plain = {0.0: "left out (0)", -1.0: "with the other sign", 2.0: "twice"}
    return plain.get(value, f"times {setting_text(value)}")


def _code_of_gate(name: str, gate: str) -> Callable[[Any], str]:
    """The line of a program that changes a gate's share."""

    def code(value: Any) -> str:
        if isinstance(value, str):
            return f"{name}[{gate}] = {name}[{value}]"
        return f"{name}[{gate}] {'*=' if value else '='} {value:g}"

    return code


def _code_of_place(name: str, form: str) -> Callable[[Any], str]:
    """The line of a program that changes a number, a row or a column."""

    def code(value: Any) -> str:
        *place, last = value
        if form == "columns":
            return f"exchange {name}[..., {place[0]}] and {name}[..., {last}]"
        at = ", ".join(map(str, ("...", *place) if form == "column" else place))
        return f"{name}[{at}] {'=' if form == 'number' else '*='} {last:g}"

    return code


def _kernel_rows() -> Iterator[EditKind]:
    """Rows on parts of the weights: a gate's share, one number, a row, a column, a factor."""
    for part, names in PARTS.items():
        name = part.replace("recurrent", "recurrent_kernel").replace("block", "weights")
        words = name.replace("_", " ")
        for gate in GATES:
            others = tuple(g for g in GATES if g != gate)
            first = {"bias": (0.0, -1.0, 2.0), "block": (2.0, 0.5)}.get(part, (0.0, -1.0))
            yield EditKind(
                f"weights.{part}.{gate}", CELLS, _of_gate(names, gate),
                f"{words} of gate {gate} {{}}", _code_of_gate(name, gate),
                NumberOr(*others, form="a factor, or another gate: {}"), (*first, *others),
                say=_factor_words,
                shows=f"Gate {gate} is off at every step",
                used_by="code that repeats a line per gate", mend=f"keep {name}[{gate}]",
            )  # fmt: skip
    for part, name in (("kernel", "kernel"), ("recurrent", "recurrent_kernel")):
        words = name.replace("_", " ")
        rows: tuple[tuple[str, str, Listed], ...] = (
            ("number", "gate, unit and column of a number, and what it is: {}",
             Listed("guun", "a gate, unit, column and value, such as f,3,5,0.25")),
            ("row", "gate and unit of a row, and its factor: {}",
             Listed("gun", "a gate, unit and factor, such as f,3,0")),
            ("column", "column and its factor: {}",
             Listed("un", "a column and a factor, such as 5,0")),
            ("columns", "columns exchanged: {}", TWO_COLUMNS),
        )  # fmt: skip
        for form, form_words, read in rows:
            yield EditKind(
                f"weights.{part}.{form}", CELLS, _damaged(name, form),
                f"{words} damaged, {form_words}", _code_of_place(name, form), read,
                _places(name, form),
                shows=_UNITS if form in ("row", "number") else _LATER if part != "kernel" else _ALL,
                used_by=_DAMAGE, mend=f"compare {name} with the original", example=read.example,
            )  # fmt: skip
    yield EditKind(
        "weights.bias.number", CELLS, _damaged("bias", "number"),
        "bias damaged, gate and unit of a number, and what it is: {}",
        _code_of_place("bias", "number"),
        Listed("gun", "a gate, unit and value, such as f,3,0.25"), (),
        shows=_UNITS, used_by=_DAMAGE, mend="compare bias with the original", example="f,3,0.25",
    )  # fmt: skip
    for part, names in (("", ALL), *PARTS.items()):
        if part != "block":
            name = names[0].replace("_", " ") if part else "all weights and biases"
            yield EditKind(
                f"weights.{f'{part}.' * bool(part)}factor", CELLS, _scaled(names),
                f"{name} times {{}}", f"{names[0] if part else 'weights'} *= {{}}", read_number,
                (0.5, 2.0, 0.1, *_KEPT) if part == "recurrent" else (0.5, 2.0, 0.1),
                solved=1.0, shows=_ALL, mend="divide by the factor",
                used_by="weights scaled for a fixed-point format, or by dropout",
            )  # fmt: skip


_SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)  # of dropout, as in frameworks' examples
_KEPT = tuple(1 - share for share in _SHARES)


def _places(name: str, form: str) -> Values:
    """The rows and columns of a part that may be zero, negated or exchanged; numbers are solved."""

    def values(sizes: RunSizes) -> Iterator[tuple[Any, ...]]:
        cell = sizes.cell
        columns = getattr(cell, name).shape[2]
        if form == "row":
            yield from ((g, u, 0.0) for g in GATES for u in range(cell.units))
        elif form == "column":
            yield from ((n, 0.0) for n in range(columns))
        elif form == "columns" and columns <= MOST_EXCHANGED:
            yield from combinations(range(columns), 2)

    return values


MOST_EXCHANGED = 40  # columns of which every two are exchanged: 780
_SHIFTS = tuple(range(1, 9))  # steps by which inputs are late or early

_ROWS: tuple[EditKind, ...] = (
    # ---- inputs
    EditKind("inputs.late", INPUTS,
        lambda x, n: np.concatenate([np.zeros_like(x[:n]), x[: -_within(n, x)]]),
        "inputs {} steps late, zeros first",
        "x = concat(zeros({}), x[:-{}])", read_count, _SHIFTS, of_sequence=True, shows=_FIRST,
        used_by=_OFF_BY_ONE, mend="feed x[t] at step t"),
    EditKind("inputs.early", INPUTS,
        lambda x, n: np.concatenate([x[_within(n, x) :], np.zeros_like(x[:n])]),
        "inputs {} steps early, zeros last",
        "x = concat(x[{}:], zeros({}))", read_count, _SHIFTS, of_sequence=True, shows=_FIRST,
        used_by=_OFF_BY_ONE, mend="feed x[t] at step t"),
    EditKind("inputs.rolled", INPUTS, lambda x, n: np.roll(x, n, axis=0),
        "inputs rolled by {} steps", "x = np.roll(x, {}, axis=time)", _shift,
        (1, -1, 2, -2, 3, -3), of_sequence=True, shows=_FIRST, used_by=_OFF_BY_ONE,
        mend="feed x[t] at step t"),
    EditKind("inputs.skipped", INPUTS, lambda x, n: x[_within(n, x) :],
        "first {} steps left out", "x = x[{}:]", read_count, (1, 2, 3), of_sequence=True,
        shows="The outputs are those of later steps, as if these came first", used_by=_OFF_BY_ONE,
        mend="run all steps"),
    EditKind("inputs.padded", INPUTS,
        lambda x, n: np.concatenate([np.zeros((n, *x.shape[1:]), x.dtype), x]),
        "{} steps of zeros in front", "x = concat(zeros({}), x)", read_count, (1, 2, 3, 4),
        of_sequence=True, shows=_FIRST, used_by="pad_sequences, which pads in front",
        mend='pad_sequences(x, padding="post")'),
    EditKind("inputs.padding_first", PADDING, _padding_first,
        "padding at the end moved to the front, {}", 'pad_sequences(x, padding="pre")',
        OneOf(FLAG, MASKED), (FLAG, MASKED), say={FLAG: "run over"}.get, of_sequence=True,
        shows=_FIRST, used_by="pad_sequences, which pads in front",
        mend='pad_sequences(x, padding="post")'),
    EditKind("inputs.features", INPUTS, _features, "features in the order {}", "x = x[..., [{}]]",
        PERMUTATION, _orders, shows=_FIRST, used_by="columns of another table, RGB and BGR",
        mend="keep the order of training"),
    EditKind("inputs.zeroed", INPUTS, _zeroed, "features {} are 0", "x[..., [{}]] = 0",
        Listed("u+", "features, such as 0,3"),
        lambda sizes: ((n,) for n in range(sizes.cell.inputs)),
        shows=_FIRST, used_by="a column that is missing", mend="feed all features"),
    EditKind("inputs.dropout_scale", INPUTS, lambda x, share: x / (1 - share),
        "inputs over 1 - p, as by dropout, p = {}", "x = x / (1 - {})", _share, _SHARES,
        shows=_FIRST, used_by=_TRAINING, mend="leave the scale out"),
    EditKind("inputs.factor", INPUTS, lambda x, a: x * a, "inputs times {}", "x = {} * x",
        read_number,
        (1 / 255, 255.0, 1 / 256, 1 / 127.5, 0.5, 2.0, 0.1, 10.0, 0.01, 100.0, 1e-3, 1000.0, -1.0,
         1 / 128, 1 / 32768, 32768.0),
        solved=1.0, shows=_FIRST, used_by=_PREPARED, mend="feed x as it is"),
    EditKind("inputs.offset", INPUTS, lambda x, a: x + a, "{} added to the inputs", "x = x + {}",
        read_number, (0.5, -0.5, 1.0, -1.0), solved=0.0, shows=_FIRST, used_by=_PREPARED,
        mend="feed x as it is"),
    EditKind("inputs.factors", INPUTS, _of_each(np.multiply), "features times {}",
        "x = x * [{}]", NUMBERS, (), shows=_FIRST, used_by=_PREPARED, mend="feed x as it is"),
    EditKind("inputs.offsets", INPUTS, _of_each(np.add), "{} added to the features",
        "x = x + [{}]", NUMBERS, (), shows=_FIRST, used_by=_PREPARED, mend="feed x as it is"),
    EditKind("inputs.normalised", INPUTS, _normalised, "inputs normalised, {}",
        'x = normalise(x, "{}")', ManyWords(*NORMALISED), NORMALISED, of_sequence=True,
        shows=_FIRST, used_by=_PREPARED, mend="feed x as it is"),
    EditKind("inputs.step", INPUTS, _step_of, "inputs of one step taken from another: {}",
        "x[n] = x[m]: {}", STEPS,
        lambda sizes: ((t, t + d) for t in range(sizes.steps) for d in (-1, 1)
                       if 0 <= t + d < sizes.steps),
        of_sequence=True, shows="The steps before that one agree", used_by="a token read twice",
        mend="feed x[t] at step t"),
    EditKind("inputs.array", INPUTS, _given_inputs, "other inputs, of {}", 'x = load("{}")["x"]',
        Arrays("x"), (), of_sequence=True, shows=_FIRST, used_by=_PREPARED, mend="feed x as it is"),
    # ---- state
    EditKind("state.start", STATE, _start(True, True), "initial h and c of {}",
        "h0[:] = c0[:] = {}", NumberOr(ONES), (ONES, 0.1, 0.5, -1.0, 0.01), solved=0.0,
        shows=_FIRST, used_by="a buffer that is not cleared", mend="h0[:] = c0[:] = 0"),
    EditKind("state.start.h", STATE, _start(True, False), "initial h of {}", "h0[:] = {}",
        NumberOr(ONES), (ONES, 0.1, 0.5), solved=0.0, shows=_FIRST,
        used_by="a buffer that is not cleared", mend="h0[:] = 0"),
    EditKind("state.start.c", STATE, _start(False, True), "initial c of {}", "c0[:] = {}",
        NumberOr(ONES), (ONES, 0.1, 0.5), solved=0.0, shows=_FIRST,
        used_by="a buffer that is not cleared", mend="c0[:] = 0"),
    EditKind("state.zero_steps", RUN_BEFORE,
        lambda run, x, valid, states, n: run(np.zeros((n, *x.shape[1:]), x.dtype), None, states),
        "{} steps of zeros run first",
        "for _ in range({}): h, c = cell(zeros, h, c)", read_count, (1, 2, 3, 4, 5, 8, 10),
        of_sequence=True, shows=_FIRST, used_by="audio code that warms up, padding in front",
        mend="reset h and c before the first step"),
    EditKind("state.previous", RUN_BEFORE, _after_previous,
        "each sequence starts from the end of the one before", "h0[b], c0[b] = h, c of b - 1",
        of_sequence=True, shows="The first sequence agrees, later ones do not",
        used_by="loops that reset the state once", mend="reset h and c for each sequence"),
    EditKind("state.kept", RUN_BEFORE, lambda run, x, valid, states, _: run(x, valid, states),
        "the state that a run over the same inputs ended in, kept", "h0, c0 = h, c of the last run",
        of_sequence=True, shows=_FIRST, used_by="stateful=True, a state object that is used twice",
        mend="reset h and c before each run"),
    EditKind("state.array", STATE, _given_state, "another initial state, of {}",
        'h0, c0 = load("{}")', Arrays("h", "c"), (), shows=_FIRST,
        used_by="a state of training that is carried on", mend="h0[:] = c0[:] = 0"),
    EditKind("state.passed", EQUATIONS, _part("passed", PASSED),
        "what is passed on to the next step: {}",
        "h, c = {}", OneOf(*PASSED), tuple(PASSED), say=PASSED_WORDS.get, shows=_LATER,
        used_by="code that unpacks (h, c) in the other order, or forgets one",
        mend="h, c = cell(x[t], h, c)"),
    *(
        EditKind(f"state.{name}{part and '.'}{part}", EQUATIONS, _anew(part != "c", part != "h"),
            words.replace("state", part or "state"), f"if {when}: {line}", read, (),
            shows=shows, used_by="streams that pass no state from call to call",
            mend="pass h and c on to the next call")
        for name, words, when, read, shows in (
            ("chunks", "run in chunks of {} steps, each from the initial state", "t % {} == 0",
             read_count, "The first chunk agrees, later ones do not"),
            ("anew", "the initial state again at step {}", "t in ({})",
             Listed("u+", "steps, such as 3,8"), "The steps before the first of them agree"),
        )
        for part, line in (("", "h, c = h0, c0"), ("h", "h = h0"), ("c", "c = c0"))
    ),
    # ---- weights
    *_kernel_rows(),
    *(
        EditKind(f"weights.added.{gate}", CELLS, _added(gate),
            f"{{}} added to gate {gate} before its activation", f"z[{gate}] += {{}}", read_number,
            (1.0, -1.0, 0.5, 2.0), solved=0.0, shows=f"Gate {gate} is off at every step",
            used_by="a forget bias in the wrong gate order", mend=f"z[{gate}] as it is")
        for gate in "igo"
    ),
    EditKind("weights.exchanged", CELLS, _exchanged, "kernel and recurrent kernel exchanged",
        "K, R = R, K", shows=_ALL, used_by="code that reads the tensors by their order",
        mend="K, R = kernel, recurrent_kernel"),
    EditKind("weights.layers", NETWORK, _layers, "layers use the weights of layers {}",
        "weights = [weights[n] for n in ({})]", Listed("u+", "a layer for each, such as 1,0"),
        _layer_orders, shows="The first layer may agree",
        used_by="names sorted as text, an index that is not counted up", mend="layer n uses n"),
    EditKind("weights.directions", NETWORK, _directions,
        "both directions use the weights of the {} one", "backward = forward = {}",
        OneOf("forward", "backward"), ("forward", "backward"),
        shows="One direction agrees, the other does not", used_by="a suffix that is left out",
        mend="each direction uses the weights of that direction"),
    EditKind("weights.projection", CELLS, _projection, "projection {}", "P: {}",
        OneOf("transposed", "none"), ("transposed", "none"), shows=_ALL,
        used_by="code that multiplies by P, not its transpose", mend="h = P h"),
    EditKind("weights.int8", TENSORS, _int8, "stored tensors rounded to 8 bits, a scale per {}",
        "w = np.round(w / scale) * scale, scale = abs(w).max() / 127 per {}",
        OneOf("tensor", "gate", "row", "tensor_with_bias", "gate_with_bias"),
        ("tensor", "gate", "row", "tensor_with_bias", "gate_with_bias"), shows=_NEARLY,
        used_by="quantised models", mend="run the weights as stored"),
    EditKind("weights.decimals", TENSORS, lambda array, axis, gates, n: np.round(array, n),
        "stored tensors rounded to {} decimals",
        "w = np.round(w, {})", read_count, (4, 3, 5, 2, 1, 6), shows=_NEARLY,
        used_by="weights pasted from printed output", mend="save every digit: %.9g"),
    EditKind("weights.truncated", TENSORS,
        lambda array, axis, gates, n: np.trunc(array * 10**n) / array.dtype.type(10**n),
        "stored tensors cut after {} decimals",
        "w = np.trunc(w * 1e{}) / 1e{}", read_count, (4, 3, 5, 2, 1, 6), shows=_NEARLY,
        used_by="weights written as text of this many digits", mend="save every digit: %.9g"),
    # ---- equations
    EditKind("equations.h", EQUATIONS, _part("output", H_OF), "h is {}, not o tanh(c)", "h = {}",
        OneOf(*H_OF), tuple(H_OF), say=H_WORDS.get, shows=_FIRST,
        used_by="equations copied with a slip",
        mend="h = o * tanh(c_new)"),
    EditKind("equations.c", EQUATIONS, _part("update", C_OF), "c is updated by {}", "c = {}",
        OneOf(*C_OF), tuple(C_OF), say=C_WORDS.get, shows=_FIRST,
        used_by="equations copied with a slip",
        mend="c = f * c + i * g"),
    *(
        EditKind(f"equations.sigmoid.{gate}", EQUATIONS,
            _activation(f"s_{gate}", named=SIGMOIDS), f"activation of gate {gate}: {{}}",
            f"{gate} = {{}}", ManyWords(*SIGMOIDS), tuple(SIGMOIDS)[:8], say=_WORDS.get,
            shows=_LATER if gate == "f" else _FIRST, used_by="equations copied with a slip",
            mend=f"{gate} = sigmoid(z_{gate})")
        for gate in "ifo"
    ),
    *(
        EditKind(f"equations.after.{gate}", EQUATIONS, _around(field, after=np.add),
            f"{{}} added to gate {gate} after its {name}", f"{gate} = {name}(z_{gate}) + {{}}",
            read_number, (1.0, -1.0), solved=0.0, shows=_LATER if gate == "f" else _FIRST,
            used_by="a forget bias that is added too late", mend=f"{gate} = {name}(z_{gate})")
        for gate, field, name in (
            ("i", "s_i", "sigmoid"), ("f", "s_f", "sigmoid"), ("o", "s_o", "sigmoid"),
            ("g", "t", "tanh"),
        )
    ),
    EditKind("equations.approximated", EQUATIONS, _approximated,
        "tanh and sigmoid approximated by {}", "tanh, sigmoid = {}", ManyWords(*APPROXIMATED),
        tuple(APPROXIMATED), say=_WORDS.get, shows=_NEARLY, used_by=_APPROXIMATION,
        mend="compare with the same approximation, or use tanh"),
    EditKind("equations.tanh", EQUATIONS, _activation("t", "t_c", named=TANHS),
        "tanh of g and of c: {}", "tanh = {}", ManyWords(*TANHS), tuple(TANHS),
        say=_WORDS.get, shows=_NEARLY, used_by=_APPROXIMATION, mend="use tanh"),
    EditKind("equations.sigmoid", EQUATIONS, _activation("s_i", "s_f", "s_o", named=SIGMOIDS),
        "sigmoid of all gates: {}", "sigmoid = {}", ManyWords(*SIGMOIDS), tuple(SIGMOIDS),
        say=_WORDS.get, shows=_NEARLY, used_by=_APPROXIMATION, mend="use 1 / (1 + exp(-x))"),
    EditKind("equations.tanh.g", EQUATIONS, _activation("t", named=TANHS),
        "tanh of the candidate: {}", "g = {}", ManyWords(*TANHS), tuple(TANHS)[:16],
        say=_WORDS.get, shows=_FIRST, used_by=_APPROXIMATION, mend="g = tanh(z_g)"),
    EditKind("equations.tanh.c", EQUATIONS, _activation("t_c", named=TANHS),
        "tanh of c on its way out: {}", "h = o * {}", ManyWords(*TANHS), tuple(TANHS)[:16],
        say=_WORDS.get, shows="c agrees, h does not", used_by=_APPROXIMATION,
        mend="h = o * tanh(c)"),
    EditKind("equations.sigmoid_slope", EQUATIONS,
        _around("s_i", "s_f", "s_o", before=np.multiply), "sigmoid(a z) in all gates, a = {}",
        "sigmoid({} * z)", read_number, (0.5, 2.0, 1.702, 0.2, 1.5), solved=1.0, shows=_FIRST,
        used_by="a sigmoid by tanh without its factor; 2^-x for e^-x, a = ln 2 = 0.69315",
        mend="sigmoid(z)"),
    EditKind("equations.tanh_slope", EQUATIONS, _around("t", "t_c", before=np.multiply),
        "tanh(a z) of g and c, a = {}", "tanh({} * z)", read_number, (0.5, 2.0, 2 / 3), solved=1.0,
        shows=_FIRST, used_by="LeCun's tanh in part", mend="tanh(z)"),
    EditKind("equations.layer_norm", EQUATIONS, _layer_norm,
        "layer normalisation of each gate, epsilon {}, where none is stored",
        "z = (z - z.mean()) / sqrt(z.var() + {})", _above_zero, (1e-5, 1e-3, 1e-6, 1e-12),
        shows=_FIRST, used_by="a cell with layer normalisation", mend="use z"),
    EditKind("equations.epsilon", CELLS, _epsilon, "layer normalisation with epsilon {}",
        "sqrt(variance + {})", _above_zero, (1e-5, 1e-3, 1e-6, 1e-12, 1e-8), shows=_NEARLY,
        used_by="frameworks differ: 1e-5 of PyTorch, 1e-3 of Keras, 1e-12 of TF1",
        mend="take the epsilon of training"),
    EditKind("equations.zoneout", EQUATIONS, _zoneout(True, True),
        "a share {} of the old h and c kept, as by zoneout", "new = (1 - {}) * new + {} * old",
        _share, (0.1, 0.05, 0.2, 0.5), solved=0.0, shows=_FIRST, used_by=_TRAINING,
        mend="h, c = new"),
    EditKind("equations.zoneout.h", EQUATIONS, _zoneout(True, False),
        "a share {} of the old h kept, as by zoneout", "h = (1 - {}) * h_new + {} * h",
        _share, (0.1, 0.05, 0.2, 0.5), solved=0.0, shows=_FIRST, used_by=_TRAINING,
        mend="h = h_new"),
    EditKind("equations.zoneout.c", EQUATIONS, _zoneout(False, True),
        "a share {} of the old c kept, as by zoneout", "c = (1 - {}) * c_new + {} * c",
        _share, (0.1, 0.05, 0.2, 0.5), solved=0.0, shows=_LATER, used_by=_TRAINING,
        mend="c = c_new"),
    EditKind("equations.h_clip", EQUATIONS, _h_clip, "h bounded to +-{} in the cell",
        "h = clip(h, -{}, {})", _above_zero, (1.0, 0.5, 0.2, 0.1, 0.8), solved=1.0, bound=True,
        shows="Numbers of h that are large", used_by="fixed-point code", mend="h = o * tanh(c)"),
    EditKind("equations.c_clip", EQUATIONS, _around("t_c", before=_bounded),
        "c bounded to +-{} on its way out only", "h = o * tanh(clip(c, -{}, {}))", _above_zero,
        (1.0, 3.0, 0.5), solved=1.0, bound=True, shows="c agrees, large h do not",
        used_by="fixed-point code", mend="h = o * tanh(c)"),
    # ---- outputs
    EditKind("outputs.residual", OUTPUTS, _residual, "inputs of the layer added to h",
        "h = h + x", shows="h is off by x at every step", used_by="residual layers of a stack",
        mend="take h before x is added"),
    EditKind("outputs.z", OUTPUTS, lambda z, x, _: z, "pre-activations z in place of h",
        "return z", shows=_ALL, used_by="code that returns before the activations",
        mend="return h", takes="z", width=lambda units, _: 4 * units),
    EditKind("outputs.applied", OUTPUTS, lambda h, x, name: APPLIED[name](h),
        "{} applied to h", "h = {}(h)", OneOf(*APPLIED), tuple(APPLIED), shows=_ALL,
        used_by="a layer after the LSTM", mend="take h before it"),
    EditKind("outputs.factor", OUTPUTS, lambda h, x, a: h * h.dtype.type(a), "h times {}",
        "h = {} * h", read_number, (0.5, 2.0, -1.0, 255.0, 100.0), solved=1.0,
        shows="h is a multiple at every step", used_by="a scale for display or audio",
        mend="divide by it"),
    EditKind("outputs.clip", OUTPUTS, lambda h, x, a: _bounded(h, a),
        "h bounded to +-{} after the cell", "out = clip(h, -{}, {})", _above_zero,
        (1.0, 0.5, 0.2, 0.1), solved=1.0, bound=True, shows="Numbers of h that are large",
        used_by="audio code", mend="take h before it"),
    EditKind("outputs.mask", OUTPUTS, _masked, "dropout of h, by the factors in {}",
        'h = h * load("{}")["mask"]', Arrays("mask"), (), of_sequence=True,
        shows="Some numbers are 0, all others a multiple", used_by=_TRAINING,
        mend="model.eval()"),
    EditKind("outputs.dense", OUTPUTS, _dense, "a dense layer after h, of {}",
        'out = h @ load("{}")["weights"] + bias', Arrays("weights", "bias"), (),
        shows=_ALL, used_by="a dense layer that belongs to the model",
        mend="take h before it", width=lambda units, arrays: arrays["weights"].shape[-1]),
)  # fmt: skip

EDITS: dict[str, EditKind] = {kind.name: kind for kind in _ROWS}
"""By name, in the order in which they are tried: inputs before state, weights and equations."""
