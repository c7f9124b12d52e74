"""Blocks of the documents that are no screens: each is run, here or where LANGUAGES names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import lstmcli
from tests.docs.documents import blocks, documents
from tests.paths import TOP
from tests.transcripts.shell import Shell

LANGUAGES = {
    "README.md": {"bash", "sh", "python"},  # sh: the gate; python: tests/test_docs.py
    "docs/commands/check.md": {"text"},  # tests/frameworks/test_documents.py
    "docs/commands/completion.md": {"sh"},
    "docs/equations.md": {"text"},  # formulas
    "docs/explain-search.md": {"text"},  # a drawing, and the order of the search
    "docs/index.md": {"sh"},
    "docs/performance.md": {"text"},  # printed by tests/benchmarks
    "docs/pipelines.md": {"sh"},
    "docs/porting/c.md": {
        "c",
        "python",
        "sh",
    },  # python: tests/frameworks/test_documents.py
    "docs/porting/onnx.md": {"python"},  # the same
    "docs/porting/pytorch.md": {"python"},  # the same
    "docs/python.md": {"python"},  # tests/test_docs.py
    "docs/testing.md": {
        "make",
        "python",
        "sh",
        "text",
        "yaml",
    },  # tests/test_testing.py
    "docs/weights.md": {"python"},  # of frameworks: tests/frameworks/test_documents.py
}
"""The blocks that are no screens, by language, with where they are run, if it is not here."""
SAMPLES = TOP / "samples"
I, H = 3, 4


def test_every_block_is_run_by_a_test() -> None:
    assert {
        name: {*found} for name in documents() if (found := blocks(name))
    } == LANGUAGES


POSITION = r'\{\n  "array": "h",\n(.*\n)+?\}\n'


@pytest.mark.parametrize(
    ("document", "language", "further", "shown"),
    [
        ("README.md", "bash", "head -n 1 out.csv | cut -c 1-17", POSITION
         + r"(\[(-?\d\.\d+,?){3}\]\n){2}outputs have changed\nstep,batch,unit,h\n"),
        ("docs/pipelines.md", "sh", "", rf"{POSITION}forget bias is 0, not \+1\n"),
        ("docs/commands/completion.md", "sh", "complete -p lstm", r"complete .* lstm\n"),
        ("docs/porting/c.md", "sh", "lstm diff c.txt samples/c-port/c.txt", r"✔ equal: 20 (.*\n)*"),
    ],
)  # fmt: skip
def test_the_lines_of_a_shell(
    document: str, language: str, further: str, shown: str, tmp_path: Path
) -> None:
    (block,) = blocks(document)[language]
    for program in {"jq", "cc"} & {*re.findall(r"\w+", block)}:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    shell, sample = Shell(tmp_path), SAMPLES / "forget-bias"
    for name in ("weights.npz", "inputs.npy"):
        shutil.copy(sample / name, tmp_path)
    h = np.loadtxt(
        (sample / "numpy.txt").read_text().translate({91: " ", 93: " "}).splitlines()
    )
    np.save(tmp_path / "theirs.npy", h)
    for n, name in enumerate(("a", "b", "ours", "golden")):
        np.savez(tmp_path / f"{name}.npz", h=h + n)
    (tmp_path / "bin/producer").write_text(
        "#!/bin/sh\necho '[1, 2, 3, 4]\n[0, 0, 0, 1]'\n"
    )
    (tmp_path / "bin/producer").chmod(0o755)
    done = shell.run(f"(\n{block}{further}\n)")
    assert re.fullmatch(shown, done.out), done


def test_code_repeated_in_documents_is_identical() -> None:
    (install,) = blocks("docs/index.md")["sh"]
    assert blocks("README.md")["sh"][0].startswith(install.rpartition(" && ")[0])
    (check,) = blocks("docs/testing.md")["sh"]
    assert check in blocks("docs/testing.md")["yaml"][0]
    (port,) = blocks("docs/porting/c.md")["c"]
    assert " ".join(port.split()) in " ".join(
        (SAMPLES / "c-port/lstm.c").read_text().split()
    )


@pytest.mark.parametrize(
    ("n", "name"), [*enumerate(["tf1", "keras", "pytorch", "per-gate"])]
)
def test_arrays_saved_as_documented_are_recognised(
    n: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("docs/weights.md")["python"][0].split("\n\n")[n]
    arrays = {"b": np.zeros(4 * H), "b2": np.zeros(4 * H)}
    for array, shape in re.findall(r"(\w) \(([^)]+)\)", code.partition("\n")[0]):
        zeros = np.zeros(eval(f"[{shape.replace('4H', '4 * H')}]", {"I": I, "H": H}))
        arrays |= dict.fromkeys([array, *(f"{array}{gate}" for gate in "ifco")], zeros)
    exec(code, {"np": np, **arrays})
    model = lstmcli.load("weights.npz")
    assert (model.convention.name, model.cell.kernel.shape) == (name, (4, H, I))
