"""``lstm check --program``: a user's program compared with lstm run, and programs that fail.

What is right is recorded: samples/c-port was made by Keras, and c.txt by the port in C.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import lstmcli
from lstmcli.engines import program as engine
from tests.cli.conftest import ENDINGS, Done, Lstm, start, wait_until
from tests.paths import TOP
from tests.processes import HANGING

SAMPLE = TOP / "samples" / "c-port"
FILES = (SAMPLE / "keras.npz", SAMPLE / "inputs.npy")


NOT_CAUGHT = "KILL STOP"
NOT_ENDING = "CHLD CONT TSTP TTIN TTOU URG WINCH"
FAULTS = "SEGV BUS FPE ILL"
IGNORED = "PIPE XFSZ"  # by Python
OTHERS = {
    getattr(signal, f"SIG{name}", None)
    for name in f"{NOT_CAUGHT} {NOT_ENDING} {FAULTS} {IGNORED}".split()
}
OTHER_ENDINGS = [
    pytest.param(number, marks=pytest.mark.slow)
    for number in sorted(signal.valid_signals() - {*ENDINGS, *OTHERS})
    if number <= getattr(signal, "SIGRTMIN", number)  # of real-time signals, one
]


@pytest.fixture(autouse=True)
def folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Where the files of programs are: nothing may be left there."""
    folder = tmp_path_factory.mktemp("of_programs")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def script(lines: str) -> str:
    """A program in Python, with the outputs of Keras as y."""
    head = "import os, signal, sys\nimport numpy as np\n"
    head += f"y = np.load({str(SAMPLE / 'keras.npy')!r})\n"
    Path("my port.py").write_text(head + lines)
    return f"{sys.executable} 'my port.py'"


def check(lstm: Lstm, lines: str, places: str, *words: str) -> Done:
    return lstm("check", *FILES, "--program", f"{script(lines)} {places}", *words)


READ = {
    "{inputs}": "x = np.load(sys.argv[1])[0]",
    "--in={inputs.csv}": "x = np.loadtxt(sys.argv[1][5:], delimiter=',')",
    "{inputs.f32}": "x = np.fromfile(sys.argv[1], '<f4').reshape(-1, 3)",
    "": "x = np.loadtxt(sys.stdin, delimiter=',')",
}
WRITE = {
    "{outputs}": "np.save(sys.argv[-1], y)",
    "{outputs.f32}": "y.tofile(sys.argv[-1])",
    "{outputs.csv}": "np.savetxt(sys.argv[-1], y[0], delimiter=',')",
    "": "np.set_printoptions(precision=9); print(y)",
}


SUFFIXES = dict(zip(WRITE, (".npy", ".npy", ".csv", ".txt"), strict=True))


@pytest.mark.parametrize("write", WRITE)
@pytest.mark.parametrize("read", READ)
@pytest.mark.sampled(5)  # each form once
def test_inputs_and_outputs_in_every_form(
    lstm: Lstm, read: str, write: str, folder: Path
) -> None:
    given = (
        f"assert np.allclose(x, np.load({str(SAMPLE / 'inputs.npy')!r})[0], 1e-7, 0)"
    )
    for wrong in ("", "y[0, 3, 1] += 1\n"):
        lines = f"{READ[read]}\n{given}\n{wrong}{WRITE[write]}"
        done = check(lstm, lines, f"{read} {write}", "-f", "json")
        assert done.status == bool(wrong), done.err
        found = json.loads(done.out)
        assert found["difference"]["arrays"]["h"]["mismatched"] == bool(wrong)
    kept = Path("lstm-check", f"program-outputs{SUFFIXES[write]}")
    assert found["next"] == f"lstm explain {FILES[0]} {FILES[1]} {kept}"
    assert done.err.endswith(f"wrote {kept}\n")
    assert [*kept.parent.iterdir()] == [kept]
    largest = lstmcli.diff(kept, SAMPLE / "keras.npy").arrays["h"].max_abs
    assert largest == pytest.approx(1, rel=1e-6)
    assert not [*folder.iterdir()]


