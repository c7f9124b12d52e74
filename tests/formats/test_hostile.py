"""The helper that judges readers lets nothing pass that it should not."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from lstmcli.errors import UserError
from tests.formats import hostile
from tests.formats.hostile import mutations, truncations, withstand


def test_truncations_are_every_length_of_short_data_and_the_ends_of_long_data() -> None:
    assert list(truncations(b"abc")) == [b"", b"a", b"ab"]
    lengths = {len(piece) for piece in truncations(bytes(10_000), most=10)}
    assert {0, 63, 1000, 9000, 9936, 9999} <= lengths
    assert len(lengths) < 150


def test_mutations_repeat_and_differ() -> None:
    data = bytes(range(200))
    first = list(mutations(data, 1, 50))
    assert first == list(mutations(data, 1, 50))
    assert first != list(mutations(data, 2, 50))
    assert sum(variant != data for variant in first) > 45
    assert len({len(variant) for variant in first}) > 3


def test_data_of_one_byte_can_be_changed() -> None:
    assert any(variant != b"x" for variant in mutations(b"x", 1, 50))


def _raise(error: Exception) -> Callable[[str], object]:
    def act(_: str) -> object:
        raise error

    return act


def test_a_document_and_a_clear_line_pass(tmp_path: Path) -> None:
    withstand(tmp_path / "a", [b"1 2\n", b"\0"])
    withstand(tmp_path / "a", [b""], act=_raise(UserError("a is empty.")))
    withstand(tmp_path / "a", [b""], act=_raise(UserError("\ud800")))  # which is shown escaped


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError()])
def test_anything_else_fails(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        withstand(tmp_path / "a", [b""], act=_raise(error))


def test_a_warning_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="RuntimeWarning"):
        withstand(tmp_path / "a", [b""], act=lambda _: warnings.warn("x", RuntimeWarning, 1))


def test_much_memory_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="MemoryError"):
        withstand(tmp_path / "a", [b""], act=lambda _: bytearray(hostile.MEMORY * 2))


def test_much_memory_reported_as_damage_fails(tmp_path: Path) -> None:
    def act(_: str) -> None:
        try:
            bytearray(hostile.MEMORY * 2)
        except MemoryError:
            raise UserError("it is damaged.") from None

    with pytest.raises(AssertionError, match="MemoryError"):
        withstand(tmp_path / "a", [b""], act)


@pytest.mark.slow
def test_much_time_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spin(_: str) -> None:
        while True:
            try:
                time.sleep(0)
            except Exception:
                pass

    monkeypatch.setattr(hostile, "SECONDS", 0.05)
    with pytest.raises(AssertionError, match="Overdue"):
        withstand(tmp_path / "a", [b""], act=spin)
