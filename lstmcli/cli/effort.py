"""What a run gets beside its inputs: threads or a cluster, and a bar that shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from lstmcli import saving
from lstmcli.core.batch import row_chunks, seconds, worth_threads
from lstmcli.core.model import Model
from lstmcli.core.workers import cores, workers
from lstmcli.errors import UserError
from lstmcli.formats import StepStream
from lstmcli.jobs import Job

if TYPE_CHECKING:
    from concurrent.futures import Executor

WORTH_THREADS = 0.1  # seconds of work; a pool takes 15 ms to have
PATIENCE = 1.0  # seconds without a bar
PAUSE = 0.1  # seconds between two looks at how far it is


@contextmanager
def effort(
    job: Job, *, threads: int | None, scheduler: str | None, quiet: bool
) -> Iterator[dict[str, Any]]:
    """The ``executor`` and the ``meter`` of a run, where it is large enough to want them."""
    with ExitStack() as held:
        rows, steps = _extent(job)
        how: dict[str, Any] = {}
        if scheduler is not None:
            how["executor"] = held.enter_context(_cluster(scheduler))
        elif seconds(rows, steps, job.model) > WORTH_THREADS:
            most = _threads(threads, rows, job.model)
            if most > 1:
                how["executor"] = held.enter_context(workers(most))
        total = rows * steps * len(job.model.cells)
        shown = not quiet and sys.stderr.isatty()
        count = bar(total, _unit(rows, steps, job)) if shown else counted(lambda done: None)
        how["meter"] = held.enter_context(count)
        yield how


def _threads(asked: int | None, rows: int, model: Model) -> int:
    """As many as were asked for; else all cores, if there is enough for each to do."""
    most = len(cores()) if worth_threads(rows, model) else 1
    return min(asked or most, len(row_chunks(rows, model)))


def _extent(job: Job) -> tuple[int, int]:
    """Rows and steps; of inputs that arrive, none that are known."""
    if isinstance(job.inputs, StepStream):
        return 1, 0
    steps, rows = saving.extent(job)
    return rows, steps


def _unit(rows: int, steps: int, job: Job) -> tuple[str, int]:
    """What the bar counts, and how many rows x steps of a cell are one of it."""
    cells = len(job.model.cells)
    return ("rows", steps * cells) if rows > steps else ("steps", rows * cells)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """A Dask cluster as an executor.

    Raises
    ------
    UserError
        without the library, or without a scheduler at that address.
    """
    from importlib import import_module

    try:
        library: Any = import_module("distributed")
    except ImportError:
        raise UserError("--scheduler needs a library:", "  pip install 'lstmcli[dask]'") from None
    try:
        client = library.Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler {address}: no scheduler answers there ({error}).") from None
    import warnings

    with client, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # blocks of inputs are large for Dask's taste, and meant
        yield _of_client(client)


def _of_client(client: Any) -> Executor:
    """A Dask client as an executor, with Dask's own futures.

    Those of its `get_executor` take a result for an error where the worker that has it dies while
    the result is under way (distributed 2026.8.0, `cfexecutor._cascade_future`).
    """
    from concurrent.futures import Executor

    class Cluster(Executor):
        def submit(self, function: Any, /, *given: Any, **named: Any) -> Any:
            return client.submit(function, *given, pure=False, **named)

    return Cluster()


class Left(Exception):
    """Ends the work of a thread that nobody waits for any more."""


@contextmanager
def counted(hear: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """A meter that tells how much was done so far; once left, it ends the threads that use it."""
    lock, left, done = Lock(), False, 0

    def meter(count: int) -> None:
        nonlocal done
        if left:
            raise Left
        with lock:
            done += count
        hear(done)

    try:
        yield meter
    finally:
        left = True


@contextmanager
def bar(total: int, unit: tuple[str, int]) -> Iterator[Callable[[int], None]]:
    """As `counted`, with a progress bar on stderr once the work has lasted a second."""
    ended = Event()
    reached = 0

    def hear(done: int) -> None:
        nonlocal reached
        reached = done

    def show() -> None:
        if ended.wait(PATIENCE):
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        name, size = unit
        columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=total or None)
            while not ended.wait(PAUSE):
                progress.update(task, completed=reached)
                speed = (progress.tasks[0].speed or 0) / size
                told = f"{reached // size:,} {name}  {speed:,.0f} {name}/s"
                progress.update(task, description=told)

    thread = Thread(target=show, daemon=True)
    thread.start()
    try:
        with counted(hear) as meter:
            yield meter
    finally:
        ended.set()
        thread.join()
