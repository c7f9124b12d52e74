"""Small files of PyTorch, as torch.save and torch.jit wrote them, with what torch reads in them.

Environments (CPU): torch 1.0.0 and 1.4.0 on Python 3.7, 1.4.0 on Python 2.7 (with future), 1.6.0
on Python 3.8, 2.13.0 on Python 3.11; each with numpy. Run once in each, from the top of the
checkout: python tests/golden/record/torch_files.py

A case is a file ``tests/golden/torch_files/<case>-<version>.pt`` and, beside it, a ``.npz``:
``tensors/<name>``, every tensor as torch's own loader gives it under the name in the state dict
(bfloat16 as float32, quantised ones dequantised); where the file holds an LSTM, ``inputs``, and
torch's ``h``, ``final_h``, ``final_c``; and ``case``, a JSON record.

PyTorch writes into some files where its own source and this script lie; `without_places` puts as
many other characters there, and nothing else is changed.

No annotations here: Python 2.7 runs this too.
"""

from __future__ import print_function

import inspect
import io
import json
import os
import sys
import tarfile
import zipfile

import numpy as np
import torch
from torch import nn

FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "torch_files"
)
VERSION = torch.__version__.split("+")[0] + ("py2" if sys.version_info[0] == 2 else "")
NEW = VERSION.startswith("2.")
T, B, I, H, P = 7, 4, 5, 3, 2


class Net(nn.Module):
    """An LSTM inside a network, as most files have it."""

    def __init__(self, **options):
        super(Net, self).__init__()
        self.rnn = nn.LSTM(I, H, **options)
        self.out = nn.Linear(H, 2)

    def forward(self, x):
        """The LSTM's answer: outputs and final state."""
        return self.rnn(x)


class Cell(nn.Module):
    """An LSTMCell, one step of it."""

    def __init__(self):
        super(Cell, self).__init__()
        self.rnn = nn.LSTMCell(I, H)

    def forward(self, x):
        """The state after a step."""
        return self.rnn(x)


def uneven(rng, tensor):
    """Random numbers around a mean that is not zero, in the tensor's type."""
    return torch.from_numpy(rng.normal(0.07, 0.6, tuple(tensor.shape))).to(tensor.dtype)


