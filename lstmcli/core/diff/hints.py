"""Hints on a difference: what was proved first, then at most one suspicion.

A hint needs a proof: the data are equal once rearranged, or the settings in two files differ. Only
where neither explains the difference is a pattern named, as a suspicion (``suspect_``): what is
possible and what is excluded, as a forgotten forget bias, a transposed recurrent kernel and
coupled gates all look the same: step 0 agrees, then the two diverge.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.diff.array_name import WEIGHTS, ArrayName
from lstmcli.core.diff.compared import ComparedSides, Facts, FirstLayer, Pattern
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.rearrangements import proves, rearranged
from lstmcli.core.diff.small import NUMBERS
from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.vocabulary import GATES

_MOST_SHOWN = 8  # sequences in a text
_NEARLY_ALL = 0.8  # of the steps, where an error is carried on
_HALF = 0.5  # of the numbers of a direction


def find_hints(compared: ComparedSides) -> list[Hint]:
    """The hints of a comparison, the surest first; none where nothing differs."""
    if not compared.differing:
        return []
    hints, explained = _proofs(compared)
    sides = [side for pair in compared.pairs.values() for side in (pair.a, pair.b)]
    # of printed output that left numbers out, a pattern may be that of what was printed
    if all(side.left_out is None for side in sides) and any(
        pair.name not in explained for pair in compared.differing
    ):
        half, part = _one_half(compared)
        guess = suspicion(part, [hint.code for hint in hints])
        hints += [hint for hint in (half, guess) if hint is not None]
    if settings := compared.differing_settings:
        both_set = [
            f"{name} {' / '.join('not set' if v is None else str(v) for v in both)}"
            for name, both in settings.items()
        ]
        a, b = compared.names
        text = f"The two runs had different settings ({a} / {b}): {'; '.join(both_set)}."
        hints.insert(0, Hint("settings_differ", text))
    return hints


def _one_half(compared: ComparedSides) -> tuple[Hint | None, ComparedSides]:
    """The hint where one half of the units of h differs, and the comparison of that half."""
    pair = compared.pairs.get("h")
    merges = {str(side.settings.get("merge", "concat")) for side in compared.sides if side.settings}
    is_placed = pair is not None and pair.agrees is not None and pair.stepwise
    if compared.differing != [pair] or pair is None or not is_placed or pair.numbers[2]:
        return None, compared
    half, odd = divmod(pair.a.shape[2], 2)
    wrong = np.flatnonzero(pair.differs.any(axis=(0, 1))).tolist()
    start, units = wrong[0], slice(wrong[0], wrong[0] + half)
    is_half = wrong == [*range(start, start + half)] and start in (0, half) and half > 1
    # where fewer than half of its numbers differ, it is no matter of a direction
    if not is_half or odd or merges - _CONCATENATED or pair.differs[..., units].mean() < _HALF:
        return None, compared
    backward = (start > 0) != (merges == {"concat_swapped"})
    text = (
        f"Only units {start} to {units.stop - 1} of h differ: the {'back' if backward else 'for'}"
        "ward half, if the units are those of two directions side by side."
    )
    part = replace(pair, a=pair.a[..., units], b=pair.b[..., units], backward=backward)
    steps = np.flatnonzero(pair.differs.any(axis=(1, 2)))
    first = None if compared.first_step is None else int(steps[-1 if backward else 0])
    of_half = replace(compared, pairs={"h": part}, first_step=first, is_half=True)
    return Hint("one_half", text), of_half


_CONCATENATED = {"concat", "concat_swapped"}  # merges that keep the output of each direction
_STATES = ({"h", "c"}, {"final_h", "final_c"})
_H_IS_C = Hint("h_is_c", "One side returns or reads (c, h), the other (h, c).")
_EXCHANGED = Hint("names_exchanged", "The two sides give the same numbers different names.")


def _proofs(compared: ComparedSides) -> tuple[list[Hint], set[str]]:
    """Return what rearranging proves, and the arrays that are explained by it."""
    groups: dict[Hint, list[str]] = {}  # one hint for h, c and all gates, not seven
    exchanged: dict[Hint, dict[str, str]] = {}
    for pair in compared.differing:
        if found := _nan_in_both(pair) or rearranged(pair):
            groups.setdefault(found, []).append(pair.name)
        elif other := _other_name(compared, pair):
            are_states = {ArrayName.of(pair.name).base, ArrayName.of(other).base} in _STATES
            names = exchanged.setdefault(_H_IS_C if are_states else _EXCHANGED, {})
            names[pair.name] = f"{pair.name} of {pair.names[1]} is {other} of {pair.names[0]}"
    hints = [
        replace(one, seen=f"{join_with_and(names)} agree{'s' * (len(names) == 1)} {one.seen}")
        for one, names in groups.items()
    ]
    hints += [
        replace(one, seen=f"{', '.join(texts.values())}. {one.seen}")
        for one, texts in exchanged.items()
    ]
    hints += _forget_bias(compared)
    return hints, {name for names in (*groups.values(), *exchanged.values()) for name in names}


def _nan_in_both(pair: Pair) -> Hint | None:
    """All that differs is NaN on both sides."""
    if pair.agrees is None:
        return None
    both = np.isnan(pair.a.values) & np.isnan(pair.b.values)
    text = "except where both sides are NaN; --equal-nan or equal_nan=True accepts those."
    return Hint("nan_in_both", text) if (both | pair.agrees).all() else None


def _other_name(compared: ComparedSides, pair: Pair) -> str | None:
    """The name that a has for an array of b: of the same layer, or of its other direction."""
    part = ArrayName.of(pair.name)
    twins = {part.prefix, f"{part.prefix}_reverse", part.prefix.removesuffix("_reverse")}
    for name in compared.sides[0].arrays if part.kind != WEIGHTS else ():
        other = ArrayName.of(name)
        alike = other.prefix == part.prefix or (other.prefix in twins and other.base == part.base)
        if name == pair.name or other.kind != part.kind or not alike:
            continue
        crossed, agreed = compared.cross(name, pair.name), pair.agrees
        same = agreed is not None and agreed.shape == crossed.b.shape
        if proves(crossed.tolerance, crossed.a, crossed.b, agreed if same else None):
            return name
    return None


def _forget_bias(compared: ComparedSides) -> Iterator[Hint]:
    """f of the first divergence is the same but for a constant before its sigmoid."""
    name, step = compared.first_array or "", compared.first_step
    if ArrayName.of(name).base != "f" or step is None:
        return
    pair = compared.pairs[name]
    a, b = pair.a[step : step + 1], pair.b[step : step + 1]
    inside = np.all([(x.values > 0.001) & (x.values < 0.999) for x in (a, b)], axis=0)
    if not inside.any():
        return
    with np.errstate(all="ignore"):
        gates = (side.values.astype(np.float64) for side in (a, b))
        after, before = (np.log(gate) - np.log1p(-gate) for gate in gates)
        constant = float(np.median((after - before)[inside]))
        if abs(round(constant, 2) - constant) < 1e-3:  # it was typed by a person
            constant = round(constant, 2)
        moved = Numbers(1 / (1 + np.exp(-before - constant)), b.unit)
    if constant and proves(pair.tolerance, a, moved, ~pair.differs[step : step + 1]):
        more, less = pair.names if constant > 0 else pair.names[::-1]
        text = (
            f"At step {step} {pair.name} differs only by a constant before the sigmoid: "
            f"{more} adds {abs(constant):g} more than {less}. That is the forget bias; "
            "TF1 adds 1 at run time and does not store it."
        )
        yield Hint("forget_bias", text)


# ---- suspicions


def suspicion(compared: ComparedSides, proved: Collection[str]) -> Hint | None:
    """The first row of the tables that fits; ``proved`` are the codes of what was proved."""
    for one in NUMBERS:
        if facts := one.facts(compared):
            return one.hint(facts)
    layer = FirstLayer.of(compared)
    if layer is None or "forget_bias" in proved:
        return None
    for one in _PATTERNS:
        fits = layer.pair.is_dense or not one.of_units
        if fits and (facts := one.facts(layer)):
            facts = layer.facts | (facts if isinstance(facts, dict) else {})
            found = one.hint(facts)
            found = replace(found, seen=found.seen[:1].upper() + found.seen[1:])
            if compared.axes_assumed:  # steps that may be items of the batch exclude nothing
                return replace(found, excluded=_OF_BATCH)
            may_exclude = not compared.both_ways and (layer.shows_all or not one.if_large)
            return replace(found, excluded=found.excluded * may_exclude)
    return None


# ---- what is seen of the first step that differs


def _of_sequences(layer: FirstLayer) -> Facts:
    """Some sequences agree, each other one differs from some step on.

    Where axes are assumed, what differs from the first step on may be a step of all sequences.
    """
    pair = layer.pair
    wrong: Mask = np.any(pair.differs, axis=2)  # (T, B)
    padded = np.zeros(wrong.shape, bool) if pair.padded is None else pair.padded
    some, starts = np.any(wrong, axis=0), wrong.argmax(axis=0)
    carried = wrong | padded | (np.arange(len(wrong))[:, None] < starts)
    known = not layer.compared.axes_assumed and pair.b.values[:, ~some].any()
    if some.all() or not carried[:, some].all() or not (known or starts[some].all()):
        return None
    agree, differ = (np.flatnonzero(which).tolist() for which in (~some, some))
    at = [layer.steps - 1 - n if pair.backward else n for n in starts[some].tolist()]
    return {
        "agree": f"{_indices('sequence', agree)} agree{'s' * (len(agree) == 1)}",
        "differ": "the others differ" if len(differ) > 1 else "the other differs",
        "from": _indices("step", at if len({*at}) > 1 else at[:1]),
    }


def _indices(noun: str, numbers: Sequence[int]) -> str:
    """``steps 5 and 3``, or the first ones and ``...``."""
    shown = [*map(str, numbers[:_MOST_SHOWN]), *["..."] * (len(numbers) > _MOST_SHOWN)]
    return f"{noun}{'s' * (len(numbers) > 1)} {join_with_and(shown)}"


def _exchanged_gates(layer: FirstLayer) -> Facts:
    if layer.at != 0:
        return None
    gates = [gate for gate in "ifo" if gate in layer.pairs]
    taken = [
        f"{of_b} is {of_a}"
        for of_b in layer.differ(*gates)
        for of_a in gates
        if of_a != of_b
        if proves(layer.pairs[of_b].tolerance, layer.pairs[of_a].a[0], layer.pairs[of_b].b[0])
    ]
    return {"gates": ", ".join(taken)} if taken else None


def _without_activation(layer: FirstLayer) -> Facts:
    """At the first step that differs the gates of one side are parts of the other's z."""
    differ, names = layer.differ(*GATES), layer.compared.names
    for side in (0, 1) if differ else ():
        if all(_is_raw(layer, gate, side) for gate in differ):
            gates = {"gates": join_with_and(differ), "verb": "is" if len(differ) == 1 else "are"}
            return gates | {"side": names[side], "other": names[1 - side]}
    return None


