"""One side of a comparison: arrays of a run by name, and what their file specifies.

Of a long axis NumPy, PyTorch and TensorFlow print the first and last items and ``...`` between
them. The printed output may have its length; otherwise the other array has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import prod
from typing import Any

import numpy as np

from lstmcli.core.diff.tolerance import (
    FLOAT32,
    FLOAT64,
    PRECISIONS,
    Mask,
    Numbers,
    Precision,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import (
    as_time_major,
    format_lengths,
    from_time_major,
    join_with_and,
)
from lstmcli.core.model.part import WHOLE, Indices, Part
from lstmcli.core.model.surroundings import FINAL_Y, Y
from lstmcli.errors import UserError

SEQUENCE, FINAL, WEIGHTS = "sequence", "final", "weights"

# The order of a step: pre-activations, gates, c, h. With peepholes o comes after c, but as a
# place to look at, a gate comes before what is made of it. The head makes y of h.
STEP_ORDER = ("z", "i", "f", "g", "o", "c", "h", Y)
FINALS = ("final_c", "final_h", FINAL_Y)
OF_HEAD = (Y, FINAL_Y)


@dataclass(frozen=True)
class ArrayName:
    """``layer0_reverse.f`` in its parts."""

    prefix: str  # "layer0_reverse", or ""
    base: str  # "f"

    @classmethod
    def of(cls, name: str) -> ArrayName:
        """The parts of a name; weights keep all of it in ``base``."""
        prefix, _, base = name.rpartition(".")
        return cls(prefix, base) if base in STEP_ORDER + FINALS else cls("", name)

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        if self.base in STEP_ORDER:
            return SEQUENCE
        return FINAL if self.base in FINALS else WEIGHTS

    @property
    def backward(self) -> bool:
        """Return whether the last step was computed first."""
        return self.prefix.endswith("_reverse")

    @property
    def layer(self) -> tuple[int, str]:
        """Sorts layer 2 before layer 10, forward before backward."""
        return len(self.prefix.removesuffix("_reverse")), self.prefix


# results of PyTorch, ONNX and a saved (output, (h_n, c_n))
FRAMEWORK_NAMES = {
    "output": "h", "out": "h", "hn": "final_h", "h_n": "final_h", "cn": "final_c", "c_n": "final_c",
    "Y": "h", "Y_h": "final_h", "Y_c": "final_c", "0": "h", "1.0": "final_h", "1.1": "final_c",
}  # fmt: skip

# as programs call y
OUTPUT_NAMES = {
    "logits", "probs", "probabilities", "predictions", "y_pred", "output_0",
}  # fmt: skip

# parts of names of weights
WEIGHT = re.compile(
    r"kernel|weight|bias|matrix|(^|[._/])[wurbkp](_|\.|$)", re.IGNORECASE
)

UNNAMED = ""  # the name that readers give an array without one; here it is `h`

Gaps = tuple[int | None, ...]  # of each axis: items printed ahead of ``...``; None: all


@dataclass(frozen=True, eq=False)
class Side:
    """Named arrays, and what their file specifies of them."""

    name: str  # how messages call it
    arrays: Mapping[str, Array]  # a single one may be called ""
    layout: str | None = (
        None  # "steps" (T, H), "time" (T, B, H), "batch" (B, T, H), if known
    )
    units: Mapping[str, Array] = field(default_factory=dict)  # last printed places
    dtypes: Mapping[str, np.dtype[Any] | Precision] = field(
        default_factory=dict
    )  # if not the arrays'
    settings: Mapping[str, Any] | None = None  # a trace's ``meta``
    gaps: Mapping[str, Gaps] = field(
        default_factory=dict
    )  # of prints without their shape
    part: Part = WHOLE  # in the full run
    original_names: Mapping[str, str] = field(default_factory=dict)  # in the file
    not_asked_for: tuple[str, ...] = ()  # other arrays of its file
    in_memory: bool = False  # its name is that of an argument

    @property
    def cells(self) -> set[str]:
        """The cells in its file, ``layer0_reverse``; "" for arrays of none."""
        return {
            ArrayName.of(name).prefix for name in (*self.arrays, *self.not_asked_for)
        }

    @property
    def renaming(self) -> str:
        """``output of a.npz is interpreted as h``; empty where names are equal."""
        if not self.original_names:
            return ""
        verb = "is" if len(self.original_names) == 1 else "are"
        theirs = join_with_and([*self.original_names.values()])
        here = join_with_and([*self.original_names])
        return f"{theirs} of {self.name} {verb} interpreted as {here}".removeprefix(
            " of "
        )

    def indices(self, name: str, axis: int, size: int) -> Indices | None:
        """Which steps, batch items or units of the run it has, if known."""
        of_axis = (self.part.steps, self.part.batch, self.part.columns.get(name))[axis]
        return of_axis if of_axis is not None and 0 < len(of_axis) == size else None

    def numbers(self, name: str) -> Numbers:
        """One array with its printed units; bools and integers as float64."""
        array = np.atleast_1d(self.arrays[name])
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            text = f"{name or 'the array'} is {array.dtype}, not numbers to compare"
            raise UserError(f"{self.name}: {text}.")
        if not array.size:
            in_file = self.original_names.get(name, name) or "the array"
            raise UserError(
                f"{self.name} is empty: {in_file} is {array.shape}, without numbers."
            )
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
        return Numbers(array, self.units.get(name))

    def with_numbers(self, numbers: Mapping[str, Numbers]) -> Side:
        """The side with arrays of which numbers were left out in full shape."""
        arrays = {name: full.values for name, full in numbers.items()}
        units = {name: np.asarray(full.unit) for name, full in numbers.items()}
        gaps = {
            name: before for name, before in self.gaps.items() if name not in numbers
        }
        exact = {
            name: self.arrays[name].dtype for name in numbers if name not in self.units
        }
        return replace(
            self,
            arrays={**self.arrays, **arrays},
            units={**self.units, **units},
            dtypes={**exact, **self.dtypes},
            gaps=gaps,
        )

    def precision(self, name: str) -> Precision:
        """The precision in which an array counts; of printed output float32."""
        dtype = self.dtypes.get(name, self.arrays[name].dtype)
        is_printed = name in self.units and name not in self.dtypes
        return FLOAT32 if is_printed else PRECISIONS.get(dtype.name, FLOAT64)


def put_at(numbers: Numbers, index: tuple[Any, ...], shape: tuple[int, ...]) -> Numbers:
    """Numbers at an index of a full array; the others are left out."""
    values, unit = np.full(shape, np.nan), np.full(shape, np.inf)
    values[index] = numbers.values
    unit[index] = 0.0 if numbers.unit is None else numbers.unit
    return Numbers(values, unit)


def spread(numbers: Numbers, before: Gaps, shape: tuple[int, ...]) -> Numbers:
    """Packed numbers at their places in a full array; the others are left out."""
    at = [
        np.arange(m) if ahead is None else np.r_[:ahead, m - (n - ahead) : m]
        for n, ahead, m in zip(numbers.shape, before, shape, strict=True)
    ]
    return put_at(numbers, np.ix_(*at), shape)


def printed_shapes(
    before: Gaps, packed: tuple[int, ...], lengths: Iterable[int]
) -> list[tuple[int, ...]]:
    """The full shapes that printed output may have: of these lengths and 1."""
    return [
        shape
        for shape in dict.fromkeys(permutations((*lengths, 1, 1), len(packed)))
        if all(
            n == m if ahead is None else n < m
            for n, ahead, m in zip(packed, before, shape, strict=True)
        )
    ]


def shape_text(before: Gaps, packed: tuple[int, ...]) -> str:
    """Return what printed output shows of the full shape: ``(4, more than 6, 8)``."""
    parts = [
        f"{n}" if ahead is None else f"more than {n}"
        for n, ahead in zip(packed, before, strict=True)
    ]
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def with_all_steps(
    side: Side, shapes: Mapping[str, tuple[int, ...]], layout: str
) -> Side:
    """A side with some steps of a run, by their indices, as one with all.

    The others count as left out. ``shapes`` are the run's: (T, K), (B, T, K) or (T, B, K).
    """
    axes = side.layout if side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    for name in side.arrays:
        of_run = shapes.get(name or "h")
        if (
            of_run is None
            or name in side.gaps
            or ArrayName.of(name or "h").kind != SEQUENCE
        ):
            continue
        shape = as_time_major(np.broadcast_to(0.0, of_run), layout).shape  # (T, B, K)
        part = sequence(side.numbers(name), axes)
        steps = None if part is None else side.indices(name, 0, len(part.values))
        if (
            part is None
            or steps is None
            or steps[-1] >= shape[0]
            or part.shape[1:] != shape[1:]
        ):
            raise UserError(
                f"{side.name}: {name or 'the array'} contains {side.part.description}; "
                f"this run is {shape} as (steps, batch, units)."
            )
        found[name] = put_at(part, (np.asarray(steps),), shape).moved(
            lambda array: from_time_major(array, axes)
        )
    return replace(side.with_numbers(found), layout=axes, part=WHOLE)


def joined(side: Numbers, axis: int) -> Numbers:
    """Directions on a separate axis, side by side: (T, 2, B, H) becomes (T, B, 2 H)."""
    lead = [n for at, n in enumerate(side.shape[:-1]) if at != axis]
    return side.moved(lambda v: np.moveaxis(v, axis, -2).reshape(*lead, -1))


def layout_by_shape(*sides: Numbers) -> str:
    """The layout of silent sides: time first, unless that is 1 on all of them."""
    firsts = [side.shape[0] for side in sides if len(side.shape) == 3]
    return "batch" if firsts and all(n == 1 for n in firsts) else "time"


def sequence(array: Numbers, layout: str | None) -> Numbers | None:
    """An array as (T, B, H) by its layout, or as it lies; None of more axes."""
    layout = layout or layout_by_shape(array)
    spare = [axis for axis, n in enumerate(array.shape[:-1]) if n == 1]
    array = array.moved(lambda v: v.squeeze(tuple(spare[: max(v.ndim - 3, 0)])))
    if len(array.shape) > 3:
        return None
    if len(array.shape) < 3:  # (H,) is one step, (T, H) one sequence
        return array.moved(lambda v: v.reshape(prod(v.shape[:-1]), 1, v.shape[-1]))
    is_batch = layout == "batch" or (layout == "steps" and array.shape[0] == 1)
    return array.moved(lambda v: v.swapaxes(0, 1)) if is_batch else array


def named_alike(a: Side, b: Side) -> tuple[Side, Side, list[str]]:
    """Both sides, an array without a name called h, and the names that they share.

    A single array on each side is called alike, whatever its name.
    """
    b = with_output_name(b, a)
    a = with_output_name(a, b)
    one, other = (
        side if "h" in side.arrays else renamed(side, {UNNAMED: "h"}) for side in (a, b)
    )
    if len(a.arrays) == len(b.arrays) == 1:
        name = _name_of_both(*a.arrays, *b.arrays)
        one, other = (
            renamed(side, dict.fromkeys(side.arrays, name)) for side in (a, b)
        )
    common = [name for name in one.arrays if name in other.arrays]
    if not common:
        has = [
            ", ".join(name or "h (unnamed)" for name in side.arrays) for side in (a, b)
        ]
        texts = f"{a.name} has {has[0] or 'no arrays'}; {b.name} has {has[1] or 'no arrays'}"
        how = "" if a.in_memory or b.in_memory else ", as FILE:NAME"
        raise UserError(f"no common array: {texts}. Select one on each side{how}.")
    return _filled(one, other, common), _filled(other, one, common), common


def names_of(a: Side, b: Side) -> tuple[str, str]:
    """Return what messages call two sides."""
    return (a.name, b.name) if a.name != b.name else ("a", "b")


def _filled(side: Side, other: Side, names: Iterable[str]) -> Side:
    """A side whose abbreviated outputs have axes of the other's arrays."""
    found: dict[str, Numbers] = {}
    for name in (name for name in names if name in side.gaps):
        before, packed, full = (
            side.gaps[name],
            side.numbers(name),
            other.arrays[name].shape,
        )
        fitting = printed_shapes(before, packed.shape, full)
        shape = min(fitting, key=lambda shape: shape[-1] != full[-1], default=None)
        if name in other.gaps or shape is None:
            but = (
                "is abbreviated too; print one in full"
                if name in other.gaps
                else f"has {full}"
            )
            raise UserError(
                f"{side.name}: {name} is abbreviated; its shape is "
                f"{shape_text(before, packed.shape)}, but {other.name} {but}."
            )
        found[name] = spread(packed, before, shape)
    return side.with_numbers(found)


