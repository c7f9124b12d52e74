"""What shells are offered, and that they can read the script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.shell_completion import BashComplete

from lstmcli.cli import COMMANDS
from lstmcli.cli import lstm as group
from lstmcli.core.model.conventions import CONVENTIONS
from tests.cli.conftest import SAMPLE, Lstm
from tests.paths import TOP

GOLDEN = TOP / "tests" / "golden"
TWO = GOLDEN / "torch" / "two_layers.weights.npz"


def offered(*words: object) -> list[str]:
    """What Bash is told for the last of the words."""
    *before, last = map(str, words)
    found = BashComplete(group, {}, "lstm", "_LSTM_COMPLETE").get_completions(before, last)
    return [item.value if item.type == "plain" else f"({item.type})" for item in found]


def test_commands_come_from_the_table() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("in") == ["inspect", "init"]
    assert offered("help", "di") == ["diff"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("run", "w.npz", "--activation", "hard"), ["hard_sigmoid_0.2", "hard_sigmoid_1_6"]),
        (("run", "w.npz", "--rows", ""), ["xh", "hx"]),
        (("run", "w.npz", "--set", "trans"), ["transposed="]),
        (("run", "w.npz", "--set", "transposed=k"), ["transposed=kernel"]),
        (("run", "w.npz", "--show", "h,c,i"), ["h,c,i"]),
        (("run", "w.npz", "--show", "h,h"), []),
        (("run", "w.npz", "--cell-clip", ""), []),
        (("check", "w.npz", "--engine", "t"), ["torch", "tensorflow", "tensorflow-block"]),
        (("check", "w.npz", "--engine", "torch,ke"), ["torch,keras"]),
        (("run", "w.npz", "--engine", "on"), ["onnxruntime"]),
        (("help", "se"), ["settings"]),
        (("diff", "a.npz", ""), ["(file)"]),
        (("run", "wei"), ["(file)"]),
        (("run", "w.npz", "--initial-state", "s"), ["(file)"]),
        (("completion", "z"), ["zsh"]),
    ],
)
def test_words_and_files(words: tuple[str, ...], values: list[str]) -> None:
    assert offered(*words) == values


def test_conventions_are_those_of_the_table() -> None:
    wanted = [name for name in CONVENTIONS if name.startswith("ke")]
    assert "keras" in wanted
    assert offered("run", "w.npz", "--convention", "ke") == wanted
    assert offered("convert", "w.npz", "out.npz", "--to", "ke") == wanted
    assert offered("conventions", "ke") == wanted


def test_orders_of_gates_are_those_that_some_convention_has() -> None:
    found = offered("run", "w.npz", "--gates", "")
    assert set(found) == {
        row.storage.gates for row in CONVENTIONS.values() if len(row.storage.gates) == 4
    }
    assert "ifgo" in found


def test_names_of_layers_cells_and_members_come_from_the_file_before_the_cursor() -> None:
    assert offered("run", GOLDEN / "haiku" / "deep.weights.npz", "--layer", "") == [
        "lstm",
        "lstm_1",
    ]
    assert offered("derive", TWO, "--cell", "") == ["layer0", "layer1"]
    assert "layer1.f" in offered("run", TWO, "x.npy", "--only", "")
    assert offered("plot", TWO, "--only", "h,layer0") == ["h,layer0"]
    assert offered("plot", TWO, "--only", "h,layer") == ["h,layer0", "h,layer1"]


def test_members_of_a_trace(lstm: Lstm) -> None:
    lstm("run", SAMPLE / "weights.npz", SAMPLE / "inputs.npy", "-o", "t.npz", "--only", "h,f")
    assert offered("plot", "t.npz", "--only", "") == ["h", "f"]


def test_a_file_that_cannot_be_read_offers_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    for path in (tmp_path / "bad.npz", tmp_path / "nowhere.npz", "-"):
        assert offered("run", path, "--layer", "") == []


def test_the_arrays_of_a_file_are_offered_after_its_colon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("W", "Wy", "a b", "lstm/k:0")  # one that a shell would take for two words
    arrays: dict[str, Any] = {name: np.ones(2) for name in names}
    np.savez("w.npz", **arrays)
    Path("h.json").write_text('{"h": [[1.0]], "hidden": [[2.0]]}')
    np.save("x.npy", np.ones(3))
    for words in (("diff",), ("run",), ("run", "w.npz", "--initial-state")):
        assert offered(*words, "w.npz:") == ["w.npz:W", "w.npz:Wy", "w.npz:lstm/k:0"]
    assert offered("diff", "x.npy", "h.json:h") == ["h.json:h", "h.json:hidden"]
    assert offered("run", "kernel=w.npz:lstm/k:") == ["kernel=w.npz:lstm/k:0"]
    for word in ("w.npz", "w.npz:z", "x.npy:", "nowhere.npz:", f"{tmp_path}:"):
        assert offered("diff", word) == ["(file)"]


def test_a_damaged_file_offers_no_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("w.npz", W=np.ones((50, 8)), b=np.ones(2))
    data = Path("w.npz").read_bytes()
    for end in range(0, len(data), 97):
        Path("cut.npz").write_bytes(data[:end])
        assert offered("diff", "cut.npz:") == ["(file)"]
    np.savez_compressed("bomb.npz", a=np.zeros(1 << 23, np.float64))  # 64 MiB in some kilobytes
    assert offered("diff", "bomb.npz:") == ["(file)"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_read_by_its_shell(lstm: Lstm, shell: str) -> None:
    done = lstm("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_LSTM_COMPLETE" in done.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.out, text=True, check=True)


def test_bash_completes_with_it(tmp_path: Path, lstm: Lstm) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no Bash here")
    script = lstm("completion", "bash").out.replace("compopt", ": ")
    command = tmp_path / "lstm"
    command.write_text(
        "#!/bin/sh\nprintf 'plain,%s\\n' one two\n"
    )  # what lstm would say: asked above without a process
    command.chmod(0o755)
    lines = f"{script}\nCOMP_WORDS=(lstm r) COMP_CWORD=1\n_lstm_completion {command}\n"
    done = subprocess.run(
        [bash, "--norc", "-c", f'{lines}echo "${{COMPREPLY[@]}}"'],
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    assert done.stdout == "one two\n"


def test_every_option_that_names_a_file_is_completed_as_one() -> None:
    for name in COMMANDS:
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option) and "FILE" in (parameter.metavar or ""):
                items = parameter.shell_complete(click.Context(command), "")
                assert [item.type for item in items] == ["file"], (name, parameter.name)


# ---- names that a shell would carry out

HOSTILE = {
    "enc$(touch pwned)": "0", "`touch pwned`": "1", "a;touch pwned": "2", "a\nplain,--svg": "3",
    "a b": "4", "*": "5", "~": "6", "a'b": "7", 'a"b': "8", "a\x1b[31m": "9", "a,b": "10",
    "\u202egnp": "11", "{a,b}": "12", "a\\b": "13", "a|b": "14", "a&b": "15", "a>pwned": "16",
    "!!": "17", "a\u3164b": "18", "plain/lstm": "plain_lstm", "größe": "größe", "a.b:0": "a_b_0",
}  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Weights of many LSTMs; most of their names are not to be typed into a shell."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (4, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
    named: dict[str, Any] = {
        f"{n}/{k}": rng.normal(size=s) for n in HOSTILE for k, s in shapes.items()
    }
    np.savez(tmp_path / "w.npz", **named)
    return tmp_path / "w.npz"


def test_a_name_that_a_shell_could_carry_out_is_offered_as_a_number(hostile: Path) -> None:
    assert sorted(offered("run", hostile, "--layer", "")) == sorted(HOSTILE.values())
    assert offered("run", hostile, "--layer", "enc") == []


def test_a_number_that_is_offered_chooses_the_layer_of_that_name(lstm: Lstm, hostile: Path) -> None:
    np.save("x.npy", np.ones((7, 4)))
    runs = {}
    for name, word in HOSTILE.items():
        done = lstm("run", hostile, "x.npy", "--layer", word, "-f", "json", "-o", "-")
        assert done.status == 0
        runs[name] = done.out
    assert len(set(runs.values())) == len(runs)
    for name in ("enc$(touch pwned)", "`touch pwned`", "a;touch pwned"):
        done = lstm("run", hostile, "x.npy", "--layer", name, "-f", "json", "-o", "-")
        assert done.out == runs[name]


def process_words(shell: str, *words: object) -> dict[str, str]:
    """The variables by which a shell asks about the last of some words."""
    line = " ".join(map(str, ("lstm", *words)))
    number = str(words[-1]) if shell == "fish" else str(len(words))
    return {"_LSTM_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": number}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_no_newline_in_a_name_forges_an_item(
    lstm: Lstm, hostile: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    for name, value in process_words(shell, "run", hostile, "--layer", "").items():
        monkeypatch.setenv(name, value)
    done = lstm()
    assert (done.status, done.err) == (0, "")
    kind = [line.split(",")[0] for line in done.out.splitlines()]
    if shell == "zsh":
        kind = done.out.splitlines()[::3]
    assert kind == ["plain"] * len(HOSTILE)
    assert "--svg" not in done.out


@pytest.mark.parametrize(
    "path", ["fifo", "/dev/zero", "/dev/random", "big.npz", "folder", "a=fifo"]
)
@pytest.mark.parametrize("words", [
    ("run", "--layer"), ("derive", "--cell"), ("run", "--only"), ("plot", "--only"),
])  # fmt: skip
def test_nothing_but_small_regular_files_is_opened(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], path: str
) -> None:
    monkeypatch.chdir(hostile.parent)
    os.mkfifo("fifo")
    os.mkdir("folder")
    os.mkfifo("folder/checkpoint")
    with open("big.npz", "wb") as stream:
        stream.truncate(1 << 40)  # a hole

    def refuse(*given: object, **how: object) -> None:
        raise AssertionError(f"{given[0]} was opened")

    monkeypatch.setattr("lstmcli.formats.read", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    command, option = words
    assert not {"layer0", "0"} & set(offered(command, path, option, ""))
    assert offered(command, f"{path}:") == ["(file)"]


# ---- real shells


@pytest.fixture
def path_with_lstm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which ``lstm`` is this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "lstm"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{TOP}" exec "{sys.executable}" -m lstmcli "$@"\n')
    command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


class Typist:
    """Somebody at a shell in a terminal."""

    PATIENCE = 60  # seconds for a process to start on a busy machine

    def __init__(self, command: list[str], path: str, folder: Path) -> None:
        pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
        self.ours, theirs = pty.openpty()
        self.seen = ""
        environment = {**os.environ, "PATH": path, "TERM": "dumb", "HOME": str(folder)}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.set_blocking(self.ours, False)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def wait_for(self, word: str) -> str:
        """Read until a word comes; what came before it."""
        end = time.monotonic() + self.PATIENCE
        while word not in self.seen:
            assert time.monotonic() < end, f"no {word!r} in {self.seen!r}"
            try:
                self.seen += os.read(self.ours, 65536).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
        before, _, self.seen = self.seen.partition(word)
        return before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def typists() -> Iterator[list[Typist]]:
    """Those who are to be sent home."""
    held: list[Typist] = []
    yield held
    for typist in held:
        typist.close()


SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
READY = {
    "bash": 'eval "$(lstm completion bash)"',
    "zsh": 'autoload -Uz compinit; compinit -u -D; eval "$(lstm completion zsh)"',
}


@pytest.fixture
def start(path_with_lstm: str, typists: list[Typist]) -> Callable[[str, Path], Typist]:
    """Starts a shell in a folder, with completion; skips the test where there is no such shell."""

    def started(shell: str, folder: Path) -> Typist:
        if not shutil.which(shell):
            pytest.skip(f"no {shell} here")
        typist = Typist(SHELLS[shell], path_with_lstm, folder)
        typists.append(typist)
        typist.type(f"{READY[shell]}; echo rea''dy\n")
        typist.wait_for("ready")
        return typist

    return started


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.slow
def test_a_name_is_not_carried_out_by_tab_and_enter(
    hostile: Path, start: Callable[[str, Path], Typist], shell: str
) -> None:
    typist = start(shell, hostile.parent)
    for word in ("enc", "", "a", "1"):
        typist.type(f"echo go; lstm inspect w.npz --layer {word}\t\t")
        time.sleep(1)
        typist.type("\necho do''ne\n")
        typist.wait_for("done")
    assert set(os.listdir(hostile.parent)) - {".zcompdump"} == {"w.npz"}
    typist.type("lstm inspect w.npz --layer pl\t > shown; echo do''ne\n")
    typist.wait_for("done")
    assert Path(hostile.parent, "shown").read_text().count("config  ") == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_after_a_colon_completes_a_member(
    tmp_path: Path, start: Callable[[str, Path], Typist], shell: str
) -> None:
    np.savez(tmp_path / "w.npz", Kernel=np.ones((5, 8)), bias=np.ones(8))
    typist = start(shell, tmp_path)
    for word, whole in (
        ("w.npz:K", "w.npz:Kernel"), ("kernel=w.npz:K", "kernel=w.npz:Kernel"),
        ("w.npz:bi", "w.npz:bias"),
    ):  # fmt: skip
        typist.type(f"lstm run {word}\t\x01echo \x05 > shown; echo do''ne\n")
        typist.wait_for("done")
        assert Path(tmp_path, "shown").read_text().split() == ["lstm", "run", whole]


def test_fish_is_offered_safe_names_and_names_after_commas(
    hostile: Path, path_with_lstm: str
) -> None:
    if not (fish := shutil.which("fish")):
        pytest.skip("no fish here")

    def complete(line: str) -> list[str]:
        code = f"lstm completion fish | source; complete --do-complete '{line}'"
        done = subprocess.run(
            [fish, "--no-config", "-c", code], cwd=hostile.parent, text=True, capture_output=True,
            env={**os.environ, "PATH": path_with_lstm, "HOME": str(hostile.parent)}, check=True,
        )  # fmt: skip
        return [word.split("\t")[0] for word in done.stdout.splitlines()]

    assert sorted(complete("lstm run w.npz --layer ")) == sorted(HOSTILE.values())
    assert sorted(complete("lstm run w.npz --show h,")) == [f"h,{name}" for name in "cfgioz"]
    assert "w.npz" in complete("lstm run ")
    assert {"w.npz:plain/lstm/bias", "w.npz:größe/bias"} <= set(complete("lstm run w.npz:"))
    assert not any("enc$" in word for word in complete("lstm run w.npz:enc"))
    assert not (hostile.parent / "pwned").exists()
