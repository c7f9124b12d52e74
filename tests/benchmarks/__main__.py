"""``python -m tests.benchmarks``: the loop, a naive loop, PyTorch, onnxruntime, OpenVINO.

All contenders of a shape take turns within one round; what is printed are medians of rounds and
their ratios. A contender that is not installed is left out. The part ``processes`` times whole
processes, the part ``explain`` questions of the record, beside the seconds that they may take.
``--page FILE`` writes the figures of all but ``explain`` into docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.paths import TOP

SHAPES = [
    (100, 32, 128, 128), (100, 64, 256, 256), (20, 64, 1024, 1024), (300, 256, 16, 32),
    (28, 128, 28, 128), (200, 512, 8, 16), (100, 1024, 32, 64),
]  # fmt: skip
FEW = [
    (1000, 1, 4, 3), (1000, 1, 64, 64), (200, 1, 256, 256), (200, 1, 512, 512),
    (60, 1, 1024, 1024), (1000, 8, 64, 64), (200, 8, 256, 256),
]  # fmt: skip
SMALL = [(5, 33, 4, 3), (9, 1, 4, 3)]

PARTS = ("loop", "few", "growth", "processes", "explain")
PAGE = [  # the words for each block of figures of docs/performance.md
    ("--part", "loop", "--part", "few", "--part", "growth"),
    ("--part", "loop", "--threads", "2"),
    ("--part", "processes"),
]
BLOCK = re.compile("^```text\n.*?^```$", re.M | re.S)

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
BLAS = "OPENBLAS_NUM_THREADS"  # a number here would hold for our runs, which settle it themselves
SETTLED = "LSTM_BENCHMARK_THREADS"
KERNELS = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)  # with which OpenBLAS is not what users have


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__
    )
    parser.add_argument("--threads", type=int, default=1, help="of every contender")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--small", action="store_true", help="small shapes, to see that it runs"
    )
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write figures into it"
    )
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    if asked.page:
        return _write_page(asked)
    if os.environ.get(SETTLED) != str(asked.threads):
        # The libraries read these when they load, so they are set before any of them does.
        os.environ |= dict.fromkeys((*THREADS, SETTLED), str(asked.threads))
        for name in (BLAS, *KERNELS):
            os.environ.pop(name, None)
        if asked.threads == 1:
            os.environ[BLAS] = "1"
        os.execv(
            sys.executable, [sys.executable, "-m", "tests.benchmarks", *sys.argv[1:]]
        )
    from tests.benchmarks import tables
    from tests.benchmarks.explain import explain
    from tests.benchmarks.processes import processes

    parts = asked.part or PARTS
    rounds = 2 if asked.small else asked.rounds
    print(tables.machine(asked.threads))
    if "loop" in parts:
        print(
            tables.loop(
                SMALL if asked.small else SHAPES, asked.dtype, asked.threads, rounds
            )
        )
    if "few" in parts and not asked.small and asked.threads == 1:
        print(tables.loop(FEW, asked.dtype, 1, rounds))
    if "growth" in parts:
        print(tables.growth(asked.dtype, rounds, asked.small))
    if "processes" in parts:
        print(processes(rounds, asked.small), flush=True)
    if "explain" in parts:
        for line in explain(min(rounds, 3), asked.small):
            print(line, flush=True)
    return 0


def _write_page(asked: argparse.Namespace) -> int:
    """Run each part of the page as a process with its threads; its figures go into its block."""
    figures = []
    for words in PAGE:
        options = ["--rounds", str(asked.rounds), *["--small"] * asked.small]
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks", *words, *options],
            cwd=TOP, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        figures.append(f"```text\n{done.stdout.strip()}\n```")
    blocks = iter(figures)
    asked.page.write_text(BLOCK.sub(lambda _: next(blocks), asked.page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
