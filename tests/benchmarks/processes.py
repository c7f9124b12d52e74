"""Whole processes of `lstm`: start-up, long tables, files larger than memory, JSON lines."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np

from tests.benchmarks.__main__ import BLAS, THREADS
from tests.benchmarks.tables import table
from tests.paths import TOP

SAMPLE = ["samples/forget-bias/weights.npz", "samples/forget-bias/inputs.npy"]
I, H = 64, 32  # of the networks
BLOCK = 256  # sequences that are written to the large file at a time
SET_HERE = (
    *THREADS,
    BLAS,
    "PYTHONDONTWRITEBYTECODE",
)  # which a user's process does not have
BARE = "import numpy, click, rich.table, rich.console"
POLL = 0.02  # seconds between two looks at a process's memory


class Sizes(NamedTuple):
    """Of what is run."""

    steps: int = 100_000  # of the table
    batch: int = 8192  # of the large file, of 1000 steps: 2.1 GB
    lines: int = 40_000


class Ended(NamedTuple):
    """Time and memory of a process."""

    processor: (
        float  # seconds of the processor, which other work on the machine moves less
    )
    private: (
        float  # MB of memory that are its own, at most; 0 where the system does not say
    )


def processes(rounds: int, small: bool) -> str:
    """A row a figure, and its bound."""
    sizes = Sizes(200, 16, 100) if small else Sizes()
    with TemporaryDirectory(dir=os.environ.get("LSTM_BENCHMARK_FOLDER")) as folder:
        rows = [row for part in (_start, _long_table, _large, _lines)
                for row in part(Path(folder), sizes, rounds)]  # fmt: skip
    return table(("whole process", "figure", "bound"), rows)


def _start(folder: Path, sizes: Sizes, rounds: int) -> Iterator[tuple[str, str, str]]:
    """The sample, over the imports that a table needs."""
    ours, bare = [], []
    for _ in range(max(rounds, 5)):
        bare.append(_run(["-c", BARE]).processor)
        ours.append(_run(["-m", "lstmcli", "run", *SAMPLE]).processor)
    yield (
        f"lstm run of the sample, {median(ours) * 1e3:.0f} ms / {BARE}",
        f"{median(ours) / median(bare):.2f}",
        "1.25",
    )


def _long_table(
    folder: Path, sizes: Sizes, rounds: int
) -> Iterator[tuple[str, str, str]]:
    weights = _weights(folder)
    x = folder / "long.npy"
    np.save(
        x, np.random.default_rng(0).normal(size=(sizes.steps, I)).astype(np.float32)
    )
    shown, written = [], []
    for _ in range(max(rounds, 3)):
        written.append(
            _lstm("run", weights, x, "-o", folder / "h.npy", "--only", "h").processor
        )
        shown.append(_lstm("run", weights, x).processor)
    yield (
        f"a table of {sizes.steps:,} steps, {median(shown):.2f} s / its h as .npy",
        f"{median(shown) / median(written):.2f}",
        "1.3",
    )


def _large(folder: Path, sizes: Sizes, rounds: int) -> Iterator[tuple[str, str, str]]:
    """A batch that is read, run and written in blocks."""
    weights, x, out = _weights(folder), folder / "large.npy", folder / "large_h.npy"
    shape = (sizes.batch, 1000, I)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    rng = np.random.default_rng(0)
    with open(x, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(0, sizes.batch, BLOCK):
            rows = min(BLOCK, sizes.batch)
            file.write(rng.standard_normal((rows, *shape[1:]), np.float32).tobytes())
    ended = _lstm("run", weights, x, "-o", out, "--only", "h")
    name = f"{x.stat().st_size / 1e9:.1f} GB in, {out.stat().st_size / 1e9:.1f} GB out"
    x.unlink()
    out.unlink()
    yield f"{name}: private memory, MB", f"{ended.private:.0f}", "100"


def _lines(folder: Path, sizes: Sizes, rounds: int) -> Iterator[tuple[str, str, str]]:
    """Steps as JSON lines from a pipe, over a run of one line."""
    weights, file = _weights(folder), folder / "lines.jsonl"
    x = np.random.default_rng(0).normal(size=(sizes.lines, I)).astype(np.float32)
    texts = [json.dumps([float(str(number)) for number in row]) for row in x[:1000]]
    for words, what, bound in (
        (["--only", "h"], "h", "40,000"),
        ([], "all gates", "15,000"),
    ):
        took = []
        for lines in (1, sizes.lines // 4, sizes.lines):
            file.write_text(
                "\n".join((texts * (lines // len(texts) + 1))[:lines]) + "\n"
            )
            command = ["-m", "lstmcli", "run", str(weights), "-", "-f", "jsonl", *words]
            ends = [_run(command, file) for _ in range(3)]
            took.append((median(end.processor for end in ends), ends[0].private))
        (one, _), (_, fewer), (all_, most) = took
        rate = (sizes.lines - 1) / max(all_ - one, 1e-9)
        yield (
            f"JSON lines, {I} inputs, {H} units, {what}: a second",
            f"{rate:,.0f}",
            bound,
        )
        more = most - fewer
        yield (
            f"JSON lines, {what}: more memory for four times the lines, MB",
            f"{more:.0f}",
            "1",
        )


def _weights(folder: Path) -> Path:
    """A network of Keras: 64 inputs, 32 units."""
    path = folder / "weights.npz"
    if not path.exists():
        rng = np.random.default_rng(0)
        shapes = {
            "kernel": (I, 4 * H),
            "recurrent_kernel": (H, 4 * H),
            "bias": (4 * H,),
        }
        arrays = {
            k: rng.normal(0, 0.2, s).astype(np.float32) for k, s in shapes.items()
        }
        np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def _lstm(*words: object) -> Ended:
    return _run(["-m", "lstmcli", *map(str, words)])


def _run(arguments: Sequence[str], stdin: Path | None = None) -> Ended:
    """Run a Python process to its end."""
    environment = {k: v for k, v in os.environ.items() if k not in SET_HERE}
    source = subprocess.PIPE if stdin is None else open(stdin, "rb")  # noqa: SIM115
    begun, used = perf_counter(), of_children()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=TOP, env=environment, stdin=source,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    private = 0.0
    while process.poll() is None:
        private = max(private, _private(process.pid))
        sleep(POLL / 10 if perf_counter() - begun < 1 else POLL)
    assert process.stderr is not None
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    process.stderr.close()
    for stream in (process.stdin, source):
        if stream is not None and not isinstance(stream, int):
            stream.close()
    return Ended(of_children() - used, private)


def of_children() -> float:
    """Seconds of processor time of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _private(pid: int) -> float:
    """MB that belong to a process alone, as Linux counts them."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1000
    except (OSError, ValueError):
        pass
    return 0.0
