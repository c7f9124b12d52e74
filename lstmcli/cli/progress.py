"""The progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from lstmcli import threads
from lstmcli.cli.terminal import rich_console
from lstmcli.escaping import one_line

PATIENCE = 1.0  # seconds of work without a bar
PAUSE = 0.1  # seconds between two updates of the bar


class ProgressBar:
    """A bar that is shown once the work has taken `PATIENCE`, if stderr is a terminal.

    ``total`` is the amount of work, 0 if it is not known. The bar counts a
    ``unit``, given by its name and the work that makes one, and shows its
    rate; without one it shows what is being done.
    """

    def __init__(
        self, total: float, unit: tuple[str, int] | None = None, *, quiet: bool = False
    ) -> None:
        self._total, self._unit = total, unit
        self._done, self._what = 0.0, ""
        self._ended = Event()
        shown = sys.stderr.isatty() and not quiet
        self._thread = Thread(target=self._show, daemon=True) if shown else None

    def __enter__(self) -> ProgressBar:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def advance(self, done: float, what: str = "") -> None:
        """Set the amount of work that is done, and what is being done."""
        self._done, self._what = done, what

    def _show(self) -> None:
        if self._ended.wait(PATIENCE):
            return
        with threads.loader_lock:
            from rich.progress import (
                BarColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

        text = TextColumn(
            "{task.description}", markup=False
        )  # a file's name is not markup
        columns = BarColumn(), text, TimeRemainingColumn()
        with Progress(
            *columns, console=rich_console(sys.stderr), transient=True
        ) as progress:
            task = progress.add_task("", total=self._total or None)
            while True:
                progress.update(task, completed=self._done)
                speed = progress.tasks[0].speed or 0
                progress.update(task, description=self._description(speed))
                if self._ended.wait(PAUSE):
                    return

    def _description(self, speed: float) -> str:
        if self._unit is None:
            return one_line(self._what)
        name, size = self._unit
        return f"{int(self._done) // size:,} {name}  {speed / size:,.0f} {name}/s"


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
