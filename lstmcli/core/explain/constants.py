"""The constants of readings: a forget bias, a bound on c, a bound on the gates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.space import CONSTANTS, SOLVE, Space
from lstmcli.core.model.arrays import Array

OFF = np.inf  # a clip that never acts


class Constants(NamedTuple):
    """The constants of n readings, each (n,); NaN where one is still to be found."""

    forget_bias: Array
    cell_clip: Array
    gate_clip: Array

    @classmethod
    def of(cls, space: Space, codes: Array) -> Constants:
        """As the codes have them."""

        def number(value: Any) -> float:
            return np.nan if value == SOLVE else OFF if value is None else float(value)

        return cls(
            *(
                np.array([number(v) for v in space.values[name]])[codes[:, space.column(name)]]
                for name in CONSTANTS
            )
        )

    def chosen(self, which: Any) -> Constants:
        """Those of some readings."""
        return Constants(*(values[which] for values in self))

    def settled(self) -> Constants:
        """With what is not found yet left out: no forget bias, no clip."""
        return Constants(
            *(
                np.where(np.isnan(values), 0.0 if name == "forget_bias" else OFF, values)
                for name, values in zip(CONSTANTS, self, strict=True)
            )
        )