def test_the_command_that_is_next_can_be_typed(lstm: Lstm) -> None:
    """Inputs that are drawn, or come on standard input, are written too."""
    run = f"""
from lstmcli import run
h = run({str(FILES[0])!r}, np.load(sys.argv[1]).reshape(1, -1, 3) * 0.5, layout='batch').h
print(repr(h.round(3)))
"""
    program = f"{script(run)} {{inputs}}"
    for stdin in (b"", FILES[1].read_bytes()):
        words = ("-",) if stdin else ("--seed", "3")
        done = lstm(
            "check", FILES[0], *words, "--program", program, "--save", "k", stdin=stdin
        )
        assert done.status == 1, done.err
        assert done.err.endswith("wrote k/program-outputs.txt, k/program-inputs.npy\n")
        assert "OUTPUTS" not in done.out
        next = re.findall(r"lstm explain .*", done.out)[-1]
        found = lstm(*shlex.split(next)[1:])
        assert found.status == 0
        assert "inputs times 0.5" in found.out
        Path("k/program-inputs.npy").unlink()


def test_a_folder_that_cannot_be_written_does_not_hide_the_answer(lstm: Lstm) -> None:
    Path("lstm-check").touch()
    done = check(lstm, "print(y + 1)", "")
    assert done.status == 1
    assert "lstm explain" in done.out
    assert "OUTPUTS is a file of what the program gives" in done.out
    assert "note: lstm-check cannot be written: file exists. --save DIR" in done.err


@pytest.mark.parametrize(
    ("lines", "places", "text"),
    [
        ("sys.exit('no model')", "", "ended with status 1: no model"),
        ("print('1 2 nan')", "", "is not finite in 1 of 3 numbers"),
        ("print('y' * 10)", "", "its standard output"),
        ("pass", "", "its standard output is empty"),
        ("pass", "{outputs.csv}", "ended well, and wrote no {outputs.csv}"),
        ("open(sys.argv[1], 'wb').write(y.tobytes()[:50])", "{outputs.f32}", "has 50 bytes"),
        ("np.save(sys.argv[1], y); os.truncate(sys.argv[1], 140)", "{outputs}", "outputs.npy"),
        ("os.symlink('/dev/full', sys.argv[1])", "{outputs}", "is not a regular file"),
        ("os.symlink('a' * 300, sys.argv[1])", "{outputs}", "is not a regular file"),
        ("os.symlink('/proc/self/mem', sys.argv[1])", "{outputs}", "cannot be read"),
        ("os.mkfifo(sys.argv[1])", "{outputs}", "is not a regular file"),
        ("signal.pause()", "--timeout", "was stopped after 0.5 s (--timeout)"),
        ("os.kill(os.getpid(), 9)", "", "was ended by signal 9 (Killed)"),
        ("while True: print('y' * 4096)", "", "was stopped: it wrote more than 100,000 bytes"),
        ("", "{inputs.txt}", "inputs are written as .npy, .csv, .f32, not as .txt"),
        ("", "{outputs} {outputs.csv}", "{outputs} has two suffixes, .npy and .csv"),
        ("", "'", "No closing quotation"),
    ],
)  # fmt: skip
def test_a_program_that_fails_is_one_line(
    lstm: Lstm,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    lines: str,
    places: str,
    text: str,
) -> None:
    monkeypatch.setattr(engine, "MOST_OUTPUT", 100_000)
    words = ("--timeout", "0.5") if places == "--timeout" else ()
    done = check(lstm, lines, "" if words else places, *words)
    assert (done.status, done.out) == (2, "")
    assert text in done.err
    assert done.err.count("\n") == 1
    assert not [*folder.iterdir()]


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1"])
def test_a_timeout_is_a_finite_number_above_0(lstm: Lstm, seconds: str) -> None:
    done = lstm("check", *FILES, "--program", "sleep 60", "--timeout", seconds)
    assert done.status == 2
    assert "takes a finite number above 0" in done.err


DETACHED = """
import subprocess, time
child = '''
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
open("pid.part", "w").write(str(os.getpid()))
os.rename("pid.part", "pid")
time.sleep(60)
'''
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
while not os.path.exists("pid"):
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found on Linux")
@pytest.mark.parametrize("end", ["print(y)", "sys.exit(1)", "while True: print(y)"])
def test_nothing_that_descends_from_a_program_outlives_it(
    lstm: Lstm, folder: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(engine, "MOST_OUTPUT", 100_000)
    ours = subprocess.Popen(["sleep", "60"], start_new_session=True)
    done = check(lstm, DETACHED + end, "")
    assert Path("pid").exists(), done
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)
    assert ours.poll() is None  # it was there before
    ours.kill()
    ours.wait()
    assert not [*folder.iterdir()]


@pytest.mark.slow
def test_a_deep_folder_next_to_the_outputs_is_removed(lstm: Lstm, folder: Path) -> None:
    lines = """
