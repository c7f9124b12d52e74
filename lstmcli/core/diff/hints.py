"""Hints on a difference: what was proved first, then at most one suspicion.

Proofs are settings that differ, and arrays that agree once rearranged. If these leave something,
one pattern is suspected (``suspect_``), with what is possible and what is excluded: a forgotten
forget bias, a transposed recurrent kernel and coupled gates look the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from lstmcli.core.diff.difference import NUMBERS, Difference, Facts, FirstLayer, Pattern
from lstmcli.core.diff.operand import OF_HEAD, WEIGHTS, ArrayName
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.rearrangements import proves, rearranged
from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.vocabulary import GATES

_MOST_SHOWN = 8  # sequences in a text
_NEARLY_ALL = 0.8  # of the steps, where an error is carried on


def find_hints(compared: Difference) -> list[Hint]:
    """The hints of a comparison, the surest first."""
    if not compared.differing:
        return []
    hints, explained = _proofs(compared)
    # what printed output left out may make a pattern
    sides = (side for pair in compared.pairs.values() for side in (pair.a, pair.b))
    is_explained = explained.issuperset(pair.name for pair in compared.differing)
    if not is_explained and not any(side.left_out.any() for side in sides):
        if _is_of_the_head(compared):
            hints.append(Hint("head", "h agrees, y differs: the head."))
        else:
            hints += suspicions(compared, [hint.code for hint in hints])
    if settings := compared.settings:
        both_set = [
            f"{name} {' / '.join('not set' if v is None else str(v) for v in both)}"
            for name, both in settings.items()
        ]
        a, b = compared.differing[0].names
        text = (
            f"The two runs had different settings ({a} / {b}): {'; '.join(both_set)}."
        )
        hints.insert(0, Hint("settings_differ", text))
    return hints


def _is_of_the_head(compared: Difference) -> bool:
    """Return whether h agrees, and y alone differs."""
    differing = {pair.name for pair in compared.differing}
    agreeing = compared.pairs.keys() - differing
    return differing <= {*OF_HEAD} and not agreeing.isdisjoint({"h", "final_h"})


_STATES = ({"h", "c"}, {"final_h", "final_c"})
_H_IS_C = Hint("h_is_c", "One side returns or reads (c, h), the other (h, c).")
_EXCHANGED = Hint(
    "names_exchanged", "The two sides give the same numbers different names."
)


def _proofs(compared: Difference) -> tuple[list[Hint], set[str]]:
    """Return what rearranging proves, and of which arrays."""
    found: dict[Hint, dict[str, str]] = {}  # one hint for h, c and all gates, not seven
    for pair in compared.differing:
        if one := _nan_in_both(pair) or rearranged(pair):
            text = pair.name
        elif other := _other_name(compared, pair):
            are_states = {
                ArrayName.of(pair.name).base,
                ArrayName.of(other).base,
            } in _STATES
            one = _H_IS_C if are_states else _EXCHANGED
            text = f"{pair.name} of {pair.names[1]} is {other} of {pair.names[0]}"
        else:
            continue
        found.setdefault(one, {})[pair.name] = text
    hints = []
    for one, texts in found.items():
        agree = f"{join_with_and([*texts])} agree{'s' * (len(texts) == 1)}"
        named = f"{', '.join(texts.values())}."
        said = named if one in (_H_IS_C, _EXCHANGED) else agree
        hints.append(replace(one, seen=f"{said} {one.seen}"))
    return [*hints, *_forget_bias(compared)], {
        name for of in found.values() for name in of
    }


def _nan_in_both(pair: Pair) -> Hint | None:
    if pair.agrees is None:
        return None
    both = np.isnan(pair.a.values) & np.isnan(pair.b.values)
    text = (
        "except where both sides are NaN; --equal-nan or equal_nan=True accepts those."
    )
    return Hint("nan_in_both", text) if (both | pair.agrees).all() else None


def _other_name(compared: Difference, pair: Pair) -> str | None:
    """The name of an array of b in a: of its layer, or of the other direction."""
    part, agreed = ArrayName.of(pair.name), pair.agrees
    twins = {
        part.prefix,
        f"{part.prefix}_reverse",
        part.prefix.removesuffix("_reverse"),
    }
    arrays = compared.sides[0].arrays if part.kind != WEIGHTS else {}
    for name in (name for name, array in arrays.items() if array.size):
        other = ArrayName.of(name)
        alike = other.prefix == part.prefix or (
            other.prefix in twins and other.base == part.base
        )
        if name != pair.name and other.kind == part.kind and alike:
            crossed = compared.cross(name, pair.name)
            same = (
                agreed
                if agreed is not None and agreed.shape == crossed.b.shape
                else None
            )
            if proves(crossed.tolerance, crossed.a, crossed.b, same):
                return name
    return None


def _forget_bias(compared: Difference) -> Iterator[Hint]:
    """f of the first divergence differs by a constant before its sigmoid."""
    layer = compared.first_layer
    if layer is None or layer.first != "f":
        return
    pair, at = layer.pair, slice(layer.at, layer.at + 1)
    a, b, differs = pair.a[at], pair.b[at], pair.differs[at]
    inside = np.all([(x.values > 0.001) & (x.values < 0.999) for x in (a, b)], axis=0)
    with np.errstate(all="ignore"):
        gates = (side.values.astype(np.float64) for side in (a, b))
        of_a, of_b = (np.log(gate) - np.log1p(-gate) for gate in gates)
        constant = float(np.median((of_a - of_b)[inside])) if inside.any() else 0.0
        if abs(round(constant, 2) - constant) < 1e-3:  # it was typed by a person
            constant = round(constant, 2)
        moved = Numbers(1 / (1 + np.exp(-of_b - constant)), b.unit)
    if constant and proves(pair.tolerance, a, moved, ~differs):
        more, less = pair.names if constant > 0 else pair.names[::-1]
        yield Hint(
            "forget_bias",
            f"At step {layer.step} {pair.name} differs only by a constant before the sigmoid: "
            f"{more} adds {abs(constant):g} more than {less}. That is the forget bias; "
            "TF1 adds 1 at run time and does not store it.",
        )


def suspicions(compared: Difference, proved: Collection[str]) -> list[Hint]:
    """The first pattern that fits, if any; ``proved`` are the codes of proofs."""
    for one in NUMBERS:
        if facts := one.facts(compared):
            return [one.hint(facts)]
    layer = compared.first_layer
    if layer is None or "forget_bias" in proved:
        return []
    # what acts in the cell reaches most units of a row
    for one in _PATTERNS if layer.pair.is_dense else _PATTERNS[:1]:
        if facts := one.facts(layer):
            found = one.hint(layer.facts | (facts if isinstance(facts, dict) else {}))
            # number 0 of step 0 is the same one in either layout
            if layer.axes_assumed and one.code != "suspect_layout":
                return [replace(found, excluded=_OF_BATCH)]
            if layer.both_ways or (one.if_large and not layer.shows_all):
                return [replace(found, excluded="")]
            return [found]
    return []


def _of_sequences(layer: FirstLayer) -> Facts:
    """Some sequences agree, each other one differs from some step on."""
    pair = layer.pair
    wrong: Mask = np.any(pair.differs, axis=2)  # (T, B)
    some, starts = np.any(wrong, axis=0), wrong.argmax(axis=0)
    carried = wrong | (np.arange(len(wrong))[:, None] < starts)
    carried |= False if pair.padded is None else pair.padded
    known = not layer.axes_assumed and pair.b.values[:, ~some].any()
    if some.all() or not carried[:, some].all() or not (known or starts[some].all()):
        return None
    agree, differ = (np.flatnonzero(which).tolist() for which in (~some, some))
    at = [pair.numbers_of((n,))[0] for n in starts[some].tolist()]
    return {
        "agree": f"{_indices('Sequence', agree)} agree{'s' * (len(agree) == 1)}",
        "differ": "the others differ" if len(differ) > 1 else "the other differs",
        "from": _indices("step", at if len({*at}) > 1 else at[:1]),
    }


def _first_of_some(layer: FirstLayer) -> Facts:
    """The first step of some sequences agrees in all arrays, that of the others does not."""
    if layer.at != 0 or layer.both_ways:
        return None
    at_first = [np.any(pair.differs[0], axis=1) for pair in layer.pairs.values()]
    agree = ~np.any(at_first, axis=0)  # (B,)
    pair = layer.pair
    is_proved = proves(pair.tolerance, pair.a[0, agree], pair.b[0, agree])
    if not is_proved or not layer.is_large(np.s_[0, agree]):
        return None
    return {"agree": _indices("sequence", np.flatnonzero(agree).tolist())}


def _first_of_one(layer: FirstLayer) -> Facts:
    """The first step of sequence 0 alone agrees, which has the same inputs in either layout."""
    facts = _first_of_some(layer)
    if facts != {"agree": "sequence 0"}:
        return None
    other = layer.compared.other_layout
    return {"layout": f"--layout {other}" if other else "the other --layout"}


def _indices(noun: str, numbers: Sequence[int]) -> str:
    """``steps 5 and 3``, or the first ones and ``...``."""
    shown = [*map(str, numbers[:_MOST_SHOWN]), *["..."] * (len(numbers) > _MOST_SHOWN)]
    return f"{noun}{'s' * (len(numbers) > 1)} {join_with_and(shown)}"


def _exchanged_gates(layer: FirstLayer) -> Facts:
    pairs = {gate: layer.pairs[gate] for gate in "ifo" if gate in layer.pairs}
    taken = [
        f"{of_b} is {of_a}"
        for (of_b, pair), (of_a, other) in permutations(pairs.items(), 2)
        if not layer.at and layer.differ(of_b)
        if proves(pair.tolerance, other.a[0], pair.b[0])
    ]
    return {"gates": ", ".join(taken)} if taken else None


def _without_activation(layer: FirstLayer) -> Facts:
    """The gates of one side are parts of the other's z."""
    gates, names = layer.differ(*GATES), layer.pair.names
    for side, other in ((0, 1), (1, 0)) if gates else ():
        if all(_is_raw(layer, gate, side) for gate in gates):
            verb = "is" if len(gates) == 1 else "are"
            of_gates = {"gates": join_with_and(gates), "verb": verb}
            return of_gates | {"side": names[side], "other": names[other]}
    return None


