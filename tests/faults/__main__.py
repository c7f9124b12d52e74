"""Let the calls of a command fail, one after another; see the package."""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tests.faults import memory, running
from tests.faults.cases import Case, cases, prepare
from tests.faults.injection import CHANGES, EVENTS, REPLACING, Calls, Fault
from tests.faults.running import OLD, Ended
from tests.fuzz.guard import unprintable

ENDLESS = 400  # calls of one event, after which a command is taken not to end


def main() -> int:
    """Parse the command line; status 1 says that something is wrong."""
    table = cases()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*table, []])
    parser.add_argument("--event", action="append", choices=[*EVENTS, "memory"])
    args = parser.parse_args()
    failed = 0
    with running.workplace() as folder:
        calls = Calls(str(folder))
        for name in args.case or table:
            running.restore(folder, {})
            prepare(name, folder)
            running.set_pieces(name)
            if args.event == ["memory"]:
                findings = memory.findings(table[name], folder)
            else:
                findings = _findings(
                    calls, table[name], folder, args.event or [*EVENTS]
                )
            texts = [*findings]
            found = [text for text in texts if text]
            for text in found[:5]:
                print(f"{name}: {text}")
            print(f"{name}: {len(found)} of {len(texts)} faults")
            failed += len(found)
    return int(failed > 0)


def _kinds(event: str) -> list[Fault]:
    """The faults of an event, without the number of the call."""
    if event == "read":
        return [Fault(event, 0, change=change) for change in CHANGES]
    ways = product((False, True), (False, True))
    return [Fault(event, 0, lasting=lasting, stuck=stuck) for lasting, stuck in ways]


def _findings(
    calls: Calls, case: Case, folder: Path, events: list[str]
) -> Iterator[str]:
    """The broken promises after each fault; empty if there are none."""
    given = running.contents(folder)
    for before in (given, given | dict.fromkeys(case.outputs, OLD)):
        if case.words.startswith("init --example") and before is not given:
            continue  # refuses to replace files
        running.restore(folder, before)
        good = running.run(case.words, folder)
        running.restore(folder, before)
        assert good.status in (0, 1), good
        assert _same(case, running.run(case.words, folder), good), (
            "another result the next time"
        )
        for kind in (kind for event in events for kind in _kinds(event)):
            for number in range(1, ENDLESS):
                errors = EVENTS[kind.event].errors or (0,)
                fault = kind._replace(number=number, error=errors[number % len(errors)])
                running.restore(folder, before)
                opened = running.descriptors()
                ended = running.run(case.words, folder, calls.failing(fault))
                if not calls.fired:
                    break
                gc.collect()
                judge = _wrong if fault.change is None else _wrong_of_change
                wrong = judge(fault, calls.fired[0], case, before, good, ended)
                if running.descriptors() != opened:
                    wrong = f"{running.descriptors() - opened} files stay open"
                yield f"{fault} {calls.fired[0]}: {wrong}" if wrong else ""
            else:
                yield f"{kind.event}: called more than {ENDLESS} times"


def _wrong(
    fault: Fault,
    path: str,
    case: Case,
    before: dict[str, bytes],
    good: Ended,
    ended: Ended,
) -> str:
    """The broken promises after one fault."""
    if ended.status is None:
        return ended.err
    left = {
        name: data for name, data in ended.files.items() if before.get(name) != data
    }
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
    names = (
        [os.path.basename(path)] if path and ".part" not in path else [*case.outputs]
    )
    names += ["standard output", *case.outputs]
    names += (
        [] if path else map(os.path.basename, before)
    )  # a pipe: the file that is read by it
    if not any(name in ended.err for name in names if name) or ".part" in ended.err:
        return f"the message names no file: {ended.err}"
    if "lstm " + case.words.split()[0] not in ended.err or unprintable(ended.err):
        return f"no message: {ended.err}"
    return ""


def _wrong_of_change(
    fault: Fault,
    path: str,
    case: Case,
    before: dict[str, bytes],
    good: Ended,
    ended: Ended,
) -> str:
    """The broken promises after a source changed; metadata next to weights may be left out."""

    sources = before.keys() - {*case.outputs}

    def without_sources(ended: Ended) -> Ended:
        files = {
            name: data
            for name, data in ended.files.items()
            if name.removesuffix(REPLACING) not in sources
        }
        return ended._replace(files=files)

    ended, good = without_sources(ended), without_sources(good)
    if _same(case, ended, good) and ended.err == good.err:
        return ""
    if ended.status != 2 and not (
        ended.status == good.status and "was not used" in ended.err
    ):
        return f"no message, and another result: {ended}"
    if not any(os.path.basename(name) in ended.err for name in sources) or unprintable(
        ended.err
    ):
        return f"the message names no file: {ended.err}"
    return ""


def _same(case: Case, one: Ended, other: Ended) -> bool:
    """Return whether two runs ended alike; `lstm check` shows seconds, which differ."""
    return (
        one[::2] == other[::2]
        and _same_screen(case, one.out, other.out)
        and one.files.keys() == other.files.keys()
        and all(
            _same_screen(case, one.files[name], other.files[name]) for name in one.files
        )
    )


def _same_screen(case: Case, one: bytes, other: bytes | None) -> bool:
    if case.words.startswith("check") and other:
        return re.sub(rb"[\d. ]+", b"", one) == re.sub(rb"[\d. ]+", b"", other)
    return one == other


def _is_temporary(name: str) -> bool:
    """Return whether a file is one that a killed process leaves."""
    return name.endswith(".part") or name.startswith("tmp")


if __name__ == "__main__":
    sys.exit(main())
