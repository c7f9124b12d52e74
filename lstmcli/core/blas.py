"""BLAS: held to one thread while the loop runs; and which kernels it has.

The products of a step are small, so threads of BLAS's own hardly help, and with two of them a
product can be summed in another order. Rows of the batch are what runs side by side instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from threading import Lock
from typing import Any, NamedTuple

VARIABLE = "OPENBLAS_NUM_THREADS"

# What the functions of OpenBLAS are called, by build: NumPy's wheels since 2.0 and before,
# distributions and conda.
_NAMES = (
    "scipy_openblas_{}64_",
    "scipy_openblas_{}",
    "openblas_{}64_",
    "openblas_{}",
)

# Its AVX-512 kernels, by the names it gives them: these have products that pack nothing.
_UNPACKED = ("SkylakeX", "Cooperlake", "SapphireRapids")


class _Threads(NamedTuple):
    """The number of threads of the BLAS that NumPy has loaded; it is one for the whole process."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def _openblas() -> Callable[[str], Any] | None:
    """The functions of the OpenBLAS that NumPy has loaded, by their bare names.

    Found through the handle of NumPy's own extension, whose libraries it has linked.
    """
    import ctypes
    from importlib import import_module

    for core in ("numpy._core", "numpy.core"):
        try:
            library = ctypes.CDLL(import_module(f"{core}._multiarray_umath").__file__)
        except (ImportError, OSError):
            continue
        for name in _NAMES:
            if hasattr(library, name.format("set_num_threads")):
                return partial(_function, library, name)
    return None


def _function(library: Any, name: str, bare: str) -> Any:
    return getattr(library, name.format(bare), None)


@cache
def has_unpacked_kernels() -> bool:
    """Whether this BLAS has products of small matrices that pack nothing: see `product`."""
    import ctypes

    openblas = _openblas()
    corename = openblas("get_corename") if openblas else None
    if corename is None:
        return False
    corename.argtypes, corename.restype = [], ctypes.c_char_p
    return corename().decode() in _UNPACKED


@cache
def _threads() -> _Threads | None:
    """How to count and set them.

    Where it is no OpenBLAS, or one that the handle does not show (on Windows), `threadpoolctl`
    knows more, if it is installed.
    """
    import ctypes

    openblas = _openblas()
    getter, setter = (
        (openblas("get_num_threads"), openblas("set_num_threads")) if openblas else (None, None)
    )
    if getter is None or setter is None:
        return _through_threadpoolctl()
    setter.argtypes, setter.restype = [ctypes.c_int], None
    getter.argtypes, getter.restype = [], ctypes.c_int
    return _Threads(getter, setter)


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
