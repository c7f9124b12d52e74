"""Arrays that begin on a cache line are like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lstmcli.core.forward.room import LINE, room


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (7, 5, 3), (300, 1000)])
def test_room_is_aligned_whole_and_writable(shape: tuple[int, ...], dtype: Any) -> None:
    array = room(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.size == 0 or array.__array_interface__["data"][0] % LINE == 0
    array[...] = 3
    np.testing.assert_array_equal(array, np.full(shape, 3, dtype))
