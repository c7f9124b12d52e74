"""Files that are written under another name and then renamed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lstmcli.errors import UserError
from lstmcli.formats.files import atomic
from lstmcli.formats.files.atomic import atomically


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # one that was just opened
def test_an_interrupt_while_an_output_is_opened_is_never_dropped(
    tmp_path: Path,
) -> None:
    """At every line that runs: `io.BufferedWriter` drops one in what it calls of a raw file."""
    before, at, left = sys.gettrace(), 0, 0

    def interrupt(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line" and "lstmcli" in frame.f_code.co_filename:
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return interrupt

    while True:
        left, opened = at, False
        try:
            sys.settrace(interrupt)
            with atomically(str(tmp_path / "out")) as stream:
                sys.settrace(None)
                opened = True
                assert stream.tell() == 0
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if opened:
            break
        assert list(tmp_path.iterdir()) == [], f"line {at} of {atomic.__name__}"
        at += 1
    assert left == 0, "an interrupt was dropped"
    assert at > 10


def test_a_link_into_a_folder_that_is_not_there_names_that_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere" / "out")
    with (
        pytest.raises(UserError, match=f"there is no folder {tmp_path / 'nowhere'}"),
        atomically(str(tmp_path / "out")),
    ):
        pass


def test_bytes_are_on_the_disk_before_the_file_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        calls.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def renamed(part: str, target: str) -> None:
        calls.append(("rename", os.stat(part).st_size))
        replace(part, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    with atomically(str(tmp_path / "out")) as stream:
        stream.write(b"12345")
    assert calls == [("fsync", 5), ("rename", 5)]
