"""EXPECTED and the inputs, brought into the order in which a cell steps.

An array of EXPECTED may be all steps, the first few, one row of a batch, or the last state. What is
not known is NaN. Inputs and EXPECTED lie in time; a cell that runs backwards, or outputs that are
turned round, move them into the order of processing: step s of the loop is row s here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lstmcli.core.diff.alignment import FINAL, SEQUENCE, ArrayName
from lstmcli.core.diff.partial import part_words
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.arrays import Array

TAKEN_AS = "EXPECTED is taken as "
_LAST = f"{TAKEN_AS}the last step"
_AT_ONCE = f"{TAKEN_AS}step 0 of"


@dataclass(frozen=True, eq=False)
class Known:
    """An array of EXPECTED, (T, B, K) or (B, K) for a last state; what is not known is NaN."""

    values: Array
    half: Array  # half a printed unit of each element, or 0; same shape


@dataclass(frozen=True, eq=False)
class Expected:
    """EXPECTED on the axes of a run: sequences by name (T, B, K), last states (B, K)."""

    sequences: Mapping[str, Known]
    finals: Mapping[str, Known]
    words: str = ""  # its placement on the run, where that is not plain
    row: int | None = None  # the row of the batch it is, if it is one of several
    needs: tuple[str, ...] = ()  # settings without which another place says just the same

    def all(self) -> Iterator[tuple[str, Known]]:
        """Every array with its name; last states are ``final_h``, ``final_c``."""
        yield from self.sequences.items()
        yield from self.finals.items()

    def at_known(self, of: Callable[[str, Known], Array]) -> Array:
        """What there is of each known number, by arrays of the same shapes; one after another."""
        parts = [of(name, known)[np.isfinite(known.values)] for name, known in self.all()]
        return np.concatenate(parts) if parts else np.zeros(0)

    @property
    def numbers(self) -> int:
        """How many numbers are known."""
        return sum(int(np.isfinite(known.values).sum()) for _, known in self.all())

    def distinct(self, tolerance: Callable[[Known], Array]) -> int:
        """How many different numbers there are, as far as a tolerance distinguishes them."""
        values, slack = (
            self.at_known(lambda _, k: k.values),
            self.at_known(lambda _, k: tolerance(k)),
        )
        order = np.argsort(values)
        values, slack = values[order], slack[order]
        return 1 + int((np.diff(values) > 2 * slack[1:]).sum()) if values.size else 0

    def part(self, prefix: str) -> Expected:
        """The arrays of one cell, ``layer0_reverse.f`` as ``f``."""
        start = f"{prefix}."

        def own(arrays: Mapping[str, Known]) -> dict[str, Known]:
            return {k[len(start) :]: a for k, a in arrays.items() if k.startswith(start)}

        return replace(self, sequences=own(self.sequences), finals=own(self.finals))


def placements(
    arrays: Mapping[str, Numbers],
    widths: Mapping[str, int],
    steps: int,
    rows: int,
    layout: str,
    said: str | None,
) -> list[Expected]:
    """Every way in which EXPECTED can lie on a run of T steps and B rows, the likeliest first.

    ``widths`` are the numbers of each array of the run; ``layout`` is that of the inputs, and
    ``said`` what EXPECTED's file says of itself.
    """
    found = [Expected({}, {})]
    for name, numbers in arrays.items():
        width = widths.get(name)
        if width is None:
            continue
        ways = list(_ways(name, numbers, width, steps, rows, said or layout))
        found = [
            merged for one in found for way in ways if (merged := _together(one, way)) is not None
        ]
    return [one for one in found if one.numbers]


def _together(a: Expected, b: Expected) -> Expected | None:
    """Both at once, if they speak of the same rows."""
    if (a.sequences or a.finals) and a.row != b.row:
        return None
    one_step = any(one.words.startswith((_LAST, _AT_ONCE)) for one in (a, b))
    if one_step and a.sequences and a.words != b.words:
        return None
    words = a.words if a.words == b.words or not b.words else b.words
    needs = b.needs if a.needs == b.needs or not a.numbers else ()
    return Expected({**a.sequences, **b.sequences}, {**a.finals, **b.finals}, words, b.row, needs)


def _ways(
    name: str, numbers: Numbers, width: int, T: int, B: int, layout: str
) -> Iterator[Expected]:
    """The ways of one array."""
    shape = numbers.shape
    if not shape or shape[-1] != width:
        return
    kind = ArrayName.of(name).kind
    known = np.isfinite(numbers.values)
    stacked = np.stack(
        [
            np.where(known, numbers.values, np.nan).astype(np.float64),
            np.zeros(shape) if numbers.unit is None else np.where(known, numbers.unit, 0) * 0.5,
        ]
    )  # (2, ..., K)
    lead = [n for n in shape[:-1] if n != 1]
    if len(lead) > 2 or kind not in (SEQUENCE, FINAL):
        return
    flat = stacked.reshape(2, *lead, width)
    output = "." not in name or name.endswith(".h")
    finals = list(_finals(name, flat, lead, T, B, kind == SEQUENCE))
    if lead == [B] and len(shape) == 2 and B < T:  # likelier than so many steps of one row
        yield from finals
        finals = []
    if kind == SEQUENCE:
        last: list[Expected] = []
        if output and len(shape) < 3:
            last = list(_last_step(name, flat, T, B))
        first = 1 if "." in name else 0  # of one cell, it is its last state as a rule
        yield from last[:first]
        yield from _sequences(name, flat, lead, T, B, layout, shape)
        yield from finals
        yield from last[first:]  # as many as rows
    else:
        yield from finals
    if kind == SEQUENCE and output and lead == [B] and len(shape) == 2 and T > 1:
        at_once = flat.reshape(2, 1, B, width)
        yield Expected({name: _spread(at_once, T, B, 0)}, {}, _first(1, B, T, B))


def _sequences(
    name: str, flat: Array, lead: list[int], T: int, B: int, layout: str, shape: tuple[int, ...]
) -> Iterator[Expected]:
    width = flat.shape[-1]
    if len(lead) == 2:
        turned = flat.swapaxes(1, 2)
        ways = [turned, flat] if layout == "batch" else [flat, turned]
        for way in ways:
            steps, rows = way.shape[1:3]
            words = _first(steps, rows, T, B)
            if lead[0] == lead[1] and way is ways[1]:  # nothing in its shape says so
                axes = "time, batch" if way is flat else "batch, time"
                words = f"EXPECTED is taken as ({axes}, units)" + words.replace(TAKEN_AS, ": ")
            if steps <= T and rows <= B:
                yield Expected({name: _spread(way, T, B, 0)}, {}, words)
        return
    n = lead[0] if lead else 1
    # which axis the one that is left is: a 3-D array still says it by its place
    axis = None
    if len(shape) == 3 and lead:
        axis = "time" if (shape[0] != 1) == (layout != "batch") else "batch"
        if n > (T if axis == "time" else B):  # it lies otherwise than the inputs
            axis = "batch" if axis == "time" else "time"
    steps = flat.reshape(2, n, 1, width)
    if n <= T and axis != "batch":
        for row in range(B):
            words = _first(n, 1, T, B, row)
            yield Expected({name: _spread(steps, T, B, row)}, {}, words, row if B > 1 else None)
    if n <= B and lead and axis != "time":
        at_once = flat.reshape(2, 1, n, width)
        words = _first(1, n, T, B)
        if T == 1 or axis == "batch":
            yield Expected({name: _spread(at_once, T, B, 0)}, {}, words)


def _last_step(name: str, flat: Array, T: int, B: int) -> Iterator[Expected]:
    """The outputs of every row, or of one, at the last step, where a backward cell has begun.

    Those of a forward cell are its last state.
    """
    needs = ("reverse", "array") if name in ("h", "c") else ()
    width = flat.shape[-1]
    rows = flat.size // (2 * width)
    if T == 1 or rows not in (1, B):
        return
    for row in range(B - rows + 1):
        whole = np.full((2, T, B, width), np.nan)
        whole[:, -1, row : row + rows] = flat.reshape(2, rows, width)
        one = row if rows < B else None
        words = _LAST if one is None else f"{_LAST} of row {row}"
        yield Expected({name: Known(whole[0], np.nan_to_num(whole[1]))}, {}, words, one, needs)


def _finals(
    name: str, flat: Array, lead: list[int], T: int, B: int, guessed: bool
) -> Iterator[Expected]:
    """The last state of all rows, of the first ones, or of one."""
    if len(lead) > 1 or (guessed and (name not in ("h", "c") or T == 1)):
        return
    n, width = (lead[0] if lead else 1), flat.shape[-1]
    if n > B:
        return
    said = f"EXPECTED is taken as the last {name}" if guessed else ""
    rows = flat.reshape(2, n, width)
    for row in range(B if n == 1 else 1):
        known = np.full((2, B, width), np.nan)
        known[:, row : row + n] = rows
        final = f"final_{name}" if guessed else name
        some = f"of the first {n} of {B} rows" if n < B else ""
        which = f"of row {row}" if n == 1 and B > 1 else some
        words = " ".join(w for w in (said or final * bool(which), which) if w)
        one = row if n == 1 and B > 1 else None
        yield Expected({}, {final: Known(known[0], np.nan_to_num(known[1]))}, words, one)


def _spread(part: Array, T: int, B: int, row: int) -> Known:
    """(2, t, b, K) on the axes of a run, NaN around it."""
    steps, rows, width = part.shape[1:]
    whole = np.full((2, T, B, width), np.nan)
    whole[:, :steps, row : row + rows] = part
    return Known(whole[0], np.nan_to_num(whole[1]))


def _first(steps: int, rows: int, T: int, B: int, row: int = 0) -> str:
    words = part_words(steps, rows, T, B, row=row)
    return TAKEN_AS + words if words else ""


@dataclass(frozen=True, eq=False)
class Course:
    """Inputs and EXPECTED in the order of processing, for one way of running a cell."""

    x: Array  # (T, B, I)
    known: Mapping[str, Known] = field(default_factory=dict)  # each (T, B, K)

    def first_step(self, names: tuple[str, ...]) -> int:
        """The first step at which a number of these arrays is known; T if none is."""
        steps = len(self.x)
        for name in names:
            if name in self.known:
                is_known = np.isfinite(self.known[name].values).any(axis=(1, 2))
                steps = min(steps, int(np.argmax(is_known)) if is_known.any() else steps)
        return steps


def course(
    x: Array, expected: Expected, turned: bool, flipped: bool, valid: Array | None
) -> Course:
    """Bring x (T, B, I) and EXPECTED into the order in which a cell steps.

    ``turned``: it starts from the last step. ``flipped``: outputs are turned round afterwards.
    ``valid`` (T, B): steps that count; the others are moved to the end, and not known.
    """
    if turned:
        x, valid = x[::-1], None if valid is None else valid[::-1]
    order = None if valid is None else np.argsort(~valid, axis=0, kind="stable")  # (T, B)
    known = {}
    for name, one in expected.sequences.items():
        pair = np.stack([one.values, one.half])  # (2, T, B, K)
        if flipped:
            pair = pair[:, ::-1]
        if order is not None and valid is not None:
            pair[0][~valid] = np.nan
            pair = np.take_along_axis(pair, order[None, :, :, None], axis=1)
        known[name] = Known(pair[0], pair[1])
    for final, one in expected.finals.items():
        name = final.removeprefix("final_")
        last = np.full(x.shape[1], len(x) - 1) if valid is None else valid.sum(axis=0) - 1  # (B,)
        known[name] = _with_final(known.get(name), one, last, len(x))
    if order is not None:
        x = np.take_along_axis(x, order[:, :, None], axis=0)
    return Course(x, known)


def _with_final(known: Known | None, final: Known, last: Array, steps: int) -> Known:
    """A sequence with a last state put in, where the sequence does not know it already."""
    rows, width = final.values.shape
    values = np.full((steps, rows, width), np.nan) if known is None else known.values.copy()
    half = np.zeros((steps, rows, width)) if known is None else known.half.copy()
    for row in np.flatnonzero(last >= 0):
        place = (last[row], row)
        unknown = ~np.isfinite(values[place])
        values[place] = np.where(unknown, final.values[row], values[place])
        half[place] = np.where(unknown, final.half[row], half[place])
    return Known(values, half)
