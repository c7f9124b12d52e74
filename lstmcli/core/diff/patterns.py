"""Patterns of numbers that differ, and what each suggests: one table, read from top to bottom.

A pattern is seen in all that is compared, in the layer that differs first, or in its step where
most units differ. No setting proves it: it is named with what is possible and what is excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any, Literal, NamedTuple

import numpy as np

from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.figures import place_of, similarity, words_of_place
from lstmcli.core.diff.first_layer import FirstLayer
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.rearrangements import proves
from lstmcli.core.diff.tolerance import Mask
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.selection import format_size
from lstmcli.core.model.vocabulary import GATES

# The error that a type predicts, relative to the largest number: 0.5 to 2.4 eps, more where
# rounding grows. That of float16 proves nothing: a mistake may leave as little.
_ROUNDING = {"float64": 64 * 2.0**-52, "float32": 64 * 2.0**-23}
_OF_FLOAT16 = 4 * 2.0**-10
# Of the largest error: that of the first step. Rounding has 0.06 or more there, mistakes mostly 0.
_ROUNDING_START = 0.01

# In dB: the signal-to-noise ratio from which a difference everywhere is noise.
# Mistakes leave at most 24.9 there, but for peepholes of o on the c before (30.2); noise of 1e-2 on
# h leaves 24 to 33, int8 weights 28 to 50, an approximated tanh 25 to 36.
NOISE_SNR = 24.0
_SHARE = 0.5  # of the values, as digits hide some; and of those of a direction

# Numbers that are named, and their share of all: a convention changes more.
_MAX_NAMED = 3
_MAX_NAMED_SHARE = 0.1
_STANDS_OUT = 10  # times the error of every number that agrees

# merges that keep the output of each direction
_CONCATENATED = {"concat", "concat_swapped"}

_MOST_SHOWN = 8  # sequences in a text
_NEARLY_ALL = 0.8  # of the steps, where an error is carried on
_STATE_GONE = 0.1  # an error that falls to this part of its start is dying out
_FEWEST_OF_DECAY = 4  # steps

Facts = (
    Mapping[str, Any] | None
)  # findings for the texts; None: the pattern is not seen


class Pattern(NamedTuple):
    """A row of the table: what is seen, may cause it, is ruled out."""

    code: str
    facts: Callable[[Any], Facts]
    seen: str
    causes: str = ""  # possible ones, the likeliest first, between semicolons
    excludes: str = ""
    # where it is seen: in the `Difference`, its `FirstLayer`, or a step that differs in most units
    of: Literal["all", "layer", "step"] = "step"
    if_large: bool = False  # excludes only where h before is large

    def hint(self, facts: Mapping[str, Any]) -> Hint:
        """The hint in words."""
        seen = self.seen.format(**facts)
        causes = self.causes.format(**facts).split("; ")
        excluded = self.excludes.format(**facts)
        return Hint(self.code, seen, tuple(filter(None, causes)), excluded)


def suspicion(compared: Difference, layer: FirstLayer | None) -> Hint | None:
    """The first pattern that is seen, if any; without a layer only of all that is compared."""
    for pattern in PATTERNS:
        if pattern.of == "all":
            facts = pattern.facts(compared)
            if facts is not None:
                return pattern.hint(facts)
        # what acts in the cell reaches most units of a row
        elif layer is not None and (pattern.of == "layer" or layer.pair.is_dense):
            facts = pattern.facts(layer)
            if facts is not None:
                return _hint_of_layer(pattern, {**layer.facts, **facts}, layer)
    return None


def _hint_of_layer(
    pattern: Pattern, facts: Mapping[str, Any], layer: FirstLayer
) -> Hint:
    """The hint, with what it excludes only if steps are known to be early and to show it."""
    hint = pattern.hint(facts)
    # number 0 of step 0 is the same one in either layout
    if layer.axes_assumed and pattern.code != "suspect_layout":
        return replace(hint, excluded=_OF_BATCH)
    if layer.both_ways or (pattern.if_large and not layer.shows_all):
        return replace(hint, excluded="")
    return hint


def _seen_if(holds: object) -> Facts:
    """No findings, if a pattern without any is seen."""
    return {} if holds else None


# ---- of all that is compared


def _one_half(compared: Difference) -> Facts:
    """All units of one half of h differ, most of their numbers, and nothing else."""
    pair = compared.pairs.get("h")
    if pair is None or pair.agrees is None or not pair.stepwise or pair.indices[2]:
        return None
    settings = [side.settings for side in compared.sides if side.settings]
    merges = {str(one.get("merge", "concat")) for one in settings}
    if compared.differing != [pair] or pair.a.shape[2] % 2 or merges - _CONCATENATED:
        return None
    units = pair.a.shape[2] // 2
    share = pair.differs.mean(axis=(0, 1))  # (2 H,) of the numbers of each unit
    start = 0 if share[:units].any() else units
    wrong = share[start : start + units]
    is_all = wrong.all() and wrong.mean() >= _SHARE
    has_others = np.count_nonzero(share) > units
    if units == 1 or not is_all or has_others:
        return None
    is_swapped = merges == {"concat_swapped"}
    which = "for" if (start == 0) != is_swapped else "back"
    return {"first": start, "last": start + units - 1, "which": which}


def _odd_numbers(compared: Difference) -> Facts:
    """A few numbers that differ by much."""
    pairs, places = compared.differing, []
    for pair in pairs:
        if pair.agrees is None or np.count_nonzero(pair.differs) > _MAX_NAMED:
            return None
        if not _stand_out(pair, pair.agrees):
            return None
        places.extend(_odd_places(pair))
    total = sum(pair.a.values.size for pair in pairs)
    is_row = len(places) > 1 and any(pair.is_dense for pair in pairs)
    if is_row or len(places) > min(_MAX_NAMED, _MAX_NAMED_SHARE * total):
        return None
    count, verb = f"{len(places)} values", "differ"
    if len(places) == 1:
        count, verb = "One value", "differs"
    return {"count": count, "total": total, "verb": verb, "places": "; ".join(places)}


def _stand_out(pair: Pair, agrees: Mask) -> bool:
    """Return whether what differs does so by far more than what agrees."""
    odd = pair.errors[pair.differs]
    hidden = pair.errors[agrees & np.isfinite(pair.errors)].max(initial=0)
    return bool((np.isnan(odd) | (odd >= hidden * _STANDS_OUT)).all())


def _odd_places(pair: Pair) -> list[str]:
    """``h at step 3, unit 0 is 0.5 in a and 0.25 in b``, of each number that differs."""
    name_of_a, name_of_b = pair.names
    texts = []
    for number in np.flatnonzero(pair.differs).tolist():
        where = words_of_place(place_of(pair, number), pair)
        a, b = pair.a.values.flat[number], pair.b.values.flat[number]
        both = f"{a!s} in {name_of_a} and {b!s} in {name_of_b}"
        texts.append(f"{pair.name} at {where} is {both}")
    return texts


def _not_a_number(compared: Difference) -> Facts:
    """The first step that is NaN on one side."""
    for pair in compared.differing:
        if not pair.stepwise or pair.agrees is None:
            continue
        ordered = pair.as_computed
        of_a, of_b = np.isnan(ordered.a.values), np.isnan(ordered.b.values)
        steps: Mask = np.any(of_a != of_b, axis=(1, 2))  # (T,)
        at = int(ordered.differs.any(axis=(1, 2)).argmax())
        if not steps[at]:
            continue
        is_of_a = (of_a & ~of_b)[at].any()
        step = ordered.index_in_run((at,))[0]
        where = f" from step {step} on"
        if not steps[at:].all():
            where = f", first at step {step}"
        side = pair.names[0] if is_of_a else pair.names[1]
        return {"name": pair.name, "side": side, "step": step, "where": where}
    return None


def _rounding(compared: Difference) -> Facts:
    """All numbers differ by what a type rounds."""
    size = _relative_size(compared)
    types = [name for name, most in _ROUNDING.items() if size <= most]
    if not types:
        return None
    wrong = sum(int(pair.differs.sum()) for pair in compared.differing)
    total = sum(pair.a.values.size for pair in compared.pairs.values())
    what = f"{wrong} of {total}" if wrong < _SHARE * total else "All"
    return {"what": what, "size": format_size(size), "name": types[0]}


def _relative_size(compared: Difference) -> float:
    """The largest relative error; infinite if it is none of rounding."""
    if any(pair.agrees is None for pair in compared.pairs.values()):
        return np.inf
    sizes = []
    for pair in compared.differing:
        most = pair.errors.max()
        if not pair.start.errors.max() >= _ROUNDING_START * most:
            return np.inf
        with np.errstate(all="ignore"):
            sizes.append(most / np.abs(pair.b.values).max())
    return float(max(sizes)) if np.isfinite(sizes).all() else np.inf


def _noise(compared: Difference) -> Facts:
    """Most numbers differ a little, from the start."""
    is_small = _relative_size(compared) <= _OF_FLOAT16
    ratios = []
    for pair in compared.pairs.values():
        if pair.agrees is None or (pair.differs.mean() < _SHARE and not is_small):
            return None
        _, ratio = similarity(pair, ~pair.left_out)
        at_once = is_small or pair.start.differs.any()
        if ratio is None or not NOISE_SNR <= ratio < np.inf or not at_once:
            return None
        ratios.append(ratio)
    return {"ratio": f"{min(ratios):.0f}"}


# ---- of the layer that differs first


def _of_sequences(layer: FirstLayer) -> Facts:
    """Some sequences agree, each other one differs from some step on."""
    pair = layer.pair
    wrong: Mask = np.any(pair.differs, axis=2)  # (T, B)
    differ = np.any(wrong, axis=0)  # (B,)
    first = wrong.argmax(axis=0)  # (B,)
    before = np.arange(len(wrong))[:, None] < first  # (T, B)
    is_expected = wrong | before
    if pair.padded is not None:
        is_expected = np.logical_or(is_expected, pair.padded)
    if differ.all() or not is_expected[:, differ].all():
        return None
    are_sequences = not layer.axes_assumed and pair.b.values[:, ~differ].any()
    if not are_sequences and not first[differ].all():
        return None
    agreeing = np.flatnonzero(~differ).tolist()
    steps = [pair.index_in_run((step,))[0] for step in first[differ].tolist()]
    if len(set(steps)) == 1:
        steps = steps[:1]
    verb = "agrees" if len(agreeing) == 1 else "agree"
    return {
        "agree": f"{_listed('Sequence', agreeing)} {verb}",
        "differ": "the others differ" if differ.sum() > 1 else "the other differs",
        "from": _listed("step", steps),
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
    return {"agree": _listed("sequence", np.flatnonzero(agree).tolist())}


def _first_of_one(layer: FirstLayer) -> Facts:
    """The first step of sequence 0 alone agrees, which has the same inputs in either layout."""
    facts = _first_of_some(layer)
    if facts != {"agree": "sequence 0"}:
        return None
    other = layer.compared.other_layout
    return {"layout": f"--layout {other}" if other else "the other --layout"}


def _listed(noun: str, indices: Sequence[int]) -> str:
    """``steps 5 and 3``, or the first ones and ``...``."""
    shown = [str(n) for n in indices[:_MOST_SHOWN]]
    if len(indices) > _MOST_SHOWN:
        shown.append("...")
    nouns = noun if len(indices) == 1 else f"{noun}s"
    return f"{nouns} {join_with_and(shown)}"


def _exchanged_gates(layer: FirstLayer) -> Facts:
    """The gates of b that are another gate of a at the first step."""
    if layer.at:
        return None
    gates = [gate for gate in "ifo" if gate in layer.pairs]
    taken = []
    for of_b, of_a in permutations(gates, 2):
        pair, other = layer.pairs[of_b], layer.pairs[of_a]
        if layer.differ(of_b) and proves(pair.tolerance, other.a[0], pair.b[0]):
            taken.append(f"{of_b} is {of_a}")
    if not taken:
        return None
    return {"gates": ", ".join(taken)}


def _without_activation(layer: FirstLayer) -> Facts:
    """The gates of one side are parts of the other's z."""
    gates, names = layer.differ(*GATES), layer.pair.names
    for side in (0, 1):
        if gates and all(_is_raw(layer, gate, side) for gate in gates):
            verb = "is" if len(gates) == 1 else "are"
            facts = {"gates": join_with_and(gates), "verb": verb}
            return {**facts, "side": names[side], "other": names[1 - side]}
    return None


