"""PyTorch's files: state dicts, checkpoints and modules, in each layout since 0.2.

Zip (since 1.6; TorchScript since 1.4), before that pickles followed by raw
storages. Nothing is imported or executed: see `wire.pickle`. Source:
torch/serialization.py (2.13, and 1.0, 1.4, 1.6 by their files);
caffe2/serialize.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, Literal

from lstmcli.errors import UserError
from lstmcli.escaping import with_article
from lstmcli.formats.document import Document
from lstmcli.formats.files.limits import LARGE, check_size, check_total, damage_reported
from lstmcli.formats.files.source import ARCHIVE, Opened
from lstmcli.formats.files.zip import Archive
from lstmcli.formats.torch.state_dict import Tree, describe_network, document, flatten
from lstmcli.formats.torch.tensors import MAKERS, TensorStorage, kind_of_storage
from lstmcli.formats.torch.torchscript import CONSTANTS, MODEL, Script
from lstmcli.formats.wire import pickle as pickles

MAGIC = 0x1950A86A20F9469CFC6C
PICKLE = "data.pkl"
PACKED = re.compile(
    r"(?:(.*)\.)?(?:_all_weight_values\.\d+\.param|_packed_weight_[ih]h)(?:\.|$)"
)
PLAIN = re.compile("weight_(ih|hh)")
QUANTISED = re.compile(r"torch\.(?:ao\.)?nn\.quantized\.dynamic\..*LSTM(?:Cell)?")


def read(file: Opened) -> Document:
    """All tensors under their names in the state dict."""
    with _pickle_errors_reported(file.source):
        if file.head().startswith(ARCHIVE):
            tree = _Zip(file).tree()
        else:
            tree = flatten(_Legacy(file.stream, file.size).value())
        return named(file, "torch", tree)


@contextmanager
def _pickle_errors_reported(source: str) -> Iterator[None]:
    """`damage_reported`, without warnings for invalid escapes in old pickles."""
    with damage_reported(source), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def named(file: Opened, format: str, tree: Tree) -> Document:
    """The document of a tree, which cannot be run if its only LSTM is quantised.

    UserError, with what it has instead, without tensors.
    """
    quantised = _quantised(tree)
    if not tree.leaves and quantised:
        raise UserError(f"{file.source}: {quantised}")
    if not tree.leaves:
        kind = next(iter(tree.groups.values()), {}).get("class")
        instead = f", but {with_article(kind)}" if kind else ""
        why = (f"  {remark}" for remark in tree.remarks)
        raise UserError(
            f"{file.source} contains no tensors that can be read{instead}.", *why
        )
    found = document(file.source, file.size, format, tree)
    if quantised:
        remark = f"{file.source}: {quantised}"
        found = replace(found, not_run=quantised, remarks=(*found.remarks, remark))
    return found


def _quantised(tree: Tree) -> str:
    """The message on an LSTM that PyTorch has quantised and packed; "" for other files.

    Source: torch/ao/nn/quantized/dynamic/modules/rnn.py (2.13).
    """
    packed = {name: PACKED.match(name) for name in (*tree.leaves, *tree.left_out)}
    quantised = [match[1] or "" for match in packed.values() if match]
    quantised += [
        name
        for name, config in tree.groups.items()
        if QUANTISED.fullmatch(str(config.get("class", "")))
    ]
    plain = [name for name, match in packed.items() if not match and PLAIN.search(name)]
    if plain or not quantised:
        return ""
    lstm = f"the LSTM {quantised[0]} is" if quantised[0] else "its LSTM is"
    return (
        f"{lstm} quantised, and its weights are packed for PyTorch's kernels, which this "
        "version does not read. Save the model before quantize_dynamic; or, of a module lstm that "
        "is at hand, what PyTorch unpacks: torch.save({k: w.dequantize() for k, w in "
        "{**lstm.get_weight(), **lstm.get_bias()}.items()}, 'weights.pt')"
    )


# ---- zip


class _Zip:
    def __init__(self, file: Opened) -> None:
        self.file = file
        self.archive = Archive(file)
        self.members = {member.filename: member for member in self.archive.members}
        if not any(member.CRC for member in self.archive.members):
            for member in self.archive.members:
                del member.CRC  # PyTorch may leave checksums out: check none
        self.prefix = self._prefix()
        self.unpacked = 0
        named = self.prefix + "byteorder" in self.members
        is_big = named and self.bytes_of("byteorder", 64) == b"big"
        self.order: Literal["<", ">"] = ">" if is_big else "<"

    def _prefix(self) -> str:
        for ending in (PICKLE, MODEL):
            fits = [name for name in self.members if f"/{name}".endswith(f"/{ending}")]
            if outer := [name for name in fits if name.count("/") < 2]:
                return min(outer, key=len).removesuffix(ending)
        raise UserError(
            f"{self.file.source} is an archive with a {PICKLE} in an odd place."
        )

    def tree(self) -> Tree:
        names = [name.removeprefix(self.prefix) for name in self.members]
        if CONSTANTS in names or MODEL in names:
            return Script(names, self.bytes_of, self.pickle).tree()
        return flatten(self.pickle(PICKLE, "data", "tensors"))

    def pickle(self, name: str, *folders: str) -> Any:
        """The value of a pickle whose storages are in one of the folders."""
        storages: dict[str, TensorStorage] = {}

        def persistent(reference: Any) -> Any:
            storage = _storage(reference, storages)
            names = [f"{folder}/{storage.name}" for folder in folders]
            member = next(
                (n for n in names if self.prefix + n in self.members), names[0]
            )
            where = f"{self.file.source}: {member}"
            storage.order = self.order
            storage.get = lambda: self.bytes_of(
                member, check_size((storage.nbytes,), 1, where)
            )
            return storage

        return pickles.load(io.BytesIO(self.bytes_of(name)), MAKERS, persistent)

    def bytes_of(self, name: str, most: int = LARGE) -> bytes:
        """A member's bytes; Damaged if there are more than ``most``."""
        member = self.members.get(self.prefix + name)
        if member is None:
            raise ValueError(f"its member {name} is missing")
        self.unpacked += member.file_size
        check_total(self.unpacked, self.file.size, self.file.source)
        return self.archive.read(member, most)


