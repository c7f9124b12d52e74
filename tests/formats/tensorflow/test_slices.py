"""Slices of tensors: their index and key, and that they make up their tensor."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.errors import UserError
from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.tensorflow.slices import FULL_AXIS, index_of, join, parse_slice, slice_key
from lstmcli.formats.wire.protobuf import Message
from tests.formats.tensorflow.forge import message


def test_an_absent_length_is_the_full_axis() -> None:
    extents = [message((1, 2), (2, 3)), message()]
    assert parse_slice(Message(message(*((1, one) for one in extents)))) == ((2, 3), (0, FULL_AXIS))


@pytest.mark.parametrize(
    ("extent", "code"),
    [  # by hand from the comments of ordered_code.cc
        ((0, FULL_AXIS), "80 7f"),
        ((63, 64), "bf c040"),
        ((8191, 8192), "dfff e02000"),
        ((-64, -65), "40 3fbf"),
    ],
)
def test_keys_of_slices_are_encoded_as_tensorflow_does(extent: tuple[int, int], code: str) -> None:
    name = "00 61 00ff 62 0001"  # zero bytes are marked
    assert slice_key("a\0b", (extent,)) == bytes.fromhex(f"{name} 0101 {code}")


def test_parts_make_up_a_tensor() -> None:
    tensor = np.arange(12.0).reshape(3, 4)
    parts = [
        (((0, 1), (0, FULL_AXIS)), tensor[:1]),
        (((1, 2), (0, 1)), tensor[1:, :1]),
        (((1, 2), (1, 3)), tensor[1:, 1:]),
    ]
    np.testing.assert_array_equal(join(parts, (3, 4), "t"), tensor)


@pytest.mark.parametrize(
    ("starts", "reason"),
    [([0, 0], "overlap"), ([0], "not as many as its elements"), ([], "no parts")],
)
def test_slices_that_do_not_make_up_a_tensor_are_refused(starts: list[int], reason: str) -> None:
    parts = [(((start, 1),), np.ones(1)) for start in starts]
    with pytest.raises(Damaged, match=reason):
        join(parts, (2,), "t")


@pytest.mark.parametrize("part", [((1, 2),), ((-1, 1),), ((0, -2),), ((3, FULL_AXIS),), ()])
def test_slices_that_leave_their_tensor_are_refused(part: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(Damaged, match="part"):
        index_of(part, (2,))


def test_a_tensor_of_parts_is_not_made_before_its_size_is_known() -> None:
    with pytest.raises(UserError, match="--max-bytes"):
        join([(((0, 1),), np.ones(1))], (1 << 50,), "t")
