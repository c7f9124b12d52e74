"""From a model, inputs and another's results, in files or in memory, to a derivation."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lstmcli.api.diff import Result, side_of
from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.derive import derive as derive_unit
from lstmcli.core.diff.operand import single_as_h
from lstmcli.core.model.model import Model

__all__ = ["Derivation", "derive"]


def derive(
    model: Model,
    x: npt.ArrayLike,
    step: int,
    unit: int,
    gate: str | None = None,
    *,
    against: Result | None = None,
    **given: Any,
) -> Derivation:
    """The arithmetic of one unit at one step of a run: ``derive(model, x, 1, 0).line("h").value``.

    ``against`` is whatever `diff` takes: a trace, an array, or a file of either. All else
    is as `lstmcli.core.derive.derive.derive` has it.

    Raises
    ------
    UserError
        for a place that is not there, or a file that cannot be read.
    """
    side = None if against is None else single_as_h(side_of(against, "the other side"))
    return derive_unit(model, x, step, unit, gate, against=side, **given)
