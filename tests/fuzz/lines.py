"""Random command lines: each ends in a result or one clear message, and leaves nothing half done.

    python -m tests.fuzz.lines --seed 1 --count 2000
    python -m tests.fuzz.lines --seed 1 --line 7     one of them, with all that it shows

Options come from click's own parameters, their values from what the shell completes, from what
the help says of them (`VALUES`), and from what no option should take (`BAD`). A line of a number
and a seed is the same everywhere, as long as the options are.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import click
import numpy as np

from lstmcli.cli.group import COMMANDS, lstm
from lstmcli.core.model.conventions import CONVENTIONS
from tests.core.explain import networks
from tests.core.explain.reference import random_net
from tests.faults import running
from tests.faults.cases import prepare
from tests.faults.running import Ended
from tests.fuzz.guard import Overdue, bounded, unprintable

LONGEST = 1500  # characters of a message
STATUSES = (0, 1, 2)
SIGNALLED = 128  # and above: somebody ends the fuzz, which no line does

WEIGHTS = ("weights.npz", "weights.json", "network.npz")
INPUTS = ("inputs.npy", "sample.npy", "other.npy", "inputs.npz:x", "-")
RESULTS = ("trace.npz", "trace.csv", "trace.jsonl", "trace.txt", "expected.npy", "numpy.txt")
BROKEN = ("missing.npz", "empty.npz", "cut.npz", "words.txt", "folder", "trace.npz:none", "a=b.npy")
NEW = ("new.npz", "new.npy", "new.json", "new.csv", "new.txt", "new.png", "new.svg", "new",
       "folder/new.npz", "missing/new.npz", "weights.npz")  # fmt: skip
FILES = (*WEIGHTS, *INPUTS, *RESULTS, "lengths.npy", "state.npz", *BROKEN)

LINES: dict[str, tuple[tuple[Sequence[str], ...], tuple[str, ...]]] = {
    "run": ((WEIGHTS, INPUTS), ()),
    "diff": ((RESULTS, RESULTS), ()),
    "explain": ((WEIGHTS, INPUTS, RESULTS), ()),
    "plot": ((WEIGHTS, INPUTS), ()),
    "derive": ((WEIGHTS, INPUTS), ("--steps", "--units")),
    "inspect": ((FILES,), ()),
    "check": ((WEIGHTS, INPUTS), ()),
    "convert": ((WEIGHTS, NEW), ("--to",)),
    "conventions": (([*CONVENTIONS],), ()),
    "help": (([*COMMANDS, "settings"],), ()),
    "completion": ((("bash", "zsh", "fish"),), ()),
    "init": ((), ("--inputs", "--units", "-o")),
}
"""For each command what its words stand for, and the options that it needs."""
RARE = ("conventions", "help", "completion", "init")

NUMBERS = ("0", "1", "2", "3")
VALUES: dict[str, Sequence[str]] = {
    "X": ("0", "1", "0.5", "-2.5", "1e-3"),
    "A:B": (":", "0:2", "1", "-1:", "2:1", "0:99"),
    "ORDER": ("ifgo", "igfo", "ijfo", "fog"),
    "NAME": (*CONVENTIONS, "layer0", "layer1_reverse", "tanh", "relu"),
    "NAME,...": ("h", "h,c", "final_h", "z", "i,f,g,o", "torch"),
    "NAME=VALUE": ("forget_bias=0", "layer1.gates=ifgo", "bias=none", "interleaved=true", "x=1"),
    "FILE": FILES,
    "DIR": ("new", "folder", "missing/new"),
    "--svg": ("new.svg", "folder/new.svg"),
    "--html": ("new.html", "missing/new.html"),
    "--output": NEW,
    "--save-state": ("new.npz", "new.json", "state.npz"),
    "--initial-state": ("state.npz", "trace.npz", "trace.csv"),
    "--lengths": ("lengths.npy", "5,3", "5", "1,5"),
    "--mask": ("none", "lengths.npy"),
    "--against": RESULTS,
    "--cell": ("layer0", "layer1_reverse"),
    "--max-bytes": ("10000000", "1000"),
}
"""By an option, or by what the help writes for a value; any other is an integer."""

BAD = ("", "-", "--", "nan", "inf", "-1", "1e999", "9" * 25, "9" * 500, "100000", "x" * 4000, "é",
       "a b", "none", "\x1b[31m", "\udcff", "h,", ":", "1:2:3", "{}", "[1, 2", "0x10", "1_000",
       "=", "a=", "true", "\n")  # fmt: skip
FEW = 0.06  # of values are bad, of files broken, of needed options left out
CHANGED = 0.2  # of lines

NOT_ASKED = ("scheduler",)  # waits for what is in the network


def line(seed: int, number: int) -> list[str]:
    """The words of this number after ``lstm``; the files have to be in the current folder."""
    rng = random.Random(f"{seed} {number}")
    name = rng.choice([name for name in LINES for _ in range(1 if name in RARE else 4)])
    places, needed = LINES[name]
    words = [name, *(_one(rng, place, BROKEN) for place in places)]
    options = _options(name)
    chosen = [option for option in needed if rng.random() > FEW]
    others = [option for option in options if option not in needed]
    chosen += rng.sample(others, min(rng.choice((0, 0, 1, 1, 2, 3, 5)), len(others)))
    for option in chosen:
        words.append(option)
        if values := options[option]:
            words.append(_one(rng, values, BAD))
    if rng.random() < CHANGED:
        _change(rng, words)
    return words


def _one(rng: random.Random, good: Sequence[str], bad: Sequence[str]) -> str:
    return rng.choice(bad if rng.random() < FEW else good)


def _change(rng: random.Random, words: list[str]) -> None:
    """Drop, repeat, exchange or misspell a word, or put in one of another line."""
    at, other = rng.randrange(len(words)), rng.randrange(len(words))
    word, further = words[at], rng.choice((*FILES, *BAD, *_options(rng.choice([*LINES]))))
    letter = rng.randrange(len(word) + 1)
    words[at : at + 1] = rng.choice(
        ([], [word, word], [words[other]], [word[:letter] + word[letter + 1 :]], [word, further])
    )


@cache
def _options(name: str) -> Mapping[str, Sequence[str]]:
    """The options of a command with what they may take; nothing, where one is a flag."""
    group = click.Context(lstm)
    command = lstm.get_command(group, name)
    assert command is not None
    context = click.Context(command, group, info_name=name)
    return {
        spelling: () if option.is_flag else _values(option, context)
        for option in command.params
        if isinstance(option, click.Option) and option.name not in NOT_ASKED
        for spelling in option.opts[:1]
    }


def _values(option: click.Option, context: click.Context) -> Sequence[str]:
    if own := [value for name in option.opts for value in VALUES.get(name, ())]:
        return own
    completed = [one.value for one in option.shell_complete(context, "") if one.type == "plain"]
    written = option.metavar or ""
    if written.startswith("["):
        return written.strip("[]").split("|")
    told = [value for part in written.split("|") for value in VALUES.get(part, NUMBERS)]
    return completed or told or NUMBERS


def wrong(words: Sequence[str], before: Mapping[str, bytes], ended: Ended) -> str:
    """What does not hold of how a line ended; nothing, if all is well."""
    if ended.status not in STATUSES:
        return f"status {ended.status}: {ended.err[-2000:]}"
    if "Traceback (most recent call last)" in ended.err:
        return f"a traceback: {ended.err[-2000:]}"
    if (length := len(ended.err.rstrip("\n"))) > LONGEST:
        return f"{length} characters on stderr: {ended.err[:200]}"
    if "always" not in words and (letter := unprintable(ended.err)):
        return f"a control character on stderr: {letter}"
    changed = {name for name, data in ended.files.items() if before.get(name) != data}
    lost = before.keys() - ended.files.keys()
    if ended.status == 2 and not ended.err.strip():
        return "status 2 without a message"
    if lost or (ended.status == 2 and changed):
        return f"{sorted(changed)} written and {sorted(lost)} gone: {ended.err}"
    if strange := [name for name in changed if ".part" in name or name.startswith("tmp")]:
        return f"{strange} left behind"
    if taken := [name for name in changed & before.keys() if not _is_named(name, words)]:
        return f"{taken} overwritten"
    return ""


def _is_named(name: str, words: Sequence[str]) -> bool:
    return any(name in (word, os.path.normpath(word)) for word in words)


class Lines:
    """A folder with files in which lines are run one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _prepare(folder)
        self.before = running.contents(folder)

    def run(self, words: Sequence[str], number: int) -> Ended:
        """How a line ends; its standard input is one of the files."""
        running.restore(self.folder, self.before)
        stdin, names = sys.stdin, (*WEIGHTS, "inputs.npy", *RESULTS)
        source = self.folder.parent / "stdin"
        source.write_bytes(self.before[names[number % len(names)]])
        with open(source) as sys.stdin:
            try:
                within = _within_bounds(10 if "--thorough" in words else 1)
                return running.run(shlex.join(words), self.folder, within)
            finally:
                sys.stdin = stdin