def single_as_h(side: Side) -> Side:
    """A side whose only array has an unknown name, as h: ``y_val``."""
    name = next(iter(side.arrays), "")
    if len(side.arrays) > 1 or not name:
        return side
    is_known = ArrayName.of(name).kind != WEIGHTS and name not in OF_HEAD
    return side if is_known else renamed(side, {name: "h"})


def with_output_name(side: Side, other: Side) -> Side:
    """A side whose output of a model has the name that the other side's head gives it.

    ``logits``, ``y`` of a single output for each sequence, or an array without a
    name are y if their last axis is that of the other's y, and not of its h.
    """
    names = [name for name in OF_HEAD if name in other.arrays]
    if len(names) != 1 or names[0] in side.arrays:
        return side
    width = other.arrays[names[0]].shape[-1:]
    possible = OUTPUT_NAMES.union(OF_HEAD)
    h = other.arrays.get("h")
    is_not_h = h is not None and h.shape[-1:] != width
    is_of_run = h is None and other.settings is not None
    if is_not_h or is_of_run or names == [FINAL_Y]:
        possible.add(UNNAMED)
        if len(side.arrays) == 1:
            possible.update(side.arrays)
    if is_not_h and "h" in side.original_names:  # a framework's name for outputs
        possible.add("h")
    found = [
        name
        for name, array in side.arrays.items()
        if name in possible and array.shape[-1:] == width
    ]
    if len(found) != 1:
        return side
    side = renamed(side, {found[0]: names[0]})
    if found == [UNNAMED]:  # which would be h
        side = replace(side, original_names={names[0]: "the array"})
    return side


