"""The table of edits: what programs do otherwise with inputs, weights, state, equations, outputs.

An edit is a named change to what goes into a run, beyond the settings of
`conventions`: the inputs a step late, a gate's bias left out, a tanh from a
table. `core.weights` applies the edits of stored tensors before it decodes
them, `core.forward` all others; neither knows a name.

Names have their family first, and no character that a shell reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.settings import (
    CELL,
    COUNT,
    MOST_SHOWN,
    OneOf,
    Parser,
    setting_text,
)
from lstmcli.core.model.steps import shown_lengths, valid_until
from lstmcli.core.model.surroundings import (
    BATCH,
    EACH,
    FIRST,
    LAST,
    MAX,
    MEAN,
    PAST_END,
    TIME,
    Dense,
    Head,
)
from lstmcli.core.model.surroundings import (
    STATES as LAST_STATES,
)
from lstmcli.core.model.vocabulary import GATES, OVER_OUTPUTS, numbered
from lstmcli.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from lstmcli.core.model.model import Cell, Model

Stage = Literal[
    "tensors", "cells", "network", "equations", "inputs", "state", "run", "outputs",
    "head", "front",
]  # fmt: skip
OF_MODEL = (
    "network",
    "inputs",
    "run",
    "head",
    "front",
)  # whose edits are not of one cell

FILE = "@"  # begins a value that is a file of arrays
FLAG = "true"  # the value of an edit that takes none
ANY = "VALUE"  # stands for any value in texts
_FIRST = "The first step is off already"
MOST_PERMUTED = 5  # features of which every order is tried: 120
MOST_SWAPPED = 16  # features of which every exchange of two is tried: 120
MOST_EXCHANGED = 40  # columns of which every two are exchanged: 780

States = tuple[Array, Array]
Layers = Sequence[Sequence["Cell"]]
Function = Callable[[Array], Array]
Variants = Mapping[str, tuple[str, Callable[..., Any]]]
"""By name, the words of a part of the step and its function."""


class Arrays(Parser):
    """A parser of the arrays of a file, with these members."""

    def __init__(self, *names: str) -> None:
        super().__init__("", f"a file with {' and '.join(names)}: @FILE.npz")
        self._names = {*names}

    def __call__(self, value: Any) -> Any:
        """The arrays."""
        is_file = isinstance(value, Mapping) and value.keys() >= self._names
        return value if is_file else super().__call__(value)


NO_VALUE = Parser("", "no value", [FLAG])
_NUMBER = Parser("n", "a number")
_POSITIVE = Parser("p", "a number above 0")
_SHARE = Parser("s", "a number between 0 and 1")
_SCALES = Parser("n+", "a number, or one for each feature, such as 0.5,2")

# ---- rows, and edits as they are given


class RunSizes(NamedTuple):
    """A run, whose sizes decide which values are worth trying."""

    model: Model
    cell: Cell  # that an edit is of, or the first one
    steps: int
    input_steps: Sequence[int] = ()  # of which one may be another, if one alone is


@dataclass(frozen=True, eq=False)
class EditKind:
    """A row of the table; in its texts, {} is the value, {0} the first of several."""

    name: str
    stage: Stage
    function: Callable[..., Any]  # takes what the stage has, and the value
    words: str | Callable[[Any], str]  # what it is
    code: str | Callable[[Any], str]  # the line of a program that does it
    used_by: str  # who does it
    mend: str  # what the line should be
    read: Parser = NO_VALUE
    shows: str = _FIRST
    values: Sequence[Any] | Callable[[RunSizes], Iterable[Any]] | None = None
    """Values that `explain` tries, usual ones first; None: all names."""
    solved: float | None = (
        None  # where it does nothing: the number is solved for from there
    )
    bound: bool = False  # the number is one that |h| or |c| does not exceed
    of_sequence: bool = False  # a step needs others of the sequence: not for streams
    of_summed: bool = False  # of stored tensors, after both biases are added
    takes: str = "h"  # the array of a cell that an edit of outputs takes
    width: Callable[[int, Any], int] | None = (
        None  # of h then, from the units and the value
    )
    lacks: str = ""  # where it does not fit: the reason
    same: Mapping[Any, tuple[str, Any]] = field(default_factory=dict)
    """By value, the setting that is the same run, and its value or a function of that assumed."""

    @property
    def family(self) -> str:
        """``inputs``, ``weights``, ``state``, ``equations`` or ``outputs``."""
        return self.name.partition(".")[0]

    def values_for(self, sizes: RunSizes) -> Iterator[Any]:
        """The values that are tried in a run."""
        values = self.read.named if self.values is None else self.values
        yield from values(sizes) if callable(values) else values


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit as given: a row, its value, and perhaps one cell."""

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
        """The text that ``--edit`` takes: ``layer1.weights.bias.o=0``."""
        name = f"{self.cell}.{self.name}" if self.cell else self.name
        value = f"{FILE}{self.file}" if self.file else setting_text(self.value)
        return name if value == FLAG else f"{name}={value}"

    @property
    def words(self) -> str:
        """Return what it is."""
        return self._filled(self.kind.words) + f" ({self.cell})" * bool(self.cell)

    @property
    def code(self) -> str:
        """The line of a program that does it."""
        return self._filled(self.kind.code)

    def apply(self, given: Any, *others: Any) -> Any:
        """Return what the stage has, changed; UserError where the edit does not fit it."""
        try:
            with np.errstate(all="ignore"):  # the run shows what overflows
                return self.kind.function(given, *others, self.value)
        except (IndexError, ValueError):
            unfit = (
                f"it does not fit {_sizes_of(given, self.kind.family)}: {self.words}"
            )
            raise UserError(
                f"{self.kind.lacks or unfit}.", about={"edit": self.text}
            ) from None

    def _filled(self, text: str | Callable[[Any], str]) -> str:
        if callable(text):
            return text(self.value)
        read = self.kind.read
        value = self.file or read.named.get(self.value) or setting_text(self.value)
        for n, part in enumerate((read.example if value == ANY else value).split(",")):
            text = text.replace(f"{{{n}}}", part)
        return text.replace("{} steps", f"{value} step{'s' * (value != '1')}").replace(
            "{}", value
        )


def _sizes_of(given: Any, family: str) -> str:
    if isinstance(given, np.ndarray):
        axes = ", ".join(("steps", "batch", "values")[-given.ndim :])
        return f"{family} of shape {given.shape} ({axes})"
    if isinstance(given, Head):
        return f"the head {given.text}"
    if isinstance(given, Rows):
        return f"indices of shape {given.indices.shape} (steps, batch)"
    if isinstance(given, Sequence):
        return f"a model of {len(given)} layer{'s' * (len(given) > 1)}"
    return f"a cell that takes {given.inputs} inputs and has {given.units} units"


def edits_in(stage: Stage, edits: Iterable[Edit]) -> list[Edit]:
    """The edits of a stage."""
    return [edit for edit in edits if edit.kind.stage == stage]


def edited(stage: Stage, edits: Iterable[Edit], given: Any, *others: Any) -> Any:
    """Return what a stage has, changed by its edits one after another."""
    for edit in edits_in(stage, edits):
        given = edit.apply(given, *others)
    return given


def refuse_edits(edits: Iterable[Edit], text: str, **how: Any) -> None:
    """Refuse the first of these edits, if there is any."""
    for edit in edits:
        raise UserError(text, about={"edit": edit.text}, **how)


