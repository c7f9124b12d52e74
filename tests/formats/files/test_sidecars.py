"""Which file a prefix, a folder or a part of a checkpoint means, and what it must not lead to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.sidecars import main_file


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
        (["variables/variables.index", "saved_model.pb"], "", "variables/variables.index"),
        (["variables/variables.index"], "saved_model.pb", "variables/variables.index"),
        (["saved_model.pb"], "", "saved_model.pb"),
        (["model.json", "group1-shard1of2.bin"], "group1-shard1of2.bin", "model.json"),
        (["model.json", "group1-shard1of2"], "group1-shard1of2", "model.json"),
        (["group1-shard1of2.bin"], "group1-shard1of2.bin", "group1-shard1of2.bin"),
        (["model.json", "weights.bin"], "weights.bin", "weights.bin"),
        ([], "m", "m"),  # which is then no such file
    ],
)
def test_paths_of_sidecars(there: list[str], given: str, meant: str, tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match=r"checkpoint names .*, which is not in its folder"):
        main_file(str(folder))


@pytest.mark.parametrize("name", ["checkpoint", "m.index", "saved_model.pb", "m.meta"])
def test_a_pipe_in_a_folder_is_never_opened(name: str, tmp_path: Path) -> None:
    """Nobody writes to it: opening it would wait for ever."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=r"is a folder|is no regular file"):
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
    with pytest.raises(UserError, match=r"m\.index, which tells which, is not in its folder"):
        main_file(str(tmp_path / "m.data-00000-of-00001"))


def test_the_variables_of_a_saved_model_are_not_sought_by_a_link(tmp_path: Path) -> None:
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