def with_trace_names(side: Side) -> Side:
    """A side by the names of a trace, if all are a framework's for results."""
    names = {name: FRAMEWORK_NAMES.get(name, name) for name in side.arrays}
    known = all(ArrayName.of(name).kind != WEIGHTS for name in names.values())
    return (
        renamed(side, names) if known and len({*names.values()}) == len(names) else side
    )


def _name_of_both(one: str, other: str) -> str:
    """The name of two arrays: that of a trace, else h; of weights the second."""
    known = []
    for name in map(ArrayName.of, (other, one)):
        is_plain_y = name.base == Y and one != other  # of a program, it may be h
        if name.kind != WEIGHTS and not is_plain_y:
            known.append(name)
    if known:
        best = max(
            known, key=lambda x: (x.kind == SEQUENCE, x.base == "h", bool(x.prefix))
        )
        return f"{best.prefix}.{best.base}".removeprefix(".")
    alike = one == other != UNNAMED or (WEIGHT.search(one) and WEIGHT.search(other))
    return other if alike else "h"


def renamed(side: Side, names: Mapping[str, str]) -> Side:
    """A side whose arrays have other names; what is not in ``names`` stays."""

    def named(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): value for name, value in mapping.items()}

    originals = {
        new: side.original_names.get(old, old)
        for old, new in names.items()
        if old in side.arrays and old not in ("", new)
    }
    return replace(
        side,
        arrays=named(side.arrays),
        units=named(side.units),
        dtypes=named(side.dtypes),
        gaps=named(side.gaps),
        original_names=named(side.original_names) | originals,
        part=side.part._replace(columns=named(side.part.columns)),
    )


