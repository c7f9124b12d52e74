"""PyTorch 0.1's files: a tar of three members: storages, tensors, and a pickle that names them.

Source: torch/serialization.py, `legacy_load` (2.13).
"""

from __future__ import annotations

import io
import tarfile
from struct import unpack
from typing import IO, Any, BinaryIO, cast

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import MOST_AXES, MOST_OPCODES
from lstmcli.formats.files.source import Opened
from lstmcli.formats.torch.tensors import (
    MAKERS,
    StorageView,
    Tensor,
    TensorStorage,
    kind_of_storage,
)
from lstmcli.formats.wire import pickle
from lstmcli.formats.wire.pickle import identifier

MEMBERS = ("storages", "tensors", "pickle")


def value(source: Opened) -> Any:
    """The value of the pickle, with its tensors.

    Raises
    ------
    UserError
        for a tar of something else.
    ValueError and what else a damaged pickle raises
    """
    try:
        members = _members(source)
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None
    missing = [name for name in MEMBERS if name not in members]
    if missing:
        raise UserError(
            f"{source.source} is a tar archive, and none of PyTorch 0.1 (it has no {missing[0]}). "
            "Unpack it first: tar xf FILE."
        )
    storages = _storages(io.BytesIO(members["storages"]))
    tensors = _tensors(io.BytesIO(members["tensors"]), storages)
    body = io.BytesIO(members["pickle"])
    return pickle.load(
        body, MAKERS, lambda key: key[0] if isinstance(key, tuple) else tensors[identifier(key)]
    )


def _members(source: Opened) -> dict[str, bytes]:
    """The three members' bytes: plain files of the archive, no links, nothing sparse."""
    contents: dict[str, bytes] = {}
    stream = cast(IO[bytes], _WithinFile(source.stream, source.size))
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            plain = member.isreg() and not member.issparse() and member.size <= source.size
            if name in MEMBERS and plain and (content := archive.extractfile(member)):
                contents[name] = content.read()
    return contents


class _WithinFile:
    """A seekable stream whose reads are limited to the size of the file.

    `tarfile` reads a long name or an extended header at once, and Python allocates the length that
    a header claims before it reads.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes."""
        return self._stream.read(max(0, min(count, self._size - self.tell())))


def _storages(stream: BinaryIO) -> dict[str, TensorStorage]:
    storages: dict[str, TensorStorage] = {}
    for _ in range(_count(stream)):
        key, _, kind = pickle.load(stream, {})
        storage = TensorStorage(identifier(key), kind_of_storage(kind), _numbers(stream, 1)[0])
        data = stream.read(storage.nbytes)
        storage.get = lambda data=data: data
        storages[identifier(key)] = storage
    for target, root, start, count in pickle.load(stream, {}):
        storages[identifier(target)] = StorageView(
            storages[identifier(root)], identifier(target), start, count
        )
    return storages


def _tensors(stream: BinaryIO, storages: dict[str, TensorStorage]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for _ in range(_count(stream)):
        key, storage, _ = pickle.load(stream, {})
        axes = int.from_bytes(_exactly(stream, 8)[:4], "little", signed=True)
        if not 0 <= axes <= MOST_AXES:
            raise ValueError(f"a tensor of {axes} axes")
        numbers = _numbers(stream, 2 * axes + 1)
        size, stride = numbers[:axes], numbers[axes : 2 * axes]
        tensors[identifier(key)] = Tensor(storages[identifier(storage)], numbers[-1], size, stride)
    return tensors


def _count(stream: BinaryIO) -> int:
    count = pickle.load(stream, {})
    if type(count) is not int or not 0 <= count <= MOST_OPCODES:
        raise ValueError("a count that is none")
    return count


def _numbers(stream: BinaryIO, count: int) -> tuple[int, ...]:
    return unpack(f"<{count}q", _exactly(stream, 8 * count))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ValueError("it ends too early")
    return data
