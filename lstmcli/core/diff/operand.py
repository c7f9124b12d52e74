"""One side of a comparison: arrays of a run by name, and what their file specifies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lstmcli.core.diff.tolerance import (
    FLOAT32,
    FLOAT64,
    PRECISIONS,
    Numbers,
    Precision,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import join_with_and
from lstmcli.core.model.part import WHOLE, Indices, Part
from lstmcli.core.model.surroundings import FINAL_Y, Y
from lstmcli.errors import UserError

SEQUENCE, FINAL, WEIGHTS = "sequence", "final", "weights"

# The order of a step: pre-activations, gates, c, h. With peepholes o comes after c, but as a
# place to look at, a gate comes before what is made of it. The head makes y of h.
STEP_ORDER = ("z", "i", "f", "g", "o", "c", "h", Y)
FINALS = ("final_c", "final_h", FINAL_Y)
OF_HEAD = (Y, FINAL_Y)


@dataclass(frozen=True)
class ArrayName:
    """``layer0_reverse.f`` in its parts."""

    prefix: str  # "layer0_reverse", or ""
    base: str  # "f"

    @classmethod
    def of(cls, name: str) -> ArrayName:
        """The parts of a name; weights keep all of it in ``base``."""
        prefix, _, base = name.rpartition(".")
        return cls(prefix, base) if base in STEP_ORDER + FINALS else cls("", name)

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        if self.base in STEP_ORDER:
            return SEQUENCE
        return FINAL if self.base in FINALS else WEIGHTS

    @property
    def backward(self) -> bool:
        """Return whether the last step was computed first."""
        return self.prefix.endswith("_reverse")

    @property
    def layer(self) -> tuple[int, str]:
        """Sorts layer 2 before layer 10, forward before backward."""
        return len(self.prefix.removesuffix("_reverse")), self.prefix


# parts of names of weights
WEIGHT = re.compile(
    r"kernel|weight|bias|matrix|(^|[._/])[wurbkp](_|\.|$)", re.IGNORECASE
)

UNNAMED = ""  # the name that readers give an array without one; here it is `h`

Gaps = tuple[int | None, ...]  # of each axis: items printed ahead of ``...``; None: all


@dataclass(frozen=True, eq=False)
class Side:
    """Named arrays, and what their file specifies of them."""

    name: str  # how messages call it
    arrays: Mapping[str, Array]  # a single one may be called ""
    # "steps" (T, H), "time" (T, B, H), "batch" (B, T, H), if known
    layout: str | None = None
    units: Mapping[str, Array] = field(default_factory=dict)  # last printed places
    # if not the arrays'
    dtypes: Mapping[str, np.dtype[Any] | Precision] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None  # a trace's ``meta``
    # of prints without their shape
    gaps: Mapping[str, Gaps] = field(default_factory=dict)
    part: Part = WHOLE  # in the full run
    original_names: Mapping[str, str] = field(default_factory=dict)  # in the file
    not_asked_for: tuple[str, ...] = ()  # other arrays of its file
    in_memory: bool = False  # its name is that of an argument

    @property
    def cells(self) -> set[str]:
        """The cells in its file, ``layer0_reverse``; "" for arrays of none."""
        names = [*self.arrays, *self.not_asked_for]
        return {ArrayName.of(name).prefix for name in names}

    @property
    def renaming(self) -> str:
        """``output of a.npz is interpreted as h``; empty where names are equal."""
        if not self.original_names:
            return ""
        verb = "is" if len(self.original_names) == 1 else "are"
        theirs = join_with_and(list(self.original_names.values()))
        here = join_with_and(list(self.original_names))
        text = f"{theirs} of {self.name} {verb} interpreted as {here}"
        return text.removeprefix(" of ")

    def indices(self, name: str, axis: int, size: int) -> Indices | None:
        """Which steps, batch items or units of the run it has, if known."""
        known = (self.part.steps, self.part.batch, self.part.columns.get(name))[axis]
        return known if known is not None and 0 < len(known) == size else None

    def numbers(self, name: str) -> Numbers:
        """One array with its printed units; bools and integers as float64."""
        array = np.atleast_1d(self.arrays[name])
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            text = f"{name or 'the array'} is {array.dtype}, not numbers to compare"
            raise UserError(f"{self.name}: {text}.")
        if not array.size:
            in_file = self.original_names.get(name, name) or "the array"
            raise UserError(
                f"{self.name} is empty: {in_file} is {array.shape}, without numbers."
            )
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
        return Numbers(array, self.units.get(name))

    def with_numbers(self, numbers: Mapping[str, Numbers]) -> Side:
        """The side with arrays of which numbers were left out in full shape."""
        arrays, units = dict(self.arrays), dict(self.units)
        dtypes, gaps = dict(self.dtypes), dict(self.gaps)
        for name, full in numbers.items():
            if name not in self.units:
                dtypes.setdefault(name, self.arrays[name].dtype)
            arrays[name] = full.values
            units[name] = np.asarray(full.unit)
            gaps.pop(name, None)
        return replace(self, arrays=arrays, units=units, dtypes=dtypes, gaps=gaps)

    def precision(self, name: str) -> Precision:
        """The precision in which an array counts; of printed output float32."""
        if name in self.units and name not in self.dtypes:
            return FLOAT32
        dtype = self.dtypes.get(name, self.arrays[name].dtype)
        return PRECISIONS.get(dtype.name, FLOAT64)
