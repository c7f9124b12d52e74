"""Parts of a file come from its own folder, whatever name it gives them."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import Damaged, damage_reported
from lstmcli.formats.files.sidecars import main_file, open_sidecar
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


@pytest.mark.parametrize(
    "name", ["part.bin", "sub/part.bin", "../part.bin", "C:\\x\\part.bin"]
)
def test_only_the_base_name_counts(name: str, whole: Path) -> None:
    assert read(whole, name) == b"part"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a\0b", "../secret", "/etc/passwd", "\ud800"]
)
def test_paths_out_of_the_folder_are_refused(name: str, whole: Path) -> None:
    with pytest.raises(UserError, match=r"model\.json names "):
        read(whole, name)


def test_a_link_within_the_folder_is_followed_and_one_out_of_it_refused(
    whole: Path,
) -> None:
    (whole.parent / "inner").symlink_to("part.bin")
    (whole.parent / "outer").symlink_to("../secret")
    assert read(whole, "inner") == b"part"
    with pytest.raises(UserError, match="link out of its folder"):
        read(whole, "outer")


def test_folders_and_pipes_are_refused(whole: Path) -> None:
    (whole.parent / "folder").mkdir()
    os.mkfifo(whole.parent / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(UserError, match="not a regular file"):
            read(whole, name)


def test_a_part_that_becomes_shorter_is_one_message(whole: Path) -> None:
    with opened(str(whole)) as file, open_sidecar(file, "part.bin") as part:
        assert part.part(1, 3) == b"art"
        os.truncate(whole.parent / "part.bin", 2)
        message = r"became shorter while it was read \(2 bytes are missing at byte 2\)"
        with pytest.raises(UserError, match=message):
            part.part(1, 3)


# ---- broken files: every exception that broken bytes cause ends in one message


ERRORS = [
    Damaged("two names"), zipfile.BadZipFile("Bad CRC"), zlib.error("invalid stored block"),
    struct.error("unpack requires 4 bytes"), OSError("short read"), EOFError("no end"),
    OverflowError("too large"), NotImplementedError("method 99"), RuntimeError("encrypted"),
    RecursionError("too deep"), ValueError("negative"), TypeError("not a number"), IndexError("6"),
    UnicodeError("no text"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_of_corrupt_files_name_the_file_and_the_reason(error: Exception) -> None:
    with pytest.raises(UserError) as caught, damage_reported("net.pt"):
        raise error
    assert str(caught.value) == (
        f"net.pt is corrupt or truncated ({error}). Copy it again, or save it again."
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


def test_too_little_memory_is_not_damage() -> None:
    with pytest.raises(UserError, match="needs more memory"), damage_reported("net.pt"):
        raise MemoryError


@pytest.mark.parametrize(
    "fault", [AttributeError, NameError, AssertionError, ZeroDivisionError]
)
def test_a_fault_of_this_program_is_seen(fault: type[Exception]) -> None:
    with pytest.raises(fault), damage_reported("net.pt"):
        raise fault("x")


def test_the_message_of_a_reader_and_an_interrupt_pass_unchanged() -> None:
    for error in (UserError("net.pt holds no tensors."), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, damage_reported("net.pt"):
            raise error
        assert caught.value is error


# ---- which file a prefix, a folder or a part of a checkpoint means, and what it must not lead to


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("there", "given", "meant"),
    [
        (["m.npz"], "m.npz", "m.npz"),
        (["m.index"], "m", "m.index"),
        (["m.index"], "m.index", "m.index"),
        (["m", "m.index"], "m", "m"),  # a file of the very name goes first
        (["m.index", "m.data-00000-of-00001"], "m.data-00000-of-00001", "m.index"),
        (["m.index", "m.meta"], "m.meta", "m.index"),
        (["m", "m.meta"], "m.meta", "m"),  # the first format
        (["m.meta"], "m.meta", "m.meta"),
        (["m-00000-of-00002", "m-00001-of-00002"], "m", "m-00000-of-00002"),
        (["m-1.index", "other"], "", "m-1.index"),
        (["checkpoint", "m-1.index"], "", "m-1.index"),  # a note of nothing
        (
            ["variables/variables.index", "saved_model.pb"],
            "",
            "variables/variables.index",
        ),
        (["variables/variables.index"], "saved_model.pb", "variables/variables.index"),
        (["saved_model.pb"], "", "saved_model.pb"),
        (["model.json", "group1-shard1of2.bin"], "group1-shard1of2.bin", "model.json"),
        (["model.json", "group1-shard1of2"], "group1-shard1of2", "model.json"),
        (["group1-shard1of2.bin"], "group1-shard1of2.bin", "group1-shard1of2.bin"),
        (["model.json", "weights.bin"], "weights.bin", "weights.bin"),
        ([], "m", "m"),  # which is then no such file
    ],
)
def test_paths_of_sidecars(
    there: list[str], given: str, meant: str, tmp_path: Path
) -> None:
    made(tmp_path, *there)
    assert main_file(str(tmp_path / given)) == str(tmp_path / meant)


@pytest.mark.parametrize(
    "noted", ["m-2", "/tmp/training/m-2", "../../elsewhere/m-2", "C:\\training\\m-2"]
)
def test_the_last_checkpoint_is_looked_for_in_the_folder_of_the_note(
    noted: str, tmp_path: Path
) -> None:
    made(tmp_path, "m-1.index", "m-2.index")
    note = f'model_checkpoint_path: "{noted}"\nall_model_checkpoint_paths: "m-1"\n'
    (tmp_path / "checkpoint").write_text(note)
    for given in (tmp_path, tmp_path / "checkpoint"):
        assert main_file(str(given)) == str(tmp_path / "m-2.index")


@pytest.mark.parametrize("noted", ["/etc/passwd", "..", "", "../f", "m-9"])
def test_a_note_leads_nowhere_else(noted: str, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    made(folder, "m.index")
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{noted}"\n')
    with pytest.raises(
        UserError, match=r"checkpoint names .*, which is not in its folder"
    ):
        main_file(str(folder))


@pytest.mark.parametrize("name", ["checkpoint", "m.index", "saved_model.pb", "m.meta"])
def test_a_pipe_in_a_folder_is_never_opened(name: str, tmp_path: Path) -> None:
    """Nobody writes to it: opening it would wait for ever."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=r"is a folder|is not a regular file"):
        formats.read(str(tmp_path))


