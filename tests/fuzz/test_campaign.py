"""The fuzz lets nothing pass that it should not, and repeats itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import campaign, corpus
from tests.fuzz.guard import unprintable

FOUND = {  # what is found of a reader in `misbehaving`
    "opens_another_file": "opened or done: open '",
    "writes_a_file": "opened or done: open '",
    "lists_a_folder": "opened or done: os.listdir '/'",
    "starts_a_process": "opened or done: subprocess.Popen",
    "runs_code": "opened or done: exec",
    "asks_the_network": "opened or done: socket.getaddrinfo",
    "allocates": "more memory than a file may take",
    "allocates_and_says_something_else": "more memory than a file may take",
    "never_ends": "Overdue",
    "raises": "ValueError: for nobody",
    "warns": "RuntimeWarning: overflow",
    "writes_a_control_character": "a control character on the screen",
}

WORKER = """
import json, os, signal, sys, time
first = int(sys.argv[sys.argv.index("--first") + 1])
for number in range(first, 10):
    print(json.dumps({"variant": number}), flush=True)
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 5:
        time.sleep(60)
    if number == 7:
        print(json.dumps({"failed": "seven"}), flush=True)
"""


@pytest.mark.slow
def test_every_misbehaviour_of_a_reader_is_found() -> None:
    command = [sys.executable, "-m", "tests.fuzz.misbehaving"]
    done = subprocess.run(
        command, cwd=campaign.REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert found.pop("is_well_behaved") == ""
    assert {name: text in found[name] for name, text in FOUND.items()} == dict.fromkeys(FOUND, True)
    assert found.keys() == FOUND.keys()


@pytest.mark.slow
def test_a_crash_and_a_hang_name_their_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    monkeypatch.setattr(campaign, "WORKER", [sys.executable, str(script)])
    monkeypatch.setattr(campaign, "SILENT", 2)
    crash, hang, other = campaign.failures("npy", 1, 0, 10)
    assert "status -11" in crash
    assert "--seed 1 --variant 3" in crash
    assert "hangs" in hang
    assert "--variant 5" in hang
    assert other == "seven\n  python -m tests.fuzz npy --seed 1 --variant 7"


@pytest.mark.parametrize("format", corpus.TABLE)
@pytest.mark.sampled(4)
def test_variants_repeat_and_differ(format: str) -> None:
    variants = [corpus.variant(format, 1, number) for number in range(8)]
    assert variants == [corpus.variant(format, 1, number) for number in range(8)]
    changed = [one for one in variants if one.files != one.sample.files]
    assert len(changed) >= 6
    assert len({tuple(one.files.values()) for one in variants}) >= 6


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a\tb", "\r", "\x7f", "\x9b", "\u202e", "\u2028", "\u200b"]
)
def test_what_no_terminal_may_get_is_found(text: str) -> None:
    assert unprintable(f"before {text}after")


def test_letters_and_lines_are_no_control_characters() -> None:
    assert not unprintable("kernel · 1.5e-3\n\u2502 \u4e2d\u6587 \u00e9\n")
