"""Several cells: layer by layer where EXPECTED shows each, as a whole where it does not.

A cell whose inputs are known and whose own arrays EXPECTED holds is a question of its own. What is
found for the first cell that needs a change is tried on all cells, then on its layer, then on it
alone. Where only the top of a stack is known, readings are run whole, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.explain import words
from lstmcli.core.explain.bench import Allowance
from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.judge import Case, Verdict, judged, settings_of
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.result import Changed, Explanation, Near
from lstmcli.core.explain.search import Progress
from lstmcli.core.explain.solver import Solver
from lstmcli.core.explain.space import Change, Changes
from lstmcli.core.explain.telling import told
from lstmcli.core.explain.who import row_of
from lstmcli.core.model import Model, as_time_major
from lstmcli.core.rounding import ROUNDED
from lstmcli.core.run import merged, valid_steps
from lstmcli.core.states import split_state

Array = npt.NDArray[Any]

TOP_LEVELS = 2  # changes at once in the last layer alone


class Network:
    """A case of several cells."""

    def __init__(self, prepared: Prepared, case: Case) -> None:
        self.prepared, self.case = prepared, case
        self.model: Model = prepared.model
        self.allowance: Allowance = prepared.allowances[-1]
        self.expected: Expected = case.expected[case.layout]
        self.base = prepared.base(case)
        self.tried = 0

    def judge(self, changes: Changes) -> Verdict:
        """A whole run of the network."""
        self.tried += 1
        return judged(self.case, changes, self.allowance)

    # ---- cell by cell

    @property
    def closest(self) -> float:
        """How near single changes of the lowest cells come; infinite if those are not told."""
        total = 0.0
        inputs = self.inputs_of(0, (), set())
        for d in range(len(self.model.layers[0])):
            own = self.expected.part(f"layer0{'_reverse' * d}")
            if not own.numbers or inputs is None:
                return np.inf
            total += self.solver_of((0, d), inputs, own, ()).closest
        return total

    def by_cells(self, progress: Progress, levels: int = 3) -> Explanation | None:
        """What is found cell by cell; None if no cell can be asked by itself."""
        done: Changes = ()
        first: tuple[str, Explanation] | None = None
        settled: set[str] = set()
        for n, layer in enumerate(self.model.layers):
            for d in range(len(layer)):
                name = f"layer{n}{'_reverse' * d}"
                own = self.expected.part(name)
                inputs = self.inputs_of(n, done, settled) if own.numbers else None
                if inputs is None:
                    continue
                settled.add(name)
                solver = self.solver_of((n, d), inputs, own, done)
                if solver.judge((), self.allowance).fits:
                    continue
                progress(n / len(self.model.layers), name)
                found = solver.solve(progress, levels)
                self.tried += solver.tried
                if found is None:
                    return self._stuck(name, solver, first) if first or n == 0 else None
                first = first or (name, found)
                for each in self._scopes(found, name, n):
                    if (verdict := self.judge((*done, *each))).fits:
                        return self.found_for((*done, *each), verdict, *first)
                done = (*done, *scoped(plain(found), name))
        return self._stuck("", None, first) if first else None

    def top_alone(self, progress: Progress) -> Explanation | None:
        """Changes of the last layer's cells, those below it as read; None if there are none."""
        n = len(self.model.layers) - 1
        below = {name for name, _ in self.model.cells if not name.startswith(f"layer{n}")}
        inputs = self.inputs_of(n, (), below) if n else None
        if inputs is None:
            return None
        done: Changes = ()
        first: tuple[str, Explanation] | None = None
        for d, name in enumerate(name for name, _ in self.model.cells if name not in below):
            own = self.expected.part(name)
            solver = self.solver_of((n, d), inputs, own, ()) if own.numbers else None
            if solver is None or solver.judge((), self.allowance).fits:
                continue
            found = solver.solve(progress, TOP_LEVELS)
            self.tried += solver.tried
            if found is None:
                return None
            first = first or (name, found)
            done = (*done, *scoped(plain(found), name))
            if (verdict := self.judge(done)).fits:
                return self.found_for(done, verdict, *first)
        return None

    def _scopes(self, found: Explanation, name: str, n: int) -> Iterator[Changes]:
        """The changes of a cell, for all cells, its layer, and itself."""
        changes = plain(found)
        yield changes
        yield scoped(changes, name)
        layer = [c for c, _ in self.model.cells if c.startswith(f"layer{n}")]
        if len(layer) > 1:
            yield tuple(c for cell in layer for c in scoped(changes, cell))
        directions = [
            c for c, _ in self.model.cells if c.endswith("_reverse") == name.endswith("e")
        ]
        if 1 < len(directions) < len(self.model.cells):
            yield tuple(c for cell in directions for c in scoped(changes, cell))

    def inputs_of(self, n: int, done: Changes, settled: set[str]) -> Array | None:
        """What layer n takes, (T, B, I): as recorded, or as the settled cells below give it."""
        major = as_time_major(np.asarray(self.case.x, np.float64), self.case.layout)
        if n == 0:
            return major
        below = self.model.layers[n - 1]
        names = [f"layer{n - 1}{'_reverse' * d}.h" for d in range(len(below))]
        held = [self.expected.sequences.get(name) for name in names]
        if all(k is not None and np.isfinite(k.values).all() for k in held):
            outputs = [k.values for k in held if k is not None]
            return merged(outputs, below[0].convention, None)
        if not settled.issuperset(name.removesuffix(".h") for name in names):
            return None
        trace, _ = self.case.trace({**settings_of(done), "dtype": "float64"})
        return merged([trace.time_major(name) for name in names], below[0].convention, None)

    def solver_of(self, at: tuple[int, int], inputs: Array, own: Expected, done: Changes) -> Solver:
        """A cell, by layer and direction, as a question of its own."""
        n, d = at
        name = f"layer{n}{'_reverse' * d}"
        own = _valid_only(own, self.case)

        def alone(settings: Mapping[str, Any]) -> Model:
            numbers = ("dtype", ROUNDED)  # of all cells
            further = {f"{name}.{k}": v for k, v in settings.items() if k not in numbers}
            dtype = {k: settings[k] for k in numbers if k in settings}
            model = self.case.read({**settings_of(done), **further, **dtype})
            one = model.layers[n][d]
            how = replace(one.convention, merge="concat", states="cells", layout="time")
            how = replace(how, reverse=not how.forward, forward=False) if d == 1 else how
            return replace(model, layers=((replace(one, convention=how),),))

        state: dict[str, Array] = {}
        if self.case.initial_state:
            whole = split_state(self.case.initial_state, self.model, inputs.shape[1])
            h, c = whole[[c for c, _ in self.model.cells].index(name)]
            state = {"h": h, "c": c}
        case = Case(
            alone, inputs, "time", {"time": own}, state, self.case.lengths, _turned(self.case),
            self.case.given,
        )  # fmt: skip
        how = {"dtype": "float64"}
        cells = self.prepared.of_cells.setdefault((at, done), {})
        prepared = replace(self.prepared, model=alone(how), layout="time", cells=cells)
        return Solver(prepared, case)

    def found_for(
        self, changes: Changes, verdict: Verdict, name: str, of_cell: Explanation
    ) -> Explanation:
        """The explanation by changes that were found for a cell of this name, and fit."""
        if len(gathered := self._gathered(changes)) < len(changes):
            alike = self.judge(gathered)
            changes, verdict = (gathered, alike) if alike.fits else (changes, verdict)
        several = any("." in c.setting for c in changes)
        remark = (
            f"{name} is the first that needs a change."
            if several
            else f"{name} is the first that shows it; all {len(self.model.cells)} cells have it."
        )
        explanation = self.explanation(of_cell.verdict, changes, verdict)
        return replace(
            explanation,
            equivalent=tuple(
                self.changed(
                    (*self.base, *(scoped(_plain_of(e), name) if several else _plain_of(e)))
                )
                for e in of_cell.equivalent
            ),
            nearest=of_cell.nearest,
            hidden=of_cell.hidden,
            unseen=of_cell.unseen,
            decide=of_cell.decide,
            untried=of_cell.untried,
            evidence=of_cell.evidence,
            remarks=(remark, *of_cell.remarks),
        )

    def _gathered(self, changes: Changes) -> Changes:
        """Changes with what all cells have alike said once."""
        cells: dict[Change, set[str]] = {}
        for change in changes:
            cell, _, setting = change.setting.rpartition(".")
            cells.setdefault(Change(setting, change.value), set()).add(cell)
        every = {name for name, _ in self.model.cells}
        shared = tuple(change for change, of in cells.items() if "" in of or of >= every)
        return (*shared, *(c for c in changes if _of_all(c) not in shared))

    def _stuck(
        self, name: str, solver: Solver | None, first: tuple[str, Explanation] | None
    ) -> Explanation:
        """Some cells are explained, but not the whole."""
        explanation = self.explanation("none", (), self.judge(()))
        remarks = []
        if first:
            found = words.wording(plain(first[1]))
            remarks.append(f"{first[0]} fits with {found}; what lies above it does not fit yet.")
        if solver is not None:
            remarks.append(f"The figures below are of {name}, with its inputs as recorded.")
            of_cell = solver.none()
            return replace(
                explanation, nearest=self._beside_base(of_cell.nearest), untried=of_cell.untried,
                tried=self.tried, remarks=tuple(remarks),
            )  # fmt: skip
        return replace(explanation, tried=self.tried, remarks=tuple(remarks))

    def _beside_base(self, nearest: Sequence[Near]) -> tuple[Near, ...]:
        base = self.changed(self.base)
        return tuple(replace(near, changes=(*base, *near.changes)) for near in nearest)

    # ---- words

    def explanation(self, verdict: str, changes: Changes, measured: Verdict) -> Explanation:
        """An explanation with the figures of the whole network."""
        if verdict in ("found", "unproven"):
            changes = (*self.base, *changes)
        changed = self.changed(changes)
        settings = {**self.model.settings(), **settings_of(changes)}
        return Explanation(
            verdict,
            settings,
            changed,
            measured,
            tried=self.tried,
            depth=2,
            rows=tuple(row_of(one, self.model.convention) for one in changed),
            laid=self.expected.words,
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
        )

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes with what was assumed, and in words."""
        return told(changes, self._assumed)

    def _assumed(self, change: Change) -> Any:
        cell, _, setting = change.setting.rpartition(".")
        how = dict(self.model.cells)[cell].convention if cell else self.model.convention
        if setting == "reverse" and cell.endswith("_reverse"):
            return not how.forward
        return self.prepared.assumed(setting, how)


def plain(found: Explanation) -> Changes:
    """The changes of an answer, without words."""
    return _plain_of(found.changes)


def _plain_of(changed: Sequence[Changed]) -> Changes:
    return tuple(Change(*item) for c in changed for item in c.settings.items())


def scoped(changes: Changes, cell: str) -> Changes:
    """Changes of one cell alone."""
    return tuple(
        Change(c.setting if c.setting == "dtype" else f"{cell}.{c.setting}", c.value)
        for c in changes
    )


def _of_all(change: Change) -> Change:
    return Change(change.setting.rpartition(".")[2], change.value)


def _valid_only(own: Expected, case: Case) -> Expected:
    """Without what stands where no step counts: rules for that are the whole layer's."""
    shape = as_time_major(np.asarray(case.x), case.layout).shape
    valid = valid_steps(case.lengths, case.mask, shape, case.layout)
    if valid is None:
        return own
    held = {
        name: Known(np.where(valid[:, :, None], known.values, np.nan), known.half)
        for name, known in own.sequences.items()
    }
    return replace(own, sequences=held)


def _turned(case: Case) -> Array | None:
    """The mask as (T, B)."""
    if case.mask is None:
        return None
    mask = np.asarray(case.mask)
    return mask.T if case.layout == "batch" else mask.reshape(len(mask), -1)
