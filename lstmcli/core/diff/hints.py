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
    proofs, explained = _proofs(compared)
    hints = [*proofs]
    if settings := compared.differing_settings:
        both_set = [
            f"{name} {' / '.join('not set' if v is None else str(v) for v in both)}"
            for name, both in settings.items()
        ]
        text = f"The two runs had different settings ({{a}} / {{b}}): {'; '.join(both_set)}."
        hints = [Hint("settings_differ", compared.say(text)), *proofs]
    sides = [side for pair in compared.pairs.values() for side in (pair.a, pair.b)]
    # of printed output that left numbers out, a pattern may be that of what was printed
    if all(side.left_out is None for side in sides) and any(
        pair.name not in explained for pair in compared.differing
    ):
        half, compared = _one_half(compared)
        guess = suspicion(compared, [hint.code for hint in proofs])
        hints += [hint for hint in (half, guess) if hint is not None]
    return hints


def _one_half(compared: ComparedSides) -> tuple[Hint | None, ComparedSides]:
    """The hint where one half of the units of h differs, and the comparison of that half."""
    pair = compared.pairs.get("h")
    if compared.differing != [pair] or pair is None or pair.agrees is None or not pair.stepwise:
        return None, compared
    units = pair.a.shape[2]
    wrong = np.flatnonzero(pair.differs.any(axis=(0, 1))).tolist()
    start = wrong[0]
    is_half = wrong in ([*range(units // 2)], [*range(units // 2, units)])
    if not is_half or units % 2 or units < 4 or pair.numbers[2] is not None:
        return None, compared
    half = slice(start, start + units // 2)
    settings = [side.settings for side in compared.sides if side.settings is not None]
    merges = {str(one.get("merge", "concat")) for one in settings} or {"concat"}
    is_isolated = pair.differs[..., half].mean() < 0.5  # no matter of a direction
    if is_isolated or not merges <= {"concat", "concat_swapped"}:
        return None, compared
    known = compared.two_directions and len(merges) == 1
    backward = (start > 0) != (merges == {"concat_swapped"})
    text = (
        f"Only units {start} to {half.stop - 1} of h differ: the {'back' if backward else 'for'}"
        f"ward half{'' if known else ', if the units are those of two directions side by side'}."
    )
    direction = backward if known else None
    part = replace(pair, a=pair.a[..., half], b=pair.b[..., half], backward=direction)
    steps = np.flatnonzero(pair.differs.any(axis=(1, 2)))
    first = None if compared.first_step is None else int(steps[-1 if direction else 0])
    of_half = replace(compared, pairs={"h": part}, first_step=first, is_half=True)
    return Hint("one_half", text), of_half


def _proofs(compared: ComparedSides) -> tuple[list[Hint], set[str]]:
    """What rearranging proves, and the arrays that are explained by it."""
    groups: dict[Hint, list[str]] = {}  # one hint for h, c and all gates, not seven
    for pair in compared.differing:
        if found := _nan_in_both(pair) or rearranged(pair):
            groups.setdefault(found, []).append(pair.name)
    hints = []
    for found, names in groups.items():
        text = f"{join_with_and(names)} {'agrees' if len(names) == 1 else 'agree'} {found.text}"
        other = {"time_flipped": "sequences", "batch_permuted": "steps"}.get(found.code)
        if other is not None and compared.axes_assumed:
            text += f" If the first axis is the batch, the {other} are in another order."
        hints.append(Hint(found.code, compared.say(text)))
    explained = {name for names in groups.values() for name in names}
    exchanged = {
        pair.name: other
        for pair in compared.differing
        if pair.name not in explained and (other := _other_name(compared, pair))
    }
    states = {  # h and c are mistaken for each other
        x: y
        for x, y in exchanged.items()
        if {ArrayName.of(x).base, ArrayName.of(y).base} in ({"h", "c"}, {"final_h", "final_c"})
    }
    others = {x: y for x, y in exchanged.items() if x not in states}
    for hint, names_of in (
        (Hint("h_is_c", "One side returns or reads (c, h), the other (h, c)."), states),
        (Hint("names_exchanged", "The two sides give the same numbers different names."), others),
    ):
        text = ", ".join(f"{x} of {{b}} is {y} of {{a}}" for x, y in names_of.items())
        hints += [replace(hint, seen=compared.say(f"{text}. {hint.seen}"))] * bool(text)
    hints += [hint for pair in compared.differing for hint in _forget_bias(compared, pair)]
    return hints, explained | {*exchanged}


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
    is_forget_gate = pair.placed and ArrayName.of(pair.name).base == "f"
    step = compared.first_step
    if pair.name != compared.first_array or not is_forget_gate or step is None:
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
