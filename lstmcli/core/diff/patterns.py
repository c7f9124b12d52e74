"""Patterns in a difference, each worded as a suspicion: what may cause it, and what cannot.

Measured on random nets, a forgotten forget bias, a transposed recurrent kernel, recurrent weights
in another gate order and coupled gates all look the same: step 0 agrees, then the two
diverge. So no pattern here names a cause; each names what is possible and what is excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.alignment import ArrayName, Pair
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.rearrangements import ENOUGH, distinct
from lstmcli.core.diff.small import not_a_number, odd_numbers, small_differences
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.hint import Hint, join_with_and
from lstmcli.core.model.vocabulary import GATES

# An error that falls to this part of its start is dying out.
_STATE_GONE = 0.1
# The same of an error that is the initial state's even if it is small: the mean over the sequences,
# at the last step and in the second half. Over 150 seeds and eight sizes (4 to 60 steps), none of
# 1,200 runs does that with noise, int8 weights, noise on the weights, inputs in float16 or scaled,
# or another tanh (of one sequence only, two in 1,000 do); with another state of 0.001 to 0.5 two in
# five do.
_CLEARLY_GONE, _LATE = 0.05, 0.25

# Over the tolerance: h**3 of the largest h of a first step that shows a mistake in what makes it.
# The order of i and o is all but lost in o * tanh(i * g): of 60,000 random layers of 1 to 4
# sequences and 2 to 8 units, with inputs, weights and biases of 0.01 to 1, four have an h above 0.1
# and agree within float32's 1e-5 with i and o exchanged (0.17 at most); with other orders, other
# activations, or other biases, none above 0.04.
_SHOWN = 200

_NEARLY_ALL = 0.8  # of the steps, where an error is carried on


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The arrays of the layer that differs first, by gate or state, in the order of computation."""

    compared: ComparedSides
    pairs: Mapping[str, Pair]
    first: str  # the array of the first divergence: z, a gate, c or h
    at: int  # its step, counted in the order of computation

    @classmethod
    def of(cls, compared: ComparedSides) -> FirstLayer | None:
        """The layer of the first divergence, if that has a step."""
        if compared.first_array is None or compared.first_step is None:
            return None
        name = ArrayName.of(compared.first_array)
        first = compared.pairs[compared.first_array]
        steps = len(first.a.values)
        pairs = {
            part.base: pair
            for pair in compared.pairs.values()
            if pair.stepwise and pair.agrees is not None and len(pair.agrees) == steps
            if (part := ArrayName.of(pair.name)).prefix == name.prefix
        }
        at = steps - 1 - compared.first_step if first.backward else compared.first_step
        return cls(compared, pairs, name.base, at)

    @property
    def pair(self) -> Pair:
        """The pair of the first divergence."""
        return self.pairs[self.first]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.pair.a.values)

    @cached_property
    def wrong(self) -> dict[str, Mask]:
        """(T,) for each array: the steps that differ, in the order of computation."""
        return {
            base: pair.in_order(np.count_nonzero(pair.differs, axis=(1, 2)) > 0)
            for base, pair in self.pairs.items()
        }

    def agree(self, *bases: str) -> bool:
        """Whether these are all there and agree at the step where others differ first."""
        return all(base in self.wrong and not self.wrong[base][self.at] for base in bases)

    def differ(self, *bases: str) -> list[str]:
        """Those of them that differ at that step."""
        return [base for base in bases if base in self.wrong and self.wrong[base][self.at]]

    def name(self, at: int) -> str:
        """``step 3``, as the files count, of a step in the order of computation."""
        if not self.pair.backward:
            return f"step {at}"
        return f"step {self.steps - 1 - at}" + (" (computed first)" if at == 0 else "")

    @cached_property
    def step_errors(self) -> Array:
        """(T, B): the largest error of each step and sequence, relative to the step's numbers.

        In the order of computation; empty unless the first step differs.
        """
        if self.at != 0:
            return np.zeros((0, 1))
        with np.errstate(all="ignore"):
            scale = np.abs(self.pair.b.values.astype(np.float64)).max(axis=(1, 2))
            return self.pair.in_order(self.pair.errors.max(axis=2) / scale[:, None])

    @cached_property
    def is_conclusive(self) -> bool:
        """Whether what agrees before is more than zeros."""
        before = self.pair.b.moved(lambda v: self.pair.in_order(v)[: self.at])
        return not self.pair.tolerance.agree(before.moved(np.zeros_like), before).all()

    @cached_property
    def h_shows_all(self) -> bool:
        """Whether h before the first difference is large enough to exclude what made it."""
        pair = self.pairs.get("h")
        if pair is None:
            return False
        return _shows_all(pair.b.moved(lambda v: pair.in_order(v)[: self.at]), pair.tolerance)

    @cached_property
    def clearly_decays(self) -> bool:
        """Whether the error decays as no rounding, noise or approximation does."""
        errors = self.step_errors.mean(axis=1)  # (T,)
        late = errors[len(errors) // 2 :]
        return _dies_out(errors, _CLEARLY_GONE) and bool(late.max() <= _LATE * errors[0])


def suspicion(compared: ComparedSides, proved: set[str]) -> Hint | None:
    """The first pattern that fits, or None. What was proved already is not suspected again."""
    layer = FirstLayer.of(compared)
    early = odd_numbers(compared) or not_a_number(compared)
    if early is None and (layer is None or not layer.clearly_decays):
        early = small_differences(compared)
    if early or layer is None or "forget_bias" in proved:
        return early
    return next((found for one in _PATTERNS if (found := one.hint(layer))), None)


Facts = Mapping[str, str]
"""What a pattern finds, for its texts."""


class Pattern(NamedTuple):
    """A row of the table: what is seen, what is said of it, and what it excludes."""

    code: str
    facts: Callable[[FirstLayer], Facts | bool | None]
    text: str
    excludes: str = ""
    of_units: bool = True  # only where most units of a row differ, as what acts in the cell does

    def hint(self, layer: FirstLayer) -> Hint | None:
        """The hint where the pattern fits."""
        if self.of_units and not layer.pair.is_dense:
            return None
        facts = self.facts(layer)
        if facts is None or facts is False:
            return None
        here, before = layer.name(layer.at), layer.name(max(layer.at - 1, 0))
        names = dict(zip("ab", layer.compared.names, strict=True)) | {
            "start": layer.name(0), "here": here, "before": before, "small": "", "excludes": "",
        }  # fmt: skip
        names |= {} if facts is True else dict(facts)
        text = self.text.format(**names)
        excludes = (names["excludes"] or self.excludes).format(**names)
        if layer.compared.axes_assumed:  # steps that may be items of the batch exclude nothing
            text = (
                f"If the first axis is time, which neither side says: {text} If it is the batch, "
                "this excludes nothing, and any setting may be the cause: --layout batch compares "
                "again."
            )
        elif excludes and not _may_not_exclude(layer, self.code, excludes):
            text = f"{text} {excludes}"
        return Hint(self.code, text[:1].upper() + text[1:])


def _may_not_exclude(layer: FirstLayer, code: str, excludes: str) -> bool:
    """Whether step 0 may not have been computed first, or the files differ in what is excluded."""
    compared = layer.compared
    if compared.both_ways or (layer.at == 0 and compared.rows_assumed):
        return True
    if layer.pair.backward is None and layer.at == 0:
        last_may_agree = any(layer.pair.parts) or not layer.wrong[layer.first][-1]
        if code == "suspect_initial_state" or last_may_agree:
            return True
    return "forget bias" in excludes and compared.forget_bias_differs


# ---- what is seen


def _turned(layer: FirstLayer, columns: Callable[[Array, int], Mask]) -> Mask | None:
    """The units that ran backward, if what each computed first agrees then, and hardly more."""
    pair = layer.pair
    units = np.arange(pair.a.shape[2])
    if layer.at != 0 or layer.steps < 3 or pair.backward or any(pair.parts):
        return None
    turned = columns(units, units.size // 2)
    wrong: Mask = np.any(np.where(turned, pair.differs[::-1], pair.differs), axis=(1, 2))  # (T,)
    first = np.where(turned, pair.b.values[-1], pair.b.values[0])
    is_it = not wrong[0] and wrong[1:].mean() >= _NEARLY_ALL and np.any(first)
    return turned if is_it else None


def _backward(layer: FirstLayer) -> Facts | None:
    if layer.pair.backward is False or _turned(layer, lambda units, half: units >= 0) is None:
        return None
    state = _BY_CODE["suspect_initial_state"]
    rest = f" If they are of a forward direction: {state.text}" if state.facts(layer) else ""
    return {"last": str(layer.steps - 1), "rest": rest.format(start="Step 0")}


def _side_by_side(layer: FirstLayer) -> Facts | None:
    pair, units = layer.pair, layer.pair.a.shape[2]
    for last_first in (False, True) if pair.name == "h" and units % 2 == 0 else ():
        turned = _turned(layer, lambda n, half, last_first=last_first: (n < half) == last_first)
        if turned is None:
            continue
        first = np.where(turned, pair.b.values[-1], pair.b.values[0])
        halves = (Numbers(first[..., units // 2 :]), Numbers(first[..., : units // 2]))
        shown = all(_shows_all(part, pair.tolerance) for part in halves)
        steps = (layer.steps - 1, 0) if last_first else (0, layer.steps - 1)
        return _of_first_steps("these steps", shown) | {
            "one": str(steps[0]), "other": str(steps[1]), "end": str(units // 2 - 1),
            "half": str(units // 2), "last": str(units - 1),
        }  # fmt: skip
    return None


def _of_first_steps(steps: str, shown: bool) -> dict[str, str]:
    """What steps that agree exclude; or that they are too small to exclude anything."""
    if shown:
        return {"excludes": _MADE_FIRST.replace("{steps}", steps)}
    return {"small": f" At {steps} h is too small to exclude the kernel, bias, gate order or "
            "activations."}  # fmt: skip


def _of_sequences(layer: FirstLayer) -> Facts | None:
    """Some sequences agree at all steps, each other one differs from some step on."""
    wrong = layer.pair.in_order(layer.pair.differs.any(axis=2))  # (T, B)
    some = wrong.any(axis=0)
    starts = wrong.argmax(axis=0)
    carried = [wrong[start:, item].all() for item, start in enumerate(starts) if some[item]]
    if some.all() or not all(carried) or not starts[some].all() or layer.pair.backward is not False:
        return None
    differ = [f"{n} from step {starts[n]} on" for n in np.flatnonzero(some).tolist()]
    shown = ", ".join(differ[:4]) + f" and {len(differ) - 4} more" * (len(differ) > 4)
    agree = np.flatnonzero(~some).tolist()
    return {"agree": ", ".join(map(str, agree[:8])) + ", ..." * (len(agree) > 8), "differ": shown}


def _exchanged_gates(layer: FirstLayer) -> Facts | None:
    """At the first step the gates of one side are those of the other under other names."""
    if layer.at != 0:
        return None
    sigmoids, step = [gate for gate in "ifo" if gate in layer.pairs], -bool(layer.pair.backward)

    def is_other(of_b: str, of_a: str) -> bool:
        a, b = layer.pairs[of_a].a[step], layer.pairs[of_b].b[step]
        return of_a != of_b and a.shape == b.shape and _same(a, b, layer.pairs[of_b].tolerance)

    taken = [f"{x} is {y}" for x in layer.differ(*sigmoids) for y in sigmoids if is_other(x, y)]
    return {"gates": ", ".join(taken)} if taken else None


def _without_activation(layer: FirstLayer) -> Facts | None:
    """The gates of one side are the pre-activations of the other."""
    prefix = f"{ArrayName.of(layer.pair.name).prefix}.".removeprefix(".")
    differ = layer.differ(*GATES)
    for side, other in ("ab", "ba"):
        raw = [gate for gate in differ if _is_raw(layer, f"{prefix}z", prefix + gate, side)]
        if raw and raw == differ:
            sides = dict(zip("ab", layer.compared.names, strict=True))
            return {
                "gates": join_with_and(raw), "side": sides[side], "other": sides[other],
                "verb": "is" if len(raw) == 1 else "are",
            }  # fmt: skip
    return None


def _is_raw(layer: FirstLayer, z: str, gate: str, side: str) -> bool:
    """Whether a gate of a side is the part for that gate of the other side's z."""
    compared = layer.compared
    if z not in compared.arrays["ab".index(side) ^ 1]:
        return False
    pair = compared.cross(*((gate, z) if side == "a" else (z, gate)))
    one, other = (pair.a, pair.b) if side == "a" else (pair.b, pair.a)
    units = one.shape[-1]
    if not pair.placed or other.shape != (*one.shape[:-1], 4 * units):
        return False
    start = GATES.index(gate[-1]) * units
    return _same(one, other[..., start : start + units], pair.tolerance)


def _same(a: Numbers, b: Numbers, test: Tolerance) -> bool:
    """Whether numbers agree, and are enough to tell."""
    enough = distinct(b, np.ones(b.shape, bool), test) >= ENOUGH
    return enough and bool(test.agree(a, b).all())


# Which gates differ at the first step while all others agree: what does that.
_ACTIVATIONS = {
    ("g",): "the activation of the candidate (tanh, relu, ...)",
    ("i", "f", "o"): "the activation of the gates (sigmoid, or one of two hard sigmoids)",
}


def _one_activation(layer: FirstLayer) -> Facts | None:
    differ = tuple(layer.differ("i", "f", "g", "o"))
    if differ not in _ACTIVATIONS or not layer.agree(*(g for g in GATES if g not in differ)):
        return None
    verb = "differs" if len(differ) == 1 else "differ"
    return {"gates": join_with_and(differ), "verb": verb, "cause": _ACTIVATIONS[differ]}


def _cell_update(layer: FirstLayer) -> Facts | None:
    if layer.first != "c" or not layer.agree("i", "f", "g"):
        return None
    carried = "a c that is not carried on, or carried wrongly"
    return {"carried": carried if layer.at else "the initial c"}


def _output(layer: FirstLayer) -> Facts | None:
    if layer.first != "h" or not layer.agree("c"):
        return None
    gate = "" if "o" in layer.pairs else "the output gate or its place in the gate order, "
    with_gates = any(gate in layer.pairs for gate in GATES)
    return {"seen": "c and the gates agree" if with_gates else "c agrees", "gate": gate}


def _after_first_step(layer: FirstLayer) -> dict[str, str] | None:
    """The first step agrees, the second and nearly all later ones do not."""
    if layer.at != 1 or not layer.is_conclusive or layer.compared.both_ways:
        return None
    carried = min(
        wrong[1:].mean() for base, wrong in layer.wrong.items() if base in ("h", layer.first)
    )
    if carried < _NEARLY_ALL:
        return None
    share = "all" if carried == 1 else "nearly all"
    return {"share": share} | _of_first_steps(layer.name(0), layer.h_shows_all)


def _other_gates(layer: FirstLayer) -> Facts | None:
    others, found = layer.differ("i", "g", "o"), _after_first_step(layer)
    return None if found is None or not others else found | {"others": join_with_and(others)}


def _after_some_steps(layer: FirstLayer) -> Facts | None:
    if layer.at < 2 or not layer.is_conclusive:
        return None
    return {"excludes": _HARDLY_LATER} if layer.h_shows_all else {}


def _initial_state(layer: FirstLayer) -> bool:
    errors = layer.step_errors.max(axis=1, initial=0)  # (T,)
    return _dies_out(errors, _STATE_GONE) or layer.clearly_decays


def _dies_out(errors: Array, gone: float) -> bool:
    """Whether errors of steps are largest at the first and fall to a part of that."""
    if len(errors) < 4 or not np.isfinite(errors).all():
        return False
    return bool(not errors.argmax() and errors[-1] <= gone * errors[0])


def _at_once(layer: FirstLayer) -> Facts | None:
    if layer.at != 0 or layer.steps < 2 or not layer.differ("i", "g", "o", "c", "h"):
        return None
    compared = layer.compared
    more = ", the forget bias, the recurrent weights"
    causes = more * (compared.both_ways or compared.forget_bias_differs)
    causes += "".join(f", the layout that {side} assumed" for side in compared.layout_assumed)
    return {
        "more": causes + "; if the first axis is the batch, any setting" * compared.rows_assumed
    }


def _shows_all(h: Numbers, test: Tolerance) -> bool:
    """Whether these h are large enough to differ where i, g, o or activations do."""
    size = float(np.abs(h.values.astype(np.float64)).max(initial=0))
    unit = 0.0 if h.unit is None else float(h.unit.max(initial=0))
    return size**3 >= _SHOWN * (test.atol + test.rtol * size + unit)


# ---- what is said

_RECURRENT = "the recurrent weights (their gate order, the forget gate's place in it, a transpose)"
_NOT_CARRIED = "a state that is not carried on."
_RECURRENCE = (
    "Possible causes: forget bias (TF1 cells add 1 and store it in no tensor), coupled gates, "
    f"{_RECURRENT}, {_NOT_CARRIED}"
)
_NEITHER = "from a zero state on neither the forget gate nor the recurrent weights"
_ONLY_FIRST = (
    "{start} agrees, {share} later steps differ. From a zero state {start} depends on neither the "
    "forget gate nor the recurrent weights."
)
_SHARED = "Excluded: inputs and h before, unless the other gates hardly depend on them here."
_MADE_FIRST = (
    "Excluded unless inputs of {steps} are zero or small: kernel and bias of i, g and o, their "
    "order, activations."
)
_HARDLY_LATER = (
    "Excluded unless they hardly matter here, or inputs were zero before: weights, gate order, "
    "forget bias."
)

_PATTERNS = (
    Pattern(
        "suspect_later_step", _of_sequences,
        "Sequences that agree in full: {agree}; that differ: {differ}. Possible causes: padding, "
        "lengths or a mask on one side only, inputs that differ there.",
        of_units=False,
    ),
    Pattern(
        "suspect_recurrence", _backward,
        "Step {last} agrees and nearly all others differ. If the outputs are of a backward "
        f"direction, step {{last}} was computed first, and depends {_NEITHER}. {_RECURRENCE}"
        "{rest}",
    ),
    Pattern(
        "suspect_recurrence", _side_by_side,
        "Step {one} agrees in units 0 to {end}, step {other} in units {half} to {last}, and nearly "
        "all others differ, as in two directions side by side: what each computes first depends "
        f"{_NEITHER}. {_RECURRENCE}{{small}}",
    ),
    Pattern(
        "suspect_gate_order", _exchanged_gates,
        "At {start} gates agree under other names ({b} / {a}): {gates}. Possible cause: one side "
        "reads the gates of the weights in another order.",
    ),
    Pattern(
        "suspect_activation", _without_activation,
        "At {here} {gates} of {side} {verb} z of {other} before its activation, and the other "
        "gates agree. Possible cause: {side} lacks that activation.",
        _SHARED,
    ),
    Pattern(
        "suspect_forget_gate",
        lambda it: it.first == "f" and it.agree("i", "g") and not it.differ("o"),
        "At {here} the forget gate differs and the other gates agree. Possible causes: forget bias "
        "(TF1 cells add 1 and store it in no tensor), the activation or bias of f, its weights, "
        "coupled gates (f = 1 - i), peepholes.",
        _SHARED,
    ),
    Pattern(
        "suspect_activation", _one_activation,
        "At {here} {gates} {verb} and the other gates agree. Possible cause: {cause}.",
        _SHARED,
    ),
    Pattern(
        "suspect_cell_update", _cell_update,
        "At {here} the gates agree and c does not: c = f*c + i*g is made differently. Possible "
        "causes: {carried}, a clip on c, coupled gates.",
        "Excluded: what makes the gates, such as weights, gate order, forget bias.",
    ),
    Pattern(
        "suspect_output", _output,
        "At {here} {seen}, h does not: they first differ between c and h, in h = o*tanh(c). "
        "Possible causes: {gate}the activation of the output, a projection or its clip, a peephole "
        "of o.",
        "Excluded: all that makes c at {here}.",
    ),
    Pattern(
        "suspect_recurrent_weights", _other_gates,
        f"{_ONLY_FIRST} {{others}} of {{here}} differ too, which forget bias alone does not "
        f"explain. Possible causes: {_RECURRENT}, {_NOT_CARRIED}{{small}}",
    ),
    Pattern(
        "suspect_recurrence", _after_first_step, f"{_ONLY_FIRST} {_RECURRENCE}{{small}}",
    ),
    Pattern(
        "suspect_later_step", _after_some_steps,
        "{start} to {before} agree, {here} is the first to differ. Possible causes: inputs that "
        "differ from {here} on, a sequence length or a mask, a clip, a state reset between chunks.",
    ),
    Pattern(
        "suspect_initial_state", _initial_state,
        "{start} differs most, and the difference decays towards the end. Possible causes: another "
        "initial state, one left over from the run before, or h and c of it exchanged.",
        "Less likely: what acts at every step, such as weights, gate order, activations.",
    ),
    Pattern(
        "suspect_first_step", _at_once,
        "{start} differs already. Possible causes: gate order, kernel (transposed, h before x), "
        "bias (missing, doubled), activations, the direction of time, the initial state{more}.",
        "If the state started at zero, {start} depends on neither the forget bias nor the "
        "recurrent weights, so these are not all of it.",
    ),
)  # fmt: skip
"""Tried from top to bottom; the first that fits is reported."""

_BY_CODE = {one.code: one for one in _PATTERNS}