def read_edit(
    text: str | Edit, arrays_of: Callable[[str], Mapping[str, Array]]
) -> Edit:
    """``layer1.NAME=VALUE`` parsed and checked; ``arrays_of`` reads ``@FILE``."""
    if isinstance(text, Edit):
        return text
    full, _, value = text.strip().partition("=")
    first, _, rest = full.partition(".")
    cell, name = (first, rest) if rest and CELL.fullmatch(first) else ("", full)
    name, about = name.replace("-", "_"), {"edit": text[:MOST_SHOWN]}
    if name not in EDITS:
        first = f"unknown edit {name!r}.{did_you_mean(name, EDITS)}"
        raise UserError(first, "  lstm help edits lists them.", about=about)
    kind, file = EDITS[name], value[1:] if value.startswith(FILE) else ""
    if cell and kind.stage in OF_MODEL:
        raise UserError(f"{name} is an edit of the model, not of {cell}.", about=about)
    try:
        return Edit(
            name, kind.read(arrays_of(file) if file else value or FLAG), cell, file
        )
    except ValueError as error:
        raise UserError(f"takes {error}", about=about) from None


_Result = TypeVar("_Result")


def _fit(fits: bool, result: _Result) -> _Result:
    """The result; ValueError where the value does not fit."""
    if not fits:
        raise ValueError
    return result


# ---- inputs (T, B, I)


def _padded(x: Array, before: int, after: int = 0) -> Array:
    """With steps of zeros."""
    return np.pad(x, [(before, after), (0, 0), (0, 0)])


AXES: dict[str, tuple[tuple[int, ...], str]] = {
    "all": ((0, 1, 2), "all values together"),
    "feature": ((0, 1), "each feature"),
    "sequence": ((0, 2), "each sequence"),
    "sequence_feature": ((0,), "each feature of each sequence"),
    "step": ((2,), "each step"),
}
SCALES: dict[str, tuple[str, Callable[..., tuple[Any, Any]]]] = {
    "standard": ("to mean 0 and deviation 1", lambda x, **o: (x.mean(**o), x.std(**o))),
    "sample": (
        "to mean 0 and deviation 1 (n - 1)",
        lambda x, **o: (
            x.mean(**o),
            x.std(**o) / np.sqrt(1 - x.mean(**o).size / x.size),
        ),
    ),
    "centred": ("to mean 0", lambda x, **o: (x.mean(**o), 1)),
    "largest": (
        "divided by the largest absolute value",
        lambda x, **o: (0, np.abs(x).max(**o)),
    ),
    "minmax": ("to the range 0 to 1", lambda x, **o: (x.min(**o), np.ptp(x, **o))),
    "signed": (
        "to -1 to 1",
        lambda x, **o: (x.max(**o) - np.ptp(x, **o) / 2, np.ptp(x, **o) / 2),
    ),
    "length": ("to Euclidean length 1", lambda x, **o: (0, np.sqrt((x * x).sum(**o)))),
}
"""How inputs are normalised: words, and a function of what is subtracted and what divides."""


def _first(x: Array, axis: Sequence[int], **_: Any) -> Array:
    return x[tuple(slice(1) if n in axis else slice(None) for n in range(x.ndim))]


def _sample_std(x: Array, **o: Any) -> Any:
    return SCALES["sample"][1](x, **o)[1]


STATISTICS: dict[str, tuple[str, Callable[..., Any]]] = {
    "std": ("standard deviation", np.std),
    "sample_std": ("standard deviation (n - 1)", _sample_std),
    "variance": ("variance", np.var),
    "range": ("range", np.ptp),
    "mean": ("mean", np.mean),
    "mean_abs": ("mean absolute value", lambda x, **o: np.abs(x).mean(**o)),
    "sum": ("sum", np.sum),
    "sum_abs": ("sum of absolute values", lambda x, **o: np.abs(x).sum(**o)),
    "median": ("median", np.median),
    "first": ("first value", _first),
    "first_abs": ("absolute first value", lambda x, **o: np.abs(_first(x, **o))),
    "minimum": ("minimum", np.min),
    "maximum": ("maximum", np.max),
}
"""Words, and a function of the data."""
SUBTRACTED = ("median", "first", "minimum", "maximum")  # the mean is `centred`


def _divided(of: Callable[..., Any], x: Array, **o: Any) -> tuple[Any, Any]:
    return 0, of(x, **o)


def _less(of: Callable[..., Any], x: Array, **o: Any) -> tuple[Any, Any]:
    return of(x, **o), 1


_RATIOS: dict[str, tuple[str, Callable[..., tuple[Any, Any]]]] = {
    name: (f"divided by the {words}", partial(_divided, of))
    for name, (words, of) in STATISTICS.items()
}
_DIFFERENCES = {
    f"minus_{name}": (f"less the {words}", partial(_less, of))
    for name, (words, of) in STATISTICS.items()
    if name in SUBTRACTED
}
NORMALISED = {
    f"{name}_{axes}": (f"{over} {words}", scale, along)
    for axes, (along, over) in AXES.items()
    for name, (words, scale) in (SCALES | _RATIOS | _DIFFERENCES).items()
}
"""By the value of an edit: its words, function and axes."""
USUAL_SCALES = [f"{how}_{axes}" for axes in AXES for how in SCALES]


def normalised(x: Array, how: str) -> Any:
    """The data (T, B, K) less an offset, divided by a size, both of a row of `NORMALISED`."""
    _, scale, along = NORMALISED[how]
    with np.errstate(all="ignore"):
        offset, size = scale(x, axis=along, keepdims=True)
        return np.nan_to_num((x - offset) / size, posinf=0, neginf=0)


def _orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = tuple(range(sizes.cell.inputs))
    yield from (plain[::-1], plain[-1:] + plain[:-1], plain[1:] + plain[:1])
    if len(plain) <= MOST_PERMUTED:
        yield from permutations(plain)
    elif len(plain) <= MOST_SWAPPED:
        yield from (_put(plain, {a: b, b: a}) for a, b in combinations(plain, 2))


def _step_of_another(x: Array, at: tuple[int, int]) -> Array:
    step, other = at
    changed = x.copy()
    changed[step] = x[other]
    return changed


def _steps_beside(sizes: RunSizes) -> Iterator[tuple[int, int]]:
    for step in sizes.input_steps:
        for other in (step - 1, step + 1):
            if 0 <= other < sizes.steps:
                yield step, other


def _unused(factors: Any) -> list[int]:
    """The features that factors leave out, where they do no more than that."""
    is_of_each = isinstance(factors, tuple) and len(factors) > 1
    if not is_of_each or {*factors} != {0.0, 1.0}:
        return []
    return [n for n, factor in enumerate(factors) if factor == 0]


def _factor_words(factors: Any) -> str:
    if unused := _unused(factors):
        return f"{numbered('input', unused)} {'is' if len(unused) == 1 else 'are'} not used"
    return f"inputs times {setting_text(factors)}"


def _factor_code(factors: Any) -> str:
    if unused := _unused(factors):
        return f"x[..., {unused}] = 0"
    return f"x = x * [{setting_text(factors)}]"


def _put(plain: Sequence[int], others: Mapping[int, int]) -> tuple[int, ...]:
    """Numbers with others in the place of some."""
    return tuple(others.get(n, n) for n in plain)


# ---- states h (B, P), c (B, H), and a run: what runs steps, inputs, valid steps and states

STATES = {"": "hc", ".h": "h", ".c": "c"}  # both, or one of them, by the end of a name


def _chosen(which: str, new: States, old: States) -> States:
    """The new h, c or both, and the old ones of the others."""
    return new[0] if "h" in which else old[0], new[1] if "c" in which else old[1]


def _start(which: str, h: Array, c: Array, value: Any) -> States:
    number = 1.0 if value == "ones" else value
    return _chosen(which, (np.full_like(h, number), np.full_like(c, number)), (h, c))


