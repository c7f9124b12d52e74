"""Edits of the inputs (T, B, I) of a run: shifted, padded, scaled, in another order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Shown, fit
from lstmcli.core.model.edits.family import (
    LATER,
    NEARLY,
    POSITIVE,
    SHARE,
    TRAINING,
    Family,
    RunSizes,
    names_of,
    others_put,
)
from lstmcli.core.model.edits.normalised import NORMALISED, USUAL_SCALES, normalised
from lstmcli.core.model.settings import COUNT, OneOf, Parser, setting_text
from lstmcli.core.model.steps import shown_lengths, valid_until
from lstmcli.core.model.vocabulary import numbered

INPUTS = Family(
    "inputs",
    "Other inputs have the same shape, and every number of the outputs is plausible",
)
MOST_PERMUTED = 5  # features of which every order is tried: 120
MOST_SWAPPED = 16  # features of which every exchange of two is tried: 120
SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)  # of dropout, as in frameworks' examples

_SHIFTED = "loops that start at 1, sequences cut otherwise than in training"
_STEP = "feed x[t] at step t"
_PADDED = "pad_sequences, which pads in front"
_PAD_BEHIND = 'pad_sequences(x, padding="post")'
_PREPARED = "preprocessing that is left out, or done twice"
_AS_IT_IS = "feed x as it is"
_STEPS = range(1, 9)  # by which inputs are late or early
_SCALES = Parser("n+", "a number, or one for each feature, such as 0.5,2")
_FACTORS = (1 / 255, 255.0, 1 / 256, 1 / 127.5, 0.5, 2.0, 0.1, 10.0, 0.01, 100.0, 1e-3, 1000.0,
            -1.0, 1 / 128, 1 / 32768, 32768.0)  # fmt: skip


@INPUTS.edit(
    "late", "inputs", lambda v: f"inputs {v.steps} late, zeros first",
    lambda v: f"x = concat(zeros({v}), x[:-{v}])", _SHIFTED, _STEP,
    read=COUNT, values=_STEPS, of_sequence=True,
)  # fmt: skip
def _late(x: Array, steps: int) -> Any:
    return fit(steps < len(x), padded(x, steps)[: len(x)])


@INPUTS.edit(
    "early", "inputs", lambda v: f"inputs {v.steps} early, zeros last",
    lambda v: f"x = concat(x[{v}:], zeros({v}))", _SHIFTED, _STEP,
    read=COUNT, values=_STEPS, of_sequence=True,
)  # fmt: skip
def _early(x: Array, steps: int) -> Any:
    return fit(steps < len(x), padded(x[steps:], 0, steps))


@INPUTS.edit(
    "rolled", "inputs", lambda v: f"inputs rolled by {v.steps}",
    lambda v: f"x = np.roll(x, {v}, axis=time)", _SHIFTED, _STEP,
    read=Parser("d", "steps, such as -1"), values=(1, -1, 2, -2, 3, -3), of_sequence=True,
)  # fmt: skip
def _rolled(x: Array, steps: int) -> Array:
    return np.roll(x, steps, axis=0)


@INPUTS.edit(
    "skipped", "inputs", lambda v: f"first {v.steps} left out",
    lambda v: f"x = x[{v}:]", _SHIFTED, "run all steps",
    read=COUNT, shows="The outputs are those of later steps", values=(1, 2, 3), of_sequence=True,
)  # fmt: skip
def _skipped(x: Array, steps: int) -> Any:
    return fit(steps < len(x), x[steps:])


@INPUTS.edit(
    "padded", "inputs", lambda v: f"{v.steps} of zeros in front",
    lambda v: f"x = concat(zeros({v}), x)", _PADDED, _PAD_BEHIND,
    read=COUNT, values=(1, 2, 3, 4), of_sequence=True,
)  # fmt: skip
def padded(x: Array, before: int, after: int = 0) -> Array:
    """The inputs with steps of zeros."""
    return np.pad(x, [(before, after), (0, 0), (0, 0)])


@INPUTS.edit(
    "padding_first", "run", lambda v: f"padding at the end moved to the front, {v}",
    'pad_sequences(x, padding="pre")', _PADDED, _PAD_BEHIND,
    read=OneOf(true="run over", masked="masked"), of_sequence=True,
)  # fmt: skip
def _padding_first(_: Any, x: Array, valid: Array | None, states: Any, how: str) -> Any:
    steps = np.arange(len(x))[:, None]
    if valid is None:
        lengths = shown_lengths(x)
        counts = steps < lengths
    else:
        lengths, counts = valid_until(~valid), valid
    order = (steps + lengths) % len(x)  # the step that is at each
    moved = np.take_along_axis(x, order[:, :, None], axis=0)
    masked = np.take_along_axis(counts, order, axis=0) if how == "masked" else None
    return moved, masked, states


def _orders(sizes: RunSizes) -> Iterator[tuple[int, ...]]:
    plain = tuple(range(sizes.cell.inputs))
    yield plain[::-1]
    yield plain[-1:] + plain[:-1]
    yield plain[1:] + plain[:1]
    if len(plain) <= MOST_PERMUTED:
        yield from permutations(plain)
    elif len(plain) <= MOST_SWAPPED:
        for a, b in combinations(plain, 2):
            yield others_put(plain, {a: b, b: a})


@INPUTS.edit(
    "features", "inputs", lambda v: f"features in the order {v}",
    lambda v: f"x = x[..., [{v}]]", "columns of another table, RGB and BGR",
    "keep the order of training",
    read=Parser("u+", "each feature, such as 1,0,2"), values=_orders,
)  # fmt: skip
def _features(x: Array, order: tuple[int, ...]) -> Any:
    is_order = sorted(order) == [*range(x.shape[2])]
    return fit(is_order, x[..., [*order]])


@INPUTS.edit(
    "dropout_scale", "inputs", lambda v: f"inputs over 1 - p, as by dropout, p = {v}",
    lambda v: f"x = x / (1 - {v})", TRAINING, "leave the scale out", read=SHARE, values=SHARES,
)  # fmt: skip
def _dropout_scale(x: Array, share: float) -> Array:
    return x / (1 - share)


def _unused(factors: Any) -> list[int]:
    """The features that factors leave out, where they do no more than that."""
    is_of_each = isinstance(factors, tuple) and len(factors) > 1
    if not is_of_each or {*factors} != {0.0, 1.0}:
        return []
    return [n for n, factor in enumerate(factors) if factor == 0]


def _factor_words(v: Shown) -> str:
    unused = _unused(v.value)
    if not unused:
        return f"inputs times {setting_text(v.value)}"
    if len(unused) == 1:
        return f"input {unused[0]} is not used"
    return f"{numbered('input', unused)} are not used"


def _factor_code(v: Shown) -> str:
    unused = _unused(v.value)
    return f"x[..., {unused}] = 0" if unused else f"x = x * [{setting_text(v.value)}]"


@INPUTS.edit(
    "factor", "inputs", _factor_words, _factor_code, _PREPARED, _AS_IT_IS,
    read=_SCALES, values=_FACTORS, solved=1.0,
)  # fmt: skip
def _factor(x: Array, factors: Any) -> Any:
    return x * np.broadcast_to(factors, x.shape[2:])


@INPUTS.edit(
    "offset", "inputs", lambda v: f"{v} added to the inputs", lambda v: f"x = x + [{v}]",
    _PREPARED, _AS_IT_IS, read=_SCALES, values=(0.5, -0.5, 1.0, -1.0), solved=0.0,
)  # fmt: skip
def _offset(x: Array, numbers: Any) -> Any:
    return x + np.broadcast_to(numbers, x.shape[2:])


INPUTS.edit(
    "normalised", "inputs", lambda v: f"inputs normalised: {v}",
    lambda v: f'x = normalise(x, "{v}")', _PREPARED, _AS_IT_IS,
    read=names_of(NORMALISED), of_sequence=True, values=USUAL_SCALES,
)(normalised)  # fmt: skip


def _steps_beside(sizes: RunSizes) -> Iterator[tuple[int, int]]:
    for step in sizes.input_steps:
        for other in (step - 1, step + 1):
            if 0 <= other < sizes.steps:
                yield step, other


@INPUTS.edit(
    "step", "inputs", lambda v: f"inputs of one step taken from another: {v}",
    lambda v: f"x[{v.parts[0]}] = x[{v.parts[1]}]", "a token read twice", _STEP,
    read=Parser("uu", "a step and the one it takes, such as 5,4"),
    shows="The steps before that one agree", of_sequence=True, values=_steps_beside,
)  # fmt: skip
def _step_of_another(x: Array, at: tuple[int, int]) -> Array:
    step, other = at
    changed = x.copy()
    changed[step] = x[other]
    return changed


# ---- rounded, smoothed, read in another order


@INPUTS.edit(
    "decimals", "inputs", lambda v: f"inputs rounded to {v} decimals",
    lambda v: f"x = np.round(x, {v})", "test vectors that are printed", _AS_IT_IS,
    read=Parser("u", "an integer from 0 on"), shows=NEARLY, values=(2, 3, 4, 1, 0),
)  # fmt: skip
def _decimals(x: Array, decimals: int) -> Any:
    return np.round(x, decimals)


@INPUTS.edit(
    "grid", "inputs", lambda v: f"inputs rounded to multiples of {v}",
    lambda v: f"x = np.round(x / {v}) * {v}", "8-bit or fixed-point inputs", _AS_IT_IS,
    read=POSITIVE, shows=NEARLY, values=[2.0**-bits for bits in (8, 7, 12, 10, 4, 5, 6, 15)],
)  # fmt: skip
def _grid(x: Array, size: float) -> Any:
    return np.round(x / size) * size


@INPUTS.edit(
    "smoothed", "inputs", lambda v: f"inputs are the mean of the last {v.steps}",
    lambda v: f"x[t] = x[t - {v} + 1 : t + 1].mean(axis=time)", "a moving average of features",
    _AS_IT_IS, read=COUNT, values=(2, 3, 4, 5), of_sequence=True, shows=LATER,
)  # fmt: skip
def _smoothed(x: Array, steps: int) -> Any:
    return np.stack(
        [x[max(0, t - steps + 1) : t + 1].mean(axis=0) for t in range(len(x))]
    )


@INPUTS.edit(
    "differenced", "inputs", "inputs less those of the step before",
    "x[1:] = x[1:] - x[:-1]", "delta features", _AS_IT_IS, of_sequence=True, shows=LATER,
)  # fmt: skip
def _differenced(x: Array, _: Any) -> Any:
    return np.diff(x, axis=0, prepend=np.zeros_like(x[:1]))


@INPUTS.edit(
    "resampled", "inputs", lambda v: f"inputs of one step in {v}, held for {v.steps}",
    lambda v: f"x = x[::{v}].repeat({v}, axis=time)", "features of a lower rate", _AS_IT_IS,
    read=COUNT, values=(2, 3, 4), of_sequence=True, shows=LATER,
)  # fmt: skip
def _resampled(x: Array, steps: int) -> Any:
    return x[np.arange(len(x)) // steps * steps]


_AXES = {"time_first": "time first", "batch_first": "batch first"}


@INPUTS.edit(
    "reshaped", "inputs", lambda v: f"axes of the inputs reshaped, not exchanged, to {v}",
    "x = x.reshape(x.shape[1], x.shape[0], -1)", "ports of a model with other axes",
    "x = x.transpose(1, 0, 2)", read=OneOf(**_AXES), of_sequence=True,
)  # fmt: skip
def _reshaped(x: Array, to: str) -> Any:
    steps, batch, count = x.shape
    if to == "time_first":
        return x.swapaxes(0, 1).reshape(steps, batch, count)
    return x.reshape(batch, steps, count).swapaxes(0, 1)
