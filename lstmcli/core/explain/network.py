"""Several cells, each of which is a question of its own where its inputs and arrays are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.explain.bench import Allowance
from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.few import few_of, tells
from lstmcli.core.explain.judge import Case, Verdict, judged
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.result import Changed, Explanation, Near
from lstmcli.core.explain.solver import Solver
from lstmcli.core.explain.space import Change, Changes, settings_of
from lstmcli.core.explain.telling import worded
from lstmcli.core.explain.words import ONE_WAY, row_of
from lstmcli.core.forward.sequence import merge_directions, valid_steps
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import ROUNDED
from lstmcli.core.model.model import Model, as_time_major
from lstmcli.core.model.states import split_state


class Network:
    """A case of several cells."""

    def __init__(self, prepared: Prepared, case: Case) -> None:
        self.prepared, self.case = prepared, replace(case, kept=prepared.kept)
        self.model: Model = prepared.model
        self.allowance: Allowance = prepared.allowances[-1]
        self.expected: Expected = case.expected[case.layout]
        self.base = prepared.base(case)
        self.names = [
            [f"layer{n}{'_reverse' * d}" for d in range(len(layer))]
            for n, layer in enumerate(self.model.layers)
        ]  # of the cells, layer by layer
        self.tried = 0
        self._verdicts: dict[Changes, Verdict] = {}

    @cached_property
    def few(self) -> Case | None:
        """A smaller case that rules readings out."""
        return few_of(self.case, self.model)

    @property
    def distinct(self) -> int:
        """How many different numbers EXPECTED holds."""
        return self.expected.distinct(self.allowance.of)

    def judge(self, changes: Changes) -> Verdict:
        """A whole run of the network; of a few rows and steps where these rule a reading out."""
        if changes not in self._verdicts:
            self.tried += 1
            self._verdicts[changes] = self._judged(changes)
        return self._verdicts[changes]

    def _judged(self, changes: Changes) -> Verdict:
        if self.few is not None and tells(changes) and changes:
            verdict = judged(self.few, changes, self.allowance)
            if not verdict.fits:
                return verdict
        return judged(self.case, changes, self.allowance)

    def measured(self, changes: Changes) -> Verdict:
        """A whole run, however far it is off."""
        return judged(self.case, changes, self.allowance)

    def inputs_of(self, n: int, done: Changes, settled: set[str]) -> Array | None:
        """What layer n takes, (T, B, I): as recorded, or as the settled cells below give it."""
        major = as_time_major(np.asarray(self.case.x, np.float64), self.case.layout)
        if n == 0:
            return major
        below = self.model.layers[n - 1]
        names = [f"{name}.h" for name in self.names[n - 1]]
        sequences = [self.expected.sequences.get(name) for name in names]
        if all(k is not None and np.isfinite(k.values).all() for k in sequences):
            outputs = [k.values for k in sequences if k is not None]
            return merge_directions(outputs, below[0].convention, None)
        if not settled.issuperset(name.removesuffix(".h") for name in names):
            return None
        trace, _ = self.case.trace({**settings_of(done), "dtype": "float64"})
        return merge_directions(
            [trace.time_major(name) for name in names], below[0].convention, None
        )

    def solver_of(self, at: tuple[int, int], inputs: Array, own: Expected, done: Changes) -> Solver:
        """A cell, by layer and direction, as a question of its own."""
        n, d = at
        name = self.names[n][d]
        own = _valid_only(own, self.case)

        def alone(settings: Mapping[str, Any]) -> Model:
            numbers = ("dtype", ROUNDED)  # of all cells
            further = {f"{name}.{k}": v for k, v in settings.items() if k not in numbers}
            dtype = {k: settings[k] for k in numbers if k in settings}
            model = self.case.read({**settings_of(done), **further, **dtype})
            one = model.layers[n][d]
            how = one.convention.with_behaviour(merge="concat", states="cells", layout="time")
            if d == 1:
                how = how.with_behaviour(reverse=not how.behaviour.forward, forward=False)
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
            placement=self.expected.words,
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
        )

    def proved(self, changes: Changes, measured: Verdict, proven: bool) -> Explanation:
        """The explanation by changes that fit, if EXPECTED proves them."""
        return self.explanation("found" if proven else "unproven", changes, measured)

    def none(
        self, nearest: Sequence[tuple[Changes, Verdict]] = (), untried: Sequence[str] = ()
    ) -> Explanation:
        """Nothing fits: what comes near."""
        return replace(
            self.explanation("none", (), self.judge(())),
            nearest=tuple(Near(self.worded(changes), verdict) for changes, verdict in nearest),
            untried=tuple(untried),
        )

    def worded(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes beside those of all readings here, in words."""
        return self.changed((*self.base, *changes))

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes with what was assumed, and in words."""
        found = worded(changes, self._assumed)
        if not self.prepared.one_way:
            return found
        return tuple(replace(c, sense=ONE_WAY) if c.setting == "array" else c for c in found)

    def _assumed(self, change: Change) -> Any:
        cell, _, setting = change.setting.rpartition(".")
        how = dict(self.model.cells)[cell].convention if cell else self.model.convention
        if setting == "reverse" and cell.endswith("_reverse"):
            return not how.behaviour.forward
        return self.prepared.assumed(setting, how)


def plain(found: Explanation) -> Changes:
    """The changes of an answer, without words."""
    return plain_of(found.changes)


def plain_of(changed: Sequence[Changed]) -> Changes:
    """Changes without words."""
    return tuple(Change(*item) for c in changed for item in c.settings.items())


def scoped(changes: Changes, cell: str) -> Changes:
    """Changes of one cell alone."""
    return tuple(
        Change(c.setting if c.setting == "dtype" else f"{cell}.{c.setting}", c.value)
        for c in changes
    )


def _valid_only(own: Expected, case: Case) -> Expected:
    """Without what stands where no step counts: rules for that are the whole layer's."""
    shape = as_time_major(np.asarray(case.x), case.layout).shape
    valid = valid_steps(case.lengths, case.mask, shape, case.layout)
    if valid is None:
        return own
    sequences = {
        name: Known(np.where(valid[:, :, None], known.values, np.nan), known.half)
        for name, known in own.sequences.items()
    }
    return replace(own, sequences=sequences)


def _turned(case: Case) -> Array | None:
    """The mask as (T, B)."""
    if case.mask is None:
        return None
    mask = np.asarray(case.mask)
    return mask.T if case.layout == "batch" else mask.reshape(len(mask), -1)
