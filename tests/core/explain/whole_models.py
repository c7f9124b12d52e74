"""How many mistakes of recorded whole models explain names by the model's output.

EXPECTED is what the framework gave. The mistakes are in what explain is told:
settings, states, masks or inputs that are not those of the framework, so that
the answer has to lead back to these. A state that is carried is in EXPECTED
instead, which is then a run with that edit: no setting undoes it.

Left out are files with several LSTMs of which one has to be chosen, and models
whose output needs an edit of the head.

    python -m tests.core.explain.whole_models [CASE...] [--most 2] [--sample 60] [--digits 6]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmcli import explain, load, run
from lstmcli.api.explain import Explanation
from lstmcli.core.explain.causes import value_in
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError
from tests.core.explain.asking import printed
from tests.golden_models import MODELS, recorded

SEED = 56
CARRIED = "state.previous"
TOLERANCE = 1e-6  # of float32, and of half a unit of six digits
MOVES = 10.0  # tolerances by which a mistake has to move y to be counted

Changed = tuple[str, Any]  # a setting, or "edit", and its value


class Mistake(NamedTuple):
    """What explain is told, and the change that leads back."""

    name: str
    given: dict[str, Any]
    right: Changed
    is_late: bool = False  # the inputs, by a step
    is_carried: bool = False  # the state in EXPECTED, from sequence to sequence


@dataclass(frozen=True)
class Question:
    """A model, what explain is told of it, and the output of the framework."""

    case: str
    weights: str
    x: Array
    y: Array  # without a carried state
    settings: dict[str, Any]
    mistakes: tuple[Mistake, ...] = ()

    @property
    def given(self) -> dict[str, Any]:
        """All that explain is told."""
        given: dict[str, Any] = {"layout": "batch", **self.settings}
        for mistake in self.mistakes:
            given |= mistake.given
        return given

    @property
    def inputs(self) -> Array:
        """The inputs, a step late where that is the mistake."""
        if any(mistake.is_late for mistake in self.mistakes):
            return np.roll(self.x, 1, axis=1)
        return self.x

    @cached_property
    def expected(self) -> Array:
        """The output of the framework, or of a run that carries the state."""
        if not any(mistake.is_carried for mistake in self.mistakes):
            return self.y
        y = self.of_run(self.x, layout="batch", **self.settings, edits=[CARRIED])
        return y.astype(np.float32)

    @property
    def right(self) -> list[Changed]:
        """The changes that lead back."""
        return [mistake.right for mistake in self.mistakes]

    def of_run(self, x: Array, **given: Any) -> Array:
        """The model's output of these inputs, of the last step where y is."""
        trace = run(self.weights, x, **given)
        output = trace.y if trace.final_y is None else trace.final_y
        y = np.asarray(output)
        if y.ndim == 3 and self.y.ndim == 2:
            return y[:, -1]
        return y

    @property
    def shows(self) -> bool:
        """Whether the mistakes move y."""
        return self._is_off(self.of_run(self.inputs, **self.given))

    @property
    def leads_back(self) -> bool:
        """Whether a run with the right changes gives EXPECTED."""
        given = self.given
        edits = []
        for setting, value in self.right:
            if setting == "edit":
                edits.append(value)
            elif value == "zero":
                del given[setting]
            else:
                given[setting] = value
        if "lengths" in given:
            given.pop("mask", None)
        return not self._is_off(self.of_run(self.inputs, **given, edits=edits))

    def _is_off(self, y: Array) -> bool:
        if y.shape != self.expected.shape:
            return True
        return bool(np.abs(y - self.expected).max() > MOVES * TOLERANCE)

    def ask(self, digits: int | None = None) -> Explanation:
        """The answer to EXPECTED whole, or as printed."""
        if digits is None:
            return explain(self.weights, self.inputs, self.expected, **self.given)
        with tempfile.TemporaryDirectory() as folder:
            text = printed(self.expected, digits, Path(folder) / "expected.txt")
            return explain(self.weights, self.inputs, text, **self.given)


