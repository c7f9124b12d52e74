"""Hostile models: what passed scanners of models, as their advisories and issues describe it.

Each pickle asks Python to leave a file `sprung` in the current folder, by the way that an advisory
names; ours are written opcode by opcode, so that nothing is run while they are made. Sources are
the advisories and issues of picklescan, fickling (trailofbits/fickling) and ModelScan
(protectai/modelscan). Those that `springs` holds need nothing but Python: a test unpickles them.
"""

from __future__ import annotations

import io
import json
import marshal
import pickle
import struct
from typing import Any, NamedTuple

import numpy as np

from tests.formats.helpers import members_of, zipped
from tests.paths import TESTS

MARK = "sprung"
SHELL = f"touch {MARK}"
PYTHON = f"open({MARK!r}, 'w')"
MODULE = TESTS / "golden/torch_files/module_zip-2.13.0.pt"
CODE = marshal.dumps(compile(PYTHON, "<hostile>", "exec"))


class Name(NamedTuple):
    """A function by its dotted name."""

    name: str


class Call(NamedTuple):
    """The call that a pickle makes when it is loaded."""

    function: Any
    args: tuple[Any, ...]


class Opcodes(NamedTuple):
    """A part of a pickle that is typed by hand."""

    data: bytes


def call(function: Any, *args: Any) -> Call:
    """A call of a function, by its dotted name or as another call gives it."""
    return Call(Name(function) if isinstance(function, str) else function, args)


def encoded(value: Any) -> bytes:
    """The opcodes that put a value on the stack."""
    match value:
        case Opcodes(data):
            return data
        case Name(name):
            module, _, attribute = name.rpartition(".")
            return f"c{module}\n{attribute}\n".encode()
        case Call(function, args):
            return encoded(function) + encoded(args) + b"R"
        case str():
            return b"X" + struct.pack("<I", len(value)) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case list() | tuple():
            end = b"l" if isinstance(value, list) else b"t"
            return b"(" + b"".join(map(encoded, value)) + end
        case dict():
            return b"}" + b"".join(
                encoded(k) + encoded(v) + b"s" for k, v in value.items()
            )
        case _:
            return {None: b"N", 0: b"K\x00"}[value]


def pickled(*values: Any) -> bytes:
    """A pickle of protocol 4 of the last value; those before it are thrown away."""
    return b"\x80\x04" + b"0".join(map(encoded, values)) + b"."


class Hostile(NamedTuple):
    """The call that a pickle makes, and the scanner that it had passed."""

    source: str
    call: Any
    springs: bool = False  # with Python alone
    before: tuple[Any, ...] = ()  # values that the pickle makes first, for its memo

    @property
    def pickle(self) -> bytes:
        """The pickle."""
        return pickled(*self.before, self.call)


OS = call("importlib.import_module", "os")
LOADED = call("marshal.loads", CODE)
SYSTEM = call("os.system", SHELL)


def of_memo(number: bytes, name: str) -> bytes:
    """An attribute of what the memo has under a number."""
    return encoded(call("builtins.getattr", Opcodes(b"h" + number), name))


def joined(*letters: str) -> Call:
    """A name that only joining its letters gives."""
    return call(call("builtins.getattr", "", "join"), [*letters])