def _is_raw(layer: FirstLayer, gate: str, side: int) -> bool:
    start, order = layer.pair.name.removesuffix(layer.first), 1 - 2 * side
    if f"{start}z" not in layer.compared.sides[1 - side].arrays:
        return False
    pair = layer.compared.cross(*(start + gate, start + "z")[::order]).as_computed
    one, z = (pair.a, pair.b)[::order]
    units = one.shape[-1]
    first = GATES.index(gate) * units
    is_z = pair.placed and z.shape == (*one.shape[:-1], 4 * units)
    return is_z and proves(pair.tolerance, one[layer.at], z[layer.at, ..., first : first + units])


def _only(differ: str, agree: str) -> Callable[[FirstLayer], Facts]:
    """Of the gates these differ at the first step that does, and others are there and agree."""
    return lambda it: "".join(it.differ(*GATES)) == differ and it.agree(*agree)


def _after_first_step(layer: FirstLayer) -> Facts:
    """The first step agrees, the second and nearly all later ones do not."""
    if layer.at != 1 or not layer.is_conclusive or layer.compared.both_ways:
        return None
    carried = min(layer.wrong[x][1:].mean() for x in {"h", layer.first} & {*layer.wrong})
    share = "all" if carried == 1 else "nearly all"
    return {"share": share} if carried >= _NEARLY_ALL else None


