"""One cell on the bench: its weights, its inputs and what it should give, by the readings.

A bench knows how a reading moves inputs and EXPECTED (`Course`), starts a `Batch` of readings, and
says how far each step's arrays are from EXPECTED, counted in tolerances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.data import Course, Expected, Known, course
from lstmcli.core.explain.readings import Readings
from lstmcli.core.explain.space import COLUMNS, Change, Space, distinct
from lstmcli.core.explain.stepping import Batch, single_unit_steps_alone
from lstmcli.core.explain.weights import Decoder, Weights
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.half_precision import spacing
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES, ONE_OF_TWO

Start = tuple[Array, Array] | None
"""h (1, P) and c (1, H) before the first step, or of each reading; None if they are zero."""

UNITS = 12  # of a first step: enough to distinguish any two readings
FEW = 500  # readings that are kept as made ready,
KEPT = 50  # and so many of such sets

_VIEW = ("layout", "reverse", "flip_output", "lengths")


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


@dataclass(frozen=True, eq=False)
class Layout:
    """Inputs (T, B, I), EXPECTED and the steps that count, for one reading of the axes."""

    x: Array
    expected: Expected
    valid: Array | None = None  # (T, B)


class View(NamedTuple):
    """A course on one row of the batch, its elements' tolerances, and the first step known."""

    course: Course
    allowed: Mapping[str, Array]
    first: int
    row: int

    @property
    def steps(self) -> int:
        """T."""
        return len(self.course.x)


