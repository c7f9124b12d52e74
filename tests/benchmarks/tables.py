"""Timings in turns, and the tables they are printed in."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import geometric_mean, median
from time import perf_counter, process_time, sleep

import numpy as np

from lstmcli.threads import versions
from tests.benchmarks import contenders
from tests.benchmarks.contenders import Call, Shape

PACKAGES = ("torch", "onnxruntime", "openvino")

SHORTEST = 0.02  # seconds that a timing lasts at least; short calls are repeated
PAUSE = (
    0.2  # seconds before a turn of threads: those of OpenBLAS go on spinning for 0.1
)


def machine(threads: int) -> str:
    """The machine and the libraries, in a line."""
    name = platform.processor() or platform.machine()
    try:
        told = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line for line in told if line.startswith("model name")]
        name = f"{len(models)} x {models[0].split(':')[1].strip()}"
    except (OSError, IndexError):
        pass
    others = [
        f"{package} {found}" for package in PACKAGES if (found := _version(package))
    ]
    return (
        f"{name}, Python {platform.python_version()}, numpy {' with '.join(versions())}, "
        f"{', '.join(others)}; threads {threads}"
    )


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return ""


def in_turns(
    calls: Mapping[str, Call], rounds: int, pause: float = 0
) -> dict[str, float]:
    """The median seconds of each call; in every round each has its turn.

    Seconds of the processor, which other work on the machine moves less; of the clock where there
    is a ``pause``, as threads share the work.
    """
    clock = perf_counter if pause else process_time
    times: dict[str, list[float]] = {name: [] for name in calls}
    repeats = {
        name: max(1, int(SHORTEST / max(_timed(call, 1, clock), 1e-6)))
        for name, call in calls.items()
    }
    for _ in range(rounds):
        for name, call in calls.items():
            sleep(pause)
            times[name].append(_timed(call, repeats[name], clock))
    return {name: median(held) for name, held in times.items()}


def _timed(call: Call, repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def loop(
    shapes: Sequence[tuple[int, ...]], dtype: str, threads: int, rounds: int
) -> str:
    """A row a shape: our milliseconds, and what of each other's time that is."""
    lines, ratios = [], []
    for shape in shapes:
        given = contenders.case(Shape(*shape), dtype, threads)
        calls: dict[str, Call] = {
            "ours": contenders.ours(given), "all gates": contenders.all_gates(given)
        }  # fmt: skip
        for name, build in contenders.OTHERS.items():
            try:
                call = build(given)
                call()
                calls[name] = call
            except Exception as error:  # not installed, or it has no LSTM of this dtype
                print(f"without {name}: {str(error).splitlines()[0]}", file=sys.stderr)
        _agree(calls)
        times = in_turns(calls, rounds, PAUSE if threads > 1 else 0)
        ours = times.pop("ours")
        row = {name: ours / t for name, t in times.items()}
        row["all gates"] = 1 / row["all gates"]
        ratios.append(row)
        lines.append(
            (
                str(tuple(shape)),
                f"{ours * 1e3:.2f}",
                *(f"{r:.2f}" for r in row.values()),
            )
        )
    means = [geometric_mean([row[name] for row in ratios]) for name in ratios[0]]
    lines.append(("geometric mean", "", *(f"{m:.2f}" for m in means)))
    heads = [name if name == "all gates" else f"/ {name}" for name in ratios[0]]
    return table((f"(T, B, I, H) {dtype}", "ms", *heads), lines)


def _agree(calls: Mapping[str, Call]) -> None:
    """Only equal work is timed."""
    ours = calls["ours"]()
    for name, call in calls.items():
        if (result := call()) is not None:
            np.testing.assert_allclose(result, ours, rtol=0, atol=2e-5, err_msg=name)


def growth(dtype: str, rounds: int, small: bool) -> str:
    """How time grows: the exponent of each dimension, from a line through its logarithms."""
    base = Shape(20, 4, 8, 8) if small else Shape(200, 64, 64, 64)
    lines = []
    for name in base._fields:
        factors = [1, 2, 4]
        shapes = [base._replace(**{name: getattr(base, name) * n}) for n in factors]
        calls = {str(s): contenders.ours(contenders.case(s, dtype, 1)) for s in shapes}
        times = in_turns(calls, rounds)
        slope = np.polyfit(np.log(factors), np.log(list(times.values())), 1)[0]
        span = " ".join(str(getattr(s, name)) for s in shapes)
        lines.append((name, span, " ".join(f"{t * 1e3:.2f}" for t in times.values()),
                      f"{slope:.2f}"))  # fmt: skip
    return table((f"grows, from {tuple(base)}", "values", "ms", "exponent"), lines)


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in (heads, *lines)) for n in range(len(heads))]
    rows = [heads, ["-" * w for w in widths], *lines]
    made = [
        "  ".join(c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(
            zip(row, widths, strict=True))).rstrip() for row in rows
    ]  # fmt: skip
    return "\n" + "\n".join(made)
