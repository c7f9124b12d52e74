"""Files that TensorFlow wrote, cut short and changed: a document or one clear line.

Checksums catch most changes of a checkpoint, so the same changes are made to the entries of its
tables, which then get right checksums again.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lstmcli import formats
from lstmcli.api.load import load
from tests.formats.hostile import mutations, truncations, withstand
from tests.formats.tensorflow.forge import entries_of, table
from tests.test_tensorflow_files import GOLDEN

PLAIN, OBJECTS, KERAS = "tf1.15_everything_v2", "tf2.21_checkpoint", "tf2.15_saved_model"

FILES = {  # what is damaged: its case, the file, what is then given
    "index": (PLAIN, "model.ckpt.index", "model.ckpt"),
    "shard": (PLAIN, "model.ckpt.data-00000-of-00001", "model.ckpt"),
    "graph of a checkpoint": (PLAIN, "model.ckpt.meta", "model.ckpt"),
    "frozen graph": ("tf2.21_functional_loop_frozen", "frozen.pb", "frozen.pb"),
    "notes": (PLAIN, "checkpoint", "checkpoint"),
    "objects": (OBJECTS, "ckpt-1.data-00000-of-00001", "ckpt-1"),
    "layers": (KERAS, "model/keras_metadata.pb", "model"),
    "saved model": ("tf2.21_saved_model", "model/saved_model.pb", "model/saved_model.pb"),
}  # fmt: skip
SEALED = {
    "index": (PLAIN, "model.ckpt.index", "model.ckpt"),
    "objects": (OBJECTS, "ckpt-1.index", "ckpt-1"),
}


def unpacked(case: str, folder: Path) -> None:
    with zipfile.ZipFile(GOLDEN / f"{case}.zip") as archive:
        archive.extractall(folder)


def sealed(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """A table with one entry, or two, of other bytes, and right checksums."""
    rng = random.Random(seed)
    entries = entries_of(data)
    for number in range(count):
        changed = dict(entries)
        for key in rng.sample(sorted(entries), rng.choice((1, 1, 2))):
            (changed[key],) = mutations(entries[key] or b"\0", seed + number, 1)
        yield table(changed)


def damaged(case: str, name: str, given: str, count: int, folder: Path) -> None:
    unpacked(case, folder)
    data = (folder / name).read_bytes()
    read = lambda _: formats.read(str(folder / given))  # noqa: E731
    withstand(folder / name, truncations(data, count), read)
    withstand(folder / name, mutations(data, 1, count), read)
    withstand(folder / name, mutations(data, 2, count // 10), lambda _: load(str(folder / given)))


@pytest.mark.parametrize("what", FILES)
@pytest.mark.slow
def test_every_file(what: str, tmp_path: Path) -> None:
    damaged(*FILES[what], 15, tmp_path)


@pytest.mark.parametrize("what", SEALED)
def test_entries_behind_right_checksums(what: str, tmp_path: Path) -> None:
    case, name, given = SEALED[what]
    unpacked(case, tmp_path)
    data = (tmp_path / name).read_bytes()
    withstand(tmp_path / name, sealed(data, 3, 30), lambda _: formats.read(str(tmp_path / given)))


@pytest.mark.wide
@pytest.mark.parametrize("what", FILES)
def test_every_file_thousands_of_times(what: str, tmp_path: Path) -> None:
    damaged(*FILES[what], 500, tmp_path)


@pytest.mark.wide
@pytest.mark.parametrize("what", SEALED)
def test_entries_thousands_of_times(what: str, tmp_path: Path) -> None:
    case, name, given = SEALED[what]
    unpacked(case, tmp_path)
    data = (tmp_path / name).read_bytes()
    withstand(tmp_path / name, sealed(data, 4, 1500), lambda _: formats.read(str(tmp_path / given)))