def _at_once(layer: FirstLayer) -> Facts:
    if layer.at != 0 or layer.steps < 2 or not layer.differ("i", "g", "o", "c", "h"):
        return None
    compared = layer.compared
    causes = ["forget bias", _RECURRENT] * compared.both_ways
    for side_name, side in zip("ab", compared.sides, strict=True):
        assumed = (side.settings or {}).get("assumed")
        listed = assumed if isinstance(assumed, list | tuple) else ()
        if any(str(one).startswith("layout") for one in listed):
            causes += [f"the layout that was assumed for {{{side_name}}}"]
    return {"more": causes}


# ---- in words

_FORGET_BIAS = "forget bias (TF1 adds 1 and does not store it)"
_RECURRENT = "recurrent weights: gate order, transposed"
_NOT_CARRIED = "a state that is not carried from step to step"
_RECURRENCE = f"{_FORGET_BIAS}; coupled gates, f = 1 - i; {_RECURRENT}; {_NOT_CARRIED}"
_ONLY_FIRST = "{start} agrees, {share} later steps differ."
_SHARED = "Ruled out, unless the other gates hardly depend on them here: inputs and the h before."
_MADE_FIRST = (
    "Ruled out, unless the inputs of {start} are near zero: the kernel, the biases, the order and "
    "the activations of i, g and o."
)

