"""Read the variants of a format, or one of them; see the package."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import IO

from tests.fuzz import corpus
from tests.fuzz.guard import Audit
from tests.fuzz.session import Session


def main() -> int:
    """Parse the command line and read; status 1 says that something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("format", nargs="*", choices=[*corpus.TABLE, []], help="all, if none")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--variant", type=int, help="this one alone; its files are left in FOLDER")
    parser.add_argument("--folder", default="variant", help="for the files of --variant")
    parser.add_argument("--new-process", action="store_true", help="for each HDF5 file, as lstm")
    parser.add_argument("--report", action="store_true", help="JSON lines, for a test")
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    if args.variant is not None:
        if len(args.format) != 1:
            parser.error("a variant is of one format")
        args.first, args.count = args.variant, 1
        _write(args.folder, corpus.variant(args.format[0], args.seed, args.variant))
    audit = Audit()
    return max([_read(audit, format, args, out) for format in args.format or corpus.TABLE])


def _read(audit: Audit, format: str, args: argparse.Namespace, out: IO[str]) -> int:
    """Read variants of a format; whether one of them failed."""
    failed, start = 0, time.monotonic()
    with Session(audit, format, args.seed, forks=not args.new_process) as session:
        for number in range(args.first, args.first + args.count):
            if args.report:
                print(json.dumps({"variant": number}), file=out)
            texts = list(session.failures(number))
            failed += bool(texts)
            for text in texts:
                told = {"failed": f"{format} {number}: {text}"}
                line = json.dumps(told) if args.report else told["failed"]
                print(line.encode("utf-8", "backslashreplace").decode(), file=out)
    if not args.report:
        seconds = time.monotonic() - start
        print(f"{format}: {failed} of {args.count} failed, {seconds:.1f} s", file=out)
    return int(failed > 0)


def _write(folder: str, variant: corpus.Variant) -> None:
    for name, data in variant.files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


if __name__ == "__main__":
    sys.exit(main())