def _storage(reference: Any, storages: dict[str, TensorStorage]) -> TensorStorage:
    word, kind, key, _, count, *_ = reference
    if word != "storage":
        raise ValueError("a reference to something else than a storage")
    name = pickles.identifier(key)
    return storages.setdefault(name, TensorStorage(name, kind_of_storage(kind), count))


# ---- before 1.6: pickles one after the other


class _Legacy:
    """Magic number, protocol, system, object, keys of the storages; then their bytes."""

    def __init__(self, stream: BinaryIO, size: int, nested: bool = False) -> None:
        self.stream, self.size = stream, size
        self.storages: dict[str, TensorStorage] = {}
        storages_in_bytes = (
            {} if nested else {"torch.storage._load_from_bytes": _from_bytes}
        )
        self.makers = {**MAKERS, **storages_in_bytes}

    def value(self) -> Any:
        start = self.stream.tell()
        head = io.BytesIO(self.stream.read(LARGE))
        if pickles.load(head, {}) != MAGIC:
            raise ValueError("it does not open with PyTorch's magic number")
        pickles.load(head, {})  # protocol
        pickles.load(head, {})  # the writer's machine; storages are little-endian
        value = pickles.load(head, self.makers, self._persistent)
        keys = pickles.load(head, {})
        at = start + head.tell()
        for key in keys:
            storage = self.storages[pickles.identifier(key)]
            self._place(storage, at)
            at += 8 + storage.nbytes
        return value

    def _persistent(self, reference: Any) -> Any:
        if reference[0] == "module":  # a class with the text of its source
            return reference[1]
        if len(reference) > 5 and reference[5] is not None:
            raise ValueError(
                "a view of a storage, as PyTorch before 0.4 wrote; a later can save it"
            )
        return _storage(reference, self.storages)

    def _place(self, storage: TensorStorage, at: int) -> None:
        count = struct.unpack("<q", self._bytes(at, 8))[0]
        if count != storage.count:
            raise ValueError(
                f"storage {storage.name} has {count:,} numbers, not {storage.count:,}"
            )
        if at + 8 + storage.nbytes > self.size:
            raise ValueError(f"it ends within the storage {storage.name}")
        storage.get = lambda: self._bytes(at + 8, storage.nbytes)

    def _bytes(self, at: int, count: int) -> bytes:
        self.stream.seek(at)
        data = self.stream.read(count)
        if len(data) < count:
            raise ValueError("it ends too early")
        return data


def _from_bytes(data: Any) -> Any:
    """A storage within a plain pickle: in bytes, a complete file."""
    return _Legacy(io.BytesIO(data), len(data), nested=True).value()


# ---- a plain pickle


def read_pickle(file: Opened, offset: int = 0, format: str = "pickle") -> Document:
    """The arrays and tensors of a plain pickle: Paddle's, Haiku's, madmom's, a dict of arrays.

    It begins at ``offset``: of an array of objects, behind NumPy's .npy
    header. UserError for a broken file, one that needs code to be run, one
    without arrays.
    """
    if b"joblib.numpy_pickle" in file.head():
        raise UserError(
            f"{file.source} is a dump of joblib, whose arrays are between parts of a pickle. "
            "Load it with joblib and save its arrays with numpy.savez."
        )
    with _pickle_errors_reported(file.source):
        makers = {**MAKERS, "torch.storage._load_from_bytes": _from_bytes}
        stream = io.BytesIO(file.contents())
        stream.seek(offset)
        tree = flatten(pickles.load(stream, makers))
        return describe_network(named(file, format, tree))