def _padding_first(_: Any, x: Array, valid: Array | None, states: Any, how: str) -> Any:
    lengths = shown_lengths(x) if valid is None else valid_until(~valid)
    steps = np.arange(len(x))[:, None]
    order = (steps + lengths) % len(x)  # the step that is at each
    counts = steps < lengths if valid is None else valid
    moved = np.take_along_axis(x, order[:, :, None], axis=0)
    valid = np.take_along_axis(counts, order, axis=0) if how == "masked" else None
    return moved, valid, states


def _after_previous(
    run: Any, x: Array, valid: Array | None, states: Any, _: Any
) -> Any:
    starts = [[(h[:1], c[:1]) for h, c in states]]
    for b in range(x.shape[1] - 1):
        one = slice(b, b + 1)
        starts.append(
            run(x[:, one], None if valid is None else valid[:, one], starts[-1])
        )
    every = (zip(*of_cell, strict=True) for of_cell in zip(*starts, strict=True))
    return x, valid, [tuple(map(np.concatenate, each)) for each in every]


# ---- cells, and stored tensors: an array, the axis of its gates and units, how many gates it has

ARRAYS = (
    "kernel",
    "recurrent_kernel",
    "bias",
    "peephole",
    "projection",
    "projection_bias",
)
PARTS = {
    "block": ARRAYS[:3],
    "kernel": ARRAYS[:1],
    "recurrent": ARRAYS[1:2],
    "bias": ARRAYS[2:3],
}


def _changed(
    parts: Sequence[str], place: Callable[..., Any], change: Any, cell: Cell, value: Any
) -> Cell:
    """The cell with arrays changed at a place, by a number or to what they have at another."""
    arrays = {
        name: a.copy() for name in parts if (a := getattr(cell, name)) is not None
    }
    values = value if isinstance(value, tuple) else (value,)
    at, by = place(*(GATES.index(v) if isinstance(v, str) else v for v in values))
    for a in arrays.values():
        a[at] = change(a[at], a.dtype.type(by)) if isinstance(by, float) else a[by]
    return replace(cell, **arrays)


def _at(*place_and_number: Any) -> tuple[Any, Any]:
    return place_and_number[:-1], place_and_number[-1]


_KERNELS = {
    "recurrent": ("recurrent kernel", ARRAYS[1:2]),
    "kernel": ("kernel", ARRAYS[:1]),
    "both": ("matrix of each kernel", ARRAYS[:2]),
}


def _reshaped(cell: Cell, which: str) -> Cell:
    """The cell whose matrices, without what their file does to blocks, are read by rows."""
    order, arrays = cell.convention.storage.gates, {}
    for name in _KERNELS[which][1]:
        blocks = getattr(cell, name)
        rows = np.concatenate([blocks[GATES.index(gate)] for gate in order])
        read = rows.T.reshape(rows.shape)
        if cell.convention.storage.orientation == "rows":
            read = rows.reshape(rows.shape[::-1]).T
        parts = np.split(read, len(order))
        arrays[name] = np.stack([parts[order.index(gate)] for gate in GATES])
    return replace(cell, **arrays)  # type: ignore[arg-type]


def _with_weights(layers: Layers, others: Layers) -> Layers:
    """The layers with the weights of as many others."""

    def one(cell: Cell, other: Cell) -> Any:
        shapes = {(a.kernel.shape, a.recurrent_kernel.shape) for a in (cell, other)}
        return _fit(
            len(shapes) == 1,
            replace(other, convention=cell.convention, edits=cell.edits),
        )

    pairs = (zip(*both, strict=True) for both in zip(layers, others, strict=True))
    return tuple(tuple(one(*pair) for pair in layer) for layer in pairs)


def _layer_orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = range(len(sizes.model.layers))
    for a, b in combinations(plain, 2):
        yield from (_put(plain, others) for others in ({a: b, b: a}, {b: a}, {a: b}))


def _int8(array: Array, axis: int, gates: int, how: str) -> Array:
    per, _, with_bias = how.partition("_")
    if array.ndim < 2 and not with_bias:
        return array
    moved = np.moveaxis(array, axis, 0)
    scales = {"tensor": 1, "gate": gates, "row": len(moved)}[per]
    parts = moved.reshape(scales if len(moved) % scales == 0 else 1, -1)
    largest = np.abs(parts).max(axis=1, keepdims=True, initial=0)
    scale = np.where(largest > 0, largest, 1) / 127
    return np.moveaxis((np.round(parts / scale) * scale).reshape(moved.shape), 0, axis)


# ---- equations: parts of a step of arrays (H, R), and functions in place of tanh and sigmoid


class Near(NamedTuple):
    """A function in place of tanh, and one in place of the sigmoid."""

    words: str
    t: Function | None = None
    s: Function | None = None


def _sigmoid(x: Array) -> Array:
    s: Array = 1 / (1 + np.exp(-x))
    return s


def _by_tanh(words: str, t: Function, slope: float = 0.5) -> Near:
    return Near(words, t, lambda x: 0.5 * t(slope * x) + 0.5)


def _ratio(
    words: str, P: Sequence[float], Q: Sequence[float], limit: float = np.inf
) -> Near:
    """By x P(x^2) / Q(x^2), lowest power first, of x that is bounded."""

    def tanh(x: Array) -> Any:
        x = np.clip(x, -limit, limit)
        y = x * x
        return np.clip(x * np.polyval(P[::-1], y) / np.polyval(Q[::-1], y), -1, 1)

    return _by_tanh(words, tanh)


def _schraudolph(x: Array) -> Any:
    """Sigmoid, whose exp is by the bits of a float32, as by Schraudolph (1999)."""
    a, b = np.float32(12102203.161561485), np.float32(1064866805.0)
    bits = np.clip(-x, -80, 80).astype(np.float32) * a + b
    return 1 / (
        1 + bits.astype(np.int64).astype(np.int32).view(np.float32).astype(x.dtype)
    )


def _interpolated(x: Array, at: Array, values: Array) -> Any:
    """`numpy.interp`, which takes float64 alone, of a long double too."""
    with np.errstate(over="ignore"):
        return np.interp(x.astype(np.float64), at, values)


def _tables() -> Iterator[tuple[str, Near]]:
    """Functions by n values: the nearest, that of an index that is cut, or a line between two."""
    for n, limit in product((256, 512, 1024, 128), (8, 6, 5, 4)):
        name, words = (
            f"table_{n}_{limit}",
            f"a table of {n} values from -{limit} to {limit}",
        )
        grid, numbers = np.linspace(-limit, limit, n), np.arange(n)
        tables = np.tanh(grid), _sigmoid(grid)

        def nearest(
            table: Array, x: Array, grid: Array = grid, numbers: Array = numbers
        ) -> Any:
            places = np.round(_interpolated(x, grid, numbers))
            return _interpolated(places, numbers, table)

        def cut(x: Array, limit: int = limit, width: float = 2 * limit / n) -> Any:
            looked_up = np.tanh(np.floor((x + limit) / width) * width - limit)
            return np.where(np.abs(x) < limit, looked_up, np.sign(x))

        yield name, Near(words, *(partial(nearest, table) for table in tables))
        yield f"{name}_cut", _by_tanh(f"{words}, whose index is cut", cut)
        lines: Any = (partial(_interpolated, at=grid, values=table) for table in tables)
        yield f"{name}_linear", Near(f"{words}, interpolated", *lines)


