"""Read the variants of a format, or one of them; see the package."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from pathlib import Path

from tests.fuzz import corpus, guard
from tests.fuzz.session import Session

SILENT = 12 * guard.SECONDS  # of one variant, after which the process ends


def main() -> int:
    """Parse the command line and read; status 1 says that something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("format", nargs="*", choices=[*corpus.TABLE, []], help="all, if none")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--variant", type=int, help="this one alone; its files are left in FOLDER")
    parser.add_argument("--folder", default="variant", help="for the files of --variant")
    parser.add_argument("--new-process", action="store_true", help="for each HDF5 file, as lstm")
    args = parser.parse_args()
    numbers = range(args.count)
    if args.variant is not None:
        numbers = range(args.variant, args.variant + 1)
        for format in args.format:
            _write(Path(args.folder), corpus.variant(format, args.seed, args.variant))
    faulthandler.enable()
    audit = guard.Audit()
    return max([_read(audit, one, args, numbers) for one in args.format or corpus.TABLE])


def _read(audit: guard.Audit, format: str, args: argparse.Namespace, numbers: range) -> int:
    """Read variants of a format; whether one of them failed."""
    failed, start = 0, time.monotonic()
    with Session(audit, format, args.seed, keep=not args.new_process) as session:
        for number in numbers:
            print(f"\r{format} {number} ", end="", file=sys.stderr, flush=True)  # where it crashes
            faulthandler.dump_traceback_later(SILENT, exit=True)
            texts = list(session.failures(number))
            failed += bool(texts)
            for text in texts:
                line = f"{format} --seed {args.seed} --variant {number}: {text}"
                print(line.encode("utf-8", "backslashreplace").decode(), flush=True)
    faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - start
    print(f"{format}: {failed} of {len(numbers)} failed, {seconds:.1f} s", flush=True)
    return int(failed > 0)


def _write(folder: Path, variant: corpus.Variant) -> None:
    for name, data in variant.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