def _is_raw(layer: FirstLayer, gate: str, side: int) -> bool:
    """Return whether a gate of a side is its part of the other side's z."""
    of_gate, of_z = layer.name_of(gate), layer.name_of("z")
    if of_z not in layer.compared.sides[1 - side].arrays:
        return False
    if side == 0:
        pair = layer.compared.cross(of_gate, of_z).as_computed
        one, z = pair.a, pair.b
    else:
        pair = layer.compared.cross(of_z, of_gate).as_computed
        z, one = pair.a, pair.b
    units = one.shape[-1]
    if not pair.placed or z.shape != (*one.shape[:-1], 4 * units):
        return False
    first, at = GATES.index(gate) * units, layer.at
    return proves(pair.tolerance, one[at], z[at, ..., first : first + units])


def _after_first_step(layer: FirstLayer) -> Facts:
    """The first step agrees, the second and nearly all later ones do not."""
    if layer.at != 1 or not layer.is_conclusive or layer.both_ways:
        return None
    arrays = [base for base in ("h", layer.first) if base in layer.wrong]
    share = min(layer.wrong[base][1:].mean() for base in arrays)
    if share < _NEARLY_ALL:
        return None
    return {"share": "all" if share == 1 else "nearly all"}


def _gates_after_first_step(layer: FirstLayer) -> Facts:
    """As `_after_first_step`, and gates other than f differ."""
    return _after_first_step(layer) if layer.differ("i", "g", "o") else None