APPROXIMATED: dict[str, Near] = {
    "softsign": _by_tanh("x / (1 + |x|)", lambda x: x / (1 + np.abs(x)), 1),
    "lambert": _ratio("Lambert's fraction x (27 + x^2) / (27 + 9 x^2)", (27, 1), (27, 9)),
    "pade_3_2": _ratio("Pade's fraction 3/2", (15, 1), (15, 6)),
    "pade_5_4": _ratio("Pade's fraction 5/4", (945, 105, 1), (945, 420, 15)),
    "pade_7_6": _ratio("Pade's fraction 7/6", (135135, 17325, 378, 1), (135135, 62370, 3150, 28)),
    "eigen": _ratio("Eigen's rational approximation",  # 3.3, MathFunctionsImpl.h
        (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
         -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16),
        (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06),
        limit=7.90531110763549805),
    "fast_exp": Near("Schraudolph's fast exp", lambda x: 2 * _schraudolph(2 * x) - 1, _schraudolph),
    **dict(_tables()),
}  # fmt: skip

ACTIVATIONS: dict[str, Near] = {
    "one": Near("1, as if there were no gate", None, np.ones_like),
    "identity": Near("z, without a sigmoid", None, lambda x: x),
    "hard": Near("the hard tanh clip(x, -1, 1)", lambda x: np.clip(x, -1, 1)),
    "twice": Near(
        "the function applied twice",
        lambda x: np.tanh(np.tanh(x)),
        lambda x: _sigmoid(_sigmoid(x)),
    ),
    "sigmoid": Near("sigmoid", _sigmoid),
    "arctan": Near("an arctangent", lambda x: (2 / np.pi) * np.arctan(np.pi / 2 * x)),
    "lecun": Near("1.7159 tanh(2/3 x)", lambda x: 1.7159 * np.tanh(2 / 3 * x)),
    "taylor": Near("x - x^3/3", lambda x: x - x * x * x / 3),
    "sine": Near("sine", np.sin),
    "negated": Near("sigmoid(-z)", None, lambda x: _sigmoid(-x)),
    "tanh": Near("tanh", None, np.tanh),
    "hard_quarter": Near(
        "clip(0.25 x + 0.5, 0, 1)", None, lambda x: np.clip(0.25 * x + 0.5, 0, 1)
    ),
    "exp": Near("exp", None, np.exp),
    **APPROXIMATED,
}
TANHS = {name: one for name, one in ACTIVATIONS.items() if one.t}
SIGMOIDS = {name: one for name, one in ACTIVATIONS.items() if one.s}


def _pure(activation: Callable[[Array, Array], Any]) -> Function:
    """An activation of `Parts` as a function that returns its result."""

    def function(x: Array) -> Array:
        activation(x, out := np.empty_like(x))
        return out

    return function


def _activations(
    change: Callable[..., Any], fields: str, parts: Any, value: Any
) -> Any:
    """Other functions in these parts; ``change`` takes the one there, t or s, and the value."""

    def changed(name: str) -> Callable[[Array, Array], None]:
        function = change(_pure(getattr(parts, name)), name[0], value)
        return lambda x, out: np.copyto(out, function(x))

    return {name: changed(name) for name in fields.split()}


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
    if h.shape != c.shape:
        raise UserError("state.passed=swapped: as many h as c are needed.")
    return c.copy(), h.copy()


PASSED: Variants = {
    "swapped": ("c, h", _swapped),
    "c_only": ("h0, c", lambda h, c, first_h, first_c, done: (first_h, c)),
    "h_only": ("h, c0", lambda h, c, first_h, first_c, done: (h, first_c.copy())),
    "tanh_of_h": ("tanh(h), c", lambda h, c, first_h, first_c, done: (np.tanh(h), c)),
    "tanh_of_c": ("h, tanh(c)", lambda h, c, first_h, first_c, done: (h, np.tanh(c))),
}


def _anew(which: str, is_at: Callable[[int, Any], bool], parts: Any, steps: Any) -> Any:
    """The initial h, c or both again at some steps."""

    def passed(h: Array, c: Array, first_h: Array, first_c: Array, done: int) -> States:
        return _chosen(which * is_at(done, steps), (first_h, first_c.copy()), (h, c))

    return {"passed": passed}


def _zoneout(which: str, parts: Any, share: float) -> Any:
    def kept(h: Array, c: Array, old_h: Array, old_c: Array) -> States:
        mixed = (1 - share) * h + share * old_h, (1 - share) * c + share * old_c
        return _chosen(which, mixed, (h, c))

    return {"kept": kept}


def _normalize(epsilon: float, z: Array, gate: int) -> None:
    z -= z.mean(axis=0, keepdims=True)
    z /= np.sqrt((z * z).mean(axis=0, keepdims=True) + z.dtype.type(epsilon))


# ---- outputs: h (s, R, P) of some steps, and the inputs (s, R, I) of the cell

