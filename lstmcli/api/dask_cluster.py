"""A Dask cluster as an executor."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from threading import Thread
from typing import Any

from lstmcli.errors import SettingsToTry, UserError, import_extra

HERE = (SettingsToTry({"scheduler": None}, "the run is here"),)
CONNECTING = 3  # seconds for a connection; one on the same machine takes 0.05
GREETING = 4  # seconds for the answer too; with 1 to 4 for the import, under 10


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """A Dask cluster as an executor; its errors repeat Dask's log, which is not shown."""
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        distributed = import_extra("distributed", "a scheduler of Dask", "dask")
        with _connected(distributed, address) as client, warnings.catch_warnings():
            # Dask warns of large blocks, which inputs are.
            warnings.simplefilter("ignore")
            yield _of_client(client, address)
    finally:
        logging.disable(logged)


def _connected(distributed: Any, address: str) -> Any:
    """The client of a cluster, made in a thread that is abandoned if it does not return.

    Dask waits for the greeting of a scheduler without a limit (distributed
    2026.8.0, `comm.core.connect`).
    """
    made = list[Any]()

    def connect() -> None:
        try:
            made.append(
                distributed.Client(address, timeout=CONNECTING, set_as_default=False)
            )
        except (
            Exception
        ) as error:  # of any kind: another kind of server, a wrong address
            made.append(error)

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(GREETING)
    if not made:
        cause = f"connected, and no answer came for {GREETING} s"
    elif isinstance(made[0], MemoryError):  # its first bytes, as the size of a message
        cause = "what answers is another kind of server"
    elif isinstance(made[0], Exception):
        cause = _first_line(made[0])
    else:
        return made[0]
    raise UserError(
        f"no scheduler answers there ({cause}).", about={"scheduler": address}
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def _of_client(client: Any, address: str) -> Executor:
    """A Dask client as an executor, with Dask's futures.

    Those of `get_executor` take a result for an error if its worker dies while
    it is under way (distributed 2026.8.0, `cfexecutor._cascade_future`).
    """

    @contextmanager
    def failures_named() -> Iterator[None]:
        try:
            yield
        except (UserError, MemoryError):  # of the work itself
            raise
        except Exception as error:
            cause = f"{_first_line(error)}; its workers need lstmcli too"
            if isinstance(
                error, CancelledError | OSError
            ):  # as a connection that is closed
                cause = "the connection to the scheduler was lost"
            text = f"the run on the cluster failed: {cause}."
            raise UserError(text, about={"scheduler": address}, try_=HERE) from None

    class Remote:
        def __init__(self, future: Any) -> None:
            self._future = future

        def result(self, timeout: float | None = None) -> Any:
            with failures_named():
                return self._future.result(timeout)

    class Cluster(Executor):
        def submit(self, function: Any, /, *given: Any, **named: Any) -> Any:
            with failures_named():
                return Remote(client.submit(function, *given, pure=False, **named))

    return Cluster()