def _decays(layer: FirstLayer) -> Facts:
    """The error decays from the first step, as a state's does."""
    errors = layer.pair.errors.max(axis=(1, 2))
    if layer.at != 0 or len(errors) < _FEWEST_OF_DECAY or errors.argmax() != 0:
        return None
    return _seen_if(errors[-1] <= _STATE_GONE * errors[0] < np.inf)


def _at_once(layer: FirstLayer) -> Facts:
    """The first of several steps differs already."""
    is_of_cell = layer.differ("i", "g", "o", "c", "h")
    if layer.at != 0 or len(layer.pair.a.values) < 2 or not is_of_cell:
        return None
    more = []
    if layer.both_ways:
        more = ["forget bias", _RECURRENT]
    for name, side in zip(layer.pair.names, layer.compared.sides, strict=True):
        if "layout " in str((side.settings or {}).get("assumed")):
            more.append(f"the layout that was assumed for {name}")
    return {"more": "".join(f"; {text}" for text in more)}


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

# tried from top to bottom; the first that is seen is reported
PATTERNS = (
    Pattern(
        "one_half",
        _one_half,
        "Only units {first} to {last} of h differ: the {which}ward half, if the units are those "
        "of two directions side by side.",
        of="all",
    ),
    Pattern(
        "suspect_single",
        _odd_numbers,
        "{count} of {total} {verb}: {places}. Another convention would change nearly all of them.",
        "a value that was changed after it was computed; an overflow",
        of="all",
    ),
    Pattern(
        "suspect_nan",
        _not_a_number,
        "{name} of {side} is NaN{where}, and the other side is not.",
        "inputs or weights that are not finite; an overflow at or before step {step} (the "
        "largest float16 is 65504)",
        of="all",
    ),
    Pattern(
        "suspect_rounding",
        _rounding,
        "{what} values differ by at most {size} of the largest value. That is the size of {name} "
        "rounding. If one side was computed or stored in {name}, this is not an error: allow for "
        "it with --rtol and --atol.",
        of="all",
    ),
    Pattern(
        "suspect_noise",
        _noise,
        "Values differ slightly (SNR {ratio} dB). A wrong gate order, transpose or direction "
        f"usually gives less than {NOISE_SNR:.0f} dB, so a loss of precision is more likely.",
        "weights or states of lower precision (int8, float16, bfloat16); inputs that are "
        "scaled differently; an approximated tanh or sigmoid, or a hard sigmoid; weights of "
        "another training step; a small initial state, dropout or noise; in a cell with peepholes, "
        "those that read another c",
        of="all",
    ),
    Pattern(
        "suspect_later_step",
        _of_sequences,
        "{agree} at every step; {differ} from {from} on. Padding?",
        "lengths or a mask on one side only; inputs, an initial state or a clip that differ there",
        of="layer",
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
        lambda it: _seen_if(it.differ(*GATES) == ["f"] and it.agree(*"ig")),
        "At {here} the forget gate differs and the other gates agree.",
        f"{_FORGET_BIAS}; activation, bias or weights of f; coupled gates, f = 1 - i; peepholes",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        lambda it: _seen_if(it.differ(*GATES) == ["g"] and it.agree(*"ifo")),
        "At {here} g differs and the other gates agree.",
        "the activation of the candidate (tanh, relu, ...)",
        _SHARED,
    ),
    Pattern(
        "suspect_activation",
        lambda it: _seen_if(it.differ(*GATES) == ["i", "f", "o"] and it.agree("g")),
        "At {here} i, f and o differ and g agrees.",
        "the activation of the gates (sigmoid, or one of two hard sigmoids)",
        _SHARED,
    ),
    Pattern(
        "suspect_cell_update",
        lambda it: _seen_if(it.first == "c" and it.agree(*"ifg")),
        "At {here} the gates agree and c does not: c = f*c + i*g is computed differently.",
        "the initial c, or a c that is carried wrongly; a clip on c; coupled gates",
        "Ruled out: what the gates depend on, such as weights, gate order, forget bias.",
    ),
    Pattern(
        "suspect_output",
        lambda it: _seen_if(it.first == "h" and it.agree("c")),
        "At {here} c agrees and h does not: they first differ between c and h, in h = o*tanh(c).",
        "the output gate, where o is not compared; the output activation; a projection or its "
        "clip; a peephole of o",
        "Ruled out: all that c depends on at {here}.",
    ),
    Pattern(
        "suspect_recurrent_weights",
        _gates_after_first_step,
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
        lambda it: _seen_if(it.at >= 2 and it.is_conclusive),
        "{Start} to {before} agree, {here} is the first to differ.",
        f"{_LATER_INPUTS}; a length or a mask; a clip; a state reset between chunks",
        "Ruled out, unless inputs were zero before: weights, gate order, forget bias.",
        if_large=True,
    ),
    Pattern(
        "suspect_initial_state",
        _decays,
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
