"""Command lines that write, and the files that they are given."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.fuzz import corpus
from tests.paths import TOP

PIECES = "pieces"  # in the name of a case: results are written piece by piece


class Case(NamedTuple):
    """A command line, and the files that it writes."""

    words: str
    outputs: tuple[str, ...]


RUN = "run weights.npz inputs.npy"
FORMATS = ("npz", "npy", "json", "jsonl", "csv", "tsv", "txt")
MODELS = {
    "npz": "--to keras", "json": "--to keras", "safetensors": "--to pytorch",
    "onnx": "--to onnx", "rtneural.json": "--to rtneural",
}  # fmt: skip
SCREENS = {
    "run": RUN,
    "diff": "diff inputs.npy other.npy",
    "diff-same": "diff expected.npy expected.npy",
    "explain": "explain weights.npz sample.npy numpy.txt",
    "derive": "derive weights.npz inputs.npy --steps 1 --units 0 --against expected.npy",
    "inspect": "inspect weights.npz",
    "plot": "plot weights.npz inputs.npy",
    "check": "check weights.npz inputs.npy",
    "convert": "convert weights.npz out.json --to keras",
}
SOURCE = "source/"  # the folder of what is read
READ = [name for name, row in corpus.TABLE.items() if not row.stdin]


def cases() -> dict[str, Case]:
    """All of them, by name."""
    found = {f"run-{s}": Case(f"{RUN} -o out.{s}", (f"out.{s}",)) for s in FORMATS}
    for suffix in ("npz", "npy", "json", "txt"):
        found[f"run-{suffix}-{PIECES}"] = found[f"run-{suffix}"]
    found["run-tidy"] = Case(f"{RUN} -o out.csv --tidy", ("out.csv",))
    words = f"{RUN} --lengths lengths.npy --initial-state state.npz -f table"
    found["run-all"] = Case(
        f"{words} -o out.npz --save-state s.json --svg s.svg",
        ("out.npz", "s.json", "s.svg"),
    )
    found["run-stdout"] = Case(f"{RUN} -f json", ())
    for suffix, to in MODELS.items():
        found[f"convert-{suffix}"] = Case(
            f"convert weights.npz out.{suffix} {to}", (f"out.{suffix}",)
        )
    for name, screen in SCREENS.items():
        further = ("out.json",) if name == "convert" else ()
        found[f"{name}-svg"] = Case(f"{screen} --svg s.svg",
                                    (*further, "s.svg"))  # fmt: skip
    found["plot-png"] = Case("plot weights.npz inputs.npy -o out.png", ("out.png",))
    for suffix in ("npz", "json"):
        found[f"init-{suffix}"] = Case(
            f"init --inputs 4 --units 3 -o out.{suffix}", (f"out.{suffix}",)
        )
    files = ("weights.npz", "inputs.npy", "tensorflow.txt", "numpy.txt")
    found["init-example"] = Case(
        "init --example demo", tuple(f"demo/{name}" for name in files)
    )
    for name in READ:
        path = f"{SOURCE}{_sample(name).given}"
        words = (
            f"diff {path} {path}" if corpus.TABLE[name].inputs else f"inspect {path}"
        )
        found[f"read-{name}"] = Case(f"{words} --svg s.svg", ("s.svg",))
    found["run-csv-read"] = Case(f"run weights.npz {SOURCE}inputs.csv", ())
    return found


def _sample(name: str) -> corpus.Sample:
    """The first sample of a format that is not abbreviated, as `diff` needs a full side."""
    samples = corpus.samples_of(name)
    return next(one for one in samples if b"..." not in one.files.get(one.given, b""))


def prepare(name: str, folder: Path) -> None:
    """Write the files that a case is given."""
    rng = np.random.default_rng(0)
    sample = TOP / "samples" / "forget-bias"
    shutil.copy(sample / "weights.npz", folder / "weights.npz")
    shutil.copy(sample / "inputs.npy", folder / "sample.npy")
    shutil.copy(sample / "numpy.txt", folder / "numpy.txt")
    x = np.concatenate(
        [np.load(sample / "inputs.npy")[:, :5], rng.normal(size=(1, 5, 4))]
    )
    np.save(folder / "inputs.npy", x)
    np.save(folder / "other.npy", x + np.eye(5, 4) * 1e-3)
    np.save(folder / "expected.npy", rng.normal(size=(2, 5, 3)))
    np.save(folder / "lengths.npy", np.array([5, 3]))
    np.savez(folder / "state.npz", h=np.zeros((2, 3)), c=np.ones((2, 3)))
    if name.startswith("read-"):
        for path, data in _sample(name.removeprefix("read-")).files.items():
            file = folder / SOURCE / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    if name == "run-csv-read":
        (folder / SOURCE).mkdir()
        np.savetxt(folder / SOURCE / "inputs.csv", x[0], delimiter=",")
