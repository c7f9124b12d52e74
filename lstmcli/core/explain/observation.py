"""EXPECTED and the inputs, brought into the order in which a cell steps.

An array of EXPECTED may be all steps, some of them, one sequence of a batch, or the last state.
What is not known is NaN. A cell that runs backwards, or outputs that are turned round, bring inputs
and EXPECTED into the order of processing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.alignment import FINAL, SEQUENCE, ArrayName
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.tolerance import BFLOAT16, FLOAT16, FLOAT64, Numbers, last_places
from lstmcli.core.forward.sequence import direction_axis, has_direction_axis
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import round_to_format, spacing
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError


class Allowance(NamedTuple):
    """The tolerance of an element e: half its printed unit + absolute + relative |e|."""

    absolute: float
    relative: float
    name: str = ""
    stored: str = ""  # the format in which EXPECTED was stored: half a unit of it more

    def of(self, known: Known) -> Array:
        """For each element."""
        allowed: Array = known.half + self.absolute + self.relative * np.abs(known.values)
        return allowed + 0.5 * spacing(known.values, self.stored) if self.stored else allowed


EPS32 = float(np.finfo(np.float32).eps)
SINGLE = Allowance(1e-6, 1.3e-6, "float32")  # 8 eps: a run in another order of operations
EXACT = Allowance(1e-9, 1e-9, "float64")


@dataclass(frozen=True, eq=False)
class Known:
    """An array of EXPECTED, (T, B, K) or (B, K) for a last state; what is not known is NaN."""

    values: Array
    half: Array  # half a printed unit of each element, or 0; same shape


class Placement(NamedTuple):
    """Where EXPECTED lies on a run of T steps and B sequences."""

    kind: str = "steps"  # or "last step", "last state", "last states" of several cells
    first: int = 0  # of the steps,
    length: int = 0  # how many of them (0: all),
    stride: int = 1  # and every which
    item: int | None = None  # the sequence of the batch it is, if it is one of several
    items: int = 0  # the first so many sequences; 0: all
    units: int = 0  # the first so many units of each vector; 0: all
    axes: str = ""  # the order of EXPECTED's axes, where nothing gives it
    array: str = ""  # of a last state: h, c, final_h, final_c; of last states: cells, if not all
    size: tuple[int, int, int] = (0, 0, 0)  # T, B, K of the run

    @property
    def is_plain(self) -> bool:
        """Whether EXPECTED is all of the run, as it is."""
        plain = Placement(size=self.size)
        named = plain._replace(kind="last state", array=self.array)
        return self == plain or (self.is_named_state and self == named)

    @property
    def is_named_state(self) -> bool:
        """Whether it is a last state by its name: final_h, layer0.final_c."""
        return self.kind == "last state" and ArrayName.of(self.array).kind == FINAL

    @property
    def is_one_step(self) -> bool:
        """Whether it is one step of a sequence of several."""
        return self.kind == "last step" or (self.length == 1 and self.size[0] > 1)

    @property
    def is_from_the_start(self) -> bool:
        """Whether the steps are the first ones, or all."""
        return self.first == 0 and self.stride == 1


PLAIN = Placement()


@dataclass(frozen=True, eq=False)
class Expected:
    """EXPECTED on the axes of a run: sequences by name (T, B, K), last states (B, K)."""

    sequences: Mapping[str, Known]
    finals: Mapping[str, Known]
    placement: Placement = PLAIN
    needs: tuple[str, ...] = ()  # settings without which another placement says just the same
    left_out: int = 0  # further windows and strides, which `LATER_NUMBERS` leaves out

    def all(self) -> Iterator[tuple[str, Known]]:
        """Every array with its name; last states are ``final_h``, ``final_c``."""
        yield from self.sequences.items()
        yield from self.finals.items()

    def at_known(self, of: Callable[[str, Known], Array]) -> Array:
        """What there is of each known number, by arrays of the same shapes; one after another."""
        parts = [of(name, known)[np.isfinite(known.values)] for name, known in self.all()]
        return np.concatenate(parts) if parts else np.zeros(0)

    def is_in(self, arrays: Mapping[str, Array]) -> bool:
        """Whether a run has all these arrays, each of the same shape."""
        return all(n in arrays and arrays[n].shape == k.values.shape for n, k in self.all())

    @property
    def items(self) -> list[int]:
        """The sequences of the batch of which something is known."""
        known: Any = np.zeros(1, bool)
        for _, one in self.all():
            known = known | np.isfinite(one.values).any(axis=(*range(one.values.ndim - 2), -1))
        items: list[int] = np.flatnonzero(known).tolist()
        return items

    @property
    def steps(self) -> int:
        """How many steps of a sequence something is known of; of last states alone, none."""
        return max(
            (int(np.isfinite(k.values).any(axis=(1, 2)).sum()) for k in self.sequences.values()),
            default=0,
        )

    @property
    def numbers(self) -> int:
        """How many numbers are known."""
        return sum(int(np.isfinite(known.values).sum()) for _, known in self.all())

    def distinct(self, tolerance: Callable[[Known], Array], among: Array | None = None) -> int:
        """How many different numbers there are, as far as a tolerance distinguishes them.

        ``among`` is the truth of each known number that counts; without it all do.
        """
        both = np.stack([
            self.at_known(lambda _, known: known.values),
            self.at_known(lambda _, known: tolerance(known)),
        ])  # fmt: skip
        both = both if among is None else both[:, among]
        values, slack = both[:, np.argsort(both[0])]
        return 1 + int((np.diff(values) > 2 * slack[1:]).sum()) if values.size else 0

    def part(self, prefix: str) -> Expected:
        """The arrays of one cell, ``layer0_reverse.f`` as ``f``."""
        start = f"{prefix}."
        sequences, finals = (
            {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
            for arrays in (self.sequences, self.finals)
        )
        return replace(self, sequences=sequences, finals=finals)


# ---- where EXPECTED can lie


def placements(
    arrays: Mapping[str, Numbers], widths: Mapping[str, int], T: int, B: int, layout: str
) -> list[Expected]:
    """Every way in which EXPECTED can lie on a run of T steps and B sequences, the likeliest first.

    ``widths`` are the numbers of each array of the run; ``layout`` is that of EXPECTED.
    """
    found = [Expected({}, {})]
    for name, numbers in arrays.items():
        if (width := widths.get(name)) is None:
            continue
        ways = list(_Ways(name, numbers, width, T, B, layout).all())
        found = [both for one in found for way in ways if (both := _joined(one, way)) is not None]
    return [one for one in found if one.numbers]


def _joined(a: Expected, b: Expected) -> Expected | None:
    """Both at once, if they speak of the same steps and sequences."""
    one, other = a.placement, b.placement
    if (a.sequences or a.finals) and one.item != other.item:
        return None
    are_all = all(p.is_from_the_start and not p.is_one_step for p in (one, other))
    if a.sequences and one != other and not are_all:
        return None
    placement = one if one == other or (other.is_plain and not one.is_plain) else other
    needs = b.needs if a.needs == b.needs or not a.numbers else ()
    sequences, finals = {**a.sequences, **b.sequences}, {**a.finals, **b.finals}
    return Expected(sequences, finals, placement, needs, max(a.left_out, b.left_out))


LATER_NUMBERS = 10_000_000  # of all windows and strides together, 160 MB: more are left out


class _Ways:
    """The ways in which one array can lie on a run (T, B, K)."""

    def __init__(
        self, name: str, numbers: Numbers, width: int, T: int, B: int, layout: str
    ) -> None:
        self.name, self.width, self.T, self.B, self.layout = name, width, T, B, layout
        self.kind = ArrayName.of(name).kind
        is_known = np.isfinite(numbers.values)
        unit = np.zeros(numbers.shape) if numbers.unit is None else numbers.unit
        self.pair = _unknown(*numbers.shape)  # (2, ...): values, and half a printed unit of each
        np.copyto(self.pair[0], numbers.values, where=is_known)
        np.copyto(self.pair[1], unit * 0.5, where=is_known)
        self.size = (T, B, width)

    def all(self) -> Iterator[Expected]:
        """All of them, the likeliest first."""
        shape = self.pair.shape[1:]
        if not shape or self.kind not in (SEQUENCE, FINAL):
            return
        if shape[-1] == self.width:
            yield from self._of(self.pair)
        seen = [n for n, size in enumerate(shape) if size == self.width and n < len(shape) - 1]
        for axis in seen[-1:]:  # (H, T), (B, H, T)
            moved = np.moveaxis(self.pair, axis + 1, -1)
            yield from (_with(one, axes="units first") for one in self._of(moved))
        if shape[-1] < self.width:
            further = _unknown(*shape[:-1], self.width - shape[-1])
            padded = np.concatenate([self.pair, further], axis=-1)
            yield from (_with(one, units=shape[-1]) for one in self._of(padded))

    def _of(self, pair: Array) -> Iterator[Expected]:
        """The ways of a pair (2, ..., K)."""
        shape, B, T = pair.shape[1:], self.B, self.T
        lead = [n for n in shape[:-1] if n != 1]
        if len(lead) > 2:
            return
        flat = pair.reshape(2, *lead, self.width)
        is_output = "." not in self.name or self.name.endswith(".h")
        finals = list(self._finals(flat, lead))
        if self.kind != SEQUENCE:
            yield from finals
            return
        if lead == [B] and len(shape) == 2 and B < T:  # likelier than so many steps of one item
            yield from finals
            finals = []
        last = list(self._last_step(flat)) if is_output and len(shape) < 3 else []
        first = 1 if "." in self.name else 0  # of one cell, it is its last state as a rule
        yield from last[:first]
        yield from self._sequences(flat, lead, shape)
        yield from finals
        yield from last[first:]
        if is_output and lead and lead[0] <= B and len(shape) == 2 and T > 1:
            at_once = flat.reshape(2, 1, lead[0], self.width)
            yield self._spread(at_once, _first(1, lead[0], T, B))
        yield from self._later(flat, lead)

    def _sequences(
        self, flat: Array, lead: list[int], shape: tuple[int, ...]
    ) -> Iterator[Expected]:
        """As the first steps, or all."""
        T, B = self.T, self.B
        if len(lead) == 2:
            for way, axes in self._time_first(flat):
                steps, items = way.shape[1:3]
                if steps <= T and items <= B:
                    yield self._spread(way, _first(steps, items, T, B)._replace(axes=axes))
            return
        n = lead[0] if lead else 1
        # which axis the one that is left is: the position in a 3-D array says it
        axis = None
        if len(shape) == 3 and lead:
            axis = "time" if (shape[0] != 1) == (self.layout != "batch") else "batch"
            if n > (T if axis == "time" else B):  # it lies otherwise than the inputs
                axis = "batch" if axis == "time" else "time"
        if n <= T and axis != "batch":
            steps = self._at_steps(flat.reshape(2, n, 1, self.width))
            yield from self._each_item(steps, _first(n, B, T, B))
        if n <= B and lead and axis != "time" and (T == 1 or axis == "batch"):
            yield self._spread(flat.reshape(2, 1, n, self.width), _first(1, n, T, B))

    def _later(self, flat: Array, lead: list[int]) -> Iterator[Expected]:
        """As the last steps, every n-th, or a window; of one sequence, or of all."""
        T, B = self.T, self.B
        ways: list[tuple[Array, int | None]] = []
        if len(lead) == 2:
            ways = [(way, None) for way, _ in self._time_first(flat) if way.shape[2] == B]
        elif lead or B > 1:
            steps = flat.reshape(2, *(lead or [1]), 1, self.width)
            ways = [(steps, item) for item in (range(B) if B > 1 else [None])]
        count = flat.size // (2 * self.width)
        if len(lead) < 2 and (count == B or _some(count, B)):  # a step of sequences, h[:n, t]
            ways.insert(0, (flat.reshape(2, 1, count, self.width), None))
        found = (
            (way, Placement("steps", first, way.shape[1], stride, item, _some(way.shape[2], B)))
            for way, item in ways
            for first, stride in _later_steps(way.shape[1], T)
        )
        # the last steps of each sequence, then the strides, then the windows
        ordered = sorted(
            found, key=lambda one: one[1].stride == 1 and one[1].first + one[1].length < T
        )
        most = max(1, LATER_NUMBERS // (T * B * self.width))
        for n, (way, placement) in enumerate(ordered[:most], 1):
            left_out = len(ordered) - most if n == most else 0
            yield replace(self._spread(way, placement), left_out=left_out)

    def _time_first(self, flat: Array) -> list[tuple[Array, str]]:
        """(2, t, b, K) with either axis as time, and the axes if the shape does not say them."""
        ways = [(flat, "time, batch"), (flat.swapaxes(1, 2), "batch, time")]
        first, other = ways[::-1] if self.layout == "batch" else ways
        square = flat.shape[1] == flat.shape[2]
        return [(first[0], ""), (other[0], other[1] if square else "")]

    def _last_step(self, flat: Array) -> Iterator[Expected]:
        """The outputs of every sequence, of the first ones, or of one, at the last step.

        A backward cell has just begun there; the outputs of a forward one are its last state.
        """
        needs = ("reverse", "array") if self.name in ("h", "c") else ()
        T, B = self.T, self.B
        count = flat.size // (2 * self.width)
        if T == 1 or count > B:
            return
        steps = self._at_steps(flat.reshape(2, 1, count, self.width), T - 1)
        for one in self._each_item(steps, Placement("last step", items=_some(count, B))):
            yield replace(one, needs=needs)

    def _finals(self, flat: Array, lead: list[int]) -> Iterator[Expected]:
        """The last state of all sequences, of the first ones, or of one."""
        guessed = self.kind == SEQUENCE
        if len(lead) > 1 or (guessed and (self.name not in ("h", "c") or self.T == 1)):
            return
        n, B = (lead[0] if lead else 1), self.B
        if n > B:
            return
        final = f"final_{self.name}" if guessed else self.name
        items = _some(n, B)
        for item, values in self._at_items(flat.reshape(2, n, self.width)):
            placement = Placement(
                "last state", item=item, items=items, array=self.name, size=self.size
            )
            yield Expected({}, {final: Known(*values)}, placement)

    def _spread(self, part: Array, placement: Placement) -> Expected:
        """(2, t, b, K) on the axes of a run."""
        values, item = _unknown(self.T, self.B, self.width), placement.item or 0
        steps, items = part.shape[1:3]
        first, stride = placement.first, placement.stride
        end = first + stride * (steps - 1) + 1
        values[:, first:end:stride, item : item + items] = part
        return Expected({self.name: Known(*values)}, {}, placement._replace(size=self.size))

    def _each_item(self, steps: Array, placement: Placement) -> Iterator[Expected]:
        """(2, T, b, K) on the axes of a run, one sequence as each of the batch."""
        for item, values in self._at_items(steps):
            at_item = placement._replace(item=item, size=self.size)
            yield Expected({self.name: Known(*values)}, {}, at_item)

    def _at_steps(self, part: Array, first: int = 0) -> Array:
        """(2, T, b, K) from (2, t, b, K)."""
        steps, items = part.shape[1:3]
        values = _unknown(self.T, items, self.width)
        values[:, first : first + steps] = part
        return values

    def _at_items(self, part: Array) -> Iterator[tuple[int | None, Array]]:
        """(2, ..., B, K) from (2, ..., b, K): one sequence as any of them, several as the first.

        All are views of one array: B of them with the room of two.
        """
        count, B = part.shape[-2], self.B
        around = _unknown(*part.shape[1:-2], 2 * B - count, self.width)
        around[..., B - count : B, :] = part
        for item in range(B if count == 1 else 1):
            first = B - count - item
            yield item if count == 1 < B else None, around[..., first : first + B, :]


def _later_steps(count: int, T: int) -> Iterator[tuple[int, int]]:
    """The first and the distance of so many steps of T, but for the first ones and for all."""
    if count == 1:
        yield from ((first, 1) for first in range(1, T - 1))
    if not 1 < count < T:
        return
    yield T - count, 1
    for n in range(2, (T - 1) // (count - 1) + 1):  # x[::n], x[n - 1::n], or up to the last step
        for first in sorted({0, n - 1, T - 1 - n * (count - 1)}):
            if first + n * (count - 1) < T:
                yield first, n
    yield from ((first, 1) for first in range(1, T - count))


def _unknown(*shape: int) -> Array:
    """(2, ...): values and half units of numbers of which none is known."""
    pair = np.zeros((2, *shape))
    pair[0] = np.nan
    return pair


def _some(items: int, B: int) -> int:
    """So many sequences, if they are several and not all; else 0."""
    return items if 1 < items < B else 0


def _first(steps: int, items: int, T: int, B: int) -> Placement:
    """The first steps of the first sequences."""
    return Placement(length=steps if steps < T else 0, items=items if items < B else 0)


def _with(expected: Expected, **changes: Any) -> Expected:
    return replace(expected, placement=expected.placement._replace(**changes))


class Processed(NamedTuple):
    """Inputs and EXPECTED of one sequence, in the order in which a cell steps."""

    item: int  # of the batch
    x: Array  # (T, I)
    known: Mapping[str, Known]  # each (T, K); a last state is a step of h or c


def processed(
    x: Array, expected: Expected, turned: bool, flipped: bool, valid: Array | None, item: int
) -> Processed:
    """Bring a sequence of x (T, B, I) and EXPECTED into the order in which a cell steps.

    ``turned``: it starts from the last step. ``flipped``: outputs are turned round afterwards.
    ``valid`` (T, B): steps that count; the others are moved to the end, and not known.
    """
    steps = np.arange(len(x))
    backward = steps[::-1]
    order, count = steps, len(x)
    if valid is not None:
        counts = valid[backward if turned else steps, item]
        order, count = np.argsort(~counts, kind="stable"), int(counts.sum())
    known = {}
    for name, one in expected.sequences.items():
        shown = (backward if flipped else steps)[order]
        values, half = one.values[shown, item], one.half[shown, item]
        values[count:] = np.nan
        known[name] = Known(values, half)
    for final, one in expected.finals.items() if count else ():
        name, width = final.removeprefix("final_"), one.values.shape[-1]
        if name not in known:
            known[name] = Known(np.full((len(x), width), np.nan), np.zeros((len(x), width)))
        values, half = known[name].values[count - 1], known[name].half[count - 1]
        unknown = ~np.isfinite(values)  # what the sequence does not know already
        values[unknown], half[unknown] = one.values[item][unknown], one.half[item][unknown]
    return Processed(item, x[(backward if turned else steps)[order], item], known)


# ---- arrays that several cells share: last states, and a merged h


def by_cell(
    arrays: Mapping[str, Any], model: Model, layout: str, axes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Arrays with those that several cells share split: the last states, and a merged h.

    Parameters
    ----------
    arrays
        anything that is indexed as an array is.
    layout, axes
        of the inputs: "steps", "time" or "batch", and the lengths of all axes but the last; without
        them the arrays have the axes of a run.

    Raises
    ------
    UserError
        for last states that have no entry for each cell.
    """
    if len(model.cells) < 2:
        return dict(arrays)
    per_cell: dict[str, Any] = {}
    for name, array in arrays.items():
        if name in ("final_h", "final_c"):
            if (states := _states(name, array, model)) is None:
                raise UserError(_not_every_state(name, array, model))
            per_cell |= states
        elif name == "h" and (parts := _parts(array, model, layout, axes)) is not None:
            last = f"layer{len(model.layers) - 1}"
            per_cell |= dict(zip((f"{last}.h", f"{last}_reverse.h"), parts, strict=False))
        else:
            per_cell[name] = array
    return per_cell


