"""Threads for the rows of a batch, each kept on a core of its own."""

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

    On Linux each has a core to itself: two threads that hand the interpreter's lock to each other
    every few microseconds are often put on one core, and stay there.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes 15 ms to import

    own, number = cores(), count()

    def settle() -> None:
        if threads <= len(own) and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {own[next(number)]})  # 0 is the calling thread alone

    pool = ThreadPoolExecutor(threads, "lstm", initializer=settle)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
