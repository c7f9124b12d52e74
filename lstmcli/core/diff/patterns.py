"""Patterns in a difference, each worded as a suspicion: what may cause it, and what cannot.

Measured on random nets, a forgotten forget bias, a transposed recurrent kernel, recurrent weights
in another gate order and coupled gates all look the same: step 0 agrees, then the two
diverge. So no pattern here names a cause; each names what is possible and what is excluded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.diff.compared import ComparedSides, Facts, FirstLayer, Pattern, shows_all
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.rearrangements import ENOUGH, distinct
from lstmcli.core.diff.small import NUMBERS
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.vocabulary import GATES

_MOST_SHOWN = 8  # sequences in a text
_NEARLY_ALL = 0.8  # of the steps, where an error is carried on
_HALF = 0.5  # of the units of last states: those of one direction


def suspicion(compared: ComparedSides, proved: Collection[str]) -> Hint | None:
    """The first row of the tables that fits; ``proved`` are the codes of what was proved."""
    layer = FirstLayer.of(compared)
    decays = layer is not None and layer.clearly_decays
    for one in NUMBERS:  # no small difference where the error decays as that of a state does
        if not (one.is_small and decays) and (facts := one.facts(compared)):
            return one.hint(facts)
    for one in _PATTERNS if layer is not None and "forget_bias" not in proved else ():
        facts = one.facts(layer) if layer.pair.is_dense or not one.of_units else None
        if facts:
            return _worded(one, layer, facts if isinstance(facts, Mapping) else {})
    return None


def _worded(one: Pattern, layer: FirstLayer, facts: Mapping[str, Any]) -> Hint:
    """The hint of a row; what is excluded only where step 0 was computed first for certain."""
    found = one.hint(layer.facts | facts)
    seen, excluded = found.seen[:1].upper() + found.seen[1:], found.excluded
    if layer.compared.axes_assumed:  # steps that may be items of the batch exclude nothing
        seen = f"Steps are taken to be the first axis, which no file specifies. {seen}"
        excluded = "If the first axis is the batch, any setting may be the cause: compare again "
        excluded += "with --layout batch."
    elif "small" in facts or not _may_exclude(layer, one.code, excluded):
        excluded = facts.get("small", "")
    return replace(found, seen=seen, excluded=excluded)


# ---- what is seen of the first step that differs


def _may_exclude(layer: FirstLayer, code: str, excludes: str) -> bool:
    """Whether step 0 was computed first, and the files do not differ in what is excluded."""
    compared, at_once = layer.compared, layer.at == 0
    if not excludes or compared.both_ways or (at_once and compared.rows_assumed):
        return False
    if layer.pair.backward is None and at_once:
        last_may_agree = layer.pair.numbers[0] or not layer.wrong[layer.first][-1]
        if code == "suspect_initial_state" or last_may_agree:
            return False
    return not ("forget" in excludes and compared.forget_bias_differs)


def _turned(layer: FirstLayer) -> Facts:
    """If all units ran backward, or one half, what was computed first agrees and hardly more."""
    pair, units, last = layer.pair, layer.pair.a.shape[2], layer.steps - 1
    second = np.arange(units) >= units // 2
    ways = [(pair.backward is not False, np.ones(units, bool))]
    ways += [(pair.name == "h" and units % 2 == 0, half) for half in (second, ~second)]
    if layer.at != 0 or last < 2 or pair.backward or pair.numbers[0]:
        return None
    for may_be, turned in ways:
        wrong: Mask = np.any(np.where(turned, pair.differs[::-1], pair.differs), axis=(1, 2))
        first = np.where(turned, pair.b.values[-1], pair.b.values[0])
        if not may_be or wrong[0] or wrong[1:].mean() < _NEARLY_ALL or not np.any(first):
            continue
        if turned.all():
            state = "if they are of a forward direction: another initial state"
            return {"seen": _BACKWARD.format(last=last), "more": (state,) * layer.decays}
        halves = np.split(first, 2, axis=-1)
        shown = all(shows_all(Numbers(half), pair.tolerance) for half in halves)
        one, other = (last, 0) if turned[0] else (0, last)
        half = units // 2
        seen = _SIDE_BY_SIDE.format(one=one, other=other, end=half - 1, half=half, last=units - 1)
        return _of_first_steps("these steps", shown) | {"seen": seen}
    return None


def _of_first_steps(steps: str, shown: bool) -> dict[str, object]:
    """What steps that agree exclude; or that they are too small to exclude anything."""
    if shown:
        return {"excludes": _MADE_FIRST.replace("{steps}", steps)}
    return {
        "small": f"At {steps} h is too small to rule out the kernel, bias, gate order or "
        "activations."
    }


def _of_sequences(layer: FirstLayer) -> Facts:
    """Some sequences agree, each other one differs: from some step on, or in its last state.

    Axes that no file specifies may be those of sequences and steps; rows of steps, some of which
    agree before and after one that differs, are sequences.
    """
    differs, compared = layer.pair.differs, layer.compared  # (T, B, H)
    if compared.rows_assumed:
        several = np.count_nonzero(np.diff(np.any(differs, axis=(1, 2)))) > 1
        return _some_agree(layer, int(several))
    return _some_agree(layer, 0) or (_some_agree(layer, 1) if compared.axes_assumed else None)


def _some_agree(layer: FirstLayer, of_steps: int) -> Facts:
    """The sequences that agree and those that differ; None unless there are both.

    ``of_steps`` is the axis of the steps. Where axes are assumed, what differs from the first step
    on may be steps, unless a direction runs back, as one half of the units may.
    """
    pair = layer.pair
    padded = np.zeros(pair.a.shape[:2], bool) if pair.padded is None else pair.padded
    differs, padded = (mask.swapaxes(0, of_steps) for mask in (pair.differs, padded))
    wrong: Mask = np.any(differs, axis=2)  # (T, B)
    some, starts, has_steps = np.any(wrong, axis=0), wrong.argmax(axis=0), len(wrong) > 1
    carried = wrong | padded | (np.arange(len(wrong))[:, None] < starts)
    halves = np.split(differs[0], 2, axis=1) if differs.shape[2] % 2 == 0 else []
    runs_back = pair.backward or not all(half.any() for half in halves)
    known = has_steps and not layer.compared.axes_assumed and np.any(pair.b.values[:, ~some])
    may_start = known or runs_back or starts[some].all()
    fits = may_start if has_steps else differs[wrong].mean() >= _HALF
    if some.all() or not carried[:, some].all() or not fits:
        return None
    agree, differ = (np.flatnonzero(which).tolist() for which in (~some, some))
    at = starts[some].tolist()
    steps = f" from {_indices('step', at if len({*at}) > 1 else at[:1])} on" * has_steps
    every_step = " at every step" * has_steps
    is_assumed = of_steps == 1 or (layer.compared.rows_assumed and not has_steps)
    axis = "if the first axis is the batch, " * is_assumed
    return {
        "agree": f"{axis}{_indices('sequence', agree)} agree{'s' * (len(agree) == 1)}{every_step}",
        "differ": f"{'the others differ' if len(differ) > 1 else 'the other differs'}{steps}",
    }


def _indices(noun: str, numbers: Sequence[int]) -> str:
    """``steps 5 and 3``, or the first ones and ``...``."""
    shown = [*map(str, numbers[:_MOST_SHOWN]), *["..."] * (len(numbers) > _MOST_SHOWN)]
    return f"{noun}{'s' * (len(numbers) > 1)} {join_with_and(shown)}"


def _exchanged_gates(layer: FirstLayer) -> Facts:
    """At the first step the gates of one side are those of the other under other names."""
    if layer.at != 0:
        return None
    gates, step = [gate for gate in "ifo" if gate in layer.pairs], -bool(layer.pair.backward)
    taken = [
        f"{of_b} is {of_a}"
        for of_b in layer.differ(*gates)
        for of_a in gates
        if of_a != of_b
        if _same(layer.pairs[of_a].a[step], layer.pairs[of_b].b[step], layer.pairs[of_b].tolerance)
    ]
    return {"gates": ", ".join(taken)} if taken else None


def _without_activation(layer: FirstLayer) -> Facts:
    """At the first step that differs the gates of one side are parts of the other's z.

    What follows from a wrong gate is wrong in z too.
    """
    differ, compared = layer.differ(*GATES), layer.compared
    start = layer.pair.name.removesuffix(layer.first)
    for side in (0, 1) if differ else ():
        if f"{start}z" in compared.sides[1 - side].arrays and all(
            _is_raw(
                layer, compared.cross(*(start + n for n in ((g, "z"), ("z", g))[side])), g, side
            )
            for g in differ
        ):
            verb = "is" if len(differ) == 1 else "are"
            gates = {"gates": join_with_and(differ), "verb": verb}
            return gates | {"side": compared.names[side], "other": compared.names[1 - side]}
    return None


def _is_raw(layer: FirstLayer, pair: Pair, gate: str, side: int) -> bool:
    """Whether a gate of a side, paired with z of the other, is its part of that."""
    one, z = ((pair.a, pair.b), (pair.b, pair.a))[side]
    units, step = one.shape[-1], -1 - layer.at if pair.backward else layer.at
    first = GATES.index(gate) * units
    is_z = pair.placed and z.shape == (*one.shape[:-1], 4 * units)
    return is_z and _same(one[step], z[step, ..., first : first + units], pair.tolerance)


def _same(a: Numbers, b: Numbers, test: Tolerance) -> bool:
    """Whether numbers agree, and are enough to tell."""
    enough = a.shape == b.shape and distinct(b, np.ones(b.shape, bool), test) >= ENOUGH
    return enough and bool(test.agree(a, b).all())


# Which gates differ at the first step while all others agree: what does that.
_ACTIVATIONS = {
    ("g",): "the activation of the candidate (tanh, relu, ...)",
    ("i", "f", "o"): "the activation of the gates (sigmoid, or one of two hard sigmoids)",
}


def _one_activation(layer: FirstLayer) -> Facts:
    differ = tuple(layer.differ("i", "f", "g", "o"))
    if differ not in _ACTIVATIONS or not layer.agree(*(g for g in GATES if g not in differ)):
        return None
    verb = "differs" if len(differ) == 1 else "differ"
    return {"gates": join_with_and(differ), "verb": verb, "cause": _ACTIVATIONS[differ]}


def _after_first_step(layer: FirstLayer) -> dict[str, object] | None:
    """The first step agrees, the second and nearly all later ones do not."""
    if layer.at != 1 or not layer.is_conclusive or layer.compared.both_ways:
        return None
    carried = min(
        wrong[1:].mean() for base, wrong in layer.wrong.items() if base in ("h", layer.first)
    )
    if carried < _NEARLY_ALL:
        return None
    share = "all" if carried == 1 else "nearly all"
    return {"share": share, **_of_first_steps(layer.name(0), layer.shows_all)}


def _at_once(layer: FirstLayer) -> Facts:
    if layer.at != 0 or layer.steps < 2 or not layer.differ("i", "g", "o", "c", "h"):
        return None
    compared = layer.compared
    causes = []
    if compared.both_ways or compared.forget_bias_differs:
        causes += ["forget bias", _RECURRENT]
    for side_name, side in zip("ab", compared.sides, strict=True):
        assumed = (side.settings or {}).get("assumed")
        listed = assumed if isinstance(assumed, list | tuple) else ()
        if any(str(one).startswith("layout") for one in listed):
            causes += [f"the layout that was assumed for {{{side_name}}}"]
    if compared.rows_assumed:
        causes += ["any setting, if the rows are sequences and not steps"]
    return {"more": causes}


# ---- in words

_FORGET_BIAS = "forget bias (TF1 adds 1 and does not store it)"
_RECURRENT = "recurrent weights: gate order, transposed"
_NOT_CARRIED = "a state that is not carried from step to step"
_RECURRENCE = f"{_FORGET_BIAS}; coupled gates, f = 1 - i; {_RECURRENT}; {_NOT_CARRIED}"
_NEITHER = "does not depend on the forget gate or the recurrent weights"
_BACKWARD = (
    "Step {last} agrees and nearly all others differ. If the outputs are of a backward direction, "
    f"step {{last}} was computed first: from a zero state it {_NEITHER}."
)
_SIDE_BY_SIDE = (
    "Step {one} agrees in units 0 to {end}, step {other} in units {half} to {last}, and nearly all "
    f"others differ, as in two directions side by side. What each computes first {_NEITHER}, if "
    "the state is zero."
)
_ONLY_FIRST = "{start} agrees, {share} later steps differ."
_SHARED = "Ruled out, unless the other gates hardly depend on them here: inputs and the h before."
_MADE_FIRST = (
    "Ruled out, unless the inputs of {steps} are near zero: the kernel, the biases, the order and "
    "the activations of i, g and o."
)
_HARDLY_LATER = "Ruled out, unless inputs were zero before: weights, gate order, forget bias."

_PATTERNS = (
    Pattern(
        "suspect_later_step",
        _of_sequences,
        "{agree}; {differ}. Padding?",
        "lengths or a mask on one side only; inputs, an initial state or a clip that differ there",
        of_units=False,
    ),
    Pattern("suspect_recurrence", _turned, "{seen}", _RECURRENCE),
    Pattern(
        "suspect_gate_order",
        _exchanged_gates,
        "At {start} gates agree under other names ({b} / {a}): {gates}.",
        "another gate order of the weights on one side",
    ),
    Pattern(
        "suspect_activation",
        _without_activation,
        "At {here} {gates} of {side} {verb} z of {other} before its activation, and the other "
        "gates agree.",
        "{side} lacks that activation",
        _SHARED,
    ),
    Pattern(
        "suspect_forget_gate",
        lambda it: it.first == "f" and it.agree("i", "g") and not it.differ("o"),
        "At {here} the forget gate differs and the other gates agree.",
        f"{_FORGET_BIAS}; the activation or bias of f; the weights of f; coupled gates, f = 1 "
        f"- i; peepholes",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        _one_activation,
        "At {here} {gates} {verb} and the other gates agree.",
        "{cause}",
        _SHARED,
    ),
    Pattern(
        "suspect_cell_update",
        lambda it: (
            it.first == "c"
            and it.agree("i", "f", "g")
            and {
                "carried": "a c that is not carried on, or carried wrongly"
                if it.at
                else "the initial c"
            }
        ),
        "At {here} the gates agree and c does not: c = f*c + i*g is computed differently.",
        "{carried}; a clip on c; coupled gates",
        "Ruled out: what the gates depend on, such as weights, gate order, forget bias.",
    ),
    Pattern(
        "suspect_output",
        lambda it: (
            it.first == "h"
            and it.agree("c")
            and {
                "seen": "c and the gates agree" if {*GATES} & {*it.pairs} else "c agrees",
                "gate": "" if "o" in it.pairs else "the output gate or its place in the gate order",
            }
        ),
        "At {here} {seen} and h does not: they first differ between c and h, in h = o*tanh(c).",
        "{gate}; the activation of the output; a projection or its clip; a peephole of o",
        "Ruled out: all that c depends on at {here}.",
    ),
    Pattern(
        "suspect_recurrent_weights",
        lambda it: (
            it.differ("i", "g", "o")
            and (found := _after_first_step(it))
            and found | {"others": join_with_and(it.differ("i", "g", "o"))}
        ),
        f"{_ONLY_FIRST} {{others}} of {{here}} differ too, which forget bias alone does not "
        "explain.",
        f"{_RECURRENT}; {_NOT_CARRIED}",
    ),
    Pattern("suspect_recurrence", _after_first_step, _ONLY_FIRST, _RECURRENCE),
    Pattern(
        "suspect_later_step",
        lambda it: (
            it.at >= 2 and it.is_conclusive and {"excludes": _HARDLY_LATER if it.shows_all else ""}
        ),
        "{start} to {before} agree, {here} is the first to differ.",
        "inputs that differ from {here} on; a sequence length or a mask; a clip; a state "
        "reset between chunks",
    ),
    Pattern(
        "suspect_initial_state",
        lambda it: it.decays,
        "{start} differs most, and the difference decays towards the end.",
        "another initial state; a state that is left over from the run before; h and c of "
        "the initial state exchanged",
        "Less likely: what acts at every step, such as weights, gate order, activations.",
    ),
    Pattern(
        "suspect_first_step",
        _at_once,
        "{start} differs already.",
        "gate order; kernel: transposed, h before x; bias: missing, doubled; activations; "
        "the direction of time; the initial state",
        f"From a zero state {{start}} {_NEITHER}, so these cannot be the only cause.",
    ),
)
"""Tried from top to bottom; the first that fits is reported."""