def states_of(array: Any, model: Model) -> dict[str, Any]:
    """An array without a name as the last states of cells; {} if it cannot be that.

    Those of all cells lie as the convention has them, (cells, B, H) or (B, cells, H); those of the
    last layer's two directions may as well be joined, (B, 2 H).
    """
    if len(model.cells) < 2:
        return {}
    last = model.layers[-1]
    if array.ndim == 3 and (states := _states("final_h", array, model)) is not None:
        return states
    if array.ndim < 3 and len(last) == 2 and array.shape[-1] == sum(c.outputs for c in last):
        forward, backward = f"layer{len(model.layers) - 1}", f"layer{len(model.layers) - 1}_reverse"
        width = last[0].outputs
        return {f"{forward}.final_h": array[..., :width], f"{backward}.final_h": array[..., width:]}
    return {}


def stacked_of(array: Any, model: Model) -> Iterator[dict[str, Any]]:
    """An array without a name as a part of stacked directions, ONNX' Y[t] or Y[:, :, n].

    Where a run has them side by side, any axis may be that of the directions.
    """
    last = model.layers[-1]
    if len(last) < 2 or array.shape[-1:] != (last[0].outputs,):
        return
    axes = list(range(array.ndim - 1))
    if has_direction_axis(model):
        of_step = int(model.convention.behaviour.states == "batch" and array.ndim > 2)
        axes = [of_step] if array.ndim in (2, 3) else []
    for axis in (n for n in axes if array.shape[n] == 2):
        yield {f"{n}.h": _item(array, axis, k) for k, (n, _) in enumerate(model.cells[-2:])}