def filled(module, seed):
    """The module with uneven numbers everywhere."""
    rng = np.random.RandomState(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(uneven(rng, parameter))
    return module.eval()


def numpy_of(tensor):
    """A tensor as NumPy has it."""
    tensor = tensor.detach()
    if tensor.is_quantized if hasattr(tensor, "is_quantized") else False:
        tensor = tensor.dequantize()
    if NEW:
        tensor = tensor.resolve_conj()
    if NEW and tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.cpu().numpy()


def keep(case, tensors, module=None, inputs=None, told=True, note="", suffix=".pt"):
    """Keep what torch reads in a case's file, and what the module in it answers to inputs."""
    members = {"tensors/" + name: numpy_of(tensor) for name, tensor in tensors.items()}
    if module is not None:
        with torch.no_grad():
            y, (h, c) = module(inputs)
        members.update(
            inputs=inputs.float(), h=y.float(), final_h=h.float(), final_c=c.float()
        )
    record = {
        "file": case + "-" + VERSION + suffix,
        "torch": VERSION,
        "told": told,
        "note": note,
    }
    record["script"] = "torch_files.py"
    path = os.path.join(FOLDER, case + "-" + VERSION + ".npz")
    np.savez_compressed(path, case=np.array("%s" % json.dumps(record)), **members)
    print(record["file"], len(members))


def at(case, suffix=".pt"):
    """The path of a case's file."""
    return os.path.join(FOLDER, case + "-" + VERSION + suffix)


def steps(dtype=torch.float32, batch_first=True):
    """Inputs of T steps in B rows."""
    shape = (B, T, I) if batch_first else (T, B, I)
    return uneven(np.random.RandomState(99), torch.empty(shape, dtype=dtype))


def trusted(path):
    """torch.load, of whole pickled objects too: this script has just written them."""
    return torch.load(path, weights_only=False) if NEW else torch.load(path)


def sourceless(_):
    """In place of inspect.getsource: legacy files would hold PyTorch's own source text."""
    raise OSError("none")


def saved(
    case, thing, how=None, to_tensors=None, module=None, dtype=torch.float32, **more
):
    """torch.save, without the source text of classes, and keep what torch.load gives."""
    with_source = inspect.getsource, inspect.getsourcelines
    inspect.getsource = inspect.getsourcelines = sourceless
    torch.save(thing, at(case), **(how or {}))
    inspect.getsource, inspect.getsourcelines = with_source
    loaded = trusted(at(case))
    tensors = to_tensors(loaded) if to_tensors else loaded
    keep(case, tensors, module, None if module is None else steps(dtype), **more)


def plain(how=None, mark=""):
    """What any version saves: a state dict, a whole module, a checkpoint."""
    net = filled(Net(batch_first=True, num_layers=2, bidirectional=True), 1)
    saved("state_dict" + mark, net.state_dict(), how, module=net.rnn, told=False)
    one = filled(Net(batch_first=True), 2)
    saved("module" + mark, one, how, lambda m: m.state_dict(), one.rnn)
    step = torch.optim.Adam(one.parameters())
    one(steps())[0].sum().backward()
    step.step()
    checkpoint = {
        "epoch": 3,
        "model_state_dict": one.state_dict(),
        "optimizer": step.state_dict(),
    }
    saved(
        "checkpoint" + mark,
        checkpoint,
        how,
        lambda c: c["model_state_dict"],
        one.rnn,
        told=False,
    )


def scripted(case, net, frozen=False, traced=False, note="", x=None):
    """TorchScript, and what torch.jit.load reads in it; frozen tensors have the LSTM's names."""
    x = steps() if x is None else x
    script = torch.jit.trace(net, x) if traced else torch.jit.script(net)
    if frozen:
        script = torch.jit.freeze(script)
    script.save(at(case))
    loaded = torch.jit.load(at(case))
    tensors = loaded.state_dict() if hasattr(loaded, "state_dict") else net.state_dict()
    if frozen:
        tensors = {"lstm." + k: v for k, v in net.rnn.state_dict().items()}
    keep(case, tensors, loaded if x.dim() == 3 else None, x, note=note)


def rezipped(old, new, change):
    """A zip archive written again with its members changed: name, bytes -> bytes."""
    with zipfile.ZipFile(at(old)) as source, zipfile.ZipFile(at(new), "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))


def swapped(name, data):
    """A member of an archive as a big-endian machine would have written it (float32 only)."""
    if name.endswith("/byteorder"):
        return b"big"
    return np.frombuffer(data, "<u4").byteswap().tobytes() if "/data/" in name else data


def tar_of_0_1():
    """The layout of torch 0.1, written by hand: no such version runs today, but 2.13 reads it."""
    import pickle

    net = filled(nn.LSTM(I, H, batch_first=True), 3)

    def packed(*things):
        return b"".join(pickle.dumps(one, protocol=2) for one in things)

    storages, tensors, names = [], [], {}
    for key, (name, tensor) in enumerate(net.state_dict().items()):
        array = tensor.numpy()
        storages.append(
            packed((1000 + key, "cpu", torch.FloatStorage))
            + np.int64(array.size).tobytes() + array.tobytes()
        )  # fmt: skip
        numbers = list(array.shape) + [s // 4 for s in array.strides] + [0]
        tensors.append(
            packed((2000 + key, 1000 + key, torch.FloatTensor))
            + np.int32(array.ndim).tobytes() + bytes(4) + np.array(numbers, "<i8").tobytes()
        )  # fmt: skip
        names[name] = str(2000 + key)
    count = len(names)

    class Named:
        def __init__(self, key):
            self.key = key

    body = io.BytesIO()
    pickler = pickle.Pickler(body, protocol=2)
    pickler.persistent_id = lambda one: one.key if isinstance(one, Named) else None
    pickler.dump({name: Named(key) for name, key in names.items()})
    with tarfile.open(at("tar"), "w") as archive:
        for member, data in {
            "sys_info": packed({"little_endian": True, "protocol_version": 1000}),
            "pickle": body.getvalue(),
            "tensors": packed(count) + b"".join(tensors),
            "storages": packed(count) + b"".join(storages) + packed([]),
        }.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    keep("tar", trusted(at("tar")), net, steps(), told=False, note="written by hand")


def odd_tensors():
    """Every dtype, and tensors that lie in their storage in unusual ways."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    conj = torch.tensor([[1 + 2j, -0.5j], [3, 4 - 1j]], dtype=torch.complex64)
    q = torch.quantize_per_tensor(base, 0.13, 3, torch.quint8)
    scales, zeros = (
        torch.tensor([0.1, 0.2, 0.3, 0.7], dtype=torch.float64),
        torch.tensor([0, 1, -2, 5]),
    )
    axis0 = torch.quantize_per_channel(base, scales, zeros, 0, torch.qint8)
    return {
        "transposed": base.t(), "slice": base[1:3, 2:5], "every_other": base[::2, ::3],
        "expanded": base[:1].expand(3, 6), "scalar": torch.tensor(2.5), "empty": torch.empty(0, 3),
        "tied": base, "bfloat16": base.bfloat16(), "float16": base.half(), "float64": base.double(),
        "int64": base.long(), "int32": base.int(), "int16": base.short(), "int8": base.char(),
        "uint8": base.byte(), "bool": base > 1, "uint16": base.to(torch.uint16),
        "uint32": base.to(torch.uint32), "complex64": conj, "conjugate": conj.conj(),
        "complex128": conj.to(torch.complex128), "quint8": q, "quint8_part": q[1:3],
        "per_channel": axis0,
        "qint32": torch.quantize_per_tensor(base, 0.001, 0, torch.qint32),
    }  # fmt: skip


def newest():
    """What only a current version writes, or what need not be kept of every version."""
    net = filled(Net(batch_first=True), 4)
    keep_names = {"to_tensors": lambda m: m.state_dict()}
    for protocol in (3, 4, 5):
        legacy = {"_use_new_zipfile_serialization": False, "pickle_protocol": protocol}
        saved("legacy_protocol%d" % protocol, net, legacy, module=net.rnn, **keep_names)
    saved("protocol4", net, {"pickle_protocol": 4}, module=net.rnn, **keep_names)
    saved("parallel", nn.DataParallel(net).state_dict(), module=net.rnn, told=False)
    saved("compiled", torch.compile(net).state_dict(), module=net.rnn, told=False)
    nested = {
        "net": {"ema": 1, "state_dict": net.state_dict()},
        "args": [1, {"x": "y"}],
    }
    saved("nested", nested, None, lambda c: c["net"]["state_dict"], net.rnn, told=False)
    time_major = filled(Net(), 5)
    torch.save(time_major, at("time_major"))
    keep(
        "time_major",
        trusted(at("time_major")).state_dict(),
        time_major.rnn,
        steps(batch_first=False),
    )
    projected = filled(
        Net(batch_first=True, proj_size=P, num_layers=2, bidirectional=True), 6
    )
    saved("projection", projected.rnn, module=projected.rnn, **keep_names)
    half = filled(Net(batch_first=True, bias=False).double(), 7)
    saved("float64_no_bias", half, module=half.rnn, dtype=torch.float64, **keep_names)
    rounded = {k: v.bfloat16() for k, v in net.state_dict().items()}
    near = filled(Net(batch_first=True), 4)
    near.load_state_dict(rounded)
    saved(
        "bfloat16",
        rounded,
        module=near.rnn,
        told=False,
        note="bfloat16 weights, run in float32",
    )
    norm = filled(nn.LSTM(I, H, batch_first=True), 8)
    nn.utils.weight_norm(norm, "weight_hh_l0")
    saved("weight_norm", norm.state_dict(), module=norm, told=False)
    norm = filled(nn.LSTM(I, H, batch_first=True), 9)
    nn.utils.parametrizations.weight_norm(norm, "weight_hh_l0")
    saved(
        "parametrized",
        {"rnn." + k: v for k, v in norm.state_dict().items()},
        module=norm,
        told=False,
    )
    saved("odd_tensors", odd_tensors(), told=False)
    torch.serialization.set_crc32_options(False)
    saved("no_checksums", net, module=net.rnn, **keep_names)
    torch.serialization.set_crc32_options(True)
    rezipped("protocol4", "big_endian", swapped)
    keep("big_endian", trusted(at("big_endian")).state_dict(), net.rnn, steps(),
         note="byte order changed by hand; torch.load gives these")  # fmt: skip
    tar_of_0_1()
    two = filled(Net(batch_first=True, num_layers=2, bidirectional=True), 10)
    scripted("scripted", two)
    scripted("traced", net, traced=True)
    scripted("scripted_time_major", time_major, x=steps(batch_first=False))
    scripted("frozen", two, frozen=True)
    scripted("frozen_traced", net, frozen=True, traced=True)
    scripted("frozen_projection", projected, frozen=True)
    scripted("frozen_cell", filled(Cell(), 11), frozen=True, x=steps()[0])
    torch.jit.script(net)._save_for_lite_interpreter(at("lite", ".ptl"))
    keep("lite", net.state_dict(), net.rnn, steps(), suffix=".ptl")
    quantised = torch.ao.quantization.quantize_dynamic(net, {nn.LSTM})
    torch.save(quantised.state_dict(), at("dynamic"))
    keep(
        "dynamic",
        {"out." + k: v for k, v in net.out.state_dict().items()},
        note="no others",
    )
    torch.save(torch.ones(2, 2).to_sparse(), at("sparse"))
    torch.export.save(torch.export.export(net, (steps(),)), at("exported", ".pt2"))


def without_places():
    """Take the folders of this machine out of the files of this version."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(FOLDER)))
    places = [os.path.dirname(sys.prefix).encode(), top.encode()]

    def cleaned(data):
        for place in places:
            data = data.replace(place, b"/" + b"x" * (len(place) - 1))
        return data

    for name in sorted(os.listdir(FOLDER)):
        path = os.path.join(FOLDER, name)
        if "-%s." % VERSION not in name or name.endswith(".npz"):
            continue
        if not zipfile.is_zipfile(path):
            with open(path, "rb") as file:
                data = file.read()
            with open(path, "wb") as file:
                file.write(cleaned(data))
            continue
        with zipfile.ZipFile(path) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
        if all(cleaned(data) == data for _, data in members):
            continue
        with zipfile.ZipFile(path, "w") as archive:
            for info, data in members:
                told = zipfile.ZipInfo(info.filename, info.date_time)
                told.compress_type = info.compress_type
                archive.writestr(told, cleaned(data))


def main():
    """Record what this version writes."""
    if not os.path.isdir(FOLDER):
        os.mkdir(FOLDER)
    plain(
        {"_use_new_zipfile_serialization": False} if NEW or VERSION == "1.6.0" else None
    )
    if VERSION in ("1.4.0", "1.6.0") or NEW:
        plain({"_use_new_zipfile_serialization": True}, "_zip")
    if VERSION == "1.0.0":
        one = filled(Net(batch_first=True), 2)
        scripted("traced", one, traced=True)
    if VERSION in ("1.4.0", "1.6.0"):
        two = filled(Net(batch_first=True, num_layers=2, bidirectional=True), 10)
        scripted("scripted", two)
        scripted("traced", filled(Net(batch_first=True), 2), traced=True)
    if NEW:
        newest()
    without_places()


if __name__ == "__main__":
    main()
