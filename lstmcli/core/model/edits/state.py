"""Edits of the states h (B, P) and c (B, H): at the start, between runs, between steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits.family import LATER, STATES, Arrays, Family, names_of
from lstmcli.core.model.edits.inputs import padded
from lstmcli.core.model.settings import COUNT, Parser
from lstmcli.errors import UserError

State = tuple[Array, Array]
Variants = Mapping[str, tuple[str, Callable[..., Any]]]
"""By name, the words of a part of the step and its function."""

STATE = Family(
    "state",
    "A state is in no file of weights; a start state shows at the first step, and fades",
)


def chosen(which: str, new: State, old: State) -> State:
    """The new h, c or both, and the old ones of the others."""
    h, c = old
    if "h" in which:
        h = new[0]
    if "c" in which:
        c = new[1]
    return h, c


def _add_start(end: str, which: str) -> None:
    line = " = ".join(f"{one}0[:]" for one in which)

    @STATE.edit(
        f"start{end}", "state", lambda v: f"initial {' and '.join(which)} of {v}",
        lambda v: f"{line} = {v}", "a buffer not cleared", f"{line} = 0",
        read=Parser("n", "a number, or ones", ["ones"]), values=("ones", 0.1, 0.5, -1.0, 0.01),
        solved=0.0,
    )  # fmt: skip
    def start(h: Array, c: Array, value: Any) -> State:
        number = 1.0 if value == "ones" else value
        return chosen(which, (np.full_like(h, number), np.full_like(c, number)), (h, c))


for _end, _which in STATES.items():
    _add_start(_end, _which)


@STATE.edit(
    "zero_steps", "run", lambda v: f"{v.steps} of zeros run first",
    lambda v: f"for _ in range({v}): h, c = cell(zeros, h, c)", "audio code that warms up",
    "reset h and c before the first step",
    read=COUNT, values=(1, 2, 3, 4, 5, 8, 10), of_sequence=True,
)  # fmt: skip
def _zero_steps(
    run: Any, x: Array, valid: Array | None, states: Any, steps: int
) -> Any:
    return x, valid, run(padded(x[:0], steps), None, states)


@STATE.edit(
    "previous", "run", "each sequence starts from the end of the one before",
    "h0[b], c0[b] = h, c of b - 1", "loops that reset the state once",
    "reset h and c for each sequence",
    shows="The first sequence agrees, later ones do not", of_sequence=True,
)  # fmt: skip
def _previous(run: Any, x: Array, valid: Array | None, states: Any, _: Any) -> Any:
    starts = [[(h[:1], c[:1]) for h, c in states]]
    for b in range(x.shape[1] - 1):
        one = slice(b, b + 1)
        valid_of_one = None if valid is None else valid[:, one]
        starts.append(run(x[:, one], valid_of_one, starts[-1]))
    joined = []
    for of_cell in zip(*starts, strict=True):
        h, c = zip(*of_cell, strict=True)
        joined.append((np.concatenate(h), np.concatenate(c)))
    return x, valid, joined


@STATE.edit(
    "kept", "run", "the state that a run over the same inputs ended in, kept",
    "h0, c0 = h, c of the last run", "stateful=True, a state used twice",
    "reset h and c before each run", of_sequence=True,
)  # fmt: skip
def _kept(run: Any, x: Array, valid: Array | None, states: Any, _: Any) -> Any:
    return x, valid, run(x, valid, states)


@STATE.edit(
    "array", "state", lambda v: f"another initial state, of {v}",
    lambda v: f'h0, c0 = load("{v}")', "a state of training that is carried on",
    "h0[:] = c0[:] = 0", read=Arrays("h", "c"),
)  # fmt: skip
def _array(h: Array, c: Array, given: Mapping[str, Array]) -> list[Array]:
    states = {"h": h, "c": c}
    return [
        np.broadcast_to(given[k], a.shape).astype(a.dtype) for k, a in states.items()
    ]


# ---- what is passed on from step to step


def _swapped(h: Array, c: Array, first_h: Array, first_c: Array, done: int) -> State:
    if h.shape != c.shape:
        raise UserError("state.passed=swapped: as many h as c are needed.")
    return c.copy(), h.copy()


PASSED: Variants = {
    "swapped": ("c, h", _swapped),
    "c_only": ("h0, c", lambda h, c, first_h, first_c, done: (first_h, c)),
    "h_only": ("h, c0", lambda h, c, first_h, first_c, done: (h, first_c.copy())),
    "tanh_of_h": ("tanh(h), c", lambda h, c, first_h, first_c, done: (np.tanh(h), c)),
    "tanh_of_c": ("h, tanh(c)", lambda h, c, first_h, first_c, done: (h, np.tanh(c))),
}


@STATE.edit(
    "passed", "equations", lambda v: f"what is passed on to the next step: {v}",
    lambda v: f"h, c = {v}", "code that swaps or forgets h, c", "h, c = cell(x[t], h, c)",
    read=names_of(PASSED), shows=LATER,
)  # fmt: skip
def _passed(parts: Any, name: str) -> dict[str, Any]:
    return {"passed": PASSED[name][1]}


def _anew(which: str, is_at: Callable[[int], bool]) -> dict[str, Any]:
    """The initial h, c or both again at some steps."""

    def passed(h: Array, c: Array, first_h: Array, first_c: Array, done: int) -> State:
        if not is_at(done):
            return h, c
        return chosen(which, (first_h, first_c.copy()), (h, c))

    return {"passed": passed}


_STREAMS = "streams that pass no state on"
_PASS_ON = "pass h and c on to the next call"


def _add_chunks(end: str, which: str, name: str, reset: str) -> None:
    @STATE.edit(
        f"chunks{end}", "equations",
        lambda v: f"run in chunks of {v.steps}, each from the initial {name}",
        lambda v: f"if t % {v} == 0: {reset}", _STREAMS, _PASS_ON,
        read=COUNT, shows="The first chunk agrees, later ones do not",
    )  # fmt: skip
    def chunks(parts: Any, size: int) -> dict[str, Any]:
        return _anew(which, lambda step: step % size == 0)


def _add_anew(end: str, which: str, name: str, reset: str) -> None:
    @STATE.edit(
        f"anew{end}", "equations", lambda v: f"the initial {name} again at step {v}",
        lambda v: f"if t in ({v}): {reset}", _STREAMS, _PASS_ON,
        read=Parser("u+", "steps, such as 3,8"), shows="The steps before the first of them agree",
    )  # fmt: skip
    def anew(parts: Any, steps: Sequence[int]) -> dict[str, Any]:
        return _anew(which, lambda step: step in steps)


for _add in (_add_chunks, _add_anew):
    for _end, _which in STATES.items():
        _name = _end.removeprefix(".") or "state"
        _starts = ", ".join(f"{one}0" for one in _which)
        _add(_end, _which, _name, f"{', '.join(_which)} = {_starts}")
