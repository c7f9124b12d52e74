"""A case of one cell: its bench, whole runs of it, and which readings come near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.explain.bench import Allowance, Bench, Layout
from lstmcli.core.explain.data import Expected
from lstmcli.core.explain.few import few_of, tells
from lstmcli.core.explain.forcing import forced_run
from lstmcli.core.explain.judge import Case, Verdict, judged
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.result import Answer, Changed, Near
from lstmcli.core.explain.search import closest, nearest
from lstmcli.core.explain.space import Change, Changes
from lstmcli.core.explain.telling import worded
from lstmcli.core.forward.sequence import valid_steps
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell, Model, as_time_major
from lstmcli.core.model.states import split_state


class OneCell:
    """A case with its bench."""

    def __init__(self, prepared: Prepared, case: Case, base: Changes = ()) -> None:
        self.prepared, self.case = prepared, case
        self.base: Changes = base  # what is changed in all readings that are tried here
        self.how: Convention = prepared.model.convention
        self.expected: Expected = case.expected[case.layout]
        self.tight: Allowance = prepared.allowances[-1]

    @cached_property
    def bench(self) -> Bench:
        """The cell on the bench."""
        case, cells = self.case, self.prepared.cells  # shared by all ways EXPECTED can lie
        layouts = {}
        for layout, expected in case.expected.items():
            major = as_time_major(np.asarray(case.x, np.float64), layout)
            valid = valid_steps(case.lengths, case.mask, major.shape, layout)
            layouts[layout] = Layout(major, expected, valid)

        def decoder(settings: Mapping[str, Any]) -> Cell:
            key = tuple(sorted(settings.items()))
            if key not in cells:
                cells[key] = case.read({**settings, "dtype": "float64"}).cell
            return cells[key]

        state = self._state(layouts[case.layout].x.shape[1])
        return Bench(decoder, self.how, layouts, self.tight, state)

    @property
    def quick(self) -> bool:
        """Whether EXPECTED holds the first step, so that a search is short."""
        return not self.bench.late

    @cached_property
    def closest(self) -> float:
        """How near any single reading comes to EXPECTED as it is laid here."""
        return closest(self.bench)

    def _state(self, rows: int) -> tuple[Array, Array] | None:
        """h (B, P) and c (B, H) as they were given, whatever the convention does with them."""
        if not self.case.initial_state:
            return None
        model = self.prepared.model
        given = model.cell.convention.changed({"initial_state": "given"})
        return split_state(self.case.initial_state, _with_convention(model, given), rows)[0]

    # ---- runs

    @cached_property
    def few(self) -> Case | None:
        """A smaller case that rules readings out."""
        return few_of(self.case, self.prepared.model)

    def judge(self, changes: Changes, allowance: Allowance) -> Verdict:
        """As `measure`; of a few rows and steps where these rule a reading out."""
        if self.few is not None and changes and tells(changes):
            verdict = judged(self.few, changes, allowance)
            if not verdict.fits:
                return verdict
        return self.measure(changes, allowance)

    def measure(self, changes: Changes, allowance: Allowance) -> Verdict:
        """A whole run of a reading, held against all of EXPECTED."""
        return judged(
            self.case, changes, allowance, lambda c: forced_run(self.bench, c, self.expected)
        )

    def nearest(self, pairs: bool = True) -> list[Answer]:
        """The readings that come nearest, the nearest first."""
        return nearest(self.bench, self.measure, self.tight, pairs)

    # ---- words

    def near(self, answer: Answer) -> Near:
        """A reading that comes near, in words."""
        return Near(self.changed(answer.changes), answer.verdict)

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes beside those of all readings here, with what was assumed, in words."""
        return worded((*self.base, *changes), self._assumed)

    def _assumed(self, change: Change) -> Any:
        return self.prepared.assumed(change.setting, self.how)


def _with_convention(model: Model, how: Convention) -> Model:
    layers = tuple(tuple(replace(c, convention=how) for c in layer) for layer in model.layers)
    return replace(model, layers=layers)