def side_by_side_of(
    numbers: Numbers, model: Model
) -> Iterator[tuple[dict[str, Numbers], dict[str, Any]]]:
    """An array without a name as two directions side by side, and what its placement is then.

    The units may be an axis before the last, or the first ones only: the others are not known. So
    many units as one direction has are its output, but in a vector the first ones of a print too.
    """
    widths = [cell.outputs for cell in model.layers[-1]]
    *lead, count = numbers.shape or (0,)
    total = sum(widths)
    if len(widths) < 2 or count == total:
        return
    ways: list[tuple[Numbers, dict[str, Any]]] = []
    is_vector = prod(lead) == 1 and not has_direction_axis(model)
    if 0 < count < total and (is_vector or count not in widths):
        further = np.full((*lead, total - count), np.nan)
        padded = numbers.moved(lambda array: np.concatenate([array, further], axis=-1))
        ways.append((padded, {"units": count}))
    if total in lead and not has_direction_axis(model):
        moved = numbers.moved(lambda array: np.moveaxis(array, lead.index(total), -1))
        ways.append((moved, {"axes": "units first"}))
    for one, placement in ways:
        found = by_cell({"h": one}, model, "time")
        if "h" not in found:
            yield found, placement


def _states(name: str, array: Any, model: Model) -> dict[str, Any] | None:
    """The last state of each cell, from the axes that a run has; None if they are other ones.

    Of several layers they may be those of the last one's directions, as its ONNX node has them.
    """
    names, (axis, widths) = [f"{cell}.{name}" for cell, _ in model.cells], _state_axis(name, model)
    if axis is None:
        if array.shape[-1:] != (sum(widths),):
            return None
        ends = zip(widths, accumulate(widths), strict=True)
        return {n: array[..., e - w : e] for n, (w, e) in zip(names, ends, strict=True)}
    axis = axis if array.ndim > 2 else 0
    counts = (len(names), 2) if model.bidirectional else (len(names),)
    if array.ndim not in (2, 3) or array.shape[axis] not in counts:
        return None
    names = names[-array.shape[axis] :]
    return {n: _item(array, axis, k) for k, n in enumerate(names)}


