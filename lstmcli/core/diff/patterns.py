"""Patterns in a difference, each worded as a suspicion: what may cause it, and what cannot.

Measured on random nets, a forgotten forget bias, a transposed recurrent kernel, recurrent weights
in another gate order and coupled gates all look the same: step 0 agrees, then the two
diverge. So no pattern here names a cause; each names what is possible and what is excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.diff.alignment import ArrayName, Pair
from lstmcli.core.diff.metrics import place_of, similarity
from lstmcli.core.diff.rearrangements import ENOUGH, distinct
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import round_to_format
from lstmcli.core.model.hint import Hint, join_with_and
from lstmcli.core.model.vocabulary import GATES

# The error that a type predicts, in its eps and relative to the greatest number. Over 15 seeds and
# five sizes (up to 128 units, 60 steps; weights of 1 / sqrt(I + H)), a run in a type is off from
# long double by 0.5 to 2.4 eps, numbers that are stored in it by 0.1 to 0.5. Most of the rest is
# for nets whose rounding grows: weights of 0.5 and 32 units are off by 10 eps, those of 128 units
# are chaotic (244 to 1.4e4). 64 eps of float16 are 6 %, which a mistake may leave too. So may less:
# inputs times 255 / 256 leave 1.7 to 17 eps of float16, those times sqrt(1 - 1 / 1000) 0.2 to 2.1,
# int8 weights 5.5 to 78; only numbers that are all of float16 show that it is the cause.
_ROUNDING = (("float64", 2.0**-52, 64), ("float32", 2.0**-23, 64), ("float16", 2.0**-10, 4))
# Of the greatest error: that of the first step. In those nets it is 0.06 or more; 0.009 or less is
# that of the chaotic ones, and 0 that of most mistakes in the forget gate or recurrent weights.
_ROUNDING_START = 0.01
_HALVES = (("bfloat16", 2.0**-7, 4), _ROUNDING[2])  # so coarse that size alone does not tell them
_LEAST_DISTINCT = 8  # different numbers, all of bfloat16, that show it

# Signal-to-noise ratio from which a difference that shows everywhere is taken for noise, in dB.
# Over 15 seeds and five sizes (up to 128 units, 60 steps) of the tests' matrix, the mistakes in
# gate order, rows, transposes, axes and direction leave at most 12.4 dB where their first step
# differs (18.3 where it agrees), all others of the matrix at most 24.9 but for the peepholes of o
# on the c before (30.2). Of the same nets: noise of 1e-3 on h 44 to 53 and of 1e-2 24 to 33, int8
# weights 28 to 50 (a scale for each column 41 to 54), noise of 1 % on the weights 28 to 47, tanh as
# x (27 + x^2) / (27 + 9 x^2) 28 to 36 (25 to 32 with the sigmoid made of it), tables of 256 values
# 29 to 40; in all of these the first step differs, and 86 % of the values or more. The first step
# may differ by less than 2 % of the greatest error: that of one gate of 3 units did in 10 of 60
# traces with such a tanh and sigmoid, where no mistake in the recurrent weights shows at all.
NOISE_SNR = 24.0
_NOISE_SHARE = 0.5  # of the values, which differ; fewer digits of a print hide some

_STATE_GONE = 0.1  # an error that falls to this part of its start is dying out
# The same of an error that is the initial state's even if it is small: the mean over the sequences,
# at the last step and in the second half. Over 150 seeds and eight sizes (4 to 60 steps), none of
# 1,200 runs does that with noise, int8 weights, noise on the weights, inputs in float16 or scaled,
# or another tanh (of one sequence only, two in 1,000 do); with another state of 0.001 to 0.5 two in
# five do.
_CLEARLY_GONE, _LATE = 0.05, 0.25

# Over the tolerance: the third power of the greatest h of a first step that shows a mistake in
# what makes it. The order of i and o is all but lost in o * tanh(i * g): of 60,000 random layers of
# 1 to 4 sequences and 2 to 8 units, with inputs, weights and biases of 0.01 to 1, four have an h
# above 0.1 and agree within float32's 1e-5 with i and o exchanged (0.17 at most); with other
# orders, other activations, or other biases, none above 0.04.
_SHOWN = 200

# Numbers that are named one by one, and their share of all: no convention changes so few.
_MAX_NAMED = 3
_MAX_NAMED_SHARE = 0.1
_STANDS_OUT = 10  # times the error of every number that agrees, else the tolerance made it odd
_NEARLY_ALL = 0.8  # of the steps, where an error is carried on


Settings = Mapping[str, Any]


NO_SETTINGS = ("layout", "assumed", "selected", "digits")
"""What ``meta`` says besides the settings of a run; axes are aligned whatever the layout."""


@dataclass(frozen=True, eq=False)
class ComparedSides:
    """A comparison as the search for hints needs it."""

    pairs: Mapping[str, Pair]  # of the names both sides have
    cross: Callable[[str, str], Pair]  # an array of a aligned with one of b of another name
    arrays: tuple[Sequence[str], Sequence[str]]  # all names of a, of b
    names: tuple[str, str] = ("a", "b")  # what messages call the sides
    settings: tuple[Settings | None, Settings | None] = (None, None)
    first_array: str | None = None  # of the first divergence
    first_step: int | None = None
    axes_assumed: bool = False  # the first axis is taken as time, and may be the batch
    rows_assumed: bool = False  # the same of two axes: (T, H) may be (B, H)
    both_ways: bool = False  # its step 0 depends on later steps, through a backward direction

    def say(self, text: str) -> str:
        """A text with {a} and {b} put in."""
        return text.replace("{a}", self.names[0]).replace("{b}", self.names[1])

    @property
    def differing_settings(self) -> dict[str, tuple[Any, Any]] | None:
        """The settings in which the sides differ, where both say how they were made.

        None stands for a setting that is off. The layout is no part of it: axes are aligned.
        """
        a, b = self.settings
        if a is None or b is None:
            return None
        names = [name for name in dict.fromkeys([*a, *b]) if name not in NO_SETTINGS]
        return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}

    @property
    def differing(self) -> list[Pair]:
        """The pairs that are not equal."""
        return [pair for pair in self.pairs.values() if not pair.equal]


@dataclass(frozen=True, eq=False)
class LayerPairs:
    """The arrays of the layer that differs first, by gate or state, in the order of computation."""

    pairs: Mapping[str, Pair]
    first: str  # the array of the first divergence: z, a gate, c or h
    at: int  # its step, counted in the order of computation

    @classmethod
    def of(cls, compared: ComparedSides) -> LayerPairs | None:
        """The layer of the first divergence, if that has a step."""
        if compared.first_array is None or compared.first_step is None:
            return None
        prefix = ArrayName.of(compared.first_array).prefix
        first = compared.pairs[compared.first_array]
        steps = len(first.a.values)
        pairs = {
            ArrayName.of(pair.name).base: pair
            for pair in compared.pairs.values()
            if pair.stepwise
            and pair.agrees is not None
            and len(pair.agrees) == steps
            and ArrayName.of(pair.name).prefix == prefix
        }
        at = steps - 1 - compared.first_step if first.backward else compared.first_step
        return cls(pairs, ArrayName.of(compared.first_array).base, at)

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
            base: _in_order(np.count_nonzero(~pair.agrees, axis=(1, 2)) > 0, pair)
            for base, pair in self.pairs.items()
            if pair.agrees is not None
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


def suspicion(compared: ComparedSides, proved: set[str]) -> Hint | None:
    """The first pattern that fits, or None. What was proved already is not suspected again."""
    layer = LayerPairs.of(compared)
    early = odd_numbers(compared) or not_a_number(compared)
    if early is None and (layer is None or not _clearly_decays(layer)):
        early = rounding(compared) or noise(compared)
    if early or layer is None or "forget_bias" in proved or not _dense(layer.pair):
        return early
    found = next((hint for test in _PATTERNS if (hint := test(compared, layer))), None)
    if found is not None and compared.axes_assumed:
        return _with_reservation(found)
    if found is None or _may_be_backward(layer, found) or _may_not_exclude(compared, layer, found):
        return found
    return replace(found, text=f"{found.text} {found.cleared}".rstrip())


def _may_be_backward(layer: LayerPairs, hint: Hint) -> bool:
    """Whether what a hint excludes follows only if step 0, and not the last, was computed first."""
    if layer.pair.backward is not None or layer.at != 0:
        return False
    last_may_agree = any(layer.pair.parts) or not layer.wrong[layer.first][-1]
    return hint.code == "suspect_initial_state" or last_may_agree


def _may_not_exclude(compared: ComparedSides, layer: LayerPairs, hint: Hint) -> bool:
    """Whether the rows may be no steps, or the files differ in what a hint excludes."""
    if layer.at == 0 and compared.rows_assumed:
        return True
    return "forget bias" in hint.cleared and _forget_bias_differs(compared)


def _forget_bias_differs(compared: ComparedSides) -> bool:
    """Whether the sides themselves say so, of any cell."""
    differing = compared.differing_settings or {}
    return any(name.rpartition(".")[2] == "forget_bias" for name in differing)


def _with_reservation(hint: Hint) -> Hint:
    """A pattern of steps that may be items of the batch: it excludes nothing."""
    return replace(
        hint,
        text=f"If the first axis is time, which neither side says: {hint.text} If it is the batch, "
        "this excludes nothing, and any setting may be the cause: --layout batch compares again.",
    )


def _dense(pair: Pair) -> bool:
    """Whether most units differ in the rows that do: what acts in the cell reaches them all."""
    assert pair.agrees is not None
    wrong = ~pair.agrees
    return bool(wrong[wrong.any(axis=-1)].mean() > 0.5)


def odd_numbers(compared: ComparedSides) -> Hint | None:
    """One number differs, or several that are no row: named, since nothing in a cell does that."""
    pairs = compared.differing
    if not all(_stand_out(pair) for pair in pairs):
        return None
    places = [place for pair in pairs for place in _odd_places(compared, pair)]
    total = sum(pair.a.values.size for pair in pairs)
    if len(places) > min(_MAX_NAMED, _MAX_NAMED_SHARE * total):
        return None
    if len(places) > 1 and any(_dense(pair) for pair in pairs):
        return None
    count = "One number" if len(places) == 1 else f"{len(places)} numbers"
    verb = "differs" if len(places) == 1 else "differ"
    return Hint(
        "suspect_single",
        f"{count} of {total} {verb}: {'; '.join(places)}. A convention would change nearly all "
        "of them. Possible causes: an overflow, or a number that was changed "
        "after it was computed.",
    )


def _stand_out(pair: Pair) -> bool:
    """Whether at most `_MAX_NAMED` numbers differ, and by far more than those that agree."""
    if pair.agrees is None or np.count_nonzero(~pair.agrees) > _MAX_NAMED:
        return False
    with np.errstate(all="ignore"):
        errors = np.where(pair.agrees & ~np.isfinite(pair.a.values), 0, pair.errors)
    hidden = errors[pair.agrees].max(initial=0) * _STANDS_OUT
    odd = errors[~pair.agrees]
    return bool((np.isnan(odd) | (odd >= hidden)).all())


def _odd_places(compared: ComparedSides, pair: Pair) -> list[str]:
    """``h at step 3, unit 0 is 0.5 in a.npz and inf in b.npz``, for each number that differs."""
    assert pair.agrees is not None
    batch = pair.placed and pair.a.shape[1] > 1
    places = [place_of(pair, n) for n in np.flatnonzero(~pair.agrees).tolist()]
    return [
        compared.say(
            f"{pair.name} at {at.words(batch=batch)} is {at.a} in {{a}} and {at.b} in {{b}}"
        )
        for at in places
    ]


def not_a_number(compared: ComparedSides) -> Hint | None:
    """NaN on one side only."""
    for pair in compared.differing:
        if not pair.stepwise or pair.agrees is None:
            continue
        differs = np.isnan(pair.a.values) != np.isnan(pair.b.values)
        if not differs.any():
            continue
        steps = np.flatnonzero(differs.any(axis=(1, 2)))
        step = int(steps[-1] if pair.backward else steps[0])
        which = "{a}" if np.isnan(pair.a.values[step][differs[step]]).any() else "{b}"
        step = pair.numbers_of((step, 0, 0))[0]
        text = (
            f"{pair.name} of {which} is NaN from step {step} on, where the other side has numbers. "
            "Once in the state, a NaN stays. Possible causes: inputs or weights that are not "
            f"finite, an overflow at or before step {step} (float16 ends at 65504)."
        )
        return Hint("suspect_nan", compared.say(text))
    return None


def rounding(compared: ComparedSides) -> Hint | None:
    """All that differs is of the size that rounding to some type predicts, from the start."""
    if any(pair.agrees is None for pair in compared.differing):
        return None
    if not all(_is_off_from_the_start(pair, _ROUNDING_START) for pair in compared.differing):
        return None
    size = max(_relative_size(pair) for pair in compared.differing)
    name, eps = next(((name, eps) for name, eps, many in _ROUNDING if size <= many * eps), ("", 0))
    fine = name in ("float64", "float32")
    stored = None if fine else _stored_format(compared, size)
    if name == "float16" and stored is None:
        made = "Storing or computing" if size <= eps / 2 else "Computing"
        return Hint(
            "suspect_rounding",
            f"Everything differs a little, from the start on: at most {size:.1e} of the greatest "
            f"number. {made} in float16 may leave as much. So may inputs that are scaled or "
            "standardised otherwise, quantised weights (int8), or weights of another training "
            "step: look for these before you allow for it with --rtol and --atol.",
        )
    if not fine and stored is None:
        return None
    name, seen = stored or (name, "")
    return Hint(
        "suspect_rounding",
        f"Everything differs by rounding only, as far as size can tell: at most {size:.1e} of the "
        f"greatest number, which is what {name} predicts{seen}. If one side was computed or "
        f"stored in {name}, this may be no mistake at all: allow for it with --rtol and --atol.",
    )


def noise(compared: ComparedSides) -> Hint | None:
    """Everything differs a little from the first step on, and much less than by a mistake."""
    pairs = [pair for pair in compared.pairs.values() if pair.agrees is not None]
    if len(pairs) < len(compared.pairs) or not all(map(_noisy, pairs)):
        return None
    ratio = min(snr for pair in pairs if (snr := similarity(pair)[1]) is not None)
    return Hint(
        "suspect_noise",
        f"Small differences everywhere, from the start on: the signal is {ratio:.0f} dB above the "
        f"difference. In random nets of the usual size a wrong gate order, transpose or direction "
        f"left less than {NOISE_SNR:.0f} dB; small weights or inputs may leave more. Possible "
        "causes: weights or states of lower precision (int8, bfloat16, TF32), inputs that are "
        "scaled otherwise, an approximated tanh or sigmoid, weights of another training step, a "
        "small initial state, dropout or noise. A hard sigmoid or peepholes that read another c "
        "may come as near.",
    )


def _noisy(pair: Pair) -> bool:
    """Whether most values are off, from the first step on, by little compared with their size."""
    assert pair.agrees is not None
    snr = similarity(pair)[1]
    if snr is None or not NOISE_SNR <= snr < np.inf or 1 - pair.agrees.mean() < _NOISE_SHARE:
        return False
    if not pair.stepwise:
        return True
    first = -1 if pair.backward else 0  # in the order of computation
    return not pair.agrees[first].all()


def _stored_format(compared: ComparedSides, size: float) -> tuple[str, str] | None:
    """The half precision of all numbers of a side, if the size is that of it too, and a text."""
    for name, eps, many in _HALVES:
        for side in "ab" if size <= many * eps else "":
            pairs = [(getattr(pair, side), pair.tolerance) for pair in compared.differing]
            if all(_is_of(numbers, name, test) for numbers, test in pairs):
                return name, compared.say(f" and what all numbers of {{{side}}} are")
    return None


def _is_of(numbers: Numbers, name: str, test: Tolerance) -> bool:
    """Whether all these numbers are of a number type, and there are enough of them to tell."""
    values = numbers.values
    enough = distinct(numbers, np.isfinite(values), test) >= _LEAST_DISTINCT
    return numbers.unit is None and enough and np.array_equal(round_to_format(values, name), values)


def _relative_size(pair: Pair) -> float:
    with np.errstate(all="ignore"):
        size = pair.errors.max() / np.abs(widened(pair.b.values, pair.a.values)[0]).max()
    return float(size) if np.isfinite(size) else np.inf


def _is_off_from_the_start(pair: Pair, share: float) -> bool:
    """Whether the first step is off by this share of the greatest error, or there is only one."""
    if not pair.stepwise or len(pair.a.values) == 1:
        return True
    errors = _step_errors(pair)
    return bool(errors[0] >= share * errors.max())


def _step_errors(pair: Pair) -> Array:
    """(T,) in the order of computation."""
    return _in_order(pair.errors.max(axis=(1, 2)), pair)


def _in_order(by_step: Array, pair: Pair) -> Array:
    """Steps as computed, not as stored."""
    return by_step[::-1] if pair.backward else by_step


def gate_order(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """At the first step the gates of one side are those of the other under other names."""
    sigmoids = [gate for gate in ("i", "f", "o") if gate in layer.pairs]
    if layer.at != 0:
        return None
    step = -1 if layer.pair.backward else 0
    taken = {x: y for x in layer.differ(*sigmoids) for y in sigmoids if _is(layer, x, y, step)}
    if not taken:
        return None
    listed = ", ".join(f"{of_b} is {of_a}" for of_b, of_a in taken.items())
    return Hint(
        "suspect_gate_order",
        compared.say(
            f"At {layer.name(0)} gates agree under other names ({{b}} / {{a}}): {listed}. "
            "Possible cause: one side reads the gates of the weights in another order."
        ),
    )


def _is(layer: LayerPairs, of_b: str, of_a: str, step: int) -> bool:
    """Whether a gate of b is another gate of a at a step."""
    a = layer.pairs[of_a].a[step]
    b = layer.pairs[of_b].b[step]
    if of_a == of_b or a.shape != b.shape:
        return False
    test = layer.pairs[of_b].tolerance
    enough = distinct(b, np.ones(b.shape, bool), test) >= ENOUGH
    return enough and bool(test.agree(a, b).all())


_SHARED = "Excluded: inputs and h before, unless the other gates hardly depend on them here."


def forget_gate(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """Of the gates only f differs."""
    if layer.first != "f" or not layer.agree("i", "g") or layer.differ("o"):
        return None
    return Hint(
        "suspect_forget_gate",
        f"At {layer.name(layer.at)} the forget gate differs and the other gates agree. Possible "
        "causes: forget bias (TF1 cells add 1 and store it in no tensor), the activation or bias "
        "of f, its weights, coupled gates (f = 1 - i), peepholes.",
        _SHARED,
    )


def cell_update(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """The gates agree, c does not."""
    if layer.first != "c" or not layer.agree("i", "f", "g"):
        return None
    carried = "the initial c" if layer.at == 0 else "a c that is not carried on, or carried wrongly"
    return Hint(
        "suspect_cell_update",
        f"At {layer.name(layer.at)} the gates agree and c does not: c = f*c + i*g is made "
        f"differently. Possible causes: {carried}, a clip on c, coupled gates.",
        "Excluded: what makes the gates, such as weights, gate order, forget bias.",
    )


def output(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """`c` agrees, h does not."""
    if layer.first != "h" or not layer.agree("c"):
        return None
    gates = [gate for gate in GATES if gate in layer.pairs]
    seen = "c and the gates agree" if gates else "c agrees"
    gate = "" if "o" in gates else "the output gate or its place in the gate order, "
    return Hint(
        "suspect_output",
        f"At {layer.name(layer.at)} {seen}, h does not: they first differ between c and h, in "
        f"h = o*tanh(c). Possible causes: {gate}the activation of the output, a projection or its "
        "clip, a peephole of o.",
        f"Excluded: all that makes c at {layer.name(layer.at)}.",
    )


_RECURRENT = "the recurrent weights (their gate order, the forget gate's place in it, a transpose)"
_NOT_CARRIED = "a state that is not carried on."
_RECURRENCE = (
    "Possible causes: forget bias (TF1 cells add 1 and store it in no tensor), coupled gates, "
    f"{_RECURRENT}, {_NOT_CARRIED}"
)


def after_first_step(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """The first step agrees, the second does not."""
    if layer.at != 1 or not _is_conclusive(layer):
        return None
    carried = [
        wrong[1:].mean() for base, wrong in layer.wrong.items() if base in ("h", layer.first)
    ]
    if min(carried) < _NEARLY_ALL:
        return None
    later = "all later steps differ" if min(carried) == 1 else "nearly all later steps differ"
    opening = (
        f"{_capital(layer.name(0))} agrees, {later}. From a zero state {layer.name(0)} depends on "
        "neither the forget gate nor the recurrent weights."
    )
    shown = _h_shows_all(layer)
    cleared = _first_step_excludes(layer.name(0)) if shown else ""
    more = "" if shown else _small_h(layer.name(0))
    others = layer.differ("i", "g", "o")
    if others:
        seen = (
            f"{join_with_and(others)} of {layer.name(1)} differ too, which forget bias alone does "
            "not explain"
        )
        text = f"{opening} {seen}. Possible causes: {_RECURRENT}, {_NOT_CARRIED}{more}"
        return Hint("suspect_recurrent_weights", text, cleared)
    return Hint("suspect_recurrence", f"{opening} {_RECURRENCE}{more}", cleared)


def _first_step_excludes(steps: str) -> str:
    """What makes the first step, too, and would have shown there."""
    return (
        f"Excluded unless inputs of {steps} are zero or small: kernel and bias of i, g and o, "
        "their order, activations."
    )


def _small_h(steps: str) -> str:
    return f" At {steps} h is too small to exclude the kernel, bias, gate order or activations."


def _h_shows_all(layer: LayerPairs) -> bool:
    """Whether h before the first difference is large enough to exclude what made it."""
    pair = layer.pairs.get("h")
    if pair is None:
        return False
    before = pair.b.moved(lambda v: _in_order(v, pair)[: layer.at])
    return _shows_all(before, pair.tolerance)


def _shows_all(h: Numbers, test: Tolerance) -> bool:
    """Whether these h are large enough to differ where i, g, o or activations do."""
    size = float(np.abs(h.values.astype(np.float64)).max(initial=0))
    unit = 0.0 if h.unit is None else float(h.unit.max(initial=0))
    return size**3 >= _SHOWN * (test.atol + test.rtol * size + unit)


def backward_order(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """Step 0 differs, and the step agrees that was computed first if some units ran backward.

    All of them, if no side tells the direction; one half of an output that two directions share.
    """
    pair = layer.pair
    if layer.at != 0 or layer.steps < 3 or pair.backward or pair.agrees is None:
        return None
    last, half = layer.steps - 1, pair.a.shape[2] // 2
    columns = np.arange(pair.a.shape[2])
    orders = [] if pair.backward is False or any(pair.parts) else [columns >= 0]
    differs: Mask = ~pair.agrees
    if pair.name == "h" and pair.a.shape[2] % 2 == 0 and not any(pair.parts):
        orders += [columns >= half, columns < half]
    for turned in orders:
        b = pair.b.values
        wrong: Mask = np.any(np.where(turned, differs[::-1], differs), axis=(1, 2))  # (T,)
        first = np.where(turned, b[-1], b[0])
        if wrong[0] or wrong[1:].mean() < _NEARLY_ALL or not np.any(first):
            continue
        neither = "from a zero state on neither the forget gate nor the recurrent weights"
        if turned.all():
            text = (
                f"Step {last} agrees and nearly all others differ. If the outputs are of a "
                f"backward direction, step {last} was computed first, and depends {neither}. "
            )
            forward = initial_state(compared, layer)
            rest = f" If they are of a forward direction: {forward.text}" if forward else ""
            return Hint("suspect_recurrence", f"{text}{_RECURRENCE}{rest}")
        steps = (last, 0) if turned[0] else (0, last)
        halves = (Numbers(first[..., half:]), Numbers(first[..., :half]))
        shown = all(_shows_all(part, pair.tolerance) for part in halves)
        more = "" if shown else _small_h("these steps")
        return Hint(
            "suspect_recurrence",
            f"Step {steps[0]} agrees in units 0 to {half - 1}, step {steps[1]} in units {half} to "
            f"{2 * half - 1}, and nearly all others differ, as in two directions side by side: "
            f"what each computes first depends {neither}. {_RECURRENCE}{more}",
            _first_step_excludes("these steps") if shown else "",
        )
    return None


def after_some_steps(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """Several steps agree, then one differs."""
    if layer.at < 2 or not _is_conclusive(layer):
        return None
    here = layer.name(layer.at)
    return Hint(
        "suspect_later_step",
        f"{_capital(layer.name(0))} to {layer.name(layer.at - 1)} agree, {here} is the first to "
        f"differ. Possible causes: inputs that differ from {here} on, a sequence length or a mask, "
        "a clip, a state reset between chunks.",
        "Excluded unless they hardly matter here, or inputs were zero before: weights, gate order, "
        "forget bias." * _h_shows_all(layer),
    )


def initial_state(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """The error is greatest at the first step and dies out."""
    errors = _relative_step_errors(layer).max(axis=1, initial=0)  # (T,)
    if not _dies_out(errors, _STATE_GONE) and not _clearly_decays(layer):
        return None
    return Hint(
        "suspect_initial_state",
        f"{_capital(layer.name(0))} differs most, and the difference decays towards the end. "
        "Possible causes: another initial state, one left over from the run before, or h and c of "
        "it exchanged.",
        "Less likely: what acts at every step, such as weights, gate order, activations.",
    )


def _clearly_decays(layer: LayerPairs) -> bool:
    """Whether the error decays as no rounding, noise or approximation does."""
    errors = _relative_step_errors(layer).mean(axis=1)  # (T,)
    late = errors[len(errors) // 2 :]
    return _dies_out(errors, _CLEARLY_GONE) and bool(late.max() <= _LATE * errors[0])


def _dies_out(errors: Array, gone: float) -> bool:
    """Whether errors of steps are greatest at the first and fall to a part of that."""
    if len(errors) < 4 or not np.isfinite(errors).all():
        return False
    return bool(not errors.argmax() and errors[-1] <= gone * errors[0])


def _relative_step_errors(layer: LayerPairs) -> Array:
    """(T, B): the greatest error of each step and sequence, relative to the step's numbers.

    In the order of computation; empty unless the first step differs.
    """
    pair = layer.pair
    if layer.at != 0:
        return np.zeros((0, 1))
    with np.errstate(all="ignore"):
        scale = np.abs(pair.b.values.astype(np.float64)).max(axis=(1, 2))
        return _in_order(pair.errors.max(axis=2) / scale[:, None], pair)


# Which gates differ at the first step while all others agree: what does that.
_ACTIVATIONS = {
    ("g",): "the activation of the candidate (tanh, relu, ...)",
    ("i", "f", "o"): "the activation of the gates (sigmoid, or one of two hard sigmoids)",
}


def activation(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """Only the gates of one activation differ."""
    differ = tuple(layer.differ("i", "f", "g", "o"))
    if differ not in _ACTIVATIONS or not layer.agree(*(g for g in GATES if g not in differ)):
        return None
    verb = "differs" if len(differ) == 1 else "differ"
    return Hint(
        "suspect_activation",
        f"At {layer.name(layer.at)} {join_with_and(differ)} {verb} and the other gates agree. "
        f"Possible cause: {_ACTIVATIONS[differ]}.",
        _SHARED,
    )


def at_once(compared: ComparedSides, layer: LayerPairs) -> Hint | None:
    """The first step differs already, and not in its forget gate only."""
    if layer.at != 0 or layer.steps < 2 or not layer.differ("i", "g", "o", "c", "h"):
        return None
    causes = "the direction of time, the initial state"
    cleared = (
        f"If the state started at zero, {layer.name(0)} depends on neither the forget bias nor the "
        "recurrent weights, so these are not all of it."
    )
    if compared.both_ways or _forget_bias_differs(compared):
        causes, cleared = f"{causes}, the forget bias, the recurrent weights", ""
    if compared.rows_assumed:
        causes = f"{causes}; if the first axis is the batch, any setting"
    return Hint(
        "suspect_first_step",
        f"{_capital(layer.name(0))} differs already. Possible causes: gate order, kernel "
        f"(transposed, h before x), bias (missing, doubled), activations, {causes}.",
        cleared,
    )


def _is_conclusive(layer: LayerPairs) -> bool:
    """Whether what agrees before is more than zeros."""
    before = slice(0, layer.at)
    pair = layer.pair
    b = pair.b.moved(lambda v: _in_order(v, pair)[before])
    zero = b.moved(np.zeros_like)
    return not pair.tolerance.agree(zero, b).all()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_PATTERNS: tuple[Callable[[ComparedSides, LayerPairs], Hint | None], ...] = (
    backward_order,
    gate_order,
    forget_gate,
    activation,
    cell_update,
    output,
    after_first_step,
    after_some_steps,
    initial_state,
    at_once,
)
