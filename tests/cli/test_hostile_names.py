"""Names from files and folders are shown, and typed again, without being carried out."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests import networks
from tests.cli.conftest import Done, Lstm
from tests.test_escaping import ALL

SGR = re.compile(r"\x1b\[[0-9;]*m")
FORGED = "FORGED"
HOSTILE = [
    f"a\n{FORGED} b", "\x1b]0;title\x07\x1b[2J", "\x9b31m\x7f\r", "\u202egnp\u2066.\u200f\u061c",
    "\u2028\u2029\ufffe\uffff", "<b>&amp;'\"",
]  # fmt: skip


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def weights(prefix: str = "") -> dict[str, Any]:
    """A Keras layer with 4 inputs and 3 units, as JSON takes it."""
    return {
        name: array.tolist() for name, array in networks.keras(4, 3, prefix).items()
    }


def check_shown(done: Done, status: int | None = None) -> None:
    """No control character but newlines and colours, and no line that a name forged."""
    for text in (done.out, done.err):
        for line in SGR.sub("", text).split("\n"):
            assert not set(line) & set(ALL), ascii(line)
            assert not line.startswith(FORGED)
    assert done.status == status or status is None, done.err
    assert done.out + done.err


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_of_tensors_and_layers_are_escaped(lstm: Lstm, name: str) -> None:
    np.save("x.npy", rng().normal(size=(7, 4)))
    Path("one.json").write_text(json.dumps(weights(f"{name}/")))
    Path("two.json").write_text(json.dumps(weights(f"{name}/") | weights("other/")))
    Path("none.json").write_text(json.dumps({name: [[1.0]], "b": [1.0, 2.0]}))
    half = {k: v for k, v in weights(f"{name}/").items() if "recurrent" not in k}
    Path("half.json").write_text(json.dumps(half))
    wide = {k: np.array(v)[..., :11].tolist() for k, v in weights(f"{name}/").items()}
    Path("wide.json").write_text(json.dumps(wide))
    for color in ("never", "always"):
        check_shown(lstm("inspect", "two.json", "--color", color), 0)
        check_shown(lstm("inspect", "wide.json", "--color", color), 0)
        check_shown(lstm("run", "one.json", "x.npy", "--color", color), 0)
    check_shown(lstm("inspect", "two.json", "-f", "json"), 0)
    assert (
        f"{name}/kernel"
        in json.loads(lstm("inspect", "two.json", "-f", "json").out)["tensors"]
    )
    for words in (
        ("run", "two.json", "x.npy"),
        ("run", "two.json", "x.npy", "--layer", "nothing"),
        ("run", "none.json", "x.npy"),
        ("run", "half.json", "x.npy"),
        ("run", "wide.json", "x.npy"),
        ("run", "one.json", "one.json"),
        ("diff", "none.json", "two.json"),
        ("plot", "none.json"),
        ("convert", "one.json", "out.npz", "--to", "gru"),
        ("run", "one.json", "x.npy", "--initial-state", "none.json"),
    ):
        check_shown(lstm(*words), 2)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_of_files_are_escaped(lstm: Lstm, name: str) -> None:
    file, x, csv = f"{name}.json", f"{name}.npy", f"{name}.csv"
    Path(file).write_text(json.dumps(weights()))
    np.save(x, rng().normal(size=(7, 4)))
    Path(csv).write_text("h[0],h[1]\n1,x\n")
    os.mkdir(f"{name}.d")
    check_shown(lstm("run", file, x), 0)
    check_shown(lstm("inspect", file, "--color", "always"), 0)
    check_shown(lstm("plot", file, x), 0)
    check_shown(lstm("derive", file, x, "--steps", "1", "--units", "0"), 0)
    check_shown(lstm("explain", file, x, x), 2)
    check_shown(lstm("convert", file, f"{name}.npz", "--to", "pytorch"), 0)
    check_shown(lstm("init", "--inputs", "2", "--units", "2", "-o", f"{name}.npz"), 0)
    for words in (
        ("run", file), ("run", f"{name}?.json", x), ("run", f"{name}.d", x), ("diff", csv, x),
        ("run", file, x, "--layer", name), ("run", file, x, f"--{name}"), (name,),
        ("conventions", name), ("run", file, x, "--gates", name), ("run", file, x, "-f", name),
        ("run", file, x, "-o", name), ("run", file, x, "--lengths", f"{name},1"),
    ):  # fmt: skip
        check_shown(lstm(*words), 2)


def test_bytes_in_a_file_name_that_are_not_text_are_shown(lstm: Lstm) -> None:
    name = os.fsdecode(b"a\xff\xfe.json")
    try:
        Path(name).write_text(json.dumps(weights()))
    except OSError:
        pytest.skip("file names are text on this system")
    done = lstm("inspect", name)
    check_shown(done, 0)
    assert r"a\udcff\udcfe.json" in done.out
    assert lstm("inspect", name, "--svg", "s.svg").status == 0
    assert r"a\udcff\udcfe.json" in "".join(
        ElementTree.parse("s.svg").getroot().itertext()
    )
    done = lstm("run", name)
    check_shown(done, 2)
    assert r"$'a\xff\xfe.json'" in done.err


@pytest.mark.parametrize("cell", HOSTILE, ids=ascii)
def test_cells_of_a_table_are_escaped(lstm: Lstm, cell: str) -> None:
    quoted = cell.replace('"', '""')
    Path("a.csv").write_text(f'step,"{quoted}"\n0,1\n', newline="")
    Path("b.csv").write_text(f'h[0],h[1]\n1,"{quoted}"\n', newline="")
    Path("c.txt").write_text(f"[1.0 {cell}]\n", newline="")
    for path in ("a.csv", "b.csv", "c.txt"):
        check_shown(lstm("diff", path, path))


def test_texts_of_a_config_are_escaped(lstm: Lstm) -> None:
    np.save("x.npy", rng().normal(size=(7, 4)))
    for name in HOSTILE:
        for setting in (
            "convention",
            "gates",
            "activation",
            "forget_bias",
            "layer",
            name,
        ):
            Path("w.json").write_text(json.dumps(weights() | {setting: name}))
            check_shown(lstm("run", "w.json", "x.npy"))
            check_shown(lstm("inspect", "w.json"))


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_pictures_with_any_name_are_well_formed(lstm: Lstm, name: str) -> None:
    Path("w.json").write_text(json.dumps(weights(f"{name}/") | weights("other/")))
    assert lstm("inspect", "w.json", "--svg", "s.svg").status == 0
    root = ElementTree.parse("s.svg").getroot()
    text = "".join(root.itertext())
    assert not set(text.replace("\n", "")) & set(ALL)


@pytest.mark.parametrize("name", [*HOSTILE, r"$\frac$"], ids=ascii)
@pytest.mark.slow
def test_figures_with_any_name_are_well_formed(lstm: Lstm, name: str) -> None:
    pytest.importorskip("matplotlib")
    h = rng().normal(size=(7, 3)).tolist()
    Path("t.json").write_text(json.dumps({"h": h, f"a{name}.h": h}))
    for more in ([], ["--units", "0"]):
        done = lstm("plot", "t.json", "--only", f"a{name}.h", *more, "-o", "f.svg")
        assert done.status == 0, done.err
        ElementTree.parse("f.svg")


# ---- commands to copy

FILES = ["-$(touch pwned) 'a\"`touch pwned`;b", "new\nline \x1b[31m\\"]


def typed(command: str, folder: Path) -> list[str]:
    """The arguments that Bash gives ``lstm`` for a command line; nothing else is run."""
    stub = folder / "bin" / "lstm"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(
        f'#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done > "{folder}/words"\n'
    )
    stub.chmod(0o755)
    before = set(os.listdir())
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-c", command], check=True, env={**os.environ, "PATH": path}
    )
    assert set(os.listdir()) == before
    return [
        os.fsdecode(word) for word in (folder / "words").read_bytes().split(b"\0")[:-1]
    ]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder next to the one that commands run in."""
    return tmp_path_factory.mktemp("beside")


