"""What a difference may come from: what was proved first, then at most one suspicion.

A hint needs a proof: the data are equal once rearranged, or the settings in two files differ. Only
where neither explains the difference is a pattern named, as a suspicion, whose code starts with
``suspect_``: several mistakes give the same pattern, and only a run of each can distinguish them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.diff.alignment import WEIGHTS, ArrayName, Pair
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.patterns import suspicion
from lstmcli.core.diff.rearrangements import proves, rearranged
from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.hint import Hint, join_with_and


def find_hints(compared: ComparedSides) -> list[Hint]:
    """The hints of a comparison, the surest first; none where nothing differs."""
    if not compared.differing:
        return []
    proofs, explained = _proofs(compared)
    hints = [*settings_differ(compared), *proofs]
    if explained < {pair.name for pair in compared.differing} and not _left_out(compared):
        half, compared = _one_half(compared)
        guess = suspicion(compared, {hint.code for hint in proofs})
        hints += [hint for hint in (half, guess) if hint is not None]
    return hints


def _one_half(compared: ComparedSides) -> tuple[Hint | None, ComparedSides]:
    """What is said where one half of the units of h differs, and the comparison of that half."""
    pair = compared.pairs.get("h")
    if compared.differing != [pair] or pair is None or pair.agrees is None or not pair.stepwise:
        return None, compared
    units = pair.a.shape[2]
    differs: Mask = ~pair.agrees
    wrong = np.flatnonzero(differs.any(axis=(0, 1))).tolist()
    halves = [*range(units // 2)], [*range(units // 2, units)]
    if wrong not in halves or units % 2 or units < 4 or pair.numbers[2] is not None:
        return None, compared
    start, stop = wrong[0], wrong[-1] + 1
    if differs[..., start:stop].mean() < 0.5:  # isolated numbers are no matter of a direction
        return None, compared
    cells = any("_reverse." in name for names in compared.arrays for name in names)
    merges = {s.get("merge", "concat") for s in compared.settings if s is not None} or {"concat"}
    if not merges <= {"concat", "concat_swapped"}:
        return None, compared
    known = cells and len(merges) == 1
    backward = (start > 0) != (merges == {"concat_swapped"})
    text = (
        f"Only units {start} to {stop - 1} of h differ: the {'back' if backward else 'for'}ward "
        f"half{'' if known else ', if the units are those of two directions side by side'}."
    )
    direction = backward if known else None
    a, b = pair.a[..., start:stop], pair.b[..., start:stop]
    part = replace(pair, a=a, b=b, backward=direction)
    steps = np.flatnonzero(differs.any(axis=(1, 2)))
    first = None if compared.first_step is None else int(steps[-1 if direction else 0])
    return Hint("one_half", text), replace(
        compared, pairs={"h": part}, first_step=first, both_ways=False
    )


def _left_out(compared: ComparedSides) -> bool:
    """Whether a print left numbers out: a pattern may then be that of what was printed."""
    pairs = compared.pairs.values()
    return any(n.left_out is not None for pair in pairs for n in (pair.a, pair.b))


def settings_differ(compared: ComparedSides) -> list[Hint]:
    """The settings that two traces say they were made with, where they are not the same."""
    settings = compared.differing_settings
    if not settings:
        return []
    said = {name: ["not set" if v is None else v for v in both] for name, both in settings.items()}
    listed = "; ".join(f"{name} {a} / {b}" for name, (a, b) in said.items())
    text = f"The two were made with different settings ({{a}} / {{b}}): {listed}."
    return [Hint("settings_differ", compared.say(text))]


def _proofs(compared: ComparedSides) -> tuple[list[Hint], set[str]]:
    """What rearranging proves, and the arrays that are explained by it."""
    findings = {
        pair.name: found
        for pair in compared.differing
        if (found := nan_in_both(pair) or rearranged(pair))
    }
    groups: dict[Hint, list[str]] = {}  # one hint for h, c and all gates, not seven
    for name, finding in findings.items():
        groups.setdefault(finding, []).append(name)
    hints = [
        Hint(finding.code, compared.say(f"{_agreeing(names)} {_of_axes(compared, finding)}"))
        for finding, names in groups.items()
    ]
    exchanged = _exchanged_names(
        compared, [p for p in compared.differing if p.name not in findings]
    )
    hints += exchanged_hint(compared, exchanged)
    hints += [hint for pair in compared.differing for hint in forget_bias(compared, pair)]
    return hints, {*findings, *exchanged}


def _of_axes(compared: ComparedSides, finding: Hint) -> str:
    """The text of a finding; of steps that may be sequences, with that."""
    other = {"time_flipped": "sequences", "batch_permuted": "steps"}.get(finding.code)
    if other is None or not compared.axes_assumed:
        return finding.text
    return f"{finding.text} If the first axis is the batch, the {other} are in another order."


def _agreeing(names: Sequence[str]) -> str:
    return f"{join_with_and(names)} {'agrees' if len(names) == 1 else 'agree'}"


def nan_in_both(pair: Pair) -> Hint | None:
    """All that differs is NaN on both sides."""
    if pair.agrees is None:
        return None
    both = np.isnan(pair.a.values) & np.isnan(pair.b.values)
    if not (both | pair.agrees).all():
        return None
    return Hint("nan_in_both", "but for places where both sides are NaN; --equal-nan allows them.")


def _exchanged_names(compared: ComparedSides, pairs: Sequence[Pair]) -> dict[str, str]:
    """For arrays of b that a has under another name: that name."""
    found = {}
    for pair in pairs:
        other = next(
            (n for n in _namesakes(compared, pair.name) if _same(compared, n, pair.name)), None
        )
        if other is not None:
            found[pair.name] = other
    return found


def _namesakes(compared: ComparedSides, name: str) -> list[str]:
    """Arrays of a that might have been given this name: of its layer, or of the other direction."""
    part = ArrayName.of(name)
    if part.kind == WEIGHTS:
        return []
    twins = {part.prefix, f"{part.prefix}_reverse", part.prefix.removesuffix("_reverse")}
    others = [ArrayName.of(n) for n in compared.arrays[0]]
    return [
        n
        for n, other in zip(compared.arrays[0], others, strict=True)
        if n != name
        and other.kind == part.kind
        and other.prefix in twins
        and (other.prefix == part.prefix or other.base == part.base)
    ]


def _same(compared: ComparedSides, of_a: str, of_b: str) -> bool:
    pair, agreed = compared.cross(of_a, of_b), compared.pairs[of_b].agrees
    same = agreed is not None and agreed.shape == pair.b.shape
    return proves(pair, pair.a, pair.b, agreed if same else None)


_STATES = ({"h", "c"}, {"final_h", "final_c"})


def exchanged_hint(compared: ComparedSides, exchanged: Mapping[str, str]) -> list[Hint]:
    """One hint for h and c mistaken for each other, one for all other names."""
    states = {
        of_b: of_a
        for of_b, of_a in exchanged.items()
        if {ArrayName.of(of_a).base, ArrayName.of(of_b).base} in _STATES
    }
    others = {of_b: of_a for of_b, of_a in exchanged.items() if of_b not in states}
    hints = []
    if states:
        advice = "One side returns or reads (c, h), the other (h, c)."
        hints.append(Hint("h_is_c", compared.say(f"{_mapping(states)}. {advice}")))
    if others:
        advice = "The two sides give the same numbers different names."
        hints.append(Hint("names_exchanged", compared.say(f"{_mapping(others)}. {advice}")))
    return hints


def _mapping(exchanged: Mapping[str, str]) -> str:
    return ", ".join(f"{of_b} of {{b}} is {of_a} of {{a}}" for of_b, of_a in exchanged.items())


def forget_bias(compared: ComparedSides, pair: Pair) -> list[Hint]:
    """f of the first divergence is the same but for a constant before its sigmoid.

    At the first step that differs only: later gates depend on states that differ already.
    """
    is_forget_gate = pair.placed and ArrayName.of(pair.name).base == "f"
    step = compared.first_step
    if pair.name != compared.first_array or not is_forget_gate or step is None:
        return []
    a, b = pair.a[step : step + 1], pair.b[step : step + 1]
    constant = _logit_shift(a.values, b.values)
    if constant is None:
        return []
    moved = Numbers(_sigmoid(_logit(b.values) + constant), b.unit)
    agreed = None if pair.agrees is None else pair.agrees[step : step + 1]
    if not proves(pair, a, moved, agreed):
        return []
    more, less = ("{a}", "{b}") if constant > 0 else ("{b}", "{a}")
    text = (
        f"{pair.name} of step {step} is the same on both sides but for a constant inside its "
        f"sigmoid: {more} adds {abs(constant):g} more to the forget gate than {less}. That is the "
        "forget bias; TF1 adds 1 at run time and stores it in no tensor."
    )
    return [Hint("forget_bias", compared.say(text))]


def _logit_shift(a: Array, b: Array) -> float | None:
    """The constant between the pre-activations of two arrays of gates, or None."""
    inside = (a > 0.001) & (a < 0.999) & (b > 0.001) & (b < 0.999)
    if not inside.any():
        return None
    constant = float(np.median(_logit(a[inside]) - _logit(b[inside])))
    rounded = round(constant, 2)  # it was typed by a person
    constant = rounded if abs(rounded - constant) < 1e-3 else constant
    return constant or None


def _logit(gate: Array) -> Array:
    with np.errstate(all="ignore"):
        gate = gate.astype(np.float64)
        value: Array = np.log(gate) - np.log1p(-gate)
        return value


def _sigmoid(value: Array) -> Array:
    with np.errstate(all="ignore"):
        gate: Array = 1 / (1 + np.exp(-value))
        return gate
