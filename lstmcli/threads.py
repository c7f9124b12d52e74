"""BLAS: limited to one thread during a run; and which kernels it has.

The products of a step are small: BLAS threads hardly help, and sum some in
another order. Sequences of a batch run in parallel instead, see
`batch.workers`.

Importing `threadpoolctl` and its first look at the loaded libraries take 18
ms; both happen only where the environment does not set the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

VARIABLE = "OPENBLAS_NUM_THREADS"

# OpenBLAS's names of its AVX-512 kernels, which multiply small matrices without packing.
_UNPACKED = {"SkylakeX", "Cooperlake", "SapphireRapids"}


# A look at the loaded libraries calls Python while the system's loader is locked. A thread that
# imports an extension module meanwhile holds Python's lock and waits for the loader: a deadlock,
# so both take this lock first.
loader_lock = Lock()


@cache
def _libraries() -> Any:
    import numpy  # noqa: F401 (loads its BLAS)
    from threadpoolctl import ThreadpoolController

    with loader_lock:
        return ThreadpoolController().select(user_api="blas")


@cache
def has_unpacked_kernels() -> bool:
    """Tell whether this BLAS multiplies small matrices unpacked: see `matmul.product`."""
    openblas = _libraries().select(internal_api="openblas").lib_controllers
    return bool(openblas) and all(
        library.architecture in _UNPACKED for library in openblas
    )


def versions() -> tuple[str, str]:
    """The version of numpy, and that of its BLAS: ``openblas 0.3.30 (SkylakeX)``."""
    import numpy

    found = []
    for library in _libraries().lib_controllers:
        name = getattr(library, "architecture", None)
        words = library.internal_api, library.version, name and f"({name})"
        found.append(" ".join(filter(None, words)))
    return numpy.__version__, ", ".join(found) or "no BLAS that threadpoolctl knows"


_lock = Lock()
_running = 0  # runs that need the one thread now
_limit: Any = None  # set by the first of them, undone by the last


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread within, unless the environment sets the number.

    The process has one limit: of runs that overlap, the first sets it, the
    last restores it. OpenBLAS 0.3.31 takes it from the main thread only: code
    that starts threads enters this too.
    """
    global _running, _limit
    if VARIABLE in os.environ:
        yield
        return
    with _lock:
        if _running == 0:
            _limit = _libraries().limit(limits=1)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _limit.restore_original_limits()
