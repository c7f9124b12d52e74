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
from lstmcli.core.explain.judge import Case, Verdict, judged
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.result import Changed, Explanation
from lstmcli.core.explain.search import Progress
from lstmcli.core.explain.solver import ALL_ZERO, Solver
from lstmcli.core.explain.space import Change, Changes
from lstmcli.core.explain.telling import told
from lstmcli.core.explain.whole import search_whole
from lstmcli.core.model import Model, as_time_major
from lstmcli.core.run import merged, valid_steps
from lstmcli.core.states import split_state
from lstmcli.errors import UserError

Array = npt.NDArray[Any]

MOST_PLACES = 2  # the likeliest ones that are searched, beside the one that comes nearest


def explain_network(prepared: Prepared, progress: Progress) -> Explanation:
    """The explanation of a model of several cells.

    Raises
    ------
    UserError
        if EXPECTED is no result of such a run.
    """
    cases = prepared.cases()
    if not cases:
        raise UserError(prepared.no_place())
    networks = [Network(prepared, case) for case in cases]
    for network in networks:
        if (verdict := network.judge(())).fits:
            return network.explanation("found" if network.base else "agrees", (), verdict)
    if prepared.all_zero:
        none = networks[0].explanation("none", (), networks[0].judge(()))
        return replace(none, remarks=(ALL_ZERO,))
    nearest = min(networks, key=lambda n: n.judge(()).rms)
    answers = []
    for network in dict.fromkeys([*networks[:MOST_PLACES], nearest]):
        answer = network.by_cells(progress) or search_whole(network, progress)
        if answer.verdict != "none" and len(answer.changes) == 1:
            return answer
        answers.append(answer)
    return min(answers, key=lambda one: (one.verdict == "none", len(one.changes)))


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

    def by_cells(self, progress: Progress) -> Explanation | None:
        """What is found cell by cell; None if no cell can be asked by itself."""
        done: Changes = ()
        first: tuple[str, Explanation] | None = None
        settled: set[str] = set()
        for n, layer in enumerate(self.model.layers):
            for d in range(len(layer)):
                name = f"layer{n}{'_reverse' * d}"
                own = self.expected.part(name)
                inputs = self._inputs(n, done, settled) if own.numbers else None
                if inputs is None:
                    continue
                settled.add(name)
                solver = self._solver(name, (n, d), inputs, own, done)
                if solver.judge((), self.allowance).fits:
                    continue
                progress(n / len(self.model.layers), name)
                found = solver.solve(progress)
                self.tried += solver.tried
                if found is None:
                    return self._stuck(name, solver, first) if first or n == 0 else None
                first = first or (name, found)
                for scoped in self._scopes(found, name, n):
                    if (verdict := self.judge((*done, *scoped))).fits:
                        return self._found((*done, *scoped), verdict, *first)
                done = (*done, *_scoped(_plain(found), name))
        return self._stuck("", None, first) if first else None

    def _scopes(self, found: Explanation, name: str, n: int) -> Iterator[Changes]:
        """The changes of a cell, for all cells, its layer, and itself."""
        changes = _plain(found)
        yield changes
        yield _scoped(changes, name)
        layer = [c for c, _ in self.model.cells if c.startswith(f"layer{n}")]
        if len(layer) > 1:
            yield tuple(c for cell in layer for c in _scoped(changes, cell))
        directions = [
            c for c, _ in self.model.cells if c.endswith("_reverse") == name.endswith("e")
        ]
        if 1 < len(directions) < len(self.model.cells):
            yield tuple(c for cell in directions for c in _scoped(changes, cell))

    def _inputs(self, n: int, done: Changes, settled: set[str]) -> Array | None:
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
        trace, _ = self.case.trace({**_settings(done), "dtype": "float64"})
        return merged([trace.time_major(name) for name in names], below[0].convention, None)

    def _solver(
        self, name: str, at: tuple[int, int], inputs: Array, own: Expected, done: Changes
    ) -> Solver:
        """A cell as a question of its own."""
        n, d = at
        own = _valid_only(own, self.case)

        def alone(settings: Mapping[str, Any]) -> Model:
            further = {f"{name}.{k}": v for k, v in settings.items() if k != "dtype"}
            dtype = {"dtype": settings["dtype"]} if "dtype" in settings else {}
            model = self.case.read({**_settings(done), **further, **dtype})
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
        prepared = replace(self.prepared, model=alone(how), layout="time", cells={})
        return Solver(prepared, case)

    def _found(
        self, changes: Changes, verdict: Verdict, name: str, of_cell: Explanation
    ) -> Explanation:
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
                tuple(
                    c
                    for c in self.changed(_scoped(_plain_of(e), name) if several else _plain_of(e))
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

    def _stuck(
        self, name: str, solver: Solver | None, first: tuple[str, Explanation] | None
    ) -> Explanation:
        """Some cells are explained, but not the whole."""
        explanation = self.explanation("none", (), self.judge(()))
        remarks = []
        if first:
            found = words.wording(_plain(first[1]))
            remarks.append(f"{first[0]} fits with {found}; what lies above it does not fit yet.")
        if solver is not None:
            remarks.append(f"The figures below are of {name}, with its inputs as recorded.")
            of_cell = solver.none()
            return replace(
                explanation, nearest=of_cell.nearest, untried=of_cell.untried,
                tried=self.tried, remarks=tuple(remarks),
            )  # fmt: skip
        return replace(explanation, tried=self.tried, remarks=tuple(remarks))

    # ---- words

    def explanation(self, verdict: str, changes: Changes, measured: Verdict) -> Explanation:
        """An explanation with the figures of the whole network."""
        if verdict in ("found", "unproven"):
            changes = (*self.base, *changes)
        changed = self.changed(changes)
        settings = {**self.model.settings(), **_settings(changes)}
        return Explanation(
            verdict,
            settings,
            changed,
            measured,
            tried=self.tried,
            depth=2,
            rows=tuple(words.row_of(one, self.model.convention) for one in changed),
            laid=self.expected.words,
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
        )

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes with what was assumed, and in words."""
        return told(changes, lambda change: self._assumed(change.setting))

    def _assumed(self, setting: str) -> Any:
        cell, _, plain = setting.rpartition(".")
        how = dict(self.model.cells)[cell].convention if cell else self.model.convention
        if plain == "layout":
            return self.prepared.layout
        if plain == "dtype":
            return self.prepared.dtype
        if plain.endswith("_gates"):
            return how.order_of(plain.removesuffix("_gates"))
        if plain == "reverse" and cell.endswith("_reverse"):
            return not how.forward
        return getattr(how, plain)


def _plain(found: Explanation) -> Changes:
    return _plain_of(found.changes)


def _plain_of(changed: Sequence[Changed]) -> Changes:
    return tuple(Change(*item) for c in changed for item in c.settings.items())


def _scoped(changes: Changes, cell: str) -> Changes:
    """Changes of one cell alone."""
    return tuple(
        Change(c.setting if c.setting == "dtype" else f"{cell}.{c.setting}", c.value)
        for c in changes
    )


def _settings(changes: Changes) -> dict[str, Any]:
    return {change.setting: change.value for change in changes}


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