_OF_BATCH = "If the first axis is the batch, any setting may be the cause: use --layout batch."

_PATTERNS = (
    Pattern(
        "suspect_later_step",
        _of_sequences,
        "{agree} at every step; {differ} from {from} on. Padding?",
        "lengths or a mask on one side only; inputs, an initial state or a clip that differ there",
        of_units=False,
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
        "At {here} {gates} of {side} {verb} z of {other} before its activation, and the other "
        "gates agree.",
        "{side} lacks that activation",
        _SHARED,
    ),
    Pattern(
        "suspect_forget_gate",
        _only("f", "ig"),
        "At {here} the forget gate differs and the other gates agree.",
        f"{_FORGET_BIAS}; the activation or bias of f; the weights of f; coupled gates, f = 1 "
        f"- i; peepholes",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        _only("g", "ifo"),
        "At {here} g differs and the other gates agree.",
        "the activation of the candidate (tanh, relu, ...)",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        _only("ifo", "g"),
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
        "the output gate, where o is not compared; the activation of the output; a projection or "
        "its clip; a peephole of o",
        "Ruled out: all that c depends on at {here}.",
    ),
    Pattern(
        "suspect_recurrent_weights",
        lambda it: it.differ("i", "g", "o") and _after_first_step(it),
        f"{_ONLY_FIRST} i, g or o of {{here}} differ too, which forget bias alone does not "
        "explain.",
        f"{_RECURRENT}; {_NOT_CARRIED}",
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
        "{start} to {before} agree, {here} is the first to differ.",
        "inputs that differ from {here} on; a sequence length or a mask; a clip; a state "
        "reset between chunks",
        "Ruled out, unless inputs were zero before: weights, gate order, forget bias.",
        if_large=True,
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
        "The first step from a zero state depends on neither the forget gate nor the recurrent "
        "weights: if {start} is that, these are not the only cause.",
    ),
)
"""Tried from top to bottom; the first that fits is reported."""
