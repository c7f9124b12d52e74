"""Variants that the coverage of the readers leads to, by Atheris (libFuzzer).

    python -m tests.fuzz.guided                    every format, half an hour each
    python -m tests.fuzz.guided npz gguf --minutes 5
    python -m tests.fuzz.guided npz --again FILE   one input once more
    python -m tests.fuzz.guided --inputs 1000 --seed 1   nearly the same each time, as in CI

An input is two bytes, which choose a sample of the format and one of its files, and the bytes that
the file is to hold; what has to hold is in `session`. The first inputs are the samples as they are;
what reaches code that nothing reached before is kept in `corpus`, as far as it is small, and read
first the next time. An input that fails is kept in the folder of --found.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.paths import TESTS, TOP

if TYPE_CHECKING:
    from tests.fuzz.corpus import Row, Sample, Variant

CORPUS = TESTS / "fuzz/corpus"
FOUND = "found"
CHOICE = 2  # bytes ahead of an input
MOST_BYTES = 1 << 18  # of an input
OURS = 0.5  # of the changes that know the format; the others are libFuzzer's
MOST_SECONDS = 600  # beyond those asked for, after which a format hangs
KEPT = 64 << 10  # bytes of the corpus of a format: at most 2 MB for all of them
LIBFUZZER = (
    f"-max_len={MOST_BYTES}",
    "-timeout=3600",  # with 0 its alarm ends a run; the session has bounds of its own
    "-rss_limit_mb=0",
    "-malloc_limit_mb=0",
    "-len_control=0",
    "-verbosity=0",
    "-print_final_stats=1",
)


def variant_of(samples: list[Sample], data: bytes) -> Variant:
    """The files that an input stands for."""
    from tests.fuzz.corpus import Variant

    sample, name = _chosen(samples, data)
    return Variant(sample, sample.files | {name: data[CHOICE:]})


def _chosen(samples: list[Sample], data: bytes) -> tuple[Sample, str]:
    first, second = data[:CHOICE].ljust(CHOICE, b"\0")
    sample = samples[first % len(samples)]
    return sample, sample.damaged[second % len(sample.damaged)]


def changed(row: Row, samples: list[Sample], data: bytes, seed: int) -> bytes:
    """An input after a change within its format: checksums and lengths hold again."""
    _, name = _chosen(samples, data)
    return data[:CHOICE] + row.mutator(name)(random.Random(seed), data[CHOICE:])


def seeds(samples: list[Sample], folder: Path) -> None:
    """Write every file of the samples as an input."""
    folder.mkdir(parents=True, exist_ok=True)
    for first, sample in enumerate(samples[:256]):
        for second, name in enumerate(sample.damaged[:256]):
            if len(sample.files[name]) <= MOST_BYTES - CHOICE:
                data = bytes((first, second)) + sample.files[name]
                (folder / f"{first:03}-{second:03}").write_bytes(data)


def fuzz(format: str, options: list[str]) -> None:
    """Read inputs until libFuzzer's options end it; it ends the process, by 77 after a failure."""
    import atheris

    with atheris.instrument_imports(include=["lstmcli"]):
        from tests.fuzz import corpus
        from tests.fuzz.guard import Audit
        from tests.fuzz.session import Session

    row, samples = corpus.TABLE[format], corpus.samples_of(format)
    session = Session(Audit(), format)
    state = {"number": 0}
    top = os.getcwd()  # the session goes into its folder

    def once(data: bytes) -> None:
        state["number"] += 1
        failures = list(session.failures(variant_of(samples, data), state["number"]))
        os.chdir(top)
        if failures:
            raise AssertionError("\n".join(failures))

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if random.Random(seed).random() < OURS:
            try:
                return changed(row, samples, data, seed)[:most]
            except Exception:  # the input is too damaged for a change within its format
                pass
        variant: bytes = atheris.Mutate(data, most)
        return variant

    atheris.Setup([sys.argv[0], *options], once, custom_mutator=mutate)
    atheris.Fuzz()


def pruned(folder: Path) -> None:
    """Remove the largest inputs of a corpus beyond `KEPT`."""
    total = 0
    for path in sorted(
        folder.iterdir(), key=lambda path: (path.stat().st_size, path.name)
    ):
        total += path.stat().st_size
        if total > KEPT:
            path.unlink()


def run(format: str, seconds: float, bounds: list[str], again: str, found: Path) -> int:
    """Fuzz one format in a process of its own, within libFuzzer's ``bounds``; its status."""
    from tests.fuzz.corpus import samples_of

    # -B: a module that is imported late is compiled, and no file may be written
    command = [
        sys.executable,
        "-B",
        "-m",
        "tests.fuzz.guided",
        format,
        "--child",
        "--",
        *LIBFUZZER,
    ]
    found.mkdir(exist_ok=True)
    command += [f"-artifact_prefix={found.resolve()}/{format}-"]
    if again:
        command += [str(Path(again).resolve())]
    else:
        first = CORPUS.parent / "seeds" / format
        seeds(samples_of(format), first)
        (CORPUS / format).mkdir(parents=True, exist_ok=True)
        command += [*bounds, str(CORPUS / format), str(first)]
    done = subprocess.run(
        command,
        cwd=TOP,
        env=os.environ
        | {"PYTHONHASHSEED": "0"},  # a set in another order leads elsewhere
        stderr=subprocess.PIPE,
        check=False,
        timeout=seconds + MOST_SECONDS,
    )
    words = done.stderr.decode(errors="replace")
    units = re.search(r"number_of_executed_units: (\d+)", words)
    print(
        f"{format}: {units[1] if units else 'no'} inputs, status {done.returncode}",
        flush=True,
    )
    if done.returncode:
        print(words[-4000:], flush=True)
    if not again:
        pruned(CORPUS / format)
    return done.returncode or int(units is None and not again)


def main() -> int:
    """Parse the command line and fuzz each format in turn; status 1 says that one failed."""
    from tests.fuzz.corpus import TABLE

    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.guided", description=__doc__
    )
    parser.add_argument(
        "format", nargs="*", choices=[*TABLE, []], help="all, if none is given"
    )
    parser.add_argument("--minutes", type=float, default=30, help="for each format")
    parser.add_argument(
        "--inputs", type=int, default=0, help="for each format, in place of a time"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the changes; 0: another each time"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="formats at a time"
    )
    parser.add_argument(
        "--again", default="", metavar="FILE", help="read this input alone"
    )
    parser.add_argument(
        "--found", default=FOUND, metavar="FOLDER", help="for inputs that fail"
    )
    args = parser.parse_args()
    formats = args.format or [*TABLE]
    seconds = max(1, round(60 * args.minutes))
    bounds = [f"-runs={args.inputs}" if args.inputs else f"-max_total_time={seconds}"]
    bounds += [f"-seed={args.seed}"]

    def one(format: str) -> int:
        return run(format, seconds, bounds, args.again, Path(args.found))

    with ThreadPoolExecutor(args.jobs) as executor:
        statuses = dict(zip(formats, executor.map(one, formats), strict=True))
    failed = [format for format, status in statuses.items() if status]
    print(f"{len(statuses) - len(failed)} passed, {len(failed)} failed", *failed)
    return int(bool(failed))


if __name__ == "__main__":
    if "--child" in sys.argv:
        fuzz(sys.argv[1], sys.argv[sys.argv.index("--") + 1 :])
    else:
        sys.exit(main())
