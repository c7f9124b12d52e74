"""Where sigmoid or tanh is approximated worst, as far as the first step of h shows it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lstmcli.core.explain.verify import FINE, Case, Remarks, remark
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_in_memory
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model

WIDTH = 0.5  # of the parts of |z| whose errors are solved for
FEWEST = 4  # numbers of h for each part
# Of the error of h: a rational tanh or sigmoid leaves 0.11 to 0.21, both at once 0.28 to 0.40;
# int8 weights, noise, other weights, and the other function 0.57 or more.
MOST_LEFT = 0.25

# the arguments of a function, and what an error there adds to h, times the error
Uses = tuple[tuple[Array, Array], ...]


def approximated(case: Case) -> Remarks:
    """A remark on each function whose errors alone explain the first step of h."""
    model, known = case.model(FINE), case.expected.arrays.get("h")
    if known is None or case.data.initial_state or not _is_usual(model):
        return
    run = run_in_memory(prepare(model, case.inputs({}), tuple("hcigoz")))
    first = {name: run[name][0].astype(np.float64) for name in "hcigoz"}  # (B, H)
    off = known.values[0] - first["h"]
    if off.shape != first["c"].shape or not np.isfinite(off).all():
        return
    for function, uses in _uses(first).items():
        worst = _worst_part(off, uses)
        if worst is not None:
            z, error = worst
            yield remark("approximated", function=function, z=z, error=error)


def _is_usual(model: Model) -> bool:
    """Tell whether it is one forward cell with sigmoid and tanh."""
    how = model.behaviour
    functions = (how.recurrent_activation, how.activation, how.output_activation)
    is_forward = len(model.cells) == 1 and not model.backward
    is_plain = functions == ("sigmoid", "tanh", "tanh") and how.coupled == "none"
    return is_forward and is_plain


def _uses(first: Mapping[str, Array]) -> dict[str, Uses]:
    """The uses of each function in a step from a zero state."""
    c, i, g, o = (first[name] for name in "cigo")
    z_i, _, z_g, z_o = np.split(first["z"], 4, axis=-1)
    of_c = o * (1 - np.tanh(c) ** 2)
    return {
        "sigmoid": ((z_i, of_c * g), (z_o, np.tanh(c))),
        "tanh": ((z_g, of_c * i), (c, o)),
    }


def _worst_part(off: Array, uses: Uses) -> tuple[float, float] | None:
    """The |z| and the size of a function's largest error; None if it does not explain ``off``.

    The error is odd, as that of usual approximations, and constant within a part of |z|.
    """
    most = max(np.abs(z).max() for z, _ in uses) / WIDTH
    if not FEWEST * (most + 1) <= off.size:  # too few, or z is not finite
        return None
    count = 1 + int(most)
    table = np.zeros((off.size, count))  # of numbers of h, then of parts
    for z, effect in uses:
        part = (np.abs(z) / WIDTH).astype(int).ravel()
        table[np.arange(off.size), part] += (np.sign(z) * effect).ravel()
    errors = np.linalg.lstsq(table, off.ravel(), rcond=None)[0]
    left = np.linalg.norm(off.ravel() - table @ errors)
    if left > MOST_LEFT * np.linalg.norm(off):
        return None
    errors[np.count_nonzero(table, axis=0) < FEWEST] = 0.0  # hardly seen
    worst = int(np.abs(errors).argmax())
    return (worst + 0.5) * WIDTH, float(np.abs(errors[worst]))
