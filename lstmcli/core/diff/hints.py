"""Hints on a difference: what was proved first, then at most one suspicion.

Proofs are settings that differ, and arrays that agree once rearranged. If these leave something,
one pattern is suspected (``suspect_``), with what is possible and what is excluded: a forgotten
forget bias, a transposed recurrent kernel and coupled gates look the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.first_layer import FirstLayer, first_layer
from lstmcli.core.diff.operand import OF_HEAD, WEIGHTS, ArrayName
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.patterns import suspicion
from lstmcli.core.diff.rearrangements import proves, rearranged
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Hint, join_with_and


def find_hints(compared: Difference) -> list[Hint]:
    """The hints of a comparison, the surest first."""
    if not compared.differing:
        return []
    hints = []
    if compared.settings:
        hints.append(_settings_hint(compared))
    proofs = find_proofs(compared)
    hints.extend(proof.hint for proof in proofs)
    layer = first_layer(compared)
    forget_bias = None if layer is None else _forget_bias(layer)
    if forget_bias is not None:
        hints.append(forget_bias)
        layer = None  # it explains what is seen there
    proved = {name for proof in proofs for name in proof.arrays}
    is_explained = all(pair.name in proved for pair in compared.differing)
    if is_explained or _is_abbreviated(compared):
        return hints
    if _is_of_the_head(compared):
        hints.append(Hint("head", "h agrees, y differs: the head."))
        return hints
    if all(_are_probabilities(pair) for pair in compared.differing):
        hints.append(_PROBABILITIES)
        return hints
    suspected = suspicion(compared, layer)
    if suspected is not None:
        hints.append(suspected)
    return hints


def _is_abbreviated(compared: Difference) -> bool:
    """Return whether printed output left numbers out: the rest may make a pattern."""
    pairs = compared.pairs.values()
    return any(pair.a.left_out.any() or pair.b.left_out.any() for pair in pairs)


def _is_of_the_head(compared: Difference) -> bool:
    """Return whether h agrees, and y alone differs."""
    differing = {pair.name for pair in compared.differing}
    agreeing = compared.pairs.keys() - differing
    return differing <= set(OF_HEAD) and not agreeing.isdisjoint({"h", "final_h"})


_SUM_OF_ROW = 1e-3  # three printed digits of each probability
_PROBABILITIES = Hint(
    "probabilities",
    "Each row sums to 1: these are probabilities, the output y of a model, and not h. "
    "Given the model, lstm explain compares them through its head.",
)


def _are_probabilities(pair: Pair) -> bool:
    """Return whether an array called h has rows of probabilities on both sides."""
    if ArrayName.of(pair.name).base != "h" or pair.a.shape != pair.b.shape:
        return False
    for side in (pair.a.values, pair.b.values):
        if side.shape[-1] < 2 or not (side >= 0).all():
            return False
        if (np.abs(side.sum(axis=-1, dtype=np.float64) - 1) > _SUM_OF_ROW).any():
            return False
    return True


def _settings_hint(compared: Difference) -> Hint:
    texts = []
    for name, values in (compared.settings or {}).items():
        of_a, of_b = ("not set" if value is None else str(value) for value in values)
        texts.append(f"{name} {of_a} / {of_b}")
    a, b = compared.differing[0].names
    text = f"The two runs had different settings ({a} / {b}): {'; '.join(texts)}."
    return Hint("settings_differ", text)


# ---- proofs


class Proof(NamedTuple):
    """A hint that is proved, and the arrays of which it is."""

    hint: Hint
    arrays: list[str]


_STATES = ({"h", "c"}, {"final_h", "final_c"})
_H_IS_C = Hint("h_is_c", "One side returns or reads (c, h), the other (h, c).")
_EXCHANGED = Hint(
    "names_exchanged", "The two sides give the same numbers different names."
)
_NAN_IN_BOTH = Hint(
    "nan_in_both",
    "except where both sides are NaN; --equal-nan or equal_nan=True accepts those.",
)


def find_proofs(compared: Difference) -> list[Proof]:
    """The proofs by rearranging or renaming: one hint for h, c and all gates, not seven."""
    found: dict[Hint, dict[str, str]] = {}  # hint -> array -> what it is
    for pair in compared.differing:
        hint = _NAN_IN_BOTH if _is_nan_in_both(pair) else rearranged(pair)
        text = pair.name
        if hint is None:
            other = _other_name(compared, pair)
            if other is None:
                continue
            hint = _hint_of_names(pair.name, other)
            text = f"{pair.name} of {pair.names[1]} is {other} of {pair.names[0]}"
        found.setdefault(hint, {})[pair.name] = text
    proofs = []
    for hint, texts in found.items():
        if hint in (_H_IS_C, _EXCHANGED):
            seen = f"{', '.join(texts.values())}."
        else:
            verb = "agrees" if len(texts) == 1 else "agree"
            seen = f"{join_with_and(list(texts))} {verb}"
        proofs.append(Proof(replace(hint, seen=f"{seen} {hint.seen}"), list(texts)))
    return proofs


def _is_nan_in_both(pair: Pair) -> bool:
    """Return whether all agrees but what is NaN on both sides."""
    if pair.agrees is None:
        return False
    both = np.isnan(pair.a.values) & np.isnan(pair.b.values)
    return bool((both | pair.agrees).all())


def _hint_of_names(name: str, other: str) -> Hint:
    bases = {ArrayName.of(name).base, ArrayName.of(other).base}
    return _H_IS_C if bases in _STATES else _EXCHANGED


def _other_name(compared: Difference, pair: Pair) -> str | None:
    """The name of an array of b in a: of its layer, or of the other direction."""
    this = ArrayName.of(pair.name)
    if this.kind == WEIGHTS:
        return None
    for name, array in compared.sides[0].arrays.items():
        other = ArrayName.of(name)
        if name == pair.name or not array.size or not _may_be_exchanged(this, other):
            continue
        crossed = compared.cross(name, pair.name)
        agreed = pair.agrees
        if agreed is not None and agreed.shape != crossed.b.shape:
            agreed = None
        if proves(crossed.tolerance, crossed.a, crossed.b, agreed):
            return name
    return None


def _may_be_exchanged(one: ArrayName, other: ArrayName) -> bool:
    """Return whether arrays are of one layer, or the same one of both directions."""
    if one.kind != other.kind:
        return False
    if one.prefix == other.prefix:
        return True
    layer = one.prefix.removesuffix("_reverse")
    return one.base == other.base and layer == other.prefix.removesuffix("_reverse")


# ---- the forget bias

_INSIDE = (0.001, 0.999)  # of f, where it shows its pre-activation
_TYPED = 1e-3  # so near to two digits a constant was typed by a person


def _forget_bias(layer: FirstLayer) -> Hint | None:
    """f of the first divergence differs by a constant before its sigmoid."""
    if layer.first != "f":
        return None
    pair, step = layer.pair, slice(layer.at, layer.at + 1)
    a, b = pair.a[step], pair.b[step]
    f_of_a, f_of_b = a.values.astype(np.float64), b.values.astype(np.float64)
    is_inside = _are_inside(f_of_a) & _are_inside(f_of_b)
    if not is_inside.any():
        return None
    with np.errstate(all="ignore"):
        z_of_a = np.log(f_of_a) - np.log1p(-f_of_a)
        z_of_b = np.log(f_of_b) - np.log1p(-f_of_b)
        constant = float(np.median((z_of_a - z_of_b)[is_inside]))
        if abs(round(constant, 2) - constant) < _TYPED:
            constant = round(constant, 2)
        moved = Numbers(1 / (1 + np.exp(-z_of_b - constant)), b.unit)
    if constant == 0 or not proves(pair.tolerance, a, moved, ~pair.differs[step]):
        return None
    more, less = pair.names if constant > 0 else pair.names[::-1]
    return Hint(
        "forget_bias",
        f"At step {layer.step} {pair.name} differs only by a constant before the sigmoid: "
        f"{more} adds {abs(constant):g} more than {less}. That is the forget bias; "
        "TF1 adds 1 at run time and does not store it.",
    )


def _are_inside(gate: Array) -> Array:
    low, high = _INSIDE
    inside: Array = (gate > low) & (gate < high)
    return inside