class Bench:
    """A cell under test.

    Parameters
    ----------
    decoder
        from settings to the cell, in float64.
    how
        the assumed convention of this cell.
    layouts
        by ``layout``: the assumed one first, the other if it is possible.
    state
        h (B, P) and c (B, H) that are given, or None.
    backward
        whether this cell is the backward one of its layer.
    without
        columns that cannot matter, beyond those that this bench sees itself.
    """

    def __init__(
        self,
        decoder: Decoder,
        how: Convention,
        layouts: Mapping[str, Layout],
        allowance: Allowance,
        state: Start = None,
        backward: bool = False,
        without: tuple[str, ...] = (),
    ) -> None:
        self.how, self.layouts, self.allowance = how, layouts, allowance
        self.state, self.backward = state, backward
        cell = decoder({})
        first = next(iter(layouts.values()))
        names = (*first.expected.sequences, *first.expected.finals)
        self.needs = first.expected.needs
        self.names = tuple(dict.fromkeys(name.removeprefix("final_") for name in names))
        idle = (*without, *self._idle(cell, first), *_idle_in_decoding(decoder, cell, how))
        barred = [] if cell.outputs == cell.units else [Change("initial_state", "swapped")]
        if np.array_equal(decoder({"bias": "input_only"}).bias, decoder({"bias": "once"}).bias):
            barred += [Change("bias", one) for one in ONE_OF_TWO]  # there is one bias
        if np.array_equal(decoder({"transposed": "reshaped_kernel"}).kernel, cell.kernel):  # fused
            barred += [Change("transposed", f"reshaped_{one}") for one in ("kernel", "recurrent")]
        self.space = Space(_assumed(how, next(iter(layouts))), idle, barred)
        self.weights = Weights(decoder, self.space)
        self.steps = len(first.x)
        self._views: dict[tuple[Any, ...], View] = {}
        self._kept: dict[tuple[Any, ...], Readings] = {}

    def _idle(self, cell: Cell, first: Layout) -> Iterator[str]:
        """Columns that cannot matter here."""
        if cell.peephole is None:
            yield "peepholes"
        if self.state is None:
            yield "initial_state"
        if first.valid is None:
            yield "lengths"
        if len(self.layouts) == 1:
            yield "layout"
        if self.names != ("h",):
            yield "array"
        if len(self.how.storage.gates) < 4:
            yield from ("kernel_gates", "recurrent_gates", "bias_gates")
        if cell.outputs != cell.units:
            yield "array"
        if len(first.x) == 1 or self.how.behaviour.go_backwards:
            yield "reverse"
        if len(first.x) == 1 or not first.expected.sequences:
            yield "flip_output"
        if len(first.x) == 1:
            yield "state"

    @property
    def late(self) -> bool:
        """Whether EXPECTED, as read, does not hold the first step of the loop."""
        zero = np.zeros((1, len(self.space.columns)), np.int8)
        return next(iter(self.views(zero)))[0].first > 0

    # ---- readings

    def views(self, codes: Array) -> Iterator[tuple[View, Array]]:
        """The readings (places) that share a view."""
        columns = [self.space.column(name) for name in _VIEW]
        keys = codes[:, columns].astype(np.int64) @ np.array([1, 8, 64, 512])
        for key in distinct(keys):
            which = np.flatnonzero(keys == key)
            yield self._view(tuple(codes[which[0], columns])), which

    def keys(self, codes: Array) -> Array:
        """One number for each reading, the same where weights and all else are the same."""
        kernel, recurrent, bias = self.weights.places(codes)
        return self.space.keys(codes, {"kernel": kernel, "recurrent": recurrent, "bias": bias})

    def _view(self, key: tuple[int, ...]) -> View:
        if key not in self._views:
            values = (self.space.values[n][c] for n, c in zip(_VIEW, key, strict=True))
            layout, reverse, flip, lengths = values
            given = self.layouts[layout]
            turned = self.backward or reverse or self.how.behaviour.go_backwards
            flipped = (turned and not self.how.behaviour.go_backwards) != flip
            valid = given.valid if lengths == "given" else None
            self._views[key] = self._on_a_row(
                course(given.x, given.expected, turned, flipped, valid)
            )
        return self._views[key]

    def _on_a_row(self, whole: Course) -> View:
        """The row that is known from the earliest step on, and of those the one known best."""
        is_known = sum(np.isfinite(k.values).sum(axis=2) for k in whole.known.values())  # (T, B)
        early = (np.cumsum(np.asarray(is_known) > 0, axis=0) > 0).sum(axis=0)
        row = int(np.lexsort((np.asarray(is_known).sum(axis=0), early))[-1])
        one = slice(row, row + 1)
        known = {name: Known(k.values[:, one], k.half[:, one]) for name, k in whole.known.items()}
        view = Course(whole.x[:, one], known)
        allowed = {name: self.allowance.of(k) for name, k in known.items()}
        return View(view, allowed, view.first_step(self.names), row)

    def start(self, initial: str, rows: slice) -> Start:
        """h (B, P) and c (B, H) of some rows, (1, P) and (1, H) of all; None if they are zero."""
        if initial == "zero":
            return None
        if self.state is not None:
            h, c = self.state[::-1] if initial == "swapped" else self.state
            return h[rows], c[rows]
        cell = self.weights.cell
        if cell.initial_h is None or cell.initial_c is None:
            return None
        states = [np.atleast_2d(state) for state in (cell.initial_h, cell.initial_c)]
        h, c = (state if len(state) == 1 else state[rows] for state in states)
        return h, c

    def starts(self, codes: Array, row: int) -> Iterator[tuple[Start, Array]]:
        """The readings (places) that start from the same state."""
        column = codes[:, self.space.column("initial_state")]
        for code in distinct(column):
            initial = self.space.values["initial_state"][code]
            yield self.start(initial, slice(row, row + 1)), np.flatnonzero(column == code)

    def runs(self, codes: Array) -> Iterator[tuple[View, Start, Array]]:
        """The readings (places) that share a view and a start, with these."""
        for view, of_view in self.views(codes):
            for start, n in self.starts(codes[of_view], view.row):
                yield view, start, of_view[n]

    def batch(
        self,
        codes: Array,
        constants: Constants,
        start: Start,
        units: Array | None = None,
        dtype: Any = np.float64,
    ) -> Batch:
        """Readings of one view and one start, before the first step."""
        return Batch(self._readings(codes, units, dtype), constants, start, 1)

    def _readings(self, codes: Array, units: Array | None, dtype: Any) -> Readings:
        """Few readings are kept: constants are refined by stepping the same ones many times."""
        if len(codes) > FEW:
            return Readings(self.weights, codes, units, dtype)
        key = (codes.tobytes(), None if units is None else units.tobytes(), np.dtype(dtype).char)
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = Readings(self.weights, codes, units, dtype)
        return self._kept[key]

    def sampled(self) -> Array | None:
        """Units that a first step can do with; None: all."""
        cell = self.weights.cell
        if cell.units <= UNITS or not single_unit_steps_alone(cell):
            return None
        return np.linspace(0, cell.units - 1, UNITS).astype(int)

    def telling_unit(self, view: View) -> int:
        """The unit whose first step EXPECTED tells with the most digits."""
        digits = sum(
            np.nan_to_num(np.abs(known.values[0, 0]) / view.allowed[name][0, 0])
            for name, known in view.course.known.items()
            if known.values.shape[2] == self.weights.cell.units and name != "f"
        )
        return int(np.argmax(digits))

    # ---- against EXPECTED

    def off(
        self,
        batch: Batch,
        arrays: Mapping[str, Array],
        view: View,
        step: int,
        hidden: tuple[str, ...] = (),
    ) -> Iterator[tuple[str, Array, Array, Array]]:
        """Of a step: name, what each reading gives (n, K), EXPECTED (K,) and its tolerance (K,).

        Only what is known is given; ``hidden`` arrays are left out.
        """
        codes = batch.codes[:, self.space.column("array")]
        for name, known in view.course.known.items():
            if name not in arrays or name in hidden:
                continue
            expected, allowed = known.values[step, 0], view.allowed[name][step, 0]
            if batch.units is not None:
                expected, allowed = expected[batch.units], allowed[batch.units]
            is_known = np.flatnonzero(np.isfinite(expected))
            if not is_known.size:
                continue
            given = arrays[name][:, 0]
            if codes.any():
                given = given.copy()
                for code in distinct(codes[codes > 0]):
                    which = codes == code
                    given[which] = arrays[self.space.values["array"][code]][which, 0]
            yield name, given[:, is_known], expected[is_known], allowed[is_known]


def _idle_in_decoding(decoder: Decoder, cell: Cell, how: Convention) -> Iterator[str]:
    """Settings of a fused kernel where there is none, or of one tensor where each gate has its."""
    other = decoder({"rows": "hx" if how.storage.rows == "xh" else "xh"})
    if np.array_equal(other.kernel, cell.kernel):
        yield "rows"
    other = decoder({"interleaved": not how.storage.interleaved})
    if cell.units > 1 and np.array_equal(other.kernel, cell.kernel):
        yield "interleaved"


def _assumed(how: Convention, layout: str) -> dict[str, Any]:
    """The value of each column in a convention."""
    assumed = {name: how.setting(name) for name in COLUMNS}
    for tensor in ("kernel", "recurrent", "bias"):
        assumed[f"{tensor}_gates"] = how.storage.order_of(tensor)
    if len(how.storage.gates) < len(
        GATES
    ):  # coupled gates of three blocks are searched in no other order
        assumed |= dict.fromkeys(("kernel_gates", "recurrent_gates", "bias_gates"), "ifgo")
    return assumed | {"layout": layout, "array": "h", "lengths": "given"}


def with_allowance(bench: Bench, allowance: Allowance) -> Bench:
    """The same bench with another tolerance; what was decoded is shared."""
    other = copy(bench)
    other.allowance, other._views = allowance, {}
    return other
