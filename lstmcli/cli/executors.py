"""How a run is executed: by threads or on a cluster, with a meter for the progress bar."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import ExitStack, contextmanager
from threading import Lock, Thread
from typing import Any

from lstmcli.api.job import Job
from lstmcli.cli.progress import ProgressBar
from lstmcli.cli.terminal import remark
from lstmcli.core.forward.batch import batch_chunks, cores, seconds, workers, worth_threads
from lstmcli.errors import UserError, import_extra

WORTH_THREADS = 0.1  # seconds of work; a pool of threads takes 15 ms to make
CONNECTING = 3  # seconds for a connection to a scheduler; one on the same machine takes 0.05
GREETING = 4  # seconds until a scheduler has answered too; with 1 to 4 for the import, under 10


@contextmanager
def execution(
    job: Job, *, threads: int | None, scheduler: str | None, in_order: bool, quiet: bool
) -> Iterator[dict[str, Any]]:
    """The ``executor`` of a run, if it is large enough for one, and its ``meter``.

    ``in_order``: its steps are written as they are computed, which one core does.
    """
    with ExitStack() as stack:
        plan = None if job.stream else job.plan()
        batch, steps = (plan.batch, plan.steps) if plan else (1, 0)  # of a stream, not known
        how: dict[str, Any] = {}
        count = 1
        if scheduler is not None:
            how["executor"] = stack.enter_context(_cluster(scheduler))
        elif not in_order and seconds(batch, steps, job.model) > WORTH_THREADS:
            default = len(cores()) if worth_threads(batch, job.model) else 1
            count = min(threads or default, len(batch_chunks(batch, job.model)))
        if count > 1:
            how["executor"] = stack.enter_context(workers(count))
        if threads is not None and count < threads:
            why = "steps are written as they are computed" if in_order else "too small for more"
            remark(f"--threads {threads}: this run uses {count} ({why}).")
        cells = len(job.model.cells)
        unit = ("sequences", steps * cells) if batch > steps else ("steps", batch * cells)
        bar = stack.enter_context(ProgressBar(batch * steps * cells, unit, quiet=quiet))
        how["meter"] = stack.enter_context(metered(bar))
        yield how


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    """A Dask cluster as an executor; Dask's log is not shown, because its errors say the same."""
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        distributed = import_extra("distributed", "--scheduler", "dask")
        with _connected(distributed, address) as client, warnings.catch_warnings():
            # Dask warns of large blocks, which inputs are.
            warnings.simplefilter("ignore")
            yield _of_client(client, address)
    finally:
        logging.disable(logged)


def _connected(distributed: Any, address: str) -> Any:
    """The client of a cluster.

    It is made in a thread, which is abandoned when it does not return: Dask waits for the greeting
    of a scheduler without a limit (distributed 2026.8.0, `comm.core.connect`).
    """
    made = list[Any]()

    def connect() -> None:
        try:
            made.append(distributed.Client(address, timeout=CONNECTING, set_as_default=False))
        except Exception as error:  # of any kind: another kind of server, a wrong address
            made.append(error)

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(GREETING)
    if not made:
        cause = f"connected, and nothing was said for {GREETING} s"
    elif isinstance(made[0], TypeError) and address.startswith(("tls:", "wss:")):
        cause = "TLS needs certificates: distributed.comm.tls in Dask's configuration names them"
    elif isinstance(made[0], MemoryError):  # its first bytes, as the size of a message
        cause = "what answers is another kind of server"
    elif isinstance(made[0], Exception):
        cause = _first_line(made[0])
    else:
        return made[0]
    raise UserError(f"--scheduler {address}: no scheduler answers there ({cause}).")


def _first_line(error: BaseException) -> str:
    """The first line of a library's error message, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def _of_client(client: Any, address: str) -> Executor:
    """A Dask client as an executor, with Dask's futures.

    Those of its `get_executor` take a result for an error where the worker that has it dies while
    the result is under way (distributed 2026.8.0, `cfexecutor._cascade_future`).
    """

    @contextmanager
    def failures_named() -> Iterator[None]:
        try:
            yield
        except (UserError, MemoryError):  # of the work itself
            raise
        except (CancelledError, OSError):  # a connection that is closed is an OSError
            raise UserError(
                f"--scheduler {address}: the connection to the scheduler was lost during the run.",
                "  Start it again, or leave out --scheduler to run here.",
            ) from None
        except Exception as error:
            raise UserError(
                f"--scheduler {address}: the cluster failed during the run ({_first_line(error)}).",
                "  Its workers need lstmcli too; without --scheduler the run is here.",
            ) from None

    class Remote:
        def __init__(self, future: Any) -> None:
            self._future = future

        def result(self, timeout: float | None = None) -> Any:
            with failures_named():
                return self._future.result(timeout)

        def cancel(self) -> None:
            with failures_named():
                self._future.cancel()

    class Cluster(Executor):
        def submit(self, function: Any, /, *given: Any, **named: Any) -> Any:
            with failures_named():
                return Remote(client.submit(function, *given, pure=False, **named))

    return Cluster()


class Abandoned(Exception):
    """Ends the work of a thread whose run has ended."""


@contextmanager
def metered(bar: ProgressBar) -> Iterator[Callable[[int], None]]:
    """A meter that advances a bar; once left, it ends the threads that use it."""
    lock, left, done = Lock(), False, 0

    def meter(count: int) -> None:
        nonlocal done
        if left:
            raise Abandoned
        with lock:
            done += count
        bar.advance(done)

    try:
        yield meter
    finally:
        left = True