def test_several_checkpoints_are_listed(tmp_path: Path) -> None:
    made(tmp_path, "a.index", "b.index")
    with pytest.raises(UserError) as caught:
        main_file(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} contains 2 checkpoints; name one of them:\n"
        f"  {tmp_path / 'a.index'}\n  {tmp_path / 'b.index'}"
    )


def test_a_shard_without_its_index(tmp_path: Path) -> None:
    made(tmp_path, "m.data-00000-of-00001")
    with pytest.raises(
        UserError, match=r"m\.index, which tells which, is not in its folder"
    ):
        main_file(str(tmp_path / "m.data-00000-of-00001"))


def test_the_variables_of_a_saved_model_are_not_sought_by_a_link(
    tmp_path: Path,
) -> None:
    made(tmp_path / "elsewhere", "variables.index")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "variables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link out of its folder"):
        main_file(str(tmp_path / "model"))


@pytest.mark.parametrize("given", ["", "checkpoint", "m"])
def test_a_checkpoint_is_not_sought_by_a_link(given: str, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    made(folder, "checkpoint")
    made(tmp_path, "elsewhere")
    (folder / "checkpoint").write_text('model_checkpoint_path: "m"\n')
    (folder / "m.index").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"m\.index is a link out of its folder"):
        main_file(str(folder / given))
