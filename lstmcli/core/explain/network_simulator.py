"""Hypotheses about several cells run side by side: each distinct cell once, layer by layer.

A hypothesis is up to two single changes, each of all cells or of some. A cell that two hypotheses
have alike, on the same inputs, is stepped once for both. One sequence of the batch is run, in
float32; nothing here accepts a hypothesis: a run of the network does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.alignment import FINAL, ArrayName
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CONSTANTS, KNOWN_ORDERS, SOLVE
from lstmcli.core.explain.hypotheses import NONE, Change, Changes
from lstmcli.core.explain.observation import Allowance, Expected
from lstmcli.core.explain.search import LEAST_CLIP, ROUNDS, refine
from lstmcli.core.explain.simulator import (
    CHUNK,
    FAR,
    INITIAL_STATES,
    LOOSE,
    Simulator,
    work_of_step,
)
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Model, cell_name

NUMBERS = 600  # of EXPECTED, at most, on which hypotheses are compared
TELLING = 12  # known steps after which those that are left are verified
CHUNK_MEMORY = 2**26  # bytes of the outputs of hypotheses that are run at once
OF_THE_RUN = frozenset({"layout", "lengths", "array", "initial_state"})  # not of a cell
# These need all steps, wherever EXPECTED is known.
OF_TIME = frozenset({"reverse", "flip_output", "go_backwards"})

FIRST_VALUES: Mapping[str, Array] = {
    "forget_bias": np.concatenate([np.arange(-4, 5.0), [6.0, 8.0]]),
    "cell_clip": np.geomspace(0.05, 200, 22),
    "gate_clip": np.geomspace(0.05, 8, 13),
}
"""The coarse grid of a constant; the finer ones are around its best value."""
SPAN, SPAN_OF_CLIP = 1.5, 0.6  # of the first of these: of a bias, and the share of a clip
SHARED, DROPPED = 0.3, 0.2  # of the work, as measured
WORTH_MORE = 1e3  # tolerances, on average, within which a hypothesis is worth more


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Up to two single changes each, by their places among the singles; 0 is none."""

    sets: Array  # (N, 2) places
    values: Array  # (N, 2): of a constant that is to be found; 0 for any other change

    def __len__(self) -> int:
        return len(self.sets)

    def __getitem__(self, which: Any) -> Hypotheses:
        return Hypotheses(self.sets[which], self.values[which])

    def __add__(self, other: Hypotheses) -> Hypotheses:
        return Hypotheses(
            np.concatenate([self.sets, other.sets]), np.concatenate([self.values, other.values])
        )