APPLIED: dict[str, Function] = {
    "relu": lambda h: np.maximum(h, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(axis=-1, keepdims=True),
    "length": lambda h: h / np.sqrt((h * h).sum(axis=-1, keepdims=True)),
}


# ---- the front: indices (T, B) and the table (V, I) of which they are rows


class Rows(NamedTuple):
    """Rows of a table."""

    table: Array
    indices: Array


def _other_index(rows: Rows, by: int) -> Rows:
    """The next row or the one before: before the first is the last, behind the last itself."""
    others = np.minimum(rows.indices + by, len(rows.table) - 1)
    return rows._replace(indices=others)


def _late_index(rows: Rows, steps: int) -> Rows:
    before = np.zeros_like(rows.indices[:steps])
    indices = np.concatenate([before, rows.indices[:-steps]])
    return _fit(steps < len(rows.indices), rows._replace(indices=indices))


def _scaled(rows: Rows, factor: float | str) -> Rows:
    size = np.sqrt(rows.table.shape[1]) if factor == "sqrt" else factor
    return rows._replace(table=rows.table * rows.table.dtype.type(size))


def _with_front(*values: Any) -> Callable[[RunSizes], Sequence[Any]]:
    """The values that are tried where the model has a front."""
    return lambda sizes: () if sizes.model.front is None else values


# ---- the head: what makes y of h, and the model that it is of


def _softmax_so(head: Head, model: Model, how: str) -> Head:
    """The head with a softmax after its own, or over another axis."""
    *lower, last = head.layers
    is_softmax = last.activation in OVER_OUTPUTS
    if how == "twice":
        layers = (*head.layers, Dense(last.name, activation="softmax"))
        return _fit(is_softmax, replace(head, layers=layers))
    if not is_softmax:
        _fit(last.activation == "identity", None)
        last = replace(last, activation="softmax")
    _fit(how == BATCH or head.steps == EACH, None)
    return replace(head, layers=(*lower, replace(last, over=how)))


def _without_bias(head: Head, model: Model, _: Any) -> Head:
    has_bias = any(layer.bias is not None for layer in head.layers)
    layers = tuple(replace(layer, bias=None) for layer in head.layers)
    return _fit(has_bias, replace(head, layers=layers))


def _kernel_read_otherwise(head: Head, model: Model, _: Any) -> Head:
    """The head whose stored kernels are read by their other axis: of a square one, transposed."""
    layers, has_other = [], False
    for layer in head.layers:
        kernel = layer.kernel
        if kernel is not None and min(kernel.shape) > 1:
            has_other = True
            if layer.is_transposed:
                kernel = np.ascontiguousarray(kernel.T).reshape(kernel.shape)
            else:
                kernel = np.ascontiguousarray(kernel).reshape(kernel.shape[::-1]).T
        layers.append(replace(layer, kernel=kernel))
    return _fit(has_other, replace(head, layers=tuple(layers)))


def _head_on(head: Head, model: Model, on: str) -> Head:
    last = model.layers[-1]
    if on == "c":
        return _fit(all(one.units == one.shown for one in last), replace(head, on=on))
    return _fit(len(last) == 2, replace(head, on=on))


def _head_of_steps(head: Head, model: Model, steps: str) -> Head:
    _fit(steps != head.steps, None)
    return _fit(steps != PAST_END or head.steps == LAST, replace(head, steps=steps))


def _with_head(*values: Any) -> Callable[[RunSizes], Sequence[Any]]:
    """The values that are tried where the model has a head."""
    return lambda sizes: () if sizes.model.head is None else values


# ---- the table

HIDES: dict[str, str] = {
    "inputs": "Other inputs have the same shape, and every number of the outputs is plausible",
    "state": "A start state shows at the first step, fades, and is in no file of weights",
    "weights": "Every tensor has the shape that it should have",
    "equations": "No tensor tells how the numbers are put together",
    "outputs": "What follows the cell keeps the shape, and the cell itself is right",
    "head": "h is right, and every number of y is plausible",
    "front": "Any index of the table has a row, and all rows have one size",
}
"""Why an edit of a family does not show at once."""

_LATER = "The first step agrees, later ones do not"
_NEARLY = "Nearly all numbers differ slightly"
_LARGE = "Numbers of h that are large"
_UNITS = "Some units are off at the first step, all others from the second step on"
_FROM = {gate: _LATER if gate in [*"fc"] else _FIRST for gate in ("", *"ifgohc")}

_OF_HEAD = "h agrees, y does not"
_HEAD_STEPS = OneOf(
    last="of the last step",
    states="of both last states",
    first="of the first step",
    each="of each step",
    past_end="past the end of padded sequences",
)
_STEP_CODES = {
    "last": "y = head(out[:, -1])",
    "states": "y = head(concat(h_n[-2], h_n[-1]))",
    "first": "y = head(out[:, 0])",
    "each": "y = head(out)",
    "past_end": "y = head(out[:, -1]), where sequences are shorter",
    ANY: "y = head(out[:, n])",
}
_SOFTMAX_CODES = {
    "twice": "y = softmax(softmax(z))",
    "time": "y = softmax(z, axis=time)",
    "batch": "y = softmax(z, axis=batch)",
    ANY: "y = softmax(z, axis=n)",
}
_INPUT_CODES = {
    "c": "y = head(c)",
    "forward": "y = head(concat(forward, zeros))",
    "backward": "y = head(concat(zeros, backward))",
    "exchanged": "y = head(concat(backward, forward))",
    ANY: "y = head(another h)",
}


def _code_of(codes: Mapping[str, str]) -> Callable[[Any], str]:
    """The line of a program by the value of an edit."""
    return lambda value: codes[value]


_SOFTMAXES = OneOf(
    twice="applied twice", time="over the steps", batch="over the sequences"
)
_HEAD_INPUTS = OneOf(
    c="c, not h",
    forward="h of the forward direction alone",
    backward="h of the backward direction alone",
    exchanged="both directions exchanged",
)

_SHIFTED = "loops that start at 1, sequences cut otherwise than in training"
_STEP = "feed x[t] at step t"
_PADDED = "pad_sequences, which pads in front", 'pad_sequences(x, padding="post")'
_PREPARED = "preprocessing that is left out, or done twice", "feed x as it is"
_TRAINING = "a layer of training that stays on"
_SLIP = "equations copied with a slip"
_FAST = "C and shader code, microcontrollers, audio plugins"
_AS_STORED = "run the weights as stored"

_SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)  # of dropout, as in frameworks' examples
_STEPS = range(1, 9)  # by which inputs are late or early
_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-12, 1e-8)
_FACTORS = (1 / 255, 255.0, 1 / 256, 1 / 127.5, 0.5, 2.0, 0.1, 10.0, 0.01, 100.0, 1e-3, 1000.0,
            -1.0, 1 / 128, 1 / 32768, 32768.0)  # fmt: skip
_TIMES = {
    0.0: "left out (0)",
    -1.0: "with the other sign",
    2.0: "twice",
    0.5: "times 0.5",
}


def _names(variants: Mapping[str, tuple[Any, ...]]) -> Parser:
    """A parser of names with their words, which come first."""
    return OneOf(**{name: variant[0] for name, variant in variants.items()})


def _of_gate(part: str, gate: str) -> EditKind:
    """The row on a gate's share of the weights."""
    name, others = (
        "weights" if part == "block" else PARTS[part][0],
        [*GATES.replace(gate, "")],
    )
    factors = {"bias": (0.0, -1.0, 2.0), "block": (2.0, 0.5)}.get(part, (0.0, -1.0))
    named = {n: _TIMES[n] for n in factors} | {
        g: f"taken from gate {g}" for g in others
    }
    share, title = f"{name}[{gate}]", name.replace("_", " ")
    return EditKind(
        f"weights.{part}.{gate}", "cells",
        partial(_changed, PARTS[part], partial(_at, GATES.index(gate)), np.multiply),
        lambda v: f"{title} of gate {gate}: "
                  f"{named.get(v) or 'times ' * (v != ANY) + setting_text(v)}",
        lambda v: f"{share} = {name}[{v}]" if v in others else
                  f"{share} {'*' * bool(v)}= {setting_text(v)}",
        "code that repeats a line per gate", f"keep {share}",
        read=Parser("n", f"a factor, or another gate: {', '.join(others)}", named),
        shows=f"Gate {gate} is off at every step",
    )  # fmt: skip


_PLACES: tuple[tuple[Any, ...], ...] = (
    ("number damaged", "K[{0}, {1}, {2}] = {3}", _at, lambda old, new: new, _UNITS,
     Parser("guun", "a gate, unit, column and value, such as f,3,5,0.25"), ()),
    ("row damaged", "K[{0}, {1}] *= {2}", _at, np.multiply, _UNITS,
     Parser("gun", "a gate, unit and factor, such as f,3,0"),
     lambda units, columns: product(GATES, range(units), (0.0,))),
    ("column damaged", "K[..., {0}] *= {1}", partial(_at, ...), np.multiply, _FIRST,
     Parser("un", "a column and a factor, such as 5,0"),
     lambda units, columns: product(range(columns), (0.0,))),
    ("columns exchanged", "K[..., [{0}, {1}]] = K[..., [{1}, {0}]]",
     lambda m, n: ((..., [m, n]), (..., [n, m])), None, _FIRST,
     Parser("uu", "two columns, such as 2,7"),
     lambda units, columns: combinations(range(columns * (columns <= MOST_EXCHANGED)), 2)),
    ("number damaged", "K[{0}, {1}] = {2}", _at, lambda old, new: new, _UNITS,
     Parser("gun", "a gate, unit and value, such as f,3,0.25"), ()),
)  # fmt: skip
"""Damage: its words, code, place and change, what shows it, its values; the last of the bias."""


_WITH_BIAS = ("tensor_with_bias", "gate_with_bias")


def _rounded(
    name: str,
    function: Any,
    words: str,
    code: str,
    used_by: str,
    mend: str,
    read: Parser,
    read_summed: Parser,
    **row: Any,
) -> Iterator[EditKind]:
    """The rows on rounded tensors: each bias as it is stored, and the sum of both."""
    yield EditKind(
        name,
        "tensors",
        function,
        words,
        code,
        used_by,
        mend,
        read=read,
        shows=_NEARLY,
        **row,
    )
    yield EditKind(
        f"{name}.summed", "tensors", function, f"{words}, both biases added first",
        f"b = b_ih + b_hh; {code}", used_by, mend, read=read_summed, shows=_NEARLY,
        of_summed=True, lacks="the cell has one stored bias; leave .summed out", **row,
    )  # fmt: skip


