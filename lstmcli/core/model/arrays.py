"""The type of an array of any dtype, under one name."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any number type."""
