"""How many mistakes of recorded whole models explain names by the model's output.

EXPECTED is what the framework gave. The mistakes are in what explain is told:
settings, states, masks or inputs that are not those of the framework, so that
the answer has to lead back to these.

    python -m tests.core.explain.whole_models [CASE...]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
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

DIGITS = 6
TOLERANCE = 1e-6  # of float32, and of half a unit of six digits
MOVES = 10.0  # tolerances by which a mistake has to move y to be counted

Changes = dict[str, Any]


class Mistake(NamedTuple):
    """What explain is told, and the change that leads back."""

    name: str
    given: dict[str, Any]
    right: Changes  # by setting; of an edit its text


class Question(NamedTuple):
    """A model, what explain is told of it, and the output of the framework."""

    case: str
    weights: str
    x: Array
    y: Array
    settings: dict[str, Any]
    mistakes: tuple[Mistake, ...]

    @property
    def given(self) -> dict[str, Any]:
        """All that explain is told."""
        given: dict[str, Any] = {"layout": "batch", **self.settings}
        for mistake in self.mistakes:
            given |= {k: v for k, v in mistake.given.items() if k != "roll"}
        return given

    @property
    def inputs(self) -> Array:
        """The inputs, a step late where that is the mistake."""
        rolls = any("roll" in mistake.given for mistake in self.mistakes)
        return np.roll(self.x, 1, axis=1) if rolls else self.x

    @property
    def right(self) -> Changes:
        """The changes that lead back."""
        right: Changes = {}
        for mistake in self.mistakes:
            right |= mistake.right
        return right

    @property
    def shows(self) -> bool:
        """Whether the mistakes move y."""
        trace = run(self.weights, self.inputs, **self.given)
        y = trace.y if trace.final_y is None else trace.final_y
        if y.shape == (*self.x.shape[:2], *self.y.shape[1:]):  # of the last step alone
            y = y[:, -1]
        if y.shape != self.y.shape:
            return True
        return bool(np.abs(y - self.y).max() > MOVES * TOLERANCE)

    def ask(self, digits: int | None = None) -> Explanation:
        """The answer to EXPECTED whole, or as printed."""
        if digits is None:
            return explain(self.weights, self.inputs, self.y, **self.given)
        with tempfile.TemporaryDirectory() as folder:
            text = printed(self.y, digits, Path(folder) / "expected.txt")
            return explain(self.weights, self.inputs, text, **self.given)


def single_mistakes(model: Model, x: Array) -> Iterator[Mistake]:
    """One of each kind that the model can have."""
    how = model.convention
    order = value_in(how, "kernel_gates")
    other = order.translate(str.maketrans("fo", "of"))
    yield Mistake("gates", {"gates": other}, {"gates": order})
    more = how.behaviour.forget_bias + 1.0
    yield Mistake(
        "forget bias", {"forget_bias": more}, {"forget_bias": how.behaviour.forget_bias}
    )
    bias = value_in(how, "bias")
    yield Mistake("bias", {"bias": "none"}, {"bias": bias})
    yield Mistake("layout", {"layout": "time"}, {"layout": "batch"})
    yield Mistake("late", {"roll": 1}, {"edit": "inputs.rolled=-1"})
    rng = np.random.default_rng(5)
    batch = len(x)
    state = {}
    cells = [cell for _, cell in model.cells]
    for part in ("h", "c") if len({cell.units for cell in cells}) == 1 else ():
        each = [rng.normal(0, 0.5, (batch, cell.units)) for cell in cells]
        state[part] = np.stack(each) if len(each) > 1 else each[0]
    if state:
        yield Mistake("state", {"initial_state": state}, {"initial_state": "zero"})
    if len(model.layers) > 1:
        name = "layer1.forget_bias"
        yield Mistake("layer", {name: 1.0}, {name: 0.0})
    if model.bidirectional:
        exchanged = {"directions": "exchanged"}
        yield Mistake("directions", exchanged, {"directions": "stored"})
        yield Mistake(
            "one direction",
            {"layer0_reverse.forget_bias": 1.0},
            {"layer0_reverse.forget_bias": 0.0},
        )
    if model.masks:
        yield Mistake("lengths", {"mask": "none"}, {"lengths": (7, 3, 5, 1)})


def questions(case: str, most: int = 2) -> Iterator[Question]:
    """Each mistake of a recorded model, then pairs of them, that move y."""
    weights, arrays, settings = recorded(case)
    x = arrays["inputs"]
    y = arrays["y"] if "y" in arrays else arrays["final_y"]
    single = [*single_mistakes(load(weights, **settings), x)]
    for count in range(1, most + 1):
        for mistakes in combinations(single, count):
            names = [k.rpartition(".")[2] for one in mistakes for k in one.given]
            if len({*names}) < len(names):
                continue
            question = Question(case, weights, x, y, settings, mistakes)
            try:
                if question.shows:
                    yield question
            except UserError:
                continue  # not both at once


def is_named(question: Question, answer: Explanation) -> bool:
    """Whether the answer, or one as good, is the change that leads back."""
    answers = [answer.changes, *answer.equivalent]
    return answer.found and any(_is_right(question.right, one) for one in answers)


def _is_right(right: Changes, changes: Any) -> bool:
    found = {}
    for change in changes:
        found[change.setting] = change.found
    if found.keys() != right.keys():
        return False
    return all(_is_same(found[name], value) for name, value in right.items())


def _is_same(found: Any, right: Any) -> bool:
    if isinstance(right, int | float) and not isinstance(right, bool):
        return abs(float(found) - right) < 1e-3
    return bool(found == right)


def main(cases: list[str]) -> None:
    """Count by kind of output, number of mistakes, and form."""
    counts: dict[tuple[str, int, str], list[int]] = {}
    for case in cases or MODELS:
        try:
            every = [*questions(case)]
        except UserError as error:
            print(f"{case}: {str(error).splitlines()[0][:90]}")
            continue
        for question in every:
            of = "each step" if question.y.ndim == 3 else "one a sequence"
            for form, digits in (("whole", None), ("printed", DIGITS)):
                answer = question.ask(digits)
                named = is_named(question, answer)
                count = counts.setdefault((of, len(question.mistakes), form), [0, 0, 0])
                count[0] += int(named)
                count[1] += int(answer.found and not named)
                count[2] += 1
                if not named:
                    names = " + ".join(one.name for one in question.mistakes)
                    print(f"{case}, {names}, {form}: {answer!r}", flush=True)
    for key, (right, other, asked) in counts.items():
        print(*key, f"{right} of {asked} named, {other} found otherwise")


if __name__ == "__main__":
    main(sys.argv[1:])