def suggestion(text: str, command: str) -> str:
    """The one command line of that name in what was printed."""
    found = re.findall(rf"^(?:next|reproduce)? *(lstm {command} .*)$", text, re.M)
    assert len(found) == 1, text
    return str(found[0])


@pytest.mark.parametrize("name", FILES, ids=ascii)
@pytest.mark.slow
def test_suggested_commands_can_be_run(lstm: Lstm, folder: Path, name: str) -> None:
    w, x, e, out = (f"{name}{n}" for n in ("w.json", "x.npy", "e.npy", "out.npz"))
    arg = {
        path: f"./{path}" if path.startswith("-") else path for path in (w, x, e, out)
    }
    Path(w).write_text(json.dumps(weights()))
    for path in (x, "inputs.npy", "INPUTS"):
        with open(path, "wb") as stream:
            np.save(stream, rng().normal(size=(7, 4)))
    Path("WEIGHTS-OF-A").write_text(json.dumps(weights()))
    assert lstm("run", arg[w], arg[x], "-o", arg[e]).status == 0
    wrong = np.load(e) + np.arange(21).reshape(7, 3) / 100
    np.save("wrong.npy", wrong)

    def runs(done: Done, command: str, status: int = 0) -> None:
        words = typed(suggestion(done.out + done.err, command), folder)
        assert any(name in word for word in words)
        again = lstm(*words)
        assert again.status == status, again.err

    runs(lstm("run", arg[w]), "run")
    runs(lstm("inspect", arg[w]), "run")
    runs(lstm("explain", arg[w], arg[x], arg[e]), "run")
    Path("EXPECTED").write_bytes(Path(e).read_bytes())
    runs(lstm("explain", arg[w], arg[e]), "explain")
    runs(lstm("plot", arg[e], "wrong.npy"), "diff", 1)
    runs(lstm("convert", arg[w], arg[out], "--to", "keras"), "run")
    Path(w).rename("w.json")
    np.save("right.npy", np.load(e))
    Path(e).unlink()
    os.rename("wrong.npy", e)
    runs(lstm("diff", "right.npy", arg[e]), "explain", 1)
    runs(lstm("explain", "w.json", arg[x], arg[e]), "derive", 1)


@pytest.mark.parametrize("name", [*FILES, "-x y", "a,b", "7", "!!"], ids=ascii)
def test_a_layer_that_is_suggested_can_be_run(
    lstm: Lstm, folder: Path, name: str
) -> None:
    Path("w.json").write_text(json.dumps(weights(f"{name}/") | weights("other/")))
    np.save("inputs.npy", rng().normal(size=(7, 4)))
    message = lstm("run", "w.json", "inputs.npy").err
    offered = re.findall(r"^  --layer (\d+)  ", message, re.M)
    assert offered == ["0", "1"]
    for number in offered:
        assert lstm("run", "w.json", "inputs.npy", "--layer", number).status == 0
    shown = lstm("inspect", "w.json").out.replace("INPUTS", "inputs.npy")
    words = typed(suggestion(shown, "run"), folder)
    assert lstm(*words).status == 0
