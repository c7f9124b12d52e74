"""Let the calls of a command fail, one after another; see the package."""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.faults import running
from tests.faults.cases import Case, cases, prepare
from tests.faults.injection import EVENTS, Calls, Fault
from tests.faults.running import OLD, Ended
from tests.fuzz.guard import unprintable

ENDLESS = 400  # calls of one event, after which a command is taken not to end


def main() -> int:
    """Parse the command line; status 1 says that something is wrong."""
    table = cases()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*table, []])
    parser.add_argument("--event", action="append", choices=[*EVENTS])
    args = parser.parse_args()
    failed = 0
    running.install_engines()
    with tempfile.TemporaryDirectory() as top:
        folder = Path(os.path.realpath(top), "files")
        folder.mkdir()
        os.chdir(folder)
        os.environ |= {"COLUMNS": "100"}
        calls = Calls(str(folder))
        for name in args.case or table:
            running.restore(folder, {})
            prepare(name, folder)
            running.set_pieces(name)
            found, count = [], 0
            for text in _findings(calls, table[name], folder, args.event or [*EVENTS]):
                if text:
                    found.append(text)
                count += 1
            for text in found[:5]:
                print(f"{name}: {text}")
            print(f"{name}: {len(found)} of {count} faults")
            failed += len(found)
    return int(failed > 0)


def _findings(calls: Calls, case: Case, folder: Path, events: list[str]) -> Iterator[str]:
    """What is wrong after each fault; nothing, where all is well."""
    given = running.contents(folder)
    for before in (given, given | dict.fromkeys(case.outputs, OLD)):
        if case.words.startswith("init --example") and before is not given:
            continue  # refuses to replace files
        running.restore(folder, before)
        good = running.run(case.words, folder)
        running.restore(folder, before)
        assert good.status in (0, 1), good
        assert _same(case, running.run(case.words, folder), good), "another result the next time"
        for event, lasting, stuck in itertools.product(events, (False, True), (False, True)):
            for number in range(1, ENDLESS):
                error = EVENTS[event][number % len(EVENTS[event])]
                fault = Fault(event, number, error, lasting, stuck)
                running.restore(folder, before)
                opened = running.descriptors()
                ended = running.run(case.words, folder, calls.failing(fault))
                if not calls.fired:
                    break
                gc.collect()
                wrong = _wrong(fault, calls.fired[0], case, before, good, ended)
                if running.descriptors() != opened:
                    wrong = f"{running.descriptors() - opened} files stay open"
                yield f"{fault} {calls.fired[0]}: {wrong}" if wrong else ""
            else:
                yield f"{event}: called more than {ENDLESS} times"


def _wrong(
    fault: Fault, path: str, case: Case, before: dict[str, bytes], good: Ended, ended: Ended
) -> str:
    """What does not hold after a fault."""
    if ended.status is None:
        return ended.err
    left = {name: data for name, data in ended.files.items() if before.get(name) != data}
    if ended.status != 2:
        return (
            ""
            if _same(case, ended, good)
            else f"it says nothing, and gives another result: {ended}"
        )
    for name in [*left]:
        if _same_screen(case, left[name], good.files.get(name)) or (
            fault.stuck and _is_temporary(name)
        ):
            del left[name]
    if left or before.keys() - ended.files.keys():
        return f"the folder holds {sorted(ended.files)}, changed {sorted(left)}: {ended.err}"
    names = [os.path.basename(path)] if path and ".part" not in path else [*case.outputs]
    names += ["standard output", *case.outputs]
    if not any(name in ended.err for name in names if name) or ".part" in ended.err:
        return f"the message names no file: {ended.err}"
    if "lstm " + case.words.split()[0] not in ended.err or unprintable(ended.err):
        return f"no message: {ended.err}"
    return ""


def _same(case: Case, one: Ended, other: Ended) -> bool:
    """Whether two runs ended alike; `lstm check` shows seconds, which differ."""
    return (
        one[::2] == other[::2]
        and _same_screen(case, one.out, other.out)
        and one.files.keys() == other.files.keys()
        and all(_same_screen(case, one.files[name], other.files[name]) for name in one.files)
    )


def _same_screen(case: Case, one: bytes, other: bytes | None) -> bool:
    if case.words.startswith("check") and other:
        return re.sub(rb"[\d. ]+", b"", one) == re.sub(rb"[\d. ]+", b"", other)
    return one == other


def _is_temporary(name: str) -> bool:
    """Whether a file is one that a killed process leaves."""
    return name.endswith(".part") or name.startswith("tmp")


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