def _state_axis(name: str, model: Model) -> tuple[int | None, list[int]]:
    """The axis of the cells in their last states, None if they are joined; and their widths."""
    widths = [c.outputs if name == "final_h" else c.units for _, c in model.cells]
    how = model.convention.behaviour.states
    return None if how == "features" or len({*widths}) > 1 else int(how == "batch"), widths


def _not_every_state(name: str, array: Any, model: Model) -> str:
    axis, widths = _state_axis(name, model)
    count = len(model.cells)
    wanted = {
        None: f"(batch, {sum(widths)})",
        0: f"({count}, batch, {widths[0]})",
        1: f"(batch, {count}, {widths[0]})",
    }
    return f"EXPECTED's {name} is {array.shape}; that of {count} cells is {wanted[axis]}."


def _item(array: Any, axis: int, n: int) -> Any:
    return array[(slice(None),) * axis + (n,)]


def _parts(array: Any, model: Model, layout: str, axes: Sequence[int] | None) -> list[Any] | None:
    """The output of each cell of the last layer; None if they were added or multiplied."""
    last = model.layers[-1]
    if len(last) == 1:
        return [array]
    how = last[0].convention
    if how.behaviour.merge == "stack":
        of_run = direction_axis(how, layout)
        axis = of_run if axes is None else _direction_axis(array.shape, of_run, axes)
        return None if axis is None else [_item(array, axis, d) for d in (0, 1)]
    if array.shape[-1:] != (sum(c.outputs for c in last),):
        return None
    swapped = how.behaviour.merge == "concat_swapped"
    width = last[1 if swapped else 0].outputs
    halves = [array[..., :width], array[..., width:]]
    joined = how.behaviour.merge in ("concat", "concat_swapped")
    return halves[:: -1 if swapped else 1] if joined else None


