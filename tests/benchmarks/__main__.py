"""``python -m tests.benchmarks``: the loop beside a naive one, PyTorch, onnxruntime and limits.

All contenders of a shape take turns within one round; what is printed are medians of rounds and
their ratios. A contender that is not installed is left out. The part ``explain`` times questions to
`lstm explain` instead, beside the seconds that they may take.
"""

from __future__ import annotations

import argparse
import os
import sys

SHAPES = [
    (100, 32, 128, 128), (100, 64, 256, 256), (20, 64, 1024, 1024), (300, 256, 16, 32),
    (28, 128, 28, 128), (200, 512, 8, 16), (100, 1024, 32, 64),
]  # fmt: skip
LONE = [(1000, 1, 4, 3), (1000, 1, 64, 64), (200, 1, 512, 512)]
SMALL = [(5, 33, 4, 3), (9, 1, 4, 3)]

PARTS = ("loop", "growth", "start", "explain")

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
BLAS = (
    "OPENBLAS_NUM_THREADS"  # a number here would hold for our runs too, which settle it themselves
)
SETTLED = "LSTM_BENCHMARK_THREADS"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of every contender")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="small shapes, to see that it runs")
    parser.add_argument("--part", choices=PARTS, action="append")
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    if os.environ.get(SETTLED) != str(asked.threads):
        # The libraries read these when they load, so they are set before any of them does.
        os.environ |= dict.fromkeys((*THREADS, SETTLED), str(asked.threads))
        os.environ.pop(BLAS, None)
        if asked.threads == 1:
            os.environ[BLAS] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.benchmarks", *sys.argv[1:]])
    from tests.benchmarks import tables
    from tests.benchmarks.explain import explain

    parts = asked.part or PARTS
    rounds = 2 if asked.small else asked.rounds
    print(tables.machine(asked.threads))
    if "loop" in parts:
        print(tables.loop(SMALL if asked.small else SHAPES, asked.dtype, asked.threads, rounds))
        if not asked.small and asked.threads == 1:
            print(tables.loop(LONE, asked.dtype, 1, rounds))
    if "growth" in parts:
        print(tables.growth(asked.dtype, rounds, asked.small))
    if "start" in parts:
        print(tables.start(rounds))
    if "explain" in parts:
        for line in explain(min(rounds, 3), asked.small):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