PICKLES = {  # a way to call each; which function is called makes no difference to a reader
    "os-system": Hostile("the plain case", SYSTEM, True),
    "marshal": Hostile("fickling #186, GHSA-565g-hwwr-4pp3: code objects and a function of them",
                       call(call("types.FunctionType", LOADED, call("builtins.globals"))), True),
    "operator": Hostile(
        "fickling #210, GHSA-m273-6v24-x4m4: operator.attrgetter reaches what no name shows",
        call(call(call("operator.attrgetter", "system"), OS), SHELL), True),
    "nested": Hostile("ModelScan #267, fickling #210, GHSA-84r2-jw7c-4r5q: a pickle in a pickle",
                      call("pickle.loads", pickled(SYSTEM)), True),
    "joined-names": Hostile(
        "ModelScan #331: names put together while the pickle runs",
        call(call("builtins.getattr", call("importlib.import_module", joined("o", "s")),
                  joined(*"system")), SHELL), True),
    "numpy-builtins": Hostile(
        "ModelScan #330: the builtins of a module that is allowed",
        call(call(call("operator.itemgetter", "eval"), Name("numpy.__builtins__")), PYTHON), True),
    "build-and-memo": Hostile(
        "ModelScan #85: attributes by BUILD, names out of the memo",
        call(Opcodes(of_memo(b"\x07", "a") + of_memo(b"\x07", "b") + b"\x93"), SHELL),
        before=(Opcodes(encoded(Name("functools.reduce")) + b"\x94"),
                Opcodes(encoded(call("functools.partial", Name("builtins.print"))) + b"q\x07"
                        + encoded({"a": "os", "b": "system"}) + b"b"))),
    "memo": Hostile("picklescan #22: the memo gives STACK_GLOBAL other names than those before it",
                    call(Opcodes(b"h\x01h\x02\x93"), SHELL), True,
                    before=(Opcodes(encoded("os") + b"q\x01"),
                            Opcodes(encoded("system") + b"q\x02"), "numpy", "prod")),
    "atexit": Hostile("fickling #272, GHSA-m6fh-58r7-x697: when the process ends",
                      call("atexit.register", Name("os.system"), SHELL), True),
    "torch-env": Hostile("ModelScan #338: torch.utils.collect_env.run",
                         call("torch.utils.collect_env.run", SHELL)),
    "broken-behind": Hostile(
        "a payload ahead of a stream that breaks off: it has run when the scanner gives up",
        Opcodes(encoded(SYSTEM) + b"\xff\xff")),
}  # fmt: skip


def files(name: str) -> dict[str, bytes]:
    """The files that carry a pickle: by itself, in PyTorch's archive, in arrays of objects."""
    data = PICKLES[name].pickle
    members = members_of(MODULE.read_bytes())
    archive = zipped(
        {n: data if n.endswith("/data.pkl") else m for n, m in members.items()}
    )
    crc, flags = (_central(archive) + at for at in (16, 8))
    member = archive.index(b"data.pkl")
    return {
        "model.pkl": data,
        "model.bin": data,  # CVE-2025-10155: PyTorch's suffix, a plain pickle
        "weights.config": data,  # CVE-2025-1889: a suffix that no scanner looks at
        "model.pt": archive,
        # CVE-2025-10156: a checksum at which a scanner gives up, and PyTorch does not
        "crc.pt": _replaced(
            archive, crc, bytes(byte ^ 0xFF for byte in archive[crc : crc + 4])
        ),
        # CVE-2025-1945: a member that its flags call encrypted
        "flags.pt": _replaced(archive, flags, bytes([archive[flags] | 1])),
        # CVE-2025-1944: the name ahead of the member is not that of the directory
        "names.pt": _replaced(archive, member, b"data.pkx"),
        "array.npy": _npy(data),
        "array.npz": zipped({"w.npy": _npy(data), "kernel.npy": _npy(data)}),
        "model.keras": _keras(),
    }


def _replaced(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _central(data: bytes) -> int:
    """Where the directory has the entry of data.pkl."""
    at = data.index(b"PK\x01\x02")
    while b"data.pkl" not in data[at + 46 : at + 46 + 64].partition(b"PK")[0]:
        at = data.index(b"PK\x01\x02", at + 4)
    return at


def _npy(data: bytes) -> bytes:
    """An array of objects; its pickle is ours."""
    out = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + data


def _keras() -> bytes:
    """CVE-2025-1550, CVE-2025-9906: a config that names functions and carries code in a Lambda."""
    code = {
        "class_name": "__lambda__",
        "config": {"code": pickle.dumps(CODE).hex(), "defaults": None, "closure": None},
    }
    layers = [
        {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"function": code},
        },
        {
            "module": "os",
            "class_name": "system",
            "config": SHELL,
            "registered_name": "system",
        },
        {
            "module": "keras.config",
            "class_name": "function",
            "config": "enable_unsafe_deserialization",
            "registered_name": "function",
        },
    ]
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"layers": layers},
    }
    return zipped(
        {
            "metadata.json": json.dumps({"keras_version": "3.8.0"}).encode(),
            "config.json": json.dumps(config).encode(),
            "model.weights.h5": b"\x89HDF\r\n\x1a\n",
        }
    )