def _direction_axis(shape: Sequence[int], of_run: int, axes: Sequence[int]) -> int | None:
    """The axis of EXPECTED that has the directions; None if none of them can.

    It is ``of_run`` in a run; elsewhere it is known by the axes of the inputs that are left.
    """
    lead, wanted = shape[:-1], _sizes(axes)
    if len(shape) < 3 or (len(shape) == 3 and _sizes(lead) == wanted):
        return None  # one direction, or their sum
    two = [axis for axis, size in enumerate(lead) if size == 2]
    known = [a for a in two if _sizes([*lead[:a], *lead[a + 1 :]]) == wanted]
    return of_run if of_run in (known or two) else next(iter(known), None)


def _sizes(axes: Sequence[int]) -> list[int]:
    """The lengths of axes in any order, without those of length 1."""
    return sorted(n for n in axes if n != 1)


# ---- how exact EXPECTED is

EPS: Mapping[str, float] = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
HALF, BRAIN = (Allowance(8 * eps, 8 * eps, name) for name, eps in EPS.items())
"""The most that half precision is searched at; what a format predicts is less for most nets."""
MOST_ROUNDED = 6  # digits after the point: with more, the tolerance of float32 does as well
GRID_DIGITS = 8.0  # by which printed numbers have to be finer than a grid on which they lie


