"""What a difference may come from: what was proved first, then at most one suspicion.

A hint needs a proof: the data are equal once rearranged, or the settings in two files differ. Only
where neither explains the difference is a pattern named, as a suspicion, whose code starts with
``suspect_``: several mistakes give the same pattern, and only a run of each can distinguish them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lstmcli.core.diff.array_name import WEIGHTS, ArrayName
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.patterns import suspicion
from lstmcli.core.diff.rearrangements import proves, rearranged
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.model import Hint, join_with_and


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
        text = f"The two runs had different settings ({{a}} / {{b}}): {'; '.join(both_set)}."
        hints.insert(0, Hint("settings_differ", compared.say(text)))
    return hints


def _one_half(compared: ComparedSides) -> tuple[Hint | None, ComparedSides]:
    """The hint where one half of the units of h differs, and the comparison of that half."""
    pair = compared.pairs.get("h")
    if compared.differing != [pair] or pair is None or pair.agrees is None or not pair.stepwise:
        return None, compared
    half, odd = divmod(pair.a.shape[2], 2)
    wrong = np.flatnonzero(pair.differs.any(axis=(0, 1))).tolist()
    units, start = slice(wrong[0], wrong[0] + half), wrong[0]
    settings = [side.settings for side in compared.sides if side.settings is not None]
    merges = {str(one.get("merge", "concat")) for one in settings} or {"concat"}
    is_half = wrong == [*range(start, start + half)] and start in (0, half) and half > 1
    if not is_half or odd or pair.numbers[2] or merges - set(_SIDE_BY_SIDE):
        return None, compared
    if pair.differs[..., units].mean() < 0.5:  # no matter of a direction
        return None, compared
    known = compared.two_directions and len(merges) == 1
    backward = (start > 0) != (merges == {"concat_swapped"})
    text = (
        f"Only units {start} to {units.stop - 1} of h differ: the {'back' if backward else 'for'}"
        f"ward half{'' if known else ', if the units are those of two directions side by side'}."
    )
    direction = backward if known else None
    part = replace(pair, a=pair.a[..., units], b=pair.b[..., units], backward=direction)
    steps = np.flatnonzero(pair.differs.any(axis=(1, 2)))
    first = None if compared.first_step is None else int(steps[-1 if direction else 0])
    of_half = replace(compared, pairs={"h": part}, first_step=first, is_half=True)
    return Hint("one_half", text), of_half


_SIDE_BY_SIDE = ("concat", "concat_swapped")  # merges that keep the output of each direction
_STATES = ({"h", "c"}, {"final_h", "final_c"})
_EXCHANGED = {  # by whether h and c are mistaken for each other
    True: Hint("h_is_c", "One side returns or reads (c, h), the other (h, c)."),
    False: Hint("names_exchanged", "The two sides give the same numbers different names."),
}


def _proofs(compared: ComparedSides) -> tuple[list[Hint], set[str]]:
    """What rearranging proves, and the arrays that are explained by it."""
    groups: dict[Hint, list[str]] = {}  # one hint for h, c and all gates, not seven
    exchanged: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for pair in compared.differing:
        if found := _nan_in_both(pair) or rearranged(pair):
            groups.setdefault(found, []).append(pair.name)
        elif other := _other_name(compared, pair):
            of_states = {ArrayName.of(pair.name).base, ArrayName.of(other).base} in _STATES
            exchanged[of_states][pair.name] = f"{pair.name} of {{b}} is {other} of {{a}}"
    hints = []
    for found, names in groups.items():
        text = f"{join_with_and(names)} {'agrees' if len(names) == 1 else 'agree'} {found.text}"
        other = {"time_flipped": "sequences", "batch_permuted": "steps"}.get(found.code)
        if other is not None and compared.axes_assumed:
            text += f" If the first axis is the batch, the {other} are in another order."
        hints.append(Hint(found.code, compared.say(text)))
    for of_states, texts in exchanged.items():
        if texts:
            hint = _EXCHANGED[of_states]
            seen = compared.say(f"{', '.join(texts.values())}. {hint.seen}")
            hints.append(replace(hint, seen=seen))
    hints += [hint for pair in compared.differing for hint in _forget_bias(compared, pair)]
    named = [*groups.values(), *exchanged.values()]
    return hints, {name for names in named for name in names}


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
        if proves(crossed, crossed.a, crossed.b, agreed if same else None):
            return name
    return None


def _forget_bias(compared: ComparedSides, pair: Pair) -> Iterator[Hint]:
    """f of the first divergence is the same but for a constant before its sigmoid.

    At the first step that differs only: later gates depend on states that differ already.
    """
    step = compared.first_step
    if pair.name != compared.first_array or ArrayName.of(pair.name).base != "f" or step is None:
        return
    a, b = pair.a[step : step + 1], pair.b[step : step + 1]
    inside = np.all([(x.values > 0.001) & (x.values < 0.999) for x in (a, b)], axis=0)
    if a.shape != b.shape or not inside.any():
        return
    with np.errstate(all="ignore"):
        gates = (side.values.astype(np.float64) for side in (a, b))
        after, before = (np.log(gate) - np.log1p(-gate) for gate in gates)
        constant = float(np.median((after - before)[inside]))
        rounded = round(constant, 2)  # it was typed by a person
        constant = rounded if abs(rounded - constant) < 1e-3 else constant
        moved = Numbers(1 / (1 + np.exp(-before - constant)), b.unit)
    agreed = None if pair.agrees is None else pair.agrees[step : step + 1]
    if constant and proves(pair, a, moved, agreed):
        more, less = ("{a}", "{b}") if constant > 0 else ("{b}", "{a}")
        text = (
            f"At step {step} {pair.name} differs only by a constant before the sigmoid: "
            f"{more} adds {abs(constant):g} more than {less}. That is the forget bias; "
            "TF1 adds 1 at run time and does not store it."
        )
        yield Hint("forget_bias", compared.say(text))
