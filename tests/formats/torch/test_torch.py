"""PyTorch's files and plain pickles: what is read, what is refused, and that nothing is run."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.load import load
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import MOST_OBJECTS
from lstmcli.formats.torch import MAGIC
from tests.formats.helpers import members_of, piped, zipped
from tests.fuzz.guard import withstand
from tests.paths import TESTS

FOLDER = TESTS / "golden" / "torch_files"
UNSAFE = [os.system, eval, exec, os.remove, os.posix_spawn, getattr, open, Path.touch]


def pickled(text: bytes) -> bytes:
    """A pickle of protocol 2 by its opcodes."""
    return b"\x80\x02" + text + b"."


def with_pickle(data: bytes, name: str = "module_zip-2.13.0.pt") -> bytes:
    """A good file with another data.pkl."""
    members = members_of(FOLDER / name)
    return zipped(
        {n: data if n.endswith("/data.pkl") else old for n, old in members.items()}
    )


# ---- nothing is run


class Trap:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("function", UNSAFE, ids=lambda f: f.__name__)
def test_pickles_run_no_code(tmp_path: Path, function: Any, protocol: int) -> None:
    mark = tmp_path / "sprung"
    args: Any = {
        os.system: (f"touch {mark}",),
        open: (str(mark), "w"),
        os.remove: (str(tmp_path / "kept"),),
        os.posix_spawn: ("/bin/touch", ["touch", str(mark)], {}),
        getattr: (mark, "touch"),
        Path.touch: (mark,),
    }.get(function, (f"open({str(mark)!r}, 'w')",))
    (tmp_path / "kept").touch()
    state = {"trap": Trap(function, *args), "w": np.ones((2, 3), np.float32)}
    data = pickle.dumps(state, protocol)
    assert list(piped(data).arrays) == ["w"]
    assert list(piped(with_pickle(data)).arrays) == ["w"]
    assert sorted(os.listdir(tmp_path)) == ["kept"]


def test_the_trap_would_have_sprung(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(Path.touch, tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_states_build_items_and_calls_of_results_are_inert() -> None:
    """BUILD on a name, items of a call, a call of what a call made: all become records."""
    text = b"cos\nsystem\n}X\x04\x00\x00\x00nameK\x01sb0"
    text += b"cposix\nsystem\nX\x02\x00\x00\x00ls\x85R]K\x01aa0"
    text += b"cbuiltins\ngetattr\n)R)R0"
    with pytest.raises(UserError, match="contains no tensors that can be read"):
        piped(pickled(text + b"}"))


@pytest.mark.parametrize("opcode", [b"(ios\nsystem\n", b"(cos\nsystem\no", b"\x82\x01"])
def test_opcodes_that_no_checkpoint_has_are_refused(opcode: bytes) -> None:
    with pytest.raises(UserError, match="which no checkpoint has"):
        piped(pickled(opcode))


# ---- plain pickles


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_kind_come_back(protocol: int) -> None:
    rng = np.random.default_rng(3)
    arrays = {
        kind: rng.integers(0, 2, (3, 4)).astype(kind)
        for kind in (
            "f8",
            "f4",
            "f2",
            "i8",
            "i4",
            "i2",
            "i1",
            "u1",
            "u4",
            "?",
            ">f4",
            ">i2",
            "c8",
        )
    }
    arrays["fortran"] = np.asfortranarray(rng.normal(size=(3, 4)))
    arrays["strided"] = rng.normal(size=(6, 8))[::2, ::3]
    arrays["empty"] = np.empty((0, 3), np.float32)
    records = np.zeros(2, [("a", "<f8")])
    objects = np.array([{"w": np.ones(2)}, None], object)  # a container, as a list is
    tree = {
        "lstm": {"deep": [arrays, (1, "text", None)]},
        "records": records,
        "objects": objects,
    }
    document = piped(pickle.dumps(tree, protocol))
    assert document.format == "pickle"
    assert set(document.arrays) == {f"lstm.deep.0.{name}" for name in arrays} | {
        "objects.0.w"
    }
    for name, array in arrays.items():
        np.testing.assert_array_equal(document.arrays[f"lstm.deep.0.{name}"], array)
        assert document.arrays[f"lstm.deep.0.{name}"].dtype == array.dtype.newbyteorder(
            "="
        )
    assert "records is an array of objects or records" in document.remarks[0]


def test_a_list_that_contains_itself_and_lists_that_contain_each_other_twice() -> None:
    looped: list[Any] = [np.ones(2)]
    looped.append(looped)
    assert list(piped(pickle.dumps(looped)).arrays) == ["0"]
    deep: list[Any] = [np.ones(2)]
    for _ in range(60):
        deep = [deep, deep]
    assert len(piped(pickle.dumps(deep)).arrays) == 1


def test_an_optimizer_is_skipped_by_its_shape() -> None:
    optimizer = {"state": {0: {"exp_avg": np.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    tree = {"any_name": [optimizer], "w": np.ones(2)}
    assert list(piped(pickle.dumps(tree)).arrays) == ["w"]


def test_two_tensors_of_one_name_are_reported() -> None:
    for tree in (
        {"a": {1: np.ones(2)}, "a.1": np.zeros(2)},
        {1: np.ones(2), "1": np.zeros(2)},
    ):
        document = piped(pickle.dumps(tree))
        assert next(iter(document.arrays.values())).tolist() == [1, 1]
        assert "a second tensor named" in document.remarks[0]


# ---- bombs


def storage_pickle(size: bytes, stride: bytes, numel: bytes = b"K\x04") -> bytes:
    """A tensor over a storage named 0."""
    persistent = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    body = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((" + persistent[1:] + numel + b"tQK\x00"
    )
    return pickled(
        b"}X\x01\x00\x00\x00w"
        + body
        + size
        + stride
        + b"\x89ccollections\nOrderedDict\n)RtRs"
    )


def zip_of(data: bytes, **members: bytes) -> bytes:
    return zipped(
        {
            "a/data.pkl": data,
            **{f"a/data/{k.lstrip('_')}": v for k, v in members.items()},
        }
    )


def legacy(view: bytes) -> bytes:
    """A file of PyTorch before 1.6: w is the first 2 numbers of a view of a storage of 0 to 3."""
    head = pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    view_of = b"K\x04(X\x01\x00\x00\x001" + view + b"t"
    body = storage_pickle(b"K\x02\x85", b"K\x01\x85", view_of)
    return head + body + pickle.dumps(["0"], 2) + pack("<q4f", 4, 0, 1, 2, 3)


def test_a_view_of_a_storage_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"a view of a storage, as PyTorch before 0\.4 wrote"
    ):
        piped(legacy(b"K\x01K\x03"))


def test_ten_numbers_that_are_to_be_repeated_very_often() -> None:
    count = b"J" + (80_000_000).to_bytes(4, "little") + b"\x85"
    data = zip_of(storage_pickle(count, b"K\x00\x85"), _0=bytes(16))
    with pytest.raises(UserError, match="claim to unpack to 320,000,000"):
        piped(data)


BILLION = b"\x8a\x05\x00\x00\x00\x00\x01"  # 2**32


@pytest.mark.parametrize(
    ("size", "stride", "numel", "message"),
    [
        (BILLION + b"\x85", b"K\x00\x85", b"K\x04", "would take 17,179,869,184 bytes"),
        (b"J\xff\xff\xff\x0f\x85", b"K\x00\x85", b"K\x04", "would take 1,073,741,820|unpack to"),
        (b"K\x05\x85", b"K\x01\x85", b"K\x04", "it reaches element 4"),
        (b"K\x02\x85", b"J\xff\xff\xff\xff\x85", b"K\x04", "strides"),
        (b"J\xff\xff\xff\xff\x85", b"K\x01\x85", b"K\x04", "the file is corrupt"),
        (b"K\x02\x85", b"K\x01K\x01\x86", b"K\x04", "strides"),
        (b"K\x02\x85", b"K\x01\x85", b"K\x05", "16 bytes are stored, 20 are needed"),
        (b"K\x02\x85", b"K\x01\x85", BILLION, "would take 17,179,869,184 bytes"),
        (b"K\x02\x85", b"K\x01\x85", b"J\xff\xff\xff\xff", "a storage without a size"),
        (b"G\x7f\xf0\x00\x00\x00\x00\x00\x00\x85", b"K\x01\x85", b"K\x04", "a tensor that is none"),
    ],
)  # fmt: skip
def test_lying_tensors_are_refused(
    size: bytes, stride: bytes, numel: bytes, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        piped(zip_of(storage_pickle(size, stride, numel), _0=bytes(16)))


@pytest.mark.slow
def test_a_storage_that_unpacks_to_much_more_than_the_file_is_refused() -> None:
    count = (300 << 20) // 4
    data = storage_pickle(
        b"K\x02\x85", b"K\x01\x85", b"J" + count.to_bytes(4, "little")
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/data/0", bytes(4 * count))
    with pytest.raises(UserError, match="claim to unpack to"):
        piped(buffer.getvalue())


def deep_keys() -> bytes:
    """A dict whose key is a tuple in a tuple in ... : hashing it would overflow the stack."""
    return pickled(b"})" + b"\x85" * 300_000 + b"K\x01s")


def copies() -> bytes:
    """A list of 100 000 pairs, and 20 000 ordered dicts to be made of it."""
    pairs = b"](" + b"K\x01K\x02\x86" * 100_000 + b"eq\x00"
    return pickled(
        pairs + b"ccollections\nOrderedDict\nq\x010" + b"h\x01h\x00\x85R0" * 20_000
    )


def long_names() -> bytes:
    """A key of a megabyte, above ten thousand arrays."""
    key = b"X\x40\x42\x0f\x00" + b"k" * 1_000_000
    one = pickle.dumps(np.ones(1, "f4"), 2)[2:-1]
    items = b"".join(b"M" + n.to_bytes(2, "little") + b"h\x09" for n in range(10_000))
    return pickled(one + b"q\x090}" + key + b"}(" + items + b"us")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (deep_keys(), "contains no tensors"),
        (copies(), "opcodes|list|damaged"),
        (long_names(), "a name of more than 1000 characters"),
        (pickled(b"]" * 300_000 + b"a" * 299_999), "nested more than 64 deep"),
        (pickled(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x0f"), "corrupt or truncated"),
        (pickled(b"\x8b\xff\xff\xff\x7f"), "corrupt or truncated"),
        (pickled(b"h\x05"), "corrupt or truncated"),
        (
            pickled(b"c_codecs\nencode\nK\x01\x85\x85R"),
            "bytes that are made of no text",
        ),
        (
            pickled(b"ctorch._utils\n_rebuild_tensor_v3\n(NK\x00))NNNtR"),
            "an object where the name of a kind should be",
        ),
        (
            b"\x80\x02" + b"N0" * (MOST_OBJECTS // 2 + 1) + b"N.",
            "more than 3,000,000 opcodes",
        ),
    ],
    ids=[
        "deep keys",
        "copies",
        "long names",
        "deep",
        "long text",
        "long number",
        "memo",
        "bytes of no text",
        "no dtype",
        "opcodes",
    ],
)
@pytest.mark.slow
def test_pickle_bombs_end_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    assert re.search(message, withstand(tmp_path / "bomb.pkl", data))


@pytest.mark.slow
def test_code_that_is_all_calls_is_searched_in_time(tmp_path: Path) -> None:
    line = b"    x = " + b"torch.lstm(a, [b, " * 450 + b"\n"
    names = [f"C{n}" for n in range(3000)]
    code = b"".join(f"class {name}(Module):\n".encode() + line for name in names)
    records = b"".join(
        b"c__torch__\n%s\n)\x81}K\x01K\x02sb" % name.encode() for name in names
    )
    tensor = storage_pickle(b"K\x02\x85", b"K\x01\x85")[2:-1]
    members = {
        "a/data.pkl": pickled(b"](" + records + tensor + b"e"),
        "a/data/0": bytes(16),
        "a/constants.pkl": pickled(b")"),
        "a/code/__torch__.py": code[: (16 << 20) - 1],
    }
    data = zipped(members, zipfile.ZIP_DEFLATED)
    assert len(piped(data).arrays) == 1
    assert not withstand(tmp_path / "a.pt", data)


# ---- named, with the way out


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((FOLDER / "exported-2.13.0.pt2").read_bytes(), r"torch\.export\.load\(FILE\)"),
        ((FOLDER / "sparse-2.13.0.pt").read_bytes(), "a tensor is sparse"),
        (zipped({"a/serialized_exported_program.json": b"{}"}), "a program of torch.export"),
        (zipped({"p/.data/extern_modules": b"", "p/a/b/m.pkl": b""}),
         r"a torch\.package.*PackageImporter\(FILE\)\.load_pickle"),
        (zipped({"a/b/c/data.pkl": b""}), "a data.pkl in an odd place"),
        (pickled(b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81"), "a dump of joblib"),
        (pickled(b"ctorch.distributed.checkpoint.metadata\nMetadata\n)\x81}X\x01\x00\x00\x00aK\x01sb"),
         "but a torch.distributed.checkpoint.metadata.Metadata"),
        (pickled(b"cm\nNet\n)\x81}X\x01\x00\x00\x00aK\x01sb"), r"no tensors .*, but a m\.Net"),
    ],
)  # fmt: skip
def test_formats_that_are_not_read_are_named(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        piped(data)


def test_a_folder_of_a_distributed_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / ".metadata").touch()
    with pytest.raises(UserError, match=f"dcp_to_torch {tmp_path} weights.pt"):
        formats.read(str(tmp_path))


# ---- damage


def test_a_missing_storage_and_a_missing_folder() -> None:
    data = storage_pickle(b"K\x02\x85", b"K\x01\x85")
    with pytest.raises(UserError, match="its member data/0 is missing"):
        piped(zip_of(data))
    with pytest.raises(UserError, match="outside of itself"):
        piped(data)


# ---- names


def test_names_lead_to_a_layer_with_and_without_the_wrappers() -> None:
    for case in ("parallel", "compiled", "checkpoint", "nested"):
        model = load(str(FOLDER / f"{case}-2.13.0.pt"), layer="rnn")
        assert all("rnn.weight" in name or "rnn.bias" in name for name in model.tensors)


def test_a_frozen_module_has_names_by_the_call_and_says_so() -> None:
    model = load(str(FOLDER / "frozen_projection-2.13.0.pt"))
    assert model.cell.projection is not None
    assert model.bidirectional
    assert len(model.layers) == 2
    assert "frozen TorchScript keeps no names" in model.remarks[0]
    cell = load(str(FOLDER / "frozen_cell-2.13.0.pt"))
    assert cell.convention.name == "pytorch-cell"


def test_tensors_that_are_left_out_are_reported() -> None:
    document = formats.read(str(FOLDER / "dynamic-2.13.0.pt"))
    assert list(document.arrays) == ["out.weight", "out.bias"]
    assert "packed, as dynamic quantisation keeps weights" in document.remarks[0]
