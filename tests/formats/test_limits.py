"""What a file may ask for."""

from __future__ import annotations

import pytest

from lstmcli.errors import UserError
from lstmcli.formats.limits import USUAL, check_size, raised_to


def test_a_tensor_within_the_limit_is_counted() -> None:
    assert check_size((3, 5), 4, "w") == 15
    assert check_size((USUAL // 4,), 4, "w") == USUAL // 4


def test_beyond_the_limit_the_way_out_is_said_and_works() -> None:
    with pytest.raises(UserError, match=r"(?s)w would take 1,099,511,627,776 .*--max-bytes 10995"):
        check_size((1 << 40,), 1, "w")
    with raised_to(1 << 40):
        assert check_size((1 << 40,), 1, "w") == 1 << 40
    with pytest.raises(UserError):
        check_size((1 << 40,), 1, "w")


def test_a_negative_length_is_damage() -> None:
    with pytest.raises(UserError, match="damaged"):
        check_size((-3, 5), 4, "w")
