"""Threads for the sequences of a batch, each bound to one core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares_memory(executor: Executor) -> bool:
    """Whether an executor's workers are threads of this process."""
    from concurrent.futures import ThreadPoolExecutor

    return isinstance(executor, ThreadPoolExecutor)


@contextmanager
def workers(threads: int) -> Iterator[Executor]:
    """An executor of so many threads.

    On Linux each is bound to one core: two threads that pass the interpreter's lock to each other
    every microsecond are often scheduled on one core, and stay there.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes 15 ms to import

    available, number = cores(), count()

    def bind_to_core() -> None:
        if threads <= len(available) and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {available[next(number)]})  # 0 is the calling thread

    pool = ThreadPoolExecutor(threads, "lstm", initializer=bind_to_core)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
