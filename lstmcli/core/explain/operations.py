"""A cell in half precision: each operation of the textbook rounded, as frameworks do them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from lstmcli.core.forward.loop import is_plain
from lstmcli.core.model.activations import activation
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import round_to_format, spacing
from lstmcli.core.model.model import Cell

Rounded = Callable[[Array], Array]

WAVERING = 0.25  # of a unit: what an operation may be off before it is rounded


def rounder(name: str, seed: int = 0) -> Rounded:
    """Rounds to a format; with a seed, after a nudge that another order of operations may give."""
    if not seed:
        return partial(round_to_format, name=name)
    rng = np.random.default_rng(seed)  # its import takes 10 ms

    def rounded(array: Array) -> Array:
        nudge = rng.uniform(-WAVERING, WAVERING, array.shape)
        return round_to_format(array + nudge * spacing(array, name), name)

    return rounded


def every_operation(cell: Cell, x: Array, r: Rounded) -> Mapping[str, Array] | None:
    """The arrays (T, B, H) and last states (B, H) of a run over x (T, B, I), all of it rounded.

    None for a cell with more to it than the textbook's, or another way through time.
    """
    how = cell.convention
    plain = replace(cell, convention=how.changed({"recurrent_activation": "sigmoid"}))
    if not is_plain(plain) or cell.initial_h is not None or how.behaviour.state != "carried":
        return None
    if how.behaviour.reverse or how.behaviour.go_backwards or how.behaviour.flip_output:
        return None
    bias = cell.bias.copy()  # (4, H)
    bias[1] += how.behaviour.forget_bias
    h = c = np.zeros((x.shape[1], cell.units))  # (B, H)
    kept: dict[str, list[Array]] = {"h": [], "c": []}
    for x_t in r(x):
        z = r(
            r(x_t @ cell.kernel.swapaxes(1, 2) + bias[:, None])
            + r(h @ cell.recurrent_kernel.swapaxes(1, 2))
        )  # (4, B, H)
        i, f, o = (r(_through(how.behaviour.recurrent_activation, z[k])) for k in (0, 1, 3))
        c = r(r(f * c) + r(i * r(_through(how.behaviour.activation, z[2]))))
        h = r(o * r(_through(how.behaviour.output_activation, c)))
        kept["h"].append(h)
        kept["c"].append(c)
    arrays = {name: np.array(steps) for name, steps in kept.items()}
    return {**arrays, **{f"final_{name}": steps[-1] for name, steps in kept.items()}}


def _through(name: str, values: Array) -> Array:
    out = np.empty_like(values)
    activation(name)(values, out)
    return out
