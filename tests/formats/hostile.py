"""Damaged files: a reader answers each with a document or one clear line, within bounds.

A test takes a good file and says which variants of it the reader must withstand::

    withstand(path, truncations(data))
    withstand(path, mutations(data, seed=1, count=300))
    withstand(shard, mutations(shard_data, seed=2, count=300), act=lambda _: load(str(model)))
"""

from __future__ import annotations

import random
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lstmcli import formats
from lstmcli.errors import UserError

SECONDS, MEMORY = 10, 1 << 30  # of processor time and beyond what is in use, for one file
TRACING = 4  # times the time of a loop of short lines while coverage counts them; 3.4 measured

_EXTREMES = [
    n.to_bytes(size, order, signed=n < 0)
    for size in (4, 8)
    for n in (-1, 0, 1, (1 << 8 * size - 1) - 1, -(1 << 8 * size - 1), 1 << 8 * size - 4)
    for order in ("little", "big")
]


def truncations(data: bytes, most: int = 1000) -> Iterator[bytes]:
    """The data cut at every length; of longer data, at ``most`` lengths and near both ends."""
    step = max(1, len(data) // most)
    ends = {*range(min(64, len(data))), *range(max(0, len(data) - 64), len(data))}
    for length in sorted({*range(0, len(data), step), *ends}):
        yield data[:length]


def mutations(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """The data with one to three random changes; the same for the same seed.

    Bits flip, bytes become others, numbers become extreme ones, pieces go, come twice or change
    places.
    """
    rng = random.Random(seed)
    for _ in range(count):
        yield changed(rng, data, rng.choice((1, 1, 1, 2, 3)))


def changed(rng: random.Random, data: bytes, count: int) -> bytes:
    """The data with so many random changes; nothing stays nothing."""
    variant = bytearray(data)
    for _ in range(count if data else 0):
        rng.choice(_CHANGES)(rng, variant)
    return bytes(variant)


def _flip(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _exaggerate(rng: random.Random, data: bytearray) -> None:
    number = rng.choice(_EXTREMES)
    at = rng.randrange(max(1, len(data) - len(number)))
    data[at : at + len(number)] = number


def _remove(rng: random.Random, data: bytearray) -> None:
    start, stop = _piece(rng, data)
    if stop - start < len(data):
        del data[start:stop]


def _repeat(rng: random.Random, data: bytearray) -> None:
    start, stop = _piece(rng, data)
    at = rng.randrange(len(data))
    data[at:at] = data[start:stop]


def _overwrite(rng: random.Random, data: bytearray) -> None:
    start, stop = _piece(rng, data)
    at = rng.randrange(len(data))
    data[at : at + stop - start] = data[start:stop]


def _piece(rng: random.Random, data: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 64)))


_CHANGES = (_flip, _flip, _replace, _exaggerate, _exaggerate, _remove, _repeat, _overwrite)


def withstand(
    path: Path, variants: Iterable[bytes], act: Callable[[str], object] = formats.read
) -> None:
    """Write each variant to the path and read it: it must give a result or a `UserError`.

    Warnings are errors in this suite, so they fail it as any other exception does. ``act`` reads
    otherwise: all the way to a model, or the file that a damaged companion belongs to.
    """
    for number, variant in enumerate(variants):
        path.write_bytes(variant)
        try:
            with _bounded():
                act(str(path))
        except UserError as error:
            message = str(error)
            assert message.strip(), f"variant {number}: an empty message"
            if ran_out_of_memory(error):
                raise AssertionError(f"variant {number}: MemoryError, told as {message}") from error
            message.encode()  # what no terminal can show would end in a traceback after all
        except (Exception, Overdue) as error:
            raise AssertionError(f"variant {number}, kept in {path}: {error!r}") from error


class Overdue(BaseException):
    """More time than a file may take; a reader that catches every Exception does not catch it."""


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error was raised because of a MemoryError, whatever it says."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _bounded() -> Iterator[None]:
    """Stop whatever takes more than `SECONDS` or `MEMORY`: `Overdue`, or MemoryError."""
    seconds = SECONDS * (TRACING if sys.gettrace() else 1)

    def stop(*_: object) -> None:
        raise Overdue(f"more than {seconds} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    earlier = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (in_use() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, earlier)


def in_use() -> int:
    """Bytes of address space; 1 TiB, which bounds nothing, where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 1 << 40
    return pages * resource.getpagesize()