def grids_of(arrays: Mapping[str, Numbers]) -> Iterator[str]:
    """The coarser number type that holds every number of EXPECTED, as far as a print tells."""
    for name in (BRAIN.name, HALF.name):  # that of fewer digits first: it is more telling
        if all(_on_grid(numbers, name) for numbers in arrays.values()):
            yield name
            return


def _on_grid(numbers: Numbers, name: str) -> bool:
    """Whether a number type holds all these numbers, and their digits are too many for chance."""
    is_known = np.isfinite(numbers.values)
    values = numbers.values[is_known].astype(np.float64)
    off = np.abs(round_to_format(values, name) - values)
    if numbers.unit is None:
        return not off.any()
    unit = numbers.unit[is_known]
    # the shortest digits that tell a float32 from the next lie within half of its spacing
    slack = 0.5 * unit + 0.5 * np.spacing(np.abs(values).astype(np.float32))
    finer = np.log10(np.maximum(spacing(values, name) / np.where(unit > 0, unit, np.inf), 1))
    return bool((off <= slack).all() and finer.sum() >= GRID_DIGITS)


def as_printed(arrays: Mapping[str, Numbers]) -> tuple[Mapping[str, Numbers], int | None]:
    """Arrays that were rounded to some digits after the point with their units, and the digits.

    Others as they are: those on the grid of a number type, and whose digits chance may give.
    """
    parts = [n.values.ravel().astype(np.float32) for n in arrays.values()]
    values = np.concatenate([*parts, np.zeros(0, np.float32)])
    places, unit = last_places(values, MOST_ROUNDED)
    if is_printed(n.unit for n in arrays.values()) or not places or unit is None:
        return arrays, None
    counts = np.isfinite(values) & (values != 0)
    finer = np.log10(np.maximum(unit[counts] / np.spacing(np.abs(values[counts])), 1))
    if finer.sum() < GRID_DIGITS or any(grids_of(arrays)):
        return arrays, None
    units = np.split(unit, np.cumsum([part.size for part in parts]))
    printed = {
        name: Numbers(n.values, u.reshape(n.shape) + (0 if n.unit is None else n.unit))
        for (name, n), u in zip(arrays.items(), units, strict=False)
    }
    return printed, places  # what was left out keeps its infinite unit