def single_mistakes(
    model: Model, x: Array, lengths: Sequence[int] = ()
) -> Iterator[Mistake]:
    """One of each kind that the model can have; of padded sequences with their lengths."""
    how = model.convention
    order = value_in(how, "kernel_gates")
    other = order.translate(str.maketrans("fo", "of"))
    yield Mistake("gates", {"gates": other}, ("gates", order))
    more = how.behaviour.forget_bias + 1.0
    right = how.behaviour.forget_bias
    yield Mistake("forget bias", {"forget_bias": more}, ("forget_bias", right))
    bias = value_in(how, "bias")
    yield Mistake("bias", {"bias": "none"}, ("bias", bias))
    yield Mistake("layout", {"layout": "time"}, ("layout", "batch"))
    # a mask by values would move with the inputs, and no edit would move it back
    padding = {"lengths": tuple(lengths)} if len(lengths) else {}
    yield Mistake("late", padding, ("edit", "inputs.rolled=-1"), is_late=True)
    yield Mistake("carried", {}, ("edit", CARRIED), is_carried=True)
    rng = np.random.default_rng(5)
    batch = len(x)
    state = {}
    cells = [cell for _, cell in model.cells]
    for part in ("h", "c") if len({cell.units for cell in cells}) == 1 else ():
        each = [rng.normal(0, 0.5, (batch, cell.units)) for cell in cells]
        state[part] = np.stack(each) if len(each) > 1 else each[0]
    if state:
        yield Mistake("state", {"initial_state": state}, ("initial_state", "zero"))
    if len(model.layers) > 1:
        name = "layer1.forget_bias"
        yield Mistake("layer", {name: 1.0}, (name, 0.0))
    if model.bidirectional:
        exchanged = {"directions": "exchanged"}
        yield Mistake("directions", exchanged, ("directions", "stored"))
        name = "layer0_reverse.forget_bias"
        yield Mistake("one direction", {name: 1.0}, (name, 0.0))
    if len(lengths):
        yield Mistake("lengths", {"mask": "none"}, ("lengths", tuple(lengths)))


def questions(case: str, most: int = 2, least: int = 1) -> Iterator[Question]:
    """Each mistake of a recorded model, then pairs of them, that move y."""
    weights, arrays, settings = recorded(case)
    x = arrays["inputs"]
    y = arrays["y"] if "y" in arrays else arrays["final_y"]
    whole = Question(case, weights, x, y, settings)
    if whole.shows:  # another edit of the head is needed
        return
    used = run(weights, x, layout="batch", **settings).settings
    model = load(weights, **settings)
    single = [*single_mistakes(model, x, used.get("lengths", ()))]
    for count in range(least, most + 1):
        for mistakes in combinations(single, count):
            names = [k.rpartition(".")[2] for one in mistakes for k in one.given]
            if len({*names}) < len(names):
                continue
            question = replace(whole, mistakes=mistakes)
            try:
                if question.shows and question.leads_back:
                    yield question
            except UserError:
                continue  # not both at once


def is_named(question: Question, answer: Explanation) -> bool:
    """Whether the answer, or one as good, is the change that leads back."""
    answers = [answer.changes, *answer.equivalent]
    return answer.found and any(_is_right(question.right, one) for one in answers)


def _is_right(right: Sequence[Changed], changes: Any) -> bool:
    found = sorted((change.setting, change.found) for change in changes)
    if len(found) != len(right):
        return False
    return all(
        setting == name and _is_same(value, wanted)
        for (setting, value), (name, wanted) in zip(found, sorted(right), strict=True)
    )


def _is_same(found: Any, right: Any) -> bool:
    if isinstance(right, int | float) and not isinstance(right, bool):
        return abs(float(found) - right) < 1e-3
    return bool(found == right)


def asked(cases: Sequence[str], most: int, sample: int) -> list[Question]:
    """The questions of these models; of those of ``most`` mistakes a sample."""
    every: list[Question] = []
    for case in cases:
        try:
            every.extend(questions(case, most, most if sample else 1))
        except UserError as error:
            print(f"{case}: {str(error).splitlines()[0][:90]}")
    if 0 < sample < len(every):
        return random.Random(SEED).sample(every, sample)
    return every


def main() -> None:
    """Count by kind of output and number of mistakes."""
    parser = argparse.ArgumentParser(prog="python -m tests.core.explain.whole_models")
    parser.add_argument("cases", nargs="*", help="models; without one all")
    parser.add_argument("--most", type=int, default=2, help="mistakes at once")
    parser.add_argument("--sample", type=int, default=0, help="of those of MOST alone")
    parser.add_argument("--digits", type=int, help="of a printed EXPECTED")
    given = parser.parse_args()
    counts: dict[tuple[str, int], list[int]] = {}
    for question in asked(given.cases or MODELS, given.most, given.sample):
        of = "each step" if question.y.ndim == 3 else "one a sequence"
        answer = question.ask(given.digits)
        named = is_named(question, answer)
        count = counts.setdefault((of, len(question.mistakes)), [0, 0, 0])
        count[2] += 1
        if named:
            count[0] += 1
            continue
        if answer.found:
            count[1] += 1
        names = " + ".join(one.name for one in question.mistakes)
        print(f"{question.case}, {names}: {answer!r}", flush=True)
    for key, (named_ones, other, every) in counts.items():
        print(*key, f"{named_ones} of {every} named, {other} found otherwise")


if __name__ == "__main__":
    main()
