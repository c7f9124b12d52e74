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
import zipfile
from typing import NamedTuple

import numpy as np

from tests.paths import TESTS

MARK = "sprung"
SHELL = f"touch {MARK}"
PYTHON = f"open({MARK!r}, 'w')"
MODULE = TESTS / "golden/torch_files/module_zip-2.13.0.pt"


class Hostile(NamedTuple):
    """A pickle, and whose scanner it had passed."""

    source: str
    pickle: bytes
    springs: bool = False  # with Python alone


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def _tuple(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def _list(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"l"


def _global(name: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def _stack_global(module: bytes, attribute: bytes) -> bytes:
    return module + attribute + b"\x93"


def _call(function: str | bytes, *args: bytes) -> bytes:
    name = _global(function) if isinstance(function, str) else function
    return name + _tuple(*args) + b"R"


def _whole(*parts: bytes) -> bytes:
    """A pickle of protocol 4 of the last part; the values before it are thrown away."""
    return b"\x80\x04" + b"0".join(parts) + b"."


def _code() -> bytes:
    return marshal.dumps(compile(PYTHON, "<hostile>", "exec"))


def _joined(*letters: str) -> bytes:
    """A name that only joining its letters gives."""
    join = _call("builtins.getattr", _text(""), _text("join"))
    return _call(join, _list(*map(_text, letters)))


_NESTED = _whole(_call("os.system", _text(SHELL)))
_FUNCTION = _call(
    "types.FunctionType", _call("marshal.loads", _bytes(_code())), _call("builtins.globals")
)
_ATTRIBUTES = b"}" + _text("a") + _text("os") + b"s" + _text("b") + _text("system") + b"s"

PICKLES = {
    "os-system": Hostile("the plain case", _whole(_call("os.system", _text(SHELL))), True),
    "eval": Hostile(
        "fickling #195, GHSA-h4rm-mm56-xf63: names of builtins are not looked at",
        _whole(_call("builtins.eval", _text(PYTHON))),
        True,
    ),
    "pty": Hostile(
        "fickling #187, GHSA-r7v6-mfhq-g3m2",
        _whole(_call("pty.spawn", _list(_text("touch"), _text(MARK)))),
    ),
    "marshal": Hostile(
        "fickling #186, GHSA-565g-hwwr-4pp3: code objects and a function of them",
        _whole(_call(_FUNCTION)),
        True,
    ),
    "runpy": Hostile(
        "fickling #60: runpy._run_code",
        _whole(_call("runpy._run_code", _call("marshal.loads", _bytes(_code())), b"}")),
        True,
    ),
    "profile": Hostile(
        "fickling #210, GHSA-46h3-79wf-xr6c: profilers run statements",
        _whole(_call("cProfile.run", _text(PYTHON), _text("/dev/null"))),
        True,
    ),
    "timeit": Hostile(
        "fickling #210, GHSA-4675-36f9-wf6r: timeit",
        _whole(_call("timeit.timeit", _text("pass"), _text(PYTHON))),
        True,
    ),
    "operator": Hostile(
        "fickling #210, GHSA-m273-6v24-x4m4: operator.attrgetter reaches what no name shows",
        _whole(
            _call(
                _call(
                    _call("operator.attrgetter", _text("system")),
                    _call("importlib.import_module", _text("os")),
                ),
                _text(SHELL),
            )
        ),
        True,
    ),
    "methodcaller": Hostile(
        "fickling #210, GHSA-955r-x9j8-7rhh: operator.methodcaller",
        _whole(
            _call(
                _call("operator.methodcaller", _text("system"), _text(SHELL)),
                _call("importlib.import_module", _text("os")),
            )
        ),
        True,
    ),
    "partial": Hostile(
        "fickling #210: functools.partial round a call",
        _whole(_call(_call("functools.partial", _global("os.system"), _text(SHELL)))),
        True,
    ),
    "subclass": Hostile(
        "CVE-2025-10157: a submodule of a module that is not listed itself",
        _whole(
            _call("multiprocessing.util.spawnv_passfds", _bytes(b"/bin/touch"), _list(), _list())
        ),
    ),
    "spawnv": Hostile(
        "ModelScan #338: multiprocessing.util.spawnv_passfds",
        _whole(
            _call(
                "multiprocessing.util.spawnv_passfds",
                _bytes(b"/bin/sh"),
                _list(*(_bytes(word) for word in (b"/bin/sh", b"-c", SHELL.encode()))),
                _tuple(),
            )
        ),
    ),
    "nested": Hostile(
        "ModelScan #267, fickling #210, GHSA-84r2-jw7c-4r5q: a pickle in a pickle",
        _whole(_call("pickle.loads", _bytes(_NESTED))),
        True,
    ),
    "joined-names": Hostile(
        "ModelScan #331: names put together while the pickle runs",
        _whole(
            _call(
                _call(
                    "builtins.getattr",
                    _call("importlib.import_module", _joined("o", "s")),
                    _joined("s", "y", "s", "t", "e", "m"),
                ),
                _text(SHELL),
            )
        ),
        True,
    ),
    "numpy-builtins": Hostile(
        "ModelScan #330: the builtins of a module that is allowed",
        _whole(
            _call(
                _call(
                    _call("operator.itemgetter", _text("eval")),
                    _global("numpy.__builtins__"),
                ),
                _text(PYTHON),
            )
        ),
        True,
    ),
    "build-and-memo": Hostile(
        "ModelScan #85: attributes by BUILD, names out of the memo",
        _whole(
            _global("functools.reduce") + b"\x94",
            _call("functools.partial", _global("builtins.print")) + b"q\x07" + _ATTRIBUTES + b"b",
            _call(
                _stack_global(
                    _call("builtins.getattr", b"h\x07", _text("a")),
                    _call("builtins.getattr", b"h\x07", _text("b")),
                ),
                _text(SHELL),
            ),
        ),
    ),
    "memo": Hostile(
        "picklescan #22: the memo gives STACK_GLOBAL other names than those before it",
        _whole(
            _text("os") + b"q\x01",
            _text("system") + b"q\x02",
            _text("numpy"),
            _text("prod"),
            _call(_stack_global(b"h\x01", b"h\x02"), _text(SHELL)),
        ),
        True,
    ),
    "interpreters": Hostile(
        "fickling #302, GHSA-6ggj-6f2q-f7mx: another interpreter in the process",
        _whole(_call("_xxsubinterpreters.run_string", b"K\x00", _text(PYTHON))),
    ),
    "atexit": Hostile(
        "fickling #272, GHSA-m6fh-58r7-x697: when the process ends",
        _whole(_call("atexit.register", _global("os.system"), _text(SHELL))),
        True,
    ),
    "pip": Hostile(
        "CVE-2025-1716: pip.main",
        _whole(_call("pip.main", _list(_text("install"), _text("./nothing")))),
    ),
    "file-handler": Hostile(
        "CVE-2026-56304: logging.FileHandler makes a file",
        _whole(_call("logging.FileHandler", _text(MARK))),
        True,
    ),
    "idle": Hostile(
        "fickling #210, GHSA-r8g5-cgf2-4m4m: idlelib",
        _whole(_call("idlelib.run.Executive.runcode", b"N", _bytes(_code()))),
    ),
    "f2py": Hostile(
        "fickling #210: numpy.f2py evaluates text",
        _whole(_call("numpy.f2py.crackfortran.getlincoef", _text(PYTHON), b"}")),
    ),
    "torch-env": Hostile(
        "ModelScan #338: torch.utils.collect_env.run",
        _whole(_call("torch.utils.collect_env.run", _text(SHELL))),
    ),
    "pipes": Hostile(
        "fickling #312: imp and pipes",
        _whole(_call("imp.load_source", _text("hostile"), _text("hostile.py"))),
    ),
    "broken-behind": Hostile(
        "a payload ahead of a stream that breaks off: it has run when the scanner gives up",
        _whole(_call("os.system", _text(SHELL)))[:-1] + b"\xff\xff",
    ),
}  # fmt: skip


def files(name: str) -> dict[str, bytes]:
    """The files that carry a pickle: by itself, in PyTorch's archive, in arrays of objects."""
    data = PICKLES[name].pickle
    return {
        "model.pkl": data,
        "model.bin": data,  # CVE-2025-10155: PyTorch's suffix, a plain pickle
        "weights.config": data,  # CVE-2025-1889: a suffix that no scanner looks at
        "model.pt": _archive(data),
        "crc.pt": _broken_crc(_archive(data)),
        "flags.pt": _flag_bits(_archive(data)),
        "names.pt": _other_names(_archive(data)),
        "array.npy": _npy(data),
        "array.npz": _zip({"w.npy": _npy(data), "kernel.npy": _npy(data)}),
        "model.keras": _keras(),
    }


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def _archive(data: bytes) -> bytes:
    """PyTorch's archive with another data.pkl."""
    with zipfile.ZipFile(MODULE) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return _zip({n: data if n.endswith("/data.pkl") else old for n, old in members.items()})


def _central(data: bytes) -> int:
    """Where the directory has the entry of data.pkl."""
    at = data.index(b"PK\x01\x02")
    while b"data.pkl" not in data[at + 46 : at + 46 + 64].partition(b"PK")[0]:
        at = data.index(b"PK\x01\x02", at + 4)
    return at


def _broken_crc(data: bytes) -> bytes:
    """CVE-2025-10156: a checksum at which a scanner gives up, and PyTorch does not."""
    at = _central(data) + 16
    return data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 4]) + data[at + 4 :]


def _flag_bits(data: bytes) -> bytes:
    """CVE-2025-1945: a member that its flags call encrypted."""
    at = _central(data) + 8
    return data[:at] + bytes([data[at] | 1]) + data[at + 1 :]


def _other_names(data: bytes) -> bytes:
    """CVE-2025-1944: the name ahead of the member is not that of the directory."""
    at = data.index(b"data.pkl")
    return data[:at] + b"data.pkx" + data[at + 8 :]


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
        "config": {"code": pickle.dumps(_code()).hex(), "defaults": None, "closure": None},
    }
    layers = [
        {"module": "keras.layers", "class_name": "Lambda", "config": {"function": code}},
        {"module": "os", "class_name": "system", "config": SHELL, "registered_name": "system"},
        {
            "module": "keras.config",
            "class_name": "function",
            "config": "enable_unsafe_deserialization",
            "registered_name": "function",
        },
    ]
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": layers}}
    return _zip(
        {
            "metadata.json": json.dumps({"keras_version": "3.8.0"}).encode(),
            "config.json": json.dumps(config).encode(),
            "model.weights.h5": b"\x89HDF\r\n\x1a\n",
        }
    )