def padded_steps(
    sides: Iterable[Side], steps: Sequence[int], batch: Sequence[int]
) -> Mask:
    """(T, B): true at steps that no run of some sides computed."""
    padded: Mask = np.ones((len(steps), len(batch)), bool)
    metas = [side.settings for side in sides if side.settings is not None]
    rows, columns = np.ix_(steps, batch)
    for meta in metas or [{}]:
        lengths, mask = (_array(meta.get(name)) for name in ("lengths", "mask"))
        try:
            if mask is None:
                padded &= False if lengths is None else rows >= lengths[columns]
            else:
                by_time = (
                    mask.T
                    if meta.get("layout") == "batch"
                    else mask.reshape(len(mask), -1)
                )
                padded &= by_time[rows, columns] == 0
        except (IndexError, ValueError):  # a run of other steps
            padded[:] = False
    return padded


def _array(value: Any) -> Array | None:
    try:
        array = np.array(value) if isinstance(value, list) else None
    except ValueError:  # ragged
        return None
    return (
        array
        if array is not None and array.size and array.dtype.kind in "biu"
        else None
    )


def shown_padding(value: Any) -> Any:
    """Lengths or a mask of ``meta`` in a few words; other settings as they are."""
    array = _array(value)
    if array is None:
        return value
    if array.ndim == 1 and array.dtype.kind != "b":
        return format_lengths(array.tolist())
    return f"{np.count_nonzero(array):,} of {array.size:,} steps"
