"""Seeded changes of files that contain others: archives, tables, HDF5; see `mutations`."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from tests.formats.tensorflow.forge import entries_of, table
from tests.fuzz.mutations import (
    INTEGERS,
    TEXTS,
    Mutator,
    flips,
    json_text,
    lying_number,
    one_of,
    protobuf,
    text,
    times,
    truncation,
)

# ---- archives


def zip_archive(member: Callable[[str], Mutator]) -> Mutator:
    """A mutator of zip archives; ``member`` gives the mutator of a member by its name."""

    def packed(rng: random.Random, data: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [
                    (one.filename, _content(archive, one), one.compress_type)
                    for one in archive.infolist()
                ]
        except (zipfile.BadZipFile, ValueError):
            return flips(rng, data)
        damaged = set()
        for _ in range(times(rng)):
            at = rng.randrange(len(members))
            name, content, method = members[at]
            action = rng.randrange(12)
            if action < 7:
                if (
                    name in damaged
                ):  # a library that writes the format may no longer read it
                    continue
                damaged.add(name)
                members[at] = (name, member(name)(rng, content or b"\0"), method)
            elif action == 7:
                folder = name.rpartition("/")[0]
                members[at] = (
                    rng.choice((rng.choice(TEXTS), f"{folder}/{rng.choice(TEXTS)}")),
                    content,
                    method,
                )
            elif action == 8 and len(members) > 1:
                del members[at]
            elif action == 9:
                members.append((rng.choice((name, rng.choice(TEXTS))), content, method))
            elif action == 10:
                other = rng.randrange(len(members))
                members[at] = (name, members[other][1], method)
            else:
                members[at] = (name, content, rng.choice((0, 8, 12, 14)))
        return _zipped(rng, members)

    return packed


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, its checksum left aside: some writers leave it out."""
    member.CRC = None  # type: ignore[assignment]
    return archive.read(member)


def _zipped(rng: random.Random, members: Sequence[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content, method in members:
                name = name.encode("utf-8", "replace").decode()[:60_000]
                info = zipfile.ZipInfo("x")
                info.filename = name  # the constructor would end it at a zero byte
                archive.writestr(info, content, method)
    data = buffer.getvalue()
    if (
        rng.random() < 0.15
    ):  # lies of the directory about sizes, methods, positions, checksums
        start = (
            data.rfind(b"PK\x01\x02")
            if rng.random() < 0.5
            else data.find(b"PK\x01\x02")
        )
        if start >= 0:
            at = start + rng.choice((8, 10, 16, 20, 24, 28, 42))
            out = bytearray(data)
            out[at : at + 4] = (rng.choice(INTEGERS) % (1 << 32)).to_bytes(4, "little")
            data = bytes(out)
    return data


# ---- tables of TensorFlow


def sealed_table(rng: random.Random, data: bytes) -> bytes:
    """A table with other entries, under right checksums."""
    entries = entries_of(data)
    for _ in range(times(rng)):
        key = rng.choice(sorted(entries))
        action = rng.randrange(8)
        if action < 6:
            entries[key] = (protobuf if rng.random() < 0.7 else flips)(
                rng, entries[key] or b"\0"
            )
        elif action == 6:
            name = rng.choice(
                (
                    rng.choice(TEXTS).encode("utf-8", "surrogatepass"),
                    flips(rng, key or b"\0"),
                )
            )
            entries[name] = entries.pop(key)
        elif len(entries) > 1:
            del entries[key]
        if not entries:
            break
    return table(dict(sorted(entries.items())))


tensorflow_table = one_of(sealed_table, sealed_table, sealed_table, flips, truncation)


# ---- HDF5


HDF5 = b"\x89HDF"


def hdf5(rng: random.Random, data: bytes) -> bytes:
    """An HDF5 file with other attributes, datasets or links, written by the library itself."""
    h5py = import_module("h5py")  # heavy, and only here
    if not data.startswith(HDF5):  # another member's content, perhaps
        return flips(rng, data)
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        items: list[Any] = [file]
        file.visititems(lambda _, item: items.append(item))
        for _ in range(times(rng)):
            item = rng.choice(items)
            try:
                _change_item(rng, file, item, h5py)
            except (ValueError, KeyError, TypeError, OSError, RuntimeError):
                pass  # gone already, or nothing that the library writes
    return stream.getvalue()


def _change_item(rng: random.Random, file: Any, item: Any, h5py: Any) -> None:
    name = (
        rng.choice(TEXTS).replace("\0", "").encode("utf-8", "replace").decode() or "x"
    )
    action = rng.randrange(9)
    if item.attrs and (action < 4 or item is file):
        key = rng.choice(list(item.attrs))
        value = item.attrs[key]
        if isinstance(value, (str, bytes)):
            old = value.encode("utf-8", "replace") if isinstance(value, str) else value
            other = rng.choice((json_text, text))(rng, old).replace(b"\0", b"")
            item.attrs[key] = other.decode("utf-8", "replace")[:60_000]
        else:
            item.attrs[key] = rng.choice(
                (1.5, name, [name.encode()], [[b"a"], [b"b"]], h5py.Empty("f"))
            )
        if rng.random() < 0.1:
            item.attrs[name[:200]] = 1
        return
    path = item.name
    if path is None:  # taken out by the change before
        return
    if action == 4:
        file.move(path, f"{path.rpartition('/')[0]}/{name[:500]}")
    elif action == 5:
        del file[path]
        file[path] = rng.choice(
            (
                h5py.SoftLink("/" + name),
                h5py.SoftLink(path),
                h5py.ExternalLink("../outside.npz", "/"),
                file["/"],
            )
        )
    elif action == 6:
        del file[path]
    elif isinstance(item, h5py.Dataset):
        shape = item.shape
        del file[path]
        kind = rng.choice(("f2", "f8", ">f4", "i1", "c8", "S3", "V2", "V8", "b1", "u8"))
        size = rng.choice(
            (shape, (), (0,), (1 << 40,), (1 << 20, 1 << 20), (3,) * 20, (5, 5))
        )
        chunks = (1024,) * len(size) if size and size[0] >= 1 << 20 else None
        file.create_dataset(
            path, size, kind, chunks=chunks, compression="gzip" if chunks else None
        )
    else:
        file[f"{path}/{name[:500]}"] = rng.choice(([1.0, 2.0], file["/"], name))


hdf5_file = one_of(hdf5, flips, flips, truncation, lying_number)
