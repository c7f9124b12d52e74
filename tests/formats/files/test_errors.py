"""Broken files: every exception that broken bytes cause ends in one message."""

from __future__ import annotations

import struct
import zipfile
import zlib

import pytest

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import Damaged, damage_reported

ERRORS = [
    Damaged("two names"), zipfile.BadZipFile("Bad CRC"), zlib.error("invalid stored block"),
    struct.error("unpack requires 4 bytes"), OSError("short read"), EOFError("no end"),
    OverflowError("too large"), NotImplementedError("method 99"), RuntimeError("encrypted"),
    RecursionError("too deep"), ValueError("negative"), TypeError("not a number"), IndexError("6"),
    UnicodeError("no text"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_broken_bytes_raise_names_the_file_and_the_reason(error: Exception) -> None:
    with pytest.raises(UserError) as caught, damage_reported("net.pt"):
        raise error
    assert str(caught.value) == (
        f"net.pt is damaged or cut short ({error}). Copy or download it again, or save it anew."
    )


def test_a_missing_key_an_empty_reason_and_a_long_one_are_readable() -> None:
    for error, reason in [
        (KeyError("W"), "it lacks 'W'"),
        (EOFError(), "EOFError"),
        (ValueError("x" * 900 + "\nsecond line"), "x" * 120),
    ]:
        with pytest.raises(UserError) as caught, damage_reported("net.pt"):
            raise error
        assert f"({reason})" in str(caught.value)


def test_too_little_memory_is_no_damage() -> None:
    with pytest.raises(UserError, match="needs more memory"), damage_reported("net.pt"):
        raise MemoryError


@pytest.mark.parametrize("fault", [AttributeError, NameError, AssertionError, ZeroDivisionError])
def test_a_fault_of_this_program_is_seen(fault: type[Exception]) -> None:
    with pytest.raises(fault), damage_reported("net.pt"):
        raise fault("x")


def test_the_message_of_a_reader_and_an_interrupt_pass_unchanged() -> None:
    for error in (UserError("net.pt holds no tensors."), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, damage_reported("net.pt"):
            raise error
        assert caught.value is error