os.chdir(os.path.dirname(sys.argv[1]))
for _ in range(1200):
    os.mkdir("a folder")
    os.chdir("a folder")
print(y)
"""
    assert check(lstm, lines, "{inputs}").status == 0
    assert not [*folder.iterdir()]


@pytest.mark.parametrize("name", ["a blank", "$(touch run)", "a'b", 'a"b'])
def test_the_text_of_a_shell_gets_a_path_without_quotes(
    lstm: Lstm, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / name))
    program = script(READ["{inputs}"] + "\nprint(y)")
    for quoted in ("{inputs.npy}", '"{inputs.npy}"'):
        text = (
            f"cat {quoted} > copy.npy && {program.replace(chr(39), chr(34))} copy.npy"
        )
        done = lstm("check", *FILES, "--program", f"sh -c '{text}'")
        assert done.status == 0, done.err
    assert not Path("run").exists()
    assert check(lstm, READ["{inputs}"] + "\nprint(y)", "{inputs}").status == 0
    monkeypatch.setattr(engine, "PLAIN_FOLDERS", ())
    refused = lstm("check", *FILES, "--program", f"sh -c '{text}'")
    assert refused.status == 2
    assert "TMPDIR names another" in refused.err


@pytest.mark.parametrize("refused", ["mkdir", "open"])
def test_a_temporary_folder_that_is_full_is_named(
    lstm: Lstm, folder: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if refused == "mkdir":
        monkeypatch.setattr(os, "mkdir", full)
    else:
        monkeypatch.setattr(np, "save", full)
    done = lstm("check", *FILES, "--program", "true {inputs}")
    assert done.status == 2
    text = f"the temporary folder {folder} cannot be used: no space left on device."
    assert text in done.err


def test_a_program_that_is_not_there(lstm: Lstm) -> None:
    done = lstm("check", *FILES, "--program", "./no_port {inputs}")
    text = "./no_port cannot be started: no such file or directory.\n"
    assert done.err == f"lstm check: error: {text}"
    assert lstm("check", *FILES, "--program", "").status == 2
    assert lstm("check", *FILES, "--program", "true", "--engine", "torch").status == 2
    assert lstm("check", *FILES, "--timeout", "3").status == 2


def test_one_sequence_where_no_batch_can_be_written(lstm: Lstm) -> None:
    inputs = TOP / "samples" / "onnx-port" / "inputs.npy"
    weights = TOP / "samples" / "onnx-port" / "model.pt"
    done = lstm("check", weights, inputs, "--program", "true {inputs.csv}")
    assert done.status == 2
    assert "takes one sequence, and the inputs are" in done.err


@pytest.mark.parametrize("number", [*ENDINGS, *OTHER_ENDINGS])
def test_a_signal_ends_the_program_and_leaves_nothing(
    lstm: Lstm, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lines = "open('started', 'w').write(str(os.getpid()))\nsignal.pause()"
    monkeypatch.setenv("TMPDIR", str(folder))
    process = start("check", *FILES, "--program", script(lines))
    started = Path("started")
    wait_until(lambda: started.exists() and started.read_text() != "", process)
    process.send_signal(number)
    assert process.communicate(timeout=HANGING)[1] == b""
    assert process.returncode == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert not [*folder.iterdir()]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_port_in_c_is_found_wrong(lstm: Lstm) -> None:
    sources = [str(SAMPLE / "lstm.c"), "-lm"]
    subprocess.run(["cc", "-o", "lstm_c", *sources], check=True)
    printed = subprocess.run(
        ["./lstm_c"], check=True, capture_output=True, text=True
    ).stdout
    assert printed == (SAMPLE / "c.txt").read_text()
    done = lstm("check", *FILES, "--program", "./lstm_c {inputs.f32}")
    assert done.status == 1
    assert "first at step 1, unit 0" in done.out
    Path("c.txt").write_text(printed)
    done = lstm("explain", *FILES, "c.txt", "-f", "json")
    assert [change["setting"] for change in json.loads(done.out)["changes"]] == [
        "transposed"
    ]
