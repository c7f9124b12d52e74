"""LSTM outputs in other people's tests: an assertion that shows why two results differ."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from lstmcli import formats
from lstmcli.api.diff import Result, diff, side_of
from lstmcli.api.explain import explain_within
from lstmcli.api.job import InputOptions
from lstmcli.api.values import Path, Weights
from lstmcli.core.diff.compare import Difference
from lstmcli.core.diff.operand import Side
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError
from lstmcli.views.assertion import failure_text

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["assert_lstm_close", "write_golden"]

EFFORT = 0.1
"""The share of `explain`'s usual budget in which a cause is searched for."""


def assert_lstm_close(
    actual: Result,
    expected: Result,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    weights: Model | Weights | Sequence[Weights] | None = None,
    inputs: npt.ArrayLike | Path | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | Path | None = None,
    lengths: npt.ArrayLike | Path | None = None,
    mask: npt.ArrayLike | Path | None = None,
    explain: bool = True,
    **settings: Any,
) -> None:
    """Fail unless two results of an LSTM are equal within a tolerance, and show why they are not.

    Axes may lie otherwise, as `lstmcli.diff` has it, but all numbers have to be there: a last step
    does not equal all of them, and an array that ``expected`` has may not be left out of a dict.

    Parameters
    ----------
    actual, expected
        whatever `lstmcli.diff` takes: an array, or a tensor of PyTorch, TensorFlow or JAX, which
        is h, (T, H), (T, B, H) or (B, T, H); a trace; a dict of arrays by name; a path.
    rtol, atol, equal_nan
        relative and absolute tolerance, by default those of `lstmcli.diff`, by dtype; and whether
        NaN equals NaN.
    weights, inputs
        as for `lstmcli.explain`, which then names the cause: of the side that these weights do not
        give as they are loaded. It searches with a tenth of its usual budget.
    explain
        whether a cause is searched for.
    initial_state, lengths, mask, settings
        as for `lstmcli.explain`: ``lengths=[3, 5]``, ``forget_bias=1.0``, ``layout="time"``.

    Raises
    ------
    AssertionError
        if they differ.
    UserError
        if they cannot be compared: a file that cannot be read, no array in common.
    """
    __tracebackhide__ = True  # pytest's: the line that it shows is the caller's
    options = InputOptions(initial_state, lengths, mask)
    of_run = settings.keys() - {"layout"} or [
        n for n, o in options._asdict().items() if o is not None
    ]
    if weights is None and (inputs is not None or of_run):
        text = "inputs and settings describe a run of weights; give weights too, or leave them out."
        raise UserError(f"assert_lstm_close: {text}")
    sides = side_of(actual, "actual"), side_of(expected, "expected")
    layout = settings.get("layout") if any(_is_open(side) for side in sides) else None
    difference = diff(*sides, rtol=rtol, atol=atol, equal_nan=equal_nan, layout=layout)
    lacking = _lacking(difference)
    if difference.equal and not lacking:
        return
    if weights is None or not explain or difference.equal:
        raise AssertionError(failure_text(difference, lacking))
    name, cause = _cause(sides, weights, inputs, options, settings)
    raise AssertionError(failure_text(difference, lacking, cause, name))


def _is_open(side: Side) -> bool:
    """Whether the layout of a side is not known."""
    return side.layout is None and any(array.ndim > 2 for array in side.arrays.values())


def _lacking(d: Difference) -> list[str]:
    """What one side lacks of the other's numbers, and the first one of the second one's arrays."""
    sizes = {name: [prod(shape) for shape in array.shapes] for name, array in d.arrays.items()}
    a, b = (side.name for side in d.sides)
    texts = [
        f"{name or 'array'}: {a} has {had:,} numbers, {b} {wanted:,}"
        for name, (had, wanted) in sizes.items()
        if had != wanted
    ]
    if "" not in d.sides[0].arrays and d.only_in_b:
        texts.append(f"{a} lacks {', '.join(d.only_in_b)}")
    return texts


def _cause(
    sides: Sequence[Side],
    weights: Model | Weights | Sequence[Weights],
    inputs: npt.ArrayLike | Path | None,
    options: InputOptions,
    settings: Mapping[str, Any],
) -> tuple[str, Explanation | str]:
    """The side that the weights as loaded do not give, and its explanation."""
    found: Explanation | str = ""
    for side in sides:
        try:
            found = explain_within(WorkDone(EFFORT), weights, inputs, side, options, settings)
        except UserError as error:
            return side.name, f"explain: {error}"
        if found.verdict != "agrees":
            break
    return side.name, found


def write_golden(path: Path, actual: Result) -> None:
    """Write what `assert_lstm_close` compares with later: the arrays of a result, as .npz.

    The file appears complete or not at all, in a folder that is made where it is not there.

    Raises
    ------
    UserError
        if it cannot be written, or is not a result.
    """
    side = side_of(actual, "actual")
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    arrays = {name or "h": array for name, array in side.arrays.items()}
    meta = {} if side.settings is None else {"meta": dict(side.settings)}
    formats.write(path, formats.format_of(path), arrays, meta)