def is_printed(units: Iterable[Array | None]) -> bool:
    """Whether a number was printed, not just left out."""
    return any(unit is not None and bool(((unit > 0) & (unit < np.inf)).any()) for unit in units)


def allowances_of(side: Side, arrays: Mapping[str, Numbers]) -> tuple[tuple[Allowance, ...], str]:
    """The tolerances of EXPECTED, tight before loose; its number type, or "printed"."""
    names = [n for n in side.arrays if (n or "h") in arrays] or list(side.arrays)
    precisions = {side.precision(name).name for name in names}
    if BFLOAT16.name in precisions:
        return (BRAIN,), BRAIN.name
    if FLOAT16.name in precisions:
        return (HALF,), HALF.name
    if is_printed(numbers.unit for numbers in arrays.values()):
        return (SINGLE,), "printed"
    if precisions == {FLOAT64.name} and not _all_single(arrays):
        return (EXACT, SINGLE), "float64"
    return (SINGLE,), "float32"


def _all_single(arrays: Mapping[str, Numbers]) -> bool:
    """Whether float64 arrays hold nothing but float32 numbers."""
    return all(
        bool((n.values == n.values.astype(np.float32))[np.isfinite(n.values)].all())
        for n in arrays.values()
    )


def decimal_places(x: Array) -> int | None:
    """The digits after the point of numbers that were rounded to 4 to 10; None for others.

    Fewer are what the numbers are, such as counts and one-hot vectors, and no rounding.
    """
    places = next((n for n in range(11) if np.array_equal(x, np.round(x, n))), None)
    return places if places is not None and places >= 4 else None


def printed_digits(arrays: Mapping[str, Numbers]) -> int | None:
    """The digits to which arrays are printed; None if they are not, or not all to as many."""
    units = [n.unit.ravel() for n in arrays.values() if n.unit is not None]
    sizes = np.concatenate([np.zeros(0), *units])
    places = np.round(-np.log10(sizes[(sizes > 0) & np.isfinite(sizes)])).astype(int)
    return max(int(places[0]), 0) if places.size and (places == places[0]).all() else None