@contextmanager
def _within_bounds(times: int) -> Iterator[None]:
    try:
        with bounded(times):
            yield
    except Overdue as error:
        raise RuntimeError(str(error)) from error


def _prepare(folder: Path) -> None:
    """Write the files that lines name; all but the broken ones are read by some command."""
    prepare("", folder)
    rng = np.random.default_rng(0)
    cells = ("l0", "l0_reverse", "l1", "l1_reverse")
    nets = [random_net(rng, inputs, 3) for inputs in (4, 4, 6, 6)]
    networks.write(dict(zip(cells, nets, strict=True)), folder / "network.npz")
    np.savez(folder / "inputs.npz", x=np.load(folder / "inputs.npy"))
    np.save(folder / "a=b.npy", np.load(folder / "inputs.npy"))
    run = "run weights.npz inputs.npy -q -o trace."
    for words in ("convert weights.npz weights.json --to keras",
                  *(f"{run}{suffix}" for suffix in ("npz", "csv", "jsonl", "txt"))):  # fmt: skip
        assert running.run(words, folder).status == 0, words
    (folder / "empty.npz").touch()
    (folder / "cut.npz").write_bytes((folder / "weights.npz").read_bytes()[:200])
    (folder / "words.txt").write_text("no numbers\n")
    (folder / "folder").mkdir()


def main() -> int:
    """Parse the command line and run lines; status 1 says that something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.lines", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--line", type=int, help="this one alone, with what it shows")
    args = parser.parse_args()
    if args.line is not None:
        args.first, args.count = args.line, 1
    failed, statuses, start = 0, Counter[int | None](), time.monotonic()
    with running.workplace() as folder:
        lines = Lines(folder)
        for number in range(args.first, args.first + args.count):
            words = line(args.seed, number)
            ended = lines.run(words, number)
            if ended.status is not None and ended.status > SIGNALLED:
                return ended.status
            statuses[ended.status] += 1
            text = wrong(words, lines.before, ended)
            failed += bool(text)
            if args.line is not None:
                text = f"{text or 'nothing wrong'}\n{ended.out.decode(errors='replace')}{ended.err}"
            if text:
                told = f"{number}: lstm {shlex.join(words)[:400]}\n    {text}"
                print(told.encode("utf-8", "backslashreplace").decode(), flush=True)
    by_status = ", ".join(f"{count} of status {status}" for status, count in statuses.items())
    seconds = time.monotonic() - start
    print(f"lines: {failed} of {args.count} failed; {by_status}; {seconds:.1f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