def _is_raw(layer: FirstLayer, gate: str, side: int) -> bool:
    order, of_gate, of_z = 1 - 2 * side, layer.dotted + gate, layer.dotted + "z"
    if of_z not in layer.compared.sides[1 - side].arrays:
        return False
    pair = layer.compared.cross(*(of_gate, of_z)[::order]).as_computed
    one, z = (pair.a, pair.b)[::order]
    units = one.shape[-1]
    if not pair.placed or z.shape != (*one.shape[:-1], 4 * units):
        return False
    first, at = GATES.index(gate) * units, layer.at
    return proves(pair.tolerance, one[at], z[at, ..., first : first + units])


def _after_first_step(layer: FirstLayer) -> Facts:
    """The first step agrees, the second and nearly all later ones do not."""
    if layer.at != 1 or not layer.is_conclusive or layer.both_ways:
        return None
    carried = min(
        layer.wrong[x][1:].mean() for x in {"h", layer.first} & {*layer.wrong}
    )
    return (
        {"share": "all" if carried == 1 else "nearly all"}
        if carried >= _NEARLY_ALL
        else None
    )


def _at_once(layer: FirstLayer) -> Facts:
    if (
        layer.at != 0
        or len(layer.pair.a.values) < 2
        or not layer.differ("i", "g", "o", "c", "h")
    ):
        return None
    more = f"; forget bias; {_RECURRENT}" * layer.both_ways
    more += "".join(
        f"; the layout that was assumed for {name}"
        for name, side in zip(layer.pair.names, layer.compared.sides, strict=True)
        if "layout " in str((side.settings or {}).get("assumed"))
    )
    return {"more": more}


