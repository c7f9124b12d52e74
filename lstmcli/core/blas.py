"""Holding BLAS to one thread while the loop runs.

The products of a step are small, so threads of BLAS's own hardly help, and with two of them a
product can be summed in another order. Rows of the batch are what runs side by side instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

VARIABLE = "OPENBLAS_NUM_THREADS"

# Setters by the builds that have them: NumPy's wheels since 2.0 and before, distributions and
# conda, MKL. The getter has the same name with "get".
_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


class _Threads(NamedTuple):
    """The number of threads of the BLAS that NumPy has loaded; it is one for the whole process."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def _threads() -> _Threads | None:
    """Found through the handle of NumPy's own extension, whose libraries it has linked.

    Where it has none of the names (Accelerate, or a library that the handle does not show, as on
    Windows), `threadpoolctl` knows more, if it is installed.
    """
    import ctypes
    from importlib import import_module

    for core in ("numpy._core", "numpy.core"):
        try:
            library = ctypes.CDLL(import_module(f"{core}._multiarray_umath").__file__)
        except (ImportError, OSError):
            continue
        for name in _SETTERS:
            setter = getattr(library, name, None)
            getter = getattr(library, name.replace("_set_", "_get_"), None)
            if setter is not None and getter is not None:
                setter.argtypes, setter.restype = [ctypes.c_int], None
                getter.argtypes, getter.restype = [], ctypes.c_int
                return _Threads(getter, setter)
    return _through_threadpoolctl()


def _through_threadpoolctl() -> _Threads | None:
    from importlib import import_module

    try:
        controller = import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return None
    blas = controller.select(user_api="blas").lib_controllers
    return _Threads(blas[0].get_num_threads, blas[0].set_num_threads) if blas else None


_lock = Lock()
_running = 0  # runs that need the one thread now
_before = 1  # how many there were before the first of them


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS to one thread within, unless the user has said how many in the environment.

    The number is the process's: of runs that overlap, the first sets it and the last restores it.
    """
    global _running, _before
    threads = None if VARIABLE in os.environ else _threads()
    if threads is None:
        yield
        return
    with _lock:
        if _running == 0:
            _before = threads.get()
            if _before != 1:
                threads.set(1)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0 and _before != 1:
                threads.set(_before)