class _Cell:
    """A cell with its single changes, in codes and constants; the first is none."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator, space = simulator, simulator.space
        places = [
            n for n, one in enumerate(space.singles)
            if one.setting not in OF_THE_RUN
            and (not one.setting.endswith("_gates") or one.value in KNOWN_ORDERS)
        ]  # fmt: skip
        self.changes = [None, *(space.singles[n] for n in places)]
        self.places = np.array([NONE, *places])  # (M,) among the singles of the space
        settings = ["" if c is None else c.setting for c in self.changes]
        self.kinds = np.array([settings.index(setting) for setting in settings])
        self.constant = np.array(  # (M,): the place of an open constant, or -1
            [CONSTANTS.index(c.setting) if c and c.value == SOLVE else -1 for c in self.changes]
        )

    def configured(self, places: Array, values: Array) -> tuple[Array, Array]:
        """Codes (n, F) and constants (n, 3) of hypotheses (n, 2) about it."""
        codes = self.simulator.space.codes(self.places[places])
        constants = self.simulator.cells(codes).constants.copy()
        for k in (0, 1):
            which = np.flatnonzero(self.constant[places[:, k]] >= 0)
            constants[which, self.constant[places[which, k]]] = values[which, k]
        return codes, constants


class KnownNumbers(NamedTuple):
    """Some numbers of an array of EXPECTED, and whose they are."""

    cell: str  # "" for the merged output
    array: str
    at: tuple[Array, ...]  # steps and units, each (E,); only units of a last state
    values: Array  # (E,)
    allowed: Array  # (E,)


class NetworkSimulator:
    """The cells of a network and their single changes.

    Parameters
    ----------
    model
        as loaded, in float64.
    simulators
        of each cell, by name.
    start
        the value of ``initial_state``, if not the assumed one.
    """

    item: int  # the sequence of the batch that is run,
    x: Array  # its inputs (T, I),
    steps: int  # and how far
    targets: list[KnownNumbers]

    def __init__(
        self, model: Model, simulators: Mapping[str, Simulator], start: str | None = None
    ) -> None:
        self.model, self.convention, self.start = model, model.convention, start
        self.layers = [
            [cell_name(n, d) for d in range(len(layer))] for n, layer in enumerate(model.layers)
        ]
        self.cells = {name: _Cell(simulator) for name, simulator in simulators.items()}
        self.singles: list[Changes] = [()]  # of the network; the first is none
        local = [[0] * len(self.cells)]
        for changes, places in self._singles():
            self.singles.append(changes)
            local.append(places)
        self.local = np.array(local)  # (S, C) places among each cell's changes
        names = [{c.setting.rpartition(".")[2] for c in one} for one in self.singles]
        self.is_of_time = np.array([bool(one & OF_TIME) for one in names])  # (S,)
        self.is_open = np.array([any(c.value == SOLVE for c in one) for one in self.singles])
        self.is_clip = self.is_open & np.array(["forget_bias" not in one for one in names])

    def on(
        self,
        x: Array,
        expected: Expected,
        allowance: Allowance,
        valid: Array | None = None,
        array: str = "h",
        steps: int | None = None,
    ) -> NetworkSimulator:
        """The same cells on inputs, compared with EXPECTED.

        Parameters
        ----------
        x, expected
            inputs (T, B, I) and EXPECTED on the axes of the run.
        allowance
            the tolerance of EXPECTED.
        valid
            (T, B) the steps that count, or None.
        array
            what EXPECTED's h is compared with.
        steps
            so many are run where that suffices: of cells that all run forward.
        """
        one = copy(self)
        one.item = _best_known(expected, valid)
        keep = np.arange(len(x)) if valid is None else np.flatnonzero(valid[:, one.item])
        one.x = x[keep, one.item]
        one.steps = len(one.x) if steps is None else min(steps, len(one.x))
        one.targets = list(_targets(expected, allowance, one.item, keep[: one.steps], array))
        return one

    # ---- hypotheses

    def _singles(self) -> Iterator[tuple[Changes, list[int]]]:
        """Each change of all cells, of each layer, of each direction, of each cell."""
        seen = set()
        for group in _groups(self.layers):
            for change in dict.fromkeys(c for name in group for c in self.cells[name].changes if c):
                places = [
                    cell.changes.index(change) if name in group and change in cell.changes else 0
                    for name, cell in self.cells.items()
                ]
                key = (change, *places)
                if key in seen:
                    continue
                seen.add(key)
                cells = [name for name, place in zip(self.cells, places, strict=True) if place]
                names = [f"{name}." for name in cells] if len(cells) < len(places) else [""]
                yield tuple(Change(n + change.setting, change.value) for n in names), places

    @cached_property
    def single_changes(self) -> Hypotheses:
        """Each single change, a constant at every value of its grid."""
        sets, values = [], []
        for n in range(1, len(self.singles)):
            setting = self.singles[n][0].setting.rpartition(".")[2]
            grid = FIRST_VALUES[setting] if self.is_open[n] else np.zeros(1)
            sets += [(n, 0)] * len(grid)
            values += [(value, 0.0) for value in grid]
        return Hypotheses(np.array(sets, int).reshape(-1, 2), np.array(values).reshape(-1, 2))

    def pairs(self, one: Hypotheses, other: Hypotheses) -> Hypotheses:
        """Each with each other but two changes of one setting of one cell; each pair once."""
        n, m = len(one), len(other)
        both = Hypotheses(
            np.stack([np.repeat(one.sets[:, 0], m), np.tile(other.sets[:, 0], n)], axis=1),
            np.stack([np.repeat(one.values[:, 0], m), np.tile(other.values[:, 0], n)], axis=1),
        )
        keep = np.ones(n * m, bool)
        for c, cell in enumerate(self.cells.values()):
            kinds = cell.kinds[self.local[both.sets, c]]  # (N, 2)
            keep &= (kinds[:, 0] != kinds[:, 1]) | (kinds[:, 0] == 0)
        both = both[keep]
        first, _ = _distinct(_ordered(both.sets, both.values))
        return both[np.sort(first)]

    def changes(self, hypotheses: Hypotheses, n: int) -> Changes:
        """The changes of one of some hypotheses, its constants put in."""
        return tuple(
            Change(c.setting, float(value)) if c.value == SOLVE else c
            for place, value in zip(hypotheses.sets[n], hypotheses.values[n], strict=True)
            for c in self.singles[place]
        )

    @property
    def of_run(self) -> float:
        """The work of a run of one of many hypotheses."""
        return sum(map(self._work, self.model.layers))

    def _work(self, layer: Sequence[Cell]) -> float:
        return self.steps * sum(work_of_step(cell) + Budget.CALL / CHUNK for cell in layer)

    @property
    def of_pair(self) -> float:
        """The same of one of many pairs: they share cells below, and most are dropped above."""
        first, *others = map(self._work, self.model.layers)
        if others and self.drops:
            others[-1] *= DROPPED
        return SHARED * first + sum(others)

    @property
    def drops(self) -> bool:
        """Whether hypotheses can be dropped step by step: outputs of a cell are known."""
        return any(target.cell and len(target.at) == 2 for target in self.targets)

    # ---- runs

    def off(self, hypotheses: Hypotheses, dtype: Any = np.float32) -> Array:
        """(N, E) how far off full runs are, in tolerances."""
        return self._in_chunks(hypotheses, False, dtype)[0]

    def off_at(self, hypotheses: Hypotheses, places: Sequence[NetworkSimulator]) -> list[Array]:
        """The same for each of some simulators that differ only in EXPECTED, from one run."""
        every = copy(self)
        every.targets = [target for one in places for target in one.targets]
        every.steps = max(one.steps for one in places)
        ends = np.cumsum([one.numbers for one in places])
        return np.split(every.off(hypotheses), ends[:-1], axis=1)

    @property
    def numbers(self) -> int:
        """How many numbers of EXPECTED a run is compared with."""
        return sum(len(target.values) for target in self.targets)

    def near(self, hypotheses: Hypotheses) -> Array:
        """The hypotheses (places) that stay near EXPECTED.

        A cell that leaves it is stepped no further, so that most take a few steps.
        """
        off, alive = self._in_chunks(hypotheses, self.drops, np.float32)
        near: Array = np.flatnonzero(alive & (np.abs(off) <= LOOSE).all(axis=1))
        return near

    def _in_chunks(self, hypotheses: Hypotheses, drop: bool, dtype: Any) -> tuple[Array, Array]:
        off = np.zeros((len(hypotheses), self.numbers), np.float32)
        alive = np.zeros(len(hypotheses), bool)
        widest = max(cell.units for _, cell in self.model.cells)
        room = CHUNK_MEMORY // (8 * len(self.x) * widest * len(self.cells))
        size = max(8, min(CHUNK, room))
        of_time = self.is_of_time[hypotheses.sets].any(axis=1)
        for chosen, steps in ((~of_time, self.steps), (of_time, len(self.x))):
            places = np.flatnonzero(chosen)
            for at in range(0, len(places), size):
                part = places[at : at + size]
                chunk = _Chunk(self, hypotheses[part], steps, drop, dtype)
                off[part], alive[part] = chunk.off(), chunk.alive
        return off, alive

    @property
    def of_rounds(self) -> float:
        """The work of the calls of a search for constants, of however few hypotheses."""
        return ROUNDS[1] * self.steps * len(self.cells) * Budget.CALL

    def solve(self, hypotheses: Hypotheses) -> tuple[Hypotheses, Array]:
        """The open constant of each by ever finer grids, and the rms that is left (N,).

        One of both changes of each has a constant to be found.
        """
        values = (hypotheses.values * self.is_open[hypotheses.sets]).sum(axis=1)
        widths = np.where(self.have_clip(hypotheses), SPAN_OF_CLIP * values, SPAN)

        def cost(which: Array, points: Array) -> Array:
            tried = self.with_constants(
                hypotheses[np.repeat(which, points.shape[1])], points.ravel()
            )
            squares: Array = mean(self.off(tried, np.float64)).reshape(points.shape[:2]) ** 2
            return squares

        values, squares = refine(cost, values[:, None, None], widths[:, None, None])
        return self.with_constants(hypotheses, values[:, 0]), np.sqrt(squares)

    def are_open(self, hypotheses: Hypotheses) -> Array:
        """(N,): whether a constant of each is to be found."""
        return np.asarray(self.is_open[hypotheses.sets].any(axis=1))

    def have_clip(self, hypotheses: Hypotheses) -> Array:
        """(N,): whether the open constant of each is a clip."""
        have: Array = self.is_clip[hypotheses.sets].any(axis=1)
        return have

    def with_constants(self, hypotheses: Hypotheses, values: Array) -> Hypotheses:
        """The same with values (N,) of their open constants."""
        is_open = self.is_open[hypotheses.sets]
        values = np.where(self.have_clip(hypotheses), np.maximum(values, LEAST_CLIP), values)
        return replace(hypotheses, values=np.where(is_open, values[:, None], hypotheses.values))


class _Chunk:
    """Some hypotheses, run together."""

    def __init__(
        self, of: NetworkSimulator, hypotheses: Hypotheses, steps: int, drop: bool, dtype: Any
    ) -> None:
        self.of, self.hypotheses, self.drop, self.dtype = of, hypotheses, drop, dtype
        self.x = of.x[:steps]
        self.alive = np.ones(len(hypotheses), bool)  # those that were not dropped
        self._arrays: dict[str, dict[str, Array]] = {}  # of each cell: (U, T, K), (U, K) the last
        self._back: dict[str, Array] = {}  # (N,): which of the U distinct runs each hypothesis has

    def off(self) -> Array:
        """(N, E) how far off they are, in tolerances; 0 where they were not dropped early."""
        below: list[str] = []
        for names in self.of.layers:
            for name in names:
                self._run(name, below)
            below = names
        off = [self._off(target) for target in self.of.targets] if not self.drop else []
        return np.concatenate(off, axis=1) if off else np.zeros((len(self.alive), self.of.numbers))

    def _off(self, target: KnownNumbers) -> Array:
        names = [target.cell] if target.cell else self.of.layers[-1]
        *steps, units = target.at
        if target.cell or self.of.convention.behaviour.merge in ("sum", "mul", "ave"):
            given = [self._taken(name, target.array, *steps, units) for name in names]
            merged = merge_directions(given, self.of.convention, None)
        else:  # side by side
            merged, start = np.zeros((len(self.alive), len(units)), self.dtype), 0
            swapped = self.of.convention.behaviour.merge == "concat_swapped"
            for name in reversed(names) if swapped else names:
                width = self._arrays[name][target.array].shape[-1]
                here = np.flatnonzero((start <= units) & (units < start + width))
                at = (*(axis[here] for axis in steps), units[here] - start)
                merged[:, here] = self._taken(name, target.array, *at)
                start += width
        off = np.nan_to_num((merged - target.values) / target.allowed, nan=FAR)
        return np.clip(off, -FAR, FAR)

    def _taken(self, name: str, array: str, *at: Array) -> Array:
        """(N, E) numbers of an array of a cell."""
        index: Any = (slice(None), *at)
        taken: Array = self._arrays[name][array][index][self._back[name]]
        return taken

    def _run(self, name: str, below: Sequence[str]) -> None:
        """Step each distinct cell once over each distinct output of the layer below."""
        cell, place = self.of.cells[name], list(self.of.cells).index(name)
        places = self.of.local[self.hypotheses.sets, place]  # (N, 2)
        values = np.where(cell.constant[places] >= 0, self.hypotheses.values, 0)
        key = _ordered(places, values)
        alive = np.flatnonzero(self.alive)
        backs = [self._back[one][:, None] for one in below]
        first, back = _distinct(np.concatenate([key, *backs], axis=1)[alive])
        first = alive[first]
        self._back[name] = np.zeros(len(key), int)
        self._back[name][alive] = back
        codes, constants = cell.configured(key[first, :2].astype(int), key[first, 2:])
        inputs = [(self._arrays[one]["h"], self._back[one][first]) for one in below]
        behaviour, space = cell.simulator.how.behaviour, cell.simulator.space
        turned, flipped = (
            np.array(space.values[name], bool)[codes[:, space.column(name)]]
            for name in ("reverse", "flip_output")
        )
        turned |= behaviour.go_backwards
        flipped ^= turned & (not behaviour.go_backwards)
        self._arrays[name] = {}
        left = np.zeros(len(codes), bool)
        # what is dropped at once where EXPECTED is known is so by its own way through time
        ways = 2 * turned + flipped if self.drop else np.zeros(len(codes), int)
        for way in np.unique(ways):
            which = np.flatnonzero(ways == way)
            of_time = turned[which], flipped[which]
            left[self._step(name, which, codes, constants, inputs, *of_time)] = True
        self.alive[alive] = left[back]

    def _step(
        self,
        name: str,
        which: Array,
        codes: Array,
        constants: Array,
        inputs: Sequence[tuple[Array, Array]],
        turned: Array,
        flipped: Array,
    ) -> Array:
        """Run hypotheses of a cell; those that are left.

        ``turned`` and ``flipped`` (n,): whether each takes its inputs, and gives its outputs, from
        the last step on. Where hypotheses are dropped, all are alike.
        """
        simulator, constants = self.of.cells[name].simulator, constants[which].astype(self.dtype)
        cells = simulator.cells(codes[which])
        if self.of.start is not None:
            start = np.full(len(which), INITIAL_STATES.index(self.of.start))
            cells = replace(cells, start=start)
        h, c = simulator.start(cells, self.of.item, self.dtype)
        targets = [target for target in self.of.targets if target.cell in (name, "")]
        names = {"h", *(t.array for t in targets if not t.array.startswith("final_"))}
        stepped = [t for t in targets if t.cell and len(t.at) == 2] if self.drop else []
        seen, steps = 0, len(self.x)
        for step in range(steps):
            taken, shown = (_at_step(step, steps, way) for way in (turned, flipped))
            x = self.x[taken].astype(self.dtype)  # (I,), or (n, I)
            if inputs:
                parts = [array[at[which], taken][:, None] for array, at in inputs]
                x = merge_directions(parts, self.of.convention, None)[:, 0]  # (n, I)
            given = simulator.step(simulator.before(cells, x, h, c, step), c, cells, constants)
            h, c = given["h"], given["c"]
            for one in names:
                self._keep(name, one, (len(codes), steps), (which, shown), given[one])
            worst = _worst(stepped, shown, given)
            if worst is None:
                continue
            seen += 1
            stay = np.flatnonzero(worst <= LOOSE)
            if not stay.size or seen >= TELLING:
                return which[stay]
            if len(stay) < len(which):
                which, cells, constants = which[stay], cells.subset(stay), constants[stay]
                turned, flipped = turned[stay], flipped[stay]
                h, c = h[stay], c[stay]
        for one, last in (("final_h", h), ("final_c", c)):
            self._keep(name, one, (len(codes),), (which,), last)
        return which

    def _keep(
        self, name: str, array: str, axes: tuple[int, ...], at: tuple[Any, ...], given: Array
    ) -> None:
        if array not in self._arrays[name]:
            self._arrays[name][array] = np.zeros((*axes, given.shape[-1]), self.dtype)
        self._arrays[name][array][at] = given


def mean(off: Array) -> Array:
    """(N,) the root of the mean square of each hypothesis; inf where no number is compared."""
    if not off.shape[1]:
        return np.full(len(off), np.inf)
    rms: Array = np.sqrt(np.square(off, dtype=np.float64).mean(axis=1))
    return rms


def _at_step(step: int, steps: int, back: Array) -> Any:
    """The step of the run that is the n-th of a cell: of all hypotheses, or (n,) of each."""
    if back.all() or not back.any():
        return steps - 1 - step if back.all() else step
    return np.where(back, steps - 1 - step, step)


def _worst(targets: Sequence[KnownNumbers], step: int, given: Mapping[str, Array]) -> Array | None:
    """(n,) how far off the numbers of a step are at most; None where none is known."""
    worst = []
    for target in targets:
        known = np.flatnonzero(target.at[0] == step)
        if known.size:
            values = given[target.array][:, target.at[1][known]]
            off = np.abs(values - target.values[known]) / target.allowed[known]
            worst.append(np.nan_to_num(off, nan=np.inf).max(axis=1))
    return np.max(worst, axis=0) if worst else None


def _groups(layers: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """The cells that a change may be of: all, those of a layer, of a direction, each."""
    names = [name for layer in layers for name in layer]
    ways = [[n for n in names if n.endswith("_reverse") == back] for back in (False, True)]
    yield from dict.fromkeys(map(tuple, (names, *layers, *ways, *([n] for n in names))))


def _ordered(places: Array, values: Array) -> Array:
    """(N, 4): both places in order, and their values, so that what is alike is equal."""
    order = np.argsort(places, axis=1, kind="stable")
    parts = [np.take_along_axis(part, order, axis=1) for part in (places, values)]
    return np.concatenate(parts, axis=1)


def _distinct(rows: Array) -> tuple[Array, Array]:
    """The places of the first of each row, and which of these each row is."""
    _, first, back = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, back.reshape(-1)


def _best_known(expected: Expected, valid: Array | None) -> int:
    """The sequence of the batch of which most is known, at steps that count."""
    known: Any = 0
    for _, one in expected.all():
        is_known = np.isfinite(one.values)
        if valid is not None and is_known.ndim == 3:
            is_known &= valid[:, :, None]
        known = known + is_known.sum(axis=(*range(is_known.ndim - 2), -1))
    if valid is not None:  # of a sequence without steps nothing is run
        known = np.where(valid.any(axis=0), known, -1)
    return int(np.argmax(known))


def _targets(
    expected: Expected, allowance: Allowance, item: int, keep: Array, array: str
) -> Iterator[KnownNumbers]:
    """Numbers of one sequence of EXPECTED, evenly chosen where there are many."""
    most = max(1, NUMBERS // max(1, len(expected.sequences) + len(expected.finals)))
    for name, known in expected.all():
        part = ArrayName.of(name)
        base = part.base.replace("h", array) if part.base in ("h", "final_h") else part.base
        values, allowed = known.values[..., item, :], allowance.of(known)[..., item, :]
        if part.kind != FINAL:
            values, allowed = values[keep], allowed[keep]
        at = np.nonzero(np.isfinite(values))
        if len(at[0]) > most:
            chosen = np.linspace(0, len(at[0]) - 1, most).astype(int)
            at = tuple(axis[chosen] for axis in at)
        if len(at[0]):
            yield KnownNumbers(part.prefix, base, at, values[at], allowed[at])