_FORGET_BIAS = "forget bias (TF1 adds 1 and does not store it)"
_RECURRENT = "recurrent weights: gate order, transposed"
_NOT_CARRIED = "a state that is not carried from step to step"
_LATER_INPUTS = "other inputs from {here} on"
_RECURRENCE = (
    f"{_FORGET_BIAS}; weights or activation of f; coupled gates, f = 1 - i; {_RECURRENT}; "
    f"{_NOT_CARRIED}; {_LATER_INPUTS}"
)
_ONLY_FIRST = "{Start} agrees, {share} later steps differ."
_SHARED = "Ruled out, unless the other gates hardly depend on them here: inputs and the h before."
_MADE_FIRST = (
    "Ruled out, unless the inputs of {start} are near zero: the kernel and the biases of i, g and "
    "o, their order and their activations."
)

_OF_BATCH = (
    "If the first axis is the batch, any setting may be the cause: use --layout batch."
)

# tried from top to bottom, after `NUMBERS`
_PATTERNS = (
    Pattern(
        "suspect_later_step",
        _of_sequences,
        "{agree} at every step; {differ} from {from} on. Padding?",
        "lengths or a mask on one side only; inputs, an initial state or a clip that differ there",
    ),
    Pattern(
        "suspect_layout",
        _first_of_one,
        "{Start} of sequence 0 agrees, {start} of the others does not.",
        "steps and sequences exchanged in the inputs: run with {layout}; "
        "other inputs, an initial state, or a state carried from sequence to sequence",
        _MADE_FIRST,
    ),
    Pattern(
        "suspect_first_step",
        _first_of_some,
        "{Start} of {agree} agrees, {start} of the others does not.",
        "other inputs, an initial state, lengths or a mask of the others",
        _MADE_FIRST,
    ),
    Pattern(
        "suspect_gate_order",
        _exchanged_gates,
        "At {start} gates agree under other names ({b} / {a}): {gates}.",
        "another gate order of the weights on one side",
    ),
    Pattern(
        "suspect_activation",
        _without_activation,
        "At {here} {gates} of {side} {verb} z of {other} before its activation.",
        "{side} lacks that activation",
        _SHARED,
    ),
    Pattern(
        "suspect_forget_gate",
        lambda it: it.differ(*GATES) == ["f"] and it.agree(*"ig"),
        "At {here} the forget gate differs and the other gates agree.",
        f"{_FORGET_BIAS}; activation, bias or weights of f; coupled gates, f = 1 - i; peepholes",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        lambda it: it.differ(*GATES) == ["g"] and it.agree(*"ifo"),
        "At {here} g differs and the other gates agree.",
        "the activation of the candidate (tanh, relu, ...)",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        lambda it: it.differ(*GATES) == ["i", "f", "o"] and it.agree("g"),
        "At {here} i, f and o differ and g agrees.",
        "the activation of the gates (sigmoid, or one of two hard sigmoids)",
        _SHARED,
    ),
    Pattern(
        "suspect_cell_update",
        lambda it: it.first == "c" and it.agree(*"ifg"),
        "At {here} the gates agree and c does not: c = f*c + i*g is computed differently.",
        "the initial c, or a c that is carried wrongly; a clip on c; coupled gates",
        "Ruled out: what the gates depend on, such as weights, gate order, forget bias.",
    ),
    Pattern(
        "suspect_output",
        lambda it: it.first == "h" and it.agree("c"),
        "At {here} c agrees and h does not: they first differ between c and h, in h = o*tanh(c).",
        "the output gate, where o is not compared; the output activation; a projection or its "
        "clip; a peephole of o",
        "Ruled out: all that c depends on at {here}.",
    ),
    Pattern(
        "suspect_recurrent_weights",
        lambda it: it.differ("i", "g", "o") and _after_first_step(it),
        f"{_ONLY_FIRST} i, g or o of {{here}} differ too: not by forget bias alone.",
        f"{_RECURRENT}; {_NOT_CARRIED}; {_LATER_INPUTS}",
        _MADE_FIRST,
        if_large=True,
    ),
    Pattern(
        "suspect_recurrence",
        _after_first_step,
        _ONLY_FIRST,
        _RECURRENCE,
        _MADE_FIRST,
        if_large=True,
    ),
    Pattern(
        "suspect_later_step",
        lambda it: it.at >= 2 and it.is_conclusive,
        "{Start} to {before} agree, {here} is the first to differ.",
        f"{_LATER_INPUTS}; a length or a mask; a clip; a state reset between chunks",
        "Ruled out, unless inputs were zero before: weights, gate order, forget bias.",
        if_large=True,
    ),
    Pattern(
        "suspect_initial_state",
        lambda it: it.decays,
        "{Start} differs most, and the difference decays towards the end.",
        "another initial state; one left over from the run before; its h and c exchanged",
        "Less likely: what acts at every step, such as weights, gate order, activations.",
    ),
    Pattern(
        "suspect_first_step",
        _at_once,
        "{Start} differs already.",
        "gate order; kernel: transposed, h before x; bias: missing, doubled; activations; "
        "the direction of time; the initial state{more}",
        "The first step from a zero state depends on neither the forget gate nor the recurrent "
        "weights: if {start} is that, these are not the only cause.",
    ),
)
