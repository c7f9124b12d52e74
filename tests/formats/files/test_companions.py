"""Parts of a file come from its own folder, whatever name it gives them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lstmcli.errors import UserError
from lstmcli.formats.files.sidecars import open_sidecar
from lstmcli.formats.files.source import opened


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "model.json").write_bytes(b"{}")
    (folder / "part.bin").write_bytes(b"part")
    return folder / "model.json"


def read(path: Path, name: str) -> bytes:
    with opened(str(path)) as file, open_sidecar(file, name) as part:
        return part.stream.read()


@pytest.mark.parametrize("name", ["part.bin", "sub/part.bin", "../part.bin", "C:\\x\\part.bin"])
def test_only_the_base_name_counts(name: str, whole: Path) -> None:
    assert read(whole, name) == b"part"


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a\0b", "../secret", "/etc/passwd", "\ud800"])
def test_nothing_else_is_found(name: str, whole: Path) -> None:
    with pytest.raises(UserError, match=r"model\.json names "):
        read(whole, name)


def test_a_link_within_the_folder_is_followed_and_one_out_of_it_refused(whole: Path) -> None:
    (whole.parent / "inner").symlink_to("part.bin")
    (whole.parent / "outer").symlink_to("../secret")
    assert read(whole, "inner") == b"part"
    with pytest.raises(UserError, match="link out of its folder"):
        read(whole, "outer")


def test_folders_and_pipes_are_refused(whole: Path) -> None:
    (whole.parent / "folder").mkdir()
    os.mkfifo(whole.parent / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(UserError, match="no regular file"):
            read(whole, name)


def test_a_part_that_becomes_shorter_is_one_message(whole: Path) -> None:
    with opened(str(whole)) as file, open_sidecar(file, "part.bin") as part:
        assert part.part(1, 3) == b"art"
        os.truncate(whole.parent / "part.bin", 2)
        message = r"became shorter while it was read \(2 bytes are missing at byte 2\)"
        with pytest.raises(UserError, match=message):
            part.part(1, 3)