def _of_place(part: str, words: str, code: str, *row: Any) -> EditKind:
    """The row on a number, row or column of a part."""
    place, change, shows, read, values = row
    form, how = words.split()
    name, is_late = PARTS[part][0], part == "recurrent" and shows == _FIRST
    return EditKind(
        f"weights.{part}.{form}", "cells", partial(_changed, [name], place, change),
        f"{form} of the {name.replace('_', ' ')} {how}: {{}}", code.replace("K", name),
        "an index that is off by one, a file cut or edited by hand",
        f"compare {name} with the original", read=read, shows=_LATER if is_late else shows,
        values=values and (lambda sizes: values(*getattr(sizes.cell, name).shape[1:])),
    )  # fmt: skip


EDITS: dict[str, EditKind] = {kind.name: kind for kind in (
    # ---- inputs
    EditKind("inputs.late", "inputs", lambda x, n: _fit(n < len(x), _padded(x, n)[: len(x)]),
        "inputs {} steps late, zeros first", "x = concat(zeros({}), x[:-{}])", _SHIFTED, _STEP,
        read=COUNT, values=_STEPS, of_sequence=True),
    EditKind("inputs.early", "inputs", lambda x, n: _fit(n < len(x), _padded(x[n:], 0, n)),
        "inputs {} steps early, zeros last", "x = concat(x[{}:], zeros({}))", _SHIFTED, _STEP,
        read=COUNT, values=_STEPS, of_sequence=True),
    EditKind("inputs.rolled", "inputs", lambda x, n: np.roll(x, n, axis=0),
        "inputs rolled by {} steps", "x = np.roll(x, {}, axis=time)", _SHIFTED, _STEP,
        read=Parser("d", "steps, such as -1"), values=(1, -1, 2, -2, 3, -3), of_sequence=True),
    EditKind("inputs.skipped", "inputs", lambda x, n: _fit(n < len(x), x[n:]),
        "first {} steps left out", "x = x[{}:]", _SHIFTED, "run all steps", read=COUNT,
        shows="The outputs are those of later steps", values=(1, 2, 3), of_sequence=True),
    EditKind("inputs.padded", "inputs", _padded, "{} steps of zeros in front",
        "x = concat(zeros({}), x)", *_PADDED, read=COUNT, values=(1, 2, 3, 4), of_sequence=True),
    EditKind("inputs.padding_first", "run", _padding_first,
        "padding at the end moved to the front, {}", 'pad_sequences(x, padding="pre")', *_PADDED,
        read=OneOf(true="run over", masked="masked"), of_sequence=True),
    EditKind("inputs.features", "inputs", lambda x, order: _fit(
            sorted(order) == [*range(x.shape[2])], x[..., [*order]]), "features in the order {}",
        "x = x[..., [{}]]", "columns of another table, RGB and BGR", "keep the order of training",
        read=Parser("u+", "each feature, such as 1,0,2"), values=_orders),
    EditKind("inputs.dropout_scale", "inputs", lambda x, share: x / (1 - share),
        "inputs over 1 - p, as by dropout, p = {}", "x = x / (1 - {})", _TRAINING,
        "leave the scale out", read=_SHARE, values=_SHARES),
    EditKind("inputs.factor", "inputs", lambda x, a: x * np.broadcast_to(a, x.shape[2:]),
        _factor_words, _factor_code, *_PREPARED, read=_SCALES, values=_FACTORS, solved=1.0),
    EditKind("inputs.offset", "inputs", lambda x, a: x + np.broadcast_to(a, x.shape[2:]),
        "{} added to the inputs", "x = x + [{}]", *_PREPARED, read=_SCALES,
        values=(0.5, -0.5, 1.0, -1.0), solved=0.0),
    EditKind("inputs.normalised", "inputs", normalised, "inputs normalised: {}",
        'x = normalise(x, "{}")', *_PREPARED, read=_names(NORMALISED), of_sequence=True,
        values=USUAL_SCALES),
    EditKind("inputs.step", "inputs",
        _step_of_another, "inputs of one step taken from another: {}",
        "x[{0}] = x[{1}]", "a token read twice", _STEP,
        read=Parser("uu", "a step and the one it takes, such as 5,4"),
        shows="The steps before that one agree", of_sequence=True, values=_steps_beside),
    # ---- state
    *(EditKind(f"state.start{end}", "state", partial(_start, which),
        f"initial {' and '.join(which)} of {{}}", f"{line} = {{}}", "a buffer not cleared",
        f"{line} = 0", read=Parser("n", "a number, or ones", ["ones"]),
        values=("ones", 0.1, 0.5, -1.0, 0.01), solved=0.0)
      for end, which in STATES.items() for line in [" = ".join(f"{one}0[:]" for one in which)]),
    EditKind("state.zero_steps", "run",
        lambda run, x, valid, states, n: (x, valid, run(_padded(x[:0], n), None, states)),
        "{} steps of zeros run first", "for _ in range({}): h, c = cell(zeros, h, c)",
        "audio code that warms up", "reset h and c before the first step", read=COUNT,
        values=(1, 2, 3, 4, 5, 8, 10), of_sequence=True),
    EditKind("state.previous", "run", _after_previous,
        "each sequence starts from the end of the one before", "h0[b], c0[b] = h, c of b - 1",
        "loops that reset the state once", "reset h and c for each sequence",
        shows="The first sequence agrees, later ones do not", of_sequence=True),
    EditKind("state.kept", "run",
        lambda run, x, valid, states, _: (x, valid, run(x, valid, states)),
        "the state that a run over the same inputs ended in, kept", "h0, c0 = h, c of the last run",
        "stateful=True, a state used twice", "reset h and c before each run", of_sequence=True),
    EditKind("state.array", "state", lambda h, c, given: [
            np.broadcast_to(given[k], a.shape).astype(a.dtype) for k, a in (("h", h), ("c", c))],
        "another initial state, of {}", 'h0, c0 = load("{}")',
        "a state of training that is carried on", "h0[:] = c0[:] = 0", read=Arrays("h", "c")),
    EditKind("state.passed", "equations", lambda parts, name: {"passed": PASSED[name][1]},
        "what is passed on to the next step: {}", "h, c = {}", "code that swaps or forgets h, c",
        "h, c = cell(x[t], h, c)", read=_names(PASSED), shows=_LATER),
    *(EditKind(f"state.{name}{end}", "equations", partial(_anew, which, is_at),
        words.replace("state", end[1:] or "state"),
        f"if {when}: {', '.join(which)} = {'0, '.join(which)}0",
        "streams that pass no state on", "pass h and c on to the next call", read=read, shows=shows)
      for name, words, when, is_at, read, shows in (
        ("chunks", "run in chunks of {} steps, each from the initial state", "t % {} == 0",
         lambda t, size: t % size == 0, COUNT, "The first chunk agrees, later ones do not"),
        ("anew", "the initial state again at step {}", "t in ({})", lambda t, those: t in those,
         Parser("u+", "steps, such as 3,8"), "The steps before the first of them agree"))
      for end, which in STATES.items()),
    # ---- weights
    *(_of_gate(part, gate) for part in PARTS for gate in GATES),
    *(_of_place(part, *row) for part in ("kernel", "recurrent") for row in _PLACES[:-1]),
    _of_place("bias", *_PLACES[-1]),
    *(EditKind(f"weights.{part}factor", "cells",
        partial(_changed, arrays, partial(_at, ...), np.multiply),
        f"{name.replace('_', ' ')} times {{}}", f"{name} *= {{}}",
        "weights scaled for a fixed-point format, or by dropout", "divide by the factor",
        read=_NUMBER, shows=_LATER if more else _FIRST, values=(0.5, 2.0, 0.1, *more),
        solved=1.0, same=same)
      for part, arrays, name, more, same in (
        ("", ARRAYS, "weights", (), {}), ("kernel.", ARRAYS[:1], "kernel", (), {}),
        ("recurrent.", ARRAYS[1:2], "recurrent_kernel", [1 - p for p in _SHARES], {}),
        ("bias.", ARRAYS[2:3], "bias", (), {2.0: ("bias", "twice")}))),
    *(EditKind(f"weights.added.{gate}", "cells",
        partial(_changed, PARTS["bias"], partial(_at, GATES.index(gate)), np.add),
        f"{{}} added to gate {gate} before its activation", f"z[{gate}] += {{}}",
        "a forget bias in the wrong gate order", f"z[{gate}] as it is", read=_NUMBER,
        shows=f"Gate {gate} is off at every step", values=(1.0, -1.0, 0.5, 2.0), solved=0.0)
      for gate in "igo"),
    EditKind("weights.exchanged", "cells", lambda cell, _: _fit(cell.inputs == cell.outputs,
            replace(cell, kernel=cell.recurrent_kernel, recurrent_kernel=cell.kernel)),
        "kernel and recurrent kernel exchanged", "K, R = R, K",
        "code that reads the tensors by their order", "K, R = kernel, recurrent_kernel"),
    EditKind("weights.reshaped", "cells", _reshaped, "the plain {} reshaped, not transposed",
        "w = w.reshape(w.shape[::-1])", "code that calls reshape on an unpacked matrix", "w = w.T",
        read=_names(_KERNELS), values=lambda sizes: (
            _KERNELS if sizes.cell.convention.storage.transposed != "none" else ())),
    EditKind("weights.layers", "network",
        lambda layers, order: _with_weights(layers, [layers[n] for n in order]),
        "layers use the weights of layers {}", "weights = [weights[n] for n in ({})]",
        "names sorted as text, an index that is not counted up", "layer n uses n",
        read=Parser("u+", "layers, such as 1,0"), shows="The first layer may agree",
        values=_layer_orders),
    EditKind("weights.directions", "network",
        lambda layers, used: _with_weights(layers, [[la[used == "backward"]] * 2 for la in layers]),
        "both directions use the weights of the {} one", "backward = forward = {}",
        "a suffix that is left out", "each direction uses the weights of that direction",
        read=OneOf("forward", "backward"), shows="One direction agrees, the other does not"),
    EditKind("weights.projection", "cells", lambda cell, how: _fit(
            cell.projection is not None and cell.units == cell.outputs,
            replace(cell, projection=None if how == "none" else np.transpose(cell.projection))),
        "projection {}", "P: {}", "code that multiplies by P, not its transpose", "h = P h",
        read=OneOf("transposed", "none"),
        lacks="the cell has no projection from its units to as many values"),
    *_rounded("weights.int8", _int8, "stored tensors rounded to 8 bits, a scale per {}",
        "w = np.round(w / scale) * scale, scale = abs(w).max() / 127 per {}", "quantised models",
        _AS_STORED, OneOf("tensor", "gate", "row", *_WITH_BIAS), OneOf(*_WITH_BIAS)),
    *_rounded("weights.fixed", lambda w, axis, gates, n: np.round(w * 2**n) / 2**n,
        "stored tensors in fixed point, with {} bits after the point",
        "w = np.round(w * 2**{}) / 2**{}", "microcontrollers, FPGAs", _AS_STORED, COUNT, COUNT,
        values=(12, 8, 10, 15, 14, 13, 11, 7, 6, 9)),
    *_rounded("weights.decimals", lambda w, axis, gates, n: np.round(w, n),
        "stored tensors rounded to {} decimals", "w = np.round(w, {})", "pasted weights",
        "save every digit: %.9g", COUNT, COUNT, values=(4, 3, 5, 2, 1, 6)),
    # ---- equations
    EditKind("equations.h", "equations",
        lambda parts, name: {"output": lambda o, new, c, t: H_OF[name][1](o, new, c, _pure(t))},
        "h is {}, not o tanh(c)", "h = {}", _SLIP, "h = o * tanh(c_new)", read=_names(H_OF)),
    EditKind("equations.c", "equations", lambda parts, name: {"update": C_OF[name][1]},
        "c is updated by {}", "c = {}", _SLIP, "c = f * c + i * g", read=_names(C_OF),
        same={"gates_exchanged": ("gates", lambda o: o.translate(str.maketrans("if", "fi")))}),
    *(EditKind(f"equations.after.{gate}", "equations",
        partial(_activations, lambda old, kind, a: lambda x: old(x) + a, field),
        f"{{}} added to gate {gate} after its {name}", f"{gate} = {name}(z_{gate}) + {{}}",
        "a forget bias that is added too late", f"{gate} = {name}(z_{gate})", read=_NUMBER,
        shows=_FROM[gate], values=(1.0, -1.0), solved=0.0)
      for gate in "ifog"
      for field, name in [("t", "tanh") if gate == "g" else (f"s_{gate}", "sigmoid")]),
    *(EditKind(f"equations.{name}", "equations",
        partial(_activations, lambda old, kind, name: getattr(ACTIVATIONS[name], kind), fields),
        words, code, used_by, mend, read=_names(names), shows=shows, values=[*names][:most],
        same={value: (setting, value) for value in same})
      for name, fields, words, code, used_by, mend, shows, names, most, setting, same in (
        *((f"sigmoid.{gate}", f"s_{gate}", f"activation of gate {gate}: {{}}", f"{gate} = {{}}",
           _SLIP, f"{gate} = sigmoid(z_{gate})", _FROM[gate], SIGMOIDS, 8, "", ())
          for gate in "ifo"),
        ("approximated", "s_i s_f s_o t t_c", "tanh and sigmoid approximated by {}",
         "tanh, sigmoid = {}", _FAST, "use tanh", _NEARLY, APPROXIMATED, None, "", ()),
        ("tanh", "t t_c", "tanh of g and of c: {}", "tanh = {}", _FAST, "use tanh", _NEARLY,
         TANHS, None, "activation", ["sigmoid"]),
        ("sigmoid", "s_i s_f s_o", "sigmoid of all gates: {}", "sigmoid = {}", _FAST,
         "use 1 / (1 + exp(-x))", _NEARLY, SIGMOIDS, None, "recurrent_activation",
         ["tanh", "identity"]),
        ("tanh.g", "t", "tanh of the candidate: {}", "g = {}", _FAST, "g = tanh(z_g)", _FIRST,
         TANHS, 16, "activation", ["sigmoid"]),
        ("tanh.c", "t_c", "tanh of the output: {}", "h = o * {}", _FAST, "h = o * tanh(c)",
         "c agrees, h does not", TANHS, 16, "output_activation", ["sigmoid"]))),
    *(EditKind(f"equations.{name}_slope", "equations",
        partial(_activations, lambda old, kind, a: lambda x: old(a * x), fields),
        f"{name}(a z) {where}, a = {{}}", f"{name}({{}} * z)", used_by, f"{name}(z)",
        read=_NUMBER, values=(0.5, 2.0, *values), solved=1.0)
      for name, where, fields, values, used_by in (
        ("sigmoid", "in all gates", "s_i s_f s_o", (1.702, 0.2, 1.5),
         "a sigmoid by tanh without its factor; 2^-x for e^-x, a = ln 2 = 0.69315"),
        ("tanh", "of g and c", "t t_c", [2 / 3], "LeCun's tanh in part"))),
    EditKind("equations.layer_norm", "equations",
        lambda parts, epsilon: {"normalize": partial(_normalize, epsilon)},
        "layer normalisation of each gate, epsilon {}, none stored",
        "z = (z - z.mean()) / sqrt(z.var() + {})", "a cell with layer normalisation", "use z",
        read=_POSITIVE, values=_EPSILONS[:4]),
    EditKind("equations.epsilon", "cells", lambda cell, epsilon: _fit(
            cell.norm_scale is not None or cell.state_scale is not None,
            replace(cell, convention=cell.convention.with_behaviour(norm_epsilon=epsilon))),
        "layer normalisation with epsilon {}", "sqrt(variance + {})",
        "frameworks differ: 1e-5 of PyTorch, 1e-3 of Keras, 1e-12 of TF1",
        "take the epsilon of training", read=_POSITIVE, shows=_NEARLY, values=_EPSILONS,
        lacks="the cell has no layer normalisation; equations.layer_norm adds one"),
    *(EditKind(f"equations.zoneout{end}", "equations", partial(_zoneout, which),
        f"a share {{}} of the old {' and '.join(which)} kept, as by zoneout",
        f"{of} = (1 - {{}}) * {of}_new + {{}} * {of}", _TRAINING, f"{of} = {of}_new",
        read=_SHARE, shows=_FROM[end[1:]], values=(0.1, 0.05, 0.2, 0.5), solved=0.0)
      for end, which in STATES.items() for of in [end[1:] or "state"]),
    EditKind("equations.h_clip", "equations",
        lambda parts, bound: {"clip_h": lambda h: np.clip(h, -bound, bound, h)},
        "h bounded to +-{} in the cell", "h = clip(h, -{}, {})", "fixed-point code", "use h",
        read=_POSITIVE, shows=_LARGE, values=(1.0, 0.5, 0.2, 0.1, 0.8), solved=1.0, bound=True),
    # ---- outputs
    EditKind("outputs.residual", "outputs",
        lambda h, x, _: _fit(h.shape == x.shape, h + x.astype(h.dtype)),
        "inputs of the layer added to h", "h = h + x", "residual layers of a stack",
        "take h before x is added", shows="h is off by x at every step"),
    EditKind("outputs.z", "outputs", lambda z, x, _: z, "pre-activations z in place of h",
        "return z", "code that returns too early", "return h", takes="z",
        width=lambda units, _: 4 * units),
    EditKind("outputs.applied", "outputs", lambda h, x, name: APPLIED[name](h), "{} applied to h",
        "h = {}(h)", "a layer after the LSTM", "take h before that layer", read=OneOf(*APPLIED)),
    EditKind("outputs.factor", "outputs", lambda h, x, a: h * h.dtype.type(a), "h times {}",
        "h = {} * h", "a scale for display or audio", "divide by it", read=_NUMBER,
        shows="h is a multiple at every step", values=(0.5, 2.0, -1.0, 255.0, 100.0), solved=1.0),
    EditKind("outputs.normalised", "outputs", lambda h, x, how: normalised(h, how),
        "h normalised: {}", 'h = normalise(h, "{}")', "a normalisation after the LSTM",
        "take h before it", read=_names(NORMALISED), of_sequence=True, values=(),
        shows="h is off at every step"),
    EditKind("outputs.clip", "outputs", lambda h, x, a: np.clip(h, -a, a),
        "h bounded to +-{} after the cell", "out = clip(h, -{}, {})", "audio code",
        "take h before it", read=_POSITIVE, shows=_LARGE, values=(1.0, 0.5, 0.2, 0.1), solved=1.0,
        bound=True),
    EditKind("outputs.mask", "outputs", lambda h, x, given: h * np.broadcast_to(
            given["mask"][: len(h)].astype(h.dtype), h.shape), "dropout of h, by the factors in {}",
        'h = h * load("{}")["mask"]', _TRAINING, "model.eval()", read=Arrays("mask"),
        shows="Some numbers are 0, all others a multiple", of_sequence=True),
    EditKind("outputs.dense", "outputs", lambda h, x, given: (
            np.einsum("srh,hn->srn", h, given["weights"]) + given["bias"]).astype(h.dtype),
        "a dense layer after h, of {}", 'out = h @ load("{}")["weights"] + bias',
        "a dense layer of the model", "take h before that layer", read=Arrays("weights", "bias"),
        width=lambda units, arrays: arrays["weights"].shape[-1]),
    EditKind("outputs.pooled", "head", _head_of_steps, "the head takes the {} of h over the steps",
        "y = head(out.{}(axis=time))", "GlobalAveragePooling1D, h.mean(1), h.max(1)",
        "y = head(h), of the steps that the model takes", read=OneOf(MEAN, MAX), shows=_OF_HEAD,
        values=_with_head(MEAN, MAX)),
    # ---- head
    EditKind("head.step", "head", _head_of_steps, "the head takes h {}", _code_of(_STEP_CODES),
        "out[:, -1] and h_n, which differ for two directions and for padded sequences",
        "y = head(h), of the steps that the model takes", read=_HEAD_STEPS, shows=_OF_HEAD,
        values=_with_head(LAST, LAST_STATES, FIRST, EACH, PAST_END)),
    EditKind("head.softmax", "head", _softmax_so, "softmax {}", _code_of(_SOFTMAX_CODES),
        "softmax before a loss that has one, softmax with the wrong axis",
        "y = softmax(z, axis=-1), once", read=_SOFTMAXES, shows=_OF_HEAD, of_sequence=True,
        values=_with_head("twice", TIME, BATCH)),
    EditKind("head.bias", "head", _without_bias, "the head without its bias", "y = h @ kernel",
        "code that reads one tensor of two", "y = h @ kernel + bias", read=OneOf("none"),
        shows=_OF_HEAD, values=_with_head("none")),
    EditKind("head.kernel", "head", _kernel_read_otherwise,
        "the kernel of the head read by its other axis", "y = h @ kernel.reshape(n, m).T + bias",
        "PyTorch stores it (outputs, inputs), Keras (inputs, outputs)", "y = h @ kernel + bias",
        read=OneOf("transposed"), shows=_OF_HEAD, values=_with_head("transposed")),
    EditKind("head.on", "head", _head_on, "the head takes {}", _code_of(_INPUT_CODES),
        "code that takes h_n and c_n, or their parts, by position", "y = head(h)",
        read=_HEAD_INPUTS, shows=_OF_HEAD,
        values=_with_head("c", "exchanged", "forward", "backward")),
    # ---- front
    EditKind("front.index", "front", _other_index, "indices shifted by {}", "x = table[ids + {}]",
        "vocabularies with or without a row for padding or unknown words", "x = table[ids]",
        read=Parser("d", "an integer, such as 1 or -1"), values=_with_front(1, -1)),
    EditKind("front.late", "front", _late_index, "indices {} steps late, index 0 first",
        "ids = concat(zeros({}), ids[:-{}])", "decoders that start with a token",
        "feed ids[t] at step t", read=COUNT, values=_with_front(1), of_sequence=True),
    EditKind("front.scale", "front", _scaled, "rows of the front times {}", "x = table[ids] * {}",
        "embeddings as of transformers, times the root of their size", "x = table[ids]",
        read=Parser("n", "a number, or sqrt: the root of the size", ["sqrt"]),
        values=_with_front("sqrt", 0.5, 2.0), solved=1.0),
)}  # fmt: skip
"""By name, in the order in which they are tried: inputs before state, weights and equations."""
